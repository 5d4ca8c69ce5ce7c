//! Objects under generation-checked keys: an old key finds nothing, never a successor.
//!
//! A key is an index and the generation that the slot had when the object moved in. Removal raises
//! the generation, so an old key held by a timer, a batch under way or another shard simply finds
//! nothing. A slot whose generations are used up is retired rather than started again: *a stale key
//! finds nothing, ever* has no "unless".
//!
//! Keys are typed by what they lead to: a `Key<Session>` cannot be used where a `Key<Connection>`
//! belongs.

use std::cmp::Ordering;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::marker::PhantomData;
use std::num::NonZeroU32;

use super::pages::Pages;

/// Leads to one object in a [`Slab<T>`], or to nothing once that object is gone. Eight bytes, as is
/// an `Option` of it.
pub struct Key<T> {
    index: u32,
    generation: NonZeroU32,
    /// A name for the target, not a borrow of it: keys may cross cores whatever `T` is.
    target: PhantomData<fn() -> T>,
}

impl<T> Key<T> {
    const fn new(index: u32, generation: NonZeroU32) -> Self {
        Self { index, generation, target: PhantomData }
    }

    /// Where in the slab; small numbers, reused.
    pub const fn index(self) -> u32 {
        self.index
    }

    /// How often the place has been used, counted from 1.
    pub const fn generation(self) -> u32 {
        self.generation.get()
    }

    /// The key as one number, for instance as the tag of an operation in flight. Never 0.
    pub const fn to_bits(self) -> u64 {
        (self.generation.get() as u64) << 32 | self.index as u64
    }

    /// The key that [`Key::to_bits`] made these bits of; nothing if no key has these bits.
    #[expect(clippy::cast_possible_truncation, reason = "the number is cut into its two halves")]
    pub const fn from_bits(bits: u64) -> Option<Self> {
        match NonZeroU32::new((bits >> 32) as u32) {
            Some(generation) => Some(Self::new(bits as u32, generation)),
            None => None,
        }
    }
}

// Written by hand, because derived ones would ask of T what only the key needs.
impl<T> Clone for Key<T> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<T> Copy for Key<T> {}

impl<T> PartialEq for Key<T> {
    fn eq(&self, other: &Self) -> bool {
        self.to_bits() == other.to_bits()
    }
}

impl<T> Eq for Key<T> {}

impl<T> PartialOrd for Key<T> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

/// By index, then by generation: the order in which a slab is walked.
impl<T> Ord for Key<T> {
    fn cmp(&self, other: &Self) -> Ordering {
        (self.index, self.generation).cmp(&(other.index, other.generation))
    }
}

impl<T> Hash for Key<T> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write_u64(self.to_bits());
    }
}

impl<T> fmt::Debug for Key<T> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}v{}", self.index, self.generation)
    }
}

/// A growing table of objects with stable keys. One per shard and kind of object.
///
/// A slot costs at most eight bytes beside its object. Slots are reused, latest first, and not
/// given back: memory follows the highest number of objects there were at one time. Growing moves no
/// object: a slab of millions grows page by page.
#[derive(Clone, Debug)]
pub struct Slab<T> {
    slots: Pages<Slot<T>>,
    /// The first of the chain of vacant slots, or [`END`].
    vacant_head: u32,
    /// len = occupied slots
    len: u32,
    /// Slots that their objects have left and that were not given back.
    away: u32,
}

#[derive(Clone, Debug)]
enum Slot<T> {
    Occupied {
        generation: NonZeroU32,
        value: T,
    },
    /// `generation` is the one that the next object gets, or 0 in a retired slot, which is in no
    /// chain. Nor is one that was not given back.
    Vacant {
        generation: u32,
        next: u32,
    },
}

/// A slot that its object has left and that no other object may take yet; whoever knew that object by its index is done first. One that
/// is not given back is lost to the slab.
#[derive(Debug)]
#[must_use = "a slot that is not given back is lost"]
pub struct Vacated<T>(Key<T>);

impl<T> Vacated<T> {
    /// The key that the object had. It finds nothing.
    pub const fn key(&self) -> Key<T> {
        self.0
    }
}

/// No index: the chain of vacant slots ends.
const END: u32 = u32::MAX;

