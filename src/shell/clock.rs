//! The clock of a shard: the only place of the shell that reads the time.

use std::time::{Instant, SystemTime, UNIX_EPOCH};

use crate::base::time::Time;

/// A monotonic clock. All shards of a process count from the same moment, so that their times can be compared.
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    start: Instant,
}

impl Clock {
    /// A clock that starts now.
    #[expect(clippy::disallowed_methods, reason = "this is the shell's clock")]
    pub fn start() -> Self {
        Self { start: Instant::now() }
    }

    /// Nanoseconds since the start.
    #[expect(clippy::disallowed_methods, reason = "this is the shell's clock")]
    pub fn now_ns(self) -> u64 {
        u64::try_from(Instant::now().duration_since(self.start).as_nanos()).expect("a process runs less than 584 years")
    }

    /// The time as the engine counts it. It starts above zero, where nothing can be older than the process.
    pub fn now(self) -> Time {
        at_ns(self.now_ns())
    }
}

/// What the clock on the wall shows, in seconds since 1970; 0 before that.
#[expect(clippy::disallowed_methods, reason = "this is the shell's clock")]
pub fn wall_s() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs()
}

/// A moment in nanoseconds as the engine counts it.
pub fn at_ns(ns: u64) -> Time {
    Time::from_millis(ns / 1_000_000)
}
