//! Everything that a shard was told after a restart, told again to shards of another number.
//!
//! This happens before anybody is served. The shard that knows it is then gone; whoever takes its place knows the same, under new
//! numbers.
//!
//! Which shards a message of quality of service 2 had reached when the process ended says nothing of the new ones. Of a client that had
//! left it is known whether it had reached all. Where it is not, and of one that was there until the end, what the client sends again
//! is delivered again, rather than not at all. So is a will that was on its way.

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::sync::Arc;

use super::Shard;
use crate::base::hash::{Map, map};
use crate::base::time::Time;
use crate::engine::change::{Change, Serial, Standing};
use crate::engine::homes::{Homes, ShardId};
use crate::engine::message::{Message, SessionId};
use crate::engine::output::{Outputs, Wanted};
use crate::engine::retained::{Cursor, Progress};
use crate::engine::session::SessionKey;
use crate::engine::session::delivery::{Delivery, Stub, SubscriptionIds, WaitingRef};
use crate::engine::subscriptions::entry::Subscriber;
use crate::mqtt::{PacketId, QoS};

/// What may go along or stay behind.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Subject<'a> {
    /// The session of this client, with all that belongs to it.
    Client(&'a str),
    /// The retained message of this topic.
    Topic(&'a str),
}

/// Where everything goes.
#[derive(Clone, Copy, Debug)]
pub struct Destination<'a> {
    /// Who lives where from now on.
    pub homes: &'a Homes,
    /// Sessions that have numbers there already: those that come are numbered behind them.
    pub numbered: u64,
}

/// Who takes it in.
pub trait Movers {
    /// Whether this goes along.
    fn takes(&mut self, subject: Subject<'_>) -> bool;

    /// A piece of it, for this shard; its number there.
    fn note(&mut self, home: ShardId, change: Change) -> Serial;

    /// The message that lies here in the journal of the shard that moves out, unless that has lost it.
    fn read(&mut self, wanted: Wanted) -> Option<Message>;
}

/// Copies of shared groups on their way. What a member has for good goes with its session and is owed to no group; which that is, is
/// known when all shards have told what they know. One for all shards of a broker.
#[derive(Debug, Default)]
pub struct Loans {
    /// Where a group's copy went, and its number there.
    moved: BTreeMap<(ShardId, Serial), (ShardId, Serial)>,
    /// What members have for good.
    assigned: Vec<(ShardId, Serial)>,
}

impl Loans {
    /// All shards of the broker have moved out: groups are not owed what members have.
    pub fn settle<M: Movers>(self, movers: &mut M) {
        for copy in self.assigned {
            if let Some((home, copy)) = self.moved.get(&copy).copied() {
                movers.note(home, Change::GroupSettled { copy });
            }
        }
    }
}

/// A move under way.
struct Removal<'a, M> {
    to: Destination<'a>,
    movers: &'a mut M,
    /// Messages that several copies share: the number that each has on a shard.
    told: Map<(ShardId, Serial), Serial>,
}

/// A copy as it is told.
struct Copy<'a> {
    message: &'a Message,
    /// The number of the message on the shard that moves out.
    body: Serial,
    qos: QoS,
    retain: bool,
    ids: SubscriptionIds,
}

impl Shard {
    /// Tells all that was restored to the shards where it lives from now on, piece by piece; each piece is numbered there. How many
    /// sessions have numbers then.
    ///
    /// # Panics
    /// When the shard serves clients already.
    pub fn move_out<M: Movers>(mut self, now: Time, to: Destination<'_>, loans: &mut Loans, movers: &mut M) -> u64 {
        assert!(self.connections.is_empty(), "who moves out has no clients");
        let mut out = Outputs::new(to.homes.shards());
        self.journaling.pause();
        let (keys, fanouts) = self.unfold(now);
        for (body, message, served) in fanouts {
            self.finish_fanout(body, &message, &served, &mut out);
        }
        let mut removal = Removal { to, movers, told: map(self.seed) };
        for (key, was_connected) in keys {
            self.move_session(key, was_connected, &mut removal);
        }
        self.move_groups(loans, &mut removal);
        self.move_bequests(&mut removal);
        self.move_retained(&mut removal);
        let sessions = to.numbered + self.serial;
        for home in to.homes.all() {
            removal.movers.note(home, Change::Swept { sessions });
        }
        sessions
    }

