//! `pregon check`: every value of the configuration, and where it comes from.

use std::io::{self, Write as _};

use super::complain;
use super::exit::Exit;
use crate::config::Checked;

/// Prints a configuration that can be used.
pub fn run(checked: &Checked) -> Exit {
    match write!(io::stdout().lock(), "{checked}") {
        Ok(()) => Exit::Done,
        Err(error) => {
            complain(format_args!("standard output: {error}"));
            Exit::Failed
        }
    }
}
