//! Retained messages are charged to the users who have set them, on all shards together and over restarts.

mod support;

use std::collections::BTreeMap;

use pregon::base::random::Random;
use pregon::engine::accounts::limit::SharedLimit;
use pregon::engine::auth::policy::{Anonymous, Open, Policy};
use pregon::engine::input::Input;
use pregon::engine::limits::Limits;
use pregon::engine::message::Message;
use pregon::engine::shard::Shard;
use pregon::engine::stats::Limit;
use pregon::mqtt::Version;
use support::policies::Users;
use support::story::{Client, Heard, Hello, Post, Story};
use support::world::World;

/// 0x97 in PUBACK and PUBREC.
const QUOTA: u8 = 0x97;
/// Users, and who has no name.
const EVERYBODY: [Option<&str>; 3] = [Some("alice"), Some("bob"), None];

/// A broker with two users that lets in who has no name as well, and keeps a journal.
fn limited(shards: usize, change: impl FnOnce(&mut Limits)) -> Story {
    let mut limits = Limits::default();
    change(&mut limits);
    let users = Users(&[("alice", "a"), ("bob", "b")]);
    let policy = Policy::new(vec![Box::new(Anonymous), Box::new(users)], Box::new(Open));
    Story::over(World::with(shards, limits, policy, 7).with_journal())
}

fn hello(version: Version, id: &str, user: Option<&str>) -> Hello {
    let hello = Hello::new(version, id);
    match user {
        Some(user) => hello.login(user, &user[..1]),
        None => hello,
    }
}

fn set(topic: &str) -> Post {
    Post::to(topic).retain().qos(1).payload("x")
}

fn met(story: &Story, limit: SharedLimit) -> u64 {
    story.world.shards.iter().map(|shard| shard.stats().shared_limits_reached.of(limit)).sum()
}

/// How many are charged to users, and their bytes.
fn charged(story: &Story) -> (u64, u64) {
    let charged = story.world.shards.iter().map(Shard::charged_retained);
    charged.fold((0, 0), |sum, one| (sum.0 + one.0, sum.1 + one.1))
}

fn retained(story: &Story) -> usize {
    story.world.shards.iter().map(|shard| shard.sizes().retained).sum()
}

#[test]
fn a_user_retains_so_many_messages_on_all_shards_and_hears_what_the_brokers_bound_says() {
    for version in [Version::V311, Version::V5] {
        for qos in [1, 2] {
            let mut story = limited(3, |limits| limits.retained_messages_per_user_max = 4);
            let writers = [0, 1].map(|number| story.connect(hello(version, &format!("w{number}"), Some("alice"))));
            for number in 0..4 {
                story.post(writers[number % 2], set(&format!("t/{number}")).qos(qos));
            }
            for number in 0..4 {
                story.post(writers[number / 2], set(&format!("t/{number}")).qos(qos)); // in the place of the one of before
            }
            assert_eq!((retained(&story), met(&story, SharedLimit::RetainedMessagesPerUser)), (4, 0));
            let reader = story.connect(Hello::v5("reader"));
            story.subscribe(reader, "taken", 1);
            assert!(story.publish_fully(writers[0], set("taken").qos(qos)) < 0x80, "somebody took it");
            assert_eq!(story.delivery(reader).topic, "taken");
            if version == Version::V5 {
                assert_eq!(story.publish_fully(writers[1], set("t/5").qos(qos)), QUOTA);
                story.expect_open(writers[1]);
            } else {
                story.publish(writers[1], set("t/5").qos(qos));
                story.expect_closed(writers[1]);
            }
            story.publish(writers[0], set("t/6").qos(0));
            assert_eq!((retained(&story), met(&story, SharedLimit::RetainedMessagesPerUser)), (4, 3));
            let broker: u64 =
                story.world.shards.iter().map(|shard| shard.stats().limits_reached.of(Limit::RetainedMessages)).sum();
            assert_eq!(broker, 0, "it is not the broker's bound");
            let bob = story.connect(hello(version, "bob", Some("bob")));
            story.post(bob, set("t/7").qos(qos));
            story.post(writers[0], Post::to("t/0").retain().qos(qos)); // an empty one erases
            story.post(writers[0], set("t/8").qos(qos));
        }
    }
}

