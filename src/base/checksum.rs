//! CRC-32C (Castagnoli), the checksum of everything that is written to disk.
//!
//! It finds every burst of up to 32 damaged bits and costs next to nothing where the processor has
//! an instruction for it. It guards against accidents, not against an attacker.

/// A checksum that grows with the bytes: parts in order give the checksum of the whole.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Crc32c(u32);

impl Crc32c {
    /// The checksum of no bytes.
    pub const fn new() -> Self {
        Self(0)
    }

    /// The checksum of `bytes` in one go.
    pub fn of(bytes: &[u8]) -> u32 {
        crc32c::crc32c(bytes)
    }

    /// Takes in the next part.
    pub fn update(&mut self, bytes: &[u8]) {
        self.0 = crc32c::crc32c_append(self.0, bytes);
    }

    /// The checksum of all parts so far.
    pub const fn value(self) -> u32 {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::random::Random;

    #[test]
    fn the_published_answers_come_out() {
        let ascending: [u8; 32] = std::array::from_fn(|index| u8::try_from(index).unwrap());
        let mut descending = ascending;
        descending.reverse();
        // The check value of the polynomial, then the test vectors of RFC 3720, B.4.
        assert_eq!(Crc32c::of(b"123456789"), 0xe306_9283);
        assert_eq!(Crc32c::of(&[0x00; 32]), 0x8a91_36aa);
        assert_eq!(Crc32c::of(&[0xff; 32]), 0x62a8_ab43);
        assert_eq!(Crc32c::of(&ascending), 0x46dd_794e);
        assert_eq!(Crc32c::of(&descending), 0x113f_db5c);
        assert_eq!(Crc32c::of(&[]), Crc32c::new().value());
    }

    #[test]
    fn parts_give_the_checksum_of_the_whole() {
        let mut random = Random::from_seed(1);
        for _ in 0..200 {
            let mut bytes = vec![0; random.index(3_000)];
            random.fill(&mut bytes);
            let (mut rest, mut checksum) = (&bytes[..], Crc32c::new());
            while !rest.is_empty() {
                let (part, after) = rest.split_at(random.index(rest.len()) + 1);
                checksum.update(part);
                rest = after;
            }
            assert_eq!(checksum.value(), Crc32c::of(&bytes));
        }
    }

    #[test]
    fn one_damaged_bit_changes_the_checksum() {
        let mut bytes = *b"nothing acknowledged is ever lost";
        let intact = Crc32c::of(&bytes);
        for bit in 0..bytes.len() * 8 {
            bytes[bit / 8] ^= 1 << (bit % 8);
            assert_ne!(Crc32c::of(&bytes), intact);
            bytes[bit / 8] ^= 1 << (bit % 8);
        }
    }
}
