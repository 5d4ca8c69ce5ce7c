//! The keeper: one thread of the whole process that does what waits for the disk, so that no shard has to.
//!
//! Shards ask for segments and give dead ones back; the keeper answers through their doors, like any other shard. What it cannot do for
//! lack of space it tries again, at once when a segment comes back and else every second, until it can: nobody has to ask twice.

use std::collections::VecDeque;
use std::io;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, TrySendError, bounded};

use super::folder::{Folder, FolderError};
use super::segments::{Segment, Shelf};
use crate::base::bitset::Bits64;
use crate::engine::homes::ShardId;
use crate::shell::clock::Clock;
use crate::shell::mesh::{Parcel, Ways};
use crate::shell::ring::disk::Stream;

/// Orders that may wait for the keeper. A shard whose order finds no room keeps it until its next turn.
const ORDERS_MAX: usize = 1_024;
/// How often it tries again to make what it could not.
const RETRY: Duration = Duration::from_secs(1);
/// The same for lack of descriptors, and how many times before it says so: they pass from client to client within moments.
const PASSING_RETRY: Duration = Duration::from_millis(10);
const PASSING_TRIES_MAX: u32 = 100;
/// How often it tries again to bring an answer to a shard whose channel is full.
const REDELIVER: Duration = Duration::from_millis(2);

/// A segment that somebody needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Want {
    /// For what.
    pub stream: Stream,
    /// Its number within the stream. A later want for the same one replaces an earlier one.
    pub number: u64,
    /// How long it must be at least.
    pub bytes: u64,
}

/// What a shard asks the keeper for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// A segment, ready to be written.
    Prepare(Want),
    /// To take a dead segment back.
    Retire {
        /// What it belonged to.
        stream: Stream,
        /// Its number within the stream.
        number: u64,
    },
}

/// What the keeper has to say to a shard.
#[derive(Debug)]
pub enum Answer {
    /// A segment is ready.
    Ready(Segment),
    /// It could not be made. It follows when it can be: this is said once.
    Short {
        /// For what it was wanted.
        stream: Stream,
        /// Why.
        error: FolderError,
    },
    /// A dead segment could not be taken back, and lies where it was, with all that died after it. It is tried again: this is said
    /// once.
    NotRetired {
        /// What it belonged to.
        stream: Stream,
        /// Its number within the stream.
        number: u64,
        /// Why.
        error: FolderError,
    },
}

/// What comes to the keeper.
#[derive(Debug)]
enum Letter {
    Order(ShardId, Order),
    Stop,
}

/// Where one shard asks for segments. One per shard.
#[derive(Clone, Debug)]
pub struct Desk {
    shard: ShardId,
    letters: Sender<Letter>,
}

impl Desk {
    /// Asks for something; gives the order back if there is no room for it now.
    pub fn ask(&self, order: Order) -> Result<(), Order> {
        match self.letters.try_send(Letter::Order(self.shard, order)) {
            // A keeper that is gone needs no orders: the process is ending.
            Ok(()) | Err(TrySendError::Disconnected(_)) => Ok(()),
            Err(TrySendError::Full(_)) => Err(order),
        }
    }
}

/// The running keeper. It ends when this is dropped, and the folder may be used by others.
#[derive(Debug)]
pub struct Keeper {
    letters: Sender<Letter>,
    thread: Option<JoinHandle<()>>,
}

impl Keeper {
    /// Starts the keeper of a folder, of which each shard has a shelf, in the order of their numbers.
    pub fn start(folder: Folder, shelves: Vec<Shelf>, ways: Ways, clock: Clock) -> io::Result<Self> {
        assert_eq!(shelves.len(), ways.shards(), "each shard has its shelf");
        let (letters, inbox) = bounded(ORDERS_MAX);
        let office = Office {
            _folder: folder,
            shelves,
            ways,
            clock,
            waiting: Vec::new(),
            dead: VecDeque::new(),
            answers: VecDeque::new(),
        };
        let thread = thread::Builder::new().name("pregon-keeper".into()).spawn(move || office.run(&inbox))?;
        Ok(Self { letters, thread: Some(thread) })
    }

