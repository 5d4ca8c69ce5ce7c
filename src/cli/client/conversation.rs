//! Which messages are under way in both directions, and what the two sides have agreed on.

use std::collections::{BTreeMap, BTreeSet};

use super::error::ClientError;
use crate::mqtt::ack::Ack;
use crate::mqtt::connack::ConnAck;
use crate::mqtt::disconnect::Disconnect;
use crate::mqtt::frame::PACKET_BYTES_MAX;
use crate::mqtt::packet::Packet;
use crate::mqtt::properties::{Properties, Property};
use crate::mqtt::publish::Publish;
use crate::mqtt::suback::SubAck;
use crate::mqtt::subscribe::{RequestBuffer, Subscribe};
use crate::mqtt::unsuback::UnsubAck;
use crate::mqtt::unsubscribe::{FilterBuffer, Unsubscribe};
use crate::mqtt::varint::{self, VARINT_MAX};
use crate::mqtt::{PacketId, PacketType, QoS, Reason, Topic, Version};

/// Messages above `QoS` 0 that may be under way to the broker, unless told otherwise: as mosquitto has it.
pub const WINDOW_DEFAULT: u16 = 20;

const FIRST_ID: PacketId = PacketId::new(1).expect("one is not zero");

/// What a client remembers of its connection. Pure: packets come in, bytes gather to be sent.
///
/// Invariant: `sent.len() ≤ window ≤ the broker's Receive Maximum`.
#[derive(Debug)]
pub struct Conversation {
    version: Version,
    terms: Terms,
    is_accepted: bool,
    window: u16,
    last_id: PacketId,
    /// What we have published and the broker has not settled.
    sent: BTreeMap<PacketId, Step>,
    /// Messages of `QoS` 2 that the broker has not let go of.
    received: BTreeSet<PacketId>,
    /// The SUBSCRIBE or UNSUBSCRIBE that waits for its answer.
    request: Option<PacketId>,
    unsent: Vec<u8>,
}

/// What a published message waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    /// PUBACK.
    Acknowledged,
    /// PUBREC.
    Recorded,
    /// PUBCOMP.
    Completed,
}

/// What the broker offers; without a word from it everything.
#[derive(Clone, Copy, Debug)]
struct Terms {
    packet_bytes_max: u32,
    receive_max: u16,
    qos_max: QoS,
    has_retained: bool,
}

impl Terms {
    const ALL: Self = Self {
        packet_bytes_max: PACKET_BYTES_MAX,
        receive_max: u16::MAX,
        qos_max: QoS::ExactlyOnce,
        has_retained: true,
    };

    fn of(connack: ConnAck<'_>) -> Self {
        let mut terms = Self::ALL;
        for property in connack.properties.iter() {
            if let Property::MaximumQoS(bits) = property {
                terms.qos_max = QoS::from_bits(bits).unwrap_or(terms.qos_max);
            } else if let Property::RetainAvailable(is_available) = property {
                terms.has_retained = is_available;
            } else if let Property::ReceiveMaximum(messages) = property {
                terms.receive_max = messages;
            } else if let Property::MaximumPacketSize(bytes) = property {
                terms.packet_bytes_max = bytes.min(PACKET_BYTES_MAX);
            }
        }
        terms
    }
}

/// A message to publish.
#[derive(Clone, Copy, Debug)]
pub struct Message<'a> {
    /// Where it goes.
    pub topic: Topic<'a>,
    /// What it says.
    pub payload: &'a [u8],
    /// How surely.
    pub qos: QoS,
    /// Whether it is kept for later subscribers.
    pub is_retained: bool,
}

