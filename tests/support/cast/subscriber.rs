//! A durable subscriber: it takes messages of quality of service 2 once, and one of its filters comes and goes.

use std::collections::{BTreeMap, BTreeSet};

use super::books::{Books, is_kept, takes};
use super::{Wires, hello, id_of};
use crate::support::raw::{packet, packets, text};

/// A filter and the quality of service that is asked for with it.
pub type Wish = (&'static str, u8);

/// What each of them wants all the time: filters that overlap.
const STEADY: [&[Wish]; 3] =
    [&[("a/+", 2), ("a/x", 1), ("w/#", 2)], &[("#", 2)], &[("b/y", 1), ("+/y", 2), ("w/+", 1)]];
/// What each of them wants now and then.
const WAVERING: [Wish; 3] = [("b/#", 1), ("+/x", 2), ("a/#", 2)];
/// The identifiers of the packets that say so.
const STEADY_ID: u16 = 9;
const WAVERING_ID: u16 = 10;

/// How it stands with the filter that comes and goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Wave {
    Gone,
    Coming,
    There,
    Going,
}

/// A time in which a filter was there for sure, or gone: messages from this one on, of those that the broker had taken on up to so many.
#[derive(Clone, Copy, Debug)]
pub struct Span {
    /// The first message that was said in it.
    pub since: u32,
    /// How many promises there were at its end.
    pub until: usize,
}

/// One subscriber.
#[derive(Debug)]
pub struct Subscriber {
    number: usize,
    /// Its connection, if it has one.
    pub link: Option<usize>,
    /// Whether it was let in.
    is_in: bool,
    had_connack: bool,
    /// Messages that were published before its SUBACK may come or not.
    pub since: Option<u32>,
    wave: Wave,
    /// When the present state of the filter that comes and goes was sure.
    sure_since: u32,
    /// When it was there.
    pub there: Vec<Span>,
    /// When it was gone.
    pub gone: Vec<Span>,
    /// Identifiers of quality of service 2 that it has taken and not released.
    taken: BTreeSet<u16>,
    /// How often each message came, by the quality of service at which it came; retained ones for a new subscription not counted.
    pub got: BTreeMap<u32, [u32; 3]>,
    /// Of each publisher, topic and quality of service as it was said and as it came, the first arrivals in order.
    pub firsts: BTreeMap<(usize, &'static str, u8, u8), Vec<u32>>,
}

impl Subscriber {
    /// One that has not connected.
    pub fn new(number: usize) -> Self {
        Self {
            number,
            link: None,
            is_in: false,
            had_connack: false,
            since: None,
            wave: Wave::Gone,
            sure_since: 0,
            there: Vec::new(),
            gone: Vec::new(),
            taken: BTreeSet::new(),
            got: BTreeMap::new(),
            firsts: BTreeMap::new(),
        }
    }

    /// Its name.
    pub fn name(&self) -> String {
        format!("s{}", self.number)
    }

    /// How many messages have come, again or not.
    pub fn received(&self) -> u64 {
        self.got.values().flatten().map(|count| u64::from(*count)).sum()
    }

    /// Connects, if it is not connected.
    pub fn come(&mut self, wires: &mut impl Wires) {
        if self.link.is_none() {
            let link = wires.connect();
            (self.link, self.is_in) = (Some(link), false);
            wires.send(link, &hello(&self.name(), false, None));
        }
    }

    /// Connects although it is connected, and never looks at the old connection again.
    pub fn come_again(&mut self, books: &Books, wires: &mut impl Wires) {
        self.hear(books, wires);
        self.link = None;
        self.come(wires);
    }

    /// Whether it is connected and waits for no answer.
    pub fn is_at_rest(&self) -> bool {
        self.is_in && self.since.is_some() && matches!(self.wave, Wave::Gone | Wave::There)
    }

    /// Subscribes to what it wants now and then, or unsubscribes from it.
    pub fn waver(&mut self, books: &Books, wires: &mut impl Wires) {
        let Some(link) = self.link.filter(|_| self.is_at_rest()) else { return };
        let span = Span { since: self.sure_since, until: books.promised().len() };
        if self.wave == Wave::Gone {
            self.gone.push(span);
            self.wave = Wave::Coming;
        } else {
            self.there.push(span);
            self.wave = Wave::Going;
        }
        self.say_wave(link, wires);
    }

    /// Says what was not answered.
    fn say_wave(&self, link: usize, wires: &mut impl Wires) {
        let (filter, qos) = self.wavering();
        match self.wave {
            Wave::Coming => wires.send(link, &packet(0x82, &[&WAVERING_ID.to_be_bytes(), &text(filter), &[qos]])),
            Wave::Going => wires.send(link, &packet(0xa2, &[&WAVERING_ID.to_be_bytes(), &text(filter)])),
            Wave::Gone | Wave::There => {}
        }
    }

