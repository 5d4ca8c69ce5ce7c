//! The operator has changed who may come in and what they may do: nobody keeps what he has lost.

mod support;

use std::net::Ipv4Addr;

use pregon::engine::auth::identity::Identity;
use pregon::engine::auth::policy::{Anonymous, Open, Policy};
use pregon::engine::auth::{Action, Authoriser, ClientId, Decision, Verdict};
use pregon::engine::input::Answer;
use pregon::engine::limits::{Limits, REVIEWED_CONNECTIONS_MAX};
use pregon::engine::stats::DropReason;
use pregon::mqtt::Version;
use support::policies::{Rules, Slow, Users, Verb};
use support::story::{Client, Heard, Hello, Post, Story};
use support::world::World;

/// Who comes from this machine may do everything, and nobody else anything.
struct FromHere;

impl Authoriser for FromHere {
    fn decide(&self, who: &Identity, _client_id: ClientId<'_>, _action: Action<'_>) -> Decision {
        let is_from_here = who.address == Some(Ipv4Addr::LOCALHOST.into());
        if is_from_here { Decision::Allow } else { Decision::Deny }
    }

    fn asks_for_origin(&self) -> bool {
        true
    }
}

impl FromHere {
    fn policy() -> Policy {
        Policy::new(vec![Box::new(Anonymous)], Box::new(Self))
    }
}

/// Everybody may do everything.
fn open() -> Story {
    Story::with(|_| {}, Rules::default().policy())
}

/// Nobody may read below `secret` from now on.
fn hide_secrets(story: &mut Story) {
    story.world.change_policy(Rules::default().deny(Verb::Receive, "secret/#").policy());
}

fn topics(story: &mut Story, client: Client) -> Vec<String> {
    story.deliveries(client).into_iter().map(|delivery| delivery.topic).collect()
}

/// Two topics that differ in whether they may still be read.
fn say_both(story: &mut Story, from: Client, qos: u8) {
    for (id, topic) in [(1, "secret/x"), (2, "open/x")] {
        story.publish(from, Post::to(topic).qos(qos).id(id).payload("x"));
    }
    story.hear_all(from);
}

#[test]
fn threat_5_a_revoked_right_ends_on_live_subscriptions_of_every_shard() {
    let mut story = open();
    let from = story.connect(Hello::v5("publisher"));
    let readers: Vec<Client> = (0..8).map(|number| story.connect(Hello::v5(&format!("r{number}")))).collect();
    for reader in &readers {
        story.subscribe(*reader, "#", 1);
    }
    say_both(&mut story, from, 0);
    for reader in &readers {
        assert_eq!(topics(&mut story, *reader), ["secret/x", "open/x"]);
    }
    hide_secrets(&mut story);
    for qos in [0, 1] {
        say_both(&mut story, from, qos);
        for reader in &readers {
            assert_eq!(topics(&mut story, *reader), ["open/x"], "at quality of service {qos}");
        }
    }
    story.world.change_policy(Rules::default().policy());
    say_both(&mut story, from, 0);
    for reader in &readers {
        assert_eq!(topics(&mut story, *reader), ["secret/x", "open/x"], "what comes back is there without asking");
    }
}

#[test]
fn threat_5_what_waits_for_a_session_is_withheld() {
    for qos in [0, 1] {
        let mut story = Story::with(|limits| limits.queue_qos0 = true, Rules::default().policy());
        let from = story.connect(Hello::v5("publisher"));
        let away = story.connect(Hello::v5("away").expiry(600));
        story.subscribe(away, "#", 1);
        story.cut(away);
        say_both(&mut story, from, qos);
        hide_secrets(&mut story);
        let (back, _) = story.connect_present(Hello::v5("away").resume().expiry(600));
        assert_eq!(topics(&mut story, back), ["open/x"], "at quality of service {qos}");
    }
}

#[test]
fn threat_5_what_was_on_its_way_is_not_sent_again() {
    let mut story = open();
    let from = story.connect(Hello::v5("publisher"));
    let reader = story.connect(Hello::v5("reader").expiry(600));
    story.subscribe(reader, "#", 1);
    say_both(&mut story, from, 1);
    assert_eq!(topics(&mut story, reader), ["secret/x", "open/x"]);
    story.cut(reader);
    hide_secrets(&mut story);
    let (back, _) = story.connect_present(Hello::v5("reader").resume().expiry(600));
    assert_eq!(topics(&mut story, back), ["open/x"]);
}

