//! Those who wait for something that takes time, each with a deadline: who cannot be served before it is turned away at once.
//!
//! A line that is served in its order, and is longer than the patience of those in it, serves everybody too late. So whoever comes is told
//! at once if his turn would come behind his deadline, by the pace at which the line has moved of late; and whoever waits is told as soon as
//! it turns out. Who is in it is served in time, and who is not may come again with a fresh deadline.
//!
//! There are two ranks. The first goes before the second, but for every eighth turn, which is the second's: nobody can keep it
//! waiting for ever by claiming to be of the first. So whoever is turned away is of the second rank as long as there is one.

use std::collections::VecDeque;

use super::time::Time;

/// Turns of the first rank for one of the second, where both wait.
const FIRST_TURNS: usize = 7;
/// How long the pace is measured before it is believed.
const WINDOW_MS: u64 = 100;
/// How often those who wait are gone through.
const REVIEW_MS: u64 = 100;
/// When nobody has waited for so long, all in all, since something was measured, it says nothing any more: those few who are let in by a pace
/// that is much too slow may never wait for long enough to measure another one.
const REST_MS: u64 = 10_000;
/// One of so many places is left to the second rank by the first: as many as there are turns that are the second's.
const SECONDS_PLACES: usize = FIRST_TURNS + 1;
/// What of earlier windows still counts beside the last one: seven eighths of what counted then. So the pace is that of most of a second, and a
/// machine that stood still for a moment makes nobody late.
const FADING: (u64, u64) = (7, 8);
/// Times and turns are counted so much finer than they come, since they fade.
const SCALE: u64 = 1_024;

/// Who goes before whom.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rank {
    /// Those who have been here before.
    First,
    /// All others.
    Second,
}

/// Why somebody is turned away.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// His turn would come too late.
    Late,
    /// As many wait as may.
    Full,
}

/// Somebody who is turned away, and why.
pub type Refused<T> = (T, Refusal);

/// A line. One per shard and thing that is waited for.
#[derive(Debug)]
pub struct Waiting<T> {
    first: VecDeque<Entry<T>>,
    second: VecDeque<Entry<T>>,
    /// Turns of the first rank since one of the second.
    first_turns: usize,
    max: usize,
    pace: Pace,
    reviewed_at: Time,
}

#[derive(Debug)]
struct Entry<T> {
    what: T,
    since: Time,
    by: Time,
}

/// How fast a line moves while somebody waits.
#[derive(Debug, Default)]
struct Pace {
    /// Milliseconds in which somebody waited, and the turns that were had in them; both fade. None until they were measured.
    busy_ms: u64,
    had: u64,
    /// The same since then, not yet enough to be believed; the line may have been empty in between.
    open_ms: u64,
    turns: u64,
    /// When the last turn was had, or somebody began to wait.
    last: Time,
    /// Nobody has had a turn since somebody began to wait.
    is_first: bool,
    /// For how long nobody has waited since something was measured.
    rested_ms: u64,
}

impl<T> Waiting<T> {
    /// A line with room for so many.
    pub fn new(max: usize) -> Self {
        Self {
            first: VecDeque::new(),
            second: VecDeque::new(),
            first_turns: 0,
            max,
            pace: Pace::default(),
            reviewed_at: Time::ZERO,
        }
    }

    /// How many wait.
    pub fn len(&self) -> usize {
        self.first.len() + self.second.len()
    }

    /// Whether nobody waits.
    pub fn is_empty(&self) -> bool {
        self.first.is_empty() && self.second.is_empty()
    }

    /// Since when the one waits who waits longest.
    pub fn oldest(&self) -> Option<Time> {
        [self.first.front(), self.second.front()].into_iter().flatten().map(|entry| entry.since).min()
    }

