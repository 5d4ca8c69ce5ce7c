//! Numbered runs: neighbouring PUBLISH packets of one topic that carry packet identifiers, read one after the other.
//!
//! Such packets never leave as they came, for each receiver has identifiers of its own. What a run saves is the topic: it
//! is read once, and the packets behind the first one only have to begin with the same bytes.

use super::frame::{Next, next_frame};
use super::publish::first_byte;
use super::text::{Reader, put_u16, saturate};
use super::topic::Topic;
use super::varint;
use super::version::{PacketId, QoS, Version};

/// Packets of one topic and quality of service: sent for the first time, not retained, no property. Advances as it is read.
#[derive(Clone, Debug)]
pub struct NumberedRun<'a> {
    left: &'a [u8],
    version: Version,
    maximum_packet: u32,
    first: u8,
    /// The topic with its length in front, which is how each body begins.
    head: &'a [u8],
    topic: Topic<'a>,
    qos: QoS,
    /// The fixed header and the head of the packet read last: what begins like it is of the same size.
    prefix: &'a [u8],
    /// That size.
    len: usize,
}

/// One packet of a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Numbered<'a> {
    /// Its packet identifier.
    pub id: PacketId,
    /// Its payload.
    pub payload: &'a [u8],
    /// The size of the whole packet.
    pub len: usize,
}

impl<'a> NumberedRun<'a> {
    /// The run at the front of `bytes`, of packets of at most `maximum_packet`.
    ///
    /// `None` says that the first packet is of another kind: then the ordinary decoder speaks. Every packet that the run
    /// gives is one that the ordinary decoder accepts, with the same values.
    pub fn find(version: Version, bytes: &'a [u8], maximum_packet: u32) -> Option<Self> {
        let qos = match bytes.first()? {
            first if *first == first_byte(false, QoS::AtLeastOnce, false) => QoS::AtLeastOnce,
            first if *first == first_byte(false, QoS::ExactlyOnce, false) => QoS::ExactlyOnce,
            _ => return None,
        };
        let Ok(Next::Frame(frame)) = next_frame(bytes, maximum_packet) else { return None };
        let mut reader = Reader::new(frame.body);
        let topic = Topic::decode(&mut reader).ok()??;
        let head = &frame.body[..frame.body.len() - reader.remaining()];
        let prefix = &bytes[..frame.len - reader.remaining()];
        let run =
            Self { left: bytes, version, maximum_packet, first: frame.first, head, topic, qos, prefix, len: frame.len };
        let has_packet = run.clone().next().is_some();
        has_packet.then_some(run)
    }

    /// The topic of every packet.
    pub fn topic(&self) -> Topic<'a> {
        self.topic
    }

    /// The quality of service of every packet.
    pub fn qos(&self) -> QoS {
        self.qos
    }

    /// Appends a packet of this topic as a receiver gets it that it needs no property for.
    pub fn encode(&self, version: Version, qos: QoS, id: PacketId, payload: &[u8], out: &mut Vec<u8>) {
        debug_assert!(qos > QoS::AtMostOnce, "what has an identifier is acknowledged");
        let properties: &[u8] = if version.has_properties() { &[0] } else { &[] };
        out.reserve(self.head.len() + payload.len() + FIXED_BYTES_MAX);
        out.push(first_byte(false, qos, false));
        varint::encode(saturate(self.head.len() + 2 + properties.len() + payload.len()), out);
        out.extend_from_slice(self.head);
        put_u16(id.get(), out);
        out.extend_from_slice(properties);
        out.extend_from_slice(payload);
    }
}

impl<'a> Iterator for NumberedRun<'a> {
    type Item = Numbered<'a>;

    /// The next packet; nothing where the run ends.
    fn next(&mut self) -> Option<Numbered<'a>> {
        if self.left.len() < self.len || !self.left.starts_with(self.prefix) {
            self.look_closer()?;
        }
        let (packet, left) = self.left.split_at(self.len);
        let (id, behind) = packet[self.prefix.len()..].split_first_chunk()?;
        let id = PacketId::new(u16::from_be_bytes(*id))?; // [MQTT-2.2.1-3]
        let payload = if self.version.has_properties() { behind.strip_prefix(&[0])? } else { behind };
        self.left = left;
        Some(Numbered { id, payload, len: self.len })
    }
}

