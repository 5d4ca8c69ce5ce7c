//! What the fuzz target of the journal does with its bytes; `tests/corpus.rs` does the same with its corpus.

use std::collections::BTreeMap;

use pregon::engine::change::{Change, Serial};
use pregon::engine::homes::ShardId;
use pregon::journal::content;
use pregon::journal::epoch::Epoch;
use pregon::journal::group::Group;
use pregon::journal::place::{BLOCK_BYTES, JournalId, Place, SegmentNumber};
use pregon::journal::record::Record;
use pregon::journal::replay::{Listed, Replay, Step};
use pregon::journal::report::Report;
use pregon::journal::segment::{Header, Previous};

const ID: JournalId = JournalId::new(*b"a fuzzed journal");
const SHARD: ShardId = ShardId::new(0);
const EPOCH: Epoch = Epoch::new(1_790_000_000_000);
const SEGMENT_BYTES: u64 = 16 << 10;
/// What happens to a journal in one run.
const STEPS_MAX: usize = 64;

/// Bytes as a record, as a frame and as a segment; then a journal whose records, groups and damage are as the bytes say. Nothing may
/// panic, and what is delivered was written.
pub fn journal(data: &[u8]) {
    if let Ok(Some(change)) = content::decode(Serial::new(1 << 32), data, EPOCH) {
        let bytes = content_of(Serial::new(1 << 32), &change);
        let again = content::decode(Serial::new(1 << 32), &bytes, EPOCH).expect("what is written can be read");
        let again = again.expect("a change is never passed over");
        assert_eq!(content_of(Serial::new(1 << 32), &again), bytes, "what is read and written stays the same");
    }
    if let Ok((record, len)) = Record::parse(data, Serial::new(1), ID) {
        assert_eq!(Record::parse_alone(&data[..len], record.serial, ID), Ok(record));
    }
    replayed(&BTreeMap::from([(SegmentNumber::FIRST, data.to_vec())]), |_, _| panic!("nobody has written this"));

    let mut journal = Journal::default();
    let mut rest = data;
    for _ in 0..STEPS_MAX {
        let [what, much, tail @ ..] = rest else { break };
        rest = tail;
        match what & 7 {
            0..=3 => {
                let (bytes, tail) = rest.split_at(usize::from(*much).min(rest.len()));
                rest = tail;
                journal.push(bytes, usize::from(what >> 3));
            }
            4 => journal.commit(what & 8 != 0),
            5 => journal.harm(usize::from(*what >> 3), usize::from(*much), |byte| *byte ^= 1 << (what >> 5)),
            6 => journal.harm(usize::from(*what >> 3), usize::from(*much), |byte| *byte = *what),
            _ => journal.cut(usize::from(*what >> 3), usize::from(*much)),
        }
    }
    journal.commit(false);
    let mut last = Serial::NONE;
    let report = replayed(&journal.files, |serial, change| {
        assert!(serial > last, "the numbers go up");
        last = serial;
        assert_eq!(Some(&content_of(serial, change)), journal.written.get(&serial), "{serial:?} was not written so");
    });
    let is_whole = report.records == journal.written.len() as u64;
    assert!(is_whole || journal.is_harmed, "nothing was harmed and something is missing: {report:?}");
}

fn content_of(serial: Serial, change: &Change) -> Vec<u8> {
    let mut bytes = Vec::new();
    content::encode(serial, change, EPOCH, &mut bytes);
    bytes
}

/// Hands on what a start would read from these files.
fn replayed(files: &BTreeMap<SegmentNumber, Vec<u8>>, mut take: impl FnMut(Serial, &Change)) -> Report {
    let listed: Vec<Listed> = files
        .iter()
        .map(|(number, file)| Listed {
            number: *number,
            available: file.len() as u64,
            header: Header::parse(&file[..file.len().min(BLOCK_BYTES)]),
        })
        .collect();
    let Ok(mut replay) = Replay::new(ID, SHARD, EPOCH, &listed) else { return Report::default() };
    loop {
        match replay.step() {
            Step::Change(found) => take(found.serial, &found.change),
            Step::Wants { place, bytes } => {
                let file = &files[&place.segment];
                let start = usize::try_from(place.position).expect("it lies in the file");
                let end = start + usize::try_from(bytes).expect("it lies in the file");
                replay.feed(place, bytes, &file[start..end]);
            }
            Step::Newer { .. } => {}
            Step::Done => return replay.report().clone(),
        }
    }
}

/// A journal that is written and harmed as the bytes say.
struct Journal {
    files: BTreeMap<SegmentNumber, Vec<u8>>,
    written: BTreeMap<Serial, Vec<u8>>,
    group: Group,
    next: Serial,
    tail: Option<Place>,
    is_harmed: bool,
}

impl Default for Journal {
    fn default() -> Self {
        let (files, written) = (BTreeMap::new(), BTreeMap::new());
        let group = Group::new(ID, EPOCH);
        Self { files, written, group, next: Serial::new(1 << 20), tail: None, is_harmed: false }
    }
}

impl Journal {
    /// Takes in the change that these bytes tell, if they tell one, and leaves out some numbers before it.
    fn push(&mut self, bytes: &[u8], gap: usize) {
        let serial = Serial::new(self.next.get() + gap as u64 * gap as u64);
        if let Ok(Some(change)) = content::decode(serial, bytes, EPOCH) {
            self.group.push(serial, &change);
            self.written.insert(serial, content_of(serial, &change));
            self.next = serial.next();
        }
    }

    /// Writes the group behind the last one, or into a new segment.
    fn commit(&mut self, ends_segment: bool) {
        let fits =
            |tail: &Place| !ends_segment && self.group.fits(tail.position, self.files[&tail.segment].len() as u64);
        let place = match self.tail.filter(fits) {
            Some(tail) => tail,
            None => self.open(),
        };
        let frame = self.group.seal(place);
        let start = usize::try_from(place.position).expect("it lies in the file");
        let file = self.files.get_mut(&place.segment).expect("the tail lies in a file");
        file[start..start + frame.len()].copy_from_slice(frame);
        self.tail = Some(Place { position: place.position + frame.len() as u64, ..place });
        self.group.clear();
    }

    fn open(&mut self) -> Place {
        let number = self.files.last_key_value().map_or(SegmentNumber::FIRST, |(last, _)| last.next());
        let previous = self.tail.map(|tail| Previous { number: tail.segment, end: tail.position });
        let (length, first) = (self.group.segment_length(SEGMENT_BYTES), self.group.first().unwrap_or(self.next));
        let header = Header { id: ID, shard: SHARD, shards: 1, number, length, first, previous };
        let mut file = Vec::new();
        header.encode(&mut file);
        file.resize(usize::try_from(length).expect("it is small"), 0);
        self.files.insert(number, file);
        Place { segment: number, position: BLOCK_BYTES as u64 }
    }

    /// Changes one byte of one file.
    fn harm(&mut self, which: usize, at: usize, how: impl FnOnce(&mut u8)) {
        let Some(file) = self.pick(which) else { return };
        let at = at * at % file.len().max(1);
        file.get_mut(at).map(how);
        self.is_harmed = true;
    }

    /// Takes away the end of one file, until something is written there again.
    fn cut(&mut self, which: usize, at: usize) {
        let Some(file) = self.pick(which) else { return };
        let at = at * at % file.len().max(1);
        file[at..].fill(0);
        self.is_harmed = true;
    }

    fn pick(&mut self, which: usize) -> Option<&mut Vec<u8>> {
        let which = which % self.files.len().max(1);
        self.files.values_mut().nth(which)
    }
}
