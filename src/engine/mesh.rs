//! What one shard says to another: batches of these cross the cores, and those of one sender stay in order.

use std::num::NonZeroU64;
use std::sync::Arc;

use crate::base::bitset::Bits64;
use crate::base::payload::Payload;
use crate::base::slab::Key;
use crate::engine::auth::identity::Identity;
use crate::engine::change::Serial;
use crate::engine::connection::ConnectionKey;
use crate::engine::homes::ShardId;
use crate::engine::message::{Message, Once, Passage, SessionId};
use crate::engine::retained::Cursor;
use crate::engine::session::SessionKey;
use crate::engine::session::delivery::SubscriptionIds;
use crate::engine::session::pipeline::{Outcome, Outcomes, Ticket};
use crate::engine::shard::retain::Scan;
use crate::engine::shard::routing::Routing;
use crate::engine::subscriptions::group::Departure;
use crate::engine::subscriptions::members::{MemberId, Terms};
use crate::engine::subscriptions::shared::GroupKey;
use crate::mqtt::{PacketId, QoS, Reason};

/// Leads back to a publication that waits for the word "stored" on the shard it came in.
pub type RoutingKey = Key<Routing>;
/// Leads back to a retained scan on the shard that asked.
pub type ScanKey = Key<Scan>;

/// A run of packets of one topic and one quality of service, 0 or 1, as they came in.
#[derive(Clone, Debug)]
pub struct RunPiece {
    /// The packets, whole ones only.
    pub bytes: Payload,
    /// How many there are.
    pub count: u32,
    /// Whether they are in the form of 5.0.
    pub is_v5: bool,
    /// Who published them.
    pub origin: SessionId,
}

/// A shared group's message for one of its members.
#[derive(Clone, Debug)]
pub struct SharedCopy {
    /// The member.
    pub member: MemberId,
    /// What.
    pub message: Message,
    /// At which quality of service.
    pub qos: QoS,
    /// With which RETAIN flag.
    pub retain: bool,
    /// With which identifier.
    pub ids: SubscriptionIds,
    /// The group, on its home.
    pub group: GroupKey,
    /// The group's number for this delivery; 0 where nobody answers.
    pub delivery: u64,
    /// The change by which the group's copy is known; [`Serial::NONE`] where nobody keeps it.
    pub copy: Serial,
}

/// How a group's home knows what a member was given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Loan {
    /// By the delivery, which ends with the process.
    Delivery {
        /// The group.
        group: GroupKey,
        /// Its number for the delivery.
        delivery: u64,
    },
    /// By the copy, which outlives it. It may come from whoever has the copy, and from nobody else.
    Copy {
        /// The change by which it is known.
        copy: Serial,
        /// The member's shard remembers it until [`Mesh::LoanSettled`].
        is_assigned: bool,
    },
}

/// Which SUBSCRIBE or UNSUBSCRIBE waits for an answer, and for which of its filters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct JoinTicket {
    /// The connection whose SUBACK or UNSUBACK waits.
    pub connection: ConnectionKey,
    /// Its place among the answers.
    pub ticket: Ticket,
    /// The filter's place in the packet.
    pub index: u16,
}

/// How a delivery to a member of a shared group ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// The member acknowledged it.
    Delivered,
    /// The member refused it with a reason code; nobody else gets it.
    Refused,
    /// The member may not read it any more.
    Denied,
    /// The member cannot take it; somebody else should.
    Returned,
    /// The member is not there at all; somebody else should have it, and the member nothing more until it says so.
    Away(MemberId),
    /// The member was sent more than its rate allows for; somebody else should have it, and the member nothing more until it says so.
    AboveRate(MemberId),
    /// The member's session ended in the middle of a QoS 2 delivery; nobody else may get it.
    Abandoned,
    /// A QoS 2 delivery was begun before a restart. If the member's session is still there, it ends it without the group.
    Begun,
    /// It expired while it waited.
    Expired,
    /// It is larger than the member accepts.
    TooLarge,
}

impl Fate {
    /// Whether somebody else should have it now.
    pub fn is_return(self) -> bool {
        matches!(self, Self::Returned | Self::Away(_) | Self::AboveRate(_))
    }
}

