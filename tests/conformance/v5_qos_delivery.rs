//! Quality of service, section 4.3 of MQTT 5.0: what each level promises, on both sides of the broker.

use crate::support::policies::{Rules, Verb};
use crate::support::story::{Client, Heard, Hello, Post, Story};

/// A reader of `a/#` at this quality of service whose session stays, and a writer.
fn pair(shards: usize, qos: u8) -> (Story, Client, Client) {
    let mut story = Story::new(shards);
    let reader = story.connect(Hello::v5("reader").expiry(600));
    let writer = story.connect(Hello::v5("writer"));
    story.subscribe(reader, "a/#", qos);
    (story, reader, writer)
}

fn back(story: &mut Story) -> Client {
    let (reader, is_present) = story.connect_present(Hello::v5("reader").expiry(600).resume());
    assert!(is_present, "the session was kept");
    reader
}

/// v5: MQTT-4.3.1-1, X5-QOS-DOWNGRADE, X5-QOS-NOUPGRADE
#[test]
fn a_delivery_has_the_lower_quality_of_service_and_at_qos_0_neither_dup_nor_identifier() {
    for shards in [1, 3] {
        for granted in 0..=2 {
            let (mut story, reader, writer) = pair(shards, granted);
            for published in 0..=2 {
                let post = Post::to("a/b").qos(published).id(7).payload("x");
                if published == 0 {
                    story.publish(writer, post);
                } else {
                    assert_eq!(story.publish_fully(writer, post), 0);
                }
                let delivery = story.delivery(reader);
                assert_eq!(delivery.qos, published.min(granted), "published at {published}, granted {granted}");
                assert_eq!(delivery.id.is_some(), delivery.qos > 0);
                assert!(!delivery.dup);
            }
        }
    }
}

/// v5: MQTT-4.3.1-1, MQTT-4.3.2-2, MQTT-4.3.3-2
#[test]
fn the_first_delivery_says_dup_0_although_the_publisher_repeated_itself() {
    for qos in 1..=2 {
        let (mut story, reader, writer) = pair(2, qos);
        let low = story.connect(Hello::v5("low"));
        story.subscribe(low, "a/b", 0);
        assert_eq!(story.publish_fully(writer, Post::to("a/b").qos(qos).dup()), 0);
        let delivery = story.delivery(reader);
        assert_eq!((delivery.dup, delivery.qos), (false, qos));
        let delivery = story.delivery(low);
        assert_eq!((delivery.dup, delivery.qos, delivery.id), (false, 0, None));
    }
}

/// v5: MQTT-4.3.2-1, MQTT-4.3.3-1
#[test]
fn no_identifier_is_given_twice_while_its_message_is_in_flight() {
    for qos in 1..=2 {
        let (mut story, reader, writer) = pair(2, qos);
        for _ in 0..40 {
            story.publish_fully(writer, Post::to("a/b").qos(qos));
        }
        let mut open: Vec<u16> = story.deliveries(reader).iter().filter_map(|delivery| delivery.id).collect();
        assert_eq!(open.len(), 40);
        for round in 0..100 {
            let id = open.remove(round * 7 % open.len());
            if qos == 1 {
                story.puback(reader, id);
            } else {
                story.pubrec(reader, id);
                assert_eq!(story.hear(reader), Some(Heard::PubRel(id, 0, vec![])));
                // The identifier stays taken until PUBCOMP: the next message must have another one.
                story.publish_fully(writer, Post::to("a/b").qos(qos));
                let next = story.delivery(reader).id.unwrap();
                assert!(next != id && !open.contains(&next), "{next} is in flight");
                open.push(next);
                story.pubcomp(reader, id);
                continue;
            }
            story.publish_fully(writer, Post::to("a/b").qos(qos));
            let next = story.delivery(reader).id.unwrap();
            assert!(!open.contains(&next), "{next} is in flight");
            open.push(next);
        }
    }
}

