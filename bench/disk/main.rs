//! A disk for a broker's data directory that loses power, slows down, fills up and fails when it is told to.
//!
//! ```text
//! cargo bench --bench disk -- /tmp/disk     mounts it; each line of standard input is an order, each answer a line
//! pregon --data-dir /tmp/disk/data          a broker on it
//!
//! off             the power goes: what was not synced is gone, and nothing works; kill the broker
//! off 7           the same, and what was not synced is kept, lost or torn at 512 bytes, by this seed
//! on              the power is back: start the broker
//! slow 1000       each sync takes a second
//! full            nothing can be written; `full old`: nothing but what has its place already
//! free            there is room again
//! fail            the next fdatasync fails
//! ```
//!
//! It lies in memory, needs /dev/fuse and the right to mount, and ends with its standard input. Killed, it leaves a dead mount, which
//! `umount --lazy` takes away.

mod fickle;

use std::io::{BufRead as _, ErrorKind, Write as _};
use std::path::Path;
use std::process::ExitCode;

use fickle::mount::Mount;
use fickle::order::Order;

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).filter(|word| word != "--bench").collect();
    match serve(&words) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // Where standard error is gone there is nobody to tell.
            let _ = writeln!(std::io::stderr(), "disk: {error}");
            ExitCode::FAILURE
        }
    }
}

fn serve(words: &[String]) -> std::io::Result<()> {
    let [path] = words else {
        return Err(std::io::Error::new(ErrorKind::InvalidInput, "usage: disk FOLDER"));
    };
    let mount = Mount::at(Path::new(path))?;
    let mut out = std::io::stdout();
    writeln!(out, "mounted on {}", mount.path().display())?;
    for line in std::io::stdin().lock().lines() {
        match Order::parse(&line?) {
            Ok(order) => {
                mount.obey(order);
                writeln!(out, "done")?;
            }
            Err(complaint) => writeln!(out, "{complaint}")?,
        }
    }
    Ok(())
}
