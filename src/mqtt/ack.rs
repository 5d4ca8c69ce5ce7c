//! PUBACK, PUBREC, PUBREL and PUBCOMP: four packets of one shape.

use super::error::DecodeError;
use super::fields::{enclose, first_byte, put_properties, take_properties, take_reason};
use super::properties::{Place, Properties};
use super::reason::Reason;
use super::text::{Reader, put_u16};
use super::version::{PacketId, PacketType, Version};

/// An acknowledgement of one message; which of the four it is, its [`super::packet::Packet`] says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ack<'a> {
    /// The message's identifier.
    pub id: PacketId,
    /// How it went; always `Success` in 3.x.
    pub reason: Reason,
    /// Reason String and User Properties; none in 3.x.
    pub properties: Properties<'a>,
}

impl<'a> Ack<'a> {
    /// An acknowledgement without properties.
    pub const fn new(id: PacketId, reason: Reason) -> Self {
        Self { id, reason, properties: Properties::NONE }
    }

    /// Decodes the body. In 5.0 a body of two bytes means Success, one of three has no properties.
    ///
    /// # Errors
    /// Identifier 0, a reason that is none of this packet's, wrong properties, missing or trailing bytes.
    pub fn decode(version: Version, packet_type: PacketType, body: &'a [u8]) -> Result<Self, DecodeError> {
        let place = place(packet_type);
        let mut reader = Reader::new(body);
        let id = reader.packet_id()?;
        let mut ack = Self::new(id, Reason::Success);
        if version.has_properties() && !reader.is_empty() {
            ack.reason = take_reason(&mut reader, packet_type)?;
            if !reader.is_empty() {
                ack.properties = take_properties(version, &mut reader, place)?;
            }
        }
        reader.finish()?;
        Ok(ack)
    }

    /// Appends the packet in its shortest form. In 3.x the reason stays unsaid.
    pub fn encode(&self, version: Version, packet_type: PacketType, out: &mut Vec<u8>) {
        debug_assert!(self.reason.allowed_in(packet_type), "{:?} in {packet_type:?}", self.reason);
        let has_properties = !self.properties.raw().is_empty();
        enclose(first_byte(packet_type), out, |out| {
            put_u16(self.id.get(), out);
            if version.has_properties() && (self.reason != Reason::Success || has_properties) {
                out.push(self.reason.code());
                if has_properties {
                    put_properties(version, self.properties, out);
                }
            }
        });
    }
}

