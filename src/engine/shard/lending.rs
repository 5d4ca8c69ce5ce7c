//! What outlives the process of shared groups: their queues on their homes, and what members were given for good.
//!
//! The home of a group notes what the group is owed as long as a member outlives the process, and settles it when a member has it. Copies
//! of quality of service 1 that a member has not acknowledged are handed out again after a restart, to anybody. One of quality of
//! service 2 must go to one member, once, but the member's shard and the home commit at different times. So:
//!
//! - The home gives nothing away before it is safe that it is owed.
//! - Before such a copy leaves, the member's shard notes together that the session has it, under which identifier, and that it is
//!   *assigned*: from then on it is the session's, and the home only has to hear of it.
//! - The member's shard remembers that until the home has safely settled the copy.
//! - After a restart each shard tells the homes which of its sessions are members, and what is assigned. A home hands out what is left
//!   when all shards have spoken, and ends the groups that nobody belongs to any more.

use std::collections::{BTreeMap, BTreeSet};

use super::Shard;
use crate::base::bitset::Bits64;
use crate::base::time::Time;
use crate::engine::change::{Change, Serial};
use crate::engine::homes::ShardId;
use crate::engine::mesh::{Fate, Loan, Mesh};
use crate::engine::message::{Message, Publication};
use crate::engine::output::Outputs;
use crate::engine::session::SessionKey;
use crate::engine::session::delivery::Source;
use crate::engine::stats::DropReason;
use crate::engine::subscriptions::shared::{Group, GroupKey, Groups, Left};
use crate::mqtt::{PacketId, QoS};

/// One per shard.
#[derive(Debug, Default)]
pub(super) struct Lending {
    /// What groups here are owed, by the change that told of it.
    copies: BTreeMap<Serial, Owed>,
    /// What members here were given for good, by the home of the group and the change there, until it is settled there.
    assigned: BTreeSet<(ShardId, Serial)>,
    /// After a restart: shards that have not said which of their sessions are members.
    silent: Bits64,
}

/// A copy that a group is owed.
#[derive(Clone, Debug)]
pub(super) struct Owed {
    /// The group.
    pub group: GroupKey,
    /// The change by which its message is known.
    pub body: Serial,
    /// The message.
    pub message: Message,
    /// Its place in the order of the group.
    sequence: u64,
    /// The group's number for its last delivery.
    delivery: u64,
}

impl Lending {
    /// Whether members of before a restart may still come.
    pub fn awaits_members(&self) -> bool {
        !self.silent.is_empty()
    }

    /// Whether a member here has this copy for good.
    pub fn is_assigned(&self, home: ShardId, copy: Serial) -> bool {
        self.assigned.contains(&(home, copy))
    }

    /// All that members here have for good.
    pub fn assigned(&self) -> impl Iterator<Item = (ShardId, Serial)> {
        self.assigned.iter().copied()
    }

    /// How much that is.
    pub fn assigned_count(&self) -> usize {
        self.assigned.len()
    }

    /// A member here has it for good; a change of before a restart says so.
    pub fn restore_assigned(&mut self, home: ShardId, copy: Serial) {
        self.assigned.insert((home, copy));
    }

    /// It is settled; a change of before a restart says so.
    pub fn restore_unassigned(&mut self, home: ShardId, copy: Serial) {
        self.assigned.remove(&(home, copy));
    }

    /// What groups here are owed, from this change on.
    pub fn owed_from(&self, first: Serial) -> impl Iterator<Item = (Serial, &Owed)> {
        self.copies.range(first..).map(|(copy, owed)| (*copy, owed))
    }

    fn owe(&mut self, copy: Serial, group: GroupKey, body: Serial, message: Message, sequence: u64) {
        self.copies.insert(copy, Owed { group, body, message, sequence, delivery: 0 });
    }

    /// Proves that what groups hold is what is noted.
    ///
    /// # Panics
    /// When it is not.
    pub fn check(&self, groups: &Groups) {
        let mut held = 0;
        for (key, group) in groups.iter() {
            for copy in group.noted_copies() {
                assert_eq!(self.copies.get(&copy).map(|owed| owed.group), Some(key), "{copy:?} is known");
                held += 1;
            }
        }
        assert_eq!(held, self.copies.len(), "what is known is held by a group");
    }
}

