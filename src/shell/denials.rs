//! What rules refuse, for a log of the usual level: one line a second at the most, whatever clients do.

use tracing::{Level, enabled};

use super::core::Core;
use super::events::{self, Refused};
use crate::base::time::Time;
use crate::engine::event::Denied;

/// How often the log is told.
const TOLD_MS: u64 = 1_000;

/// Denials that the log has not heard of. One per shard.
#[derive(Debug, Default)]
pub(super) struct Denials {
    /// The first of them; there may be some of which nobody knows more than that they were.
    first: Option<Refused>,
    untold: u64,
    told_at: Option<Time>,
}

impl Denials {
    /// When the log may be told, if there is something to tell.
    pub(super) fn next_due(&self) -> Option<Time> {
        (self.untold > 0).then(|| self.told_at.map_or(Time::ZERO, |told_at| told_at.after_ms(TOLD_MS)))
    }
}

impl Core {
    /// Somebody is denied something. The rule is looked for as long as it is that of the policy that has refused, and once for each line.
    pub(super) fn note_denied(&mut self, denied: &Denied) {
        if self.denials.first.is_none() && enabled!(Level::INFO) {
            self.denials.first = Some(Refused::of(denied, self.shard.policy()));
        }
    }

    /// So many were denied something in this turn; tells the log, if it is time.
    pub(super) fn tell_denials(&mut self, count: u64, now: Time) {
        self.denials.untold += count;
        if self.denials.next_due().is_some_and(|due| now.has_passed(due)) {
            let Denials { first, untold, .. } = std::mem::take(&mut self.denials);
            self.denials.told_at = Some(now);
            events::denied(self.id, untold, first.as_ref());
        }
    }
}
