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
//! | [`scans`]      | retained messages still to be looked for                              | one per session       |
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
pub mod scans;
pub mod state;
pub mod will;
pub mod window;

use std::sync::Arc;

use crate::base::labels::Label;
use crate::base::rare::{Empty, Rare};
use crate::base::slab::Key;
use crate::base::time::{Tick, Time};
use crate::engine::auth::identity::Identity;
use crate::engine::connection::ConnectionKey;
use crate::engine::mesh::JoinTicket;
use crate::engine::message::SessionId;
use crate::engine::subscriptions::index::FilterId;
use crate::engine::subscriptions::members::Terms;
use crate::mqtt::Version;
use filters::Filters;
use outbound::Outbound;
use received::Received;
use scans::Scans;
use will::Will;

/// Leads to a session on its home shard.
pub type SessionKey = Key<Session>;

/// The part of a connection that a fan-out needs, kept in the session so that one look-up is enough.
#[derive(Clone, Copy, Debug)]
pub struct Link {
    /// The connection.
    pub connection: ConnectionKey,
    /// What it speaks.
    pub version: Version,
    /// Whether packets are encoded for it alone: it has topic aliases of ours, has bounded the size of a packet, or is metered.
    pub is_particular: bool,
    /// Whether it is full: QoS 0 waits no longer.
    pub is_full: bool,
    /// Whether it is sent only so much in a second.
    pub rate: Rate,
    /// The most unacknowledged messages on their way to it.
    pub inflight_max: u16,
}

/// Whether a client is sent only so much in a second.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rate {
    /// It is sent what there is.
    Free,
    /// It is metered, and may be sent more.
    Within,
    /// It is metered and was sent more than that: what is for it waits until the rate allows for it.
    Above,
}

impl Link {
    /// Whether it takes more for the moment.
    pub fn is_open(&self) -> bool {
        !self.is_full && self.rate != Rate::Above
    }

    /// Whether it is charged with what it is sent.
    pub fn is_metered(&self) -> bool {
        self.rate != Rate::Free
    }
}

/// Where the client is. What is known of it here is not needed there, so both have the same bytes.
#[derive(Clone, Copy, Debug)]
enum Presence {
    /// It is connected.
    Here(Link),
    /// It is not; the session ends if it has not come back by then.
    Away { ends_at: Time },
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
///
/// A million of them wait for clients that are away: what few of them have is in `extras`, and they are no larger than they must.
#[derive(Debug)]
pub struct Session {
    /// Its number, unique over all shards.
    pub id: SessionId,
    /// Who made it; nobody else may have it.
    pub owner: Arc<Identity>,
    /// Where its client is.
    presence: Presence,
    /// Whose it is, by the shard's labels.
    pub client_id: Label,
    /// How long it outlives its connection, in seconds; `u32::MAX` for ever.
    pub expiry_s: u32,
    /// When the timing wheel looks at it next; never without an entry.
    pub looked_at: Tick,
    /// The only plain subscription, as most have; others are in `extras`.
    filters: Filters,
    /// What is still to be sent or acknowledged. Kept while connected, so that its packet identifiers go round.
    pub outbound: Option<Box<Outbound>>,
    /// What few sessions need.
    pub extras: Rare<Extras>,
}

const _: () = assert!(size_of::<Session>() == 64);

/// What few sessions need.
#[derive(Debug, Default)]
pub struct Extras {
    /// The will, until it is published or given up.
    pub will: Option<Box<Will>>,
    /// Shared subscriptions.
    pub shared: Rare<Vec<Membership>>,
    /// Plain subscriptions of a session that has had several.
    filters: Rare<Vec<FilterId>>,
    /// Retained messages still to be looked for, the first one now.
    pub scans: Rare<Scans>,
    /// QoS 2 messages of the client that are half done.
    pub received: Received,
}

impl Empty for Extras {
    const EMPTY: &'static Self =
        &Self { will: None, shared: Rare::new(), filters: Rare::new(), scans: Rare::new(), received: Received::new() };
}

impl Extras {
    fn is_empty(&self) -> bool {
        let Self { will, shared, filters, scans, received } = self;
        will.is_none() && shared.is_empty() && filters.is_empty() && scans.is_empty() && received.is_empty()
    }
}

impl Session {
    /// A new session without a connection.
    pub fn new(id: SessionId, client_id: Label, owner: Arc<Identity>) -> Self {
        Self {
            id,
            owner,
            presence: Presence::Away { ends_at: Time::NEVER },
            client_id,
            expiry_s: 0,
            looked_at: Tick::NEVER,
            filters: Filters::NONE,
            outbound: None,
            extras: Rare::new(),
        }
    }

