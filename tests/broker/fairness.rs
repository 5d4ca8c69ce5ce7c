//! Clients that take too much or nothing: the others do not pay for it.
#![expect(clippy::disallowed_methods, reason = "a flood needs a thread of its own")]

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::{JoinHandle, spawn};
use std::time::Duration;

use pregon::mqtt::Version;

use crate::client::Client;
use crate::patience::{Deadline, PATIENCE};
use crate::process::{Broker, Options};
use crate::support::story::{Heard, Hello, Post};

const MEBIBYTE: u64 = 1024 * 1024;

/// A publisher that never waits, until it is told to stop.
struct Flood {
    is_over: Arc<AtomicBool>,
    /// Bytes that the broker's side of the network has taken.
    bytes: Arc<AtomicU64>,
    thread: Option<JoinHandle<()>>,
}

impl Flood {
    /// Messages of this size to this topic, many in each write.
    fn start(broker: &Broker, topic: &str, payload_bytes: usize) -> Self {
        let is_over = Arc::new(AtomicBool::new(false));
        let bytes = Arc::new(AtomicU64::new(0));
        let mut client = Client::join(broker, Version::V311, &format!("flood of {topic}"));
        let packet = Post::to(topic).payload(vec![b'x'; payload_bytes]).encode(Version::V311);
        let burst = packet.repeat(4096 / packet.len() + 1);
        let thread = spawn({
            let (is_over, bytes) = (Arc::clone(&is_over), Arc::clone(&bytes));
            move || {
                while !is_over.load(Ordering::Relaxed) {
                    client.send(&burst);
                    bytes.fetch_add(burst.len() as u64, Ordering::Relaxed);
                }
            }
        });
        Self { is_over, bytes, thread: Some(thread) }
    }

    fn bytes(&self) -> u64 {
        self.bytes.load(Ordering::Relaxed)
    }
}

impl Drop for Flood {
    fn drop(&mut self) {
        self.is_over.store(true, Ordering::Relaxed);
        let ended = self.thread.take().expect("it is joined once").join();
        assert!(ended.is_ok() || std::thread::panicking(), "the flood broke off");
    }
}

#[test]
fn flooding_publisher_does_not_starve_another_one() {
    const ROUNDS_MIN: u64 = 200;
    const FLOOD_BYTES_MIN: u64 = 4 * MEBIBYTE;
    /// Far above what fits into the buffers of the network and a turn: a starved client waits for the whole flood.
    const FLOOD_BYTES_A_ROUND_MAX: u64 = 32 * MEBIBYTE;
    for shards in [1, 2] {
        let broker = Broker::start(shards);
        let mut sink = Client::join(&broker, Version::V311, "sink");
        sink.subscribe("flood/+", 0);
        let sink_is_over = Arc::new(AtomicBool::new(false));
        let drain = spawn({
            let is_over = Arc::clone(&sink_is_over);
            move || {
                let mut is_open = true;
                while is_open && !is_over.load(Ordering::Relaxed) {
                    is_open = sink.hear_within(Duration::from_millis(100)) != Some(Heard::Closed);
                }
            }
        });
        let floods: Vec<Flood> = (0..4).map(|number| Flood::start(&broker, &format!("flood/{number}"), 64)).collect();
        let flooded = || floods.iter().map(Flood::bytes).sum::<u64>();

        let mut subscriber = Client::join(&broker, Version::V5, "subscriber");
        subscriber.subscribe("calm", 1);
        let mut publisher = Client::join(&broker, Version::V5, "publisher");
        let before = flooded();
        let (mut round, deadline) = (0, Deadline::after(PATIENCE));
        while round < ROUNDS_MIN || flooded() - before < FLOOD_BYTES_MIN {
            assert!(deadline.left().is_some(), "{} bytes of flood in {round} rounds", flooded() - before);
            round += 1;
            publisher.post(&Post::to("calm").payload(round.to_string()).qos(1));
            assert_eq!(subscriber.take().payload, round.to_string().as_bytes());
        }
        let meanwhile = flooded() - before;
        assert!(meanwhile < round * FLOOD_BYTES_A_ROUND_MAX, "{} MiB went in {round} rounds", meanwhile / MEBIBYTE);

        drop(floods);
        sink_is_over.store(true, Ordering::Relaxed);
        drain.join().expect("the sink ends when it is told to");
    }
}

#[test]
fn reader_that_takes_nothing_harms_nobody_and_costs_a_bounded_amount() {
    const MESSAGES: u32 = 40_000;
    const PAYLOAD_BYTES: usize = 4096;
    /// The flow to one connection may wait up to its bound; the rest is what a process grows by when it works.
    const MEMORY_GROWTH_MAX: u64 = 64 * MEBIBYTE;
    for shards in [1, 2] {
        // On a machine that is busy with other things even a willing reader may stand still for a moment.
        let broker = Options::shards(shards).set("limits.backlog_patience=5s").start();
        // Clients that never read, on whatever shard they live.
        let mut idlers: Vec<Client> =
            (0..4).map(|number| Client::join(&broker, Version::V311, &format!("idler-{number}"))).collect();
        for idler in &mut idlers {
            idler.subscribe("news", 0);
        }
        let mut reader = Client::join(&broker, Version::V311, "reader");
        reader.subscribe("news", 0);
        let mut publisher = Client::join(&broker, Version::V311, "publisher");
        let before = broker.memory_peak();

        let writer = spawn(move || {
            for number in 0..MESSAGES {
                let mut payload = number.to_be_bytes().to_vec();
                payload.resize(PAYLOAD_BYTES, 0);
                publisher.publish(&Post::to("news").payload(payload));
            }
            publisher
        });
        for number in 0..MESSAGES {
            assert_eq!(reader.take().payload[..4], number.to_be_bytes(), "the reader misses one");
        }
        let mut publisher = writer.join().expect("all was published");
        let growth = broker.memory_peak() - before;
        assert!(growth < MEMORY_GROWTH_MAX, "grew by {} MiB for {} idlers", growth / MEBIBYTE, idlers.len());

        // An idler that wakes up finds whole packets, in order, with gaps; and then it is served like the others.
        let idler = &mut idlers[0];
        idler.send(&[0xc0, 0]);
        let mut last = None;
        loop {
            match idler.hear() {
                Heard::Publish(delivery) => {
                    let number = u32::from_be_bytes(delivery.payload[..4].try_into().expect("four bytes"));
                    assert!(last < Some(number), "{number} behind {last:?}");
                    last = Some(number);
                }
                Heard::PingResp => break,
                other => panic!("no message: {other:?}"),
            }
        }
        publisher.publish(&Post::to("news").payload(u32::MAX.to_be_bytes()));
        assert_eq!(reader.take().payload, u32::MAX.to_be_bytes());
        assert_eq!(idler.take().payload, u32::MAX.to_be_bytes());
    }
}

#[test]
fn reader_that_takes_nothing_for_too_long_is_closed() {
    let broker = Options::shards(2).set("limits.write_stall=1s").start();
    let mut witness = Client::join(&broker, Version::V5, "witness");
    witness.subscribe("will", 1);
    let hello = Hello::v311("idler").will("will", "stalled", 1, false);
    let mut idler = Client::connect(&broker, &hello);
    idler.subscribe("news", 0);
    let flood = Flood::start(&broker, "news", 4096);
    assert_eq!(witness.take().payload, b"stalled");
    drop(flood);
}