/// What a packet of the broker means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Heard<'a> {
    /// We are connected; the broker may ask for another keep-alive.
    Accepted {
        /// In seconds.
        keep_alive: Option<u16>,
    },
    /// A message: take it, then [`Conversation::acknowledge`] it.
    Message(Publish<'a>, Topic<'a>),
    /// What we published is done with: taken, or refused for this reason.
    Settled(PacketId, Reason),
    /// The answer to our SUBSCRIBE.
    Subscribed(SubAck<'a>),
    /// The answer to our UNSUBSCRIBE.
    Unsubscribed(UnsubAck<'a>),
    /// Part of a handshake, answered already.
    Nothing,
}

impl Conversation {
    /// Nothing was said yet. Identifiers begin behind `last_id`: a client that starts again beside a session of the broker
    /// begins elsewhere, lest a new message be taken for one that was cut off in the middle of its handshake.
    pub const fn new(version: Version, last_id: PacketId) -> Self {
        Self {
            version,
            terms: Terms::ALL,
            is_accepted: false,
            window: WINDOW_DEFAULT,
            last_id,
            sent: BTreeMap::new(),
            received: BTreeSet::new(),
            request: None,
            unsent: Vec::new(),
        }
    }

    /// The protocol that is spoken.
    pub const fn version(&self) -> Version {
        self.version
    }

    /// Lets at most so many messages above `QoS` 0 be under way; the broker may ask for fewer.
    pub fn set_window(&mut self, messages_max: u16) {
        assert!(messages_max > 0, "without a window nothing is ever sent");
        self.window = messages_max;
    }

    /// Takes a packet of the broker.
    pub fn hear<'a>(&mut self, packet: Packet<'a>) -> Result<Heard<'a>, ClientError> {
        if !self.is_accepted {
            // [MQTT-3.2.0-1] CONNACK comes first.
            let Packet::ConnAck(connack) = packet else { return Err(ClientError::Unexpected(packet.packet_type())) };
            return self.accept(connack);
        }
        match packet {
            Packet::Publish(publish) => self.receive(publish),
            Packet::PubAck(ack) => Ok(self.settle(ack, Step::Acknowledged)),
            Packet::PubRec(ack) => Ok(self.release(ack)),
            Packet::PubComp(ack) => Ok(self.settle(ack, Step::Completed)),
            Packet::PubRel(ack) => {
                let is_known = self.received.remove(&ack.id);
                let reason = if is_known { Reason::Success } else { Reason::PacketIdentifierNotFound };
                self.send(&Packet::PubComp(Ack::new(ack.id, reason)));
                Ok(Heard::Nothing)
            }
            Packet::SubAck(suback) if self.request == Some(suback.id) => {
                self.request = None;
                Ok(Heard::Subscribed(suback))
            }
            Packet::UnsubAck(unsuback) if self.request == Some(unsuback.id) => {
                self.request = None;
                Ok(Heard::Unsubscribed(unsuback))
            }
            Packet::PingResp => Ok(Heard::Nothing),
            Packet::Disconnect(Disconnect { reason, properties }) => {
                Err(ClientError::Farewell { reason, explanation: explanation(properties) })
            }
            Packet::Connect(_)
            | Packet::ConnAck(_)
            | Packet::Subscribe(_)
            | Packet::SubAck(_)
            | Packet::Unsubscribe(_)
            | Packet::UnsubAck(_)
            | Packet::PingReq
            | Packet::Auth(_) => Err(ClientError::Unexpected(packet.packet_type())),
        }
    }

    /// Tells the broker that a message has arrived.
    pub fn acknowledge(&mut self, publish: &Publish<'_>) {
        let Some(id) = publish.packet_id else { return };
        match publish.qos {
            QoS::AtMostOnce => {}
            QoS::AtLeastOnce => self.send(&Packet::PubAck(Ack::new(id, Reason::Success))),
            QoS::ExactlyOnce => {
                self.received.insert(id);
                self.send(&Packet::PubRec(Ack::new(id, Reason::Success)));
            }
        }
    }

    /// Whether one more message above `QoS` 0 may go out.
    pub fn has_room(&self) -> bool {
        self.sent.len() < usize::from(self.window.min(self.terms.receive_max)) // [MQTT-3.3.4-7]
    }

    /// Publishes; the identifier under which a message above `QoS` 0 will be settled. There must be room for one.
    pub fn publish(&mut self, message: Message<'_>) -> Result<Option<PacketId>, ClientError> {
        self.check_terms(message)?;
        let Message { topic, payload, qos, is_retained } = message;
        let step = match qos {
            QoS::AtMostOnce => None,
            QoS::AtLeastOnce => Some(Step::Acknowledged),
            QoS::ExactlyOnce => Some(Step::Recorded),
        };
        assert!(step.is_none() || self.has_room(), "the caller asks for room first");
        let packet_id = step.map(|step| {
            let id = self.take_id();
            self.sent.insert(id, step);
            id
        });
        self.send(&Packet::Publish(Publish {
            dup: false,
            qos,
            retain: is_retained,
            topic: Some(topic),
            topic_alias: None,
            packet_id,
            message_expiry: None,
            properties: Properties::NONE,
            payload,
        }));
        Ok(packet_id)
    }

    /// Asks for messages. One request at a time.
    pub fn subscribe(&mut self, requests: &RequestBuffer) {
        let id = self.take_request_id();
        self.send(&Packet::Subscribe(Subscribe::new(id, Properties::NONE, requests)));
    }

    /// Asks for no more of them. One request at a time.
    pub fn unsubscribe(&mut self, filters: &FilterBuffer) {
        let id = self.take_request_id();
        self.send(&Packet::Unsubscribe(Unsubscribe::new(id, Properties::NONE, filters)));
    }

    /// Whether no handshake is half done.
    pub fn is_settled(&self) -> bool {
        self.sent.is_empty() && self.received.is_empty() && self.request.is_none()
    }

    /// The last packet: the broker drops the will.
    pub fn say_farewell(&mut self) {
        self.send(&Packet::Disconnect(Disconnect::new(Reason::Success)));
    }

    /// Adds a packet to what is to be sent.
    pub fn send(&mut self, packet: &Packet<'_>) {
        packet.encode(self.version, &mut self.unsent);
    }

    /// The bytes to be sent; whoever sends them clears them.
    pub const fn unsent(&mut self) -> &mut Vec<u8> {
        &mut self.unsent
    }

    fn accept(&mut self, connack: ConnAck<'_>) -> Result<Heard<'static>, ClientError> {
        let ConnAck { reason, properties, .. } = connack;
        if reason != Reason::Success {
            let code = if self.version.has_properties() { reason.code() } else { reason.connack_v3().unwrap_or(1) };
            return Err(ClientError::Refused { code, reason, explanation: explanation(properties) });
        }
        self.terms = Terms::of(connack);
        self.is_accepted = true;
        Ok(Heard::Accepted { keep_alive: properties.server_keep_alive() })
    }

    fn receive<'a>(&mut self, publish: Publish<'a>) -> Result<Heard<'a>, ClientError> {
        // We have offered no alias, so the name is always there.
        let topic = publish.topic.ok_or(ClientError::Unexpected(PacketType::Publish))?;
        let is_repeated =
            publish.qos == QoS::ExactlyOnce && publish.packet_id.is_some_and(|id| self.received.contains(&id));
        if is_repeated {
            // [MQTT-4.3.3-2] It was taken before: only the answer is repeated.
            self.acknowledge(&publish);
            return Ok(Heard::Nothing);
        }
        Ok(Heard::Message(publish, topic))
    }

    /// The last answer to what we published. One that nobody waits for is passed over.
    fn settle(&mut self, ack: Ack<'_>, step: Step) -> Heard<'static> {
        if self.sent.get(&ack.id) != Some(&step) {
            return Heard::Nothing;
        }
        self.sent.remove(&ack.id);
        Heard::Settled(ack.id, ack.reason)
    }

    /// PUBREC: the broker has a message of `QoS` 2, or refuses it.
    fn release(&mut self, ack: Ack<'_>) -> Heard<'static> {
        let step = self.sent.get(&ack.id).copied();
        if step == Some(Step::Recorded) && ack.reason.is_error() {
            self.sent.remove(&ack.id);
            return Heard::Settled(ack.id, ack.reason); // [MQTT-4.3.3-4] no PUBREL follows a refusal
        }
        let reason = match step {
            Some(Step::Recorded | Step::Completed) => {
                self.sent.insert(ack.id, Step::Completed);
                Reason::Success
            }
            Some(Step::Acknowledged) | None => Reason::PacketIdentifierNotFound,
        };
        self.send(&Packet::PubRel(Ack::new(ack.id, reason)));
        Heard::Nothing
    }

    fn check_terms(&self, message: Message<'_>) -> Result<(), ClientError> {
        let Terms { packet_bytes_max: maximum, qos_max, has_retained, .. } = self.terms;
        if message.qos > qos_max {
            return Err(ClientError::QoSNotOffered { wanted: message.qos, offered: qos_max });
        }
        if message.is_retained && !has_retained {
            return Err(ClientError::RetainNotOffered);
        }
        let id = if message.qos == QoS::AtMostOnce { 0 } else { 2 };
        let properties = usize::from(self.version.has_properties());
        let remaining = 2 + message.topic.as_str().len() + id + properties + message.payload.len();
        let length = varint::encoded_len(u32::try_from(remaining).unwrap_or(u32::MAX).min(VARINT_MAX));
        let size = 1 + length + remaining;
        if size > maximum as usize {
            return Err(ClientError::TooLarge { size, maximum });
        }
        Ok(())
    }

    fn take_request_id(&mut self) -> PacketId {
        assert!(self.request.is_none(), "one request at a time");
        let id = self.take_id();
        self.request = Some(id);
        id
    }

    /// The next identifier that is not in use: there are 65,535 and the window is smaller.
    fn take_id(&mut self) -> PacketId {
        loop {
            self.last_id = PacketId::new(self.last_id.get().wrapping_add(1)).unwrap_or(FIRST_ID);
            if !self.sent.contains_key(&self.last_id) && self.request != Some(self.last_id) {
                return self.last_id;
            }
        }
    }
}

/// What the broker says in words of its own.
fn explanation(properties: Properties<'_>) -> Option<String> {
    properties.reason_string().map(str::to_owned)
}

#[cfg(test)]
mod tests;
