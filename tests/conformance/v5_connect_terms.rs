//! MQTT 5.0, section 3.1.2: what the properties of CONNECT and its keep-alive hold the broker to.

use std::collections::BTreeMap;

use pregon::engine::limits::Limits;
use pregon::mqtt::Version;
use pregon::mqtt::properties::{Place, Properties};
use pregon::mqtt::property::Property;

use crate::support::policies::{Rules, Verb};
use crate::support::raw::{packet, packets, text};
use crate::support::story::{Client, Heard, Hello, Post, Story, Wish};
use crate::support::world::World;

/// Whether a property of this identifier is in a set.
fn has(raw: &[u8], id: u8) -> bool {
    let properties = Properties::parse(raw, Place::ConnAck).expect("properties of CONNACK");
    properties.entries().any(|(found, _)| found == id)
}

/// v5: MQTT-3.1.2-20
#[test]
fn who_pings_in_time_stays() {
    let mut story = Story::new(3);
    let client = story.connect(Hello::v5("c").keep_alive(2));
    for _ in 0..7 {
        story.world.advance(1500);
        story.expect_open(client);
    }
    for _ in 0..4 {
        story.world.advance(2900);
        story.expect_open(client);
    }
}

/// v5: MQTT-3.1.2-22
#[test]
fn silence_of_one_and_a_half_keep_alives_ends_the_connection() {
    for shards in [1, 3] {
        let mut story = Story::new(shards);
        let watcher = story.connect(Hello::v5("watcher"));
        story.subscribe(watcher, "#", 0);
        let client = story.connect(Hello::v5("c").keep_alive(2).will("w", "gone", 0, false));
        story.subscribe(client, "t", 0);
        // What the broker sends is no sign of life of the client.
        for _ in 0..2 {
            story.world.advance(1400);
            story.publish(watcher, Post::to("t"));
            assert_eq!(story.deliveries(client).len(), 1);
        }
        story.world.advance(700);
        story.expect_closed_for(client, &[0x8d]);
        assert_eq!(story.deliveries(watcher).last().expect("the will").payload, b"gone");
    }
}

/// v5: MQTT-3.1.2-24
#[test]
fn no_packet_exceeds_the_clients_maximum() {
    for qos in 0..=2 {
        for shards in [1, 3] {
            let mut story = Story::new(shards);
            let small = story.connect(Hello::v5("small").with(Property::MaximumPacketSize(50)));
            let large = story.connect(Hello::v5("large"));
            story.subscribe(small, "#", qos);
            story.subscribe(large, "#", qos);
            let writers = [story.connect(Hello::v5("five")), story.connect(Hello::v311("four"))];
            for writer in writers {
                for len in [20, 40, 41, 42, 43, 44, 45, 200] {
                    let post = Post::to("t").qos(qos).payload(vec![b'x'; len]);
                    if qos == 0 {
                        story.publish(writer, post);
                    } else {
                        assert_eq!(story.publish_fully(writer, post), 0);
                    }
                }
                let all = story.deliveries(large);
                assert_eq!(all.len(), 8);
                assert!(all.iter().any(|delivery| delivery.bytes == 50));
                let expected = all.into_iter().map(|delivery| delivery.bytes).filter(|bytes| *bytes <= 50);
                let sizes = story.deliveries(small).into_iter().map(|delivery| delivery.bytes);
                assert_eq!(sizes.collect::<Vec<_>>(), expected.collect::<Vec<_>>());
            }
        }
    }
}

/// v5: MQTT-3.1.2-24
#[test]
fn a_burst_a_queue_and_the_store_know_the_clients_maximum_too() {
    let mut story = Story::new(3);
    let hello = Hello::v5("small").with(Property::MaximumPacketSize(50)).expiry(60);
    let client = story.connect(hello.clone());
    story.subscribe(client, "t/#", 1);
    let writer = story.connect(Hello::v5("writer"));
    let (small, large) = (Post::to("t/a").payload(vec![b's'; 10]), Post::to("t/a").payload(vec![b'l'; 100]));
    let burst = [&small, &large, &small, &large].map(|post| post.encode(Version::V5)).concat();
    story.send(writer, &burst);
    assert_eq!(story.deliveries(client).len(), 2);
    story.cut(client);
    for post in [&small, &large] {
        story.publish_fully(writer, post.clone().qos(1).retain());
        story.publish_fully(writer, post.clone().qos(1));
    }
    story.publish_fully(writer, Post::to("t/b").payload("kept").qos(1).retain());
    let client = story.connect(hello.resume());
    assert_eq!(story.deliveries(client).iter().map(|delivery| delivery.payload[0]).collect::<Vec<_>>(), b"ssk");
    story.subscribe_to(client, 2, &[Wish::to("t/#", 0)], None);
    assert_eq!(story.delivery(client).payload, b"kept");
    story.expect_silence(client);
}

