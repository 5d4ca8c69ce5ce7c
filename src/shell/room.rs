//! How much room the journal of a shard has: what waits, what lies there, what the operator allows.
//!
//! A bound on the bytes of all logs is divided among the shards. Of its part a shard takes new work only as long as a sweep would fit
//! beside the log, so that the way back never needs more than the bound: what holds is told once more before what is dead can go. So what
//! holds takes up to nearly half of the part, and the log with its garbage all of it. What was promised is never held up by the bound.

use super::files::writer::{PENDING_BYTES_MAX, State};
use crate::config::Storage;

/// A shard has at least so many segments of its part of the bound: they are made shorter where it would have fewer.
const SEGMENTS_MIN: u64 = 32;
/// Segments that are not filled: the one that is written, the one after it.
const SEGMENTS_AHEAD: u64 = 2;
/// No segment is shorter.
const SEGMENT_BYTES_MIN: u64 = 64 << 10;
/// Once reached, the bound is reached until an eighth of it is free.
const SLACK: u64 = 8;

/// What one shard may take of the disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Allotment {
    /// Bytes of its log, with all that is made ahead of use and spare.
    pub bytes_max: u64,
    /// How long a segment is.
    pub segment_bytes: u64,
}

impl Allotment {
    /// The part of each of so many shards.
    pub fn of(settings: &Storage, shards: usize) -> Self {
        let segment_bytes = settings.segment_bytes;
        if settings.bytes_max == 0 {
            return Self { bytes_max: u64::MAX, segment_bytes };
        }
        let bytes_max = settings.bytes_max.div_ceil(shards as u64).max(SEGMENTS_MIN * SEGMENT_BYTES_MIN);
        let shorter = bytes_max / SEGMENTS_MIN / SEGMENT_BYTES_MIN * SEGMENT_BYTES_MIN;
        Self { bytes_max, segment_bytes: segment_bytes.min(shorter) }
    }

    /// How many segments it has room for.
    pub fn segments_max(&self) -> usize {
        usize::try_from(self.bytes_max / self.segment_bytes).unwrap_or(usize::MAX)
    }

    /// The same bound for people; none where there is none.
    pub fn bound(&self) -> Option<u64> {
        (self.bytes_max < u64::MAX).then_some(self.bytes_max)
    }
}

/// What a shard's journal knows of itself at one moment.
#[derive(Clone, Copy, Debug)]
pub struct Facts {
    /// How its writer stands.
    pub writer: State,
    /// Bytes that wait to be written.
    pub pending_bytes: u64,
    /// Bytes that have their blocks already, and nothing to be written there.
    pub left_bytes: u64,
    /// Bytes of the log's files.
    pub disk_bytes: u64,
    /// How many bytes a sweep would have to write, or has still to, before what is dead can go.
    pub untold_bytes: u64,
}

/// What the journal of one shard has room for, with the memory that keeps it from changing its mind all the time.
#[derive(Clone, Debug)]
pub struct Gauge {
    allotment: Allotment,
    is_crowded: bool,
    is_reached: bool,
    is_near: bool,
}

impl Gauge {
    /// Nothing is there yet.
    pub fn new(allotment: Allotment) -> Self {
        Self { allotment, is_crowded: false, is_reached: false, is_near: false }
    }

    /// How it stands now.
    pub fn look(&mut self, facts: &Facts) -> State {
        let pending_max = PENDING_BYTES_MAX as u64;
        let crowd = if self.is_crowded { pending_max / 2 } else { pending_max };
        self.is_crowded = facts.pending_bytes >= crowd;
        let bytes_max = self.allotment.bytes_max;
        let bound = if self.is_reached { bytes_max - bytes_max / SLACK } else { bytes_max };
        let needed = if self.allotment.bound().is_some() { self.needs_bytes(facts) } else { 0 };
        self.is_reached = needed >= bound;
        self.is_near = needed >= bytes_max / 4 * 3;
        match facts.writer {
            State::Failed => State::Failed,
            State::Full => State::Full,
            State::Open | State::Tight if self.is_reached => State::Full,
            State::Open | State::Tight if self.is_crowded || self.is_spare_touched(facts) => State::Tight,
            State::Open | State::Tight => State::Open,
        }
    }

