//! Messages that queues owe and memory does not hold: which they are, and where the journal has them.
//!
//! Memory for queues is bounded by a budget. What is noted for a session while the budget is spent is *stowed*: its queue holds a stub,
//! and the message lies in the journal alone as soon as that has written it. It is fetched when the client has come and its turn is
//! near. The newest is stowed and not the oldest, for a queue is served in its order.
//!
//! A message that several stubs owe has one place here. What the journal has not written yet stays in memory, so a stub always leads to
//! its message, whatever becomes of the disk.

use crate::base::hash::{Map, Seed, map};
use crate::base::slab::{Key, Slab};
use crate::engine::change::Serial;
use crate::engine::message::Message;
use crate::engine::session::delivery::{Stub, SubscriptionIds};

/// Where a record of the journal lies, in the words of whoever keeps it; nobody here reads them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Spot {
    /// The number of the change that the record tells.
    pub record: Serial,
    /// The segment.
    pub segment: u32,
    /// Where in it.
    pub position: u32,
    /// How long the record is.
    pub bytes: u32,
}

/// Leads to a stowed message.
pub type StowKey = Key<Stowed>;

/// A message that stubs owe.
#[derive(Debug)]
pub struct Stowed {
    /// The change by which it was noted.
    body: Serial,
    /// The record that tells of it, if the journal has said where that lies.
    record: Serial,
    segment: u32,
    position: u32,
    /// None before.
    bytes: u32,
    /// How many stubs, and fan-outs that will make some, lead here.
    owed: u32,
}

impl Stowed {
    fn spot(&self) -> Option<Spot> {
        let Self { record, segment, position, bytes, .. } = *self;
        (bytes > 0).then_some(Spot { record, segment, position, bytes })
    }
}

/// What is stowed, and how much is not. One per shard.
#[derive(Debug)]
pub struct Stowage {
    /// Bytes that queues may hold in memory.
    budget: u64,
    /// Bytes that queues hold in memory and could be stowed.
    held: u64,
    stowed: Slab<Stowed>,
    /// Messages that the journal has not written yet.
    unwritten: Map<StowKey, Message>,
    /// The last one that was stowed: the copies of a fan-out come one after the other.
    newest: Option<(Serial, StowKey)>,
    /// Those of fan-outs that are not over.
    fanouts: Map<Serial, StowKey>,
    /// The identifiers of subscriptions, for copies that have more than one: by the number of the copy.
    ids: Map<Serial, Box<[u32]>>,
}

impl Stowage {
    /// Nothing is stowed.
    pub fn new(budget: u64, seed: Seed) -> Self {
        Self {
            budget,
            held: 0,
            stowed: Slab::new(),
            unwritten: map(seed),
            newest: None,
            fanouts: map(seed),
            ids: map(seed),
        }
    }

    /// Bytes that queues may hold in memory.
    pub const fn budget(&self) -> u64 {
        self.budget
    }

    /// Whether there is no room in memory for one that has so many bytes.
    pub fn is_full_for(&self, bytes: u64) -> bool {
        self.held.saturating_add(bytes) > self.budget
    }

    /// A queue held so many bytes, and holds so many now.
    pub fn holds(&mut self, before: u64, after: u64) {
        self.held = self.held + after - before;
    }

    /// Bytes that queues hold in memory.
    pub const fn held(&self) -> u64 {
        self.held
    }

    /// Messages that are stowed.
    pub const fn len(&self) -> usize {
        self.stowed.len()
    }

    /// Whether there is none.
    pub const fn is_empty(&self) -> bool {
        self.stowed.is_empty()
    }

    /// The place of a message that was noted by this change: of those that were stowed last, or of a fan-out that is not over.
    pub fn find(&self, body: Serial) -> Option<StowKey> {
        let newest = self.newest.filter(|(newest, _)| *newest == body).map(|(_, key)| key);
        newest.filter(|key| self.stowed.contains(*key)).or_else(|| self.fanouts.get(&body).copied())
    }

    /// Makes a place for a message that the journal is about to write. Nobody owes it yet.
    pub fn stow(&mut self, body: Serial, message: Message) -> StowKey {
        let key = self.insert(body, None);
        self.unwritten.insert(key, message);
        self.newest = Some((body, key));
        key
    }

    /// Makes a place for a message that the journal has.
    pub fn restore(&mut self, body: Serial, spot: Spot) -> StowKey {
        self.insert(body, Some(spot))
    }

