//! Wills: published when their delay is over, on every shard once.
//!
//! On the shard of the client that its will is gone and what its own subscribers are owed is noted together. Other shards commit at
//! other times, and a power cut may leave one with the will and another without. So a will of a session that outlives the process has a
//! number of its own, which was safe long before it is due; under it each shard takes it once, as it takes a message of quality of
//! service 2 (see `passages.rs`). Its home notes that it is *bequeathed*, asks the other shards, and after a restart asks again, until
//! all have it safely. Then they are told to forget the number.
//!
//! After a restart no will is published before every shard has spoken, and those that were on their way are sent again, some in each turn, before
//! all others. Clients come in behind that: what they say then is no older than their last wills.

use std::collections::{BTreeMap, VecDeque};

use super::Shard;
use super::asked_wills::Testator;
use super::routing::{Routing, Waiter};
use crate::base::bitset::Bits64;
use crate::base::time::Time;
use crate::engine::change::{Change, Serial};
use crate::engine::event::Event;
use crate::engine::homes::ShardId;
use crate::engine::limits::COPIES_PER_PACKET;
use crate::engine::mesh::{Mesh, RoutingKey};
use crate::engine::message::{Message, Once, Passage, Publication, SessionId};
use crate::engine::output::Outputs;
use crate::engine::session::SessionKey;
use crate::engine::session::will::Will;
use crate::mqtt::QoS;

/// Wills of sessions that live here, on their way to other shards. One per shard.
#[derive(Debug, Default)]
pub(super) struct Bequests {
    open: BTreeMap<SessionId, Bequest>,
    /// Numbers up to this one are of before a restart: nobody knows which shards remember them.
    known_before: u64,
    /// After a restart: those that were on their way and have not been sent again, in their order.
    again: VecDeque<SessionId>,
}

/// What other shards have to have.
#[derive(Clone, Debug)]
pub(super) struct Bequest {
    /// The change by which its message is known.
    pub body: Serial,
    /// The message.
    pub message: Message,
}

impl Bequests {
    /// All of them, by their numbers.
    pub fn all(&self) -> impl Iterator<Item = (SessionId, &Bequest)> {
        self.open.iter().map(|(number, bequest)| (*number, bequest))
    }

    /// The one of this number, while it is on its way.
    pub fn get(&self, number: SessionId) -> Option<&Bequest> {
        self.open.get(&number)
    }

    /// One is there again after a restart.
    pub fn restore(&mut self, number: SessionId, bequest: Bequest) {
        self.open.insert(number, bequest);
    }

    /// All are there, and these are all numbers that were given before the restart.
    pub fn restored(&mut self, serial: u64) {
        self.known_before = serial;
        self.again = self.open.keys().copied().collect();
    }

    /// Whether some of before a restart have not been sent again.
    pub fn are_waiting(&self) -> bool {
        !self.again.is_empty()
    }
}

impl Shard {
    /// Gives the will of a session the number under which other shards know it.
    pub(super) fn number_will(&mut self, key: SessionKey) {
        let Some(will) = self.sessions.get_mut(key).and_then(|session| session.will_mut()) else { return };
        if will.number == SessionId::BROKER {
            self.serial += 1;
            will.number = SessionId::new(self.id, self.serial);
        }
    }

    /// Publishes the will of an absent client whose delay is over.
    pub(super) fn publish_due_will(&mut self, key: SessionKey, now: Time, out: &mut Outputs) {
        let Some(session) = self.sessions.get_mut(key) else { return };
        if session.will_mut().is_none_or(|will| will.due_at > now) {
            return;
        }
        if let Some(will) = session.take_will() {
            self.note_of(key, |session| Change::WillGone { session }, out);
            self.publish_will(key, &will, now, out); // [MQTT-3.1.2-10] once
        }
    }

