//! A line on the terminal that says how far a run is; nothing where nobody looks.

use std::io::{IsTerminal, Write, stderr};

/// How often the line changes, in nanoseconds.
const INTERVAL_NS: u64 = 500_000_000;

/// The line.
#[derive(Debug)]
pub struct Progress {
    is_shown: bool,
    shown_ns: u64,
    count: u64,
}

impl Progress {
    /// A line on standard error, if that is a terminal.
    pub fn new() -> Self {
        Progress { is_shown: stderr().is_terminal(), shown_ns: 0, count: 0 }
    }

    /// Shows what is being done and how fast, if it is time to.
    pub fn show(&mut self, now_ns: u64, doing: &str, count: u64) {
        let passed_ns = now_ns.saturating_sub(self.shown_ns);
        if !self.is_shown || passed_ns < INTERVAL_NS {
            return;
        }
        let a_second = u128::from(count.saturating_sub(self.count)) * 1_000_000_000 / u128::from(passed_ns);
        // A terminal that takes no text is no reason to end a measurement.
        let _ = write!(stderr(), "\r\x1b[K{doing}: {count}, {a_second} a second");
        (self.shown_ns, self.count) = (now_ns, count);
    }

    /// Takes the line away.
    pub fn clear(&mut self) {
        if self.is_shown {
            // As above.
            let _ = write!(stderr(), "\r\x1b[K");
        }
        self.count = 0;
    }
}
