//! Who proves the wrong thing too often is not listened to for a while, and longer each time.
//!
//! What is remembered of an address are two words: how many proofs have failed, how many of these were made good by proofs that held, and until
//! when that counts; and until when it is banned and how often it was. A user name is never banned: anybody could lock its owner out.

use std::sync::atomic::{AtomicU64, Ordering};

use super::table::{Place, Table, Word};
use crate::base::network::Network;
use crate::base::time::Time;

/// When an address is banned, and for how long.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BanTerms {
    /// So many failed proofs are too many; 0 bans nobody.
    pub failures_max: u32,
    /// How long a failure counts: until this time after the first one.
    pub failure_window_ms: u64,
    /// How long the first ban lasts. Each further one lasts twice as long.
    pub ban_ms: u64,
    /// How long a ban lasts at most. An address that has kept quiet for so long after a ban begins anew.
    pub ban_max_ms: u64,
    /// Networks that are never banned.
    pub exempt: Vec<Network>,
}

impl Default for BanTerms {
    /// Nobody is banned.
    fn default() -> Self {
        Self { failures_max: 0, failure_window_ms: 0, ban_ms: 0, ban_max_ms: 0, exempt: Vec::new() }
    }
}

/// The largest bound that a word has room for: as many again may have been made good.
pub const FAILURES_MAX: u32 = 2_000;

/// A part of the word of failures: how many, and how many were made good.
const PART_LOG2: u32 = 12;
const PART: u64 = (1 << PART_LOG2) - 1;
const _: () = assert!(2 * FAILURES_MAX as u64 <= PART, "failures and what makes them good fit");
/// A part of the word of a ban: how many there were.
const STRIKES_LOG2: u32 = 8;
const STRIKES: u64 = (1 << STRIKES_LOG2) - 1;

/// Failures that count.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Failures {
    /// Until then, in milliseconds.
    until: u64,
    count: u64,
    /// Never more than half of them: who has an account may not guess at those of others for ever.
    good: u64,
}

impl Failures {
    fn of(word: u64, now: Time) -> Self {
        let until = word >> (2 * PART_LOG2);
        if until <= now.as_millis() {
            return Self::default();
        }
        Self { until, count: word >> PART_LOG2 & PART, good: word & PART }
    }

    fn word(self) -> u64 {
        debug_assert!(self.count <= PART && self.good * 2 <= self.count, "no more is made good than half");
        self.until << (2 * PART_LOG2) | self.count << PART_LOG2 | self.good
    }
}

/// Counts a failed proof at a place that the caller holds; for how many milliseconds it is banned, if it is from now on.
pub fn fail(table: &Table, place: Place, terms: &BanTerms, now: Time) -> Option<u64> {
    let forgotten = table.word(place, Word::Forgotten);
    let ban = table.word(place, Word::Ban);
    if forgotten.load(Ordering::Relaxed) <= now.as_millis() {
        ban.store(0, Ordering::Relaxed); // an old story, or the one of whoever had this place before
    } else if until(ban.load(Ordering::Relaxed)) > now.as_millis() {
        return None; // it was under way when the ban came
    }
    let end = now.after_ms(terms.failure_window_ms).as_millis();
    forgotten.fetch_max(end, Ordering::Relaxed);
    let mut is_too_many = false;
    let next = |word: u64| {
        let before = Failures::of(word, now);
        let until = if before.count == 0 { end } else { before.until };
        Failures { until, count: before.count + 1, good: before.good }
    };
    let counted = table.word(place, Word::Failures).fetch_update(Ordering::Relaxed, Ordering::Relaxed, |word| {
        let next = next(word);
        is_too_many = next.count - next.good >= u64::from(terms.failures_max);
        // Whoever counts the last one imposes the ban: the others begin anew.
        Some(if is_too_many { 0 } else { next.word() })
    });
    debug_assert!(counted.is_ok(), "a failure always counts");
    is_too_many.then(|| impose(forgotten, ban, terms, now))
}

