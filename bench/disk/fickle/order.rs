//! What can be asked of the disk, as words.

use std::time::Duration;

use super::luck::Luck;

/// One wish.
#[derive(Debug)]
pub enum Order {
    /// The power goes, and stays away: whatever is asked of the disk fails.
    Cut(Luck),
    /// The power is back. What was opened before stays dead.
    Power,
    /// Each sync takes so long. Those that take longer already come back.
    Slow(Duration),
    /// How much can be written.
    Room(Room),
    /// The next `fdatasync` fails.
    FailSync,
}

/// What can be written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Room {
    /// Everything.
    Plenty,
    /// What has its place already, as on a file system that writes in place.
    Old,
    /// Nothing, as on one that never writes in place.
    None,
}

/// The words of all orders.
pub const WORDS: &str = "off | off SEED | on | slow MILLISECONDS | full | full old | free | fail";

impl Order {
    /// What a line asks for.
    pub fn parse(line: &str) -> Result<Self, String> {
        let words: Vec<&str> = line.split_whitespace().collect();
        let number = |word: &str| word.parse::<u64>().map_err(|error| format!("{word}: {error}"));
        Ok(match words.as_slice() {
            ["off"] => Self::Cut(Luck::None),
            ["off", seed] => Self::Cut(Luck::of_seed(number(seed)?)),
            ["on"] => Self::Power,
            ["slow", ms] => Self::Slow(Duration::from_millis(number(ms)?)),
            ["full"] => Self::Room(Room::None),
            ["full", "old"] => Self::Room(Room::Old),
            ["free"] => Self::Room(Room::Plenty),
            ["fail"] => Self::FailSync,
            _ => return Err(format!("{line:?} is none of: {WORDS}")),
        })
    }
}
