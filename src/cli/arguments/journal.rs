//! What `pregon journal` may be told.

use std::path::PathBuf;

use clap::{Args, Subcommand};

use crate::cli::exit;

/// What can be done with a data directory. `check`, `dump` and `stats` read only, also while a broker runs on it: then the newest changes
/// may be missing, and there is no one moment of which they tell. `export` and `import` want it for themselves.
#[derive(Subcommand, Clone, Debug)]
pub enum Journal {
    /// Read all of it and say what is damaged
    ///
    /// Every segment of every shard is read and verified. A group that was not written to its end, the last one of a shard, is no
    /// damage: a crash leaves that behind.
    #[command(after_help = exit::JOURNAL_HELP)]
    Check(Place),
    /// Print every change in its order, shard by shard
    #[command(after_help = exit::JOURNAL_HELP)]
    Dump(Dump),
    /// Add up what it holds: segments, records, sessions, messages
    #[command(after_help = exit::JOURNAL_HELP)]
    Stats(Stats),
    /// Write all sessions and retained messages into another directory, to be carried to another machine
    ///
    /// No broker may run on either. What comes out is a data directory, too.
    #[command(after_help = exit::JOURNAL_HELP)]
    Export(Export),
    /// Add all sessions and retained messages of another directory to those of this one
    ///
    /// No broker may run on either. If both have a session of the same client or a retained message of the same topic, nothing is changed
    /// unless --keep or --replace says which one counts.
    #[command(after_help = exit::JOURNAL_HELP)]
    Import(Import),
}

/// Flags of `journal export`.
#[derive(Args, Clone, Debug)]
pub struct Export {
    /// Where it lies.
    #[command(flatten)]
    pub place: Place,

    /// Where it goes; empty, or not there
    #[arg(value_name = "TO")]
    pub to: PathBuf,
}

/// Flags of `journal import`.
#[derive(Args, Clone, Debug)]
pub struct Import {
    /// Where it goes; made if it is not there.
    #[command(flatten)]
    pub place: Place,

    /// Where it lies: what `journal export` wrote, or any data directory
    #[arg(value_name = "FROM")]
    pub from: PathBuf,

    /// Of what both have, what DIR has counts
    #[arg(long, conflicts_with = "replace")]
    pub keep: bool,

    /// Of what both have, what FROM has counts
    #[arg(long)]
    pub replace: bool,
}

/// Where it lies.
#[derive(Args, Clone, Debug)]
pub struct Place {
    /// The data directory, as `storage.data_dir` names it
    #[arg(value_name = "DIR")]
    pub directory: PathBuf,
}

/// Flags of `journal dump`.
#[derive(Args, Clone, Debug)]
pub struct Dump {
    /// Where it lies.
    #[command(flatten)]
    pub place: Place,

    /// One JSON object a line; a payload that is no text stands there as `payload_hex`
    #[arg(long)]
    pub json: bool,

    /// Only what concerns sessions of this client identifier, and the messages that they were owed
    #[arg(long, value_name = "CLIENT_ID")]
    pub session: Option<String>,

    /// Only this shard
    #[arg(long, value_name = "N")]
    pub shard: Option<usize>,

    /// End after so many changes
    #[arg(long, value_name = "N")]
    pub limit: Option<u64>,
}

/// Flags of `journal stats`.
#[derive(Args, Clone, Debug)]
pub struct Stats {
    /// Where it lies.
    #[command(flatten)]
    pub place: Place,

    /// One JSON object for each shard, and with --sessions for each session
    #[arg(long)]
    pub json: bool,

    /// What each session owns, too
    #[arg(long)]
    pub sessions: bool,
}
