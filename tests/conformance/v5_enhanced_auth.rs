//! Enhanced authentication, section 4.12 of MQTT 5.0.

use crate::support::policies::{CHALLENGE, Challenge, PROOF, work_on_exchange};
use crate::support::story::{Client, Heard, Hello, Post, Story};
use pregon::mqtt::Version;
use pregon::mqtt::properties::Properties;
use pregon::mqtt::property::{Place, Property};

const CONTINUE: u8 = 0x18;
const AGAIN: u8 = 0x19;

fn story() -> Story {
    Story::with(|_| {}, Challenge::policy())
}

fn hello(id: &str, user: &'static str) -> Hello {
    Hello::v5(id).with(Property::AuthMethod(CHALLENGE)).with(Property::AuthData(user.as_bytes()))
}

/// The broker asks the client on; the method and the data are as they must be.
#[track_caller]
fn expect_question(story: &mut Story, client: Client) {
    let Some(Heard::Auth(CONTINUE, raw)) = story.hear(client) else { panic!("no AUTH") };
    let properties = Properties::parse(&raw, Place::Auth).expect("the story has parsed it before");
    assert_eq!((properties.auth_method(), properties.auth_data()), (Some(CHALLENGE), Some(&b"who goes there"[..])));
}

/// Goes through the whole exchange.
fn log_in(story: &mut Story, id: &str, user: &'static str) -> Client {
    let client = story.hello(&hello(id, user));
    expect_question(story, client);
    story.auth(client, CONTINUE, Some(CHALLENGE), Some(PROOF));
    assert!(matches!(story.hear_all(client)[..], [Heard::ConnAck(false, 0, _)]));
    client
}

/// v5: MQTT-4.12.0-1
#[test]
fn a_method_that_nobody_knows_is_refused() {
    let mut story = story();
    let client = story.hello(&Hello::v5("client").with(Property::AuthMethod("XYZ")));
    story.expect_refused(client, 0x8C);
}

/// v5: MQTT-4.12.0-2, MQTT-4.12.0-5, X5-AUTH-FLOW
#[test]
fn the_exchange_goes_on_by_auth_and_ends_with_connack_each_naming_the_method() {
    let mut story = story();
    for n in 0..4 {
        // Several client ids, so that some connections move to another shard in the end.
        let client = story.hello(&hello(&format!("client-{n}"), "alice"));
        expect_question(&mut story, client);
        story.expect_silence(client);
        story.auth(client, CONTINUE, Some(CHALLENGE), Some(PROOF));
        let Some(Heard::ConnAck(false, 0, raw)) = story.hear(client) else { panic!("no CONNACK") };
        let properties = Properties::parse(&raw, Place::ConnAck).unwrap();
        assert_eq!((properties.auth_method(), properties.auth_data()), (Some(CHALLENGE), Some(&b"welcome"[..])));
        story.expect_open(client);
    }
}

/// v5: MQTT-4.12.0-3
#[test]
fn a_client_goes_on_and_does_not_begin_anew() {
    for reason in [0x00, AGAIN] {
        let mut story = story();
        let client = story.hello(&hello("client", "alice"));
        expect_question(&mut story, client);
        story.auth(client, reason, Some(CHALLENGE), Some(PROOF));
        story.expect_refused(client, 0x82);
    }
}

/// v5: MQTT-4.12.0-4
#[test]
fn the_broker_may_refuse_at_any_step() {
    let mut story = story();
    let client = story.hello(&hello("client", "alice"));
    expect_question(&mut story, client);
    story.auth(client, CONTINUE, Some(CHALLENGE), Some(b"open barley"));
    story.expect_refused(client, 0x87);
}

/// v5: MQTT-4.12.0-5, X5-AUTH-NOMETHOD
#[test]
fn a_step_by_another_method_or_by_none_ends_the_exchange() {
    for method in [Some("XYZ"), Some("challenge"), None] {
        let mut story = story();
        let client = story.hello(&hello("client", "alice"));
        expect_question(&mut story, client);
        story.auth(client, CONTINUE, method, Some(PROOF));
        let refusal = story.hear_all(client);
        assert!(matches!(refusal[..], [Heard::ConnAck(false, 0x82 | 0x8C, _), Heard::Closed]), "{refusal:?}");
    }
    let mut story = story();
    let client = log_in(&mut story, "client", "alice");
    story.auth(client, AGAIN, None, None);
    story.expect_closed_for(client, &[0x82]);
}

/// v5: MQTT-4.12.0-6, MQTT-4.12.0-7, X5-AUTH-SHORT
#[test]
fn without_a_method_in_connect_there_is_no_auth() {
    let mut story = story();
    let (client, said) = story.welcome(Hello::v5("client"));
    let properties = Properties::parse(&said, Place::ConnAck).unwrap();
    assert_eq!((properties.auth_method(), properties.auth_data()), (None, None));
    story.expect_silence(client);
    story.auth(client, AGAIN, Some(CHALLENGE), Some(b"alice"));
    story.expect_closed_for(client, &[0x82]);
    // AUTH of length 0 is reason 0x00 without properties: as wrong, and no worse.
    let client = story.connect(Hello::v5("client"));
    story.send(client, &[0xF0, 0]);
    story.expect_closed_for(client, &[0x82]);
    let client = log_in(&mut story, "other", "alice");
    story.send(client, &[0xF0, 0]);
    story.expect_closed_for(client, &[0x82]);
}