impl<T> Slab<T> {
    /// An empty slab; it allocates with its first object.
    pub const fn new() -> Self {
        Self { slots: Pages::new(), vacant_head: END, len: 0, away: 0 }
    }

    /// Moves `value` in.
    pub fn insert(&mut self, value: T) -> Key<T> {
        let key = self.next_key();
        let slot = Slot::Occupied { generation: key.generation, value };
        match self.slots.get_mut(key.index as usize) {
            Some(vacant) => match std::mem::replace(vacant, slot) {
                Slot::Vacant { next, .. } => self.vacant_head = next,
                Slot::Occupied { .. } => {
                    unreachable!("the chain of vacant slots leads to vacant slots")
                }
            },
            None => self.slots.push(slot),
        }
        self.len += 1;
        key
    }

    /// The key that the next [`Slab::insert`] returns, for an object that wants to know its own.
    pub fn next_key(&self) -> Key<T> {
        if self.vacant_head == END {
            let index = u32::try_from(self.slots.len()).ok().filter(|&index| index != END);
            return Key::new(index.expect("a slab has fewer than 2^32 - 1 slots"), NonZeroU32::MIN);
        }
        match self.slot(self.vacant_head) {
            Slot::Vacant { generation, .. } => {
                let generation = NonZeroU32::new(*generation).expect("a retired slot is in no chain");
                Key::new(self.vacant_head, generation)
            }
            Slot::Occupied { .. } => {
                unreachable!("the chain of vacant slots leads to vacant slots")
            }
        }
    }

    fn slot(&self, index: u32) -> &Slot<T> {
        self.slots.get(index as usize).expect("the chain of vacant slots stays inside")
    }

    /// Moves the object out. From now on `key` finds nothing.
    pub fn remove(&mut self, key: Key<T>) -> Option<T> {
        let (value, slot) = self.vacate(key)?;
        self.give_back(slot);
        Some(value)
    }

    /// Moves the object out. From now on `key` finds nothing, and its index leads nowhere until the slot is given back.
    pub fn vacate(&mut self, key: Key<T>) -> Option<(T, Vacated<T>)> {
        self.get(key)?;
        let slot = self.slots.get_mut(key.index as usize)?;
        // MAX + 1 = 0 retires the slot.
        let generation = key.generation.get().wrapping_add(1);
        let vacant = Slot::Vacant { generation, next: END };
        self.len -= 1;
        self.away += u32::from(generation != 0);
        match std::mem::replace(slot, vacant) {
            Slot::Occupied { value, .. } => Some((value, Vacated(key))),
            Slot::Vacant { .. } => unreachable!("the key has just found its object"),
        }
    }

    /// Another object may take this slot.
    pub fn give_back(&mut self, Vacated(key): Vacated<T>) {
        match self.slots.get_mut(key.index as usize) {
            Some(Slot::Vacant { generation: 0, .. }) => {}
            Some(Slot::Vacant { next, .. }) => {
                *next = self.vacant_head;
                self.vacant_head = key.index;
                self.away -= 1;
            }
            Some(Slot::Occupied { .. }) | None => unreachable!("nobody has taken a slot that was not given back"),
        }
    }

    /// The object, if it is still there.
    pub fn get(&self, key: Key<T>) -> Option<&T> {
        match self.slots.get(key.index as usize)? {
            Slot::Occupied { generation, value } if *generation == key.generation => Some(value),
            Slot::Occupied { .. } | Slot::Vacant { .. } => None,
        }
    }

    /// The object, if it is still there, to change it.
    pub fn get_mut(&mut self, key: Key<T>) -> Option<&mut T> {
        match self.slots.get_mut(key.index as usize)? {
            Slot::Occupied { generation, value } if *generation == key.generation => Some(value),
            Slot::Occupied { .. } | Slot::Vacant { .. } => None,
        }
    }

    /// Whether the object is still there.
    pub fn contains(&self, key: Key<T>) -> bool {
        self.get(key).is_some()
    }

    /// The key of the object that now lives at `index`.
    pub fn key_at(&self, index: u32) -> Option<Key<T>> {
        self.at(index).map(|(key, _)| key)
    }

