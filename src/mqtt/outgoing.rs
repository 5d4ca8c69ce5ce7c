//! PUBLISH as it is written: a head for each kind of recipient, in front of payload bytes that all recipients share.

use std::num::NonZeroU16;

use super::frame::PACKET_BYTES_MAX;
use super::properties::Property;
use super::publish::first_byte;
use super::text::{put_text, put_u16, saturate};
use super::varint::{self, VARINT_MAX};
use super::version::{PacketId, QoS, Version};

/// A PUBLISH to be written. What its version cannot say is left out.
#[derive(Clone, Copy, Debug)]
pub struct Outgoing<'a> {
    /// The topic, or nothing when the alias stands for it.
    pub topic: &'a str,
    /// The topic alias.
    pub topic_alias: Option<NonZeroU16>,
    /// The quality of service of this delivery.
    pub qos: QoS,
    /// Whether the message was retained before.
    pub retain: bool,
    /// Whether this packet may have been sent before.
    pub dup: bool,
    /// The packet identifier. `None` above quality of service 0 leaves a zero to be patched for each recipient.
    pub packet_id: Option<PacketId>,
    /// What is left of the message expiry interval, in seconds.
    pub message_expiry: Option<u32>,
    /// The identifiers of the subscriptions that matched.
    pub subscription_ids: &'a [u32],
    /// The forwarded properties as `copy_forwarded` made them.
    pub forwarded: &'a [u8],
    /// The size of the payload in bytes.
    pub payload_len: usize,
}

impl Outgoing<'_> {
    /// The size of the property set without its length.
    fn properties_len(&self) -> usize {
        let alias = if self.topic_alias.is_some() { 3 } else { 0 };
        let expiry = if self.message_expiry.is_some() { 5 } else { 0 };
        let ids: usize = self.subscription_ids.iter().map(|&id| 1 + varint::encoded_len(id)).sum();
        alias + expiry + ids + self.forwarded.len()
    }

    /// The property length and the Remaining Length; `None` where the protocol cannot express them.
    fn lengths(&self, version: Version) -> Option<(u32, u32)> {
        let within = |len: usize| u32::try_from(len).ok().filter(|&len| len <= VARINT_MAX);
        let id = if self.qos > QoS::AtMostOnce { 2 } else { 0 };
        let mut remaining = 2 + self.topic.len() + id + self.payload_len;
        let mut properties = 0;
        if version.has_properties() {
            properties = within(self.properties_len())?;
            remaining += varint::encoded_len(properties) + properties as usize;
        }
        Some((properties, within(remaining)?))
    }

    fn check(&self, version: Version) {
        debug_assert!(!self.topic.is_empty() || (version.has_properties() && self.topic_alias.is_some()));
        // [MQTT-2.2.1-2] [MQTT-3.3.1-2]
        debug_assert!(self.qos > QoS::AtMostOnce || (self.packet_id.is_none() && !self.dup));
    }
}

/// Where the head of a PUBLISH that was just written ends and what can be patched in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Head {
    /// Where the two bytes of the packet identifier are, from the start of the head.
    pub packet_id_at: Option<u32>,
    /// The size of the head in bytes.
    pub len: u32,
}

/// Appends everything up to the payload, which follows as shared bytes of `outgoing.payload_len`.
///
/// The caller has checked `encoded_len` against what the recipient accepts, `PACKET_BYTES_MAX` at most.
pub fn encode_head(version: Version, outgoing: &Outgoing<'_>, out: &mut Vec<u8>) -> Head {
    outgoing.check(version);
    let (properties, remaining) = outgoing.lengths(version).expect("the caller has checked the size of the packet");
    let start = out.len();
    out.push(first_byte(outgoing.dup, outgoing.qos, outgoing.retain));
    varint::encode(remaining, out);
    put_text(outgoing.topic, out);
    let packet_id_at = (outgoing.qos > QoS::AtMostOnce).then(|| {
        let at = out.len() - start;
        put_u16(outgoing.packet_id.map_or(0, PacketId::get), out);
        saturate(at)
    });
    if version.has_properties() {
        varint::encode(properties, out);
        encode_properties(outgoing, out);
    }
    Head { packet_id_at, len: saturate(out.len() - start) }
}

