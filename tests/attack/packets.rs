//! Packets by hand, right and wrong: the attacks on the parser do not lean on our own encoder.

use pregon::mqtt::Version;

/// Fixed header and body; the length is right.
pub fn packet(first: u8, body: &[u8]) -> Vec<u8> {
    announce(first, body.len(), body)
}

/// The same with a length that may be a lie.
pub fn announce(first: u8, length: usize, body: &[u8]) -> Vec<u8> {
    let mut bytes = vec![first];
    let mut rest = length;
    loop {
        let low = u8::try_from(rest % 128).expect("it is below 128");
        rest /= 128;
        bytes.push(if rest > 0 { low | 0x80 } else { low });
        if rest == 0 {
            break;
        }
    }
    bytes.extend_from_slice(body);
    bytes
}

/// A text or binary field, whatever is in it.
pub fn text(content: impl AsRef<[u8]>) -> Vec<u8> {
    let content = content.as_ref();
    let length = u16::try_from(content.len()).expect("two bytes say the length");
    [&length.to_be_bytes(), content].concat()
}

/// Properties in 5.0, and nothing before.
pub fn properties(version: Version, encoded: &[u8]) -> Vec<u8> {
    match version {
        Version::V5 => {
            let length = u8::try_from(encoded.len()).ok().filter(|length| *length < 128);
            [&[length.expect("these properties are short")], encoded].concat()
        }
        Version::V31 | Version::V311 => Vec::new(),
    }
}

/// The body of a CONNECT with everything in it; in 5.0 with these properties of its own and of its will.
pub fn connect_body(version: Version, id: &[u8], own: &[u8], of_will: &[u8]) -> Vec<u8> {
    let name: &[u8] = if version == Version::V31 { b"MQIsdp" } else { b"MQTT" };
    let parts = [
        text(name),
        vec![version.level(), 0b1100_1110, 0, 60], // user, password, will of QoS 1, clean
        properties(version, own),
        text(id),
        properties(version, of_will),
        text("will"),
        text("gone"),
        text("user"),
        text("password"),
    ];
    parts.concat()
}

/// The body of a PUBLISH to this topic; with an identifier where its flags ask for one.
pub fn publish_body(version: Version, first: u8, topic: &[u8], own: &[u8]) -> Vec<u8> {
    let id: &[u8] = if first & 0b110 == 0 { &[] } else { &[0, 9] };
    [&text(topic)[..], id, &properties(version, own), b"x"].concat()
}

/// A body that would be good behind a good first byte of this type.
pub fn good_body(version: Version, first: u8) -> Vec<u8> {
    let with_id = |rest: &[u8]| [&[0, 9], rest].concat();
    match first >> 4 {
        1 => connect_body(version, b"again", &[], &[]),
        2 => [&[0, 0], &properties(version, &[])[..]].concat(),
        3 => publish_body(version, first, b"attacked", &[]),
        4..=7 => with_id(&[]),
        8 => with_id(&[properties(version, &[]), text("attacked"), vec![0]].concat()),
        9 => with_id(&[properties(version, &[]), vec![0]].concat()),
        10 => with_id(&[properties(version, &[]), text("attacked")].concat()),
        11 => with_id(&properties(version, &[])),
        _ => Vec::new(),
    }
}

/// Each property of the standard, by its identifier, with a value that is good where it may stand.
pub const PROPERTIES: [(u8, &[u8]); 27] = [
    (0x01, &[1]),
    (0x02, &[0, 0, 0, 9]),
    (0x03, b"\0\x01t"),
    (0x08, b"\0\x01t"),
    (0x09, b"\0\x01t"),
    (0x0b, &[9]),
    (0x11, &[0, 0, 0, 9]),
    (0x12, b"\0\x01t"),
    (0x13, &[0, 9]),
    (0x15, b"\0\x01t"),
    (0x16, b"\0\x01t"),
    (0x17, &[1]),
    (0x18, &[0, 0, 0, 9]),
    (0x19, &[1]),
    (0x1a, b"\0\x01t"),
    (0x1c, b"\0\x01t"),
    (0x1f, b"\0\x01t"),
    (0x21, &[0, 9]),
    (0x22, &[0, 9]),
    (0x23, &[0, 9]),
    (0x24, &[1]),
    (0x25, &[1]),
    (0x26, b"\0\x01n\0\x01v"),
    (0x27, &[0, 0, 9, 0]),
    (0x28, &[1]),
    (0x29, &[1]),
    (0x2a, &[1]),
];
