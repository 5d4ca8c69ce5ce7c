//! MQTT 3.1.1, chapters 1, 2 and 4.8: text, fixed headers, packet identifiers, and what is wrong with packets.

use pregon::engine::limits::QueuePolicy;
use pregon::mqtt::Version;

use crate::support::raw::v3::connect;
use crate::support::raw::{first_bytes, hex, packet, text};
use crate::support::story::{Client, Heard, Hello, Post, Story};

/// A broker of three shards, a client that hears everything at QoS 0, and one more client.
fn watched() -> (Story, Client, Client) {
    let mut story = Story::new(3);
    let watcher = story.connect(Hello::v311("watcher"));
    story.subscribe(watcher, "#", 0);
    let client = story.connect(Hello::v311("client"));
    (story, watcher, client)
}

/// v311: MQTT-1.5.3-1
#[test]
fn text_that_is_not_utf8_closes_and_goes_nowhere() {
    for bad in [&b"\xED\xA0\x80"[..], b"\xC0\xAF", b"\xFF", b"\xF4\x90\x80\x80", b"a\xE2\x82"] {
        let (mut story, watcher, client) = watched();
        story.send(client, &packet(0x30, &[&text(bad), b"x"]));
        story.expect_closed(client);
        story.expect_silence(watcher);
    }
}

/// v311: MQTT-1.5.3-2, MQTT-4.7.3-2
#[test]
fn nul_in_text_closes() {
    let (mut story, watcher, publisher) = watched();
    story.send(publisher, &packet(0x30, &[&text("a\0b"), b"x"]));
    story.expect_closed(publisher);
    story.expect_silence(watcher);

    let subscriber = story.connect(Hello::v311("subscriber"));
    story.send(subscriber, &packet(0x82, &[&[0, 1], &text("a\0b"), &[0]]));
    story.expect_closed(subscriber);

    let named = story.open(Version::V311);
    story.send(named, &connect("MQTT", 4, 0x02, &[&text("a\0b")]));
    story.expect_closed(named);
}

/// v311: MQTT-1.5.3-3
#[test]
fn a_zero_width_no_break_space_is_a_character_like_others() {
    let (mut story, watcher, client) = watched();
    let publish = packet(0x30, &[&text(b"\xEF\xBB\xBFa/\xEF\xBB\xBF"), b"x"]);
    story.send(client, &publish);
    assert_eq!(story.world.receive(watcher.0), publish);
}

/// v311: MQTT-2.2.2-1
#[test]
fn every_packet_of_the_broker_has_the_flags_of_its_type() {
    let mut story = Story::new(3);
    let client = story.hello(&Hello::v311("a"));
    story.send(client, &packet(0x82, &[&[0, 1], &text("t"), &[2]]));
    story.publish(client, Post::to("t").qos(2).id(7));
    story.pubrel(client, 7);
    story.pubrec(client, 1);
    story.pubcomp(client, 1);
    story.publish(client, Post::to("t").qos(1).id(8));
    story.puback(client, 2);
    story.send(client, &packet(0xA2, &[&[0, 2], &text("t")]));
    story.send(client, &[0xC0, 0]);
    let mut firsts = first_bytes(&story.world.receive(client.0));
    firsts.sort_unstable();
    assert_eq!(firsts, [0x20, 0x32, 0x34, 0x40, 0x50, 0x62, 0x70, 0x90, 0xB0, 0xD0]);
}

