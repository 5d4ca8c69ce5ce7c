//! MQTT 3.1.1, chapters 4.3 to 4.6: handshakes of QoS 1 and 2, what is sent again, and in which order.

use pregon::base::random::Random;
use pregon::mqtt::Version;

use crate::support::raw::packet;
use crate::support::story::{Client, Heard, Hello, Post, Story};

/// A client that comes back, with a subscription to `t/#` at QoS 2, and a publisher.
fn pair(shards: usize) -> (Story, Client, Client) {
    let mut story = Story::new(shards);
    let reader = story.connect(Hello::v311("reader").resume());
    story.subscribe(reader, "t/#", 2);
    let writer = story.connect(Hello::v311("writer"));
    (story, reader, writer)
}

/// The reader's network breaks and it comes back to its session.
fn come_back(story: &mut Story, reader: Client) -> Client {
    story.cut(reader);
    let (reader, is_present) = story.connect_present(Hello::v311("reader").resume());
    assert!(is_present);
    reader
}

/// One packet without a body of its own for each identifier.
fn acks(first: u8, ids: &[u16]) -> Vec<u8> {
    ids.iter().flat_map(|id| packet(first, &[&id.to_be_bytes()])).collect()
}

/// v311: MQTT-4.3.2-2
#[test]
fn an_identifier_is_free_again_after_its_puback() {
    for shards in [1, 3] {
        let (mut story, reader, writer) = pair(shards);
        assert_eq!(story.publish_fully(writer, Post::to("t/1").qos(1).id(5)), 0);
        assert_eq!(story.publish_fully(writer, Post::to("t/2").qos(1).id(5)), 0);
        let topics: Vec<_> = story.deliveries(reader).into_iter().map(|it| it.topic).collect();
        assert_eq!(topics, ["t/1", "t/2"]);
    }
}

/// v311: MQTT-4.3.3-1
#[test]
fn a_qos_2_sender_goes_on_with_publish_until_pubrec_and_with_pubrel_until_pubcomp() {
    for shards in [1, 3] {
        let (mut story, reader, writer) = pair(shards);
        story.publish_fully(writer, Post::to("t/1").qos(2));
        assert!(!story.delivery(reader).dup);
        let reader = come_back(&mut story, reader);
        let again = story.delivery(reader);
        assert_eq!((again.id, again.qos, again.dup), (Some(1), 2, true));
        story.pubrec(reader, 1);
        assert_eq!(story.hear_all(reader), [Heard::PubRel(1, 0, vec![])]);
        let reader = come_back(&mut story, reader);
        assert_eq!(story.hear_all(reader), [Heard::PubRel(1, 0, vec![])]);
        story.pubrec(reader, 1);
        assert_eq!(story.hear_all(reader), [Heard::PubRel(1, 0, vec![])], "never PUBLISH after PUBREL");
        story.pubcomp(reader, 1);
        let reader = come_back(&mut story, reader);
        story.expect_silence(reader);
    }
}

/// v311: MQTT-4.3.3-2
#[test]
fn a_qos_2_receiver_takes_a_message_once_until_pubrel() {
    for shards in [1, 3] {
        let (mut story, reader, writer) = pair(shards);
        let answer = |story: &mut Story| story.hear_all(writer);
        for _ in 0..2 {
            story.publish(writer, Post::to("t/1").qos(2).id(9));
            assert_eq!(answer(&mut story), [Heard::PubRec(9, 0, vec![])]);
        }
        assert_eq!(story.deliveries(reader).len(), 1);
        story.pubrel(writer, 9);
        assert_eq!(answer(&mut story), [Heard::PubComp(9, 0, vec![])]);
        story.publish(writer, Post::to("t/2").qos(2).id(9));
        assert_eq!(answer(&mut story), [Heard::PubRec(9, 0, vec![])]);
        assert_eq!(story.delivery(reader).topic, "t/2", "the identifier was free again");
    }
}

