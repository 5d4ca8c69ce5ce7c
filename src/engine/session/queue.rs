//! Deliveries that wait to be sent for the first time, bounded in messages and in bytes.

use std::collections::VecDeque;

use super::delivery::Delivery;
use crate::engine::limits::QueuePolicy;
use crate::mqtt::QoS;

/// The bounds of a queue and what happens at them.
#[derive(Clone, Copy, Debug)]
pub struct QueueBounds {
    /// The most deliveries that may wait.
    pub messages_max: u32,
    /// The most bytes that may wait; a delivery that is larger on its own is refused whatever the policy.
    pub bytes_max: u64,
    /// What happens to a delivery for which there is no room.
    pub policy: QueuePolicy,
}

/// What became of a delivery that was to be queued.
#[derive(Debug)]
pub enum Enqueued {
    /// It waits.
    Queued,
    /// There is no room for it.
    Refused(Delivery),
    /// It waits; these, the oldest ones, made room.
    Displaced(Vec<Delivery>),
}

/// The deliveries of one session that were never sent, oldest first. Empty, it holds no heap.
#[derive(Debug, Default)]
pub struct Queue {
    waiting: VecDeque<Delivery>,
    /// bytes = Σ charged bytes of `waiting`
    bytes: u64,
    /// plain = those of `waiting` that are QoS 0
    plain: usize,
    /// shared = those of `waiting` that a shared group accounts for, and their bytes: the bounds are for the others
    shared: usize,
    shared_bytes: u64,
}

impl Queue {
    /// Appends a delivery within the bounds.
    pub fn push(&mut self, delivery: Delivery, bounds: &QueueBounds) -> Enqueued {
        if self.fits(&delivery, bounds) {
            self.append(delivery);
            return Enqueued::Queued;
        }
        let could_fit = bounds.messages_max > 0 && delivery.charged_bytes() <= bounds.bytes_max;
        match bounds.policy {
            QueuePolicy::DropOldest if could_fit => self.displace(delivery, bounds),
            QueuePolicy::DropOldest | QueuePolicy::RefuseNew => Enqueued::Refused(delivery),
        }
    }

    /// The oldest delivery.
    pub fn front(&self) -> Option<&Delivery> {
        self.waiting.front()
    }

    /// The delivery before which so many wait.
    pub fn get(&self, place: usize) -> Option<&Delivery> {
        self.waiting.get(place)
    }

    /// Takes the oldest delivery.
    pub fn pop(&mut self) -> Option<Delivery> {
        let delivery = self.waiting.pop_front()?;
        self.forget(&delivery);
        Some(delivery)
    }

    /// Takes every delivery that `is_wanted`, oldest first; the others keep their order.
    pub fn take_where(&mut self, is_wanted: impl Fn(&Delivery) -> bool) -> Vec<Delivery> {
        if !self.waiting.iter().any(&is_wanted) {
            return Vec::new();
        }
        let (mut taken, waiting) = (Vec::new(), std::mem::take(self).waiting);
        for delivery in waiting {
            if is_wanted(&delivery) {
                taken.push(delivery);
            } else {
                self.append(delivery);
            }
        }
        taken
    }

    /// Whether there is room for one more delivery, were it small.
    pub fn has_room(&self, bounds: &QueueBounds) -> bool {
        self.own() < bounds.messages_max as usize && self.own_bytes() < bounds.bytes_max
    }

    /// How many deliveries wait.
    pub fn len(&self) -> usize {
        self.waiting.len()
    }

    /// How many wait that no shared group accounts for: the bounds are for these.
    pub fn own(&self) -> usize {
        self.waiting.len() - self.shared
    }

    /// The bytes of those.
    pub fn own_bytes(&self) -> u64 {
        self.bytes - self.shared_bytes
    }

    /// Whether none waits.
    pub fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    /// Whether one of them is QoS 0: a newer one must not overtake it.
    pub fn has_plain(&self) -> bool {
        self.plain > 0
    }

    /// How many bytes wait.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Gives the memory back if nothing waits.
    pub fn shrink_if_empty(&mut self) {
        if self.waiting.is_empty() {
            self.waiting = VecDeque::new();
        }
    }

