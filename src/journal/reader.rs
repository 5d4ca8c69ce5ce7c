//! Reads one segment frame by frame, out of windows that somebody else cuts from the file.

use super::frame::{self, FrameHeader, HEAD_BYTES};
use super::place::{BLOCK_BYTES, JournalId, Place, SegmentNumber};

/// Bytes that are asked for at once where more are to follow.
const READ_BYTES: u64 = 1 << 20;
const BLOCK: u64 = BLOCK_BYTES as u64;
const HEAD: u64 = HEAD_BYTES as u64;

/// A part of a segment in memory.
#[derive(Debug, Default)]
pub struct Window {
    position: u64,
    bytes: Vec<u8>,
}

impl Window {
    /// Lets go of what was there and takes in the bytes that lie at this position.
    pub fn fill(&mut self, position: u64, bytes: &[u8]) {
        self.bytes.clear();
        self.bytes.extend_from_slice(bytes);
        self.position = position;
    }

    /// So many bytes from this position on, if the window has all of them.
    pub fn get(&self, position: u64, bytes: u64) -> Option<&[u8]> {
        let start = usize::try_from(position.checked_sub(self.position)?).ok()?;
        self.bytes.get(start..)?.get(..usize::try_from(bytes).ok()?)
    }
}

/// What a step of a [`Reader`] has come to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// The window must hold this part of the segment before the next step.
    Wants {
        /// From here on.
        position: u64,
        /// So many bytes; the segment has them.
        bytes: u64,
    },
    /// A frame, in the window with all the bytes that there are of it. Its records may be damaged.
    Frame {
        /// What its header says.
        header: FrameHeader,
        /// Where it begins.
        position: u64,
        /// Its bytes; fewer than its header says if the file is cut.
        bytes: u64,
    },
    /// No frame where one should be.
    Damaged {
        /// From here on.
        position: u64,
        /// Up to the next frame.
        bytes: u64,
    },
    /// Nothing more counts.
    End {
        /// Behind the last frame.
        position: u64,
        /// Bytes of the frame that was begun there and is not whole, as far as it can be told from nothing.
        torn_bytes: Option<u64>,
    },
}

/// How far a segment counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Extent {
    /// Up to here: the next segment of the stream says so. What is bad before is damage.
    Closed(u64),
    /// Nobody knows. What is bad is damage if anything good comes behind it, and else a torn frame or no frame at all.
    Open,
}

/// Goes through one segment.
///
/// A frame lies behind the one before it. Where none is found the reader looks on at each block, for a header that was written to
/// this very place of this segment of this journal.
#[derive(Debug)]
pub struct Reader {
    id: JournalId,
    segment: SegmentNumber,
    position: u64,
    /// Nothing is read from here on.
    limit: u64,
    is_open: bool,
    /// Bad bytes before this position are damage: here, or behind it, is something good.
    proven: u64,
    /// Where proof is looked for that what is bad at `position` is damage.
    probe: Option<u64>,
    torn_bytes: Option<u64>,
    /// Where the damage began that the reader is passing over.
    damaged_from: Option<u64>,
}

impl Reader {
    /// Reads a segment from its first frame on, of which so many bytes are there.
    pub fn new(id: JournalId, segment: SegmentNumber, extent: Extent, available: u64) -> Self {
        let (limit, is_open) = match extent {
            Extent::Closed(end) => (end.min(available), false),
            Extent::Open => (available, true),
        };
        let (position, proven) = (BLOCK, if is_open { 0 } else { u64::MAX });
        let limit = limit.max(position);
        Self { id, segment, position, limit, is_open, proven, probe: None, torn_bytes: None, damaged_from: None }
    }

    /// The file has turned out to be shorter.
    pub fn cut(&mut self, end: u64) {
        self.limit = self.limit.min(end.max(self.position));
    }

    /// Reads on.
    pub fn step(&mut self, window: &Window) -> Step {
        loop {
            let step = match self.probe {
                Some(probe) => self.look_for_proof(probe, window),
                None => self.look_for_frame(window),
            };
            if let Some(step) = step {
                return step;
            }
        }
    }

    fn look_for_frame(&mut self, window: &Window) -> Option<Step> {
        if self.position + HEAD > self.limit {
            return Some(self.end());
        }
        let Some(head) = window.get(self.position, HEAD) else {
            return Some(self.wants(self.position, BLOCK));
        };
        let Some(header) = self.header(self.position, head) else {
            if self.is_open && self.position >= self.proven {
                self.probe = Some(self.position + BLOCK);
            } else {
                self.damaged_from.get_or_insert(self.position);
                self.position += BLOCK;
            }
            return None;
        };
        if let Some(position) = self.damaged_from.take() {
            return Some(Step::Damaged { position, bytes: self.position - position });
        }
        let end = self.position.saturating_add(header.frame_bytes()).min(self.limit);
        let (position, bytes) = (self.position, end - self.position);
        let Some(frame) = window.get(position, bytes) else {
            return Some(self.wants(position, bytes));
        };
        if self.is_open && position >= self.proven && !frame::is_whole(header, self.id, frame) {
            self.torn_bytes = Some(bytes);
            self.probe = Some(end);
            return None;
        }
        self.position = end;
        Some(Step::Frame { header, position, bytes })
    }

    /// Is there any frame behind what is bad?
    fn look_for_proof(&mut self, probe: u64, window: &Window) -> Option<Step> {
        if probe + HEAD > self.limit {
            return Some(Step::End { position: self.position, torn_bytes: self.torn_bytes });
        }
        let Some(head) = window.get(probe, HEAD) else {
            return Some(self.wants(probe, BLOCK));
        };
        if self.header(probe, head).is_some() {
            (self.proven, self.probe, self.torn_bytes) = (probe, None, None);
        } else {
            self.probe = Some(probe + BLOCK);
        }
        None
    }

    fn end(&mut self) -> Step {
        if let Some(position) = self.damaged_from.take() {
            self.position = self.limit;
            return Step::Damaged { position, bytes: self.limit - position };
        }
        Step::End { position: self.position, torn_bytes: None }
    }

    fn header(&self, position: u64, head: &[u8]) -> Option<FrameHeader> {
        FrameHeader::parse(head, Place { segment: self.segment, position }, self.id)
    }

    /// At least `bytes`, which end at or before the limit, and as much more as is worth a read.
    fn wants(&self, position: u64, bytes: u64) -> Step {
        let bytes = bytes.max(READ_BYTES).min(self.limit - position);
        Step::Wants { position, bytes }
    }
}
