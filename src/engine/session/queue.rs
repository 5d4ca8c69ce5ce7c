//! Deliveries that wait to be sent for the first time, bounded in messages and in bytes.

use std::collections::VecDeque;

use super::delivery::{Delivery, Stub, Waiting, WaitingRef};
use crate::base::rare::{Empty, Rare};
use crate::engine::limits::QueuePolicy;

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
    Refused(Waiting),
    /// It waits; these, the oldest ones, made room.
    Displaced(Vec<Waiting>),
}

/// What stands in front of a queue.
#[derive(Debug)]
pub enum Front<'a> {
    /// This delivery.
    Whole(&'a Delivery),
    /// A stub: its message has to be fetched.
    Stowed,
}

/// The deliveries of one session that were never sent, oldest first. Empty, it holds no heap.
#[derive(Debug, Default)]
pub struct Queue {
    /// Deliveries in memory.
    waiting: VecDeque<Delivery>,
    /// What came after the first one that was stowed.
    rest: Rare<Rest>,
    totals: Totals,
}

/// What stands behind the deliveries in memory.
#[derive(Debug, Default)]
struct Rest {
    waiting: VecDeque<Waiting>,
    /// Messages of the first ones are being fetched.
    is_fetching: bool,
}

impl Empty for Rest {
    const EMPTY: &'static Self = &Self { waiting: VecDeque::new(), is_fetching: false };
}

/// Sums over everything that waits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Totals {
    /// Charged bytes.
    bytes: u64,
    /// Those that are QoS 0.
    plain: usize,
    /// Those that a shared group accounts for, and their bytes: the bounds are for the others.
    shared: usize,
    shared_bytes: u64,
    /// Bytes in memory that could be stowed.
    held_bytes: u64,
}

impl Totals {
    fn add(&mut self, copy: WaitingRef<'_>) {
        self.bytes += copy.charged_bytes();
        self.plain += usize::from(copy.is_plain());
        self.held_bytes += copy.held_bytes();
        if copy.is_shared() {
            self.shared += 1;
            self.shared_bytes += copy.charged_bytes();
        }
    }

    fn subtract(&mut self, copy: WaitingRef<'_>) {
        self.bytes -= copy.charged_bytes();
        self.plain -= usize::from(copy.is_plain());
        self.held_bytes -= copy.held_bytes();
        if copy.is_shared() {
            self.shared -= 1;
            self.shared_bytes -= copy.charged_bytes();
        }
    }
}

impl Queue {
    /// Appends a delivery within the bounds.
    pub fn push(&mut self, delivery: Delivery, bounds: &QueueBounds) -> Enqueued {
        let bytes = delivery.charged_bytes();
        let Some(displaced) = self.make_room(bytes, bounds) else {
            return Enqueued::Refused(Waiting::Whole(Box::new(delivery)));
        };
        self.append(delivery);
        if displaced.is_empty() { Enqueued::Queued } else { Enqueued::Displaced(displaced) }
    }

    /// Appends a copy whose message is stowed, within the bounds.
    pub fn push_stub(&mut self, stub: Stub, bounds: &QueueBounds) -> Enqueued {
        let stub = Waiting::Stowed(stub);
        let Some(displaced) = self.make_room(stub.as_ref().charged_bytes(), bounds) else {
            return Enqueued::Refused(stub);
        };
        self.append_behind(stub);
        if displaced.is_empty() { Enqueued::Queued } else { Enqueued::Displaced(displaced) }
    }

