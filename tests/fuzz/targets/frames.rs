//! Frames alone, as the only one of a segment: see `frames` in frames.rs.
#![no_main]

#[path = "../frames.rs"]
#[expect(dead_code, reason = "another target does the rest")]
mod frames;
#[path = "../journal.rs"]
#[expect(dead_code, reason = "another target does the rest")]
mod journal;

libfuzzer_sys::fuzz_target!(|data: &[u8]| frames::frames(data));
