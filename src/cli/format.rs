//! How `sub` prints a message: the format strings of `mosquitto_sub -F`, read once and checked where they are written.

use std::io::{self, Write};

use crate::mqtt::properties::{Properties, Property};
use crate::mqtt::publish::Publish;
use crate::mqtt::version::PacketId;
use crate::mqtt::{QoS, Topic};

/// A format string, taken apart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Format(Vec<Piece>);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Piece {
    Text(Vec<u8>),
    Field(Field),
}

/// What of a message is printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Field {
    Topic,
    Payload,
    HexLower,
    HexUpper,
    Length,
    QoS,
    Retain,
    PacketId,
    ContentType,
    Expiry,
    PayloadFormat,
    ResponseTopic,
    CorrelationData,
    SubscriptionId,
    User,
}

impl Format {
    /// Reads a format string; a sentence where something in it cannot be printed.
    pub fn parse(text: &str) -> Result<Self, String> {
        let mut pieces = Vec::new();
        let mut plain = Vec::new();
        let mut letters = text.chars();
        while let Some(letter) = letters.next() {
            match letter {
                '%' => match letters.next() {
                    Some('%') => plain.push(b'%'),
                    next => {
                        let field = field(next)?;
                        if !plain.is_empty() {
                            pieces.push(Piece::Text(std::mem::take(&mut plain)));
                        }
                        pieces.push(Piece::Field(field));
                    }
                },
                '@' => match letters.next() {
                    Some('@') => plain.push(b'@'),
                    _ => return Err("the time (@ and a letter) cannot be printed; @@ is an at sign".into()),
                },
                '\\' => plain.push(escape(letters.next())?),
                letter => plain.extend_from_slice(letter.encode_utf8(&mut [0; 4]).as_bytes()),
            }
        }
        if !plain.is_empty() {
            pieces.push(Piece::Text(plain));
        }
        Ok(Self(pieces))
    }

    /// The form of `mosquitto_sub -v`, but for empty messages.
    pub fn verbose() -> Self {
        Self(vec![Piece::Field(Field::Topic), Piece::Text(b" ".into()), Piece::Field(Field::Payload)])
    }

    /// The payload alone.
    pub fn plain() -> Self {
        Self(vec![Piece::Field(Field::Payload)])
    }

    /// Prints a message.
    pub fn print(&self, topic: Topic<'_>, publish: &Publish<'_>, out: &mut impl Write) -> io::Result<()> {
        for piece in &self.0 {
            match piece {
                Piece::Text(text) => out.write_all(text)?,
                Piece::Field(field) => field.print(topic, publish, out)?,
            }
        }
        Ok(())
    }
}

impl Field {
    fn print(self, topic: Topic<'_>, publish: &Publish<'_>, out: &mut impl Write) -> io::Result<()> {
        let Publish { payload, properties, .. } = *publish;
        match self {
            Self::Topic => out.write_all(topic.as_str().as_bytes()),
            Self::Payload => out.write_all(payload),
            Self::HexLower => payload.iter().try_for_each(|byte| write!(out, "{byte:02x}")),
            Self::HexUpper => payload.iter().try_for_each(|byte| write!(out, "{byte:02X}")),
            Self::Length => write!(out, "{}", payload.len()),
            Self::QoS => write!(out, "{}", publish.qos.bits()),
            Self::Retain => write!(out, "{}", u8::from(publish.retain)),
            Self::PacketId => {
                debug_assert_eq!(publish.packet_id.is_some(), publish.qos > QoS::AtMostOnce);
                write!(out, "{}", publish.packet_id.map_or(0, PacketId::get))
            }
            Self::ContentType => out.write_all(properties.content_type().unwrap_or_default().as_bytes()),
            Self::ResponseTopic => out.write_all(properties.response_topic().unwrap_or_default().as_bytes()),
            Self::CorrelationData => out.write_all(properties.correlation_data().unwrap_or_default()),
            Self::Expiry => properties.message_expiry().map_or(Ok(()), |seconds| write!(out, "{seconds}")),
            Self::PayloadFormat => {
                properties.payload_format().map_or(Ok(()), |is_text| write!(out, "{}", u8::from(is_text)))
            }
            Self::SubscriptionId => print_subscription_ids(properties, out),
            Self::User => print_user(properties, out),
        }
    }
}

