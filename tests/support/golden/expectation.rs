//! What a packet from the server must be: exact bytes, or a shape where the standard leaves a choice.

use super::expression::{Environment, Expression, Position, hex_byte, split_outside};
use super::packet;
use super::script::codes;

/// What one packet must be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Expectation {
    /// `hex` or `{hex|hex}`: one of these, byte by byte.
    Bytes(Vec<Expression>),
    /// `publish5 hex` or `publish5 {hex|hex}`: the properties may come in any order, ours stand sorted by identifier.
    Publish5(Vec<Expression>),
    /// `connack5 0 00`: Session Present, reason, then claims about properties.
    ConnAck5 { session_present: bool, reasons: Vec<u8>, claims: Vec<Claim> },
    /// `puback5 0001 00|10`, likewise `pubrec5`, `pubrel5`, `pubcomp5`: short or long form, any diagnostics.
    Ack5 { first: u8, id: Expression, reasons: Vec<u8> },
    /// `suback5 0001 00 01|80`, likewise `unsuback5`: a code for each filter, any diagnostics.
    Codes5 { first: u8, id: Expression, codes: Vec<Vec<u8>> },
    /// `disconnect5 81|82`
    Disconnect5 { reasons: Vec<u8> },
}

/// A claim about a property of CONNACK.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Claim {
    /// `12`: the property is there.
    Present(u8),
    /// `!12`: it is not.
    Absent(u8),
    /// `12=$name`: it is there and its value is captured.
    Captured(u8, String),
}

impl Expectation {
    /// Parses what stands behind `<`.
    pub fn parse(text: &str) -> Result<Self, String> {
        let text = text.trim();
        let (word, rest) = text.split_once(' ').unwrap_or((text, ""));
        match word {
            "connack5" => parse_connack(rest),
            "publish5" => alternatives(rest).map(Expectation::Publish5),
            "puback5" => parse_ack(0x40, rest),
            "pubrec5" => parse_ack(0x50, rest),
            "pubrel5" => parse_ack(0x62, rest),
            "pubcomp5" => parse_ack(0x70, rest),
            "suback5" => parse_codes(0x90, rest),
            "unsuback5" => parse_codes(0xb0, rest),
            "disconnect5" => codes(rest).map(|reasons| Expectation::Disconnect5 { reasons }),
            _ => alternatives(text).map(Expectation::Bytes),
        }
    }

    /// Whether `packet` is what is expected; captures are bound only when it is.
    pub fn matches(&self, packet: &[u8], environment: &mut Environment) -> bool {
        match self {
            Expectation::Bytes(options) => options.iter().any(|option| bind(option, packet, environment)),
            Expectation::Publish5(options) => {
                let Some(sorted) = packet::sort_publish_properties(packet) else {
                    return false;
                };
                options.iter().any(|option| bind(option, &sorted, environment))
            }
            Expectation::ConnAck5 { session_present, reasons, claims } => {
                let Some(found) = packet::ConnAck5::parse(packet) else {
                    return false;
                };
                found.session_present == *session_present
                    && reasons.contains(&found.reason)
                    && claims.iter().all(|claim| claim.holds(&found, environment))
            }
            Expectation::Ack5 { first, id, reasons } => packet::Ack5::parse(packet).is_some_and(|found| {
                packet[0] == *first && reasons.contains(&found.reason) && bind(id, &found.id, environment)
            }),
            Expectation::Codes5 { first, id, codes } => packet::Codes5::parse(packet).is_some_and(|found| {
                packet[0] == *first
                    && found.codes.len() == codes.len()
                    && found.codes.iter().zip(codes).all(|(code, listed)| listed.contains(code))
                    && bind(id, &found.id, environment)
            }),
            Expectation::Disconnect5 { reasons } => {
                packet::disconnect5_reason(packet).is_some_and(|reason| reasons.contains(&reason))
            }
        }
    }