/// v5: MQTT-4.3.2-3
#[test]
fn a_qos_1_message_is_unacknowledged_until_puback() {
    for shards in [1, 3] {
        let (mut story, reader, writer) = pair(shards, 1);
        story.publish_fully(writer, Post::to("a/b").qos(1).payload("x"));
        let first = story.delivery(reader);
        story.cut(reader);
        let reader = back(&mut story);
        let again = story.delivery(reader);
        assert_eq!((again.id, again.dup, &again.payload[..]), (first.id, true, &b"x"[..]));
        story.puback(reader, again.id.unwrap());
        story.cut(reader);
        let reader = back(&mut story);
        story.expect_silence(reader);
    }
}

/// v5: MQTT-4.3.2-4, MQTT-4.3.3-8
#[test]
fn a_message_is_acknowledged_by_its_identifier_once_it_is_in_every_session() {
    for (qos, expected) in [(1, Heard::PubAck(9, 0, vec![])), (2, Heard::PubRec(9, 0, vec![]))] {
        for shards in [1, 3] {
            let (mut story, reader, writer) = pair(shards, qos);
            story.cut(reader);
            story.publish(writer, Post::to("a/b").qos(qos).id(9).payload("x"));
            assert_eq!(story.hear_all(writer), std::slice::from_ref(&expected));
            // Whoever is told has handed the message over: the publisher may go for ever.
            story.cut(writer);
            let reader = back(&mut story);
            assert_eq!(story.delivery(reader).payload, b"x");
        }
    }
}

/// v5: MQTT-4.3.2-4
#[test]
fn puback_waits_until_every_shard_has_the_message() {
    let mut story = Story::new(2);
    let writer = story.connect(Hello::v5("writer"));
    let homes = |story: &Story| story.world.links.last().unwrap().at.unwrap().0;
    let home_of_writer = homes(&story);
    // Some client id lives on the other shard.
    let reader = (0..64).find_map(|n| {
        let client = story.connect(Hello::v5(&format!("reader-{n}")));
        (homes(&story) != home_of_writer).then_some(client)
    });
    story.subscribe(reader.expect("one of 64 lives elsewhere"), "a", 1);
    let bytes = Post::to("a").qos(1).encode(pregon::mqtt::Version::V5);
    story.world.send(writer.0, &bytes);
    assert!(story.world.read(writer.0, usize::MAX));
    assert!(story.world.receive(writer.0).is_empty(), "the other shard has not spoken");
    story.world.drive();
    assert!(matches!(story.hear(writer), Some(Heard::PubAck(1, 0, _))));
}

/// v5: MQTT-4.3.2-5
#[test]
fn behind_puback_the_same_identifier_is_a_new_message() {
    for shards in [1, 3] {
        let (mut story, reader, writer) = pair(shards, 1);
        assert_eq!(story.publish_fully(writer, Post::to("a/b").qos(1).id(5).payload("x")), 0);
        assert_eq!(story.publish_fully(writer, Post::to("a/b").qos(1).id(5).payload("x").dup()), 0);
        assert_eq!(story.deliveries(reader).len(), 2);
    }
}

/// v5: MQTT-4.3.3-3
#[test]
fn a_qos_2_message_is_unacknowledged_until_pubrec() {
    for shards in [1, 3] {
        let (mut story, reader, writer) = pair(shards, 2);
        story.publish_fully(writer, Post::to("a/b").qos(2).payload("x"));
        let first = story.delivery(reader);
        story.cut(reader);
        let reader = back(&mut story);
        let again = story.delivery(reader);
        assert_eq!((again.id, again.dup, again.qos, &again.payload[..]), (first.id, true, 2, &b"x"[..]));
    }
}

