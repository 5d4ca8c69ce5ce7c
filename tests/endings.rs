//! The last that a client says: it takes effect once, also where the end comes in the same breath and something had to wait.

mod support;

use pregon::engine::auth::Decision;
use pregon::engine::auth::policy::Policy;
use pregon::engine::input::Answer;
use pregon::engine::limits::{COPIES_PER_INPUT_MAX, Limits};
use pregon::engine::stats::{DropReason, Ledger};
use pregon::mqtt::Version;
use support::policies::{Rules, Verb};
use support::story::{Client, Hello, Post, Story};
use support::world::World;

/// DISCONNECT, which every version understands.
const GOODBYE: [u8; 2] = [0xe0, 0];

/// A story of so many shards in which publications below `asked` are asked about.
fn asking(shards: usize) -> Story {
    let policy = Rules::default().later(Verb::Publish, "asked/#").policy();
    Story::over(World::with(shards, Limits::default(), policy, 7))
}

fn hello(version: Version) -> Hello {
    Hello::new(version, "brief").will("will", "gone", 0, false)
}

/// Says all this and ends, in one breath.
fn say_last(story: &mut Story, client: Client, said: &[Vec<u8>]) {
    story.world.send(client.0, &said.concat());
    story.world.end(client.0);
    story.world.drive();
}

fn topics(story: &mut Story, client: Client) -> Vec<String> {
    story.deliveries(client).into_iter().map(|delivery| delivery.topic).collect()
}

#[test]
fn what_waits_for_an_answer_when_its_client_ends_takes_effect_once() {
    for (version, shards) in [(Version::V311, 1), (Version::V5, 2), (Version::V5, 3)] {
        for qos in [0, 1, 2] {
            let mut story = asking(shards);
            let watcher = story.connect(Hello::v5("watcher"));
            story.subscribe(watcher, "#", 0);
            let brief = story.connect(hello(version));
            let post = |topic: &str, id| Post::to(topic).payload("x").qos(qos).id(id).encode(version);
            let said = [post("first", 1), post("asked/a", 2), post("last", 3), GOODBYE.to_vec()];
            say_last(&mut story, brief, &said);
            assert_eq!(topics(&mut story, watcher), ["first"]);
            story.world.end(brief.0); // who hears it twice hears it once
            story.world.answer(Answer::Action(Decision::Allow));
            story.world.drive();
            assert_eq!(topics(&mut story, watcher), ["asked/a", "last"], "and no will");
            assert!(story.world.links[brief.0].is_closed && story.world.questions.is_empty());
        }
    }
}

#[test]
fn who_ends_without_disconnect_leaves_a_will_behind_all_that_waited() {
    let mut story = asking(2);
    let watcher = story.connect(Hello::v5("watcher"));
    story.subscribe(watcher, "#", 0);
    let brief = story.connect(hello(Version::V5));
    let post = |topic: &str| Post::to(topic).payload("x").encode(Version::V5);
    let begun = post("never")[..5].to_vec();
    say_last(&mut story, brief, &[post("asked/a"), post("last"), begun]);
    story.world.answer(Answer::Action(Decision::Deny));
    story.world.drive();
    assert_eq!(topics(&mut story, watcher), ["last", "will"]);
    assert!(story.world.links[brief.0].is_closed);
}

#[test]
fn who_ends_with_nothing_left_to_handle_is_gone_at_once() {
    let mut story = asking(2);
    let watcher = story.connect(Hello::v5("watcher"));
    story.subscribe(watcher, "#", 0);
    let brief = story.connect(hello(Version::V5));
    say_last(&mut story, brief, &[]);
    assert_eq!(topics(&mut story, watcher), ["will"]);
    assert!(story.world.links[brief.0].is_closed);
}

#[test]
fn a_connection_that_breaks_waits_for_nothing() {
    let mut story = asking(2);
    let watcher = story.connect(Hello::v5("watcher"));
    story.subscribe(watcher, "#", 0);
    let brief = story.connect(hello(Version::V5));
    story.publish(brief, Post::to("asked/a").payload("x"));
    story.cut(brief);
    assert_eq!(topics(&mut story, watcher), ["will"]);
}

#[test]
fn what_is_left_for_the_next_turn_when_its_client_ends_takes_effect() {
    const READERS: usize = 400;
    const POSTS: usize = COPIES_PER_INPUT_MAX / READERS + 20;
    let mut story = Story::new(1);
    story.world.is_checked = false;
    let readers: Vec<Client> = (0..READERS)
        .map(|number| {
            let reader = story.connect(Hello::v311(&format!("r{number}")));
            story.subscribe(reader, "#", 1);
            reader
        })
        .collect();
    let brief = story.connect(hello(Version::V311));
    // Topics that differ are no run.
    let post = |number: usize| {
        let id = u16::try_from(number + 1).expect("it is small");
        Post::to(&format!("t/{number}")).payload("x").qos(1).id(id).encode(Version::V311)
    };
    let mut said: Vec<Vec<u8>> = (0..POSTS).map(post).collect();
    said.push(GOODBYE.to_vec());
    story.world.send(brief.0, &said.concat());
    story.world.read(brief.0, usize::MAX);
    assert!(!story.world.links[brief.0].is_closed, "some of it is left for the next turn");
    story.world.end(brief.0);
    story.world.drive();
    for reader in readers {
        let heard = topics(&mut story, reader);
        assert_eq!((heard.len(), heard.last().map(String::as_str)), (POSTS, Some(&*format!("t/{}", POSTS - 1))));
    }
}

