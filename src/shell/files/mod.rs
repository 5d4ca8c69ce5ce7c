//! The files of the journal: the data directory, segments that are made ahead of use, and group commit.
//!
//! | file | what lives there |
//! |---|---|
//! | [`folder`] | the data directory: whose it is, and that one process alone uses it |
//! | [`segments`] | segments as files: made, found again, recycled |
//! | [`keeper`] | the thread that does all of this while shards go on |
//! | [`writer`] | group commit: one write of a stream on its way, the next group forms meanwhile |
//! | [`tally`] | what a writer counts |
//! | [`whole`] | the operator's files, read whole |
//!
//! Invariants:
//!
//! ```text
//! durable ≤ written ≤ appended
//! a group is written behind the one before it, and only after that one was told
//! after a failed sync nothing is written, and nothing becomes durable
//! a segment has its name and its length on the device before its first byte is written
//! ```
//!
//! Not here: what the bytes mean, which is the journal's part, and how they get to the file, which is the ring's.

pub mod folder;
pub mod keeper;
#[cfg(test)]
mod live_tests;
#[cfg(test)]
pub(in crate::shell) mod scratch;
pub mod segments;
#[cfg(test)]
mod stamp;
pub mod tally;
pub mod whole;
pub mod writer;
#[cfg(test)]
mod writer_tests;
