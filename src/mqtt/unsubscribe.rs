//! UNSUBSCRIBE: filters whose messages a client wants no more.

use super::error::DecodeError;
use super::fields::{enclose, first_byte, put_properties, take_properties};
use super::properties::{Place, Properties};
use super::text::{Reader, put_text, put_u16};
use super::topic::{Subscription, TopicError};
use super::version::{PacketId, PacketType, Version};

/// Ends subscriptions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Unsubscribe<'a> {
    /// The identifier that UNSUBACK will repeat.
    pub id: PacketId,
    /// User Properties; none in 3.x.
    pub properties: Properties<'a>,
    /// Length-prefixed texts, all of them read once by `decode` or written by a [`FilterBuffer`].
    filters: &'a [u8],
    count: usize,
}

/// One filter of an UNSUBSCRIBE.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Unwanted<'a> {
    /// The filter as it was sent, `$share/...` included.
    pub text: &'a str,
    /// What it names; an error belongs into this filter's reason code alone.
    pub subscription: Result<Subscription<'a>, TopicError>,
}

impl<'a> Unsubscribe<'a> {
    /// A request for all filters of the buffer.
    pub fn new(id: PacketId, properties: Properties<'a>, filters: &'a FilterBuffer) -> Self {
        Self { id, properties, filters: &filters.bytes, count: filters.count }
    }

    /// The same request with another set of properties.
    #[must_use]
    pub fn with_properties<'b>(self, properties: Properties<'b>) -> Unsubscribe<'b>
    where
        'a: 'b,
    {
        Unsubscribe { properties, ..self }
    }

    /// Decodes the body.
    ///
    /// # Errors
    /// Identifier 0, no filter or one that is no UTF-8, wrong properties, missing bytes.
    pub fn decode(version: Version, body: &'a [u8]) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(body);
        let id = reader.packet_id()?;
        let properties = take_properties(version, &mut reader, Place::Unsubscribe)?;
        let filters = reader.rest();
        // [MQTT-3.10.3-2]
        if filters.is_empty() {
            return Err(DecodeError::EntriesMissing { packet: PacketType::Unsubscribe });
        }
        let (mut reader, mut count) = (Reader::new(filters), 0);
        while !reader.is_empty() {
            reader.text()?;
            count += 1;
        }
        Ok(Self { id, properties, filters, count })
    }

    /// Appends the packet.
    pub fn encode(&self, version: Version, out: &mut Vec<u8>) {
        debug_assert!(!self.filters.is_empty(), "[MQTT-3.10.3-2]");
        enclose(first_byte(PacketType::Unsubscribe), out, |out| {
            put_u16(self.id.get(), out);
            put_properties(version, self.properties, out);
            out.extend_from_slice(self.filters);
        });
    }

    /// How many filters there are, which is how many reasons UNSUBACK has.
    pub const fn count(&self) -> usize {
        self.count
    }

    /// The filters in the order of the packet, which is the order of UNSUBACK's reasons.
    pub fn entries(&self) -> impl Iterator<Item = Unwanted<'a>> + use<'a> {
        let mut reader = Reader::new(self.filters);
        std::iter::from_fn(move || {
            if reader.is_empty() {
                return None;
            }
            let text = reader.text().expect("decode has read this text before");
            Some(Unwanted { text, subscription: Subscription::parse(text) })
        })
    }
}

/// Collects the filters of an UNSUBSCRIBE to send.
#[derive(Clone, Debug, Default)]
pub struct FilterBuffer {
    bytes: Vec<u8>,
    count: usize,
}

impl FilterBuffer {
    /// Adds a filter.
    pub fn push(&mut self, filter: &str) {
        put_text(filter, &mut self.bytes);
        self.count += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mqtt::golden::{assert_golden, decode, error_of, hex};
    use crate::mqtt::packet::{Packet, Sender};
    use crate::mqtt::properties::{Property, PropertyBuffer};
    use crate::mqtt::reason::Reason;

    fn unsubscribe(filters: &FilterBuffer) -> Unsubscribe<'_> {
        Unsubscribe::new(PacketId::new(5).unwrap(), Properties::NONE, filters)
    }

    #[test]
    fn filters_follow_each_other() {
        let mut filters = FilterBuffer::default();
        filters.push("a/+");
        filters.push("#");
        let packet = Packet::Unsubscribe(unsubscribe(&filters));
        for version in [Version::V31, Version::V311] {
            let digits = "A2 0A 0005 0003 612F2B 0001 23";
            assert_golden(version, Sender::Client, digits, &packet);
        }
        let digits = "A2 0B 0005 00 0003 612F2B 0001 23";
        assert_golden(Version::V5, Sender::Client, digits, &packet);
        let mut properties = PropertyBuffer::default();
        properties.push(Property::User("k", "v"));
        let packet = packet.with_properties(properties.as_properties());
        let digits = "A2 12 0005 07 26 0001 6B 0001 76 0003 612F2B 0001 23";
        assert_golden(Version::V5, Sender::Client, digits, &packet);
    }

    #[test]
    fn a_wrong_filter_spoils_only_its_own_entry() {
        let mut filters = FilterBuffer::default();
        for filter in ["a#", "a", "", "$share/g/b"] {
            filters.push(filter);
        }
        let entries: Vec<Unwanted<'_>> = unsubscribe(&filters).entries().collect();
        assert_eq!(unsubscribe(&filters).count(), 4);
        let texts: Vec<&str> = entries.iter().map(|entry| entry.text).collect();
        assert_eq!(texts, ["a#", "a", "", "$share/g/b"]);
        let is_valid: Vec<bool> = entries.iter().map(|entry| entry.subscription.is_ok()).collect();
        assert_eq!(is_valid, [false, true, false, true]);
        assert_eq!(entries[3].subscription.unwrap().share, Some("g"));
    }

    #[test]
    fn malformed_requests_are_refused() {
        for version in Version::ALL {
            let none = if version.has_properties() { "00" } else { "" };
            let body = |filters: &str| hex(&format!("0001 {none} {filters}"));
            let error = |filters| Unsubscribe::decode(version, &body(filters)).unwrap_err();
            // [MQTT-3.10.3-2] [MQTT-3.10.3-1]
            assert_eq!(error(""), DecodeError::EntriesMissing { packet: PacketType::Unsubscribe });
            assert_eq!(error("0001 FF"), DecodeError::TextNotUtf8 { at: 0 });
            assert_eq!(error("0001 00"), DecodeError::TextWithNul { at: 0 });
            assert_eq!(error("0002 61"), DecodeError::Truncated { wanted: 2, left: 1 });
            assert_eq!(error("0001 61 00"), DecodeError::Truncated { wanted: 2, left: 1 });
        }
        let reason = |digits| error_of(Version::V311, Sender::Client, digits).reason();
        // [MQTT-3.10.1-1]
        assert_eq!(reason("A0 05 0001 0001 61"), Reason::MalformedPacket);
        assert_eq!(reason("A3 05 0001 0001 61"), Reason::MalformedPacket);
        assert_eq!(reason("AA 05 0001 0001 61"), Reason::MalformedPacket);
        assert_eq!(reason("A2 05 0000 0001 61"), Reason::ProtocolError);
        assert!(decode(Version::V31, Sender::Client, &hex("AA 05 0001 0001 61")).is_ok());
    }
}
