//! A client's end of a WebSocket: it masks what it says, and MQTT passes through it as through any stream.

use std::io::{self, Read, Write};

use socket2::SockRef;

use crate::stream::Stream;

/// What a frame is, as its first byte says it without the bit for the last one of a message.
pub const CONTINUATION: u8 = 0;
/// See above.
pub const TEXT: u8 = 1;
/// See above.
pub const BINARY: u8 = 2;
/// See above.
pub const CLOSE: u8 = 8;
/// See above.
pub const PING: u8 = 9;
/// See above.
pub const PONG: u8 = 10;

/// The bit for the last frame of a message.
const LAST: u8 = 0x80;
/// The bit for a mask, and the mask.
const MASKED: u8 = 0x80;
/// What stands for a length that follows.
const LENGTH_IN_TWO_BYTES: u8 = 0x7e;
const LENGTH_IN_EIGHT_BYTES: u8 = 0x7f;
const MASK: [u8; 4] = [0x5a, 0x00, 0xff, 0x13];

/// The key of the standard's example, and the answer to it: RFC 6455, 1.3.
const KEY: &str = "dGhlIHNhbXBsZSBub25jZQ==";
const ACCEPT: &str = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=";

/// A WebSocket that is open.
pub struct WebSocket<S> {
    /// What lies beneath.
    pub stream: S,
    raw: Vec<u8>,
    clear: Vec<u8>,
}

/// What asks for a WebSocket.
pub fn request(path: &str, origin: Option<&str>) -> String {
    let origin = origin.map(|origin| format!("Origin: {origin}\r\n")).unwrap_or_default();
    format!(
        "GET {path} HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n\
         Sec-WebSocket-Key: {KEY}\r\nSec-WebSocket-Protocol: mqtt\r\n{origin}\r\n"
    )
}

/// A frame as a client writes it.
pub fn frame(kind: u8, is_last: bool, payload: &[u8]) -> Vec<u8> {
    let mut bytes = vec![kind | if is_last { LAST } else { 0 }];
    match payload.len() {
        length @ 0..126 => bytes.push(MASKED | u8::try_from(length).expect("it is small")),
        length @ 126..0x1_0000 => {
            bytes.push(MASKED | LENGTH_IN_TWO_BYTES);
            bytes.extend(u16::try_from(length).expect("it is small").to_be_bytes());
        }
        length => {
            bytes.push(MASKED | LENGTH_IN_EIGHT_BYTES);
            bytes.extend((length as u64).to_be_bytes());
        }
    }
    bytes.extend(MASK);
    bytes.extend(payload.iter().zip(MASK.iter().cycle()).map(|(byte, mask)| byte ^ mask));
    bytes
}

impl<S: Stream> WebSocket<S> {
    /// Asks at `/mqtt` and is let in.
    #[track_caller]
    pub fn open(mut stream: S) -> Self {
        stream.write_all(request("/mqtt", None).as_bytes()).expect("the broker takes bytes");
        Self::opened(stream)
    }

    /// Has asked already, and is let in.
    #[track_caller]
    pub fn opened(mut stream: S) -> Self {
        let (mut head, mut byte) = (Vec::new(), [0]);
        while !head.ends_with(b"\r\n\r\n") {
            stream.read_exact(&mut byte).expect("the broker answers");
            head.push(byte[0]);
        }
        let head = String::from_utf8(head).expect("it is text");
        assert!(head.starts_with("HTTP/1.1 101 ") && head.contains(ACCEPT), "{head}");
        Self { stream, raw: Vec::new(), clear: Vec::new() }
    }

    /// Says one frame.
    pub fn say(&mut self, kind: u8, is_last: bool, payload: &[u8]) {
        self.stream.write_all(&frame(kind, is_last, payload)).expect("the broker takes bytes");
    }

    /// The next frame; nothing when the broker has closed.
    pub fn hear(&mut self) -> io::Result<Option<(u8, Vec<u8>)>> {
        loop {
            if let Some(frame) = self.take_frame() {
                return Ok(Some(frame));
            }
            let mut buffer = [0; 16 * 1024];
            let count = self.stream.read(&mut buffer)?;
            if count == 0 {
                assert!(self.raw.is_empty(), "the broker closed in the middle of a frame");
                return Ok(None);
            }
            self.raw.extend_from_slice(&buffer[..count]);
        }
    }

    fn take_frame(&mut self) -> Option<(u8, Vec<u8>)> {
        let (first, second) = (*self.raw.first()?, *self.raw.get(1)?);
        assert!(first & LAST != 0 && second & MASKED == 0, "the broker's frames are whole and bare");
        let (head, length) = match second {
            126 => (4, usize::from(u16::from_be_bytes(self.raw.get(2..4)?.try_into().expect("two bytes")))),
            127 => {
                (10, usize::try_from(u64::from_be_bytes(self.raw.get(2..10)?.try_into().expect("eight bytes"))).ok()?)
            }
            length => (2, usize::from(length)),
        };
        let payload = self.raw.get(head..head + length)?.to_vec();
        self.raw.drain(..head + length);
        Some((first & !LAST, payload))
    }
}

/// MQTT within the frames. A close frame is the end, and there is none without it.
impl<S: Stream> Read for WebSocket<S> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while self.clear.is_empty() {
            match self.hear()? {
                Some((BINARY, payload)) => self.clear = payload,
                Some((CLOSE, _)) => return Ok(0),
                Some((kind, _)) => panic!("nobody has asked for a frame of kind {kind}"),
                None => return Err(io::ErrorKind::UnexpectedEof.into()),
            }
        }
        let count = buffer.len().min(self.clear.len());
        buffer[..count].copy_from_slice(&self.clear[..count]);
        self.clear.drain(..count);
        Ok(count)
    }
}

/// What is written at once is one frame.
impl<S: Stream> Write for WebSocket<S> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.stream.write_all(&frame(BINARY, true, bytes))?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.stream.flush()
    }
}

impl<S: Stream> Stream for WebSocket<S> {
    fn socket(&self) -> SockRef<'_> {
        self.stream.socket()
    }
}
