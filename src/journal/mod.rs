//! Floor 4: the journal, the durable form of what a shard has to remember: bytes in, bytes out.
//!
//! # Map
//! A [`Change`](crate::engine::change::Change) becomes a [`record`], whose inside is [`content`] of a [`kind`], made of [`fields`] and
//! [`varint`]s; points in time cross over an [`epoch`]. Records that are committed together form a [`group`] and lie on disk as a
//! [`frame`]; frames lie behind each other in a [`segment`], [`place`] says where, and the next one goes to the [`tail`]. A [`reader`] goes
//! through one segment, a [`replay`] through all of a shard in their order, and its [`report`] says what was wrong. [`spots`] find a single record again. A [`ledger`] adds
//! up for people what the changes come to.
//!
//! # On disk
//! ```text
//! segment   header block | frame | frame | ... | whatever the file held before
//! frame     header, twice | record | record | ... | length of each | zeros up to 4 KiB
//! record    checksum | length | offset of its number | kind, fields
//! ```
//! Each shard has a log: a folder of segments, the oldest of which are dropped once a sweep of the shard has told again what in them
//! still holds. Order in the log is order in time, and a change has the next higher number, its serial.
//!
//! # Invariants worth naming
//! - What is delivered was written: a record counts only with its own checksum, which covers the journal's uuid and the serial.
//! - What was never acknowledged and is not whole does not count, nor does anything that was written behind it: a frame is taken as
//!   a whole where a crash may have torn it.
//! - What was acknowledged loses at most the records that are hit: elsewhere a damaged frame gives what is intact in it.
//! - Nothing of another journal, another segment, another position or another life of the file is read.
//! - A serial is given once. What a crash swallowed leaves a gap: [`report::Report::resume_after`].
//! - Serials go up, and the header of a segment names a bound below all in it: so one knows which segments a sweep has made
//!   superfluous.
//! - Nothing is allocated by an announced length: what a length counts is there before it is copied.
//!
//! # What the shell owes
//! - One frame is under way at a time; the next one is written behind it when it is safe. Then at most the last frame of a log
//!   can be torn. Whoever writes on without waiting (`interval`, `memory`) may lose more, which is what it means.
//! - A frame is written at the place it was sealed for; a segment's file has its whole length before, and its header is safe before, or
//!   together with, its first frame. [`segment::Previous::end`] is where the log's last frame before it ended.
//! - The oldest segment goes first, and none before a sweep that began behind all of it is over and safe.
//! - What a replay wants mended ([`report::Report::mends`]) is written before anything else: a crash has torn it without loss.
//! - After a replay, what was read is made safe (one fdatasync) before anything is promised that rests on it, and the next frame goes
//!   to [`tail::Tail::place`], or into a new segment.
//!
//! # What is not here
//! Files, the clock, and when to commit: the shell's. What changes mean together: the engine's.

#[cfg(test)]
mod arbitrary;
pub mod content;
#[cfg(test)]
mod damage_tests;
pub mod epoch;
pub mod fields;
#[cfg(test)]
mod fixture_tests;
pub mod frame;
pub mod group;
pub mod kind;
pub mod ledger;
pub mod place;
pub mod reader;
pub mod record;
pub mod replay;
#[cfg(test)]
mod replay_tests;
pub mod report;
pub mod scribe;
pub mod segment;
pub mod spots;
pub mod tail;
#[cfg(test)]
mod testing;
#[cfg(test)]
mod torn_tests;
pub mod varint;
