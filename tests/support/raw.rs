//! Packets byte by byte, for tests that say what no encoder of ours would write, and look again at what ours wrote.

pub mod v3;
pub mod v5;

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
pub fn text(bytes: impl AsRef<[u8]>) -> Vec<u8> {
    let bytes = bytes.as_ref();
    let len = u16::try_from(bytes.len()).expect("at most 65,535 bytes");
    [&len.to_be_bytes(), bytes].concat()
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

/// The first byte of each packet in some bytes.
#[track_caller]
pub fn first_bytes(bytes: &[u8]) -> Vec<u8> {
    packets(bytes).into_iter().map(|(first, _)| first).collect()
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

/// The bytes of hexadecimal digits; blanks count for nothing.
pub fn hex(digits: &str) -> Vec<u8> {
    let digits: Vec<u8> = digits.bytes().filter(|digit| !digit.is_ascii_whitespace()).collect();
    let byte = |pair: &[u8]| {
        let pair = std::str::from_utf8(pair).expect("digits are ASCII");
        u8::from_str_radix(pair, 16).expect("two hexadecimal digits")
    };
    digits.chunks(2).map(byte).collect()
}
