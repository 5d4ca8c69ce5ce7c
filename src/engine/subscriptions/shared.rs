//! The shared groups whose home is this shard.
//!
//! A publish that matches a group's filter is [accepted](Group::accept) once and [dispatched](Group::dispatch) to one
//! member, on whatever shard that lives; the member's shard answers [`Group::done`], [`Group::give_back`] or
//! [`Group::discard`] by the delivery's number. What is refused for a stale key or number was settled before.
//!
//! Invariants worth naming:
//! - A message is in one place: in the queue, or at one member.
//! - No delivery is added to a member that holds as many as its window; only one that comes back with a smaller window
//!   may hold more.
//! - Members that are away are never chosen.
//! - A group has a member; with the last one goes all that waits. Only after a restart it stays without any until all may have come.

use hashbrown::HashTable;

use crate::base::hash::Seed;
use crate::base::slab::{Key, Slab};
use crate::engine::change::Serial;
pub use crate::engine::subscriptions::group::{Accepted, Bounds, Departure, Dispatch, Group};
pub use crate::engine::subscriptions::members::{MemberId, Terms};

/// Leads to a group on its home shard.
pub type GroupKey = Key<Group>;

/// A group has as many members as it may have: 0x97.
#[derive(thiserror::Error, Clone, Copy, Debug, PartialEq, Eq)]
#[error("the shared group has {members_max} members already")]
pub struct Full {
    /// The bound that was reached.
    pub members_max: usize,
}

/// What a subscription to a group did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Joined {
    /// The group.
    pub group: GroupKey,
    /// Whether the group began with this: its filter has to be routed to it.
    pub is_new_group: bool,
    /// Whether the session was no member before.
    pub is_new_member: bool,
}

/// What a departure did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[must_use]
pub struct Left {
    /// Whether the session was a member.
    pub is_known: bool,
    /// Unacknowledged messages that went back to the queue, unless the group ended: then they are counted in `ended`.
    pub messages_back: usize,
    /// QoS 2 messages of an ended session, which nobody else may get: [`DropReason::SessionEnded`].
    ///
    /// [`DropReason::SessionEnded`]: crate::engine::stats::DropReason::SessionEnded
    pub discarded: usize,
    /// Messages that were deleted with the group: [`DropReason::GroupEnded`].
    ///
    /// [`DropReason::GroupEnded`]: crate::engine::stats::DropReason::GroupEnded
    pub ended: usize,
    /// Deliveries that sessions complete though the group is gone: their answers find nothing.
    pub let_go: usize,
    /// Whether the group is gone: its filter is to be routed to it no longer.
    pub group_gone: bool,
    /// The changes by which the copies are known that went with it.
    pub copies: Vec<Serial>,
}

/// The shared groups whose home is this shard. One per shard.
#[derive(Debug)]
pub struct Groups {
    seed: Seed,
    groups: Slab<Group>,
    by_name: HashTable<GroupKey>,
    /// After a restart: a group's members may still come.
    awaits_members: bool,
}

impl Groups {
    /// No groups.
    pub fn new(seed: Seed) -> Self {
        Self { seed, groups: Slab::new(), by_name: HashTable::new(), awaits_members: false }
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.groups.len()
    }

    /// Bytes of the table of groups and of their names, without what a group itself holds.
    pub fn table_bytes(&self) -> usize {
        self.groups.heap_bytes() + self.by_name.allocation_size()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.groups.is_empty()
    }

    /// All groups.
    pub fn iter(&self) -> impl Iterator<Item = (GroupKey, &Group)> {
        self.groups.iter()
    }

    /// The group of this name and filter.
    pub fn find(&self, share: &str, filter: &str) -> Option<GroupKey> {
        let is_it = |key: &GroupKey| {
            let group = self.groups.get(*key).expect("a name leads to a group");
            group.share() == share && group.filter() == filter
        };
        self.by_name.find(hash(self.seed, share, filter), is_it).copied()
    }

    /// No group lives at this index or behind it.
    pub fn index_bound(&self) -> u32 {
        self.groups.index_bound()
    }

    /// The key of the group that now lives at this index.
    pub fn key_at(&self, index: u32) -> Option<GroupKey> {
        self.groups.key_at(index)
    }

    /// A group, if it still exists.
    pub fn get(&self, key: GroupKey) -> Option<&Group> {
        self.groups.get(key)
    }

    /// A group, if it still exists, to hand messages to it.
    pub fn get_mut(&mut self, key: GroupKey) -> Option<&mut Group> {
        self.groups.get_mut(key)
    }

    /// From now on groups need no member, or need one again.
    pub fn await_members(&mut self, awaits_members: bool) {
        self.awaits_members = awaits_members;
    }

    /// After a restart: the group of this name and filter, which may have members.
    pub fn restore(&mut self, share: &str, filter: &str) -> GroupKey {
        self.find(share, filter).unwrap_or_else(|| self.create(share, filter))
    }

