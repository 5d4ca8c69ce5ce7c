//! A broker that starts: its shards read what they had kept, and nobody comes in yet.

use std::sync::Arc;
use std::thread;
use std::time::Duration;

use crossbeam_channel::{Receiver, RecvTimeoutError};
use glommio::ExecutorJoinHandle;

use super::broker::{Broker, Reporter, StartError, post};
use super::executor::Handshake;
use super::mesh::Parcel;
use super::progress::{Progress, Standing};
use crate::engine::homes::ShardId;

/// How long the next shard may take to say that it is ready.
const PATIENCE: Duration = Duration::from_secs(10);
/// The same where they have a journal to read.
const REPLAY_PATIENCE: Duration = Duration::from_hours(1);
/// How often it is looked whether the shards have heard of each other.
const SETTLED_LOOK: Duration = Duration::from_millis(1);
/// How often somebody hears how it stands.
const TELL_EVERY: Duration = Duration::from_secs(5);

/// A broker whose shards have been told to start.
#[derive(Debug)]
#[must_use = "nobody comes in before it is finished"]
pub struct Starting {
    pub(super) broker: Broker,
    pub(super) handshakes: Receiver<Handshake>,
    pub(super) progress: Arc<Progress>,
    pub(super) has_journal: bool,
}

impl Starting {
    /// Somebody to ask how it is doing; a shard that reads does not answer.
    pub fn reporter(&self) -> Reporter {
        self.broker.reporter()
    }

    /// How far it has come.
    pub fn progress(&self) -> Arc<Progress> {
        Arc::clone(&self.progress)
    }

    /// Waits until all shards are ready and lets clients in. While that goes on, `tell` hears every few seconds how it stands.
    pub fn finish(mut self, tell: impl FnMut(&Standing)) -> Result<Broker, StartError> {
        self.broker.driver = self.await_shards(tell)?;
        // They tell each other who their members are, and send on the wills of before: nobody is to be ahead of that.
        await_settled(&self.progress, self.patience(), SETTLED_LOOK, thread::park_timeout)
            .map_err(|shard| StartError::Shard { shard, reason: silent(self.patience()) })?;
        let ways = &self.broker.reporter.ways;
        for number in 0..ways.shards() {
            post(ways, ShardId::new(number), Parcel::Serve);
        }
        self.broker
            .watch_files()
            .map_err(|error| StartError::System { what: "the thread that looks at files", error })?;
        self.progress.open();
        Ok(self.broker)
    }

    fn await_shards(&mut self, mut tell: impl FnMut(&Standing)) -> Result<&'static str, StartError> {
        let patience = self.patience();
        let shards = self.broker.threads.len();
        let told = await_all(&self.handshakes, shards, patience, TELL_EVERY, || {
            if let Some(standing) = self.progress.standing() {
                tell(&standing);
            }
        });
        told.map_err(|unready| match unready {
            Unready::Refused { shard, reason } => StartError::Shard { shard: shard.index(), reason },
            Unready::Ended => why_it_ended(&mut self.broker.threads),
            Unready::Silent { ready } => StartError::Shard { shard: ready, reason: silent(patience) },
        })
    }

    fn patience(&self) -> Duration {
        if self.has_journal { REPLAY_PATIENCE } else { PATIENCE }
    }
}

fn silent(patience: Duration) -> String {
    format!("it did not answer within {} s", patience.as_secs())
}

/// Waits until every shard has heard of the others what it has to know before anybody comes in. Who has not in time, if somebody has not.
fn await_settled(
    progress: &Progress,
    patience: Duration,
    between: Duration,
    mut pause: impl FnMut(Duration),
) -> Result<(), usize> {
    let mut waited = Duration::ZERO;
    while let Some(shard) = progress.first_unsettled() {
        if waited >= patience {
            return Err(shard);
        }
        pause(between);
        waited += between;
    }
    Ok(())
}

/// Why not all shards are ready.
#[derive(Debug, PartialEq, Eq)]
enum Unready {
    /// One has said why it is not.
    Refused { shard: ShardId, reason: String },
    /// Its executor has ended before it could say anything: why is known to whoever joins it.
    Ended,
    /// None of the others has said anything in time.
    Silent { ready: usize },
}

