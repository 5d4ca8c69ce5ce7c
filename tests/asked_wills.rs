//! Wills about which somebody slow has to be asked: published when they are allowed, in their order, and given up when they are not.

mod support;

use pregon::engine::auth::Decision;
use pregon::engine::auth::policy::Policy;
use pregon::engine::input::Answer;
use pregon::engine::limits::{
    Limits, WILL_PATIENCE_MS, WILL_PAUSE_MS, WILLS_ASKED_MAX, WILLS_WAITING_BYTES_MAX, WILLS_WAITING_MAX,
    WILLS_WAITING_OF_CLIENT_MAX, WILLS_WAITING_USER_PART,
};
use pregon::engine::output::{About, OwnedAction};
use pregon::engine::shard::Shard;
use pregon::mqtt::Version;
use support::policies::{Rules, Users, Verb};
use support::story::{Client, Heard, Hello, Post, Story};
use support::world::World;

/// Every will is asked about.
fn asking() -> Policy {
    Rules::default().later(Verb::Will, "#").policy()
}

fn story(shards: usize) -> (Story, Client) {
    let mut story = Story::over(World::with(shards, Limits::default(), asking(), 7));
    let watcher = story.connect(Hello::v5("watcher"));
    story.subscribe(watcher, "#", 2);
    (story, watcher)
}

/// Comes in; the question about its will is the newest one, and is answered with yes.
fn come_in(story: &mut Story, hello: &Hello) -> Client {
    let client = story.hello(hello);
    let newest = story.world.questions.pop().expect("its will is asked about");
    assert!(newest.1.connection.is_some());
    story.world.questions.insert(0, newest);
    answer(story, Decision::Allow);
    assert!(matches!(story.hear(client), Some(Heard::ConnAck(_, 0, _))));
    client
}

/// Answers the oldest question.
fn answer(story: &mut Story, decision: Decision) {
    story.world.answer(Answer::Action(decision));
    story.world.drive();
}

/// What this one was sent, without what else it heard.
fn payloads(story: &mut Story, client: Client) -> Vec<String> {
    let mut texts = Vec::new();
    for heard in story.hear_all(client) {
        if let Heard::Publish(delivery) = heard {
            texts.push(String::from_utf8(delivery.payload).expect("it is text"));
        }
    }
    texts
}

/// Of all shards: how many wills were published and denied.
fn counts(story: &Story) -> (u64, u64) {
    let stats = || story.world.shards.iter().map(Shard::stats);
    (stats().map(|stats| stats.wills_published).sum(), stats().map(|stats| stats.publishes_denied).sum())
}

#[test]
fn threat_5_a_will_is_asked_about_when_it_is_published() {
    for shards in [1, 2, 3] {
        for (version, expiry_s) in [(Version::V311, 0), (Version::V5, 0), (Version::V5, 600)] {
            for (decision, heard, expected) in
                [(Decision::Allow, &["gone"][..], (1, 0)), (Decision::Deny, &[][..], (0, 1))]
            {
                let (mut story, watcher) = story(shards);
                let hello = Hello::new(version, "mortal").will("w", "gone", 1, false);
                let mortal = come_in(&mut story, &if expiry_s > 0 { hello.expiry(expiry_s) } else { hello });
                story.cut(mortal);
                assert!(payloads(&mut story, watcher).is_empty(), "nobody has allowed it");
                let (_, question) = &story.world.questions[0];
                let About::Action { client_id, action: OwnedAction::Will { topic, .. }, .. } = &question.about else {
                    panic!("{question:?}")
                };
                assert_eq!((&**client_id, &**topic, question.connection), ("mortal", "w", None));
                answer(&mut story, decision);
                assert_eq!(
                    (payloads(&mut story, watcher), counts(&story)),
                    (heard.iter().map(ToString::to_string).collect(), expected)
                );
                assert!(story.world.shards.iter().all(|shard| shard.asked_wills() == 0));
            }
        }
    }
}

