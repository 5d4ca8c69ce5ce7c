//! One publication to all who want it on this shard: encoded once for each form, one range of recipients a form.

use std::mem;
use std::rc::Rc;

use super::Shard;
use super::deliver::{Copy, write_copy};
use super::routes::{Route, Target};
use crate::base::time::Time;
use crate::engine::auth::{Action, Decision};
use crate::engine::change::Serial;
use crate::engine::connection::ConnectionKey;
use crate::engine::homes::ShardId;
use crate::engine::limits::{
    COPIES_PER_ACKNOWLEDGED, FANOUTS_PENDING_MAX, FEW_RECEIVERS_MAX, IDS_PER_COPY, INLINE_PAYLOAD_BYTES_MAX, Overlap,
};
use crate::engine::mesh::{Mesh, RunPiece};
use crate::engine::message::{Message, Publication, SessionId, seconds_left};
use crate::engine::output::{Outputs, Recipient};
use crate::engine::session::delivery::{Delivery, Source, SubscriptionIds};
use crate::engine::session::pipeline::Outcome;
use crate::engine::session::{Link, SessionKey};
use crate::engine::stats::DropReason;
use crate::engine::subscriptions::entry::SubscriberKind;
use crate::mqtt::outgoing::{Outgoing, encode_head};
use crate::mqtt::{QoS, Topic, Version};

/// The publisher, wherever its connection is.
pub(super) type Publisher = Option<(ShardId, ConnectionKey)>;

/// A fan-out whose rest is served in later turns. Publications of the same session wait behind it.
#[derive(Debug)]
pub(super) struct Fanout {
    route: Rc<Route>,
    cargo: Cargo,
    publisher: Publisher,
    next: usize,
    /// The change by which its message was noted; [`Serial::NONE`] where nobody keeps it.
    noted: Serial,
    /// The journal had no room for it when it came.
    is_unkept: bool,
}

/// Whether a QoS 0 copy finds its receiver.
#[derive(Clone, Copy)]
enum Way {
    Open(Link),
    Full,
    /// It is above its rate, for which nobody else is slowed down.
    AboveRate,
    Away,
}

/// What a put-off fan-out brings to its recipients.
#[derive(Debug)]
pub(super) enum Cargo {
    /// One publication.
    Message(Message),
    /// A run of them, of one topic.
    Run(RunPiece),
}

impl Cargo {
    fn copies(&self) -> u64 {
        match self {
            Self::Message(_) => 1,
            Self::Run(run) => u64::from(run.count),
        }
    }
}

/// Recipients by the form of their packet: 3.x or 5.0, quality of service, RETAIN. Empty between fan-outs.
#[derive(Debug, Default)]
pub(super) struct Batches {
    recipients: [Vec<Recipient>; 12],
}

impl Batches {
    fn form(version: Version, qos: QoS, retain: bool) -> usize {
        usize::from(version == Version::V5) * 6 + usize::from(qos.bits()) * 2 + usize::from(retain)
    }
}

const FORMS: [(Version, QoS, bool); 12] = {
    const QOS: [QoS; 3] = [QoS::AtMostOnce, QoS::AtLeastOnce, QoS::ExactlyOnce];
    let mut forms = [(Version::V311, QoS::AtMostOnce, false); 12];
    let mut at = 0;
    while at < 12 {
        forms[at] = (if at < 6 { Version::V311 } else { Version::V5 }, QOS[(at % 6) / 2], at % 2 == 1);
        at += 1;
    }
    forms
};

impl Shard {
    /// Delivers to every session and group of this shard that wants it.
    pub(super) fn deliver(
        &mut self,
        publication: &mut Publication<'_>,
        publisher: Publisher,
        now: Time,
        out: &mut Outputs,
    ) -> Outcome {
        let route = self.route_of(publication.topic);
        if route.is_empty() {
            return Outcome::default();
        }
        publication.is_unkept = self.is_journal_full();
        let mut outcome = Outcome { matched: true, ..Outcome::default() };
        // [MQTT-4.6.0-6] A client's messages stay in order, also where it has begun a new session in between.
        let is_behind = self.is_behind_fanout(publication.origin, publication.topic);
        if is_behind || self.is_put_off(&route) {
            let cargo = Cargo::Message(publication.keep(&mut self.chunks).clone());
            outcome =
                if publication.is_unkept { self.outcome_unkept(&route, publication.qos) } else { Outcome::stored() };
            outcome.noted = self.put_off(&route, cargo, publisher, now, out);
        } else {
            outcome = outcome.merge(self.deliver_to_all(&route, &route.targets, publication, publisher, now, out));
        }
        self.charge(route.groups.len());
        for group in &route.groups {
            outcome = outcome.merge(self.deliver_to_group(*group, publication, publisher, now, out));
        }
        if outcome.noted {
            self.slow_down_for_journal(publisher, out);
        }
        outcome
    }

