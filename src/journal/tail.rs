//! Where the log of a shard goes on: the end of its newest segment.

use super::group::Group;
use super::place::{BLOCK_BYTES, Place, SegmentNumber};
use super::segment::Previous;

/// The end of a log. One per shard, made by a replay or with a new segment, and moved on with each frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tail {
    /// Behind the last whole frame.
    pub place: Place,
    /// The length of the segment.
    pub length: u64,
    /// Bytes of a frame that was begun here and not finished. It does not count, and is overwritten or left behind.
    pub torn_bytes: Option<u64>,
}

impl Tail {
    /// The tail of a segment in which there is no frame yet.
    pub const fn new(number: SegmentNumber, length: u64) -> Self {
        let place = Place { segment: number, position: BLOCK_BYTES as u64 };
        Self { place, length, torn_bytes: None }
    }

    /// Whether there is room for the group. If not it begins a new segment.
    pub fn takes(&self, group: &Group) -> bool {
        group.fits(self.place.position, self.length)
    }

    /// The group was written here.
    pub fn advance(&mut self, group: &Group) {
        debug_assert!(self.takes(group), "a group is written where it may be");
        self.place.position += group.frame_bytes();
        self.torn_bytes = None;
    }

    /// What the header of the next segment says about this one.
    pub const fn as_previous(&self) -> Previous {
        Previous { number: self.place.segment, end: self.place.position }
    }
}
