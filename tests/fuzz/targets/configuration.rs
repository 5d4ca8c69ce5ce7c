//! Configurations: see `configuration` in configuration.rs.
#![no_main]

#[path = "../configuration.rs"]
mod configuration;

libfuzzer_sys::fuzz_target!(|data: &[u8]| configuration::configuration(data));
