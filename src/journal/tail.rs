//! Where a stream goes on: the end of its newest segment.

use super::group::Group;
use super::place::{BLOCK_BYTES, Place, Stream};
use super::segment::{Header, Previous};
use crate::engine::change::Serial;

/// The end of a stream. One per stream and shard, made by a replay or with a new segment, and moved on with each frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tail {
    /// Which log goes on here.
    pub stream: Stream,
    /// Behind the last whole frame.
    pub place: Place,
    /// The length of the segment.
    pub length: u64,
    /// The highest number in the segment.
    pub last: Serial,
    /// Bytes of a frame that was begun here and not finished. It does not count, and is overwritten or left behind.
    pub torn_bytes: Option<u64>,
}

impl Tail {
    /// The tail of a segment in which there is no frame yet.
    pub const fn new(header: &Header) -> Self {
        let place = Place { segment: header.number, position: BLOCK_BYTES as u64 };
        Self { stream: header.stream, place, length: header.length, last: Serial::NONE, torn_bytes: None }
    }

    /// Whether the group may be written here. If not it begins a new segment: it is too long, or its numbers would go down, as they do
    /// in the cold stream after cold segments were reclaimed.
    pub fn takes(&self, group: &Group) -> bool {
        group.fits(self.place.position, self.length) && group.first().is_none_or(|first| first > self.last)
    }

    /// The group was written here.
    pub fn advance(&mut self, group: &Group) {
        debug_assert!(self.takes(group), "a group is written where it may be");
        self.place.position += group.frame_bytes();
        self.last = group.last().unwrap_or(self.last);
        self.torn_bytes = None;
    }

    /// What the header of the next segment says about this one.
    pub const fn as_previous(&self) -> Previous {
        Previous { number: self.place.segment, end: self.place.position }
    }
}
