//! Copies that wait without their messages: which ones do, and how their messages come back when they are needed.
//!
//! What has no room in memory is stowed as it is queued ([`Stowage`](crate::engine::stowage::Stowage)). When a client is there and
//! little is left that could be sent to it, the journal is asked for the messages of its next stubs: a few at a time, so that memory is
//! bounded by those who read and not by what they have missed. All shards together have so much on its way from their disks; whoever
//! comes then waits in line.

use std::collections::VecDeque;

use super::Shard;
use crate::base::time::Time;
use crate::engine::change::{Change, Serial};
use crate::engine::event::Event;
use crate::engine::input::Fetched;
use crate::engine::limits::{FETCH_BYTES_MAX, FETCH_COPIES_MAX, FETCH_READY_MIN, FETCHING_BYTES_MAX};
use crate::engine::message::Message;
use crate::engine::output::{Fetch, Outputs, Reader, Wanted};
use crate::engine::session::SessionKey;
use crate::engine::session::delivery::{Delivery, Noted, Source, Stub, SubscriptionIds, Waiting};
use crate::engine::session::outbound::Outbound;
use crate::engine::session::queue::Queue;
use crate::engine::stats::DropReason;
use crate::engine::stowage::StowKey;

/// Messages on their way from the journal. One per shard.
#[derive(Debug, Default)]
pub(super) struct Fetching {
    /// How many bytes sessions have asked for.
    bytes: u64,
    /// Sessions that wait until there is less.
    line: VecDeque<SessionKey>,
}

impl Shard {
    /// A copy for which there is no room in memory becomes a stub; the others come back.
    pub(super) fn stow(&mut self, delivery: Delivery, out: &mut Outputs) -> Result<Stub, Delivery> {
        let Noted { copy, body } = delivery.noted();
        if copy == Serial::NONE || !self.stowage.is_full_for(delivery.held_bytes()) {
            return Err(delivery);
        }
        let key = match self.stowage.find(body) {
            Some(key) => key,
            None if out.has_noted(body) => {
                let key = self.stowage.stow(body, delivery.message.clone());
                out.stowed.push((body, key));
                key
            }
            None => return Err(delivery), // nobody would say where the journal has it
        };
        self.stowage.owe(key);
        let (stub, many) = Stub::of(delivery, key.index());
        self.stowage.keep_ids(stub.copy, many);
        self.stats.stowed += 1;
        Ok(stub)
    }

    /// A stub goes: its message is owed once less. Its identifiers.
    pub(super) fn forget_stub(&mut self, stub: &Stub) -> SubscriptionIds {
        self.stowage.settle(self.stowage.key_at(stub.stowed));
        self.stowage.take_ids_of(stub)
    }

    /// Changes what a session has to send, and accounts for the memory of it.
    pub(super) fn change_queue<T>(&mut self, key: SessionKey, change: impl FnOnce(&mut Outbound) -> T) -> Option<T> {
        let outbound = self.sessions.get_mut(key)?.outbound();
        let before = outbound.queue().held_bytes();
        let result = change(outbound);
        self.stowage.holds(before, outbound.queue().held_bytes());
        Some(result)
    }

    /// A copy ends undelivered, with its message or without.
    pub(super) fn discard_waiting(&mut self, key: SessionKey, copy: &Waiting, why: DropReason, out: &mut Outputs) {
        match copy {
            Waiting::Whole(delivery) => self.discard(key, delivery, why, out),
            Waiting::Stowed(stub) => {
                self.forget_stub(stub);
                self.discard_stub(key, stub.copy, why, out);
            }
        }
    }

    fn discard_stub(&mut self, key: SessionKey, copy: Serial, why: DropReason, out: &mut Outputs) {
        self.note_of(key, |session| Change::Settled { session, copy }, out);
        self.stats.ledger.drop_one(why);
        if let Some(session) = self.sessions.get(key) {
            out.tell(Event::Dropped { session: session.id, why });
        }
    }

    /// Asks for the messages that a session can be sent next, if it has few in memory. Whether some were there already.
    pub(super) fn fetch_for(&mut self, key: SessionKey, out: &mut Outputs) -> bool {
        let Some(session) = self.sessions.get(key) else { return false };
        let has_way = session.has_open_link();
        let wants = |queue: &Queue| queue.has_stubs() && !queue.is_fetching() && queue.ready() < FETCH_READY_MIN;
        if !has_way || !session.outbound.as_ref().is_some_and(|outbound| wants(outbound.queue())) {
            return false;
        }
        let has_some = self.take_unwritten(key, out);
        if self.first_stowed(key).is_some() {
            if self.fetching.bytes >= FETCHING_BYTES_MAX {
                self.set_fetching(key, true);
                self.fetching.line.push_back(key);
            } else {
                self.begin_fetch(key, out);
            }
        }
        has_some
    }

