//! A timing wheel for millions of deadlines that mostly move on before they come.
//!
//! A keep-alive is touched with every packet and fires almost never. So the owner keeps the true
//! deadline in the object, and touching it means writing that field: the wheel hears nothing. The
//! wheel holds one entry an object, eight bytes, in the slot of the tick when it should next be
//! *looked at*. A look asks the owner, who answers with [`Look`]: gone, fired, or not before a new
//! time. An object that is busy all day costs one look a keep-alive interval.
//!
//! A deadline beyond the horizon (`tick_ms` × `slots`) lands in the furthest slot, is looked at
//! there and put further.
//!
//! ```text
//!              swept             current                     horizon
//!   ticks  ------------------|--------|--------|-- ... --|--------|
//!   slots                       head    head+1             head-1
//! ```
//! Invariants: an entry with tick t lies in slot `head + (t - current)`, where current ≤ t <
//! current + `slots`, and is looked at once now ≥ t × `tick_ms`. Within the horizon t × `tick_ms` ≥
//! deadline > (t - 1) × `tick_ms`: nothing fires early, and at most one tick late.

use super::chains::{Chain, Chains};
use super::time::Time;

/// The owner's answer when an entry is looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Look {
    /// The object is no longer there: the entry goes.
    Gone,
    /// The object has moved its deadline: look again then.
    At(Time),
    /// The deadline had come and the owner has acted: the entry goes.
    Fired,
}

/// What one [`Wheel::advance`] did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub struct Swept {
    /// Entries looked at, at most the budget.
    pub looked: usize,
    /// The budget ended before the work did: call again with the same or a later time.
    pub has_more: bool,
}

/// Deadlines of objects that the owner finds by `K`. One per shard and concern.
///
/// Memory follows the number of entries: slots are lists in [`Chains`]. Within one tick the order
/// is arbitrary, though always the same for the same calls.
#[derive(Clone, Debug)]
pub struct Wheel<K> {
    tick_ms: u64,
    /// The first tick whose slot has not been taken for sweeping.
    current: u64,
    /// The slot of tick `current`.
    head: usize,
    slots: Box<[Chain]>,
    /// What the slot held that is being swept: all due, not yet looked at.
    sweeping: Chain,
    keys: Chains<K>,
    len: usize,
}

impl<K: Copy> Wheel<K> {
    /// A wheel that looks every `tick_ms` and sees `slots` ticks ahead.
    pub fn new(tick_ms: u32, slots: usize) -> Self {
        assert!(tick_ms > 0, "time passes");
        assert!(slots > 0, "a wheel has a slot to put entries in");
        Self {
            tick_ms: u64::from(tick_ms),
            current: 0,
            head: 0,
            slots: vec![Chain::EMPTY; slots].into_boxed_slice(),
            sweeping: Chain::EMPTY,
            keys: Chains::new(),
            len: 0,
        }
    }

    /// Has `key` looked at when `deadline` has come. An object whose deadline only moves later
    /// needs no second entry; one whose deadline moves nearer is scheduled again, and answers
    /// [`Look::Gone`] to the entry it no longer needs.
    pub fn schedule(&mut self, key: K, deadline: Time) {
        self.place(key, deadline, self.current);
        self.len += 1;
    }

    /// Looks at what is due at `now`, at most `budget` entries.
    ///
    /// However far the clock jumps, a call walks over at most `slots` slots and `budget` entries.
    /// It looks at an entry once; twice only if it finds work left over and a jump beyond the
    /// horizon at the same time.
    pub fn advance(&mut self, now: Time, budget: usize, mut look: impl FnMut(K) -> Look) -> Swept {
        debug_assert!(!now.is_never(), "the clock does not reach the end of time");
        let target = now.as_millis() / self.tick_ms;
        self.skip_to_window_of(target);
        let mut looked = 0;
        loop {
            while looked < budget
                && let Some(key) = self.keys.pop(&mut self.sweeping)
            {
                looked += 1;
                match look(key) {
                    // Not in this call, so that an owner who asks for the past cannot keep us here.
                    Look::At(deadline) => {
                        self.place(key, deadline, self.current.max(target + 1));
                    }
                    Look::Gone | Look::Fired => self.len -= 1,
                }
            }
            if !self.sweeping.is_empty() || self.current > target {
                break;
            }
            self.take_next_slot();
        }
        self.keys.shrink_if_idle();
        Swept { looked, has_more: !self.sweeping.is_empty() }
    }

