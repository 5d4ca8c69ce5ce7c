//! Frames and packets of 5.0: see `decode` in bodies.rs.
#![no_main]

#[path = "../bodies.rs"]
mod bodies;

libfuzzer_sys::fuzz_target!(|data: &[u8]| bodies::decode(pregon::mqtt::Version::V5, data));
