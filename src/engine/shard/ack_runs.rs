//! Runs of acknowledgements: neighbouring packets of one kind that say nothing but that all is well.
//!
//! They are settled one by one, but their answers leave as one piece, and whether there is something more to send is asked
//! once, behind the last one.

use std::mem;

use super::Shard;
use super::acknowledge::{AckKind, SHORT_ACK_BYTES};
use super::runs::Count;
use super::verbatim::RunTaken;
use crate::base::time::Time;
use crate::engine::change::Serial;
use crate::engine::connection::ConnectionKey;
use crate::engine::limits::ACKS_PER_RUN_MAX;
use crate::engine::output::Outputs;
use crate::engine::session::SessionKey;
use crate::mqtt::{PacketId, PacketType, Reason};

impl Shard {
    /// Takes the acknowledgements of one kind at the start of `bytes` that say nothing but that all is well.
    pub(super) fn try_ack_run(&mut self, key: ConnectionKey, bytes: &[u8], now: Time, out: &mut Outputs) -> RunTaken {
        let Some(kind) = bytes.first().and_then(|first| AckKind::of_first_byte(*first)) else { return RunTaken::None };
        let Some(session) = self.connections.get(key).and_then(|connection| connection.session) else {
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
            AckKind::Complete => return self.settle_pubcomp(session, id, out),
            AckKind::Received => match self.settle_pubrec(session, id, Reason::Success, out) {
                Some(reason) => (AckKind::Release, reason),
                None => return true,
            },
            AckKind::Release => match self.release_identifier(key, session, id, out) {
                Some(reason) => (AckKind::Complete, reason),
                None => return false, // it is answered when other shards have spoken
            },
        };
        let promises = self.is_durable(session);
        self.gather_ack(key, id, reason, answer, promises, out);
        false
    }

    /// Writes an acknowledgement, one that says that all is well behind others of its kind; [`Self::flush_acks`] ends them.
    pub(super) fn gather_ack(
        &mut self,
        key: ConnectionKey,
        id: PacketId,
        reason: Reason,
        kind: AckKind,
        promises: bool,
        out: &mut Outputs,
    ) {
        let Some(connection) = self.connections.get(key) else { return };
        let is_short = reason == Reason::Success && connection.maximum_packet >= SHORT_ACK_BYTES;
        let is_of_run = is_short && self.acks.first().is_none_or(|first| *first == kind.first_byte());
        if !is_of_run {
            self.flush_acks(key, out);
        }
        self.are_acks_promises |= promises;
        if is_short {
            kind.write_short(id, &mut self.acks);
        } else {
            let promises = self.promised_by_acks();
            out.promising(promises, |out| self.write_ack(key, id, reason, kind, out));
        }
    }

    /// Writes the acknowledgements that were gathered.
    pub(super) fn flush_acks(&mut self, key: ConnectionKey, out: &mut Outputs) {
        let packets = self.acks.len() / SHORT_ACK_BYTES as usize;
        if packets > 0 {
            let packets = u32::try_from(packets).expect("runs and answers owed are bounded");
            let promises = self.promised_by_acks();
            out.promising(promises, |out| out.packets(key, packets, |bytes| bytes.append(&mut self.acks)));
        }
    }

    /// What the acknowledgements that are written now wait for.
    fn promised_by_acks(&mut self) -> Serial {
        if mem::take(&mut self.are_acks_promises) { self.journaling.pending() } else { Serial::NONE }
    }

    /// Counts the packets of a run; they were a sign of life.
    pub(super) fn note_run(&mut self, key: ConnectionKey, packet_type: PacketType, count: &Count, now: Time) {
        if let Some(connection) = self.connections.get_mut(key) {
            connection.last_received = now; // [MQTT-3.1.2-22]
        }
        let number = usize::from(packet_type.bits());
        self.stats.packets_received += u64::from(count.packets);
        self.stats.packets_received_by_type[number] += u64::from(count.packets);
        self.stats.packet_bytes_received_by_type[number] += count.bytes as u64;
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
