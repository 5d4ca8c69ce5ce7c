//! UNSUBACK: a reason code for each filter of an UNSUBSCRIBE, in 3.x only that it was handled.

use super::codes::Codes;
use super::error::DecodeError;
use super::fields::{enclose, first_byte, put_properties, take_properties};
use super::properties::{Place, Properties};
use super::text::{Reader, put_u16};
use super::version::{PacketId, PacketType, Version};

/// The server's answer to UNSUBSCRIBE.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UnsubAck<'a> {
    /// The identifier of the UNSUBSCRIBE.
    pub id: PacketId,
    /// One for each filter, in its order; none in 3.x.
    pub reasons: Codes<'a>,
    /// Reason String and User Properties; none in 3.x.
    pub properties: Properties<'a>,
}

impl<'a> UnsubAck<'a> {
    /// Decodes the body.
    ///
    /// # Errors
    /// Identifier 0, in 5.0 no reason or one that is not UNSUBACK's, wrong properties, in 3.x trailing bytes.
    pub fn decode(version: Version, body: &'a [u8]) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(body);
        let id = reader.packet_id()?;
        if !version.has_properties() {
            reader.finish()?;
            return Ok(Self { id, reasons: Codes::NONE, properties: Properties::NONE });
        }
        let properties = take_properties(version, &mut reader, Place::UnsubAck)?;
        let reasons = Codes::parse(PacketType::UnsubAck, reader.rest())?;
        Ok(Self { id, reasons, properties })
    }

    /// Appends the packet. In 3.x the reasons stay unsaid.
    pub fn encode(&self, version: Version, out: &mut Vec<u8>) {
        enclose(first_byte(PacketType::UnsubAck), out, |out| {
            put_u16(self.id.get(), out);
            put_properties(version, self.properties, out);
            if version.has_properties() {
                debug_assert!(!self.reasons.is_empty(), "every UNSUBSCRIBE has a filter");
                out.extend_from_slice(self.reasons.bytes());
            }
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mqtt::codes::CodeBuffer;
    use crate::mqtt::golden::{assert_golden, encode, error_of, hex};
    use crate::mqtt::packet::{Packet, Sender};
    use crate::mqtt::reason::Reason;

    fn unsuback(reasons: Codes<'_>) -> Packet<'_> {
        let id = PacketId::new(10).unwrap();
        Packet::UnsubAck(UnsubAck { id, reasons, properties: Properties::NONE })
    }

    #[test]
    fn in_3x_it_holds_nothing_but_the_identifier() {
        for version in [Version::V31, Version::V311] {
            assert_golden(version, Sender::Server, "B0 02 000A", &unsuback(Codes::NONE));
        }
        let mut codes = CodeBuffer::default();
        codes.push(Reason::NoSubscriptionExisted);
        assert_eq!(encode(Version::V311, &unsuback(codes.as_codes())), hex("B0 02 000A"));
    }

    #[test]
    fn in_5_0_each_filter_is_answered_in_its_place() {
        let mut codes = CodeBuffer::default();
        for reason in [Reason::Success, Reason::NoSubscriptionExisted, Reason::Success] {
            codes.push(reason);
        }
        let digits = "B0 06 000A 00 00 11 00";
        assert_golden(Version::V5, Sender::Server, digits, &unsuback(codes.as_codes()));
    }

    #[test]
    fn malformed_answers_are_refused() {
        let reason = |version, digits| error_of(version, Sender::Server, digits).reason();
        assert_eq!(reason(Version::V311, "B0 03 0001 00"), Reason::MalformedPacket);
        assert_eq!(reason(Version::V311, "B0 02 0000"), Reason::ProtocolError);
        assert_eq!(reason(Version::V5, "B0 02 0001"), Reason::MalformedPacket);
        assert_eq!(reason(Version::V5, "B0 03 0001 00"), Reason::ProtocolError);
        assert_eq!(reason(Version::V5, "B0 04 0001 00 01"), Reason::ProtocolError);
    }

    #[test]
    fn codes_are_those_of_the_list() {
        let decodes = |code: &u8| UnsubAck::decode(Version::V5, &[0, 1, 0, *code]).is_ok();
        let accepted: Vec<u8> = (0..=255).filter(decodes).collect();
        // [MQTT-3.11.3-2]
        assert_eq!(accepted, hex("00 11 80 83 87 8F 91"));
    }
}
