//! Sets of small numbers: one word for numbers below 64, a growable row of words for others.
//!
//! [`Bits64`] is what a set of shards is: it travels by value and its iteration costs one
//! instruction a member. [`BitSet`] is for identifiers that are handed out and come back, such as
//! packet ids in use.

use std::fmt;

/// A set of numbers below 64, in one word.
#[derive(Clone, Copy, Default, PartialEq, Eq, Hash)]
pub struct Bits64(u64);

impl Bits64 {
    /// The set of nothing.
    pub const EMPTY: Self = Self(0);
    /// Numbers in the set are below this.
    pub const BOUND: u32 = u64::BITS;

    /// The set whose members are the one bits of `bits`.
    pub const fn from_bits(bits: u64) -> Self {
        Self(bits)
    }

    /// The members as one bits.
    pub const fn to_bits(self) -> u64 {
        self.0
    }

    /// The set of `number` alone.
    pub const fn of(number: u32) -> Self {
        assert!(number < Self::BOUND, "a member is below 64");
        Self(1 << number)
    }

    /// The set of all numbers below `count`.
    pub const fn all_below(count: u32) -> Self {
        assert!(count <= Self::BOUND, "a member is below 64");
        if count == 0 { Self::EMPTY } else { Self(u64::MAX >> (Self::BOUND - count)) }
    }

    /// Adds `number`; true if it was not in the set.
    pub const fn insert(&mut self, number: u32) -> bool {
        let before = self.0;
        self.0 |= Self::of(number).0;
        self.0 != before
    }

    /// Takes `number` out; true if it was in the set.
    pub const fn remove(&mut self, number: u32) -> bool {
        let before = self.0;
        self.0 &= !Self::of(number).0;
        self.0 != before
    }

    /// Whether `number` is in the set. A number from 64 on never is.
    pub const fn contains(self, number: u32) -> bool {
        number < Self::BOUND && self.0 & Self::of(number).0 != 0
    }

    /// Whether the set has no members.
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// How many members there are.
    pub const fn len(self) -> u32 {
        self.0.count_ones()
    }

    /// The smallest member.
    pub const fn first(self) -> Option<u32> {
        if self.is_empty() { None } else { Some(self.0.trailing_zeros()) }
    }

    /// What is in either.
    #[must_use]
    pub const fn union(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// What is in both.
    #[must_use]
    pub const fn intersect(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }

    /// What is in this one only.
    #[must_use]
    pub const fn difference(self, other: Self) -> Self {
        Self(self.0 & !other.0)
    }

    /// The members, smallest first.
    pub fn iter(self) -> impl Iterator<Item = u32> {
        let mut rest = self.0;
        std::iter::from_fn(move || {
            let first = Self(rest).first()?;
            rest &= rest - 1;
            Some(first)
        })
    }
}

impl FromIterator<u32> for Bits64 {
    fn from_iter<I: IntoIterator<Item = u32>>(numbers: I) -> Self {
        numbers.into_iter().fold(Self::EMPTY, |set, number| set.union(Self::of(number)))
    }
}

impl fmt::Debug for Bits64 {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_set().entries(self.iter()).finish()
    }
}

/// A set of numbers that grows to the largest of them: an eighth of a byte each, members or not.
/// The owner bounds it.
#[derive(Clone, Default)]
pub struct BitSet {
    words: Vec<u64>,
    /// len = one bits in `words`
    len: usize,
}

impl BitSet {
    /// The set of nothing; it allocates with its first member.
    pub const fn new() -> Self {
        Self { words: Vec::new(), len: 0 }
    }

    /// Adds `number`; true if it was not in the set.
    pub fn insert(&mut self, number: usize) -> bool {
        let (word, bit) = split(number);
        if word >= self.words.len() {
            self.words.resize(word + 1, 0);
        }
        let is_new = self.words[word] & bit == 0;
        self.words[word] |= bit;
        self.len += usize::from(is_new);
        is_new
    }

    /// Takes `number` out; true if it was in the set.
    pub fn remove(&mut self, number: usize) -> bool {
        let (word, bit) = split(number);
        let Some(word) = self.words.get_mut(word).filter(|word| **word & bit != 0) else {
            return false;
        };
        *word &= !bit;
        self.len -= 1;
        true
    }

    /// Whether `number` is in the set.
    pub fn contains(&self, number: usize) -> bool {
        let (word, bit) = split(number);
        self.words.get(word).is_some_and(|word| word & bit != 0)
    }

    /// The smallest number from `start` on that is *not* in the set. There always is one.
    pub fn first_clear_from(&self, start: usize) -> usize {
        let (first_word, bit) = split(start);
        let mut below = bit - 1;
        for (index, word) in self.words.iter().enumerate().skip(first_word) {
            let taken = word | below;
            if taken != u64::MAX {
                return index * 64 + taken.trailing_ones() as usize;
            }
            below = 0;
        }
        start.max(self.words.len() * 64)
    }

    /// The members, smallest first.
    pub fn iter(&self) -> impl Iterator<Item = usize> {
        self.words
            .iter()
            .enumerate()
            .flat_map(|(index, &word)| Bits64(word).iter().map(move |bit| index * 64 + bit as usize))
    }

