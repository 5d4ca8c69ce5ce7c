//! A shard's disk in memory: the bytes of its journal, of which a power cut leaves what was safe, and of the write under way any sectors.
//!
//! It may be in trouble: slow, without room, or failed for good. Names are lost, too: of a segment that was made ahead of use, or taken
//! away, whoever starts next may find the old one or the new one.

use std::collections::{BTreeMap, VecDeque};

use pregon::base::random::Random;
use pregon::engine::change::{Change, Serial};
use pregon::engine::homes::ShardId;
use pregon::engine::message::{Message, SessionId};
use pregon::engine::output::Wanted;
use pregon::engine::stowage::{Spot, StowKey};
use pregon::journal::epoch::Epoch;
use pregon::journal::group::Group;
use pregon::journal::place::{BLOCK_BYTES, JournalId, Place, SegmentNumber};
use pregon::journal::replay::{Listed, Replay, Step};
use pregon::journal::report::Report;
use pregon::journal::scribe::{Page, Scribe};
use pregon::journal::segment::Header;
use pregon::journal::spots::{Marked, message_in, spot};

const ID: JournalId = JournalId::new(*b"power goes often");
/// Restarts happen at one moment of this clock: the world's goes on.
const EPOCH: Epoch = Epoch::new(1_790_000_000_000);
const SEGMENT_BYTES: u64 = 64 << 10;
/// What a disk writes whole: some disks this, others that.
const SECTOR_BYTES: [usize; 2] = [512, 4_096];
/// What the headers say; nobody asks.
const SHARDS: u8 = 8;

/// What one turn has noted.
#[derive(Debug)]
struct Turn {
    changes: Vec<(Serial, Change)>,
    /// Of which of them it is asked where they lie.
    stowed: Vec<(Serial, StowKey)>,
    swept: Option<Serial>,
}

/// Why nothing becomes safe.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trouble {
    /// There is no room, or it takes long: whoever waits is served when it is over.
    Full,
    /// A sync has failed. Nothing is written any more until somebody starts anew, and then nobody knows what of it the disk has.
    Failed,
}

/// The segments of one shard, and what they do not hold yet.
#[derive(Debug)]
pub struct Disk {
    scribe: Scribe,
    random: Random,
    files: BTreeMap<SegmentNumber, Vec<u8>>,
    /// What a segment that comes next lies on: zeros, or what a dead one held.
    recycled: Vec<Vec<u8>>,
    waiting: VecDeque<Turn>,
    stored: Serial,
    trouble: Option<Trouble>,
    /// Somebody has harmed it: what is read is not what was written.
    is_harmed: bool,
    /// What the last start has found.
    pub report: Report,
    /// The sessions that it was ever told of, and whose they are, until they end.
    sessions: BTreeMap<SessionId, Option<Box<str>>>,
    /// What was dropped, for those who want to know that it happens.
    pub dropped_segments: u64,
}

impl Disk {
    /// An empty one.
    pub fn new(shard: ShardId, seed: u64) -> Self {
        let (segment_bytes, next) = (SEGMENT_BYTES, SegmentNumber::FIRST);
        Self {
            scribe: Scribe { id: ID, shard, shards: SHARDS, segment_bytes, tail: None, next },
            random: Random::from_seed(seed ^ shard.index() as u64),
            files: BTreeMap::new(),
            recycled: Vec::new(),
            waiting: VecDeque::new(),
            stored: Serial::NONE,
            trouble: None,
            is_harmed: false,
            report: Report::default(),
            sessions: BTreeMap::new(),
            dropped_segments: 0,
        }
    }

    /// Takes the changes of one turn.
    pub fn take(
        &mut self,
        changes: &mut Vec<(Serial, Change)>,
        stowed: &mut Vec<(Serial, StowKey)>,
        swept: Option<Serial>,
    ) {
        let (changes, stowed) = (std::mem::take(changes), std::mem::take(stowed));
        assert!(stowed.iter().all(|(record, _)| changes.iter().any(|(serial, _)| serial == record)));
        if !changes.is_empty() {
            self.waiting.push_back(Turn { changes, stowed, swept });
        }
    }

    /// A message that was stored.
    pub fn read(&self, wanted: Wanted) -> Option<Message> {
        let file = self.files.get(&SegmentNumber::new(u64::from(wanted.spot.segment)))?;
        let start = usize::try_from(wanted.spot.position).expect("it is small");
        let bytes = file.get(start..start + usize::try_from(wanted.spot.bytes).expect("it is small"))?;
        message_in(bytes, wanted, ID, EPOCH)
    }

