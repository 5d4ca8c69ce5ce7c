//! More messages wait than memory has room for.

use std::path::Path;

use pregon::mqtt::Version;

use crate::client::Client;
use crate::folder::Folder;
use crate::process::{Broker, Options};
use crate::support::story::{Heard, Hello, Post};

const SESSIONS: usize = 3;
const MESSAGES: usize = 1_500;
const PAYLOAD_BYTES: usize = 16 << 10;
/// Publications that are sent before their acknowledgements are looked at.
const BATCH: usize = 50;
/// What the broker may take beside what it takes idle: far less than what waits, which is 74 MB.
const MEMORY_MAX: u64 = 40 << 20;

fn start(folder: &Path, shards: usize) -> Broker {
    let data_dir = format!("storage.data_dir={}", folder.display());
    let options =
        Options::shards(shards).set(&data_dir).set("storage.durability=interval").set("storage.interval=20ms");
    let options = options.set("storage.ram_budget=64KiB").set("storage.segment_bytes=1MiB");
    options.set("limits.queue_messages_max=10000").start()
}

fn payload(session: usize, number: usize) -> String {
    let mut payload = format!("{session} {number} ");
    payload.extend(std::iter::repeat_n('x', PAYLOAD_BYTES - payload.len()));
    payload
}

/// Messages of these numbers for each of these sessions, all acknowledged.
fn publish(broker: &Broker, sessions: std::ops::Range<usize>, numbers: std::ops::Range<usize>) {
    let mut publisher = Client::join(broker, Version::V5, "publisher");
    for session in sessions {
        let numbers: Vec<usize> = numbers.clone().collect();
        for batch in numbers.chunks(BATCH) {
            for number in batch {
                publisher
                    .publish(&Post::to(&format!("for/{session}")).payload(payload(session, *number).as_str()).qos(1));
            }
            for _ in batch {
                publisher.expect("PUBACK", |heard| matches!(heard, Heard::PubAck(_, 0, _)));
            }
        }
    }
    publisher.leave();
}

/// What a session is sent, in this order and nothing else.
fn drain(broker: &Broker, session: usize, numbers: std::ops::Range<usize>) {
    let (mut client, is_present) = Client::connect_present(broker, &Hello::v311(&format!("s{session}")).resume());
    assert!(is_present, "the session of s{session}");
    for number in numbers {
        let delivery = client.take();
        assert!(delivery.payload == payload(session, number).as_bytes(), "s{session}: message {number}");
    }
    client.expect_silence();
    client.leave();
}

#[test]
fn what_memory_has_no_room_for_waits_on_the_disk_and_comes_in_its_order() {
    let folder = Folder::new("stowed");
    let mut broker = start(folder.path(), 1);
    for session in 0..SESSIONS {
        let mut client = Client::connect(&broker, &Hello::v311(&format!("s{session}")).resume());
        client.subscribe(&format!("for/{session}"), 1);
        client.leave();
    }
    let idle = broker.memory_now();
    publish(&broker, 0..SESSIONS, 0..MESSAGES);
    let (full, allowed) = (broker.memory_now(), idle + MEMORY_MAX);
    assert!(full < allowed, "{full} bytes with full queues, {idle} before");
    // What is settled makes the journal sweep, and what waits on the disk is told again.
    drain(&broker, 0, 0..MESSAGES);
    publish(&broker, 0..1, 0..MESSAGES);
    drain(&broker, 0, 0..MESSAGES);
    drop(broker); // it is killed
    // A start does not bring it into memory, nor does another number of shards.
    for shards in [1, 2, 1] {
        broker = start(folder.path(), shards);
        let peak = broker.memory_peak();
        assert!(peak < allowed, "{peak} bytes to start {shards} shards, {idle} idle");
        broker.terminate();
        assert!(broker.wait().success(), "it stops in order");
    }
    broker = start(folder.path(), 1);
    publish(&broker, 1..2, MESSAGES..MESSAGES + 10);
    drain(&broker, 1, 0..MESSAGES + 10);
    drain(&broker, 2, 0..MESSAGES);
}
