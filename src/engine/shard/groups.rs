//! Shared subscriptions: the group's part on its home, the member's part on the session's home.

use super::Shard;
use crate::base::time::Time;
use crate::engine::homes::ShardId;
use crate::engine::mesh::{Fate, JoinTicket, Mesh, SharedCopy};
use crate::engine::message::Publication;
use crate::engine::output::Outputs;
use crate::engine::session::delivery::{Delivery, Returned, Source, SubscriptionIds};
use crate::engine::session::pipeline::Outcome;
use crate::engine::session::{Membership, Session, SessionKey};
use crate::engine::stats::DropReason;
use crate::engine::subscriptions::entry::{Options, Subscriber};
use crate::engine::subscriptions::group::{Accepted, Bounds, Departure, Dispatch};
use crate::engine::subscriptions::members::{MemberId, Terms};
use crate::engine::subscriptions::shared::GroupKey;
use crate::mqtt::{Filter, QoS, Reason};

impl Membership {
    /// Whether it is this one.
    pub(super) fn is(&self, share: &str, filter: &str) -> bool {
        *self.share == *share && *self.filter == *filter
    }
}

/// The group's part.
impl Shard {
    /// A publication for a group: into its queue, and on to whoever is free.
    pub(super) fn deliver_to_group(
        &mut self,
        key: GroupKey,
        publication: &mut Publication<'_>,
        now: Time,
        out: &mut Outputs,
    ) -> Outcome {
        let bounds = Bounds::of(&self.limits);
        let message = publication.keep(&mut self.chunks).clone();
        let Some(group) = self.groups.get_mut(key) else { return Outcome::default() };
        self.stats.ledger.routed += 1;
        self.copies_left = self.copies_left.saturating_sub(1);
        let outcome = match group.accept(message, &bounds) {
            Accepted::Queued => Outcome::stored(),
            Accepted::Displaced(oldest) => {
                self.stats.ledger.drop_copies(DropReason::QueueOldest, oldest as u64);
                Outcome::stored()
            }
            Accepted::Refused(why) => {
                self.stats.ledger.drop_one(why);
                Outcome {
                    matched: true,
                    stored: why == DropReason::Offline,
                    refused: why != DropReason::Offline,
                    ..Outcome::default()
                }
            }
        };
        self.dispatch(key, now, out);
        outcome
    }

    fn dispatch(&mut self, key: GroupKey, now: Time, out: &mut Outputs) {
        let Some(group) = self.groups.get_mut(key) else { return };
        let mut dispatches = Vec::new();
        let mut expired = 0;
        group.dispatch(now, self.limits.shared_strategy, &mut self.random, &mut dispatches, &mut expired);
        self.stats.ledger.drop_copies(DropReason::Expired, expired as u64);
        for Dispatch { member, terms, message, qos, delivery, .. } in dispatches {
            let retain = message.retain && terms.retain_as_published;
            let ids = match terms.subscription_id {
                0 => SubscriptionIds::None,
                id => SubscriptionIds::One(id),
            };
            if delivery == 0 {
                self.stats.ledger.moved += 1; // nobody answers for QoS 0: the member's shard accounts for it
            }
            let copy = SharedCopy { member, message, qos, retain, ids, group: key, delivery };
            self.tell(member.shard, Mesh::SharedDeliver(copy), out);
        }
    }

    /// A session wants to be a member. The filter is declared before the answer leaves.
    #[expect(clippy::too_many_arguments, reason = "the parts of one letter")]
    pub(super) fn group_join(
        &mut self,
        from: ShardId,
        share: Box<str>,
        filter: Box<str>,
        member: MemberId,
        terms: Terms,
        window: Option<u16>,
        reply: Option<JoinTicket>,
        now: Time,
        out: &mut Outputs,
    ) {
        let parsed = Filter::parse(&filter).expect("a membership's filter was parsed");
        let joined = self.groups.join(&share, &filter, member, terms, window, self.limits.group_members_max);
        let reason = match joined {
            Ok(joined) => {
                if joined.is_new_group {
                    let options = Options::new(QoS::ExactlyOnce);
                    let inserted = self.index.insert(parsed, Subscriber::group(joined.group.index()), options);
                    if inserted.is_first {
                        self.declared.declare(&self.interest, parsed);
                    }
                }
                self.dispatch(joined.group, now, out);
                Reason::granted(terms.qos)
            }
            Err(_) => Reason::QuotaExceeded,
        };
        let Some(reply) = reply else { return };
        let session = SessionKey::from_bits(member.session).expect("the bits of a session's key");
        self.tell(from, Mesh::Joined { session, share, filter, reply, reason }, out);
    }

    /// A member leaves; with the last one the group ends, and what it did not deliver is deleted.
    pub(super) fn group_leave(
        &mut self,
        share: &str,
        filter: &str,
        member: MemberId,
        departure: Departure,
        now: Time,
        out: &mut Outputs,
    ) {
        let Some(key) = self.groups.find(share, filter) else { return };
        let left = self.groups.leave(key, member, departure);
        self.stats.ledger.drop_copies(DropReason::SessionEnded, left.discarded as u64); // [MQTT-4.8.2-5]
        self.stats.ledger.drop_copies(DropReason::GroupEnded, left.ended as u64);
        self.stats.ledger.let_go += left.let_go as u64;
        if left.group_gone {
            let filter = Filter::parse(filter).expect("a membership's filter was parsed");
            let id = self.index.find(filter).expect("a living group's filter is in the index");
            let removed = self.index.remove(id, Subscriber::group(key.index()));
            if removed.expect("a living group is in the index").is_last {
                self.declared.withdraw(&self.interest, filter);
            }
        } else {
            self.dispatch(key, now, out);
        }
    }

