//! CONNACK: the server's answer to CONNECT, the first packet it sends.

use super::error::DecodeError;
use super::fields::{enclose, first_byte, put_properties, take_properties, take_reason};
use super::properties::{Place, Properties};
use super::reason::Reason;
use super::text::Reader;
use super::version::{PacketType, Version};

/// Accepted or refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ConnAck<'a> {
    /// The server has gone on with a stored session; never in 3.1.
    pub session_present: bool,
    /// `Success`, or why not.
    pub reason: Reason,
    /// What the server is like; none in 3.x.
    pub properties: Properties<'a>,
}

impl<'a> ConnAck<'a> {
    /// A refusal without properties.
    pub const fn refusal(reason: Reason) -> Self {
        // [MQTT-3.2.2-6] a refusal speaks of no session.
        Self { session_present: false, reason, properties: Properties::NONE }
    }

    /// Decodes the body.
    ///
    /// # Errors
    /// Reserved flags, a reason that is not CONNACK's in this version, a refusal with a session, wrong
    /// properties, missing or trailing bytes.
    pub fn decode(version: Version, body: &'a [u8]) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(body);
        let flags = reader.u8()?;
        let session_present = match version {
            // 3.1 had no meaning for this byte yet: "Reserved values. Not used."
            Version::V31 => false,
            Version::V311 | Version::V5 => parse_flags(flags)?,
        };
        let reason = match version {
            Version::V31 | Version::V311 => parse_return_code(reader.u8()?)?,
            Version::V5 => take_reason(&mut reader, PacketType::ConnAck)?,
        };
        let properties = take_properties(version, &mut reader, Place::ConnAck)?;
        reader.finish()?;
        // [MQTT-3.2.2-6]
        if session_present && reason != Reason::Success {
            return Err(DecodeError::ConnAckFlags { flags });
        }
        Ok(Self { session_present, reason, properties })
    }

    /// Appends the packet. A reason that 3.x has no return code for appends nothing: the caller then closes
    /// without a word, as [MQTT-3.2.2-6] of 3.1.1 says.
    pub fn encode(&self, version: Version, out: &mut Vec<u8>) {
        debug_assert!(self.reason.allowed_in(PacketType::ConnAck), "{:?}", self.reason);
        debug_assert!(!self.session_present || self.reason == Reason::Success);
        let Some(code) = code_in(version, self.reason) else {
            return;
        };
        enclose(first_byte(PacketType::ConnAck), out, |out| {
            out.push(u8::from(self.session_present && version != Version::V31));
            out.push(code);
            put_properties(version, self.properties, out);
        });
    }
}

/// [MQTT-3.2.2-1] only Session Present is defined.
fn parse_flags(flags: u8) -> Result<bool, DecodeError> {
    match flags {
        0 => Ok(false),
        1 => Ok(true),
        _ => Err(DecodeError::ConnAckFlags { flags }),
    }
}

/// The code of a reason in this version, if it has one.
fn code_in(version: Version, reason: Reason) -> Option<u8> {
    match version {
        Version::V31 | Version::V311 if reason == Reason::Success => Some(0),
        Version::V31 | Version::V311 => reason.connack_v3(),
        Version::V5 => Some(reason.code()),
    }
}

