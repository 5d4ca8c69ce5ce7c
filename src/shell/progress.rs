//! How far the shards have come: with what they had kept at the start, and with their last words at the end.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use super::clock::Clock;
use crate::engine::homes::ShardId;

/// The start of a broker, and its end. Shared by its shards, each of which writes its own part, and by readers.
#[derive(Debug)]
pub struct Progress {
    clock: Clock,
    begun_ns: u64,
    parts: Box<[Part]>,
    is_open: AtomicBool,
}

/// What one shard has to read.
#[derive(Debug, Default)]
struct Part {
    /// All bytes of its files.
    total_bytes: u64,
    read_bytes: AtomicU64,
    records: AtomicU64,
    is_ready: AtomicBool,
    /// It has heard of the others what it has to know before anybody comes in, and told them.
    has_settled: AtomicBool,
    /// The broker stops, and what waited here for room at that moment is with the other shards.
    has_handed_on: AtomicBool,
    /// The broker stops, and what comes of that is on its way to the other shards.
    has_stopped: AtomicBool,
}

/// The part of one shard, which alone writes to it.
#[derive(Clone, Debug)]
pub struct Share {
    progress: Arc<Progress>,
    shard: ShardId,
}

/// How it stands at one moment.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Standing {
    /// Shards that know again what they had kept.
    pub ready: usize,
    /// All shards.
    pub shards: usize,
    /// Bytes that need not be read any more.
    pub done_bytes: u64,
    /// All bytes.
    pub total_bytes: u64,
    /// Bytes a second, since the beginning.
    pub bytes_per_s: u64,
    /// How long the slowest shard goes on if it goes on as before; none where one has read nothing yet.
    pub left_s: Option<u64>,
}

impl Progress {
    /// A start of shards that have so many bytes to read.
    pub fn new(clock: Clock, total_bytes: impl IntoIterator<Item = u64>) -> Arc<Self> {
        let part = |total_bytes| Part { total_bytes, ..Part::default() };
        let parts = total_bytes.into_iter().map(part).collect();
        Arc::new(Self { clock, begun_ns: clock.now_ns(), parts, is_open: AtomicBool::new(false) })
    }

    /// The part of this shard.
    pub fn share(self: &Arc<Self>, shard: ShardId) -> Share {
        assert!(shard.index() < self.parts.len(), "each shard has its part");
        Share { progress: Arc::clone(self), shard }
    }

    /// How many shards there are.
    pub fn shards(&self) -> usize {
        self.parts.len()
    }

    /// Every shard is ready, and clients come in from now on.
    pub fn open(&self) {
        self.is_open.store(true, Ordering::Relaxed);
    }

    /// The first shard that has not heard of the others what it has to know before anybody comes in.
    pub fn first_unsettled(&self) -> Option<usize> {
        self.parts.iter().position(|part| !part.has_settled.load(Ordering::Acquire))
    }

    /// How it stands; none once clients come in.
    pub fn standing(&self) -> Option<Standing> {
        let is_open = self.is_open.load(Ordering::Relaxed);
        (!is_open).then(|| standing(&self.parts, self.clock.now_ns() - self.begun_ns))
    }

    /// Intact records that were read.
    pub fn records(&self) -> u64 {
        self.parts.iter().map(|part| part.records.load(Ordering::Relaxed)).sum()
    }

    /// Bytes that were read.
    pub fn read_bytes(&self) -> u64 {
        self.parts.iter().map(|part| part.read_bytes.load(Ordering::Relaxed)).sum()
    }

    /// Milliseconds since the beginning.
    pub fn elapsed_ms(&self) -> u64 {
        (self.clock.now_ns() - self.begun_ns) / 1_000_000
    }
}

impl Share {
    /// So many more bytes were read.
    pub fn has_read(&self, bytes: u64) {
        self.part().read_bytes.fetch_add(bytes, Ordering::Relaxed);
    }

    /// The shard knows again what it had kept: so many records.
    pub fn is_ready(&self, records: u64) {
        self.part().records.store(records, Ordering::Relaxed);
        self.part().is_ready.store(true, Ordering::Relaxed);
    }

    /// It has heard of the others what it has to know before anybody comes in, and told them.
    pub fn has_settled(&self) {
        self.part().has_settled.store(true, Ordering::Release);
    }

    /// The broker stops, and what waited here for room on the way to another shard is there.
    pub fn has_handed_on(&self) {
        self.part().has_handed_on.store(true, Ordering::Release); // behind all of it
    }

    /// Whether that is so on every shard: what was on its way here when the last of them heard of the stop is here.
    pub fn have_all_handed_on(&self) -> bool {
        self.progress.parts.iter().all(|part| part.has_handed_on.load(Ordering::Acquire))
    }

    /// The broker stops: nobody is connected here any more, and whatever comes of that is with the other shards.
    pub fn has_stopped(&self) {
        self.part().has_stopped.store(true, Ordering::Release); // behind all that was sent
    }

    /// Whether that is so on every shard: what was sent here before is here.
    pub fn have_all_stopped(&self) -> bool {
        self.progress.parts.iter().all(|part| part.has_stopped.load(Ordering::Acquire))
    }

    fn part(&self) -> &Part {
        &self.progress.parts[self.shard.index()]
    }
}

impl Part {
    fn is_ready(&self) -> bool {
        self.is_ready.load(Ordering::Relaxed)
    }

