//! Group commit: what comes while a write of a stream is on its way goes out together with the next one.
//!
//! A writer does nothing by itself. It says what is to be written next, is told what became of it, and says up to which record everything
//! is kept. It never waits: where it has no segment or no room, groups stay here and acknowledgements come late.

use std::collections::VecDeque;
use std::fs::File;
use std::rc::Rc;

use super::keeper::Want;
use super::segments::Segment;
use super::tally::Tally;
use crate::shell::ring::disk::{Fault, Step, Stream, Write, Written};

/// A group that has so many bytes is followed by another one; a larger record is a group of its own.
pub const GROUP_BYTES_MAX: usize = 4 << 20;
/// Bytes that may wait to be written. Above, whoever has a choice waits.
pub const PENDING_BYTES_MAX: usize = 64 << 20;
/// Memory of a group that is kept for the next one.
const KEPT_BYTES_MAX: usize = 1 << 20;
/// How long a group waits that the file system had no room for.
const RETRY_NS: u64 = 1_000_000_000;

/// Where a group begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// The number of its segment.
    pub segment: u64,
    /// Where in it.
    pub position: u64,
}

/// Where a group goes, and what is there already.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Site {
    /// Where it begins. At the beginning of a segment the seal may put something in front of it.
    pub place: Place,
    /// How long the segment is.
    pub segment_bytes: u64,
    /// Where the segment before it ends, if there is one.
    pub previous: Option<Place>,
}

/// How records form groups, and groups become what lies in a segment.
pub trait Seal {
    /// Records that go out together.
    type Group;

    /// An empty group.
    fn begin(&mut self) -> Self::Group;

    /// How many bytes a group has by now.
    fn len(&self, group: &Self::Group) -> usize;

    /// How many bytes it becomes, at the beginning of a segment or behind another group.
    fn sealed_len(&self, group: &Self::Group, is_first: bool) -> u64;

    /// Appends what it becomes at this place.
    fn seal(&mut self, group: Self::Group, site: Site, bytes: &mut Vec<u8>);
}

/// When the device has to keep what was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cadence {
    /// Before anybody hears that it is kept.
    Each,
    /// So often. A crash of the machine takes what came since; a crash of the process takes nothing that was written.
    Every {
        /// The interval.
        ns: u64,
    },
}

/// What a writer is to do.
#[derive(Debug)]
pub struct Terms {
    /// When the device has to keep what was written.
    pub cadence: Cadence,
    /// How long a segment is, unless something larger has to fit in.
    pub segment_bytes: u64,
    /// The segment that has room behind what lies there, and where that ends.
    pub current: Option<(Segment, u64)>,
    /// The number of the first new segment.
    pub first_segment: u64,
    /// The number of the last record before the first one.
    pub upto: u64,
}

/// A group was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Committed {
    /// Its number.
    pub group: u64,
    /// Where it is.
    pub place: Place,
    /// How many bytes it takes there.
    pub bytes: u64,
    /// The number of its last record.
    pub upto: u64,
}

/// How it stands with a journal. A writer by itself does not know when it is tight.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum State {
    /// Everything that comes is written.
    #[default]
    Open,
    /// As much waits as may, or the next segment is not there although this one is half full: what is new comes later.
    Tight,
    /// There is no room for another segment, or none in the last one. What must be written uses what is left; it goes on when there is room.
    Full,
    /// What the device keeps is not known any more. Nothing is written, and nothing becomes durable.
    Failed,
}

/// Records that go out together.
struct Group<G> {
    records: G,
    /// The number of the last one.
    upto: u64,
}

/// The segment that is written to.
#[derive(Debug)]
struct Current {
    number: u64,
    file: Rc<File>,
    bytes: u64,
    position: u64,
}

/// What is on its way.
#[derive(Debug)]
struct Flight {
    /// What it brings, if it is more than a sync.
    group: Option<Committed>,
    sealed_len: u64,
    is_synced: bool,
    begun_ns: u64,
}

/// A group that the file system had no room for.
struct Refused {
    flight: Flight,
    bytes: Vec<u8>,
    retry_at_ns: u64,
}

