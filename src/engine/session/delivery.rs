//! A message on its way to one receiver, with what that receiver's subscription says about it.

use crate::engine::change::Serial;
use crate::engine::homes::ShardId;
use crate::engine::message::Message;
use crate::mqtt::QoS;

/// The identifiers of the subscriptions that a message matched.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum SubscriptionIds {
    /// No matching subscription has one.
    #[default]
    None,
    /// One has; nothing on the heap.
    One(u32),
    /// Several have: overlapping subscriptions of one client, merged into one delivery.
    Many(Box<[u32]>),
}

impl SubscriptionIds {
    /// These identifiers.
    pub fn of(ids: &[u32]) -> Self {
        match ids {
            [] => Self::None,
            [id] => Self::One(*id),
            many => Self::Many(many.into()),
        }
    }

    /// The bytes on the heap.
    pub fn heap_bytes(&self) -> u64 {
        match self {
            Self::None | Self::One(_) => 0,
            Self::Many(ids) => size_of_val(&**ids) as u64,
        }
    }

    /// The identifiers, in the order in which they were given.
    pub fn as_slice(&self) -> &[u32] {
        match self {
            Self::None => &[],
            Self::One(id) => std::slice::from_ref(id),
            Self::Many(ids) => ids,
        }
    }
}

/// By which changes a copy is known that outlives the process; [`Serial::NONE`] where nobody keeps it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Noted {
    /// The change by which the copy was noted.
    pub copy: Serial,
    /// The change by which its message was noted.
    pub body: Serial,
}

/// Whose copy a delivery is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// The session's own, by a subscription of its own.
    Own(Noted),
    /// A shared group's, which waits to hear what became of it.
    Shared {
        /// The shard that the group lives on.
        home: ShardId,
        /// The group's key there.
        group: u64,
        /// The group's number for this delivery.
        delivery: u64,
        /// As below: the group does not outlive the process, and the session may.
        copy: Serial,
    },
    /// A shared group's that outlives the process, which waits to hear what became of it.
    Lent {
        /// The shard that the group lives on.
        home: ShardId,
        /// The change there by which the group's copy is known.
        lent: Serial,
        /// The change here by which the session's copy is known, from when it was sent with quality of service 2.
        copy: Serial,
    },
}

impl Source {
    /// The session's own, which nobody keeps.
    pub const OWN: Self = Self::Own(Noted { copy: Serial::NONE, body: Serial::NONE });

    /// Whether a shared group waits to hear about it.
    pub fn is_shared(self) -> bool {
        match self {
            Self::Own(_) => false,
            Self::Shared { .. } | Self::Lent { .. } => true,
        }
    }

    /// Whether that group outlives the process.
    pub fn is_lent(self) -> bool {
        match self {
            Self::Own(_) | Self::Shared { .. } => false,
            Self::Lent { .. } => true,
        }
    }

    /// The same from when the session knows a group's copy by this change.
    #[must_use]
    pub fn known_as(self, copy: Serial) -> Self {
        match self {
            Self::Own(_) => self,
            Self::Shared { home, group, delivery, copy: _ } => Self::Shared { home, group, delivery, copy },
            Self::Lent { home, lent, copy: _ } => Self::Lent { home, lent, copy },
        }
    }
}

/// One copy of a message for one receiver.
#[derive(Clone, Debug)]
pub struct Delivery {
    /// The message; its bytes are shared with all other receivers.
    pub message: Message,
    /// The quality of service of this copy: the lower one of message and subscription.
    pub qos: QoS,
    /// The RETAIN flag of this copy.
    pub retain: bool,
    /// The subscription identifiers that go with it.
    pub ids: SubscriptionIds,
    /// Who gave it to the session.
    pub source: Source,
}

impl Delivery {
    /// The bytes that a queue is charged for it.
    pub fn charged_bytes(&self) -> u64 {
        self.message.charged_bytes() as u64 + self.ids.heap_bytes()
    }

    /// The bytes of memory that stowing it would spare, were it the only copy; none if nobody has noted it.
    pub fn held_bytes(&self) -> u64 {
        if self.noted().copy == Serial::NONE { 0 } else { self.charged_bytes() + size_of::<Self>() as u64 }
    }

    /// By which changes it is known.
    pub fn noted(&self) -> Noted {
        match self.source {
            Source::Own(noted) => noted,
            Source::Shared { copy, .. } | Source::Lent { copy, .. } => Noted { copy, body: Serial::NONE },
        }
    }
}

