//! A point in time as people and machines read it: RFC 3339, in UTC.

use std::fmt;

use crate::base::time::Time;

const DAY_S: u64 = 86_400;
/// Days of four hundred years, after which the calendar begins anew.
const ERA_DAYS: u64 = 146_097;
/// Days from the first of March of the year 0 to the beginning of 1970.
const DAYS_BEFORE_1970: u64 = 719_468;

/// Milliseconds since 1970.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Moment(u64);

impl Moment {
    /// The moment of a time that counts from 1970; none for never.
    pub fn of(time: Time) -> Option<Self> {
        (!time.is_never()).then(|| Self(time.as_millis()))
    }
}

impl fmt::Display for Moment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (seconds, ms) = (self.0 / 1_000, self.0 % 1_000);
        let (year, month, day) = date(seconds / DAY_S);
        let (hour, minute, second) = (seconds % DAY_S / 3_600, seconds % 3_600 / 60, seconds % 60);
        write!(f, "{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{ms:03}Z")
    }
}

/// Year, month and day of a day since 1970. Years are counted from March, so that a leap day is the last one.
const fn date(day: u64) -> (u64, u64, u64) {
    let days = day + DAYS_BEFORE_1970;
    let (era, day) = (days / ERA_DAYS, days % ERA_DAYS);
    let year = (day - day / 1_460 + day / 36_524 - day / 146_096) / 365;
    let day = day - (365 * year + year / 4 - year / 100);
    let month = (5 * day + 2) / 153;
    let day = day - (153 * month + 2) / 5 + 1;
    let is_next_year = month >= 10;
    let month = if is_next_year { month - 9 } else { month + 3 };
    (400 * era + year + if is_next_year { 1 } else { 0 }, month, day)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(ms: u64) -> String {
        Moment(ms).to_string()
    }

    #[test]
    fn moments_are_written_as_others_write_them() {
        // By `date -u -d @SECONDS +%FT%TZ`.
        assert_eq!(text(0), "1970-01-01T00:00:00.000Z");
        assert_eq!(text(951_782_400_000), "2000-02-29T00:00:00.000Z");
        assert_eq!(text(951_868_800_000), "2000-03-01T00:00:00.000Z");
        assert_eq!(text(1_700_000_000_007), "2023-11-14T22:13:20.007Z");
        assert_eq!(text(4_107_542_399_999), "2100-02-28T23:59:59.999Z");
        assert_eq!(text(4_107_542_400_000), "2100-03-01T00:00:00.000Z");
        assert_eq!(text(253_402_300_799_000), "9999-12-31T23:59:59.000Z");
    }

    #[test]
    fn every_day_follows_the_one_before() {
        let mut before = date(0);
        for day in 1..200_000 {
            let (year, month, number) = date(day);
            let is_next_day = (year, month, number) == (before.0, before.1, before.2 + 1);
            let is_next_month = number == 1 && before.2 >= 28 && (year, month) == (before.0, before.1 + 1);
            let is_next_year = (number, month, before.1, before.2) == (1, 1, 12, 31) && year == before.0 + 1;
            assert!(is_next_day || is_next_month || is_next_year, "{before:?} {:?}", (year, month, number));
            before = (year, month, number);
        }
    }

    #[test]
    fn never_is_no_moment() {
        assert_eq!(Moment::of(Time::NEVER), None);
        assert_eq!(Moment::of(Time::from_millis(5)), Some(Moment(5)));
    }
}
