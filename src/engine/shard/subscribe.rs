//! SUBSCRIBE and UNSUBSCRIBE: each filter is judged alone, and interest is declared before SUBACK leaves.

use std::sync::Arc;

use super::Shard;
use super::receive::Flow;
use super::retain::PlannedScan;
use crate::base::time::Time;
use crate::engine::auth::{Action, Decision};
use crate::engine::change::Change;
use crate::engine::connection::{ConnectionKey, Settled};
use crate::engine::event::Event;
use crate::engine::limits::{
    COPIES_PER_FILTER, COPIES_PER_FILTER_JUDGED, FILTERS_COMPARED_PER_COPY, FILTERS_PER_PACKET_MAX, Limits,
    WILDCARD_LEVELS_MAX,
};
use crate::engine::mesh::{JoinTicket, Mesh};
use crate::engine::output::Outputs;
use crate::engine::session::pipeline::{Due, Outcome};
use crate::engine::session::{Membership, Session, SessionKey};
use crate::engine::stats::Limit;
use crate::engine::subscriptions::entry::{Options, Subscriber};
use crate::engine::subscriptions::group::Departure;
use crate::engine::subscriptions::index::FilterId;
use crate::engine::subscriptions::members::Terms;
use crate::mqtt::subscribe::{Entries, Requested, RetainHandling, Subscribe};
use crate::mqtt::unsubscribe::Unsubscribe;
use crate::mqtt::{Filter, Reason, Subscription, Version};

/// A shared filter whose group has to agree, or to know.
struct Joining {
    index: u16,
    membership: Membership,
}

impl Shard {
    /// [MQTT-3.8.4-5] Several filters in one packet are as several packets, but for the one SUBACK.
    pub(super) fn subscribe(
        &mut self,
        key: ConnectionKey,
        packet: Subscribe<'_>,
        now: Time,
        out: &mut Outputs,
    ) -> Flow {
        let Some(connection) = self.connections.get(key) else { return Flow::Gone };
        let Some(session_key) = connection.session else { return Flow::Gone };
        let is_bridge = connection.is_bridge;
        let subscription_id = packet.properties.subscription_id().unwrap_or(0);
        if subscription_id != 0 && !self.limits.subscription_ids_available {
            return self.violation(key, Reason::SubscriptionIdentifiersNotSupported, now, out);
        }
        // Every filter is judged before the first one takes effect: a late answer finds nothing half done.
        let Some(verdicts) = self.judge_all(key, session_key, &packet, out) else { return Flow::Wait };
        self.charge(verdicts.len() * (COPIES_PER_FILTER - COPIES_PER_FILTER_JUDGED));
        let mut codes = Vec::with_capacity(packet.count());
        let mut joins = Vec::new();
        for (index, (requested, verdict)) in packet.entries().zip(verdicts).enumerate() {
            self.tell_refusal(session_key, &requested, verdict, out);
            let code = match (verdict, requested.subscription) {
                (Ok(()), Ok(subscription)) => {
                    let index = u16::try_from(index).unwrap_or(u16::MAX);
                    let requested = if is_bridge { as_for_bridge(requested) } else { requested };
                    self.take_up(key, session_key, subscription, &requested, subscription_id, index, &mut joins, out)
                }
                (Err(reason), _) => reason,
                (Ok(()), Err(_)) => Reason::TopicFilterInvalid,
            };
            codes.push(code);
        }
        codes.resize(packet.count(), Reason::QuotaExceeded);
        self.answer_subscribe(key, packet.id, codes, joins, now, out);
        self.go_on_scanning(session_key, now, out);
        Flow::Next
    }

    /// Which of the filters that are looked at may be subscribed to; nothing while the policy thinks about one of them. What was settled until
    /// then is not asked again, unless the policy has changed.
    fn judge_all(
        &mut self,
        key: ConnectionKey,
        session: SessionKey,
        packet: &Subscribe<'_>,
        out: &mut Outputs,
    ) -> Option<Vec<Result<(), Reason>>> {
        let all = packet.entries();
        let mut settled = self.take_settled(key).unwrap_or_else(|| Settled {
            policy: self.policy.number(),
            verdicts: Vec::new(),
            bytes_left: all.bytes_left(),
        });
        let entries = packet.last_entries(settled.bytes_left);
        if self.judge_on(key, session, &mut settled, entries, out) {
            return Some(settled.verdicts);
        }
        self.keep_settled(key, settled);
        None
    }

