//! Packets byte by byte, for what no encoder of ours would write.

use pregon::mqtt::frame::{Next, next_frame};

/// A packet: its first byte, the Remaining Length, the parts of its body.
pub fn packet(first: u8, body: &[&[u8]]) -> Vec<u8> {
    let body = body.concat();
    let mut bytes = vec![first];
    let mut length = body.len();
    loop {
        let low = u8::try_from(length % 128).expect("seven bits");
        length /= 128;
        bytes.push(if length > 0 { low | 0x80 } else { low });
        if length == 0 {
            break;
        }
    }
    bytes.extend(body);
    bytes
}

/// Two length bytes and the text, which need not be text.
pub fn text(bytes: impl AsRef<[u8]>) -> Vec<u8> {
    let bytes = bytes.as_ref();
    let length = u16::try_from(bytes.len()).expect("a length of two bytes");
    [&length.to_be_bytes(), bytes].concat()
}

/// A CONNECT with a Keep Alive of 0: protocol name, level, connect flags, the parts of the payload.
pub fn connect(name: &str, level: u8, flags: u8, payload: &[&[u8]]) -> Vec<u8> {
    packet(0x10, &[&text(name), &[level, flags, 0, 0], &payload.concat()])
}

/// The first byte of each packet.
pub fn first_bytes(mut bytes: &[u8]) -> Vec<u8> {
    let mut firsts = Vec::new();
    while let Ok(Next::Frame(frame)) = next_frame(bytes, u32::MAX) {
        firsts.push(frame.first);
        bytes = &bytes[frame.len..];
    }
    assert!(bytes.is_empty(), "only whole packets are sent");
    firsts
}

/// The bytes of hexadecimal digits; blanks count for nothing.
pub fn hex(digits: &str) -> Vec<u8> {
    let digits: Vec<u8> = digits.bytes().filter(|digit| !digit.is_ascii_whitespace()).collect();
    let byte = |pair: &[u8]| {
        let pair = std::str::from_utf8(pair).expect("digits are ASCII");
        u8::from_str_radix(pair, 16).expect("two hexadecimal digits")
    };
    digits.chunks(2).map(byte).collect()
}
