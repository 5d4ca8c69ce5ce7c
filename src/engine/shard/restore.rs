//! After a restart: the changes of before are given back in their order, and what they say is there again.
//!
//! Nobody is connected while this goes on, and nothing is delivered. A change that names what is not there, because a
//! damaged record was set aside, changes nothing: what stands alone is kept, what hangs on the lost record is not.
//!
//! Messages that queues wait for are not all kept in memory meanwhile: above the budget it is enough to know where each one lies. Those
//! that are needed at once are asked for at the end ([`Shard::wanted`]).

mod bequests;
mod groups;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use self::groups::RestoringGroups;
use super::Shard;
use crate::base::hash::{Map, Seed, map};
use crate::base::time::Time;
use crate::engine::change::{Change, Serial, Standing};
use crate::engine::homes::ShardId;
use crate::engine::message::{Message, Passage, Publication, SessionId};
use crate::engine::output::{Outputs, Wanted};
use crate::engine::session::delivery::{Delivery, Noted, Source, Stub, SubscriptionIds};
use crate::engine::session::outbound::Outbound;
use crate::engine::session::{Membership, Session, SessionKey};
use crate::engine::stowage::{Spot, StowKey};
use crate::engine::subscriptions::entry::Options;
use crate::mqtt::{Filter, PacketId, QoS, Topic};

/// What is known of sessions and messages while changes come back. One per shard, gone when the last one has come.
#[derive(Debug)]
pub(super) struct Restoring {
    bodies: Map<Serial, Body>,
    /// The newest of them: only this one can still be named for the first time.
    newest: Serial,
    sessions: Map<SessionId, Unfolded>,
    /// Messages that the present sweep has told again: copies that name them may follow.
    again: Vec<Serial>,
    /// Messages that are owed to everybody, and who has a copy.
    fanouts: BTreeMap<Serial, BTreeSet<SessionId>>,
    /// Wills that other shards have to have, by their numbers, and their messages.
    bequests: BTreeMap<SessionId, Serial>,
    /// Bytes of messages that are in memory, and how many may be.
    held: u64,
    budget: u64,
    groups: RestoringGroups,
    last: Serial,
}

/// A message, and how many copies name it.
#[derive(Debug)]
struct Body {
    /// None where it is enough to know where it lies.
    message: Option<Message>,
    spot: Option<Spot>,
    /// Where it is stowed, once a queue has a stub of it.
    stowed: Option<StowKey>,
    named: u32,
}

/// A session and its copies that are not settled.
#[derive(Debug)]
struct Unfolded {
    key: SessionKey,
    is_connected: bool,
    /// In the order of their numbers.
    copies: VecDeque<Owed>,
    /// Identifiers whose messages the client has, and that are not completed.
    released: Vec<PacketId>,
}

/// A message that is owed to everybody who wants it, the number of its body, and who has a copy.
pub(super) type Owing = (Serial, Message, BTreeSet<SessionId>);

/// A copy that is not settled.
#[derive(Debug)]
struct Owed {
    noted: Noted,
    qos: QoS,
    retain: bool,
    ids: SubscriptionIds,
    /// Under which identifier it has left.
    is_sent_as: Option<PacketId>,
}

impl Restoring {
    /// Nothing has come back yet.
    pub fn new(budget: u64, seed: Seed) -> Self {
        Self {
            held: 0,
            budget,
            bodies: map(seed),
            newest: Serial::NONE,
            sessions: map(seed),
            again: Vec::new(),
            fanouts: BTreeMap::new(),
            bequests: BTreeMap::new(),
            groups: RestoringGroups::new(seed),
            last: Serial::NONE,
        }
    }

    fn body(&mut self, serial: Serial, message: Message, spot: Option<Spot>) {
        let newest = self.newest;
        if self.bodies.get(&newest).is_some_and(|body| body.named == 0) {
            self.forget(newest);
        }
        self.insert(serial, message, spot);
        self.newest = serial;
        self.let_go(newest); // whatever names it from now on knows its number only
    }

    fn body_again(&mut self, serial: Serial, message: Message, spot: Option<Spot>) {
        match self.bodies.get_mut(&serial) {
            Some(known) => known.spot = spot.or(known.spot),
            None => self.insert(serial, message, spot),
        }
        self.bodies.get_mut(&serial).expect("it was just made").named += 1;
        self.again.push(serial);
        self.let_go(serial);
    }

