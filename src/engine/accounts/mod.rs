//! What is counted across connections and shards: of listeners, addresses and users, how many, how fast, and who fails too often.
//!
//! | file | what |
//! |---|---|
//! | [`terms`] | the bounds |
//! | [`meter`] | how much of something in a second, in one word |
//! | [`table`] | a place for each address, or for each user |
//! | [`key`] | whose place it is |
//! | [`bans`] | failures, and what comes of them |
//! | [`seat`] | what one connection holds, from accept to its end |
//! | [`holding`] | what outlives it: sessions and retained messages of a user |
//! | [`limit`] | which bound was met |
//!
//! Invariants worth naming:
//! - Whatever is held is given back once: by the end of a [`Seat`], a [`SessionSeat`] or a [`RetainedSeat`], and in no other way.
//! - What is counted is exact, over all shards.
//! - What is not bounded costs nothing: no place is held for it, nothing is looked up.
//! - Who finds no place in the table comes in uncounted, and is counted as such: whoever has so many addresses is not stopped by a bound on one.
//! - Users have a table of their own, which no stranger takes a place of: an address costs nothing, a name has to be proven.
//!
//! Not here, and why: the bounds of one client, which its shard keeps alone.

pub mod bans;
pub mod holding;
pub mod key;
pub mod limit;
pub mod meter;
#[cfg(test)]
mod model;
pub mod seat;
pub mod table;
pub mod terms;

use core::net::IpAddr;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::base::hash::Seed;
use crate::base::time::Time;
use crate::engine::connection::Peer;
use holding::{RetainedSeat, SessionSeat};
use limit::SharedLimit;
use seat::Seat;
use table::{Counted, Place, Table, Word};
use terms::Terms;

/// The accounts of one broker, shared by all shards. Atomics only: nobody waits for anybody.
pub struct Accounts {
    terms: Terms,
    seed: Seed,
    broker: Gate,
    listeners: Box<[Gate]>,
    /// Addresses, those of each listener, and their bans.
    addresses: Table,
    users: Table,
    /// No failed proof is remembered any more then, in milliseconds: as long as nobody fails nothing is looked up.
    failing_until: AtomicU64,
    /// Nobody is banned any more then.
    banned_until: AtomicU64,
    /// Clients that were let in although no place was left to count them.
    uncounted: AtomicU64,
}

/// What is counted of the whole broker or of one listener. It has a line of the cache to itself.
#[derive(Debug, Default)]
#[repr(align(64))]
struct Gate {
    connections: AtomicU64,
    connects: AtomicU64,
}

impl Gate {
    fn add(&self, maximum: u64) -> bool {
        let added = self
            .connections
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |count| (count < maximum).then_some(count + 1));
        added.is_ok()
    }

    fn remove(&self) {
        let before = self.connections.fetch_sub(1, Ordering::Relaxed);
        debug_assert!(before > 0, "who goes was counted");
    }
}

/// How it stands at one moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Census {
    /// Addresses that are banned.
    pub banned: u64,
    /// Clients that were let in although no place was left to count them, since the start.
    pub uncounted: u64,
}

impl Accounts {
    /// Nobody is there yet.
    pub fn new(terms: Terms, seed: Seed) -> Self {
        let listeners = terms.listeners.iter().map(|_| Gate::default()).collect();
        let places = |are_counted: bool| if are_counted { terms.accounts_max } else { 0 };
        let (addresses, users) = (places(terms.counts_addresses()), places(terms.counts_users()));
        Self {
            seed,
            broker: Gate::default(),
            listeners,
            addresses: Table::new(addresses),
            users: Table::new(users),
            failing_until: AtomicU64::new(0),
            banned_until: AtomicU64::new(0),
            uncounted: AtomicU64::new(0),
            terms,
        }
    }

    /// A connection has been accepted: its seat, or the bound that is met. Where a proxy says who comes, its address is counted when that
    /// is known.
    pub fn seat(self: &Arc<Self>, peer: Peer, now: Time) -> Result<Seat, SharedLimit> {
        Seat::take(self, peer, now)
    }

    /// One more CONNECT, unless the whole broker has had too many within a second.
    pub fn connect(&self, now: Time) -> Result<(), SharedLimit> {
        meter::take(&self.broker.connects, self.terms.connect_rate, now).map_err(|_wait| SharedLimit::ConnectRate)
    }

    /// A new session of this user; nothing is held where nothing is bounded. One that is there already, after a restart or in the place of
    /// an older one, `is_due` whatever the bound says.
    pub fn session(
        self: &Arc<Self>,
        user: Option<&str>,
        is_due: bool,
        now: Time,
    ) -> Result<Option<SessionSeat>, SharedLimit> {
        let maximum = self.terms.sessions_per_user_max;
        let Some(user) = user.filter(|_| maximum > 0) else { return Ok(None) };
        let Some(place) = self.hold_user(user, now) else { return Ok(None) };
        if self.users.add(place, Counted::Sessions, if is_due { 0 } else { maximum }) {
            return Ok(Some(SessionSeat::new(self, place)));
        }
        self.users.give_back(place);
        Err(SharedLimit::SessionsPerUser)
    }

