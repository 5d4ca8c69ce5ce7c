//! Where an attack happens: a broker, witnesses on each of its shards, and what the kernel says of it.

use std::cell::RefCell;
use std::time::Duration;

use crate::client::Client;
use crate::patience::{Deadline, PATIENCE, Stopwatch, wait_until};
use crate::process::{Broker, Options};
use crate::support::story::{Heard, Hello};
use crate::witness::{Witness, topic};

/// Shards of the broker under attack.
pub const SHARDS: usize = 2;
pub const KIBIBYTE: u64 = 1024;
pub const MEBIBYTE: u64 = 1024 * KIBIBYTE;

/// A witness hears so many messages before an attack, and again behind it.
const MESSAGES_AROUND: usize = 20;
/// No message of a witness is later, however busy the machine: it is a bound for what stands still, not a figure.
const LATENCY_US_MAX: u32 = 20_000_000;
/// Clients of which each shard is home to enough, at the first attempt in most cases.
const GUESTS: usize = 11;
const ATTEMPTS_MAX: usize = 20;

/// One attack: its name in a table, and what happens.
pub struct Attack {
    pub name: &'static str,
    pub run: fn(&Stage),
}

/// How attacks are played: once and judged, or over a time and written down.
pub struct Stage {
    /// How long a base and an attack are measured; nothing in a test.
    pub measured: Option<Duration>,
    /// Has the thread of the attackers, and all that it begins from then on, give way to broker and witnesses, who run already.
    pub give_way: fn(),
    /// What was measured.
    pub rows: RefCell<Vec<Row>>,
}

/// What the witnesses of one attack have to say, in microseconds, in no order.
pub struct Row {
    pub base: Vec<u32>,
    pub attack: Vec<u32>,
    /// How much private memory the broker had at most beside what it had before, where the attack looked.
    pub growth_bytes: u64,
    /// Which part of two cores' time the broker itself has spent in the attack.
    pub broker_percent: u128,
}

/// A broker with its witnesses.
pub struct Field<'a> {
    pub broker: Broker,
    /// Its private memory before the attack.
    pub base_bytes: u64,
    stage: &'a Stage,
    witnesses: Vec<Witness>,
    most_bytes: RefCell<u64>,
}

impl Stage {
    /// Starts a broker whose default listener lets witnesses in without a password.
    pub fn open(&self, options: Options) -> Field<'_> {
        let broker = options.with_metrics().start();
        self.around(broker, |hello, broker| Client::connect(broker, hello))
    }

    /// The same with a broker that runs already, and witnesses who come in their own way.
    pub fn around(&self, broker: Broker, connect: impl Fn(&Hello, &Broker) -> Client) -> Field<'_> {
        let mut guests = Guests::invite(&broker, &connect);
        // One pair on each shard, and one whose messages cross from the first to the last.
        let homes = (0..SHARDS).map(|shard| (shard, shard)).chain([(0, SHARDS - 1)]);
        let witnesses: Vec<Witness> = homes
            .map(|(from, to)| {
                let name = format!("{from}-{to}");
                let (publisher, mut subscriber) = (guests.take(from), guests.take(to));
                subscriber.subscribe(&topic(&name), 1);
                Witness::start(&name, publisher, subscriber)
            })
            .collect();
        guests.0.into_iter().for_each(|(_, client)| client.leave());
        let mut field = Field { broker, base_bytes: 0, stage: self, witnesses, most_bytes: RefCell::new(0) };
        field.expect_witnesses_to_go_on();
        field.rest();
        field.base_bytes = field.broker.memory_private();
        field.most_bytes = RefCell::new(field.base_bytes);
        field
    }
}