    /// A SUBSCRIBE is handled again because a late answer is there. It is read on where it has waited, and as a whole only when nothing of it
    /// waits any more: each answer would cost its length otherwise. Whether the policy thinks about the next one.
    pub(super) fn is_undecided(&mut self, key: ConnectionKey, body: &[u8], out: &mut Outputs) -> bool {
        let Some(mut settled) = self.take_settled(key) else { return false };
        let Some(session) = self.connections.get(key).and_then(|connection| connection.session) else { return false };
        let entries = Entries::in_last(body, settled.bytes_left);
        let is_decided = self.judge_on(key, session, &mut settled, entries, out);
        self.keep_settled(key, settled);
        !is_decided
    }

    /// Judges filters, of which these are the next ones, and charges for each that is settled now; whether all that are looked at are.
    fn judge_on(
        &mut self,
        key: ConnectionKey,
        session: SessionKey,
        settled: &mut Settled,
        mut entries: Entries<'_>,
        out: &mut Outputs,
    ) -> bool {
        let known = settled.verdicts.len();
        let mut is_decided = true;
        while is_decided && settled.verdicts.len() < FILTERS_PER_PACKET_MAX {
            settled.bytes_left = entries.bytes_left();
            let Some(requested) = entries.next() else { break };
            match self.judge(key, session, &requested, out) {
                Some(verdict) => settled.verdicts.push(verdict),
                None => is_decided = false,
            }
        }
        self.charge((settled.verdicts.len() - known) * COPIES_PER_FILTER_JUDGED);
        self.forget_answers(key);
        is_decided
    }

    /// What the present policy has settled of the SUBSCRIBE that waits.
    fn take_settled(&mut self, key: ConnectionKey) -> Option<Settled> {
        let policy = self.policy.number();
        let extras = self.connections.get_mut(key).and_then(|connection| connection.extras.as_mut());
        let settled = extras.and_then(|extras| extras.settled.take());
        settled.map(|settled| *settled).filter(|settled| settled.policy == policy)
    }

    fn keep_settled(&mut self, key: ConnectionKey, settled: Settled) {
        if let Some(connection) = self.connections.get_mut(key) {
            connection.extras().settled = Some(Box::new(settled));
        }
    }

    /// Whether one filter may be subscribed to; nothing while the policy thinks about it. It may be asked again, so it counts nothing.
    fn judge(
        &mut self,
        key: ConnectionKey,
        session: SessionKey,
        requested: &Requested<'_>,
        out: &mut Outputs,
    ) -> Option<Result<(), Reason>> {
        let Ok(subscription) = requested.subscription else { return Some(Err(Reason::TopicFilterInvalid)) };
        let filter = subscription.filter;
        let limits = self.limits_for(key);
        let is_too_deep = filter.is_deeper_than(limits.topic_levels_max)
            || (filter.has_wildcards() && filter.is_deeper_than(WILDCARD_LEVELS_MAX));
        let is_wildcard_refused = filter.has_wildcards() && !limits.wildcard_available;
        if is_too_deep {
            return Some(Err(Reason::TopicFilterInvalid));
        }
        if is_wildcard_refused {
            return Some(Err(Reason::WildcardSubscriptionsNotSupported));
        }
        if subscription.share.is_some() && !self.limits.shared_available {
            return Some(Err(Reason::SharedSubscriptionsNotSupported));
        }
        let session = self.sessions.get(session)?;
        let (owner, client_id) = (Arc::clone(&session.owner), Box::<str>::from(self.client_id(session).as_str()));
        match self.decision(key, &owner, &client_id, action_of(subscription, requested), out) {
            Decision::Allow => Some(Ok(())),
            Decision::Deny => Some(Err(Reason::NotAuthorized)),
            Decision::Later => None,
        }
    }

