//! Strangers who say much before they have proven anything: what they may have a broker hold, one by one and all together.

mod support;

use pregon::engine::auth::identity::Identity;
use pregon::engine::auth::policy::{Open, Policy};
use pregon::engine::auth::{Decision, Verdict};
use pregon::engine::input::{Answer, Input};
use pregon::engine::limits::{CONNECT_BYTES_MAX, Limits, UNPROVEN_BYTES_MAX, UNPROVEN_POOL_BYTES_MAX};
use pregon::engine::stats::Limit;
use pregon::mqtt::property::Property;
use pregon::mqtt::{Reason, Version};
use std::sync::Arc;
use support::policies::{Rules, Slow, Verb};
use support::story::{Client, Heard, Hello, Story};
use support::world::World;

const QUOTA: u8 = 0x97;

/// More than there are before one is refused, whatever they hold.
const STRANGERS_MAX: usize = 1_000;

fn alone(policy: Policy) -> Story {
    Story::over(World::with(1, Limits::default(), policy, 7))
}

fn slow() -> Story {
    alone(Policy::new(vec![Box::new(Slow)], Box::new(Open)))
}

/// A CONNECT that is nearly as long as one may be.
fn large(id: &str) -> Vec<u8> {
    let value = "v".repeat(60_000);
    let bytes = (0..8).fold(Hello::v5(id), |hello, _| hello.with(Property::User("n", &value))).encode();
    assert!(bytes.len() < CONNECT_BYTES_MAX as usize && bytes.len() > 480_000);
    bytes
}

fn refusals(story: &Story) -> u64 {
    story.world.shards.iter().map(|shard| shard.stats().limits_reached.of(Limit::UnprovenBytes)).sum()
}

fn begin(story: &mut Story, version: Version, bytes: &[u8]) -> Client {
    let client = story.open(version);
    story.send(client, bytes);
    client
}

/// Strangers who hold this until one is refused: the others, and the one.
fn fill(story: &mut Story, version: Version, bytes: &[u8]) -> (Vec<Client>, Client) {
    let before = refusals(story);
    let mut lucky = Vec::new();
    loop {
        let client = begin(story, version, bytes);
        if refusals(story) > before {
            return (lucky, client);
        }
        assert_eq!(story.hear_all(client), []);
        lucky.push(client);
        assert!(lucky.len() < STRANGERS_MAX, "nobody is one too many");
    }
}

#[test]
fn threat_1_strangers_hold_a_part_of_their_own_and_a_pool_together() {
    let mut story = alone(Policy::open());
    let whole = large("large");
    let (begun, last) = whole.split_at(whole.len() - 1);
    let (mut lucky, refused) = fill(&mut story, Version::V5, begun);
    assert_eq!(lucky.len(), UNPROVEN_POOL_BYTES_MAX / (begun.len() - UNPROVEN_BYTES_MAX));
    story.expect_refused(refused, QUOTA);
    // 3.1.1 has no word for it before its CONNECT is whole.
    let old =
        Hello::v311("old").login(&"u".repeat(60_000), &"p".repeat(60_000)).will("w", &"x".repeat(60_000), 0, false);
    let (_, old) = fill(&mut story, Version::V311, &old.encode()[..170_000]);
    assert_eq!(story.hear_all(old), [Heard::Closed]);
    assert_eq!(refusals(&story), 2);
    // Who does with his own part comes in as ever, in one piece or in two.
    let small = Hello::v5("small").with(Property::User("n", &"v".repeat(20_000))).encode();
    let client = begin(&mut story, Version::V5, &small[..15_000]);
    story.send(client, &small[15_000..]);
    assert!(matches!(story.hear(client), Some(Heard::ConnAck(false, 0, _))));
    // So does who says all at once: nothing of it is held.
    let at_once = begin(&mut story, Version::V5, &large("at-once"));
    assert!(matches!(story.hear(at_once), Some(Heard::ConnAck(false, 0, _))));
    // Proof gives back what was lent, and so does the end.
    let proven = lucky.pop().expect("there are some");
    story.send(proven, last);
    assert!(matches!(story.hear(proven), Some(Heard::ConnAck(false, 0, _))));
    story.cut(lucky[0]);
    for client in [0; 2].map(|_| begin(&mut story, Version::V5, begun)) {
        assert_eq!(story.hear_all(client), []);
    }
    let one_more = begin(&mut story, Version::V5, begun);
    story.expect_refused(one_more, QUOTA);
    // Time does, too.
    story.wait_s(11);
    assert_eq!(story.world.shards[0].memory().partial_packets, 0);
    assert_eq!(fill(&mut story, Version::V5, begun).0.len(), lucky.len() + 1);
}

