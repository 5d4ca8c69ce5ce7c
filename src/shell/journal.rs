//! The journal of one shard: changes become frames of a segment, and the shard hears when they are safe.

use std::collections::VecDeque;

use super::fetching::Fetching;
use super::files::keeper::{Answer, Desk, Order};
use super::files::writer::{Cadence, Place, Seal, Site, State, Terms, Writer};
use super::reclaim::Reclaim;
use super::replay::End;
use super::report::JournalStats;
use super::ring::disk::{Stream, Write, Written};
use super::ring::fetch::{Brought, Read};
use crate::engine::change::{Change, Serial};
use crate::engine::homes::ShardId;
use crate::engine::input::Fetched;
use crate::engine::output::Fetch;
use crate::engine::stowage::{Spot, StowKey};
use crate::journal::epoch::Epoch;
use crate::journal::group::Group;
use crate::journal::place::{BLOCK_BYTES, JournalId, Place as FramePlace, SegmentNumber};
use crate::journal::segment::{Header, Previous};
use crate::journal::spots::Marked;

/// What happens now; the only stream that is written.
pub const HOT: Stream = Stream::new(0);

/// How the changes of a shard become what lies in its segments.
#[derive(Clone, Copy, Debug)]
pub struct Frames {
    /// The journal.
    pub id: JournalId,
    /// When the engine's clock began.
    pub epoch: Epoch,
    /// Whose it is.
    pub shard: ShardId,
    /// Of how many.
    pub shards: usize,
}

impl Seal for Frames {
    type Group = Group;

    fn begin(&mut self) -> Group {
        Group::new(self.id, self.epoch)
    }

    fn len(&self, group: &Group) -> usize {
        group.next_at()
    }

    fn sealed_len(&self, group: &Group, is_first: bool) -> u64 {
        let header = if is_first { BLOCK_BYTES as u64 } else { 0 };
        header + group.frame_bytes()
    }

    fn seal(&mut self, mut group: Group, site: Site, bytes: &mut Vec<u8>) {
        let number = SegmentNumber::new(site.place.segment);
        let mut position = site.place.position;
        if position == 0 {
            let previous = site
                .previous
                .map(|Place { segment, position }| Previous { number: SegmentNumber::new(segment), end: position });
            let header = Header {
                id: self.id,
                shard: self.shard,
                shards: u8::try_from(self.shards).expect("at most 64"),
                number,
                length: site.segment_bytes,
                first: group.first().unwrap_or(Serial::NONE),
                previous,
            };
            header.encode(bytes);
            position = BLOCK_BYTES as u64;
        }
        bytes.extend_from_slice(group.seal(FramePlace { segment: number, position }));
    }
}

/// Where the frame of a group lies: at the beginning of a segment behind the header.
fn frame_place(Place { segment, position }: Place) -> FramePlace {
    let position = if position == 0 { BLOCK_BYTES as u64 } else { position };
    FramePlace { segment: SegmentNumber::new(segment), position }
}

/// Memory for so many changes of a turn is kept for the next one.
const CHANGES_KEPT_MAX: usize = 1_024;
/// Bytes that may wait for the disk while a sweep adds more.
const SWEEP_PENDING_BYTES_MAX: usize = 256 << 10;

/// One per shard that keeps what outlives the process.
pub struct Journal {
    writer: Writer<Frames>,
    reclaim: Reclaim,
    fetching: Fetching,
    /// The last change that was written.
    written: Serial,
    desk: Desk,
    /// What the keeper had no room to hear.
    orders: VecDeque<Order>,
    /// Times the keeper found no room for a segment.
    shortages: u64,
    /// The shard knows that all up to this change is safe.
    told: u64,
    /// How the operator has heard that it stands.
    said: State,
}

/// Where a shard's journal goes on, and how.
pub struct Continuation {
    /// How frames are made.
    pub frames: Frames,
    /// When the device has to keep them.
    pub cadence: Cadence,
    /// How long a segment is.
    pub segment_bytes: u64,
    /// Where everything up to now ends.
    pub end: End,
    /// Where segments are asked for.
    pub desk: Desk,
}

impl Journal {
    /// A journal that goes on behind what was replayed.
    pub fn new(from: Continuation) -> Self {
        let Continuation { frames, cadence, segment_bytes, end, desk } = from;
        let End { current, first_segment, after, spans, births, files, .. } = end;
        let fetching = Fetching::new(frames.id, frames.epoch, files);
        let terms = Terms { cadence, segment_bytes, current, first_segment, upto: after.get() };
        let writer = Writer::new(HOT, frames, terms);
        let reclaim = Reclaim::new(segment_bytes, spans, births);
        Self {
            writer,
            reclaim,
            fetching,
            written: after,
            desk,
            orders: VecDeque::new(),
            shortages: 0,
            told: after.get(),
            said: State::Open,
        }
    }

    /// Takes the changes of one turn, which are kept together or not at all.
    pub fn take(&mut self, changes: &mut Vec<(Serial, Change)>, stowed: &mut Vec<(Serial, StowKey)>) {
        let births = changes.iter().filter(|(_, change)| change.is_birth()).count();
        let bytes = self.append(changes, stowed);
        self.reclaim.noted(bytes, births as u64);
    }

    /// Whether a sweep is to go on, or to begin, while so much is held.
    pub fn wants_sweep(&self, held: u64) -> bool {
        self.reclaim.wants_sweep(held)
            && !self.fetching.is_sweeping()
            && self.writer.state() == State::Open
            && self.writer.pending_bytes() < SWEEP_PENDING_BYTES_MAX
    }