    /// Asserts the invariant.
    ///
    /// # Panics
    /// When the bytes are not the sum of what waits.
    pub fn check(&self) {
        let sum: u64 = self.waiting.iter().map(Delivery::charged_bytes).sum();
        assert_eq!(self.bytes, sum, "a queue is charged for what waits in it");
        let plain = self.waiting.iter().filter(|delivery| delivery.qos == QoS::AtMostOnce).count();
        assert_eq!(self.plain, plain, "QoS 0 deliveries are counted");
        let shared = self.waiting.iter().filter(|delivery| delivery.source.is_shared());
        assert_eq!(self.shared, shared.clone().count(), "deliveries of shared groups are counted");
        assert_eq!(self.shared_bytes, shared.map(Delivery::charged_bytes).sum::<u64>(), "and so are their bytes");
    }

    fn fits(&self, delivery: &Delivery, bounds: &QueueBounds) -> bool {
        self.own() < bounds.messages_max as usize
            && self.own_bytes().saturating_add(delivery.charged_bytes()) <= bounds.bytes_max
    }

    fn displace(&mut self, delivery: Delivery, bounds: &QueueBounds) -> Enqueued {
        let mut displaced = Vec::new();
        while !self.fits(&delivery, bounds) {
            let oldest = self.waiting.iter().position(|waiting| !waiting.source.is_shared());
            let oldest = oldest.and_then(|place| self.waiting.remove(place));
            let oldest = oldest.expect("a delivery that could fit fits where no other own one waits");
            self.forget(&oldest);
            displaced.push(oldest);
        }
        self.append(delivery);
        Enqueued::Displaced(displaced)
    }

    /// Appends a delivery whatever the bounds say.
    pub(super) fn append(&mut self, delivery: Delivery) {
        let bytes = delivery.charged_bytes();
        self.bytes += bytes;
        self.plain += usize::from(delivery.qos == QoS::AtMostOnce);
        if delivery.source.is_shared() {
            self.shared += 1;
            self.shared_bytes += bytes;
        }
        self.waiting.push_back(delivery);
    }

