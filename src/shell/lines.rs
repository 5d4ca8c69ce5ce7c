//! The lines to the clients: descriptors under the keys of the engine's connections, and what waits to be sent.

use std::collections::VecDeque;
use std::io::{self, IoSlice};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use socket2::SockRef;

use super::transport::layers::Layers;
use crate::base::pages::Pages;
use crate::base::payload::Payload;
use crate::base::rare::Rare;
use crate::engine::change::Serial;
use crate::engine::connection::ConnectionKey;

/// Pieces that one system call sends; the kernel's own bound is 1,024.
pub const PIECES_PER_SEND_MAX: usize = 64;

/// One connection as the shell sees it. No buffer while idle.
#[derive(Debug)]
pub struct Line {
    /// The connection that the engine knows.
    pub key: ConnectionKey,
    fd: OwnedFd,
    /// What is watched and what is due.
    pub state: LineState,
    /// Bytes that the kernel did not take.
    pub outbox: Option<Box<Outbox>>,
    /// What most lines do not have.
    aside: Option<Box<Aside>>,
    /// The first and the last entry of this turn's gathering; [`NONE`] between turns.
    pub first: u32,
    /// See above.
    pub last: u32,
}

/// What most lines do not have.
#[derive(Debug, Default)]
struct Aside {
    /// Bytes that the kernel had received before it heard that they are not wanted now.
    unwanted: Rare<Vec<u8>>,
    /// What stands between the socket and MQTT.
    layers: Option<Layers>,
}

const _: () = assert!(size_of::<Aside>() <= 80, "each connection that is not plain has one");

/// No entry.
pub const NONE: u32 = u32::MAX;

/// How the ring tells of bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Watch {
    /// Not at all.
    #[default]
    Off,
    /// It tells that there are some.
    Poll,
    /// The kernel receives them on its own.
    Receive,
}

/// What a line is made of.
#[derive(Debug)]
pub struct LineParts {
    /// Its descriptor.
    pub fd: OwnedFd,
    /// What the kernel has not taken.
    pub outbox: Option<Box<Outbox>>,
    /// What stands between the socket and MQTT.
    pub layers: Option<Layers>,
}

/// What is watched and what is due.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[expect(clippy::struct_excessive_bools, reason = "independent facts, each set and cleared by its own event")]
pub struct LineState {
    /// How we learn of bytes.
    pub watch: Watch,
    /// It stands in the list of those to be read.
    pub is_due: bool,
    /// The engine does not want its bytes now.
    pub is_paused: bool,
    /// Bytes came while it was paused.
    pub has_unread: bool,
    /// The peer has closed its side: it is read to the end.
    pub is_ending: bool,
    /// CONNECT has not been answered: it may still move to another shard.
    pub is_fresh: bool,
    /// The ring tells when the kernel takes bytes again.
    pub awaits_room: bool,
    /// It stands in the list of those whose unsent bytes changed.
    pub is_changed: bool,
    /// Our side was closed, or the peer takes nothing any more: nothing is sent.
    pub is_shut: bool,
    /// It stands in the list of those that the kernel receives for.
    pub is_listed: bool,
    /// Small reads behind each other, up to what makes it hot.
    pub heat: u8,
    /// When it was last heard: quarters of a second, cut.
    pub heard_at: u8,
}

/// Bytes that wait for the kernel to take them.
#[derive(Debug, Default)]
pub struct Outbox {
    pieces: VecDeque<Piece>,
    /// bytes = sum of what is left of all pieces
    bytes: usize,
    /// Bytes at the end that wait for a change to be safe: for which one, and how many, in order.
    promises: VecDeque<(Serial, usize)>,
    /// promised = sum of these bytes
    promised: usize,
    /// What the layers have made of bytes before all these, and how much of it was sent already.
    sealed: Vec<u8>,
    sealed_sent: usize,
    /// Nothing follows: the layers say so behind the last byte.
    is_last: bool,
    /// Bytes sent since the engine was told.
    pub taken: usize,
    /// Its line waits for its turn to be sent, and so many bytes were counted of it.
    late: Option<usize>,
}

/// A piece of an outbox, and how much of it was sent already.
#[derive(Debug)]
struct Piece {
    bytes: Bytes,
    sent: usize,
}

