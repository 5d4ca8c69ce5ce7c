//! Who wants which topic: the subscription index of a shard, and the interest that all shards share.

pub mod audience;
pub mod declared;
pub mod entry;
pub mod fingerprint;
pub mod index;
pub mod interest;
pub mod matching;
#[cfg(test)]
mod model;
pub mod pages;
pub mod parts;
pub mod prefixes;
pub mod shape;
pub mod slots;
pub mod texts;
