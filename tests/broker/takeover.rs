//! A second connection with the same client identifier: the first one goes, the session stays whole.

use std::time::Duration;

use pregon::mqtt::Version;

use crate::client::Client;
use crate::patience::{Deadline, PATIENCE};
use crate::process::Broker;
use crate::support::story::{Heard, Hello, Post};

/// So many client identifiers that every shard is home to some, and connections land on other shards than their home.
const CLIENTS: usize = 32;
/// DISCONNECT: Session taken over.
const TAKEN_OVER: u8 = 0x8e;

#[test]
fn newer_connection_replaces_the_older_one_on_every_shard() {
    for shards in [1, 3] {
        let broker = Broker::start(shards);
        for number in 0..CLIENTS {
            let hello = Hello::v5(&format!("client-{number}")).resume().expiry(60);
            let topic = format!("to/{number}");
            let mut older = Client::connect(&broker, &hello);
            older.subscribe(&topic, 1);

            let (mut newer, is_present) = Client::connect_present(&broker, &hello);
            assert!(is_present);
            older.expect_closed_for(TAKEN_OVER);

            Client::join(&broker, Version::V5, "publisher").post(&Post::to(&topic).payload("x").qos(1));
            assert_eq!(newer.take().payload, b"x");
            newer.expect_silence();
        }
    }
}

#[test]
fn versions_replace_each_other() {
    let broker = Broker::start(3);
    for (first, second) in Version::ALL.into_iter().flat_map(|first| Version::ALL.map(|second| (first, second))) {
        let mut older = Client::join(&broker, first, "client");
        let mut newer = Client::join(&broker, second, "client");
        older.expect_closed_for(TAKEN_OVER);
        newer.expect_silence();
        newer.leave();
    }
}

#[test]
fn message_on_its_way_to_the_older_connection_reaches_the_newer_one() {
    let broker = Broker::start(3);
    for number in 0..CLIENTS {
        let hello = Hello::v311(&format!("client-{number}")).resume();
        let topic = format!("to/{number}");
        let mut older = Client::connect(&broker, &hello);
        older.subscribe(&topic, 1);
        Client::join(&broker, Version::V311, "publisher").post(&Post::to(&topic).payload("x").qos(1));
        let unacknowledged = older.delivery();

        let mut newer = Client::connect(&broker, &hello);
        let again = newer.take();
        assert_eq!((again.payload, again.id, again.dup), (unacknowledged.payload, unacknowledged.id, true));
        older.expect_closed();
        newer.expect_silence();
    }
}

#[test]
fn many_connections_with_one_identifier_leave_one() {
    let broker = Broker::start(3);
    let hello = Hello::v311("wanted by all");
    let mut crowd: Vec<Client> = (0..CLIENTS).map(|_| Client::open(broker.address, Version::V311)).collect();
    for client in &mut crowd {
        client.send(&hello.encode());
    }

    let deadline = Deadline::after(PATIENCE);
    while crowd.len() > 1 {
        assert!(deadline.left().is_some(), "{} connections share an identifier", crowd.len());
        crowd.retain_mut(|client| client.hear_within(Duration::from_millis(1)) != Some(Heard::Closed));
    }
    let survivor = &mut crowd[0];
    survivor.send(&[0xc0, 0]);
    let heard: Vec<Heard> =
        std::iter::from_fn(|| Some(survivor.hear())).take_while(|heard| *heard != Heard::PingResp).collect();
    assert!(heard.iter().all(|heard| matches!(heard, Heard::ConnAck(_, 0, _))), "{heard:?}");
}