/// The writer of one stream. One for each stream of a shard.
pub struct Writer<S: Seal> {
    stream: Stream,
    seal: S,
    cadence: Cadence,
    /// In order; the last one forms.
    groups: VecDeque<Group<S::Group>>,
    /// The number of the first of them.
    first_group: u64,
    /// Bytes in all of them.
    pending_bytes: usize,
    segment_bytes: u64,
    current: Option<Current>,
    /// Where the one before it ends.
    previous: Option<Place>,
    /// The segment after it.
    next: Option<Segment>,
    next_number: u64,
    /// How long the next one must be.
    next_bytes: u64,
    /// How long the one is that the keeper was asked for.
    asked_bytes: Option<u64>,
    flight: Option<Flight>,
    refused: Option<Refused>,
    /// The keeper has said that there is no room for another segment.
    is_short: bool,
    /// The first group waits for a segment.
    is_waiting: bool,
    failure: Option<Fault>,
    appended: u64,
    written: u64,
    durable: u64,
    synced_at_ns: u64,
    /// No more comes: an interval is not waited for.
    is_finishing: bool,
    /// Memory for a group.
    memory: Vec<u8>,
    tally: Tally,
}

impl<S: Seal> Writer<S> {
    /// A writer that goes on where everything up to now ends.
    pub fn new(stream: Stream, seal: S, terms: Terms) -> Self {
        let Terms { cadence, segment_bytes, current, first_segment, upto } = terms;
        let current = current.map(|(Segment { number, file, bytes, .. }, position)| Current {
            number,
            file: Rc::new(file),
            bytes,
            position,
        });
        Self {
            stream,
            seal,
            cadence,
            groups: VecDeque::new(),
            first_group: 0,
            pending_bytes: 0,
            segment_bytes,
            current,
            previous: None,
            next: None,
            next_number: first_segment,
            next_bytes: segment_bytes,
            asked_bytes: None,
            flight: None,
            refused: None,
            is_short: false,
            is_waiting: false,
            failure: None,
            appended: upto,
            written: upto,
            durable: upto,
            synced_at_ns: 0,
            is_finishing: false,
            memory: Vec::new(),
            tally: Tally::default(),
        }
    }

    /// Adds records that are kept together or not at all; the last one has this number. Once the writer has failed, none is kept.
    /// How many bytes they are.
    pub fn append(&mut self, upto: u64, add: impl FnOnce(&mut S::Group)) -> usize {
        assert!(upto > self.appended, "records come in order");
        if self.failure.is_some() {
            return 0;
        }
        self.appended = upto;
        let seal = &mut self.seal;
        if self.groups.back().is_none_or(|last| seal.len(&last.records) >= GROUP_BYTES_MAX) {
            let records = seal.begin();
            self.pending_bytes += seal.len(&records);
            self.groups.push_back(Group { records, upto });
        }
        let last = self.groups.back_mut().expect("one was just made");
        let before = seal.len(&last.records);
        add(&mut last.records);
        last.upto = upto;
        let added = seal.len(&last.records) - before;
        self.pending_bytes += added;
        added
    }

    /// The number of the group that records were last added to, unless that is on its way.
    pub fn last_group(&self) -> Option<u64> {
        let others = self.groups.len().checked_sub(1)?;
        Some(self.first_group + others as u64)
    }

    /// The number of the segment that is written to.
    pub fn segment(&self) -> Option<u64> {
        self.current.as_ref().map(|current| current.number)
    }

    /// What is to be written now, if anything. Whoever takes it brings back what became of it: [`Self::told`].
    pub fn next_write(&mut self, now_ns: u64) -> Option<Write> {
        if self.flight.is_some() || self.failure.is_some() {
            return None;
        }
        if let Some(refused) = self.refused.take_if(|refused| now_ns >= refused.retry_at_ns) {
            return Some(self.begin(refused.flight, refused.bytes));
        }
        if self.refused.is_some() {
            return None;
        }
        match self.groups.front() {
            Some(_) => self.write_group(now_ns),
            None => self.is_sync_due(now_ns).then(|| self.lone_sync(now_ns)),
        }
    }

