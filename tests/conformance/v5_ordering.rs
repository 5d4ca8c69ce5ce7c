//! Retry, receipt and order, sections 4.4 to 4.6 of MQTT 5.0.

use crate::support::raw;
use crate::support::story::{Client, Delivery, Heard, Hello, Post, Story};

fn reader(story: &mut Story) -> Client {
    let reader = story.connect(Hello::v5("reader").expiry(600));
    story.subscribe(reader, "a/#", 2);
    reader
}

fn back(story: &mut Story) -> Client {
    story.connect(Hello::v5("reader").expiry(600).resume())
}

fn numbers(deliveries: &[Delivery]) -> Vec<u32> {
    let number = |delivery: &Delivery| String::from_utf8_lossy(&delivery.payload).parse().expect("a number");
    deliveries.iter().map(number).collect()
}

/// v5: MQTT-4.4.0-1, X5-NORETRY
#[test]
fn nothing_is_sent_again_but_once_on_the_next_connection() {
    for shards in [1, 3] {
        let mut story = Story::new(shards);
        let writer = story.connect(Hello::v5("writer"));
        let reader = reader(&mut story);
        story.publish_fully(writer, Post::to("a/1").qos(1));
        story.publish_fully(writer, Post::to("a/2").qos(2));
        story.publish_fully(writer, Post::to("a/3").qos(2));
        let ids: Vec<u16> = story.deliveries(reader).iter().filter_map(|delivery| delivery.id).collect();
        story.pubrec(reader, ids[2]);
        assert_eq!(story.hear(reader), Some(Heard::PubRel(ids[2], 0, vec![])));
        story.wait_s(120);
        story.expect_silence(reader);
        story.cut(reader);
        let reader = back(&mut story);
        let again = story.hear_all(reader);
        let seen: Vec<(u16, bool)> = again
            .iter()
            .filter_map(|heard| {
                let Heard::Publish(delivery) = heard else { return None };
                Some((delivery.id?, delivery.dup))
            })
            .collect();
        assert_eq!(seen, [(ids[0], true), (ids[1], true)]);
        assert_eq!(again.len(), 3);
        assert!(again.contains(&Heard::PubRel(ids[2], 0, vec![])));
        story.wait_s(120);
        story.expect_silence(reader);
    }
}

/// v5: MQTT-4.4.0-2
#[test]
fn a_refusal_is_an_acknowledgement() {
    let mut story = Story::new(2);
    let writer = story.connect(Hello::v5("writer"));
    let reader = reader(&mut story);
    for (qos, first) in [(1, 0x40), (2, 0x50)] {
        story.publish_fully(writer, Post::to("a/b").qos(qos));
        let id = story.delivery(reader).id.unwrap();
        story.acknowledge(reader, first, id, 0x83);
    }
    story.cut(reader);
    let reader = back(&mut story);
    story.expect_silence(reader);
}

/// v5: MQTT-4.5.0-1
#[test]
fn a_message_goes_into_the_session_of_everybody_who_wants_it_present_or_not() {
    for shards in [1, 3] {
        let mut story = Story::new(shards);
        let writer = story.connect(Hello::v5("writer"));
        let absent = reader(&mut story);
        let present = story.connect(Hello::v5("present"));
        let other = story.connect(Hello::v5("other"));
        story.subscribe(present, "a/b", 1);
        story.subscribe(other, "a/c", 1);
        story.cut(absent);
        story.publish_fully(writer, Post::to("a/b").qos(1).payload("x"));
        assert_eq!(story.delivery(present).payload, b"x");
        story.expect_silence(other);
        let absent = back(&mut story);
        assert_eq!(story.delivery(absent).payload, b"x");
    }
}

/// v5: MQTT-4.5.0-2
#[test]
fn a_delivery_keeps_its_place_until_the_client_acknowledges_it() {
    let mut story = Story::new(2);
    let writer = story.connect(Hello::v5("writer"));
    let reader = story.connect(Hello::v5("reader").receive_maximum(1));
    story.subscribe(reader, "a", 1);
    story.publish_fully(writer, Post::to("a").qos(1).payload("1"));
    story.publish_fully(writer, Post::to("a").qos(1).payload("2"));
    let first = story.delivery(reader);
    story.wait_s(60);
    story.expect_silence(reader);
    story.puback(reader, first.id.unwrap());
    assert_eq!(story.delivery(reader).payload, b"2");
}

