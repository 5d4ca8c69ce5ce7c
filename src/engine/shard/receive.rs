//! From bytes to packets: each whole packet is handled where it lies, only a partial one is copied aside.

use core::net::SocketAddr;
use std::mem;
use std::sync::Arc;

use bytes::{Buf, Bytes, BytesMut};

use super::Shard;
use super::verbatim::RunTaken;
use crate::base::time::Time;
use crate::engine::auth::certificate::Certificate;
use crate::engine::connection::{Begun, Connection, ConnectionKey, Patience, Peer, Phase};
use crate::engine::event::Cause;
use crate::engine::limits::{CONNECT_BYTES_MAX, COPIES_PER_PACKET, REQUEST_BYTES_MAX};
use crate::engine::output::Outputs;
use crate::engine::stats::Limit;
use crate::mqtt::frame::{Frame, Next, SHARED_BYTES_MIN, next_frame, partial_capacity};
use crate::mqtt::packet::{Packet, Sender};
use crate::mqtt::publish::PLAIN_FIRST_BYTE;
use crate::mqtt::{DecodeError, PacketType, Reason, Version};

/// What a packet did to its connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Flow {
    /// It is done; the next one may come.
    Next,
    /// It must be handled again later: the connection is held.
    Wait,
    /// The connection is gone.
    Gone,
    /// The connection moves to its home, with the bytes behind this packet.
    Moved,
}

/// What became of the first bytes of a buffer.
enum Taken {
    Bytes(usize),
    Needs(usize),
    Held,
    Gone,
    Moved(usize),
}

impl Shard {
    /// A new connection on this shard's listener; nothing at all when there are too many, when its address is banned, or when the shard
    /// is stopping.
    pub fn accept(&mut self, peer: Peer, now: Time) -> Option<ConnectionKey> {
        if self.is_stopping {
            self.stats.connects_refused += 1;
            return None;
        }
        let seat = self.seat(peer, now)?;
        // One deadline for all that comes before CONNACK: a proxy's word, TLS, WebSocket, CONNECT, its answers.
        let handshake_by = now.after_ms(self.limits_of(peer.listener).connect_timeout_ms);
        let key = self.connections.insert(Connection { seat: Some(seat), ..Connection::new(peer, now, handshake_by) });
        self.look_at_connection(key);
        self.stats.connections_opened += 1;
        Some(key)
    }

    /// It has turned out who is at the other end, before CONNECT. Whoever is one too many there is closed.
    pub(super) fn introduce(
        &mut self,
        key: ConnectionKey,
        address: Option<SocketAddr>,
        certificate: Option<Arc<Certificate>>,
        now: Time,
        out: &mut Outputs,
    ) {
        let Some(connection) = self.connections.get_mut(key) else { return };
        debug_assert!(matches!(connection.phase, Phase::AwaitConnect { .. }), "nobody was judged yet");
        if certificate.is_some() {
            connection.certificate = certificate;
        }
        if let Some(address) = address {
            connection.peer.address = address;
            self.seat_at(key, address, now, out);
        }
    }

    /// Nothing more comes of a connection. A hold is our affair: whatever came before takes effect, as if it had come without the end.
    pub(super) fn peer_ends(&mut self, key: ConnectionKey, now: Time, out: &mut Outputs) {
        let Some(connection) = self.connections.get_mut(key) else { return };
        connection.has_ended = true;
        self.go_on_receiving(key, now, out);
    }

    /// Handles what was held, as far as nothing holds it any more; behind the last of it a connection is over whose peer has ended.
    pub(super) fn go_on_receiving(&mut self, key: ConnectionKey, now: Time, out: &mut Outputs) {
        let is_all = self.receive(key, &[], now, out);
        if is_all && self.connections.get(key).is_some_and(|connection| connection.has_ended) {
            self.end(key, Cause::ConnectionLost, now, out);
        }
    }

    /// Bytes of a connection, cut anywhere. Whether all that is whole of them was handled, and the connection is still here.
    pub(super) fn receive(&mut self, key: ConnectionKey, bytes: &[u8], now: Time, out: &mut Outputs) -> bool {
        let is_all = self.take_in(key, bytes, now, out);
        self.bound_lent(key, now, out);
        is_all
    }

