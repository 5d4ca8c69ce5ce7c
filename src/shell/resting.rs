//! Between two turns: whether there is work, when there will be, and the sleep until then.

use std::time::Duration;

use super::clock::at_ns;
use super::core::Core;
use super::journal::Journal;
use crate::base::time::Time;
use crate::engine::input::Input;

/// How often the engine is asked for its next deadline; those that it makes meanwhile lie further ahead.
const DEADLINES_ASKED_MS: u64 = 25;
/// How often a shard that has stopped looks whether all others have.
const STOPPING_LOOK_MS: u64 = 5;

impl Core {
    /// Whether the next turn has something to do already.
    pub(super) fn has_work(&self) -> bool {
        self.wants_tick
            || !self.due.is_empty()
            || !self.shaking.is_empty()
            || self.crowd.has_hellos()
            || !self.accepted.is_empty()
            || !self.changed.is_empty()
            || !self.late.is_empty()
            || !self.broken.is_empty()
            || !self.rooms.is_empty()
            || !self.unread.is_empty()
            || !self.inbox.is_empty()
            || !self.out.is_empty()
            || !self.written.is_empty()
            || !self.judgings.is_empty()
    }

    /// Between two turns: lets the driver do what it has to, and sleeps if there is nothing to do.
    ///
    /// Nothing here yields to the executor without a timer behind it: an executor whose preempt timer goes off before it has
    /// looked at its queues goes to sleep with a task that could run, and only a timer or a descriptor wakes it.
    pub async fn breathe(&mut self, has_worked: bool) {
        if !has_worked {
            self.rest().await;
            return;
        }
        self.pages.note_work();
        if self.net.needs_executor() {
            self.net.wait(Some(Duration::ZERO), |_| ()).await;
        }
    }

    async fn rest(&mut self) {
        if self.has_work() || self.net.has_news() || self.spin() {
            return;
        }
        self.inbox.park();
        let has_sent = self.retry_held();
        if !has_sent && self.inbox.is_empty() {
            self.pages.let_go(self.clock.now());
            self.stats.parks += 1;
            let timeout = self.next_due().map(|due| Duration::from_millis(self.clock.now().until_ms(due) + 1));
            let inbox = &self.inbox;
            self.net.wait(timeout, |waker| inbox.leave_waker(waker)).await;
        }
        self.stats.wakes_received += u64::from(self.inbox.unpark());
    }

    /// Looks for work for a while instead of sleeping at once; whether there is some.
    fn spin(&mut self) -> bool {
        if self.spin_ns == 0 {
            return false;
        }
        let until_ns = self.clock.now_ns() + self.spin_ns;
        while self.clock.now_ns() < until_ns {
            if self.net.has_news() || !self.inbox.is_empty() {
                return true;
            }
            std::hint::spin_loop();
        }
        false
    }

    /// When somebody has to look at the clock next.
    fn next_due(&mut self) -> Option<Time> {
        let now = self.clock.now();
        let is_old = now.since_ms(self.looked_at) >= DEADLINES_ASKED_MS;
        if is_old {
            (self.looked_at, self.due_at) = (now, self.shard.next_due(now));
        }
        // A shard that sleeps again and again asks no more often than one that is awake.
        let again = (!is_old).then(|| self.looked_at.after_ms(DEADLINES_ASKED_MS));
        let paused = self.listeners.iter().filter_map(|listener| listener.paused_until).min();
        // Nobody tells when the last shard has stopped.
        let stop = self.stop_at_ns.map(|until_ns| at_ns(until_ns).min(now.after_ms(STOPPING_LOOK_MS)));
        let journal = self.journal.as_ref().and_then(Journal::next_due_ns).map(at_ns);
        let denials = self.denials.next_due();
        [
            self.due_at,
            again,
            self.leavers.next_due(),
            self.hot.next_due(),
            paused,
            stop,
            journal,
            denials,
            self.pages.next_due(),
        ]
        .into_iter()
        .flatten()
        .min()
    }

    pub(super) fn look_at_time(&mut self, now: Time) {
        let is_old = now.since_ms(self.looked_at) >= DEADLINES_ASKED_MS;
        let is_hot = self.hot.next_due().is_some_and(|due| now.has_passed(due));
        let mut is_due = self.due_at.is_some_and(|due| now.has_passed(due));
        if is_old || is_due || is_hot {
            (self.looked_at, self.due_at) = (now, self.shard.next_due(now));
            is_due |= self.due_at.is_some_and(|due| now.has_passed(due));
            self.cool(now);
            let closed = &mut self.closed;
            self.leavers.expire(now, &mut self.net, |line| closed.push(line.into_parts().fd));
            self.resume_accepting(now);
        }
        if std::mem::take(&mut self.wants_tick) || is_due {
            self.shard.handle(Input::Tick, now, &mut self.out);
            self.due_at = self.shard.next_due(now);
        }
    }
}
