//! The route of a topic: who wants it on this shard, found once and kept until a subscription changes.

use std::cell::Cell;
use std::rc::Rc;

use crate::base::bitset::Bits64;
use crate::base::hash::{Map, Seed, map};
use crate::engine::limits::{Overlap, ROUTE_PARTS_MAX, ROUTE_TOPIC_BYTES_MAX, ROUTES_MAX};
use crate::engine::session::SessionKey;
use crate::engine::subscriptions::entry::Options;
use crate::engine::subscriptions::index::FilterId;
use crate::engine::subscriptions::shared::GroupKey;
use crate::mqtt::QoS;

/// One session that wants a topic, with all its subscriptions that match taken together.
#[derive(Clone, Debug)]
pub(super) struct Target {
    /// Who.
    pub session: SessionKey,
    /// The highest quality of service granted.
    pub qos: QoS,
    /// Whether one of the subscriptions keeps RETAIN.
    pub retain_as_published: bool,
    /// Whether one of them is not for the session's own messages.
    pub has_no_local: bool,
    /// Whether the session's owner may not read this topic; nothing until somebody has asked.
    pub denied: Cell<Option<bool>>,
    /// The subscription identifiers: a piece of [`Route::ids`].
    ids_start: u32,
    ids_end: u32,
}

impl Target {
    /// A session by one of its subscriptions.
    pub fn new(session: SessionKey, options: Options, denied: Option<bool>, ids: &mut Vec<u32>) -> Self {
        let ids_start = u32::try_from(ids.len()).expect("a route has fewer than 2^32 targets");
        ids.extend(options.id());
        Self {
            session,
            qos: options.qos(),
            retain_as_published: options.retain_as_published(),
            has_no_local: options.no_local(),
            denied: Cell::new(denied),
            ids_start,
            ids_end: u32::try_from(ids.len()).expect("a route has fewer than 2^32 targets"),
        }
    }

    /// Whether its copy differs from everybody else's.
    pub fn has_ids(&self) -> bool {
        self.ids_start != self.ids_end
    }

    /// The identifiers.
    pub fn ids<'a>(&self, ids: &'a [u32]) -> &'a [u32] {
        &ids[self.ids_start as usize..self.ids_end as usize]
    }
}

/// Who wants a topic here.
#[derive(Clone, Debug, Default)]
pub(super) struct Route {
    /// The sessions.
    pub targets: Vec<Target>,
    /// The shared groups whose home this is.
    pub groups: Vec<GroupKey>,
    /// Subscription identifiers of all targets.
    pub ids: Vec<u32>,
    /// The filters that match.
    pub filters: Vec<FilterId>,
    /// For sessions of which some subscriptions are not for their own messages: the others taken together.
    own: Vec<Target>,
    generation: (u64, u64),
}

impl Route {
    /// A route as the index and the rules are at this generation.
    pub fn new(generation: (u64, u64)) -> Self {
        Self { generation, ..Self::default() }
    }

    /// Whether its targets were judged when the rules were at this generation.
    pub fn was_judged_at(&self, generation: u64) -> bool {
        self.generation.1 == generation
    }

    /// From now on they are judged as the rules are at this generation.
    pub fn is_judged_at(&mut self, generation: u64) {
        self.generation.1 = generation;
    }

    /// Takes the subscriptions of each session together, if that is how overlaps are served.
    pub fn settle(&mut self, overlap: Overlap) {
        if overlap == Overlap::Separate || self.filters.len() < 2 {
            return;
        }
        self.targets.sort_by_key(|target| target.session);
        let sessions = self.targets.chunk_by(|one, other| one.session == other.session).count();
        if sessions == self.targets.len() {
            return;
        }
        let ids = std::mem::take(&mut self.ids);
        let mut merged: Vec<Target> = Vec::with_capacity(sessions);
        for target in &self.targets {
            merge(&mut merged, target, &ids, &mut self.ids);
        }
        let is_foreign = |target: &&Target| !target.has_no_local;
        let has_no_local = |session| {
            let place = merged.binary_search_by_key(&session, |merged: &Target| merged.session);
            place.is_ok_and(|place| merged[place].has_no_local)
        };
        for target in self.targets.iter().filter(is_foreign).filter(|target| has_no_local(target.session)) {
            merge(&mut self.own, target, &ids, &mut self.ids);
        }
        self.targets = merged;
        debug_assert_eq!(self.targets.len(), sessions, "each session is one target");
        give_room_back(&mut self.own);
        give_room_back(&mut self.ids);
        give_room_back(&mut self.filters);
    }

    /// What a session gets of its own messages, if one of its subscriptions is for them.
    pub fn own(&self, session: SessionKey) -> Option<&Target> {
        let place = self.own.binary_search_by_key(&session, |own| own.session).ok()?;
        Some(&self.own[place])
    }

    /// How many things it lists, for the bound of the cache.
    fn parts(&self) -> usize {
        self.targets.len() + self.own.len() + self.groups.len() + self.ids.len() + self.filters.len()
    }

    /// Whether nobody wants the topic here.
    pub fn is_empty(&self) -> bool {
        self.targets.is_empty() && self.groups.is_empty()
    }
}

/// Room that a list of a route may have unused, whatever is in it: to give back less costs more than it brings.
const ROOM_UNUSED_MIN: usize = 64;

/// A route is kept, so a list of which most is unused gives its room back. One that has grown by doubling stays as it is: it is made anew after
/// each change of a subscription, and would be moved each time.
fn give_room_back<T>(list: &mut Vec<T>) {
    if list.capacity() > 2 * list.len() && list.capacity() - list.len() > ROOM_UNUSED_MIN {
        list.shrink_to_fit();
    }
}

