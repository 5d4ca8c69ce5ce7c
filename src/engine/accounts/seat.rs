//! What one connection holds of the accounts, from accept to its end: dropping it gives all of it back, once.

use core::fmt;
use core::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use super::limit::SharedLimit;
use super::table::{Counted, Place, Word};
use super::terms::{Bounds, Way};
use super::{Accounts, key, meter};
use crate::base::time::Time;
use crate::engine::connection::Peer;

/// The seat of one connection. It moves with it from shard to shard.
pub struct Seat {
    accounts: Arc<Accounts>,
    /// The places of its address and of its address at its listener; held, and counted there if the facts say so.
    address: Option<Place>,
    at_listener: Option<Place>,
    /// That of its user, in the other table.
    user: Option<Place>,
    listener: u16,
    facts: u8,
}

/// What is so of a seat, a bit each: every connection has one, so it is to be small.
#[derive(Clone, Copy)]
#[repr(u8)]
enum Fact {
    /// What it brings is charged to others, too.
    MeteredIn = 1,
    /// Its address is its client's; not the proxy's own, and not that of a socket in the file system.
    HasAddress = 2,
    /// It is one of its listener's.
    InListener = 4,
    /// It is one of its address'.
    CountedAtAddress = 8,
    /// It is one of its user's.
    CountedAtUser = 16,
    /// What it is sent is charged to others, too.
    MeteredOut = 32,
    /// It has proven whose connection it is.
    Proven = 64,
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
            && let Some(place) = accounts.hold_address(key::of_address(accounts.seed, address), now)
        {
            self.address = Some(place);
            self.note_meters(bounds);
            if !accounts.addresses.add(place, Counted::Connections, bounds.connections_max) {
                return Err(SharedLimit::ConnectionsPerAddress);
            }
            self.note(Fact::CountedAtAddress);
            let taken = meter::take(accounts.addresses.word(place, Word::Connects), bounds.connect_rate, now);
            taken.map_err(|_wait| SharedLimit::ConnectRatePerAddress)?;
        }
        let maximum = accounts.terms.listener(self.listener).connections_per_address_max;
        if maximum > 0
            && let Some(place) = accounts.hold_address(key::of_address_at(accounts.seed, self.listener, address), now)
        {
            if !accounts.addresses.add(place, Counted::Connections, maximum) {
                accounts.addresses.give_back(place);
                return Err(SharedLimit::ListenerConnectionsPerAddress);
            }
            self.at_listener = Some(place);
        }
        Ok(())
    }

    fn note_meters(&mut self, bounds: Bounds) {
        for (way, fact) in [(Way::In, Fact::MeteredIn), (Way::Out, Fact::MeteredOut)] {
            if bounds.is_metered(way) {
                self.note(fact);
            }
        }
    }

    /// Whether it has turned out whose connection it is.
    pub fn is_proven(&self) -> bool {
        self.is(Fact::Proven)
    }

    /// It has turned out whose connection it is. One proof counts once, however often it is spoken of.
    pub fn prove(&mut self, user: &str, now: Time) -> Result<(), SharedLimit> {
        if self.is_proven() {
            return Ok(());
        }
        self.note(Fact::Proven);
        let accounts = Arc::clone(&self.accounts);
        let bounds = accounts.terms.user;
        if !bounds.is_any() {
            return Ok(());
        }
        let Some(place) = accounts.hold_user(user, now) else { return Ok(()) };
        self.user = Some(place);
        self.note_meters(bounds);
        let taken = meter::take(accounts.users.word(place, Word::Connects), bounds.connect_rate, now);
        taken.map_err(|_wait| SharedLimit::ConnectRatePerUser)
    }

    /// It is to be one of the connections of its user. One that takes the place of another `is_due` whatever the bound says.
    pub fn join(&mut self, is_due: bool) -> Result<(), SharedLimit> {
        let Some(place) = self.user.filter(|_| !self.is(Fact::CountedAtUser)) else { return Ok(()) };
        let maximum = if is_due { 0 } else { self.accounts.terms.user.connections_max };
        if !self.accounts.users.add(place, Counted::Connections, maximum) {
            return Err(SharedLimit::ConnectionsPerUser);
        }
        self.note(Fact::CountedAtUser);
        Ok(())
    }

    /// The address that failures are counted of: none of a proxy that speaks for itself, nor of what comes by a socket in the file system.
    pub fn address(&self, peer: Peer) -> Option<IpAddr> {
        Some(peer.address.ip()).filter(|_| self.is(Fact::HasAddress))
    }

    /// Whether [`Self::charge`] has anything to say about what goes this way.
    pub fn is_metered(&self, way: Way) -> bool {
        self.is(match way {
            Way::In => Fact::MeteredIn,
            Way::Out => Fact::MeteredOut,
        })
    }

    /// Charges address and user for what has come or gone; in debt, in how many milliseconds it is paid, and which bounds are met.
    pub fn charge(
        &self,
        way: Way,
        messages: u32,
        bytes: u32,
        now: Time,
        mut met: impl FnMut(SharedLimit),
    ) -> Option<u64> {
        let mut wait_ms = None;
        for Meter { word, rate, unit, limit } in self.meters(way) {
            let count = match unit {
                Unit::Messages => messages,
                Unit::Bytes => bytes,
            };
            if let Err(debt_ms) = meter::charge(word, rate, count, now) {
                wait_ms = wait_ms.max(Some(debt_ms));
                met(limit);
            }
        }
        wait_ms
    }

    /// In how many milliseconds address and user have paid for what others have brought or were sent, and which bounds they have met.
    pub fn debt(&self, way: Way, now: Time, mut met: impl FnMut(SharedLimit)) -> Option<u64> {
        let mut wait_ms = None;
        for Meter { word, limit, .. } in self.meters(way) {
            if let Err(debt_ms) = meter::debt(word, now) {
                wait_ms = wait_ms.max(Some(debt_ms));
                met(limit);
            }
        }
        wait_ms
    }

    /// What is metered at its places.
    fn meters(&self, way: Way) -> impl Iterator<Item = Meter<'_>> {
        let Accounts { terms, addresses, users, .. } = &*self.accounts;
        let (words, [address, user]) = match way {
            Way::In => ([Word::Messages, Word::Bytes], IN),
            Way::Out => ([Word::MessagesOut, Word::BytesOut], OUT),
        };
        let at = [(self.address, addresses, terms.address, address), (self.user, users, terms.user, user)];
        at.into_iter().filter_map(|(place, table, bounds, limits)| Some((place?, table, bounds, limits))).flat_map(
            move |(place, table, bounds, limits)| {
                let [messages, bytes] = words.map(|word| table.word(place, word));
                let rates = bounds.rates(way);
                [
                    Meter { word: messages, rate: rates[0], unit: Unit::Messages, limit: limits[0] },
                    Meter { word: bytes, rate: rates[1], unit: Unit::Bytes, limit: limits[1] },
                ]
            },
        )
    }
}

/// One meter that a connection is charged at.
struct Meter<'a> {
    word: &'a AtomicU64,
    rate: u32,
    unit: Unit,
    limit: SharedLimit,
}

enum Unit {
    Messages,
    Bytes,
}

/// The bounds of addresses and those of users: on messages and on bytes that come.
const IN: [[SharedLimit; 2]; 2] = [
    [SharedLimit::MessageRatePerAddress, SharedLimit::ByteRatePerAddress],
    [SharedLimit::MessageRatePerUser, SharedLimit::ByteRatePerUser],
];
/// The same on what goes.
const OUT: [[SharedLimit; 2]; 2] = [
    [SharedLimit::MessageRateOutPerAddress, SharedLimit::ByteRateOutPerAddress],
    [SharedLimit::MessageRateOutPerUser, SharedLimit::ByteRateOutPerUser],
];

impl Drop for Seat {
    fn drop(&mut self) {
        let Accounts { broker, listeners, addresses, users, .. } = &*self.accounts;
        let counted = [
            (self.address, addresses, self.is(Fact::CountedAtAddress)),
            (self.at_listener, addresses, true),
            (self.user, users, self.is(Fact::CountedAtUser)),
        ];
        for (place, table, is_counted) in counted {
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
