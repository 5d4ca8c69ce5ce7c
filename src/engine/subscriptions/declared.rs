//! What a shard has declared to the interest, and the way to "send me all" and back.

use std::collections::BTreeMap;

use super::interest::Interest;
use super::shape::{Form, Shape};
use super::slots::{SHAPES_MAX, SlotIndex};
use crate::mqtt::topic::Filter;

/// A counter that has reached this stays there: its position remains marked, which names a shard
/// too many, never one too few.
const COUNT_STICKY: u8 = 15;

/// One shard's own half of [`Interest`]: how many of its filters mark each position. One per shard.
#[derive(Debug)]
pub struct Declared {
    shard: u32,
    /// Four bits a position.
    counters: Vec<u8>,
    shapes: BTreeMap<Shape, InUse>,
    /// Wildcard filters of too many levels.
    deep_count: usize,
    /// No shape has a slot, and the shard gets every message. Otherwise each shape has one, and
    /// there is no deep filter.
    wants_everything: bool,
}

#[derive(Debug)]
struct InUse {
    filter_count: usize,
    slot: Option<SlotIndex>,
}

impl Declared {
    /// Nothing declared yet by this shard. No two halves may exist for one shard.
    pub fn new(shard: u32, interest: &Interest) -> Self {
        assert!(shard < interest.shard_count(), "shard {shard} of {}", interest.shard_count());
        Self {
            shard,
            counters: vec![0; interest.position_count() / 2],
            shapes: BTreeMap::new(),
            deep_count: 0,
            wants_everything: false,
        }
    }

    /// From now on the shard is named for each topic that the filter matches. To be called when a
    /// filter gets its first subscriber here, and once more for each time it is to be withdrawn;
    /// but not often for the same filter, or the counters of its positions stick.
    pub fn declare(&mut self, interest: &Interest, filter: Filter<'_>) {
        let mut has_changed = false;
        for position in interest.positions_of(filter) {
            if self.count_up(position) {
                interest.set(position, self.shard);
                has_changed = true;
            }
        }
        has_changed |= match Shape::of(filter) {
            Form::Exact => false,
            Form::Shaped(shape) => self.add_shape(interest, shape),
            Form::Deep => {
                self.deep_count += 1;
                self.enter_everything(interest)
            }
        };
        if has_changed {
            interest.raise_generation();
        }
    }

    /// Takes a declaration back. If that ends a shape or the last filter too deep, the way back
    /// from "send me all" is tried.
    pub fn withdraw(&mut self, interest: &Interest, filter: Filter<'_>) {
        match Shape::of(filter) {
            Form::Exact => {}
            Form::Shaped(shape) => self.subtract_shape(interest, shape),
            Form::Deep => {
                self.deep_count = self.deep_count.checked_sub(1).expect("only what was declared is withdrawn");
                if self.deep_count == 0 {
                    self.retry(interest);
                }
            }
        }
        for position in interest.positions_of(filter) {
            if self.count_down(position) {
                interest.clear(position, self.shard);
            }
        }
        interest.raise_generation();
    }

    /// Tries to leave "send me all". Other shards free slots without telling: a shard that wants
    /// everything calls this now and then. Costs one comparison otherwise.
    pub fn retry(&mut self, interest: &Interest) {
        if !self.wants_everything || self.deep_count > 0 || self.shapes.len() > SHAPES_MAX {
            return;
        }
        let mut acquired = 0;
        for (shape, in_use) in &mut self.shapes {
            debug_assert!(in_use.slot.is_none());
            in_use.slot = interest.slots.acquire(*shape, self.shard);
            if in_use.slot.is_none() {
                break;
            }
            acquired += 1;
        }
        if acquired == self.shapes.len() {
            self.wants_everything = false;
            interest.want_declared_only(self.shard);
            interest.raise_generation();
        } else {
            self.release_slots(interest);
        }
    }

    /// Whether the shard gets every message.
    pub fn wants_everything(&self) -> bool {
        self.wants_everything
    }

