//! Hashes built level by level: a masked topic hashes as the filter that matches it.

use crate::base::hash::Seed;

/// Turns levels into hashes of paths. The path `a/+/#` is `extend(extend(extend(start, a), +), #)`:
/// the same whether it was read from a filter or made from the topic `a/b/c/d` by putting wildcards
/// over its levels.
#[derive(Clone, Copy, Debug)]
pub struct Fingerprint {
    seed: Seed,
    path_key: u64,
    level_key: u64,
    plus: u64,
    hash: u64,
}

impl Fingerprint {
    pub fn new(seed: Seed) -> Self {
        Self {
            seed,
            path_key: seed.hash_bytes(b"the key of paths"),
            level_key: seed.hash_bytes(b"the key of levels"),
            plus: seed.hash_bytes(b"+"),
            hash: seed.hash_bytes(b"#"),
        }
    }

    /// The hash of one level, wildcards included.
    pub fn level(&self, level: &str) -> u64 {
        self.seed.hash_bytes(level.as_bytes())
    }

    /// What `level("+")` is.
    pub fn plus(&self) -> u64 {
        self.plus
    }

    /// What `level("#")` is.
    pub fn hash(&self) -> u64 {
        self.hash
    }

    /// The path without levels.
    pub fn start(&self) -> u64 {
        self.path_key.rotate_left(32)
    }

    /// The hash of a path that is one level longer.
    pub fn extend(&self, path: u64, level: u64) -> u64 {
        folded_product(path ^ self.path_key, level ^ self.level_key)
    }

    /// The hash of a whole text.
    pub fn whole<'a>(&self, levels: impl Iterator<Item = &'a str>) -> u64 {
        levels.fold(self.start(), |path, level| self.extend(path, self.level(level)))
    }
}

/// The two halves of the product, folded: each bit of both factors reaches each bit of the result.
#[expect(clippy::cast_possible_truncation, reason = "the product is cut into its two halves")]
fn folded_product(a: u64, b: u64) -> u64 {
    let product = u128::from(a) * u128::from(b);
    (product >> 64) as u64 ^ product as u64
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::hash::Set;

    #[test]
    fn a_masked_topic_hashes_as_the_filter() {
        let prints = Fingerprint::new(Seed::new(1));
        let topic: Vec<u64> = "a/b/c/d".split('/').map(|level| prints.level(level)).collect();

        let masked = [topic[0], prints.plus(), prints.hash()];
        let path = masked.iter().fold(prints.start(), |path, level| prints.extend(path, *level));

        assert_eq!(path, prints.whole("a/+/#".split('/')));
    }

    #[test]
    fn order_depth_and_empty_levels_matter() {
        let prints = Fingerprint::new(Seed::new(2));
        let texts = ["a", "a/", "/a", "a/b", "b/a", "a//b", "/", "//", "a/+", "+/a", "a/#", "#", "+", "ab"];
        let mut seen: Set<u64> = crate::base::hash::set(Seed::new(3));
        for text in texts {
            assert!(seen.insert(prints.whole(text.split('/'))), "{text} has a hash of its own");
        }
    }
}
