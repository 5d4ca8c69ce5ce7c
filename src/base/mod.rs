//! Floor 0: the domain-free building blocks that every other floor stands on.

pub mod backoff;
pub mod bitset;
pub mod chains;
pub mod checksum;
pub mod hash;
pub mod payload;
pub mod random;
pub mod ring;
pub mod slab;
pub mod time;
pub mod wheel;