/// Where the properties of each of the four stand.
fn place(packet_type: PacketType) -> Place {
    match packet_type {
        PacketType::PubAck => Place::PubAck,
        PacketType::PubRec => Place::PubRec,
        PacketType::PubRel => Place::PubRel,
        PacketType::PubComp => Place::PubComp,
        PacketType::Connect
        | PacketType::ConnAck
        | PacketType::Publish
        | PacketType::Subscribe
        | PacketType::SubAck
        | PacketType::Unsubscribe
        | PacketType::UnsubAck
        | PacketType::PingReq
        | PacketType::PingResp
        | PacketType::Disconnect
        | PacketType::Auth => unreachable!("{packet_type:?} acknowledges no message"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mqtt::golden::{assert_golden, encode, error_of};
    use crate::mqtt::packet::{Packet, Sender};
    use crate::mqtt::properties::{Property, PropertyBuffer};

    const BOTH: [Sender; 2] = [Sender::Client, Sender::Server];

    fn id(number: u16) -> PacketId {
        PacketId::new(number).unwrap()
    }

    #[test]
    fn success_is_two_bytes_in_every_version() {
        let ack = Ack::new(id(0x1234), Reason::Success);
        for (version, sender) in Version::ALL.into_iter().zip(BOTH.into_iter().cycle()) {
            assert_golden(version, sender, "40 02 1234", &Packet::PubAck(ack));
            assert_golden(version, sender, "50 02 1234", &Packet::PubRec(ack));
            assert_golden(version, sender, "62 02 1234", &Packet::PubRel(ack));
            assert_golden(version, sender, "70 02 1234", &Packet::PubComp(ack));
        }
    }

    #[test]
    fn a_reason_alone_is_three_bytes() {
        let version = Version::V5;
        let refused = Ack::new(id(7), Reason::NotAuthorized);
        assert_golden(version, Sender::Server, "40 03 0007 87", &Packet::PubAck(refused));
        let unheard = Ack::new(id(65_535), Reason::NoMatchingSubscribers);
        assert_golden(version, Sender::Server, "50 03 FFFF 10", &Packet::PubRec(unheard));
        let unknown = Ack::new(id(1), Reason::PacketIdentifierNotFound);
        assert_golden(version, Sender::Client, "62 03 0001 92", &Packet::PubRel(unknown));
        assert_golden(version, Sender::Client, "70 03 0001 92", &Packet::PubComp(unknown));
    }

    #[test]
    fn properties_follow_their_reason_even_if_it_is_success() {
        let mut properties = PropertyBuffer::default();
        properties.push(Property::ReasonString("no"));
        let properties = properties.as_properties();
        let ack = Ack { id: id(2), reason: Reason::Success, properties };
        let digits = "40 09 0002 00 05 1F 0002 6E6F";
        assert_golden(Version::V5, Sender::Server, digits, &Packet::PubAck(ack));
    }

    #[test]
    fn longer_forms_of_success_are_read_as_well() {
        let success = Ok(Ack::new(id(9), Reason::Success));
        for body in [&[0, 9][..], &[0, 9, 0], &[0, 9, 0, 0]] {
            assert_eq!(Ack::decode(Version::V5, PacketType::PubRec, body), success);
        }
    }

    #[test]
    fn in_3x_reason_and_properties_stay_unsaid() {
        let refused = Packet::PubAck(Ack::new(id(3), Reason::QuotaExceeded));
        assert_eq!(encode(Version::V311, &refused), [0x40, 2, 0, 3]);
        let error = error_of(Version::V311, Sender::Client, "40 03 0003 00");
        assert_eq!(error, DecodeError::TrailingBytes { count: 1 });
    }

    #[test]
    fn malformed_acknowledgements_are_refused() {
        let error = |digits| error_of(Version::V5, Sender::Client, digits);
        assert_eq!(error("40 01 00"), DecodeError::Truncated { wanted: 2, left: 1 });
        assert_eq!(error("40 02 0000"), DecodeError::PacketIdZero);
        assert_eq!(error("41 02 0001").reason(), Reason::MalformedPacket);
        assert_eq!(error("60 02 0001").reason(), Reason::MalformedPacket);
        assert_eq!(error("63 02 0001").reason(), Reason::MalformedPacket);
        assert_eq!(error("40 05 0001 00 00 00"), DecodeError::TrailingBytes { count: 1 });
        assert_eq!(error("40 06 0001 00 02 26 00").reason(), Reason::MalformedPacket);
        // Session Expiry Interval has no place here.
        assert_eq!(error("40 09 0001 00 05 11 00000001").reason(), Reason::MalformedPacket);
    }

    #[test]
    fn each_of_the_four_has_its_own_reasons() {
        let accepted = |first: &str| -> Vec<u8> {
            let decodes = |code: &u8| {
                let bytes = crate::mqtt::golden::hex(&format!("{first} 03 0001 {code:02X}"));
                crate::mqtt::golden::decode(Version::V5, Sender::Client, &bytes).is_ok()
            };
            (0..=255).filter(decodes).collect()
        };
        let first_steps = [0x00, 0x10, 0x80, 0x83, 0x87, 0x90, 0x91, 0x97, 0x99];
        // [MQTT-3.4.2-1] [MQTT-3.5.2-1] [MQTT-3.6.2-1] [MQTT-3.7.2-1]
        assert_eq!(accepted("40"), first_steps);
        assert_eq!(accepted("50"), first_steps);
        assert_eq!(accepted("62"), [0x00, 0x92]);
        assert_eq!(accepted("70"), [0x00, 0x92]);
    }

    #[test]
    fn only_3_1_repeats_pubrel_with_dup() {
        let bytes = [0x6A, 2, 0, 1];
        let decode = |version| crate::mqtt::golden::decode(version, Sender::Client, &bytes);
        let ack = Ack::new(id(1), Reason::Success);
        assert_eq!(decode(Version::V31), Ok(Packet::PubRel(ack)));
        assert!(decode(Version::V311).is_err());
        assert!(decode(Version::V5).is_err());
    }
}
