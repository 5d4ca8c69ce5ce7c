//! The way from shard to shard: bounded channels of parcels, and one wake for a shard that sleeps.
//!
//! Nobody ever waits here. A parcel that finds no room stays with its sender, in order, and the sender's engine stops reading
//! from the publishers that feed that shard. Two shards whose ways are both full still empty their own, so they cannot stop
//! each other.
//!
//! A way has three lanes, and what goes by one waits for nothing that goes by another:
//!
//! | lane | what goes by it | why it needs no order with messages |
//! |---|---|---|
//! | orders | what the operator's floor and the keeper say | it holds from now on, or somebody waits for it |
//! | clients | who moves to his home, what is asked about him, answers | what he has said before, his home has sent; what he says now goes with him |
//! | letters | messages of another shard's engine | |
//!
//! Letters of one sender stay in their order, those of several have none. Each sender has a part of the bytes of a way that nobody else takes.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering, fence};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::Waker;

use crossbeam_channel::{Receiver, Sender, TrySendError, bounded};

use super::clerks::{Answered, Asked};
use super::files::keeper::Answer;
use super::lines::LineParts;
use super::report::Report;
use super::ring::sys::EventFd;
use super::transport::plan::Plan;
use crate::base::bitset::Bits64;
use crate::engine::auth::policy::Policy;
use crate::engine::homes::ShardId;
use crate::engine::mesh::Mesh;
use crate::engine::output::Arrival;
use crate::engine::shard::listing::{Cursor, Page};

/// Messages in one batch; more begin another one.
const BATCH_MESSAGES_MAX: usize = 256;
/// Bytes of one batch; what follows the message that reaches them begins another one.
const BATCH_BYTES_MAX: usize = 256 << 10;

/// Messages of another shard's engine, in order.
#[derive(Debug)]
pub struct Batch {
    /// Who sent them.
    pub from: ShardId,
    /// When, in nanoseconds of the process' clock.
    pub sent_ns: u64,
    /// What it is charged, from where it is sent until all of it was read.
    pub bytes: usize,
    /// The messages; those that are left, once it is being read.
    pub letters: Vec<Mesh>,
}

/// What another shard, a clerk, the keeper or the operator's floor sends to a shard.
#[derive(Debug)]
pub enum Parcel {
    /// Messages of another shard's engine.
    Batch(Batch),
    /// An authenticated connection whose home is the receiving shard.
    Moved {
        /// Its line, taken apart.
        parts: Box<LineParts>,
        /// What the engine needs to go on.
        arrival: Box<Arrival>,
    },
    /// A question about a client whose home is the receiving shard, where it waits for a clerk.
    Asked(Box<Asked>),
    /// A clerk has found an answer.
    Found {
        /// The shard that it is for.
        asker: ShardId,
        /// The answer.
        answered: Box<Answered>,
    },
    /// The answer to a question of the receiving shard, from where it has waited.
    Answered(Box<Answered>),
    /// The keeper has done what the shard has asked for, or cannot.
    Kept(Answer),
    /// The operator's files say something else from now on.
    Policy(Arc<Policy>),
    /// What new connections of a listener have in common from now on.
    Plan {
        /// The number of the listener.
        listener: u16,
        /// What they have in common.
        plan: Arc<Plan>,
    },
    /// Every shard knows again what it has kept: clients may come in.
    Serve,
    /// Somebody wants to know how the shard is doing.
    Report(Sender<(ShardId, Box<Report>)>),
    /// Somebody wants to know who is here, from this place on.
    List(Cursor, Sender<Page>),
    /// The broker stops: clients are told, and what is on its way is sent until this moment of the clock.
    Stop {
        /// Nanoseconds of the process' clock.
        until_ns: u64,
    },
}

impl Batch {
    /// Some messages in batches. Nearly always they are one, and nothing is moved.
    pub fn each(mut letters: Vec<Mesh>, from: ShardId, sent_ns: u64, mut each: impl FnMut(Self)) {
        let mut full: Vec<(usize, usize)> = Vec::new();
        let (mut start, mut bytes) = (0, size_of::<Self>());
        for (index, letter) in letters.iter().enumerate() {
            if index - start == BATCH_MESSAGES_MAX || bytes >= BATCH_BYTES_MAX {
                full.push((index - start, bytes));
                (start, bytes) = (index, size_of::<Self>());
            }
            bytes += letter.charged_bytes();
        }
        if !full.is_empty() {
            let mut rest = letters.into_iter();
            for (count, bytes) in full {
                each(Self { from, sent_ns, bytes, letters: rest.by_ref().take(count).collect() });
            }
            letters = rest.collect();
        }
        if !letters.is_empty() {
            each(Self { from, sent_ns, bytes, letters });
        }
    }
}

