//! Letters of other shards that are here and not read: by sender in their order, and the senders in rounds.
//!
//! In each round everybody who has sent something is read once, and who has come first is read first: where little waits, letters are read in the
//! order in which they came, whoever has sent them. What is too much for one input of the engine stays in its batch. The batch goes on when its sender is next, and not before the others
//! had their turn: one sender holds up nobody else, whatever it has sent.

use std::collections::VecDeque;

use super::mesh::{Batch, Inbox};
use crate::base::bitset::Bits64;
use crate::engine::homes::ShardId;

/// One per shard. How much there is of it the ways bound: a batch takes room there until it is read.
#[derive(Debug)]
pub struct Unread {
    piles: Vec<Pile>,
    /// Whose pile is not empty.
    senders: Bits64,
    /// Who was read in this round and has sent more.
    had_turn: Bits64,
    /// Batches that have ever come.
    count: u64,
}

/// What one sender has sent.
#[derive(Debug, Default)]
struct Pile {
    /// Each with how many had come before it.
    batches: VecDeque<(u64, Batch)>,
    /// The first of them is being read.
    is_begun: bool,
    /// How many of them were there when it was asked for.
    marked: usize,
}

impl Unread {
    /// None of any of so many shards.
    pub fn new(shards: usize) -> Self {
        let piles = (0..shards).map(|_| Pile::default()).collect();
        Self { piles, senders: Bits64::EMPTY, had_turn: Bits64::EMPTY, count: 0 }
    }

    /// A batch has come.
    pub fn put(&mut self, batch: Batch) {
        self.senders.insert(batch.from.bit());
        let pile = &mut self.piles[batch.from.index()];
        pile.batches.push_back((self.count, batch));
        self.count += 1;
    }

    /// Batches that have come go to those of their senders.
    pub fn take_in(&mut self, inbox: &Inbox) {
        for _ in 0..inbox.batches() {
            let Some(batch) = inbox.take_batch() else { return };
            self.put(batch);
        }
    }

    /// Who has sent something that is not read.
    pub fn senders(&self) -> Bits64 {
        self.senders
    }

    /// Whether all is read.
    pub fn is_empty(&self) -> bool {
        self.senders.is_empty()
    }

    /// How many batches there are.
    pub fn len(&self) -> usize {
        self.piles.iter().map(|pile| pile.batches.len()).sum()
    }

    /// The first batch of whoever is next of these senders, and whether nothing of it was read before. Behind him the others come.
    pub fn next(&mut self, of: Bits64) -> Option<(&mut Batch, bool)> {
        let waiting = self.senders.intersect(of);
        let mut left = waiting.difference(self.had_turn);
        if left.is_empty() {
            (left, self.had_turn) = (waiting, Bits64::EMPTY);
        }
        let arrival =
            |bit: &u32| self.piles[ShardId::of_bit(*bit).index()].batches.front().map(|(arrival, _)| *arrival);
        let bit = left.iter().min_by_key(arrival)?;
        self.had_turn.insert(bit);
        let pile = &mut self.piles[ShardId::of_bit(bit).index()];
        let is_new = !std::mem::replace(&mut pile.is_begun, true);
        pile.batches.front_mut().map(|(_, batch)| (batch, is_new))
    }

    /// The first batch of this sender is read: what it was charged.
    pub fn pop(&mut self, sender: ShardId) -> usize {
        let pile = &mut self.piles[sender.index()];
        let (_, batch) = pile.batches.pop_front().expect("it was being read");
        debug_assert!(batch.letters.is_empty(), "all of it was read");
        pile.is_begun = false;
        pile.marked = pile.marked.saturating_sub(1);
        if pile.batches.is_empty() {
            self.senders.remove(sender.bit());
            self.had_turn.remove(sender.bit()); // he has taken nothing from those who come before what he sends next
        }
        batch.bytes
    }