#[derive(Debug)]
enum Bytes {
    Own(Vec<u8>),
    Shared(Payload),
}

impl Piece {
    fn rest(&self) -> &[u8] {
        match &self.bytes {
            Bytes::Own(bytes) => &bytes[self.sent..],
            Bytes::Shared(payload) => &payload[self.sent..],
        }
    }
}

/// Own pieces grow up to this size before another one is begun.
const OWN_PIECE_BYTES_MAX: usize = 64 * 1024;
/// Bytes that are sealed at a time: they are a connection's own, and wait in memory until the kernel has them.
pub const SEALED_BYTES_MAX: usize = 64 * 1024;
/// Answers of the layers that may wait for a peer who takes nothing; it is owed no more of them.
const ANSWERS_BYTES_MAX: usize = 16 * 1024;
/// What is appended to a piece lets it grow by doubling; larger bytes become a piece of exactly their size.
const JOINED_BYTES_MAX: usize = 4 * 1024;

impl Outbox {
    /// How many bytes wait.
    pub fn len(&self) -> usize {
        self.bytes + self.sealed_len()
    }

    /// Whether nothing waits.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// How many bytes may be sent now.
    pub fn sendable(&self) -> usize {
        self.sendable_clear() + self.sealed_len()
    }

    fn sendable_clear(&self) -> usize {
        self.bytes - self.promised
    }

    fn sealed_len(&self) -> usize {
        self.sealed.len() - self.sealed_sent
    }

    /// What is appended from now on may be sent once this change is safe, and once what waits before it is.
    pub fn promise(&mut self, change: Serial) {
        if change > self.promises.back().map_or(Serial::NONE, |(last, _)| *last) {
            self.promises.push_back((change, 0));
        }
    }

    /// All changes up to this one are safe.
    fn keep_promises(&mut self, upto: Serial) {
        while let Some((_, bytes)) = self.promises.pop_front_if(|(change, _)| *change <= upto) {
            self.promised -= bytes;
        }
    }

    /// Counts bytes that are appended.
    fn note(&mut self, bytes: usize) {
        self.bytes += bytes;
        if let Some((_, waiting)) = self.promises.back_mut() {
            *waiting += bytes;
            self.promised += bytes;
        }
    }

    /// Appends a copy of these bytes.
    pub fn push(&mut self, bytes: &[u8]) {
        if bytes.is_empty() {
            return;
        }
        self.note(bytes.len());
        if let Some(Piece { bytes: Bytes::Own(last), .. }) = self.pieces.back_mut()
            && bytes.len() <= JOINED_BYTES_MAX
            && last.len() + bytes.len() <= OWN_PIECE_BYTES_MAX
        {
            return last.extend_from_slice(bytes);
        }
        self.pieces.push_back(Piece { bytes: Bytes::Own(bytes.to_vec()), sent: 0 });
    }

    /// Appends shared bytes from a place on.
    pub fn push_shared(&mut self, payload: &Payload, sent: usize) {
        if payload.len() > sent {
            self.note(payload.len() - sent);
            self.pieces.push_back(Piece { bytes: Bytes::Shared(payload.clone()), sent });
        }
    }

