//! Numbers of up to 64 bits, seven bits a byte, least significant first, in their shortest form and in no other.

use super::record::RecordError;

/// The longest form: 64 bits, seven a byte.
pub const VARINT_BYTES_MAX: usize = 10;

/// How many bytes a number takes.
pub const fn encoded_len(value: u64) -> usize {
    let bits = u64::BITS - (value | 1).leading_zeros();
    bits.div_ceil(7) as usize
}

/// A number as bytes, and how many of them count.
pub fn form(value: u64) -> ([u8; VARINT_BYTES_MAX], usize) {
    let (mut bytes, mut len, mut left) = ([0; VARINT_BYTES_MAX], 0, value);
    while left > 0x7f {
        bytes[len] = left.to_le_bytes()[0] | 0x80;
        left >>= 7;
        len += 1;
    }
    bytes[len] = left.to_le_bytes()[0];
    (bytes, len + 1)
}

/// Appends a number.
pub fn encode(value: u64, out: &mut Vec<u8>) {
    let (bytes, len) = form(value);
    out.extend_from_slice(&bytes[..len]);
}

/// Reads a number from the front of `bytes`, with the count of bytes that it took.
pub fn decode(bytes: &[u8]) -> Result<(u64, usize), RecordError> {
    let mut value = 0_u64;
    for (index, &byte) in bytes.iter().take(VARINT_BYTES_MAX).enumerate() {
        let bits = u64::from(byte & 0x7f);
        if index == VARINT_BYTES_MAX - 1 && bits > 1 {
            return Err(RecordError::Varint); // more than 64 bits
        }
        value |= bits << (7 * index);
        if byte & 0x80 == 0 {
            let is_shortest = index == 0 || byte != 0;
            return if is_shortest { Ok((value, index + 1)) } else { Err(RecordError::Varint) };
        }
    }
    Err(if bytes.len() < VARINT_BYTES_MAX { RecordError::Truncated } else { RecordError::Varint })
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOLDEN: [(u64, &[u8]); 8] = [
        (0, &[0x00]),
        (127, &[0x7f]),
        (128, &[0x80, 0x01]),
        (16_383, &[0xff, 0x7f]),
        (16_384, &[0x80, 0x80, 0x01]),
        (u32::MAX as u64, &[0xff, 0xff, 0xff, 0xff, 0x0f]),
        (1 << 63, &[0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x01]),
        (u64::MAX, &[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01]),
    ];

    #[test]
    fn boundaries_have_their_bytes_and_come_back() {
        for (value, bytes) in GOLDEN {
            let mut out = Vec::new();
            encode(value, &mut out);
            assert_eq!(out, bytes);
            assert_eq!(encoded_len(value), bytes.len());
            assert_eq!(decode(bytes), Ok((value, bytes.len())));
            out.push(0xff);
            assert_eq!(decode(&out), Ok((value, bytes.len())), "what follows is left alone");
        }
    }

    #[test]
    fn every_power_of_two_has_the_length_that_is_foretold() {
        for value in (0..64).flat_map(|bit| [(1_u64 << bit) - 1, 1 << bit]) {
            let mut out = Vec::new();
            encode(value, &mut out);
            assert_eq!((encoded_len(value), decode(&out)), (out.len(), Ok((value, out.len()))));
        }
    }

    #[test]
    fn a_number_cut_short_is_none() {
        for (_, bytes) in GOLDEN {
            for end in 0..bytes.len() {
                assert_eq!(decode(&bytes[..end]), Err(RecordError::Truncated));
            }
        }
    }

    #[test]
    fn padded_and_oversized_forms_are_refused() {
        for bytes in [
            &[0x80, 0x00][..],
            &[0xff, 0x80, 0x00],
            &[0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x02],
            &[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x81, 0x00],
            &[0xff; 11],
        ] {
            assert_eq!(decode(bytes), Err(RecordError::Varint), "{bytes:x?}");
        }
    }
}