    /// Bytes of address space; the resident part follows the filters.
    pub fn memory_bytes(&self) -> usize {
        self.counters.capacity() + self.shapes.len() * size_of::<(Shape, InUse)>()
    }

    /// Panics unless the shared half says what this half has counted. Costs a pass over all
    /// positions.
    pub fn check(&self, interest: &Interest) {
        for position in 0..interest.position_count() {
            let is_counted = self.counters[position / 2] >> shift_of(position) & 0xF != 0;
            assert_eq!(is_counted, interest.is_set(position, self.shard), "position {position}");
        }
        assert_eq!(self.wants_everything, interest.wanting_everything().contains(self.shard));
        assert!(self.deep_count == 0 || self.wants_everything);
        for (shape, in_use) in &self.shapes {
            assert!(in_use.filter_count > 0);
            assert_eq!(in_use.slot.is_none(), self.wants_everything);
            assert!(in_use.slot.is_none_or(|slot| interest.slots.is_held(slot, *shape, self.shard)));
        }
    }

    /// Counts a filter of this shape; whether publishers must know.
    fn add_shape(&mut self, interest: &Interest, shape: Shape) -> bool {
        let in_use = self.shapes.entry(shape).or_insert(InUse { filter_count: 0, slot: None });
        in_use.filter_count += 1;
        if in_use.slot.is_some() || self.wants_everything {
            return false;
        }
        in_use.slot = interest.slots.acquire(shape, self.shard);
        in_use.slot.is_some() || self.enter_everything(interest)
    }

    fn subtract_shape(&mut self, interest: &Interest, shape: Shape) {
        let in_use = self.shapes.get_mut(&shape).expect("only what was declared is withdrawn");
        in_use.filter_count -= 1;
        if in_use.filter_count > 0 {
            return;
        }
        let slot = in_use.slot;
        self.shapes.remove(&shape);
        match slot {
            Some(slot) => interest.slots.release(slot, self.shard),
            None => self.retry(interest),
        }
    }

    /// Whether this is new. The slots are given up: they are of no use to a shard that gets
    /// everything, and others need them.
    fn enter_everything(&mut self, interest: &Interest) -> bool {
        if self.wants_everything {
            return false;
        }
        self.wants_everything = true;
        // In this order: a publisher that no longer finds a slot must find that the shard has
        // moved.
        interest.want_everything(self.shard);
        self.release_slots(interest);
        true
    }

    fn release_slots(&mut self, interest: &Interest) {
        debug_assert!(interest.wanting_everything().contains(self.shard));
        for in_use in self.shapes.values_mut() {
            if let Some(slot) = in_use.slot.take() {
                interest.slots.release(slot, self.shard);
            }
        }
    }

    /// Whether the position was unmarked before.
    fn count_up(&mut self, position: usize) -> bool {
        let (counter, shift) = (&mut self.counters[position / 2], shift_of(position));
        let count = *counter >> shift & 0xF;
        if count < COUNT_STICKY {
            *counter += 1 << shift;
        }
        count == 0
    }

    /// Whether the position is to be unmarked.
    fn count_down(&mut self, position: usize) -> bool {
        let (counter, shift) = (&mut self.counters[position / 2], shift_of(position));
        let count = *counter >> shift & 0xF;
        assert!(count > 0, "only what was declared is withdrawn");
        if count < COUNT_STICKY {
            *counter -= 1 << shift;
        }
        count == 1
    }
}