    /// Whether a message for these is served bit by bit: they are very many, or many while others of the kind wait to be sent.
    pub(super) fn is_put_off(&self, route: &Route) -> bool {
        route.targets.len() > self.limits.fanout_recipients_max || (self.pressure.is_wide_full && self.is_wide(route))
    }

    /// Whether these are many: what they get gives way to what goes to few.
    pub(super) fn is_wide(&self, route: &Route) -> bool {
        route.targets.len() > FEW_RECEIVERS_MAX.min(self.limits.fanout_recipients_max)
    }

    /// [MQTT-4.6.0-6] Whether an older publication of the same session or topic has not reached everybody yet.
    pub(super) fn is_behind_fanout(&self, origin: SessionId, topic: &str) -> bool {
        let is_before = |fanout: &Fanout| match &fanout.cargo {
            Cargo::Message(message) => message.origin == origin || message.topic() == topic,
            Cargo::Run(run) => run.origin == origin || run.topic() == topic,
        };
        !self.fanouts.is_empty() && self.fanouts.iter().any(is_before)
    }

    /// It is served turn by turn; its publisher is read again when all have it. At the bound the oldest is served first.
    /// Says whether it was noted.
    pub(super) fn put_off(
        &mut self,
        route: &Rc<Route>,
        cargo: Cargo,
        publisher: Publisher,
        now: Time,
        out: &mut Outputs,
    ) -> bool {
        while self.fanouts.len() >= FANOUTS_PENDING_MAX {
            self.go_on_with_fanout(now, out);
        }
        self.stats.ledger.routed += route.targets.len() as u64 * cargo.copies();
        let noted = match &cargo {
            Cargo::Message(message) => self.note_fanout(route, message, out),
            Cargo::Run(_) => Serial::NONE,
        };
        let is_unkept = self.is_journal_full();
        self.fanouts.push_back(Fanout { route: Rc::clone(route), cargo, publisher, next: 0, noted, is_unkept });
        if let Some((shard, publisher)) = publisher {
            self.tell(shard, Mesh::Pressure { publisher }, out);
        }
        noted != Serial::NONE
    }

    /// Serves the next piece of the oldest fan-out.
    pub(super) fn go_on_with_fanout(&mut self, now: Time, out: &mut Outputs) {
        let Some(mut fanout) = self.fanouts.pop_front() else { return };
        let end = (fanout.next + self.limits.fanout_recipients_max).min(fanout.route.targets.len());
        let targets = fanout.next..end;
        self.judge_again(&mut fanout);
        let route = Rc::clone(&fanout.route);
        // They were counted when the fan-out was put off.
        self.stats.ledger.routed -= targets.len() as u64 * fanout.cargo.copies();
        match &fanout.cargo {
            Cargo::Message(message) => {
                let mut publication = Publication::of(message);
                (publication.noted, publication.is_unkept) = (fanout.noted, fanout.is_unkept);
                self.deliver_to_all(&route, &route.targets[targets], &mut publication, fanout.publisher, now, out);
            }
            Cargo::Run(run) => self.serve_run(&route, targets, run, fanout.publisher, now, out),
        }
        fanout.next = end;
        if end < fanout.route.targets.len() {
            return self.fanouts.push_front(fanout);
        }
        self.note_fanout_done(fanout.noted, out);
        if let Some((shard, publisher)) = fanout.publisher {
            self.tell(shard, Mesh::Relief { publisher }, out);
        }
    }

    /// The messages of put-off fan-outs that were noted, with the change that did.
    pub(super) fn noted_fanouts(&self) -> Vec<(Serial, Message)> {
        let noted = |fanout: &Fanout| match &fanout.cargo {
            Cargo::Message(message) if fanout.noted != Serial::NONE => Some((fanout.noted, message.clone())),
            Cargo::Message(_) | Cargo::Run(_) => None,
        };
        self.fanouts.iter().filter_map(noted).collect()
    }

