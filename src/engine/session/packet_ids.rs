//! The open packet identifiers of a session and what stands under each of them.
//!
//! Identifiers rotate through 1 to 65,535 rather than being reused at once, so that a late second acknowledgement of an
//! old message does not settle a new one. The slot of an identifier is its number modulo the slots, which are a power
//! of two: a look-up is one index, and an identifier whose slot is taken by a message that stays open is passed over.
//!
//! Costs: `get` and `remove` touch one slot. `insert` finds its identifier in the first word of a bit set while
//! acknowledgements come in order; however they come, it reads each word once at most: 16 words for a window of 1,000,
//! 1,024 for the largest one. Memory follows the largest number that was open at a time, by doubling.

use crate::mqtt::PacketId;

/// Values under open packet identifiers. One per session; empty and unused it holds no heap.
#[derive(Debug)]
pub struct PacketIds<T> {
    slots: Vec<Option<Open<T>>>,
    /// A bit a slot, set where it is taken. Bits beyond the slots are set too.
    taken: Vec<u64>,
    len: usize,
    /// The identifier that was given last.
    last: u16,
}

#[derive(Debug)]
struct Open<T> {
    id: PacketId,
    value: T,
}

const SLOTS_FIRST: usize = 4;

/// Zero is no identifier.
const OPEN_MAX: usize = u16::MAX as usize;

impl<T> Default for PacketIds<T> {
    fn default() -> Self {
        Self { slots: Vec::new(), taken: Vec::new(), len: 0, last: 0 }
    }
}

impl<T> PacketIds<T> {
    /// Puts `value` under an identifier that is not open. [MQTT-2.2.1-4]
    ///
    /// # Panics
    /// When all 65,535 are open.
    pub fn insert(&mut self, value: T) -> PacketId {
        assert!(self.len < OPEN_MAX, "the window is never larger than the number of identifiers");
        if self.len == self.slots.len() {
            self.grow();
        }
        let id = self.next_free();
        let slot = self.slot(id);
        debug_assert!(self.slots[slot].is_none(), "a bit that is clear stands for a slot that is free");
        self.slots[slot] = Some(Open { id, value });
        self.taken[slot / 64] |= 1 << (slot % 64);
        self.len += 1;
        self.last = id.get();
        id
    }

    /// Puts `value` under this identifier; `false` if something is open under it.
    pub fn insert_under(&mut self, id: PacketId, value: T) -> bool {
        if self.get(id).is_some() {
            return false;
        }
        while self.slots.get(self.slot(id)).is_none_or(Option::is_some) {
            self.grow();
        }
        let slot = self.slot(id);
        self.slots[slot] = Some(Open { id, value });
        self.taken[slot / 64] |= 1 << (slot % 64);
        self.len += 1;
        self.last = self.last.max(id.get());
        true
    }

    /// What stands under `id`.
    pub fn get(&self, id: PacketId) -> Option<&T> {
        let open = self.slots.get(self.slot(id))?.as_ref()?;
        (open.id == id).then_some(&open.value)
    }

    /// What stands under `id`, to change it.
    pub fn get_mut(&mut self, id: PacketId) -> Option<&mut T> {
        let slot = self.slot(id);
        let open = self.slots.get_mut(slot)?.as_mut()?;
        (open.id == id).then_some(&mut open.value)
    }

    /// Takes what stands under `id`; the identifier is free again.
    pub fn remove(&mut self, id: PacketId) -> Option<T> {
        let slot = self.slot(id);
        let open = self.slots.get_mut(slot)?.take_if(|open| open.id == id)?;
        self.taken[slot / 64] &= !(1 << (slot % 64));
        self.len -= 1;
        Some(open.value)
    }

    /// How many identifiers are open.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether none is open.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Everything that is open, in no particular order.
    pub fn iter(&self) -> impl Iterator<Item = (PacketId, &T)> {
        self.slots.iter().flatten().map(|open| (open.id, &open.value))
    }

