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
    fn the_longest_expiry_of_the_wire_does_not_overflow() {
        assert_eq!(Time::ZERO.after_seconds(u32::MAX).as_millis(), 4_294_967_295_000);
    }
}
