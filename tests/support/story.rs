//! Tests as stories: clients connect, publish and expect; the codec does the bytes and the world does the broker.
//!
//! ```text
//! let mut story = Story::new(2);
//! let alice = story.connect(Hello::v5("alice").expiry(60));
//! story.subscribe(alice, "a/#", 1);
//! story.publish(bob, Post::to("a/b").qos(1).payload("x"));
//! assert_eq!(story.delivery(alice).payload, b"x");
//! story.expect_silence(alice);
//! ```

use std::collections::VecDeque;
use std::num::NonZeroU16;

use pregon::engine::auth::policy::Policy;
use pregon::engine::limits::Limits;
use pregon::mqtt::auth::Auth;
use pregon::mqtt::connect::{Connect, Will};
use pregon::mqtt::disconnect::Disconnect;
use pregon::mqtt::frame::{Next, next_frame};
use pregon::mqtt::packet::{Packet, Sender};
use pregon::mqtt::properties::{Properties, PropertyBuffer};
use pregon::mqtt::property::Property;
use pregon::mqtt::publish::Publish;
use pregon::mqtt::subscribe::{RequestBuffer, Requested, RetainHandling, Subscribe};
use pregon::mqtt::unsubscribe::{FilterBuffer, Unsubscribe};
use pregon::mqtt::{PacketId, QoS, Reason, Subscription, Topic, Version};

use super::world::World;

/// A client of the story.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Client(pub usize);

/// A PUBLISH from the broker, in memory of its own.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Delivery {
    /// The topic's name, empty behind a known alias.
    pub topic: String,
    /// The payload.
    pub payload: Vec<u8>,
    /// 0, 1 or 2.
    pub qos: u8,
    /// The RETAIN flag.
    pub retain: bool,
    /// The DUP flag.
    pub dup: bool,
    /// The packet identifier.
    pub id: Option<u16>,
    /// Message Expiry Interval.
    pub expiry: Option<u32>,
    /// Subscription Identifiers, in the order of the packet.
    pub subscription_ids: Vec<u32>,
    /// Topic Alias.
    pub alias: Option<u16>,
    /// User Properties, in the order of the packet.
    pub user: Vec<(String, String)>,
    /// All properties, encoded.
    pub properties: Vec<u8>,
    /// The size of the whole packet.
    pub bytes: usize,
}

/// Anything else from the broker. Reasons are numbers, so that a test reads like the standard.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Heard {
    /// CONNACK: session present, reason, properties.
    ConnAck(bool, u8, Vec<u8>),
    /// PUBLISH.
    Publish(Delivery),
    /// PUBACK: identifier, reason, properties.
    PubAck(u16, u8, Vec<u8>),
    /// PUBREC.
    PubRec(u16, u8, Vec<u8>),
    /// PUBREL.
    PubRel(u16, u8, Vec<u8>),
    /// PUBCOMP.
    PubComp(u16, u8, Vec<u8>),
    /// SUBACK: identifier, codes, properties.
    SubAck(u16, Vec<u8>, Vec<u8>),
    /// UNSUBACK: identifier, codes, properties.
    UnsubAck(u16, Vec<u8>, Vec<u8>),
    /// PINGRESP.
    PingResp,
    /// DISCONNECT: reason, properties.
    Disconnect(u8, Vec<u8>),
    /// AUTH: reason, properties.
    Auth(u8, Vec<u8>),
    /// The broker closed the connection; said once.
    Closed,
}

/// A CONNECT to be sent.
#[derive(Clone, Debug)]
pub struct Hello {
    /// The version it speaks.
    pub version: Version,
    id: String,
    clean: bool,
    keep_alive: u16,
    user: Option<String>,
    password: Option<Vec<u8>>,
    properties: PropertyBuffer,
    will: Option<(String, Vec<u8>, u8, bool, PropertyBuffer)>,
}

impl Hello {
    /// A CONNECT of this version: clean start, no keep-alive.
    pub fn new(version: Version, id: &str) -> Self {
        let properties = PropertyBuffer::default();
        Self { version, id: id.into(), clean: true, keep_alive: 0, user: None, password: None, properties, will: None }
    }

