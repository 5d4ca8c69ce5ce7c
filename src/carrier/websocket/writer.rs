//! Frames that go out: the headers of binary frames, pongs and close frames, whole and without a mask.
//!
//! A shell puts [`binary_header`] before what it writes, and appends the others between two frames, never within one. Where a peer
//! sends pings and reads nothing it is owed no answers: the last ping alone needs one (RFC 6455, 5.5.3).

use super::close::CloseCode;
use super::frame::PAYLOAD_BYTES_CONTROL_MAX;

/// The longest header without a mask.
const HEADER_BYTES_MAX: usize = 10;

const BINARY: u8 = 0x82;
const CLOSE: u8 = 0x88;
const PONG: u8 = 0x8a;

/// The header of a frame that goes out: two, four or ten bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BinaryHeader {
    bytes: [u8; HEADER_BYTES_MAX],
    len: u8,
}

impl BinaryHeader {
    /// Its bytes.
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes[..usize::from(self.len)]
    }
}

/// The header of one whole binary frame with a payload of so many bytes. [MQTT-6.0.0-1]
pub fn binary_header(payload_bytes: usize) -> BinaryHeader {
    let mut bytes = [0; HEADER_BYTES_MAX];
    bytes[0] = BINARY;
    let len = if let Ok(short @ 0..126) = u8::try_from(payload_bytes) {
        bytes[1] = short;
        2
    } else if let Ok(medium) = u16::try_from(payload_bytes) {
        bytes[1] = 126;
        bytes[2..4].copy_from_slice(&medium.to_be_bytes());
        4
    } else {
        bytes[1] = 127;
        bytes[2..].copy_from_slice(&(payload_bytes as u64).to_be_bytes());
        10
    };
    BinaryHeader { bytes, len }
}

/// Appends the answer to a ping, with the ping's payload.
pub fn pong(payload: &[u8], out: &mut Vec<u8>) {
    control(PONG, &[payload], out);
}

/// Appends a close frame. Words that do not fit are cut behind a whole letter; without a code there are none.
pub fn close(code: Option<CloseCode>, reason: &str, out: &mut Vec<u8>) {
    let Some(code) = code else { return control(CLOSE, &[], out) };
    let number = code.number().to_be_bytes();
    let end = reason.floor_char_boundary(PAYLOAD_BYTES_CONTROL_MAX - number.len());
    control(CLOSE, &[&number, &reason.as_bytes()[..end]], out);
}

fn control(first: u8, parts: &[&[u8]], out: &mut Vec<u8>) {
    let len: usize = parts.iter().map(|part| part.len()).sum();
    assert!(len <= PAYLOAD_BYTES_CONTROL_MAX, "a control frame of {len} bytes is no frame");
    out.extend([first, u8::try_from(len).expect("125 is a byte")]);
    for part in parts {
        out.extend_from_slice(part);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_header_has_the_shortest_length() {
        for (len, expected) in [
            (0, &[0x82, 0][..]),
            (1, &[0x82, 1]),
            (125, &[0x82, 125]),
            (126, &[0x82, 126, 0, 126]),
            (127, &[0x82, 126, 0, 127]),
            (65_535, &[0x82, 126, 0xff, 0xff]),
            (65_536, &[0x82, 127, 0, 0, 0, 0, 0, 1, 0, 0]),
        ] {
            assert_eq!(binary_header(len).as_bytes(), expected, "{len}");
        }
    }

    #[test]
    fn control_frames_are_whole_and_without_a_mask() {
        let mut out = Vec::new();
        pong(b"", &mut out);
        pong(b"hello", &mut out);
        close(None, "unsaid", &mut out);
        close(Some(CloseCode::NORMAL), "", &mut out);
        close(Some(CloseCode::GOING_AWAY), "bye", &mut out);
        assert_eq!(out, b"\x8a\x00\x8a\x05hello\x88\x00\x88\x02\x03\xe8\x88\x05\x03\xe9bye");
    }

    #[test]
    fn a_reason_that_does_not_fit_is_cut_behind_a_whole_letter() {
        let mut out = Vec::new();
        close(Some(CloseCode::POLICY), &"é".repeat(90), &mut out); // byte 123 is the second half of a letter
        assert_eq!(out[1], 124);
        assert!(str::from_utf8(&out[4..]).unwrap().ends_with('é'));
    }
}