impl Field<'_> {
    /// The attack: once in a test, and as often as the time allows where it is measured. Then all must be as before.
    pub fn attack(self, mut round: impl FnMut(&Self, usize)) {
        (self.stage.give_way)();
        let before: Vec<usize> = self.witnesses.iter().map(Witness::heard_count).collect();
        let (watch, spent_before, mut count) = (Stopwatch::start(), self.broker.processor_time(), 0);
        while count == 0 || self.stage.measured.is_some_and(|time| watch.elapsed() < time) {
            round(&self, count);
            count += 1;
        }
        let spent = self.broker.processor_time().saturating_sub(spent_before).as_millis();
        let broker_percent = spent * 100 / (watch.elapsed().as_millis() * SHARDS as u128).max(1);
        let growth_bytes = self.most_bytes.borrow().saturating_sub(self.base_bytes);
        let behind: Vec<usize> = self.witnesses.iter().map(Witness::heard_count).collect();
        self.expect_witnesses_to_go_on();
        let mut row = Row { base: Vec::new(), attack: Vec::new(), growth_bytes, broker_percent };
        for (witness, (before, behind)) in self.witnesses.into_iter().zip(before.into_iter().zip(behind)) {
            let name = witness.name.clone();
            let mut latencies = witness.end();
            let latest = latencies.iter().max().copied().unwrap_or_default();
            assert!(latest <= LATENCY_US_MAX, "a message of witness {name} came after {latest} microseconds");
            latencies.truncate(behind);
            row.attack.extend(latencies.drain(before..));
            row.base.append(&mut latencies);
        }
        self.stage.rows.borrow_mut().push(row);
    }

    /// The private memory of the broker now; a row remembers the most.
    pub fn memory(&self) -> u64 {
        let now = self.broker.memory_private();
        let most = (*self.most_bytes.borrow()).max(now);
        self.most_bytes.replace(most);
        now
    }

    /// So much and no more than before the attack.
    #[track_caller]
    pub fn expect_growth(&self, bytes_max: u64) {
        let growth = self.memory().saturating_sub(self.base_bytes);
        assert!(growth <= bytes_max, "grew by {} KiB of {}", growth / KIBIBYTE, bytes_max / KIBIBYTE);
    }

    /// The allocator gives back what it holds within some time, down to this more than before the attack.
    #[track_caller]
    pub fn expect_shrunk(&self, bytes_max: u64) {
        let deadline = Deadline::after(PATIENCE);
        while self.broker.memory_private() > self.base_bytes + bytes_max {
            if deadline.left().is_none() {
                return self.expect_growth(bytes_max);
            }
            wait(Duration::from_millis(50));
        }
    }

    /// As many connections as the witnesses have.
    #[track_caller]
    pub fn expect_nobody_else(&self) {
        let own = 2 * self.witnesses.len();
        wait_until("the connections of the attack to end", || {
            metric_now(&self.broker, "pregon_connections", "") == own as u64
        });
    }

    /// Each witness hears some more.
    #[track_caller]
    pub fn expect_witnesses_to_go_on(&self) {
        for witness in &self.witnesses {
            let before = witness.heard_count();
            let goes_on = || witness.has_failed() || witness.heard_count() >= before + MESSAGES_AROUND;
            wait_until("a witness to go on", goes_on);
        }
    }

    /// Where it is measured, the base is.
    fn rest(&self) {
        if let Some(time) = self.stage.measured {
            wait(time);
        }
    }
}

/// Lets time pass.
#[expect(clippy::disallowed_methods, reason = "an attack lives in real time")]
pub fn wait(time: Duration) {
    std::thread::sleep(time);
}

/// Clients, each with the shard on which its session has its home.
struct Guests(Vec<(usize, Client)>);

impl Guests {
    /// So many that each shard is home to some. Each sends another power of two of packets that nobody else sends, so the
    /// sums that the broker counts on its shards tell who is where.
    #[track_caller]
    fn invite(broker: &Broker, connect: &impl Fn(&Hello, &Broker) -> Client) -> Self {
        for attempt in 0..ATTEMPTS_MAX {
            let pings = |shard: usize| {
                metric(broker, "pregon_packets_received_total", &format!("shard=\"{shard}\",type=\"pingreq\""))
            };
            let before: Vec<u64> = (0..SHARDS).map(pings).collect();
            let mut all: Vec<Client> = (0..GUESTS)
                .map(|number| {
                    let mut client = connect(&Hello::v5(&format!("witness-{attempt}-{number}")), broker);
                    client.send(&[0xc0, 0].repeat(1 << number));
                    (0..1 << number).for_each(|_| client.expect("PINGRESP", |heard| *heard == Heard::PingResp));
                    client
                })
                .collect();
            let sums = || -> Vec<u64> { (0..SHARDS).map(|shard| pings(shard) - before[shard]).collect() };
            wait_until("what the guests have sent to be counted", || sums().iter().sum::<u64>() == (1 << GUESTS) - 1);
            let sums = sums();
            let home = |number: usize| sums.iter().position(|sum| sum >> number & 1 == 1).expect("it has one");
            let guests = Self(all.drain(..).enumerate().map(|(number, client)| (home(number), client)).collect());
            let has_enough = |shard| guests.0.iter().filter(|(home, _)| *home == shard).count() > SHARDS;
            if (0..SHARDS).all(has_enough) {
                return guests;
            }
            guests.0.into_iter().for_each(|(_, client)| client.leave());
        }
        panic!("each shard is home to some of {GUESTS} names")
    }

    /// One of those at home on this shard.
    #[track_caller]
    fn take(&mut self, shard: usize) -> Client {
        let place = self.0.iter().position(|(home, _)| *home == shard).expect("there are enough of them");
        self.0.swap_remove(place).1
    }
}

/// How a metric stands now: the shards tell what they count from time to time.
#[track_caller]
pub fn metric_now(broker: &Broker, name: &str, label: &str) -> u64 {
    let uptimes = || -> Vec<String> {
        let text = broker.metrics();
        text.lines().filter(|line| line.starts_with("pregon_shard_uptime_seconds{")).map(str::to_owned).collect()
    };
    let before = uptimes();
    wait_until("each shard to tell", || uptimes().iter().zip(&before).all(|(now, before)| now != before));
    metric(broker, name, label)
}

/// The sum of a metric over all lines whose labels have this text.
#[track_caller]
pub fn metric(broker: &Broker, name: &str, label: &str) -> u64 {
    let text = broker.metrics();
    let lines = text.lines().filter(|line| line.split(['{', ' ']).next() == Some(name) && line.contains(label));
    let numbers = lines.map(|line| line.rsplit(' ').next().and_then(|number| number.parse().ok()).unwrap_or(0_u64));
    numbers.sum()
}