/// The home's part.
impl Shard {
    /// Whether a message for a group has to outlive the process.
    pub(super) fn is_kept_for(&self, key: GroupKey, qos: QoS) -> bool {
        let is_known =
            |group: &Group| group.noted() != Serial::NONE && (group.has_lasting() || self.lending.awaits_members());
        qos > QoS::AtMostOnce && self.groups.get(key).is_some_and(is_known)
    }

    /// Notes that a group is owed the message that it was just given, and the message before it if nobody has noted that yet.
    pub(super) fn note_owed(&mut self, key: GroupKey, publication: &mut Publication<'_>, out: &mut Outputs) {
        let message = publication.keep(&mut self.chunks).clone();
        if publication.noted == Serial::NONE {
            publication.noted = self.note(Change::Body { message: message.clone() }, out);
        }
        let body = publication.noted;
        let Some(group) = self.groups.get(key).map(Group::noted) else { return };
        let copy = self.note(Change::GroupQueued { group, body }, out);
        let sequence = self.groups.get_mut(key).and_then(|group| group.note_newest(copy));
        let sequence = sequence.expect("the group took it a moment ago");
        self.lending.owe(copy, key, body, message, sequence);
    }

    /// A group that has a member that outlives the process is noted. What it was owed before then stays as it was taken on: who sent it
    /// may send it again, and nobody has noted that it came. Says whether the group was noted before or now.
    pub(super) fn note_group(&mut self, key: GroupKey, out: &mut Outputs) -> bool {
        let Some(group) = self.groups.get(key).filter(|group| group.has_lasting()) else { return false };
        if group.noted() == Serial::NONE {
            let (share, filter) = (group.share().into(), group.filter().into());
            let noted = self.note(Change::Group { share, filter }, out);
            self.groups.get_mut(key).expect("it was found above").note_as(noted);
        }
        true
    }

    /// A member is about to be given a copy that is noted.
    pub(super) fn lend(&mut self, copy: Serial, delivery: u64) {
        if let Some(owed) = self.lending.copies.get_mut(&copy) {
            owed.delivery = delivery;
        }
    }

    /// Notes that copies of a group are settled that were displaced, expired, or sent to a member who never answers.
    pub(super) fn note_settled_of(&mut self, key: GroupKey, out: &mut Outputs) {
        let copies = self.groups.get_mut(key).map(Group::take_settled).unwrap_or_default();
        for copy in copies {
            self.note_group_settled(copy, out);
        }
    }

    fn note_group_settled(&mut self, copy: Serial, out: &mut Outputs) {
        if self.lending.copies.remove(&copy).is_some() {
            self.note(Change::GroupSettled { copy }, out);
        }
    }

    /// What a member was given is over, or comes back. The group, if it has something to hand out now.
    pub(super) fn loan_done(&mut self, copy: Serial, fate: Fate, out: &mut Outputs) -> Option<GroupKey> {
        let Owed { group: key, sequence, delivery, .. } = *self.lending.copies.get(&copy)?;
        let group = self.groups.get_mut(key)?;
        if fate.is_return() {
            group.give_back(delivery);
            return Some(key);
        }
        // After a restart it waits, though a member has begun it.
        if group.done(delivery) || group.withdraw(sequence) {
            self.count_fate(fate);
        }
        self.note_group_settled(copy, out);
        Some(key)
    }

    /// A group is gone: its filter is nobody's, and what is noted of it is void.
    pub(super) fn group_gone(&mut self, share: &str, filter: &str, noted: Serial, left: &Left, out: &mut Outputs) {
        self.stats.ledger.drop_copies(DropReason::GroupEnded, left.ended as u64);
        self.stats.ledger.let_go += left.let_go as u64;
        for copy in &left.copies {
            self.lending.copies.remove(copy);
        }
        if noted != Serial::NONE {
            self.note(Change::GroupEnded { share: share.into(), filter: filter.into() }, out);
        }
    }
}

