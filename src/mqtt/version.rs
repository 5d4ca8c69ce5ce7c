//! What the three protocol versions share and differ in: packet types, quality of service, packet identifiers.

use std::num::NonZeroU16;

/// A protocol version, agreed on by CONNECT and fixed for the life of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Version {
    /// MQTT 3.1, the version before the standard: `MQIsdp`, level 3.
    V31,
    /// MQTT 3.1.1: `MQTT`, level 4.
    V311,
    /// MQTT 5.0: `MQTT`, level 5.
    V5,
}

impl Version {
    /// Every version, oldest first.
    pub const ALL: [Version; 3] = [Version::V31, Version::V311, Version::V5];

    /// The protocol level byte of CONNECT.
    pub const fn level(self) -> u8 {
        match self {
            Version::V31 => 3,
            Version::V311 => 4,
            Version::V5 => 5,
        }
    }

    /// The protocol name of CONNECT.
    pub const fn name(self) -> &'static str {
        match self {
            Version::V31 => "MQIsdp",
            Version::V311 | Version::V5 => "MQTT",
        }
    }

    /// Whether packets carry property sets and acknowledgements carry reason codes.
    pub const fn has_properties(self) -> bool {
        match self {
            Version::V31 | Version::V311 => false,
            Version::V5 => true,
        }
    }

    /// Whether `other` writes every PUBLISH exactly as this version does, so that its bytes may go out unread.
    pub const fn shares_wire_form_with(self, other: Version) -> bool {
        self.has_properties() == other.has_properties()
    }
}

/// The delivery guarantee of a message or the maximum that a subscription grants.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum QoS {
    /// Delivered once or not at all; never acknowledged.
    AtMostOnce = 0,
    /// Delivered until acknowledged; duplicates are possible.
    AtLeastOnce = 1,
    /// Delivered exactly once, by a handshake of four packets.
    ExactlyOnce = 2,
}

impl QoS {
    /// The level that two bits stand for; `None` for the reserved value 3 and everything above.
    pub const fn from_bits(bits: u8) -> Option<QoS> {
        match bits {
            0 => Some(QoS::AtMostOnce),
            1 => Some(QoS::AtLeastOnce),
            2 => Some(QoS::ExactlyOnce),
            _ => None,
        }
    }

    /// The two bits on the wire.
    pub const fn bits(self) -> u8 {
        self as u8
    }
}

/// The number that ties an acknowledgement to its packet; never zero. [MQTT-2.2.1-3] [MQTT-2.2.1-4]
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PacketId(NonZeroU16);

impl PacketId {
    /// The smallest identifier.
    pub const MIN: PacketId = PacketId(NonZeroU16::MIN);
    /// The largest identifier.
    pub const MAX: PacketId = PacketId(NonZeroU16::MAX);

    /// The identifier of this number; `None` for zero.
    pub const fn new(number: u16) -> Option<PacketId> {
        match NonZeroU16::new(number) {
            Some(number) => Some(PacketId(number)),
            None => None,
        }
    }

    /// The number on the wire.
    pub const fn get(self) -> u16 {
        self.0.get()
    }
}

/// The kind of a control packet, the upper four bits of its first byte.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
#[expect(missing_docs, reason = "the variants are the names of the standard")]
pub enum PacketType {
    Connect = 1,
    ConnAck = 2,
    Publish = 3,
    PubAck = 4,
    PubRec = 5,
    PubRel = 6,
    PubComp = 7,
    Subscribe = 8,
    SubAck = 9,
    Unsubscribe = 10,
    UnsubAck = 11,
    PingReq = 12,
    PingResp = 13,
    Disconnect = 14,
    Auth = 15,
}

impl PacketType {
    /// Every type, in the order of its number.
    pub const ALL: [PacketType; 15] = [
        PacketType::Connect,
        PacketType::ConnAck,
        PacketType::Publish,
        PacketType::PubAck,
        PacketType::PubRec,
        PacketType::PubRel,
        PacketType::PubComp,
        PacketType::Subscribe,
        PacketType::SubAck,
        PacketType::Unsubscribe,
        PacketType::UnsubAck,
        PacketType::PingReq,
        PacketType::PingResp,
        PacketType::Disconnect,
        PacketType::Auth,
    ];

