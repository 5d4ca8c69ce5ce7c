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

/// Parcels that are opened in one turn.
const PARCELS_PER_TURN_MAX: usize = 64;

impl Core {
    /// What a turn takes in is bounded as what it reads: only behind it does the engine learn who is full, and slows down who is to blame.
    pub(super) fn open_parcels(&mut self, start_ns: u64, now: Time) {
        let budget_ns = self.turn.time_us_max * 1_000;
        let (mut opened, mut opened_bytes) = (0, 0);
        while opened < PARCELS_PER_TURN_MAX
            && let Some(parcel) = self.inbox.take_urgent()
        {
            opened += 1;
            self.open_parcel(parcel, start_ns, now);
        }
        for number in 0..PARCELS_PER_TURN_MAX {
            if !self.go_on_with_letters(now) {
                break; // the rest of them comes before anything else but what is urgent
            }
            let is_over = opened_bytes >= self.turn.bytes_max as u64
                || self.out.written_bytes() >= self.turn.bytes_max
                || self.clock.now_ns() - start_ns > budget_ns;
            if number > 0 && is_over {
                break;
            }
            let Some(parcel) = self.inbox.take() else { break };
            (opened, opened_bytes) = (opened + 1, opened_bytes + parcel.bytes());
            self.open_parcel(parcel, start_ns, now);
        }
        if opened > 0 {
            for bit in self.inbox.take_waiting().iter() {
                self.stats.wakes_sent += u64::from(self.ways.wake(ShardId::of_bit(bit)));
            }
        }
    }

    fn open_parcel(&mut self, parcel: Parcel, start_ns: u64, now: Time) {
        match parcel {
            Parcel::Batch { from, sent_ns, bytes: _, letters } => {
                self.stats.mesh_batches_received += 1;
                self.stats.hop_latency.note_ns(start_ns.saturating_sub(sent_ns));
                self.letters = Some((from, letters));
                self.go_on_with_letters(now);
            }
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
            Parcel::Stop { until_ns } => self.stop(until_ns, now),
        }
    }

    /// Has the shard read the letters of the batch that was opened last; whether it has read all of them.
    fn go_on_with_letters(&mut self, now: Time) -> bool {
        let Some((from, batch)) = &mut self.letters else { return true };
        self.shard.handle(Input::Mesh { from: *from, batch }, now, &mut self.out);
        self.letters.take_if(|(_, batch)| batch.is_empty()).is_some()
    }

    pub(super) fn adopt(&mut self, parts: LineParts, arrival: Box<Arrival>, now: Time) {
        let LineParts { fd, outbox, mut layers } = parts;
        self.stats.adopted += 1;
        self.make_place(now);
        // Before anything that it has said: its session, and what came behind CONNECT.
        let key = if self.is_good(layers.as_deref_mut(), &arrival) {
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

    fn stop(&mut self, until_ns: u64, now: Time) {
        self.stop_at_ns = Some(until_ns);
        for (number, listener) in (0..).zip(self.listeners.drain(..)) {
            self.net.stop_accepting(number);
            // The ring may hold the socket until after the end of the process; whoever starts next wants its address now.
            // A listener that cannot be shut is closed all the same.
            let _ = SockRef::from(&listener.fd).shutdown(Shutdown::Both);
            self.closed.push(listener.fd);
        }
        self.accepted.clear();
        self.make_place(now);
        self.shard.handle(Input::Shutdown, now, &mut self.out);
        if let Some(journal) = &mut self.journal {
            journal.finish();
        }
    }
}
