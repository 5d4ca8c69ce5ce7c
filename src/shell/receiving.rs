//! Hot connections: the kernel receives for them on its own, into buffers of the ring, and a read costs no system call.
//!
//! Hot is a connection that sends little at a time, and again and again: then the call is a good part of what reading costs. One that
//! sends much at a time gets more out of a plain read, which takes everything at once. A hot connection costs half a kilobyte of
//! the kernel's memory, which is touched with each receive: beyond some of them that costs more than the calls did.

use std::collections::VecDeque;

use super::core::Core;
use super::lines::{Line, Watch};
use super::reading::enqueue;
use super::ring::Ended;
use super::ring::buffers::Piece;
use crate::base::time::Time;
use crate::engine::connection::ConnectionKey;
use crate::engine::input::Input;

/// Reads behind each other that make a connection hot.
const HOT_READS: u8 = 8;
/// Reads up to this size count: a message or two, or some acknowledgements.
const SMALL_READ_BYTES_MAX: usize = 256;
/// Hot connections of a shard; those above stay with poll.
const HOT_MAX: usize = 1_024;
/// Time is counted in units of so many bits of a millisecond: 256 ms.
const UNIT_BITS: u32 = 8;
/// Units between two reads that still stand behind each other.
const ROW_UNITS: u8 = 4;
/// Units without a word after which a connection is hot no more.
const QUIET_UNITS: u8 = 16;
/// The part of the hot connections that is looked at in one unit.
const PARTS: usize = 4;

/// The connections that the kernel receives for. One per shard.
#[derive(Debug, Default)]
pub(super) struct Hot {
    /// Each once, also some that are hot no more.
    keys: VecDeque<ConnectionKey>,
    looked_at: Time,
}

impl Hot {
    /// Whether the kernel shall receive for this line from now on.
    pub(super) fn wants(&self, line: &Line) -> bool {
        let state = &line.state;
        let is_open = !state.is_fresh && !state.is_paused && !state.is_ending && !state.is_due && !line.has_unwanted();
        let has_place = state.is_listed || self.keys.len() < HOT_MAX;
        state.heat == HOT_READS && state.watch != Watch::Receive && is_open && has_place
    }

    /// When somebody has to look for connections that have become quiet.
    pub(super) fn next_due(&self) -> Option<Time> {
        (!self.keys.is_empty()).then(|| self.looked_at.after_ms(1 << UNIT_BITS))
    }
}

impl Line {
    /// A plain read has brought bytes: whether the line has become hot by that.
    pub(super) fn warms_up(&mut self, count: usize, now: Time) -> bool {
        let unit = unit_of(now);
        let is_in_row = unit.wrapping_sub(self.state.heard_at) <= ROW_UNITS;
        self.state.heard_at = unit;
        self.state.heat = match self.state.heat {
            _ if count > SMALL_READ_BYTES_MAX => 0,
            heat if is_in_row => heat.saturating_add(1).min(HOT_READS),
            _ => 1,
        };
        self.state.heat == HOT_READS
    }

    /// The kernel has received bytes: whether it is to stop, for they are too many at a time.
    fn cools_down(&mut self, count: usize, now: Time) -> bool {
        self.state.heard_at = unit_of(now);
        let before = self.state.heat;
        self.state.heat = if count > SMALL_READ_BYTES_MAX { before.saturating_sub(1) } else { HOT_READS };
        self.state.heat == 0 && before > 0
    }
}

impl Core {
    /// The kernel receives for this connection from now on, if it can.
    pub(super) fn promote(&mut self, key: ConnectionKey) {
        let Some(line) = self.lines.get_mut(key) else { return };
        if line.state.watch == Watch::Poll {
            self.net.forget(key);
        }
        if !self.net.receive(key, line.fd()) {
            line.state.heat = 0;
            line.state.watch = Watch::Poll;
            return self.net.watch(key, line.fd(), true);
        }
        line.state.watch = Watch::Receive;
        self.stats.receive_promotions += 1;
        if !std::mem::replace(&mut line.state.is_listed, true) {
            self.hot.keys.push_back(key);
        }
    }

    /// The kernel has stopped to receive, and what it had received is handled.
    pub(super) fn receive_ended(&mut self, key: ConnectionKey, why: Ended) {
        let Some(line) = self.lines.get_mut(key) else { return };
        line.state.watch = Watch::Off;
        self.unwatched.push(key);
        if line.state.is_shut {
            self.broken.push_back(key); // now it can be seen what is left to be read
        }
        self.stats.receive_demotions += 1;
        if why == Ended::Paused {
            return; // it is as hot as before: the kernel goes on at the end of the turn
        }
        line.state.heat = 0;
        self.stats.receive_shortages += u64::from(why == Ended::NoBuffer);
        line.state.is_ending |= why == Ended::Over;
        if why != Ended::Asked {
            enqueue(line, &mut self.due);
        }
    }

    /// What the kernel has received is handled, or kept where it is not wanted now; how many bytes it was.
    pub(super) fn take_piece(&mut self, key: ConnectionKey, piece: Piece, now: Time) -> usize {
        let bytes = self.net.bytes(&piece);
        let count = bytes.len();
        let (mut is_too_much, mut sealed_upto) = (false, None);
        if let Some(line) = self.lines.get_mut(key) {
            self.stats.reads += 1;
            self.stats.read_bytes += count as u64;
            is_too_much = line.state.watch == Watch::Receive && line.cools_down(count, now);
            if line.state.is_paused || line.has_unwanted() {
                line.state.has_unread = true;
                line.put_aside(bytes);
            } else if let Some(layers) = line.layers() {
                let start = layers.put_pending(&mut self.buffer);
                self.buffer[start..start + count].copy_from_slice(bytes);
                sealed_upto = Some(start + count);
            } else {
                self.shard.handle(Input::Received { connection: key, bytes }, now, &mut self.out);
            }
        }
        self.net.give_back(piece);
        if let Some(upto) = sealed_upto {
            self.open_layers(key, upto, now);
        }
        if is_too_much {
            self.net.stop_receiving(key);
        }
        count
    }

    /// Connections that have become quiet are watched by poll again. Each one is looked at about once a second.
    pub(super) fn cool(&mut self, now: Time) {
        if self.hot.next_due().is_none_or(|due| !now.has_passed(due)) {
            return;
        }
        self.hot.looked_at = now;
        for _ in 0..self.hot.keys.len().div_ceil(PARTS) {
            let Some(key) = self.hot.keys.pop_front() else { return };
            let Some(line) = self.lines.get_mut(key) else { continue };
            if line.state.watch != Watch::Receive {
                line.state.is_listed = false;
                continue;
            }
            if unit_of(now).wrapping_sub(line.state.heard_at) > QUIET_UNITS {
                self.net.stop_receiving(key); // it stays listed until the kernel has stopped
            }
            self.hot.keys.push_back(key);
        }
    }
}

/// The quarter of a second, cut: differences of up to a minute are told.
fn unit_of(now: Time) -> u8 {
    u8::try_from(now.as_millis() >> UNIT_BITS & 0xFF).expect("it was masked")
}
