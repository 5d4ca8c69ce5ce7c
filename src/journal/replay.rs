//! Everything that the journal of a shard tells, in the order in which it was written.
//!
//! What a change refers to may be gone, since the oldest segments are dropped once everything in them that holds was told again:
//! `Settled` without its `Queued`, `SessionEnded` without its `Session`, `Unsubscribed` without its `Subscribed`. Such an end is given to
//! the caller like any other; it ends nothing and is no error. The reverse cannot be, since the oldest goes first.
//!
//! Files stay outside: [`Replay::step`] says which bytes it wants, [`Replay::feed`] takes them.

use std::collections::VecDeque;

use super::epoch::Epoch;
use super::frame::{Item, Walk};
use super::place::{BLOCK_BYTES, JournalId, Place, SegmentNumber};
use super::reader::{self, Extent, Reader, Window};
use super::record::RecordError;
use super::report::{Damage, Flaw, Mend, Report};
use super::segment::{Header, HeaderError};
use super::tail::Tail;
use crate::engine::change::{Change, Serial};
use crate::engine::homes::ShardId;

/// A segment as it lies in the folder of its shard.
#[derive(Clone, Copy, Debug)]
pub struct Listed {
    /// The number in its name.
    pub number: SegmentNumber,
    /// Bytes that the file has.
    pub available: u64,
    /// What its first block says: the outcome of [`Header::parse`].
    pub header: Result<(Header, Option<Flaw>), HeaderError>,
}

impl Listed {
    /// Whether something was written to it: one that was recycled and not begun has the header of its earlier life.
    pub fn is_begun(&self) -> bool {
        self.header.map_or(true, |(header, _)| header.number == self.number)
    }

    /// Whether nothing can have been written to one of a higher number.
    fn is_newest_of(&self, others: &[Self]) -> bool {
        let is_blank = |other: &Self| other.header == Err(HeaderError::Blank) || !other.is_begun();
        others.iter().all(|other| other.number <= self.number || is_blank(other))
    }

    /// Whether its header may look like this because a crash has torn it: each copy lies within a sector, so each is whole or was never
    /// written.
    fn may_be_torn(&self) -> bool {
        matches!(self.header, Err(HeaderError::Blank) | Ok((_, Some(Flaw::SegmentHeaderCopy))))
    }
}

/// A change, and where it lies.
#[derive(Debug)]
pub struct Found {
    /// Its number.
    pub serial: Serial,
    /// The change.
    pub change: Change,
    /// Where its record begins.
    pub place: Place,
    /// How many bytes the record has.
    pub bytes: u32,
}

/// What a step has come to.
#[derive(Debug)]
pub enum Step {
    /// The next change.
    Change(Found),
    /// Bytes of a segment are needed: see [`Replay::feed`].
    Wants {
        /// Where they begin.
        place: Place,
        /// How many.
        bytes: u64,
    },
    /// A record is of a kind that this version must not pass over: a newer program has written here, and this one must not start.
    Newer {
        /// The number of the kind.
        kind: u8,
        /// Where the record lies.
        place: Place,
    },
    /// That was all.
    Done,
}

/// One segment under way.
#[derive(Debug)]
struct Run {
    number: SegmentNumber,
    /// Where the log goes on, if nothing follows.
    tail: Tail,
    /// What is wrong with the newest header. A crash may have torn the first write to a segment, of which the header is the beginning:
    /// then no more than one frame follows, and that is no damage. Without any frame the segment counts as not begun.
    suspicion: Option<Damage>,
    /// Nobody says where it ends.
    is_open: bool,
    /// Frames that were found in it, and the first number in the first of them.
    frames: u64,
    first: Option<Serial>,
    reader: Reader,
    window: Window,
    /// The frame that is being walked through, its position and its bytes.
    frame: Option<(Walk, u64, u64)>,
}

/// Goes through the segments of one shard. One per shard and start.
#[derive(Debug)]
pub struct Replay {
    id: JournalId,
    epoch: Epoch,
    /// What is left, the present one first.
    runs: VecDeque<Run>,
    report: Report,
}

