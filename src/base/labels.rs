//! Millions of short texts under four bytes each: those of one length lie in pages of their own, without a byte between them.
//!
//! A `Box<str>` takes sixteen bytes where it is held and a block of the allocator's own sizes where it lies. Here a text takes
//! its bytes and the [`Label`] that leads to it. A page serves one length, so it needs no lengths and its gaps fit every newcomer;
//! one that has run empty serves another length, so memory follows what is held, whatever lengths come and go.

/// Leads to a text in [`Labels`]. Valid until the text is taken out; then it may lead to another one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Label(u32);

/// Texts of at most 65,535 bytes. One per shard and concern.
#[derive(Debug)]
pub struct Labels {
    pages: Vec<Page>,
    /// By length: the first of the chain of pages that have room.
    roomy: Vec<u32>,
    /// Pages that hold nothing and have no memory.
    spare: Vec<u32>,
    /// The page that ran empty last: it keeps its memory and its length until another one does, for who comes and goes.
    emptied: u32,
    len: usize,
}

/// Texts of one length, one behind the other.
#[derive(Debug)]
struct Page {
    /// What was taken out stays written until somebody takes its place.
    text: String,
    taken: Taken,
    /// How many are taken, and how many there can be.
    count: u16,
    slots: u16,
    length: u16,
    /// Its neighbours in the chain of those that have room.
    before: u32,
    after: u32,
}

/// No page: a chain ends.
const NONE: u32 = u32::MAX;
const SLOT_BITS: u32 = 8;
const SLOTS_MAX: u16 = 1 << SLOT_BITS;
/// A bit for each slot.
type Taken = [u64; SLOTS_MAX as usize / 64];
/// A page is as long as that, unless it is full before or its only text is longer.
const PAGE_BYTES: u16 = 4096;

impl Label {
    fn new(page: u32, slot: usize) -> Self {
        assert!(page < 1 << (u32::BITS - SLOT_BITS), "fewer than 2^24 pages");
        Self(page << SLOT_BITS | u32::try_from(slot).expect("a page has 256 slots at most"))
    }

    fn page(self) -> u32 {
        self.0 >> SLOT_BITS
    }

    fn slot(self) -> usize {
        self.0 as usize & (usize::from(SLOTS_MAX) - 1)
    }
}

impl Labels {
    /// None yet; they allocate with the first one.
    pub const fn new() -> Self {
        Self { pages: Vec::new(), roomy: Vec::new(), spare: Vec::new(), emptied: NONE, len: 0 }
    }

    /// Stores a copy of the text.
    pub fn add(&mut self, text: &str) -> Label {
        let length = u16::try_from(text.len()).expect("a label has at most 65,535 bytes");
        let number = match self.roomy.get(text.len()) {
            Some(&number) if number != NONE => number,
            Some(_) | None => self.begin_page(length),
        };
        if number == self.emptied {
            self.emptied = NONE;
        }
        let page = &mut self.pages[number as usize];
        let slot = page.add(text);
        if !page.has_room() {
            self.unchain(number);
        }
        self.len += 1;
        Label::new(number, slot)
    }

    /// The text.
    pub fn get(&self, label: Label) -> &str {
        let page = &self.pages[label.page() as usize];
        debug_assert!(page.holds(label.slot()), "a label leads to a text that is held");
        &page.text[page.range(label.slot())]
    }

    /// Takes the text out.
    pub fn remove(&mut self, label: Label) {
        let number = label.page();
        let page = &mut self.pages[number as usize];
        assert!(page.holds(label.slot()), "what is taken out was held");
        let was_full = !page.has_room();
        page.taken[label.slot() / 64] &= !(1 << (label.slot() % 64));
        page.count -= 1;
        let is_empty = page.count == 0;
        if was_full {
            self.chain(number);
        }
        if is_empty && let Some(before) = self.replace_emptied(number) {
            self.unchain(before);
            self.pages[before as usize].text = String::new();
            self.spare.push(before);
        }
        self.len -= 1;
    }

    /// Takes note of the page that ran empty last; which one did before and is empty still.
    fn replace_emptied(&mut self, number: u32) -> Option<u32> {
        let before = std::mem::replace(&mut self.emptied, number);
        (before != NONE).then_some(before)
    }

