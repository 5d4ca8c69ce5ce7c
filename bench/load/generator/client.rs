//! A client of the broker without its socket: what it is for, how far it has come, what it has to say.

use pregon::mqtt::connack::ConnAck;
use pregon::mqtt::frame::Frame;
use pregon::mqtt::suback::SubAck;
use pregon::mqtt::{PacketType, QoS, Reason, Version};

use super::packets::{self, Session};

/// What a client is for.
#[derive(Clone, Debug)]
pub enum Role {
    /// To be connected.
    Holder,
    /// To send the messages of the publisher of this number.
    Publisher(u32),
    /// To receive messages.
    Subscriber {
        /// Its place in the audience of each of its publishers.
        slot: u32,
        /// The numbers of the publishers that it hears: the first one, and the one behind the last.
        publishers: (u32, u32),
    },
}

/// How far a client has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// CONNECT is on its way.
    Connecting,
    /// SUBSCRIBE is on its way.
    Subscribing,
    /// It does what it is for.
    Ready,
    /// The broker has refused it or ended the connection.
    Gone,
}

/// One client.
#[derive(Debug)]
pub struct Client {
    /// What it is for.
    pub role: Role,
    /// How far it has come.
    pub stage: Stage,
    /// What it asks of its session.
    session: Session,
    /// What it subscribes to.
    filter: Option<Box<str>>,
    /// When it began to connect, in nanoseconds.
    pub opened_ns: u64,
    /// Bytes that its socket has not taken yet.
    pub outbox: Vec<u8>,
}

/// What an answer to CONNECT or SUBSCRIBE has come to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Welcome {
    /// CONNACK; SUBSCRIBE follows if there is a filter.
    Connected {
        /// The Receive Maximum of the broker if it named one.
        receive_maximum: Option<u16>,
        /// Whether the broker had no session of before where there should be one, or had one where there should be none.
        is_odd: bool,
    },
    /// SUBACK: all is granted.
    Subscribed,
    /// The broker says no.
    Refused(Reason),
    /// The packet is malformed or came at a wrong time.
    Wrong,
}

impl Client {
    /// A client that is about to connect.
    pub fn new(
        version: Version,
        role: Role,
        client_id: &str,
        session: Session,
        filter: Option<&str>,
        now_ns: u64,
    ) -> Self {
        let mut outbox = Vec::new();
        packets::connect(version, client_id, session, &mut outbox);
        Client { role, stage: Stage::Connecting, session, filter: filter.map(Box::from), opened_ns: now_ns, outbox }
    }

    /// CONNACK or SUBACK has come.
    pub fn welcome(&mut self, version: Version, qos: QoS, frame: &Frame<'_>) -> Welcome {
        let welcome = match (self.stage, PacketType::of_first_byte(frame.first)) {
            (Stage::Connecting, Some(PacketType::ConnAck)) => match ConnAck::decode(version, frame.body) {
                Ok(answer) if answer.reason.is_error() => Welcome::Refused(answer.reason),
                Ok(answer) => Welcome::Connected {
                    receive_maximum: answer.properties.receive_maximum(),
                    is_odd: self.is_odd(version, answer.session_present),
                },
                Err(_) => Welcome::Wrong, // what is wrong with it is the matter of other tests
            },
            (Stage::Subscribing, Some(PacketType::SubAck)) => match SubAck::decode(version, frame.body) {
                Ok(answer) => match answer.reasons.iter().find(|reason| *reason != Reason::granted(qos)) {
                    Some(reason) => Welcome::Refused(reason),
                    None => Welcome::Subscribed,
                },
                Err(_) => Welcome::Wrong, // as above
            },
            _ => Welcome::Wrong,
        };
        self.stage = match (welcome, self.filter.take()) {
            (Welcome::Connected { .. }, Some(filter)) => {
                packets::subscribe(version, &filter, qos, &mut self.outbox);
                Stage::Subscribing
            }
            (Welcome::Connected { .. } | Welcome::Subscribed, _) => Stage::Ready,
            (Welcome::Refused(_), _) => Stage::Gone,
            (Welcome::Wrong, _) => self.stage,
        };
        welcome
    }

    /// Whether this is not what is to be said of its session. Before 3.1.1 nothing is said of it.
    fn is_odd(&self, version: Version, is_present: bool) -> bool {
        version != Version::V31 && is_present != (self.session == Session::Resumed)
    }
}
