//! The subscription index: filters to subscribers, and a topic to the filters that match it.

use super::audience::Audience;
use super::entry::{Entry, Held, Holder, Options, Subscriber};
use super::fingerprint::Fingerprint;
use super::matching::Walk;
use super::pages::Pages;
use super::parts::Parts;
use super::prefixes::Prefixes;
use super::texts::{Text, Texts};
use crate::base::hash::Seed;
use crate::mqtt::topic::{Filter, Topic};

/// A filter that stands in the index. Valid until its last subscriber goes; then the number serves
/// another filter.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FilterId(u32);

impl FilterId {
    /// Of no filter.
    pub const NONE: Self = Self(NONE);
}

/// What an insert did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Inserted {
    /// Where the filter stands.
    pub id: FilterId,
    /// The options that the subscription had before, if it existed.
    pub previous: Option<Options>,
    /// The filter had no subscriber before.
    pub is_first: bool,
}

/// What a removal took away.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Removed {
    /// The options that the subscription had.
    pub options: Options,
    /// The filter had no other subscriber and has left the index.
    pub is_last: bool,
}

/// All subscriptions of the sessions and shared groups that live here. One per shard.
///
/// Every filter, exact or not, stands in one table under the hash of its text. A topic finds its
/// wildcard filters by masking: the hash of `a/+/c` is made from the topic `a/b/c` without reading
/// any filter, and `Prefixes` tells which masks can lead anywhere.
#[derive(Debug)]
pub struct Index {
    prints: Fingerprint,
    records: Pages<Record>,
    /// The numbers of the records in use, by the hash of their text.
    table: Parts<u32>,
    texts: Texts,
    prefixes: Prefixes,
    audiences: Pages<Audience>,
    audiences_free: Vec<u32>,
    /// `audience_bytes` = sum of the memory of all audiences
    audience_bytes: usize,
    walk: Walk,
    record_free: u32,
    filter_count: u32,
    subscription_count: usize,
    generation: u64,
}

/// A filter: its text and its subscribers.
#[derive(Clone, Copy, Debug)]
struct Record {
    text: Text,
    holder: Holder,
}

const _: () = assert!(size_of::<Record>() == 12);

/// The number of no record: the list of free ones ends.
const NONE: u32 = u32::MAX;

impl Index {
    /// An empty index. Its hashes depend on the seed, so that no peer can choose filters that
    /// collide.
    pub fn new(seed: Seed) -> Self {
        Self {
            prints: Fingerprint::new(seed),
            records: Pages::new(),
            table: Parts::new(),
            texts: Texts::new(),
            prefixes: Prefixes::new(),
            audiences: Pages::new(),
            audiences_free: Vec::new(),
            audience_bytes: 0,
            walk: Walk::default(),
            record_free: NONE,
            filter_count: 0,
            subscription_count: 0,
            generation: 0,
        }
    }

    /// Adds a subscription, or replaces the options of the one that this subscriber has.
    /// [MQTT-3.8.4-3]
    pub fn insert(&mut self, filter: Filter<'_>, subscriber: Subscriber, options: Options) -> Inserted {
        self.generation += 1;
        let entry = Entry { subscriber, options };
        let hash = self.prints.whole(filter.as_str().as_bytes());
        let Some(id) = self.find_hashed(hash, filter) else {
            self.subscription_count += 1;
            return Inserted { id: self.insert_filter(hash, filter, entry), previous: None, is_first: true };
        };
        let previous = self.insert_entry(id, entry);
        self.subscription_count += usize::from(previous.is_none());
        Inserted { id, previous, is_first: false }
    }

    /// Takes a subscription out; `None` if the subscriber has none on this filter. With the last
    /// one the filter goes.
    pub fn remove(&mut self, id: FilterId, subscriber: Subscriber) -> Option<Removed> {
        let (options, is_last) = match self.held(id) {
            Held::One(entry) if entry.subscriber == subscriber => (entry.options, true),
            Held::One(_) | Held::Free(_) => return None,
            Held::Many(number) => {
                let options = self.change_audience(number, |audience| audience.remove(subscriber))?;
                self.settle(id, number);
                (options, false)
            }
        };
        self.generation += 1;
        self.subscription_count -= 1;
        if is_last {
            self.remove_filter(id);
        }
        Some(Removed { options, is_last })
    }

