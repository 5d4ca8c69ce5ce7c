//! What a shard counts: plain numbers, and the ledger that accounts for every copy of every message.

use crate::engine::accounts::limit::{SharedLimit, SharedLimitsReached};
use crate::mqtt::Reason;

/// Why a copy of a message was not delivered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(u8)]
pub enum DropReason {
    /// The receiver was away and the message was QoS 0.
    Offline,
    /// The receiver's connection was full, or nothing reached it any more, and the message was QoS 0.
    Slow,
    /// The receiver was above its rate and the message was QoS 0.
    AboveRate,
    /// The queue was full and the policy refuses new messages.
    QueueRefused,
    /// The queue was full and the oldest message made room.
    QueueOldest,
    /// The message expired before it was sent.
    Expired,
    /// The packet is larger than the receiver accepts.
    PacketTooLarge,
    /// The session ended before the message was acknowledged.
    SessionEnded,
    /// The receiver refused it with a reason code.
    Refused,
    /// The last member left the shared group.
    GroupEnded,
    /// The receiver may not read it any more.
    NotAuthorized,
    /// The journal has lost the message.
    Unreadable,
    /// The receiver's session outlives the process, and the journal had no room for it.
    JournalFull,
}

impl DropReason {
    /// Every reason, in the order of their numbers.
    pub const ALL: [Self; 13] = [
        Self::Offline,
        Self::Slow,
        Self::AboveRate,
        Self::QueueRefused,
        Self::QueueOldest,
        Self::Expired,
        Self::PacketTooLarge,
        Self::SessionEnded,
        Self::Refused,
        Self::GroupEnded,
        Self::NotAuthorized,
        Self::Unreadable,
        Self::JournalFull,
    ];

    /// The name in metrics and logs.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Offline => "offline",
            Self::Slow => "slow",
            Self::AboveRate => "above_rate",
            Self::QueueRefused => "queue_refused",
            Self::QueueOldest => "queue_oldest",
            Self::Expired => "expired",
            Self::PacketTooLarge => "packet_too_large",
            Self::SessionEnded => "session_ended",
            Self::Refused => "refused",
            Self::GroupEnded => "group_ended",
            Self::NotAuthorized => "not_authorized",
            Self::Unreadable => "unreadable",
            Self::JournalFull => "journal_full",
        }
    }
}

/// The account of every copy (a message times a receiver) that a shard took on.
///
/// ```text
/// routed + received = delivered + dropped + moved + let go + queued
/// ```
/// where `queued` is what lies in queues and windows; [`Ledger::check`] is called with it.
/// A QoS 0 copy is delivered when it is handed to the connection, a QoS 1 or 2 copy when it is acknowledged.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ledger {
    /// Copies that arose here by a match or a retained look-up.
    pub routed: u64,
    /// Copies that another shard handed over for a member of a shared group.
    pub received: u64,
    /// Copies that reached their receiver.
    pub delivered: u64,
    /// Copies handed to another shard for a member of a shared group.
    pub moved: u64,
    /// Copies that a session completes although their shared group is gone.
    pub let_go: u64,
    dropped: [u64; DropReason::ALL.len()],
}

impl Ledger {
    /// Counts `copies` that did not reach their receiver.
    pub fn drop_copies(&mut self, why: DropReason, copies: u64) {
        self.dropped[why as usize] += copies;
    }

    /// Counts one copy that did not reach its receiver.
    pub fn drop_one(&mut self, why: DropReason) {
        self.drop_copies(why, 1);
    }

    /// How many copies were dropped for this reason.
    pub fn dropped(&self, why: DropReason) -> u64 {
        self.dropped[why as usize]
    }

    /// How many copies were dropped in all.
    pub fn dropped_total(&self) -> u64 {
        self.dropped.iter().sum()
    }

    /// How many copies must lie in queues and windows now.
    pub fn queued(&self) -> u64 {
        let gone = self.delivered + self.moved + self.let_go + self.dropped_total();
        (self.routed + self.received).checked_sub(gone).expect("no copy leaves that did not come")
    }

    /// Proves the equation.
    ///
    /// # Panics
    /// When a copy was lost or counted twice.
    pub fn check(&self, queued: u64) {
        assert_eq!(self.queued(), queued, "in = delivered + queued + dropped: {self:?}");
    }
}

