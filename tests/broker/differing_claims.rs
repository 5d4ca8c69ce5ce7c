//! `pregon acl diff` where tokens say what their users may do: what a token does not give is nobody's to lose.

use std::fs;

use crate::client::Client;
use crate::differing::{Scene, told};
use crate::patience::unix_s;
use crate::support::story::{Hello, Wish};
use crate::tokens::Issuer;

/// Everybody may do everything below two branches, and below one of them later.
const NOW: &str = "[[rule]]\neffect = 'allow'\nactions = 'all'\ntopics = ['a/#', 'b/#']\n";
const THEN: &str = "[[rule]]\neffect = 'allow'\nactions = 'all'\ntopics = ['a/+', 'c/#']\n";

#[test]
fn threat_5_a_right_that_a_token_does_not_give_is_neither_lost_nor_gained() {
    let issuer = Issuer::Secret([1; 32]);
    let scene = Scene::new("diff-claims");
    for (name, text) in [("rules.toml", NOW), ("new.toml", THEN), ("keys", &issuer.keys())] {
        fs::write(scene.path(name), text).expect("there is room");
    }
    let keys = format!("auth.token_keys={}", scene.path("keys"));
    let broker = scene.start_with(2, &[keys, "auth.token_acl_claim=acl".to_owned()]);
    let come = |id: &str, acl: &str| {
        let exp = unix_s() + 3_600;
        let token = issuer.token(&format!(r#"{{"sub":"tina","exp":{exp},"acl":{acl}}}"#));
        Hello::v5(id).resume().expiry(600).login("whoever", &token)
    };
    let wide = r##"{"pub":["#"],"sub":["#"]}"##;
    let narrow = r#"{"pub":["a/+"],"sub":["a/x/+","c/+"]}"#;
    let wishes = || ["a/#", "b/x", "a/x/+"].map(|filter| Wish::to(filter, 1));
    // By the files alone, by a token that gives all of it, and by one that gives a part.
    let mut alice = Client::connect(&broker, &Hello::v5("files").login("alice", "correct horse"));
    assert_eq!(alice.subscribe_to(&wishes()), [1, 1, 1]);
    let mut all = Client::connect(&broker, &come("all", wide).will("b/gone", "x", 0, false));
    assert_eq!(all.subscribe_to(&wishes()), [1, 1, 1]);
    let mut some = Client::connect(&broker, &come("some", narrow));
    assert_eq!(some.subscribe_to(&wishes()), [0x87, 0x87, 1]);
    // Who has come back with a token that gives less keeps its subscriptions, and they bring what this one gives.
    let mut less = Client::connect(&broker, &come("less", wide));
    assert_eq!(less.subscribe_to(&[Wish::to("b/#", 1), Wish::to("a/#", 1)]), [1, 1]);
    less.leave();
    let less = Client::connect(&broker, &come("less", narrow));
    let output = scene.diff("new.toml", &[]);
    let (rules, new) = (scene.path("rules.toml"), scene.path("new.toml"));
    let lost = |who: &str, what: &str| format!("lost    {who}: {what}: {rules}:1 -> {new}: no rule");
    let lines = vec![
        lost("alice as files", "subscribe a/#"),
        lost("alice as files", "subscribe a/x/+"),
        lost("alice as files", "subscribe b/x"),
        lost("tina as all", "subscribe a/#"),
        lost("tina as all", "subscribe a/x/+"),
        lost("tina as all", "subscribe b/x"),
        lost("tina as all", "will b/gone"),
        lost("tina as less", "receive a/x/+ by subscribe a/#"),
        lost("tina as some", "subscribe a/x/+"),
        "9 lost, 0 gained: 9 subscriptions of 4 sessions, 3 with claims".to_owned(),
    ];
    assert_eq!(told(&output), (Some(1), lines, String::new()));
    // Also while its client is away.
    less.leave();
    let output = scene.diff("new.toml", &["--json"]);
    let text = String::from_utf8(output.stdout).expect("it is text");
    let rows: Vec<serde_json::Value> = text.lines().map(|row| serde_json::from_str(row).expect("it is JSON")).collect();
    let of = |client: &str| rows.iter().filter(|row| row["client"] == client).collect::<Vec<_>>();
    let away = of("less");
    assert_eq!((away.len(), &away[0]["part"]), (1, &"a/x/+".into()));
    assert_eq!((&away[0]["claims"], &away[0]["connected"]), (&true.into(), &false.into()));
    assert_eq!(of("files")[0]["claims"], false);
    let summary = rows.last().expect("a summary");
    assert_eq!((&summary["claims"], &summary["cautious"]), (&3.into(), &false.into()));
}
