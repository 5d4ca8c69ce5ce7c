//! The index against a plain list of subscriptions, over random operations.
//!
//! `cargo test` runs 300,000 of them. The long run:
//! `PREGON_MODEL_OPERATIONS=10000000 cargo test --release --lib subscriptions::model`

#![expect(clippy::cast_possible_truncation, reason = "the numbers of a test are small")]

use std::collections::BTreeMap;

use super::entry::{Options, Subscriber};
use super::index::{FilterId, Index};
use crate::base::hash::Seed;
use crate::base::random::Random;
use crate::mqtt::topic::{Filter, Topic};
use crate::mqtt::version::QoS;

const OPERATIONS: u32 = 300_000;
/// Enough to meet, few enough to compare each topic with all of them.
const FILTERS_MAX: usize = 300;
const OPERATIONS_BETWEEN_CHECKS: u32 = 20_000;

/// The plain truth: each filter with its subscribers.
#[derive(Default)]
struct Model {
    filters: BTreeMap<String, Known>,
}

struct Known {
    id: FilterId,
    subscribers: BTreeMap<Subscriber, Options>,
}

/// The index and the model side by side; every operation is done to both and compared.
struct Pair {
    random: Random,
    index: Index,
    model: Model,
    matched: Vec<FilterId>,
}

#[test]
fn the_index_behaves_as_a_list_of_subscriptions() {
    let operations = std::env::var("PREGON_MODEL_OPERATIONS").map_or(OPERATIONS, |count| count.parse().unwrap());
    let mut pair = Pair::new(1);
    let mut matches = 0;
    for operation in 0..operations {
        // Three phases: filters come, stay about as many, go.
        let inserts = match operation / 2_000 % 3 {
            0 => 60,
            1 => 40,
            _ => 15,
        };
        match pair.random.below(100) {
            dice if dice < inserts && pair.model.filters.len() < FILTERS_MAX => pair.insert(),
            dice if dice < 75 => pair.remove(),
            _ => matches += pair.compare_matches(),
        }
        if operation % OPERATIONS_BETWEEN_CHECKS == 0 {
            pair.index.check();
        }
    }
    assert!(matches > operations as usize / 4, "topics and filters meet often enough to mean something: {matches}");
    pair.drain();
}

impl Pair {
    fn new(seed: u64) -> Self {
        Self {
            random: Random::from_seed(seed),
            index: Index::new(Seed::new(seed)),
            model: Model::default(),
            matched: Vec::new(),
        }
    }

    fn insert(&mut self) {
        let text = self.random_text(true);
        let filter = Filter::parse(&text).unwrap();
        let (subscriber, options) = (self.random_subscriber(), self.random_options());
        let generation = self.index.generation();

        let inserted = self.index.insert(filter, subscriber, options);

        assert_ne!(self.index.generation(), generation);
        assert_eq!(inserted.is_first, !self.model.filters.contains_key(&text));
        let known = self
            .model
            .filters
            .entry(text.clone())
            .or_insert_with(|| Known { id: inserted.id, subscribers: BTreeMap::new() });
        assert_eq!(inserted.id, known.id);
        assert_eq!(inserted.previous, known.subscribers.insert(subscriber, options));
        self.compare_filter(filter);
    }

    fn remove(&mut self) {
        // Mostly a filter that exists, now and then one that hardly does.
        let text = if self.random.chance(9, 10) { self.random_known() } else { None };
        let text = text.unwrap_or_else(|| self.random_text(true));
        let filter = Filter::parse(&text).unwrap();
        let Some(known) = self.model.filters.get_mut(&text) else {
            assert_eq!(self.index.find(filter), None);
            return;
        };
        let subscriber = if self.random.chance(3, 4) {
            let at = self.random.index(known.subscribers.len());
            *known.subscribers.keys().nth(at).unwrap()
        } else {
            Subscriber::session(self.random.below(60) as u32)
        };
        let generation = self.index.generation();

        let removed = self.index.remove(known.id, subscriber);

        let expected = known.subscribers.remove(&subscriber);
        assert_eq!(removed.map(|removed| removed.options), expected);
        assert_eq!(self.index.generation() != generation, removed.is_some());
        let is_last = known.subscribers.is_empty();
        assert_eq!(removed.is_some_and(|removed| removed.is_last), is_last);
        if is_last {
            self.model.filters.remove(&text);
        }
        self.compare_filter(filter);
    }