    /// Where a shard asks.
    pub fn desk(&self, shard: ShardId) -> Desk {
        Desk { shard, letters: self.letters.clone() }
    }
}

impl Drop for Keeper {
    fn drop(&mut self) {
        // A thread that does not listen any more has ended.
        let _ = self.letters.send(Letter::Stop);
        if let Some(thread) = self.thread.take() {
            thread.join().expect("the keeper does not panic");
        }
    }
}

/// A want that could not be met yet.
#[derive(Debug)]
struct Waiting {
    shard: ShardId,
    want: Want,
    /// How often descriptors were missing.
    passing_tries: u32,
    /// Its shard knows.
    is_told: bool,
}

impl Waiting {
    /// Whether it fails for a reason that is likely to be gone in a moment.
    fn is_likely_soon(&self) -> bool {
        (1..PASSING_TRIES_MAX).contains(&self.passing_tries)
    }
}

/// A dead segment that is still there.
#[derive(Debug)]
struct Dead {
    shard: ShardId,
    stream: Stream,
    number: u64,
    /// Its shard knows that it cannot be taken back.
    is_told: bool,
}

/// What the keeper's thread has.
#[derive(Debug)]
struct Office {
    /// Nobody else uses it while this is here.
    _folder: Folder,
    shelves: Vec<Shelf>,
    ways: Ways,
    clock: Clock,
    /// At most one for each stream of a shard.
    waiting: Vec<Waiting>,
    /// Dead segments that could not be taken back, and those behind them. The oldest goes first: what a newer one takes back must not
    /// come to life again.
    dead: VecDeque<Dead>,
    /// Answers that have not found room yet.
    answers: VecDeque<(ShardId, Answer)>,
}

impl Office {
    fn run(mut self, inbox: &Receiver<Letter>) {
        let mut retry_at_ns = 0;
        loop {
            match self.next(inbox, retry_at_ns) {
                Ok(Letter::Order(shard, order)) => {
                    self.follow(shard, order);
                    retry_at_ns = 0; // a segment that came back may be what was missing
                }
                Err(RecvTimeoutError::Timeout) => {}
                Ok(Letter::Stop) | Err(RecvTimeoutError::Disconnected) => return,
            }
            if self.has_work() && self.clock.now_ns() >= retry_at_ns {
                self.take_back_the_dead();
                self.make_what_waits();
                let retry = if self.waiting.iter().any(Waiting::is_likely_soon) { PASSING_RETRY } else { RETRY };
                retry_at_ns = self.clock.now_ns() + u64::try_from(retry.as_nanos()).expect("a second at most");
            }
            self.deliver();
        }
    }

    /// Whether something is to be made or taken back.
    fn has_work(&self) -> bool {
        !self.waiting.is_empty() || !self.dead.is_empty()
    }

    /// The next letter, or that it is time to look after what waits.
    fn next(&self, inbox: &Receiver<Letter>, retry_at_ns: u64) -> Result<Letter, RecvTimeoutError> {
        let until_retry = Duration::from_nanos(retry_at_ns.saturating_sub(self.clock.now_ns()));
        let patience = match (self.answers.is_empty(), !self.has_work()) {
            (true, true) => return inbox.recv().map_err(|_all_are_gone| RecvTimeoutError::Disconnected),
            (true, false) => until_retry,
            (false, true) => REDELIVER,
            (false, false) => REDELIVER.min(until_retry),
        };
        inbox.recv_timeout(patience)
    }

    /// Does as it is told, or notes what is wanted.
    fn follow(&mut self, shard: ShardId, order: Order) {
        match order {
            Order::Prepare(want) => {
                let is_other = |waiting: &Waiting| waiting.shard != shard || waiting.want.stream != want.stream;
                self.waiting.retain(is_other);
                self.waiting.push(Waiting { shard, want, passing_tries: 0, is_told: false });
            }
            Order::Retire { stream, number } => {
                self.dead.push_back(Dead { shard, stream, number, is_told: false });
            }
        }
    }

