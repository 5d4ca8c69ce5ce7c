//! Which shards may want a topic: a bit-sliced counting filter, shared and read without a lock.
//!
//! # What is promised
//! After [`Declared::declare`](super::declared::Declared::declare) has returned,
//! [`Interest::shards_for`] of each topic that the filter matches contains the shard, until it is
//! withdrawn: whatever other shards declare and withdraw meanwhile. A shard too many may be named
//! (the look-up over there finds nothing), a shard too few never.
//!
//! # Why it holds
//! 1. At each position every shard has a bit of its own, and nobody else changes it. All changes
//!    are read-modify-writes, so none undoes another's.
//! 2. A publisher that learnt of the declaration (by a message, a flag, a SUBACK) reads after it in
//!    the order of happens-before. Coherence then gives it, word by word, the declared state or a
//!    later one; and in all later states the bit is set, by 1. No order *between* words is needed
//!    for that.
//! 3. A shape's slot keeps its shape while any shard holds it: holders are counted in the same word
//!    as the shape, so that "join the shape" and "give the slot to another shape" are decided by
//!    one compare-and-swap. By 2 the publisher reads that word as it was when the declaration
//!    returned, or later with the same shape.
//! 4. Only a shard that moves between "a slot for each of my shapes" and "send me all" gives slots
//!    up that it still needs. There order between words does matter; see [`Interest::shards_for`].

use std::sync::atomic::{AtomicU64, Ordering};

use super::fingerprint::Fingerprint;
use super::shape::Maskable;
use super::slots::Slots;
use crate::base::bitset::Bits64;
use crate::base::hash::Seed;
use crate::mqtt::topic::{Filter, Topic};

/// How many positions a filter marks.
pub const PROBES: usize = 6;

/// The shared half: read by every shard, written by each at its own bits. One per process.
#[derive(Debug)]
pub struct Interest {
    prints: Fingerprint,
    layout: Layout,
    /// At each position `1 << layout.lanes_log2` bits, one a shard.
    words: Box<[AtomicU64]>,
    pub(super) slots: Slots,
    /// The shards that want every message.
    everything: AtomicU64,
    /// How often a shard has begun to want everything.
    moves: AtomicU64,
    generation: AtomicU64,
}

/// Where a bit lies.
#[derive(Clone, Copy, Debug)]
struct Layout {
    shards: u32,
    lanes_log2: u32,
    positions_log2: u32,
}

impl Interest {
    /// For this many shards (1 to 64), with this many positions (rounded up to a power of two, at
    /// least 1,024). Sixteen positions a filter of the fullest shard keep false positives below one
    /// in a thousand for each shard and shape. Memory is positions x shards (rounded up to a power
    /// of two) bits, touched as filters come.
    pub fn new(seed: Seed, shards: u32, positions: usize) -> Self {
        assert!((1..=Bits64::BOUND).contains(&shards), "a set of shards has at most 64 members");
        let layout = Layout {
            shards,
            lanes_log2: shards.next_power_of_two().ilog2(),
            positions_log2: positions.max(1_024).next_power_of_two().ilog2(),
        };
        assert!(layout.positions_log2 < 40, "positions are addressed by 40 bits of the hash");
        // Zeroed pages come from the system untouched; wrapping each word keeps them so.
        let words = vec![0_u64; layout.positions() << layout.lanes_log2 >> 6];
        Self {
            prints: Fingerprint::new(seed),
            layout,
            words: words.into_iter().map(AtomicU64::new).collect(),
            slots: Slots::new(),
            everything: AtomicU64::new(0),
            moves: AtomicU64::new(0),
            generation: AtomicU64::new(0),
        }
    }

    /// The shards that may have a subscription which matches the topic.
    pub fn shards_for(&self, topic: Topic<'_>) -> Bits64 {
        self.look_up(topic, || {})
    }

    /// [`Interest::shards_for`], with a call wherever other shards may come in between: tests let
    /// them.
    pub(super) fn look_up(&self, topic: Topic<'_>, mut between: impl FnMut()) -> Bits64 {
        // A shard enters "send me all" so: its bit in `everything` set; `moves` raised; its slots
        // released. It leaves so: its slots acquired; its bit cleared. We read `moves`,
        // `everything`, the slots, `moves` again, each load an acquire.
        // - Slots seen released, and the raise of `moves` not seen by the first read: the release
        //   of a slot happens after the raise, so the last read sees it, and we name all shards.
        // - The raise seen by the first read: `everything` was set before it, so we see it set, or
        //   cleared by a later leave, whose slots were acquired before and are seen too (or
        //   released again by a later entry: the first case).
        let moves = self.moves.load(Ordering::Acquire);
        between();
        let mut found = self.everything.load(Ordering::Acquire);

        between();
        let all = Bits64::all_below(self.layout.shards);
        let maskable = Maskable::new(topic, &self.prints);
        found |= self.marked(maskable.whole(), all.to_bits() & !found);
        between();
        self.slots.for_each(|shape, holders| {
            let candidates = holders & !found;
            if candidates != 0
                && let Some(path) = maskable.masked(shape, &self.prints)
            {
                found |= self.marked(path, candidates);
            }
            between();
        });

        if self.moves.load(Ordering::Acquire) == moves { Bits64::from_bits(found) } else { all }
    }

