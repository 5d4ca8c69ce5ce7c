//! Property sets of MQTT 5.0: one table says what may stand where, how often, and with which values.

use std::num::NonZeroU16;

use super::error::DecodeError;
use super::text::{Reader, put_binary, put_text, put_u16, put_u32, saturate};
use super::topic::Topic;
use super::varint;

/// One property with its value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(
    missing_docs,
    reason = "the variants are the names of the standard, the table below holds the rules"
)]
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

/// A set of places, one bit each.
#[derive(Clone, Copy)]
struct Places(u16);

impl Places {
    const NOWHERE: Places = Places(0);
    const EVERYWHERE: Places = Places((1 << (Place::Auth as u8 + 1)) - 1);

    const fn contains(self, place: Place) -> bool {
        self.0 & 1 << place as u8 != 0
    }
}

/// The places named.
macro_rules! places {
    ($($place:ident)*) => { Places(0 $(| 1 << Place::$place as u8)*) };
}

/// Reads the value that follows an identifier and checks its range.
type ReadValue = for<'a> fn(&mut Reader<'a>) -> Result<Property<'a>, DecodeError>;

/// One line of the table: identifier, value, where it may stand, where more than once.
struct Rule(u8, ReadValue, Places, Places);

/// The whole of section 2.2.2.2 of the standard.
#[rustfmt::skip]
const RULES: [Rule; 27] = [
    Rule(0x01, |r| Ok(Property::PayloadFormat(flag(0x01, r)?)),            places![Publish Will],               Places::NOWHERE),
    Rule(0x02, |r| Ok(Property::MessageExpiry(r.u32()?)),                  places![Publish Will],               Places::NOWHERE),
    Rule(0x03, |r| Ok(Property::ContentType(r.text()?)),                   places![Publish Will],               Places::NOWHERE),
    Rule(0x08, |r| Ok(Property::ResponseTopic(topic(r)?)),                 places![Publish Will],               Places::NOWHERE),
    Rule(0x09, |r| Ok(Property::CorrelationData(r.binary()?)),             places![Publish Will],               Places::NOWHERE),
    Rule(0x0b, |r| Ok(Property::SubscriptionId(positive_varint(0x0b, r)?)), places![Publish Subscribe],         places![Publish]),
    Rule(0x11, |r| Ok(Property::SessionExpiry(r.u32()?)),                  places![Connect ConnAck Disconnect], Places::NOWHERE),
    Rule(0x12, |r| Ok(Property::AssignedClientId(r.text()?)),              places![ConnAck],                    Places::NOWHERE),
    Rule(0x13, |r| Ok(Property::ServerKeepAlive(r.u16()?)),                places![ConnAck],                    Places::NOWHERE),
    Rule(0x15, |r| Ok(Property::AuthMethod(r.text()?)),                    places![Connect ConnAck Auth],       Places::NOWHERE),
    Rule(0x16, |r| Ok(Property::AuthData(r.binary()?)),                    places![Connect ConnAck Auth],       Places::NOWHERE),
    Rule(0x17, |r| Ok(Property::RequestProblemInfo(flag(0x17, r)?)),       places![Connect],                    Places::NOWHERE),
    Rule(0x18, |r| Ok(Property::WillDelay(r.u32()?)),                      places![Will],                       Places::NOWHERE),
    Rule(0x19, |r| Ok(Property::RequestResponseInfo(flag(0x19, r)?)),      places![Connect],                    Places::NOWHERE),
    Rule(0x1a, |r| Ok(Property::ResponseInfo(r.text()?)),                  places![ConnAck],                    Places::NOWHERE),
    Rule(0x1c, |r| Ok(Property::ServerReference(r.text()?)),               places![ConnAck Disconnect],         Places::NOWHERE),
    Rule(0x1f, |r| Ok(Property::ReasonString(r.text()?)),                  ANSWERS,                             Places::NOWHERE),
    Rule(0x21, |r| Ok(Property::ReceiveMaximum(positive_u16(0x21, r)?)),   places![Connect ConnAck],            Places::NOWHERE),
    Rule(0x22, |r| Ok(Property::TopicAliasMaximum(r.u16()?)),              places![Connect ConnAck],            Places::NOWHERE),
    Rule(0x23, |r| Ok(Property::TopicAlias(alias(r)?)),                    places![Publish],                    Places::NOWHERE),
    Rule(0x24, |r| Ok(Property::MaximumQoS(bit(0x24, r)?)),                places![ConnAck],                    Places::NOWHERE),
    Rule(0x25, |r| Ok(Property::RetainAvailable(flag(0x25, r)?)),          places![ConnAck],                    Places::NOWHERE),
    Rule(0x26, |r| Ok(Property::User(r.text()?, r.text()?)),               Places::EVERYWHERE,                  Places::EVERYWHERE),
    Rule(0x27, |r| Ok(Property::MaximumPacketSize(positive_u32(0x27, r)?)), places![Connect ConnAck],           Places::NOWHERE),
    Rule(0x28, |r| Ok(Property::WildcardAvailable(flag(0x28, r)?)),        places![ConnAck],                    Places::NOWHERE),
    Rule(0x29, |r| Ok(Property::SubscriptionIdsAvailable(flag(0x29, r)?)), places![ConnAck],                    Places::NOWHERE),
    Rule(0x2a, |r| Ok(Property::SharedAvailable(flag(0x2a, r)?)),          places![ConnAck],                    Places::NOWHERE),
];

