//! What other shards and the operator's floor sent: each parcel is opened, and done as it says.

use std::net::Shutdown;

use socket2::SockRef;

use super::core::Core;
use super::lines::{Line, LineParts};
use super::mesh::Parcel;
use super::reading::note_change;
use crate::base::time::Time;
use crate::engine::homes::ShardId;
use crate::engine::input::Input;
use crate::engine::output::Arrival;

/// Orders that are taken in one turn.
const ORDERS_PER_TURN_MAX: usize = 64;
/// Parcels of clients on their way in that are opened in one turn.
const CLIENTS_PER_TURN_MAX: usize = 64;
/// The part of a turn's time that they get, beside everything else.
const CLIENTS_PART: u64 = 2;
/// Inputs that letters become in one turn.
const LETTERS_PER_TURN_MAX: usize = 64;
/// The part of the time to stop in which letters are read that were here before.
const LETTERS_PART: u64 = 2;

impl Core {
    /// What a turn takes in is bounded as what it reads: only behind it does the engine learn who is full, and slows down who is to blame.
    pub(super) fn open_parcels(&mut self, start_ns: u64, now: Time) {
        for _ in 0..ORDERS_PER_TURN_MAX {
            let Some(parcel) = self.inbox.take_order() else { break };
            self.open_parcel(parcel, now);
        }
        let has_met_clients = self.meet_clients(now);
        self.sort_letters();
        let has_read = self.read_letters(start_ns, now);
        self.say_goodbye_in_time(now);
        if has_read || has_met_clients {
            for bit in self.inbox.take_waiting().iter() {
                self.stats.wakes_sent += u64::from(self.ways.wake(ShardId::of_bit(bit)));
            }
        }
    }

    /// Clients that come by other shards, and answers to their questions. At least one in each turn, however long it has taken already:
    /// neither letters nor what is read are to keep anybody out. Whether there was any.
    fn meet_clients(&mut self, now: Time) -> bool {
        let Some(mut parcel) = self.inbox.take_client() else { return false };
        let until_ns = self.clock.now_ns() + self.turn.time_us_max * 1_000 / CLIENTS_PART;
        for _ in 1..CLIENTS_PER_TURN_MAX {
            self.open_parcel(parcel, now);
            if self.clock.now_ns() >= until_ns || self.out.written_bytes() >= self.turn.bytes_max {
                return true;
            }
            let Some(next) = self.inbox.take_client() else { return true };
            parcel = next;
        }
        self.open_parcel(parcel, now);
        true
    }

    /// Batches that have come go to those of their senders.
    fn sort_letters(&mut self) {
        for _ in 0..self.inbox.batches() {
            let Some(batch) = self.inbox.take_batch() else { return };
            self.unread.put(batch);
        }
    }

    /// Has the shard read letters, one input of each sender after the other. Who has sent more than an input takes is passed over for the
    /// rest of the turn. Whether there were any.
    fn read_letters(&mut self, start_ns: u64, now: Time) -> bool {
        let budget_ns = self.turn.time_us_max * 1_000;
        let (mut senders, mut bytes) = (self.unread.senders(), 0);
        for inputs in 0..LETTERS_PER_TURN_MAX {
            let is_over = bytes >= self.turn.bytes_max
                || self.out.written_bytes() >= self.turn.bytes_max
                || self.clock.now_ns() - start_ns > budget_ns;
            if inputs > 0 && is_over {
                return true;
            }
            let Some((batch, is_new)) = self.unread.next(senders) else { return inputs > 0 };
            if is_new {
                bytes += batch.bytes;
                self.stats.mesh_batches_received += 1;
                self.stats.hop_latency.note_ns(start_ns.saturating_sub(batch.sent_ns));
            }
            let (from, letters) = (batch.from, &mut batch.letters);
            self.stats.mesh_inputs += 1;
            self.shard.handle(Input::Mesh { from, batch: letters }, now, &mut self.out);
            if letters.is_empty() {
                self.inbox.has_read(from, self.unread.pop(from));
            } else {
                senders.remove(from.bit());
            }
        }
        true
    }

