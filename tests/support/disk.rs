//! A shard's disk in memory: turns become the bytes of its journal, and what a power cut leaves of them is told to whoever starts.
//!
//! It may be in trouble: slow, without room, or failed for good. What becomes of bytes and names is the matter of its
//! [`Medium`].

use std::collections::{BTreeMap, VecDeque};

use super::medium::{Medium, SEGMENT_BYTES};
use pregon::base::random::Random;
use pregon::engine::change::{Change, Serial};
use pregon::engine::homes::ShardId;
use pregon::engine::message::{Message, SessionId};
use pregon::engine::output::Wanted;
use pregon::engine::stowage::{Spot, StowKey};
use pregon::journal::epoch::Epoch;
use pregon::journal::group::Group;
use pregon::journal::place::{BLOCK_BYTES, JournalId, SegmentNumber};
use pregon::journal::replay::{Listed, Replay, Step};
use pregon::journal::report::Report;
use pregon::journal::scribe::{Page, Scribe};
use pregon::journal::segment::Header;
use pregon::journal::spots::{Marked, message_in, spot};

const ID: JournalId = JournalId::new(*b"power goes often");
/// Restarts happen at one moment of this clock: the world's goes on.
const EPOCH: Epoch = Epoch::new(1_790_000_000_000);
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
    medium: Medium,
    waiting: VecDeque<Turn>,
    stored: Serial,
    /// Up to which change the device has everything.
    synced: Serial,
    /// The device is given time: what was written counts as safe, and is synced now and then.
    is_lazy: bool,
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
            medium: Medium::default(),
            waiting: VecDeque::new(),
            stored: Serial::NONE,
            synced: Serial::NONE,
            is_lazy: false,
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
        let (_, file) = self.medium.log().find(|(number, _)| number.get() == u64::from(wanted.spot.segment))?;
        let start = usize::try_from(wanted.spot.position).expect("it is small");
        let bytes = file.get(start..start + usize::try_from(wanted.spot.bytes).expect("it is small"))?;
        message_in(bytes, wanted, ID, EPOCH)
    }

    /// Up to which change everything is safe.
    pub fn stored(&self) -> Serial {
        self.stored
    }

    /// Up to which change a power cut takes nothing.
    pub fn synced(&self) -> Serial {
        self.synced
    }

    /// From now on the device is given time.
    pub fn be_lazy(&mut self) {
        self.is_lazy = true;
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
        self.medium.write(page.place, &page.bytes);
        self.medium.sync();
        self.scribe.written(&page);
    }

    /// The segments, oldest first.
    pub fn segments(&self) -> Vec<(SegmentNumber, Vec<u8>)> {
        self.medium.files().iter().map(|(number, file)| (*number, file.clone())).collect()
    }

    /// The same disk with these bytes in its segments, which may end early.
    pub fn harm(&mut self, segments: &[(SegmentNumber, Vec<u8>)]) {
        self.is_harmed = true;
        self.medium.replace(segments);
    }

    /// Takes away a segment that is dead. Whether there was one.
    pub fn take_away(&mut self) -> bool {
        self.medium.take_away()
    }

    /// Makes the oldest turns safe. Where what is stowed lies.
    pub fn store(&mut self, turns: usize) -> Vec<(StowKey, Spot)> {
        assert!(self.trouble.is_none(), "who is in trouble makes nothing safe");
        let turns = turns.min(self.waiting.len());
        let Some((page, marked)) = self.page(turns) else { return Vec::new() };
        let frame = page.frame_place();
        let spots = marked.iter().map(|marked| marked.spot(frame).expect("the disk is small")).collect();
        if page.place.position == 0 {
            self.sync(); // no segment is left before
        }
        self.medium.write(page.place, &page.bytes);
        self.scribe.written(&page);
        for turn in self.waiting.drain(..turns).collect::<Vec<_>>() {
            turn.changes.iter().for_each(|(_, change)| self.note_session(change));
            self.stored = turn.changes.last().map_or(self.stored, |(serial, _)| *serial);
            if let Some(began) = turn.swept {
                self.sync();
                self.retire_before(began);
            }
        }
        if !self.is_lazy || self.random.chance(1, 6) {
            self.sync();
        }
        if self.random.chance(1, 2) {
            self.take_away();
        }
        spots
    }

    fn sync(&mut self) {
        self.medium.sync();
        self.synced = self.stored;
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

    /// Segments with nothing behind this change are dead.
    fn retire_before(&mut self, began: Serial) {
        let firsts: Vec<_> = self.medium.log().map(|(number, file)| (number, first_of(number, file))).collect();
        for pair in firsts.windows(2) {
            let [(number, _), (_, next_first)] = *pair else { return };
            if next_first.is_none_or(|first| first > began.next()) {
                return;
            }
            self.medium.retire(number);
            self.dropped_segments += 1;
        }
    }

    /// The power goes, in the middle of a write. What the disk tells then.
    pub fn lose_power(&mut self, restore: impl FnMut(Serial, Change, Option<Spot>)) {
        let turns = self.random.index(self.waiting.len() + 1);
        if let Some((page, _)) = self.page(turns) {
            self.medium.write(page.place, &page.bytes);
        }
        self.waiting.clear();
        self.trouble = None;
        if !self.is_harmed {
            self.medium.fail(self.scribe.next, &mut self.random);
            while self.random.chance(1, 8) {
                let next = self.start(|_, _, _| ()).next; // it does not come so far that it syncs
                self.medium.fail(next, &mut self.random);
            }
        }
        let report = self.start(restore);
        (self.scribe.tail, self.scribe.next, self.stored) = (report.tail, report.next, report.resume_after());
        self.sync();
        self.medium.clear_from(report.next);
        self.report = report;
    }

    /// What a start finds. It has mended what is torn.
    fn start(&mut self, restore: impl FnMut(Serial, Change, Option<Spot>)) -> Report {
        let mut report = self.tell(restore);
        let may_have_holes = self.is_harmed || self.is_lazy;
        assert!(may_have_holes || report.is_clean(), "a power cut damages nothing: {report:?}");
        // Nobody writes behind the end of a file that was cut short.
        let files = self.medium.files();
        let length = |number| files.get(&number).map_or(0, |file| file.len() as u64);
        report.tail.iter_mut().for_each(|tail| tail.length = tail.length.min(length(tail.place.segment)));
        for mend in &report.mends {
            let place = mend.damage.place;
            self.medium.write(place, &mend.clone().into_bytes(ID, self.scribe.shard, SHARDS));
        }
        report
    }

    /// What a start is told.
    fn tell(&self, mut restore: impl FnMut(Serial, Change, Option<Spot>)) -> Report {
        let listed: Vec<Listed> = self
            .medium
            .files()
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
                    replay.feed(place, bytes, &self.medium.files()[&place.segment][start..end]);
                }
                Step::Newer { .. } => panic!("nobody writes another version"),
                Step::Done => return replay.report().clone(),
            }
        }
    }
}

/// The lowest number that may be in a segment.
fn first_of(number: SegmentNumber, file: &[u8]) -> Option<Serial> {
    let (header, _) = Header::parse(&file[..BLOCK_BYTES]).ok()?;
    (header.number == number).then_some(header.first)
}
