//! The start of a shard that has a journal: its segments are read, and what they say is there again.

use std::collections::BTreeMap;
use std::fs::File;
use std::io;
use std::ops::ControlFlow;
use std::os::unix::fs::FileExt as _;
use std::rc::Rc;

use super::files::segments::{Found, Segment};
use super::progress::Share;
use super::reclaim::Span;
use super::report::Replayed;
use crate::base::time::Time;
use crate::engine::change::Serial;
use crate::engine::output::Outputs;
use crate::engine::shard::Shard;
use crate::journal::place::{BLOCK_BYTES, SegmentNumber};
use crate::journal::replay::{Found as Noted, Listed, Replay, Step};
use crate::journal::report::Report;
use crate::journal::segment::{Header, HeaderError};
use crate::journal::spots::{message_in, spot};

use super::journal::Frames;

/// Pieces of damage that are told one by one.
const DAMAGES_TOLD_MAX: usize = 20;

/// How much is written again at a time.
const AGAIN_BYTES: u64 = 1 << 20;

/// Why a shard cannot start from its journal.
#[derive(Debug, thiserror::Error)]
pub enum ReplayError {
    /// A file cannot be read.
    #[error("{path}: {error}")]
    Read {
        /// Which one.
        path: String,
        /// What the kernel says.
        error: io::Error,
    },
    /// A segment is of a newer version.
    #[error("{0}")]
    Header(#[from] HeaderError),
    /// A record is of a kind that must not be passed over.
    #[error("a newer program has written records of kind {kind} here: use that one")]
    Newer {
        /// Which kind.
        kind: u8,
    },
}

impl ReplayError {
    /// Whether a file is not there any more.
    pub fn is_gone(&self) -> bool {
        matches!(self, Self::Read { error, .. } if error.kind() == io::ErrorKind::NotFound)
    }
}

/// Where writing goes on.
#[derive(Debug)]
pub struct End {
    /// The last segment, if there is room in it, and where what lies there ends.
    pub current: Option<(Segment, u64)>,
    /// The number of the first new segment.
    pub first_segment: u64,
    /// The change before the first new one.
    pub after: Serial,
    /// The log, oldest first.
    pub spans: Vec<Span>,
    /// How many changes in it tell of something that is held from then on.
    pub births: u64,
    /// The files of the log, by the numbers of its segments.
    pub files: BTreeMap<u64, Rc<File>>,
    /// What was read on the way there; how long that took is not known here.
    pub replayed: Replayed,
}

/// What the first block of a segment says.
pub fn header_of(segment: &Found) -> Result<Result<Header, HeaderError>, ReplayError> {
    let file = open(segment)?;
    let block = read(&file, segment, 0, BLOCK_BYTES as u64)?;
    Ok(Header::parse(&block).map(|(header, _)| header))
}

/// The segments of a shard, and what they have told.
pub struct Told<'a> {
    /// What was read and found; of all of it, unless whoever took the changes wanted no more.
    pub report: Report,
    listed: Vec<Listed>,
    files: Vec<(SegmentNumber, File, &'a Found)>,
}

/// Reads the segments of a shard and hands on each change in its order, until that breaks off. Nothing is written. `has_read` hears of
/// the bytes piece by piece.
pub fn tell_all<'a>(
    frames: &Frames,
    segments: &'a [Found],
    mut take: impl FnMut(Noted) -> ControlFlow<()>,
    mut has_read: impl FnMut(u64),
) -> Result<Told<'a>, ReplayError> {
    let mut files = Vec::new();
    let mut listed = Vec::new();
    for segment in segments {
        let file = open(segment)?;
        let block = read(&file, segment, 0, BLOCK_BYTES as u64)?;
        let number = SegmentNumber::new(segment.number);
        listed.push(Listed { number, available: segment.bytes, header: Header::parse(&block) });
        files.push((number, file, segment));
    }
    let mut replay = Replay::new(frames.id, frames.shard, frames.epoch, &listed)?;
    loop {
        match replay.step() {
            Step::Change(found) => {
                if take(found).is_break() {
                    break;
                }
            }
            Step::Wants { place, bytes } => {
                let (_, file, segment) =
                    files.iter().find(|(number, ..)| *number == place.segment).expect("it was listed");
                let piece = read(file, segment, place.position, bytes)?;
                has_read(piece.len() as u64);
                replay.feed(place, bytes, &piece);
            }
            Step::Newer { kind, .. } => return Err(ReplayError::Newer { kind }),
            Step::Done => break,
        }
    }
    Ok(Told { report: replay.report().clone(), listed, files })
}

