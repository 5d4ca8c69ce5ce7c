//! The first words of a client of TLS: see `hello` in hello.rs.
//!
//! They are looked at by one file of a floor that needs the runtime, so it is taken alone.
#![no_main]

#[path = "../../../src/shell/transport/hello.rs"]
mod first_words;
#[path = "../hello.rs"]
mod hello;

use first_words::offers_13;

libfuzzer_sys::fuzz_target!(|data: &[u8]| hello::hello(data));
