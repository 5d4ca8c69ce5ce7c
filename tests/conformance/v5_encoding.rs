//! MQTT 5.0, chapters 1 and 2: text, numbers, flags, packet identifiers.

use std::collections::BTreeSet;

use pregon::mqtt::Version;
use pregon::mqtt::property::Property;

use crate::support::policies::{CHALLENGE, Challenge, PROOF};
use crate::support::raw::v5::connect;
use crate::support::raw::{packet, packets, shortest_varint, text};
use crate::support::story::{Client, Heard, Hello, Post, Story, Wish};

/// A surrogate, an overlong form, a broken sequence, a byte that UTF-8 never has.
const ILL_FORMED: [&[u8]; 4] = [b"\xed\xa0\x80", b"\xc0\xaf", b"\xc3\x28", b"\xff"];

/// A reader of everything and a writer.
fn reader_and_writer(shards: usize) -> (Story, Client, Client) {
    let mut story = Story::new(shards);
    let reader = story.connect(Hello::v5("reader"));
    story.subscribe(reader, "#", 2);
    let writer = story.connect(Hello::v5("writer"));
    (story, reader, writer)
}

/// v5: MQTT-1.5.4-1
#[test]
fn text_that_is_no_utf8_ends_the_connection() {
    for bytes in ILL_FORMED {
        let (mut story, reader, writer) = reader_and_writer(2);
        story.send(writer, &packet(0x30, &[&text(bytes), &[0], b"x"]));
        story.expect_closed_for(writer, &[0x81]);
        story.expect_silence(reader);
        let stranger = story.open(Version::V5);
        story.send(stranger, &connect(0x02, &[&text(bytes)]));
        story.expect_refused(stranger, 0x81);
    }
}

/// v5: MQTT-1.5.4-2
#[test]
fn text_with_nul_ends_the_connection() {
    let topic = text("a\0b");
    for bytes in [packet(0x30, &[&topic, &[0], b"x"]), packet(0x82, &[&[0, 1, 0], &topic, &[0]])] {
        let (mut story, reader, writer) = reader_and_writer(2);
        story.send(writer, &bytes);
        story.expect_closed_for(writer, &[0x81]);
        story.expect_silence(reader);
    }
    for bytes in [connect(0x82, &[&text("c"), &text("x\0")]), connect(0x02, &[&text("x\0")])] {
        let mut story = Story::new(2);
        let client = story.open(Version::V5);
        story.send(client, &bytes);
        story.expect_refused(client, 0x81);
    }
}

/// v5: MQTT-1.5.4-3
#[test]
fn a_byte_order_mark_is_a_character_like_others() {
    for shards in [1, 3] {
        let (mut story, reader, writer) = reader_and_writer(shards);
        let marked = story.connect(Hello::v5("\u{feff}reader"));
        story.subscribe(marked, "\u{feff}t", 0);
        let plain = story.connect(Hello::v5("plain"));
        story.subscribe(plain, "t", 0);
        let post = Post::to("\u{feff}t").with(Property::User("\u{feff}name", "\u{feff}value")).payload("x");
        story.publish(writer, post);
        for client in [reader, marked] {
            let delivery = story.delivery(client);
            assert_eq!(delivery.topic.as_bytes(), b"\xef\xbb\xbft");
            assert_eq!(delivery.user, [("\u{feff}name".to_owned(), "\u{feff}value".to_owned())]);
        }
        story.expect_silence(plain);
    }
}

/// v5: MQTT-1.5.5-1
#[test]
fn lengths_leave_in_their_shortest_form() {
    let (mut story, reader, writer) = reader_and_writer(3);
    story.world.receive(reader.0);
    for len in [0, 1, 100, 117, 118, 119, 120, 121, 122, 123, 124, 125, 126, 127, 128, 129, 16_000, 16_383, 16_384] {
        let value = "v".repeat(len);
        let with_payload = Post::to("a").payload(value.as_str());
        let with_property = Post::to("a").with(Property::User("n", &value));
        for (post, properties_len, payload_len) in [(with_payload, 0, len), (with_property, len + 6, 0)] {
            story.publish(writer, post);
            let sent = packets(&story.world.receive(reader.0));
            let [(0x30, body)] = sent.as_slice() else { panic!("one PUBLISH, not {sent:?}") };
            let (properties, behind) = shortest_varint(body.strip_prefix(b"\x00\x01a").expect("the topic"));
            assert_eq!((properties, behind.len() - properties), (properties_len, payload_len));
        }
    }
}

/// v5: MQTT-1.5.5-1
#[test]
fn a_padded_length_is_malformed_inside_and_not_passed_on_outside() {
    let (mut story, reader, writer) = reader_and_writer(3);
    story.send(writer, b"\x30\x85\x00\x00\x01a\x00x");
    assert_eq!(story.world.receive(reader.0), b"\x30\x05\x00\x01a\x00x");
    story.send(writer, b"\x30\x06\x00\x01a\x80\x00x");
    story.expect_closed_for(writer, &[0x81]);
    assert!(story.world.receive(reader.0).is_empty());
}

