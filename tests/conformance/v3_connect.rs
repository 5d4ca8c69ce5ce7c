//! MQTT 3.1.1, chapters 3.1 and 3.2: which CONNECT is welcome, and what CONNACK says.

use pregon::engine::auth::policy::Policy;
use pregon::mqtt::{QoS, Version};

use crate::support::policies::{Rules, Users, Verb};
use crate::support::raw::v3::connect;
use crate::support::raw::{packet, text};
use crate::support::story::{Client, Heard, Hello, Post, Story};

/// A broker of two shards where only Alice has a password.
fn guarded() -> Story {
    let users = Users(&[("alice", "secret")]);
    Story::with(|_| {}, Policy::new(vec![Box::new(users)], Box::new(Rules::default())))
}

/// Sends the first bytes of a new connection.
fn first(story: &mut Story, bytes: &[u8]) -> Client {
    let client = story.open(Version::V311);
    story.send(client, bytes);
    client
}

/// The CONNECT must be closed without a word, and leave no session behind.
#[track_caller]
fn expect_malformed(bytes: &[u8]) {
    let mut story = Story::new(2);
    let client = first(&mut story, bytes);
    assert_eq!(story.hear_all(client), [Heard::Closed], "{bytes:02x?}");
    assert!(story.world.shards.iter().all(|shard| shard.sizes().sessions == 0), "{bytes:02x?}");
}

/// v311: MQTT-3.1.0-1
#[test]
fn what_comes_before_connect_closes_and_has_no_effect() {
    for early in [packet(0x30, &[&text("t"), b"x"]), packet(0xC0, &[]), packet(0x82, &[&[0, 1], &text("t"), &[0]])] {
        let mut story = Story::new(2);
        let watcher = story.connect(Hello::v311("watcher"));
        story.subscribe(watcher, "#", 0);
        let client = first(&mut story, &[early, Hello::v311("a").encode()].concat());
        story.expect_closed(client);
        story.expect_silence(watcher);
    }
}

/// v311: MQTT-3.1.0-2
#[test]
fn a_second_connect_is_a_violation() {
    let mut story = Story::new(3);
    let watcher = story.connect(Hello::v311("watcher"));
    story.subscribe(watcher, "w", 0);
    let client = story.connect(Hello::v311("a").will("w", "gone", 0, false));
    story.send(client, &Hello::v311("a").encode());
    story.expect_closed(client);
    assert_eq!(story.delivery(watcher).payload, b"gone");
}

/// v311: MQTT-3.1.2-1
#[test]
fn another_protocol_name_is_not_served() {
    for name in ["MQTX", "mqtt", "MQTTT", "", "HTTP"] {
        expect_malformed(&connect(name, 4, 0x02, &[&text("a")]));
    }
}

/// v311: MQTT-3.1.2-2
#[test]
fn an_unknown_level_is_refused_with_return_code_1() {
    for level in [0, 1, 2, 3] {
        let mut story = Story::new(1);
        let client = first(&mut story, &connect("MQTT", level, 0x02, &[&text("a")]));
        story.expect_refused(client, 1);
    }
    // To a client of a later version the same is said in the form of 5.0, the newest that there is.
    for level in [6, 0x7F] {
        let mut story = Story::new(1);
        let client = first(&mut story, &connect("MQTT", level, 0x02, &[&text("a")]));
        let said = story.world.receive(client.0);
        assert_eq!((said[0], said[2], said[3]), (0x20, 0, 0x84));
        assert!(story.world.links[client.0].is_closed);
    }
}

/// v311: MQTT-3.1.2-3
#[test]
fn the_reserved_connect_flag_closes() {
    expect_malformed(&connect("MQTT", 4, 0x03, &[&text("a")]));
}

/// v311: MQTT-3.1.2-9
#[test]
fn a_will_flag_needs_topic_and_message() {
    expect_malformed(&connect("MQTT", 4, 0x06, &[&text("a")]));
    expect_malformed(&connect("MQTT", 4, 0x06, &[&text("a"), &text("w")]));
    let mut story = Story::new(1);
    let client = first(&mut story, &connect("MQTT", 4, 0x06, &[&text("a"), &text("w"), &text("")]));
    assert_eq!(story.hear_all(client), [Heard::ConnAck(false, 0, vec![])]);
}

/// v311: MQTT-3.1.2-11, MQTT-3.1.2-13, MQTT-3.1.2-15
#[test]
fn without_a_will_nothing_is_said_of_it() {
    for flags in [0x08, 0x10, 0x18, 0x20, 0x28, 0x30] {
        expect_malformed(&connect("MQTT", 4, 0x02 | flags, &[&text("a")]));
    }
    expect_malformed(&connect("MQTT", 4, 0x02, &[&text("a"), &text("w"), &text("m")]));
}

/// v311: MQTT-3.1.2-14
#[test]
fn a_will_of_qos_3_closes() {
    for flags in [0x1E, 0x3E] {
        expect_malformed(&connect("MQTT", 4, flags, &[&text("a"), &text("w"), &text("m")]));
    }
}