/// The return codes of 3.x, as the reasons that 5.0 made of them.
fn parse_return_code(code: u8) -> Result<Reason, DecodeError> {
    match code {
        0 => Ok(Reason::Success),
        1 => Ok(Reason::UnsupportedProtocolVersion),
        2 => Ok(Reason::ClientIdentifierNotValid),
        3 => Ok(Reason::ServerUnavailable),
        4 => Ok(Reason::BadUserNameOrPassword),
        5 => Ok(Reason::NotAuthorized),
        _ => Err(DecodeError::ReasonInvalid { packet: PacketType::ConnAck, code }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mqtt::golden::{assert_golden, decode, encode, error_of, hex};
    use crate::mqtt::packet::{Packet, Sender};
    use crate::mqtt::properties::{Property, PropertyBuffer};

    fn accepted(session_present: bool) -> Packet<'static> {
        let (reason, properties) = (Reason::Success, Properties::NONE);
        Packet::ConnAck(ConnAck { session_present, reason, properties })
    }

    #[test]
    fn acceptance_tells_of_the_session() {
        for version in [Version::V31, Version::V311] {
            assert_golden(version, Sender::Server, "20 02 00 00", &accepted(false));
        }
        assert_golden(Version::V311, Sender::Server, "20 02 01 00", &accepted(true));
        assert_golden(Version::V5, Sender::Server, "20 03 00 00 00", &accepted(false));
        assert_golden(Version::V5, Sender::Server, "20 03 01 00 00", &accepted(true));
    }

    #[test]
    fn in_3_1_the_first_byte_is_reserved() {
        assert_eq!(encode(Version::V31, &accepted(true)), hex("20 02 00 00"));
        assert_eq!(decode(Version::V31, Sender::Server, &hex("20 02 7F 00")), Ok(accepted(false)));
    }

    #[test]
    fn refusals_have_a_code_in_each_version() {
        let rows = [
            (Reason::UnsupportedProtocolVersion, 1, 0x84),
            (Reason::ClientIdentifierNotValid, 2, 0x85),
            (Reason::ServerUnavailable, 3, 0x88),
            (Reason::BadUserNameOrPassword, 4, 0x86),
            (Reason::NotAuthorized, 5, 0x87),
        ];
        for (reason, old, new) in rows {
            let refusal = Packet::ConnAck(ConnAck::refusal(reason));
            let digits = format!("20 02 00 {old:02X}");
            assert_golden(Version::V31, Sender::Server, &digits, &refusal);
            assert_golden(Version::V311, Sender::Server, &digits, &refusal);
            let digits = format!("20 03 00 {new:02X} 00");
            assert_golden(Version::V5, Sender::Server, &digits, &refusal);
        }
    }

    #[test]
    fn in_3x_a_reason_without_a_return_code_says_nothing() {
        let refusal = Packet::ConnAck(ConnAck::refusal(Reason::MalformedPacket));
        assert_eq!(encode(Version::V311, &refusal), hex(""));
        assert_eq!(encode(Version::V5, &refusal), hex("20 03 00 81 00"));
    }

    #[test]
    fn properties_tell_what_the_server_is_like() {
        let mut properties = PropertyBuffer::default();
        properties
            .push(Property::AssignedClientId("x"))
            .push(Property::ReceiveMaximum(10))
            .push(Property::MaximumQoS(1));
        let properties = properties.as_properties();
        let accepted = ConnAck { session_present: false, reason: Reason::Success, properties };
        let digits = "20 0C 00 00 09 12 0001 78 21 000A 24 01";
        assert_golden(Version::V5, Sender::Server, digits, &Packet::ConnAck(accepted));
        let in_3x = encode(Version::V311, &Packet::ConnAck(accepted));
        assert_eq!(in_3x, hex("20 02 00 00"));
    }

    #[test]
    fn malformed_answers_are_refused() {
        let reason = |version, digits| error_of(version, Sender::Server, digits).reason();
        // [MQTT-3.2.2-1] [MQTT-3.2.2-6]
        assert_eq!(reason(Version::V5, "20 03 02 00 00"), Reason::MalformedPacket);
        assert_eq!(reason(Version::V5, "20 03 01 87 00"), Reason::MalformedPacket);
        assert_eq!(reason(Version::V311, "20 02 01 05"), Reason::MalformedPacket);
        assert_eq!(reason(Version::V311, "20 02 00 06"), Reason::ProtocolError);
        assert_eq!(reason(Version::V5, "20 03 00 01 00"), Reason::ProtocolError);
        assert_eq!(reason(Version::V5, "20 02 00 00"), Reason::MalformedPacket);
        assert_eq!(reason(Version::V311, "20 03 00 00 00"), Reason::MalformedPacket);
        assert_eq!(reason(Version::V311, "21 02 00 00"), Reason::MalformedPacket);
    }

    #[test]
    fn only_a_server_answers() {
        let error = error_of(Version::V5, Sender::Client, "20 03 00 00 00");
        assert_eq!(error, DecodeError::PacketFromWrongSide { packet: PacketType::ConnAck });
    }

    #[test]
    fn reasons_are_those_of_the_list() {
        let decodes = |code: &u8| decode(Version::V5, Sender::Server, &[0x20, 3, 0, *code, 0]).is_ok();
        let accepted: Vec<u8> = (0..=255).filter(decodes).collect();
        // [MQTT-3.2.2-8]
        let listed = "00 80 81 82 83 84 85 86 87 88 89 8A 8C 90 95 97 99 9A 9B 9C 9D 9F";
        assert_eq!(accepted, hex(listed));
    }
}
