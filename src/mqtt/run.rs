//! Runs: neighbouring PUBLISH packets of one topic that a broker may forward byte for byte, found without decoding them.
//!
//! Where the packet that goes out equals the packet that came in, there is nothing to decode and nothing to encode.
//! A run is a stretch of received bytes in which every packet is of that kind and all have one topic: it is matched
//! once and leaves as one piece, to every recipient of the same wire form whose maximum packet size allows it.

use super::frame::{Frame, Next, next_frame};
use super::publish::PLAIN_FIRST_BYTE;
use super::text::Reader;
use super::topic::Topic;
use super::version::Version;

/// One or more whole packets of one topic: quality of service 0, not retained, no property.
///
/// Its bytes may go out as they are to every version that [`Version::shares_wire_form_with`] the one it was found in.
#[derive(Clone, Copy, Debug)]
pub struct Run<'a> {
    /// The packets as they arrived, end to end.
    pub bytes: &'a [u8],
    /// How many packets they are, at least one.
    pub count: u32,
    /// The topic of every one of them.
    pub topic: Topic<'a>,
    /// The payloads' bytes together.
    pub payload_bytes: u64,
    /// The size of the largest packet, for recipients with a maximum packet size.
    pub packet_bytes_max: u32,
    /// How much of each body comes before the payload.
    head_len: usize,
}

impl<'a> Run<'a> {
    /// The payloads in order, for recipients that cannot take the bytes as they are.
    pub fn payloads(self) -> impl Iterator<Item = &'a [u8]> + Clone {
        let mut left = self.bytes;
        std::iter::from_fn(move || match next_frame(left, u32::MAX) {
            Ok(Next::Frame(frame)) => {
                left = &left[frame.len..];
                Some(&frame.body[self.head_len..])
            }
            Ok(Next::Need(_)) | Err(_) => None,
        })
    }
}

/// Finds the run at the front of `bytes`, of at most `bytes_max` bytes and packets of at most `maximum_packet`.
///
/// `None` says that the first packet is not whole, not of this kind or not well-formed: then the ordinary decoder
/// speaks. Every packet of a run is one that the ordinary decoder accepts, with the same topic.
pub fn find_run(version: Version, bytes: &[u8], maximum_packet: u32, bytes_max: usize) -> Option<Run<'_>> {
    let bytes = &bytes[..bytes.len().min(bytes_max)];
    let first = plain_frame(bytes, maximum_packet)?;
    let (topic, head_len) = read_head(version, first.body)?;
    // What all packets of the run have in common behind the fixed header, and with it if they are of one size.
    let head = &first.body[..head_len];
    let prefix = &bytes[..first.len - first.body.len() + head_len];
    let (mut end, mut count, mut body_bytes, mut largest) = (first.len, 1_u32, first.body.len(), first.len);
    while let Some(left) = bytes.get(end..) {
        if left.len() >= first.len && left.starts_with(prefix) {
            end += first.len;
            body_bytes += first.body.len();
        } else if let Some(frame) = plain_frame(left, maximum_packet).filter(|frame| frame.body.starts_with(head)) {
            end += frame.len;
            body_bytes += frame.body.len();
            largest = largest.max(frame.len);
        } else {
            break;
        }
        count += 1;
    }
    let payload_bytes = body_bytes as u64 - u64::from(count) * head_len as u64;
    let packet_bytes_max = u32::try_from(largest).expect("a packet was checked against its maximum");
    Some(Run { bytes: &bytes[..end], count, topic, payload_bytes, packet_bytes_max, head_len })
}

/// The whole packet at the front of `bytes`, if it is a PUBLISH without flags that may leave as it came.
fn plain_frame(bytes: &[u8], maximum_packet: u32) -> Option<Frame<'_>> {
    if bytes.first() != Some(&PLAIN_FIRST_BYTE) {
        return None;
    }
    match next_frame(bytes, maximum_packet) {
        // [MQTT-1.5.5-1] What a broker sends is of the shortest form, also when it was received in another.
        Ok(Next::Frame(frame)) if frame.has_shortest_length() => Some(frame),
        Ok(Next::Frame(_) | Next::Need(_)) | Err(_) => None,
    }
}

