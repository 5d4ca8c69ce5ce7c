//! The sending half of a session against a naive model of it, under random operations.

use super::delivery::testing::{delivery, expiring, number, returned_numbers, waiting_number};
use super::delivery::{Delivery, Source};
use super::outbound::{Acked, Enqueued, Next, Outbound, QueueBounds, Recorded};
use crate::base::random::Random;
use crate::base::time::Time;
use crate::engine::change::Serial;
use crate::engine::homes::ShardId;
use crate::engine::limits::QueuePolicy;
use crate::mqtt::{PacketId, QoS, Reason};

/// A message as the model sees it.
#[derive(Clone, Copy, Debug)]
struct Item {
    number: u64,
    qos: QoS,
    expires_ms: u64,
    group: Option<u64>,
}

/// A message that was sent; lists of these are in the order of their last packet.
#[derive(Clone, Copy, Debug)]
struct Flow {
    id: u16,
    item: Item,
    is_released: bool,
    is_unsent: bool,
}

/// What the session is expected to hold, in plain lists that are searched from end to end.
#[derive(Debug, Default)]
struct Model {
    queue: Vec<Item>,
    flows: Vec<Flow>,
    window: usize,
}

/// What is sent or settled, so that both sides can be compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Seen {
    Publish(u64),
    Repeat(u16, u64),
    PubRel(u16),
    Plain(u64),
    Expired(u64),
    Delivered(u64),
    Refused(u64),
    Again,
    Closed,
    Unknown,
    Nothing,
}

impl Model {
    fn quota(&self) -> usize {
        let open = self.flows.iter().filter(|flow| flow.is_released || !flow.is_unsent).count();
        self.window.saturating_sub(open)
    }

    fn copies(&self) -> usize {
        self.queue.len() + self.flows.iter().filter(|flow| !flow.is_released).count()
    }

    fn own_copies(&self) -> usize {
        let sent = self.flows.iter().filter(|flow| !flow.is_released).map(|flow| flow.item);
        sent.chain(self.queue.iter().copied()).filter(|item| item.group.is_none()).count()
    }

    fn connect(&mut self, window: usize) {
        self.window = window;
        self.flows.iter_mut().for_each(|flow| flow.is_unsent = true);
    }

    fn enqueue(&mut self, item: Item, messages_max: usize, policy: QueuePolicy) -> Vec<u64> {
        if self.own() < messages_max {
            self.queue.push(item);
            return Vec::new();
        }
        if policy == QueuePolicy::RefuseNew || messages_max == 0 {
            return vec![item.number];
        }
        let surplus = self.own() + 1 - messages_max;
        let displaced: Vec<u64> =
            self.queue.iter().filter(|item| item.group.is_none()).take(surplus).map(|item| item.number).collect();
        self.queue.retain(|item| !displaced.contains(&item.number));
        self.queue.push(item);
        displaced
    }

    /// What the bounds of the queue are for.
    fn own(&self) -> usize {
        self.queue.iter().filter(|item| item.group.is_none()).count()
    }

    fn is_direct(&self) -> bool {
        self.queue.is_empty() && self.quota() > 0 && self.flows.iter().all(|flow| !flow.is_unsent)
    }

    fn next(&mut self, now_ms: u64) -> Seen {
        if self.window == 0 {
            return Seen::Nothing;
        }
        let has_quota = self.quota() > 0;
        if self.flows.iter().any(|flow| flow.is_unsent) {
            let mut candidates = self.flows.iter_mut().filter(|flow| flow.is_unsent);
            let Some(flow) = candidates.find(|flow| flow.is_released || has_quota) else { return Seen::Nothing };
            flow.is_unsent = false;
            return if flow.is_released { Seen::PubRel(flow.id) } else { Seen::Repeat(flow.id, flow.item.number) };
        }
        let Some(item) = self.queue.first().copied() else { return Seen::Nothing };
        if item.expires_ms <= now_ms {
            self.queue.remove(0);
            return Seen::Expired(item.number);
        }
        if item.qos == QoS::AtMostOnce {
            self.queue.remove(0);
            return Seen::Plain(item.number);
        }
        if has_quota { Seen::Publish(self.queue.remove(0).number) } else { Seen::Nothing }
    }