/// One message between shards.
#[derive(Clone, Debug)]
pub enum Mesh {
    /// A publication for the subscriptions of the receiving shard.
    Forward {
        /// What was published.
        message: Message,
        /// Who waits for the word "stored".
        reply: Option<RoutingKey>,
        /// The publisher's connection, to slow it down.
        publisher: Option<ConnectionKey>,
        /// The number of a retained publication that is on its way to its home, too.
        stamp: Option<NonZeroU64>,
        /// Under which name it has to be taken once, restarts included.
        once: Option<Once>,
    },
    /// A run of QoS 0 publications.
    Run {
        /// The packets.
        run: RunPiece,
        /// The publisher's connection, to slow it down.
        publisher: Option<ConnectionKey>,
    },
    /// A run of QoS 1 publications.
    Numbered {
        /// The packets.
        run: RunPiece,
        /// The publisher's connection, which waits for [`Mesh::NumberedStored`].
        publisher: ConnectionKey,
        /// The place of the first one's answer there.
        ticket: Ticket,
    },
    /// Such a run is in the hands of everybody here who wants it.
    NumberedStored {
        /// The publisher's connection.
        publisher: ConnectionKey,
        /// The place of the first one's answer.
        ticket: Ticket,
        /// How it went with each.
        outcomes: Outcomes,
    },
    /// A forwarded publication is in the hands of everybody here who wants it.
    Stored {
        /// Who waits for it.
        reply: RoutingKey,
        /// How it went.
        outcome: Outcome,
        /// Whether the passage was noted.
        has_passed: bool,
        /// How many shards were told of it because it is retained, and answer with [`Mesh::StoredLate`].
        late: u32,
    },
    /// A retained publication is in the hands of those here who began to want it on its way.
    StoredLate {
        /// Who waits for it.
        reply: RoutingKey,
        /// Whether the passage was noted.
        has_passed: bool,
    },
    /// What a message goes by is about to be free.
    Forget {
        /// Under which name it came.
        passage: Passage,
        /// The session's place at its home, which waits for [`Mesh::Forgotten`]; none where it ends, or has none.
        reply: Option<SessionKey>,
    },
    /// The passage is forgotten.
    Forgotten {
        /// The session that waits.
        session: SessionKey,
        /// For which identifier.
        id: PacketId,
    },
    /// After a restart: what the sending shard remembers of messages that may be of sessions of the receiving one.
    Remembers {
        /// What they go by.
        passages: Vec<Passage>,
    },
    /// Which of them somebody on the sending shard may ask for again.
    Claims {
        /// What they go by.
        passages: Vec<Passage>,
    },
    /// A retained publication for its topic's home.
    Retain {
        /// The new retained message; an empty payload erases.
        message: Message,
        /// The shards that the publisher's shard told already.
        told: Bits64,
        /// The number of the publication on the publisher's shard.
        stamp: NonZeroU64,
        /// Who waits for the word "stored".
        reply: Option<RoutingKey>,
        /// The publisher's connection, to slow it down.
        publisher: Option<ConnectionKey>,
        /// Who is charged with it, if anybody is.
        owner: Option<Arc<Identity>>,
        /// Under which name it has to be taken once, restarts included.
        once: Option<Once>,
    },
    /// A retained message that was on its way while the receiving shard began to want it.
    RetainedLate {
        /// The publisher's shard and its number for the publication, if that shard told the receiving one, too.
        told_by: Option<(ShardId, NonZeroU64)>,
        /// Whether the home keeps it.
        is_kept: bool,
        /// The home of the topic.
        message: Message,
        /// Who waits for the word [`Mesh::StoredLate`].
        reply: Option<(ShardId, RoutingKey)>,
        /// Under which name it has to be taken once, restarts included.
        once: Option<Once>,
    },
    /// Asks a home of retained messages for the next page of a scan.
    ScanAsk {
        /// Who asks.
        scan: ScanKey,
        /// The filter.
        filter: Box<str>,
        /// Where the last page ended.
        cursor: Cursor,
    },
    /// A page of retained messages.
    ScanPage {
        /// Who asked.
        scan: ScanKey,
        /// What matches.
        messages: Vec<Message>,
        /// Where the next page begins.
        cursor: Cursor,
        /// Whether there is none.
        is_last: bool,
    },
    /// A session becomes a member of a shared group.
    Join {
        /// The share name.
        share: Box<str>,
        /// The filter.
        filter: Box<str>,
        /// Who.
        member: MemberId,
        /// On which terms.
        terms: Terms,
        /// How many unacknowledged messages it may hold; none means it is away.
        window: Option<u16>,
        /// Whether its session outlives its connection.
        is_lasting: bool,
        /// Which SUBACK waits; none where a session is back after a restart.
        reply: Option<JoinTicket>,
    },
    /// The answer to [`Mesh::Join`].
    Joined {
        /// The member's session.
        session: SessionKey,
        /// The share name.
        share: Box<str>,
        /// The filter.
        filter: Box<str>,
        /// Which SUBACK waits.
        reply: JoinTicket,
        /// Granted or refused.
        reason: Reason,
    },
    /// A session leaves a shared group.
    Leave {
        /// The share name.
        share: Box<str>,
        /// The filter.
        filter: Box<str>,
        /// Who.
        member: MemberId,
        /// How it goes.
        departure: Departure,
        /// Which UNSUBACK waits; none where the session ends.
        reply: Option<JoinTicket>,
    },
    /// The answer to [`Mesh::Leave`]: everything for the member that was on its way has come before.
    Left {
        /// Which UNSUBACK waits.
        reply: JoinTicket,
    },
    /// A member's client came or went, or may be sent more again.
    Presence {
        /// The share name.
        share: Box<str>,
        /// The filter.
        filter: Box<str>,
        /// Who.
        member: MemberId,
        /// How many unacknowledged messages it may hold; none means it is away.
        window: Option<u16>,
        /// Whether its session outlives its connection.
        is_lasting: bool,
    },
    /// After a restart: all sessions of the shard that are members have joined again.
    Rejoined,
    /// A group's message for one of its members.
    SharedDeliver(SharedCopy),
    /// A copy of QoS 0 comes back, which nobody answers for: its member was sent more than its rate allows for.
    SharedBack(SharedCopy),
    /// How a delivery went.
    SharedDone {
        /// What.
        loan: Loan,
        /// How it ended.
        fate: Fate,
    },
    /// A group's copy that the receiving shard remembers is settled for good.
    LoanSettled {
        /// The change by which its home knew it.
        copy: Serial,
    },
    /// A receiver is full: the publisher should be read no more for a while.
    Pressure {
        /// The publisher's connection.
        publisher: ConnectionKey,
    },
    /// That receiver has room again.
    Relief {
        /// The publisher's connection.
        publisher: ConnectionKey,
    },
}