    /// The oldest one.
    pub fn front(&mut self) -> Option<Front<'_>> {
        if self.waiting.is_empty() {
            self.bring_forward();
        }
        match self.waiting.front() {
            Some(delivery) => Some(Front::Whole(delivery)),
            None => (!self.rest.waiting.is_empty()).then_some(Front::Stowed),
        }
    }

    /// The one before which so many wait.
    pub fn get(&self, place: usize) -> Option<WaitingRef<'_>> {
        match place.checked_sub(self.waiting.len()) {
            None => self.waiting.get(place).map(WaitingRef::Whole),
            Some(behind) => self.rest.waiting.get(behind).map(Waiting::as_ref),
        }
    }

    /// Takes the oldest delivery, unless its message has to be fetched.
    pub fn pop(&mut self) -> Option<Delivery> {
        let delivery = self.waiting.pop_front()?;
        self.totals.subtract(WaitingRef::Whole(&delivery));
        Some(delivery)
    }

    /// The stubs behind the deliveries in memory, as far as no other delivery stands between them.
    pub fn next_stubs(&self) -> impl Iterator<Item = &Stub> {
        self.rest.waiting.iter().map_while(|waiting| match waiting {
            Waiting::Stowed(stub) => Some(stub),
            Waiting::Whole(_) => None,
        })
    }

    /// Deliveries that can be sent without fetching anything.
    pub fn ready(&self) -> usize {
        self.waiting.len()
    }

    /// Whether the next copy behind the deliveries in memory is a stub.
    pub fn has_stubs(&self) -> bool {
        self.next_stubs().next().is_some()
    }

    /// Whether anything stands behind a stub, or is one.
    pub fn has_rest(&self) -> bool {
        !self.rest.waiting.is_empty()
    }

    /// Whether messages are being fetched.
    pub fn is_fetching(&self) -> bool {
        self.rest.is_fetching
    }

    /// They are, or not any more.
    pub fn set_fetching(&mut self, is_fetching: bool) {
        if let Some(rest) = self.rest.used() {
            rest.is_fetching = is_fetching;
        }
        self.shrink_rest();
    }

    /// Takes the first stub out, to be put back as a whole with [`Self::put_back`], or to be given up.
    pub fn take_first_stub(&mut self) -> Option<Stub> {
        let rest = self.rest.used()?;
        match rest.waiting.pop_front()? {
            Waiting::Stowed(stub) => {
                self.totals.subtract(WaitingRef::Stowed(&stub));
                self.shrink_rest();
                Some(stub)
            }
            whole @ Waiting::Whole(_) => {
                rest.waiting.push_front(whole);
                None
            }
        }
    }

    /// Puts a delivery that was a stub in its place again.
    pub fn put_back(&mut self, delivery: Delivery) {
        self.totals.add(WaitingRef::Whole(&delivery));
        self.waiting.push_back(delivery);
    }

    /// Takes every delivery that `is_wanted`, oldest first; the others keep their order. Nobody wants stubs.
    pub fn take_where(&mut self, is_wanted: impl Fn(&Delivery) -> bool) -> Vec<Delivery> {
        let wants = |copy: WaitingRef<'_>| matches!(copy, WaitingRef::Whole(delivery) if is_wanted(delivery));
        if !(0..self.len()).any(|place| self.get(place).is_some_and(wants)) {
            return Vec::new();
        }
        let is_fetching = self.is_fetching();
        let (mut taken, before) = (Vec::new(), std::mem::take(self));
        for waiting in before.into_waiting() {
            match waiting {
                Waiting::Whole(delivery) if is_wanted(&delivery) => taken.push(*delivery),
                Waiting::Whole(delivery) => self.append(*delivery),
                stub @ Waiting::Stowed(_) => self.append_behind(stub),
            }
        }
        self.set_fetching(is_fetching);
        taken
    }

    /// Takes everything, oldest first.
    pub fn drain(&mut self) -> Vec<Waiting> {
        std::mem::take(self).into_waiting().collect()
    }

    /// Whether there is room for one more delivery, were it small.
    pub fn has_room(&self, bounds: &QueueBounds) -> bool {
        self.own() < bounds.messages_max as usize && self.own_bytes() < bounds.bytes_max
    }

    /// How many deliveries wait.
    pub fn len(&self) -> usize {
        self.waiting.len() + self.rest.waiting.len()
    }

    /// How many of them are stubs. Walks the queue: for checks.
    pub fn stubs(&self) -> usize {
        self.rest.waiting.iter().filter(|waiting| matches!(waiting, Waiting::Stowed(_))).count()
    }

    /// How many wait that no shared group accounts for: the bounds are for these.
    pub fn own(&self) -> usize {
        self.len() - self.totals.shared
    }

    /// The bytes of those.
    pub fn own_bytes(&self) -> u64 {
        self.totals.bytes - self.totals.shared_bytes
    }

    /// Whether none waits.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Whether one of them is QoS 0: a newer one must not overtake it.
    pub fn has_plain(&self) -> bool {
        self.totals.plain > 0
    }

    /// How many bytes wait.
    pub fn bytes(&self) -> u64 {
        self.totals.bytes
    }

    /// How many bytes lie in memory that could be stowed.
    pub fn held_bytes(&self) -> u64 {
        self.totals.held_bytes
    }

    /// Gives the memory back if nothing waits.
    pub fn shrink_if_empty(&mut self) {
        if self.is_empty() {
            self.waiting = VecDeque::new();
            self.rest = Rare::new();
        }
    }

    /// Asserts the invariant.
    ///
    /// # Panics
    /// When the sums are not those of what waits, or a stub stands where none can.
    pub fn check(&self) {
        let mut totals = Totals::default();
        (0..self.len()).filter_map(|place| self.get(place)).for_each(|copy| totals.add(copy));
        assert_eq!(self.totals, totals, "a queue knows what waits in it");
    }

    fn into_waiting(self) -> impl Iterator<Item = Waiting> {
        let Self { waiting, mut rest, .. } = self;
        waiting.into_iter().map(|delivery| Waiting::Whole(Box::new(delivery))).chain(rest.take().waiting)
    }

    fn fits(&self, bytes: u64, bounds: &QueueBounds) -> bool {
        self.own() < bounds.messages_max as usize && self.own_bytes().saturating_add(bytes) <= bounds.bytes_max
    }

    /// Makes room for one that is charged so much, if bounds and policy let it in. What had to go for it.
    fn make_room(&mut self, bytes: u64, bounds: &QueueBounds) -> Option<Vec<Waiting>> {
        if self.fits(bytes, bounds) {
            return Some(Vec::new());
        }
        let could_fit = bounds.messages_max > 0 && bytes <= bounds.bytes_max;
        if bounds.policy == QueuePolicy::RefuseNew || !could_fit {
            return None;
        }
        let mut displaced = Vec::new();
        while !self.fits(bytes, bounds) {
            displaced.push(self.remove_oldest().expect("a delivery that could fit fits where no other own one waits"));
        }
        Some(displaced)
    }

    /// Takes out the oldest one that no shared group accounts for.
    fn remove_oldest(&mut self) -> Option<Waiting> {
        let place = (0..self.len()).find(|place| self.get(*place).is_some_and(|copy| !copy.is_shared()))?;
        let oldest = match place.checked_sub(self.waiting.len()) {
            None => self.waiting.remove(place).map(|delivery| Waiting::Whole(Box::new(delivery))),
            Some(behind) => self.rest.used().and_then(|rest| rest.waiting.remove(behind)),
        }?;
        self.totals.subtract(oldest.as_ref());
        self.shrink_rest();
        Some(oldest)
    }

    /// Appends a delivery whatever the bounds say.
    pub(super) fn append(&mut self, delivery: Delivery) {
        if self.rest.waiting.is_empty() {
            self.put_back(delivery);
        } else {
            self.append_behind(Waiting::Whole(Box::new(delivery)));
        }
    }

    /// Appends a copy behind the first stub, or as the first one.
    pub(super) fn append_behind(&mut self, copy: Waiting) {
        self.totals.add(copy.as_ref());
        self.rest.waiting.push_back(copy);
    }

    /// What stands behind stubs that are gone moves up.
    fn bring_forward(&mut self) {
        let Some(rest) = self.rest.used() else { return };
        while let Some(Waiting::Whole(_)) = rest.waiting.front() {
            if let Some(Waiting::Whole(delivery)) = rest.waiting.pop_front() {
                self.waiting.push_back(*delivery);
            }
        }
        self.shrink_rest();
    }

    fn shrink_rest(&mut self) {
        self.rest.free_if(|rest| rest.waiting.is_empty());
    }
}

