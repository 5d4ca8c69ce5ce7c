//! Each will as the rules say: published once when it is due, or never.

use pregon::engine::stats::DropReason;

use crate::record::Verdict;
use crate::simulation::Simulation;

impl Simulation {
    /// The watcher has seen every will that must be published, and none that must not.
    pub fn judge_wills(&self) {
        let mut missing = Vec::new();
        for will in &self.wills {
            let message = &self.messages[will.message as usize];
            let watcher = &self.clients[0];
            let seen = watcher.received.iter().filter(|received| received.message == Some(will.message));
            let seen: Vec<_> = seen.filter(|received| !received.is_repeat).collect();
            let whose = &self.clients[message.client].name;
            assert!(seen.len() <= 1, "the will {} of {whose} was published twice", will.message);
            match will.verdict {
                Verdict::Must(due) => {
                    let Some(published) = seen.first() else {
                        missing.push((whose, will.message));
                        continue;
                    };
                    let at = published.written.time;
                    assert!(at >= due, "the will {} of {whose} was due at {due:?}, not at {at:?}", will.message);
                }
                Verdict::MustNot => assert!(seen.is_empty(), "the will {} of {whose} was published", will.message),
                Verdict::Open | Verdict::Due(_) => panic!("the will {} of {whose} is not decided", will.message),
                Verdict::May => {}
            }
        }
        if self.plan.is_generous {
            assert!(missing.is_empty(), "wills are missing: {missing:?}");
        } else {
            let dropped = self.dropped(DropReason::QueueOldest) + self.dropped(DropReason::QueueRefused);
            assert!(
                missing.len() as u64 <= dropped,
                "{dropped} copies were dropped, and wills are missing: {missing:?}"
            );
        }
    }
}