    /// A CONNECT of 5.0.
    pub fn v5(id: &str) -> Self {
        Self::new(Version::V5, id)
    }

    /// A CONNECT of 3.1.1.
    pub fn v311(id: &str) -> Self {
        Self::new(Version::V311, id)
    }

    /// A CONNECT of 3.1.
    pub fn v31(id: &str) -> Self {
        Self::new(Version::V31, id)
    }

    /// Clean start or clean session 0.
    pub fn resume(mut self) -> Self {
        self.clean = false;
        self
    }

    /// Keep Alive in seconds.
    pub fn keep_alive(mut self, seconds: u16) -> Self {
        self.keep_alive = seconds;
        self
    }

    /// User name and password.
    pub fn login(mut self, user: &str, password: &str) -> Self {
        self.user = Some(user.into());
        self.password = Some(password.into());
        self
    }

    /// One more property.
    pub fn with(mut self, property: Property<'_>) -> Self {
        self.properties.push(property);
        self
    }

    /// Session Expiry Interval in seconds.
    pub fn expiry(self, seconds: u32) -> Self {
        self.with(Property::SessionExpiry(seconds))
    }

    /// Receive Maximum.
    pub fn receive_maximum(self, count: u16) -> Self {
        self.with(Property::ReceiveMaximum(count))
    }

    /// A will.
    pub fn will(mut self, topic: &str, payload: &str, qos: u8, retain: bool) -> Self {
        self.will = Some((topic.into(), payload.into(), qos, retain, PropertyBuffer::default()));
        self
    }

    /// A property of the will.
    pub fn will_with(mut self, property: Property<'_>) -> Self {
        self.will.as_mut().expect("a will comes before its properties").4.push(property);
        self
    }

    /// The packet.
    pub fn encode(&self) -> Vec<u8> {
        let will = self.will.as_ref().map(|(topic, payload, qos, retain, properties)| Will {
            topic: Topic::parse(topic).expect("a topic"),
            payload,
            qos: qos_of(*qos),
            retain: *retain,
            properties: properties.as_properties(),
        });
        let connect = Connect {
            version: self.version,
            bridge: false,
            clean_start: self.clean,
            keep_alive: self.keep_alive,
            client_id: &self.id,
            will,
            user_name: self.user.as_deref(),
            password: self.password.as_deref(),
            properties: self.properties.as_properties(),
        };
        let mut bytes = Vec::new();
        Packet::Connect(connect).encode(self.version, &mut bytes);
        bytes
    }
}

/// A PUBLISH to be sent.
#[derive(Clone, Debug)]
pub struct Post {
    topic: String,
    payload: Vec<u8>,
    /// The quality of service.
    pub qos: u8,
    retain: bool,
    dup: bool,
    /// The packet identifier of QoS 1 and 2.
    pub id: u16,
    alias: Option<u16>,
    expiry: Option<u32>,
    properties: PropertyBuffer,
}

impl Post {
    /// An empty QoS 0 message; an empty topic is left to the alias.
    pub fn to(topic: &str) -> Self {
        let properties = PropertyBuffer::default();
        let topic = topic.into();
        Self {
            topic,
            payload: Vec::new(),
            qos: 0,
            retain: false,
            dup: false,
            id: 1,
            alias: None,
            expiry: None,
            properties,
        }
    }

    /// The payload.
    pub fn payload(mut self, payload: impl Into<Vec<u8>>) -> Self {
        self.payload = payload.into();
        self
    }

    /// The quality of service.
    pub fn qos(mut self, qos: u8) -> Self {
        self.qos = qos;
        self
    }

    /// The packet identifier, 1 unless said otherwise.
    pub fn id(mut self, id: u16) -> Self {
        self.id = id;
        self
    }

    /// RETAIN.
    pub fn retain(mut self) -> Self {
        self.retain = true;
        self
    }

    /// DUP.
    pub fn dup(mut self) -> Self {
        self.dup = true;
        self
    }

