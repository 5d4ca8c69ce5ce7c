//! The plain subscriptions of a session: most sessions have one, and it costs four bytes and no heap.

use super::Session;
use crate::engine::subscriptions::index::FilterId;

/// The only filter of a session. It has none either where the others are in its extras: a list that has shrunk stays a list
/// until it is empty.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Filters(FilterId);

impl Filters {
    /// No filter.
    pub(super) const NONE: Self = Self(FilterId::NONE);
}

impl Session {
    /// Its plain subscriptions, in no particular order, each once.
    pub fn filters(&self) -> &[FilterId] {
        match self.filters {
            Filters::NONE => &self.extras.filters,
            Filters(ref only) => std::slice::from_ref(only),
        }
    }

    /// Adds a filter that is not among them.
    pub fn add_filter(&mut self, filter: FilterId) {
        debug_assert!(!self.filters().contains(&filter), "a filter is there once");
        match self.filters {
            Filters::NONE if self.extras.filters.is_empty() => self.filters = Filters(filter),
            Filters::NONE => self.extras.filters.push(filter),
            Filters(first) => {
                self.filters = Filters::NONE;
                *self.extras.filters = vec![first, filter];
            }
        }
    }

    /// Takes a filter out; whether it was there.
    pub fn remove_filter(&mut self, filter: FilterId) -> bool {
        let Some(place) = self.filters().iter().position(|known| *known == filter) else { return false };
        if self.filters == Filters::NONE {
            self.extras.filters.swap_remove(place);
            self.give_memory_back();
        } else {
            self.filters = Filters::NONE;
        }
        true
    }

    /// Takes all of them out.
    pub fn take_filters(&mut self) -> Vec<FilterId> {
        let filters = self.filters().to_vec();
        self.filters = Filters::NONE;
        if let Some(extras) = self.extras.used() {
            extras.filters.take();
        }
        filters
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::base::hash::Seed;
    use crate::base::labels::Labels;
    use crate::engine::auth::identity::Identity;
    use crate::engine::message::SessionId;
    use crate::engine::subscriptions::entry::{Options, Subscriber};
    use crate::engine::subscriptions::index::Index;
    use crate::mqtt::{Filter, QoS};

    fn ids<const N: usize>() -> [FilterId; N] {
        let mut index = Index::new(Seed::new(1));
        std::array::from_fn(|number| {
            let text = format!("t/{number}");
            let filter = Filter::parse(&text).unwrap();
            index.insert(filter, Subscriber::session(0), Options::new(QoS::AtMostOnce)).id
        })
    }

    fn session() -> Session {
        Session::new(SessionId::BROKER, Labels::new().add("client"), Arc::new(Identity::anonymous()))
    }

    #[test]
    fn what_was_added_is_there_until_it_is_removed() {
        let [a, b, c] = ids();
        let mut session = session();
        assert!(session.filters().is_empty() && !session.remove_filter(a));
        for (count, id) in [a, b, c].into_iter().enumerate() {
            session.add_filter(id);
            assert_eq!((session.filters().len(), session.filters().last()), (count + 1, Some(&id)));
        }
        assert!(session.remove_filter(b) && !session.remove_filter(b));
        assert_eq!(session.filters(), [a, c]);
        assert!(session.remove_filter(a));
        session.add_filter(b);
        assert_eq!(session.filters(), [c, b]);
        assert_eq!((session.take_filters(), session.filters()), (vec![c, b], &[][..]));
    }

    #[test]
    fn only_several_need_memory_and_the_last_gives_it_back() {
        let [a, b] = ids();
        let mut session = session();
        session.add_filter(a);
        assert!(session.remove_filter(a) && session.filters().is_empty());
        session.add_filter(b);
        assert_eq!(session.filters(), [b]);
        assert!(session.extras.used().is_none());
        session.add_filter(a);
        assert!(session.extras.used().is_some());
        assert!(session.remove_filter(a) && session.remove_filter(b));
        assert!(session.extras.used().is_none());
        session.add_filter(b);
        assert_eq!((session.take_filters(), session.filters().len()), (vec![b], 0));
    }
}
