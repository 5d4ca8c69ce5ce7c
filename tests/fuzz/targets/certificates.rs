//! Client certificates: see `certificates` in certificates.rs.
#![no_main]

#[path = "../certificates.rs"]
mod certificates;

libfuzzer_sys::fuzz_target!(|data: &[u8]| certificates::certificates(data));
