//! What brokers keep, from one machine to another: out of a data directory into one that can be carried, and into another one.
//!
//! Both directories are in use by nobody else meanwhile. What comes out is a data directory, too: a journal of one shard in which
//! everything is told once.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use super::archive::{Archive, ArchiveError};
use super::files::folder::{Folder, FolderError};
use super::moving::{Clash, Layout, MoveError, Moved, Source, Target, finish, move_all, shelf_count};
use super::storage::{StorageError, identity, new_identity, seed_of};
use crate::base::hash::Seed;
use crate::base::time::Time;
use crate::config::Storage as Settings;
use crate::engine::accounts::Accounts;
use crate::engine::accounts::terms::Terms;
use crate::engine::auth::policy::Policy;
use crate::engine::homes::Homes;
use crate::engine::limits::Limits;
use crate::engine::shard::Shared;
use crate::engine::subscriptions::interest::Interest;
use crate::journal::epoch::Epoch;

/// Times are those of the clock on the wall: nobody here has another one.
const EPOCH: Epoch = Epoch::new(0);
/// Nobody asks the filter.
const INTEREST_POSITIONS: usize = 64;

/// Why nothing was carried over.
#[derive(Debug, thiserror::Error)]
pub enum TransferError {
    /// There is nothing to take.
    #[error("{0}")]
    Archive(#[from] ArchiveError),
    /// One of the directories.
    #[error("{0}")]
    Folder(#[from] FolderError),
    /// The journal in it.
    #[error("{0}")]
    Storage(#[from] StorageError),
    /// On the way.
    #[error("{0}")]
    Move(#[from] MoveError),
    /// Something lies there already.
    #[error("{} holds a journal already: name a directory that is empty or not there", path.display())]
    Taken {
        /// Where.
        path: PathBuf,
    },
    /// Both have it.
    #[error("{first} is there already, and {more} more: choose with --keep or --replace; nothing was changed")]
    Clash {
        /// What.
        first: String,
        /// How many others.
        more: u64,
    },
}

/// Who wins where both have a session of the same client, or a retained message of the same topic.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Winner {
    /// What is there.
    Old,
    /// What comes.
    New,
    /// Nobody has said.
    Unknown,
}

/// Writes all that is kept in one directory into another one, which is made.
pub fn export(from: &Path, to: &Path) -> Result<Moved, TransferError> {
    let (from, layout) = open(from)?;
    let to = vacant(to)?;
    let target = Layout { id: new_identity()?, epoch: EPOCH, shards: 1 };
    carry(&to, target, &[Source { folder: &from, layout }], Clash::Impossible)
}

/// Adds all that is kept in one directory to what is kept in another one, which is made if it is not there.
pub fn import(into: &Path, from: &Path, winner: Winner) -> Result<Moved, TransferError> {
    let (from, coming) = open(from)?;
    let new = Source { folder: &from, layout: coming };
    let Some((folder, here)) = known(into)? else {
        let target = Layout { id: new_identity()?, ..coming };
        return carry(&vacant(into)?, target, &[new], Clash::Impossible);
    };
    let old = Source { folder: &folder, layout: here };
    let target = Layout { id: new_identity()?, ..here };
    let moved = match winner {
        Winner::Old => carry(&folder, target, &[old, new], Clash::First)?,
        Winner::New => carry(&folder, target, &[new, old], Clash::First)?,
        Winner::Unknown => carry(&folder, target, &[old, new], Clash::Refused)?,
    };
    match moved.first_clash.clone().filter(|_| winner == Winner::Unknown) {
        Some(first) => Err(TransferError::Clash { first, more: moved.clashes - 1 }),
        None => Ok(moved),
    }
}

/// A directory that holds a journal.
fn open(path: &Path) -> Result<(Folder, Layout), TransferError> {
    Archive::open(path)?;
    known(path)?.ok_or_else(|| ArchiveError::NoJournal { path: path.to_owned() }.into())
}

/// A directory and its journal, if there is one.
fn known(path: &Path) -> Result<Option<(Folder, Layout)>, TransferError> {
    if !path.exists() {
        return Ok(None);
    }
    let folder = Folder::open(path)?;
    finish(&folder)?;
    let known = identity(&folder, Settings::default().segment_bytes)?;
    Ok(known.map(|(id, shards)| (folder, Layout { id, epoch: EPOCH, shards })))
}

/// A directory without one.
fn vacant(path: &Path) -> Result<Folder, TransferError> {
    let folder = Folder::open(path)?;
    if shelf_count(&folder)? > 0 {
        return Err(TransferError::Taken { path: path.to_owned() });
    }
    Ok(folder)
}

fn carry(folder: &Folder, layout: Layout, sources: &[Source<'_>], clash: Clash) -> Result<Moved, TransferError> {
    let shared = common(layout);
    let segment_bytes = Settings::default().segment_bytes;
    let target = Target { folder, segment_bytes, layout, homes: &shared.homes };
    Ok(move_all(target, sources, clash, now(), common)?)
}

/// What the shards of a broker have in common that has no clients.
fn common(layout: Layout) -> Shared {
    let seed = Seed::new(seed_of(layout.id));
    let count = u32::try_from(layout.shards).expect("at most 64");
    Shared {
        limits: Arc::new(Limits::default()),
        own_limits: Arc::from([]),
        homes: Arc::new(Homes::new(seed, layout.shards)),
        interest: Arc::new(Interest::new(seed, count, INTEREST_POSITIONS)),
        policy: Arc::new(Policy::open()),
        accounts: Arc::new(Accounts::new(Terms::of(&Limits::default()).with_owners(), seed)),
        has_journal: true,
        ram_budget: Settings::default().ram_budget,
    }
}

#[expect(clippy::disallowed_methods, reason = "the time that a session has left runs by the clock on the wall")]
fn now() -> Time {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Time::from_millis(u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
}
