//! A publisher and a subscriber who go on as if nothing happened, and the book of what reached them and how late.
#![expect(clippy::disallowed_methods, reason = "each witness is a thread that lives in real time")]

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::{JoinHandle, sleep, spawn};
use std::time::{Duration, Instant};

use crate::client::Client;
use crate::patience::{Deadline, PATIENCE};
use crate::support::story::{Heard, Post};

/// Between two messages.
const PERIOD: Duration = Duration::from_millis(5);
/// Messages whose acknowledgement was not read; a publisher waits for the oldest there, and the delay counts.
const UNACKNOWLEDGED_MAX: u64 = 50;
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
///
/// It sleeps until the next one is due, and reads an acknowledgement when it has to: a socket's own patience is counted in ticks of the kernel,
/// which are longer than what is measured here.
fn publish(mut client: Client, topic: &str, epoch: Instant, book: &Book) {
    let (mut sent, mut acknowledged) = (0, 0);
    let mut due = Duration::ZERO;
    let id = |number: u64| u16::try_from(number % IDENTIFIERS + 1).expect("it is below the largest one");
    loop {
        let is_over = book.is_over.load(Ordering::Relaxed);
        if is_over && acknowledged == sent {
            break;
        }
        if is_over || sent - acknowledged >= UNACKNOWLEDGED_MAX {
            match client.hear_within(PATIENCE) {
                Some(Heard::PubAck(found, 0, _)) if found == id(acknowledged) => acknowledged += 1,
                other => panic!("no PUBACK of message {acknowledged}: {other:?}"),
            }
            continue;
        }
        sleep(due.saturating_sub(epoch.elapsed()));
        // The moment at which it was due: who has to wait until he may speak is late as well.
        let micros = u64::try_from(due.as_micros()).expect("a test ends within years");
        let payload = [sent.to_be_bytes(), micros.to_be_bytes()].concat();
        client.publish(&Post::to(topic).qos(1).id(id(sent)).payload(payload));
        sent += 1;
        due += PERIOD;
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
