//! What a shard counts together with the others: seats of connections and sessions, what they bring, failed proofs and bans.

use core::net::SocketAddr;

use super::Shard;
use super::receive::Flow;
use crate::base::time::Time;
use crate::engine::accounts::holding::SessionSeat;
use crate::engine::accounts::limit::SharedLimit;
use crate::engine::accounts::seat::Seat;
use crate::engine::auth::identity::Identity;
use crate::engine::connection::{Connection, ConnectionKey, Peer};
use crate::engine::event::{Cause, Event};
use crate::engine::output::Outputs;
use crate::engine::session::SessionKey;
use crate::mqtt::{Reason, Version};

impl Shard {
    /// The seat of a connection that has just come; none if it is one too many.
    pub(super) fn seat(&mut self, peer: Peer, now: Time) -> Option<Seat> {
        match self.accounts.seat(peer, now) {
            Ok(seat) => Some(seat),
            Err(limit) => {
                self.stats.connects_refused += 1;
                self.stats.shared_limits_reached.count(limit);
                None
            }
        }
    }

    /// A proxy has said from where a connection comes. Nothing of it has been looked at yet, and nothing is if it is one too many.
    pub(super) fn seat_at(&mut self, key: ConnectionKey, address: SocketAddr, now: Time, out: &mut Outputs) {
        let Some(seat) = self.connections.get_mut(key).and_then(|connection| connection.seat.as_mut()) else { return };
        let Err(limit) = seat.introduce(address, now) else { return };
        self.stats.connects_refused += 1;
        self.stats.shared_limits_reached.count(limit);
        self.end(key, Cause::Refused(limit.reason()), now, out);
    }

    /// Whether a CONNECT is looked at. A ban may have come since the connection did: then no hash is spent on it.
    pub(super) fn may_ask(&mut self, key: ConnectionKey, now: Time) -> Result<(), SharedLimit> {
        let address = self.connections.get(key).and_then(Connection::accountable_address);
        if address.is_some_and(|address| self.accounts.is_banned(address, now)) {
            return Err(SharedLimit::Ban);
        }
        self.accounts.connect(now)
    }

    /// Refuses a connection because of a bound on what is counted across connections.
    pub(super) fn refuse_for(
        &mut self,
        key: ConnectionKey,
        version: Version,
        limit: SharedLimit,
        now: Time,
        out: &mut Outputs,
    ) -> Flow {
        self.stats.shared_limits_reached.count(limit);
        self.refuse(key, Some(version), limit.reason(), now, out)
    }

    /// It is proven who a client is: that speaks for its address, and is charged to the user, once for a connection. Admission comes by here
    /// again after each late answer.
    pub(super) fn proof_holds(&mut self, key: ConnectionKey, who: &Identity, now: Time) -> Result<(), SharedLimit> {
        let Some(user) = &who.user else { return Ok(()) };
        let Some(connection) = self.connections.get_mut(key) else { return Ok(()) };
        let is_again = connection.seat.as_ref().is_some_and(Seat::is_proven);
        if let Some(address) = connection.accountable_address() {
            // Of guesses that were under way together the one that holds is not to come through when the others have brought a ban.
            if self.accounts.is_banned(address, now) {
                return Err(SharedLimit::Ban);
            }
            if !is_again {
                self.accounts.succeed(address, now);
            }
        }
        connection.seat.as_mut().map_or(Ok(()), |seat| seat.prove(user, now))
    }

    /// What a client has offered as proof does not hold. That nobody could look at it is no failure.
    pub(super) fn proof_failed(&mut self, key: ConnectionKey, reason: Reason, now: Time, out: &mut Outputs) {
        if !matches!(reason, Reason::BadUserNameOrPassword | Reason::NotAuthorized) {
            return;
        }
        self.stats.proofs_failed += 1;
        let Some(address) = self.connections.get(key).and_then(Connection::accountable_address) else { return };
        if let Some(lasts_ms) = self.accounts.fail(address, now) {
            self.stats.bans += 1;
            out.events.push(Event::Banned { address, lasts_ms });
        }
    }

    /// Whether a connection has shown a certificate.
    pub(super) fn has_certificate(&self, key: ConnectionKey) -> bool {
        self.connections.get(key).is_some_and(|connection| connection.certificate.is_some())
    }

    /// Before anything of a session is touched: its connection becomes one of its user's, and a session that is not there yet is counted. Who
    /// takes a connection over, or comes back to a session, adds none.
    pub(super) fn seat_session(
        &mut self,
        key: ConnectionKey,
        known: Option<SessionKey>,
        who: &Identity,
        now: Time,
    ) -> Result<Option<SessionSeat>, SharedLimit> {
        let is_takeover = known.and_then(|known| self.sessions.get(known)).is_some_and(|known| known.link().is_some());
        if let Some(seat) = self.connections.get_mut(key).and_then(|connection| connection.seat.as_mut()) {
            seat.join(is_takeover)?;
        }
        if known.is_some() { Ok(None) } else { self.accounts.session(who.user.as_deref(), false, now) }
    }

    /// A session that is there already is counted for its user.
    pub(super) fn count_session(&mut self, key: SessionKey, owner: &Identity, now: Time) {
        let counted = self.accounts.session(owner.user.as_deref(), true, now);
        if let Some(seat) = counted.expect("what is due meets no bound") {
            self.session_seats.insert(key, seat);
        }
    }

    /// Proves that every seat belongs to somebody.
    pub(super) fn check_seats(&self) {
        assert!(self.connections.iter().all(|(_, connection)| connection.seat.is_some()), "who is here has a seat");
        assert!(self.session_seats.keys().all(|key| self.sessions.get(*key).is_some()), "a seat belongs to a session");
    }
}
