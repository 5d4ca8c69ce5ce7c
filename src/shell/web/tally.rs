//! What those count who ask web servers. One for the whole broker, written by many threads.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};

use crate::engine::auth::hook::Said;
use crate::shell::report::{BUCKETS_US, Histogram, WebStats};

/// The counters; none of them says anything about another one.
#[derive(Debug, Default)]
pub struct Tally {
    allowed: AtomicU64,
    denied: AtomicU64,
    ignored: AtomicU64,
    failed: AtomicU64,
    buckets: [AtomicU64; BUCKETS_US.len() + 1],
    sum_ns: AtomicU64,
    /// Questions whose answer was remembered.
    pub cache_hits: AtomicU64,
    /// Questions that were under way already.
    pub joined: AtomicU64,
    /// Questions that found too many waiting.
    pub refused: AtomicU64,
    /// Fetches that brought other keys than before.
    pub keys_changed: AtomicU64,
    /// Fetches that brought the same ones.
    pub keys_same: AtomicU64,
    /// Fetches that brought none.
    pub keys_failed: AtomicU64,
    /// At this moment: keys that were fetched and hold.
    pub keys: AtomicU64,
    /// At this moment: whether the last fetch brought none.
    pub are_keys_failing: AtomicBool,
}

/// One more.
pub fn count(counter: &AtomicU64) {
    counter.fetch_add(1, Relaxed);
}

impl Tally {
    /// A question was asked, and this was answered after so long; nothing is a failure.
    pub fn note(&self, said: Option<&Said>, took_ns: u64) {
        count(match said {
            Some(Said::Client(_) | Said::Granted) => &self.allowed,
            Some(Said::Refused) => &self.denied,
            Some(Said::Unknown) => &self.ignored,
            None => &self.failed,
        });
        count(&self.buckets[Histogram::bucket(took_ns)]);
        self.sum_ns.fetch_add(took_ns, Relaxed);
    }

    /// The figures of this moment.
    pub fn read(&self) -> WebStats {
        let buckets = core::array::from_fn(|at| self.buckets[at].load(Relaxed));
        WebStats {
            allowed: self.allowed.load(Relaxed),
            denied: self.denied.load(Relaxed),
            ignored: self.ignored.load(Relaxed),
            failed: self.failed.load(Relaxed),
            answers: Histogram { buckets, sum_ns: self.sum_ns.load(Relaxed) },
            cache_hits: self.cache_hits.load(Relaxed),
            joined: self.joined.load(Relaxed),
            refused: self.refused.load(Relaxed),
            keys_changed: self.keys_changed.load(Relaxed),
            keys_same: self.keys_same.load(Relaxed),
            keys_failed: self.keys_failed.load(Relaxed),
            keys: self.keys.load(Relaxed),
            are_keys_failing: self.are_keys_failing.load(Relaxed),
        }
    }
}
