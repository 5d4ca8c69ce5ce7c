//! Runs of what is acknowledged: neighbouring messages of one topic to one receiver, and neighbouring acknowledgements.
//!
//! What the ordinary way asks for each packet is asked once a run: who the client is, whether it may publish, who wants the
//! topic, whether there is something more to send. Only what needs no closer look goes this way: a run ends in front of
//! the first packet that does, and that one goes the ordinary way.

use std::mem;

use super::Shard;
use super::acknowledge::{AckKind, SHORT_ACK_BYTES};
use super::fanout::is_plain;
use super::verbatim::RunTaken;
use crate::base::bitset::Bits64;
use crate::base::rare::Rare;
use crate::base::time::Time;
use crate::engine::connection::ConnectionKey;
use crate::engine::limits::{ACKS_PER_RUN_MAX, INLINE_PAYLOAD_BYTES_MAX, RUN_BYTES_MAX};
use crate::engine::message::{Message, SessionId};
use crate::engine::output::{Outputs, Recipient};
use crate::engine::session::delivery::{Delivery, Source, SubscriptionIds};
use crate::engine::session::outbound::Outbound;
use crate::engine::session::received::Received;
use crate::engine::session::{Link, SessionKey};
use crate::mqtt::numbered::NumberedRun;
use crate::mqtt::{PacketId, PacketType, QoS, Reason, Version};

/// A run of messages and the only one who wants them.
struct Way<'a> {
    run: NumberedRun<'a>,
    session: SessionKey,
    origin: SessionId,
    /// How many QoS 2 messages the publisher may have open.
    open_max: u16,
    target: SessionKey,
    link: Link,
    qos: QoS,
}

const FOUND: &str = "the way leads between two sessions";

/// What was taken of a run.
#[derive(Default)]
struct Count {
    packets: u32,
    bytes: usize,
}

impl Shard {
    /// Takes the run of messages at the start of `bytes`, if there is one and nothing about it needs a closer look.
    pub(super) fn try_message_run(
        &mut self,
        key: ConnectionKey,
        bytes: &[u8],
        now: Time,
        out: &mut Outputs,
    ) -> RunTaken {
        let Some(way) = self.find_way(key, bytes) else { return RunTaken::None };
        let (connection, session) = (way.link.connection, way.session);
        // Whoever publishes may be the one who receives: what the run changes in the publisher's session is lent out.
        let mut received = mem::take(&mut self.sessions.get_mut(session).expect(FOUND).received);
        let outbound = self.sessions.get_mut(way.target).expect(FOUND).outbound();
        let acks = &mut self.acks;
        let mut count = Count::default();
        let draft = out.draft(None, |packets| {
            count = way.take(outbound, &mut received, self.copies_left, packets, acks);
            None
        });
        self.sessions.get_mut(session).expect(FOUND).received = received;
        if count.packets == 0 {
            return RunTaken::None;
        }
        out.send(draft.of_packets(count.packets), &[Recipient { connection, packet_id: None }]);
        self.flush_acks(key, out);
        self.copies_left -= count.packets as usize;
        self.stats.publishes_received += u64::from(count.packets);
        self.stats.ledger.routed += u64::from(count.packets);
        self.forget_answers(key);
        self.note_run(key, PacketType::Publish, &count, now);
        self.charge_quota(key, count.packets, count.bytes, now, out);
        RunTaken::Bytes(count.bytes)
    }

