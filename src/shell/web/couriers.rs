//! Couriers: the threads that ask the hook, so that neither a shard nor a clerk waits for a server.
//!
//! They are as many as questions may be under way. A server that is slow makes those wait whom it is asked about, a bounded number of
//! them for a bounded time; all others do not notice.

use std::io;
use std::sync::Arc;
use std::thread;

use crossbeam_channel::{Receiver, Sender, TrySendError, bounded};

use super::hook::Hook;
use crate::engine::homes::ShardId;
use crate::engine::limits::HOOK_WAITING_MAX;
use crate::engine::output::Question;
use crate::shell::broker::post;
use crate::shell::clerks::Answered;
use crate::shell::mesh::{Parcel, Ways};

/// A question, the shard that has it, and when it was left here.
type Errand = (ShardId, Question, u64);

/// The running couriers. They end by themselves when this and all desks are dropped.
#[derive(Debug)]
pub struct Couriers {
    desk: Desk,
}

/// Where questions are left to them.
#[derive(Clone, Debug)]
pub struct Desk {
    errands: Sender<Errand>,
    hook: Arc<Hook>,
}

impl Desk {
    /// Leaves a question; gives it back if there is no room.
    #[expect(clippy::result_large_err, reason = "whoever hears no answers the question at once")]
    pub fn ask(&self, shard: ShardId, question: Question) -> Result<(), Question> {
        self.errands.try_send((shard, question, self.hook.now_ns())).map_err(|refused| match refused {
            TrySendError::Full((_, question, _)) | TrySendError::Disconnected((_, question, _)) => {
                self.hook.note_refused();
                question
            }
        })
    }
}

impl Couriers {
    /// Starts so many.
    pub fn start(count: usize, hook: &Arc<Hook>, ways: &Ways) -> io::Result<Self> {
        let (errands, inbox) = bounded(HOOK_WAITING_MAX);
        for number in 0..count {
            let (hook, ways, inbox) = (Arc::clone(hook), ways.clone(), inbox.clone());
            let name = format!("pregon-courier-{number}");
            // Nobody joins it: it may be waiting for a server when the broker ends.
            thread::Builder::new().name(name).spawn(move || work(&hook, &ways, &inbox))?;
        }
        Ok(Self { desk: Desk { errands, hook: Arc::clone(hook) } })
    }

    /// Where a shard asks.
    pub fn desk(&self) -> Desk {
        self.desk.clone()
    }
}

fn work(hook: &Hook, ways: &Ways, inbox: &Receiver<Errand>) {
    while let Ok((shard, question, since_ns)) = inbox.recv() {
        hook.serve(shard, question, since_ns, |waiter, answer| {
            let (connection, number) = (waiter.connection, waiter.number);
            post(ways, waiter.shard, Parcel::Answered(Box::new(Answered { connection, number, answer })));
        });
    }
}
