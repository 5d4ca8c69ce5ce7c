//! What happened in a shard, as values: the shell turns them into logs, traces and metrics.

use core::net::IpAddr;
use std::sync::Arc;

use crate::engine::auth::identity::Identity;
use crate::engine::connection::{ConnectionKey, Peer};
use crate::engine::message::SessionId;
use crate::engine::output::OwnedAction;
use crate::engine::stats::DropReason;
use crate::mqtt::{Reason, Version};

/// Why a connection ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cause {
    /// The client said DISCONNECT with this reason.
    Client(Reason),
    /// The connection broke or was closed without DISCONNECT.
    ConnectionLost,
    /// The client broke the protocol.
    Protocol(Reason),
    /// Nothing came for one and a half keep-alive times.
    KeepAlive,
    /// What the client has proven is proven no longer.
    Expired,
    /// CONNECT or the authentication did not come to its end in time.
    HandshakeTimeout,
    /// A newer connection took the session over.
    TakenOver,
    /// The receiver took nothing for too long.
    WriteStall,
    /// Nothing more came of a packet for too long.
    ReadStall,
    /// A bound or a rule of ours.
    Refused(Reason),
    /// The operator wanted it.
    Administrative,
    /// The broker stops.
    Shutdown,
}

/// What the rules do not allow.
#[derive(Clone, Debug)]
pub struct Denied {
    /// To whom.
    pub who: Arc<Identity>,
    /// What its client calls itself.
    pub client_id: Box<str>,
    /// What it wants.
    pub action: OwnedAction,
}

/// One thing worth telling an operator about.
#[derive(Clone, Debug)]
pub enum Event {
    /// A client is connected.
    Connected {
        /// On which connection.
        connection: ConnectionKey,
        /// Its session.
        session: SessionId,
        /// Its client identifier.
        client_id: Box<str>,
        /// Who it is.
        identity: Arc<Identity>,
        /// Where it comes from.
        peer: Peer,
        /// What it speaks.
        version: Version,
        /// Whether it found its session again.
        is_resumed: bool,
    },
    /// A connection was refused before it had a session.
    Refused {
        /// On which connection.
        connection: ConnectionKey,
        /// Where it came from.
        peer: Peer,
        /// Why.
        reason: Reason,
    },
    /// A client has shown a password where others can read it: [`Event::Refused`] follows.
    PasswordInTheClear {
        /// Where it came from.
        peer: Peer,
    },
    /// Too many proofs from one address have failed: nobody from there is listened to for a while.
    Banned {
        /// Which one.
        address: IpAddr,
        /// For how many milliseconds.
        lasts_ms: u64,
    },
    /// A connection ended.
    Disconnected {
        /// On which connection.
        connection: ConnectionKey,
        /// The session it had.
        session: Option<SessionId>,
        /// Why.
        cause: Cause,
    },
    /// A session ended, with its subscriptions and its queue.
    SessionEnded {
        /// Which one.
        session: SessionId,
        /// Copies that were lost with it.
        copies_lost: u64,
    },
    /// The rules do not allow what somebody wants; with [`Event::SubscribeDenied`] or [`Event::PublishDenied`] where that follows from it.
    Denied(Box<Denied>),
    /// Filters of one packet were refused.
    SubscribeDenied {
        /// To whom.
        session: SessionId,
        /// With which reason; with the first one that is not "not authorised", where there are several.
        reason: Reason,
        /// How many, for whatever reason.
        count: usize,
    },
    /// A publication was refused.
    PublishDenied {
        /// To whom.
        session: SessionId,
        /// With which reason.
        reason: Reason,
    },
    /// A copy was not delivered.
    Dropped {
        /// For whom.
        session: SessionId,
        /// Why.
        why: DropReason,
    },
    /// A will was published.
    WillPublished {
        /// Whose.
        session: SessionId,
    },
}
