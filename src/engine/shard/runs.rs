//! Runs of messages that are acknowledged: neighbouring PUBLISH packets of one topic with identifiers of their own.
//!
//! What the ordinary way asks for each packet is asked once a run: who the client is, whether it may publish, who wants the
//! topic. Only what needs no closer look goes this way: a run ends in front of the first packet that does, and that one goes
//! the ordinary way. Two ways are short: to a single receiver on this shard, and with QoS 1 to other shards only.

use super::Shard;
use super::acknowledge::{AckKind, SHORT_ACK_BYTES};
use super::fanout::is_plain;
use super::verbatim::RunTaken;
use crate::base::bitset::Bits64;
use crate::base::time::Time;
use crate::engine::connection::ConnectionKey;
use crate::engine::homes::ShardId;
use crate::engine::limits::{ANSWERS_OWED_MAX, COPIES_PER_ACKNOWLEDGED, INLINE_PAYLOAD_BYTES_MAX, RUN_BYTES_MAX};
use crate::engine::mesh::{Mesh, RunPiece};
use crate::engine::message::{Message, Publication, SessionId};
use crate::engine::output::{Outputs, Recipient};
use crate::engine::session::delivery::{Delivery, Source, SubscriptionIds};
use crate::engine::session::outbound::Outbound;
use crate::engine::session::pipeline::{Due, Outcome, Outcomes, Ticket};
use crate::engine::session::{Link, SessionKey};
use crate::mqtt::numbered::{Numbered, NumberedRun};
use crate::mqtt::{PacketType, QoS, Version};

/// The only one on this shard who wants a topic.
struct Receiver {
    session: SessionKey,
    link: Link,
    /// The quality of service of his copies.
    qos: QoS,
}

/// What was taken of a run.
#[derive(Default)]
pub(super) struct Count {
    pub packets: u32,
    pub bytes: usize,
}

const FOUND: &str = "the session was found when the run was looked at";

impl Shard {
    /// Takes the run of messages at the start of `bytes`, if there is one and nothing about it needs a closer look.
    pub(super) fn try_message_run(
        &mut self,
        key: ConnectionKey,
        bytes: &[u8],
        now: Time,
        out: &mut Outputs,
    ) -> RunTaken {
        let Some(run) = self.find_message_run(key, bytes) else { return RunTaken::None };
        let wanted = self.wanting_shards(run.topic().as_str());
        let others = wanted.difference(Bits64::of(self.id.bit()));
        let taken = if others.is_empty() {
            self.take_here(key, run, out)
        } else {
            self.take_elsewhere(key, run, bytes, others, out)
        };
        let Some(count) = taken.filter(|count| count.packets > 0) else { return RunTaken::None };
        self.stats.publishes_received += u64::from(count.packets);
        self.forget_answers(key);
        self.note_run(key, PacketType::Publish, &count, now);
        self.bound_answers(key, now, out);
        self.charge_quota(key, count.packets, count.bytes, now, out);
        RunTaken::Bytes(count.bytes)
    }