/// v5: MQTT-4.3.3-4, X5-PUBREC-UNKNOWN
#[test]
fn pubrec_is_answered_by_pubrel_unless_it_refuses() {
    let (mut story, reader, writer) = pair(2, 2);
    story.publish_fully(writer, Post::to("a/b").qos(2));
    let taken = story.delivery(reader).id.unwrap();
    story.pubrec(reader, taken);
    assert_eq!(story.hear_all(reader), [Heard::PubRel(taken, 0, vec![])]);

    story.publish_fully(writer, Post::to("a/b").qos(2));
    let refused = story.delivery(reader).id.unwrap();
    story.acknowledge(reader, 0x50, refused, 0x83);
    story.expect_silence(reader);
    // The identifier is free: it is unknown now.
    story.pubrec(reader, refused);
    assert!(matches!(story.hear_all(reader)[..], [Heard::PubRel(of, 0x92, _)] if of == refused));
    story.pubrec(reader, 77);
    assert!(matches!(story.hear_all(reader)[..], [Heard::PubRel(77, 0x92, _)]));
    story.pubcomp(reader, taken);
    story.expect_open(reader);
}

/// v5: MQTT-4.3.3-5, MQTT-4.3.3-6
#[test]
fn behind_pubrec_only_pubrel_is_sent_again_until_pubcomp() {
    for shards in [1, 3] {
        let (mut story, reader, writer) = pair(shards, 2);
        story.publish_fully(writer, Post::to("a/b").qos(2));
        let id = story.delivery(reader).id.unwrap();
        story.pubrec(reader, id);
        assert_eq!(story.hear(reader), Some(Heard::PubRel(id, 0, vec![])));
        for _ in 0..2 {
            story.cut(reader);
            let reader = back(&mut story);
            assert_eq!(story.hear_all(reader), [Heard::PubRel(id, 0, vec![])]);
        }
        let reader = back(&mut story);
        assert_eq!(story.hear_all(reader), [Heard::PubRel(id, 0, vec![])]);
        story.pubcomp(reader, id);
        story.cut(reader);
        let reader = back(&mut story);
        story.expect_silence(reader);
    }
}

/// v5: MQTT-4.3.3-9
#[test]
fn a_refused_qos_2_identifier_is_a_new_message_next_time() {
    let mut story = Story::with(|_| {}, Rules::default().deny(Verb::Publish, "no/#").policy());
    let reader = story.connect(Hello::v5("reader"));
    let writer = story.connect(Hello::v5("writer"));
    story.subscribe(reader, "#", 2);
    assert_eq!(story.publish_fully(writer, Post::to("no/x").qos(2).id(9)), 0x87);
    story.expect_silence(reader);
    assert_eq!(story.publish_fully(writer, Post::to("yes/x").qos(2).id(9).payload("x")), 0);
    assert_eq!(story.delivery(reader).topic, "yes/x");
    story.expect_silence(reader);
}

/// v5: MQTT-4.3.3-10, X5-PUB-IDINUSE
#[test]
fn a_qos_2_identifier_stands_for_one_message_until_pubrel() {
    for shards in [1, 3] {
        let (mut story, reader, writer) = pair(shards, 2);
        story.publish(writer, Post::to("a/b").qos(2).id(9).payload("A"));
        story.publish(writer, Post::to("a/b").qos(2).id(9).payload("A").dup());
        story.publish(writer, Post::to("a/b").qos(2).id(9).payload("B"));
        let pubrec = Heard::PubRec(9, 0, vec![]);
        assert_eq!(story.hear_all(writer), [pubrec.clone(), pubrec.clone(), pubrec]);
        let delivered = story.deliveries(reader);
        assert_eq!(delivered.len(), 1);
        assert_eq!(delivered[0].payload, b"A");
    }
}

/// v5: MQTT-4.3.3-11, MQTT-4.3.3-12, X5-PUBREL-UNKNOWN
#[test]
fn pubrel_is_answered_by_pubcomp_and_frees_the_identifier() {
    let (mut story, reader, writer) = pair(2, 2);
    for payload in ["first", "second"] {
        story.publish(writer, Post::to("a/b").qos(2).id(9).payload(payload));
        story.pubrel(writer, 9);
        assert_eq!(story.hear_all(writer), [Heard::PubRec(9, 0, vec![]), Heard::PubComp(9, 0, vec![])]);
        assert_eq!(story.delivery(reader).payload, payload.as_bytes());
    }
    story.pubrel(writer, 77);
    assert!(matches!(story.hear(writer), Some(Heard::PubComp(77, 0x92, _))));
    story.expect_open(writer);
}

