//! Retained messages: kept on the home of their topic, looked for page by page when somebody subscribes.

use std::num::NonZeroU64;
use std::ops::ControlFlow;

use hashbrown::hash_map::Entry;

use super::Shard;
use super::fanout::Publisher;
use crate::base::bitset::Bits64;
use crate::base::time::Time;
use crate::engine::auth::identity::Identity;
use crate::engine::change::Serial;
use crate::engine::connection::ConnectionKey;
use crate::engine::homes::ShardId;
use crate::engine::limits::{SCAN_PAGE_BYTES_MAX, SCAN_PAGE_MESSAGES_MAX, SCAN_STEPS_MAX};
use crate::engine::mesh::{Mesh, RoutingKey, ScanKey};
use crate::engine::message::{Message, Once, Publication};
use crate::engine::output::Outputs;
use crate::engine::retained::owners::Exchange;
use crate::engine::retained::{Cursor, Progress};
use crate::engine::session::delivery::{Delivery, Source, SubscriptionIds};
use crate::engine::session::pipeline::Outcome;
use crate::engine::session::{Session, SessionKey};
use crate::engine::stats::{DropReason, Limit};
use crate::engine::subscriptions::entry::Subscriber;
use crate::engine::subscriptions::index::FilterId;
use crate::mqtt::{Filter, QoS, Topic};

/// A scan that a session waits for: the first of its list is under way, the others follow.
#[derive(Debug)]
pub struct PlannedScan {
    filter: Box<str>,
    filter_id: FilterId,
    qos: QoS,
    subscription_id: u32,
    state: ScanState,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum ScanState {
    Planned,
    /// A page was asked for.
    Asked(ScanKey),
    /// A page came, and the next one waits until the session has room.
    Paused(ScanKey),
}

impl PlannedScan {
    /// A scan for a new subscription.
    pub fn new(filter: Filter<'_>, filter_id: FilterId, qos: QoS, subscription_id: u32) -> Self {
        Self { filter: filter.as_str().into(), filter_id, qos, subscription_id, state: ScanState::Planned }
    }

    /// Whether a page was asked for.
    pub fn has_begun(&self) -> bool {
        self.state != ScanState::Planned
    }

    /// Where the filter stands in the index.
    pub fn filter_id(&self) -> FilterId {
        self.filter_id
    }
}

#[cfg(test)]
impl PlannedScan {
    /// The filter.
    pub fn filter(&self) -> &str {
        &self.filter
    }

    /// What its subscription is called.
    pub fn subscription_id(&self) -> u32 {
        self.subscription_id
    }

    /// A page was asked for.
    pub fn begin_for_test(&mut self) {
        self.state = ScanState::Asked(crate::base::slab::Slab::<Scan>::new().next_key());
    }
}

/// A scan under way, on the shard of the session that asked. One home is asked after the other.
#[derive(Debug)]
pub struct Scan {
    session: SessionKey,
    /// The homes that still have to be asked, this one included.
    homes: Bits64,
    at: ShardId,
    /// Where the last page of this home ended.
    cursor: Cursor,
}

/// The home's part.
impl Shard {
    /// Gives a retained publication to the home of its topic.
    #[expect(clippy::too_many_arguments, reason = "a publication and who has to do with it")]
    pub(super) fn retain(
        &mut self,
        publication: &mut Publication<'_>,
        told: Bits64,
        stamp: Option<NonZeroU64>,
        publisher: Option<ConnectionKey>,
        routing: Option<RoutingKey>,
        now: Time,
        out: &mut Outputs,
    ) -> Outcome {
        let message = publication.keep(&mut self.chunks).clone();
        let Some(stamp) = stamp else {
            // Whoever subscribes from now on finds it here; whoever did so before was told.
            let publisher = publisher.map(|key| (self.id, key));
            return self.retain_here(&message, publication.noted, publisher, publication.owner.as_deref(), now, out);
        };
        self.wait_for_one_more(routing);
        let home = self.homes.topic(message.topic());
        let (owner, once) = (publication.owner.clone(), publication.once);
        self.tell(home, Mesh::Retain { message, told, stamp, reply: routing, publisher, owner, once }, out);
        self.slow_down_for_shard(home, publisher, out);
        Outcome::default()
    }

    /// A number for a retained publication whose home is elsewhere.
    pub(super) fn stamp(&mut self, publication: &Publication<'_>) -> Option<NonZeroU64> {
        if !self.is_retained_elsewhere(publication) {
            return None;
        }
        self.stamps += 1;
        NonZeroU64::new(self.stamps)
    }