    /// The filter of this text, if it has a subscriber.
    pub fn find(&self, filter: Filter<'_>) -> Option<FilterId> {
        self.find_hashed(self.prints.whole(filter.as_str().as_bytes()), filter)
    }

    /// The options of a subscription.
    pub fn options(&self, id: FilterId, subscriber: Subscriber) -> Option<Options> {
        match self.held(id) {
            Held::One(entry) => Some(entry.options).filter(|_| entry.subscriber == subscriber),
            Held::Many(number) => self.audiences.get(number).options(subscriber),
            Held::Free(_) => None,
        }
    }

    /// Appends the filter's text.
    pub fn write_text(&self, id: FilterId, out: &mut String) {
        let text = self.texts.get(self.records.get(id.0).text);
        out.push_str(std::str::from_utf8(text).expect("the text of a filter is stored as it came"));
    }

    /// The subscriptions of a filter, in no particular order. The order changes with removals only.
    pub fn entries(&self, id: FilterId) -> &[Entry] {
        match self.held(id) {
            Held::One(entry) => std::slice::from_ref(entry),
            Held::Many(number) => self.audiences.get(number).entries(),
            Held::Free(_) => &[],
        }
    }

    /// Appends all filters that match the topic, each once. Costs by the prefixes of live filters
    /// that fit the topic, never by the number of filters; says how many it has visited.
    pub fn matches(&mut self, topic: Topic<'_>, out: &mut Vec<FilterId>) -> usize {
        let Self { prints, records, table, texts, prefixes, walk, .. } = self;
        let text_of = |number: u32| texts.get(records.get(number).text);

        let hash = walk.load(topic, prints);
        let exact = topic.as_str().as_bytes();
        out.extend(table.of(hash).find(hash, |number| text_of(*number) == exact).map(|number| FilterId(*number)));
        if prefixes.filter_count() == 0 {
            return 0;
        }
        walk.run(topic, prints, prefixes, |hash, masked| {
            let found = table.of(hash).find(hash, |number| masked.is(text_of(*number)));
            out.extend(found.map(|number| FilterId(*number)));
        })
    }

    /// Changes with each insert, removal and change of options: what was derived from the index at
    /// another generation is stale.
    pub fn generation(&self) -> u64 {
        self.generation
    }

    /// How many filters have a subscriber.
    pub fn filter_count(&self) -> usize {
        self.filter_count as usize
    }

    /// How many subscriptions there are.
    pub fn subscription_count(&self) -> usize {
        self.subscription_count
    }

    /// How many beginnings of wildcard filters there are: what a look-up may have to visit at most.
    pub fn prefix_count(&self) -> usize {
        self.prefixes.len()
    }

    /// Bytes on the heap, without what the allocator adds.
    pub fn memory_bytes(&self) -> usize {
        self.records.memory_bytes()
            + self.table.memory_bytes()
            + self.texts.memory_bytes()
            + self.prefixes.memory_bytes()
            + self.audiences.memory_bytes()
            + self.audience_bytes
            + self.audiences_free.capacity() * size_of::<u32>()
            + self.walk.memory_bytes()
    }

    /// Panics unless all parts of the index say the same. Costs a pass over everything: for tests
    /// and simulation.
    pub fn check(&self) {
        let mut fresh = Prefixes::new();
        let (mut filters, mut subscriptions, mut audiences, mut text_bytes) = (0, 0, 0, 0);
        for number in 0..self.records.len() {
            let id = FilterId(number);
            match self.held(id) {
                Held::Free(_) => continue,
                Held::One(_) => {}
                Held::Many(audience) => {
                    self.audiences.get(audience).check();
                    assert!(self.entries(id).len() > 1, "one subscriber alone lies in the record");
                    audiences += 1;
                }
            }
            let mut text = String::new();
            self.write_text(id, &mut text);
            let filter = Filter::parse(&text).expect("what was inserted was a filter");
            assert_eq!(self.find(filter), Some(id));
            if filter.has_wildcards() {
                fresh.add(filter, &self.prints);
            }
            filters += 1;
            subscriptions += self.entries(id).len();
            text_bytes += (text.len() + 2).next_multiple_of(4);
        }
        assert_eq!((filters, subscriptions), (self.filter_count(), self.subscription_count));
        assert_eq!(self.table.len(), filters);
        assert_eq!(self.audiences.len() as usize, audiences + self.audiences_free.len());
        assert_eq!(self.audience_bytes, self.audiences.iter().map(Audience::memory_bytes).sum::<usize>());
        assert_eq!(self.texts.live_bytes(), text_bytes);
        self.prefixes.check_against(&fresh);
    }