/// Reads all segments of a shard, gives their changes back to it, and lets it go on behind them.
pub fn replay(
    frames: &Frames,
    segments: &[Found],
    shard: &mut Shard,
    now: Time,
    progress: &Share,
    out: &mut Outputs,
) -> Result<End, ReplayError> {
    let end = read_back(frames, segments, shard, |bytes| progress.has_read(bytes), out)?;
    shard.restored(end.after, now, out);
    Ok(end)
}

/// Reads all segments of a shard and gives their changes back to it. `has_read` hears of the bytes piece by piece.
pub fn read_back(
    frames: &Frames,
    segments: &[Found],
    shard: &mut Shard,
    has_read: impl FnMut(u64),
    out: &mut Outputs,
) -> Result<End, ReplayError> {
    let mut births = 0;
    let mut firsts = BTreeMap::new();
    let restore = |found: Noted| {
        births += u64::from(found.change.is_birth());
        firsts.entry(found.place.segment).or_insert(found.serial);
        shard.restore(found.serial, found.change, spot(found.serial, found.place, found.bytes), out);
        ControlFlow::Continue(())
    };
    let Told { report, listed, files } = tell_all(frames, segments, restore, has_read)?;
    bring_wanted(frames, shard, &files)?;
    for mend in &report.mends {
        let (_, _, segment) =
            files.iter().find(|(number, ..)| *number == mend.damage.place.segment).expect("it was read");
        let shards = u8::try_from(frames.shards).expect("at most 64");
        write(segment, mend.damage.place.position, &mend.clone().into_bytes(frames.id, frames.shard, shards))?;
    }
    // What an earlier process had written and not waited for is promised from now on.
    for (_, file, segment) in &files {
        file.sync_data().map_err(|error| unread(segment, error))?;
    }
    tell(frames.shard.index(), &report);
    let after = report.resume_after();
    let current = report.tail.and_then(|tail| {
        let segment = segments.iter().find(|segment| segment.number == tail.place.segment.get())?;
        Some((segment, tail.place.position))
    });
    let first_segment = report.next.get();
    let current = current.map(|(segment, position)| resume(segment, position)).transpose()?;
    let damages = report.damages_count + report.missing.len() as u64;
    let replayed = Replayed { took_ns: 0, bytes: report.bytes, records: report.records, damages };
    let spans = spans(frames, &listed, &firsts, &report);
    let files = files.into_iter().map(|(number, file, _)| (number.get(), Rc::new(file))).collect();
    Ok(End { current, first_segment, after, spans, births, files, replayed })
}

/// Reads the messages that a shard needs before it serves anybody. One that is damaged is lost.
fn bring_wanted(
    frames: &Frames,
    shard: &mut Shard,
    files: &[(SegmentNumber, File, &Found)],
) -> Result<(), ReplayError> {
    for wanted in shard.wanted() {
        let number = SegmentNumber::new(u64::from(wanted.spot.segment));
        let (_, file, segment) = files.iter().find(|(known, ..)| *known == number).expect("it was read");
        let piece = read(file, segment, u64::from(wanted.spot.position), u64::from(wanted.spot.bytes))?;
        let Some(message) = message_in(&piece, wanted, frames.id, frames.epoch) else {
            tracing::error!(segment = number.get(), "a message of the journal is damaged: it is lost");
            continue;
        };
        shard.found(wanted.body, message);
    }
    Ok(())
}

