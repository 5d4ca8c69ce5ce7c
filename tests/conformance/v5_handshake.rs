//! The handshake of MQTT 5.0: who is let in, in what time, and what is announced.

use std::sync::Arc;

use crate::support::policies::{Rules, Slow, Users, Verb};
use crate::support::raw::{self, v5};
use crate::support::story::{Client, Heard, Hello, Post, Story, Wish};
use crate::support::world::World;
use pregon::engine::auth::Verdict;
use pregon::engine::auth::identity::Identity;
use pregon::engine::auth::policy::Policy;
use pregon::engine::input::Answer;
use pregon::engine::limits::Limits;
use pregon::mqtt::properties::Properties;
use pregon::mqtt::property::{Place, Property};
use pregon::mqtt::{QoS, Version};

fn users() -> Policy {
    let users = Users(&[("alice", "wonder"), ("bob", "builder")]);
    Policy::new(vec![Box::new(users)], Box::new(Rules::default().deny(Verb::Connect, "forbidden")))
}

/// v5: X5-CONN-TIMEOUT
#[test]
fn who_does_not_say_connect_in_time_is_closed() {
    for shards in [1, 3] {
        let mut story = Story::new(shards);
        let silent = story.open(Version::V5);
        let half = story.open(Version::V5);
        let whole = Hello::v5("client").encode();
        story.send(half, &whole[..9]);
        story.wait_s(5);
        // A byte now and then buys no time.
        story.send(half, &whole[9..10]);
        story.wait_s(4);
        for client in [silent, half] {
            story.expect_silence(client);
        }
        story.wait_s(2);
        for client in [silent, half] {
            story.expect_closed(client);
        }
        let quick = story.connect(Hello::v5("quick"));
        story.wait_s(60);
        story.expect_open(quick);
    }
}

/// v5: X5-CONN-PIPELINE
#[test]
fn what_is_sent_right_behind_connect_is_handled_once_the_client_is_let_in() {
    let behind = |hello: Hello| {
        let mut bytes = hello.encode();
        bytes.extend(v5::subscribe(&[], b"a", 1));
        bytes.extend(Post::to("a").qos(1).id(2).payload("own").encode(Version::V5));
        bytes
    };
    for shards in [1, 3] {
        let mut story = Story::new(shards);
        for n in 0..6 {
            let client = story.open(Version::V5);
            story.send(client, &behind(Hello::v5(&format!("client-{n}"))));
            let heard = story.hear_all(client);
            let has = |is_it: fn(&Heard) -> bool| heard.iter().any(is_it);
            assert!(matches!(heard[..2], [Heard::ConnAck(false, 0, _), Heard::SubAck(..)]), "{heard:?}");
            assert!(has(|heard| matches!(heard, Heard::PubAck(2, 0, _))), "{heard:?}");
            assert!(has(|heard| matches!(heard, Heard::Publish(delivery) if delivery.payload == b"own")), "{heard:?}");
            story.disconnect(client, 0);
        }
    }
    // Nothing of it is handled when the client is not let in.
    let mut story = Story::with(|_| {}, users());
    let reader = story.connect(Hello::v5("reader").login("bob", "builder"));
    story.subscribe(reader, "#", 0);
    let client = story.open(Version::V5);
    story.send(client, &behind(Hello::v5("client")));
    story.expect_refused(client, 0x86);
    story.expect_silence(reader);
    // And it waits as long as nobody knows.
    let mut story = Story::with(|_| {}, Policy::new(vec![Box::new(Slow)], Box::new(Rules::default())));
    for n in 0..4 {
        let client = story.open(Version::V5);
        story.send(client, &behind(Hello::v5(&format!("client-{n}"))));
        story.expect_silence(client);
        let identity = Arc::new(Identity::user("alice", "slow"));
        story.world.answer(Answer::Credentials(Verdict::Allow(identity)));
        story.world.drive();
        assert_eq!(story.hear_all(client).len(), 4);
        story.disconnect(client, 0);
    }
}

/// v5: X5-CONN-PWDONLY
#[test]
fn a_password_without_a_user_name_is_the_authenticators_affair() {
    let hello = v5::connect_as("client", 0x42, &[], &[&raw::text("wonder")]);
    let mut story = Story::new(2);
    let client = story.open(Version::V5);
    story.send(client, &hello);
    assert!(matches!(story.hear_all(client)[..], [Heard::ConnAck(false, 0, _)]));
    let mut story = Story::with(|_| {}, users());
    let client = story.open(Version::V5);
    story.send(client, &hello);
    story.expect_refused(client, 0x86);
}

/// v5: X5-CONN-BADAUTH
#[test]
fn a_wrong_password_and_a_missing_right_are_told_apart() {
    let mut story = Story::with(|_| {}, users());
    for (user, password) in [("alice", "builder"), ("mallory", "wonder"), ("alice", "")] {
        let client = story.hello(&Hello::v5("client").login(user, password));
        story.expect_refused(client, 0x86);
    }
    let client = story.hello(&Hello::v5("forbidden").login("alice", "wonder"));
    story.expect_refused(client, 0x87);
    let client = story.connect(Hello::v5("client").login("alice", "wonder"));
    // Nor may one user take the session of another.
    let thief = story.hello(&Hello::v5("client").login("bob", "builder").resume());
    story.expect_refused(thief, 0x87);
    story.expect_open(client);
}

