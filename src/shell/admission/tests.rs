//! Who is let in by files as they are, and what is told of files that are wrong.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt as _;

use super::*;
use crate::config;
use crate::config::listener::ListenAddress;
use crate::engine::auth::policy::Outcome;
use crate::engine::auth::token::samples::{NOW, part, secret_key, token, token_by};
use crate::engine::auth::token::terms::{Carrier, UserName};
use crate::engine::auth::{Credentials, Decision, Helper, Verdict};
use crate::mqtt::{QoS, Reason, Version};
use crate::shell::files::scratch::Scratch;

fn policy(auth: &Auth) -> Result<Policy, PolicyError> {
    Reader::new(auth, &Listeners::default()).read()
}

/// By `mosquitto_passwd`; her password is `correct horse`.
const USERS: &str = "alice:$7$101$sW+MWAyltInm8zDb$\
    pN8dTsBm243zvnu3HL7m3+iRLKCgw+G+sOs1vtxMySdA03cU5UrexmtnJlyGZzHKTIAeiPDlkTI3Ed+FfPIySw==";

fn credentials<'a>(user_name: Option<&'a str>, password: Option<&'a [u8]>) -> Credentials<'a> {
    let peer = ([127, 0, 0, 1], 1_883).into();
    Credentials {
        client_id: "c",
        user_name,
        password,
        peer,
        listener: 0,
        version: Version::V5,
        now_unix_s: NOW,
        certificate: None,
    }
}

fn is_let_in(policy: &Policy, user_name: Option<&str>, password: Option<&str>) -> bool {
    judged(policy, &credentials(user_name, password.map(str::as_bytes))).is_some()
}

/// Who comes by the listener of this number with this password.
fn come_by(policy: &Policy, listener: u16, user_name: Option<&str>, password: &str) -> Option<Box<str>> {
    let credentials = Credentials { listener, ..credentials(user_name, Some(password.as_bytes())) };
    judged(policy, &credentials)?.user.clone()
}

fn judged(policy: &Policy, credentials: &Credentials<'_>) -> Option<Arc<Identity>> {
    let mut outcome = policy.authenticate(credentials);
    loop {
        match outcome {
            Outcome::Allow(identity) => return Some(identity),
            Outcome::Deny(_) => return None,
            Outcome::Later(link) => {
                let verdict: Verdict = policy.work(link, credentials);
                outcome = policy.resume(link, verdict, credentials);
            }
        }
    }
}

