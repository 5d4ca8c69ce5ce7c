//! Too few descriptors: the broker serves those it has, waits without haste, and goes on when there are some again.

use std::time::Duration;

use pregon::mqtt::Version;

use crate::client::Client;
use crate::patience::Stopwatch;
use crate::process::{Options, is_plain};
use crate::support::story::{Heard, Hello, Post};

/// Descriptors of the process: enough for itself and some clients.
const DESCRIPTORS: u32 = 128;
/// How long a client waits for CONNACK before the test believes that the broker is full.
const REFUSED: Duration = Duration::from_secs(2);
/// How long the broker is watched while it is full.
const WATCHED: Duration = Duration::from_secs(3);

#[test]
fn broker_without_descriptors_waits_calmly_and_goes_on() {
    for shards in [1, 2] {
        let broker = Options::shards(shards).descriptors_max(DESCRIPTORS).start();
        let mut served = Client::join(&broker, Version::V5, "served");
        served.subscribe("topic", 1);

        let mut crowd = Vec::new();
        // The ring lets who comes next wait. Plain streams may find out only after they have accepted it, and close it.
        let waiting = loop {
            assert!(crowd.len() < DESCRIPTORS as usize, "the broker has more descriptors than it was given");
            let id = format!("client-{}", crowd.len());
            let mut client = Client::hello(&broker, &Hello::v311(&id));
            match client.hear_within(REFUSED) {
                Some(Heard::ConnAck(false, 0, _)) => crowd.push(client),
                None => break Some(client),
                Some(Heard::Closed) if is_plain() => break None,
                other => panic!("neither accepted nor left waiting: {other:?}"),
            }
        };
        assert!(crowd.len() > 10, "only {} clients", crowd.len());

        // Those who are connected are served as ever, and the processor rests.
        let (watch, before, mut rounds) = (Stopwatch::start(), broker.processor_time(), 0);
        while watch.elapsed() < WATCHED {
            crowd[0].post(&Post::to("topic").payload("x").qos(1));
            served.take();
            assert_eq!(served.hear_within(Duration::from_millis(100)), None);
            rounds += 1;
        }
        let spent = broker.processor_time().saturating_sub(before);
        assert!(rounds >= 3, "served {rounds} times in {WATCHED:?}");
        assert!(spent < WATCHED / 4, "{spent:?} of processor time in {WATCHED:?} of waiting");

        crowd.drain(..5).for_each(Client::leave);
        if let Some(mut waiting) = waiting {
            assert!(matches!(waiting.hear(), Heard::ConnAck(false, 0, _)));
        }
        Client::join(&broker, Version::V5, "late").expect_silence();
    }
}
