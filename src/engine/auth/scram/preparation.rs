//! `SASLprep`, RFC 4013: names and passwords that look the same become the same bytes.

use std::borrow::Cow;

/// A name or a password as it is compared; none where it has characters that may not be there, or nothing is left of it.
pub fn prepared(text: &str) -> Option<Cow<'_, str>> {
    stringprep::saslprep(text).ok().filter(|text| !text.is_empty())
}

/// Whether preparation leaves it as it is.
pub fn is_prepared(text: &str) -> bool {
    prepared(text).is_some_and(|prepared| prepared == text)
}

/// The bytes of a password that keys are made of. One that cannot be prepared counts as it came: no key of ours was made of such a one, and
/// a refusal takes as long as any other.
pub(super) fn key_bytes(password: &[u8]) -> Cow<'_, [u8]> {
    match str::from_utf8(password).ok().and_then(prepared) {
        Some(Cow::Borrowed(text)) => Cow::Borrowed(text.as_bytes()),
        Some(Cow::Owned(text)) => Cow::Owned(text.into_bytes()),
        None => Cow::Borrowed(password),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_examples_of_the_standard_become_what_it_says() {
        for (text, expected) in [
            ("I\u{AD}X", Some("IX")),
            ("user", Some("user")),
            ("USER", Some("USER")),
            ("\u{AA}", Some("a")),
            ("\u{2168}", Some("IX")),
            ("\u{7}", None),
            ("\u{627}\u{31}", None),
        ] {
            assert_eq!(prepared(text).as_deref(), expected, "{text:?}");
        }
    }

    #[test]
    fn what_looks_the_same_is_the_same() {
        assert_eq!(prepared("n\u{303}u").as_deref(), Some("\u{F1}u"));
        assert_eq!(prepared("a\u{A0}b").as_deref(), Some("a b"));
        assert!(is_prepared("\u{F1}u") && is_prepared("a b#+/%,="));
        assert!(!is_prepared("n\u{303}u") && !is_prepared("I\u{AD}X") && !is_prepared("a\0"));
    }

    #[test]
    fn nothing_is_no_name() {
        assert_eq!(prepared(""), None);
        assert_eq!(prepared("\u{AD}"), None);
    }

    #[test]
    fn a_password_that_cannot_be_prepared_counts_as_it_came() {
        assert_eq!(*key_bytes("I\u{AD}X".as_bytes()), *b"IX");
        for bytes in [&b"\xff\xfe"[..], b"a\x07", b""] {
            assert_eq!(*key_bytes(bytes), *bytes);
        }
    }
}
