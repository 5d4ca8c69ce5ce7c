//! Floor 0: the domain-free building blocks that every other floor stands on.
//!
//! Nothing here knows what MQTT is. Nothing here reads a clock, asks the operating system for
//! randomness, starts a thread or does I/O: time, seeds and bytes come in as values, so that one
//! seed replays a whole run.
//!
//! | file         | what                                           | owner                     |
//! |--------------|------------------------------------------------|---------------------------|
//! | [`time`]     | a point on the monotonic clock                 | a value                   |
//! | [`wall`]     | the clock on the wall, reckoned on             | a value                   |
//! | [`random`]   | a small seeded generator                       | one per concern           |
//! | [`hash`]     | seeded hashing, the only hash tables we use    | the seed: one per process |
//! | [`checksum`] | CRC-32C                                        | a value                   |
//! | [`bitset`]   | sets of small numbers: one word, or growable   | a value                   |
//! | [`ring`]     | a bounded queue, no heap while it is unused    | one per queue             |
//! | [`pages`]    | an array that grows without moving anything           | one per table             |
//! | [`slab`]     | objects under keys that go stale, never astray | one per shard and kind    |
//! | [`chains`]   | many lists of keys in one stock of memory      | the wheel                 |
//! | [`wheel`]    | deadlines for millions, lazily swept           | one per shard and concern |
//! | [`labels`]   | millions of short texts, four bytes to name each | one per shard and concern |
//! | [`payload`]  | shared bytes and the arena that they come from | arena: one per shard      |
//! | [`rare`]     | a part that most objects never use             | one per object            |
//! | [`nearest`]  | the known name that a misspelled one stands for | a value                   |
//! | [`network`]  | all IP addresses that begin alike              | a value                   |
//! | [`backoff`]  | growing, jittered delays between attempts      | one per thing retried     |
//! | [`waiting`]  | a line of those with deadlines; who would be late is turned away | one per shard and concern |
//!
//! Invariants worth naming:
//! - The same calls with the same seeds give the same results, on every run and every core.
//! - A stale [`slab::Key`] finds nothing, ever: generations are used up, not reused.
//! - A [`wheel::Wheel`] looks at an entry early only if its deadline lies beyond its reach, and it
//!   is the owner who fires: nothing fires early, and nothing is forgotten.
//! - Only a [`payload::Payload`] crosses cores; everything else has one owner and no lock.
//!
//! Not here, and why: limits (they are decisions, so they live with the broker in
//! `engine/limits.rs`), errors (nothing in this room can fail through a peer), the clock itself and
//! the source of seeds (the shell reads both), anything that serialises (the wire and the journal
//! own their formats).

pub mod backoff;
pub mod bitset;
pub mod chains;
pub mod checksum;
pub mod hash;
pub mod labels;
pub mod nearest;
pub mod network;
pub mod pages;
pub mod payload;
pub mod random;
pub mod rare;
pub mod ring;
pub mod slab;
pub mod time;
pub mod waiting;
pub mod wall;
pub mod wheel;