    /// Counts and tells what is settled about one filter.
    fn tell_refusal(
        &mut self,
        session: SessionKey,
        requested: &Requested<'_>,
        verdict: Result<(), Reason>,
        out: &mut Outputs,
    ) {
        let (Err(reason), Ok(subscription)) = (verdict, requested.subscription) else { return };
        if reason == Reason::NotAuthorized {
            self.stats.subscribes_denied += 1;
            let Some(session) = self.sessions.get(session) else { return };
            let client_id = self.client_id(session);
            out.tell_denied(&session.owner, client_id.as_str(), action_of(subscription, requested));
        } else if reason == Reason::TopicFilterInvalid {
            self.reached(Limit::TopicLevels); // it is a filter, and too deep
        }
    }

    /// Makes one granted subscription; a shared one still needs its group's word.
    #[expect(clippy::too_many_arguments, reason = "a filter and what its packet says of it")]
    fn take_up(
        &mut self,
        key: ConnectionKey,
        session_key: SessionKey,
        subscription: Subscription<'_>,
        requested: &Requested<'_>,
        subscription_id: u32,
        index: u16,
        joins: &mut Vec<Joining>,
        out: &mut Outputs,
    ) -> Reason {
        let qos = requested.qos.min(self.limits_for(key).maximum_qos); // [MQTT-3.2.2-10]
        let Some(session) = self.sessions.get(session_key) else { return Reason::UnspecifiedError };
        let full = bound_of_subscriptions(session, self.limits_for(key), subscription.share.is_some());
        if let Some(share) = subscription.share {
            let filter = subscription.filter.as_str();
            let terms = Terms { qos, subscription_id, retain_as_published: requested.retain_as_published };
            let membership = Membership { share: share.into(), filter: filter.into(), terms, asked: None };
            let known = session.extras.shared.iter().position(|known| known.is(share, filter));
            if let (None, Some(limit)) = (known, full) {
                return self.refuse_subscription(limit);
            }
            let is_the_same = known.is_some_and(|known| session.extras.shared[known].terms == terms);
            if !is_the_same && self.is_subscription_refused(session_key) {
                return Reason::QuotaExceeded;
            }
            let session = self.sessions.get_mut(session_key).expect("it was found above");
            match known {
                Some(known) => session.extras.shared[known] = membership.clone(),
                None => session.extras.shared.push(membership.clone()),
            }
            if !is_the_same {
                self.note_joined(session_key, &membership, out);
            }
            joins.push(Joining { index, membership });
            return Reason::granted(qos);
        }
        let options = Options::new(qos)
            .with_id(subscription_id)
            .with_no_local(requested.no_local)
            .with_retain_as_published(requested.retain_as_published);
        let known = self.options_of(session_key, subscription.filter);
        let is_known = known.is_some();
        if let (None, Some(limit)) = (known, full) {
            return self.refuse_subscription(limit);
        }
        if known != Some(options) && self.is_subscription_refused(session_key) {
            return Reason::QuotaExceeded;
        }
        let id = self.subscribe_plain(session_key, subscription.filter, options, is_known);
        if known != Some(options) {
            let filter = subscription.filter.as_str();
            self.note_of(session_key, |session| Change::Subscribed { session, filter: filter.into(), options }, out);
        }
        let wants_retained = match requested.retain_handling {
            RetainHandling::SendAtSubscribe => true, // [MQTT-3.3.1-9]
            RetainHandling::SendIfNew => !is_known,  // [MQTT-3.3.1-10]
            RetainHandling::DoNotSend => false,      // [MQTT-3.3.1-11]
        };
        self.note_subscription(session_key, subscription.filter, is_known, wants_retained);
        if wants_retained && self.limits.retain_available {
            // A scan that has not begun serves a repeated subscription as well: the list stays bounded.
            let plan = PlannedScan::new(subscription.filter, id, qos, subscription_id);
            let session = self.sessions.get_mut(session_key).expect("it was found above");
            session.extras.scans.plan(plan);
        }
        Reason::granted(qos)
    }

