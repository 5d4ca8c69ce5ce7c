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
    listener: u16,
    /// Somebody counts what it brings.
    is_metered: bool,
    /// Whose address it is; `false` for the proxy's own, and for what comes by a socket in the file system.
    has_address: bool,
    is_in_listener: bool,
    address: Option<Counting>,
    at_listener: Option<Place>,
    user: Option<Counting>,
}

/// A place, and whether the connection is one of those that are counted there.
#[derive(Clone, Copy, Debug)]
struct Counting {
    place: Place,
    is_counted: bool,
}

const _: () = assert!(size_of::<Option<Seat>>() <= 40, "every connection has one");

impl Seat {
    /// What is held when a bound is met is given back at once, by the end of the seat.
    pub(super) fn take(accounts: &Arc<Accounts>, peer: Peer, now: Time) -> Result<Self, SharedLimit> {
        let listener = accounts.terms.listener(peer.listener);
        if !listener.is_proxied && accounts.is_banned(peer.address.ip(), now) {
            return Err(SharedLimit::Ban); // the cheapest question first: an attack asks it again and again
        }
        if !accounts.broker.add(accounts.terms.connections_max) {
            return Err(SharedLimit::Connections);
        }
        let mut seat = Self {
            accounts: Arc::clone(accounts),
            listener: peer.listener,
            is_metered: false,
            has_address: false,
            is_in_listener: false,
            address: None,
            at_listener: None,
            user: None,
        };
        if let Some(gate) = accounts.listeners.get(usize::from(peer.listener)) {
            let maximum = if listener.connections_max == 0 { u64::MAX } else { listener.connections_max };
            seat.is_in_listener = gate.add(maximum);
            if !seat.is_in_listener {
                return Err(SharedLimit::ListenerConnections);
            }
            let taken = meter::take(&gate.connects, listener.connect_rate, now);
            taken.map_err(|_wait| SharedLimit::ListenerConnectRate)?;
        }
        if !listener.is_proxied && peer.address != Peer::LOCAL {
            seat.sit_at(peer.address.ip(), now)?;
        }
        Ok(seat)
    }

    /// A proxy has said who comes.
    pub fn introduce(&mut self, address: SocketAddr, now: Time) -> Result<(), SharedLimit> {
        debug_assert!(!self.has_address, "nobody comes from two addresses");
        if self.accounts.is_banned(address.ip(), now) {
            return Err(SharedLimit::Ban);
        }
        self.sit_at(address.ip(), now)
    }

    fn sit_at(&mut self, address: IpAddr, now: Time) -> Result<(), SharedLimit> {
        self.has_address = true;
        let accounts = Arc::clone(&self.accounts);
        let bounds = accounts.terms.address;
        if bounds.is_any()
            && let Some(place) = accounts.hold(key::of_address(accounts.seed, address), now)
        {
            let is_counted = accounts.table.add(place, Counted::Connections, bounds.connections_max);
            self.address = Some(Counting { place, is_counted });
            self.is_metered |= bounds.is_metered();
            if !is_counted {
                return Err(SharedLimit::ConnectionsPerAddress);
            }
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
        self.user = Some(Counting { place, is_counted: false });
        self.is_metered |= bounds.is_metered();
        let taken = meter::take(accounts.table.word(place, Word::Connects), bounds.connect_rate, now);
        taken.map_err(|_wait| SharedLimit::ConnectRatePerUser)
    }

    /// It is to be one of the connections of its user. One that takes the place of another `is_due` whatever the bound says.
    pub fn join(&mut self, is_due: bool) -> Result<(), SharedLimit> {
        let Some(user) = self.user.as_mut().filter(|user| !user.is_counted) else { return Ok(()) };
        let maximum = if is_due { 0 } else { self.accounts.terms.user.connections_max };
        user.is_counted = self.accounts.table.add(user.place, Counted::Connections, maximum);
        if user.is_counted { Ok(()) } else { Err(SharedLimit::ConnectionsPerUser) }
    }

    /// The address that failures are counted of: none of a proxy that speaks for itself, nor of what comes by a socket in the file system.
    pub fn address(&self, peer: Peer) -> Option<IpAddr> {
        Some(peer.address.ip()).filter(|_| self.has_address)
    }

    /// Whether [`Self::charge`] has anything to say.
    pub fn is_metered(&self) -> bool {
        self.is_metered
    }

    /// Charges address and user for what has come; in debt, in how many milliseconds it is paid, and which bounds are met.
    pub fn charge(&self, messages: u32, bytes: u32, now: Time, mut met: impl FnMut(SharedLimit)) -> Option<u64> {
        let terms = &self.accounts.terms;
        let mut wait_ms = None;
        let mut charge = |counting: Option<Counting>, bounds: Bounds, limits: [SharedLimit; 2]| {
            let Some(Counting { place, .. }) = counting else { return };
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
        for Counting { place, is_counted } in [self.address, self.user].into_iter().flatten() {
            if is_counted {
                table.remove(place, Counted::Connections);
            }
            table.give_back(place);
        }
        if let Some(place) = self.at_listener {
            table.remove(place, Counted::Connections);
            table.give_back(place);
        }
        if self.is_in_listener {
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
