//! A bounded double-ended queue that costs no heap until it is used.
//!
//! Sessions hold several of these and most stay empty: an unused ring is 40 bytes and no
//! allocation. It grows by doubling towards its maximum and never beyond it, and a full ring hands
//! the item back: its owner knows what a drop means.

use std::collections::VecDeque;

/// A queue of at most `capacity_max` items. One owner.
#[derive(Clone, Debug)]
pub struct Ring<T> {
    /// len ≤ `capacity_max`
    items: VecDeque<T>,
    capacity_max: u32,
}

const CAPACITY_FIRST: usize = 4;

impl<T> Ring<T> {
    /// An empty ring; it allocates with its first item.
    pub const fn new(capacity_max: u32) -> Self {
        Self { items: VecDeque::new(), capacity_max }
    }

    /// Appends `item`, or hands it back when the ring is full.
    pub fn push_back(&mut self, item: T) -> Result<(), T> {
        if self.is_full() {
            return Err(item);
        }
        self.make_room();
        self.items.push_back(item);
        Ok(())
    }

    /// Puts `item` before all others, or hands it back when the ring is full.
    pub fn push_front(&mut self, item: T) -> Result<(), T> {
        if self.is_full() {
            return Err(item);
        }
        self.make_room();
        self.items.push_front(item);
        Ok(())
    }

    /// Takes the first item.
    pub fn pop_front(&mut self) -> Option<T> {
        self.items.pop_front()
    }

    /// Takes the last item.
    pub fn pop_back(&mut self) -> Option<T> {
        self.items.pop_back()
    }

    /// Takes the item at `index`, closing the gap: the shorter side moves.
    pub fn remove(&mut self, index: usize) -> Option<T> {
        self.items.remove(index)
    }

    /// The first item.
    pub fn front(&self) -> Option<&T> {
        self.items.front()
    }

    /// The first item, to change it.
    pub fn front_mut(&mut self) -> Option<&mut T> {
        self.items.front_mut()
    }

    /// The last item.
    pub fn back(&self) -> Option<&T> {
        self.items.back()
    }

    /// The item at `index`, counted from the front.
    pub fn get(&self, index: usize) -> Option<&T> {
        self.items.get(index)
    }

    /// The item at `index`, counted from the front, to change it.
    pub fn get_mut(&mut self, index: usize) -> Option<&mut T> {
        self.items.get_mut(index)
    }

    /// The items from front to back.
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = &T> + ExactSizeIterator {
        self.items.iter()
    }

    /// The items from front to back, to change them.
    pub fn iter_mut(&mut self) -> impl DoubleEndedIterator<Item = &mut T> + ExactSizeIterator {
        self.items.iter_mut()
    }

    /// How many items there are.
    pub fn len(&self) -> usize {
        self.items.len()
    }

    /// Whether there is no item.
    pub fn is_empty(&self) -> bool {
        self.items.is_empty()
    }

    /// Whether the next push would be refused.
    pub fn is_full(&self) -> bool {
        self.items.len() >= self.capacity_max as usize
    }

    /// How many items there may be.
    pub const fn capacity_max(&self) -> u32 {
        self.capacity_max
    }

    /// Drops all items and keeps the memory.
    pub fn clear(&mut self) {
        self.items.clear();
    }

    /// Gives all memory back if the ring is empty. Its owner calls this when a session falls idle,
    /// not after each item.
    pub fn shrink_if_idle(&mut self) {
        if self.items.is_empty() {
            self.items = VecDeque::new();
        }
    }

    /// Bytes on the heap, without what the items themselves hold.
    pub fn heap_bytes(&self) -> usize {
        self.items.capacity() * size_of::<T>()
    }

    /// Asserts the invariant.
    pub fn check(&self) {
        assert!(self.items.len() <= self.capacity_max as usize, "a ring holds no more than its maximum");
    }

    fn make_room(&mut self) {
        let len = self.items.len();
        if len == self.items.capacity() {
            let target = (len * 2).max(CAPACITY_FIRST).min(self.capacity_max as usize);
            self.items.reserve_exact(target - len);
        }
        debug_assert!(len < self.items.capacity(), "a ring that is not full has room");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::random::Random;

    #[test]
    fn an_unused_ring_has_no_heap() {
        let ring: Ring<[u8; 1_000]> = Ring::new(u32::MAX);
        assert_eq!(ring.heap_bytes(), 0);
        assert!(size_of::<Ring<u64>>() <= 40);
    }

    #[test]
    fn a_full_ring_hands_the_item_back() {
        let mut ring = Ring::new(2);
        assert_eq!(ring.push_back('a'), Ok(()));
        assert_eq!(ring.push_back('b'), Ok(()));
        assert_eq!(ring.push_back('c'), Err('c'));
        assert_eq!(ring.push_front('c'), Err('c'));
        assert_eq!(ring.pop_front(), Some('a'));
        assert_eq!(ring.push_back('c'), Ok(()));
        assert_eq!(ring.iter().collect::<String>(), "bc");
    }

    #[test]
    fn a_ring_of_nothing_refuses_everything() {
        let mut ring = Ring::new(0);
        assert_eq!(ring.push_back(1), Err(1));
        assert_eq!(ring.heap_bytes(), 0);
    }

    #[test]
    fn memory_grows_by_doubling_up_to_the_maximum_and_goes_when_idle() {
        let mut ring = Ring::new(11);
        let mut capacities = Vec::new();
        for number in 0..11_u64 {
            ring.push_back(number).unwrap();
            capacities.push(ring.heap_bytes() / 8);
        }
        assert_eq!(capacities, [4, 4, 4, 4, 8, 8, 8, 8, 11, 11, 11]);
        ring.shrink_if_idle();
        assert_eq!(ring.heap_bytes(), 88, "items keep their memory");
        ring.clear();
        ring.shrink_if_idle();
        assert_eq!(ring.heap_bytes(), 0);
    }

    #[test]
    fn a_ring_behaves_like_a_list() {
        for seed in 0..4 {
            let mut random = Random::from_seed(seed);
            let capacity_max = u32::try_from(random.range(1, 20)).unwrap();
            let (mut ring, mut list) = (Ring::new(capacity_max), Vec::new());
            for step in 0..20_000_u64 {
                apply(&mut random, step, &mut ring, &mut list);
                ring.check();
                assert!(ring.iter().eq(&list), "seed {seed}, step {step}");
                assert_eq!((ring.front(), ring.back()), (list.first(), list.last()));
                assert_eq!(ring.is_full(), list.len() == capacity_max as usize);
            }
        }
    }

    fn apply(random: &mut Random, step: u64, ring: &mut Ring<u64>, list: &mut Vec<u64>) {
        let index = random.index(list.len() + 1);
        match random.below(8) {
            0..=2 => match ring.push_back(step) {
                Ok(()) => list.push(step),
                Err(refused) => assert_eq!((refused, ring.len()), (step, list.len())),
            },
            3 => match ring.push_front(step) {
                Ok(()) => list.insert(0, step),
                Err(refused) => assert_eq!((refused, ring.len()), (step, list.len())),
            },
            4 => assert_eq!(ring.pop_front(), (!list.is_empty()).then(|| list.remove(0))),
            5 => assert_eq!(ring.pop_back(), list.pop()),
            6 => assert_eq!(ring.remove(index), (index < list.len()).then(|| list.remove(index))),
            _ => {
                assert_eq!(ring.get_mut(index), list.get_mut(index));
                ring.shrink_if_idle();
            }
        }
    }
}