    /// Whether one of them was noted at this change or before.
    pub(super) fn has_noted_fanout(&self, upto: Serial) -> bool {
        self.fanouts.iter().any(|fanout| fanout.noted != Serial::NONE && fanout.noted <= upto)
    }

    /// Who may read what has changed since it was put off, or who somebody is: recipients that are not served yet are judged again.
    fn judge_again(&self, fanout: &mut Fanout) {
        if fanout.route.was_judged_at(self.judged()) {
            return;
        }
        let route = Rc::make_mut(&mut fanout.route);
        route.targets[fanout.next..].iter().for_each(|target| target.denied.set(self.unjudged()));
        route.is_judged_at(self.judged());
    }

    /// Another number whenever somebody may have another right to read something.
    fn judged(&self) -> u64 {
        self.policy.number().wrapping_add(self.owners_changed)
    }

    /// Copies that wait in put-off fan-outs.
    pub(super) fn fanout_copies(&self) -> u64 {
        let copies = |fanout: &Fanout| (fanout.route.targets.len() - fanout.next) as u64 * fanout.cargo.copies();
        self.fanouts.iter().map(copies).sum()
    }

    /// Who wants this topic here, from the cache or from the index.
    pub(super) fn route_of(&mut self, topic: &str) -> Rc<Route> {
        let generation = (self.index.generation(), self.judged());
        if let Some(route) = self.routes.find(topic, generation) {
            self.stats.route_hits += 1;
            return route;
        }
        self.stats.route_misses += 1;
        let route = Rc::new(self.build_route(topic, generation));
        self.routes.keep(topic, &route);
        route
    }

    fn build_route(&mut self, topic: &str, generation: (u64, u64)) -> Route {
        let mut route = Route::new(generation);
        let name = Topic::parse(topic).expect("a publication's topic was parsed");
        let visited = self.index.matches(name, &mut route.filters);
        let denied = self.unjudged();
        let mut entries = 0;
        for filter in &route.filters {
            entries += self.index.entries(*filter).len();
            for entry in self.index.entries(*filter) {
                match entry.subscriber.kind() {
                    SubscriberKind::Session(index) => {
                        let Some(session) = self.sessions.key_at(index) else { continue }; // it has departed
                        route.targets.push(Target::new(session, entry.options, denied, &mut route.ids));
                    }
                    SubscriberKind::Group(index) => {
                        route.groups.push(self.groups.key_at(index).expect("the index holds living groups only"));
                    }
                }
            }
        }
        self.charge(visited + entries);
        route.settle(self.limits.overlap);
        route
    }

    /// Whether a target is denied a topic about which nobody has asked yet: a wide route is judged piece by piece, as it is served.
    fn unjudged(&self) -> Option<bool> {
        (!self.checks_receive()).then_some(false)
    }

    /// Whether a target's owner may not read the topic.
    pub(super) fn is_denied(&self, target: &Target, topic: &str) -> bool {
        target.denied.get().unwrap_or_else(|| {
            let is_denied = !self.may_receive(target.session, topic);
            target.denied.set(Some(is_denied));
            is_denied
        })
    }

    /// The present input has caused so many copies, or work that costs as much: at its bound what follows waits for the next turn.
    pub(super) fn charge(&mut self, copies: usize) {
        self.copies_left = self.copies_left.saturating_sub(copies);
        self.caused += copies as u64;
    }

    /// Whether the session's owner may read this topic; "later" is no at this point, for nobody can wait here.
    pub(super) fn may_receive(&self, session: SessionKey, topic: &str) -> bool {
        self.sessions.get(session).is_some_and(|session| {
            let action = Action::Receive { topic };
            self.policy.decide(&session.owner, self.client_id(session), action) == Decision::Allow
        })
    }

