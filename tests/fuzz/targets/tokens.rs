//! Tokens and their keys: see `tokens` in tokens.rs.
#![no_main]

#[path = "../tokens.rs"]
mod tokens;

libfuzzer_sys::fuzz_target!(|data: &[u8]| tokens::tokens(data));
