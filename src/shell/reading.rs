//! Connections that became ready: what they sent is read, what waits for them is sent.

use std::collections::VecDeque;
use std::io;
use std::sync::Arc;

use super::core::Core;
use super::events;
use super::lines::{Line, Watch};
use super::listener::peer_of;
use super::ring::buffers::Piece;
use super::ring::{Ended, Ready};
use super::transport::layers::Heard;
use crate::base::time::Time;
use crate::engine::auth::certificate::Certificate;
use crate::engine::connection::{Connection, ConnectionKey};
use crate::engine::input::Input;
use crate::engine::shard::Shard;

/// What a turn reads at the most between two looks at the clock: what is read is sent to many in the same turn.
const READS_PER_LOOK: usize = 16;
const BYTES_PER_LOOK: usize = 32 << 10;
/// Copies that come of it.
const COPIES_PER_LOOK: u64 = 1_024;

/// Whose connections are read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Round {
    /// Everybody's, but for those with a handshake ahead: they wait for the other round.
    Everybody,
    /// Those.
    Handshakes,
}

/// Something that a connection has to say, in the order in which it came.
#[derive(Debug)]
pub(super) enum Due {
    /// There is something to read.
    Read(ConnectionKey),
    /// The kernel has received it.
    Piece(ConnectionKey, Piece),
    /// The kernel has stopped to receive. Until this is handled, behind all pieces, nobody reads plainly: that would overtake them.
    Ended(ConnectionKey, Ended),
}

impl Core {
    pub(super) fn sort_ready(&mut self) {
        let (lines, due, accepted, unwatched) =
            (&mut self.lines, &mut self.due, &mut self.accepted, &mut self.unwatched);
        let (mut leaving, mut ended, mut is_waker_over) = (Vec::new(), Vec::new(), false);
        let (mut writable, mut orphans) = (Vec::new(), Vec::new());
        let (written, brought) = (&mut self.written, &mut self.brought);
        let (broken, late) = (&mut self.broken, &mut self.late);
        self.net.drain(|ready| match ready {
            Ready::Accepted(number, fd) => accepted.push_back((number, fd)),
            Ready::AcceptEnded(number, error) => ended.push((number, error)),
            Ready::Readable { key, is_ending, is_gone, is_over } => {
                // What is on its way of a poll that has given way to a receive is told by that one too.
                let Some(line) = lines.tagged(key).filter(|line| line.state.watch != Watch::Receive) else { return };
                line.state.is_ending |= is_ending;
                if is_gone {
                    broken.extend(line.breaks(late)); // as if a send had failed: it may not be read for long
                }
                if is_over {
                    line.state.watch = Watch::Off;
                    unwatched.push(line.key);
                }
                enqueue(line, due);
            }
            Ready::Received { key, piece } => match lines.tagged(key) {
                Some(line) => due.push_back(Due::Piece(line.key, piece)),
                None => orphans.push(piece),
            },
            Ready::ReceiveEnded { key, why } => {
                let Some(line) = lines.tagged(key) else { return };
                due.push_back(Due::Ended(line.key, why));
            }
            Ready::Writable(key) => writable.push(key),
            Ready::Leaving(key) => leaving.push(key),
            Ready::Woken { is_over } => is_waker_over |= is_over,
            Ready::Written(over) => written.push(over),
            Ready::Brought(over) => brought.push(over),
        });
        for piece in orphans {
            self.net.give_back(piece);
        }
        for key in writable {
            self.send_waiting(key);
        }
        for key in leaving {
            let left = self.leavers.ready(key, &mut self.net);
            self.closed.extend(left.map(|line| line.into_parts().fd));
        }
        for (number, error) in ended {
            self.accept_ended(number, error.as_ref());
        }
        if is_waker_over {
            self.net.watch_waker(self.inbox.waker());
        }
    }

    /// The kernel takes bytes of a connection again.
    fn send_waiting(&mut self, tagged: ConnectionKey) {
        if let Some(line) = self.lines.tagged(tagged) {
            line.state.awaits_room = false;
            let key = line.key;
            self.send_outbox(key);
        }
    }

    /// Sends what waits for a connection and may be sent now.
    pub(super) fn send_outbox(&mut self, key: ConnectionKey) {
        let Some(line) = self.lines.get_mut(key).filter(|line| !line.state.is_shut) else { return };
        self.late.forget(line); // it is its turn
        let before = line.backlog();
        let sent = line.send_outbox();
        let after = line.backlog();
        self.stats.sends += 1;
        self.stats.sent_bytes += (before - after) as u64;
        if sent.is_err() {
            self.broken.extend(line.breaks(&mut self.late));
        } else {
            if line.sendable() > 0 && !line.state.awaits_room {
                line.state.awaits_room = true;
                self.net.watch_writable(key, line.fd());
            }
            let is_known = self.shard.connection(key).is_none_or(|connection| connection.backlog > 0);
            if after > 0 || is_known {
                note_change(line, &mut self.changed);
            } else {
                line.outbox = None; // the engine has not heard that something waited
            }
        }
    }

