//! The end of connections and of sessions: the last word, what is kept and what goes.

use super::Shard;
use super::receive::Flow;
use crate::base::slab::Vacated;
use crate::base::time::Time;
use crate::engine::change::Change;
use crate::engine::connection::{ConnectionKey, Phase};
use crate::engine::event::{Cause, Event};
use crate::engine::limits::COPIES_PER_SESSION;
use crate::engine::output::Outputs;
use crate::engine::session::{Session, SessionKey};
use crate::engine::stats::DropReason;
use crate::mqtt::disconnect::Disconnect;
use crate::mqtt::packet::Packet;
use crate::mqtt::properties::PropertyBuffer;
use crate::mqtt::property::Property;
use crate::mqtt::{PacketId, PacketType, Reason, Version};

impl Shard {
    /// Writes DISCONNECT to a connected client of 5.0; others are just closed. [MQTT-3.14.0-1]
    pub(super) fn say_goodbye(&mut self, key: ConnectionKey, reason: Reason, text: Option<&str>, out: &mut Outputs) {
        // [MQTT-3.14.2-1] a reason that only other packets have is a protocol error here.
        let reason = if reason.allowed_in(PacketType::Disconnect) { reason } else { Reason::ProtocolError };
        self.last_reason(reason);
        let Some(connection) = self.connections.get(key) else { return };
        if connection.version != Version::V5 || !connection.is_connected() {
            return;
        }
        let mut buffer = PropertyBuffer::default();
        buffer.push(Property::ReasonString(text.unwrap_or(reason.name())));
        let packet = Packet::Disconnect(Disconnect { reason, properties: buffer.as_properties() });
        out.answer(key, Version::V5, connection.receiver_limits(), &packet); // [MQTT-3.14.2-3]
    }

    /// The client's own DISCONNECT.
    pub(super) fn client_disconnects(
        &mut self,
        key: ConnectionKey,
        disconnect: &Disconnect<'_>,
        now: Time,
        out: &mut Outputs,
    ) -> Flow {
        let Some(session_key) = self.connections.get(key).and_then(|connection| connection.session) else {
            return Flow::Gone;
        };
        let Some(session) = self.sessions.get_mut(session_key) else { return Flow::Gone };
        if let Some(expiry_s) = disconnect.properties.session_expiry() {
            // A session that was to end with the connection cannot be kept by a last word.
            if session.expiry_s == 0 && expiry_s > 0 {
                return self.violation(key, Reason::ProtocolError, now, out);
            }
            let expiry_s = expiry_s.min(self.limits.session_expiry_max_s);
            self.outlive(session_key, expiry_s, out);
        }
        let will = self.sessions.get_mut(session_key).filter(|_| disconnect.reason == Reason::Success);
        if will.is_some_and(|session| session.take_will().is_some()) {
            self.note_of(session_key, |session| Change::WillGone { session }, out); // [MQTT-3.14.4-3]
        }
        self.end(key, Cause::Client(disconnect.reason), now, out);
        Flow::Gone
    }

    /// Ends a connection, whatever its state. Its session goes on, waits, or ends with it.
    pub(super) fn end(&mut self, key: ConnectionKey, cause: Cause, now: Time, out: &mut Outputs) {
        let Some(connection) = self.connections.remove(key) else { return };
        self.holdings.take_out(&connection);
        self.backlog_bytes -= u64::from(connection.backlog);
        self.stats.connections_closed += 1;
        out.closes.push(key);
        self.relieve_waiters_of(key, out);
        let session = connection.session.filter(|_| matches!(connection.phase, Phase::Connected));
        let id = session.and_then(|session| self.sessions.get(session)).map(|session| session.id);
        out.events.push(Event::Disconnected { connection: key, session: id, cause });
        if let Some(session) = session {
            self.disconnect_session(session, now, out);
        }
    }

