//! Acknowledgements in both directions: the client's for our messages, ours for the client's requests.

use super::Shard;
use super::receive::Flow;
use crate::base::time::Time;
use crate::engine::change::{Change, Serial};
use crate::engine::connection::{ConnectionKey, Hold};
use crate::engine::event::Cause;
use crate::engine::limits::ANSWERS_OWED_MAX;
use crate::engine::output::Outputs;
use crate::engine::session::SessionKey;
use crate::engine::session::outbound::{Acked, Recorded};
use crate::engine::session::pipeline::{Due, Outcome};
use crate::engine::stats::DropReason;
use crate::mqtt::ack::Ack;
use crate::mqtt::codes::CodeBuffer;
use crate::mqtt::packet::Packet;
use crate::mqtt::properties::{Properties, PropertyBuffer};
use crate::mqtt::property::Property;
use crate::mqtt::suback::SubAck;
use crate::mqtt::unsuback::UnsubAck;
use crate::mqtt::{PacketId, PacketType, QoS, Reason, Version};

impl Shard {
    fn session_of(&self, key: ConnectionKey) -> Option<SessionKey> {
        self.connections.get(key)?.session
    }

    /// [MQTT-4.3.2-3] the message is done; an unknown identifier changes nothing.
    pub(super) fn puback(&mut self, key: ConnectionKey, ack: Ack<'_>, now: Time, out: &mut Outputs) -> Flow {
        let Some(session) = self.session_of(key) else { return Flow::Gone };
        if self.settle_puback(session, ack.id, ack.reason, out) {
            self.room_in_window(session, now, out);
        }
        Flow::Next
    }

    /// Whether the message was open, so that there is room for another one.
    pub(super) fn settle_puback(&mut self, key: SessionKey, id: PacketId, reason: Reason, out: &mut Outputs) -> bool {
        let Some(outbound) = self.sessions.get_mut(key).and_then(|session| session.outbound.as_mut()) else {
            return false;
        };
        match outbound.puback(id, reason) {
            Acked::Delivered(delivery) => {
                self.note_settled(key, &delivery, out);
                self.delivered(&delivery, out);
            }
            Acked::Refused(delivery) => self.discard(key, &delivery, DropReason::Refused, out), // [MQTT-4.4.0-2]
            Acked::Unknown => return false,
        }
        true
    }

    /// [MQTT-4.3.3-4] PUBREC is answered by PUBREL, unless it refuses.
    pub(super) fn pubrec(&mut self, key: ConnectionKey, ack: Ack<'_>, now: Time, out: &mut Outputs) -> Flow {
        let Some(session) = self.session_of(key) else { return Flow::Gone };
        match self.settle_pubrec(session, ack.id, ack.reason, out) {
            Some(reason) => {
                let promises = self.promise_to(session);
                out.promising(promises, |out| self.write_ack(key, ack.id, reason, AckKind::Release, out));
            }
            None => self.room_in_window(session, now, out),
        }
        Flow::Next
    }

    /// What PUBREL has to say; nothing where the flow is over.
    pub(super) fn settle_pubrec(
        &mut self,
        key: SessionKey,
        id: PacketId,
        reason: Reason,
        out: &mut Outputs,
    ) -> Option<Reason> {
        let outbound = self.sessions.get_mut(key)?.outbound.as_mut();
        match outbound.map_or(Recorded::Unknown, |outbound| outbound.pubrec(id, reason)) {
            Recorded::Release(delivery) => {
                self.note_taken(key, &delivery, id, out);
                self.delivered(&delivery, out);
            }
            Recorded::Again => {}
            Recorded::Refused(delivery) => {
                self.discard(key, &delivery, DropReason::Refused, out);
                return None;
            }
            Recorded::Closed => return None,
            // [MQTT-3.6.2-1] there is nothing to release.
            Recorded::Unknown => return Some(Reason::PacketIdentifierNotFound),
        }
        Some(Reason::Success)
    }

    /// The last step of a QoS 2 message of ours: its identifier is free, and so is its place in the window.
    pub(super) fn pubcomp(&mut self, key: ConnectionKey, ack: Ack<'_>, now: Time, out: &mut Outputs) -> Flow {
        let Some(session) = self.session_of(key) else { return Flow::Gone };
        if self.settle_pubcomp(session, ack.id, out) {
            self.room_in_window(session, now, out);
        }
        Flow::Next
    }

