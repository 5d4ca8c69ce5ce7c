//! MQTT 3.1.1, chapter 3.3: PUBLISH and what follows from it; retained messages.

use pregon::engine::limits::Overlap;
use pregon::mqtt::Version;

use crate::support::policies::{Rules, Verb};
use crate::support::raw::{packet, text};
use crate::support::story::{Heard, Hello, Post, Story, Wish};

/// v311: MQTT-3.3.1-1, MQTT-4.3.2-1
#[test]
fn only_what_is_sent_again_says_dup() {
    for qos in [1, 2] {
        let mut story = Story::new(3);
        let reader = story.connect(Hello::v311("reader").resume());
        story.subscribe(reader, "t", qos);
        let writer = story.connect(Hello::v311("writer"));
        story.publish_fully(writer, Post::to("t").qos(qos).payload("kept"));
        story.publish_fully(writer, Post::to("t").qos(qos).payload("done"));
        let first = story.deliveries(reader);
        assert_eq!(first.iter().map(|it| it.dup).collect::<Vec<_>>(), [false, false]);
        assert_ne!(first[0].id, first[1].id);
        let done = first[1].id.unwrap();
        if qos == 1 {
            story.puback(reader, done);
        } else {
            story.pubrec(reader, done);
            story.pubcomp(reader, done);
        }
        story.cut(reader);
        let reader = story.connect(Hello::v311("reader").resume());
        let again = story.delivery(reader);
        assert_eq!((&again.payload[..], again.dup, again.id), (&b"kept"[..], true, first[0].id));
        story.expect_silence(reader);
    }
}

/// v311: MQTT-3.3.1-2
#[test]
fn qos_0_knows_no_dup() {
    let mut story = Story::new(3);
    let reader = story.connect(Hello::v311("reader"));
    story.subscribe(reader, "t", 0);
    let writer = story.connect(Hello::v311("writer"));
    story.publish(writer, Post::to("t").qos(1).dup());
    let delivery = story.delivery(reader);
    assert_eq!((delivery.qos, delivery.dup), (0, false));
    story.send(writer, &packet(0x38, &[&text("t"), b"x"]));
    assert_eq!(story.hear_all(writer), [Heard::PubAck(1, 0, vec![]), Heard::Closed]);
    story.expect_silence(reader);
}

/// v311: MQTT-3.3.1-3
#[test]
fn dup_of_the_publisher_is_not_handed_on() {
    for qos in [1, 2] {
        let mut story = Story::new(3);
        let reader = story.connect(Hello::v311("reader"));
        story.subscribe(reader, "t", qos);
        let writer = story.connect(Hello::v311("writer"));
        story.publish_fully(writer, Post::to("t").qos(qos).dup());
        let delivery = story.delivery(reader);
        assert_eq!((delivery.qos, delivery.dup), (qos, false));
    }
}

/// v311: MQTT-3.3.1-4, MQTT-3.3.2-1, MQTT-3.3.2-2, MQTT-4.7.1-1
#[test]
fn a_publish_that_cannot_be_closes_and_goes_nowhere() {
    for bad in [
        packet(0x36, &[&text("t"), &[0, 1], b"x"]),
        packet(0x3E, &[&text("t"), &[0, 1], b"x"]),
        packet(0x30, &[&[0, 9], b"t/x"]),
        packet(0x30, &[&[0]]),
        packet(0x30, &[&text(b"t/\xFF"), b"x"]),
        packet(0x30, &[&text("t/+"), b"x"]),
        packet(0x30, &[&text("t/#"), b"x"]),
        packet(0x32, &[&text("t/+/x"), &[0, 1], b"x"]),
        packet(0x30, &[&text("t+"), b"x"]),
    ] {
        let mut story = Story::new(2);
        let watcher = story.connect(Hello::v311("watcher"));
        story.subscribe(watcher, "#", 0);
        let writer = story.connect(Hello::v311("writer"));
        story.send(writer, &bad);
        assert_eq!(story.hear_all(writer), [Heard::Closed], "{bad:02x?}");
        story.expect_silence(watcher);
    }
}

