//! The subscriptions of one filter when it has more than one: contiguous, found in one step.

use super::entry::{Entry, Options, Subscriber};

/// Up to this many are searched one by one: four cache lines.
const SCANNED_MAX: usize = 32;

/// Subscriptions of one filter. Insert, remove and look-up take constant time whatever their number
/// (beside growth by a quarter). Costs 8 to 10 bytes a subscription, 5 to 6.3 more from the 33rd
/// on.
#[derive(Debug, Default)]
pub struct Audience {
    entries: Vec<Entry>,
    /// Present exactly while there are more than [`SCANNED_MAX`] entries (and a few fewer on the
    /// way down).
    positions: Option<Box<Positions>>,
}

impl Audience {
    pub fn entries(&self) -> &[Entry] {
        &self.entries
    }

    pub fn options(&self, subscriber: Subscriber) -> Option<Options> {
        self.position(subscriber).map(|position| self.entries[position].options)
    }

    /// Adds a subscription or changes its options; returns the options it had.
    pub fn insert(&mut self, entry: Entry) -> Option<Options> {
        if let Some(position) = self.position(entry.subscriber) {
            return Some(std::mem::replace(&mut self.entries[position].options, entry.options));
        }
        if self.entries.len() == self.entries.capacity() {
            self.entries.reserve_exact(self.entries.len() / 4 + 2);
        }
        self.entries.push(entry);
        match &mut self.positions {
            Some(positions) => positions.insert_last(&self.entries),
            None if self.entries.len() > SCANNED_MAX => {
                self.positions = Some(Box::new(Positions::of(&self.entries)));
            }
            None => {}
        }
        None
    }

    /// Takes a subscription out; the last one moves to its place.
    pub fn remove(&mut self, subscriber: Subscriber) -> Option<Options> {
        let position = self.position(subscriber)?;
        if let Some(positions) = &mut self.positions {
            positions.remove_swapping(&self.entries, position);
        }
        let removed = self.entries.swap_remove(position);
        self.shrink();
        Some(removed.options)
    }

    pub fn memory_bytes(&self) -> usize {
        let positions =
            self.positions.as_ref().map_or(0, |p| size_of::<Positions>() + p.cells.capacity() * size_of::<u32>());
        self.entries.capacity() * size_of::<Entry>() + positions
    }

    /// Panics unless the position index and the entries say the same.
    pub fn check(&self) {
        let Some(positions) = &self.positions else {
            assert!(self.entries.len() <= SCANNED_MAX, "many entries have a position index");
            return;
        };
        assert_eq!(positions.cells.iter().filter(|cell| **cell != EMPTY).count(), self.entries.len());
        for (position, entry) in self.entries.iter().enumerate() {
            assert_eq!(positions.find(&self.entries, entry.subscriber), Some(position));
        }
    }

    fn position(&self, subscriber: Subscriber) -> Option<usize> {
        match &self.positions {
            Some(positions) => positions.find(&self.entries, subscriber),
            None => self.entries.iter().position(|entry| entry.subscriber == subscriber),
        }
    }

    /// Gives memory back, with enough distance between growing and shrinking that neither repeats
    /// at a border.
    fn shrink(&mut self) {
        let len = self.entries.len();
        if len * 2 < self.entries.capacity() {
            self.entries.shrink_to(len + len / 4);
        }
        if len <= SCANNED_MAX / 2 {
            self.positions = None;
        } else if let Some(positions) = &mut self.positions
            && len * 3 < positions.cells.len()
        {
            **positions = Positions::of(&self.entries);
        }
    }
}

const EMPTY: u32 = u32::MAX;

/// Open addressing from a subscriber to its position among the entries: a cell is the position
/// alone, the key is read from the entry. Linear probing, no tombstones.
#[derive(Debug)]
struct Positions {
    /// 1.25 to 3 times as many as entries; growth by a quarter keeps them at 1.25 to 1.56 while the
    /// number rises.
    cells: Vec<u32>,
}

impl Positions {
    fn of(entries: &[Entry]) -> Self {
        let mut positions = Self { cells: vec![EMPTY; entries.len() * 25 / 16 + 8] };
        for position in 0..entries.len() {
            positions.place(entries, position);
        }
        positions
    }

    fn find(&self, entries: &[Entry], subscriber: Subscriber) -> Option<usize> {
        let cell = self.cell(entries, subscriber)?;
        Some(self.cells[cell] as usize)
    }

    /// Takes up the last of the entries.
    fn insert_last(&mut self, entries: &[Entry]) {
        if entries.len() * 5 > self.cells.len() * 4 {
            *self = Self::of(entries);
        } else {
            self.place(entries, entries.len() - 1);
        }
    }

