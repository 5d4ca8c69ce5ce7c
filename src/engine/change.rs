//! What a shard has to remember beyond its process: facts, in the order in which they came about.
//!
//! A durable session is a fold over these, and so are the retained messages of a shard. The shard notes a change in
//! [`Outputs::changes`](super::output::Outputs::changes) when it happens; the journal keeps it, and says with
//! [`Input::Stored`](super::input::Input::Stored) up to which one everything is safe. After a restart the same changes are given back in
//! their order. Each has a number, its [`Serial`]; later changes name earlier ones by it, so a number is never written twice.
//!
//! So that what was written can be dropped one day, a shard goes over all that it holds and notes it again, behind what happens
//! meanwhile: a *sweep*. Most facts can simply be told once more. What others name keeps its number for ever, so there are two changes
//! that tell a message and a copy again under the number they have.
//!
//! The queue of a shared group is noted on the group's home while a member outlives the process; who the members are, each on the
//! home of its session.
//!
//! Changes name sessions, not clients: a session that is made anew at a clean start is another one. Nothing is noted of a session that
//! ends with its connection.

use std::sync::Arc;

use super::auth::identity::Identity;
use super::homes::ShardId;
use super::message::{Message, SessionId};
use super::session::delivery::SubscriptionIds;
use super::session::will::Will;
use super::subscriptions::entry::Options;
use super::subscriptions::members::Terms;
use crate::base::time::Time;
use crate::mqtt::{PacketId, QoS};

/// The number of a change, counted from one over the life of a shard, restarts included.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Serial(u64);

impl Serial {
    /// Before the first change: what is as old as this needs no journal.
    pub const NONE: Self = Self(0);

    /// The change of this number.
    pub const fn new(number: u64) -> Self {
        Self(number)
    }

    /// The number itself.
    pub const fn get(self) -> u64 {
        self.0
    }

    /// The number of the change after this one.
    #[must_use]
    pub const fn next(self) -> Self {
        Self(self.0 + 1)
    }
}

/// Who a session is, and how long it lasts.
#[derive(Clone, Debug)]
pub struct Standing {
    /// Whose it is.
    pub client_id: Box<str>,
    /// Who made it.
    pub owner: Arc<Identity>,
    /// How long it outlives its connection, in seconds; `u32::MAX` for ever.
    pub expiry_s: u32,
    /// When it ends if nobody comes back; [`Time::NEVER`] while its client is there, or for ever.
    pub ends_at: Time,
    /// Whether its client is there. After a restart nobody is, and the time that it is kept begins.
    pub is_connected: bool,
}