    /// The connection it has now.
    pub fn link(&self) -> Option<Link> {
        match self.presence {
            Presence::Here(link) => Some(link),
            Presence::Away { .. } => None,
        }
    }

    /// Whether it has a connection that takes more.
    pub fn has_open_link(&self) -> bool {
        matches!(&self.presence, Presence::Here(link) if link.is_open())
    }

    /// The connection it has now, to change it.
    pub fn link_mut(&mut self) -> Option<&mut Link> {
        match &mut self.presence {
            Presence::Here(link) => Some(link),
            Presence::Away { .. } => None,
        }
    }

    /// When it ends if nobody comes back; [`Time::NEVER`] while connected.
    pub fn ends_at(&self) -> Time {
        match self.presence {
            Presence::Here(_) => Time::NEVER,
            Presence::Away { ends_at } => ends_at,
        }
    }

    /// Its client is there.
    pub fn connect(&mut self, link: Link) {
        self.presence = Presence::Here(link);
    }

    /// Its client has gone, and from now on the session's time runs. [MQTT-3.1.2-23]
    pub fn disconnect(&mut self, now: Time) {
        self.stay_until(if self.expiry_s < u32::MAX { now.after_seconds(self.expiry_s) } else { Time::NEVER });
    }

    /// Its client is not there, and the session ends if it has not come back by then.
    pub fn stay_until(&mut self, ends_at: Time) {
        self.presence = Presence::Away { ends_at };
    }

    /// What is to be sent, made on demand.
    pub fn outbound(&mut self) -> &mut Outbound {
        let Self { outbound, presence, .. } = self;
        outbound.get_or_insert_with(|| {
            let mut outbound = Box::<Outbound>::default();
            if let Presence::Here(link) = presence {
                outbound.connect(link.inflight_max);
            }
            outbound
        })
    }

    /// When the session must be looked at while nobody is connected.
    pub fn deadline(&self) -> Time {
        self.extras.will.as_ref().map_or(self.ends_at(), |will| self.ends_at().min(will.due_at))
    }

    /// The will, to change it.
    pub fn will_mut(&mut self) -> Option<&mut Will> {
        self.extras.used()?.will.as_deref_mut()
    }

    /// Replaces the will, or takes it away.
    pub fn set_will(&mut self, will: Option<Box<Will>>) {
        if will.is_some() || self.extras.will.is_some() {
            self.extras.will = will;
            self.give_memory_back();
        }
    }

    /// Moves the will out.
    pub fn take_will(&mut self) -> Option<Box<Will>> {
        let will = self.extras.used()?.will.take();
        self.give_memory_back();
        will
    }

    /// Moves the QoS 2 messages of the client out, for a run of them.
    pub fn take_received(&mut self) -> Received {
        self.extras.used().map(|extras| std::mem::take(&mut extras.received)).unwrap_or_default()
    }

    /// Moves them back.
    pub fn put_received(&mut self, received: Received) {
        match self.extras.used() {
            Some(extras) => extras.received = received,
            None if received.is_empty() => {}
            None => self.extras.received = received,
        }
    }