    /// What it wants all the time.
    pub fn steady(&self) -> &'static [Wish] {
        STEADY[self.number]
    }

    /// What it wants now and then.
    pub fn wavering(&self) -> Wish {
        WAVERING[self.number]
    }

    /// All times in which the filter that comes and goes was there, or was gone, up to now.
    pub fn spans(&self, is_there: bool, books: &Books) -> Vec<Span> {
        let (past, present) = if is_there { (&self.there, Wave::There) } else { (&self.gone, Wave::Gone) };
        let last = (self.wave == present).then(|| Span { since: self.sure_since, until: books.promised().len() });
        past.iter().copied().chain(last).collect()
    }

    /// Hears what has come, and answers.
    pub fn hear(&mut self, books: &Books, wires: &mut impl Wires) {
        let Some(link) = self.link else { return };
        for (first, body) in packets(&wires.receive(link)) {
            match first >> 4 {
                2 => {
                    assert_eq!(body[1], 0, "the client may come in");
                    assert!(body[0] == 1 || !self.had_connack, "the session of {} was promised", self.name());
                    (self.is_in, self.had_connack) = (true, true);
                    if self.since.is_none() {
                        let wishes = self.steady().iter().map(|(filter, qos)| [text(filter), vec![*qos]].concat());
                        let wishes: Vec<Vec<u8>> = wishes.collect();
                        wires.send(link, &packet(0x82, &[&STEADY_ID.to_be_bytes(), &wishes.concat()]));
                    }
                    self.say_wave(link, wires);
                }
                3 => {
                    let answer = self.take(first, &body, books);
                    wires.send(link, &answer);
                }
                6 => {
                    self.taken.remove(&id_of(&body));
                    wires.send(link, &packet(0x70, &[&body[..2]]));
                }
                9 if id_of(&body) == STEADY_ID => {
                    let granted: Vec<u8> = self.steady().iter().map(|(_, qos)| *qos).collect();
                    assert_eq!(body[2..], granted);
                    self.since.get_or_insert(books.len());
                }
                9 if self.wave == Wave::Coming => {
                    assert_eq!(body[2..], [self.wavering().1]);
                    (self.wave, self.sure_since) = (Wave::There, books.len());
                }
                11 if self.wave == Wave::Going => (self.wave, self.sure_since) = (Wave::Gone, books.len()),
                other => panic!("{} gets no packet of type {other} now", self.name()),
            }
        }
        if wires.is_closed(link) {
            (self.link, self.is_in) = (None, false);
        }
    }

    /// Takes a message; the answer that it is owed.
    fn take(&mut self, first: u8, body: &[u8], books: &Books) -> Vec<u8> {
        let (topic, rest) = body[2..].split_at(usize::from(id_of(body)));
        let topic = std::str::from_utf8(topic).expect("it was said so");
        let qos = first >> 1 & 3;
        let (id, payload) = rest.split_at(if qos == 0 { 0 } else { 2 });
        let answer = match qos {
            0 => Vec::new(),
            1 => packet(0x40, &[id]),
            _ => packet(0x50, &[id]),
        };
        if qos == 2 && !self.taken.insert(id_of(id)) {
            return answer;
        }
        if payload.is_empty() {
            assert!(is_kept(topic), "nobody has said nothing under {topic}");
            return answer;
        }
        let message = number_of(topic, payload, books);
        let said = books.said(message);
        assert!(self.wants(topic), "{} has never wanted {topic}", self.name());
        assert!(qos <= said.qos, "message {message} came at {qos}");
        if first & 1 == 1 {
            assert!(is_kept(topic), "nothing is retained under {topic}");
            return answer;
        }
        let counts = self.got.entry(message).or_default();
        counts[usize::from(qos)] += 1;
        if counts.iter().sum::<u32>() == 1 {
            self.firsts.entry((said.who, said.topic, said.qos, qos)).or_default().push(message);
        }
        answer
    }

    fn wants(&self, topic: &str) -> bool {
        self.steady().iter().chain([&self.wavering()]).any(|(filter, _)| takes(filter, topic))
    }
}

/// The number of a message, which came under this topic as it was said.
pub fn number_of(topic: &str, payload: &[u8], books: &Books) -> u32 {
    let number = u32::from_be_bytes(*payload.first_chunk().expect("the message's number"));
    assert!(number < books.len(), "nobody has said {number}");
    assert_eq!((books.said(number).topic, &books.payload(number)[..]), (topic, payload), "message {number}");
    number
}
