//! What the fuzz target of SCRAM does with its bytes; `tests/corpus.rs` does the same with its corpus.

use pregon::engine::auth::Authenticator as _;
use pregon::engine::auth::exchange::Step;
use pregon::engine::auth::passwords::SECRET_BYTES;
use pregon::engine::auth::passwords::authenticator::Passwords;
use pregon::engine::auth::scram::METHOD;
use pregon::engine::auth::scram::message::{ClientFinal, ClientFirst};
use pregon::engine::auth::scram::preparation::prepared;

/// The user of RFC 7677.
const FILE: &[u8] = b"user:$scram-sha-256$4096$W22ZaJ0SNY7soEsUEjb6gQ==$WG5d8oPm3OtcPnkdi4Uo7BkeZkBFzpcXkuLmtbsT4qY=$\
    wfPLwcE6nTWhTAmQ7tl2KeoiWGPlZqQxSrmfPwDl2dU=\n";

/// Bytes as a client's messages, up to the first zero the first of them, behind it the last; none of them proves anything. What is read is
/// what was written: the parts of a message are its bytes.
pub fn scram(data: &[u8]) {
    let (first, last) = data.split_at(data.iter().position(|byte| *byte == 0).unwrap_or(data.len()));
    let last = last.strip_prefix(b"\0").unwrap_or(last);
    if let Ok(said) = ClientFirst::parse(first) {
        assert_eq!([said.header, said.bare].concat().as_bytes(), first, "nothing of the message is lost");
        assert!(said.bare.contains(said.nonce) && !said.nonce.contains(',') && !said.name.is_empty());
    }
    if let Ok(said) = ClientFinal::parse(last) {
        assert!(last.starts_with(said.without_proof.as_bytes()), "what is signed is what was said");
        let start = format!("c={},r={}", said.binding, said.nonce);
        assert!(said.without_proof.starts_with(&start), "{start}");
    }
    converse(first, last);
}

fn converse(first: &[u8], last: &[u8]) {
    let passwords = Passwords::parse(FILE, &[7; SECRET_BYTES]).expect("a password file");
    let mut exchange = passwords.exchange(METHOD).expect("there is a user of the method");
    let Step::Continue(question) = exchange.step(Some(first)) else {
        return assert!(!is_asked(first), "who says it right is asked");
    };
    assert!(is_asked(first), "only who says it right is asked");
    let question = String::from_utf8(question).expect("the question is text");
    let said = ClientFirst::parse(first).expect("only a message is asked about");
    assert!(question.starts_with(&format!("r={}", said.nonce)) && question.ends_with(",i=4096"), "{question}");
    // The nonce is made right, so that what lies behind it is reached.
    let last = match ClientFinal::parse(last) {
        Ok(said) => {
            let nonce = question[2..].split(',').next().expect("a nonce");
            let right = String::from_utf8_lossy(last).replacen(&format!("r={}", said.nonce), &format!("r={nonce}"), 1);
            right.into_bytes()
        }
        Err(_no_message) => last.to_vec(),
    };
    assert!(matches!(exchange.step(Some(&last)), Step::Deny(_)), "nobody guesses a proof");
}

/// Whether a first message is one, of somebody who acts for nobody else.
fn is_asked(first: &[u8]) -> bool {
    let Ok(said) = ClientFirst::parse(first) else { return false };
    let acts_for = said.acts_for.as_deref().unwrap_or(&said.name);
    prepared(&said.name).is_some_and(|name| prepared(acts_for).is_some_and(|other| other == name))
}
