//! What one connection holds of the accounts, from accept to its end: dropping it gives all of it back, once.

use core::fmt;
use core::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use super::limit::SharedLimit;
use super::table::{Counted, Place, Word};
use super::terms::Bounds;
use super::{Accounts, key, meter};
use crate::base::time::Time;
use crate::engine::connection::Peer;

/// The seat of one connection. It moves with it from shard to shard.
pub struct Seat {
    accounts: Arc<Accounts>,
    /// The places of its address, of its address at its listener, and of its user; held, and counted there if the facts say so.
    address: Option<Place>,
    at_listener: Option<Place>,
    user: Option<Place>,
    listener: u16,
    facts: u8,
}

/// What is so of a seat, a bit each: every connection has one, so it is to be small.
#[derive(Clone, Copy)]
#[repr(u8)]
enum Fact {
    /// Somebody counts what it brings.
    Metered = 1,
    /// Its address is its client's; not the proxy's own, and not that of a socket in the file system.
    HasAddress = 2,
    /// It is one of its listener's.
    InListener = 4,
    /// It is one of its address'.
    CountedAtAddress = 8,
    /// It is one of its user's.
    CountedAtUser = 16,
}

const _: () = assert!(size_of::<Option<Seat>>() <= 24, "every connection has one");

impl Seat {
    /// What is held when a bound is met is given back at once, by the end of the seat.
    pub(super) fn take(accounts: &Arc<Accounts>, peer: Peer, now: Time) -> Result<Self, SharedLimit> {
        let listener = accounts.terms.listener(peer.listener);
        let comes_alone = !listener.is_proxied && peer.address != Peer::LOCAL;
        if comes_alone && accounts.is_banned(peer.address.ip(), now) {
            return Err(SharedLimit::Ban); // the cheapest question first: an attack asks it again and again
        }
        if !accounts.broker.add(accounts.terms.connections_max) {
            return Err(SharedLimit::Connections);
        }
        let mut seat = Self {
            accounts: Arc::clone(accounts),
            address: None,
            at_listener: None,
            user: None,
            listener: peer.listener,
            facts: 0,
        };
        if let Some(gate) = accounts.listeners.get(usize::from(peer.listener)) {
            let maximum = if listener.connections_max == 0 { u64::MAX } else { listener.connections_max };
            if !gate.add(maximum) {
                return Err(SharedLimit::ListenerConnections);
            }
            seat.note(Fact::InListener);
            let taken = meter::take(&gate.connects, listener.connect_rate, now);
            taken.map_err(|_wait| SharedLimit::ListenerConnectRate)?;
        }
        if comes_alone {
            seat.sit_at(peer.address.ip(), now)?;
        }
        Ok(seat)
    }

    fn is(&self, fact: Fact) -> bool {
        self.facts & fact as u8 != 0
    }

    fn note(&mut self, fact: Fact) {
        self.facts |= fact as u8;
    }

    /// A proxy has said who comes.
    pub fn introduce(&mut self, address: SocketAddr, now: Time) -> Result<(), SharedLimit> {
        debug_assert!(!self.is(Fact::HasAddress), "nobody comes from two addresses");
        if self.accounts.is_banned(address.ip(), now) {
            return Err(SharedLimit::Ban);
        }
        self.sit_at(address.ip(), now)
    }

    fn sit_at(&mut self, address: IpAddr, now: Time) -> Result<(), SharedLimit> {
        self.note(Fact::HasAddress);
        let accounts = Arc::clone(&self.accounts);
        let bounds = accounts.terms.address;
        if bounds.is_any()
            && let Some(place) = accounts.hold(key::of_address(accounts.seed, address), now)
        {
            self.address = Some(place);
            if bounds.is_metered() {
                self.note(Fact::Metered);
            }
            if !accounts.table.add(place, Counted::Connections, bounds.connections_max) {
                return Err(SharedLimit::ConnectionsPerAddress);
            }
            self.note(Fact::CountedAtAddress);
            let taken = meter::take(accounts.table.word(place, Word::Connects), bounds.connect_rate, now);
            taken.map_err(|_wait| SharedLimit::ConnectRatePerAddress)?;
        }
        let maximum = accounts.terms.listener(self.listener).connections_per_address_max;
        if maximum > 0
            && let Some(place) = accounts.hold(key::of_address_at(accounts.seed, self.listener, address), now)
        {
            if !accounts.table.add(place, Counted::Connections, maximum) {
                accounts.table.give_back(place);
                return Err(SharedLimit::ListenerConnectionsPerAddress);
            }
            self.at_listener = Some(place);
        }
        Ok(())
    }