impl Parcel {
    /// Whether it is a batch of messages.
    pub fn is_batch(&self) -> bool {
        matches!(self, Self::Batch(_))
    }

    /// What it is charged on its way. All but batches are few.
    pub fn bytes(&self) -> u64 {
        if let Self::Batch(batch) = self { batch.bytes as u64 } else { 0 }
    }
}

/// What all others see of a shard.
#[derive(Debug)]
pub struct Door {
    /// What the batches are charged that were sent to it and are not read.
    bytes: AtomicU64,
    /// The same by sender; their sum, but for moments.
    bytes_of: Box<[AtomicU64]>,
    waker: EventFd,
    /// It sleeps, or is about to.
    is_parked: AtomicBool,
    /// The shards that wait for room on their way to this one.
    waiting: AtomicU64,
    /// What to call instead of raising the eventfd, where the sleeper waits in the runtime.
    task: Mutex<Option<Waker>>,
}

/// The ways to all shards. One per shard and one for the operator's floor; cheap to copy.
#[derive(Clone, Debug)]
pub struct Ways {
    senders: Arc<[Senders]>,
    doors: Arc<[Door]>,
    room: Room,
}

/// The near ends of a way's lanes.
#[derive(Debug)]
struct Senders {
    orders: Sender<Parcel>,
    clients: Sender<Parcel>,
    letters: Sender<Batch>,
}

/// How many bytes of messages fit into a way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Room {
    /// With so many of all senders together, only those have room that have less than their own part.
    common_max: u64,
    /// The part of each sender.
    own_max: u64,
}

impl Room {
    /// common + own of all senders but one = all: half of it is divided among the senders, and one alone may take what the parts of the others leave.
    fn new(bytes_max: u64, shards: usize) -> Self {
        let senders = shards.saturating_sub(1).max(1) as u64;
        let own_max = bytes_max / (2 * senders);
        Self { common_max: bytes_max - own_max * (senders - 1), own_max }
    }

    /// Whether a sender whose bytes are so many may send one more batch, where there are so many in all.
    fn is_there(self, all: u64, own: u64) -> bool {
        all < self.common_max || own < self.own_max
    }
}

/// A shard's own end of its way. One per shard.
#[derive(Debug)]
pub struct Inbox {
    orders: Receiver<Parcel>,
    clients: Receiver<Parcel>,
    letters: Receiver<Batch>,
    doors: Arc<[Door]>,
    pub(super) me: ShardId,
}

/// Makes the ways between so many shards, with room for so many parcels in each lane, and for so many bytes of messages, which the last
/// batch of each sender may exceed.
pub fn connect(shards: usize, parcels_max: usize, bytes_max: u64) -> std::io::Result<(Ways, Vec<Inbox>)> {
    let parcels_max = parcels_max.max(1);
    let (mut senders, mut doors, mut receivers) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..shards {
        let (orders, clients, letters) = (bounded(parcels_max), bounded(parcels_max), bounded(parcels_max));
        senders.push(Senders { orders: orders.0, clients: clients.0, letters: letters.0 });
        receivers.push((orders.1, clients.1, letters.1));
        doors.push(Door {
            bytes: AtomicU64::new(0),
            bytes_of: (0..shards).map(|_| AtomicU64::new(0)).collect(),
            waker: EventFd::new()?,
            is_parked: AtomicBool::new(false),
            waiting: AtomicU64::new(0),
            task: Mutex::new(None),
        });
    }
    let doors: Arc<[Door]> = doors.into();
    let inbox = |(number, (orders, clients, letters))| {
        let (doors, me) = (Arc::clone(&doors), ShardId::new(number));
        Inbox { orders, clients, letters, doors, me }
    };
    let inboxes = receivers.into_iter().enumerate().map(inbox).collect();
    Ok((Ways { senders: senders.into(), doors, room: Room::new(bytes_max, shards) }, inboxes))
}

impl Ways {
    /// How many shards there are.
    pub fn shards(&self) -> usize {
        self.doors.len()
    }

    /// Puts a parcel on its way to a shard; gives it back if there is no room. Nobody is woken yet.
    pub fn put(&self, to: ShardId, parcel: Parcel) -> Result<(), Parcel> {
        let senders = &self.senders[to.index()];
        let (lane, parcel) = match parcel {
            Parcel::Batch(batch) => return self.put_batch(to, batch).map_err(Parcel::Batch),
            of_client @ (Parcel::Moved { .. } | Parcel::Asked(_) | Parcel::Found { .. } | Parcel::Answered(_)) => {
                (&senders.clients, of_client)
            }
            order @ (Parcel::Kept(_)
            | Parcel::Policy(_)
            | Parcel::Plan { .. }
            | Parcel::Serve
            | Parcel::Report(_)
            | Parcel::List(..)
            | Parcel::Stop { .. }) => (&senders.orders, order),
        };
        given_back(lane.try_send(parcel))
    }

