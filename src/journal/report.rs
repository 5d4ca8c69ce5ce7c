//! What a replay has read, and what it has found wrong.

use super::place::{Place, SegmentNumber, Stream};
use super::record::RecordError;
use super::segment::HeaderError;
use super::tail::Tail;
use crate::engine::change::Serial;

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

/// What a replay has read. One per shard and start.
#[derive(Clone, Debug, Default)]
pub struct Report {
    /// Segments that were read.
    pub segments: u64,
    /// Frames in them.
    pub frames: u64,
    /// Intact records in them.
    pub records: u64,
    /// Records that lay there twice, since they were moved and the place they came from still stands.
    pub repeated: u64,
    /// Records of kinds that this version does not know and may pass over.
    pub skipped: u64,
    /// Bytes that were read.
    pub bytes: u64,
    /// The highest number of a change.
    pub last: Serial,
    /// What was found wrong, as far as it is listed.
    pub damages: Vec<Damage>,
    /// How much was found wrong.
    pub damages_count: u64,
    /// Segments that another one follows, and that are not there.
    pub missing: Vec<SegmentNumber>,
    /// Where each stream goes on.
    pub tails: Vec<Tail>,
}

impl Report {
    /// Notes a piece of damage.
    pub fn damage(&mut self, place: Place, bytes: u64, flaw: Flaw) {
        self.damages_count += 1;
        if self.damages.len() < DAMAGES_LISTED_MAX {
            self.damages.push(Damage { place, bytes, flaw });
        }
    }

    /// Whether all is as it was written. A torn frame at the end is what a crash leaves behind, and no damage.
    pub fn is_clean(&self) -> bool {
        self.damages_count == 0 && self.missing.is_empty()
    }

    /// Where this stream goes on; none if it has no segment yet, or one whose end nobody knows.
    pub fn tail(&self, stream: Stream) -> Option<Tail> {
        self.tails.iter().copied().find(|tail| tail.stream == stream)
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