    fn take_in(&mut self, key: ConnectionKey, mut bytes: &[u8], now: Time, out: &mut Outputs) -> bool {
        let Some(connection) = self.connections.get_mut(key) else { return false };
        self.stats.bytes_received += bytes.len() as u64;
        if connection.is_held() {
            let is_asked_about = matches!(connection.phase, Phase::Authenticating(_));
            let has_nothing = bytes.is_empty() && !is_asked_about && !has_whole_packet(connection);
            if !bytes.is_empty() {
                self.holdings.take_out(connection);
                append(&mut connection.held.get_or_insert_default().bytes, bytes);
                self.holdings.put_in(connection);
            }
            return has_nothing;
        }
        let (mut held, mut patience) = (BytesMut::new(), None);
        if connection.held.is_some() {
            self.holdings.take_out(connection);
            if let Some(begun) = connection.held.take() {
                (held, patience) = (begun.bytes, Some(begun.patience));
            }
            self.holdings.put_in(connection);
        }
        while !held.is_empty() {
            match self.take_held(key, &mut held, now, out) {
                Taken::Bytes(_) => patience = None, // what follows is another packet
                Taken::Needs(_) if bytes.is_empty() => {
                    self.put_aside(key, held, patience, now);
                    return true;
                }
                Taken::Needs(count) => {
                    let (more, rest) = bytes.split_at(count.min(bytes.len()));
                    append(&mut held, more);
                    bytes = rest;
                }
                Taken::Held => {
                    append(&mut held, bytes);
                    self.put_aside(key, held, patience, now);
                    return false;
                }
                Taken::Gone => return false,
                Taken::Moved(_) => {
                    hand_on(&[&held, bytes], out);
                    return false;
                }
            }
        }
        while !bytes.is_empty() {
            match self.take_one(key, bytes, None, now, out) {
                Taken::Bytes(count) => bytes = &bytes[count..],
                Taken::Needs(_) => {
                    self.put_aside(key, bytes.into(), None, now);
                    return true;
                }
                Taken::Held => {
                    self.put_aside(key, bytes.into(), None, now);
                    return false;
                }
                Taken::Gone => return false,
                Taken::Moved(count) => {
                    hand_on(&[&bytes[count..]], out);
                    return false;
                }
            }
        }
        true
    }

    /// Handles the first packet, or the first run of packets, of what was held, and takes it off.
    ///
    /// A large packet hands its memory on: whoever keeps its message keeps these bytes and not a copy of them.
    fn take_held(&mut self, key: ConnectionKey, held: &mut BytesMut, now: Time, out: &mut Outputs) -> Taken {
        if !is_one_large_packet(held) {
            let taken = self.take_one(key, held, None, now, out);
            if let Taken::Bytes(count) | Taken::Moved(count) = taken {
                held.advance(count);
                self.compact(key, held);
            }
            return taken;
        }
        let packet = mem::take(held).freeze();
        let taken = self.take_one(key, &packet, Some(&packet), now, out);
        if matches!(taken, Taken::Held) {
            *held = BytesMut::from(packet); // nobody has kept it: the same memory
        }
        taken
    }

    /// Behind a packet of somebody who has proven nothing its memory is given back: it would stay with what follows, and count no more.
    fn compact(&self, key: ConnectionKey, held: &mut BytesMut) {
        if !held.is_empty() && self.is_in_handshake(key) {
            *held = BytesMut::from(&held[..]);
        }
    }

    /// Handles the first packet, or the first run of packets, of a buffer, which may lie in shared memory.
    fn take_one(
        &mut self,
        key: ConnectionKey,
        bytes: &[u8],
        memory: Option<&Bytes>,
        now: Time,
        out: &mut Outputs,
    ) -> Taken {
        let Some(connection) = self.connections.get(key) else { return Taken::Gone };
        if connection.is_held() {
            return Taken::Held;
        }
        if self.has_caused_enough() {
            self.hold_for_turn(key, out);
            return Taken::Held;
        }
        let is_connect = bytes.first().is_none_or(|first| first >> 4 == PacketType::Connect.bits());
        if !is_connect && matches!(connection.phase, Phase::AwaitConnect { .. }) {
            // [MQTT-3.1.0-1] no need to wait for the end of what is no CONNECT.
            self.stats.protocol_errors += 1;
            self.end(key, Cause::Protocol(Reason::ProtocolError), now, out);
            return Taken::Gone;
        }
        let (is_connected, listener) = (connection.is_connected(), connection.peer.listener);
        let is_again = connection.extras.as_ref().is_some_and(|extras| extras.is_counted);
        let agreed = self.limits_of(listener).packet_bytes_max;
        let maximum = bytes_max(bytes, is_connected, agreed);
        if is_connected && !is_again {
            match self.try_runs(key, bytes, now, out) {
                RunTaken::Bytes(count) => return Taken::Bytes(count),
                RunTaken::None => {}
            }
        }
        let (flow, count) = match next_frame(bytes, maximum) {
            Ok(Next::Need(count)) => return Taken::Needs(count),
            Ok(Next::Frame(frame)) => {
                let frame = memory.map_or(frame, |memory| frame.within(memory));
                (self.frame(key, frame, is_again, now, out), frame.len)
            }
            Err(error) => (self.bad_frame(key, bytes, &error, now, out), 0),
        };
        if is_again != (flow == Flow::Wait) {
            self.note_counted(key, !is_again);
        }
        match flow {
            Flow::Next => Taken::Bytes(count),
            Flow::Wait => Taken::Held,
            Flow::Gone => Taken::Gone,
            Flow::Moved => Taken::Moved(count),
        }
    }