/// v5: MQTT-4.3.3-7, X5-EXPIRY-INFLIGHT
#[test]
fn what_was_sent_once_is_sent_again_although_it_has_expired() {
    for qos in 1..=2 {
        let (mut story, reader, writer) = pair(2, qos);
        story.publish_fully(writer, Post::to("a/b").qos(qos).expiry(2).payload("x"));
        let first = story.delivery(reader);
        story.cut(reader);
        story.wait_s(4);
        let reader = back(&mut story);
        let again = story.delivery(reader);
        assert_eq!((again.id, again.dup, &again.payload[..]), (first.id, true, &b"x"[..]));
    }
}

/// v5: MQTT-4.3.3-13
#[test]
fn the_handshake_goes_on_although_the_message_has_expired() {
    let (mut story, reader, writer) = pair(2, 2);
    story.publish(writer, Post::to("a/b").qos(2).id(9).expiry(1));
    assert_eq!(story.hear_all(writer), [Heard::PubRec(9, 0, vec![])]);
    let id = story.delivery(reader).id.unwrap();
    story.wait_s(3);
    story.pubrel(writer, 9);
    assert_eq!(story.hear_all(writer), [Heard::PubComp(9, 0, vec![])]);
    story.pubrec(reader, id);
    assert_eq!(story.hear_all(reader), [Heard::PubRel(id, 0, vec![])]);
}

/// v5: X5-PUBACK-UNKNOWN
#[test]
fn an_acknowledgement_of_nothing_changes_nothing() {
    let (mut story, reader, writer) = pair(2, 2);
    story.publish_fully(writer, Post::to("a/b").qos(1).payload("one"));
    story.publish_fully(writer, Post::to("a/b").qos(2).payload("two"));
    let ids: Vec<u16> = story.deliveries(reader).iter().filter_map(|delivery| delivery.id).collect();
    story.puback(reader, 77);
    story.pubcomp(reader, 78);
    // The wrong acknowledgement for the level of the message is one of nothing, too.
    story.puback(reader, ids[1]);
    story.pubcomp(reader, ids[0]);
    story.expect_open(reader);
    story.cut(reader);
    let reader = back(&mut story);
    let again: Vec<_> = story.deliveries(reader).into_iter().map(|delivery| (delivery.id, delivery.payload)).collect();
    assert_eq!(again, [(Some(ids[0]), b"one".to_vec()), (Some(ids[1]), b"two".to_vec())]);
}

/// v5: X5-ACK-SHORT
#[test]
fn a_short_acknowledgement_means_success_and_no_properties() {
    for length in [2, 3] {
        let (mut story, reader, writer) = pair(2, 2);
        let say = |story: &mut Story, client, first: u8, id: u16| {
            if length == 2 {
                story.send(client, &[first, 2, 0, u8::try_from(id).unwrap()]);
            } else {
                story.acknowledge(client, first, id, 0);
            }
        };
        story.publish(writer, Post::to("a/b").qos(2).id(3));
        assert_eq!(story.hear(writer), Some(Heard::PubRec(3, 0, vec![])));
        say(&mut story, writer, 0x62, 3);
        assert_eq!(story.hear(writer), Some(Heard::PubComp(3, 0, vec![])));
        let two = story.delivery(reader).id.unwrap();
        say(&mut story, reader, 0x50, two);
        assert_eq!(story.hear(reader), Some(Heard::PubRel(two, 0, vec![])));
        say(&mut story, reader, 0x70, two);
        story.publish_fully(writer, Post::to("a/b").qos(1));
        let one = story.delivery(reader).id.unwrap();
        say(&mut story, reader, 0x40, one);
        story.expect_open(reader);
        story.cut(reader);
        let reader = back(&mut story);
        story.expect_silence(reader);
    }
}
