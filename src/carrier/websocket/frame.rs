//! One frame's header, checked as strictly as the standard asks of a server, and the masks of what stands behind it.
//!
//! A shell needs nothing of this file but [`PAYLOAD_BYTES_CONTROL_MAX`]: the reader does it all.

use super::violation::Violation;

/// The longest header: two bytes, eight of length, four of mask.
pub const HEADER_BYTES_MAX: usize = 14;
/// A control frame with more payload breaks a rule. RFC 6455, 5.5
pub const PAYLOAD_BYTES_CONTROL_MAX: usize = 125;

/// The key that a client's payload is masked with, turned so that its first byte meets the next byte of the payload.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Mask(pub [u8; 4]);

impl Mask {
    /// Takes the mask off, or puts it on, and is turned for the bytes that follow.
    pub fn apply(&mut self, bytes: &mut [u8]) {
        let [a, b, c, d] = self.0;
        let word = u64::from_ne_bytes([a, b, c, d, a, b, c, d]);
        let (words, tail) = bytes.as_chunks_mut();
        for bytes in words {
            *bytes = (u64::from_ne_bytes(*bytes) ^ word).to_ne_bytes();
        }
        for (byte, key) in tail.iter_mut().zip([a, b, c, d, a, b, c]) {
            *byte ^= key;
        }
        self.0.rotate_left(bytes.len() % 4);
    }
}

/// The frames that say something about the connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Command {
    /// The last frame of this side.
    Close,
    /// To be answered by a pong.
    Ping,
    /// An answer, or a sign of life.
    Pong,
}

/// What a frame is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// It carries MQTT.
    Data {
        /// Whether the message goes on in another frame.
        goes_on: bool,
    },
    /// It commands.
    Control(Command),
}

/// A frame's header, taken apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// What the frame is for.
    pub purpose: Purpose,
    /// How many bytes of payload stand behind the header.
    pub payload_bytes: u32,
    /// What they are masked with.
    pub mask: Mask,
    /// The size of the header itself.
    pub len: usize,
}

impl Header {
    /// Reads the header at the front of `bytes`; nothing if it is not whole. What is wrong with the part that is there is said at once:
    /// a frame that is too large is refused before any byte behind its length has come.
    ///
    /// `is_within_message` says whether the last data frame promised another one.
    pub fn decode(bytes: &[u8], is_within_message: bool, maximum: u32) -> Result<Option<Self>, Violation> {
        let Some((&first, behind)) = bytes.split_first() else { return Ok(None) };
        let purpose = purpose(first, is_within_message)?;
        let Some((&second, behind)) = behind.split_first() else { return Ok(None) };
        if second & 0x80 == 0 {
            return Err(Violation::NotMasked); // RFC 6455, 5.1: a server closes then
        }
        let short = second & 0x7f;
        if matches!(purpose, Purpose::Control(_)) && usize::from(short) > PAYLOAD_BYTES_CONTROL_MAX {
            return Err(Violation::ControlTooLong);
        }
        let Some((length, behind)) = length(short, behind)? else { return Ok(None) };
        let Some(payload_bytes) = u32::try_from(length).ok().filter(|length| *length <= maximum) else {
            return Err(Violation::FrameTooLarge { length, maximum });
        };
        let Some((mask, behind)) = behind.split_first_chunk() else { return Ok(None) };
        Ok(Some(Self { purpose, payload_bytes, mask: Mask(*mask), len: bytes.len() - behind.len() }))
    }
}

/// What the first byte says. RFC 6455, 5.2
fn purpose(first: u8, is_within_message: bool) -> Result<Purpose, Violation> {
    if first & 0x70 != 0 {
        return Err(Violation::ReservedBits { first });
    }
    let (is_last, opcode) = (first & 0x80 != 0, first & 0x0f);
    let command = match opcode {
        0x0 if !is_within_message => return Err(Violation::NothingToContinue),
        0x1 | 0x2 if is_within_message => return Err(Violation::MessageWithinMessage),
        0x1 => return Err(Violation::Text), // [MQTT-6.0.0-1]
        0x0 | 0x2 => return Ok(Purpose::Data { goes_on: !is_last }),
        0x8 => Command::Close,
        0x9 => Command::Ping,
        0xA => Command::Pong,
        _ => return Err(Violation::OpcodeUnknown { opcode }),
    };
    if is_last { Ok(Purpose::Control(command)) } else { Err(Violation::ControlFragmented { opcode }) }
}

