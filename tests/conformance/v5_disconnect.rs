//! MQTT 5.0, sections 3.12 and 3.14: PINGREQ, and DISCONNECT from both sides.

use pregon::engine::input::Input;
use pregon::engine::limits::Limits;
use pregon::mqtt::properties::{Place, Properties, Property};
use pregon::mqtt::{QoS, Version};

use super::v5_bytes::{ask, has_diagnostics, publish, small, subscribe};
use crate::support::policies::{CHALLENGE, Challenge, Users};
use crate::support::story::{Client, Heard, Hello, Post, Story};
use pregon::engine::auth::policy::{Open, Policy};

/// The codes that a server may give in DISCONNECT, section 3.14.2.1.
const CODES: [u8; 28] = [
    0x00, 0x80, 0x81, 0x82, 0x83, 0x87, 0x89, 0x8b, 0x8d, 0x8e, 0x8f, 0x90, 0x93, 0x94, 0x95, 0x96, 0x97, 0x98, 0x99,
    0x9a, 0x9b, 0x9c, 0x9d, 0x9e, 0x9f, 0xa0, 0xa1, 0xa2,
];

/// v5: MQTT-3.12.4-1
#[test]
fn every_pingreq_is_answered() {
    for shards in [1, 3] {
        let mut story = Story::new(shards);
        let client = story.connect(Hello::v5("client").receive_maximum(1));
        story.send(client, &[0xc0, 0].repeat(20));
        assert_eq!(story.hear_all(client), vec![Heard::PingResp; 20]);
        story.subscribe(client, "t", 1);
        let writer = story.connect(Hello::v5("writer"));
        for id in 1..=3 {
            story.publish(writer, Post::to("t").qos(1).id(id));
        }
        assert_eq!(story.deliveries(client).len(), 1);
        assert_eq!(ask(&mut story, client, &[0xc0, 0]), [0xd0, 0]);
    }
}

/// What a client that never got a CONNACK of success hears: nothing or a CONNACK, and then the end.
fn expect_no_disconnect(story: &mut Story, client: Client, what: &str) {
    let bytes = story.world.receive(client.0);
    assert!(story.world.links[client.0].is_closed, "{what}");
    if let [first, len, _, code, ..] = bytes[..] {
        assert_eq!((first, usize::from(len)), (0x20, bytes.len() - 2), "{what}");
        assert!(code >= 0x80 && code != 0x8b, "{what}: {code:#04x}");
    } else {
        assert_eq!(bytes, [0_u8; 0], "{what}");
    }
}

/// v5: MQTT-3.14.0-1
#[test]
fn no_disconnect_comes_before_the_connack_of_success() {
    let strict = |limits: &mut Limits| {
        limits.maximum_qos = QoS::AtLeastOnce;
        limits.client_id_bytes_max = 10;
        limits.packet_bytes_max = 100;
    };
    let hello = Hello::v5("client").login("alice", "secret").encode();
    let cases: Vec<(&str, Vec<u8>)> = vec![
        ("ping", vec![0xc0, 0]),
        ("publish", publish(b"t", b"")),
        ("disconnect", vec![0xe0, 0]),
        ("type 0", vec![0, 0]),
        ("flags", [&[0x11], &hello[1..]].concat()),
        ("reserved flag", [&hello[..9], &[hello[9] | 1], &hello[10..]].concat()),
        ("level", [&hello[..8], &[9], &hello[9..]].concat()),
        ("wildcard will", hello_with_wildcard_will()),
        ("huge", vec![0x10, 0xff, 0xff, 0x7f, 0, 4, b'M', b'Q', b'T', b'T', 5]),
        ("length", vec![0x10, 0xff, 0xff, 0xff, 0xff, 0xff]),
        ("password", Hello::v5("client").login("alice", "wrong").encode()),
        ("nobody", Hello::v5("client").encode()),
        ("id", Hello::v5("client of a name").login("alice", "secret").encode()),
        ("will", Hello::v5("client").login("alice", "secret").will("t", "", 2, false).encode()),
        ("method", Hello::v5("client").with(Property::AuthMethod("none")).encode()),
    ];
    for (what, bytes) in cases {
        let users = Users(&[("alice", "secret")]);
        let mut story = Story::with(strict, Policy::new(vec![Box::new(users)], Box::new(Open)));
        let client = story.open(Version::V5);
        story.send(client, &bytes);
        expect_no_disconnect(&mut story, client, what);
    }
}

