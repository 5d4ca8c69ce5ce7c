//! Retained messages at home on this shard, in an order that makes wildcard scans cheap.

mod leap;
mod order;
pub mod owners;

use std::collections::BTreeMap;
use std::ops::{Bound, ControlFlow};

use crate::mqtt::topic::{Filter, Topic};

use self::leap::{Verdict, examine};
use self::order::{Hierarchical, Stored, key};

/// One value for each topic. One per shard.
///
/// Topics are ordered with `/` before every other byte, so that a topic is followed by all topics
/// below it: a subtree is one range, and a scan leaps over what its filter cannot match.
///
/// Measured with the allocator of glibc: 108 bytes a topic with texts of 41 bytes and values of eight,
/// whether they come in order or at random (the text and its allocation, 16 bytes that lead to it, the
/// value, and half as much again for free places in the nodes of the tree).
#[derive(Clone, Debug)]
pub struct Retained<V> {
    messages: BTreeMap<Stored, V>,
    text_bytes: usize,
}

/// How far a scan has come. It holds a place in the order of topics, not in the structure: inserts
/// and removals between two calls do not disturb it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Cursor(Place);

/// Where a scan goes on.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
enum Place {
    #[default]
    Start,
    /// At this text, if it is a topic, or else at the next topic.
    At(String),
    /// Behind this topic.
    After(String),
    Done,
}

/// What a call of [`Retained::scan`] has achieved.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub enum Progress {
    /// Every topic was visited.
    Done,
    /// There may be more: call again with the same cursor.
    More,
}

impl Cursor {
    /// Whether the scan has come past this topic: if the topic appeared now, this scan would not visit it.
    pub fn has_passed(&self, topic: Topic<'_>) -> bool {
        match &self.0 {
            Place::Start => false,
            Place::At(text) => key(&topic.as_str()) < key(&text.as_str()),
            Place::After(text) => key(&topic.as_str()) <= key(&text.as_str()),
            Place::Done => true,
        }
    }
}

impl<V> Default for Retained<V> {
    fn default() -> Self {
        Self { messages: BTreeMap::new(), text_bytes: 0 }
    }
}

impl<V> Retained<V> {
    /// Stores the message of a topic and returns the one that it replaces. [MQTT-3.3.1-5]
    pub fn set(&mut self, topic: Topic<'_>, value: V) -> Option<V> {
        if let Some(stored) = self.messages.get_mut(key(&topic.as_str())) {
            return Some(std::mem::replace(stored, value));
        }
        self.text_bytes += topic.as_str().len();
        self.messages.insert(Stored(topic.as_str().into()), value)
    }

    /// Takes the message of a topic away. [MQTT-3.3.1-6]
    pub fn remove(&mut self, topic: Topic<'_>) -> Option<V> {
        let removed = self.messages.remove(key(&topic.as_str()))?;
        self.text_bytes -= topic.as_str().len();
        Some(removed)
    }

    /// The message of a topic.
    pub fn get(&self, topic: Topic<'_>) -> Option<&V> {
        self.messages.get(key(&topic.as_str()))
    }

    /// The message of a topic, to be changed in place.
    pub fn get_mut(&mut self, topic: Topic<'_>) -> Option<&mut V> {
        self.messages.get_mut(key(&topic.as_str()))
    }

    /// How many topics have a message.
    pub fn len(&self) -> usize {
        self.messages.len()
    }

    /// Whether no topic has a message.
    pub fn is_empty(&self) -> bool {
        self.messages.is_empty()
    }