    fn forget(&mut self, delivery: &Delivery) {
        let bytes = delivery.charged_bytes();
        self.bytes -= bytes;
        self.plain -= usize::from(delivery.qos == QoS::AtMostOnce);
        if delivery.source.is_shared() {
            self.shared -= 1;
            self.shared_bytes -= bytes;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::delivery::Source;
    use super::super::delivery::testing::{delivery, number};
    use super::*;
    use crate::engine::homes::ShardId;
    use crate::mqtt::QoS;

    fn bounds(messages_max: u32, bytes_max: u64, policy: QueuePolicy) -> QueueBounds {
        QueueBounds { messages_max, bytes_max, policy }
    }

    fn sized(number: u64, bytes: u64) -> Delivery {
        use crate::base::payload::Chunks;
        use crate::engine::message::{Publication, SessionId};
        let mut payload = vec![0; usize::try_from(bytes).unwrap()];
        payload[..8].copy_from_slice(&number.to_be_bytes());
        let mut publication = Publication::new("t", b"", &payload, QoS::AtLeastOnce, SessionId::BROKER);
        let message = publication.keep(&mut Chunks::new(64, 1)).clone();
        Delivery { message, ..delivery(0, QoS::AtLeastOnce) }
    }

    fn numbers(queue: &mut Queue) -> Vec<u64> {
        std::iter::from_fn(|| queue.pop()).map(|delivery| number(&delivery)).collect()
    }

    #[test]
    fn a_full_queue_refuses_the_new_one_or_drops_the_oldest() {
        let mut queue = Queue::default();
        let refuse = bounds(2, u64::MAX, QueuePolicy::RefuseNew);
        for n in 1..=2 {
            assert!(matches!(queue.push(delivery(n, QoS::AtLeastOnce), &refuse), Enqueued::Queued));
        }
        assert!(!queue.has_room(&refuse));
        let Enqueued::Refused(refused) = queue.push(delivery(3, QoS::AtLeastOnce), &refuse) else { panic!() };
        assert_eq!(number(&refused), 3);
        let drop = QueueBounds { policy: QueuePolicy::DropOldest, ..refuse };
        let Enqueued::Displaced(displaced) = queue.push(delivery(4, QoS::AtLeastOnce), &drop) else { panic!() };
        assert_eq!(displaced.iter().map(number).collect::<Vec<_>>(), [1]);
        queue.check();
        assert_eq!(numbers(&mut queue), [2, 4]);
        assert_eq!(queue.bytes(), 0);
    }

    #[test]
    fn a_large_delivery_displaces_as_many_as_it_needs() {
        let mut queue = Queue::default();
        let large = sized(9, 2_000);
        let one = delivery(0, QoS::AtLeastOnce).charged_bytes();
        let drop = bounds(100, large.charged_bytes() + one, QueuePolicy::DropOldest);
        for n in 1..=4 {
            queue.push(delivery(n, QoS::AtLeastOnce), &drop);
        }
        let Enqueued::Displaced(displaced) = queue.push(large, &drop) else { panic!() };
        assert_eq!(displaced.iter().map(number).collect::<Vec<_>>(), [1, 2, 3]);
        assert_eq!(queue.bytes(), drop.bytes_max);
        queue.check();
    }

    #[test]
    fn a_delivery_larger_than_the_whole_queue_displaces_nothing() {
        let mut queue = Queue::default();
        let drop = bounds(100, 500, QueuePolicy::DropOldest);
        queue.push(delivery(1, QoS::AtLeastOnce), &drop);
        assert!(matches!(queue.push(sized(2, 1_000), &drop), Enqueued::Refused(_)));
        assert_eq!(numbers(&mut queue), [1]);
    }

    #[test]
    fn a_queue_whose_bytes_are_all_taken_has_no_room() {
        let mut queue = Queue::default();
        let exact = bounds(100, delivery(1, QoS::AtLeastOnce).charged_bytes(), QueuePolicy::RefuseNew);
        assert!(queue.has_room(&exact));
        assert!(matches!(queue.push(delivery(1, QoS::AtLeastOnce), &exact), Enqueued::Queued));
        assert!(!queue.has_room(&exact));
    }

    #[test]
    fn what_a_shared_group_accounts_for_takes_no_room_and_stays() {
        let mut queue = Queue::default();
        let one = bounds(1, u64::MAX, QueuePolicy::DropOldest);
        let bytes = delivery(0, QoS::AtLeastOnce).charged_bytes();
        for n in 1..=3 {
            let source = Source::Shared { home: ShardId::new(1), group: 5, delivery: n };
            let shared = Delivery { source, ..delivery(n, QoS::AtLeastOnce) };
            assert!(matches!(queue.push(shared, &one), Enqueued::Queued));
        }
        assert_eq!((queue.len(), queue.own(), queue.own_bytes()), (3, 0, 0));
        assert!(matches!(queue.push(delivery(4, QoS::AtLeastOnce), &one), Enqueued::Queued));
        let Enqueued::Displaced(displaced) = queue.push(delivery(5, QoS::AtLeastOnce), &one) else { panic!() };
        assert_eq!(displaced.iter().map(number).collect::<Vec<_>>(), [4]);
        assert_eq!((queue.len(), queue.own(), queue.own_bytes()), (4, 1, bytes));
        queue.check();
        assert_eq!(numbers(&mut queue), [1, 2, 3, 5]);
        queue.check();
    }

    #[test]
    fn a_qos_0_message_is_known_of_as_long_as_it_waits() {
        let mut queue = Queue::default();
        let wide = bounds(100, u64::MAX, QueuePolicy::RefuseNew);
        for (n, qos) in [(1, QoS::AtLeastOnce), (2, QoS::AtMostOnce), (3, QoS::ExactlyOnce)] {
            assert!(!queue.has_plain() || n > 2);
            queue.push(delivery(n, qos), &wide);
        }
        let plain: Vec<bool> = std::iter::from_fn(|| queue.pop().map(|_| queue.has_plain())).collect();
        assert_eq!(plain, [true, false, false]);
    }

    #[test]
    fn a_queue_of_no_messages_refuses_under_every_policy() {
        for policy in [QueuePolicy::RefuseNew, QueuePolicy::DropOldest] {
            let mut queue = Queue::default();
            let none = bounds(0, u64::MAX, policy);
            assert!(matches!(queue.push(delivery(1, QoS::AtLeastOnce), &none), Enqueued::Refused(_)));
            assert!(queue.is_empty() && !queue.has_room(&none));
        }
    }

    #[test]
    fn taking_some_leaves_the_others_in_order() {
        let mut queue = Queue::default();
        let wide = bounds(100, u64::MAX, QueuePolicy::RefuseNew);
        for n in 0..10 {
            queue.push(delivery(n, QoS::AtLeastOnce), &wide);
        }
        let taken = queue.take_where(|delivery| number(delivery).is_multiple_of(3));
        assert_eq!(taken.iter().map(number).collect::<Vec<_>>(), [0, 3, 6, 9]);
        queue.check();
        assert_eq!(numbers(&mut queue), [1, 2, 4, 5, 7, 8]);
    }
}