/// v311: MQTT-4.4.0-1, MQTT-4.6.0-1
#[test]
fn what_is_not_acknowledged_is_sent_again_in_its_order_under_its_identifier() {
    for shards in [1, 3] {
        let (mut story, reader, writer) = pair(shards);
        for (n, qos) in [1, 2, 2, 1, 1, 2].into_iter().enumerate() {
            story.publish_fully(writer, Post::to("t").qos(qos).payload(n.to_string()));
        }
        let numbers = |story: &mut Story, reader| -> (Vec<(String, Option<u16>)>, Vec<Heard>) {
            let (mut publishes, mut others) = (Vec::new(), Vec::new());
            for heard in story.hear_all(reader) {
                if let Heard::Publish(it) = heard {
                    publishes.push((String::from_utf8(it.payload).unwrap(), it.id));
                } else {
                    others.push(heard);
                }
            }
            (publishes, others)
        };
        let (first, _) = numbers(&mut story, reader);
        assert_eq!(first.iter().map(|(n, _)| n.as_str()).collect::<Vec<_>>(), ["0", "1", "2", "3", "4", "5"]);
        let id = |n: usize| first[n].1.unwrap();
        story.puback(reader, id(3));
        story.pubrec(reader, id(1));
        story.hear_all(reader);
        for _ in 0..2 {
            story.cut(reader);
            let reader = story.connect(Hello::v311("reader").resume());
            let (again, others) = numbers(&mut story, reader);
            assert_eq!(again, [0, 2, 4, 5].map(|n| first[n].clone()));
            assert_eq!(others, [Heard::PubRel(id(1), 0, vec![])]);
            story.cut(reader);
        }
    }
}

/// v311: MQTT-4.5.0-1
#[test]
fn a_message_enters_the_sessions_of_all_that_match_present_or_not() {
    for shards in [1, 3] {
        let mut story = Story::new(shards);
        let present: Vec<_> = (0..5).map(|n| story.connect(Hello::v311(&format!("present{n}")))).collect();
        for reader in &present {
            story.subscribe(*reader, "t/+", 1);
        }
        for n in 0..5 {
            let absent = story.connect(Hello::v311(&format!("absent{n}")).resume());
            story.subscribe(absent, "t/#", 1);
            story.disconnect(absent, 0);
        }
        let writer = story.connect(Hello::v311("writer"));
        assert_eq!(story.publish_fully(writer, Post::to("t/1").qos(1)), 0);
        for reader in present {
            assert_eq!(story.deliveries(reader).len(), 1);
        }
        for n in 0..5 {
            let reader = story.connect(Hello::v311(&format!("absent{n}")).resume());
            assert_eq!(story.deliveries(reader).len(), 1);
        }
    }
}

/// v311: MQTT-4.5.0-2
#[test]
fn a_message_stays_under_way_until_the_client_acknowledges_it() {
    let (mut story, reader, writer) = pair(3);
    story.publish_fully(writer, Post::to("t/1").qos(1).payload("1"));
    story.publish_fully(writer, Post::to("t/2").qos(1).payload("2"));
    let ids: Vec<_> = story.deliveries(reader).iter().map(|it| it.id.unwrap()).collect();
    story.puback(reader, ids[0]);
    story.puback(reader, 999);
    let reader = come_back(&mut story, reader);
    assert_eq!(story.delivery(reader).payload, b"2");
    story.expect_silence(reader);
    story.puback(reader, ids[1]);
    let reader = come_back(&mut story, reader);
    story.expect_silence(reader);
}

/// v311: MQTT-4.6.0-2, MQTT-4.6.0-3
#[test]
fn acknowledgements_leave_in_the_order_of_the_publishes() {
    let (mut story, _, writer) = pair(3);
    // Readers on all shards, so that some answers could be ready before others.
    for n in 0..9 {
        let reader = story.connect(Hello::v311(&format!("r{n}")));
        story.subscribe(reader, &format!("u/{n}"), 1);
    }
    let ids: Vec<u16> = [7, 3, 300, 1, 2, 65_535, 40, 41, 9].to_vec();
    for (qos, answer) in [(1, 0x40), (2, 0x50)] {
        let publish = |(n, id): (usize, &u16)| {
            let topic = if n % 3 == 2 { "nobody".to_owned() } else { format!("u/{n}") };
            Post::to(&topic).qos(qos).id(*id).encode(Version::V311)
        };
        let bytes: Vec<u8> = ids.iter().enumerate().flat_map(publish).collect();
        story.send(writer, &bytes);
        assert_eq!(story.world.receive(writer.0), acks(answer, &ids));
    }
}

