//! Everything that is held is noted again, piece by piece, so that the journal may drop what it wrote before.
//!
//! A *sweep* begins behind some change. Whatever holds is told again while it goes on, and when it is over and safe, nothing that was
//! written before it began is needed any more.
//!
//! What happens to a session before its turn comes is noted as ever; to somebody who reads the journal from where the sweep began it
//! says nothing, since the session is not known there yet. So a session is told as it is when its turn comes, and the sweep is over
//! only when every fan-out is over of which a copy may have been made and settled before that.
//!
//! It goes through what changes under its hands, so the ways are chosen such that nothing slips past: lists whose last element
//! fills a gap are walked backwards, and a session's queue comes before its window, since copies move from the one into the other.
//! What comes twice is told twice; that changes nothing after a restart.

use std::collections::VecDeque;
use std::ops::ControlFlow;

use super::Shard;
use super::wills::Bequest;
use crate::base::hash::{Map, Seed, map};
use crate::engine::change::{Change, Serial};
use crate::engine::homes::ShardId;
use crate::engine::limits::{FETCH_BYTES_MAX, FETCH_COPIES_MAX};
use crate::engine::message::{Message, Passage, SessionId};
use crate::engine::output::{Fetch, Outputs, Reader, Wanted};
use crate::engine::retained::{Cursor, Progress};
use crate::engine::session::delivery::{Delivery, Noted, Stub, WaitingRef};
use crate::engine::session::{Session, SessionKey};
use crate::engine::stowage::StowKey;
use crate::engine::subscriptions::entry::Subscriber;
use crate::engine::subscriptions::group::Group;
use crate::mqtt::PacketId;

/// What a short change costs of an allowance, in bytes.
const CHANGE_BYTES: usize = 48;
/// What it costs to look at a place where no durable session is.
const LOOK_BYTES: usize = 1;

/// A sweep under way. One per shard at most.
#[derive(Debug)]
pub(super) struct Sweep {
    /// What was noted behind this change is in the newer part of the journal.
    began: Serial,
    /// Messages that several copies share and that were told again.
    told: Map<Serial, ()>,
    /// The same of what is stowed.
    told_stowed: Map<StowKey, ()>,
    /// Stowed messages that were read to be told again; none where the journal has lost one.
    fetched: Map<Serial, Option<Message>>,
    /// They are being read: nothing goes on before.
    is_fetching: bool,
    stage: Stage,
}

/// What comes next.
#[derive(Debug)]
enum Stage {
    /// The messages of put-off fan-outs, which later copies name.
    Fanouts,
    /// Wills on their way to other shards, by their numbers.
    Bequests(VecDeque<SessionId>),
    /// What has crossed shards.
    Passages(VecDeque<Passage>),
    /// What members have of groups for good.
    Assigned(VecDeque<(ShardId, Serial)>),
    /// The shared group at this place of the slab.
    Groups(u32),
    /// What groups are owed from this change on, and up to another one.
    Owed(Serial, Serial),
    /// Retained messages.
    Retained(Cursor),
    /// The session at this place of the slab, and what of it.
    Sessions(u32, Option<(SessionId, Part)>),
    /// Fan-outs up to this one have to be over.
    End(Serial),
}

/// What of a session comes next.
#[derive(Clone, Copy, Debug)]
enum Part {
    /// So many of its plain subscriptions are left, then what is short.
    Filters(usize),
    /// So many of the copies that were never sent are left.
    Queue(usize),
    /// What is open under this identifier or a higher one.
    Window(PacketId),
}

/// Bytes that may still be noted.
struct Allowance(usize);

impl Allowance {
    fn is_left(&self) -> bool {
        self.0 > 0
    }

    fn spend(&mut self, bytes: usize) {
        self.0 = self.0.saturating_sub(bytes);
    }
}

impl Sweep {
    fn new(began: Serial, seed: Seed) -> Self {
        Self {
            began,
            told: map(seed),
            told_stowed: map(seed),
            fetched: map(seed),
            is_fetching: false,
            stage: Stage::Fanouts,
        }
    }
}