fn hello_with_wildcard_will() -> Vec<u8> {
    let mut bytes = Hello::v5("client").login("alice", "secret").will("tt", "", 0, false).encode();
    let place = bytes.windows(2).position(|window| window == b"tt").expect("the will's topic");
    bytes[place] = b'#';
    bytes
}

/// v5: MQTT-3.14.0-1
#[test]
fn no_disconnect_ends_an_authentication_under_way() {
    let auth = |reason: u8, method: &str| {
        let len = u8::try_from(method.len()).expect("short");
        [&[0xf0, len + 5, reason, len + 3, 0x15, 0, len], method.as_bytes()].concat()
    };
    let cases: Vec<(&str, Vec<u8>)> = vec![
        ("ping", vec![0xc0, 0]),
        ("publish", publish(b"t", b"")),
        ("alias 0", publish(b"t", b"\x23\x00\x00")),
        ("wildcard", publish(b"#", b"")),
        ("filter", subscribe(b"a/#/b", 0)),
        ("hello", Hello::v5("client").encode()),
        ("renewal", auth(0x19, CHALLENGE)),
        ("other method", auth(0x18, "other")),
        ("no proof", auth(0x18, CHALLENGE)),
        ("flags", vec![0xf1, 0]),
    ];
    for (what, bytes) in cases {
        let mut story = Story::with(|_| {}, Challenge::policy());
        let client = challenged(&mut story);
        story.send(client, &bytes);
        expect_no_disconnect(&mut story, client, what);
    }
}

/// A client that is asked for its proof.
fn challenged(story: &mut Story) -> Client {
    let hello = Hello::v5("client").with(Property::AuthMethod(CHALLENGE)).with(Property::AuthData(b"alice"));
    let client = story.hello(&hello);
    assert!(matches!(story.hear_all(client).as_slice(), [Heard::Auth(0x18, _)]));
    client
}

/// v5: MQTT-3.14.0-1
#[test]
fn no_disconnect_ends_a_handshake_at_shutdown_or_at_its_timeout() {
    for is_shutdown in [true, false] {
        let mut story = Story::with(|_| {}, Challenge::policy());
        let silent = story.open(Version::V5);
        let asked = challenged(&mut story);
        // Each shard accepts one, so that one of them is on its way to its home.
        let on_the_way = [story.open(Version::V5), story.open(Version::V5)];
        if is_shutdown {
            for client in on_the_way {
                story.world.send(client.0, &Hello::v5("same").encode());
                story.world.read(client.0, usize::MAX);
            }
            let moving = story.world.moving.len();
            assert_eq!(moving, 1);
            shut_down(&mut story);
            let refused = on_the_way.into_iter().filter(|client| {
                let bytes = story.world.receive(client.0);
                bytes.starts_with(&[0x20]) && bytes[3] >= 0x80
            });
            assert_eq!(refused.count(), moving);
        } else {
            story.wait_s(20);
            expect_no_disconnect(&mut story, on_the_way[0], "timeout");
        }
        expect_no_disconnect(&mut story, silent, "silent");
        expect_no_disconnect(&mut story, asked, "asked");
    }
}

fn shut_down(story: &mut Story) {
    for shard in 0..story.world.shards.len() {
        story.world.input(shard, Input::Shutdown);
    }
    story.world.drive();
}

