//! MQTT 5.0, section 3.1: what is a CONNECT, and what is none.

use pregon::engine::auth::policy::Policy;
use pregon::engine::limits::Limits;
use pregon::mqtt::Version;
use pregon::mqtt::property::Property;

use crate::support::policies::{Rules, Users};
use crate::support::raw::v5::{connect, connect_with};
use crate::support::raw::{packet, text};
use crate::support::story::{Hello, Post, Story};
use crate::support::world::World;

/// Sends a CONNECT, which must be refused with this code and leave no session behind.
#[track_caller]
fn refused(bytes: &[u8], code: u8) {
    let mut story = Story::new(2);
    let client = story.open(Version::V5);
    story.send(client, bytes);
    story.expect_refused(client, code);
    assert_eq!(sessions(&story), 0);
}

fn sessions(story: &Story) -> usize {
    story.world.shards.iter().map(|shard| shard.sizes().sessions).sum()
}

/// v5: MQTT-3.1.0-1
#[test]
fn what_comes_before_connect_ends_the_connection_unheard() {
    let publish = Post::to("a").payload("x").encode(Version::V5);
    let subscribe = packet(0x82, &[&[0, 1, 0], &text("#"), &[0]]);
    let first_packets = [vec![0xc0, 0], publish, subscribe, vec![0xf0, 0], vec![0xe0, 0], vec![0x40, 2, 0, 1]];
    for first in first_packets {
        let mut story = Story::new(3);
        let reader = story.connect(Hello::v5("reader"));
        story.subscribe(reader, "#", 0);
        let client = story.open(Version::V5);
        story.send(client, &[first, Hello::v5("late").encode()].concat());
        story.expect_closed(client);
        story.expect_silence(reader);
        assert_eq!(sessions(&story), 1);
    }
}

/// v5: MQTT-3.1.0-2
#[test]
fn a_second_connect_is_a_protocol_error() {
    for id in ["c", "other"] {
        let mut story = Story::new(3);
        let watcher = story.connect(Hello::v5("watcher"));
        story.subscribe(watcher, "w", 0);
        let client = story.connect(Hello::v5("c").will("w", "gone", 0, false));
        story.send(client, &Hello::v5(id).encode());
        story.expect_closed_for(client, &[0x82]);
        assert_eq!(story.delivery(watcher).payload, b"gone");
        assert_eq!(sessions(&story), 1);
    }
}

/// v5: MQTT-3.1.2-1
#[test]
fn another_protocol_name_is_not_answered() {
    for name in ["MQTX", "mqtt", "", "MQT", "MQTTT", "MQTT\0"] {
        let mut story = Story::new(2);
        let client = story.open(Version::V5);
        story.send(client, &packet(0x10, &[&text(name), &[5, 2, 0, 0, 0], &text("c")]));
        story.expect_closed(client);
        assert_eq!(sessions(&story), 0);
    }
}

/// v5: MQTT-3.1.2-2
#[test]
fn an_unknown_protocol_level_is_refused_in_a_form_that_its_client_may_know() {
    for level in [0, 1, 2, 3, 6, 7, 127, 128, 0x85, 255] {
        let mut story = Story::new(2);
        let client = story.open(Version::V5);
        story.send(client, &packet(0x10, &[b"\x00\x04MQTT", &[level, 2, 0, 0, 0], &text("c")]));
        let answer = story.world.receive(client.0);
        if level < 5 {
            assert_eq!(answer, [0x20, 2, 0, 1]);
        } else {
            assert_eq!((answer[0], &answer[2..4]), (0x20, &[0, 0x84][..]));
        }
        story.expect_closed(client);
        assert_eq!(sessions(&story), 0);
    }
}

/// v5: MQTT-3.1.2-3
#[test]
fn the_reserved_connect_flag_is_malformed() {
    refused(&connect(0x01, &[&text("c")]), 0x81);
    refused(&connect(0x03, &[&text("c")]), 0x81);
    refused(&connect(0xc3, &[&text("c"), &text("user"), &text("password")]), 0x81);
}

