//! Lines on which a send has failed: nothing is sent there any more, what came before is read, and the engine hears of it.
//!
//! What the peer has said before is with the kernel or with us, and ends for sure: it is read like that of a peer who has closed its side. Where the
//! engine does not want it now, it waits, and the engine knows that nobody is there: it gives up waiting after a while. Where nothing is left to
//! be read, that is told as well, and whoever has nothing whole to say is gone at once.

use std::mem::{self, MaybeUninit};
use std::net::Shutdown;

use super::core::Core;
use super::late::Late;
use super::lines::{Line, Watch};
use super::reading::enqueue;
use crate::base::time::Time;
use crate::engine::connection::ConnectionKey;
use crate::engine::input::Input;

/// Broken lines that the engine is told of between two looks at the clock.
const LINES_PER_LOOK: usize = 16;
/// Copies that come of it: the end of a connection may be a will for very many.
const COPIES_PER_LOOK: u64 = 1_024;
/// The part of a turn's time that they get, beside everything else.
const BROKEN_PART: u64 = 4;

impl Line {
    /// A send has failed. The engine is to be told, once.
    pub(super) fn breaks(&mut self, late: &mut Late) -> Option<ConnectionKey> {
        late.forget(self);
        self.outbox = None;
        self.state.is_ending = true;
        let is_new = !mem::replace(&mut self.state.is_shut, true);
        is_new.then_some(self.key)
    }

    /// Whether all is with the engine that the peer of a broken line has said.
    fn is_drained(&self) -> bool {
        // What the kernel receives on its own it has not told yet.
        let is_told = self.state.watch != Watch::Receive && !self.has_unwanted();
        is_told && !matches!(self.socket().peek(&mut [MaybeUninit::uninit()]), Ok(1..))
    }
}

impl Core {
    /// Tells the engine of lines that broke, some in each turn.
    pub(super) fn tell_broken(&mut self, now: Time) {
        if self.broken.is_empty() {
            return;
        }
        let until_ns = self.clock.now_ns() + self.turn.time_us_max * 1_000 / BROKEN_PART;
        let (mut told, mut caused) = (0, self.shard.caused());
        while let Some(key) = self.broken.pop_front() {
            self.tell_of_broken(key, now);
            told += 1;
            if told < LINES_PER_LOOK && self.shard.caused() - caused < COPIES_PER_LOOK {
                continue;
            }
            if self.clock.now_ns() >= until_ns || self.out.written_bytes() >= self.turn.bytes_max {
                return;
            }
            (told, caused) = (0, self.shard.caused());
        }
    }

    fn tell_of_broken(&mut self, key: ConnectionKey, now: Time) {
        let Some(line) = self.lines.get_mut(key) else { return };
        // One that was reset cannot be shut, and needs not.
        let _ = line.socket().shutdown(Shutdown::Both);
        self.shard.handle(Input::Broken { connection: key }, now, &mut self.out);
        if !line.state.is_paused {
            enqueue(line, &mut self.due); // what it has said takes effect, and behind that it ends
        } else if line.is_drained() {
            self.shard.handle(Input::Ended { connection: key }, now, &mut self.out);
        } else {
            line.state.has_unread = true;
        }
    }
}