    /// Up to which change everything is safe.
    pub fn stored(&self) -> Serial {
        self.stored
    }

    /// How many turns are not safe.
    pub fn waiting(&self) -> usize {
        self.waiting.len()
    }

    /// It gets into trouble, or out of it; what has failed stays so.
    pub fn meet(&mut self, trouble: Option<Trouble>) {
        if self.trouble != Some(Trouble::Failed) {
            self.trouble = trouble;
        }
    }

    /// Whether it has failed for good.
    pub fn has_failed(&self) -> bool {
        self.trouble == Some(Trouble::Failed)
    }

    /// Whether it makes nothing safe now.
    pub fn is_in_trouble(&self) -> bool {
        self.trouble.is_some()
    }

    /// Ends the log in order: what it has was committed.
    pub fn close(&mut self) {
        let page = self.scribe.page(&mut Group::new(ID, EPOCH));
        self.land(page.place, &page.bytes);
        self.scribe.written(&page);
    }

    /// The segments, oldest first.
    pub fn segments(&self) -> Vec<(SegmentNumber, Vec<u8>)> {
        self.files.iter().map(|(number, file)| (*number, file.clone())).collect()
    }

    /// The same disk with these bytes in its segments, which may end early.
    pub fn harm(&mut self, segments: &[(SegmentNumber, Vec<u8>)]) {
        self.is_harmed = true;
        self.files = segments.iter().cloned().collect();
    }

    /// Makes the oldest turns safe, and drops what a sweep has made superfluous. Where what is stowed lies.
    pub fn store(&mut self, turns: usize) -> Vec<(StowKey, Spot)> {
        assert!(self.trouble.is_none(), "who is in trouble makes nothing safe");
        let turns = turns.min(self.waiting.len());
        let Some((page, marked)) = self.page(turns) else { return Vec::new() };
        let frame = page.frame_place();
        let spots = marked.iter().map(|marked| marked.spot(frame).expect("the disk is small")).collect();
        self.land(page.place, &page.bytes);
        self.scribe.written(&page);
        for turn in self.waiting.drain(..turns).collect::<Vec<_>>() {
            turn.changes.iter().for_each(|(_, change)| self.note_session(change));
            self.stored = turn.changes.last().map_or(self.stored, |(serial, _)| *serial);
            if let Some(began) = turn.swept {
                self.drop_before(began);
            }
        }
        spots
    }

    /// A session's number is given once, for ever.
    fn note_session(&mut self, change: &Change) {
        if let Change::Session { session, standing } = change {
            let owner = self.sessions.entry(*session).or_insert_with(|| Some(standing.client_id.clone()));
            assert_eq!(owner.as_ref(), Some(&standing.client_id), "{session:?} is given twice");
        } else if let Change::SessionEnded { session } = change {
            self.sessions.insert(*session, None);
        }
    }

    /// The write of so many turns.
    fn page(&self, turns: usize) -> Option<(Page, Vec<Marked>)> {
        let (mut group, mut marked) = (Group::new(ID, EPOCH), Vec::new());
        for turn in self.waiting.iter().take(turns) {
            for (record, change) in &turn.changes {
                let (record, at) = (*record, group.next_at());
                let bytes = group.push(record, change);
                let keys = turn.stowed.iter().filter(|(serial, _)| *serial == record).map(|(_, key)| *key);
                marked.extend(keys.map(|key| Marked { key, record, at, bytes }));
            }
        }
        (!group.is_empty()).then(|| (self.scribe.page(&mut group), marked))
    }

    fn land(&mut self, place: Place, bytes: &[u8]) {
        let start = usize::try_from(place.position).expect("it is small");
        let length = (start + bytes.len()).max(usize::try_from(SEGMENT_BYTES).expect("it is small"));
        let recycled = &mut self.recycled;
        let file = self.files.entry(place.segment).or_insert_with(|| recycled.pop().unwrap_or_default());
        file.resize(file.len().max(length), 0);
        file[start..start + bytes.len()].copy_from_slice(bytes);
    }

