//! Lines that are being closed: their last words are sent, and the peer gets time to read them.
//!
//! A socket that is closed with bytes unread answers with a reset, which may destroy the last words on their way. So our
//! side is shut first, what the peer still says is thrown away, and the descriptor goes when the peer closes or its time is
//! over.

use std::collections::VecDeque;
use std::io::{self, Read};
use std::net::Shutdown;

use super::lines::Line;
use super::ring::Leaving;
use super::ring::net::Net;
use crate::base::slab::{Key, Slab};
use crate::base::time::Time;
use crate::engine::change::Serial;

/// How long a peer may take to read our last words and to close its side.
const PATIENCE_MS: u64 = 2_000;
/// Lines that may be leaving at once on a shard; more are closed without ceremony.
const LEAVERS_MAX: usize = 4_096;
/// Bytes of a leaving peer that are thrown away at a time.
const THROWN_AWAY_BYTES: usize = 16 * 1024;

/// One line that is being closed.
#[derive(Debug)]
struct Leaver {
    line: Line,
    /// The ring tells when something happens.
    is_watched: bool,
}

/// All of a shard's lines that are being closed. Their keys have a target of their own, which the ring knows.
#[derive(Debug, Default)]
pub struct Leavers {
    leavers: Slab<Leaver>,
    /// In the order in which their time is over, for all have the same.
    deadlines: VecDeque<(Time, Key<Leaver>)>,
    /// Those whose last words wait for the journal.
    promised: Vec<Key<Leaver>>,
}

impl Leavers {
    /// Begins to close a line that the engine knows no more. Gives back what can be closed at once.
    pub fn add(&mut self, line: Line, now: Time, net: &mut Net) -> Option<Line> {
        if self.leavers.len() >= LEAVERS_MAX {
            return Some(line);
        }
        let has_promised = line.last_promise().is_some();
        let key = self.leavers.insert(Leaver { line, is_watched: false });
        if has_promised {
            self.promised.push(key);
        }
        self.deadlines.push_back((now.after_ms(PATIENCE_MS), key));
        self.go_on(key, net)
    }

    /// The ring says that something happened to a leaver.
    pub fn ready(&mut self, tagged: Key<Leaving>, net: &mut Net) -> Option<Line> {
        let key = self.leavers.key_at(tagged.index())?;
        if !super::ring::is_same(Key::from_bits(tagged.to_bits())?, key) {
            return None;
        }
        self.leavers.get_mut(key)?.is_watched = false;
        self.go_on(key, net)
    }

    /// All changes up to this one are safe: last words that waited for it leave. Gives back what can be closed now.
    pub fn keep_promises(&mut self, upto: Serial, net: &mut Net, mut closed: impl FnMut(Line)) {
        self.promised.retain(|key| self.leavers.get(*key).is_some());
        for key in self.promised.clone() {
            let Some(leaver) = self.leavers.get_mut(key) else { continue };
            leaver.line.keep_promises(upto);
            if !leaver.is_watched {
                self.go_on(key, net).into_iter().for_each(&mut closed);
            }
        }
        self.promised.retain(|key| self.leavers.get(*key).is_some_and(|leaver| leaver.line.last_promise().is_some()));
    }

    fn go_on(&mut self, key: Key<Leaver>, net: &mut Net) -> Option<Line> {
        let leaver = self.leavers.get_mut(key)?;
        if leaver.line.send_outbox().is_err() {
            return self.remove(key);
        }
        let waits = leaver.line.backlog() > 0;
        if waits && leaver.line.sendable() == 0 {
            return None; // until the journal has kept what they promise
        }
        if !waits {
            leaver.line.outbox = None;
            let is_shut = std::mem::replace(&mut leaver.line.state.is_shut, true);
            let is_broken = !is_shut && leaver.line.socket().shutdown(Shutdown::Write).is_err();
            if is_broken || has_closed(&leaver.line) {
                return self.remove(key);
            }
        }
        leaver.is_watched = true;
        net.watch_leaving(tag(key), leaver.line.fd(), waits);
        None
    }

    /// Takes out those whose time is over.
    pub fn expire(&mut self, now: Time, net: &mut Net, mut closed: impl FnMut(Line)) {
        while let Some((due, key)) = self.deadlines.front().copied() {
            if !now.has_passed(due) {
                return;
            }
            self.deadlines.pop_front();
            if let Some(leaver) = self.leavers.remove(key) {
                if leaver.is_watched {
                    net.forget_leaving(tag(key));
                }
                closed(leaver.line);
            }
        }
    }

    fn remove(&mut self, key: Key<Leaver>) -> Option<Line> {
        self.leavers.remove(key).map(|leaver| leaver.line)
    }

    /// When the next one's time is over.
    pub fn next_due(&self) -> Option<Time> {
        self.deadlines.front().map(|(due, _)| *due)
    }

    /// Whether last words are still on their way.
    pub fn has_bytes(&self) -> bool {
        self.leavers.iter().any(|(_, leaver)| leaver.line.backlog() > 0)
    }
}

/// The same key, as the ring knows it.
fn tag(key: Key<Leaver>) -> Key<Leaving> {
    Key::from_bits(key.to_bits()).expect("a key's bits are those of a key")
}

/// Throws away what the peer still says; whether it has closed its side.
fn has_closed(line: &Line) -> bool {
    let mut thrown_away = [0; THROWN_AWAY_BYTES];
    match (&*line.socket()).read(&mut thrown_away) {
        Ok(count) => count == 0,
        Err(error) => !matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted),
    }
}
