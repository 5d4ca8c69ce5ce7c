//! A growing array in pages: it never moves what it holds, so its growth has no pause.

const PAGE_ITEMS_LOG2: u32 = 12;
const PAGE_ITEMS: usize = 1 << PAGE_ITEMS_LOG2;

/// An array of `T` addressed by `u32`. Only its last page ever grows (and so may be copied); full
/// pages stay where they are.
#[derive(Debug)]
pub struct Pages<T> {
    pages: Vec<Vec<T>>,
    len: u32,
}

impl<T> Pages<T> {
    pub fn new() -> Self {
        Self { pages: Vec::new(), len: 0 }
    }

    pub fn len(&self) -> u32 {
        self.len
    }

    /// Appends and returns the new item's number.
    pub fn push(&mut self, item: T) -> u32 {
        let number = self.len;
        if (number as usize).is_multiple_of(PAGE_ITEMS) {
            self.pages.push(Vec::new());
        }
        let page = self.pages.last_mut().expect("a page was pushed before the first item");
        page.push(item);
        self.len = number.checked_add(1).expect("fewer than 2^32 items");
        number
    }

    pub fn get(&self, number: u32) -> &T {
        &self.pages[(number >> PAGE_ITEMS_LOG2) as usize][number as usize % PAGE_ITEMS]
    }

    pub fn get_mut(&mut self, number: u32) -> &mut T {
        &mut self.pages[(number >> PAGE_ITEMS_LOG2) as usize][number as usize % PAGE_ITEMS]
    }

    pub fn iter(&self) -> impl Iterator<Item = &T> {
        self.pages.iter().flatten()
    }

    /// Bytes on the heap, without what the items own.
    pub fn memory_bytes(&self) -> usize {
        let items: usize = self.pages.iter().map(Vec::capacity).sum();
        items * size_of::<T>() + self.pages.capacity() * size_of::<Vec<T>>()
    }
}

#[cfg(test)]
#[expect(clippy::cast_possible_truncation, reason = "the numbers of a test are small")]
mod tests {
    use super::*;

    #[test]
    fn items_keep_their_numbers_across_pages() {
        let mut pages = Pages::new();
        for number in 0..3 * PAGE_ITEMS as u32 + 5 {
            assert_eq!(pages.push(number * 2), number);
        }
        *pages.get_mut(PAGE_ITEMS as u32) = 1;

        assert_eq!(*pages.get(PAGE_ITEMS as u32 - 1), PAGE_ITEMS as u32 * 2 - 2);
        assert_eq!(*pages.get(PAGE_ITEMS as u32), 1);
        assert_eq!(pages.iter().count(), pages.len() as usize);
    }
}
