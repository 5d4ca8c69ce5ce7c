//! One property of MQTT 5.0, and the table that says where it may stand, how often, and with which values.

use std::num::NonZeroU16;

use super::error::DecodeError;
use super::text::{Reader, put_binary, put_text, put_u16, put_u32};
use super::topic::Topic;
use super::varint;

/// One property with its value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the variants are the names of the standard, the table below holds the rules")]
pub enum Property<'a> {
    PayloadFormat(bool),
    MessageExpiry(u32),
    ContentType(&'a str),
    ResponseTopic(&'a str),
    CorrelationData(&'a [u8]),
    SubscriptionId(u32),
    SessionExpiry(u32),
    AssignedClientId(&'a str),
    ServerKeepAlive(u16),
    AuthMethod(&'a str),
    AuthData(&'a [u8]),
    RequestProblemInfo(bool),
    WillDelay(u32),
    RequestResponseInfo(bool),
    ResponseInfo(&'a str),
    ServerReference(&'a str),
    ReasonString(&'a str),
    ReceiveMaximum(u16),
    TopicAliasMaximum(u16),
    TopicAlias(NonZeroU16),
    MaximumQoS(u8),
    RetainAvailable(bool),
    User(&'a str, &'a str),
    MaximumPacketSize(u32),
    WildcardAvailable(bool),
    SubscriptionIdsAvailable(bool),
    SharedAvailable(bool),
}

/// Where a property set stands: each packet with properties, and the will inside CONNECT.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
#[expect(missing_docs, reason = "the variants are the packets of the standard")]
pub enum Place {
    Connect,
    Will,
    ConnAck,
    Publish,
    PubAck,
    PubRec,
    PubRel,
    PubComp,
    Subscribe,
    SubAck,
    Unsubscribe,
    UnsubAck,
    Disconnect,
    Auth,
}

impl Property<'_> {
    /// The identifier on the wire.
    pub const fn id(self) -> u8 {
        match self {
            Property::PayloadFormat(_) => 0x01,
            Property::MessageExpiry(_) => 0x02,
            Property::ContentType(_) => 0x03,
            Property::ResponseTopic(_) => 0x08,
            Property::CorrelationData(_) => 0x09,
            Property::SubscriptionId(_) => 0x0b,
            Property::SessionExpiry(_) => 0x11,
            Property::AssignedClientId(_) => 0x12,
            Property::ServerKeepAlive(_) => 0x13,
            Property::AuthMethod(_) => 0x15,
            Property::AuthData(_) => 0x16,
            Property::RequestProblemInfo(_) => 0x17,
            Property::WillDelay(_) => 0x18,
            Property::RequestResponseInfo(_) => 0x19,
            Property::ResponseInfo(_) => 0x1a,
            Property::ServerReference(_) => 0x1c,
            Property::ReasonString(_) => 0x1f,
            Property::ReceiveMaximum(_) => 0x21,
            Property::TopicAliasMaximum(_) => 0x22,
            Property::TopicAlias(_) => 0x23,
            Property::MaximumQoS(_) => 0x24,
            Property::RetainAvailable(_) => 0x25,
            Property::User(..) => 0x26,
            Property::MaximumPacketSize(_) => 0x27,
            Property::WildcardAvailable(_) => 0x28,
            Property::SubscriptionIdsAvailable(_) => 0x29,
            Property::SharedAvailable(_) => 0x2a,
        }
    }

    /// Appends identifier and value.
    pub fn encode(self, out: &mut Vec<u8>) {
        out.push(self.id());
        match self {
            Property::PayloadFormat(value)
            | Property::RequestProblemInfo(value)
            | Property::RequestResponseInfo(value)
            | Property::RetainAvailable(value)
            | Property::WildcardAvailable(value)
            | Property::SubscriptionIdsAvailable(value)
            | Property::SharedAvailable(value) => out.push(u8::from(value)),
            Property::MaximumQoS(value) => out.push(value),
            Property::ServerKeepAlive(value) | Property::ReceiveMaximum(value) | Property::TopicAliasMaximum(value) => {
                put_u16(value, out);
            }
            Property::TopicAlias(value) => put_u16(value.get(), out),
            Property::MessageExpiry(value)
            | Property::SessionExpiry(value)
            | Property::WillDelay(value)
            | Property::MaximumPacketSize(value) => put_u32(value, out),
            Property::SubscriptionId(value) => varint::encode(value, out),
            Property::CorrelationData(value) | Property::AuthData(value) => put_binary(value, out),
            Property::ContentType(value)
            | Property::ResponseTopic(value)
            | Property::AssignedClientId(value)
            | Property::AuthMethod(value)
            | Property::ResponseInfo(value)
            | Property::ServerReference(value)
            | Property::ReasonString(value) => put_text(value, out),
            Property::User(name, value) => {
                put_text(name, out);
                put_text(value, out);
            }
        }
    }
}

/// A set of places, one bit each.
#[derive(Clone, Copy)]
struct Places(u16);

impl Places {
    const fn contains(self, place: Place) -> bool {
        self.0 & 1 << place as u8 != 0
    }
}

/// The places named.
macro_rules! places {
    ($($place:ident)*) => { Places(0 $(| 1 << Place::$place as u8)*) };
}

/// How a value is written, which values are allowed, and the property that it makes.
#[derive(Clone, Copy)]
enum Value {
    Flag(fn(bool) -> Property<'static>),
    Bit(fn(u8) -> Property<'static>),
    U16(fn(u16) -> Property<'static>),
    PositiveU16(fn(u16) -> Property<'static>),
    Alias(fn(NonZeroU16) -> Property<'static>),
    U32(fn(u32) -> Property<'static>),
    PositiveU32(fn(u32) -> Property<'static>),
    PositiveVarint(fn(u32) -> Property<'static>),
    Text(for<'a> fn(&'a str) -> Property<'a>),
    TopicName(for<'a> fn(&'a str) -> Property<'a>),
    TextPair(for<'a> fn(&'a str, &'a str) -> Property<'a>),
    Binary(for<'a> fn(&'a [u8]) -> Property<'a>),
}

/// One line of the table.
#[derive(Clone, Copy)]
pub(super) struct Rule {
    id: u8,
    allowed: Places,
    repeatable: Places,
    value: Value,
}

const fn once(id: u8, allowed: Places, value: Value) -> Rule {
    many(id, allowed, NOWHERE, value)
}

const fn many(id: u8, allowed: Places, repeatable: Places, value: Value) -> Rule {
    Rule { id, allowed, repeatable, value }
}

const NOWHERE: Places = Places(0);
const EVERYWHERE: Places = Places((1 << (Place::Auth as u8 + 1)) - 1);

/// The packets that answer something and so may say why.
const ANSWERS: Places = places![ConnAck PubAck PubRec PubRel PubComp SubAck UnsubAck Disconnect Auth];

/// Section 2.2.2.2 of the standard: identifier, places, where more than once, value.
///
/// A closure stands where the value borrows: a bare constructor would be bound to a single lifetime.
#[rustfmt::skip]
const RULES: [Rule; 27] = [
    once(0x01, places![Publish Will],                       Value::Flag(Property::PayloadFormat)),
    once(0x02, places![Publish Will],                       Value::U32(Property::MessageExpiry)),
    once(0x03, places![Publish Will],                       Value::Text(|it| Property::ContentType(it))),
    once(0x08, places![Publish Will],                       Value::TopicName(|it| Property::ResponseTopic(it))),
    once(0x09, places![Publish Will],                       Value::Binary(|it| Property::CorrelationData(it))),
    many(0x0b, places![Publish Subscribe], places![Publish], Value::PositiveVarint(Property::SubscriptionId)),
    once(0x11, places![Connect ConnAck Disconnect],         Value::U32(Property::SessionExpiry)),
    once(0x12, places![ConnAck],                            Value::Text(|it| Property::AssignedClientId(it))),
    once(0x13, places![ConnAck],                            Value::U16(Property::ServerKeepAlive)),
    once(0x15, places![Connect ConnAck Auth],               Value::Text(|it| Property::AuthMethod(it))),
    once(0x16, places![Connect ConnAck Auth],               Value::Binary(|it| Property::AuthData(it))),
    once(0x17, places![Connect],                            Value::Flag(Property::RequestProblemInfo)),
    once(0x18, places![Will],                               Value::U32(Property::WillDelay)),
    once(0x19, places![Connect],                            Value::Flag(Property::RequestResponseInfo)),
    once(0x1a, places![ConnAck],                            Value::Text(|it| Property::ResponseInfo(it))),
    once(0x1c, places![ConnAck Disconnect],                 Value::Text(|it| Property::ServerReference(it))),
    once(0x1f, ANSWERS,                                     Value::Text(|it| Property::ReasonString(it))),
    once(0x21, places![Connect ConnAck],                    Value::PositiveU16(Property::ReceiveMaximum)),
    once(0x22, places![Connect ConnAck],                    Value::U16(Property::TopicAliasMaximum)),
    once(0x23, places![Publish],                            Value::Alias(Property::TopicAlias)),
    once(0x24, places![ConnAck],                            Value::Bit(Property::MaximumQoS)),
    once(0x25, places![ConnAck],                            Value::Flag(Property::RetainAvailable)),
    many(0x26, EVERYWHERE, EVERYWHERE,                      Value::TextPair(|name, value| Property::User(name, value))),
    once(0x27, places![Connect ConnAck],                    Value::PositiveU32(Property::MaximumPacketSize)),
    once(0x28, places![ConnAck],                            Value::Flag(Property::WildcardAvailable)),
    once(0x29, places![ConnAck],                            Value::Flag(Property::SubscriptionIdsAvailable)),
    once(0x2a, places![ConnAck],                            Value::Flag(Property::SharedAvailable)),
];

/// One more than the largest identifier.
const IDS_END: usize = 0x2b;

/// The table by identifier; `None` where the standard defines none.
static RULE_OF_ID: [Option<Rule>; IDS_END] = {
    let mut rules = [None; IDS_END];
    let mut index = 0;
    while index < RULES.len() {
        rules[RULES[index].id as usize] = Some(RULES[index]);
        index += 1;
    }
    rules
};

impl Rule {
    /// The rule of the property whose identifier is next.
    pub(super) fn of_next(reader: &mut Reader<'_>) -> Result<&'static Rule, DecodeError> {
        let id = reader.varint()?;
        let rule = RULE_OF_ID.get(id as usize).and_then(Option::as_ref);
        rule.ok_or(DecodeError::PropertyUnknown { id })
    }

    /// The identifier.
    pub(super) const fn id(&self) -> u8 {
        self.id
    }

    /// Reads the value behind the identifier and checks it.
    pub(super) fn read<'a>(&self, reader: &mut Reader<'a>) -> Result<Property<'a>, DecodeError> {
        let id = self.id;
        Ok(match self.value {
            Value::Flag(property) => property(bit(reader, id)? == 1),
            Value::Bit(property) => property(bit(reader, id)?),
            Value::U16(property) => property(reader.u16()?),
            Value::PositiveU16(property) => property(positive(reader.u16()?, id)?),
            Value::Alias(property) => property(alias(reader)?),
            Value::U32(property) => property(reader.u32()?),
            Value::PositiveU32(property) => property(positive(reader.u32()?, id)?),
            Value::PositiveVarint(property) => property(positive(reader.varint()?, id)?),
            Value::Text(property) => property(reader.text()?),
            Value::TopicName(property) => property(topic_name(reader)?),
            Value::TextPair(property) => property(reader.text()?, reader.text()?), // [MQTT-1.5.7-1]
            Value::Binary(property) => property(reader.binary()?),
        })
    }

    /// Passes over the value behind the identifier, for a set whose values have been checked.
    pub(super) fn skip(&self, reader: &mut Reader<'_>) -> Result<(), DecodeError> {
        match self.value {
            Value::Flag(_) | Value::Bit(_) => reader.u8().map(drop),
            Value::U16(_) | Value::PositiveU16(_) | Value::Alias(_) => reader.u16().map(drop),
            Value::U32(_) | Value::PositiveU32(_) => reader.u32().map(drop),
            Value::PositiveVarint(_) => reader.varint().map(drop),
            Value::Text(_) | Value::TopicName(_) | Value::Binary(_) => reader.binary().map(drop),
            Value::TextPair(_) => reader.binary().and_then(|_| reader.binary()).map(drop),
        }
    }

    /// Whether the property may stand here once more; `seen` are the identifiers so far, one bit each.
    pub(super) fn admit(&self, place: Place, seen: &mut u64) -> Result<(), DecodeError> {
        let (id, bit) = (self.id, 1 << self.id);
        if !self.allowed.contains(place) {
            return Err(DecodeError::PropertyMisplaced { id, place });
        }
        if *seen & bit != 0 && !self.repeatable.contains(place) {
            return Err(DecodeError::PropertyRepeated { id });
        }
        *seen |= bit;
        Ok(())
    }
}

fn bit(reader: &mut Reader<'_>, id: u8) -> Result<u8, DecodeError> {
    match reader.u8()? {
        value @ (0 | 1) => Ok(value),
        value => Err(DecodeError::PropertyValue { id, value: u32::from(value) }),
    }
}

fn positive<N: Default + PartialEq>(value: N, id: u8) -> Result<N, DecodeError> {
    if value == N::default() {
        return Err(DecodeError::PropertyValue { id, value: 0 });
    }
    Ok(value)
}

fn alias(reader: &mut Reader<'_>) -> Result<NonZeroU16, DecodeError> {
    NonZeroU16::new(reader.u16()?).ok_or(DecodeError::TopicAliasZero) // [MQTT-3.3.2-8]
}

fn topic_name<'a>(reader: &mut Reader<'a>) -> Result<&'a str, DecodeError> {
    let text = reader.text()?; // [MQTT-3.3.2-13]
    let topic = Topic::parse(text).map_err(DecodeError::ResponseTopicInvalid)?; // [MQTT-3.3.2-14]
    Ok(topic.as_str())
}

#[cfg(test)]
mod tests {
    use super::super::properties::Properties;
    use super::super::topic::TopicError;
    use super::*;

    /// Every property with an allowed value, in the order of its identifier.
    fn samples() -> [Property<'static>; 27] {
        [
            Property::PayloadFormat(true),
            Property::MessageExpiry(0x0102_0304),
            Property::ContentType("text/plain"),
            Property::ResponseTopic("r/1"),
            Property::CorrelationData(b"\0\xff\x10"),
            Property::SubscriptionId(128),
            Property::SessionExpiry(u32::MAX),
            Property::AssignedClientId("c"),
            Property::ServerKeepAlive(60),
            Property::AuthMethod("SCRAM-SHA-256"),
            Property::AuthData(b""),
            Property::RequestProblemInfo(false),
            Property::WillDelay(0),
            Property::RequestResponseInfo(true),
            Property::ResponseInfo("i"),
            Property::ServerReference("other:1883"),
            Property::ReasonString("why"),
            Property::ReceiveMaximum(1),
            Property::TopicAliasMaximum(0),
            Property::TopicAlias(NonZeroU16::MIN),
            Property::MaximumQoS(1),
            Property::RetainAvailable(false),
            Property::User("", "v"),
            Property::MaximumPacketSize(1),
            Property::WildcardAvailable(true),
            Property::SubscriptionIdsAvailable(true),
            Property::SharedAvailable(false),
        ]
    }

    fn encoded(property: Property<'_>) -> Vec<u8> {
        let mut out = Vec::new();
        property.encode(&mut out);
        out
    }

    #[test]
    fn every_property_survives_the_round_trip() {
        for (property, rule) in samples().into_iter().zip(RULES) {
            assert_eq!(property.id(), rule.id);
            let bytes = encoded(property);
            let mut reader = Reader::new(&bytes);
            let mut skipping = reader;
            let read = Rule::of_next(&mut reader).and_then(|rule| rule.read(&mut reader));
            assert_eq!((read, reader.remaining()), (Ok(property), 0));
            let skipped = Rule::of_next(&mut skipping).and_then(|rule| rule.skip(&mut skipping));
            assert_eq!((skipped, skipping.remaining()), (Ok(()), 0));
        }
    }

    #[test]
    fn values_have_the_bytes_of_the_standard() {
        let golden: [(Property<'_>, &[u8]); 7] = [
            (Property::PayloadFormat(true), &[0x01, 1]),
            (Property::MessageExpiry(258), &[0x02, 0, 0, 1, 2]),
            (Property::CorrelationData(&[9, 0]), &[0x09, 0, 2, 9, 0]),
            (Property::SubscriptionId(268_435_455), &[0x0b, 0xff, 0xff, 0xff, 0x7f]),
            (Property::ReasonString("no"), &[0x1f, 0, 2, b'n', b'o']),
            (Property::ReceiveMaximum(0x1234), &[0x21, 0x12, 0x34]),
            (Property::User("k", "v"), &[0x26, 0, 1, b'k', 0, 1, b'v']),
        ];
        for (property, bytes) in golden {
            assert_eq!(encoded(property), bytes);
        }
    }

    #[test]
    fn each_place_takes_the_properties_that_its_section_lists() {
        let allowed: [(Place, &[u8]); 14] = [
            (Place::Connect, &[0x11, 0x15, 0x16, 0x17, 0x19, 0x21, 0x22, 0x26, 0x27]),
            (Place::Will, &[0x01, 0x02, 0x03, 0x08, 0x09, 0x18, 0x26]),
            (
                Place::ConnAck,
                &[0x11, 0x12, 0x13, 0x15, 0x16, 0x1a, 0x1c, 0x1f, 0x21, 0x22, 0x24, 0x25, 0x26, 0x27, 0x28, 0x29, 0x2a],
            ),
            (Place::Publish, &[0x01, 0x02, 0x03, 0x08, 0x09, 0x0b, 0x23, 0x26]),
            (Place::PubAck, &[0x1f, 0x26]),
            (Place::PubRec, &[0x1f, 0x26]),
            (Place::PubRel, &[0x1f, 0x26]),
            (Place::PubComp, &[0x1f, 0x26]),
            (Place::Subscribe, &[0x0b, 0x26]),
            (Place::SubAck, &[0x1f, 0x26]),
            (Place::Unsubscribe, &[0x26]),
            (Place::UnsubAck, &[0x1f, 0x26]),
            (Place::Disconnect, &[0x11, 0x1c, 0x1f, 0x26]),
            (Place::Auth, &[0x15, 0x16, 0x1f, 0x26]),
        ];
        for (place, ids) in allowed {
            for property in samples() {
                let (bytes, id) = (encoded(property), property.id());
                let expected =
                    if ids.contains(&id) { Ok(()) } else { Err(DecodeError::PropertyMisplaced { id, place }) };
                assert_eq!(Properties::parse(&bytes, place).map(|_| ()), expected, "{property:?} in {place:?}");
                let twice = [bytes.as_slice(), &bytes].concat();
                let many = id == 0x26 || (id == 0x0b && place == Place::Publish);
                let expected = if many { Ok(()) } else { expected.and(Err(DecodeError::PropertyRepeated { id })) };
                assert_eq!(Properties::parse(&twice, place).map(|_| ()), expected, "twice {property:?} in {place:?}");
            }
        }
    }

    #[test]
    fn values_out_of_range_break_the_protocol() {
        let refused: [(Place, &[u8], DecodeError); 12] = [
            (Place::Publish, &[0x01, 2], DecodeError::PropertyValue { id: 0x01, value: 2 }),
            (Place::Publish, &[0x0b, 0], DecodeError::PropertyValue { id: 0x0b, value: 0 }),
            (Place::Connect, &[0x17, 2], DecodeError::PropertyValue { id: 0x17, value: 2 }),
            (Place::Connect, &[0x19, 255], DecodeError::PropertyValue { id: 0x19, value: 255 }),
            (Place::Connect, &[0x21, 0, 0], DecodeError::PropertyValue { id: 0x21, value: 0 }),
            (Place::Connect, &[0x27, 0, 0, 0, 0], DecodeError::PropertyValue { id: 0x27, value: 0 }),
            (Place::ConnAck, &[0x24, 2], DecodeError::PropertyValue { id: 0x24, value: 2 }),
            (Place::ConnAck, &[0x2a, 2], DecodeError::PropertyValue { id: 0x2a, value: 2 }),
            (Place::Publish, &[0x23, 0, 0], DecodeError::TopicAliasZero),
            (Place::Publish, &[0x08, 0, 1, b'#'], DecodeError::ResponseTopicInvalid(TopicError::Wildcard { at: 0 })),
            (Place::Will, &[0x08, 0, 0], DecodeError::ResponseTopicInvalid(TopicError::Empty)),
            (Place::Publish, &[0x0b, 0x80, 0x00], DecodeError::VarintNotShortest { value: 0, len: 2 }),
        ];
        for (place, bytes, error) in refused {
            assert_eq!(Properties::parse(bytes, place), Err(error), "{bytes:02x?}");
        }
    }

    #[test]
    fn identifiers_that_the_standard_does_not_define_are_unknown() {
        let known: Vec<u8> = samples().map(Property::id).to_vec();
        for id in (0..0x80).filter(|id| !known.contains(id)) {
            let error = DecodeError::PropertyUnknown { id: u32::from(id) };
            assert_eq!(Properties::parse(&[id, 0, 0, 0, 0], Place::Publish), Err(error));
        }
        let wide = Properties::parse(&[0xa6, 0x01, 0, 0, 0, 0], Place::Publish);
        assert_eq!(wide, Err(DecodeError::PropertyUnknown { id: 0xa6 }));
    }
}
