//! What `pregon passwd` may be told.

use std::path::PathBuf;

use clap::{ArgGroup, Args, ValueEnum};

use crate::engine::auth::scram::keys::{ITERATIONS, NEW_ITERATIONS};

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

    /// What is kept of the password
    #[arg(long, value_enum, value_name = "METHOD", default_value_t = Method::Argon2id, conflicts_with_all = ["delete", "check"])]
    pub method: Method,

    /// How often scram-sha-256 hashes: each client that proves the password has to do it
    #[arg(long, value_name = "COUNT", default_value_t = NEW_ITERATIONS, conflicts_with_all = ["delete", "check"],
        value_parser = clap::value_parser!(u32).range(i64::from(*ITERATIONS.start())..=i64::from(*ITERATIONS.end())))]
    pub iterations: u32,

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

/// What is kept of a password.
#[derive(ValueEnum, Clone, Copy, Debug, PartialEq, Eq)]
pub enum Method {
    /// A hash that costs memory: the password is sent in CONNECT
    Argon2id,
    /// Keys by which clients of MQTT 5 prove the password without sending it; in CONNECT it may be sent as well
    #[value(name = "scram-sha-256")]
    ScramSha256,
}
