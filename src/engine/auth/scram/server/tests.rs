//! Conversations with a client that does it right, and with some that do not.

use base64::engine::general_purpose::STANDARD;
use pbkdf2::pbkdf2_hmac;
use sha2::{Digest as _, Sha256};

use super::*;
use crate::engine::auth::exchange::Dialogue;

/// The user of RFC 7677, whose password is `pencil`.
const SALT: &str = "W22ZaJ0SNY7soEsUEjb6gQ==";

fn credential(password: &str, salt: &[u8], iterations: u32) -> Credential {
    Credential { iterations, salt: salt.into(), keys: Keys::derive(password.as_bytes(), salt, iterations) }
}

fn users() -> BTreeMap<Box<str>, Credential> {
    let salt = STANDARD.decode(SALT).unwrap();
    let user = ("user".into(), credential("pencil", &salt, 4_096));
    let comma = ("a,b=c".into(), credential("I\u{AD}X", &[7; 24], 5_000));
    BTreeMap::from([user, comma])
}

fn scram() -> Arc<Scram> {
    Arc::new(Scram::new(users(), &[9; KEY_BYTES]).unwrap())
}

/// What the broker answers, as text.
fn told(step: &Step) -> String {
    match step {
        Step::Continue(data) => String::from_utf8(data.clone()).unwrap(),
        Step::Accept { identity, data } => {
            let data = String::from_utf8(data.clone().unwrap()).unwrap();
            format!("{} by {}: {data}", identity.user.as_deref().unwrap_or("nobody"), identity.method)
        }
        Step::Deny(reason) => reason.name().to_owned(),
        Step::Later => "later".into(),
    }
}

fn attribute<'a>(message: &'a str, key: &str) -> &'a str {
    message.split(',').find_map(|attribute| attribute.strip_prefix(key)).expect(key)
}

/// The last message of a client that has said `bare` behind `header` and was asked this, and the signature that it expects.
fn last(header: &str, bare: &str, asked: &str, password: &str) -> (String, String) {
    proven(&format!("c={},r={}", STANDARD.encode(header), attribute(asked, "r=")), bare, asked, password)
}

/// The last message that says this before its proof.
fn proven(without_proof: &str, bare: &str, asked: &str, password: &str) -> (String, String) {
    let salt = STANDARD.decode(attribute(asked, "s=")).unwrap();
    let mut salted = [0; KEY_BYTES];
    pbkdf2_hmac::<Sha256>(password.as_bytes(), &salt, attribute(asked, "i=").parse().unwrap(), &mut salted);
    let client = hmac(&salted, &[b"Client Key"]);
    let whole = format!("{bare},{asked},{without_proof}");
    let mut proof = hmac(&Sha256::digest(client), &[whole.as_bytes()]);
    proof.iter_mut().zip(client).for_each(|(byte, client)| *byte ^= client);
    let signature = hmac(&hmac(&salted, &[b"Server Key"]), &[whole.as_bytes()]);
    (format!("{without_proof},p={}", STANDARD.encode(proof)), STANDARD.encode(signature))
}

/// A whole conversation; what the broker says at its end, and whether it has proven that it knows the user.
fn talk(scram: &Arc<Scram>, name: &str, password: &str) -> (String, bool) {
    let mut dialogue = Dialogue::new(METHOD, scram.exchange(METHOD).unwrap());
    let bare = format!("n={name},r=abc");
    let asked = told(&dialogue.step(Some(METHOD), Some(format!("n,,{bare}").as_bytes())));
    let (last, signature) = last("n,,", &bare, &asked, password);
    let end = told(&dialogue.step(Some(METHOD), Some(last.as_bytes())));
    assert!(dialogue.is_over());
    let is_signed = end.ends_with(&format!(": v={signature}"));
    (end, is_signed)
}

#[test]
fn the_conversation_of_the_standard_is_held_byte_by_byte() {
    let nonce = "%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0".into();
    let mut conversation = Conversation { scram: scram(), nonce, asked: None };
    let asked = conversation.step(Some(b"n,,n=user,r=rOprNGfwEbeRWgbNEkqO"));
    assert_eq!(told(&asked), "r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096");
    let end = conversation.step(Some(
        b"c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=",
    ));
    assert_eq!(told(&end), "user by scram: v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=");
}

#[test]
fn who_knows_the_password_comes_in_and_hears_that_we_know_it_too() {
    let scram = scram();
    assert!(talk(&scram, "user", "pencil").1);
    let (end, is_signed) = talk(&scram, "a=2Cb=3Dc", "IX");
    assert!(is_signed && end.starts_with("a,b=c by scram"), "{end}");
    assert!(talk(&scram, "us\u{AD}er", "pencil").0.starts_with("user by scram"), "names are prepared");
    for (name, password) in [("user", "Pencil"), ("user", ""), ("user", "IX"), ("a=2Cb=3Dc", "pencil")] {
        assert_eq!(talk(&scram, name, password), ("not_authorized".into(), false), "{name}");
    }
}

