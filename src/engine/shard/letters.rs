//! What other shards say, and back-pressure: who is slowed down by whom, and for how long.

use std::collections::BTreeSet;

use super::Shard;
use super::fanout::Publisher;
use crate::base::hash::{Map, Seed, map};
use crate::base::time::Time;
use crate::engine::change::Serial;
use crate::engine::connection::{ConnectionKey, Hold};
use crate::engine::event::Cause;
use crate::engine::homes::ShardId;
use crate::engine::limits::BACKLOG_OVERRUN_MAX;
use crate::engine::mesh::{Mesh, RunPiece};
use crate::engine::message::{Message, Once, Publication};
use crate::engine::output::Outputs;
use crate::engine::session::Link;
use crate::engine::session::pipeline::{Outcome, Ticket};
use crate::engine::stats::Limit;
use crate::engine::subscriptions::shared::GroupKey;
use crate::mqtt::Reason;

/// Receivers that cannot take more for the moment, and the publishers that wait for them.
///
/// A receiver may slow its publishers down only while it makes progress: one that takes less than
/// [`PROGRESS_BYTES`] in the configured patience holds nobody back any more, and its QoS 0 is dropped.
#[derive(Debug)]
pub(super) struct Pressure {
    receivers: Map<ConnectionKey, Receiver>,
    /// For how many of them, and for the journal, each publisher waits.
    publishers: Map<(ShardId, ConnectionKey), u32>,
    /// Publishers of this shard that wait because the way to a shard is full; a publisher knows for which.
    for_shards: Vec<(ShardId, ConnectionKey)>,
    /// Publishers of any shard that wait because what they cause here finds no room on the way to a shard.
    for_ways: BTreeSet<(ShardId, (ShardId, ConnectionKey))>,
    /// Groups with something for members behind a full way.
    groups: BTreeSet<GroupKey>,
    /// No more of what goes to many may wait to be sent.
    pub is_wide_full: bool,
    /// Publishers that wait because the journal is tight.
    for_journal: BTreeSet<(ShardId, ConnectionKey)>,
    /// When the receivers are looked at again.
    next_sweep: Time,
}

impl Pressure {
    /// Nobody is slowed down.
    pub fn new(seed: Seed) -> Self {
        Self {
            receivers: map(seed),
            publishers: map(seed),
            for_shards: Vec::new(),
            for_ways: BTreeSet::new(),
            groups: BTreeSet::new(),
            is_wide_full: false,
            for_journal: BTreeSet::new(),
            next_sweep: Time::ZERO,
        }
    }

    /// Whether nothing reaches a receiver any more.
    pub fn is_broken(&self, receiver: ConnectionKey) -> bool {
        self.receivers.get(&receiver).is_some_and(|receiver| receiver.is_broken)
    }

    /// When somebody has to look at the receivers again.
    pub fn next_look(&self) -> Option<Time> {
        (!self.receivers.is_empty()).then_some(self.next_sweep)
    }
}

/// A receiver with unsent bytes, or one that nothing reaches.
#[derive(Debug)]
struct Receiver {
    waiting: BTreeSet<(ShardId, ConnectionKey)>,
    is_full: bool,
    /// Whether it has used up the patience of its publishers.
    is_stalled: bool,
    /// Bytes taken since the last look.
    taken: u32,
    looked_at: Time,
    /// When it last took anything at all.
    moved_at: Time,
    /// It will take nothing any more.
    is_broken: bool,
}

impl Receiver {
    fn new(now: Time) -> Self {
        Self {
            waiting: BTreeSet::new(),
            is_full: false,
            is_stalled: false,
            taken: 0,
            looked_at: now,
            moved_at: now,
            is_broken: false,
        }
    }
}

/// What a full receiver must take within the patience to go on slowing its publishers down.
const PROGRESS_BYTES: u32 = 64 * 1024;

