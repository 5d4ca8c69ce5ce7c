//! A segment: a file of a length that is known from its first block, and what that block says.
//!
//! ```text
//!  0  magic          8    "PREGON" 0x0d 0x0a
//!  8  version        2    what is newer is refused
//! 10  shard          1
//! 11  shards         1
//! 12  zero           4
//! 16  uuid          16    of the journal: of all segments of all shards
//! 32  number         8    from one, never given twice
//! 40  length         8    of the whole segment, a multiple of the block
//! 48  first          8    no serial in the segment is lower
//! 56  previous       8    the segment before this one, 0 for none
//! 64  previous end   8    what lies there or behind in the previous segment does not count
//! 72  checksum       4    CRC-32C of all before
//! ```
//! All numbers are little endian. The block holds this twice, at its start and in its middle; the rest of it is zeros. These bytes
//! stay as they are in every later version, so that an old program can say which version it would need.

use super::place::{BLOCK_BYTES, JournalId, SegmentNumber};
use super::report::Flaw;
use crate::base::checksum::Crc32c;
use crate::engine::change::Serial;
use crate::engine::homes::{SHARDS_MAX, ShardId};

/// The version that this program writes, and the newest one that it reads.
pub const VERSION: u16 = 1;

const MAGIC: [u8; 8] = *b"PREGON\r\n";
const HEADER_BYTES: usize = 76;
const COPIES_AT: [usize; 2] = [0, BLOCK_BYTES / 2];

/// The segment before another one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Previous {
    /// Its number.
    pub number: SegmentNumber,
    /// Where the next frame would have been written. What lies there or behind was never acknowledged, or is a torn frame that
    /// an earlier start has passed over: it does not count, also if it should look whole one day.
    pub end: u64,
}

/// What the first block of a segment says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// The journal.
    pub id: JournalId,
    /// Whose log it is.
    pub shard: ShardId,
    /// How many shards there were.
    pub shards: u8,
    /// Its number.
    pub number: SegmentNumber,
    /// Its whole length in bytes, this block included.
    pub length: u64,
    /// No serial in it is lower.
    pub first: Serial,
    /// The one before it.
    pub previous: Option<Previous>,
}

/// Why a block is no header.
#[derive(thiserror::Error, Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the message of each variant is its documentation")]
pub enum HeaderError {
    #[error("the journal is of format {found}, and this program reads up to format {VERSION}: use a newer one")]
    Newer { found: u16 },
    #[error("no copy of the segment's header is whole")]
    Damaged,
    #[error("the segment has no header")]
    Blank,
    #[error("no valid {name} in the segment's header")]
    Field { name: &'static str },
}

impl Header {
    /// Appends the whole first block.
    pub fn encode(&self, out: &mut Vec<u8>) {
        debug_assert!(usize::from(self.shards) <= SHARDS_MAX && self.shard.index() < usize::from(self.shards));
        debug_assert!(is_length(self.length), "a segment has whole blocks and room for a frame");
        let mut copy = Vec::with_capacity(HEADER_BYTES);
        copy.extend_from_slice(&MAGIC);
        copy.extend_from_slice(&VERSION.to_le_bytes());
        copy.extend_from_slice(&[self.shard.index().to_le_bytes()[0], self.shards, 0, 0, 0, 0]);
        copy.extend_from_slice(&self.id.uuid());
        let (previous, previous_end) = self.previous.map_or((0, 0), |previous| (previous.number.get(), previous.end));
        for number in [self.number.get(), self.length, self.first.get(), previous, previous_end] {
            copy.extend_from_slice(&number.to_le_bytes());
        }
        copy.extend_from_slice(&Crc32c::of(&copy).to_le_bytes());
        debug_assert_eq!(copy.len(), HEADER_BYTES);

        let start = out.len();
        out.resize(start + BLOCK_BYTES, 0);
        for at in COPIES_AT {
            out[start + at..start + at + HEADER_BYTES].copy_from_slice(&copy);
        }
    }

    /// Reads the first block of a segment, or as much of it as there is; also says what is wrong with it if one copy was enough.
    pub fn parse(block: &[u8]) -> Result<(Self, Option<Flaw>), HeaderError> {
        let copies = COPIES_AT.map(|at| block.get(at..at + HEADER_BYTES));
        let Some(copy) = copies.iter().flatten().find_map(|copy| intact(copy)) else {
            let is_blank = |copy: Option<&[u8]>| copy.is_some_and(|copy| copy.iter().all(|byte| *byte == 0));
            return Err(if copies.into_iter().all(is_blank) { HeaderError::Blank } else { HeaderError::Damaged });
        };
        let header = Self::read(copy)?;
        let mut expected = Vec::with_capacity(BLOCK_BYTES);
        header.encode(&mut expected);
        let flaw = (block.get(..BLOCK_BYTES) != Some(&expected[..])).then_some(Flaw::SegmentHeaderCopy);
        Ok((header, flaw))
    }

