//! Packets that the stories have no builder for.

use pregon::mqtt::disconnect::Disconnect;
use pregon::mqtt::packet::Packet;
use pregon::mqtt::properties::{Properties, PropertyBuffer};
use pregon::mqtt::property::Property;
use pregon::mqtt::subscribe::{RequestBuffer, Requested, RetainHandling, Subscribe};
use pregon::mqtt::unsubscribe::{FilterBuffer, Unsubscribe};
use pregon::mqtt::{PacketId, QoS, Reason, Subscription, Version};

/// First byte of PUBACK.
pub const PUBACK: u8 = 0x40;
/// First byte of PUBREC.
pub const PUBREC: u8 = 0x50;
/// First byte of PUBREL.
pub const PUBREL: u8 = 0x62;
/// First byte of PUBCOMP.
pub const PUBCOMP: u8 = 0x70;

/// One filter of a SUBSCRIBE.
#[derive(Clone, Debug)]
pub struct Wanted {
    /// The whole text.
    pub text: String,
    /// Maximum `QoS`.
    pub qos: u8,
    /// No Local.
    pub no_local: bool,
    /// Retain As Published.
    pub as_published: bool,
    /// Retain Handling.
    pub handling: u8,
}

impl Wanted {
    /// A filter with the default options.
    pub fn plain(text: &str, qos: u8) -> Self {
        Self { text: text.to_owned(), qos, no_local: false, as_published: false, handling: 0 }
    }
}

/// An acknowledgement without a word.
pub fn ack(first: u8, id: u16) -> Vec<u8> {
    let [high, low] = id.to_be_bytes();
    vec![first, 2, high, low]
}

/// PUBACK with a reason.
pub fn refusal(id: u16, reason: Reason) -> Vec<u8> {
    let [high, low] = id.to_be_bytes();
    vec![PUBACK, 3, high, low, reason.code()]
}

/// DISCONNECT.
pub fn disconnect(version: Version, reason: Reason) -> Vec<u8> {
    encode(version, &Packet::Disconnect(Disconnect::new(reason)))
}

/// DISCONNECT that changes the session's expiry.
pub fn disconnect_with_expiry(expiry_s: u32) -> Vec<u8> {
    let mut properties = PropertyBuffer::default();
    properties.push(Property::SessionExpiry(expiry_s));
    let packet = Disconnect { reason: Reason::Success, properties: properties.as_properties() };
    encode(Version::V5, &Packet::Disconnect(packet))
}

/// SUBSCRIBE.
pub fn subscribe(version: Version, id: u16, wanted: &[Wanted], identifier: Option<u32>) -> Vec<u8> {
    let mut properties = PropertyBuffer::default();
    if let Some(identifier) = identifier {
        properties.push(Property::SubscriptionId(identifier));
    }
    let mut buffer = RequestBuffer::default();
    for Wanted { text, qos, no_local, as_published, handling } in wanted {
        buffer.push(&Requested {
            text,
            subscription: Subscription::parse(text),
            qos: QoS::from_bits(*qos).expect("0, 1 or 2"),
            no_local: *no_local,
            retain_as_published: *as_published,
            retain_handling: match handling {
                0 => RetainHandling::SendAtSubscribe,
                1 => RetainHandling::SendIfNew,
                _ => RetainHandling::DoNotSend,
            },
        });
    }
    encode(version, &Packet::Subscribe(Subscribe::new(packet_id(id), properties.as_properties(), &buffer)))
}

/// UNSUBSCRIBE.
pub fn unsubscribe(version: Version, id: u16, filters: &[String]) -> Vec<u8> {
    let mut buffer = FilterBuffer::default();
    for filter in filters {
        buffer.push(filter);
    }
    encode(version, &Packet::Unsubscribe(Unsubscribe::new(packet_id(id), Properties::NONE, &buffer)))
}

fn packet_id(number: u16) -> PacketId {
    PacketId::new(number).expect("not zero")
}

fn encode(version: Version, packet: &Packet<'_>) -> Vec<u8> {
    let mut bytes = Vec::new();
    packet.encode(version, &mut bytes);
    bytes
}
