//! Who takes part where disks fill up and in shared groups: publishers of one topic that say again what nobody has acknowledged, subscribers that take QoS 2 messages once.

use std::collections::{BTreeMap, BTreeSet};

use crate::stage::Stage;
use crate::support::cast::Wires;
use crate::support::raw::{packet, packets, text};

/// The one topic.
pub const TOPIC: &str = "t";

/// What CONNACK and SUBACK say to who has no session, or no subscription, while there is no room for new ones.
const NO_ROOM_FOR_SESSION: u8 = 3;
const NO_ROOM_FOR_SUBSCRIPTION: u8 = 0x80;

/// Packet identifiers that a publisher uses.
const IDENTIFIERS: u16 = 6;

/// Who published a message, and at which quality of service.
pub type Messages = Vec<(usize, u8)>;

/// A publisher with a session that is never clean.
#[derive(Debug, Default)]
pub struct Publisher {
    name: String,
    /// Its connection, if it has one.
    pub link: Option<usize>,
    /// Whether it was let in.
    pub is_in: bool,
    last_id: u16,
    /// What it has sent and not heard the end of, by packet identifier.
    pub open: BTreeMap<u16, Open>,
    /// The messages that the broker has taken on.
    pub promised: Vec<u32>,
    /// Whether the broker may have no room for it now and then.
    pub may_be_refused: bool,
}

/// A message on its way to the broker.
#[derive(Clone, Debug)]
pub struct Open {
    message: u32,
    qos: u8,
    is_received: bool,
}

/// A subscriber with a session that is never clean.
#[derive(Debug, Default)]
pub struct Subscriber {
    name: String,
    /// Its connection, if it has one.
    pub link: Option<usize>,
    had_connack: bool,
    /// Whether its subscription was acknowledged.
    had_suback: bool,
    /// Messages that were published before its SUBACK may come or not.
    since: u32,
    /// Identifiers of quality of service 2 that it has taken and not released.
    taken: BTreeSet<u16>,
    /// How often each message came.
    got: BTreeMap<u32, u32>,
    /// Of each publisher and quality of service, the first arrivals in order.
    firsts: BTreeMap<(usize, u8), Vec<u32>>,
    /// Whether the broker may have no room for it now and then.
    pub may_be_refused: bool,
}

impl Publisher {
    /// One that has not connected.
    pub fn new(number: usize) -> Self {
        Self { name: format!("p{number}"), ..Self::default() }
    }

    /// Connects, if it is not connected.
    pub fn come(&mut self, wires: &mut impl Wires) {
        come(&mut self.link, &self.name, wires);
    }

    /// Whether it can send something new.
    pub fn is_free(&self) -> bool {
        self.is_in && self.open.len() < usize::from(IDENTIFIERS) - 1
    }

    /// What it has sent and not heard the end of.
    pub fn open_messages(&self) -> impl Iterator<Item = u32> {
        self.open.values().map(|open| open.message)
    }

    /// Sends a new message.
    pub fn publish(&mut self, message: u32, qos: u8, wires: &mut impl Wires) {
        let Some(link) = self.link else { return };
        // Few identifiers, so that they come back soon.
        let id = (1..=IDENTIFIERS).map(|step| (self.last_id + step) % IDENTIFIERS + 1);
        let id = id.into_iter().find(|id| !self.open.contains_key(id)).expect("one less is open at the most");
        self.last_id = id;
        let open = Open { message, qos, is_received: false };
        wires.send(link, &publish(id, &open, false));
        self.open.insert(id, open);
    }

    /// Hears what has come, and answers.
    pub fn hear(&mut self, wires: &mut impl Wires) {
        let Some(link) = self.link else { return };
        for (first, body) in packets(&wires.receive(link)) {
            let id = || u16::from_be_bytes([body[0], body[1]]);
            match first >> 4 {
                2 if is_refused(&body, self.may_be_refused) => {}
                2 => {
                    assert_eq!(body[1], 0, "the client may come in");
                    self.is_in = true;
                    self.say_again(link, wires);
                }
                4 => {
                    let done = self.open.remove(&id()).expect("a PUBACK for what is open");
                    self.promised.push(done.message);
                }
                5 => {
                    let open = self.open.get_mut(&id()).expect("a PUBREC for what is open");
                    if !std::mem::replace(&mut open.is_received, true) {
                        self.promised.push(open.message);
                    }
                    wires.send(link, &packet(0x62, &[&id().to_be_bytes()]));
                }
                7 => {
                    self.open.remove(&id());
                }
                other => panic!("a publisher gets no packet of type {other}"),
            }
        }
        if wires.is_closed(link) {
            (self.link, self.is_in) = (None, false);
        }
    }

    /// What is open is said again, in the order in which it was said first.
    fn say_again(&self, link: usize, wires: &mut impl Wires) {
        let mut open: Vec<_> = self.open.iter().collect();
        open.sort_by_key(|(_, open)| open.message);
        for (id, open) in open {
            let again = if open.is_received { packet(0x62, &[&id.to_be_bytes()]) } else { publish(*id, open, true) };
            wires.send(link, &again);
        }
    }
}

impl Subscriber {
    /// One that has not connected.
    pub fn new(number: usize) -> Self {
        Self { name: format!("s{number}"), ..Self::default() }
    }