    fn open_parcel(&mut self, parcel: Parcel, now: Time) {
        match parcel {
            Parcel::Batch(batch) => self.unread.put(batch),
            Parcel::Moved { parts, arrival } => self.adopt(*parts, arrival, now),
            Parcel::Asked(asked) => self.line_up(*asked, now),
            Parcel::Found { asker, answered } => self.found(asker, answered, now),
            Parcel::Answered(answered) => self.answered(*answered, now),
            Parcel::Kept(answer) => {
                if let Some(journal) = &mut self.journal {
                    journal.answer(answer);
                }
            }
            Parcel::Policy(policy) => {
                self.stats.policy_changes += 1;
                self.shard.handle(Input::Policy { policy }, now, &mut self.out);
            }
            Parcel::Plan { listener, plan } => self.change_plan(listener, plan),
            Parcel::Serve => self.serve(),
            Parcel::Report(asker) => {
                // Whoever asked may have lost patience.
                let _nobody_waits = asker.send((self.id, Box::new(self.report())));
            }
            Parcel::List(from, asker) => {
                // See above.
                let _nobody_waits = asker.send(self.shard.page(from));
            }
            Parcel::Stop { until_ns } => self.stop(until_ns),
        }
    }

    pub(super) fn adopt(&mut self, parts: LineParts, arrival: Box<Arrival>, now: Time) {
        let LineParts { fd, outbox, mut layers } = parts;
        self.stats.adopted += 1;
        self.make_place(now);
        // Before anything that it has said: its session, and what came behind CONNECT.
        let key = if self.is_good(layers.as_mut(), &arrival) {
            self.shard.adopt(arrival, now, &mut self.out)
        } else {
            self.shard.turn_back(arrival, now, &mut self.out)
        };
        let mut line = Line::new(key, fd).with_layers(layers);
        line.state.is_fresh = false;
        if outbox.is_some() {
            line.outbox = outbox;
            line.state.awaits_room = true;
            self.net.watch_writable(key, line.fd());
            note_change(&mut line, &mut self.changed);
        }
        let has_ended = line.layers().is_some_and(|layers| layers.has_ended());
        line.state.is_ending = has_ended;
        self.unwatched.push(key);
        self.lines.insert(line);
        if has_ended {
            // It has left while it was on its way, behind all that it has said.
            self.shard.handle(Input::Ended { connection: key }, now, &mut self.out);
        }
    }

    /// Nobody comes in any more. What other shards have sent before is for those who are still here: they are told behind it, and hear of
    /// it in the time that is left.
    fn stop(&mut self, until_ns: u64) {
        let now_ns = self.clock.now_ns();
        self.stop_at_ns = Some(until_ns);
        self.letters_until_ns = Some(now_ns + until_ns.saturating_sub(now_ns) / LETTERS_PART);
        self.sort_letters();
        self.unread.mark();
        for (number, listener) in (0..).zip(self.listeners.drain(..)) {
            self.net.stop_accepting(number);
            // The ring may hold the socket until after the end of the process; whoever starts next wants its address now.
            // A listener that cannot be shut is closed all the same.
            let _ = SockRef::from(&listener.fd).shutdown(Shutdown::Both);
            self.closed.push(listener.fd);
        }
        self.accepted.clear();
    }

    /// Ends what is connected, once the letters that were here at the stop are read, or at the end of their time.
    fn say_goodbye_in_time(&mut self, now: Time) {
        let Some(until_ns) = self.letters_until_ns else { return };
        if !self.unread.is_marked_read() && self.clock.now_ns() < until_ns {
            return;
        }
        self.letters_until_ns = None;
        self.make_place(now);
        self.shard.handle(Input::Shutdown, now, &mut self.out);
        if let Some(journal) = &mut self.journal {
            journal.finish();
        }
    }
}