    fn move_session<M: Movers>(&self, key: SessionKey, was_connected: bool, removal: &mut Removal<'_, M>) {
        let Some(session) = self.sessions.get(key) else { return };
        let client_id = self.client_id(session).as_str();
        if !removal.movers.takes(Subject::Client(client_id)) {
            return;
        }
        let (id, home) = (session.id.after(removal.to.numbered), removal.to.homes.client(client_id));
        let mut note = |home, change| removal.movers.note(home, change);
        let standing = Standing {
            client_id: client_id.into(),
            owner: Arc::clone(&session.owner),
            expiry_s: session.expiry_s,
            ends_at: session.ends_at(),
            is_connected: false,
        };
        note(home, Change::Session { session: id, standing: Box::new(standing) });
        for filter in session.filters() {
            let mut text = String::new();
            self.index.write_text(*filter, &mut text);
            let options = self.index.options(*filter, Subscriber::session(key.index()));
            let options = options.expect("a session is subscribed to its filters");
            note(home, Change::Subscribed { session: id, filter: text.into(), options });
        }
        for membership in session.extras.shared.iter() {
            let (share, filter) = (membership.share.clone(), membership.filter.clone());
            note(home, Change::Joined { session: id, share, filter, terms: membership.terms });
        }
        if let Some(mut will) = session.extras.will.clone() {
            will.number = will.number.after(removal.to.numbered);
            note(home, Change::Will { session: id, will });
        }
        // Of some nobody knows which shards had its message: what the client sends again under it is a new one.
        let is_everywhere = |open: &PacketId| !was_connected && !self.passages.is_doubtful(key, *open);
        for open in session.extras.received.ids().filter(|open| self.is_alone() || is_everywhere(open)) {
            note(home, Change::Incoming { session: id, id: open });
            for other in removal.to.homes.all().filter(|other| *other != home) {
                note(other, Change::Passed { session: id, id: open });
            }
        }
        self.move_copies(key, home, removal);
    }

    fn move_copies<M: Movers>(&self, key: SessionKey, home: ShardId, removal: &mut Removal<'_, M>) {
        let Some(session) = self.sessions.get(key) else { return };
        let (Some(outbound), id) = (session.outbound.as_ref(), session.id.after(removal.to.numbered)) else { return };
        let mut open: Vec<(PacketId, Option<&Delivery>)> =
            outbound.open_ids().map(|id| (id, outbound.inflight(id))).collect();
        // In the order in which they were sent.
        open.sort_unstable_by_key(|(id, delivery)| (delivery.map(|delivery| delivery.noted().copy), *id));
        for (packet_id, delivery) in open {
            match delivery {
                Some(delivery) => {
                    let copy = removal.delivery(home, id, delivery);
                    removal.movers.note(home, Change::Sent { session: id, copy, id: packet_id });
                }
                None => {
                    removal.movers.note(home, Change::Taken { session: id, copy: Serial::NONE, id: packet_id });
                }
            }
        }
        for queued in (0..outbound.queued_count()).filter_map(|place| outbound.queued(place)) {
            match queued {
                WaitingRef::Whole(delivery) if queued.is_plain() || delivery.source.is_shared() => {}
                WaitingRef::Whole(delivery) => {
                    removal.delivery(home, id, delivery);
                }
                WaitingRef::Stowed(stub) => self.move_stub(stub, id, home, removal),
            }
        }
    }

