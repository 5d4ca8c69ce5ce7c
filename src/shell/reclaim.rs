//! When a shard goes over all that it holds and notes it again, and which segments are dead afterwards.
//!
//! The log of a shard grows by what happens, whatever of it still holds. Once it is about twice as large as what it would be if only
//! that were noted, a sweep begins; when its last word is on the device, every segment that ends before its first one is dead. So a
//! log is as large as twice what holds, and three times while a sweep is under way. While as much holds as before, a sweep writes no
//! more than what was written since the one before; when less does, one more sweep comes each time that half of it has gone.
//!
//! How much holds is known for sure at the end of a sweep only. From there it is followed by numbers: if half as many things are held,
//! half as many bytes are; if more are, each takes what those take that have come since.

use std::collections::VecDeque;

use crate::engine::change::Serial;

/// Below so many segments nobody counts.
const SEGMENTS_MIN: u64 = 2;

/// A segment of the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span {
    /// The segment.
    pub number: u64,
    /// No change in it has a lower number.
    pub first: Serial,
    /// Bytes that are used of it.
    pub bytes: u64,
}

/// A sweep that is over, and not safe yet.
#[derive(Clone, Copy, Debug)]
struct Over {
    /// What was noted up to here is superfluous,
    began: Serial,
    /// once this is safe.
    upto: Serial,
}

/// What was noted in some time: how many bytes of records, and how many of them tell of something that is held from then on.
#[derive(Clone, Copy, Debug, Default)]
struct Amount {
    bytes: u64,
    births: u64,
}

/// The log of one shard as far as its size goes. One per shard that has a journal.
#[derive(Debug)]
pub struct Reclaim {
    segment_bytes: u64,
    /// The log, oldest first.
    spans: VecDeque<Span>,
    log_bytes: u64,
    /// Bytes of its files, as far as they are in use.
    disk_bytes: u64,
    /// What the last sweep has told, and how much was held then.
    swept_bytes: u64,
    held_then: u64,
    /// What was noted since, sweeps not counted.
    since: Amount,
    /// What the present sweep has told so far.
    sweeping: Option<u64>,
    over: Option<Over>,
    /// Sweeps that are over.
    pub sweeps: u64,
    /// Bytes that they have told.
    pub told_bytes: u64,
    /// Segments that were found dead.
    pub dead_segments: u64,
}

impl Reclaim {
    /// A log of these segments, in which so much tells of something that is held.
    pub fn new(segment_bytes: u64, spans: Vec<Span>, births: u64) -> Self {
        let log_bytes = spans.iter().map(|span| span.bytes).sum();
        let disk_bytes = spans.iter().map(|span| span.bytes.max(segment_bytes)).sum();
        Self {
            segment_bytes,
            spans: spans.into(),
            log_bytes,
            disk_bytes,
            swept_bytes: 0,
            held_then: 0,
            since: Amount { bytes: log_bytes, births },
            sweeping: None,
            over: None,
            sweeps: 0,
            told_bytes: 0,
            dead_segments: 0,
        }
    }

    /// Bytes of the log.
    pub fn log_bytes(&self) -> u64 {
        self.log_bytes
    }

    /// Bytes of its files: no other one begins before one is as full as it can be.
    pub fn disk_bytes(&self) -> u64 {
        self.disk_bytes
    }

    /// Segments of the log.
    pub fn segments(&self) -> usize {
        self.spans.len()
    }

    /// How many bytes hold, as far as it is known, if so many things are held.
    pub fn live_bytes(&self, held: u64) -> u64 {
        let share = |bytes: u64, part: u64, of: u64| {
            let bytes = u128::from(bytes) * u128::from(part.min(of)) / u128::from(of.max(1));
            u64::try_from(bytes).expect("a part is no more than the whole")
        };
        let of_before = share(self.swept_bytes, held, self.held_then);
        let of_since = share(self.since.bytes, held.saturating_sub(self.held_then), self.since.births);
        of_before + of_since
    }

    /// Something has happened and was noted.
    pub fn noted(&mut self, bytes: usize, births: u64) {
        self.since.bytes += bytes as u64;
        self.since.births += births;
    }

    /// Whether a sweep goes on, or one is to begin.
    pub fn wants_sweep(&self, held: u64) -> bool {
        let is_large = || self.log_bytes >= 2 * self.live_bytes(held) + SEGMENTS_MIN * self.segment_bytes;
        self.sweeping.is_some() || self.over.is_none() && is_large()
    }

