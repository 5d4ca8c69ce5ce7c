//! Where the groups of one log go, one behind the other, and the header in front of the first one of a segment.

use super::group::Group;
use super::place::{BLOCK_BYTES, JournalId, Place, SegmentNumber};
use super::segment::Header;
use super::tail::Tail;
use crate::engine::change::Serial;
use crate::engine::homes::ShardId;

/// The pen of one log. It is moved on when what it has said was written.
#[derive(Clone, Copy, Debug)]
pub struct Scribe {
    /// The journal.
    pub id: JournalId,
    /// Whose log it is.
    pub shard: ShardId,
    /// Of how many.
    pub shards: u8,
    /// How long a segment is, unless something larger has to fit in.
    pub segment_bytes: u64,
    /// Where the log goes on, if it has begun.
    pub tail: Option<Tail>,
    /// The number of the next segment.
    pub next: SegmentNumber,
}

/// Bytes, and where they are to be written.
#[derive(Debug)]
pub struct Page {
    /// Where they begin: at the beginning of a segment, or behind the last frame of one.
    pub place: Place,
    /// What is to be written.
    pub bytes: Vec<u8>,
    /// Where the log goes on then.
    tail: Tail,
}

impl Page {
    /// How long the segment is.
    pub const fn segment_bytes(&self) -> u64 {
        self.tail.length
    }

    /// Where the frame begins, behind the header if it is the first one of its segment.
    pub fn frame_place(&self) -> Place {
        let header = if self.place.position == 0 { BLOCK_BYTES as u64 } else { 0 };
        Place { position: self.place.position + header, ..self.place }
    }
}

impl Scribe {
    /// The group as it is to be written. Nothing has moved before [`Self::written`].
    pub fn page(&self, group: &mut Group) -> Page {
        let mut bytes = Vec::new();
        let tail = self.tail.filter(|tail| tail.takes(group));
        let mut tail = tail.unwrap_or_else(|| {
            let header = self.header(group);
            header.encode(&mut bytes);
            Tail::new(header.number, header.length)
        });
        let place = Place { position: tail.place.position - bytes.len() as u64, ..tail.place };
        bytes.extend_from_slice(group.seal(tail.place));
        tail.advance(group);
        Page { place, bytes, tail }
    }

    fn header(&self, group: &Group) -> Header {
        let Self { id, shard, shards, segment_bytes, tail, next } = *self;
        let previous = tail.map(|tail| tail.as_previous());
        let first = group.first().unwrap_or(Serial::NONE);
        Header { id, shard, shards, number: next, length: group.segment_length(segment_bytes), first, previous }
    }

    /// The page was written.
    pub fn written(&mut self, page: &Page) {
        self.tail = Some(page.tail);
        self.next = self.next.max(page.place.segment.next());
    }
}