    /// Segments with nothing behind this change are dead.
    fn drop_before(&mut self, began: Serial) {
        let firsts: Vec<_> = self.files.iter().map(|(number, file)| (*number, first_of(*number, file))).collect();
        for pair in firsts.windows(2) {
            let [(number, _), (_, next_first)] = pair else { return };
            // Now and then the power goes between two of them.
            if next_first.is_none_or(|first| first > began.next()) || self.random.chance(1, 20) {
                return;
            }
            let dead = self.files.remove(number).expect("it was listed");
            self.dropped_segments += 1;
            if dead.len() as u64 == SEGMENT_BYTES {
                self.recycled.push(dead);
            }
        }
    }

    /// The power goes, in the middle of a write: any of its sectors are there, or none, or all. What the disk tells then.
    pub fn lose_power(&mut self, restore: impl FnMut(Serial, Change, Option<Spot>)) {
        let turns = self.random.index(self.waiting.len() + 1);
        if let Some((page, _)) = self.page(turns) {
            self.tear(&page);
        }
        self.waiting.clear();
        self.trouble = None;
        self.lose_names();
        let mut report = self.tell(restore);
        assert!(self.is_harmed || report.is_clean(), "a power cut damages nothing: {report:?}");
        // Nobody writes behind the end of a file that was cut short.
        let length = |number| self.files.get(&number).map_or(0, |file| file.len() as u64);
        report.tail.iter_mut().for_each(|tail| tail.length = tail.length.min(length(tail.place.segment)));
        for mend in &report.mends {
            let place = mend.damage.place;
            self.land(place, &mend.clone().into_bytes(ID, self.scribe.shard, SHARDS));
        }
        (self.scribe.tail, self.scribe.next, self.stored) = (report.tail, report.next, report.resume_after());
        // What was made ahead of use, or begun and torn, is made again.
        let next = self.scribe.next;
        self.recycled.extend(self.files.extract_if(next.., |_, _| true).map(|(_, file)| file));
        self.report = report;
    }

    /// The next segment may have its name already, and hold zeros or what a dead one held.
    fn lose_names(&mut self) {
        let is_begun = self.files.contains_key(&self.scribe.next);
        if is_begun || self.is_harmed || !self.random.chance(1, 4) {
            return;
        }
        let blank = vec![0; usize::try_from(SEGMENT_BYTES).expect("it is small")];
        let dead = self.recycled.pop().filter(|_| self.random.chance(1, 2));
        self.files.insert(self.scribe.next, dead.unwrap_or(blank));
    }

    /// What a start is told.
    fn tell(&self, mut restore: impl FnMut(Serial, Change, Option<Spot>)) -> Report {
        let listed: Vec<Listed> = self
            .files
            .iter()
            .map(|(number, file)| Listed {
                number: *number,
                available: file.len() as u64,
                header: Header::parse(&file[..file.len().min(BLOCK_BYTES)]),
            })
            .collect();
        let mut replay = Replay::new(ID, self.scribe.shard, EPOCH, &listed).expect("nobody writes another version");
        loop {
            match replay.step() {
                Step::Change(found) => {
                    restore(found.serial, found.change, spot(found.serial, found.place, found.bytes));
                }
                Step::Wants { place, bytes } => {
                    let start = usize::try_from(place.position).expect("it is small");
                    let end = start + usize::try_from(bytes).expect("it is small");
                    replay.feed(place, bytes, &self.files[&place.segment][start..end]);
                }
                Step::Newer { .. } => panic!("nobody writes another version"),
                Step::Done => return replay.report().clone(),
            }
        }
    }

    fn tear(&mut self, page: &Page) {
        let missing = match self.random.index(4) {
            0 => 0,
            1 => 10,
            2 => 5,
            _ => 1,
        };
        let mut bytes = vec![0; page.bytes.len()];
        let start = usize::try_from(page.place.position).expect("it is small");
        let there = self.files.get(&page.place.segment).or(self.recycled.last());
        if let Some(there) = there.and_then(|file| file.get(start..)) {
            let len = there.len().min(bytes.len());
            bytes[..len].copy_from_slice(&there[..len]);
        }
        let sector = *self.random.pick(&SECTOR_BYTES).expect("there are two");
        for (new, old) in page.bytes.chunks(sector).zip(bytes.chunks_mut(sector)) {
            if !self.random.chance(missing, 10) {
                old.copy_from_slice(new);
            }
        }
        self.land(page.place, &bytes);
    }
}

/// The lowest number that may be in a segment.
fn first_of(number: SegmentNumber, file: &[u8]) -> Option<Serial> {
    let (header, _) = Header::parse(&file[..BLOCK_BYTES]).ok()?;
    (header.number == number).then_some(header.first)
}
