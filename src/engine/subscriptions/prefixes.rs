//! Which beginnings of wildcard filters exist, and how they go on: what matching tries at all.

use super::fingerprint::Fingerprint;
use super::parts::Parts;
use crate::mqtt::topic::Filter;

/// How filters go on after a prefix: a set of flags.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ways(u32);

impl Ways {
    /// A named level follows, and more after it.
    pub const NAME: Self = Self(1);
    /// `+` follows, and more after it.
    pub const PLUS: Self = Self(1 << 1);
    /// A named level ends the filter.
    pub const LAST_NAME: Self = Self(1 << 2);
    /// `+` ends the filter.
    pub const LAST_PLUS: Self = Self(1 << 3);
    /// A named level and `#` end the filter.
    pub const LAST_NAME_HASH: Self = Self(1 << 4);
    /// `+` and `#` end the filter.
    pub const LAST_PLUS_HASH: Self = Self(1 << 5);
    /// `#` is the filter; only before the first level.
    pub const LAST_HASH: Self = Self(1 << 6);

    const BITS: u32 = 7;
    const ALL: u32 = (1 << Self::BITS) - 1;

    pub fn has(self, way: Ways) -> bool {
        self.0 & way.0 != 0
    }

    /// The ways open to a topic that begins with `$`, before its first level. [MQTT-4.7.2-1]
    #[must_use]
    pub fn for_dollar(self) -> Self {
        Self(self.0 & (Self::NAME.0 | Self::LAST_NAME.0 | Self::LAST_NAME_HASH.0))
    }

    fn of(level: &str, next: Option<&str>) -> Self {
        match (level, next) {
            ("#", _) => Self::LAST_HASH,
            ("+", None) => Self::LAST_PLUS,
            ("+", Some("#")) => Self::LAST_PLUS_HASH,
            ("+", Some(_)) => Self::PLUS,
            (_, None) => Self::LAST_NAME,
            (_, Some("#")) => Self::LAST_NAME_HASH,
            (_, Some(_)) => Self::NAME,
        }
    }
}

/// A prefix that at least one wildcard filter has: its hash in two halves (so that it needs no
/// padding), then how many filters have it and their ways. Flags stay until the prefix goes: a
/// stale one costs a look-up that finds nothing.
#[derive(Clone, Copy, Debug)]
struct Prefix {
    high: u32,
    low: u32,
    counted: u32,
}

const _: () = assert!(size_of::<Prefix>() == 12);

/// The most wildcard filters an index can hold.
pub const WILDCARD_FILTERS_MAX: u32 = u32::MAX >> Ways::BITS;

impl Prefix {
    #[expect(clippy::cast_possible_truncation, reason = "the hash is cut into its two halves")]
    fn new(path: u64) -> Self {
        Self { high: (path >> 32) as u32, low: path as u32, counted: 0 }
    }

    fn path(&self) -> u64 {
        u64::from(self.high) << 32 | u64::from(self.low)
    }

    fn count(&self) -> u32 {
        self.counted >> Ways::BITS
    }

    fn ways(&self) -> Ways {
        Ways(self.counted & Ways::ALL)
    }

    fn add(&mut self, ways: Ways) {
        assert!(self.count() < WILDCARD_FILTERS_MAX, "the index refuses wildcard filters before that");
        self.counted = (self.counted | ways.0) + (1 << Ways::BITS);
    }

    fn subtract(&mut self) {
        assert!(self.count() > 0, "a prefix is withdrawn as often as it was added");
        self.counted -= 1 << Ways::BITS;
        if self.count() == 0 {
            self.counted = 0;
        }
    }
}

/// The prefixes of all wildcard filters, known by hash alone. Two prefixes of one hash share
/// a place and add up: that can only open ways that lead nowhere, and what ends a way is always a
/// filter whose text is compared.
#[derive(Debug)]
pub struct Prefixes {
    /// The prefix without levels, of all wildcard filters.
    root: Prefix,
    table: Parts<Prefix>,
}

impl Prefixes {
    pub fn new() -> Self {
        Self { root: Prefix::new(0), table: Parts::new() }
    }

    /// How many wildcard filters there are.
    pub fn filter_count(&self) -> u32 {
        self.root.count()
    }

    /// How many prefixes of at least one level there are.
    pub fn len(&self) -> usize {
        self.table.len()
    }

    /// How filters begin.
    pub fn root(&self) -> Ways {
        self.root.ways()
    }