    /// The run at the start of `bytes`, if the client may publish it.
    fn find_message_run<'a>(&self, key: ConnectionKey, bytes: &'a [u8]) -> Option<NumberedRun<'a>> {
        let connection = self.connections.get(key)?;
        let limits = self.limits_of(connection.peer.listener);
        let bytes = &bytes[..bytes.len().min(RUN_BYTES_MAX)];
        let run = NumberedRun::find(connection.version, bytes, limits.packet_bytes_max)?;
        let is_within_limits = run.qos() <= limits.maximum_qos && !run.topic().is_deeper_than(limits.topic_levels_max);
        (is_within_limits && self.may_publish_run(key, run.topic(), run.qos())).then_some(run)
    }

    /// To a single receiver of this shard; the acknowledgements leave at once.
    fn take_here(&mut self, key: ConnectionKey, run: NumberedRun<'_>, out: &mut Outputs) -> Option<Count> {
        let connection = self.connections.get(key)?;
        // Answers leave in the order of their requests: these would overtake the ones that wait.
        if !connection.pipeline.is_empty() || connection.maximum_packet < SHORT_ACK_BYTES {
            return None;
        }
        let (publisher, version) = (connection.session?, connection.version);
        let session = self.sessions.get(publisher)?;
        let origin = session.id;
        if self.journaling.is_on() && session.is_lasting() && run.qos() == QoS::ExactlyOnce {
            return None; // each identifier is noted
        }
        let receiver = self.only_receiver(run.topic().as_str(), run.qos(), origin)?;
        // A 3.x client knows no Receive Maximum: its packet identifiers bound it. [MQTT-3.3.4-7]
        let open_max = if version == Version::V5 { self.limits.receive_maximum } else { u16::MAX };
        let is_exactly_once = run.qos() == QoS::ExactlyOnce;
        let kind = if is_exactly_once { AckKind::Received } else { AckKind::Taken };
        // Who publishes may be the one who receives: what changes of the publisher is taken out for the time of the run.
        let mut open = self.sessions.get_mut(publisher).expect(FOUND).take_received();
        let acks = &mut self.acks;
        let accept = |message: &Numbered<'_>| {
            if open.open_here() >= open_max || open.contains(message.id) {
                return false;
            }
            if is_exactly_once {
                open.publish(message.id);
                open.stored(message.id);
            }
            kind.write_short(message.id, acks);
            true
        };
        let outbound = self.sessions.get_mut(receiver.session).expect(FOUND).outbound();
        let count_max = self.copies_left.div_ceil(COPIES_PER_ACKNOWLEDGED);
        let count = write_run(run, &receiver, outbound, origin, count_max, accept, out);
        self.sessions.get_mut(publisher).expect(FOUND).put_received(open);
        self.note_copies(&count);
        self.flush_acks(key, out);
        Some(count)
    }

    /// To other shards, as it came; the acknowledgements leave when they have spoken.
    fn take_elsewhere(
        &mut self,
        key: ConnectionKey,
        run: NumberedRun<'_>,
        bytes: &[u8],
        others: Bits64,
        out: &mut Outputs,
    ) -> Option<Count> {
        if run.qos() != QoS::AtLeastOnce || !self.route_of(run.topic().as_str()).is_empty() {
            return None;
        }
        let connection = self.connections.get_mut(key)?;
        let session = self.sessions.get(connection.session?)?;
        let is_v5 = connection.version == Version::V5;
        let mut room = ANSWERS_OWED_MAX.saturating_sub(connection.pipeline.len());
        if is_v5 {
            let open = connection.pipeline.pubacks_open() + u32::from(session.extras.received.open_here());
            room = room.min(u32::from(self.limits.receive_maximum).saturating_sub(open) as usize);
        }
        let waits = u16::try_from(others.iter().count()).expect("there are 64 shards at most");
        let (mut count, mut first) = (Count::default(), None);
        for message in run.take(room) {
            let due = Due::PubAck { id: message.id, refusal: None };
            let ticket = connection.pipeline.push(due, waits, Outcome::default());
            first.get_or_insert(ticket);
            count.packets += 1;
            count.bytes += message.len;
        }
        let ticket = first?;
        let bytes = self.chunks.copy(&[&bytes[..count.bytes]]);
        let run = RunPiece { bytes, count: count.packets, is_v5, origin: session.id };
        for to in others.iter().map(ShardId::of_bit) {
            self.stats.forwards_sent += 1;
            self.tell(to, Mesh::Numbered { run: run.clone(), publisher: key, ticket }, out);
            self.slow_down_for_shard(to, Some(key), out);
        }
        Some(count)
    }

    /// A run that another shard took in: what becomes of each message here, and the messages that are too much for this input.
    pub(super) fn forwarded_messages(
        &mut self,
        run: &RunPiece,
        publisher: (ShardId, ConnectionKey),
        now: Time,
        out: &mut Outputs,
    ) -> (Outcomes, Option<RunPiece>) {
        let version = if run.is_v5 { Version::V5 } else { Version::V311 };
        let mut outcomes = Outcomes::default();
        let messages = NumberedRun::find(version, &run.bytes, u32::MAX).expect("a run holds whole packets");
        let topic = messages.topic().as_str();
        let mut done = Count::default();
        if let Some(receiver) = self.only_receiver(topic, messages.qos(), run.origin) {
            let outbound = self.sessions.get_mut(receiver.session).expect(FOUND).outbound();
            let count = write_run(messages, &receiver, outbound, run.origin, usize::MAX, |_| true, out);
            self.note_copies(&count);
            outcomes.push(Outcome::stored(), count.packets);
            done = count;
        }
        for message in NumberedRun::find(version, &run.bytes[done.bytes..], u32::MAX).into_iter().flatten() {
            if done.packets > 0 && self.has_caused_enough() {
                break;
            }
            let mut publication = Publication::new(topic, b"", message.payload, QoS::AtLeastOnce, run.origin);
            outcomes.push(self.deliver(&mut publication, Some(publisher), now, out), 1);
            done.packets += 1;
            done.bytes += message.len;
        }
        let rest = run.behind(done.packets, done.bytes);
        if rest.is_none() {
            self.note_forward(outcomes.iter().any(|outcome| outcome.matched));
        }
        (outcomes, rest)
    }

    /// Another shard has a run in the hands of everybody there.
    pub(super) fn messages_stored(
        &mut self,
        publisher: ConnectionKey,
        ticket: Ticket,
        outcomes: &Outcomes,
        now: Time,
        out: &mut Outputs,
    ) {
        let Some(connection) = self.connections.get_mut(publisher) else { return };
        for (number, outcome) in (0..).zip(outcomes.iter()) {
            connection.pipeline.resolve(ticket.after(number), outcome);
        }
        self.flush_pipeline(publisher, now, out);
    }

    /// The only one here who wants a topic, if he gets what everybody would get, and gets it at once.
    fn only_receiver(&mut self, topic: &str, qos: QoS, origin: SessionId) -> Option<Receiver> {
        if self.is_behind_fanout(origin, topic) {
            return None;
        }
        let route = self.route_of(topic);
        let [target] = route.targets.as_slice() else { return None };
        let session = self.sessions.get(target.session)?;
        let link = session.link().filter(|link| link.is_open() && is_plain(link, target.has_ids()))?;
        let is_durable = self.journaling.is_on() && session.is_lasting();
        let has_way = !is_durable && session.outbound.as_ref().is_none_or(|outbound| outbound.can_direct());
        let is_excluded = self.is_denied(target, topic) || (target.has_no_local && session.id == origin);
        let qos = qos.min(target.qos); // [MQTT-3.8.4-8]
        let is_only = has_way && !is_excluded && qos > QoS::AtMostOnce && route.groups.is_empty();
        is_only.then_some(Receiver { session: target.session, link, qos })
    }

    fn note_copies(&mut self, count: &Count) {
        self.stats.ledger.routed += u64::from(count.packets);
        self.charge(count.packets as usize * COPIES_PER_ACKNOWLEDGED);
    }
}