    /// A copy whose message has to be read. What the journal has lost stays behind.
    fn move_stub<M: Movers>(&self, stub: &Stub, session: SessionId, home: ShardId, removal: &mut Removal<'_, M>) {
        let stowed = self.stowage.key_at(stub.stowed);
        let (body, spot) = self.stowage.get(stowed);
        let Some(message) = spot.and_then(|spot| removal.movers.read(Wanted { body, spot })) else { return };
        let ids = self.stowage.ids_of(stub);
        let copy = Copy { message: &message, body, qos: stub.qos, retain: stub.retain, ids };
        removal.copy(home, session, copy, self.stowage.is_shared(stowed));
    }

    fn move_groups<M: Movers>(&self, loans: &mut Loans, removal: &mut Removal<'_, M>) {
        let mut numbers = BTreeMap::new();
        for (key, group) in self.groups.iter() {
            let (share, filter) = (group.share().into(), group.filter().into());
            let home = removal.to.homes.group(group.share(), group.filter());
            numbers.insert(key.to_bits(), (home, removal.movers.note(home, Change::Group { share, filter })));
        }
        for (copy, owed) in self.lending.owed_from(Serial::NONE) {
            let (home, group) = numbers[&owed.group.to_bits()];
            let body = removal.body(home, owed.body, &owed.message, owed.message.is_shared());
            let moved = removal.movers.note(home, Change::GroupQueued { group, body });
            loans.moved.insert((self.id, copy), (home, moved));
        }
        loans.assigned.extend(self.lending.assigned());
    }

    /// Which shards had a will that was on its way says nothing of the new ones: it goes to everybody.
    fn move_bequests<M: Movers>(&self, removal: &mut Removal<'_, M>) {
        for (number, bequest) in self.bequests.all() {
            let home = removal.to.homes.topic(bequest.message.topic());
            let body = removal.body(home, bequest.body, &bequest.message, true);
            removal.movers.note(home, Change::Fanout { body });
            removal.movers.note(home, Change::Bequest { number: number.after(removal.to.numbered), body });
        }
    }

    fn move_retained<M: Movers>(&self, removal: &mut Removal<'_, M>) {
        let mut cursor = Cursor::default();
        loop {
            let mut messages: Vec<Message> = Vec::new();
            let progress = self.retained.walk(&mut cursor, u32::MAX, |_, message| {
                messages.push(message.clone());
                ControlFlow::Continue(())
            });
            for mut message in messages {
                if !removal.movers.takes(Subject::Topic(message.topic())) {
                    continue;
                }
                let (home, user) = (removal.to.homes.topic(message.topic()), self.owners.of(message.topic()).cloned());
                message.origin = message.origin.after(removal.to.numbered);
                let body = removal.movers.note(home, Change::Body { message });
                removal.movers.note(home, Change::Retained { body, user });
            }
            if matches!(progress, Progress::Done) {
                return;
            }
        }
    }
}

impl<M: Movers> Removal<'_, M> {
    fn delivery(&mut self, home: ShardId, session: SessionId, delivery: &Delivery) -> Serial {
        let Delivery { message, qos, retain, ids, .. } = delivery;
        let copy = Copy { message, body: delivery.noted().body, qos: *qos, retain: *retain, ids: ids.clone() };
        self.copy(home, session, copy, message.is_shared())
    }

    /// Tells a copy, after its message where that is not known there; the number of the copy.
    fn copy(&mut self, home: ShardId, session: SessionId, copy: Copy<'_>, is_shared: bool) -> Serial {
        let Copy { message, body, qos, retain, ids } = copy;
        let body = self.body(home, body, message, is_shared);
        self.movers.note(home, Change::Queued { session, body, qos, retain, ids })
    }

    /// Tells a message where it is not known there; its number there.
    fn body(&mut self, home: ShardId, body: Serial, message: &Message, is_shared: bool) -> Serial {
        let known = (home, body);
        let told = self.told.get(&known).copied();
        let body = told.unwrap_or_else(|| {
            let mut message = message.clone();
            message.origin = message.origin.after(self.to.numbered);
            self.movers.note(home, Change::Body { message })
        });
        if known.1 != Serial::NONE && is_shared {
            self.told.insert(known, body);
        }
        body
    }
}
