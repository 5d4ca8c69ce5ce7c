//! Who comes in, who does not, and what each of them costs.

use std::cell::RefCell;

use super::*;
use crate::engine::auth::exchange::Step;
use crate::engine::auth::passwords::fault::LineFault;
use crate::engine::auth::passwords::name::Name;
use crate::engine::auth::passwords::text::{put, take};
use crate::engine::auth::policy::{Anonymous, Open, Outcome, Policy};
use crate::mqtt::version::Version;

/// The passwords are the names backwards. Each hash costs something else.
const FILE: &str = "\
alice:$6$AAECAwQFBgcICQoL$G+oy+J7BZQzeKUuCBfOUDXDC8N99Gqcne+O7SGCTUASTTFQtAjC86PoHd5ucZvnv8OqMKI34JR4YRRbwzIiLgw==
bob:$7$101$AAECAwQFBgcICQoL$aJUqlMaDrPUaPSPIQhUXLiz3Qn8pC+DrMu7IlMXL8m54TTnkkCbJzu73YgUB6bcZn5Dob67lgGxRnAno57HOJA==
carol:$argon2id$v=19$m=1024,t=3,p=1$AAECAwQFBgcICQoL$3c8692SzkehKVncfiKxKNQ
";

/// The user of RFC 7677, whose password is `pencil`.
const SCRAM: &str = "user:$scram-sha-256$4096$W22ZaJ0SNY7soEsUEjb6gQ==$WG5d8oPm3OtcPnkdi4Uo7BkeZkBFzpcXkuLmtbsT4qY=$\
    wfPLwcE6nTWhTAmQ7tl2KeoiWGPlZqQxSrmfPwDl2dU=\n";

fn passwords() -> Passwords {
    Passwords::parse(FILE.as_bytes(), &[9; SECRET_BYTES]).unwrap()
}

fn credentials<'a>(user_name: Option<&'a str>, password: Option<&'a str>) -> Credentials<'a> {
    Credentials {
        client_id: "c1",
        user_name,
        password: password.map(str::as_bytes),
        peer: ([127, 0, 0, 1], 1883).into(),
        listener: 0,
        version: Version::V5,
        now_unix_s: 0,
        certificate: None,
    }
}

fn given<'a>(user_name: &'a str, password: &'a str) -> Credentials<'a> {
    credentials(Some(user_name), Some(password))
}

/// A verdict as text.
fn said(verdict: &Verdict) -> String {
    match verdict {
        Verdict::Allow(identity) => format!("{} by {}", identity.user.as_deref().unwrap_or("nobody"), identity.method),
        Verdict::Deny(reason) => reason.name().to_owned(),
        Verdict::Abstain => "abstain".into(),
        Verdict::Later => "later".into(),
    }
}

#[test]
fn users_of_each_kind_of_hash_come_in_with_their_password_alone() {
    let passwords = passwords();
    assert_eq!(passwords.users_count(), 3);
    for (name, password) in [("alice", "ecila"), ("bob", "bob"), ("carol", "lorac")] {
        for wrong in ["", "x", "ecila ", "BOB"] {
            assert_eq!(said(&passwords.authenticate(&given(name, wrong))), "later");
            assert_eq!(said(&passwords.work(&given(name, wrong))), "bad_user_name_or_password", "{name} {wrong}");
        }
        assert_eq!(said(&passwords.authenticate(&given(name, password))), "later");
        assert_eq!(said(&passwords.work(&given(name, password))), format!("{name} by password"));
    }
}

#[test]
fn a_user_of_scram_comes_in_with_the_password_itself_as_well() {
    let passwords = Passwords::parse(format!("{FILE}{SCRAM}").as_bytes(), &[9; SECRET_BYTES]).unwrap();
    assert_eq!(said(&passwords.authenticate(&given("user", "pencil"))), "later");
    assert_eq!(said(&passwords.work(&given("user", "pencil"))), "user by password");
    assert_eq!(said(&passwords.authenticate(&given("user", "pencil"))), "user by password", "it was proven");
    assert_eq!(said(&passwords.work(&given("user", "Pencil"))), "bad_user_name_or_password");
}

