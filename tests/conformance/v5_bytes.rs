//! Packets byte by byte, for what the codec would never write, and the packets of the broker as bytes.

use pregon::engine::auth::policy::Policy;
use pregon::mqtt::properties::{Place, Properties, Property};

use crate::support::story::{Client, Hello, Story};

/// Texts that are not UTF-8: a lone byte, a letter written too long, a surrogate, a letter cut short.
pub const NOT_UTF8: [&[u8]; 4] = [b"\xff", b"a\xc0\xaf", b"\xed\xa0\x80", b"a\xe6\x97"];

/// A packet: its first byte, then the Remaining Length and the parts that it counts.
pub fn packet(first: u8, parts: &[&[u8]]) -> Vec<u8> {
    let body = parts.concat();
    let len = u8::try_from(body.len()).ok().filter(|len| *len < 0x80).expect("a short packet");
    [&[first, len], &body[..]].concat()
}

/// A text or binary field, with its length.
pub fn field(bytes: &[u8]) -> Vec<u8> {
    let len = u16::try_from(bytes.len()).expect("a short field");
    [&len.to_be_bytes(), bytes].concat()
}

/// A PUBLISH of QoS 0 with any topic, any properties and the payload `x`.
pub fn publish(topic: &[u8], properties: &[u8]) -> Vec<u8> {
    let len = u8::try_from(properties.len()).expect("few properties");
    packet(0x30, &[&field(topic), &[len], properties, b"x"])
}

/// A SUBSCRIBE with identifier 1, one filter and any options.
pub fn subscribe(filter: &[u8], options: u8) -> Vec<u8> {
    packet(0x82, &[&[0, 1, 0], &field(filter), &[options]])
}

/// Whether encoded properties explain themselves: a Reason String or User Properties.
pub fn has_diagnostics(raw: &[u8], place: Place) -> bool {
    let properties = Properties::parse(raw, place).expect("properties of the broker");
    properties.iter().any(|property| matches!(property, Property::ReasonString(_) | Property::User(..)))
}

/// Sends bytes and takes the answer as bytes; nothing else may lie unread.
pub fn ask(story: &mut Story, client: Client, bytes: &[u8]) -> Vec<u8> {
    assert_eq!(story.hear_all(client), [], "only the answer is looked at");
    story.send(client, bytes);
    story.world.receive(client.0)
}

/// A client that takes packets of so many bytes, from a broker whose CONNACK takes no more than eight.
pub fn small(packet_bytes_max: u32, policy: Policy) -> (Story, Client) {
    let mut story = Story::with(|limits| limits.topic_alias_maximum = 0, policy);
    let client = story.connect(Hello::v5("small").with(Property::MaximumPacketSize(packet_bytes_max)));
    (story, client)
}
