//! What waits in a shared group: first what came back, then what nobody was sent yet.

use std::collections::{BTreeMap, VecDeque};

use crate::base::slab::Key;
use crate::engine::change::Serial;
use crate::engine::limits::{Limits, QueuePolicy};
use crate::engine::message::Message;
use crate::engine::stats::DropReason;
use crate::engine::subscriptions::members::Member;

/// What a group's queue may hold.
#[derive(Clone, Copy, Debug)]
pub struct Bounds {
    /// Messages. What comes back from members is taken above it, at most their windows.
    pub messages_max: u32,
    /// Bytes, with the same exception.
    pub bytes_max: u64,
    /// What happens at those two.
    pub policy: QueuePolicy,
    /// Whether QoS 0 messages wait for absent members as well.
    pub queue_qos0: bool,
}

impl Bounds {
    /// The bounds that the operator chose.
    pub fn of(limits: &Limits) -> Self {
        Self {
            messages_max: limits.group_queue_messages_max,
            bytes_max: limits.group_queue_bytes_max,
            policy: limits.queue_policy,
            queue_qos0: limits.queue_qos0,
        }
    }
}

/// What became of a message for the group.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub enum Accepted {
    /// It waits for the next dispatch.
    Queued,
    /// It waits, and so many older ones were dropped to make room: [`DropReason::QueueOldest`].
    Displaced(usize),
    /// It was dropped for this reason.
    Refused(DropReason),
}

/// A message that nobody has, or nobody any more.
#[derive(Debug)]
pub struct Waiting {
    /// Its place in the order of the group.
    pub sequence: u64,
    /// The message.
    pub message: Message,
    /// The change by which the copy is known; [`Serial::NONE`] where nobody keeps it.
    pub copy: Serial,
    /// Who owns its key, as of a generation of the ring.
    pub owner: Option<(u64, Key<Member>)>,
}

impl Waiting {
    /// The change by which the copy is known, if it is noted.
    pub fn known_as(&self) -> Option<Serial> {
        (self.copy != Serial::NONE).then_some(self.copy)
    }
}

/// The queue of one group. It moves nothing by itself: the group looks at what waits and takes it out.
#[derive(Debug, Default)]
pub struct GroupQueue {
    /// What came back, by its place in the original order; goes out before everything else.
    returned: BTreeMap<u64, Waiting>,
    /// What nobody was sent yet, in order.
    fresh: VecDeque<Waiting>,
    returned_bytes: u64,
    fresh_bytes: u64,
    sequence: u64,
}

impl GroupQueue {
    /// Messages that wait.
    pub fn len(&self) -> usize {
        self.returned.len() + self.fresh.len()
    }

    /// Whether nothing waits.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Bytes that wait.
    pub fn bytes(&self) -> u64 {
        self.returned_bytes + self.fresh_bytes
    }

    /// Appends a message, if the bounds or their policy have room for it. Adds to `settled` the noted copies that made room.
    pub fn push(&mut self, message: Message, bounds: &Bounds, settled: &mut Vec<Serial>) -> Accepted {
        let bytes = message.charged_bytes() as u64;
        let Some(displaced) = self.make_room_for(bytes, bounds, settled) else {
            return Accepted::Refused(DropReason::QueueRefused);
        };
        self.append(message, Serial::NONE);
        if displaced == 0 { Accepted::Queued } else { Accepted::Displaced(displaced) }
    }

    /// Appends a message whatever the bounds; its place in the order.
    pub fn append(&mut self, message: Message, copy: Serial) -> u64 {
        self.sequence += 1;
        self.fresh_bytes += message.charged_bytes() as u64;
        self.fresh.push_back(Waiting { sequence: self.sequence, message, copy, owner: None });
        self.sequence
    }

    /// The newest one of those that nobody was sent yet.
    pub fn newest(&mut self) -> Option<&mut Waiting> {
        self.fresh.back_mut()
    }

    /// Everything that waits, in no particular order.
    pub fn iter(&self) -> impl Iterator<Item = &Waiting> {
        self.returned.values().chain(&self.fresh)
    }

