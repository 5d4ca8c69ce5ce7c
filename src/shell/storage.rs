//! What the journals of all shards have in common: the data directory, and that it is the same journal.

use std::io;
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use super::clock::Clock;
use super::files::folder::{Folder, FolderError};
use super::files::keeper::{Desk, Keeper};
use super::files::segments::{Found, Shelf};
use super::files::writer::Cadence;
use super::journal::Frames;
use super::mesh::Ways;
use super::replay::{ReplayError, header_of};
use crate::config::{Durability, Storage as Settings};
use crate::engine::homes::ShardId;
use crate::journal::epoch::Epoch;
use crate::journal::place::JournalId;

/// Why the data directory cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum StorageError {
    /// The directory or something in it.
    #[error("{0}")]
    Folder(#[from] FolderError),
    /// A segment cannot be read.
    #[error("{0}")]
    Replay(#[from] ReplayError),
    /// Other shards have written it.
    #[error(
        "{path} was written by {written} shards, and {wanted} are to run: a session's place depends on their number; set runtime.shards = {written}"
    )]
    OtherShards {
        /// The directory.
        path: String,
        /// How many there were.
        written: usize,
        /// How many there are to be.
        wanted: usize,
    },
    /// Two journals lie in one directory.
    #[error("{path} holds segments of two journals: one of them was put there by hand")]
    TwoJournals {
        /// The directory.
        path: String,
    },
    /// The system refuses something.
    #[error("{what}: {error}")]
    System {
        /// What.
        what: &'static str,
        /// What the kernel says.
        error: io::Error,
    },
}

/// What a shard starts from.
pub struct Kept {
    /// How frames are made.
    pub frames: Frames,
    /// The segments that lie there.
    pub segments: Vec<Found>,
    /// When the device has to keep what is written.
    pub cadence: Cadence,
    /// How long a segment is.
    pub segment_bytes: u64,
    /// Where segments are asked for.
    pub desk: Desk,
}

/// The data directory in use. One for the process; the directory is free for others when this is dropped.
#[derive(Debug)]
pub struct Storage {
    /// Which journal it is: what is derived from it is the same at each start.
    id: JournalId,
    _keeper: Keeper,
}

impl Storage {
    /// What the homes of sessions are derived from: nobody outside knows it, and it is the same at each start.
    pub fn seed(&self) -> u64 {
        let uuid = self.id.uuid();
        u64::from_le_bytes(*uuid.first_chunk().expect("a uuid has sixteen bytes"))
    }

    /// Takes the data directory into use; what each shard starts from, in the order of their numbers. Nothing where nothing is kept.
    pub fn open(
        settings: &Settings,
        shards: usize,
        ways: &Ways,
        clock: Clock,
    ) -> Result<Option<(Self, Vec<Kept>)>, StorageError> {
        let cadence = match settings.durability {
            Durability::Memory => return Ok(None),
            Durability::Fsync => Cadence::Each,
            Durability::Interval => Cadence::Every { ns: settings.interval_ms * 1_000_000 },
        };
        let path = settings.data_dir.as_path();
        let folder = Folder::open(path)?;
        let numbers = (0..shards).map(ShardId::new);
        let shelves: Vec<Shelf> =
            numbers.map(|shard| Shelf::open(&folder, shard, settings.segment_bytes)).collect::<Result<_, _>>()?;
        let segments: Vec<Vec<Found>> = shelves.iter().map(Shelf::list).collect::<Result<_, _>>()?;
        let id = identity(path, shards, &segments)?;
        let epoch = epoch(clock);
        let system = |error| StorageError::System { what: "the keeper's thread", error };
        let keeper = Keeper::start(folder, shelves, ways.clone(), clock).map_err(system)?;
        let kept = segments.into_iter().enumerate().map(|(number, segments)| {
            let shard = ShardId::new(number);
            let frames = Frames { id, epoch, shard, shards };
            Kept { frames, segments, cadence, segment_bytes: settings.segment_bytes, desk: keeper.desk(shard) }
        });
        let kept = kept.collect();
        Ok(Some((Self { id, _keeper: keeper }, kept)))
    }
}

/// The journal that lies there, or a new one.
fn identity(path: &Path, shards: usize, segments: &[Vec<Found>]) -> Result<JournalId, StorageError> {
    let mut known: Option<JournalId> = None;
    for segment in segments.iter().flatten() {
        let Ok(header) = header_of(segment)? else { continue }; // the replay says what is wrong with it
        if usize::from(header.shards) != shards {
            let (path, written) = (path.display().to_string(), usize::from(header.shards));
            return Err(StorageError::OtherShards { path, written, wanted: shards });
        }
        if *known.get_or_insert(header.id) != header.id {
            return Err(StorageError::TwoJournals { path: path.display().to_string() });
        }
    }
    known.map_or_else(new_identity, Ok)
}

fn new_identity() -> Result<JournalId, StorageError> {
    use std::io::Read;
    let mut uuid = [0; 16];
    let read = std::fs::File::open("/dev/urandom").and_then(|mut source| source.read_exact(&mut uuid));
    read.map_err(|error| StorageError::System { what: "/dev/urandom", error })?;
    Ok(JournalId::new(uuid))
}

/// What the wall's clock showed when the process' clock stood at zero.
#[expect(clippy::disallowed_methods, reason = "deadlines go on over a restart by the clock on the wall")]
fn epoch(clock: Clock) -> Epoch {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let wall_ms = u64::try_from(since.as_millis()).unwrap_or(u64::MAX);
    Epoch::new(wall_ms.saturating_sub(clock.now().as_millis()))
}