    /// How many texts there are.
    pub const fn len(&self) -> usize {
        self.len
    }

    /// Whether there is none.
    pub const fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Bytes on the heap.
    pub fn heap_bytes(&self) -> usize {
        let texts: usize = self.pages.iter().map(|page| page.text.capacity()).sum();
        let numbers = self.roomy.capacity() + self.spare.capacity();
        texts + self.pages.capacity() * size_of::<Page>() + numbers * size_of::<u32>()
    }

    /// Asserts the invariants: a page is spare, full, or in the chain of its length.
    ///
    /// # Panics
    /// When one of them does not hold.
    pub fn check(&self) {
        let (mut chained, mut held) = (0, 0);
        for (length, &first) in self.roomy.iter().enumerate() {
            let (mut number, mut before) = (first, NONE);
            while number != NONE {
                let page = &self.pages[number as usize];
                assert_eq!((usize::from(page.length), page.before), (length, before), "a chain is of one length");
                assert!(page.has_room(), "what is chained has room");
                assert!(page.count > 0 || number == self.emptied, "what holds nothing is spare, but for one");
                chained += 1;
                assert!(chained <= self.pages.len(), "a chain has an end");
                (before, number) = (number, page.after);
            }
        }
        let mut full = 0;
        for page in &self.pages {
            let taken: u32 = page.taken.iter().map(|bits| bits.count_ones()).sum();
            assert_eq!(taken, u32::from(page.count), "what is taken is counted");
            held += usize::from(page.count);
            full += usize::from(!page.has_room());
        }
        assert_eq!(held, self.len, "each text is counted");
        assert_eq!(chained + full + self.spare.len(), self.pages.len(), "no page is lost");
    }

    /// A page for this length, first of its chain.
    fn begin_page(&mut self, length: u16) -> u32 {
        let page = Page::new(length);
        let number = if let Some(number) = self.spare.pop() {
            self.pages[number as usize] = page;
            number
        } else {
            self.pages.push(page);
            u32::try_from(self.pages.len() - 1).expect("fewer than 2^24 pages")
        };
        if self.roomy.len() <= usize::from(length) {
            self.roomy.resize(usize::from(length) + 1, NONE);
        }
        self.chain(number);
        number
    }

    /// Puts a page in front of those of its length that have room.
    fn chain(&mut self, number: u32) {
        let page = &mut self.pages[number as usize];
        let first = &mut self.roomy[usize::from(page.length)];
        (page.before, page.after) = (NONE, *first);
        let after = std::mem::replace(first, number);
        if let Some(after) = self.pages.get_mut(after as usize) {
            after.before = number;
        }
    }

    /// Takes a page out of its chain.
    fn unchain(&mut self, number: u32) {
        let page = &self.pages[number as usize];
        let (before, after, length) = (page.before, page.after, page.length);
        match self.pages.get_mut(before as usize) {
            Some(before) => before.after = after,
            None => self.roomy[usize::from(length)] = after,
        }
        if let Some(after) = self.pages.get_mut(after as usize) {
            after.before = before;
        }
    }
}

impl Page {
    fn new(length: u16) -> Self {
        let slots = slots_of(length);
        let text = String::with_capacity(usize::from(slots) * usize::from(length));
        Self { text, taken: Taken::default(), count: 0, slots, length, before: NONE, after: NONE }
    }

    /// Writes a text of the page's length into the first gap, or behind the last text.
    fn add(&mut self, text: &str) -> usize {
        debug_assert!(text.len() == usize::from(self.length) && self.has_room());
        let (word, bits) = (0..).zip(&mut self.taken).find(|(_, bits)| **bits != u64::MAX).expect("there is room");
        let bit = bits.trailing_ones();
        *bits |= 1 << bit;
        self.count += 1;
        let slot = word * 64 + bit as usize;
        let range = self.range(slot);
        if range.start == self.text.len() {
            self.text.push_str(text);
        } else {
            self.text.replace_range(range, text);
        }
        slot
    }

    fn range(&self, slot: usize) -> std::ops::Range<usize> {
        let length = usize::from(self.length);
        slot * length..(slot + 1) * length
    }

    fn holds(&self, slot: usize) -> bool {
        self.taken[slot / 64] & 1 << (slot % 64) != 0
    }

