//! Records, frames, segments and what is read back from them: see `journal` in journal.rs.
#![no_main]

#[path = "../journal.rs"]
mod body;

libfuzzer_sys::fuzz_target!(|data: &[u8]| body::journal(data));
