//! The relay itself: one thread, epoll by the edge, one write a connection and turn.

use std::io::{self, ErrorKind, Read, Write};
use std::net::SocketAddr;

use mio::net::{TcpListener, TcpStream};
use mio::{Events, Interest, Poll, Token};
use pregon::mqtt::PacketType;
use pregon::mqtt::frame::{Frame, Next, next_frame};
use pregon::mqtt::subscribe::Subscribe;
use pregon::mqtt::{Version, connect::Connect};

/// What one read takes at most; no packet may be larger.
const BUFFER_BYTES: usize = 1024 * 1024;
/// Bytes that wait for slow subscribers; past them no publisher is read.
const WAITING_BYTES_MAX: usize = 4 * 1024 * 1024;
const LISTENER: Token = Token(usize::MAX);

/// To whom a message goes.
#[derive(Clone, Copy, Debug)]
pub enum Target {
    /// To every subscriber.
    Everyone,
    /// To the client whose number is smaller by so many.
    Partner(usize),
}

/// A connection.
struct Peer {
    stream: TcpStream,
    version: Version,
    /// The number behind the last hyphen of its client identifier.
    number: usize,
    is_subscriber: bool,
    /// A packet without its end.
    partial: Vec<u8>,
    /// What the socket has not taken.
    outbox: Vec<u8>,
    is_readable: bool,
    is_writable: bool,
}

/// All connections.
pub struct Relay {
    poll: Poll,
    listener: TcpListener,
    target: Target,
    peers: Vec<Option<Peer>>,
    /// Which peer has a client number.
    by_number: Vec<usize>,
    buffer: Vec<u8>,
    /// What all subscribers get at the end of the turn.
    broadcast: Vec<u8>,
    /// Peers with something to read or to write.
    touched: Vec<usize>,
    waiting_bytes: usize,
}

impl Relay {
    /// Listens.
    pub fn listen(address: SocketAddr, target: Target) -> io::Result<Self> {
        let (poll, mut listener) = (Poll::new()?, TcpListener::bind(address)?);
        poll.registry().register(&mut listener, LISTENER, Interest::READABLE)?;
        let (peers, by_number, broadcast, touched) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        let buffer = vec![0; BUFFER_BYTES];
        Ok(Relay { poll, listener, target, peers, by_number, buffer, broadcast, touched, waiting_bytes: 0 })
    }

    /// Where it listens.
    pub fn address(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }

    /// Relays until a system call fails.
    pub fn run(mut self) -> io::Result<()> {
        let mut events = Events::with_capacity(1_024);
        let mut work = Vec::new();
        loop {
            match self.poll.poll(&mut events, None) {
                // Whoever traces the relay interrupts it.
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                polled => polled?,
            }
            for event in &events {
                match event.token() {
                    LISTENER => self.accept()?,
                    Token(at) => {
                        let Some(peer) = &mut self.peers[at] else { continue };
                        peer.is_readable |= event.is_readable() || event.is_read_closed();
                        peer.is_writable |= event.is_writable();
                        self.touched.push(at);
                    }
                }
            }
            // Reading fills outboxes, which touches more peers; what was touched in this turn is written in this turn.
            while !self.touched.is_empty() {
                std::mem::swap(&mut work, &mut self.touched);
                for &at in &work {
                    self.read(at);
                }
                self.send_broadcast();
                work.drain(..).for_each(|at| self.flush(at));
                self.touched.dedup();
            }
        }
    }

    fn accept(&mut self) -> io::Result<()> {
        loop {
            let mut stream = match self.listener.accept() {
                Ok((stream, _)) => stream,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
                Err(error) => return Err(error),
            };
            stream.set_nodelay(true)?;
            let token = Token(self.peers.len());
            self.poll.registry().register(&mut stream, token, Interest::READABLE | Interest::WRITABLE)?;
            let (partial, outbox) = (Vec::new(), Vec::new());
            let (is_subscriber, is_readable, is_writable) = (false, false, false);
            let (version, number) = (Version::V311, 0);
            self.peers.push(Some(Peer {
                stream,
                version,
                number,
                is_subscriber,
                partial,
                outbox,
                is_readable,
                is_writable,
            }));
        }
    }