    /// The object that now lives at `index`, with its key.
    pub fn at(&self, index: u32) -> Option<(Key<T>, &T)> {
        match self.slots.get(index as usize)? {
            Slot::Occupied { generation, value } => Some((Key::new(index, *generation), value)),
            Slot::Vacant { .. } => None,
        }
    }

    /// Every index is below this: a walk in steps goes over `key_at(0..index_bound())`.
    pub fn index_bound(&self) -> u32 {
        u32::try_from(self.slots.len()).expect("a slab has fewer than 2^32 - 1 slots")
    }

    /// All objects with their keys, by index.
    pub fn iter(&self) -> impl Iterator<Item = (Key<T>, &T)> {
        (0..).zip(self.slots.iter()).filter_map(|(index, slot)| match slot {
            Slot::Occupied { generation, value } => Some((Key::new(index, *generation), value)),
            Slot::Vacant { .. } => None,
        })
    }

    /// All objects with their keys, by index, to change them.
    pub fn iter_mut(&mut self) -> impl Iterator<Item = (Key<T>, &mut T)> {
        (0..).zip(self.slots.iter_mut()).filter_map(|(index, slot)| match slot {
            Slot::Occupied { generation, value } => Some((Key::new(index, *generation), value)),
            Slot::Vacant { .. } => None,
        })
    }

    /// The keys of all objects, by index.
    pub fn keys(&self) -> impl Iterator<Item = Key<T>> {
        self.iter().map(|(key, _)| key)
    }

    /// How many objects there are.
    pub const fn len(&self) -> usize {
        self.len as usize
    }

    /// Whether there is no object.
    pub const fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Bytes on the heap, without what the objects themselves hold.
    pub fn heap_bytes(&self) -> usize {
        self.slots.heap_bytes()
    }

    /// Asserts the invariant: each slot is occupied, retired, not given back yet, or in the chain exactly once.
    pub fn check(&self) {
        let (mut occupied, mut retired) = (0, 0);
        for slot in self.slots.iter() {
            match slot {
                Slot::Occupied { .. } => occupied += 1,
                Slot::Vacant { generation: 0, .. } => retired += 1,
                Slot::Vacant { .. } => {}
            }
        }
        assert_eq!(occupied, self.len(), "len counts the occupied slots");
        let known = self.chain_len() + occupied + retired + self.away as usize;
        assert_eq!(known, self.slots.len(), "no vacant slot is lost");
    }

    /// Counts the chain of vacant slots; a longer walk than there are slots would be a cycle.
    fn chain_len(&self) -> usize {
        let (mut head, mut count) = (self.vacant_head, 0);
        while head != END {
            match *self.slot(head) {
                Slot::Vacant { generation, next } => {
                    assert_ne!(generation, 0, "a retired slot is in no chain");
                    head = next;
                }
                Slot::Occupied { .. } => {
                    panic!("slot {head} is occupied and in the chain of vacant ones")
                }
            }
            count += 1;
            assert!(count <= self.slots.len(), "the chain of vacant slots has an end");
        }
        count
    }
}

impl<T> Default for Slab<T> {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::base::random::Random;

    #[test]
    fn a_key_finds_its_object_until_it_is_removed() {
        let mut slab = Slab::new();
        let key = slab.insert("one");
        *slab.get_mut(key).unwrap() = "uno";
        assert_eq!(slab.get(key), Some(&"uno"));
        assert_eq!(slab.remove(key), Some("uno"));
        assert_eq!(slab.get(key), None);
        assert_eq!(slab.get_mut(key), None);
        assert_eq!(slab.remove(key), None);
        slab.check();
    }

    #[test]
    fn nobody_takes_a_slot_before_it_is_given_back() {
        let mut slab = Slab::new();
        let (first, second) = (slab.insert("one"), slab.insert("two"));
        let (value, slot) = slab.vacate(first).unwrap();
        assert_eq!((value, slot.key(), slab.len()), ("one", first, 1));
        assert!(slab.vacate(first).is_none() && slab.key_at(first.index()).is_none());
        let third = slab.insert("three");
        assert_ne!(third.index(), first.index());
        slab.check();
        slab.give_back(slot);
        assert_eq!(slab.insert("four").index(), first.index());
        assert!(slab.get(first).is_none() && slab.contains(second));
        slab.check();
    }