    /// All topics and messages, each topic before those below it.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &V)> {
        self.messages.iter().map(|(topic, value)| (&*topic.0, value))
    }

    /// An estimate of the bytes on the heap, without what the values own.
    pub fn memory_bytes(&self) -> usize {
        // A node has eleven places; about six are taken.
        self.text_bytes + self.messages.len() * (size_of::<Stored>() + size_of::<V>()) * 9 / 5
    }

    /// Visits the topics that the filter matches, in order, examining at most `steps_max` topics.
    /// To be called with the same cursor until it is [`Progress::Done`]; a fresh cursor begins. A
    /// topic that is there all the time is visited exactly once, one that comes or goes meanwhile
    /// at most once. When `visit` breaks, the scan ends behind the topic it was given.
    ///
    /// Whole ranges that cannot match cost one step: `a/+/c` leaps from each `a/x` to `a/x/c`.
    pub fn scan(
        &self,
        filter: Filter<'_>,
        cursor: &mut Cursor,
        steps_max: u32,
        mut visit: impl FnMut(&str, &V) -> ControlFlow<()>,
    ) -> Progress {
        assert!(steps_max > 0, "a scan without steps would never end");
        let Some(mut range) = self.range_at(&cursor.0) else {
            return Progress::Done;
        };
        let mut last = None;
        for _ in 0..steps_max {
            let Some((topic, value)) = range.next() else {
                cursor.0 = Place::Done;
                return Progress::Done;
            };
            match examine(filter, &topic.0) {
                Verdict::Match => {
                    last = Some(&topic.0);
                    if visit(&topic.0, value).is_break() {
                        break;
                    }
                }
                Verdict::Leap(text) => {
                    cursor.0 = Place::At(text);
                    last = None;
                    range = self.range_at(&cursor.0).expect("the scan is not done");
                }
                Verdict::End => {
                    cursor.0 = Place::Done;
                    return Progress::Done;
                }
            }
        }
        if let Some(topic) = last {
            cursor.0 = Place::After(topic.to_string());
        }
        Progress::More
    }

    /// Visits all topics in order, at most `steps_max` of them a call, like [`Retained::scan`] without a filter.
    pub fn walk(
        &self,
        cursor: &mut Cursor,
        steps_max: u32,
        mut visit: impl FnMut(&str, &V) -> ControlFlow<()>,
    ) -> Progress {
        let Some(range) = self.range_at(&cursor.0) else { return Progress::Done };
        let mut last = None;
        for (topic, value) in range.take(steps_max as usize) {
            last = Some(&topic.0);
            if visit(&topic.0, value).is_break() {
                break;
            }
        }
        let Some(topic) = last else {
            cursor.0 = Place::Done;
            return Progress::Done;
        };
        cursor.0 = Place::After(topic.to_string());
        Progress::More
    }

    /// Panics unless the structure is what it must be.
    pub fn check(&self) {
        assert_eq!(self.text_bytes, self.messages.keys().map(|topic| topic.0.len()).sum::<usize>());
        assert!(self.messages.keys().all(|topic| Topic::parse(&topic.0).is_ok()));
        assert!(self.messages.keys().is_sorted());
    }

    /// The topics from a place on; `None` behind the last one.
    fn range_at<'a>(&'a self, place: &Place) -> Option<impl Iterator<Item = (&'a Stored, &'a V)> + use<'a, V>> {
        let text = match place {
            Place::At(text) | Place::After(text) => text.as_str(),
            Place::Start => "",
            Place::Done => return None,
        };
        // No topic is empty: behind the empty text they all begin.
        let from =
            if matches!(place, Place::At(_)) { Bound::Included(key(&text)) } else { Bound::Excluded(key(&text)) };
        Some(self.messages.range::<dyn Hierarchical, _>((from, Bound::Unbounded)))
    }
}

#[cfg(test)]
#[expect(clippy::cast_possible_truncation, reason = "the numbers of a test are small")]
mod tests {
    use super::*;
    use crate::base::random::Random;

    fn retained(topics: &[&str]) -> Retained<usize> {
        let mut retained = Retained::default();
        for (value, topic) in topics.iter().enumerate() {
            assert_eq!(retained.set(Topic::parse(topic).unwrap(), value), None);
        }
        retained
    }

    /// The topics that a filter finds, and how many it examined.
    fn scan(retained: &Retained<usize>, filter: &str) -> (Vec<String>, u32) {
        let (mut found, mut cursor, mut steps) = (Vec::new(), Cursor::default(), 1);
        let keep = |topic: &str, _: &usize| {
            found.push(topic.to_string());
            ControlFlow::Continue(())
        };
        let mut keep = keep;
        while retained.scan(Filter::parse(filter).unwrap(), &mut cursor, 1, &mut keep) == Progress::More {
            steps += 1;
        }
        (found, steps)
    }

    #[test]
    fn a_topic_has_one_message_at_most() {
        let mut retained = retained(&["a", "a/b"]);
        let topic = Topic::parse("a/b").unwrap();
        assert_eq!(retained.set(topic, 7), Some(1));
        assert_eq!(retained.get(topic), Some(&7));
        assert_eq!(retained.remove(topic), Some(7));
        assert_eq!((retained.remove(topic), retained.get(topic), retained.len()), (None, None, 1));
        retained.check();
    }

    #[test]
    fn a_topic_is_followed_by_those_below_it() {
        let retained = retained(&["a!", "a", "a/b", "a/", "b", "a/b/c", "/", "a/!", "$x"]);
        let order: Vec<_> = retained.iter().map(|(topic, _)| topic).collect();
        assert_eq!(order, ["/", "$x", "a", "a/", "a/!", "a/b", "a/b/c", "a!", "b"]);
    }

    #[test]
    fn a_filter_finds_what_it_matches() {
        let retained =
            retained(&["sport", "sport/", "sport/tennis", "sport/tennis/1", "sporty", "/x", "$SYS/a", "a//b"]);
        let found = |filter| scan(&retained, filter).0;
        assert_eq!(found("sport/#"), ["sport", "sport/", "sport/tennis", "sport/tennis/1"]);
        assert_eq!(found("sport/+"), ["sport/", "sport/tennis"]);
        assert_eq!(found("+/+"), ["/x", "sport/", "sport/tennis"]);
        assert_eq!(found("#").len(), 7);
        assert_eq!(found("$SYS/#"), ["$SYS/a"]);
        assert_eq!(found("+/a"), [""; 0]);
        assert_eq!(found("a/+/b"), ["a//b"]);
        assert_eq!(found("sporty"), ["sporty"]);
    }

