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
    pub fn level(&self, level: &[u8]) -> u64 {
        self.seed.hash_bytes(level)
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
    pub fn whole(&self, text: &[u8]) -> u64 {
        let mut path = self.start();
        for_each_level(text, |level| path = self.extend(path, self.level(level)));
        path
    }
}

/// Visits the parts between the slashes. Eight bytes at a time: levels are short, and each look-up
/// takes a topic apart.
pub fn for_each_level<'a>(text: &'a [u8], mut visit: impl FnMut(&'a [u8])) {
    let mut start = 0;
    let (words, rest) = text.as_chunks::<8>();
    for (index, word) in words.iter().enumerate() {
        let mut slashes = slashes_in(u64::from_le_bytes(*word));
        while slashes != 0 {
            let at = index * 8 + slashes.trailing_zeros() as usize / 8;
            visit(&text[start..at]);
            start = at + 1;
            slashes &= slashes - 1;
        }
    }
    for (index, byte) in rest.iter().enumerate() {
        if *byte == b'/' {
            let at = words.len() * 8 + index;
            visit(&text[start..at]);
            start = at + 1;
        }
    }
    visit(&text[start..]);
}

/// The highest bit of each byte that is a slash.
fn slashes_in(word: u64) -> u64 {
    const LOW_BITS: u64 = 0x7F7F_7F7F_7F7F_7F7F;
    let zero_at_slash = word ^ u64::from_le_bytes([b'/'; 8]);
    // The sum carries into the highest bit of each byte that has any lower bit.
    !(((zero_at_slash & LOW_BITS) + LOW_BITS) | zero_at_slash | LOW_BITS)
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
    use crate::base::random::Random;

    #[test]
    fn levels_are_the_parts_between_the_slashes() {
        let mut random = Random::from_seed(1);
        for _ in 0..20_000 {
            let length = random.index(40);
            let bytes = [b'/', b'/', b'.', b'0', b'a', b'o', 0xAF, 0xFF];
            let text: Vec<u8> = (0..length).map(|_| *random.pick(&bytes).unwrap()).collect();
            let mut levels = Vec::new();
            for_each_level(&text, |level| levels.push(level));
            assert!(levels.into_iter().eq(text.split(|byte| *byte == b'/')), "{text:?}");
        }
    }

    #[test]
    fn a_masked_topic_hashes_as_the_filter() {
        let prints = Fingerprint::new(Seed::new(1));
        let topic: Vec<u64> = "a/b/c/d".split('/').map(|level| prints.level(level.as_bytes())).collect();

        let masked = [topic[0], prints.plus(), prints.hash()];
        let path = masked.iter().fold(prints.start(), |path, level| prints.extend(path, *level));

        assert_eq!(path, prints.whole(b"a/+/#"));
    }

    #[test]
    fn order_depth_and_empty_levels_matter() {
        let prints = Fingerprint::new(Seed::new(2));
        let texts = ["a", "a/", "/a", "a/b", "b/a", "a//b", "/", "//", "a/+", "+/a", "a/#", "#", "+", "ab"];
        let mut seen: Set<u64> = crate::base::hash::set(Seed::new(3));
        for text in texts {
            assert!(seen.insert(prints.whole(text.as_bytes())), "{text} has a hash of its own");
        }
    }
}