    /// Whether every expression in it expands.
    pub fn expands(&self, environment: &Environment) -> bool {
        let expressions = match self {
            Expectation::Bytes(options) | Expectation::Publish5(options) => options.as_slice(),
            Expectation::Ack5 { id, .. } | Expectation::Codes5 { id, .. } => {
                return id.positions(environment).len() == 2;
            }
            Expectation::ConnAck5 { .. } | Expectation::Disconnect5 { .. } => return true,
        };
        expressions.iter().all(|option| packet::is_whole(&option.positions(environment)))
    }
}

impl Claim {
    fn parse(text: &str) -> Result<Self, String> {
        if let Some(identifier) = text.strip_prefix('!') {
            return hex_byte(identifier).map(Claim::Absent);
        }
        match text.split_once("=$") {
            Some((identifier, name)) => Ok(Claim::Captured(hex_byte(identifier)?, name.to_owned())),
            None => hex_byte(text).map(Claim::Present),
        }
    }

    fn holds(&self, found: &packet::ConnAck5, environment: &mut Environment) -> bool {
        let value = |identifier: u8| found.properties.iter().find(|property| property[0] == identifier);
        match self {
            Claim::Present(identifier) => value(*identifier).is_some(),
            Claim::Absent(identifier) => value(*identifier).is_none(),
            Claim::Captured(identifier, name) => value(*identifier).is_some_and(|property| {
                environment.captures.insert(name.clone(), property[1..].to_vec());
                true
            }),
        }
    }
}

/// Matches byte by byte; binds the free captures when all of it fits.
fn bind(expression: &Expression, bytes: &[u8], environment: &mut Environment) -> bool {
    let positions = expression.positions(environment);
    if positions.len() != bytes.len() {
        return false;
    }
    let mut bound = environment.captures.clone();
    for (at, (position, byte)) in positions.iter().zip(bytes).enumerate() {
        match position {
            Position::Byte(expected) if expected != byte => return false,
            Position::Byte(_) | Position::Any => {}
            Position::Capture(name) => {
                let second =
                    at > 0 && positions[at - 1] == *position && bound.get(name).is_some_and(|so_far| so_far.len() == 1);
                if second {
                    bound.entry(name.clone()).or_default().push(*byte);
                } else {
                    bound.insert(name.clone(), vec![*byte]);
                }
            }
        }
    }
    environment.captures = bound;
    true
}

fn alternatives(text: &str) -> Result<Vec<Expression>, String> {
    let text = text.trim();
    let options = match text.strip_prefix('{') {
        None => vec![text],
        Some(inner) => split_outside(inner.strip_suffix('}').ok_or("`{` is not closed")?, '|'),
    };
    if options.iter().any(|option| option.is_empty()) {
        return Err("an expectation is empty".to_owned());
    }
    options.into_iter().map(Expression::parse).collect()
}

fn parse_connack(text: &str) -> Result<Expectation, String> {
    let mut words = text.split_whitespace();
    let session_present = match words.next() {
        Some("0") => false,
        Some("1") => true,
        _ => return Err("connack5 needs Session Present 0 or 1".to_owned()),
    };
    let reasons = codes(words.next().ok_or("connack5 needs a reason")?)?;
    let claims = words.map(Claim::parse).collect::<Result<_, _>>()?;
    Ok(Expectation::ConnAck5 { session_present, reasons, claims })
}

fn parse_ack(first: u8, text: &str) -> Result<Expectation, String> {
    let (id, reasons) = text.trim().split_once(' ').ok_or("an acknowledgement needs an identifier and a reason")?;
    Ok(Expectation::Ack5 { first, id: Expression::parse(id)?, reasons: codes(reasons)? })
}

