//! When keys are fetched from a web server, and how long those of before hold when it is gone.

use crate::base::backoff::Backoff;
use crate::base::random::Random;
use crate::base::time::Time;

/// Between two fetches that tokens with unknown keys ask for.
pub const HURRY_APART_MS: u64 = 10_000;
/// How soon a fetch that has failed is tried again at first.
const RETRY_MS: u64 = 1_000;
/// And in the end, or at the usual time if that is sooner.
const RETRY_MS_MAX: u64 = 60_000;

/// The times of fetches. One for each server of keys.
#[derive(Debug)]
pub struct Refresh {
    every_ms: u64,
    keep_ms: u64,
    next: Time,
    /// When somebody was in a hurry last.
    hurried: Option<Time>,
    /// When keys have come last.
    fetched: Option<Time>,
    retry: Backoff,
    random: Random,
}

impl Refresh {
    /// The first one is due now. Later ones are each up to a tenth earlier, so that brokers that have started together come one by one.
    pub const fn new(every_ms: u64, keep_ms: u64, random: Random, now: Time) -> Self {
        let retry_max = if every_ms < RETRY_MS_MAX { every_ms } else { RETRY_MS_MAX };
        let retry_first = if retry_max < RETRY_MS { retry_max } else { RETRY_MS };
        let retry = Backoff::new(retry_first, retry_max);
        Self { every_ms, keep_ms, next: now, hurried: None, fetched: None, retry, random }
    }

    /// How long nothing is to be done: until the next fetch, or until keys are too old.
    pub fn rest_ms(&self, now: Time) -> u64 {
        let end = self.end().map_or(u64::MAX, |end| now.until_ms(end));
        now.until_ms(self.next).min(end)
    }

    /// Whether it is time to fetch.
    pub fn is_due(&self, now: Time) -> bool {
        now >= self.next
    }

    /// Somebody has a token whose key nobody knows, or the operator wants it: whether keys are fetched at once.
    pub fn hurry(&mut self, now: Time) -> bool {
        if self.hurried.is_some_and(|hurried| now.since_ms(hurried) < HURRY_APART_MS) {
            return false;
        }
        self.hurried = Some(now);
        self.next = now;
        true
    }

    /// Keys have come.
    pub fn succeed(&mut self, now: Time) {
        self.fetched = Some(now);
        self.retry.reset();
        self.next = now.after_ms(self.random.range(self.every_ms - self.every_ms / 10, self.every_ms));
    }

    /// No keys have come.
    pub fn fail(&mut self, now: Time) {
        self.next = now.after_ms(self.retry.next_ms(&mut self.random));
    }

    /// Whether keys that have come are too old from now on, because none have come since; it is said once.
    pub fn expire(&mut self, now: Time) -> bool {
        let is_over = self.end().is_some_and(|end| now >= end);
        if is_over {
            self.fetched = None;
        }
        is_over
    }

    fn end(&self) -> Option<Time> {
        self.fetched.map(|fetched| fetched.after_ms(self.keep_ms))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(s: u64) -> Time {
        Time::from_millis(s * 1_000)
    }

    fn refresh() -> Refresh {
        Refresh::new(300_000, 3_600_000, Random::from_seed(1), at(0))
    }

    #[test]
    fn the_first_fetch_is_due_at_once_and_later_ones_come_a_little_early_at_most() {
        let mut refresh = refresh();
        assert!(refresh.is_due(at(0)) && !refresh.expire(at(0)));
        let mut rests = Vec::new();
        for _ in 0..50 {
            refresh.succeed(at(0));
            let rest = refresh.rest_ms(at(0));
            assert!((270_000..=300_000).contains(&rest), "{rest}");
            rests.push(rest);
        }
        rests.dedup();
        assert!(rests.len() > 10, "they come one by one");
    }

    #[test]
    fn who_fails_tries_again_soon_and_then_less_often() {
        let mut refresh = refresh();
        let rests: Vec<u64> = (0..10)
            .map(|_| {
                refresh.fail(at(0));
                refresh.rest_ms(at(0))
            })
            .collect();
        assert!(rests[0] <= 1_000 && rests[9] > 30_000 && rests.iter().all(|rest| *rest <= 60_000), "{rests:?}");
        refresh.succeed(at(0));
        refresh.fail(at(0));
        assert!(refresh.rest_ms(at(0)) <= 1_000);
    }

    #[test]
    fn threat_10_a_hurry_is_heard_once_in_ten_seconds() {
        let mut refresh = refresh();
        refresh.succeed(at(0));
        assert!(refresh.hurry(at(1)) && refresh.is_due(at(1)));
        refresh.succeed(at(1));
        assert!(!refresh.hurry(at(2)) && !refresh.hurry(at(10)) && !refresh.is_due(at(10)));
        assert!(refresh.hurry(at(11)) && refresh.is_due(at(11)));
    }

    #[test]
    fn threat_7_keys_hold_for_so_long_without_their_server_and_no_longer() {
        let mut refresh = refresh();
        refresh.succeed(at(0));
        for s in (1..3_600).step_by(60) {
            refresh.fail(at(s));
            assert!(!refresh.expire(at(s)));
        }
        assert!(!refresh.expire(Time::from_millis(3_599_999)) && refresh.expire(at(3_600)));
        assert!(!refresh.expire(at(3_601)), "it was said");
        refresh.succeed(at(4_000));
        assert!(!refresh.expire(at(7_599)) && refresh.expire(at(7_600)));
    }

    #[test]
    fn whoever_waits_wakes_when_keys_end() {
        let mut refresh = Refresh::new(300_000, 100_000, Random::from_seed(1), at(0));
        refresh.succeed(at(0));
        assert_eq!(refresh.rest_ms(at(40)), 60_000);
    }
}