    /// Takes back every dead segment, of each stream the oldest first and none before it.
    fn take_back_the_dead(&mut self) {
        let mut stuck: VecDeque<Dead> = VecDeque::new();
        for mut dead in std::mem::take(&mut self.dead) {
            let Dead { shard, stream, number, is_told } = dead;
            if stuck.iter().any(|other| (other.shard, other.stream) == (shard, stream)) {
                stuck.push_back(dead);
                continue;
            }
            let Err(error) = self.shelves[shard.index()].retire(stream, number) else { continue };
            if !is_told {
                self.answers.push_back((shard, Answer::NotRetired { stream, number, error }));
            }
            dead.is_told = true;
            stuck.push_back(dead);
        }
        self.dead = stuck;
    }

    /// Tries to make every segment that is wanted.
    fn make_what_waits(&mut self) {
        for mut waiting in std::mem::take(&mut self.waiting) {
            let Waiting { shard, want: Want { stream, number, bytes }, is_told, .. } = waiting;
            match self.shelves[shard.index()].prepare(stream, number, bytes) {
                Ok(segment) => {
                    if is_told {
                        tracing::info!(shard = shard.index(), "segments can be made again");
                    }
                    self.answers.push_back((shard, Answer::Ready(segment)));
                }
                Err(error) => {
                    waiting.passing_tries += u32::from(error.is_for_lack_of_descriptors());
                    if !is_told && !waiting.is_likely_soon() {
                        tracing::warn!(shard = shard.index(), %error, "no segment can be made");
                        self.answers.push_back((shard, Answer::Short { stream, error }));
                        waiting.is_told = true;
                    }
                    self.waiting.push(waiting);
                }
            }
        }
    }