#[test]
fn threat_5_a_right_that_goes_while_a_will_waits_counts() {
    let (mut story, watcher) = story(2);
    let mortal = come_in(&mut story, &Hello::v5("mortal").will("w", "gone", 0, false));
    story.cut(mortal);
    story.world.change_policy(Rules::default().deny(Verb::Will, "w").policy());
    answer(&mut story, Decision::Allow);
    assert_eq!((payloads(&mut story, watcher).len(), counts(&story)), (0, (0, 1)));
}

#[test]
fn what_a_client_says_when_it_is_back_comes_behind_its_will() {
    for shards in [1, 2, 3] {
        for decision in [Decision::Allow, Decision::Deny] {
            let (mut story, watcher) = story(shards);
            let mortal = come_in(&mut story, &Hello::v5("mortal").will("status", "gone", 1, true));
            story.cut(mortal);
            let back = story.connect(Hello::v5("mortal"));
            story.publish(back, Post::to("status").payload("here").qos(1).id(1).retain());
            story.send(back, &[0xC0, 0]);
            assert!(story.hear_all(back).is_empty() && payloads(&mut story, watcher).is_empty());
            // Others are served.
            let other = story.connect(Hello::v5("other"));
            story.post(other, Post::to("other").payload("other").qos(1).id(1));
            assert_eq!(payloads(&mut story, watcher), ["other"]);
            answer(&mut story, decision);
            let said: &[&str] = if decision == Decision::Allow { &["gone", "here"] } else { &["here"] };
            assert_eq!(payloads(&mut story, watcher), said);
            let answers = story.hear_all(back);
            assert!(answers.len() == 2 && answers.contains(&Heard::PingResp), "{answers:?}");
            let late = story.connect(Hello::v5("late"));
            story.subscribe(late, "status", 0);
            assert_eq!(payloads(&mut story, late), ["here"], "it is the last word that is kept");
        }
    }
}

#[test]
fn wills_of_one_client_stay_in_their_order() {
    let (mut story, watcher) = story(2);
    let mut lives = ["first", "second", "third"].map(|word| Hello::v5("mortal").will("w", word, 1, false)).into_iter();
    let first = come_in(&mut story, &lives.next().unwrap());
    story.cut(first);
    for life in lives {
        // Whoever comes back is let in, is not read, and dies again.
        let client = come_in(&mut story, &life);
        story.cut(client);
        assert_eq!(story.world.questions.len(), 1, "one is asked about at a time");
    }
    for words in [&["first"][..], &[], &["third"]] {
        answer(&mut story, if words.is_empty() { Decision::Deny } else { Decision::Allow });
        assert_eq!(payloads(&mut story, watcher), words);
    }
    let back = come_in(&mut story, &Hello::v5("mortal").will("w", "x", 0, false));
    story.expect_open(back);
}

#[test]
fn a_will_about_which_nobody_has_to_be_asked_comes_behind_one_of_its_client_that_waits() {
    let policy = Rules::default().later(Verb::Will, "asked").policy();
    let mut story = Story::over(World::with(2, Limits::default(), policy, 7));
    let watcher = story.connect(Hello::v5("watcher"));
    story.subscribe(watcher, "#", 1);
    let first = come_in(&mut story, &Hello::v5("mortal").will("asked", "first", 0, false));
    story.cut(first);
    let second = story.connect(Hello::v5("mortal").will("free", "second", 0, false));
    story.cut(second);
    assert_eq!(payloads(&mut story, watcher), [""; 0]);
    answer(&mut story, Decision::Allow);
    assert_eq!(payloads(&mut story, watcher), ["first", "second"]);
}