    /// Whether a publication is retained, and another shard is the home of its topic.
    pub(super) fn is_retained_elsewhere(&self, publication: &Publication<'_>) -> bool {
        publication.retain
            && self.limits.retain_available
            && !self.is_alone()
            && self.homes.topic(publication.topic) != self.id
    }

    /// Keeps the last message of a topic; the outcome says whether it is.
    pub(super) fn retain_here(
        &mut self,
        message: &Message,
        noted: Serial,
        publisher: Publisher,
        owner: Option<&Identity>,
        now: Time,
        out: &mut Outputs,
    ) -> Outcome {
        let topic = Topic::parse(message.topic()).expect("a publication's topic was parsed");
        let is_nothing = message.payload().is_empty() || message.has_expired(now);
        let is_refused = !is_nothing && self.is_retained_refused();
        if is_refused && message.qos > QoS::AtMostOnce {
            return Outcome { refused: true, ..Outcome::default() };
        }
        // [MQTT-3.3.1-6] [MQTT-3.3.1-7] an empty payload erases and is not kept. Nor is one of QoS 0 without room: the one of before is
        // not the last any more.
        if is_nothing || is_refused {
            if self.remove_retained(topic) {
                self.note_retained_gone(topic, out);
            }
            // Also where it was gone already: that it is may not be safe yet.
            let noted = self.journaling.is_on();
            return Outcome { noted, ..Outcome::default() };
        }
        let message = message.compact();
        let freed = self.retained.get(topic).map_or(0, charged);
        let is_new = freed == 0;
        let bytes = self.retained_bytes - freed + charged(&message);
        let is_too_much = bytes > self.limits.retained_bytes_max;
        if is_too_much || (is_new && self.retained.len() >= self.limits.retained_messages_max) {
            self.reached(if is_too_much { Limit::RetainedBytes } else { Limit::RetainedMessages });
            return Outcome { refused: true, ..Outcome::default() };
        }
        let exchange = Exchange { before: freed, after: charged(&message) };
        if let Err(limit) = self.own_retained(topic, owner, exchange, now) {
            self.stats.shared_limits_reached.count(limit);
            return Outcome { refused: true, ..Outcome::default() };
        }
        let noted = self.note_retained_as(noted, &message, out);
        self.set_retained(topic, message); // [MQTT-3.3.1-5]
        if noted {
            self.slow_down_for_journal(publisher, out);
        }
        Outcome { kept: true, noted, ..Outcome::default() }
    }

    /// Puts a message into the store, in place of the one that was there.
    pub(super) fn set_retained(&mut self, topic: Topic<'_>, message: Message) {
        self.retained_bytes -= self.retained.get(topic).map_or(0, charged);
        self.retained_bytes += charged(&message);
        self.retained.set(topic, message);
    }

    /// Takes the message of a topic out of the store; whether there was one.
    pub(super) fn remove_retained(&mut self, topic: Topic<'_>) -> bool {
        let old = self.retained.remove(topic);
        let freed = old.as_ref().map_or(0, charged);
        self.retained_bytes -= freed;
        self.disown_retained(topic, freed);
        old.is_some()
    }

    /// Tells who subscribed while a retained message was on its way to its home.
    ///
    /// A shard that began to want the topic after the publisher's shard had looked has neither been told nor found the
    /// message here. A shard that was told may have new subscriptions since, which did not find it here either: it
    /// knows which those are. So a subscriber never misses both. The publisher's own shard needs no word: what it asks
    /// here comes behind what it published. How many shards will answer.
    #[expect(clippy::too_many_arguments, reason = "a publication and who has to do with it")]
    pub(super) fn tell_late_comers(
        &mut self,
        from: ShardId,
        publisher: Publisher,
        message: &Message,
        told: Bits64,
        stamp: NonZeroU64,
        is_kept: bool,
        reply: Option<(ShardId, RoutingKey)>,
        once: Option<Once>,
        out: &mut Outputs,
    ) -> u32 {
        let wanted = if is_kept { self.interested(message.topic()) } else { Bits64::default() };
        let others = wanted.union(told).difference(Bits64::of(from.bit()));
        for bit in others.iter() {
            let told_by = told.contains(bit).then_some((from, stamp));
            let message = message.clone();
            let to = ShardId::of_bit(bit);
            self.tell(to, Mesh::RetainedLate { told_by, is_kept, message, reply, once }, out);
            if let Some(publisher) = publisher.filter(|_| self.full_shards.contains(bit)) {
                self.wait_for_way(to, publisher, out);
            }
        }
        let answers = reply.map_or(0, |_| others.iter().count());
        u32::try_from(answers).expect("there are 64 shards at most")
    }