impl Shard {
    /// One message of another shard, or of this one to itself. What is left of a run that is too much for this input comes back.
    pub(super) fn letter(&mut self, from: ShardId, letter: Mesh, now: Time, out: &mut Outputs) -> Option<Mesh> {
        match letter {
            Mesh::Forward { message, reply, publisher, stamp, once } => {
                let publisher = publisher.map(|key| (from, key));
                self.note_retained(from, stamp);
                let (outcome, has_passed) = self.forwarded_once(&message, once, publisher, now, out);
                if let Some(reply) = reply {
                    let letter = Mesh::Stored { reply, outcome: outcome.safe(), has_passed, late: 0 };
                    self.tell_once(outcome.noted, from, letter, out);
                }
            }
            Mesh::Run { run, publisher } => return self.run_letter(from, &run, publisher, now, out),
            Mesh::Numbered { run, publisher, ticket } => {
                return self.numbered_letter(from, &run, publisher, ticket, now, out);
            }
            Mesh::NumberedStored { publisher, ticket, outcomes } => {
                self.messages_stored(publisher, ticket, &outcomes, now, out);
            }
            Mesh::Stored { reply, outcome, has_passed, late } => {
                self.note_shard_of_passage(reply, from, has_passed);
                self.stored(reply, outcome, late, now, out);
            }
            Mesh::StoredLate { reply, has_passed } => {
                self.note_shard_of_passage(reply, from, has_passed);
                self.stored_late(reply, now, out);
            }
            Mesh::Forget { passage, reply } => self.forget_passage(from, passage, reply, out),
            Mesh::Forgotten { session, id } => self.passage_forgotten(session, id, out),
            Mesh::Remembers { passages } => self.claim_passages(from, passages, out),
            Mesh::Claims { passages } => self.passages_claimed(from, &passages, out),
            Mesh::Retain { message, told, stamp, reply, publisher, owner, once } => {
                let publisher = publisher.map(|key| (from, key));
                let outcome = self.retain_here(&message, Serial::NONE, publisher, owner.as_deref(), now, out);
                let answer = reply.map(|reply| (from, reply)).filter(|_| self.journaling.is_on());
                let late =
                    self.tell_late_comers(from, publisher, &message, told, stamp, outcome.kept, answer, once, out);
                if let Some(reply) = reply {
                    let letter = Mesh::Stored { reply, outcome: outcome.safe(), has_passed: false, late };
                    self.tell_once(outcome.noted, from, letter, out);
                }
            }
            Mesh::RetainedLate { told_by, is_kept, message, reply, once } => {
                let before = self.journaling.made();
                let has_passed = self.retained_late(from, told_by, is_kept, &message, once, now, out);
                if let Some((publisher, reply)) = reply {
                    let is_noted = self.journaling.made() > before;
                    self.tell_once(is_noted, publisher, Mesh::StoredLate { reply, has_passed }, out);
                }
            }
            Mesh::ScanAsk { scan, filter, cursor } => {
                let page = self.scan_page(scan, &filter, cursor, now);
                self.tell(from, page, out);
            }
            Mesh::ScanPage { scan, messages, cursor, is_last } => {
                self.page_came(scan, messages, cursor, is_last, now, out);
            }
            Mesh::Pressure { publisher } => self.press(publisher, out),
            Mesh::Relief { publisher } => self.ease(publisher, now),
            Mesh::Join { .. }
            | Mesh::Joined { .. }
            | Mesh::Leave { .. }
            | Mesh::Left { .. }
            | Mesh::Presence { .. }
            | Mesh::SharedDeliver(_)
            | Mesh::SharedBack(_)
            | Mesh::SharedDone { .. }
            | Mesh::LoanSettled { .. }
            | Mesh::Rejoined => self.group_letter(from, letter, now, out),
        }
        None
    }

    /// Messages of one topic that nobody answers; those that are too much for this input come back.
    fn run_letter(
        &mut self,
        from: ShardId,
        run: &RunPiece,
        publisher: Option<ConnectionKey>,
        now: Time,
        out: &mut Outputs,
    ) -> Option<Mesh> {
        let rest = self.forwarded_run(run, publisher.map(|key| (from, key)), now, out)?;
        Some(Mesh::Run { run: rest, publisher })
    }

    /// The same of messages that are answered.
    fn numbered_letter(
        &mut self,
        from: ShardId,
        run: &RunPiece,
        publisher: ConnectionKey,
        ticket: Ticket,
        now: Time,
        out: &mut Outputs,
    ) -> Option<Mesh> {
        let (outcomes, rest) = self.forwarded_messages(run, (from, publisher), now, out);
        let is_noted = outcomes.are_noted();
        let outcomes = outcomes.safe();
        let letter = Mesh::NumberedStored { publisher, ticket, outcomes };
        self.tell_once(is_noted, from, letter, out);
        let rest = rest?;
        let ticket = ticket.after(run.count - rest.count);
        Some(Mesh::Numbered { run: rest, publisher, ticket })
    }

