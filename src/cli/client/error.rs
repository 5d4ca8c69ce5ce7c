//! How a connection fails, said so that a person knows what to look at.

use std::io;
use std::net::SocketAddr;

use crate::mqtt::reason::Reason;
use crate::mqtt::{DecodeError, PacketType, QoS};

/// Why the connection, or the work on it, ended.
#[derive(thiserror::Error, Debug)]
#[expect(missing_docs, reason = "the message of each variant is its documentation")]
pub enum ClientError {
    #[error("{host}: {error}")]
    Resolve { host: String, error: io::Error },
    #[error("{host}: the name has no address")]
    NoAddress { host: String },
    #[error("{address}: {error}")]
    Reach { address: SocketAddr, error: io::Error },
    #[error("the broker refuses the connection: {} (code {code}){}", words(*reason), said(*reason, explanation.as_ref()))]
    Refused { code: u8, reason: Reason, explanation: Option<String> },
    #[error("the broker did not answer within {seconds} s")]
    Silent { seconds: u64 },
    #[error("the connection is lost: {0}")]
    Lost(io::Error),
    #[error("the broker closed the connection instead of accepting it; it may not speak this version of MQTT")]
    Unanswered,
    #[error("the broker closed the connection")]
    Closed,
    #[error("the broker ended the connection: {}{}", words(*reason), said(*reason, explanation.as_ref()))]
    Farewell { reason: Reason, explanation: Option<String> },
    #[error("the broker was silent for too long: it did not answer a ping")]
    KeepAlive,
    #[error("the broker sent what is no MQTT: {0}")]
    Malformed(#[from] DecodeError),
    #[error("the broker sent {0:?} where nobody waits for it")]
    Unexpected(PacketType),
    #[error("a message of {size} bytes, and the broker takes at most {maximum}")]
    TooLarge { size: usize, maximum: u32 },
    #[error("quality of service {wanted}, and the broker offers at most {offered}", wanted = wanted.bits(), offered = offered.bits())]
    QoSNotOffered { wanted: QoS, offered: QoS },
    #[error("the broker keeps no retained messages")]
    RetainNotOffered,
    #[error("the broker did not take a message: {}", words(*reason))]
    NotTaken { reason: Reason },
    #[error("the broker grants none of the subscriptions")]
    NothingGranted,
    #[error("{what}: {error}")]
    Local { what: String, error: io::Error },
}

/// A reason's name as people say it.
pub fn words(reason: Reason) -> String {
    reason.name().replace('_', " ")
}

/// What the broker adds in words of its own, made harmless for a terminal; a reason's bare name adds nothing.
fn said(reason: Reason, explanation: Option<&String>) -> String {
    let added = explanation.filter(|text| *text != reason.name());
    added.map_or_else(String::new, |text| format!(": {text:?}"))
}
