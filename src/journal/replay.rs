//! Everything that the journal of a shard tells, in the order of its numbers.
//!
//! Within a segment the numbers go up, and a segment says which number is its lowest. So a replay is a merge: a segment is opened
//! when its lowest number is next and left when it is exhausted, whatever stream it belongs to. Those of the hot stream come
//! one after another; only cold segments that overlap are open together.
//!
//! A record that was moved keeps its number, and is taken once, also while the segment it came from still stands. What a
//! change refers to may be gone, since the oldest segment is dropped as a whole once nothing in it is needed: `Settled` without its
//! `Queued`, `SessionEnded` without its `Session`, `Unsubscribed` without its `Subscribed`. Such an end is given to the caller like
//! any other; it ends nothing and is no error. The reverse cannot be: the accounts of reclaim see to it.
//!
//! Files stay outside: [`Replay::step`] says which bytes it wants, [`Replay::feed`] takes them.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use super::epoch::Epoch;
use super::frame::{Item, Walk};
use super::place::{BLOCK_BYTES, JournalId, Place, SegmentNumber, Stream};
use super::reader::{self, Extent, Reader, Window};
use super::record::RecordError;
use super::report::{Flaw, Report};
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

/// Of two copies of a record the one is taken that will stay longer: a cold one, and of these the one that was moved later.
type Precedence = (IsHot, Reverse<SegmentNumber>);
type IsHot = bool;

/// One segment under way.
#[derive(Debug)]
struct Run {
    number: SegmentNumber,
    /// The tail of its stream, if nothing follows it.
    tail: Option<Tail>,
    /// No number is lower.
    first: Serial,
    precedence: Precedence,
    reader: Reader,
    window: Window,
    /// The highest number so far.
    last: Serial,
    /// The frame that is being walked through, its position and its bytes.
    frame: Option<(Walk, u64, u64)>,
    /// The next change of the segment.
    head: Option<Found>,
}

/// Merges the segments of one shard. One per shard and start.
#[derive(Debug)]
pub struct Replay {
    id: JournalId,
    epoch: Epoch,
    /// Not yet opened, the lowest number last.
    waiting: Vec<Run>,
    open: Vec<Option<Run>>,
    /// The runs that have a head, by its number.
    heads: BinaryHeap<Reverse<(Serial, Precedence, usize)>>,
    /// The run that has none yet.
    headless: Option<usize>,
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
        let headers: Vec<Header> = segments.iter().filter_map(|listed| listed.header.ok().map(|(it, _)| it)).collect();
        let belongs = |header: &Header| header.id == id && header.shard == shard;
        let headers: Vec<Header> = headers.into_iter().filter(belongs).collect();
        report.missing = missing(&headers);
        let mut waiting = Vec::with_capacity(segments.len());
        for listed in segments {
            note_header(listed, id, shard, &mut report);
            if listed.header.as_ref().is_ok_and(|(header, _)| !belongs(header)) {
                continue;
            }
            waiting.push(Run::new(listed, id, &headers));
            note_cut(listed, &mut report);
        }
        waiting.sort_by_key(|run| Reverse((run.first, run.number)));
        report.segments = waiting.len() as u64;
        Ok(Self { id, epoch, waiting, open: Vec::new(), heads: BinaryHeap::new(), headless: None, report })
    }

    /// Goes on to the next change, or to what is needed for it.
    pub fn step(&mut self) -> Step {
        loop {
            if let Some(index) = self.headless {
                if let Some(step) = self.advance(index) {
                    return step;
                }
                continue;
            }
            let lowest = self.heads.peek().map(|Reverse((serial, ..))| *serial);
            let opens = self.waiting.last().is_some_and(|run| lowest.is_none_or(|lowest| run.first <= lowest));
            if opens {
                self.open_next();
                continue;
            }
            let Some(Reverse((.., index))) = self.heads.pop() else {
                return Step::Done;
            };
            self.headless = Some(index);
            let head = self.open[index].as_mut().and_then(|run| run.head.take());
            if let Some(found) = self.unless_seen(head.expect("whoever stands in the heap has a head")) {
                return Step::Change(found);
            }
        }
    }

    /// Takes the bytes that the last step wanted. Fewer mean that the file ends there.
    pub fn feed(&mut self, place: Place, wanted: u64, bytes: &[u8]) {
        let run = self.headless.and_then(|index| self.open[index].as_mut()).expect("a step has asked for bytes");
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

    fn open_next(&mut self) {
        let run = self.waiting.pop().expect("the caller has seen it");
        let free = self.open.iter().position(Option::is_none);
        let index = free.unwrap_or_else(|| {
            self.open.push(None);
            self.open.len() - 1
        });
        self.open[index] = Some(run);
        self.headless = Some(index);
    }

    /// Reads on in one run until it has a head or is at its end: then there is nothing to tell.
    fn advance(&mut self, index: usize) -> Option<Step> {
        let run = self.open[index].as_mut().expect("a run without a head is open");
        let step = loop {
            match run.walk(self.epoch, &mut self.report) {
                Walked::Head(serial) => {
                    self.heads.push(Reverse((serial, run.precedence, index)));
                    break None;
                }
                Walked::Newer { kind, place } => return Some(Step::Newer { kind, place }),
                Walked::Nothing => {}
            }
            match run.reader.step(&run.window) {
                reader::Step::Wants { position, bytes } => {
                    return Some(Step::Wants { place: run.at(position), bytes });
                }
                reader::Step::Frame { header, position, bytes } => {
                    self.report.frames += 1;
                    let frame = run.window.get(position, bytes).expect("the reader has seen the frame in the window");
                    run.frame = Some((Walk::new(header, self.id, frame), position, bytes));
                }
                reader::Step::Damaged { position, bytes } => {
                    self.report.damage(run.at(position), bytes, Flaw::Frame);
                }
                reader::Step::End { position, torn_bytes } => {
                    let place = run.at(position);
                    let tail = run.tail.map(|tail| Tail { place, last: run.last, torn_bytes, ..tail });
                    self.report.tails.extend(tail);
                    self.open[index] = None;
                    break None;
                }
            }
        };
        self.headless = None;
        step
    }

    /// The change, unless it was told before.
    fn unless_seen(&mut self, found: Found) -> Option<Found> {
        if found.serial > self.report.last {
            self.report.last = found.serial;
            return Some(found);
        }
        if found.serial == self.report.last {
            self.report.repeated += 1;
        } else {
            // Its segment has promised no number as low as this.
            let error = RecordError::Order { serial: found.serial.get(), previous: self.report.last.get() };
            self.report.damage(found.place, u64::from(found.bytes), error.into());
        }
        None
    }
}