#[test]
fn a_will_that_stands_in_line_for_too_long_is_given_up_whoever_is_asked() {
    let (mut story, watcher) = story(1);
    for number in 0..=WILLS_ASKED_MAX {
        let mortal = come_in(&mut story, &Hello::v5(&format!("m{number}")).will("w", "gone", 0, false));
        story.cut(mortal);
    }
    story.world.advance(WILL_PATIENCE_MS - 1_000);
    assert_eq!((story.world.shards[0].asked_wills(), counts(&story)), (WILLS_ASKED_MAX + 1, (0, 0)));
    story.world.advance(2_000);
    assert_eq!((story.world.shards[0].asked_wills(), counts(&story)), (WILLS_ASKED_MAX, (0, 1)));
    assert_eq!(payloads(&mut story, watcher), [""; 0]);
}

#[test]
fn a_will_about_which_nobody_could_be_asked_is_asked_about_again_for_a_while() {
    let (mut story, watcher) = story(1);
    for (is_saved, heard) in [(true, &["gone"][..]), (false, &[])] {
        let mortal = come_in(&mut story, &Hello::v5("mortal").will("w", "gone", 1, false));
        story.cut(mortal);
        let mut waited_ms = 0;
        loop {
            answer(&mut story, Decision::Later); // everybody is busy
            if story.world.shards[0].asked_wills() == 0 || (is_saved && waited_ms > WILL_PATIENCE_MS / 2) {
                break;
            }
            assert!(story.world.questions.is_empty(), "not at once");
            story.world.advance(2 * WILL_PAUSE_MS);
            waited_ms += 2 * WILL_PAUSE_MS;
            if story.world.questions.is_empty() {
                break;
            }
        }
        if is_saved {
            story.world.advance(2 * WILL_PAUSE_MS);
            answer(&mut story, Decision::Allow);
        } else {
            assert!((WILL_PATIENCE_MS..2 * WILL_PATIENCE_MS).contains(&waited_ms), "{waited_ms}");
        }
        assert_eq!(payloads(&mut story, watcher), heard);
    }
    assert_eq!(counts(&story), (1, 1));
    assert_eq!(story.world.shards[0].asked_wills(), 0);
}

#[test]
fn threat_1_only_so_many_wills_wait_and_all_are_accounted_for() {
    const WILL_BYTES: usize = 60_000;
    const FITTING: usize = WILLS_WAITING_BYTES_MAX / WILL_BYTES;
    let (mut story, watcher) = story(1);
    story.world.is_checked = false;
    let count = FITTING + 20;
    let payload = "x".repeat(WILL_BYTES);
    let mortals: Vec<Client> = (0..count)
        .map(|number| come_in(&mut story, &Hello::v5(&format!("m{number}")).will("w", &payload, 0, false)))
        .collect();
    for mortal in mortals {
        story.cut(mortal);
    }
    assert_eq!(story.world.questions.len(), WILLS_ASKED_MAX);
    let waiting = story.world.shards[0].asked_wills();
    assert!((FITTING - 5..=FITTING).contains(&waiting), "{waiting} of {count}");
    assert_eq!(counts(&story), (0, (count - waiting) as u64));
    while !story.world.questions.is_empty() {
        answer(&mut story, Decision::Allow);
    }
    assert_eq!(payloads(&mut story, watcher).len(), waiting);
    assert_eq!(counts(&story), (waiting as u64, (count - waiting) as u64));
    story.world.shards[0].check();
}

#[test]
fn threat_1_small_wills_that_wait_are_bounded_in_their_number() {
    let (mut story, watcher) = story(1);
    story.world.is_checked = false;
    for number in 0..=WILLS_WAITING_MAX {
        let mortal = come_in(&mut story, &Hello::v5(&format!("m{number}")).will("w", "", 0, false));
        story.cut(mortal);
    }
    assert_eq!(
        (story.world.shards[0].asked_wills(), counts(&story)),
        (WILLS_WAITING_MAX, (0, 1)),
        "the last is denied"
    );
    story.world.shards[0].check();
    answer(&mut story, Decision::Allow);
    let one_more = come_in(&mut story, &Hello::v5("late").will("w", "late", 0, false));
    story.cut(one_more);
    assert_eq!((story.world.shards[0].asked_wills(), counts(&story)), (WILLS_WAITING_MAX, (1, 1)), "there was room");
    assert_eq!(payloads(&mut story, watcher), [""]);
}

