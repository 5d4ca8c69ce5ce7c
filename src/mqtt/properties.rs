//! Property sets of MQTT 5.0: checked once when they are read, looked up without a copy, built for encoding.

use std::num::NonZeroU16;

use super::error::DecodeError;
use super::property::Rule;
pub use super::property::{Place, Property};
use super::text::{Reader, saturate};
use super::varint;

/// A User Property without name and value.
const USER_PROPERTY_BYTES_MIN: usize = 5;

/// Properties that a set may have. The standard knows no bound, and 256 MiB of the smallest ones take half a second to read.
pub const PROPERTIES_MAX: u32 = 1 << 18;

/// A property set that was checked: the bytes after its length. Packets of 3.x have `NONE`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Properties<'a> {
    raw: &'a [u8],
}

/// The first property that is this variant, its value.
macro_rules! first {
    ($properties:expr, $variant:ident) => {
        $properties.iter().find_map(
            |property| {
                if let Property::$variant(value) = property { Some(value) } else { None }
            },
        )
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
        show: impl FnMut(Property<'a>) -> Result<(), DecodeError>,
    ) -> Result<Self, DecodeError> {
        let len = reader.varint()?;
        let raw = reader.take(len as usize)?;
        check(raw, place, show)?;
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
        let mut reader = Reader::new(self.raw);
        std::iter::from_fn(move || (!reader.is_empty()).then(|| read(&mut reader)))
    }

    /// The identifier and the bytes of each property, identifier included, without a look at the values.
    pub fn entries(self) -> impl Iterator<Item = (u8, &'a [u8])> + Clone {
        let mut reader = Reader::new(self.raw);
        std::iter::from_fn(move || {
            let mut entry = reader;
            let id = (!reader.is_empty()).then(|| skip(&mut reader))?;
            let len = entry.remaining() - reader.remaining();
            Some((id, &entry.rest()[..len]))
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

    /// Whether there are more User Properties than that. Few bytes have few of them, and are not looked at.
    pub fn has_more_user_properties_than(self, most: usize) -> bool {
        self.raw.len() / USER_PROPERTY_BYTES_MIN > most && self.user().nth(most).is_some()
    }

    /// The User Properties, names and values, in their order.
    pub fn user(self) -> impl Iterator<Item = (&'a str, &'a str)> + Clone {
        self.iter().filter_map(
            |property| {
                if let Property::User(name, value) = property { Some((name, value)) } else { None }
            },
        )
    }
}

/// Checks a whole set against the table in one pass.
fn check<'a>(
    raw: &'a [u8],
    place: Place,
    mut show: impl FnMut(Property<'a>) -> Result<(), DecodeError>,
) -> Result<(), DecodeError> {
    let (mut reader, mut seen, mut left) = (Reader::new(raw), 0, PROPERTIES_MAX);
    while !reader.is_empty() {
        left = left.checked_sub(1).ok_or(DecodeError::PropertiesTooMany { maximum: PROPERTIES_MAX })?;
        let rule = Rule::of_next(&mut reader)?;
        rule.admit(place, &mut seen)?;
        show(rule.read(&mut reader)?)?;
    }
    Ok(())
}

/// The property at the front of a checked set.
fn read<'a>(reader: &mut Reader<'a>) -> Property<'a> {
    let property = Rule::of_next(reader).and_then(|rule| rule.read(reader));
    property.expect("a property set is checked before it exists")
}

/// Passes over the property at the front of a checked set; its identifier.
fn skip(reader: &mut Reader<'_>) -> u8 {
    let id = Rule::of_next(reader).and_then(|rule| rule.skip(reader).map(|()| rule.id()));
    id.expect("a property set is checked before it exists")
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

#[cfg(test)]
mod tests {
    use super::*;

    fn decode(bytes: &[u8], place: Place) -> Result<Properties<'_>, DecodeError> {
        let mut reader = Reader::new(bytes);
        let properties = Properties::decode(&mut reader, place)?;
        reader.finish().map(|()| properties)
    }

    #[test]
    fn an_empty_set_is_one_zero_byte() {
        let mut out = Vec::new();
        Properties::NONE.encode(&mut out);
        assert_eq!(out, [0]);
        assert_eq!(decode(&out, Place::Unsubscribe), Ok(Properties::NONE));
        assert_eq!(Properties::NONE.encoded_len(), 1);
    }

    #[test]
    fn a_length_that_is_wrong_is_malformed() {
        let behind_the_packet = decode(&[3, 0x01, 1], Place::Publish);
        assert_eq!(behind_the_packet, Err(DecodeError::Truncated { wanted: 3, left: 2 }));
        let inside_a_property = decode(&[1, 0x01, 1], Place::Publish);
        assert_eq!(inside_a_property, Err(DecodeError::Truncated { wanted: 1, left: 0 }));
        let padded = decode(&[0x80, 0x00], Place::Publish);
        assert_eq!(padded, Err(DecodeError::VarintNotShortest { value: 0, len: 2 }));
        assert_eq!(decode(&[], Place::Publish), Err(DecodeError::Truncated { wanted: 1, left: 0 }));
    }

    #[test]
    fn text_inside_properties_is_checked() {
        let name = decode(&[6, 0x26, 0, 1, 0xff, 0, 0], Place::Publish);
        assert_eq!(name, Err(DecodeError::TextNotUtf8 { at: 0 }));
        let value = decode(&[6, 0x26, 0, 0, 0, 1, 0], Place::Publish);
        assert_eq!(value, Err(DecodeError::TextWithNul { at: 0 }));
        let content_type = decode(&[4, 0x03, 0, 1, 0xff], Place::Publish);
        assert_eq!(content_type, Err(DecodeError::TextNotUtf8 { at: 0 }));
    }

    #[test]
    fn user_properties_are_counted_where_there_may_be_too_many() {
        let mut buffer = PropertyBuffer::new();
        assert!(!buffer.as_properties().has_more_user_properties_than(0));
        buffer.push(Property::User("", "")).push(Property::ContentType("long enough for more of them"));
        let of =
            |buffer: &PropertyBuffer| [0, 1, 2].map(|most| buffer.as_properties().has_more_user_properties_than(most));
        assert_eq!(of(&buffer), [true, false, false]);
        buffer.push(Property::User("", ""));
        assert_eq!(of(&buffer), [true, true, false]);
    }

    #[test]
    fn lookups_find_what_was_pushed_and_defaults_hold_without() {
        let mut buffer = PropertyBuffer::new();
        buffer.push(Property::User("a", "1")).push(Property::SessionExpiry(9)).push(Property::User("a", "2"));
        buffer.push(Property::RequestProblemInfo(false));
        let properties = buffer.as_properties();
        assert_eq!(Properties::parse(properties.raw(), Place::Connect), Ok(properties));
        assert_eq!(properties.session_expiry(), Some(9));
        assert_eq!(properties.user().collect::<Vec<_>>(), [("a", "1"), ("a", "2")]);
        assert!(!properties.request_problem_info());
        assert_eq!(properties.receive_maximum(), None);
        assert!(Properties::NONE.request_problem_info());
        assert!(!Properties::NONE.request_response_info());
    }

    #[test]
    fn entries_cover_the_bytes_of_the_set() {
        let mut buffer = PropertyBuffer::new();
        buffer.push(Property::ContentType("x")).push(Property::SubscriptionId(300)).push(Property::User("", ""));
        let entries: Vec<_> = buffer.as_properties().entries().collect();
        assert_eq!(entries[1], (0x0b, &[0x0b, 0xac, 0x02][..]));
        let bytes: Vec<u8> = entries.iter().flat_map(|(_, bytes)| bytes.iter().copied()).collect();
        assert_eq!(bytes, buffer.as_properties().raw());
    }

    #[test]
    fn a_cleared_buffer_is_empty_again() {
        let mut buffer = PropertyBuffer::new();
        buffer.push(Property::ServerKeepAlive(1));
        assert_eq!((buffer.len(), buffer.is_empty()), (3, false));
        buffer.clear();
        assert_eq!(buffer, PropertyBuffer::default());
    }

    #[test]
    fn the_length_takes_as_many_bytes_as_it_needs() {
        for value_len in [121_usize, 122, 123, 16_377, 16_378, 16_379] {
            let value = "v".repeat(value_len);
            let mut buffer = PropertyBuffer::new();
            buffer.push(Property::User("", &value));
            let mut out = Vec::new();
            buffer.as_properties().encode(&mut out);
            assert_eq!(out.len(), buffer.as_properties().encoded_len());
            assert_eq!(decode(&out, Place::Auth), Ok(buffer.as_properties()));
        }
    }

    #[test]
    fn threat_1_a_set_of_too_many_properties_is_refused_where_the_bound_is_passed() {
        let set = |count: u32| [0x26, 0, 0, 0, 0].repeat(count as usize); // user properties without name and value
        let parse = |raw: &[u8]| Properties::parse(raw, Place::Publish).map(|_| ());
        assert_eq!(parse(&set(PROPERTIES_MAX)), Ok(()));
        let mut wrong = set(PROPERTIES_MAX + 1);
        wrong.push(0xFF); // nobody comes to it
        assert_eq!(parse(&wrong), Err(DecodeError::PropertiesTooMany { maximum: PROPERTIES_MAX }));
    }
}
