//! MQTT 3.1 beside its successors: what is particular about it, and that all versions talk to each other.

use pregon::engine::auth::policy::Policy;
use pregon::mqtt::Version;
use pregon::mqtt::property::Property;

use crate::support::policies::{Rules, Users, Verb};
use crate::support::raw::v3::connect;
use crate::support::raw::{hex, packet, text};
use crate::support::story::{Client, Heard, Hello, Post, Story};

/// Sends the first bytes of a new connection of 3.1.
fn first(story: &mut Story, bytes: &[u8]) -> Client {
    let client = story.open(Version::V31);
    story.send(client, bytes);
    client
}

/// v311: X31-CONNECT
#[test]
fn a_client_of_3_1_is_served() {
    for shards in [1, 3] {
        let mut story = Story::new(shards);
        let client = first(&mut story, &hex("100f 0006 4d5149736470 03 02 003c 0001 61"));
        assert_eq!(story.world.receive(client.0), [0x20, 2, 0, 0]);
        for qos in 0..=2 {
            assert_eq!(story.subscribe(client, "t", qos), qos);
            let writer = story.connect(Hello::v31("writer"));
            story.post(writer, Post::to("t").qos(qos).payload("x"));
            let delivery = story.delivery(client);
            assert_eq!((delivery.topic.as_str(), &delivery.payload[..], delivery.qos), ("t", &b"x"[..], qos));
        }
    }
}

/// v311: X31-MISMATCH
#[test]
fn a_name_with_the_level_of_the_other_is_refused() {
    for (name, level) in [("MQIsdp", 4), ("MQIsdp", 5), ("MQTT", 3)] {
        let mut story = Story::new(1);
        let client = first(&mut story, &connect(name, level, 0x02, &[&text("a")]));
        story.expect_refused(client, 1);
    }
}

/// v311: X31-CLIENTID23
#[test]
fn identifiers_above_23_characters_are_refused_where_the_operator_is_strict() {
    for (is_strict, length, code) in [(true, 23, 0), (true, 24, 2), (false, 24, 0)] {
        let mut story = Story::limited(|limits| limits.strict_v31_client_id = is_strict);
        let client = story.hello(&Hello::v31(&"x".repeat(length)));
        match code {
            0 => assert_eq!(story.hear_all(client), [Heard::ConnAck(false, 0, vec![])]),
            code => story.expect_refused(client, code),
        }
    }
    let mut story = Story::limited(|limits| limits.strict_v31_client_id = true);
    let later = story.connect(Hello::v311(&"x".repeat(24)));
    story.expect_open(later);
}

/// v311: X31-CLIENTIDEMPTY
#[test]
fn an_empty_identifier_is_refused() {
    let mut story = Story::new(1);
    for hello in [Hello::v31(""), Hello::v31("").resume()] {
        let client = story.hello(&hello);
        story.expect_refused(client, 2);
    }
}

/// v311: X31-SESSIONPRESENT
#[test]
fn connack_does_not_say_that_a_session_is_present() {
    for shards in [1, 3] {
        let mut story = Story::new(shards);
        let client = story.connect(Hello::v31("a").resume());
        story.subscribe(client, "t", 1);
        story.cut(client);
        let writer = story.connect(Hello::v31("writer"));
        story.publish_fully(writer, Post::to("t").qos(1).payload("x"));
        let client = story.hello(&Hello::v31("a").resume());
        let expected = [hex("2002 0000"), packet(0x32, &[&text("t"), &[0, 1], b"x"])].concat();
        assert_eq!(story.world.receive(client.0), expected);
    }
}

/// v311: X31-SUBACK
#[test]
fn a_refused_filter_is_told_by_0x80_to_clients_of_3_1_too() {
    let mut story = Story::with(|_| {}, Rules::default().deny(Verb::Subscribe, "denied").policy());
    let client = story.connect(Hello::v31("a"));
    assert_eq!(story.subscribe(client, "denied", 1), 0x80);
    assert_eq!(story.subscribe(client, "granted", 1), 1);
    story.publish(client, Post::to("denied"));
    story.expect_silence(client);
}

