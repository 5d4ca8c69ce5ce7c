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
use super::room::{Allotment, Facts, Gauge};
use crate::engine::change::{Change, Serial};
use crate::engine::homes::ShardId;
use crate::engine::input::{Fetched, Room};
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
/// While there is no room for anything new, a sweep that may bring little comes so long after the one before, at least.
const PRESS_NS: u64 = 1_000_000_000;
/// And so many times as long as that one took.
const PRESS_SHARE: u64 = 8;
/// This part of a segment is left by a sweep to what ends things, where no other segment can be had.
const SPARE_SHARE: u64 = 8;

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
    allotment: Allotment,
    gauge: Gauge,
    /// How it stands, and the operator has heard so.
    state: State,
    /// What the shard knows that it has room for.
    room: Room,
    /// There is no room for anything new, and a sweep may make some.
    is_pressed: bool,
    /// When one comes although it may bring little.
    press_at_ns: u64,
    /// When the present one began.
    sweep_began_ns: u64,
    /// No more comes.
    is_finishing: bool,
}

/// Where a shard's journal goes on, and how.
pub struct Continuation {
    /// How frames are made.
    pub frames: Frames,
    /// When the device has to keep them.
    pub cadence: Cadence,
    /// What it may take of the disk.
    pub allotment: Allotment,
    /// Where everything up to now ends.
    pub end: End,
    /// Where segments are asked for.
    pub desk: Desk,
}

impl Journal {
    /// A journal that goes on behind what was replayed.
    pub fn new(from: Continuation) -> Self {
        let Continuation { frames, cadence, allotment, end, desk } = from;
        let segment_bytes = allotment.segment_bytes;
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
            allotment,
            gauge: Gauge::new(allotment),
            state: State::Open,
            room: Room::Open,
            is_pressed: false,
            press_at_ns: 0,
            sweep_began_ns: 0,
            is_finishing: false,
        }
    }

    /// Takes the changes of one turn, which are kept together or not at all.
    pub fn take(&mut self, changes: &mut Vec<(Serial, Change)>, stowed: &mut Vec<(Serial, StowKey)>) {
        let births = changes.iter().filter(|(_, change)| change.is_birth()).count();
        let bytes = self.append(changes, stowed);
        self.reclaim.noted(bytes, births as u64);
    }

    /// What the shard may note from now on while so much is held, if that has changed.
    pub fn look(&mut self, held: u64) -> Option<Room> {
        let is_bounded = self.allotment.bound().is_some();
        let state = self.gauge.look(&Facts {
            writer: self.writer.state(),
            pending_bytes: self.writer.pending_bytes() as u64,
            left_bytes: self.writer.left_bytes(),
            disk_bytes: self.reclaim.disk_bytes(),
            untold_bytes: if is_bounded { self.reclaim.untold_bytes(held) } else { 0 },
        });
        let before = std::mem::replace(&mut self.state, state);
        self.say_how_it_stands(before);
        self.is_pressed = state == State::Full && self.may_press(held);
        let room = match state {
            // What is lost anyway need not be refused: nothing of it is acknowledged.
            State::Open | State::Failed => Room::Open,
            State::Tight => Room::Tight,
            State::Full => Room::Full,
        };
        (std::mem::replace(&mut self.room, room) != room).then_some(room)
    }

    /// Whether a sweep is to go on, or to begin, while so much is held.
    pub fn wants_sweep(&self, held: u64, now_ns: u64) -> bool {
        self.has_time_to_sweep()
            && match self.state {
                State::Open | State::Tight => {
                    let may_gain = self.gauge.is_near() && self.reclaim.can_gain();
                    self.reclaim.wants_sweep(held) || may_gain && self.reclaim.is_worthwhile(held)
                }
                // How much holds is an estimate: now and then it is found out.
                State::Full => self.may_press(held) && (self.reclaim.is_worthwhile(held) || now_ns >= self.press_at_ns),
                State::Failed => false,
            }
    }

    fn has_time_to_sweep(&self) -> bool {
        let is_waiting = self.fetching.is_sweeping();
        self.writer.pending_bytes() < SWEEP_PENDING_BYTES_MAX && !self.is_finishing && !is_waiting
    }

    /// Whether a sweep may make room. Where no segment can be had it goes into what is left, and leaves some of that.
    fn may_press(&self, held: u64) -> bool {
        let told = if self.reclaim.is_sweeping() { 0 } else { self.reclaim.live_bytes(held) };
        let needed = told + told / SPARE_SHARE + self.allotment.segment_bytes / SPARE_SHARE;
        let fits = self.writer.state() != State::Full || self.writer.left_bytes() >= needed;
        fits && self.reclaim.can_gain()
    }

    /// Takes what a sweep has noted. It is over if it says behind which change it began.
    pub fn take_swept(
        &mut self,
        changes: &mut Vec<(Serial, Change)>,
        stowed: &mut Vec<(Serial, StowKey)>,
        began: Option<Serial>,
        held: u64,
        now_ns: u64,
    ) {
        if !self.reclaim.is_sweeping() {
            self.sweep_began_ns = now_ns;
        }
        let last = changes.last().map(|(last, _)| *last);
        let bytes = self.append(changes, stowed);
        self.reclaim.told(bytes);
        if let Some((began, last)) = began.zip(last) {
            self.reclaim.is_over(began, last, held);
            self.press_at_ns = now_ns + PRESS_NS.max(PRESS_SHARE * (now_ns - self.sweep_began_ns));
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
    }

    /// Tells the operator, when it has changed so that he wants to know.
    fn say_how_it_stands(&self, before: State) {
        match self.state {
            State::Failed if before != State::Failed => tracing::error!(
                error = self.writer.failure().map(tracing::field::display),
                "the journal has failed: nothing that must be kept is acknowledged any more; look after the disk and restart"
            ),
            State::Full if before != State::Full && self.gauge.is_reached() => tracing::error!(
                bytes_max = self.allotment.bytes_max,
                "the journal has no room: a shard's part of storage.bytes_max is taken, so what is new and must be kept is refused"
            ),
            State::Full if before != State::Full => tracing::error!(
                "the journal has no room: what is new and must be kept is refused, what ends things uses what is left"
            ),
            State::Open | State::Tight if before == State::Full => tracing::info!("the journal has room again"),
            State::Open | State::Tight | State::Full | State::Failed => {}
        }
    }

    /// What it counts, and how it stands at this moment.
    pub fn stats(&self, held: u64) -> JournalStats {
        JournalStats {
            tally: self.writer.tally().clone(),
            shortages: self.shortages,
            state: self.state,
            bytes_max: self.allotment.bound().unwrap_or(0),
            disk_bytes: self.reclaim.disk_bytes(),
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
        let press_ns = (self.is_pressed && self.has_time_to_sweep()).then_some(self.press_at_ns);
        [self.writer.next_due_ns(), press_ns].into_iter().flatten().min()
    }

    /// No more comes: everything is to reach the device without delay.
    pub fn finish(&mut self) {
        self.is_finishing = true;
        self.writer.finish();
    }

    /// Whether everything is on the device, or never will be.
    pub fn is_done(&self) -> bool {
        self.writer.is_done()
    }
}
