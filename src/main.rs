//! The `pregon` binary: it tells what this build is, for nothing listens yet.

use std::io::{self, Write};

fn main() -> io::Result<()> {
    let mut out = io::stdout().lock();
    writeln!(out, "pregon {}", env!("CARGO_PKG_VERSION"))?;
    writeln!(out, "This build holds the pure core of the broker: the wire format and the engine, without a network.")?;
    writeln!(out, "Nothing listens on a port yet. `tests/run` plays the whole broker in memory.")
}