    fn compare_filter(&self, filter: Filter<'_>) {
        let known = self.model.filters.get(filter.as_str());
        assert_eq!(self.index.find(filter), known.map(|known| known.id));
        assert_eq!(self.index.filter_count(), self.model.filters.len());
        let Some(known) = known else { return };
        let mut text = String::new();
        self.index.write_text(known.id, &mut text);
        assert_eq!(text, filter.as_str());
        let mut entries: Vec<_> =
            self.index.entries(known.id).iter().map(|entry| (entry.subscriber, entry.options)).collect();
        entries.sort_by_key(|entry| entry.0);
        assert!(
            entries.iter().copied().eq(known.subscribers.iter().map(|(subscriber, options)| (*subscriber, *options)))
        );
        for (subscriber, options) in &known.subscribers {
            assert_eq!(self.index.options(known.id, *subscriber), Some(*options));
        }
    }

    fn compare_matches(&mut self) -> usize {
        let text = self.random_text(false);
        let topic = Topic::parse(&text).unwrap();
        self.matched.clear();

        self.index.matches(topic, &mut self.matched);

        let fits = |text: &str| Filter::parse(text).unwrap().matches(topic);
        let mut expected: Vec<_> =
            self.model.filters.iter().filter(|(text, _)| fits(text)).map(|(_, known)| known.id).collect();
        expected.sort_unstable();
        self.matched.sort_unstable();
        assert_eq!(self.matched, expected, "the filters that match {text:?}");
        expected.len()
    }

    fn drain(&mut self) {
        for (_, known) in std::mem::take(&mut self.model.filters) {
            for subscriber in known.subscribers.keys() {
                assert!(self.index.remove(known.id, *subscriber).is_some());
            }
        }
        assert_eq!((self.index.filter_count(), self.index.subscription_count()), (0, 0));
        self.index.check();
    }

    fn random_known(&mut self) -> Option<String> {
        if self.model.filters.is_empty() {
            return None;
        }
        let near = self.random_text(true);
        let known = self.model.filters.range(near..).next().or_else(|| self.model.filters.first_key_value());
        known.map(|(text, _)| text.clone())
    }

    fn random_text(&mut self, is_filter: bool) -> String {
        // One filter becomes popular enough for a position index.
        if is_filter && self.random.chance(1, 6) {
            return "a/+".to_string();
        }
        let deep = self.random.chance(1, 40);
        let depth = if deep { self.random.range(30, 80) } else { self.random.range(1, 5) };
        let mut text = String::new();
        for level in 0..depth {
            if level > 0 {
                text.push('/');
            }
            // Deep texts differ in few levels only, or they would never meet.
            let named = if deep && !self.random.chance(1, 20) {
                "a"
            } else {
                self.random.pick(&["a", "a", "b", "ab", ""]).unwrap()
            };
            let level_text = match self.random.below(12) {
                0 | 1 if is_filter => "+",
                2 if is_filter && level + 1 == depth => "#",
                3 if level == 0 => "$x",
                _ => named,
            };
            text.push_str(level_text);
        }
        if text.is_empty() { "/".to_string() } else { text }
    }

    fn random_subscriber(&mut self) -> Subscriber {
        let index = self.random.below(60) as u32;
        if self.random.chance(1, 8) { Subscriber::group(index) } else { Subscriber::session(index) }
    }

    fn random_options(&mut self) -> Options {
        let qos = *self.random.pick(&[QoS::AtMostOnce, QoS::AtLeastOnce, QoS::ExactlyOnce]).unwrap();
        Options::new(qos)
            .with_id(self.random.below(1 << 28) as u32)
            .with_no_local(self.random.chance(1, 2))
            .with_retain_as_published(self.random.chance(1, 2))
    }
}
