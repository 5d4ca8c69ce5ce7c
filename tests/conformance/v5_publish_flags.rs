//! MQTT 5.0, section 3.3.1: DUP, QoS and RETAIN of PUBLISH.

use crate::support::story::{Client, Delivery, Hello, Post, Story, Wish};

fn payloads(deliveries: &[Delivery]) -> Vec<&[u8]> {
    deliveries.iter().map(|delivery| &delivery.payload[..]).collect()
}

/// A broker whose `t` retains `A`, with a client that publishes.
fn retaining(shards: usize) -> (Story, Client) {
    let mut story = Story::new(shards);
    let writer = story.connect(Hello::v5("writer"));
    story.publish(writer, Post::to("t").payload("A").retain());
    (story, writer)
}

/// What a new subscriber of `t` gets.
fn found_by_a_new_subscriber(story: &mut Story) -> Vec<Delivery> {
    let reader = story.connect(Hello::v5("new"));
    story.subscribe(reader, "t", 0);
    story.deliveries(reader)
}

/// v5: MQTT-3.3.1-1
#[test]
fn a_publish_that_is_sent_again_says_dup() {
    for (shards, qos) in [(1, 1), (1, 2), (3, 1), (3, 2)] {
        let mut story = Story::new(shards);
        let mut reader = story.connect(Hello::v5("reader").expiry(60));
        story.subscribe(reader, "t", qos);
        let writer = story.connect(Hello::v5("writer"));
        story.publish(writer, Post::to("t").qos(qos).payload("x"));
        let first = story.delivery(reader);
        assert!(!first.dup);
        for _ in 0..2 {
            story.cut(reader);
            reader = story.connect(Hello::v5("reader").expiry(60).resume());
            let again = story.delivery(reader);
            assert!(again.dup);
            assert_eq!((again.id, &again.payload, again.qos), (first.id, &first.payload, qos));
        }
    }
}

/// v5: MQTT-3.3.1-2
#[test]
fn qos_0_never_says_dup() {
    let mut story = Story::limited(|limits| limits.queue_qos0 = true);
    let reader = story.connect(Hello::v5("reader").expiry(60));
    story.subscribe(reader, "t", 0);
    let writer = story.connect(Hello::v5("writer"));
    story.publish(writer, Post::to("t").qos(1).dup());
    assert!(matches!(story.delivery(reader), Delivery { qos: 0, dup: false, .. }));
    story.cut(reader);
    story.publish(writer, Post::to("t").qos(1).id(2).dup());
    let reader = story.connect(Hello::v5("reader").expiry(60).resume());
    assert!(matches!(story.delivery(reader), Delivery { qos: 0, dup: false, .. }));
    story.hear_all(writer);
    story.send(writer, b"\x38\x05\x00\x01t\x00x");
    story.expect_closed_for(writer, &[0x81]);
    story.expect_silence(reader);
}

/// v5: MQTT-3.3.1-3
#[test]
fn dup_of_the_publisher_is_not_handed_on() {
    for (shards, qos) in [(1, 1), (1, 2), (3, 1), (3, 2)] {
        let mut story = Story::new(shards);
        let reader = story.connect(Hello::v5("reader"));
        story.subscribe(reader, "t", 2);
        let writer = story.connect(Hello::v5("writer"));
        assert_eq!(story.publish_fully(writer, Post::to("t").qos(qos).dup()), 0);
        assert!(!story.delivery(reader).dup);
    }
}

/// v5: MQTT-3.3.1-4
#[test]
fn both_qos_bits_are_malformed() {
    for first in [0x36, 0x37, 0x3e, 0x3f] {
        let mut story = Story::new(2);
        let reader = story.connect(Hello::v5("reader"));
        story.subscribe(reader, "t", 2);
        let writer = story.connect(Hello::v5("writer"));
        story.send(writer, &[first, 7, 0, 1, b't', 0, 1, 0, b'x']);
        story.expect_closed_for(writer, &[0x81]);
        story.expect_silence(reader);
    }
}

/// v5: MQTT-3.3.1-5
#[test]
fn a_retained_message_replaces_the_older_one() {
    for shards in [1, 3] {
        let (mut story, writer) = retaining(shards);
        assert_eq!(story.publish_fully(writer, Post::to("t").payload("B").qos(1).retain()), 0x10);
        let found = found_by_a_new_subscriber(&mut story);
        assert_eq!(payloads(&found), [b"B"]);
        assert!(found[0].retain);
    }
}

/// v5: MQTT-3.3.1-6
#[test]
fn an_empty_retained_message_is_handed_on_and_erases() {
    for shards in [1, 3] {
        let (mut story, writer) = retaining(shards);
        let reader = story.connect(Hello::v5("reader"));
        story.subscribe_to(reader, 1, &[Wish::to("t", 0).handling(2)], None);
        story.publish(writer, Post::to("t").retain());
        assert_eq!(payloads(&story.deliveries(reader)), [b""]);
        assert_eq!(found_by_a_new_subscriber(&mut story), []);
    }
}