/// v311: MQTT-3.1.2-18, MQTT-3.1.2-19, MQTT-3.1.2-20, MQTT-3.1.2-21, MQTT-3.1.2-22
#[test]
fn credentials_are_there_when_their_flags_are_set_and_only_then() {
    expect_malformed(&connect("MQTT", 4, 0x02, &[&text("a"), &text("user")]));
    expect_malformed(&connect("MQTT", 4, 0x82, &[&text("a")]));
    expect_malformed(&connect("MQTT", 4, 0x82, &[&text("a"), &text("user"), &text("password")]));
    expect_malformed(&connect("MQTT", 4, 0xC2, &[&text("a"), &text("user")]));
    expect_malformed(&connect("MQTT", 4, 0x42, &[&text("a"), &text("password")]));
    for (flags, credentials) in [(0x82, &[text("user")][..]), (0xC2, &[text("user"), text("password")])] {
        let mut story = Story::new(1);
        let client = first(&mut story, &connect("MQTT", 4, flags, &[&text("a"), &credentials.concat()]));
        assert_eq!(story.hear_all(client), [Heard::ConnAck(false, 0, vec![])]);
    }
}

/// v311: MQTT-3.1.3-1
#[test]
fn the_fields_of_connect_are_read_in_their_order() {
    let mut story = guarded();
    let watcher = story.connect(Hello::v311("watcher").login("alice", "secret"));
    story.subscribe(watcher, "#", 0);
    let fields = [text("client"), text("topic"), text("message"), text("alice"), text("secret")].concat();
    let client = first(&mut story, &connect("MQTT", 4, 0xC6, &[&fields]));
    assert_eq!(story.hear_all(client), [Heard::ConnAck(false, 0, vec![])]);
    story.cut(client);
    let will = story.delivery(watcher);
    assert_eq!((will.topic.as_str(), &will.payload[..]), ("topic", &b"message"[..]));
    let swapped = [text("client"), text("topic"), text("message"), text("secret"), text("alice")].concat();
    let client = first(&mut story, &connect("MQTT", 4, 0xC6, &[&swapped]));
    story.expect_refused(client, 4);
}

/// v311: MQTT-3.1.3-3, MQTT-3.1.3-4, MQTT-3.1.3-10, MQTT-3.1.3-11
#[test]
fn identifier_will_topic_and_user_name_are_there_and_are_text() {
    let bad = text(b"\xFF");
    expect_malformed(&connect("MQTT", 4, 0x02, &[]));
    expect_malformed(&connect("MQTT", 4, 0x02, &[&bad]));
    expect_malformed(&connect("MQTT", 4, 0x06, &[&text("a"), &bad, &text("m")]));
    expect_malformed(&connect("MQTT", 4, 0x82, &[&text("a"), &bad]));
}

/// v311: MQTT-3.1.3-5
#[test]
fn short_identifiers_of_letters_and_digits_are_allowed() {
    let mut story = Story::new(3);
    for id in ["a", "0", "0123456789abcdefghijklm", "nopqrstuvwxyzABCDEFGHIJ", "KLMNOPQRSTUVWXYZ"] {
        let client = story.connect(Hello::v311(id));
        story.expect_open(client);
    }
}

/// v311: X311-CLIENTID-LONG, MQTT-3.1.3-9
#[test]
fn longer_identifiers_are_taken_up_to_the_limit_and_refused_above() {
    for (length, code) in [(24, 0), (100, 0), (1024, 0), (1025, 2), (5000, 2)] {
        let mut story = Story::new(2);
        let symbols = "/#+ \u{e9}$";
        let id = format!("{symbols}{}", "x".repeat(length - symbols.len()));
        let client = story.hello(&Hello::v311(&id));
        if code == 0 {
            assert_eq!(story.hear_all(client), [Heard::ConnAck(false, 0, vec![])], "{length}");
        } else {
            story.expect_refused(client, code);
        }
    }
}

/// v311: MQTT-3.1.3-6, MQTT-3.1.3-7, MQTT-3.1.3-8
#[test]
fn an_empty_identifier_is_for_clean_sessions_and_becomes_a_unique_one() {
    let mut story = Story::new(3);
    let clients = [(); 6].map(|()| story.connect(Hello::v311("")));
    for client in &clients {
        assert_eq!(story.subscribe(*client, "t", 0), 0);
    }
    story.publish(clients[0], Post::to("t"));
    for client in clients {
        assert_eq!(story.delivery(client).topic, "t");
        story.expect_open(client);
    }
    let lasting = story.hello(&Hello::v311("").resume());
    story.expect_refused(lasting, 2);
}

/// v311: MQTT-3.1.4-1
#[test]
fn a_malformed_connect_is_not_answered() {
    let whole = Hello::v311("client").will("w", "m", 1, false).login("user", "password").encode();
    for cut in 2..whole.len() {
        expect_malformed(&packet(0x10, &[&whole[2..cut]]));
    }
    expect_malformed(&packet(0x10, &[&whole[2..], &[0]]));
}

/// v311: MQTT-3.1.4-4, MQTT-3.2.2-3
#[test]
fn a_new_client_is_answered_with_zeros() {
    let mut story = Story::new(3);
    for hello in [Hello::v311("a"), Hello::v311("b").resume()] {
        let client = story.hello(&hello);
        assert_eq!(story.world.receive(client.0), [0x20, 2, 0, 0]);
    }
}