    #[test]
    fn a_scan_costs_by_what_matches() {
        let mut retained = Retained::default();
        for device in 0..20 {
            for reading in 0..1_000 {
                let topic = format!("d/{device:02}/{reading:04}");
                retained.set(Topic::parse(&topic).unwrap(), 0);
            }
        }
        let (found, steps) = scan(&retained, "d/+/0500");
        assert_eq!(found.len(), 20);
        assert!(steps <= 20 * 4 + 2, "{steps} steps for 20 of 20,000 topics");
        let (found, steps) = scan(&retained, "d/07/#");
        assert_eq!(found.len(), 1_000);
        assert!(steps <= 1_003, "{steps} steps for 1,000 topics");
    }

    #[test]
    fn a_break_ends_the_call_behind_the_topic() {
        let retained = retained(&["a", "b", "c"]);
        let (mut cursor, mut found) = (Cursor::default(), Vec::new());
        loop {
            let progress = retained.scan(Filter::parse("#").unwrap(), &mut cursor, 100, |topic, _| {
                found.push(topic.to_string());
                ControlFlow::Break(())
            });
            if progress == Progress::Done {
                break;
            }
        }
        assert_eq!(found, ["a", "b", "c"]);
        let again = retained.scan(Filter::parse("#").unwrap(), &mut cursor, 100, |_, _| panic!("the scan is done"));
        assert_eq!(again, Progress::Done);
    }

    /// A scan under way: what it found, and what was there all the time.
    struct Scan {
        filter: String,
        cursor: Cursor,
        found: Vec<String>,
        constant: Vec<String>,
    }

    #[test]
    fn scans_cut_at_random_find_each_constant_topic_once() {
        let mut random = Random::from_seed(5);
        let mut retained = Retained::default();
        let mut model: BTreeMap<String, u64> = BTreeMap::new();
        let mut under_way: Option<Scan> = None;
        let (mut finished, mut found_count) = (0, 0);
        for operation in 0..300_000_u64 {
            let text = random_text(&mut random, false);
            let topic = Topic::parse(&text).unwrap();
            match random.below(10) {
                0..=3 => assert_eq!(retained.set(topic, operation), model.insert(text, operation)),
                4..=5 => {
                    assert_eq!(retained.remove(topic), model.remove(&text));
                    if let Some(scan) = &mut under_way {
                        scan.constant.retain(|constant| *constant != text);
                    }
                }
                6 => assert_eq!(retained.get(topic), model.get(&text)),
                _ => {
                    let mut scan = under_way.take().unwrap_or_else(|| begin(&mut random, &model));
                    let steps_max = random.range(1, 30) as u32;
                    let breaks = random.chance(1, 3);
                    let filter = Filter::parse(&scan.filter).unwrap();
                    let progress = retained.scan(filter, &mut scan.cursor, steps_max, |topic, value| {
                        assert!(filter.matches(Topic::parse(topic).unwrap()), "{filter:?} and {topic:?}");
                        assert_eq!(model.get(topic), Some(value));
                        scan.found.push(topic.to_string());
                        if breaks { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
                    });
                    if progress == Progress::More {
                        under_way = Some(scan);
                        continue;
                    }
                    found_count += scan.found.len();
                    finished += 1;
                    scan.found.sort();
                    assert!(scan.found.windows(2).all(|pair| pair[0] != pair[1]), "no topic twice");
                    for constant in &scan.constant {
                        assert!(scan.found.binary_search(constant).is_ok(), "{} misses {constant}", scan.filter);
                    }
                }
            }
            if operation % 10_000 == 0 {
                retained.check();
                assert_eq!(retained.len(), model.len());
            }
        }
        assert!(finished > 1_000 && found_count > finished * 2, "{finished} scans found {found_count}");
    }

    fn begin(random: &mut Random, model: &BTreeMap<String, u64>) -> Scan {
        let filter = random_text(random, true);
        let parsed = Filter::parse(&filter).unwrap();
        let constant = model.keys().filter(|topic| parsed.matches(Topic::parse(topic).unwrap())).cloned().collect();
        Scan { cursor: Cursor::default(), found: Vec::new(), constant, filter }
    }

    fn random_text(random: &mut Random, is_filter: bool) -> String {
        let depth = random.range(1, 4);
        let mut text = String::new();
        for level in 0..depth {
            if level > 0 {
                text.push('/');
            }
            let named = *random.pick(&["", "a", "b", "ab", "a\u{1}", "!", "~", "ü"]).unwrap();
            text.push_str(match random.below(8) {
                0..=3 if is_filter => "+",
                4 if is_filter && level + 1 == depth => "#",
                5 if level == 0 => "$a",
                _ => named,
            });
        }
        if text.is_empty() { "/".to_string() } else { text }
    }
}
