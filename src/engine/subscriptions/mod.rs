//! Who wants which topic: the subscription index of a shard, and the interest that all shards share.

pub mod audience;
pub mod declared;
pub mod deliveries;
pub mod entry;
pub mod fingerprint;
pub mod group;
pub mod hash_ring;
pub mod index;
pub mod interest;
pub mod matching;
pub mod members;
#[cfg(test)]
mod model;
pub mod pages;
pub mod parts;
pub mod prefixes;
pub mod shape;
pub mod shared;
#[cfg(test)]
mod shared_model;
#[cfg(test)]
mod shared_tests;
pub mod slots;
pub mod texts;