    /// Makes a session a member, or gives a member new terms. `window` is how many unacknowledged deliveries it may hold;
    /// none while it is away.
    ///
    /// # Errors
    /// When the group has `members_max` members already.
    pub fn join(
        &mut self,
        share: &str,
        filter: &str,
        member: MemberId,
        terms: Terms,
        window: Option<u16>,
        members_max: usize,
    ) -> Result<Joined, Full> {
        let known = self.find(share, filter);
        let group = known.and_then(|key| self.groups.get(key));
        let is_new_member = !group.is_some_and(|group| group.is_member(member));
        if is_new_member && group.map_or(0, Group::member_count) >= members_max {
            return Err(Full { members_max });
        }
        let key = known.unwrap_or_else(|| self.create(share, filter));
        let group = self.groups.get_mut(key).expect("the group was found or made");
        group.admit(member, terms, window);
        Ok(Joined { group: key, is_new_group: known.is_none(), is_new_member })
    }

    /// Ends a membership, and the group with its last one.
    pub fn leave(&mut self, key: GroupKey, member: MemberId, departure: Departure) -> Left {
        let Some(group) = self.groups.get_mut(key) else {
            return Left::default();
        };
        let Some(found) = group.find(member) else {
            return Left::default();
        };
        // A session that left before and now ends still holds deliveries.
        let is_known = group.is_member(member);
        let settled = group.release(found, departure);
        let left = Left { is_known, messages_back: settled.back, discarded: settled.discarded, ..Left::default() };
        if group.member_count() > 0 || self.awaits_members {
            return left;
        }
        Left { is_known, discarded: settled.discarded, ..self.end(key) }
    }

    /// Ends a group that has no member.
    pub fn end(&mut self, key: GroupKey) -> Left {
        let group = self.remove(key);
        debug_assert_eq!(group.member_count(), 0, "a group ends after its last member");
        let (ended, let_go) = (group.queued_count(), group.outstanding_count());
        Left { ended, let_go, group_gone: true, copies: group.noted_copies().collect(), ..Left::default() }
    }

    /// Notes whether a member's session outlives its connection.
    pub fn set_lasting(&mut self, key: GroupKey, member: MemberId, is_lasting: bool) {
        let Some(group) = self.groups.get_mut(key) else { return };
        if let Some(found) = group.find(member) {
            group.set_lasting(found, is_lasting);
        }
    }

    /// Notes that a member's session was connected, lost its connection or may be sent more again; whether it was a member.
    ///
    /// What the member was sent stays with it: its session still has it. The session gives back what it will not keep.
    pub fn presence(&mut self, key: GroupKey, member: MemberId, window: Option<u16>) -> bool {
        let Some(group) = self.groups.get_mut(key) else {
            return false;
        };
        let Some(found) = group.find(member) else {
            return false;
        };
        group.set_presence(found, window);
        true
    }

    /// Notes that a member was sent more than its rate allows for: others are served, until it is [present](Self::presence) again.
    pub fn pass_over(&mut self, key: GroupKey, member: MemberId) {
        let Some(group) = self.groups.get_mut(key) else { return };
        if let Some(found) = group.find(member) {
            group.pass_over(found);
        }
    }

    /// Copies that the ledger expects in all groups.
    pub fn copies(&self) -> u64 {
        self.groups.iter().map(|(_, group)| group.copies()).sum()
    }

    /// Proves that every group is found by its name, has a member, and holds its own invariants.
    ///
    /// # Panics
    /// When one does not hold.
    pub fn check(&self) {
        assert_eq!(self.by_name.len(), self.groups.len(), "each group has a name");
        for (key, group) in self.groups.iter() {
            assert_eq!(self.find(group.share(), group.filter()), Some(key), "a name leads to its group");
            assert!(group.member_count() > 0 || self.awaits_members, "a group has a member");
            group.check();
        }
    }

    fn create(&mut self, share: &str, filter: &str) -> GroupKey {
        let (seed, groups) = (self.seed, &mut self.groups);
        let key = groups.insert(Group::new(seed, share, filter));
        let rehash = |key: &GroupKey| {
            let group = groups.get(*key).expect("a name leads to a group");
            hash(seed, group.share(), group.filter())
        };
        self.by_name.insert_unique(hash(seed, share, filter), key, rehash);
        key
    }

    fn remove(&mut self, key: GroupKey) -> Group {
        let group = self.groups.remove(key).expect("the group was found a moment ago");
        let hash = hash(self.seed, group.share(), group.filter());
        let entry = self.by_name.find_entry(hash, |named| *named == key);
        entry.expect("each group has a name").remove();
        group
    }
}

fn hash(seed: Seed, share: &str, filter: &str) -> u64 {
    seed.hash_bytes(share.as_bytes()).rotate_left(17) ^ seed.hash_bytes(filter.as_bytes())
}