    fn write_group(&mut self, now_ns: u64) -> Option<Write> {
        let group = &self.groups.front()?.records;
        let (behind, first) = (self.seal.sealed_len(group, false), self.seal.sealed_len(group, true));
        let has_room = |current: &Current| current.bytes - current.position >= behind;
        let is_first = !self.current.as_ref().is_some_and(has_room);
        if is_first {
            if self.has_unsynced() {
                return Some(self.lone_sync(now_ns)); // the segment is left for good
            }
            if !self.begin_segment(first) {
                return None;
            }
        }
        let sealed_len = if is_first { first } else { behind };
        let Group { records, upto } = self.groups.pop_front()?;
        self.pending_bytes -= self.seal.len(&records);
        let current = self.current.as_ref().expect("it has room");
        let place = Place { segment: current.number, position: current.position };
        let mut bytes = std::mem::take(&mut self.memory);
        bytes.clear();
        self.seal.seal(records, Site { place, segment_bytes: current.bytes, previous: self.previous }, &mut bytes);
        assert_eq!(bytes.len() as u64, sealed_len, "a seal keeps its word");
        let group = Some(Committed { group: self.first_group, place, bytes: sealed_len, upto });
        self.first_group += 1;
        let is_synced = self.cadence == Cadence::Each || self.is_interval_over(now_ns);
        Some(self.begin(Flight { group, sealed_len, is_synced, begun_ns: now_ns }, bytes))
    }

    /// Goes over to the next segment, if there is one that so much fits into.
    fn begin_segment(&mut self, sealed_len: u64) -> bool {
        self.next_bytes = self.next_bytes.max(sealed_len);
        // One that is too short gives way to a longer one of its name: nothing may be written to it any more.
        let Some(Segment { number, file, bytes, .. }) = self.next.take_if(|next| next.bytes >= sealed_len) else {
            self.next = None;
            self.tally.segment_waits += u64::from(!std::mem::replace(&mut self.is_waiting, true));
            return false;
        };
        let before = self.current.replace(Current { number, file: Rc::new(file), bytes, position: 0 });
        if let Some(Current { number, position, .. }) = before {
            self.previous = Some(Place { segment: number, position });
        }
        (self.next_number, self.next_bytes, self.asked_bytes) = (number + 1, self.segment_bytes, None);
        self.is_waiting = false;
        self.tally.segments += 1;
        true
    }

    fn lone_sync(&mut self, now_ns: u64) -> Write {
        self.begin(Flight { group: None, sealed_len: 0, is_synced: true, begun_ns: now_ns }, Vec::new())
    }

    fn begin(&mut self, flight: Flight, bytes: Vec<u8>) -> Write {
        let current = self.current.as_ref().expect("what is written has a segment");
        let is_synced = flight.is_synced;
        self.flight = Some(flight);
        Write { stream: self.stream, file: Rc::clone(&current.file), offset: current.position, bytes, is_synced }
    }

    /// What was taken with [`Self::next_write`] is over. Says where a group lies now.
    pub fn told(&mut self, written: Written, now_ns: u64) -> Option<Committed> {
        let Written { bytes, result, .. } = written;
        let flight = self.flight.take().expect("what is told was on its way");
        match result {
            Ok(()) => {
                self.keep_memory(bytes);
                self.done(&flight, now_ns);
                flight.group
            }
            Err(fault) if fault.step == Step::Write && is_without_room(&fault) => {
                self.tally.refusals += 1;
                self.refused = Some(Refused { flight, bytes, retry_at_ns: now_ns + RETRY_NS });
                None
            }
            Err(fault) => {
                self.tally.failures += 1;
                self.failure = Some(fault);
                (self.groups, self.pending_bytes) = (VecDeque::new(), 0);
                None
            }
        }
    }

    fn keep_memory(&mut self, bytes: Vec<u8>) {
        if bytes.capacity() <= KEPT_BYTES_MAX {
            self.memory = bytes;
        }
    }

    fn done(&mut self, flight: &Flight, now_ns: u64) {
        let current = self.current.as_mut().expect("what is written has a segment");
        current.position += flight.sealed_len;
        // position ≤ bytes
        assert!(current.position <= current.bytes, "a group fits into its segment");
        if let Some(group) = flight.group {
            self.written = group.upto;
            self.tally.commits += 1;
            self.tally.commit_latency.note_ns(now_ns.saturating_sub(flight.begun_ns));
            self.tally.group_bytes.note(flight.sealed_len);
        } else {
            self.tally.lone_syncs += 1;
        }
        if flight.is_synced {
            (self.durable, self.synced_at_ns) = (self.written, flight.begun_ns);
        }
    }