/// v311: MQTT-3.3.1-5, MQTT-3.3.1-6, MQTT-3.3.1-8
#[test]
fn a_new_subscription_brings_the_last_retained_message_of_each_topic() {
    for shards in [1, 3] {
        for qos in 0..=2 {
            let mut story = Story::new(shards);
            let writer = story.connect(Hello::v311("writer"));
            for (topic, payload) in [("a/1", "old"), ("a/1", "1"), ("a/2", "2"), ("a", "none"), ("b/1", "none")] {
                story.post(writer, Post::to(topic).qos(qos).payload(payload).retain());
            }
            let reader = story.connect(Hello::v311("reader"));
            story.subscribe(reader, "a/+", 2);
            let mut deliveries = story.deliveries(reader);
            deliveries.sort_by(|a, b| a.topic.cmp(&b.topic));
            let seen: Vec<_> =
                deliveries.iter().map(|it| (it.topic.as_str(), &it.payload[..], it.qos, it.retain)).collect();
            assert_eq!(seen, [("a/1", &b"1"[..], qos, true), ("a/2", b"2", qos, true)]);
        }
    }
}

/// v311: MQTT-3.3.1-7
#[test]
fn a_retained_message_of_qos_0_replaces_the_older_one() {
    let mut story = Story::new(3);
    let writer = story.connect(Hello::v311("writer"));
    story.publish_fully(writer, Post::to("t").qos(1).payload("A").retain());
    story.publish(writer, Post::to("t").payload("B").retain());
    let reader = story.connect(Hello::v311("reader"));
    story.subscribe(reader, "t", 1);
    let delivery = story.delivery(reader);
    assert_eq!((&delivery.payload[..], delivery.qos), (&b"B"[..], 0));
    story.expect_silence(reader);
}

/// v311: MQTT-3.3.1-9
#[test]
fn an_old_subscription_sees_no_retain_flag() {
    for shards in [1, 3] {
        let mut story = Story::new(shards);
        let readers = ["a", "b", "c"].map(|id| story.connect(Hello::v311(id)));
        for (reader, qos) in readers.into_iter().zip(0..) {
            assert_eq!(story.subscribe(reader, "t", qos), qos);
        }
        let writer = story.connect(Hello::v311("writer"));
        story.publish_fully(writer, Post::to("t").qos(2).payload("x").retain());
        for reader in readers {
            assert!(!story.delivery(reader).retain);
            story.expect_silence(reader);
        }
    }
}

/// v311: MQTT-3.3.1-10, MQTT-3.3.1-11
#[test]
fn an_empty_retained_message_is_delivered_and_erases() {
    for shards in [1, 3] {
        for qos in [1, 2] {
            let mut story = Story::new(shards);
            let writer = story.connect(Hello::v311("writer"));
            let live = story.connect(Hello::v311("live"));
            story.publish_fully(writer, Post::to("t").qos(qos).payload("A").retain());
            story.subscribe(live, "t", 0);
            assert!(story.delivery(live).retain);
            story.publish_fully(writer, Post::to("t").qos(qos).retain());
            let erasing = story.delivery(live);
            assert_eq!((&erasing.payload[..], erasing.retain), (&b""[..], false));
            story.publish_fully(writer, Post::to("never").qos(qos).retain());
            let reader = story.connect(Hello::v311("reader"));
            story.subscribe(reader, "#", 0);
            story.expect_silence(reader);
            assert_eq!(story.world.shards.iter().map(|shard| shard.sizes().retained).sum::<usize>(), 0);
        }
    }
}

/// v311: MQTT-3.3.1-12
#[test]
fn without_retain_the_stored_message_stays_as_it_is() {
    for shards in [1, 3] {
        let mut story = Story::new(shards);
        let writer = story.connect(Hello::v311("writer"));
        story.publish(writer, Post::to("t").payload("A").retain());
        for qos in 0..=2 {
            story.post(writer, Post::to("t").qos(qos).payload("B"));
            story.post(writer, Post::to("t").qos(qos));
        }
        let reader = story.connect(Hello::v311("reader"));
        story.subscribe(reader, "t", 0);
        assert_eq!(story.delivery(reader).payload, b"A");
        story.expect_silence(reader);
    }
}