/// A copy that waits without its message, which is stowed.
#[derive(Debug)]
pub struct Stub {
    /// The change by which the copy was noted.
    pub copy: Serial,
    /// The index of its message's place in the stowage.
    pub stowed: u32,
    /// The bytes that a queue is charged for it.
    charged: u32,
    ids: u32,
    /// The quality of service of this copy, 1 or 2.
    pub qos: QoS,
    /// The RETAIN flag of this copy.
    pub retain: bool,
}

/// What a stub says of identifiers when there is none, and when it has no room for them: no identifier is as high.
const NO_ID: u32 = 0;
const MANY_IDS: u32 = u32::MAX;

impl Stub {
    /// The stub of a copy whose message is stowed here, and its identifiers if somebody else has to keep them.
    pub fn of(delivery: Delivery, stowed: u32) -> (Self, Option<Box<[u32]>>) {
        let charged = u32::try_from(delivery.charged_bytes()).expect("a packet has at most 256 MiB");
        Self::new(delivery.noted().copy, stowed, charged, delivery.qos, delivery.retain, delivery.ids)
    }

    /// The same from its parts.
    pub fn new(
        copy: Serial,
        stowed: u32,
        charged: u32,
        qos: QoS,
        retain: bool,
        ids: SubscriptionIds,
    ) -> (Self, Option<Box<[u32]>>) {
        let (ids, many) = match ids {
            SubscriptionIds::None => (NO_ID, None),
            SubscriptionIds::One(id) => (id, None),
            SubscriptionIds::Many(many) => (MANY_IDS, Some(many)),
        };
        (Self { copy, stowed, charged, ids, qos, retain }, many)
    }

    /// Whether somebody else keeps its identifiers.
    pub fn has_many_ids(&self) -> bool {
        self.ids == MANY_IDS
    }

    /// Its identifiers, of which somebody else may have kept these.
    pub fn ids(&self, many: Option<Box<[u32]>>) -> SubscriptionIds {
        match (self.ids, many) {
            (NO_ID, _) => SubscriptionIds::None,
            (MANY_IDS, many) => many.map_or(SubscriptionIds::None, SubscriptionIds::Many),
            (id, _) => SubscriptionIds::One(id),
        }
    }
}

/// A copy that waits, with its message or without.
#[derive(Debug)]
pub enum Waiting {
    /// With it.
    Whole(Box<Delivery>),
    /// Without.
    Stowed(Stub),
}

impl Waiting {
    /// The same, borrowed.
    pub fn as_ref(&self) -> WaitingRef<'_> {
        match self {
            Self::Whole(delivery) => WaitingRef::Whole(delivery),
            Self::Stowed(stub) => WaitingRef::Stowed(stub),
        }
    }
}

/// A copy that waits, borrowed.
#[derive(Clone, Copy, Debug)]
pub enum WaitingRef<'a> {
    /// With its message.
    Whole(&'a Delivery),
    /// Without.
    Stowed(&'a Stub),
}

impl WaitingRef<'_> {
    /// Whether a shared group waits to hear about it.
    pub fn is_shared(self) -> bool {
        match self {
            Self::Whole(delivery) => delivery.source.is_shared(),
            Self::Stowed(_) => false,
        }
    }

    /// Whether it is QoS 0.
    pub fn is_plain(self) -> bool {
        match self {
            Self::Whole(delivery) => delivery.qos == QoS::AtMostOnce,
            Self::Stowed(_) => false,
        }
    }

    /// The bytes that a queue is charged for it.
    pub fn charged_bytes(self) -> u64 {
        match self {
            Self::Whole(delivery) => delivery.charged_bytes(),
            Self::Stowed(stub) => u64::from(stub.charged),
        }
    }

    /// The bytes of memory that stowing it would spare.
    pub fn held_bytes(self) -> u64 {
        match self {
            Self::Whole(delivery) => delivery.held_bytes(),
            Self::Stowed(_) => 0,
        }
    }
}

/// A copy that a session hands back to the shared group it came from.
#[derive(Clone, Debug)]
pub enum Returned {
    /// Another member may get it.
    GiveBack(Delivery),
    /// It was sent with QoS 2 to a session that has ended: nobody else may get it. [MQTT-4.8.2-5]
    Discard(Delivery),
}

