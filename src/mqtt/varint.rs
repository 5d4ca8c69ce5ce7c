//! Variable Byte Integers: seven bits a byte, least significant first, at most four bytes.

use super::error::DecodeError;

/// The largest number that four bytes hold.
pub const VARINT_MAX: u32 = 268_435_455;

/// The largest encoded length in bytes.
pub const VARINT_BYTES_MAX: usize = 4;

/// How many bytes the shortest form of `value` takes.
pub const fn encoded_len(value: u32) -> usize {
    debug_assert!(value <= VARINT_MAX);
    match value {
        0..=0x7f => 1,
        0x80..=0x3fff => 2,
        0x4000..=0x1f_ffff => 3,
        0x20_0000.. => 4,
    }
}

/// Appends the shortest form. [MQTT-1.5.5-1]
pub fn encode(value: u32, out: &mut Vec<u8>) {
    debug_assert!(value <= VARINT_MAX);
    let mut left = value;
    while left > 0x7f {
        out.push(left.to_le_bytes()[0] | 0x80);
        left >>= 7;
    }
    out.push(left.to_le_bytes()[0]);
}

/// A number read from the front of some bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Varint {
    /// The number itself.
    pub value: u32,
    /// How many bytes it took, one to four.
    pub len: usize,
}

impl Varint {
    /// Whether the number was written in its shortest form.
    pub const fn is_shortest(self) -> bool {
        self.len == encoded_len(self.value)
    }
}

/// Reads a number in any form; `None` when its last byte has not arrived yet.
///
/// The Remaining Length is read with this one: it comes before the version is known, and 3.x allows padded forms.
pub fn decode(bytes: &[u8]) -> Result<Option<Varint>, DecodeError> {
    let mut value = 0;
    for (index, &byte) in bytes.iter().take(VARINT_BYTES_MAX).enumerate() {
        value |= u32::from(byte & 0x7f) << (7 * index);
        if byte & 0x80 == 0 {
            return Ok(Some(Varint { value, len: index + 1 }));
        }
    }
    // The fourth byte promises a fifth: no need to wait for it.
    if bytes.len() >= VARINT_BYTES_MAX { Err(DecodeError::VarintTooLong) } else { Ok(None) }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOLDEN: [(u32, &[u8]); 9] = [
        (0, &[0x00]),
        (127, &[0x7f]),
        (128, &[0x80, 0x01]),
        (16_383, &[0xff, 0x7f]),
        (16_384, &[0x80, 0x80, 0x01]),
        (2_097_151, &[0xff, 0xff, 0x7f]),
        (2_097_152, &[0x80, 0x80, 0x80, 0x01]),
        (268_435_454, &[0xfe, 0xff, 0xff, 0x7f]),
        (268_435_455, &[0xff, 0xff, 0xff, 0x7f]),
    ];

    #[test]
    fn boundaries_have_the_bytes_of_the_standard() {
        for (value, bytes) in GOLDEN {
            let mut out = Vec::new();
            encode(value, &mut out);
            assert_eq!(out, bytes);
            assert_eq!(encoded_len(value), bytes.len());
            assert_eq!(decode(bytes), Ok(Some(Varint { value, len: bytes.len() })));
        }
    }

    #[test]
    fn bytes_that_follow_are_left_alone() {
        assert_eq!(decode(&[0x80, 0x01, 0xff, 0xff, 0xff]), Ok(Some(Varint { value: 128, len: 2 })));
    }

    #[test]
    fn every_prefix_asks_for_more() {
        for (_, bytes) in GOLDEN {
            for end in 0..bytes.len() {
                assert_eq!(decode(&bytes[..end]), Ok(None));
            }
        }
    }

    #[test]
    fn threat_2_a_fourth_byte_that_promises_a_fifth_is_refused_at_once() {
        assert_eq!(decode(&[0xff, 0xff, 0xff]), Ok(None));
        assert_eq!(decode(&[0xff, 0xff, 0xff, 0xff]), Err(DecodeError::VarintTooLong));
        assert_eq!(decode(&[0x80, 0x80, 0x80, 0x80, 0x00]), Err(DecodeError::VarintTooLong));
    }

    #[test]
    fn padded_forms_are_read_and_told_apart() {
        let padded = decode(&[0x80, 0x00]).unwrap().unwrap();
        assert_eq!(padded, Varint { value: 0, len: 2 });
        assert!(!padded.is_shortest());
        assert!(decode(&[0x7f]).unwrap().unwrap().is_shortest());
        assert!(!decode(&[0xff, 0x80, 0x00]).unwrap().unwrap().is_shortest());
    }
}