    /// Whether the operator's bound is reached.
    pub fn is_reached(&self) -> bool {
        self.is_reached
    }

    /// Whether it is near, so that it is time to look for what may go.
    pub fn is_near(&self) -> bool {
        self.is_near
    }

    /// How many bytes there are when what holds has been told once more.
    fn needs_bytes(&self, facts: &Facts) -> u64 {
        let ahead = SEGMENTS_AHEAD * self.allotment.segment_bytes;
        facts.disk_bytes + facts.untold_bytes + 2 * facts.pending_bytes + ahead
    }

    /// Half a segment at least is kept for what must be written when no other can be had: nobody knows that before it was tried.
    fn is_spare_touched(&self, facts: &Facts) -> bool {
        facts.left_bytes < self.allotment.segment_bytes / 2
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: u64 = 1 << 20;

    fn allotment(bytes_max: u64, shards: usize) -> Allotment {
        Allotment::of(&Storage { bytes_max, ..Storage::default() }, shards)
    }

    const QUIET: Facts =
        Facts { writer: State::Open, pending_bytes: 0, left_bytes: 128 * MIB, disk_bytes: 0, untold_bytes: 0 };

    #[test]
    fn the_bound_is_divided_and_segments_suit_their_part() {
        assert_eq!(allotment(0, 4), Allotment { bytes_max: u64::MAX, segment_bytes: 64 * MIB });
        assert_eq!(allotment(16 << 30, 4), Allotment { bytes_max: 4 << 30, segment_bytes: 64 * MIB });
        assert_eq!(allotment(1 << 30, 4), Allotment { bytes_max: 256 * MIB, segment_bytes: 8 * MIB });
        assert_eq!(allotment(10, 3), Allotment { bytes_max: 2 * MIB, segment_bytes: 64 << 10 });
        for (bytes_max, shards) in [(5 * MIB, 2), (123_456_789, 7), (1 << 40, 64)] {
            let Allotment { bytes_max: part, segment_bytes } = allotment(bytes_max, shards);
            assert!(part / segment_bytes >= SEGMENTS_MIN && segment_bytes % SEGMENT_BYTES_MIN == 0);
        }
    }

    #[test]
    fn who_waits_for_the_disk_waits_until_half_of_it_has_gone() {
        let mut gauge = Gauge::new(allotment(0, 1));
        let max = PENDING_BYTES_MAX as u64;
        let mut look = |pending_bytes| gauge.look(&Facts { pending_bytes, ..QUIET });
        assert_eq!(
            [look(max - 1), look(max), look(max / 2), look(max / 2 - 1), look(max / 2)].map(is_tight),
            [false, true, true, false, false]
        );
    }

    fn is_tight(state: State) -> bool {
        assert!(matches!(state, State::Open | State::Tight));
        state == State::Tight
    }

    #[test]
    fn nothing_new_goes_into_the_last_half_segment_before_the_next_one_is_there() {
        let mut gauge = Gauge::new(allotment(0, 1));
        let mut look = |left_bytes, writer| gauge.look(&Facts { writer, left_bytes, ..QUIET });
        assert_eq!(look(32 * MIB, State::Open), State::Open);
        assert_eq!(look(32 * MIB - 1, State::Open), State::Tight);
        assert_eq!(look(32 * MIB - 1, State::Full), State::Full);
        assert_eq!(look(96 * MIB, State::Open), State::Open);
        assert_eq!(look(0, State::Failed), State::Failed);
    }

    #[test]
    fn the_bound_is_reached_when_a_sweep_would_just_fit_and_until_an_eighth_is_free() {
        let allotment = allotment(320 * MIB, 1); // with segments of 10 MiB
        let mut gauge = Gauge::new(allotment);
        let mut look = |disk, live| {
            let facts = Facts { disk_bytes: disk * MIB, untold_bytes: live * MIB, ..QUIET };
            (gauge.look(&facts), gauge.is_reached())
        };
        let (open, full) = ((State::Open, false), (State::Full, true));
        assert_eq!((look(150, 149), look(150, 150)), (open, full), "all of it holds");
        assert_eq!((look(140, 125), look(140, 119)), (full, open));
        assert_eq!((look(299, 0), look(300, 0)), (open, full), "none of it holds");
        assert_eq!((look(260, 0), look(259, 0)), (full, open));
    }
}