/// v5: X5-CONN-OVERLOAD
#[test]
fn a_broker_that_is_full_or_hurried_says_so() {
    let alone = |limits| Story::over(World::with(1, limits, Policy::open(), 7));
    let mut story = alone(Limits { sessions_max: 2, ..Limits::default() });
    let first = story.connect(Hello::v5("first"));
    story.connect(Hello::v5("second"));
    let third = story.hello(&Hello::v5("third"));
    story.expect_refused(third, 0x97);
    story.disconnect(first, 0);
    story.connect(Hello::v5("third"));

    let mut story = alone(Limits { connect_rate: 2, ..Limits::default() });
    let mut codes = Vec::new();
    for n in 0..5 {
        let client = story.hello(&Hello::v5(&format!("client-{n}")));
        match story.hear(client) {
            Some(Heard::ConnAck(false, code, _)) => codes.push(code),
            other => panic!("no CONNACK: {other:?}"),
        }
        assert_eq!(story.hear(client), (codes[n] != 0).then_some(Heard::Closed));
    }
    assert_eq!(codes, [0, 0, 0x9F, 0x9F, 0x9F]);
    story.wait_s(2);
    story.connect(Hello::v5("later"));
}

/// v5: X5-ID-ASSIGNED
#[test]
fn only_who_has_no_identifier_is_assigned_one() {
    let mut story = Story::new(3);
    let id_of = |said: &[u8]| Properties::parse(said, Place::ConnAck).unwrap().assigned_client_id().map(str::to_owned);
    let (_, said) = story.welcome(Hello::v5("abc"));
    assert_eq!(id_of(&said), None);
    let mut assigned: Vec<String> = Vec::new();
    for _ in 0..6 {
        let (client, said) = story.welcome(Hello::v5("").expiry(60));
        let id = id_of(&said).expect("an identifier");
        assert!(!id.is_empty() && !assigned.contains(&id));
        // It is the client's own: by it the session is found again.
        story.cut(client);
        let (_, is_present) = story.connect_present(Hello::v5(&id).expiry(60).resume());
        assert!(is_present);
        assigned.push(id);
    }
}

fn properties(said: &[u8]) -> Vec<Property<'_>> {
    Properties::parse(said, Place::ConnAck).expect("the story has parsed it before").iter().collect()
}

/// What a client does, and the reason it is sent away for.
type Violation = (fn(&mut Story, Client), u8);

/// v5: X5-CONN-LIMITS
#[test]
fn connack_announces_what_is_enforced() {
    let mut story = Story::limited(|limits| {
        limits.receive_maximum = 2;
        limits.topic_alias_maximum = 3;
        limits.maximum_qos = QoS::AtLeastOnce;
        limits.retain_available = false;
        limits.packet_bytes_max = 200;
        limits.wildcard_available = false;
        limits.subscription_ids_available = false;
        limits.shared_available = false;
        limits.keep_alive_max_s = 10;
    });
    let (_, said) = story.welcome(Hello::v5("client"));
    let said = properties(&said);
    let expected = [
        Property::ReceiveMaximum(2),
        Property::TopicAliasMaximum(3),
        Property::MaximumQoS(1),
        Property::RetainAvailable(false),
        Property::MaximumPacketSize(200),
        Property::WildcardAvailable(false),
        Property::SubscriptionIdsAvailable(false),
        Property::SharedAvailable(false),
        Property::ServerKeepAlive(10),
    ];
    for property in expected {
        assert!(said.contains(&property), "{property:?} is not among {said:?}");
    }
    let with_id: fn(&mut Story, Client) =
        |story, client| story.ask_to_subscribe(client, 1, &[Wish::to("a", 0)], Some(1));
    let violations: [Violation; 6] = [
        (|story, client| story.publish(client, Post::to("a").alias(4)), 0x94),
        (|story, client| story.publish(client, Post::to("a").qos(2)), 0x9B),
        (|story, client| story.publish(client, Post::to("a").retain()), 0x9A),
        (|story, client| story.publish(client, Post::to("a").payload([0; 200])), 0x95),
        (with_id, 0xA1),
        (|story, _| story.wait_s(16), 0x8D),
    ];
    for (violate, reason) in violations {
        let client = story.connect(Hello::v5("client"));
        violate(&mut story, client);
        story.expect_closed_for(client, &[reason]);
    }
    let client = story.connect(Hello::v5("client"));
    assert_eq!(story.subscribe(client, "a/+", 0), 0xA2);
    assert_eq!(story.subscribe(client, "$share/g/a", 0), 0x9E);
    assert_eq!(story.subscribe(client, "a", 2), 1);
    story.expect_open(client);
}

/// v5: X5-CONN-LIMITS
#[test]
fn what_is_not_announced_is_not_enforced() {
    let mut story = Story::new(2);
    let (client, said) = story.welcome(Hello::v5("client"));
    assert_eq!(properties(&said), [Property::ReceiveMaximum(2_048), Property::TopicAliasMaximum(32)]);
    assert_eq!(story.subscribe_to(client, 1, &[Wish::to("a/+", 2)], Some(1)), [2]);
    assert_eq!(story.subscribe(client, "$share/g/b", 2), 2);
    assert_eq!(story.publish_fully(client, Post::to("c").qos(2).retain().payload(vec![0; 100_000])), 0x10);
    story.publish(client, Post::to("c").alias(32));
    story.wait_s(600);
    story.expect_open(client);
}
