//! Receivers with a rate: each is charged for what it is sent, and with it the user and the address that it shares rates with.
//!
//! Who is above a rate is sent no more until a wheel says so. A rate that others have used up is used up for all: whoever is to be sent something
//! then waits for it as if it had been sent that itself. Who shares a rate is let go a little later, at random: in the same order each time the
//! first would take all that there is.

use super::Shard;
use crate::base::time::{Tick, Time};
use crate::engine::accounts::terms::Way;
use crate::engine::connection::ConnectionKey;
use crate::engine::output::Outputs;
use crate::engine::session::{Link, Rate, Session, SessionKey};

/// By so much later, at random, those are let go who share a rate. With a tick it is less than the second that a rate saves up: nothing is lost.
const SPREAD_MS: u64 = 500;
const _: () = assert!(SPREAD_MS + (Tick::MS as u64) < 1_000, "whoever comes finds what was saved up");

impl Shard {
    /// A receiver was sent a message. One that is metered and above its rate now gets no more until the wheel says so.
    pub(super) fn charge_receiver(&mut self, key: SessionKey, link: &Link, bytes: u32, now: Time) {
        if !link.is_metered() {
            return;
        }
        let Some(connection) = self.connections.get_mut(link.connection) else { return };
        let is_new = link.rate != Rate::Above;
        let reached = &mut self.stats.shared_limits_reached;
        let seat = connection.seat.as_ref().filter(|seat| seat.is_metered(Way::Out));
        let shared_ms = seat.and_then(|seat| {
            seat.charge(Way::Out, 1, bytes, now, |limit| {
                if is_new {
                    reached.count(limit);
                }
            })
        });
        let Some(meter) = connection.extras.as_mut().and_then(|extras| extras.given.as_mut()) else { return };
        let limit = meter.charge(1, bytes as usize, now);
        if let Some(wait_ms) = shared_ms {
            meter.pause(now.after_ms(wait_ms.max(1) + self.random.below(SPREAD_MS)));
        }
        if limit.is_none() && shared_ms.is_none() {
            return;
        }
        let until = meter.until.expect("a pause has begun");
        if self.close_for_rate(key, link.connection, until)
            && let Some(limit) = limit
        {
            self.reached(limit);
        }
    }

    /// Whether a receiver may not be sent more now: it is above its rate, or those with whom it shares one are.
    pub(super) fn is_above_rate(&mut self, key: SessionKey, link: &Link, now: Time) -> bool {
        match link.rate {
            Rate::Free => false,
            Rate::Above => true,
            Rate::Within => self.pauses_with_others(key, link, now),
        }
    }

    fn pauses_with_others(&mut self, key: SessionKey, link: &Link, now: Time) -> bool {
        let Some(connection) = self.connections.get_mut(link.connection) else { return false };
        let reached = &mut self.stats.shared_limits_reached;
        let seat = connection.seat.as_ref().filter(|seat| seat.is_metered(Way::Out));
        let debt_ms = seat.and_then(|seat| seat.debt(Way::Out, now, |limit| reached.count(limit)));
        let Some(debt_ms) = debt_ms else { return false };
        let Some(meter) = connection.extras.as_mut().and_then(|extras| extras.given.as_mut()) else { return false };
        meter.pause(now.after_ms(debt_ms + self.random.below(SPREAD_MS)));
        let until = meter.until.expect("a pause has begun");
        self.close_for_rate(key, link.connection, until);
        true
    }

    /// Whether a session has something to send that has to wait for a rate.
    pub(super) fn waits_for_rate(&mut self, key: SessionKey, now: Time) -> bool {
        let Some(session) = self.sessions.get(key) else { return false };
        let Some(link) = session.link().filter(Link::is_metered) else { return false };
        let has_more = session.outbound.as_ref().is_some_and(|outbound| !outbound.is_empty());
        has_more && self.is_above_rate(key, &link, now)
    }

    /// A receiver gets no more until then; whether that is new.
    fn close_for_rate(&mut self, key: SessionKey, connection: ConnectionKey, until: Time) -> bool {
        let Some(link) = self.sessions.get_mut(key).and_then(Session::link_mut) else { return false };
        let is_new = std::mem::replace(&mut link.rate, Rate::Above) != Rate::Above;
        if is_new {
            self.rate_wheel.schedule(connection, until);
        }
        is_new
    }

    /// The pause of a receiver that was above its rate is over.
    pub(super) fn give_again(&mut self, key: ConnectionKey, now: Time, out: &mut Outputs) {
        let Some(session) = self.connections.get(key).and_then(|connection| connection.session) else { return };
        let Some(link) = self.sessions.get_mut(session).and_then(Session::link_mut) else { return };
        link.rate = Rate::Within;
        self.room_in_window(session, now, out);
    }
}
