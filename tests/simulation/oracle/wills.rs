//! Each will as the rules say: published once when it is due, or never.

use crate::record::Verdict;
use crate::simulation::Simulation;

impl Simulation {
    /// The watcher has seen every will that must be published, and none that must not.
    pub fn judge_wills(&self) {
        for will in &self.wills {
            let message = &self.messages[will.message as usize];
            let watcher = &self.clients[0];
            let seen = watcher.received.iter().filter(|received| received.message == Some(will.message));
            let seen: Vec<_> = seen.filter(|received| !received.is_repeat).collect();
            let whose = &self.clients[message.client].name;
            assert!(seen.len() <= 1, "the will {} of {whose} was published twice", will.message);
            match will.verdict {
                Verdict::Must(due) => {
                    let published = seen.first();
                    let published =
                        published.unwrap_or_else(|| panic!("the will {} of {whose} is missing", will.message));
                    let at = published.written.time;
                    assert!(at >= due, "the will {} of {whose} was due at {due:?}, not at {at:?}", will.message);
                }
                Verdict::MustNot => assert!(seen.is_empty(), "the will {} of {whose} was published", will.message),
                Verdict::Open | Verdict::Due(_) => panic!("the will {} of {whose} is not decided", will.message),
                Verdict::May => {}
            }
        }
    }
}
