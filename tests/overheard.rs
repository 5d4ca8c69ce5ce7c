//! Passwords that come where others can read them and that are refused there: whether they are right is nothing that anybody looks at.

mod support;

use std::collections::BTreeSet;

use pregon::engine::accounts::bans::BanTerms;
use pregon::engine::accounts::terms::Terms;
use pregon::engine::auth::policy::{Anonymous, Open, Policy};
use pregon::engine::event::Event;
use pregon::engine::limits::Limits;
use pregon::mqtt::Version;
use pregon::mqtt::property::Property;
use support::policies::{CHALLENGE, Challenge, PROOF, Slow, Users};
use support::story::{Heard, Hello, Story};
use support::world::World;

/// The listener at which passwords are refused; others take them.
const OVERHEARD: u16 = 1;

/// What begins like the header of a token.
const TOKEN: &str = "eyJhbGciOiJIUzI1NiJ9.e30.AAAA";

fn story(chain: Policy, has_tokens_in_names: bool) -> Story {
    let bans = BanTerms {
        failures_max: 1,
        failure_window_ms: 60_000,
        ban_ms: 30_000,
        ban_max_ms: 600_000,
        exempt: Vec::new(),
    };
    let policy = chain.without_passwords_at(BTreeSet::from([OVERHEARD]), has_tokens_in_names);
    let terms = Terms { accounts_max: 256, ..Terms::of(&Limits::default()) }.with_bans(bans);
    let mut story = Story::over(World::with(2, Limits::default(), policy, 7).with_terms(terms));
    story.world.listener = OVERHEARD;
    story
}

fn users() -> Policy {
    Policy::new(vec![Box::new(Anonymous), Box::new(Users(&[("alice", "a")]))], Box::new(Open))
}

fn refused(story: &Story) -> u64 {
    story.world.shards.iter().map(|shard| shard.stats().plaintext_passwords_refused).sum()
}

#[test]
fn threat_4_a_password_that_others_can_read_is_refused_before_anybody_looks_at_it() {
    let mut story = story(Policy::new(vec![Box::new(Slow)], Box::new(Open)), false);
    for (count, version) in (1..).zip([Version::V5, Version::V311, Version::V31]) {
        let client = story.hello(&Hello::new(version, "c").login("alice", "a"));
        story.expect_refused(client, if version == Version::V5 { 0x87 } else { 5 });
        assert_eq!(refused(&story), count);
    }
    assert!(story.world.questions.is_empty(), "no hash is asked for");
    let failed: u64 = story.world.shards.iter().map(|shard| shard.stats().proofs_failed).sum();
    assert_eq!(failed, 0, "nothing was tried, so nothing has failed");
    let told = story.world.events.iter().filter(|(_, event)| matches!(event, Event::PasswordInTheClear { .. })).count();
    assert_eq!(told, 3);
}

#[test]
fn threat_4_a_password_that_others_can_read_takes_no_session_over() {
    let mut story = story(users(), false);
    story.world.listener = 0;
    let owner = story.connect(Hello::v5("c").login("alice", "a").expiry(60));
    story.world.listener = OVERHEARD;
    let copy = story.hello(&Hello::v5("c").login("alice", "a"));
    story.expect_refused(copy, 0x87);
    story.expect_open(owner);
}

#[test]
fn who_shows_no_password_comes_in_where_they_are_refused() {
    let mut nameless = story(users(), false);
    nameless.connect(Hello::v5("c"));
    let mut asked = story(Challenge::policy(), false);
    let begin = Hello::v5("d").with(Property::AuthMethod(CHALLENGE)).with(Property::AuthData(b"alice"));
    let client = asked.hello(&begin);
    assert!(matches!(asked.hear_all(client)[..], [Heard::Auth(0x18, _)]));
    asked.auth(client, 0x18, Some(CHALLENGE), Some(PROOF));
    assert!(matches!(asked.hear_all(client)[..], [Heard::ConnAck(false, 0, _)]));
    assert_eq!(refused(&nameless) + refused(&asked), 0);
    // One beside it is shown all the same.
    let client = asked.hello(&begin.login("alice", "a"));
    asked.expect_refused(client, 0x87);
}

#[test]
fn a_token_in_the_place_of_a_user_name_is_a_password_where_tokens_are_expected_there() {
    for (is_expected, name, code) in [(true, TOKEN, 0x87), (true, "alice", 0x86), (false, TOKEN, 0x86)] {
        let mut story = story(users(), is_expected);
        let client = story.hello(&Hello::v5("c").user(name));
        story.expect_refused(client, code);
        assert_eq!(refused(&story), u64::from(code == 0x87));
    }
}