/// v311: MQTT-2.2.2-2, MQTT-3.6.1-1, MQTT-3.8.1-1, MQTT-3.10.1-1
#[test]
fn wrong_header_flags_close() {
    let (subscribe, unsubscribe) = ([&[0, 1][..], &text("t"), &[0]].concat(), [&[0, 1][..], &text("t")].concat());
    let bodies: [(u8, u8, &[u8]); 9] = [
        (0x40, 0x0, &[0, 1]),
        (0x50, 0x0, &[0, 1]),
        (0x60, 0x2, &[0, 1]),
        (0x70, 0x0, &[0, 1]),
        (0x80, 0x2, &subscribe),
        (0xA0, 0x2, &unsubscribe),
        (0xC0, 0x0, &[]),
        (0xE0, 0x0, &[]),
        (0x10, 0x0, b"\0\x04MQTT\x04\x02\0\0\0\x01a"),
    ];
    for (kind, right, body) in bodies {
        for flags in (0..16).filter(|flags| *flags != right) {
            let mut story = Story::new(1);
            let client = match kind {
                0x10 => story.open(Version::V311),
                _ => story.connect(Hello::v311("a")),
            };
            story.send(client, &packet(kind | flags, &[body]));
            assert_eq!(story.hear_all(client), [Heard::Closed], "{kind:#04x} with {flags:#03x}");
        }
    }
}

/// v311: MQTT-2.3.1-1
#[test]
fn packet_identifier_0_closes() {
    for bad in [
        packet(0x32, &[&text("t"), &[0, 0], b"x"]),
        packet(0x34, &[&text("t"), &[0, 0], b"x"]),
        packet(0x82, &[&[0, 0], &text("t"), &[0]]),
        packet(0xA2, &[&[0, 0], &text("t")]),
    ] {
        let (mut story, watcher, client) = watched();
        story.send(client, &bad);
        story.expect_closed(client);
        story.expect_silence(watcher);
    }
}

/// v311: MQTT-2.3.1-2
#[test]
fn subscribes_under_way_at_the_same_time_are_told_apart_by_their_identifiers() {
    let mut story = Story::new(3);
    let client = story.connect(Hello::v311("a"));
    let ids = [9_u16, 3, 0xFFFF, 1, 256];
    let requests = ids.map(|id| packet(0x82, &[&id.to_be_bytes(), &text(format!("t/{id}")), &[1]]));
    story.send(client, &requests.concat());
    assert_eq!(story.hear_all(client), ids.map(|id| Heard::SubAck(id, vec![1], vec![])));
    for id in ids {
        story.publish(client, Post::to(&format!("t/{id}")));
        assert_eq!(story.delivery(client).topic, format!("t/{id}"));
    }
}

/// v311: MQTT-2.3.1-3
#[test]
fn a_packet_that_comes_again_under_its_identifier_is_known_again() {
    let (mut story, watcher, client) = watched();
    story.publish(client, Post::to("t").qos(2).id(5).payload("x"));
    story.publish(client, Post::to("t").qos(2).id(5).payload("x").dup());
    assert_eq!(story.hear_all(client), [Heard::PubRec(5, 0, vec![]), Heard::PubRec(5, 0, vec![])]);
    assert_eq!(story.deliveries(watcher).len(), 1);
}

/// v311: MQTT-2.3.1-4
#[test]
fn deliveries_under_way_have_identifiers_of_their_own_and_keep_them() {
    let mut story = Story::new(3);
    let reader = story.connect(Hello::v311("reader").resume());
    story.subscribe(reader, "t", 2);
    let writer = story.connect(Hello::v311("writer"));
    for n in 0..50_u8 {
        story.publish_fully(writer, Post::to("t").qos(1 + n % 2).payload([n]));
    }
    let ids_of = |story: &mut Story, reader| -> Vec<_> {
        story.deliveries(reader).iter().map(|delivery| (delivery.payload[0], delivery.id.unwrap())).collect()
    };
    let first = ids_of(&mut story, reader);
    let mut distinct: Vec<u16> = first.iter().map(|(_, id)| *id).collect();
    distinct.sort_unstable();
    distinct.dedup();
    assert_eq!(distinct.len(), 50);
    assert!(!distinct.contains(&0));
    story.cut(reader);
    let reader = story.connect(Hello::v311("reader").resume());
    assert_eq!(ids_of(&mut story, reader), first);
}

/// v311: MQTT-2.3.1-5, MQTT-4.3.1-1
#[test]
fn a_qos_0_delivery_has_no_identifier_and_no_dup() {
    let (mut story, watcher, client) = watched();
    story.publish(client, Post::to("t").payload("xy"));
    story.publish_fully(client, Post::to("t").qos(2).id(0x0102).payload("z"));
    let expected = [packet(0x30, &[&text("t"), b"xy"]), packet(0x30, &[&text("t"), b"z"])].concat();
    assert_eq!(story.world.receive(watcher.0), expected);
}