    fn insert(&mut self, serial: Serial, message: Message, spot: Option<Spot>) {
        self.held += message.charged_bytes() as u64;
        self.bodies.insert(serial, Body { message: Some(message), spot, stowed: None, named: 0 });
    }

    fn forget(&mut self, serial: Serial) {
        let message = self.bodies.remove(&serial).and_then(|body| body.message);
        self.held -= message.map_or(0, |message| message.charged_bytes() as u64);
    }

    /// Above the budget memory does not hold a message of which it is known where it lies.
    fn let_go(&mut self, serial: Serial) {
        if self.held <= self.budget || serial == self.newest {
            return;
        }
        let Some(body) = self.bodies.get_mut(&serial).filter(|body| body.spot.is_some()) else { return };
        let message = body.message.take();
        self.held -= message.map_or(0, |message| message.charged_bytes() as u64);
    }

    /// Messages that are needed before anybody is served: what was sent before, and what everybody, a group or another shard is owed.
    fn wanted(&self) -> Vec<Wanted> {
        let copies = self.sessions.values().flat_map(|unfolded| &unfolded.copies);
        let sent = copies.filter(|owed| owed.is_sent_as.is_some()).map(|owed| owed.noted.body);
        let owed = self.fanouts.keys().chain(self.bequests.values()).copied().chain(self.owed_to_groups());
        let mut bodies: Vec<Serial> = sent.chain(owed).collect();
        bodies.sort_unstable();
        bodies.dedup();
        let away = |body: Serial| {
            let spot = self.bodies.get(&body).filter(|known| known.message.is_none())?.spot?;
            Some(Wanted { body, spot })
        };
        bodies.into_iter().filter_map(away).collect()
    }

    /// Whatever is owed of what was told again has been named by now.
    fn swept(&mut self) {
        for body in std::mem::take(&mut self.again) {
            self.unname(body);
        }
    }

    fn unname(&mut self, serial: Serial) {
        let Some(body) = self.bodies.get_mut(&serial) else { return };
        body.named -= 1;
        if body.named == 0 && serial != self.newest {
            self.forget(serial);
        }
    }

    fn fan_out(&mut self, body: Serial) {
        if let Some(named) = self.bodies.get_mut(&body) {
            named.named += 1;
            self.fanouts.insert(body, BTreeSet::new());
        }
    }

    fn fanned_out(&mut self, body: Serial) {
        if self.fanouts.remove(&body).is_some() {
            self.unname(body);
        }
    }

    /// A session is owed a copy, or it is told again that it is.
    fn owe(&mut self, session: SessionId, noted: Noted, qos: QoS, retain: bool, ids: SubscriptionIds) {
        let Some(unfolded) = self.sessions.get_mut(&session) else { return };
        let Err(place) = unfolded.place_of(noted.copy) else { return }; // it has been told again
        let Some(named) = self.bodies.get_mut(&noted.body) else { return };
        named.named += 1;
        if let Some(served) = self.fanouts.get_mut(&noted.body) {
            served.insert(session);
        }
        unfolded.copies.insert(place, Owed { noted, qos, retain, ids, is_sent_as: None });
    }

    /// A copy has left under an identifier.
    fn sent(&mut self, session: SessionId, copy: Serial, id: PacketId) {
        let Some(unfolded) = self.sessions.get_mut(&session) else { return };
        if let Ok(place) = unfolded.place_of(copy) {
            unfolded.copies[place].is_sent_as = Some(id);
        }
    }

    /// The client has a copy, and its identifier is not completed.
    fn taken(&mut self, session: SessionId, copy: Serial, id: PacketId) {
        self.settle(session, copy);
        if let Some(unfolded) = self.sessions.get_mut(&session).filter(|one| !one.released.contains(&id)) {
            unfolded.released.push(id);
        }
    }

    fn completed(&mut self, session: SessionId, id: PacketId) {
        if let Some(unfolded) = self.sessions.get_mut(&session) {
            unfolded.released.retain(|released| *released != id);
        }
    }

