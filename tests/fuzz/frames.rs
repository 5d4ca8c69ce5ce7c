//! What the fuzz targets of records and of frames do with their bytes; `tests/corpus.rs` does the same with their corpora.

use std::collections::BTreeMap;
use std::ops::Range;

use pregon::base::checksum::Crc32c;
use pregon::engine::change::{Change, Serial};
use pregon::journal::content;
use pregon::journal::frame::{FrameHeader, HEAD_BYTES, Item, Walk};
use pregon::journal::place::{BLOCK_BYTES, Place, SegmentNumber};
use pregon::journal::record::{self, Record};
use pregon::journal::report::Flaw;
use pregon::journal::segment::Header;
use pregon::journal::varint;

use crate::journal::{EPOCH, ID, SEGMENT_BYTES, SHARD, content_of, replayed};

/// The number of the first record of a frame.
const FIRST: Serial = Serial::new(1 << 20);
const PLACE: Place = Place { segment: SegmentNumber::FIRST, position: BLOCK_BYTES as u64 };
/// Pieces that a frame is made of.
const PIECES_MAX: usize = 64;

/// Bytes as a number and the content of a record. What can be read is written and read again as it was; cut or with any one bit turned it is
/// none.
pub fn records(data: &[u8]) {
    let [offset, bit_low, bit_high, content @ ..] = data else { return };
    if let Ok((record, len)) = Record::parse(data, FIRST, ID) {
        assert_eq!(Record::parse_alone(&data[..len], record.serial, ID), Ok(record));
    }
    let serial = Serial::new(FIRST.get() + (u64::from(*offset) << (offset & 31)));
    let Ok(Some(change)) = content::decode(serial, content, EPOCH) else { return };
    let canonical = content_of(serial, &change);
    let again = content::decode(serial, &canonical, EPOCH).expect("what is written can be read");
    assert_eq!(content_of(serial, &again.expect("a change is never passed over")), canonical);

    let mut bytes = Vec::new();
    let checksum = record::encode((FIRST, serial), &change, EPOCH, ID, &mut bytes);
    let (record, len) = Record::parse(&bytes, FIRST, ID).expect("what is written can be read");
    assert_eq!((record.serial, record.checksum(), len), (serial, checksum, bytes.len()));
    let told = record.change(EPOCH).expect("what is written is understood");
    assert_eq!(told.map(|change| content_of(serial, &change)), Some(canonical));
    let bit = usize::from(u16::from_le_bytes([*bit_low, *bit_high])) % (8 * bytes.len());
    Record::parse(&bytes[..bit / 8], FIRST, ID).expect_err("a part is none");
    bytes[bit / 8] ^= 1 << (bit % 8);
    Record::parse(&bytes, FIRST, ID).expect_err("a bit was turned");
}

/// A frame whose records, lengths and header are as the bytes say, with checksums that are right or wrong, as a segment's only one. Nothing
/// may panic; numbers go up; what is whole is all there, and a start mends what it says it mends.
pub fn frames(data: &[u8]) {
    let frame = frame(data);
    let header = FrameHeader::parse(&frame, PLACE, ID);
    if let Some(header) = header {
        let bytes = usize::try_from(header.frame_bytes()).expect("a frame is below 4 GiB").min(frame.len());
        walked(header, &frame[..bytes]);
        walked(header, &frame[..bytes / 2]);
    }
    let mut file = Vec::new();
    let (shards, previous) = (1, None);
    let length = SEGMENT_BYTES.max((BLOCK_BYTES + frame.len()).next_multiple_of(BLOCK_BYTES) as u64);
    Header { id: ID, shard: SHARD, shards, number: PLACE.segment, length, first: FIRST, previous }.encode(&mut file);
    file.extend_from_slice(&frame);
    file.resize(usize::try_from(length).expect("it is small"), 0);
    let mut files = BTreeMap::from([(PLACE.segment, file)]);
    let told = |files: &BTreeMap<_, _>| {
        let mut told = Vec::<(Serial, Vec<u8>)>::new();
        let report = replayed(files, |serial, change: &Change| {
            assert!(told.last().is_none_or(|(last, _)| *last < serial), "the numbers go up");
            told.push((serial, content_of(serial, change)));
        });
        (told, report)
    };
    let (before, report) = told(&files);
    for mend in report.mends {
        let start = usize::try_from(mend.damage.place.position).expect("it lies in the file");
        let bytes = mend.into_bytes(ID, SHARD, 1);
        files.get_mut(&PLACE.segment).expect("it is there")[start..start + bytes.len()].copy_from_slice(&bytes);
    }
    let (after, report) = told(&files);
    assert_eq!(before, after, "what was mended tells what it told");
    assert!(report.mends.is_empty(), "what was mended is as it was written");
}

