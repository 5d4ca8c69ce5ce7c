//! A shard's disk in memory: the bytes of its journal, of which a power cut leaves what was safe, and of the write under way any sectors.

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
use pregon::journal::scribe::{Page, Scribe};
use pregon::journal::segment::Header;
use pregon::journal::spots::{Marked, message_in, spot};

const ID: JournalId = JournalId::new(*b"power goes often");
/// Restarts happen at one moment of this clock: the world's goes on.
const EPOCH: Epoch = Epoch::new(1_790_000_000_000);
const SEGMENT_BYTES: u64 = 64 << 10;
const SECTOR_BYTES: usize = 512;
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

    /// Makes the oldest turns safe, and drops what a sweep has made superfluous. Where what is stowed lies.
    pub fn store(&mut self, turns: usize) -> Vec<(StowKey, Spot)> {
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
    pub fn lose_power(&mut self, mut restore: impl FnMut(Serial, Change, Option<Spot>)) {
        let turns = self.random.index(self.waiting.len() + 1);
        if let Some((page, _)) = self.page(turns) {
            self.tear(&page);
        }
        self.waiting.clear();
        let listed: Vec<Listed> = self
            .files
            .iter()
            .map(|(number, file)| Listed {
                number: *number,
                available: file.len() as u64,
                header: Header::parse(&file[..BLOCK_BYTES]),
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
                Step::Done => break,
            }
        }
        let report = replay.report().clone();
        assert!(report.is_clean(), "a power cut damages nothing: {report:?}");
        for mend in &report.mends {
            let place = mend.damage.place;
            self.land(place, &mend.clone().into_bytes(ID, self.scribe.shard, SHARDS));
        }
        (self.scribe.tail, self.scribe.next, self.stored) = (report.tail, report.next, report.resume_after());
        // What was made ahead of use, or begun and torn, is made again.
        let next = self.scribe.next;
        self.recycled.extend(self.files.extract_if(next.., |_, _| true).map(|(_, file)| file));
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
        for (new, old) in page.bytes.chunks(SECTOR_BYTES).zip(bytes.chunks_mut(SECTOR_BYTES)) {
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