    /// Tells the engine what the last turn brought about.
    pub(super) fn tell_changes(&mut self, now: Time) {
        for (to, has_room) in std::mem::take(&mut self.rooms) {
            self.shard.handle(Input::MeshRoom { to, has_room }, now, &mut self.out);
        }
        self.tell_broken(now);
        let mut changed = std::mem::take(&mut self.changed);
        for key in changed.drain(..) {
            let Some(line) = self.lines.get_mut(key) else { continue };
            line.state.is_changed = false;
            let (bytes, taken) = match &mut line.outbox {
                Some(outbox) => (outbox.len(), std::mem::take(&mut outbox.taken)),
                None => continue, // or it is broken, which is told
            };
            let bytes = u32::try_from(bytes).unwrap_or(u32::MAX);
            let taken = u32::try_from(taken).unwrap_or(u32::MAX);
            if bytes == 0 {
                line.outbox = None;
            }
            self.shard.handle(Input::Backlog { connection: key, bytes, taken }, now, &mut self.out);
        }
        self.changed.append(&mut changed); // its memory is kept
    }

    pub(super) fn read_lines(&mut self, start_ns: u64, now: Time) {
        let budget_ns = self.turn.time_us_max * 1_000;
        let (mut inputs, mut bytes) = (0, 0);
        let mut seen = (0, 0, self.shard.caused()); // when the clock was looked at last
        let written_max = self.out.written_bytes() + self.turn.bytes_max;
        while inputs < self.turn.inputs_max && bytes < self.turn.bytes_max && self.out.written_bytes() < written_max {
            let Some(due) = self.due.pop_front() else { return };
            bytes += match due {
                Due::Read(key) => self.read_line(key, Round::Everybody, now),
                Due::Piece(key, piece) => self.take_piece(key, piece, now),
                Due::Ended(key, why) => {
                    self.receive_ended(key, why);
                    0
                }
            };
            inputs += 1;
            let (inputs_then, bytes_then, caused_then) = seen;
            let is_much = inputs - inputs_then >= READS_PER_LOOK
                || bytes - bytes_then >= BYTES_PER_LOOK
                || self.shard.caused() - caused_then >= COPIES_PER_LOOK;
            if is_much {
                if self.clock.now_ns() - start_ns > budget_ns {
                    return;
                }
                seen = (inputs, bytes, self.shard.caused());
            }
        }
    }

    /// Bytes of a connection, as they came from its socket.
    fn take_bytes(&mut self, key: ConnectionKey, mut bytes: &[u8], now: Time) {
        while let Some(layers) = self.lines.get_mut(key).and_then(Line::layers) {
            let start = layers.put_pending(&mut self.buffer);
            let (part, rest) = bytes.split_at(bytes.len().min(self.buffer.len() - start));
            self.buffer[start..start + part.len()].copy_from_slice(part);
            self.open_layers(key, start + part.len(), now);
            bytes = rest;
            if bytes.is_empty() {
                return;
            }
        }
        self.shard.handle(Input::Received { connection: key, bytes }, now, &mut self.out);
    }

    /// Has the layers of a connection open what lies in the buffer, and the engine handle what comes of it.
    pub(super) fn open_layers(&mut self, key: ConnectionKey, upto: usize, now: Time) {
        let Self { id, lines, shard, out, buffer, wire, stats, .. } = self;
        let Some(line) = lines.get_mut(key) else { return };
        let (is_unheard, is_fresh) = (line.is_unheard(), line.state.is_fresh);
        let Some(layers) = line.layers() else { return };
        wire.clear();
        layers.note_unheard(is_unheard);
        layers.note_stranger(is_fresh);
        let believes_names = layers.believes_common_names();
        let opened = layers.open(&mut buffer[..upto], wire, |heard| match heard {
            Heard::Bytes(bytes) => {
                if shard.connection(key).is_some() {
                    shard.handle(Input::Received { connection: key, bytes }, now, out);
                } else if let Some(moving) = out.hand_overs.iter_mut().rev().find(|moving| moving.connection == key) {
                    // What comes behind a CONNECT that moves, moves with it.
                    moving.arrival.unread.extend_from_slice(bytes);
                }
            }
            Heard::Proxied { source, common_name, is_taken } => {
                let told = common_name.filter(|_| believes_names).map(Certificate::told);
                let introduced =
                    Input::Introduced { connection: key, address: source, certificate: told.map(Arc::new) };
                shard.handle(introduced, now, out);
                *is_taken = shard.connection(key).is_some();
            }
            Heard::Secured { certificate, is_resumed } => {
                stats.handshakes += 1;
                stats.handshakes_resumed += u64::from(is_resumed);
                if let Some(shown) = certificate {
                    let certificate = Some(Arc::new(shown));
                    shard.handle(Input::Introduced { connection: key, address: None, certificate }, now, out);
                }
            }
        });
        if let Err(error) = &opened {
            stats.layer_failures += 1;
            events::layer_failed(*id, peer_of(line.fd()), error);
        }
        if line.state.is_shut {
            wire.clear(); // nobody hears it
        }
        match line.send_wire(wire) {
            Ok(sent) => {
                stats.sends += u64::from(!wire.is_empty());
                stats.sent_bytes += sent as u64;
                if sent < wire.len() {
                    if !line.state.awaits_room {
                        line.state.awaits_room = true;
                        self.net.watch_writable(key, line.fd());
                    }
                    note_change(line, &mut self.changed);
                }
            }
            Err(_) => self.broken.extend(line.breaks(&mut self.late)),
        }
        let input = match opened {
            Ok(true) => return,
            Ok(false) => Input::Ended { connection: key },
            // What came whole before takes effect.
            Err(_) if has_held(shard, key) => Input::Ended { connection: key },
            Err(_) => Input::Lost { connection: key },
        };
        line.state.is_ending = true;
        shard.handle(input, now, out);
    }