impl Replay {
    /// A replay of these segments of a shard.
    ///
    /// # Errors
    /// One of them is of a newer version. Whatever else is wrong is reported, and does not stop the replay.
    pub fn new(id: JournalId, shard: ShardId, epoch: Epoch, segments: &[Listed]) -> Result<Self, HeaderError> {
        let newer = segments.iter().filter_map(|listed| listed.header.err());
        if let Some(error) = newer.into_iter().find(|error| matches!(error, HeaderError::Newer { .. })) {
            return Err(error);
        }
        let mut report = Report::default();
        let belongs = |header: &Header| header.id == id && header.shard == shard;
        let begun = segments.iter().filter(|listed| listed.is_begun());
        let headers: Vec<Header> = begun.filter_map(|listed| listed.header.ok().map(|(it, _)| it)).collect();
        let headers: Vec<Header> = headers.into_iter().filter(belongs).collect();
        report.missing = missing(&headers);
        let mut runs = VecDeque::with_capacity(segments.len());
        for listed in segments.iter().filter(|listed| listed.is_begun()) {
            let damage = damage_of_header(listed, id, shard);
            let suspicion = damage.filter(|_| listed.is_newest_of(segments) && listed.may_be_torn());
            if let Some(damage) = damage.filter(|_| suspicion.is_none()) {
                report.damage(damage.place, damage.bytes, damage.flaw);
            }
            if listed.header.is_ok_and(|(header, _)| !belongs(&header)) {
                report.next = report.next.max(listed.number.next());
                continue;
            }
            runs.push_back(Run { suspicion, ..Run::new(listed, id, &headers) });
            note_cut(listed, &mut report);
        }
        runs.make_contiguous().sort_by_key(|run| run.number);
        Ok(Self { id, epoch, runs, report })
    }

    /// Goes on to the next change, or to what is needed for it.
    pub fn step(&mut self) -> Step {
        while let Some(run) = self.runs.front_mut() {
            match run.walk(self.epoch, &mut self.report) {
                Walked::Found(found) => {
                    if let Some(found) = self.in_order(found) {
                        return Step::Change(found);
                    }
                    continue;
                }
                Walked::Newer { kind, place } => return Step::Newer { kind, place },
                Walked::Nothing => {}
            }
            match run.reader.step(&run.window) {
                reader::Step::Wants { position, bytes } => return Step::Wants { place: run.at(position), bytes },
                reader::Step::Frame { header, position, bytes } => {
                    self.report.frame_follows();
                    run.frames += 1;
                    run.first.get_or_insert(header.first);
                    let frame = run.window.get(position, bytes).expect("the reader has seen the frame in the window");
                    run.frame = Some((Walk::new(header, self.id, frame), position, bytes));
                }
                reader::Step::Damaged { position, bytes } => {
                    self.report.damage(run.at(position), bytes, Flaw::Frame);
                }
                reader::Step::End { position, torn_bytes } => {
                    run.tail = Tail { place: run.at(position), torn_bytes, ..run.tail };
                    run.end(&mut self.report);
                    self.runs.pop_front();
                }
            }
        }
        Step::Done
    }

    /// Takes the bytes that the last step wanted. Fewer mean that the file ends there.
    pub fn feed(&mut self, place: Place, wanted: u64, bytes: &[u8]) {
        let run = self.runs.front_mut().expect("a step has asked for bytes");
        assert_eq!(run.number, place.segment, "the bytes are those that were asked for");
        let bytes_count = bytes.len() as u64;
        self.report.bytes += bytes_count;
        run.window.fill(place.position, bytes);
        if bytes_count < wanted {
            self.report.damage(place_behind(place, bytes_count), wanted - bytes_count, Flaw::Cut);
            run.reader.cut(place.position + bytes_count);
        }
    }

    /// What was read and found so far; whole after [`Step::Done`].
    pub const fn report(&self) -> &Report {
        &self.report
    }

    /// The change, if its number is higher than all before it.
    fn in_order(&mut self, found: Found) -> Option<Found> {
        if found.serial > self.report.last {
            self.report.last = found.serial;
            return Some(found);
        }
        let error = RecordError::Order { serial: found.serial.get(), previous: self.report.last.get() };
        self.report.damage(found.place, u64::from(found.bytes), error.into());
        None
    }
}

/// How far a walk through a frame has come.
enum Walked {
    /// To a change.
    Found(Found),
    /// To a record that needs a newer program.
    Newer { kind: u8, place: Place },
    /// To the end of the frame, or there is none.
    Nothing,
}