    /// The short way of packets that come in rows, by the first byte of the first one.
    fn try_runs(&mut self, key: ConnectionKey, bytes: &[u8], now: Time, out: &mut Outputs) -> RunTaken {
        let Some(first) = bytes.first() else { return RunTaken::None };
        if *first >> 4 != PacketType::Publish.bits() {
            self.try_ack_run(key, bytes, now, out)
        } else if *first == PLAIN_FIRST_BYTE {
            self.try_run(key, bytes, now, out)
        } else {
            self.try_message_run(key, bytes, now, out)
        }
    }

    /// Bytes wait with their connection: for more of their packet, if there was patience with that as long as too little came.
    fn put_aside(&mut self, key: ConnectionKey, bytes: BytesMut, patience: Option<Patience>, now: Time) {
        let patience = patience
            .filter(|patience| !patience.is_earned(bytes.len()))
            .unwrap_or_else(|| Patience::from(now, bytes.len(), self.limits.read_stall_ms));
        let Some(connection) = self.connections.get_mut(key) else { return };
        self.holdings.take_out(connection);
        connection.held = (!bytes.is_empty()).then(|| Box::new(Begun { bytes, patience }));
        self.holdings.put_in(connection);
        if connection.held.is_some() && connection.is_connected() {
            self.look_at_connection(key);
        }
    }

    /// A packet that has to wait is looked at again, and is the same one then.
    fn note_counted(&mut self, key: ConnectionKey, is_counted: bool) {
        if let Some(connection) = self.connections.get_mut(key) {
            connection.extras().is_counted = is_counted;
        }
    }

    fn frame(&mut self, key: ConnectionKey, frame: Frame<'_>, is_again: bool, now: Time, out: &mut Outputs) -> Flow {
        if !is_again {
            self.charge(COPIES_PER_PACKET);
            self.stats.packets_received += 1;
            self.stats.packets_received_by_type[usize::from(frame.first >> 4)] += 1;
            self.stats.packet_bytes_received_by_type[usize::from(frame.first >> 4)] += frame.len as u64;
        }
        let Some(connection) = self.connections.get_mut(key) else { return Flow::Gone };
        // [MQTT-3.1.2-22] any packet of the client is a sign of life, our own are not.
        connection.last_received = now;
        match &connection.phase {
            Phase::AwaitConnect { .. } => self.first_packet(key, frame, now, out),
            Phase::Authenticating(_) => self.packet_while_authenticating(key, frame, now, out),
            Phase::Connected if frame.first >> 4 == PacketType::Publish.bits() => self.publish(key, frame, now, out),
            Phase::Connected => self.packet(key, frame, now, out),
        }
    }

    fn packet(&mut self, key: ConnectionKey, frame: Frame<'_>, now: Time, out: &mut Outputs) -> Flow {
        let Some(connection) = self.connections.get(key) else { return Flow::Gone };
        let version = connection.version;
        if frame.first >> 4 == PacketType::Subscribe.bits() && self.is_undecided(key, frame.body, out) {
            return Flow::Wait;
        }
        let packet = match Packet::decode(version, Sender::Client, frame.first, frame.body) {
            Ok(packet) => packet,
            Err(error) => return self.protocol_error(key, &error, now, out),
        };
        match packet {
            Packet::Publish(_) => unreachable!("a PUBLISH took its own way"),
            Packet::PubAck(ack) => self.puback(key, ack, now, out),
            Packet::PubRec(ack) => self.pubrec(key, ack, now, out),
            Packet::PubRel(ack) => self.pubrel(key, ack, out),
            Packet::PubComp(ack) => self.pubcomp(key, ack, now, out),
            Packet::Subscribe(subscribe) => self.subscribe(key, subscribe, now, out),
            Packet::Unsubscribe(unsubscribe) => self.unsubscribe(key, unsubscribe, now, out),
            Packet::PingReq => {
                // [MQTT-3.12.4-1]
                out.packet(key, |bytes| Packet::PingResp.encode(version, bytes));
                self.give_memory_back(key);
                Flow::Next
            }
            Packet::Disconnect(disconnect) => self.client_disconnects(key, &disconnect, now, out),
            Packet::Auth(auth) => self.reauthenticate(key, &auth, now, out),
            // [MQTT-3.1.0-2] a second CONNECT; the others only a server may send.
            Packet::Connect(_) | Packet::ConnAck(_) | Packet::SubAck(_) | Packet::UnsubAck(_) | Packet::PingResp => {
                self.violation(key, Reason::ProtocolError, now, out)
            }
        }
    }