#[test]
fn what_goes_is_given_back_whoever_takes_it_away() {
    let mut story = limited(3, |limits| limits.retained_messages_per_user_max = 2);
    let [alice, bob, nobody] = EVERYBODY.map(|user| story.connect(hello(Version::V5, user.unwrap_or("n"), user)));
    let refused = |story: &mut Story| {
        assert_eq!(story.publish_fully(alice, set("one/more")), QUOTA);
    };
    story.post(alice, set("a"));
    story.post(alice, set("b").expiry(5));
    refused(&mut story);
    story.post(bob, set("a")); // it is bob's now
    story.post(alice, set("c"));
    refused(&mut story);
    story.wait_s(10);
    story.post(alice, set("d")); // in the place of the one whose time was over
    refused(&mut story);
    story.post(nobody, set("c"));
    story.post(alice, set("e"));
    refused(&mut story);
    story.post(nobody, Post::to("e").retain().qos(1));
    story.post(alice, set("c"));
    refused(&mut story);
    assert_eq!(charged(&story).0, 3, "a of bob, c and d of alice");
    for number in 0..10 {
        story.post(nobody, set(&format!("n/{number}"))); // who has no name is not counted
    }
    assert_eq!((charged(&story).0, retained(&story)), (3, 13));
}

#[test]
fn a_user_retains_so_many_bytes_and_a_shorter_message_is_always_taken() {
    let each = size_of::<Message>() + "a".len();
    let mut story = limited(3, |limits| limits.retained_bytes_per_user_max = 2 * each as u64 + 300);
    let alice = story.connect(hello(Version::V5, "alice", Some("alice")));
    let of = |topic, bytes| set(topic).payload(vec![b'x'; bytes]);
    story.post(alice, of("a", 200));
    story.post(alice, of("b", 100));
    assert_eq!(["a", "b", "c"].map(|topic| story.publish_fully(alice, of(topic, 201))), [QUOTA; 3]);
    assert_eq!(met(&story, SharedLimit::RetainedBytesPerUser), 3);
    story.post(alice, of("a", 150));
    story.post(alice, of("b", 150));
    assert_eq!(charged(&story), (2, 2 * each as u64 + 300));
    assert_eq!(story.publish_fully(alice, of("b", 151)), QUOTA);
}

#[test]
fn a_message_takes_the_room_of_the_one_in_whose_place_it_comes() {
    let mut story = limited(1, |limits| limits.retained_bytes_max = 10_000);
    let writer = story.connect(Hello::v5("w"));
    for round in 0..100 {
        let code = story.publish_fully(writer, set("t").payload("x".repeat(1_000)));
        assert!(code < 0x80, "{code:#04x} in round {round}");
    }
    assert_eq!(retained(&story), 1);
}

#[test]
fn a_will_that_is_retained_is_charged_to_the_user_of_its_session() {
    let mut story = limited(3, |limits| limits.retained_messages_per_user_max = 1);
    let watcher = story.connect(Hello::v5("watcher"));
    story.subscribe(watcher, "w/#", 0);
    for (number, expected) in [(0, 1), (1, 1), (2, 1)] {
        let with_will = hello(Version::V5, "alice", Some("alice")).will(&format!("w/{number}"), "gone", 1, true);
        let alice = story.connect(with_will);
        story.cut(alice);
        assert_eq!(story.delivery(watcher).topic, format!("w/{number}"));
        assert_eq!((charged(&story).0, retained(&story)), (expected, 1));
    }
    assert_eq!(met(&story, SharedLimit::RetainedMessagesPerUser), 2);
}

#[test]
fn after_a_restart_it_is_known_whose_they_are_also_above_the_bound() {
    let mut story = limited(3, |limits| limits.retained_messages_per_user_max = 5);
    let clients = EVERYBODY.map(|user| story.connect(hello(Version::V5, user.unwrap_or("n"), user)));
    for (client, name) in clients.into_iter().zip(["a", "b", "n"]) {
        for number in 0..5 {
            story.post(client, set(&format!("{name}/{number}")));
        }
    }
    let before = charged(&story);
    assert_eq!(before.0, 10);
    for shards in [3, 3, 2, 4] {
        if shards == 3 {
            story.world.crash();
        } else {
            story.world.crash_into(shards);
        }
        assert_eq!((charged(&story), retained(&story)), (before, 15));
        let alice = story.connect(hello(Version::V5, "alice", Some("alice")));
        assert_eq!(story.publish_fully(alice, set("a/more")), QUOTA);
        story.post(alice, set("a/1"));
        for shard in 0..shards {
            story.world.input(shard, Input::Sweep { bytes: 1 << 20 });
        }
        story.world.drive();
    }
}

