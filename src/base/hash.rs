//! Seeded hashing: the only hash tables that the pure floors use.
//!
//! A table with a random state of its own would iterate in another order on each run, and no
//! simulation could be replayed from its seed. A table with a fixed state would let a peer choose
//! client ids and topics that all fall into one bucket. So every table takes a [`Seed`]: drawn from
//! the operating system once in production, written down in a simulation.
//!
//! Beneath are foldhash and hashbrown. A hash depends on the seed and on the byte order of the
//! machine: it may decide who owns something while the process runs, and is never written to disk
//! or sent to another machine.

use std::hash::{BuildHasher, Hasher};

use foldhash::{SharedSeed, fast, quality};

/// A map with our hashing.
pub type Map<K, V> = hashbrown::HashMap<K, V, SeededState>;

/// A set with our hashing.
pub type Set<K> = hashbrown::HashSet<K, SeededState>;

/// An empty map; it allocates with its first entry.
pub fn map<K, V>(seed: Seed) -> Map<K, V> {
    Map::with_hasher(SeededState { seed })
}

/// An empty set; it allocates with its first entry.
pub fn set<K>(seed: Seed) -> Set<K> {
    Set::with_hasher(SeededState { seed })
}

/// What all hashes of a process depend on. One per process, the same on all shards.
#[derive(Clone, Copy, Debug)]
pub struct Seed {
    start: u64,
    /// The multipliers are secret too: were they public, a word equal to one of them would erase
    /// the rest of the key.
    multipliers: &'static SharedSeed,
}

impl Seed {
    /// The seed that `bits` stand for. Its multipliers (48 bytes) stay for the life of the process,
    /// since hashers borrow them for ever: a broker makes one seed, a simulation one a run.
    pub fn new(bits: u64) -> Self {
        Self { start: bits, multipliers: Box::leak(Box::new(SharedSeed::from_u64(bits))) }
    }

    /// A well mixed hash of a topic, a client id or the like. All 64 bits may be used, also a few
    /// of them on their own.
    pub fn hash_bytes(self, bytes: &[u8]) -> u64 {
        let mut hasher = quality::FoldHasher::with_seed(self.start, self.multipliers);
        hasher.write(bytes);
        hasher.finish()
    }
}

/// Starts the hashers of a [`Map`] or a [`Set`].
#[derive(Clone, Copy, Debug)]
pub struct SeededState {
    seed: Seed,
}

impl BuildHasher for SeededState {
    type Hasher = fast::FoldHasher<'static>;

    #[inline]
    fn build_hasher(&self) -> Self::Hasher {
        fast::FoldHasher::with_seed(self.seed.start, self.seed.multipliers)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_seed_gives_one_hash_and_another_seed_another() {
        let (one, again, other) = (Seed::new(1), Seed::new(1), Seed::new(2));
        assert_eq!(one.hash_bytes(b"sensors/7"), again.hash_bytes(b"sensors/7"));
        assert_ne!(one.hash_bytes(b"sensors/7"), other.hash_bytes(b"sensors/7"));
        assert_ne!(one.hash_bytes(b"sensors/7"), one.hash_bytes(b"sensors/8"));
        assert_ne!(one.hash_bytes(b""), one.hash_bytes(b"\0"));
    }

    #[test]
    fn a_map_iterates_in_the_same_order_for_the_same_seed() {
        let order = |bits| {
            let mut squares = map(Seed::new(bits));
            squares.extend((0..100_u32).map(|number| (number, number * number)));
            squares.into_iter().collect::<Vec<_>>()
        };
        assert_eq!(order(5), order(5));
        assert_ne!(order(5), order(6));
    }

    #[test]
    fn sets_and_maps_hold_what_was_put_in() {
        let mut names = set(Seed::new(3));
        assert!(names.insert("one") && names.insert("two") && !names.insert("one"));
        let mut lengths = map(Seed::new(3));
        lengths.insert("one", 3);
        assert_eq!(lengths.get("one"), Some(&3));
        assert_eq!(lengths.get("two"), None);
    }

    #[test]
    fn numbered_names_spread_evenly_over_partitions() {
        let seed = Seed::new(4);
        let mut counts = vec![0_u32; 4_096];
        for number in 0..409_600 {
            let hash = seed.hash_bytes(format!("client-{number}").as_bytes());
            counts[usize::try_from(hash % 4_096).unwrap()] += 1;
        }
        // 4095 degrees of freedom: mean 4095, deviation 90. Six deviations either way.
        let chi_squared: f64 = counts.iter().map(|&count| (f64::from(count) - 100.0).powi(2) / 100.0).sum();
        assert!((3_555.0..4_635.0).contains(&chi_squared), "{chi_squared}");
    }

    #[test]
    fn each_bit_of_the_input_moves_half_of_the_output() {
        let seed = Seed::new(5);
        let plain = *b"factory/hall-3/robot-17/axis-2";
        let hash = seed.hash_bytes(&plain);
        let mut flips = 0;
        for bit in 0..plain.len() * 8 {
            let mut changed = plain;
            changed[bit / 8] ^= 1 << (bit % 8);
            let distance = (seed.hash_bytes(&changed) ^ hash).count_ones();
            assert!((10..=54).contains(&distance), "bit {bit} moves {distance}");
            flips += distance;
        }
        let mean = f64::from(flips) / f64::from(u32::try_from(plain.len() * 8).unwrap());
        assert!((30.0..34.0).contains(&mean), "{mean}");
    }
}
