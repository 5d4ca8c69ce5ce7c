//! Which shard a client id, a retained topic or a shared group lives on.

use crate::base::bitset::Bits64;
use crate::base::hash::Seed;

/// How many partitions the client ids are spread over; a partition is the unit that moves.
pub const PARTITIONS: usize = 4096;

/// The most shards a broker has: a set of shards is one machine word.
pub const SHARDS_MAX: usize = 64;

/// The number of a shard, from zero.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ShardId(u8);

impl ShardId {
    /// The shard with this number.
    ///
    /// # Panics
    /// When the number is not below [`SHARDS_MAX`].
    pub const fn new(index: usize) -> Self {
        assert!(index < SHARDS_MAX, "a broker has at most 64 shards");
        #[expect(clippy::cast_possible_truncation, reason = "below 64")]
        Self(index as u8)
    }

    /// The number, for indexing.
    pub const fn index(self) -> usize {
        self.0 as usize
    }

    /// The shard that this bit of a set stands for.
    pub const fn of_bit(bit: u32) -> Self {
        Self::new(bit as usize)
    }

    /// The bit that stands for this shard in a set.
    pub const fn bit(self) -> u32 {
        self.0 as u32
    }
}

/// The table of homes. One for the whole broker, the same on every shard, never changed while it runs.
#[derive(Clone, Debug)]
pub struct Homes {
    seed: Seed,
    shards: usize,
    partitions: Box<[ShardId]>,
}

impl Homes {
    /// Spreads the partitions evenly over `shards` shards.
    ///
    /// # Panics
    /// When `shards` is zero or above [`SHARDS_MAX`].
    pub fn new(seed: Seed, shards: usize) -> Self {
        assert!((1..=SHARDS_MAX).contains(&shards), "a broker has 1 to 64 shards, not {shards}");
        let partitions = (0..PARTITIONS).map(|p| ShardId::new(p % shards)).collect();
        Self { seed, shards, partitions }
    }

    /// How many shards there are.
    pub fn shards(&self) -> usize {
        self.shards
    }

    /// Every shard, in order.
    pub fn all(&self) -> impl Iterator<Item = ShardId> + use<> {
        (0..self.shards).map(ShardId::new)
    }

    /// Every shard, as a set.
    pub fn all_bits(&self) -> Bits64 {
        Bits64::all_below(u32::try_from(self.shards).expect("at most 64"))
    }

    /// Where the session of this client id lives.
    pub fn client(&self, client_id: &str) -> ShardId {
        let hash = self.seed.hash_bytes(client_id.as_bytes());
        self.partitions[usize::try_from(hash % PARTITIONS as u64).expect("below 4096")]
    }

    /// Where the retained message of this topic lives.
    pub fn topic(&self, topic: &str) -> ShardId {
        self.spread(self.seed.hash_bytes(topic.as_bytes()))
    }

    /// Where the group of this share name and filter lives.
    pub fn group(&self, share: &str, filter: &str) -> ShardId {
        let share = self.seed.hash_bytes(share.as_bytes());
        let filter = self.seed.hash_bytes(filter.as_bytes());
        self.spread(share.rotate_left(17) ^ filter)
    }

    fn spread(&self, hash: u64) -> ShardId {
        ShardId::new(usize::try_from(hash % self.shards as u64).expect("below 64"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_home_is_an_existing_shard_and_all_are_used() {
        for shards in [1, 2, 7, 64] {
            let homes = Homes::new(Seed::new(9), shards);
            let mut used = [false; SHARDS_MAX];
            for n in 0..20_000 {
                used[homes.client(&format!("client-{n}")).index()] = true;
                assert!(homes.topic(&format!("a/{n}")).index() < shards);
                assert!(homes.group("g", &format!("a/{n}")).index() < shards);
            }
            assert_eq!(used.iter().filter(|used| **used).count(), shards);
        }
    }

    #[test]
    fn a_group_and_its_sisters_are_spread() {
        let homes = Homes::new(Seed::new(9), 8);
        let first = homes.group("g0", "t");
        assert!((1..50).any(|n| homes.group(&format!("g{n}"), "t") != first));
    }
}
