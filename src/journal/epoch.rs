//! The bridge between the engine's clock, which starts anew with each process, and the clock on the wall, which goes on.

use crate::base::time::Time;

/// What the clock on the wall showed when the engine's clock stood at zero. A value; the shell makes one at each start.
///
/// On disk a point in time is a number of milliseconds since 1970, and zero is [`Time::NEVER`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Epoch {
    wall_ms: u64,
}

impl Epoch {
    /// The engine's zero lies this many milliseconds after the beginning of 1970.
    pub const fn new(wall_ms: u64) -> Self {
        Self { wall_ms }
    }

    /// A point in time as it is written. What lies too far away for a number is never.
    pub fn to_wall(self, time: Time) -> u64 {
        if time.is_never() {
            return 0;
        }
        match self.wall_ms.checked_add(time.as_millis()) {
            Some(wall_ms) => wall_ms.max(1),
            None => 0,
        }
    }

    /// A point in time as it is read. What lies before the engine's zero is zero: it has passed.
    pub fn to_time(self, wall_ms: u64) -> Time {
        if wall_ms == 0 { Time::NEVER } else { Time::from_millis(wall_ms.saturating_sub(self.wall_ms)) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_deadline_is_the_same_moment_after_a_restart() {
        let (before, after) = (Epoch::new(1_000_000), Epoch::new(1_600_000));
        let wall = before.to_wall(Time::from_millis(700_000));
        assert_eq!(wall, 1_700_000);
        assert_eq!(after.to_time(wall), Time::from_millis(100_000));
    }

    #[test]
    fn what_ran_out_in_between_has_passed() {
        let (before, after) = (Epoch::new(1_000_000), Epoch::new(1_600_000));
        let time = after.to_time(before.to_wall(Time::from_millis(1)));
        assert!(time == Time::ZERO && Time::ZERO.has_passed(time));
    }

    #[test]
    fn never_stays_never_and_nothing_else_becomes_it() {
        let epoch = Epoch::new(1_000_000);
        assert_eq!(epoch.to_time(epoch.to_wall(Time::NEVER)), Time::NEVER);
        assert_eq!(epoch.to_time(epoch.to_wall(Time::from_millis(u64::MAX - 1))), Time::NEVER, "too far for a number");
        assert_eq!(Epoch::new(0).to_wall(Time::ZERO), 1, "zero is taken");
    }
}
