//! A growing array in pages: growing it moves nothing, so that a million entries never stop the world to be copied.

use std::fmt;

/// Entries of a page, as a power of two. An entry of eight bytes and any multiple of them fills whole pages of the system.
const PAGE_BITS: u32 = 9;
/// Entries of a page.
const PAGE: usize = 1 << PAGE_BITS;

/// A growing array. Every page but the last is full; the first one grows as a vector does, the others are made whole.
#[derive(Clone)]
pub struct Pages<T> {
    pages: Vec<Vec<T>>,
}

impl<T> Pages<T> {
    /// An empty one; it allocates with its first entry.
    pub const fn new() -> Self {
        Self { pages: Vec::new() }
    }

    /// Appends an entry.
    pub fn push(&mut self, value: T) {
        match self.pages.last_mut() {
            Some(last) if last.len() < PAGE => last.push(value),
            Some(_) => {
                let mut page = Vec::with_capacity(PAGE);
                page.push(value);
                self.pages.push(page);
            }
            None => self.pages.push(vec![value]),
        }
    }

    /// The entry at an index.
    pub fn get(&self, index: usize) -> Option<&T> {
        self.pages.get(index >> PAGE_BITS)?.get(index & (PAGE - 1))
    }

    /// The entry at an index, to change it.
    pub fn get_mut(&mut self, index: usize) -> Option<&mut T> {
        self.pages.get_mut(index >> PAGE_BITS)?.get_mut(index & (PAGE - 1))
    }

    /// How many entries there are.
    pub fn len(&self) -> usize {
        self.pages.last().map_or(0, |last| (self.pages.len() - 1) * PAGE + last.len())
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.pages.is_empty()
    }

    /// All entries, in order.
    pub fn iter(&self) -> impl Iterator<Item = &T> {
        self.pages.iter().flatten()
    }

    /// All entries, in order, to change them.
    pub fn iter_mut(&mut self) -> impl Iterator<Item = &mut T> {
        self.pages.iter_mut().flatten()
    }

    /// Bytes on the heap, without what the entries themselves hold.
    pub fn heap_bytes(&self) -> usize {
        let entries: usize = self.pages.iter().map(Vec::capacity).sum();
        entries * size_of::<T>() + self.pages.capacity() * size_of::<Vec<T>>()
    }
}

impl<T> Default for Pages<T> {
    fn default() -> Self {
        Self::new()
    }
}

impl<T: fmt::Debug> fmt::Debug for Pages<T> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_list().entries(self.iter()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_are_found_in_order_whatever_their_number() {
        let mut pages = Pages::new();
        assert!(pages.is_empty());
        for number in 0..PAGE * 3 + 5 {
            assert_eq!((pages.len(), pages.get(number)), (number, None));
            pages.push(number);
            assert_eq!(pages.get(number), Some(&number));
        }
        for entry in pages.iter_mut() {
            *entry += 1;
        }
        assert!(pages.iter().copied().eq(1..=PAGE * 3 + 5));
        *pages.get_mut(PAGE).unwrap() = 0;
        assert_eq!(pages.get(PAGE), Some(&0));
    }

    #[test]
    fn growing_moves_no_entry_behind_the_first_page() {
        let mut pages = Pages::new();
        (0..PAGE * 2).for_each(|number| pages.push(number));
        let before = std::ptr::from_ref(pages.get(PAGE + 1).unwrap());
        (0..PAGE * 100).for_each(|number| pages.push(number));
        assert_eq!(std::ptr::from_ref(pages.get(PAGE + 1).unwrap()), before);
        assert!(pages.heap_bytes() < (PAGE * 103 + PAGE * 8) * size_of::<usize>(), "no page is larger than it must be");
    }
}
