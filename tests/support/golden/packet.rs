//! A decoder just large enough to cut and compare what a server sends, apart from the codec under test.

use super::expression::Position;

/// The length of the whole packet in front of `bytes`, when its header is there.
pub fn length(bytes: &[u8]) -> Result<Option<usize>, String> {
    let mut value = 0;
    for at in 0..4 {
        let Some(byte) = bytes.get(at + 1) else {
            return Ok(None);
        };
        value |= usize::from(byte & 0x7f) << (7 * at);
        if byte & 0x80 == 0 {
            return Ok(Some(at + 2 + value));
        }
    }
    Err("the server sent a Remaining Length of more than four bytes".to_owned())
}

/// Whether a pattern has the header and the length of one whole packet.
pub fn is_whole(pattern: &[Position]) -> bool {
    let bytes: Vec<u8> =
        pattern.iter().map(|position| if let Position::Byte(byte) = position { *byte } else { 0 }).collect();
    length(&bytes) == Ok(Some(bytes.len()))
}

/// A CONNACK of 5.0.
pub struct ConnAck5 {
    pub session_present: bool,
    pub reason: u8,
    /// Each with its identifier in front.
    pub properties: Vec<Vec<u8>>,
}

/// PUBACK, PUBREC, PUBREL and PUBCOMP of 5.0.
pub struct Ack5 {
    pub id: [u8; 2],
    pub reason: u8,
}

/// SUBACK and UNSUBACK of 5.0.
pub struct Codes5 {
    pub id: [u8; 2],
    pub codes: Vec<u8>,
}

impl ConnAck5 {
    pub fn parse(packet: &[u8]) -> Option<Self> {
        // [MQTT-3.2.2-1] bits 7 to 1 of the flags are zero.
        let (0x20, [flags @ (0 | 1), reason, rest @ ..]) = split(packet)? else {
            return None;
        };
        let (properties, []) = split_properties(rest)? else {
            return None;
        };
        Some(Self { session_present: *flags == 1, reason: *reason, properties })
    }
}

impl Ack5 {
    pub fn parse(packet: &[u8]) -> Option<Self> {
        let (_, [high, low, rest @ ..]) = split(packet)? else {
            return None;
        };
        let reason = reason_and_diagnostics(rest)?;
        Some(Self { id: [*high, *low], reason })
    }
}

impl Codes5 {
    pub fn parse(packet: &[u8]) -> Option<Self> {
        let (_, [high, low, rest @ ..]) = split(packet)? else {
            return None;
        };
        let (properties, codes) = split_properties(rest)?;
        are_diagnostics(&properties).then(|| Self { id: [*high, *low], codes: codes.to_vec() })
    }
}

/// The reason of a DISCONNECT as a server may send it.
pub fn disconnect5_reason(packet: &[u8]) -> Option<u8> {
    let (0xe0, body) = split(packet)? else {
        return None;
    };
    reason_and_diagnostics(body)
}

/// The same PUBLISH with its properties sorted by identifier; those of one identifier keep their order.
pub fn sort_publish_properties(packet: &[u8]) -> Option<Vec<u8>> {
    let (first @ 0x30..=0x3f, body) = split(packet)? else {
        return None;
    };
    let topic_length = usize::from(u16::from_be_bytes([*body.first()?, *body.get(1)?]));
    let id_length = if first & 0x06 == 0 { 0 } else { 2 };
    let (_, from_properties) = body.split_at_checked(2 + topic_length + id_length)?;
    let (mut properties, payload) = split_properties(from_properties)?;
    properties.sort_by_key(|property| property[0]);
    let sorted = properties.concat();
    let mut out = packet[..packet.len() - payload.len() - sorted.len()].to_vec();
    out.extend(sorted);
    out.extend(payload);
    Some(out)
}

/// First byte and body of a whole packet.
fn split(packet: &[u8]) -> Option<(u8, &[u8])> {
    let header = packet.iter().skip(1).position(|byte| byte & 0x80 == 0)? + 2;
    Some((*packet.first()?, &packet[header..]))
}