/// The topic and the size of what precedes the payload, if there is a topic and no property.
fn read_head(version: Version, body: &[u8]) -> Option<(Topic<'_>, usize)> {
    let mut reader = Reader::new(body);
    let topic = Topic::decode(&mut reader).ok()??;
    if version.has_properties() && reader.u8() != Ok(0) {
        return None;
    }
    Some((topic, body.len() - reader.remaining()))
}

#[cfg(test)]
mod tests {
    use super::super::frame::PACKET_BYTES_MAX;
    use super::super::properties::{Properties, Property, PropertyBuffer};
    use super::super::publish::Publish;
    use super::super::version::{PacketId, QoS};
    use super::*;
    use crate::base::random::Random;

    const UNBOUNDED: usize = usize::MAX;

    fn put(version: Version, topic: &str, payload: &[u8], out: &mut Vec<u8>) {
        publish(topic, payload).encode(version, out);
    }

    fn publish<'a>(topic: &'a str, payload: &'a [u8]) -> Publish<'a> {
        Publish {
            dup: false,
            qos: QoS::AtMostOnce,
            retain: false,
            topic: Some(Topic::parse(topic).unwrap()),
            topic_alias: None,
            packet_id: None,
            message_expiry: None,
            properties: Properties::NONE,
            payload,
        }
    }

    #[test]
    fn neighbours_of_one_topic_are_one_run() {
        for version in Version::ALL {
            let mut bytes = Vec::new();
            put(version, "a/b", b"one", &mut bytes);
            put(version, "a/b", b"two", &mut bytes);
            put(version, "a/b", b"", &mut bytes);
            let largest_at = bytes.len();
            put(version, "a/b", &[9; 200], &mut bytes);
            let run_len = bytes.len();
            put(version, "a/c", b"other", &mut bytes);
            let run = find_run(version, &bytes, PACKET_BYTES_MAX, UNBOUNDED).unwrap();
            assert_eq!((run.bytes, run.count), (&bytes[..run_len], 4));
            assert_eq!((run.topic.as_str(), run.payload_bytes), ("a/b", 206));
            assert_eq!(run.packet_bytes_max as usize, run_len - largest_at);
            assert!(run.payloads().eq([&b"one"[..], b"two", b"", &[9; 200]]));
        }
    }

    #[test]
    fn a_first_packet_of_another_kind_is_no_run() {
        let other: [(Version, &[u8]); 12] = [
            (Version::V311, b""),
            (Version::V311, b"\xc0\0"),
            (Version::V311, b"\x31\x03\0\x01a"),
            (Version::V311, b"\x38\x03\0\x01a"),
            (Version::V311, b"\x32\x05\0\x01a\0\x01"),
            (Version::V311, b"\x30\x03\0\x01"),
            (Version::V311, b"\x30\x02\0\0"),
            (Version::V311, b"\x30\x03\0\x01#"),
            (Version::V311, b"\x30\x83\0\0\x01a"),
            (Version::V5, b"\x30\x03\0\x01a"),
            (Version::V5, b"\x30\x06\0\x01a\x02\x01\0"),
            (Version::V5, b"\x30\x06\0\0\x03\x23\0\x01"),
        ];
        for (version, bytes) in other {
            assert!(find_run(version, bytes, PACKET_BYTES_MAX, UNBOUNDED).is_none(), "{bytes:02x?}");
        }
    }

    #[test]
    fn a_topic_that_begins_with_the_topic_of_the_run_ends_it() {
        let mut bytes = Vec::new();
        put(Version::V311, "a", b"bc", &mut bytes);
        put(Version::V311, "ab", b"c", &mut bytes);
        assert_eq!(find_run(Version::V311, &bytes, PACKET_BYTES_MAX, UNBOUNDED).map(|run| run.count), Some(1));
    }

