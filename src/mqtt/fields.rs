//! Pieces that several packets share: the fixed header, packet identifiers, reason codes, property sets.

use super::error::DecodeError;
use super::properties::{Place, Properties};
use super::reason::Reason;
use super::text::Reader;
use super::varint;
use super::version::{PacketType, Version};

/// The first byte of a packet whose flags are fixed.
pub(super) fn first_byte(packet: PacketType) -> u8 {
    let flags = packet.reserved_flags();
    packet.bits() << 4 | flags.expect("PUBLISH writes its own first byte")
}

/// [MQTT-2.1.3-1] the low four bits of every packet but PUBLISH are fixed.
pub(super) fn check_flags(version: Version, packet: PacketType, first: u8) -> Result<(), DecodeError> {
    let flags = first & 0x0F;
    let Some(fixed) = packet.reserved_flags() else {
        return Ok(());
    };
    // 3.1 gave three packets a QoS of 1, and with it DUP for a retransmission.
    let is_repeat = version == Version::V31 && fixed != 0 && flags == fixed | 0x08;
    if flags == fixed || is_repeat { Ok(()) } else { Err(DecodeError::FlagsReserved { packet, flags }) }
}

/// Appends the first byte, the Remaining Length in its shortest form, and what `write` appends as the body.
pub(super) fn enclose(first: u8, out: &mut Vec<u8>, write: impl FnOnce(&mut Vec<u8>)) {
    out.push(first);
    let body_at = out.len();
    write(out);
    let body_len = out.len() - body_at;
    // The length stands before the body but is known only behind it.
    let len = u32::try_from(body_len).expect("a body is shorter than 256 MiB, its maker checked that");
    varint::encode(len, out);
    let length_len = out.len() - body_at - body_len;
    out[body_at..].rotate_right(length_len);
}

/// Appends a property set with its length, where the version has them.
pub(super) fn put_properties(version: Version, properties: Properties<'_>, out: &mut Vec<u8>) {
    if version.has_properties() {
        properties.encode(out);
    }
}

/// Reads a property set, where the version has them.
pub(super) fn take_properties<'a>(
    version: Version,
    reader: &mut Reader<'a>,
    place: Place,
) -> Result<Properties<'a>, DecodeError> {
    if version.has_properties() { Properties::decode(reader, place) } else { Ok(Properties::NONE) }
}

/// Reads a reason code that this type of packet may carry.
pub(super) fn take_reason(reader: &mut Reader<'_>, packet: PacketType) -> Result<Reason, DecodeError> {
    parse_reason(reader.u8()?, packet)
}

/// The reason behind a code, if this type of packet may carry it.
pub(super) fn parse_reason(code: u8, packet: PacketType) -> Result<Reason, DecodeError> {
    Reason::from_code(code)
        .filter(|reason| reason.allowed_in(packet))
        .ok_or(DecodeError::ReasonInvalid { packet, code })
}
