//! MQTT 3.1.1, chapters 3.8 to 3.11: SUBSCRIBE, UNSUBSCRIBE and their answers.

use pregon::mqtt::{QoS, Version};

use crate::support::policies::{Rules, Verb};
use crate::support::raw::{packet, text};
use crate::support::story::{Client, Heard, Hello, Post, Story, Wish};

/// A broker with a subscriber and a publisher.
fn pair(shards: usize) -> (Story, Client, Client) {
    let mut story = Story::new(shards);
    let reader = story.connect(Hello::v311("reader"));
    let writer = story.connect(Hello::v311("writer"));
    (story, reader, writer)
}

/// v311: MQTT-3.8.3-1, MQTT-3.8.3-3, MQTT-3-8.3-4, MQTT-3.10.3-1, MQTT-3.10.3-2
#[test]
fn requests_that_cannot_be_close_and_change_nothing() {
    let mut bad = vec![
        packet(0x82, &[&[0, 2], &text(b"t/\xFF"), &[0]]),
        packet(0x82, &[&[0, 2], &text("t"), &[0], &text(b"\xC0\xAF"), &[0]]),
        packet(0x82, &[&[0, 2]]),
        packet(0x82, &[&[0, 2], &text("t")]),
        packet(0xA2, &[&[0, 2], &text(b"\xFF")]),
        packet(0xA2, &[&[0, 2]]),
    ];
    bad.extend([0x03, 0x04, 0x08, 0x10, 0x20, 0x40, 0x80].map(|byte| packet(0x82, &[&[0, 2], &text("t"), &[byte]])));
    for bad in bad {
        let mut story = Story::new(2);
        let client = story.connect(Hello::v311("a").resume());
        story.subscribe(client, "kept", 0);
        story.send(client, &bad);
        assert_eq!(story.hear_all(client), [Heard::Closed], "{bad:02x?}");
        assert_eq!(story.world.shards.iter().map(|shard| shard.sizes().subscriptions).sum::<usize>(), 1);
    }
}

/// v311: MQTT-3.8.3-2
#[test]
fn wildcards_are_refused_where_the_operator_has_none() {
    let mut story = Story::limited(|limits| limits.wildcard_available = false);
    let client = story.connect(Hello::v311("a"));
    let wishes = [Wish::to("a/#", 1), Wish::to("a/b", 1), Wish::to("+/b", 1)];
    assert_eq!(story.subscribe_to(client, 1, &wishes, None), [0x80, 1, 0x80]);
    story.publish(client, Post::to("a/c"));
    story.expect_silence(client);
}

/// v311: MQTT-3.8.4-1, MQTT-3.8.4-2, MQTT-2.3.1-7, MQTT-3.10.4-4
#[test]
fn suback_and_unsuback_repeat_the_identifier() {
    for shards in [1, 3] {
        let (mut story, client, _) = pair(shards);
        story.ask_to_subscribe(client, 300, &[Wish::to("t", 1)], None);
        assert_eq!(story.world.receive(client.0), [0x90, 3, 0x01, 0x2C, 1]);
        story.send(client, &packet(0xA2, &[&[0, 5], &text("t")]));
        assert_eq!(story.world.receive(client.0), [0xB0, 2, 0, 5]);
    }
}

/// v311: MQTT-3.8.4-3, X311-RETAIN-RESEND
#[test]
fn the_same_filter_again_replaces_the_subscription_and_brings_retained_messages_again() {
    for shards in [1, 3] {
        let (mut story, reader, writer) = pair(shards);
        story.publish_fully(writer, Post::to("t").qos(2).payload("kept").retain());
        for qos in [1, 0, 2] {
            assert_eq!(story.subscribe(reader, "t", qos), qos);
            let kept = story.delivery(reader);
            assert_eq!((&kept.payload[..], kept.qos, kept.retain), (&b"kept"[..], qos, true));
            story.publish_fully(writer, Post::to("t").qos(2).payload("live"));
            let live = story.delivery(reader);
            assert_eq!((&live.payload[..], live.qos, live.retain), (&b"live"[..], qos, false));
            story.expect_silence(reader);
        }
        // A message between two requests of one segment is not lost.
        let subscribe = packet(0x82, &[&[0, 9], &text("u"), &[0]]);
        let publish = Post::to("u").payload("between").encode(Version::V311);
        story.send(reader, &[&subscribe[..], &publish, &subscribe, &publish].concat());
        let heard = story.hear_all(reader);
        assert_eq!(heard.iter().filter(|it| matches!(it, Heard::Publish(_))).count(), 2);
    }
}

/// v311: MQTT-3.8.4-4, MQTT-3.8.4-5, MQTT-3.9.3-1, X311-SUBACK-80
#[test]
fn several_filters_get_one_suback_with_their_codes_in_order() {
    let mut story = Story::with(|_| {}, Rules::default().deny(Verb::Subscribe, "a/#").policy());
    let client = story.connect(Hello::v311("a"));
    let wishes = [Wish::to("q0", 0), Wish::to("a/#", 1), Wish::to("q2", 2), Wish::to("q1", 1)];
    story.ask_to_subscribe(client, 7, &wishes, None);
    assert_eq!(story.hear_all(client), [Heard::SubAck(7, vec![0, 0x80, 2, 1], vec![])]);
    for (topic, is_heard) in [("q0", true), ("a/b", false), ("q2", true), ("q1", true)] {
        let writer = story.connect(Hello::v311("writer"));
        story.publish(writer, Post::to(topic));
        assert_eq!(story.deliveries(client).len(), usize::from(is_heard), "{topic}");
    }
}