    fn group_letter(&mut self, from: ShardId, letter: Mesh, now: Time, out: &mut Outputs) {
        match letter {
            Mesh::Join { share, filter, member, terms, window, is_lasting, reply } => {
                self.group_join(from, share, filter, member, terms, window, is_lasting, reply, now, out);
            }
            Mesh::Joined { session, share, filter, reply, reason } => {
                self.joined(session, &share, &filter, reply, reason, now, out);
            }
            Mesh::Leave { share, filter, member, departure, reply } => {
                let is_noted = self.group_leave(&share, &filter, member, departure, now, out);
                if let Some(reply) = reply {
                    self.tell_once(is_noted, from, Mesh::Left { reply }, out);
                }
            }
            Mesh::Left { reply } => self.left(reply, now, out),
            Mesh::Presence { share, filter, member, window, is_lasting } => {
                self.group_presence(&share, &filter, member, window, is_lasting, now, out);
            }
            Mesh::SharedDeliver(copy) => self.shared_deliver(from, copy, now, out),
            Mesh::SharedBack(copy) => self.group_takes_back(copy, now, out),
            Mesh::SharedDone { loan, fate } => self.group_done(from, loan, fate, now, out),
            Mesh::LoanSettled { copy } => self.assignment_over(from, copy, out),
            Mesh::Rejoined => self.shard_is_back(from, now, out),
            Mesh::Forward { .. }
            | Mesh::Run { .. }
            | Mesh::Numbered { .. }
            | Mesh::NumberedStored { .. }
            | Mesh::Stored { .. }
            | Mesh::StoredLate { .. }
            | Mesh::Forget { .. }
            | Mesh::Forgotten { .. }
            | Mesh::Remembers { .. }
            | Mesh::Claims { .. }
            | Mesh::Retain { .. }
            | Mesh::RetainedLate { .. }
            | Mesh::ScanAsk { .. }
            | Mesh::ScanPage { .. }
            | Mesh::Pressure { .. }
            | Mesh::Relief { .. } => unreachable!("only letters about groups come here"),
        }
    }

    /// A message that may have come before; whether a restart of its home could bring it again.
    fn forwarded_once(
        &mut self,
        message: &Message,
        once: Option<Once>,
        publisher: Publisher,
        now: Time,
        out: &mut Outputs,
    ) -> (Outcome, bool) {
        if once.is_some_and(|once| self.passages.has_come(once)) {
            return (Outcome { noted: true, ..Outcome::stored() }, true);
        }
        let outcome = self.forwarded(message, publisher, now, out);
        let passed = once.filter(|_| outcome.noted && !outcome.reason().is_error());
        if let Some(once) = passed {
            self.note_passage(once.passage, out);
        }
        (outcome, passed.is_some())
    }

    fn forwarded(&mut self, message: &Message, publisher: Publisher, now: Time, out: &mut Outputs) -> Outcome {
        self.stats.forwards_received += 1;
        let outcome = self.deliver(&mut Publication::of(message), publisher, now, out);
        if !outcome.matched {
            self.stats.forwards_useless += 1;
        }
        outcome
    }

    /// One more shard has a receiver, or a fan-out, that this publisher should wait for.
    fn press(&mut self, publisher: ConnectionKey, out: &mut Outputs) {
        if let Some(connection) = self.connections.get_mut(publisher) {
            connection.pressing_shards += 1;
            self.hold(publisher, Hold::Pressure, out);
        }
    }

    fn ease(&mut self, publisher: ConnectionKey, now: Time) {
        if let Some(connection) = self.connections.get_mut(publisher) {
            connection.pressing_shards -= 1;
            if connection.pressing_shards == 0 {
                self.release(publisher, Hold::Pressure, now);
            }
        }
    }

    /// A receiver is full: its publisher is read no more, wherever it is, until there is room. Says whether it waits: then
    /// what it has sent already can still be taken, for nothing follows.
    pub(super) fn slow_down(&mut self, publisher: Publisher, receiver: ConnectionKey, out: &mut Outputs) -> bool {
        let Some((shard, key)) = publisher else { return false };
        let Some(state) = self.pressure.receivers.get_mut(&receiver) else { return false };
        let is_itself = shard == self.id && key == receiver;
        if state.is_stalled || !state.is_full || is_itself {
            return false;
        }
        if state.waiting.insert((shard, key)) {
            self.pause((shard, key), out);
        }
        true
    }