/// One fact.
#[derive(Clone, Debug)]
pub enum Change {
    /// A session is there, or goes on in another way: its client came, went, or changed its terms.
    Session {
        /// Which one.
        session: SessionId,
        /// How it stands now.
        standing: Box<Standing>,
    },
    /// A session is over, with all that belongs to it.
    SessionEnded {
        /// Which one.
        session: SessionId,
    },
    /// It has this subscription, or has it with other options.
    Subscribed {
        /// Who.
        session: SessionId,
        /// The filter.
        filter: Box<str>,
        /// How.
        options: Options,
    },
    /// It has it no more.
    Unsubscribed {
        /// Who.
        session: SessionId,
        /// The filter.
        filter: Box<str>,
    },
    /// It is a member of a shared group, or is it on other terms.
    Joined {
        /// Who.
        session: SessionId,
        /// The share name.
        share: Box<str>,
        /// The filter.
        filter: Box<str>,
        /// On which terms.
        terms: Terms,
    },
    /// It has left the group.
    Left {
        /// Who.
        session: SessionId,
        /// The share name.
        share: Box<str>,
        /// The filter.
        filter: Box<str>,
    },
    /// It leaves this message for the case that its client dies.
    Will {
        /// Who.
        session: SessionId,
        /// What; when it is due counts from the end of the connection.
        will: Box<Will>,
    },
    /// The will was published, or given up.
    WillGone {
        /// Whose.
        session: SessionId,
    },
    /// It was published, and has to come to other shards, too.
    Bequest {
        /// The number of the will, which is that of no session.
        number: SessionId,
        /// The number of the [`Change::Body`].
        body: Serial,
    },
    /// It has come to all of them.
    BequestOver {
        /// The number of the will.
        number: SessionId,
    },
    /// A message that later changes name by the number of this one. Of those that nobody is owed any more, only the newest may still be
    /// named.
    Body {
        /// The message.
        message: Message,
    },
    /// The same message once more: it is still owed, and the change that told of it is about to be dropped. It may be named for the
    /// first time again until [`Change::Swept`].
    BodyAgain {
        /// The number of the [`Change::Body`], by which it goes on being known.
        body: Serial,
        /// The message.
        message: Message,
    },
    /// A message is owed to every session that wants it, and they get their copies one after the other.
    Fanout {
        /// The number of the [`Change::Body`].
        body: Serial,
    },
    /// Each of them has its copy.
    FannedOut {
        /// The number of the [`Change::Body`].
        body: Serial,
    },
    /// A session is owed a copy of a message; the copy is known by the number of this change.
    Queued {
        /// Who.
        session: SessionId,
        /// The number of the [`Change::Body`].
        body: Serial,
        /// The quality of service of the copy, 1 or 2.
        qos: QoS,
        /// Its RETAIN flag.
        retain: bool,
        /// The identifiers of the subscriptions that it matched.
        ids: SubscriptionIds,
    },
    /// The same copy once more: it is not settled, and the change that told of it is about to be dropped.
    QueuedAgain {
        /// The number of the [`Change::Queued`], by which it goes on being known.
        copy: Serial,
        /// Who.
        session: SessionId,
        /// The number of the [`Change::Body`].
        body: Serial,
        /// The quality of service of the copy, 1 or 2.
        qos: QoS,
        /// Its RETAIN flag.
        retain: bool,
        /// The identifiers of the subscriptions that it matched.
        ids: SubscriptionIds,
    },
    /// A copy is about to leave under a packet identifier: sent again, it goes under the same one.
    Sent {
        /// Who gets it.
        session: SessionId,
        /// The number of the [`Change::Queued`].
        copy: Serial,
        /// Under which identifier.
        id: PacketId,
    },
    /// A copy is settled: acknowledged, refused, expired or displaced.
    Settled {
        /// Whose it was.
        session: SessionId,
        /// The number of the [`Change::Queued`].
        copy: Serial,
    },
    /// The client has a copy of quality of service 2: from now on PUBREL is sent again, and its message no more.
    Taken {
        /// Who has it.
        session: SessionId,
        /// The number of the [`Change::Queued`].
        copy: Serial,
        /// Under which identifier it was sent.
        id: PacketId,
    },
    /// The flow of such a copy is over, and its identifier is free.
    Completed {
        /// Whose it was.
        session: SessionId,
        /// The identifier.
        id: PacketId,
    },
    /// A message of quality of service 2 has come from the client under this identifier: it is routed once.
    Incoming {
        /// From whom.
        session: SessionId,
        /// Under which identifier.
        id: PacketId,
    },
    /// The client is gone, and its message may not have reached all shards. Until it has, and is told of as [`Change::Incoming`] again, it
    /// is not taken for done by a broker with another number of shards.
    Doubtful {
        /// From whom it came.
        session: SessionId,
        /// Under which identifier.
        id: PacketId,
    },
    /// The client has released the identifier, or the message was refused.
    Released {
        /// Who.
        session: SessionId,
        /// Which identifier.
        id: PacketId,
    },
    /// A message of a session that lives on another shard has come under this identifier, and left something here: it comes once. A will
    /// comes under its own number and the first identifier.
    Passed {
        /// Whose message it is.
        session: SessionId,
        /// Under which identifier it came.
        id: PacketId,
    },
    /// The session is about to free the identifier.
    Forgotten {
        /// Whose message it was.
        session: SessionId,
        /// Which identifier.
        id: PacketId,
    },
    /// The message is the retained one of its topic.
    Retained {
        /// The number of the [`Change::Body`], the newest one.
        body: Serial,
        /// The user who is charged with it, if that is somebody and has to be known.
        user: Option<Arc<str>>,
    },
    /// The topic has no retained message any more.
    RetainedGone {
        /// Which topic.
        topic: Box<str>,
    },
    /// A shared group whose home this is has a member that outlives the process; it is known by the number of this change.
    Group {
        /// The share name.
        share: Box<str>,
        /// The filter.
        filter: Box<str>,
    },
    /// The same group once more, for the change that told of it is about to be dropped.
    GroupAgain {
        /// The number of the [`Change::Group`].
        group: Serial,
        /// The share name.
        share: Box<str>,
        /// The filter.
        filter: Box<str>,
    },
    /// The group has no member any more; what it was owed is nobody's.
    GroupEnded {
        /// The share name.
        share: Box<str>,
        /// The filter.
        filter: Box<str>,
    },
    /// The group is owed a message, which one of its members is to get; the copy is known by the number of this change.
    GroupQueued {
        /// The number of the [`Change::Group`].
        group: Serial,
        /// The number of the [`Change::Body`].
        body: Serial,
    },
    /// The same copy once more: it is not settled, and the change that told of it is about to be dropped.
    GroupQueuedAgain {
        /// The number of the [`Change::GroupQueued`].
        copy: Serial,
        /// The number of the [`Change::Group`].
        group: Serial,
        /// The number of the [`Change::Body`].
        body: Serial,
    },
    /// A group's copy is settled: a member has it, or it was refused, expired or displaced.
    GroupSettled {
        /// The number of the [`Change::GroupQueued`].
        copy: Serial,
    },
    /// A group's copy of quality of service 2 is about to leave for a member that lives here: nobody else may get it, restarts included.
    Assigned {
        /// The home of the group.
        home: ShardId,
        /// The number of the [`Change::GroupQueued`] there.
        copy: Serial,
    },
    /// The home of the group has settled the copy for good, so nobody has to remember it.
    Unassigned {
        /// The home of the group.
        home: ShardId,
        /// The number of the [`Change::GroupQueued`] there.
        copy: Serial,
    },
    /// A sweep is over: all that held when it began and holds still was noted again.
    Swept {
        /// How many sessions the shard has numbered: no number is given twice, also when nothing tells of the session any more.
        sessions: u64,
    },
}