/// v5: MQTT-3.1.2-24
#[test]
fn an_answer_that_is_too_large_is_not_sent() {
    let mut story = Story::new(2);
    let client = story.connect(Hello::v5("small").with(Property::MaximumPacketSize(50)));
    let names: Vec<String> = (0..60).map(|number| format!("t/{number}")).collect();
    let wishes: Vec<_> = names.iter().map(|name| Wish::to(name, 0)).collect();
    story.ask_to_subscribe(client, 1, &wishes, None);
    story.expect_open(client);
    story.publish(client, Post::to("t/59").payload("x"));
    assert_eq!(story.delivery(client).payload, b"x");
}

/// v5: MQTT-3.1.2-24
#[test]
fn who_cannot_be_told_the_terms_is_refused() {
    for shards in [1, 3] {
        let mut story = Story::new(shards);
        let full = story.hello(&Hello::v5("full"));
        let size = u32::try_from(story.world.receive(full.0).len()).expect("a small packet");
        for maximum in 1..size {
            let client = story.hello(&Hello::v5("small").with(Property::MaximumPacketSize(maximum)));
            let sent = story.world.receive(client.0);
            assert!(sent.len() <= maximum as usize);
            assert!(sent.is_empty() || sent[3] == 0x83, "{sent:02x?}");
            story.expect_closed(client);
        }
        // The refusals have not touched the session that is there.
        let stored = story.connect(Hello::v5("small").with(Property::MaximumPacketSize(size)));
        let refused = story.hello(&Hello::v5("small").with(Property::MaximumPacketSize(size - 1)));
        story.expect_refused(refused, 0x83);
        story.expect_open(stored);
    }
}

/// v5: MQTT-3.1.2-25
#[test]
fn an_oversized_message_counts_as_delivered() {
    for qos in 1..=2 {
        let mut story = Story::new(3);
        let hello = Hello::v5("small").with(Property::MaximumPacketSize(50)).receive_maximum(1).expiry(60);
        let client = story.connect(hello.clone());
        story.subscribe(client, "t", qos);
        let writer = story.connect(Hello::v5("writer"));
        for payload in [vec![b'l'; 200], vec![b's'], vec![b'l'; 60], vec![b'l'; 70], vec![b's']] {
            assert_eq!(story.publish_fully(writer, Post::to("t").qos(qos).payload(payload)), 0);
        }
        for _ in 0..2 {
            let delivery = story.delivery(client);
            assert_eq!(delivery.payload, b"s");
            story.expect_silence(client);
            let id = delivery.id.expect("an identifier");
            if qos == 1 {
                story.puback(client, id);
            } else {
                story.pubrec(client, id);
                assert!(matches!(story.hear(client), Some(Heard::PubRel(..))));
                story.pubcomp(client, id);
            }
        }
        story.cut(client);
        // Somebody with more room gets nothing of what was given up.
        let (client, is_present) = story.connect_present(Hello::v5("small").resume());
        assert!(is_present);
        story.expect_silence(client);
    }
}

/// Receives all there is and finds the topic behind each alias.
fn resolve(story: &mut Story, client: Client, known: &mut BTreeMap<u16, String>, alias_maximum: u16) -> usize {
    let mut aliased = 0;
    for delivery in story.deliveries(client) {
        let topic = match delivery.alias {
            None => delivery.topic.clone(),
            Some(alias) => {
                aliased += 1;
                assert!((1..=alias_maximum).contains(&alias), "alias {alias}");
                if !delivery.topic.is_empty() {
                    known.insert(alias, delivery.topic.clone());
                }
                known.get(&alias).expect("an alias that was defined").clone()
            }
        };
        assert_eq!(topic.as_bytes(), delivery.payload);
    }
    aliased
}

/// v5: MQTT-3.1.2-26
#[test]
fn aliases_stay_within_the_clients_maximum() {
    for (alias_maximum, shards) in [(1, 1), (2, 1), (2, 3), (30, 3)] {
        let mut story = Story::new(shards);
        let hello = Hello::v5("c").with(Property::TopicAliasMaximum(alias_maximum)).expiry(60);
        let mut client = story.connect(hello.clone());
        story.subscribe(client, "#", 1);
        let writer = story.connect(Hello::v5("writer"));
        for _connection in 0..2 {
            let mut known = BTreeMap::new();
            let mut aliased = resolve(&mut story, client, &mut known, alias_maximum);
            for round in 0..40 {
                let topic = format!("t/{}", round % 10);
                let post = Post::to(&topic).payload(topic.as_str());
                if round % 3 == 0 {
                    story.publish_fully(writer, post.qos(1));
                } else {
                    story.publish(writer, post);
                }
                aliased += resolve(&mut story, client, &mut known, alias_maximum);
            }
            assert!(aliased > 0, "aliases are used");
            story.cut(client);
            client = story.connect(hello.clone().resume());
        }
    }
}

