//! The group of changes that the next commit makes durable: the frame while it forms.

use super::epoch::Epoch;
use super::frame::{FrameHeader, HEAD_BYTES};
use super::place::{BLOCK_BYTES, JournalId, Place};
use super::record;
use super::varint;
use crate::base::checksum::Crc32c;
use crate::engine::change::{Change, Serial};

/// Memory that a group keeps for the next one. What one large message took beyond it is given back.
pub const GROUP_KEPT_BYTES_MAX: usize = 4 << 20;
/// Bytes of records in one frame. The largest message of MQTT and its neighbours fit many times over.
pub const GROUP_BYTES_MAX: usize = 2 << 30;

/// Changes that are committed together. One per shard, filled while the commit before it is under way.
///
/// Records are encoded when they are pushed, straight behind each other: a payload is copied once, and nothing is allocated for
/// a record once the group has its size.
#[derive(Debug)]
pub struct Group {
    id: JournalId,
    epoch: Epoch,
    /// Room for the header, then the records; once sealed also lengths and padding.
    bytes: Vec<u8>,
    records_end: usize,
    lengths: Vec<u8>,
    /// The first and the last serial.
    serials: Option<(Serial, Serial)>,
    count: u32,
    sum: Crc32c,
}

impl Group {
    /// An empty group.
    pub fn new(id: JournalId, epoch: Epoch) -> Self {
        let bytes = vec![0; HEAD_BYTES];
        Self {
            id,
            epoch,
            bytes,
            records_end: HEAD_BYTES,
            lengths: Vec::new(),
            serials: None,
            count: 0,
            sum: Crc32c::new(),
        }
    }

    /// Takes in a change; the numbers go up. Says how many bytes it takes on disk.
    pub fn push(&mut self, serial: Serial, change: &Change) -> usize {
        let first = self.begin(serial);
        let checksum = record::encode((first, serial), change, self.epoch, self.id, &mut self.bytes);
        self.end(checksum)
    }

    /// How many changes it has.
    pub const fn len(&self) -> u32 {
        self.count
    }

    /// Whether it has none. An empty group may be committed, too: it says that all before it was written whole.
    pub const fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// The lowest number that it has: the one that the header of a segment names which begins with this group.
    pub fn first(&self) -> Option<Serial> {
        self.serials.map(|(first, _)| first)
    }

    /// The last number that it has: with its commit everything up to here is safe.
    pub fn last(&self) -> Option<Serial> {
        self.serials.map(|(_, last)| last)
    }

    /// Where in the frame the next record will begin.
    pub const fn next_at(&self) -> usize {
        self.records_end
    }

    /// Bytes that the frame will take, a multiple of the block.
    pub const fn frame_bytes(&self) -> u64 {
        ((self.records_end + self.lengths.len()) as u64).next_multiple_of(BLOCK_BYTES as u64)
    }

    /// Whether the frame fits into what is left of a segment of this length from this position on.
    pub const fn fits(&self, position: u64, segment_length: u64) -> bool {
        position + self.frame_bytes() <= segment_length
    }

    /// The length of a segment that has room for this frame: the usual one, or as long as this frame alone needs.
    pub const fn segment_length(&self, usual: u64) -> u64 {
        let needed = BLOCK_BYTES as u64 + self.frame_bytes();
        if needed > usual { needed } else { usual }
    }

    /// The frame, to be written at this place and nowhere else. It may be sealed again for another place.
    pub fn seal(&mut self, place: Place) -> &[u8] {
        debug_assert!(
            place.position.is_multiple_of(BLOCK_BYTES as u64) && place.position > 0,
            "frames begin at blocks"
        );
        let header = self.header(place);
        self.bytes.truncate(self.records_end);
        self.bytes.extend_from_slice(&self.lengths);
        self.bytes.resize(self.bytes.len().next_multiple_of(BLOCK_BYTES), 0);
        self.bytes[..HEAD_BYTES].copy_from_slice(&header.encode(place, self.id));
        debug_assert_eq!(self.bytes.len() as u64, header.frame_bytes(), "the header says how long the frame is");
        &self.bytes
    }

    /// Empties the group and keeps its memory.
    pub fn clear(&mut self) {
        self.bytes.truncate(HEAD_BYTES);
        self.bytes.shrink_to(GROUP_KEPT_BYTES_MAX);
        self.lengths.clear();
        self.lengths.shrink_to(GROUP_KEPT_BYTES_MAX);
        (self.records_end, self.serials, self.count, self.sum) = (HEAD_BYTES, None, 0, Crc32c::new());
    }

    fn begin(&mut self, serial: Serial) -> Serial {
        assert!(self.serials.is_none_or(|(_, last)| last < serial), "the numbers of a group go up");
        self.bytes.truncate(self.records_end);
        let first = self.serials.map_or(serial, |(first, _)| first);
        self.serials = Some((first, serial));
        first
    }