fn impose(forgotten: &AtomicU64, ban: &AtomicU64, terms: &BanTerms, now: Time) -> u64 {
    let strikes = ban.load(Ordering::Relaxed) & STRIKES;
    let doubled = 1_u64.checked_shl(u32::try_from(strikes).expect("a byte")).unwrap_or(u64::MAX);
    let lasts_ms = terms.ban_ms.saturating_mul(doubled).min(terms.ban_max_ms);
    let until = now.after_ms(lasts_ms);
    ban.store(until.as_millis() << STRIKES_LOG2 | (strikes + 1).min(STRIKES), Ordering::Relaxed);
    forgotten.fetch_max(until.after_ms(terms.ban_max_ms).as_millis(), Ordering::Relaxed);
    lasts_ms
}

/// A proof has held: it makes one failure good, as long as no more than half of them are.
pub fn make_good(table: &Table, place: Place, now: Time) {
    let good = table.word(place, Word::Failures).fetch_update(Ordering::Relaxed, Ordering::Relaxed, |word| {
        let before = Failures::of(word, now);
        let good = before.good + 1;
        (2 * good <= before.count).then(|| Failures { good, ..before }.word())
    });
    let _nothing_to_make_good = good.is_err();
}

/// Until when a word says that its address is banned, in milliseconds.
pub fn until(word: u64) -> u64 {
    word >> STRIKES_LOG2
}

#[cfg(test)]
mod tests {
    use super::*;

    const TERMS: BanTerms =
        BanTerms { failures_max: 3, failure_window_ms: 1_000, ban_ms: 100, ban_max_ms: 350, exempt: Vec::new() };

    fn at(millis: u64) -> Time {
        Time::from_millis(millis)
    }

    fn one() -> (Table, Place) {
        let table = Table::new(8);
        let place = table.hold(7, at(0)).unwrap();
        (table, place)
    }

    #[test]
    fn three_failures_within_the_window_are_a_ban_and_it_doubles_up_to_its_bound() {
        let (table, place) = one();
        let mut now = 50;
        for lasts_ms in [100, 200, 350, 350] {
            assert_eq!([0, 1].map(|_| fail(&table, place, &TERMS, at(now))), [None; 2]);
            assert_eq!(fail(&table, place, &TERMS, at(now)), Some(lasts_ms));
            assert_eq!(until(table.read(7, Word::Ban).unwrap()), now + lasts_ms);
            assert_eq!(
                [0; 9].map(|_| fail(&table, place, &TERMS, at(now))),
                [None; 9],
                "what was under way adds nothing"
            );
            now += lasts_ms;
        }
        now += 1_350; // nothing is remembered any more
        assert_eq!([0; 3].map(|_| fail(&table, place, &TERMS, at(now))), [None, None, Some(100)]);
    }

    #[test]
    fn failures_that_lie_further_apart_than_the_window_add_up_to_nothing() {
        let (table, place) = one();
        for round in 0..20 {
            assert_eq!(fail(&table, place, &TERMS, at(1 + round * 500)), None);
            let next = at(1 + round * 500 + 499);
            assert_eq!(Failures::of(table.read(7, Word::Failures).unwrap(), next).count, 1 + round % 2);
        }
    }

    #[test]
    fn a_good_proof_makes_a_failure_good_but_no_more_than_half_of_them() {
        let (table, place) = one();
        let mut failures = 0;
        let banned = (0..100).any(|_| {
            failures += 1;
            let banned = fail(&table, place, &TERMS, at(5)).is_some();
            (0..10).for_each(|_| make_good(&table, place, at(5)));
            banned
        });
        assert!(banned);
        assert_eq!(failures, 4, "fewer than twice the bound");
        make_good(&table, place, at(5));
        assert_eq!(Failures::of(table.read(7, Word::Failures).unwrap(), at(5)), Failures::default());
    }

    #[test]
    fn a_word_holds_the_largest_bound() {
        let terms = BanTerms { failures_max: FAILURES_MAX, failure_window_ms: 1 << 36, ..TERMS };
        let (table, place) = one();
        let mut failures = 0;
        while fail(&table, place, &terms, at(1 << 38)).is_none() {
            failures += 1;
            make_good(&table, place, at(1 << 38));
        }
        assert_eq!(failures + 1, 2 * FAILURES_MAX - 2);
    }
}