impl Change {
    /// Whether it tells of something that is held from then on.
    pub fn is_birth(&self) -> bool {
        match self {
            Self::Session { .. }
            | Self::Subscribed { .. }
            | Self::Joined { .. }
            | Self::Queued { .. }
            | Self::QueuedAgain { .. }
            | Self::Group { .. }
            | Self::GroupAgain { .. }
            | Self::GroupQueued { .. }
            | Self::GroupQueuedAgain { .. }
            | Self::Retained { .. } => true,
            Self::SessionEnded { .. }
            | Self::Unsubscribed { .. }
            | Self::Left { .. }
            | Self::Will { .. }
            | Self::WillGone { .. }
            | Self::Bequest { .. }
            | Self::BequestOver { .. }
            | Self::Body { .. }
            | Self::BodyAgain { .. }
            | Self::Fanout { .. }
            | Self::FannedOut { .. }
            | Self::Sent { .. }
            | Self::Settled { .. }
            | Self::Taken { .. }
            | Self::Completed { .. }
            | Self::Incoming { .. }
            | Self::Doubtful { .. }
            | Self::Released { .. }
            | Self::Passed { .. }
            | Self::Forgotten { .. }
            | Self::RetainedGone { .. }
            | Self::GroupEnded { .. }
            | Self::GroupSettled { .. }
            | Self::Assigned { .. }
            | Self::Unassigned { .. }
            | Self::Swept { .. } => false,
        }
    }
}