    fn disconnect_session(&mut self, key: SessionKey, now: Time, out: &mut Outputs) {
        let Some(session) = self.sessions.get_mut(key) else { return };
        let expiry_s = session.expiry_s;
        let on_their_way: Vec<PacketId> = session.extras.received.routing().collect();
        session.disconnect(now);
        session.reduce_extras(|extras| extras.received.connection_lost());
        if let Some(outbound) = &mut session.outbound {
            outbound.disconnect();
        }
        session.outbound.take_if(|outbound| outbound.is_empty());
        if expiry_s == 0 {
            return self.end_session(key, now, out); // [MQTT-4.1.0-2]
        }
        if let Some(will) = session.will_mut() {
            will.due_at = now.after_seconds(will.delay_s); // [MQTT-3.1.2-8]
        }
        self.note_will(key, false, out);
        for id in on_their_way {
            self.note_doubt(key, id, out);
        }
        self.note_standing(key, out);
        self.presence(key, out);
        self.return_shared(key, false, out);
        self.look_at_session(key);
        self.publish_due_will(key, now, out);
    }

    /// A session ends: its will is published if it is still there, all else goes, and is counted.
    pub(super) fn end_session(&mut self, key: SessionKey, now: Time, out: &mut Outputs) {
        self.charge(COPIES_PER_SESSION);
        let Some(session) = self.sessions.get_mut(key) else { return };
        debug_assert!(session.link().is_none(), "a session ends after its connection");
        if let Some(will) = session.take_will() {
            self.publish_will(key, &will, now, out);
        }
        self.note_of(key, |session| Change::SessionEnded { session }, out);
        self.forget_scans(key);
        self.forget_passages_of(key, out);
        self.return_shared(key, true, out);
        let Some(session) = self.sessions.get_mut(key) else { return };
        let mut lost = Vec::new();
        if let Some(mut outbound) = session.outbound.take() {
            self.stowage.holds(outbound.queue().held_bytes(), 0);
            lost = outbound.drain();
        }
        let copies_lost = lost.len() as u64;
        for copy in lost {
            self.discard_waiting(key, &copy, DropReason::SessionEnded, out);
        }
        let mut filters = self.leave_all(key, out);
        self.take_out_piece(key, &mut filters);
        if let Some(session) = self.depart(key, filters) {
            out.events.push(Event::SessionEnded { session: session.id, copies_lost });
        }
    }

    /// Takes a session out of its slot; its client finds it no more.
    pub(super) fn vacate_session(&mut self, key: SessionKey) -> Option<(Session, Vacated<Session>)> {
        let (session, slot) = self.sessions.vacate(key)?;
        self.session_seats.remove(&key); // which gives it back
        let hash = self.seed.hash_bytes(self.client_ids.get(session.client_id).as_bytes());
        if let Ok(entry) = self.directory.find_entry(hash, |found| *found == key.index()) {
            entry.remove();
        }
        self.client_ids.remove(session.client_id);
        Some((session, slot))
    }

    /// The operator ends a client's connection.
    pub(super) fn kick(&mut self, client_id: &str, now: Time, out: &mut Outputs) {
        let link = self.find_session(client_id).and_then(|key| self.sessions.get(key)?.link());
        if let Some(link) = link {
            self.say_goodbye(link.connection, Reason::AdministrativeAction, None, out);
            self.end(link.connection, Cause::Administrative, now, out);
        }
    }

    /// The broker stops: no new connections, and every client is told. It is our end of the connection, not the
    /// client's, so wills are published as after any other close without DISCONNECT, some in each turn.
    pub(super) fn shutdown(&mut self, now: Time, out: &mut Outputs) {
        self.is_stopping = true;
        self.due.leaving.extend(self.connections.iter().map(|(key, _)| key));
        if self.go_on_leaving(now, out) {
            out.wake_at = Some(now);
        }
    }

    /// Ends the next connections of a broker that stops; whether there are more.
    pub(super) fn go_on_leaving(&mut self, now: Time, out: &mut Outputs) -> bool {
        let reserve = self.reserve();
        while self.may_cause_more(reserve)
            && let Some(key) = self.due.leaving.pop_front()
        {
            self.charge(1);
            self.say_goodbye(key, Reason::ServerShuttingDown, None, out);
            self.end(key, Cause::Shutdown, now, out);
        }
        !self.due.leaving.is_empty()
    }
}
