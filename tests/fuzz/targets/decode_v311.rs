//! Frames and packets of 3.1.1: see `decode` in bodies.rs.
#![no_main]

#[path = "../bodies.rs"]
mod bodies;

libfuzzer_sys::fuzz_target!(|data: &[u8]| bodies::decode(pregon::mqtt::Version::V311, data));
