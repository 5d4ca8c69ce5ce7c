//! Wills: published when a connection ends in any way but a DISCONNECT, and only then.

use pregon::mqtt::Version;
use pregon::mqtt::property::Property;

use crate::client::Client;
use crate::process::Broker;
use crate::support::story::{Delivery, Hello, Post};

/// A client that has a will at QoS 1 on the topic `will`.
fn mortal(version: Version, id: &str) -> Hello {
    Hello::new(version, id).will("will", id, 1, false)
}

/// Clients of every version end as `end` says; what their wills were delivered as.
#[track_caller]
fn wills_of(shards: usize, keep_alive: u16, end: impl Fn(Client)) -> Vec<Delivery> {
    let broker = Broker::start(shards);
    let mut witness = Client::join(&broker, Version::V5, "witness");
    witness.subscribe("will", 2);
    let mut wills = Vec::new();
    for version in Version::ALL {
        // So many that every shard is home to some.
        for number in 0..8 {
            let id = format!("v{}-{number}", version.level());
            end(Client::connect(&broker, &mortal(version, &id).keep_alive(keep_alive)));
            let will = witness.take();
            assert_eq!(will.payload, id.as_bytes());
            wills.push(will);
        }
    }
    witness.expect_silence();
    wills
}

#[test]
fn network_failure_publishes_the_will() {
    for shards in [1, 3] {
        let wills = wills_of(shards, 0, Client::cut);
        assert!(wills.iter().all(|will| will.qos == 1 && !will.retain && !will.dup));
    }
}

#[test]
fn close_without_disconnect_publishes_the_will() {
    for shards in [1, 3] {
        wills_of(shards, 0, drop);
    }
}

#[test]
fn close_of_half_the_connection_publishes_the_will() {
    wills_of(3, 0, |mut client| {
        client.close_half();
        client.expect_closed();
    });
}

#[test]
fn protocol_error_publishes_the_will() {
    for shards in [1, 3] {
        wills_of(shards, 0, |mut client| {
            client.send(&[0x36, 0]); // a PUBLISH of QoS 3
            client.expect_end();
        });
    }
}

#[test]
fn exceeded_keep_alive_publishes_the_will() {
    let broker = Broker::start(3);
    let mut witness = Client::join(&broker, Version::V5, "witness");
    witness.subscribe("will", 1);
    let ids: Vec<String> = (0..12).map(|number| format!("silent-{number:02}")).collect();
    let silent = ids.iter().zip(Version::ALL.into_iter().cycle());
    let mut silent: Vec<Client> =
        silent.map(|(id, version)| Client::connect(&broker, &mortal(version, id).keep_alive(1))).collect();

    let mut dead: Vec<String> = ids.iter().map(|_| String::from_utf8(witness.take().payload).expect("text")).collect();
    dead.sort();
    assert_eq!(dead, ids);
    silent.iter_mut().for_each(Client::expect_end);
}

#[test]
fn disconnect_drops_the_will() {
    let broker = Broker::start(3);
    let mut witness = Client::join(&broker, Version::V5, "witness");
    witness.subscribe("will", 1);
    for version in Version::ALL {
        for number in 0..8 {
            let id = format!("v{}-{number}", version.level());
            Client::connect(&broker, &mortal(version, &id)).leave();
            // The second end of the same client takes the same way to the witness, behind anything the first one sent.
            Client::connect(&broker, &Hello::new(version, &id).will("will", "second", 1, false)).cut();
            assert_eq!(witness.take().payload, b"second", "{id} had left in order");
        }
    }
}

#[test]
fn disconnect_with_will_message_publishes_it() {
    let broker = Broker::start(3);
    let mut witness = Client::join(&broker, Version::V5, "witness");
    witness.subscribe("will", 1);
    let mut client = Client::connect(&broker, &mortal(Version::V5, "leaving"));
    client.send(&[0xe0, 1, 4]);
    client.expect_closed();
    assert_eq!(witness.take().payload, b"leaving");
}

#[test]
fn retained_will_is_there_for_those_who_come_later() {
    let broker = Broker::start(3);
    let mut witness = Client::join(&broker, Version::V311, "witness");
    witness.subscribe("die", 2);
    Client::connect(&broker, &Hello::v311("pahoClient").will("die", "Mensaje final", 2, true)).cut();
    let will = witness.take();
    assert_eq!((&will.payload[..], will.qos, will.retain), (&b"Mensaje final"[..], 2, false));

    let mut later = Client::join(&broker, Version::V311, "later");
    later.subscribe("die", 2);
    let will = later.take();
    assert_eq!((&will.payload[..], will.qos, will.retain), (&b"Mensaje final"[..], 2, true));
}

#[test]
fn delayed_will_is_called_off_by_a_new_connection() {
    let broker = Broker::start(3);
    let mut witness = Client::join(&broker, Version::V5, "witness");
    witness.subscribe("will", 1);
    let hello = mortal(Version::V5, "back in time").resume().expiry(60);
    let hello = hello.will_with(Property::WillDelay(1));
    Client::connect(&broker, &hello).cut();
    let back = Client::connect(&broker, &Hello::v5("back in time").resume().expiry(60));

    // A will of the same delay that is not called off shows that the time is over.
    let other = mortal(Version::V5, "not back").resume().expiry(60);
    Client::connect(&broker, &other.will_with(Property::WillDelay(2))).cut();
    assert_eq!(witness.take().payload, b"not back");
    witness.expect_silence();
    back.leave();
}

#[test]
fn takeover_publishes_the_will_of_the_older_connection() {
    let broker = Broker::start(3);
    let mut witness = Client::join(&broker, Version::V5, "witness");
    witness.subscribe("will", 1);
    for number in 0..8 {
        let id = format!("client-{number}");
        let older = Client::connect(&broker, &mortal(Version::V5, &id));
        let newer = Client::connect(&broker, &Hello::v5(&id));
        assert_eq!(witness.take().payload, id.as_bytes());
        newer.leave();
        drop(older);
    }
    Client::join(&broker, Version::V5, "publisher").post(&Post::to("will").payload("nothing more").qos(1));
    assert_eq!(witness.take().payload, b"nothing more");
}
