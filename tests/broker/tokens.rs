//! Tokens: who comes in by one, until when, and what a change of keys does.

use std::fs;

use aws_lc_rs::hmac;
use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair as _};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use pregon::mqtt::Version;

use crate::client::Client;
use crate::folder::Folder;
use crate::patience::{unix_s, wait_for};
use crate::process::{Broker, Options, run_to_end};
use crate::support::story::{Heard, Hello, Post, Wish};

/// The public key of Ed25519 in DER, RFC 8410, up to its 32 bytes.
const ED25519_DER: [u8; 12] = [0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00];

/// Whoever signs.
pub enum Issuer {
    /// By a secret that the broker has as well.
    Secret([u8; 32]),
    /// By a key of which the broker has the public half.
    Pair(Box<Ed25519KeyPair>),
}

impl Issuer {
    fn pair() -> Self {
        Self::Pair(Box::new(Ed25519KeyPair::generate().expect("the system has random bytes")))
    }

    /// The file that the broker gets.
    pub fn keys(&self) -> String {
        match self {
            Self::Secret(secret) => format!(r#"{{"keys":[{{"kty":"oct","k":"{}"}}]}}"#, part(secret)),
            Self::Pair(pair) => {
                let der = STANDARD.encode([&ED25519_DER, pair.public_key().as_ref()].concat());
                format!("-----BEGIN PUBLIC KEY-----\n{der}\n-----END PUBLIC KEY-----\n")
            }
        }
    }

    pub fn token(&self, claims: &str) -> String {
        let name = match self {
            Self::Secret(_) => "HS256",
            Self::Pair(_) => "EdDSA",
        };
        let signed = format!("{}.{}", part(format!(r#"{{"alg":"{name}","typ":"JWT"}}"#)), part(claims));
        let signature = match self {
            Self::Secret(secret) => part(hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, secret), signed.as_bytes())),
            Self::Pair(pair) => part(pair.sign(signed.as_bytes())),
        };
        format!("{signed}.{signature}")
    }

    /// For a user of this broker, until so many seconds from now.
    fn token_for(&self, user: &str, seconds: u64) -> String {
        self.token(&format!(r#"{{"sub":"{user}","aud":"broker","exp":{}}}"#, unix_s() + seconds))
    }
}

fn part(text: impl AsRef<[u8]>) -> String {
    URL_SAFE_NO_PAD.encode(text)
}

fn hello(version: Version, id: &str, token: &str) -> Hello {
    Hello::new(version, id).login("whoever", token)
}

/// A broker that takes tokens, and the file with their keys.
struct Scene {
    folder: Folder,
    broker: Broker,
}

impl Scene {
    fn new(test: &str, issuer: &Issuer) -> Self {
        Self::with(test, issuer, &[])
    }

    /// The same with further settings; in them `{folder}` is the folder of this test.
    fn with(test: &str, issuer: &Issuer, settings: &[&str]) -> Self {
        let folder = Folder::new(test);
        fs::create_dir(folder.path()).expect("the name is this test's");
        fs::write(folder.path().join("keys"), issuer.keys()).expect("there is room");
        let keys = format!("auth.token_keys={}", folder.path().join("keys").display());
        let options = Options::shards(2).set(&keys).set("auth.token_audience=broker").set("auth.token_leeway=0s");
        let here = folder.path().display().to_string();
        let options =
            settings.iter().fold(options, |options, setting| options.set(&setting.replace("{folder}", &here)));
        Self { broker: options.start(), folder }
    }

    /// The file gets another content all at once.
    fn replace(&self, text: &str) {
        fs::write(self.folder.path().join("new"), text).expect("there is room");
        fs::rename(self.folder.path().join("new"), self.folder.path().join("keys")).expect("it is the same folder");
    }

    /// The log has these words so often.
    fn await_words(&self, words: &str, count: usize) {
        wait_for(words, || (self.broker.log().matches(words).count() >= count).then_some(()));
    }

    fn come_in(&self, id: &str, token: &str) -> Client {
        Client::connect(&self.broker, &hello(Version::V5, id, token))
    }

    #[track_caller]
    fn expect_refused(&self, hello: &Hello) {
        let mut client = Client::hello(&self.broker, hello);
        // Bad user name or password, in the words of 3.x and of 5.0.
        client.expect("a refusal", |heard| matches!(heard, Heard::ConnAck(false, 4 | 0x86, _)));
        client.expect_closed();
    }
}

#[test]
fn who_has_a_good_token_comes_in_and_nobody_else() {
    for (name, issuer) in [("tokens-secret", Issuer::Secret([1; 32])), ("tokens-pair", Issuer::pair())] {
        let scene = Scene::new(name, &issuer);
        let end = unix_s() + 3_600;
        let good = issuer.token_for("alice", 3_600);
        let bad = [
            issuer.token(&format!(r#"{{"sub":"alice","aud":"broker","exp":{}}}"#, unix_s() - 1)),
            issuer.token(&format!(r#"{{"sub":"alice","aud":"another","exp":{end}}}"#)),
            issuer.token(&format!(r#"{{"sub":"alice","exp":{end}}}"#)),
            issuer.token(r#"{"sub":"alice","aud":"broker"}"#),
            issuer.token(&format!(r#"{{"aud":"broker","exp":{end}}}"#)),
            Issuer::Secret([2; 32]).token_for("alice", 3_600),
            Issuer::pair().token_for("alice", 3_600),
            good[..good.len() - 2].to_owned(),
            "no token".to_owned(),
        ];
        for version in [Version::V311, Version::V5] {
            Client::connect(&scene.broker, &hello(version, "a", &good)).leave();
            for token in &bad {
                scene.expect_refused(&hello(version, "b", token));
            }
            scene.expect_refused(&Hello::new(version, "n"));
        }
    }
}

#[test]
fn threat_5_a_connection_ends_with_its_token() {
    let issuer = Issuer::Secret([1; 32]);
    let scene = Scene::new("tokens-end", &issuer);
    let mut stays = scene.come_in("stays", &issuer.token_for("bob", 3_600));
    for version in [Version::V311, Version::V5] {
        // On a machine that is busy enough a short token may have ended before anybody has looked at it.
        let (mut client, end) = wait_for("a connection with a short token", || {
            let end = unix_s() + 2;
            let mut client = Client::hello(&scene.broker, &hello(version, "ends", &issuer.token_for("alice", 2)));
            matches!(client.hear(), Heard::ConnAck(_, 0, _)).then_some((client, end))
        });
        client.expect_closed_for(0xa0);
        assert!(unix_s() + 1 >= end, "the clocks are the same one");
    }
    stays.post(&Post::to("a").payload("x").qos(1).id(1));
}

#[test]
fn threat_6_what_a_token_allows_is_all_that_its_user_may_and_no_more_than_rules_allow() {
    let issuer = Issuer::Secret([1; 32]);
    let rules = "[[rule]]\neffect = 'allow'\nactions = 'all'\ntopics = ['own/#', 'news/#', 'plain']\n";
    let rules_folder = Folder::new("tokens-rights-rules");
    fs::create_dir(rules_folder.path()).expect("the name is this test's");
    fs::write(rules_folder.path().join("rules.toml"), rules).expect("there is room");
    let rules = format!("auth.rules_file={}", rules_folder.path().join("rules.toml").display());
    let saying = |acl: &str| {
        issuer.token(&format!(r#"{{"sub":"alice","aud":"broker","exp":{},"acl":{acl}}}"#, unix_s() + 3_600))
    };
    let narrow = saying(r#"{"pub":["own/%u/#","secret"],"sub":["news/+","own/%c","secret"]}"#);
    for (name, settings) in [("tokens-rights", vec![]), ("tokens-rights-and-rules", vec![rules.as_str()])] {
        let has_rules = !settings.is_empty();
        let scene = Scene::with(name, &issuer, &[&["auth.token_acl_claim=acl"], &settings[..]].concat());
        for version in [Version::V311, Version::V5] {
            for acl in ["[]", r#"{"pub":["a"],"all":["b"]}"#, r#"{"sub":["a+"]}"#] {
                scene.expect_refused(&hello(version, "a", &saying(acl)));
            }
            let mut refused = Client::hello(&scene.broker, &hello(version, "a", &narrow).will("plain", "x", 0, false));
            refused.expect("a refusal", |heard| matches!(heard, Heard::ConnAck(false, 5 | 0x87, _)));
        }
        let stays = |id, token: &str| hello(Version::V5, id, token).resume().expiry(600);
        let mut alice = Client::connect(&scene.broker, &stays("c1", &narrow));
        let wishes = ["news/a", "news/b", "own/c1", "news/#", "#", "own/c2", "plain", "$share/g/news/+/x"]
            .map(|filter| Wish::to(filter, 1));
        assert_eq!(alice.subscribe_to(&wishes), [1, 1, 1, 0x87, 0x87, 0x87, 0x87, 0x87]);
        let by_rules = if has_rules { 0x87 } else { 1 };
        assert_eq!(alice.subscribe_to(&[Wish::to("secret", 1)]), [by_rules]);
        let mut puback = |topic: &str| {
            alice.publish(&Post::to(topic).payload("x").qos(1).id(3));
            match alice.hear() {
                Heard::PubAck(3, code, _) => code == 0x87,
                other => panic!("no PUBACK: {other:?}"),
            }
        };
        let denied = ["own/alice/x", "own/bob/x", "plain", "news/a"].map(&mut puback);
        assert_eq!(denied, [false, true, true, true], "{name}");
        // Who comes by a token that says nothing of it is bound by the files alone.
        let mut other = scene.come_in("other", &issuer.token_for("carol", 3_600));
        other.post(&Post::to("news/a").payload("x").qos(1).id(1));
        assert_eq!(alice.take().topic, "news/a");
        alice.leave();
        // What waits is judged by the token that its owner comes back with, and so is what comes then.
        for topic in ["news/a", "news/b"] {
            other.post(&Post::to(topic).payload("x").qos(1).id(1));
        }
        let (mut alice, is_resumed) =
            Client::connect_present(&scene.broker, &stays("c1", &saying(r#"{"sub":["news/b"]}"#)));
        assert!(is_resumed);
        assert_eq!(alice.take().topic, "news/b");
        for topic in ["news/a", "news/b"] {
            other.post(&Post::to(topic).payload("y").qos(1).id(1));
        }
        assert_eq!(alice.take().payload, b"y");
        alice.expect_silence();
        alice.leave();
    }
}

#[test]
fn other_keys_judge_who_comes_and_whoever_is_in_stays() {
    let (old, new) = (Issuer::Secret([1; 32]), Issuer::pair());
    let scene = Scene::new("tokens-reload", &old);
    let mut alice = scene.come_in("a", &old.token_for("alice", 3_600));
    scene.replace(&new.keys());
    scene.await_words("were read anew", 1);
    scene.expect_refused(&hello(Version::V5, "b", &old.token_for("bob", 3_600)));
    scene.come_in("c", &new.token_for("carol", 3_600)).leave();
    alice.post(&Post::to("a").payload("x").qos(1).id(1));
    scene.expect_refused(&hello(Version::V5, "a", &old.token_for("alice", 3_600)));
}

#[test]
fn threat_7_wrong_keys_change_nothing_while_the_broker_runs_and_are_told() {
    let issuer = Issuer::pair();
    let scene = Scene::new("tokens-wrong", &issuer);
    let mut alice = scene.come_in("a", &issuer.token_for("alice", 3_600));
    let wrong = [
        ("", "keys: it is neither a JSON Web Key Set nor PEM"),
        (r#"{"keys":[{"kty":"oct","k":"AAAA"}]}"#, "keys: key 1: a secret has 3 bytes"),
        ("-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n", "keys: key 1: "),
    ];
    for (number, (text, what)) in (1..).zip(wrong) {
        scene.replace(text);
        scene.await_words("is not in force", number);
        assert!(scene.broker.log().contains(what), "{what}: {}", scene.broker.log());
        scene.come_in("b", &issuer.token_for("bob", 3_600)).leave();
    }
    fs::remove_file(scene.folder.path().join("keys")).expect("it is there");
    scene.await_words("is not in force", wrong.len() + 1);
    scene.come_in("b", &issuer.token_for("bob", 3_600)).leave();
    alice.post(&Post::to("a").payload("x").qos(1).id(1));
}

#[test]
fn threat_7_a_broker_whose_keys_are_wrong_does_not_start_and_names_the_file() {
    let folder = Folder::new("tokens-start");
    fs::create_dir(folder.path()).expect("the name is this test's");
    let path = folder.path().join("keys");
    let setting = format!("auth.token_keys={}", path.display());
    let start = || run_to_end(&["--listen", "127.0.0.1:0", "--memory", "--set", &setting]);
    let (code, told) = start();
    assert!(code.is_some_and(|code| code != 0) && told.contains("keys: No such file"), "{code:?} {told}");
    for (text, what) in [
        ("", "keys: it is neither"),
        (r#"{"keys":[]}"#, "keys: it has no key"),
        (r#"{"kty":"RSA","n":"AQAB","e":"AQAB","d":"AQAB"}"#, "keys: key 1: it has a private part"),
    ] {
        fs::write(&path, text).expect("there is room");
        let (code, told) = start();
        assert!(code.is_some_and(|code| code != 0) && told.contains(what), "{what}: {code:?} {told}");
    }
}
