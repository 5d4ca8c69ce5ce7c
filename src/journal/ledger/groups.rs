//! The part of a ledger that shared groups have: their queues on their homes, and what members elsewhere have for good.

use std::collections::BTreeMap;

use super::{Bytes, Ledger};
use crate::engine::change::Serial;
use crate::engine::homes::ShardId;

/// A share name and a filter.
pub(super) type Name = (Box<str>, Box<str>);

/// The groups of one shard.
#[derive(Debug, Default)]
pub(super) struct Groups {
    /// The record that tells of it, and its copies that are not settled.
    by_name: BTreeMap<Name, Group>,
    /// Which name goes with a number.
    names: BTreeMap<Serial, Name>,
    /// Whose copy it is.
    owners: BTreeMap<Serial, Name>,
    assigned: BTreeMap<(ShardId, Serial), Bytes>,
}

#[derive(Debug, Default)]
struct Group {
    bytes: Bytes,
    copies: BTreeMap<Serial, Copy>,
}

#[derive(Debug)]
struct Copy {
    body: Serial,
    bytes: Bytes,
}

impl Groups {
    /// Share names, filters, and how many messages wait.
    pub(super) fn iter(&self) -> impl Iterator<Item = (&str, &str, usize)> {
        self.by_name.iter().map(|((share, filter), group)| (&**share, &**filter, group.copies.len()))
    }

    /// The bytes of all records that are still needed, without messages.
    pub(super) fn live_bytes(&self) -> u64 {
        let copies = self.by_name.values().flat_map(|group| group.copies.values()).map(|copy| copy.bytes);
        let groups = self.by_name.values().map(|group| group.bytes);
        copies.chain(groups).chain(self.assigned.values().copied()).map(u64::from).sum()
    }

    /// A group is there, or is told again.
    pub(super) fn stand(&mut self, number: Serial, name: Name, bytes: Bytes) {
        self.by_name.entry(name.clone()).or_default().bytes = bytes;
        self.names.insert(number, name);
    }

    /// A member here has a copy for good.
    pub(super) fn assign(&mut self, home: ShardId, copy: Serial, bytes: Bytes) {
        self.assigned.insert((home, copy), bytes);
    }

    /// Nobody has to remember that.
    pub(super) fn unassign(&mut self, home: ShardId, copy: Serial) {
        self.assigned.remove(&(home, copy));
    }

    /// The messages that it was owed.
    fn end(&mut self, name: &Name) -> Vec<Serial> {
        self.names.retain(|_, known| known != name);
        let copies = self.by_name.remove(name).map(|group| group.copies).unwrap_or_default();
        for copy in copies.keys() {
            self.owners.remove(copy);
        }
        copies.into_values().map(|copy| copy.body).collect()
    }

    /// The message that it is owed no more.
    fn settle(&mut self, copy: Serial) -> Option<Serial> {
        let name = self.owners.remove(&copy)?;
        Some(self.by_name.get_mut(&name)?.copies.remove(&copy)?.body)
    }
}

impl Ledger {
    /// A group is no more, with all that it was owed.
    pub(super) fn end_group(&mut self, name: &Name) {
        for body in self.groups.end(name) {
            self.unname(body);
        }
    }

    /// A group is not owed a copy any more.
    pub(super) fn settle_of_group(&mut self, copy: Serial) {
        if let Some(body) = self.groups.settle(copy) {
            self.unname(body);
        }
    }

    /// A group is owed a message, or it is told again that it is.
    pub(super) fn owe_to_group(&mut self, copy: Serial, group: Serial, body: Serial, bytes: Bytes) {
        let Some(name) = self.groups.names.get(&group).cloned() else { return };
        let Some(known) = self.groups.by_name.get_mut(&name) else { return };
        if let Some(known) = known.copies.get_mut(&copy) {
            known.bytes = bytes;
        } else if self.name(body) {
            let group = self.groups.by_name.get_mut(&name).expect("it was found above");
            group.copies.insert(copy, Copy { body, bytes });
            self.groups.owners.insert(copy, name);
        }
    }
}