/// v311: MQTT-2.3.1-6
#[test]
fn acknowledgements_repeat_the_identifier_of_the_publish() {
    let mut story = Story::new(3);
    let client = story.connect(Hello::v311("a"));
    story.subscribe(client, "t", 2);
    story.publish(client, Post::to("u").qos(1).id(0xABCD));
    assert_eq!(story.hear_all(client), [Heard::PubAck(0xABCD, 0, vec![])]);
    story.publish(client, Post::to("u").qos(2).id(0xABCE));
    story.pubrel(client, 0xABCE);
    assert_eq!(story.hear_all(client), [Heard::PubRec(0xABCE, 0, vec![]), Heard::PubComp(0xABCE, 0, vec![])]);
    let writer = story.connect(Hello::v311("b"));
    for _ in 0..3 {
        assert_eq!(story.publish_fully(writer, Post::to("t").qos(2)), 0);
    }
    assert_eq!(story.deliveries(client).len(), 3);
    for id in [2, 3, 1] {
        story.pubrec(client, id);
        assert_eq!(story.hear_all(client), [Heard::PubRel(id, 0, vec![])]);
    }
}

/// v311: X311-FRAMING
#[test]
fn packets_are_cut_by_their_length_and_by_nothing_else() {
    let conversation = [
        Hello::v311("a").encode(),
        packet(0x82, &[&[0, 1], &text("t"), &[0]]),
        packet(0x30, &[&text("t"), &[b'x'; 300]]),
        packet(0xC0, &[]),
    ]
    .concat();
    for size in [1, 2, 3, 7, conversation.len()] {
        let mut story = Story::new(3);
        let client = story.open(Version::V311);
        conversation.chunks(size).for_each(|piece| story.send(client, piece));
        let heard = story.hear_all(client);
        assert!(matches!(heard[..2], [Heard::ConnAck(false, 0, _), Heard::SubAck(1, ..)]), "{size}: {heard:?}");
        assert!(matches!(&heard[2..], [Heard::Publish(it), Heard::PingResp] if it.payload == [b'x'; 300]));
    }
    for start in [0x10, 0x30] {
        let mut story = Story::new(1);
        let client = if start == 0x10 { story.open(Version::V311) } else { story.connect(Hello::v311("a")) };
        story.send(client, &[start, 0xFF, 0xFF, 0xFF, 0xFF, 0x01]);
        story.expect_closed(client);
    }
}

/// v311: X311-TYPE
#[test]
fn packets_that_are_no_clients_close() {
    for bad in ["00 00", "F0 00", "20 02 0000", "90 03 0001 00", "B0 02 0001", "D0 00"] {
        let mut story = Story::new(1);
        let client = story.connect(Hello::v311("a"));
        story.send(client, &hex(bad));
        assert_eq!(story.hear_all(client), [Heard::Closed], "{bad}");
    }
}

/// v311: MQTT-4.8.0-1
#[test]
fn a_violation_of_the_protocol_closes_the_connection_and_no_other() {
    for bad in [
        Hello::v311("client").encode(),
        hex("36 05 0001 74 0001"),    // QoS 3
        hex("30 05 0003 61 2F 23"),   // a wildcard in a topic
        hex("30 03 0005 61"),         // a topic longer than its packet
        hex("32 03 0001 74"),         // no packet identifier
        hex("40 01 00"),              // half a packet identifier
        hex("40 03 0001 00"),         // a PUBACK with more than its identifier
        hex("82 02 0001"),            // no filter
        hex("82 05 0001 0001 74"),    // no requested QoS
        hex("82 06 0001 0001 74 03"), // QoS 3 requested
        hex("A2 02 0001"),            // no filter
        hex("C0 01 00"),              // a PINGREQ with a body
        hex("E0 01 00"),              // a DISCONNECT with a body
        hex("60 02 0001"),            // PUBREL without its flag
        hex("D0 00"),                 // a server's packet
        hex("30 FF FF FF FF 01"),     // a length of five bytes
    ] {
        let (mut story, watcher, client) = watched();
        story.send(client, &bad);
        assert_eq!(story.hear_all(client), [Heard::Closed], "{bad:02x?}");
        story.expect_open(watcher);
    }
}