    /// Takes out what has this place in the order, if it waits.
    pub fn take(&mut self, sequence: u64) -> Option<Waiting> {
        if self.returned.contains_key(&sequence) {
            return Some(self.take_returned(sequence));
        }
        let index = self.fresh.binary_search_by_key(&sequence, |waiting| waiting.sequence).ok()?;
        Some(self.take_fresh(index))
    }

    /// Puts a message that was taken out back to its place among those that came back, whatever the bounds.
    pub fn take_back(&mut self, sequence: u64, message: Message, copy: Serial) {
        self.returned_bytes += message.charged_bytes() as u64;
        let before = self.returned.insert(sequence, Waiting { sequence, message, copy, owner: None });
        debug_assert!(before.is_none(), "a message is in one place");
    }

    /// What goes out next.
    pub fn front(&self) -> Option<&Waiting> {
        self.returned.first_key_value().map(|(_, waiting)| waiting).or_else(|| self.fresh.front())
    }

    /// Takes out what goes out next, and whether it came back.
    pub fn pop_front(&mut self) -> Option<(Waiting, bool)> {
        match self.returned.first_key_value() {
            Some((&sequence, _)) => Some((self.take_returned(sequence), true)),
            None if self.fresh.is_empty() => None,
            None => Some((self.take_fresh(0), false)),
        }
    }

    /// The first of those that came back whose place in the order is this or a later one.
    pub fn returned_from(&mut self, sequence: u64) -> Option<&mut Waiting> {
        self.returned.range_mut(sequence..).next().map(|(_, waiting)| waiting)
    }

    /// The one at this index among those that nobody was sent yet.
    pub fn fresh_at(&mut self, index: usize) -> Option<&mut Waiting> {
        self.fresh.get_mut(index)
    }

    /// Takes out the one that came back with this place in the order.
    pub fn take_returned(&mut self, sequence: u64) -> Waiting {
        let waiting = self.returned.remove(&sequence).expect("it was looked at a moment ago");
        self.returned_bytes -= waiting.message.charged_bytes() as u64;
        waiting
    }

    /// Takes out the one at this index among those that nobody was sent yet.
    pub fn take_fresh(&mut self, index: usize) -> Waiting {
        let waiting = self.fresh.remove(index).expect("it was looked at a moment ago");
        self.fresh_bytes -= waiting.message.charged_bytes() as u64;
        waiting
    }

    /// Proves that bytes and order are right.
    ///
    /// # Panics
    /// When they are not.
    pub fn check(&self) {
        let bytes = |waiting: &Waiting| waiting.message.charged_bytes() as u64;
        assert_eq!(self.returned.values().map(bytes).sum::<u64>(), self.returned_bytes, "bytes are counted");
        assert_eq!(self.fresh.iter().map(bytes).sum::<u64>(), self.fresh_bytes, "bytes are counted");
        assert!(self.fresh.iter().is_sorted_by_key(|waiting| waiting.sequence), "the queue is in order");
        assert!(self.returned.iter().all(|(key, waiting)| *key == waiting.sequence), "what came back keeps its place");
    }

    /// Makes room for a message by dropping the oldest that nobody was sent yet, so many; none if there can be no room.
    fn make_room_for(&mut self, bytes: u64, bounds: &Bounds, settled: &mut Vec<Serial>) -> Option<usize> {
        let fits = |count: usize, held: u64| count < bounds.messages_max as usize && held + bytes <= bounds.bytes_max;
        if fits(self.len(), self.bytes()) {
            return Some(0);
        }
        let could_fit = match bounds.policy {
            QueuePolicy::RefuseNew => false,
            QueuePolicy::DropOldest => fits(self.returned.len(), self.returned_bytes),
        };
        if !could_fit {
            return None;
        }
        let mut displaced = 0;
        while !fits(self.len(), self.bytes()) {
            settled.extend(self.take_fresh(0).known_as());
            displaced += 1;
        }
        Some(displaced)
    }
}
