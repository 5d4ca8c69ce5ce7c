//! More than the broker can do: it stays within its memory, counts what it drops, and is itself again when it is over.
#![expect(clippy::disallowed_methods, reason = "a flood comes from several sides at once")]

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::scope;
use std::time::Duration;

use pregon::mqtt::Version;

use crate::client::Client;
use crate::field::{Attack, Field, MEBIBYTE, SHARDS, Stage, metric, metric_now};
use crate::patience::{Deadline, Stopwatch, wait_until};
use crate::process::{Broker, Options};
use crate::support::story::{Heard, Hello, Post};

pub const TEN_TIMES: Attack = Attack { name: "ten times too much", run: ten_times };

/// Publishers that never wait; each message goes to each of the subscribers, who read as fast as they can.
const SPEAKERS: usize = 10;
const HEARERS: usize = 20;
/// Subscribers that have gone, for whom messages wait.
const ABSENT: usize = 20;
const FOR: Duration = Duration::from_secs(5);
const PAYLOAD_BYTES: usize = 1_000;
/// Unsent bytes of one receiver: sixteen times its bound, and what a turn may read and may take in from other shards.
const UNSENT_BYTES_MAX: u64 = (1 + 2) * MEBIBYTE;
/// What the broker may need in all: receivers of a topic share what was not sent; messages wait for who is away; the mesh and
/// the turn have their bytes, and the allocator rounds.
const GROWTH_BYTES_MAX: u64 = 2 * UNSENT_BYTES_MAX + ABSENT as u64 * MEBIBYTE * 5 / 4 + 64 * MEBIBYTE;
/// What shards keep of the memory of their largest turns, and the allocator of its own.
const LEFT_BYTES_MAX: u64 = 64 * MEBIBYTE;
/// Messages with which the broker shows that it is itself again: none is lost or late.
const AFTERWARDS: u16 = 5_000;

fn ten_times(stage: &Stage) {
    stage.open(Options::shards(SHARDS).set("limits.backlog_bytes_max=64KiB")).attack(|field, round| {
        for number in 0..ABSENT {
            let hello = Hello::v5(&format!("absent-{round}-{number}")).expiry(60);
            let mut client = Client::connect(&field.broker, &hello);
            client.subscribe("attacked/1", 1);
            client.cut();
        }
        flood_within_bounds(field, round);
        field.expect_nobody_else();
        expect_books_to_close(field);
        at_full_rate(field);
        for number in 0..ABSENT {
            Client::join(&field.broker, Version::V5, &format!("absent-{round}-{number}")).leave();
        }
        field.expect_shrunk(LEFT_BYTES_MAX);
    });
}

/// The flood, while its bounds are watched.
fn flood_within_bounds(field: &Field<'_>, round: usize) {
    let unsent = || metric(&field.broker, "pregon_memory_bytes", "component=\"backlog\"");
    let (mut most, mut most_unsent) = (0, 0);
    flood(&field.broker, round, || (most, most_unsent) = (most.max(field.memory()), most_unsent.max(unsent())));
    // Behind the threads, which would wait for ever for who fails before them.
    let growth = most.saturating_sub(field.base_bytes);
    let unsent_max = HEARERS as u64 * UNSENT_BYTES_MAX;
    assert!(most_unsent <= unsent_max, "{} of {} MiB were not sent", most_unsent / MEBIBYTE, unsent_max / MEBIBYTE);
    assert!(growth <= GROWTH_BYTES_MAX, "grew by {} of {} MiB", growth / MEBIBYTE, GROWTH_BYTES_MAX / MEBIBYTE);
}

/// All speak as fast as they can, and somebody looks at the broker again and again; since when nobody says anything new.
pub fn flood(broker: &Broker, round: usize, mut look: impl FnMut()) -> Stopwatch {
    let is_over = AtomicBool::new(false);
    let deadline = Deadline::after(FOR);
    scope(|scope| {
        for number in 0..HEARERS {
            let mut client = Client::join(broker, Version::V5, &format!("hears-{round}-{number}"));
            client.subscribe(&format!("attacked/{}", number % 2), 0);
            let is_over = &is_over;
            scope.spawn(move || {
                while !is_over.load(Ordering::Relaxed) {
                    match client.hear_within(Duration::from_millis(100)) {
                        None | Some(Heard::Publish(_)) => {}
                        Some(other) => panic!("no message: {other:?}"),
                    }
                }
            });
        }
        for number in 0..SPEAKERS {
            let qos = u8::from(number % 2 == 1);
            let mut client = Client::join(broker, Version::V311, &format!("says-{round}-{number}"));
            let is_over = &is_over;
            let post = |id| Post::to(&format!("attacked/{qos}")).qos(qos).id(id).payload(vec![b'x'; PAYLOAD_BYTES]);
            let burst: Vec<u8> = (1..=100).flat_map(|id| post(id).encode(Version::V311)).collect();
            scope.spawn(move || {
                while !is_over.load(Ordering::Relaxed) {
                    client.send(&burst);
                    for _ in 0..100 * qos {
                        client.expect("PUBACK", |heard| matches!(heard, Heard::PubAck(..)));
                    }
                }
            });
        }
        while deadline.left().is_some() {
            look();
            crate::field::wait(Duration::from_millis(100));
        }
        is_over.store(true, Ordering::Relaxed);
        Stopwatch::start()
    })
}

/// Each copy is somewhere: delivered, dropped for a reason that is counted, or waiting.
fn expect_books_to_close(field: &Field<'_>) {
    let sum = |name: &str| metric(&field.broker, name, "");
    let difference = || {
        let arisen = sum("pregon_messages_routed_total") + sum("pregon_messages_moved_in_total");
        let gone = ["delivered_total", "dropped_total", "moved_out_total", "let_go_total", "queued"];
        arisen.abs_diff(gone.iter().map(|name| sum(&format!("pregon_messages_{name}"))).sum())
    };
    // Witnesses go on while we count: a few of theirs are between two scrapes.
    wait_until("the books to close", || difference() < 50);
}

/// A publisher and a subscriber as if nothing had been.
fn at_full_rate(field: &Field<'_>) {
    let dropped = || metric_now(&field.broker, "pregon_messages_dropped_total", "");
    let before = dropped();
    let mut pair = Pair::join(&field.broker);
    pair.exchange(AFTERWARDS);
    assert_eq!(dropped(), before, "nothing is dropped any more");
    pair.leave();
}

/// Messages of a pair that are on their way at the same time.
const TOGETHER: u16 = 50;

/// A publisher and a subscriber who exchange messages as fast as they go.
pub struct Pair {
    speaker: Client,
    hearer: Client,
}

impl Pair {
    pub fn join(broker: &Broker) -> Self {
        let mut hearer = Client::join(broker, Version::V5, "hearer");
        hearer.subscribe("afterwards", 1);
        Self { speaker: Client::join(broker, Version::V5, "speaker"), hearer }
    }

    /// So many messages, each of which comes once and in order and is acknowledged.
    pub fn exchange(&mut self, count: u16) {
        for first in (1..=count).step_by(usize::from(TOGETHER)) {
            for id in first..first + TOGETHER {
                self.speaker.publish(&Post::to("afterwards").qos(1).id(id).payload(id.to_be_bytes()));
            }
            for id in first..first + TOGETHER {
                assert_eq!(self.hearer.take().payload, id.to_be_bytes());
                self.speaker.expect("PUBACK", |heard| matches!(heard, Heard::PubAck(found, 0, _) if *found == id));
            }
        }
    }

    pub fn leave(self) {
        self.hearer.leave();
        self.speaker.leave();
    }
}
