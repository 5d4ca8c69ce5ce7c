//! A shard: the pure state machine that is one core's part of the broker.
//!
//! | file | what it does to the shard |
//! |---|---|
//! | `receive` | bytes to packets, and what holds a connection back |
//! | `connect` `identify` | CONNECT up to the way home: limits, identity, permission, slow answers |
//! | `unproven` | what those may have us hold who have proven nothing |
//! | `accounts` | what is counted of addresses and users, and bans |
//! | `review` | what the operator has changed about all this |
//! | `open` | take-over, clean start, CONNACK, resumption, on the home of the client id |
//! | `publish` | a client's messages, one by one |
//! | `verbatim` `runs` | neighbouring messages of one topic: as they came, or with identifiers |
//! | `routes` `fanout` `deliver` | who wants a topic here, and how each gets his copy |
//! | `rates` | who is sent only so much in a second, alone or together with others |
//! | `acknowledge` `ack_runs` | acknowledgements in both directions, one by one or in rows |
//! | `subscribe` `retain` `young` `groups` | SUBSCRIBE and what comes of it: interest, retained messages, shared groups |
//! | `owning` | who is charged with what is retained |
//! | `durable` | changes that a journal keeps, and what waits until it does |
//! | `room` | what the journal has no room for, and who waits until it has |
//! | `passages` | what crosses shards once, whatever happens to either |
//! | `restore` | the same changes given back after a restart |
//! | `sweep` | what is held noted again, so that old changes can go |
//! | `letters` | what other shards say; back-pressure |
//! | `turns` | what an input leaves for later ones, and who is not read meanwhile |
//! | `listing` | who is here, told to whoever asks from outside |
//! | `memory` | what all of it occupies |
//! | `ending` `departed` `timers` | the end of connections and sessions, wills, and whatever time brings |
//!
//! All of them are parts of one `impl Shard`: they share its state and call each other, but each file owns the fields that its
//! noun names. A call does bounded work; what is left over waits in `letters`, `resumed`, `fanouts` or `departed` and asks for a tick.

mod accounts;
mod ack_runs;
mod acknowledge;
mod aside;
mod asked_wills;
mod connect;
mod deliver;
mod departed;
mod durable;
mod ending;
mod fanout;
mod fetching;
mod groups;
mod identify;
mod lending;
mod letters;
pub mod listing;
pub mod memory;
pub mod moving;
mod open;
mod owning;
mod passages;
mod publish;
mod rates;
mod receive;
mod restore;
pub mod retain;
mod review;
mod room;
mod routes;
pub mod routing;
mod runs;
mod subscribe;
mod sweep;
mod timers;
mod turns;
mod unproven;
mod verbatim;
mod wills;
mod young;

use std::collections::VecDeque;
use std::num::NonZeroU64;
use std::sync::Arc;

use hashbrown::HashTable;

use crate::base::bitset::Bits64;
use crate::base::hash::{Map, Seed, map};
use crate::base::labels::Labels;
use crate::base::payload::Chunks;
use crate::base::random::Random;
use crate::base::slab::Slab;
use crate::base::time::{Tick, Time};
use crate::base::wall::Wall;
use crate::base::wheel::Wheel;
use crate::engine::accounts::Accounts;
use crate::engine::accounts::holding::SessionSeat;
use crate::engine::auth::ClientId;
use crate::engine::auth::identity::Identity;
use crate::engine::auth::policy::Policy;
use crate::engine::connection::{Connection, ConnectionKey};
use crate::engine::event::Cause;
use crate::engine::homes::{Homes, ShardId};
use crate::engine::input::Input;
use crate::engine::limits::{CHUNK_BYTES, CHUNKS_MAX, COPIES_PER_INPUT_MAX, Limits, UNPROVEN_POOL_BYTES_MAX};
use crate::engine::mesh::Mesh;
use crate::engine::message::{Message, SessionId};
use crate::engine::output::Outputs;
use crate::engine::retained::Retained;
use crate::engine::retained::owners::Owners;
use crate::engine::session::{Session, SessionKey};
use crate::engine::stats::{Limit, Stats};
use crate::engine::stowage::Stowage;
use crate::engine::subscriptions::declared::Declared;
use crate::engine::subscriptions::entry::Subscriber;
use crate::engine::subscriptions::index::Index;
use crate::engine::subscriptions::interest::Interest;
use crate::engine::subscriptions::shared::Groups;
use crate::mqtt::Reason;
use aside::Aside;
use asked_wills::AskedWills;
use departed::Departed;
use durable::Journaling;
use fanout::{Batches, Fanout};
use fetching::Fetching;
use lending::Lending;
use letters::Pressure;
use memory::{Holdings, Memory};
use passages::Passages;
use publish::RepeatedPublishes;
use restore::Restoring;
use retain::Scan;
use routes::Routes;
use routing::Routing;
use sweep::Sweep;
use timers::Due;
use verbatim::Receivers;
use wills::Bequests;
use young::Young;

