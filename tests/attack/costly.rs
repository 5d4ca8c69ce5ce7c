//! What costs the most work for its bytes: topics that thousands of filters match, filters that are known already, an audience of thousands.
#![expect(clippy::disallowed_methods, reason = "a crowd speaks and listens at the same time")]

use std::collections::BTreeSet;
use std::thread::scope;

use pregon::mqtt::Version;

use crate::client::Client;
use crate::crowds::DESCRIPTORS_MAX;
use crate::field::{Attack, Field, KIBIBYTE, MEBIBYTE, SHARDS, Stage, metric_now};
use crate::process::{Broker, Options, raise_own_limit};
use crate::support::story::{Heard, Hello, Post, Wish, subscribe};

pub const OVERLAPS: Attack = Attack { name: "overlapping wildcards", run: overlaps };
pub const REPEATS: Attack = Attack { name: "known filters again and again", run: repeats };
pub const AUDIENCE: Attack = Attack { name: "an audience of 9,999", run: audience };

/// What tables, the cache of routes and the allocator keep when all have gone.
const LEFT_BYTES_MAX: u64 = 48 * MEBIBYTE;
/// Filters of one SUBSCRIBE that are looked at.
const FILTERS_PER_PACKET: usize = 1_000;
/// Publishers of a topic: messages come from both shards.
const SPEAKERS: u8 = 4;

/// What a speaker says: who it is, and how much it has said before.
fn said(speaker: u8, number: u16) -> Vec<u8> {
    let [high, low] = number.to_be_bytes();
    vec![speaker, high, low]
}

/// What has come of each speaker: its next message must be the one that follows.
#[derive(Default)]
struct Heed([u16; SPEAKERS as usize]);

impl Heed {
    #[track_caller]
    fn hear(&mut self, client: &mut Client) {
        let payload = client.take().payload;
        let next = &mut self.0[usize::from(payload[0])];
        assert_eq!(payload, said(payload[0], *next), "message {next} is missing or comes twice");
        *next += 1;
    }
}

/// A speaker says so many messages at QoS 1, to these topics, and waits for each few.
fn speak(broker: &Broker, speaker: u8, count: u16, topic: impl Fn(u16) -> String) {
    let mut client = Client::join(broker, Version::V311, &format!("speaker-{speaker}"));
    let numbers: Vec<u16> = (0..count).collect();
    for some in numbers.chunks(50) {
        for number in some {
            client.publish(&Post::to(&topic(*number)).qos(1).id(number + 1).payload(said(speaker, *number)));
        }
        for number in some {
            client.expect("PUBACK", |heard| matches!(heard, Heard::PubAck(id, 0, _) if *id == number + 1));
        }
    }
    client.leave();
}

/// Levels of the topics' beginning: each of them is in a filter itself or as a wildcard.
const LEVELS: usize = 12;
/// New topics of each speaker; each is looked up in twice as many steps as there are filters.
const TOPICS: u16 = 500;
/// Cached routes, with all identifiers, as far as the bound of their cache lets them grow; and what both listeners have not read.
const ROUTES_BYTES_MAX: u64 = 64 * MEBIBYTE;

fn overlaps(stage: &Stage) {
    stage.open(Options::shards(SHARDS)).attack(|field, round| {
        let mut listeners = [Version::V311, Version::V5].map(|version| {
            let mut client = Client::join(&field.broker, version, &format!("everything-{}", version.level()));
            subscribe_overlapping(&mut client, version);
            client
        });
        let broker = &field.broker;
        scope(|scope| {
            for speaker in 0..SPEAKERS {
                let topic = move |number| format!("{}/{round}-{speaker}-{number}", ["a"; LEVELS].join("/"));
                scope.spawn(move || speak(broker, speaker, TOPICS, topic));
            }
            for client in &mut listeners {
                scope.spawn(move || {
                    let mut heed = Heed::default();
                    (0..u32::from(SPEAKERS) * u32::from(TOPICS)).for_each(|_| heed.hear(client));
                    client.expect_silence();
                });
            }
        });
        field.expect_growth(ROUTES_BYTES_MAX);
        listeners.into_iter().for_each(Client::leave);
        field.expect_nobody_else();
        field.expect_shrunk(ROUTES_BYTES_MAX); // they stay until others need their room
    });
}

/// All 4,096 filters; in 5.0 each has an identifier of its own, and a copy has all of them.
fn subscribe_overlapping(client: &mut Client, version: Version) {
    let filter = |number: u32| {
        let levels: Vec<&str> = (0..LEVELS).map(|level| if number >> level & 1 == 1 { "+" } else { "a" }).collect();
        levels.join("/") + "/+"
    };
    for number in 0..1 << LEVELS {
        let id = u16::try_from(number + 1).expect("there are few");
        let identifier = (version == Version::V5).then_some(number + 1);
        client.send(&subscribe(version, id, &[Wish::to(&filter(number), 1)], identifier));
    }
    for number in 0..1 << LEVELS {
        let is_granted = |heard: &Heard| matches!(heard, Heard::SubAck(id, codes, _) if u32::from(*id) == number + 1 && *codes == [1]);
        client.expect("SUBACK", is_granted);
    }
}

/// Filters of each client, and how often it asks for all of them.
const FILTERS: usize = 5_000;
const TIMES: usize = 20;
/// One of so many filters finds a retained message, each time that it is asked for.
const RETAINED_ONE_IN: usize = 100;
/// The filters of both, and searches that wait.
const FILTERS_BYTES_MAX: u64 = 32 * MEBIBYTE;

