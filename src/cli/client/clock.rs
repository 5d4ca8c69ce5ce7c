//! The time of the command line's own client: milliseconds since its first look at the clock.

use std::sync::LazyLock;
use std::time::Instant;

use crate::base::time::Time;

#[expect(clippy::disallowed_methods, reason = "the tools for a shell have a clock of their own: no shard runs here")]
static START: LazyLock<Instant> = LazyLock::new(Instant::now);

/// The time of now.
#[expect(clippy::disallowed_methods, reason = "the one place that reads it")]
pub fn now() -> Time {
    Time::from_millis(u64::try_from(START.elapsed().as_millis()).unwrap_or(u64::MAX))
}
