//! The plain subscriptions of a session: most sessions have one, and it costs no heap.

use crate::engine::subscriptions::index::FilterId;

/// Filters in no particular order, each once. One per session.
#[derive(Debug, Default)]
pub enum Filters {
    /// Not one.
    #[default]
    None,
    /// The only one.
    One(FilterId),
    /// Two and more; a list that has shrunk stays a list until it is empty.
    Many(Box<Vec<FilterId>>),
}

impl Filters {
    /// Adds a filter that is not among them.
    pub fn push(&mut self, filter: FilterId) {
        debug_assert!(!self.as_slice().contains(&filter), "a filter is there once");
        match self {
            Self::None => *self = Self::One(filter),
            Self::One(first) => *self = Self::Many(Box::new(vec![*first, filter])),
            Self::Many(list) => list.push(filter),
        }
    }

    /// Takes a filter out; whether it was there.
    pub fn remove(&mut self, filter: FilterId) -> bool {
        let Some(place) = self.as_slice().iter().position(|known| *known == filter) else { return false };
        match self {
            Self::Many(list) if list.len() > 1 => {
                list.swap_remove(place);
            }
            Self::None | Self::One(_) | Self::Many(_) => *self = Self::None,
        }
        true
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.as_slice().len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// All of them.
    pub fn as_slice(&self) -> &[FilterId] {
        match self {
            Self::None => &[],
            Self::One(filter) => std::slice::from_ref(filter),
            Self::Many(list) => list,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::hash::Seed;
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

    #[test]
    fn what_was_pushed_is_there_until_it_is_removed() {
        let [a, b, c] = ids();
        let mut filters = Filters::default();
        assert!(filters.is_empty() && !filters.remove(a));
        for (count, id) in [a, b, c].into_iter().enumerate() {
            filters.push(id);
            assert_eq!((filters.len(), filters.as_slice().last()), (count + 1, Some(&id)));
            assert!(!filters.is_empty());
        }
        assert!(filters.remove(b) && !filters.remove(b));
        assert_eq!(filters.as_slice(), [a, c]);
        assert!(filters.remove(a) && filters.remove(c) && filters.is_empty());
        filters.push(b);
        assert!(matches!(filters, Filters::One(id) if id == b));
    }

    #[test]
    fn they_take_sixteen_bytes() {
        assert_eq!(size_of::<Filters>(), 16);
    }
}
