//! The text of a password file: who stands where, and how one line is put in, replaced or taken out.
//!
//! ```text
//! # the house
//! alice:$argon2id$v=19$m=19456,t=2,p=1$cHJlZ29ucHJlZ29uc2FsdA$1W8Bp1M4Em493FG81AqyxPD6L2HwCIrsxfHVmle8u5E
//! ```
//! A line is a name, a colon and a hash, with or without blanks around either. A line of blanks says nothing, nor does one that begins
//! with `#`. Any other line refuses the whole text: it was cut, or is no password file. An edit leaves all other bytes as they are.

use core::ops::Range;
use std::collections::BTreeMap;

use super::fault::{LineFault, PasswordsError};
use super::hash::Hash;
use super::name::Name;
use crate::engine::auth::scram::preparation::is_prepared;

/// Bytes of a file: some 600,000 users with hashes as they are made today. A longer one is refused unread.
pub const FILE_BYTES_MAX: usize = 64 << 20;

/// A user of a file, and where it stands.
#[derive(Clone, Debug)]
pub struct Entry<'a> {
    /// Its name.
    pub name: Name<'a>,
    /// Its hash.
    pub hash: Hash,
    /// The bytes of its line, without the line's end.
    place: Range<usize>,
}

/// What became of a user that was put into a text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Put {
    /// It has a line of its own, the last one.
    Added,
    /// Its line has the new hash.
    Replaced,
}

/// Reads all users, in their order; none of an empty text.
pub fn entries(text: &[u8]) -> Result<Vec<Entry<'_>>, PasswordsError> {
    if text.len() > FILE_BYTES_MAX {
        return Err(PasswordsError::TooLong);
    }
    let mut entries = Vec::new();
    let mut lines = BTreeMap::new();
    let mut start = 0;
    for (line, whole) in (1..).zip(text.split_inclusive(|byte| *byte == b'\n')) {
        let wrong = |fault| PasswordsError::Line { line, fault };
        let content = without_end(whole);
        let place = start..start + content.len();
        start += whole.len();
        let Some((name, hash)) = user(content).map_err(wrong)? else { continue };
        if let Some(first) = lines.insert(name, line) {
            return Err(wrong(LineFault::Twice { first }));
        }
        entries.push(Entry { name, hash, place });
    }
    debug_assert_eq!(start, text.len(), "every byte belongs to a line");
    Ok(entries)
}

/// The text with this user's hash: in its line, or in one more.
pub fn put(text: &[u8], name: Name<'_>, hash: &Hash) -> Result<(Vec<u8>, Put), PasswordsError> {
    let line = format!("{name}:{hash}");
    if let Some(entry) = find(text, name)? {
        return Ok((spliced(text, entry.place, line.as_bytes()), Put::Replaced));
    }
    let mut whole = text.to_vec();
    if whole.last().is_some_and(|byte| *byte != b'\n') {
        whole.push(b'\n');
    }
    whole.extend_from_slice(line.as_bytes());
    whole.push(b'\n');
    Ok((whole, Put::Added))
}

/// The text without this user's line; nothing where it has none.
pub fn take(text: &[u8], name: Name<'_>) -> Result<Option<Vec<u8>>, PasswordsError> {
    let Some(Entry { place: Range { start, end }, .. }) = find(text, name)? else { return Ok(None) };
    let rest = &text[end..];
    let line_end = rest.iter().position(|byte| *byte == b'\n').map_or(rest.len(), |at| at + 1);
    Ok(Some(spliced(text, start..end + line_end, b"")))
}

/// The line of this user.
pub fn find<'a>(text: &'a [u8], name: Name<'_>) -> Result<Option<Entry<'a>>, PasswordsError> {
    Ok(entries(text)?.into_iter().find(|entry| entry.name == name))
}

fn spliced(text: &[u8], place: Range<usize>, new: &[u8]) -> Vec<u8> {
    [&text[..place.start], new, &text[place.end..]].concat()
}

fn without_end(line: &[u8]) -> &[u8] {
    let line = line.strip_suffix(b"\n").unwrap_or(line);
    line.strip_suffix(b"\r").unwrap_or(line)
}