/// v5: MQTT-3.3.1-7
#[test]
fn an_empty_message_is_never_retained() {
    for shards in [1, 3] {
        let mut story = Story::new(shards);
        let writer = story.connect(Hello::v5("writer"));
        story.publish(writer, Post::to("t").retain());
        assert_eq!(story.publish_fully(writer, Post::to("t").qos(1).retain()), 0x10);
        assert_eq!(found_by_a_new_subscriber(&mut story), []);
        assert!(story.world.shards.iter().all(|shard| shard.sizes().retained == 0));
    }
}

/// v5: MQTT-3.3.1-8
#[test]
fn a_message_without_retain_leaves_the_retained_one() {
    for shards in [1, 3] {
        let (mut story, writer) = retaining(shards);
        for qos in 0..=2 {
            story.publish(writer, Post::to("t").payload("B").qos(qos));
            story.publish(writer, Post::to("t").qos(qos).id(2));
            story.publish(writer, Post::to("t").payload("C").qos(qos).id(3).expiry(60));
        }
        assert_eq!(payloads(&found_by_a_new_subscriber(&mut story)), [b"A"]);
        story.publish(writer, Post::to("other").payload("C"));
        story.publish(writer, Post::to("t").retain());
        assert_eq!(found_by_a_new_subscriber(&mut story), []);
    }
}

/// v5: MQTT-3.3.1-9
#[test]
fn retain_handling_0_sends_at_every_subscribe() {
    for shards in [1, 3] {
        let (mut story, writer) = retaining(shards);
        story.publish(writer, Post::to("u").payload("U").retain());
        let reader = story.connect(Hello::v5("reader"));
        for _ in 0..3 {
            story.subscribe_to(reader, 1, &[Wish::to("t", 0).handling(0)], None);
            let found = story.deliveries(reader);
            assert_eq!(payloads(&found), [b"A"]);
            assert!(found[0].retain);
        }
        story.subscribe_to(reader, 2, &[Wish::to("+", 0).handling(0)], None);
        let mut found = story.deliveries(reader);
        found.sort_by(|one, other| one.topic.cmp(&other.topic));
        assert_eq!(payloads(&found), [b"A", b"U"]);
    }
}

/// v5: MQTT-3.3.1-10
#[test]
fn retain_handling_1_sends_only_for_a_new_subscription() {
    for shards in [1, 3] {
        let (mut story, _) = retaining(shards);
        let reader = story.connect(Hello::v5("reader").expiry(60));
        story.subscribe_to(reader, 1, &[Wish::to("t", 0).handling(1)], None);
        assert_eq!(payloads(&story.deliveries(reader)), [b"A"]);
        story.subscribe_to(reader, 2, &[Wish::to("t", 0).handling(1)], None);
        story.subscribe_to(reader, 3, &[Wish::to("t", 1).keep_retain().handling(1)], Some(5));
        story.expect_silence(reader);
        story.cut(reader);
        let reader = story.connect(Hello::v5("reader").expiry(60).resume());
        story.subscribe_to(reader, 4, &[Wish::to("t", 0).handling(1)], None);
        story.expect_silence(reader);
        story.unsubscribe(reader, 5, &["t"]);
        story.subscribe_to(reader, 6, &[Wish::to("t", 0).handling(1)], None);
        assert_eq!(payloads(&story.deliveries(reader)), [b"A"]);
    }
}

/// v5: MQTT-3.3.1-11
#[test]
fn retain_handling_2_sends_nothing_retained() {
    for shards in [1, 3] {
        let (mut story, writer) = retaining(shards);
        let reader = story.connect(Hello::v5("reader"));
        assert_eq!(story.subscribe_to(reader, 1, &[Wish::to("t", 0).handling(2)], None), [0]);
        assert_eq!(story.subscribe_to(reader, 2, &[Wish::to("#", 0).handling(2)], None), [0]);
        story.expect_silence(reader);
        story.publish(writer, Post::to("t").payload("live"));
        assert_eq!(payloads(&story.deliveries(reader)), [b"live"]);
    }
}

/// v5: MQTT-3.3.1-12, MQTT-3.3.1-13
#[test]
fn retain_as_published_decides_whether_live_copies_keep_retain() {
    for (shards, qos) in [(1, 0), (1, 1), (3, 0), (3, 2)] {
        let mut story = Story::new(shards);
        let plain = story.connect(Hello::v5("plain"));
        story.subscribe_to(plain, 1, &[Wish::to("t", qos)], None);
        let faithful = story.connect(Hello::v5("faithful"));
        story.subscribe_to(faithful, 1, &[Wish::to("t", qos).keep_retain()], None);
        let writer = story.connect(Hello::v5("writer"));
        story.publish(writer, Post::to("t").payload("1").qos(qos).id(1).retain());
        story.publish(writer, Post::to("t").payload("0").qos(qos).id(2));
        let flags = |deliveries: Vec<Delivery>| deliveries.iter().map(|delivery| delivery.retain).collect::<Vec<_>>();
        assert_eq!(flags(story.deliveries(plain)), [false, false]);
        assert_eq!(flags(story.deliveries(faithful)), [true, false]);
    }
}
