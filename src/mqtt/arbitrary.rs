//! Seeded random packets of every type and version, for round trips here and against a foreign implementation.

#![expect(clippy::cast_possible_truncation, reason = "random bits are cut to the width that is asked for")]

use crate::base::random::Random;
use crate::mqtt::ack::Ack;
use crate::mqtt::auth::Auth;
use crate::mqtt::codes::{CodeBuffer, Codes};
use crate::mqtt::connack::ConnAck;
use crate::mqtt::connect::{Connect, Will};
use crate::mqtt::disconnect::Disconnect;
use crate::mqtt::packet::{Packet, Sender};
use crate::mqtt::properties::{Property, PropertyBuffer};
use crate::mqtt::publish::Publish;
use crate::mqtt::reason::Reason;
use crate::mqtt::suback::SubAck;
use crate::mqtt::subscribe::{RequestBuffer, Requested, RetainHandling, Subscribe};
use crate::mqtt::topic::Topic;
use crate::mqtt::unsuback::UnsubAck;
use crate::mqtt::unsubscribe::{FilterBuffer, Unsubscribe};
use crate::mqtt::version::{PacketId, PacketType, QoS, Version};
use std::num::NonZeroU16;

/// What a random packet borrows from. Drawn once, then [`Parts::packet`] puts the packet together.
#[derive(Debug)]
pub struct Parts {
    /// Its version.
    pub version: Version,
    /// Who sends it.
    pub sender: Sender,
    packet_type: PacketType,
    id: PacketId,
    qos: QoS,
    flags: [bool; 4],
    keep_alive: u16,
    reason: Reason,
    properties: PropertyBuffer,
    will_properties: PropertyBuffer,
    topic: String,
    name: String,
    user_name: Option<String>,
    password: Option<Vec<u8>>,
    payload: Vec<u8>,
    requests: RequestBuffer,
    filters: FilterBuffer,
    codes: CodeBuffer,
}

/// A version, a sender, and a packet type that this sender may send in this version.
pub type Kind = (Version, Sender, PacketType);

/// Every kind there is.
pub fn kinds() -> Vec<Kind> {
    let mut kinds = Vec::new();
    for version in Version::ALL {
        for sender in [Sender::Client, Sender::Server] {
            let types = PacketType::ALL.into_iter();
            let legal = types.filter(|&packet_type| sender.may_send(packet_type, version));
            kinds.extend(legal.map(|packet_type| (version, sender, packet_type)));
        }
    }
    kinds
}

/// Random packets, as many of every kind as there are rounds.
pub fn samples(seed: u64, rounds: usize) -> impl Iterator<Item = Parts> {
    let mut random = Random::from_seed(seed);
    let kinds = kinds();
    let count = kinds.len() * rounds;
    kinds.into_iter().cycle().take(count).map(move |kind| Parts::draw(kind, &mut random))
}

impl Parts {
    /// Draws the parts of a valid packet.
    pub fn draw(kind: Kind, random: &mut Random) -> Self {
        let (version, sender, packet_type) = kind;
        let reason = draw_reason(version, sender, packet_type, random);
        let mut parts = Self {
            version,
            sender,
            packet_type,
            id: PacketId::new(draw_u16(random).max(1)).expect("it is at least 1"),
            qos: draw_qos(random),
            flags: std::array::from_fn(|_| random.chance(1, 2)),
            keep_alive: draw_u16(random),
            reason,
            properties: PropertyBuffer::default(),
            will_properties: PropertyBuffer::default(),
            topic: draw_topic(random),
            name: draw_text(random),
            user_name: random.chance(1, 2).then(|| draw_text(random)),
            password: random.chance(1, 2).then(|| draw_bytes(random)),
            payload: draw_bytes(random),
            requests: RequestBuffer::default(),
            filters: FilterBuffer::default(),
            codes: CodeBuffer::default(),
        };
        if version.has_properties() {
            parts.properties = draw_properties(packet_type, sender, reason, random);
            parts.will_properties = draw_will_properties(random);
        } else if parts.user_name.is_none() {
            parts.password = None;
        }
        parts.draw_lists(random);
        parts
    }