    /// Sends what the kernel takes; `Ok` also where that is nothing.
    fn send(&mut self, socket: &SockRef<'_>) -> io::Result<()> {
        debug_assert!(self.sealed.is_empty(), "there are no layers");
        while self.sendable() > 0 {
            let mut slices = [IoSlice::new(&[]); PIECES_PER_SEND_MAX];
            let (mut count, mut offered) = (0, 0);
            for (slice, piece) in slices.iter_mut().zip(&self.pieces) {
                let rest = piece.rest();
                let part = &rest[..rest.len().min(self.sendable() - offered)];
                if part.is_empty() {
                    break;
                }
                *slice = IoSlice::new(part);
                (count, offered) = (count + 1, offered + part.len());
            }
            match send_all(socket, &slices[..count]) {
                Ok(sent) => {
                    self.advance(sent);
                    if sent < offered {
                        return Ok(());
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// The same through layers: what they have sealed goes first, and no more is sealed than is sent soon.
    fn send_sealed(&mut self, socket: &SockRef<'_>, layers: &mut Layers) -> io::Result<()> {
        let mut clear = Vec::new();
        loop {
            if !self.send_wire(socket)? {
                return Ok(());
            }
            let count = self.sendable_clear().min(SEALED_BYTES_MAX);
            if count > 0 {
                clear.clear();
                self.copy_front(count, &mut clear);
                layers.seal(&clear, &mut self.sealed).map_err(io::Error::other)?;
                self.skip(count);
            } else if self.bytes == 0 && self.is_last {
                layers.say_goodbye(&mut self.sealed);
                self.is_last = false;
            } else {
                return Ok(());
            }
        }
    }

    /// Sends what was sealed; whether the kernel has all of it.
    fn send_wire(&mut self, socket: &SockRef<'_>) -> io::Result<bool> {
        while self.sealed_len() > 0 {
            match send_all(socket, &[IoSlice::new(&self.sealed[self.sealed_sent..])]) {
                Ok(sent) => {
                    self.sealed_sent += sent;
                    self.taken += sent;
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(false),
                Err(error) => return Err(error),
            }
        }
        (self.sealed, self.sealed_sent) = (Vec::new(), 0);
        Ok(true)
    }

    /// Copies the first bytes.
    fn copy_front(&self, mut count: usize, into: &mut Vec<u8>) {
        for piece in &self.pieces {
            let rest = piece.rest();
            let part = &rest[..rest.len().min(count)];
            into.extend_from_slice(part);
            count -= part.len();
            if count == 0 {
                return;
            }
        }
    }

    fn advance(&mut self, sent: usize) {
        self.taken += sent;
        self.skip(sent);
    }

    /// Forgets the first bytes: the kernel has them.
    pub fn skip(&mut self, mut sent: usize) {
        self.bytes -= sent;
        while sent > 0 {
            let piece = self.pieces.front_mut().expect("no more was sent than waited");
            let rest = piece.rest().len();
            if sent < rest {
                piece.sent += sent;
                return;
            }
            sent -= rest;
            self.pieces.pop_front();
        }
    }
}

/// One system call; interrupted ones are repeated.
///
/// The first slice may be empty, for a run of packets has no head of its own. Then one is left, and the call that takes no list
/// costs less.
pub fn send_all(socket: &SockRef<'_>, slices: &[IoSlice<'_>]) -> io::Result<usize> {
    let slices = if let [first, rest @ ..] = slices
        && first.is_empty()
    {
        rest
    } else {
        slices
    };
    loop {
        let sent = match slices {
            [only] => socket.send_with_flags(only, libc::MSG_NOSIGNAL),
            _ => socket.send_vectored_with_flags(slices, libc::MSG_NOSIGNAL),
        };
        match sent {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            sent => return sent,
        }
    }
}

impl Line {
    /// A line that has just come.
    pub fn new(key: ConnectionKey, fd: OwnedFd) -> Self {
        let state = LineState { is_fresh: true, ..LineState::default() };
        Self { key, fd, state, outbox: None, aside: None, first: NONE, last: NONE }
    }

    /// Its descriptor.
    pub fn fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }

    /// Its socket.
    pub fn socket(&self) -> SockRef<'_> {
        SockRef::from(&self.fd)
    }

    /// The same with layers between the socket and MQTT.
    #[must_use]
    pub fn with_layers(self, layers: Option<Layers>) -> Self {
        let aside = layers.map(|layers| Box::new(Aside { layers: Some(layers), ..Aside::default() }));
        Self { aside, ..self }
    }

    /// What stands between the socket and MQTT.
    pub fn layers(&mut self) -> Option<&mut Layers> {
        self.aside.as_mut()?.layers.as_mut()
    }

    /// Bytes came that are not wanted now.
    pub fn put_aside(&mut self, bytes: &[u8]) {
        self.aside.get_or_insert_default().unwanted.extend_from_slice(bytes);
    }

    /// Whether there are such bytes.
    pub fn has_unwanted(&self) -> bool {
        self.aside.as_ref().is_some_and(|aside| !aside.unwanted.is_empty())
    }

    /// Takes them: they are wanted now.
    pub fn take_unwanted(&mut self) -> Vec<u8> {
        let Some(aside) = &mut self.aside else { return Vec::new() };
        let unwanted = aside.unwanted.take();
        if aside.layers.is_none() {
            self.aside = None;
        }
        unwanted
    }

    /// Takes it apart.
    pub fn into_parts(self) -> LineParts {
        let layers = self.aside.and_then(|aside| aside.layers);
        LineParts { fd: self.fd, outbox: self.outbox, layers }
    }

    /// How many bytes wait for the kernel.
    pub fn backlog(&self) -> usize {
        self.outbox.as_ref().map_or(0, |outbox| outbox.len())
    }

    /// How many of them it may take now.
    pub fn sendable(&self) -> usize {
        self.outbox.as_ref().map_or(0, |outbox| outbox.sendable())
    }

    /// Whether it waits for its turn to be sent, since it gets what goes to many.
    pub fn is_late(&self) -> bool {
        self.outbox.as_ref().is_some_and(|outbox| outbox.late.is_some())
    }

    /// From now on it waits so. Whether it did not before, and how many more bytes wait.
    pub fn make_late(&mut self) -> (bool, usize) {
        let outbox = self.outbox.get_or_insert_default();
        let bytes = outbox.len();
        let before = outbox.late.replace(bytes);
        (before.is_none(), bytes - before.unwrap_or(0))
    }

    /// It waits no more; how many of its bytes were counted.
    pub fn forget_late(&mut self) -> usize {
        self.outbox.as_mut().and_then(|outbox| outbox.late.take()).unwrap_or(0)
    }

    /// The last change that something here waits for.
    pub fn last_promise(&self) -> Option<Serial> {
        self.outbox.as_ref().and_then(|outbox| outbox.promises.back()).map(|(change, _)| *change)
    }

    /// All changes up to this one are safe.
    pub fn keep_promises(&mut self, upto: Serial) {
        if let Some(outbox) = &mut self.outbox {
            outbox.keep_promises(upto);
        }
    }

    /// Sends what waits, as far as the kernel takes it.
    pub fn send_outbox(&mut self) -> io::Result<()> {
        let Some(outbox) = &mut self.outbox else { return Ok(()) };
        let socket = SockRef::from(&self.fd);
        match self.aside.as_mut().and_then(|aside| aside.layers.as_mut()) {
            Some(layers) => outbox.send_sealed(&socket, layers),
            None => outbox.send(&socket),
        }
    }

    /// Sends what the layers have to say themselves, in front of all that was not sealed; what the kernel does not take waits.
    /// How many bytes it took.
    pub fn send_wire(&mut self, wire: &[u8]) -> io::Result<usize> {
        let waits = self.outbox.as_ref().is_some_and(|outbox| outbox.sealed_len() > 0);
        let sent = match (waits, wire.is_empty()) {
            (true, _) | (_, true) => 0,
            (false, false) => match send_all(&self.socket(), &[IoSlice::new(wire)]) {
                Ok(sent) => sent,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => 0,
                Err(error) => return Err(error),
            },
        };
        if sent < wire.len() {
            self.outbox.get_or_insert_default().sealed.extend_from_slice(&wire[sent..]);
        }
        Ok(sent)
    }

    /// Whether the peer takes nothing of what its layers answer. What is sealed of MQTT may wait beside it, once there is some.
    pub fn is_unheard(&self) -> bool {
        let sealed = if self.state.is_fresh { 0 } else { SEALED_BYTES_MAX };
        self.outbox.as_ref().is_some_and(|outbox| outbox.sealed_len() > sealed + ANSWERS_BYTES_MAX)
    }

    /// Nothing follows: the layers say so, behind what waits.
    pub fn say_goodbye(&mut self) {
        if self.layers().is_some() {
            self.outbox.get_or_insert_default().is_last = true;
        }
    }

    /// The same to a peer that has left or is about to: in one attempt, for nobody waits for it.
    pub fn part(&mut self) {
        self.say_goodbye();
        // Who does not hear it has left already.
        let _ = self.send_outbox();
    }
}

/// The lines of one shard, by the index of the engine's key.
#[derive(Debug, Default)]
pub struct Lines {
    places: Pages<Option<Line>>,
    count: usize,
}

impl Lines {
    /// Takes in a line.
    ///
    /// # Panics
    /// When its place is taken: whoever frees a place in the engine has its line taken out before the next one comes.
    pub fn insert(&mut self, line: Line) {
        let index = line.key.index() as usize;
        while self.places.len() <= index {
            self.places.push(None);
        }
        let place = self.places.get_mut(index).expect("there are enough places now");
        assert!(place.is_none(), "the line of a connection that is gone was taken out");
        *place = Some(line);
        self.count += 1;
    }

    /// The line of a connection.
    pub fn get_mut(&mut self, key: ConnectionKey) -> Option<&mut Line> {
        self.places.get_mut(key.index() as usize)?.as_mut().filter(|line| line.key == key)
    }

    /// The line that a tag of the ring means.
    pub fn tagged(&mut self, tagged: ConnectionKey) -> Option<&mut Line> {
        let line = self.places.get_mut(tagged.index() as usize)?.as_mut()?;
        super::ring::is_same(tagged, line.key).then_some(line)
    }

    /// Takes a line out.
    pub fn remove(&mut self, key: ConnectionKey) -> Option<Line> {
        let line = self.places.get_mut(key.index() as usize)?.take_if(|line| line.key == key);
        self.count -= usize::from(line.is_some());
        line
    }

    /// The key of the line at this place, if there is one.
    pub fn key_at(&mut self, index: usize) -> Option<ConnectionKey> {
        self.places.get_mut(index)?.as_ref().map(|line| line.key)
    }

    /// All lines lie at places below this one.
    pub fn index_bound(&self) -> usize {
        self.places.len()
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.count
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// Bytes of the table itself.
    pub fn heap_bytes(&self) -> usize {
        self.places.heap_bytes()
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read;
    use std::os::unix::net::UnixStream;

    use super::*;

    fn key(generation: u64, index: u64) -> ConnectionKey {
        ConnectionKey::from_bits(generation << 32 | index).unwrap()
    }

    fn line(key: ConnectionKey) -> (Line, UnixStream) {
        let (ours, theirs) = UnixStream::pair().unwrap();
        ours.set_nonblocking(true).unwrap();
        theirs.set_nonblocking(true).unwrap();
        (Line::new(key, OwnedFd::from(ours)), theirs)
    }

    #[test]
    fn an_old_key_finds_no_line() {
        let mut lines = Lines::default();
        lines.insert(line(key(1, 4)).0);
        assert!(lines.get_mut(key(2, 4)).is_none());
        assert!(lines.remove(key(2, 4)).is_none());
        assert!(lines.remove(key(1, 4)).is_some());
        lines.insert(line(key(2, 4)).0);
        assert!(lines.tagged(key(1, 4)).is_none());
        assert!(lines.tagged(key(2, 4)).is_some());
        assert_eq!(lines.len(), 1);
    }

    #[test]
    fn an_outbox_sends_everything_in_order_however_little_the_kernel_takes() {
        let (mut line, mut peer) = line(key(1, 0));
        let outbox = line.outbox.get_or_insert_default();
        let mut expected = Vec::new();
        for number in 0..300_u32 {
            let bytes = number.to_be_bytes().repeat(500);
            if number % 3 == 0 {
                outbox.push_shared(&Payload::from(bytes.clone()), 4);
                expected.extend_from_slice(&bytes[4..]);
            } else {
                outbox.push(&bytes);
                expected.extend_from_slice(&bytes);
            }
        }
        assert_eq!(line.backlog(), expected.len());
        let mut heard = Vec::new();
        while line.backlog() > 0 {
            line.send_outbox().unwrap();
            let mut buffer = vec![0; 70_000];
            while let Ok(count) = peer.read(&mut buffer) {
                heard.extend_from_slice(&buffer[..count]);
            }
        }
        assert_eq!(line.outbox.as_ref().unwrap().taken, expected.len());
        assert!(heard == expected, "all bytes arrive in order");
    }

    #[test]
    fn a_line_is_small_while_idle() {
        assert!(size_of::<Option<Line>>() <= 48, "{} bytes", size_of::<Option<Line>>());
    }
}
