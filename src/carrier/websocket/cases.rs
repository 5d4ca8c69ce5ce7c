//! Cases by the sections of the Autobahn test suite, as far as a server of binary frames has them, each in many cuts.

use super::close::CloseCode;
use super::frame::Mask;
use super::reader::{Control, End, Reader};
use super::violation::Violation;

/// The largest frame of these cases.
const MAXIMUM: u32 = 70_000;

const CONTINUATION: u8 = 0x0;
const TEXT: u8 = 0x1;
const BINARY: u8 = 0x2;
const CLOSE: u8 = 0x8;
const PING: u8 = 0x9;
const PONG: u8 = 0xa;
/// The bit of a message's last frame.
const FIN: u8 = 0x80;

/// One frame with the shortest header, masked.
fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
    let key = [0x37, 0xfa, 0x21, 0x3d];
    let mut bytes = vec![first];
    match payload.len() {
        short @ 0..126 => bytes.push(0x80 | u8::try_from(short).unwrap()),
        medium @ 126..65_536 => {
            bytes.push(0xfe);
            bytes.extend(u16::try_from(medium).unwrap().to_be_bytes());
        }
        long => {
            bytes.push(0xff);
            bytes.extend((long as u64).to_be_bytes());
        }
    }
    bytes.extend(key);
    let at = bytes.len();
    bytes.extend_from_slice(payload);
    Mask(key).apply(&mut bytes[at..]);
    bytes
}

/// The frames of a stream, one behind the other.
fn stream(frames: &[(u8, &[u8])]) -> Vec<u8> {
    frames.iter().flat_map(|(first, payload)| frame(*first, payload)).collect()
}

/// What came out of a stream.
#[derive(Debug, Default, PartialEq, Eq)]
struct Seen {
    application: Vec<u8>,
    /// Pings with a `<` before them, pongs with a `>`, reasons to close with a `!`.
    controls: Vec<String>,
    end: Option<End>,
}

fn read(bytes: &[u8], piece_bytes: usize) -> Seen {
    let (mut reader, mut seen) = (Reader::new(), Seen::default());
    for piece in bytes.chunks(piece_bytes) {
        let mut piece = piece.to_vec();
        let intake = reader.read(&mut piece, MAXIMUM, |control| {
            seen.controls.push(match control {
                Control::Ping(payload) => format!("<{}", payload.escape_ascii()),
                Control::Pong(payload) => format!(">{}", payload.escape_ascii()),
                Control::Close(close) => format!("!{}", close.reason),
            });
        });
        seen.application.extend_from_slice(intake.application);
        assert!(seen.end.is_none() || intake.end.is_none(), "an end is told once");
        seen.end = seen.end.or(intake.end);
    }
    assert_eq!(reader.is_over(), seen.end.is_some());
    seen
}

/// What comes out of a stream, the same for every cut.
fn outcome(bytes: &[u8]) -> Seen {
    let seen = read(bytes, bytes.len().max(1));
    for piece_bytes in [1, 2, 3, 7, 13, 14, 15, 100, 997] {
        assert_eq!(read(bytes, piece_bytes), seen, "in pieces of {piece_bytes}: {bytes:02x?}");
    }
    seen
}

#[track_caller]
fn passes(frames: &[(u8, &[u8])], application: &[u8], controls: &[&str]) {
    let controls = controls.iter().copied().map(str::to_owned).collect();
    assert_eq!(outcome(&stream(frames)), Seen { application: application.to_vec(), controls, end: None });
}

/// The stream ends with this violation, after these bytes.
#[track_caller]
fn breaks(bytes: &[u8], application: &[u8], violation: Violation, code: u16) {
    let seen = outcome(bytes);
    assert_eq!((seen.application.as_slice(), seen.end), (application, Some(End::Broken(violation))));
    assert_eq!(violation.code().number(), code);
}