/// v5: MQTT-4.6.0-1
#[test]
fn what_a_client_sends_again_is_taken_in_its_order() {
    let mut story = Story::new(3);
    let reader = reader(&mut story);
    let writer = story.connect(Hello::v5("writer").expiry(60));
    for (id, payload) in [(1, "1"), (2, "2"), (3, "3")] {
        story.publish(writer, Post::to("a/b").qos(1).id(id).payload(payload));
    }
    story.cut(writer);
    let writer = story.connect(Hello::v5("writer").expiry(60).resume());
    for (id, payload) in [(1, "1"), (2, "2"), (3, "3")] {
        story.publish(writer, Post::to("a/b").qos(1).id(id).payload(payload).dup());
    }
    let acked: Vec<_> = story.hear_all(writer);
    assert!(matches!(acked[..], [Heard::PubAck(1, ..), Heard::PubAck(2, ..), Heard::PubAck(3, ..)]), "{acked:?}");
    assert_eq!(numbers(&story.deliveries(reader)), [1, 2, 3, 1, 2, 3]);
}

/// v5: MQTT-4.6.0-2, MQTT-4.6.0-3
#[test]
fn acknowledgements_out_of_order_lose_nothing() {
    let mut story = Story::new(2);
    let writer = story.connect(Hello::v5("writer"));
    let reader = reader(&mut story);
    for qos in 1..=2 {
        for n in 0..6 {
            story.publish_fully(writer, Post::to("a/b").qos(qos).payload(n.to_string()));
        }
    }
    let deliveries = story.deliveries(reader);
    for place in [5, 1, 3] {
        story.puback(reader, deliveries[place].id.unwrap());
    }
    for place in [11, 6, 8] {
        let id = deliveries[place].id.unwrap();
        story.pubrec(reader, id);
        assert_eq!(story.hear(reader), Some(Heard::PubRel(id, 0, vec![])));
        story.pubcomp(reader, id);
    }
    story.cut(reader);
    let reader = back(&mut story);
    let again = story.deliveries(reader);
    let left: Vec<_> = [0, 2, 4, 7, 9, 10].iter().map(|place: &usize| deliveries[*place].id).collect();
    assert_eq!(again.iter().map(|delivery| delivery.id).collect::<Vec<_>>(), left);
}

/// v5: MQTT-4.6.0-4
#[test]
fn pubrec_and_pubcomp_come_in_the_order_of_the_requests() {
    let mut story = Story::new(3);
    let readers: Vec<Client> = (0..6).map(|n| story.connect(Hello::v5(&format!("reader-{n}")))).collect();
    for (n, reader) in readers.iter().enumerate() {
        story.subscribe(*reader, &format!("a/{n}"), 2);
    }
    let writer = story.connect(Hello::v5("writer"));
    let mut bytes = Vec::new();
    // Each message has its reader on another shard; all are sent at once.
    for id in [4_u16, 1, 6, 2, 5, 3] {
        bytes.extend(Post::to(&format!("a/{}", id - 1)).qos(2).id(id).encode(pregon::mqtt::Version::V5));
    }
    story.send(writer, &bytes);
    let pubrec = |id| Heard::PubRec(id, 0, vec![]);
    assert_eq!(story.hear_all(writer), [4, 1, 6, 2, 5, 3].map(pubrec));
    for id in [4, 1, 6, 2, 5, 3] {
        story.pubrel(writer, id);
    }
    let pubcomp = |id| Heard::PubComp(id, 0, vec![]);
    assert_eq!(story.hear_all(writer), [4, 1, 6, 2, 5, 3].map(pubcomp));
}

