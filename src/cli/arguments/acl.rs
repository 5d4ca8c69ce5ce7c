//! What `pregon acl` may be told.

use core::net::IpAddr;
use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};

use super::settings::Settings;
use super::value;
use crate::cli::exit;
use crate::engine::auth::acl::who::parse_fingerprint;
use crate::mqtt::QoS;

/// What can be asked of the rules.
#[derive(Subcommand, Clone, Debug)]
pub enum Acl {
    /// Say whether a client may do something, and which rule or which claim of its token says so
    ///
    /// Reads the configuration and its file of rules as the broker would with the same flags, and asks no broker. Of what no rule allows it tells
    /// the nearest rules; of a subscription, what would be delivered and what withheld.
    #[command(after_help = exit::ACL_HELP)]
    Explain(Explain),
    /// Say who would lose what, and who would gain what, if these rules took the place of those in force
    ///
    /// Asks the broker that runs with the same configuration, through the socket admin.control, and changes nothing. It goes through everybody who is
    /// connected or has a session: the right to connect, wills, subscriptions and the parts of them that would be withheld or delivered.
    #[command(after_help = exit::ACL_DIFF_HELP)]
    Diff(Diff),
}

/// Flags of `acl diff`.
#[derive(Args, Clone, Debug)]
pub struct Diff {
    /// The new file of rules
    #[arg(value_name = "NEW")]
    pub new: PathBuf,

    /// How it is written; left out, as TOML if its name ends in .toml, and else as mosquitto writes it
    #[arg(long, value_name = "FORMAT")]
    pub format: Option<Format>,

    /// One JSON object a line
    #[arg(long)]
    pub json: bool,

    /// What the running broker was told.
    #[command(flatten)]
    pub settings: Settings,
}

/// How a file of rules is written.
#[derive(ValueEnum, Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// TOML, our own
    Toml,
    /// As mosquitto writes it
    Mosquitto,
}

/// Flags of `acl explain`.
#[derive(Args, Clone, Debug)]
pub struct Explain {
    /// What the client wants to do
    #[arg(value_enum, value_name = "ACTION")]
    pub action: Verb,

    /// The topic, or to subscribe the filter; to connect needs none
    #[arg(value_name = "TOPIC")]
    pub topic: Option<String>,

    /// The user name that the client has proven; left out, it has none
    #[arg(short, long, value_name = "NAME")]
    pub user: Option<String>,

    /// The client identifier
    #[arg(short, long, value_name = "ID")]
    pub client: String,

    /// A group that the authenticator puts it into, beside those of the rules themselves; may be repeated
    #[arg(short, long, value_name = "NAME")]
    pub group: Vec<String>,

    /// A file with the token that it comes with: who it is, and what its claim lets it do
    #[arg(long, value_name = "FILE", conflicts_with_all = ["user", "group", "claim"])]
    pub token: Option<PathBuf>,

    /// What a claim of its token would let it do: a JSON object with lists of filters, pub and sub
    #[arg(long, value_name = "JSON", requires = "user")]
    pub claim: Option<String>,

    /// Where it comes from; left out, nobody knows, as of a session after a restart
    #[arg(short, long, value_name = "ADDRESS")]
    pub address: Option<IpAddr>,

    /// The SHA-256 fingerprint of its certificate
    #[arg(long, value_name = "FINGERPRINT", value_parser = fingerprint)]
    pub certificate: Option<Fingerprint>,

    /// The common name in its certificate
    #[arg(long, value_name = "NAME")]
    pub common_name: Option<String>,

    /// The quality of service that it asks for; 0 unless told otherwise
    #[arg(short, long, value_name = "QOS", value_parser = value::qos)]
    pub qos: Option<QoS>,

    /// The message is to be retained
    #[arg(short, long)]
    pub retain: bool,

    /// One JSON object
    #[arg(long)]
    pub json: bool,

    /// What the broker would be told.
    #[command(flatten)]
    pub settings: Settings,
}

/// An action.
#[derive(ValueEnum, Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verb {
    /// Publish to a topic
    Publish,
    /// Subscribe to a filter
    Subscribe,
    /// Be sent messages of a topic
    Receive,
    /// Leave a will for a topic
    Will,
    /// Connect
    Connect,
}

/// The SHA-256 of a certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fingerprint(pub [u8; 32]);

fn fingerprint(text: &str) -> Result<Fingerprint, String> {
    parse_fingerprint(text).map(Fingerprint).ok_or_else(|| "64 hexadecimal digits, with or without colons".into())
}
