//! A client's PUBLISH: checks, permission, the way to everybody who wants it, and the acknowledgement due.

use std::rc::Rc;
use std::sync::Arc;

use bytes::Bytes;

use super::Shard;
use super::receive::Flow;
use super::routing::{Routing, Waiter};
use crate::base::hash::Map;
use crate::base::time::Time;
use crate::engine::accounts::terms::Way;
use crate::engine::aliases::NoRoom;
use crate::engine::auth::{Action, Decision};
use crate::engine::change::Change;
use crate::engine::connection::{ConnectionKey, Hold};
use crate::engine::event::Event;
use crate::engine::message::{Once, Passage, Publication};
use crate::engine::output::Outputs;
use crate::engine::quota::Meter;
use crate::engine::session::SessionKey;
use crate::engine::session::pipeline::{Due, Outcome, Ticket};
use crate::engine::session::received::Arrival;
use crate::engine::stats::Limit;
use crate::mqtt::frame::Frame;
use crate::mqtt::publish::{Publish, copy_forwarded};
use crate::mqtt::{PacketId, QoS, Reason, Topic, Version};

/// Where in the body of a PUBLISH the topic stands: behind its length.
const TOPIC_AT: usize = 2;

/// QoS 2 publications that came again, on a newer connection, while the first one is still being routed: who waits
/// for the answers, of which a connection is owed a bounded number.
pub(super) type RepeatedPublishes = Map<(SessionKey, PacketId), Vec<(ConnectionKey, Ticket)>>;

/// What was decided about a publication before it is routed.
enum Admission {
    Granted,
    /// Not routed, and answered with this reason where there is an answer.
    Refused(Reason),
    /// The client broke a rule that ends the connection.
    Violation(Reason),
    Wait,
}

impl Shard {
    /// A PUBLISH that did not go the verbatim way.
    pub(super) fn publish(&mut self, key: ConnectionKey, frame: Frame<'_>, now: Time, out: &mut Outputs) -> Flow {
        let Some(connection) = self.connections.get(key) else { return Flow::Gone };
        let publish = match Publish::decode(connection.version, frame.first, frame.body) {
            Ok(publish) => publish,
            Err(error) => return self.protocol_error(key, &error, now, out),
        };
        let aliased = match self.resolve_alias(key, &publish) {
            Ok(aliased) => aliased,
            Err(reason) => return self.violation(key, reason, now, out),
        };
        let topic = match (&aliased, publish.topic) {
            (_, Some(topic)) => topic,
            (Some(text), None) => Topic::parse(text).expect("an alias stands for a topic"),
            (None, None) => return self.violation(key, Reason::ProtocolError, now, out),
        };
        match self.admission(key, &publish, topic, out) {
            Admission::Granted => {
                self.charge_quota(key, 1, frame.body.len(), now, out);
                self.accept_publish(key, frame, &publish, topic, now, out)
            }
            Admission::Refused(reason) => {
                self.charge_quota(key, 1, frame.body.len(), now, out);
                self.refuse_publish(key, &publish, reason, now, out)
            }
            Admission::Violation(reason) => self.violation(key, reason, now, out),
            Admission::Wait => Flow::Wait,
        }
    }

    /// Learns or looks up a topic alias; the text comes back where the packet itself has none.
    fn resolve_alias(&mut self, key: ConnectionKey, publish: &Publish<'_>) -> Result<Option<Rc<str>>, Reason> {
        let Some(alias) = publish.topic_alias else { return Ok(None) };
        // [MQTT-3.2.2-17] [MQTT-3.3.2-9] not above what we announced.
        if alias.get() > self.limits.topic_alias_maximum {
            self.reached(Limit::TopicAliases);
            return Err(Reason::TopicAliasInvalid);
        }
        let connection = self.connections.get_mut(key).ok_or(Reason::UnspecifiedError)?;
        let known = connection.extras().aliases_in.topic(alias);
        let Some(topic) = publish.topic else {
            // [MQTT-3.3.2-7] an alias of an earlier connection, or of none, stands for nothing.
            return known.cloned().map(Some).ok_or(Reason::ProtocolError);
        };
        if known.is_none_or(|known| **known != *topic.as_str()) {
            self.holdings.take_out(connection);
            let learned = connection.extras().aliases_in.learn(alias, topic.as_str(), self.limits.topic_alias_maximum);
            self.holdings.put_in(connection);
            if let Err(NoRoom) = learned {
                self.reached(Limit::TopicAliasBytes);
                return Err(Reason::QuotaExceeded);
            }
        }
        Ok(None)
    }