    /// The number of the last record that is kept as was promised: on the device, or written where the device is given time.
    pub fn kept_upto(&self) -> u64 {
        match self.cadence {
            Cadence::Each => self.durable,
            Cadence::Every { .. } => self.written,
        }
    }

    /// The number of the last record that is on the device.
    pub fn durable_upto(&self) -> u64 {
        self.durable
    }

    /// How it stands.
    pub fn state(&self) -> State {
        if self.failure.is_some() {
            State::Failed
        } else if self.is_short || self.refused.is_some() {
            State::Full
        } else {
            State::Open
        }
    }

    /// Why the writer has failed.
    pub fn failure(&self) -> Option<&Fault> {
        self.failure.as_ref()
    }

    /// Bytes that have their blocks already and that nothing is to be written to.
    pub fn left_bytes(&self) -> u64 {
        let current = self.current.as_ref().map_or(0, |current| current.bytes - current.position);
        let next = self.next.as_ref().map_or(0, |next| next.bytes);
        let flight = self.flight.as_ref().map_or(0, |flight| flight.sealed_len);
        (current + next).saturating_sub(flight + self.pending_bytes as u64)
    }

    /// Bytes of records that wait to be written.
    pub fn pending_bytes(&self) -> usize {
        self.pending_bytes
    }

    /// The segment that the keeper is to be asked for, until [`Self::has_asked`]. Each [`Self::next_write`] may bring one up.
    pub fn wanted(&self) -> Option<Want> {
        let is_there = self.next.is_some() || self.asked_bytes.is_some_and(|asked| asked >= self.next_bytes);
        let want = Want { stream: self.stream, number: self.next_number, bytes: self.next_bytes };
        (!is_there && self.failure.is_none()).then_some(want)
    }

    /// The keeper was asked for it.
    pub fn has_asked(&mut self) {
        self.asked_bytes = Some(self.next_bytes);
    }

    /// The keeper has made a segment. One that is shorter than what it was asked for last is another one's predecessor.
    pub fn offer(&mut self, segment: Segment) {
        let is_asked_for = segment.number == self.next_number;
        if is_asked_for && self.asked_bytes.is_some_and(|asked| segment.bytes >= asked) {
            self.is_short = false;
            self.next = Some(segment);
        }
    }

    /// The keeper cannot make one.
    pub fn fall_short(&mut self) {
        self.is_short = true;
    }

    /// No more comes: everything is to reach the device without delay.
    pub fn finish(&mut self) {
        self.is_finishing = true;
    }

    /// Whether everything that was appended is on the device, or never will be.
    pub fn is_done(&self) -> bool {
        let is_kept = self.flight.is_none() && self.refused.is_none() && self.durable == self.appended;
        is_kept || self.failure.is_some()
    }

    /// When [`Self::next_write`] has something to say although nothing was appended and nothing told.
    pub fn next_due_ns(&self) -> Option<u64> {
        if self.flight.is_some() || self.failure.is_some() {
            return None;
        }
        match (&self.refused, self.cadence) {
            (Some(refused), _) => Some(refused.retry_at_ns),
            (None, Cadence::Every { ns }) if self.has_unsynced() => Some(self.synced_at_ns + ns),
            (None, Cadence::Every { .. } | Cadence::Each) => None,
        }
    }

    fn has_unsynced(&self) -> bool {
        self.durable < self.written
    }

    fn is_sync_due(&self, now_ns: u64) -> bool {
        self.has_unsynced() && (self.is_finishing || self.is_interval_over(now_ns))
    }

    fn is_interval_over(&self, now_ns: u64) -> bool {
        match self.cadence {
            Cadence::Each => true,
            Cadence::Every { ns } => now_ns >= self.synced_at_ns + ns,
        }
    }

    /// What it has counted.
    pub fn tally(&self) -> &Tally {
        &self.tally
    }
}

/// Whether a write was refused that may succeed later, when somebody has made room.
fn is_without_room(fault: &Fault) -> bool {
    matches!(fault.error.kind(), std::io::ErrorKind::StorageFull | std::io::ErrorKind::QuotaExceeded)
}
