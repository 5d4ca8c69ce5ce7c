//! Retained messages: kept by topic on some shard, found from every other one.

use std::collections::BTreeMap;

use pregon::mqtt::Version;

use crate::client::Client;
use crate::process::{Broker, Options};
use crate::support::story::{Heard, Post, Wish};

/// So many topics that every shard is home to some.
const TOPICS: usize = 200;

/// Subscribes and takes so many retained messages, by topic.
#[track_caller]
fn retained(client: &mut Client, filter: &str, count: usize) -> BTreeMap<String, Vec<u8>> {
    client.subscribe(filter, 1);
    let mut found = BTreeMap::new();
    for _ in 0..count {
        let delivery = client.take();
        assert!(delivery.retain, "{} comes from the store", delivery.topic);
        assert_eq!(found.insert(delivery.topic, delivery.payload), None, "a topic has one retained message");
    }
    found
}

#[test]
fn wildcard_finds_the_retained_messages_of_every_shard() {
    for shards in [1, 3] {
        let broker = Broker::start(shards);
        let mut publisher = Client::join(&broker, Version::V311, "publisher");
        let mut expected = BTreeMap::new();
        for number in 0..TOPICS {
            let (topic, payload) = (format!("room/{number}/temperature"), number.to_string());
            publisher.post(&Post::to(&topic).payload("stale").qos(1).retain());
            publisher.post(&Post::to(&topic).payload(payload.as_str()).qos(1).retain());
            expected.insert(topic, payload.into_bytes());
        }
        publisher.post(&Post::to("room/1/humidity").payload("elsewhere").qos(1).retain());
        publisher.post(&Post::to("room/1/temperature").payload("not kept").qos(1));

        for version in Version::ALL {
            let mut subscriber = Client::join(&broker, version, "subscriber");
            assert_eq!(retained(&mut subscriber, "room/+/temperature", TOPICS), expected);
            assert_eq!(retained(&mut subscriber, "room/7/temperature", 1)["room/7/temperature"], b"7");
            assert_eq!(retained(&mut subscriber, "room/#", TOPICS + 1).len(), TOPICS + 1);
            assert_eq!(retained(&mut subscriber, "#", TOPICS + 1).len(), TOPICS + 1);
            assert!(retained(&mut subscriber, "room/+", 0).is_empty());
            subscriber.expect_silence();
            subscriber.leave();
        }
    }
}

/// Nothing acknowledges a message of QoS 0, but an answer to what was said behind it has been heard: who subscribes only then comes behind
/// it, also where it has its home elsewhere. A shard that is behind may read who asks first, so it is not every time.
#[test]
fn who_subscribes_behind_an_answer_finds_what_was_published_before_it() {
    const ROUNDS: usize = 3_000;
    let broker = Broker::start(3);
    let join =
        |name: &str| (0..3).map(|number| Client::join(&broker, Version::V5, &format!("{name}{number}"))).collect();
    let (mut publishers, mut subscribers): (Vec<Client>, Vec<Client>) = (join("publisher"), join("subscriber"));
    let mut early = 0;
    for round in 0..ROUNDS {
        let topic = format!("room/{round}");
        let publisher = &mut publishers[round % 3];
        publisher.publish(&Post::to(&topic).payload("stale").retain());
        publisher.publish(&Post::to(&topic).payload("new").retain());
        publisher.send(&[0xc0, 0]);
        publisher.expect("PINGRESP", |heard| *heard == Heard::PingResp);
        let subscriber = &mut subscribers[round / 3 % 3];
        subscriber.subscribe(&topic, 0);
        let first = subscriber.take();
        early += usize::from(!first.retain || first.payload != b"new");
        if first.payload != b"new" {
            assert_eq!(subscriber.take().payload, b"new", "behind the older one");
        }
    }
    assert!(early <= ROUNDS / 100, "{early} of {ROUNDS} came before what they should have found");
}

#[test]
fn empty_payload_erases() {
    let broker = Broker::start(3);
    let mut publisher = Client::join(&broker, Version::V5, "publisher");
    for number in 0..TOPICS {
        publisher.post(&Post::to(&format!("room/{number}")).payload("x").qos(1).retain());
    }
    for number in (0..TOPICS).filter(|number| number % 10 != 0) {
        publisher.post(&Post::to(&format!("room/{number}")).qos(1).retain());
    }
    let mut subscriber = Client::join(&broker, Version::V5, "subscriber");
    assert_eq!(retained(&mut subscriber, "room/+", TOPICS / 10).len(), TOPICS / 10);
    subscriber.expect_silence();
}

#[test]
fn bound_of_retained_messages_is_one_of_the_whole_broker() {
    let broker = Options::shards(2).set("limits.retained_messages_max=20").start();
    let mut publisher = Client::join(&broker, Version::V5, "publisher");
    let mut kept = 0;
    for id in 1..=u16::try_from(TOPICS).expect("there are some") {
        publisher.publish(&Post::to(&format!("room/{id}")).payload("x").qos(1).id(id).retain());
        match publisher.hear() {
            Heard::PubAck(acked, 0 | 0x10, _) if acked == id => kept += 1,
            Heard::PubAck(acked, 0x97, _) if acked == id => {}
            other => panic!("neither kept nor refused: {other:?}"),
        }
    }
    // Each shard keeps its half, and among so many topics each finds more than that.
    assert_eq!(kept, 20);
    let mut subscriber = Client::join(&broker, Version::V5, "subscriber");
    assert_eq!(retained(&mut subscriber, "room/+", kept).len(), kept);
    subscriber.expect_silence();
}

#[test]
fn running_subscription_gets_a_retained_message_without_the_flag() {
    let broker = Broker::start(3);
    let mut plain = Client::join(&broker, Version::V311, "plain");
    let mut keeping = Client::join(&broker, Version::V5, "keeping");
    plain.subscribe("state", 0);
    assert_eq!(keeping.subscribe_to(&[Wish::to("state", 0).keep_retain()]), [0]);
    Client::join(&broker, Version::V311, "publisher").post(&Post::to("state").payload("x").qos(1).retain());
    assert!(!plain.take().retain);
    assert!(keeping.take().retain);
}

#[test]
fn retain_handling_decides_who_gets_what_is_stored() {
    let broker = Broker::start(3);
    let mut publisher = Client::join(&broker, Version::V5, "publisher");
    publisher.post(&Post::to("state").payload("x").qos(1).retain());
    publisher.post(&Post::to("always").payload("x").qos(1).retain());

    let mut subscriber = Client::join(&broker, Version::V5, "subscriber");
    for (handling, expected) in [(2, false), (1, false), (0, true), (1, false), (0, true), (2, false)] {
        let wishes = [Wish::to("state", 0).handling(handling), Wish::to("always", 0)];
        assert_eq!(subscriber.subscribe_to(&wishes), [0, 0]);
        // Both look-ups began at once: one that must not be made would show here or behind the next SUBACK.
        let mut topics: Vec<String> = (0..=u8::from(expected)).map(|_| subscriber.take().topic).collect();
        topics.sort();
        assert_eq!(topics, if expected { vec!["always", "state"] } else { vec!["always"] }, "handling {handling}");
    }
    subscriber.expect_silence();
}