impl NumberedRun<'_> {
    /// The next packet is not of the size of the one before.
    fn look_closer(&mut self) -> Option<()> {
        let bytes = self.left;
        if bytes.first() != Some(&self.first) {
            return None;
        }
        let Ok(Next::Frame(frame)) = next_frame(bytes, self.maximum_packet) else { return None };
        if !frame.body.starts_with(self.head) {
            return None;
        }
        self.prefix = &bytes[..frame.len - frame.body.len() + self.head.len()];
        self.len = frame.len;
        Some(())
    }
}

/// What a packet has beside topic and payload: fixed header, length of the topic, identifier, no properties.
const FIXED_BYTES_MAX: usize = 5 + 2 + 2 + 1;

#[cfg(test)]
mod tests {
    use super::super::frame::PACKET_BYTES_MAX;
    use super::super::outgoing::{Outgoing, encode_head};
    use super::super::properties::{Properties, PropertyBuffer};
    use super::super::property::Property;
    use super::super::publish::Publish;
    use super::*;
    use crate::base::random::Random;

    fn publish<'a>(topic: &'a str, qos: QoS, id: u16, payload: &'a [u8]) -> Publish<'a> {
        Publish {
            dup: false,
            qos,
            retain: false,
            topic: Some(Topic::parse(topic).unwrap()),
            topic_alias: None,
            packet_id: PacketId::new(id),
            message_expiry: None,
            properties: Properties::NONE,
            payload,
        }
    }

    #[test]
    fn neighbours_of_one_topic_and_quality_are_one_run() {
        for version in Version::ALL {
            for qos in [QoS::AtLeastOnce, QoS::ExactlyOnce] {
                let mut bytes = Vec::new();
                publish("a/b", qos, 1, b"one").encode(version, &mut bytes);
                publish("a/b", qos, 0xffff, b"").encode(version, &mut bytes);
                publish("a/b", qos, 2, &[9; 200]).encode(version, &mut bytes);
                let end = bytes.len();
                publish("a/bc", qos, 3, b"other").encode(version, &mut bytes);
                let run = NumberedRun::find(version, &bytes, PACKET_BYTES_MAX).unwrap();
                assert_eq!((run.topic().as_str(), run.qos()), ("a/b", qos));
                let packets: Vec<_> = run.clone().map(|packet| (packet.id.get(), packet.payload)).collect();
                assert_eq!(packets, [(1, &b"one"[..]), (0xffff, b""), (2, &[9; 200])]);
                assert_eq!(run.map(|packet| packet.len).sum::<usize>(), end);
            }
        }
    }

    #[test]
    fn a_first_packet_of_another_kind_is_no_run() {
        let other: [(Version, &[u8]); 13] = [
            (Version::V311, b""),
            (Version::V311, b"\x40\x02\0\x01"),
            (Version::V311, b"\x30\x03\0\x01a"),
            (Version::V311, b"\x33\x05\0\x01a\0\x01"),
            (Version::V311, b"\x3a\x05\0\x01a\0\x01"),
            (Version::V311, b"\x36\x05\0\x01a\0\x01"),
            (Version::V311, b"\x32\x05\0\x01a\0\0"),
            (Version::V311, b"\x32\x05\0\x01a\0"),
            (Version::V311, b"\x32\x04\0\x01a\0"),
            (Version::V311, b"\x32\x05\0\x01#\0\x01"),
            (Version::V311, b"\x32\x04\0\0\0\x01"),
            (Version::V5, b"\x32\x05\0\x01a\0\x01"),
            (Version::V5, b"\x32\x08\0\x01a\0\x01\x02\x01\0"),
        ];
        for (version, bytes) in other {
            assert!(NumberedRun::find(version, bytes, PACKET_BYTES_MAX).is_none(), "{bytes:02x?}");
        }
        let large = b"\x32\x08\0\x01a\0\x01xyz";
        assert!(NumberedRun::find(Version::V311, large, 10).is_some());
        assert!(NumberedRun::find(Version::V311, large, 9).is_none(), "larger than the maximum");
    }

