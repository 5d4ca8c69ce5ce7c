//! Memory that nobody uses any more, given back to the system.
//!
//! The allocator gives back what was freed on the way, a second later, when some thread frees more. In a broker that has become quiet nobody
//! does: what a crowd has needed would stay with it for minutes. And where somebody does it is a shard, whose clients wait meanwhile: a
//! gigabyte takes 13 to 35 ms. So a thread that gives way to all others does it, more often than the allocator would. Each shard only lets go of
//! its own pages, which is 50 microseconds for each gigabyte that it has in use, between two turns.

use std::io;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, bounded};

use super::ring::sys::{give_back_memory, give_way, let_go_of_empty_pages};
use crate::base::time::Time;

/// How often what was freed goes back: before the second is over behind which the allocator does it by itself, in whatever thread frees next.
const GIVEN_BACK_EVERY: Duration = Duration::from_millis(500);

/// How often a shard that has had something to do lets go of pages.
const LET_GO_EVERY_MS: u64 = 1_000;

/// The thread that gives memory back, until this is dropped.
#[derive(Debug)]
pub struct Returning {
    /// Nothing is ever said: the thread ends when nobody is left who could.
    end: Option<Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Returning {
    /// Begins to.
    pub fn start() -> io::Result<Self> {
        let (end, inbox) = bounded(0);
        let thread = thread::Builder::new().name("pregon-memory".into()).spawn(move || run(&inbox))?;
        Ok(Self { end: Some(end), thread: Some(thread) })
    }
}

impl Drop for Returning {
    fn drop(&mut self) {
        drop(self.end.take());
        if let Some(thread) = self.thread.take() {
            thread.join().expect("whoever gives memory back does not panic");
        }
    }
}

fn run(inbox: &Receiver<()>) {
    if let Err(error) = give_way() {
        tracing::warn!(%error, "giving memory back does not give way to shards");
    }
    while inbox.recv_timeout(GIVEN_BACK_EVERY) == Err(RecvTimeoutError::Timeout) {
        give_back_memory();
    }
}

/// When a shard lets go of pages next: those of which it, or another shard, has freed the last part.
#[derive(Debug, Default)]
pub struct Pages {
    looked_at: Time,
    due: Option<Time>,
}

impl Pages {
    /// Something was done, so something may have been freed.
    pub fn note_work(&mut self) {
        self.due.get_or_insert_with(|| self.looked_at.after_ms(LET_GO_EVERY_MS));
    }

    /// When to look, unless something is done before.
    pub fn next_due(&self) -> Option<Time> {
        self.due
    }

    /// Lets go of them, where it is time to.
    pub fn let_go(&mut self, now: Time) {
        if self.due.take_if(|due| now.has_passed(*due)).is_some() {
            self.looked_at = now;
            let_go_of_empty_pages();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shard_looks_once_a_second_and_once_more_behind_its_last_work() {
        let mut pages = Pages::default();
        assert_eq!(pages.next_due(), None, "nothing was done");
        pages.note_work();
        let first = Time::from_millis(LET_GO_EVERY_MS);
        assert_eq!(pages.next_due(), Some(first));
        pages.let_go(Time::from_millis(LET_GO_EVERY_MS - 1));
        assert_eq!(pages.next_due(), Some(first), "not yet");
        pages.note_work();
        assert_eq!(pages.next_due(), Some(first), "work puts nothing off");
        let late = Time::from_millis(LET_GO_EVERY_MS + 7);
        pages.let_go(late);
        assert_eq!(pages.next_due(), None, "it may sleep for ever");
        pages.note_work();
        assert_eq!(pages.next_due(), Some(late.after_ms(LET_GO_EVERY_MS)));
    }

    #[test]
    fn the_thread_ends_with_its_owner() {
        let returning = Returning::start().unwrap();
        drop(returning);
    }
}
