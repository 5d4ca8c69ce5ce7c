//! What `pregon pub` has of its own.

use std::ffi::OsString;
use std::num::{NonZeroU16, NonZeroU64};
use std::path::PathBuf;

use clap::{ArgGroup, Args};

use super::peer::Peer;
use super::value;
use crate::cli::client::conversation::WINDOW_DEFAULT;
use crate::mqtt::QoS;

const WINDOW: NonZeroU16 = NonZeroU16::new(WINDOW_DEFAULT).expect("the window lets something through");

/// The flags of `mosquitto_pub`.
#[derive(Args, Clone, Debug)]
#[command(group = ArgGroup::new("payload").required(true).args(["message", "null_message", "file", "stdin_file", "stdin_line"]))]
#[expect(clippy::struct_excessive_bools, reason = "each is a flag of its own on the command line")]
pub struct Publishing {
    /// Topic to publish to
    #[arg(short, long, value_name = "TOPIC", value_parser = value::topic)]
    pub topic: String,

    /// Send this text
    #[arg(short, long, value_name = "TEXT", allow_hyphen_values = true)]
    pub message: Option<OsString>,

    /// Send an empty message; with -r it clears what is retained
    #[arg(short, long)]
    pub null_message: bool,

    /// Send what this file holds
    #[arg(short, long, value_name = "FILE")]
    pub file: Option<PathBuf>,

    /// Send all of standard input as one message
    #[arg(short, long)]
    pub stdin_file: bool,

    /// Send each line of standard input as a message
    #[arg(short = 'l', long)]
    pub stdin_line: bool,

    /// Quality of service of the messages
    #[arg(short, long, value_name = "QOS", default_value = "0", value_parser = value::qos)]
    pub qos: QoS,

    /// Have the messages retained
    #[arg(short, long)]
    pub retain: bool,

    /// Send the message so many times
    #[arg(long, value_name = "N", default_value_t = NonZeroU64::MIN, conflicts_with = "stdin_line")]
    pub repeat: NonZeroU64,

    /// Seconds between two of them, with a fraction if need be
    #[arg(long, value_name = "SECONDS", default_value = "0", value_parser = value::seconds)]
    pub repeat_delay: u64,

    /// Messages above QoS 0 that may be under way at a time
    #[arg(short = 'M', long, value_name = "N", default_value_t = WINDOW)]
    pub max_inflight: NonZeroU16,

    /// Where the broker is and who we are.
    #[command(flatten)]
    pub peer: Peer,
}