    pub(super) fn deliver_to_all(
        &mut self,
        route: &Route,
        targets: &[Target],
        publication: &mut Publication<'_>,
        publisher: Publisher,
        now: Time,
        out: &mut Outputs,
    ) -> Outcome {
        let mut batches = mem::take(&mut self.batches);
        let mut outcome = Outcome::default();
        out.widely(self.is_wide(route), |out| {
            for target in targets {
                let delivered = if target.has_no_local && self.is_session(target.session, publication.origin) {
                    self.deliver_to_publisher(route, target, publication, &mut batches, publisher, now, out)
                } else {
                    self.deliver_to(target, target.ids(&route.ids), publication, &mut batches, publisher, now, out)
                };
                outcome = outcome.merge(delivered);
            }
            flush(&mut batches, publication, now, out);
        });
        self.batches = batches;
        outcome
    }

    fn is_session(&self, key: SessionKey, id: SessionId) -> bool {
        self.sessions.get(key).is_some_and(|session| session.id == id)
    }

    /// [MQTT-3.8.3-3] The publisher is a subscriber, and some of its subscriptions are not for its own messages.
    #[expect(clippy::too_many_arguments, reason = "a target and what a fan-out carries along")]
    fn deliver_to_publisher(
        &mut self,
        route: &Route,
        target: &Target,
        publication: &mut Publication<'_>,
        batches: &mut Batches,
        publisher: Publisher,
        now: Time,
        out: &mut Outputs,
    ) -> Outcome {
        if self.limits.overlap == Overlap::Separate {
            return Outcome::stored();
        }
        let Some(own) = route.own(target.session) else {
            return Outcome::stored();
        };
        let own = own.clone();
        own.denied.set(Some(self.is_denied(target, publication.topic)));
        self.deliver_to(&own, own.ids(&route.ids), publication, batches, publisher, now, out)
    }

    /// One copy for one session.
    #[expect(clippy::too_many_arguments, reason = "a target and what a fan-out carries along")]
    fn deliver_to(
        &mut self,
        target: &Target,
        ids: &[u32],
        publication: &mut Publication<'_>,
        batches: &mut Batches,
        publisher: Publisher,
        now: Time,
        out: &mut Outputs,
    ) -> Outcome {
        self.stats.ledger.routed += 1;
        let qos = publication.qos.min(target.qos); // [MQTT-3.8.4-8]
        let cost = if qos == QoS::AtMostOnce { 1 } else { COPIES_PER_ACKNOWLEDGED };
        self.charge(cost + ids.len() / IDS_PER_COPY);
        let Some(session) = self.sessions.get(target.session) else {
            self.stats.ledger.drop_one(DropReason::SessionEnded);
            return Outcome::default();
        };
        let link = session.link();
        let is_denied = self.is_denied(target, publication.topic);
        if is_denied || publication.expires <= now {
            let why = if is_denied { DropReason::NotAuthorized } else { DropReason::Expired };
            self.stats.ledger.drop_one(why);
            return Outcome { matched: true, stored: !is_denied, ..Outcome::default() };
        }
        let retain = publication.retain && target.retain_as_published; // [MQTT-3.3.1-12] [MQTT-3.3.1-13]
        let is_above_rate = link.is_some_and(|link| self.is_above_rate(target.session, &link, now));
        if qos == QoS::AtMostOnce {
            let way = match link {
                None => Way::Away,
                Some(_) if is_above_rate => Way::AboveRate,
                Some(link) if self.has_room_for_plain(&link, publisher, out) => Way::Open(link),
                Some(_) => Way::Full,
            };
            return self.deliver_qos0(target.session, way, ids, retain, publication, batches, now, out);
        }
        if publication.is_unkept && self.is_durable(target.session) {
            return self.refuse_copy(target.session, out);
        }
        if let Some(link) = link.filter(|link| link.is_full) {
            self.slow_down(publisher, link.connection, out);
        }
        let mut delivery = Delivery {
            message: publication.keep(&mut self.chunks).clone(),
            qos,
            retain,
            ids: SubscriptionIds::of(ids),
            source: Source::OWN,
        };
        self.note_copy(target.session, &mut delivery, Some(publication), out);
        let copy = delivery.noted().copy;
        let noted = copy != Serial::NONE;
        let Some(link) = link.filter(|link| link.is_open() && !is_above_rate) else {
            return Outcome { noted, ..self.enqueue(target.session, delivery, out) };
        };
        let session = self.sessions.get_mut(target.session).expect("it was found above");
        match session.outbound().direct(delivery) {
            Err(delivery) => Outcome { noted, ..self.enqueue(target.session, delivery, out) },
            Ok(id) if is_plain(&link, !ids.is_empty()) && !noted => {
                let recipient = Recipient { connection: link.connection, packet_id: Some(id) };
                batches.recipients[Batches::form(link.version, qos, retain)].push(recipient);
                Outcome::stored()
            }
            Ok(id) => {
                self.note_sent(target.session, copy, id, out);
                self.send_one(target.session, id, false, now, out);
                Outcome { noted, ..Outcome::stored() }
            }
        }
    }

