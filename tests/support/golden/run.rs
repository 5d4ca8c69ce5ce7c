//! Plays one conversation over a wire and says where it went otherwise than written.

use std::collections::{BTreeMap, VecDeque};
use std::fmt;

use super::expectation::Expectation;
use super::expression::{Environment, Expression};
use super::script::{Action, Conversation, Level};
use super::{Delivery, Wire, packet};

/// How often a wire is asked again before silence counts as an answer.
const ASK_AGAIN_MAX: usize = 50;
const PINGREQ: [u8; 2] = [0xc0, 0];
const PINGRESP: [u8; 2] = [0xd0, 0];

/// A conversation that went otherwise than written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// The conversation.
    pub name: String,
    /// The step as it is written, or `the end`.
    pub step: String,
    /// What happened instead.
    pub reason: String,
}

impl fmt::Display for Failure {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}: at `{}`: {}", self.name, self.step, self.reason)
    }
}

/// Plays one conversation; all its connections are closed afterwards.
///
/// # Errors
/// The first step that went otherwise than written.
pub fn run(wire: &mut impl Wire, conversation: &Conversation, delivery: Delivery, salt: &str) -> Result<(), Failure> {
    let environment = Environment { tag: conversation.tag(salt), ..Environment::default() };
    let mut stage = Stage { wire, delivery, environment, peers: BTreeMap::new() };
    let result = stage.play(conversation);
    stage.leave();
    result.map_err(|(step, reason)| Failure { name: conversation.name.clone(), step, reason })
}

/// One client of the conversation.
struct Peer {
    connection: usize,
    is_accepted: bool,
    /// Received, not yet a whole packet.
    partial: Vec<u8>,
    /// Whole packets that no step has asked for yet.
    unread: VecDeque<Vec<u8>>,
    /// What may come once without being asked for.
    allowed: Vec<Expectation>,
}

enum Event {
    Packet(Vec<u8>),
    Closed,
    Silence,
}

impl fmt::Display for Event {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Event::Packet(bytes) => {
                write!(out, "received ")?;
                bytes.iter().try_for_each(|byte| write!(out, "{byte:02x}"))
            }
            Event::Closed => write!(out, "the server closed"),
            Event::Silence => write!(out, "nothing came"),
        }
    }
}

struct Stage<'a, W> {
    wire: &'a mut W,
    delivery: Delivery,
    environment: Environment,
    /// The clients with an open connection, by their letters.
    peers: BTreeMap<char, Peer>,
}