impl Mesh {
    /// What it is charged on its way: itself, and the messages that it keeps in memory.
    pub fn charged_bytes(&self) -> usize {
        let carried = match self {
            Self::Forward { message, .. } | Self::Retain { message, .. } | Self::RetainedLate { message, .. } => {
                message.charged_bytes()
            }
            Self::SharedDeliver(copy) | Self::SharedBack(copy) => copy.message.charged_bytes(),
            Self::Run { run, .. } | Self::Numbered { run, .. } => run.bytes.len(),
            Self::ScanPage { messages, .. } => messages.iter().map(Message::charged_bytes).sum(),
            Self::Remembers { passages } | Self::Claims { passages } => passages.len() * size_of::<Passage>(),
            Self::NumberedStored { .. }
            | Self::Stored { .. }
            | Self::StoredLate { .. }
            | Self::Forget { .. }
            | Self::Forgotten { .. }
            | Self::ScanAsk { .. }
            | Self::Join { .. }
            | Self::Joined { .. }
            | Self::Leave { .. }
            | Self::Left { .. }
            | Self::Presence { .. }
            | Self::Rejoined
            | Self::SharedDone { .. }
            | Self::LoanSettled { .. }
            | Self::Pressure { .. }
            | Self::Relief { .. } => 0,
        };
        size_of::<Self>() + carried
    }
}
