//! Shared groups with members that are sent only so much in a second: jobs go to who may take them, and wait where nobody may.

mod support;

use std::collections::BTreeSet;

use pregon::engine::auth::policy::Policy;
use pregon::engine::limits::{Limits, Strategy};
use pregon::engine::stats::DropReason;
use pregon::mqtt::Version;
use support::story::{Client, Hello, Post, Story};
use support::world::World;

/// Listeners: one without a bound, and one whose clients are sent ten messages a second.
const USUAL: u16 = 0;
const NARROW: u16 = 1;
const RATE: u32 = 10;
/// A second's worth at once, and what one look of the wheel may bring.
const AT_ONCE: usize = 12;

fn story(shards: usize, strategy: Strategy) -> Story {
    let usual = Limits { shared_strategy: strategy, ..Limits::default() };
    let narrow = Limits { message_rate_out: RATE, ..usual.clone() };
    let world = World::with(shards, usual.clone(), Policy::open(), 7);
    Story::over(world.with_own_limits(vec![usual, narrow]))
}

fn member(story: &mut Story, listener: u16, id: &str, qos: u8) -> Client {
    story.world.listener = listener;
    let member = story.connect(Hello::v5(id));
    story.world.listener = USUAL;
    assert_eq!(story.subscribe(member, "$share/workers/jobs/#", qos), qos);
    member
}

/// Jobs of these numbers, each acknowledged to their publisher.
fn publish_jobs(story: &mut Story, from: Client, qos: u8, jobs: std::ops::Range<u16>) {
    for job in jobs {
        story.post(from, Post::to("jobs/a").qos(qos).id(job + 1).payload(job.to_string()));
    }
}

fn jobs(story: &mut Story, client: Client) -> Vec<String> {
    let deliveries = story.deliveries(client);
    deliveries.into_iter().map(|delivery| String::from_utf8(delivery.payload).expect("numbers are text")).collect()
}

fn dropped(story: &Story) -> u64 {
    story.world.shards.iter().map(|shard| shard.stats().ledger.dropped_total()).sum()
}

fn dropped_above_rate(story: &Story) -> u64 {
    story.world.shards.iter().map(|shard| shard.stats().ledger.dropped(DropReason::AboveRate)).sum()
}

/// All of these numbers, each once.
#[track_caller]
fn expect_all(heard: &[Vec<String>], count: u16) {
    let all: Vec<&String> = heard.iter().flatten().collect();
    let distinct: BTreeSet<&String> = all.iter().copied().collect();
    assert_eq!((all.len(), distinct.len()), (usize::from(count), usize::from(count)), "each once: {heard:?}");
}

const IN_ORDER: [Strategy; 4] = [Strategy::RoundRobin, Strategy::Random, Strategy::Sticky, Strategy::LeastInflight];

#[test]
fn who_is_above_its_rate_is_passed_over_while_another_member_may_have_the_job() {
    for strategy in IN_ORDER {
        for (shards, qos) in [(1, 0), (1, 1), (2, 0), (2, 1), (3, 2)] {
            let mut story = story(shards, strategy);
            let narrow = member(&mut story, NARROW, "narrow", qos);
            let usual = member(&mut story, USUAL, "usual", qos);
            let writer = story.connect(Hello::v5("writer"));
            publish_jobs(&mut story, writer, qos, 0..100);
            let heard = [jobs(&mut story, narrow), jobs(&mut story, usual)];
            expect_all(&heard, 100);
            assert!(heard[0].len() <= AT_ONCE, "{strategy:?}: {} at once", heard[0].len());
            assert_eq!(dropped(&story), 0);
        }
    }
}

#[test]
fn jobs_that_come_all_at_once_go_to_who_may_have_them_too() {
    for (shards, qos) in [(1, 0), (1, 1), (2, 0), (2, 1), (3, 0), (3, 2)] {
        let mut story = story(shards, Strategy::RoundRobin);
        let narrow = member(&mut story, NARROW, "narrow", qos);
        let usual = member(&mut story, USUAL, "usual", qos);
        let writer = story.connect(Hello::v311("writer"));
        let encode = |job: u16| Post::to("jobs/a").qos(qos).id(job + 1).payload(job.to_string()).encode(Version::V311);
        let all: Vec<u8> = (0..100).flat_map(encode).collect();
        story.send(writer, &all);
        let heard = [jobs(&mut story, narrow), jobs(&mut story, usual)];
        expect_all(&heard, 100);
        assert!(heard[0].len() <= AT_ONCE, "{} at once", heard[0].len());
        assert_eq!(dropped(&story), 0);
    }
}

#[test]
fn jobs_wait_for_the_group_where_every_member_is_above_its_rate() {
    for (shards, qos) in [(1, 0), (1, 1), (2, 1), (3, 0), (3, 2)] {
        let mut story = story(shards, Strategy::RoundRobin);
        let members = ["a", "b"].map(|id| member(&mut story, NARROW, id, qos));
        let writer = story.connect(Hello::v5("writer"));
        publish_jobs(&mut story, writer, qos, 0..60);
        let mut heard = members.map(|member| jobs(&mut story, member));
        assert!(heard.iter().all(|jobs| jobs.len() <= AT_ONCE), "{heard:?}");
        for _ in 0..4 {
            story.world.advance(1_000);
            for (heard, member) in heard.iter_mut().zip(members) {
                heard.extend(jobs(&mut story, member));
            }
        }
        if qos > 0 {
            expect_all(&heard, 60);
            assert!(heard.iter().all(|jobs| jobs.len() > 20), "both go on: {heard:?}");
        }
        // Of QoS 0 those end that meet a member which may not have them.
        let count: u64 = heard.iter().map(|jobs| jobs.len() as u64).sum();
        assert_eq!((count + dropped_above_rate(&story), dropped(&story)), (60, dropped_above_rate(&story)));
    }
}

#[test]
fn a_member_that_has_something_else_to_read_leaves_the_jobs_to_others() {
    for (shards, qos) in [(1, 0), (2, 0), (2, 1), (3, 0)] {
        let mut story = story(shards, Strategy::RoundRobin);
        let narrow = member(&mut story, NARROW, "narrow", qos);
        let usual = member(&mut story, USUAL, "usual", qos);
        story.subscribe(narrow, "own", 1);
        let writer = story.connect(Hello::v5("writer"));
        for id in 0..20 {
            story.post(writer, Post::to("own").qos(1).id(id + 1).payload("x"));
        }
        publish_jobs(&mut story, writer, qos, 0..10);
        assert_eq!(jobs(&mut story, usual).len(), 10);
        assert!(jobs(&mut story, narrow).iter().all(|own| own == "x"));
        assert_eq!(dropped_above_rate(&story), 0);
    }
}

#[test]
fn who_leaves_the_group_above_its_rate_and_comes_back_has_a_part_in_it_again() {
    let mut story = story(2, Strategy::RoundRobin);
    let narrow = member(&mut story, NARROW, "narrow", 1);
    let _usual = member(&mut story, USUAL, "usual", 1);
    let writer = story.connect(Hello::v5("writer"));
    publish_jobs(&mut story, writer, 1, 0..60);
    assert!(!jobs(&mut story, narrow).is_empty()); // and it acknowledges none: the group remembers it
    story.unsubscribe(narrow, 7, &["$share/workers/jobs/#"]);
    story.hear_all(narrow);
    story.world.advance(3_000);
    assert_eq!(story.subscribe(narrow, "$share/workers/jobs/#", 1), 1);
    publish_jobs(&mut story, writer, 1, 60..80);
    assert!(jobs(&mut story, narrow).len() > 5);
}
