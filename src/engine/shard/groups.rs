//! Shared subscriptions: the group's part on its home, the member's part on the session's home.

use super::Shard;
use super::fanout::Publisher;
use crate::base::time::Time;
use crate::engine::change::Serial;
use crate::engine::connection::ConnectionKey;
use crate::engine::homes::ShardId;
use crate::engine::limits::Strategy;
use crate::engine::mesh::{Fate, JoinTicket, Loan, Mesh, SharedCopy};
use crate::engine::message::Publication;
use crate::engine::output::Outputs;
use crate::engine::session::delivery::{Delivery, Returned, Source, SubscriptionIds};
use crate::engine::session::pipeline::Outcome;
use crate::engine::session::{Membership, Rate, Session, SessionKey};
use crate::engine::stats::{DropReason, Limit};
use crate::engine::subscriptions::entry::{Options, Subscriber};
use crate::engine::subscriptions::group::{Accepted, Bounds, Departure, Dispatch, Group};
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
    /// A publication for a group: into its queue, and on to whoever is free. Where it waits because ways are full, its publisher waits as well.
    pub(super) fn deliver_to_group(
        &mut self,
        key: GroupKey,
        publication: &mut Publication<'_>,
        publisher: Publisher,
        now: Time,
        out: &mut Outputs,
    ) -> Outcome {
        let bounds = Bounds::of(&self.limits);
        let message = publication.keep(&mut self.chunks).clone();
        let is_kept = self.is_kept_for(key, message.qos);
        if is_kept && publication.is_unkept {
            return self.refuse_copy_for_group();
        }
        let Some(group) = self.groups.get_mut(key) else { return Outcome::default() };
        self.stats.ledger.routed += 1;
        let accepted = group.accept(message, &bounds);
        self.charge(1);
        let outcome = match self.count_accepted(&accepted) {
            None => Outcome { noted: is_kept, ..Outcome::stored() },
            Some(why) => Outcome {
                matched: true,
                stored: why == DropReason::Offline,
                refused: why != DropReason::Offline,
                ..Outcome::default()
            },
        };
        if outcome.noted {
            self.note_owed(key, publication, out);
        }
        self.note_settled_of(key, out);
        self.dispatch(key, now, out);
        if let Some(publisher) = publisher
            && let Some(way) = self.way_awaited_by(key)
        {
            self.wait_for_way(way, publisher, out);
        }
        outcome
    }

    /// Groups for whose members ways have room again hand out what waits, as long as this input may cause more.
    pub(super) fn go_on_with_groups(&mut self, now: Time, out: &mut Outputs) {
        while !self.has_caused_enough()
            && let Some(key) = self.due.groups.pop_front()
        {
            self.dispatch(key, now, out);
        }
    }

    /// Accounts for what a message has cost others, or for the message itself, and then says why.
    fn count_accepted(&mut self, accepted: &Accepted) -> Option<DropReason> {
        match accepted {
            Accepted::Queued => None,
            Accepted::Displaced(oldest) => {
                self.stats.ledger.drop_copies(DropReason::QueueOldest, *oldest as u64);
                None
            }
            Accepted::Refused(why) => {
                self.stats.ledger.drop_one(*why);
                Some(*why)
            }
        }
    }

    /// A copy of QoS 0 has met a member above its rate: it goes to another one that is ready. Where none is, it ends here, like any other of QoS 0 that
    /// is above a rate: if it waited, all that wait would be sent to the first that may have more, and nearly all would be back at once.
    pub(super) fn group_takes_back(&mut self, copy: SharedCopy, now: Time, out: &mut Outputs) {
        let SharedCopy { member, message, group: key, .. } = copy;
        self.stats.ledger.received += 1;
        self.groups.pass_over(key, member);
        let bounds = Bounds::of(&self.limits);
        let has_choice = !matches!(self.limits.shared_strategy, Strategy::HashTopic | Strategy::HashPublisher);
        let Some(group) = self.groups.get_mut(key) else {
            return self.stats.ledger.drop_one(DropReason::GroupEnded);
        };
        if !has_choice || !group.has_ready() {
            return self.stats.ledger.drop_one(DropReason::AboveRate);
        }
        let accepted = group.accept(message, &bounds);
        self.charge(1);
        // Nobody waits to hear of it.
        let _is_dropped = self.count_accepted(&accepted);
        self.note_settled_of(key, out);
        self.dispatch(key, now, out);
    }

    /// Hands out what waits, as far as members have room; after a restart not before all members may have come.
    pub(super) fn dispatch(&mut self, key: GroupKey, now: Time, out: &mut Outputs) {
        if self.lending.awaits_members() {
            return;
        }
        let Some(group) = self.groups.get_mut(key) else { return };
        let mut dispatches = Vec::new();
        let mut expired = 0;
        group.note_full_ways(self.full_shards);
        group.dispatch(now, self.limits.shared_strategy, &mut self.random, &mut dispatches, &mut expired);
        let awaits_way = group.awaited_way().is_some();
        self.stats.ledger.drop_copies(DropReason::Expired, expired as u64);
        self.note_settled_of(key, out);
        if awaits_way {
            self.group_awaits_way(key);
        }
        for Dispatch { member, terms, message, qos, delivery, copy, .. } in dispatches {
            let retain = message.retain && terms.retain_as_published;
            let ids = match terms.subscription_id {
                0 => SubscriptionIds::None,
                id => SubscriptionIds::One(id),
            };
            if delivery == 0 {
                self.stats.ledger.moved += 1; // nobody answers for QoS 0: the member's shard accounts for it
            }
            if copy != Serial::NONE {
                self.lend(copy, delivery);
            }
            // Nobody gets what may be owed again after a restart. Here all that is sent waits for the same disk.
            let is_elsewhere = member.shard != self.id;
            let is_noted = copy != Serial::NONE && (delivery == 0 || is_elsewhere);
            self.charge(usize::from(is_elsewhere)); // a letter to ourselves costs when it is read
            let copy = SharedCopy { member, message, qos, retain, ids, group: key, delivery, copy };
            self.tell_once(is_noted, member.shard, Mesh::SharedDeliver(copy), out);
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
        is_lasting: bool,
        reply: Option<JoinTicket>,
        now: Time,
        out: &mut Outputs,
    ) {
        let parsed = Filter::parse(&filter).expect("a membership's filter was parsed");
        let joined = self.groups.join(&share, &filter, member, terms, window, self.limits.group_members_max);
        let mut is_noted = false;
        let reason = if let Ok(joined) = joined {
            if joined.is_new_group {
                self.route_group(joined.group, parsed);
            }
            self.groups.set_lasting(joined.group, member, is_lasting);
            is_noted = self.note_group(joined.group, out);
            self.dispatch(joined.group, now, out);
            Reason::granted(terms.qos)
        } else {
            self.reached(Limit::GroupMembers);
            Reason::QuotaExceeded
        };
        let Some(reply) = reply else { return };
        let session = SessionKey::from_bits(member.session).expect("the bits of a session's key");
        self.tell_once(is_noted, from, Mesh::Joined { session, share, filter, reply, reason }, out);
    }

    /// Messages of a filter come to this group; the first subscriber of the filter here is declared to all shards.
    pub(super) fn route_group(&mut self, key: GroupKey, filter: Filter<'_>) {
        let inserted = self.index.insert(filter, Subscriber::group(key.index()), Options::new(QoS::ExactlyOnce));
        if inserted.is_first {
            self.declared.declare(&self.interest, filter);
        }
    }

    /// They come to it no more.
    pub(super) fn unroute_group(&mut self, key: GroupKey, filter: &str) {
        let filter = Filter::parse(filter).expect("a membership's filter was parsed");
        let id = self.index.find(filter).expect("a living group's filter is in the index");
        let removed = self.index.remove(id, Subscriber::group(key.index()));
        if removed.expect("a living group is in the index").is_last {
            self.declared.withdraw(&self.interest, filter);
        }
    }

    /// A member leaves; with the last one the group ends, and what it did not deliver is deleted. Says whether any of it was noted.
    pub(super) fn group_leave(
        &mut self,
        share: &str,
        filter: &str,
        member: MemberId,
        departure: Departure,
        now: Time,
        out: &mut Outputs,
    ) -> bool {
        let Some(key) = self.groups.find(share, filter) else { return false };
        let noted = self.groups.get(key).map_or(Serial::NONE, Group::noted);
        let left = self.groups.leave(key, member, departure);
        self.stats.ledger.drop_copies(DropReason::SessionEnded, left.discarded as u64); // [MQTT-4.8.2-5]
        if left.group_gone {
            self.unroute_group(key, filter);
            self.group_gone(share, filter, noted, &left, out);
        } else {
            self.dispatch(key, now, out);
        }
        noted != Serial::NONE
    }

    /// A member's client came or went.
    #[expect(clippy::too_many_arguments, reason = "the parts of one letter")]
    pub(super) fn group_presence(
        &mut self,
        share: &str,
        filter: &str,
        member: MemberId,
        window: Option<u16>,
        is_lasting: bool,
        now: Time,
        out: &mut Outputs,
    ) {
        let Some(key) = self.groups.find(share, filter) else { return };
        self.groups.presence(key, member, window);
        self.groups.set_lasting(key, member, is_lasting);
        self.dispatch(key, now, out);
    }

    /// A delivery to a member has ended.
    pub(super) fn group_done(&mut self, from: ShardId, loan: Loan, fate: Fate, now: Time, out: &mut Outputs) {
        let group = match loan {
            Loan::Delivery { group, delivery } => self.delivery_done(group, delivery, fate),
            Loan::Copy { copy, is_assigned } => {
                let group = self.loan_done(copy, fate, out);
                if is_assigned {
                    self.tell_once(true, from, Mesh::LoanSettled { copy }, out);
                }
                group
            }
        };
        if let Some(group) = group {
            self.dispatch(group, now, out);
        }
    }

    fn delivery_done(&mut self, key: GroupKey, delivery: u64, fate: Fate) -> Option<GroupKey> {
        let group = self.groups.get_mut(key)?;
        if fate.is_return() {
            group.give_back(delivery);
        } else if group.done(delivery) {
            self.count_fate(fate);
        } // else the group has forgotten this delivery: its member left before it answered
        if let Fate::Away(member) = fate {
            self.groups.presence(key, member, None);
        } else if let Fate::AboveRate(member) = fate {
            self.groups.pass_over(key, member);
        }
        Some(key)
    }

    /// Accounts for a copy of a group that is over.
    pub(super) fn count_fate(&mut self, fate: Fate) {
        let ledger = &mut self.stats.ledger;
        match fate {
            Fate::Delivered => ledger.delivered += 1,
            Fate::Refused => ledger.drop_one(DropReason::Refused), // [MQTT-4.8.2-6]
            Fate::Denied => ledger.drop_one(DropReason::NotAuthorized),
            Fate::Expired => ledger.drop_one(DropReason::Expired),
            Fate::TooLarge => ledger.drop_one(DropReason::PacketTooLarge),
            Fate::Abandoned => ledger.drop_one(DropReason::SessionEnded), // [MQTT-4.8.2-5]
            Fate::Begun => ledger.moved += 1,                             // the session accounts for it
            Fate::Returned | Fate::Away(_) | Fate::AboveRate(_) => unreachable!("what comes back is not over"),
        }
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

    /// Tells the groups of a session that its client came or went, or may be sent more again.
    pub(super) fn presence(&mut self, key: SessionKey, out: &mut Outputs) {
        let Some(member) = self.member_id(key) else { return };
        let (window, is_lasting) = (self.window(key), self.is_durable(key));
        let shared = self.sessions.get(key).map(|session| session.extras.shared.to_vec()).unwrap_or_default();
        for Membership { share, filter, .. } in shared {
            let home = self.homes.group(&share, &filter);
            self.tell(home, Mesh::Presence { share, filter, member, window, is_lasting }, out);
        }
    }

    /// A group's message for a session of this shard. One that cannot be sent now goes back at once.
    pub(super) fn shared_deliver(&mut self, from: ShardId, copy: SharedCopy, now: Time, out: &mut Outputs) {
        let (member, group, delivery) = (copy.member, copy.group, copy.delivery);
        let key = SessionKey::from_bits(member.session).expect("the bits of a session's key");
        let is_here = self.sessions.get(key).is_some_and(|session| session.link().is_some());
        if !is_here && delivery != 0 {
            // By now the group may have given the copy to somebody else.
            let loan = Loan::Delivery { group, delivery };
            return self.tell(from, Mesh::SharedDone { loan, fate: Fate::Away(member) }, out);
        }
        if self.must_wait_for_rate(key, now) {
            return self.send_back(from, copy, out);
        }
        let SharedCopy { message, qos, retain, ids, copy, .. } = copy;
        let source = match (delivery, copy) {
            (0, _) => Source::OWN,
            (delivery, Serial::NONE) => {
                Source::Shared { home: from, group: group.to_bits(), delivery, copy: Serial::NONE }
            }
            (_, lent) => Source::Lent { home: from, lent, copy: Serial::NONE },
        };
        let is_allowed = !self.checks_receive() || self.may_receive(key, message.topic());
        let mut copy = Delivery { message, qos, retain, ids, source };
        if delivery == 0 {
            self.stats.ledger.received += 1;
        }
        if !is_here || !is_allowed {
            let why = if is_allowed { DropReason::Offline } else { DropReason::NotAuthorized };
            return self.discard(key, &copy, why, out);
        }
        let link = self.sessions.get(key).and_then(Session::link);
        if link.is_some_and(|link| delivery == 0 && link.is_full) {
            return self.discard(key, &copy, DropReason::Slow, out);
        }
        self.note_copy(key, &mut copy, None, out);
        let _counted_by_the_group = self.enqueue(key, copy, out);
        self.pump(key, now, out);
        if self.is_pausing(key) {
            // The group need not find out by the next copy. No delivery has this number.
            let loan = Loan::Delivery { group, delivery: 0 };
            self.tell(from, Mesh::SharedDone { loan, fate: Fate::AboveRate(member) }, out);
        }
    }

    /// The pause of a receiver that was above its rate is over: unless it has begun another one, it has a part in its groups again.
    pub(super) fn draw_again(&mut self, key: ConnectionKey, now: Time, out: &mut Outputs) {
        let Some(session) = self.connections.get(key).and_then(|connection| connection.session) else { return };
        if !self.must_wait_for_rate(session, now) {
            self.presence(session, out);
        }
    }

    fn is_pausing(&self, key: SessionKey) -> bool {
        self.sessions.get(key).and_then(Session::link).is_some_and(|link| link.rate == Rate::Above)
    }

    /// The same; also where those with whom it shares a rate have used it up.
    fn must_wait_for_rate(&mut self, key: SessionKey, now: Time) -> bool {
        let link = self.sessions.get(key).and_then(Session::link);
        link.is_some_and(|link| self.is_above_rate(key, &link, now))
    }

    /// A copy that its member may not be sent now, while another one may be.
    fn send_back(&mut self, to: ShardId, copy: SharedCopy, out: &mut Outputs) {
        let SharedCopy { member, group, delivery, .. } = copy;
        if delivery == 0 {
            self.stats.ledger.received += 1;
            self.stats.ledger.moved += 1;
            return self.tell(to, Mesh::SharedBack(copy), out);
        }
        let loan = Loan::Delivery { group, delivery };
        self.tell(to, Mesh::SharedDone { loan, fate: Fate::AboveRate(member) }, out);
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
