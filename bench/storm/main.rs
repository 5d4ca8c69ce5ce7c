//! A reconnect storm: many durable sessions are made, all clients are cut, and all come back at once, as fast as they can.
//!
//! ```text
//! cargo bench --bench storm -- 127.0.0.1:1883 --clients 15000
//! cargo bench --bench storm -- 127.0.0.1:8883 --tls --plain 127.0.0.1:1883 --queued 4
//! cargo bench --bench storm -- 127.0.0.1:1883 --restart      says `cut` and waits for a line: the broker may be started anew meanwhile
//! ```
//!
//! A client that is refused, cut or not answered comes again after a back-off that doubles. TLS does not verify the broker: what is
//! measured is the broker, on cores that it shares with the clients. The exit status is 2 if somebody did not come back, found no
//! session, missed a message, or was answered later than the deadline.

#[path = "../load/generator/anybody.rs"]
mod anybody;
mod arguments;
mod client;
mod figures;
mod fleet;
mod link;
mod queueing;

use std::io::{self, BufRead as _, Write as _};
use std::process::ExitCode;

use clap::Parser;

use arguments::Arguments;
use figures::Figures;
use fleet::{Fleet, Wave};

fn main() -> ExitCode {
    match run(&Arguments::parse()) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::from(2),
        Err(error) => {
            // Where standard error is gone there is nobody to tell.
            let _ = writeln!(io::stderr(), "storm: {error}");
            ExitCode::FAILURE
        }
    }
}

/// The whole run; whether everything came back as it should.
fn run(arguments: &Arguments) -> io::Result<bool> {
    let core = arguments.core.map(|id| core_affinity::CoreId { id });
    if core.is_some_and(|core| !core_affinity::set_for_current(core)) {
        return Err(io::Error::other("--core: this process may not run there"));
    }
    let mut fleet = Fleet::new(arguments)?;
    say(&fleet.run(Wave { is_first: true, at_once: arguments.gathering })?.text("making"))?;
    fleet.cut();
    queueing::publish(arguments)?;
    if arguments.restart {
        say("cut\n")?;
        io::stdin().lock().read_line(&mut String::new())?;
    }
    let storm: Figures = fleet.run(Wave { is_first: false, at_once: arguments.at_once })?;
    say(&storm.text("storm"))?;
    Ok(storm.is_sound())
}

fn say(text: &str) -> io::Result<()> {
    let mut out = io::stdout().lock();
    out.write_all(text.as_bytes())?;
    out.flush()
}
