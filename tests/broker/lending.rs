//! Shared groups of members whose sessions last: the broker is killed while some have, and others wait.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use pregon::mqtt::Version;

use crate::client::Client;
use crate::process::{Broker, Options};
use crate::support::story::{Heard, Hello, Post};

const MESSAGES: usize = 30;
/// Whoever has something to say says it sooner.
const SILENCE: Duration = Duration::from_millis(500);

/// What a member has got, over all its connections.
#[derive(Default)]
struct Book {
    /// How often each message came.
    got: BTreeMap<usize, u32>,
    /// Identifiers of quality of service 2 that it has taken and not released.
    taken: BTreeSet<u16>,
}

impl Book {
    /// Hears and answers until it has got so many messages, or nothing more comes.
    fn hear(&mut self, client: &mut Client, count: usize) {
        while self.got.len() < count {
            match client.hear_within(SILENCE) {
                Some(Heard::Publish(delivery)) => {
                    let number = String::from_utf8(delivery.payload).ok().and_then(|text| text.parse().ok());
                    let id = delivery.id.expect("it is to be acknowledged");
                    if delivery.qos == 1 || self.taken.insert(id) {
                        *self.got.entry(number.expect("a number was published")).or_default() += 1;
                    }
                    client.answer(if delivery.qos == 1 { 0x40 } else { 0x50 }, id);
                }
                Some(Heard::PubRel(id, ..)) => {
                    self.taken.remove(&id);
                    client.answer(0x70, id);
                }
                Some(other) => panic!("nobody asked for {other:?}"),
                None => return,
            }
        }
    }
}

fn start(folder: &Path, shards: usize) -> Broker {
    let data_dir = format!("storage.data_dir={}", folder.display());
    Options::shards(shards).set("storage.durability=fsync").set(&data_dir).start()
}

fn come(broker: &Broker, name: &str) -> Client {
    let (client, is_present) = Client::connect_present(broker, &Hello::v311(name).resume());
    assert!(is_present, "the session of {name}");
    client
}

fn lose_nothing(shards: usize) {
    let folder: PathBuf = std::env::temp_dir().join(format!("pregon-lending-{}-{shards}", std::process::id()));
    let broker = start(&folder, shards);
    for name in ["a", "b"] {
        let mut member = Client::connect(&broker, &Hello::v311(name).resume());
        member.subscribe("$share/jobs/t", 2);
        member.leave();
    }
    let mut publisher = Client::join(&broker, Version::V311, "publisher");
    for number in 0..MESSAGES {
        let qos = if number % 2 == 0 { 1 } else { 2 };
        publisher.post(&Post::to("t").payload(number.to_string()).qos(qos));
    }
    drop(broker); // with SIGKILL, here and below

    let (mut first, mut second) = (Book::default(), Book::default());
    let broker = start(&folder, shards);
    first.hear(&mut come(&broker, "a"), MESSAGES / 3);
    drop(broker);

    let broker = start(&folder, shards);
    second.hear(&mut come(&broker, "b"), MESSAGES);
    drop(broker);

    for _ in 0..2 {
        let broker = start(&folder, shards);
        first.hear(&mut come(&broker, "a"), usize::MAX);
        second.hear(&mut come(&broker, "b"), usize::MAX);
    }
    for number in 0..MESSAGES {
        let [first, second] = [&first, &second].map(|book| book.got.get(&number).copied().unwrap_or(0));
        let is_right = if number % 2 == 0 { first + second >= 1 } else { first + second == 1 };
        assert!(is_right, "message {number} came {first} times to one member and {second} times to the other");
    }
    fs::remove_dir_all(&folder).expect("the folder is ours");
}

#[test]
fn what_a_group_is_owed_survives_kills_of_one_shard() {
    lose_nothing(1);
}

#[test]
fn what_a_group_is_owed_survives_kills_of_two_shards() {
    lose_nothing(2);
}
