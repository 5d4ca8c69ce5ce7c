//! A client as it should be: packet identifiers, both halves of the flows, its side of the session, what it expects.

use std::collections::{BTreeMap, VecDeque};

use pregon::base::time::Time;

use crate::plan::Role;
use crate::record::{Received, Term};

/// How far the client's own connection has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// It has none.
    Away,
    /// CONNECT was sent.
    Waiting,
    /// CONNACK came.
    Connected,
    /// DISCONNECT was sent.
    Leaving,
}

/// Where a message stands that the client publishes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Publishing {
    /// PUBACK or PUBREC is awaited.
    Sent,
    /// PUBCOMP is awaited.
    Released,
}

/// A message of the client that is not finished.
#[derive(Clone, Debug)]
pub struct Open {
    /// Its packet identifier.
    pub id: u16,
    /// Its number.
    pub message: u32,
    /// Where it stands.
    pub state: Publishing,
}

/// Where a message stands that the client receives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Receiving {
    /// `QoS` 1: PUBACK is owed.
    OwesPubAck,
    /// `QoS` 2: PUBREC is owed.
    OwesPubRec,
    /// `QoS` 2: PUBREC was sent.
    Recorded,
    /// `QoS` 2: PUBCOMP is owed.
    OwesPubComp,
}

/// A packet identifier of the broker that is open at the client.
#[derive(Clone, Debug)]
pub struct Incoming {
    /// What came under it.
    pub message: Option<u32>,
    /// Where it stands.
    pub state: Receiving,
    /// Whether it was published on the present connection.
    pub is_here: bool,
    /// Whether it came by a shared group.
    pub is_shared: bool,
}

/// An acknowledgement that the client will send some time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(clippy::enum_variant_names, reason = "the packets are called so")]
pub enum Owed {
    /// PUBACK.
    PubAck(u16),
    /// PUBREC.
    PubRec(u16),
    /// PUBREL.
    PubRel(u16),
    /// PUBCOMP.
    PubComp(u16),
}

/// A request that waits for SUBACK or UNSUBACK.
#[derive(Clone, Debug)]
pub enum Request {
    /// The places of its terms.
    Subscribe(Vec<usize>),
    /// The filters, and when they were given up.
    Unsubscribe(Vec<String>, u64),
}

/// What is known of the broker's session of the client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Life {
    /// There is none.
    None,
    /// It is connected; it outlives its connection for so many seconds.
    Connected(u32),
    /// It has been left alone, between these times, and outlives that for between these seconds.
    Detached { since: (Time, Time), expiry: (u32, u32) },
}

impl Life {
    /// Whether it is there for sure when a CONNECT is handled at this time.
    pub fn is_certain(self, at: Time) -> bool {
        match self {
            Self::None => false,
            Self::Connected(expiry) => expiry > 0,
            Self::Detached { since, expiry } => at < ends(since.0, expiry.0),
        }
    }

    /// Whether it may be there when a CONNECT is handled at this time.
    pub fn is_possible(self, at: Time) -> bool {
        match self {
            Self::None => false,
            Self::Connected(expiry) => expiry > 0,
            Self::Detached { since, expiry } => expiry.1 > 0 && at <= ends(since.1, expiry.1),
        }
    }
}

fn ends(since: Time, expiry: u32) -> Time {
    if expiry == u32::MAX { Time::NEVER } else { since.after_seconds(expiry) }
}

/// What was said in a CONNECT whose CONNACK has not been heard.
#[derive(Clone, Copy, Debug)]
pub struct Asked {
    /// Clean Start.
    pub is_clean: bool,
    /// The expiry that will hold.
    pub expiry: u32,
    /// The will that was left.
    pub will: Option<usize>,
}

/// One client.
#[derive(Debug)]
pub struct Client {
    /// Its client identifier.
    pub name: String,
    /// What it is like.
    pub role: Role,
    /// Its own connection.
    pub link: Option<usize>,
    /// Connections that it has forgotten about and the network has not.
    pub stale: Vec<usize>,
    /// How far its connection has come.
    pub phase: Phase,
    /// The CONNECT under way.
    pub asked: Option<Asked>,
    /// Whether it does not know what became of its last CONNECT, and has to start anew.
    pub is_unsure: bool,
    /// The broker's session.
    pub life: Life,
    /// The connection that the broker's session is bound to.
    pub session_link: Option<usize>,
    /// Which session of the client it is.
    pub lives: u32,
    /// The will of the present connection.
    pub will: Option<usize>,
    /// The will of an earlier one that waits for its delay.
    pub due_will: Option<usize>,
    /// Keep Alive that holds.
    pub keep_alive: u16,
    /// Its own messages, in the order of sending.
    pub open: VecDeque<Open>,
    next_id: u16,
    /// The broker's Receive Maximum.
    pub broker_receive_maximum: u16,
    /// The broker's Topic Alias Maximum.
    pub broker_alias_maximum: u16,
    /// The broker's aliases.
    pub aliases_in: BTreeMap<u16, String>,
    /// Its own aliases.
    pub aliases_out: BTreeMap<String, u16>,
    /// Packet identifiers of the broker.
    pub incoming: BTreeMap<u16, Incoming>,
    /// Messages that came on the present connection and count against Receive Maximum.
    pub owed: VecDeque<Owed>,
    /// Requests under way.
    pub requests: BTreeMap<u16, Request>,
    /// Its subscriptions, all that it ever asked for.
    pub terms: Vec<Term>,
    /// What it heard.
    pub received: Vec<Received>,
    /// Whether the present connection has resumed a session.
    pub is_resumed: bool,
}

