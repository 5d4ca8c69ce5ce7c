//! Subscriptions made while retained messages were on their way to their homes: such a message may reach them by neither way.

use std::collections::BTreeMap;

use crate::base::hash::{Map, Seed, map};
use crate::engine::session::SessionKey;
use crate::engine::subscriptions::index::FilterId;

/// A subscription of this shard.
type Place = (SessionKey, FilterId);

/// The young subscriptions of a shard, and the messages that they are young for. One per shard.
///
/// A subscription is known here from when it is made until it ends, or until every message is over that was on its way then. So there
/// are no more of them than subscriptions, and none while no message is on its way.
#[derive(Debug)]
pub(super) struct Young {
    /// How many were made while messages were on their way.
    made: u64,
    /// The messages on their way: how many came when so many had been made.
    awaited: BTreeMap<u64, u32>,
    /// Each young one: as which it was made, and whether it wants retained messages.
    subscriptions: Map<Place, (u64, bool)>,
    by_age: BTreeMap<u64, Place>,
}

impl Young {
    /// None, and no message on its way.
    pub fn new(seed: Seed) -> Self {
        Self { made: 0, awaited: BTreeMap::new(), subscriptions: map(seed), by_age: BTreeMap::new() }
    }

    /// A message came whose home may not know it yet. What [`is_younger`](Self::is_younger) and [`message_over`](Self::message_over) are to be told
    /// of it.
    pub fn message_came(&mut self) -> u64 {
        *self.awaited.entry(self.made).or_insert(0) += 1;
        self.made
    }

    /// Its home has spoken.
    pub fn message_over(&mut self, since: u64) {
        let count = self.awaited.get_mut(&since).expect("a message that is over was on its way");
        *count -= 1;
        if *count == 0 {
            self.awaited.remove(&since);
        }
        let oldest = self.awaited.first_key_value().map_or(u64::MAX, |(since, _)| *since);
        while let Some(first) = self.by_age.first_entry().filter(|first| *first.key() <= oldest) {
            self.subscriptions.remove(first.get());
            first.remove();
        }
    }

    /// A subscription was made, or made again: then it stays as old as it was, but may want retained messages only now.
    pub fn subscribed(&mut self, session: SessionKey, filter: FilterId, is_known: bool, wants_retained: bool) {
        if self.awaited.is_empty() {
            return;
        }
        if is_known {
            if let Some((_, wants)) = self.subscriptions.get_mut(&(session, filter)) {
                *wants |= wants_retained;
            }
            return;
        }
        self.made += 1;
        let before = self.subscriptions.insert((session, filter), (self.made, wants_retained));
        debug_assert!(before.is_none(), "a subscription that has ended is forgotten");
        self.by_age.insert(self.made, (session, filter));
    }

    /// A subscription has ended.
    pub fn unsubscribed(&mut self, session: SessionKey, filter: FilterId) {
        if let Some((made, _)) = self.subscriptions.remove(&(session, filter)) {
            self.by_age.remove(&made);
        }
    }

    /// Whether no subscription was made since a message came.
    pub fn is_last(&self, since: u64) -> bool {
        self.made == since
    }

    /// Whether a subscription was made after that; then, whether it wants retained messages.
    pub fn is_younger(&self, session: SessionKey, filter: FilterId, since: u64) -> Option<bool> {
        self.subscriptions.get(&(session, filter)).filter(|(made, _)| *made > since).map(|(_, wants)| *wants)
    }

    /// Proves the invariants, as far as this shard's subscriptions are known by `is_subscribed`.
    ///
    /// # Panics
    /// When one does not hold.
    pub fn check(&self, is_subscribed: impl Fn(SessionKey, FilterId) -> bool) {
        let oldest = self.awaited.first_key_value().map(|(since, _)| *since);
        assert_eq!(self.by_age.len(), self.subscriptions.len());
        for (made, place) in &self.by_age {
            assert!(oldest.is_some_and(|oldest| *made > oldest), "what no message is older than is forgotten");
            assert_eq!(self.subscriptions.get(place).map(|(made, _)| made), Some(made));
            assert!(is_subscribed(place.0, place.1), "what has ended is forgotten");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::slab::Slab;
    use crate::engine::session::Session;
    use crate::engine::subscriptions::entry::{Options, Subscriber};
    use crate::engine::subscriptions::index::Index;
    use crate::mqtt::{Filter, QoS};

    fn scene() -> (Young, SessionKey, [FilterId; 2]) {
        let mut index = Index::new(Seed::new(1));
        let mut id = |text| {
            let options = Options::new(QoS::AtMostOnce);
            index.insert(Filter::parse(text).unwrap(), Subscriber::session(0), options).id
        };
        (Young::new(Seed::new(1)), Slab::<Session>::new().next_key(), ["a", "b"].map(&mut id))
    }

    #[test]
    fn a_subscription_is_young_for_the_messages_that_came_before_it() {
        let (mut young, session, [a, b]) = scene();
        young.subscribed(session, a, false, true);
        let first = young.message_came();
        assert!(young.is_last(first) && young.is_younger(session, a, first).is_none());
        young.subscribed(session, b, false, false);
        let second = young.message_came();
        assert_eq!((young.is_younger(session, b, first), young.is_younger(session, b, second)), (Some(false), None));
        young.subscribed(session, b, true, true);
        assert_eq!(young.is_younger(session, b, first), Some(true), "made again it wants them");
        assert!(!young.is_last(first) && young.is_last(second));
        young.check(|_, _| true);
    }

    #[test]
    fn a_subscription_that_has_ended_takes_nothing_from_the_one_that_is_made_in_its_place() {
        let (mut young, session, [a, _]) = scene();
        let first = young.message_came();
        young.subscribed(session, a, false, true);
        young.unsubscribed(session, a);
        young.check(|_, _| false);
        let second = young.message_came();
        young.subscribed(session, a, false, true);
        young.message_over(first);
        assert_eq!(young.is_younger(session, a, second), Some(true));
        young.check(|_, _| true);
    }

    #[test]
    fn threat_8_what_no_message_is_older_than_is_forgotten_also_while_others_are_on_their_way() {
        let (mut young, session, [a, _]) = scene();
        let mut before = young.message_came();
        for _ in 0..10_000 {
            young.subscribed(session, a, false, true);
            young.unsubscribed(session, a);
            young.subscribed(session, a, false, true);
            let next = young.message_came(); // there is always one on its way
            young.message_over(before);
            young.check(|_, _| true);
            young.unsubscribed(session, a);
            before = next;
            assert!(young.by_age.is_empty() && young.awaited.len() == 1);
        }
        young.subscribed(session, a, false, true);
        young.message_over(before);
        assert!(young.by_age.is_empty(), "none is on its way");
    }
}
