//! The part of a restart that shared groups have: they are there again before their members are.

use std::collections::BTreeMap;

use super::{Restoring, Shard};
use crate::base::hash::{Map, Seed, map};
use crate::engine::change::{Change, Serial};
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
    fn owe_to_group(&mut self, copy: Serial, group: Serial, body: Serial) {
        let Some(key) = self.groups.numbers.get(&group).copied() else { return };
        let Some(named) = self.bodies.get_mut(&body) else { return };
        if self.groups.owners.insert(copy, key).is_none() {
            named.named += 1;
            self.groups.owed.entry(key).or_default().insert(copy, body);
        }
    }

    fn settle_of_group(&mut self, copy: Serial) {
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
    /// Takes back a change that tells of shared groups.
    pub(super) fn restore_of_groups(&mut self, restoring: &mut Restoring, serial: Serial, change: Change) {
        match change {
            Change::Group { share, filter } => self.restore_group(restoring, serial, &share, &filter),
            Change::GroupAgain { group, share, filter } => self.restore_group(restoring, group, &share, &filter),
            Change::GroupEnded { share, filter } => self.restore_group_end(restoring, &share, &filter),
            Change::GroupQueued { group, body } => restoring.owe_to_group(serial, group, body),
            Change::GroupQueuedAgain { copy, group, body } => restoring.owe_to_group(copy, group, body),
            Change::GroupSettled { copy } => restoring.settle_of_group(copy),
            Change::Assigned { home, copy } => self.lending.restore_assigned(home, copy),
            Change::Unassigned { home, copy } => self.lending.restore_unassigned(home, copy),
            Change::Session { .. }
            | Change::SessionEnded { .. }
            | Change::Subscribed { .. }
            | Change::Unsubscribed { .. }
            | Change::Joined { .. }
            | Change::Left { .. }
            | Change::Will { .. }
            | Change::WillGone { .. }
            | Change::Body { .. }
            | Change::BodyAgain { .. }
            | Change::Fanout { .. }
            | Change::FannedOut { .. }
            | Change::Queued { .. }
            | Change::QueuedAgain { .. }
            | Change::Sent { .. }
            | Change::Settled { .. }
            | Change::Taken { .. }
            | Change::Completed { .. }
            | Change::Incoming { .. }
            | Change::Released { .. }
            | Change::Passed { .. }
            | Change::Forgotten { .. }
            | Change::Retained { .. }
            | Change::RetainedGone { .. }
            | Change::Swept { .. } => unreachable!("only what tells of groups comes here"),
        }
    }

    /// Messages come to it from now on, whoever its members are.
    fn restore_group(&mut self, restoring: &mut Restoring, number: Serial, share: &str, filter: &str) {
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

    fn restore_group_end(&mut self, restoring: &mut Restoring, share: &str, filter: &str) {
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
