//! A hash table in parts that grow one by one, so that no insert rehashes millions of items.

use hashbrown::HashTable;

const PARTS_LOG2: u32 = 10;
const PARTS: usize = 1 << PARTS_LOG2;

/// A [`HashTable`] split by bits of the hash that its parts do not look at. Costs 32 KiB when
/// empty; at ten million items an insert that grows a part moves some ten thousand of them.
#[derive(Debug)]
pub struct Parts<T> {
    parts: Box<[HashTable<T>]>,
}

impl<T> Parts<T> {
    pub fn new() -> Self {
        Self { parts: (0..PARTS).map(|_| HashTable::new()).collect() }
    }

    /// The part that an item of this hash lives in.
    pub fn of(&self, hash: u64) -> &HashTable<T> {
        &self.parts[part(hash)]
    }

    pub fn of_mut(&mut self, hash: u64) -> &mut HashTable<T> {
        &mut self.parts[part(hash)]
    }

    pub fn iter(&self) -> impl Iterator<Item = &T> {
        self.parts.iter().flat_map(HashTable::iter)
    }

    pub fn len(&self) -> usize {
        self.parts.iter().map(HashTable::len).sum()
    }

    /// Bytes on the heap.
    pub fn memory_bytes(&self) -> usize {
        let tables: usize = self.parts.iter().map(HashTable::allocation_size).sum();
        tables + size_of_val(&*self.parts)
    }
}

/// A table takes its bucket from the low bits and its tag from the seven highest: between them are
/// bits to spare.
fn part(hash: u64) -> usize {
    (hash >> 40) as usize % PARTS
}