    /// These may have come behind later ones.
    pub fn forgive_order_of(&mut self, overtaken: &BTreeSet<u32>) {
        self.firsts.values_mut().for_each(|firsts| firsts.retain(|message| !overtaken.contains(message)));
    }

    /// Connects, if it is not connected.
    pub fn come(&mut self, wires: &mut impl Wires) {
        come(&mut self.link, &self.name, wires);
    }

    /// Hears what has come, and answers.
    pub fn hear(&mut self, messages: &Messages, wires: &mut impl Wires) {
        let Some(link) = self.link else { return };
        for (first, body) in packets(&wires.receive(link)) {
            match first >> 4 {
                2 if is_refused(&body, self.may_be_refused) => {}
                2 => {
                    assert_eq!(body[1], 0, "the client may come in");
                    assert!(body[0] == 1 || !self.had_connack, "a session that was promised is there");
                    self.had_connack = true;
                    if !self.had_suback {
                        wires.send(link, &packet(0x82, &[&[0, 9], &text(TOPIC), &[2]]));
                    }
                }
                9 if self.may_be_refused && body[2] == NO_ROOM_FOR_SUBSCRIPTION => {
                    wires.send(link, &packet(0x82, &[&[0, 9], &text(TOPIC), &[2]]));
                }
                9 if !self.had_suback => {
                    self.had_suback = true;
                    self.since = u32::try_from(messages.len()).expect("few messages");
                }
                9 => {}
                3 => {
                    let answer = self.take(first, &body, messages);
                    wires.send(link, &answer);
                }
                6 => {
                    self.taken.remove(&u16::from_be_bytes([body[0], body[1]]));
                    wires.send(link, &packet(0x70, &[&body[..2]]));
                }
                other => panic!("a subscriber gets no packet of type {other}"),
            }
        }
        if wires.is_closed(link) {
            self.link = None;
        }
    }

    /// Takes a message; the answer that it is owed.
    fn take(&mut self, first: u8, body: &[u8], messages: &Messages) -> Vec<u8> {
        let rest = body.strip_prefix(&*text(TOPIC)).expect("nothing else was subscribed to");
        let (id, payload) = rest.split_first_chunk::<2>().expect("an identifier");
        let message = u32::from_be_bytes(payload.try_into().expect("the message's number"));
        let qos = first >> 1 & 3;
        let (publisher, _) = messages[message as usize]; // what was never published has no place here
        if qos == 1 || self.taken.insert(u16::from_be_bytes(*id)) {
            let count = self.got.entry(message).or_default();
            *count += 1;
            if *count == 1 {
                self.firsts.entry((publisher, qos)).or_default().push(message);
            }
        }
        packet(if qos == 1 { 0x40 } else { 0x50 }, &[id])
    }
}

/// Whether a CONNACK says that there is no room, to somebody who may hear that.
fn is_refused(connack: &[u8], may_be_refused: bool) -> bool {
    may_be_refused && connack[1] == NO_ROOM_FOR_SESSION
}

fn come(link: &mut Option<usize>, name: &str, wires: &mut impl Wires) {
    if link.is_none() {
        let new = wires.connect();
        *link = Some(new);
        wires.send(new, &packet(0x10, &[&text("MQTT"), &[4, 0, 0, 0], &text(name)]));
    }
}

fn publish(id: u16, open: &Open, is_again: bool) -> Vec<u8> {
    let first = 0x30 | open.qos << 1 | u8::from(is_again) << 3;
    packet(first, &[&text(TOPIC), &id.to_be_bytes(), &open.message.to_be_bytes()])
}

/// One of the publishers says something, if it may.
pub fn one_publishes(publishers: &mut [Publisher], messages: &mut Messages, stage: &mut Stage) {
    let who = stage.random.index(publishers.len());
    let publisher = &mut publishers[who];
    publisher.come(&mut stage.world);
    if publisher.is_free() {
        let qos = if stage.random.chance(1, 2) { 1 } else { 2 };
        let message = u32::try_from(messages.len()).expect("few messages");
        messages.push((who, qos));
        publisher.publish(message, qos, &mut stage.world);
    }
}

/// Asserts that nothing that was promised is lost, nothing came twice that must come once, and nothing has overtaken.
///
/// # Panics
/// When something is wrong.
pub fn judge(publishers: &[Publisher], subscribers: &[Subscriber], messages: &Messages) {
    for (who, subscriber) in subscribers.iter().enumerate() {
        for (message, count) in &subscriber.got {
            let (_, qos) = messages[*message as usize];
            assert!(qos == 1 || *count == 1, "message {message} came {count} times to {who}");
        }
        for message in publishers.iter().flat_map(|publisher| &publisher.promised) {
            let is_due = *message >= subscriber.since && subscriber.had_suback;
            assert!(!is_due || subscriber.got.contains_key(message), "message {message} is lost for {who}");
        }
        for firsts in subscriber.firsts.values() {
            // What nobody wanted when it was sent first may come late when it is sent again.
            let firsts: Vec<u32> = firsts.iter().copied().filter(|first| *first >= subscriber.since).collect();
            assert!(firsts.is_sorted(), "messages of one publisher stay in order for {who}: {firsts:?}");
        }
    }
}
