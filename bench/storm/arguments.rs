//! The command line of a storm.

use std::net::SocketAddr;

use clap::Parser;

/// Cuts many clients with durable sessions and lets them come back at once.
#[derive(Debug, Parser)]
#[command(name = "storm")]
#[expect(clippy::struct_excessive_bools, reason = "each is a flag of the command line")]
pub struct Arguments {
    /// Where the broker listens.
    pub address: SocketAddr,
    /// Clients with a durable session and a subscription each.
    #[arg(long, default_value_t = 15_000, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=19_000))]
    pub clients: u32,
    /// Messages that wait for each of them, at quality of service 1.
    #[arg(long, default_value_t = 0, value_name = "N", value_parser = clap::value_parser!(u32).range(..=64))]
    pub queued: u32,
    /// TLS 1.3, with a full handshake each.
    #[arg(long)]
    pub tls: bool,
    /// With TLS, come back with a ticket each.
    #[arg(long, requires = "tls")]
    pub tickets: bool,
    /// Where the broker listens without TLS, for whoever publishes; the same address if nothing is said.
    #[arg(long, value_name = "ADDRESS")]
    pub plain: Option<SocketAddr>,
    /// Clients on their way at once while the sessions are made.
    #[arg(long, default_value_t = 500, value_name = "N")]
    pub gathering: u32,
    /// Clients on their way at once in the storm; all of them if nothing is said.
    #[arg(long, default_value_t = u32::MAX, value_name = "N")]
    pub at_once: u32,
    /// Say `cut` when all is ready, and wait for a line before the storm.
    #[arg(long)]
    pub restart: bool,
    /// A client comes with the user name `user-NUMBER` and this password.
    #[arg(long, value_name = "TEXT")]
    pub password: Option<String>,
    /// An answer that comes later than this after `connect` is late, in seconds.
    #[arg(long, default_value_t = 10.0, value_name = "SECONDS")]
    pub deadline: f64,
    /// A client that hears nothing for so long gives up and comes again, in seconds.
    #[arg(long, default_value_t = 30.0, value_name = "SECONDS")]
    pub patience: f64,
    /// The storm is given up after so many seconds.
    #[arg(long, default_value_t = 120.0, value_name = "SECONDS")]
    pub seconds_max: f64,
    /// The core to run on.
    #[arg(long, value_name = "N")]
    pub core: Option<usize>,
    /// Cargo says this to every bench.
    #[arg(long, hide = true)]
    pub bench: bool,
}

/// Seconds as nanoseconds.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "what does not fit is longer than any run")]
pub fn nanoseconds(seconds: f64) -> u64 {
    (seconds * 1e9) as u64
}
