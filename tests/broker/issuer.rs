//! Keys of tokens that come from a web server: fetched, changed, missed, and held on to for a while.

use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair as _};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use pregon::mqtt::Version;
use serde_json::json;

use crate::client::Client;
use crate::patience::{unix_s, wait_until};
use crate::process::{Broker, Options};
use crate::support::story::{Heard, Hello};
use crate::webserver::{Reply, WebServer};

/// A key of the issuer, with its name.
struct Key {
    id: &'static str,
    pair: Ed25519KeyPair,
}

impl Key {
    fn new(id: &'static str) -> Self {
        Self { id, pair: Ed25519KeyPair::generate().expect("the system has random bytes") }
    }

    fn token(&self, user: &str) -> String {
        let header = json!({ "alg": "EdDSA", "kid": self.id }).to_string();
        let claims = json!({ "sub": user, "exp": unix_s() + 3_600 }).to_string();
        let signed = format!("{}.{}", part(header), part(claims));
        format!("{signed}.{}", part(self.pair.sign(signed.as_bytes())))
    }

    fn hello(&self, id: &str) -> Hello {
        Hello::new(Version::V5, id).login("whoever", &self.token("alice"))
    }
}

fn part(text: impl AsRef<[u8]>) -> String {
    URL_SAFE_NO_PAD.encode(text)
}

/// A JSON Web Key Set with the public halves of these.
fn set(keys: &[&Key]) -> String {
    let keys: Vec<_> = keys
        .iter()
        .map(|key| json!({ "kty": "OKP", "crv": "Ed25519", "kid": key.id, "x": part(key.pair.public_key()) }))
        .collect();
    json!({ "keys": keys }).to_string()
}

fn server(keys: &[&Key]) -> WebServer {
    let text = set(keys);
    WebServer::start(move |_| Reply::Text(text.clone()))
}

fn options(server: &WebServer) -> Options {
    Options::shards(2).set(&format!("auth.token_keys_url={}", server.url("/keys")))
}

#[track_caller]
fn expect_refused(broker: &Broker, hello: &Hello, code: u8) {
    let mut client = Client::hello(broker, hello);
    client.expect("a refusal", |heard| matches!(heard, Heard::ConnAck(false, told, _) if *told == code));
    client.expect_closed();
}

fn fetches(broker: &Broker, result: &str) -> f64 {
    broker.metric(&format!("pregon_token_keys_fetches_total{{result=\"{result}\"}}")).expect("it is told")
}

#[test]
fn a_token_with_a_new_key_waits_until_it_was_fetched_and_comes_in() {
    let (old, new, newest, stranger) = (Key::new("1"), Key::new("2"), Key::new("3"), Key::new("x"));
    let server = server(&[&old]);
    let broker = options(&server).set("auth.token_keys_refresh=1h").start();
    // The first of them may come before the keys do: it waits.
    Client::connect(&broker, &old.hello("a")).leave();
    wait_until("the first fetch, and the one that the first token has asked for", || {
        fetches(&broker, "changed") >= 1.0
    });
    assert!(server.asked().iter().all(|asked| asked.head.starts_with("GET /keys ")));
    // A client in a hurry may have had its say a moment ago; it has another one ten seconds later.
    let text = set(&[&old, &new]);
    server.answer(move |_| Reply::Text(text.clone()));
    wait_until("the new key to be known", || {
        let mut client = Client::hello(&broker, &new.hello("b"));
        matches!(client.hear(), Heard::ConnAck(_, 0, _))
    });
    let text = set(&[&newest]);
    server.answer(move |_| Reply::Text(text.clone()));
    let asked = server.count();
    for _ in 0..5 {
        expect_refused(&broker, &stranger.hello("c"), 0x86);
    }
    assert!(server.count() <= asked + 1, "whoever makes up names of keys does not make us ask each time");
    broker.signal("HUP");
    wait_until("the newest key to be known", || {
        let mut client = Client::hello(&broker, &newest.hello("d"));
        matches!(client.hear(), Heard::ConnAck(_, 0, _))
    });
    expect_refused(&broker, &old.hello("e"), 0x86);
}

