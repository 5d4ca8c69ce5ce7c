//! What the rules do not allow is told to the client, counted by the engine and told to the log, with the rule that says so.

use std::fs;

use pregon::mqtt::Version;

use crate::client::Client;
use crate::folder::Folder;
use crate::patience::wait_until;
use crate::process::Options;
use crate::reload::{ALICE, BOB};
use crate::support::story::{Heard, Hello, Post, Wish};

const RULES: &str = "\
[[rule]]
effect = 'deny'
actions = 'publish'
topics = 'a/secret'

[[rule]]
effect = 'allow'
actions = 'all'
topics = 'a/#'
";

#[test]
fn a_denial_names_user_client_action_topic_and_rule() {
    let folder = Folder::new("denied");
    fs::create_dir(folder.path()).expect("the name is this test's");
    let path = |name: &str| folder.path().join(name).display().to_string();
    fs::write(path("users"), [ALICE, BOB].concat()).expect("there is room");
    fs::write(path("rules.toml"), RULES).expect("there is room");
    let options = Options::shards(2)
        .set(&format!("auth.password_file={}", path("users")))
        .set(&format!("auth.rules_file={}", path("rules.toml")));
    let broker = options.clone().set("log.level=info,shell::events=debug").start();
    let rules = path("rules.toml");
    for version in [Version::V311, Version::V5] {
        let hello = Hello::new(version, "client-7").login("alice", "correct horse");
        let mut alice = Client::connect(&broker, &hello);
        let code = if version == Version::V5 { 0x87 } else { 0x80 };
        assert_eq!(alice.subscribe_to(&[Wish::to("b/#", 1), Wish::to("a/b", 1)]), [code, 1]);
        alice.publish(&Post::to("a/secret").payload("x").qos(1).id(9));
        let code = if version == Version::V5 { 0x87 } else { 0 };
        alice.expect("PUBACK", |heard| matches!(heard, Heard::PubAck(9, found, _) if *found == code));
        alice.leave();
    }
    let told = |action: &str, topic: &str, rule: &str| {
        let log = broker.log();
        let of = |line: &&str| line.contains(" denied ") && line.contains(&format!("action={action} "));
        let lines: Vec<&str> = log.lines().filter(of).collect();
        let is_told = |line: &&&str| {
            let words = ["alice", "client_id=client-7", topic, rule];
            words.iter().all(|word| line.contains(word))
        };
        lines.len() == 2 && lines.iter().filter(is_told).count() == 2
    };
    wait_until("the lines of the log", || {
        told("subscribe", "b/#", &format!("{rules}: no rule")) && told("publish", "a/secret", &format!("{rules}:1"))
    });
    // A client can cause it at will: nobody hears of it who has not asked.
    let broker = options.start();
    let mut alice = Client::connect(&broker, &Hello::v5("client").login("alice", "correct horse"));
    assert_eq!(alice.subscribe_to(&[Wish::to("b/#", 1)]), [0x87]);
    alice.leave();
    assert!(!broker.log().contains("denied"));
}
