//! MQTT 5.0, section 3.3.4: what a PUBLISH sets going, overlapping subscriptions, and the windows of both sides.

use pregon::engine::limits::Overlap;
use pregon::mqtt::properties::{Place, Properties};

use crate::support::story::{Client, Delivery, Heard, Hello, Post, Story, Wish};

/// v5: MQTT-3.3.4-1
#[test]
fn the_answer_to_a_publish_is_that_of_its_qos() {
    for shards in [1, 3] {
        let mut story = Story::new(shards);
        let reader = story.connect(Hello::v5("reader"));
        story.subscribe(reader, "t", 2);
        let writer = story.connect(Hello::v5("writer"));
        story.publish(writer, Post::to("t").qos(0));
        story.expect_silence(writer);
        story.publish(writer, Post::to("t").qos(1).id(7));
        assert_eq!(story.hear_all(writer), [Heard::PubAck(7, 0, vec![])]);
        story.publish(writer, Post::to("t").qos(2).id(8));
        assert_eq!(story.hear_all(writer), [Heard::PubRec(8, 0, vec![])]);
        assert_eq!(story.deliveries(reader).len(), 3);
    }
}

/// A subscriber of `a/#`, `a/+` and `a/b` with identifiers 1, 2 and none; it gets one message on `a/b`.
fn overlapping(overlap: Overlap, qos: [u8; 3]) -> Vec<Delivery> {
    let mut story = Story::limited(|limits| limits.overlap = overlap);
    let reader = story.connect(Hello::v5("reader"));
    story.subscribe_to(reader, 1, &[Wish::to("a/#", qos[0])], Some(1));
    story.subscribe_to(reader, 2, &[Wish::to("a/+", qos[1])], Some(2));
    story.subscribe_to(reader, 3, &[Wish::to("a/b", qos[2])], None);
    let writer = story.connect(Hello::v5("writer"));
    assert_eq!(story.publish_fully(writer, Post::to("a/b").qos(2)), 0);
    story.deliveries(reader)
}

/// v5: MQTT-3.3.4-2
#[test]
fn overlapping_subscriptions_respect_the_highest_qos() {
    for (qos, highest) in [([2, 0, 1], 2), ([0, 1, 2], 2), ([0, 1, 0], 1), ([0, 0, 0], 0)] {
        let merged = overlapping(Overlap::Merged, qos);
        assert_eq!(merged.iter().map(|delivery| delivery.qos).collect::<Vec<_>>(), [highest]);
        let mut separate: Vec<_> = overlapping(Overlap::Separate, qos).iter().map(|delivery| delivery.qos).collect();
        let mut expected = qos;
        expected.sort_unstable();
        separate.sort_unstable();
        assert_eq!(separate, expected);
    }
}

/// v5: MQTT-3.3.4-3, MQTT-3.3.4-4
#[test]
fn one_copy_carries_the_identifiers_of_all_its_subscriptions() {
    for qos in 0..=2 {
        let deliveries = overlapping(Overlap::Merged, [qos; 3]);
        assert_eq!(deliveries.len(), 1);
        let mut ids = deliveries[0].subscription_ids.clone();
        ids.sort_unstable();
        assert_eq!(ids, [1, 2]);
    }
}

/// v5: MQTT-3.3.4-3, MQTT-3.3.4-5
#[test]
fn separate_copies_carry_their_own_identifier() {
    for qos in 0..=2 {
        let deliveries = overlapping(Overlap::Separate, [qos; 3]);
        let mut ids: Vec<_> = deliveries.into_iter().map(|delivery| delivery.subscription_ids).collect();
        ids.sort_unstable();
        assert_eq!(ids, [vec![], vec![1], vec![2]]);
    }
}

/// v5: MQTT-3.3.4-6
#[test]
fn a_client_does_not_send_subscription_identifiers() {
    let mut story = Story::new(2);
    let reader = story.connect(Hello::v5("reader"));
    story.subscribe(reader, "t", 0);
    let writer = story.connect(Hello::v5("writer"));
    story.send(writer, b"\x30\x07\x00\x01t\x02\x0b\x05x");
    story.expect_closed_for(writer, &[0x82]);
    story.expect_silence(reader);
}

/// Connects and tells the Receive Maximum that CONNACK announces.
fn connect_announced(story: &mut Story, id: &str) -> (Client, u16) {
    let client = story.hello(&Hello::v5(id));
    let Some(Heard::ConnAck(_, 0, raw)) = story.hear(client) else { panic!("no CONNACK") };
    let announced = Properties::parse(&raw, Place::ConnAck).expect("properties of the broker").receive_maximum();
    (client, announced.unwrap_or(u16::MAX))
}

