//! The name of a user, as a password file can hold it.

use core::fmt;

/// The longest name that a CONNECT can carry, in bytes.
const NAME_BYTES_MAX: usize = u16::MAX as usize;

/// A name that a line can begin with and be read again as it was.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Name<'a>(&'a str);

/// Why a text cannot be the name of a user.
#[derive(thiserror::Error, Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the message of each variant is its documentation")]
pub enum NameFault {
    #[error("the name is empty")]
    Empty,
    #[error("the name has {bytes} bytes, and MQTT allows {NAME_BYTES_MAX}")]
    TooLong { bytes: usize },
    #[error("the name has a colon in it")]
    Colon,
    #[error("the name begins with #, as comments do")]
    Comment,
    #[error("the name begins or ends with a blank")]
    Blank,
    #[error("the name has a control character in it")]
    Control,
}

impl<'a> Name<'a> {
    /// Checks a name.
    pub fn parse(text: &'a str) -> Result<Self, NameFault> {
        match text.len() {
            0 => return Err(NameFault::Empty),
            bytes if bytes > NAME_BYTES_MAX => return Err(NameFault::TooLong { bytes }),
            _fits => {}
        }
        if text.chars().any(char::is_control) {
            return Err(NameFault::Control);
        }
        if text.trim_ascii() != text {
            return Err(NameFault::Blank);
        }
        if text.starts_with('#') {
            return Err(NameFault::Comment);
        }
        if text.contains(':') {
            return Err(NameFault::Colon);
        }
        Ok(Self(text))
    }

    /// The text.
    pub const fn as_str(self) -> &'a str {
        self.0
    }
}

impl fmt::Display for Name<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_what_a_line_can_begin_with() {
        for name in ["alice", "a b", "ñandú", "a#", "$SYS", "+", "a/b%c"] {
            assert_eq!(Name::parse(name).unwrap().as_str(), name);
        }
        let longest = "n".repeat(NAME_BYTES_MAX);
        assert!(Name::parse(&longest).is_ok());
    }

    #[test]
    fn threat_6_a_name_that_would_be_read_as_something_else_is_refused() {
        for (name, fault) in [
            ("", NameFault::Empty),
            ("a:b", NameFault::Colon),
            (":", NameFault::Colon),
            ("#a", NameFault::Comment),
            (" a", NameFault::Blank),
            ("a ", NameFault::Blank),
            ("a\nb", NameFault::Control),
            ("a\r", NameFault::Control),
            ("a\0", NameFault::Control),
            ("\u{85}", NameFault::Control),
        ] {
            assert_eq!(Name::parse(name), Err(fault), "{name:?}");
        }
        let long = "n".repeat(NAME_BYTES_MAX + 1);
        assert_eq!(Name::parse(&long), Err(NameFault::TooLong { bytes: NAME_BYTES_MAX + 1 }));
    }
}