    /// Whether somebody has to know whose retained messages are.
    pub fn asks_for_owners(&self) -> bool {
        self.terms.counts_retained() || self.terms.are_owners_kept
    }

    /// What a shard counts the retained messages of this user at; none where nothing bounds them.
    pub fn retained(self: &Arc<Self>, user: &str, now: Time) -> Option<RetainedSeat> {
        let place = if self.terms.counts_retained() { self.hold_user(user, now) } else { None };
        place.map(|place| RetainedSeat::new(self, place))
    }

    /// Whether nobody from this address is listened to now.
    pub fn is_banned(&self, address: IpAddr, now: Time) -> bool {
        if self.banned_until.load(Ordering::Relaxed) <= now.as_millis() {
            return false; // as nearly always: nothing is looked up
        }
        let word = self.addresses.read(key::of_address(self.seed, address), Word::Ban);
        word.is_some_and(|word| bans::until(word) > now.as_millis()) && !self.is_exempt(address)
    }

    /// Asked with a ban as well: that of a network of IPv6 is no ban of an address in it that is exempt.
    fn is_exempt(&self, address: IpAddr) -> bool {
        self.terms.bans.exempt.iter().any(|network| network.contains(address))
    }

    /// A proof from this address has failed; for how many milliseconds it is banned, if it is from now on.
    pub fn fail(&self, address: IpAddr, now: Time) -> Option<u64> {
        let terms = &self.terms.bans;
        if terms.failures_max == 0 || self.is_exempt(address) {
            return None;
        }
        let place = self.hold_address(key::of_address(self.seed, address), now)?;
        self.failing_until.fetch_max(now.after_ms(terms.failure_window_ms).as_millis(), Ordering::Relaxed);
        let banned = bans::fail(&self.addresses, place, terms, now);
        if let Some(lasts_ms) = banned {
            self.banned_until.fetch_max(now.after_ms(lasts_ms).as_millis(), Ordering::Relaxed);
        }
        self.addresses.give_back(place);
        banned
    }

    /// A proof from this address has held.
    pub fn succeed(&self, address: IpAddr, now: Time) {
        if self.failing_until.load(Ordering::Relaxed) <= now.as_millis() {
            return;
        }
        if let Some(place) = self.addresses.hold_known(key::of_address(self.seed, address)) {
            bans::make_good(&self.addresses, place, now);
            self.addresses.give_back(place);
        }
    }

    /// How it stands. It goes through the table while somebody is banned, so it is not for a shard.
    pub fn census(&self, now: Time) -> Census {
        let now = now.as_millis();
        let is_anybody_banned = self.banned_until.load(Ordering::Relaxed) > now;
        let banned = |word: &u64| bans::until(*word) > now;
        let banned = if is_anybody_banned { self.addresses.all(Word::Ban).filter(banned).count() as u64 } else { 0 };
        Census { banned, uncounted: self.uncounted.load(Ordering::Relaxed) }
    }

    /// Proves that everybody who is counted is one of these connections, and that so many retained messages of users with so many bytes are
    /// charged to them, once all that were on their way have come or gone.
    ///
    /// # Panics
    /// When somebody was not given back.
    pub fn check(&self, connections: u64, retained: (u64, u64)) {
        let here = self.broker.connections.load(Ordering::Relaxed);
        assert_eq!(here, connections, "each connection is counted once");
        let at_listeners: u64 = self.listeners.iter().map(|gate| gate.connections.load(Ordering::Relaxed)).sum();
        assert!(at_listeners <= connections, "each comes by one listener");
        let (addresses, users) = (self.addresses.sums(), self.users.sums());
        assert!(addresses.connections <= 2 * connections, "each has one address, and comes with it by one listener");
        assert!(addresses.connections <= addresses.held, "who is counted holds a place");
        assert_eq!(addresses.sessions + addresses.retained + addresses.retained_bytes, 0, "these are of users");
        assert!(users.connections <= connections, "each is one user's");
        assert!(users.connections + users.sessions <= users.held, "who is counted holds a place");
        assert_eq!((users.retained, users.retained_bytes), retained, "what is retained is charged once");
    }

    fn hold_address(&self, key: u64, now: Time) -> Option<Place> {
        self.hold(&self.addresses, key, now)
    }

    fn hold_user(&self, user: &str, now: Time) -> Option<Place> {
        self.hold(&self.users, key::of_user(self.seed, user), now)
    }

    fn hold(&self, table: &Table, key: u64, now: Time) -> Option<Place> {
        let place = table.hold(key, now);
        if place.is_none() {
            self.uncounted.fetch_add(1, Ordering::Relaxed);
        }
        place
    }
}

impl fmt::Debug for Accounts {
    /// Without the table, which is long.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Accounts")
            .field("terms", &self.terms)
            .field("addresses", &self.addresses.place_count())
            .field("users", &self.users.place_count())
            .finish_non_exhaustive()
    }
}
