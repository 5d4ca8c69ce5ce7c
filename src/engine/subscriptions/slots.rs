//! The shapes in use by all shards: 64 slots, changed by compare-and-swap.

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use super::shape::Shape;

/// How many shapes may be in use at once.
pub const SHAPES_MAX: usize = 64;

/// Shared by all shards. A reader needs no lock: each slot is decided by one word.
#[derive(Debug)]
pub struct Slots {
    slots: [Slot; SHAPES_MAX],
    /// Slots from here on have never been used. Only grows; the lowest free slot is taken first.
    bound: AtomicU32,
}

#[derive(Debug, Default)]
struct Slot {
    /// The number of holders above the shape; 0 when free.
    word: AtomicU64,
    /// The shards that hold the shape. Each sets its bit after it has become a holder and clears it
    /// before it ceases, so that a free slot has none.
    shards: AtomicU64,
}

/// The place of a shape, held by a shard.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SlotIndex(u8);

const HOLDER: u64 = 1 << 48;

const _: () = assert!(Shape::BITS < HOLDER && SHAPES_MAX <= u8::MAX as usize + 1);

impl Slots {
    pub fn new() -> Self {
        Self { slots: std::array::from_fn(|_| Slot::default()), bound: AtomicU32::new(0) }
    }

    /// Visits the shapes in use with their shards.
    pub fn for_each(&self, mut visit: impl FnMut(Shape, u64)) {
        let bound = self.bound.load(Ordering::Acquire) as usize;
        for slot in &self.slots[..bound] {
            let word = slot.word.load(Ordering::Acquire);
            if word >= HOLDER {
                // If the slot changes its shape right here, the shards are those of the other
                // shape: the old one had been given up by all of its holders, so none of them needs
                // to be found by it.
                visit(shape_of(word), slot.shards.load(Ordering::Acquire));
            }
        }
    }

    /// Makes the shard a holder of the shape; `None` when all slots hold other shapes. Two shards
    /// that come at once may put one shape into two slots: either finds what both have declared,
    /// since the marks depend on the filter alone.
    pub fn acquire(&self, shape: Shape, shard: u32) -> Option<SlotIndex> {
        let index = self.join(shape).or_else(|| self.occupy(shape))?;
        self.slots[index].shards.fetch_or(1 << shard, Ordering::AcqRel);
        Some(SlotIndex(u8::try_from(index).expect("slots are numbered by a byte")))
    }

    /// Ends what [`Slots::acquire`] began; the last holder frees the slot.
    pub fn release(&self, index: SlotIndex, shard: u32) {
        let slot = &self.slots[usize::from(index.0)];
        let before = slot.shards.fetch_and(!(1 << shard), Ordering::AcqRel);
        assert!(before >> shard & 1 != 0, "a shard releases what it holds");
        let fewer = |word: u64| Some(if word >= 2 * HOLDER { word - HOLDER } else { 0 });
        let left = slot.word.fetch_update(Ordering::AcqRel, Ordering::Acquire, fewer);
        assert!(left.is_ok_and(|word| word >= HOLDER), "holders are counted");
    }

    /// Whether the shard holds this shape there.
    pub fn is_held(&self, index: SlotIndex, shape: Shape, shard: u32) -> bool {
        let slot = &self.slots[usize::from(index.0)];
        let word = slot.word.load(Ordering::Acquire);
        word >= HOLDER && shape_of(word) == shape && slot.shards.load(Ordering::Acquire) >> shard & 1 != 0
    }

    /// How many slots are in use.
    pub fn used_count(&self) -> usize {
        self.slots.iter().filter(|slot| slot.word.load(Ordering::Acquire) != 0).count()
    }

    fn join(&self, shape: Shape) -> Option<usize> {
        // Read and counted in one step: a slot that has just gone to another shape is not joined.
        let more = |word: u64| (word >= HOLDER && shape_of(word) == shape).then(|| word + HOLDER);
        self.slots.iter().position(|slot| slot.word.fetch_update(Ordering::AcqRel, Ordering::Acquire, more).is_ok())
    }

    fn occupy(&self, shape: Shape) -> Option<usize> {
        let first = shape.to_bits() | HOLDER;
        let free = |slot: &Slot| slot.word.compare_exchange(0, first, Ordering::AcqRel, Ordering::Acquire).is_ok();
        let index = self.slots.iter().position(free)?;
        self.bound.fetch_max(u32::try_from(index + 1).expect("there are 64 slots"), Ordering::AcqRel);
        Some(index)
    }
}

fn shape_of(word: u64) -> Shape {
    Shape::from_bits(word & Shape::BITS)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shape(plus: u64) -> Shape {
        Shape::from_bits(plus | 8 << 32)
    }

    fn held(slots: &Slots) -> Vec<(Shape, u64)> {
        let mut held = Vec::new();
        slots.for_each(|shape, shards| held.push((shape, shards)));
        held
    }

    #[test]
    fn a_shape_has_one_slot_for_all_shards_until_the_last_one_leaves() {
        let slots = Slots::new();
        let first = slots.acquire(shape(1), 0).unwrap();
        assert_eq!(slots.acquire(shape(1), 63), Some(first));
        assert_eq!(held(&slots), [(shape(1), 1 | 1 << 63)]);

        slots.release(first, 0);
        assert_eq!(held(&slots), [(shape(1), 1 << 63)]);
        slots.release(first, 63);
        assert_eq!(held(&slots), []);

        assert_eq!(slots.acquire(shape(2), 5), Some(first), "a free slot serves another shape");
        assert!(slots.is_held(first, shape(2), 5) && !slots.is_held(first, shape(1), 5));
    }

    #[test]
    fn a_full_table_takes_known_shapes_only() {
        let slots = Slots::new();
        for plus in 0..SHAPES_MAX as u64 {
            assert!(slots.acquire(shape(plus), 1).is_some());
        }
        assert_eq!(slots.acquire(shape(99), 2), None);
        assert!(slots.acquire(shape(7), 2).is_some());
        assert_eq!(slots.used_count(), SHAPES_MAX);
    }
}