    /// How filters go on after the prefix of this hash; `None` if no filter has it.
    pub fn get(&self, path: u64) -> Option<Ways> {
        self.table.of(path).find(path, |prefix| prefix.path() == path).map(Prefix::ways)
    }

    /// Counts the prefixes of a wildcard filter that came.
    pub fn add(&mut self, filter: Filter<'_>, prints: &Fingerprint) {
        debug_assert!(filter.has_wildcards());
        walk(filter, prints, |path, ways| match path {
            None => self.root.add(ways),
            Some(path) => self
                .table
                .of_mut(path)
                .entry(path, |prefix| prefix.path() == path, Prefix::path)
                .or_insert_with(|| Prefix::new(path))
                .get_mut()
                .add(ways),
        });
    }

    /// Discounts the prefixes of a wildcard filter that goes; the last one out takes the prefix
    /// along.
    pub fn subtract(&mut self, filter: Filter<'_>, prints: &Fingerprint) {
        debug_assert!(filter.has_wildcards());
        walk(filter, prints, |path, _| match path {
            None => self.root.subtract(),
            Some(path) => {
                let part = self.table.of_mut(path);
                let mut found = part
                    .find_entry(path, |prefix| prefix.path() == path)
                    .expect("the prefixes of a live filter are counted");
                found.get_mut().subtract();
                if found.get().count() == 0 {
                    found.remove();
                }
            }
        });
    }

    /// Panics unless this counts the same as `fresh`, which was built anew from the same filters,
    /// and has its ways at least.
    pub fn check_against(&self, fresh: &Prefixes) {
        assert_eq!(self.root.count(), fresh.root.count());
        assert_eq!(self.table.len(), fresh.table.len());
        for prefix in fresh.table.iter() {
            let path = prefix.path();
            let own = self.table.of(path).find(path, |own| own.path() == path).expect("each prefix is there");
            assert_eq!(own.count(), prefix.count());
            assert_eq!(own.counted & prefix.ways().0, prefix.ways().0, "no way is missing");
        }
    }

    /// Bytes on the heap.
    pub fn memory_bytes(&self) -> usize {
        self.table.memory_bytes()
    }
}

/// Visits each prefix behind which a filter goes on, the empty one as `None`, with its way. A level
/// and the `#` behind it are one step: most filters that end in `#` are alone there, and would need
/// a prefix of their own.
fn walk(filter: Filter<'_>, prints: &Fingerprint, mut visit: impl FnMut(Option<u64>, Ways)) {
    let mut path = None;
    let mut levels = filter.levels().peekable();
    while let Some(level) = levels.next() {
        let next = levels.peek().copied();
        visit(path, Ways::of(level, next));
        if matches!(next, None | Some("#")) {
            return;
        }
        let before = path.unwrap_or_else(|| prints.start());
        path = Some(prints.extend(before, prints.level(level.as_bytes())));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::hash::Seed;

    fn filter(text: &str) -> Filter<'_> {
        Filter::parse(text).unwrap()
    }

    #[test]
    fn a_prefix_lives_as_long_as_a_filter_has_it() {
        let prints = Fingerprint::new(Seed::new(1));
        let mut prefixes = Prefixes::new();
        let path = prints.whole(b"a/+");

        prefixes.add(filter("a/+/c"), &prints);
        prefixes.add(filter("a/+/d/#"), &prints);
        let ways = prefixes.get(path).unwrap();
        assert!(ways.has(Ways::LAST_NAME) && ways.has(Ways::LAST_NAME_HASH) && !ways.has(Ways::LAST_PLUS));
        assert_eq!(prefixes.get(prints.whole(b"a/+/c")), None, "a whole filter is no prefix of itself");

        prefixes.subtract(filter("a/+/c"), &prints);
        assert!(prefixes.get(path).is_some());
        prefixes.subtract(filter("a/+/d/#"), &prints);
        assert_eq!(prefixes.get(path), None);
        assert_eq!((prefixes.filter_count(), prefixes.len(), prefixes.root()), (0, 0, Ways(0)));
    }

    #[test]
    fn a_dollar_topic_begins_with_names_only() {
        let prints = Fingerprint::new(Seed::new(1));
        let mut prefixes = Prefixes::new();
        for text in ["#", "+", "+/a", "+/#", "$SYS/#"] {
            prefixes.add(filter(text), &prints);
        }

        let ways = prefixes.root().for_dollar();

        assert!(ways.has(Ways::LAST_NAME_HASH));
        assert!(!ways.has(Ways::PLUS) && !ways.has(Ways::LAST_PLUS) && !ways.has(Ways::LAST_HASH));
    }
}