/// v5: MQTT-3.14.1-1
#[test]
fn a_disconnect_with_flags_is_malformed() {
    for first in 0xe1..=0xef {
        let mut story = Story::new(2);
        let watcher = story.connect(Hello::v5("watcher"));
        story.subscribe(watcher, "will", 0);
        let client = story.connect(Hello::v5("client").will("will", "gone", 0, false));
        story.send(client, &[first, 0]);
        story.expect_closed_for(client, &[0x81]);
        assert_eq!(story.delivery(watcher).payload, b"gone");
    }
}

/// How a broker of many limits says goodbye to a client, after what the client sends.
fn goodbye_after(bytes: &[u8]) -> (u8, Vec<u8>) {
    let mut story = Story::limited(|limits| {
        limits.maximum_qos = QoS::AtLeastOnce;
        limits.retain_available = false;
        limits.subscription_ids_available = false;
        limits.packet_bytes_max = 200;
    });
    let client = story.connect(Hello::v5("client").expiry(60));
    story.send(client, bytes);
    goodbye(&mut story, client)
}

/// DISCONNECT and then the close; nothing else.
fn goodbye(story: &mut Story, client: Client) -> (u8, Vec<u8>) {
    let heard = story.hear_all(client);
    match heard.as_slice() {
        [Heard::Disconnect(reason, raw), Heard::Closed] => (*reason, raw.clone()),
        _ => panic!("no goodbye: {heard:?}"),
    }
}

fn is_of_a_server((reason, raw): &(u8, Vec<u8>)) {
    assert!(CODES.contains(reason), "{reason:#04x} is no code of a server's DISCONNECT");
    let properties = Properties::parse(raw, Place::Disconnect).expect("properties of the broker");
    assert_eq!(properties.session_expiry(), None);
}

/// v5: MQTT-3.14.2-1, MQTT-3.14.2-2, MQTT-3.14.4-2
#[test]
fn goodbyes_for_an_error_have_a_code_of_the_list_no_expiry_and_are_the_end() {
    let hello = Hello::v5("client").encode();
    let another_level = [&hello[..8], &[9], &hello[9..]].concat();
    let cases: Vec<(&str, Vec<u8>, u8)> = vec![
        ("flags", vec![0xe1, 0], 0x81),
        ("type 0", vec![0, 0], 0x81),
        ("hello", hello, 0x82),
        ("hello of another level", another_level, 0x82),
        ("suback", vec![0x90, 4, 0, 1, 0, 0], 0x82),
        ("auth", vec![0xf0, 0], 0x82),
        ("topic", publish(b"#", b""), 0x90),
        ("alias", publish(b"t", b"\x23\x00\x00"), 0x94),
        ("large", [&[0x30, 0xff, 0x01][..], &[0; 300]].concat(), 0x95),
        ("qos", vec![0x34, 6, 0, 1, b't', 0, 1, 0], 0x9b),
        ("retain", vec![0x31, 4, 0, 1, b't', 0], 0x9a),
        ("subscription id", vec![0x82, 9, 0, 1, 2, 0x0b, 1, 0, 1, b't', 0], 0xa1),
        ("puback", vec![0x40, 3, 0, 1, 0x05], 0x82),
    ];
    for (what, bytes, expected) in cases {
        let said = goodbye_after(&bytes);
        assert_eq!(said.0, expected, "{what}");
        is_of_a_server(&said);
    }
}

/// v5: MQTT-3.14.2-1
#[test]
fn a_clients_disconnect_with_a_code_of_no_client_is_an_error() {
    for code in [0x01, 0x05, 0x10, 0x84, 0x85, 0x8e, 0x8d, 0x8b, 0x9c, 0xa1, 0xff] {
        let said = goodbye_after(&[0xe0, 1, code]);
        assert_eq!(said.0, 0x82, "{code:#04x}");
        is_of_a_server(&said);
    }
    for code in [0x00, 0x04, 0x80, 0x81, 0x82, 0x83, 0x90, 0x93, 0x94, 0x95, 0x96, 0x97, 0x98, 0x99] {
        let mut story = Story::new(2);
        let client = story.connect(Hello::v5("client"));
        story.disconnect(client, code);
        story.expect_closed(client);
    }
}