    fn has_room(&self) -> bool {
        self.count < self.slots
    }
}

impl Default for Labels {
    fn default() -> Self {
        Self::new()
    }
}

/// How many texts of this length a page holds.
fn slots_of(length: u16) -> u16 {
    (PAGE_BYTES / length.max(1)).clamp(1, SLOTS_MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::random::Random;

    #[test]
    fn a_text_is_found_until_it_is_taken_out_and_its_place_serves_another() {
        let mut labels = Labels::new();
        let [first, second] = ["client-1", "client-2"].map(|text| labels.add(text));
        labels.remove(first);
        let third = labels.add("client-3");
        assert_eq!(third, first, "the gap is filled");
        assert_eq!((labels.get(second), labels.get(third), labels.len()), ("client-2", "client-3", 2));
        labels.check();
    }

    #[test]
    fn texts_of_every_length_come_back_as_they_were() {
        let mut labels = Labels::new();
        let texts: Vec<String> =
            [0, 1, 3, 23, 36, 4_095, 4_096, 4_097, 65_535].into_iter().map(|length| "x".repeat(length)).collect();
        let known: Vec<(Label, &String)> =
            texts.iter().cycle().take(900).map(|text| (labels.add(text), text)).collect();
        labels.check();
        assert!(known.iter().all(|(label, text)| labels.get(*label) == **text));
        for (label, _) in known {
            labels.remove(label);
        }
        labels.check();
        assert!(labels.is_empty());
    }

    #[test]
    fn letters_of_several_bytes_keep_their_places() {
        let mut labels = Labels::new();
        let known: Vec<Label> = ["für", "für", "süß"].into_iter().map(|text| labels.add(text)).collect();
        labels.remove(known[1]);
        labels.add("abcd");
        let again = labels.add("\u{1f600}");
        assert_eq!(known[..1].iter().map(|label| labels.get(*label)).collect::<Vec<_>>(), ["für"]);
        assert_eq!((labels.get(known[2]), labels.get(again)), ("süß", "\u{1f600}"));
    }

    #[test]
    fn a_text_costs_its_bytes_and_little_more() {
        for length in [14_usize, 23, 36, 200] {
            let mut labels = Labels::new();
            for number in 0..100_000 {
                labels.add(&format!("{number:0length$}"));
            }
            // 72 bytes a page, which the list of pages may have reserved twice.
            let each = labels.heap_bytes() * 100 / 100_000;
            let slots = usize::from(slots_of(u16::try_from(length).unwrap()));
            let most = length * 100 + 2 * 100 * size_of::<Page>() / slots + 10;
            assert!((length * 100..=most).contains(&each), "{length}: {each} hundredths, {most} at most");
        }
    }

    #[test]
    fn lengths_that_come_and_go_leave_no_memory_behind() {
        let mut labels = Labels::new();
        let mut peak = 0;
        for length in 100_usize..1_000 {
            let known: Vec<Label> = (0..100).map(|number| labels.add(&format!("{number:0length$}"))).collect();
            peak = peak.max(labels.heap_bytes());
            for label in known {
                labels.remove(label);
            }
            labels.check();
        }
        assert!(peak < 150_000, "{peak} bytes for 100,000 bytes of text");
        assert!(labels.heap_bytes() < 20_000, "{} bytes for nothing", labels.heap_bytes());
    }

    #[test]
    fn they_behave_like_a_list_of_strings() {
        for seed in 0..8 {
            let mut random = Random::from_seed(seed);
            let (mut labels, mut known) = (Labels::new(), Vec::<(Label, String)>::new());
            for step in 0..20_000_usize {
                let wanted = if step % 4_000 < 2_000 { 700 } else { 5 };
                if known.len() < wanted && random.chance(2, 3) {
                    let text = format!("{step:0length$}", length = 5 + random.index(4) * random.index(40));
                    known.push((labels.add(&text), text));
                } else if !known.is_empty() {
                    let (label, text) = known.swap_remove(random.index(known.len()));
                    assert_eq!(labels.get(label), text);
                    labels.remove(label);
                }
                if step % 512 == 0 {
                    labels.check();
                    assert_eq!(labels.len(), known.len());
                    assert!(known.iter().all(|(label, text)| labels.get(*label) == *text));
                }
            }
        }
    }
}
