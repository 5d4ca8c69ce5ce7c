//! PUBLISH as it is read: the packet that carries messages, taken apart without an allocation.

use std::num::NonZeroU16;

use bytes::BufMut;

use super::error::DecodeError;
pub use super::outgoing::{Head, Outgoing, encode_head, encoded_len};
use super::properties::{Place, Properties, Property};
use super::text::{Reader, put_text, put_u16, saturate};
use super::topic::Topic;
use super::varint;
use super::version::{PacketId, PacketType, QoS, Version};

/// The flags in the first byte.
const RETAIN: u8 = 0b0001;
const QOS_SHIFT: u8 = 1;
const DUP: u8 = 0b1000;

/// The first byte of a PUBLISH with no flag set: quality of service 0, not retained.
pub const PLAIN_FIRST_BYTE: u8 = PacketType::Publish.bits() << 4;

/// A PUBLISH as it stands in a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Publish<'a> {
    /// Whether the sender may have sent this packet before.
    pub dup: bool,
    /// The quality of service of this delivery.
    pub qos: QoS,
    /// Whether the message is to be retained, or was.
    pub retain: bool,
    /// The topic; `None` where the packet has only an alias for it.
    pub topic: Option<Topic<'a>>,
    /// The topic alias: a copy of what `properties` holds.
    pub topic_alias: Option<NonZeroU16>,
    /// The packet identifier; there is one exactly when the quality of service is above 0. [MQTT-2.2.1-2]
    pub packet_id: Option<PacketId>,
    /// The message expiry interval in seconds: a copy of what `properties` holds.
    pub message_expiry: Option<u32>,
    /// All properties.
    pub properties: Properties<'a>,
    /// The payload.
    pub payload: &'a [u8],
}

/// Which side wrote a PUBLISH: only a server puts subscription identifiers into it.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Origin {
    Client,
    Server,
}

impl<'a> Publish<'a> {
    /// Reads a PUBLISH that a client sent.
    pub fn decode(version: Version, first: u8, body: &'a [u8]) -> Result<Self, DecodeError> {
        Self::decode_from(Origin::Client, version, first, body)
    }

    /// Reads a PUBLISH that a server sent; it may hold subscription identifiers.
    pub fn decode_from_server(version: Version, first: u8, body: &'a [u8]) -> Result<Self, DecodeError> {
        Self::decode_from(Origin::Server, version, first, body)
    }

    fn decode_from(origin: Origin, version: Version, first: u8, body: &'a [u8]) -> Result<Self, DecodeError> {
        debug_assert_eq!(PacketType::of_first_byte(first), Some(PacketType::Publish));
        let bits = first >> QOS_SHIFT & 0b11;
        let qos = QoS::from_bits(bits).ok_or(DecodeError::QoSInvalid { bits })?; // [MQTT-3.3.1-4]
        let (dup, retain) = (first & DUP != 0, first & RETAIN != 0);
        if dup && qos == QoS::AtMostOnce {
            return Err(DecodeError::DupAtMostOnce); // [MQTT-3.3.1-2]
        }
        let mut reader = Reader::new(body);
        let topic = Topic::decode(&mut reader)?;
        let packet_id = if qos == QoS::AtMostOnce { None } else { Some(reader.packet_id()?) };
        let seen = if version.has_properties() { Seen::decode(origin, &mut reader)? } else { Seen::default() };
        if topic.is_none() && seen.topic_alias.is_none() {
            return Err(DecodeError::TopicMissing); // [MQTT-4.7.3-1]
        }
        Ok(Publish {
            dup,
            qos,
            retain,
            topic,
            topic_alias: seen.topic_alias,
            packet_id,
            message_expiry: seen.message_expiry,
            properties: seen.properties,
            payload: reader.rest(),
        })
    }