    /// A copy is not owed any more.
    fn settle(&mut self, session: SessionId, copy: Serial) {
        let Some(unfolded) = self.sessions.get_mut(&session) else { return };
        let Ok(place) = unfolded.place_of(copy) else { return };
        if let Some(owed) = unfolded.copies.remove(place) {
            self.unname(owed.noted.body);
        }
    }
}

impl Shard {
    /// Takes back a change of before the restart, and where its record lies. They come in the order of their numbers, before anything
    /// else.
    ///
    /// # Panics
    /// When the shard serves clients already.
    pub fn restore(&mut self, serial: Serial, change: Change, spot: Option<Spot>, out: &mut Outputs) {
        assert!(self.connections.is_empty(), "what was is restored before clients come");
        let (budget, seed) = (self.stowage.budget(), self.seed);
        let mut restoring = self.restoring.take().unwrap_or_else(|| Box::new(Restoring::new(budget, seed)));
        restoring.last = restoring.last.max(serial);
        self.journaling.pause();
        match change {
            Change::Session { session, standing } => self.restore_session(&mut restoring, session, *standing),
            Change::SessionEnded { session } => self.restore_end(&mut restoring, session, out),
            Change::Subscribed { session, filter, options } => {
                self.restore_subscription(&restoring, session, &filter, options);
            }
            Change::Unsubscribed { session, filter } => self.restore_unsubscribed(&restoring, session, &filter, out),
            Change::Joined { session, share, filter, terms } => self.with(&restoring, session, |session| {
                session.extras.shared.retain(|known| !known.is(&share, &filter));
                session.extras.shared.push(Membership { share, filter, terms, asked: None });
            }),
            Change::Left { session, share, filter } => self.with(&restoring, session, |session| {
                session.reduce_extras(|extras| extras.shared.retain(|known| !known.is(&share, &filter)));
            }),
            Change::Will { session, will } => {
                self.serial = self.serial.max(will.number.serial());
                self.with(&restoring, session, |session| session.set_will(Some(will)));
            }
            Change::WillGone { session } => self.with(&restoring, session, |session| session.set_will(None)),
            Change::Bequest { number, body } => self.restore_bequest(&mut restoring, number, body),
            Change::BequestOver { number } => self.restore_bequest_over(&mut restoring, number),
            Change::Incoming { session, id } => self.restore_incoming(&restoring, session, id, false),
            Change::Doubtful { session, id } => self.restore_incoming(&restoring, session, id, true),
            Change::Released { session, id } => self.restore_released(&restoring, session, id),
            Change::Body { message } => restoring.body(serial, message, spot),
            Change::BodyAgain { body, message } => restoring.body_again(body, message, spot),
            Change::Fanout { body } => restoring.fan_out(body),
            Change::FannedOut { body } => restoring.fanned_out(body),
            Change::Queued { session, body, qos, retain, ids } => {
                restoring.owe(session, Noted { copy: serial, body }, qos, retain, ids);
            }
            Change::QueuedAgain { copy, session, body, qos, retain, ids } => {
                restoring.owe(session, Noted { copy, body }, qos, retain, ids);
            }
            Change::Sent { session, copy, id } => restoring.sent(session, copy, id),
            Change::Settled { session, copy } => restoring.settle(session, copy),
            Change::Taken { session, copy, id } => restoring.taken(session, copy, id),
            Change::Completed { session, id } => restoring.completed(session, id),
            Change::Passed { session, id } => self.passages.restore(Passage { session, id }),
            Change::Forgotten { session, id } => self.passages.restore_forgotten(Passage { session, id }),
            Change::Group { share, filter } => self.restore_group(&mut restoring, serial, &share, &filter),
            Change::GroupAgain { group, share, filter } => self.restore_group(&mut restoring, group, &share, &filter),
            Change::GroupEnded { share, filter } => self.restore_group_end(&mut restoring, &share, &filter),
            Change::GroupQueued { group, body } => restoring.owe_to_group(serial, group, body),
            Change::GroupQueuedAgain { copy, group, body } => restoring.owe_to_group(copy, group, body),
            Change::GroupSettled { copy } => restoring.settle_of_group(copy),
            Change::Assigned { home, copy } => self.lending.restore_assigned(home, copy),
            Change::Unassigned { home, copy } => self.lending.restore_unassigned(home, copy),
            Change::Retained { body, user } => self.restore_retained(&restoring, body, user.as_deref()),
            Change::RetainedGone { topic } => self.restore_retained_gone(&topic),
            Change::Swept { sessions } => {
                self.serial = self.serial.max(sessions);
                restoring.swept();
            }
        }
        self.restoring = Some(restoring);
    }

