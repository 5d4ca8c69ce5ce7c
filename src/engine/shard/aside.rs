//! Letters of those of whom one message is a large part of an input: they wait aside, and hold up no other letters of their shard.
//!
//! A topic that thousands of filters match takes about a millisecond to look up, and all letters behind those of whoever speaks to many such topics
//! would wait for that. So once a message was so much, what its session says waits here for a while, and so does what anybody says on the same topics,
//! for a client may have begun another session in between. All that is said keeps its order, and whoever says it is not read while it waits.

use std::collections::VecDeque;
use std::hash::Hash;

use super::Shard;
use super::fanout::Publisher;
use crate::base::hash::{Map, Seed, Set, map, set};
use crate::base::time::Time;
use crate::engine::connection::ConnectionKey;
use crate::engine::homes::ShardId;
use crate::engine::limits::{ASIDE_BYTES_MAX, HEAVY_KNOWN_MAX, HEAVY_KNOWN_MS, HEAVY_PART};
use crate::engine::mesh::Mesh;
use crate::engine::message::SessionId;
use crate::engine::output::Outputs;

/// The letters of other shards that wait so.
#[derive(Debug)]
pub(super) struct Aside {
    letters: VecDeque<(ShardId, Mesh)>,
    /// bytes = sum of what the letters are charged
    bytes: usize,
    /// How many of them each session, each topic and each publisher has.
    origins: Map<SessionId, u32>,
    topics: Map<Box<str>, u32>,
    publishers: Map<(ShardId, ConnectionKey), u32>,
    /// Sessions of which a message was so much lately, and until when that counts.
    known: Map<SessionId, Time>,
}

/// What a letter with publications says of them.
struct Said<'a> {
    origin: SessionId,
    topic: &'a str,
    publisher: Publisher,
}

impl<'a> Said<'a> {
    fn of(from: ShardId, letter: &'a Mesh) -> Option<Self> {
        let (topic, publisher) = if let Mesh::Forward { message, publisher, .. } = letter {
            (message.topic(), *publisher)
        } else if let Mesh::Run { run, publisher } = letter {
            (run.topic(), *publisher)
        } else if let Mesh::Numbered { run, publisher, .. } = letter {
            (run.topic(), Some(*publisher))
        } else {
            return None;
        };
        let publisher = publisher.map(|key| (from, key));
        Some(Self { origin: origin_of(letter)?.0, topic, publisher })
    }
}

/// Whose publications these are and how many, if it is a letter with some.
fn origin_of(letter: &Mesh) -> Option<(SessionId, u32)> {
    if let Mesh::Forward { message, .. } = letter {
        Some((message.origin, 1))
    } else if let Mesh::Run { run, .. } | Mesh::Numbered { run, .. } = letter {
        Some((run.origin, run.count))
    } else {
        None
    }
}

/// One more of these; whether it is the first.
fn add<K: Hash + Eq>(counts: &mut Map<K, u32>, key: K) -> bool {
    let count = counts.entry(key).or_insert(0);
    *count += 1;
    *count == 1
}

/// One less; whether it was the last.
fn take<K: Hash + Eq, Q: Hash + hashbrown::Equivalent<K> + ?Sized>(counts: &mut Map<K, u32>, key: &Q) -> bool {
    let count = counts.get_mut(key).expect("it was counted");
    *count -= 1;
    let is_last = *count == 0;
    if is_last {
        counts.remove(key);
    }
    is_last
}

impl Aside {
    /// Nothing waits.
    pub fn new(seed: Seed) -> Self {
        let (origins, topics, publishers) = (map(seed), map(seed), map(seed));
        Self { letters: VecDeque::new(), bytes: 0, origins, topics, publishers, known: map(seed) }
    }

    /// Whether nothing waits.
    pub fn is_empty(&self) -> bool {
        self.letters.is_empty()
    }

    /// What all letters are charged.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// Whether a letter has to stay behind one that waits.
    fn is_behind(&self, from: ShardId, letter: &Mesh) -> bool {
        !self.is_empty()
            && Said::of(from, letter)
                .is_some_and(|said| self.origins.contains_key(&said.origin) || self.topics.contains_key(said.topic))
    }