    /// How many members there are.
    pub const fn len(&self) -> usize {
        self.len
    }

    /// Whether the set has no members.
    pub const fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Takes all members out and gives the memory back.
    pub fn clear(&mut self) {
        *self = Self::new();
    }

    /// Bytes on the heap.
    pub fn heap_bytes(&self) -> usize {
        self.words.capacity() * size_of::<u64>()
    }

    /// Asserts the invariant.
    pub fn check(&self) {
        assert_eq!(self.len, self.iter().count(), "len counts the members");
    }
}

/// Where the bit of `number` is: the word, and the bit in it.
const fn split(number: usize) -> (usize, u64) {
    (number / 64, 1 << (number % 64))
}

/// Equal members make equal sets, however far each has grown.
impl PartialEq for BitSet {
    fn eq(&self, other: &Self) -> bool {
        self.len == other.len && self.words.iter().zip(&other.words).all(|(a, b)| a == b)
    }
}

impl Eq for BitSet {}

impl fmt::Debug for BitSet {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_set().entries(self.iter()).finish()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::base::random::Random;

    #[test]
    fn a_word_reaches_both_ends() {
        let mut shards = Bits64::EMPTY;
        assert!(shards.insert(0) && shards.insert(63) && !shards.insert(63));
        assert_eq!(shards.to_bits(), 1 << 63 | 1);
        assert!(shards.contains(63) && !shards.contains(62) && !shards.contains(64));
        assert!(shards.remove(0) && !shards.remove(0));
        assert_eq!((shards.first(), shards.len()), (Some(63), 1));
        assert_eq!(format!("{:?}", Bits64::from_bits(0b101)), "{0, 2}");
    }

    #[test]
    fn all_below_counts_from_nothing_to_everything() {
        assert_eq!(Bits64::all_below(0), Bits64::EMPTY);
        assert_eq!(Bits64::all_below(3).to_bits(), 0b111);
        assert_eq!(Bits64::all_below(64).to_bits(), u64::MAX);
    }

    #[test]
    #[should_panic(expected = "a member is below 64")]
    fn a_word_refuses_what_it_cannot_hold() {
        let mut shards = Bits64::EMPTY;
        shards.insert(64);
    }

    #[test]
    fn words_behave_like_sets() {
        let mut random = Random::from_seed(1);
        for _ in 0..2_000 {
            let mut draw =
                || (0..random.below(20)).map(|_| u32::try_from(random.below(64)).unwrap()).collect::<BTreeSet<u32>>();
            let (a, b) = (draw(), draw());
            let (x, y): (Bits64, Bits64) = (a.iter().copied().collect(), b.iter().copied().collect());
            assert!(x.union(y).iter().eq(a.union(&b).copied()));
            assert!(x.intersect(y).iter().eq(a.intersection(&b).copied()));
            assert!(x.difference(y).iter().eq(a.difference(&b).copied()));
            assert_eq!((x.len() as usize, x.first()), (a.len(), a.first().copied()));
            assert_eq!(x.is_empty(), a.is_empty());
        }
    }

    #[test]
    fn the_first_clear_number_is_found_over_full_words_and_beyond_the_end() {
        let mut ids = BitSet::new();
        assert_eq!(ids.first_clear_from(1_000), 1_000);
        for id in 0..130 {
            ids.insert(id);
        }
        assert_eq!(ids.first_clear_from(5), 130);
        ids.remove(64);
        assert_eq!(ids.first_clear_from(5), 64);
        assert_eq!(ids.first_clear_from(65), 130);
        assert_eq!(ids.first_clear_from(131), 131);
        assert_eq!(ids.first_clear_from(192), 192);
    }

    #[test]
    fn equality_is_of_members_and_clear_gives_memory_back() {
        let (mut short, mut long) = (BitSet::new(), BitSet::new());
        short.insert(1);
        long.insert(1);
        long.insert(1_000);
        assert_ne!(short, long);
        long.remove(1_000);
        assert_eq!(short, long);
        long.clear();
        assert_eq!((long.heap_bytes(), long.is_empty()), (0, true));
    }

    #[test]
    fn a_growing_set_behaves_like_a_set() {
        for seed in 0..4 {
            let mut random = Random::from_seed(seed);
            let (mut bits, mut set) = (BitSet::new(), BTreeSet::new());
            for step in 0..20_000 {
                let number = random.index(300);
                if random.chance(3, 5) {
                    assert_eq!(bits.insert(number), set.insert(number));
                } else {
                    assert_eq!(bits.remove(number), set.remove(&number));
                }
                let start = random.index(400);
                let clear = (start..=400).find(|number| !set.contains(number)).unwrap();
                assert_eq!(bits.first_clear_from(start), clear);
                assert_eq!((bits.contains(start), bits.len()), (set.contains(&start), set.len()));
                if step % 64 == 0 {
                    bits.check();
                    assert!(bits.iter().eq(set.iter().copied()));
                }
            }
        }
    }
}
