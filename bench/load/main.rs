//! A load generator for MQTT brokers: one thread that saturates a core of the broker, and books in which each message counts.
//!
//! ```text
//! cargo bench --bench load -- fan-in --publishers 10 --pid PID --core 1      CPU seconds a million deliveries
//! cargo bench --bench load -- pairs --qos 2 --mqtt 5 --window 20
//! cargo bench --bench load -- fan-in --rate 200000                          latency, from the intended time of sending
//! cargo bench --bench load -- fan-in --flood                                publishers that never wait
//! cargo bench --bench load -- connect --connections 5000 --rounds 10
//! cargo bench --bench load -- idle --connections 15000 --seconds 10
//! ```
//!
//! It needs nothing of the broker but its codec: `--no-default-features` before the `--` builds it without the shell.
//! The exit status is 0 if each message came once and in order, 1 if the run failed, 2 if it ended but the books are not clean.

mod generator;

use std::io::Write;
use std::process::ExitCode;

use clap::Parser;

use generator::arguments::Arguments;
use generator::failure::{Failure, io};
use generator::report::Report;

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    match generator::run(&arguments).and_then(|report| publish(&arguments, &report).map(|()| report.is_sound)) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::from(2),
        Err(failure) => {
            // Where standard error is gone there is nobody to tell.
            let _ = writeln!(std::io::stderr(), "load: {failure}");
            ExitCode::FAILURE
        }
    }
}

/// Writes the figures to where they are wanted.
fn publish(arguments: &Arguments, report: &Report) -> Result<(), Failure> {
    if let Some(path) = &arguments.json {
        std::fs::write(path, report.to_json()).map_err(io(format!("--json {}", path.display())))?;
    }
    std::io::stdout().write_all(report.to_table().as_bytes()).map_err(io("standard output"))
}