/// Section 1: framing.
#[test]
fn frames_of_every_length_of_length_give_their_bytes() {
    for len in [0, 1, 124, 125, 126, 127, 128, 255, 256, 65_534, 65_535, 65_536, MAXIMUM as usize] {
        let payload: Vec<u8> = (0..len).map(|at| u8::try_from(at % 251).unwrap()).collect();
        passes(&[(FIN | BINARY, &payload)], &payload, &[]);
        passes(&[(FIN | BINARY, &payload), (FIN | BINARY, b"next")], &[&payload[..], b"next"].concat(), &[]);
    }
}

/// Section 1: the mask is part of the frame, whatever it is.
#[test]
fn a_mask_of_zeros_is_a_mask_and_no_mask_is_none() {
    assert_eq!(outcome(b"\x82\x83\0\0\0\0abc").application, b"abc");
    for first in [FIN | BINARY, FIN | PING, FIN | CLOSE, BINARY] {
        breaks(&[first, 0x03, b'a', b'b', b'c'], b"", Violation::NotMasked, 1002);
        breaks(&[first, 0x00], b"", Violation::NotMasked, 1002);
    }
}

/// Section 2: pings and pongs.
#[test]
fn pings_are_told_with_their_payload_and_pongs_are_let_pass() {
    let longest = [0xfe; 125];
    passes(&[(FIN | PING, b"")], b"", &["<"]);
    passes(&[(FIN | PING, b"hello")], b"", &["<hello"]);
    passes(&[(FIN | PING, b"\x00\xff\xfe")], b"", &["<\\x00\\xff\\xfe"]);
    passes(&[(FIN | PING, &longest)], b"", &[&format!("<{}", longest.escape_ascii())]);
    breaks(&frame(FIN | PING, &[0xfe; 126]), b"", Violation::ControlTooLong, 1002);
    breaks(&frame(FIN | PONG, &vec![0xfe; 65_536]), b"", Violation::ControlTooLong, 1002);
    passes(&[(FIN | PONG, b"unasked")], b"", &[">unasked"]);
    passes(&[(FIN | PONG, b"unasked"), (FIN | PING, b"asked")], b"", &[">unasked", "<asked"]);
    let ten: Vec<(u8, &[u8])> = (0..10).map(|_| (FIN | PING, &b"again"[..])).collect();
    passes(&ten, b"", &["<again"; 10]);
}

/// Section 3: reserved bits. What was legal before has been handed on.
#[test]
fn a_reserved_bit_breaks_any_frame() {
    for bits in (0x10..=0x70).step_by(0x10) {
        for opcode in [FIN | BINARY, FIN | TEXT, FIN | PING, FIN | CLOSE, BINARY] {
            let first = opcode | bits;
            let bytes = stream(&[(FIN | BINARY, b"before"), (first, b""), (FIN | BINARY, b"behind")]);
            breaks(&bytes, b"before", Violation::ReservedBits { first }, 1002);
        }
    }
}

/// Section 4: opcodes.
#[test]
fn an_opcode_that_is_not_assigned_breaks() {
    for opcode in [0x3, 0x4, 0x5, 0x6, 0x7, 0xb, 0xc, 0xd, 0xe, 0xf] {
        for payload in [&b""[..], b"payload"] {
            let bytes = stream(&[(FIN | BINARY, b"before"), (FIN | opcode, payload), (FIN | PING, b"")]);
            breaks(&bytes, b"before", Violation::OpcodeUnknown { opcode }, 1002);
        }
        let unfinished = stream(&[(BINARY, b"before"), (opcode, b"payload")]);
        breaks(&unfinished, b"before", Violation::OpcodeUnknown { opcode }, 1002);
    }
}

