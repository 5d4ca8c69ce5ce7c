//! The last that a client says: it takes effect once, also where the end comes in the same breath and something had to wait.

mod support;

use pregon::engine::auth::Decision;
use pregon::engine::input::Answer;
use pregon::engine::limits::{COPIES_PER_INPUT_MAX, Limits};
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