    fn read(copy: &[u8; HEADER_BYTES]) -> Result<Self, HeaderError> {
        let found = u16::from_le_bytes([copy[8], copy[9]]);
        if found > VERSION {
            return Err(HeaderError::Newer { found });
        }
        let [shard, shards] = [copy[10], copy[11]];
        if usize::from(shards) > SHARDS_MAX || shard >= shards {
            return Err(HeaderError::Field { name: "shard" });
        }
        let uuid = copy.first_chunk::<32>().and_then(|start| start.last_chunk::<16>()).expect("it is longer");
        let [number, length, first, previous, end] = [32, 40, 48, 56, 64].map(|at| u64_at(copy, at));
        if number == 0 {
            return Err(HeaderError::Field { name: "number" });
        }
        if !is_length(length) {
            return Err(HeaderError::Field { name: "length" });
        }
        let previous = (previous != 0).then_some(Previous { number: SegmentNumber::new(previous), end });
        Ok(Self {
            id: JournalId::new(*uuid),
            shard: ShardId::new(usize::from(shard)),
            shards,
            number: SegmentNumber::new(number),
            length,
            first: Serial::new(first),
            previous,
        })
    }
}

/// The copy, if its magic and its checksum are right.
fn intact(bytes: &[u8]) -> Option<&[u8; HEADER_BYTES]> {
    let copy: &[u8; HEADER_BYTES] = bytes.try_into().ok()?;
    let (content, checksum) = copy.split_last_chunk::<4>()?;
    (content.starts_with(&MAGIC) && Crc32c::of(content) == u32::from_le_bytes(*checksum)).then_some(copy)
}

/// Whole blocks, one for the header and one for a frame at least.
const fn is_length(length: u64) -> bool {
    length.is_multiple_of(BLOCK_BYTES as u64) && length >= 2 * BLOCK_BYTES as u64
}

/// The number that stands at this offset.
pub(super) fn u64_at(bytes: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(*bytes[at..].first_chunk().expect("the caller has all of it"))
}

/// The number that stands at this offset.
pub(super) fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(*bytes[at..].first_chunk().expect("the caller has all of it"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header() -> Header {
        Header {
            id: JournalId::new(*b"0123456789abcdef"),
            shard: ShardId::new(3),
            shards: 4,
            number: SegmentNumber::new(7),
            length: 64 << 20,
            first: Serial::new(1_000_000),
            previous: Some(Previous { number: SegmentNumber::new(5), end: 8192 }),
        }
    }

    fn block(header: Header) -> Vec<u8> {
        let mut block = Vec::new();
        header.encode(&mut block);
        block
    }

    /// The block with other bytes in both copies and a checksum that fits them.
    fn with(at: usize, bytes: &[u8]) -> Vec<u8> {
        let mut block = block(header());
        for start in COPIES_AT {
            let copy = &mut block[start..start + HEADER_BYTES];
            copy[at..at + bytes.len()].copy_from_slice(bytes);
            let checksum = Crc32c::of(&copy[..72]);
            copy[72..].copy_from_slice(&checksum.to_le_bytes());
        }
        block
    }

    #[test]
    fn a_header_has_its_bytes_and_comes_back() {
        let block = block(header());
        let mut golden = b"PREGON\r\n\x01\0\x03\x04\0\0\0\x000123456789abcdef".to_vec();
        for number in [7_u64, 64 << 20, 1_000_000, 5, 8192] {
            golden.extend_from_slice(&number.to_le_bytes());
        }
        assert_eq!(block[..72], golden);
        assert_eq!(u32_at(&block, 72), Crc32c::of(&golden));
        assert_eq!(block.len(), BLOCK_BYTES);
        assert_eq!(Header::parse(&block), Ok((header(), None)));
        let first = Header { previous: None, ..header() };
        assert_eq!(Header::parse(&self::block(first)), Ok((first, None)));
    }

    #[test]
    fn any_flipped_bit_of_the_block_is_seen_and_does_no_harm() {
        let mut block = block(header());
        for bit in 0..8 * BLOCK_BYTES {
            block[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(Header::parse(&block), Ok((header(), Some(Flaw::SegmentHeaderCopy))), "bit {bit}");
            block[bit / 8] ^= 1 << (bit % 8);
        }
    }

    #[test]
    fn a_block_cut_short_is_read_from_its_first_copy_or_not_at_all() {
        let block = block(header());
        for end in 0..BLOCK_BYTES {
            let expected = if end < HEADER_BYTES { None } else { Some(header()) };
            let parsed = Header::parse(&block[..end]).ok();
            assert_eq!(parsed, expected.map(|header| (header, Some(Flaw::SegmentHeaderCopy))), "{end} bytes");
        }
    }

    #[test]
    fn a_newer_version_is_named() {
        let error = Header::parse(&with(8, &[2, 0])).unwrap_err();
        assert_eq!(error, HeaderError::Newer { found: 2 });
        assert!(error.to_string().contains("format 2"), "{error}");
    }

    #[test]
    fn fields_out_of_range_are_refused() {
        for (at, bytes, name) in [
            (10, &[4, 4][..], "shard"),
            (10, &[0, 65], "shard"),
            (32, &[0; 8], "number"),
            (40, &4096_u64.to_le_bytes(), "length"),
            (40, &8193_u64.to_le_bytes(), "length"),
        ] {
            assert_eq!(Header::parse(&with(at, bytes)), Err(HeaderError::Field { name }), "{bytes:?} at {at}");
        }
        assert_eq!(Header::parse(&[0; BLOCK_BYTES]), Err(HeaderError::Blank));
        assert_eq!(Header::parse(&[1; BLOCK_BYTES]), Err(HeaderError::Damaged));
    }
}
