//! Time passes: silent clients, ended sessions, due wills, put-off work.

use super::Shard;
use crate::base::time::Time;
use crate::base::wheel::{Look, Swept};
use crate::engine::connection::{ConnectionKey, Hold};
use crate::engine::event::Cause;
use crate::engine::limits::SWEEP_ENTRIES_MAX;
use crate::engine::output::Outputs;
use crate::engine::session::SessionKey;
use crate::mqtt::Reason;

impl Shard {
    /// Sweeps the wheels, serves the next piece of a fan-out, cleans up a little.
    pub(super) fn tick(&mut self, now: Time, out: &mut Outputs) {
        self.go_on_with_fanout(now, out);
        let more_connections = self.sweep_connections(now, out);
        let more_sessions = self.sweep_sessions(now, out);
        self.sweep_backlogs(now, out);
        self.sweep_retained(now);
        if self.declared.wants_everything() {
            self.declared.retry(&self.interest);
        }
        if more_connections || more_sessions {
            out.wake_at = Some(now);
        }
    }

    /// When a tick is due next, for a shell that is about to sleep; `None` while nothing is scheduled.
    pub fn next_due(&self, now: Time) -> Option<Time> {
        let connections = self.connection_wheel.next_due_hint(now);
        let sessions = self.session_wheel.next_due_hint(now);
        [connections, sessions, self.pressure.next_look()].into_iter().flatten().min()
    }

    fn sweep_connections(&mut self, now: Time, out: &mut Outputs) -> bool {
        let mut due: Vec<ConnectionKey> = Vec::new();
        let connections = &self.connections;
        let swept: Swept = self.connection_wheel.advance(now, SWEEP_ENTRIES_MAX, |key| {
            let Some(connection) = connections.get(key) else { return Look::Gone };
            let quota = connection.extras.as_ref().and_then(|extras| extras.quota_until);
            let deadline = connection.deadline().min(quota.unwrap_or(Time::NEVER));
            if deadline <= now {
                due.push(key);
                Look::Fired
            } else if deadline == Time::NEVER {
                Look::Gone
            } else {
                Look::At(deadline)
            }
        });
        for key in due {
            self.connection_due(key, now, out);
        }
        swept.has_more
    }

    /// The end of a quota hold, of the handshake's time, or of the client's.
    fn connection_due(&mut self, key: ConnectionKey, now: Time, out: &mut Outputs) {
        let Some(connection) = self.connections.get_mut(key) else { return };
        if let Some(extras) = &mut connection.extras
            && extras.quota_until.is_some_and(|until| until <= now)
        {
            extras.quota_until = None;
            self.release(key, Hold::Quota, out);
        }
        let Some(connection) = self.connections.get_mut(key) else { return };
        if connection.is_held() && connection.is_connected() {
            // We do not listen, so its silence says nothing.
            connection.last_received = now;
        }
        let deadline = connection.deadline();
        if deadline > now {
            if deadline != Time::NEVER {
                self.connection_wheel.schedule(key, deadline);
            }
            return;
        }
        if self.is_in_handshake(key) {
            self.end(key, Cause::HandshakeTimeout, now, out);
        } else {
            self.stats.keep_alive_timeouts += 1;
            self.say_goodbye(key, Reason::KeepAliveTimeout, None, out);
            self.end(key, Cause::KeepAlive, now, out); // [MQTT-3.1.2-22]
        }
    }

    fn sweep_sessions(&mut self, now: Time, out: &mut Outputs) -> bool {
        let mut due: Vec<SessionKey> = Vec::new();
        let sessions = &self.sessions;
        let swept: Swept = self.session_wheel.advance(now, SWEEP_ENTRIES_MAX, |key| {
            let Some(session) = sessions.get(key) else { return Look::Gone };
            let deadline = session.deadline();
            if deadline <= now {
                due.push(key);
                Look::Fired
            } else if deadline == Time::NEVER {
                Look::Gone
            } else {
                Look::At(deadline)
            }
        });
        for key in due {
            self.session_due(key, now, out);
        }
        swept.has_more
    }

    fn session_due(&mut self, key: SessionKey, now: Time, out: &mut Outputs) {
        self.publish_due_will(key, now, out);
        let Some(session) = self.sessions.get(key) else { return };
        if session.ends_at <= now {
            self.stats.sessions_expired += 1;
            self.end_session(key, now, out);
        } else if session.ends_at != Time::NEVER {
            let ends_at = session.ends_at;
            self.session_wheel.schedule(key, ends_at);
        }
    }
}