    /// Remembers what is here now.
    pub fn mark(&mut self) {
        self.piles.iter_mut().for_each(|pile| pile.marked = pile.batches.len());
    }

    /// Whether all that was here at that moment is read.
    pub fn is_marked_read(&self) -> bool {
        self.piles.iter().all(|pile| pile.marked == 0)
    }
}

#[cfg(test)]
mod tests {
    use super::super::mesh::tests::letters;
    use super::*;

    fn batch(from: usize, number: u64, count: usize) -> Batch {
        Batch { from: ShardId::new(from), sent_ns: number, bytes: 10, letters: letters(count, 1) }
    }

    /// Reads one letter of whoever is next, until all is read: whose it was, and of which of his batches.
    fn read_all(unread: &mut Unread) -> Vec<(usize, u64)> {
        let mut read = Vec::new();
        while let Some((batch, _)) = unread.next(Bits64::all_below(64)) {
            let (from, number) = (batch.from, batch.sent_ns);
            batch.letters.pop();
            if batch.letters.is_empty() {
                assert_eq!(unread.pop(from), 10);
            }
            read.push((from.index(), number));
        }
        read
    }

    #[test]
    fn a_batch_that_is_too_much_holds_up_its_own_sender_alone() {
        let mut unread = Unread::new(4);
        for (from, number, count) in [(3, 0, 4), (3, 1, 1), (0, 0, 1), (2, 0, 2), (0, 1, 1)] {
            unread.put(batch(from, number, count));
        }
        assert_eq!((unread.len(), unread.is_empty()), (5, false));
        let read = read_all(&mut unread);
        assert_eq!(read, [(3, 0), (0, 0), (2, 0), (3, 0), (2, 0), (0, 1), (3, 0), (3, 0), (3, 1)]);
        assert_eq!((unread.len(), unread.is_empty()), (0, true));
    }

    #[test]
    fn who_has_come_first_is_read_first_whoever_was_read_before() {
        let mut unread = Unread::new(4);
        for round in 0..5 {
            let order = [2, 0, 3, 1].map(|from| (from + round) % 4);
            for from in order {
                unread.put(batch(from, 0, 1));
            }
            let Some((first, _)) = unread.next(Bits64::all_below(4)) else { panic!("four have sent something") };
            assert_eq!(first.from.index(), order[0]);
            first.letters.clear();
            unread.pop(ShardId::new(order[0]));
            unread.put(batch(order[0], 1, 1));
            let [_, second, third, fourth] = order.map(|from| (from, 0));
            assert_eq!(read_all(&mut unread), [second, third, fourth, (order[0], 1)]);
        }
        unread.put(batch(0, 0, 1));
        assert_eq!(read_all(&mut unread), [(0, 0)]);
        unread.put(batch(0, 1, 1));
        unread.put(batch(1, 0, 1));
        assert_eq!(read_all(&mut unread), [(0, 1), (1, 0)], "that he was read before is over");
    }

    #[test]
    fn a_sender_that_had_its_turn_is_passed_over() {
        let mut unread = Unread::new(2);
        unread.put(batch(0, 0, 2));
        assert!(unread.next(Bits64::of(1)).is_none());
        assert!(unread.next(Bits64::of(0)).is_some_and(|(_, is_new)| is_new));
        assert!(unread.next(Bits64::of(0)).is_some_and(|(_, is_new)| !is_new), "it goes on with the same one");
    }

    #[test]
    fn what_comes_behind_a_mark_is_not_waited_for() {
        let mut unread = Unread::new(2);
        unread.put(batch(0, 0, 1));
        unread.put(batch(1, 0, 1));
        unread.mark();
        unread.put(batch(0, 1, 1));
        for from in [0, 1] {
            assert!(!unread.is_marked_read());
            let (batch, _) = unread.next(Bits64::all_below(2)).unwrap();
            batch.letters.clear();
            unread.pop(ShardId::new(from));
        }
        assert!(unread.is_marked_read() && !unread.is_empty());
    }
}
