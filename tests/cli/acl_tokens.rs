//! `pregon acl explain` of clients whose tokens say what they may do.

use std::process::Output;
use std::time::{SystemTime, UNIX_EPOCH};

use aws_lc_rs::hmac;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};

use super::acl::Folder;
use super::{code, errors, pregon, printed};

const RULES: &str = "\
[[rule]]
effect = \"deny\"
actions = \"receive\"
topics = \"home/safe/#\"

[[rule]]
effect = \"allow\"
who = { group = \"staff\" }
actions = [\"publish\", \"subscribe\"]
topics = \"home/#\"
";

const SECRET: [u8; 32] = [7; 32];

fn part(text: impl AsRef<[u8]>) -> String {
    URL_SAFE_NO_PAD.encode(text)
}

/// The file of keys that the broker gets.
fn keys() -> String {
    json!({ "keys": [{ "kty": "oct", "k": part(SECRET) }] }).to_string()
}

/// What somebody with this secret signs.
fn token(secret: [u8; 32], claims: &Value) -> String {
    let signed = format!("{}.{}", part(r#"{"alg":"HS256","typ":"JWT"}"#), part(claims.to_string()));
    let signature = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, &secret), signed.as_bytes());
    format!("{signed}.{}", part(signature))
}

#[expect(clippy::disallowed_methods, reason = "the broker judges a token by the clock on the wall")]
fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs()
}

/// A token of alice, who is of the staff, for an hour.
fn of_alice(acl: Value) -> Value {
    let mut claims = json!({ "sub": "alice", "groups": ["staff"], "exp": now() + 3_600 });
    if !acl.is_null() {
        claims["acl"] = acl;
    }
    claims
}

/// Rules and keys, and a file for each of these tokens.
fn folder(name: &str, tokens: &[(&str, String)]) -> Folder {
    let keys = keys();
    let others = tokens.iter().map(|(file, text)| (*file, text.as_str()));
    let files: Vec<(&str, &str)> = [("rules.toml", RULES), ("keys", keys.as_str())].into_iter().chain(others).collect();
    Folder::with(name, &files)
}

/// The answer by these rules and keys; a word that begins with `@` is a file of the folder.
fn explain(folder: &Folder, settings: &[&str], line: &str) -> Output {
    let mut command = pregon("acl explain");
    let files = [("rules_file", "rules.toml"), ("token_keys", "keys")];
    let files = files.map(|(key, file)| format!("auth.{key}={}", folder.path(file)));
    let usual = ["auth.token_acl_claim=acl", "auth.token_groups_claim=groups"];
    for setting in files.iter().map(String::as_str).chain(usual).chain(settings.iter().copied()) {
        command.args(["--set", setting]);
    }
    for word in line.split_whitespace() {
        match word.strip_prefix('@') {
            Some(file) => command.arg(folder.path(file)),
            None => command.arg(word),
        };
    }
    command.output().unwrap()
}

#[test]
fn explain_tells_the_claim_from_the_rules() {
    let acl = json!({ "pub": ["home/%u/#"], "sub": ["home/+", "home/safe/#", "news/#"] });
    let folder = folder("claim", &[("a.jwt", token(SECRET, &of_alice(acl)) + "\n")]);
    let (rules, keys) = (folder.path("rules.toml"), folder.path("keys"));
    let rule = format!("{rules}:6: rule 2: allow group staff to publish and subscribe: home/#");
    let whole = |line: &str, expected: i32, told: String| {
        let output = explain(&folder, &[], line);
        assert_eq!((code(&output), printed(&output), errors(&output)), (expected, told, String::new()), "{line}");
    };
    let head = format!("token: verified by {keys}\n");
    whole(
        "--token @a.jwt --client c1 publish home/alice/door --qos 1",
        0,
        format!(
            "allowed: alice as c1, publish home/alice/door with QoS 1\n{head}\
             claim acl: allowed: `home/%u/#` in `pub` reaches `home/alice/door`\nrules: allowed\n\
             {rule}\n`home/#` reaches `home/alice/door`\n"
        ),
    );
    whole(
        "--token @a.jwt --client c1 will home/bob/door",
        1,
        format!(
            "denied: alice as c1, will home/bob/door with QoS 0\n{head}\
             claim acl: denied: nothing in `pub` reaches `home/bob/door`; \
             `home/%u/#` differs at level 2: `bob` is not `alice`\nrules: allowed\n\
             {rule}\n`home/#` reaches `home/bob/door`\n"
        ),
    );
    whole(
        "--token @a.jwt --client c1 receive news/x",
        1,
        format!(
            "denied: alice as c1, receive news/x\n{head}\
             claim acl: allowed: `news/#` in `sub` reaches `news/x`\nrules: denied\n\
             {rules}: no rule applies, and what no rule allows is denied\nnearest rules that would allow it:\n  \
             {rule}\n    `home/#` differs at level 1: `news` is not `home`\n"
        ),
    );
    for (line, expected, what) in [
        ("--token @a.jwt --client c1 subscribe home/#", 1, "`#` reaches further than `+`"),
        ("--token @a.jwt --client c1 subscribe $share/g/home/+", 0, "`home/+` in `sub` reaches all of"),
        ("--token @a.jwt --client c1 receive home/safe/x", 1, "rules: denied"),
        ("--token @a.jwt --client c1 connect", 0, "claim acl: it says nothing about who may connect"),
        ("--user alice --claim {\"pub\":[\"a/b\"]} --client c1 subscribe a", 1, "denied: there is nothing in `sub`"),
    ] {
        let output = explain(&folder, &[], line);
        assert_eq!(code(&output), expected, "{line}: {} {}", printed(&output), errors(&output));
        assert!(printed(&output).contains(what), "{line}: {}", printed(&output));
    }
}

#[test]
fn explain_tells_what_a_claim_withholds_of_a_subscription() {
    let folder = folder("withholds", &[("a.jwt", token(SECRET, &of_alice(json!({ "sub": ["home/+/#"] }))))]);
    let output = explain(&folder, &[], "--token @a.jwt --client c1 subscribe home/+/#");
    let told = printed(&output);
    assert_eq!(code(&output), 0, "{told}");
    let lines: Vec<&str> = told.lines().skip_while(|line| !line.starts_with("deliveries")).skip(1).collect();
    assert!(lines[0].starts_with("  withheld   home/safe/#  ") && lines[0].contains(":1: rule 1"), "{told}");
    assert!(lines[1].starts_with("  delivered  home/+/#  ") && lines.len() == 2, "{told}");
    // Where rules ask nothing of who subscribes, the claim alone withholds.
    let output =
        explain(&folder, &["auth.rules_file="], "--user a --claim {\"sub\":[\"a/+\"]} --client c subscribe a/+");
    assert!(printed(&output).contains("there is no file of rules"), "{}", printed(&output));
    assert_eq!(code(&output), 0);
}

#[test]
fn explain_says_whether_the_broker_would_believe_a_token() {
    let acl = || json!({ "pub": ["home/#"], "sub": [] });
    let with = |name: &str, value: Value| {
        let mut claims = of_alice(acl());
        claims[name] = value;
        token(SECRET, &claims)
    };
    let tokens = [
        ("good.jwt", token(SECRET, &of_alice(acl()))),
        ("forged.jwt", token([8; 32], &of_alice(acl()))),
        ("ended.jwt", with("exp", json!(now() - 3_600))),
        ("other.jwt", with("aud", json!("others"))),
        ("bare.jwt", token(SECRET, &of_alice(Value::Null))),
    ];
    let folder = folder("believed", &tokens);
    let ours = &["auth.token_audience=pregon"][..];
    let server = "auth.token_keys_url=https://issuer.example/keys";
    for (settings, file, expected, what) in [
        (&[][..], "good", 0, "token: verified by "),
        (&[], "forged", 1, "token: refused, the signature does not hold; what follows is said as if it held\n"),
        (&[], "ended", 1, "token: refused, it has ended; what follows is said as if it held\nclaim acl: allowed: "),
        (ours, "other", 1, "token: refused, it was issued for somebody else; "),
        (&["auth.token_keys=", server], "good", 0, "token: not verified, the keys of auth.token_keys_url are not "),
        (&[server], "good", 0, "token: verified by "),
        (&[], "bare", 0, "claim acl: the token has none, so rules alone decide\nrules: allowed\n"),
        (&["auth.token_acl_claim="], "good", 0, "claim: auth.token_acl_claim names none, so rules alone decide\n"),
        (&["auth.token_client_id_claim=sub"], "good", 1, "token: refused, it was issued for another client identifier"),
        (&["auth.token_user=equal"], "good", 0, "token: verified by "),
    ] {
        let output = explain(&folder, settings, &format!("--token @{file}.jwt --client c1 publish home/x"));
        assert_eq!(code(&output), expected, "{settings:?} {file}: {} {}", printed(&output), errors(&output));
        assert!(printed(&output).contains(what), "{settings:?} {file}: {}", printed(&output));
    }
    // A configuration that says nothing of tokens: whose it is can be read all the same.
    let bare = |file: &str| {
        let mut command = pregon("acl explain --client c1 publish home/x --token");
        command.arg(folder.path(file)).output().unwrap()
    };
    let told = printed(&bare("good.jwt"));
    let unverified = "token: not verified, auth.token_keys names no keys; it is taken for granted\n";
    assert!(told.starts_with("allowed: alice as c1, ") && told.contains(unverified), "{told}");
    let told = printed(&bare("ended.jwt"));
    assert!(told.starts_with("denied: ") && told.contains("token: refused, it has ended; "), "{told}");
}

#[test]
fn explain_says_in_json_who_refuses() {
    let tokens = [
        ("a.jwt", token(SECRET, &of_alice(json!({ "pub": ["home/a"], "sub": ["home/+/#"] })))),
        ("ended.jwt", token(SECRET, &json!({ "sub": "bob", "exp": now() - 3_600, "acl": {} }))),
    ];
    let folder = folder("refuses", &tokens);
    let told = |line: &str| -> Value {
        serde_json::from_str(&printed(&explain(&folder, &[], &format!("{line} --json")))).unwrap()
    };
    let answer = told("--token @a.jwt --client c1 publish home/b");
    assert_eq!((&answer["allowed"], &answer["refused_by"]), (&json!(false), &json!(["claim"])));
    assert_eq!((&answer["user"], &answer["line"]), (&json!("alice"), &json!(6)));
    let why = "denied: nothing in `pub` reaches `home/b`; `home/a` differs at level 2: `b` is not `a`";
    let claim = json!({ "name": "acl", "allowed": false, "nearest": "home/a", "why": why });
    assert_eq!(answer["claim"], claim);
    assert_eq!(answer["token"], json!({ "verdict": "verified", "keys": folder.path("keys") }));
    let answer = told("--token @ended.jwt --client c1 publish home/b");
    assert_eq!(answer["refused_by"], json!(["token", "claim", "rules"]));
    assert_eq!(answer["token"], json!({ "verdict": "refused", "why": "it has ended" }));
    let answer = told("--token @a.jwt --client c1 subscribe home/x/#");
    assert_eq!((&answer["allowed"], &answer["claim"]["filter"]), (&json!(true), &json!("home/+/#")));
    assert_eq!(answer["deliveries"][0]["delivered"], json!(true));
}

#[test]
fn what_makes_nobody_of_a_client_ends_with_2() {
    let tokens = [
        ("odd.jwt", token(SECRET, &of_alice(json!({ "pub": "home/#" })))),
        ("nobody.jwt", token(SECRET, &json!({ "exp": now() + 3_600 }))),
        ("word.jwt", "correct horse".to_owned()),
        ("a.jwt", token(SECRET, &of_alice(json!({})))),
    ];
    let folder = folder("nobody", &tokens);
    for (line, what) in [
        ("--token @odd.jwt", "odd.jwt: its rights are no object of `pub` and `sub`"),
        ("--token @nobody.jwt", "nobody.jwt: it names no user"),
        ("--token @word.jwt", "word.jwt: it is none of three parts"),
        ("--token @missing.jwt", "missing.jwt: No such file"),
        ("--token @a.jwt --user alice", "--user"),
        ("--token @a.jwt --group staff", "--group"),
        ("--user a --claim [\"a\"]", "--claim: the claims: it is no object"),
        ("--user a --claim {\"pub\":[\"a+\"]}", "--claim: its rights are no object of `pub` and `sub`"),
        ("--claim {}", "--user"),
    ] {
        let output = explain(&folder, &[], &format!("{line} --client c publish a"));
        assert_eq!(code(&output), 2, "{line}: {}", printed(&output));
        assert!(errors(&output).contains(what) && output.stdout.is_empty(), "{line}: {}", errors(&output));
    }
}

#[test]
fn the_manual_quotes_what_is_really_told_of_tokens() {
    let manual = include_str!("../../src/manual/operations.md");
    let rules = manual.split("```toml\n").find(|block| block.starts_with("[groups]")).unwrap();
    let claim = manual.split("```json\n").skip(1).find(|block| block.contains("\"acl\"")).unwrap();
    let mut claims: Value = serde_json::from_str(claim.split("```").next().unwrap()).unwrap();
    claims["exp"] = json!(now() + 3_600);
    let folder = Folder::with(
        "manual-tokens",
        &[("rules.toml", rules.split("```").next().unwrap()), ("keys", &keys()), ("a.jwt", &token(SECRET, &claims))],
    );
    let mut blocks = manual.split("```text\n").skip(1).map(|block| block.split("```").next().unwrap());
    let quoted = blocks.find(|block| block.contains("acl explain") && block.contains("--token token")).unwrap();
    let mut answers = 0;
    for quoted in quoted.split("$ pregon ").skip(1) {
        let (command, told) = quoted.split_once('\n').unwrap();
        let command = command.replace("--config /etc/pregon/pregon.toml ", "").replace('\'', "");
        let command = command.strip_prefix("acl explain ").unwrap().replace("--token token ", "--token @a.jwt ");
        let printed = printed(&explain(&folder, &["auth.token_audience=pregon"], &command));
        let printed = printed.replace(&folder.path("rules.toml"), "/etc/pregon/rules.toml");
        let printed = printed.replace(&folder.path("keys"), "/etc/pregon/issuer.pub");
        assert_eq!(printed.trim_end(), told.trim_end(), "{command}");
        answers += 1;
    }
    assert_eq!(answers, 2);
}