    fn draw_lists(&mut self, random: &mut Random) {
        for _ in 0..=random.below(4) {
            let text = draw_filter(random);
            self.filters.push(&text);
            let mut request = Requested::new(&text, draw_qos(random));
            if self.version.has_properties() {
                request.no_local = random.chance(1, 2) && !text.starts_with("$share/");
                request.retain_as_published = random.chance(1, 2);
                request.retain_handling = pick(
                    &[RetainHandling::SendAtSubscribe, RetainHandling::SendIfNew, RetainHandling::DoNotSend],
                    random,
                );
            }
            self.requests.push(&request);
            self.codes.push(draw_reason(self.version, self.sender, self.packet_type, random));
        }
    }

    /// The packet itself.
    pub fn packet(&self) -> Packet<'_> {
        let (id, reason, properties) = (self.id, self.reason, self.properties.as_properties());
        let ack = Ack { id, reason, properties };
        match self.packet_type {
            PacketType::Connect => Packet::Connect(self.connect()),
            PacketType::ConnAck => Packet::ConnAck(ConnAck {
                session_present: self.flags[0] && reason == Reason::Success && self.version != Version::V31,
                reason,
                properties,
            }),
            PacketType::Publish => Packet::Publish(self.publish()),
            PacketType::PubAck => Packet::PubAck(ack),
            PacketType::PubRec => Packet::PubRec(ack),
            PacketType::PubRel => Packet::PubRel(ack),
            PacketType::PubComp => Packet::PubComp(ack),
            PacketType::Subscribe => Packet::Subscribe(Subscribe::new(id, properties, &self.requests)),
            PacketType::SubAck => Packet::SubAck(SubAck { id, reasons: self.codes.as_codes(), properties }),
            PacketType::Unsubscribe => Packet::Unsubscribe(Unsubscribe::new(id, properties, &self.filters)),
            PacketType::UnsubAck => {
                let has_codes = self.version.has_properties();
                let reasons = if has_codes { self.codes.as_codes() } else { Codes::NONE };
                Packet::UnsubAck(UnsubAck { id, reasons, properties })
            }
            PacketType::PingReq => Packet::PingReq,
            PacketType::PingResp => Packet::PingResp,
            PacketType::Disconnect => Packet::Disconnect(Disconnect { reason, properties }),
            PacketType::Auth => Packet::Auth(Auth { reason, properties }),
        }
    }

    fn connect(&self) -> Connect<'_> {
        let [has_will, retain, clean_start, bridge] = self.flags;
        let will = Will {
            topic: self.topic(),
            payload: &self.payload,
            qos: self.qos,
            retain,
            properties: self.will_properties.as_properties(),
        };
        Connect {
            version: self.version,
            bridge: bridge && !self.version.has_properties(),
            clean_start,
            keep_alive: self.keep_alive,
            client_id: &self.name,
            will: has_will.then_some(will),
            user_name: self.user_name.as_deref(),
            password: self.password.as_deref(),
            properties: self.properties.as_properties(),
        }
    }

    fn topic(&self) -> Topic<'_> {
        Topic::parse(&self.topic).expect("draw_topic draws topics")
    }

    fn publish(&self) -> Publish<'_> {
        let [dup, retain, is_alias_alone, _] = self.flags;
        let properties = self.properties.as_properties();
        let topic_alias = properties.topic_alias();
        let has_topic = topic_alias.is_none() || !is_alias_alone;
        Publish {
            dup: dup && self.qos != QoS::AtMostOnce,
            qos: self.qos,
            retain,
            topic: has_topic.then(|| self.topic()),
            topic_alias,
            packet_id: (self.qos != QoS::AtMostOnce).then_some(self.id),
            message_expiry: properties.message_expiry(),
            properties,
            payload: &self.payload,
        }
    }
}