/// The last word of a client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Farewell {
    /// Whether the will shall be published.
    pub with_will: bool,
    /// Whether somebody else may have ended the connection before it was read.
    pub is_unclear: bool,
    /// The expiry that it says.
    pub expiry: Option<u32>,
}

impl Client {
    /// A client that was never connected.
    pub fn new(name: String, role: Role) -> Self {
        Self {
            name,
            role,
            link: None,
            stale: Vec::new(),
            phase: Phase::Away,
            asked: None,
            is_unsure: false,
            life: Life::None,
            session_link: None,
            lives: 0,
            will: None,
            due_will: None,
            keep_alive: 0,
            open: VecDeque::new(),
            next_id: 0,
            broker_receive_maximum: u16::MAX,
            broker_alias_maximum: 0,
            aliases_in: BTreeMap::new(),
            aliases_out: BTreeMap::new(),
            incoming: BTreeMap::new(),
            owed: VecDeque::new(),
            requests: BTreeMap::new(),
            terms: Vec::new(),
            received: Vec::new(),
            is_resumed: false,
        }
    }

    /// Whether it may send requests.
    pub fn is_connected(&self) -> bool {
        self.phase == Phase::Connected
    }

    /// Whether it has a shared subscription.
    pub fn is_member(&self) -> bool {
        !self.role.groups.is_empty()
    }

    /// A packet identifier that is not in use; identifiers come again soon, so that reuse is tried.
    pub fn new_id(&mut self) -> u16 {
        loop {
            self.next_id = self.next_id % 60 + 1;
            let id = self.next_id;
            if !self.open.iter().any(|open| open.id == id) && !self.requests.contains_key(&id) {
                return id;
            }
        }
    }

    /// Whether one more `QoS` 1 or 2 message fits into the broker's Receive Maximum and our identifiers.
    pub fn may_publish(&self) -> bool {
        self.open.len() < usize::from(self.broker_receive_maximum.min(30)) && self.requests.len() < 10
    }

    /// The session is gone: everything that belonged to it is forgotten.
    pub fn forget_session(&mut self) {
        self.lives += 1;
        self.open.clear();
        self.incoming.clear();
        self.owed.clear();
        self.requests.clear();
    }

    /// The connection is gone: what belonged to it is forgotten.
    pub fn forget_connection(&mut self) {
        self.link = None;
        self.phase = Phase::Away;
        self.owed.clear();
        self.requests.clear();
        self.aliases_in.clear();
        self.aliases_out.clear();
        // What came by a group is given to others, so its identifiers are free again.
        self.incoming.retain(|_, open| !(open.is_shared && open.state == Receiving::OwesPubAck));
        self.incoming.values_mut().for_each(|open| open.is_here = false);
    }

    /// Messages of the present connection that the client has not finished.
    pub fn inflight_here(&self) -> usize {
        self.incoming.values().filter(|open| open.is_here).count()
    }

    /// The subscriptions of the present session under which a message on this topic, sent at this step, may come.
    pub fn terms_for(&self, topic: &str, sent: u64) -> impl Iterator<Item = &Term> {
        self.terms_of(topic).filter(move |term| term.may_hold_for(sent))
    }

    /// The same for what is found in the store of retained messages: a look-up goes on under the terms it began with.
    pub fn terms_to_look_up(&self, topic: &str, sent: u64) -> impl Iterator<Item = &Term> {
        self.terms_of(topic).filter(move |term| term.may_hold_for(sent) || term.is_replaced)
    }

    fn terms_of(&self, topic: &str) -> impl Iterator<Item = &Term> {
        let life = self.lives;
        self.terms.iter().filter(move |term| term.life == life && crate::record::matches(&term.filter, topic))
    }
}