    /// Somebody comes who has to have had his turn before `by`. Whoever is turned away because of that stands behind `refused` then.
    pub fn push(&mut self, what: T, rank: Rank, by: Time, now: Time, refused: &mut Vec<Refused<T>>) {
        self.review(now, refused);
        if self.is_empty() {
            self.pace.begin(now);
        }
        if !self.has_time(rank, by, now) {
            return refused.push((what, Refusal::Late));
        }
        if self.is_full_for(rank) {
            return refused.push((what, Refusal::Full));
        }
        // There is somebody of the second rank then. The last goes, who has waited least.
        if self.len() >= self.max
            && let Some(entry) = self.second.pop_back()
        {
            refused.push((entry.what, Refusal::Full));
        }
        let entry = Entry { what, since: now, by };
        match rank {
            Rank::First => self.first.push_back(entry),
            Rank::Second => self.second.push_back(entry),
        }
    }

    /// Whether somebody who came now would have his turn before `by`.
    pub fn has_time(&self, rank: Rank, by: Time, now: Time) -> bool {
        let ahead = match rank {
            Rank::First => self.ahead_of_first(self.first.len()),
            Rank::Second => self.ahead_of_second(self.second.len()),
        };
        self.pace.turn_comes_at(ahead, now) <= by
    }

    /// Whether nobody else of this rank may wait. The second has its part of the places as it has its part of the turns: otherwise the first
    /// could fill the line, and nobody of the second would be there when it is his turn.
    fn is_full_for(&self, rank: Rank) -> bool {
        match rank {
            Rank::First => self.first.len() >= self.max - self.max / SECONDS_PLACES,
            Rank::Second => self.len() >= self.max,
        }
    }

    /// Whose turn it is, and he has it.
    pub fn take(&mut self, now: Time, refused: &mut Vec<Refused<T>>) -> Option<T> {
        let next = self.next(now, refused)?;
        self.had_turn(now);
        Some(next)
    }

    /// Who is next. Where he is still here he [has his turn](Self::had_turn); who has gone takes no time, and says nothing about how fast the
    /// line moves.
    pub fn next(&mut self, now: Time, refused: &mut Vec<Refused<T>>) -> Option<T> {
        self.review(now, refused);
        let is_seconds = self.first.is_empty() || (self.first_turns >= FIRST_TURNS && !self.second.is_empty());
        let entry = if is_seconds { self.second.pop_front() } else { self.first.pop_front() };
        self.first_turns = if is_seconds { 0 } else { self.first_turns + 1 };
        entry.map(|entry| entry.what)
    }

    /// The one who was next has had his turn.
    pub fn had_turn(&mut self, now: Time) {
        self.pace.note_turn(now);
    }

    /// Turns away whose turn would come too late, as it looks now.
    fn review(&mut self, now: Time, refused: &mut Vec<Refused<T>>) {
        if now.since_ms(self.reviewed_at) < REVIEW_MS {
            return;
        }
        self.reviewed_at = now;
        for rank in [Rank::First, Rank::Second] {
            let line = match rank {
                Rank::First => std::mem::take(&mut self.first),
                Rank::Second => std::mem::take(&mut self.second),
            };
            let mut kept = VecDeque::with_capacity(line.len());
            for entry in line {
                // Those who have gone make place for those behind them.
                let ahead = match rank {
                    Rank::First => kept.len() + self.second.len().min(kept.len() / FIRST_TURNS),
                    Rank::Second => self.ahead_of_second(kept.len()),
                };
                if self.pace.turn_comes_at(ahead, now) > entry.by {
                    refused.push((entry.what, Refusal::Late));
                } else {
                    kept.push_back(entry);
                }
            }
            match rank {
                Rank::First => self.first = kept,
                Rank::Second => self.second = kept,
            }
        }
    }

    /// How many turns come before this place of the first rank.
    fn ahead_of_first(&self, place: usize) -> usize {
        place + self.second.len().min(place / FIRST_TURNS)
    }

    /// How many turns come before this place of the second rank.
    fn ahead_of_second(&self, place: usize) -> usize {
        place + self.first.len().min((place + 1) * FIRST_TURNS)
    }
}

