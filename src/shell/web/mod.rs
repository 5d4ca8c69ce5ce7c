//! The web servers that the operator names: who asks them, and what is done with what they answer.
//!
//! | file | what lives there |
//! |---|---|
//! | here | those who ask, started together; where a shard leaves its questions to them |
//! | [`client`] | one request and its answer, within bounds of size and time |
//! | [`resolver`] | names are looked up by a bounded number of threads |
//! | [`hook`] | who a client is and what it may do, as a server says it: remembered, asked once |
//! | [`couriers`] | the threads that ask it |
//! | [`keys`] | tokens that are judged by keys of a server |
//! | [`fetcher`] | the thread that fetches these keys |
//! | [`tally`] | what all of them count |
//!
//! Invariants worth naming:
//! - No shard waits for a server, and no clerk: who asks has threads of its own, and what waits for them is bounded.
//! - Whatever a server does but answer as it should lets nobody in.
//!
//! Not here, and why: what is asked and what an answer means (`engine::auth::hook` and `engine::auth::token` know, without a socket).

pub mod client;
pub mod couriers;
pub mod fetcher;
pub mod hook;
pub mod keys;
pub mod resolver;
pub mod tally;

use std::io;
use std::sync::Arc;

use self::couriers::Couriers;
use self::fetcher::Fetcher;
use self::hook::Hook;
use self::keys::Fetched;
use crate::engine::auth::Helper;
use crate::engine::homes::ShardId;
use crate::engine::output::Question;
use crate::shell::mesh::Ways;
use crate::shell::reloading::Force;

/// The running threads that ask servers. What they have begun when this is dropped they end by themselves: nobody waits for them.
#[derive(Debug, Default)]
pub struct Askers {
    couriers: Option<Couriers>,
    fetcher: Option<Fetcher>,
}

/// Where one shard leaves questions to them. One per shard.
#[derive(Clone, Debug, Default)]
pub struct Desk {
    couriers: Option<couriers::Desk>,
    fetcher: Option<fetcher::Desk>,
}

impl Askers {
    /// Starts those who have somebody to ask: so many couriers for the hook, and the one who fetches keys.
    pub fn start(
        hook: Option<&Arc<Hook>>,
        couriers: usize,
        fetched: Option<&Arc<Fetched>>,
        force: &Arc<Force>,
        ways: &Ways,
    ) -> io::Result<Self> {
        let couriers = hook.map(|hook| Couriers::start(couriers, hook, ways)).transpose()?;
        let keys = fetched.map(|keys| Fetcher::start(keys, force, ways)).transpose()?;
        Ok(Self { couriers, fetcher: keys })
    }

    /// Where a shard asks.
    pub fn desk(&self) -> Desk {
        Desk { couriers: self.couriers.as_ref().map(Couriers::desk), fetcher: self.fetcher.as_ref().map(Fetcher::desk) }
    }

    /// The operator wants everything read anew: keys as well.
    pub fn order(&self) -> Option<fetcher::Desk> {
        self.fetcher.as_ref().map(Fetcher::desk)
    }
}

impl Desk {
    /// Leaves a question with whoever asks servers; gives it back if there is no room, or nobody to ask.
    #[expect(clippy::result_large_err, reason = "whoever hears no answers the question at once")]
    pub fn ask(&self, shard: ShardId, question: Question) -> Result<(), Question> {
        match (question.about.helper(), &self.couriers, &self.fetcher) {
            (Helper::Courier, Some(couriers), _) => couriers.ask(shard, question),
            (Helper::Fetcher, _, Some(fetcher)) => fetcher.ask(shard, question),
            (Helper::Courier | Helper::Fetcher | Helper::Clerk, _, _) => Err(question),
        }
    }
}