    /// Makes the index what it must be after `entries.swap_remove(position)`, which has not
    /// happened yet.
    fn remove_swapping(&mut self, entries: &[Entry], position: usize) {
        let last = entries.len() - 1;
        let gone = self.cell(entries, entries[position].subscriber).expect("each entry has a cell");
        let moved = self.cell(entries, entries[last].subscriber).expect("each entry has a cell");
        self.cells[moved] = self.cells[gone];
        self.close(entries, gone, last, position);
    }

    /// Empties a cell and moves back the following ones that would not be found any more.
    fn close(&mut self, entries: &[Entry], mut hole: usize, last: usize, position: usize) {
        // A cell that now says `position` stands for the entry that still lies at `last`.
        let entry_of = |cell: u32| {
            if cell as usize == position { last } else { cell as usize }
        };
        let count = self.cells.len();
        let mut next = hole;
        loop {
            next = self.after(next);
            let cell = self.cells[next];
            if cell == EMPTY {
                break;
            }
            let start = self.home(entries[entry_of(cell)].subscriber);
            // Distances on the ring: the cell may move to the hole unless its home lies behind it.
            let distance = (next + count - start) % count;
            let gained = (next + count - hole) % count;
            if distance >= gained {
                self.cells[hole] = cell;
                hole = next;
            }
        }
        self.cells[hole] = EMPTY;
    }

    fn place(&mut self, entries: &[Entry], position: usize) {
        let mut cell = self.home(entries[position].subscriber);
        while self.cells[cell] != EMPTY {
            cell = self.after(cell);
        }
        self.cells[cell] = u32::try_from(position).expect("fewer than 2^32 subscribers");
    }

    fn cell(&self, entries: &[Entry], subscriber: Subscriber) -> Option<usize> {
        let mut cell = self.home(subscriber);
        loop {
            let position = self.cells[cell];
            if position == EMPTY {
                return None;
            }
            if entries[position as usize].subscriber == subscriber {
                return Some(cell);
            }
            cell = self.after(cell);
        }
    }

    /// The next cell on the ring.
    fn after(&self, cell: usize) -> usize {
        if cell + 1 == self.cells.len() { 0 } else { cell + 1 }
    }

    /// Slab indices are ours and dense: Fibonacci hashing spreads them evenly, and no peer chooses
    /// them.
    fn home(&self, subscriber: Subscriber) -> usize {
        let hash = subscriber.bits().wrapping_mul(0x9E37_79B1);
        ((u64::from(hash) * self.cells.len() as u64) >> 32) as usize
    }
}

#[cfg(test)]
#[expect(clippy::cast_possible_truncation, reason = "the numbers of a test are small")]
mod tests {
    use super::*;
    use crate::base::random::Random;
    use crate::mqtt::version::QoS;
    use std::collections::BTreeMap;

    fn entry(index: u32, id: u32) -> Entry {
        Entry { subscriber: Subscriber::session(index), options: Options::new(QoS::AtLeastOnce).with_id(id) }
    }

    #[test]
    fn an_audience_behaves_as_a_map() {
        let mut random = Random::from_seed(11);
        let mut audience = Audience::default();
        let mut model = BTreeMap::new();
        for round in 0..60_000u32 {
            // The number of subscribers swings between none and some two hundred.
            let growing = round / 1_000 % 2 == 0;
            let index = random.below(220) as u32;
            let entry = entry(index, round % 1_000);
            if random.below(10) < if growing { 8 } else { 2 } {
                assert_eq!(audience.insert(entry), model.insert(index, entry.options));
            } else {
                assert_eq!(audience.remove(entry.subscriber), model.remove(&index));
            }
            assert_eq!(audience.options(entry.subscriber), model.get(&index).copied());
            assert_eq!(audience.entries().len(), model.len());
            if round % 64 == 0 {
                audience.check();
            }
        }
    }

    #[test]
    fn a_large_audience_stays_within_its_bytes() {
        let mut audience = Audience::default();
        for index in 0..300_000 {
            audience.insert(entry(index, 0));
            if index % 10_000 == 9_999 {
                let bytes = audience.memory_bytes() * 10 / (index as usize + 1);
                assert!(bytes <= 165, "{bytes} tenths of a byte a subscription at {index}");
            }
        }
        audience.check();
        for index in 0..300_000 {
            assert!(audience.remove(Subscriber::session(index)).is_some());
        }
        assert!(audience.memory_bytes() < 1_000);
    }
}