#[test]
fn a_lasting_will_that_had_to_wait_comes_to_other_shards_once() {
    let mut story = Story::over(World::durable(3, Limits::default(), 7));
    story.world.change_policy(asking());
    let readers: Vec<Client> = (0..6)
        .map(|number| {
            let reader = story.connect(Hello::v5(&format!("r{number}")).expiry(600));
            story.subscribe(reader, "w", 1);
            reader
        })
        .collect();
    let mortal = come_in(&mut story, &Hello::v5("mortal").expiry(600).will("w", "gone", 1, true));
    story.cut(mortal);
    answer(&mut story, Decision::Allow);
    for reader in &readers {
        assert_eq!(payloads(&mut story, *reader), ["gone"]);
    }
    let late = story.connect(Hello::v5("late"));
    story.subscribe(late, "w", 0);
    assert_eq!(payloads(&mut story, late), ["gone"]);
}

#[test]
fn threat_5_a_word_of_before_a_change_is_asked_for_anew() {
    let (mut story, watcher) = story(1);
    let mortal = come_in(&mut story, &Hello::v5("mortal").will("w", "gone", 1, false));
    story.cut(mortal);
    story.world.change_policy(asking());
    answer(&mut story, Decision::Allow);
    assert!(payloads(&mut story, watcher).is_empty(), "the server may have changed its mind with the rules");
    assert_eq!(story.world.questions.len(), 1, "it is asked again");
    answer(&mut story, Decision::Deny);
    assert!(payloads(&mut story, watcher).is_empty());
    assert_eq!(counts(&story), (0, 1));
}

#[test]
fn threat_10_wills_of_one_client_leave_the_line_to_others() {
    let (mut story, watcher) = story(1);
    for number in 0..20 {
        let mortal = come_in(&mut story, &Hello::v5("mortal").will("w", &number.to_string(), 1, false));
        story.cut(mortal);
    }
    let other = come_in(&mut story, &Hello::v5("other").will("w", "other", 1, false));
    story.cut(other);
    assert_eq!(story.world.shards[0].asked_wills(), WILLS_WAITING_OF_CLIENT_MAX + 1);
    for _ in 0..=WILLS_WAITING_OF_CLIENT_MAX {
        answer(&mut story, Decision::Allow);
    }
    let mut heard = payloads(&mut story, watcher);
    heard.sort_unstable();
    assert_eq!(heard, ["0", "17", "18", "19", "other"], "the newest, and the first, which was asked about");
    assert_eq!(counts(&story), (5, 16));
}

#[test]
fn threat_10_wills_of_one_user_leave_room_to_others() {
    let users = Users(&[("mortal", "m"), ("other", "o")]);
    let policy = Policy::new(vec![Box::new(users)], Box::new(Rules::default().later(Verb::Will, "#")));
    let mut story = Story::over(World::with(1, Limits::default(), policy, 7));
    let payload = "x".repeat(60_000);
    let most = WILLS_WAITING_BYTES_MAX / WILLS_WAITING_USER_PART / payload.len();
    for number in 0..most + 10 {
        let hello = Hello::v5(&format!("mortal-{number}")).login("mortal", "m");
        let mortal = come_in(&mut story, &hello.will("w", &payload, 0, false));
        story.cut(mortal);
    }
    let of_one = story.world.shards[0].asked_wills();
    assert!((most - 2..=most).contains(&of_one), "{of_one} of {most}");
    let other = come_in(&mut story, &Hello::v5("other").login("other", "o").will("w", "other", 1, false));
    story.cut(other);
    assert_eq!(story.world.shards[0].asked_wills(), of_one + 1);
}
