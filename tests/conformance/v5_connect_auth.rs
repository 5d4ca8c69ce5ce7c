//! MQTT 5.0, sections 3.1.4 and 3.2: who is let in, and what a refusal looks like.

use std::collections::BTreeSet;

use pregon::base::random::Random;
use pregon::engine::auth::identity::Identity;
use pregon::engine::auth::policy::{Anonymous, Policy};
use pregon::engine::auth::{Authenticator, Credentials, Verdict};
use pregon::engine::input::Input;
use pregon::engine::limits::Limits;
use pregon::mqtt::property::Property;
use pregon::mqtt::{QoS, Reason, Version};

use crate::support::policies::{CHALLENGE, Challenge, PROOF, Rules, Users, Verb};
use crate::support::raw::{packet, packets, text};
use crate::support::story::{Client, Heard, Hello, Post, Story};
use crate::support::world::World;

/// The reasons that the standard allows in CONNACK.
const CONNACK_REASONS: [u8; 22] = [
    0x00, 0x80, 0x81, 0x82, 0x83, 0x84, 0x85, 0x86, 0x87, 0x88, 0x89, 0x8a, 0x8c, 0x90, 0x95, 0x97, 0x99, 0x9a, 0x9b,
    0x9c, 0x9d, 0x9f,
];

/// Refuses whoever calls himself `banned`, and leaves the others to the next.
struct Banned;

impl Authenticator for Banned {
    fn authenticate(&self, credentials: &Credentials<'_>) -> Verdict {
        if credentials.user_name == Some("banned") { Verdict::Deny(Reason::Banned) } else { Verdict::Abstain }
    }

    fn knows(&self, _identity: &Identity) -> bool {
        true
    }
}

/// A broker that knows alice, and whose rules keep out the client `denied`.
fn guarded(shards: usize) -> Story {
    let rules = Rules::default().deny(Verb::Connect, "denied").deny(Verb::Will, "secret/#");
    let policy = Policy::new(vec![Box::new(Banned), Box::new(Users(&[("alice", "secret")]))], Box::new(rules));
    Story::over(World::with(shards, Limits::default(), policy, 7))
}

fn alice(id: &str) -> Hello {
    Hello::v5(id).login("alice", "secret")
}

/// A CONNECT that offers the challenge as alice.
fn challenged(id: &str) -> Hello {
    Hello::v5(id).with(Property::AuthMethod(CHALLENGE)).with(Property::AuthData(b"alice"))
}

/// Begins an exchange and takes the broker's question.
fn begin_exchange(story: &mut Story, id: &str) -> Client {
    let client = story.hello(&challenged(id));
    assert!(matches!(story.hear_all(client).as_slice(), [Heard::Auth(0x18, _)]));
    client
}

/// v5: MQTT-3.1.2-30
#[test]
fn during_an_exchange_only_auth_and_disconnect_are_welcome() {
    let subscribe = packet(0x82, &[&[0, 1, 0], &text("#"), &[0]]);
    let publish = Post::to("t").payload("x").encode(Version::V5);
    let unsubscribe = packet(0xa2, &[&[0, 1, 0], &text("#")]);
    for wrong in [subscribe, publish, unsubscribe, vec![0xc0, 0], vec![0x40, 2, 0, 1], challenged("c").encode()] {
        for is_pipelined in [false, true] {
            let mut story = Story::over(World::with(3, Limits::default(), Challenge::policy(), 7));
            let watcher = story.connect(Hello::v5("watcher"));
            story.subscribe(watcher, "#", 0);
            let client = if is_pipelined {
                let client = story.open(Version::V5);
                story.send(client, &[challenged("c").encode(), wrong.clone()].concat());
                assert!(matches!(story.hear(client), Some(Heard::Auth(0x18, _))));
                client
            } else {
                let client = begin_exchange(&mut story, "c");
                story.send(client, &wrong);
                client
            };
            story.expect_refused(client, 0x82);
            story.expect_silence(watcher);
        }
    }
    let mut story = Story::with(|_| (), Challenge::policy());
    let client = begin_exchange(&mut story, "c");
    story.disconnect(client, 0);
    story.expect_closed(client);
    let client = begin_exchange(&mut story, "c");
    story.auth(client, 0x18, Some(CHALLENGE), Some(PROOF));
    assert!(matches!(story.hear_all(client).as_slice(), [Heard::ConnAck(false, 0, _)]));
}

/// v5: MQTT-3.1.4-2, MQTT-3.2.2-7
#[test]
fn who_fails_a_check_is_told_and_closed() {
    for shards in [1, 3] {
        let mut story = guarded(shards);
        for (hello, code) in [
            (Hello::v5("c").login("alice", "wrong"), 0x86),
            (Hello::v5("c").login("bob", "secret"), 0x86),
            (Hello::v5("c"), 0x86),
            (Hello::v5("c").login("banned", "secret"), 0x8a),
            (alice("denied"), 0x87),
            (alice("c").will("secret/w", "gone", 0, false), 0x87),
            (alice("c").with(Property::AuthMethod("unheard of")), 0x8c),
            (alice(&"c".repeat(2000)), 0x85),
        ] {
            let client = story.hello(&hello);
            story.expect_refused(client, code);
        }
        let client = story.connect(alice("c"));
        story.expect_open(client);
    }
}