    fn restore_session(&mut self, restoring: &mut Restoring, id: SessionId, standing: Standing) {
        let Standing { client_id, owner, expiry_s, ends_at, is_connected } = standing;
        // Most sessions of a broker without passwords are nobody's: one identity for all of them.
        let owner = if *owner == *self.anonymous { Arc::clone(&self.anonymous) } else { owner };
        self.serial = self.serial.max(id.serial());
        let known = restoring.key_of(id);
        let key = known.unwrap_or_else(|| {
            let key = self.keep_session(id, &client_id, Arc::clone(&owner));
            self.count_session(key, &owner, Time::ZERO);
            key
        });
        self.has_restored = true;
        let Some(session) = self.sessions.get_mut(key) else { return };
        session.owner = owner;
        session.expiry_s = expiry_s;
        session.stay_until(ends_at);
        let unfolded = restoring.sessions.entry(id).or_insert_with(|| Unfolded {
            key,
            is_connected,
            copies: VecDeque::new(),
            released: Vec::new(),
        });
        unfolded.is_connected = is_connected;
    }

    fn restore_end(&mut self, restoring: &mut Restoring, id: SessionId, out: &mut Outputs) {
        let Some(unfolded) = restoring.sessions.remove(&id) else { return };
        for owed in unfolded.copies {
            restoring.unname(owed.noted.body);
        }
        self.passages.end_doubts(unfolded.key);
        self.forget_session(unfolded.key, out);
    }

    /// A session goes without a word: nobody has heard of it yet.
    fn forget_session(&mut self, key: SessionKey, out: &mut Outputs) {
        let Some(session) = self.sessions.get_mut(key) else { return };
        if let Some(extras) = session.extras.used() {
            extras.shared.take();
        }
        let filters = self.leave_all(key, out);
        self.take_out(key, filters);
        self.depart(key, Vec::new());
    }

    fn restore_subscription(&mut self, restoring: &Restoring, session: SessionId, filter: &str, options: Options) {
        let (Some(key), Ok(filter)) = (restoring.key_of(session), Filter::parse(filter)) else { return };
        let is_known = self.is_subscribed(key, filter);
        self.subscribe_plain(key, filter, options, is_known);
    }

    fn restore_unsubscribed(&mut self, restoring: &Restoring, session: SessionId, filter: &str, out: &mut Outputs) {
        if let (Some(key), Ok(filter)) = (restoring.key_of(session), Filter::parse(filter)) {
            self.give_up_plain(key, filter, out);
        }
    }

    /// Changes a session, if it is there.
    fn with(&mut self, restoring: &Restoring, id: SessionId, change: impl FnOnce(&mut Session)) {
        if let Some(session) = restoring.key_of(id).and_then(|key| self.sessions.get_mut(key)) {
            change(session);
        }
    }

    /// A message of quality of service 2 has come from the client.
    fn restore_incoming(&mut self, restoring: &Restoring, session: SessionId, id: PacketId, is_doubtful: bool) {
        let Some(key) = restoring.key_of(session) else { return };
        let Some(session) = self.sessions.get_mut(key) else { return };
        session.extras.received.publish(id);
        session.extras.received.stored(id);
        self.passages.set_doubt(key, id, is_doubtful);
    }

    /// Its identifier is free.
    fn restore_released(&mut self, restoring: &Restoring, session: SessionId, id: PacketId) {
        let Some(key) = restoring.key_of(session) else { return };
        let Some(session) = self.sessions.get_mut(key) else { return };
        session.reduce_extras(|extras| _ = extras.received.release(id));
        self.passages.set_doubt(key, id, false);
    }

    fn restore_retained(&mut self, restoring: &Restoring, body: Serial, user: Option<&str>) {
        // It is the newest one, which memory holds.
        let message = restoring.bodies.get(&body).and_then(|body| body.message.clone());
        let Some(message) = message else { return };
        let Ok(topic) = Topic::parse(message.topic()) else { return };
        self.own_restored(topic, user, &message);
        self.set_retained(topic, message.clone());
    }

