//! The generator's clock: nanoseconds since it was started.

use std::time::Instant;

/// Where the nanoseconds of a run are counted from. Copies of it agree.
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    start: Instant,
}

impl Clock {
    /// A clock that shows zero now.
    #[expect(clippy::disallowed_methods, reason = "the generator is a program of its own and reads its own clock")]
    pub fn start() -> Self {
        Clock { start: Instant::now() }
    }

    /// Nanoseconds since the start: enough for 584 years.
    #[expect(clippy::disallowed_methods, reason = "the one place where the generator reads the time")]
    pub fn now_ns(&self) -> u64 {
        u64::try_from(self.start.elapsed().as_nanos()).unwrap_or(u64::MAX)
    }
}
