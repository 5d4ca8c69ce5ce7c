//! Answers of a hook: see `answers` in answers.rs.
#![no_main]

#[path = "../answers.rs"]
mod answers;

libfuzzer_sys::fuzz_target!(|data: &[u8]| answers::answers(data));