    fn insert(&mut self, body: Serial, spot: Option<Spot>) -> StowKey {
        let (record, segment, position, bytes) =
            spot.map_or((Serial::NONE, 0, 0, 0), |spot| (spot.record, spot.segment, spot.position, spot.bytes));
        self.stowed.insert(Stowed { body, record, segment, position, bytes, owed: 0 })
    }

    /// One more leads to it.
    pub fn owe(&mut self, key: StowKey) {
        self.stowed.get_mut(key).expect("what is owed is stowed").owed += 1;
    }

    /// One less does.
    pub fn settle(&mut self, key: StowKey) {
        let stowed = self.stowed.get_mut(key).expect("what was owed is stowed");
        stowed.owed -= 1;
        if stowed.owed == 0 {
            self.stowed.remove(key);
            self.unwritten.remove(&key);
        }
    }

    /// A fan-out begins, whose copies find the message by its number.
    pub fn begin_fanout(&mut self, body: Serial, message: Message) -> StowKey {
        let key = self.stow(body, message);
        self.owe(key);
        self.fanouts.insert(body, key);
        key
    }

    /// It is over.
    pub fn end_fanout(&mut self, body: Serial) {
        if let Some(key) = self.fanouts.remove(&body) {
            self.settle(key);
        }
    }

    /// The journal has written a message: memory need not hold it any longer. Nobody may owe it any more.
    pub fn written(&mut self, key: StowKey, spot: Spot) {
        debug_assert!(spot.bytes > 0, "a record has bytes");
        let Some(stowed) = self.stowed.get_mut(key) else { return };
        (stowed.record, stowed.segment) = (spot.record, spot.segment);
        (stowed.position, stowed.bytes) = (spot.position, spot.bytes);
        self.unwritten.remove(&key);
    }

    /// The place that stubs name by its index.
    ///
    /// # Panics
    /// When nothing is stowed there.
    pub fn key_at(&self, index: u32) -> StowKey {
        self.stowed.key_at(index).expect("a stub leads to what is stowed")
    }

    /// The change by which a message was noted, and where the journal has it; nowhere before it was written.
    pub fn get(&self, key: StowKey) -> (Serial, Option<Spot>) {
        let stowed = self.stowed.get(key).expect("a stub leads to what is stowed");
        (stowed.body, stowed.spot())
    }

    /// The message, while the journal has not written it.
    pub fn unwritten(&self, key: StowKey) -> Option<&Message> {
        self.unwritten.get(&key)
    }

    /// Whether several lead to a message.
    pub fn is_shared(&self, key: StowKey) -> bool {
        self.stowed.get(key).is_some_and(|stowed| stowed.owed > 1)
    }

    /// Keeps the identifiers of a copy that has more than a stub has room for.
    pub fn keep_ids(&mut self, copy: Serial, ids: Option<Box<[u32]>>) {
        if let Some(ids) = ids {
            self.ids.insert(copy, ids);
        }
    }

    /// The identifiers of the subscriptions that a copy matched.
    pub fn ids_of(&self, stub: &Stub) -> SubscriptionIds {
        stub.ids(if stub.has_many_ids() { self.ids.get(&stub.copy).cloned() } else { None })
    }

    /// The same of one whose stub goes.
    pub fn take_ids_of(&mut self, stub: &Stub) -> SubscriptionIds {
        stub.ids(if stub.has_many_ids() { self.ids.remove(&stub.copy) } else { None })
    }

    /// Bytes on the heap, as near as it can be told.
    pub fn heap_bytes(&self) -> usize {
        let ids: usize = self.ids.values().map(|ids| ids.len() * size_of::<u32>() + size_of::<Serial>()).sum();
        let unwritten: usize = self.unwritten.values().map(Message::charged_bytes).sum();
        self.stowed.heap_bytes() + ids + unwritten
    }

    /// Asserts that so much is held and so many stubs lead here.
    ///
    /// # Panics
    /// When that is not so.
    pub fn check(&self, held: u64, stubs: u64) {
        assert_eq!(self.held, held, "what queues hold in memory is accounted for");
        let owed: u64 = self.stowed.iter().map(|(_, stowed)| u64::from(stowed.owed)).sum();
        assert_eq!(owed, stubs + self.fanouts.len() as u64, "each stub, and each fan-out, leads to one message");
        assert!(self.stowed.iter().all(|(_, stowed)| stowed.owed > 0), "nothing is stowed that nobody owes");
        for (key, stowed) in self.stowed.iter() {
            assert_ne!(stowed.spot().is_some(), self.unwritten.contains_key(&key), "a message is in one place");
        }
    }
}