/// How far a walk through a frame has come.
enum Walked {
    /// To a change that the merge may take now.
    Head(Serial),
    /// To a record that needs a newer program.
    Newer { kind: u8, place: Place },
    /// To the end of the frame, or there is none.
    Nothing,
}

impl Run {
    fn new(listed: &Listed, id: JournalId, headers: &[Header]) -> Self {
        let number = listed.number;
        let header = listed.header.ok().map(|(header, _)| header);
        let length = header.map_or(listed.available, |header| header.length);
        let extent = extent(number, headers);
        let tail = match (header, extent) {
            (Some(header), Extent::Open) if is_newest(&header, headers) => Some(Tail::new(&header)),
            _ => None,
        };
        let reader = Reader::new(id, number, extent, listed.available.min(length));
        let first = header.map_or(Serial::NONE, |header| header.first);
        let is_hot = header.is_none_or(|header| header.stream == Stream::Hot);
        let precedence = (is_hot, Reverse(number));
        let (last, window) = (Serial::NONE, Window::default());
        Self { number, tail, first, precedence, reader, window, last, frame: None, head: None }
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
            if let Ok((serial, _)) = outcome {
                report.records += 1;
                self.last = self.last.max(serial);
            }
            match outcome {
                Ok((serial, Some(change))) => {
                    let bytes = u32::try_from(range.len()).expect("a frame is bounded below 4 GiB");
                    self.head = Some(Found { serial, change, place, bytes });
                    return Walked::Head(serial);
                }
                Ok((_, None)) => report.skipped += 1,
                Err(RecordError::UnknownKind { kind }) => return Walked::Newer { kind, place },
                Err(error) => report.damage(place, range.len() as u64, error.into()),
            }
        }
        if let Some(flaw) = walk.flaw(frame, at(*position)) {
            report.damage(at(*position), *bytes, flaw);
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

fn is_newest(header: &Header, headers: &[Header]) -> bool {
    headers.iter().all(|other| other.stream != header.stream || other.number <= header.number)
}

/// Segments that are named as the one before and are not there, although an older one of their stream is.
fn missing(headers: &[Header]) -> Vec<SegmentNumber> {
    let is_gone = |number: SegmentNumber, stream| {
        let mut same = headers.iter().filter(|other| other.stream == stream);
        !headers.iter().any(|other| other.number == number) && same.any(|other| other.number < number)
    };
    let named = headers.iter().filter_map(|header| header.previous.map(|previous| (previous.number, header.stream)));
    named.filter(|&(number, stream)| is_gone(number, stream)).map(|(number, _)| number).collect()
}

fn note_header(listed: &Listed, id: JournalId, shard: ShardId, report: &mut Report) {
    let flaw = match listed.header {
        Ok((header, _)) if header.id != id || header.shard != shard => Some(Flaw::Foreign),
        Ok((_, flaw)) => flaw,
        Err(error) => Some(error.into()),
    };
    if let Some(flaw) = flaw {
        let bytes = listed.available.min(BLOCK_BYTES as u64);
        report.damage(Place { segment: listed.number, position: 0 }, bytes, flaw);
    }
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
