//! `pregon check`: every value of the configuration, and where it comes from.

use std::io::{self, Write as _};

use super::complain;
use super::exit::Exit;
use crate::config::Checked;
use crate::config::plaintext::Overheard;

/// Prints a configuration that can be used, and beside it what its operator should know.
pub fn run(checked: &Checked) -> Exit {
    let config = checked.config();
    for overheard in config.listeners.overheard(&config.auth).filter(Overheard::wants_a_word) {
        complain(format_args!("{overheard}"));
    }
    match write!(io::stdout().lock(), "{checked}") {
        Ok(()) => Exit::Done,
        Err(error) => {
            complain(format_args!("standard output: {error}"));
            Exit::Failed
        }
    }
}
