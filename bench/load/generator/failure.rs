//! Why a run came to no figures.

use std::io;
use std::net::SocketAddr;

use pregon::mqtt::Reason;

/// What stopped a run, with what to do about it.
#[derive(thiserror::Error, Debug)]
pub enum Failure {
    /// The options contradict each other or the protocol.
    #[error("{0}")]
    Arguments(String),
    /// The generator's own sockets or files.
    #[error("{doing}: {error}")]
    Io {
        /// What was attempted.
        doing: String,
        /// What the system said.
        error: io::Error,
    },
    /// The core does not exist or is forbidden.
    #[error("--core {core}: this process may not run there")]
    Core {
        /// Its number.
        core: usize,
    },
    /// Clients that the broker did not take.
    #[error("{ready} of {wanted} clients of the broker at {address} became ready, {gone} were refused or lost{}", word(*reason))]
    NotReady {
        /// Where the broker listens.
        address: SocketAddr,
        /// Clients that should be ready.
        wanted: u64,
        /// Clients that are.
        ready: u64,
        /// Clients that never will be.
        gone: u64,
        /// What the broker said.
        reason: Option<Reason>,
    },
}

fn word(reason: Option<Reason>) -> String {
    match reason {
        Some(reason) => format!(": {} (0x{:02x})", reason.name(), reason.code()),
        None => ": is it listening, and does it allow anonymous clients and enough open files?".to_owned(),
    }
}

/// An error of the system with what was being done.
pub fn io(doing: impl Into<String>) -> impl FnOnce(io::Error) -> Failure {
    |error| Failure::Io { doing: doing.into(), error }
}
