//! Keep Alive: silence ends a connection after one and a half times of it, and nothing else does.

use std::time::Duration;

use pregon::mqtt::Version;

use crate::client::Client;
use crate::patience::Stopwatch;
use crate::process::{Broker, Options};
use crate::support::story::{Heard, Hello};

/// DISCONNECT: Keep Alive timeout.
const KEEP_ALIVE_TIMEOUT: u8 = 0x8d;

#[test]
fn silent_client_is_closed_after_one_and_a_half_times() {
    let broker = Broker::start(3);
    for version in Version::ALL {
        let watch = Stopwatch::start();
        let mut client = Client::connect(&broker, &Hello::new(version, "silent").keep_alive(1));
        client.expect_closed_for(KEEP_ALIVE_TIMEOUT);
        // The broker reads its clock once a turn, so its second may have begun a little before ours.
        assert!(watch.elapsed() > Duration::from_millis(1400), "after {:?}", watch.elapsed());
    }
}

#[test]
fn client_that_pings_stays() {
    let broker = Broker::start(3);
    let hello = |version: Version| Hello::new(version, &format!("v{}", version.level())).keep_alive(2);
    let mut clients = Version::ALL.map(|version| Client::connect(&broker, &hello(version)));
    let watch = Stopwatch::start();
    while watch.elapsed() < Duration::from_secs(5) {
        for client in &mut clients {
            client.expect_silence();
            assert_eq!(client.hear_within(Duration::from_millis(100)), None);
        }
    }
}

#[test]
fn any_packet_counts_as_a_sign_of_life_and_a_part_of_one_does_not() {
    let broker = Broker::start(1);
    let mut client = Client::connect(&broker, &Hello::v311("slow writer").keep_alive(2));
    // A packet whose end never comes: [MQTT-3.1.2-24] asks for control packets, not for bytes.
    client.send(&[0x30, 0x7f, 0, 1]);
    let mut silence = 0;
    while client.hear_within(Duration::from_millis(300)).is_none() {
        client.send(b"x");
        silence += 1;
        assert!(silence < 100, "thirty seconds of single bytes keep a connection alive");
    }
    assert!(silence >= 5, "closed too early");
}

#[test]
fn client_without_keep_alive_is_left_alone() {
    let broker = Broker::start(1);
    let mut quiet = Client::connect(&broker, &Hello::v311("quiet").keep_alive(0));
    let mut silent = Client::connect(&broker, &Hello::v311("silent").keep_alive(2));
    silent.expect_closed();
    quiet.expect_silence();
}

#[test]
fn connection_that_never_says_connect_is_closed() {
    let broker = Options::shards(3).set("limits.connect_timeout=1s").start();
    let mut silent = Client::open(broker.address, Version::V311);
    let mut slow = Client::open(broker.address, Version::V5);
    slow.send(&[0x10, 0x20, 0, 4]);
    assert_eq!(silent.hear(), Heard::Closed);
    assert_eq!(slow.hear(), Heard::Closed);
}