/// Nothing reaches this client any more, and all that it has said was read.
fn break_off(story: &mut Story, client: Client) {
    story.world.drive();
    story.world.break_off(client.0);
    story.world.end(client.0);
    story.world.drive();
}

/// More than it takes to find one that takes nothing, and less.
fn around_the_stall_ms() -> (u64, u64) {
    let limits = Limits::default();
    (limits.write_stall_ms - 2_000, 2_000 + 2 * limits.backlog_patience_ms)
}

#[test]
fn who_waits_for_an_answer_when_nothing_reaches_him_any_more_waits_no_longer_than_one_who_takes_nothing() {
    let (before_ms, rest_ms) = around_the_stall_ms();
    for (shards, is_answered) in [(1, true), (1, false), (2, true), (3, false)] {
        let mut story = asking(shards);
        let watcher = story.connect(Hello::v5("watcher"));
        story.subscribe(watcher, "#", 0);
        let brief = story.connect(hello(Version::V5));
        story.publish(brief, Post::to("asked/a").payload("x"));
        break_off(&mut story, brief);
        story.world.advance(before_ms);
        assert!(topics(&mut story, watcher).is_empty(), "what he has said before may still take effect");
        if is_answered {
            story.world.answer(Answer::Action(Decision::Allow));
        }
        story.world.advance(rest_ms);
        let told: &[&str] = if is_answered { &["asked/a", "will"] } else { &["will"] };
        assert_eq!(topics(&mut story, watcher), told);
        assert!(story.world.links[brief.0].is_closed);
        if !is_answered {
            story.world.answer(Answer::Action(Decision::Allow));
            story.world.drive();
            assert!(topics(&mut story, watcher).is_empty(), "the answer finds nobody");
        }
    }
}

#[test]
fn what_has_only_begun_keeps_nobody_whom_nothing_reaches() {
    let limits = Limits { byte_rate: 10, ..Limits::default() };
    let mut story = Story::over(World::with(2, limits, Policy::open(), 7));
    let watcher = story.connect(Hello::v5("watcher"));
    story.subscribe(watcher, "#", 0);
    let brief = story.connect(hello(Version::V5));
    let post = |topic: &str| Post::to(topic).payload(vec![0; 1_000]).encode(Version::V5);
    // Behind the first one it is in debt for a long time; of the second one not all has come.
    let mut said = post("whole");
    said.extend_from_slice(&post("begun")[..500]);
    story.send(brief, &said);
    assert!(!story.world.links[brief.0].is_read && !story.world.links[brief.0].is_closed);
    break_off(&mut story, brief);
    assert!(story.world.links[brief.0].is_closed, "there is nothing to wait for");
    assert_eq!(topics(&mut story, watcher), ["whole", "will"]);
}

#[test]
fn what_is_sent_to_a_client_whom_nothing_reaches_is_dropped_or_waits_for_its_session() {
    let (before_ms, rest_ms) = around_the_stall_ms();
    for shards in [1, 2, 3] {
        let mut story = asking(shards);
        let reader = story.connect(Hello::v5("reader").expiry(600));
        story.subscribe(reader, "lossy", 0);
        story.subscribe(reader, "safe", 1);
        let publisher = story.connect(Hello::v5("publisher"));
        story.publish(reader, Post::to("asked/a").payload("x"));
        break_off(&mut story, reader);
        let sum = |story: &Story, of: fn(&Ledger) -> u64| -> u64 {
            story.world.shards.iter().map(|shard| of(&shard.stats().ledger)).sum()
        };
        let delivered = sum(&story, |ledger| ledger.delivered);
        for id in 1..=3 {
            story.post(publisher, Post::to("lossy").payload("x"));
            story.post(publisher, Post::to("safe").payload("x").qos(1).id(id));
        }
        assert_eq!(sum(&story, |ledger| ledger.dropped(DropReason::Slow)), 3);
        assert_eq!(sum(&story, |ledger| ledger.delivered), delivered, "nobody has heard it");
        story.world.advance(before_ms + rest_ms);
        assert!(story.world.links[reader.0].is_closed);
        let (back, is_present) = story.connect_present(Hello::v5("reader").expiry(600).resume());
        let heard = story.deliveries(back);
        assert!(is_present && heard.len() == 3, "{heard:?}");
        assert!(heard.iter().all(|delivery| delivery.topic == "safe" && !delivery.dup), "{heard:?}");
    }
}

#[test]
fn nobody_waits_for_a_receiver_whom_nothing_reaches() {
    let limits = Limits { backlog_bytes_max: 1_000, ..Limits::default() };
    let mut story = Story::over(World::with(2, limits, Policy::open(), 7));
    let reader = story.connect(Hello::v5("reader"));
    story.subscribe(reader, "a", 0);
    story.world.links[reader.0].room = 0;
    let publisher = story.connect(Hello::v5("publisher"));
    for _ in 0..10 {
        story.publish(publisher, Post::to("a").payload(vec![0; 1_000]));
    }
    assert!(!story.world.links[publisher.0].is_read, "it waits for the reader");
    story.world.break_off(reader.0);
    story.world.drive();
    assert!(story.world.links[publisher.0].is_read);
    story.publish(publisher, Post::to("a").payload(vec![0; 1_000]));
    assert!(story.world.links[publisher.0].is_read, "and waits for it no more");
}
