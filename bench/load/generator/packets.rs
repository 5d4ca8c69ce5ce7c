//! The packets that the generator writes and the one that it reads by itself: a PUBLISH, taken apart as far as its stamp.
//!
//! What is written once a connection comes from the broker's own codec. A message is a copy of a template with a few bytes
//! patched, and one received is read up to its payload: the codec would check topic and properties, which costs more.

use pregon::mqtt::connect::Connect;
use pregon::mqtt::outgoing::{Outgoing, encode_head};
use pregon::mqtt::properties::{Properties, Property, PropertyBuffer};
use pregon::mqtt::subscribe::{RequestBuffer, Requested, Subscribe};
use pregon::mqtt::{PacketId, PacketType, QoS, Version, varint};

use super::stamp::{STAMP_BYTES, Stamp};

/// The longest silence that is announced, in seconds: no run is as long, so the generator never pings.
const KEEP_ALIVE_S: u16 = u16::MAX;

/// How long a session outlives its connection where the version asks for a number, in seconds: longer than any run.
const LASTING_S: u32 = 86_400;

/// What a client asks of its session when it connects.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Session {
    /// It is new and ends with the connection.
    Passing,
    /// It outlives the connection, and is not there yet.
    Lasting,
    /// It outlives the connection, and is there from an earlier one.
    Resumed,
}

/// Appends the first packet of a connection.
pub fn connect(version: Version, client_id: &str, session: Session, out: &mut Vec<u8>) {
    let mut properties = PropertyBuffer::new();
    if session != Session::Passing && version.has_properties() {
        properties.push(Property::SessionExpiry(LASTING_S));
    }
    // Before 5.0 a session that is to last cannot be begun anew: the first of them must not be there.
    let clean_start = session == Session::Passing || session == Session::Lasting && version.has_properties();
    let packet = Connect {
        version,
        bridge: false,
        clean_start,
        keep_alive: KEEP_ALIVE_S,
        client_id,
        will: None,
        user_name: None,
        password: None,
        properties: properties.as_properties(),
    };
    packet.encode(out);
}

/// Appends a subscription to one filter.
pub fn subscribe(version: Version, filter: &str, qos: QoS, out: &mut Vec<u8>) {
    let mut requests = RequestBuffer::default();
    requests.push(&Requested::new(filter, qos));
    let id = PacketId::new(1).expect("one is not zero");
    Subscribe::new(id, Properties::NONE, &requests).encode(version, out);
}

/// The farewell without properties, the same in all versions.
pub const DISCONNECT: [u8; 2] = [PacketType::Disconnect.bits() << 4, 0];

/// An acknowledgement without reason, the same in all versions.
#[inline]
pub fn acknowledge(packet: PacketType, id: u16, out: &mut Vec<u8>) {
    let flags = if packet == PacketType::PubRel { 0b0010 } else { 0 };
    let [high, low] = id.to_be_bytes();
    out.extend_from_slice(&[packet.bits() << 4 | flags, 2, high, low]);
}

/// A PUBLISH of one publisher, complete but for identifier and stamp.
#[derive(Clone, Debug)]
pub struct Template {
    bytes: Vec<u8>,
    packet_id_at: Option<usize>,
    stamp_at: usize,
    publisher: u32,
}

impl Template {
    /// The messages of this publisher: all to one topic, all of one size, which is at least that of a stamp.
    pub fn new(version: Version, topic: &str, qos: QoS, payload_len: usize, publisher: u32) -> Self {
        assert!(payload_len >= STAMP_BYTES, "the arguments have been checked");
        let outgoing = Outgoing {
            topic,
            topic_alias: None,
            qos,
            retain: false,
            dup: false,
            packet_id: None,
            message_expiry: None,
            subscription_ids: &[],
            forwarded: &[],
            payload_len,
        };
        let mut bytes = Vec::new();
        let head = encode_head(version, &outgoing, &mut bytes);
        let stamp_at = bytes.len();
        bytes.extend((0..payload_len).map(|at| b"abcdefghijklmnopqrstuvwxyz"[at % 26]));
        Template { bytes, packet_id_at: head.packet_id_at.map(|at| at as usize), stamp_at, publisher }
    }

    /// Appends a message. Above quality of service 0 it bears `packet_id`.
    #[inline]
    pub fn append(&self, sequence: u64, sent_ns: u64, packet_id: u16, out: &mut Vec<u8>) {
        let start = out.len();
        out.extend_from_slice(&self.bytes);
        let packet = &mut out[start..];
        if let Some(at) = self.packet_id_at {
            packet[at..at + 2].copy_from_slice(&packet_id.to_be_bytes());
        }
        let stamp = Stamp { publisher: self.publisher, sequence, sent_ns };
        packet[self.stamp_at..self.stamp_at + STAMP_BYTES].copy_from_slice(&stamp.to_bytes());
    }
}

/// A message as it came from the broker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Delivery {
    /// The two bits of the quality of service.
    pub qos: u8,
    /// The packet identifier, zero at quality of service 0.
    pub packet_id: u16,
    /// Which message it is.
    pub stamp: Stamp,
}

impl Delivery {
    /// Reads a PUBLISH; `None` if it is malformed or its payload is none of ours.
    #[inline]
    pub fn read(version: Version, first: u8, body: &[u8]) -> Option<Delivery> {
        let qos = first >> 1 & 0b11;
        let (topic_len, rest) = body.split_first_chunk()?;
        let mut rest = rest.get(usize::from(u16::from_be_bytes(*topic_len))..)?;
        let mut packet_id = 0;
        if qos > 0 {
            let (id, behind) = rest.split_first_chunk()?;
            (packet_id, rest) = (u16::from_be_bytes(*id), behind);
        }
        if version.has_properties() {
            let properties = varint::decode(rest).ok()??;
            rest = rest.get(properties.len + properties.value as usize..)?;
        }
        Some(Delivery { qos, packet_id, stamp: Stamp::read(rest)? })
    }
}
