//! Why bytes are no packet: each error carries the number that explains it and knows its reason code.

use super::properties::Place;
use super::reason::Reason;
use super::topic::TopicError;
use super::version::PacketType;

/// What is wrong with a packet of the peer. The connection ends with `reason()`; nothing of the packet takes effect.
#[derive(thiserror::Error, Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the message of each variant is its documentation")]
pub enum DecodeError {
    #[error("a field of {wanted} bytes where {left} are left")]
    Truncated { wanted: u32, left: u32 },
    #[error("{count} bytes after the last field")]
    TrailingBytes { count: u32 },
    #[error("a variable byte integer of more than four bytes")]
    VarintTooLong,
    #[error("{value} written as a variable byte integer of {len} bytes")]
    VarintNotShortest { value: u32, len: u8 },
    #[error("text that is not UTF-8 from byte {at} on")]
    TextNotUtf8 { at: u32 },
    #[error("text with U+0000 at byte {at}")]
    TextWithNul { at: u32 },
    #[error("a packet of {size} bytes where {maximum} are agreed")]
    PacketTooLarge { size: u32, maximum: u32 },
    #[error("the reserved packet type 0")]
    PacketTypeReserved,
    #[error("{packet:?} does not exist in this version")]
    PacketNotInVersion { packet: PacketType },
    #[error("{packet:?} from the side that never sends it")]
    PacketFromWrongSide { packet: PacketType },
    #[error("fixed header flags {flags:#06b} on {packet:?}")]
    FlagsReserved { packet: PacketType, flags: u8 },
    #[error("DUP on a PUBLISH of quality of service 0")]
    DupAtMostOnce,
    #[error("quality of service {bits}")]
    QoSInvalid { bits: u8 },
    #[error("packet identifier 0")]
    PacketIdZero,
    #[error("no topic and no topic alias")]
    TopicMissing,
    #[error("topic name: {0}")]
    TopicInvalid(TopicError),
    #[error("topic filter: {0}")]
    FilterInvalid(TopicError),
    #[error("unknown property {id:#04x}")]
    PropertyUnknown { id: u32 },
    #[error("property {id:#04x} in {place:?}")]
    PropertyMisplaced { id: u8, place: Place },
    #[error("property {id:#04x} a second time")]
    PropertyRepeated { id: u8 },
    #[error("property {id:#04x} with the value {value}")]
    PropertyValue { id: u8, value: u32 },
    #[error("more than {maximum} properties")]
    PropertiesTooMany { maximum: u32 },
    #[error("response topic: {0}")]
    ResponseTopicInvalid(TopicError),
    #[error("topic alias 0")]
    TopicAliasZero,
    #[error("a subscription identifier from a client's PUBLISH")]
    SubscriptionIdFromClient,
    #[error("reason code {code:#04x} on {packet:?}")]
    ReasonInvalid { packet: PacketType, code: u8 },
    #[error("an unknown protocol name")]
    ProtocolNameUnknown,
    #[error("protocol level {level}")]
    ProtocolLevelUnsupported { level: u8 },
    #[error("connect flags {flags:#010b}")]
    ConnectFlags { flags: u8 },
    #[error("connack flags {flags:#010b}")]
    ConnAckFlags { flags: u8 },
    #[error("an empty client identifier without a clean session")]
    ClientIdMissing,
    #[error("a client identifier of {len} bytes")]
    ClientIdTooLong { len: u32 },
    #[error("authentication data without a method")]
    AuthMethodMissing,
    #[error("{packet:?} without an entry")]
    EntriesMissing { packet: PacketType },
    #[error("subscription options {options:#010b}")]
    SubscriptionOptions { options: u8 },
    #[error("maximum quality of service 3")]
    MaximumQoSInvalid,
    #[error("retain handling 3")]
    RetainHandlingInvalid,
    #[error("no local on a shared subscription")]
    NoLocalOnShared,
}

impl DecodeError {
    /// The reason code that DISCONNECT or CONNACK gives for this error.
    pub const fn reason(&self) -> Reason {
        match self {
            // [MQTT-4.13.1-1] A packet that cannot be parsed.
            DecodeError::Truncated { .. }
            | DecodeError::TrailingBytes { .. }
            | DecodeError::VarintTooLong
            | DecodeError::VarintNotShortest { .. }
            | DecodeError::TextNotUtf8 { .. }
            | DecodeError::TextWithNul { .. }
            | DecodeError::PacketTypeReserved
            | DecodeError::PacketNotInVersion { .. }
            | DecodeError::FlagsReserved { .. }
            | DecodeError::DupAtMostOnce
            | DecodeError::QoSInvalid { .. }
            | DecodeError::PropertyUnknown { .. }
            | DecodeError::PropertyMisplaced { .. }
            | DecodeError::ConnectFlags { .. }
            | DecodeError::ConnAckFlags { .. }
            | DecodeError::SubscriptionOptions { .. } => Reason::MalformedPacket,
            // A packet that can be parsed and breaks a rule.
            DecodeError::PacketFromWrongSide { .. }
            | DecodeError::PacketIdZero
            | DecodeError::TopicMissing
            | DecodeError::PropertyRepeated { .. }
            | DecodeError::PropertyValue { .. }
            | DecodeError::ResponseTopicInvalid(_)
            | DecodeError::SubscriptionIdFromClient
            | DecodeError::ReasonInvalid { .. }
            | DecodeError::AuthMethodMissing
            | DecodeError::EntriesMissing { .. }
            | DecodeError::MaximumQoSInvalid
            | DecodeError::RetainHandlingInvalid
            | DecodeError::NoLocalOnShared => Reason::ProtocolError,
            DecodeError::PacketTooLarge { .. } => Reason::PacketTooLarge,
            DecodeError::PropertiesTooMany { .. } => Reason::QuotaExceeded,
            DecodeError::TopicInvalid(_) => Reason::TopicNameInvalid,
            DecodeError::FilterInvalid(_) => Reason::TopicFilterInvalid,
            DecodeError::TopicAliasZero => Reason::TopicAliasInvalid,
            DecodeError::ProtocolNameUnknown | DecodeError::ProtocolLevelUnsupported { .. } => {
                Reason::UnsupportedProtocolVersion
            }
            DecodeError::ClientIdMissing | DecodeError::ClientIdTooLong { .. } => Reason::ClientIdentifierNotValid,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_stays_small_enough_to_return_by_value() {
        assert!(size_of::<Result<u32, DecodeError>>() <= 16);
    }

    #[test]
    fn the_message_holds_the_number_that_explains_it() {
        let error = DecodeError::PacketTooLarge { size: 70_000, maximum: 65_536 };
        assert_eq!(error.to_string(), "a packet of 70000 bytes where 65536 are agreed");
        assert_eq!(DecodeError::PropertyUnknown { id: 0x7f }.to_string(), "unknown property 0x7f");
    }

    #[test]
    fn the_special_reasons_are_told_from_malformed_and_protocol_error() {
        assert_eq!(DecodeError::TopicAliasZero.reason(), Reason::TopicAliasInvalid);
        assert_eq!(DecodeError::TopicInvalid(TopicError::Empty).reason(), Reason::TopicNameInvalid);
        assert_eq!(DecodeError::FilterInvalid(TopicError::Empty).reason(), Reason::TopicFilterInvalid);
        assert_eq!(DecodeError::PacketTooLarge { size: 2, maximum: 1 }.reason(), Reason::PacketTooLarge);
        assert_eq!(DecodeError::ProtocolLevelUnsupported { level: 9 }.reason(), Reason::UnsupportedProtocolVersion);
    }
}