impl<W: Wire> Stage<'_, W> {
    fn play(&mut self, conversation: &Conversation) -> Result<(), (String, String)> {
        for step in &conversation.steps {
            self.step(step.client, &step.action).map_err(|reason| (step.text.clone(), reason))?;
        }
        self.expect_silence_at_the_end().map_err(|reason| ("the end".to_owned(), reason))
    }

    fn leave(&mut self) {
        for peer in std::mem::take(&mut self.peers).into_values() {
            self.wire.close(peer.connection);
        }
    }

    fn step(&mut self, client: char, action: &Action) -> Result<(), String> {
        match action {
            Action::Dial => self.dial(client),
            Action::Hangup => self.hang_up(client),
            Action::Hello(level) => self.hello(client, *level),
            Action::Send(expression) => self.send(client, expression),
            Action::Expect(expectation) => self.expect_all(client, std::slice::from_ref(expectation)),
            Action::ExpectOrClosed(expectation, reasons) => self.expect_or_close(client, expectation, reasons),
            Action::ExpectAll(expectations) => self.expect_all(client, expectations),
            Action::Allow(expectation) => {
                self.peer(client)?.allowed.push(expectation.clone());
                Ok(())
            }
            Action::Closed(reasons) => self.expect_close(client, &Goodbye::Disconnect(reasons)),
            Action::Refused(reasons) => self.expect_close(client, &Goodbye::ConnAck(reasons)),
            Action::Open => self.expect_open(client),
            Action::Nothing => self.expect_nothing(client),
        }
    }

    fn dial(&mut self, client: char) -> Result<(), String> {
        if self.peers.contains_key(&client) {
            return Err("the connection is still open".to_owned());
        }
        let connection = self.wire.connect();
        let (partial, unread, allowed) = (Vec::new(), VecDeque::new(), Vec::new());
        self.peers.insert(client, Peer { connection, is_accepted: false, partial, unread, allowed });
        Ok(())
    }

    fn hang_up(&mut self, client: char) -> Result<(), String> {
        let connection = self.peer(client)?.connection;
        self.wire.close(connection);
        self.peers.remove(&client);
        Ok(())
    }

    fn hello(&mut self, client: char, level: Level) -> Result<(), String> {
        let (number, accepted) = match level {
            Level::V31 => (3, "20020000"),
            Level::V311 => (4, "20020000"),
            Level::V5 => (5, "connack5 0 00"),
        };
        self.send(client, &Expression::parse(&format!("connect{number}(\"@{client}\")"))?)?;
        self.expect_all(client, &[Expectation::parse(accepted)?])
    }

    fn send(&mut self, client: char, expression: &Expression) -> Result<(), String> {
        if !self.peers.contains_key(&client) {
            self.dial(client)?;
        }
        let bytes = expression.bytes(&self.environment)?;
        self.send_bytes(client, &bytes)
    }

    fn send_bytes(&mut self, client: char, bytes: &[u8]) -> Result<(), String> {
        let connection = self.peer(client)?.connection;
        match self.delivery {
            Delivery::Whole => self.wire.send(connection, bytes),
            Delivery::ByteByByte => bytes.iter().for_each(|byte| self.wire.send(connection, &[*byte])),
        }
        Ok(())
    }

    fn expect_all(&mut self, client: char, expectations: &[Expectation]) -> Result<(), String> {
        let mut missing: Vec<&Expectation> = expectations.iter().collect();
        while !missing.is_empty() {
            let event = self.next(client)?;
            let Event::Packet(packet) = &event else {
                return Err(event.to_string());
            };
            if let Some(at) = missing.iter().position(|expected| expected.matches(packet, &mut self.environment)) {
                missing.remove(at);
            } else if !self.is_allowed(client, packet)? {
                return Err(event.to_string());
            }
        }
        Ok(())
    }

    fn expect_or_close(&mut self, client: char, expectation: &Expectation, reasons: &[u8]) -> Result<(), String> {
        match self.next(client)? {
            Event::Packet(packet) if expectation.matches(&packet, &mut self.environment) => Ok(()),
            Event::Packet(packet) => {
                self.peer(client)?.unread.push_front(packet);
                self.expect_close(client, &Goodbye::Disconnect(reasons))
            }
            Event::Closed => self.expect_close(client, &Goodbye::Disconnect(reasons)),
            event @ Event::Silence => Err(event.to_string()),
        }
    }

    fn expect_close(&mut self, client: char, goodbye: &Goodbye<'_>) -> Result<(), String> {
        let mut is_said = false;
        loop {
            match self.next(client)? {
                Event::Closed => {
                    self.peers.remove(&client);
                    return Ok(());
                }
                // [MQTT-3.14.4-1] nothing follows a DISCONNECT, nor a refusing CONNACK.
                Event::Packet(packet) if !is_said && goodbye.fits(&packet) => is_said = true,
                Event::Packet(packet) if !is_said && self.is_allowed(client, &packet)? => {}
                event @ (Event::Packet(_) | Event::Silence) => {
                    return Err(format!("not closed: {event}"));
                }
            }
        }
    }

    fn expect_open(&mut self, client: char) -> Result<(), String> {
        self.send_bytes(client, &PINGREQ)?;
        let mut earlier = VecDeque::new();
        loop {
            match self.next(client)? {
                Event::Packet(packet) if packet == PINGRESP => {
                    self.peer(client)?.unread = earlier;
                    return Ok(());
                }
                Event::Packet(packet) => earlier.push_back(packet),
                event @ (Event::Closed | Event::Silence) => {
                    return Err(format!("PINGREQ is not answered: {event}"));
                }
            }
        }
    }

    fn expect_nothing(&mut self, client: char) -> Result<(), String> {
        self.send_bytes(client, &PINGREQ)?;
        loop {
            match self.next(client)? {
                Event::Packet(packet) if packet == PINGRESP => return Ok(()),
                Event::Packet(packet) if self.is_allowed(client, &packet)? => {}
                event => return Err(format!("instead of nothing: {event}")),
            }
        }
    }

    /// Whoever was accepted and not closed is open still, and has nothing unread.
    fn expect_silence_at_the_end(&mut self) -> Result<(), String> {
        let clients: Vec<char> = self.peers.keys().copied().collect();
        for client in clients {
            if self.peer(client)?.is_accepted {
                self.expect_nothing(client).map_err(|reason| format!("client {client}: {reason}"))?;
            } else if let event @ Event::Packet(_) = self.next(client)? {
                return Err(format!("client {client}: {event}"));
            }
        }
        Ok(())
    }

    fn is_allowed(&mut self, client: char, packet: &[u8]) -> Result<bool, String> {
        let mut allowed = std::mem::take(&mut self.peer(client)?.allowed);
        let found = allowed.iter().position(|expected| expected.matches(packet, &mut self.environment));
        if let Some(at) = found {
            allowed.remove(at);
        }
        self.peer(client)?.allowed = allowed;
        Ok(found.is_some())
    }

    fn peer(&mut self, client: char) -> Result<&mut Peer, String> {
        self.peers.get_mut(&client).ok_or_else(|| format!("client {client} has no connection"))
    }

    fn next(&mut self, client: char) -> Result<Event, String> {
        let peer = self.peers.get_mut(&client).ok_or_else(|| format!("client {client} has no connection"))?;
        for _ in 0..ASK_AGAIN_MAX {
            if let Some(packet) = peer.take()? {
                return Ok(Event::Packet(packet));
            }
            let arrived = self.wire.receive(peer.connection);
            if arrived.is_empty() && self.wire.is_closed(peer.connection) {
                return if peer.partial.is_empty() {
                    Ok(Event::Closed)
                } else {
                    Err("closed inside a packet".to_owned())
                };
            }
            peer.partial.extend(arrived);
        }
        if peer.partial.is_empty() { Ok(Event::Silence) } else { Err("a packet never became whole".to_owned()) }
    }
}