/// The length that begins with seven bits, and what stands behind it; nothing if it is not whole.
fn length(short: u8, behind: &[u8]) -> Result<Option<(u64, &[u8])>, Violation> {
    let (length, shortest_from, behind) = match short {
        126 => match behind.split_first_chunk() {
            Some((bytes, behind)) => (u64::from(u16::from_be_bytes(*bytes)), 126, behind),
            None => return Ok(None),
        },
        127 => match behind.split_first_chunk() {
            Some((bytes, behind)) => (u64::from_be_bytes(*bytes), 65_536, behind),
            None => return Ok(None),
        },
        _ => return Ok(Some((u64::from(short), behind))),
    };
    if length >> 63 != 0 {
        return Err(Violation::LengthTopBit { length });
    }
    if length < shortest_from {
        return Err(Violation::LengthNotShortest { length });
    }
    Ok(Some((length, behind)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::random::Random;

    #[test]
    fn a_mask_goes_on_where_the_last_piece_ended() {
        let mut random = Random::from_seed(1);
        for _ in 0..2_000 {
            let mut bytes = vec![0; random.index(100)];
            random.fill(&mut bytes);
            let key = [1, 0x20, 0x33, 0xf4];
            let expected: Vec<u8> = bytes.iter().enumerate().map(|(at, byte)| byte ^ key[at % 4]).collect();
            let (mut mask, mut left) = (Mask(key), bytes.as_mut_slice());
            while !left.is_empty() {
                let (piece, rest) = left.split_at_mut(random.index(left.len()) + 1);
                mask.apply(piece);
                left = rest;
            }
            assert_eq!(bytes, expected);
        }
    }

    #[test]
    fn a_header_is_read_when_it_is_whole_and_not_before() {
        let header = [0x02, 0xfe, 0x01, 0x00, 9, 8, 7, 6];
        for cut in 0..header.len() {
            assert_eq!(Header::decode(&header[..cut], false, 1_000), Ok(None), "{cut}");
        }
        let expected =
            Header { purpose: Purpose::Data { goes_on: true }, payload_bytes: 256, mask: Mask([9, 8, 7, 6]), len: 8 };
        assert_eq!(Header::decode(&header, false, 1_000), Ok(Some(expected)));
    }

    #[test]
    fn what_is_wrong_is_said_on_the_byte_that_is_wrong() {
        let refused = |bytes: &[u8], violation| {
            assert_eq!(Header::decode(bytes, false, 300), Err(violation));
            assert_eq!(Header::decode(&bytes[..bytes.len() - 1], false, 300), Ok(None), "{bytes:?}");
        };
        refused(&[0xc2], Violation::ReservedBits { first: 0xc2 });
        refused(&[0x83], Violation::OpcodeUnknown { opcode: 3 });
        refused(&[0x80], Violation::NothingToContinue);
        refused(&[0x09], Violation::ControlFragmented { opcode: 9 });
        refused(&[0x82, 0x00], Violation::NotMasked);
        refused(&[0x89, 0xfe], Violation::ControlTooLong);
        refused(&[0x82, 0xfe, 0, 125], Violation::LengthNotShortest { length: 125 });
        refused(&[0x82, 0xff, 0, 0, 0, 0, 0, 0, 0xff, 0xff], Violation::LengthNotShortest { length: 65_535 });
        refused(&[0x82, 0xff, 0x80, 0, 0, 0, 0, 0, 0, 0], Violation::LengthTopBit { length: 1 << 63 });
        refused(&[0x82, 0xfe, 1, 45], Violation::FrameTooLarge { length: 301, maximum: 300 });
    }

    /// Nothing is made ready for the frame: the mask, the first byte that could follow, is not waited for.
    #[test]
    fn threat_1_a_frame_above_the_maximum_is_refused_on_its_length() {
        let announced = [0x82, 0xff, 0, 0, 0, 1, 0, 0, 0, 0];
        let refused = Err(Violation::FrameTooLarge { length: 1 << 32, maximum: u32::MAX });
        assert_eq!(Header::decode(&announced, false, u32::MAX), refused);
    }
}