/// v311: X31-HEADERFLAGS
#[test]
fn dup_is_tolerated_on_the_requests_that_3_1_sent_again() {
    let subscribe = |flags: u8| packet(0x80 | flags, &[&[0, 1], &text("t"), &[0]]);
    let unsubscribe = |flags: u8| packet(0xA0 | flags, &[&[0, 2], &text("t")]);
    let pubrel = |flags: u8| packet(0x60 | flags, &[&[0, 3]]);
    let mut story = Story::new(1);
    let client = story.connect(Hello::v31("a"));
    story.send(client, &[subscribe(0xA), unsubscribe(0xA), pubrel(0xA)].concat());
    let answers = [Heard::SubAck(1, vec![0], vec![]), Heard::UnsubAck(2, vec![], vec![]), Heard::PubComp(3, 0, vec![])];
    assert_eq!(story.hear_all(client), answers);
    for wrong in [subscribe(0x8), subscribe(0xC), unsubscribe(0x0), pubrel(0xB)] {
        let client = story.connect(Hello::v31("b"));
        story.send(client, &wrong);
        story.expect_closed(client);
    }
    for later in [subscribe(0xA), unsubscribe(0xA), pubrel(0xA)] {
        let client = story.connect(Hello::v311("c"));
        story.send(client, &later);
        story.expect_closed(client);
    }
}

/// v311: X31-RETRY
#[test]
fn what_a_client_sends_again_on_its_connection_is_answered_again_and_delivered_once() {
    for shards in [1, 3] {
        let mut story = Story::new(shards);
        let reader = story.connect(Hello::v31("reader"));
        story.subscribe(reader, "t", 0);
        let client = story.connect(Hello::v31("a"));
        story.publish(client, Post::to("t").qos(2).id(5));
        story.publish(client, Post::to("t").qos(2).id(5).dup());
        story.pubrel(client, 5);
        story.send(client, &packet(0x6A, &[&[0, 5]]));
        let (rec, comp) = (Heard::PubRec(5, 0, vec![]), Heard::PubComp(5, 0, vec![]));
        assert_eq!(story.hear_all(client), [rec.clone(), rec, comp.clone(), comp]);
        assert_eq!(story.deliveries(reader).len(), 1);
    }
}

/// v311: X31-PASSWORD
#[test]
fn announced_credentials_that_are_missing_count_as_none() {
    for (flags, fields) in [(0x82, vec![]), (0xC2, vec![]), (0xC2, text("alice"))] {
        let bytes = connect("MQIsdp", 3, flags, &[&text("a"), &fields]);
        let mut story = Story::new(2);
        let client = first(&mut story, &bytes);
        assert_eq!(story.hear_all(client), [Heard::ConnAck(false, 0, vec![])]);
        let users = Users(&[("alice", "secret")]);
        let mut story = Story::with(|_| {}, Policy::new(vec![Box::new(users)], Box::new(Rules::default())));
        let client = first(&mut story, &bytes);
        story.expect_refused(client, 4);
    }
}

/// v311: X31-LEVELMIX
#[test]
fn clients_of_all_versions_exchange_messages() {
    for shards in [1, 3] {
        let mut story = Story::new(shards);
        let readers = Version::ALL.map(|version| story.connect(Hello::new(version, &format!("r{version:?}"))));
        let writers = Version::ALL.map(|version| story.connect(Hello::new(version, &format!("w{version:?}"))));
        for reader in &readers {
            assert_eq!(story.subscribe(*reader, "t/+", 2), 2);
        }
        for (version, writer) in Version::ALL.into_iter().zip(writers) {
            for qos in 0..=2 {
                let topic = format!("t/{version:?}{qos}");
                let mut post = Post::to(&topic).qos(qos).payload("x").retain();
                if version == Version::V5 {
                    post = post.with(Property::User("name", "value")).expiry(60);
                }
                story.post(writer, post);
                for (reader, to) in readers.into_iter().zip(Version::ALL) {
                    let delivery = story.delivery(reader);
                    let seen = (delivery.topic.as_str(), &delivery.payload[..], delivery.qos);
                    assert_eq!(seen, (topic.as_str(), &b"x"[..], qos), "{version:?} to {to:?}");
                    let is_rich = (version, to) == (Version::V5, Version::V5);
                    assert_eq!((delivery.user.len(), delivery.expiry), (usize::from(is_rich), is_rich.then_some(60)));
                }
            }
        }
        for version in Version::ALL {
            let late = story.connect(Hello::new(version, "late"));
            story.subscribe(late, "t/#", 1);
            assert_eq!(story.deliveries(late).len(), 9, "retained messages reach {version:?}");
        }
    }
}
