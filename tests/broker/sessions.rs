//! Sessions that outlive their connection, and those that do not.

use pregon::mqtt::Version;
use pregon::mqtt::property::Property;

use crate::client::Client;
use crate::process::Broker;
use crate::support::story::{Hello, Post};

/// A session that stays: clean session 0 in 3.x, an expiry in 5.0.
fn lasting(version: Version, id: &str) -> Hello {
    let hello = Hello::new(version, id).resume();
    if version == Version::V5 { hello.expiry(600) } else { hello }
}

#[test]
fn session_keeps_subscriptions_and_queue_while_its_client_is_away() {
    for shards in [1, 3] {
        let broker = Broker::start(shards);
        for version in Version::ALL {
            // So many that every shard is home to some.
            for number in 0..12 {
                let id = format!("v{}-{number}", version.level());
                let topic = format!("queue/{id}");
                let (mut subscriber, is_present) = Client::connect_present(&broker, &lasting(version, &id));
                assert!(!is_present);
                subscriber.subscribe(&topic, 2);
                subscriber.leave();

                let mut publisher = Client::join(&broker, Version::V311, "publisher");
                for qos in [1, 2, 1] {
                    publisher.post(&Post::to(&topic).payload(format!("QoS {qos}")).qos(qos).id(1));
                }

                let (mut subscriber, is_present) = Client::connect_present(&broker, &lasting(version, &id));
                assert_eq!(is_present, version != Version::V31, "3.1 has no flag for it");
                let payloads = [0, 1, 2].map(|_| String::from_utf8(subscriber.take().payload).expect("text"));
                assert_eq!(payloads, ["QoS 1", "QoS 2", "QoS 1"]);
                subscriber.expect_silence();
            }
        }
    }
}

#[test]
fn qos0_is_not_queued_for_an_absent_client() {
    let broker = Broker::start(3);
    let mut subscriber = Client::connect(&broker, &lasting(Version::V5, "subscriber"));
    subscriber.subscribe("queue", 1);
    subscriber.leave();

    let mut publisher = Client::join(&broker, Version::V5, "publisher");
    publisher.publish(&Post::to("queue").payload("not kept"));
    publisher.post(&Post::to("queue").payload("kept").qos(1));

    let mut subscriber = Client::connect(&broker, &lasting(Version::V5, "subscriber"));
    assert_eq!(subscriber.take().payload, b"kept");
    subscriber.expect_silence();
}

#[test]
fn clean_session_leaves_nothing_behind() {
    let broker = Broker::start(3);
    for version in Version::ALL {
        let mut subscriber = Client::connect(&broker, &lasting(version, "subscriber"));
        subscriber.subscribe("queue", 1);
        subscriber.leave();
        Client::join(&broker, version, "subscriber").leave();

        let mut publisher = Client::join(&broker, version, "publisher");
        publisher.post(&Post::to("queue").payload("for nobody").qos(1));
        let (mut subscriber, is_present) = Client::connect_present(&broker, &lasting(version, "subscriber"));
        assert!(!is_present);
        subscriber.expect_silence();
        subscriber.subscribe("queue", 1);
        publisher.post(&Post::to("queue").payload("for somebody").qos(1));
        assert_eq!(subscriber.take().payload, b"for somebody");
        subscriber.leave();
        Client::join(&broker, version, "subscriber").leave();
    }
}

#[test]
fn session_is_carried_from_one_version_to_the_next() {
    let broker = Broker::start(3);
    let mut subscriber = Client::connect(&broker, &lasting(Version::V311, "subscriber"));
    subscriber.subscribe("queue", 1);
    subscriber.leave();
    Client::join(&broker, Version::V5, "publisher").post(&Post::to("queue").payload("x").qos(1));

    let (mut subscriber, is_present) = Client::connect_present(&broker, &lasting(Version::V5, "subscriber"));
    assert!(is_present);
    assert_eq!(subscriber.take().payload, b"x");
}

#[test]
fn session_of_5_0_ends_when_its_expiry_has_passed() {
    let broker = Broker::start(3);
    let hello = Hello::v5("subscriber").resume().expiry(1);
    let mut subscriber = Client::connect(&broker, &hello);
    subscriber.subscribe("queue", 1);
    subscriber.leave();

    // Its will, delayed beyond the end of the session, is published at that end.
    let mut witness = Client::join(&broker, Version::V5, "witness");
    witness.subscribe("ended", 1);
    let mortal = Hello::v5("mortal").expiry(1).will("ended", "with the session", 1, false);
    let mortal = mortal.will_with(Property::WillDelay(3600));
    Client::connect(&broker, &mortal).cut();
    assert_eq!(witness.take().payload, b"with the session");

    let (_, is_present) = Client::connect_present(&broker, &hello);
    assert!(!is_present, "both had a second, and the other one is over");
}