    /// A new subscription: a retained message that is on its way to its home may reach it by neither way. One that was
    /// made again stays as old as it was, but may want retained messages only now.
    pub(super) fn note_subscription(
        &mut self,
        key: SessionKey,
        filter: Filter<'_>,
        is_known: bool,
        wants_retained: bool,
    ) {
        if self.on_their_way.is_empty() {
            return;
        }
        let Some(filter) = self.index.find(filter) else { return };
        self.young.subscribed(key, filter, is_known, wants_retained);
    }

    /// Whether all of a session's subscriptions among `filters` were made after the count stood at `since`, and one of
    /// them wants retained messages.
    fn is_young(&self, key: SessionKey, filters: &[FilterId], since: u64) -> bool {
        let subscriber = Subscriber::session(key.index());
        let mut matching = filters.iter().filter(|filter| self.index.options(**filter, subscriber).is_some());
        let mut is_wanted = false;
        let are_young = matching.all(|filter| {
            let wants = self.young.is_younger(key, *filter, since);
            is_wanted |= wants == Some(true);
            wants.is_some()
        });
        are_young && is_wanted
    }

    /// A retained publication came that its home may not know yet: who subscribes from now on may find it nowhere.
    pub(super) fn note_retained(&mut self, publisher: ShardId, stamp: Option<NonZeroU64>) {
        let Some(stamp) = stamp else { return };
        match self.on_their_way.entry((publisher, stamp)) {
            // Its home was faster: everybody who was here then gets it now.
            Entry::Occupied(came_already) => {
                came_already.remove();
            }
            Entry::Vacant(place) => {
                place.insert(Some(self.young.message_came()));
            }
        }
    }

    /// Looks for the next page of somebody's scan.
    pub(super) fn scan_page(&mut self, scan: ScanKey, filter: &str, mut cursor: Cursor, now: Time) -> Mesh {
        let filter = Filter::parse(filter).expect("a subscription's filter was parsed");
        let (mut messages, mut bytes) = (Vec::new(), 0);
        let progress = self.retained.scan(filter, &mut cursor, SCAN_STEPS_MAX, |_, message: &Message| {
            if message.has_expired(now) {
                return ControlFlow::Continue(()); // the sweep takes it away
            }
            bytes += message.charged_bytes();
            messages.push(message.clone());
            if messages.len() >= SCAN_PAGE_MESSAGES_MAX || bytes >= SCAN_PAGE_BYTES_MAX {
                ControlFlow::Break(())
            } else {
                ControlFlow::Continue(())
            }
        });
        Mesh::ScanPage { scan, messages, cursor, is_last: progress == Progress::Done }
    }

    /// Takes away some of the retained messages whose time is over; a full round takes many calls.
    pub(super) fn sweep_retained(&mut self, now: Time, out: &mut Outputs) {
        if self.retained.is_empty() {
            return;
        }
        let mut cursor = std::mem::take(&mut self.retained_sweep);
        let mut expired: Vec<Box<str>> = Vec::new();
        let visit = |topic: &str, message: &Message| {
            if message.has_expired(now) {
                expired.push(topic.into());
            }
            ControlFlow::Continue(())
        };
        if self.retained.walk(&mut cursor, SCAN_STEPS_MAX, visit) == Progress::More {
            self.retained_sweep = cursor;
        }
        for topic in expired {
            let topic = Topic::parse(&topic).expect("a retained topic was parsed");
            if self.remove_retained(topic) {
                self.note_retained_gone(topic, out);
            }
        }
    }
}

/// What a retained message is charged with.
pub(super) fn charged(message: &Message) -> u64 {
    message.charged_bytes() as u64
}

/// The subscriber's part.
impl Shard {
    /// Starts the session's next scan, or asks for the next page of the one under way, if there is room for it.
    pub(super) fn go_on_scanning(&mut self, key: SessionKey, now: Time, out: &mut Outputs) {
        let bounds = self.queue_bounds();
        let Some(session) = self.sessions.get_mut(key) else { return };
        let has_room = session.link().is_none_or(|link| link.is_open())
            && session.outbound.as_ref().is_none_or(|outbound| outbound.has_room(&bounds));
        let plan = session.extras.used().filter(|_| has_room).and_then(|extras| extras.scans.used()?.front_mut());
        let Some(plan) = plan else { return };
        let (qos, is_asked) = (plan.qos, matches!(plan.state, ScanState::Asked(_)));
        if is_asked || self.is_scan_held(key, qos) {
            return;
        }
        let session = self.sessions.get_mut(key).expect("it was found above");
        let plan = session.extras.used().and_then(|extras| extras.scans.used()?.front_mut());
        let plan = plan.expect("it was found above");
        match plan.state {
            ScanState::Asked(_) => {}
            ScanState::Planned => {
                let filter = Filter::parse(&plan.filter).expect("a subscription's filter was parsed");
                let homes = if filter.has_wildcards() {
                    self.homes.all_bits()
                } else {
                    Bits64::of(self.homes.topic(filter.as_str()).bit())
                };
                let at = ShardId::of_bit(homes.first().expect("every topic has a home"));
                let scan = self.scans.insert(Scan { session: key, homes, at, cursor: Cursor::default() });
                plan.state = ScanState::Asked(scan);
                self.ask_for_page(scan, now, out);
            }
            ScanState::Paused(scan) => {
                plan.state = ScanState::Asked(scan);
                self.ask_for_page(scan, now, out);
            }
        }
    }