/// v5: MQTT-3.14.2-1, MQTT-3.14.2-2, MQTT-3.14.4-2
#[test]
fn goodbyes_of_the_brokers_own_will_have_a_code_of_the_list_no_expiry_and_are_the_end() {
    for shards in [1, 3] {
        let mut story = Story::new(shards);
        let hello = |id: &str| Hello::v5(id).expiry(60);
        let taken = story.connect(hello("taken"));
        let silent = story.connect(hello("silent").keep_alive(10));
        let kicked = story.connect(hello("kicked"));
        let last = story.connect(hello("last"));
        story.connect(hello("taken"));
        story.wait_s(16);
        for shard in 0..shards {
            story.world.input(shard, Input::Kick { client_id: "kicked" });
        }
        shut_down(&mut story);
        for (client, expected) in [(taken, 0x8e), (silent, 0x8d), (kicked, 0x98), (last, 0x8b)] {
            let said = goodbye(&mut story, client);
            assert_eq!(said.0, expected);
            is_of_a_server(&said);
        }
    }
}

/// v5: MQTT-3.14.2-3, MQTT-3.14.2-4
#[test]
fn a_disconnect_explains_itself_only_where_that_fits() {
    let said = |packet_bytes_max| {
        let (mut story, client) = small(packet_bytes_max, Policy::open());
        let bytes = ask(&mut story, client, &[0x90, 4, 0, 1, 0, 0]);
        assert!(story.world.links[client.0].is_closed);
        bytes
    };
    let whole = said(200);
    assert!(has_diagnostics(&whole[4..], Place::Disconnect));
    let size = u32::try_from(whole.len()).expect("a small packet");
    assert_eq!(said(size), whole);
    for too_small in [8, 9, size - 1] {
        assert_eq!(said(too_small), [0xe0, 1, 0x82]);
    }
}

/// v5: MQTT-3.14.4-1
#[test]
fn nothing_is_said_or_heard_behind_a_disconnect() {
    for shards in [1, 3] {
        let mut story = Story::new(shards);
        let watcher = story.connect(Hello::v5("watcher"));
        story.subscribe(watcher, "#", 0);
        let more = [publish(b"t", b""), subscribe(b"t", 0), vec![0xc0, 0], vec![0xe0, 0]].concat();
        let client = story.connect(Hello::v5("client"));
        story.subscribe(client, "#", 0);
        story.send(client, &[&[0xe0, 0], &more[..]].concat());
        story.expect_closed(client);
        let client = story.connect(Hello::v5("client").expiry(60));
        story.subscribe(client, "#", 1);
        story.send(client, &[&[0xe1, 0], &more[..]].concat());
        story.expect_closed_for(client, &[0x81]);
        story.expect_silence(watcher);
        let writer = story.connect(Hello::v5("writer"));
        story.publish(writer, Post::to("t").qos(1));
        story.expect_silence(client);
        assert_eq!(story.deliveries(watcher).len(), 1);
    }
}

/// v5: MQTT-3.14.4-3
#[test]
fn a_normal_disconnect_discards_the_will() {
    for shards in [1, 3] {
        let mut story = Story::new(shards);
        let watcher = story.connect(Hello::v5("watcher"));
        story.subscribe(watcher, "will", 0);
        for (expiry, delay) in [(0, 0), (60, 0), (60, 5)] {
            let hello = |id: &str| {
                let hello = Hello::v5(id).expiry(expiry).will("will", id, 0, true);
                hello.will_with(Property::WillDelay(delay))
            };
            let content = story.connect(hello("content"));
            story.disconnect(content, 0x00);
            story.expect_closed(content);
            story.wait_s(100);
            story.expect_silence(watcher);
            let angry = story.connect(hello("angry"));
            story.disconnect(angry, 0x04);
            story.wait_s(100);
            assert_eq!(story.delivery(watcher).payload, b"angry");
        }
    }
}
