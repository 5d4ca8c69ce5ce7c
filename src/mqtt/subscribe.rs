//! SUBSCRIBE: filters whose messages a client wants, each with its options.

use super::error::DecodeError;
use super::fields::{enclose, first_byte, put_properties, take_properties};
use super::properties::{Place, Properties};
use super::text::{Reader, put_text, put_u16};
use super::topic::{Subscription, TopicError};
use super::version::{PacketId, PacketType, QoS, Version};

const QOS_BITS: u8 = 0x03;
const NO_LOCAL: u8 = 0x04;
const RETAIN_AS_PUBLISHED: u8 = 0x08;
const RETAIN_HANDLING_SHIFT: u32 = 4;
const RESERVED_BITS: u8 = 0xC0;

/// Asks for subscriptions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Subscribe<'a> {
    /// The identifier that SUBACK will repeat.
    pub id: PacketId,
    /// Subscription Identifier and User Properties; none in 3.x.
    pub properties: Properties<'a>,
    /// Length-prefixed texts with their options byte, all read once by `decode` or written by a
    /// [`RequestBuffer`]. The options of 3.x are those of 5.0 with only the `QoS` bits in use.
    filters: &'a [u8],
    count: usize,
}

/// One filter of a SUBSCRIBE.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Requested<'a> {
    /// The filter as it was sent, `$share/...` included.
    pub text: &'a str,
    /// What it asks for; an error belongs into this filter's reason code alone.
    pub subscription: Result<Subscription<'a>, TopicError>,
    /// The highest `QoS` at which messages shall come.
    pub qos: QoS,
    /// Not what this client itself published.
    pub no_local: bool,
    /// RETAIN as its publisher set it, not as a sign of a stored message.
    pub retain_as_published: bool,
    /// What becomes of retained messages now.
    pub retain_handling: RetainHandling,
}

/// When a SUBSCRIBE brings the retained messages that match.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum RetainHandling {
    /// Each time; 3.x knows no other.
    #[default]
    SendAtSubscribe = 0,
    /// Only if the subscription did not exist.
    SendIfNew = 1,
    /// Never.
    DoNotSend = 2,
}

impl RetainHandling {
    fn from_bits(bits: u8) -> Option<Self> {
        match bits {
            0 => Some(Self::SendAtSubscribe),
            1 => Some(Self::SendIfNew),
            2 => Some(Self::DoNotSend),
            _ => None,
        }
    }
}

impl<'a> Subscribe<'a> {
    /// A request for all entries of the buffer.
    pub fn new(id: PacketId, properties: Properties<'a>, requests: &'a RequestBuffer) -> Self {
        Self { id, properties, filters: &requests.bytes, count: requests.count }
    }

    /// The same request with another set of properties.
    #[must_use]
    pub fn with_properties<'b>(self, properties: Properties<'b>) -> Subscribe<'b>
    where
        'a: 'b,
    {
        Subscribe { properties, ..self }
    }

    /// Decodes the body.
    ///
    /// # Errors
    /// Identifier 0, no filter or one that is no UTF-8, options that this version does not have, No Local on
    /// a shared subscription, wrong properties, missing bytes. A filter that breaks the rules for filters is
    /// no error here but one in its entry.
    pub fn decode(version: Version, body: &'a [u8]) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(body);
        let id = reader.packet_id()?;
        let properties = take_properties(version, &mut reader, Place::Subscribe)?;
        let filters = reader.rest();
        // [MQTT-3.8.3-2] (3.1.1: -3)
        if filters.is_empty() {
            return Err(DecodeError::EntriesMissing { packet: PacketType::Subscribe });
        }
        let (mut reader, mut count) = (Reader::new(filters), 0);
        while !reader.is_empty() {
            Requested::decode(version, &mut reader)?;
            count += 1;
        }
        Ok(Self { id, properties, filters, count })
    }

    /// Appends the packet. In 3.x only the `QoS` of the options is said.
    pub fn encode(&self, version: Version, out: &mut Vec<u8>) {
        debug_assert!(!self.filters.is_empty(), "[MQTT-3.8.3-2]");
        let mask = if version.has_properties() { !RESERVED_BITS } else { QOS_BITS };
        enclose(first_byte(PacketType::Subscribe), out, |out| {
            put_u16(self.id.get(), out);
            put_properties(version, self.properties, out);
            for entry in self.entries() {
                put_text(entry.text, out);
                out.push(entry.options() & mask);
            }
        });
    }

    /// How many filters there are, which is how many reasons SUBACK has.
    pub const fn count(&self) -> usize {
        self.count
    }

    /// The filters in the order of the packet, which is the order of SUBACK's reasons.
    pub fn entries(&self) -> Entries<'a> {
        Entries(Reader::new(self.filters))
    }

    /// Those of them that lie in the last so many bytes of the packet.
    pub fn last_entries(&self, bytes: usize) -> Entries<'a> {
        Entries::in_last(self.filters, bytes)
    }
}