    /// Reads once from a connection and lets the engine handle it; how many bytes came.
    pub(super) fn read_line(&mut self, key: ConnectionKey, round: Round, now: Time) -> usize {
        let Some(line) = self.lines.get_mut(key) else { return 0 };
        if round == Round::Everybody
            && let Some(has_begun) = line.handshake()
        {
            self.shake_later(key, has_begun, now); // it stays due until it is read
            return 0;
        }
        line.state.is_due = false;
        if self.shard.connection(key).is_none() {
            return 0; // it is gone, or it moves: what is unread moves with it in the kernel
        }
        if line.state.is_paused {
            line.state.has_unread = true;
            return 0;
        }
        if line.has_unwanted() {
            let unwanted = line.take_unwanted();
            enqueue(line, &mut self.due); // what came later is still with the kernel
            self.take_bytes(key, &unwanted, now);
            return unwanted.len();
        }
        if line.state.watch == Watch::Receive {
            return 0; // a plain read would overtake what the kernel has received
        }
        let start = line.layers().map_or(0, |layers| layers.put_pending(&mut self.buffer));
        let room = &mut self.buffer[start..start + self.turn.read_bytes_max];
        let room_bytes = room.len();
        let input = match self.net.read(key, &line.socket(), room) {
            Ok(0) => Input::Ended { connection: key },
            Ok(count) => {
                self.stats.reads += 1;
                self.stats.read_bytes += count as u64;
                if line.warms_up(count, now) {
                    self.unwatched.push(key);
                }
                let has_more = count == room_bytes || line.state.is_ending; // or the end comes next
                let has_layers = line.layers().is_some();
                if has_layers {
                    self.open_layers(key, start + count, now);
                } else {
                    let bytes = &self.buffer[..count];
                    self.shard.handle(Input::Received { connection: key, bytes }, now, &mut self.out);
                }
                if has_more {
                    self.read_again(key);
                }
                return count;
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return 0,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {
                enqueue(line, &mut self.due);
                return 0;
            }
            // A reset is an end like any other: what waits here was said before it.
            Err(_) if has_held(&self.shard, key) => Input::Ended { connection: key },
            Err(_) => Input::Lost { connection: key },
        };
        line.state.is_ending = true;
        self.shard.handle(input, now, &mut self.out);
        0
    }

    /// There is more to read of a connection: in this turn, or once nothing holds it any more.
    fn read_again(&mut self, key: ConnectionKey) {
        let Some(line) = self.lines.get_mut(key) else { return };
        if self.shard.connection(key).is_some_and(Connection::is_held) {
            line.state.has_unread = true;
        } else {
            enqueue(line, &mut self.due);
        }
    }

    /// Connections that the ring does not watch and that are still here. One that is watched for one event at a time and has something to say that is
    /// not wanted now would be told of in each turn.
    pub(super) fn watch_lines(&mut self) {
        let mut unwatched = std::mem::take(&mut self.unwatched);
        for key in unwatched.drain(..) {
            let Some(line) = self.lines.get_mut(key) else { continue };
            if self.hot.wants(line) {
                self.promote(key);
            } else if line.state.watch == Watch::Off && !(line.state.is_fresh && line.state.has_unread) {
                line.state.watch = Watch::Poll;
                // One that may still move is watched for one event at a time, so that it moves without a trace.
                self.net.watch(key, line.fd(), !line.state.is_fresh);
            }
        }
        self.unwatched = unwatched; // its memory is kept
    }
}

/// Whether the engine keeps bytes of a connection that it has not handled.
fn has_held(shard: &Shard, key: ConnectionKey) -> bool {
    shard.connection(key).is_some_and(|connection| connection.held.is_some())
}

/// Puts a line into the list of those to be read.
pub(super) fn enqueue(line: &mut Line, due: &mut VecDeque<Due>) {
    if line.state.is_paused {
        line.state.has_unread = true;
    } else if !line.state.is_due {
        line.state.is_due = true;
        due.push_back(Due::Read(line.key));
    }
}

/// Puts a line into the list of those whose unsent bytes changed.
pub(super) fn note_change(line: &mut Line, changed: &mut Vec<ConnectionKey>) {
    if !line.state.is_changed {
        line.state.is_changed = true;
        changed.push(line.key);
    }
}
