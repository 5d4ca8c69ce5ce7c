//! What a shard wishes is done: bytes are sent, connections closed, paused or handed over, batches put on their way.

use super::core::Core;
use super::gather::Sent;
use super::lines::{Line, Watch};
use super::mesh::{Batch, Parcel};
use super::reading::{enqueue, note_change};
use crate::base::bitset::Bits64;
use crate::base::time::Time;
use crate::engine::event::{Cause, Event};
use crate::engine::homes::ShardId;
use crate::engine::input::Input;
use crate::engine::output::HandOver;

impl Core {
    /// Performs all wishes and forgets them.
    pub(super) fn perform(&mut self, now: Time) {
        self.fetch_messages(now);
        if let Some(journal) = &mut self.journal {
            journal.take(&mut self.out.changes, &mut self.out.stowed);
        }
        if !self.out.is_empty() {
            self.note_events();
            // What a client hears is on its way to the other shards already: whoever asks there because of it comes behind it.
            self.send_batches();
            self.send_pieces();
            self.close_lines(now);
            self.hand_over();
            self.pause_and_resume();
        }
        self.tell_denials(self.out.denials_count(), now);
        self.wants_tick |= self.out.wake_at.is_some();
        let questions = std::mem::take(&mut self.out.questions);
        self.out.clear();
        for question in questions {
            self.ask(question, now);
        }
    }

    fn note_events(&mut self) {
        let mut events = std::mem::take(&mut self.out.events);
        for event in events.drain(..) {
            match &event {
                Event::Denied(denied) => self.note_denied(denied),
                Event::Connected { connection, .. } => {
                    if let Some(line) = self.lines.get_mut(*connection) {
                        line.state.is_fresh = false;
                        if line.state.watch == Watch::Off {
                            self.unwatched.push(*connection);
                        }
                    }
                }
                // Nobody waits for our last words.
                Event::Disconnected { connection, cause: Cause::Client(_) | Cause::ConnectionLost, .. } => {
                    if let Some(line) = self.lines.get_mut(*connection) {
                        line.state.is_ending = true;
                    }
                }
                Event::Disconnected { .. }
                | Event::Refused { .. }
                | Event::PasswordInTheClear { .. }
                | Event::Banned { .. }
                | Event::SessionEnded { .. }
                | Event::SubscribeDenied { .. }
                | Event::PublishDenied { .. }
                | Event::Dropped { .. }
                | Event::WillPublished { .. } => {}
            }
            super::events::log(self.id, &event, self.shard.policy());
        }
        self.out.events = events;
    }

    fn send_pieces(&mut self) {
        if self.out.piece_count() == 0 {
            return;
        }
        self.gather.collect(&self.out, &mut self.lines, &mut self.stats);
        let has_waited = self.has_promised();
        let (net, changed, broken) = (&mut self.net, &mut self.changed, &mut self.broken);
        let (promised, promised_wide) = (&mut self.promised, &mut self.promised_wide);
        let (late, allowance, clock) = (&mut self.late, &mut self.allowance, self.clock);
        let has_time = || allowance.takes_new(|| clock.now_ns());
        self.gather.flush(&self.out, &mut self.lines, &mut self.stats, has_time, |line, sent| match sent {
            Sent::All => {}
            Sent::Late => {
                promised_wide.extend(line.last_promise().map(|change| (change, line.key)));
                late.put(line);
            }
            Sent::Partly | Sent::Promised => {
                let promised = if sent == Sent::Partly { &mut *promised } else { &mut *promised_wide };
                promised.extend(line.last_promise().map(|change| (change, line.key)));
                if !line.state.awaits_room && line.sendable() > 0 {
                    line.state.awaits_room = true;
                    net.watch_writable(line.key, line.fd());
                }
                note_change(line, changed);
            }
            Sent::Broken => broken.extend(line.breaks(late)),
        });
        if !has_waited && self.has_promised() {
            self.promised_since_ns = self.clock.now_ns();
        }
    }