    fn restore_retained_gone(&mut self, topic: &str) {
        if let Ok(topic) = Topic::parse(topic) {
            self.remove_retained(topic);
        }
    }

    /// Messages that are needed before [`Self::restored`] or [`Self::move_out`], and where they lie.
    pub fn wanted(&self) -> Vec<Wanted> {
        self.restoring.as_ref().map_or_else(Vec::new, |restoring| restoring.wanted())
    }

    /// One of them.
    pub fn found(&mut self, body: Serial, message: Message) {
        let restoring = self.restoring.as_mut().expect("it was asked for");
        if let Some(body) = restoring.bodies.get_mut(&body) {
            restoring.held += message.charged_bytes() as u64;
            body.message = Some(message);
        }
    }

    /// All changes have come back: sessions get their queues and windows, time counts again, and new changes are numbered behind
    /// this one.
    pub fn restored(&mut self, after: Serial, now: Time, out: &mut Outputs) {
        let last = self.restoring.as_ref().map_or(Serial::NONE, |restoring| restoring.last);
        debug_assert!(after >= last, "no number is given twice");
        self.journaling.begin(after);
        self.await_members();
        let (keys, fanouts) = self.unfold(now);
        for (key, was_connected) in keys {
            self.awaken(key, was_connected, out);
        }
        for (body, message, served) in fanouts {
            self.finish_fanout(body, &message, &served, out);
        }
        self.ask_for_claims(out);
        self.finish_joining_again(out);
        self.settle(false, now, out);
    }

    /// A shard has spoken after a restart. After the last one time goes on for what waited for them: until then a will does not find
    /// everybody who wants it.
    pub(super) fn shard_is_back(&mut self, from: ShardId, now: Time, out: &mut Outputs) {
        if self.members_are_back(from, now, out) && (self.bequeath_again(now, out) || self.sweep_sessions(now, out)) {
            out.wake_at = Some(now);
        }
    }

    /// Whether time stands still for sessions: not all shards know their subscriptions again, or wills of before are not on their way. Whoever comes
    /// in now may be ahead of his own last will.
    pub fn awaits_others(&self) -> bool {
        self.lending.awaits_members() || self.bequests.are_waiting()
    }

    /// Gives the sessions their queues and windows. Which they are, and whether their clients were there; and what is still owed to
    /// everybody.
    pub(super) fn unfold(&mut self, now: Time) -> (Vec<(SessionKey, bool)>, Vec<Owing>) {
        let (budget, seed) = (self.stowage.budget(), self.seed);
        let mut restoring = self.restoring.take().unwrap_or_else(|| Box::new(Restoring::new(budget, seed)));
        restoring.swept(); // a sweep that was under way ends here
        let mut sessions: Vec<(SessionId, Unfolded)> = restoring.sessions.drain().collect();
        sessions.sort_unstable_by_key(|(id, _)| *id); // a hash map's order must not show
        let keys = sessions.iter().map(|(_, unfolded)| (unfolded.key, unfolded.is_connected)).collect();
        for (_, unfolded) in sessions {
            self.unfold_session(unfolded, &mut restoring.bodies, now);
        }
        self.unfold_groups(&mut restoring);
        self.unfold_bequests(&mut restoring);
        let bodies = &restoring.bodies;
        let message_of = |body| bodies.get(&body).and_then(|body| body.message.clone());
        let fanouts = restoring.fanouts.into_iter();
        let fanouts = fanouts.filter_map(|(body, served)| Some((body, message_of(body)?, served)));
        (keys, fanouts.collect())
    }

    /// A message that was owed to everybody when the process ended: who has no copy gets one.
    pub(super) fn finish_fanout(
        &mut self,
        body: Serial,
        message: &Message,
        served: &BTreeSet<SessionId>,
        out: &mut Outputs,
    ) {
        let route = self.route_of(message.topic());
        for target in &route.targets {
            let Some(session) = self.sessions.get(target.session) else { continue };
            let is_excluded = target.has_no_local && session.id == message.origin;
            if served.contains(&session.id) || is_excluded || self.is_denied(target, message.topic()) {
                continue;
            }
            let qos = message.qos.min(target.qos);
            let retain = message.retain && target.retain_as_published;
            let ids = SubscriptionIds::of(target.ids(&route.ids));
            let mut delivery = Delivery { message: message.clone(), qos, retain, ids, source: Source::OWN };
            let mut publication = Publication::of(message);
            publication.noted = body;
            self.stats.ledger.routed += 1;
            self.note_copy(target.session, &mut delivery, Some(&mut publication), out);
            let _nobody_waits_for_it = self.enqueue(target.session, delivery, out);
        }
        self.note_fanout_done(body, out);
    }

