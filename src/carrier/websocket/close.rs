//! Close codes: which ones a frame may carry, and what stands in a close frame.

use super::violation::Violation;

/// A code that may stand in a close frame. RFC 6455, 7.4
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CloseCode(u16);

impl CloseCode {
    /// All that there was to say has been said.
    pub const NORMAL: Self = Self(1000);
    /// The broker stops, or the browser has left the page.
    pub const GOING_AWAY: Self = Self(1001);
    /// A frame breaks a rule.
    pub const PROTOCOL_ERROR: Self = Self(1002);
    /// A kind of data that is not taken here.
    pub const UNSUPPORTED: Self = Self(1003);
    /// Text that is no UTF-8.
    pub const NOT_UTF8: Self = Self(1007);
    /// Refused for a reason that no other code names.
    pub const POLICY: Self = Self(1008);
    /// A frame is larger than what is taken.
    pub const TOO_BIG: Self = Self(1009);
    /// A fault of the broker's own.
    pub const INTERNAL: Self = Self(1011);
    /// The broker has no room now.
    pub const TRY_AGAIN: Self = Self(1013);

    /// The code of this number. Of those below 3000 only what is registered passes, and not the three that say something about a
    /// connection without a close frame: 1005, 1006 and 1015.
    pub const fn parse(number: u16) -> Option<Self> {
        match number {
            1000..=1003 | 1007..=1014 | 3000..=4999 => Some(Self(number)),
            _ => None,
        }
    }

    /// Its number.
    pub const fn number(self) -> u16 {
        self.0
    }
}

/// What the payload of a close frame says.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Close<'a> {
    /// The code, if there is one.
    pub code: Option<CloseCode>,
    /// Words of the peer: to be escaped before they are shown.
    pub reason: &'a str,
}

impl<'a> Close<'a> {
    /// Reads an unmasked payload.
    pub fn decode(payload: &'a [u8]) -> Result<Self, Violation> {
        let Some((number, reason)) = payload.split_first_chunk() else {
            return if payload.is_empty() { Ok(Self::default()) } else { Err(Violation::CloseTruncated) };
        };
        let number = u16::from_be_bytes(*number);
        let Some(code) = CloseCode::parse(number) else {
            return Err(Violation::CloseCode { number });
        };
        match str::from_utf8(reason) {
            Ok(reason) => Ok(Self { code: Some(code), reason }),
            Err(error) => Err(Violation::CloseReason { at: error.valid_up_to() }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_codes_that_may_be_sent_are_codes() {
        let valid = |number: u32| CloseCode::parse(u16::try_from(number).unwrap()).is_some();
        let expected = |number: u32| {
            let is_named = (1000..=1014).contains(&number) && !(1004..=1006).contains(&number);
            is_named || (3000..5000).contains(&number)
        };
        for number in 0..=65_535 {
            assert_eq!(valid(number), expected(number), "{number}");
        }
    }

    #[test]
    fn a_close_frame_says_nothing_or_a_code_with_words_behind_it() {
        assert_eq!(Close::decode(b""), Ok(Close { code: None, reason: "" }));
        assert_eq!(Close::decode(b"\x03\xe8"), Ok(Close { code: Some(CloseCode::NORMAL), reason: "" }));
        assert_eq!(Close::decode(b"\x03\xe9bye"), Ok(Close { code: Some(CloseCode::GOING_AWAY), reason: "bye" }));
        assert_eq!(Close::decode(b"\x03"), Err(Violation::CloseTruncated));
        assert_eq!(Close::decode(b"\x03\xedbye"), Err(Violation::CloseCode { number: 1005 }));
        assert_eq!(Close::decode(b"\x03\xe8ab\xff"), Err(Violation::CloseReason { at: 2 }));
    }
}