/// v311: MQTT-4.8.0-2
#[test]
fn a_message_that_finds_no_room_ends_the_connection_instead_of_being_acknowledged() {
    for qos in [1, 2] {
        let mut story = Story::limited(|limits| limits.retained_messages_max = 0);
        let client = story.connect(Hello::v311("a"));
        story.publish(client, Post::to("t").qos(qos).retain().payload("x"));
        story.expect_closed(client);
    }
    let mut story = Story::limited(|limits| {
        limits.queue_messages_max = 1;
        limits.queue_policy = QueuePolicy::RefuseNew;
    });
    let reader = story.connect(Hello::v311("reader").resume());
    story.subscribe(reader, "t", 1);
    story.cut(reader);
    let client = story.connect(Hello::v311("a").will("w", "", 0, false));
    let watcher = story.connect(Hello::v311("watcher"));
    story.subscribe(watcher, "w", 0);
    story.publish_fully(client, Post::to("t").qos(1).id(1).payload("1"));
    story.publish(client, Post::to("t").qos(1).id(2).payload("2"));
    story.expect_closed(client);
    assert_eq!(story.delivery(watcher).topic, "w");
    let reader = story.connect(Hello::v311("reader").resume());
    assert_eq!(story.deliveries(reader).len(), 1);
}

/// v311: MQTT-7.0.0-2
#[test]
fn stock_clients_are_served_with_their_defaults() {
    // What mosquitto_sub 2.0.11 and paho-mqtt 2.2.0 for Python sent, as they are installed, to subscribe to
    // `news/today` and to publish `hi` at each quality of service.
    let hello = hex("100c00044d5154540402003c0000");
    let subscribe = hex("820f0001000a6e6577732f746f64617902");
    let mut story = Story::new(3);
    let mosquitto = story.open(Version::V311);
    story.send(mosquitto, &hello);
    assert_eq!(story.hear(mosquitto), Some(Heard::ConnAck(false, 0, vec![])));
    story.send(mosquitto, &subscribe);
    assert_eq!(story.hear(mosquitto), Some(Heard::SubAck(1, vec![2], vec![])));

    let paho = story.open(Version::V311);
    story.send(paho, &hello);
    assert_eq!(story.hear(paho), Some(Heard::ConnAck(false, 0, vec![])));
    story.send(paho, &hex("300e000a6e6577732f746f6461796869"));
    story.send(paho, &hex("3210000a6e6577732f746f64617900036869"));
    story.send(paho, &hex("3410000a6e6577732f746f64617900046869"));
    story.send(paho, &hex("62020004"));
    story.send(paho, &hex("a20e0005000a6e6577732f746f646179"));
    let answers = [
        Heard::PubAck(3, 0, vec![]),
        Heard::PubRec(4, 0, vec![]),
        Heard::PubComp(4, 0, vec![]),
        Heard::UnsubAck(5, vec![], vec![]),
    ];
    assert_eq!(story.hear_all(paho), answers);
    story.send(paho, &hex("e000"));
    story.expect_closed(paho);

    let deliveries = story.deliveries(mosquitto);
    let seen: Vec<_> = deliveries.iter().map(|it| (it.topic.as_str(), &it.payload[..], it.qos, it.id)).collect();
    let expected = [(0, None), (1, Some(1)), (2, Some(2))].map(|(qos, id)| ("news/today", &b"hi"[..], qos, id));
    assert_eq!(seen, expected);
    story.send(mosquitto, &hex("40020001 50020002"));
    assert_eq!(story.hear_all(mosquitto), [Heard::PubRel(2, 0, vec![])]);
    story.send(mosquitto, &hex("70020002 e000"));
    story.expect_closed(mosquitto);
}