    /// Message Expiry Interval.
    pub fn expiry(mut self, seconds: u32) -> Self {
        self.expiry = Some(seconds);
        self.with(Property::MessageExpiry(seconds))
    }

    /// Topic Alias.
    pub fn alias(mut self, alias: u16) -> Self {
        self.alias = Some(alias);
        self.with(Property::TopicAlias(NonZeroU16::new(alias).expect("not zero")))
    }

    /// One more property.
    pub fn with(mut self, property: Property<'_>) -> Self {
        self.properties.push(property);
        self
    }

    /// The packet.
    pub fn encode(&self, version: Version) -> Vec<u8> {
        let publish = Publish {
            dup: self.dup,
            qos: qos_of(self.qos),
            retain: self.retain,
            topic: (!self.topic.is_empty()).then(|| Topic::parse(&self.topic).expect("a topic")),
            topic_alias: self.alias.and_then(NonZeroU16::new),
            packet_id: (self.qos > 0).then(|| packet_id(self.id)),
            message_expiry: self.expiry,
            properties: self.properties.as_properties(),
            payload: &self.payload,
        };
        let mut bytes = Vec::new();
        publish.encode(version, &mut bytes);
        bytes
    }
}

/// A filter to subscribe to.
#[derive(Clone, Debug)]
pub struct Wish<'a> {
    filter: &'a str,
    qos: u8,
    no_local: bool,
    keeps_retain: bool,
    handling: RetainHandling,
}

impl<'a> Wish<'a> {
    /// A subscription with the default options.
    pub fn to(filter: &'a str, qos: u8) -> Self {
        Self { filter, qos, no_local: false, keeps_retain: false, handling: RetainHandling::SendAtSubscribe }
    }

    /// No Local.
    pub fn no_local(mut self) -> Self {
        self.no_local = true;
        self
    }

    /// Retain As Published.
    pub fn keep_retain(mut self) -> Self {
        self.keeps_retain = true;
        self
    }

    /// Retain Handling 0, 1 or 2.
    pub fn handling(mut self, handling: u8) -> Self {
        self.handling = match handling {
            0 => RetainHandling::SendAtSubscribe,
            1 => RetainHandling::SendIfNew,
            2 => RetainHandling::DoNotSend,
            other => panic!("no retain handling {other}"),
        };
        self
    }
}

/// A broker and the clients that talk to it.
pub struct Story {
    /// The broker and the network.
    pub world: World,
    versions: Vec<Version>,
    heard: Vec<VecDeque<Heard>>,
    partial: Vec<Vec<u8>>,
    has_said_closed: Vec<bool>,
}

impl Story {
    /// A broker with so many shards and its defaults.
    pub fn new(shards: usize) -> Self {
        Self::over(World::new(shards))
    }

    /// A broker of two shards with changed limits.
    pub fn limited(change: impl FnOnce(&mut Limits)) -> Self {
        Self::with(change, Policy::open())
    }

    /// A broker of two shards with changed limits and a policy.
    pub fn with(change: impl FnOnce(&mut Limits), policy: Policy) -> Self {
        let mut limits = Limits::default();
        change(&mut limits);
        Self::over(World::with(2, limits, policy, 7))
    }

    /// Over a world that was made elsewhere.
    pub fn over(world: World) -> Self {
        Self { world, versions: Vec::new(), heard: Vec::new(), partial: Vec::new(), has_said_closed: Vec::new() }
    }

    /// Opens a network connection and says nothing.
    pub fn open(&mut self, version: Version) -> Client {
        let link = self.world.connect();
        assert_eq!(link, self.versions.len(), "every connection of the world is a client of the story");
        self.versions.push(version);
        self.heard.push(VecDeque::new());
        self.partial.push(Vec::new());
        self.has_said_closed.push(false);
        Client(link)
    }

    /// Connects and takes a successful CONNACK.
    pub fn connect(&mut self, hello: Hello) -> Client {
        self.connect_present(hello).0
    }