    /// Brings the answers to their shards, as far as there is room, each shard's in their order.
    fn deliver(&mut self) {
        let mut full = Bits64::EMPTY;
        for (shard, answer) in std::mem::take(&mut self.answers) {
            if full.contains(shard.bit()) {
                self.answers.push_back((shard, answer));
                continue;
            }
            match self.ways.put(shard, Parcel::Kept(answer)) {
                Ok(()) => {
                    self.ways.wake(shard);
                }
                Err(Parcel::Kept(answer)) => {
                    full.insert(shard.bit());
                    self.answers.push_back((shard, answer));
                }
                Err(
                    Parcel::Batch(_)
                    | Parcel::Moved { .. }
                    | Parcel::Asked(_)
                    | Parcel::Found { .. }
                    | Parcel::Answered(_)
                    | Parcel::Policy(_)
                    | Parcel::Plan { .. }
                    | Parcel::Serve
                    | Parcel::Report(_)
                    | Parcel::List(..)
                    | Parcel::Stop { .. },
                ) => {
                    unreachable!("what comes back is what was put")
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::scratch::{Scratch, reopened};
    use super::*;
    use crate::shell::mesh::{Inbox, connect};
    use crate::shell::ring::uring::Ring;

    const SHARD: ShardId = ShardId::new(0);
    const STREAM: Stream = Stream::new(0);
    /// Longer than anything of these tests takes.
    const PATIENCE: Duration = Duration::from_secs(20);

    /// A keeper with one shard, whose channel has room for two answers, and a ring for that shard to sleep in.
    struct Scene {
        keeper: Keeper,
        desk: Desk,
        inbox: Inbox,
        ring: Ring,
        clock: Clock,
        scratch: Scratch,
    }

    impl Scene {
        fn new() -> Self {
            let scratch = Scratch::new();
            let folder = Folder::open(&scratch.path().join("data")).unwrap();
            let shelf = Shelf::open(&folder, SHARD, 4_096).unwrap();
            let (ways, mut inboxes) = connect(1, 2, u64::MAX).unwrap();
            let clock = Clock::start();
            let keeper = Keeper::start(folder, vec![shelf], ways, clock).unwrap();
            let (desk, inbox, mut ring) = (keeper.desk(SHARD), inboxes.remove(0), Ring::new(8).unwrap());
            ring.watch_waker(inbox.waker());
            Self { keeper, desk, inbox, ring, clock, scratch }
        }

        /// The next answer; the shard sleeps until it comes.
        fn answer(&mut self) -> Answer {
            loop {
                match self.inbox.take_order() {
                    Some(Parcel::Kept(answer)) => return answer,
                    Some(parcel) => panic!("{parcel:?}"),
                    None => {}
                }
                self.inbox.park();
                if self.inbox.is_empty() {
                    let until_ns = self.clock.now_ns() + u64::try_from(PATIENCE.as_nanos()).unwrap();
                    self.ring.wait(Some(PATIENCE));
                    self.ring.drain(|_woken| {});
                    assert!(self.clock.now_ns() < until_ns, "nobody has woken the shard");
                }
                self.inbox.unpark();
            }
        }
    }

    fn prepare(number: u64) -> Order {
        Order::Prepare(Want { stream: STREAM, number, bytes: 1 })
    }

    #[test]
    fn a_sleeping_shard_is_woken_with_what_it_has_asked_for() {
        let mut scene = Scene::new();
        for number in 1..20 {
            scene.desk.ask(prepare(number)).unwrap();
            let answer = scene.answer();
            assert!(matches!(answer, Answer::Ready(segment) if segment.number == number && segment.bytes == 4_096));
        }
    }

    #[test]
    fn answers_come_in_order_although_the_way_to_the_shard_is_full() {
        let mut scene = Scene::new();
        for number in 0..20 {
            let order = Order::Retire { stream: Stream::new(number), number: u64::from(number) }; // there is none
            scene.desk.ask(order).unwrap();
        }
        scene.desk.ask(prepare(20)).unwrap();
        for expected in 0..20 {
            let Answer::NotRetired { number, error, .. } = scene.answer() else { panic!("{expected}") };
            assert!(number == expected && error.to_string().contains(&format!("{number:016x}.segment")));
        }
        assert!(matches!(scene.answer(), Answer::Ready(segment) if segment.number == 20));
    }

    #[test]
    fn no_dead_segment_goes_before_an_older_one() {
        let mut scene = Scene::new();
        for number in 1..=3 {
            scene.desk.ask(prepare(number)).unwrap();
            assert!(matches!(scene.answer(), Answer::Ready(_)));
        }
        let shelf = scene.scratch.path().join("data/shard-0");
        let path = |number: u64| shelf.join(format!("00-{number:016x}.segment"));
        let away = shelf.join("away");
        std::fs::rename(path(1), &away).unwrap();
        for number in 1..=2 {
            scene.desk.ask(Order::Retire { stream: STREAM, number }).unwrap();
        }
        assert!(matches!(scene.answer(), Answer::NotRetired { number: 1, .. }));
        scene.desk.ask(prepare(4)).unwrap();
        assert!(matches!(scene.answer(), Answer::Ready(_)));
        assert!(path(2).exists(), "the second one waits for the first");
        std::fs::rename(&away, path(1)).unwrap();
        scene.desk.ask(prepare(5)).unwrap();
        assert!(matches!(scene.answer(), Answer::Ready(_)));
        assert!(!path(1).exists() && !path(2).exists());
    }

    #[test]
    fn what_cannot_be_made_is_told_once_and_follows() {
        let mut scene = Scene::new();
        let shelf = scene.scratch.path().join("data/shard-0");
        std::fs::remove_dir(&shelf).unwrap();
        scene.desk.ask(prepare(1)).unwrap();
        assert!(matches!(scene.answer(), Answer::Short { stream: STREAM, .. }));
        std::fs::create_dir(&shelf).unwrap();
        assert!(matches!(scene.answer(), Answer::Ready(segment) if segment.number == 1));
    }

    #[test]
    fn the_folder_is_free_when_the_keeper_has_ended() {
        let scene = Scene::new();
        let path = scene.scratch.path().join("data");
        assert!(matches!(Folder::open(&path), Err(FolderError::InUse { .. })));
        drop(scene.keeper);
        drop(reopened(&path));
    }
}
