//! Who wants which topic: the index of a shard, and the interest that all shards share.
//!
//! | file                      | what                                          | owner         |
//! |---------------------------|-----------------------------------------------|---------------|
//! | [`index`]                 | filters to subscribers, a topic to filters    | one per shard |
//! | [`entry`]                 | who subscribed and how, in eight bytes        | a value       |
//! | `audience`                | the many subscriptions of one filter          | the index     |
//! | `prefixes`                | which beginnings of wildcard filters exist    | the index     |
//! | `matching`                | the walk over the masks of a topic            | the index     |
//! | `texts` `pages` `parts`   | an arena, an array, a table: without pauses   | the index     |
//! | [`interest`]              | which shards may want a topic                 | all shards    |
//! | [`declared`]              | a shard's own half: counters and shapes       | one per shard |
//! | `shape` `slots`           | which levels are wildcards; the shapes in use | all shards    |
//! | `fingerprint`             | hashes built level by level                   | a value       |
//! | [`shared`]                | the shared groups whose home a shard is       | one per shard |
//! | [`group`]                 | one group: queue, members, strategies         | its home      |
//! | [`members`] `hash_ring`   | who is in a group and has room                | the group     |
//! | [`deliveries`]            | what members have not acknowledged            | the group     |
//!
//! # The idea
//! A wildcard filter is found without reading it: put wildcards over the levels of a topic, and the
//! hash of the masked topic is the hash of the filter. The index asks one hash table for the topic
//! and for each mask worth asking for; the interest asks one bit-sliced filter for the topic and
//! for each shape in use. Both build hashes by `fingerprint`.
//!
//! # Invariants worth naming
//! - Hashes propose, bytes decide: the index compares texts, so no collision is ever a wrong match
//!   or a missed one.
//! - A filter stands in the index exactly while it has a subscriber.
//! - The interest may name a shard too many, never one too few, from the moment that `declare`
//!   returns.
//! - No insert moves more than a bounded number of items, whatever the size of the index (an
//!   audience excepted: it is contiguous, and grows by a quarter).
//!
//! To the index a group is one subscriber. Not here: delivery, and the cache of hot topics (it compares [`index::Index::generation`] and
//! [`interest::Interest::generation`]).

mod audience;
pub mod declared;
pub mod deliveries;
pub mod entry;
mod fingerprint;
pub mod group;
pub mod group_queue;
pub mod hash_ring;
pub mod index;
pub mod interest;
#[cfg(test)]
mod interleaving;
mod matching;
pub mod members;
#[cfg(test)]
mod model;
mod pages;
mod parts;
mod prefixes;
mod shape;
pub mod shared;
#[cfg(test)]
mod shared_model;
#[cfg(test)]
mod shared_tests;
mod slots;
mod texts;