    /// Whether it was awaited.
    pub(super) fn settle_pubcomp(&mut self, key: SessionKey, id: PacketId, out: &mut Outputs) -> bool {
        let outbound = self.sessions.get_mut(key).and_then(|session| session.outbound.as_mut());
        let was_awaited = outbound.is_some_and(|outbound| outbound.pubcomp(id));
        if was_awaited {
            self.note_of(key, |session| Change::Completed { session, id }, out);
        }
        was_awaited
    }

    pub(super) fn room_in_window(&mut self, key: SessionKey, now: Time, out: &mut Outputs) {
        self.pump(key, now, out);
        self.go_on_scanning(key, now, out);
    }

    /// [MQTT-4.3.3-11] PUBREL is answered by PUBCOMP, also for an identifier that we do not know.
    pub(super) fn pubrel(&mut self, key: ConnectionKey, ack: Ack<'_>, out: &mut Outputs) -> Flow {
        let Some(session) = self.session_of(key) else { return Flow::Gone };
        if let Some(reason) = self.release_identifier(key, session, ack.id, out) {
            let promises = self.promise_to(session);
            out.promising(promises, |out| self.write_ack(key, ack.id, reason, AckKind::Complete, out));
        }
        Flow::Next
    }

    /// What PUBCOMP has to say.
    pub(super) fn settle_pubrel(&mut self, key: SessionKey, id: PacketId, out: &mut Outputs) -> Reason {
        let is_known = self.sessions.get_mut(key).and_then(|session| session.extras.used());
        let is_known = is_known.is_some_and(|extras| extras.received.release(id));
        if is_known {
            self.passages.set_doubt(key, id, false);
            self.note_of(key, |session| Change::Released { session, id }, out);
        }
        if is_known { Reason::Success } else { Reason::PacketIdentifierNotFound }
    }

    /// Writes the answers that are ready, in the order of their requests.
    pub(super) fn flush_pipeline(&mut self, key: ConnectionKey, now: Time, out: &mut Outputs) {
        let refused = self.write_ready(key, out);
        self.flush_acks(key, out);
        match refused {
            Some(reason) => self.end(key, Cause::Refused(reason), now, out),
            None => self.bound_answers(key, now, out),
        }
    }

    /// The same, up to an answer that the connection's version has no word for; its reason comes back.
    fn write_ready(&mut self, key: ConnectionKey, out: &mut Outputs) -> Option<Reason> {
        loop {
            let connection = self.connections.get_mut(key)?;
            let version = connection.version;
            let (due, outcome) = connection.pipeline.pop_ready()?;
            match due {
                // [MQTT-4.8.0-2] of 3.1.1: its PUBACK can only say that all is well, so a lack of room ends the
                // connection; the client keeps the message and comes again.
                Due::PubAck { refusal: None, .. } | Due::PubRec { refusal: None, .. }
                    if version != Version::V5 && outcome.reason().is_error() =>
                {
                    return Some(outcome.reason());
                }
                Due::PubAck { id, refusal } => {
                    let reason = refusal.unwrap_or(outcome_for(version, outcome));
                    self.gather_ack(key, id, reason, AckKind::Taken, outcome.noted, out);
                }
                Due::PubRec { id, refusal } => {
                    let reason = refusal.unwrap_or(outcome_for(version, outcome));
                    self.gather_ack(key, id, reason, AckKind::Received, outcome.noted, out);
                }
                Due::SubAck { id, codes } => {
                    self.flush_acks(key, out);
                    let promises = self.promise_to_client(key);
                    out.promising(promises, |out| self.write_suback(key, id, &codes, out));
                }
                Due::UnsubAck { id, codes } => {
                    self.flush_acks(key, out);
                    let promises = self.promise_to_client(key);
                    out.promising(promises, |out| self.write_unsuback(key, id, &codes, out));
                }
            }
        }
    }

    /// The acknowledgement of a message that was taken, for a client that is owed nothing else.
    pub(super) fn acknowledge(
        &mut self,
        key: ConnectionKey,
        qos: QoS,
        id: PacketId,
        outcome: Outcome,
        out: &mut Outputs,
    ) {
        let Some(connection) = self.connections.get(key) else { return };
        let kind = if qos == QoS::ExactlyOnce { AckKind::Received } else { AckKind::Taken };
        let reason = outcome_for(connection.version, outcome);
        let promises = if outcome.noted { self.journaling.pending() } else { Serial::NONE };
        out.promising(promises, |out| self.write_ack(key, id, reason, kind, out));
    }

