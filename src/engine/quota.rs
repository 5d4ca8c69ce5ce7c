//! How much a client may do in a second, or be sent: buckets of tokens that fill up steadily.

use super::limits::Limits;
use super::stats::Limit;
use crate::base::time::Time;

/// Messages and bytes of one direction of a connection. What has happened is charged, and in debt there is a pause until it is paid.
#[derive(Clone, Copy, Debug)]
pub struct Meter {
    messages: TokenBucket,
    bytes: TokenBucket,
    /// The bounds of the two.
    limits: [Limit; 2],
    /// When the pause ends; nothing where there is none.
    pub until: Option<Time>,
}

impl Meter {
    /// What a client may publish, if that has a bound.
    pub fn taken(limits: &Limits) -> Option<Self> {
        Self::new(limits.message_rate, limits.byte_rate, [Limit::MessageRate, Limit::ByteRate])
    }

    /// What a client is sent, if that has a bound.
    pub fn given(limits: &Limits) -> Option<Self> {
        let names = [Limit::MessageRateOut, Limit::ByteRateOut];
        Self::new(limits.message_rate_out, limits.byte_rate_out, names)
    }

    fn new(message_rate: u32, byte_rate: u32, limits: [Limit; 2]) -> Option<Self> {
        let (messages, bytes) = (TokenBucket::new(message_rate, message_rate), TokenBucket::new(byte_rate, byte_rate));
        (message_rate > 0 || byte_rate > 0).then_some(Self { messages, bytes, limits, until: None })
    }

    /// One without bounds of its own, for pauses that other bounds bring.
    pub fn unbounded() -> Self {
        let bucket = TokenBucket::new(0, 0);
        Self { messages: bucket, bytes: bucket, limits: [Limit::MessageRate, Limit::ByteRate], until: None }
    }

    /// A pause until then, or until a later end of one that is there.
    pub fn pause(&mut self, until: Time) {
        self.until = self.until.max(Some(until));
    }

    /// Charges what has happened; in debt, a pause begins. The bound that takes longer to be kept again is told.
    pub fn charge(&mut self, messages: u32, bytes: usize, now: Time) -> Option<Limit> {
        let bytes = u32::try_from(bytes).unwrap_or(u32::MAX);
        let by_messages = self.messages.charge(messages, now).err();
        let by_bytes = self.bytes.charge(bytes, now).err();
        let wait_ms = by_messages.max(by_bytes)?;
        self.until = Some(now.after_ms(wait_ms));
        Some(self.limits[usize::from(by_bytes > by_messages)])
    }
}

/// A bucket that holds at most `burst` tokens and gains `rate` a second. One per client and thing that is metered.
///
/// The level counts thousandths, so a millisecond is worth exactly `rate` of them: nothing is rounded, nothing drifts.
///
/// ```text
/// -DEBT_MAX ≤ level ≤ burst × 1000
/// ```
#[derive(Clone, Copy, Debug)]
pub struct TokenBucket {
    /// Tokens a second; 0 for as many as one likes.
    rate: u32,
    burst: u32,
    level: i64,
    filled: Time,
}

/// Thousandths in a token.
const TOKEN: i64 = 1_000;

/// The deepest debt: 2^32 tokens.
const DEBT_MAX: i64 = TOKEN << 32;

const _: () = assert!(size_of::<TokenBucket>() <= 24, "a bucket a client has to be small");

impl TokenBucket {
    /// A full bucket. A rate of 0 means no limit; a burst is at least one token.
    pub fn new(rate: u32, burst: u32) -> Self {
        let burst = burst.max(1);
        Self { rate, burst, level: i64::from(burst) * TOKEN, filled: Time::ZERO }
    }

    /// Takes `count` tokens, or tells in how many milliseconds they will be there.
    ///
    /// More than `burst` will never be there at one time: then a full bucket is enough, and the rest is owed.
    pub fn take(&mut self, count: u32, now: Time) -> Result<(), u64> {
        if self.rate == 0 {
            return Ok(());
        }
        self.fill(now);
        let missing = i64::from(count.min(self.burst)) * TOKEN - self.level;
        if missing > 0 {
            return Err(self.wait_ms(missing));
        }
        self.owe(count);
        Ok(())
    }

    /// Takes `count` tokens for what has happened already; if more than there were, tells when the debt will be paid.
    pub fn charge(&mut self, count: u32, now: Time) -> Result<(), u64> {
        if self.rate == 0 {
            return Ok(());
        }
        self.fill(now);
        self.owe(count);
        if self.level < 0 {
            return Err(self.wait_ms(-self.level));
        }
        Ok(())
    }

    /// Adds what came since the last call. A clock that jumps forward fills the bucket once; one that jumps back adds
    /// nothing, and time counts on from there.
    fn fill(&mut self, now: Time) {
        let full = i64::from(self.burst) * TOKEN;
        let gained = now.since_ms(self.filled).saturating_mul(u64::from(self.rate));
        self.filled = now;
        self.level = self.level.saturating_add_unsigned(gained).min(full);
        debug_assert!((-DEBT_MAX..=full).contains(&self.level), "the level stays within its bounds");
    }