    /// Whether a message of this letter's session was so much lately.
    fn is_of_known(&self, letter: &Mesh, now: Time) -> bool {
        !self.known.is_empty()
            && origin_of(letter).and_then(|(origin, _)| self.known.get(&origin)).is_some_and(|until| now < *until)
    }

    /// A message of this session was so much. Where too many are known all are forgotten, to be found out anew.
    fn know(&mut self, origin: SessionId, now: Time) {
        if self.known.len() >= HEAVY_KNOWN_MAX && !self.known.contains_key(&origin) {
            self.known.retain(|_, until| now < *until);
            if self.known.len() >= HEAVY_KNOWN_MAX {
                self.known.clear();
            }
        }
        self.known.insert(origin, now.after_ms(HEAVY_KNOWN_MS));
    }

    /// A letter waits, behind all others. Its publisher, if it had none that waited before.
    fn put(&mut self, from: ShardId, letter: Mesh) -> Publisher {
        let said = Said::of(from, &letter).expect("only publications wait");
        add(&mut self.origins, said.origin);
        add(&mut self.topics, said.topic.into());
        let publisher = said.publisher.filter(|publisher| add(&mut self.publishers, *publisher));
        self.bytes += letter.charged_bytes();
        self.letters.push_back((from, letter));
        publisher
    }

    /// What is left of the first letter goes on waiting in its place.
    fn put_rest(&mut self, from: ShardId, rest: Mesh) {
        self.bytes += rest.charged_bytes();
        self.letters.push_front((from, rest));
    }

    /// The first letter, which counts until it is over.
    fn next(&mut self) -> Option<(ShardId, Mesh)> {
        let (from, letter) = self.letters.pop_front()?;
        self.bytes -= letter.charged_bytes();
        Some((from, letter))
    }

    /// All of that letter is over. Its publisher, if it has no other one that waits.
    fn over(&mut self, from: ShardId, letter: &Mesh) -> Publisher {
        let said = Said::of(from, letter).expect("only publications wait");
        take(&mut self.origins, &said.origin);
        take(&mut self.topics, said.topic);
        said.publisher.filter(|publisher| take(&mut self.publishers, publisher))
    }

    /// Proves that all is counted.
    ///
    /// # Panics
    /// When it is not so.
    pub fn check(&self) {
        let letters: usize = self.letters.iter().map(|(_, letter)| letter.charged_bytes()).sum();
        assert_eq!(self.bytes, letters, "bytes of letters that wait aside");
        let count = self.letters.len();
        for counted in [self.origins.values().sum::<u32>(), self.topics.values().sum()] {
            assert_eq!(counted as usize, count, "each letter has an origin and a topic");
        }
        let has_publisher =
            |(from, letter): &&(ShardId, Mesh)| Said::of(*from, letter).is_some_and(|said| said.publisher.is_some());
        let publishers = self.letters.iter().filter(has_publisher).count();
        assert_eq!(self.publishers.values().sum::<u32>() as usize, publishers, "letters by publisher");
    }
}

impl Shard {
    /// Messages of another shard, as far as an input may go. The others stay in the batch, in their order, but for those that wait aside.
    pub(super) fn letters_of(&mut self, from: ShardId, batch: &mut Vec<Mesh>, now: Time, out: &mut Outputs) {
        let heavy_min = self.heavy_min();
        let (mut heavy, mut left) = (Vec::new(), Vec::new());
        let mut letters = batch.drain(..);
        while !self.has_caused_enough()
            && let Some(letter) = letters.next()
        {
            if self.aside.is_behind(from, &letter) || self.aside.is_of_known(&letter, now) {
                if let Some(letter) = self.set_aside(from, letter, out) {
                    left.push(letter);
                    break;
                }
                continue;
            }
            let (rest, too_much) = self.weighed_letter(from, letter, heavy_min, now, out);
            heavy.extend(too_much);
            if let Some(rest) = rest {
                left.push(rest);
                break;
            }
        }
        left.extend(letters);
        if !left.is_empty() {
            *batch = if heavy.is_empty() { left } else { self.sort_out(from, left, &heavy, out) };
        }
        if !batch.is_empty() || !self.aside.is_empty() {
            out.wake_at = Some(now);
        }
    }

