//! A subscriber whose session ends some time after it has left: until then nothing is lost, and nothing of it comes back after that.
//!
//! It never knows exactly when the broker hears that it has left, so there is a time up to which its session must be there, and one from
//! which on it must be gone. A broker that was killed may not have noted that somebody had left, and counts from its next start.

use std::collections::{BTreeMap, BTreeSet};

use super::books::{Books, takes};
use super::subscriber::number_of;
use super::{Wires, id_of};
use crate::support::raw::{packet, packets, text};

/// What it wants.
const FILTER: &str = "a/+";
/// For so many seconds its session outlives a connection.
const EXPIRIES_S: [u8; 3] = [1, 3, 8];

/// When a session ends that nobody comes back to, in milliseconds.
#[derive(Clone, Copy, Debug)]
struct End {
    earliest: u64,
    latest: u64,
}

/// A connection of it.
#[derive(Clone, Copy, Debug)]
struct Visit {
    link: usize,
    /// When it was made.
    began: u64,
    /// When it was seen to be open for the last time.
    open: u64,
    is_in: bool,
}

/// A session, as far as it is known.
#[derive(Debug, Default)]
struct Life {
    /// So much the broker had taken on when the session was new and nobody had asked for anything: none of it may come.
    before: Option<usize>,
    /// What was said from here on must come.
    since: Option<u32>,
    /// Identifiers of quality of service 2 that were taken and not released.
    taken: BTreeSet<u16>,
    /// How often each message came, by quality of service.
    got: BTreeMap<u32, [u32; 3]>,
    /// Nobody has told whether it is the one of before or another one.
    is_unsure: bool,
}

/// One of them.
#[derive(Debug)]
pub struct Wanderer {
    number: usize,
    visit: Option<Visit>,
    /// When the present session ends, unless there can be none.
    end: Option<End>,
    life: Life,
    /// It has asked and had no answer, at a time at which its session may have been over.
    is_unsure: bool,
    /// How many sessions it has had before.
    pub lives: u32,
}

impl Wanderer {
    /// One that has not connected.
    pub fn new(number: usize) -> Self {
        Self { number, visit: None, end: None, life: Life::default(), is_unsure: false, lives: 0 }
    }

    fn expiry_s(&self) -> u8 {
        EXPIRIES_S[self.number % EXPIRIES_S.len()]
    }

    /// Its connection, if it has one.
    pub fn link(&self) -> Option<usize> {
        self.visit.map(|visit| visit.link)
    }

    /// Connects, if it is not connected.
    pub fn come(&mut self, books: &Books, wires: &mut impl Wires) {
        if self.visit.is_some() {
            return;
        }
        let link = wires.connect();
        self.visit = Some(Visit { link, began: books.now_ms, open: books.now_ms, is_in: false });
        let properties = [5, 0x11, 0, 0, 0, self.expiry_s()];
        let name = text(format!("w{}", self.number));
        wires.send(link, &packet(0x10, &[&text("MQTT"), &[5, 0, 0, 0], &properties, &name]));
    }

    /// Whether it is connected and waits for no answer.
    pub fn is_at_rest(&self) -> bool {
        self.visit.is_some_and(|visit| visit.is_in) && self.life.since.is_some()
    }

    /// The broker is dead.
    pub fn note_crash(&mut self, books: &Books) {
        let latest = books.now_ms + u64::from(self.expiry_s()) * 1_000;
        self.end.iter_mut().for_each(|end| end.latest = latest);
    }

    /// Hears what has come, and answers.
    pub fn hear(&mut self, books: &Books, wires: &mut impl Wires) {
        let Some(Visit { link, .. }) = self.visit else { return };
        for (first, body) in packets(&wires.receive(link)) {
            match first >> 4 {
                2 => self.enter(&body, books, wires),
                3 => {
                    let answer = self.take(first, &body, books);
                    wires.send(link, &answer);
                }
                6 => {
                    self.life.taken.remove(&id_of(&body));
                    wires.send(link, &packet(0x70, &[&body[..2]]));
                }
                9 => {
                    assert_eq!(body[2..], [0, 2]);
                    self.life.since.get_or_insert(books.len());
                }
                other => panic!("w{} gets no packet of type {other}", self.number),
            }
        }
        if wires.is_closed(link) {
            self.leave(books);
        } else if let Some(visit) = &mut self.visit {
            visit.open = books.now_ms;
        }
    }