/// v311: MQTT-3.3.4-1
#[test]
fn the_answer_to_publish_depends_on_its_qos() {
    for shards in [1, 3] {
        for is_wanted in [false, true] {
            let mut story = Story::new(shards);
            let reader = story.connect(Hello::v311("reader"));
            if is_wanted {
                story.subscribe(reader, "t", 2);
            }
            let writer = story.connect(Hello::v311("writer"));
            story.publish(writer, Post::to("t"));
            story.expect_silence(writer);
            story.publish(writer, Post::to("t").qos(1).id(5));
            assert_eq!(story.hear_all(writer), [Heard::PubAck(5, 0, vec![])]);
            story.publish(writer, Post::to("t").qos(2).id(6));
            assert_eq!(story.hear_all(writer), [Heard::PubRec(6, 0, vec![])]);
        }
    }
}

/// v311: MQTT-3.3.5-1
#[test]
fn overlapping_subscriptions_get_the_highest_qos() {
    for shards in [1, 3] {
        for order in [["a/#", "a/+"], ["a/+", "a/#"]] {
            let mut story = Story::new(shards);
            let reader = story.connect(Hello::v311("reader"));
            let wishes = order.map(|filter| Wish::to(filter, if filter == "a/#" { 2 } else { 0 }));
            story.subscribe_to(reader, 1, &wishes, None);
            let writer = story.connect(Hello::v311("writer"));
            story.publish_fully(writer, Post::to("a/b").qos(2));
            let deliveries = story.deliveries(reader);
            assert_eq!(deliveries.iter().map(|it| it.qos).collect::<Vec<_>>(), [2]);
        }
    }
}

/// v311: X311-OVERLAP
#[test]
fn overlapping_subscriptions_get_one_copy_each_where_the_operator_wants_it() {
    for (overlap, expected) in [(Overlap::Merged, &[2][..]), (Overlap::Separate, &[0, 2])] {
        let mut story = Story::limited(|limits| limits.overlap = overlap);
        let reader = story.connect(Hello::v311("reader"));
        story.subscribe_to(reader, 1, &[Wish::to("a/#", 2), Wish::to("a/b", 0)], None);
        let writer = story.connect(Hello::v311("writer"));
        story.publish_fully(writer, Post::to("a/b").qos(2));
        let mut copies: Vec<u8> = story.deliveries(reader).iter().map(|it| it.qos).collect();
        copies.sort_unstable();
        assert_eq!(copies, expected);
    }
}

/// v311: MQTT-3.3.5-2
#[test]
fn a_publish_without_the_right_is_acknowledged_and_goes_nowhere() {
    let mut story = Story::with(|_| {}, Rules::default().deny(Verb::Publish, "secret/#").policy());
    let watcher = story.connect(Hello::v311("watcher"));
    story.subscribe(watcher, "#", 2);
    let writer = story.connect(Hello::v311("writer"));
    story.publish(writer, Post::to("secret/0").retain().payload("x"));
    assert_eq!(story.publish_fully(writer, Post::to("secret/1").qos(1).id(1)), 0);
    assert_eq!(story.publish_fully(writer, Post::to("secret/2").qos(2).id(2)), 0);
    story.expect_open(writer);
    story.expect_silence(watcher);
    story.publish(writer, Post::to("public"));
    assert_eq!(story.delivery(watcher).topic, "public");
    let late = story.connect(Hello::v311("late"));
    story.subscribe(late, "secret/#", 0);
    story.expect_silence(late);
}

/// v311: MQTT-3.12.4-1
#[test]
fn pingreq_is_answered() {
    let mut story = Story::new(1);
    let client = story.open(Version::V311);
    story.send(client, &[Hello::v311("a").encode(), vec![0xC0, 0, 0xC0, 0]].concat());
    assert_eq!(story.world.receive(client.0), [0x20, 2, 0, 0, 0xD0, 0, 0xD0, 0]);
}
