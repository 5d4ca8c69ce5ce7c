//! Lives of a broker under load, one after the other: publishers, durable subscribers, and their books, which outlive it.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use pregon::base::random::Random;
use pregon::mqtt::frame::{Next, PACKET_BYTES_MAX, next_frame};

use crate::patience::{Deadline, PATIENCE, Stopwatch};
use crate::process::Broker;
use crate::support::cast::{Cast, Inspector, Wires};

/// In one of so many turns somebody does what is done seldom.
const RESTLESS_IN: u64 = 300;

/// Real connections to the broker that runs now.
struct Sockets {
    address: SocketAddr,
    links: Vec<Option<TcpStream>>,
    /// The beginnings of packets.
    partial: Vec<Vec<u8>>,
}

impl Wires for Sockets {
    fn connect(&mut self) -> usize {
        let stream = TcpStream::connect(self.address)
            .ok()
            .filter(|stream| stream.set_nodelay(true).is_ok() && stream.set_nonblocking(true).is_ok());
        self.links.push(stream);
        self.partial.push(Vec::new());
        self.links.len() - 1
    }

    fn send(&mut self, link: usize, bytes: &[u8]) {
        // A few small packets: a socket that does not take them at once is as good as broken.
        let is_sent = self.links[link].as_mut().is_none_or(|stream| stream.write_all(bytes).is_ok());
        if !is_sent {
            self.links[link] = None;
        }
    }

    fn receive(&mut self, link: usize) -> Vec<u8> {
        let partial = &mut self.partial[link];
        let mut buffer = [0; 16 * 1024];
        while let Some(stream) = &mut self.links[link] {
            match stream.read(&mut buffer) {
                Ok(count) if count > 0 => partial.extend_from_slice(&buffer[..count]),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Ok(_) | Err(_) => self.links[link] = None,
            }
        }
        let mut whole = 0;
        while let Ok(Next::Frame(frame)) = next_frame(&partial[whole..], PACKET_BYTES_MAX) {
            whole += frame.len;
        }
        partial.drain(..whole).collect()
    }

    fn is_closed(&mut self, link: usize) -> bool {
        self.links[link].is_none()
    }

    fn close(&mut self, link: usize) {
        self.links[link] = None;
    }
}

/// Everybody who outlives the broker.
pub struct Lives {
    /// Chance, for whoever ends them.
    pub random: Random,
    sockets: Sockets,
    cast: Cast,
    /// How often somebody has seen everything that is retained.
    inspections: u32,
}

impl Lives {
    /// Three publishers, three durable subscribers, and two who leave wills.
    pub fn new(seed: u64) -> Self {
        let address = SocketAddr::from(([127, 0, 0, 1], 0));
        Self {
            random: Random::from_seed(seed),
            sockets: Sockets { address, links: Vec::new(), partial: Vec::new() },
            cast: Cast::new(3, 3, 2),
            inspections: 0,
        }
    }

    /// Everybody comes, says what there is to say, and hears.
    fn turn(&mut self) {
        self.cast.come(&mut self.sockets);
        self.cast.one_publishes(&mut self.random, &mut self.sockets);
        if self.random.chance(1, RESTLESS_IN) {
            self.cast.one_is_restless(&mut self.random, &mut self.sockets);
        }
        self.cast.hear(&mut self.sockets);
    }

    /// Somebody who was never there looks at what is retained, before anybody else comes.
    fn inspect(&mut self) -> Inspector {
        let mut inspector = Inspector::visit(&self.cast.books, &mut self.sockets);
        let patience = Deadline::after(PATIENCE);
        while !inspector.is_content() {
            inspector.hear(&self.cast.books, &mut self.sockets);
            assert!(patience.left().is_some(), "what must be retained does not come: {inspector:?}");
        }
        self.inspections += 1;
        inspector
    }

    /// So long everybody works with a broker, which has just begun to listen.
    pub fn live(&mut self, broker: &Broker, life: Duration) {
        self.sockets.address = broker.address;
        let mut inspector = self.inspect();
        let watch = Stopwatch::start();
        while watch.elapsed() < life {
            self.turn();
            inspector.hear(&self.cast.books, &mut self.sockets);
        }
    }

    /// The broker is dead. What it had said before it died was said. The kernel may close its connections a little later.
    pub fn hear_last_words(&mut self) {
        self.cast.note_crash();
        let patience = Deadline::after(PATIENCE);
        while self.cast.is_connected() {
            self.cast.hear(&mut self.sockets);
            assert!(patience.left().is_some(), "a connection outlives the broker: {:?}", self.cast);
        }
        // Those that nobody has looked at any more are dead, too.
        (self.sockets.links, self.sockets.partial) = (Vec::new(), Vec::new());
    }

    /// The last life: everybody stays until nothing is owed. Then the books must be right.
    pub fn finish(&mut self, broker: &Broker) {
        self.sockets.address = broker.address;
        let mut inspector = self.inspect();
        let patience = Deadline::after(Duration::from_mins(1));
        let mut is_quiet_since = Stopwatch::start();
        let mut received = 0;
        while is_quiet_since.elapsed() < Duration::from_secs(1) {
            self.cast.come(&mut self.sockets);
            self.cast.hear(&mut self.sockets);
            inspector.hear(&self.cast.books, &mut self.sockets);
            let now = self.cast.received();
            if now != received || !self.cast.is_at_rest() {
                (received, is_quiet_since) = (now, Stopwatch::start());
            }
            assert!(patience.left().is_some(), "the broker does not come to rest: {:?}", self.cast);
        }
        self.cast.judge();
        let promised = self.cast.books.promised().len();
        let has_happened = promised > 100 && received > 100 && self.inspections > 10;
        assert!(has_happened, "{promised} promises, {received} deliveries, {} inspections", self.inspections);
    }
}