/// What all shards of one broker share. Never changed while it runs, except the atomics of the interest filter and of the accounts.
#[derive(Clone)]
pub struct Shared {
    /// Bounds and features.
    pub limits: Arc<Limits>,
    /// The same for the clients of each listener, at the place of its number; none where no listener has bounds of its own.
    pub own_limits: Arc<[Limits]>,
    /// Who lives where.
    pub homes: Arc<Homes>,
    /// Which shards want which topics.
    pub interest: Arc<Interest>,
    /// Who may do what.
    pub policy: Arc<Policy>,
    /// What is counted across shards.
    pub accounts: Arc<Accounts>,
    /// Whether a journal keeps what outlives the process.
    pub has_journal: bool,
    /// Bytes of messages that each shard holds in memory for the queues of sessions that outlive the process; what comes then waits in
    /// the journal alone.
    pub ram_budget: u64,
}

/// Slots of the timing wheels: about 17 minutes until an entry is looked at again.
const WHEEL_SLOTS: usize = 4096;
/// Slots of the wheels for quota holds and for rates, which are short.
const QUOTA_SLOTS: usize = 256;

/// One core's part of the broker: its connections, its sessions, its index. Owned by one thread; nothing in it is
/// shared but what [`Shared`] names, and nothing leaves it but through [`Outputs`].
pub struct Shard {
    id: ShardId,
    limits: Arc<Limits>,
    own_limits: Arc<[Limits]>,
    homes: Arc<Homes>,
    interest: Arc<Interest>,
    policy: Arc<Policy>,
    accounts: Arc<Accounts>,

    connections: Slab<Connection>,
    /// `holdings` = sums of what all connections hold
    holdings: Holdings,
    /// `backlog_bytes` = sum of what the shell could not send yet to all connections
    backlog_bytes: u64,
    sessions: Slab<Session>,
    /// Client id to session, by its index.
    directory: HashTable<u32>,
    client_ids: Labels,
    /// Sessions that have ended, with subscriptions that are not out of the index yet.
    departed: Departed,
    /// What sessions hold of their users' accounts, where those are bounded.
    session_seats: Map<SessionKey, SessionSeat>,
    /// The identity of everybody who proved nothing: one count of references for each shard, none between them.
    anonymous: Arc<Identity>,
    seed: Seed,
    serial: u64,

    index: Index,
    declared: Declared,
    groups: Groups,
    routes: Routes,

    retained: Retained<Message>,
    owners: Owners,
    retained_bytes: u64,
    retained_sweep: crate::engine::retained::Cursor,
    scans: Slab<Scan>,
    /// Retained publications of other shards that came here and whose home has not spoken, with the count of
    /// subscriptions at that moment; none where the home was faster.
    on_their_way: Map<(ShardId, NonZeroU64), Option<u64>>,
    /// How many retained publications went from here to homes elsewhere.
    stamps: u64,
    /// The subscriptions made here while such publications were on their way.
    young: Young,

    /// Publications whose acknowledgement waits for other shards.
    routings: Slab<Routing>,
    /// Repeats of QoS 2 publications that are still being routed, on newer connections.
    repeats: RepeatedPublishes,

