//! What outlives the process: changes are noted as they happen, and what promises something waits until they are kept.
//!
//! Three things promise: bytes for a client, which carry the number of the change that they wait for and are held back by
//! whoever sends them; words to other shards, which wait here; and acknowledgements that wait for such a word. Nothing else
//! waits: a shard does not stop for its journal, and whoever has nothing to do with it never hears of it.

use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;

use super::Shard;
use super::routes::Route;
use crate::engine::change::{Change, Serial, Standing};
use crate::engine::connection::ConnectionKey;
use crate::engine::homes::ShardId;
use crate::engine::input::Room;
use crate::engine::mesh::Mesh;
use crate::engine::message::{Message, Publication, SessionId};
use crate::engine::output::Outputs;
use crate::engine::session::delivery::{Delivery, Noted, Source};
use crate::engine::session::{Membership, Session, SessionKey};
use crate::mqtt::{PacketId, QoS, Topic};

/// How far the changes of a shard have come. One per shard.
#[derive(Debug, Default)]
pub(super) struct Journaling {
    /// Whether there is a journal at all.
    is_on: bool,
    /// The last change.
    made: Serial,
    /// The last change that is safe, with all before it.
    stored: Serial,
    /// Words to shards that wait for a change to be safe, in order.
    waiting: VecDeque<(Serial, ShardId, Mesh)>,
    /// What it has room for.
    pub(super) room: Room,
    /// Sessions whose search for retained messages waits for room.
    pub(super) scanners: BTreeSet<SessionKey>,
}

impl Journaling {
    /// Of a shard that has a journal, or has none.
    pub fn new(is_on: bool) -> Self {
        Self { is_on, ..Self::default() }
    }

    /// The last change.
    pub fn made(&self) -> Serial {
        self.made
    }

    /// Whether there is a journal at all.
    pub fn is_on(&self) -> bool {
        self.is_on
    }

    /// Changes of before come back: they are not noted again.
    pub fn pause(&mut self) {
        self.is_on = false;
    }

    /// They have come back, up to this one: new ones follow.
    pub fn begin(&mut self, last: Serial) {
        *self = Self { is_on: true, made: last, stored: last, ..Self::default() };
    }

    /// What the words are charged that wait.
    pub fn waiting_bytes(&self) -> usize {
        self.waiting.iter().map(|(_, _, letter)| letter.charged_bytes()).sum()
    }

    /// What is promised now waits for this change: the last one, or none where that is safe.
    pub fn pending(&self) -> Serial {
        if self.made > self.stored { self.made } else { Serial::NONE }
    }
}

impl Shard {
    /// Notes a change; its number.
    pub(super) fn note(&mut self, change: Change, out: &mut Outputs) -> Serial {
        debug_assert!(self.journaling.is_on, "without a journal nothing is durable");
        let serial = self.journaling.made.next();
        self.journaling.made = serial;
        out.changes.push((serial, change));
        serial
    }

    /// All changes up to this one are safe: the words that waited for them leave.
    pub(super) fn changes_stored(&mut self, upto: Serial, out: &mut Outputs) {
        debug_assert!(upto <= self.journaling.made, "only what was noted is kept");
        self.journaling.stored = self.journaling.stored.max(upto);
        while let Some((_, to, letter)) = self.journaling.waiting.pop_front_if(|(serial, ..)| *serial <= upto) {
            self.tell(to, letter, out);
        }
    }

    /// Tells a shard something; a word about what `is_noted` waits until all that is noted by now is safe.
    pub(super) fn tell_once(&mut self, is_noted: bool, to: ShardId, letter: Mesh, out: &mut Outputs) {
        let pending = self.journaling.pending();
        if is_noted && pending > Serial::NONE {
            self.journaling.waiting.push_back((pending, to, letter));
        } else {
            self.tell(to, letter, out);
        }
    }

    /// What a session is sent that promises something waits for all that is noted by now, if the session outlives us.
    pub(super) fn promise_to(&self, key: SessionKey) -> Serial {
        if self.is_durable(key) { self.journaling.pending() } else { Serial::NONE }
    }

    /// The same for the session of a connection.
    pub(super) fn promise_to_client(&self, key: ConnectionKey) -> Serial {
        let session = self.connections.get(key).and_then(|connection| connection.session);
        session.map_or(Serial::NONE, |session| self.promise_to(session))
    }

    /// Whether a session outlives the process.
    pub(super) fn is_durable(&self, key: SessionKey) -> bool {
        self.journaling.is_on && self.sessions.get(key).is_some_and(Session::is_lasting)
    }

    /// A session outlives its connection by so long from now on. To the journal one that does not is over.
    pub(super) fn outlive(&mut self, key: SessionKey, expiry_s: u32, out: &mut Outputs) {
        if expiry_s == 0 {
            self.forget_passages_of(key, out);
            self.note_of(key, |session| Change::SessionEnded { session }, out);
        }
        if let Some(session) = self.sessions.get_mut(key) {
            session.expiry_s = expiry_s;
        }
    }

    /// Notes how a durable session stands now.
    pub(super) fn note_standing(&mut self, key: SessionKey, out: &mut Outputs) {
        let is_durable = self.is_durable(key);
        let Some(session) = self.sessions.get(key).filter(|_| is_durable) else { return };
        let standing = Standing {
            client_id: self.client_id(session).as_str().into(),
            owner: Arc::clone(&session.owner),
            expiry_s: session.expiry_s,
            ends_at: session.ends_at(),
            is_connected: session.link().is_some(),
        };
        let session = session.id;
        self.note(Change::Session { session, standing: Box::new(standing) }, out);
    }

