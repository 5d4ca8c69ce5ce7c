//! What the journals of all shards have in common: the data directory, and that it is the same journal.

use std::io;
use std::time::{SystemTime, UNIX_EPOCH};

use super::clock::Clock;
use super::files::folder::{Folder, FolderError};
use super::files::keeper::{Desk, Keeper};
use super::files::segments::{Found, Shelf};
use super::files::writer::Cadence;
use super::journal::Frames;
use super::mesh::Ways;
use super::moving::{Clash, Layout, MoveError, Source, Target, finish, move_all, shelf_count};
use super::replay::{ReplayError, header_of};
use super::room::Allotment;
use crate::base::time::Time;
use crate::config::{Durability, Storage as Settings};
use crate::engine::homes::{SHARDS_MAX, ShardId};
use crate::engine::shard::Shared;
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
    /// What shards of another number have kept cannot be moved.
    #[error("what other shards have kept cannot be moved: {0}")]
    Move(#[from] MoveError),
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
    /// What it may take of the disk.
    pub allotment: Allotment,
    /// Where segments are asked for.
    pub desk: Desk,
}

impl Kept {
    /// How much there is to read: the segments' bytes, also where nothing was written yet.
    pub fn bytes(&self) -> u64 {
        self.segments.iter().map(|segment| segment.bytes).sum()
    }
}

/// The data directory in use. One for the process; the directory is free for others when this is dropped.
#[derive(Debug)]
pub struct Storage {
    id: JournalId,
    _keeper: Keeper,
}

impl Storage {
    /// Which journal it is.
    pub fn id(&self) -> JournalId {
        self.id
    }

    /// Takes the data directory into use; what each shard starts from, in the order of their numbers. Nothing where nothing is kept.
    pub fn open(
        settings: &Settings,
        shards: usize,
        ways: &Ways,
        clock: Clock,
        in_common: impl Fn(JournalId, usize) -> Shared,
    ) -> Result<Option<(Self, Vec<Kept>)>, StorageError> {
        let cadence = match settings.durability {
            Durability::Memory => return Ok(None),
            Durability::Fsync => Cadence::Each,
            Durability::Interval => Cadence::Every { ns: settings.interval_ms * 1_000_000 },
        };
        let allotment = Allotment::of(settings, shards);
        let segment_bytes = allotment.segment_bytes;
        let path = settings.data_dir.as_path();
        let folder = Folder::open(path)?;
        finish(&folder)?;
        let epoch = epoch(clock);
        let mut found = identity(&folder, segment_bytes)?;
        if let Some((id, written)) = found.filter(|(_, written)| *written != shards) {
            tracing::info!(
                written,
                shards,
                "the number of shards has changed: what they kept is moved to its new places"
            );
            let (old, new) = (Layout { id, epoch, shards: written }, Layout { id: new_identity()?, epoch, shards });
            let homes = &in_common(new.id, shards).homes;
            let target = Target { folder: &folder, segment_bytes, layout: new, homes };
            let common = |layout: Layout| in_common(layout.id, layout.shards);
            let source = Source { folder: &folder, layout: old };
            move_all(target, &[source], Clash::Impossible, Time::ZERO, common)?;
            tracing::info!("everything has its new place");
            found = Some((new.id, shards));
        }
        let id = found.map_or_else(new_identity, |(id, _)| Ok(id))?;
        let numbers = (0..shards).map(ShardId::new);
        let open = |shard| Shelf::open(&folder, shard, segment_bytes)?.bounded(allotment.segments_max());
        let shelves: Vec<Shelf> = numbers.map(open).collect::<Result<_, _>>()?;
        let segments: Vec<Vec<Found>> = shelves.iter().map(Shelf::list).collect::<Result<_, _>>()?;
        let system = |error| StorageError::System { what: "the keeper's thread", error };
        let keeper = Keeper::start(folder, shelves, ways.clone(), clock).map_err(system)?;
        let kept = segments.into_iter().enumerate().map(|(number, segments)| {
            let shard = ShardId::new(number);
            let frames = Frames { id, epoch, shard, shards };
            Kept { frames, segments, cadence, allotment, desk: keeper.desk(shard) }
        });
        let kept = kept.collect();
        Ok(Some((Self { id, _keeper: keeper }, kept)))
    }
}

/// The journal that lies there, and how many shards have written it.
pub(super) fn identity(folder: &Folder, segment_bytes: u64) -> Result<Option<(JournalId, usize)>, StorageError> {
    let mut known: Option<(JournalId, usize)> = None;
    for number in 0..shelf_count(folder)?.min(SHARDS_MAX) {
        for segment in Shelf::open(folder, ShardId::new(number), segment_bytes)?.list()? {
            let Ok(header) = header_of(&segment)? else { continue }; // the replay says what is wrong with it
            let found = (header.id, usize::from(header.shards));
            if *known.get_or_insert(found) != found {
                return Err(StorageError::TwoJournals { path: folder.path().display().to_string() });
            }
        }
    }
    Ok(known)
}

/// What the homes of sessions are derived from: nobody outside knows it, and it is the same at each start.
pub fn seed_of(id: JournalId) -> u64 {
    let uuid = id.uuid();
    u64::from_le_bytes(*uuid.first_chunk().expect("a uuid has sixteen bytes"))
}

pub(super) fn new_identity() -> Result<JournalId, StorageError> {
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
