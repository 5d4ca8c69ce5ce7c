//! What the fuzz target of password files does with its bytes; `tests/corpus.rs` does the same with its corpus.

use pregon::engine::auth::passwords::SECRET_BYTES;
use pregon::engine::auth::passwords::authenticator::Passwords;
use pregon::engine::auth::passwords::fault::PasswordsError;
use pregon::engine::auth::passwords::hash::Hash;
use pregon::engine::auth::passwords::name::Name;
use pregon::engine::auth::passwords::text::{Put, entries, put, take};

/// The hash that is put in.
const HASH: &str = "$argon2id$v=19$m=64,t=3,p=4$cHJlZ29ucHJlZ29uc2FsdA$BCReQG4mDMf4PmkKZI2nOA";

/// Bytes as a password file. Every hash in it is written as it was read; a user that is put in is there, the first, the last, or a new one,
/// and gone when it is taken out; and no other line is another one then.
pub fn passwords(data: &[u8]) {
    if let Ok(text) = str::from_utf8(data)
        && let Ok(hash) = Hash::parse(text)
    {
        assert_eq!(hash.to_string(), text, "a hash is written as it was read");
    }
    let whole = Passwords::parse(data, &[7; SECRET_BYTES]);
    let found = match entries(data) {
        Ok(found) => found,
        Err(fault) => return assert_eq!(whole.err(), Some(fault), "there is no part of a file"),
    };
    match whole {
        Ok(passwords) => assert_eq!(passwords.users_count(), found.len()),
        Err(fault) => assert_eq!((fault, found.len()), (PasswordsError::NoUser, 0)),
    }
    let written = String::from_utf8_lossy(data);
    for entry in &found {
        assert!(written.contains(&entry.hash.to_string()), "a hash is written as it was read");
    }
    let new = Name::parse("somebody").expect("a name");
    for name in [found.first(), found.last()].into_iter().flatten().map(|entry| entry.name).chain([new]) {
        edit(data, name);
    }
}

fn edit(data: &[u8], name: Name<'_>) {
    let before = lines(data);
    let hash = Hash::parse(HASH).expect("a hash");
    let (with, became) = put(data, name, &hash).expect("a text that could be read can be edited");
    assert_eq!(became == Put::Replaced, before.iter().any(|(user, _)| user == name.as_str()));
    let after = lines(&with);
    assert_eq!(after.iter().filter(|line| *line == &(name.to_string(), HASH.to_string())).count(), 1);
    let others = |lines: &[(String, String)]| -> Vec<_> {
        lines.iter().filter(|(user, _)| user != name.as_str()).cloned().collect()
    };
    assert_eq!(others(&after), others(&before), "no other user is another one");

    let without = take(&with, name).expect("what was written can be read").expect("who was put in is there");
    assert_eq!(lines(&without), others(&before));
    assert_eq!(take(&without, name), Ok(None));
    if became == Put::Added {
        assert!(
            without.strip_prefix(data).is_some_and(|end| end.is_empty() || end == b"\n"),
            "all bytes are as they were"
        );
    }
}

/// All users with their hashes.
fn lines(text: &[u8]) -> Vec<(String, String)> {
    let found = entries(text).expect("a text that could be read before");
    found.iter().map(|entry| (entry.name.to_string(), entry.hash.to_string())).collect()
}