    connection_wheel: Wheel<ConnectionKey>,
    session_wheel: Wheel<SessionKey>,
    /// When quota holds end.
    quota_wheel: Wheel<ConnectionKey>,
    /// When receivers that are above their rate get more.
    rate_wheel: Wheel<ConnectionKey>,
    fanouts: VecDeque<Fanout>,
    journaling: Journaling,
    passages: Passages,
    bequests: Bequests,
    asked_wills: AskedWills,
    stowage: Stowage,
    fetching: Fetching,
    lending: Lending,
    /// While changes come back.
    restoring: Option<Box<Restoring>>,
    /// Sessions of before the start have come back: what they subscribed to was granted by the rules of that time.
    has_restored: bool,
    /// While what is held is noted again.
    sweeping: Option<Box<Sweep>>,
    pressure: Pressure,
    full_shards: Bits64,
    /// Messages of this shard to itself.
    letters: VecDeque<Mesh>,
    aside: Aside,
    /// Connections whose held bytes come next, in line: those that are held for their turn, each once, and some that are gone.
    resumed: VecDeque<ConnectionKey>,
    due: Due,
    wall: Wall,
    is_stopping: bool,
    /// Copies that the present input may still cause before the rest waits for the next turn.
    copies_left: usize,
    copies_per_input_max: usize,
    /// Copies that all inputs so far have caused, also beyond their bounds.
    caused: u64,
    /// How often a session's owner changed its rights: routes made before are made again.
    owners_changed: u64,
    /// The first connection that has not been looked at since the policy changed.
    reviewing: Option<u32>,

    chunks: Chunks,
    random: Random,
    batches: Batches,
    run_receivers: Receivers,
    /// Empty between runs: the acknowledgements of one.
    acks: Vec<u8>,
    /// One of them promises what was noted.
    are_acks_promises: bool,
    stats: Stats,
}

impl Shard {
    /// An empty shard. `seed` differs from shard to shard; the same seed and inputs give the same outputs.
    #[expect(clippy::too_many_lines, reason = "a line for each field")]
    pub fn new(id: ShardId, shared: Shared, seed: u64) -> Self {
        let Shared { limits, own_limits, homes, interest, policy, accounts, has_journal, ram_budget } = shared;
        let random = Random::from_seed(seed);
        let seed = Seed::new(seed);
        Self {
            id,
            connections: Slab::new(),
            holdings: Holdings::default(),
            backlog_bytes: 0,
            sessions: Slab::new(),
            directory: HashTable::new(),
            client_ids: Labels::new(),
            departed: Departed::default(),
            session_seats: map(seed),
            anonymous: Arc::new(Identity::anonymous()),
            seed,
            serial: 0,
            index: Index::new(seed),
            declared: Declared::new(id.bit(), &interest),
            groups: Groups::new(seed),
            routes: Routes::new(seed),
            retained: Retained::default(),
            owners: Owners::new(seed),
            retained_bytes: 0,
            retained_sweep: crate::engine::retained::Cursor::default(),
            scans: Slab::new(),
            on_their_way: map(seed),
            stamps: 0,
            young: Young::new(seed),
            routings: Slab::new(),
            repeats: map(seed),
            connection_wheel: Wheel::new(Tick::MS, WHEEL_SLOTS),
            session_wheel: Wheel::new(Tick::MS, WHEEL_SLOTS),
            quota_wheel: Wheel::new(Tick::MS, QUOTA_SLOTS),
            rate_wheel: Wheel::new(Tick::MS, QUOTA_SLOTS),
            fanouts: VecDeque::new(),
            journaling: Journaling::new(has_journal),
            passages: Passages::new(seed),
            bequests: Bequests::default(),
            asked_wills: AskedWills::default(),
            stowage: Stowage::new(ram_budget, seed),
            fetching: Fetching::default(),
            lending: Lending::default(),
            restoring: None,
            has_restored: false,
            sweeping: None,
            pressure: Pressure::new(seed),
            full_shards: Bits64::default(),
            letters: VecDeque::new(),
            aside: Aside::new(seed),
            resumed: VecDeque::new(),
            due: Due::default(),
            wall: Wall::UNKNOWN,
            is_stopping: false,
            copies_left: COPIES_PER_INPUT_MAX,
            copies_per_input_max: COPIES_PER_INPUT_MAX,
            caused: 0,
            owners_changed: 0,
            reviewing: None,
            chunks: Chunks::new(CHUNK_BYTES, CHUNKS_MAX),
            random,
            batches: Batches::default(),
            run_receivers: Receivers::default(),
            acks: Vec::new(),
            are_acks_promises: false,
            stats: Stats::default(),
            limits,
            own_limits,
            homes,
            interest,
            policy,
            accounts,
        }
    }

