//! A place for each address and user that is counted: a fixed table of words that all shards share, without a lock.
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
//! 4. Two shards may look for a key that is not there at the same moment and find a place each. Whoever comes later finds the first of the two;
//!    the other is not found again. So each further shard may let in one too many, once.
//!
//! Keys whose tags and buckets agree share a place: by chance one pair in four thousand full tables of 2^16 places.

use std::num::NonZeroU32;
use std::sync::atomic::{AtomicU64, Ordering};

use super::meter;
use crate::base::time::Time;

/// Words of a place: one line of a processor's cache.
const WORDS: usize = 8;
/// Places of a bucket. A key may stand in two buckets, which fills a table to nine tenths and more before a key finds none.
const PLACES: usize = 8;
/// How often somebody who was overtaken looks again.
const ATTEMPTS_MAX: u32 = 8;

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
    /// Failures and until when they count: see [`super::bans`].
    Failures = 5,
    /// Until when nobody is let in.
    Ban = 6,
    /// When all of that is forgotten, in milliseconds.
    Forgotten = 7,
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

/// The table. One per broker, shared by all shards.
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
        let first = words.as_ptr().align_offset(WORDS * size_of::<u64>()).min(WORDS);
        Self { words, first, buckets }
    }

    /// How many places there are.
    pub fn place_count(&self) -> usize {
        self.buckets * PLACES
    }

    /// Holds the place of a key; a place is found for it if it has none. None where all are taken.
    pub fn hold(&self, key: u64, now: Time) -> Option<Place> {
        for _ in 0..ATTEMPTS_MAX {
            if let Some(place) = self.hold_known(key) {
                return Some(place);
            }
            let index = self.free(key, now)?;
            let state = self.load(index, STATE);
            if holders(state) > 0 || !self.is_idle(index, now) {
                continue; // somebody was faster
            }
            let taken = tagged(key) | 1;
            let swapped =
                self.at(index, STATE).compare_exchange(state, taken, Ordering::AcqRel, Ordering::Relaxed).is_ok();
            if swapped {
                return Some(Place::of(index));
            }
        }
        None
    }

    /// Holds the place of a key, if it has one.
    pub fn hold_known(&self, key: u64) -> Option<Place> {
        let index = self.find(key)?;
        let held = self
            .at(index, STATE)
            .fetch_update(Ordering::AcqRel, Ordering::Acquire, |state| (state & TAG == tagged(key)).then(|| state + 1));
        held.is_ok().then(|| Place::of(index))
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

    /// How many are held, and what is counted at them: connections, then sessions.
    pub fn sums(&self) -> (u64, u64, u64) {
        (0..self.place_count()).fold((0, 0, 0), |(held, connections, sessions), index| {
            let (state, counts) = (self.load(index, STATE), self.load(index, COUNTS));
            let read = |what: Counted| u64::from(what.read(counts));
            (held + holders(state), connections + read(Counted::Connections), sessions + read(Counted::Sessions))
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
        let metered = [Word::Connects, Word::Messages, Word::Bytes];
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

fn tagged(key: u64) -> u64 {
    (key & TAG).max(1 << 32)
}

/// More than there can be connections and sessions do not fit.
fn holders(state: u64) -> u64 {
    state & !TAG
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