/// A reason that this side may give in this packet of this version.
fn draw_reason(version: Version, sender: Sender, packet_type: PacketType, random: &mut Random) -> Reason {
    let mut allowed: Vec<Reason> = Reason::ALL
        .iter()
        .copied()
        .filter(|reason| reason.allowed_in(packet_type))
        .filter(|&reason| version.has_properties() || is_v3(reason, packet_type))
        .collect();
    allowed.retain(|reason| match (packet_type.name(), sender) {
        ("disconnect", Sender::Client) => {
            let server_only = [0x87, 0x89, 0x8B, 0x8C, 0x8D, 0x8E, 0x8F];
            !server_only.contains(&reason.code()) && reason.code() < 0x9A
        }
        ("disconnect", Sender::Server) => reason.code() != 0x04,
        ("auth", Sender::Client) => reason.code() != 0x00,
        ("auth", Sender::Server) => reason.code() != 0x19,
        _ => true,
    });
    random.pick(&allowed).copied().unwrap_or(Reason::Success)
}

fn is_v3(reason: Reason, packet_type: PacketType) -> bool {
    if packet_type == PacketType::ConnAck {
        [0x00, 0x84, 0x85, 0x86, 0x87, 0x88].contains(&reason.code())
    } else if packet_type == PacketType::SubAck {
        [0x00, 0x01, 0x02, 0x80].contains(&reason.code())
    } else {
        reason == Reason::Success
    }
}

fn draw_properties(packet_type: PacketType, sender: Sender, reason: Reason, random: &mut Random) -> PropertyBuffer {
    let needs_method = packet_type == PacketType::Auth && reason != Reason::Success;
    let mut ids: Vec<u8> = single_ids(packet_type, sender)
        .iter()
        .copied()
        .filter(|&id| random.chance(1, 3) || id == 0x15 && needs_method)
        .collect();
    // Without a method there is only the short form of AUTH, and no Authentication Data anywhere.
    if packet_type == PacketType::Auth && !ids.contains(&0x15) {
        return PropertyBuffer::default();
    }
    if !ids.contains(&0x15) {
        ids.retain(|&id| id != 0x16);
    }
    if packet_type == PacketType::Publish && sender == Sender::Server {
        ids.extend((0..random.below(3)).map(|_| 0x0B));
    }
    draw_each(ids, random)
}

fn draw_will_properties(random: &mut Random) -> PropertyBuffer {
    let ids = [0x18, 0x01, 0x02, 0x03, 0x08, 0x09];
    draw_each(ids.into_iter().filter(|_| random.chance(1, 3)).collect(), random)
}

/// Properties that this packet may have once, as section 2.2.2.2 of the standard lists them.
fn single_ids(packet_type: PacketType, sender: Sender) -> &'static [u8] {
    match packet_type {
        PacketType::Connect => &[0x11, 0x21, 0x27, 0x22, 0x19, 0x17, 0x15, 0x16],
        PacketType::ConnAck => {
            &[0x11, 0x21, 0x24, 0x25, 0x27, 0x12, 0x22, 0x1F, 0x28, 0x29, 0x2A, 0x13, 0x1A, 0x1C, 0x15, 0x16]
        }
        PacketType::Publish => &[0x01, 0x02, 0x23, 0x08, 0x09, 0x03],
        PacketType::PubAck
        | PacketType::PubRec
        | PacketType::PubRel
        | PacketType::PubComp
        | PacketType::SubAck
        | PacketType::UnsubAck => &[0x1F],
        PacketType::Subscribe => &[0x0B],
        PacketType::Disconnect if sender == Sender::Client => &[0x11, 0x1F, 0x1C],
        PacketType::Disconnect => &[0x1F, 0x1C],
        PacketType::Auth => &[0x15, 0x16, 0x1F],
        PacketType::Unsubscribe | PacketType::PingReq | PacketType::PingResp => &[],
    }
}

/// The properties of these identifiers in any order, User Properties among them.
fn draw_each(mut ids: Vec<u8>, random: &mut Random) -> PropertyBuffer {
    let users = if random.chance(1, 3) { random.below(4) } else { 0 };
    ids.extend((0..users).map(|_| 0x26));
    random.shuffle(&mut ids);
    let mut properties = PropertyBuffer::default();
    for id in ids {
        draw_property(id, random, &mut properties);
    }
    properties
}