fn shift_of(position: usize) -> u32 {
    if position.is_multiple_of(2) { 0 } else { 4 }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::bitset::Bits64;
    use crate::base::hash::Seed;
    use crate::mqtt::topic::Topic;

    fn filter(text: &str) -> Filter<'_> {
        Filter::parse(text).unwrap()
    }

    fn topic(text: &str) -> Topic<'_> {
        Topic::parse(text).unwrap()
    }

    fn shards(count: u32, positions: usize) -> (Interest, Vec<Declared>) {
        let interest = Interest::new(Seed::new(1), count, positions);
        let declared = (0..count).map(|shard| Declared::new(shard, &interest)).collect();
        (interest, declared)
    }

    fn check_all(declared: &[Declared], interest: &Interest) {
        for declared in declared {
            declared.check(interest);
        }
    }

    #[test]
    fn a_shard_is_named_from_declare_to_withdraw() {
        let (interest, mut declared) = shards(64, 1 << 16);
        for (shard, text) in [(0, "a/b"), (5, "a/+"), (63, "a/#"), (9, "$SYS/#"), (10, "#")] {
            declared[shard].declare(&interest, filter(text));
        }

        let named = |text| interest.shards_for(topic(text));
        assert_eq!(named("a/b").to_bits(), 1 | 1 << 5 | 1 << 63 | 1 << 10);
        assert_eq!(named("a").to_bits(), 1 << 63 | 1 << 10);
        assert_eq!(named("$SYS/x").to_bits(), 1 << 9);

        declared[63].withdraw(&interest, filter("a/#"));
        declared[0].withdraw(&interest, filter("a/b"));
        assert_eq!(interest.shards_for(topic("a/b")).to_bits(), 1 << 5 | 1 << 10);
    }

    #[test]
    fn the_generation_tells_that_a_kept_result_is_stale() {
        let (interest, mut declared) = shards(2, 1 << 12);
        let generation = interest.generation();
        declared[1].declare(&interest, filter("a"));
        assert_ne!(interest.generation(), generation);
    }

    #[test]
    fn a_filter_declared_too_often_stays_marked() {
        let (interest, mut declared) = shards(1, 1 << 12);
        for _ in 0..100 {
            declared[0].declare(&interest, filter("a"));
        }
        for _ in 0..100 {
            declared[0].withdraw(&interest, filter("a"));
        }
        assert!(interest.shards_for(topic("a")).contains(0));
        declared[0].check(&interest);
    }

    #[test]
    fn too_many_shapes_mean_everything_until_they_fit_again() {
        let (interest, mut declared) = shards(2, 1 << 14);
        let texts: Vec<String> = (0..100_u32)
            .map(|bits| {
                (0..8).map(|level| if bits >> level & 1 != 0 { "+" } else { "a" }).collect::<Vec<_>>().join("/") + "/#"
            })
            .collect();
        declared[1].declare(&interest, filter("x/+"));
        for text in &texts {
            declared[0].declare(&interest, filter(text));
        }
        assert_eq!(interest.shards_for(topic("none")), Bits64::of(0));
        assert_eq!(interest.slots.used_count(), 1, "a shard that wants everything leaves the slots to others");

        for text in &texts[..36] {
            declared[0].withdraw(&interest, filter(text));
        }
        assert!(declared[0].wants_everything(), "64 shapes and the one of the other shard are too many");
        declared[1].withdraw(&interest, filter("x/+"));
        declared[0].retry(&interest);
        assert!(!declared[0].wants_everything());
        assert_eq!(interest.shards_for(topic("none")), Bits64::EMPTY);
        assert_eq!(interest.shards_for(topic("+/a/a/a/a/a/a/a".replace('+', "a").as_str())), Bits64::of(0));
        check_all(&declared, &interest);
    }

    #[test]
    fn a_filter_too_deep_means_everything_until_it_goes() {
        let (interest, mut declared) = shards(2, 1 << 12);
        let deep = "a/".repeat(40) + "+";
        declared[0].declare(&interest, filter("a/+"));
        declared[0].declare(&interest, filter(&deep));
        assert_eq!(interest.shards_for(topic("x")), Bits64::of(0));

        declared[0].withdraw(&interest, filter(&deep));
        assert_eq!(interest.shards_for(topic("x")), Bits64::EMPTY);
        assert_eq!(interest.shards_for(topic("a/x")), Bits64::of(0));
        declared[0].check(&interest);
    }
}