    /// Reads a peer once and relays what came.
    fn read(&mut self, at: usize) {
        let Some(mut peer) = self.peers[at].take() else { return };
        let must_wait = self.waiting_bytes > WAITING_BYTES_MAX && !peer.is_subscriber;
        if !peer.is_readable || must_wait {
            self.peers[at] = Some(peer);
            return;
        }
        let mut buffer = std::mem::take(&mut self.buffer);
        let held = peer.partial.len();
        buffer[..held].copy_from_slice(&peer.partial);
        peer.partial.clear();
        match peer.stream.read(&mut buffer[held..]) {
            Ok(size) if size > 0 => {
                let received = &buffer[..held + size];
                peer.is_readable = received.len() == buffer.len();
                if peer.is_readable {
                    self.touched.push(at);
                }
                match self.walk(at, &mut peer, received) {
                    Some(done) => {
                        peer.partial.extend_from_slice(&received[done..]);
                        self.peers[at] = Some(peer);
                    }
                    None => self.drop_peer(&peer),
                }
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock => {
                peer.is_readable = false;
                peer.partial.extend_from_slice(&buffer[..held]);
                self.peers[at] = Some(peer);
            }
            Ok(_) | Err(_) => self.drop_peer(&peer), // it has left, one way or the other
        }
        self.buffer = buffer;
    }

    fn drop_peer(&mut self, peer: &Peer) {
        self.waiting_bytes -= peer.outbox.len();
    }

    /// Walks the packet borders; how many bytes are whole packets, `None` if what came is no MQTT.
    fn walk(&mut self, at: usize, peer: &mut Peer, bytes: &[u8]) -> Option<usize> {
        let (mut done, mut run_start) = (0, 0);
        while let Next::Frame(frame) = next_frame(&bytes[done..], u32::MAX).ok()? {
            let packet = PacketType::of_first_byte(frame.first)?;
            if packet != PacketType::Publish {
                self.relay(peer.number, &bytes[run_start..done]);
                run_start = done + frame.len;
            }
            done += frame.len;
            let before = peer.outbox.len();
            self.answer(at, peer, packet, &frame)?;
            self.waiting_bytes += peer.outbox.len() - before;
        }
        self.relay(peer.number, &bytes[run_start..done]);
        Some(done)
    }

    /// A run of whole messages goes on its way as it came.
    fn relay(&mut self, from: usize, run: &[u8]) {
        if run.is_empty() {
            return;
        }
        match self.target {
            Target::Everyone => self.broadcast.extend_from_slice(run),
            Target::Partner(distance) => {
                let partner = from.checked_sub(distance).and_then(|number| self.by_number.get(number)).copied();
                let Some((at, Some(peer))) = partner.and_then(|at| Some((at, self.peers.get_mut(at)?.as_mut()))) else {
                    return;
                };
                peer.outbox.extend_from_slice(run);
                self.waiting_bytes += run.len();
                self.touched.push(at);
            }
        }
    }

    /// The canned answers, and acknowledgements that promise nothing.
    fn answer(&mut self, at: usize, peer: &mut Peer, packet: PacketType, frame: &Frame<'_>) -> Option<()> {
        let has_properties = peer.version.has_properties();
        match packet {
            PacketType::Publish if frame.first & 0b110 == 0 => {}
            PacketType::Publish => {
                let topic_len = usize::from(u16::from_be_bytes(*frame.body.first_chunk()?));
                let id = frame.body.get(2 + topic_len..)?.first_chunk()?;
                let kind = if frame.first & 0b100 == 0 { PacketType::PubAck } else { PacketType::PubRec };
                acknowledge(kind, *id, &mut peer.outbox);
            }
            PacketType::PubRec => acknowledge(PacketType::PubRel, *frame.body.first_chunk()?, &mut peer.outbox),
            PacketType::PubRel => acknowledge(PacketType::PubComp, *frame.body.first_chunk()?, &mut peer.outbox),
            PacketType::Connect => {
                let connect = Connect::decode(frame.first, frame.body).ok()?;
                peer.version = connect.version;
                let number = connect.client_id.rsplit('-').next().and_then(|number| number.parse().ok());
                peer.number = number.unwrap_or(0);
                self.by_number.resize(self.by_number.len().max(peer.number + 1), usize::MAX);
                self.by_number[peer.number] = at;
                let answer: &[u8] = if peer.version.has_properties() { &[0x20, 3, 0, 0, 0] } else { &[0x20, 2, 0, 0] };
                peer.outbox.extend_from_slice(answer);
            }
            PacketType::Subscribe => {
                let subscribe = Subscribe::decode(peer.version, frame.body).ok()?;
                let qos = subscribe.entries().next()?.qos.bits();
                let [high, low] = subscribe.id.get().to_be_bytes();
                let answer: &[u8] =
                    if has_properties { &[0x90, 4, high, low, 0, qos] } else { &[0x90, 3, high, low, qos] };
                peer.outbox.extend_from_slice(answer);
                peer.is_subscriber = true;
            }
            PacketType::ConnAck
            | PacketType::PubAck
            | PacketType::PubComp
            | PacketType::SubAck
            | PacketType::Unsubscribe
            | PacketType::UnsubAck
            | PacketType::PingReq
            | PacketType::PingResp
            | PacketType::Disconnect
            | PacketType::Auth => {}
        }
        Some(())
    }

    /// What the turn has brought goes to all subscribers, straight from where it lies as far as their sockets take it.
    fn send_broadcast(&mut self) {
        if self.broadcast.is_empty() {
            return;
        }
        for peer in self.peers.iter_mut().flatten().filter(|peer| peer.is_subscriber) {
            let mut sent = 0;
            if peer.is_writable && peer.outbox.is_empty() {
                sent = peer.stream.write(&self.broadcast).unwrap_or(0); // an error shows again when the peer is read
                peer.is_writable = sent == self.broadcast.len();
            }
            peer.outbox.extend_from_slice(&self.broadcast[sent..]);
            self.waiting_bytes += self.broadcast.len() - sent;
        }
        self.broadcast.clear();
    }

    fn flush(&mut self, at: usize) {
        let Some(peer) = &mut self.peers[at] else { return };
        if peer.is_writable && !peer.outbox.is_empty() {
            let sent = peer.stream.write(&peer.outbox).unwrap_or(0); // as above
            peer.is_writable = sent == peer.outbox.len();
            peer.outbox.drain(..sent);
            let was_held = self.waiting_bytes > WAITING_BYTES_MAX;
            self.waiting_bytes -= sent;
            if was_held && self.waiting_bytes <= WAITING_BYTES_MAX {
                self.touched.extend((0..self.peers.len()).filter(|&at| is_unread(self.peers[at].as_ref())));
            }
        }
    }
}

fn is_unread(peer: Option<&Peer>) -> bool {
    peer.is_some_and(|peer| peer.is_readable)
}

fn acknowledge(packet: PacketType, id: [u8; 2], out: &mut Vec<u8>) {
    let flags = if packet == PacketType::PubRel { 0b0010 } else { 0 };
    out.extend_from_slice(&[packet.bits() << 4 | flags, 2, id[0], id[1]]);
}
