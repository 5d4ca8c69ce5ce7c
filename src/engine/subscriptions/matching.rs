//! A topic against the wildcard filters: which masks of the topic are worth a look-up.

use super::fingerprint::{Fingerprint, for_each_level};
use super::prefixes::{Prefixes, Ways};
use crate::mqtt::topic::Topic;

/// A topic taken apart, and the stack of a walk over its masks. Reused: no allocation in steady
/// state.
#[derive(Debug, Default)]
pub struct Walk {
    levels: Vec<Level>,
    /// The prefixes to visit. Never more than one for each level, and one.
    stack: Vec<Step>,
    /// For the prefix at hand: which of its levels are `+`.
    plus: Vec<bool>,
}

#[derive(Clone, Copy, Debug)]
struct Level {
    hash: u64,
    /// Where the level ends in the topic; it starts behind the end of the one before and a slash.
    end: u32,
}

#[derive(Clone, Copy, Debug)]
struct Step {
    path: u64,
    depth: u32,
    is_plus: bool,
}

/// A masked topic: the text of the one filter that may stand in the index under this hash.
#[derive(Clone, Copy, Debug)]
pub struct Masked<'a> {
    topic: &'a [u8],
    levels: &'a [Level],
    plus: &'a [bool],
    ends_in_hash: bool,
}

impl Walk {
    /// Takes the topic apart and returns the hash of its whole text.
    pub fn load(&mut self, topic: Topic<'_>, prints: &Fingerprint) -> u64 {
        self.levels.clear();
        let mut path = prints.start();
        let mut start = 0;
        for_each_level(topic.as_str().as_bytes(), |level| {
            let hash = prints.level(level);
            let end = start + u32::try_from(level.len()).expect("a topic has at most 65,535 bytes");
            self.levels.push(Level { hash, end });
            path = prints.extend(path, hash);
            start = end + 1;
        });
        self.plus.clear();
        self.plus.resize(self.levels.len(), false);
        path
    }

