//! DISCONNECT: the last packet of a connection, from a client always possible, from a server since 5.0.

use super::error::DecodeError;
use super::fields::{enclose, first_byte, put_properties, take_properties, take_reason};
use super::packet::Sender;
use super::properties::{Place, Properties, Property};
use super::reason::Reason;
use super::text::Reader;
use super::version::{PacketType, Version};

/// A farewell.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Disconnect<'a> {
    /// Why; always `Success`, which is a normal disconnection, in 3.x.
    pub reason: Reason,
    /// Session Expiry Interval, Reason String, Server Reference and User Properties; none in 3.x.
    pub properties: Properties<'a>,
}

impl<'a> Disconnect<'a> {
    /// A farewell without properties.
    pub const fn new(reason: Reason) -> Self {
        Self { reason, properties: Properties::NONE }
    }

    /// Decodes the body. In 5.0 an empty body means a normal disconnection, one byte has no properties.
    ///
    /// # Errors
    /// A reason that is not this sender's, wrong properties, trailing bytes.
    pub fn decode(version: Version, sender: Sender, body: &'a [u8]) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(body);
        let mut disconnect = Self::new(Reason::Success);
        if version.has_properties() && !reader.is_empty() {
            disconnect.reason = take_reason(&mut reader, PacketType::Disconnect)?;
            if !reader.is_empty() {
                disconnect.properties = take_properties(version, &mut reader, Place::Disconnect)?;
            }
        }
        reader.finish()?;
        disconnect.check_sender(sender)?;
        Ok(disconnect)
    }

    /// Appends the packet in its shortest form. In 3.x the reason stays unsaid, and a server never calls this.
    pub fn encode(&self, version: Version, out: &mut Vec<u8>) {
        debug_assert!(self.reason.allowed_in(PacketType::Disconnect), "{:?}", self.reason);
        let has_properties = !self.properties.raw().is_empty();
        enclose(first_byte(PacketType::Disconnect), out, |out| {
            if version.has_properties() && (self.reason != Reason::Success || has_properties) {
                out.push(self.reason.code());
                if has_properties {
                    put_properties(version, self.properties, out);
                }
            }
        });
    }

    /// [MQTT-3.14.2-1] each side has its own list of reasons.
    fn check_sender(&self, sender: Sender) -> Result<(), DecodeError> {
        let is_own = match sender {
            Sender::Client => may_come_from_client(self.reason),
            Sender::Server => self.reason != Reason::DisconnectWithWill,
        };
        if !is_own {
            let code = self.reason.code();
            return Err(DecodeError::ReasonInvalid { packet: PacketType::Disconnect, code });
        }
        // [MQTT-3.14.2-2] only a client changes how long its session lives.
        if sender == Sender::Server && self.properties.session_expiry().is_some() {
            let (id, place) = (Property::SessionExpiry(0).id(), Place::Disconnect);
            return Err(DecodeError::PropertyMisplaced { id, place });
        }
        Ok(())
    }
}

/// The rows of the standard's table that say "Client" or "Client or Server".
fn may_come_from_client(reason: Reason) -> bool {
    matches!(
        reason,
        Reason::Success
            | Reason::DisconnectWithWill
            | Reason::UnspecifiedError
            | Reason::MalformedPacket
            | Reason::ProtocolError
            | Reason::ImplementationSpecificError
            | Reason::TopicNameInvalid
            | Reason::ReceiveMaximumExceeded
            | Reason::TopicAliasInvalid
            | Reason::PacketTooLarge
            | Reason::MessageRateTooHigh
            | Reason::QuotaExceeded
            | Reason::AdministrativeAction
            | Reason::PayloadFormatInvalid
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mqtt::golden::{assert_golden, decode, encode, error_of, hex};
    use crate::mqtt::packet::Packet;
    use crate::mqtt::properties::PropertyBuffer;

    #[test]
    fn a_normal_disconnection_is_two_bytes_in_every_version() {
        let normal = Packet::Disconnect(Disconnect::new(Reason::Success));
        for version in Version::ALL {
            assert_golden(version, Sender::Client, "E0 00", &normal);
        }
    }

    #[test]
    fn a_reason_alone_is_one_byte_more() {
        let farewell = |reason| Packet::Disconnect(Disconnect::new(reason));
        let will = farewell(Reason::DisconnectWithWill);
        assert_golden(Version::V5, Sender::Client, "E0 01 04", &will);
        let taken_over = farewell(Reason::SessionTakenOver);
        assert_golden(Version::V5, Sender::Server, "E0 01 8E", &taken_over);
        assert_eq!(encode(Version::V311, &taken_over), [0xE0, 0x00]);
    }

    #[test]
    fn a_client_may_change_the_life_of_its_session() {
        let mut properties = PropertyBuffer::default();
        properties.push(Property::SessionExpiry(600));
        let properties = properties.as_properties();
        let farewell = Packet::Disconnect(Disconnect { reason: Reason::Success, properties });
        let digits = "E0 07 00 05 11 00000258";
        assert_golden(Version::V5, Sender::Client, digits, &farewell);
        // [MQTT-3.14.2-2]
        assert!(decode(Version::V5, Sender::Server, &hex(digits)).is_err());
    }

    #[test]
    fn each_side_has_its_own_reasons() {
        let accepted = |sender| -> Vec<u8> {
            let decodes = |code: &u8| decode(Version::V5, sender, &[0xE0, 1, *code]).is_ok();
            (0..=255).filter(decodes).collect()
        };
        let client = "00 04 80 81 82 83 90 93 94 95 96 97 98 99";
        assert_eq!(accepted(Sender::Client), hex(client));
        let server = "00 80 81 82 83 87 89 8B 8C 8D 8E 8F 90 93 94 95 96 97 98 99 9A 9B 9C 9D 9E 9F A0 A1 A2";
        assert_eq!(accepted(Sender::Server), hex(server));
    }

    #[test]
    fn malformed_farewells_are_refused() {
        let reason = |version, digits| error_of(version, Sender::Client, digits).reason();
        // [MQTT-3.14.1-1]
        assert_eq!(reason(Version::V5, "E1 00"), Reason::MalformedPacket);
        assert_eq!(reason(Version::V311, "E1 00"), Reason::MalformedPacket);
        assert_eq!(reason(Version::V311, "E0 01 00"), Reason::MalformedPacket);
        assert_eq!(reason(Version::V5, "E0 03 00 00 00"), Reason::MalformedPacket);
        assert_eq!(reason(Version::V5, "E0 02 00 01"), Reason::MalformedPacket);
        assert_eq!(reason(Version::V5, "E0 07 00 05 02 00000001"), Reason::MalformedPacket);
        assert_eq!(reason(Version::V5, "E0 01 05"), Reason::ProtocolError);
    }

    #[test]
    fn a_server_of_3x_says_no_farewell() {
        let error = error_of(Version::V311, Sender::Server, "E0 00");
        assert_eq!(error, DecodeError::PacketFromWrongSide { packet: PacketType::Disconnect });
    }
}
