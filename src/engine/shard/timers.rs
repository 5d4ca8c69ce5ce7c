//! Time passes: silent clients, ended sessions, due wills, put-off work.
//!
//! What ends leaves a will, and a will may be for very many. So what is due stands in line, and each tick serves as much of it as an input may cause.

use std::collections::VecDeque;

use super::Shard;
use crate::base::time::{Tick, Time};
use crate::base::wheel::{Look, Swept};
use crate::engine::connection::{ConnectionKey, Hold};
use crate::engine::event::Cause;
use crate::engine::limits::SWEEP_ENTRIES_MAX;
use crate::engine::output::Outputs;
use crate::engine::quota::Meter;
use crate::engine::session::SessionKey;
use crate::engine::stats::Limit;
use crate::engine::subscriptions::shared::GroupKey;
use crate::mqtt::Reason;

/// What is due and has not been served. One per shard.
#[derive(Debug, Default)]
pub(super) struct Due {
    /// Connections whose time was over when their wheel was swept. It is swept again when none is left, so there are no more than a sweep finds.
    connections: VecDeque<ConnectionKey>,
    /// The same of sessions.
    sessions: VecDeque<SessionKey>,
    /// Connections that end because the broker stops.
    pub(super) leaving: VecDeque<ConnectionKey>,
    /// Groups that hand out what waits for members behind a way that has room again.
    pub(super) groups: VecDeque<GroupKey>,
}

impl Due {
    /// Proves that no more stands in line than may.
    ///
    /// # Panics
    /// When it is not so.
    pub(super) fn check(&self) {
        assert!(self.connections.len() <= SWEEP_ENTRIES_MAX, "no more connections are due than a sweep finds");
        assert!(self.sessions.len() <= SWEEP_ENTRIES_MAX, "no more sessions are due than a sweep finds");
    }
}

impl Shard {
    /// Sweeps the wheels, serves the next piece of a fan-out, cleans up a little.
    pub(super) fn tick(&mut self, now: Time, out: &mut Outputs) {
        // Of the copies that are left, each of these five leaves half to those behind it, the last thing that it does excepted.
        let more_reviews = self.go_on_reviewing(now, out);
        let more_leaving = self.go_on_leaving(now, out);
        let more_bequests = self.bequeath_again(now, out);
        let more_connections = self.sweep_connections(now, out);
        let more_sessions = self.sweep_sessions(now, out);
        if !self.pressure.is_wide_full {
            self.go_on_with_fanout(now, out);
        }
        self.go_on_with_aside(now, out);
        self.go_on_with_groups(now, out);
        self.go_on_with_departed();
        let more_quotas = self.sweep_quotas(now);
        let more_rates = self.sweep_rates(now, out);
        self.look_at_asked_wills(now, out);
        self.sweep_backlogs(now, out);
        self.sweep_retained(now, out);
        if self.declared.wants_everything() {
            self.declared.retry(&self.interest);
        }
        let more_sessions = more_sessions || more_bequests;
        if more_reviews || more_leaving || more_connections || more_sessions || more_quotas || more_rates {
            out.wake_at = Some(now);
        }
    }

    /// When a tick is due next, for a shell that is about to sleep; `None` while nothing is scheduled.
    pub fn next_due(&self, now: Time) -> Option<Time> {
        let connections = self.connection_wheel.next_due_hint(now);
        let sessions = if self.awaits_others() { None } else { self.session_wheel.next_due_hint(now) };
        let quotas = self.quota_wheel.next_due_hint(now);
        let rates = self.rate_wheel.next_due_hint(now);
        let others = [self.pressure.next_look(), self.asked_wills.next_look()];
        [connections, sessions, quotas, rates].into_iter().chain(others).flatten().min()
    }

    fn sweep_connections(&mut self, now: Time, out: &mut Outputs) -> bool {
        let mut has_more = false;
        if self.due.connections.is_empty() {
            let (connections, due) = (&mut self.connections, &mut self.due.connections);
            let reach = self.connection_wheel.reach();
            let swept: Swept = self.connection_wheel.advance(now, SWEEP_ENTRIES_MAX, |key| {
                let Some(connection) = connections.get_mut(key) else { return Look::Gone };
                look(connection.deadline(), &mut connection.looked_at, now, reach, || due.push_back(key))
            });
            has_more = swept.has_more;
        }
        let reserve = self.reserve();
        while self.may_cause_more(reserve)
            && let Some(key) = self.due.connections.pop_front()
        {
            self.charge(1);
            self.connection_due(key, now, out);
        }
        has_more || !self.due.connections.is_empty()
    }

    /// Clients whose quota has filled up are read again.
    fn sweep_quotas(&mut self, now: Time) -> bool {
        let mut due: Vec<ConnectionKey> = Vec::new();
        let connections = &mut self.connections;
        let swept: Swept = self.quota_wheel.advance(now, SWEEP_ENTRIES_MAX, |key| {
            let extras = connections.get_mut(key).and_then(|connection| connection.extras.as_mut());
            let Some(extras) = extras else { return Look::Gone };
            look_at_pause(extras.taken.as_deref_mut(), now, || due.push(key))
        });
        for key in due {
            self.release(key, Hold::Quota, now);
        }
        swept.has_more
    }

    /// Receivers that were above their rate get more.
    fn sweep_rates(&mut self, now: Time, out: &mut Outputs) -> bool {
        let mut due: Vec<ConnectionKey> = Vec::new();
        let connections = &mut self.connections;
        let swept: Swept = self.rate_wheel.advance(now, SWEEP_ENTRIES_MAX, |key| {
            let extras = connections.get_mut(key).and_then(|connection| connection.extras.as_mut());
            let Some(extras) = extras else { return Look::Gone };
            look_at_pause(extras.given.as_deref_mut(), now, || due.push(key))
        });
        for key in due {
            self.give_again(key, now, out);
            self.draw_again(key, now, out);
        }
        swept.has_more
    }