#[test]
fn threat_5_retained_messages_are_withheld() {
    let mut story = open();
    let from = story.connect(Hello::v5("publisher"));
    for topic in ["secret/x", "open/x"] {
        story.publish(from, Post::to(topic).payload("x").retain());
    }
    hide_secrets(&mut story);
    let reader = story.connect(Hello::v5("reader"));
    story.subscribe(reader, "#", 0);
    assert_eq!(topics(&mut story, reader), ["open/x"]);
}

#[test]
fn threat_5_a_member_of_a_group_that_may_not_read_gets_nothing() {
    for qos in [0, 1] {
        let mut story = open();
        let from = story.connect(Hello::v5("publisher"));
        let member = story.connect(Hello::v5("member"));
        story.subscribe(member, "$share/g/#", 1);
        hide_secrets(&mut story);
        say_both(&mut story, from, qos);
        assert_eq!(topics(&mut story, member), ["open/x"], "at quality of service {qos}");
        let dropped = |why| story.world.shards.iter().map(|shard| shard.stats().ledger.dropped(why)).sum::<u64>();
        assert_eq!([DropReason::NotAuthorized, DropReason::Offline].map(dropped), [1, 0]);
    }
}

#[test]
fn threat_5_a_will_whose_right_is_gone_is_not_published() {
    let mut story = open();
    let watcher = story.connect(Hello::v5("watcher"));
    story.subscribe(watcher, "#", 0);
    let secret = story.connect(Hello::v5("a").will("secret/w", "x", 0, false));
    let open = story.connect(Hello::v5("b").will("open/w", "x", 0, false));
    story.world.change_policy(Rules::default().deny(Verb::Will, "secret/#").policy());
    story.cut(secret);
    story.cut(open);
    assert_eq!(topics(&mut story, watcher), ["open/w"]);
}

#[test]
fn threat_5_the_rest_of_a_fan_out_is_judged_by_the_new_rules() {
    let limits = Limits { fanout_recipients_max: 2, ..Limits::default() };
    let mut story = Story::over(World::with(1, limits, Rules::default().policy(), 7));
    let from = story.connect(Hello::v5("publisher"));
    let readers: Vec<Client> = (0..9).map(|number| story.connect(Hello::v5(&format!("r{number}")))).collect();
    for reader in &readers {
        story.subscribe(*reader, "secret/#", 0);
    }
    story.world.send(from.0, &Post::to("secret/x").payload("x").encode(Version::V5));
    story.world.read(from.0, usize::MAX);
    let before = readers.iter().filter(|reader| !story.world.links[reader.0].outgoing.is_empty()).count();
    assert!(before < readers.len(), "some wait for a later turn");
    hide_secrets(&mut story);
    story.world.drive();
    let served = readers.iter().filter(|reader| !story.deliveries(**reader).is_empty()).count();
    assert_eq!(served, before);
}

#[test]
fn threat_5_publishers_are_judged_by_the_new_rules() {
    let mut story = open();
    let from = story.connect(Hello::v5("publisher"));
    let reader = story.connect(Hello::v5("reader"));
    story.subscribe(reader, "#", 0);
    say_both(&mut story, from, 0);
    story.deliveries(reader);
    story.world.change_policy(Rules::default().deny(Verb::Publish, "secret/#").policy());
    say_both(&mut story, from, 0);
    assert_eq!(topics(&mut story, reader), ["open/x"]);
}

const BEFORE: Users = Users(&[("alice", "secret"), ("bob", "secret")]);
const AFTER: Users = Users(&[("bob", "secret")]);

fn users(users: Users) -> Policy {
    Policy::new(vec![Box::new(users)], Box::new(Open))
}

#[test]
fn threat_5_users_who_are_gone_are_told_so_and_their_sessions_stay() {
    let mut story = Story::with(|_| {}, users(BEFORE));
    let (alice, bob) = (
        story.connect(Hello::v5("a").login("alice", "secret").expiry(600)),
        story.connect(Hello::v5("b").login("bob", "secret")),
    );
    let old = story.connect(Hello::v311("c").login("alice", "secret"));
    story.world.change_policy(users(AFTER));
    story.world.drive();
    story.expect_closed_for(alice, &[0x87]);
    story.expect_closed(old);
    story.expect_open(bob);
    let refused = story.hello(&Hello::v5("a").login("alice", "secret"));
    story.expect_refused(refused, 0x86);
    story.world.change_policy(users(BEFORE));
    let (_, is_present) = story.connect_present(Hello::v5("a").login("alice", "secret").resume().expiry(600));
    assert!(is_present);
}

#[test]
fn threat_5_an_answer_to_a_question_of_before_lets_nobody_in() {
    let mut story = Story::with(|_| {}, Policy::new(vec![Box::new(Slow)], Box::new(Open)));
    let alice = story.hello(&Hello::v5("a").login("alice", "secret"));
    story.world.change_policy(users(AFTER));
    let allowed = Verdict::Allow(std::sync::Arc::new(Identity::user("alice", "password")));
    story.world.answer(Answer::Credentials(allowed));
    story.world.drive();
    story.expect_refused(alice, 0x86);
}

