//! The end of a shard: nobody comes in, letters that were on their way are read, clients are told behind them, and what comes of it is sent and kept.
//!
//! A letter that found no room on its way waits at its sender, and whoever has sent the message believes that it is under way. So each shard first
//! says that all has left it that was waiting at the stop. What was on its way then is here once all have said so, and clients are told behind it.
//! All of this has an end: half of the time to stop. What is given up is told.

use std::net::Shutdown;

use socket2::SockRef;

use super::core::Core;
use super::events::{self, LeftBehind};
use super::held::Held;
use super::journal::Journal;
use super::letters::Unread;
use super::mesh::Inbox;
use super::progress::Share;
use crate::base::time::Time;
use crate::engine::input::Input;

/// The part of the time to stop in which letters are read that were on their way before.
const LETTERS_PART: u64 = 2;

/// The letters for a shard that were on their way when the broker was told to stop: its clients hear of it behind them. One per shard.
#[derive(Debug)]
pub(super) struct LastLetters {
    /// Until when they are waited for.
    until_ns: u64,
    /// All of them are here.
    are_here: bool,
}

impl LastLetters {
    /// From now on they are waited for.
    fn new(until_ns: u64) -> Self {
        Self { until_ns, are_here: false }
    }

    /// Whether all of them are read, as this shard's own are on their way to the others.
    fn are_read(&mut self, held: &Held, share: &Share, inbox: &Inbox, unread: &mut Unread) -> bool {
        if held.has_sent_marked() {
            share.has_handed_on();
        }
        if !self.are_here && share.have_all_handed_on() {
            unread.take_in(inbox);
            unread.mark();
            self.are_here = true;
        }
        self.are_here && unread.is_marked_read()
    }
}

impl Core {
    /// Nobody comes in any more. What other shards have sent before is for those who are still here: they are told behind it, and hear of
    /// it in the time that is left.
    pub(super) fn stop(&mut self, until_ns: u64) {
        let now_ns = self.clock.now_ns();
        self.stop_at_ns = Some(until_ns);
        self.last_letters = Some(LastLetters::new(now_ns + until_ns.saturating_sub(now_ns) / LETTERS_PART));
        self.send_batches(); // what this turn has caused before is on its way as well
        self.held.mark();
        for (number, listener) in (0..).zip(self.listeners.drain(..)) {
            self.net.stop_accepting(number);
            // The ring may hold the socket until after the end of the process; whoever starts next wants its address now.
            // A listener that cannot be shut is closed all the same.
            let _ = SockRef::from(&listener.fd).shutdown(Shutdown::Both);
            self.closed.push(listener.fd);
        }
        self.accepted.clear();
    }

    /// Ends what is connected, once the letters that were on their way at the stop are read, or at the end of their time.
    pub(super) fn say_goodbye_in_time(&mut self, now: Time) {
        let Some(letters) = &mut self.last_letters else { return };
        let are_read = letters.are_read(&self.held, &self.share, &self.inbox, &mut self.unread);
        if !are_read || self.shard.has_letters_aside() {
            if self.clock.now_ns() < letters.until_ns {
                return;
            }
            events::letters_given_up(self.id, self.unread.len(), self.held.len(), letters.are_here);
        }
        self.last_letters = None;
        self.make_place(now);
        self.shard.handle(Input::Shutdown, now, &mut self.out);
        if let Some(journal) = &mut self.journal {
            journal.finish();
        }
    }

    /// Whether the broker stops and nothing is on its way any more, or the time for it is over. A shard that has nothing left to do waits for the
    /// last wills of the others.
    pub fn is_finished(&self) -> bool {
        let Some(until_ns) = self.stop_at_ns else { return false };
        let has_stopped = self.last_letters.is_none()
            && self.lines.is_empty()
            && self.held.is_empty()
            && self.out.is_empty()
            && self.shard.asked_wills() == 0;
        if has_stopped {
            self.share.has_stopped();
        }
        let is_kept = self.journal.as_ref().is_none_or(Journal::is_done);
        let is_done = has_stopped && is_kept && !self.has_work();
        if is_done && self.share.have_all_stopped() && !self.leavers.has_bytes() {
            return true;
        }
        let is_over = self.clock.now_ns() >= until_ns;
        if is_over && !is_done {
            let left = LeftBehind {
                connections: self.lines.len(),
                letters_unread: self.unread.len() + self.inbox.batches(),
                letters_unsent: self.held.len(),
                wills: self.shard.asked_wills(),
                is_kept,
            };
            events::stop_given_up(self.id, &left);
        }
        is_over
    }
}

#[cfg(test)]
mod tests {
    use super::super::clock::Clock;
    use super::super::mesh::connect;
    use super::super::mesh::tests::numbered;
    use super::super::progress::Progress;
    use super::*;
    use crate::base::bitset::Bits64;
    use crate::engine::homes::ShardId;

    /// Until the end of the test, and longer.
    const FOR_EVER: u64 = u64::MAX;

    #[test]
    fn letters_that_found_no_room_before_the_stop_are_waited_for() {
        let (ways, inboxes) = connect(2, 1, u64::MAX).unwrap();
        let progress = Progress::new(Clock::start(), [0, 0]);
        let (there, here) = (ShardId::new(0), ShardId::new(1));
        let shares = [there, here].map(|shard| progress.share(shard));
        let (mut held, none_held) = (Held::new(2), Held::new(2));
        let mut unread = [Unread::new(2), Unread::new(2)];
        let mut last = [LastLetters::new(FOR_EVER), LastLetters::new(FOR_EVER)];
        // Of three letters the way takes one, and more come behind the stop.
        (0..3).for_each(|number| _ = held.send(&ways, there, here, numbered(number)));
        held.mark();
        (3..20).for_each(|number| _ = held.send(&ways, there, here, numbered(number)));

        let mut read = 0;
        while !last[1].are_read(&none_held, &shares[1], &inboxes[1], &mut unread[1]) {
            last[0].are_read(&held, &shares[0], &inboxes[0], &mut unread[0]);
            unread[1].take_in(&inboxes[1]);
            let (batch, _) = unread[1].next(Bits64::all_below(2)).expect("it waits for something");
            assert_eq!(batch.sent_ns, read, "in their order");
            inboxes[1].has_read(there, unread[1].pop(there));
            read += 1;
            held.retry(&ways, there);
        }
        assert!(read >= 3, "{read} were read of three that had found no room");
        assert!(read < 10, "{read} were read, and most of them came behind the stop");
    }

    #[test]
    fn a_shard_that_has_heard_of_the_stop_waits_for_those_that_have_not() {
        let (_ways, inboxes) = connect(2, 1, u64::MAX).unwrap();
        let progress = Progress::new(Clock::start(), [0, 0]);
        let here = progress.share(ShardId::new(0));
        let (mut held, mut unread, mut last) = (Held::new(2), Unread::new(2), LastLetters::new(FOR_EVER));
        held.mark();
        assert!(!last.are_read(&held, &here, &inboxes[0], &mut unread));
        progress.share(ShardId::new(1)).has_handed_on();
        assert!(last.are_read(&held, &here, &inboxes[0], &mut unread));
    }
}
