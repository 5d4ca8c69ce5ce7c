//! Growing delays between attempts, so that a thing that is down is not also hammered.
//!
//! Each delay doubles the one before, up to a maximum. It is drawn from the upper half of its step:
//! a thousand clients of one fallen peer do not come back as one wave, and yet nobody comes back at
//! once.

use super::random::Random;

/// When to try again. One per thing that is retried; it is the owner who counts attempts and gives
/// up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Backoff {
    /// `first_ms` ≤ `step_ms` ≤ `max_ms`
    step_ms: u64,
    first_ms: u64,
    max_ms: u64,
}

impl Backoff {
    /// Delays that start at about `first_ms` and grow to about `max_ms`.
    pub const fn new(first_ms: u64, max_ms: u64) -> Self {
        assert!(first_ms > 0, "a delay of nothing never grows");
        assert!(first_ms <= max_ms, "delays grow");
        Self { step_ms: first_ms, first_ms, max_ms }
    }

    /// The delay before the next attempt: more than half of the step, and no more than the step.
    pub fn next_ms(&mut self, random: &mut Random) -> u64 {
        let step_ms = self.step_ms;
        self.step_ms = step_ms.saturating_mul(2).min(self.max_ms);
        random.range(step_ms / 2 + 1, step_ms)
    }

    /// After a success: the next delay is short again.
    pub const fn reset(&mut self) {
        self.step_ms = self.first_ms;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn delays_double_up_to_the_maximum_and_start_again_after_a_success() {
        let mut random = Random::from_seed(1);
        let mut backoff = Backoff::new(100, 1_000);
        for step_ms in [100, 200, 400, 800, 1_000, 1_000] {
            let delay_ms = backoff.next_ms(&mut random);
            assert!((step_ms / 2 + 1..=step_ms).contains(&delay_ms), "{delay_ms} of {step_ms}");
        }
        backoff.reset();
        assert!(backoff.next_ms(&mut random) <= 100);
    }

    #[test]
    fn a_crowd_does_not_come_back_as_one() {
        let mut random = Random::from_seed(2);
        let delays: Vec<u64> = (0..2_000).map(|_| Backoff::new(1_000, 1_000).next_ms(&mut random)).collect();
        for tenth in 0..10 {
            let from = 501 + tenth * 50;
            let count = delays.iter().filter(|&&delay| (from..from + 50).contains(&delay)).count();
            assert!((130..270).contains(&count), "{count} of 2000 from {from} ms on");
        }
    }

    #[test]
    fn the_extremes_neither_overflow_nor_vanish() {
        let mut random = Random::from_seed(3);
        let mut shortest = Backoff::new(1, 1);
        let mut longest = Backoff::new(u64::MAX, u64::MAX);
        for _ in 0..3 {
            assert_eq!(shortest.next_ms(&mut random), 1);
            assert!(longest.next_ms(&mut random) > u64::MAX / 2);
        }
    }
}
