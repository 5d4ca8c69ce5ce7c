//! The handshakes of each quality of service, in both directions and in every version.

use pregon::mqtt::Version;

use crate::client::Client;
use crate::process::Broker;
use crate::support::story::{Heard, Hello, Post};

/// Shards of the brokers here: the one-core case, and messages that cross cores.
const SHARDS: [usize; 2] = [1, 3];

/// A publisher and subscribers of every version at every quality of service: each gets what it is due.
fn each_quality_reaches_each_quality(sent: u8) {
    for shards in SHARDS {
        let broker = Broker::start(shards);
        for sender in Version::ALL {
            let mut publisher = Client::join(&broker, sender, "publisher");
            for (receiver, granted) in Version::ALL.into_iter().flat_map(|version| [0, 1, 2].map(|qos| (version, qos)))
            {
                let mut subscriber = Client::join(&broker, receiver, "subscriber");
                subscriber.subscribe("flow/+", granted);
                publisher.post(&Post::to("flow/a").payload("first").qos(sent).id(7));
                publisher.post(&Post::to("flow/b").payload("second").qos(sent).id(7));

                let first = subscriber.take();
                let second = subscriber.take();
                let qos = sent.min(granted);
                assert_eq!(
                    (first.topic.as_str(), &first.payload[..], first.qos, first.dup),
                    ("flow/a", &b"first"[..], qos, false)
                );
                assert_eq!((second.topic.as_str(), &second.payload[..], second.qos), ("flow/b", &b"second"[..], qos));
                subscriber.expect_silence();
                subscriber.leave();
            }
            publisher.leave();
        }
    }
}

#[test]
fn qos0_reaches_each_version_and_quality() {
    each_quality_reaches_each_quality(0);
}

#[test]
fn qos1_reaches_each_version_and_quality() {
    each_quality_reaches_each_quality(1);
}

#[test]
fn qos2_reaches_each_version_and_quality() {
    each_quality_reaches_each_quality(2);
}

#[test]
fn qos2_that_is_sent_again_on_a_new_connection_arrives_once() {
    let broker = Broker::start(3);
    let mut subscriber = Client::join(&broker, Version::V311, "subscriber");
    subscriber.subscribe("once", 2);
    let post = Post::to("once").payload("only one").qos(2).id(9);

    let hello = Hello::v311("publisher").resume();
    let mut publisher = Client::connect(&broker, &hello);
    publisher.publish(&post);
    publisher.expect("PUBREC", |heard| matches!(heard, Heard::PubRec(9, 0, _)));
    publisher.cut();
    let (mut publisher, is_present) = Client::connect_present(&broker, &hello);
    assert!(is_present);
    publisher.post(&post.clone().dup());
    publisher.post(&Post::to("once").payload("the next").qos(2).id(9));

    assert_eq!(subscriber.take().payload, b"only one");
    assert_eq!(subscriber.take().payload, b"the next");
    subscriber.expect_silence();
}

#[test]
fn qos2_delivery_goes_on_with_pubrel_on_a_new_connection() {
    let broker = Broker::start(3);
    let hello = Hello::v311("subscriber").resume();
    let mut subscriber = Client::connect(&broker, &hello);
    subscriber.subscribe("once", 2);
    Client::join(&broker, Version::V311, "publisher").post(&Post::to("once").payload("x").qos(2).id(1));

    let id = subscriber.delivery().id.expect("QoS 2 has an identifier");
    subscriber.answer(0x50, id);
    assert_eq!(subscriber.hear(), Heard::PubRel(id, 0, Vec::new()));
    subscriber.cut();

    let (mut subscriber, is_present) = Client::connect_present(&broker, &hello);
    assert!(is_present);
    assert_eq!(subscriber.hear(), Heard::PubRel(id, 0, Vec::new()));
    subscriber.answer(0x70, id);
    subscriber.expect_silence();
}

#[test]
fn unacknowledged_qos1_comes_again_with_dup_on_a_new_connection_only() {
    let broker = Broker::start(3);
    let hello = Hello::v5("subscriber").resume().expiry(60);
    let mut subscriber = Client::connect(&broker, &hello);
    subscriber.subscribe("again", 1);
    Client::join(&broker, Version::V5, "publisher").post(&Post::to("again").payload("x").qos(1).id(1));

    let first = subscriber.delivery();
    assert!(!first.dup);
    subscriber.expect_silence();
    subscriber.cut();

    let mut subscriber = Client::connect(&broker, &hello);
    let second = subscriber.take();
    assert_eq!((second.id, second.dup, second.payload), (first.id, true, first.payload));
    subscriber.expect_silence(); // a reset may destroy what the broker has not read
    subscriber.cut();

    let mut subscriber = Client::connect(&broker, &hello);
    subscriber.expect_silence();
}

#[test]
fn receive_maximum_of_a_client_bounds_what_is_on_its_way_to_it() {
    let broker = Broker::start(3);
    let mut subscriber = Client::connect(&broker, &Hello::v5("subscriber").receive_maximum(3));
    subscriber.subscribe("many", 1);
    let mut publisher = Client::join(&broker, Version::V5, "publisher");
    (0..10u8).for_each(|number| publisher.post(&Post::to("many").payload([number]).qos(1).id(1)));

    let mut open: Vec<_> = (0..3).map(|_| subscriber.delivery()).collect();
    subscriber.expect_silence();
    for number in 3..10u8 {
        let oldest = open.remove(0);
        subscriber.acknowledge(&oldest);
        let next = subscriber.delivery();
        assert_eq!(next.payload, [number]);
        open.push(next);
    }
}