/// v5: MQTT-3.3.4-7
#[test]
fn a_client_stays_within_the_announced_receive_maximum() {
    let mut story = Story::limited(|limits| limits.receive_maximum = 3);
    let (writer, announced) = connect_announced(&mut story, "writer");
    assert_eq!(announced, 3);
    for id in 1..=3 {
        story.publish(writer, Post::to("t").qos(2).id(id));
        assert!(matches!(story.hear(writer), Some(Heard::PubRec(of, 0x10, _)) if of == id));
    }
    story.pubrel(writer, 2);
    assert!(matches!(story.hear(writer), Some(Heard::PubComp(2, 0, _))));
    story.publish(writer, Post::to("t").qos(2).id(4));
    assert!(matches!(story.hear(writer), Some(Heard::PubRec(4, 0x10, _))));
    story.publish(writer, Post::to("t").qos(0));
    story.expect_open(writer);
    story.publish(writer, Post::to("t").qos(2).id(5));
    story.expect_closed_for(writer, &[0x93]);
}

/// v5: MQTT-3.3.4-8
#[test]
fn a_full_window_of_the_client_holds_nothing_else_up() {
    let mut story = Story::limited(|limits| limits.receive_maximum = 2);
    let (client, _) = connect_announced(&mut story, "client");
    story.publish(client, Post::to("t").qos(2).id(1));
    story.publish(client, Post::to("t").qos(2).id(2));
    assert_eq!(story.hear_all(client).len(), 2);
    story.expect_open(client);
    assert_eq!(story.subscribe(client, "t", 1), 1);
    story.publish(client, Post::to("t").payload("qos 0"));
    assert_eq!(story.delivery(client).payload, b"qos 0");
    assert_eq!(story.unsubscribe(client, 2, &["t"]), [0]);
}

/// v5: MQTT-3.3.4-9
#[test]
fn the_broker_stays_within_the_receive_maximum_of_the_client() {
    for shards in [1, 3] {
        let mut story = Story::new(shards);
        let reader = story.connect(Hello::v5("reader").receive_maximum(2));
        story.subscribe(reader, "t", 2);
        let writer = story.connect(Hello::v5("writer"));
        for number in 1..=10 {
            story.publish(writer, Post::to("t").payload([number]).qos(1 + number % 2).id(number.into()));
        }
        let mut open = story.deliveries(reader);
        for number in 1..=10 {
            assert!(open.len() <= 2, "{} are open", open.len());
            let oldest = open.remove(0);
            assert_eq!(oldest.payload, [number]);
            let id = oldest.id.expect("QoS 1 or 2");
            if oldest.qos == 1 {
                story.puback(reader, id);
            } else {
                story.pubrec(reader, id);
                assert_eq!(story.hear_all(reader), [Heard::PubRel(id, 0, vec![])]);
                story.pubcomp(reader, id);
            }
            let released = story.deliveries(reader);
            assert_eq!(released.len(), usize::from(number <= 8));
            open.extend(released);
        }
    }
}

/// v5: MQTT-3.3.4-9
#[test]
fn a_refused_delivery_leaves_the_window() {
    let mut story = Story::new(2);
    let reader = story.connect(Hello::v5("reader").receive_maximum(1));
    story.subscribe(reader, "t", 2);
    let writer = story.connect(Hello::v5("writer"));
    story.publish(writer, Post::to("t").payload("1").qos(2).id(1));
    story.publish(writer, Post::to("t").payload("2").qos(2).id(2));
    let first = story.delivery(reader);
    story.expect_silence(reader);
    let [hi, lo] = first.id.expect("QoS 2").to_be_bytes();
    story.send(reader, &[0x50, 3, hi, lo, 0x97]);
    assert_eq!(story.delivery(reader).payload, b"2");
    story.expect_silence(reader);
}

/// v5: MQTT-3.3.4-10
#[test]
fn a_full_window_towards_the_client_holds_nothing_else_up() {
    for shards in [1, 3] {
        let mut story = Story::new(shards);
        let client = story.connect(Hello::v5("client").receive_maximum(1));
        story.subscribe(client, "t", 1);
        let writer = story.connect(Hello::v5("writer"));
        for id in 1..=3 {
            story.publish(writer, Post::to("t").qos(1).id(id));
        }
        assert_eq!(story.deliveries(client).len(), 1);
        story.expect_open(client);
        assert_eq!(story.subscribe(client, "u", 1), 1);
        assert_eq!(story.publish_fully(client, Post::to("elsewhere").qos(1)), 0x10);
        assert_eq!(story.publish_fully(client, Post::to("elsewhere").qos(2)), 0x10);
        story.publish(client, Post::to("u").payload("qos 0"));
        assert_eq!(story.delivery(client).payload, b"qos 0");
        assert_eq!(story.unsubscribe(client, 3, &["u"]), [0]);
        story.expect_silence(client);
    }
}