impl Peer {
    fn take(&mut self) -> Result<Option<Vec<u8>>, String> {
        if let Some(packet) = self.unread.pop_front() {
            return Ok(Some(packet));
        }
        let whole = packet::length(&self.partial)?.filter(|length| *length <= self.partial.len());
        let Some(length) = whole else { return Ok(None) };
        let rest = self.partial.split_off(length);
        let packet = std::mem::replace(&mut self.partial, rest);
        self.is_accepted |= packet[0] == 0x20 && packet.get(3) == Some(&0);
        Ok(Some(packet))
    }
}

/// What a server may say before it closes.
enum Goodbye<'a> {
    Disconnect(&'a [u8]),
    ConnAck(&'a [u8]),
}

impl Goodbye<'_> {
    fn fits(&self, packet: &[u8]) -> bool {
        match self {
            Goodbye::Disconnect(reasons) => {
                packet::disconnect5_reason(packet).is_some_and(|reason| reasons.contains(&reason))
            }
            Goodbye::ConnAck(codes) => match packet {
                [0x20, 2, 0, code] => codes.contains(code),
                // [MQTT-3.2.2-6] a refusal has Session Present 0.
                packet => packet::ConnAck5::parse(packet)
                    .is_some_and(|found| !found.session_present && codes.contains(&found.reason)),
            },
        }
    }
}
