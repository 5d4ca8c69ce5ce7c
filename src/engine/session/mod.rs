//! What a client finds again when it comes back: subscriptions, messages on their way, its will.
//!
//! | file           | what                                                                  | owner                 |
//! |----------------|-----------------------------------------------------------------------|-----------------------|
//! | [`state`]      | the flows of QoS 1 and 2 as tables: the one truth of the other files  | a value               |
//! | [`delivery`]   | a message on its way to one receiver                                  | where it waits        |
//! | [`queue`]      | deliveries that were never sent                                       | one per session       |
//! | [`packet_ids`] | open packet identifiers and what stands under each                    | one per session       |
//! | [`window`]     | deliveries that were sent and are not settled, in the order of sending | one per session       |
//! | [`outbound`]   | queue and window together: what a session has still to send           | one per session       |
//! | [`received`]   | QoS 2 messages of the client that it has not released                 | one per session       |
//! | [`filters`]    | plain subscriptions                                                   | one per session       |
//! | [`will`]       | the message left for the case that the client dies                    | one per session       |
//! | [`pipeline`]   | answers that leave in the order of the requests                       | one per connection    |
//!
//! Invariants worth naming:
//! - Each delivery that comes in goes out once: delivered, refused, expired, displaced, returned, given up or drained.
//! - A packet identifier under which anything is open, be it only a PUBCOMP, is given to nothing else.
//! - Nothing new is sent before everything that an earlier connection left open has been sent again.
//! - None of these structures holds heap before it is used, and every step costs the same wherever in the window it
//!   happens.
//!
//! Not here, and why: the bounds themselves (they are the operator's, in [`limits`](super::limits)), the ledger (whoever
//! takes a delivery out counts it), packets and bytes (these rooms say what is to be sent, the shard sends it).

pub mod delivery;
pub mod filters;
pub mod outbound;
#[cfg(test)]
mod outbound_model;
#[cfg(test)]
mod outbound_tests;
pub mod packet_ids;
pub mod pipeline;
pub mod queue;
pub mod received;
pub mod state;
pub mod will;
pub mod window;

use std::collections::VecDeque;
use std::sync::Arc;

use crate::base::rare::Rare;
use crate::base::slab::Key;
use crate::base::time::Time;
use crate::engine::auth::identity::Identity;
use crate::engine::connection::ConnectionKey;
use crate::engine::mesh::JoinTicket;
use crate::engine::message::SessionId;
use crate::engine::shard::retain::PlannedScan;
use crate::engine::subscriptions::members::Terms;
use crate::mqtt::Version;
use filters::Filters;
use outbound::Outbound;
use received::Received;
use will::Will;

/// Leads to a session on its home shard.
pub type SessionKey = Key<Session>;

/// The part of a connection that a fan-out needs, kept beside the session so that one look-up is enough.
#[derive(Clone, Copy, Debug)]
pub struct Link {
    /// The connection.
    pub connection: ConnectionKey,
    /// What it speaks.
    pub version: Version,
    /// The largest packet it accepts.
    pub maximum_packet: u32,
    /// Whether it has topic aliases of ours, so that its packets are encoded for it alone.
    pub has_aliases: bool,
    /// Whether it is full: QoS 0 waits no longer.
    pub is_full: bool,
    /// The most unacknowledged messages on their way to it.
    pub inflight_max: u16,
}

/// A shared subscription of this session; its group lives on its own home.
#[derive(Clone, Debug)]
pub struct Membership {
    /// The share name.
    pub share: Box<str>,
    /// The filter.
    pub filter: Box<str>,
    /// The terms.
    pub terms: Terms,
    /// The newest request that its group has been asked for.
    pub asked: Option<JoinTicket>,
}