    /// Packets of few kinds in a random row: mostly numbered ones of few topics, some that end a run.
    fn mix(version: Version, random: &mut Random) -> Vec<u8> {
        let mut bytes = Vec::new();
        let mut set = PropertyBuffer::new();
        set.push(Property::User("", ""));
        for _ in 0..random.range(1, 30) {
            let payload = vec![b'x'; *random.pick(&[0, 1, 5, 5, 5, 121, 300]).unwrap()];
            let topic = *random.pick(&["a", "a", "a", "a", "a", "b", "ax"]).unwrap();
            let qos = *random.pick(&[QoS::AtLeastOnce, QoS::AtLeastOnce, QoS::AtLeastOnce, QoS::ExactlyOnce]).unwrap();
            let id = u16::try_from(random.range(1, 65_535)).unwrap();
            let mut packet = publish(topic, qos, id, &payload);
            match random.below(40) {
                0 => packet.retain = true,
                1 => packet.dup = true,
                2 => (packet.qos, packet.packet_id) = (QoS::AtMostOnce, None),
                3 => packet.properties = set.as_properties(),
                4 => bytes.extend_from_slice(b"\xc0\0"),
                5 => bytes.extend_from_slice(b"\x32\x05\0\x01a\0\0"),
                _ => {}
            }
            packet.encode(version, &mut bytes);
        }
        bytes.truncate(bytes.len() - random.index(3).min(bytes.len()));
        bytes
    }

    #[test]
    fn a_run_is_exactly_what_the_ordinary_decoder_says() {
        let mut longest = 0;
        for seed in 0..3_000 {
            let mut random = Random::from_seed(seed);
            let version = *random.pick(&Version::ALL).unwrap();
            let bytes = mix(version, &mut random);
            let maximum = *random.pick(&[10, 130, 1_000]).unwrap();
            let mut left = bytes.as_slice();
            while !left.is_empty() {
                let run = NumberedRun::find(version, left, maximum);
                let mut expected = None;
                let mut packets = run.into_iter().flatten();
                let mut count = 0;
                loop {
                    let frame = next_frame(left, maximum);
                    let publish = match &frame {
                        Ok(Next::Frame(frame)) if frame.first == 0x32 || frame.first == 0x34 => {
                            Publish::decode(version, frame.first, frame.body).ok()
                        }
                        _ => None,
                    };
                    let publish = publish.filter(|publish| publish.properties.is_empty());
                    let of_run = publish.filter(|publish| expected.is_none_or(|of| of == (publish.topic, publish.qos)));
                    let packet = packets.next();
                    assert_eq!(
                        packet.map(|packet| (packet.id, packet.payload)),
                        of_run.map(|publish| (publish.packet_id.unwrap(), publish.payload)),
                        "seed {seed}"
                    );
                    let (Some(packet), Some(publish)) = (packet, of_run) else { break };
                    expected = Some((publish.topic, publish.qos));
                    left = &left[packet.len..];
                    count += 1;
                }
                longest = longest.max(count);
                left = left.get(1..).unwrap_or_default();
            }
        }
        assert!(longest >= 5, "the mix makes runs worth the name");
    }

    #[test]
    fn a_packet_is_written_as_the_ordinary_encoder_writes_it() {
        for from in Version::ALL {
            for (to, qos) in Version::ALL.into_iter().zip([QoS::AtLeastOnce, QoS::ExactlyOnce, QoS::AtLeastOnce]) {
                for len in [0, 1, 115, 116, 117, 118, 119, 120, 121, 122, 500] {
                    let (payload, id) = (vec![7; len], PacketId::new(513).unwrap());
                    let mut bytes = Vec::new();
                    publish("a/b", QoS::ExactlyOnce, 1, &payload).encode(from, &mut bytes);
                    let run = NumberedRun::find(from, &bytes, PACKET_BYTES_MAX).unwrap();
                    let (mut written, mut expected) = (b"before".to_vec(), b"before".to_vec());
                    run.encode(to, qos, id, &payload, &mut written);
                    let outgoing = Outgoing {
                        topic: "a/b",
                        topic_alias: None,
                        qos,
                        retain: false,
                        dup: false,
                        packet_id: Some(id),
                        message_expiry: None,
                        subscription_ids: &[],
                        forwarded: &[],
                        payload_len: len,
                    };
                    encode_head(to, &outgoing, &mut expected);
                    expected.extend_from_slice(&payload);
                    assert_eq!(written, expected);
                }
            }
        }
    }
}