    /// It is let in. Whoever has no subscription asks for one.
    fn enter(&mut self, connack: &[u8], books: &Books, wires: &mut impl Wires) {
        let visit = self.visit.as_mut().expect("it is connected");
        let is_resumed = connack[0] == 1;
        assert_eq!(connack[1], 0, "the client may come in");
        let must_be_there = self.end.is_some_and(|end| books.now_ms < end.earliest);
        let may_be_there = self.end.is_some_and(|end| visit.began < end.latest);
        assert!(is_resumed || !must_be_there, "the session of w{} ended too early: {:?}", self.number, self.end);
        assert!(may_be_there || !is_resumed, "the session of w{} has come back: {:?}", self.number, self.end);
        visit.is_in = true;
        let is_unsure = std::mem::take(&mut self.is_unsure);
        if !is_resumed {
            self.life = Life { before: Some(books.promised().len()), ..Life::default() };
            self.lives += 1;
        } else if is_unsure {
            self.life = Life { is_unsure: true, ..Life::default() };
        }
        if self.life.since.is_none() {
            wires.send(visit.link, &packet(0x82, &[&[0, 1, 0], &text(FILTER), &[2]]));
        }
    }

    /// The connection is over.
    fn leave(&mut self, books: &Books) {
        let Some(visit) = self.visit.take() else { return };
        let expiry_ms = u64::from(self.expiry_s()) * 1_000;
        let latest = books.now_ms + expiry_ms;
        if visit.is_in {
            self.end = Some(End { earliest: visit.open + expiry_ms, latest });
            return;
        }
        let earliest = self.end.map_or(0, |end| end.earliest);
        self.is_unsure |= books.now_ms >= earliest;
        self.end = Some(End { earliest, latest });
    }

    /// Takes a message; the answer that it is owed.
    fn take(&mut self, first: u8, body: &[u8], books: &Books) -> Vec<u8> {
        let (topic, rest) = body[2..].split_at(usize::from(id_of(body)));
        let topic = std::str::from_utf8(topic).expect("it was said so");
        let qos = first >> 1 & 3;
        let (id, rest) = rest.split_at(if qos == 0 { 0 } else { 2 });
        let (properties, payload) = rest.split_at(1);
        assert_eq!(properties, [0], "nobody has said more");
        if qos < 2 || self.life.taken.insert(id_of(id)) {
            let message = number_of(topic, payload, books);
            assert!(takes(FILTER, topic), "w{} has never wanted {topic}", self.number);
            self.life.count(message, qos, books);
        }
        match qos {
            0 => Vec::new(),
            1 => packet(0x40, &[id]),
            _ => packet(0x50, &[id]),
        }
    }

    /// Asserts that nothing is lost of what had to come in the present session.
    pub(super) fn judge(&self, books: &Books) {
        let Some(since) = self.life.since.filter(|_| !self.life.is_unsure) else { return };
        for message in books.promised() {
            let is_due = *message >= since && takes(FILTER, books.said(*message).topic);
            assert!(!is_due || self.life.got.contains_key(message), "message {message} is lost for w{}", self.number);
        }
    }
}

impl Life {
    fn count(&mut self, message: u32, qos: u8, books: &Books) {
        let counts = self.got.entry(message).or_default();
        counts[usize::from(qos)] += 1;
        if self.is_unsure {
            return;
        }
        assert!(counts[0] <= 1 && counts[2] <= 1, "message {message} came {counts:?} times to a wanderer");
        assert_eq!(qos, books.said(message).qos, "it is granted what is said");
        // Copies that are put off are for whoever wants them then.
        let before = self.before.filter(|_| !books.has_late_copies).unwrap_or(0);
        let is_old = books.promised()[..before].contains(&message);
        assert!(!is_old, "message {message} comes to a session that began later");
    }
}