    /// The earliest time at which [`Wheel::advance`] would find something to look at.
    pub fn next_due_hint(&self, now: Time) -> Option<Time> {
        if self.is_empty() {
            return None; // without a look at each slot
        }
        if !self.sweeping.is_empty() {
            return Some(now);
        }
        let ahead = (0..self.slots.len()).find(|&ahead| !self.slots[self.slot_at(ahead)].is_empty())?;
        let due = self.current.saturating_add(ahead as u64).saturating_mul(self.tick_ms);
        Some(Time::from_millis(due).max(now))
    }

    /// The latest deadline that [`Wheel::schedule`] and a look in the next [`Wheel::advance`] put where it belongs: an entry for a
    /// later one is looked at early, by as much as the last look at the clock lies behind.
    pub const fn reach(&self) -> Time {
        let furthest = self.current.saturating_add(self.slots.len() as u64 - 1);
        Time::from_millis(furthest.saturating_mul(self.tick_ms))
    }

    /// How many entries there are, those of objects that are gone included.
    pub const fn len(&self) -> usize {
        self.len
    }

    /// Whether there is no entry.
    pub const fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Bytes on the heap.
    pub fn heap_bytes(&self) -> usize {
        self.keys.heap_bytes() + size_of_val(&*self.slots)
    }

    /// Asserts the invariant: every entry is in one slot or being swept.
    pub fn check(&self) {
        assert!(self.head < self.slots.len(), "the head is a slot");
        let lists = self.slots.iter().chain([&self.sweeping]);
        assert_eq!(self.keys.check(lists), self.len, "len counts the entries");
    }

    /// After a jump beyond the horizon everything is due: the wheel is as it were pushed forward so
    /// that its last slot is the tick of now. Entries keep their order and come later than their
    /// tick, never earlier.
    fn skip_to_window_of(&mut self, target: u64) {
        let first = target.saturating_sub(self.slots.len() as u64 - 1);
        self.current = self.current.max(first);
    }

    /// Starts sweeping the slot of tick `current`, which thereby becomes the furthest slot of the
    /// window.
    fn take_next_slot(&mut self) {
        debug_assert!(self.sweeping.is_empty(), "one slot is swept at a time");
        self.sweeping = std::mem::take(&mut self.slots[self.head]);
        self.head = self.slot_at(1);
        self.current += 1;
    }

    /// Puts an entry into the slot of the first tick that is not before `deadline` and not before
    /// `tick_min`.
    fn place(&mut self, key: K, deadline: Time, tick_min: u64) {
        debug_assert!(tick_min >= self.current, "what is swept stays swept");
        let tick = deadline.as_millis().div_ceil(self.tick_ms).max(tick_min);
        let furthest = self.slots.len() as u64 - 1;
        let ahead = usize::try_from((tick - self.current).min(furthest)).expect("a slot has an index");
        let slot = self.slot_at(ahead);
        self.keys.push(&mut self.slots[slot], key);
    }