    /// A member's client came or went.
    pub(super) fn group_presence(
        &mut self,
        share: &str,
        filter: &str,
        member: MemberId,
        window: Option<u16>,
        now: Time,
        out: &mut Outputs,
    ) {
        let Some(key) = self.groups.find(share, filter) else { return };
        self.groups.presence(key, member, window);
        self.dispatch(key, now, out);
    }

    /// A delivery to a member has ended.
    pub(super) fn group_done(&mut self, key: GroupKey, delivery: u64, fate: Fate, now: Time, out: &mut Outputs) {
        let Some(group) = self.groups.get_mut(key) else { return };
        let ledger = &mut self.stats.ledger;
        match fate {
            Fate::Delivered if group.done(delivery) => ledger.delivered += 1,
            Fate::Refused if group.done(delivery) => ledger.drop_one(DropReason::Refused), // [MQTT-4.8.2-6]
            Fate::Denied if group.done(delivery) => ledger.drop_one(DropReason::NotAuthorized),
            Fate::Expired if group.done(delivery) => ledger.drop_one(DropReason::Expired),
            Fate::TooLarge if group.done(delivery) => ledger.drop_one(DropReason::PacketTooLarge),
            Fate::Abandoned if group.done(delivery) => ledger.drop_one(DropReason::SessionEnded), // [MQTT-4.8.2-5]
            Fate::Returned => {
                group.give_back(delivery);
            }
            Fate::Away(member) => {
                group.give_back(delivery);
                self.groups.presence(key, member, None);
            }
            // The group has forgotten this delivery: its member left before it answered.
            Fate::Delivered | Fate::Refused | Fate::Denied | Fate::Expired | Fate::TooLarge | Fate::Abandoned => {}
        }
        self.dispatch(key, now, out);
    }
}

/// The member's part.
impl Shard {
    /// How the groups know a session of this shard.
    pub(super) fn member_id(&self, key: SessionKey) -> Option<MemberId> {
        let session = self.sessions.get(key)?;
        Some(MemberId { shard: self.id, session: key.to_bits(), id: session.id })
    }

    /// How many unacknowledged messages of a group the session may hold; none while it is away.
    pub(super) fn window(&self, key: SessionKey) -> Option<u16> {
        self.sessions.get(key)?.link().map(|link| link.inflight_max)
    }

    /// Tells the groups of a session that its client came or went.
    pub(super) fn presence(&mut self, key: SessionKey, out: &mut Outputs) {
        let Some(member) = self.member_id(key) else { return };
        let window = self.window(key);
        let shared = self.sessions.get(key).map(|session| session.extras.shared.to_vec()).unwrap_or_default();
        for Membership { share, filter, .. } in shared {
            let home = self.homes.group(&share, &filter);
            self.tell(home, Mesh::Presence { share, filter, member, window }, out);
        }
    }

    /// A group's message for a session of this shard. One that cannot be sent now goes back at once.
    pub(super) fn shared_deliver(&mut self, from: ShardId, copy: SharedCopy, now: Time, out: &mut Outputs) {
        let SharedCopy { member, message, qos, retain, ids, group, delivery } = copy;
        let source = match delivery {
            0 => Source::OWN,
            delivery => Source::Shared { home: from, group: group.to_bits(), delivery },
        };
        let key = SessionKey::from_bits(member.session).expect("the bits of a session's key");
        let is_here = self.sessions.get(key).is_some_and(|session| session.link().is_some());
        if !is_here && delivery != 0 {
            return self.tell(from, Mesh::SharedDone { group, delivery, fate: Fate::Away(member) }, out);
        }
        let is_allowed = !self.policy.checks_receive() || self.may_receive(key, message.topic());
        let mut copy = Delivery { message, qos, retain, ids, source };
        if delivery == 0 {
            self.stats.ledger.received += 1;
        }
        if !is_here || !is_allowed {
            let why = if is_allowed { DropReason::Offline } else { DropReason::NotAuthorized };
            return self.discard(key, &copy, why, out);
        }
        if self.sessions.get(key).and_then(Session::link).is_some_and(|link| link.is_full) && delivery == 0 {
            return self.discard(key, &copy, DropReason::Slow, out);
        }
        self.note_copy(key, &mut copy, None, out);
        let _counted_by_the_group = self.enqueue(key, copy, out);
        self.pump(key, now, out);
    }

    /// The client of a member is gone: what it has not acknowledged goes back to the groups.
    pub(super) fn return_shared(&mut self, key: SessionKey, session_ends: bool, out: &mut Outputs) {
        let Some(outbound) = self.sessions.get_mut(key).and_then(|session| session.outbound.as_mut()) else { return };
        for returned in outbound.take_returns(session_ends) {
            match returned {
                Returned::GiveBack(delivery) => self.discard(key, &delivery, DropReason::Offline, out),
                Returned::Discard(delivery) => self.discard(key, &delivery, DropReason::SessionEnded, out),
            }
        }
    }
}