    /// Where the message of a session's first stub is, if nothing but stubs is left of its queue.
    fn first_stowed(&self, key: SessionKey) -> Option<StowKey> {
        let outbound = self.sessions.get(key)?.outbound.as_ref()?;
        let stub = outbound.queue().next_stubs().next()?;
        Some(self.stowage.key_at(stub.stowed))
    }

    /// What the journal has not written yet is still in memory.
    fn take_unwritten(&mut self, key: SessionKey, out: &mut Outputs) -> bool {
        let mut has_some = false;
        for _ in 0..FETCH_COPIES_MAX {
            let Some(stowed) = self.first_stowed(key) else { break };
            let Some(message) = self.stowage.unwritten(stowed).cloned() else { break };
            self.make_whole(key, Some(message), out);
            has_some = true;
        }
        has_some
    }

    fn begin_fetch(&mut self, key: SessionKey, out: &mut Outputs) {
        let Some(outbound) = self.sessions.get(key).and_then(|session| session.outbound.as_ref()) else { return };
        let (mut wanted, mut bytes) = (Vec::new(), 0);
        for stub in outbound.queue().next_stubs().take(FETCH_COPIES_MAX) {
            let (body, Some(spot)) = self.stowage.get(self.stowage.key_at(stub.stowed)) else { break };
            if bytes > 0 && bytes + u64::from(spot.bytes) > FETCH_BYTES_MAX {
                break;
            }
            bytes += u64::from(spot.bytes);
            wanted.push(Wanted { body, spot });
        }
        if !wanted.is_empty() {
            self.fetching.bytes += bytes;
            self.set_fetching(key, true);
            out.fetches.push(Fetch { reader: Reader::Session(key), wanted });
        }
    }

    fn set_fetching(&mut self, key: SessionKey, is_fetching: bool) {
        if let Some(outbound) = self.sessions.get_mut(key).and_then(|session| session.outbound.as_mut()) {
            outbound.queue_mut().set_fetching(is_fetching);
        }
    }

    /// Messages have come that somebody asked for, in the order in which they were asked for; some are lost.
    pub(super) fn fetched(&mut self, fetched: Fetched, now: Time, out: &mut Outputs) {
        let lost = fetched.messages.iter().filter(|(_, message)| message.is_none()).count() as u64;
        self.stats.fetched += fetched.messages.len() as u64 - lost;
        self.stats.unreadable += lost;
        match fetched.reader {
            Reader::Session(key) => {
                self.fetching.bytes -= fetched.bytes;
                self.set_fetching(key, false);
                for (body, message) in fetched.messages {
                    // What was displaced meanwhile is not waited for.
                    if self.first_stowed(key).is_some_and(|stowed| self.stowage.get(stowed).0 == body) {
                        self.make_whole(key, message, out);
                    }
                }
                self.serve_line(now, out);
                self.pump(key, now, out);
            }
            Reader::Sweep => self.swept_messages(fetched.messages),
        }
    }

    /// Whoever waits in line asks for messages, as long as there is room.
    fn serve_line(&mut self, now: Time, out: &mut Outputs) {
        while self.fetching.bytes < FETCHING_BYTES_MAX
            && let Some(key) = self.fetching.line.pop_front()
        {
            self.set_fetching(key, false);
            self.pump(key, now, out);
        }
    }

    /// The first stub of a session gets its message, and is a delivery again; without one the copy is lost.
    fn make_whole(&mut self, key: SessionKey, message: Option<Message>, out: &mut Outputs) {
        let Some(stub) = self.change_queue(key, |outbound| outbound.queue_mut().take_first_stub()).flatten() else {
            return;
        };
        let (body, _) = self.stowage.get(self.stowage.key_at(stub.stowed));
        let ids = self.forget_stub(&stub);
        let Stub { copy, qos, retain, .. } = stub;
        let Some(message) = message else { return self.discard_stub(key, copy, DropReason::Unreadable, out) };
        let delivery = Delivery { message, qos, retain, ids, source: Source::Own(Noted { copy, body }) };
        self.change_queue(key, |outbound| outbound.queue_mut().put_back(delivery));
    }
}
