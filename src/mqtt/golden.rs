//! Whole packets as bytes, for the tests of this room: hex in, packets out, and back.

use super::error::DecodeError;
use super::packet::{Packet, Sender};
use super::text::Reader;
use super::varint;
use super::version::Version;

/// Bytes from hex digits; spaces are for the eye.
pub fn hex(digits: &str) -> Vec<u8> {
    let digits: String = digits.split_whitespace().collect();
    (0..digits.len()).step_by(2).map(|at| u8::from_str_radix(&digits[at..at + 2], 16).unwrap()).collect()
}

/// First byte and body of exactly one packet.
pub fn split(bytes: &[u8]) -> (u8, &[u8]) {
    let length = varint::decode(&bytes[1..]).unwrap().unwrap();
    let body = &bytes[1 + length.len..];
    assert_eq!(body.len(), length.value as usize, "one whole packet");
    (bytes[0], body)
}

/// Decodes exactly one packet.
pub fn decode(version: Version, sender: Sender, bytes: &[u8]) -> Result<Packet<'_>, DecodeError> {
    let (first, body) = split(bytes);
    Packet::decode(version, sender, first, body)
}

/// Encodes one packet.
pub fn encode(version: Version, packet: &Packet<'_>) -> Vec<u8> {
    let mut bytes = Vec::new();
    packet.encode(version, &mut bytes);
    bytes
}

/// Checks that these bytes and this packet are two forms of one thing.
pub fn assert_golden(version: Version, sender: Sender, digits: &str, packet: &Packet<'_>) {
    let bytes = hex(digits);
    assert_eq!(decode(version, sender, &bytes).as_ref(), Ok(packet), "decoding {digits}");
    assert_eq!(encode(version, packet), bytes, "encoding {packet:?}");
}

/// The error of bytes that are no packet.
pub fn error_of(version: Version, sender: Sender, digits: &str) -> DecodeError {
    let bytes = hex(digits);
    decode(version, sender, &bytes).expect_err(digits)
}

/// A body under a new fixed header, whatever it holds.
pub fn frame(first: u8, body: &[u8]) -> Vec<u8> {
    let mut bytes = vec![first];
    varint::encode(u32::try_from(body.len()).unwrap(), &mut bytes);
    bytes.extend_from_slice(body);
    bytes
}

#[test]
fn hex_and_split_are_right_themselves() {
    assert_eq!(hex("C0 00 fF"), [0xC0, 0x00, 0xFF]);
    assert_eq!(split(&frame(0x30, &[7; 200])), (0x30, [7; 200].as_slice()));
    assert_eq!(Reader::new(&hex("0001 61")).text(), Ok("a"));
}
