//! Bytes that are no packets, packets that nobody may send, and values that none of them may have.

use pregon::mqtt::Version;

use crate::client::Client;
use crate::field::{Attack, Field, MEBIBYTE, SHARDS, Stage};
use crate::packets::{PROPERTIES, announce, connect_body, good_body, packet, properties, publish_body, text};
use crate::process::{Broker, Options};
use crate::support::story::{Heard, Hello, Wish};

pub const FIRST_BYTES: Attack = Attack { name: "every first byte", run: first_bytes };
pub const CUTS: Attack = Attack { name: "packets cut at every byte", run: cuts };
pub const PROPERTY_RULES: Attack = Attack { name: "wrong and repeated properties", run: property_rules };
pub const TEXTS: Attack = Attack { name: "texts that are none", run: texts };
pub const LEVELS: Attack = Attack { name: "65,535 levels", run: levels };

const MALFORMED: u8 = 0x81;
const PROTOCOL_ERROR: u8 = 0x82;
const TOPIC_FILTER_INVALID: u8 = 0x8f;
const TOPIC_NAME_INVALID: u8 = 0x90;
/// What whoever breaks off in the middle may leave behind: an allocator's rounding, no packet.
const LEFT_BYTES_MAX: u64 = 8 * MEBIBYTE;

/// Only the error itself closes a connection within the patience of a test.
fn patient() -> Options {
    Options::shards(SHARDS).set("limits.connect_timeout=1h").set("auth.anonymous=yes")
}

