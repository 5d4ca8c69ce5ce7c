//! Wills and keep-alive of MQTT 5.0: when the broker speaks for a client that is gone, and when it takes it for gone.

use std::num::NonZeroU16;

use crate::support::policies::{Rules, Verb};
use crate::support::raw::v5;
use crate::support::story::{Client, Heard, Hello, Post, Story, Wish};
use pregon::mqtt::properties::Properties;
use pregon::mqtt::property::{Place, Property};

fn reader(story: &mut Story) -> Client {
    let reader = story.connect(Hello::v5("reader"));
    story.subscribe(reader, "will/#", 2);
    reader
}

fn hello() -> Hello {
    Hello::v5("client").will("will/x", "gone", 1, false)
}

/// v5: X5-WILL-DELAYEXP
#[test]
fn a_will_comes_after_its_delay_or_with_the_end_of_the_session() {
    for shards in [1, 3] {
        for (delay_s, expiry_s, at_s) in [(30, 2, 2), (2, 30, 2), (5, 5, 5), (30, 0, 0)] {
            let mut story = Story::new(shards);
            let reader = reader(&mut story);
            let client = story.connect(hello().expiry(expiry_s).will_with(Property::WillDelay(delay_s)));
            story.cut(client);
            if at_s > 0 {
                story.wait_s(at_s - 1);
                story.expect_silence(reader);
                story.wait_s(2);
            }
            assert_eq!(story.delivery(reader).payload, b"gone");
            story.wait_s(60);
            story.expect_silence(reader);
        }
    }
}

/// v5: X5-WILL-NODELAY
#[test]
fn a_will_without_delay_comes_at_once() {
    for expiry_s in [0, 600] {
        let mut story = Story::new(3);
        let reader = reader(&mut story);
        let client = story.connect(hello().expiry(expiry_s));
        story.cut(client);
        assert_eq!(story.delivery(reader).payload, b"gone");
    }
}

/// v5: X5-WILL-DISC04
#[test]
fn every_reason_but_success_brings_the_will() {
    for (reason, is_told) in [(0x00, false), (0x04, true), (0x80, true), (0x81, true), (0x97, true)] {
        let mut story = Story::new(2);
        let reader = reader(&mut story);
        let client = story.connect(hello());
        story.disconnect(client, reason);
        story.expect_closed(client);
        story.wait_s(5);
        assert_eq!(story.deliveries(reader).len(), usize::from(is_told), "{reason:#04x}");
    }
}

/// v5: X5-WILL-PROTOERR
#[test]
fn an_error_that_ends_the_connection_brings_the_will() {
    for bad in [&[0xC1, 0][..], &[0x00, 0], &[0x30, 0xFF, 0xFF, 0xFF, 0xFF]] {
        let mut story = Story::new(2);
        let reader = reader(&mut story);
        let client = story.connect(hello());
        story.send(client, bad);
        story.expect_closed_for(client, &[0x81]);
        assert_eq!(story.delivery(reader).payload, b"gone");
    }
    let mut story = Story::new(2);
    let reader = reader(&mut story);
    let client = story.connect(hello().keep_alive(2));
    story.wait_s(4);
    story.expect_closed_for(client, &[0x8D]);
    assert_eq!(story.delivery(reader).payload, b"gone");
}

/// v5: X5-WILL-PROPS
#[test]
fn the_properties_of_a_will_are_those_of_its_message_but_for_the_delay() {
    for delay_s in [0, 3] {
        let mut story = Story::new(3);
        let reader = reader(&mut story);
        let hello = hello()
            .expiry(60)
            .will_with(Property::WillDelay(delay_s))
            .will_with(Property::PayloadFormat(true))
            .will_with(Property::MessageExpiry(60))
            .will_with(Property::ContentType("text/plain"))
            .will_with(Property::ResponseTopic("answers"))
            .will_with(Property::CorrelationData(b"\x00\x01"))
            .will_with(Property::User("a", "1"))
            .will_with(Property::User("a", "2"));
        let client = story.connect(hello);
        story.cut(client);
        story.wait_s(u64::from(delay_s));
        let delivery = story.delivery(reader);
        let properties = Properties::parse(&delivery.properties, Place::Publish).unwrap();
        assert_eq!(properties.payload_format(), Some(true));
        assert_eq!(properties.content_type(), Some("text/plain"));
        assert_eq!(properties.response_topic(), Some("answers"));
        assert_eq!(properties.correlation_data(), Some(&b"\x00\x01"[..]));
        assert_eq!(delivery.user, [("a".into(), "1".into()), ("a".into(), "2".into())]);
        assert_eq!(delivery.expiry, Some(60), "the life of the message begins with its publication");
        assert_eq!(properties.iter().count(), 7);
    }
}

/// v5: X5-WILL-ACL
#[test]
fn a_will_needs_the_right_to_leave_it() {
    let mut story = Story::with(|_| {}, Rules::default().deny(Verb::Will, "will/secret").policy());
    let client = story.hello(&Hello::v5("client").will("will/secret", "gone", 0, false));
    story.expect_refused(client, 0x87);
    story.connect(hello());
    // The broker's own topics are nobody's to leave a will on.
    let mut story = Story::new(2);
    let client = story.hello(&Hello::v5("client").will("$SYS/x", "gone", 0, false));
    story.expect_refused(client, 0x87);
}

