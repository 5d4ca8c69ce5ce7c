//! Packets of 5.0 by hand.

use super::{packet, text};

/// A CONNECT with these flags and this payload, without a keep-alive, without properties.
pub fn connect(flags: u8, payload: &[&[u8]]) -> Vec<u8> {
    connect_with(flags, &[], payload)
}

/// A CONNECT with these flags, these properties and this payload, without a keep-alive.
pub fn connect_with(flags: u8, properties: &[u8], payload: &[&[u8]]) -> Vec<u8> {
    packet(0x10, &[b"\x00\x04MQTT\x05", &[flags, 0, 0], &set(properties), &payload.concat()])
}

/// The same for this client identifier, with the payload behind it.
pub fn connect_as(id: &str, flags: u8, properties: &[u8], payload: &[&[u8]]) -> Vec<u8> {
    connect_with(flags, properties, &[&text(id), &payload.concat()])
}

/// A QoS 0 PUBLISH.
pub fn publish(topic: &[u8], properties: &[u8], payload: &[u8]) -> Vec<u8> {
    packet(0x30, &[&text(topic), &set(properties), payload])
}

/// A SUBSCRIBE with identifier 1: these properties, one filter with these options.
pub fn subscribe(properties: &[u8], filter: &[u8], options: u8) -> Vec<u8> {
    packet(0x82, &[&[0, 1], &set(properties), &text(filter), &[options]])
}

/// A property set of at most 127 bytes with its length.
pub fn set(properties: &[u8]) -> Vec<u8> {
    let length = u8::try_from(properties.len()).expect("a short set");
    assert!(length < 0x80, "a short set");
    [&[length][..], properties].concat()
}