#[cfg(test)]
mod tests {
    use super::super::delivery::testing::{delivery, number, waiting_number};
    use super::super::delivery::{Source, SubscriptionIds};
    use super::*;
    use crate::engine::change::Serial;
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

    /// A stub in place of the delivery that [`delivery`] would make.
    fn stub(number: u64) -> Stub {
        let charged = u32::try_from(delivery(number, QoS::AtLeastOnce).charged_bytes()).unwrap();
        Stub::new(Serial::new(number), 0, charged, QoS::AtLeastOnce, false, SubscriptionIds::None).0
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
        assert_eq!(waiting_number(&refused), 3);
        let drop = QueueBounds { policy: QueuePolicy::DropOldest, ..refuse };
        let Enqueued::Displaced(displaced) = queue.push(delivery(4, QoS::AtLeastOnce), &drop) else { panic!() };
        assert_eq!(displaced.iter().map(waiting_number).collect::<Vec<_>>(), [1]);
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
        assert_eq!(displaced.iter().map(waiting_number).collect::<Vec<_>>(), [1, 2, 3]);
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
            let source = Source::Shared { home: ShardId::new(1), group: 5, delivery: n, copy: Serial::NONE };
            let shared = Delivery { source, ..delivery(n, QoS::AtLeastOnce) };
            assert!(matches!(queue.push(shared, &one), Enqueued::Queued));
        }
        assert_eq!((queue.len(), queue.own(), queue.own_bytes()), (3, 0, 0));
        assert!(matches!(queue.push(delivery(4, QoS::AtLeastOnce), &one), Enqueued::Queued));
        let Enqueued::Displaced(displaced) = queue.push(delivery(5, QoS::AtLeastOnce), &one) else { panic!() };
        assert_eq!(displaced.iter().map(waiting_number).collect::<Vec<_>>(), [4]);
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

