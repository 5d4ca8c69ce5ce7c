//! Each bound on what is counted across connections and shards is met by a shard, and counted once under its own name.

mod support;

use pregon::engine::accounts::bans::BanTerms;
use pregon::engine::accounts::limit::SharedLimit;
use pregon::engine::accounts::terms::{ListenerTerms, Terms};
use pregon::engine::auth::policy::{Open, Policy};
use pregon::engine::limits::Limits;
use pregon::mqtt::Version;
use support::policies::Users;
use support::story::{Hello, Post, Story};
use support::world::World;

const SHARDS: usize = 3;

fn alice(id: &str) -> Hello {
    Hello::v5(id).login("alice", "a")
}

/// A client comes that says nothing.
fn open(story: &mut Story) {
    story.open(Version::V5);
}

fn hello(story: &mut Story) {
    story.hello(&alice("c"));
}

/// Clients of one user, one behind the other.
fn two(story: &mut Story) {
    story.connect(alice("c1"));
    story.hello(&alice("c2"));
}

fn say(story: &mut Story, posts: &[Post]) {
    let writer = story.connect(alice("writer"));
    for post in posts {
        story.publish(writer, post.clone());
    }
}

/// Messages of twenty bytes.
fn publish(story: &mut Story, count: usize) {
    say(story, &vec![Post::to("t").payload([0; 20]); count]);
}

/// The same, and somebody else hears them.
fn deliver(story: &mut Story, count: usize) {
    let reader = story.connect(Hello::v5("reader").login("bob", "b"));
    story.subscribe(reader, "t", 0);
    say(story, &vec![Post::to("t").payload([0; 20]); count]);
}

/// The same, and another client of the same user hears them.
fn deliver_home(story: &mut Story, count: usize) {
    let reader = story.connect(alice("reader"));
    story.subscribe(reader, "t", 0);
    say(story, &vec![Post::to("t").payload([0; 20]); count]);
}

/// What makes a bound narrow.
type Narrow = fn(&mut Limits, &mut ListenerTerms);

/// What is bounded narrowly, and what clients do who meet this bound once.
fn meet(limit: SharedLimit) -> (Narrow, fn(&mut Story)) {
    match limit {
        SharedLimit::Ban => (
            |_, _| {},
            |story| {
                for _ in 0..3 {
                    story.hello(&Hello::v5("g").login("alice", "a guess"));
                }
                open(story);
            },
        ),
        SharedLimit::Connections => (|all, _| all.connections_max = 1, |story| (0..2).for_each(|_| open(story))),
        SharedLimit::ConnectRate => (|all, _| all.connect_rate = 1, |story| (0..2).for_each(|_| hello(story))),
        SharedLimit::ListenerConnections => {
            (|_, own| own.connections_max = 1, |story| (0..2).for_each(|_| open(story)))
        }
        SharedLimit::ListenerConnectRate => (|_, own| own.connect_rate = 1, |story| (0..2).for_each(|_| open(story))),
        SharedLimit::ListenerConnectionsPerAddress => {
            (|_, own| own.connections_per_address_max = 1, |story| (0..2).for_each(|_| open(story)))
        }
        SharedLimit::ConnectionsPerAddress => {
            (|all, _| all.connections_per_address_max = 1, |story| (0..2).for_each(|_| open(story)))
        }
        SharedLimit::ConnectRatePerAddress => {
            (|all, _| all.connect_rate_per_address = 1, |story| (0..2).for_each(|_| open(story)))
        }
        SharedLimit::ConnectionsPerUser => (|all, _| all.connections_per_user_max = 1, two),
        SharedLimit::ConnectRatePerUser => (|all, _| all.connect_rate_per_user = 1, two),
        SharedLimit::SessionsPerUser => (|all, _| all.sessions_per_user_max = 1, two),
        SharedLimit::MessageRatePerAddress => (|all, _| all.message_rate_per_address = 1, |story| publish(story, 2)),
        SharedLimit::ByteRatePerAddress => (|all, _| all.byte_rate_per_address = 10, |story| publish(story, 1)),
        SharedLimit::MessageRatePerUser => (|all, _| all.message_rate_per_user = 1, |story| publish(story, 2)),
        SharedLimit::ByteRatePerUser => (|all, _| all.byte_rate_per_user = 10, |story| publish(story, 1)),
        SharedLimit::MessageRateOutPerAddress => {
            (|all, _| all.message_rate_out_per_address = 1, |story| deliver(story, 2))
        }
        SharedLimit::ByteRateOutPerAddress => (|all, _| all.byte_rate_out_per_address = 10, |story| deliver(story, 1)),
        SharedLimit::MessageRateOutPerUser => {
            (|all, _| all.message_rate_out_per_user = 1, |story| deliver_home(story, 2))
        }
        SharedLimit::ByteRateOutPerUser => (|all, _| all.byte_rate_out_per_user = 10, |story| deliver_home(story, 1)),
        SharedLimit::RetainedMessagesPerUser => (
            |all, _| all.retained_messages_per_user_max = 1,
            |story| say(story, &["a", "b"].map(|topic| Post::to(topic).retain().payload("x"))),
        ),
        SharedLimit::RetainedBytesPerUser => (
            |all, _| all.retained_bytes_per_user_max = 1,
            |story| say(story, &[Post::to("t").retain().payload("longer than that")]),
        ),
    }
}

/// A broker of several shards with two users, one listener, and these bounds.
fn bounded(narrow: Narrow) -> Story {
    let (mut limits, mut listener) = (Limits::default(), ListenerTerms::default());
    narrow(&mut limits, &mut listener);
    let bans = BanTerms {
        failures_max: 3,
        failure_window_ms: 60_000,
        ban_ms: 30_000,
        ban_max_ms: 600_000,
        exempt: Vec::new(),
    };
    let terms = Terms { accounts_max: 256, ..Terms::of(&limits) }.with_listeners(vec![listener]).with_bans(bans);
    let policy = Policy::new(vec![Box::new(Users(&[("alice", "a"), ("bob", "b")]))], Box::new(Open));
    Story::over(World::with(SHARDS, limits, policy, 7).with_terms(terms))
}

#[test]
fn each_bound_that_is_met_is_counted_once_and_under_its_own_name() {
    for limit in SharedLimit::ALL {
        let (narrow, meet) = meet(limit);
        let mut story = bounded(narrow);
        meet(&mut story);
        for other in SharedLimit::ALL {
            let of_shards = story.world.shards.iter().map(|shard| shard.stats().shared_limits_reached.of(other));
            assert_eq!(of_shards.sum::<u64>(), u64::from(other == limit), "{} by {}", other.name(), limit.name());
            let told = story.world.shards.iter().flat_map(|shard| shard.stats().limits());
            let told: u64 = told.filter(|(name, _)| *name == other.name()).map(|(_, count)| count).sum();
            assert_eq!(told, u64::from(other == limit), "what metrics tell of {}", other.name());
        }
        // What is narrow is what was met: with room for it nobody meets anything.
        let mut wide = bounded(|_, _| {});
        meet(&mut wide);
        let in_all: u64 = SharedLimit::ALL
            .iter()
            .flat_map(|other| wide.world.shards.iter().map(|shard| shard.stats().shared_limits_reached.of(*other)))
            .sum();
        assert_eq!(in_all, u64::from(limit == SharedLimit::Ban), "{}", limit.name());
    }
}
