//! A data directory looked at from outside: nothing is locked, made or written, so a broker may go on in it meanwhile.

use std::fs;
use std::io;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use super::files::folder::{FolderError, refused};
use super::files::segments::{Found, list};
use super::journal::Frames;
use super::replay::{ReplayError, header_of, tell_all};
use crate::engine::homes::{SHARDS_MAX, ShardId};
use crate::journal::epoch::Epoch;
use crate::journal::place::{JournalId, SegmentNumber};
use crate::journal::replay::Found as Noted;
use crate::journal::report::{Damage, Report};
use crate::journal::segment::Header;

/// Times are those of the clock on the wall: nobody here has another one.
const EPOCH: Epoch = Epoch::new(0);
/// How often a shard is listed again because a segment has gone before it was opened.
const LOOKS_MAX: u32 = 3;

/// Why a data directory cannot be looked at.
#[derive(Debug, thiserror::Error)]
pub enum ArchiveError {
    /// There is nothing of ours.
    #[error("{} holds no journal: its shards' folders are called shard-0, shard-1 and so on", path.display())]
    NoJournal {
        /// The directory.
        path: PathBuf,
    },
    /// The directory or something in it.
    #[error("{0}")]
    Folder(#[from] FolderError),
    /// A segment.
    #[error("{0}")]
    Replay(#[from] ReplayError),
}

/// The folder of one shard.
#[derive(Clone, Debug)]
pub struct Shelved {
    /// Whose it is.
    pub shard: ShardId,
    /// Where it is.
    pub path: PathBuf,
    /// Its segments, those that were made ahead of use included.
    pub segments: Vec<Found>,
}

/// What lies in a data directory.
#[derive(Clone, Debug)]
pub struct Archive {
    /// Which journal it is, by the word of most segments.
    pub id: JournalId,
    /// How many shards have written it, by the same.
    pub shards: usize,
    /// Their folders, in the order of their numbers. Those that should be there and are not are missing here, too.
    pub shelves: Vec<Shelved>,
}

impl Archive {
    /// Looks what is there, without reading all of it.
    pub fn open(path: &Path) -> Result<Self, ArchiveError> {
        let shelves = shelves(path)?;
        if shelves.is_empty() {
            return Err(ArchiveError::NoJournal { path: path.to_owned() });
        }
        let mut headers = Vec::new();
        for segment in shelves.iter().flat_map(|shelf| &shelf.segments) {
            match header_of(segment) {
                Err(error) if error.is_gone() => {} // a broker has dropped it meanwhile
                header => headers.extend(header?), // without one it is damaged, or was not begun: the reader tells them apart
            }
        }
        let id = most_common(&headers, |header| header.id).unwrap_or(JournalId::new([0; 16]));
        let shards = most_common(&headers, |header| header.shards).map_or(shelves.len(), usize::from);
        Ok(Self { id, shards, shelves })
    }

    /// Shards whose folders are not there.
    pub fn missing(&self) -> impl Iterator<Item = ShardId> {
        let is_there = |shard: &ShardId| self.shelves.iter().any(|shelf| shelf.shard == *shard);
        (0..self.shards).map(ShardId::new).filter(move |shard| !is_there(shard))
    }

    /// Reads all that a shard has kept, and hands on each change in its order until that breaks off.
    pub fn read(
        &self,
        shelved: &Shelved,
        mut take: impl FnMut(Noted) -> ControlFlow<()>,
    ) -> Result<Report, ArchiveError> {
        let frames = Frames { id: self.id, epoch: EPOCH, shard: shelved.shard, shards: self.shards };
        let mut segments = shelved.segments.clone();
        for _ in 0..LOOKS_MAX {
            match tell_all(&frames, &segments, &mut take, |_bytes| {}) {
                // A broker has dropped its oldest segment meanwhile. All are opened before the first change is handed on.
                Err(error) if error.is_gone() => segments = list(&shelved.path)?,
                told => {
                    let report = told?.report;
                    return if report.is_clean() {
                        Ok(report)
                    } else {
                        Ok(of_what_is_there(report, &list(&shelved.path)?))
                    };
                }
            }
        }
        Ok(tell_all(&frames, &segments, take, |_bytes| {})?.report)
    }

    /// Reads all that a shard has kept, only to see whether it is as it was written.
    pub fn check(&self, shelved: &Shelved) -> Result<Report, ArchiveError> {
        let first = self.read(shelved, |_| ControlFlow::Continue(()))?;
        self.confirm(shelved, first)
    }

    /// What is damaged for sure: what is just being written may look so for a moment, and does not at a second look.
    pub fn confirm(&self, shelved: &Shelved, first: Report) -> Result<Report, ArchiveError> {
        if first.is_clean() {
            return Ok(first);
        }
        let again = Shelved { segments: list(&shelved.path)?, ..shelved.clone() };
        let second = self.read(&again, |_| ControlFlow::Continue(()))?;
        Ok(seen_twice(&first, second))
    }
}

impl Shelved {
    /// The file of a segment.
    pub fn file(&self, number: SegmentNumber) -> Option<&Path> {
        let found = self.segments.iter().find(|segment| segment.number == number.get());
        found.map(|segment| segment.path.as_path())
    }
}

/// The folders of shards, in the order of their numbers.
fn shelves(path: &Path) -> Result<Vec<Shelved>, FolderError> {
    let entries: io::Result<Vec<PathBuf>> =
        fs::read_dir(path).and_then(|entries| entries.map(|entry| Ok(entry?.path())).collect());
    let mut shelves = Vec::new();
    for path in entries.map_err(refused("list", path))? {
        let name = path.file_name().and_then(|name| name.to_str()).and_then(|name| name.strip_prefix("shard-"));
        let number = name.and_then(|number| number.parse().ok()).filter(|number| *number < SHARDS_MAX);
        let Some(number) = number else { continue };
        let segments = list(&path)?;
        shelves.push(Shelved { shard: ShardId::new(number), path, segments });
    }
    shelves.sort_by_key(|shelf| shelf.shard);
    Ok(shelves)
}

/// What most headers say of something.
fn most_common<T: Copy + PartialEq>(headers: &[Header], of: impl Fn(&Header) -> T) -> Option<T> {
    let count = |value: &T| headers.iter().filter(|header| of(header) == *value).count();
    headers.iter().map(&of).max_by_key(count)
}

/// The report without damage in segments that a broker has dropped, and perhaps written over, while they were read.
fn of_what_is_there(mut report: Report, segments: &[Found]) -> Report {
    let before = report.damages.len();
    report.damages.retain(|damage| segments.iter().any(|segment| segment.number == damage.place.segment.get()));
    report.damages_count -= (before - report.damages.len()) as u64;
    report
}

/// The second report without the damage that the first one does not have.
fn seen_twice(first: &Report, second: Report) -> Report {
    let unlisted = second.damages_count - second.damages.len() as u64;
    let listed: Vec<Damage> = second.damages.iter().copied().filter(|damage| first.damages.contains(damage)).collect();
    let missing = second.missing.iter().copied().filter(|number| first.missing.contains(number)).collect();
    Report { damages_count: listed.len() as u64 + unlisted, damages: listed, missing, ..second }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::journal::place::Place;
    use crate::journal::report::Flaw;
    use crate::shell::ring::disk::Stream;

    fn damage(segment: u64, position: u64) -> Damage {
        Damage { place: Place { segment: SegmentNumber::new(segment), position }, bytes: 1, flaw: Flaw::Frame }
    }

    #[test]
    fn damage_in_a_segment_that_was_dropped_meanwhile_does_not_count() {
        let damages = vec![damage(1, 4096), damage(2, 4096)];
        let report = Report { damages_count: 2, damages, ..Report::default() };
        let segment = |number| Found { stream: Stream::new(0), number, path: PathBuf::new(), bytes: 1 };
        let left = of_what_is_there(report, &[segment(2), segment(3)]);
        assert_eq!((left.damages_count, left.damages), (1, vec![damage(2, 4096)]));
    }

    #[test]
    fn damage_counts_that_is_there_at_both_looks() {
        let damage = |position| damage(1, position);
        let report = |positions: &[u64], missing: &[u64]| Report {
            damages: positions.iter().copied().map(damage).collect(),
            damages_count: positions.len() as u64,
            missing: missing.iter().copied().map(SegmentNumber::new).collect(),
            ..Report::default()
        };
        let both = seen_twice(&report(&[4096, 8192], &[7]), report(&[8192, 12288], &[7, 9]));
        assert_eq!((both.damages_count, both.damages), (1, vec![damage(8192)]));
        assert_eq!(both.missing, [SegmentNumber::new(7)]);
        assert!(seen_twice(&report(&[4096], &[]), report(&[8192], &[])).is_clean());
    }
}
