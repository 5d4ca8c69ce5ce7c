//! Where packets are understood: deliveries go into the books, acknowledgements to their publishers, answers to outboxes.

use hdrhistogram::Histogram;
use pregon::mqtt::frame::Frame;
use pregon::mqtt::{PacketType, QoS, Reason, Version};

use super::client::{Client, Role, Stage, Welcome};
use super::ledger::{Irregularity, Verdict};
use super::packets::{Delivery, acknowledge};
use super::publisher::{Orders, Publisher};
use super::window::{Step, Window};

/// The longest latency that is told apart, in nanoseconds: two minutes.
const LATENCY_NS_MAX: u64 = 120_000_000_000;

/// What came from the broker, counted.
#[derive(Clone, Copy, Debug, Default)]
pub struct Tally {
    /// Clients that are ready.
    pub ready: u64,
    /// Clients that the broker refused or whose connection it ended.
    pub gone: u64,
    /// Messages delivered.
    pub deliveries: u64,
    /// Deliveries that the subscriber has no part in, or that nobody sent.
    pub foreign: u64,
    /// Messages that the broker acknowledged.
    pub acknowledged: u64,
    /// Messages that the broker acknowledged with an error.
    pub refused: u64,
    /// Packets that are malformed or that nothing asked for.
    pub wrong: u64,
    /// Clients whose session was not there and should have been, or the other way round.
    pub odd_sessions: u64,
}

/// Everything that packets change.
pub struct Desk {
    version: Version,
    qos: QoS,
    /// All publishers, by number.
    pub publishers: Vec<Publisher>,
    /// What the publishers go by; none until all clients are ready.
    pub orders: Option<Orders>,
    /// Publishers that may have something to send, each once.
    due: Vec<u32>,
    is_due: Vec<bool>,
    /// The counts so far.
    pub tally: Tally,
    /// The first word of the broker that ended a connection.
    pub last_word: Option<Reason>,
    /// The time of the packets at hand.
    pub now_ns: u64,
    /// How long messages, or connections, took; not recorded while it is `None`.
    pub latency: Option<Histogram<u64>>,
}

/// An empty histogram of nanoseconds, exact to three digits.
pub fn latency_histogram() -> Histogram<u64> {
    Histogram::new_with_bounds(1, LATENCY_NS_MAX, 3).expect("the bounds are sound")
}

impl Desk {
    /// A desk for these publishers.
    pub fn new(version: Version, qos: QoS, publishers: Vec<Publisher>) -> Self {
        let is_due = vec![false; publishers.len()];
        Desk {
            version,
            qos,
            publishers,
            orders: None,
            due: Vec::new(),
            is_due,
            tally: Tally::default(),
            last_word: None,
            now_ns: 0,
            latency: None,
        }
    }

    /// Handles one packet of the broker.
    #[inline]
    pub fn packet(&mut self, client: &mut Client, frame: &Frame<'_>) {
        match PacketType::of_first_byte(frame.first) {
            Some(PacketType::Publish) => self.delivery(client, frame),
            Some(packet @ (PacketType::PubAck | PacketType::PubRec | PacketType::PubComp)) => {
                self.acknowledgement(client, packet, frame.body);
            }
            Some(PacketType::PubRel) => match frame.body.first_chunk() {
                Some(id) => acknowledge(PacketType::PubComp, u16::from_be_bytes(*id), &mut client.outbox),
                None => self.tally.wrong += 1,
            },
            Some(PacketType::ConnAck | PacketType::SubAck) => self.welcome(client, frame),
            Some(PacketType::Disconnect) => {
                self.last_word = self.last_word.or(frame.body.first().and_then(|code| Reason::from_code(*code)));
            }
            Some(_) | None => self.tally.wrong += 1,
        }
    }

    #[inline]
    fn delivery(&mut self, client: &mut Client, frame: &Frame<'_>) {
        let (Role::Subscriber { slot, publishers }, Some(delivery)) =
            (&client.role, Delivery::read(self.version, frame.first, frame.body))
        else {
            self.tally.wrong += 1;
            return;
        };
        match delivery.qos {
            1 => acknowledge(PacketType::PubAck, delivery.packet_id, &mut client.outbox),
            2 => acknowledge(PacketType::PubRec, delivery.packet_id, &mut client.outbox),
            _ => {}
        }
        self.tally.deliveries += 1;
        let (number, stamp) = (delivery.stamp.publisher, delivery.stamp);
        let is_own = (publishers.0..publishers.1).contains(&number) && delivery.qos == self.qos.bits();
        match self.publishers.get_mut(number as usize) {
            Some(publisher) if is_own && stamp.sequence < publisher.sent => {
                publisher.audience.note(*slot as usize, stamp.sequence);
            }
            _ => {
                self.tally.foreign += 1;
                return;
            }
        }
        if let Some(latency) = &mut self.latency {
            latency.saturating_record(self.now_ns.saturating_sub(stamp.sent_ns));
        }
        self.call(number);
    }