    /// Bytes that need not be read any more, at most all of them.
    fn done_bytes(&self) -> u64 {
        if self.is_ready() { self.total_bytes } else { self.read_bytes.load(Ordering::Relaxed).min(self.total_bytes) }
    }

    /// How long it goes on if it goes on as before.
    fn left_ns(&self, elapsed_ns: u64) -> Option<u64> {
        let done = self.done_bytes();
        let left = u128::from(self.total_bytes - done) * u128::from(elapsed_ns);
        match (left, done) {
            (0, _) => Some(0),
            (_, 0) => None,
            (left, done) => Some(u64::try_from(left / u128::from(done)).unwrap_or(u64::MAX)),
        }
    }
}

fn standing(parts: &[Part], elapsed_ns: u64) -> Standing {
    const SECOND_NS: u64 = 1_000_000_000;
    let read = parts.iter().map(|part| u128::from(part.read_bytes.load(Ordering::Relaxed))).sum::<u128>();
    let bytes_per_s = read * u128::from(SECOND_NS) / u128::from(elapsed_ns.max(1));
    let left_ns: Option<Vec<u64>> = parts.iter().map(|part| part.left_ns(elapsed_ns)).collect();
    Standing {
        ready: parts.iter().filter(|part| part.is_ready()).count(),
        shards: parts.len(),
        done_bytes: parts.iter().map(Part::done_bytes).sum(),
        total_bytes: parts.iter().map(|part| part.total_bytes).sum(),
        bytes_per_s: u64::try_from(bytes_per_s).unwrap_or(u64::MAX),
        left_s: left_ns.map(|left_ns| left_ns.into_iter().max().unwrap_or(0).div_ceil(SECOND_NS)),
    }
}

impl Standing {
    /// How much of all is done, in a hundred parts.
    pub fn percent(&self) -> u64 {
        let share = u128::from(self.done_bytes) * 100 / u128::from(self.total_bytes.max(1));
        if self.total_bytes == 0 { 100 } else { u64::try_from(share).expect("at most a hundred") }
    }
}

impl fmt::Display for Standing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { ready, shards, total_bytes, bytes_per_s, left_s, .. } = self;
        if *total_bytes == 0 || ready == shards {
            return write!(f, "starting: {ready} of {shards} shards are ready");
        }
        write!(f, "reading the journal: {} %, {} MB/s, ", self.percent(), bytes_per_s / 1_000_000)?;
        match left_s {
            Some(left_s) => write!(f, "{left_s} s left"),
            None => f.write_str("time left unknown"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MB: u64 = 1_000_000;
    const SECOND_NS: u64 = 1_000_000_000;

    fn part(total_mb: u64, read_mb: u64, is_ready: bool) -> Part {
        Part {
            total_bytes: total_mb * MB,
            read_bytes: (read_mb * MB).into(),
            is_ready: is_ready.into(),
            ..Part::default()
        }
    }

    #[test]
    fn the_slowest_shard_decides_how_long_it_takes() {
        let told = standing(&[part(400, 300, false), part(400, 100, false)], 2 * SECOND_NS);
        assert_eq!((told.percent(), told.bytes_per_s, told.left_s), (50, 200 * MB, Some(6)));
        assert_eq!(told.to_string(), "reading the journal: 50 %, 200 MB/s, 6 s left");
    }

    #[test]
    fn a_shard_that_is_ready_need_not_read_the_rest() {
        let told = standing(&[part(64, 1, true), part(64, 32, false)], SECOND_NS);
        assert_eq!((told.ready, told.percent(), told.left_s), (1, 75, Some(1)));
        let told = standing(&[part(64, 1, true)], SECOND_NS);
        assert_eq!(told.to_string(), "starting: 1 of 1 shards are ready");
    }

    #[test]
    fn nobody_knows_the_time_before_the_first_byte() {
        let told = standing(&[part(64, 0, false), part(64, 64, false)], SECOND_NS);
        assert_eq!(told.to_string(), "reading the journal: 50 %, 64 MB/s, time left unknown");
    }

    #[test]
    fn without_a_journal_there_is_nothing_to_read() {
        let told = standing(&[part(0, 0, false), part(0, 0, true)], 0);
        assert_eq!((told.percent(), told.left_s), (100, Some(0)));
        assert_eq!(told.to_string(), "starting: 1 of 2 shards are ready");
    }

    #[test]
    fn nobody_has_settled_before_the_last_shard_has() {
        let progress = Progress::new(Clock::start(), [0; 3]);
        let seen = [1, 0, 2].map(|shard| {
            progress.share(ShardId::new(shard)).has_settled();
            progress.first_unsettled()
        });
        assert_eq!(seen, [Some(0), Some(2), None]);
    }

    #[test]
    fn a_start_stands_somewhere_until_clients_come_in() {
        let progress = Progress::new(Clock::start(), [10, 10]);
        let share = progress.share(ShardId::new(1));
        share.has_read(4);
        share.has_read(2);
        assert_eq!(progress.standing().map(|told| (told.done_bytes, told.ready)), Some((6, 0)));
        share.is_ready(3);
        assert_eq!(progress.standing().map(|told| (told.done_bytes, told.ready)), Some((10, 1)));
        assert_eq!((progress.read_bytes(), progress.records()), (6, 3));
        progress.open();
        assert_eq!(progress.standing(), None);
    }
}