fn parse_codes(first: u8, text: &str) -> Result<Expectation, String> {
    let (id, rest) = text.trim().split_once(' ').ok_or("an acknowledgement needs an identifier and codes")?;
    let codes = rest.split_whitespace().map(codes).collect::<Result<_, _>>()?;
    Ok(Expectation::Codes5 { first, id: Expression::parse(id)?, codes })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn matches(text: &str, packet: &[u8]) -> bool {
        Expectation::parse(text).unwrap().matches(packet, &mut Environment::default())
    }

    #[test]
    fn bytes_match_exactly_or_by_one_alternative() {
        assert!(matches("d000", &[0xd0, 0]));
        assert!(!matches("d000", &[0xd0, 0, 0]));
        assert!(!matches("d000", &[0xd0]));
        assert!(matches("{ 4002 0001 | 5002 .. 01 }", &[0x50, 2, 9, 1]));
        assert!(!matches("{ 4002 0001 | 5002 .. 01 }", &[0x50, 2, 9, 2]));
    }

    #[test]
    fn a_capture_binds_two_bytes_and_holds_them() {
        let mut environment = Environment::default();
        let expected = Expectation::parse("4004 $id $id").unwrap();
        assert!(!Expectation::parse("4002 $id 00").unwrap().matches(&[0x40, 2, 1, 2], &mut environment));
        assert!(environment.captures.is_empty());
        assert!(Expectation::parse("4002 $id").unwrap().matches(&[0x40, 2, 1, 1], &mut environment));
        assert_eq!(environment.captures["id"], [1, 1]);
        assert!(expected.matches(&[0x40, 4, 1, 1, 1, 1], &mut environment));
        assert!(!expected.matches(&[0x40, 4, 1, 1, 1, 2], &mut environment));
    }

    #[test]
    fn acknowledgements_match_in_short_and_long_form() {
        assert!(matches("puback5 0001 00|10", &[0x40, 2, 0, 1]));
        assert!(matches("puback5 0001 00|10", &[0x40, 3, 0, 1, 0x10]));
        assert!(matches("puback5 0001 00|10", &[0x40, 4, 0, 1, 0, 0]));
        assert!(!matches("puback5 0001 10", &[0x40, 2, 0, 1]));
        assert!(!matches("puback5 0001 00", &[0x50, 2, 0, 1]));
        assert!(!matches("puback5 0002 00", &[0x40, 2, 0, 1]));
        assert!(!matches("puback5 0001 00", &[0x40, 5, 0, 1, 0, 0, 0]));
        assert!(matches("suback5 0001 00|01 8f", &[0x90, 5, 0, 1, 0, 1, 0x8f]));
        assert!(!matches("suback5 0001 00|01 8f", &[0x90, 4, 0, 1, 0, 1]));
    }

    #[test]
    fn connack_claims_are_checked() {
        let packet = [0x20, 9, 0, 0, 6, 0x12, 0, 1, b'x', 0x25, 1];
        assert!(matches("connack5 0 00", &packet));
        assert!(matches("connack5 0 00 12 !11 25", &packet));
        assert!(!matches("connack5 0 00 !12", &packet));
        assert!(!matches("connack5 0 00 13", &packet));
        assert!(!matches("connack5 1 00", &packet));
        assert!(!matches("connack5 0 81", &packet));
        let mut environment = Environment::default();
        assert!(Expectation::parse("connack5 0 00 12=$id").unwrap().matches(&packet, &mut environment));
        assert_eq!(environment.captures["id"], [0, 1, b'x']);
    }

    #[test]
    fn publish_properties_may_come_in_any_order() {
        let expected =
            "publish5 30 len{ utf(\"t\") v{ 0101 26 utf(\"a\") utf(\"1\") 26 utf(\"a\") utf(\"0\") } \"x\" }";
        let packet = *b"\x30\x15\0\x01t\x10\x26\0\x01a\0\x011\x26\0\x01a\0\x010\x01\x01x";
        assert!(matches(expected, &packet));
        let swapped = *b"\x30\x15\0\x01t\x10\x26\0\x01a\0\x010\x26\0\x01a\0\x011\x01\x01x";
        assert!(!matches(expected, &swapped));
    }

    #[test]
    fn disconnect_reasons_are_listed() {
        assert!(matches("disconnect5 81|82", &[0xe0, 1, 0x82]));
        assert!(matches("disconnect5 00", &[0xe0, 0]));
        assert!(!matches("disconnect5 81", &[0xe0, 2, 0x82, 0]));
    }
}
