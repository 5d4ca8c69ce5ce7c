//! A frame: what one commit has written, whole or not.
//!
//! ```text
//!  0  magic      4    "FRAM"
//!  4  records    4    bytes of all records
//!  8  lengths    4    bytes of all lengths
//! 12  count      4    how many records there are
//! 16  segment    8    its number
//! 24  first      8    the serial of the first record; the others count from it
//! 32  sum        4    CRC-32C over the checksums of all records, then over the lengths
//! 36  checksum   4    CRC-32C over the journal's uuid, the position in the segment (8 bytes), and all before
//! 40  the same again
//! 80  records, then the length of each as a varint, then zeros up to a whole block
//! ```
//! Two questions are answered apart. Whether the frame is *whole* is said by the sum: what was torn by a crash does not count at
//! all. Which of its records are *intact* is said by each record's own checksum: what was whole and is damaged later loses the
//! records that were hit and no other. For that the header stands there twice, and the length of a record is found in the table
//! behind all records when it is unreadable in front of its own.

use super::place::{BLOCK_BYTES, JournalId, Place, SegmentNumber};
use super::record::{Record, RecordError};
use super::report::Flaw;
use super::segment::{u32_at, u64_at};
use super::varint;
use crate::base::checksum::Crc32c;
use crate::engine::change::Serial;

const MAGIC: [u8; 4] = *b"FRAM";
const COPY_BYTES: usize = 40;
/// What stands in front of the records: the header, twice.
pub const HEAD_BYTES: usize = 2 * COPY_BYTES;

/// What the header of a frame says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FrameHeader {
    /// The segment that it was written to.
    pub segment: SegmentNumber,
    /// Bytes of all records.
    pub records_bytes: u32,
    /// Bytes of the table of lengths.
    pub lengths_bytes: u32,
    /// How many records there are.
    pub count: u32,
    /// The serial of the first record.
    pub first: Serial,
    /// Over the checksums of the records and the lengths.
    pub sum: u32,
}

impl FrameHeader {
    /// Both copies, for a frame that is written at this place.
    pub fn encode(&self, place: Place, id: JournalId) -> [u8; HEAD_BYTES] {
        debug_assert_eq!(self.segment, place.segment);
        let mut head = [0; HEAD_BYTES];
        let (copy, again) = head.split_at_mut(COPY_BYTES);
        copy[..4].copy_from_slice(&MAGIC);
        for (at, number) in [(4, self.records_bytes), (8, self.lengths_bytes), (12, self.count), (32, self.sum)] {
            copy[at..at + 4].copy_from_slice(&number.to_le_bytes());
        }
        for (at, number) in [(16, self.segment.get()), (24, self.first.get())] {
            copy[at..at + 8].copy_from_slice(&number.to_le_bytes());
        }
        let checksum = checksum(&copy[..36], place, id);
        copy[36..].copy_from_slice(&checksum.to_le_bytes());
        again.copy_from_slice(copy);
        head
    }

    /// Reads the header of a frame that was written at this place; none if there is not one intact copy.
    ///
    /// A frame that was written to another place, in an earlier life of the file for instance, is none of this place.
    pub fn parse(bytes: &[u8], place: Place, id: JournalId) -> Option<Self> {
        let (copy, again) = bytes.get(..HEAD_BYTES)?.split_at(COPY_BYTES);
        Self::intact(copy, place, id).or_else(|| Self::intact(again, place, id))
    }

    fn intact(copy: &[u8], place: Place, id: JournalId) -> Option<Self> {
        let is_whole = copy.starts_with(&MAGIC) && u32_at(copy, 36) == checksum(&copy[..36], place, id);
        let header = is_whole.then(|| Self {
            segment: SegmentNumber::new(u64_at(copy, 16)),
            records_bytes: u32_at(copy, 4),
            lengths_bytes: u32_at(copy, 8),
            count: u32_at(copy, 12),
            first: Serial::new(u64_at(copy, 24)),
            sum: u32_at(copy, 32),
        })?;
        (header.segment == place.segment).then_some(header)
    }

    /// Bytes that the frame occupies, a multiple of the block.
    pub const fn frame_bytes(&self) -> u64 {
        (HEAD_BYTES as u64 + self.records_bytes as u64 + self.lengths_bytes as u64).next_multiple_of(BLOCK_BYTES as u64)
    }

    /// Where in the frame the records end and the lengths begin.
    const fn records_end(&self) -> usize {
        HEAD_BYTES + self.records_bytes as usize
    }

    const fn lengths_end(&self) -> usize {
        self.records_end() + self.lengths_bytes as usize
    }
}

fn checksum(copy: &[u8], place: Place, id: JournalId) -> u32 {
    let mut checksum = id.checksum();
    checksum.update(&place.position.to_le_bytes());
    checksum.update(copy);
    checksum.value()
}

/// What a walk comes across.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Item<'a> {
    /// An intact record.
    Record(Record<'a>),
    /// None, for this reason. The walk goes on behind it if it can.
    Damaged(RecordError),
}

