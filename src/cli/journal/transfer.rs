//! `pregon journal export` and `import`: from one data directory to another, and how much that was.

use std::io::Write;

use super::{Finding, JournalError};
use crate::cli::arguments::journal::{Export, Import};
use crate::shell::moving::Moved;
use crate::shell::transfer::{self, Winner};

/// Writes all into another directory.
pub(super) fn export(flags: &Export, out: &mut impl Write) -> Result<Finding, JournalError> {
    let moved = transfer::export(&flags.place.directory, &flags.to)?;
    say(&moved, out)
}

/// Adds all of another directory.
pub(super) fn import(flags: &Import, out: &mut impl Write) -> Result<Finding, JournalError> {
    let winner = match (flags.keep, flags.replace) {
        (true, _) => Winner::Old,
        (false, true) => Winner::New,
        (false, false) => Winner::Unknown,
    };
    let moved = transfer::import(&flags.place.directory, &flags.from, winner)?;
    say(&moved, out)
}

fn say(moved: &Moved, out: &mut impl Write) -> Result<Finding, JournalError> {
    let Moved { sessions, retained, clashes, .. } = moved;
    write!(out, "{sessions} sessions and {retained} retained messages are there now")?;
    if *clashes > 0 {
        write!(out, ", {clashes} more were there twice")?;
    }
    writeln!(out)?;
    Ok(Finding::Clean)
}