    fn refuse_subscription(&mut self, limit: Limit) -> Reason {
        self.reached(limit);
        Reason::QuotaExceeded
    }

    pub(super) fn is_subscribed(&self, session: SessionKey, filter: Filter<'_>) -> bool {
        self.options_of(session, filter).is_some()
    }

    /// How a session is subscribed to a filter, if it is.
    fn options_of(&self, session: SessionKey, filter: Filter<'_>) -> Option<Options> {
        let filter = self.index.find(filter)?;
        self.index.options(filter, Subscriber::session(session.index()))
    }

    /// Puts a plain subscription into the index; the first one of a filter is declared to all shards.
    pub(super) fn subscribe_plain(
        &mut self,
        key: SessionKey,
        filter: Filter<'_>,
        options: Options,
        is_known: bool,
    ) -> FilterId {
        let inserted = self.index.insert(filter, Subscriber::session(key.index()), options);
        debug_assert_eq!(inserted.previous.is_some(), is_known, "the session knows its own subscriptions");
        if inserted.is_first {
            self.declared.declare(&self.interest, filter);
        }
        if let Some(session) = self.sessions.get_mut(key).filter(|_| !is_known) {
            session.add_filter(inserted.id);
        }
        inserted.id
    }

    fn answer_subscribe(
        &mut self,
        key: ConnectionKey,
        id: crate::mqtt::PacketId,
        codes: Vec<Reason>,
        joins: Vec<Joining>,
        now: Time,
        out: &mut Outputs,
    ) {
        let Some(session_key) = self.connections.get(key).and_then(|connection| connection.session) else { return };
        if let Some(session) = self.sessions.get(session_key) {
            let denied = || codes.iter().copied().filter(|code| code.is_error());
            let reason = denied().find(|reason| *reason != Reason::NotAuthorized).or_else(|| denied().next());
            if let Some(reason) = reason {
                out.tell(Event::SubscribeDenied { session: session.id, reason, count: denied().count() });
            }
        }
        if joins.is_empty() && !self.owes_answers(key) {
            let promises = self.promise_to(session_key);
            return out.promising(promises, |out| self.write_suback(key, id, &codes, out));
        }
        let waits = u16::try_from(joins.len()).unwrap_or(u16::MAX);
        let Some(connection) = self.connections.get_mut(key) else { return };
        let ticket = connection.pipeline.push(Due::SubAck { id, codes }, waits, Outcome::default());
        for joining in joins {
            let reply = JoinTicket { connection: key, ticket, index: joining.index };
            self.join(session_key, joining.membership, reply, out);
        }
        self.flush_pipeline(key, now, out);
    }

    /// Whether an earlier request still waits for its answer: a later one is answered behind it.
    fn owes_answers(&self, key: ConnectionKey) -> bool {
        self.connections.get(key).is_some_and(|connection| !connection.pipeline.is_empty())
    }

    fn join(&mut self, key: SessionKey, membership: Membership, reply: JoinTicket, out: &mut Outputs) {
        let Some(member) = self.member_id(key) else { return };
        let (window, is_lasting) = (self.window(key), self.is_durable(key));
        let home = self.homes.group(&membership.share, &membership.filter);
        let Membership { share, filter, terms, .. } = membership;
        let known = self.sessions.get_mut(key).and_then(|session| session.membership(&share, &filter));
        if let Some(known) = known {
            known.asked = Some(reply);
        }
        self.tell(home, Mesh::Join { share, filter, member, terms, window, is_lasting, reply: Some(reply) }, out);
    }

    /// After a restart a session asks its groups again; nobody waits for their answers.
    pub(super) fn join_again(&mut self, key: SessionKey, out: &mut Outputs) {
        let Some(member) = self.member_id(key) else { return };
        let shared = self.sessions.get(key).map(|session| session.extras.shared.to_vec()).unwrap_or_default();
        for Membership { share, filter, terms, .. } in shared {
            let home = self.homes.group(&share, &filter);
            let letter = Mesh::Join { share, filter, member, terms, window: None, is_lasting: true, reply: None };
            self.tell(home, letter, out);
        }
    }