#[test]
fn a_message_takes_no_byte_more_where_nobody_asks_whose_it_is() {
    const COUNT: u64 = 100;
    let bytes_and_charged = |user: Option<&str>, bound: u32| {
        let mut story = limited(2, |limits| limits.retained_messages_per_user_max = bound);
        let writer = story.connect(hello(Version::V5, "writer", user));
        for number in 0..COUNT {
            story.post(writer, set(&format!("t/{number:03}")));
        }
        let bytes: u64 = story.world.shards.iter().map(|shard| shard.memory().retained).sum();
        (bytes, charged(&story).0)
    };
    let plain = bytes_and_charged(None, 0);
    assert_eq!(plain.1, 0);
    assert_eq!(bytes_and_charged(Some("alice"), 0), plain);
    assert_eq!(bytes_and_charged(None, 1_000), plain, "who has no name is nobody");
    let (owned, count) = bytes_and_charged(Some("alice"), 1_000);
    assert!(owned > plain.0 && owned < plain.0 + COUNT * 120, "{owned}, and {} without", plain.0);
    assert_eq!(count, COUNT);
}

/// What is retained at a topic: whose, and how many bytes are charged.
type Model = BTreeMap<String, (Option<&'static str>, u64)>;

const MESSAGES_MAX: usize = 6;

/// One random publication; the model says whether it is to be refused.
fn publish_at_random(story: &mut Story, clients: [Client; 3], random: &mut Random, model: &mut Model) {
    let who = random.index(EVERYBODY.len());
    let (client, user) = (clients[who], EVERYBODY[who]);
    let topic = format!("t/{}", random.below(20));
    if random.chance(1, 4) {
        model.remove(&topic);
        return story.post(client, Post::to(&topic).retain().qos(1));
    }
    let size = random.index(50) + 1;
    let post = set(&topic).payload(vec![b'x'; size]).qos(u8::try_from(random.range(1, 2)).expect("one or two"));
    let is_own = model.get(&topic).is_some_and(|(owner, _)| *owner == user);
    let count = model.values().filter(|(owner, _)| *owner == user).count();
    let is_refused = user.is_some() && !is_own && count >= MESSAGES_MAX;
    assert_eq!(story.publish_fully(client, post) == QUOTA, is_refused, "{topic} by {user:?}");
    if !is_refused {
        let bytes = size_of::<Message>() + topic.len() + size;
        model.insert(topic, (user, bytes as u64));
    }
}

#[test]
fn users_are_charged_as_a_model_charges_them() {
    for seed in 0..6 {
        let mut random = Random::from_seed(seed);
        let max = u32::try_from(MESSAGES_MAX).expect("few");
        let mut story = limited(3, |limits| limits.retained_messages_per_user_max = max);
        let mut model = Model::new();
        for round in 0..12 {
            let clients = EVERYBODY.map(|user| story.connect(hello(Version::V5, user.unwrap_or("n"), user)));
            for _ in 0..60 {
                publish_at_random(&mut story, clients, &mut random, &mut model);
                let of_users = model.values().filter(|(owner, _)| owner.is_some());
                let expected = of_users.fold((0, 0), |sum, (_, bytes)| (sum.0 + 1, sum.1 + bytes));
                assert_eq!((charged(&story), retained(&story)), (expected, model.len()), "seed {seed}, round {round}");
            }
            for shard in 0..story.world.shards.len() {
                if random.chance(1, 2) {
                    story.world.input(shard, Input::Sweep { bytes: 1 << 20 });
                }
            }
            story.world.drive();
            match random.below(3) {
                0 => story.world.crash(),
                1 => story.world.crash_into(random.index(4) + 1),
                _ => clients.into_iter().for_each(|client| story.cut(client)),
            }
        }
    }
}

#[test]
fn each_bound_on_what_a_user_retains_is_counted_under_its_own_name() {
    let meet = |change: fn(&mut Limits), limit: SharedLimit| {
        let mut story = limited(1, change);
        let alice = story.connect(hello(Version::V5, "alice", Some("alice")));
        story.publish(alice, set("a").payload(vec![b'x'; 400]));
        story.publish(alice, set("b").payload(vec![b'x'; 900]));
        for other in SharedLimit::ALL {
            assert_eq!(met(&story, other), u64::from(other == limit), "{}", other.name());
        }
        assert!(story.hear_all(alice).iter().any(|heard| matches!(heard, Heard::PubAck(_, QUOTA, _))));
    };
    meet(|limits| limits.retained_messages_per_user_max = 1, SharedLimit::RetainedMessagesPerUser);
    meet(|limits| limits.retained_bytes_per_user_max = 1_000, SharedLimit::RetainedBytesPerUser);
}