#[test]
fn a_new_key_works_at_once_where_nobody_was_in_a_hurry_before() {
    let (old, new) = (Key::new("1"), Key::new("2"));
    let server = server(&[&old]);
    let broker = options(&server).set("auth.token_keys_refresh=1h").start();
    wait_until("the first fetch", || fetches(&broker, "changed") >= 1.0);
    let text = set(&[&new]);
    server.answer(move |_| Reply::Text(text.clone()));
    // Not at some later try: this one waits for the key.
    Client::connect(&broker, &new.hello("a")).leave();
    assert_eq!(server.count(), 2);
    broker.await_metric("pregon_token_keys_fetched", 1.0);
}

#[test]
fn threat_7_without_its_server_a_broker_starts_and_takes_no_token_until_there_are_keys() {
    let key = Key::new("1");
    let (address, url) = {
        let gone = server(&[&key]);
        (gone.address, gone.url("/keys"))
    };
    let broker =
        Options::shards(1).set(&format!("auth.token_keys_url={url}")).set("auth.token_keys_refresh=1s").start();
    expect_refused(&broker, &key.hello("a"), 0x88);
    expect_refused(&broker, &Hello::new(Version::V5, "n"), 0x86);
    assert!(broker.log().contains("were not fetched"), "{}", broker.log());
    broker.await_metric("pregon_token_keys_failing", 1.0);
    let text = set(&[&key]);
    let _back = WebServer::over(address, None, move |_| Reply::Text(text.clone()));
    wait_until("keys to come", || {
        let mut client = Client::hello(&broker, &key.hello("a"));
        matches!(client.hear(), Heard::ConnAck(_, 0, _))
    });
    broker.await_metric("pregon_token_keys_failing", 0.0);
}

#[test]
fn threat_7_answers_without_keys_change_nothing_and_are_told() {
    let key = Key::new("1");
    let server = server(&[&key]);
    let broker = options(&server).set("auth.token_keys_refresh=1s").set("auth.token_keys_timeout=500ms").start();
    Client::connect(&broker, &key.hello("a")).leave();
    let secret = json!({ "keys": [{ "kty": "oct", "alg": "HS256", "k": part([7; 32]) }] }).to_string();
    for (reply, what) in [
        (Reply::Status(500, set(&[&key])), "status 500"),
        (Reply::Status(302, set(&[&key])), "status 302"),
        (Reply::Text("{}".into()), "no keys that can be used"),
        (Reply::Text(r#"{"keys":[]}"#.into()), "no keys that can be used"),
        (Reply::Text(secret), "a shared secret"),
        (Reply::Text(format!("{}{}", " ".repeat(2 << 20), set(&[&key]))), "large"),
        (Reply::Raw(b"garbage\r\n\r\n".to_vec()), "were not fetched"),
        (Reply::Silence, "timeout"),
    ] {
        let failed = fetches(&broker, "failed");
        server.answer(move |_| reply.clone());
        wait_until(what, || fetches(&broker, "failed") > failed);
        assert!(broker.log().contains(what), "{what}: {}", broker.log());
        Client::connect(&broker, &key.hello("b")).leave();
    }
}

#[test]
fn threat_7_without_their_server_keys_hold_for_a_while_and_then_no_longer() {
    let key = Key::new("1");
    let server = server(&[&key]);
    let broker = options(&server).set("auth.token_keys_refresh=1s").set("auth.token_keys_keep=6s").start();
    let mut stays = Client::connect(&broker, &key.hello("a"));
    drop(server);
    wait_until("the server to be missed", || fetches(&broker, "failed") >= 1.0);
    if broker.metric("pregon_token_keys_fetched") == Some(1.0) {
        // Where the machine is so busy that they have ended just now, there is nothing to see.
        let mut client = Client::hello(&broker, &key.hello("b"));
        client.expect("an answer", |heard| matches!(heard, Heard::ConnAck(_, 0 | 0x88, _)));
    }
    broker.await_metric("pregon_token_keys_fetched", 0.0);
    expect_refused(&broker, &key.hello("b"), 0x88);
    assert!(broker.log().contains("for too long"), "{}", broker.log());
    stays.subscribe("a", 0); // whoever is in stays until the end of the token
}
