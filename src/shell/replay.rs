//! The start of a shard that has a journal: its segments are read, and what they say is there again.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;

use super::files::segments::{Found, Segment};
use super::journal::HOT;
use crate::base::time::Time;
use crate::engine::change::Serial;
use crate::engine::output::Outputs;
use crate::engine::shard::Shard;
use crate::journal::place::{BLOCK_BYTES, SegmentNumber, Stream as Log};
use crate::journal::replay::{Listed, Replay, Step};
use crate::journal::report::Report;
use crate::journal::segment::{Header, HeaderError};

use super::journal::Frames;

/// Pieces of damage that are told one by one.
const DAMAGES_TOLD_MAX: usize = 20;

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

/// Where writing goes on.
#[derive(Debug)]
pub struct End {
    /// The last segment, if there is room in it, and where what lies there ends.
    pub current: Option<(Segment, u64)>,
    /// The number of the first new segment.
    pub first_segment: u64,
    /// The change before the first new one.
    pub after: Serial,
}

/// What the first block of a segment says.
pub fn header_of(segment: &Found) -> Result<Result<Header, HeaderError>, ReplayError> {
    let file = open(segment)?;
    let block = read(&file, segment, 0, BLOCK_BYTES as u64)?;
    Ok(Header::parse(&block).map(|(header, _)| header))
}

/// Reads all segments of a shard and gives their changes back to it.
pub fn replay(
    frames: &Frames,
    segments: &[Found],
    shard: &mut Shard,
    now: Time,
    out: &mut Outputs,
) -> Result<End, ReplayError> {
    let mut files = Vec::new();
    let mut listed = Vec::new();
    for segment in segments {
        let file = open(segment)?;
        let block = read(&file, segment, 0, BLOCK_BYTES as u64)?;
        let number = SegmentNumber::new(segment.number);
        // A spare that was never begun holds no header, and nothing else.
        if block.iter().all(|byte| *byte == 0) {
            continue;
        }
        listed.push(Listed { number, available: segment.bytes, header: Header::parse(&block) });
        files.push((number, file, segment));
    }
    let mut replay = Replay::new(frames.id, frames.shard, frames.epoch, &listed)?;
    loop {
        match replay.step() {
            Step::Change(found) => shard.restore(found.serial, found.change, out),
            Step::Wants { place, bytes } => {
                let (_, file, segment) =
                    files.iter().find(|(number, ..)| *number == place.segment).expect("it was listed");
                let piece = read(file, segment, place.position, bytes)?;
                replay.feed(place, bytes, &piece);
            }
            Step::Newer { kind, .. } => return Err(ReplayError::Newer { kind }),
            Step::Done => break,
        }
    }
    // What an earlier process had written and not waited for is promised from now on.
    for (_, file, segment) in &files {
        file.sync_data().map_err(|error| unread(segment, error))?;
    }
    let report = replay.report();
    tell(frames.shard.index(), report);
    let after = report.resume_after();
    shard.restored(after, now, out);
    let current = report.tail(Log::Hot).and_then(|tail| {
        let segment = segments.iter().find(|segment| segment.number == tail.place.segment.get())?;
        Some((segment, tail.place.position))
    });
    let first_segment = current.map_or(0, |(segment, _)| segment.number).max(files_end(segments, &files)) + 1;
    let current = current.map(|(segment, position)| resume(segment, position)).transpose()?;
    Ok(End { current, first_segment, after })
}

/// The highest number of a segment that something was written to. One that was made ahead of need is made again.
fn files_end(segments: &[Found], files: &[(SegmentNumber, File, &Found)]) -> u64 {
    let of_hot = |number: u64| segments.iter().any(|segment| segment.stream == HOT && segment.number == number);
    files.iter().map(|(number, ..)| number.get()).filter(|number| of_hot(*number)).max().unwrap_or(0)
}

/// The segment that is written on, behind what lies there.
fn resume(segment: &Found, position: u64) -> Result<(Segment, u64), ReplayError> {
    let file = File::options().read(true).write(true).open(&segment.path).map_err(|error| unread(segment, error))?;
    let Found { stream, number, bytes, .. } = *segment;
    Ok((Segment { stream, number, file, bytes }, position))
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
    tracing::info!(
        shard,
        segments = report.segments,
        records = report.records,
        bytes = report.bytes,
        "the journal was replayed"
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
