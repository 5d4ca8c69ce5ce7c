//! A client of the storm without its socket: what it says, and what it makes of the answers.

use pregon::mqtt::connack::ConnAck;
use pregon::mqtt::connect::Connect;
use pregon::mqtt::frame::Frame;
use pregon::mqtt::properties::{Properties, Property, PropertyBuffer};
use pregon::mqtt::publish::Publish;
use pregon::mqtt::subscribe::{RequestBuffer, Requested, Subscribe};
use pregon::mqtt::{PacketId, PacketType, QoS, Reason, Version};

/// Longer than any run, in seconds.
const LASTING_S: u32 = 86_400;

/// How far a client has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// It is not there.
    Away,
    /// CONNECT is on its way.
    Connecting,
    /// SUBSCRIBE is on its way.
    Subscribing,
    /// It is there, and what it is owed has not all come.
    Collecting,
    /// It is there and has everything.
    Back,
}

/// What a packet has come to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// CONNACK with success.
    Welcome {
        /// Whether the session was there.
        is_present: bool,
    },
    /// The broker says no.
    Refused(Reason),
    /// A message, for the first time or again.
    Message {
        /// Whether it has come before.
        is_again: bool,
    },
    /// Nothing that is counted.
    Other,
    /// The packet should not be here, or is malformed.
    Wrong,
}

/// One client.
#[derive(Debug)]
pub struct Client {
    number: u32,
    /// How far it has come.
    pub stage: Stage,
    /// Attempts of this wave.
    pub tries: u32,
    /// When it began to connect.
    pub opened_ns: u64,
    /// Messages that have come, a bit each.
    seen: u64,
}

/// What a client asks for.
#[derive(Clone, Copy, Debug)]
pub struct Terms<'a> {
    /// Whether the session is new.
    pub is_first: bool,
    /// Messages that it is owed.
    pub owed: u32,
    /// With what it proves who it is.
    pub password: Option<&'a str>,
}

impl Client {
    /// A client that has never been there.
    pub fn new(number: u32) -> Self {
        Self { number, stage: Stage::Away, tries: 0, opened_ns: 0, seen: 0 }
    }

    /// How many messages it has.
    pub fn seen(&self) -> u32 {
        self.seen.count_ones()
    }

    /// Appends CONNECT.
    pub fn connect(&mut self, terms: Terms<'_>, out: &mut Vec<u8>) {
        self.stage = Stage::Connecting;
        let (id, user) = (format!("storm-{:05}", self.number), format!("user-{}", self.number));
        let mut properties = PropertyBuffer::new();
        properties.push(Property::SessionExpiry(LASTING_S));
        let packet = Connect {
            version: Version::V5,
            bridge: false,
            clean_start: false,
            keep_alive: u16::MAX,
            client_id: &id,
            will: None,
            user_name: terms.password.map(|_| &*user),
            password: terms.password.map(str::as_bytes),
            properties: properties.as_properties(),
        };
        packet.encode(out);
    }

    /// A packet has come; what has to be answered is appended.
    pub fn hear(&mut self, frame: Frame<'_>, terms: Terms<'_>, out: &mut Vec<u8>) -> Step {
        match (self.stage, PacketType::of_first_byte(frame.first)) {
            (Stage::Connecting, Some(PacketType::ConnAck)) => match ConnAck::decode(Version::V5, frame.body) {
                Ok(answer) if answer.reason.is_error() => Step::Refused(answer.reason),
                Ok(answer) => {
                    if terms.is_first {
                        self.stage = Stage::Subscribing;
                        let mut requests = RequestBuffer::default();
                        requests.push(&Requested::new(&topic(self.number), QoS::AtLeastOnce));
                        let id = PacketId::new(1).expect("one is not zero");
                        Subscribe::new(id, Properties::NONE, &requests).encode(Version::V5, out);
                    } else {
                        self.collected(terms);
                    }
                    Step::Welcome { is_present: answer.session_present }
                }
                Err(_) => Step::Wrong, // what is wrong with it is the matter of other tests
            },
            (Stage::Subscribing, Some(PacketType::SubAck)) => {
                self.stage = Stage::Back;
                Step::Other
            }
            (Stage::Collecting | Stage::Back, Some(PacketType::Publish)) => self.message(frame, terms, out),
            (_, Some(PacketType::Disconnect)) => Step::Other, // the end of the connection is counted
            _ => Step::Wrong,
        }
    }

    fn message(&mut self, frame: Frame<'_>, terms: Terms<'_>, out: &mut Vec<u8>) -> Step {
        let Ok(publish) = Publish::decode_from_server(Version::V5, frame.first, frame.body) else { return Step::Wrong };
        let Some(bit) = publish.payload.first().filter(|bit| u32::from(**bit) < terms.owed) else { return Step::Wrong };
        if let Some(id) = publish.packet_id {
            let [high, low] = id.get().to_be_bytes();
            out.extend_from_slice(&[PacketType::PubAck.bits() << 4, 2, high, low]);
        }
        let is_again = self.seen >> bit & 1 == 1;
        self.seen |= 1 << bit;
        self.collected(terms);
        Step::Message { is_again }
    }

    fn collected(&mut self, terms: Terms<'_>) {
        self.stage = if self.seen() < terms.owed { Stage::Collecting } else { Stage::Back };
    }
}

/// What the client of this number has subscribed to.
pub fn topic(number: u32) -> String {
    format!("storm/{number:05}")
}
