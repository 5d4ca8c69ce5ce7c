//! The thread that fetches the keys of tokens: now and then, and when somebody comes with a token whose key nobody knows.
//!
//! Whoever came with one waits here and is judged when the keys have come. Where they were fetched a moment ago it is judged at once, and
//! does not hear that its key is wrong: it may be too new, and comes again.

use std::io;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, TrySendError, bounded};

use super::keys::Fetched;
use crate::base::random::Random;
use crate::engine::auth::Verdict;
use crate::engine::auth::policy::Policy;
use crate::engine::auth::token::refresh::Refresh;
use crate::engine::homes::ShardId;
use crate::engine::input::Answer;
use crate::engine::limits::KEYS_WAITING_MAX;
use crate::engine::output::{About, Question};
use crate::mqtt::Reason;
use crate::shell::broker::post;
use crate::shell::clerks::{Answered, refusal};
use crate::shell::clock::{Clock, wall_s};
use crate::shell::guard::guarded;
use crate::shell::mesh::{Parcel, Ways};
use crate::shell::reloading::Force;

/// What the thread is told.
#[derive(Debug)]
enum Call {
    /// Somebody's token may be signed by a key that is to be fetched first.
    Strange(ShardId, Question),
    /// The operator wants what is newest.
    Hurry,
}

/// The running thread. It ends by itself when this and all desks are dropped.
#[derive(Debug)]
pub struct Fetcher {
    desk: Desk,
}

/// Where it is told something.
#[derive(Clone, Debug)]
pub struct Desk(Sender<Call>);

impl Desk {
    /// Leaves a question; gives it back if there is no room.
    #[expect(clippy::result_large_err, reason = "whoever hears no answers the question at once")]
    pub fn ask(&self, shard: ShardId, question: Question) -> Result<(), Question> {
        match self.0.try_send(Call::Strange(shard, question)) {
            Err(TrySendError::Full(Call::Strange(_, back)) | TrySendError::Disconnected(Call::Strange(_, back))) => {
                Err(back)
            }
            Ok(()) | Err(TrySendError::Full(Call::Hurry) | TrySendError::Disconnected(Call::Hurry)) => Ok(()),
        }
    }

    /// Has keys fetched soon.
    pub fn hurry(&self) {
        // Where there is no room somebody is in a hurry already.
        let _ = self.0.try_send(Call::Hurry);
    }
}

impl Fetcher {
    /// Starts it; the first fetch begins at once.
    pub fn start(fetched: &Arc<Fetched>, force: &Arc<Force>, ways: &Ways) -> io::Result<Self> {
        let (sender, inbox) = bounded(KEYS_WAITING_MAX);
        let (fetched, force, ways) = (Arc::clone(fetched), Arc::clone(force), ways.clone());
        let clock = Clock::start();
        // When brokers come is no secret: they only should not come all at once.
        let random = Random::from_seed(wall_s() ^ (u64::from(std::process::id()) << 32));
        let refresh = Refresh::new(fetched.every_ms, fetched.keep_ms, random, clock.now());
        // Nobody joins it: it may be waiting for a server when the broker ends.
        thread::Builder::new()
            .name("pregon-fetcher".into())
            .spawn(move || work(&fetched, &force, &ways, &inbox, clock, refresh))?;
        Ok(Self { desk: Desk(sender) })
    }

    /// Where it is told something.
    pub fn desk(&self) -> Desk {
        self.desk.clone()
    }
}

fn work(fetched: &Fetched, force: &Force, ways: &Ways, inbox: &Receiver<Call>, clock: Clock, mut refresh: Refresh) {
    let mut waiting: Vec<(ShardId, Question)> = Vec::new();
    loop {
        let first = match inbox.recv_timeout(Duration::from_millis(refresh.rest_ms(clock.now()))) {
            Ok(call) => Some(call),
            Err(RecvTimeoutError::Timeout) => None,
            Err(RecvTimeoutError::Disconnected) => return,
        };
        hear(first.into_iter().chain(inbox.try_iter().take(KEYS_WAITING_MAX)), &mut refresh, clock, &mut waiting);
        if refresh.is_due(clock.now()) {
            fetched.note_newest(fetch(fetched, &mut refresh, clock));
        } else {
            fetched.note_newest(false);
        }
        if refresh.expire(clock.now()) {
            fetched.forget();
        }
        let policy = force.policy();
        for (shard, Question { connection, number, about }) in waiting.drain(..) {
            let answer = answer(&policy, about);
            post(ways, shard, Parcel::Answered(Box::new(Answered { connection, number, answer })));
        }
    }
}

fn hear(
    calls: impl Iterator<Item = Call>,
    refresh: &mut Refresh,
    clock: Clock,
    waiting: &mut Vec<(ShardId, Question)>,
) {
    for call in calls {
        match call {
            Call::Strange(shard, question) => {
                refresh.hurry(clock.now());
                waiting.push((shard, question));
            }
            Call::Hurry => refresh.demand(clock.now()),
        }
    }
}

/// Whether keys have come.
fn fetch(fetched: &Fetched, refresh: &mut Refresh, clock: Clock) -> bool {
    // Keys that something of ours cannot read are as bad as none.
    let is_done = guarded(|| fetched.fetch()).is_some_and(|fetched| fetched.is_ok());
    if is_done {
        refresh.succeed(clock.now());
    } else {
        refresh.fail(clock.now());
    }
    is_done
}

fn answer(policy: &Policy, about: About) -> Answer {
    let (About::Credentials { link, .. }, Some(credentials)) = (&about, about.credentials()) else {
        return refusal(about);
    };
    let judged = guarded(|| policy.work(*link, &credentials));
    Answer::Credentials(judged.unwrap_or(Verdict::Deny(Reason::ServerUnavailable)))
}
