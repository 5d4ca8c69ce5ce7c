//! The elementary fields: a cursor that reads them out of borrowed bytes, and the functions that append them.

use super::error::DecodeError;
use super::varint;
use super::version::PacketId;

/// A cursor over the bytes of one packet. Everything it hands out borrows from them.
#[derive(Clone, Copy, Debug)]
pub struct Reader<'a> {
    left: &'a [u8],
}

impl<'a> Reader<'a> {
    /// A cursor at the front of these bytes.
    pub const fn new(bytes: &'a [u8]) -> Self {
        Reader { left: bytes }
    }

    /// How many bytes are left.
    pub const fn remaining(&self) -> usize {
        self.left.len()
    }

    /// Whether everything has been read.
    pub const fn is_empty(&self) -> bool {
        self.left.is_empty()
    }

    /// The next `count` bytes.
    pub fn take(&mut self, count: usize) -> Result<&'a [u8], DecodeError> {
        match self.left.split_at_checked(count) {
            Some((taken, left)) => {
                self.left = left;
                Ok(taken)
            }
            None => Err(DecodeError::Truncated { wanted: saturate(count), left: saturate(self.left.len()) }),
        }
    }

    /// All bytes that are left.
    pub const fn rest(&mut self) -> &'a [u8] {
        let rest = self.left;
        self.left = &[];
        rest
    }

    /// One byte.
    pub fn u8(&mut self) -> Result<u8, DecodeError> {
        self.array().map(|[byte]| byte)
    }

    /// A Two Byte Integer.
    pub fn u16(&mut self) -> Result<u16, DecodeError> {
        self.array().map(u16::from_be_bytes)
    }

    /// A Four Byte Integer.
    pub fn u32(&mut self) -> Result<u32, DecodeError> {
        self.array().map(u32::from_be_bytes)
    }

    /// A Variable Byte Integer in its shortest form. [MQTT-1.5.5-1]
    pub fn varint(&mut self) -> Result<u32, DecodeError> {
        let Some(varint) = varint::decode(self.left)? else {
            let left = saturate(self.left.len());
            return Err(DecodeError::Truncated { wanted: left + 1, left });
        };
        if !varint.is_shortest() {
            let len = varint.len.to_le_bytes()[0];
            return Err(DecodeError::VarintNotShortest { value: varint.value, len });
        }
        self.left = &self.left[varint.len..];
        Ok(varint.value)
    }

    /// Binary Data: a Two Byte Integer and as many bytes.
    pub fn binary(&mut self) -> Result<&'a [u8], DecodeError> {
        let len = self.u16()?;
        self.take(usize::from(len))
    }

    /// A UTF-8 Encoded String, see [`text`].
    pub fn text(&mut self) -> Result<&'a str, DecodeError> {
        text(self.binary()?)
    }

    /// A Packet Identifier. [MQTT-2.2.1-3]
    pub fn packet_id(&mut self) -> Result<PacketId, DecodeError> {
        PacketId::new(self.u16()?).ok_or(DecodeError::PacketIdZero)
    }

    /// Succeeds when nothing is left.
    pub fn finish(self) -> Result<(), DecodeError> {
        match saturate(self.left.len()) {
            0 => Ok(()),
            count => Err(DecodeError::TrailingBytes { count }),
        }
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], DecodeError> {
        match self.left.split_first_chunk::<N>() {
            Some((taken, left)) => {
                self.left = left;
                Ok(*taken)
            }
            None => Err(DecodeError::Truncated { wanted: saturate(N), left: saturate(self.left.len()) }),
        }
    }
}

/// These bytes as text: UTF-8 without surrogates [MQTT-1.5.4-1] and without U+0000 [MQTT-1.5.4-2].
///
/// Other control characters and non-characters, which the standard lets a receiver refuse, are taken and forwarded
/// unchanged: refusing them would break devices that other brokers serve. A byte order mark is an ordinary
/// character and stays [MQTT-1.5.4-3].
pub fn text(bytes: &[u8]) -> Result<&str, DecodeError> {
    let text = utf8(bytes)?;
    match bytes.iter().position(|&byte| byte == 0) {
        None => Ok(text),
        Some(at) => Err(DecodeError::TextWithNul { at: saturate(at) }),
    }
}

/// The UTF-8 half of [`text`], for callers that look for U+0000 in a pass of their own.
pub(super) fn utf8(bytes: &[u8]) -> Result<&str, DecodeError> {
    std::str::from_utf8(bytes).map_err(|error| DecodeError::TextNotUtf8 { at: saturate(error.valid_up_to()) })
}

