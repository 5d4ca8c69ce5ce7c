//! The part of a restart that shared groups have: they are there again before their members are.

use std::collections::BTreeMap;

use super::{Restoring, Shard};
use crate::base::hash::{Map, Seed, map};
use crate::engine::change::Serial;
use crate::engine::subscriptions::shared::GroupKey;
use crate::mqtt::Filter;

/// What is known of groups while changes come back.
#[derive(Debug)]
pub(super) struct RestoringGroups {
    /// Which group goes by which number.
    numbers: Map<Serial, GroupKey>,
    /// What they are owed: copies in their order, each with the number of its message.
    owed: Map<GroupKey, BTreeMap<Serial, Serial>>,
    /// Whose copy it is.
    owners: Map<Serial, GroupKey>,
}

impl RestoringGroups {
    /// Nothing has come back yet.
    pub fn new(seed: Seed) -> Self {
        Self { numbers: map(seed), owed: map(seed), owners: map(seed) }
    }
}

impl Restoring {
    /// A group is owed a message, or it is told again that it is.
    pub(super) fn owe_to_group(&mut self, copy: Serial, group: Serial, body: Serial) {
        let Some(key) = self.groups.numbers.get(&group).copied() else { return };
        let Some(named) = self.bodies.get_mut(&body) else { return };
        if self.groups.owners.insert(copy, key).is_none() {
            named.named += 1;
            self.groups.owed.entry(key).or_default().insert(copy, body);
        }
    }

    pub(super) fn settle_of_group(&mut self, copy: Serial) {
        let Some(key) = self.groups.owners.remove(&copy) else { return };
        let body = self.groups.owed.get_mut(&key).and_then(|owed| owed.remove(&copy));
        self.unname(body.expect("what has an owner is owed"));
    }

    /// The messages that groups are owed.
    pub(super) fn owed_to_groups(&self) -> impl Iterator<Item = Serial> {
        self.groups.owed.values().flat_map(|owed| owed.values().copied())
    }

    /// A group is no more.
    fn end_group(&mut self, key: GroupKey) {
        self.groups.numbers.retain(|_, known| *known != key);
        for (copy, body) in self.groups.owed.remove(&key).unwrap_or_default() {
            self.groups.owners.remove(&copy);
            self.unname(body);
        }
    }
}

impl Shard {
    /// Messages come to it from now on, whoever its members are.
    pub(super) fn restore_group(&mut self, restoring: &mut Restoring, number: Serial, share: &str, filter: &str) {
        let Ok(parsed) = Filter::parse(filter) else { return };
        let is_known = self.groups.find(share, filter).is_some();
        let key = self.groups.restore(share, filter);
        if !is_known {
            self.route_group(key, parsed);
        }
        if let Some(group) = self.groups.get_mut(key) {
            group.note_as(number);
        }
        restoring.groups.numbers.insert(number, key);
    }

    pub(super) fn restore_group_end(&mut self, restoring: &mut Restoring, share: &str, filter: &str) {
        let Some(key) = self.groups.find(share, filter) else { return };
        restoring.end_group(key);
        self.unroute_group(key, filter);
        let left = self.groups.end(key);
        debug_assert_eq!(left.ended, 0, "nothing waits before all changes have come back");
    }

    /// What groups are owed waits for their members, in the order in which it came.
    pub(super) fn unfold_groups(&mut self, restoring: &mut Restoring) {
        let RestoringGroups { owed, .. } = std::mem::replace(&mut restoring.groups, RestoringGroups::new(self.seed));
        for (key, copies) in owed {
            for (copy, body) in copies {
                // One that could not be read is lost.
                let message = restoring.bodies.get(&body).and_then(|body| body.message.clone());
                if let Some(message) = message {
                    self.restore_owed(key, copy, body, message);
                }
            }
        }
    }
}