    fn ask_for_page(&mut self, key: ScanKey, now: Time, out: &mut Outputs) {
        let Some(scan) = self.scans.get(key) else { return };
        let Some(session) = self.sessions.get(scan.session) else { return };
        let Some(plan) = session.extras.scans.front() else { return };
        let (filter, cursor, at) = (plan.filter.clone(), scan.cursor.clone(), scan.at);
        if at == self.id {
            let page = self.scan_page(key, &filter, cursor, now);
            self.letters.push_back(page);
        } else {
            self.tell(at, Mesh::ScanAsk { scan: key, filter, cursor }, out);
        }
    }

    /// A page has come: its messages are delivered, and the next page is asked for when there is room.
    pub(super) fn page_came(
        &mut self,
        key: ScanKey,
        messages: Vec<Message>,
        cursor: Cursor,
        is_last: bool,
        now: Time,
        out: &mut Outputs,
    ) {
        let Some(scan) = self.scans.get_mut(key) else { return };
        let session_key = scan.session;
        let plan = self.sessions.get(session_key).and_then(|session| session.extras.scans.front());
        let Some(plan) = plan.filter(|plan| plan.state == ScanState::Asked(key)) else {
            self.scans.remove(key); // it was unsubscribed, or the session is gone
            return self.go_on_scanning(session_key, now, out);
        };
        let (qos, id) = (plan.qos, plan.subscription_id);
        scan.cursor = cursor;
        if is_last {
            scan.homes.remove(scan.at.bit());
            scan.cursor = Cursor::default();
            if let Some(next) = scan.homes.first() {
                scan.at = ShardId::of_bit(next);
            }
        }
        let is_over = scan.homes.is_empty();
        if is_over {
            self.scans.remove(key);
        }
        let session = self.sessions.get_mut(session_key).expect("its plan was found above");
        if is_over {
            session.extras.scans.pop_front();
            session.give_memory_back();
        } else if let Some(plan) = session.extras.scans.front_mut() {
            plan.state = ScanState::Paused(key);
        }
        let ids = if id == 0 { SubscriptionIds::None } else { SubscriptionIds::One(id) };
        self.charge(messages.len());
        for message in messages {
            let qos = message.qos.min(qos);
            // [MQTT-3.3.1-8] of 3.1.1: what is found says RETAIN.
            let (ids, source) = (ids.clone(), Source::OWN);
            let delivery = Delivery { message, qos, retain: true, ids, source };
            self.deliver_found(session_key, delivery, out);
        }
        self.pump(session_key, now, out);
        self.go_on_scanning(session_key, now, out);
    }

    /// One copy for one session that no publication brought.
    fn deliver_found(&mut self, key: SessionKey, mut delivery: Delivery, out: &mut Outputs) {
        self.stats.ledger.routed += 1;
        let is_allowed = !self.checks_receive() || self.may_receive(key, delivery.message.topic());
        let link = self.sessions.get(key).and_then(Session::link);
        if !is_allowed {
            return self.discard(key, &delivery, DropReason::NotAuthorized, out);
        }
        if delivery.qos == QoS::AtMostOnce && link.is_none() && !self.limits.queue_qos0 {
            return self.discard(key, &delivery, DropReason::Offline, out);
        }
        self.note_copy(key, &mut delivery, None, out);
        let _counted_in_the_ledger = self.enqueue(key, delivery, out);
    }