    /// Takes what a sweep has noted. It is over if it says behind which change it began.
    pub fn take_swept(
        &mut self,
        changes: &mut Vec<(Serial, Change)>,
        stowed: &mut Vec<(Serial, StowKey)>,
        began: Option<Serial>,
        held: u64,
    ) {
        let last = changes.last().map(|(last, _)| *last);
        let bytes = self.append(changes, stowed);
        self.reclaim.told(bytes);
        if let Some((began, last)) = began.zip(last) {
            self.reclaim.is_over(began, last, held);
        }
    }

    fn append(&mut self, changes: &mut Vec<(Serial, Change)>, stowed: &mut Vec<(Serial, StowKey)>) -> usize {
        let Some((last, _)) = changes.last() else { return 0 };
        let mut wanted = stowed.drain(..).peekable();
        let mut marked = Vec::new();
        let bytes = self.writer.append(last.get(), |group| {
            for (record, change) in changes.drain(..) {
                let at = group.next_at();
                let bytes = group.push(record, &change);
                while let Some((_, key)) = wanted.next_if(|(serial, _)| *serial == record) {
                    marked.push(Marked { key, record, at, bytes });
                }
            }
        });
        if let Some(group) = self.writer.last_group() {
            self.fetching.mark(group, &mut marked);
        }
        changes.shrink_to(CHANGES_KEPT_MAX);
        bytes
    }

    /// What is to be written now. Segments are asked for ahead of need.
    pub fn next_write(&mut self, now_ns: u64) -> Option<Write> {
        let write = self.writer.next_write(now_ns);
        if let Some((segment, write)) = self.writer.segment().zip(write.as_ref()) {
            self.fetching.goes_on_in(segment, &write.file);
        }
        if let Some(want) = self.writer.wanted() {
            self.writer.has_asked();
            self.orders.push_back(Order::Prepare(want));
        }
        while let Some(order) = self.orders.pop_front() {
            if let Err(order) = self.desk.ask(order) {
                self.orders.push_front(order);
                break;
            }
        }
        write
    }

    /// A write is over. Where what is stowed of it lies now, and up to which change everything is safe, if that has moved.
    pub fn told(&mut self, written: Written, now_ns: u64) -> (Vec<(StowKey, Spot)>, Option<Serial>) {
        let mut spots = Vec::new();
        if let Some(group) = self.writer.told(written, now_ns) {
            spots = self.fetching.written(group.group, frame_place(group.place));
            self.reclaim.written(group.place.segment, self.written.next(), group.bytes);
            self.written = Serial::new(group.upto);
        }
        let durable = Serial::new(self.writer.durable_upto());
        while let Some(number) = self.reclaim.next_dead(durable) {
            self.fetching.retire(number);
        }
        self.give_back_dead();
        self.say_how_it_stands();
        let upto = self.writer.kept_upto();
        (spots, (upto > std::mem::replace(&mut self.told, upto)).then(|| Serial::new(upto)))
    }

    fn give_back_dead(&mut self) {
        while let Some(number) = self.fetching.next_retired() {
            self.orders.push_back(Order::Retire { stream: HOT, number });
        }
    }

    /// Messages are asked for: what is to be read, or what can be said at once.
    pub fn fetch(&mut self, fetch: &Fetch) -> Result<Vec<Read>, Fetched> {
        self.fetching.ask(fetch)
    }

    /// A read is over: what somebody has asked for, if that was the last of it.
    pub fn brought(&mut self, brought: Brought) -> Option<Fetched> {
        let fetched = self.fetching.told(brought);
        self.give_back_dead();
        fetched
    }

    /// The keeper has spoken.
    pub fn answer(&mut self, answer: Answer) {
        match answer {
            Answer::Ready(segment) => self.writer.offer(segment),
            Answer::Short { .. } => {
                self.shortages += 1;
                self.writer.fall_short();
            }
            Answer::NotRetired { number, error, .. } => {
                tracing::warn!(%error, segment = number, "a dead segment cannot be taken away, nor any after it: it is tried again");
            }
        }
        self.say_how_it_stands();
    }

    /// Tells the operator, when it has changed.
    fn say_how_it_stands(&mut self) {
        let state = self.writer.state();
        if std::mem::replace(&mut self.said, state) == state {
            return;
        }
        match (state, self.writer.failure()) {
            (State::Open, _) => tracing::info!("the journal has room again"),
            (State::Full, _) => {
                tracing::error!("the journal has no room: what must be kept uses what is left, and then waits");
            }
            (State::Failed, fault) => tracing::error!(
                error = fault.map(tracing::field::display),
                "the journal has failed: nothing that must be kept is acknowledged any more; look after the disk and restart"
            ),
        }
    }

    /// What it counts, and how it stands at this moment.
    pub fn stats(&self, held: u64) -> JournalStats {
        JournalStats {
            tally: self.writer.tally().clone(),
            shortages: self.shortages,
            state: self.writer.state(),
            pending_bytes: self.writer.pending_bytes() as u64,
            segments: self.reclaim.segments() as u64,
            log_bytes: self.reclaim.log_bytes(),
            live_bytes: self.reclaim.live_bytes(held),
            sweeps: self.reclaim.sweeps,
            swept_bytes: self.reclaim.told_bytes,
            dead_segments: self.reclaim.dead_segments,
        }
    }

    /// When it has something to do although nothing happens.
    pub fn next_due_ns(&self) -> Option<u64> {
        self.writer.next_due_ns()
    }

    /// No more comes: everything is to reach the device without delay.
    pub fn finish(&mut self) {
        self.writer.finish();
    }

    /// Whether everything is on the device, or never will be.
    pub fn is_done(&self) -> bool {
        self.writer.is_done()
    }
}
