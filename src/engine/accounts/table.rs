//! A place for each address, or each user, that is counted: a fixed table of words that all shards share, without a lock.
//!
//! # What is promised
//! - A place that somebody holds stays his: its number leads to it without a look-up, until he gives it back.
//! - A place that nobody holds is kept as long as it says something: debts that are not paid, failures, a ban. Then another key may have it.
//! - Nothing is allocated after the start, and memory is touched where a place is used.
//!
//! # Why it holds
//! 1. Tag and holders of a place are one word. To hold it and to give it to another key are decided by one compare-and-swap, so a place with
//!    holders never changes its key.
//! 2. Who counts something at a place holds it. So what is counted is 0 when the place changes hands.
//! 3. A place is taken from its key after a look at its times. Somebody may come and go between this look and the swap: then what he was
//!    charged is charged to the next one. That takes two shards within nanoseconds, and costs one message or one attempt.
//! 4. Two shards may look for a key that is not there at the same moment and take a place each. A place that was just taken is *pending*: nobody
//!    else holds it before whoever took it has looked whether another one has the same key. Both have taken theirs before they look, so one
//!    at least sees the other's: who sees one that is settled leaves his own to it, of two that are pending the first one stays. So a key has
//!    one place.
//!
//! Keys whose tags and buckets agree share a place: by chance one pair in four thousand full tables of 2^16 places.

use core::hint;
use std::num::NonZeroU32;
use std::sync::atomic::{AtomicU64, Ordering};

use super::meter;
use crate::base::time::Time;

/// Words of a place: two lines of a processor's cache. What is looked at while a place is looked for lies in the first one.
const WORDS: usize = 16;
/// Bytes of a line.
const LINE_BYTES: usize = 64;
/// Places of a bucket. A key may stand in two buckets, which fills a table to nine tenths and more before a key finds none.
const PLACES: usize = 8;
/// How often somebody who was overtaken looks again. Nearly always that is once: a place is pending for some fifty nanoseconds, unless the
/// kernel takes the processor from whoever has taken it.
const ATTEMPTS_MAX: u32 = 100_000;

/// Tag and holders.
const STATE: usize = 0;
/// Connections, and sessions above them.
const COUNTS: usize = 1;
/// One session.
const SESSION: u64 = 1 << 32;

/// What is metered at a place, and what is remembered of failures: the words of [`Table::word`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(usize)]
pub enum Word {
    /// Connects.
    Connects = 2,
    /// Messages that come in.
    Messages = 3,
    /// Their bytes.
    Bytes = 4,
    /// Messages that go out.
    MessagesOut = 5,
    /// Their bytes.
    BytesOut = 6,
    /// When failures and bans are forgotten, in milliseconds.
    Forgotten = 7,
    /// Failures and until when they count: see [`super::bans`].
    Failures = 8,
    /// Until when nobody is let in.
    Ban = 9,
    /// How many messages are retained; whoever counts them holds the place.
    Retained = 10,
    /// Their bytes.
    RetainedBytes = 11,
}

/// The number of a place. It leads somewhere as long as it is held.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place(NonZeroU32);

/// What is counted at a place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Counted {
    /// Connections.
    Connections,
    /// Sessions.
    Sessions,
}

/// What is counted at all places together.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sums {
    /// How often one is held.
    pub held: u64,
    /// Connections.
    pub connections: u64,
    /// Sessions.
    pub sessions: u64,
    /// Retained messages.
    pub retained: u64,
    /// Their bytes.
    pub retained_bytes: u64,
}

/// The table. One per broker for addresses and one for users, shared by all shards.
#[derive(Debug)]
pub struct Table {
    words: Box<[AtomicU64]>,
    /// Where the first whole line of the cache begins.
    first: usize,
    buckets: usize,
}

impl Table {
    /// For so many keys, rounded up to a power of two.
    pub fn new(places: usize) -> Self {
        let buckets = places.clamp(PLACES, 1 << 30).next_power_of_two() / PLACES;
        // Zeroed pages come from the system untouched; wrapping each word keeps them so.
        let words = vec![0_u64; (buckets * PLACES + 1) * WORDS];
        let words: Box<[AtomicU64]> = words.into_iter().map(AtomicU64::new).collect();
        let first = words.as_ptr().align_offset(LINE_BYTES).min(WORDS);
        Self { words, first, buckets }
    }

