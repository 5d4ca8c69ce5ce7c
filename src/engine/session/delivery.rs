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
    },
}

impl Source {
    /// The session's own, which nobody keeps.
    pub const OWN: Self = Self::Own(Noted { copy: Serial::NONE, body: Serial::NONE });

    /// Whether a shared group waits to hear about it.
    pub fn is_shared(self) -> bool {
        match self {
            Self::Own(_) => false,
            Self::Shared { .. } => true,
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
        self.message.charged_bytes() as u64
    }

    /// By which changes it is known.
    pub fn noted(&self) -> Noted {
        match self.source {
            Source::Own(noted) => noted,
            Source::Shared { .. } => Noted::default(),
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

    use super::{Delivery, Returned, Source, SubscriptionIds};
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
    fn a_delivery_fits_into_two_cache_lines() {
        assert!(size_of::<Option<Delivery>>() <= 128, "{}", size_of::<Option<Delivery>>());
    }
}