fn encode_properties(outgoing: &Outgoing<'_>, out: &mut Vec<u8>) {
    if let Some(alias) = outgoing.topic_alias {
        Property::TopicAlias(alias).encode(out);
    }
    if let Some(seconds) = outgoing.message_expiry {
        Property::MessageExpiry(seconds).encode(out);
    }
    for &id in outgoing.subscription_ids {
        Property::SubscriptionId(id).encode(out); // [MQTT-3.3.4-3]
    }
    out.extend_from_slice(outgoing.forwarded);
}

/// The size of the whole packet, payload included; `u32::MAX` where the protocol cannot express it, which exceeds
/// every maximum that a recipient can state by way of `PACKET_BYTES_MAX`.
pub fn encoded_len(version: Version, outgoing: &Outgoing<'_>) -> u32 {
    const { assert!(PACKET_BYTES_MAX < u32::MAX) };
    match outgoing.lengths(version) {
        Some((_, remaining)) => 1 + saturate(varint::encoded_len(remaining)) + remaining,
        None => u32::MAX,
    }
}

#[cfg(test)]
mod tests {
    use super::super::frame::{Next, next_frame};
    use super::super::properties::{Properties, PropertyBuffer};
    use super::super::publish::{Publish, copy_forwarded};
    use super::super::topic::Topic;
    use super::*;
    use crate::base::random::Random;

    /// The parts of an outgoing message, chosen at random.
    struct Parts {
        topic: String,
        forwarded: Vec<u8>,
        subscription_ids: Vec<u32>,
        payload: Vec<u8>,
    }

    impl Parts {
        fn random(random: &mut Random) -> Parts {
            let mut user = String::from("v");
            user.push_str(&"x".repeat(*random.pick(&[0, 10, 100, 16_300]).unwrap()));
            let mut forwarded = PropertyBuffer::new();
            for _ in 0..random.index(3) {
                forwarded.push(Property::User("k", &user)).push(Property::User("", ""));
            }
            if random.chance(1, 2) {
                forwarded.push(Property::ContentType("text"));
            }
            Parts {
                topic: "a/".repeat(1 + random.index(80)),
                forwarded: forwarded.as_properties().raw().to_vec(),
                subscription_ids: (0..random.index(4)).map(|shift| 1 << (9 * shift)).collect(),
                payload: vec![7; *random.pick(&[0, 1, 90, 127, 128, 16_383, 70_000]).unwrap()],
            }
        }

