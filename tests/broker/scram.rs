//! SCRAM-SHA-256 with a running broker: a client proves itself, does so again while it is connected, and fails at it.

use std::fs;

use pregon::mqtt::auth::Auth;
use pregon::mqtt::packet::Packet;
use pregon::mqtt::properties::{Properties, PropertyBuffer};
use pregon::mqtt::property::{Place, Property};
use pregon::mqtt::{Reason, Version};

use crate::client::Client;
use crate::folder::Folder;
use crate::process::{Broker, Options};
use crate::stream;
use crate::support::scram::{FILE, answer, first};
use crate::support::story::{Heard, Hello};
use crate::tls::{Trust, open};

const METHOD: &str = "SCRAM-SHA-256";
const CONTINUE: u8 = 0x18;
const AGAIN: u8 = 0x19;

fn users(test: &str) -> (Folder, String) {
    let folder = Folder::new(test);
    fs::create_dir(folder.path()).expect("the name is this test's");
    fs::write(folder.path().join("users"), FILE).expect("there is room");
    let setting = format!("auth.password_file={}", folder.path().join("users").display());
    (folder, setting)
}

fn say(client: &mut Client, reason: u8, data: &str) {
    let mut properties = PropertyBuffer::default();
    properties.push(Property::AuthMethod(METHOD));
    properties.push(Property::AuthData(data.as_bytes()));
    let reason = Reason::from_code(reason).expect("a reason");
    let mut bytes = Vec::new();
    Packet::Auth(Auth { reason, properties: properties.as_properties() }).encode(Version::V5, &mut bytes);
    client.send(&bytes);
}

/// Method and data of properties.
fn data_of(raw: &[u8], place: Place) -> Vec<u8> {
    let properties = Properties::parse(raw, place).expect("properties");
    assert_eq!(properties.auth_method(), Some(METHOD));
    properties.auth_data().expect("there is something").to_vec()
}

/// Takes the broker's question and answers it; what the broker has to prove itself by.
#[track_caller]
fn answer_question(client: &mut Client, user: &str, password: &str) -> Vec<u8> {
    let Heard::Auth(CONTINUE, raw) = client.hear() else { panic!("no question") };
    let (last, signature) = answer(user, &data_of(&raw, Place::Auth), password);
    say(client, CONTINUE, &last);
    signature
}

/// Says CONNECT with the first message of the exchange, and answers the question.
#[track_caller]
fn ask_to_come_in(stream: impl stream::Stream + 'static, id: &str, user: &str, password: &str) -> (Client, Vec<u8>) {
    let first = first(user);
    let mut client = Client::over(stream, Version::V5);
    let hello = Hello::v5(id).with(Property::AuthMethod(METHOD)).with(Property::AuthData(first.as_bytes()));
    client.send(&hello.encode());
    let signature = answer_question(&mut client, user, password);
    (client, signature)
}

/// The user of the file comes in.
#[track_caller]
pub fn come_in(stream: impl stream::Stream + 'static, id: &str) -> Client {
    let (mut client, signature) = ask_to_come_in(stream, id, "user", "pencil");
    let Heard::ConnAck(_, 0, raw) = client.hear() else { panic!("no success") };
    assert_eq!(data_of(&raw, Place::ConnAck), signature, "the broker has the secret as well");
    client
}

/// Another exchange on the same connection, up to the proof.
#[track_caller]
fn prove_again(client: &mut Client, user: &str, password: &str) -> Vec<u8> {
    say(client, AGAIN, &first(user));
    answer_question(client, user, password)
}

fn plain(broker: &Broker) -> std::net::TcpStream {
    stream::tcp(broker.address)
}

#[test]
fn a_client_proves_itself_and_does_so_again_while_connected() {
    let (_folder, users) = users("scram-good");
    let trust = Trust::new("scram-tls");
    for shards in [1, 3] {
        let broker = trust.options(shards).set(&users).start();
        // Several identifiers, so that some connections move to another shard in the end.
        for number in 0..6 {
            let id = format!("client-{number}");
            let mut client = match number % 2 {
                0 => come_in(plain(&broker), &id),
                _ => come_in(open(&broker, &trust.anybody()), &id),
            };
            client.subscribe("a", 1);
            for _ in 0..2 {
                let signature = prove_again(&mut client, "user", "pencil");
                let Heard::Auth(0, raw) = client.hear() else { panic!("no success") };
                assert_eq!(data_of(&raw, Place::Auth), signature);
                client.expect_silence();
            }
            client.leave();
        }
    }
}

#[test]
fn threat_4_a_wrong_proof_comes_to_nothing_at_first_and_ends_the_connection_later() {
    let (_folder, users) = users("scram-bad");
    for shards in [1, 3] {
        let broker = Options::shards(shards).set(&users).start();
        let mut witness = come_in(plain(&broker), "witness");
        for number in 0..4 {
            let id = format!("client-{number}");
            for (user, password) in [("user", "pencils"), ("stranger", "pencil"), ("other", "pencil")] {
                let (mut client, _) = ask_to_come_in(plain(&broker), &id, user, password);
                client.expect("a refusal", |heard| matches!(heard, Heard::ConnAck(false, 0x87, _)));
                client.expect_closed();
            }
            // A wrong password, and a right one of somebody else.
            for (user, password) in [("user", "pencils"), ("other", "rubber")] {
                let mut client = come_in(plain(&broker), &id);
                prove_again(&mut client, user, password);
                client.expect_closed_for(0x87);
            }
            // Another method than the one of CONNECT. [MQTT-4.12.1-1]
            let mut client = come_in(plain(&broker), &id);
            let mut properties = PropertyBuffer::default();
            properties.push(Property::AuthMethod("SCRAM-SHA-1"));
            let reason = Reason::from_code(AGAIN).expect("a reason");
            let mut bytes = Vec::new();
            Packet::Auth(Auth { reason, properties: properties.as_properties() }).encode(Version::V5, &mut bytes);
            client.send(&bytes);
            client.expect("the end", |heard| matches!(heard, Heard::Disconnect(0x82 | 0x8c, _)));
            client.expect_closed();
        }
        witness.expect_silence();
    }
}
