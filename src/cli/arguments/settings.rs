//! What the broker itself may be told on the command line.

use std::path::PathBuf;

use clap::{Args, ValueEnum};

/// Flags that win over every file. Their values are checked where all others are: in the configuration.
#[derive(Args, Clone, Debug, Default)]
pub struct Settings {
    /// Read this file, and the files conf.d/*.toml beside it
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,

    /// Listen here for MQTT over TCP; may be repeated, port 0 lets the kernel choose
    #[arg(long, value_name = "ADDR:PORT")]
    pub listen: Vec<String>,

    /// Cores to use: auto, a number of cores, or a list of them
    ///
    /// `auto` takes all that the process may use, `4` the first four, `2,3,6-7` these.
    #[arg(long, value_name = "N|LIST")]
    pub cores: Option<String>,

    /// Keep nothing: sessions, queues and retained messages end with the process
    ///
    /// The same as `--set storage.durability=memory`.
    #[arg(long, conflicts_with = "data_dir")]
    pub memory: bool,

    /// Keep sessions, queues and retained messages in this directory
    ///
    /// The same as `--set storage.durability=fsync --set storage.data_dir=DIR`.
    #[arg(long, value_name = "DIR")]
    pub data_dir: Option<PathBuf>,

    /// Serve metrics and health here; port 0 serves none
    #[arg(long, value_name = "ADDR:PORT")]
    pub admin: Option<String>,

    /// Set any key of the configuration; may be repeated
    ///
    /// For example `--set limits.packet_bytes_max=1MiB`. `pregon check` lists the keys.
    #[arg(long, value_name = "SECTION.KEY=VALUE")]
    pub set: Vec<String>,

    /// What to log: error, warn, info, debug or trace; area=level after a comma makes an exception
    ///
    /// For example `info,shell=debug`.
    #[arg(long, value_name = "LEVEL")]
    pub log: Option<String>,

    /// How log lines look
    #[arg(long, value_name = "FORMAT")]
    pub log_format: Option<LogFormat>,
}

/// How log lines look.
#[derive(ValueEnum, Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    /// For people
    Text,
    /// One JSON object a line
    Json,
}
