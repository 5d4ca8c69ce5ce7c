//! Errors of the peer, section 4.13 of MQTT 5.0: malformed packets, broken rules, packets cut anywhere.

use crate::support::raw::v5;
use crate::support::story::{Heard, Hello, Post, Story};
use pregon::mqtt::Version;

const CLEAN: u8 = 2;

/// v5: MQTT-4.13.1-1, X5-FRAMING-TYPE0, X5-FRAMING-LEN5, X5-FRAMING-TRAIL, X5-CONN-PROPLEN
#[test]
fn a_malformed_packet_ends_its_connection_and_no_other() {
    let table: &[(&str, &[u8], u8)] = &[
        ("type 0", &[0x00, 0], 0x81),
        ("CONNACK", &[0x20, 3, 0, 0, 0], 0x82),
        ("SUBACK", &[0x90, 4, 0, 1, 0, 0], 0x82),
        ("UNSUBACK", &[0xB0, 4, 0, 1, 0, 0], 0x82),
        ("PINGRESP", &[0xD0, 0], 0x82),
        ("five bytes of length", &[0x30, 0xFF, 0xFF, 0xFF, 0xFF], 0x81),
        ("PINGREQ with a body", &[0xC0, 1, 0], 0x81),
        ("PINGREQ with flags", &[0xC1, 0], 0x81),
        ("PUBACK of one byte", &[0x40, 1, 0], 0x81),
        ("PUBREL with wrong flags", &[0x60, 2, 0, 1], 0x81),
        ("SUBSCRIBE with half a filter", &[0x82, 6, 0, 1, 0, 0, 4, b'a'], 0x81),
        ("SUBSCRIBE without options", &[0x82, 6, 0, 1, 0, 0, 1, b'a'], 0x81),
        ("SUBSCRIBE without a filter", &[0x82, 3, 0, 1, 0], 0x82),
        ("UNSUBSCRIBE without a filter", &[0xA2, 3, 0, 1, 0], 0x82),
        ("PUBLISH of QoS 3", &[0x36, 6, 0, 1, b'a', 0, 1, 0], 0x81),
        ("PUBLISH with identifier 0", &[0x32, 6, 0, 1, b'a', 0, 0, 0], 0x82),
        ("a property cut off", &[0x30, 6, 0, 1, b'a', 2, 2, 0], 0x81),
        ("a property length beyond the packet", &[0x30, 6, 0, 1, b'a', 9, 1, 0], 0x81),
        ("a property length within a property", &[0x30, 9, 0, 1, b'a', 3, 2, 0, 0, 0, 9], 0x81),
        ("a reason code that is none", &[0x40, 3, 0, 1, 0x42], 0x82),
        ("text that is not UTF-8", &[0x30, 5, 0, 2, 0xC3, 0x28, 0], 0x81),
        ("DISCONNECT with flags", &[0xE1, 0], 0x81),
    ];
    for shards in [1, 2] {
        let mut story = Story::new(shards);
        let bystander = story.connect(Hello::v5("bystander"));
        story.subscribe(bystander, "#", 0);
        for (what, bytes, reason) in table {
            let client = story.connect(Hello::v5("client"));
            story.send(client, bytes);
            match &story.hear_all(client)[..] {
                [Heard::Disconnect(said, _), Heard::Closed] => assert_eq!(said, reason, "{what}: {said:#04x}"),
                other => panic!("{what}: {other:?}"),
            }
        }
        story.expect_open(bystander);
    }
}

/// v5: MQTT-4.13.2-1
#[test]
fn an_error_in_connack_or_disconnect_is_the_end() {
    let mut story = Story::new(2);
    // Ours: nothing behind it is read, and nothing more is said.
    let client = story.open(Version::V5);
    let mut bytes = v5::connect_as("client", CLEAN, &[33, 0, 0], &[]);
    bytes.extend([0xC0, 0]);
    story.send(client, &bytes);
    story.expect_refused(client, 0x82);
    let client = story.connect(Hello::v5("client"));
    story.send(client, &[0xC1, 0, 0xC0, 0]);
    story.expect_closed_for(client, &[0x81]);
    // The client's.
    for reason in [0x80, 0x81, 0x82, 0x93, 0x00, 0x04] {
        let client = story.connect(Hello::v5("client"));
        story.disconnect(client, reason);
        story.expect_closed(client);
    }
}

/// v5: X5-CONN-DUPPROP
#[test]
fn a_property_that_may_stand_once_stands_once() {
    let table: &[&[u8]] = &[
        &[17, 0, 0, 0, 9],
        &[33, 0, 9],
        &[39, 0, 1, 0, 0],
        &[34, 0, 9],
        &[25, 1],
        &[23, 1],
        &[21, 0, 1, b'm'],
        &[22, 0, 1, 7],
    ];
    let mut story = Story::new(2);
    for property in table {
        let twice = match property[0] {
            22 => [table[6], property, property].concat(), // data needs a method
            _ => [*property, *property].concat(),
        };
        let client = story.open(Version::V5);
        story.send(client, &v5::connect_as("client", CLEAN, &twice, &[]));
        story.expect_refused(client, 0x82);
    }
    let publish: &[&[u8]] =
        &[&[1, 0], &[2, 0, 0, 0, 9], &[3, 0, 1, b't'], &[8, 0, 1, b'r'], &[9, 0, 1, 7], &[35, 0, 1]];
    for property in publish {
        let client = story.connect(Hello::v5("client"));
        story.send(client, &v5::publish(b"a", &[*property, *property].concat(), b""));
        story.expect_closed_for(client, &[0x82]);
    }
    let client = story.connect(Hello::v5("client"));
    story.send(client, &v5::subscribe(&[11, 1, 11, 2], b"a", 0));
    story.expect_closed_for(client, &[0x82]);
}

