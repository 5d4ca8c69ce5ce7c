//! What a client of a story hears.

use std::num::NonZeroU16;

use pregon::mqtt::packet::{Packet, Sender};
use pregon::mqtt::property::Property;
use pregon::mqtt::publish::Publish;
use pregon::mqtt::{PacketId, Reason, Version};

/// A PUBLISH from the broker, in memory of its own.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Delivery {
    /// The topic's name, empty behind a known alias.
    pub topic: String,
    /// The payload.
    pub payload: Vec<u8>,
    /// 0, 1 or 2.
    pub qos: u8,
    /// The RETAIN flag.
    pub retain: bool,
    /// The DUP flag.
    pub dup: bool,
    /// The packet identifier.
    pub id: Option<u16>,
    /// Message Expiry Interval.
    pub expiry: Option<u32>,
    /// Subscription Identifiers, in the order of the packet.
    pub subscription_ids: Vec<u32>,
    /// Topic Alias.
    pub alias: Option<u16>,
    /// User Properties, in the order of the packet.
    pub user: Vec<(String, String)>,
    /// All properties, encoded.
    pub properties: Vec<u8>,
    /// The size of the whole packet.
    pub bytes: usize,
}

/// Anything else from the broker. Reasons are numbers, so that a test reads like the standard.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Heard {
    /// CONNACK: session present, reason, properties.
    ConnAck(bool, u8, Vec<u8>),
    /// PUBLISH.
    Publish(Delivery),
    /// PUBACK: identifier, reason, properties.
    PubAck(u16, u8, Vec<u8>),
    /// PUBREC.
    PubRec(u16, u8, Vec<u8>),
    /// PUBREL.
    PubRel(u16, u8, Vec<u8>),
    /// PUBCOMP.
    PubComp(u16, u8, Vec<u8>),
    /// SUBACK: identifier, codes, properties.
    SubAck(u16, Vec<u8>, Vec<u8>),
    /// UNSUBACK: identifier, codes, properties.
    UnsubAck(u16, Vec<u8>, Vec<u8>),
    /// PINGRESP.
    PingResp,
    /// DISCONNECT: reason, properties.
    Disconnect(u8, Vec<u8>),
    /// AUTH: reason, properties.
    Auth(u8, Vec<u8>),
    /// The broker closed the connection; said once.
    Closed,
}

/// What one packet of the broker says.
pub fn understand(version: Version, first: u8, body: &[u8], bytes: usize) -> Heard {
    if version != Version::V5 && first == 0x20 {
        return Heard::ConnAck(body[0] == 1, body[1], Vec::new());
    }
    let packet = Packet::decode(version, Sender::Server, first, body);
    let packet = packet.unwrap_or_else(|error| panic!("the broker sent {first:02x} {body:02x?}: {error}"));
    let raw = packet.properties().raw().to_vec();
    match packet {
        Packet::ConnAck(connack) => Heard::ConnAck(connack.session_present, connack.reason.code(), raw),
        Packet::Publish(publish) => Heard::Publish(delivery(&publish, raw, bytes)),
        Packet::PubAck(ack) => Heard::PubAck(ack.id.get(), ack.reason.code(), raw),
        Packet::PubRec(ack) => Heard::PubRec(ack.id.get(), ack.reason.code(), raw),
        Packet::PubRel(ack) => Heard::PubRel(ack.id.get(), ack.reason.code(), raw),
        Packet::PubComp(ack) => Heard::PubComp(ack.id.get(), ack.reason.code(), raw),
        Packet::SubAck(ack) => Heard::SubAck(ack.id.get(), ack.reasons.iter().map(Reason::code).collect(), raw),
        Packet::UnsubAck(ack) => Heard::UnsubAck(ack.id.get(), ack.reasons.iter().map(Reason::code).collect(), raw),
        Packet::PingResp => Heard::PingResp,
        Packet::Disconnect(disconnect) => Heard::Disconnect(disconnect.reason.code(), raw),
        Packet::Auth(auth) => Heard::Auth(auth.reason.code(), raw),
        Packet::Connect(_) | Packet::Subscribe(_) | Packet::Unsubscribe(_) | Packet::PingReq => {
            panic!("a broker does not send {first:02x}")
        }
    }
}

fn delivery(publish: &Publish<'_>, properties: Vec<u8>, bytes: usize) -> Delivery {
    let subscription_ids = publish.properties.iter().filter_map(|property| match property {
        Property::SubscriptionId(id) => Some(id),
        _ => None,
    });
    Delivery {
        topic: publish.topic.map(|topic| topic.as_str().to_owned()).unwrap_or_default(),
        payload: publish.payload.to_vec(),
        qos: publish.qos.bits(),
        retain: publish.retain,
        dup: publish.dup,
        id: publish.packet_id.map(PacketId::get),
        expiry: publish.message_expiry,
        subscription_ids: subscription_ids.collect(),
        alias: publish.topic_alias.map(NonZeroU16::get),
        user: publish.properties.user().map(|(name, value)| (name.to_owned(), value.to_owned())).collect(),
        properties,
        bytes,
    }
}