impl Shard {
    /// Notes again about so many bytes of what is held. The first call begins a sweep; [`Outputs::swept`] says when it is over.
    pub(super) fn sweep(&mut self, bytes: usize, out: &mut Outputs) {
        if !self.journaling.is_on() {
            return;
        }
        let (began, seed) = (self.journaling.made(), self.seed);
        let mut sweep = self.sweeping.take().unwrap_or_else(|| Box::new(Sweep::new(began, seed)));
        let mut allowance = Allowance(bytes);
        while allowance.is_left() && !sweep.is_fetching {
            sweep.stage = match std::mem::replace(&mut sweep.stage, Stage::Fanouts) {
                Stage::Fanouts => self.retell_fanouts(&mut sweep, &mut allowance, out),
                Stage::Bequests(left) => self.retell_bequests(&mut sweep, left, &mut allowance, out),
                Stage::Passages(left) => self.retell_passages(left, &mut allowance, out),
                Stage::Assigned(left) => self.retell_assigned(left, &mut allowance, out),
                Stage::Groups(index) => self.retell_group(index, &mut allowance, out),
                Stage::Owed(from, upto) => self.retell_owed(&mut sweep, from, upto, &mut allowance, out),
                Stage::Retained(cursor) => self.retell_retained(cursor, &mut allowance, out),
                Stage::Sessions(index, within) => self.retell_session(&mut sweep, index, within, &mut allowance, out),
                Stage::End(last) if self.has_noted_fanout(last) => {
                    sweep.stage = Stage::End(last);
                    break;
                }
                Stage::End(_) => {
                    self.note(Change::Swept { sessions: self.serial }, out);
                    out.swept = Some(sweep.began);
                    return;
                }
            };
        }
        self.sweeping = Some(sweep);
    }

    fn retell_fanouts(&mut self, sweep: &mut Sweep, allowance: &mut Allowance, out: &mut Outputs) -> Stage {
        for (body, message) in self.noted_fanouts() {
            let record = self.retell_body(body, &message, allowance, out);
            sweep.told.insert(body, ());
            out.stowed.extend(self.stowage.find(body).map(|stowed| (record, stowed)));
        }
        Stage::Bequests(self.bequests.all().map(|(number, _)| number).collect())
    }

    /// Those that have begun since are in the newer part of the journal, and of those that are over it says so.
    fn retell_bequests(
        &mut self,
        sweep: &mut Sweep,
        mut left: VecDeque<SessionId>,
        allowance: &mut Allowance,
        out: &mut Outputs,
    ) -> Stage {
        while allowance.is_left() {
            let Some(number) = left.pop_front() else { return self.passages_to_retell() };
            let Some(Bequest { body, message }) = self.bequests.get(number).cloned() else { continue };
            if !sweep.told.contains_key(&body) {
                self.retell_body(body, &message, allowance, out);
                sweep.told.insert(body, ());
            }
            allowance.spend(CHANGE_BYTES);
            self.note(Change::Bequest { number, body }, out);
        }
        Stage::Bequests(left)
    }

    fn passages_to_retell(&self) -> Stage {
        let mut passages: Vec<_> = self.passages.come().collect();
        passages.sort_unstable(); // a hash map's order must not show
        Stage::Passages(passages.into())
    }

    fn retell_passages(&mut self, mut left: VecDeque<Passage>, allowance: &mut Allowance, out: &mut Outputs) -> Stage {
        while allowance.is_left() {
            let Some(passage) = left.pop_front() else {
                return Stage::Assigned(self.lending.assigned().collect());
            };
            if self.passages.is_known(passage) {
                let Passage { session, id } = passage;
                allowance.spend(CHANGE_BYTES);
                self.note(Change::Passed { session, id }, out);
            }
        }
        Stage::Passages(left)
    }

    fn retell_assigned(
        &mut self,
        mut left: VecDeque<(ShardId, Serial)>,
        allowance: &mut Allowance,
        out: &mut Outputs,
    ) -> Stage {
        while allowance.is_left() {
            let Some((home, copy)) = left.pop_front() else { return Stage::Groups(0) };
            if self.lending.is_assigned(home, copy) {
                allowance.spend(CHANGE_BYTES);
                self.note(Change::Assigned { home, copy }, out);
            }
        }
        Stage::Assigned(left)
    }

