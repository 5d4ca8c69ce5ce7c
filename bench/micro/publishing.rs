//! Whole ways of a message through `Shard::handle`, from the publisher's bytes to the pieces that leave.
//!
//! The answers of clients are part of a way: an acknowledged message counts with every packet of its flow.

use pregon::engine::limits::FILTERS_PER_PIECE_MAX;
use pregon::mqtt::properties::{Properties, PropertyBuffer};
use pregon::mqtt::property::Property;
use pregon::mqtt::{QoS, Version};

use super::bare::{Bare, Client, connect, publish, subscribe};
use super::{Scenario, Work};

const TOPIC: &str = "tenant-001/site-02/device-0000345/temperature";
const PUBREL: [u8; 4] = [0x62, 2, 0, 7];

const V311: Version = Version::V311;
const V5: Version = Version::V5;

pub const SCENARIOS: &[Scenario] = &[
    Scenario { name: "publish-qos0", unit: "message", count: 1_000, build: || plain(1, V311, V311, 1, 1) },
    Scenario { name: "publish-qos0-run-of-50", unit: "message", count: 5_000, build: || plain(1, V311, V311, 50, 1) },
    Scenario { name: "publish-qos0-v5-to-v311", unit: "message", count: 1_000, build: || plain(1, V5, V311, 1, 1) },
    Scenario { name: "publish-qos0-user-property", unit: "message", count: 1_000, build: user_property },
    Scenario { name: "publish-qos1", unit: "message", count: 1_000, build: || at_least_once(1, V311, 1, 1) },
    Scenario { name: "publish-qos1-run-of-20", unit: "message", count: 4_000, build: || at_least_once(1, V311, 20, 1) },
    Scenario { name: "publish-qos1-v5", unit: "message", count: 1_000, build: || at_least_once(1, V5, 1, 1) },
    Scenario { name: "publish-qos2", unit: "message", count: 1_000, build: exactly_once },
    Scenario { name: "fanout-1000-qos0", unit: "message", count: 20, build: || plain(1, V311, V311, 1, 1_000) },
    Scenario {
        name: "fanout-1000-qos0-run-of-50",
        unit: "message",
        count: 1_000,
        build: || plain(1, V311, V311, 50, 1_000),
    },
    Scenario { name: "fanout-1000-qos1", unit: "message", count: 20, build: || at_least_once(1, V311, 1, 1_000) },
    Scenario { name: "cross-shard-qos0", unit: "message", count: 1_000, build: || plain(2, V311, V311, 1, 1) },
    Scenario {
        name: "cross-shard-qos0-run-of-50",
        unit: "message",
        count: 5_000,
        build: || plain(2, V311, V311, 50, 1),
    },
    Scenario { name: "cross-shard-qos1", unit: "message", count: 1_000, build: || at_least_once(2, V311, 1, 1) },
    Scenario { name: "connect-disconnect", unit: "connection", count: 500, build: connect_disconnect },
    Scenario { name: "subscribe-and-leave", unit: "filter", count: 5_000, build: subscribe_and_leave },
];

/// A publisher on the first shard, subscribers on the last one.
fn scene(shards: usize, from: Version, to: Version, subscribers: u32, qos: QoS) -> (Bare, Client) {
    let mut bare = Bare::new(shards);
    let publisher = bare.connect(0, from, "publisher");
    for number in 0..subscribers {
        let subscriber = bare.connect(shards - 1, to, &format!("subscriber-{number}"));
        bare.subscribe(subscriber, to, TOPIC, qos.bits());
    }
    (bare, publisher)
}

/// QoS 0 in runs of so many packets, one after the other.
fn plain(shards: usize, from: Version, to: Version, run: u32, subscribers: u32) -> Work {
    let (mut bare, publisher) = scene(shards, from, to, subscribers, QoS::AtMostOnce);
    let packets = publish(from, TOPIC, QoS::AtMostOnce, Properties::NONE).repeat(run as usize);
    Box::new(move |count| {
        for _ in 0..count.div_ceil(run) {
            bare.send(publisher, &packets);
            bare.move_mesh();
            assert_eq!(bare.recipient_count(), subscribers as usize, "everybody gets one piece");
            bare.clear();
        }
    })
}