    /// A client that pings has nothing else to say: what its last messages needed is free for others.
    fn give_memory_back(&mut self, key: ConnectionKey) {
        let Some(connection) = self.connections.get_mut(key) else { return };
        if let Some(pipeline) = connection.pipeline.used() {
            pipeline.shrink_if_empty();
        }
        let session = connection.session.and_then(|session| self.sessions.get_mut(session));
        if let Some(outbound) = session.and_then(|session| session.outbound.as_mut()) {
            outbound.shrink_if_empty();
        }
    }

    /// A header that announces what cannot be.
    fn bad_frame(
        &mut self,
        key: ConnectionKey,
        bytes: &[u8],
        error: &DecodeError,
        now: Time,
        out: &mut Outputs,
    ) -> Flow {
        if matches!(error, DecodeError::PacketTooLarge { .. }) {
            self.reached(Limit::PacketBytes);
        }
        let Some(connection) = self.connections.get(key) else { return Flow::Gone };
        if connection.is_connected() {
            return self.protocol_error(key, error, now, out);
        }
        // An oversized CONNECT of 5.0 deserves its reason.
        if is_connect_of_v5(bytes) {
            self.refuse(key, Some(Version::V5), error.reason(), now, out)
        } else {
            self.end(key, Cause::Protocol(error.reason()), now, out);
            Flow::Gone
        }
    }

    /// The client sent what cannot be decoded.
    pub(super) fn protocol_error(
        &mut self,
        key: ConnectionKey,
        error: &DecodeError,
        now: Time,
        out: &mut Outputs,
    ) -> Flow {
        self.violation_with_text(key, error.reason(), Some(error), now, out)
    }

    /// The client sent what it must not.
    pub(super) fn violation(&mut self, key: ConnectionKey, reason: Reason, now: Time, out: &mut Outputs) -> Flow {
        self.violation_with_text(key, reason, None, now, out)
    }

    fn violation_with_text(
        &mut self,
        key: ConnectionKey,
        reason: Reason,
        error: Option<&DecodeError>,
        now: Time,
        out: &mut Outputs,
    ) -> Flow {
        self.stats.protocol_errors += 1;
        match error {
            Some(error) => self.say_goodbye(key, reason, Some(&error.to_string()), out),
            None => self.say_goodbye(key, reason, None, out),
        }
        // [MQTT-4.13.1-1] [MQTT-4.8.0-1] the connection is closed, and its will is published.
        self.end(key, Cause::Protocol(reason), now, out);
        Flow::Gone
    }
}

/// Whether a CONNECT of 5.0 begins here: the protocol's name and level stand in its first bytes.
pub(super) fn is_connect_of_v5(bytes: &[u8]) -> bool {
    bytes.first().is_some_and(|first| first >> 4 == PacketType::Connect.bits())
        && bytes.windows(7).take(5).any(|window| window == b"\x00\x04MQTT\x05")
}

/// The largest packet that may begin so: nobody that we do not know makes us hold much, and only a message may be as large as was agreed.
fn bytes_max(bytes: &[u8], is_connected: bool, agreed: u32) -> u32 {
    match bytes.first() {
        _ if !is_connected => agreed.min(CONNECT_BYTES_MAX),
        Some(first) if first >> 4 == PacketType::Publish.bits() => agreed,
        _ => agreed.min(REQUEST_BYTES_MAX),
    }
}

/// Whether something whole is held back: what has only begun takes no effect once its connection is over.
fn has_whole_packet(connection: &Connection) -> bool {
    let held = connection.held.as_ref();
    held.is_some_and(|begun| !matches!(next_frame(&begun.bytes, u32::MAX), Ok(Next::Need(_))))
}

/// Whether these bytes are one packet, and large enough to be worth sharing.
fn is_one_large_packet(bytes: &[u8]) -> bool {
    bytes.len() >= SHARED_BYTES_MIN
        && matches!(next_frame(bytes, u32::MAX), Ok(Next::Frame(frame)) if frame.len == bytes.len())
}

/// Puts a piece behind what is held. Memory for a packet that is cut is found as [`partial_capacity`] says.
fn append(held: &mut BytesMut, piece: &[u8]) {
    let len = held.len() + piece.len();
    if len > held.capacity()
        && let Ok(Next::Need(missing)) = next_frame(held, u32::MAX)
        && len <= held.len() + missing
    {
        let mut grown = BytesMut::with_capacity(partial_capacity(len, held.len() + missing));
        grown.extend_from_slice(held);
        *held = grown;
    }
    held.extend_from_slice(piece);
}

/// Gives bytes that were read already to the connection that has just been handed over.
fn hand_on(rest: &[&[u8]], out: &mut Outputs) {
    let hand_over = out.hand_overs.last_mut().expect("a connection that moved was handed over");
    for bytes in rest {
        hand_over.arrival.unread.extend_from_slice(bytes);
    }
}