    /// The journal is tight: a publisher that brings more of what must be kept is read no more, wherever it is, until that has changed.
    pub(super) fn wait_for_journal(&mut self, publisher: (ShardId, ConnectionKey), out: &mut Outputs) {
        if self.pressure.for_journal.insert(publisher) {
            self.pause(publisher, out);
        }
    }

    /// It is tight no more.
    pub(super) fn relieve_waiters_of_journal(&mut self, out: &mut Outputs) {
        let waiting = std::mem::take(&mut self.pressure.for_journal);
        self.relieve(waiting, out);
    }

    /// A publisher has one more reason here to wait.
    fn pause(&mut self, publisher: (ShardId, ConnectionKey), out: &mut Outputs) {
        let reasons = self.pressure.publishers.entry(publisher).or_insert(0);
        *reasons += 1;
        if *reasons > 1 {
            return;
        }
        self.stats.publishers_paused += 1;
        let (shard, key) = publisher;
        if shard == self.id {
            self.press(key, out); // at once: the rest of what was read from it waits already
        } else {
            self.tell(shard, Mesh::Pressure { publisher: key }, out);
        }
    }

    /// Whether a QoS 0 copy can be written to a connection: it has room, or it is full and the publisher waits for it from
    /// now on.
    pub(super) fn has_room_for_plain(&mut self, link: &Link, publisher: Publisher, out: &mut Outputs) -> bool {
        if !link.is_full {
            return true;
        }
        let backlog = self.connections.get(link.connection).map_or(0, |connection| connection.backlog);
        let overrun = BACKLOG_OVERRUN_MAX * u64::from(self.limits.backlog_bytes_max);
        self.slow_down(publisher, link.connection, out) && u64::from(backlog) <= overrun
    }

    fn relieve(&mut self, waiting: impl IntoIterator<Item = (ShardId, ConnectionKey)>, out: &mut Outputs) {
        for publisher in waiting {
            let Some(receivers) = self.pressure.publishers.get_mut(&publisher) else { continue };
            *receivers -= 1;
            if *receivers == 0 {
                self.pressure.publishers.remove(&publisher);
                self.tell(publisher.0, Mesh::Relief { publisher: publisher.1 }, out);
            }
        }
    }

    /// The unsent bytes of a receiver changed.
    pub(super) fn note_backlog(
        &mut self,
        key: ConnectionKey,
        bytes: u32,
        taken: u32,
        is_full: bool,
        now: Time,
        out: &mut Outputs,
    ) {
        if self.pressure.is_broken(key) {
            return;
        }
        if bytes == 0 {
            let waiting = self.pressure.receivers.remove(&key).map(|receiver| receiver.waiting).unwrap_or_default();
            return self.relieve(waiting, out);
        }
        let receiver = self.pressure.receivers.entry(key).or_insert_with(|| Receiver::new(now));
        if taken > 0 {
            receiver.moved_at = now;
            receiver.taken = receiver.taken.saturating_add(taken);
        }
        receiver.is_full = is_full;
        if !is_full {
            let waiting = std::mem::take(&mut receiver.waiting);
            self.relieve(waiting, out);
        }
    }

    /// Nothing reaches a peer any more: its client is one that is full and takes nothing, for whom nobody waits. So messages for it are dropped or
    /// wait in its session, as they are for any such, and it is gone as soon as one is. What it has said before has that long to take effect.
    pub(super) fn line_broke(&mut self, key: ConnectionKey, now: Time, out: &mut Outputs) {
        // Without a session nothing is sent to it but answers, and its handshake has an end.
        if self.connections.get(key).is_some_and(|connection| connection.session.is_some()) {
            let receiver = self.pressure.receivers.entry(key).or_insert_with(|| Receiver::new(now));
            (receiver.is_broken, receiver.is_full, receiver.is_stalled) = (true, true, true);
            let waiting = std::mem::take(&mut receiver.waiting);
            self.relieve(waiting, out);
        }
        self.could_not_send(key, 0, 0, now, out);
    }

