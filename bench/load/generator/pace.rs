//! When a publisher may send: the closed loop, the fixed rate, the flood.

/// Parts of a nanosecond in which the interval between two messages is kept, so that a rate is hit exactly enough.
const PARTS: u64 = 1_024;

/// What makes publishers send.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pace {
    /// At most so many messages of a publisher are on their way to its subscribers.
    Closed {
        /// Sent and not arrived, for each publisher.
        in_flight: u64,
    },
    /// All publishers together follow a plan, in turns, whatever the broker does.
    Fixed(Rate),
    /// As fast as the socket takes it.
    Flood,
}

/// The plan of a fixed rate: message `n` of publisher `p` is the `(n × publishers + p)`-th of all.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate {
    interval_parts: u64,
    publishers: u64,
}

impl Rate {
    /// So many messages a second over all publishers.
    pub fn new(per_second: u64, publishers: u64) -> Self {
        Rate { interval_parts: (1_000_000_000 * PARTS / per_second).max(1), publishers }
    }

    /// Messages a second over all publishers.
    pub fn per_second(self) -> u64 {
        1_000_000_000 * PARTS / self.interval_parts
    }

    /// When this message is meant to leave, in nanoseconds since the start of the plan.
    #[inline]
    pub fn due_ns(self, publisher: u64, sequence: u64) -> u64 {
        (sequence * self.publishers + publisher) * self.interval_parts / PARTS
    }

    /// How many messages of a publisher are due by now.
    #[inline]
    pub fn due_count(self, publisher: u64, since_start_ns: u64) -> u64 {
        // n is due when (n × publishers + publisher) × interval ≤ since_start.
        let slots = (since_start_ns * PARTS + PARTS - 1) / self.interval_parts;
        if slots < publisher { 0 } else { (slots - publisher) / self.publishers + 1 }
    }
}