    /// Capabilities, flow control and permission, in this order.
    fn admission(
        &mut self,
        key: ConnectionKey,
        publish: &Publish<'_>,
        topic: Topic<'_>,
        out: &mut Outputs,
    ) -> Admission {
        let limits = self.limits_for(key);
        let is_too_deep = topic.is_deeper_than(limits.topic_levels_max);
        let has_too_many = publish.properties.has_more_user_properties_than(limits.user_properties_max);
        if publish.qos > limits.maximum_qos {
            self.reached(Limit::MaximumQos);
            return Admission::Violation(Reason::QoSNotSupported); // [MQTT-3.2.2-11]
        }
        if publish.retain && !self.limits.retain_available {
            return Admission::Violation(Reason::RetainNotSupported); // [MQTT-3.2.2-14]
        }
        if self.exceeds_receive_maximum(key, publish) {
            self.reached(Limit::ReceiveMaximum);
            return Admission::Violation(Reason::ReceiveMaximumExceeded); // [MQTT-3.3.4-7]
        }
        if is_too_deep {
            self.reached(Limit::TopicLevels);
            return Admission::Refused(Reason::TopicNameInvalid);
        }
        if has_too_many {
            self.reached(Limit::UserProperties);
            return Admission::Refused(Reason::QuotaExceeded);
        }
        if self.limits.payload_format_check && is_false_text(publish) {
            return Admission::Refused(Reason::PayloadFormatInvalid);
        }
        match self.may_publish(key, topic, publish.qos, publish.retain, out) {
            Decision::Allow => Admission::Granted,
            Decision::Deny => Admission::Refused(Reason::NotAuthorized),
            Decision::Later => Admission::Wait,
        }
    }

    /// Whether the client may publish here; also asked for runs.
    pub(super) fn may_publish(
        &mut self,
        key: ConnectionKey,
        topic: Topic<'_>,
        qos: QoS,
        retain: bool,
        out: &mut Outputs,
    ) -> Decision {
        let action = Action::Publish { topic: topic.as_str(), qos, retain };
        let Some(connection) = self.connections.get(key) else { return Decision::Deny };
        let Some(identity) = &connection.identity else { return Decision::Deny };
        let Some(session) = connection.session.and_then(|session| self.sessions.get(session)) else {
            return Decision::Deny;
        };
        match self.policy.decide(identity, self.client_id(session), action) {
            Decision::Allow => Decision::Allow,
            Decision::Deny if !out.tells_denials() => {
                out.count_denied();
                Decision::Deny
            }
            // Whoever is refused is told of by name, and that costs copies.
            Decision::Deny | Decision::Later => {
                let (identity, client_id) = (Arc::clone(identity), Box::<str>::from(self.client_id(session).as_str()));
                self.authorise(key, &identity, &client_id, action, out)
            }
        }
    }

    /// A 3.x client knows no Receive Maximum: its packet identifiers bound it.
    fn exceeds_receive_maximum(&self, key: ConnectionKey, publish: &Publish<'_>) -> bool {
        let Some(connection) = self.connections.get(key) else { return false };
        if publish.qos == QoS::AtMostOnce || connection.version != Version::V5 {
            return false;
        }
        let Some(session) = connection.session.and_then(|session| self.sessions.get(session)) else { return false };
        let is_repeat =
            publish.qos == QoS::ExactlyOnce && publish.packet_id.is_some_and(|id| session.extras.received.contains(id));
        let open = connection.pipeline.pubacks_open() + u32::from(session.extras.received.open_here());
        !is_repeat && open >= u32::from(self.limits.receive_maximum)
    }