/// v5: MQTT-3.1.2-24, MQTT-3.1.2-26
#[test]
fn a_new_alias_does_not_make_a_message_too_large() {
    let mut story = Story::new(2);
    let hello = Hello::v5("c").with(Property::TopicAliasMaximum(2)).with(Property::MaximumPacketSize(50));
    let client = story.connect(hello);
    story.subscribe(client, "#", 0);
    let writer = story.connect(Hello::v5("writer"));
    for len in [44, 43, 42, 41, 44, 42] {
        story.publish(writer, Post::to("t").payload(vec![b'x'; len]));
    }
    let received = story.deliveries(client);
    let aliases: Vec<_> = received.iter().map(|delivery| (delivery.topic.as_str(), delivery.alias)).collect();
    assert_eq!(aliases, [("t", None), ("t", None), ("t", None), ("t", Some(1)), ("t", None), ("", Some(1))]);
    assert!(received.iter().all(|delivery| delivery.bytes <= 50));
}

/// v5: MQTT-3.1.2-27
#[test]
fn no_alias_goes_to_a_client_that_offers_none() {
    for shards in [1, 3] {
        for hello in [Hello::v5("c"), Hello::v5("c").with(Property::TopicAliasMaximum(0))] {
            let mut story = Story::new(shards);
            let client = story.connect(hello);
            story.subscribe(client, "#", 1);
            let writer = story.connect(Hello::v5("writer"));
            for qos in [0, 1] {
                for _ in 0..25 {
                    story.publish(writer, Post::to("t").qos(qos).alias(1).payload("x"));
                }
            }
            let received = story.deliveries(client);
            assert_eq!(received.len(), 50);
            assert!(received.iter().all(|delivery| delivery.alias.is_none() && delivery.topic == "t"));
        }
    }
}

/// v5: MQTT-3.1.2-28
#[test]
fn response_information_is_for_those_who_ask() {
    let mut story = Story::limited(|limits| limits.response_prefix = Some("replies/".into()));
    for (answer, hello) in [
        (false, Hello::v5("c")),
        (false, Hello::v5("c").with(Property::RequestResponseInfo(false))),
        (true, Hello::v5("c").with(Property::RequestResponseInfo(true))),
    ] {
        let client = story.hello(&hello);
        let Some(Heard::ConnAck(_, 0, raw)) = story.hear(client) else { panic!("no success") };
        assert_eq!(has(&raw, 26), answer);
        story.disconnect(client, 0);
    }
}

/// v5: MQTT-3.1.2-29
#[test]
fn who_wants_no_explanations_gets_none_on_acknowledgements() {
    for (wants, shards) in [(true, 1), (false, 1), (false, 3)] {
        let rules = Rules::default().deny(Verb::Publish, "no/#").deny(Verb::Subscribe, "no/#");
        let mut story = Story::over(World::with(shards, Limits::default(), rules.policy(), 7));
        let client = story.connect(Hello::v5("c").with(Property::RequestProblemInfo(wants)));
        story.ask_to_subscribe(client, 1, &[Wish::to("no/#", 0)], None);
        story.publish(client, Post::to("no/t").qos(1));
        story.publish(client, Post::to("no/t").qos(2));
        story.pubrel(client, 9);
        story.send(client, &packet(0xa2, &[&[0, 2, 0], &text("unknown")]));
        story.pubrec(client, 77);
        let sent = packets(&story.world.receive(client.0));
        let firsts: Vec<u8> = sent.iter().map(|(first, _)| *first).collect();
        assert_eq!(firsts, [0x90, 0x40, 0x50, 0x70, 0xb0, 0x62]);
        let explained = sent.iter().filter(|(_, body)| body.windows(3).any(|bytes| bytes[0] == 0x1f && bytes[1] == 0));
        assert_eq!(explained.count(), if wants { 5 } else { 0 }, "{sent:02x?}");
        // DISCONNECT is one of the three packets that may explain themselves all the same.
        story.send(client, &[0xc1, 0]);
        let [Heard::Disconnect(0x81, _), Heard::Closed] = &story.hear_all(client)[..] else { panic!("no DISCONNECT") };
    }
}