    fn retell_group(&mut self, index: u32, allowance: &mut Allowance, out: &mut Outputs) -> Stage {
        if index >= self.groups.index_bound() {
            return Stage::Owed(Serial::NONE, self.journaling.made());
        }
        let group = self.groups.key_at(index).and_then(|key| self.groups.get(key));
        let Some(group) = group.filter(|group| group.noted() != Serial::NONE) else {
            allowance.spend(LOOK_BYTES);
            return Stage::Groups(index + 1);
        };
        let (noted, share, filter): (_, Box<str>, Box<str>) =
            (group.noted(), group.share().into(), group.filter().into());
        allowance.spend(CHANGE_BYTES + share.len() + filter.len());
        self.note(Change::GroupAgain { group: noted, share, filter }, out);
        Stage::Groups(index + 1)
    }

    /// They are gone through by their numbers, for in its group a copy moves to and fro. Those noted since all groups were told are in
    /// the newer part of the journal, as they are.
    fn retell_owed(
        &mut self,
        sweep: &mut Sweep,
        from: Serial,
        upto: Serial,
        allowance: &mut Allowance,
        out: &mut Outputs,
    ) -> Stage {
        let mut from = from;
        while allowance.is_left() {
            let next = self.lending.owed_from(from).next().filter(|(copy, _)| *copy <= upto);
            let Some((copy, owed)) = next else { return Stage::Retained(Cursor::default()) };
            let (key, body, message) = (owed.group, owed.body, owed.message.clone());
            let group = self.groups.get(key).map_or(Serial::NONE, Group::noted);
            if !sweep.told.contains_key(&body) {
                self.retell_body(body, &message, allowance, out);
                sweep.told.insert(body, ());
            }
            allowance.spend(CHANGE_BYTES);
            self.note(Change::GroupQueuedAgain { copy, group, body }, out);
            from = copy.next();
        }
        Stage::Owed(from, upto)
    }