/// v5: X5-KA-ZERO
#[test]
fn keep_alive_0_is_no_keep_alive() {
    let mut story = Story::new(2);
    let client = story.connect(Hello::v5("client").keep_alive(0));
    story.wait_s(3600);
    story.expect_silence(client);
    story.expect_open(client);
}

/// v5: X5-KA-CODE
#[test]
fn a_silent_client_is_told_why_it_is_closed() {
    for shards in [1, 3] {
        let mut story = Story::new(shards);
        let client = story.connect(Hello::v5("client").keep_alive(10));
        story.wait_s(14);
        story.expect_silence(client);
        story.wait_s(2);
        story.expect_closed_for(client, &[0x8D]);
    }
}

/// v5: X5-KA-ANY
#[test]
fn every_packet_of_the_client_counts_and_none_of_ours() {
    let mut story = Story::new(2);
    let writer = story.connect(Hello::v5("writer"));
    let listener = story.connect(Hello::v5("listener").keep_alive(2));
    story.subscribe(listener, "a", 0);
    for _ in 0..4 {
        story.wait_s(1);
        story.publish(writer, Post::to("a"));
    }
    story.forget(listener, |heard| matches!(heard, Heard::Publish(_)));
    story.expect_closed_for(listener, &[0x8D]);

    let talker = story.connect(Hello::v5("talker").keep_alive(2).with(Property::TopicAliasMaximum(1)));
    let packets: [fn(&mut Story, Client); 6] = [
        |story, talker| story.publish(talker, Post::to("b")),
        |story, talker| story.publish(talker, Post::to("b").qos(2).id(1)),
        |story, talker| story.pubrel(talker, 1),
        |story, talker| story.puback(talker, 77),
        |story, talker| story.ask_to_subscribe(talker, 3, &[Wish::to("c", 0)], None),
        |story, talker| story.send(talker, &[0xC0, 0]),
    ];
    for say in packets {
        for _ in 0..2 {
            story.wait_s(2);
            say(&mut story, talker);
        }
    }
    story.hear_all(talker);
    story.expect_open(talker);
}

/// v5: X5-KA-SERVER
#[test]
fn a_keep_alive_of_ours_is_announced_and_enforced() {
    for wanted in [0, 600, 3] {
        let mut story = Story::limited(|limits| limits.keep_alive_max_s = 2);
        let (client, said) = story.welcome(Hello::v5("client").keep_alive(wanted));
        assert_eq!(Properties::parse(&said, Place::ConnAck).unwrap().server_keep_alive(), Some(2));
        story.wait_s(2);
        story.expect_silence(client);
        story.wait_s(2);
        story.expect_closed_for(client, &[0x8D]);
    }
    let mut story = Story::limited(|limits| limits.keep_alive_max_s = 2);
    let (_, said) = story.welcome(Hello::v5("client").keep_alive(1));
    assert_eq!(Properties::parse(&said, Place::ConnAck).unwrap().server_keep_alive(), None);
}

/// v5: X5-DISC-ADMIN
#[test]
fn who_is_sent_away_and_who_is_there_at_the_end_is_told() {
    use pregon::engine::input::Input;
    for shards in [1, 3] {
        let mut story = Story::new(shards);
        let kicked = story.connect(Hello::v5("kicked"));
        let others = [0, 1, 2].map(|n| story.connect(Hello::v5(&format!("other-{n}"))));
        let old = story.connect(Hello::v311("old"));
        for shard in 0..shards {
            story.world.input(shard, Input::Kick { client_id: "kicked" });
        }
        story.expect_closed_for(kicked, &[0x98]);
        for client in others {
            story.expect_open(client);
        }
        for shard in 0..shards {
            story.world.input(shard, Input::Shutdown);
        }
        for client in others {
            story.expect_closed_for(client, &[0x8B]);
        }
        story.expect_closed(old);
        let late = story.open(pregon::mqtt::Version::V5);
        story.expect_closed(late);
    }
}

/// v5: X5-ALIAS-DIRECTION
#[test]
fn the_aliases_of_both_directions_are_two_tables() {
    let mut story = Story::new(2);
    let writer = story.connect(Hello::v5("writer"));
    let other = story.connect(Hello::v5("other"));
    story.subscribe(other, "#", 0);
    let client = story.connect(Hello::v5("client").with(Property::TopicAliasMaximum(5)));
    story.subscribe(client, "theirs", 0);
    story.publish(client, Post::to("mine").alias(1));
    assert_eq!(story.delivery(other).topic, "mine");
    story.publish(writer, Post::to("theirs").payload("1"));
    let defining = story.delivery(client);
    assert_eq!((defining.topic.as_str(), defining.alias), ("theirs", Some(1)));
    story.publish(client, Post::to("").alias(1));
    story.publish(writer, Post::to("theirs").payload("2"));
    let known = story.delivery(client);
    assert_eq!((known.topic.as_str(), known.alias), ("", NonZeroU16::new(1).map(NonZeroU16::get)));
    let heard = story.deliveries(other);
    assert_eq!(heard.iter().map(|delivery| delivery.topic.as_str()).collect::<Vec<_>>(), ["theirs", "mine", "theirs"]);
    story.send(client, &v5::publish(b"", &[35, 0, 2], b""));
    story.expect_closed_for(client, &[0x82]);
}