/// The segments that belong to the log.
fn spans(frames: &Frames, listed: &[Listed], firsts: &BTreeMap<SegmentNumber, Serial>, report: &Report) -> Vec<Span> {
    let mut spans: Vec<Span> = Vec::new();
    let is_ours = |header: &Header| header.id == frames.id && header.shard == frames.shard;
    for segment in listed.iter().filter(|segment| segment.is_begun() && segment.number < report.next) {
        let header = segment.header.ok().map(|(header, _)| header);
        if header.is_some_and(|header| !is_ours(&header)) {
            continue;
        }
        let before = spans.last().map_or(Serial::NONE, |span| span.first);
        // Where nobody can tell, the segment counts as one with the one before it.
        let first =
            header.map(|header| header.first).or_else(|| firsts.get(&segment.number).copied()).unwrap_or(before);
        let end = listed.iter().filter_map(|other| other.header.ok()?.0.previous);
        let end = end.filter(|previous| previous.number == segment.number).map(|previous| previous.end).next();
        let tail = report.tail.filter(|tail| tail.place.segment == segment.number).map(|tail| tail.place.position);
        spans.push(Span { number: segment.number.get(), first, bytes: end.or(tail).unwrap_or(segment.available) });
    }
    spans
}

/// Writes what a crash has torn as it was meant.
fn write(segment: &Found, position: u64, bytes: &[u8]) -> Result<(), ReplayError> {
    let file = File::options().write(true).open(&segment.path);
    file.and_then(|file| file.write_all_at(bytes, position)).map_err(|error| unread(segment, error))
}

/// The segment that is written on, behind what lies there.
fn resume(segment: &Found, position: u64) -> Result<(Segment, u64), ReplayError> {
    let file = File::options().read(true).write(true).open(&segment.path).map_err(|error| unread(segment, error))?;
    write_again(&file, segment, position)?;
    let Found { stream, number, bytes, .. } = *segment;
    Ok((Segment { stream, number, file, bytes }, position))
}

/// Writes what lies in a segment once more, up to a place. Where a sync has failed under an earlier process, the kernel may show bytes that
/// the device has not, and hold them for clean, so that no further sync brings them there. Only the newest segment can have such bytes:
/// none is left before it is synced.
fn write_again(file: &File, segment: &Found, upto: u64) -> Result<(), ReplayError> {
    let mut position = 0;
    while position < upto {
        let piece = read(file, segment, position, (upto - position).min(AGAIN_BYTES))?;
        assert!(!piece.is_empty(), "what was replayed is there");
        file.write_all_at(&piece, position).map_err(|error| unread(segment, error))?;
        position += piece.len() as u64;
    }
    file.sync_data().map_err(|error| unread(segment, error))
}

fn open(segment: &Found) -> Result<File, ReplayError> {
    File::open(&segment.path).map_err(|error| unread(segment, error))
}

/// So many bytes from a place on, or as many as there are.
fn read(file: &File, segment: &Found, position: u64, bytes: u64) -> Result<Vec<u8>, ReplayError> {
    let count = bytes.min(segment.bytes.saturating_sub(position));
    let mut buffer = vec![0; usize::try_from(count).expect("a window fits into memory")];
    let mut filled = 0;
    while filled < buffer.len() {
        match file.read_at(&mut buffer[filled..], position + filled as u64) {
            Ok(0) => break,
            Ok(count) => filled += count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(unread(segment, error)),
        }
    }
    buffer.truncate(filled);
    Ok(buffer)
}

fn unread(segment: &Found, error: io::Error) -> ReplayError {
    ReplayError::Read { path: segment.path.display().to_string(), error }
}

/// Says what was read, and whatever is not as it was written.
fn tell(shard: usize, report: &Report) {
    tracing::debug!(
        shard,
        segments = report.segments,
        records = report.records,
        bytes = report.bytes,
        "the shard's journal was read"
    );
    for damage in report.damages.iter().take(DAMAGES_TOLD_MAX) {
        let (segment, position) = (damage.place.segment.get(), damage.place.position);
        tracing::error!(shard, segment, position, bytes = damage.bytes, flaw = %damage.flaw, "the journal is damaged");
    }
    if report.damages_count > 0 {
        tracing::error!(shard, damages = report.damages_count, "damaged records were set aside; nothing else is lost");
    }
    for segment in &report.missing {
        tracing::error!(shard, segment = segment.get(), "a segment of the journal is missing");
    }
}