    /// How many places there are.
    pub fn place_count(&self) -> usize {
        self.buckets * PLACES
    }

    /// Holds the place of a key; a place is found for it if it has none. None where all are taken.
    pub fn hold(&self, key: u64, now: Time) -> Option<Place> {
        for _ in 0..ATTEMPTS_MAX {
            match self.find(key) {
                Some(index) if self.hold_at(index, key) => return Some(Place::of(index)),
                Some(_) => hint::spin_loop(), // pending, or it has just changed hands
                None => {
                    let index = self.free(key, now)?;
                    if self.take(index, key, now) && self.settle(index, key) {
                        return Some(Place::of(index));
                    }
                }
            }
        }
        None
    }

    /// Holds the place of a key, if it has one.
    pub fn hold_known(&self, key: u64) -> Option<Place> {
        let index = self.find(key)?;
        self.hold_at(index, key).then(|| Place::of(index))
    }

    fn hold_at(&self, index: usize, key: u64) -> bool {
        let is_his = |state: u64| state & (TAG | PENDING) == tagged(key);
        let held = self
            .at(index, STATE)
            .fetch_update(Ordering::AcqRel, Ordering::Acquire, |state| is_his(state).then(|| state + 1));
        held.is_ok()
    }

    /// Takes a place that nobody holds for a key; it is pending then.
    fn take(&self, index: usize, key: u64, now: Time) -> bool {
        let state = self.load(index, STATE);
        if holders(state) > 0 || !self.is_idle(index, now) {
            return false; // somebody was faster
        }
        let taken = tagged(key) | PENDING | 1;
        // In one order with the looks behind it.
        self.at(index, STATE).compare_exchange(state, taken, Ordering::SeqCst, Ordering::Relaxed).is_ok()
    }

    /// Makes a place that is pending the key's own, or leaves it where the key has another one.
    fn settle(&self, index: usize, key: u64) -> bool {
        for _ in 0..ATTEMPTS_MAX {
            let others = self.places(key).filter(|other| *other != index);
            let mut others = others.map(|other| (other, self.at(other, STATE).load(Ordering::SeqCst)));
            match others.find(|(_, state)| state & TAG == tagged(key)) {
                None => {
                    self.at(index, STATE).store(tagged(key) | 1, Ordering::SeqCst);
                    return true;
                }
                // Whoever has taken that one sees this one, or is done in a moment.
                Some((other, state)) if state & PENDING != 0 && other > index => hint::spin_loop(),
                Some(_) => break,
            }
        }
        // Nobody else touches a place that is pending.
        self.at(index, STATE).store(0, Ordering::SeqCst);
        false
    }

    /// Gives a place back.
    pub fn give_back(&self, place: Place) {
        let before = self.at(place.index(), STATE).fetch_sub(1, Ordering::AcqRel);
        debug_assert!(holders(before) > 0, "what is given back was held");
    }

    /// Counts one more at a place that the caller holds, unless there are so many already; 0 is no bound.
    pub fn add(&self, place: Place, what: Counted, maximum: u32) -> bool {
        let added = self.at(place.index(), COUNTS).fetch_update(Ordering::Relaxed, Ordering::Relaxed, |counts| {
            (maximum == 0 || what.read(counts) < maximum).then(|| counts + what.one())
        });
        added.is_ok()
    }

    /// One less.
    pub fn remove(&self, place: Place, what: Counted) {
        let before = self.at(place.index(), COUNTS).fetch_sub(what.one(), Ordering::Relaxed);
        debug_assert!(what.read(before) > 0, "what goes was counted");
    }

    /// Counts so much more in a word of a place that the caller holds, unless there would be more than the maximum; 0 is no bound.
    pub fn grow(&self, place: Place, word: Word, by: u64, maximum: u64) -> bool {
        let room = if maximum == 0 { u64::MAX } else { maximum };
        let grown = self.word(place, word).fetch_update(Ordering::Relaxed, Ordering::Relaxed, |count| {
            let count = count.checked_add(by)?;
            (by == 0 || count <= room).then_some(count)
        });
        grown.is_ok()
    }

    /// So much less.
    pub fn shrink(&self, place: Place, word: Word, by: u64) {
        let before = self.word(place, word).fetch_sub(by, Ordering::Relaxed);
        debug_assert!(before >= by, "what goes was counted");
    }

