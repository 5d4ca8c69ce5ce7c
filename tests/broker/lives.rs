//! Lives of a broker under load, one after the other: publishers, durable subscribers, and their books, which outlive it.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use pregon::base::random::Random;
use pregon::mqtt::frame::{Next, PACKET_BYTES_MAX, next_frame};

use crate::patience::{Deadline, Stopwatch};
use crate::process::Broker;
use crate::support::cast::{Messages, Publisher, Subscriber, Wires, judge};

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
}

/// Everybody who outlives the broker.
pub struct Lives {
    /// Chance, for whoever ends them.
    pub random: Random,
    sockets: Sockets,
    publishers: Vec<Publisher>,
    subscribers: Vec<Subscriber>,
    messages: Messages,
}

impl Lives {
    /// Three publishers and three durable subscribers.
    pub fn new(seed: u64) -> Self {
        let address = SocketAddr::from(([127, 0, 0, 1], 0));
        Self {
            random: Random::from_seed(seed),
            sockets: Sockets { address, links: Vec::new(), partial: Vec::new() },
            publishers: (0..3).map(Publisher::new).collect(),
            subscribers: (0..3).map(Subscriber::new).collect(),
            messages: Messages::new(),
        }
    }

    /// Everybody says what there is to say.
    fn turn(&mut self, is_publishing: bool) {
        for (who, publisher) in self.publishers.iter_mut().enumerate() {
            publisher.come(&mut self.sockets);
            if is_publishing && publisher.is_free() {
                let qos = if self.random.chance(1, 2) { 1 } else { 2 };
                let message = u32::try_from(self.messages.len()).expect("few messages");
                self.messages.push((who, qos));
                publisher.publish(message, qos, &mut self.sockets);
            }
            publisher.hear(&mut self.sockets);
        }
        for subscriber in &mut self.subscribers {
            subscriber.come(&mut self.sockets);
            subscriber.hear(&self.messages, &mut self.sockets);
        }
    }

    /// So long everybody works with a broker.
    pub fn live(&mut self, broker: &Broker, life: Duration) {
        self.sockets.address = broker.address;
        let watch = Stopwatch::start();
        while watch.elapsed() < life {
            self.turn(true);
        }
    }

    /// The broker is dead. What it had said before it died was said.
    pub fn hear_last_words(&mut self) {
        self.turn(false);
    }

    /// The last life: everybody stays until nothing is owed. Then the books must be right.
    pub fn finish(&mut self, broker: &Broker) {
        self.sockets.address = broker.address;
        let patience = Deadline::after(Duration::from_mins(1));
        let mut is_quiet_since = Stopwatch::start();
        let mut received = 0;
        while is_quiet_since.elapsed() < Duration::from_secs(1) {
            self.turn(false);
            let now = self.subscribers.iter().map(Subscriber::received).sum();
            let is_done = self.publishers.iter().all(|publisher| publisher.open.is_empty());
            if now != received || !is_done {
                (received, is_quiet_since) = (now, Stopwatch::start());
            }
            assert!(patience.left().is_some(), "the broker does not come to rest: {:?}", self.publishers);
        }
        judge(&self.publishers, &self.subscribers, &self.messages);
        let promised: usize = self.publishers.iter().map(|publisher| publisher.promised.len()).sum();
        assert!(promised > 100 && received > 100, "{promised} promises, {received} deliveries: too little happens");
    }
}