    fn put_batch(&self, to: ShardId, batch: Batch) -> Result<(), Batch> {
        let door = &self.doors[to.index()];
        let (bytes, own) = (batch.bytes as u64, &door.bytes_of[batch.from.index()]);
        // Several senders at once may each exceed the bound by a batch.
        if !self.room.is_there(door.bytes.load(Ordering::SeqCst), own.load(Ordering::SeqCst)) {
            return Err(batch);
        }
        door.bytes.fetch_add(bytes, Ordering::SeqCst); // before it can be read
        own.fetch_add(bytes, Ordering::SeqCst);
        given_back(self.senders[to.index()].letters.try_send(batch)).inspect_err(|_| {
            door.bytes.fetch_sub(bytes, Ordering::SeqCst);
            own.fetch_sub(bytes, Ordering::SeqCst);
        })
    }

    /// As [`Self::put`]; where there is no room, the shard wakes `from` once it has made some.
    pub fn put_or_ask(&self, from: ShardId, to: ShardId, parcel: Parcel) -> Result<(), Parcel> {
        let parcel = match self.put(to, parcel) {
            Ok(()) => return Ok(()),
            Err(parcel) => parcel,
        };
        self.doors[to.index()].waiting.fetch_or(1 << from.bit(), Ordering::SeqCst);
        // It may have made room before it saw that we wait.
        self.put(to, parcel)
    }

    /// Wakes a shard if it sleeps; says whether it did. Called after parcels were put, once for all of them.
    pub fn wake(&self, to: ShardId) -> bool {
        let door = &self.doors[to.index()];
        fence(Ordering::SeqCst); // the parcel is there before we look, and the sleeper looks after it has said so
        let is_parked = door.is_parked.load(Ordering::Relaxed) && door.is_parked.swap(false, Ordering::SeqCst);
        if is_parked {
            let task = door.task.lock().unwrap_or_else(PoisonError::into_inner).take();
            task.map_or_else(|| door.waker.raise(), Waker::wake);
        }
        is_parked
    }
}

/// What a channel has not taken. A shard that is gone takes its parcels with it: the process is ending.
fn given_back<T>(sent: Result<(), TrySendError<T>>) -> Result<(), T> {
    match sent {
        Ok(()) | Err(TrySendError::Disconnected(_)) => Ok(()),
        Err(TrySendError::Full(parcel)) => Err(parcel),
    }
}

impl Inbox {
    /// The next order.
    pub fn take_order(&self) -> Option<Parcel> {
        self.orders.try_recv().ok()
    }

    /// What comes next of clients on their way in.
    pub fn take_client(&self) -> Option<Parcel> {
        self.clients.try_recv().ok()
    }

    /// The next batch. It takes room until [`Self::has_read`].
    pub fn take_batch(&self) -> Option<Batch> {
        self.letters.try_recv().ok()
    }

    /// All of a batch of this sender was read, which was charged so much.
    pub fn has_read(&self, from: ShardId, bytes: usize) {
        let door = &self.doors[self.me.index()];
        door.bytes.fetch_sub(bytes as u64, Ordering::SeqCst);
        door.bytes_of[from.index()].fetch_sub(bytes as u64, Ordering::SeqCst);
    }

    /// How many batches wait.
    pub fn batches(&self) -> usize {
        self.letters.len()
    }

    /// How many parcels wait.
    pub fn depth(&self) -> usize {
        self.orders.len() + self.clients.len() + self.letters.len()
    }

    /// What the batches are charged that are not read.
    pub fn bytes(&self) -> u64 {
        self.doors[self.me.index()].bytes.load(Ordering::Relaxed)
    }

    /// Whether none waits.
    pub fn is_empty(&self) -> bool {
        self.orders.is_empty() && self.clients.is_empty() && self.letters.is_empty()
    }

    /// What wakes this shard.
    pub fn waker(&self) -> &EventFd {
        &self.doors[self.me.index()].waker
    }

    /// Leaves something to call for whoever wakes this shard next.
    pub fn leave_waker(&self, waker: &Waker) {
        *self.doors[self.me.index()].task.lock().unwrap_or_else(PoisonError::into_inner) = Some(waker.clone());
    }

    /// Says that this shard is about to sleep. It must look at its channel once more afterwards.
    pub fn park(&self) {
        self.doors[self.me.index()].is_parked.store(true, Ordering::SeqCst);
        fence(Ordering::SeqCst);
    }

    /// Says that it is awake. Whether somebody has woken it, and the eventfd is to be cleared.
    pub fn unpark(&self) -> bool {
        let door = &self.doors[self.me.index()];
        let was_woken = !door.is_parked.swap(false, Ordering::SeqCst);
        if was_woken {
            door.waker.clear();
        }
        was_woken
    }

