//! Interest under real threads: who learnt that a declaration had returned finds the shard named.
#![expect(clippy::disallowed_methods, reason = "the promise is about threads, so the test needs some")]

use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::thread;

use pregon::base::hash::Seed;
use pregon::base::random::Random;
use pregon::engine::subscriptions::declared::Declared;
use pregon::engine::subscriptions::interest::Interest;
use pregon::mqtt::topic::{Filter, Topic};

const ROUNDS: u32 = 30_000;
const NOTHING: u32 = u32::MAX;

/// The filter of a number, among few that come and go often and have many shapes; and a topic that
/// it matches.
fn pair(number: usize) -> (String, String) {
    let level = |bit: usize, name: &'static str| if number >> bit & 1 != 0 { "+" } else { name };
    let end = if number >> 6 & 1 != 0 { "/#" } else { "" };
    let levels: Vec<&str> = (0..6).map(|bit| level(bit, "a")).collect();
    (levels.join("/") + end, "a/a/a/a/a/a".to_string())
}

/// A shard declares and withdraws filters beside the one that it tells the publisher about; other
/// shards do the same with shapes of their own, so that slots change hands, overflow and come back
/// all the time.
#[test]
fn a_publisher_that_saw_a_declaration_return_finds_the_shard() {
    const SHARDS: u32 = 3;
    let interest = Interest::new(Seed::new(1), SHARDS, 1 << 12);
    let told: Vec<AtomicU32> = (0..SHARDS).map(|_| AtomicU32::new(NOTHING)).collect();
    let is_over = AtomicBool::new(false);

    let answers = thread::scope(|scope| {
        let shards: Vec<_> = (0..SHARDS)
            .map(|shard| {
                let (interest, told) = (&interest, &told[shard as usize]);
                scope.spawn(move || live(shard, interest, told))
            })
            .collect();
        let publisher = scope.spawn(|| publish(&interest, &told, &is_over));
        for shard in shards {
            shard.join().expect("a shard lives to its end");
        }
        is_over.store(true, Ordering::Release);
        publisher.join().expect("the publisher misses nobody")
    });

    assert!(answers > 1_000, "the publisher met declarations: {answers}");
    assert!(interest.wanting_everything().is_empty());
}

/// Tells of a declared filter, withdraws it only after taking the word back. `told` carries a round
/// number, so that the publisher can see whether the filter stayed declared while it looked.
fn live(shard: u32, interest: &Interest, told: &AtomicU32) {
    let mut random = Random::from_seed(u64::from(shard));
    let mut declared = Declared::new(shard, interest);
    let mut others: Vec<usize> = Vec::new();
    for round in 0..ROUNDS {
        let number = random.index(128);
        let text = pair(number).0;
        let filter = Filter::parse(&text).expect("it is a filter");

        declared.declare(interest, filter);
        told.store(round, Ordering::Release);
        // Something else happens meanwhile: up to forty other shapes come or go.
        for _ in 0..random.below(12) {
            if others.len() < 40 && random.chance(1, 2) {
                let other = random.index(128);
                declared.declare(interest, Filter::parse(&pair(other).0).expect("it is a filter"));
                others.push(other);
            } else if !others.is_empty() {
                let other = others.swap_remove(random.index(others.len()));
                declared.withdraw(interest, Filter::parse(&pair(other).0).expect("it is a filter"));
            }
            declared.retry(interest);
        }
        told.store(NOTHING, Ordering::SeqCst);
        declared.withdraw(interest, filter);
    }
    for other in others {
        declared.withdraw(interest, Filter::parse(&pair(other).0).expect("it is a filter"));
    }
    declared.retry(interest);
    while declared.wants_everything() {
        thread::yield_now();
        declared.retry(interest);
    }
}

/// Looks the topic up while shards tell of declarations; returns how often one stood during the
/// whole look-up.
fn publish(interest: &Interest, told: &[AtomicU32], is_over: &AtomicBool) -> u32 {
    let text = pair(0).1;
    let topic = Topic::parse(&text).expect("it is a topic");
    let mut answers = 0;
    while !is_over.load(Ordering::Acquire) {
        for (shard, told) in (0..).zip(told) {
            let before = told.load(Ordering::Acquire);
            if before == NOTHING {
                continue;
            }
            let named = interest.shards_for(topic);
            if told.load(Ordering::SeqCst) == before {
                assert!(named.contains(shard), "shard {shard} is missing in round {before}");
                answers += 1;
            }
        }
    }
    answers
}
