//! Messages of SCRAM: see `scram` in scram.rs.
#![no_main]

#[path = "../scram.rs"]
mod scram;

libfuzzer_sys::fuzz_target!(|data: &[u8]| scram::scram(data));
