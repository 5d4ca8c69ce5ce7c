//! SCRAM-SHA-256 over the packets of enhanced authentication, as the example in section 4.12 of MQTT 5.0 has it.

use crate::support::policies::Rules;
use crate::support::scram::{FILE, answer, first};
use crate::support::story::{Client, Heard, Hello, Story};
use pregon::engine::auth::passwords::SECRET_BYTES;
use pregon::engine::auth::passwords::authenticator::Passwords;
use pregon::engine::auth::policy::Policy;
use pregon::engine::auth::scram::METHOD;
use pregon::mqtt::properties::Properties;
use pregon::mqtt::property::{Place, Property};

const CONTINUE: u8 = 0x18;
const AGAIN: u8 = 0x19;

fn story() -> Story {
    let passwords = Passwords::parse(FILE, &[7; SECRET_BYTES]).expect("a password file");
    Story::with(|_| {}, Policy::new(vec![Box::new(passwords)], Box::new(Rules::default())))
}

/// The question that the broker puts.
#[track_caller]
fn question(story: &mut Story, client: Client) -> Vec<u8> {
    let Some(Heard::Auth(CONTINUE, raw)) = story.hear(client) else { panic!("no AUTH") };
    let properties = Properties::parse(&raw, Place::Auth).expect("properties");
    assert_eq!(properties.auth_method(), Some(METHOD));
    properties.auth_data().expect("a question").to_vec()
}

/// Goes through a whole exchange that begins with CONNECT, and wants the broker to prove itself.
#[track_caller]
fn log_in(story: &mut Story, id: &str, user: &str, password: &str) -> Client {
    let said = first(user);
    let client =
        story.hello(&Hello::v5(id).with(Property::AuthMethod(METHOD)).with(Property::AuthData(said.as_bytes())));
    let question = question(story, client);
    let (last, signature) = answer(user, &question, password);
    story.auth(client, CONTINUE, Some(METHOD), Some(last.as_bytes()));
    let Some(Heard::ConnAck(false, 0, raw)) = story.hear(client) else { panic!("no CONNACK") };
    let properties = Properties::parse(&raw, Place::ConnAck).expect("properties");
    assert_eq!((properties.auth_method(), properties.auth_data()), (Some(METHOD), Some(&*signature)));
    client
}

/// The first half of a renewal, and the answer to the question.
#[track_caller]
fn renew(story: &mut Story, client: Client, user: &str, password: &str) -> (String, Vec<u8>) {
    story.auth(client, AGAIN, Some(METHOD), Some(first(user).as_bytes()));
    let question = question(story, client);
    answer(user, &question, password)
}

/// v5: MQTT-4.12.0-2, MQTT-4.12.0-5, X5-AUTH-FLOW
#[test]
fn broker_and_client_prove_themselves_to_each_other() {
    let mut story = story();
    for n in 0..4 {
        // Several client ids, so that some connections move to another shard in the end.
        let client = log_in(&mut story, &format!("client-{n}"), "user", "pencil");
        story.expect_open(client);
    }
}

/// v5: MQTT-4.12.0-4
#[test]
fn a_wrong_proof_is_refused_whether_the_user_exists_or_not() {
    let mut story = story();
    for (user, password) in [("user", "pencils"), ("stranger", "pencil")] {
        let said = first(user);
        let hello = Hello::v5("client").with(Property::AuthMethod(METHOD)).with(Property::AuthData(said.as_bytes()));
        let client = story.hello(&hello);
        let question = question(&mut story, client);
        story.auth(client, CONTINUE, Some(METHOD), Some(answer(user, &question, password).0.as_bytes()));
        story.expect_refused(client, 0x87);
    }
}

/// v5: X5-AUTH-REAUTH
#[test]
fn a_proof_is_given_again_while_connected() {
    let mut story = story();
    let client = log_in(&mut story, "client", "user", "pencil");
    for _ in 0..2 {
        let (last, signature) = renew(&mut story, client, "user", "pencil");
        story.auth(client, CONTINUE, Some(METHOD), Some(last.as_bytes()));
        let Some(Heard::Auth(0, raw)) = story.hear(client) else { panic!("no AUTH") };
        let properties = Properties::parse(&raw, Place::Auth).unwrap();
        assert_eq!((properties.auth_method(), properties.auth_data()), (Some(METHOD), Some(&*signature)));
    }
    story.expect_open(client);
}

/// v5: MQTT-4.12.1-2
#[test]
fn a_wrong_proof_an_old_one_and_another_user_end_the_connection() {
    let mut story = story();
    for (user, password) in [("user", "pencils"), ("other", "rubber")] {
        let client = log_in(&mut story, "client", "user", "pencil");
        let (last, _) = renew(&mut story, client, user, password);
        story.auth(client, CONTINUE, Some(METHOD), Some(last.as_bytes()));
        story.expect_closed_for(client, &[0x87]);
    }
    let client = log_in(&mut story, "client", "user", "pencil");
    let (last, _) = renew(&mut story, client, "user", "pencil");
    story.auth(client, CONTINUE, Some(METHOD), Some(last.as_bytes()));
    assert!(matches!(story.hear(client), Some(Heard::Auth(0, _))));
    renew(&mut story, client, "user", "pencil");
    story.auth(client, CONTINUE, Some(METHOD), Some(last.as_bytes()));
    story.expect_closed_for(client, &[0x87]);
}