    /// Takes something out of what few sessions need, if this one has any of it, and gives back the memory that it needs no more.
    pub fn reduce_extras(&mut self, reduce: impl FnOnce(&mut Extras)) {
        if let Some(extras) = self.extras.used() {
            reduce(extras);
        }
        self.give_memory_back();
    }

    /// Gives back the memory of what few sessions need and this one needs no more.
    pub fn give_memory_back(&mut self) {
        if let Some(extras) = self.extras.used() {
            extras.shared.free_if(Vec::is_empty);
            extras.filters.free_if(Vec::is_empty);
            extras.scans.free_if(Scans::is_empty);
        }
        self.extras.free_if(Extras::is_empty);
    }

    /// Its shared subscription of this name.
    pub fn membership(&mut self, share: &str, filter: &str) -> Option<&mut Membership> {
        self.extras.used()?.shared.used()?.iter_mut().find(|known| *known.share == *share && *known.filter == *filter)
    }

    /// Whether it outlives its connection, so that a journal keeps it.
    pub fn is_lasting(&self) -> bool {
        self.expiry_s > 0
    }

    /// How many subscriptions it has.
    pub fn subscription_count(&self) -> usize {
        self.filters().len() + self.extras.shared.len()
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
    use crate::base::labels::Labels;
    use crate::engine::limits::QueuePolicy;
    use crate::mqtt::{PacketId, QoS, Topic};

    fn session() -> Session {
        let client_id = Labels::new().add("client");
        Session::new(SessionId::BROKER, client_id, Arc::new(Identity::anonymous()))
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
            session.extras.shared.push(membership);
        }
        assert_eq!(session.subscription_count(), 3);
        for (share, filter) in names {
            let found = session.membership(share, filter).expect("it was put in");
            assert_eq!((&*found.share, &*found.filter), (share, filter));
        }
        assert!(session.membership("other", "a/c").is_none());
    }

    #[test]
    fn memory_for_what_few_need_goes_with_the_last_of_it() {
        let mut session = session();
        assert!(session.take_will().is_none() && session.extras.used().is_none());
        session.put_received(Received::new());
        assert!(session.extras.used().is_none(), "reading and moving nothing allocates nothing");
        let topic = Topic::parse("last/words").unwrap();
        session.set_will(Some(Box::new(Will::restored(topic, &[], b"gone"))));
        session.extras.received.publish(PacketId::MIN);
        assert!(session.take_will().is_some() && session.extras.used().is_some());
        let mut received = session.take_received();
        received.refused(PacketId::MIN);
        session.put_received(received);
        session.give_memory_back();
        assert!(session.extras.used().is_none());
    }

    #[test]
    fn a_session_ends_at_no_time_while_its_client_is_there() {
        let mut session = session();
        session.stay_until(Time::from_millis(7));
        assert_eq!((session.deadline(), session.link().is_none()), (Time::from_millis(7), true));
        let connection = ConnectionKey::from_bits(1 << 32).unwrap();
        let (version, inflight_max) = (Version::V5, 9);
        let (is_particular, is_full, rate) = (true, false, Rate::Within);
        session.connect(Link { connection, version, is_particular, is_full, rate, inflight_max });
        assert!(session.has_open_link());
        session.link_mut().unwrap().rate = Rate::Above;
        assert!(!session.has_open_link());
        *session.link_mut().unwrap() = Link { is_full: true, rate: Rate::Within, ..session.link().unwrap() };
        assert!(!session.has_open_link());
        assert!(session.link().is_some_and(|link| link.is_full && link.connection == connection));
        assert_eq!((session.ends_at(), session.deadline()), (Time::NEVER, Time::NEVER));
        for (expiry_s, ends_at) in [(0, 5_000), (7, 12_000), (u32::MAX, u64::MAX)] {
            session.expiry_s = expiry_s;
            session.disconnect(Time::from_millis(5_000));
            assert_eq!(session.ends_at(), Time::from_millis(ends_at));
        }
    }
}