/// The members' part.
impl Shard {
    /// A copy of a shared group leaves for the first time. One of quality of service 2 is the session's from now on: its client will know the
    /// identifier, so the session has to, whether the group outlives the process or not.
    pub(super) fn note_assigned(&mut self, key: SessionKey, id: PacketId, out: &mut Outputs) {
        let is_lasting = self.is_durable(key);
        let Some(session) = self.sessions.get_mut(key) else { return };
        let (session, delivery) = (session.id, session.outbound().inflight_mut(id).cloned());
        let Some(delivery) = delivery.filter(|delivery| delivery.qos == QoS::ExactlyOnce) else { return };
        let lent = match delivery.source {
            Source::Own(_) => return,
            Source::Shared { .. } => None,
            Source::Lent { home, lent, .. } => Some((home, lent)),
        };
        if is_lasting {
            let here = lent.filter(|(home, _)| *home == self.id).map(|(_, lent)| lent);
            let known = here.and_then(|lent| self.lending.copies.get(&lent)).map(|owed| owed.body);
            let body = known.unwrap_or_else(|| self.note(Change::Body { message: delivery.message }, out));
            let (qos, retain, ids) = (delivery.qos, delivery.retain, delivery.ids);
            let copy = self.note(Change::Queued { session, body, qos, retain, ids }, out);
            self.note(Change::Sent { session, copy, id }, out);
            let sent = self.sessions.get_mut(key).and_then(|session| session.outbound().inflight_mut(id));
            let sent = sent.expect("it was found above");
            sent.source = sent.source.known_as(copy);
        }
        if let Some((home, lent)) = lent {
            self.lending.assigned.insert((home, lent));
            self.note(Change::Assigned { home, copy: lent }, out);
        }
    }

    /// The home has settled for good what a member here was given.
    pub(super) fn assignment_over(&mut self, home: ShardId, copy: Serial, out: &mut Outputs) {
        if self.lending.assigned.remove(&(home, copy)) {
            self.note(Change::Unassigned { home, copy }, out);
        }
    }
}

/// After a restart.
impl Shard {
    /// Members of before may come: groups wait for them.
    pub(super) fn await_members(&mut self) {
        self.lending.silent = self.homes.all_bits();
        self.groups.await_members(true);
    }

    /// What a group is owed waits for a member again.
    pub(super) fn restore_owed(&mut self, key: GroupKey, copy: Serial, body: Serial, message: Message) {
        let Some(group) = self.groups.get_mut(key) else { return };
        let sequence = group.restore(copy, message.clone());
        self.stats.ledger.routed += 1;
        self.lending.owe(copy, key, body, message, sequence);
    }

    /// All sessions of this shard that are members have joined again: their groups hear what these have for good, and that this is all.
    pub(super) fn finish_joining_again(&mut self, out: &mut Outputs) {
        let assigned: Vec<(ShardId, Serial)> = self.lending.assigned().collect();
        for (home, copy) in assigned {
            let loan = Loan::Copy { copy, is_assigned: true };
            self.tell(home, Mesh::SharedDone { loan, fate: Fate::Begun }, out);
        }
        for home in self.homes.all() {
            self.tell(home, Mesh::Rejoined, out);
        }
    }

    /// A shard has named all its members. After the last one groups hand out what nobody has, and those without a member end. Whether it
    /// was the last one.
    pub(super) fn members_are_back(&mut self, from: ShardId, now: Time, out: &mut Outputs) -> bool {
        self.lending.silent.remove(from.bit());
        if self.lending.awaits_members() {
            return false;
        }
        self.groups.await_members(false);
        let keys: Vec<GroupKey> = self.groups.iter().map(|(key, _)| key).collect();
        for key in keys {
            self.serve_or_end(key, now, out);
        }
        true
    }

    fn serve_or_end(&mut self, key: GroupKey, now: Time, out: &mut Outputs) {
        let Some(group) = self.groups.get(key) else { return };
        if group.member_count() > 0 {
            return self.dispatch(key, now, out);
        }
        let (share, filter, noted): (Box<str>, Box<str>, _) =
            (group.share().into(), group.filter().into(), group.noted());
        let left = self.groups.end(key);
        self.unroute_group(key, &filter);
        self.group_gone(&share, &filter, noted, &left, out);
    }
}
