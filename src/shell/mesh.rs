//! The way from shard to shard: bounded channels of parcels, and one wake for a shard that sleeps.
//!
//! Nobody ever waits here. A parcel that finds no room stays with its sender, in order, and the sender's engine stops reading
//! from the publishers that feed that shard. Two shards whose ways are both full still empty their own, so they cannot stop
//! each other.

use std::collections::VecDeque;
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

/// What another shard, a clerk, the keeper or the operator's floor sends to a shard.
#[derive(Debug)]
pub enum Parcel {
    /// Messages of another shard's engine, in order.
    Batch {
        /// Who sent them.
        from: ShardId,
        /// When, in nanoseconds of the process' clock.
        sent_ns: u64,
        /// What its messages are charged.
        bytes: usize,
        /// The messages.
        letters: Vec<Mesh>,
    },
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

impl Parcel {
    /// Some messages in batches. Nearly always they are one, and nothing is moved.
    pub fn batches(mut letters: Vec<Mesh>, from: ShardId, sent_ns: u64, mut each: impl FnMut(Self)) {
        let mut full: Vec<(usize, usize)> = Vec::new();
        let (mut start, mut bytes) = (0, 0);
        for (index, letter) in letters.iter().enumerate() {
            if index - start == BATCH_MESSAGES_MAX || bytes >= BATCH_BYTES_MAX {
                full.push((index - start, bytes));
                (start, bytes) = (index, 0);
            }
            bytes += letter.charged_bytes();
        }
        if !full.is_empty() {
            let mut rest = letters.into_iter();
            for (count, bytes) in full {
                each(Self::Batch { from, sent_ns, bytes, letters: rest.by_ref().take(count).collect() });
            }
            letters = rest.collect();
        }
        if !letters.is_empty() {
            each(Self::Batch { from, sent_ns, bytes, letters });
        }
    }

    /// Whether it is taken before the messages that wait: it says what holds from now on, or somebody waits for it, and it needs no order with them.
    fn is_urgent(&self) -> bool {
        match self {
            Self::Batch { .. } | Self::Moved { .. } | Self::Asked(_) | Self::Found { .. } | Self::Answered(_) => false,
            Self::Kept(_)
            | Self::Policy(_)
            | Self::Plan { .. }
            | Self::Serve
            | Self::Report(_)
            | Self::List(..)
            | Self::Stop { .. } => true,
        }
    }

    /// What it is charged on its way. All but batches are few.
    pub fn bytes(&self) -> u64 {
        if let Self::Batch { bytes, .. } = self { *bytes as u64 } else { 0 }
    }
}

/// What all others see of a shard.
#[derive(Debug)]
pub struct Door {
    /// What the parcels in its channel are charged.
    bytes: AtomicU64,
    waker: EventFd,
    /// It sleeps, or is about to.
    is_parked: AtomicBool,
    /// The shards that wait for room in this one's channel.
    waiting: AtomicU64,
    /// What to call instead of raising the eventfd, where the sleeper waits in the runtime.
    task: Mutex<Option<Waker>>,
}

/// The ways to all shards. One per shard and one for the operator's floor; cheap to copy.
#[derive(Clone, Debug)]
pub struct Ways {
    senders: Arc<[Sender<Parcel>]>,
    urgent: Arc<[Sender<Parcel>]>,
    doors: Arc<[Door]>,
    /// A channel with so many bytes has no room for a batch.
    bytes_max: u64,
}

/// A shard's own end of its way. One per shard.
#[derive(Debug)]
pub struct Inbox {
    receiver: Receiver<Parcel>,
    urgent: Receiver<Parcel>,
    doors: Arc<[Door]>,
    me: ShardId,
}

/// Makes the ways between so many shards, each with room for so many parcels and so many bytes in them, which the last one may exceed.
pub fn connect(shards: usize, parcels_max: usize, bytes_max: u64) -> std::io::Result<(Ways, Vec<Inbox>)> {
    let (mut senders, mut urgent, mut doors, mut receivers) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    for _ in 0..shards {
        let (sender, receiver) = bounded(parcels_max.max(1));
        let (urgent_sender, urgent_receiver) = bounded(parcels_max.max(1));
        senders.push(sender);
        urgent.push(urgent_sender);
        receivers.push((receiver, urgent_receiver));
        doors.push(Door {
            bytes: AtomicU64::new(0),
            waker: EventFd::new()?,
            is_parked: AtomicBool::new(false),
            waiting: AtomicU64::new(0),
            task: Mutex::new(None),
        });
    }
    let doors: Arc<[Door]> = doors.into();
    let inbox =
        |(number, (receiver, urgent))| Inbox { receiver, urgent, doors: Arc::clone(&doors), me: ShardId::new(number) };
    let inboxes = receivers.into_iter().enumerate().map(inbox).collect();
    Ok((Ways { senders: senders.into(), urgent: urgent.into(), doors, bytes_max }, inboxes))
}

impl Ways {
    /// How many shards there are.
    pub fn shards(&self) -> usize {
        self.doors.len()
    }