/// A token that holds for a minute, for this user and with these claims.
fn token_of(user: &str, more: &str) -> String {
    token(&format!(r#"{{"sub":"{user}","exp":{}{more}}}"#, NOW + 60))
}

fn written(scratch: &Scratch, name: &str, text: &[u8]) -> PathBuf {
    let path = scratch.path().join(name);
    fs::write(&path, text).unwrap();
    path
}

#[test]
fn without_files_everybody_is_let_in_whatever_they_are_called() {
    let policy = policy(&Auth::default()).unwrap();
    assert!(is_let_in(&policy, None, None) && is_let_in(&policy, Some("alice"), Some("x")));
    assert!(!policy.takes_time(), "nobody has to hash anything");
}

#[test]
fn with_a_password_file_its_users_are_let_in_and_the_nameless_where_that_is_said() {
    let scratch = Scratch::new();
    let password_file = written(&scratch, "users", USERS.as_bytes());
    for (anonymous, are_nameless_in) in
        [(config::Anonymous::Auto, false), (config::Anonymous::No, false), (config::Anonymous::Yes, true)]
    {
        let policy = policy(&Auth { anonymous, password_file: password_file.clone(), ..Auth::default() }).unwrap();
        assert!(is_let_in(&policy, Some("alice"), Some("correct horse")));
        assert!(!is_let_in(&policy, Some("alice"), Some("wrong")) && !is_let_in(&policy, Some("bob"), Some("x")));
        assert_eq!(is_let_in(&policy, None, None), are_nameless_in, "{anonymous:?}");
    }
}

#[test]
fn with_keys_tokens_come_in_beside_passwords_and_the_nameless_where_that_is_said() {
    let scratch = Scratch::new();
    let token_keys = written(&scratch, "keys", secret_key().as_bytes());
    let password_file = written(&scratch, "users", USERS.as_bytes());
    let strange = token_by(&[7; 32], r#"{"alg":"HS256"}"#, &format!(r#"{{"sub":"eve","exp":{}}}"#, NOW + 60));
    for (anonymous, are_nameless_in) in
        [(config::Anonymous::Auto, false), (config::Anonymous::No, false), (config::Anonymous::Yes, true)]
    {
        let tokens = Auth { anonymous, token_keys: token_keys.clone(), ..Auth::default() };
        let both = Auth { password_file: password_file.clone(), ..tokens.clone() };
        for (auth, has_users) in [(tokens, false), (both, true)] {
            let policy = policy(&auth).unwrap();
            assert_eq!(come_by(&policy, 0, Some("x"), &token_of("bob", "")).as_deref(), Some("bob"));
            assert_eq!(come_by(&policy, 0, Some("alice"), &strange), None);
            assert_eq!(come_by(&policy, 0, Some("alice"), "correct horse").is_some(), has_users);
            assert!(!is_let_in(&policy, Some("alice"), Some("wrong")) && !is_let_in(&policy, Some("bob"), None));
            assert_eq!(is_let_in(&policy, None, None), are_nameless_in, "{anonymous:?}");
        }
    }
}

#[test]
fn a_token_is_bound_by_all_that_is_said_of_tokens() {
    let scratch = Scratch::new();
    let plain = Auth { token_keys: written(&scratch, "keys", secret_key().as_bytes()), ..Auth::default() };
    let named = |name: &str| Some(name.into());
    for (auth, good, bad) in [
        (Auth { token_issuer: named("i"), ..plain.clone() }, r#","iss":"i""#, r#","iss":"j""#),
        (Auth { token_audience: vec!["a".into()], ..plain.clone() }, r#","aud":["a"]"#, r#","aud":"b""#),
        (Auth { token_client_id_claim: named("cid"), ..plain.clone() }, r#","cid":"c""#, r#","cid":"d""#),
        (Auth { token_groups_claim: named("g"), ..plain.clone() }, r#","g":["staff"]"#, r#","g":"staff""#),
        (Auth { token_leeway_s: 0, ..plain.clone() }, "", &format!(r#","nbf":{}"#, NOW + 1)),
    ] {
        let policy = policy(&auth).unwrap();
        let password = [good, bad].map(|more| token_of("bob", more));
        let who = password.each_ref().map(|password| judged(&policy, &credentials(None, Some(password.as_bytes()))));
        let [Some(bob), None] = who else { panic!("{auth:?}: {who:?}") };
        let groups: Vec<&str> = bob.groups.iter().map(|group| &**group).collect();
        assert_eq!(groups.is_empty(), auth.token_groups_claim.is_none());
        assert_eq!(bob.expires_at, Some(NOW + 60 + auth.token_leeway_s));
    }
    let by_name = policy(&Auth { token_carrier: Carrier::UserName, ..plain.clone() }).unwrap();
    assert!(is_let_in(&by_name, Some(&token_of("bob", "")), None));
    assert!(!is_let_in(&by_name, None, Some(&token_of("bob", ""))));
    let equal = policy(&Auth { token_user: UserName::Equal, ..plain.clone() }).unwrap();
    let bobs = token_of("bob", "");
    for (name, is_welcome) in [(Some("bob"), true), (Some("alice"), false), (None, false)] {
        assert_eq!(is_let_in(&equal, name, Some(&bobs)), is_welcome, "{name:?}");
        assert!(is_let_in(&policy(&plain).unwrap(), name, Some(&bobs)), "without the key the name says nothing");
    }
    let named = policy(&Auth { token_user_claim: "name".into(), ..plain.clone() }).unwrap();
    assert_eq!(come_by(&named, 0, None, &token_of("bob", r#","name":"Bob""#)).as_deref(), Some("Bob"));
    let endless = token(r#"{"sub":"bob"}"#);
    assert!(!is_let_in(&policy(&plain).unwrap(), None, Some(&endless)));
    assert!(is_let_in(&policy(&Auth { token_needs_expiry: false, ..plain }).unwrap(), None, Some(&endless)));
}

#[test]
fn listeners_with_chains_of_their_own_ask_for_tokens_if_they_say_so() {
    let scratch = Scratch::new();
    let auth = Auth {
        token_keys: written(&scratch, "keys", secret_key().as_bytes()),
        password_file: written(&scratch, "users", USERS.as_bytes()),
        ..Auth::default()
    };
    let listener = |chain: &[Proof], user_from| Listener {
        address: ListenAddress::Unix("/run/x".into()),
        chain: chain.to_vec(),
        user_from,
        ..Listener::new("a")
    };
    let named = vec![
        listener(&[Proof::Token], UserFrom::None),
        listener(&[Proof::Password], UserFrom::None),
        listener(&[], UserFrom::CommonName),
    ];
    let policy = Reader::new(&auth, &Listeners { named, ..Listeners::default() }).read().unwrap();
    let first = u16::try_from(Listeners::default().tcp.len()).unwrap();
    for (number, are_tokens_taken, are_passwords_taken) in [(0, true, false), (1, false, true), (2, true, true)] {
        let come = |user, password: &str| come_by(&policy, first + number, Some(user), password).is_some();
        assert_eq!(come("bob", &token_of("bob", "")), are_tokens_taken, "{number}");
        assert_eq!(come("alice", "correct horse"), are_passwords_taken, "{number}");
    }
}

#[test]
fn other_keys_judge_new_tokens_and_whoever_is_in_stays() {
    let scratch = Scratch::new();
    let token_keys = written(&scratch, "keys", secret_key().as_bytes());
    let mut reader = Reader::new(&Auth { token_keys, ..Auth::default() }, &Listeners::default());
    assert_eq!(reader.files(), [scratch.path().join("keys")]);
    let password = token_of("bob", "");
    let bob = judged(&reader.read().unwrap(), &credentials(None, Some(password.as_bytes()))).unwrap();
    written(&scratch, "keys", format!(r#"{{"kty":"oct","k":"{}"}}"#, part([7; 32])).as_bytes());
    let policy = reader.read().unwrap();
    let renewed = token_by(&[7; 32], r#"{"alg":"HS256"}"#, &format!(r#"{{"sub":"bob","exp":{}}}"#, NOW + 60));
    assert!(!is_let_in(&policy, None, Some(&password)) && is_let_in(&policy, None, Some(&renewed)));
    assert!(policy.welcomes(&bob, 0, ClientId::Text("c")));
    written(&scratch, "keys", b"{");
    assert!(reader.read().is_err());
}

#[test]
fn rules_bind_whoever_was_let_in() {
    let scratch = Scratch::new();
    let acl_file = written(&scratch, "rules", b"user alice\ntopic write a/#\n");
    let own = "[[rule]]\neffect = 'allow'\nwho = { user = 'alice' }\nactions = 'publish'\ntopics = 'a/#'\n";
    let rules_file = written(&scratch, "rules.toml", own.as_bytes());
    for auth in [Auth { acl_file, ..Auth::default() }, Auth { rules_file, ..Auth::default() }] {
        let policy = policy(&auth).unwrap();
        let may = |user, topic| {
            let action = Action::Publish { topic, qos: QoS::AtMostOnce, retain: false };
            policy.decide(&Identity::user(user, "password"), ClientId::Text("c"), action) == Decision::Allow
        };
        assert!(may("alice", "a/b") && !may("alice", "b") && !may("bob", "a/b"), "{auth:?}");
    }
}

#[test]
fn everything_that_is_wrong_with_the_files_is_told_at_once() {
    let scratch = Scratch::new();
    let auth = Auth {
        password_file: written(&scratch, "users", b"alice\n"),
        token_keys: written(&scratch, "keys", b"{}"),
        rules_file: written(&scratch, "rules.toml", b"[[rule]]\nefect = 1\n[[rule]]\neffect = 'alow'\n"),
        ..Auth::default()
    };
    let told: Vec<String> = complaints(&auth).iter().map(ToString::to_string).collect();
    assert_eq!(told.len(), 4, "{told:?}");
    for (told, what) in told.iter().zip([
        "users: line 1: ",
        "keys: it is neither",
        "rules.toml:2:1: there is no key",
        "rules.toml:4:10: `alow`",
    ]) {
        assert!(told.contains(what), "{told}");
    }
    assert!(complaints(&Auth::default()).is_empty());
}

#[test]
fn threat_7_a_file_that_is_too_long_is_refused_and_not_cut() {
    let scratch = Scratch::new();
    let path = written(&scratch, "rules", b"topic a\n");
    File::options().write(true).open(&path).unwrap().set_len(FILE_BYTES_MAX as u64 + 1).unwrap();
    let error = policy(&Auth { acl_file: path, ..Auth::default() }).expect_err("it is too long");
    assert!(matches!(error, PolicyError::Unreadable { .. }), "{error}");
    let token_keys = written(&scratch, "keys", &[secret_key().into_bytes(), vec![b' '; KEYS_BYTES_MAX]].concat());
    let error = policy(&Auth { token_keys, ..Auth::default() }).expect_err("keys are shorter");
    assert!(matches!(error, PolicyError::Unreadable { .. }), "{error}");
}

#[test]
fn threat_7_a_file_that_says_nothing_or_something_wrong_makes_no_policy_and_is_named() {
    type Case<'a> = (fn(PathBuf) -> Auth, &'a [u8], &'a str);
    let scratch = Scratch::new();
    let users = |path| Auth { password_file: path, ..Auth::default() };
    let mosquittos = |path| Auth { acl_file: path, ..Auth::default() };
    let own = |path| Auth { rules_file: path, ..Auth::default() };
    let keys = |path| Auth { token_keys: path, ..Auth::default() };
    for auth in [users, mosquittos, own, keys] {
        let error = policy(&auth(scratch.path().join("missing"))).expect_err("there is no such file").to_string();
        assert!(error.contains("missing: No such file"), "{error}");
    }
    let wrong: [Case<'_>; 11] = [
        (users, b"", "file: it has no user"),
        (users, b"alice\n", "file: line 1: "),
        (mosquittos, b"", "file: there is no rule in it"),
        (mosquittos, b"topic a\nuse alice\n", "file: line 2: `use` is no word"),
        (mosquittos, b"topic \xff\n", "file: this is not UTF-8"),
        (own, b"", "file:1:1: there is no rule in it"),
        (own, b"[[rule]]\neffect = 'alow'\n", "file:2:10: `alow`"),
        (own, b"\xff\n", "file: this is not UTF-8"),
        (keys, b"", "file: it is neither a JSON Web Key Set nor PEM"),
        (keys, b"{\"keys\":[]}", "file: it has no key"),
        (keys, b"{\"kty\":\"oct\",\"k\":\"AAAA\"}", "file: key 1: a secret has 3 bytes"),
    ];
    for (auth, text, what) in wrong {
        let error = policy(&auth(written(&scratch, "file", text))).expect_err(what).to_string();
        assert!(error.contains(what), "{error}");
    }
}

#[test]
fn threat_7_rules_that_are_to_say_where_they_end_are_none_where_they_do_not() {
    let scratch = Scratch::new();
    let read = |acl_end, text: &str| {
        let acl_file = written(&scratch, "rules", text.as_bytes());
        policy(&Auth { acl_file, acl_end, ..Auth::default() }).map(drop).map_err(|error| error.to_string())
    };
    let cut = "topic a/#\n"; // the line behind it denied something
    assert_eq!(read(false, cut), Ok(()), "nobody could know");
    let error = read(true, cut).expect_err("it does not say that it is whole");
    assert!(error.contains("rules: the last line is not `# end`"), "{error}");
    let error = read(true, "topic a/#\n# end\ntopic deny a/b\n").expect_err("it ends before its end");
    assert!(error.contains("rules: line 2: "), "{error}");
    assert_eq!(read(true, "topic a/#\ntopic deny a/b\n# end\n"), Ok(()));
    // Our own rules say by themselves whether they are whole.
    let own = "[[rule]]\neffect = 'allow'\nactions = 'publish'\ntopics = 'a/#'\n";
    let rules_file = written(&scratch, "rules.toml", own.as_bytes());
    assert!(policy(&Auth { rules_file, acl_end: true, ..Auth::default() }).is_ok());
}

#[test]
fn threat_7_only_rules_that_their_writer_is_done_with_give_at_once_what_they_give() {
    let scratch = Scratch::new();
    let [acl_file, beside] = ["rules", "beside"].map(|name| written(&scratch, name, b"topic a\n"));
    let mut reader = Reader::new(&Auth { acl_file: acl_file.clone(), ..Auth::default() }, &Listeners::default());
    let mut read = |occasion| reader.read_anew(occasion).map(|(_, taken)| taken).ok();
    let (all, part) = (Some(Taken::All), Some(Taken::WhatItTakes));
    let write = |path: &PathBuf, text: &str| fs::write(path, text).unwrap();
    assert_eq!(read(Occasion::Seen), all, "nothing was in force");
    write(&acl_file, "topic b\n");
    assert_eq!([Occasion::Seen, Occasion::Seen, Occasion::Asked].map(&mut read), [part, part, all]);
    write(&acl_file, "topic b\n");
    assert_eq!(read(Occasion::Seen), all, "it says what it said");
    // Whoever changes the mode of the file in force may go on writing into it.
    write(&acl_file, "topic c\n");
    touch_up(&acl_file);
    assert_eq!([Occasion::Seen, Occasion::Asked].map(&mut read), [part, all]);
    write(&beside, "topic d\n");
    touch_up(&beside);
    fs::rename(&beside, &acl_file).unwrap();
    assert_eq!(read(Occasion::Seen), all, "what is put in its place was written before");
    // What is made there is another file as well, and has just begun.
    fs::rename(&acl_file, &beside).unwrap();
    assert_eq!(read(Occasion::Seen), None);
    write(&acl_file, "topic e\n");
    assert_eq!([Occasion::Seen, Occasion::Asked].map(&mut read), [part, all]);
}

/// Changes its mode, until the kernel's clock has moved on since something was written into it.
fn touch_up(path: &Path) {
    let mode = || Permissions::from_mode(0o600);
    while !read_placed(path, FILE_BYTES_MAX).unwrap().is_done {
        fs::set_permissions(path, mode()).unwrap();
    }
}

/// Who is to find the answer, where it is put off.
fn helper(policy: &Policy, credentials: &Credentials<'_>) -> Option<Helper> {
    match policy.authenticate(credentials) {
        Outcome::Later(link) => Some(link.helper()),
        Outcome::Allow(_) | Outcome::Deny(_) => None,
    }
}

#[test]
fn what_a_web_server_says_is_found_by_somebody_who_does_not_hash() {
    let scratch = Scratch::new();
    let hook_url = Some("http://127.0.0.1:1/who".into());
    let password_file = written(&scratch, "users", USERS.as_bytes());
    let (alice, wrong) = (credentials(Some("alice"), Some(b"x")), credentials(None, None));
    for password_file in [PathBuf::new(), password_file.clone()] {
        let hook = policy(&Auth { hook_url: hook_url.clone(), password_file, ..Auth::default() }).unwrap();
        assert_eq!((helper(&hook, &alice), helper(&hook, &wrong)), (Some(Helper::Courier), Some(Helper::Courier)));
    }
    let passwords = policy(&Auth { password_file: password_file.clone(), ..Auth::default() }).unwrap();
    assert_eq!(helper(&passwords, &alice), Some(Helper::Clerk));
    // A listener may ask nobody, whatever others do.
    let mut listener = Listener::new("own");
    (listener.address, listener.chain) = (ListenAddress::Unix("/run/own".into()), vec![Proof::Password]);
    let auth = Auth { password_file, hook_url, ..Auth::default() };
    let listeners = Listeners { tcp: Vec::new(), named: vec![listener], ..Listeners::default() };
    let own = Reader::new(&auth, &listeners).read().unwrap();
    assert_eq!(helper(&own, &alice), Some(Helper::Clerk));
}

#[test]
fn threat_7_before_keys_were_fetched_no_token_is_taken_and_all_else_is_judged() {
    let scratch = Scratch::new();
    let password_file = written(&scratch, "users", USERS.as_bytes());
    let token_keys_url = Some("http://127.0.0.1:1/keys".into());
    let auth = Auth { password_file, token_keys_url, ..Auth::default() };
    let plain = policy(&auth).unwrap();
    let token = token_of("bob", "");
    let given = credentials(Some("x"), Some(token.as_bytes()));
    assert_eq!(helper(&plain, &given), Some(Helper::Fetcher));
    assert_eq!(judged(&plain, &given), None);
    let Outcome::Later(link) = plain.authenticate(&given) else { panic!("it waits for keys") };
    assert!(matches!(plain.work(link, &given), Verdict::Deny(Reason::ServerUnavailable)));
    assert!(is_let_in(&plain, Some("alice"), Some("correct horse")) && !is_let_in(&plain, Some("alice"), Some("x")));
    // Keys of a file do not wait for those of a server.
    let both = policy(&Auth { token_keys: written(&scratch, "keys", secret_key().as_bytes()), ..auth }).unwrap();
    assert_eq!(come_by(&both, 0, Some("x"), &token).as_deref(), Some("bob"));
}

#[test]
fn threat_7_without_an_answer_of_a_hook_files_alone_allow_nothing() {
    let hook_rules_url = Some("http://127.0.0.1:1/may".into());
    let policy = policy(&Auth { hook_rules_url, ..Auth::default() }).unwrap();
    let decide = |action| policy.decide(&Identity::anonymous(), ClientId::Text("c"), action);
    let (qos, retain) = (QoS::AtMostOnce, false);
    assert_eq!(decide(Action::Connect), Decision::Later);
    assert_eq!(decide(Action::Publish { topic: "a", qos, retain }), Decision::Later);
    assert_eq!(
        decide(Action::Publish { topic: "$SYS/a", qos, retain }),
        Decision::Deny,
        "what files deny is not asked"
    );
    assert_eq!(decide(Action::Receive { topic: "a" }), Decision::Allow, "the way of a message does not wait");
}
