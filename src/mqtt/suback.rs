//! SUBACK: a reason code for each filter of a SUBSCRIBE.

use super::codes::Codes;
use super::error::DecodeError;
use super::fields::{enclose, first_byte, put_properties, take_properties};
use super::properties::{Place, Properties};
use super::reason::Reason;
use super::text::{Reader, put_u16};
use super::version::{PacketId, PacketType, Version};

/// The server's answer to SUBSCRIBE.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SubAck<'a> {
    /// The identifier of the SUBSCRIBE.
    pub id: PacketId,
    /// One for each filter, in its order.
    pub reasons: Codes<'a>,
    /// Reason String and User Properties; none in 3.x.
    pub properties: Properties<'a>,
}

impl<'a> SubAck<'a> {
    /// Decodes the body.
    ///
    /// # Errors
    /// Identifier 0, no reason or one that is not SUBACK's in this version, wrong properties.
    pub fn decode(version: Version, body: &'a [u8]) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(body);
        let id = reader.packet_id()?;
        let properties = take_properties(version, &mut reader, Place::SubAck)?;
        let reasons = Codes::parse(PacketType::SubAck, reader.rest())?;
        if !version.has_properties() {
            check_codes_v3(reasons)?;
        }
        Ok(Self { id, reasons, properties })
    }

    /// Appends the packet. In 3.x every refusal is 0x80: 3.1 knew no code for it, but a client of 3.1 that
    /// sees an impossible `QoS` is better off than one that waits for messages which never come.
    pub fn encode(&self, version: Version, out: &mut Vec<u8>) {
        debug_assert!(!self.reasons.is_empty(), "every SUBSCRIBE has a filter");
        enclose(first_byte(PacketType::SubAck), out, |out| {
            put_u16(self.id.get(), out);
            put_properties(version, self.properties, out);
            if version.has_properties() {
                out.extend_from_slice(self.reasons.bytes());
            } else {
                out.extend(self.reasons.iter().map(Reason::suback_v3));
            }
        });
    }
}

/// [MQTT-3.9.3-2] 3.1.1 knows a granted `QoS` and one failure.
fn check_codes_v3(reasons: Codes<'_>) -> Result<(), DecodeError> {
    for reason in reasons.iter() {
        let code = reason.code();
        if reason.suback_v3() != code {
            return Err(DecodeError::ReasonInvalid { packet: PacketType::SubAck, code });
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mqtt::codes::CodeBuffer;
    use crate::mqtt::golden::{assert_golden, decode, encode, error_of, hex};
    use crate::mqtt::packet::{Packet, Sender};
    use crate::mqtt::properties::{Property, PropertyBuffer};

    fn codes(reasons: &[Reason]) -> CodeBuffer {
        let mut codes = CodeBuffer::default();
        for &reason in reasons {
            codes.push(reason);
        }
        codes
    }

    fn suback(codes: &CodeBuffer) -> Packet<'_> {
        let id = PacketId::new(300).unwrap();
        Packet::SubAck(SubAck { id, reasons: codes.as_codes(), properties: Properties::NONE })
    }

    #[test]
    fn each_filter_is_answered_in_its_place() {
        let codes = codes(&[Reason::Success, Reason::UnspecifiedError, Reason::GrantedQoS2]);
        for version in [Version::V31, Version::V311] {
            assert_golden(version, Sender::Server, "90 05 012C 00 80 02", &suback(&codes));
        }
        assert_golden(Version::V5, Sender::Server, "90 06 012C 00 00 80 02", &suback(&codes));
    }

    #[test]
    fn in_3x_every_refusal_is_one_code() {
        let codes = codes(&[Reason::NotAuthorized, Reason::GrantedQoS1, Reason::QuotaExceeded]);
        assert_eq!(encode(Version::V311, &suback(&codes)), hex("90 05 012C 80 01 80"));
        assert_eq!(encode(Version::V5, &suback(&codes)), hex("90 06 012C 00 87 01 97"));
    }

    #[test]
    fn properties_stand_before_the_codes() {
        let codes = codes(&[Reason::NotAuthorized]);
        let mut properties = PropertyBuffer::default();
        properties.push(Property::User("a", "b")).push(Property::ReasonString("no"));
        let packet = suback(&codes).with_properties(properties.as_properties());
        let digits = "90 10 012C 0C 26 0001 61 0001 62 1F 0002 6E6F 87";
        assert_golden(Version::V5, Sender::Server, digits, &packet);
    }

    #[test]
    fn malformed_answers_are_refused() {
        let reason = |version, digits| error_of(version, Sender::Server, digits).reason();
        assert_eq!(reason(Version::V311, "90 02 0001"), Reason::ProtocolError);
        assert_eq!(reason(Version::V5, "90 03 0001 00"), Reason::ProtocolError);
        assert_eq!(reason(Version::V311, "90 03 0000 00"), Reason::ProtocolError);
        assert_eq!(reason(Version::V311, "90 03 0001 03"), Reason::ProtocolError);
        assert_eq!(reason(Version::V311, "90 03 0001 87"), Reason::ProtocolError);
        assert_eq!(reason(Version::V5, "90 04 0001 00 11"), Reason::ProtocolError);
        assert_eq!(reason(Version::V5, "92 04 0001 00 00"), Reason::MalformedPacket);
        assert_eq!(reason(Version::V5, "90 02 0001"), Reason::MalformedPacket);
    }

    #[test]
    fn codes_are_those_of_the_list() {
        let decodes = |version: Version, code: u8| {
            let body = if version.has_properties() { vec![0, 1, 0, code] } else { vec![0, 1, code] };
            SubAck::decode(version, &body).is_ok()
        };
        let accepted = |version| -> Vec<u8> { (0..=255).filter(|&code| decodes(version, code)).collect() };
        // [MQTT-3.9.3-2] in both standards.
        assert_eq!(accepted(Version::V5), hex("00 01 02 80 83 87 8F 91 97 9E A1 A2"));
        assert_eq!(accepted(Version::V311), hex("00 01 02 80"));
    }

    #[test]
    fn only_a_server_answers() {
        assert!(decode(Version::V311, Sender::Client, &hex("90 03 0001 00")).is_err());
    }
}