/// What becomes of a connection on which this first byte comes with a good body.
pub enum Fate {
    Stays,
    Leaves,
    /// With one of these reasons in 5.0.
    Falls(&'static [u8]),
}

/// By the standard alone: table 2.2 of its types and flags, and who may send what.
pub fn fate(version: Version, first: u8) -> Fate {
    let (kind, flags) = (first >> 4, first & 0x0f);
    let prescribed = if matches!(kind, 6 | 8 | 10) { 0b0010 } else { 0 };
    // 3.1 knew DUP and QoS for requests and PUBREL, where 3.1.1 reserves the bits.
    let has_old_flags = version == Version::V31 && matches!(kind, 6 | 8 | 10) && flags & 0b0111 == 0b0010;
    match kind {
        3 if flags & 0b0110 == 0b0110 => Fate::Falls(&[MALFORMED]),
        // [MQTT-3.3.1-2] DUP with QoS 0; 3.1 says as much: DUP applies where QoS is above zero.
        3 if flags & 0b1110 == 0b1000 => Fate::Falls(&[MALFORMED, PROTOCOL_ERROR]),
        3 => Fate::Stays,
        0 => Fate::Falls(&[MALFORMED]),
        15 if version != Version::V5 => Fate::Falls(&[MALFORMED]),
        1 | 2 | 9 | 11 | 13 | 15 if flags == 0 => Fate::Falls(&[PROTOCOL_ERROR]),
        1 | 2 | 9 | 11 | 13 => Fate::Falls(&[MALFORMED, PROTOCOL_ERROR]),
        _ if flags != prescribed && !has_old_flags => Fate::Falls(&[MALFORMED]),
        14 => Fate::Leaves,
        _ => Fate::Stays,
    }
}

fn first_bytes(stage: &Stage) {
    stage.open(patient()).attack(|field, _| {
        for version in Version::ALL {
            for first in 0..=u8::MAX {
                let packet = packet(first, &good_body(version, first));
                let mut client = Client::join(&field.broker, version, &format!("first-{first}"));
                client.send(&packet);
                match fate(version, first) {
                    Fate::Stays => expect_open(&mut client, &format!("{version:?} {first:#04x}")),
                    Fate::Leaves => client.expect_closed(),
                    Fate::Falls(reasons) => expect_fall(&mut client, version, reasons, &format!("{first:#04x}")),
                }
                // Before CONNECT nothing but CONNECT is heard, and nothing else is answered.
                if first != 0x10 {
                    let mut early = Client::open(field.broker.address, version);
                    early.send(&packet);
                    if first >> 4 == 1 { expect_nobody_comes_in(&mut early) } else { early.expect_closed() }
                }
            }
        }
        field.expect_nobody_else();
        field.expect_shrunk(LEFT_BYTES_MAX);
    });
}

/// The broker answers PINGREQ, whatever it says before.
#[track_caller]
fn expect_open(client: &mut Client, what: &str) {
    client.send(&[0xc0, 0]);
    loop {
        match client.hear() {
            Heard::PingResp => return,
            Heard::Closed | Heard::Disconnect(..) => panic!("{what} closes"),
            _ => {}
        }
    }
}

/// The broker closes; to a client of 5.0 it has said one of these reasons before.
#[track_caller]
fn expect_fall(client: &mut Client, version: Version, reasons: &[u8], what: &str) {
    if version == Version::V5 {
        let heard = client.hear();
        assert!(matches!(&heard, Heard::Disconnect(reason, _) if reasons.contains(reason)), "{what}: {heard:?}");
    }
    let heard = client.hear();
    assert_eq!(heard, Heard::Closed, "{version:?} {what}");
}

/// CONNECT has failed: the broker closes, and says nothing before or why.
#[track_caller]
fn expect_nobody_comes_in(client: &mut Client) {
    match client.hear() {
        Heard::Closed => {}
        Heard::ConnAck(false, MALFORMED | PROTOCOL_ERROR | 1 | 2, _) => client.expect_closed(),
        other => panic!("no refusal: {other:?}"),
    }
}

/// One of each packet that a client sends, with whatever its version lets stand in it.
fn full_packets(version: Version) -> Vec<Vec<u8>> {
    let with = |encoded: &[u8]| properties(version, encoded);
    let mut all = vec![
        packet(0x34, &publish_body(version, 0x34, b"a/b", b"\x26\0\x01n\0\x01v\x23\0\x01")),
        packet(0x62, &[0, 9]),
        packet(0x82, &[&[0, 9], &with(&[0x0b, 9])[..], &text("a/+"), &[1], &text("$share/g/b"), &[2]].concat()),
        packet(0xa2, &[&[0, 9], &with(b"\x26\0\x01n\0\x01v")[..], &text("a/+"), &text("b")].concat()),
    ];
    if version == Version::V5 {
        for first in [0x40, 0x50, 0x70] {
            all.push(packet(first, b"\0\x09\x10\x04\x1f\0\x01r"));
        }
        all.push(packet(0xe0, b"\x04\x09\x11\0\0\0\x09\x1f\0\x01r"));
    }
    all
}

fn cuts(stage: &Stage) {
    // Clients of 3.1 announce a password, or both, and may leave them out.
    let (password, user) = (text("password").len(), text("user").len());
    let optional_bytes = [password, user + password];
    stage.open(patient()).attack(|field, _| {
        for version in Version::ALL {
            let body = connect_body(version, b"cut", &[0x21, 0, 9], &[0x18, 0, 0, 0, 9]);
            for end in 0..body.len() {
                let mut short = Client::open(field.broker.address, version);
                short.send(&packet(0x10, &body[..end]));
                if version == Version::V31 && optional_bytes.contains(&(body.len() - end)) {
                    short.expect("success", |heard| matches!(heard, Heard::ConnAck(false, 0, _)));
                    short.leave();
                } else {
                    expect_nobody_comes_in(&mut short);
                }
                break_off(&field.broker, version, None, &packet(0x10, &body)[..=end]);
            }
            for whole in full_packets(version) {
                for end in 2..whole.len() {
                    let mut client = Client::join(&field.broker, version, "cut");
                    client.send(&packet(whole[0], &whole[2..end]));
                    client.send(&[0xc0, 0]);
                    // Some of them are packets still; all of them are judged.
                    while !matches!(client.hear(), Heard::PingResp | Heard::Closed) {}
                    break_off(&field.broker, version, Some("cut"), &whole[..end]);
                }
            }
        }
        field.expect_nobody_else();
        field.expect_shrunk(LEFT_BYTES_MAX);
    });
}

/// Says the beginning of a packet and is gone.
fn break_off(broker: &Broker, version: Version, name: Option<&str>, bytes: &[u8]) {
    let mut client = match name {
        Some(name) => Client::join(broker, version, name),
        None => Client::open(broker.address, version),
    };
    client.send(bytes);
    if bytes.len().is_multiple_of(2) {
        client.cut();
    } else {
        client.close_half();
        client.expect_end();
    }
}

/// Which properties a client may send where, by table 2.4 of the standard.
const PLACES: [(&str, &[u8]); 11] = [
    ("connect", &[0x11, 0x15, 0x16, 0x17, 0x19, 0x21, 0x22, 0x26, 0x27]),
    ("will", &[0x01, 0x02, 0x03, 0x08, 0x09, 0x18, 0x26]),
    ("publish", &[0x01, 0x02, 0x03, 0x08, 0x09, 0x23, 0x26]),
    ("puback", &[0x1f, 0x26]),
    ("pubrec", &[0x1f, 0x26]),
    ("pubrel", &[0x1f, 0x26]),
    ("pubcomp", &[0x1f, 0x26]),
    ("subscribe", &[0x0b, 0x26]),
    ("unsubscribe", &[0x26]),
    ("disconnect", &[0x11, 0x1c, 0x1f, 0x26]),
    ("auth", &[0x15, 0x16, 0x1f, 0x26]),
];

fn in_place(place: &str, encoded: &[u8]) -> Vec<u8> {
    let with = properties(Version::V5, encoded);
    let acknowledge = |first| packet(first, &[&[0, 9, 0], &with[..]].concat());
    match place {
        "connect" => packet(0x10, &connect_body(Version::V5, b"p", encoded, &[])),
        "will" => packet(0x10, &connect_body(Version::V5, b"p", &[], encoded)),
        "publish" => packet(0x30, &publish_body(Version::V5, 0x30, b"a", encoded)),
        "puback" => acknowledge(0x40),
        "pubrec" => acknowledge(0x50),
        "pubrel" => acknowledge(0x62),
        "pubcomp" => acknowledge(0x70),
        "subscribe" => packet(0x82, &[&[0, 9], &with[..], &text("a"), &[0]].concat()),
        "unsubscribe" => packet(0xa2, &[&[0, 9], &with[..], &text("a")].concat()),
        "disconnect" => packet(0xe0, &[&[0], &with[..]].concat()),
        _ => packet(0xf0, &[&[0x18], &with[..]].concat()),
    }
}

fn property_rules(stage: &Stage) {
    let unknown: [(u8, &[u8]); 5] = [(0, &[0]), (4, &[0]), (0x2b, &[0]), (0x7f, &[0]), (0xff, &[0])];
    stage.open(patient()).attack(|field, _| {
        for (place, allowed) in PLACES {
            for (id, value) in PROPERTIES.into_iter().chain(unknown) {
                let once = [&[id], value].concat();
                let is_allowed = allowed.contains(&id);
                // User properties may stand there many times.
                if is_allowed && id == 0x26 {
                    continue;
                }
                expect_refused(&field.broker, place, &in_place(place, &once.repeat(1 + usize::from(is_allowed))));
                expect_refused(&field.broker, place, &in_place(place, &once[..once.len() - 1]));
            }
        }
        field.expect_nobody_else();
    });
}

#[track_caller]
fn expect_refused(broker: &Broker, place: &str, packet: &[u8]) {
    let is_connect = matches!(place, "connect" | "will");
    let mut client =
        if is_connect { Client::open(broker.address, Version::V5) } else { Client::join(broker, Version::V5, "p") };
    client.send(packet);
    let heard = client.hear();
    let is_right = match &heard {
        Heard::ConnAck(false, MALFORMED | PROTOCOL_ERROR, _) => is_connect,
        Heard::Disconnect(MALFORMED | PROTOCOL_ERROR, _) => !is_connect,
        _ => false,
    };
    assert!(is_right, "{place} {packet:02x?}: {heard:?}");
    client.expect_closed();
}

/// What stands where a text belongs.
const NO_TEXTS: [&[u8]; 8] = [
    b"\xff",
    b"a\xc0\x80",            // U+0000 in two bytes
    b"a\0b",                 // U+0000
    b"\xed\xa0\x80",         // half of a pair of surrogates
    b"\xed\xbf\xbf",         // the other half
    b"\xf4\x90\x80\x80",     // above U+10FFFF
    b"\xe2\x82",             // cut
    b"\xf8\x88\x80\x80\x80", // five bytes
];

fn texts(stage: &Stage) {
    stage.open(patient()).attack(|field, _| {
        let broker = &field.broker;
        for version in Version::ALL {
            for wrong in NO_TEXTS {
                let mut client = Client::open(broker.address, version);
                client.send(&packet(0x10, &connect_body(version, wrong, &[], &[])));
                expect_nobody_comes_in(&mut client);
                for bytes in [
                    packet(0x30, &publish_body(version, 0x30, wrong, &[])),
                    packet(0x82, &[&[0, 9], &properties(version, &[])[..], &text(wrong), &[0]].concat()),
                    packet(0xa2, &[&[0, 9], &properties(version, &[])[..], &text(wrong)].concat()),
                ] {
                    let mut client = Client::join(broker, version, "texts");
                    client.send(&bytes);
                    expect_fall(&mut client, version, &[MALFORMED], &format!("{bytes:02x?}"));
                }
            }
            for wild in [&b"#"[..], b"+", b"a/#", b"a/+/b", b"a+", b""] {
                let mut client = Client::join(broker, version, "wild");
                client.send(&packet(0x30, &publish_body(version, 0x30, wild, &[])));
                let reasons = [MALFORMED, PROTOCOL_ERROR, TOPIC_NAME_INVALID];
                expect_fall(&mut client, version, &reasons, &format!("{wild:02x?}"));
            }
        }
        field.expect_nobody_else();
    });
}

/// The longest text, as one level and as the most of them.
fn levels(stage: &Stage) {
    let deep = "/".repeat(65_534);
    let one = "x".repeat(65_535);
    let wild = format!("{}+", "+/".repeat(32_767));
    let half = "/".repeat(32_767);
    stage.open(patient().set("limits.topic_levels_max=65535")).attack(|field, _| {
        let broker = &field.broker;
        for version in [Version::V311, Version::V5] {
            let mut hearer = Client::join(broker, version, "deep-hearer");
            for filter in [&deep, &one, &half] {
                hearer.subscribe(filter, 1);
            }
            // Wildcards cost work at each level, so they may not have so many.
            let refusal = if version == Version::V5 { TOPIC_FILTER_INVALID } else { 0x80 };
            for filter in [&wild, &format!("{half}/#")] {
                assert_eq!(hearer.subscribe_to(&[Wish::to(filter, 1)]), [refusal]);
            }
            let mut speaker = Client::join(broker, version, "deep-speaker");
            for topic in [&deep, &one, &half] {
                speaker.send(&packet(0x32, &publish_body(version, 0x32, topic.as_bytes(), &[])));
                speaker.expect("PUBACK", |heard| matches!(heard, Heard::PubAck(9, 0, _)));
                assert!(hearer.take().topic == *topic, "{} bytes", topic.len());
            }
            hearer.expect_silence();
            hearer.leave();
            speaker.leave();
        }
    });
    let shallow = |field: &Field<'_>, _| {
        for version in [Version::V311, Version::V5] {
            let mut client = Client::join(&field.broker, version, "shallow");
            let body = [&[0, 9], &properties(version, &[])[..], &text(&deep), &[0]].concat();
            client.send(&packet(0x82, &body));
            client.expect("a refusal", |heard| {
                matches!(heard, Heard::SubAck(9, codes, _) if codes.iter().all(|code| *code >= 0x80))
                    || *heard == Heard::Closed
            });
            let mut client = Client::join(&field.broker, version, "shallow-too");
            client.send(&packet(0x32, &publish_body(version, 0x32, deep.as_bytes(), &[])));
            match client.hear() {
                Heard::PubAck(9, TOPIC_NAME_INVALID, _) => {}
                Heard::PubAck(9, 0, _) | Heard::Closed if version == Version::V311 => {} // it has no reasons
                other => panic!("a deep topic: {other:?}"),
            }
        }
    };
    stage.open(patient()).attack(shallow);
}

/// Packets that announce more than they bring, for the attack on memory.
pub fn boast(first: u8, start: &[u8]) -> Vec<u8> {
    announce(first, 268_435_455, start)
}

/// A CONNECT that is accepted, for those who need no more of it.
pub fn hello(version: Version, id: &str) -> Vec<u8> {
    Hello::new(version, id).encode()
}
