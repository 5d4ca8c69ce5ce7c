//! What the writer of a stream counts: plain numbers, copied when somebody asks.

use crate::shell::report::Histogram;

/// Upper bounds of the buckets of [`Sizes`], in bytes; the last bucket has none.
pub const BUCKETS_BYTES: [u64; 8] = [4 << 10, 8 << 10, 16 << 10, 64 << 10, 256 << 10, 1 << 20, 4 << 20, 16 << 20];

/// Sizes by bucket. Plain numbers of one writer.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Sizes {
    /// How many fell into each bucket, not added up; the last one holds what is larger than every bound.
    pub buckets: [u64; BUCKETS_BYTES.len() + 1],
    /// The sum of all sizes.
    pub sum_bytes: u64,
}

impl Sizes {
    /// Counts one size.
    pub fn note(&mut self, bytes: u64) {
        self.buckets[BUCKETS_BYTES.partition_point(|bound| *bound < bytes)] += 1;
        self.sum_bytes += bytes;
    }
}

/// What a writer has done; it only grows.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Groups that were written.
    pub commits: u64,
    /// How long each was on its way, its sync included where it had one.
    pub commit_latency: Histogram,
    /// How large each was, with what the seal adds.
    pub group_bytes: Sizes,
    /// Syncs without a write, which end an interval or a segment.
    pub lone_syncs: u64,
    /// Segments that were begun.
    pub segments: u64,
    /// Times a group had to wait for a segment.
    pub segment_waits: u64,
    /// Times the file system had no room for a group.
    pub refusals: u64,
    /// Failures after which nothing was written any more.
    pub failures: u64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_size_falls_into_the_bucket_that_bounds_it() {
        let mut sizes = Sizes::default();
        for bytes in [1, 4_096, 4_097, 1 << 40] {
            sizes.note(bytes);
        }
        assert_eq!((sizes.buckets[0], sizes.buckets[1], sizes.buckets[8]), (2, 1, 1));
        assert_eq!((sizes.buckets.iter().sum::<u64>(), sizes.sum_bytes), (4, 4_096 + 4_098 + (1 << 40)));
    }
}
