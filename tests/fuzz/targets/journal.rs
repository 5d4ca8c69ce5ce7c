//! Whole journals, written and harmed: see `journal` in journal.rs.
#![no_main]

#[path = "../journal.rs"]
mod journal;

libfuzzer_sys::fuzz_target!(|data: &[u8]| journal::journal(data));