    /// Puts a parcel into a shard's channel; gives it back if there is no room. Nobody is woken yet.
    pub fn put(&self, to: ShardId, parcel: Parcel) -> Result<(), Parcel> {
        let (bytes, there) = (parcel.bytes(), &self.doors[to.index()].bytes);
        // Several senders at once may each exceed the bound by a batch.
        if bytes > 0 && there.load(Ordering::SeqCst) >= self.bytes_max {
            return Err(parcel);
        }
        there.fetch_add(bytes, Ordering::SeqCst); // before it can be taken
        let senders = if parcel.is_urgent() { &self.urgent } else { &self.senders };
        match senders[to.index()].try_send(parcel) {
            // A shard that is gone takes its messages with it: the process is ending.
            Ok(()) | Err(TrySendError::Disconnected(_)) => Ok(()),
            Err(TrySendError::Full(parcel)) => {
                there.fetch_sub(bytes, Ordering::SeqCst);
                Err(parcel)
            }
        }
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

impl Inbox {
    /// The next parcel.
    pub fn take(&self) -> Option<Parcel> {
        let parcel = self.receiver.try_recv().ok()?;
        self.doors[self.me.index()].bytes.fetch_sub(parcel.bytes(), Ordering::SeqCst);
        Some(parcel)
    }

    /// The next one of those that wait behind no messages.
    pub fn take_urgent(&self) -> Option<Parcel> {
        self.urgent.try_recv().ok()
    }

    /// How many wait.
    pub fn depth(&self) -> usize {
        self.receiver.len() + self.urgent.len()
    }

    /// What they are charged.
    pub fn bytes(&self) -> u64 {
        self.doors[self.me.index()].bytes.load(Ordering::Relaxed)
    }

    /// Whether none waits.
    pub fn is_empty(&self) -> bool {
        self.receiver.is_empty() && self.urgent.is_empty()
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

/// Parcels of one shard that found no room, by the shard they are for, in order.
#[derive(Debug)]
pub struct Held {
    queues: Vec<VecDeque<Parcel>>,
    /// The shards whose queue is not empty.
    full: Bits64,
}

impl Held {
    /// None for any of so many shards.
    pub fn new(shards: usize) -> Self {
        Self { queues: (0..shards).map(|_| VecDeque::new()).collect(), full: Bits64::EMPTY }
    }

    /// Sends a parcel, behind those that wait for the same shard. Says whether the way has just become full.
    pub fn send(&mut self, ways: &Ways, from: ShardId, to: ShardId, parcel: Parcel) -> bool {
        if self.full.contains(to.bit()) && !parcel.is_urgent() {
            self.queues[to.index()].push_back(parcel);
            return false;
        }
        match ways.put_or_ask(from, to, parcel) {
            Ok(()) => false,
            Err(parcel) => {
                self.queues[to.index()].push_back(parcel);
                self.full.insert(to.bit());
                true
            }
        }
    }

    /// Tries again; says for which shards nothing waits any more.
    pub fn retry(&mut self, ways: &Ways, from: ShardId) -> Bits64 {
        let mut freed = Bits64::EMPTY;
        for bit in self.full.iter() {
            let to = ShardId::of_bit(bit);
            let queue = &mut self.queues[to.index()];
            let mut has_sent = false;
            while let Some(parcel) = queue.pop_front() {
                match ways.put_or_ask(from, to, parcel) {
                    Ok(()) => has_sent = true,
                    Err(parcel) => {
                        queue.push_front(parcel);
                        break;
                    }
                }
            }
            if queue.is_empty() {
                freed.insert(bit);
            }
            if has_sent {
                ways.wake(to);
            }
        }
        self.full = self.full.difference(freed);
        freed
    }

    /// Whether nothing waits.
    pub fn is_empty(&self) -> bool {
        self.full.is_empty()
    }

    /// How many parcels wait.
    pub fn len(&self) -> usize {
        self.queues.iter().map(VecDeque::len).sum()
    }

    /// What they are charged.
    pub fn bytes(&self) -> u64 {
        self.queues.iter().flatten().map(Parcel::bytes).sum()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::super::clock::Clock;
    use super::super::ring::uring::Ring;
    use super::*;
    use crate::engine::mesh::RunPiece;
    use crate::engine::message::SessionId;

    /// A batch of nothing, which is charged nothing.
    fn numbered(sent_ns: u64) -> Parcel {
        Parcel::Batch { from: ShardId::new(0), sent_ns, bytes: 0, letters: Vec::new() }
    }

    fn number(parcel: &Parcel) -> u64 {
        let Parcel::Batch { sent_ns, .. } = parcel else { panic!("{parcel:?}") };
        *sent_ns
    }

    #[test]
    fn parcels_that_find_no_room_wait_in_order_and_their_sender_is_woken() {
        let (ways, inboxes) = connect(2, 2, u64::MAX).unwrap();
        let (from, to) = (ShardId::new(0), ShardId::new(1));
        let mut held = Held::new(2);
        let became_full: Vec<bool> = (0..5).map(|n| held.send(&ways, from, to, numbered(n))).collect();
        assert_eq!(became_full, [false, false, true, false, false]);
        assert_eq!((held.len(), inboxes[1].depth()), (3, 2));
        assert!(held.retry(&ways, from).is_empty());
        assert_eq!(number(&inboxes[1].take().unwrap()), 0);
        assert_eq!(inboxes[1].take_waiting(), Bits64::of(from.bit()));
        assert!(held.retry(&ways, from).is_empty());
        let mut seen = Vec::new();
        while !held.is_empty() || !inboxes[1].is_empty() {
            seen.extend(inboxes[1].take().map(|parcel| number(&parcel)));
            held.retry(&ways, from);
        }
        assert_eq!(seen, [1, 2, 3, 4]);
    }

    /// Runs of so many bytes each.
    fn letters(count: usize, bytes: usize) -> Vec<Mesh> {
        let run = RunPiece { bytes: vec![0; bytes].into(), count: 1, is_v5: false, origin: SessionId::BROKER };
        vec![Mesh::Run { run, publisher: None }; count]
    }

    fn batches(letters: Vec<Mesh>) -> Vec<Parcel> {
        let mut batches = Vec::new();
        Parcel::batches(letters, ShardId::new(0), 0, |batch| batches.push(batch));
        batches
    }

    #[test]
    fn a_batch_is_bounded_in_messages_and_in_bytes() {
        let lengths = |letters| -> Vec<usize> {
            let length = |parcel: &Parcel| {
                let Parcel::Batch { letters, .. } = parcel else { panic!("{parcel:?}") };
                letters.len()
            };
            batches(letters).iter().map(length).collect()
        };
        assert_eq!(lengths(letters(600, 10)), [256, 256, 88]);
        assert_eq!(lengths(letters(7, 100 << 10)), [3, 3, 1]);
        assert_eq!(lengths(letters(2, 1 << 20)), [1, 1]);
        assert!(lengths(Vec::new()).is_empty());
    }

    #[test]
    fn a_channel_full_of_bytes_takes_no_batch_until_some_are_gone() {
        let (ways, inboxes) = connect(2, 64, 1 << 20).unwrap();
        let (from, to) = (ShardId::new(0), ShardId::new(1));
        let mut held = Held::new(2);
        let became_full: Vec<bool> =
            batches(letters(6, 300 << 10)).into_iter().map(|batch| held.send(&ways, from, to, batch)).collect();
        assert_eq!(became_full, [false, false, false, false, true, false], "the one that reaches the bound still goes");
        assert_eq!((held.len(), inboxes[1].depth()), (2, 4));
        assert!(inboxes[1].bytes() >= 1200 << 10 && held.bytes() >= 600 << 10);
        assert!(ways.put(to, numbered(0)).is_ok(), "what has no messages needs no room for them");
        assert!(inboxes[1].take().is_some() && inboxes[1].take_waiting() == Bits64::of(from.bit()));
        assert_eq!((held.retry(&ways, from), held.len()), (Bits64::EMPTY, 1));
        while inboxes[1].take().is_some() {}
        assert_eq!((held.retry(&ways, from), held.len()), (Bits64::of(to.bit()), 0));
        while inboxes[1].take().is_some() {}
        assert_eq!((inboxes[1].bytes(), held.bytes()), (0, 0));
    }

    #[test]
    fn what_found_no_place_in_a_channel_is_not_charged_there() {
        let (ways, inboxes) = connect(2, 2, u64::MAX).unwrap();
        let to = ShardId::new(1);
        let mut batches = batches(letters(9, 300 << 10)).into_iter();
        for is_room in [true, true, false, false] {
            assert_eq!(ways.put(to, batches.next().unwrap()).is_ok(), is_room);
        }
        while inboxes[1].take().is_some() {}
        assert_eq!(inboxes[1].bytes(), 0);
    }

    #[test]
    fn what_is_urgent_waits_behind_no_messages() {
        let (ways, inboxes) = connect(2, 2, 1).unwrap();
        let (from, to) = (ShardId::new(0), ShardId::new(1));
        let mut held = Held::new(2);
        batches(letters(3, 10)).into_iter().chain(batches(letters(3, 10))).for_each(|batch| {
            held.send(&ways, from, to, batch);
        });
        assert_eq!((held.len(), inboxes[1].depth()), (1, 1));
        assert!(!held.send(&ways, from, to, Parcel::Stop { until_ns: 7 }), "the way of messages alone is full");
        assert!(ways.put(to, Parcel::Serve).is_ok() && ways.put(to, Parcel::Serve).is_err(), "it is bounded as well");
        assert!(matches!(inboxes[1].take_urgent(), Some(Parcel::Stop { until_ns: 7 })));
        assert!(matches!(inboxes[1].take_urgent(), Some(Parcel::Serve)) && inboxes[1].take_urgent().is_none());
        assert!(inboxes[1].take().is_some() && inboxes[1].is_empty());
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

    /// Two shards that flood each other through channels of two parcels, sleeping whenever they can do nothing: each must be
    /// woken again, and nothing may be lost or overtake.
    #[test]
    fn two_full_shards_do_not_stop_each_other() {
        const PARCELS: u64 = 50_000;
        const PATIENCE_NS: u64 = 20_000_000_000;
        let clock = Clock::start();
        let (ways, inboxes) = connect(2, 2, u64::MAX).unwrap();
        let flood = move |inbox: Inbox, ways: Ways| {
            let (me, peer) = (inbox.me, ShardId::new(1 - inbox.me.index()));
            let mut ring = Ring::new(8).unwrap();
            ring.watch_waker(inbox.waker());
            let (mut held, mut sent, mut seen) = (Held::new(2), 0, 0);
            while seen < PARCELS || sent < PARCELS || !held.is_empty() {
                ring.poke();
                ring.drain(|_| {});
                held.retry(&ways, me);
                while let Some(parcel) = inbox.take() {
                    assert_eq!(number(&parcel), seen, "parcels of one sender stay in order");
                    seen += 1;
                }
                inbox.take_waiting().iter().for_each(|bit| _ = ways.wake(ShardId::of_bit(bit)));
                if sent < PARCELS && held.is_empty() {
                    held.send(&ways, me, peer, numbered(sent));
                    ways.wake(peer);
                    sent += 1;
                    continue;
                }
                inbox.park();
                let before = held.len();
                held.retry(&ways, me);
                let is_done = seen == PARCELS && sent == PARCELS && held.is_empty();
                if held.len() == before && inbox.is_empty() && !is_done {
                    let until_ns = clock.now_ns() + PATIENCE_NS;
                    ring.wait(Some(Duration::from_nanos(PATIENCE_NS)));
                    assert!(clock.now_ns() < until_ns, "a sleeper was forgotten");
                }
                inbox.unpark();
            }
        };
        #[expect(clippy::disallowed_methods, reason = "shards are threads")]
        let threads: Vec<_> = inboxes
            .into_iter()
            .map(|inbox| {
                let ways = ways.clone();
                std::thread::spawn(move || flood(inbox, ways))
            })
            .collect();
        for thread in threads {
            thread.join().unwrap();
        }
    }
}
