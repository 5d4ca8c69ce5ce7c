//! What the fuzz target of WebSocket does with its bytes; `tests/corpus.rs` does the same with its corpus.
//!
//! The naive reader is also what `tests/carrier.rs` holds its own streams against.
#![allow(dead_code, reason = "each user takes its part")]

use pregon::carrier::websocket::close::CloseCode;
use pregon::carrier::websocket::reader::{Control, End, Reader};
use pregon::carrier::websocket::refusal::Refusal;
use pregon::carrier::websocket::upgrade::{REQUEST_BYTES_MAX, Rules, upgrade};
use pregon::carrier::websocket::violation::Violation;

/// The largest frame that the fuzzed reader takes.
const FRAME_BYTES_MAX: u32 = 300;

/// What a stream of frames says, in the order that does not depend on its cuts.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Said {
    pub application: Vec<u8>,
    /// Opcode and payload of each control frame that is legal.
    pub controls: Vec<(u8, Vec<u8>)>,
    /// The close code to answer with: nothing while the stream goes on, 1005 for a close frame without a code.
    pub code: Option<u16>,
}

/// Bytes as frames and as a request. The first byte says how the stream is cut.
pub fn websocket(data: &[u8]) {
    let Some((cut, stream)) = data.split_first() else { return };
    let expected = naive(stream, FRAME_BYTES_MAX);
    let cut = usize::from(*cut) + 1;
    for piece_bytes in [stream.len().max(1), 1, cut] {
        assert_eq!(by_reader(stream, FRAME_BYTES_MAX, |_| piece_bytes), expected, "in pieces of {piece_bytes}");
    }
    request(stream);
}

/// What a reader makes of a stream, in pieces whose sizes are asked for.
pub fn by_reader(stream: &[u8], maximum: u32, mut piece_bytes: impl FnMut(usize) -> usize) -> Said {
    let (mut reader, mut said, mut end) = (Reader::new(), Said::default(), None);
    let mut left = stream;
    while !left.is_empty() {
        let (piece, rest) = left.split_at(piece_bytes(left.len()).min(left.len()));
        left = rest;
        let mut piece = piece.to_vec();
        let intake = reader.read(&mut piece, maximum, |control| {
            said.controls.push(match control {
                Control::Ping(payload) => (0x9, payload.to_vec()),
                Control::Pong(payload) => (0xa, payload.to_vec()),
                Control::Close(close) => {
                    let code = close.code.map(|code| code.number().to_be_bytes());
                    (0x8, [code.as_ref().map_or(&[][..], |code| code), close.reason.as_bytes()].concat())
                }
            });
        });
        said.application.extend_from_slice(intake.application);
        if end.is_some() {
            assert!(intake.application.is_empty() && intake.end.is_none(), "nothing comes behind the end");
        }
        end = end.or(intake.end);
        assert_eq!(reader.is_over(), end.is_some());
        assert!(reader.memory_bytes() <= 144, "one control frame is kept and no more");
    }
    said.code = end.map(|end| match end {
        End::Closed(code) => code.map_or(1005, CloseCode::number),
        End::Broken(violation) => violation.code().number(),
    });
    if let Some(End::Broken(Violation::FrameTooLarge { length, .. })) = end {
        assert!(length > maximum.into(), "{length} bytes are not too many");
    }
    said
}

/// The same by a reader that has the whole stream, takes it byte by byte, and was written without a look at the other.
pub fn naive(stream: &[u8], maximum: u32) -> Said {
    let mut said = Said::default();
    said.code = frames(&mut stream.iter().copied(), maximum.into(), &mut said).err().flatten();
    said
}