    /// Whether a sweep would make room, where there is none for anything new.
    pub fn can_gain(&self) -> bool {
        self.sweeping.is_some() || self.over.is_none() && self.spans.len() > 1 && self.since.bytes > 0
    }

    /// Whether it would be worth its while: it makes room for a segment, and for half of what it writes.
    pub fn is_worthwhile(&self, held: u64) -> bool {
        let live = self.live_bytes(held);
        self.sweeping.is_some() || self.log_bytes >= live + (live / 2).max(self.segment_bytes)
    }

    /// How many bytes a sweep has still to tell before what is dead can go.
    pub fn untold_bytes(&self, held: u64) -> u64 {
        match (self.over, self.sweeping) {
            (Some(_), _) => 0,
            (None, told) => self.live_bytes(held).saturating_sub(told.unwrap_or(0)),
        }
    }

    /// Whether one is under way.
    pub fn is_sweeping(&self) -> bool {
        self.sweeping.is_some()
    }

    /// A sweep has told so much more.
    pub fn told(&mut self, bytes: usize) {
        *self.sweeping.get_or_insert(0) += bytes as u64;
        self.told_bytes += bytes as u64;
    }

    /// The sweep is over, which began behind this change and ended with that one, and so much is held.
    pub fn is_over(&mut self, began: Serial, upto: Serial, held: u64) {
        self.sweeps += 1;
        self.swept_bytes = self.sweeping.take().unwrap_or(0);
        self.held_then = held;
        self.since = Amount::default();
        self.over = Some(Over { began, upto });
    }

    /// A write has ended: so many bytes more in this segment, of which the first change may have this number.
    pub fn written(&mut self, number: u64, first: Serial, bytes: u64) {
        self.log_bytes += bytes;
        let segment_bytes = self.segment_bytes;
        if let Some(span) = self.spans.back_mut().filter(|span| span.number == number) {
            let before = span.bytes.max(segment_bytes);
            span.bytes += bytes;
            self.disk_bytes += span.bytes.max(segment_bytes) - before;
        } else {
            self.spans.push_back(Span { number, first, bytes });
            self.disk_bytes += bytes.max(segment_bytes);
        }
    }

