//! A data directory that is started with another number of shards each time.

use std::fs;
use std::path::Path;

use pregon::mqtt::Version;

use crate::client::Client;
use crate::folder::Folder;
use crate::process::{Broker, Options};
use crate::support::story::{Hello, Post};

fn start(folder: &Path, shards: usize) -> Broker {
    let data_dir = format!("storage.data_dir={}", folder.display());
    let options = Options::shards(shards).set("storage.durability=fsync").set(&data_dir);
    options.set("storage.segment_bytes=64KiB").start()
}

fn stop(mut broker: Broker) {
    broker.terminate();
    assert!(broker.wait().success(), "it stops in order");
}

#[test]
fn sessions_and_retained_messages_follow_the_number_of_shards() {
    const SESSIONS: usize = 20;
    let folder = Folder::new("moves");
    let broker = start(folder.path(), 1);
    for number in 0..SESSIONS {
        let mut client = Client::connect(&broker, &Hello::v311(&format!("s{number}")).resume());
        client.subscribe(&format!("own/{number}"), 1);
        client.subscribe("all", 2);
        client.leave();
    }
    stop(broker);
    for (round, shards) in [3, 2, 2, 4, 1].into_iter().enumerate() {
        let broker = start(folder.path(), shards);
        let mut publisher = Client::join(&broker, Version::V311, "publisher");
        publisher.post(&Post::to("kept").payload(format!("in round {round}").as_str()).qos(1).retain());
        for number in 0..SESSIONS {
            publisher.post(&Post::to(&format!("own/{number}")).payload(format!("{round}").as_str()).qos(1));
        }
        publisher.post(&Post::to("all").payload(format!("all {round}").as_str()).qos(2));
        stop(broker);
    }
    let broker = start(folder.path(), 3);
    for number in 0..SESSIONS {
        let (mut client, is_present) = Client::connect_present(&broker, &Hello::v311(&format!("s{number}")).resume());
        assert!(is_present, "the session of s{number}");
        let mut heard = Vec::new();
        for _ in 0..10 {
            let delivery = client.take();
            heard.push(String::from_utf8(delivery.payload).expect("it is text"));
        }
        let expected: Vec<String> = (0..5).flat_map(|round| [format!("{round}"), format!("all {round}")]).collect();
        assert_eq!(heard, expected, "s{number}");
        client.subscribe("kept", 1);
        assert_eq!(client.take().payload, b"in round 4");
        client.expect_silence();
    }
    let names: Vec<_> = fs::read_dir(folder.path())
        .expect("it is there")
        .map(|entry| entry.expect("it is listed").file_name())
        .collect();
    assert_eq!(names.iter().filter(|name| name.to_string_lossy().starts_with("shard-")).count(), 3, "{names:?}");
}