#[test]
fn a_stranger_is_asked_like_a_user_and_always_the_same_and_never_comes_in() {
    let questions = |scram: &Arc<Scram>, name: &str| {
        let first = format!("n,,n={name},r=abc");
        let asked = told(&scram.exchange(METHOD).unwrap().step(Some(first.as_bytes())));
        (attribute(&asked, "s=").to_owned(), attribute(&asked, "i=").to_owned())
    };
    let (scram, restarted) = (scram(), Arc::new(Scram::new(users(), &[10; KEY_BYTES]).unwrap()));
    let mut kinds = [0, 0];
    let mut salts = Vec::new();
    for number in 0..40 {
        let name = format!("stranger {number}");
        let (salt, iterations) = questions(&scram, &name);
        assert_eq!((salt.clone(), iterations.clone()), questions(&scram, &name));
        assert_eq!((salt.clone(), iterations.clone()), questions(&restarted, &name), "a restart changes nothing");
        let bytes = STANDARD.decode(&salt).unwrap().len();
        let kind = [("4096", 16), ("5000", 24)].iter().position(|kind| *kind == (&*iterations, bytes));
        kinds[kind.expect("some user is asked the same")] += 1;
        salts.push(salt);
    }
    assert!(kinds[0] > 5 && kinds[1] > 5, "{kinds:?}");
    salts.sort();
    salts.dedup();
    assert_eq!(salts.len(), 40, "each has a salt of its own");
    for password in ["pencil", "IX", ""] {
        assert_eq!(talk(&scram, "stranger", password), ("not_authorized".into(), false));
    }
}

#[test]
fn even_a_proof_by_the_keys_of_a_stranger_is_none() {
    let scram = scram();
    let (stranger, is_user) = scram.credential("stranger");
    assert!(!is_user);
    let mut conversation = Conversation::new(Arc::clone(&scram));
    conversation.step(Some(b"n,,n=stranger,r=abc"));
    let mut asked = conversation.asked.take().unwrap();
    // Somebody has found the password that a stranger would have.
    asked.keys = Keys::derive(b"found", &stranger.salt, 4_096);
    let (last, _) = last("n,,", "n=stranger,r=abc", &asked.server_first.replace("i=5000", "i=4096"), "found");
    asked.server_first = asked.server_first.replace("i=5000", "i=4096");
    assert_eq!(told(&asked.judge(last.as_bytes()).unwrap()), "not_authorized");
    asked.is_user = true;
    assert!(told(&asked.judge(last.as_bytes()).unwrap()).starts_with("stranger by scram"), "the proof itself is right");
}

#[test]
fn threat_6_nobody_acts_for_another_user() {
    let step = |first: &str| told(&scram().exchange(METHOD).unwrap().step(Some(first.as_bytes())));
    assert!(step("n,a=user,n=user,r=abc").starts_with("r=abc"));
    assert!(step("n,a=us\u{AD}er,n=user,r=abc").starts_with("r=abc"));
    for first in ["n,a=root,n=user,r=abc", "n,a=User,n=user,r=abc", "n,a=user,n=root,r=abc", "n,a=\u{7},n=user,r=abc"] {
        assert_eq!(step(first), "not_authorized", "{first}");
    }
}

#[test]
fn what_was_agreed_on_holds_to_the_end() {
    let scram = scram();
    let bare = "n=user,r=abc";
    let ask = || {
        let mut exchange = scram.exchange(METHOD).unwrap();
        let asked = told(&exchange.step(Some(format!("y,,{bare}").as_bytes())));
        (exchange, asked)
    };
    let (mut exchange, asked) = ask();
    let (right, _) = last("y,,", bare, &asked, "pencil");
    assert!(told(&exchange.step(Some(right.as_bytes()))).starts_with("user by scram"));
    for header in ["n,,", "y,a=user,", "p=tls-exporter,,", ""] {
        let (mut exchange, asked) = ask();
        let (other, _) = last(header, bare, &asked, "pencil");
        assert_eq!(told(&exchange.step(Some(other.as_bytes()))), "not_authorized", "{header}");
    }
    let (mut exchange, _) = ask();
    assert_eq!(told(&exchange.step(Some(right.as_bytes()))), "not_authorized", "an old answer to a new question");
    for nonce in ["abc", "abcd", "fyko+d2lbbFgONRv9qkxdawL"] {
        let (mut exchange, asked) = ask();
        let (other, _) = proven(&format!("c={},r={nonce}", STANDARD.encode("y,,")), bare, &asked, "pencil");
        assert_eq!(told(&exchange.step(Some(other.as_bytes()))), "not_authorized", "without our part: {nonce}");
    }
    let (mut exchange, asked) = ask();
    let (other, _) = last("y,,", "n=user,r=abd", &asked, "pencil");
    assert_eq!(told(&exchange.step(Some(other.as_bytes()))), "not_authorized", "another first message");
}

#[test]
fn what_is_no_message_ends_it() {
    let mut exchange = scram().exchange(METHOD).unwrap();
    assert_eq!(told(&exchange.step(None)), "protocol_error");
    let mut exchange = scram().exchange(METHOD).unwrap();
    assert!(told(&exchange.step(Some(b"n,,n=user,r=abc"))).starts_with("r=abc"));
    assert_eq!(told(&exchange.step(None)), "protocol_error");
    assert_eq!(
        told(&scram().exchange(METHOD).unwrap().step(Some("n,,n=a\u{E000},r=abc".as_bytes()))),
        "not_authorized"
    );
}

#[test]
fn no_nonce_comes_twice_and_a_secret_has_its_own() {
    let (one, other) = (scram(), Scram::new(users(), &[10; KEY_BYTES]).unwrap());
    let mut drawn: Vec<String> = (0..100).flat_map(|_| [one.nonces.draw(), other.nonces.draw()]).collect();
    assert!(drawn.iter().all(|nonce| nonce.len() == 24 && nonce.bytes().all(|byte| byte != b',')));
    drawn.sort();
    drawn.dedup();
    assert_eq!(drawn.len(), 200);
}

#[test]
fn only_this_method_is_known_and_only_where_there_are_users() {
    for method in ["", "SCRAM-SHA-1", "SCRAM-SHA-256-PLUS", "scram-sha-256", "PLAIN"] {
        assert!(scram().exchange(method).is_none(), "{method}");
    }
    assert!(Scram::new(BTreeMap::new(), &[9; KEY_BYTES]).is_none());
    assert_eq!(format!("{:?}", scram()), "Scram { users: 2, .. }");
}
