//! A publisher and a subscriber who go on as if nothing happened, and the book of what reached them and how late.
#![expect(clippy::disallowed_methods, reason = "each witness is a thread that lives in real time")]

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::{JoinHandle, spawn};
use std::time::{Duration, Instant};

use crate::client::Client;
use crate::patience::{Deadline, PATIENCE};
use crate::support::story::{Heard, Post};

/// Between two messages.
const PERIOD: Duration = Duration::from_millis(5);
/// Messages that the broker has not acknowledged yet; a publisher waits there, and the delay counts.
const UNACKNOWLEDGED_MAX: u64 = 500;
/// The subscriber looks so often whether all is over.
const LOOK_AGAIN: Duration = Duration::from_millis(100);
/// The witness goes on for ever.
const NO_LAST: u64 = u64::MAX;
/// Packet identifiers that a publisher goes through.
const IDENTIFIERS: u64 = 60_000;

/// A pair that is under way.
pub struct Witness {
    /// Where both have their homes.
    pub name: String,
    book: Arc<Book>,
    publisher: JoinHandle<()>,
    subscriber: JoinHandle<()>,
}

/// What both threads and the test look into.
struct Book {
    is_over: AtomicBool,
    /// The number of messages in all, once it is known.
    last: AtomicU64,
    /// From the moment a message was due to its arrival, in microseconds, in the order of the messages.
    latencies: Mutex<Vec<u32>>,
}

impl Witness {
    /// Begins; nothing but its messages may reach the subscriber.
    pub fn start(name: &str, publisher: Client, subscriber: Client) -> Self {
        let book = Arc::new(Book {
            is_over: AtomicBool::new(false),
            last: AtomicU64::new(NO_LAST),
            latencies: Mutex::new(Vec::new()),
        });
        let (topic, epoch) = (topic(name), Instant::now());
        let publisher = spawn({
            let (book, topic) = (Arc::clone(&book), topic.clone());
            move || publish(publisher, &topic, epoch, &book)
        });
        let subscriber = spawn({
            let book = Arc::clone(&book);
            move || hear(subscriber, &topic, epoch, &book)
        });
        Self { name: name.to_owned(), book, publisher, subscriber }
    }

    /// How many messages have arrived so far.
    pub fn heard_count(&self) -> usize {
        self.latencies().len()
    }

    /// Whether one of the two has found something wrong; ending it says what.
    pub fn has_failed(&self) -> bool {
        self.publisher.is_finished() || self.subscriber.is_finished()
    }

    /// Ends both when all that was published has arrived: the latencies in microseconds.
    #[track_caller]
    pub fn end(self) -> Vec<u32> {
        self.book.is_over.store(true, Ordering::Relaxed);
        let name = &self.name;
        assert!(self.publisher.join().is_ok(), "the publisher of witness {name} was disturbed");
        assert!(self.subscriber.join().is_ok(), "the subscriber of witness {name} was disturbed");
        std::mem::take(&mut *self.book.latencies.lock().expect("nobody fails while he writes"))
    }

    fn latencies(&self) -> std::sync::MutexGuard<'_, Vec<u32>> {
        self.book.latencies.lock().expect("nobody fails while he writes")
    }
}

/// What the subscriber of this witness subscribes to.
pub fn topic(name: &str) -> String {
    format!("witness/{name}")
}

/// A message each period at QoS 1, each acknowledged once and in order.
fn publish(mut client: Client, topic: &str, epoch: Instant, book: &Book) {
    let (mut sent, mut acknowledged) = (0, 0);
    let mut due = Duration::ZERO;
    let id = |number: u64| u16::try_from(number % IDENTIFIERS + 1).expect("it is below the largest one");
    while !book.is_over.load(Ordering::Relaxed) || acknowledged < sent {
        let now = epoch.elapsed();
        let may_send = !book.is_over.load(Ordering::Relaxed) && sent - acknowledged < UNACKNOWLEDGED_MAX;
        if may_send && now >= due {
            // The moment at which it was due: who has to wait until he may speak is late as well.
            let micros = u64::try_from(due.as_micros()).expect("a test ends within years");
            let payload = [sent.to_be_bytes(), micros.to_be_bytes()].concat();
            client.publish(&Post::to(topic).qos(1).id(id(sent)).payload(payload));
            sent += 1;
            due += PERIOD;
        }
        let wait = if may_send { due.saturating_sub(now).max(Duration::from_micros(50)) } else { PATIENCE };
        match client.hear_within(wait) {
            None => assert!(may_send, "{} messages are not acknowledged", sent - acknowledged),
            Some(Heard::PubAck(found, 0, _)) if found == id(acknowledged) => acknowledged += 1,
            Some(other) => panic!("no PUBACK of message {acknowledged}: {other:?}"),
        }
    }
    client.leave();
    book.last.store(sent, Ordering::Relaxed);
}

/// Each message once and in order, until the last.
fn hear(mut client: Client, topic: &str, epoch: Instant, book: &Book) {
    let (mut next, mut deadline) = (0_u64, Deadline::after(PATIENCE));
    while next < book.last.load(Ordering::Relaxed) {
        let Some(heard) = client.hear_within(LOOK_AGAIN) else {
            assert!(deadline.left().is_some(), "message {next} does not come");
            continue;
        };
        let Heard::Publish(delivery) = heard else { panic!("no message: {heard:?}") };
        client.acknowledge(&delivery);
        let (number, due) = delivery.payload.split_at(8);
        assert_eq!((delivery.topic.as_str(), delivery.dup), (topic, false));
        assert_eq!(number, next.to_be_bytes(), "message {next} is missing or comes twice");
        let due = Duration::from_micros(u64::from_be_bytes(due.try_into().expect("eight bytes")));
        let latency = epoch.elapsed().saturating_sub(due).as_micros();
        let mut latencies = book.latencies.lock().expect("nobody fails while he writes");
        latencies.push(u32::try_from(latency).unwrap_or(u32::MAX));
        drop(latencies);
        (next, deadline) = (next + 1, Deadline::after(PATIENCE));
    }
    client.leave();
}
