//! What `pregon passwd` may be told.

use std::path::PathBuf;

use clap::{ArgGroup, Args};

/// Whose password, in which file, and what is to become of it; without a flag it is set.
#[derive(Args, Clone, Debug)]
#[command(group = ArgGroup::new("action").args(["create", "delete", "check"]))]
#[expect(clippy::struct_excessive_bools, reason = "each is a flag of its own on the command line")]
pub struct Passwd {
    /// The password file
    #[arg(value_name = "FILE")]
    pub file: PathBuf,

    /// The user
    #[arg(value_name = "NAME")]
    pub name: String,

    /// Read the password from standard input, one line, instead of asking for it
    #[arg(long, conflicts_with = "delete")]
    pub batch: bool,

    /// Make the file, with this user alone
    #[arg(short, long)]
    pub create: bool,

    /// Make it also where there is one, whose users are gone then
    #[arg(long, requires = "create")]
    pub overwrite: bool,

    /// Take the user out
    #[arg(short = 'D', long)]
    pub delete: bool,

    /// Say whether the password is right, and change nothing
    #[arg(long)]
    pub check: bool,
}