    /// A group has granted or refused a membership.
    #[expect(clippy::too_many_arguments, reason = "the parts of one letter")]
    pub(super) fn joined(
        &mut self,
        session_key: SessionKey,
        share: &str,
        filter: &str,
        reply: JoinTicket,
        reason: Reason,
        now: Time,
        out: &mut Outputs,
    ) {
        if reason.is_error()
            && let Some(session) = self.sessions.get_mut(session_key)
        {
            // A refusal of an older request says nothing of the newer one that is under way.
            let before = session.extras.shared.len();
            let is_it = |known: &Membership| known.is(share, filter) && known.asked == Some(reply);
            session.reduce_extras(|extras| extras.shared.retain(|known| !is_it(known)));
            let is_refused = session.extras.shared.len() < before;
            if is_refused {
                self.note_left(session_key, share, filter, out);
            }
        }
        let Some(connection) = self.connections.get_mut(reply.connection) else { return };
        connection.pipeline.resolve_code(reply.ticket, usize::from(reply.index), reason);
        self.flush_pipeline(reply.connection, now, out);
    }

    /// [MQTT-3.10.4-6] Several filters in one packet are as several packets, but for the one UNSUBACK.
    pub(super) fn unsubscribe(
        &mut self,
        key: ConnectionKey,
        packet: Unsubscribe<'_>,
        now: Time,
        out: &mut Outputs,
    ) -> Flow {
        let Some(session) = self.connections.get(key).and_then(|connection| connection.session) else {
            return Flow::Gone;
        };
        if packet.count() > FILTERS_PER_PACKET_MAX && !self.says_codes(key) {
            return self.violation(key, Reason::QuotaExceeded, now, out);
        }
        self.charge(packet.count().min(FILTERS_PER_PACKET_MAX) * COPIES_PER_FILTER);
        let (mut codes, mut leaves) = (Vec::with_capacity(packet.count()), Vec::new());
        for (index, unwanted) in packet.entries().take(FILTERS_PER_PACKET_MAX).enumerate() {
            codes.push(match unwanted.subscription {
                Ok(Subscription { share: None, filter, .. }) => self.give_up_plain(session, filter, out),
                Ok(Subscription { share: Some(share), filter, .. }) => {
                    let index = u16::try_from(index).unwrap_or(u16::MAX);
                    self.give_up_shared(session, share, filter, index, &mut leaves, out)
                }
                Err(_) => Reason::TopicFilterInvalid,
            });
        }
        codes.resize(packet.count(), Reason::ImplementationSpecificError); // UNSUBACK has no "quota exceeded"
        self.answer_unsubscribe(key, packet.id, codes, leaves, now, out);
        self.go_on_scanning(session, now, out);
        Flow::Next
    }

    /// Whether UNSUBACK tells this client what became of each filter.
    fn says_codes(&self, key: ConnectionKey) -> bool {
        self.connections.get(key).is_some_and(|connection| connection.version == Version::V5)
    }

    /// [MQTT-3.10.4-2] After UNSUBACK nothing new comes, so a group that is left has to know it first.
    fn answer_unsubscribe(
        &mut self,
        key: ConnectionKey,
        id: crate::mqtt::PacketId,
        codes: Vec<Reason>,
        leaves: Vec<Joining>,
        now: Time,
        out: &mut Outputs,
    ) {
        let Some(session_key) = self.connections.get(key).and_then(|connection| connection.session) else { return };
        if leaves.is_empty() && !self.owes_answers(key) {
            let promises = self.promise_to(session_key);
            return out.promising(promises, |out| self.write_unsuback(key, id, &codes, out));
        }
        let waits = u16::try_from(leaves.len()).unwrap_or(u16::MAX);
        let Some(connection) = self.connections.get_mut(key) else { return };
        let ticket = connection.pipeline.push(Due::UnsubAck { id, codes }, waits, Outcome::default());
        for Joining { index, membership } in leaves {
            let reply = JoinTicket { connection: key, ticket, index };
            self.leave(session_key, membership, Departure::Unsubscribed, Some(reply), out);
        }
        self.flush_pipeline(key, now, out);
    }

