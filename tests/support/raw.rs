//! Packets by hand: what no encoder of ours would write, and a second look at what ours wrote.

/// A packet: its first byte, its length in the shortest form, its parts.
pub fn packet(first: u8, parts: &[&[u8]]) -> Vec<u8> {
    let body = parts.concat();
    let mut bytes = vec![first];
    let mut left = body.len();
    while left > 0x7f {
        bytes.push(u8::try_from(left & 0x7f).expect("seven bits") | 0x80);
        left >>= 7;
    }
    bytes.push(u8::try_from(left).expect("seven bits"));
    bytes.extend(body);
    bytes
}

/// Text or binary data behind its two bytes of length.
pub fn field(bytes: impl AsRef<[u8]>) -> Vec<u8> {
    let bytes = bytes.as_ref();
    let len = u16::try_from(bytes.len()).expect("a field of at most 65,535 bytes");
    [&len.to_be_bytes(), bytes].concat()
}

/// A CONNECT of 5.0 with these flags and this payload, without a keep-alive, without properties.
pub fn connect(flags: u8, payload: &[&[u8]]) -> Vec<u8> {
    connect_with(flags, &[], payload)
}

/// A CONNECT of 5.0 with these flags, these properties and this payload, without a keep-alive.
pub fn connect_with(flags: u8, properties: &[u8], payload: &[&[u8]]) -> Vec<u8> {
    let len = u8::try_from(properties.len()).ok().filter(|len| *len < 0x80).expect("fewer than 128 bytes");
    packet(0x10, &[b"\x00\x04MQTT\x05", &[flags, 0, 0, len], properties, &payload.concat()])
}

/// The packets in some bytes, each with its first byte and its body.
#[track_caller]
pub fn packets(mut bytes: &[u8]) -> Vec<(u8, Vec<u8>)> {
    let mut found = Vec::new();
    while let Some((first, rest)) = bytes.split_first() {
        let (len, behind) = shortest_varint(rest);
        found.push((*first, behind[..len].to_vec()));
        bytes = &behind[len..];
    }
    found
}

/// The Variable Byte Integer at the front, which must be as short as can be, and the bytes behind it.
#[track_caller]
pub fn shortest_varint(bytes: &[u8]) -> (usize, &[u8]) {
    let end = bytes.iter().position(|byte| *byte < 0x80).expect("a last byte");
    let digits = bytes[..=end].iter().rev();
    let value = digits.fold(0, |value, digit| value << 7 | usize::from(digit & 0x7f));
    let shortest = [0x80, 0x4000, 0x20_0000].iter().filter(|bound| value >= **bound).count();
    assert_eq!(end, shortest, "{value} in {} bytes", end + 1);
    (value, &bytes[end + 1..])
}
