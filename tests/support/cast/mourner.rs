//! A client with a will for each of its connections, in a session that is never clean.
//!
//! The will of a connection that was let in and ended without a farewell is owed, whoever ended it: the client, the broker's death, or the
//! same client that came again. After a farewell it may still come if the broker died before anybody knew; it is out of the world when
//! the client was let in again by the same broker.

use super::books::{Books, PUBLISHERS_MAX, Said, WILLS};
use super::{Wires, hello};
use crate::support::raw::{packet, packets};

/// How far a connection has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    /// Nobody has answered.
    Asking,
    /// It was let in.
    In,
    /// It has said farewell, when the broker had died so often.
    Leaving { crashes: u32 },
}

/// One of them.
#[derive(Debug)]
pub struct Mourner {
    number: usize,
    /// Its connection, if it has one.
    pub link: Option<usize>,
    /// The will of this connection.
    will: u32,
    stage: Stage,
    /// A will that was taken back by a farewell that was heard, and how often the broker had died then.
    recalled: Option<(u32, u32)>,
}

impl Mourner {
    /// One that has not connected.
    pub fn new(number: usize) -> Self {
        Self { number, link: None, will: 0, stage: Stage::Asking, recalled: None }
    }

    /// Connects with a new will, if it is not connected.
    pub fn come(&mut self, books: &mut Books, wires: &mut impl Wires) {
        if self.link.is_some() {
            return;
        }
        let topic = WILLS[self.number];
        let qos = if books.len().is_multiple_of(2) { 1 } else { 2 };
        self.will = books.say(Said { who: PUBLISHERS_MAX + self.number, topic, qos, is_erasure: false });
        self.stage = Stage::Asking;
        let link = wires.connect();
        self.link = Some(link);
        let words = books.payload(self.will);
        wires.send(link, &hello(&format!("m{}", self.number), false, Some((topic, qos, &words))));
    }

    /// Connects although it is connected, and never looks at the old connection again.
    pub fn come_again(&mut self, books: &mut Books, wires: &mut impl Wires) {
        self.hear(books, wires);
        if self.stage == Stage::In {
            self.end(books);
            self.come(books, wires);
        }
    }

    /// Takes its will back and leaves.
    pub fn say_farewell(&mut self, books: &Books, wires: &mut impl Wires) {
        if let Some(link) = self.link.filter(|link| self.stage == Stage::In && !wires.is_closed(*link)) {
            wires.send(link, &packet(0xe0, &[]));
            self.stage = Stage::Leaving { crashes: books.crashes };
        }
    }

    /// Whether it is connected and was let in.
    pub fn is_at_rest(&self) -> bool {
        self.stage == Stage::In && self.link.is_some()
    }

    /// Its connection, if it may break now: while somebody answers a broker need not read CONNECT and a farewell in this order.
    pub fn fragile(&self) -> Option<usize> {
        self.link.filter(|_| self.stage == Stage::In)
    }

    /// Hears what has come.
    pub fn hear(&mut self, books: &mut Books, wires: &mut impl Wires) {
        let Some(link) = self.link else { return };
        for (first, body) in packets(&wires.receive(link)) {
            assert_eq!((first, body[1]), (0x20, 0), "the client may come in, and is told nothing else");
            if self.stage == Stage::Asking {
                self.stage = Stage::In;
            }
            if let Some((will, _)) = self.recalled.take().filter(|(_, crashes)| *crashes == books.crashes) {
                books.withdraw(will);
            }
        }
        if wires.is_closed(link) {
            self.end(books);
        }
    }

    /// The connection is over.
    fn end(&mut self, books: &mut Books) {
        self.link = None;
        match std::mem::replace(&mut self.stage, Stage::Asking) {
            Stage::Asking => {}
            Stage::In => books.promise(self.will),
            Stage::Leaving { crashes } => self.recalled = Some((self.will, crashes)),
        }
    }
}
