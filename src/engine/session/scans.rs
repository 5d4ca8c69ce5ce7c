//! The scans that a session waits for, in their order: the first one is under way, and the others are found by their filter.

use std::collections::BTreeMap;
use std::collections::btree_map::OccupiedEntry;

use crate::base::rare::Empty;
use crate::engine::shard::retain::PlannedScan;
use crate::engine::subscriptions::index::FilterId;

/// Scans of one session. Many subscriptions in one packet are many of them, so none is looked for by a walk.
///
/// Invariants: at most one scan of a filter has not begun, and it is the one that `places` names; only the first one has begun.
#[derive(Debug, Default)]
pub struct Scans {
    plans: BTreeMap<u64, PlannedScan>,
    /// Where the newest scan of each filter stands.
    places: BTreeMap<FilterId, u64>,
    /// Scans that there ever were.
    count: u64,
}

impl Empty for Scans {
    const EMPTY: &'static Self = &Self { plans: BTreeMap::new(), places: BTreeMap::new(), count: 0 };
}

impl Scans {
    /// Puts a scan behind all others. One of the same filter that has not begun is of no use beside it, and goes.
    pub fn plan(&mut self, plan: PlannedScan) {
        self.count += 1;
        let before = self.places.insert(plan.filter_id(), self.count);
        if let Some(before) = before.filter(|before| self.plans.get(before).is_some_and(|plan| !plan.has_begun())) {
            self.plans.remove(&before);
        }
        self.plans.insert(self.count, plan);
    }

    /// The one under way, or the next one.
    pub fn front(&self) -> Option<&PlannedScan> {
        self.plans.first_key_value().map(|(_, plan)| plan)
    }

    /// The same, to be changed.
    pub fn front_mut(&mut self) -> Option<&mut PlannedScan> {
        self.plans.first_entry().map(OccupiedEntry::into_mut)
    }

    /// Takes out the one under way, or the next one.
    pub fn pop_front(&mut self) -> Option<PlannedScan> {
        let (number, plan) = self.plans.pop_first()?;
        if self.places.get(&plan.filter_id()) == Some(&number) {
            self.places.remove(&plan.filter_id());
        }
        Some(plan)
    }

    /// Takes out those of a filter; the one that has begun comes back.
    pub fn forget(&mut self, filter: FilterId) -> Option<PlannedScan> {
        if let Some(number) = self.places.remove(&filter)
            && self.plans.get(&number).is_some_and(|plan| !plan.has_begun())
        {
            self.plans.remove(&number);
        }
        let is_begun = self.front().is_some_and(|plan| plan.has_begun() && plan.filter_id() == filter);
        if is_begun { self.plans.pop_first().map(|(_, plan)| plan) } else { None }
    }

    /// Whether one of this filter is still to begin.
    pub fn is_planned(&self, filter: FilterId) -> bool {
        let newest = self.places.get(&filter).and_then(|number| self.plans.get(number));
        newest.is_some_and(|plan| !plan.has_begun())
    }

    /// All of them, in their order.
    pub fn into_plans(self) -> impl Iterator<Item = PlannedScan> {
        self.plans.into_values()
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.plans.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.plans.is_empty()
    }

    /// Proves the invariants.
    ///
    /// # Panics
    /// When one does not hold.
    pub fn check(&self) {
        for (number, plan) in self.plans.iter().skip(1) {
            assert!(!plan.has_begun(), "only the first scan is under way");
            assert_eq!(self.places.get(&plan.filter_id()), Some(number), "a scan is found by its filter");
        }
        let is_there = |number: &u64| self.plans.contains_key(number);
        assert!(self.places.values().all(is_there), "a place is that of a scan");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::hash::Seed;
    use crate::engine::subscriptions::entry::{Options, Subscriber};
    use crate::engine::subscriptions::index::Index;
    use crate::mqtt::{Filter, QoS};

    const FILTERS: [&str; 3] = ["a", "b/#", "+/c"];

    fn scene() -> (Scans, [FilterId; 3]) {
        let mut index = Index::new(Seed::new(1));
        let mut id = |text| {
            let options = Options::new(QoS::AtMostOnce);
            index.insert(Filter::parse(text).unwrap(), Subscriber::session(0), options).id
        };
        (Scans::default(), FILTERS.map(&mut id))
    }

    fn planned(ids: [FilterId; 3], filter: usize, id: u32) -> PlannedScan {
        PlannedScan::new(Filter::parse(FILTERS[filter]).unwrap(), ids[filter], QoS::AtMostOnce, id)
    }

    fn order(scans: &Scans) -> Vec<(&str, u32)> {
        scans.check();
        scans.plans.values().map(|plan| (plan.filter(), plan.subscription_id())).collect()
    }

    #[test]
    fn a_repeated_scan_takes_the_place_of_the_one_that_has_not_begun() {
        let (mut scans, ids) = scene();
        for (filter, id) in [(0, 1), (1, 2), (2, 3), (1, 4), (1, 5)] {
            scans.plan(planned(ids, filter, id));
        }
        assert_eq!(order(&scans), [("a", 1), ("+/c", 3), ("b/#", 5)]);
        assert_eq!(scans.len(), 3);
        assert!(ids.iter().all(|id| scans.is_planned(*id)));
    }

    #[test]
    fn one_that_has_begun_goes_on_beside_the_one_that_repeats_it() {
        let (mut scans, ids) = scene();
        scans.plan(planned(ids, 0, 1));
        scans.front_mut().unwrap().begin_for_test();
        assert!(!scans.is_planned(ids[0]));
        scans.plan(planned(ids, 1, 2));
        scans.plan(planned(ids, 0, 3));
        assert_eq!(order(&scans), [("a", 1), ("b/#", 2), ("a", 3)]);
        assert!(scans.is_planned(ids[0]));
        assert_eq!(scans.pop_front().map(|plan| plan.subscription_id()), Some(1));
        assert_eq!(order(&scans), [("b/#", 2), ("a", 3)]);
        assert!(scans.is_planned(ids[0]), "the other one is still to come");
    }

    #[test]
    fn what_is_unsubscribed_is_looked_for_no_more() {
        let (mut scans, ids) = scene();
        scans.plan(planned(ids, 0, 1));
        scans.front_mut().unwrap().begin_for_test();
        scans.plan(planned(ids, 0, 2));
        scans.plan(planned(ids, 1, 3));
        assert!(scans.forget(ids[1]).is_none() && scans.forget(ids[2]).is_none());
        assert_eq!(order(&scans), [("a", 1), ("a", 2)]);
        assert_eq!(scans.forget(ids[0]).map(|plan| plan.subscription_id()), Some(1), "the one under way");
        assert!(scans.is_empty() && scans.places.is_empty());
    }
}