    /// Appends this packet with `properties` as they are. A version without properties leaves them out.
    pub fn encode(&self, version: Version, out: &mut Vec<u8>) {
        debug_assert_eq!(self.properties.topic_alias(), self.topic_alias);
        debug_assert_eq!(self.properties.message_expiry(), self.message_expiry);
        debug_assert_eq!(self.packet_id.is_some(), self.qos > QoS::AtMostOnce);
        let topic = self.topic.map_or("", Topic::as_str);
        let properties = if version.has_properties() { self.properties.encoded_len() } else { 0 };
        let id = if self.packet_id.is_some() { 2 } else { 0 };
        out.push(first_byte(self.dup, self.qos, self.retain));
        varint::encode(saturate(2 + topic.len() + id + properties + self.payload.len()), out);
        put_text(topic, out);
        if let Some(id) = self.packet_id {
            put_u16(id.get(), out);
        }
        if version.has_properties() {
            self.properties.encode(out);
        }
        out.extend_from_slice(self.payload);
    }

    /// The properties in the form of `copy_forwarded` without copying, where none of them ends at the broker.
    pub fn forwarded_unchanged(&self) -> Option<&'a [u8]> {
        let mut ids = self.properties.entries().map(|(id, _)| id);
        ids.all(is_forwarded).then_some(self.properties.raw())
    }
}

/// What one pass over the properties of a PUBLISH yields.
#[derive(Default)]
struct Seen<'a> {
    properties: Properties<'a>,
    topic_alias: Option<NonZeroU16>,
    message_expiry: Option<u32>,
}

impl<'a> Seen<'a> {
    fn decode(origin: Origin, reader: &mut Reader<'a>) -> Result<Self, DecodeError> {
        let (mut topic_alias, mut message_expiry) = (None, None);
        let properties = Properties::decode_each(reader, Place::Publish, |property| {
            if let Property::TopicAlias(alias) = property {
                topic_alias = Some(alias);
            } else if let Property::MessageExpiry(seconds) = property {
                message_expiry = Some(seconds);
            } else if let (Property::SubscriptionId(_), Origin::Client) = (property, origin) {
                return Err(DecodeError::SubscriptionIdFromClient); // [MQTT-3.3.4-6]
            }
            Ok(())
        })?;
        Ok(Seen { properties, topic_alias, message_expiry })
    }
}

/// Appends the properties that a broker forwards unchanged, in their order: payload format, content type, response
/// topic, correlation data, user properties. [MQTT-3.3.2-4] [MQTT-3.3.2-15] [MQTT-3.3.2-16] [MQTT-3.3.2-17]
/// [MQTT-3.3.2-18] [MQTT-3.3.2-20] Will properties become those of the will message the same way.
///
/// Expiry, alias and subscription identifiers are new for each delivery and stay behind.
pub fn copy_forwarded(properties: Properties<'_>, out: &mut impl BufMut) {
    for (id, bytes) in properties.entries() {
        if is_forwarded(id) {
            out.put_slice(bytes);
        }
    }
}

/// Whether the property of this identifier belongs to the message and not to one delivery of it.
const fn is_forwarded(id: u8) -> bool {
    const PAYLOAD_FORMAT: u8 = Property::PayloadFormat(false).id();
    const CONTENT_TYPE: u8 = Property::ContentType("").id();
    const RESPONSE_TOPIC: u8 = Property::ResponseTopic("").id();
    const CORRELATION_DATA: u8 = Property::CorrelationData(&[]).id();
    const USER: u8 = Property::User("", "").id();
    matches!(id, PAYLOAD_FORMAT | CONTENT_TYPE | RESPONSE_TOPIC | CORRELATION_DATA | USER)
}

/// The first byte of a PUBLISH with these flags.
pub(super) fn first_byte(dup: bool, qos: QoS, retain: bool) -> u8 {
    let dup = if dup { DUP } else { 0 };
    let retain = if retain { RETAIN } else { 0 };
    PLAIN_FIRST_BYTE | dup | (qos.bits() << QOS_SHIFT) | retain
}

#[cfg(test)]
mod tests {
    use super::super::frame::{Next, PACKET_BYTES_MAX, next_frame};
    use super::super::properties::PropertyBuffer;
    use super::super::topic::TopicError;
    use super::*;
    use crate::base::random::Random;

