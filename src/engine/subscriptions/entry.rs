//! Who subscribed and how: a subscription in eight bytes.

use crate::mqtt::version::QoS;

/// A receiver on this shard: a session, or a shared group that passes each message to one of its
/// members.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Subscriber(u32);

/// What a [`Subscriber`] stands for, with its index in the slab of that kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SubscriberKind {
    /// The session at this slab index.
    Session(u32),
    /// The shared group at this slab index.
    Group(u32),
}

impl Subscriber {
    const GROUP: u32 = 1 << 31;

    /// The session at this slab index, below 2^31.
    pub fn session(index: u32) -> Self {
        assert!(index < Self::GROUP, "slab indices stay below 2^31");
        Self(index)
    }

    /// The shared group at this slab index, below 2^31.
    pub fn group(index: u32) -> Self {
        assert!(index < Self::GROUP, "slab indices stay below 2^31");
        Self(index | Self::GROUP)
    }

    /// Session or group, with its index.
    pub fn kind(self) -> SubscriberKind {
        if self.0 & Self::GROUP == 0 {
            SubscriberKind::Session(self.0)
        } else {
            SubscriberKind::Group(self.0 & !Self::GROUP)
        }
    }

    pub(super) fn bits(self) -> u32 {
        self.0
    }

    pub(super) fn from_bits(bits: u32) -> Self {
        Self(bits)
    }
}

/// The options of a subscription: identifier (28 bits, 0 = none), QoS, No Local, Retain As
/// Published.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Options(u32);

impl Options {
    const RETAIN_AS_PUBLISHED: u32 = 1;
    const NO_LOCAL: u32 = 1 << 1;
    const QOS_SHIFT: u32 = 2;
    const QOS: u32 = 3 << Self::QOS_SHIFT;
    const ID_SHIFT: u32 = 4;

    /// Options with this QoS and nothing else.
    pub fn new(qos: QoS) -> Self {
        Self(u32::from(qos.bits()) << Self::QOS_SHIFT)
    }

    /// With this Subscription Identifier, at most 268,435,455; 0 means none.
    #[must_use]
    pub fn with_id(self, id: u32) -> Self {
        assert!(id < 1 << 28, "a Subscription Identifier has at most 28 bits");
        Self(self.0 & !(u32::MAX << Self::ID_SHIFT) | id << Self::ID_SHIFT)
    }

    /// With or without No Local.
    #[must_use]
    pub fn with_no_local(self, no_local: bool) -> Self {
        Self(self.0 & !Self::NO_LOCAL | if no_local { Self::NO_LOCAL } else { 0 })
    }

    /// With or without Retain As Published.
    #[must_use]
    pub fn with_retain_as_published(self, as_published: bool) -> Self {
        Self(self.0 & !Self::RETAIN_AS_PUBLISHED | if as_published { Self::RETAIN_AS_PUBLISHED } else { 0 })
    }

    /// The highest QoS that the subscriber wants.
    pub fn qos(self) -> QoS {
        let bits = (self.0 & Self::QOS) >> Self::QOS_SHIFT;
        match bits {
            0 => QoS::AtMostOnce,
            1 => QoS::AtLeastOnce,
            _ => QoS::ExactlyOnce,
        }
    }

    /// The Subscription Identifier, if the subscription carries one.
    pub fn id(self) -> Option<u32> {
        Some(self.0 >> Self::ID_SHIFT).filter(|id| *id != 0)
    }

    /// Whether the subscriber wants none of its own messages.
    pub fn no_local(self) -> bool {
        self.0 & Self::NO_LOCAL != 0
    }

    /// Whether RETAIN stays as the publisher set it.
    pub fn retain_as_published(self) -> bool {
        self.0 & Self::RETAIN_AS_PUBLISHED != 0
    }
}

/// One subscription: who and how.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Who.
    pub subscriber: Subscriber,
    /// How.
    pub options: Options,
}

/// The subscribers of a filter in the space of one entry: most filters have one subscriber, and it
/// lies right here.
#[derive(Clone, Copy, Debug)]
pub(super) struct Holder(Entry);

/// What a [`Holder`] holds.
pub(super) enum Held<'a> {
    /// The filter's only subscription.
    One(&'a Entry),
    /// The number of the audience that holds the subscriptions.
    Many(u32),
    /// No filter: the record is free, and this is the next free one.
    Free(u32),
}

impl Holder {
    // QoS 3 does not exist: in the options it marks what is not an entry.
    const MANY: u32 = Options::QOS;
    const FREE: u32 = Options::QOS | 1 << Options::ID_SHIFT;

    pub fn one(entry: Entry) -> Self {
        debug_assert!(entry.options.0 & Options::QOS != Options::QOS);
        Self(entry)
    }

    pub fn many(audience: u32) -> Self {
        Self(Entry { subscriber: Subscriber::from_bits(audience), options: Options(Self::MANY) })
    }

    pub fn free(next: u32) -> Self {
        Self(Entry { subscriber: Subscriber::from_bits(next), options: Options(Self::FREE) })
    }

    pub fn held(&self) -> Held<'_> {
        match self.0.options.0 {
            Self::MANY => Held::Many(self.0.subscriber.bits()),
            Self::FREE => Held::Free(self.0.subscriber.bits()),
            _ => Held::One(&self.0),
        }
    }
}

const _: () = assert!(size_of::<Entry>() == 8 && size_of::<Holder>() == 8);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_hold_all_fields_at_once() {
        let options =
            Options::new(QoS::ExactlyOnce).with_id(268_435_455).with_no_local(true).with_retain_as_published(true);

        assert_eq!(options.qos(), QoS::ExactlyOnce);
        assert_eq!(options.id(), Some(268_435_455));
        assert!(options.no_local() && options.retain_as_published());

        let cleared = options.with_id(0).with_no_local(false).with_retain_as_published(false);
        assert_eq!(cleared, Options::new(QoS::ExactlyOnce));
        assert_eq!(cleared.id(), None);
    }

    #[test]
    fn sessions_and_groups_of_one_index_differ() {
        assert_eq!(Subscriber::session(7).kind(), SubscriberKind::Session(7));
        assert_eq!(Subscriber::group(7).kind(), SubscriberKind::Group(7));
        assert_ne!(Subscriber::session(7), Subscriber::group(7));
    }

    #[test]
    fn no_legal_entry_looks_like_a_mark() {
        for qos in [QoS::AtMostOnce, QoS::AtLeastOnce, QoS::ExactlyOnce] {
            let options = Options::new(qos).with_id(1).with_no_local(true).with_retain_as_published(true);
            let entry = Entry { subscriber: Subscriber::from_bits(u32::MAX), options };
            assert!(matches!(Holder::one(entry).held(), Held::One(held) if *held == entry));
        }
        assert!(matches!(Holder::many(9).held(), Held::Many(9)));
        assert!(matches!(Holder::free(u32::MAX).held(), Held::Free(u32::MAX)));
    }
}