/// The packets that answer something and so may say why.
const ANSWERS: Places =
    places![ConnAck PubAck PubRec PubRel PubComp SubAck UnsubAck Disconnect Auth];

/// One more than the largest identifier.
const IDS_END: usize = 0x2b;

/// Where in `RULES` an identifier stands; 255 where the standard defines none.
const RULE_INDEX: [u8; IDS_END] = {
    let mut indexes = [u8::MAX; IDS_END];
    let mut index = 0;
    while index < RULES.len() {
        indexes[RULES[index].0 as usize] = index as u8;
        index += 1;
    }
    indexes
};

fn rule(id: u32) -> Option<&'static Rule> {
    let index = RULE_INDEX.get(id as usize)?;
    RULES.get(usize::from(*index))
}

fn bit(id: u8, reader: &mut Reader<'_>) -> Result<u8, DecodeError> {
    match reader.u8()? {
        value @ (0 | 1) => Ok(value),
        value => Err(DecodeError::PropertyValue {
            id,
            value: u32::from(value),
        }),
    }
}

fn flag(id: u8, reader: &mut Reader<'_>) -> Result<bool, DecodeError> {
    Ok(bit(id, reader)? == 1)
}

fn positive_u16(id: u8, reader: &mut Reader<'_>) -> Result<u16, DecodeError> {
    match reader.u16()? {
        0 => Err(DecodeError::PropertyValue { id, value: 0 }),
        value => Ok(value),
    }
}

fn positive_u32(id: u8, reader: &mut Reader<'_>) -> Result<u32, DecodeError> {
    match reader.u32()? {
        0 => Err(DecodeError::PropertyValue { id, value: 0 }),
        value => Ok(value),
    }
}

fn positive_varint(id: u8, reader: &mut Reader<'_>) -> Result<u32, DecodeError> {
    match reader.varint()? {
        0 => Err(DecodeError::PropertyValue { id, value: 0 }),
        value => Ok(value),
    }
}

fn alias(reader: &mut Reader<'_>) -> Result<NonZeroU16, DecodeError> {
    NonZeroU16::new(reader.u16()?).ok_or(DecodeError::TopicAliasZero) // [MQTT-3.3.2-8]
}

fn topic<'a>(reader: &mut Reader<'a>) -> Result<&'a str, DecodeError> {
    let text = reader.text()?; // [MQTT-3.3.2-13]
    Topic::parse(text)
        .map(Topic::as_str)
        .map_err(DecodeError::ResponseTopicInvalid) // [MQTT-3.3.2-14]
}