    fn retell_retained(&mut self, mut cursor: Cursor, allowance: &mut Allowance, out: &mut Outputs) -> Stage {
        const TOPICS_MAX: u32 = 64;
        let mut messages: Vec<Message> = Vec::new();
        let progress = self.retained.walk(&mut cursor, TOPICS_MAX, |_, message| {
            allowance.spend(message.charged_bytes());
            messages.push(message.clone());
            if allowance.is_left() { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
        });
        for message in messages {
            let user = self.owners.of(message.topic()).cloned();
            let body = self.note(Change::Body { message }, out);
            self.note(Change::Retained { body, user }, out);
        }
        match progress {
            Progress::More => Stage::Retained(cursor),
            Progress::Done => Stage::Sessions(0, None),
        }
    }

    fn retell_session(
        &mut self,
        sweep: &mut Sweep,
        index: u32,
        within: Option<(SessionId, Part)>,
        allowance: &mut Allowance,
        out: &mut Outputs,
    ) -> Stage {
        if index >= self.sessions.index_bound() {
            return Stage::End(self.journaling.made());
        }
        let key = self.sessions.key_at(index).filter(|key| self.is_durable(*key) || self.has_stubs(*key));
        let Some((key, session)) = key.and_then(|key| Some((key, self.sessions.get(key)?))) else {
            allowance.spend(LOOK_BYTES);
            return Stage::Sessions(index + 1, None);
        };
        let id = session.id;
        // Whoever has taken the place of another one was noted as a whole.
        let part = match within {
            Some((of, part)) if of == id => Some(part),
            Some(_) => None,
            None => {
                let filters = session.filters().len();
                allowance.spend(CHANGE_BYTES + self.client_ids.get(session.client_id).len());
                self.note_standing(key, out);
                Some(Part::Filters(filters))
            }
        };
        let part = part.and_then(|part| self.retell_part(sweep, key, part, allowance, out));
        part.map_or(Stage::Sessions(index + 1, None), |part| Stage::Sessions(index, Some((id, part))))
    }

    /// Tells a part of a session, as far as the allowance reaches; what is to come after that.
    fn retell_part(
        &mut self,
        sweep: &mut Sweep,
        key: SessionKey,
        part: Part,
        allowance: &mut Allowance,
        out: &mut Outputs,
    ) -> Option<Part> {
        match part {
            Part::Filters(left) => Some(self.retell_filters(key, left, allowance, out)),
            Part::Queue(left) => Some(self.retell_queue(sweep, key, left, allowance, out)),
            Part::Window(from) => self.retell_window(sweep, key, from, allowance, out),
        }
    }

    fn retell_filters(&mut self, key: SessionKey, left: usize, allowance: &mut Allowance, out: &mut Outputs) -> Part {
        let mut left = left.min(self.sessions.get(key).map_or(0, |session| session.filters().len()));
        let mut text = String::new();
        while left > 0 && allowance.is_left() {
            left -= 1;
            let Some(filter) = self.sessions.get(key).and_then(|it| it.filters().get(left).copied()) else {
                break;
            };
            text.clear();
            self.index.write_text(filter, &mut text);
            let options = self.index.options(filter, Subscriber::session(key.index()));
            let options = options.expect("a session is subscribed to its filters");
            allowance.spend(CHANGE_BYTES + text.len());
            self.note_of(key, |session| Change::Subscribed { session, filter: text.as_str().into(), options }, out);
        }
        if left > 0 {
            return Part::Filters(left);
        }
        self.retell_what_is_short(key, allowance, out);
        Part::Queue(usize::MAX)
    }

    /// Memberships, the will, and identifiers that the client has not released.
    fn retell_what_is_short(&mut self, key: SessionKey, allowance: &mut Allowance, out: &mut Outputs) {
        let Some(session) = self.sessions.get(key) else { return };
        let memberships = session.extras.shared.to_vec();
        let open: Vec<PacketId> = session.extras.received.ids().collect();
        allowance.spend((memberships.len() + open.len() + 1) * CHANGE_BYTES);
        for membership in &memberships {
            self.note_joined(key, membership, out);
        }
        self.note_will(key, false, out);
        for id in open {
            let is_doubtful = self.passages.is_doubtful(key, id);
            let incoming =
                |session| if is_doubtful { Change::Doubtful { session, id } } else { Change::Incoming { session, id } };
            self.note_of(key, incoming, out);
        }
    }

    fn retell_queue(
        &mut self,
        sweep: &mut Sweep,
        key: SessionKey,
        left: usize,
        allowance: &mut Allowance,
        out: &mut Outputs,
    ) -> Part {
        let queued = |session: &Session| session.outbound.as_ref().map_or(0, |outbound| outbound.queued_count());
        let mut left = left.min(self.sessions.get(key).map_or(0, queued));
        while left > 0 && allowance.is_left() {
            if self.stub_at(key, left - 1).is_some() {
                if !self.retell_stub(sweep, key, left - 1, allowance, out) {
                    return Part::Queue(left); // its message comes later
                }
            } else if let Some(delivery) = self.whole_at(key, left - 1) {
                let (is_shared, delivery) = (delivery.message.is_shared(), delivery.clone());
                self.retell_copy(sweep, key, &delivery, is_shared, allowance, out);
            }
            left -= 1;
        }
        if left > 0 { Part::Queue(left) } else { Part::Window(PacketId::MIN) }
    }

    fn retell_window(
        &mut self,
        sweep: &mut Sweep,
        key: SessionKey,
        from: PacketId,
        allowance: &mut Allowance,
        out: &mut Outputs,
    ) -> Option<Part> {
        let outbound = self.sessions.get(key)?.outbound.as_ref()?;
        let mut open: Vec<PacketId> = outbound.open_ids().filter(|id| *id >= from).collect();
        open.sort_unstable();
        for id in open {
            if !allowance.is_left() {
                return Some(Part::Window(id));
            }
            let outbound = self.sessions.get(key)?.outbound.as_ref()?;
            let open = outbound.inflight(id).map(|delivery| (delivery.message.is_shared(), delivery.clone()));
            allowance.spend(CHANGE_BYTES);
            match open {
                Some((is_shared, delivery)) => {
                    self.retell_copy(sweep, key, &delivery, is_shared, allowance, out);
                    self.note_sent(key, delivery.noted().copy, id, out);
                }
                None => self.note_of(key, |session| Change::Taken { session, copy: Serial::NONE, id }, out),
            }
        }
        None
    }

    /// Notes a copy again, and its message, once in a sweep where several copies share it.
    fn retell_copy(
        &mut self,
        sweep: &mut Sweep,
        key: SessionKey,
        delivery: &Delivery,
        is_shared: bool,
        allowance: &mut Allowance,
        out: &mut Outputs,
    ) {
        let Noted { copy, mut body } = delivery.noted();
        if copy == Serial::NONE || !self.is_durable(key) {
            return;
        }
        if body == Serial::NONE {
            // What a group has lent is alone in the hands of the session.
            allowance.spend(delivery.message.charged_bytes());
            body = self.note(Change::Body { message: delivery.message.clone() }, out);
        } else if !sweep.told.contains_key(&body) {
            self.retell_body(body, &delivery.message, allowance, out);
            if is_shared {
                sweep.told.insert(body, ());
            }
        }
        let (qos, retain, ids) = (delivery.qos, delivery.retain, delivery.ids.clone());
        allowance.spend(CHANGE_BYTES);
        self.note_of(key, |session| Change::QueuedAgain { copy, session, body, qos, retain, ids }, out);
    }

    /// Notes a message again; the number of that change.
    fn retell_body(&mut self, body: Serial, message: &Message, allowance: &mut Allowance, out: &mut Outputs) -> Serial {
        allowance.spend(message.charged_bytes());
        self.note(Change::BodyAgain { body, message: message.clone() }, out)
    }

    /// Notes a copy again whose message is stowed, and its message; asks for that where it has to be read, and says so with `false`.
    fn retell_stub(
        &mut self,
        sweep: &mut Sweep,
        key: SessionKey,
        place: usize,
        allowance: &mut Allowance,
        out: &mut Outputs,
    ) -> bool {
        let Some(stub) = self.stub_at(key, place) else { return true };
        let (copy, qos, retain) = (stub.copy, stub.qos, stub.retain);
        let ids = self.stowage.ids_of(stub);
        let stowed = self.stowage.key_at(stub.stowed);
        let (body, _) = self.stowage.get(stowed);
        if !sweep.told_stowed.contains_key(&stowed) {
            let unwritten = self.stowage.unwritten(stowed).cloned().map(Some);
            let message = match unwritten.or_else(|| sweep.fetched.remove(&body)) {
                Some(Some(message)) => message,
                Some(None) => return true, // it is found out when somebody wants it
                None => {
                    self.fetch_to_retell(sweep, key, place, out);
                    return false;
                }
            };
            let record = self.retell_body(body, &message, allowance, out);
            out.stowed.push((record, stowed));
            if self.stowage.is_shared(stowed) {
                sweep.told_stowed.insert(stowed, ());
            }
        }
        allowance.spend(CHANGE_BYTES);
        self.note_of(key, |session| Change::QueuedAgain { copy, session, body, qos, retain, ids }, out);
        true
    }

    /// Asks for the messages of stubs, of this one and of those that are told after it.
    fn fetch_to_retell(&mut self, sweep: &mut Sweep, key: SessionKey, place: usize, out: &mut Outputs) {
        sweep.fetched.clear();
        sweep.is_fetching = true;
        let (mut wanted, mut bytes) = (Vec::new(), 0);
        for place in (0..=place).rev().take(FETCH_COPIES_MAX) {
            let Some(stub) = self.stub_at(key, place) else { break };
            let stowed = self.stowage.key_at(stub.stowed);
            let (body, Some(spot)) = self.stowage.get(stowed) else { break };
            bytes += u64::from(spot.bytes);
            if !sweep.told_stowed.contains_key(&stowed) {
                wanted.push(Wanted { body, spot });
            }
            if bytes > FETCH_BYTES_MAX {
                break;
            }
        }
        out.fetches.push(Fetch { reader: Reader::Sweep, wanted });
    }

    /// Messages have come that the sweep has asked for.
    pub(super) fn swept_messages(&mut self, messages: Vec<(Serial, Option<Message>)>) {
        if let Some(sweep) = &mut self.sweeping {
            sweep.fetched.extend(messages);
            sweep.is_fetching = false;
        }
    }

    fn stub_at(&self, key: SessionKey, place: usize) -> Option<&Stub> {
        match self.sessions.get(key)?.outbound.as_ref()?.queued(place)? {
            WaitingRef::Stowed(stub) => Some(stub),
            WaitingRef::Whole(_) => None,
        }
    }

    fn whole_at(&self, key: SessionKey, place: usize) -> Option<&Delivery> {
        match self.sessions.get(key)?.outbound.as_ref()?.queued(place)? {
            WaitingRef::Stowed(_) => None,
            WaitingRef::Whole(delivery) => Some(delivery),
        }
    }

    /// Whether a session is owed what is stowed, also if it does not outlive the process any more.
    fn has_stubs(&self, key: SessionKey) -> bool {
        let outbound = self.sessions.get(key).and_then(|session| session.outbound.as_ref());
        outbound.is_some_and(|outbound| outbound.queue().has_rest())
    }
}