    /// It has turned out whose connection it is.
    pub fn prove(&mut self, user: &str, now: Time) -> Result<(), SharedLimit> {
        let accounts = Arc::clone(&self.accounts);
        let bounds = accounts.terms.user;
        if !bounds.is_any() || self.user.is_some() {
            return Ok(());
        }
        let Some(place) = accounts.hold(key::of_user(accounts.seed, user), now) else { return Ok(()) };
        self.user = Some(place);
        if bounds.is_metered() {
            self.note(Fact::Metered);
        }
        let taken = meter::take(accounts.table.word(place, Word::Connects), bounds.connect_rate, now);
        taken.map_err(|_wait| SharedLimit::ConnectRatePerUser)
    }

    /// It is to be one of the connections of its user. One that takes the place of another `is_due` whatever the bound says.
    pub fn join(&mut self, is_due: bool) -> Result<(), SharedLimit> {
        let Some(place) = self.user.filter(|_| !self.is(Fact::CountedAtUser)) else { return Ok(()) };
        let maximum = if is_due { 0 } else { self.accounts.terms.user.connections_max };
        if !self.accounts.table.add(place, Counted::Connections, maximum) {
            return Err(SharedLimit::ConnectionsPerUser);
        }
        self.note(Fact::CountedAtUser);
        Ok(())
    }

    /// The address that failures are counted of: none of a proxy that speaks for itself, nor of what comes by a socket in the file system.
    pub fn address(&self, peer: Peer) -> Option<IpAddr> {
        Some(peer.address.ip()).filter(|_| self.is(Fact::HasAddress))
    }

    /// Whether [`Self::charge`] has anything to say.
    pub fn is_metered(&self) -> bool {
        self.is(Fact::Metered)
    }

    /// Charges address and user for what has come; in debt, in how many milliseconds it is paid, and which bounds are met.
    pub fn charge(&self, messages: u32, bytes: u32, now: Time, mut met: impl FnMut(SharedLimit)) -> Option<u64> {
        let terms = &self.accounts.terms;
        let mut wait_ms = None;
        let mut charge = |place: Option<Place>, bounds: Bounds, limits: [SharedLimit; 2]| {
            let Some(place) = place else { return };
            let word = |word| self.accounts.table.word(place, word);
            let charged = [
                meter::charge(word(Word::Messages), bounds.message_rate, messages, now),
                meter::charge(word(Word::Bytes), bounds.byte_rate, bytes, now),
            ];
            for (charged, limit) in charged.into_iter().zip(limits) {
                if let Err(debt_ms) = charged {
                    wait_ms = wait_ms.max(Some(debt_ms));
                    met(limit);
                }
            }
        };
        charge(self.address, terms.address, [SharedLimit::MessageRatePerAddress, SharedLimit::ByteRatePerAddress]);
        charge(self.user, terms.user, [SharedLimit::MessageRatePerUser, SharedLimit::ByteRatePerUser]);
        wait_ms
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        let Accounts { broker, listeners, table, .. } = &*self.accounts;
        let counted = [
            (self.address, self.is(Fact::CountedAtAddress)),
            (self.user, self.is(Fact::CountedAtUser)),
            (self.at_listener, true),
        ];
        for (place, is_counted) in counted {
            let Some(place) = place else { continue };
            if is_counted {
                table.remove(place, Counted::Connections);
            }
            table.give_back(place);
        }
        if self.is(Fact::InListener) {
            listeners[usize::from(self.listener)].remove();
        }
        broker.remove();
    }
}

impl fmt::Debug for Seat {
    /// Without the accounts.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Seat")
            .field("listener", &self.listener)
            .field("address", &self.address)
            .field("user", &self.user)
            .finish_non_exhaustive()
    }
}

/// What one session holds of its user's account.
pub struct SessionSeat {
    accounts: Arc<Accounts>,
    place: Place,
}

impl SessionSeat {
    pub(super) fn new(accounts: &Arc<Accounts>, place: Place) -> Self {
        Self { accounts: Arc::clone(accounts), place }
    }
}

impl Drop for SessionSeat {
    fn drop(&mut self) {
        self.accounts.table.remove(self.place, Counted::Sessions);
        self.accounts.table.give_back(self.place);
    }
}

impl fmt::Debug for SessionSeat {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_tuple("SessionSeat").field(&self.place).finish()
    }
}