/// v311: MQTT-3.1.4-5
#[test]
fn what_follows_a_refused_connect_is_ignored() {
    let mut story = guarded();
    let alice = story.connect(Hello::v311("alice").login("alice", "secret"));
    story.publish(alice, Post::to("t").retain().payload("old"));
    let publish = Post::to("t").retain().payload("new").encode(Version::V311);
    let bytes = [Hello::v311("mallory").login("alice", "guess").encode(), publish].concat();
    let mallory = first(&mut story, &bytes);
    story.expect_refused(mallory, 4);
    story.subscribe(alice, "t", 0);
    assert_eq!(story.delivery(alice).payload, b"old");
    story.expect_silence(alice);
}

/// v311: MQTT-3.2.2-5, X311-RETCODES
#[test]
fn each_refusal_has_its_return_code_and_closes() {
    let mut story = Story::new(1);
    let client = first(&mut story, &connect("MQTT", 3, 0x02, &[&text("a")]));
    story.expect_refused(client, 1);
    let client = story.hello(&Hello::v311("").resume());
    story.expect_refused(client, 2);
    let mut story = Story::limited(|limits| limits.sessions_max = 0);
    let client = story.hello(&Hello::v311("a"));
    story.expect_refused(client, 3);
    let mut story = Story::limited(|limits| limits.connect_rate = 2);
    let _as_many_as_come_in_a_second = ["a", "b"].map(|id| story.connect(Hello::v311(id)));
    let client = story.hello(&Hello::v311("c"));
    story.expect_refused(client, 3);
    let mut story = guarded();
    for hello in [Hello::v311("a"), Hello::v311("a").login("alice", "guess"), Hello::v311("a").login("bob", "secret")] {
        let client = story.hello(&hello);
        story.expect_refused(client, 4);
    }
    let mut story = Story::with(|_| {}, Rules::default().deny(Verb::Connect, "evil").policy());
    let client = story.hello(&Hello::v311("evil"));
    story.expect_refused(client, 5);
    let client = story.connect(Hello::v311("good"));
    story.expect_open(client);
}

/// v311: MQTT-3.2.2-6
#[test]
fn a_refusal_that_3_1_1_has_no_code_for_closes_without_connack() {
    let mut story = Story::limited(|limits| {
        limits.maximum_qos = QoS::AtLeastOnce;
        limits.retain_available = false;
    });
    for hello in [Hello::v311("a").will("w", "m", 2, false), Hello::v311("a").will("w", "m", 0, true)] {
        let client = story.hello(&hello);
        story.expect_closed(client);
    }
    let client = story.connect(Hello::v311("a").will("w", "m", 1, false));
    story.expect_open(client);
}

/// v311: X311-CONN-TIMEOUT
#[test]
fn a_connection_without_connect_is_closed_after_a_while() {
    let mut story = Story::limited(|limits| limits.connect_timeout_ms = 4_000);
    let whole = Hello::v311("a").encode();
    for begun in [0, 1, whole.len() - 1] {
        let client = first(&mut story, &whole[..begun]);
        story.wait_s(3);
        story.expect_silence(client);
        story.wait_s(2);
        story.expect_closed(client);
    }
}

/// v311: X311-PIPELINE
#[test]
fn packets_behind_connect_need_not_wait_for_connack() {
    for shards in [1, 3] {
        let mut story = Story::new(shards);
        for id in ["a", "b", "c", "d"] {
            let subscribe = packet(0x82, &[&[0, 7], &text(id), &[0]]);
            let publish = Post::to(id).payload("x").encode(Version::V311);
            let client = first(&mut story, &[Hello::v311(id).encode(), subscribe, publish].concat());
            let heard = story.hear_all(client);
            assert!(matches!(heard[..2], [Heard::ConnAck(false, 0, _), Heard::SubAck(7, ..)]), "{heard:?}");
            assert!(matches!(&heard[2..], [Heard::Publish(it)] if it.payload == b"x"), "{heard:?}");
        }
    }
}

/// v311: X311-BRIDGEBIT
#[test]
fn a_bridge_is_served_and_does_not_hear_itself() {
    for (name, level) in [("MQTT", 0x84), ("MQIsdp", 0x83)] {
        let mut story = Story::new(2);
        let bridge = first(&mut story, &connect(name, level, 0x02, &[&text("bridge")]));
        assert_eq!(story.hear_all(bridge), [Heard::ConnAck(false, 0, vec![])]);
        let other = story.connect(Hello::v311("other"));
        assert_eq!(story.subscribe(bridge, "t", 1), 1);
        story.subscribe(other, "t", 0);
        story.publish(bridge, Post::to("t").payload("own"));
        story.expect_silence(bridge);
        assert_eq!(story.delivery(other).payload, b"own");
        story.publish(other, Post::to("t").retain().payload("foreign"));
        let delivery = story.delivery(bridge);
        assert_eq!((&delivery.payload[..], delivery.retain), (&b"foreign"[..], true));
    }
}