    #[test]
    fn a_stale_key_does_not_find_the_successor() {
        let mut slab = Slab::new();
        let first = slab.insert(1);
        slab.remove(first);
        let second = slab.insert(2);
        assert_eq!((first.index(), first.generation()), (0, 1));
        assert_eq!((second.index(), second.generation()), (0, 2));
        assert!(!slab.contains(first));
        assert_eq!(slab.remove(first), None);
        assert_eq!(slab.get(second), Some(&2));
        assert_eq!((slab.key_at(0), slab.at(0)), (Some(second), Some((second, &2))));
    }

    #[test]
    fn a_key_of_another_slab_finds_nothing_beyond_the_end() {
        let mut long = Slab::new();
        let keys: Vec<_> = (0..3).map(|number| long.insert(number)).collect();
        assert_eq!(Slab::new().get(keys[2]), None);
        assert_eq!(long.key_at(3), None);
    }

    #[test]
    fn a_slot_whose_generations_are_used_up_is_retired() {
        let mut slab = Slab::new();
        let mut key = slab.insert('a');
        *slab.slots.get_mut(0).unwrap() = Slot::Occupied { generation: NonZeroU32::MAX, value: 'z' };
        key.generation = NonZeroU32::MAX;
        assert_eq!(slab.remove(key), Some('z'));
        slab.check();
        let next = slab.insert('b');
        assert_eq!((next.index(), next.generation()), (1, 1));
        assert_eq!((slab.get(key), slab.key_at(0), slab.len()), (None, None, 1));
        slab.check();
    }

    #[test]
    fn keys_travel_as_bits() {
        let mut slab = Slab::new();
        let stale = slab.insert(());
        slab.remove(stale);
        let key = slab.insert(());
        assert_eq!(Key::from_bits(key.to_bits()), Some(key));
        assert_ne!(Key::from_bits(key.to_bits()), Some(stale));
        assert_eq!(Key::<()>::from_bits(u64::from(u32::MAX)), None);
        assert_eq!(format!("{key:?}"), "0v2");
    }

    #[test]
    fn a_slot_costs_at_most_eight_bytes_beside_its_object() {
        assert_eq!(size_of::<Option<Key<String>>>(), 8);
        assert_eq!(size_of::<Slot<u64>>(), 8 + 8);
        assert_eq!(size_of::<Slot<[u32; 3]>>(), 4 + 12);
        assert_eq!(size_of::<Slot<Vec<u8>>>(), 8 + 24);
        assert_eq!(size_of::<Slot<(Vec<u8>, u64, bool)>>(), 8 + 40);
    }

    #[test]
    fn a_slab_behaves_like_a_map_and_old_keys_find_nothing() {
        for seed in 0..4 {
            let mut random = Random::from_seed(seed);
            let (mut slab, mut map, mut gone) = (Slab::new(), BTreeMap::new(), Vec::new());
            for step in 0..50_000_u32 {
                let keys_max = 1 + step as usize % 100;
                if map.len() < keys_max && random.chance(1, 2) {
                    let expected = slab.next_key();
                    assert_eq!(slab.insert(step), expected);
                    assert_eq!(map.insert(expected, step), None, "a key is never given twice");
                } else if let Some(key) = random_key(&mut random, &map) {
                    assert_eq!(slab.remove(key), map.remove(&key));
                    gone.push(key);
                }
                if let Some(key) = random.pick(&gone) {
                    assert!(!slab.contains(*key) && slab.remove(*key).is_none());
                }
                if step % 64 == 0 {
                    slab.check();
                    assert!(slab.iter().eq(map.iter().map(|(key, value)| (*key, value))));
                    assert!(slab.iter_mut().map(|(key, _)| key).eq(map.keys().copied()));
                    assert!(slab.keys().all(|key| slab.key_at(key.index()) == Some(key)));
                    assert_eq!((slab.len(), slab.is_empty()), (map.len(), map.is_empty()));
                }
            }
            assert!(slab.index_bound() <= 100, "vacant slots are used again");
        }
    }

    fn random_key(random: &mut Random, map: &BTreeMap<Key<u32>, u32>) -> Option<Key<u32>> {
        if map.is_empty() { None } else { map.keys().nth(random.index(map.len())).copied() }
    }
}
