//! `pregon journal`: a data directory for people's eyes.
//!
//! | file | what lives there |
//! |---|---|
//! | here | from a question to its exit code |
//! | [`check`] | whether all is as it was written |
//! | [`dump`] [`fields`] | each change, and what there is to say about one |
//! | [`stats`] | what the changes add up to |
//! | [`transfer`] | from one directory to another |
//! | [`row`] [`moment`] | named values as a line or as JSON, points in time |

pub mod check;
pub mod dump;
pub mod fields;
pub mod moment;
pub mod row;
pub mod stats;
pub mod transfer;

use std::io::{self, BufWriter, ErrorKind, Write};

use crate::cli::arguments::journal::Journal;
use crate::cli::complain;
use crate::cli::exit::Exit;
use crate::journal::report::Report;
use crate::shell::archive::{Archive, ArchiveError, Shelved};
use crate::shell::transfer::TransferError;

/// Why a question stays without an answer.
#[derive(thiserror::Error, Debug)]
enum JournalError {
    #[error("{0}")]
    Archive(#[from] ArchiveError),
    #[error("{0}")]
    Transfer(#[from] TransferError),
    #[error("standard output: {0}")]
    Output(#[from] io::Error),
    #[error("there is no shard {wanted}, only {known}")]
    NoSuchShard { wanted: usize, known: String },
}

/// Whether all that was read is as it was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Finding {
    Clean,
    Damaged,
}

impl Finding {
    /// The worse one of both.
    const fn and(self, other: Self) -> Self {
        match (self, other) {
            (Self::Clean, Self::Clean) => Self::Clean,
            (Self::Damaged, _) | (_, Self::Damaged) => Self::Damaged,
        }
    }

    fn of(report: &Report) -> Self {
        if report.is_clean() { Self::Clean } else { Self::Damaged }
    }
}

/// Answers a question.
pub fn run(question: &Journal) -> Exit {
    let mut out = BufWriter::new(io::stdout().lock());
    let answer = match question {
        Journal::Check(place) => check::run(&place.directory, &mut out),
        Journal::Dump(flags) => dump::run(flags, &mut out),
        Journal::Stats(flags) => stats::run(flags, &mut out),
        Journal::Export(flags) => transfer::export(flags, &mut out),
        Journal::Import(flags) => transfer::import(flags, &mut out),
    };
    match answer.and_then(|finding| Ok(out.flush().map(|()| finding)?)) {
        Ok(Finding::Clean) => Exit::Done,
        Ok(Finding::Damaged) => Exit::Damaged,
        // A reader like `head` has seen enough.
        Err(JournalError::Output(error)) if error.kind() == ErrorKind::BrokenPipe => Exit::Done,
        Err(error) => {
            complain(format_args!("{error}"));
            Exit::Failed
        }
    }
}

/// Says on standard error that a shard is damaged, where standard output carries something else.
fn warn(archive: &Archive, shelf: &Shelved, report: Report) -> Result<Finding, ArchiveError> {
    let report = archive.confirm(shelf, report)?;
    if !report.is_clean() {
        let pieces = report.damages_count + report.missing.len() as u64;
        complain(format_args!(
            "shard {}: {pieces} pieces of damage; `pregon journal check` lists them",
            shelf.shard.index()
        ));
    }
    Ok(Finding::of(&report))
}