    fn held(&self, id: FilterId) -> Held<'_> {
        self.records.get(id.0).holder.held()
    }

    fn find_hashed(&self, hash: u64, filter: Filter<'_>) -> Option<FilterId> {
        let wanted = filter.as_str().as_bytes();
        let is_it = |number: &u32| self.texts.get(self.records.get(*number).text) == wanted;
        self.table.of(hash).find(hash, is_it).map(|number| FilterId(*number))
    }

    fn insert_filter(&mut self, hash: u64, filter: Filter<'_>, entry: Entry) -> FilterId {
        let record = Record { text: self.texts.add(filter.as_str().as_bytes()), holder: Holder::one(entry) };
        let number = if self.record_free == NONE {
            self.records.push(record)
        } else {
            let number = self.record_free;
            let place = self.records.get_mut(number);
            let Held::Free(next) = place.holder.held() else {
                unreachable!("the list of free records holds free ones")
            };
            self.record_free = next;
            *place = record;
            number
        };
        let Self { prints, records, texts, table, .. } = self;
        table.of_mut(hash).insert_unique(hash, number, |other| prints.whole(texts.get(records.get(*other).text)));
        if filter.has_wildcards() {
            self.prefixes.add(filter, &self.prints);
        }
        self.filter_count += 1;
        FilterId(number)
    }

    fn remove_filter(&mut self, id: FilterId) {
        let mut text = String::new();
        self.write_text(id, &mut text);
        let filter = Filter::parse(&text).expect("what was inserted was a filter");
        let hash = self.prints.whole(filter.as_str().as_bytes());
        let found = self.table.of_mut(hash).find_entry(hash, |number| *number == id.0);
        found.expect("each filter stands in the table").remove();
        if filter.has_wildcards() {
            self.prefixes.subtract(filter, &self.prints);
        }
        let record = self.records.get_mut(id.0);
        self.texts.free(record.text);
        record.holder = Holder::free(self.record_free);
        self.record_free = id.0;
        self.filter_count -= 1;
    }

    /// Adds an entry to a filter that stands in the index; returns the options that it replaced.
    fn insert_entry(&mut self, id: FilterId, entry: Entry) -> Option<Options> {
        let first = match self.held(id) {
            Held::Many(number) => return self.change_audience(number, |audience| audience.insert(entry)),
            Held::One(first) => *first,
            Held::Free(_) => unreachable!("a filter in the table has a subscriber"),
        };
        if first.subscriber == entry.subscriber {
            self.records.get_mut(id.0).holder = Holder::one(entry);
            return Some(first.options);
        }
        let number = self.audiences_free.pop().unwrap_or_else(|| self.audiences.push(Audience::default()));
        self.change_audience(number, |audience| {
            audience.insert(first);
            audience.insert(entry);
        });
        self.records.get_mut(id.0).holder = Holder::many(number);
        None
    }

    /// Changes an audience and keeps account of its memory.
    fn change_audience<R>(&mut self, number: u32, change: impl FnOnce(&mut Audience) -> R) -> R {
        let audience = self.audiences.get_mut(number);
        let before = audience.memory_bytes();
        let result = change(audience);
        self.audience_bytes = self.audience_bytes + audience.memory_bytes() - before;
        result
    }

    /// After a removal: a subscriber that is left alone moves into the record, and its audience is
    /// free.
    fn settle(&mut self, id: FilterId, number: u32) {
        let audience = self.audiences.get_mut(number);
        if let [only] = audience.entries() {
            self.records.get_mut(id.0).holder = Holder::one(*only);
            self.change_audience(number, |audience| *audience = Audience::default());
            self.audiences_free.push(number);
        }
    }
}