/// v5: MQTT-3.1.4-6
#[test]
fn nothing_behind_a_refused_connect_is_heeded() {
    for shards in [1, 3] {
        let mut story = guarded(shards);
        let reader = story.connect(alice("reader"));
        story.subscribe(reader, "t", 0);
        let malformed = packet(0x10, &[b"\x00\x04MQTT\x05\x03\x00\x00\x00", &text("c")]);
        let refused = [Hello::v5("c").login("alice", "wrong").encode(), alice("denied").encode(), malformed];
        let publish = Post::to("t").retain().payload("x").encode(Version::V5);
        let tails = [publish.clone(), [alice("c").encode(), publish].concat()];
        for (connect, tail) in refused.iter().flat_map(|connect| tails.iter().map(move |tail| (connect, tail))) {
            let client = story.open(Version::V5);
            story.send(client, &[connect.as_slice(), tail].concat());
            assert!(matches!(story.hear_all(client).as_slice(), [Heard::ConnAck(false, 0x80.., _), Heard::Closed]));
            story.expect_silence(reader);
        }
        let late = story.connect(alice("late"));
        story.subscribe(late, "t", 0);
        story.expect_silence(late);
    }
}

/// v5: MQTT-3.2.2-6
#[test]
fn a_refusal_speaks_of_no_session() {
    for shards in [1, 3] {
        let mut story = guarded(shards);
        for id in ["c", "denied"] {
            let client = story.connect(alice("c").expiry(300));
            story.cut(client);
            let refused = story.hello(&Hello::v5(id).login("alice", "wrong").resume());
            assert_eq!(packets(&story.world.receive(refused.0))[0].1[..2], [0, 0x86]);
            assert!(story.connect_present(alice("c").resume()).1, "the session is there all the same");
        }
    }
}

/// v5: MQTT-3.2.2-8
#[test]
fn refusals_have_the_reasons_of_connack() {
    let mut random = Random::from_seed(3228);
    let will = |hello: Hello| hello.will("w", "gone", 1, true).will_with(Property::WillDelay(5));
    let seeds = [
        will(alice("c").expiry(60)).encode(),
        challenged("c").with(Property::TopicAliasMaximum(5)).encode(),
        Hello::v5("").with(Property::User("name", "value")).receive_maximum(3).encode(),
    ];
    let mut seen = BTreeSet::new();
    for _ in 0..60 {
        let policy = Policy::new(vec![Box::new(Challenge), Box::new(Anonymous)], Box::new(Rules::default()));
        let mut story = Story::with(|limits| limits.maximum_qos = QoS::AtMostOnce, policy);
        for _ in 0..50 {
            let mut bytes = random.pick(&seeds).expect("a seed").clone();
            for _ in 0..=random.index(3) {
                let at = 9 + random.index(bytes.len() - 9);
                bytes[at] = *random.pick(&[0, 1, 2, 0x11, 0x23, 0x80, 0xff, b'+']).expect("a byte");
            }
            let client = story.open(Version::V5);
            story.send(client, &bytes);
            let sent = packets(&story.world.receive(client.0));
            seen.extend(sent.iter().filter(|(first, _)| *first == 0x20).map(|(_, body)| body[1]));
            story.cut(client);
        }
    }
    assert!(seen.iter().all(|code| CONNACK_REASONS.contains(code)), "{seen:02x?}");
    assert!(seen.is_superset(&BTreeSet::from([0x00, 0x81, 0x82, 0x8c, 0x9b])), "{seen:02x?}");
}

/// v5: MQTT-3.2.2-8
#[test]
fn who_arrives_while_the_broker_stops_is_refused_with_a_reason_of_connack() {
    let mut story = Story::new(3);
    let mut has_moved = false;
    for number in 0..20 {
        let client = story.open(Version::V5);
        story.world.send(client.0, &Hello::v5(&format!("c{number}")).encode());
        story.world.read(client.0, usize::MAX);
        let Some((_, home, _)) = story.world.moving.front() else { continue };
        let home = *home;
        has_moved = true;
        story.world.input(home, Input::Shutdown);
        story.world.drive();
        story.expect_refused(client, 0x88);
        story = Story::new(3);
    }
    assert!(has_moved, "some client lands on another shard than its home");
}

/// v5: MQTT-3.2.0-2
#[test]
fn there_is_one_connack_a_connection() {
    for shards in [1, 3] {
        let mut story = Story::over(World::with(shards, Limits::default(), Challenge::policy(), 7));
        let client = story.hello(&challenged("c"));
        story.auth(client, 0x18, Some(CHALLENGE), Some(PROOF));
        story.send(client, &packet(0x82, &[&[0, 1, 0], &text("t"), &[0]]));
        story.auth(client, 0x19, Some(CHALLENGE), Some(b"alice"));
        story.auth(client, 0x18, Some(CHALLENGE), Some(PROOF));
        story.publish(client, Post::to("t").payload("x"));
        story.send(client, &challenged("c").encode());
        let sent = packets(&story.world.receive(client.0));
        let firsts: Vec<u8> = sent.iter().map(|(first, _)| *first).collect();
        assert_eq!(firsts, [0xf0, 0x20, 0x90, 0xf0, 0xf0, 0x30, 0xe0]);
    }
}
