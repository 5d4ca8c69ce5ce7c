//! What a replay has read, and what it has found wrong.

use super::place::{JournalId, Place, SegmentNumber};
use super::record::RecordError;
use super::segment::{Header, HeaderError, Previous};
use super::tail::Tail;
use crate::engine::change::Serial;
use crate::engine::homes::ShardId;

/// How many pieces of damage a report lists; the others are counted.
pub const DAMAGES_LISTED_MAX: usize = 1_000;

/// What is wrong with some bytes.
#[derive(thiserror::Error, Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the message of each variant is its documentation")]
pub enum Flaw {
    #[error("{0}")]
    SegmentHeader(#[from] HeaderError),
    #[error("one copy of the segment's header is damaged, the other is good: nothing is lost")]
    SegmentHeaderCopy,
    #[error("the segment belongs to another journal or another shard")]
    Foreign,
    #[error("the file ends too early")]
    Cut,
    #[error("no frame begins where one should")]
    Frame,
    #[error("one copy of a frame's header is damaged, the other is good: nothing is lost")]
    FrameHeaderCopy,
    #[error("the table of lengths of a frame is damaged, its records are good: nothing is lost")]
    FrameLengths,
    #[error("the bytes behind a frame's records are not zero: nothing is lost")]
    FramePadding,
    #[error("a record is lost: {0}")]
    Record(#[from] RecordError),
}

/// Bytes that are not as they were written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Damage {
    /// Where they begin.
    pub place: Place,
    /// How many there are.
    pub bytes: u64,
    /// What is wrong with them.
    pub flaw: Flaw,
}

/// Bytes at the end of the log that a crash may have torn without loss, and that must be written anew before the log goes on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mend {
    /// Where, and what is wrong.
    pub damage: Damage,
    content: Content,
}

/// What is to stand there.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Content {
    /// The header of the newest segment.
    Header { length: u64, first: Serial, previous: Option<Previous> },
    /// The last frame.
    Frame(Vec<u8>),
}

impl Mend {
    /// A header, from what follows it, and what comes before its segment.
    pub(super) fn header(damage: Damage, first: Serial, tail: &Tail, before: Option<Tail>) -> Self {
        let previous = before.map(|tail| tail.as_previous());
        Self { damage, content: Content::Header { length: tail.length, first, previous } }
    }

    /// The bytes that belong there, in the log of this shard of so many.
    pub fn into_bytes(self, id: JournalId, shard: ShardId, shards: u8) -> Vec<u8> {
        match self.content {
            Content::Header { length, first, previous } => {
                let mut bytes = Vec::new();
                let number = self.damage.place.segment;
                Header { id, shard, shards, number, length, first, previous }.encode(&mut bytes);
                bytes
            }
            Content::Frame(bytes) => bytes,
        }
    }
}

/// What a replay has read. One per shard and start.
#[derive(Clone, Debug, Default)]
pub struct Report {
    /// Segments that were read.
    pub segments: u64,
    /// Frames in them.
    pub frames: u64,
    /// Intact records in them.
    pub records: u64,
    /// Records of kinds that this version does not know and may pass over.
    pub skipped: u64,
    /// Bytes that were read.
    pub bytes: u64,
    /// The highest number of a change.
    pub last: Serial,
    /// The number of the next segment: behind all that count.
    pub next: SegmentNumber,
    /// What was found wrong, as far as it is listed.
    pub damages: Vec<Damage>,
    /// How much was found wrong.
    pub damages_count: u64,
    /// Segments that another one follows, and that are not there.
    pub missing: Vec<SegmentNumber>,
    /// Where the log goes on; none if it has no segment yet, or nobody knows where the last one ends.
    pub tail: Option<Tail>,
    /// What must be written anew before the log goes on.
    pub mends: Vec<Mend>,
}

impl Report {
    /// Notes a piece of damage.
    pub fn damage(&mut self, place: Place, bytes: u64, flaw: Flaw) {
        self.damages_count += 1;
        if self.damages.len() < DAMAGES_LISTED_MAX {
            self.damages.push(Damage { place, bytes, flaw });
        }
    }

    /// The last frame has everything that was noted, and yet is not as it was written.
    pub(super) fn mend_frame(&mut self, damage: Damage, bytes: Vec<u8>) {
        self.mends.push(Mend { damage, content: Content::Frame(bytes) });
    }

    /// It was not the last one, so no crash has torn it.
    pub(super) fn frame_follows(&mut self) {
        while let Some(Mend { damage: Damage { place, bytes, flaw }, .. }) = self.mends.pop() {
            self.damage(place, bytes, flaw);
        }
    }

    /// Whether anything was not as it was written, be it damage or the work of a crash.
    pub fn is_flawed(&self) -> bool {
        !self.is_clean() || !self.mends.is_empty()
    }

    /// Whether all is as it was written. A torn frame at the end is what a crash leaves behind, and no damage.
    pub fn is_clean(&self) -> bool {
        self.damages_count == 0 && self.missing.is_empty()
    }

    /// The number from which a process counts on.
    ///
    /// What an earlier process had numbered and not made safe lies above [`Self::last`]; it had at most this many. So no number
    /// is ever given twice, and a piece of what was torn is never taken for a piece of something newer.
    pub const fn resume_after(&self) -> Serial {
        const UNSAFE_MAX: u64 = 1 << 32;
        if self.last.get() == 0 { Serial::NONE } else { Serial::new(self.last.get() + UNSAFE_MAX) }
    }
}
