//! What an input leaves for later ones, and who is not read meanwhile.
//!
//! An input has caused enough when its copies are used up. What is left of the bytes that it brought waits with their connection, which is held for
//! its turn and stands in line, once: the network holds back what its client has not sent yet.

use super::Shard;
use crate::base::time::Time;
use crate::engine::connection::{Connection, ConnectionKey, Hold};
use crate::engine::output::Outputs;

/// Letters and resumed connections that one call settles before it leaves the rest to a tick.
const SETTLE_STEPS_MAX: usize = 1024;

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

    /// The work that an input left behind: letters to ourselves, held bytes that may go on.
    pub(super) fn settle(&mut self, now: Time, out: &mut Outputs) {
        for _ in 0..SETTLE_STEPS_MAX {
            if self.copies_left == 0 {
                break;
            }
            if let Some(letter) = self.letters.pop_front() {
                let rest = self.letter(self.id, letter, now, out);
                debug_assert!(rest.is_none(), "runs go to other shards only");
            } else if let Some(key) = self.resumed.pop_front() {
                self.resume(key, now, out);
            } else {
                break;
            }
        }
        if !self.letters.is_empty() || !self.resumed.is_empty() || !self.fanouts.is_empty() {
            out.wake_at = Some(now);
        }
    }

    /// Whoever is held for his turn stands in line, once, and nobody else does who is here.
    pub(super) fn check_line(&self) {
        let mut line: Vec<ConnectionKey> =
            self.resumed.iter().copied().filter(|key| self.connections.contains(*key)).collect();
        line.sort_unstable();
        let is_held = |(key, connection): (ConnectionKey, &Connection)| connection.is_held_for(Hold::Turn).then_some(key);
        let mut held: Vec<ConnectionKey> = self.connections.iter().filter_map(is_held).collect();
        held.sort_unstable();
        assert_eq!(line, held, "who waits for his turn stands in line once");
    }
}