/// Lets a connection go from shard to shard, and changes the policy meanwhile.
#[test]
fn threat_5_who_was_let_in_before_is_judged_again_where_it_arrives() {
    for attempt in 0..16 {
        let mut story = Story::with(|_| {}, users(BEFORE));
        let alice = story.open(Version::V5);
        story.world.send(alice.0, &Hello::v5(&format!("a{attempt}")).login("alice", "secret").encode());
        story.world.read(alice.0, usize::MAX);
        let has_moved = story.world.links[alice.0].at.is_none();
        story.world.change_policy(users(AFTER));
        story.world.drive();
        if has_moved {
            return story.expect_refused(alice, 0x87);
        }
    }
    panic!("none of sixteen clients lives elsewhere");
}

#[test]
fn more_connections_than_a_turn_looks_at_are_all_looked_at() {
    let mut story = Story::over(World::with(1, Limits::default(), users(BEFORE), 7));
    let count = REVIEWED_CONNECTIONS_MAX as usize + 10;
    story.world.is_checked = false;
    let come = |number: usize, story: &mut Story| {
        let client = story.open(Version::V311);
        story.world.send(client.0, &Hello::v311(&format!("a{number}")).login("alice", "secret").encode());
        client
    };
    let clients: Vec<Client> = (0..count).map(|number| come(number, &mut story)).collect();
    story.world.drive();
    story.world.change_policy(users(AFTER));
    let left = |story: &Story| clients.iter().filter(|client| !story.world.links[client.0].is_closed).count();
    assert!((10..count).contains(&left(&story)), "{} of {count} are left to the next turns", left(&story));
    story.world.drive();
    assert_eq!(left(&story), 0);
}

#[test]
fn who_may_not_connect_any_more_goes() {
    let mut story = open();
    let (a, b) = (story.connect(Hello::v5("a")), story.connect(Hello::v5("b")));
    story.world.change_policy(Rules::default().deny(Verb::Connect, "a").policy());
    story.world.drive();
    story.expect_closed_for(a, &[0x87]);
    story.expect_open(b);
}

#[test]
fn who_is_on_the_way_home_when_rules_begin_to_ask_for_an_origin_has_one() {
    for landing in 0..2 {
        for name in ["a", "b", "c", "d"] {
            let mut story = open();
            let link = story.world.connect_to(landing);
            story.world.send(link, &Hello::v5(name).encode());
            assert!(story.world.read(link, usize::MAX));
            story.world.change_policy(FromHere::policy());
            story.world.drive();
            let heard = story.world.receive(link);
            assert_eq!((heard[0], heard[3]), (0x20, 0), "{name} by shard {landing}: {heard:?}");
            assert!(!story.world.links[link].is_closed);
        }
    }
}

#[test]
fn who_waits_for_an_answer_when_rules_begin_to_ask_for_an_origin_has_one() {
    let mut story = Story::with(|_| {}, Rules::default().later(Verb::Connect, "a").policy());
    let client = story.hello(&Hello::v5("a"));
    assert_eq!(story.world.questions.len(), 1);
    story.world.change_policy(FromHere::policy());
    story.world.answer(Answer::Action(Decision::Allow));
    story.world.drive();
    assert!(matches!(story.hear(client), Some(Heard::ConnAck(_, 0, _))));
}

#[test]
fn threat_5_an_answer_of_before_a_change_is_asked_for_anew() {
    let asking = || Rules::default().later(Verb::Publish, "asked/#").policy();
    let mut story = Story::with(|_| {}, asking());
    let from = story.connect(Hello::v5("publisher"));
    let reader = story.connect(Hello::v5("reader"));
    story.subscribe(reader, "#", 1);
    story.send(from, &Post::to("asked/x").qos(1).id(1).payload("x").encode(Version::V5));
    assert_eq!(story.world.questions.len(), 1);
    story.world.change_policy(asking());
    story.world.answer(Answer::Action(Decision::Allow));
    story.world.drive();
    assert_eq!(
        topics(&mut story, reader),
        Vec::<String>::new(),
        "whoever answers may have changed his mind with the rules"
    );
    assert_eq!(story.world.questions.len(), 1, "it is asked again");
    story.world.answer(Answer::Action(Decision::Deny));
    story.world.drive();
    assert!(matches!(story.hear(from), Some(Heard::PubAck(1, 0x87, _))));
    assert_eq!(topics(&mut story, reader), Vec::<String>::new());
}