#[test]
fn only_users_of_scram_take_part_in_an_exchange() {
    assert!(passwords().exchange("SCRAM-SHA-256").is_none(), "nobody could");
    let passwords = Passwords::parse(format!("{FILE}{SCRAM}").as_bytes(), &[9; SECRET_BYTES]).unwrap();
    assert!(passwords.exchange("SCRAM-SHA-1").is_none());
    let mut exchange = passwords.exchange("SCRAM-SHA-256").unwrap();
    let Step::Continue(question) = exchange.step(Some(b"n,,n=user,r=abc")) else { panic!("the user is asked") };
    assert!(question.ends_with(b",s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096"), "{}", question.escape_ascii());
    let mut exchange = passwords.exchange("SCRAM-SHA-256").unwrap();
    let Step::Continue(question) = exchange.step(Some(b"n,,n=bob,r=abc")) else { panic!("strangers are asked") };
    assert!(question.ends_with(b",i=4096") && !question.windows(6).any(|part| part == b"W22ZaJ"));
}

#[test]
fn a_stranger_is_treated_as_a_user_with_a_wrong_password() {
    let passwords = passwords();
    for name in ["dora", "Alice", "alice ", ""] {
        for password in ["ecila", "lorac", ""] {
            assert_eq!(said(&passwords.authenticate(&given(name, password))), "later");
            assert_eq!(said(&passwords.work(&given(name, password))), "bad_user_name_or_password", "{name}");
        }
    }
}

#[test]
fn threat_4_each_attempt_costs_one_hash_that_some_user_has() {
    let passwords = passwords();
    let steps = |name: &str, is_right: bool| {
        let steps = RefCell::new(Vec::new());
        let answer = passwords.is_right(name, |hash| {
            steps.borrow_mut().push(hash.steps());
            is_right
        });
        assert_eq!(answer, is_right && passwords.users.contains_key(name), "what the decoy says does not count");
        steps.into_inner()
    };
    for is_right in [false, true] {
        assert_eq!(steps("alice", is_right), [1], "a user's own hash alone");
        assert_eq!(steps("bob", is_right), [101]);
        assert_eq!(steps("carol", is_right), [3072]);
    }
    let mut seen = [0; 3];
    for number in 0..300 {
        let name = format!("dora{number}");
        let cost = steps(&name, false);
        assert_eq!(steps(&name, true), cost, "always the same");
        seen[[1, 101, 3072].iter().position(|steps| cost == [*steps]).expect("the cost of a user")] += 1;
    }
    assert!(seen.iter().all(|count| *count > 60), "{seen:?}");
}

#[test]
fn what_was_proven_is_known_at_once_and_only_that() {
    let passwords = passwords();
    assert_eq!(said(&passwords.work(&given("carol", "lorac"))), "carol by password");
    assert_eq!(said(&passwords.authenticate(&given("carol", "lorac"))), "carol by password");
    for other in [given("carol", "lora"), given("alice", "ecila"), given("alice", "lorac"), given("dora", "lorac")] {
        assert_eq!(said(&passwords.authenticate(&other)), "later", "{other:?}");
    }
    assert_eq!(said(&passwords.work(&given("carol", "lora"))), "bad_user_name_or_password");
    assert_eq!(
        said(&passwords.authenticate(&given("carol", "lorac"))),
        "carol by password",
        "a failure erases nothing"
    );
}

#[test]
fn what_waited_meanwhile_is_not_hashed_again() {
    let mut passwords = passwords();
    assert_eq!(said(&passwords.work(&given("carol", "lorac"))), "carol by password");
    let alice = Hash::clone(&passwords.users["alice"].hash);
    passwords.users.get_mut("carol").unwrap().hash = alice; // no password of hers fits any more
    assert_eq!(said(&passwords.work(&given("carol", "lorac"))), "carol by password");
}

#[test]
fn a_failure_is_never_remembered() {
    let passwords = passwords();
    for _ in 0..2 {
        assert_eq!(said(&passwords.authenticate(&given("bob", "x"))), "later");
        assert_eq!(said(&passwords.work(&given("bob", "x"))), "bad_user_name_or_password");
    }
}

#[test]
fn threat_5_a_changed_file_knows_nothing_that_was_proven_to_the_old_one() {
    let old = passwords();
    assert_eq!(said(&old.work(&given("bob", "bob"))), "bob by password");
    let alice = Hash::clone(&old.users["alice"].hash);
    let (text, _) = put(FILE.as_bytes(), Name::parse("bob").unwrap(), &alice).unwrap();
    let new = Passwords::parse(&text, &[9; SECRET_BYTES]).unwrap();
    assert_eq!(said(&new.authenticate(&given("bob", "bob"))), "later");
    assert_eq!(said(&new.work(&given("bob", "bob"))), "bad_user_name_or_password");
    assert_eq!(said(&new.work(&given("bob", "ecila"))), "bob by password");
}

