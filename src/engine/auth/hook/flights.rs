//! The same question is asked once: whoever comes with it while it is under way waits for the same answer.

use std::collections::BTreeMap;

use super::digest::Digest;

/// Questions under way, and who waits for their answers.
#[derive(Debug)]
pub struct Flights<W> {
    under_way: BTreeMap<Digest, Vec<W>>,
    /// waiting = the sum of those who wait for all questions ≤ `waiting_max`
    waiting: usize,
    waiting_max: usize,
}

/// What happens to a question.
#[derive(Debug, PartialEq, Eq)]
pub enum Begun<W> {
    /// Nobody has asked it: whoever hears this does, and [ends](Flights::end) it.
    First,
    /// It is under way.
    Joined,
    /// Too many wait already.
    Full(W),
}

impl<W> Flights<W> {
    /// Nobody has asked anything; so many may wait.
    pub const fn new(waiting_max: usize) -> Self {
        Self { under_way: BTreeMap::new(), waiting: 0, waiting_max }
    }

    /// Somebody has a question.
    pub fn begin(&mut self, question: Digest, waiter: W) -> Begun<W> {
        if self.waiting == self.waiting_max {
            return Begun::Full(waiter);
        }
        self.waiting += 1;
        let mut is_first = false;
        self.under_way
            .entry(question)
            .or_insert_with(|| {
                is_first = true;
                Vec::new()
            })
            .push(waiter);
        if is_first { Begun::First } else { Begun::Joined }
    }

    /// The answer has come, or will never: these have waited for it.
    pub fn end(&mut self, question: &Digest) -> Vec<W> {
        let waiters = self.under_way.remove(question).unwrap_or_default();
        self.waiting -= waiters.len();
        waiters
    }
}

#[cfg(test)]
mod tests {
    use super::super::digest::{Digester, SECRET_BYTES, Topic};
    use super::*;

    fn digest(text: &str) -> Digest {
        Digester::new(&[1; SECRET_BYTES]).digest(Topic::Client, text.as_bytes())
    }

    #[test]
    fn one_asks_and_all_hear_the_answer() {
        let mut flights = Flights::new(10);
        assert_eq!(flights.begin(digest("a"), 1), Begun::First);
        assert_eq!(flights.begin(digest("a"), 2), Begun::Joined);
        assert_eq!(flights.begin(digest("b"), 3), Begun::First);
        assert_eq!(flights.end(&digest("a")), [1, 2]);
        assert_eq!(flights.begin(digest("a"), 4), Begun::First, "the answer of before is not theirs");
        assert_eq!((flights.end(&digest("b")), flights.end(&digest("a"))), (vec![3], vec![4]));
        assert!(flights.end(&digest("a")).is_empty());
    }

    #[test]
    fn threat_1_only_so_many_wait() {
        let mut flights = Flights::new(2);
        assert_eq!(flights.begin(digest("a"), 1), Begun::First);
        assert_eq!(flights.begin(digest("a"), 2), Begun::Joined);
        assert_eq!(flights.begin(digest("a"), 3), Begun::Full(3));
        assert_eq!(flights.begin(digest("b"), 4), Begun::Full(4));
        assert_eq!(flights.end(&digest("a")).len(), 2);
        assert_eq!(flights.begin(digest("b"), 4), Begun::First);
    }
}
