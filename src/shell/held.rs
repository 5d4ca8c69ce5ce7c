//! What finds no room on the way to another shard: it waits here, in its order.

use std::collections::VecDeque;

use super::mesh::{Parcel, Ways};
use crate::base::bitset::Bits64;
use crate::engine::homes::ShardId;

/// Parcels of one shard that found no room. One per shard.
///
/// Publishers are slowed down while messages wait. Others are few: a client that is on its way in has one parcel at a time.
#[derive(Debug)]
pub struct Held {
    letters: Queues,
    others: Queues,
}

/// Parcels of one lane that found no room, by the shard they are for, in order.
#[derive(Debug)]
struct Queues {
    queues: Vec<VecDeque<Parcel>>,
    /// How many of the first of each waited when it was asked for.
    marked: Vec<usize>,
    /// The shards whose queue is not empty.
    full: Bits64,
}

impl Held {
    /// None for any of so many shards.
    pub fn new(shards: usize) -> Self {
        Self { letters: Queues::new(shards), others: Queues::new(shards) }
    }

    /// Sends a parcel, behind those that wait for the same lane of the same shard. Says whether the way has just become full of messages.
    pub fn send(&mut self, ways: &Ways, from: ShardId, to: ShardId, parcel: Parcel) -> bool {
        let is_batch = parcel.is_batch();
        let lane = if is_batch { &mut self.letters } else { &mut self.others };
        lane.send(ways, from, to, parcel) && is_batch
    }

    /// Tries again; says for which shards no messages wait any more.
    pub fn retry(&mut self, ways: &Ways, from: ShardId) -> Bits64 {
        self.others.retry(ways, from);
        self.letters.retry(ways, from)
    }

    /// Remembers which messages wait now.
    pub fn mark(&mut self) {
        self.letters.marked = self.letters.queues.iter().map(VecDeque::len).collect();
    }

    /// Whether all messages that waited at that moment have found room.
    pub fn has_sent_marked(&self) -> bool {
        self.letters.marked.iter().all(|marked| *marked == 0)
    }

    /// Whether nothing waits.
    pub fn is_empty(&self) -> bool {
        self.letters.full.is_empty() && self.others.full.is_empty()
    }

    /// How many parcels wait.
    pub fn len(&self) -> usize {
        self.all().count()
    }

    /// What they are charged.
    pub fn bytes(&self) -> u64 {
        self.all().map(Parcel::bytes).sum()
    }

    fn all(&self) -> impl Iterator<Item = &Parcel> {
        self.letters.queues.iter().chain(&self.others.queues).flatten()
    }
}

impl Queues {
    fn new(shards: usize) -> Self {
        let queues = (0..shards).map(|_| VecDeque::new()).collect();
        Self { queues, marked: vec![0; shards], full: Bits64::EMPTY }
    }

    /// Whether the first parcel has found no room.
    fn send(&mut self, ways: &Ways, from: ShardId, to: ShardId, parcel: Parcel) -> bool {
        if self.full.contains(to.bit()) {
            self.queues[to.index()].push_back(parcel);
            return false;
        }
        match ways.put_or_ask(from, to, parcel) {
            Ok(()) => false,
            Err(parcel) => {
                self.queues[to.index()].push_back(parcel);
                self.full.insert(to.bit());
                true
            }
        }
    }