fn repeats(stage: &Stage) {
    stage.open(Options::shards(SHARDS)).attack(|field, _| {
        let topic = |number: usize| format!("known/{number}/a/b");
        let kept = || (0..FILTERS).step_by(RETAINED_ONE_IN).map(topic);
        let mut keeper = Client::join(&field.broker, Version::V5, "keeper");
        kept().for_each(|topic| keeper.post(&Post::to(&topic).qos(1).retain().payload("kept")));
        let before = metric_now(&field.broker, "pregon_subscriptions", "");
        let mut clients = [Version::V311, Version::V5]
            .map(|version| (version, Client::join(&field.broker, version, &format!("forgetful-{}", version.level()))));
        scope(|scope| {
            for (version, client) in &mut clients {
                scope.spawn(move || {
                    let found = ask_again_and_again(client, *version);
                    assert!(found.into_iter().eq(kept().collect::<BTreeSet<_>>()), "what is retained comes each time");
                });
            }
        });
        let now = metric_now(&field.broker, "pregon_subscriptions", "");
        assert_eq!(now, before + (clients.len() * FILTERS) as u64, "what was known is there once");
        field.expect_growth(FILTERS_BYTES_MAX);
        for (_, client) in clients {
            client.leave();
        }
        kept().for_each(|topic| keeper.post(&Post::to(&topic).qos(1).retain()));
        keeper.leave();
        field.expect_nobody_else();
        field.expect_shrunk(LEFT_BYTES_MAX);
    });
}

/// Each filter is granted each time; the topics of the retained messages that the last time has found.
fn ask_again_and_again(client: &mut Client, version: Version) -> BTreeSet<String> {
    let filters: Vec<String> = (0..FILTERS).map(|number| format!("known/{number}/+/#")).collect();
    let wishes: Vec<Wish<'_>> = filters.iter().map(|filter| Wish::to(filter, 1)).collect();
    let packets: Vec<u8> =
        wishes.chunks(FILTERS_PER_PACKET).flat_map(|some| subscribe(version, 1, some, None)).collect();
    let mut found = BTreeSet::new();
    for _ in 0..TIMES {
        found.clear();
        client.send(&packets);
        let mut granted = 0;
        while granted < FILTERS || found.len() < FILTERS / RETAINED_ONE_IN {
            match client.hear() {
                Heard::SubAck(1, codes, _) if codes.iter().all(|code| *code == 1) => granted += codes.len(),
                Heard::Publish(delivery) => {
                    client.acknowledge(&delivery);
                    found.insert(delivery.topic);
                }
                other => panic!("neither a grant nor what is retained: {other:?}"),
            }
        }
    }
    found
}

/// Listeners of one topic: some are connected, for the others messages wait.
const HERE: usize = 2_500;
const AWAY: usize = 7_499;
/// Messages of each speaker, all at once: what crosses to a shard then is far more than an input of it may cause.
const MESSAGES: u16 = 25;
/// One of so many of those who were away is asked what has waited.
const ASKED_ONE_IN: usize = 50;
/// What a listener may cost with all that waits for it.
const LISTENER_BYTES_MAX: u64 = 20 * KIBIBYTE;

fn audience(stage: &Stage) {
    raise_own_limit(HERE + 500);
    stage.open(Options::shards(SHARDS).descriptors_max(DESCRIPTORS_MAX)).attack(|field, _| {
        let broker = &field.broker;
        let away = |number: usize| Hello::v5(&format!("away-{number}")).expiry(600);
        for number in 0..AWAY {
            let mut client = Client::connect(broker, &away(number));
            client.subscribe("attacked/#", 1);
            client.cut();
        }
        let mut crowd: Vec<Client> = (0..HERE).map(|number| listener(broker, number)).collect();
        expect_on_both_shards(field);
        scope(|scope| {
            for speaker in 0..SPEAKERS {
                scope.spawn(move || speak(broker, speaker, MESSAGES, |_| "attacked/all".into()));
            }
            crowd.iter_mut().for_each(hear_all);
        });
        field.expect_growth((HERE + AWAY) as u64 * LISTENER_BYTES_MAX);
        crowd.into_iter().for_each(Client::cut);
        for number in (0..AWAY).step_by(ASKED_ONE_IN) {
            let mut client = Client::connect(broker, &away(number).resume());
            hear_all(&mut client);
            client.cut();
        }
        for number in 0..AWAY {
            Client::join(broker, Version::V5, &format!("away-{number}")).leave();
        }
        field.expect_nobody_else();
        field.expect_shrunk(LEFT_BYTES_MAX);
    });
}

fn listener(broker: &Broker, number: usize) -> Client {
    let mut client = Client::join(broker, Version::ALL[number % Version::ALL.len()], &format!("here-{number}"));
    client.subscribe("attacked/#", 1);
    client
}

/// So that whoever speaks, thousands of copies are made behind the border between the shards.
fn expect_on_both_shards(field: &Field<'_>) {
    for shard in 0..SHARDS {
        let sessions = metric_now(&field.broker, "pregon_sessions", &format!("shard=\"{shard}\""));
        assert!(sessions > (HERE + AWAY) as u64 / 3, "{sessions} of the audience on shard {shard}");
    }
}

/// Each message of each speaker, and nothing else.
fn hear_all(client: &mut Client) {
    let mut heed = Heed::default();
    (0..u16::from(SPEAKERS) * MESSAGES).for_each(|_| heed.hear(client));
    client.expect_silence();
}