fn draw_property(id: u8, random: &mut Random, properties: &mut PropertyBuffer) {
    let (text, other, topic) = (draw_text(random), draw_text(random), draw_topic(random));
    let (bytes, flag) = (draw_bytes(random), random.chance(1, 2));
    let (short, long) = (draw_u16(random), random.next_u64() as u32);
    properties.push(match id {
        0x01 => Property::PayloadFormat(flag),
        0x02 => Property::MessageExpiry(long),
        0x03 => Property::ContentType(&text),
        0x08 => Property::ResponseTopic(&topic),
        0x09 => Property::CorrelationData(&bytes),
        0x0B => Property::SubscriptionId(1 << random.below(28)),
        0x11 => Property::SessionExpiry(long),
        0x12 => Property::AssignedClientId(&text),
        0x13 => Property::ServerKeepAlive(short),
        0x15 => Property::AuthMethod(&text),
        0x16 => Property::AuthData(&bytes),
        0x17 => Property::RequestProblemInfo(flag),
        0x18 => Property::WillDelay(long),
        0x19 => Property::RequestResponseInfo(flag),
        0x1A => Property::ResponseInfo(&text),
        0x1C => Property::ServerReference(&text),
        0x1F => Property::ReasonString(&text),
        0x21 => Property::ReceiveMaximum(short.max(1)),
        0x22 => Property::TopicAliasMaximum(short),
        0x23 => Property::TopicAlias(NonZeroU16::new(short.max(1)).expect("it is at least 1")),
        0x24 => Property::MaximumQoS(u8::from(flag)),
        0x25 => Property::RetainAvailable(flag),
        0x26 => Property::User(&text, &other),
        0x27 => Property::MaximumPacketSize(long.max(1)),
        0x28 => Property::WildcardAvailable(flag),
        0x29 => Property::SubscriptionIdsAvailable(flag),
        0x2A => Property::SharedAvailable(flag),
        _ => unreachable!("no property has the identifier {id:#04x}"),
    });
}

fn pick<T: Copy>(items: &[T], random: &mut Random) -> T {
    *random.pick(items).expect("there is something to pick from")
}

fn draw_qos(random: &mut Random) -> QoS {
    pick(&[QoS::AtMostOnce, QoS::AtLeastOnce, QoS::ExactlyOnce], random)
}

/// Small numbers, large ones, and the two ends.
fn draw_u16(random: &mut Random) -> u16 {
    let any = random.next_u64() as u16;
    pick(&[0, 1, any & 0xFF, any, u16::MAX], random)
}

/// Mostly short, now and then long enough for a length of two or three bytes.
fn draw_len(random: &mut Random) -> usize {
    let usual = pick(&[0, 1, 8, 8, 8, 130], random);
    let most = if random.chance(1, 500) { 17_000 } else { usual };
    random.range(0, most) as usize
}

fn draw_bytes(random: &mut Random) -> Vec<u8> {
    let mut bytes = vec![0; draw_len(random)];
    random.fill(&mut bytes);
    bytes
}

/// Characters of one to four bytes.
const CHARACTERS: [char; 12] = ['a', 'b', 'Z', '0', ' ', '~', '$', 'ñ', 'ß', '\u{feff}', '語', '\u{10fffd}'];

fn draw_text(random: &mut Random) -> String {
    (0..draw_len(random)).map(|_| pick(&CHARACTERS, random)).collect()
}

fn draw_topic(random: &mut Random) -> String {
    let levels: Vec<String> = (0..=random.below(4)).map(|_| draw_text(random)).collect();
    let topic = levels.join("/");
    if topic.is_empty() { "t".to_owned() } else { topic }
}

fn draw_filter(random: &mut Random) -> String {
    let mut levels: Vec<String> =
        (0..=random.below(4)).map(|_| if random.chance(1, 3) { "+".to_owned() } else { draw_text(random) }).collect();
    if random.chance(1, 4) {
        levels.push("#".to_owned());
    }
    let filter = levels.join("/");
    match (filter.is_empty(), random.chance(1, 4)) {
        (true, _) => "#".to_owned(),
        (false, true) => format!("$share/g{}/{filter}", random.below(10)),
        (false, false) => filter,
    }
}
