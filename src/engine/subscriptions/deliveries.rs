//! What the members of one shared group were sent and have not answered.

use crate::base::hash::{Map, Seed, map};
use crate::base::slab::{Key, Slab};
use crate::engine::change::Serial;
use crate::engine::message::Message;
use crate::engine::subscriptions::group_queue::Waiting;
use crate::engine::subscriptions::members::Member;
use crate::mqtt::version::QoS;

/// One message at one member, unanswered.
#[derive(Debug)]
pub struct Delivery {
    /// The place of the message in the order of the group.
    pub sequence: u64,
    /// The message.
    pub message: Message,
    /// With which quality of service it was sent; never 0, which nobody answers.
    pub qos: QoS,
    /// The change by which the copy is known; [`Serial::NONE`] where nobody keeps it.
    pub copy: Serial,
    /// Who has it.
    pub member: Key<Member>,
    previous: Option<Key<Delivery>>,
    next: Option<Key<Delivery>>,
}

/// All unanswered deliveries of a group, each member's in a chain of its own. One per group.
#[derive(Debug)]
pub struct Deliveries {
    slab: Slab<Delivery>,
    /// The newest delivery of each member that has any.
    heads: Map<Key<Member>, Key<Delivery>>,
}

impl Deliveries {
    /// No deliveries.
    pub fn new(seed: Seed) -> Self {
        Self { slab: Slab::new(), heads: map(seed) }
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.slab.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.slab.is_empty()
    }

    /// Notes a delivery; the number names it from now on and is never 0.
    pub fn insert(&mut self, member: Key<Member>, waiting: Waiting, qos: QoS) -> u64 {
        let Waiting { sequence, message, copy, owner: _ } = waiting;
        debug_assert!(qos > QoS::AtMostOnce, "nobody answers QoS 0");
        let key = self.slab.next_key();
        let next = self.heads.insert(member, key);
        if let Some(next) = next {
            self.slab.get_mut(next).expect("a chain leads to deliveries").previous = Some(key);
        }
        self.slab.insert(Delivery { sequence, message, qos, copy, member, previous: None, next });
        key.to_bits()
    }

    /// Takes out the delivery of this number, if it is still unanswered.
    pub fn remove(&mut self, number: u64) -> Option<Delivery> {
        let key = Key::from_bits(number)?;
        let delivery = self.slab.remove(key)?;
        if let Some(next) = delivery.next {
            self.slab.get_mut(next).expect("a chain leads to deliveries").previous = delivery.previous;
        }
        match (delivery.previous, delivery.next) {
            (Some(previous), next) => {
                self.slab.get_mut(previous).expect("a chain leads to deliveries").next = next;
            }
            (None, Some(next)) => {
                self.heads.insert(delivery.member, next);
            }
            (None, None) => {
                self.heads.remove(&delivery.member);
            }
        }
        Some(delivery)
    }

    /// All of them, in no particular order.
    pub fn iter(&self) -> impl Iterator<Item = &Delivery> {
        self.slab.iter().map(|(_, delivery)| delivery)
    }

    /// Takes out the newest delivery of a member.
    pub fn pop_of(&mut self, member: Key<Member>) -> Option<Delivery> {
        let newest = *self.heads.get(&member)?;
        self.remove(newest.to_bits())
    }

    /// Proves that every delivery is in the chain of its member.
    ///
    /// # Panics
    /// When one is not.
    pub fn check(&self) {
        let mut chained = 0;
        for (&member, &head) in &self.heads {
            let (mut previous, mut at) = (None, Some(head));
            while let Some(key) = at {
                let delivery = self.slab.get(key).expect("a chain leads to deliveries");
                assert_eq!((delivery.member, delivery.previous), (member, previous), "a chain is one member's");
                chained += 1;
                (previous, at) = (at, delivery.next);
            }
        }
        assert_eq!(chained, self.slab.len(), "every delivery is in a chain");
    }
}