    /// Connects, takes a successful CONNACK, and tells Session Present.
    pub fn connect_present(&mut self, hello: Hello) -> (Client, bool) {
        let client = self.hello(&hello);
        match self.hear(client) {
            Some(Heard::ConnAck(present, 0, _)) => (client, present),
            other => panic!("no success: {other:?}"),
        }
    }

    /// Sends CONNECT on a new connection; the answer is the test's to judge.
    pub fn hello(&mut self, hello: &Hello) -> Client {
        let client = self.open(hello.version);
        self.send(client, &hello.encode());
        client
    }

    /// Sends raw bytes and lets the broker come to rest.
    pub fn send(&mut self, client: Client, bytes: &[u8]) {
        self.world.send(client.0, bytes);
        self.world.drive();
    }

    /// Sends a packet.
    pub fn say(&mut self, client: Client, packet: &Packet<'_>) {
        let mut bytes = Vec::new();
        packet.encode(self.versions[client.0], &mut bytes);
        self.send(client, &bytes);
    }

    /// Publishes and leaves the acknowledgement to the test.
    pub fn publish(&mut self, client: Client, post: Post) {
        let bytes = post.encode(self.versions[client.0]);
        self.send(client, &bytes);
    }

    /// Publishes at QoS 1 or 2 and goes through the handshake; the first reason code.
    pub fn publish_fully(&mut self, client: Client, post: Post) -> u8 {
        let (qos, id) = (post.qos, post.id);
        self.publish(client, post);
        match (qos, self.hear(client)) {
            (1, Some(Heard::PubAck(acked, reason, _))) if acked == id => reason,
            (2, Some(Heard::PubRec(acked, reason, _))) if acked == id => {
                if reason < 0x80 {
                    self.pubrel(client, id);
                    assert!(matches!(self.hear(client), Some(Heard::PubComp(done, 0, _)) if done == id));
                }
                reason
            }
            (qos, heard) => panic!("QoS {qos} was answered by {heard:?}"),
        }
    }

    /// Subscribes to one filter with identifier 1 and takes its SUBACK: the code.
    pub fn subscribe(&mut self, client: Client, filter: &str, qos: u8) -> u8 {
        let codes = self.subscribe_to(client, 1, &[Wish::to(filter, qos)], None);
        codes[0]
    }

