//! The texts of all filters in one arena: two bytes, the text, rounding to four.

const UNIT_BYTES: usize = 4;
const PAGE_UNITS_LOG2: u32 = 16;
const PAGE_BYTES: usize = UNIT_BYTES << PAGE_UNITS_LOG2;
const LENGTH_BYTES: usize = 2;
const NONE: u32 = u32::MAX;

const _: () = assert!(u16::MAX as usize + LENGTH_BYTES <= PAGE_BYTES, "the longest text fits into a page");

/// Where a text lies. Valid until the text is freed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Text(u32);

/// Texts of at most 65,535 bytes, in chunks of four-byte units: `length: u16, bytes`. A freed chunk
/// goes to the list of its size, linked through the chunk itself, and serves the next text of that
/// size. Chunks are neither split nor joined: what is held is at most the sum over sizes of each
/// size's peak.
#[derive(Debug)]
pub struct Texts {
    pages: Vec<Vec<u8>>,
    /// First free chunk by size in units.
    free: Vec<u32>,
    live_bytes: usize,
}

impl Texts {
    pub fn new() -> Self {
        Self { pages: Vec::new(), free: Vec::new(), live_bytes: 0 }
    }

    /// Stores a copy of the text.
    pub fn add(&mut self, text: &[u8]) -> Text {
        let length = u16::try_from(text.len()).expect("a filter has at most 65,535 bytes");
        let units = units_of(text.len());
        let text_at = self.take_free(units).unwrap_or_else(|| self.grow(units));
        self.live_bytes += units * UNIT_BYTES;

        let chunk = self.chunk_mut(text_at);
        chunk[..LENGTH_BYTES].copy_from_slice(&length.to_le_bytes());
        chunk[LENGTH_BYTES..LENGTH_BYTES + text.len()].copy_from_slice(text);
        text_at
    }

    /// The text that lies there.
    pub fn get(&self, text: Text) -> &[u8] {
        let (page, offset) = place(text);
        let chunk = &self.pages[page][offset..];
        let length = usize::from(u16::from_le_bytes([chunk[0], chunk[1]]));
        &chunk[LENGTH_BYTES..LENGTH_BYTES + length]
    }

    /// Gives the text's place to others.
    pub fn free(&mut self, text: Text) {
        let units = units_of(self.get(text).len());
        self.live_bytes -= units * UNIT_BYTES;
        self.put_free(text, units);
    }

    /// Bytes that live texts occupy, rounding included.
    pub fn live_bytes(&self) -> usize {
        self.live_bytes
    }

    /// Bytes on the heap.
    pub fn memory_bytes(&self) -> usize {
        let pages: usize = self.pages.iter().map(Vec::capacity).sum();
        pages + self.pages.capacity() * size_of::<Vec<u8>>() + self.free.capacity() * size_of::<u32>()
    }

    fn take_free(&mut self, units: usize) -> Option<Text> {
        let first = *self.free.get(units).filter(|first| **first != NONE)?;
        let chunk = self.chunk_mut(Text(first));
        let next = u32::from_le_bytes([chunk[0], chunk[1], chunk[2], chunk[3]]);
        self.free[units] = next;
        Some(Text(first))
    }

    fn put_free(&mut self, text: Text, units: usize) {
        debug_assert!(units > 0);
        if self.free.len() <= units {
            self.free.resize(units + 1, NONE);
        }
        let next = self.free[units];
        self.chunk_mut(text)[..UNIT_BYTES].copy_from_slice(&next.to_le_bytes());
        self.free[units] = text.0;
    }

    /// Cuts a chunk off the end of the last page, or begins a page and leaves the rest of the last
    /// one to smaller texts.
    fn grow(&mut self, units: usize) -> Text {
        let bytes = units * UNIT_BYTES;
        let used = self.pages.last().map_or(PAGE_BYTES, Vec::len);
        if used + bytes > PAGE_BYTES {
            self.retire_page(PAGE_BYTES - used);
            self.pages.push(Vec::new());
        }
        let page_index = self.pages.len() - 1;
        let page = &mut self.pages[page_index];
        let offset = page.len();
        if page.capacity() < offset + bytes {
            // Doubling, but never beyond the page.
            let wanted = (2 * page.capacity()).clamp(offset + bytes, PAGE_BYTES);
            page.reserve_exact(wanted - offset);
        }
        page.resize(offset + bytes, 0);
        let unit = (page_index << PAGE_UNITS_LOG2) + offset / UNIT_BYTES;
        Text(u32::try_from(unit).ok().filter(|unit| *unit != NONE).expect("an arena holds less than 16 GiB"))
    }

    fn retire_page(&mut self, rest_bytes: usize) {
        if rest_bytes == 0 || self.pages.is_empty() {
            return;
        }
        let page_index = self.pages.len() - 1;
        let offset = PAGE_BYTES - rest_bytes;
        self.pages[page_index].resize(PAGE_BYTES, 0);
        let unit = (page_index << PAGE_UNITS_LOG2) + offset / UNIT_BYTES;
        let rest = Text(u32::try_from(unit).expect("the page had been addressed before"));
        self.put_free(rest, rest_bytes / UNIT_BYTES);
    }

    fn chunk_mut(&mut self, text: Text) -> &mut [u8] {
        let (page, offset) = place(text);
        &mut self.pages[page][offset..]
    }
}

fn units_of(text_bytes: usize) -> usize {
    (LENGTH_BYTES + text_bytes).div_ceil(UNIT_BYTES)
}

fn place(text: Text) -> (usize, usize) {
    let page = (text.0 >> PAGE_UNITS_LOG2) as usize;
    let unit = text.0 as usize & ((1 << PAGE_UNITS_LOG2) - 1);
    (page, unit * UNIT_BYTES)
}

#[cfg(test)]
#[expect(clippy::cast_possible_truncation, reason = "the numbers of a test are small")]
mod tests {
    use super::*;

    #[test]
    fn a_freed_chunk_serves_the_next_text_of_its_size() {
        let mut texts = Texts::new();
        let first = texts.add(b"sport/tennis");
        let other = texts.add(b"a");
        texts.free(first);

        let second = texts.add(b"sport/soccer");

        assert_eq!(second, first);
        assert_eq!(texts.get(second), b"sport/soccer");
        assert_eq!(texts.get(other), b"a");
    }

    #[test]
    fn texts_of_every_length_survive_page_borders() {
        let mut texts = Texts::new();
        let lengths = || (0..65_536usize).step_by(371).chain([65_535, 0, 1, 2, 3]);
        let handles: Vec<Text> = lengths().map(|length| texts.add(&vec![(length % 251) as u8; length])).collect();

        for (handle, length) in handles.iter().zip(lengths()) {
            assert_eq!(texts.get(*handle), vec![(length % 251) as u8; length]);
        }
        for handle in &handles {
            texts.free(*handle);
        }
        assert_eq!(texts.live_bytes(), 0);
        let held = texts.memory_bytes();
        for length in lengths() {
            texts.add(&vec![1; length]);
        }
        assert!(texts.memory_bytes() <= held + PAGE_BYTES, "freed chunks are used again");
    }
}