    fn end(&mut self, checksum: u32) -> usize {
        let len = self.bytes.len() - self.records_end;
        varint::encode(len as u64, &mut self.lengths);
        self.sum.update(&checksum.to_le_bytes());
        self.records_end = self.bytes.len();
        self.count += 1;
        assert!(self.records_end <= GROUP_BYTES_MAX, "the shell commits long before");
        len
    }

    fn header(&self, place: Place) -> FrameHeader {
        let mut sum = self.sum;
        sum.update(&self.lengths);
        let length = |bytes: usize| u32::try_from(bytes).expect("a group is bounded below 4 GiB");
        FrameHeader {
            segment: place.segment,
            records_bytes: length(self.records_end - HEAD_BYTES),
            lengths_bytes: length(self.lengths.len()),
            count: self.count,
            first: self.serials.map_or(Serial::NONE, |(first, _)| first),
            sum: sum.value(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::random::Random;
    use crate::journal::arbitrary::{EPOCH, any_change};
    use crate::journal::frame::{Item, Walk, is_whole};
    use crate::journal::place::SegmentNumber;

    const ID: JournalId = JournalId::new([7; 16]);
    const PLACE: Place = Place { segment: SegmentNumber::new(3), position: 8192 };

    fn group(serials: std::ops::Range<u64>, random: &mut Random) -> Group {
        let mut group = Group::new(ID, EPOCH);
        for serial in serials.map(Serial::new) {
            group.push(serial, &any_change(serial, random));
        }
        group
    }

    fn serials(frame: &[u8], place: Place) -> Vec<u64> {
        let header = FrameHeader::parse(frame, place, ID).unwrap();
        assert!(is_whole(header, ID, frame));
        let mut walk = Walk::new(header, ID, frame);
        let mut serials = Vec::new();
        while let Some((item, _)) = walk.step(frame) {
            let Item::Record(record) = item else { panic!("{item:?}") };
            serials.push(record.serial.get());
        }
        assert_eq!(walk.flaw(frame, place), None);
        serials
    }

    #[test]
    fn a_sealed_group_is_a_frame_of_its_records() {
        let mut group = group(40..140, &mut Random::from_seed(1));
        assert_eq!((group.len(), group.first(), group.last()), (100, Some(Serial::new(40)), Some(Serial::new(139))));
        let (frame_bytes, is_empty) = (group.frame_bytes(), group.is_empty());
        let frame = group.seal(PLACE);
        assert_eq!((frame.len() as u64, frame.len() % BLOCK_BYTES, is_empty), (frame_bytes, 0, false));
        assert_eq!(serials(frame, PLACE), (40..140).collect::<Vec<_>>());
    }

    #[test]
    fn a_group_is_sealed_again_for_another_place_and_filled_on() {
        let mut random = Random::from_seed(2);
        let mut group = group(40..50, &mut random);
        let elsewhere = Place { position: 4096, ..PLACE };
        assert_eq!(serials(group.seal(PLACE), PLACE).len(), 10);
        assert_eq!(FrameHeader::parse(group.seal(elsewhere), PLACE, ID), None, "it is a frame of one place alone");
        assert_eq!(serials(group.seal(elsewhere), elsewhere).len(), 10);
        group.push(Serial::new(77), &any_change(Serial::new(77), &mut random));
        assert_eq!(serials(group.seal(PLACE), PLACE).last(), Some(&77));
    }

    #[test]
    fn a_cleared_group_begins_anew_in_its_memory() {
        let mut random = Random::from_seed(3);
        let mut group = group(40..500, &mut random);
        let capacity = group.bytes.capacity();
        group.clear();
        assert_eq!((group.len(), group.first(), group.frame_bytes()), (0, None, BLOCK_BYTES as u64));
        assert_eq!(group.bytes.capacity(), capacity.min(GROUP_KEPT_BYTES_MAX));
        group.push(Serial::new(9), &any_change(Serial::new(9), &mut random));
        assert_eq!(serials(group.seal(PLACE), PLACE), [9]);
    }

    #[test]
    fn an_empty_group_is_a_frame_too() {
        let mut group = Group::new(ID, EPOCH);
        assert!(group.is_empty());
        assert!(serials(group.seal(PLACE), PLACE).is_empty());
    }

    #[test]
    fn a_group_fits_or_gets_a_segment_of_its_own() {
        let mut group = Group::new(ID, EPOCH);
        assert!(group.fits(60 << 10, 64 << 10) && !group.fits(64 << 10, 64 << 10));
        assert_eq!(group.segment_length(64 << 10), 64 << 10);
        let topic: Box<str> = "t".repeat(65_535).into();
        group.push(Serial::new(1), &Change::RetainedGone { topic });
        assert!(!group.fits(BLOCK_BYTES as u64, 64 << 10));
        let length = group.segment_length(64 << 10);
        assert!(group.fits(BLOCK_BYTES as u64, length) && length < 80 << 10);
    }

    #[test]
    #[should_panic(expected = "the numbers of a group go up")]
    fn a_number_is_not_taken_twice() {
        group(7..9, &mut Random::from_seed(5)).push(Serial::new(8), &Change::RetainedGone { topic: "t".into() });
    }
}