/// A bound on single clients or on what is kept, to count how often it was met. It is called as the key that sets it.
///
/// Not here: what is counted across connections, which is a [`SharedLimit`]; and what has counters of its own, the keep-alive and the bounds of queues,
/// whose copies stand in the ledger.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(u8)]
pub enum Limit {
    /// The size of a packet: the connection was closed or refused.
    PacketBytes,
    /// What all who have proven nothing may have us hold beyond a part of their own: refused. It has no key.
    UnprovenBytes,
    /// The length of a client identifier: refused.
    ClientIdBytes,
    /// The payload of a will: refused.
    WillBytes,
    /// User properties of a message or a will: refused.
    UserProperties,
    /// Levels of a topic or a filter: refused.
    TopicLevels,
    /// The quality of service of a message or a will: closed or refused.
    MaximumQos,
    /// Unacknowledged messages of a client: closed.
    ReceiveMaximum,
    /// Topic aliases of a client: closed.
    TopicAliases,
    /// Bytes of the topics that they stand for: likewise. It has no key.
    TopicAliasBytes,
    /// Subscriptions of a session: the filter was refused.
    Subscriptions,
    /// Its shared ones: likewise.
    SharedSubscriptions,
    /// Members of a group: likewise.
    GroupMembers,
    /// Retained messages: not kept.
    RetainedMessages,
    /// Their bytes: likewise.
    RetainedBytes,
    /// Sessions: refused.
    Sessions,
    /// The time of a handshake: closed.
    ConnectTimeout,
    /// The time in which a receiver takes something: closed.
    WriteStall,
    /// The time in which something more comes of a packet that has begun: closed.
    ReadStall,
    /// Messages a second of a client: it was read no more for a while.
    MessageRate,
    /// Its bytes a second: likewise.
    ByteRate,
    /// Messages a second to a client: it was sent no more for a while.
    MessageRateOut,
    /// Bytes a second to it: likewise.
    ByteRateOut,
}

impl Limit {
    /// Every one, in the order of their numbers.
    pub const ALL: [Self; 23] = [
        Self::PacketBytes,
        Self::UnprovenBytes,
        Self::ClientIdBytes,
        Self::WillBytes,
        Self::UserProperties,
        Self::TopicLevels,
        Self::MaximumQos,
        Self::ReceiveMaximum,
        Self::TopicAliases,
        Self::TopicAliasBytes,
        Self::Subscriptions,
        Self::SharedSubscriptions,
        Self::GroupMembers,
        Self::RetainedMessages,
        Self::RetainedBytes,
        Self::Sessions,
        Self::ConnectTimeout,
        Self::WriteStall,
        Self::ReadStall,
        Self::MessageRate,
        Self::ByteRate,
        Self::MessageRateOut,
        Self::ByteRateOut,
    ];

    /// The name in metrics.
    pub const fn name(self) -> &'static str {
        match self {
            Self::PacketBytes => "packet_bytes_max",
            Self::UnprovenBytes => "unproven_bytes",
            Self::ClientIdBytes => "client_id_bytes_max",
            Self::WillBytes => "will_bytes_max",
            Self::UserProperties => "user_properties_max",
            Self::TopicLevels => "topic_levels_max",
            Self::MaximumQos => "maximum_qos",
            Self::ReceiveMaximum => "receive_maximum",
            Self::TopicAliases => "topic_alias_maximum",
            Self::TopicAliasBytes => "topic_alias_bytes",
            Self::Subscriptions => "subscriptions_max",
            Self::SharedSubscriptions => "shared_subscriptions_max",
            Self::GroupMembers => "group_members_max",
            Self::RetainedMessages => "retained_messages_max",
            Self::RetainedBytes => "retained_bytes_max",
            Self::Sessions => "sessions_max",
            Self::ConnectTimeout => "connect_timeout",
            Self::WriteStall => "write_stall",
            Self::ReadStall => "read_stall",
            Self::MessageRate => "message_rate",
            Self::ByteRate => "byte_rate",
            Self::MessageRateOut => "message_rate_out",
            Self::ByteRateOut => "byte_rate_out",
        }
    }
}

/// How often each bound was met.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LimitsReached([u64; Limit::ALL.len()]);

impl LimitsReached {
    /// Counts once more that it was met.
    pub fn note(&mut self, limit: Limit) {
        self.0[limit as usize] += 1;
    }

    /// How often it was.
    pub fn of(&self, limit: Limit) -> u64 {
        self.0[limit as usize]
    }
}

/// What was refused because the journal had no room for anything new. Copies of messages stand in the ledger.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct JournalRefusals {
    /// Messages of quality of service 2 from durable sessions.
    pub publishes: u64,
    /// Retained messages.
    pub retained: u64,
    /// Durable sessions.
    pub sessions: u64,
    /// Subscriptions of durable sessions.
    pub subscriptions: u64,
    /// Wills that somebody here was not given.
    pub wills: u64,
}