/// v5: MQTT-4.6.0-5, MQTT-4.6.0-6, X5-ORDER-PUBTOPIC
#[test]
fn messages_of_a_topic_stay_in_order_through_queues_and_returns() {
    for shards in [1, 3] {
        for qos in 0..=2 {
            let mut story = Story::new(shards);
            let topic = format!("a/{qos}/x");
            let writer = story.connect(Hello::v5("writer"));
            let mut reader = story.connect(Hello::v5("reader").expiry(600).receive_maximum(10));
            story.subscribe(reader, "a/+/x", 2);
            let exact = story.connect(Hello::v5("exact"));
            story.subscribe(exact, &topic, qos);
            let (mut seen, mut seen_by_exact) = (Vec::new(), Vec::new());
            for round in 0..20 {
                for n in round * 25..(round + 1) * 25 {
                    let post = Post::to(&topic).qos(qos).payload(n.to_string());
                    if qos == 0 {
                        story.publish(writer, post);
                    } else {
                        assert_eq!(story.publish_fully(writer, post), 0);
                    }
                }
                let deliveries = story.deliveries(exact);
                seen_by_exact.extend(numbers(&deliveries));
                complete(&mut story, exact, &deliveries);
                // The reader comes and goes, and acknowledges half of what it gets.
                let deliveries = story.deliveries(reader);
                complete(&mut story, reader, &deliveries[..deliveries.len() / 2]);
                let more = story.deliveries(reader);
                for number in numbers(&deliveries).into_iter().chain(numbers(&more)) {
                    if !seen.contains(&number) {
                        seen.push(number); // a repeat is none of its own
                    }
                }
                story.cut(reader);
                reader = story.connect(Hello::v5("reader").expiry(600).receive_maximum(10).resume());
            }
            assert_eq!(seen_by_exact, (0..500).collect::<Vec<_>>());
            assert!(seen.len() > 60, "{} at QoS {qos}", seen.len());
            assert!(seen.is_sorted(), "{seen:?}");
        }
    }
}

/// Acknowledges in order, with the whole handshake at QoS 2; what comes meanwhile stays to be heard.
fn complete(story: &mut Story, client: Client, deliveries: &[Delivery]) {
    for delivery in deliveries {
        let Some(id) = delivery.id else { continue };
        if delivery.qos == 1 {
            story.puback(client, id);
        } else {
            story.send(client, &[0x50, 2, id.to_be_bytes()[0], id.to_be_bytes()[1]]);
            story.send(client, &[0x70, 2, id.to_be_bytes()[0], id.to_be_bytes()[1]]);
        }
    }
    // PUBRELs are of no interest here.
    story.forget(client, |heard| matches!(heard, Heard::PubRel(..)));
}

/// v5: X5-ORDER-RESEND
#[test]
fn what_was_sent_before_comes_again_before_what_is_new() {
    for shards in [1, 3] {
        let mut story = Story::new(shards);
        let writer = story.connect(Hello::v5("writer"));
        let reader = reader(&mut story);
        for n in 1..=3 {
            story.publish_fully(writer, Post::to("a/b").qos(1).payload(n.to_string()));
        }
        let ids: Vec<_> = story.deliveries(reader).iter().map(|delivery| delivery.id).collect();
        story.cut(reader);
        for n in 4..=5 {
            story.publish_fully(writer, Post::to("a/b").qos(1).payload(n.to_string()));
        }
        let reader = back(&mut story);
        let again = story.deliveries(reader);
        assert_eq!(numbers(&again), [1, 2, 3, 4, 5]);
        assert_eq!(again[..3].iter().map(|delivery| delivery.id).collect::<Vec<_>>(), ids);
        assert_eq!(again.iter().map(|delivery| delivery.dup).collect::<Vec<_>>(), [true, true, true, false, false]);
    }
}

/// v5: MQTT-3.8.4-2, MQTT-3.10.4-5
#[test]
fn requests_are_answered_in_their_order_although_some_wait_for_a_group() {
    for shards in [1, 3] {
        let mut story = Story::new(shards);
        let client = story.connect(Hello::v5("client"));
        let filters = ["a", "$share/g/a", "b", "$share/g/b", "c"];
        let mut bytes = Vec::new();
        for (id, filter) in (1..).zip(filters) {
            bytes.extend(raw::packet(0x82, &[&[0, id, 0], &raw::text(filter), &[1]]));
        }
        for (id, filter) in (11..).zip(filters) {
            bytes.extend(raw::packet(0xA2, &[&[0, id, 0], &raw::text(filter)]));
        }
        story.send(client, &bytes);
        let granted = (1..=5).map(|id| Heard::SubAck(id, vec![1], vec![]));
        let given_up = (11..=15).map(|id| Heard::UnsubAck(id, vec![0], vec![]));
        assert_eq!(story.hear_all(client), granted.chain(given_up).collect::<Vec<_>>());
    }
}