    /// Publishes a will that may be published.
    pub(super) fn send_will(&mut self, testator: &Testator, will: &Will, now: Time, out: &mut Outputs) {
        let (id, owner) = (testator.session, self.owner_of_retained(will.retain, &testator.owner));
        // A client's last wills stay in order. Where nobody comes in before all of them are sent, none waits here.
        while let Some(number) = self.bequests.again.pop_front() {
            self.send_bequest(number, now, out);
        }
        let topic = will.topic();
        let mut publication = Publication::new(topic.as_str(), will.forwarded(), will.payload(), will.qos, id);
        publication.retain = will.retain; // [MQTT-3.1.2-14] [MQTT-3.1.2-15]
        publication.owner = owner;
        if let Some(seconds) = will.message_expiry_s {
            publication.expires = now.after_seconds(seconds);
        }
        let routing = self.bequeath(testator.is_durable, will, &mut publication, out);
        let outcome = self.route(&mut publication, None, routing, now, out);
        if let Some(routing) = routing {
            self.stored(routing, outcome, 0, now, out);
        }
        self.stats.journal_refusals.wills += u64::from(self.is_journal_full() && outcome.refused);
        self.stats.wills_published += 1;
        out.events.push(Event::WillPublished { session: id });
    }

    /// A will that other shards have to have is noted as theirs; who waits for them.
    fn bequeath(
        &mut self,
        is_durable: bool,
        will: &Will,
        publication: &mut Publication<'_>,
        out: &mut Outputs,
    ) -> Option<RoutingKey> {
        let is_kept = will.qos > QoS::AtMostOnce && is_durable && !self.is_journal_full();
        if will.number == SessionId::BROKER || !is_kept || !self.goes_elsewhere(publication) {
            return None;
        }
        let (number, message) = (will.number, publication.keep(&mut self.chunks).clone());
        let body = self.note(Change::Body { message: message.clone() }, out);
        self.note(Change::Bequest { number, body }, out);
        self.bequests.open.insert(number, Bequest { body, message });
        publication.noted = body;
        publication.once = Some(once(number));
        Some(self.routings.insert(Routing::new(Waiter::Bequest(number))))
    }

    /// Whether another shard has to do with a publication.
    fn goes_elsewhere(&mut self, publication: &Publication<'_>) -> bool {
        let wanted = self.wanting_shards(publication.topic);
        self.is_retained_elsewhere(publication) || !wanted.difference(Bits64::of(self.id.bit())).is_empty()
    }

    /// All other shards have a will safely: they need not remember that.
    pub(super) fn bequest_stored(&mut self, number: SessionId, passed: Bits64, out: &mut Outputs) {
        if self.bequests.open.remove(&number).is_none() {
            return;
        }
        self.note(Change::BequestOver { number }, out);
        let is_of_before = number.serial() <= self.bequests.known_before;
        let others = self.homes.all_bits().difference(Bits64::of(self.id.bit()));
        let passage = Passage::of_will(number);
        for to in (if is_of_before { others } else { passed }).iter().map(ShardId::of_bit) {
            self.tell_once(true, to, Mesh::Forget { passage, reply: None }, out);
        }
    }

    /// Whether a will of this number is on its way.
    pub(super) fn is_bequest(&self, number: SessionId) -> bool {
        self.bequests.open.contains_key(&number)
    }

    /// After a restart every shard knows its subscriptions again: wills that were on their way are sent to all others once more, as far as this
    /// input may go. Whether there are more.
    pub(super) fn bequeath_again(&mut self, now: Time, out: &mut Outputs) -> bool {
        if self.lending.awaits_members() {
            return false; // whoever is the last to speak brings it on
        }
        let reserve = self.reserve();
        while self.may_cause_more(reserve)
            && let Some(number) = self.bequests.again.pop_front()
        {
            self.charge(COPIES_PER_PACKET);
            self.send_bequest(number, now, out);
        }
        self.bequests.are_waiting()
    }

    fn send_bequest(&mut self, number: SessionId, now: Time, out: &mut Outputs) {
        let Some(message) = self.bequests.get(number).map(|bequest| bequest.message.clone()) else { return };
        let routing = self.routings.insert(Routing::new(Waiter::Bequest(number)));
        let mut publication = Publication::of(&message);
        (publication.is_again, publication.once) = (true, Some(once(number)));
        let outcome = self.route(&mut publication, None, Some(routing), now, out);
        self.stored(routing, outcome, 0, now, out);
    }
}

fn once(number: SessionId) -> Once {
    Once { passage: Passage::of_will(number), may_have_come: true }
}