    /// A group has let a member go.
    pub(super) fn left(&mut self, reply: JoinTicket, now: Time, out: &mut Outputs) {
        let Some(connection) = self.connections.get_mut(reply.connection) else { return };
        connection.pipeline.resolve_code(reply.ticket, usize::from(reply.index), Reason::Success);
        self.flush_pipeline(reply.connection, now, out);
    }

    /// [MQTT-3.10.4-1] the filter is compared letter by letter.
    pub(super) fn give_up_plain(&mut self, key: SessionKey, filter: Filter<'_>, out: &mut Outputs) -> Reason {
        let Some(id) = self.index.find(filter) else { return Reason::NoSubscriptionExisted };
        let Some(removed) = self.index.remove(id, Subscriber::session(key.index())) else {
            return Reason::NoSubscriptionExisted;
        };
        if removed.is_last {
            self.declared.withdraw(&self.interest, filter);
        }
        let session = self.sessions.get_mut(key).expect("a subscriber is a living session");
        let compared = session.filters().len();
        let was_known = session.remove_filter(id);
        debug_assert!(was_known, "the session knows its own subscriptions");
        self.charge(compared / FILTERS_COMPARED_PER_COPY);
        self.forget_scans_of(key, id);
        self.young.unsubscribed(key, id);
        self.note_of(key, |session| Change::Unsubscribed { session, filter: filter.as_str().into() }, out);
        Reason::Success
    }

    fn give_up_shared(
        &mut self,
        key: SessionKey,
        share: &str,
        filter: Filter<'_>,
        index: u16,
        leaves: &mut Vec<Joining>,
        out: &mut Outputs,
    ) -> Reason {
        let Some(session) = self.sessions.get_mut(key) else { return Reason::NoSubscriptionExisted };
        let Some(place) = session.extras.shared.iter().position(|known| known.is(share, filter.as_str())) else {
            return Reason::NoSubscriptionExisted;
        };
        leaves.push(Joining { index, membership: session.extras.shared.swap_remove(place) });
        session.give_memory_back();
        self.note_left(key, share, filter.as_str(), out);
        Reason::Success
    }

    fn leave(
        &mut self,
        key: SessionKey,
        membership: Membership,
        departure: Departure,
        reply: Option<JoinTicket>,
        out: &mut Outputs,
    ) {
        let Some(member) = self.member_id(key) else { return };
        let Membership { share, filter, .. } = membership;
        let home = self.homes.group(&share, &filter);
        self.tell(home, Mesh::Leave { share, filter, member, departure, reply }, out);
    }

    /// The session ends: it leaves its groups. The plain subscriptions that it has are still to be taken out.
    pub(super) fn leave_all(&mut self, key: SessionKey, out: &mut Outputs) -> Vec<FilterId> {
        let Some(session) = self.sessions.get_mut(key) else { return Vec::new() };
        let filters = session.take_filters();
        let shared = session.extras.used().map(|extras| extras.shared.take()).unwrap_or_default();
        for membership in shared {
            self.leave(key, membership, Departure::SessionEnded, None, out);
        }
        filters
    }
}

/// Which bound leaves no room for one more subscription, if one does.
fn bound_of_subscriptions(session: &Session, limits: &Limits, is_shared: bool) -> Option<Limit> {
    if session.subscription_count() >= limits.subscriptions_max {
        Some(Limit::Subscriptions)
    } else if is_shared && session.extras.shared.len() >= limits.shared_subscriptions_max {
        Some(Limit::SharedSubscriptions)
    } else {
        None
    }
}

/// What whoever wants this filter asks the policy.
fn action_of<'a>(subscription: Subscription<'a>, requested: &Requested<'_>) -> Action<'a> {
    let is_shared = subscription.share.is_some();
    Action::Subscribe { filter: subscription.filter.as_str(), qos: requested.qos, is_shared }
}

/// A bridge of 3.x has no options for it; the bit in its level says that it must not hear itself, and wants RETAIN
/// as it was published.
fn as_for_bridge(requested: Requested<'_>) -> Requested<'_> {
    Requested { no_local: true, retain_as_published: true, ..requested }
}