    /// Lines that had to wait are sent while there is time, but for those that have begun to in this turn.
    pub(super) fn send_late(&mut self, now: Time) {
        if self.late.is_empty() {
            return;
        }
        let clock = self.clock;
        while self.allowance.takes_waiting(|| clock.now_ns())
            && let Some(key) = self.late.pop()
        {
            if self.lines.get_mut(key).is_some_and(|line| line.is_late()) {
                self.send_outbox(key);
            }
        }
        if let Some(has_room) = self.late.room() {
            self.shard.handle(Input::WideRoom { has_room }, now, &mut self.out);
            self.wants_tick = true;
        }
    }

    fn close_lines(&mut self, now: Time) {
        let mut closes = std::mem::take(&mut self.out.closes);
        for key in closes.drain(..) {
            let Some(mut line) = self.lines.remove(key) else { continue };
            self.forget(&mut line);
            let left = if line.state.is_ending && line.backlog() == 0 {
                line.part();
                Some(line)
            } else {
                line.say_goodbye();
                self.leavers.add(line, now, &mut self.net)
            };
            self.closed.extend(left.map(|line| line.into_parts().fd));
        }
        self.out.closes = closes;
    }

    /// The ring watches a line no more.
    fn forget(&mut self, line: &mut Line) {
        self.late.forget(line);
        match line.state.watch {
            Watch::Off => {}
            Watch::Poll => self.net.forget(line.key),
            Watch::Receive => self.net.stop_receiving(line.key),
        }
        if line.state.awaits_room {
            self.net.forget_writable(line.key);
        }
    }

    fn hand_over(&mut self) {
        for HandOver { connection, to, arrival } in std::mem::take(&mut self.out.hand_overs) {
            let Some(mut line) = self.lines.remove(connection) else { continue };
            assert!(line.state.watch != Watch::Receive, "the kernel receives for nobody who may still move");
            self.forget(&mut line);
            // Entries that name the descriptor are with the kernel before another shard may close it.
            self.net.submit();
            self.stats.handed_over += 1;
            let parts = Box::new(line.into_parts());
            self.send_parcel(to, Parcel::Moved { parts, arrival });
            self.stats.wakes_sent += u64::from(self.ways.wake(to));
        }
    }

    fn pause_and_resume(&mut self) {
        for (key, is_read) in self.out.reads.drain(..) {
            let Some(line) = self.lines.get_mut(key) else { continue };
            line.state.is_paused = !is_read;
            if !is_read && line.state.watch == Watch::Receive {
                self.net.stop_receiving(key);
            }
            if is_read && std::mem::take(&mut line.state.has_unread) {
                enqueue(line, &mut self.due);
                self.unwatched.push(key);
            }
            if !is_read && line.state.is_shut {
                self.broken.push_back(key); // whether something is left to be read is looked at again
            }
        }
    }

    pub(super) fn send_batches(&mut self) {
        if self.out.mesh.iter().all(Vec::is_empty) {
            return; // most turns have nothing for others, and need not ask for the time
        }
        let mut told = Bits64::EMPTY;
        let sent_ns = self.clock.now_ns();
        for number in 0..self.out.mesh.len() {
            let to = ShardId::new(number);
            let letters = std::mem::take(&mut self.out.mesh[number]);
            if letters.is_empty() {
                continue;
            }
            told.insert(to.bit());
            Batch::each(letters, self.id, sent_ns, |batch| {
                self.stats.mesh_batches_sent += 1;
                if self.held.send(&self.ways, self.id, to, Parcel::Batch(batch)) {
                    self.stats.mesh_full += 1;
                    self.rooms.push((to, false));
                }
            });
        }
        for bit in told.iter() {
            self.stats.wakes_sent += u64::from(self.ways.wake(ShardId::of_bit(bit)));
        }
    }

    pub(super) fn send_parcel(&mut self, to: ShardId, parcel: Parcel) {
        if self.held.send(&self.ways, self.id, to, parcel) {
            self.stats.mesh_full += 1;
            self.rooms.push((to, false));
        }
    }

    /// Parcels that found no room are tried again; whether some found it now.
    pub(super) fn retry_held(&mut self) -> bool {
        if self.held.is_empty() {
            return false;
        }
        let before = self.held.len();
        let freed = self.held.retry(&self.ways, self.id);
        self.rooms.extend(freed.iter().map(|bit| (ShardId::of_bit(bit), true)));
        self.held.len() != before
    }
}
