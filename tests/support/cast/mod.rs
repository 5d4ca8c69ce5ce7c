//! Who takes part where a broker is ended again and again, and the books that outlive it.
//!
//! | file | what lives there |
//! |---|---|
//! | `books` | what was ever said, what of it the broker has taken on, what must be retained |
//! | `publisher` | says again what nobody has acknowledged |
//! | `subscriber` | takes messages of quality of service 2 once; one of its filters comes and goes |
//! | `mourner` | leaves a will whenever its connection ends without a farewell |
//! | `wanderer` | stays away for longer than its session lasts, or nearly so |
//! | `inspector` | comes anew and asks what is retained |
//! | `judge` | whether what came is what had to come |

pub mod books;
mod inspector;
mod judge;
mod mourner;
mod publisher;
mod subscriber;
mod wanderer;

use pregon::base::random::Random;

use super::raw::{packet, text};
use books::Books;
pub use inspector::Inspector;
use mourner::Mourner;
use publisher::Publisher;
use subscriber::Subscriber;
use wanderer::Wanderer;

/// Connections to a broker, in memory or real ones.
pub trait Wires {
    /// A new connection.
    fn connect(&mut self) -> usize;

    /// Sends bytes, as long as it is open.
    fn send(&mut self, link: usize, bytes: &[u8]);

    /// The whole packets that have come since the last call.
    fn receive(&mut self, link: usize) -> Vec<u8>;

    /// Whether it is over.
    fn is_closed(&mut self, link: usize) -> bool;

    /// Breaks it without a word.
    fn close(&mut self, link: usize);
}

/// Everybody who outlives the broker, and their books.
#[derive(Debug)]
pub struct Cast {
    /// What was said and promised.
    pub books: Books,
    publishers: Vec<Publisher>,
    subscribers: Vec<Subscriber>,
    mourners: Vec<Mourner>,
    wanderers: Vec<Wanderer>,
}

impl Cast {
    /// So many of each, of whom nobody has connected.
    pub fn new(publishers: usize, subscribers: usize, mourners: usize) -> Self {
        Self {
            books: Books::default(),
            publishers: (0..publishers).map(Publisher::new).collect(),
            subscribers: (0..subscribers).map(Subscriber::new).collect(),
            mourners: (0..mourners).map(Mourner::new).collect(),
            wanderers: Vec::new(),
        }
    }

    /// The same with so many whose sessions end, where somebody turns the clock: [`Books::now_ms`].
    #[must_use]
    pub fn with_wanderers(mut self, count: usize) -> Self {
        self.wanderers = (0..count).map(Wanderer::new).collect();
        self
    }

    /// Whoever is not connected connects.
    pub fn come(&mut self, wires: &mut impl Wires) {
        (0..self.publishers.len()).for_each(|who| self.publishers[who].come(wires));
        (0..self.subscribers.len()).for_each(|who| self.subscribers[who].come(wires));
        self.mourners.iter_mut().for_each(|mourner| mourner.come(&mut self.books, wires));
        self.wanderers.iter_mut().for_each(|wanderer| wanderer.come(&self.books, wires));
    }

    /// One of them connects, if it is not connected.
    pub fn one_comes(&mut self, random: &mut Random, wires: &mut impl Wires) {
        let (subscribers, mourners) = (self.subscribers.len(), self.mourners.len());
        let who = random.index(subscribers + mourners + self.wanderers.len());
        if who < subscribers {
            self.subscribers[who].come(wires);
        } else if who < subscribers + mourners {
            self.mourners[who - subscribers].come(&mut self.books, wires);
        } else if random.chance(1, 3) {
            self.wanderers[who - subscribers - mourners].come(&self.books, wires);
        }
    }

    /// One of the publishers says something new, if it can.
    pub fn one_publishes(&mut self, random: &mut Random, wires: &mut impl Wires) {
        let who = random.index(self.publishers.len());
        self.publishers[who].come(wires);
        self.publishers[who].publish(&mut self.books, random, wires);
    }

    /// Everybody hears what has come, and answers.
    pub fn hear(&mut self, wires: &mut impl Wires) {
        self.publishers.iter_mut().for_each(|publisher| publisher.hear(&mut self.books, wires));
        self.subscribers.iter_mut().for_each(|subscriber| subscriber.hear(&self.books, wires));
        self.mourners.iter_mut().for_each(|mourner| mourner.hear(&mut self.books, wires));
        self.wanderers.iter_mut().for_each(|wanderer| wanderer.hear(&self.books, wires));
    }