    #[test]
    fn a_run_ends_at_the_bounds_of_the_caller() {
        let mut bytes = Vec::new();
        for _ in 0..10 {
            put(Version::V311, "t", b"12345", &mut bytes); // 10 bytes each.
        }
        let count = |maximum, bytes_max| find_run(Version::V311, &bytes, maximum, bytes_max).map(|run| run.count);
        assert_eq!(count(10, UNBOUNDED), Some(10));
        assert_eq!(count(9, UNBOUNDED), None);
        assert_eq!(count(10, 100), Some(10));
        assert_eq!(count(10, 99), Some(9));
        assert_eq!(count(10, 10), Some(1));
        assert_eq!(count(10, 9), None);
        put(Version::V311, "t", b"123456", &mut bytes);
        assert_eq!(find_run(Version::V311, &bytes, 10, UNBOUNDED).map(|run| run.count), Some(10));
    }

    /// Packets of few kinds in a random row: mostly plain ones of few topics, some that end a run.
    fn mix(version: Version, random: &mut Random) -> Vec<u8> {
        let mut bytes = Vec::new();
        let mut set = PropertyBuffer::new();
        set.push(Property::User("", ""));
        for _ in 0..random.range(1, 30) {
            let payload = vec![b'x'; *random.pick(&[0, 1, 5, 5, 5, 5, 121, 122, 300]).unwrap()];
            let mut packet = publish(random.pick(&["a", "a", "a", "a", "b", "ax", "x"]).unwrap(), &payload);
            match random.below(40) {
                0 => packet.retain = true,
                1 => (packet.qos, packet.packet_id) = (QoS::AtLeastOnce, PacketId::new(1)),
                2 => packet.properties = set.as_properties(),
                3 => bytes.extend_from_slice(b"\xc0\0"),
                4 => bytes.extend_from_slice(b"\x30\x84\0\0\x01a"),
                _ => {}
            }
            packet.encode(version, &mut bytes);
        }
        bytes.truncate(bytes.len() - random.index(3).min(bytes.len()));
        bytes
    }

    /// The end and the number of the packets at the front that a run may have, told by the ordinary decoder.
    fn expected_run(version: Version, bytes: &[u8], maximum: u32, bytes_max: usize) -> (usize, u32) {
        let (mut end, mut count, mut topic) = (0, 0, None);
        while let Ok(Next::Frame(frame)) = next_frame(&bytes[end..], maximum) {
            if frame.first != 0x30 || !frame.has_shortest_length() || end + frame.len > bytes_max {
                break;
            }
            let Ok(packet) = Publish::decode(version, frame.first, frame.body) else {
                break;
            };
            if !packet.properties.is_empty() || topic.is_some_and(|topic| Some(topic) != packet.topic) {
                break;
            }
            topic = packet.topic;
            (end, count) = (end + frame.len, count + 1);
        }
        (end, count)
    }

    #[test]
    fn a_run_is_exactly_what_the_ordinary_decoder_says() {
        let mut longest = 0;
        for seed in 0..3_000 {
            let mut random = Random::from_seed(seed);
            let version = *random.pick(&Version::ALL).unwrap();
            let bytes = mix(version, &mut random);
            let maximum = *random.pick(&[8, 130, 1_000]).unwrap();
            let bytes_max = *random.pick(&[100, 500, UNBOUNDED]).unwrap();
            let mut left = bytes.as_slice();
            while !left.is_empty() {
                let (end, count) = expected_run(version, left, maximum, bytes_max);
                let run = find_run(version, left, maximum, bytes_max);
                assert_eq!(run.map_or((0, 0), |run| (run.bytes.len(), run.count)), (end, count), "seed {seed}");
                if let Some(run) = run {
                    let payloads: Vec<_> = run.payloads().collect();
                    assert_eq!(payloads.len(), run.count as usize, "seed {seed}");
                    assert_eq!(payloads.concat().len() as u64, run.payload_bytes, "seed {seed}");
                }
                longest = longest.max(count);
                left = &left[end.max(1)..];
            }
        }
        assert!(longest >= 10, "the mix makes runs worth the name");
    }
}