    /// Handles one thing that happened. Bounded work: what is left over asks for a tick through `out.wake_at`.
    pub fn handle(&mut self, input: Input<'_>, now: Time, out: &mut Outputs) {
        self.copies_left = self.copies_per_input_max;
        let may_go_on = matches!(input, Input::Tick);
        match input {
            Input::Received { connection, bytes } => {
                self.receive(connection, bytes, now, out);
            }
            Input::Introduced { connection, address, certificate } => {
                self.introduce(connection, address, certificate, now, out);
            }
            Input::Ended { connection } => self.peer_ends(connection, now, out),
            Input::Broken { connection } => self.line_broke(connection, now, out),
            Input::Lost { connection } => self.end(connection, Cause::ConnectionLost, now, out),
            Input::Backlog { connection, bytes, taken } => self.could_not_send(connection, bytes, taken, now, out),
            Input::Mesh { from, batch } => self.letters_of(from, batch, now, out),
            Input::WideRoom { has_room } => self.pressure.is_wide_full = !has_room,
            Input::MeshRoom { to, has_room } => self.mesh_room(to, has_room, now, out),
            Input::Answer { connection, number, answer } => match connection {
                Some(key) => self.answer(key, number, answer, now, out),
                None => self.will_answered(number, &answer, now, out),
            },
            Input::Stored { upto } => self.changes_stored(upto, out),
            Input::Written { spots } => spots.iter().for_each(|(key, spot)| self.stowage.written(*key, *spot)),
            Input::Fetched(fetched) => self.fetched(fetched, now, out),
            Input::Journal { room } => self.journal_room(room, now, out),
            Input::Sweep { bytes } => self.sweep(bytes, out),
            Input::Tick => self.tick(now, out),
            Input::Policy { policy } => self.change_policy(policy, now, out),
            Input::Revoked { connection } => self.revoke(connection, now, out),
            Input::Kick { client_id } => self.kick(client_id, now, out),
            Input::Shutdown => self.shutdown(now, out),
        }
        self.settle(may_go_on, now, out);
    }

    /// Copies that all inputs so far have caused, and work that costs as much.
    pub fn caused(&self) -> u64 {
        self.caused
    }

    /// The clock on the wall shows this now. Said now and then: in between it is reckoned on. Before it was said at all nobody comes in whose proof
    /// has an end.
    pub fn set_wall(&mut self, unix_s: u64, now: Time) {
        self.wall = Wall::new(unix_s, now);
    }

    /// Says how many copies one input may cause, for whoever wants to see what happens at that: [`COPIES_PER_INPUT_MAX`] where nobody says it.
    pub fn set_copies_per_input_max(&mut self, copies: usize) {
        assert!(copies > 0, "an input gets on");
        self.copies_per_input_max = copies;
    }

    /// What is in force here.
    pub fn policy(&self) -> &Policy {
        &self.policy
    }

    /// A connection of this shard.
    pub fn connection(&self, key: ConnectionKey) -> Option<&Connection> {
        self.connections.get(key)
    }

    /// What this shard counted so far.
    pub fn stats(&self) -> &Stats {
        &self.stats
    }

    /// How many connections, sessions, subscriptions and retained messages there are, and what they occupy.
    pub fn sizes(&self) -> Sizes {
        Sizes {
            connections: self.connections.len(),
            sessions: self.sessions.len(),
            subscriptions: self.index.subscription_count(),
            retained: self.retained.len(),
            stowed: self.stowage.len(),
            memory: self.memory(),
        }
    }

    /// How much the shard holds that may have to outlive it: sessions, subscriptions, retained messages and copies.
    pub fn held(&self) -> u64 {
        let counts = self.sessions.len() + self.index.subscription_count() + self.retained.len();
        counts as u64 + self.stats.ledger.queued() + self.lending.assigned_count() as u64
    }