/// v5: MQTT-4.12.1-1
#[test]
fn the_method_of_a_renewal_is_that_of_connect() {
    let mut story = story();
    let client = log_in(&mut story, "client", "alice");
    story.auth(client, AGAIN, Some("XYZ"), Some(b"alice"));
    story.expect_closed_for(client, &[0x82]);
}

/// v5: MQTT-4.12.1-2
#[test]
fn a_renewal_that_fails_ends_the_connection() {
    let mut story = story();
    let client = log_in(&mut story, "client", "alice");
    story.auth(client, AGAIN, Some(CHALLENGE), Some(b"alice"));
    expect_question(&mut story, client);
    story.auth(client, CONTINUE, Some(CHALLENGE), Some(b"open barley"));
    story.expect_closed_for(client, &[0x87]);
    // Who proves to be somebody else has not renewed anything.
    let client = log_in(&mut story, "client", "alice");
    story.auth(client, AGAIN, Some(CHALLENGE), Some(b"mallory"));
    expect_question(&mut story, client);
    story.auth(client, CONTINUE, Some(CHALLENGE), Some(PROOF));
    story.expect_closed_for(client, &[0x87]);
}

/// v5: X5-AUTH-REAUTH
#[test]
fn traffic_goes_on_during_a_renewal() {
    let mut story = story();
    let client = log_in(&mut story, "client", "alice");
    let writer = story.connect(Hello::v5("writer"));
    story.subscribe(client, "a", 1);
    let read = |story: &mut Story, text: &str| {
        story.publish_fully(writer, Post::to("a").qos(1).payload(text));
        assert_eq!(story.delivery(client).payload, text.as_bytes());
    };
    story.auth(client, AGAIN, Some(CHALLENGE), Some(b"alice"));
    expect_question(&mut story, client);
    read(&mut story, "between");
    assert_eq!(story.publish_fully(client, Post::to("b").qos(2).id(8)), 0x10);
    story.auth(client, CONTINUE, Some(CHALLENGE), Some(PROOF));
    let Some(Heard::Auth(0, raw)) = story.hear(client) else { panic!("no AUTH") };
    let properties = Properties::parse(&raw, Place::Auth).unwrap();
    assert_eq!((properties.auth_method(), properties.auth_data()), (Some(CHALLENGE), Some(&b"welcome"[..])));
    read(&mut story, "behind");
    story.expect_open(client);
}

/// v5: X5-AUTH-REAUTH, X5-AUTH-FLOW
#[test]
fn a_slow_step_is_awaited_and_messages_come_meanwhile() {
    let mut story = story();
    let client = story.hello(&hello("client", "slow"));
    story.expect_silence(client);
    work_on_exchange(&mut story);
    expect_question(&mut story, client);
    // What is sent behind the answer waits until it was judged.
    story.auth(client, CONTINUE, Some(CHALLENGE), Some(PROOF));
    story.ask_to_subscribe(client, 1, &[crate::support::story::Wish::to("a", 1)], None);
    story.expect_silence(client);
    work_on_exchange(&mut story);
    assert!(matches!(story.hear_all(client)[..], [Heard::ConnAck(false, 0, _), Heard::SubAck(1, ..)]));

    let writer = story.connect(Hello::v5("writer"));
    story.auth(client, AGAIN, Some(CHALLENGE), Some(b"slow"));
    story.publish_fully(writer, Post::to("a").qos(1).payload("meanwhile"));
    assert_eq!(story.delivery(client).payload, b"meanwhile");
    work_on_exchange(&mut story);
    expect_question(&mut story, client);
}

/// v5: X5-AUTH-UNEXPECTED
#[test]
fn auth_outside_of_an_exchange_is_an_error() {
    let mut story = story();
    let client = story.open(Version::V5);
    story.auth(client, CONTINUE, Some(CHALLENGE), Some(PROOF));
    story.expect_closed(client);
    let client = log_in(&mut story, "client", "alice");
    story.auth(client, CONTINUE, Some(CHALLENGE), Some(PROOF));
    story.expect_closed_for(client, &[0x82]);
}

/// v5: X5-AUTH-TIMEOUT
#[test]
fn an_exchange_that_stands_still_is_given_up() {
    let mut story = Story::with(|limits| limits.connect_timeout_ms = 5_000, Challenge::policy());
    let client = story.hello(&hello("client", "alice"));
    expect_question(&mut story, client);
    story.wait_s(4);
    story.expect_silence(client);
    story.wait_s(2);
    story.expect_closed(client);
}
