//! How much of something in a second, for everybody at once: one word, no lock.
//!
//! The word is the moment at which all that was taken so far is paid for, at the rate that is allowed. It may lie one second ahead: that
//! is the burst, so many of the thing as the rate names. This is the generic cell rate algorithm, and the same as a
//! [`TokenBucket`](crate::engine::quota::TokenBucket) that many fill their cups from.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::base::time::Time;

/// Parts of a millisecond, as a power of two: a byte at the highest rate is still some of them.
const PARTS_LOG2: u32 = 24;
/// How far ahead of the time what was taken may lie: what a second allows.
const BURST: u64 = 1_000 << PARTS_LOG2;
/// The deepest debt, behind which nothing more is remembered: who shares a rate with others holds them up for so long at most.
const DEBT_MAX: u64 = 10 * BURST;

/// Takes one, or tells in how many milliseconds there is one; then nothing has been taken. A rate of 0 is no limit.
pub fn take(word: &AtomicU64, rate: u32, now: Time) -> Result<(), u64> {
    if rate == 0 {
        return Ok(());
    }
    let (now, cost) = (parts(now), cost(1, rate));
    let paid_at = |word: u64| word.max(now) + cost;
    let taken = word.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |word| {
        Some(paid_at(word)).filter(|paid_at| *paid_at <= now + BURST)
    });
    taken.map_or_else(|word| Err(milliseconds(paid_at(word) - now - BURST)), |_before| Ok(()))
}

/// Takes `count` for what has happened already; if more than there were, tells in how many milliseconds the debt is paid.
pub fn charge(word: &AtomicU64, rate: u32, count: u32, now: Time) -> Result<(), u64> {
    if rate == 0 || count == 0 {
        return Ok(());
    }
    let (now, cost) = (parts(now), cost(count, rate));
    let paid_at = |word: u64| (word.max(now) + cost).min(now + BURST + DEBT_MAX);
    let charged = word.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |word| Some(paid_at(word)));
    let before = charged.expect("it is always taken");
    let debt = paid_at(before).saturating_sub(now + BURST);
    if debt == 0 { Ok(()) } else { Err(milliseconds(debt)) }
}

/// In how many milliseconds what was taken and never there is paid for, if that is not so yet.
pub fn debt(word: &AtomicU64, now: Time) -> Result<(), u64> {
    let debt = word.load(Ordering::Relaxed).saturating_sub(parts(now) + BURST);
    if debt == 0 { Ok(()) } else { Err(milliseconds(debt)) }
}

/// Whether all that was taken is paid for: nothing is lost with the word.
pub fn is_paid(word: &AtomicU64, now: Time) -> bool {
    word.load(Ordering::Relaxed) <= parts(now)
}

/// A moment in parts. The clock reaches 34 years this way, and stands still then.
fn parts(time: Time) -> u64 {
    time.as_millis().min(u64::MAX >> (PARTS_LOG2 + 1)) << PARTS_LOG2
}

/// What so many cost, rounded down: a burst is never one less than the rate.
fn cost(count: u32, rate: u32) -> u64 {
    let cost = u128::from(count) * u128::from(BURST) / u128::from(rate);
    u64::try_from(cost).unwrap_or(u64::MAX).min(BURST + DEBT_MAX)
}

/// Rounded up.
fn milliseconds(parts: u64) -> u64 {
    parts.div_ceil(1 << PARTS_LOG2)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::random::Random;

    fn at(millis: u64) -> Time {
        Time::from_millis(millis)
    }

    #[test]
    fn a_burst_is_free_and_then_the_rate_rules() {
        let word = AtomicU64::new(0);
        assert_eq!([0; 10].map(|_| take(&word, 10, at(5_000))), [Ok(()); 10]);
        assert_eq!(take(&word, 10, at(5_000)), Err(100));
        assert_eq!(take(&word, 10, at(5_099)), Err(1), "who is refused has taken nothing");
        assert_eq!(take(&word, 10, at(5_100)), Ok(()));
        assert!(!is_paid(&word, at(6_099)) && is_paid(&word, at(6_100)));
    }

    #[test]
    fn what_has_happened_is_charged_and_waited_for() {
        let word = AtomicU64::new(0);
        assert_eq!(charge(&word, 100, 100, at(0)), Ok(()));
        assert_eq!(charge(&word, 100, 2, at(0)), Err(20));
        assert_eq!(charge(&word, 100, 1, at(20)), Err(10), "whoever comes next waits longer");
        assert_eq!(charge(&word, 100, 0, at(20)), Ok(()), "who takes nothing waits for nothing");
        assert_eq!([20, 29, 30].map(|millis| debt(&word, at(millis))), [Err(10), Err(1), Ok(())]);
    }

    #[test]
    fn a_rate_of_zero_is_no_limit_and_a_debt_has_an_end() {
        let word = AtomicU64::new(0);
        assert!((0..10).all(|_| take(&word, 0, at(0)).is_ok() && charge(&word, 0, u32::MAX, at(0)).is_ok()));
        for _ in 0..10 {
            assert_eq!(charge(&word, 1, u32::MAX, at(7)), Err(10_000));
        }
        assert_eq!(charge(&word, 1, 1, at(u64::MAX)), Ok(()), "the end of all time is reached");
        assert_eq!(charge(&word, u32::MAX, u32::MAX, at(u64::MAX)), Err(1_000));
    }

    #[test]
    fn over_any_time_no_more_is_taken_than_burst_and_rate_allow_and_a_told_wait_is_exact() {
        for seed in 0..20 {
            let mut random = Random::from_seed(seed);
            let rate = u32::try_from(random.range(1, 5_000)).unwrap();
            let word = AtomicU64::new(0);
            let (mut now, mut taken) = (0, 0_u64);
            for _ in 0..5_000 {
                now += random.below(2);
                match take(&word, rate, at(now)) {
                    Ok(()) => taken += 1,
                    Err(wait) => {
                        assert!(take(&word, rate, at(now + wait - 1)).is_err(), "not a moment sooner");
                        now += wait;
                        assert_eq!(take(&word, rate, at(now)), Ok(()), "and not later");
                        taken += 1;
                    }
                }
            }
            let allowed = u64::from(rate) * (now + 1_000) / 1_000;
            assert!(taken <= allowed, "{taken} of {allowed} with seed {seed}");
        }
    }
}
