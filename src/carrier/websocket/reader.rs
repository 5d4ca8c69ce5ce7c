//! A stream of frames, in pieces as they arrive, to the bytes inside them, in place and without waiting for the end of a frame.
//!
//! A shell keeps one [`Reader`] a connection and hands each piece that arrives to [`Reader::read`], once and in order. The piece may lie in a
//! buffer that all connections share: the reader keeps nothing of it. What comes back is the MQTT of all frames in the
//! piece as one part of it, with the masks taken off and headers closed up, so that neighbouring packets stay
//! neighbours and the engine sees what it sees of a plain socket. If the engine is not to have it now, keep it as the bytes
//! of a plain socket are kept; it is not to be read a second time.
//!
//! Pings are told as they come and want a [`pong`](super::writer::pong). After the end nothing more comes out: the shell
//! hands on the part that stands with it, sends [`End::answer`], and closes.

use std::ops::Range;

use super::close::{Close, CloseCode};
use super::frame::{Command, HEADER_BYTES_MAX, Header, Mask, PAYLOAD_BYTES_CONTROL_MAX, Purpose};
use super::violation::Violation;
use super::writer;

/// What a peer says about the connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Control<'a> {
    /// It asks whether anybody is there: answer with these bytes.
    Ping(&'a [u8]),
    /// Somebody is there; nobody here has asked.
    Pong(&'a [u8]),
    /// It closes. The same is told by [`End::Closed`], without the words.
    Close(Close<'a>),
}

/// How a stream of frames has come to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// By a close frame with this code, if it had one.
    Closed(Option<CloseCode>),
    /// By a frame that breaks a rule.
    Broken(Violation),
}

impl End {
    /// Appends the close frame that answers it. Not to be sent when this side has sent one already.
    pub fn answer(&self, out: &mut Vec<u8>) {
        match self {
            Self::Closed(code) => writer::close(*code, "", out), // RFC 6455, 5.5.1: the code is sent back
            Self::Broken(violation) => writer::close(Some(violation.code()), "", out),
        }
    }
}

/// What one piece held.
#[derive(Debug, PartialEq, Eq)]
pub struct Intake<'a> {
    /// Bytes of MQTT, of all data frames together; often none.
    pub application: &'a [u8],
    /// Told once, and behind the bytes: they came first.
    pub end: Option<End>,
}

/// Where a connection is in its stream of frames. One per connection; it owns memory only while a control frame is cut.
///
/// Invariants: payload left ≤ the maximum that its header was read under; a part of a header is never a whole one;
/// memory ≤ size of one `Cut`.
#[derive(Debug, Default)]
pub struct Reader {
    state: State,
    is_within_message: bool,
}

#[derive(Debug)]
enum State {
    /// A header comes next, of which these bytes are there.
    Header { bytes: [u8; HEADER_BYTES_MAX - 1], count: u8 },
    /// So much payload of a data frame is still to come.
    Data { left: u32, mask: Mask },
    /// A control frame whose payload is not whole.
    Control(Box<Cut>),
    /// Nothing that comes means anything.
    Over,
}

impl Default for State {
    fn default() -> Self {
        Self::Header { bytes: [0; HEADER_BYTES_MAX - 1], count: 0 }
    }
}

/// The part of a control frame's payload that has come, masked as it came.
#[derive(Debug)]
struct Cut {
    command: Command,
    mask: Mask,
    whole: u8,
    count: u8,
    bytes: [u8; PAYLOAD_BYTES_CONTROL_MAX],
}

impl Reader {
    /// A reader of a stream that begins.
    pub fn new() -> Self {
        Self::default()
    }

    /// Whether the end has been told: whatever arrives is dropped.
    pub const fn is_over(&self) -> bool {
        matches!(self.state, State::Over)
    }

    /// How much memory is held beside the value itself: what a connection is charged for.
    pub const fn memory_bytes(&self) -> usize {
        if matches!(self.state, State::Control(_)) { size_of::<Cut>() } else { 0 }
    }