    /// The way of the run at the start of `bytes`: to one receiver of this shard whose packets need nothing special.
    fn find_way<'a>(&mut self, key: ConnectionKey, bytes: &'a [u8]) -> Option<Way<'a>> {
        let connection = self.connections.get(key)?;
        let version = connection.version;
        // Answers leave in the order of their requests: these would leave at once.
        if !connection.pipeline.is_empty() || connection.maximum_packet < SHORT_ACK_BYTES {
            return None;
        }
        let bytes = &bytes[..bytes.len().min(RUN_BYTES_MAX)];
        let run = NumberedRun::find(version, bytes, self.limits.packet_bytes_max)?;
        let session = connection.session?;
        let origin = self.sessions.get(session)?.id;
        let is_plain_run =
            run.qos() <= self.limits.maximum_qos && !run.topic().is_deeper_than(self.limits.topic_levels_max);
        if !is_plain_run || !self.may_publish_run(key, run.topic(), run.qos()) {
            return None;
        }
        let topic = run.topic().as_str();
        let others = self.wanting_shards(topic).difference(Bits64::of(self.id.bit()));
        if !others.is_empty() || self.is_behind_fanout(origin, topic) {
            return None;
        }
        let route = self.route_of(topic);
        let [target] = route.targets.as_slice() else { return None };
        let qos = run.qos().min(target.qos);
        let receiver = self.sessions.get(target.session)?;
        if receiver.outbound.as_ref().is_some_and(|outbound| !outbound.can_direct()) {
            return None;
        }
        let link = receiver.link.filter(|link| !link.is_full && is_plain(link, target.has_ids()))?;
        let is_own = target.has_no_local && receiver.id == origin;
        if qos == QoS::AtMostOnce || target.is_denied || is_own || !route.groups.is_empty() {
            return None;
        }
        // A 3.x client knows no Receive Maximum: its packet identifiers bound it.
        let open_max = if version == Version::V5 { self.limits.receive_maximum } else { u16::MAX };
        Some(Way { run, session, origin, open_max, target: target.session, link, qos })
    }

    /// Takes the acknowledgements of one kind at the start of `bytes` that say nothing but that all is well.
    pub(super) fn try_ack_run(&mut self, key: ConnectionKey, bytes: &[u8], now: Time, out: &mut Outputs) -> RunTaken {
        let Some(kind) = bytes.first().and_then(|first| AckKind::of_first_byte(*first)) else { return RunTaken::None };
        let Some(connection) = self.connections.get(key) else { return RunTaken::None };
        let Some(session) = connection.session.filter(|_| connection.maximum_packet >= SHORT_ACK_BYTES) else {
            return RunTaken::None;
        };
        let (mut count, mut has_room) = (Count::default(), false);
        for id in short_acks(bytes, kind).take(ACKS_PER_RUN_MAX) {
            has_room |= self.settle_short(key, session, kind, id, out);
            count.packets += 1;
            count.bytes += SHORT_ACK_BYTES as usize;
        }
        if count.packets == 0 {
            return RunTaken::None;
        }
        self.flush_acks(key, out);
        self.note_run(key, kind.packet_type(), &count, now);
        if has_room {
            self.room_in_window(session, now, out);
        }
        RunTaken::Bytes(count.bytes)
    }

    /// One acknowledgement of a run; whether it may have made room in the window. Its answer is gathered.
    fn settle_short(
        &mut self,
        key: ConnectionKey,
        session: SessionKey,
        kind: AckKind,
        id: PacketId,
        out: &mut Outputs,
    ) -> bool {
        let (answer, reason) = match kind {
            AckKind::Taken => return self.settle_puback(session, id, Reason::Success, out),
            AckKind::Complete => return self.settle_pubcomp(session, id),
            AckKind::Received => match self.settle_pubrec(session, id, Reason::Success, out) {
                Some(reason) => (AckKind::Release, reason),
                None => return true,
            },
            AckKind::Release => (AckKind::Complete, self.settle_pubrel(session, id)),
        };
        if reason == Reason::Success {
            answer.write_short(id, &mut self.acks);
        } else {
            self.flush_acks(key, out);
            self.write_ack(key, id, reason, answer, out);
        }
        false
    }

    /// Writes the answers that were gathered.
    fn flush_acks(&mut self, key: ConnectionKey, out: &mut Outputs) {
        let packets = self.acks.len() / SHORT_ACK_BYTES as usize;
        if packets > 0 {
            let packets = u32::try_from(packets).expect("a run is bounded");
            out.packets(key, packets, |bytes| bytes.append(&mut self.acks));
        }
    }

    /// Counts the packets of a run; they were a sign of life.
    fn note_run(&mut self, key: ConnectionKey, packet_type: PacketType, count: &Count, now: Time) {
        if let Some(connection) = self.connections.get_mut(key) {
            connection.last_received = now; // [MQTT-3.1.2-22]
        }
        let number = usize::from(packet_type.bits());
        self.stats.packets_received += u64::from(count.packets);
        self.stats.packets_received_by_type[number] += u64::from(count.packets);
        self.stats.packet_bytes_received_by_type[number] += count.bytes as u64;
    }
}

impl Way<'_> {
    /// Takes messages as long as they can be in the receiver's window at once: each becomes a packet for the receiver and
    /// an acknowledgement for the publisher.
    fn take(
        mut self,
        outbound: &mut Outbound,
        received: &mut Rare<Received>,
        copies_max: usize,
        packets: &mut Vec<u8>,
        acks: &mut Vec<u8>,
    ) -> Count {
        let is_exactly_once = self.run.qos() == QoS::ExactlyOnce;
        let kind = if is_exactly_once { AckKind::Received } else { AckKind::Taken };
        let mut count = Count::default();
        while (count.packets as usize) < copies_max && outbound.can_direct() {
            let Some(message) = self.run.next() else { break };
            let is_small = message.payload.len() <= INLINE_PAYLOAD_BYTES_MAX;
            if !is_small || received.open_here() >= self.open_max || received.contains(message.id) {
                break;
            }
            let Ok(id) = outbound.direct(self.delivery(message.payload)) else { break };
            self.run.encode(self.link.version, self.qos, id, message.payload, packets);
            if is_exactly_once {
                received.publish(message.id);
                received.stored(message.id);
            }
            kind.write_short(message.id, acks);
            count.packets += 1;
            count.bytes += message.len;
        }
        count
    }

    fn delivery(&self, payload: &[u8]) -> Delivery {
        let topic = self.run.topic().as_str();
        let message = Message::copied(topic, b"", payload, self.run.qos(), self.origin);
        Delivery { message, qos: self.qos, retain: false, ids: SubscriptionIds::None, source: Source::Own }
    }
}

/// The identifiers of the acknowledgements of one kind at the start of `bytes`, as far as they have no reason code.
fn short_acks(bytes: &[u8], kind: AckKind) -> impl Iterator<Item = PacketId> {
    let start = [kind.first_byte(), 2];
    let (packets, _cut) = bytes.as_chunks::<{ SHORT_ACK_BYTES as usize }>();
    packets.iter().map_while(move |packet| {
        let (head, id) = packet.split_first_chunk::<2>()?;
        PacketId::new(u16::from_be_bytes([id[0], id[1]])).filter(|_| *head == start)
    })
}
