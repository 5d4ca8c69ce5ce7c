//! The names of things on disk: which journal, which segment, where in it.

use crate::base::checksum::Crc32c;

/// Everything on disk begins at a multiple of this: what a disk writes whole, and what a page holds.
pub const BLOCK_BYTES: usize = 4096;

/// The uuid of a journal: random, and in every checksum, so that nothing of another journal is ever taken for a part of this one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct JournalId([u8; 16]);

impl JournalId {
    /// The journal of this uuid.
    pub const fn new(uuid: [u8; 16]) -> Self {
        Self(uuid)
    }

    /// Its uuid.
    pub const fn uuid(self) -> [u8; 16] {
        self.0
    }

    /// The checksum that everything in the journal goes on from.
    pub fn checksum(self) -> Crc32c {
        let mut checksum = Crc32c::new();
        checksum.update(&self.0);
        checksum
    }
}

/// The number of a segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SegmentNumber(u64);

impl Default for SegmentNumber {
    fn default() -> Self {
        Self::FIRST
    }
}

impl SegmentNumber {
    /// The first segment of a shard.
    pub const FIRST: Self = Self(1);

    /// The segment of this number, from one.
    pub const fn new(number: u64) -> Self {
        Self(number)
    }

    /// The number itself.
    pub const fn get(self) -> u64 {
        self.0
    }

    /// The segment that is made after this one.
    #[must_use]
    pub const fn next(self) -> Self {
        Self(self.0 + 1)
    }
}

/// Where something lies in the journal of a shard.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// In which segment.
    pub segment: SegmentNumber,
    /// Bytes from its beginning.
    pub position: u64,
}