    /// A word of a place that the caller holds.
    pub fn word(&self, place: Place, word: Word) -> &AtomicU64 {
        self.at(place.index(), word as usize)
    }

    /// A word of the place of a key, if it has one.
    pub fn read(&self, key: u64, word: Word) -> Option<u64> {
        let index = self.find(key)?;
        let value = self.load(index, word as usize);
        // Whoever has the place now had it while the word was read, or the word is of no account.
        (self.load(index, STATE) & TAG == tagged(key)).then_some(value)
    }

    /// This word of all places.
    pub fn all(&self, word: Word) -> impl Iterator<Item = u64> + '_ {
        (0..self.place_count()).map(move |index| self.load(index, word as usize))
    }

    /// How often places are held, and what is counted at them.
    pub fn sums(&self) -> Sums {
        (0..self.place_count()).fold(Sums::default(), |sums, index| {
            let counts = self.load(index, COUNTS);
            let read = |what: Counted| u64::from(what.read(counts));
            Sums {
                held: sums.held + holders(self.load(index, STATE)),
                connections: sums.connections + read(Counted::Connections),
                sessions: sums.sessions + read(Counted::Sessions),
                retained: sums.retained + self.load(index, Word::Retained as usize),
                retained_bytes: sums.retained_bytes + self.load(index, Word::RetainedBytes as usize),
            }
        })
    }

    /// The place that has this tag, in the order in which everybody looks.
    fn find(&self, key: u64) -> Option<usize> {
        let tag = tagged(key);
        self.places(key).find(|index| self.load(*index, STATE) & TAG == tag)
    }

    /// A place that says nothing, in the emptier one of the two buckets.
    fn free(&self, key: u64, now: Time) -> Option<usize> {
        let (mut counts, mut found) = ([0; 2], [None; 2]);
        for (number, index) in self.places(key).enumerate() {
            if holders(self.load(index, STATE)) == 0 && self.is_idle(index, now) {
                let bucket = number / PLACES;
                counts[bucket] += 1;
                found[bucket].get_or_insert(index);
            }
        }
        if counts[1] > counts[0] { found[1] } else { found[0].or(found[1]) }
    }

    /// Both buckets of a key.
    fn places(&self, key: u64) -> impl Iterator<Item = usize> {
        let mask = self.buckets - 1;
        #[expect(clippy::cast_possible_truncation, reason = "the low bits are what is wanted")]
        let buckets = [key as usize & mask, (key.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 33) as usize & mask];
        buckets.into_iter().flat_map(|bucket| bucket * PLACES..(bucket + 1) * PLACES)
    }

    /// Whether nothing that was charged or remembered is lost with a place.
    fn is_idle(&self, index: usize, now: Time) -> bool {
        let metered = [Word::Connects, Word::Messages, Word::Bytes, Word::MessagesOut, Word::BytesOut];
        metered.into_iter().all(|word| meter::is_paid(self.at(index, word as usize), now))
            && self.load(index, Word::Forgotten as usize) <= now.as_millis()
    }

    fn load(&self, index: usize, word: usize) -> u64 {
        self.at(index, word).load(Ordering::Acquire)
    }

    fn at(&self, index: usize, word: usize) -> &AtomicU64 {
        &self.words[self.first + index * WORDS + word]
    }
}

/// The part of the state that says whose place it is; never 0 once it is somebody's.
const TAG: u64 = !0 << 32;

/// The place was just taken, and it is not yet settled that its key has no other one.
const PENDING: u64 = 1 << 31;

fn tagged(key: u64) -> u64 {
    (key & TAG).max(1 << 32)
}

/// More than there can be connections and sessions do not fit.
fn holders(state: u64) -> u64 {
    state & !(TAG | PENDING)
}

impl Counted {
    fn one(self) -> u64 {
        match self {
            Self::Connections => 1,
            Self::Sessions => SESSION,
        }
    }

    #[expect(clippy::cast_possible_truncation, reason = "each is a half of the word")]
    fn read(self, counts: u64) -> u32 {
        match self {
            Self::Connections => counts as u32,
            Self::Sessions => (counts / SESSION) as u32,
        }
    }
}

impl Place {
    fn of(index: usize) -> Self {
        let number = u32::try_from(index + 1).ok().and_then(NonZeroU32::new);
        Self(number.expect("a table has fewer than 2^30 places"))
    }

    fn index(self) -> usize {
        self.0.get() as usize - 1
    }
}
