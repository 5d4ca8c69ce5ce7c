//! The load generator of `bench/load`, tested: its command line, its books, its bytes, and whole runs against a relay.
#![expect(clippy::unwrap_used, reason = "everything here is a test")]

#[path = "../../bench/load/generator/mod.rs"]
mod generator;
#[path = "../../bench/floor/relay.rs"]
mod relay;

mod arguments;
mod client;
mod device;
mod keeper;
mod ledger;
mod live;
mod pace;
mod packets;
mod process;
mod publisher;
mod report;
mod stamp;
mod window;
mod wire;