/// All of them: overlapping subscriptions share a message.
fn print_subscription_ids(properties: Properties<'_>, out: &mut impl Write) -> io::Result<()> {
    let ids = properties
        .iter()
        .filter_map(|property| if let Property::SubscriptionId(id) = property { Some(id.to_string()) } else { None });
    out.write_all(ids.collect::<Vec<_>>().join(" ").as_bytes())
}

fn print_user(properties: Properties<'_>, out: &mut impl Write) -> io::Result<()> {
    let pairs: Vec<_> = properties.user().map(|(name, value)| format!("{name}:{value}")).collect();
    out.write_all(pairs.join(" ").as_bytes())
}

fn field(letter: Option<char>) -> Result<Field, String> {
    Ok(match letter {
        Some('t') => Field::Topic,
        Some('p') => Field::Payload,
        Some('x') => Field::HexLower,
        Some('X') => Field::HexUpper,
        Some('l') => Field::Length,
        Some('q') => Field::QoS,
        Some('r') => Field::Retain,
        Some('m') => Field::PacketId,
        Some('C') => Field::ContentType,
        Some('E') => Field::Expiry,
        Some('F') => Field::PayloadFormat,
        Some('R') => Field::ResponseTopic,
        Some('D') => Field::CorrelationData,
        Some('S') => Field::SubscriptionId,
        Some('P') => Field::User,
        Some(letter) => return Err(format!("%{letter} is nothing that can be printed")),
        None => return Err("a lone % at the end; %% is a percent sign".into()),
    })
}

fn escape(letter: Option<char>) -> Result<u8, String> {
    Ok(match letter {
        Some('\\') => b'\\',
        Some('0') => 0,
        Some('a') => 0x07,
        Some('e') => 0x1b,
        Some('n') => b'\n',
        Some('r') => b'\r',
        Some('t') => b'\t',
        Some('v') => 0x0b,
        Some(letter) => return Err(format!("\\{letter} is no escape")),
        None => return Err("a lone \\ at the end; \\\\ is a backslash".into()),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mqtt::properties::PropertyBuffer;

    fn print(format: &str, properties: Properties<'_>) -> Vec<u8> {
        let publish = Publish {
            dup: false,
            qos: QoS::AtLeastOnce,
            retain: true,
            topic: Topic::parse("a/b").ok(),
            topic_alias: None,
            packet_id: PacketId::new(7),
            message_expiry: properties.message_expiry(),
            properties,
            payload: b"\x00\xffz",
        };
        let mut out = Vec::new();
        Format::parse(format).unwrap().print(publish.topic.unwrap(), &publish, &mut out).unwrap();
        out
    }

    #[test]
    fn fields_and_text_stand_in_their_order() {
        let printed = print("%t|%x|%X|%l|%q|%r|%m|%%|@@|\\t\\\\ é", Properties::NONE);
        assert_eq!(String::from_utf8(printed).unwrap(), "a/b|00ff7a|00FF7A|3|1|1|7|%|@|\t\\ é");
    }

    #[test]
    fn payload_bytes_are_printed_as_they_came() {
        assert_eq!(print("%p\\0%p", Properties::NONE), b"\x00\xffz\x00\x00\xffz");
    }

    #[test]
    fn properties_of_version_5_are_printed_and_absent_ones_are_empty() {
        let mut set = PropertyBuffer::new();
        set.push(Property::ContentType("text"))
            .push(Property::MessageExpiry(9))
            .push(Property::SubscriptionId(3))
            .push(Property::SubscriptionId(4))
            .push(Property::User("k", "v"))
            .push(Property::User("k", "w"));
        assert_eq!(print("%C,%E,%F,%R,%D,%S,%P", set.as_properties()), b"text,9,,,,3 4,k:v k:w");
        assert_eq!(print("%C%E%F%R%D%S%P", Properties::NONE), b"");
    }

    #[test]
    fn what_cannot_be_printed_is_refused_by_name() {
        let error = |text| Format::parse(text).unwrap_err();
        assert!(error("%z").contains("%z"));
        assert!(error("%10t").contains("%1"));
        assert!(error("100%").contains("lone %"));
        assert!(error("@H").contains("time"));
        assert!(error("\\q").contains("\\q"));
        assert!(error("x\\").contains("lone"));
    }
}