    fn acknowledgement(&mut self, client: &mut Client, packet: PacketType, body: &[u8]) {
        let (Role::Publisher(number), Some(id)) = (&client.role, body.first_chunk()) else {
            self.tally.wrong += 1;
            return;
        };
        let (number, id) = (*number, u16::from_be_bytes(*id));
        let is_refusal = body.get(2).is_some_and(|code| *code >= 0x80);
        let window = self.publishers[number as usize].window.as_mut();
        match window.map_or(Step::Unexpected, |window| window.acknowledged(packet, id, is_refusal)) {
            Step::Done => self.tally.acknowledged += 1,
            Step::Release => acknowledge(PacketType::PubRel, id, &mut client.outbox),
            Step::Refused => self.tally.refused += 1,
            Step::Unexpected => self.tally.wrong += 1,
        }
        self.call(number);
    }

    fn welcome(&mut self, client: &mut Client, frame: &Frame<'_>) {
        match client.welcome(self.version, self.qos, frame) {
            Welcome::Connected { receive_maximum, is_odd } => {
                self.tally.odd_sessions += u64::from(is_odd);
                if let (Role::Publisher(number), Some(maximum)) = (&client.role, receive_maximum)
                    && let Some(window) = &mut self.publishers[*number as usize].window
                {
                    window.shrink(maximum);
                }
                if let (None, Some(latency)) = (self.orders, &mut self.latency) {
                    latency.saturating_record(self.now_ns.saturating_sub(client.opened_ns));
                }
            }
            Welcome::Subscribed => {}
            Welcome::Refused(reason) => {
                self.last_word = self.last_word.or(Some(reason));
                self.tally.gone += 1;
            }
            Welcome::Wrong => self.tally.wrong += 1,
        }
        if client.stage == Stage::Ready {
            self.tally.ready += 1;
        }
    }

    /// A publisher may have something to send.
    #[inline]
    pub fn call(&mut self, number: u32) {
        let is_due = &mut self.is_due[number as usize];
        if !*is_due {
            *is_due = true;
            self.due.push(number);
        }
    }

    /// Calls all publishers.
    pub fn call_all(&mut self) {
        (0..).zip(0..self.publishers.len()).for_each(|(number, _)| self.call(number));
    }

    /// Whether a publisher was called.
    pub fn has_due(&self) -> bool {
        !self.due.is_empty()
    }

    /// Moves the publishers that were called into `called`.
    pub fn take_due(&mut self, called: &mut Vec<u32>) {
        called.clear();
        called.append(&mut self.due);
        for &number in called.iter() {
            self.is_due[number as usize] = false;
        }
    }

    /// Messages sent by all publishers.
    pub fn sent(&self) -> u64 {
        self.publishers.iter().map(|publisher| publisher.sent).sum()
    }

    /// Deliveries that the messages sent so far make.
    pub fn expected(&self) -> u64 {
        let of = |publisher: &Publisher| publisher.sent * publisher.audience.deliveries_a_message();
        self.publishers.iter().map(of).sum()
    }

    /// Whether every message has come to all that it was for, or a later one has.
    pub fn all_arrived(&self) -> bool {
        self.publishers.iter().all(|publisher| publisher.audience.arrived() == publisher.sent)
    }

    /// Messages that the broker has not acknowledged.
    pub fn unacknowledged(&self) -> u64 {
        self.publishers.iter().filter_map(|publisher| publisher.window.as_ref()).map(Window::taken_count).sum()
    }

    /// Whether nothing is on its way any more, and nothing is due.
    pub fn is_settled(&self) -> bool {
        let Some(orders) = self.orders else { return true };
        let is_silent = |publisher: &Publisher| publisher.allowance(&orders, self.now_ns) == 0;
        self.all_arrived() && self.unacknowledged() == 0 && self.publishers.iter().all(is_silent)
    }

    /// The first irregular delivery of the first publisher that has one, with its number.
    pub fn first_irregularity(&self) -> Option<(usize, Irregularity)> {
        let mut all = self.publishers.iter().map(|publisher| publisher.audience.first_irregularity()).enumerate();
        all.find_map(|(number, first)| Some((number, first?)))
    }

    /// What was wrong with the deliveries.
    pub fn verdict(&self) -> Verdict {
        let mut verdict = Verdict::default();
        self.publishers.iter().for_each(|publisher| verdict.add(publisher.audience.verdict(publisher.sent)));
        verdict
    }
}
