//! A small, fast, seeded random generator; one seed replays a whole run.
//!
//! The algorithm is xoshiro256++ (Blackman and Vigna), its state filled from the seed by
//! splitmix64. It is not meant for secrets: whoever sees enough output can continue it. Each
//! concern takes its own stream with [`Random::fork`], so that one more draw here does not change
//! what happens there.

/// One stream of random numbers. Owned by one concern.
#[derive(Clone, Debug)]
pub struct Random {
    state: [u64; 4],
}

impl Random {
    /// The stream that belongs to `seed`.
    pub fn from_seed(seed: u64) -> Self {
        let mut counter = seed;
        Self { state: std::array::from_fn(|_| splitmix64(&mut counter)) }
    }

    /// An independent stream for `label`. It depends on where this stream stands, which it does not
    /// move: forks are best taken right after the seed, and one label taken twice gives one stream
    /// twice.
    #[must_use]
    pub fn fork(&self, label: u64) -> Self {
        let mut seed = label;
        for word in self.state {
            seed ^= word;
            seed = splitmix64(&mut seed);
        }
        Self::from_seed(seed)
    }

    /// The next 64 random bits.
    pub fn next_u64(&mut self) -> u64 {
        let [s0, s1, s2, s3] = &mut self.state;
        let result = s0.wrapping_add(*s3).rotate_left(23).wrapping_add(*s0);
        let shifted = *s1 << 17;
        *s2 ^= *s0;
        *s3 ^= *s1;
        *s1 ^= *s2;
        *s0 ^= *s3;
        *s2 ^= shifted;
        *s3 = s3.rotate_left(45);
        result
    }

    /// A number in `0..n`, each equally likely. `n` is not 0.
    pub fn below(&mut self, n: u64) -> u64 {
        assert!(n > 0, "there is no number below 0");
        // Multiply and keep the high half (Lemire). The low half tells whether this draw belongs to
        // the uneven rest of 2^64 / n, which is drawn again; the costly remainder is only taken
        // when it may matter.
        let (mut high, mut low) = wide_product(self.next_u64(), n);
        if low < n {
            let rest = n.wrapping_neg() % n;
            while low < rest {
                (high, low) = wide_product(self.next_u64(), n);
            }
        }
        high
    }

    /// An index in `0..len`. `len` is not 0.
    pub fn index(&mut self, len: usize) -> usize {
        usize::try_from(self.below(len as u64)).expect("a number below a usize is a usize")
    }

    /// A number in `low..=high`.
    pub fn range(&mut self, low: u64, high: u64) -> u64 {
        assert!(low <= high, "range {low}..={high} is empty");
        match (high - low).checked_add(1) {
            Some(width) => low + self.below(width),
            None => self.next_u64(),
        }
    }

    /// True in `numerator` of `denominator` cases.
    pub fn chance(&mut self, numerator: u64, denominator: u64) -> bool {
        assert!(numerator <= denominator, "a chance of {numerator} in {denominator} is more than certain");
        self.below(denominator) < numerator
    }

    /// Fills `bytes`.
    pub fn fill(&mut self, bytes: &mut [u8]) {
        for part in bytes.chunks_mut(8) {
            part.copy_from_slice(&self.next_u64().to_le_bytes()[..part.len()]);
        }
    }

    /// Puts `items` in a random order, each order equally likely.
    pub fn shuffle<T>(&mut self, items: &mut [T]) {
        for last in (1..items.len()).rev() {
            items.swap(last, self.index(last + 1));
        }
    }

    /// One of `items`, or nothing when there is none.
    pub fn pick<'a, T>(&mut self, items: &'a [T]) -> Option<&'a T> {
        if items.is_empty() { None } else { Some(&items[self.index(items.len())]) }
    }
}