    /// The same, to be changed in place.
    pub fn iter_mut(&mut self) -> impl Iterator<Item = (PacketId, &mut T)> {
        self.slots.iter_mut().flatten().map(|open| (open.id, &mut open.value))
    }

    /// Gives the memory back if nothing is open; the rotation goes on where it stands.
    pub fn shrink_if_empty(&mut self) {
        if self.len == 0 {
            *self = Self { last: self.last, ..Self::default() };
        }
    }

    /// Asserts the invariants.
    ///
    /// # Panics
    /// When a slot holds an identifier that belongs elsewhere, or the bits or the count are not those of the slots.
    pub fn check(&self) {
        assert!(self.slots.is_empty() || self.slots.len().is_power_of_two(), "slots are a power of two");
        assert_eq!(self.taken.len(), self.slots.len().div_ceil(64), "a bit a slot");
        assert_eq!(self.slots.iter().flatten().count(), self.len, "the count is that of the slots");
        for (slot, open) in self.slots.iter().enumerate() {
            let is_taken = self.taken[slot / 64] & 1 << (slot % 64) != 0;
            assert_eq!(open.is_some(), is_taken, "slot {slot} and its bit agree");
            assert!(open.as_ref().is_none_or(|open| self.slot(open.id) == slot), "slot {slot} holds its own");
        }
    }

    /// Where `id` belongs; beyond the end when there is no slot at all.
    fn slot(&self, id: PacketId) -> usize {
        usize::from(id.get()) & self.slots.len().wrapping_sub(1)
    }

    fn next_free(&self) -> PacketId {
        // Zero is no identifier. Behind it the search finds another one: not all slots are taken, and where zero's slot
        // is the only free one, that slot has other numbers too, or there are 65,536 slots and all identifiers open.
        PacketId::new(self.free_from(self.last.wrapping_add(1)))
            .or_else(|| PacketId::new(self.free_from(1)))
            .expect("not every identifier is open")
    }

    /// The first number from `number` on, round the circle, whose slot is free.
    #[expect(clippy::cast_possible_truncation, reason = "a distance between slots is below 65,536")]
    fn free_from(&self, number: u16) -> u16 {
        let mask = self.slots.len() - 1;
        let start = usize::from(number) & mask;
        let distance = self.free_slot(start).wrapping_sub(start) & mask;
        number.wrapping_add(distance as u16)
    }

    /// The first free slot from `start` on, round the circle.
    fn free_slot(&self, start: usize) -> usize {
        let words = self.taken.len(); // a power of two, as the slots are
        // The first word is looked at twice: above the start, and at the end below it.
        for step in 0..=words {
            let word = (start / 64 + step) & (words - 1);
            let above = if step == 0 { u64::MAX << (start % 64) } else { u64::MAX };
            let free = !self.taken[word] & above;
            if free != 0 {
                return word * 64 + free.trailing_zeros() as usize;
            }
        }
        unreachable!("a table that is not full has a free slot");
    }