    #[test]
    fn what_comes_behind_a_stub_waits_behind_it() {
        let mut queue = Queue::default();
        let wide = bounds(100, u64::MAX, QueuePolicy::RefuseNew);
        queue.push(delivery(1, QoS::AtLeastOnce), &wide);
        queue.push_stub(stub(2), &wide);
        queue.push(delivery(3, QoS::AtMostOnce), &wide);
        queue.push_stub(stub(4), &wide);
        queue.check();
        assert_eq!((queue.len(), queue.stubs(), queue.ready(), queue.has_plain()), (4, 2, 1, true));
        let seen: Vec<u64> = (0..4)
            .map(|place| match queue.get(place).unwrap() {
                WaitingRef::Whole(delivery) => number(delivery),
                WaitingRef::Stowed(stub) => stub.copy.get(),
            })
            .collect();
        assert_eq!(seen, [1, 2, 3, 4]);
        assert_eq!(numbers(&mut queue), [1]);
        assert!(matches!(queue.front(), Some(Front::Stowed)));
        assert!(queue.next_stubs().map(|stub| stub.copy.get()).eq([2]));
        assert_eq!(queue.take_first_stub().map(|stub| stub.copy.get()), Some(2));
        queue.put_back(delivery(2, QoS::AtLeastOnce));
        assert_eq!(numbers(&mut queue), [2]);
        assert!(matches!(queue.front(), Some(Front::Whole(delivery)) if number(delivery) == 3));
        assert_eq!(numbers(&mut queue), [3]);
        assert!(queue.take_first_stub().is_some() && queue.take_first_stub().is_none());
        assert!(queue.is_empty() && queue.front().is_none());
        queue.check();
    }

    #[test]
    fn a_stub_is_displaced_drained_and_passed_over_like_any_other() {
        let mut queue = Queue::default();
        let drop = bounds(2, u64::MAX, QueuePolicy::DropOldest);
        for number in 1..=3 {
            let displaced = match queue.push_stub(stub(number), &drop) {
                Enqueued::Displaced(displaced) => displaced.iter().map(waiting_number).collect(),
                Enqueued::Queued => Vec::new(),
                Enqueued::Refused(_) => panic!("the policy lets it in"),
            };
            assert!(displaced == [1] || number < 3 && displaced.is_empty());
        }
        let source = Source::Shared { home: ShardId::new(1), group: 5, delivery: 9, copy: Serial::NONE };
        queue.push(Delivery { source, ..delivery(9, QoS::AtLeastOnce) }, &bounds(9, u64::MAX, QueuePolicy::RefuseNew));
        queue.set_fetching(true);
        let taken = queue.take_where(|delivery| delivery.source.is_shared());
        assert_eq!(taken.iter().map(number).collect::<Vec<_>>(), [9]);
        assert!(queue.is_fetching(), "what is being fetched is still on its way");
        queue.check();
        assert_eq!(queue.drain().iter().map(waiting_number).collect::<Vec<_>>(), [2, 3]);
        assert!(queue.is_empty() && !queue.is_fetching() && queue.held_bytes() == 0);
    }
}