    fn send(&mut self, id: PacketId, item: Item) {
        let id = id.get();
        assert!(self.flows.iter().all(|flow| flow.id != id), "identifier {id} is not open");
        self.flows.push(Flow { id, item, is_released: false, is_unsent: false });
    }

    fn find(&self, id: u16) -> Option<usize> {
        self.flows.iter().position(|flow| flow.id == id)
    }

    fn puback(&mut self, id: u16, is_error: bool) -> Seen {
        match self.find(id) {
            Some(index) if self.flows[index].item.qos == QoS::AtLeastOnce => {
                let number = self.flows.remove(index).item.number;
                if is_error { Seen::Refused(number) } else { Seen::Delivered(number) }
            }
            Some(_) | None => Seen::Unknown,
        }
    }

    fn pubrec(&mut self, id: u16, is_error: bool) -> Seen {
        let Some(index) = self.find(id).filter(|index| self.flows[*index].item.qos == QoS::ExactlyOnce) else {
            return if is_error { Seen::Closed } else { Seen::Unknown };
        };
        let flow = self.flows[index];
        match (flow.is_released, is_error) {
            (true, false) => return Seen::Again,
            (true, true) | (false, _) => drop(self.flows.remove(index)),
        }
        match (flow.is_released, is_error) {
            (true, _) => Seen::Closed,
            (false, true) => Seen::Refused(flow.item.number),
            (false, false) => {
                self.flows.push(Flow { is_released: true, is_unsent: false, ..flow });
                Seen::Delivered(flow.item.number)
            }
        }
    }

    fn pubcomp(&mut self, id: u16) -> bool {
        let index = self.find(id).filter(|index| self.flows[*index].is_released);
        index.map(|index| self.flows.remove(index)).is_some()
    }

    fn give_up(&mut self, id: u16) -> Option<u64> {
        let index = self.find(id).filter(|index| !self.flows[*index].is_released)?;
        Some(self.flows.remove(index).item.number)
    }

    /// What goes back, and what may go to nobody else.
    fn returns(&mut self, session_ends: bool) -> (Vec<u64>, Vec<u64>) {
        let leaves = |item: &Item| item.group.is_some();
        let goes = |flow: &&Flow| {
            leaves(&flow.item) && !flow.is_released && (session_ends || flow.item.qos == QoS::AtLeastOnce)
        };
        let (mut back, mut discarded) = (Vec::new(), Vec::new());
        for flow in self.flows.iter().filter(goes) {
            let list = if flow.item.qos == QoS::AtLeastOnce { &mut back } else { &mut discarded };
            list.push(flow.item.number);
        }
        self.flows.retain(|flow| !goes(&flow));
        back.extend(self.queue.iter().filter(|item| leaves(item)).map(|item| item.number));
        self.queue.retain(|item| !leaves(item));
        (back, discarded)
    }

    fn drain(&mut self) -> Vec<u64> {
        let sent = self.flows.drain(..).filter(|flow| !flow.is_released).map(|flow| flow.item.number);
        sent.chain(self.queue.drain(..).map(|item| item.number)).collect()
    }
}

/// The session, the model and what they are driven by.
struct Pair {
    outbound: Outbound,
    model: Model,
    random: Random,
    now_ms: u64,
    serial: u64,
    window_max: u64,
}

impl Pair {
    fn new(seed: u64, window_max: u64) -> Self {
        let (outbound, model) = (Outbound::new(), Model::default());
        Self { outbound, model, random: Random::from_seed(seed), now_ms: 1, serial: 0, window_max }
    }

    fn step(&mut self) {
        match self.random.below(1_000) {
            0..150 => self.enqueue(),
            150..350 => self.direct(),
            350..600 => self.next(),
            600..760 => self.puback(),
            760..850 => self.pubrec(),
            850..930 => self.pubcomp(),
            930..940 => self.give_up(),
            940..960 => self.now_ms += self.random.below(50),
            960..980 => self.connect(),
            980..990 => self.disconnect(),
            990..998 => self.take_returns(),
            _ => self.drain(),
        }
        assert_eq!(usize::from(self.outbound.quota()), self.model.quota());
        assert_eq!(self.outbound.copies(), self.model.copies());
        assert_eq!(self.outbound.own_copies(), self.model.own_copies());
        assert_eq!(self.outbound.queued_count(), self.model.queue.len());
        assert_eq!(self.outbound.inflight_count(), self.model.flows.len());
    }