/// A property keeps a message off the verbatim way.
fn user_property() -> Work {
    let (mut bare, publisher) = scene(1, V5, V5, 1, QoS::AtMostOnce);
    let mut properties = PropertyBuffer::default();
    properties.push(Property::User("unit", "celsius"));
    let packet = publish(V5, TOPIC, QoS::AtMostOnce, properties.as_properties());
    Box::new(move |count| {
        for _ in 0..count {
            bare.send(publisher, &packet);
            assert_eq!(bare.recipient_count(), 1, "the subscriber gets it");
            bare.clear();
        }
    })
}

/// PUBLISH, forward and word back, PUBACK, and on the other side PUBLISH and PUBACK for each subscriber.
fn at_least_once(shards: usize, version: Version, run: u32, subscribers: u32) -> Work {
    let (mut bare, publisher) = scene(shards, version, version, subscribers, QoS::AtLeastOnce);
    let packets = publish(version, TOPIC, QoS::AtLeastOnce, Properties::NONE).repeat(run as usize);
    Box::new(move |count| {
        for _ in 0..count.div_ceil(run) {
            bare.send(publisher, &packets);
            bare.move_mesh();
            assert_eq!(bare.recipient_count(), subscribers as usize + 1, "PUBACKs, and everybody gets a piece");
            bare.answer_all(shards - 1, 0x40);
            bare.clear();
        }
    })
}

/// PUBLISH, PUBREC, PUBREL, PUBCOMP, with the publisher and with the subscriber.
fn exactly_once() -> Work {
    let mut bare = Bare::new(1);
    let (publisher, subscriber) = (bare.connect(0, V311, "publisher"), bare.connect(0, V311, "subscriber"));
    bare.subscribe(subscriber, V311, TOPIC, 2);
    let packet = publish(V311, TOPIC, QoS::ExactlyOnce, Properties::NONE);
    // The identifiers that the subscriber sees go round from 1.
    let mut id = 0_u16;
    Box::new(move |count| {
        for _ in 0..count {
            id = id.checked_add(1).unwrap_or(1);
            let [high, low] = id.to_be_bytes();
            bare.send(publisher, &packet);
            bare.send(publisher, &PUBREL);
            bare.send(subscriber, &[0x50, 2, high, low]);
            bare.send(subscriber, &[0x70, 2, high, low]);
            assert_eq!(bare.recipient_count(), 4, "PUBREC, PUBCOMP, PUBLISH, PUBREL");
            bare.clear();
        }
    })
}

/// Accept, CONNECT, CONNACK, DISCONNECT, with a session that does not outlive it.
fn connect_disconnect() -> Work {
    let mut bare = Bare::new(1);
    let packet = connect(V311, "client-0000345", true);
    Box::new(move |count| {
        for _ in 0..count {
            let client = bare.connect_as(0, &packet);
            bare.send(client, &[0xe0, 0]);
            bare.clear();
        }
    })
}

/// SUBSCRIBE and SUBACK for each filter of a session, and its end, which takes all of them out in one piece.
fn subscribe_and_leave() -> Work {
    let mut bare = Bare::new(1);
    let hello = connect(V311, "client-0000345", true);
    let filters = (0..FILTERS_PER_PIECE_MAX).map(|number| format!("tenant-001/site-{number:03}/+/temperature"));
    let wishes: Vec<Vec<u8>> = filters.map(|filter| subscribe(V311, &filter, 0)).collect();
    Box::new(move |count| {
        for _ in 0..(count as usize).div_ceil(wishes.len()) {
            let client = bare.connect_as(0, &hello);
            for wish in &wishes {
                bare.send(client, wish);
            }
            bare.send(client, &[0xe0, 0]);
            assert_eq!(bare.shards[0].sizes().subscriptions, 0, "all of them went at once");
            bare.clear();
        }
    })
}