impl Run {
    fn new(listed: &Listed, id: JournalId, headers: &[Header]) -> Self {
        let number = listed.number;
        let length = listed.header.map_or(listed.available, |(header, _)| header.length);
        let extent = extent(number, headers);
        let reader = Reader::new(id, number, extent, listed.available.min(length));
        Self {
            number,
            tail: Tail::new(number, length),
            suspicion: None,
            is_open: extent == Extent::Open,
            frames: 0,
            first: None,
            reader,
            window: Window::default(),
            frame: None,
        }
    }

    /// All that counts in it was read.
    fn end(&self, report: &mut Report) {
        if let Some(Damage { place, bytes, flaw }) = self.suspicion {
            let Some(first) = self.first else { return };
            if self.frames > 1 {
                report.damage(place, bytes, flaw);
            }
            report.mends.push(Mend::header(Damage { place, bytes, flaw }, first, &self.tail, report.tail));
        }
        report.segments += 1;
        report.frames += self.frames;
        report.next = report.next.max(self.number.next());
        report.tail = Some(self.tail);
    }

    const fn at(&self, position: u64) -> Place {
        Place { segment: self.number, position }
    }

    /// Goes through the present frame to its next change.
    fn walk(&mut self, epoch: Epoch, report: &mut Report) -> Walked {
        let Some((walk, position, bytes)) = &mut self.frame else {
            return Walked::Nothing;
        };
        let segment = self.number;
        let at = |position| Place { segment, position };
        let frame =
            self.window.get(*position, *bytes).expect("the window holds the frame until it has been walked through");
        while let Some((item, range)) = walk.step(frame) {
            let place = at(*position + range.start as u64);
            let outcome = match item {
                Item::Record(record) => record.change(epoch).map(|change| (record.serial, change)),
                Item::Damaged(error) => Err(error),
            };
            report.records += u64::from(outcome.is_ok());
            match outcome {
                Ok((serial, Some(change))) => {
                    let bytes = u32::try_from(range.len()).expect("a frame is bounded below 4 GiB");
                    return Walked::Found(Found { serial, change, place, bytes });
                }
                Ok((_, None)) => report.skipped += 1,
                Err(RecordError::UnknownKind { kind }) => return Walked::Newer { kind, place },
                Err(error) => report.damage(place, range.len() as u64, error.into()),
            }
        }
        let damage = walk.flaw(frame, at(*position)).map(|flaw| Damage { place: at(*position), bytes: *bytes, flaw });
        match damage {
            Some(damage) if self.is_open && walk.is_whole(frame) => {
                report.mend_frame(damage, walk.mended(frame, damage.place));
            }
            Some(Damage { place, bytes, flaw }) => report.damage(place, bytes, flaw),
            None => {}
        }
        self.frame = None;
        Walked::Nothing
    }
}

/// How far a segment counts, by the word of the one that follows it.
fn extent(number: SegmentNumber, headers: &[Header]) -> Extent {
    let previous = headers.iter().filter_map(|header| header.previous);
    previous
        .filter(|previous| previous.number == number)
        .map(|previous| Extent::Closed(previous.end))
        .next()
        .unwrap_or(Extent::Open)
}

/// Segments that are named as the one before and are not there, although an older one is.
fn missing(headers: &[Header]) -> Vec<SegmentNumber> {
    let is_there = |number: SegmentNumber| headers.iter().any(|other| other.number == number);
    let has_older = |number: SegmentNumber| headers.iter().any(|other| other.number < number);
    let named = headers.iter().filter_map(|header| header.previous.map(|previous| previous.number));
    named.filter(|&number| !is_there(number) && has_older(number)).collect()
}

fn damage_of_header(listed: &Listed, id: JournalId, shard: ShardId) -> Option<Damage> {
    let flaw = match listed.header {
        Ok((header, _)) if header.id != id || header.shard != shard => Some(Flaw::Foreign),
        Ok((_, flaw)) => flaw,
        Err(error) => Some(error.into()),
    };
    let place = Place { segment: listed.number, position: 0 };
    flaw.map(|flaw| Damage { place, bytes: listed.available.min(BLOCK_BYTES as u64), flaw })
}

/// A segment is written whole before it is used, so a shorter file has lost something.
fn note_cut(listed: &Listed, report: &mut Report) {
    let Ok((header, _)) = listed.header else { return };
    if listed.available < header.length {
        let place = Place { segment: listed.number, position: listed.available };
        report.damage(place, header.length - listed.available, Flaw::Cut);
    }
}

const fn place_behind(place: Place, bytes: u64) -> Place {
    Place { position: place.position + bytes, ..place }
}