    /// Somebody does what is done seldom: connects again while connected, changes its subscriptions, leaves in peace or without a word.
    pub fn one_is_restless(&mut self, random: &mut Random, wires: &mut impl Wires) {
        match random.below(10) {
            0 => {
                let who = random.index(self.publishers.len());
                self.publishers[who].come_again(&mut self.books, wires);
            }
            1 | 2 => {
                let who = random.index(self.subscribers.len());
                self.subscribers[who].come_again(&self.books, wires);
            }
            3..6 => {
                let who = random.index(self.subscribers.len());
                self.subscribers[who].waver(&self.books, wires);
            }
            6 if !self.mourners.is_empty() => {
                let who = random.index(self.mourners.len());
                self.mourners[who].come_again(&mut self.books, wires);
            }
            7 if !self.mourners.is_empty() => {
                let who = random.index(self.mourners.len());
                self.mourners[who].say_farewell(&self.books, wires);
            }
            _ => {
                let links: Vec<usize> = self.links().collect();
                if let Some(link) = random.pick(&links) {
                    wires.close(*link);
                }
            }
        }
    }

    fn links(&self) -> impl Iterator<Item = usize> {
        let publishers = self.publishers.iter().filter_map(|publisher| publisher.link);
        let subscribers = self.subscribers.iter().filter_map(|subscriber| subscriber.link);
        let others =
            self.mourners.iter().filter_map(Mourner::fragile).chain(self.wanderers.iter().filter_map(Wanderer::link));
        publishers.chain(subscribers).chain(others)
    }

    /// Whether somebody has a connection.
    pub fn is_connected(&self) -> bool {
        self.publishers.iter().any(|publisher| publisher.link.is_some())
            || self.subscribers.iter().any(|subscriber| subscriber.link.is_some())
            || self.mourners.iter().any(|mourner| mourner.link.is_some())
            || self.wanderers.iter().any(|wanderer| wanderer.link().is_some())
    }

    /// The broker is dead.
    pub fn note_crash(&mut self) {
        self.books.crashes += 1;
        self.wanderers.iter_mut().for_each(|wanderer| wanderer.note_crash(&self.books));
    }

    /// Whether everybody is there and nobody waits for an answer.
    pub fn is_at_rest(&self) -> bool {
        self.publishers.iter().all(Publisher::is_at_rest)
            && self.subscribers.iter().all(Subscriber::is_at_rest)
            && self.mourners.iter().all(Mourner::is_at_rest)
            && self.wanderers.iter().all(Wanderer::is_at_rest)
    }

    /// How many messages have come, again or not.
    pub fn received(&self) -> u64 {
        self.subscribers.iter().map(Subscriber::received).sum()
    }

    /// How many sessions have ended, and others taken their place.
    pub fn lives_over(&self) -> u32 {
        self.wanderers.iter().map(|wanderer| wanderer.lives.saturating_sub(1)).sum()
    }

    /// Asserts that everything is as it had to be, when everybody is at rest.
    ///
    /// # Panics
    /// When something is wrong.
    pub fn judge(&self) {
        for subscriber in &self.subscribers {
            subscriber.judge(&self.books);
        }
        self.wanderers.iter().for_each(|wanderer| wanderer.judge(&self.books));
    }
}

/// What a client says first; `will` is its topic, quality of service and payload.
fn hello(name: &str, is_clean: bool, will: Option<(&str, u8, &[u8])>) -> Vec<u8> {
    let clean = u8::from(is_clean) << 1;
    match will {
        None => packet(0x10, &[&text("MQTT"), &[4, clean, 0, 0], &text(name)]),
        Some((topic, qos, payload)) => {
            let flags = clean | 0x04 | qos << 3;
            packet(0x10, &[&text("MQTT"), &[4, flags, 0, 0], &text(name), &text(topic), &text(payload)])
        }
    }
}

/// The packet identifier at the front of a packet's body.
fn id_of(body: &[u8]) -> u16 {
    u16::from_be_bytes([body[0], body[1]])
}