/// The user of a line; none of a comment, whatever its bytes are, and of an empty line.
fn user(line: &[u8]) -> Result<Option<(Name<'_>, Hash)>, LineFault> {
    if line.starts_with(b"#") || line.trim_ascii().is_empty() {
        return Ok(None);
    }
    let Ok(line) = str::from_utf8(line) else { return Err(LineFault::NotText) };
    let (name, hash) = line.split_once(':').ok_or(LineFault::NoColon)?;
    let name = Name::parse(name.trim_ascii())?;
    let hash = Hash::parse(hash.trim_ascii())?;
    if hash.is_scram() && !is_prepared(name.as_str()) {
        return Err(LineFault::Unprepared);
    }
    Ok(Some((name, hash)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::auth::passwords::fault::HashFault;
    use crate::engine::auth::passwords::name::NameFault;

    const ALICE: &str =
        "$6$AQIDBAUGBwgJCgsM$WSTQVEm8+PRCE/Y8yIfoE9WBak2qCfuZD6u5JCK1X8kcAGEInIxo5HYhOUPhAm6zvY+lF5KHKnlzBn0Xadzgng==";
    const BOB: &str = "$argon2id$v=19$m=64,t=3,p=4$cHJlZ29ucHJlZ29uc2FsdA$BCReQG4mDMf4PmkKZI2nOA";

    const SCRAM: &str = "$scram-sha-256$4096$W22ZaJ0SNY7soEsUEjb6gQ==$WG5d8oPm3OtcPnkdi4Uo7BkeZkBFzpcXkuLmtbsT4qY=$\
        wfPLwcE6nTWhTAmQ7tl2KeoiWGPlZqQxSrmfPwDl2dU=";

    fn name(text: &str) -> Name<'_> {
        Name::parse(text).unwrap()
    }

    fn hash(text: &str) -> Hash {
        Hash::parse(text).unwrap()
    }

    fn error(text: &str) -> PasswordsError {
        entries(text.as_bytes()).unwrap_err()
    }

    #[test]
    fn users_stand_between_comments_and_empty_lines() {
        let text = format!("# users: all\n\nalice:{ALICE}\r\n \t\n  b ob \t: {BOB} \n#carol:{ALICE}\ndora:{ALICE}");
        let found = entries(text.as_bytes()).unwrap();
        let found: Vec<_> = found.iter().map(|entry| (entry.name.as_str(), entry.hash.to_string())).collect();
        assert_eq!(found, [("alice", ALICE.into()), ("b ob", BOB.into()), ("dora", ALICE.into())]);
    }

    #[test]
    fn a_comment_may_have_any_bytes() {
        let text = [b"# caf\xe9\n".as_slice(), b"alice:", ALICE.as_bytes()].concat();
        assert_eq!(entries(&text).unwrap().len(), 1);
    }

    #[test]
    fn threat_7_a_line_that_is_no_user_refuses_the_whole_text_and_is_named() {
        let long = "n".repeat(65_536);
        for (line, fault) in [
            ("alice", LineFault::NoColon),
            (ALICE, LineFault::NoColon),
            (" # a comment begins at once", LineFault::NoColon),
            ("carol:", LineFault::Hash(HashFault::Missing)),
            ("carol:  ", LineFault::Hash(HashFault::Missing)),
            ("carol:secret", LineFault::Hash(HashFault::Scheme)),
            (&format!("carol:{ALICE}:more"), LineFault::Hash(HashFault::Digest)),
            (&format!(":{ALICE}"), LineFault::Name(NameFault::Empty)),
            (&format!("  :{ALICE}"), LineFault::Name(NameFault::Empty)),
            (&format!(" #x:{ALICE}"), LineFault::Name(NameFault::Comment)),
            (&format!("a\0b:{ALICE}"), LineFault::Name(NameFault::Control)),
            (&format!("{long}:{ALICE}"), LineFault::Name(NameFault::TooLong { bytes: 65_536 })),
            (&format!("e\u{301}va:{SCRAM}"), LineFault::Unprepared),
            (&format!("alice:{BOB}"), LineFault::Twice { first: 2 }),
            (&format!(" alice :{ALICE}"), LineFault::Twice { first: 2 }),
        ] {
            let text = format!("# a good line before\nalice:{ALICE}\n{line}\nbob:{BOB}\n");
            assert_eq!(error(&text), PasswordsError::Line { line: 3, fault });
        }
        let text = [b"alice:".as_slice(), ALICE.as_bytes(), b"\nb\xffb:", BOB.as_bytes()].concat();
        assert_eq!(entries(&text).unwrap_err(), PasswordsError::Line { line: 2, fault: LineFault::NotText });
    }

    #[test]
    fn threat_7_a_text_that_was_cut_anywhere_in_its_last_line_is_refused() {
        let text = format!("alice:{ALICE}\nbob:{BOB}");
        let second = text.find("bob").unwrap();
        for end in second + 1..text.len() {
            let cut = entries(&text.as_bytes()[..end]);
            assert!(cut.is_err(), "{}", &text[..end]);
        }
        assert_eq!(entries(text.as_bytes()).unwrap().len(), 2);
    }

    #[test]
    fn an_error_says_where_and_why_and_nothing_of_the_line() {
        let said = error(&format!("\ncarol:{ALICE}secret")).to_string();
        assert!(said.starts_with("line 2: the digest is not base64 of 64 bytes"), "{said}");
        assert!(!said.contains("WSTQ") && !said.contains("secret") && !said.contains("carol"), "{said}");
    }

    #[test]
    fn threat_1_a_text_that_is_too_long_is_not_read() {
        assert_eq!(entries(&vec![b'#'; FILE_BYTES_MAX + 1]).unwrap_err(), PasswordsError::TooLong);
        assert!(entries(&vec![b'#'; FILE_BYTES_MAX]).unwrap().is_empty());
    }

    #[test]
    fn a_new_user_comes_last() {
        for (before, after) in [
            (String::new(), format!("bob:{BOB}\n")),
            ("# only this".into(), format!("# only this\nbob:{BOB}\n")),
            (format!("alice:{ALICE}\r\n\n"), format!("alice:{ALICE}\r\n\nbob:{BOB}\n")),
            (format!("bobby:{ALICE}"), format!("bobby:{ALICE}\nbob:{BOB}\n")),
        ] {
            let (text, put) = put(before.as_bytes(), name("bob"), &hash(BOB)).unwrap();
            assert_eq!((String::from_utf8(text).unwrap(), put), (after, Put::Added));
        }
    }

    #[test]
    fn a_known_user_keeps_its_place_and_all_else_its_bytes() {
        for [before, after] in [["", ""], ["# caf\u{e9}\n\n", "\n"], ["a:$6$", "\r\n \n#"]] {
            let before = before.replace("$6$", ALICE) + if before.ends_with("$6$") { "\n" } else { "" };
            let text = format!("{before} bob : {ALICE}\t{after}");
            let (text, put) = put(text.as_bytes(), name("bob"), &hash(BOB)).unwrap();
            let expected = format!("{before}bob:{BOB}{after}");
            assert_eq!((String::from_utf8(text).unwrap(), put), (expected, Put::Replaced));
        }
    }

    #[test]
    fn a_user_goes_with_its_whole_line() {
        for (before, after) in [("", ""), ("#\n", "\n"), ("", "\r\n#\n"), ("#\r\n\n", "")] {
            let text = format!("{before}bob:{BOB}{after}");
            let text = take(text.as_bytes(), name("bob")).unwrap().unwrap();
            let rest = after.strip_prefix("\r\n").or(after.strip_prefix('\n')).unwrap_or(after);
            assert_eq!(String::from_utf8(text).unwrap(), format!("{before}{rest}"));
        }
        assert_eq!(take(format!("bobby:{BOB}\n#bob:{BOB}").as_bytes(), name("bob")), Ok(None));
    }

    #[test]
    fn threat_7_a_malformed_text_is_not_edited() {
        let text = format!("alice:{ALICE}\nbob\n");
        let wrong = PasswordsError::Line { line: 2, fault: LineFault::NoColon };
        assert_eq!(put(text.as_bytes(), name("alice"), &hash(BOB)), Err(wrong));
        assert_eq!(take(text.as_bytes(), name("alice")), Err(wrong));
    }
}