/// Goes through a frame, which may be cut.
fn walked(header: FrameHeader, frame: &[u8]) {
    let mut walk = Walk::new(header, ID, frame);
    let (mut last, mut end, mut items) = (None, HEAD_BYTES, 0);
    while let Some((item, Range { start, end: next })) = walk.step(frame) {
        assert!(start == end && next >= start, "one lies behind the other");
        (end, items) = (next, items + 1);
        if let Item::Record(record) = item {
            assert!(last < Some(record.serial) && next <= frame.len(), "the numbers go up");
            last = Some(record.serial);
            Record::parse(&frame[start..next], header.first, ID).expect("it was read from here");
        }
    }
    assert!(items <= header.count);
    let flaw = walk.flaw(frame, PLACE);
    if walk.is_whole(frame) {
        assert_eq!((items, end), (header.count, HEAD_BYTES + header.records_bytes as usize));
        let is_right = flaw != Some(Flaw::Cut) && walk.mended(frame, PLACE) == frame;
        assert_eq!(flaw.is_none(), is_right, "a flaw is what a mend changes: {flaw:?}");
    }
}

/// Pieces with right checksums or none, and a header around them whose fields are right or as the bytes say.
fn frame(data: &[u8]) -> Vec<u8> {
    let (mut records, mut lengths, mut sum, mut count) = (Vec::new(), Vec::new(), Crc32c::new(), 0_u32);
    let mut serial = FIRST;
    let mut rest = data;
    for _ in 0..PIECES_MAX {
        let [what, much, tail @ ..] = rest else { break };
        let (content, tail) = tail.split_at(usize::from(*much).min(tail.len()));
        rest = tail;
        let start = records.len();
        match what & 7 {
            0..=4 => {
                // The number of the one before it, or a later one.
                serial = Serial::new(serial.get() + u64::from(what >> 3));
                let checksum = of_content(serial, content);
                records.extend_from_slice(&checksum.to_le_bytes());
                varint::encode(content.len() as u64, &mut records);
                varint::encode(serial.get() - FIRST.get(), &mut records);
                records.extend_from_slice(content);
                sum.update(&checksum.to_le_bytes());
            }
            5 => records.extend_from_slice(content),
            6 => {
                lengths.extend_from_slice(content);
                continue;
            }
            _ => return crooked(content, *what, &records, &lengths, sum, count),
        }
        count += 1;
        varint::encode((records.len() - start) as u64, &mut lengths);
    }
    crooked(&[], 0, &records, &lengths, sum, count)
}

fn of_content(serial: Serial, content: &[u8]) -> u32 {
    let mut checksum = ID.checksum();
    checksum.update(&serial.get().to_le_bytes());
    checksum.update(content);
    checksum.value()
}

/// The frame of these parts: some of its header's fields and some of its bytes are as `how` says.
fn crooked(how: &[u8], what: u8, records: &[u8], lengths: &[u8], mut sum: Crc32c, count: u32) -> Vec<u8> {
    sum.update(lengths);
    let Some((fields, places)) = how.split_first_chunk::<5>() else {
        return sealed(records, lengths, sum.value(), [0; 3], count);
    };
    let [crooks @ .., more, other] = fields;
    let crooks = crooks.map(|byte| u32::from(byte & 15) << (byte >> 3));
    let count = if what & 8 != 0 { count.wrapping_add(u32::from(*more)) } else { count };
    let sum = if what & 16 != 0 { u32::from(*other) } else { sum.value() };
    let mut frame = sealed(records, lengths, sum, crooks, count);
    for at in places.chunks_exact(3) {
        let len = frame.len();
        frame[usize::from(u16::from_le_bytes([at[0], at[1]])) % len] ^= at[2];
    }
    frame
}

fn sealed(records: &[u8], lengths: &[u8], sum: u32, crooks: [u32; 3], count: u32) -> Vec<u8> {
    let length = |bytes: &[u8], crook: u32| u32::try_from(bytes.len()).expect("they are few").wrapping_add(crook);
    let header = FrameHeader {
        segment: PLACE.segment,
        records_bytes: length(records, crooks[0]),
        lengths_bytes: length(lengths, crooks[1]),
        count,
        first: Serial::new(FIRST.get() + u64::from(crooks[2])),
        sum,
    };
    let mut frame = header.encode(PLACE, ID).to_vec();
    frame.extend_from_slice(records);
    frame.extend_from_slice(lengths);
    frame.resize(frame.len().next_multiple_of(BLOCK_BYTES), 0);
    frame
}