    /// Proves the invariants of the shard and of all that it owns.
    ///
    /// # Panics
    /// When one does not hold.
    pub fn check(&self) {
        let mut queued = self.groups.copies() + self.fanout_copies();
        let (mut held, mut stubs) = (0, 0);
        for (key, session) in self.sessions.iter() {
            self.check_session(key, session);
            queued += session.own_copies() as u64;
            if let Some(outbound) = &session.outbound {
                held += outbound.queue().held_bytes();
                stubs += outbound.queue().stubs() as u64;
            }
        }
        self.stats.ledger.check(queued);
        self.stowage.check(held, stubs);
        for (key, connection) in self.connections.iter() {
            if let Some(session) = connection.session {
                let link = self.sessions.get(session).and_then(Session::link);
                assert_eq!(link.map(|link| link.connection), Some(key), "a connected connection is its session's link");
            }
        }
        let mut holdings = Holdings::default();
        self.connections.iter().for_each(|(_, connection)| holdings.put_in(connection));
        assert_eq!(self.holdings, holdings, "what connections hold is accounted for");
        assert!(holdings.lent <= UNPROVEN_POOL_BYTES_MAX, "no more is lent than there is");
        let backlog: u64 = self.connections.iter().map(|(_, connection)| u64::from(connection.backlog)).sum();
        assert_eq!(self.backlog_bytes, backlog, "what could not be sent yet is accounted for");
        self.check_line();
        self.due.check();
        self.aside.check();
        self.check_seats();
        self.client_ids.check();
        assert_eq!(self.client_ids.len(), self.sessions.len(), "each session has a client id");
        self.index.check();
        self.sessions.check();
        self.departed.check(&self.sessions, &self.index);
        let is_subscribed = |session: SessionKey, filter| {
            (self.sessions.contains(session) || self.departed.contains(session))
                && self.index.options(filter, Subscriber::session(session.index())).is_some()
        };
        self.young.check(is_subscribed);
        self.groups.check();
        self.lending.check(&self.groups);
        self.check_owners();
        self.asked_wills.check();
        assert!(self.retained_bytes <= self.limits.retained_bytes_max, "retained bytes stay within their bound");
        assert!(self.retained.len() <= self.limits.retained_messages_max, "retained messages stay within their bound");
    }

    fn check_session(&self, key: SessionKey, session: &Session) {
        assert_eq!(
            self.find_session(self.client_id(session).as_str()),
            Some(key),
            "each session is found by its client id"
        );
        assert!(session.link().is_some() || session.expiry_s > 0, "a session without connection has time left");
        if let Some(link) = session.link() {
            let connection = self.connections.get(link.connection).expect("a link leads to a connection");
            assert_eq!(connection.session, Some(key), "a link leads to the session's own connection");
        }
        if let Some(outbound) = &session.outbound {
            outbound.check();
            assert!(outbound.own_queued_bytes() <= self.limits.queue_bytes_max, "queued bytes stay within their bound");
        }
        session.extras.received.check();
        session.extras.scans.check();
    }

    fn find_session(&self, client_id: &str) -> Option<SessionKey> {
        let hash = self.seed.hash_bytes(client_id.as_bytes());
        let of = |index: &u32| self.sessions.at(*index).map(|(_, session)| self.client_ids.get(session.client_id));
        let index = self.directory.find(hash, |index| of(index) == Some(client_id))?;
        self.sessions.key_at(*index)
    }

    /// Whose a session is, for who asks.
    fn client_id(&self, session: &Session) -> ClientId<'_> {
        ClientId::Kept(&self.client_ids, session.client_id)
    }

    fn next_session_id(&mut self) -> SessionId {
        self.serial += 1;
        SessionId::new(self.id, self.serial)
    }

    /// Whether every shard, this one included, is this one.
    fn is_alone(&self) -> bool {
        self.homes.shards() == 1
    }

    /// Sends a message to a shard, which may be this one.
    fn tell(&mut self, to: ShardId, letter: Mesh, out: &mut Outputs) {
        if to == self.id {
            self.letters.push_back(letter);
        } else {
            out.mesh[to.index()].push(letter);
        }
    }

    /// The bounds of clients that have come in by this listener.
    fn limits_of(&self, listener: u16) -> &Limits {
        self.own_limits.get(usize::from(listener)).unwrap_or(&self.limits)
    }

    /// The bounds of this client. One that is gone has those of the broker.
    fn limits_for(&self, key: ConnectionKey) -> &Limits {
        self.connections.get(key).map_or(&*self.limits, |connection| self.limits_of(connection.peer.listener))
    }

    /// A bound was met, and what comes of that follows.
    fn reached(&mut self, limit: Limit) {
        self.stats.limits_reached.note(limit);
    }

    fn last_reason(&mut self, reason: Reason) {
        self.stats.last_reason = Some(reason);
    }
}

/// How much of everything a shard holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sizes {
    /// Connections, also those that have not said CONNECT.
    pub connections: usize,
    /// Sessions, connected or not.
    pub sessions: usize,
    /// Subscriptions, a shared group counting as one.
    pub subscriptions: usize,
    /// Retained messages whose home this is.
    pub retained: usize,
    /// Messages that wait on the disk alone.
    pub stowed: usize,
    /// The bytes of all that.
    pub memory: Memory,
}
