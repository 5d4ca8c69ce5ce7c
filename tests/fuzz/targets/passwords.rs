//! Password files: see `passwords` in passwords.rs.
#![no_main]

#[path = "../passwords.rs"]
mod passwords;

libfuzzer_sys::fuzz_target!(|data: &[u8]| passwords::passwords(data));
