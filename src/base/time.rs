//! A point on a monotonic clock, in milliseconds since an arbitrary zero.
//!
//! The shell reads the real clock once a turn and passes the result down as a value; a simulation
//! passes whatever it likes. Arithmetic saturates: a deadline that lies too far away is
//! [`Time::NEVER`], a duration is never negative.

/// Milliseconds on the monotonic clock. Only differences mean anything; the wall clock is another
/// matter.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Time(u64);

impl Time {
    /// Where the clock starts.
    pub const ZERO: Self = Self(0);
    /// Later than every point that a clock reaches: the deadline of what does not expire.
    pub const NEVER: Self = Self(u64::MAX);

    /// The point `millis` after zero.
    pub const fn from_millis(millis: u64) -> Self {
        Self(millis)
    }

    /// Milliseconds since zero.
    pub const fn as_millis(self) -> u64 {
        self.0
    }

    /// The point `millis` later.
    #[must_use]
    pub const fn after_ms(self, millis: u64) -> Self {
        Self(self.0.saturating_add(millis))
    }

    /// The point `seconds` later.
    #[must_use]
    pub const fn after_seconds(self, seconds: u32) -> Self {
        self.after_ms(seconds as u64 * 1_000)
    }

    /// Milliseconds from `earlier` to here; 0 when `earlier` is in fact later.
    pub const fn since_ms(self, earlier: Self) -> u64 {
        self.0.saturating_sub(earlier.0)
    }

    /// Milliseconds from here to `deadline`; 0 when it has passed.
    pub const fn until_ms(self, deadline: Self) -> u64 {
        deadline.since_ms(self)
    }

    /// Whether at this time `deadline` has come. [`Time::NEVER`] never has.
    pub const fn has_passed(self, deadline: Self) -> bool {
        deadline.0 <= self.0 && !deadline.is_never()
    }

    /// Whether this is the deadline that never comes.
    pub const fn is_never(self) -> bool {
        self.0 == Self::NEVER.0
    }
}

/// A point on the clock in quarters of a second, four bytes: when something is to be looked at, never early and less than a
/// quarter late. It reaches 34 years; what lies beyond is looked at from then on whenever somebody looks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Tick(u32);

impl Tick {
    /// How long a tick is.
    pub const MS: u32 = 250;
    /// Later than every other one.
    pub const NEVER: Self = Self(u32::MAX);

    /// The first one that is not before `time`.
    pub fn not_before(time: Time) -> Self {
        if time.is_never() {
            return Self::NEVER;
        }
        let ticks = time.as_millis().div_ceil(u64::from(Self::MS));
        Self(u32::try_from(ticks).map_or(u32::MAX - 1, |ticks| ticks.min(u32::MAX - 1)))
    }

    /// When it comes.
    pub const fn time(self) -> Time {
        if self.0 == u32::MAX { Time::NEVER } else { Time::from_millis(self.0 as u64 * Self::MS as u64) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_add_and_subtract() {
        let start = Time::from_millis(500);
        let end = start.after_seconds(2).after_ms(7);
        assert_eq!(end.as_millis(), 2_507);
        assert_eq!(end.since_ms(start), 2_007);
        assert_eq!(start.until_ms(end), 2_007);
    }

    #[test]
    fn a_duration_is_never_negative() {
        let early = Time::ZERO;
        let late = Time::from_millis(9);
        assert_eq!(early.since_ms(late), 0);
        assert_eq!(late.until_ms(early), 0);
    }

    #[test]
    fn a_deadline_passes_at_its_own_millisecond() {
        let deadline = Time::from_millis(10);
        assert!(!Time::from_millis(9).has_passed(deadline));
        assert!(Time::from_millis(10).has_passed(deadline));
        assert!(Time::from_millis(11).has_passed(deadline));
    }

    #[test]
    fn too_far_away_is_never_and_never_does_not_pass() {
        let far = Time::from_millis(u64::MAX - 1).after_seconds(1);
        assert_eq!(far, Time::NEVER);
        assert_eq!(Time::NEVER.after_ms(1), Time::NEVER);
        assert!(!Time::NEVER.has_passed(Time::NEVER));
        assert!(Time::NEVER > Time::from_millis(u64::MAX - 1));
    }

    #[test]
    fn a_tick_is_never_before_its_time_and_less_than_a_quarter_of_a_second_behind() {
        for millis in [0, 1, 249, 250, 251, 1_000, 86_400_000_001, 1_073_741_823_000] {
            let time = Time::from_millis(millis);
            let tick = Tick::not_before(time).time();
            assert!(tick >= time && tick.since_ms(time) < u64::from(Tick::MS), "{millis}");
            assert_eq!(Tick::not_before(tick).time(), tick, "a tick is its own");
        }
        assert_eq!(Tick::not_before(Time::NEVER).time(), Time::NEVER);
        assert!(Tick::not_before(Time::from_millis(u64::MAX - 1)) < Tick::NEVER, "what is far away is not never");
    }

    #[test]
    fn the_longest_expiry_of_the_wire_does_not_overflow() {
        assert_eq!(Time::ZERO.after_seconds(u32::MAX).as_millis(), 4_294_967_295_000);
    }
}