/// v5: MQTT-3.1.2-9
#[test]
fn a_will_has_properties_topic_and_payload() {
    let id = text("c");
    let will = [&[5, 0x18, 0, 0, 0, 1][..], &text("w"), &text("gone")].concat();
    for len in 0..will.len() {
        refused(&connect(0x06, &[&id, &will[..len]]), 0x81);
    }
    let mut story = Story::new(2);
    let client = story.open(Version::V5);
    story.send(client, &connect(0x06, &[&id, &will]));
    assert_eq!(story.world.receive(client.0)[3], 0);
}

/// v5: MQTT-3.1.2-11, MQTT-3.1.2-13
#[test]
fn without_a_will_nothing_is_said_of_it() {
    for flags in [0x0a, 0x12, 0x22, 0x2a, 0x32, 0x08, 0x10, 0x20] {
        refused(&connect(flags, &[&text("c")]), 0x81);
        refused(&connect(flags, &[&text("c"), &[0], &text("w"), &text("gone")]), 0x81);
    }
}

/// v5: MQTT-3.1.2-12
#[test]
fn a_will_has_qos_0_1_or_2() {
    for flags in [0x1c, 0x1e, 0x3e, 0xde] {
        refused(&connect(flags, &[&text("c"), &[0], &text("w"), &text("gone"), &text("u"), &text("p")]), 0x81);
    }
    for qos in 0..=2 {
        let mut story = Story::new(3);
        let watcher = story.connect(Hello::v5("watcher"));
        story.subscribe(watcher, "w", 2);
        let client = story.connect(Hello::v5("c").will("w", "gone", qos, false));
        story.cut(client);
        let delivery = story.delivery(watcher);
        assert_eq!((delivery.qos, &delivery.payload[..]), (qos, &b"gone"[..]));
    }
}

/// v5: MQTT-3.1.2-16, MQTT-3.1.2-18
#[test]
fn a_field_without_its_flag_is_malformed() {
    refused(&connect(0x02, &[&text("c"), &text("user")]), 0x81);
    refused(&connect(0x42, &[&text("c"), &text("user"), &text("password")]), 0x81);
    refused(&connect(0x82, &[&text("c"), &text("user"), &text("password")]), 0x81);
    refused(&connect(0x02, &[&text("c"), &text("user"), &text("password")]), 0x81);
}

/// v5: MQTT-3.1.2-17, MQTT-3.1.2-19
#[test]
fn a_flag_without_its_field_is_malformed() {
    refused(&connect(0x82, &[&text("c")]), 0x81);
    refused(&connect(0x42, &[&text("c")]), 0x81);
    refused(&connect(0xc2, &[&text("c")]), 0x81);
    refused(&connect(0xc2, &[&text("c"), &text("user")]), 0x81);
    refused(&connect(0xc2, &[&text("c"), &text("user"), b"\x00\x09short"]), 0x81);
}

/// v5: MQTT-3.1.3-1
#[test]
fn the_payload_is_identifier_will_user_name_and_password() {
    for shards in [1, 3] {
        let users = Users(&[("alice", "secret"), ("w", "gone")]);
        let policy = Policy::new(vec![Box::new(users)], Box::new(Rules::default()));
        let mut story = Story::over(World::with(shards, Limits::default(), policy, 7));
        let watcher = story.connect(Hello::v5("watcher").login("alice", "secret"));
        story.subscribe(watcher, "#", 2);
        let will: [&[u8]; 3] = [&[7, 3, 0, 4, b't', b'e', b'x', b't'], &text("w"), &text("gone")];
        let login: [&[u8]; 2] = [&text("alice"), &text("secret")];
        let client = story.open(Version::V5);
        story.send(client, &connect(0xce, &[&text("c"), &will.concat(), &login.concat()]));
        assert_eq!(story.world.receive(client.0)[3], 0);
        story.cut(client);
        let delivery = story.delivery(watcher);
        assert_eq!((delivery.topic.as_str(), &delivery.payload[..], delivery.qos), ("w", &b"gone"[..], 1));
        assert_eq!(delivery.properties, [3, 0, 4, b't', b'e', b'x', b't']);
        // The same fields in another order say something else.
        let client = story.open(Version::V5);
        story.send(client, &connect(0xce, &[&text("c"), &login.concat(), &will.concat()]));
        story.expect_refused(client, 0x81);
        let client = story.open(Version::V5);
        story.send(client, &connect(0xc2, &[&text("c"), &text("secret"), &text("alice")]));
        story.expect_refused(client, 0x86);
    }
}