/// v5: MQTT-1.5.7-1
#[test]
fn both_halves_of_a_user_property_are_text() {
    let ill_formed = ILL_FORMED.into_iter().chain([&b"\0"[..], b"a\0"]);
    for bytes in ill_formed {
        for (name, value) in [(bytes, &b"v"[..]), (&b"n"[..], bytes)] {
            let (mut story, reader, writer) = reader_and_writer(2);
            let pair = [&[0x26][..], &text(name), &text(value)].concat();
            let len = u8::try_from(pair.len()).expect("a short pair");
            story.send(writer, &packet(0x30, &[&text("t"), &[len], &pair, b"x"]));
            story.expect_closed_for(writer, &[0x81]);
            story.expect_silence(reader);
        }
    }
}

/// v5: MQTT-2.1.3-1
#[test]
fn reserved_header_flags_are_malformed() {
    let subscribe = packet(0x80, &[&[0, 1, 0], &text("t"), &[0]]);
    let unsubscribe = packet(0xa0, &[&[0, 1, 0], &text("t")]);
    let mut wrong = vec![subscribe, unsubscribe];
    for bit in [1, 2, 4, 8] {
        let acks = [0x40, 0x50, 0x60, 0x62, 0x70].map(|first| vec![first ^ bit, 2, 0, 1]);
        wrong.extend(acks.into_iter().filter(|ack| ack[0] != 0x62));
        wrong.extend([0xc0, 0xe0, 0xf0].map(|first| vec![first | bit, 0]));
    }
    for bytes in wrong {
        let mut story = Story::new(2);
        let client = story.connect(Hello::v5("c"));
        story.send(client, &bytes);
        let heard = story.hear_all(client);
        assert!(matches!(heard.as_slice(), [Heard::Disconnect(0x81, _), Heard::Closed]), "{bytes:02x?}: {heard:?}");
    }
}

/// v5: MQTT-2.1.3-1
#[test]
fn each_packet_of_the_broker_has_its_prescribed_flags() {
    let mut story = Story::with(|_| (), Challenge::policy());
    let method = Property::AuthMethod(CHALLENGE);
    let alice = story.hello(&Hello::v5("alice").with(method).with(Property::AuthData(b"alice")));
    story.auth(alice, 0x18, Some(CHALLENGE), Some(PROOF));
    story.ask_to_subscribe(alice, 1, &[Wish::to("a", 2)], None);
    for (id, qos) in [(1, 0), (2, 1), (3, 2)] {
        story.publish(alice, Post::to("a").qos(qos).id(id).payload("x"));
    }
    story.pubrel(alice, 3);
    story.puback(alice, 1);
    story.pubrec(alice, 2);
    story.pubcomp(alice, 2);
    story.send(alice, &packet(0xa2, &[&[0, 9, 0], &text("a")]));
    story.send(alice, &[0xc0, 0]);
    story.send(alice, &[0xc1, 0]);
    let sent = packets(&story.world.receive(alice.0));
    let firsts: BTreeSet<u8> = sent.iter().map(|(first, _)| *first).collect();
    let prescribed = [0x20, 0x30, 0x32, 0x34, 0x40, 0x50, 0x62, 0x70, 0x90, 0xb0, 0xd0, 0xe0, 0xf0];
    assert_eq!(firsts, BTreeSet::from(prescribed));
}

/// v5: MQTT-2.2.1-2
#[test]
fn qos_0_has_no_packet_identifier() {
    for (publisher, subscriber) in [(0, 0), (0, 2), (1, 0), (2, 0)] {
        for shards in [1, 3] {
            let mut story = Story::new(shards);
            let reader = story.connect(Hello::v5("reader"));
            story.subscribe(reader, "a", subscriber);
            let writer = story.connect(Hello::v5("writer"));
            story.publish(writer, Post::to("a").qos(publisher).payload("xyz"));
            story.pubrel(writer, 1);
            assert_eq!(story.world.receive(reader.0), b"\x30\x07\x00\x01a\x00xyz");
        }
    }
}

/// v5: MQTT-2.2.1-3
#[test]
fn packet_identifier_0_ends_the_connection() {
    let subscribe = packet(0x82, &[&[0, 0, 0], &text("t"), &[0]]);
    let unsubscribe = packet(0xa2, &[&[0, 0, 0], &text("t")]);
    let publish = |first| packet(first, &[&text("t"), &[0, 0, 0], b"x"]);
    for bytes in [subscribe, unsubscribe, publish(0x32), publish(0x34)] {
        let (mut story, reader, writer) = reader_and_writer(2);
        story.send(writer, &bytes);
        story.expect_closed_for(writer, &[0x82]);
        story.expect_silence(reader);
    }
}