/// Reads frames until one ends the stream, with a code, or the bytes end, with none.
fn frames(bytes: &mut impl Iterator<Item = u8>, maximum: u64, said: &mut Said) -> Result<(), Option<u16>> {
    let mut message_is_open = false;
    loop {
        let first = bytes.next().ok_or(None)?;
        let (fin, reserved, opcode) = (first / 128 == 1, first / 16 % 8, first % 16);
        let legal = match opcode {
            _ if reserved != 0 => false,
            0 => message_is_open,
            1 | 2 => !message_is_open,
            8..=10 => fin,
            _ => false,
        };
        if !legal {
            return Err(Some(1002));
        }
        if opcode == 1 {
            return Err(Some(1003));
        }
        let second = bytes.next().ok_or(None)?;
        if second < 128 || opcode >= 8 && second > 128 + 125 {
            return Err(Some(1002));
        }
        let (digits, least) = match second - 128 {
            127 => (8, 0x1_0000),
            126 => (2, 126),
            _ => (0, 0),
        };
        let mut length = u64::from(second - 128);
        if digits > 0 {
            length = 0;
            for _ in 0..digits {
                length = (length % (1 << 56)) * 256 + u64::from(bytes.next().ok_or(None)?);
            }
        }
        if length < least || length >= 1 << 63 {
            return Err(Some(1002));
        }
        if length > maximum {
            return Err(Some(1009));
        }
        let mut key = [0; 4];
        for byte in &mut key {
            *byte = bytes.next().ok_or(None)?;
        }
        let mut payload = Vec::new();
        for at in 0..length {
            let byte = bytes.next().ok_or(None).map(|byte| byte ^ key[usize::try_from(at % 4).unwrap_or(0)]);
            match byte {
                Ok(byte) if opcode < 8 => said.application.push(byte),
                Ok(byte) => payload.push(byte),
                Err(end) => return Err(end),
            }
        }
        match opcode {
            8 => return Err(Some(closing(payload, said))),
            9 | 10 => said.controls.push((opcode, payload)),
            _ => message_is_open = !fin,
        }
    }
}

/// The code that answers a close frame.
fn closing(payload: Vec<u8>, said: &mut Said) -> u16 {
    let code = match *payload {
        [] => 1005,
        [_] => return 1002,
        [high, low, ..] => u16::from(high) * 256 + u16::from(low),
    };
    let is_sendable = match code {
        1005 => payload.is_empty(),
        1004 | 1006 | 1015 => false,
        code => (1000..1015).contains(&code) || (3000..5000).contains(&code),
    };
    if !is_sendable {
        return 1002;
    }
    if payload.len() > 2 && String::from_utf8(payload[2..].to_vec()).is_err() {
        return 1007;
    }
    said.controls.push((8, payload));
    code
}

/// Bytes as a request: the verdict comes once, does not change with what follows, and is a whole response.
fn request(data: &[u8]) {
    let origins = ["https://a.example".to_owned()];
    for rules in [Rules { path: "/mqtt", origins: &[] }, Rules { path: "/mqtt", origins: &origins }] {
        let verdict = upgrade(data, &rules);
        let told = match &verdict {
            Ok(None) => return assert!(data.len() < REQUEST_BYTES_MAX, "with so many bytes there is an answer"),
            Ok(Some(upgraded)) => {
                let head = &data[..upgraded.consumed];
                assert!(upgraded.consumed <= REQUEST_BYTES_MAX && head.ends_with(b"\r\n\r\n"));
                assert!(upgraded.response.starts_with(b"HTTP/1.1 101 ") && upgraded.response.ends_with(b"\r\n\r\n"));
                let offers = head.windows(4).any(|part| part == b"mqtt");
                assert!(offers && head.starts_with(b"GET ") || head.starts_with(b"\r\n"));
                let before = upgrade(&data[..upgraded.consumed - 1], &rules);
                assert_eq!(before, Ok(None), "a request is answered on its last byte");
                upgraded.consumed
            }
            Err(refusal) => {
                let response = String::from_utf8(refusal.response()).expect("a response is text");
                assert!(response.starts_with(&format!("HTTP/1.1 {} ", refusal.status())));
                first_told(data, &rules, *refusal)
            }
        };
        for more in [told, told + (data.len() - told) / 2, data.len()] {
            assert_eq!(upgrade(&data[..more], &rules), verdict, "what follows changes nothing");
        }
    }
}

/// The shortest part that is refused, which is refused as the whole is.
fn first_told(data: &[u8], rules: &Rules<'_>, refusal: Refusal) -> usize {
    let (mut unknown, mut known) = (0, data.len());
    while unknown < known {
        let middle = unknown.midpoint(known);
        match upgrade(&data[..middle], rules) {
            Ok(None) => unknown = middle + 1,
            told => {
                assert_eq!(told, Err(refusal), "at {middle} of {}", data.len());
                known = middle;
            }
        }
    }
    known
}
