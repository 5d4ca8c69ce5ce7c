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
//!
//! | file | what lives there |
//! |---|---|
//! | here | the broker and the clients that talk to it |
//! | `hello`, `post`, `wish` | what they say: CONNECT, PUBLISH, SUBSCRIBE |
//! | `heard` | what they hear |

mod heard;
mod hello;
mod post;
mod wish;

use std::collections::VecDeque;

use pregon::engine::auth::policy::Policy;
use pregon::engine::limits::Limits;
use pregon::mqtt::auth::Auth;
use pregon::mqtt::disconnect::Disconnect;
use pregon::mqtt::frame::{Next, next_frame};
use pregon::mqtt::packet::Packet;
use pregon::mqtt::properties::{Properties, PropertyBuffer};
use pregon::mqtt::property::Property;
use pregon::mqtt::{PacketId, QoS, Reason, Version};

pub use heard::{Delivery, Heard, understand};
pub use hello::Hello;
pub use post::Post;
pub use wish::{Wish, subscribe, unsubscribe};

use super::world::World;

/// A client of the story.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Client(pub usize);

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
