//! AUTH: one step of an authentication exchange, 5.0 only.

use super::error::DecodeError;
use super::fields::{enclose, first_byte, put_properties, take_properties, take_reason};
use super::packet::Sender;
use super::properties::{Place, Properties};
use super::reason::Reason;
use super::text::Reader;
use super::version::{PacketType, Version};

/// One step of an exchange.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Auth<'a> {
    /// `Success`, `ContinueAuthentication` or `ReAuthenticate`.
    pub reason: Reason,
    /// Authentication Method and Data, Reason String and User Properties.
    pub properties: Properties<'a>,
}

impl<'a> Auth<'a> {
    /// Decodes the body. An empty one means Success without properties.
    ///
    /// # Errors
    /// A reason that is not this sender's, no Authentication Method, wrong properties, trailing bytes.
    pub fn decode(sender: Sender, body: &'a [u8]) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(body);
        let mut auth = Self { reason: Reason::Success, properties: Properties::NONE };
        // Unlike DISCONNECT there is no form with a reason alone: one byte is cut short.
        if !reader.is_empty() {
            auth.reason = take_reason(&mut reader, PacketType::Auth)?;
            auth.properties = take_properties(Version::V5, &mut reader, Place::Auth)?;
        }
        reader.finish()?;
        auth.check_sender(sender)?;
        Ok(auth)
    }

    /// Appends the packet in its shortest form.
    pub fn encode(&self, out: &mut Vec<u8>) {
        debug_assert!(self.reason.allowed_in(PacketType::Auth), "{:?}", self.reason);
        let is_empty = self.reason == Reason::Success && self.properties.raw().is_empty();
        enclose(first_byte(PacketType::Auth), out, |out| {
            if !is_empty {
                out.push(self.reason.code());
                put_properties(Version::V5, self.properties, out);
            }
        });
    }

    /// [MQTT-3.15.2-1] the server ends an exchange, the client starts it again, both continue it.
    fn check_sender(&self, sender: Sender) -> Result<(), DecodeError> {
        let theirs = match sender {
            Sender::Client => Reason::Success,
            Sender::Server => Reason::ReAuthenticate,
        };
        if self.reason == theirs {
            let code = self.reason.code();
            return Err(DecodeError::ReasonInvalid { packet: PacketType::Auth, code });
        }
        // Only the short form of Success has no room for the method; every other AUTH must name it.
        let is_short = self.reason == Reason::Success && self.properties.is_empty();
        if !is_short && self.properties.auth_method().is_none() {
            return Err(DecodeError::AuthMethodMissing);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mqtt::golden::{assert_golden, error_of};
    use crate::mqtt::packet::Packet;
    use crate::mqtt::properties::{Property, PropertyBuffer};

    #[test]
    fn a_step_names_its_method_and_brings_its_data() {
        let mut properties = PropertyBuffer::default();
        properties.push(Property::AuthMethod("S")).push(Property::AuthData(&[0xFF, 0x00]));
        let properties = properties.as_properties();
        let step = |reason| Packet::Auth(Auth { reason, properties });
        let rest = "09 15 0001 53 16 0002 FF00";
        for sender in [Sender::Client, Sender::Server] {
            let digits = format!("F0 0B 18 {rest}");
            let next = step(Reason::ContinueAuthentication);
            assert_golden(Version::V5, sender, &digits, &next);
        }
        let digits = format!("F0 0B 19 {rest}");
        assert_golden(Version::V5, Sender::Client, &digits, &step(Reason::ReAuthenticate));
        let digits = format!("F0 0B 00 {rest}");
        assert_golden(Version::V5, Sender::Server, &digits, &step(Reason::Success));
    }

    #[test]
    fn success_without_properties_is_two_bytes() {
        let properties = Properties::NONE;
        let success = Packet::Auth(Auth { reason: Reason::Success, properties });
        assert_golden(Version::V5, Sender::Server, "F0 00", &success);
    }

    #[test]
    fn success_with_properties_names_its_method_too() {
        let error = error_of(Version::V5, Sender::Server, "F0 06 00 04 16 0001 53");
        assert_eq!(error, DecodeError::AuthMethodMissing);
        let error = error_of(Version::V5, Sender::Server, "F0 06 00 04 1F 0001 53");
        assert_eq!(error, DecodeError::AuthMethodMissing);
    }

    #[test]
    fn the_client_never_declares_success() {
        for digits in ["F0 00", "F0 06 00 04 15 0001 53"] {
            let error = error_of(Version::V5, Sender::Client, digits);
            assert_eq!(error.reason(), Reason::ProtocolError);
        }
        let error = error_of(Version::V5, Sender::Server, "F0 06 19 04 15 0001 53");
        assert_eq!(error.reason(), Reason::ProtocolError);
    }

    #[test]
    fn malformed_steps_are_refused() {
        let error = |digits| error_of(Version::V5, Sender::Client, digits);
        assert_eq!(error("F0 01 18").reason(), Reason::MalformedPacket);
        assert_eq!(error("F1 06 18 04 15 0001 53").reason(), Reason::MalformedPacket);
        assert_eq!(error("F0 02 18 00"), DecodeError::AuthMethodMissing);
        assert_eq!(error("F0 06 18 04 16 0001 53"), DecodeError::AuthMethodMissing);
        assert_eq!(error("F0 06 55 04 15 0001 53").reason(), Reason::ProtocolError);
        let twice = "F0 0A 18 08 15 0001 53 15 0001 53";
        assert_eq!(error(twice).reason(), Reason::ProtocolError);
    }

    #[test]
    fn there_is_no_auth_before_5_0() {
        for version in [Version::V31, Version::V311] {
            let error = error_of(version, Sender::Client, "F0 00");
            assert_eq!(error, DecodeError::PacketNotInVersion { packet: PacketType::Auth });
        }
    }
}
