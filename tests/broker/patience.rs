//! The only clock of these tests: deadlines, and waiting until something is true.
#![expect(clippy::disallowed_methods, reason = "a process under test lives in real time")]

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// How long a test waits for what must come: far longer than a busy machine takes.
pub const PATIENCE: Duration = Duration::from_mins(1);

/// Between two looks at something that tells nobody when it changes.
const LOOK_AGAIN: Duration = Duration::from_millis(10);

/// A moment after which waiting is over.
#[derive(Clone, Copy, Debug)]
pub struct Deadline(Instant);

impl Deadline {
    /// This far from now.
    pub fn after(wait: Duration) -> Self {
        Self(Instant::now() + wait)
    }

    /// The time that is left, if any is.
    pub fn left(self) -> Option<Duration> {
        self.0.checked_duration_since(Instant::now()).filter(|left| !left.is_zero())
    }
}

/// The seconds of the wall clock, by which what was signed ends.
pub fn unix_s() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).expect("the clock is set").as_secs()
}

/// Measures from its making.
#[derive(Clone, Copy, Debug)]
pub struct Stopwatch(Instant);

impl Stopwatch {
    pub fn start() -> Self {
        Self(Instant::now())
    }

    pub fn elapsed(self) -> Duration {
        self.0.elapsed()
    }
}

/// Looks until `find` finds something.
#[track_caller]
pub fn wait_for<T>(what: &str, mut find: impl FnMut() -> Option<T>) -> T {
    let deadline = Deadline::after(PATIENCE);
    loop {
        if let Some(found) = find() {
            return found;
        }
        assert!(deadline.left().is_some(), "waited in vain for {what}");
        std::thread::sleep(LOOK_AGAIN);
    }
}

/// Looks until `is_true`.
#[track_caller]
pub fn wait_until(what: &str, mut is_true: impl FnMut() -> bool) {
    wait_for(what, || is_true().then_some(()));
}