/// v5: MQTT-2.2.1-4
#[test]
fn deliveries_have_identifiers_that_are_free() {
    for shards in [1, 3] {
        let mut story = Story::new(shards);
        let reader = story.connect(Hello::v5("reader").receive_maximum(100));
        story.subscribe(reader, "#", 2);
        let writer = story.connect(Hello::v5("writer"));
        let mut open = BTreeSet::new();
        for round in 0..4 {
            for number in 0..if round == 0 { 100 } else { 50 } {
                story.publish_fully(writer, Post::to("a").qos(1 + number % 2));
            }
            let mut fresh = story.deliveries(reader);
            for delivery in &fresh {
                let id = delivery.id.expect("an identifier");
                assert_ne!(id, 0);
                assert!(open.insert(id), "{id} is in use");
            }
            assert_eq!(open.len(), 100);
            fresh.truncate(50);
            for delivery in fresh {
                let id = delivery.id.expect("an identifier");
                if delivery.qos == 2 {
                    story.pubrec(reader, id);
                    assert_eq!(story.hear(reader), Some(Heard::PubRel(id, 0, vec![])));
                    story.pubcomp(reader, id);
                } else {
                    story.puback(reader, id);
                }
                open.remove(&id);
            }
        }
    }
}

/// v5: MQTT-2.2.1-4
#[test]
fn an_identifier_in_use_is_passed_over_when_all_numbers_have_been_used() {
    let mut story = Story::new(1);
    let reader = story.connect(Hello::v5("reader"));
    story.subscribe(reader, "t", 1);
    let writer = story.connect(Hello::v5("writer"));
    story.publish_fully(writer, Post::to("t").qos(1));
    let held = story.delivery(reader).id.expect("an identifier");
    let burst: Vec<u8> = (1..=80).flat_map(|id| Post::to("t").qos(1).id(id).encode(Version::V5)).collect();
    let mut delivered = 0;
    while delivered < 2 * 65_536 {
        story.send(writer, &burst);
        story.hear_all(writer);
        let ids: Vec<u16> = story.deliveries(reader).into_iter().filter_map(|delivery| delivery.id).collect();
        assert_eq!(ids.len(), 80);
        assert!(ids.iter().all(|id| *id != 0 && *id != held));
        delivered += ids.len();
        story.send(reader, &ids.iter().flat_map(|id| packet(0x40, &[&id.to_be_bytes()])).collect::<Vec<_>>());
    }
}

/// v5: MQTT-2.2.1-5
#[test]
fn acknowledgements_repeat_the_identifier_of_the_publish() {
    for shards in [1, 3] {
        let (mut story, reader, writer) = reader_and_writer(shards);
        story.publish(writer, Post::to("a").qos(1).id(0x1234));
        assert_eq!(story.hear_all(writer), [Heard::PubAck(0x1234, 0, vec![])]);
        story.publish(writer, Post::to("a").qos(2).id(0xffff));
        assert_eq!(story.hear_all(writer), [Heard::PubRec(0xffff, 0, vec![])]);
        story.pubrel(writer, 0xffff);
        assert_eq!(story.hear_all(writer), [Heard::PubComp(0xffff, 0, vec![])]);
        let last = story.deliveries(reader).pop().and_then(|delivery| delivery.id).expect("a delivery of QoS 2");
        story.pubrec(reader, last);
        assert_eq!(story.hear_all(reader), [Heard::PubRel(last, 0, vec![])]);
    }
}

/// v5: MQTT-2.2.1-6
#[test]
fn suback_and_unsuback_repeat_the_identifier() {
    let mut story = Story::new(3);
    let client = story.connect(Hello::v5("c"));
    for (subscribe, unsubscribe) in [(0xffff_u16, 1_u16), (1, 0xffff), (0x1234, 0x8000)] {
        let filters = [&text("t")[..], &text("$share/g/t")[..]];
        for filter in filters {
            story.send(client, &packet(0x82, &[&subscribe.to_be_bytes(), &[0], filter, &[1]]));
            assert_eq!(story.hear_all(client), [Heard::SubAck(subscribe, vec![1], vec![])]);
            story.send(client, &packet(0xa2, &[&unsubscribe.to_be_bytes(), &[0], filter]));
            assert_eq!(story.hear_all(client), [Heard::UnsubAck(unsubscribe, vec![0], vec![])]);
        }
    }
}

/// v5: MQTT-2.2.2-1
#[test]
fn an_empty_property_set_has_length_0() {
    let mut story = Story::new(2);
    let client = story.connect(Hello::v5("c"));
    story.send(client, &packet(0x82, &[&[0, 1, 0], &text("t"), &[1]]));
    assert_eq!(story.world.receive(client.0), b"\x90\x04\x00\x01\x00\x01");
    story.publish(client, Post::to("t").payload("x"));
    assert_eq!(story.world.receive(client.0), b"\x30\x05\x00\x01t\x00x");
    story.send(client, &packet(0xa2, &[&[0, 2, 0], &text("t")]));
    assert_eq!(story.world.receive(client.0), b"\xb0\x04\x00\x02\x00\x00");
    // What is refused has nothing to announce, and a maximum of five bytes leaves no room for explanations.
    let id = "i".repeat(2000);
    let refused = story.hello(&Hello::v5(&id).with(Property::MaximumPacketSize(5)));
    assert_eq!(story.world.receive(refused.0), b"\x20\x03\x00\x85\x00");
}