/// Section 5: fragmentation.
#[test]
fn a_message_may_have_any_number_of_frames_with_control_frames_between() {
    passes(&[(BINARY, b"frag"), (FIN, b"ment")], b"fragment", &[]);
    passes(&[(BINARY, b""), (CONTINUATION, b""), (FIN, b"")], b"", &[]);
    passes(&[(BINARY, b""), (CONTINUATION, b"middle"), (FIN, b"")], b"middle", &[]);
    passes(&[(BINARY, b"frag"), (FIN | PING, b"ping"), (FIN, b"ment")], b"fragment", &["<ping"]);
    let mut frames: Vec<(u8, &[u8])> = vec![(BINARY, b"a")];
    frames.extend([(CONTINUATION, &b"b"[..]), (FIN | PONG, b"p")].repeat(50));
    frames.extend([(FIN, &b"c"[..]), (FIN | BINARY, b"d")]);
    passes(&frames, format!("a{}cd", "b".repeat(50)).as_bytes(), &[">p"; 50]);
}

/// Section 5: fragments out of place.
#[test]
fn fragments_out_of_place_break() {
    let nothing = Violation::NothingToContinue;
    breaks(&stream(&[(FIN, b"x"), (FIN | BINARY, b"y")]), b"", nothing, 1002);
    breaks(&stream(&[(CONTINUATION, b"x"), (FIN, b"y")]), b"", nothing, 1002);
    breaks(&stream(&[(FIN | BINARY, b"x"), (FIN, b"y")]), b"x", nothing, 1002);
    breaks(&stream(&[(BINARY, b"x"), (FIN, b"y"), (FIN, b"z")]), b"xy", nothing, 1002);
    let within = Violation::MessageWithinMessage;
    breaks(&stream(&[(BINARY, b"x"), (FIN | BINARY, b"y")]), b"x", within, 1002);
    breaks(&stream(&[(BINARY, b"x"), (CONTINUATION, b"y"), (BINARY, b"z")]), b"xy", within, 1002);
    breaks(&stream(&[(BINARY, b"x"), (FIN | TEXT, b"y")]), b"x", within, 1002);
    for opcode in [PING, PONG, CLOSE] {
        breaks(&frame(opcode, b""), b"", Violation::ControlFragmented { opcode }, 1002);
        breaks(&frame(opcode, b"fragment"), b"", Violation::ControlFragmented { opcode }, 1002);
    }
}

/// Section 6, of text, which is not taken here, whatever it says. [MQTT-6.0.0-1]
#[test]
fn a_text_frame_closes_with_1003() {
    breaks(&frame(FIN | TEXT, b""), b"", Violation::Text, 1003);
    breaks(&stream(&[(FIN | BINARY, b"x"), (TEXT, "\u{3ba}".as_bytes())]), b"x", Violation::Text, 1003);
    breaks(&frame(FIN | TEXT, b"\xff"), b"", Violation::Text, 1003);
}

/// Section 6, of the words in close frames.
#[test]
fn words_of_a_close_frame_are_utf8() {
    let with = |words: &[u8]| [b"\x03\xe8", words].concat();
    for words in
        ["\u{3ba}\u{1f79}\u{3c3}\u{3bc}\u{3b5}", "\u{0}", "\u{80}\u{7ff}\u{800}\u{ffff}\u{10000}\u{10ffff}", "\u{fffe}"]
    {
        let seen = outcome(&frame(FIN | CLOSE, &with(words.as_bytes())));
        assert_eq!((seen.controls, seen.end), (vec![format!("!{words}")], Some(End::Closed(Some(CloseCode::NORMAL)))));
    }
    for (words, at) in [
        (&b"\xce\xba\xed\xa0\x80"[..], 2), // a half of a surrogate pair
        (b"\xf4\x90\x80\x80", 0),          // above U+10FFFF
        (b"\xf8\x88\x80\x80\x80", 0),      // five bytes
        (b"\xc0\x80", 0),                  // not the shortest form
        (b"\xe0\x80\xaf", 0),              // nor this
        (b"abc\x80", 3),                   // a continuation of nothing
        (b"ab\xe2\x82", 2),                // cut
        (b"\xff\xfe", 0),
    ] {
        let closing = frame(FIN | CLOSE, &with(words));
        breaks(&closing, b"", Violation::CloseReason { at }, 1007);
    }
}

