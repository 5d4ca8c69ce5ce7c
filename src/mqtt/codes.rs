//! The list of reason codes in SUBACK and UNSUBACK: one byte for each filter of the request, in its order.

use super::error::DecodeError;
use super::fields::parse_reason;
use super::reason::Reason;
use super::version::PacketType;

/// A borrowed list. Each byte of it is a [`Reason`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Codes<'a>(&'a [u8]);

impl<'a> Codes<'a> {
    /// The list that UNSUBACK has in 3.x.
    pub const NONE: Self = Self(&[]);

    /// Takes bytes from outside.
    ///
    /// # Errors
    /// An empty list, a code that this type of packet does not have.
    pub fn parse(packet: PacketType, bytes: &'a [u8]) -> Result<Self, DecodeError> {
        if bytes.is_empty() {
            return Err(DecodeError::EntriesMissing { packet });
        }
        for &code in bytes {
            parse_reason(code, packet)?;
        }
        Ok(Self(bytes))
    }

    /// The reasons in the order of the request's filters.
    pub fn iter(self) -> impl ExactSizeIterator<Item = Reason> + 'a {
        self.0.iter().map(|&code| Reason::from_code(code).expect("each byte of a list is a reason"))
    }

    /// The list as it stands in 5.0.
    pub fn bytes(self) -> &'a [u8] {
        self.0
    }

    /// Number of filters answered.
    pub fn len(self) -> usize {
        self.0.len()
    }

    /// Whether it is the list of a 3.x UNSUBACK.
    pub fn is_empty(self) -> bool {
        self.0.is_empty()
    }
}

/// Collects the answers to a request, filter by filter. Reused: `clear` keeps the memory.
#[derive(Clone, Debug, Default)]
pub struct CodeBuffer(Vec<u8>);

impl CodeBuffer {
    /// Answers the next filter.
    pub fn push(&mut self, reason: Reason) {
        self.0.push(reason.code());
    }

    /// Forgets all answers.
    pub fn clear(&mut self) {
        self.0.clear();
    }

    /// The answers so far.
    pub fn as_codes(&self) -> Codes<'_> {
        Codes(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_pushed_comes_back_in_order() {
        let mut codes = CodeBuffer::default();
        codes.push(Reason::GrantedQoS1);
        codes.push(Reason::NotAuthorized);
        let reasons: Vec<Reason> = codes.as_codes().iter().collect();
        assert_eq!(reasons, [Reason::GrantedQoS1, Reason::NotAuthorized]);
        assert_eq!((codes.as_codes().len(), codes.as_codes().bytes()), (2, &[0x01, 0x87][..]));
        codes.clear();
        assert!(codes.as_codes().is_empty());
    }

    #[test]
    fn a_list_from_outside_is_neither_empty_nor_foreign() {
        let suback = PacketType::SubAck;
        assert_eq!(Codes::parse(suback, &[]), Err(DecodeError::EntriesMissing { packet: suback }));
        let foreign = Codes::parse(suback, &[0x00, 0x11]);
        assert_eq!(foreign, Err(DecodeError::ReasonInvalid { packet: suback, code: 0x11 }));
        assert!(Codes::parse(PacketType::UnsubAck, &[0x00, 0x11]).is_ok());
        assert!(Codes::parse(suback, &[0x05]).is_err());
    }
}