/// Spreads a counter into well mixed words, so that seeds that differ little give states that
/// differ wholly.
fn splitmix64(counter: &mut u64) -> u64 {
    *counter = counter.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mut word = *counter;
    word = (word ^ (word >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    word = (word ^ (word >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    word ^ (word >> 31)
}

/// The high and the low half of the 128-bit product.
#[expect(clippy::cast_possible_truncation, reason = "the product is cut into its two halves")]
fn wide_product(a: u64, b: u64) -> (u64, u64) {
    let product = u128::from(a) * u128::from(b);
    ((product >> 64) as u64, product as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_generator_gives_the_published_numbers() {
        let mut random = Random { state: [1, 2, 3, 4] };
        let expected = [
            41_943_041,
            58_720_359,
            3_588_806_011_781_223,
            3_591_011_842_654_386,
            9_228_616_714_210_784_205,
            9_973_669_472_204_895_162,
            14_011_001_112_246_962_877,
            12_406_186_145_184_390_807,
            15_849_039_046_786_891_736,
            10_450_023_813_501_588_000,
        ];
        assert_eq!(expected.map(|_| random.next_u64()), expected);
    }

    #[test]
    fn the_seeding_gives_the_published_numbers() {
        let mut counter = 1_234_567;
        let expected = [6_457_827_717_110_365_317, 3_203_168_211_198_807_973, 9_817_491_932_198_370_423];
        assert_eq!(expected.map(|_| splitmix64(&mut counter)), expected);
    }

    #[test]
    fn one_seed_gives_one_stream() {
        let (mut one, mut two) = (Random::from_seed(7), Random::from_seed(7));
        let mut other = Random::from_seed(8);
        for _ in 0..100 {
            let number = one.next_u64();
            assert_eq!(number, two.next_u64());
            assert_ne!(number, other.next_u64());
        }
    }

    #[test]
    fn a_fork_leaves_its_parent_where_it_was_and_depends_on_the_label() {
        let mut parent = Random::from_seed(1);
        let untouched = parent.clone().next_u64();
        let (mut network, mut disk) = (parent.fork(1), parent.fork(2));
        assert_eq!(parent.fork(1).next_u64(), network.next_u64());
        assert_eq!(parent.next_u64(), untouched);
        assert_ne!(network.next_u64(), disk.next_u64());
    }

    #[test]
    fn below_is_even_over_a_width_that_does_not_divide_the_words() {
        let mut random = Random::from_seed(3);
        let mut counts = [0_u32; 7];
        for _ in 0..70_000 {
            counts[random.index(7)] += 1;
        }
        // Chi squared with 6 degrees of freedom: 22.5 is exceeded once in a thousand seeds.
        let chi_squared: f64 = counts.iter().map(|&count| (f64::from(count) - 10_000.0).powi(2) / 10_000.0).sum();
        assert!(chi_squared < 22.5, "{counts:?}");
    }

    #[test]
    fn below_draws_again_in_the_uneven_rest() {
        // Two thirds of 2^64: without the second draw, odd numbers of the lower half would come
        // twice as often as even ones.
        let n = u64::MAX / 3 * 2;
        let mut random = Random::from_seed(4);
        let lower: Vec<u64> = (0..30_000).map(|_| random.below(n)).filter(|&number| number < n / 2).collect();
        let odd_count = lower.iter().filter(|number| *number % 2 == 1).count();
        assert!((14_500..15_500).contains(&lower.len()));
        assert!((7_000..8_000).contains(&odd_count), "{odd_count}");
        assert!((0..1_000).all(|_| random.below(n) < n));
        assert_eq!(random.below(1), 0);
    }

    #[test]
    fn a_range_includes_both_ends() {
        let mut random = Random::from_seed(5);
        let drawn: Vec<u64> = (0..200).map(|_| random.range(3, 5)).collect();
        assert!([3, 4, 5].iter().all(|number| drawn.contains(number)));
        assert!(drawn.iter().all(|number| (3..=5).contains(number)));
        assert_eq!(random.range(9, 9), 9);
        random.range(0, u64::MAX);
    }

    #[test]
    fn a_chance_keeps_its_rate() {
        let mut random = Random::from_seed(6);
        let hits = (0..40_000).filter(|_| random.chance(1, 4)).count();
        assert!((9_600..10_400).contains(&hits), "{hits}");
        assert!(!random.chance(0, 4));
        assert!(random.chance(4, 4));
    }

    #[test]
    fn fill_reaches_every_byte_and_no_more() {
        let mut random = Random::from_seed(7);
        for len in 0..20 {
            let mut seen = vec![0_u8; len];
            for _ in 0..8 {
                let mut bytes = vec![0; len];
                random.fill(&mut bytes);
                seen.iter_mut().zip(bytes).for_each(|(seen, byte)| *seen |= byte);
            }
            assert!(seen.iter().all(|&byte| byte != 0), "{len}: {seen:?}");
        }
    }

    #[test]
    fn shuffle_keeps_the_items_and_reaches_every_order() {
        let mut random = Random::from_seed(8);
        let mut orders = std::collections::BTreeSet::new();
        for _ in 0..200 {
            let mut items = [1, 2, 3];
            random.shuffle(&mut items);
            orders.insert(items);
        }
        assert_eq!(orders.len(), 6);
    }

    #[test]
    fn pick_takes_one_of_the_items() {
        let mut random = Random::from_seed(9);
        assert_eq!(random.pick::<u8>(&[]), None);
        let drawn: Vec<u8> = (0..100).filter_map(|_| random.pick(&[4, 5])).copied().collect();
        assert!(drawn.contains(&4) && drawn.contains(&5) && drawn.len() == 100);
    }
}