/// Goes over filters of a SUBSCRIBE that `decode` has read before.
#[derive(Clone, Debug)]
pub struct Entries<'a>(Reader<'a>);

impl<'a> Entries<'a> {
    /// The filters in the last so many bytes of a packet, which is what [`Entries::bytes_left`] has said of it.
    pub fn in_last(body: &'a [u8], bytes: usize) -> Self {
        Self(Reader::new(&body[body.len() - bytes..]))
    }

    /// How many bytes of the packet have not been gone over.
    pub const fn bytes_left(&self) -> usize {
        self.0.remaining()
    }
}

impl<'a> Iterator for Entries<'a> {
    type Item = Requested<'a>;

    fn next(&mut self) -> Option<Requested<'a>> {
        if self.0.is_empty() {
            return None;
        }
        let entry = Requested::decode(Version::V5, &mut self.0);
        Some(entry.expect("decode has read this entry before"))
    }
}

impl<'a> Requested<'a> {
    /// An ordinary request as 3.x has them.
    pub fn new(text: &'a str, qos: QoS) -> Self {
        Self {
            text,
            subscription: Subscription::parse(text),
            qos,
            no_local: false,
            retain_as_published: false,
            retain_handling: RetainHandling::SendAtSubscribe,
        }
    }

    fn decode(version: Version, reader: &mut Reader<'a>) -> Result<Self, DecodeError> {
        let text = reader.text()?;
        let options = reader.u8()?;
        // [MQTT-3.8.3-5], in 3.1.1 [MQTT-3-8.3-4]
        let reserved = if version.has_properties() { RESERVED_BITS } else { !QOS_BITS };
        if options & reserved != 0 {
            return Err(DecodeError::SubscriptionOptions { options });
        }
        let qos = QoS::from_bits(options & QOS_BITS).ok_or(DecodeError::MaximumQoSInvalid)?;
        let retain_handling =
            RetainHandling::from_bits(options >> RETAIN_HANDLING_SHIFT).ok_or(DecodeError::RetainHandlingInvalid)?;
        let entry = Self {
            no_local: options & NO_LOCAL != 0,
            retain_as_published: options & RETAIN_AS_PUBLISHED != 0,
            retain_handling,
            ..Self::new(text, qos)
        };
        // [MQTT-3.8.3-4]
        if entry.no_local && entry.is_shared() {
            return Err(DecodeError::NoLocalOnShared);
        }
        Ok(entry)
    }

    fn options(&self) -> u8 {
        self.qos.bits()
            | if self.no_local { NO_LOCAL } else { 0 }
            | if self.retain_as_published { RETAIN_AS_PUBLISHED } else { 0 }
            | (self.retain_handling as u8) << RETAIN_HANDLING_SHIFT
    }

    fn is_shared(&self) -> bool {
        self.subscription.as_ref().is_ok_and(|subscription| subscription.share.is_some())
    }
}

/// Collects the entries of a SUBSCRIBE to send.
#[derive(Clone, Debug, Default)]
pub struct RequestBuffer {
    bytes: Vec<u8>,
    count: usize,
}

impl RequestBuffer {
    /// Adds an entry.
    pub fn push(&mut self, request: &Requested<'_>) {
        debug_assert!(!(request.no_local && request.is_shared()), "[MQTT-3.8.3-4]");
        put_text(request.text, &mut self.bytes);
        self.bytes.push(request.options());
        self.count += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mqtt::golden::{assert_golden, decode, encode, error_of, hex};
    use crate::mqtt::packet::{Packet, Sender};
    use crate::mqtt::properties::{Property, PropertyBuffer};
    use crate::mqtt::reason::Reason;

    fn subscribe(requests: &RequestBuffer) -> Subscribe<'_> {
        Subscribe::new(PacketId::new(10).unwrap(), Properties::NONE, requests)
    }

    /// The outcome of one entry `a` with these options.
    fn outcome(version: Version, options: u8) -> Result<(), Reason> {
        let body: &[u8] = match version {
            Version::V31 | Version::V311 => &[0, 1, 0, 1, b'a', options],
            Version::V5 => &[0, 1, 0, 0, 1, b'a', options],
        };
        Subscribe::decode(version, body).map(|_| ()).map_err(|error| error.reason())
    }

    #[test]
    fn entries_follow_each_other() {
        let mut requests = RequestBuffer::default();
        requests.push(&Requested::new("a/b", QoS::AtLeastOnce));
        requests.push(&Requested::new("c/d", QoS::ExactlyOnce));
        let packet = Packet::Subscribe(subscribe(&requests));
        for version in [Version::V31, Version::V311] {
            let digits = "82 0E 000A 0003 612F62 01 0003 632F64 02";
            assert_golden(version, Sender::Client, digits, &packet);
        }
        let digits = "82 0F 000A 00 0003 612F62 01 0003 632F64 02";
        assert_golden(Version::V5, Sender::Client, digits, &packet);
    }