/// Section 7: close handling.
#[test]
fn nothing_behind_a_close_frame_is_read() {
    let closes = |frames: &[(u8, &[u8])], application: &[u8], code: Option<u16>| {
        let seen = outcome(&stream(frames));
        assert_eq!(seen.application, application);
        assert_eq!(seen.end, Some(End::Closed(code.map(|code| CloseCode::parse(code).unwrap()))));
        assert_eq!(seen.controls.iter().filter(|control| control.starts_with('!')).count(), 1);
        assert!(!seen.controls.iter().any(|control| control.starts_with('<')));
    };
    closes(&[(FIN | CLOSE, b"")], b"", None);
    closes(&[(FIN | BINARY, b"x"), (FIN | CLOSE, b"\x03\xe8"), (FIN | BINARY, b"y")], b"x", Some(1000));
    closes(&[(FIN | CLOSE, b"\x03\xe8"), (FIN | PING, b"late")], b"", Some(1000));
    closes(&[(FIN | CLOSE, b""), (FIN | CLOSE, b"\x03\xe8")], b"", None);
    closes(&[(BINARY, b"x"), (FIN | CLOSE, b"\x03\xe9"), (FIN, b"y")], b"x", Some(1001));
    closes(&[(FIN | CLOSE, &[&b"\x03\xe8"[..], &[b'*'; 123]].concat())], b"", Some(1000));
    breaks(&frame(FIN | CLOSE, &[&b"\x03\xe8"[..], &[b'*'; 124]].concat()), b"", Violation::ControlTooLong, 1002);
    breaks(&frame(FIN | CLOSE, b"\x03"), b"", Violation::CloseTruncated, 1002);
}

/// Section 7: close codes.
#[test]
fn a_close_code_is_one_that_may_be_sent() {
    for code in [1000_u16, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 1012, 1013, 1014, 3000, 3999, 4000, 4999] {
        let seen = outcome(&frame(FIN | CLOSE, &code.to_be_bytes()));
        assert_eq!(seen.end, Some(End::Closed(CloseCode::parse(code))), "{code}");
        assert!(CloseCode::parse(code).is_some());
    }
    for number in [0_u16, 1, 999, 1004, 1005, 1006, 1015, 1016, 1100, 2000, 2999, 5000, 65_535] {
        breaks(&frame(FIN | CLOSE, &number.to_be_bytes()), b"", Violation::CloseCode { number }, 1002);
    }
}

/// Section 9: limits.
#[test]
fn a_frame_above_the_maximum_closes_with_1009_before_its_mask_is_there() {
    let above = u64::from(MAXIMUM) + 1;
    for length in [above, u64::from(u32::MAX), u64::from(u32::MAX) + 1, u64::MAX >> 1] {
        let bytes = [&frame(FIN | BINARY, b"before")[..], b"\x82\xff", &length.to_be_bytes()].concat();
        breaks(&bytes, b"before", Violation::FrameTooLarge { length, maximum: MAXIMUM }, 1009);
    }
    let many = frame(CONTINUATION, &vec![7; 60_000]).repeat(4);
    let message = [&frame(BINARY, b"")[..], &many].concat();
    assert_eq!(outcome(&message).application.len(), 240_000, "a message has no maximum: nothing waits for its end");
}

/// Lengths in more bytes than they need, and beyond what a length may be.
#[test]
fn a_length_has_one_form() {
    let short = |length: u16| [b"\x82\xfe", &length.to_be_bytes()[..], b"\0\0\0\0"].concat();
    let long = |length: u64| [b"\x82\xff", &length.to_be_bytes()[..], b"\0\0\0\0"].concat();
    for length in [0_u16, 1, 125] {
        breaks(&short(length), b"", Violation::LengthNotShortest { length: length.into() }, 1002);
    }
    for length in [0_u64, 125, 126, 65_535] {
        breaks(&long(length), b"", Violation::LengthNotShortest { length }, 1002);
    }
    for length in [1 << 63, u64::MAX] {
        breaks(&long(length), b"", Violation::LengthTopBit { length }, 1002);
    }
}