/// Puts messages into the receiver's window as long as they `accept` and there is room, and writes them.
fn write_run(
    mut run: NumberedRun<'_>,
    receiver: &Receiver,
    outbound: &mut Outbound,
    origin: SessionId,
    count_max: usize,
    mut accept: impl FnMut(&Numbered<'_>) -> bool,
    out: &mut Outputs,
) -> Count {
    let mut count = Count::default();
    let draft = out.draft(None, |packets| {
        while (count.packets as usize) < count_max && outbound.can_direct() {
            let Some(message) = run.next() else { break };
            if message.payload.len() > INLINE_PAYLOAD_BYTES_MAX || !accept(&message) {
                break;
            }
            let id = outbound.direct(delivery(&run, message.payload, receiver.qos, origin));
            let id = id.expect("there is room for one more");
            run.encode(receiver.link.version, receiver.qos, id, message.payload, packets);
            count.packets += 1;
            count.bytes += message.len;
        }
        None
    });
    if count.packets > 0 {
        let recipient = Recipient { connection: receiver.link.connection, packet_id: None };
        out.send(draft.of_packets(count.packets), &[recipient]);
    }
    count
}

fn delivery(run: &NumberedRun<'_>, payload: &[u8], qos: QoS, origin: SessionId) -> Delivery {
    let message = Message::copied(run.topic().as_str(), payload, run.qos(), origin);
    Delivery { message, qos, retain: false, ids: SubscriptionIds::None, source: Source::OWN }
}