impl<'a> Property<'a> {
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
            Property::ServerKeepAlive(value)
            | Property::ReceiveMaximum(value)
            | Property::TopicAliasMaximum(value) => {
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

/// A property set that was checked: the bytes after its length. Packets of 3.x have `NONE`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Properties<'a> {
    raw: &'a [u8],
}

/// The first property that is this variant, its value.
macro_rules! first {
    ($properties:expr, $variant:ident) => {
        $properties.iter().find_map(|property| {
            if let Property::$variant(value) = property {
                Some(value)
            } else {
                None
            }
        })
    };
}

impl<'a> Properties<'a> {
    /// The empty set.
    pub const NONE: Properties<'static> = Properties { raw: &[] };

    /// Reads a property length and the set behind it, and checks all of it.
    pub fn decode(reader: &mut Reader<'a>, place: Place) -> Result<Self, DecodeError> {
        Self::decode_each(reader, place, |_| Ok(()))
    }

    /// As `decode`, and shows every property in passing, so that a hot packet needs no second look.
    pub fn decode_each(
        reader: &mut Reader<'a>,
        place: Place,
        seen: impl FnMut(Property<'a>) -> Result<(), DecodeError>,
    ) -> Result<Self, DecodeError> {
        let len = reader.varint()?;
        let raw = reader.take(len as usize)?;
        check(raw, place, seen)?;
        Ok(Properties { raw })
    }

    /// Checks a set that stands without its length, as storage keeps it.
    pub fn parse(raw: &'a [u8], place: Place) -> Result<Self, DecodeError> {
        check(raw, place, |_| Ok(()))?;
        Ok(Properties { raw })
    }

    /// Appends the length and the set. [MQTT-2.2.2-1]
    pub fn encode(self, out: &mut Vec<u8>) {
        varint::encode(saturate(self.raw.len()), out);
        out.extend_from_slice(self.raw);
    }

    /// How many bytes `encode` appends.
    pub fn encoded_len(self) -> usize {
        varint::encoded_len(saturate(self.raw.len())) + self.raw.len()
    }

    /// The bytes without the length.
    pub const fn raw(self) -> &'a [u8] {
        self.raw
    }

    /// Whether there is no property.
    pub const fn is_empty(self) -> bool {
        self.raw.is_empty()
    }

    /// The properties in the order of the packet.
    pub fn iter(self) -> impl Iterator<Item = Property<'a>> + Clone {
        self.entries().map(|(property, _)| property)
    }

    /// The properties in the order of the packet, each with its bytes, identifier included.
    pub fn entries(self) -> impl Iterator<Item = (Property<'a>, &'a [u8])> + Clone {
        let mut reader = Reader::new(self.raw);
        std::iter::from_fn(move || {
            let before = reader;
            if before.is_empty() {
                return None;
            }
            let property = read(&mut reader).expect("a property set is checked before it exists");
            let (len, mut bytes) = (before.remaining() - reader.remaining(), before);
            Some((
                property,
                bytes.take(len).expect("these bytes were read above"),
            ))
        })
    }

    /// Payload Format Indicator: whether the payload says it is UTF-8.
    pub fn payload_format(self) -> Option<bool> {
        first!(self, PayloadFormat)
    }

    /// Message Expiry Interval in seconds.
    pub fn message_expiry(self) -> Option<u32> {
        first!(self, MessageExpiry)
    }