    /// A retained message that was on its way to its home when this shard began to want it.
    ///
    /// A scan that has not come to the topic yet will find it there; the other new subscriptions get it now, as what it
    /// is to them: a publication to an established subscription. Whether its passage is noted. [MQTT-3.3.1-12] [MQTT-3.3.1-13]
    #[expect(clippy::too_many_arguments, reason = "a publication and who has to do with it")]
    pub(super) fn retained_late(
        &mut self,
        from: ShardId,
        told_by: Option<(ShardId, NonZeroU64)>,
        is_kept: bool,
        message: &Message,
        once: Option<Once>,
        now: Time,
        out: &mut Outputs,
    ) -> bool {
        let since = match told_by.map(|publication| self.on_their_way.entry(publication)) {
            None => None,
            Some(Entry::Occupied(came)) => came.remove(),
            Some(Entry::Vacant(place)) => {
                place.insert(None); // the publisher's word comes later, and serves everybody
                return false;
            }
        };
        let has_passed = self.serve_late(from, since, is_kept, message, once, now, out);
        if let Some(since) = since {
            self.young.message_over(since);
        }
        has_passed
    }

    /// The same, once both have spoken: who has told of the message, if anybody has, and its home.
    #[expect(clippy::too_many_arguments, reason = "a publication and who has to do with it")]
    fn serve_late(
        &mut self,
        from: ShardId,
        since: Option<u64>,
        is_kept: bool,
        message: &Message,
        once: Option<Once>,
        now: Time,
        out: &mut Outputs,
    ) -> bool {
        // To those who were told it is one of before, by whichever way it came.
        let has_come = since.is_none() && once.is_some_and(|once| self.passages.has_come(once));
        if !is_kept || since.is_some_and(|since| self.young.is_last(since)) || has_come {
            return has_come;
        }
        let before = self.journaling.made();
        let topic = Topic::parse(message.topic()).expect("a publication's topic was parsed");
        let route = self.route_of(message.topic());
        for target in &route.targets {
            let Some(session) = self.sessions.get(target.session) else { continue };
            if since.is_some_and(|since| !self.is_young(target.session, &route.filters, since)) {
                continue; // one of its subscriptions was there when the publication came
            }
            if !self.will_be_found(session, &route.filters, from, topic) {
                let qos = message.qos.min(target.qos);
                // Who was told of it before gets it as what it is to a newer subscription: a retained message.
                let retain = target.retain_as_published || since.is_some();
                let ids = SubscriptionIds::of(target.ids(&route.ids));
                let (message, source) = (message.clone(), Source::OWN);
                let delivery = Delivery { message, qos, retain, ids, source };
                self.deliver_found(target.session, delivery, out);
                self.pump(target.session, now, out);
            }
        }
        let passed = once.filter(|_| self.journaling.made() > before);
        if let Some(once) = passed {
            self.note_passage(once.passage, out);
        }
        passed.is_some()
    }

    /// Whether a scan of this session will come to a topic that these filters match.
    fn will_be_found(&self, session: &Session, filters: &[FilterId], home: ShardId, topic: Topic<'_>) -> bool {
        let scans = &session.extras.scans;
        let Some(first) = scans.front() else { return false };
        filters.iter().any(|filter| scans.is_planned(*filter))
            || (filters.contains(&first.filter_id) && self.is_still_to_come(first, home, topic))
    }

    fn is_still_to_come(&self, plan: &PlannedScan, home: ShardId, topic: Topic<'_>) -> bool {
        let key = match plan.state {
            ScanState::Planned => return true,
            ScanState::Asked(key) | ScanState::Paused(key) => key,
        };
        self.scans
            .get(key)
            .is_some_and(|scan| scan.homes.contains(home.bit()) && (scan.at != home || !scan.cursor.has_passed(topic)))
    }

    /// A filter was unsubscribed: nobody looks for its retained messages any more.
    pub(super) fn forget_scans_of(&mut self, key: SessionKey, filter: FilterId) {
        let Some(session) = self.sessions.get_mut(key) else { return };
        let Some(scans) = session.extras.used().and_then(|extras| extras.scans.used()) else { return };
        // One that was asked for is taken away when its page comes.
        if let Some(PlannedScan { state: ScanState::Paused(scan), .. }) = scans.forget(filter) {
            self.scans.remove(scan);
        }
        session.give_memory_back();
    }

    /// The session ends: its scans find nobody.
    pub(super) fn forget_scans(&mut self, key: SessionKey) {
        let Some(session) = self.sessions.get_mut(key) else { return };
        let Some(extras) = session.extras.used() else { return };
        for plan in extras.scans.take().into_plans() {
            if let ScanState::Asked(scan) | ScanState::Paused(scan) = plan.state {
                self.scans.remove(scan);
            }
        }
    }
}
