//! The clock on the wall, as somebody who has only the monotonic one reckons it on.

use super::time::Time;

/// What the clock on the wall showed at some moment. Anybody may turn that clock, so it is asked again and again, and no deadline is kept by it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Wall {
    unix_s: u64,
    at: Time,
}

impl Wall {
    /// Nobody has looked at it.
    pub const UNKNOWN: Self = Self { unix_s: 0, at: Time::ZERO };

    /// It shows so many seconds since 1970.
    pub const fn new(unix_s: u64, at: Time) -> Self {
        Self { unix_s, at }
    }

    /// What it shows now, in seconds since 1970; 0 if nobody has ever looked.
    pub const fn unix_s(self, now: Time) -> u64 {
        if self.unix_s == 0 { 0 } else { self.unix_s.saturating_add(now.since_ms(self.at) / 1_000) }
    }

    /// The moment at which it will show this, if nobody turns it; now, where it shows it already, or nobody has ever looked.
    pub const fn time(self, unix_s: u64, now: Time) -> Time {
        if self.unix_s == 0 {
            return now;
        }
        now.after_ms(unix_s.saturating_sub(self.unix_s(now)).saturating_mul(1_000))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_goes_on_with_the_monotonic_clock() {
        let wall = Wall::new(1_800_000_000, Time::from_millis(5_000));
        assert_eq!(wall.unix_s(Time::from_millis(5_000)), 1_800_000_000);
        assert_eq!(wall.unix_s(Time::from_millis(6_999)), 1_800_000_001);
        assert_eq!(wall.unix_s(Time::from_millis(4_000)), 1_800_000_000, "what lies before is now");
    }

    #[test]
    fn a_date_is_as_far_away_as_the_wall_says() {
        let wall = Wall::new(1_800_000_000, Time::ZERO);
        let now = Time::from_millis(10_000);
        assert_eq!(wall.time(1_800_000_070, now), Time::from_millis(70_000));
        assert_eq!(wall.time(1_800_000_010, now), now);
        assert_eq!(wall.time(1, now), now);
        assert_eq!(wall.time(u64::MAX, now), Time::NEVER);
    }

    #[test]
    fn a_clock_that_nobody_has_looked_at_shows_nothing() {
        let now = Time::from_millis(1 << 40);
        assert_eq!((Wall::UNKNOWN.unix_s(now), Wall::UNKNOWN.time(1_800_000_000, now)), (0, now));
    }
}