    /// Doubles the slots. Two identifiers that had different slots have different ones afterwards.
    fn grow(&mut self) {
        let slots = (self.slots.len() * 2).max(SLOTS_FIRST);
        let old = std::mem::take(&mut self.slots);
        self.slots.reserve_exact(slots);
        self.slots.resize_with(slots, || None);
        self.taken = vec![0; slots.div_ceil(64)];
        if slots < 64 {
            self.taken[0] = u64::MAX << slots;
        }
        for open in old.into_iter().flatten() {
            let slot = self.slot(open.id);
            self.taken[slot / 64] |= 1 << (slot % 64);
            self.slots[slot] = Some(open);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::base::random::Random;

    #[test]
    fn unused_it_holds_no_heap_and_finds_nothing() {
        let mut ids = PacketIds::<[u8; 100]>::default();
        assert_eq!((ids.slots.capacity(), ids.taken.capacity()), (0, 0));
        assert!(ids.get(PacketId::MAX).is_none() && ids.remove(PacketId::MAX).is_none());
        ids.check();
    }

    #[test]
    fn identifiers_rotate_and_never_are_zero() {
        let mut ids = PacketIds::default();
        for round in 0..3 {
            for number in 1..=u16::MAX {
                let id = ids.insert(round);
                assert_eq!(id.get(), number);
                assert_eq!(ids.remove(id), Some(round));
            }
        }
        assert_eq!(ids.slots.len(), SLOTS_FIRST);
    }

    #[test]
    fn threat_8_an_identifier_that_stays_open_is_passed_over_for_ever() {
        let mut ids = PacketIds::default();
        let stuck = ids.insert(u32::MAX);
        for number in 0..200_000 {
            let id = ids.insert(number);
            assert_ne!(id, stuck);
            assert_eq!(ids.remove(id), Some(number));
        }
        assert_eq!(ids.get(stuck), Some(&u32::MAX));
        assert_eq!(ids.slots.len(), SLOTS_FIRST, "memory follows what is open, not what has passed");
    }

    #[test]
    fn the_next_identifier_follows_the_last_one_although_lower_ones_are_free() {
        for open in 64..=255 {
            let mut ids = PacketIds::default();
            let given: Vec<PacketId> = (0..open).map(|value| ids.insert(value)).collect();
            for id in &given[..40] {
                ids.remove(*id);
            }
            if open + 1 < ids.slots.len() {
                assert_eq!(usize::from(ids.insert(open).get()), open + 1);
            }
        }
    }

    #[test]
    fn all_identifiers_can_be_open_at_once() {
        let mut ids = PacketIds::default();
        let mut seen = vec![false; 65_536];
        for value in 0..OPEN_MAX {
            let id = ids.insert(value);
            assert!(!std::mem::replace(&mut seen[usize::from(id.get())], true), "{id:?} is given once");
        }
        ids.check();
        let middle = PacketId::new(30_000).unwrap();
        let value = ids.remove(middle).unwrap();
        assert_eq!(ids.insert(value), middle, "the only free one is found, wherever it is");
        ids.check();
    }

    #[test]
    #[should_panic(expected = "never larger than the number of identifiers")]
    fn more_than_all_identifiers_is_an_error_of_ours() {
        let mut ids = PacketIds::default();
        for _ in 0..=OPEN_MAX {
            ids.insert(());
        }
    }

    #[test]
    fn memory_goes_when_all_is_settled_and_the_rotation_goes_on() {
        let mut ids = PacketIds::default();
        let first = ids.insert(1);
        ids.remove(first);
        ids.shrink_if_empty();
        assert_eq!(ids.slots.capacity(), 0);
        assert_ne!(ids.insert(2), first);
    }

    #[test]
    fn it_behaves_like_a_map_under_random_operations() {
        for seed in 0..8 {
            let mut random = Random::from_seed(seed);
            let open_max = [1, 3, 10, 64, 65, 200, 1_000, 5_000][usize::try_from(seed).unwrap()];
            let (mut ids, mut model) = (PacketIds::default(), BTreeMap::new());
            for step in 0..40_000_u32 {
                let id = PacketId::new(u16::try_from(random.range(1, 65_535)).unwrap()).unwrap();
                let open = model.range(id.get()..).next().map(|(id, _)| *id);
                if model.len() < open_max && random.chance(11, 20) {
                    let id = ids.insert(step);
                    assert_eq!(model.insert(id.get(), step), None, "seed {seed}, step {step}: {id:?} was open");
                } else if let Some(open) = open {
                    assert_eq!(ids.remove(PacketId::new(open).unwrap()), model.remove(&open));
                } else {
                    assert_eq!(ids.remove(id), None);
                }
                assert_eq!(ids.get(id), model.get(&id.get()));
                assert_eq!(ids.len(), model.len());
                if step % 512 == 0 {
                    ids.check();
                }
            }
            let mut open: Vec<_> = ids.iter_mut().map(|(id, value)| (id.get(), *value)).collect();
            open.sort_unstable();
            assert!(open.into_iter().eq(model), "seed {seed}");
        }
    }
}