    /// Notes a fact about a session, if that outlives the process.
    pub(super) fn note_of(&mut self, key: SessionKey, change: impl FnOnce(SessionId) -> Change, out: &mut Outputs) {
        if self.is_durable(key)
            && let Some(session) = self.sessions.get(key)
        {
            let change = change(session.id);
            self.note(change, out);
        }
    }

    /// Notes that a durable session is owed a copy, and the message before it if no copy of it was noted yet.
    pub(super) fn note_copy(
        &mut self,
        key: SessionKey,
        delivery: &mut Delivery,
        publication: Option<&mut Publication<'_>>,
        out: &mut Outputs,
    ) {
        let is_kept = self.journaling.is_on && delivery.qos > QoS::AtMostOnce && !delivery.source.is_shared();
        let Some(session) = self.sessions.get(key).filter(|session| is_kept && session.is_lasting()) else { return };
        let session = session.id;
        let known = publication.as_ref().map_or(Serial::NONE, |publication| publication.noted);
        let body = if known == Serial::NONE {
            self.note(Change::Body { message: delivery.message.clone() }, out)
        } else {
            known
        };
        if let Some(publication) = publication {
            publication.noted = body;
        }
        let (qos, retain, ids) = (delivery.qos, delivery.retain, delivery.ids.clone());
        let copy = self.note(Change::Queued { session, body, qos, retain, ids }, out);
        delivery.source = Source::Own(Noted { copy, body });
    }

    /// Notes the will that a client has left with its CONNECT, or that the one of before is gone.
    pub(super) fn note_will(&mut self, key: SessionKey, had_will: bool, out: &mut Outputs) {
        if !self.is_durable(key) {
            return;
        }
        self.number_will(key);
        let will = self.sessions.get(key).and_then(|session| session.extras.will.clone());
        match will {
            Some(will) => self.note_of(key, |session| Change::Will { session, will }, out),
            None if had_will => self.note_of(key, |session| Change::WillGone { session }, out),
            None => {}
        }
    }

    /// Notes a membership, or its new terms.
    pub(super) fn note_joined(&mut self, key: SessionKey, membership: &Membership, out: &mut Outputs) {
        let Membership { share, filter, terms, .. } = membership;
        let joined = |session| Change::Joined { session, share: share.clone(), filter: filter.clone(), terms: *terms };
        self.note_of(key, joined, out);
    }

    /// Notes that a membership is over.
    pub(super) fn note_left(&mut self, key: SessionKey, share: &str, filter: &str, out: &mut Outputs) {
        self.note_of(key, |session| Change::Left { session, share: share.into(), filter: filter.into() }, out);
    }

    /// Notes that a message is owed to everybody who wants it now, if one of them outlives the process; the number of the message.
    pub(super) fn note_fanout(&mut self, route: &Route, message: &Message, out: &mut Outputs) -> Serial {
        let is_kept = !self.is_journal_full()
            && message.qos > QoS::AtMostOnce
            && route.targets.iter().any(|target| self.is_durable(target.session));
        if !is_kept {
            return Serial::NONE;
        }
        let body = self.note(Change::Body { message: message.clone() }, out);
        self.note(Change::Fanout { body }, out);
        let key = self.stowage.begin_fanout(body, message.clone());
        out.stowed.push((body, key));
        body
    }

    /// Notes that all of them have it.
    pub(super) fn note_fanout_done(&mut self, body: Serial, out: &mut Outputs) {
        if body != Serial::NONE && self.journaling.is_on {
            self.note(Change::FannedOut { body }, out);
            self.stowage.end_fanout(body);
        }
    }

    /// Notes under which identifier a copy leaves for the first time.
    pub(super) fn note_sent(&mut self, key: SessionKey, copy: Serial, id: PacketId, out: &mut Outputs) {
        if copy != Serial::NONE {
            self.note_of(key, |session| Change::Sent { session, copy, id }, out);
        }
    }

    /// Notes that the client has a copy of quality of service 2.
    pub(super) fn note_taken(&mut self, key: SessionKey, delivery: &Delivery, id: PacketId, out: &mut Outputs) {
        let copy = delivery.noted().copy;
        if copy != Serial::NONE {
            self.note_of(key, |session| Change::Taken { session, copy, id }, out);
        }
    }

    /// Notes that a message is the retained one of its topic, and whose it is; whether somebody keeps that.
    pub(super) fn note_retained_as(&mut self, noted: Serial, message: &Message, out: &mut Outputs) -> bool {
        if !self.journaling.is_on {
            return false;
        }
        let is_known = noted != Serial::NONE;
        let body = if is_known { noted } else { self.note(Change::Body { message: message.clone() }, out) };
        let user = self.owners.of(message.topic()).cloned();
        self.note(Change::Retained { body, user }, out);
        true
    }

    /// Notes that a topic has no retained message any more.
    pub(super) fn note_retained_gone(&mut self, topic: Topic<'_>, out: &mut Outputs) {
        if self.journaling.is_on {
            self.note(Change::RetainedGone { topic: topic.as_str().into() }, out);
        }
    }

    /// Notes that a copy is settled, one way or another.
    pub(super) fn note_settled(&mut self, key: SessionKey, delivery: &Delivery, out: &mut Outputs) {
        let copy = delivery.noted().copy;
        if copy != Serial::NONE {
            self.note_of(key, |session| Change::Settled { session, copy }, out);
        }
    }
}