        fn outgoing(&self, random: &mut Random) -> Outgoing<'_> {
            let qos = *random.pick(&[QoS::AtMostOnce, QoS::AtLeastOnce, QoS::ExactlyOnce]).unwrap();
            let acknowledged = qos > QoS::AtMostOnce;
            let number = u16::try_from(random.range(1, 65_535)).unwrap();
            Outgoing {
                topic: &self.topic,
                topic_alias: NonZeroU16::new(u16::try_from(random.below(3)).unwrap()),
                qos,
                retain: random.chance(1, 2),
                dup: acknowledged && random.chance(1, 2),
                packet_id: PacketId::new(number).filter(|_| acknowledged),
                message_expiry: random.chance(1, 2).then_some(3_600),
                subscription_ids: &self.subscription_ids,
                forwarded: &self.forwarded,
                payload_len: self.payload.len(),
            }
        }
    }

    fn whole(version: Version, outgoing: &Outgoing<'_>, payload: &[u8]) -> (Head, Vec<u8>) {
        let mut out = b"what was there before".to_vec();
        let head = encode_head(version, outgoing, &mut out);
        let mut packet = out.split_off(b"what was there before".len());
        assert_eq!(head.len as usize, packet.len());
        packet.extend_from_slice(payload);
        (head, packet)
    }

    #[test]
    fn random_messages_survive_the_round_trip_and_have_the_size_that_was_told() {
        let mut random = Random::from_seed(3);
        for turn in 0..3_000 {
            let version = Version::ALL[turn % 3];
            let parts = Parts::random(&mut random);
            let outgoing = parts.outgoing(&mut random);
            let (_, packet) = whole(version, &outgoing, &parts.payload);
            assert_eq!(encoded_len(version, &outgoing) as usize, packet.len());
            let Ok(Next::Frame(frame)) = next_frame(&packet, PACKET_BYTES_MAX) else { panic!("no packet") };
            assert!(frame.has_shortest_length());
            let read = Publish::decode_from_server(version, frame.first, frame.body).unwrap();
            assert_eq!(read.topic.map(Topic::as_str), Some(outgoing.topic));
            assert_eq!((read.dup, read.qos, read.retain), (outgoing.dup, outgoing.qos, outgoing.retain));
            assert_eq!((read.packet_id, read.payload), (outgoing.packet_id, parts.payload.as_slice()));
            if version.has_properties() {
                assert_eq!((read.topic_alias, read.message_expiry), (outgoing.topic_alias, outgoing.message_expiry));
                let mut forwarded = Vec::new();
                copy_forwarded(read.properties, &mut forwarded);
                assert_eq!(forwarded, outgoing.forwarded);
                let ids = outgoing.subscription_ids.iter().map(|&id| Property::SubscriptionId(id));
                assert!(read.properties.iter().filter(|it| it.id() == 0x0b).eq(ids));
            } else {
                assert_eq!(read.properties, Properties::NONE);
            }
            let mut again = Vec::new();
            read.encode(version, &mut again);
            assert_eq!(again, packet);
        }
    }

    #[test]
    fn a_patched_identifier_equals_an_encoded_one() {
        let mut random = Random::from_seed(4);
        for turn in 0..1_000 {
            let version = Version::ALL[turn % 3];
            let parts = Parts::random(&mut random);
            let outgoing = parts.outgoing(&mut random);
            let (expected_head, expected) = whole(version, &outgoing, b"");
            let (head, mut packet) = whole(version, &Outgoing { packet_id: None, ..outgoing }, b"");
            assert_eq!(head, expected_head);
            assert_eq!(head.packet_id_at.is_some(), outgoing.packet_id.is_some());
            if let (Some(at), Some(id)) = (head.packet_id_at, outgoing.packet_id) {
                packet[at as usize..at as usize + 2].copy_from_slice(&id.get().to_be_bytes());
            }
            assert_eq!(packet, expected);
        }
    }

    /// A message of quality of service 0 with the topic `a` and nothing else.
    const PLAIN: Outgoing<'static> = Outgoing {
        topic: "a",
        topic_alias: None,
        qos: QoS::AtMostOnce,
        retain: false,
        dup: false,
        packet_id: None,
        message_expiry: None,
        subscription_ids: &[],
        forwarded: &[],
        payload_len: 0,
    };

    #[test]
    fn the_largest_packet_is_told_from_one_that_cannot_be_expressed() {
        let mut outgoing = Outgoing { payload_len: VARINT_MAX as usize - 3, ..PLAIN };
        assert_eq!(encoded_len(Version::V311, &outgoing), PACKET_BYTES_MAX);
        assert_eq!(encoded_len(Version::V5, &outgoing), u32::MAX);
        outgoing.payload_len -= 1;
        assert_eq!(encoded_len(Version::V5, &outgoing), PACKET_BYTES_MAX);
    }

    #[test]
    fn sizes_grow_with_the_length_fields_at_their_borders() {
        // What follows the Remaining Length is 3 bytes and the payload.
        for (payload_len, size) in
            [(124, 129), (125, 131), (16_380, 16_386), (16_381, 16_388), (2_097_148, 2_097_155), (2_097_149, 2_097_157)]
        {
            let outgoing = Outgoing { payload_len, ..PLAIN };
            assert_eq!(encoded_len(Version::V311, &outgoing), size);
        }
    }
}