impl Pace {
    /// Somebody waits again.
    fn begin(&mut self, now: Time) {
        self.rested_ms = self.rested_ms.saturating_add(now.since_ms(self.last));
        if self.rested_ms >= REST_MS {
            *self = Self::default();
        }
        (self.last, self.is_first) = (now, true);
    }

    fn note_turn(&mut self, now: Time) {
        let took_ms = now.since_ms(self.last);
        // Who did not have to wait does not show how long it takes.
        self.turns += u64::from(!self.is_first || took_ms > 0);
        self.open_ms = self.open_ms.saturating_add(took_ms);
        (self.last, self.is_first) = (now, false);
        if self.open_ms >= WINDOW_MS {
            let (part, whole) = FADING;
            self.busy_ms = (self.busy_ms / whole * part).saturating_add(self.open_ms.saturating_mul(SCALE));
            self.had = self.had * part / whole + self.turns * SCALE;
            (self.open_ms, self.turns, self.rested_ms) = (0, 0, 0);
        }
    }

    /// When the one has his turn before whom so many have theirs: at once where nobody is before him, however slow the line was.
    fn turn_comes_at(&self, ahead: usize, now: Time) -> Time {
        now.after_ms(self.busy_ms.saturating_mul(ahead as u64) / self.had.max(1))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A line under an invented clock.
    struct Line {
        waiting: Waiting<u32>,
        now: Time,
        refused: Vec<Refused<u32>>,
    }

    impl Line {
        fn new(max: usize) -> Self {
            Self { waiting: Waiting::new(max), now: Time::from_millis(1_000), refused: Vec::new() }
        }

        fn push(&mut self, what: u32, rank: Rank, patience_ms: u64) {
            self.waiting.push(what, rank, self.now.after_ms(patience_ms), self.now, &mut self.refused);
        }

        fn take(&mut self) -> Option<u32> {
            self.waiting.take(self.now, &mut self.refused)
        }

        /// A turn each so many milliseconds, until so many were had; what was taken.
        fn serve(&mut self, turns: usize, each_ms: u64) -> Vec<u32> {
            let mut taken = Vec::new();
            for _ in 0..turns {
                self.now = self.now.after_ms(each_ms);
                taken.extend(self.take());
            }
            taken
        }
    }

    #[test]
    fn whoever_waits_is_served_in_order() {
        let mut line = Line::new(10);
        (0..5).for_each(|who| line.push(who, Rank::Second, 1_000));
        assert_eq!(line.waiting.oldest(), Some(line.now));
        assert_eq!(line.serve(6, 10), [0, 1, 2, 3, 4]);
        assert!(line.waiting.is_empty() && line.refused.is_empty());
        assert_eq!(line.waiting.oldest(), None);
    }

    #[test]
    fn the_first_rank_goes_before_the_second_but_not_always() {
        let mut line = Line::new(100);
        (0..3).for_each(|who| line.push(who, Rank::Second, 60_000));
        (10..24).for_each(|who| line.push(who, Rank::First, 60_000));
        let taken = line.serve(17, 1);
        assert_eq!(taken[..9], [10, 11, 12, 13, 14, 15, 16, 0, 17]);
        assert_eq!(taken[15..], [1, 2]);
    }

    #[test]
    fn who_is_in_a_line_that_has_been_measured_is_served_before_his_deadline() {
        let mut line = Line::new(10_000);
        let (mut served, mut came, mut late) = (0, 0, 0);
        let mut deadlines = Vec::new();
        // Ten times as many come as can be served, at 20 ms each and a patience of 2 s.
        for ms in 0..30_000 {
            line.now = Time::from_millis(1_000 + ms);
            if ms % 2 == 0 {
                deadlines.push(line.now.after_ms(2_000));
                line.push(came, Rank::Second, 2_000);
                came += 1;
            }
            if ms % 20 == 0
                && let Some(who) = line.take()
            {
                served += 1;
                late += u32::from(line.now > deadlines[who as usize]);
            }
        }
        assert_eq!((served, late), (1_500, 0));
        assert!(line.waiting.len() <= 101, "nobody waits whose turn comes too late: {}", line.waiting.len());
        assert!(line.refused.iter().all(|(_, why)| *why == Refusal::Late));
    }

    #[test]
    fn who_came_before_the_pace_was_known_is_turned_away_as_soon_as_it_is() {
        let mut line = Line::new(10_000);
        (0..1_000).for_each(|who| line.push(who, Rank::Second, 1_000));
        assert!(line.refused.is_empty(), "nothing is known yet");
        line.serve(12, 10);
        let last = line.now;
        line.serve(10, 10);
        assert!((890..=910).contains(&line.refused.len()), "{} of 1,000 at 10 ms each", line.refused.len());
        assert!(line.refused.iter().all(|(who, _)| *who > 90), "those in front stay");
        assert!(last.as_millis() < 1_200, "long before their deadlines");
    }

    #[test]
    fn a_full_line_turns_away_the_second_rank_and_its_last_first() {
        let mut line = Line::new(3);
        (0..3).for_each(|who| line.push(who, Rank::Second, 1_000));
        line.push(3, Rank::Second, 1_000);
        line.push(10, Rank::First, 1_000);
        line.push(11, Rank::First, 1_000);
        assert_eq!(line.refused, [(3, Refusal::Full), (2, Refusal::Full), (1, Refusal::Full)]);
        line.push(12, Rank::First, 1_000);
        line.push(13, Rank::First, 1_000);
        assert_eq!(line.refused[3..], [(0, Refusal::Full), (13, Refusal::Full)]);
        assert_eq!(line.serve(4, 1), [10, 11, 12]);
    }

    #[test]
    fn the_first_rank_leaves_the_second_its_part_of_a_line() {
        let mut line = Line::new(16);
        (0..16).for_each(|who| line.push(who, Rank::Second, 60_000));
        (100..120).for_each(|who| line.push(who, Rank::First, 60_000));
        let firsts = line.refused.iter().filter(|(who, _)| *who >= 100).count();
        assert_eq!((line.refused.len(), firsts), (20, 6), "fourteen found a place");
        assert!(line.refused.iter().all(|(_, why)| *why == Refusal::Full));
        assert_eq!(line.serve(16, 1)[6..9], [106, 0, 107], "the eighth turn is the second's");

        (100..120).for_each(|who| line.push(who, Rank::First, 60_000));
        (0..4).for_each(|who| line.push(who, Rank::Second, 60_000));
        assert_eq!(line.waiting.len(), 16, "who comes late of the second finds its places free");
        assert!(line.serve(16, 1).contains(&1));
    }

    #[test]
    fn who_is_pushed_back_by_the_first_rank_hears_it_before_his_deadline() {
        let mut line = Line::new(10_000);
        (0..50).for_each(|who| line.push(who, Rank::Second, 1_000));
        line.serve(20, 10); // the pace is known
        (100..200).for_each(|who| line.push(who, Rank::First, 1_000));
        line.serve(20, 10);
        assert!(!line.refused.is_empty());
        assert!(line.refused.iter().any(|(who, _)| *who < 100), "the second rank has no time left");
    }

    #[test]
    fn what_was_measured_long_ago_turns_nobody_away() {
        let mut line = Line::new(10_000);
        (0..100).for_each(|who| line.push(who, Rank::Second, 10_000));
        line.serve(100, 50);
        line.push(100, Rank::Second, 40);
        assert!(line.refused.is_empty(), "nobody is before it");
        line.push(101, Rank::Second, 40);
        assert_eq!(line.refused, [(101, Refusal::Late)], "the last ones took 50 ms each");
        line.refused.clear();
        line.serve(1, 1);
        line.now = line.now.after_ms(REST_MS);
        (200..210).for_each(|who| line.push(who, Rank::Second, 40));
        assert_eq!((line.serve(10, 1).len(), line.refused.len()), (10, 0));
    }

    /// A line that was slow, and then serves bursts fast: how many are turned away of each burst.
    fn refused_of_bursts((slow_ms, fast_ms): (u64, u64), size: u32, every_ms: u64, patience_ms: u64) -> Vec<usize> {
        let mut line = Line::new(10_000);
        (0..40).for_each(|who| line.push(who, Rank::Second, 3_600_000));
        assert_eq!(line.serve(40, slow_ms).len(), 40);
        let mut bursts = Vec::new();
        for _ in 0..30 {
            let next = line.now.after_ms(every_ms);
            (0..size).for_each(|who| line.push(who, Rank::Second, patience_ms));
            while !line.waiting.is_empty() {
                line.serve(1, fast_ms);
            }
            bursts.push(std::mem::take(&mut line.refused).len());
            line.now = line.now.max(next);
        }
        bursts
    }

    #[test]
    fn a_slow_spell_is_forgotten_although_few_are_let_in_by_its_pace() {
        // The slow pace and the real one, how many come in a burst, how often, and how long they wait at most.
        for (pace, size, every_ms, patience_ms) in [
            ((1_000, 10), 50, 2_000, 8_750),
            ((1_000, 10), 50, 200, 8_750),
            ((10_000, 10), 5, 2_000, 8_750),
            ((90, 1), 400, 2_000, 7_500),
            ((1_000, 0), 50, 2_000, 8_750),
        ] {
            let bursts = refused_of_bursts(pace, size, every_ms, patience_ms);
            assert!(bursts[0] > 0, "{pace:?}: {bursts:?}");
            assert_eq!(bursts[8..].iter().sum::<usize>(), 0, "{pace:?}: {bursts:?}");
        }
    }

    #[test]
    fn who_did_not_have_to_wait_makes_nobody_believe_that_the_line_is_fast() {
        let mut line = Line::new(10_000);
        for who in 0..1_000 {
            line.push(who, Rank::Second, 1_000);
            assert_eq!(line.serve(1, 0), [who]);
            line.now = line.now.after_ms(1);
        }
        (0..1_000).for_each(|who| line.push(who, Rank::Second, 1_000));
        line.serve(4, 50);
        line.serve(1, 100);
        assert!(line.waiting.len() < 30, "{} wait, and 20 have time", line.waiting.len());
    }

    #[test]
    fn those_who_have_gone_do_not_make_the_line_look_fast() {
        let mut line = Line::new(10_000);
        (0..1_000).for_each(|who| line.push(who, Rank::Second, 3_600_000));
        line.serve(20, 50);
        while line.waiting.next(line.now, &mut line.refused).is_some() {}
        for patience_ms in [1_000, 1_000] {
            (0..1_000).for_each(|who| line.push(who, Rank::Second, patience_ms));
            assert!(line.waiting.len() <= 22, "{} wait, and 20 have time", line.waiting.len());
            line.serve(4, 50);
        }
    }

    #[test]
    fn a_machine_that_stands_still_for_a_moment_makes_nobody_late() {
        let mut line = Line::new(10_000);
        (0..4_000).for_each(|who| line.push(who, Rank::Second, 8_000));
        line.serve(1_000, 1);
        line.serve(1, 200);
        line.serve(500, 1);
        assert!(line.refused.is_empty(), "{} were turned away", line.refused.len());
    }

    #[test]
    fn a_rest_is_no_part_of_the_pace() {
        let mut line = Line::new(10);
        for who in 0..10 {
            line.push(who, Rank::Second, 100);
            assert_eq!(line.serve(1, 60_000), [who; 0], "its deadline has passed");
        }
        line.refused.clear();
        line.push(100, Rank::Second, 100);
        assert_eq!((line.serve(1, 1), line.refused.len()), (vec![100], 0));
    }
}