/// Adds one subscription to those of the same session, which stand last.
fn merge(merged: &mut Vec<Target>, target: &Target, ids: &[u32], all_ids: &mut Vec<u32>) {
    let start = u32::try_from(all_ids.len()).expect("a route has fewer than 2^32 targets");
    all_ids.extend_from_slice(target.ids(ids));
    let end = u32::try_from(all_ids.len()).expect("a route has fewer than 2^32 targets");
    match merged.last_mut().filter(|last| last.session == target.session) {
        Some(last) => {
            // [MQTT-3.3.4-2] the highest quality of service, [MQTT-3.3.4-4] all identifiers.
            last.qos = last.qos.max(target.qos);
            last.retain_as_published |= target.retain_as_published;
            last.has_no_local |= target.has_no_local;
            last.ids_end = end;
        }
        None => merged.push(Target { ids_start: start, ids_end: end, ..target.clone() }),
    }
}

/// The routes of the topics that were published lately. One per shard; at its bounds it starts afresh.
#[derive(Debug)]
pub(super) struct Routes {
    routes: Map<Box<str>, Rc<Route>>,
    /// The shards that want a topic, as they were at a generation of the interest filter.
    shards: Map<Box<str>, (Bits64, u64)>,
    /// parts = sum of the parts of all routes
    parts: usize,
}

impl Routes {
    /// An empty cache.
    pub fn new(seed: Seed) -> Self {
        Self { routes: map(seed), parts: 0, shards: map(seed) }
    }

    /// Bytes on the heap, without those of the topics: an estimate by what a target takes, the largest part of a route.
    pub fn memory_bytes(&self) -> usize {
        let tables = self.routes.allocation_size() + self.shards.allocation_size();
        tables + self.routes.len() * size_of::<Route>() + self.parts * size_of::<Target>()
    }

    /// The route of a topic, if it is still true.
    pub fn find(&self, topic: &str, generation: (u64, u64)) -> Option<Rc<Route>> {
        self.routes.get(topic).filter(|route| route.generation == generation).map(Rc::clone)
    }

    /// The shards that want a topic, if that is still true.
    pub fn find_shards(&self, topic: &str, generation: u64) -> Option<Bits64> {
        self.shards.get(topic).filter(|(_, known)| *known == generation).map(|(shards, _)| *shards)
    }

    /// Keeps the shards that want a topic.
    pub fn keep_shards(&mut self, topic: &str, shards: Bits64, generation: u64) {
        if topic.len() > ROUTE_TOPIC_BYTES_MAX {
            return;
        }
        if let Some(known) = self.shards.get_mut(topic) {
            *known = (shards, generation);
            return;
        }
        if self.shards.len() >= ROUTES_MAX {
            self.shards.clear();
        }
        self.shards.insert(topic.into(), (shards, generation));
    }

    /// Keeps a route, unless its topic is so long that many of them would cost more than they bring.
    pub fn keep(&mut self, topic: &str, route: &Rc<Route>) {
        if topic.len() > ROUTE_TOPIC_BYTES_MAX {
            return;
        }
        let is_full = self.routes.len() >= ROUTES_MAX || self.parts + route.parts() > ROUTE_PARTS_MAX;
        if is_full {
            self.routes.clear();
            self.parts = 0;
        }
        self.parts += route.parts();
        match self.routes.get_mut(topic) {
            Some(old) => {
                self.parts -= old.parts();
                *old = Rc::clone(route);
            }
            None => {
                self.routes.insert(topic.into(), Rc::clone(route));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A list of so many with room for so many.
    fn list(len: usize, capacity: usize) -> Vec<u32> {
        let mut list = Vec::with_capacity(capacity);
        list.extend(0..u32::try_from(len).unwrap());
        assert_eq!(list.capacity(), capacity);
        list
    }

    #[test]
    fn only_a_list_of_which_much_is_unused_gives_its_room_back() {
        for len in [0, 1, 3, 60, 64, 65, 100, 1_000, 5_000] {
            for capacity in [1, 2, 64, 65, 66, 128, 129, 200, 201, 4_096, 10_000, 10_001] {
                let capacity = capacity.max(len);
                let mut list = list(len, capacity);
                let place = list.as_ptr();
                give_room_back(&mut list);
                let is_much = capacity > 2 * len && capacity - len > ROOM_UNUSED_MIN;
                assert_eq!(list.capacity() < capacity, is_much, "{len} of {capacity}");
                assert!(is_much || list.as_ptr() == place, "it lies where it was");
                assert!(list.capacity() <= (2 * len).max(len + ROOM_UNUSED_MIN), "{len} of {capacity}");
            }
        }
    }

    fn keys(count: u64) -> impl Iterator<Item = SessionKey> {
        (1..=count).map(|number| SessionKey::from_bits((1 << 32) + number).expect("a key has a generation"))
    }

    #[test]
    fn a_route_of_many_subscriptions_of_few_sessions_keeps_room_for_those_few() {
        const EACH: usize = 4_096;
        let mut route = Route::new((0, 0));
        for session in keys(3) {
            for id in 0..u32::try_from(EACH).unwrap() {
                let options = Options::new(QoS::AtMostOnce).with_id(1 + id % 2).with_no_local(id % 2 == 0);
                let target = Target::new(session, options, None, &mut route.ids);
                route.targets.push(target);
            }
        }
        route.filters = vec![FilterId::NONE; 2];
        route.settle(Overlap::Merged);
        assert_eq!((route.targets.len(), route.targets.capacity()), (3, 3));
        assert_eq!((route.own.len(), route.own.capacity() <= 3 + ROOM_UNUSED_MIN), (3, true));
    }
}
