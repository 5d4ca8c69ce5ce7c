//! Packets by hand, for tests that say what the codec would not.

/// A packet: its first byte, the length of all parts together, the parts.
pub fn packet(first: u8, parts: &[&[u8]]) -> Vec<u8> {
    let body = parts.concat();
    let mut bytes = vec![first];
    let mut left = body.len();
    loop {
        let low = u8::try_from(left % 128).expect("below 128");
        left /= 128;
        bytes.push(if left > 0 { low | 0x80 } else { low });
        if left == 0 {
            break;
        }
    }
    bytes.extend(body);
    bytes
}

/// Text or binary data with its length of two bytes.
pub fn text(bytes: impl AsRef<[u8]>) -> Vec<u8> {
    let bytes = bytes.as_ref();
    let length = u16::try_from(bytes.len()).expect("at most 65,535 bytes");
    [&length.to_be_bytes()[..], bytes].concat()
}

/// A property set of at most 127 bytes with its length.
pub fn set(properties: &[u8]) -> Vec<u8> {
    let length = u8::try_from(properties.len()).expect("a short set");
    assert!(length < 0x80, "a short set");
    [&[length][..], properties].concat()
}

/// A CONNECT of 5.0 without keep-alive: these flags, these properties, and the payload behind the client id.
pub fn connect(id: &str, flags: u8, properties: &[u8], payload: &[&[u8]]) -> Vec<u8> {
    packet(0x10, &[b"\x00\x04MQTT\x05", &[flags, 0, 0], &set(properties), &text(id), &payload.concat()])
}

/// A QoS 0 PUBLISH of 5.0.
pub fn publish(topic: &[u8], properties: &[u8], payload: &[u8]) -> Vec<u8> {
    packet(0x30, &[&text(topic), &set(properties), payload])
}

/// A SUBSCRIBE of 5.0 with identifier 1: these properties, one filter with these options.
pub fn subscribe(properties: &[u8], filter: &[u8], options: u8) -> Vec<u8> {
    packet(0x82, &[&[0, 1], &set(properties), &text(filter), &[options]])
}
