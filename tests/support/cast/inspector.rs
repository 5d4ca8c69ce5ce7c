//! A client that comes anew and asks what is retained.

use std::collections::{BTreeMap, BTreeSet};

use super::books::Books;
use super::subscriber::number_of;
use super::{Wires, hello, id_of};
use crate::support::raw::{packet, packets, text};

/// One visit of it.
#[derive(Debug)]
pub struct Inspector {
    link: usize,
    /// What may be retained under each topic, as far as it was known when it asked.
    allowed: BTreeMap<&'static str, Vec<u32>>,
    /// Messages from here on were said after it had asked.
    since: u32,
    /// Topics under which something must be retained, and has not come.
    missing: BTreeSet<&'static str>,
    had_suback: bool,
    had_pong: bool,
}

impl Inspector {
    /// Comes, asks for everything that is retained, and for an answer behind that.
    pub fn visit(books: &Books, wires: &mut impl Wires) -> Self {
        let link = wires.connect();
        wires.send(link, &hello("inspector", true, None));
        wires.send(link, &packet(0x82, &[&[0, 1], &text("r/#"), &[1]]));
        let allowed = books.kept().map(|(topic, numbers)| (topic, numbers.to_vec())).collect();
        let must = books.kept().filter(|(_, numbers)| books.must_be_kept(numbers));
        let missing = must.map(|(topic, _)| topic).collect();
        Self { link, allowed, since: books.len(), missing, had_suback: false, had_pong: false }
    }

    /// Hears what is retained, and asserts that it may be.
    pub fn hear(&mut self, books: &Books, wires: &mut impl Wires) {
        for (first, body) in packets(&wires.receive(self.link)) {
            match first >> 4 {
                2 => assert_eq!(body[1], 0, "the client may come in"),
                3 => self.look(first, &body, books, wires),
                9 => {
                    assert_eq!(body[2..], [1]);
                    self.had_suback = true;
                    wires.send(self.link, &packet(0xc0, &[]));
                }
                13 => self.had_pong = true,
                other => panic!("an inspector gets no packet of type {other}"),
            }
        }
    }

    /// Whether everything that must be retained has come, and what was asked last was answered.
    pub fn is_content(&self) -> bool {
        self.had_suback && self.had_pong && self.missing.is_empty()
    }

    /// Leaves without a word.
    pub fn leave(self, wires: &mut impl Wires) {
        wires.close(self.link);
    }

    fn look(&mut self, first: u8, body: &[u8], books: &Books, wires: &mut impl Wires) {
        let (topic, rest) = body[2..].split_at(usize::from(id_of(body)));
        let topic = std::str::from_utf8(topic).expect("it was said so");
        let (id, payload) = rest.split_at(if first & 6 == 0 { 0 } else { 2 });
        if !id.is_empty() {
            wires.send(self.link, &packet(0x40, &[id]));
        }
        if first & 1 == 0 {
            return; // it was said just now
        }
        let message = number_of(topic, payload, books);
        let is_allowed = message >= self.since || self.allowed.get(topic).is_some_and(|all| all.contains(&message));
        assert!(
            is_allowed,
            "message {message} is retained under {topic}, and one of {:?} should be",
            self.allowed.get(topic)
        );
        self.missing.remove(topic);
    }
}
