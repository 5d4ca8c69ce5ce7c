//! What an input leaves for later ones, and who is not read meanwhile.
//!
//! An input has caused enough when its copies are used up, or when so many letters of the shard to itself wait that they are to be read first. What is left of the bytes that it brought waits with their connection, which is held for
//! its turn and stands in line, once: the network holds back what its client has not sent yet.

use super::Shard;
use crate::base::time::Time;
use crate::engine::connection::{Connection, ConnectionKey, Hold};
use crate::engine::limits::{LETTERS_MAX, RESUMED_PER_INPUT_MAX};
use crate::engine::output::Outputs;

impl Shard {
    /// Keeps us from reading a connection.
    pub(super) fn hold(&mut self, key: ConnectionKey, why: Hold, out: &mut Outputs) {
        let Some(connection) = self.connections.get_mut(key) else { return };
        if !connection.is_held() {
            out.reads.push((key, false));
        }
        connection.holds |= why as u8;
    }

    /// Lifts one reason for not reading. Behind the last one the held bytes stand in line.
    pub(super) fn release(&mut self, key: ConnectionKey, why: Hold, now: Time) {
        let Some(connection) = self.connections.get_mut(key) else { return };
        if !connection.is_held_for(why) {
            return;
        }
        connection.holds &= !(why as u8);
        if !connection.is_held() {
            connection.excuse_silence(now, self.limits.read_stall_ms);
            connection.holds = Hold::Turn as u8; // it is not read already
            self.resumed.push_back(key);
        }
    }

    /// The input has caused enough: what this connection has said goes on when its turn comes, and until then it is not read.
    pub(super) fn hold_for_turn(&mut self, key: ConnectionKey, out: &mut Outputs) {
        debug_assert!(self.connections.get(key).is_some_and(|connection| !connection.is_held()), "it was being read");
        self.hold(key, Hold::Turn, out);
        self.resumed.push_back(key);
    }

    /// A connection's turn has come: it is read again if nothing else holds it, and its held bytes go on.
    fn resume(&mut self, key: ConnectionKey, now: Time, out: &mut Outputs) {
        let Some(connection) = self.connections.get_mut(key) else { return };
        connection.holds &= !(Hold::Turn as u8);
        if connection.is_held() {
            return; // whatever lifts the last hold brings it into line again
        }
        connection.excuse_silence(now, self.limits.read_stall_ms);
        out.reads.push((key, true));
        self.go_on_receiving(key, now, out);
    }

    /// Whether the present input has caused as much as it may: what it has brought beyond that waits.
    pub(super) fn has_caused_enough(&self) -> bool {
        self.copies_left == 0 || self.letters.len() >= self.letters_max()
    }

    /// What one of several kinds of work of an input leaves to those behind it.
    pub(super) fn reserve(&self) -> usize {
        self.copies_left / 2
    }

    /// Whether the present input may cause more and leave so much.
    pub(super) fn may_cause_more(&self, reserve: usize) -> bool {
        self.copies_left > reserve && !self.has_caused_enough()
    }

    /// Letters to ourselves that the present input may still cause.
    pub(super) fn room_for_letters(&self) -> usize {
        self.letters_max().saturating_sub(self.letters.len())
    }

    /// As few as copies, for whoever wants to see what happens at that.
    fn letters_max(&self) -> usize {
        LETTERS_MAX.min(self.copies_per_input_max)
    }

    /// The work that an input left behind: letters to ourselves, and in a tick held bytes that may go on. Other inputs bring neither their own
    /// connection nor others forward: there may be thousands of them between two looks at the clock.
    pub(super) fn settle(&mut self, may_go_on: bool, now: Time, out: &mut Outputs) {
        let mut resumed = 0;
        while self.copies_left > 0 {
            if let Some(letter) = self.letters.pop_front() {
                self.charge(1);
                let rest = self.letter(self.id, letter, now, out);
                debug_assert!(rest.is_none(), "runs go to other shards only");
            } else if may_go_on
                && resumed < RESUMED_PER_INPUT_MAX
                && let Some(key) = self.resumed.pop_front()
            {
                resumed += 1;
                self.resume(key, now, out);
            } else {
                break;
            }
        }
        let is_done =
            self.letters.is_empty() && self.resumed.is_empty() && self.due.groups.is_empty() && self.aside.is_empty();
        if !is_done || !self.fanouts.is_empty() || !self.departed.is_empty() {
            out.wake_at = Some(now);
        }
    }

    /// Whoever is held for his turn stands in line, once, and nobody else does who is here.
    pub(super) fn check_line(&self) {
        let mut line: Vec<ConnectionKey> =
            self.resumed.iter().copied().filter(|key| self.connections.contains(*key)).collect();
        line.sort_unstable();
        let is_held =
            |(key, connection): (ConnectionKey, &Connection)| connection.is_held_for(Hold::Turn).then_some(key);
        let mut held: Vec<ConnectionKey> = self.connections.iter().filter_map(is_held).collect();
        held.sort_unstable();
        assert_eq!(line, held, "who waits for his turn stands in line once");
        // A group hands out all that waits for it where a member comes that takes it, and each receiver has publishers that it lets go.
        let at_once =
            self.limits.group_queue_messages_max as usize + self.connections.len() + self.index.subscription_count();
        assert!(self.letters.len() <= LETTERS_MAX + at_once, "{} letters to ourselves wait", self.letters.len());
    }
}