/// A session. Home shard of the client id.
#[derive(Debug)]
pub struct Session {
    /// Its number, unique over all shards.
    pub id: SessionId,
    /// Whose it is.
    pub client_id: Box<str>,
    /// Who made it; nobody else may have it.
    pub owner: Arc<Identity>,
    /// The connection it has now.
    pub link: Option<Link>,
    /// How long it outlives its connection, in seconds; `u32::MAX` for ever.
    pub expiry_s: u32,
    /// When it ends if nobody comes back; [`Time::NEVER`] while connected.
    pub ends_at: Time,
    /// The will, until it is published or given up.
    pub will: Option<Box<Will>>,
    /// When the timing wheel looks at it next; never without an entry.
    pub looked_at: Time,
    /// Plain subscriptions.
    pub filters: Filters,
    /// Shared subscriptions.
    pub shared: Rare<Vec<Membership>>,
    /// What is still to be sent or acknowledged. Kept while connected, so that its packet identifiers go round.
    pub outbound: Option<Box<Outbound>>,
    /// QoS 2 messages of the client that are half done.
    pub received: Rare<Received>,
    /// Retained messages still to be looked for, the first one now.
    pub scans: Rare<VecDeque<PlannedScan>>,
}

impl Session {
    /// A new session without a connection.
    pub fn new(id: SessionId, client_id: Box<str>, owner: Arc<Identity>) -> Self {
        Self {
            id,
            client_id,
            owner,
            link: None,
            expiry_s: 0,
            ends_at: Time::NEVER,
            will: None,
            looked_at: Time::NEVER,
            filters: Filters::None,
            shared: Rare::new(),
            outbound: None,
            received: Rare::new(),
            scans: Rare::new(),
        }
    }

    /// What is to be sent, made on demand.
    pub fn outbound(&mut self) -> &mut Outbound {
        let window = self.link.map(|link| link.inflight_max);
        self.outbound.get_or_insert_with(|| {
            let mut outbound = Box::<Outbound>::default();
            if let Some(window) = window {
                outbound.connect(window);
            }
            outbound
        })
    }

    /// When the session must be looked at while nobody is connected.
    pub fn deadline(&self) -> Time {
        self.will.as_ref().map_or(self.ends_at, |will| self.ends_at.min(will.due_at))
    }

    /// Its shared subscription of this name.
    pub fn membership(&mut self, share: &str, filter: &str) -> Option<&mut Membership> {
        self.shared.iter_mut().find(|known| *known.share == *share && *known.filter == *filter)
    }

    /// Whether it outlives its connection, so that a journal keeps it.
    pub fn is_lasting(&self) -> bool {
        self.expiry_s > 0
    }

    /// How many subscriptions it has.
    pub fn subscription_count(&self) -> usize {
        self.filters.len() + self.shared.len()
    }

    /// The session's own copies that lie here, for the ledger; those of shared groups are in the groups' account.
    pub fn own_copies(&self) -> usize {
        self.outbound.as_ref().map_or(0, |outbound| outbound.own_copies())
    }
}

#[cfg(test)]
mod tests {
    use super::delivery::testing::delivery;
    use super::outbound::QueueBounds;
    use super::*;
    use crate::engine::limits::QueuePolicy;
    use crate::mqtt::QoS;

    fn session() -> Session {
        Session::new(SessionId::BROKER, "client".into(), Arc::new(Identity::anonymous()))
    }

    #[test]
    fn what_is_put_in_to_be_sent_is_there_and_counted() {
        let mut session = session();
        assert_eq!(session.own_copies(), 0);
        let bounds = QueueBounds { messages_max: 9, bytes_max: 1 << 20, policy: QueuePolicy::RefuseNew };
        for number in 0..2 {
            session.outbound().enqueue(delivery(number, QoS::AtLeastOnce), &bounds);
        }
        assert_eq!((session.own_copies(), session.outbound().queued_count()), (2, 2));
    }

    #[test]
    fn a_shared_subscription_is_found_by_both_of_its_names() {
        let mut session = session();
        assert_eq!(session.subscription_count(), 0);
        let terms = Terms { qos: QoS::AtLeastOnce, subscription_id: 0, retain_as_published: false };
        let names = [("share", "a/b"), ("share", "a/c"), ("other", "a/b")];
        for (share, filter) in names {
            let membership = Membership { share: share.into(), filter: filter.into(), terms, asked: None };
            session.shared.push(membership);
        }
        assert_eq!(session.subscription_count(), 3);
        for (share, filter) in names {
            let found = session.membership(share, filter).expect("it was put in");
            assert_eq!((&*found.share, &*found.filter), (share, filter));
        }
        assert!(session.membership("other", "a/c").is_none());
    }
}