    /// The shards that have waited for room here; they are to be woken now that there is some.
    pub fn take_waiting(&self) -> Bits64 {
        let waiting = &self.doors[self.me.index()].waiting;
        // In one order with what was taken: whoever asks after this look finds the room.
        if waiting.load(Ordering::SeqCst) == 0 {
            return Bits64::EMPTY;
        }
        Bits64::from_bits(waiting.swap(0, Ordering::SeqCst))
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::engine::mesh::RunPiece;
    use crate::engine::message::SessionId;

    /// A batch of nothing, which is charged nothing.
    pub fn numbered(sent_ns: u64) -> Parcel {
        Parcel::Batch(Batch { from: ShardId::new(0), sent_ns, bytes: 0, letters: Vec::new() })
    }

    /// Runs of so many bytes each.
    pub fn letters(count: usize, bytes: usize) -> Vec<Mesh> {
        let run = RunPiece { bytes: vec![0; bytes].into(), count: 1, is_v5: false, origin: SessionId::BROKER };
        vec![Mesh::Run { run, publisher: None }; count]
    }

    /// The same as shard 0 sends them.
    pub fn batches(letters: Vec<Mesh>) -> Vec<Parcel> {
        batches_of(0, letters)
    }

    pub fn batches_of(from: usize, letters: Vec<Mesh>) -> Vec<Parcel> {
        let mut batches = Vec::new();
        Batch::each(letters, ShardId::new(from), 0, |batch| batches.push(Parcel::Batch(batch)));
        batches
    }

    /// Takes a batch and reads it.
    pub fn read(inbox: &Inbox) -> Option<Batch> {
        let batch = inbox.take_batch()?;
        inbox.has_read(batch.from, batch.bytes);
        Some(batch)
    }

    #[test]
    fn a_batch_is_bounded_in_messages_and_in_bytes() {
        let lengths = |letters| -> Vec<usize> {
            let length = |parcel: &Parcel| {
                let Parcel::Batch(batch) = parcel else { panic!("{parcel:?}") };
                batch.letters.len()
            };
            batches(letters).iter().map(length).collect()
        };
        assert_eq!(lengths(letters(600, 10)), [256, 256, 88]);
        assert_eq!(lengths(letters(7, 100 << 10)), [3, 3, 1]);
        assert_eq!(lengths(letters(2, 1 << 20)), [1, 1]);
        assert!(lengths(Vec::new()).is_empty());
    }

    #[test]
    fn each_sender_has_a_part_of_the_way_that_nobody_else_takes() {
        const BYTES_MAX: u64 = 1 << 20;
        let batch = |from| batches_of(from, letters(1, 32 << 10)).remove(0);
        for shards in [2, 3, 8, 64] {
            let (ways, inboxes) = connect(shards, 1_024, BYTES_MAX).unwrap();
            let to = ShardId::new(0);
            while ways.put(to, batch(1)).is_ok() {}
            assert!(inboxes[0].bytes() >= BYTES_MAX / 2, "one alone may take half of the way at least");
            for from in 2..shards {
                assert!(ways.put(to, batch(from)).is_ok(), "shard {from} of {shards} has a part of its own");
                while ways.put(to, batch(from)).is_ok() {}
            }
            let mut left = inboxes[0].bytes();
            assert!(left <= BYTES_MAX + (shards as u64 - 1) * batch(1).bytes(), "{left} bytes of {shards} shards");
            while let Some(batch) = inboxes[0].take_batch() {
                assert_eq!(inboxes[0].bytes(), left, "what is not read takes room");
                inboxes[0].has_read(batch.from, batch.bytes);
                left -= batch.bytes as u64;
            }
            assert_eq!((inboxes[0].bytes(), ways.put(to, batch(1)).is_ok()), (0, true));
        }
    }

    #[test]
    fn what_found_no_place_in_a_channel_is_not_charged_there() {
        let (ways, inboxes) = connect(2, 2, u64::MAX).unwrap();
        let to = ShardId::new(1);
        let mut batches = batches(letters(9, 300 << 10)).into_iter();
        for is_room in [true, true, false, false] {
            assert_eq!(ways.put(to, batches.next().unwrap()).is_ok(), is_room);
        }
        while read(&inboxes[1]).is_some() {}
        assert_eq!(inboxes[1].bytes(), 0);
    }

    #[test]
    fn a_sleeper_is_woken_once() {
        let (ways, inboxes) = connect(2, 8, u64::MAX).unwrap();
        let to = ShardId::new(1);
        assert!(!ways.wake(to));
        inboxes[1].park();
        assert!(ways.wake(to));
        assert!(!ways.wake(to));
        assert!(inboxes[1].unpark());
        inboxes[1].park();
        assert!(!inboxes[1].unpark());
    }
}