    /// Charges the client's buckets for what it has published; in debt, it is read again when they have filled up.
    pub(super) fn charge_quota(&mut self, key: ConnectionKey, count: u32, bytes: usize, now: Time, out: &mut Outputs) {
        let Some(connection) = self.connections.get_mut(key) else { return };
        let seat = connection.seat.as_ref().filter(|seat| seat.is_metered(Way::In));
        if seat.is_none() && connection.extras.is_none() {
            return; // as nearly always
        }
        let shared_ms = seat.and_then(|seat| {
            let reached = &mut self.stats.shared_limits_reached;
            seat.charge(Way::In, count, u32::try_from(bytes).unwrap_or(u32::MAX), now, |limit| reached.count(limit))
        });
        if shared_ms.is_none() && connection.extras.is_none() {
            return;
        }
        let taken = &mut connection.extras().taken;
        let limit = taken.as_mut().and_then(|meter| meter.charge(count, bytes, now));
        if let Some(wait_ms) = shared_ms {
            taken.get_or_insert_with(|| Box::new(Meter::unbounded())).pause(now.after_ms(wait_ms.max(1)));
        }
        if limit.is_none() && shared_ms.is_none() {
            return;
        }
        let until = taken.as_ref().and_then(|meter| meter.until).expect("a pause has begun");
        self.quota_wheel.schedule(key, until);
        if let Some(limit) = limit {
            self.reached(limit);
        }
        self.hold(key, Hold::Quota, out);
    }

    /// The publication goes to everybody who wants it; a repeated QoS 2 one goes nowhere again.
    fn accept_publish(
        &mut self,
        key: ConnectionKey,
        frame: Frame<'_>,
        publish: &Publish<'_>,
        topic: Topic<'_>,
        now: Time,
        out: &mut Outputs,
    ) -> Flow {
        self.forget_answers(key);
        self.stats.publishes_received += 1;
        let Some(connection) = self.connections.get(key) else { return Flow::Gone };
        let owner = connection.identity.as_ref().and_then(|who| self.owner_of_retained(publish.retain, who));
        let Some(session_key) = connection.session else { return Flow::Gone };
        if self.is_incoming_refused(session_key, publish) {
            return self.refuse_incoming(key, session_key, publish, now, out);
        }
        let Some(session) = self.sessions.get_mut(session_key) else { return Flow::Gone };
        let origin = session.id;
        let mut is_again = false;
        if let (QoS::ExactlyOnce, Some(id)) = (publish.qos, publish.packet_id) {
            match session.extras.received.publish(id) {
                Arrival::New => {
                    self.note_incoming(key, session_key, id, out);
                    if publish.dup && self.is_noted(session_key, publish.qos) {
                        self.restore_passage(session_key, id); // an attempt that this shard has lost may have passed others
                    }
                }
                Arrival::Duplicate if self.is_passage_unsure(session_key, id) => is_again = true,
                Arrival::Duplicate => return self.repeat_pubrec(key, id, now, out), // [MQTT-4.3.3-10]
                Arrival::StillRouting => return self.join_routing(key, session_key, id, now, out),
            }
        }
        let mut scratch = Vec::new();
        let forwarded = forwarded(publish, &mut scratch);
        let mut publication = Publication::new(topic.as_str(), forwarded, publish.payload, publish.qos, origin);
        publication.retain = publish.retain;
        publication.owner = owner;
        publication.is_again = is_again;
        if let Some(id) = publish.packet_id.filter(|_| self.is_noted(session_key, publish.qos)) {
            // Without DUP it is a new message, whatever a shard remembers of one that this shard has lost. [MQTT-3.3.1-2]
            let may_have_come = publish.dup || is_again;
            publication.once = Some(Once { passage: Passage { session: origin, id }, may_have_come });
        }
        if let Some(seconds) = publish.message_expiry {
            publication.expires = now.after_seconds(seconds);
        }
        if let Some(memory) = memory_of(frame, publish) {
            publication.keep_in(memory.into());
        }
        match publish.packet_id {
            None => {
                let _outcome_of_qos_0 = self.route(&mut publication, Some(key), None, now, out);
            }
            Some(id) => self.route_acknowledged(&mut publication, key, session_key, id, now, out),
        }
        if self.connections.get(key).is_some() { Flow::Next } else { Flow::Gone }
    }