/// v311: MQTT-4.6.0-4
#[test]
fn pubrels_leave_in_the_order_of_the_pubrecs() {
    let (mut story, reader, writer) = pair(3);
    for _ in 0..5 {
        assert_eq!(story.publish_fully(writer, Post::to("t").qos(2)), 0);
    }
    assert_eq!(story.deliveries(reader).len(), 5);
    let order = [4, 2, 5, 1, 3];
    story.send(reader, &acks(0x50, &order));
    assert_eq!(story.world.receive(reader.0), acks(0x62, &order));
}

/// v311: MQTT-4.6.0-5
#[test]
fn every_topic_is_ordered_by_default() {
    for shards in [1, 3] {
        let (mut story, reader, writer) = pair(shards);
        let mut random = Random::from_seed(5);
        let topics: Vec<_> = (0..20).map(|n| format!("t/{}/{n}", random.next_u64())).collect();
        let mut last = [None; 20];
        for n in 0..400_u32 {
            let topic = usize::try_from(random.next_u64() % 20).unwrap();
            let bytes = Post::to(&topics[topic]).qos(1).id(1).payload(n.to_be_bytes()).encode(Version::V311);
            story.world.send(writer.0, &bytes);
            if n % 40 == 39 {
                story.world.drive();
                for delivery in story.deliveries(reader) {
                    let topic = topics.iter().position(|topic| *topic == delivery.topic).unwrap();
                    let n = u32::from_be_bytes(delivery.payload.try_into().unwrap());
                    assert!(last[topic].is_none_or(|last| last < n), "{n} after {:?}", last[topic]);
                    last[topic] = Some(n);
                    story.puback(reader, delivery.id.unwrap());
                }
            }
        }
        assert!(last.iter().all(Option::is_some));
    }
}

/// v311: MQTT-4.6.0-6
#[test]
fn messages_of_one_publisher_topic_and_qos_arrive_in_their_order() {
    for qos in 0..=2 {
        let (mut story, reader, writer) = pair(3);
        let mut seen = Vec::new();
        for batch in 0..100_u32 {
            let ids: Vec<u16> = (1..=100).collect();
            let publish = |id: &u16| {
                let n = batch * 100 + u32::from(*id);
                Post::to("t").qos(qos).id(*id).payload(n.to_be_bytes()).encode(Version::V311)
            };
            let bytes: Vec<u8> = ids.iter().flat_map(publish).collect();
            story.send(writer, &bytes);
            if qos == 2 {
                story.send(writer, &acks(0x62, &ids));
            }
            let deliveries = story.deliveries(reader);
            let got: Vec<u16> = deliveries.iter().filter_map(|it| it.id).collect();
            seen.extend(deliveries.iter().map(|it| u32::from_be_bytes(it.payload[..].try_into().unwrap())));
            story.send(reader, &acks(if qos == 1 { 0x40 } else { 0x50 }, &got));
            if qos == 2 {
                story.send(reader, &acks(0x70, &got));
                story.hear_all(reader);
            }
        }
        assert!(seen.iter().copied().eq(1..=10_000), "QoS {qos}");
    }
}

/// v311: X311-PUBREL-UNKNOWN
#[test]
fn an_unknown_pubrel_gets_its_pubcomp() {
    let mut story = Story::new(1);
    let client = story.connect(Hello::v311("a"));
    story.pubrel(client, 77);
    assert_eq!(story.hear_all(client), [Heard::PubComp(77, 0, vec![])]);
    story.expect_open(client);
}

/// v311: X311-RETRY
#[test]
fn nothing_is_sent_again_on_a_living_connection() {
    let (mut story, reader, writer) = pair(2);
    story.publish_fully(writer, Post::to("t/1").qos(1));
    story.publish_fully(writer, Post::to("t/2").qos(2));
    story.publish_fully(writer, Post::to("t/3").qos(2));
    assert_eq!(story.deliveries(reader).len(), 3);
    story.pubrec(reader, 3);
    assert_eq!(story.hear_all(reader), [Heard::PubRel(3, 0, vec![])]);
    story.wait_s(120);
    story.expect_silence(reader);
}