    /// The type of this number; `None` for the reserved 0 and above 15.
    pub const fn from_bits(bits: u8) -> Option<PacketType> {
        match bits {
            1..=15 => Some(Self::ALL[bits as usize - 1]),
            _ => None,
        }
    }

    /// The type that the first byte of a packet names; `None` for the reserved type 0.
    pub const fn of_first_byte(first: u8) -> Option<PacketType> {
        Self::from_bits(first >> 4)
    }

    /// The number on the wire.
    pub const fn bits(self) -> u8 {
        self as u8
    }

    /// The prescribed lower four bits of the first byte; `None` for PUBLISH, whose bits carry meaning. [MQTT-2.1.3-1]
    pub const fn reserved_flags(self) -> Option<u8> {
        match self {
            PacketType::Publish => None,
            PacketType::PubRel | PacketType::Subscribe | PacketType::Unsubscribe => Some(0b0010),
            PacketType::Connect
            | PacketType::ConnAck
            | PacketType::PubAck
            | PacketType::PubRec
            | PacketType::PubComp
            | PacketType::SubAck
            | PacketType::UnsubAck
            | PacketType::PingReq
            | PacketType::PingResp
            | PacketType::Disconnect
            | PacketType::Auth => Some(0),
        }
    }

    /// The name as logs and metrics write it.
    pub const fn name(self) -> &'static str {
        match self {
            PacketType::Connect => "connect",
            PacketType::ConnAck => "connack",
            PacketType::Publish => "publish",
            PacketType::PubAck => "puback",
            PacketType::PubRec => "pubrec",
            PacketType::PubRel => "pubrel",
            PacketType::PubComp => "pubcomp",
            PacketType::Subscribe => "subscribe",
            PacketType::SubAck => "suback",
            PacketType::Unsubscribe => "unsubscribe",
            PacketType::UnsubAck => "unsuback",
            PacketType::PingReq => "pingreq",
            PacketType::PingResp => "pingresp",
            PacketType::Disconnect => "disconnect",
            PacketType::Auth => "auth",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_have_the_names_and_levels_of_the_standard() {
        let facts = Version::ALL.map(|version| (version.name(), version.level(), version.has_properties()));
        assert_eq!(facts, [("MQIsdp", 3, false), ("MQTT", 4, false), ("MQTT", 5, true)]);
    }

    #[test]
    fn only_the_two_old_versions_share_a_wire_form() {
        assert!(Version::V31.shares_wire_form_with(Version::V311));
        assert!(!Version::V311.shares_wire_form_with(Version::V5));
        assert!(Version::V5.shares_wire_form_with(Version::V5));
    }

    #[test]
    fn bits_and_types_are_each_others_inverse() {
        for bits in 0..=255 {
            assert_eq!(QoS::from_bits(bits).map(QoS::bits), (bits < 3).then_some(bits));
            let known = (1..=15).contains(&bits);
            assert_eq!(PacketType::from_bits(bits).map(PacketType::bits), known.then_some(bits));
            assert_eq!(PacketType::of_first_byte(bits), PacketType::from_bits(bits >> 4));
        }
    }

    #[test]
    fn zero_is_no_packet_identifier() {
        assert_eq!(PacketId::new(0), None);
        assert_eq!(PacketId::new(1).map(PacketId::get), Some(1));
        assert_eq!(PacketId::new(65_535), Some(PacketId::MAX));
        assert_eq!(size_of::<Option<PacketId>>(), 2);
    }

    #[test]
    fn three_types_have_bit_one_set_and_publish_has_flags_of_its_own() {
        let odd: Vec<_> = PacketType::ALL.into_iter().filter(|packet| packet.reserved_flags() != Some(0)).collect();
        assert_eq!(odd, [PacketType::Publish, PacketType::PubRel, PacketType::Subscribe, PacketType::Unsubscribe]);
        assert_eq!(PacketType::Publish.reserved_flags(), None);
        assert_eq!(PacketType::PubRel.reserved_flags(), Some(2));
    }
}