#[test]
fn what_is_lent_on_one_shard_is_not_missing_on_another() {
    let mut story = Story::new(2);
    let whole = large("large");
    let begun = &whole[..whole.len() - 1];
    let (lucky, refused) = fill(&mut story, Version::V5, begun);
    story.expect_refused(refused, QUOTA);
    // They land on both in turn, and the first shard that is full refuses the next one.
    assert_eq!(lucky.len(), 2 * (UNPROVEN_POOL_BYTES_MAX / (begun.len() - UNPROVEN_BYTES_MAX)));
    // One of them proves himself, and moves to his home.
    for client in lucky {
        story.send(client, &whole[whole.len() - 1..]);
        assert!(matches!(story.hear(client), Some(Heard::ConnAck(false, 0, _))));
    }
    assert!(story.world.shards.iter().all(|shard| shard.memory().partial_packets == 0));
}

#[test]
fn threat_1_a_connect_that_waits_for_an_answer_is_lent_with_the_question() {
    for version in [Version::V311, Version::V5] {
        let mut story = slow();
        let hello = Hello::new(version, "c").login(&"u".repeat(60_000), &"p".repeat(60_000)).encode();
        let (lucky, refused) = fill(&mut story, version, &hello);
        let each = 2 * hello.len() - UNPROVEN_BYTES_MAX;
        assert!((UNPROVEN_POOL_BYTES_MAX / each..=UNPROVEN_POOL_BYTES_MAX / (each - 100)).contains(&lucky.len()));
        story.expect_refused(refused, if version == Version::V5 { QUOTA } else { 3 });
        // Short ones wait as ever.
        let short = begin(&mut story, version, &Hello::new(version, "short").login("u", "p").encode());
        assert_eq!(story.hear_all(short), []);
        // An answer, whatever it says, gives back what was lent.
        let verdicts =
            [Verdict::Deny(Reason::BadUserNameOrPassword), Verdict::Allow(Arc::new(Identity::user("u", "password")))];
        for (client, verdict) in lucky.iter().zip(verdicts) {
            story.world.answer(Answer::Credentials(verdict));
            story.world.drive();
            assert!(matches!(story.hear(*client), Some(Heard::ConnAck(..))));
        }
        for _ in 0..2 {
            let client = begin(&mut story, version, &hello);
            assert_eq!(story.hear_all(client), []);
        }
        let one_more = begin(&mut story, version, &hello);
        assert_eq!(story.hear_all(one_more).len(), 2, "refused");
    }
}

#[test]
fn threat_1_what_comes_behind_a_connect_that_waits_is_lent_as_well() {
    let mut story = slow();
    let hello = Hello::v5("c").login("u", "p").encode();
    let talkative = [&hello[..], &vec![0x30; 300_000]].concat();
    let (lucky, refused) = fill(&mut story, Version::V5, &talkative);
    story.expect_refused(refused, QUOTA);
    let each = talkative.len() - hello.len() + 2 * hello.len() - UNPROVEN_BYTES_MAX;
    assert!((UNPROVEN_POOL_BYTES_MAX / each..=UNPROVEN_POOL_BYTES_MAX / (each - 100)).contains(&lucky.len()));
}

#[test]
fn whether_it_may_connect_is_asked_with_what_was_lent() {
    let mut story = alone(Rules::default().later(Verb::Connect, "asked").policy());
    let bytes = large("asked");
    let (lucky, refused) = fill(&mut story, Version::V5, &bytes);
    story.expect_refused(refused, QUOTA);
    assert_eq!(lucky.len(), UNPROVEN_POOL_BYTES_MAX / (2 * bytes.len() - UNPROVEN_BYTES_MAX));
    story.world.answer(Answer::Action(Decision::Allow));
    story.world.drive();
    assert!(matches!(story.hear(lucky[0]), Some(Heard::ConnAck(false, 0, _))));
    let next = begin(&mut story, Version::V5, &bytes);
    assert_eq!(story.hear_all(next), []);
}

#[test]
fn threat_10_strangers_who_take_nothing_of_what_they_are_told_are_closed() {
    const UNSENT: u32 = 1 << 20;
    let mut story = alone(Policy::open());
    let deaf: Vec<Client> = (0..9).map(|_| story.open(Version::V5)).collect();
    for client in &deaf {
        let (shard, connection) = story.world.links[client.0].at.expect("it is open");
        story.world.input(shard, Input::Backlog { connection, bytes: UNSENT, taken: 0 });
    }
    story.world.drive();
    let closed = deaf.iter().filter(|client| story.world.links[client.0].is_closed).count();
    assert_eq!((closed, refusals(&story)), (1, 1), "twice as much memory as bytes, nine times, is more than there is");
    // It takes them after all.
    let (shard, connection) = story.world.links[deaf[0].0].at.expect("it is open");
    story.world.input(shard, Input::Backlog { connection, bytes: 0, taken: UNSENT });
    let whole = large("large");
    let client = begin(&mut story, Version::V5, &whole[..whole.len() - 1]);
    assert_eq!(story.hear_all(client), []);
}