    /// What one message may cause before its session is too much for the others.
    fn heavy_min(&self) -> u64 {
        (self.copies_per_input_max / HEAVY_PART).max(1) as u64
    }

    /// Reads a letter; says what is left of it, and whose messages were so much each.
    fn weighed_letter(
        &mut self,
        from: ShardId,
        letter: Mesh,
        heavy_min: u64,
        now: Time,
        out: &mut Outputs,
    ) -> (Option<Mesh>, Option<SessionId>) {
        let (before, said) = (self.caused, origin_of(&letter));
        let rest = self.letter(from, letter, now, out);
        let caused = self.caused - before;
        let left = rest.as_ref().and_then(origin_of).map_or(0, |(_, count)| count);
        let too_much = said.filter(|(_, count)| caused >= heavy_min * u64::from((count - left).max(1)));
        let origin = too_much.map(|(origin, _)| origin);
        if let Some(origin) = origin {
            self.aside.know(origin, now);
        }
        (rest, origin)
    }

    /// Puts aside what is left of those who have caused so much, as far as there is room; gives back the others.
    fn sort_out(&mut self, from: ShardId, left: Vec<Mesh>, heavy: &[SessionId], out: &mut Outputs) -> Vec<Mesh> {
        let go = self.who_goes(from, &left, heavy);
        let (mut others, mut is_over) = (Vec::new(), false);
        for (letter, goes) in left.into_iter().zip(go) {
            let stays = if goes && !is_over { self.set_aside(from, letter, out) } else { Some(letter) };
            is_over |= goes && stays.is_some();
            others.extend(stays);
        }
        others
    }

    /// Which of these letters go aside. Whatever stays is read before what follows of its session and topic, so that stays as well.
    fn who_goes(&self, from: ShardId, letters: &[Mesh], heavy: &[SessionId]) -> Vec<bool> {
        let (mut going, mut staying) = ((set(self.seed), set(self.seed)), (set(self.seed), set(self.seed)));
        let goes = |letter| {
            let Some(said) = Said::of(from, letter) else { return false };
            let is_among = |(origins, topics): &(Set<SessionId>, Set<&str>)| {
                origins.contains(&said.origin) || topics.contains(said.topic)
            };
            let wants = heavy.contains(&said.origin) || self.aside.is_behind(from, letter) || is_among(&going);
            let goes = wants && !is_among(&staying);
            let (origins, topics) = if goes { &mut going } else { &mut staying };
            origins.insert(said.origin);
            topics.insert(said.topic);
            goes
        };
        letters.iter().map(goes).collect()
    }

    /// A letter waits aside, or comes back where there is no room.
    fn set_aside(&mut self, from: ShardId, letter: Mesh, out: &mut Outputs) -> Option<Mesh> {
        if self.aside.bytes() >= ASIDE_BYTES_MAX {
            return Some(letter);
        }
        if let Some((shard, publisher)) = self.aside.put(from, letter) {
            self.tell(shard, Mesh::Pressure { publisher }, out);
        }
        None
    }

    /// Letters that wait aside are read, as far as this input may go.
    pub(super) fn go_on_with_aside(&mut self, now: Time, out: &mut Outputs) {
        let (reserve, heavy_min) = (self.reserve(), self.heavy_min());
        while self.may_cause_more(reserve)
            && let Some((from, letter)) = self.aside.next()
        {
            let publication = letter.clone();
            if let (Some(rest), _) = self.weighed_letter(from, letter, heavy_min, now, out) {
                self.aside.put_rest(from, rest);
            } else if let Some((shard, publisher)) = self.aside.over(from, &publication) {
                self.tell(shard, Mesh::Relief { publisher }, out);
            }
        }
    }

    /// Whether letters of other shards wait here.
    pub fn has_letters_aside(&self) -> bool {
        !self.aside.is_empty()
    }
}