    fn message(&mut self, qos: QoS) -> (Delivery, Item) {
        self.serial += 1;
        let expires_ms = if self.random.chance(1, 4) { self.now_ms + self.random.below(200) } else { u64::MAX };
        let group = self.random.chance(1, 3).then(|| self.random.below(3));
        let item = Item { number: self.serial, qos, expires_ms, group };
        let mut delivery = expiring(item.number, qos, expires_ms);
        if let Some(group) = group {
            delivery.source =
                Source::Shared { home: ShardId::new(2), group, delivery: item.number, copy: Serial::NONE };
        }
        (delivery, item)
    }

    /// The identifier of a flow, mostly; sometimes any.
    fn any_id(&mut self) -> PacketId {
        let any = u16::try_from(self.random.range(1, 65_535)).unwrap();
        let open = self.random.pick(&self.model.flows).map(|flow| flow.id);
        let id = if self.random.chance(9, 10) { open.unwrap_or(any) } else { any };
        PacketId::new(id).unwrap()
    }

    fn any_reason(&mut self) -> Reason {
        if self.random.chance(1, 10) { Reason::UnspecifiedError } else { Reason::NoMatchingSubscribers }
    }

    fn enqueue(&mut self) {
        let qos = QoS::from_bits(u8::try_from(self.random.below(3)).unwrap()).unwrap();
        let (delivery, item) = self.message(qos);
        let messages_max = u32::try_from(self.random.below(30)).unwrap();
        let policy = if self.random.chance(1, 2) { QueuePolicy::RefuseNew } else { QueuePolicy::DropOldest };
        // All are of one size: a bound in bytes is one in messages.
        let bytes_max = u64::from(messages_max) * delivery.charged_bytes();
        let bounds = if self.random.chance(1, 2) {
            QueueBounds { messages_max, bytes_max: u64::MAX, policy }
        } else {
            QueueBounds { messages_max: u32::MAX, bytes_max, policy }
        };
        assert_eq!(self.outbound.has_room(&bounds), self.model.own() < messages_max as usize);
        let dropped = match self.outbound.enqueue(delivery, &bounds) {
            Enqueued::Queued => Vec::new(),
            Enqueued::Refused(copy) => vec![waiting_number(&copy)],
            Enqueued::Displaced(displaced) => displaced.iter().map(waiting_number).collect(),
        };
        assert_eq!(dropped, self.model.enqueue(item, messages_max as usize, policy));
    }

    fn direct(&mut self) {
        let qos = if self.random.chance(1, 2) { QoS::AtLeastOnce } else { QoS::ExactlyOnce };
        let (delivery, item) = self.message(qos);
        let is_direct = self.model.is_direct();
        match self.outbound.direct(delivery) {
            Ok(id) => self.model.send(id, item),
            Err(refused) => assert_eq!(number(&refused), item.number),
        }
        assert_eq!(self.model.flows.last().is_some_and(|flow| flow.item.number == item.number), is_direct);
    }

    fn next(&mut self) {
        let front = self.model.queue.first().copied();
        let expected = self.model.next(self.now_ms);
        let seen = match self.outbound.next(Time::from_millis(self.now_ms)) {
            Next::Publish { id, dup: true, delivery } => Seen::Repeat(id.get(), number(delivery)),
            Next::Publish { id, dup: false, delivery } => {
                self.model.send(id, front.expect("a new message was queued"));
                Seen::Publish(number(delivery))
            }
            Next::PubRel { id } => Seen::PubRel(id.get()),
            Next::Plain(delivery) => Seen::Plain(number(&delivery)),
            Next::Expired(delivery) => Seen::Expired(number(&delivery)),
            Next::Nothing => Seen::Nothing,
            Next::Stowed => unreachable!("nothing is stowed here"),
        };
        assert_eq!(seen, expected);
    }