/// v5: MQTT-3.1.3-3
#[test]
fn a_connect_has_a_client_identifier() {
    refused(&connect(0x02, &[]), 0x81);
    refused(&connect_with(0x02, &[0x11, 0, 0, 0, 60], &[]), 0x81);
    refused(&connect(0x02, &[&[0]]), 0x81);
    refused(&connect(0x02, &[b"\x00\x05four"]), 0x81);
}

/// v5: MQTT-3.1.3-4
#[test]
fn a_client_identifier_is_text() {
    for id in [&b"\xc3\x28"[..], b"\xed\xbf\xbf", b"c\xff", b"c\0"] {
        refused(&connect(0x02, &[&text(id)]), 0x81);
    }
}

/// v5: MQTT-3.1.3-5
#[test]
fn identifiers_of_23_letters_and_digits_are_taken() {
    let letters = "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ";
    let mut story = Story::new(3);
    let singles = (0..letters.len()).map(|at| &letters[at..=at]);
    let longest = (0..letters.len() - 22).map(|at| &letters[at..at + 23]);
    let between = (2..23).map(|len| &letters[..len]);
    let clients: Vec<_> = singles.chain(longest).chain(between).map(|id| story.connect(Hello::v5(id))).collect();
    for client in clients {
        story.expect_open(client);
    }
}

/// v5: MQTT-3.1.3-8
#[test]
fn an_identifier_that_is_too_long_is_refused() {
    let mut story = Story::limited(|limits| limits.client_id_bytes_max = 30);
    let longest = story.connect(Hello::v5(&"c".repeat(30)));
    let too_long = story.hello(&Hello::v5(&"c".repeat(31)));
    story.expect_refused(too_long, 0x85);
    story.expect_open(longest);
    assert_eq!(sessions(&story), 1);
}

/// v5: MQTT-3.1.3-11, MQTT-3.1.3-12
#[test]
fn will_topic_and_user_name_are_text() {
    for bad in [&b"\xff\xfe"[..], b"\xc3\x28", b"\xed\xa0\x80", b"a\0"] {
        refused(&connect(0x06, &[&text("c"), &[0], &text(bad), &text("gone")]), 0x81);
        refused(&connect(0x82, &[&text("c"), &text(bad)]), 0x81);
    }
}

/// v5: MQTT-3.1.4-1
#[test]
fn a_connect_of_another_length_than_it_says_is_refused() {
    let mut hello = Hello::v5("client").login("user", "password").will("w", "gone", 1, true).expiry(60);
    hello = hello.receive_maximum(10).will_with(Property::WillDelay(5)).with(Property::User("name", "value"));
    let bytes = hello.encode();
    let body = &bytes[2..];
    for len in 0..body.len() {
        let mut story = Story::new(2);
        let client = story.open(Version::V5);
        story.send(client, &packet(0x10, &[&body[..len]]));
        // Whoever has not come as far as the protocol level gets no answer.
        if len < 7 {
            story.expect_closed(client);
        } else {
            story.expect_refused(client, 0x81);
        }
        assert_eq!(sessions(&story), 0);
    }
    for more in [&[0][..], &[0; 20], &text("more")] {
        refused(&packet(0x10, &[body, more]), 0x81);
    }
}

/// v5: MQTT-3.1.4-1
#[test]
fn a_connect_with_wrong_properties_is_refused() {
    let id = text("c");
    for unknown in [0x00, 0x04, 0x10, 0x2b, 0x7f] {
        refused(&connect_with(0x02, &[unknown, 0], &[&id]), 0x81);
    }
    let misplaced: [&[u8]; 4] = [&[0x01, 0], &[0x12, 0, 1, b'i'], &[0x13, 0, 5], &[0x24, 1]];
    for property in misplaced {
        refused(&connect_with(0x02, property, &[&id]), 0x81);
    }
    let short: [&[u8]; 3] = [&[0x11, 0, 0, 0], &[0x21, 0], &[0x26, 0, 1, b'n']];
    for property in short {
        refused(&connect_with(0x02, property, &[&id]), 0x81);
    }
    let long_set = [b"\x00\x04MQTT\x05", &[0x02, 0, 0, 100, 0x11, 0, 0, 0, 60][..], &id].concat();
    refused(&packet(0x10, &[&long_set]), 0x81);
}