/// v311: MQTT-3.9.3-2
#[test]
fn every_refusal_of_a_filter_is_0x80() {
    let rules = Rules::default().deny(Verb::Subscribe, "denied");
    let change = |limits: &mut pregon::engine::limits::Limits| {
        limits.maximum_qos = QoS::AtLeastOnce;
        limits.shared_available = false;
        limits.topic_levels_max = 4;
        limits.subscriptions_max = 3;
    };
    let mut story = Story::with(change, rules.policy());
    let client = story.connect(Hello::v311("a"));
    let filters = ["q", "denied", "$share/g/t", "a/b/c/d/e", "r", "s", "one/too/many"];
    let wishes = filters.map(|filter| Wish::to(filter, 2));
    let codes = story.subscribe_to(client, 1, &wishes, None);
    assert_eq!(codes, [1, 0x80, 0x80, 0x80, 1, 1, 0x80]);
}

/// v311: MQTT-3.8.4-6, X311-QOS-DOWNGRADE
#[test]
fn a_delivery_has_the_lower_qos_of_publication_and_subscription() {
    for shards in [1, 3] {
        for granted in 0..=2 {
            for published in 0..=2 {
                let (mut story, reader, writer) = pair(shards);
                assert_eq!(story.subscribe(reader, "t", granted), granted);
                story.post(writer, Post::to("t").qos(published));
                let deliveries = story.deliveries(reader);
                assert_eq!(deliveries.iter().map(|it| it.qos).collect::<Vec<_>>(), [published.min(granted)]);
            }
        }
    }
}

/// v311: MQTT-3.10.4-1, MQTT-3.10.4-2, MQTT-3.10.4-5
#[test]
fn unsubscribe_compares_letter_by_letter_and_is_always_answered() {
    for shards in [1, 3] {
        let (mut story, reader, writer) = pair(shards);
        story.subscribe(reader, "a/+", 1);
        for (id, other) in ["a/b", "a/#", "A/+", "a/+/", "+/b", "unknown"].into_iter().enumerate() {
            let id = u16::try_from(id).unwrap() + 1;
            assert_eq!(story.unsubscribe(reader, id, &[other]), [0_u8; 0]);
            story.publish(writer, Post::to("a/b"));
            assert_eq!(story.deliveries(reader).len(), 1, "{other}");
        }
        story.unsubscribe(reader, 9, &["a/+"]);
        story.publish(writer, Post::to("a/b"));
        story.publish_fully(writer, Post::to("a/b").qos(1));
        story.expect_silence(reader);
    }
}

/// v311: MQTT-3.10.4-3
#[test]
fn deliveries_under_way_go_on_after_unsubscribe() {
    for shards in [1, 3] {
        let mut story = Story::new(shards);
        let reader = story.connect(Hello::v311("reader").resume());
        let writer = story.connect(Hello::v311("writer"));
        story.subscribe(reader, "t", 2);
        story.publish_fully(writer, Post::to("t").qos(2).payload("2"));
        story.publish_fully(writer, Post::to("t").qos(1).payload("1"));
        assert_eq!(story.deliveries(reader).iter().map(|it| it.id).collect::<Vec<_>>(), [Some(1), Some(2)]);
        story.unsubscribe(reader, 9, &["t"]);
        story.pubrec(reader, 1);
        assert_eq!(story.hear_all(reader), [Heard::PubRel(1, 0, vec![])]);
        story.cut(reader);
        let reader = story.connect(Hello::v311("reader").resume());
        let heard = story.hear_all(reader);
        assert!(heard.contains(&Heard::PubRel(1, 0, vec![])), "{heard:?}");
        let again = heard.iter().filter(|it| matches!(it, Heard::Publish(it) if it.id == Some(2) && it.dup)).count();
        assert_eq!((again, heard.len()), (1, 2));
        story.pubcomp(reader, 1);
        story.puback(reader, 2);
        story.cut(reader);
        let reader = story.connect(Hello::v311("reader").resume());
        story.expect_silence(reader);
    }
}

/// v311: MQTT-3.10.4-6
#[test]
fn several_filters_of_an_unsubscribe_get_one_unsuback() {
    let (mut story, reader, writer) = pair(3);
    story.subscribe_to(reader, 1, &["a", "b", "c", "d"].map(|filter| Wish::to(filter, 0)), None);
    story.send(reader, &packet(0xA2, &[&[0, 6], &text("a"), &text("unknown"), &text("b"), &text("d")]));
    assert_eq!(story.hear_all(reader), [Heard::UnsubAck(6, vec![], vec![])]);
    for topic in ["a", "b", "c", "d"] {
        story.publish(writer, Post::to(topic));
    }
    assert_eq!(story.delivery(reader).topic, "c");
    story.expect_silence(reader);
}
