//! Questions about who is here, put to the shards of a running broker.

use std::sync::Arc;
use std::thread;
use std::time::Duration;

use crossbeam_channel::bounded;

use super::mesh::{Parcel, Ways};
use super::reloading::Force;
use crate::engine::auth::policy::Policy;
use crate::engine::homes::ShardId;
use crate::engine::shard::listing::{Cursor, Page};

/// How long a shard may take to tell one page.
const PATIENCE: Duration = Duration::from_secs(10);
/// How long nobody is bothered whose channel is full.
const PAUSE: Duration = Duration::from_millis(5);

/// A shard does not tell.
#[derive(thiserror::Error, Clone, Copy, Debug, PartialEq, Eq)]
#[error("shard {shard} does not answer")]
pub struct Silent {
    /// Which one.
    pub shard: usize,
}

/// Asks the shards who is here. Cheap to copy, usable from every thread.
#[derive(Clone, Debug)]
pub struct Enquiry {
    ways: Ways,
    force: Arc<Force>,
}

impl Enquiry {
    /// Of these shards, under what is in force.
    pub(super) fn new(ways: Ways, force: Arc<Force>) -> Self {
        Self { ways, force }
    }

    /// What is in force now.
    pub fn policy(&self) -> Arc<Policy> {
        self.force.policy()
    }

    /// How many shards there are.
    pub fn shards(&self) -> usize {
        self.ways.shards()
    }

    /// A page of what a shard lists. One at a time is on its way, so a reader that is slow keeps nobody but itself.
    pub fn page(&self, shard: usize, from: Cursor) -> Result<Page, Silent> {
        let (asker, answer) = bounded(1);
        let to = ShardId::new(shard);
        let mut tries = PATIENCE.as_millis() / PAUSE.as_millis();
        while self.ways.put(to, Parcel::List(from, asker.clone())).is_err() {
            tries = tries.checked_sub(1).ok_or(Silent { shard })?;
            thread::park_timeout(PAUSE);
        }
        self.ways.wake(to);
        drop(asker);
        answer.recv_timeout(PATIENCE).map_err(|_over| Silent { shard })
    }
}