    /// The slot `ahead` ticks after `current`.
    fn slot_at(&self, ahead: usize) -> usize {
        debug_assert!(ahead <= self.slots.len());
        let slot = self.head + ahead;
        if slot < self.slots.len() { slot } else { slot - self.slots.len() }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::base::random::Random;

    const AMPLE: usize = usize::MAX;

    fn at(millis: u64) -> Time {
        Time::from_millis(millis)
    }

    /// Advances with an owner to whom every look is a firing one.
    fn fire(wheel: &mut Wheel<u32>, now: u64, budget: usize) -> (Vec<u32>, bool) {
        let mut fired = Vec::new();
        let swept = wheel.advance(at(now), budget, |key| {
            fired.push(key);
            Look::Fired
        });
        wheel.check();
        assert_eq!(swept.looked, fired.len());
        (fired, swept.has_more)
    }

    #[test]
    fn an_entry_is_looked_at_in_the_first_tick_after_its_deadline() {
        let mut wheel = Wheel::new(10, 8);
        wheel.schedule(1, at(31));
        wheel.schedule(2, at(40));
        wheel.schedule(3, at(41));
        assert_eq!(fire(&mut wheel, 39, AMPLE), (vec![], false));
        let (mut fired, _) = fire(&mut wheel, 40, AMPLE);
        fired.sort_unstable();
        assert_eq!(fired, [1, 2]);
        assert_eq!(fire(&mut wheel, 49, AMPLE), (vec![], false));
        assert_eq!(fire(&mut wheel, 50, AMPLE), (vec![3], false));
        assert!(wheel.is_empty());
    }

    #[test]
    fn a_deadline_in_the_past_comes_with_the_next_tick() {
        let mut wheel = Wheel::new(10, 8);
        assert_eq!(fire(&mut wheel, 100, AMPLE), (vec![], false));
        wheel.schedule(1, at(20));
        assert_eq!(fire(&mut wheel, 109, AMPLE), (vec![], false));
        assert_eq!(fire(&mut wheel, 110, AMPLE), (vec![1], false));
    }

    #[test]
    fn a_moved_deadline_is_looked_at_again_and_a_gone_object_is_forgotten() {
        let mut wheel = Wheel::new(10, 8);
        wheel.schedule('a', at(20));
        wheel.schedule('b', at(20));
        let answer = |key| {
            if key == 'a' { Look::At(at(55)) } else { Look::Gone }
        };
        assert_eq!(wheel.advance(at(20), AMPLE, answer), Swept { looked: 2, has_more: false });
        assert_eq!(wheel.len(), 1);
        assert_eq!(wheel.advance(at(59), AMPLE, answer).looked, 0);
        assert_eq!(wheel.advance(at(60), AMPLE, |_| Look::Fired).looked, 1);
    }

    #[test]
    fn what_is_within_reach_is_not_looked_at_early_however_long_nobody_looked() {
        let mut wheel = Wheel::new(10, 8);
        wheel.schedule(1, wheel.reach());
        assert_eq!(wheel.next_due_hint(at(25)), Some(wheel.reach()));
        let reach = wheel.reach();
        assert_eq!(wheel.advance(at(75), AMPLE, |_| Look::At(reach)), Swept { looked: 1, has_more: false });
        assert_eq!(wheel.next_due_hint(at(75)), Some(at(80)), "what has passed meanwhile comes with the next tick");
        assert_eq!(wheel.reach(), at(150));
    }

    #[test]
    fn a_deadline_beyond_the_horizon_is_put_further_each_time() {
        let mut wheel = Wheel::new(10, 4);
        wheel.schedule(1, at(1_000));
        let (mut looks, mut fired_at) = (0, None);
        for now in (0..2_000).step_by(5) {
            let swept = wheel.advance(at(now), AMPLE, |_| {
                looks += 1;
                if at(now).has_passed(at(1_000)) {
                    fired_at = Some(now);
                    return Look::Fired;
                }
                Look::At(at(1_000))
            });
            assert!(!swept.has_more);
        }
        assert_eq!(fired_at, Some(1_000));
        assert!((25..=35).contains(&looks), "{looks} looks, one for each turn of the wheel");
    }

    #[test]
    fn an_owner_who_asks_for_the_past_is_asked_once_a_call() {
        let mut wheel = Wheel::new(10, 4);
        wheel.schedule(1, at(10));
        wheel.schedule(2, Time::NEVER);
        for now in [10, 1_000_000, 1_000_010, 9_000_000] {
            let swept = wheel.advance(at(now), AMPLE, |_| Look::At(Time::ZERO));
            assert!(swept.looked <= 2 && !swept.has_more, "{now}: {swept:?}");
            wheel.check();
        }
        assert_eq!(wheel.len(), 2);
    }

    #[test]
    fn a_jump_of_ages_is_swept_in_the_order_of_the_slots_and_within_the_budget() {
        let mut wheel = Wheel::new(1, 16);
        for key in 0..16 {
            wheel.schedule(key, at(u64::from(key)));
        }
        let end = u64::MAX - 1;
        assert_eq!(fire(&mut wheel, end - 9, 0), (vec![], true));
        assert_eq!(fire(&mut wheel, end - 9, 10), ((0..10).collect(), true));
        assert_eq!(fire(&mut wheel, end, 6), ((10..16).collect(), false));
    }

    #[test]
    fn work_left_over_is_resumed_even_if_the_clock_stands_still() {
        let mut wheel = Wheel::new(10, 4);
        for key in 0..200 {
            wheel.schedule(key, at(10));
        }
        let (first, has_more) = fire(&mut wheel, 10, 150);
        assert!(has_more);
        assert_eq!(wheel.next_due_hint(at(10)), Some(at(10)));
        let (second, has_more) = fire(&mut wheel, 10, 150);
        assert!(!has_more);
        let mut fired = [first, second].concat();
        fired.sort_unstable();
        assert!(fired.into_iter().eq(0..200));
    }

    #[test]
    fn the_hint_is_the_time_of_the_next_look() {
        let mut wheel = Wheel::new(10, 8);
        assert_eq!(wheel.next_due_hint(at(0)), None);
        wheel.schedule(1, at(55));
        assert_eq!(wheel.next_due_hint(at(7)), Some(at(60)));
        assert_eq!(wheel.next_due_hint(at(500)), Some(at(500)), "overdue means now");
        assert_eq!(fire(&mut wheel, 59, AMPLE), (vec![], false));
        assert_eq!(wheel.next_due_hint(at(59)), Some(at(60)));
        assert_eq!(fire(&mut wheel, 60, AMPLE), (vec![1], false));
        assert_eq!(wheel.next_due_hint(at(60)), None);
    }

    #[test]
    fn a_clock_that_goes_back_does_nothing() {
        let mut wheel = Wheel::new(10, 8);
        wheel.schedule(1, at(100));
        assert_eq!(fire(&mut wheel, 50, AMPLE), (vec![], false));
        assert_eq!(fire(&mut wheel, 20, AMPLE), (vec![], false));
        assert_eq!(fire(&mut wheel, 100, AMPLE), (vec![1], false));
    }

    #[test]
    fn a_clock_that_goes_back_over_work_left_over_keeps_the_entries() {
        let mut wheel = Wheel::new(10, 8);
        wheel.schedule(1, at(50));
        wheel.schedule(2, at(50));
        assert_eq!(fire(&mut wheel, 50, 1), (vec![2], true));
        let swept = wheel.advance(at(20), AMPLE, |_| Look::At(at(50)));
        assert_eq!((swept.looked, swept.has_more), (1, false));
        wheel.check();
        assert_eq!(fire(&mut wheel, 60, AMPLE), (vec![1], false));
    }

    #[test]
    fn memory_follows_the_number_of_entries_and_goes_when_they_go() {
        const ENTRIES: u32 = 100_000;
        let mut wheel = Wheel::new(1_000, 64);
        let mut random = Random::from_seed(1);
        for key in 0..ENTRIES {
            wheel.schedule(u64::from(key), at(random.below(60_000)));
        }
        let full = wheel.heap_bytes();
        assert!(full <= ENTRIES as usize * 10, "{full} bytes");
        for second in 1..600 {
            let now = at(second * 1_000);
            let swept = wheel.advance(now, AMPLE, |_| Look::At(now.after_ms(60_000)));
            assert!(!swept.has_more);
        }
        assert!(wheel.heap_bytes() <= full + full / 10, "ten turns grow nothing");
        let mut looks = 0;
        let swept = wheel.advance(at(700_000), AMPLE, |_| {
            looks += 1;
            if looks % 20 == 0 { Look::At(at(760_000)) } else { Look::Gone }
        });
        assert_eq!(swept.looked, ENTRIES as usize);
        wheel.check();
        assert!(wheel.heap_bytes() <= full / 3, "{} bytes are left of {full}", wheel.heap_bytes());
        let swept = wheel.advance(at(800_000), AMPLE, |_| Look::Gone);
        assert_eq!(swept.looked, ENTRIES as usize / 20);
        wheel.check();
        assert_eq!(wheel.heap_bytes(), 64 * 4, "only the slots are left");
    }

    /// The true deadlines beside a sorted list of them, and a wheel that has to fire at the same
    /// times.
    struct Model {
        wheel: Wheel<u32>,
        tick_ms: u64,
        now: u64,
        deadlines: BTreeMap<u32, u64>,
        next_key: u32,
    }

    impl Model {
        fn step(&mut self, random: &mut Random) {
            match random.below(10) {
                0..=2 => self.insert(random),
                3..=4 => self.touch(random),
                5 => self.remove(random),
                _ => self.advance(random),
            }
        }

        fn insert(&mut self, random: &mut Random) {
            let deadline = self.now + random.range(1, 20 * self.tick_ms);
            self.wheel.schedule(self.next_key, at(deadline));
            self.deadlines.insert(self.next_key, deadline);
            self.next_key += 1;
        }

        fn touch(&mut self, random: &mut Random) {
            let later = random.range(0, 20 * self.tick_ms);
            if let Some(key) = self.any_key(random) {
                *self.deadlines.get_mut(&key).unwrap() += later;
            }
        }

        fn remove(&mut self, random: &mut Random) {
            if let Some(key) = self.any_key(random) {
                self.deadlines.remove(&key);
            }
        }

        fn any_key(&self, random: &mut Random) -> Option<u32> {
            let keys: Vec<u32> = self.deadlines.keys().copied().take(200).collect();
            random.pick(&keys).copied()
        }

        fn advance(&mut self, random: &mut Random) {
            self.now += match random.below(20) {
                0 => random.below(100 * self.tick_ms),
                1 => random.below(1 << 40),
                _ => random.range(0, 2 * self.tick_ms),
            };
            let budget = usize::try_from(random.range(0, 12)).unwrap();
            let (now, deadlines) = (self.now, &mut self.deadlines);
            let hint = self.wheel.next_due_hint(at(now));
            let swept = self.wheel.advance(at(now), budget, |key| match deadlines.get(&key) {
                None => Look::Gone,
                Some(&deadline) if deadline > now => Look::At(at(deadline)),
                Some(_) => deadlines.remove(&key).map_or(Look::Gone, |_| Look::Fired),
            });
            assert!(swept.looked <= budget);
            assert_eq!(swept.looked > 0 || swept.has_more, hint == Some(at(now)), "the hint is exact");
            if !swept.has_more {
                self.check_nothing_is_overdue();
            }
        }

        fn check_nothing_is_overdue(&self) {
            for (key, deadline) in &self.deadlines {
                let due = deadline.div_ceil(self.tick_ms) * self.tick_ms;
                assert!(due > self.now, "{key} was due at {due}, it is {}", self.now);
            }
        }
    }

    #[test]
    fn a_wheel_fires_when_a_sorted_list_would() {
        for seed in 0..8 {
            let mut random = Random::from_seed(seed);
            let tick_ms = u32::try_from(random.range(1, 50)).unwrap();
            let slots = random.index(12) + 1;
            let wheel = Wheel::new(tick_ms, slots);
            let mut model =
                Model { wheel, tick_ms: u64::from(tick_ms), now: 0, deadlines: BTreeMap::new(), next_key: 0 };
            for step in 0..40_000 {
                model.step(&mut random);
                if step % 16 == 0 {
                    model.wheel.check();
                    assert!(model.wheel.len() >= model.deadlines.len(), "seed {seed}: every object has its entry");
                }
            }
        }
    }
}