/// Appends a Two Byte Integer.
pub fn put_u16(value: u16, out: &mut Vec<u8>) {
    out.extend_from_slice(&value.to_be_bytes());
}

/// Appends a Four Byte Integer.
pub fn put_u32(value: u32, out: &mut Vec<u8>) {
    out.extend_from_slice(&value.to_be_bytes());
}

/// Appends Binary Data. The caller has bounded it to 65,535 bytes.
pub fn put_binary(bytes: &[u8], out: &mut Vec<u8>) {
    let len = u16::try_from(bytes.len()).expect("a field has at most 65,535 bytes, its maker checked that");
    put_u16(len, out);
    out.extend_from_slice(bytes);
}

/// Appends a UTF-8 Encoded String. The caller has bounded it to 65,535 bytes.
pub fn put_text(text: &str, out: &mut Vec<u8>) {
    debug_assert!(!text.contains('\0'), "[MQTT-1.5.4-2] text that leaves has no U+0000");
    put_binary(text.as_bytes(), out);
}

/// A size for an error or a header: sizes here are bounded by the four bytes of a Remaining Length.
pub(super) fn saturate(size: usize) -> u32 {
    u32::try_from(size).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_read_in_turn_and_the_end_is_noticed() {
        let mut reader = Reader::new(&[7, 0x12, 0x34, 0xde, 0xad, 0xbe, 0xef, 0x80, 0x01, 0, 2, b'h', b'i', 0, 9]);
        assert_eq!(reader.u8(), Ok(7));
        assert_eq!(reader.u16(), Ok(0x1234));
        assert_eq!(reader.u32(), Ok(0xdead_beef));
        assert_eq!(reader.varint(), Ok(128));
        assert_eq!(reader.text(), Ok("hi"));
        assert_eq!(reader.finish(), Err(DecodeError::TrailingBytes { count: 2 }));
        assert_eq!(reader.packet_id(), Ok(PacketId::new(9).unwrap()));
        assert_eq!(reader.finish(), Ok(()));
    }

    #[test]
    fn a_field_that_does_not_fit_consumes_nothing() {
        let mut reader = Reader::new(&[0, 3, b'a', b'b']);
        assert_eq!(reader.clone().binary(), Err(DecodeError::Truncated { wanted: 3, left: 2 }));
        assert_eq!(reader.u32(), Ok(0x0003_6162));
        assert_eq!(reader.u8(), Err(DecodeError::Truncated { wanted: 1, left: 0 }));
        assert_eq!(reader.varint(), Err(DecodeError::Truncated { wanted: 1, left: 0 }));
        assert_eq!(reader.rest(), b"");
    }

    #[test]
    fn a_padded_varint_is_malformed_inside_a_packet() {
        let padded = Reader::new(&[0x80, 0x00]).varint();
        assert_eq!(padded, Err(DecodeError::VarintNotShortest { value: 0, len: 2 }));
        assert_eq!(Reader::new(&[0xff; 4]).varint(), Err(DecodeError::VarintTooLong));
    }

    #[test]
    fn packet_identifier_zero_is_refused() {
        assert_eq!(Reader::new(&[0, 0]).packet_id(), Err(DecodeError::PacketIdZero));
    }

    #[test]
    fn surrogates_overlong_forms_and_nul_are_no_text() {
        assert_eq!(text(&[b'a', 0xed, 0xa0, 0x80]), Err(DecodeError::TextNotUtf8 { at: 1 }));
        assert_eq!(text(&[0xc0, 0xaf]), Err(DecodeError::TextNotUtf8 { at: 0 }));
        assert_eq!(text(&[0xf4, 0x90, 0x80, 0x80]), Err(DecodeError::TextNotUtf8 { at: 0 }));
        assert_eq!(text(b"ab\0"), Err(DecodeError::TextWithNul { at: 2 }));
    }

    #[test]
    fn control_characters_non_characters_and_the_byte_order_mark_stay() {
        for kept in ["\u{1}\u{1f}\u{7f}\u{9f}", "\u{fffe}\u{ffff}\u{fdd0}", "\u{feff}t", "\u{10ffff}", ""] {
            assert_eq!(text(kept.as_bytes()), Ok(kept));
        }
    }

    #[test]
    fn the_longest_text_survives_the_round_trip() {
        let longest = "x".repeat(65_535);
        let mut out = Vec::new();
        put_text(&longest, &mut out);
        assert_eq!(out[..2], [0xff, 0xff]);
        assert_eq!(Reader::new(&out).text(), Ok(longest.as_str()));
    }
}
