//! What a shard tells the floor above about itself: plain numbers, copied once when somebody asks.

use super::files::tally::Tally;
use super::files::writer::State;
use crate::config::{Durability, Storage};
use crate::engine::accounts::Census;
use crate::engine::shard::Sizes;
use crate::engine::stats::Stats;

/// Upper bounds of the buckets of a [`Histogram`], in microseconds; the last bucket has none.
pub const BUCKETS_US: [u64; 16] =
    [1, 2, 5, 10, 20, 50, 100, 200, 500, 1_000, 2_000, 5_000, 10_000, 50_000, 100_000, 1_000_000];

/// Durations by bucket. Plain numbers of one shard.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Histogram {
    /// How many fell into each bucket, not added up; the last one holds what is longer than every bound.
    pub buckets: [u64; BUCKETS_US.len() + 1],
    /// The sum of all durations in nanoseconds.
    pub sum_ns: u64,
}

impl Histogram {
    /// The bucket of a duration.
    pub fn bucket(ns: u64) -> usize {
        let us = ns.div_ceil(1_000);
        BUCKETS_US.partition_point(|bound| *bound < us)
    }

    /// Counts one duration.
    pub fn note_ns(&mut self, ns: u64) {
        self.buckets[Self::bucket(ns)] += 1;
        self.sum_ns += ns;
    }

    /// How many durations were counted.
    pub fn count(&self) -> u64 {
        self.buckets.iter().sum()
    }
}

/// What the shell of one shard counts; it only grows but where a field says that it is of this moment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ShellStats {
    /// Turns.
    pub turns: u64,
    /// How long turns took that did something.
    pub turn_length: Histogram,
    /// How much longer than its time budget a turn took, where it did.
    pub stall: Histogram,
    /// How long batches of other shards were on their way.
    pub hop_latency: Histogram,
    /// Nanoseconds in turns that did something; the rest was spin or sleep.
    pub busy_ns: u64,
    /// Times the shard slept.
    pub parks: u64,
    /// Times it was woken by another shard.
    pub wakes_received: u64,
    /// Times it woke another shard.
    pub wakes_sent: u64,
    /// Connections accepted.
    pub accepted: u64,
    /// Times accepting was paused for lack of descriptors.
    pub accept_pauses: u64,
    /// Times that another policy came into force.
    pub policy_changes: u64,
    /// Handshakes of layers that have come to their end.
    pub handshakes: u64,
    /// Of these, the ones that have resumed a session.
    pub handshakes_resumed: u64,
    /// Connections whose layers could not go on.
    pub layer_failures: u64,
    /// Questions whose answers take time.
    pub questions: u64,
    /// Answers that have come.
    pub answers: u64,
    /// Of these, the ones that nobody could take, or not in time.
    pub questions_refused: u64,
    /// Who was turned away before anything was done for him.
    pub refused_early: RefusedEarly,
    /// At this moment: handshakes that have not begun.
    pub handshakes_waiting: u64,
    /// At this moment: questions that wait for a clerk.
    pub questions_waiting: u64,
    /// At this moment: milliseconds since the one began to wait who waits longest.
    pub waiting_oldest_ms: u64,
    /// Connections handed to another shard.
    pub handed_over: u64,
    /// Connections that came from another shard.
    pub adopted: u64,
    /// Writes of the journal that were begun.
    pub journal_writes: u64,
    /// Reads of the journal that have begun.
    pub journal_reads: u64,
    /// Pieces of sweeps.
    pub sweep_pieces: u64,
    /// At this moment: connections that wait for their turn to be sent what goes to many.
    pub late_connections: u64,
    /// At this moment: bytes that wait so.
    pub late_bytes: u64,
    /// At this moment: times that bytes for a client wait until what they promise is kept.
    pub promises_waiting: u64,
    /// At this moment: nanoseconds since the journal last let some of them go, or since the first of them came.
    pub promises_stalled_ns: u64,
    /// Reads that brought bytes.
    pub reads: u64,
    /// Bytes read.
    pub read_bytes: u64,
    /// Times the kernel began to receive for a connection on its own.
    pub receive_promotions: u64,
    /// Times it stopped, for a connection that goes on.
    pub receive_demotions: u64,
    /// Times it stopped because no buffer was left for what had come.
    pub receive_shortages: u64,
    /// Vectored sends.
    pub sends: u64,
    /// Bytes that the kernel took.
    pub sent_bytes: u64,
    /// Sends that the kernel took only in part, or not at all.
    pub short_sends: u64,
    /// Packets sent, by their type's number.
    pub packets_sent: [u64; 16],
    /// The bytes of these packets by their type's number.
    pub packet_bytes_sent: [u64; 16],
    /// Batches sent to other shards.
    pub mesh_batches_sent: u64,
    /// Batches that came from other shards.
    pub mesh_batches_received: u64,
    /// Inputs that what they brought was.
    pub mesh_inputs: u64,
    /// Times the way to another shard was full.
    pub mesh_full: u64,
    /// At this moment: batches that wait for this shard.
    pub mesh_depth: u64,
    /// At this moment: batches that wait here for a full shard.
    pub mesh_held: u64,
    /// What they and those that wait for this shard are charged.
    pub mesh_bytes: u64,
    /// At this moment: bytes of the shard's own buffers.
    pub buffer_bytes: u64,
    /// Times the ring had no place for all completions, and the kernel kept some for later.
    pub ring_overflows: u64,
    /// At this moment: operations that the ring holds, such as watches of connections.
    pub ring_in_flight: u64,
    /// Entries submitted to the ring.
    pub ring_submissions: u64,
    /// Completions of the ring.
    pub ring_completions: u64,
    /// System calls that entered the ring.
    pub ring_enters: u64,
}