    /// A connection is gone: whoever waited for it goes on, and it waits for nobody.
    pub(super) fn relieve_waiters_of(&mut self, key: ConnectionKey, out: &mut Outputs) {
        if let Some(receiver) = self.pressure.receivers.remove(&key) {
            self.relieve(receiver.waiting, out);
        }
    }

    /// Full receivers that do not take enough lose the right to slow others down; those that take nothing go.
    pub(super) fn sweep_backlogs(&mut self, now: Time, out: &mut Outputs) {
        if self.pressure.receivers.is_empty() || now < self.pressure.next_sweep {
            return;
        }
        let patience_ms = self.limits.backlog_patience_ms;
        self.pressure.next_sweep = now.after_ms(patience_ms);
        let stall_ms = self.limits.write_stall_ms;
        let (mut relieved, mut dead) = (Vec::new(), Vec::new());
        for (key, receiver) in &mut self.pressure.receivers {
            if now.since_ms(receiver.moved_at) >= stall_ms {
                dead.push(*key);
            }
            if now.since_ms(receiver.looked_at) < patience_ms {
                continue;
            }
            receiver.is_stalled = receiver.is_full && receiver.taken < PROGRESS_BYTES;
            receiver.taken = 0;
            receiver.looked_at = now;
            if receiver.is_stalled {
                relieved.extend(std::mem::take(&mut receiver.waiting));
            }
        }
        relieved.sort_unstable(); // a hash map's order must not show
        dead.sort_unstable();
        self.relieve(relieved, out);
        for key in dead {
            if self.has_caused_enough() {
                (self.pressure.next_sweep, out.wake_at) = (now, Some(now)); // the others are found again
                break;
            }
            self.charge(1);
            if self.pressure.is_broken(key) {
                self.end(key, Cause::ConnectionLost, now, out);
                continue;
            }
            self.reached(Limit::WriteStall);
            self.say_goodbye(key, Reason::UnspecifiedError, None, out);
            self.end(key, Cause::WriteStall, now, out);
        }
    }

    /// The way to another shard is full, or has room again.
    pub(super) fn mesh_room(&mut self, to: ShardId, has_room: bool, now: Time, out: &mut Outputs) {
        if !has_room {
            self.full_shards.insert(to.bit());
            return;
        }
        self.full_shards.remove(to.bit());
        let freed: Vec<_> = self.pressure.for_shards.extract_if(.., |(shard, _)| *shard == to).collect();
        for (_, key) in freed {
            let Some(connection) = self.connections.get_mut(key) else { continue };
            connection.full_ways.remove(to.bit());
            if connection.full_ways.is_empty() {
                self.release(key, Hold::Mesh, now);
            }
        }
        let freed: Vec<_> = self.pressure.for_ways.extract_if(.., |(way, _)| *way == to).collect();
        self.relieve(freed.into_iter().map(|(_, publisher)| publisher), out);
        self.due.groups.extend(std::mem::take(&mut self.pressure.groups));
        self.go_on_with_groups(now, out);
    }

    /// Something that a publisher, wherever it is, has caused here finds no room on the way to a shard: it is read no more until there is some.
    pub(super) fn wait_for_way(&mut self, to: ShardId, publisher: (ShardId, ConnectionKey), out: &mut Outputs) {
        if self.pressure.for_ways.insert((to, publisher)) {
            self.pause(publisher, out);
        }
    }

    /// A group holds something back for members behind a full way.
    pub(super) fn group_awaits_way(&mut self, key: GroupKey) {
        self.pressure.groups.insert(key);
    }

    /// The way that a group waits for.
    pub(super) fn way_awaited_by(&self, key: GroupKey) -> Option<ShardId> {
        if self.pressure.groups.is_empty() {
            return None; // as nearly always
        }
        self.groups.get(key)?.awaited_way()
    }

    /// A publication went to a shard whose way is full: it is kept, but its publisher is read no more for now.
    pub(super) fn slow_down_for_shard(&mut self, to: ShardId, publisher: Option<ConnectionKey>, out: &mut Outputs) {
        let Some(key) = publisher.filter(|_| self.full_shards.contains(to.bit())) else { return };
        let Some(connection) = self.connections.get_mut(key) else { return };
        if connection.full_ways.insert(to.bit()) {
            self.pressure.for_shards.push((to, key));
            self.stats.publishers_paused += 1;
            self.hold(key, Hold::Mesh, out);
        }
    }
}