    fn unfold_session(&mut self, unfolded: Unfolded, bodies: &mut Map<Serial, Body>, now: Time) {
        let Unfolded { key, is_connected, copies, released } = unfolded;
        let outbound = self.fold(copies, &released, bodies);
        self.stats.ledger.routed += outbound.copies() as u64;
        let Some(session) = self.sessions.get_mut(key) else { return };
        session.outbound = (!outbound.is_empty()).then(|| Box::new(outbound));
        if let Some(extras) = session.extras.used() {
            extras.received.connection_lost();
        }
        if is_connected {
            // The connection ended with the process.
            session.disconnect(now);
            if let Some(will) = session.will_mut() {
                will.due_at = now.after_seconds(will.delay_s);
            }
        }
    }

    /// What a session has to send: what was sent before, then PUBREL packets, then what never was. A queue is served in its order, so
    /// what was sent stands before what was not.
    fn fold(&mut self, copies: VecDeque<Owed>, released: &[PacketId], bodies: &mut Map<Serial, Body>) -> Outbound {
        let mut outbound = Outbound::new();
        for owed in copies {
            let Some(body) = bodies.get_mut(&owed.noted.body) else { continue };
            match owed.is_sent_as {
                // One that could not be read is lost.
                Some(id) => body.message.iter().for_each(|message| outbound.restore_sent(id, owed.delivery(message))),
                None => self.fold_waiting(owed, body, &mut outbound),
            }
        }
        for id in released {
            outbound.restore_released(*id);
        }
        outbound
    }

    /// A copy that was never sent, with its message if memory has room for it.
    fn fold_waiting(&mut self, owed: Owed, body: &mut Body, outbound: &mut Outbound) {
        if let Some(message) = &body.message {
            let delivery = owed.delivery(message);
            if body.spot.is_none() || !self.stowage.is_full_for(delivery.held_bytes()) {
                self.stowage.holds(0, delivery.held_bytes());
                return outbound.restore_queued(delivery);
            }
        }
        let Some(spot) = body.spot else { return };
        let stowed = *body.stowed.get_or_insert_with(|| self.stowage.restore(owed.noted.body, spot));
        self.stowage.owe(stowed);
        let charged = Message::charge_of(spot.bytes);
        let Owed { noted, qos, retain, ids, .. } = owed;
        let (stub, many) = Stub::new(noted.copy, stowed.index(), charged, qos, retain, ids);
        self.stowage.keep_ids(noted.copy, many);
        outbound.restore_stub(stub);
    }

    /// Time counts again for a session, and others hear of it.
    fn awaken(&mut self, key: SessionKey, was_connected: bool, out: &mut Outputs) {
        let Some(session) = self.sessions.get(key) else { return };
        let open: Vec<PacketId> = session.extras.received.ids().collect();
        for id in open {
            self.restore_passage(key, id);
            if was_connected {
                self.note_doubt(key, id, out);
            }
        }
        if was_connected {
            // From now on its time runs, and that of its will.
            self.note_standing(key, out);
            self.note_will(key, false, out);
        }
        self.look_at_session(key);
        self.join_again(key, out);
    }
}

impl Unfolded {
    /// Where a copy stands, or would stand.
    fn place_of(&self, copy: Serial) -> Result<usize, usize> {
        self.copies.binary_search_by_key(&copy, |owed| owed.noted.copy)
    }
}

impl Owed {
    fn delivery(&self, message: &Message) -> Delivery {
        let Self { noted, qos, retain, ref ids, .. } = *self;
        Delivery { message: message.clone(), qos, retain, ids: ids.clone(), source: Source::Own(noted) }
    }
}

impl Restoring {
    fn key_of(&self, session: SessionId) -> Option<SessionKey> {
        self.sessions.get(&session).map(|unfolded| unfolded.key)
    }
}
