//! What the rules do not allow is told to the client, counted by the engine and told to the log, with the rule that says so.

use std::fs;

use pregon::mqtt::Version;

use crate::client::Client;
use crate::folder::Folder;
use crate::patience::{Stopwatch, wait_for, wait_until};
use crate::process::{Broker, Options};
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
    // At the usual level it is told in sums, with the first of those that are summed up.
    let broker = options.start();
    let mut alice = Client::connect(&broker, &Hello::v5("client-7").login("alice", "correct horse"));
    assert_eq!(alice.subscribe_to(&[Wish::to("b/#", 1)]), [0x87]);
    alice.leave();
    let line = wait_for("the line of the log", || {
        broker.log().lines().find(|line| line.contains("refused by rules")).map(str::to_owned)
    });
    let words = [
        "INFO",
        "count=1 ",
        "user=alice",
        "client_id=client-7",
        "action=subscribe",
        "topic=b/#",
        &format!("{rules}: no rule"),
    ];
    assert!(words.iter().all(|word| line.contains(word)), "{line}");
    assert!(!broker.log().contains(" denied "));
}

/// The value of a metric of all shards together.
fn sum(broker: &Broker, metric: &str) -> u64 {
    let text = broker.metrics();
    let values = text.lines().filter_map(|line| line.strip_prefix(metric)?.strip_prefix('{')?.rsplit_once(' '));
    values.map(|(_, value)| value.parse::<u64>().expect("a metric is a number")).sum()
}

#[test]
fn ten_thousand_denials_are_all_counted_and_make_a_line_a_second_on_each_shard() {
    const SHARDS: u32 = 2;
    const CLIENTS: u32 = 4;
    const PUBLICATIONS: u32 = 2_000;
    const FILTERS: u32 = 500;
    let folder = Folder::new("denied-flood");
    fs::create_dir(folder.path()).expect("the name is this test's");
    fs::write(folder.path().join("rules.toml"), RULES).expect("there is room");
    let rules = format!("auth.rules_file={}", folder.path().join("rules.toml").display());
    let stopwatch = Stopwatch::start();
    let broker = Options::shards(SHARDS as usize).with_metrics().set(&rules).start();
    let mut clients: Vec<Client> =
        (0..CLIENTS).map(|number| Client::connect(&broker, &Hello::v5(&format!("c{number}")))).collect();
    let flood: Vec<u8> =
        (0..PUBLICATIONS).flat_map(|_| Post::to("a/secret").payload("x").encode(Version::V5)).collect();
    let filters: Vec<String> = (0..FILTERS).map(|number| format!("b/{number}")).collect();
    let wishes: Vec<Wish<'_>> = filters.iter().map(|filter| Wish::to(filter, 1)).collect();
    for client in &mut clients {
        client.send(&flood);
        assert_eq!(client.subscribe_to(&wishes), [0x87].repeat(wishes.len()));
        client.expect_silence();
    }
    let (publications, filters) = (u64::from(CLIENTS * PUBLICATIONS), u64::from(CLIENTS * FILTERS));
    wait_until("the publications to be counted", || sum(&broker, "pregon_publishes_denied_total") >= publications);
    wait_until("the filters to be counted", || sum(&broker, "pregon_subscribes_denied_total") >= filters);
    assert_eq!(sum(&broker, "pregon_publishes_denied_total"), publications);
    assert_eq!(sum(&broker, "pregon_subscribes_denied_total"), filters);
    // Each of them is in the sum of some line, also those that came when no line was due any more.
    let counts = || -> Vec<u64> {
        let log = broker.log();
        let lines = log.lines().filter(|line| line.contains("refused by rules"));
        let count = |line: &str| line.split_once("count=")?.1.split(' ').next()?.parse().ok();
        lines.map(|line| count(line).expect("a line has its count")).collect()
    };
    wait_until("the sums of the log", || counts().iter().sum::<u64>() >= publications + filters);
    assert_eq!(counts().iter().sum::<u64>(), publications + filters);
    let seconds = stopwatch.elapsed().as_secs() + 1;
    let lines = broker.log().lines().count() as u64;
    assert!(
        counts().len() as u64 <= u64::from(SHARDS) * (seconds + 1) && lines < 20 + u64::from(SHARDS) * seconds,
        "{lines}"
    );
}
