//! Changes in their order, between the moment they are made and the moment a sync makes them safe.

/// Changes that are not safe.
#[derive(Debug)]
pub struct Pending<T> {
    changes: Vec<T>,
    /// How many there were before the first of them.
    taken: u64,
}

/// What a sync is about: all that was changed before it began.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mark(u64);

impl<T> Default for Pending<T> {
    fn default() -> Self {
        Self { changes: Vec::new(), taken: 0 }
    }
}

impl<T> Pending<T> {
    /// A change is made.
    pub fn push(&mut self, change: T) {
        self.changes.push(change);
    }

    /// A sync begins.
    pub fn mark(&self) -> Mark {
        Mark(self.taken + self.changes.len() as u64)
    }

    /// A sync ends: what it was about, as far as no other one was quicker.
    pub fn take(&mut self, mark: Mark) -> impl Iterator<Item = T> {
        let count = mark.0.saturating_sub(self.taken);
        self.taken += count;
        self.changes.drain(..usize::try_from(count).expect("no more than there are"))
    }

    /// The power goes: everything.
    pub fn take_all(&mut self) -> impl Iterator<Item = T> {
        self.take(self.mark())
    }

    /// All of them, in order.
    pub fn iter(&self) -> impl Iterator<Item = &T> {
        self.changes.iter()
    }
}