/// A walk over the records of a frame. It holds no bytes: it is given those of the frame with each step.
///
/// The frame may be damaged, and cut short. Nothing in it but its header is believed.
#[derive(Clone, Debug)]
pub struct Walk {
    header: FrameHeader,
    id: JournalId,
    /// Where the next record begins.
    at: usize,
    left: u32,
    /// The last serial that was seen.
    last: Option<Serial>,
    /// Where the length of the next record stands in the table, while the table fits the header.
    length_at: Option<usize>,
    sum: Crc32c,
    has_damage: bool,
}

impl Walk {
    /// A walk from the first record on.
    pub fn new(header: FrameHeader, id: JournalId, frame: &[u8]) -> Self {
        let length_at = has_lengths(&header, frame).then(|| header.records_end());
        let (left, sum) = (header.count, Crc32c::new());
        Self { header, id, at: HEAD_BYTES, left, last: None, length_at, sum, has_damage: false }
    }

    /// The next record or piece of damage with its place in the frame, counted from the frame's beginning; none at the end.
    pub fn step<'a>(&mut self, frame: &'a [u8]) -> Option<(Item<'a>, std::ops::Range<usize>)> {
        self.left = self.left.checked_sub(1)?;
        let start = self.at;
        let end = self.header.records_end().min(frame.len()).max(start);
        let told = self.take_length(frame);
        match Record::parse(frame.get(start..end).unwrap_or_default(), self.header.first, self.id) {
            Ok((record, len)) => {
                if told.is_some_and(|told| told != len) {
                    self.length_at = None; // the record is proven, so the table is not to be believed
                }
                self.at = start + len;
                self.sum.update(&record.checksum().to_le_bytes());
                Some((self.in_order(record), start..self.at))
            }
            Err(error) => {
                self.has_damage = true;
                if let Some(len) = told {
                    self.at = start + len;
                } else {
                    (self.at, self.left) = (end, 0); // nobody knows where the next one begins
                }
                Some((Item::Damaged(error), start..self.at))
            }
        }
    }

    /// After the last step: what is wrong with the frame beside its records.
    pub fn flaw(&self, frame: &[u8], place: Place) -> Option<Flaw> {
        let cut = usize::try_from(self.header.frame_bytes()).is_ok_and(|bytes| frame.len() < bytes);
        if cut {
            return Some(Flaw::Cut);
        }
        if !self.has_damage && !self.is_whole(frame) {
            return Some(Flaw::FrameLengths);
        }
        if frame[..HEAD_BYTES] != self.header.encode(place, self.id) {
            return Some(Flaw::FrameHeaderCopy);
        }
        let has_padding = frame[self.header.lengths_end()..].iter().all(|&byte| byte == 0);
        (!has_padding).then_some(Flaw::FramePadding)
    }

    /// After the last step: the frame as it was written to this place, if it is whole.
    pub fn mended(&self, frame: &[u8], place: Place) -> Vec<u8> {
        let mut mended = self.header.encode(place, self.id).to_vec();
        mended.extend_from_slice(&frame[HEAD_BYTES..self.header.lengths_end()]);
        mended.resize(frame.len(), 0);
        mended
    }

    /// After the last step: whether all that was committed is there as it was.
    pub fn is_whole(&self, frame: &[u8]) -> bool {
        let Some(lengths) = frame.get(self.header.records_end()..self.header.lengths_end()) else {
            return false;
        };
        let mut sum = self.sum;
        sum.update(lengths);
        !self.has_damage && self.left == 0 && self.at == self.header.records_end() && sum.value() == self.header.sum
    }

    /// The length of the next record by the table.
    fn take_length(&mut self, frame: &[u8]) -> Option<usize> {
        let at = self.length_at?;
        let (length, len) = varint::decode(&frame[at..self.header.lengths_end()]).ok()?;
        self.length_at = Some(at + len);
        usize::try_from(length).ok()
    }

    fn in_order<'a>(&mut self, record: Record<'a>) -> Item<'a> {
        match self.last {
            Some(last) if record.serial <= last => {
                self.has_damage = true;
                Item::Damaged(RecordError::Order { serial: record.serial.get(), previous: last.get() })
            }
            _ => {
                self.last = Some(record.serial);
                Item::Record(record)
            }
        }
    }
}

/// Whether the table of lengths is there and adds up to what the header says.
fn has_lengths(header: &FrameHeader, frame: &[u8]) -> bool {
    let Some(mut table) = frame.get(header.records_end()..header.lengths_end()) else {
        return false;
    };
    let (mut count, mut total) = (0_u32, 0_u64);
    while !table.is_empty() {
        let Ok((length, len)) = varint::decode(table) else { return false };
        table = &table[len..];
        count = count.saturating_add(1);
        total = total.saturating_add(length);
    }
    count == header.count && total == u64::from(header.records_bytes)
}

/// Whether all that was committed with this frame is there as it was.
pub fn is_whole(header: FrameHeader, id: JournalId, frame: &[u8]) -> bool {
    let mut walk = Walk::new(header, id, frame);
    while walk.step(frame).is_some() {}
    walk.is_whole(frame)
}