#[cfg(test)]
pub(super) mod testing {
    //! Deliveries for the tests of this room.

    use super::{Delivery, Returned, Source, SubscriptionIds, Waiting};
    use crate::base::payload::Chunks;
    use crate::base::time::Time;
    use crate::engine::message::{Publication, SessionId};
    use crate::mqtt::QoS;

    /// A delivery whose payload is `number` and that never expires.
    pub fn delivery(number: u64, qos: QoS) -> Delivery {
        let mut chunks = Chunks::new(64, 1);
        let payload = number.to_be_bytes();
        let mut publication = Publication::new("t", b"", &payload, qos, SessionId::BROKER);
        let message = publication.keep(&mut chunks).clone();
        Delivery { message, qos, retain: false, ids: SubscriptionIds::None, source: Source::OWN }
    }

    /// A delivery that expires at `millis`.
    pub fn expiring(number: u64, qos: QoS, millis: u64) -> Delivery {
        let mut delivery = delivery(number, qos);
        delivery.message.expires = Time::from_millis(millis);
        delivery
    }

    /// The number that [`delivery`] was given.
    pub fn number(delivery: &Delivery) -> u64 {
        u64::from_be_bytes(delivery.message.payload().try_into().expect("eight bytes were put in"))
    }

    /// The same of a copy that waits; of a stub the number of its copy.
    pub fn waiting_number(copy: &Waiting) -> u64 {
        match copy {
            Waiting::Whole(delivery) => number(delivery),
            Waiting::Stowed(stub) => stub.copy.get(),
        }
    }

    /// The numbers of what goes back and of what nobody else may get.
    pub fn returned_numbers(returned: &[Returned]) -> (Vec<u64>, Vec<u64>) {
        let (mut back, mut discarded) = (Vec::new(), Vec::new());
        for copy in returned {
            match copy {
                Returned::GiveBack(delivery) => back.push(number(delivery)),
                Returned::Discard(delivery) => discarded.push(number(delivery)),
            }
        }
        (back, discarded)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn subscription_identifiers_keep_their_order() {
        for ids in [&[][..], &[7], &[9, 2, 9]] {
            assert_eq!(SubscriptionIds::of(ids).as_slice(), ids);
        }
    }

    #[test]
    fn one_subscription_identifier_costs_no_heap() {
        assert_eq!(SubscriptionIds::of(&[5]), SubscriptionIds::One(5));
        assert_eq!(SubscriptionIds::of(&[]), SubscriptionIds::None);
    }

    #[test]
    fn threat_1_a_queue_is_charged_for_the_identifiers_of_a_copy() {
        let plain = testing::delivery(1, QoS::AtLeastOnce);
        let ids: Vec<u32> = (1..=4_096).collect();
        let copy = Delivery { ids: SubscriptionIds::of(&ids), ..plain.clone() };
        assert_eq!(copy.charged_bytes(), plain.charged_bytes() + 4 * 4_096);
    }

    #[test]
    fn a_stub_keeps_all_but_the_message() {
        for ids in [SubscriptionIds::None, SubscriptionIds::One(7), SubscriptionIds::of(&[9, 2])] {
            let source = Source::Own(Noted { copy: Serial::new(5), body: Serial::new(4) });
            let delivery =
                Delivery { ids: ids.clone(), source, retain: true, ..testing::delivery(1, QoS::ExactlyOnce) };
            let (charged, held) = (delivery.charged_bytes(), delivery.held_bytes());
            let (stub, many) = Stub::of(delivery, 3);
            assert_eq!(stub.has_many_ids(), many.is_some());
            assert_eq!((stub.copy, stub.stowed, stub.qos, stub.retain), (Serial::new(5), 3, QoS::ExactlyOnce, true));
            assert_eq!(stub.ids(many), ids);
            assert_eq!(WaitingRef::Stowed(&stub).charged_bytes(), charged);
            assert!(WaitingRef::Stowed(&stub).held_bytes() == 0 && held > charged);
        }
    }

    #[test]
    fn a_copy_without_its_message_is_small() {
        assert!(size_of::<Waiting>() <= 24, "{}", size_of::<Waiting>());
    }

    #[test]
    fn a_delivery_fits_into_two_cache_lines() {
        assert!(size_of::<Option<Delivery>>() <= 128, "{}", size_of::<Option<Delivery>>());
    }
}
