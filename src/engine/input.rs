//! What can happen to a shard.

use core::net::SocketAddr;
use std::sync::Arc;

use crate::engine::auth::certificate::Certificate;
use crate::engine::auth::exchange::{Dialogue, Step};
use crate::engine::auth::policy::Policy;
use crate::engine::auth::{Decision, Verdict};
use crate::engine::change::Serial;
use crate::engine::connection::ConnectionKey;
use crate::engine::homes::ShardId;
use crate::engine::mesh::Mesh;
use crate::engine::message::Message;
use crate::engine::output::Reader;
use crate::engine::stowage::{Spot, StowKey};

/// The answer to a [`crate::engine::output::Question`].
#[derive(Debug)]
pub enum Answer {
    /// To credentials: what the authenticator that was asked says.
    Credentials(Verdict),
    /// To a step of an enhanced authentication, with the exchange to go on with.
    Exchange(Box<Dialogue>, Step),
    /// To an action. "Later" means that nobody could be asked.
    Action(Decision),
}

/// The answer to a [`crate::engine::output::Fetch`].
#[derive(Debug)]
pub struct Fetched {
    /// Who has asked.
    pub reader: Reader,
    /// How many bytes it has asked for.
    pub bytes: u64,
    /// The number of each message, and the message; none where the journal has lost it.
    pub messages: Vec<(Serial, Option<Message>)>,
}

/// What the journal has room for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Room {
    /// Everything.
    #[default]
    Open,
    /// As much waits for the disk as may: whoever brings more that must be kept is read no more for a while.
    Tight,
    /// What ends things. The disk, or the part of it that is ours, has no room for anything new.
    Full,
}

/// One thing that happened. New connections come by [`crate::engine::shard::Shard::accept`] and
/// [`crate::engine::shard::Shard::adopt`], which return their keys.
#[derive(Debug)]
pub enum Input<'a> {
    /// Bytes came.
    Received {
        /// On this connection.
        connection: ConnectionKey,
        /// As they came, cut anywhere.
        bytes: &'a [u8],
    },
    /// It has turned out who is at the other end, before any byte has come: told by whatever stands between the socket and MQTT.
    Introduced {
        /// Of which connection.
        connection: ConnectionKey,
        /// Where it comes from, if that is not what the socket says.
        address: Option<SocketAddr>,
        /// The certificate that was shown and judged.
        certificate: Option<Arc<Certificate>>,
    },
    /// The peer has said in order that nothing more follows. What it has said before and had to wait is handled first: the connection ends behind
    /// that.
    Ended {
        /// Which one.
        connection: ConnectionKey,
    },
    /// Nothing that is sent to the peer reaches it any more. What it has said before is still handled, as long as that does not take too long: the end
    /// of the connection follows as [`Input::Ended`], or comes by itself.
    Broken {
        /// Which one.
        connection: ConnectionKey,
    },
    /// The connection broke, and what it said before is not wanted.
    Lost {
        /// Which one.
        connection: ConnectionKey,
    },
    /// A connection could not take everything at once: told after each turn in which its unsent bytes changed.
    Backlog {
        /// Which one.
        connection: ConnectionKey,
        /// How many wait now.
        bytes: u32,
        /// How many it has taken since the last time.
        taken: u32,
    },
    /// Messages of another shard. What is left in the vector was too much for one input: it comes again, in a later turn and before anything
    /// else of the same shard.
    Mesh {
        /// Who sent them.
        from: ShardId,
        /// In order.
        batch: &'a mut Vec<Mesh>,
    },
    /// The way to another shard is full, or has room again.
    MeshRoom {
        /// Which shard.
        to: ShardId,
        /// Whether there is room.
        has_room: bool,
    },
    /// What goes to many at once waits to be sent, as much of it as may, or there is room again.
    WideRoom {
        /// Whether there is room.
        has_room: bool,
    },
    /// Somebody slow has answered.
    Answer {
        /// Whose question it was; none where it was about a will.
        connection: Option<ConnectionKey>,
        /// Which of its questions.
        number: u32,
        /// What the answer is.
        answer: Answer,
    },
    /// All changes up to this one are safe.
    Stored {
        /// The last one.
        upto: Serial,
    },
    /// The journal has written messages that are stowed: memory need not hold them.
    Written {
        /// Which ones, and where they lie.
        spots: &'a [(StowKey, Spot)],
    },
    /// Messages have come that [`Outputs::fetches`](crate::engine::output::Outputs::fetches) has asked for.
    Fetched(Fetched),
    /// The journal has room for more than before, or for less.
    Journal {
        /// For what.
        room: Room,
    },
    /// The journal has room and reason to be told again what is held.
    Sweep {
        /// About how many bytes of it now.
        bytes: usize,
    },
    /// Time passed, or put-off work may go on: due at [`crate::engine::output::Outputs::wake_at`].
    Tick,
    /// What the operator's files say has changed: what was decided before is decided again.
    Policy {
        /// What they say now.
        policy: Arc<Policy>,
    },
    /// What stands between the socket and MQTT would not let this client in any more.
    Revoked {
        /// Its connection.
        connection: ConnectionKey,
    },
    /// The operator ends a client's connection.
    Kick {
        /// Its client identifier.
        client_id: &'a str,
    },
    /// The broker stops: every client is told.
    Shutdown,
}