/// The plain counters of a shard; they only grow.
#[derive(Clone, Debug, Default)]
pub struct Stats {
    /// The account of copies.
    pub ledger: Ledger,
    /// What the journal had no room for.
    pub journal_refusals: JournalRefusals,
    /// How often each bound on single clients and on what is kept was met.
    pub limits_reached: LimitsReached,
    /// Connections that were accepted or adopted.
    pub connections_opened: u64,
    /// Connections that ended or moved to their home.
    pub connections_closed: u64,
    /// Connections refused in CONNACK.
    pub connects_refused: u64,
    /// Bounds that were met of what is counted across connections.
    pub shared_limits_reached: SharedLimitsReached,
    /// Proofs that did not hold.
    pub proofs_failed: u64,
    /// Clients that were refused since they have shown a password where others can read it.
    pub plaintext_passwords_refused: u64,
    /// Times that an address was banned for it.
    pub bans: u64,
    /// Connections that were ended because the operator has changed who may be here.
    pub connections_revoked: u64,
    /// Sessions that were taken over by a newer connection.
    pub takeovers: u64,
    /// Sessions that ended because their time was over.
    pub sessions_expired: u64,
    /// Packets from clients.
    pub packets_received: u64,
    /// The same by their type's number; a run counts as its PUBLISH packets.
    pub packets_received_by_type: [u64; 16],
    /// The bytes of these packets by their type's number.
    pub packet_bytes_received_by_type: [u64; 16],
    /// Bytes from clients.
    pub bytes_received: u64,
    /// Messages from clients.
    pub publishes_received: u64,
    /// Messages from clients that went the verbatim way.
    pub publishes_verbatim: u64,
    /// Messages from clients that no subscription matched on any shard that was asked.
    pub publishes_unmatched: u64,
    /// Messages and runs sent on to another shard.
    pub forwards_sent: u64,
    /// Messages and runs that came from another shard.
    pub forwards_received: u64,
    /// Of these, those that no subscription here matched: false positives of the interest filter.
    pub forwards_useless: u64,
    /// Wills that were published.
    pub wills_published: u64,
    /// Publications that a rule refused.
    pub publishes_denied: u64,
    /// Filters that a rule refused.
    pub subscribes_denied: u64,
    /// Connections closed because the peer broke the protocol.
    pub protocol_errors: u64,
    /// Connections closed because the keep-alive time was over.
    pub keep_alive_timeouts: u64,
    /// Connections closed because what their clients had proven has expired.
    pub identities_expired: u64,
    /// Times a publisher was paused because a receiver or a shard could take no more.
    pub publishers_paused: u64,
    /// Copies that were queued without their message, which the journal has.
    pub stowed: u64,
    /// Messages that were read back from the journal.
    pub fetched: u64,
    /// Messages that the journal could not bring back.
    pub unreadable: u64,
    /// Routes found in the cache.
    pub route_hits: u64,
    /// Routes that had to be built.
    pub route_misses: u64,
    /// The last reason with which a connection was refused or closed, for a quick look.
    pub last_reason: Option<Reason>,
}

impl Stats {
    /// How often each bound was met, by its name: those of single clients, and those of what is counted across connections.
    pub fn limits(&self) -> impl Iterator<Item = (&'static str, u64)> {
        let own = Limit::ALL.into_iter().map(|limit| (limit.name(), self.limits_reached.of(limit)));
        own.chain(SharedLimit::ALL.into_iter().map(|limit| (limit.name(), self.shared_limits_reached.of(limit))))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn the_equation_holds_over_a_life() {
        let mut ledger = Ledger { routed: 10, received: 2, ..Ledger::default() };
        ledger.check(12);
        ledger.delivered = 5;
        ledger.moved = 1;
        ledger.drop_copies(DropReason::Expired, 3);
        ledger.drop_one(DropReason::Slow);
        ledger.check(2);
        assert_eq!((ledger.dropped(DropReason::Expired), ledger.dropped_total()), (3, 4));
    }

    #[test]
    #[should_panic(expected = "in = delivered + queued + dropped")]
    fn a_lost_copy_is_noticed() {
        Ledger { routed: 1, ..Ledger::default() }.check(0);
    }

    #[test]
    fn reasons_are_numbered_as_they_are_listed() {
        for (number, why) in DropReason::ALL.iter().enumerate() {
            assert_eq!(*why as usize, number);
        }
        for (number, limit) in Limit::ALL.iter().enumerate() {
            assert_eq!(*limit as usize, number);
        }
        let stats = Stats::default();
        let names: BTreeSet<_> = stats.limits().map(|(name, _)| name).collect();
        assert_eq!(names.len(), stats.limits().count(), "each bound has a name of its own");
    }
}