    /// Calls `probe` with each mask of the loaded topic under which a filter may stand, and its
    /// hash. Visits only prefixes that live filters have; each filter is probed for at most once,
    /// since no two masks are equal. How many were visited.
    pub fn run(
        &mut self,
        topic: Topic<'_>,
        prints: &Fingerprint,
        prefixes: &Prefixes,
        mut probe: impl FnMut(u64, Masked<'_>),
    ) -> usize {
        debug_assert_eq!(self.levels.len(), topic.level_count(), "the topic was loaded");
        let ways = if topic.is_dollar() { prefixes.root().for_dollar() } else { prefixes.root() };
        self.stack.clear();
        self.visit(topic, Step { path: prints.start(), depth: 0, is_plus: false }, ways, prints, &mut probe);

        let mut visited = 1;
        while let Some(step) = self.stack.pop() {
            visited += 1;
            debug_assert!(self.stack.len() <= self.levels.len());
            // What was visited since the parent lies at this depth or deeper: the choices above are
            // still the parent's.
            self.plus[step.depth as usize - 1] = step.is_plus;
            if let Some(ways) = prefixes.get(step.path) {
                self.visit(topic, step, ways, prints, &mut probe);
            }
        }
        visited
    }

    /// Probes for the filters that end one step behind a prefix, and remembers the longer prefixes.
    fn visit(
        &mut self,
        topic: Topic<'_>,
        at: Step,
        ways: Ways,
        prints: &Fingerprint,
        probe: &mut impl FnMut(u64, Masked<'_>),
    ) {
        let depth = at.depth as usize;
        if ways.has(Ways::LAST_HASH) {
            let whole = prints.extend(at.path, prints.hash());
            probe(whole, self.masked(topic, depth, true));
        }
        let Some(level) = self.levels.get(depth).copied() else {
            return;
        };
        let named = prints.extend(at.path, level.hash);
        let plus = prints.extend(at.path, prints.plus());
        let is_last = depth + 1 == self.levels.len();

        self.plus[depth] = false;
        if is_last && ways.has(Ways::LAST_NAME) {
            probe(named, self.masked(topic, depth + 1, false));
        }
        // `#` takes the parent level too: `sport/#` matches `sport`.
        if ways.has(Ways::LAST_NAME_HASH) {
            let whole = prints.extend(named, prints.hash());
            probe(whole, self.masked(topic, depth + 1, true));
        }
        self.plus[depth] = true;
        if is_last && ways.has(Ways::LAST_PLUS) {
            probe(plus, self.masked(topic, depth + 1, false));
        }
        if ways.has(Ways::LAST_PLUS_HASH) {
            let whole = prints.extend(plus, prints.hash());
            probe(whole, self.masked(topic, depth + 1, true));
        }
        // What goes on behind the topic's last level cannot match.
        if is_last {
            return;
        }
        if ways.has(Ways::NAME) {
            self.stack.push(Step { path: named, depth: at.depth + 1, is_plus: false });
        }
        if ways.has(Ways::PLUS) {
            self.stack.push(Step { path: plus, depth: at.depth + 1, is_plus: true });
        }
    }

    fn masked<'a>(&'a self, topic: Topic<'a>, depth: usize, ends_in_hash: bool) -> Masked<'a> {
        Masked {
            topic: topic.as_str().as_bytes(),
            levels: &self.levels[..depth],
            plus: &self.plus[..depth],
            ends_in_hash,
        }
    }

    /// Bytes on the heap.
    pub fn memory_bytes(&self) -> usize {
        self.levels.capacity() * size_of::<Level>() + self.stack.capacity() * size_of::<Step>() + self.plus.capacity()
    }
}

impl Masked<'_> {
    /// Whether the masked topic reads exactly so: bytes decide, not hashes.
    pub fn is(&self, filter: &[u8]) -> bool {
        let mut rest = filter;
        let mut start = 0;
        for (index, (level, is_plus)) in self.levels.iter().zip(self.plus).enumerate() {
            if index > 0 {
                let Some(after) = rest.strip_prefix(b"/") else {
                    return false;
                };
                rest = after;
            }
            let end = level.end as usize;
            let wanted: &[u8] = if *is_plus { b"+" } else { &self.topic[start..end] };
            let Some(after) = rest.strip_prefix(wanted) else {
                return false;
            };
            rest = after;
            start = end + 1;
        }
        match (self.ends_in_hash, self.levels.is_empty()) {
            (false, _) => rest.is_empty(),
            (true, false) => rest == b"/#",
            (true, true) => rest == b"#",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::hash::Seed;
    use crate::mqtt::topic::Filter;

    /// All masks that are probed for a topic, by the filter text that they stand for.
    fn probed(filters: &[&str], topic: &str) -> Vec<String> {
        let prints = Fingerprint::new(Seed::new(1));
        let mut prefixes = Prefixes::new();
        for text in filters {
            prefixes.add(Filter::parse(text).unwrap(), &prints);
        }
        let topic = Topic::parse(topic).unwrap();
        let mut walk = Walk::default();
        walk.load(topic, &prints);
        let mut probed = Vec::new();
        walk.run(topic, &prints, &prefixes, |hash, masked| {
            let text = filters
                .iter()
                .find(|text| masked.is(text.as_bytes()))
                .map_or_else(|| format!("{masked:?}"), ToString::to_string);
            assert!(!filters.contains(&text.as_str()) || hash == prints.whole(text.as_bytes()));
            probed.push(text);
        });
        probed.sort();
        probed
    }

    #[test]
    fn only_masks_on_the_way_of_a_filter_are_probed() {
        let filters = ["a/+/c", "a/+/d", "+/b/#", "a/b/c/#", "x/+/c", "#", "+/+/+/+"];
        assert_eq!(probed(&filters, "a/b/c"), ["#", "+/b/#", "a/+/c", "a/b/c/#"]);
    }

    #[test]
    fn a_masked_topic_is_compared_to_its_end() {
        let prints = Fingerprint::new(Seed::new(1));
        let topic = Topic::parse("a//b").unwrap();
        let mut walk = Walk::default();
        walk.load(topic, &prints);
        walk.plus[1] = true;

        assert!(walk.masked(topic, 3, false).is(b"a/+/b"));
        assert!(!walk.masked(topic, 3, false).is(b"a/+/b/"));
        assert!(!walk.masked(topic, 3, false).is(b"a/+/bc"));
        assert!(!walk.masked(topic, 3, false).is(b"a//b"));
        assert!(walk.masked(topic, 2, true).is(b"a/+/#"));
        assert!(walk.masked(topic, 0, true).is(b"#"));
        assert!(!walk.masked(topic, 0, true).is(b"/#"));
    }
}