    /// Takes in a piece, whole. A frame of more than `maximum` bytes ends the stream; a message may have any
    /// number of frames, since nothing waits for its end.
    pub fn read<'a>(
        &mut self,
        piece: &'a mut [u8],
        maximum: u32,
        mut on_control: impl FnMut(Control<'_>),
    ) -> Intake<'a> {
        let (mut application, mut done, mut end) = (0..0, 0, None);
        while done < piece.len() && !self.is_over() {
            match self.step(piece, &mut done, &mut application, maximum, &mut on_control) {
                Ok(None) => {}
                Ok(Some(over)) => end = Some(over),
                Err(violation) => end = Some(End::Broken(violation)),
            }
            if end.is_some() {
                self.state = State::Over;
            }
        }
        debug_assert!(application.end <= done, "nothing is handed on before it was read");
        Intake { application: &piece[application], end }
    }

    /// One header, or one part of a payload.
    fn step(
        &mut self,
        piece: &mut [u8],
        done: &mut usize,
        application: &mut Range<usize>,
        maximum: u32,
        on_control: &mut impl FnMut(Control<'_>),
    ) -> Result<Option<End>, Violation> {
        match &mut self.state {
            State::Header { .. } => {
                let Some(header) = self.header(piece, done, maximum)? else { return Ok(None) };
                match header.purpose {
                    Purpose::Data { goes_on } => {
                        self.is_within_message = goes_on;
                        self.state = data(header.payload_bytes, header.mask);
                        Ok(None)
                    }
                    Purpose::Control(command) => self.control(command, &header, piece, done, on_control),
                }
            }
            State::Data { left, mask } => {
                let count = (piece.len() - *done).min(*left as usize);
                let (left, mut mask) = (*left - lossless(count), *mask);
                let place = join(application, *done..*done + count, piece);
                mask.apply(&mut piece[place]);
                *done += count;
                self.state = data(left, mask);
                Ok(None)
            }
            State::Control(cut) => {
                let missing = &mut cut.bytes[usize::from(cut.count)..usize::from(cut.whole)];
                let count = missing.len().min(piece.len() - *done);
                missing[..count].copy_from_slice(&piece[*done..*done + count]);
                *done += count;
                cut.count += u8::try_from(count).expect("at most 125 bytes are missing");
                if cut.count < cut.whole {
                    return Ok(None);
                }
                let State::Control(mut cut) = std::mem::take(&mut self.state) else { return Ok(None) };
                let payload = &mut cut.bytes[..usize::from(cut.whole)];
                cut.mask.apply(payload);
                tell(cut.command, payload, on_control)
            }
            State::Over => Ok(None),
        }
    }

    /// The next header, if the piece holds it or its last part; else what there is of it is kept.
    fn header(&mut self, piece: &[u8], done: &mut usize, maximum: u32) -> Result<Option<Header>, Violation> {
        let State::Header { bytes, count } = &mut self.state else { return Ok(None) };
        let mut joined = [0; HEADER_BYTES_MAX];
        let (before, fresh) = (usize::from(*count), &piece[*done..]);
        let seen = if before == 0 {
            fresh
        } else {
            let added = fresh.len().min(HEADER_BYTES_MAX - before);
            joined[..before].copy_from_slice(&bytes[..before]);
            joined[before..before + added].copy_from_slice(&fresh[..added]);
            &joined[..before + added]
        };
        let header = Header::decode(seen, self.is_within_message, maximum)?;
        if let Some(header) = header {
            debug_assert!(before < header.len, "a part of a header is never a whole one");
            *done += header.len - before;
        } else {
            // Fourteen bytes are a whole header, so here there are fewer, and all of the piece is among them.
            bytes[..seen.len()].copy_from_slice(seen);
            *count = u8::try_from(seen.len()).expect("a part of a header is small");
            *done = piece.len();
        }
        Ok(header)
    }

    /// A control frame whose header has just been read: told where it lies, or kept aside if it is cut.
    fn control(
        &mut self,
        command: Command,
        header: &Header,
        piece: &mut [u8],
        done: &mut usize,
        on_control: &mut impl FnMut(Control<'_>),
    ) -> Result<Option<End>, Violation> {
        self.state = State::default();
        let mut mask = header.mask;
        if let Some(payload) = piece.get_mut(*done..*done + header.payload_bytes as usize) {
            mask.apply(payload);
            *done += payload.len();
            return tell(command, payload, on_control);
        }
        let whole = u8::try_from(header.payload_bytes).expect("a control frame has at most 125 bytes");
        self.state =
            State::Control(Box::new(Cut { command, mask, whole, count: 0, bytes: [0; PAYLOAD_BYTES_CONTROL_MAX] }));
        Ok(None)
    }
}

/// The state behind some payload.
fn data(left: u32, mask: Mask) -> State {
    if left == 0 { State::default() } else { State::Data { left, mask } }
}

/// Brings a frame's payload next to those before it; where it lies now.
///
/// The first one stays where it is, so a large frame is not moved at all.
fn join(application: &mut Range<usize>, payload: Range<usize>, piece: &mut [u8]) -> Range<usize> {
    if application.start == application.end {
        *application = payload.clone();
        return payload;
    }
    let place = application.end..application.end + payload.len();
    if place.start != payload.start {
        piece.copy_within(payload, place.start);
    }
    application.end = place.end;
    place
}

/// Hands on a whole control frame; the end, if it is one.
fn tell(command: Command, payload: &[u8], on_control: &mut impl FnMut(Control<'_>)) -> Result<Option<End>, Violation> {
    match command {
        Command::Ping => on_control(Control::Ping(payload)),
        Command::Pong => on_control(Control::Pong(payload)),
        Command::Close => {
            let close = Close::decode(payload)?;
            on_control(Control::Close(close));
            return Ok(Some(End::Closed(close.code)));
        }
    }
    Ok(None)
}

/// A count that is bounded by a `u32`.
fn lossless(count: usize) -> u32 {
    u32::try_from(count).expect("no more than what is left of a frame")
}

#[cfg(test)]
mod tests {
    use super::*;

    const MAXIMUM: u32 = 1 << 20;

    fn masked(first: u8, payload: &[u8]) -> Vec<u8> {
        let mut bytes = vec![first, 0x80 | u8::try_from(payload.len()).unwrap(), 5, 6, 7, 8];
        let at = bytes.len();
        bytes.extend_from_slice(payload);
        Mask([5, 6, 7, 8]).apply(&mut bytes[at..]);
        bytes
    }

    fn read(reader: &mut Reader, bytes: &[u8]) -> (Vec<u8>, Option<End>) {
        let mut bytes = bytes.to_vec();
        let intake = reader.read(&mut bytes, MAXIMUM, |_| {});
        (intake.application.to_vec(), intake.end)
    }

    #[test]
    fn an_idle_connection_pays_three_words() {
        assert!(size_of::<Reader>() <= 24, "{}", size_of::<Reader>());
        assert_eq!(Reader::new().memory_bytes(), 0);
    }

    #[test]
    fn bytes_are_handed_on_before_their_frame_is_whole() {
        let frame = masked(0x82, b"one packet");
        let mut reader = Reader::new();
        assert_eq!(read(&mut reader, &frame[..9]), (b"one".to_vec(), None));
        assert_eq!(read(&mut reader, &frame[9..]), (b" packet".to_vec(), None));
        assert_eq!(reader.memory_bytes(), 0);
    }

    #[test]
    fn frames_of_one_piece_come_out_as_one_part() {
        let piece =
            [masked(0x02, b"a"), masked(0x00, b""), masked(0x89, b"ping"), masked(0x80, b"bc"), masked(0x82, b"defgh")];
        let (mut controls, mut piece) = (Vec::new(), piece.concat());
        let intake = Reader::new().read(&mut piece, MAXIMUM, |control| controls.push(format!("{control:?}")));
        assert_eq!(intake, Intake { application: b"abcdefgh", end: None });
        assert_eq!(controls, [format!("{:?}", Control::Ping(b"ping"))]);
    }

    #[test]
    fn the_first_frame_stays_where_it_lies() {
        let mut piece = masked(0x82, b"large");
        let place = piece.as_ptr_range().start.wrapping_add(6);
        assert_eq!(Reader::new().read(&mut piece, MAXIMUM, |_| {}).application.as_ptr(), place);
    }

    #[test]
    fn a_cut_control_frame_holds_memory_and_gives_it_back() {
        let ping = masked(0x89, &[7; 125]);
        let mut reader = Reader::new();
        for (at, byte) in ping.iter().enumerate() {
            let mut told = 0;
            reader.read(&mut [*byte], MAXIMUM, |control| {
                assert_eq!(control, Control::Ping(&[7; 125]));
                told += 1;
            });
            let is_last = at == ping.len() - 1;
            assert_eq!(told, u32::from(is_last), "byte {at}");
            assert_eq!(reader.memory_bytes() > 0, at >= 5 && !is_last, "byte {at}");
            assert!(reader.memory_bytes() <= 144, "{}", reader.memory_bytes());
        }
    }

    #[test]
    fn a_peer_that_closes_is_told_once_and_not_heard_again() {
        let mut reader = Reader::new();
        let bytes = [masked(0x82, b"last"), masked(0x88, b"\x03\xe9bye"), masked(0x82, b"late")].concat();
        assert_eq!(read(&mut reader, &bytes), (b"last".to_vec(), Some(End::Closed(Some(CloseCode::GOING_AWAY)))));
        assert!(reader.is_over());
        assert_eq!(read(&mut reader, &bytes), (Vec::new(), None));
    }

    #[test]
    fn an_end_is_answered_with_the_code_that_it_has() {
        let answer = |end: End| {
            let mut out = Vec::new();
            end.answer(&mut out);
            out
        };
        assert_eq!(answer(End::Closed(None)), [0x88, 0]);
        assert_eq!(answer(End::Closed(CloseCode::parse(4001))), [0x88, 2, 0x0f, 0xa1]);
        assert_eq!(answer(End::Broken(Violation::Text)), [0x88, 2, 0x03, 0xeb]);
    }

    /// Whatever is announced, a reader holds what it is and at most one control frame.
    #[test]
    fn threat_1_an_announced_length_reserves_nothing() {
        let mut reader = Reader::new();
        let mut header = [0x82, 0xff, 0, 0, 0, 0, 0xff, 0xff, 0xff, 0xff, 1, 2, 3, 4];
        assert_eq!(reader.read(&mut header, u32::MAX, |_| {}), Intake { application: b"", end: None });
        assert_eq!(reader.memory_bytes(), 0);
        assert_eq!(read(&mut reader, &[1, 2, 3]), (vec![0, 0, 0], None));
    }
}
