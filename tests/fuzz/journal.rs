//! What the fuzz target of whole journals does with its bytes; `tests/corpus.rs` does the same with its corpus.

use std::collections::BTreeMap;

use pregon::engine::change::{Change, Serial};
use pregon::engine::homes::ShardId;
use pregon::journal::content;
use pregon::journal::epoch::Epoch;
use pregon::journal::group::Group;
use pregon::journal::place::{BLOCK_BYTES, JournalId, Place, SegmentNumber};
use pregon::journal::replay::{Listed, Replay, Step};
use pregon::journal::report::Report;
use pregon::journal::scribe::Scribe;
use pregon::journal::segment::{Header, Previous};

pub const ID: JournalId = JournalId::new(*b"a fuzzed journal");
pub const SHARD: ShardId = ShardId::new(0);
pub const EPOCH: Epoch = Epoch::new(1_790_000_000_000);
pub const SEGMENT_BYTES: u64 = 16 << 10;
/// What happens to a journal in one run.
const STEPS_MAX: usize = 64;

/// Bytes as a segment; then a journal whose records, groups and damage are as the bytes say. Nothing may panic, what is delivered was
/// written, and what a start has delivered the next one delivers again, and whatever was written behind it.
pub fn journal(data: &[u8]) {
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
    let (told, report) = journal.told();
    assert!(told.is_sorted_by(|one, next| one.0 < next.0), "the numbers go up");
    for (serial, content) in &told {
        assert_eq!(Some(content), journal.written.get(serial), "{serial:?} was not written so");
    }
    let is_whole = report.records == journal.written.len() as u64;
    assert!(is_whole || journal.is_harmed, "nothing was harmed and something is missing: {report:?}");

    journal.restart(report);
    let (again, report) = journal.told();
    assert_eq!(
        again.split_last().map(|(_, before)| before),
        Some(&told[..]),
        "a start has changed what the next one is told"
    );
    assert!(report.mends.is_empty(), "what was mended is as it was written: {report:?}");
}

pub fn content_of(serial: Serial, change: &Change) -> Vec<u8> {
    let mut bytes = Vec::new();
    content::encode(serial, change, EPOCH, &mut bytes);
    bytes
}

/// Hands on what a start would read from these files.
pub fn replayed(files: &BTreeMap<SegmentNumber, Vec<u8>>, mut take: impl FnMut(Serial, &Change)) -> Report {
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

    /// What a start would be told.
    fn told(&self) -> (Vec<(Serial, Vec<u8>)>, Report) {
        let mut told = Vec::new();
        let report = replayed(&self.files, |serial, change| told.push((serial, content_of(serial, change))));
        (told, report)
    }

    /// A start mends what it is told to mend, and writes one group behind what counts.
    fn restart(&mut self, report: Report) {
        let after = report.resume_after();
        let Report { tail, next, mends, .. } = report;
        for mend in mends {
            let place = mend.damage.place;
            self.land(place, &mend.into_bytes(ID, SHARD, 1));
        }
        let mut scribe = Scribe { id: ID, shard: SHARD, shards: 1, segment_bytes: SEGMENT_BYTES, tail, next };
        let mut group = Group::new(ID, EPOCH);
        group.push(after.next(), &Change::RetainedGone { topic: "behind".into() });
        let page = scribe.page(&mut group);
        let length = usize::try_from(page.segment_bytes()).expect("it is small");
        let file = self.files.entry(page.place.segment).or_default();
        file.resize(file.len().max(length), 0);
        self.land(page.place, &page.bytes);
        scribe.written(&page);
    }

    fn land(&mut self, place: Place, bytes: &[u8]) {
        let start = usize::try_from(place.position).expect("it lies in the file");
        let file = self.files.get_mut(&place.segment).expect("it is there");
        file[start..start + bytes.len()].copy_from_slice(bytes);
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