    /// For which shards nothing waits any more.
    fn retry(&mut self, ways: &Ways, from: ShardId) -> Bits64 {
        let mut freed = Bits64::EMPTY;
        for bit in self.full.iter() {
            let to = ShardId::of_bit(bit);
            let (queue, marked) = (&mut self.queues[to.index()], &mut self.marked[to.index()]);
            let mut has_sent = false;
            while let Some(parcel) = queue.pop_front() {
                match ways.put_or_ask(from, to, parcel) {
                    Ok(()) => {
                        has_sent = true;
                        *marked = marked.saturating_sub(1);
                    }
                    Err(parcel) => {
                        queue.push_front(parcel);
                        break;
                    }
                }
            }
            if queue.is_empty() {
                freed.insert(bit);
            }
            if has_sent {
                ways.wake(to);
            }
        }
        self.full = self.full.difference(freed);
        freed
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::super::clerks::Answered;
    use super::super::clock::Clock;
    use super::super::mesh::tests::{batches, letters, numbered, read};
    use super::super::mesh::{Inbox, connect};
    use super::super::ring::uring::Ring;
    use super::*;
    use crate::engine::auth::Decision;
    use crate::engine::input::Answer;

    #[test]
    fn parcels_that_find_no_room_wait_in_order_and_their_sender_is_woken() {
        let (ways, inboxes) = connect(2, 2, u64::MAX).unwrap();
        let (from, to) = (ShardId::new(0), ShardId::new(1));
        let mut held = Held::new(2);
        let became_full: Vec<bool> = (0..5).map(|n| held.send(&ways, from, to, numbered(n))).collect();
        assert_eq!(became_full, [false, false, true, false, false]);
        assert_eq!((held.len(), inboxes[1].depth()), (3, 2));
        assert!(held.retry(&ways, from).is_empty());
        assert_eq!(read(&inboxes[1]).unwrap().sent_ns, 0);
        assert_eq!(inboxes[1].take_waiting(), Bits64::of(from.bit()));
        assert!(held.retry(&ways, from).is_empty());
        let mut seen = Vec::new();
        while !held.is_empty() || !inboxes[1].is_empty() {
            seen.extend(read(&inboxes[1]).map(|batch| batch.sent_ns));
            held.retry(&ways, from);
        }
        assert_eq!(seen, [1, 2, 3, 4]);
    }

    #[test]
    fn a_channel_full_of_bytes_takes_no_batch_until_some_are_gone() {
        let (ways, inboxes) = connect(2, 64, 1 << 20).unwrap();
        let (from, to) = (ShardId::new(0), ShardId::new(1));
        let mut held = Held::new(2);
        let became_full: Vec<bool> =
            batches(letters(6, 300 << 10)).into_iter().map(|batch| held.send(&ways, from, to, batch)).collect();
        assert_eq!(became_full, [false, false, false, false, true, false], "the one that reaches the bound still goes");
        assert_eq!((held.len(), inboxes[1].depth()), (2, 4));
        assert!(inboxes[1].bytes() >= 1200 << 10 && held.bytes() >= 600 << 10);
        assert!(read(&inboxes[1]).is_some() && inboxes[1].take_waiting() == Bits64::of(from.bit()));
        assert_eq!((held.retry(&ways, from), held.len()), (Bits64::EMPTY, 1));
        while read(&inboxes[1]).is_some() {}
        assert_eq!((held.retry(&ways, from), held.len()), (Bits64::of(to.bit()), 0));
        while read(&inboxes[1]).is_some() {}
        assert_eq!((inboxes[1].bytes(), held.bytes()), (0, 0));
    }

    #[test]
    fn who_comes_in_and_what_is_ordered_wait_behind_no_messages() {
        let (ways, inboxes) = connect(2, 2, 1).unwrap();
        let (from, to) = (ShardId::new(0), ShardId::new(1));
        let mut held = Held::new(2);
        batches(letters(3, 10)).into_iter().chain(batches(letters(3, 10))).for_each(|batch| {
            held.send(&ways, from, to, batch);
        });
        assert_eq!((held.len(), inboxes[1].depth()), (1, 1));
        let answer = |number| {
            Parcel::Answered(Box::new(Answered { connection: None, number, answer: Answer::Action(Decision::Deny) }))
        };
        assert!(!held.send(&ways, from, to, Parcel::Stop { until_ns: 7 }), "the lane of messages alone is full");
        assert!(ways.put(to, Parcel::Serve).is_ok() && ways.put(to, Parcel::Serve).is_err(), "it is bounded as well");
        (0..5).for_each(|number| assert!(!held.send(&ways, from, to, answer(number)), "no publisher is to blame"));
        assert_eq!(held.len(), 4, "so is that of clients");
        assert!(matches!(inboxes[1].take_order(), Some(Parcel::Stop { until_ns: 7 })));
        assert!(matches!(inboxes[1].take_order(), Some(Parcel::Serve)) && inboxes[1].take_order().is_none());
        let mut numbers = Vec::new();
        while let Some(Parcel::Answered(answered)) = inboxes[1].take_client() {
            numbers.push(answered.number);
            assert!(held.retry(&ways, from).is_empty(), "messages wait as before");
        }
        assert_eq!(numbers, [0, 1, 2, 3, 4]);
        assert!(read(&inboxes[1]).is_some() && inboxes[1].is_empty());
    }

    /// Two shards that flood each other through channels of two parcels, sleeping whenever they can do nothing: each must be
    /// woken again, and nothing may be lost or overtake.
    #[test]
    fn two_full_shards_do_not_stop_each_other() {
        const PARCELS: u64 = 50_000;
        const PATIENCE_NS: u64 = 20_000_000_000;
        let clock = Clock::start();
        let (ways, inboxes) = connect(2, 2, u64::MAX).unwrap();
        let flood = move |inbox: Inbox, ways: Ways| {
            let (me, peer) = (inbox.me, ShardId::new(1 - inbox.me.index()));
            let mut ring = Ring::new(8).unwrap();
            ring.watch_waker(inbox.waker());
            let (mut held, mut sent, mut seen) = (Held::new(2), 0, 0);
            while seen < PARCELS || sent < PARCELS || !held.is_empty() {
                ring.poke();
                ring.drain(|_| {});
                held.retry(&ways, me);
                while let Some(batch) = read(&inbox) {
                    assert_eq!(batch.sent_ns, seen, "parcels of one sender stay in order");
                    seen += 1;
                }
                inbox.take_waiting().iter().for_each(|bit| _ = ways.wake(ShardId::of_bit(bit)));
                if sent < PARCELS && held.is_empty() {
                    held.send(&ways, me, peer, numbered(sent));
                    ways.wake(peer);
                    sent += 1;
                    continue;
                }
                inbox.park();
                let before = held.len();
                held.retry(&ways, me);
                let is_done = seen == PARCELS && sent == PARCELS && held.is_empty();
                if held.len() == before && inbox.is_empty() && !is_done {
                    let until_ns = clock.now_ns() + PATIENCE_NS;
                    ring.wait(Some(Duration::from_nanos(PATIENCE_NS)));
                    assert!(clock.now_ns() < until_ns, "a sleeper was forgotten");
                }
                inbox.unpark();
            }
        };
        #[expect(clippy::disallowed_methods, reason = "shards are threads")]
        let threads: Vec<_> = inboxes
            .into_iter()
            .map(|inbox| {
                let ways = ways.clone();
                std::thread::spawn(move || flood(inbox, ways))
            })
            .collect();
        for thread in threads {
            thread.join().unwrap();
        }
    }
}