/// v5: X5-CONN-PROPWRONG
#[test]
fn a_property_in_the_wrong_place_or_of_no_name_is_malformed() {
    let mut story = Story::new(2);
    for property in [&[11, 1][..], &[0x7F, 1], &[18, 0, 1, b'x'], &[36, 1], &[24, 0, 0, 0, 1], &[0, 0]] {
        let client = story.open(Version::V5);
        story.send(client, &v5::connect_as("client", CLEAN, property, &[]));
        story.expect_refused(client, 0x81);
    }
    for property in [&[17, 0, 0, 0, 9][..], &[0x7F, 1], &[33, 0, 1], &[31, 0, 1, b'x']] {
        let client = story.connect(Hello::v5("client"));
        story.send(client, &v5::publish(b"a", property, b""));
        story.expect_closed_for(client, &[0x81]);
    }
}

/// v5: X5-CONN-RECVMAX0, X5-CONN-MAXPKT0, X5-CONN-REQFLAGS, X5-CONN-AUTHDATA
#[test]
fn a_connect_property_with_a_value_that_cannot_be_is_a_protocol_error() {
    let mut story = Story::new(2);
    for property in [&[33, 0, 0][..], &[39, 0, 0, 0, 0], &[25, 2], &[23, 2], &[25, 255], &[22, 0, 1, 7]] {
        let client = story.open(Version::V5);
        story.send(client, &v5::connect_as("client", CLEAN, property, &[]));
        story.expect_refused(client, 0x82);
    }
    for property in [&[33, 0, 1][..], &[39, 0, 0, 1, 0], &[25, 0], &[25, 1], &[23, 0], &[23, 1]] {
        let client = story.open(Version::V5);
        story.send(client, &v5::connect_as("client", CLEAN, property, &[]));
        assert!(matches!(story.hear(client), Some(Heard::ConnAck(false, 0, _))), "{property:?}");
    }
}

/// v5: X5-SUB-QOS3, X5-SUB-RH3, X5-SUBID-ZERO
#[test]
fn subscription_options_that_cannot_be_are_errors() {
    let mut story = Story::new(2);
    let table: [(&[u8], u8, u8); 4] = [(&[], 0x03, 0x82), (&[], 0x30, 0x82), (&[], 0x40, 0x81), (&[11, 0], 0x00, 0x82)];
    for (properties, options, reason) in table {
        let client = story.connect(Hello::v5("client"));
        story.send(client, &v5::subscribe(properties, b"a", options));
        story.expect_closed_for(client, &[reason]);
    }
    let client = story.connect(Hello::v5("client"));
    let largest = [11, 0xFF, 0xFF, 0xFF, 0x7F];
    story.send(client, &v5::subscribe(&largest, b"a", 0));
    assert!(matches!(story.hear(client), Some(Heard::SubAck(1, codes, _)) if codes == [0]));
    story.publish(client, Post::to("a"));
    assert_eq!(story.delivery(client).subscription_ids, [268_435_455]);
}

/// v5: X5-DISC-SHORT
#[test]
fn a_short_disconnect_is_a_normal_one_and_one_byte_is_its_reason() {
    for (bytes, is_told) in [(&[0xE0, 0][..], false), (&[0xE0, 1, 0x00], false), (&[0xE0, 1, 0x04], true)] {
        let mut story = Story::new(2);
        let reader = story.connect(Hello::v5("reader"));
        story.subscribe(reader, "will", 0);
        let client = story.connect(Hello::v5("client").will("will", "x", 0, false));
        story.send(client, bytes);
        story.expect_closed(client);
        assert_eq!(story.deliveries(reader).len(), usize::from(is_told), "{bytes:?}");
    }
}

/// v5: X5-FRAMING-PARTIAL, X5-CONN-PIPELINE
#[test]
fn packets_may_be_cut_and_joined_anywhere() {
    for shards in [1, 3] {
        let mut talk = Hello::v5("client").encode();
        talk.extend(v5::subscribe(&[], b"a", 2));
        talk.extend(Post::to("a").qos(1).id(2).payload("one").encode(Version::V5));
        talk.extend(Post::to("a").qos(0).payload(vec![7; 300]).encode(Version::V5));
        talk.extend(Post::to("a").qos(2).id(3).payload("two").encode(Version::V5));
        talk.extend([0x62, 2, 0, 3, 0xC0, 0]);
        let mut told: Vec<Vec<Heard>> = Vec::new();
        for piece in [talk.len(), 1, 2, 3, 7, 50] {
            let mut story = Story::new(shards);
            // The second connection lands on another shard than its home, on one broker or the other.
            for _ in 0..2 {
                let client = story.open(Version::V5);
                for piece in talk.chunks(piece) {
                    story.send(client, piece);
                }
                let mut heard = story.hear_all(client);
                assert!(matches!(heard[0], Heard::ConnAck(false, 0, _)), "{heard:?}");
                assert!(matches!(heard[1], Heard::SubAck(1, ..)));
                // Messages and acknowledgements are two rows of their own; each keeps its order.
                heard.sort_by_key(|heard| matches!(heard, Heard::Publish(_)));
                told.push(heard);
                story.disconnect(client, 0);
            }
        }
        assert_eq!(told[0].len(), 9);
        assert!(told.iter().all(|heard| *heard == told[0]), "{told:#?}");
    }
}

/// v5: X5-FRAMING-LEN5
#[test]
fn a_length_of_five_bytes_is_no_connect_either() {
    let mut story = Story::new(1);
    let client = story.open(Version::V5);
    story.send(client, &[0x10, 0xFF, 0xFF, 0xFF, 0xFF, 0x7F]);
    story.expect_closed(client);
}