/// An absent reason is Success; absent properties are none.
fn reason_and_diagnostics(rest: &[u8]) -> Option<u8> {
    match rest {
        [] => Some(0),
        [reason] => Some(*reason),
        [reason, rest @ ..] => {
            let (properties, []) = split_properties(rest)? else {
                return None;
            };
            are_diagnostics(&properties).then_some(*reason)
        }
    }
}

/// Reason String, User Property and Server Reference: [MQTT-3.14.2-2] a server never sends an expiry in DISCONNECT.
fn are_diagnostics(properties: &[Vec<u8>]) -> bool {
    properties.iter().all(|property| matches!(property[0], 0x1c | 0x1f | 0x26))
}

/// The properties behind their length, and what follows them.
fn split_properties(bytes: &[u8]) -> Option<(Vec<Vec<u8>>, &[u8])> {
    let (size, width) = varint(bytes)?;
    let (mut inner, rest) = bytes[width..].split_at_checked(size)?;
    let mut properties = Vec::new();
    while !inner.is_empty() {
        let (property, behind) = inner.split_at_checked(1 + value_length(inner)?)?;
        properties.push(property.to_vec());
        inner = behind;
    }
    Some((properties, rest))
}

fn value_length(property: &[u8]) -> Option<usize> {
    let counted = |at: usize| Some(2 + usize::from(u16::from_be_bytes([*property.get(at)?, *property.get(at + 1)?])));
    match property[0] {
        0x01 | 0x17 | 0x19 | 0x24 | 0x25 | 0x28 | 0x29 | 0x2a => Some(1),
        0x13 | 0x21 | 0x22 | 0x23 => Some(2),
        0x02 | 0x11 | 0x18 | 0x27 => Some(4),
        0x0b => varint(&property[1..]).map(|(_, width)| width),
        0x03 | 0x08 | 0x09 | 0x12 | 0x15 | 0x16 | 0x1a | 0x1c | 0x1f => counted(1),
        0x26 => {
            let name = counted(1)?;
            Some(name + counted(1 + name)?)
        }
        _ => None,
    }
}

/// Value and width of a Variable Byte Integer.
fn varint(bytes: &[u8]) -> Option<(usize, usize)> {
    let mut value = 0;
    for (at, byte) in bytes.iter().take(4).enumerate() {
        value |= usize::from(byte & 0x7f) << (7 * at);
        if byte & 0x80 == 0 {
            return Some((value, at + 1));
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn length_asks_for_more_until_the_header_is_whole() {
        assert_eq!(length(&[]), Ok(None));
        assert_eq!(length(&[0xd0]), Ok(None));
        assert_eq!(length(&[0xd0, 0]), Ok(Some(2)));
        assert_eq!(length(&[0x30, 0x80]), Ok(None));
        assert_eq!(length(&[0x30, 0x80, 1]), Ok(Some(131)));
        assert!(length(&[0x30, 0xff, 0xff, 0xff, 0xff]).is_err());
    }

    #[test]
    fn a_disconnect_with_an_expiry_is_no_server_disconnect() {
        assert_eq!(disconnect5_reason(&[0xe0, 2, 0x82, 0]), Some(0x82));
        assert_eq!(disconnect5_reason(&[0xe0, 7, 0x82, 5, 0x11, 0, 0, 0, 0]), None);
    }

    #[test]
    fn property_lengths_must_agree_with_the_packet() {
        assert!(ConnAck5::parse(&[0x20, 3, 0, 0, 0]).is_some());
        assert!(ConnAck5::parse(&[0x20, 3, 2, 0, 0]).is_none());
        assert!(ConnAck5::parse(&[0x20, 4, 0, 0, 0, 0]).is_none());
        assert!(ConnAck5::parse(&[0x20, 4, 0, 0, 2, 0x25]).is_none());
        assert!(Ack5::parse(&[0x40, 1, 0]).is_none());
    }
}
