//! A publisher that says again what nobody has acknowledged, in a session that is never clean.

use std::collections::BTreeMap;

use pregon::base::random::Random;

use super::books::{Books, KEPT, PLAIN, Said};
use super::{Wires, hello, id_of};
use crate::support::raw::{packet, packets, text};

/// Packet identifiers that a publisher uses: few, so that they come back soon.
const IDENTIFIERS: u16 = 6;

/// One publisher.
#[derive(Debug)]
pub struct Publisher {
    number: usize,
    /// Its connection, if it has one.
    pub link: Option<usize>,
    /// Whether it was let in.
    is_in: bool,
    last_id: u16,
    /// What it has sent and not heard the end of, by packet identifier.
    open: BTreeMap<u16, Open>,
}

/// A message on its way to the broker.
#[derive(Clone, Debug)]
struct Open {
    message: u32,
    is_received: bool,
}

impl Publisher {
    /// One that has not connected.
    pub fn new(number: usize) -> Self {
        Self { number, link: None, is_in: false, last_id: 0, open: BTreeMap::new() }
    }

    /// Connects, if it is not connected.
    pub fn come(&mut self, wires: &mut impl Wires) {
        if self.link.is_none() {
            let link = wires.connect();
            (self.link, self.is_in) = (Some(link), false);
            wires.send(link, &hello(&format!("p{}", self.number), false, None));
        }
    }

    /// Connects although it is connected, and never looks at the old connection again.
    pub fn come_again(&mut self, books: &mut Books, wires: &mut impl Wires) {
        self.hear(books, wires);
        self.link = None;
        self.come(wires);
    }

    /// Whether it is connected and everything that it has sent came to an end.
    pub fn is_at_rest(&self) -> bool {
        self.is_in && self.open.is_empty()
    }

    /// Says something new, if it can.
    pub fn publish(&mut self, books: &mut Books, random: &mut Random, wires: &mut impl Wires) {
        let Some(link) = self.link.filter(|_| self.is_in && self.open.len() < usize::from(IDENTIFIERS) - 1) else {
            return;
        };
        let own = *random.pick(&KEPT[self.number]).expect("there are some");
        // Messages of different quality may overtake each other: what is retained in the end is sure of one at a time.
        let is_taken = self.open.values().any(|open| !open.is_received && books.said(open.message).topic == own);
        let is_kept = !is_taken && random.chance(1, 4);
        let topic = if is_kept { own } else { *random.pick(&PLAIN).expect("there are some") };
        let qos = [0, 1, 1, 2, 2][random.index(5)];
        let is_erasure = is_kept && random.chance(1, 3);
        let message = books.say(Said { who: self.number, topic, qos, is_erasure });
        if qos == 0 {
            return wires.send(link, &publish(books, message, 0, false));
        }
        let id = (1..=IDENTIFIERS).map(|step| (self.last_id + step) % IDENTIFIERS + 1);
        let id = id.into_iter().find(|id| !self.open.contains_key(id)).expect("one less is open at the most");
        self.last_id = id;
        wires.send(link, &publish(books, message, id, false));
        self.open.insert(id, Open { message, is_received: false });
    }

    /// Hears what has come, and answers.
    pub fn hear(&mut self, books: &mut Books, wires: &mut impl Wires) {
        let Some(link) = self.link else { return };
        for (first, body) in packets(&wires.receive(link)) {
            match first >> 4 {
                2 => {
                    assert_eq!(body[1], 0, "the client may come in");
                    self.is_in = true;
                    self.say_again(link, books, wires);
                }
                4 => {
                    let done = self.open.remove(&id_of(&body)).expect("a PUBACK for what is open");
                    books.promise(done.message);
                }
                5 => {
                    let open = self.open.get_mut(&id_of(&body)).expect("a PUBREC for what is open");
                    if !std::mem::replace(&mut open.is_received, true) {
                        books.promise(open.message);
                    }
                    wires.send(link, &packet(0x62, &[&body[..2]]));
                }
                7 => {
                    self.open.remove(&id_of(&body));
                }
                other => panic!("a publisher gets no packet of type {other}"),
            }
        }
        if wires.is_closed(link) {
            (self.link, self.is_in) = (None, false);
        }
    }

    /// What is open is said again, in the order in which it was said first.
    fn say_again(&self, link: usize, books: &Books, wires: &mut impl Wires) {
        let mut open: Vec<_> = self.open.iter().collect();
        open.sort_by_key(|(_, open)| open.message);
        for (id, open) in open {
            let release = || packet(0x62, &[&id.to_be_bytes()]);
            wires.send(link, &if open.is_received { release() } else { publish(books, open.message, *id, true) });
        }
    }
}

fn publish(books: &Books, message: u32, id: u16, is_again: bool) -> Vec<u8> {
    let Said { topic, qos, .. } = books.said(message);
    let first = 0x30 | qos << 1 | u8::from(is_again) << 3 | u8::from(super::books::is_kept(topic));
    let id = if qos == 0 { Vec::new() } else { id.to_be_bytes().to_vec() };
    packet(first, &[&text(topic), &id, &books.payload(message)])
}