#[test]
fn threat_5_a_file_that_is_read_anew_knows_what_was_proven_to_hashes_that_have_stayed_and_nothing_else() {
    let old = passwords();
    for (name, password) in [("alice", "ecila"), ("bob", "bob"), ("carol", "lorac")] {
        assert_eq!(said(&old.work(&given(name, password))), format!("{name} by password"));
    }
    let alices = Hash::clone(&old.users["alice"].hash);
    let (text, _) = put(FILE.as_bytes(), Name::parse("bob").unwrap(), &alices).unwrap();
    let text = take(&text, Name::parse("carol").unwrap()).unwrap().unwrap();
    // A name that takes the hash of another one is somebody else.
    let (text, _) = put(&text, Name::parse("dora").unwrap(), &alices).unwrap();
    let new = Passwords::parse_after(&text, &[7; SECRET_BYTES], &old).unwrap();
    assert_eq!(said(&new.authenticate(&given("alice", "ecila"))), "alice by password", "her hash is the same");
    for (name, password) in [("bob", "bob"), ("carol", "lorac"), ("bob", "ecila"), ("dora", "ecila"), ("alice", "bob")]
    {
        assert_eq!(said(&new.authenticate(&given(name, password))), "later", "{name}: nobody has proven that");
    }
    for (name, password) in [("bob", "bob"), ("carol", "lorac"), ("alice", "bob")] {
        assert_eq!(said(&new.work(&given(name, password))), "bad_user_name_or_password", "{name}");
    }
    assert_eq!(said(&new.work(&given("bob", "ecila"))), "bob by password");
    assert_eq!(said(&new.authenticate(&given("bob", "ecila"))), "bob by password");
    // Whoever comes back with the old hash has to prove the old password again.
    let again = Passwords::parse_after(FILE.as_bytes(), &[5; SECRET_BYTES], &new).unwrap();
    assert_eq!(said(&again.authenticate(&given("alice", "ecila"))), "alice by password");
    for (name, password) in [("bob", "ecila"), ("bob", "bob"), ("carol", "lorac")] {
        assert_eq!(said(&again.authenticate(&given(name, password))), "later", "{name}");
    }
    assert_eq!(said(&again.work(&given("bob", "ecila"))), "bad_user_name_or_password");
}

#[test]
fn a_name_without_a_password_is_refused_and_no_name_is_left_to_others() {
    let passwords = passwords();
    for name in ["alice", "dora", ""] {
        let nameless = credentials(Some(name), None);
        assert_eq!(said(&passwords.authenticate(&nameless)), "bad_user_name_or_password");
        assert_eq!(said(&passwords.work(&nameless)), "bad_user_name_or_password");
    }
    assert_eq!(said(&passwords.authenticate(&credentials(None, None))), "abstain");
    assert_eq!(said(&passwords.authenticate(&credentials(None, Some("bob")))), "abstain");
}

#[test]
fn with_anonymous_behind_it_only_the_nameless_come_in_without_a_password() {
    for is_first in [true, false] {
        let mut links: Vec<Box<dyn Authenticator>> = vec![Box::new(Anonymous)];
        links.insert(usize::from(!is_first), Box::new(passwords()));
        let policy = Policy::new(links, Box::new(Open));
        let outcome = |given: &Credentials<'_>| match policy.authenticate(given) {
            Outcome::Later(link) => policy.resume(link, policy.work(link, given), given),
            outcome @ (Outcome::Allow(_) | Outcome::Deny(_)) => outcome,
        };
        let comes_in = |user_name, password| matches!(outcome(&credentials(user_name, password)), Outcome::Allow(_));
        assert!(comes_in(None, None) && comes_in(Some("bob"), Some("bob")));
        for (user_name, password) in [
            (Some("bob"), Some("x")),
            (Some("bob"), None),
            (Some("dora"), None),
            (Some("dora"), Some("x")),
            (None, Some("bob")),
        ] {
            assert!(!comes_in(user_name, password), "{user_name:?} {password:?}");
        }
    }
}

#[test]
fn threat_7_a_file_without_users_or_with_a_bad_line_is_none() {
    let fault = |text: &str| Passwords::parse(text.as_bytes(), &[9; SECRET_BYTES]).unwrap_err();
    for text in ["", "\n", "# nobody yet\n"] {
        assert_eq!(fault(text), PasswordsError::NoUser);
    }
    let text = format!("{FILE}dora");
    assert_eq!(fault(&text), PasswordsError::Line { line: 4, fault: LineFault::NoColon });
}

#[test]
fn nothing_secret_is_printed() {
    assert_eq!(format!("{:?}", passwords()), "Passwords { users: 3, .. }");
}