    #[expect(clippy::too_many_arguments, reason = "a target and what a fan-out carries along")]
    fn deliver_qos0(
        &mut self,
        session: SessionKey,
        way: Way,
        ids: &[u32],
        retain: bool,
        publication: &mut Publication<'_>,
        batches: &mut Batches,
        now: Time,
        out: &mut Outputs,
    ) -> Outcome {
        let waits = match way {
            Way::Away => self.limits.queue_qos0,
            Way::Open(_) => self.has_plain_waiting(session),
            Way::Full | Way::AboveRate => false,
        };
        if waits {
            let message = publication.keep(&mut self.chunks).clone();
            let ids = SubscriptionIds::of(ids);
            let (qos, source) = (QoS::AtMostOnce, Source::OWN);
            let delivery = Delivery { message, qos, retain, ids, source };
            return self.enqueue(session, delivery, out);
        }
        let link = match way {
            Way::Open(link) => link,
            Way::Full => return self.drop_plain(DropReason::Slow),
            Way::AboveRate => return self.drop_plain(DropReason::AboveRate),
            Way::Away => return self.drop_plain(DropReason::Offline),
        };
        if is_plain(&link, !ids.is_empty()) {
            self.stats.ledger.delivered += 1;
            let recipient = Recipient { connection: link.connection, packet_id: None };
            batches.recipients[Batches::form(link.version, QoS::AtMostOnce, retain)].push(recipient);
            return Outcome::stored();
        }
        let copy = Copy::of_publication(publication, QoS::AtMostOnce, retain, ids);
        let connection = self.connections.get_mut(link.connection).expect("a link leads to a connection");
        let Some(bytes) = write_copy(connection, &link, &copy, &mut self.holdings, now, out) else {
            return self.drop_plain(DropReason::PacketTooLarge);
        };
        self.stats.ledger.delivered += 1;
        self.charge_receiver(session, &link, bytes, now);
        Outcome::stored()
    }

    /// A QoS 0 copy ends here; its publisher is owed nothing.
    fn drop_plain(&mut self, why: DropReason) -> Outcome {
        self.stats.ledger.drop_one(why);
        Outcome::stored()
    }
}

impl Shard {
    /// Whether a QoS 0 copy waits in the session's queue: a newer one must not overtake it. [MQTT-4.6.0-6]
    fn has_plain_waiting(&self, key: SessionKey) -> bool {
        let outbound = self.sessions.get(key).and_then(|session| session.outbound.as_ref());
        outbound.is_some_and(|outbound| outbound.has_plain())
    }
}

/// Whether the packet for this receiver is the same as for all others of its form.
pub(super) fn is_plain(link: &Link, has_ids: bool) -> bool {
    (!has_ids || link.version != Version::V5) && !link.is_particular
}

/// Encodes each form that has recipients, once.
fn flush(batches: &mut Batches, publication: &Publication<'_>, now: Time, out: &mut Outputs) {
    for (form, recipients) in FORMS.iter().zip(&mut batches.recipients) {
        if recipients.is_empty() {
            continue;
        }
        let (version, qos, retain) = *form;
        let outgoing = Outgoing {
            topic: publication.topic,
            topic_alias: None,
            qos,
            retain,
            dup: false,
            packet_id: recipients[0].packet_id,
            message_expiry: seconds_left(publication.expires, now),
            subscription_ids: &[],
            forwarded: publication.forwarded,
            payload_len: publication.payload.len(),
        };
        let body = publication.stored().filter(|_| publication.payload.len() > INLINE_PAYLOAD_BYTES_MAX);
        let draft = out.draft(body.map(Message::shared_payload), |bytes| {
            let head = encode_head(version, &outgoing, bytes);
            if body.is_none() {
                bytes.extend_from_slice(publication.payload);
            }
            Some(head)
        });
        out.send(draft, recipients);
        recipients.clear();
    }
}
