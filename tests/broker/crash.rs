//! The broker is killed again and again under load: what it had acknowledged is there afterwards, by books that are kept outside.

use std::fs;
use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::PathBuf;
use std::time::Duration;

use pregon::base::random::Random;
use pregon::mqtt::frame::{Next, PACKET_BYTES_MAX, next_frame};

use crate::patience::{Deadline, Stopwatch};
use crate::process::{Broker, Options};
use crate::support::cast::{Messages, Publisher, Subscriber, Wires, judge};

/// How often the broker is killed; `PREGON_CRASHES` says otherwise.
const CRASHES: u32 = 50;
/// It lives so long at the most.
const LIFE_MS_MAX: u64 = 300;

/// Real connections to the broker that runs now.
struct Sockets {
    address: SocketAddr,
    links: Vec<Option<TcpStream>>,
    /// The beginnings of packets.
    partial: Vec<Vec<u8>>,
}

impl Wires for Sockets {
    fn connect(&mut self) -> usize {
        let stream = TcpStream::connect(self.address)
            .ok()
            .filter(|stream| stream.set_nodelay(true).is_ok() && stream.set_nonblocking(true).is_ok());
        self.links.push(stream);
        self.partial.push(Vec::new());
        self.links.len() - 1
    }

    fn send(&mut self, link: usize, bytes: &[u8]) {
        // A few small packets: a socket that does not take them at once is as good as broken.
        let is_sent = self.links[link].as_mut().is_none_or(|stream| stream.write_all(bytes).is_ok());
        if !is_sent {
            self.links[link] = None;
        }
    }

    fn receive(&mut self, link: usize) -> Vec<u8> {
        let partial = &mut self.partial[link];
        let mut buffer = [0; 16 * 1024];
        while let Some(stream) = &mut self.links[link] {
            match stream.read(&mut buffer) {
                Ok(count) if count > 0 => partial.extend_from_slice(&buffer[..count]),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Ok(_) | Err(_) => self.links[link] = None,
            }
        }
        let mut whole = 0;
        while let Ok(Next::Frame(frame)) = next_frame(&partial[whole..], PACKET_BYTES_MAX) {
            whole += frame.len;
        }
        partial.drain(..whole).collect()
    }

    fn is_closed(&mut self, link: usize) -> bool {
        self.links[link].is_none()
    }
}

/// Everybody, and a folder that outlives each broker.
struct Run {
    shards: usize,
    folder: PathBuf,
    random: Random,
    sockets: Sockets,
    publishers: Vec<Publisher>,
    subscribers: Vec<Subscriber>,
    messages: Messages,
}

impl Run {
    fn new(shards: usize) -> Self {
        let folder = std::env::temp_dir().join(format!("pregon-crash-{}-{shards}", std::process::id()));
        let address = SocketAddr::from(([127, 0, 0, 1], 0));
        Self {
            shards,
            folder,
            random: Random::from_seed(u64::from(std::process::id())),
            sockets: Sockets { address, links: Vec::new(), partial: Vec::new() },
            publishers: (0..3).map(Publisher::new).collect(),
            subscribers: (0..3).map(Subscriber::new).collect(),
            messages: Messages::new(),
        }
    }

    fn start(&mut self) -> Broker {
        let data_dir = format!("storage.data_dir={}", self.folder.display());
        let options = Options::shards(self.shards).set("storage.durability=fsync").set(&data_dir);
        let broker = options.set("storage.segment_bytes=64KiB").start();
        self.sockets.address = broker.address;
        broker
    }

    /// Everybody says what there is to say; whether anything was.
    fn turn(&mut self, is_publishing: bool) {
        for (who, publisher) in self.publishers.iter_mut().enumerate() {
            publisher.come(&mut self.sockets);
            if is_publishing && publisher.is_free() {
                let qos = if self.random.chance(1, 2) { 1 } else { 2 };
                let message = u32::try_from(self.messages.len()).expect("few messages");
                self.messages.push((who, qos));
                publisher.publish(message, qos, &mut self.sockets);
            }
            publisher.hear(&mut self.sockets);
        }
        for subscriber in &mut self.subscribers {
            subscriber.come(&mut self.sockets);
            subscriber.hear(&self.messages, &mut self.sockets);
        }
    }

    /// One life of the broker, up to the moment at which it is killed.
    fn live_and_die(&mut self) {
        let broker = self.start();
        let life = Duration::from_millis(self.random.below(LIFE_MS_MAX));
        let watch = Stopwatch::start();
        while watch.elapsed() < life {
            self.turn(true);
        }
        drop(broker); // with SIGKILL
        // What it had said before it died was said.
        self.turn(false);
    }

    /// The number of the first segment of a shard.
    fn oldest_segment(&self, shard: usize) -> u64 {
        let entries = fs::read_dir(self.folder.join(format!("shard-{shard}"))).expect("the shard has a folder");
        let names =
            entries.map(|entry| entry.expect("it can be listed").file_name().into_string().expect("names are ASCII"));
        let numbers =
            names.filter_map(|name| u64::from_str_radix(name.strip_suffix(".segment")?.split_once('-')?.1, 16).ok());
        numbers.min().expect("the shard has segments")
    }

    /// The last life: everybody stays until nothing is owed.
    fn finish(&mut self) -> u64 {
        let broker = self.start();
        let patience = Deadline::after(Duration::from_mins(1));
        let mut is_quiet_since = Stopwatch::start();
        let mut received = 0;
        while is_quiet_since.elapsed() < Duration::from_secs(1) {
            self.turn(false);
            let now = self.subscribers.iter().map(Subscriber::received).sum();
            let is_done = self.publishers.iter().all(|publisher| publisher.open.is_empty());
            if now != received || !is_done {
                (received, is_quiet_since) = (now, Stopwatch::start());
            }
            assert!(patience.left().is_some(), "the broker does not come to rest: {:?}", self.publishers);
        }
        drop(broker);
        received
    }
}

impl Drop for Run {
    fn drop(&mut self) {
        // What a failed run leaves behind is looked at by whoever wants to know why.
        if !std::thread::panicking() {
            fs::remove_dir_all(&self.folder).expect("the folder is ours");
        }
    }
}

fn survive(shards: usize) {
    let crashes = std::env::var("PREGON_CRASHES").ok().and_then(|count| count.parse().ok()).unwrap_or(CRASHES);
    let mut run = Run::new(shards);
    (0..crashes).for_each(|_| run.live_and_die());
    let received = run.finish();
    judge(&run.publishers, &run.subscribers, &run.messages);
    let promised: usize = run.publishers.iter().map(|publisher| publisher.promised.len()).sum();
    assert!(promised > 100 && received > 100, "{promised} promises, {received} deliveries: too little happens");
    for shard in 0..shards {
        let oldest = run.oldest_segment(shard);
        assert!(oldest > 1, "the log of shard {shard} was never swept: it begins with segment {oldest}");
    }
}

#[test]
fn what_was_acknowledged_survives_kills_of_one_shard() {
    survive(1);
}

#[test]
fn what_was_acknowledged_survives_kills_of_two_shards() {
    survive(2);
}