    /// Makes sure that a connection is looked at when its time is over.
    pub(super) fn look_at_connection(&mut self, key: ConnectionKey) {
        let Some(connection) = self.connections.get_mut(key) else { return };
        let deadline = connection.deadline();
        if let Some(at) = earlier_look(deadline, &mut connection.looked_at, self.connection_wheel.reach()) {
            self.connection_wheel.schedule(key, at);
        }
    }

    /// Makes sure that a session is looked at when its time is over.
    pub(super) fn look_at_session(&mut self, key: SessionKey) {
        let Some(session) = self.sessions.get_mut(key) else { return };
        let deadline = session.deadline();
        if let Some(at) = earlier_look(deadline, &mut session.looked_at, self.session_wheel.reach()) {
            self.session_wheel.schedule(key, at);
        }
    }

    /// The end of the handshake's time, of the client's, or of what it has proven.
    fn connection_due(&mut self, key: ConnectionKey, now: Time, out: &mut Outputs) {
        let Some(connection) = self.connections.get_mut(key) else { return };
        if connection.is_held() && connection.is_connected() {
            // We do not listen, so its silence says nothing.
            connection.last_received = now;
        }
        if connection.deadline() > now {
            return self.look_at_connection(key);
        }
        let is_expired = now.has_passed(connection.proven_until.time());
        let is_stalled = connection.stalls_at().is_some_and(|stalls_at| now.has_passed(stalls_at));
        if self.is_in_handshake(key) {
            self.reached(Limit::ConnectTimeout);
            self.end(key, Cause::HandshakeTimeout, now, out);
        } else if is_expired {
            self.stats.identities_expired += 1;
            // "The maximum connection time authorized for this connection has been exceeded": who comes with a new proof is welcome.
            self.say_goodbye(key, Reason::MaximumConnectTime, None, out);
            self.end(key, Cause::Expired, now, out);
        } else if is_stalled {
            self.reached(Limit::ReadStall);
            self.say_goodbye(key, Reason::UnspecifiedError, None, out);
            self.end(key, Cause::ReadStall, now, out);
        } else {
            self.stats.keep_alive_timeouts += 1;
            self.say_goodbye(key, Reason::KeepAliveTimeout, None, out);
            self.end(key, Cause::KeepAlive, now, out); // [MQTT-3.1.2-22]
        }
    }

    pub(super) fn sweep_sessions(&mut self, now: Time, out: &mut Outputs) -> bool {
        if self.awaits_others() {
            return false;
        }
        let mut has_more = false;
        if self.due.sessions.is_empty() {
            let (sessions, due) = (&mut self.sessions, &mut self.due.sessions);
            let reach = self.session_wheel.reach();
            let swept: Swept = self.session_wheel.advance(now, SWEEP_ENTRIES_MAX, |key| {
                let Some(session) = sessions.get_mut(key) else { return Look::Gone };
                look(session.deadline(), &mut session.looked_at, now, reach, || due.push_back(key))
            });
            has_more = swept.has_more;
        }
        let reserve = self.reserve();
        while self.may_cause_more(reserve)
            && let Some(key) = self.due.sessions.pop_front()
        {
            self.charge(1);
            self.session_due(key, now, out);
        }
        has_more || !self.due.sessions.is_empty()
    }

    fn session_due(&mut self, key: SessionKey, now: Time, out: &mut Outputs) {
        self.publish_due_will(key, now, out);
        let Some(session) = self.sessions.get(key) else { return };
        if session.ends_at() <= now {
            self.stats.sessions_expired += 1;
            self.end_session(key, now, out);
        } else {
            self.look_at_session(key);
        }
    }
}

/// Looks at an entry for the end of a pause.
fn look_at_pause(meter: Option<&mut Meter>, now: Time, fire: impl FnOnce()) -> Look {
    let Some((meter, until)) = meter.and_then(|meter| meter.until.map(|until| (meter, until))) else {
        return Look::Gone;
    };
    if until > now {
        return Look::At(until);
    }
    meter.until = None;
    fire();
    Look::Fired
}

/// Looks at an entry of a wheel. Of several entries for one object only the one that it knows of counts, so that a
/// deadline that moved nearer and back leaves none behind.
fn look(deadline: Time, looked_at: &mut Tick, now: Time, reach: Time, fire: impl FnOnce()) -> Look {
    if now < looked_at.time() {
        return Look::Gone; // a later entry is under way
    }
    if deadline <= now {
        *looked_at = Tick::NEVER;
        fire();
        return Look::Fired;
    }
    *looked_at = within(deadline, reach);
    if deadline == Time::NEVER { Look::Gone } else { Look::At(looked_at.time()) }
}

/// When an entry has to be made for a deadline, unless one that comes early enough is under way.
fn earlier_look(deadline: Time, looked_at: &mut Tick, reach: Time) -> Option<Time> {
    let at = within(deadline, reach);
    if at >= *looked_at {
        return None;
    }
    *looked_at = at;
    Some(at.time())
}

/// Entries beyond the reach of a wheel would be looked at early and not be known: they are placed where it ends.
fn within(deadline: Time, reach: Time) -> Tick {
    if deadline == Time::NEVER { Tick::NEVER } else { Tick::not_before(deadline.min(reach)) }
}