    #[test]
    fn options_of_5_0_survive_and_3x_leaves_them_out() {
        let mut requests = RequestBuffer::default();
        requests.push(&Requested {
            no_local: true,
            retain_as_published: true,
            retain_handling: RetainHandling::DoNotSend,
            ..Requested::new("a", QoS::AtLeastOnce)
        });
        let mut properties = PropertyBuffer::default();
        properties.push(Property::SubscriptionId(268_435_455));
        let packet = Packet::Subscribe(subscribe(&requests));
        assert_eq!(encode(Version::V311, &packet), hex("82 06 000A 0001 61 01"));
        let packet = packet.with_properties(properties.as_properties());
        let digits = "82 0C 000A 05 0B FFFFFF7F 0001 61 2D";
        assert_golden(Version::V5, Sender::Client, digits, &packet);
        let bytes = hex(digits);
        let Ok(Packet::Subscribe(decoded)) = decode(Version::V5, Sender::Client, &bytes) else { panic!("{digits}") };
        assert_eq!(decoded.properties.subscription_id(), Some(268_435_455));
        assert_eq!(decoded.count(), decoded.entries().count());
        let entry = decoded.entries().next().unwrap();
        assert_eq!((entry.qos, entry.no_local), (QoS::AtLeastOnce, true));
        assert!(entry.retain_as_published);
        assert_eq!(entry.retain_handling, RetainHandling::DoNotSend);
    }

    #[test]
    fn in_3x_only_three_options_exist() {
        for version in [Version::V31, Version::V311] {
            let accepted: Vec<u8> = (0..=255).filter(|&options| outcome(version, options).is_ok()).collect();
            // [MQTT-3-8.3-4]
            assert_eq!(accepted, [0, 1, 2]);
        }
    }

    #[test]
    fn in_5_0_qos_3_and_retain_handling_3_are_protocol_errors_and_reserved_bits_malformed() {
        for options in 0..=255 {
            let expected = match (options >> 6, options >> 4 & 3, options & 3) {
                (1.., ..) => Err(Reason::MalformedPacket), // [MQTT-3.8.3-5]
                (0, 3, _) | (0, _, 3) => Err(Reason::ProtocolError),
                _ => Ok(()),
            };
            assert_eq!(outcome(Version::V5, options), expected, "options {options:#010b}");
        }
    }

    #[test]
    fn no_local_on_a_shared_subscription_is_a_protocol_error() {
        let body = |options: &str| hex(&format!("0001 00 000A 24736861 72652F67 2F61 {options}"));
        let error = Subscribe::decode(Version::V5, &body("04")).unwrap_err();
        assert_eq!(error, DecodeError::NoLocalOnShared); // [MQTT-3.8.3-4]
        let body = body("00");
        let subscribe = Subscribe::decode(Version::V5, &body).unwrap();
        let entry = subscribe.entries().next().unwrap();
        assert_eq!(entry.subscription.unwrap().share, Some("g"));
    }

    #[test]
    fn a_wrong_filter_spoils_only_its_own_entry() {
        let mut requests = RequestBuffer::default();
        for filter in ["a/#/b", "a", "", "$share//b", "+"] {
            requests.push(&Requested::new(filter, QoS::AtMostOnce));
        }
        let is_valid: Vec<bool> = subscribe(&requests).entries().map(|entry| entry.subscription.is_ok()).collect();
        assert_eq!(is_valid, [false, true, false, false, true]);
    }

    #[test]
    fn malformed_requests_are_refused() {
        for version in Version::ALL {
            let none = if version.has_properties() { "00" } else { "" };
            let body = |entries: &str| hex(&format!("0001 {none} {entries}"));
            let error = |entries| Subscribe::decode(version, &body(entries)).unwrap_err();
            // [MQTT-3.8.3-2] [MQTT-3.8.3-1]
            assert_eq!(error(""), DecodeError::EntriesMissing { packet: PacketType::Subscribe });
            assert_eq!(error("0001 FF 00"), DecodeError::TextNotUtf8 { at: 0 });
            assert_eq!(error("0001 61"), DecodeError::Truncated { wanted: 1, left: 0 });
            assert_eq!(error("0002 61"), DecodeError::Truncated { wanted: 2, left: 1 });
        }
        let reason = |version, digits| error_of(version, Sender::Client, digits).reason();
        // [MQTT-3.8.1-1]
        for digits in ["80 06 0001 0001 61 00", "83 06 0001 0001 61 00", "8A 06 0001 0001 61 00"] {
            assert_eq!(reason(Version::V311, digits), Reason::MalformedPacket);
        }
        assert_eq!(reason(Version::V311, "82 06 0000 0001 61 00"), Reason::ProtocolError);
        assert_eq!(reason(Version::V5, "82 09 0001 02 0B00 0001 61 00"), Reason::ProtocolError);
        let twice = "82 0B 0001 04 0B01 0B02 0001 61 00";
        assert_eq!(reason(Version::V5, twice), Reason::ProtocolError);
        assert!(decode(Version::V31, Sender::Client, &hex("8A 06 0001 0001 61 00")).is_ok());
    }
}