    /// Everything up to here is on the device. The next segment that is dead now, oldest first.
    pub fn next_dead(&mut self, durable: Serial) -> Option<u64> {
        let began = self.over.filter(|over| over.upto <= durable)?.began;
        let is_dead = self.spans.get(1).is_some_and(|next| next.first <= began.next());
        let Some(dead) = self.spans.pop_front_if(|_| is_dead) else {
            self.over = None;
            return None;
        };
        self.log_bytes -= dead.bytes;
        self.disk_bytes -= dead.bytes.max(self.segment_bytes);
        self.dead_segments += 1;
        Some(dead.number)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SEGMENT: u64 = 1_000;

    fn serial(number: u64) -> Serial {
        Serial::new(number)
    }

    fn fresh() -> Reclaim {
        Reclaim::new(SEGMENT, Vec::new(), 0)
    }

    /// Notes so many things of a hundred bytes, ten in a segment.
    fn fill(log: &mut Reclaim, numbers: std::ops::Range<u64>) {
        for number in numbers {
            log.noted(100, 1);
            log.written(number / 10, serial(number), 100);
        }
    }

    fn dead(log: &mut Reclaim, durable: u64) -> Vec<u64> {
        std::iter::from_fn(|| log.next_dead(serial(durable))).collect()
    }

    #[test]
    fn a_log_of_what_holds_is_left_alone() {
        let mut log = fresh();
        for tenth in 0..100 {
            fill(&mut log, tenth * 10..tenth * 10 + 10);
            assert!(!log.wants_sweep(tenth * 10 + 10), "everything is held");
        }
        assert_eq!((log.live_bytes(1_000), log.log_bytes(), log.segments()), (100_000, 100_000, 100));
    }

    #[test]
    fn a_sweep_begins_when_the_log_is_twice_what_holds() {
        let mut log = fresh();
        fill(&mut log, 0..100);
        assert!(!log.wants_sweep(41));
        assert!(log.wants_sweep(40));
        assert!(log.wants_sweep(0));
        let mut small = fresh();
        fill(&mut small, 0..19);
        assert!(!small.wants_sweep(0), "a small log may be what it is");
    }

    #[test]
    fn what_was_written_before_a_sweep_is_dead_when_its_end_is_safe() {
        let mut log = fresh();
        fill(&mut log, 0..95);
        log.told(500);
        assert!(log.wants_sweep(95), "one that has begun goes on");
        log.written(9, serial(95), 500);
        log.written(10, serial(97), 100);
        log.is_over(serial(94), serial(98), 5);
        assert!(dead(&mut log, 97).is_empty(), "its end is not safe");
        assert!(!log.wants_sweep(0), "one after the other");
        assert_eq!(dead(&mut log, 98), [0, 1, 2, 3, 4, 5, 6, 7, 8]);
        // The ninth segment holds what the sweep has told.
        assert_eq!((log.segments(), log.log_bytes(), log.sweeps, log.dead_segments), (2, 1_100, 1, 9));
        assert!(dead(&mut log, 1_000).is_empty());
    }

    #[test]
    fn a_segment_that_begins_with_the_sweep_is_kept_and_the_one_before_is_not() {
        let mut log = fresh();
        fill(&mut log, 0..20);
        log.told(100);
        log.written(2, serial(20), 100);
        log.is_over(serial(19), serial(20), 1);
        assert_eq!(dead(&mut log, 20), [0, 1]);
    }

    #[test]
    fn a_sweep_that_is_pressed_for_gains_a_segment_and_half_of_what_it_writes() {
        let mut log = fresh();
        fill(&mut log, 0..10);
        assert!(log.is_worthwhile(0) && !log.can_gain(), "the only segment cannot go");
        fill(&mut log, 10..100);
        assert!(log.can_gain() && !log.is_worthwhile(67) && log.is_worthwhile(66));
        assert!(!log.wants_sweep(66), "nobody else would begin one");
        assert_eq!((log.untold_bytes(50), log.disk_bytes()), (5_000, 10_000));
        log.told(2_000);
        assert!(log.can_gain() && log.is_worthwhile(100), "one that has begun goes on");
        assert_eq!(log.untold_bytes(50), 3_000);
        log.written(10, serial(100), 2_000);
        log.is_over(serial(99), serial(100), 20);
        assert_eq!((log.untold_bytes(20), log.can_gain(), log.disk_bytes()), (0, false, 12_000));
        assert_eq!(dead(&mut log, 100).len(), 10);
        assert_eq!((log.untold_bytes(20), log.disk_bytes()), (2_000, 2_000));
        assert!(!log.can_gain(), "everything is known");
    }

    #[test]
    fn a_segment_counts_whole_on_the_disk_and_one_that_is_longer_as_it_is() {
        let mut log = fresh();
        log.written(1, serial(1), 100);
        log.written(1, serial(2), 100);
        assert_eq!((log.disk_bytes(), log.log_bytes()), (1_000, 200));
        log.written(2, serial(3), 5_000);
        log.written(3, serial(4), 100);
        assert_eq!((log.disk_bytes(), log.log_bytes()), (7_000, 5_300));
        log.told(100);
        log.is_over(serial(3), serial(4), 1);
        assert_eq!((dead(&mut log, 4), log.disk_bytes()), (vec![1, 2], 1_000));
    }

    #[test]
    fn what_is_held_is_followed_by_numbers() {
        let mut log = fresh();
        fill(&mut log, 0..100);
        log.told(3_000);
        log.is_over(serial(99), serial(100), 30);
        assert_eq!(log.live_bytes(30), 3_000);
        assert_eq!(log.live_bytes(15), 1_500);
        assert_eq!(log.live_bytes(40), 3_000, "nobody knows better");
        log.noted(1_000, 5);
        assert_eq!((log.live_bytes(31), log.live_bytes(35), log.live_bytes(90)), (3_200, 4_000, 4_000));
    }

    #[test]
    fn the_log_of_a_restart_is_taken_for_what_it_tells() {
        let spans = (0..10).map(|number| Span { number, first: serial(number), bytes: SEGMENT }).collect();
        let log = Reclaim::new(SEGMENT, spans, 100);
        assert_eq!((log.live_bytes(50), log.live_bytes(100)), (5_000, 10_000));
        assert!(log.wants_sweep(40) && !log.wants_sweep(41));
    }
}