    /// Subscribes and takes the SUBACK, which may come behind deliveries: the codes.
    pub fn subscribe_to(&mut self, client: Client, id: u16, wishes: &[Wish<'_>], identifier: Option<u32>) -> Vec<u8> {
        self.ask_to_subscribe(client, id, wishes, identifier);
        self.listen(client);
        let place = self.heard[client.0].iter().position(|heard| matches!(heard, Heard::SubAck(..)));
        match place.and_then(|place| self.heard[client.0].remove(place)) {
            Some(Heard::SubAck(acked, codes, _)) if acked == id => codes,
            other => panic!("no SUBACK: {other:?} among {:?}", self.heard[client.0]),
        }
    }

    /// Sends SUBSCRIBE; the answer is the test's to judge.
    pub fn ask_to_subscribe(&mut self, client: Client, id: u16, wishes: &[Wish<'_>], identifier: Option<u32>) {
        let bytes = subscribe(self.versions[client.0], id, wishes, identifier);
        self.send(client, &bytes);
    }

    /// Unsubscribes and takes the UNSUBACK: the codes, none in 3.x.
    pub fn unsubscribe(&mut self, client: Client, id: u16, filters: &[&str]) -> Vec<u8> {
        let bytes = unsubscribe(self.versions[client.0], id, filters);
        self.send(client, &bytes);
        match self.hear(client) {
            Some(Heard::UnsubAck(acked, codes, _)) if acked == id => codes,
            other => panic!("no UNSUBACK: {other:?}"),
        }
    }

    /// Sends PUBACK, success.
    pub fn puback(&mut self, client: Client, id: u16) {
        self.send(client, &[0x40, 2, hi(id), lo(id)]);
    }

    /// Sends PUBREC, success.
    pub fn pubrec(&mut self, client: Client, id: u16) {
        self.send(client, &[0x50, 2, hi(id), lo(id)]);
    }

    /// Sends PUBREL, success.
    pub fn pubrel(&mut self, client: Client, id: u16) {
        self.send(client, &[0x62, 2, hi(id), lo(id)]);
    }

    /// Sends PUBCOMP, success.
    pub fn pubcomp(&mut self, client: Client, id: u16) {
        self.send(client, &[0x70, 2, hi(id), lo(id)]);
    }

    /// Sends DISCONNECT with a reason (5.0) or plain (3.x).
    pub fn disconnect(&mut self, client: Client, reason: u8) {
        let reason = Reason::from_code(reason).expect("a reason");
        self.say(client, &Packet::Disconnect(Disconnect::new(reason)));
    }

    /// Sends AUTH.
    pub fn auth(&mut self, client: Client, reason: u8, method: Option<&str>, data: Option<&[u8]>) {
        let mut properties = PropertyBuffer::default();
        if let Some(method) = method {
            properties.push(Property::AuthMethod(method));
        }
        if let Some(data) = data {
            properties.push(Property::AuthData(data));
        }
        let reason = Reason::from_code(reason).expect("a reason");
        self.say(client, &Packet::Auth(Auth { reason, properties: properties.as_properties() }));
    }

    /// The network of a client breaks.
    pub fn cut(&mut self, client: Client) {
        self.listen(client);
        self.world.cut(client.0);
        self.has_said_closed[client.0] = true;
        self.world.drive();
    }

    /// The same, and the broker does not come to rest.
    pub fn cut_without_driving(&mut self, client: Client) {
        self.listen(client);
        self.world.cut(client.0);
        self.has_said_closed[client.0] = true;
    }

    /// Writes a SUBSCRIBE at QoS 1 into the network; the broker does not read it yet.
    pub fn ask_to_subscribe_without_driving(&mut self, client: Client, filter: &str) {
        let bytes = subscribe(self.versions[client.0], 1, &[Wish::to(filter, 1)], None);
        self.world.send(client.0, &bytes);
    }

    /// Time passes.
    pub fn wait_s(&mut self, seconds: u64) {
        self.world.advance(seconds * 1000);
    }

    /// The next thing the broker says, or nothing.
    pub fn hear(&mut self, client: Client) -> Option<Heard> {
        self.listen(client);
        self.heard[client.0].pop_front()
    }

    /// Everything the broker has said.
    pub fn hear_all(&mut self, client: Client) -> Vec<Heard> {
        self.listen(client);
        self.heard[client.0].drain(..).collect()
    }

    /// The next thing must be a PUBLISH.
    #[track_caller]
    pub fn delivery(&mut self, client: Client) -> Delivery {
        match self.hear(client) {
            Some(Heard::Publish(delivery)) => delivery,
            other => panic!("no PUBLISH: {other:?}"),
        }
    }

    /// All deliveries among what was said; anything else is an error.
    #[track_caller]
    pub fn deliveries(&mut self, client: Client) -> Vec<Delivery> {
        let heard = self.hear_all(client);
        heard
            .into_iter()
            .map(|heard| match heard {
                Heard::Publish(delivery) => delivery,
                other => panic!("no PUBLISH: {other:?}"),
            })
            .collect()
    }

    /// Nothing may have been said.
    #[track_caller]
    pub fn expect_silence(&mut self, client: Client) {
        let heard = self.hear_all(client);
        assert!(heard.is_empty(), "no silence: {heard:?}");
    }

    /// The connection must be open and the broker must answer a PINGREQ, and say nothing else.
    #[track_caller]
    pub fn expect_open(&mut self, client: Client) {
        self.send(client, &[0xC0, 0]);
        assert_eq!(self.hear_all(client), [Heard::PingResp]);
    }

    /// The broker must have closed the connection; in 5.0 with DISCONNECT and one of these reasons just before.
    #[track_caller]
    pub fn expect_closed_for(&mut self, client: Client, reasons: &[u8]) {
        let heard = self.hear_all(client);
        match heard.as_slice() {
            [Heard::Disconnect(reason, _), Heard::Closed] if self.versions[client.0] == Version::V5 => {
                assert!(reasons.contains(reason), "DISCONNECT says {reason:#04x}");
            }
            [Heard::Closed] if self.versions[client.0] != Version::V5 => {}
            other => panic!("no orderly close: {other:?}"),
        }
    }

    /// The broker must have closed the connection without a word.
    #[track_caller]
    pub fn expect_closed(&mut self, client: Client) {
        assert_eq!(self.hear_all(client), [Heard::Closed]);
    }

    /// The broker must have refused the connection: CONNACK with this code, session present 0, then the close.
    #[track_caller]
    pub fn expect_refused(&mut self, client: Client, code: u8) {
        match self.hear_all(client).as_slice() {
            [Heard::ConnAck(false, reason, _), Heard::Closed] => {
                assert_eq!(*reason, code, "CONNACK says {reason:#04x}");
            }
            other => panic!("no refusal: {other:?}"),
        }
    }

    fn listen(&mut self, client: Client) {
        let link = client.0;
        let bytes = self.world.receive(link);
        self.partial[link].extend(bytes);
        let mut rest = std::mem::take(&mut self.partial[link]);
        let mut at = 0;
        while let Ok(Next::Frame(frame)) = next_frame(&rest[at..], u32::MAX) {
            let heard = understand(self.versions[link], frame.first, frame.body, frame.len);
            at += frame.len;
            self.heard[link].push_back(heard);
        }
        rest.drain(..at);
        self.partial[link] = rest;
        if self.world.links[link].is_closed && !std::mem::replace(&mut self.has_said_closed[link], true) {
            assert!(self.partial[link].is_empty(), "the broker closed in the middle of a packet");
            self.heard[link].push_back(Heard::Closed);
        }
    }

    /// Publishes at any quality of service, and the publisher is told that all is well.
    #[track_caller]
    pub fn post(&mut self, client: Client, post: Post) {
        if post.qos == 0 {
            return self.publish(client, post);
        }
        let reason = self.publish_fully(client, post);
        assert!(reason < 0x80, "refused with {reason:#04x}");
    }

    /// Connects, and the properties of the successful CONNACK.
    pub fn welcome(&mut self, hello: Hello) -> (Client, Vec<u8>) {
        let client = self.hello(&hello);
        match self.hear(client) {
            Some(Heard::ConnAck(_, 0, properties)) => (client, properties),
            other => panic!("no success: {other:?}"),
        }
    }

    /// Sends DISCONNECT with a reason and a Session Expiry Interval.
    pub fn disconnect_for(&mut self, client: Client, reason: u8, expiry_s: u32) {
        let mut properties = PropertyBuffer::default();
        properties.push(Property::SessionExpiry(expiry_s));
        let reason = Reason::from_code(reason).expect("a reason");
        self.say(client, &Packet::Disconnect(Disconnect { reason, properties: properties.as_properties() }));
    }

    /// Sends an acknowledgement of 5.0 with this first byte and a reason.
    pub fn acknowledge(&mut self, client: Client, first: u8, id: u16, reason: u8) {
        self.send(client, &[first, 3, hi(id), lo(id), reason]);
    }

    /// Forgets what was heard of this kind; the rest is left to be heard.
    pub fn forget(&mut self, client: Client, is_unwanted: impl Fn(&Heard) -> bool) {
        self.listen(client);
        self.heard[client.0].retain(|heard| !is_unwanted(heard));
    }
}

/// A SUBSCRIBE of these filters, all with the same Subscription Identifier, if any.
pub fn subscribe(version: Version, id: u16, wishes: &[Wish<'_>], identifier: Option<u32>) -> Vec<u8> {
    let mut properties = PropertyBuffer::default();
    if let Some(identifier) = identifier {
        properties.push(Property::SubscriptionId(identifier));
    }
    let mut buffer = RequestBuffer::default();
    for wish in wishes {
        buffer.push(&Requested {
            text: wish.filter,
            subscription: Subscription::parse(wish.filter),
            qos: qos_of(wish.qos),
            no_local: wish.no_local,
            retain_as_published: wish.keeps_retain,
            retain_handling: wish.handling,
        });
    }
    let packet = Packet::Subscribe(Subscribe::new(packet_id(id), properties.as_properties(), &buffer));
    let mut bytes = Vec::new();
    packet.encode(version, &mut bytes);
    bytes
}

/// An UNSUBSCRIBE of these filters.
pub fn unsubscribe(version: Version, id: u16, filters: &[&str]) -> Vec<u8> {
    let mut buffer = FilterBuffer::default();
    for filter in filters {
        buffer.push(filter);
    }
    let mut bytes = Vec::new();
    Packet::Unsubscribe(Unsubscribe::new(packet_id(id), Properties::NONE, &buffer)).encode(version, &mut bytes);
    bytes
}

/// What one packet of the broker says.
pub fn understand(version: Version, first: u8, body: &[u8], bytes: usize) -> Heard {
    if version != Version::V5 && first == 0x20 {
        return Heard::ConnAck(body[0] == 1, body[1], Vec::new());
    }
    let packet = Packet::decode(version, Sender::Server, first, body);
    let packet = packet.unwrap_or_else(|error| panic!("the broker sent {first:02x} {body:02x?}: {error}"));
    let raw = packet.properties().raw().to_vec();
    match packet {
        Packet::ConnAck(connack) => Heard::ConnAck(connack.session_present, connack.reason.code(), raw),
        Packet::Publish(publish) => Heard::Publish(delivery(&publish, raw, bytes)),
        Packet::PubAck(ack) => Heard::PubAck(ack.id.get(), ack.reason.code(), raw),
        Packet::PubRec(ack) => Heard::PubRec(ack.id.get(), ack.reason.code(), raw),
        Packet::PubRel(ack) => Heard::PubRel(ack.id.get(), ack.reason.code(), raw),
        Packet::PubComp(ack) => Heard::PubComp(ack.id.get(), ack.reason.code(), raw),
        Packet::SubAck(ack) => Heard::SubAck(ack.id.get(), ack.reasons.iter().map(Reason::code).collect(), raw),
        Packet::UnsubAck(ack) => Heard::UnsubAck(ack.id.get(), ack.reasons.iter().map(Reason::code).collect(), raw),
        Packet::PingResp => Heard::PingResp,
        Packet::Disconnect(disconnect) => Heard::Disconnect(disconnect.reason.code(), raw),
        Packet::Auth(auth) => Heard::Auth(auth.reason.code(), raw),
        Packet::Connect(_) | Packet::Subscribe(_) | Packet::Unsubscribe(_) | Packet::PingReq => {
            panic!("a broker does not send {first:02x}")
        }
    }
}

fn delivery(publish: &Publish<'_>, properties: Vec<u8>, bytes: usize) -> Delivery {
    let subscription_ids = publish.properties.iter().filter_map(|property| match property {
        Property::SubscriptionId(id) => Some(id),
        _ => None,
    });
    Delivery {
        topic: publish.topic.map(|topic| topic.as_str().to_owned()).unwrap_or_default(),
        payload: publish.payload.to_vec(),
        qos: publish.qos.bits(),
        retain: publish.retain,
        dup: publish.dup,
        id: publish.packet_id.map(PacketId::get),
        expiry: publish.message_expiry,
        subscription_ids: subscription_ids.collect(),
        alias: publish.topic_alias.map(NonZeroU16::get),
        user: publish.properties.user().map(|(name, value)| (name.to_owned(), value.to_owned())).collect(),
        properties,
        bytes,
    }
}

fn qos_of(bits: u8) -> QoS {
    QoS::from_bits(bits).expect("0, 1 or 2")
}

fn packet_id(number: u16) -> PacketId {
    PacketId::new(number).expect("not zero")
}

fn hi(id: u16) -> u8 {
    (id >> 8) as u8
}

#[expect(clippy::cast_possible_truncation, reason = "the lower byte")]
fn lo(id: u16) -> u8 {
    id as u8
}