    /// Content Type.
    pub fn content_type(self) -> Option<&'a str> {
        first!(self, ContentType)
    }

    /// Response Topic, a valid topic name.
    pub fn response_topic(self) -> Option<&'a str> {
        first!(self, ResponseTopic)
    }

    /// Correlation Data.
    pub fn correlation_data(self) -> Option<&'a [u8]> {
        first!(self, CorrelationData)
    }

    /// The only Subscription Identifier of SUBSCRIBE, or the first of PUBLISH.
    pub fn subscription_id(self) -> Option<u32> {
        first!(self, SubscriptionId)
    }

    /// Session Expiry Interval in seconds; `u32::MAX` never ends.
    pub fn session_expiry(self) -> Option<u32> {
        first!(self, SessionExpiry)
    }

    /// Assigned Client Identifier.
    pub fn assigned_client_id(self) -> Option<&'a str> {
        first!(self, AssignedClientId)
    }

    /// Server Keep Alive in seconds.
    pub fn server_keep_alive(self) -> Option<u16> {
        first!(self, ServerKeepAlive)
    }

    /// Authentication Method.
    pub fn auth_method(self) -> Option<&'a str> {
        first!(self, AuthMethod)
    }

    /// Authentication Data.
    pub fn auth_data(self) -> Option<&'a [u8]> {
        first!(self, AuthData)
    }

    /// Request Problem Information; absent means yes.
    pub fn request_problem_info(self) -> bool {
        first!(self, RequestProblemInfo).unwrap_or(true)
    }

    /// Will Delay Interval in seconds; absent means none.
    pub fn will_delay(self) -> Option<u32> {
        first!(self, WillDelay)
    }

    /// Request Response Information; absent means no.
    pub fn request_response_info(self) -> bool {
        first!(self, RequestResponseInfo).unwrap_or(false)
    }

    /// Response Information.
    pub fn response_info(self) -> Option<&'a str> {
        first!(self, ResponseInfo)
    }

    /// Server Reference.
    pub fn server_reference(self) -> Option<&'a str> {
        first!(self, ServerReference)
    }

    /// Reason String.
    pub fn reason_string(self) -> Option<&'a str> {
        first!(self, ReasonString)
    }

    /// Receive Maximum, never zero.
    pub fn receive_maximum(self) -> Option<u16> {
        first!(self, ReceiveMaximum)
    }

    /// Topic Alias Maximum.
    pub fn topic_alias_maximum(self) -> Option<u16> {
        first!(self, TopicAliasMaximum)
    }

    /// Topic Alias, never zero.
    pub fn topic_alias(self) -> Option<NonZeroU16> {
        first!(self, TopicAlias)
    }

    /// Maximum Packet Size, never zero.
    pub fn maximum_packet_size(self) -> Option<u32> {
        first!(self, MaximumPacketSize)
    }

    /// The User Properties, names and values, in their order.
    pub fn user(self) -> impl Iterator<Item = (&'a str, &'a str)> + Clone {
        self.iter().filter_map(|property| {
            if let Property::User(name, value) = property {
                Some((name, value))
            } else {
                None
            }
        })
    }
}

/// Reads one property, wherever it may stand.
fn read<'a>(reader: &mut Reader<'a>) -> Result<Property<'a>, DecodeError> {
    let id = reader.varint()?;
    let Rule(_, read_value, _, _) = rule(id).ok_or(DecodeError::PropertyUnknown { id })?;
    read_value(reader)
}

/// Checks a whole set against the table in one pass.
fn check<'a>(
    raw: &'a [u8],
    place: Place,
    mut seen: impl FnMut(Property<'a>) -> Result<(), DecodeError>,
) -> Result<(), DecodeError> {
    let mut reader = Reader::new(raw);
    let mut seen_ids = 0_u64;
    while !reader.is_empty() {
        let wire_id = reader.varint()?;
        let Some(&Rule(id, read_value, allowed, repeatable)) = rule(wire_id) else {
            return Err(DecodeError::PropertyUnknown { id: wire_id });
        };
        if !allowed.contains(place) {
            return Err(DecodeError::PropertyMisplaced { id, place });
        }
        if seen_ids & 1 << id != 0 && !repeatable.contains(place) {
            return Err(DecodeError::PropertyRepeated { id });
        }
        seen_ids |= 1 << id;
        seen(read_value(&mut reader)?)?;
    }
    Ok(())
}

/// A property set in the making.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PropertyBuffer(Vec<u8>);

impl PropertyBuffer {
    /// An empty set that owns no memory.
    pub const fn new() -> Self {
        PropertyBuffer(Vec::new())
    }

    /// Adds a property. Which properties a packet may carry, and how often, is the caller's knowledge.
    pub fn push(&mut self, property: Property<'_>) -> &mut Self {
        property.encode(&mut self.0);
        self
    }

    /// Forgets all properties and keeps the memory.
    pub fn clear(&mut self) {
        self.0.clear();
    }

    /// The set for encoding.
    pub fn as_properties(&self) -> Properties<'_> {
        Properties { raw: &self.0 }
    }

    /// How many bytes the set has, its length prefix not counted.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there is no property.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}