/// Waits until all are ready; by what they are driven, which one kernel answers alike for all of them. In between `wait` is called.
fn await_all(
    handshakes: &Receiver<Handshake>,
    shards: usize,
    patience: Duration,
    between: Duration,
    mut wait: impl FnMut(),
) -> Result<&'static str, Unready> {
    let (mut ready, mut driven_by, mut waited) = (0, "", Duration::ZERO);
    while ready < shards {
        match handshakes.recv_timeout(between) {
            Ok((_, Ok(driver))) => (ready, driven_by, waited) = (ready + 1, driver, Duration::ZERO),
            Ok((shard, Err(reason))) => return Err(Unready::Refused { shard, reason }),
            Err(RecvTimeoutError::Disconnected) => return Err(Unready::Ended),
            Err(RecvTimeoutError::Timeout) => {
                waited += between;
                if waited >= patience {
                    return Err(Unready::Silent { ready });
                }
                wait();
            }
        }
    }
    Ok(driven_by)
}

fn why_it_ended(threads: &mut Vec<ExecutorJoinHandle<()>>) -> StartError {
    for (shard, thread) in threads.drain(..).enumerate() {
        if let Err(error) = thread.join() {
            let reason = format!(
                "{error}; if it speaks of memlock, raise that limit (LimitMEMLOCK of a service) or lower \
                 runtime.io_memory, if of open files, raise nofile (LimitNOFILE)"
            );
            return StartError::Shard { shard, reason };
        }
    }
    StartError::Shard { shard: 0, reason: "its thread ended at once".into() }
}

#[cfg(test)]
mod tests {
    use crossbeam_channel::unbounded;

    use super::*;
    use crate::shell::clock::Clock;

    const BETWEEN: Duration = Duration::from_millis(1);
    const LONG: Duration = Duration::from_mins(1);

    #[test]
    fn whoever_waits_is_told_in_between_until_all_are_ready() {
        let (sender, handshakes) = unbounded();
        let mut told = 0_usize;
        let driver = await_all(&handshakes, 2, LONG, BETWEEN, || {
            told += 1;
            if told.is_multiple_of(3) {
                sender.send((ShardId::new(told / 3 - 1), Ok("ring"))).unwrap();
            }
        });
        assert_eq!((driver, told), (Ok("ring"), 6));
    }

    #[test]
    fn threat_8_nobody_comes_in_before_all_shards_have_heard_of_each_other() {
        let progress = Progress::new(Clock::start(), [0; 2]);
        progress.share(ShardId::new(0)).has_settled();
        let mut looks = 0;
        assert_eq!(
            await_settled(&progress, 3 * BETWEEN, BETWEEN, |_| looks += 1),
            Err(1),
            "it waits no longer than that"
        );
        assert_eq!(looks, 3);
        let settled = await_settled(&progress, LONG, BETWEEN, |_| {
            looks += 1;
            if looks == 10 {
                progress.share(ShardId::new(1)).has_settled();
            }
        });
        assert_eq!((settled, looks), (Ok(()), 10));
    }

    #[test]
    fn silence_ends_the_wait_and_each_word_begins_it_anew() {
        let (sender, handshakes) = unbounded();
        let mut told = 0_usize;
        let unready = await_all(&handshakes, 2, 4 * BETWEEN, BETWEEN, || {
            told += 1;
            if told == 2 {
                sender.send((ShardId::new(1), Ok("ring"))).unwrap();
            }
        });
        assert_eq!((unready, told), (Err(Unready::Silent { ready: 1 }), 2 + 3));
    }

    #[test]
    fn a_shard_that_cannot_start_or_is_gone_ends_the_wait_at_once() {
        let (sender, handshakes) = unbounded();
        let (shard, reason) = (ShardId::new(1), "no memory".to_string());
        sender.send((shard, Err(reason.clone()))).unwrap();
        let wait = || unreachable!("nobody waits");
        assert_eq!(await_all(&handshakes, 2, LONG, LONG, wait), Err(Unready::Refused { shard, reason }));
        drop(sender);
        assert_eq!(await_all(&handshakes, 2, LONG, LONG, wait), Err(Unready::Ended));
    }
}