    /// Routes a QoS 1 or 2 publication; the acknowledgement leaves at once if no other shard has a say.
    fn route_acknowledged(
        &mut self,
        publication: &mut Publication<'_>,
        key: ConnectionKey,
        session: SessionKey,
        id: PacketId,
        now: Time,
        out: &mut Outputs,
    ) {
        if !self.is_alone() {
            return self.route_and_wait(publication, key, session, id, now, out);
        }
        let qos = publication.qos;
        let routed = self.route(publication, Some(key), None, now, out);
        let outcome = Outcome { noted: routed.noted || self.is_noted(session, qos), ..routed };
        self.note_received(session, qos, id, outcome, out);
        let Some(connection) = self.connections.get_mut(key) else { return };
        if connection.pipeline.is_empty() && !outcome.reason().is_error() {
            return self.acknowledge(key, qos, id, outcome, out);
        }
        connection.pipeline.push(due(qos, id, None), 0, outcome);
        self.flush_pipeline(key, now, out);
    }

    /// The same where other shards may have a say.
    fn route_and_wait(
        &mut self,
        publication: &mut Publication<'_>,
        key: ConnectionKey,
        session: SessionKey,
        id: PacketId,
        now: Time,
        out: &mut Outputs,
    ) {
        let qos = publication.qos;
        let Some(connection) = self.connections.get_mut(key) else { return };
        let ticket = connection.pipeline.push(due(qos, id, None), 1, Outcome::default());
        let routing = self.routings.insert(Routing::new(Waiter::Client { session, connection: key, ticket, id, qos }));
        let routed = self.route(publication, Some(key), Some(routing), now, out);
        let outcome = Outcome { noted: routed.noted || self.is_noted(session, qos), ..routed };
        // The publication's own shard is the first to have spoken.
        self.stored(routing, outcome, 0, now, out);
        self.flush_pipeline(key, now, out);
    }

    /// A QoS 2 publication is in the hands of everybody, or refused.
    pub(super) fn note_received(
        &mut self,
        key: SessionKey,
        qos: QoS,
        id: PacketId,
        outcome: Outcome,
        out: &mut Outputs,
    ) {
        if qos != QoS::ExactlyOnce {
            return;
        }
        let Some(session) = self.sessions.get_mut(key) else { return };
        // [MQTT-4.3.3-9] a refused identifier is free again.
        if outcome.reason().is_error() {
            session.extras.received.refused(id);
            self.passages.set_doubt(key, id, false);
            self.note_of(key, |session| Change::Released { session, id }, out);
        } else {
            session.extras.received.stored(id);
            self.note_certainty(key, id, out);
        }
    }

    /// Notes the identifier of a QoS 2 publication, where its session outlives the process.
    fn note_incoming(&mut self, key: ConnectionKey, session: SessionKey, id: PacketId, out: &mut Outputs) {
        if self.is_durable(session) {
            self.note_of(session, |session| Change::Incoming { session, id }, out);
            self.slow_down_for_journal(Some((self.id, key)), out);
        }
    }

    /// The journal has no room for its identifier: what the client hears is what it hears when nobody has room for its message.
    fn refuse_incoming(
        &mut self,
        key: ConnectionKey,
        session: SessionKey,
        publish: &Publish<'_>,
        now: Time,
        out: &mut Outputs,
    ) -> Flow {
        let outcome = self.outcome_refused(session, out);
        let (Some(connection), Some(id)) = (self.connections.get_mut(key), publish.packet_id) else {
            return Flow::Gone;
        };
        connection.pipeline.push(due(publish.qos, id, None), 0, outcome);
        self.flush_pipeline(key, now, out);
        if self.connections.get(key).is_some() { Flow::Next } else { Flow::Gone }
    }

    /// Whether the identifier of a publication was noted.
    fn is_noted(&self, session: SessionKey, qos: QoS) -> bool {
        qos == QoS::ExactlyOnce && self.is_durable(session)
    }

    pub(super) fn resolve(
        &mut self,
        key: ConnectionKey,
        ticket: Ticket,
        outcome: Outcome,
        now: Time,
        out: &mut Outputs,
    ) {
        if let Some(connection) = self.connections.get_mut(key) {
            connection.pipeline.resolve(ticket, outcome);
            self.flush_pipeline(key, now, out);
        }
    }

