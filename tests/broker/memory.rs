//! The end of memory, at which what was acknowledged outlives the broker, and memory that has done its work.

use std::collections::VecDeque;

use pregon::mqtt::Version;

use crate::client::Client;
use crate::folder::Folder;
use crate::patience::{PATIENCE, wait_until};
use crate::process::Options;
use crate::support::story::{Heard, Hello, Post};

/// Addresses that the process may use: some more than it needs to start.
const ADDRESS_SPACE_BYTES: u64 = 768 << 20;
/// Each message of its own content, so that nobody shares it; all of them need far more than that.
const PAYLOAD_BYTES: usize = 64 * 1024;
const MESSAGES_MAX: u64 = 3 * ADDRESS_SPACE_BYTES / PAYLOAD_BYTES as u64;
/// Messages on their way.
const UNACKNOWLEDGED_MAX: usize = 16;

fn payload(number: u64) -> Vec<u8> {
    number.to_be_bytes().repeat(PAYLOAD_BYTES / 8)
}

#[test]
fn threat_9_what_was_acknowledged_survives_the_end_of_memory() {
    let folder = Folder::new("memory");
    let data = format!("storage.data_dir={}", folder.path().display());
    let options = Options::shards(2).set("storage.durability=fsync").set(&data);
    let options = options.set("limits.queue_messages_max=1000000").set("limits.queue_bytes_max=1TiB");
    // All that waits is to lie in memory.
    let options = options.set("storage.ram_budget=1TiB");
    let broker = options.clone().address_space_max(ADDRESS_SPACE_BYTES).start();
    let hello = || Hello::v5("keeper").resume().expiry(3_600);
    let mut keeper = Client::connect(&broker, &hello());
    keeper.subscribe("kept/#", 1);
    keeper.cut();
    let mut speaker = Client::join(&broker, Version::V5, "speaker");
    speaker.post(&Post::to("kept/retained").qos(1).retain().payload("retained"));
    let (said, acknowledged) = say_until_it_ends(&mut speaker);
    assert!((1..MESSAGES_MAX).contains(&acknowledged), "{acknowledged} of {MESSAGES_MAX} messages found room");
    drop((speaker, broker));

    let broker = options.start();
    let (mut keeper, is_present) = Client::connect_present(&broker, &hello());
    assert!(is_present, "its session was acknowledged");
    assert_eq!(keeper.take().payload, b"retained");
    let mut found = 0;
    while found < acknowledged {
        assert_eq!(keeper.take().payload, payload(found), "message {found} of {acknowledged}");
        found += 1;
    }
    // What was said and not acknowledged may be there as well, and comes in its order.
    keeper.send(&[0xc0, 0]);
    while let Heard::Publish(delivery) = keeper.hear() {
        keeper.acknowledge(&delivery);
        assert!(delivery.payload == payload(found) && found < said, "message {found} of {said}");
        found += 1;
    }
    let mut hearer = Client::join(&broker, Version::V5, "hearer");
    hearer.subscribe("kept/retained", 1);
    assert_eq!(hearer.take().payload, b"retained");
}

#[test]
fn memory_that_is_not_used_any_more_is_given_back_though_nobody_says_anything() {
    const MESSAGES: u64 = 1_000;
    const ALL_BYTES: u64 = MESSAGES * PAYLOAD_BYTES as u64;
    let broker = Options::shards(2).start();
    let mut speaker = Client::join(&broker, Version::V5, "speaker");
    let mut retain = |number: u64, payload: Vec<u8>| {
        speaker.post(&Post::to(&format!("kept/{number}")).qos(1).retain().payload(payload));
    };
    retain(0, payload(0));
    let before = broker.memory_private();
    (1..=MESSAGES).for_each(|number| retain(number, payload(number)));
    assert!(broker.memory_private() >= before + ALL_BYTES, "each lies there");
    (0..=MESSAGES).for_each(|number| retain(number, Vec::new()));
    speaker.leave();
    wait_until("what nobody needs to be given back", || broker.memory_private() < before + ALL_BYTES / 4);
}

/// Message after message, until the broker refuses one, ends, or says nothing more: how many were said, and how many acknowledged.
fn say_until_it_ends(speaker: &mut Client) -> (u64, u64) {
    let id = |number: u64| u16::try_from(number % 60_000 + 1).expect("it is below the largest one");
    let (mut said, mut acknowledged, mut open) = (0, 0, VecDeque::new());
    while said < MESSAGES_MAX || !open.is_empty() {
        if said < MESSAGES_MAX && open.len() < UNACKNOWLEDGED_MAX {
            speaker.publish(&Post::to("kept/all").qos(1).id(id(said)).payload(payload(said)));
            open.push_back(id(said));
            said += 1;
            continue;
        }
        match speaker.hear_within(PATIENCE) {
            Some(Heard::PubAck(found, 0, _)) if open.front() == Some(&found) => {
                open.pop_front();
                acknowledged += 1;
            }
            None | Some(Heard::Closed | Heard::Disconnect(..) | Heard::PubAck(_, 0x80.., _)) => break,
            Some(other) => panic!("neither an acknowledgement nor the end: {other:?}"),
        }
    }
    (said, acknowledged)
}
