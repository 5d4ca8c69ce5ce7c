//! Listeners with bounds of their own, side by side on one broker.

use std::io::Write as _;
use std::time::Duration;

use pregon::mqtt::Version;

use crate::client::Client;
use crate::patience::{Stopwatch, wait_until};
use crate::process::{Broker, Options};
use crate::stream::{self, read_to_end};
use crate::support::story::{Heard, Hello, Post, Wish};
use crate::tls::Trust;

/// A broker with a listener `narrow` that has these bounds of its own.
fn with_narrow(shards: usize, bounds: &[&str]) -> Broker {
    let options = Options::shards(shards).set("listeners.narrow.address=127.0.0.1:0");
    bounds.iter().fold(options, |options, bound| options.set(&format!("listeners.narrow.{bound}"))).start()
}

fn by_narrow(broker: &Broker, hello: &Hello) -> Client {
    Client::connect_over(stream::tcp(broker.named("narrow")), hello)
}

#[test]
fn each_listener_of_a_broker_keeps_its_own_bounds() {
    for shards in [1, 3] {
        let broker = with_narrow(shards, &["packet_bytes_max=1KiB", "maximum_qos=1", "subscriptions_max=2"]);
        let mut reader = Client::join(&broker, Version::V5, "reader");
        reader.subscribe("#", 2);
        // Over several names, so that some of them live on another shard than the one that they come to.
        for name in 0..6 {
            for version in [Version::V311, Version::V5] {
                let hello = Hello::new(version, &format!("client-{name}"));
                let (large, twice) = (Post::to("t").payload(vec![b'x'; 2_000]).qos(1), Post::to("t").qos(2));
                let mut usual = Client::connect(&broker, &hello);
                usual.post(&large);
                usual.post(&twice);
                assert_eq!((reader.take().payload.len(), reader.take().qos), (2_000, 2));
                let mut narrow = by_narrow(&broker, &hello);
                usual.expect_end();
                let codes = narrow.subscribe_to(&[Wish::to("a", 2), Wish::to("b", 2), Wish::to("c", 2)]);
                assert_eq!(codes, [1, 1, if version == Version::V5 { 0x97 } else { 0x80 }]);
                narrow.publish(&large);
                narrow.expect_closed_for(0x95);
                let mut narrow = by_narrow(&broker, &hello);
                narrow.publish(&twice);
                narrow.expect_closed_for(0x9b);
            }
        }
        reader.expect_silence();
    }
}

#[test]
fn threat_10_each_listener_has_its_own_keep_alive_also_for_who_asks_for_none() {
    let broker = with_narrow(3, &["keep_alive_max=1s"]);
    for version in Version::ALL {
        for keep_alive_s in [0, 600] {
            let hello = |name| Hello::new(version, name).keep_alive(keep_alive_s);
            let mut usual = Client::connect(&broker, &hello("usual"));
            by_narrow(&broker, &hello("silent")).expect_closed_for(0x8d);
            usual.expect_silence();
        }
    }
}

#[test]
fn threat_10_each_listener_has_its_own_time_for_a_handshake() {
    let trust = Trust::new("bounds-handshake");
    let broker = trust.options(3).set("limits.connect_timeout=1h").set("listeners.tls.connect_timeout=1s").start();
    let mut patient = stream::tcp(broker.address);
    let mut silent = stream::tcp(broker.named("tls"));
    let mut slow = stream::tcp(broker.named("tls"));
    slow.write_all(&[22, 3, 1]).expect("the broker takes bytes");
    for stranger in [&mut silent, &mut slow] {
        assert_eq!(read_to_end(stranger), [0; 0], "nothing is answered");
    }
    patient.write_all(&Hello::v5("patient").encode()).expect("the broker takes bytes");
    let mut patient = Client::over(patient, Version::V5);
    patient.expect("success", |heard| matches!(heard, Heard::ConnAck(_, 0, _)));
}

#[test]
fn threat_10_who_stops_in_the_middle_of_a_packet_is_closed_and_who_rests_between_two_is_not() {
    const STALLED: u64 = 18;
    for shards in [1, 3] {
        let broker = Options::shards(shards).set("limits.read_stall=1s").with_metrics().start();
        let mut resting = Client::join(&broker, Version::V311, "resting");
        // Over several names, so that some of them live on another shard than the one that they come to.
        let stall = |number: u64| {
            let version = Version::ALL[usize::try_from(number).expect("there are few") % Version::ALL.len()];
            let mut client = Client::join(&broker, version, &format!("stalled-{number}"));
            let packet = Post::to("t").qos(1).payload(vec![b'x'; 10_000]).encode(version);
            client.send(&packet[..9_000]);
            client
        };
        let mut stalled: Vec<Client> = (0..STALLED).map(stall).collect();
        for client in &mut stalled {
            client.expect_closed_for(0x80);
        }
        resting.expect_silence();
        let reached = || -> u64 {
            let text = broker.metrics();
            let lines = text.lines().filter(|line| line.starts_with("pregon_limits_reached_total{"));
            let of_it = lines.filter(|line| line.contains("limit=\"read_stall\""));
            of_it.filter_map(|line| line.rsplit_once(' ')?.1.parse::<u64>().ok()).sum()
        };
        wait_until("each of them to be counted", || reached() == STALLED);
    }
}

#[test]
fn a_listener_bounds_what_its_clients_are_sent_in_a_second_and_nobody_else_waits() {
    let broker = with_narrow(3, &["message_rate_out=20"]);
    let mut narrow = by_narrow(&broker, &Hello::v5("narrow"));
    let mut usual = Client::join(&broker, Version::V311, "usual");
    narrow.subscribe("t", 1);
    usual.subscribe("t", 1);
    let watch = Stopwatch::start();
    let mut writer = Client::join(&broker, Version::V311, "writer");
    for id in 1..=60 {
        writer.post(&Post::to("t").qos(1).id(id).payload(id.to_string()));
    }
    for reader in [&mut usual, &mut narrow] {
        for id in 1..=60 {
            assert_eq!(reader.take().payload, id.to_string().as_bytes());
        }
    }
    assert!(watch.elapsed() > Duration::from_millis(1_800), "40 of them, 20 a second, in {:?}", watch.elapsed());
    usual.expect_silence();
    narrow.expect_silence();
}