    fn owe(&mut self, count: u32) {
        self.level = (self.level - i64::from(count) * TOKEN).max(-DEBT_MAX);
    }

    /// How long it takes to gain so many thousandths, rounded up.
    fn wait_ms(&self, missing: i64) -> u64 {
        missing.unsigned_abs().div_ceil(u64::from(self.rate))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::random::Random;

    #[test]
    fn a_burst_is_free_and_then_the_rate_rules() {
        let mut bucket = TokenBucket::new(10, 3);
        let start = Time::from_millis(1_000);
        assert_eq!([0; 3].map(|_| bucket.take(1, start)), [Ok(()); 3]);
        assert_eq!(bucket.take(1, start), Err(100));
        assert_eq!(bucket.take(1, start.after_ms(99)), Err(1));
        assert_eq!(bucket.take(1, start.after_ms(100)), Ok(()));
        assert_eq!(bucket.take(2, start.after_ms(100)), Err(200));
    }

    #[test]
    fn a_rate_of_zero_is_no_limit() {
        let mut bucket = TokenBucket::new(0, 0);
        assert!(
            (0..10).all(|_| bucket.take(u32::MAX, Time::ZERO).is_ok() && bucket.charge(u32::MAX, Time::ZERO).is_ok())
        );
    }

    #[test]
    fn more_than_a_burst_needs_a_full_bucket_and_leaves_a_debt() {
        let mut bucket = TokenBucket::new(1_000, 10);
        assert_eq!(bucket.take(25, Time::ZERO), Ok(()));
        assert_eq!(bucket.take(1, Time::ZERO), Err(16));
        assert_eq!(bucket.take(25, Time::from_millis(24)), Err(1));
        assert_eq!(bucket.take(25, Time::from_millis(25)), Ok(()));
    }

    #[test]
    fn what_has_happened_is_charged_and_waited_for() {
        let mut bucket = TokenBucket::new(100, 5);
        assert_eq!(bucket.charge(5, Time::ZERO), Ok(()));
        assert_eq!(bucket.charge(2, Time::ZERO), Err(20));
        assert_eq!(bucket.charge(0, Time::from_millis(20)), Ok(()));
    }

    #[test]
    fn a_meter_pauses_for_the_bound_that_takes_longer() {
        assert!(Meter::taken(&Limits::default()).is_none() && Meter::given(&Limits::default()).is_none());
        let limits = Limits { message_rate: 10, byte_rate: 1_000, message_rate_out: 1_000, ..Limits::default() };
        let mut taken = Meter::taken(&limits).unwrap();
        assert_eq!(taken.charge(10, 1_000, Time::ZERO), None);
        assert_eq!(taken.charge(1, 50, Time::ZERO), Some(Limit::MessageRate));
        assert_eq!(taken.until, Some(Time::from_millis(100)));
        assert_eq!(taken.charge(0, 200, Time::ZERO), Some(Limit::ByteRate));
        assert_eq!(taken.until, Some(Time::from_millis(250)));
        let mut given = Meter::given(&limits).unwrap();
        assert_eq!(given.charge(1_001, usize::MAX, Time::ZERO), Some(Limit::MessageRateOut));
        assert_eq!(given.until, Some(Time::from_millis(1)));
    }

    #[test]
    fn debts_and_jumps_of_the_clock_stay_bounded() {
        let mut bucket = TokenBucket::new(u32::MAX, u32::MAX);
        for _ in 0..10 {
            let _debt = bucket.charge(u32::MAX, Time::ZERO);
        }
        assert_eq!(bucket.charge(0, Time::ZERO), Err(1_001));
        assert_eq!(bucket.charge(0, Time::from_millis(u64::MAX)), Ok(()));
        assert_eq!(bucket.take(u32::MAX, Time::from_millis(u64::MAX)), Ok(()));
        assert_eq!(bucket.take(1, Time::ZERO), Err(1), "a clock that goes back brings nothing");
        assert_eq!(bucket.take(1, Time::from_millis(1)), Ok(()), "and does not stop the flow");
    }

    #[test]
    fn over_any_time_no_more_is_taken_than_burst_and_rate_allow_and_a_told_wait_is_exact() {
        for seed in 0..20 {
            let mut random = Random::from_seed(seed);
            let (rate, burst) = (random.range(1, 5_000), random.range(1, 300));
            let mut bucket = TokenBucket::new(u32::try_from(rate).unwrap(), u32::try_from(burst).unwrap());
            let (mut now, mut taken) = (0, 0);
            for _ in 0..5_000 {
                now += random.below(20);
                let count = random.range(1, burst);
                match bucket.take(u32::try_from(count).unwrap(), Time::from_millis(now)) {
                    Ok(()) => taken += count,
                    Err(wait) => {
                        let early = Time::from_millis(now + wait - 1);
                        assert!(
                            bucket.clone().take(u32::try_from(count).unwrap(), early).is_err(),
                            "not a moment sooner"
                        );
                        now += wait;
                        assert_eq!(bucket.take(u32::try_from(count).unwrap(), Time::from_millis(now)), Ok(()));
                        taken += count;
                    }
                }
                assert!(taken * 1_000 <= burst * 1_000 + now * rate, "{taken} of {burst} + {rate}/s in {now} ms");
            }
        }
    }
}
