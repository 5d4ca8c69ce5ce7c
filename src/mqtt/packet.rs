//! Any control packet, decoded by who sent it and encoded in any version.

use super::ack::Ack;
use super::auth::Auth;
use super::connack::ConnAck;
use super::connect::Connect;
use super::disconnect::Disconnect;
use super::error::DecodeError;
use super::fields::check_flags;
use super::ping;
use super::properties::Properties;
use super::publish::Publish;
use super::suback::SubAck;
use super::subscribe::Subscribe;
use super::unsuback::UnsubAck;
use super::unsubscribe::Unsubscribe;
use super::version::{PacketType, Version};

/// A control packet that borrows the bytes it was decoded from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Packet<'a> {
    /// A client asks for a session.
    Connect(Connect<'a>),
    /// The server's answer to CONNECT.
    ConnAck(ConnAck<'a>),
    /// A message.
    Publish(Publish<'a>),
    /// A `QoS` 1 message has arrived.
    PubAck(Ack<'a>),
    /// A `QoS` 2 message has arrived: first step.
    PubRec(Ack<'a>),
    /// Its sender lets go of it: second step.
    PubRel(Ack<'a>),
    /// Its receiver lets go of it: third step.
    PubComp(Ack<'a>),
    /// A client asks for messages.
    Subscribe(Subscribe<'a>),
    /// The server's answer to SUBSCRIBE.
    SubAck(SubAck<'a>),
    /// A client wants no more of them.
    Unsubscribe(Unsubscribe<'a>),
    /// The server's answer to UNSUBSCRIBE.
    UnsubAck(UnsubAck<'a>),
    /// A client is alive.
    PingReq,
    /// So is the server.
    PingResp,
    /// The last packet of a connection.
    Disconnect(Disconnect<'a>),
    /// A step of an authentication exchange.
    Auth(Auth<'a>),
}

/// Who sent the bytes: half of the packet types are legal from one side only.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sender {
    /// A device, or a bridge that plays one.
    Client,
    /// A broker.
    Server,
}

impl Sender {
    /// Whether this side may send packets of this type in this version.
    pub fn may_send(self, packet_type: PacketType, version: Version) -> bool {
        match packet_type {
            PacketType::Publish
            | PacketType::PubAck
            | PacketType::PubRec
            | PacketType::PubRel
            | PacketType::PubComp => true,
            PacketType::Connect | PacketType::Subscribe | PacketType::Unsubscribe | PacketType::PingReq => {
                self == Self::Client
            }
            PacketType::ConnAck | PacketType::SubAck | PacketType::UnsubAck | PacketType::PingResp => {
                self == Self::Server
            }
            // A server of 3.x has no way to say farewell: it closes.
            PacketType::Disconnect => self == Self::Client || version.has_properties(),
            PacketType::Auth => version.has_properties(),
        }
    }
}

impl<'a> Packet<'a> {
    /// Decodes a whole packet: `first` is its first byte, `body` all that its Remaining Length counts.
    ///
    /// # Errors
    /// Anything that the standard calls malformed or a protocol error, whatever the packet would do next.
    pub fn decode(version: Version, sender: Sender, first: u8, body: &'a [u8]) -> Result<Self, DecodeError> {
        let packet_type = packet_type(version, first)?;
        if !sender.may_send(packet_type, version) {
            return Err(DecodeError::PacketFromWrongSide { packet: packet_type });
        }
        check_flags(version, packet_type, first)?;
        match packet_type {
            PacketType::Connect => Connect::decode(first, body).map(Self::Connect).map_err(|refused| refused.error),
            PacketType::ConnAck => ConnAck::decode(version, body).map(Self::ConnAck),
            PacketType::Publish => decode_publish(version, sender, first, body).map(Self::Publish),
            PacketType::PubAck => Ack::decode(version, packet_type, body).map(Self::PubAck),
            PacketType::PubRec => Ack::decode(version, packet_type, body).map(Self::PubRec),
            PacketType::PubRel => Ack::decode(version, packet_type, body).map(Self::PubRel),
            PacketType::PubComp => Ack::decode(version, packet_type, body).map(Self::PubComp),
            PacketType::Subscribe => Subscribe::decode(version, body).map(Self::Subscribe),
            PacketType::SubAck => SubAck::decode(version, body).map(Self::SubAck),
            PacketType::Unsubscribe => Unsubscribe::decode(version, body).map(Self::Unsubscribe),
            PacketType::UnsubAck => UnsubAck::decode(version, body).map(Self::UnsubAck),
            PacketType::PingReq => ping::decode(body).map(|()| Self::PingReq),
            PacketType::PingResp => ping::decode(body).map(|()| Self::PingResp),
            PacketType::Disconnect => Disconnect::decode(version, sender, body).map(Self::Disconnect),
            PacketType::Auth => Auth::decode(sender, body).map(Self::Auth),
        }
    }

    /// Appends the packet in its shortest form. CONNECT names its own version.
    pub fn encode(&self, version: Version, out: &mut Vec<u8>) {
        match self {
            Self::Connect(connect) => connect.encode(out),
            Self::ConnAck(connack) => connack.encode(version, out),
            Self::Publish(publish) => publish.encode(version, out),
            Self::PubAck(ack) | Self::PubRec(ack) | Self::PubRel(ack) | Self::PubComp(ack) => {
                ack.encode(version, self.packet_type(), out);
            }
            Self::Subscribe(subscribe) => subscribe.encode(version, out),
            Self::SubAck(suback) => suback.encode(version, out),
            Self::Unsubscribe(unsubscribe) => unsubscribe.encode(version, out),
            Self::UnsubAck(unsuback) => unsuback.encode(version, out),
            Self::PingReq => out.extend_from_slice(&ping::REQUEST),
            Self::PingResp => out.extend_from_slice(&ping::RESPONSE),
            Self::Disconnect(disconnect) => disconnect.encode(version, out),
            Self::Auth(auth) => auth.encode(out),
        }
    }

    /// The whole packet's size in bytes. It is encoded to be measured: not for the hot path, which has
    /// [`super::outgoing::encoded_len`].
    pub fn encoded_len(&self, version: Version) -> usize {
        let mut bytes = Vec::new();
        self.encode(version, &mut bytes);
        bytes.len()
    }

    /// Which of the fifteen it is.
    pub fn packet_type(&self) -> PacketType {
        match self {
            Self::Connect(_) => PacketType::Connect,
            Self::ConnAck(_) => PacketType::ConnAck,
            Self::Publish(_) => PacketType::Publish,
            Self::PubAck(_) => PacketType::PubAck,
            Self::PubRec(_) => PacketType::PubRec,
            Self::PubRel(_) => PacketType::PubRel,
            Self::PubComp(_) => PacketType::PubComp,
            Self::Subscribe(_) => PacketType::Subscribe,
            Self::SubAck(_) => PacketType::SubAck,
            Self::Unsubscribe(_) => PacketType::Unsubscribe,
            Self::UnsubAck(_) => PacketType::UnsubAck,
            Self::PingReq => PacketType::PingReq,
            Self::PingResp => PacketType::PingResp,
            Self::Disconnect(_) => PacketType::Disconnect,
            Self::Auth(_) => PacketType::Auth,
        }
    }

    /// The packet's properties; none where its type has none.
    pub fn properties(&self) -> Properties<'a> {
        match self {
            Self::Connect(connect) => connect.properties,
            Self::ConnAck(connack) => connack.properties,
            Self::Publish(publish) => publish.properties,
            Self::PubAck(ack) | Self::PubRec(ack) | Self::PubRel(ack) | Self::PubComp(ack) => ack.properties,
            Self::Subscribe(subscribe) => subscribe.properties,
            Self::SubAck(suback) => suback.properties,
            Self::Unsubscribe(unsubscribe) => unsubscribe.properties,
            Self::UnsubAck(unsuback) => unsuback.properties,
            Self::PingReq | Self::PingResp => Properties::NONE,
            Self::Disconnect(disconnect) => disconnect.properties,
            Self::Auth(auth) => auth.properties,
        }
    }

    /// The same packet with another set of properties; unchanged where its type has none.
    #[must_use]
    pub fn with_properties<'b>(&self, properties: Properties<'b>) -> Packet<'b>
    where
        'a: 'b,
    {
        match *self {
            Self::Connect(connect) => Packet::Connect(Connect { properties, ..connect }),
            Self::ConnAck(connack) => Packet::ConnAck(ConnAck { properties, ..connack }),
            Self::Publish(publish) => Packet::Publish(Publish { properties, ..publish }),
            Self::PubAck(ack) => Packet::PubAck(Ack { properties, ..ack }),
            Self::PubRec(ack) => Packet::PubRec(Ack { properties, ..ack }),
            Self::PubRel(ack) => Packet::PubRel(Ack { properties, ..ack }),
            Self::PubComp(ack) => Packet::PubComp(Ack { properties, ..ack }),
            Self::Subscribe(subscribe) => Packet::Subscribe(subscribe.with_properties(properties)),
            Self::SubAck(suback) => Packet::SubAck(SubAck { properties, ..suback }),
            Self::Unsubscribe(unsubscribe) => Packet::Unsubscribe(unsubscribe.with_properties(properties)),
            Self::UnsubAck(unsuback) => Packet::UnsubAck(UnsubAck { properties, ..unsuback }),
            Self::PingReq => Packet::PingReq,
            Self::PingResp => Packet::PingResp,
            Self::Disconnect(disconnect) => Packet::Disconnect(Disconnect { properties, ..disconnect }),
            Self::Auth(auth) => Packet::Auth(Auth { properties, ..auth }),
        }
    }
}

/// PUBLISH has two directions: only a server may name the subscriptions that matched.
fn decode_publish(version: Version, sender: Sender, first: u8, body: &[u8]) -> Result<Publish<'_>, DecodeError> {
    match sender {
        Sender::Client => Publish::decode(version, first, body),
        Sender::Server => Publish::decode_from_server(version, first, body),
    }
}

/// The type in the first byte. Type 0 is reserved everywhere, AUTH came with 5.0.
fn packet_type(version: Version, first: u8) -> Result<PacketType, DecodeError> {
    match PacketType::of_first_byte(first) {
        None => Err(DecodeError::PacketTypeReserved),
        Some(packet) if packet == PacketType::Auth && !version.has_properties() => {
            Err(DecodeError::PacketNotInVersion { packet })
        }
        Some(packet) => Ok(packet),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::random::Random;
    use crate::mqtt::arbitrary::{Parts, kinds, samples};
    use crate::mqtt::golden::{assert_golden, encode, error_of, frame, split};
    use crate::mqtt::reason::Reason;
    use crate::mqtt::topic::Topic;
    use crate::mqtt::version::{PacketId, QoS};

    #[test]
    fn a_publish_of_3_1_1() {
        let publish = Publish {
            dup: false,
            qos: QoS::AtLeastOnce,
            retain: false,
            topic: Topic::parse("topic/1").ok(),
            topic_alias: None,
            packet_id: PacketId::new(4314),
            message_expiry: None,
            properties: Properties::NONE,
            payload: b"temperature:32.5",
        };
        let topic_and_id = "0007 746F7069632F31 10DA";
        let payload = "74656D7065726174 7572653A33322E35";
        for version in [Version::V31, Version::V311] {
            let digits = format!("32 1B {topic_and_id} {payload}");
            assert_golden(version, Sender::Client, &digits, &Packet::Publish(publish));
        }
        let digits = format!("32 1C {topic_and_id} 00 {payload}");
        assert_golden(Version::V5, Sender::Client, &digits, &Packet::Publish(publish));
    }

    /// The packet in `body`, under the same version, sender and first byte as `parts`.
    fn decode<'a>(parts: &Parts, first: u8, body: &'a [u8]) -> Result<Packet<'a>, DecodeError> {
        Packet::decode(parts.version, parts.sender, first, body)
    }

    #[test]
    fn random_packets_of_every_kind_come_back_unchanged() {
        for parts in samples(1, 300) {
            let packet = parts.packet();
            let bytes = encode(parts.version, &packet);
            let (first, body) = split(&bytes);
            assert_eq!(decode(&parts, first, body), Ok(packet), "{bytes:02X?}");
            assert_eq!(packet.encoded_len(parts.version), bytes.len());
        }
    }

    #[test]
    fn a_packet_cut_short_is_never_taken_for_the_whole() {
        for parts in samples(2, 60) {
            let packet = parts.packet();
            let bytes = encode(parts.version, &packet);
            let (first, body) = split(&bytes);
            for end in (0..body.len()).take(600) {
                let Ok(shorter) = decode(&parts, first, &body[..end]) else {
                    continue;
                };
                assert_ne!(shorter, packet);
                // What is accepted is a packet in its own right: it survives its own round trip.
                let again = encode(parts.version, &shorter);
                let (first, body) = split(&again);
                assert_eq!(decode(&parts, first, body), Ok(shorter));
            }
        }
    }

    #[test]
    fn no_prefix_of_connect_or_connack_is_accepted() {
        for parts in samples(3, 100) {
            let packet = parts.packet();
            // 3.1 lets announced credentials be missing.
            let is_connect = packet.packet_type() == PacketType::Connect;
            let is_closed = is_connect && parts.version != Version::V31 || packet.packet_type() == PacketType::ConnAck;
            let bytes = encode(parts.version, &packet);
            let (first, body) = split(&bytes);
            for end in (0..body.len()).take(if is_closed { 600 } else { 0 }) {
                assert!(decode(&parts, first, &body[..end]).is_err(), "{end} of {bytes:02X?}");
            }
        }
    }

    #[test]
    fn a_byte_too_many_is_malformed_where_the_end_is_known() {
        for parts in samples(4, 20) {
            let packet = parts.packet();
            let bytes = encode(parts.version, &packet);
            let (first, body) = split(&bytes);
            let longer = [body, &[0]].concat();
            let outcome = decode(&parts, first, &longer);
            // Here it is one byte more of payload or one more code.
            let lists = [PacketType::Publish, PacketType::SubAck, PacketType::UnsubAck];
            let is_list = lists.contains(&packet.packet_type()) && outcome != Ok(packet);
            // Here a reason or a property length that was left out.
            let is_short_form = has_short_form(packet.packet_type())
                && packet.properties().is_empty()
                && parts.version.has_properties();
            assert!(outcome.is_err() || is_list || is_short_form, "{longer:02X?}");
        }
    }

    fn has_short_form(packet_type: PacketType) -> bool {
        let acks = [PacketType::PubAck, PacketType::PubRec, PacketType::PubRel, PacketType::PubComp];
        acks.contains(&packet_type) || packet_type == PacketType::Disconnect
    }

    #[test]
    fn every_flipped_bit_is_an_error_or_another_packet() {
        for parts in samples(5, 40) {
            let packet = parts.packet();
            let bytes = encode(parts.version, &packet);
            let (first, body) = split(&bytes);
            let mut flipped = [&[first], body].concat();
            for bit in 0..(8 * flipped.len()).min(4_000) {
                flipped[bit / 8] ^= 1 << (bit % 8);
                let outcome = decode(&parts, flipped[0], &flipped[1..]);
                // 3.1 overlooks DUP, the first byte of CONNACK, and flags of credentials that are missing.
                let is_lenient = parts.version == Version::V31;
                assert!(outcome != Ok(packet) || is_lenient, "bit {bit} of {bytes:02X?}");
                flipped[bit / 8] ^= 1 << (bit % 8);
            }
        }
    }

    #[test]
    fn random_bytes_do_no_harm() {
        let mut random = Random::from_seed(6);
        for _ in 0..50_000 {
            let mut body = vec![0; random.index(40)];
            random.fill(&mut body);
            // Small numbers make plausible lengths.
            for byte in &mut body {
                *byte &= random.pick(&[0x01, 0x07, 0x2F, 0xFF]).unwrap();
            }
            let first = random.next_u64().to_le_bytes()[0];
            for version in Version::ALL {
                for sender in [Sender::Client, Sender::Server] {
                    let Ok(packet) = Packet::decode(version, sender, first, &body) else {
                        continue;
                    };
                    let bytes = encode(version, &packet);
                    let (first, body) = split(&bytes);
                    assert_eq!(Packet::decode(version, sender, first, body), Ok(packet));
                }
            }
        }
    }

    #[test]
    fn type_0_is_malformed_and_every_other_type_has_its_sides() {
        for version in Version::ALL {
            assert_eq!(error_of(version, Sender::Client, "00 00"), DecodeError::PacketTypeReserved);
            let refused = |sender| -> Vec<u8> {
                let is_refused = |bits: &u8| {
                    let bytes = frame(bits << 4 | 2, &[]);
                    let (first, body) = split(&bytes);
                    let outcome = Packet::decode(version, sender, first, body);
                    matches!(outcome, Err(DecodeError::PacketFromWrongSide { .. }))
                };
                (1..=15).filter(is_refused).collect()
            };
            assert_eq!(refused(Sender::Client), [2, 9, 11, 13]);
            let from_server: &[u8] = if version.has_properties() { &[1, 8, 10, 12] } else { &[1, 8, 10, 12, 14] };
            assert_eq!(refused(Sender::Server), from_server);
        }
    }

    #[test]
    fn flags_of_every_type_are_fixed() {
        let mut random = Random::from_seed(7);
        for kind in kinds().into_iter().filter(|kind| kind.2 != PacketType::Publish) {
            let parts = Parts::draw(kind, &mut random);
            let bytes = encode(parts.version, &parts.packet());
            let (right, body) = split(&bytes);
            for flags in 0..16 {
                let first = right & 0xF0 | flags;
                let outcome = decode(&parts, first, body);
                let is_repeat = kind.0 == Version::V31 && right & 0x0F == 2 && flags == 0x0A;
                assert_eq!(outcome.is_ok(), first == right || is_repeat, "{kind:?} {first:#04x}");
                if let Err(error) = outcome {
                    assert_eq!(error.reason(), Reason::MalformedPacket);
                }
            }
        }
    }
}