    /// A client that is owed too many answers is read no more until other shards have spoken.
    pub(super) fn bound_answers(&mut self, key: ConnectionKey, now: Time, out: &mut Outputs) {
        let Some(connection) = self.connections.get(key) else { return };
        let owed = connection.pipeline.len();
        if owed >= ANSWERS_OWED_MAX {
            self.hold(key, Hold::Answers, out);
        } else if owed <= ANSWERS_OWED_MAX / 2 {
            self.release(key, Hold::Answers, now);
        }
    }

    pub(super) fn write_ack(&self, key: ConnectionKey, id: PacketId, reason: Reason, kind: AckKind, out: &mut Outputs) {
        let Some(connection) = self.connections.get(key) else { return };
        if reason == Reason::Success && connection.maximum_packet >= SHORT_ACK_BYTES {
            return out.packet(key, |bytes| kind.write_short(id, bytes));
        }
        let mut buffer = PropertyBuffer::default();
        if reason.is_error() && connection.version == Version::V5 {
            buffer.push(Property::ReasonString(reason.name()));
        }
        let packet = kind.packet(Ack { id, reason, properties: buffer.as_properties() });
        out.answer(key, connection.version, connection.receiver_limits(), &packet); // [MQTT-3.4.2-2]
    }

    /// [MQTT-3.8.4-1] one SUBACK, one code a filter, in the order of the filters.
    pub(super) fn write_suback(&self, key: ConnectionKey, id: PacketId, codes: &[Reason], out: &mut Outputs) {
        let Some(connection) = self.connections.get(key) else { return };
        let mut buffer = PropertyBuffer::default();
        if let Some(refused) = codes.iter().find(|code| code.is_error()) {
            buffer.push(Property::ReasonString(refused.name()));
        }
        let reasons = code_buffer(codes);
        let packet = SubAck { id, reasons: reasons.as_codes(), properties: buffer.as_properties() };
        out.answer(key, connection.version, connection.receiver_limits(), &Packet::SubAck(packet)); // [MQTT-3.9.2-1]
    }

    /// [MQTT-3.10.4-4] one UNSUBACK, one code a filter.
    pub(super) fn write_unsuback(&self, key: ConnectionKey, id: PacketId, codes: &[Reason], out: &mut Outputs) {
        let Some(connection) = self.connections.get(key) else { return };
        let reasons = code_buffer(codes);
        let packet = UnsubAck { id, reasons: reasons.as_codes(), properties: Properties::NONE };
        out.answer(key, connection.version, connection.receiver_limits(), &Packet::UnsubAck(packet));
    }
}

fn code_buffer(codes: &[Reason]) -> CodeBuffer {
    let mut buffer = CodeBuffer::default();
    for code in codes {
        buffer.push(*code);
    }
    buffer
}

/// "No matching subscribers" is a word of 5.0 only.
fn outcome_for(version: Version, outcome: Outcome) -> Reason {
    match version {
        Version::V5 => outcome.reason(),
        Version::V31 | Version::V311 => Reason::Success,
    }
}

/// An acknowledgement that says that all is well, in every version.
pub(super) const SHORT_ACK_BYTES: u32 = 4;

/// Which acknowledgement it is, ours or the client's.
#[derive(Clone, Copy)]
pub(super) enum AckKind {
    Taken,
    Received,
    Release,
    Complete,
}

impl AckKind {
    /// The kind of a packet that begins with this byte.
    pub fn of_first_byte(first: u8) -> Option<Self> {
        [Self::Taken, Self::Received, Self::Release, Self::Complete].into_iter().find(|kind| kind.first_byte() == first)
    }

    /// The first byte of its packet.
    pub fn first_byte(self) -> u8 {
        let flags = if matches!(self, Self::Release) { 2 } else { 0 }; // [MQTT-3.6.1-1]
        self.packet_type().bits() << 4 | flags
    }

    /// Appends the packet that says that all is well.
    pub fn write_short(self, id: PacketId, bytes: &mut Vec<u8>) {
        let [high, low] = id.get().to_be_bytes();
        bytes.extend_from_slice(&[self.first_byte(), 2, high, low]);
    }

    /// What it is on the wire.
    pub fn packet_type(self) -> PacketType {
        match self {
            Self::Taken => PacketType::PubAck,
            Self::Received => PacketType::PubRec,
            Self::Release => PacketType::PubRel,
            Self::Complete => PacketType::PubComp,
        }
    }

    fn packet(self, ack: Ack<'_>) -> Packet<'_> {
        match self {
            Self::Taken => Packet::PubAck(ack),
            Self::Received => Packet::PubRec(ack),
            Self::Release => Packet::PubRel(ack),
            Self::Complete => Packet::PubComp(ack),
        }
    }
}