    fn puback(&mut self) {
        let (id, reason) = (self.any_id(), self.any_reason());
        let seen = match self.outbound.puback(id, reason) {
            Acked::Delivered(delivery) => Seen::Delivered(number(&delivery)),
            Acked::Refused(delivery) => Seen::Refused(number(&delivery)),
            Acked::Unknown => Seen::Unknown,
        };
        assert_eq!(seen, self.model.puback(id.get(), reason.is_error()));
    }

    fn pubrec(&mut self) {
        let (id, reason) = (self.any_id(), self.any_reason());
        let seen = match self.outbound.pubrec(id, reason) {
            Recorded::Release(delivery) => Seen::Delivered(number(&delivery)),
            Recorded::Again => Seen::Again,
            Recorded::Refused(delivery) => Seen::Refused(number(&delivery)),
            Recorded::Closed => Seen::Closed,
            Recorded::Unknown => Seen::Unknown,
        };
        assert_eq!(seen, self.model.pubrec(id.get(), reason.is_error()));
    }

    fn pubcomp(&mut self) {
        let id = self.any_id();
        assert_eq!(self.outbound.pubcomp(id), self.model.pubcomp(id.get()));
    }

    fn give_up(&mut self) {
        let id = self.any_id();
        let flow = self.model.find(id.get()).map(|index| self.model.flows[index]);
        let held = flow.filter(|flow| !flow.is_released).map(|flow| flow.item.number);
        assert_eq!(self.outbound.inflight(id).map(number), held);
        assert_eq!(self.outbound.give_up(id).as_ref().map(number), self.model.give_up(id.get()));
    }

    fn connect(&mut self) {
        let window = u16::try_from(self.random.range(1, self.window_max)).unwrap();
        self.outbound.connect(window);
        self.model.connect(usize::from(window));
    }

    fn disconnect(&mut self) {
        self.outbound.disconnect();
        self.outbound.shrink_if_empty();
        self.model.window = 0;
    }

    fn take_returns(&mut self) {
        let session_ends = self.random.chance(1, 2);
        let returned = self.outbound.take_returns(session_ends);
        assert_eq!(returned_numbers(&returned), self.model.returns(session_ends));
    }

    fn drain(&mut self) {
        let drained: Vec<_> = self.outbound.drain().iter().map(waiting_number).collect();
        assert_eq!(drained, self.model.drain());
        assert!(self.outbound.is_empty());
    }
}

#[test]
fn a_session_sends_what_the_naive_model_sends() {
    for (seed, window_max) in [(1, 2), (2, 5), (3, 12), (4, 40), (5, 150), (6, 1_000)] {
        let mut pair = Pair::new(seed, window_max);
        for step in 0..50_000 {
            pair.step();
            if step % 16 == 0 {
                pair.outbound.check();
            }
        }
    }
}

#[test]
fn a_session_whose_client_acknowledges_in_order_sends_everything_once() {
    for (seed, window) in [(7, 1), (8, 10), (9, 100)] {
        let (mut outbound, mut random) = (Outbound::new(), Random::from_seed(seed));
        let bounds = QueueBounds { messages_max: u32::MAX, bytes_max: u64::MAX, policy: QueuePolicy::RefuseNew };
        outbound.connect(window);
        let (mut published, mut acknowledged, mut open) = (0, 0, std::collections::VecDeque::new());
        while acknowledged < 20_000 {
            if random.chance(1, 2) {
                let message = delivery(published, QoS::AtLeastOnce);
                match outbound.direct(message) {
                    Ok(id) => open.push_back(id),
                    Err(message) => assert!(matches!(outbound.enqueue(message, &bounds), Enqueued::Queued)),
                }
                published += 1;
            } else if let Some(id) = open.pop_front() {
                let Acked::Delivered(delivery) = outbound.puback(id, Reason::Success) else { panic!() };
                assert_eq!(number(&delivery), acknowledged, "seed {seed}");
                acknowledged += 1;
            }
            while let Next::Publish { id, .. } = outbound.next(Time::ZERO) {
                open.push_back(id);
            }
        }
        outbound.check();
    }
}