/// Who was turned away because there was no time or no room. It only grows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RefusedEarly {
    /// Connections whose handshake would have begun too late.
    pub handshakes_late: u64,
    /// Clients whose question would have been answered too late.
    pub questions_late: u64,
    /// Clients whose question has found no room.
    pub questions_full: u64,
}

/// What the journal of one shard counts; it only grows but where a field says that it is of this moment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct JournalStats {
    /// What its writer has done.
    pub tally: Tally,
    /// Times there was no room for another segment.
    pub shortages: u64,
    /// At this moment: how it stands.
    pub state: State,
    /// What its files may take of the disk; 0 for no bound.
    pub bytes_max: u64,
    /// At this moment: bytes of the files that are in use, without what was made ahead of use and what is spare.
    pub disk_bytes: u64,
    /// At this moment: bytes that wait to be written.
    pub pending_bytes: u64,
    /// At this moment: segments of the log, without what was made ahead of use and what is spare.
    pub segments: u64,
    /// At this moment: bytes that are used of them.
    pub log_bytes: u64,
    /// At this moment: how many of them hold, as far as it is known.
    pub live_bytes: u64,
    /// Sweeps that are over.
    pub sweeps: u64,
    /// Bytes that sweeps have noted again.
    pub swept_bytes: u64,
    /// Segments that were found dead.
    pub dead_segments: u64,
}

/// What a shard has found of before the start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Replayed {
    /// How long it took to read.
    pub took_ns: u64,
    /// Bytes that were read.
    pub bytes: u64,
    /// Intact records in them.
    pub records: u64,
    /// Pieces of damage, missing segments included.
    pub damages: u64,
}

/// What an acknowledgement promises.
#[derive(Clone, Copy, Debug)]
pub struct Promise {
    /// When something counts as kept.
    pub durability: Durability,
    /// How much of what was acknowledged a power cut may take, in seconds; without end where all of it goes with the process.
    pub loss_window_s: f64,
}

impl Promise {
    /// What these settings promise.
    #[expect(clippy::cast_precision_loss, reason = "seconds for people")]
    pub fn of(storage: &Storage) -> Self {
        let loss_window_s = match storage.durability {
            Durability::Fsync => 0.0,
            Durability::Interval => storage.interval_ms as f64 / 1e3,
            Durability::Memory => f64::INFINITY,
        };
        Self { durability: storage.durability, loss_window_s }
    }
}

/// What one shard says about itself at one moment.
#[derive(Clone, Debug)]
pub struct Report {
    /// Its number: a shard that did not answer in time leaves a gap.
    pub shard: usize,
    /// The core it is pinned to, if it is.
    pub core: Option<usize>,
    /// What the engine counted.
    pub stats: Stats,
    /// How much the engine holds.
    pub sizes: Sizes,
    /// What the shell counted.
    pub shell: ShellStats,
    /// What it promises.
    pub promise: Promise,
    /// What its journal counted.
    pub journal: JournalStats,
    /// What it has started from.
    pub replayed: Replayed,
    /// How often files were read anew, in the whole broker.
    pub reloads: Reloads,
    /// What is counted of addresses and users, in the whole broker.
    pub census: Census,
    /// What those have counted who ask web servers, in the whole broker.
    pub web: WebStats,
    /// Seconds since the shard started.
    pub uptime_s: f64,
}

/// What those count who ask web servers; it only grows but where a field says that it is of this moment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct WebStats {
    /// Questions to a hook that it has answered with yes.
    pub allowed: u64,
    /// With no.
    pub denied: u64,
    /// By not knowing.
    pub ignored: u64,
    /// Not at all, or not as it should.
    pub failed: u64,
    /// How long answers took, and failures.
    pub answers: Histogram,
    /// Questions whose answer was remembered.
    pub cache_hits: u64,
    /// Questions that were under way already.
    pub joined: u64,
    /// Questions that found too many waiting.
    pub refused: u64,
    /// Fetches that brought other keys than before.
    pub keys_changed: u64,
    /// Fetches that brought the same ones.
    pub keys_same: u64,
    /// Fetches that brought none.
    pub keys_failed: u64,
    /// At this moment: keys that were fetched and hold.
    pub keys: u64,
    /// At this moment: whether the last fetch brought none.
    pub are_keys_failing: bool,
}

/// How often files were read anew.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Reloads {
    /// Times that what they say came into force.
    pub done: u64,
    /// Times that it did not.
    pub failed: u64,
    /// What some of them say is not in force.
    pub is_failing: bool,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_duration_falls_into_the_bucket_that_bounds_it() {
        let mut histogram = Histogram::default();
        histogram.note_ns(900); // 1 us
        histogram.note_ns(1_001); // 2 us
        histogram.note_ns(2_000_000_000);
        assert_eq!((histogram.buckets[0], histogram.buckets[1], histogram.buckets[16]), (1, 1, 1));
        assert_eq!((histogram.count(), histogram.sum_ns), (3, 2_000_001_901));
    }
}