    /// Changes after each change of what is declared. A result of [`Interest::shards_for`] may be
    /// kept as long as the generation stays what it was *before* the look-up: a declaration raises
    /// it after setting its bits and before it returns, so whoever knows of the declaration sees a
    /// generation that the kept result does not have.
    pub fn generation(&self) -> u64 {
        self.generation.load(Ordering::Acquire)
    }

    /// How many shards there are.
    pub fn shard_count(&self) -> u32 {
        self.layout.shards
    }

    /// How many positions there are.
    pub fn position_count(&self) -> usize {
        self.layout.positions()
    }

    /// How many shapes are in use: so many hashes a look-up makes at most, beside the topic's own.
    pub fn shape_count(&self) -> usize {
        self.slots.used_count()
    }

    /// The shards that want every message because their filters have too many shapes or levels.
    pub fn wanting_everything(&self) -> Bits64 {
        Bits64::from_bits(self.everything.load(Ordering::Acquire))
    }

    /// Bytes of address space; the resident part follows the filters.
    pub fn memory_bytes(&self) -> usize {
        size_of_val(&*self.words) + size_of::<Self>()
    }

    /// The positions that a filter marks.
    pub(super) fn positions_of(&self, filter: Filter<'_>) -> [usize; PROBES] {
        self.layout.positions_of(self.prints.whole(filter.as_str().as_bytes()))
    }

    pub(super) fn set(&self, position: usize, shard: u32) {
        let (word, shift) = self.layout.place(position);
        self.words[word].fetch_or(1 << (shift + shard), Ordering::Release);
    }

    pub(super) fn clear(&self, position: usize, shard: u32) {
        let (word, shift) = self.layout.place(position);
        self.words[word].fetch_and(!(1 << (shift + shard)), Ordering::Release);
    }

    pub(super) fn is_set(&self, position: usize, shard: u32) -> bool {
        let (word, shift) = self.layout.place(position);
        self.words[word].load(Ordering::Acquire) >> (shift + shard) & 1 != 0
    }

    /// To be called before the shard releases its slots.
    pub(super) fn want_everything(&self, shard: u32) {
        self.everything.fetch_or(1 << shard, Ordering::AcqRel);
        self.moves.fetch_add(1, Ordering::AcqRel);
    }

    /// To be called after the shard has acquired a slot for each of its shapes.
    pub(super) fn want_declared_only(&self, shard: u32) {
        self.everything.fetch_and(!(1 << shard), Ordering::AcqRel);
    }

    pub(super) fn raise_generation(&self) {
        self.generation.fetch_add(1, Ordering::Release);
    }

    /// Those of the candidates that have all positions of this hash marked.
    fn marked(&self, path: u64, mut candidates: u64) -> u64 {
        for position in self.layout.positions_of(path) {
            if candidates == 0 {
                break;
            }
            let (word, shift) = self.layout.place(position);
            candidates &= self.words[word].load(Ordering::Acquire) >> shift;
        }
        candidates
    }
}

impl Layout {
    fn positions(self) -> usize {
        1 << self.positions_log2
    }

    /// Double hashing: an arithmetic progression with an odd step, read from the high bits.
    #[expect(clippy::cast_possible_truncation, reason = "positions are below 2^40")]
    fn positions_of(self, path: u64) -> [usize; PROBES] {
        let step = path.wrapping_mul(0xA076_1D64_78BD_642F).rotate_left(32) | 1;
        let mut at = path;
        std::array::from_fn(|_| {
            let position = (at >> (u64::BITS - self.positions_log2)) as usize;
            at = at.wrapping_add(step);
            position
        })
    }

    /// The word of a position, and how far its bits are shifted there.
    #[expect(clippy::cast_possible_truncation, reason = "only the lowest six bits are used")]
    fn place(self, position: usize) -> (usize, u32) {
        let positions_log2 = 6 - self.lanes_log2;
        let within = position as u32 & ((1 << positions_log2) - 1);
        (position >> positions_log2, within << self.lanes_log2)
    }
}