    /// What a client's packet of these bytes decodes to.
    fn decode(version: Version, bytes: &[u8]) -> Result<Publish<'_>, DecodeError> {
        match next_frame(bytes, PACKET_BYTES_MAX) {
            Ok(Next::Frame(frame)) => Publish::decode(version, frame.first, frame.body),
            other => panic!("no packet: {other:?}"),
        }
    }

    fn alias(number: u16) -> Option<NonZeroU16> {
        NonZeroU16::new(number)
    }

    #[test]
    fn golden_packets_are_read_and_written_the_same() {
        let golden: [(Version, &[u8], QoS, &[u8]); 6] = [
            (Version::V31, b"\x30\x07\0\x03a/bhi", QoS::AtMostOnce, b"hi"),
            (Version::V311, b"\x3b\x07\0\x03a/b\x12\x34", QoS::AtLeastOnce, b""),
            (Version::V311, b"\x34\x08\0\x03a/b\xff\xff!", QoS::ExactlyOnce, b"!"),
            (Version::V5, b"\x31\x06\0\x03a/b\0", QoS::AtMostOnce, b""),
            (Version::V5, b"\x32\x0f\0\x03a/b\0\x01\x05\x02\0\0\0\x3chi", QoS::AtLeastOnce, b"hi"),
            (Version::V5, b"\x3d\x0c\0\x03a/b\0\x07\x03\x23\0\x09!", QoS::ExactlyOnce, b"!"),
        ];
        for (version, bytes, qos, payload) in golden {
            let publish = decode(version, bytes).unwrap();
            assert_eq!((publish.qos, publish.payload), (qos, payload));
            assert_eq!(publish.topic.map(Topic::as_str), Some("a/b"));
            let mut out = Vec::new();
            publish.encode(version, &mut out);
            assert_eq!(out, bytes);
        }
        let all = decode(Version::V5, golden[5].1).unwrap();
        assert_eq!((all.dup, all.retain, all.packet_id), (true, true, PacketId::new(7)));
        assert_eq!((all.topic_alias, all.message_expiry), (alias(9), None));
        assert_eq!(decode(Version::V5, golden[4].1).unwrap().message_expiry, Some(60));
    }

    #[test]
    fn malformed_packets_are_told_apart() {
        let refused: [(&[u8], DecodeError); 14] = [
            (b"\x36\x06\0\x01a\0\x01\0", DecodeError::QoSInvalid { bits: 3 }),
            (b"\x38\x04\0\x01a\0", DecodeError::DupAtMostOnce),
            (b"\x30\x00", DecodeError::Truncated { wanted: 2, left: 0 }),
            (b"\x30\x04\0\x05ab", DecodeError::Truncated { wanted: 5, left: 2 }),
            (b"\x32\x04\0\x01a\0", DecodeError::Truncated { wanted: 2, left: 1 }),
            (b"\x32\x06\0\x01a\0\0\0", DecodeError::PacketIdZero),
            (b"\x30\x03\0\x01a", DecodeError::Truncated { wanted: 1, left: 0 }),
            (b"\x30\x05\0\x02\xc0\xaf\0", DecodeError::TextNotUtf8 { at: 0 }),
            (b"\x30\x05\0\x02a\0\0", DecodeError::TextWithNul { at: 1 }),
            (b"\x30\x06\0\x03a/+\0", DecodeError::TopicInvalid(TopicError::Wildcard { at: 2 })),
            (b"\x30\x03\0\0\0", DecodeError::TopicMissing),
            (b"\x30\x07\0\x01a\x03\x23\0\0", DecodeError::TopicAliasZero),
            (b"\x30\x06\0\x01a\x02\x0b\x01", DecodeError::SubscriptionIdFromClient),
            (b"\x30\x05\0\x01a\x80\0", DecodeError::VarintNotShortest { value: 0, len: 2 }),
        ];
        for (bytes, error) in refused {
            assert_eq!(decode(Version::V5, bytes), Err(error), "{bytes:02x?}");
        }
        for version in [Version::V31, Version::V311] {
            assert_eq!(decode(version, b"\x30\x02\0\0"), Err(DecodeError::TopicMissing));
            assert_eq!(decode(version, b"\x36\x05\0\x01a\0\x01"), Err(DecodeError::QoSInvalid { bits: 3 }));
        }
    }

    #[test]
    fn an_alias_stands_for_the_topic() {
        let publish = decode(Version::V5, b"\x30\x06\0\0\x03\x23\0\x03").unwrap();
        assert_eq!((publish.topic, publish.topic_alias), (None, alias(3)));
    }

    #[test]
    fn a_server_may_send_several_subscription_identifiers() {
        let bytes = b"\x30\x08\0\x01a\x04\x0b\x01\x0b\x02";
        let publish = Publish::decode_from_server(Version::V5, bytes[0], &bytes[2..]).unwrap();
        let ids = [Property::SubscriptionId(1), Property::SubscriptionId(2)];
        assert!(publish.properties.iter().eq(ids));
        assert_eq!(publish.forwarded_unchanged(), None);
    }

    #[test]
    fn the_largest_topic_is_read() {
        let topic = "/".repeat(65_535);
        let mut bytes = Vec::new();
        put_text(&topic, &mut bytes);
        let publish = Publish::decode(Version::V311, PLAIN_FIRST_BYTE, &bytes).unwrap();
        assert_eq!(publish.topic.map(Topic::level_count), Some(65_536));
    }

    #[test]
    fn forwarded_properties_keep_their_order_and_the_others_stay() {
        let mut set = PropertyBuffer::new();
        let kept = [
            Property::User("a", "1"),
            Property::PayloadFormat(true),
            Property::User("b", "2"),
            Property::CorrelationData(b"\0\xff"),
            Property::ResponseTopic("r"),
            Property::User("a", "1"),
            Property::ContentType("c"),
        ];
        set.push(kept[0]).push(Property::MessageExpiry(5)).push(kept[1]).push(kept[2]);
        set.push(Property::TopicAlias(NonZeroU16::MIN)).push(kept[3]).push(Property::SubscriptionId(1));
        set.push(kept[4]).push(kept[5]).push(kept[6]);
        let mut forwarded = Vec::new();
        copy_forwarded(set.as_properties(), &mut forwarded);
        let copied = Properties::parse(&forwarded, Place::Publish).unwrap();
        assert!(copied.iter().eq(kept));
    }

    #[test]
    fn properties_that_all_are_forwarded_need_no_copy() {
        let plain = decode(Version::V5, b"\x30\x09\0\x01a\x05\x26\0\0\0\0").unwrap();
        assert_eq!(plain.forwarded_unchanged(), Some(plain.properties.raw()));
        let aliased = decode(Version::V5, b"\x30\x07\0\x01a\x03\x23\0\x01").unwrap();
        assert_eq!(aliased.forwarded_unchanged(), None);
        assert_eq!(decode(Version::V311, b"\x30\x03\0\x01a").unwrap().forwarded_unchanged(), Some(&[][..]));
    }

    /// One byte of these changed, put in or taken out.
    fn mutate(bytes: &mut Vec<u8>, random: &mut Random) {
        let at = random.index(bytes.len());
        let byte = *random.pick(&[0, 1, 2, 0x0b, 0x23, 0x26, 0x7f, 0x80, b'a', b'+', 0xc3, 0xff]).unwrap();
        match random.below(3) {
            0 => bytes[at] = byte,
            1 => bytes.insert(at, byte),
            _ => drop(bytes.remove(at)),
        }
    }

    #[test]
    fn whatever_is_accepted_is_written_back_byte_for_byte() {
        let seeds: [(u8, &[u8]); 3] = [
            (0x30, b"\0\x03a/b\0hi"),
            (0x32, b"\0\x01a\0\x01\x12\x02\0\0\0\x3c\x23\0\x01\x01\x01\x26\0\x01k\0\x01vhi"),
            (0x3d, b"\0\0\0\x07\x0f\x23\0\x09\x08\0\x01r\x09\0\x01\0\x03\0\x01c"),
        ];
        let mut random = Random::from_seed(6);
        let mut accepted = 0;
        for turn in 0..30_000 {
            let (first, seed) = seeds[turn % 3];
            let mut body = seed.to_vec();
            for _ in 0..random.range(1, 3) {
                mutate(&mut body, &mut random);
            }
            let version = Version::ALL[turn / 3 % 3];
            let Ok(publish) = Publish::decode(version, first, &body) else {
                continue;
            };
            accepted += 1;
            let mut out = Vec::new();
            publish.encode(version, &mut out);
            assert_eq!(&out[out.len() - body.len()..], body);
            let mut set = PropertyBuffer::new();
            publish.properties.iter().for_each(|property| {
                set.push(property);
            });
            assert_eq!(set.as_properties(), publish.properties);
        }
        assert!(accepted > 3_000, "{accepted} accepted");
    }
}
