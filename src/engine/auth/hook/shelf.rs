//! Answers that are remembered, each until its time; the oldest goes where there is no room.

use std::collections::{BTreeMap, VecDeque};

use super::digest::Digest;
use crate::base::time::Time;

/// Answers under the digests of their questions.
#[derive(Debug)]
pub struct Shelf<T> {
    entries: BTreeMap<Digest, Entry<T>>,
    /// In the order in which they came. An answer that has come again stands here twice, and its older place is passed over.
    order: VecDeque<(u64, Digest)>,
    /// order ≤ `count_max`
    count_max: usize,
    /// The sum of what the entries say they take ≤ `bytes_max`
    bytes_max: usize,
    bytes: usize,
    number: u64,
}

#[derive(Debug)]
struct Entry<T> {
    answer: T,
    bytes: usize,
    /// From then on it is not there any more.
    until: Time,
    number: u64,
}

impl<T> Shelf<T> {
    /// An empty one, for so many answers that take so many bytes.
    pub fn new(count_max: usize, bytes_max: usize) -> Self {
        assert!(count_max > 0, "a shelf has room");
        Self { entries: BTreeMap::new(), order: VecDeque::new(), count_max, bytes_max, bytes: 0, number: 0 }
    }

    /// The answer, if it is remembered and its time is not over.
    pub fn get(&self, question: &Digest, now: Time) -> Option<&T> {
        self.entries.get(question).filter(|entry| now < entry.until).map(|entry| &entry.answer)
    }

    /// Remembers an answer. One that is too large for the shelf is not kept.
    pub fn keep(&mut self, question: Digest, answer: T, bytes: usize, until: Time, now: Time) {
        self.take(&question);
        if now >= until || bytes > self.bytes_max {
            return;
        }
        while self.is_in_the_way(bytes, now) {
            let (number, oldest) = self.order.pop_front().expect("what is in the way stands in the order");
            if self.entries.get(&oldest).is_some_and(|entry| entry.number == number) {
                self.take(&oldest);
            }
        }
        self.number += 1;
        self.bytes += bytes;
        self.order.push_back((self.number, question));
        self.entries.insert(question, Entry { answer, bytes, until, number: self.number });
        debug_assert!(self.order.len() <= self.count_max && self.bytes <= self.bytes_max);
    }

    /// How many answers lie here, some of which may be over.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether nothing lies here.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Whether the oldest place has to go: for want of room, or because it is over.
    fn is_in_the_way(&self, bytes: usize, now: Time) -> bool {
        let Some((number, oldest)) = self.order.front() else { return false };
        let is_over = self.entries.get(oldest).is_none_or(|entry| entry.number != *number || now >= entry.until);
        is_over || self.order.len() >= self.count_max || self.bytes + bytes > self.bytes_max
    }

    fn take(&mut self, question: &Digest) {
        if let Some(gone) = self.entries.remove(question) {
            self.bytes -= gone.bytes;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::digest::{Digester, SECRET_BYTES, Topic};
    use super::*;
    use crate::base::random::Random;

    fn digest(number: u64) -> Digest {
        Digester::new(&[1; SECRET_BYTES]).digest(Topic::Client, &number.to_le_bytes())
    }

    fn at(ms: u64) -> Time {
        Time::from_millis(ms)
    }

    #[test]
    fn an_answer_is_there_until_its_time() {
        let mut shelf = Shelf::new(4, 100);
        shelf.keep(digest(1), "yes", 10, at(1_000), at(0));
        assert_eq!(shelf.get(&digest(1), at(999)), Some(&"yes"));
        assert_eq!(shelf.get(&digest(1), at(1_000)), None);
        assert_eq!(shelf.get(&digest(2), at(0)), None);
        shelf.keep(digest(2), "late", 10, at(500), at(500));
        assert_eq!(shelf.get(&digest(2), at(500)), None, "it was over when it came");
    }

    #[test]
    fn a_newer_answer_takes_the_place_of_an_older_one_even_if_it_is_not_kept() {
        let mut shelf = Shelf::new(4, 100);
        shelf.keep(digest(1), "yes", 10, at(1_000), at(0));
        shelf.keep(digest(1), "no", 10, at(2_000), at(10));
        assert_eq!((shelf.get(&digest(1), at(1_500)), shelf.len()), (Some(&"no"), 1));
        shelf.keep(digest(1), "over", 10, at(5), at(10));
        assert_eq!(shelf.get(&digest(1), at(10)), None);
        assert!(shelf.is_empty());
    }

    #[test]
    fn the_oldest_goes_where_there_is_no_room_for_number_or_bytes() {
        let mut shelf = Shelf::new(2, 100);
        for number in 1..=3 {
            shelf.keep(digest(number), number, 10, at(1_000), at(number));
        }
        let there =
            |shelf: &Shelf<u64>| (1..=5).filter(|it| shelf.get(&digest(*it), at(10)).is_some()).collect::<Vec<_>>();
        assert_eq!(there(&shelf), [2, 3]);
        shelf.keep(digest(4), 4, 95, at(1_000), at(4));
        assert_eq!(there(&shelf), [4]);
        shelf.keep(digest(5), 5, 101, at(1_000), at(5));
        assert_eq!(there(&shelf), [4], "what is larger than the shelf drives nobody out");
    }

    #[test]
    fn threat_1_bounds_hold_whatever_comes_and_what_is_told_was_kept() {
        let (mut shelf, mut random) = (Shelf::new(8, 200), Random::from_seed(7));
        let mut model: BTreeMap<Digest, (u64, u64)> = BTreeMap::new();
        for now in 0..20_000_u64 {
            let question = digest(random.range(0, 12));
            if let Some(answer) = shelf.get(&question, at(now)) {
                let (kept, until) = model[&question];
                assert!(*answer == kept && now < until);
            }
            if random.range(0, 3) == 0 {
                let (bytes, until) = (random.range(0, 60), now + random.range(0, 40));
                shelf.keep(question, now, usize::try_from(bytes).unwrap(), at(until), at(now));
                model.insert(question, (now, until));
            }
            let bytes: usize = shelf.entries.values().map(|entry| entry.bytes).sum();
            assert!(shelf.order.len() <= 8 && shelf.len() <= shelf.order.len() && bytes == shelf.bytes && bytes <= 200);
        }
    }
}