    /// Who waits for the answer to the first one of these, too.
    pub(super) fn take_repeats(&mut self, session: SessionKey, id: PacketId) -> Vec<(ConnectionKey, Ticket)> {
        if self.repeats.is_empty() { Vec::new() } else { self.repeats.remove(&(session, id)).unwrap_or_default() }
    }

    fn repeat_pubrec(&mut self, key: ConnectionKey, id: PacketId, now: Time, out: &mut Outputs) -> Flow {
        if let Some(connection) = self.connections.get_mut(key) {
            // What the first one has to wait for may not be safe yet.
            let outcome = Outcome { noted: true, ..Outcome::stored() };
            connection.pipeline.push(Due::PubRec { id, refusal: None }, 0, outcome);
            self.flush_pipeline(key, now, out);
        }
        Flow::Next
    }

    /// The answer to the first one answers this one too. [MQTT-4.3.3-10]
    fn join_routing(
        &mut self,
        key: ConnectionKey,
        session: SessionKey,
        id: PacketId,
        now: Time,
        out: &mut Outputs,
    ) -> Flow {
        let Some(connection) = self.connections.get_mut(key) else { return Flow::Gone };
        let ticket = connection.pipeline.push(Due::PubRec { id, refusal: None }, 1, Outcome::default());
        let waiting = self.repeats.entry((session, id)).or_default();
        waiting.retain(|(waiting, _)| *waiting == key); // older connections wait for nothing
        waiting.push((key, ticket));
        self.flush_pipeline(key, now, out);
        Flow::Next
    }

    /// A publication that a rule or a limit refuses: told where the version has a word for it, else acknowledged.
    fn refuse_publish(
        &mut self,
        key: ConnectionKey,
        publish: &Publish<'_>,
        reason: Reason,
        now: Time,
        out: &mut Outputs,
    ) -> Flow {
        self.forget_answers(key);
        self.stats.publishes_received += 1;
        self.stats.publishes_denied += 1;
        let Some(connection) = self.connections.get_mut(key) else { return Flow::Gone };
        let session = connection.session.and_then(|session| self.sessions.get(session));
        if let Some(session) = session {
            out.tell(Event::PublishDenied { session: session.id, reason });
            if let (QoS::ExactlyOnce, Some(id)) = (publish.qos, publish.packet_id)
                && session.extras.received.contains(id)
            {
                return self.repeat_pubrec(key, id, now, out); // it was accepted when it came first
            }
        }
        let Some(id) = publish.packet_id else { return Flow::Next };
        let Some(connection) = self.connections.get_mut(key) else { return Flow::Gone };
        connection.pipeline.push(due(publish.qos, id, Some(reason)), 0, Outcome::default());
        self.flush_pipeline(key, now, out);
        Flow::Next
    }
}

/// The properties that are forwarded: the packet's own bytes where all of them are, else a copy without the others.
fn forwarded<'a>(publish: &Publish<'a>, scratch: &'a mut Vec<u8>) -> &'a [u8] {
    if let Some(unchanged) = publish.forwarded_unchanged() {
        return unchanged;
    }
    copy_forwarded(publish.properties, scratch);
    scratch
}

/// The memory that a large packet came in, from its topic on, where all that is forwarded lies there.
fn memory_of(frame: Frame<'_>, publish: &Publish<'_>) -> Option<Bytes> {
    let is_all_there = publish.topic.is_some() && publish.forwarded_unchanged().is_some();
    frame.body.get(TOPIC_AT..).filter(|_| is_all_there).and_then(|part| frame.share(part))
}

/// The acknowledgement that a publication is owed.
fn due(qos: QoS, id: PacketId, refusal: Option<Reason>) -> Due {
    if qos == QoS::ExactlyOnce { Due::PubRec { id, refusal } } else { Due::PubAck { id, refusal } }
}

/// Whether a payload says it is UTF-8 text and is not.
fn is_false_text(publish: &Publish<'_>) -> bool {
    publish.properties.payload_format() == Some(true) && std::str::from_utf8(publish.payload).is_err()
}
