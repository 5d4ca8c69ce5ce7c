//! The members of one shared group, and which of them is next.
//!
//! Members that can take a message stand in an index that fits the strategy, so that a pick looks at one member or at a few,
//! never at all of them:
//!
//! | strategy       | index                                   | pick                                      |
//! |----------------|-----------------------------------------|-------------------------------------------|
//! | round robin    | ordered by the turn it was last served  | the first                                 |
//! | sticky         | the same                                | the last one while it has room, the first |
//! | least inflight | ordered by unacknowledged, then by turn | the first                                 |
//! | random         | a list                                  | any                                       |
//! | hash           | a [`HashRing`]                          | the owner of the key                      |
//!
//! The ring holds all members that are present, also those without room: their keys wait for them.

use std::collections::BTreeSet;

use crate::base::bitset::Bits64;
use crate::base::hash::{Map, Seed, map};
use crate::base::random::Random;
use crate::base::slab::{Key, Slab};
use crate::engine::homes::ShardId;
use crate::engine::limits::Strategy;
use crate::engine::message::SessionId;
use crate::engine::subscriptions::hash_ring::HashRing;
use crate::mqtt::version::QoS;

/// A session on whatever shard it lives.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct MemberId {
    /// Where it lives.
    pub shard: ShardId,
    /// The bits of its key there.
    pub session: u64,
    /// Its number.
    pub id: SessionId,
}

/// What a member subscribed to beside the filter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Terms {
    /// The highest quality of service it wants.
    pub qos: QoS,
    /// Its subscription identifier, 0 for none.
    pub subscription_id: u32,
    /// Whether RETAIN stays as the publisher set it.
    pub retain_as_published: bool,
}

/// One member. Owned by its group.
#[derive(Clone, Debug)]
#[expect(clippy::struct_excessive_bools, reason = "what keeps it from being given anything comes and goes by itself")]
pub struct Member {
    /// Which session it is.
    pub id: MemberId,
    /// What it subscribed to.
    pub terms: Terms,
    /// Unacknowledged deliveries.
    pub outstanding: u32,
    /// No delivery is added while outstanding ≥ window; none while its session is not connected.
    pub window: Option<u16>,
    /// Whether it unsubscribed and only completes what it was sent.
    pub has_left: bool,
    /// Whether its session outlives its connection.
    pub is_lasting: bool,
    /// Whether it was sent more than its rate allows for: it is given nothing until it says that it may be.
    pub is_above_rate: bool,
    /// Whether the way to its shard was full when it was its turn: it is given nothing until that has room.
    is_shut_out: bool,
    /// When it was last served; the earlier, the sooner it is next.
    turn: u64,
    /// Where it stands in the index, if it stands there.
    rank: Option<Rank>,
    /// Its place in the list, while it stands there.
    listed_at: usize,
}

/// A place in the order: by the first field that differs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Rank {
    load: u32,
    turn_or_point: u64,
    member: Key<Member>,
}

impl Member {
    /// Whether it may be given messages at all.
    pub fn is_present(&self) -> bool {
        self.window.is_some() && !self.has_left
    }

    /// Whether the group has to outlive the process for its sake.
    fn keeps(&self) -> bool {
        self.is_lasting && !self.has_left
    }

    /// Whether it can take a message now. A member that acknowledges nothing needs no window.
    pub fn has_room(&self) -> bool {
        let Some(window) = self.window else {
            return false;
        };
        let is_open = !self.has_left && !self.is_above_rate && !self.is_shut_out;
        is_open && (self.terms.qos == QoS::AtMostOnce || self.outstanding < u32::from(window))
    }
}

/// All members of a group. One per group.
#[derive(Debug)]
pub struct Members {
    seed: Seed,
    strategy: Strategy,
    slab: Slab<Member>,
    by_id: Map<MemberId, Key<Member>>,
    /// The index of the strategies that have an order.
    ranked: BTreeSet<Rank>,
    /// The index of `Random`.
    listed: Vec<Key<Member>>,
    /// The index of the strategies that hash.
    ring: HashRing,
    sticky: Option<Key<Member>>,
    /// Shards whose way is full.
    full_ways: Bits64,
    /// Who was passed over for that.
    shut_out: Vec<Key<Member>>,
    turn: u64,
    left_count: usize,
    /// lasting = members that have not left and outlive their connections
    lasting_count: usize,
    present_count: usize,
    ready_count: usize,
}

impl Members {
    /// No members.
    pub fn new(seed: Seed) -> Self {
        Self {
            seed,
            strategy: Strategy::RoundRobin,
            slab: Slab::new(),
            by_id: map(seed),
            ranked: BTreeSet::new(),
            listed: Vec::new(),
            ring: HashRing::default(),
            sticky: None,
            full_ways: Bits64::EMPTY,
            shut_out: Vec::new(),
            turn: 0,
            left_count: 0,
            lasting_count: 0,
            present_count: 0,
            ready_count: 0,
        }
    }

    /// Members that have not left.
    pub fn count(&self) -> usize {
        self.slab.len() - self.left_count
    }

    /// Whether any member is connected.
    pub fn has_present(&self) -> bool {
        self.present_count > 0
    }

    /// Whether the session of any member outlives its connection.
    pub fn has_lasting(&self) -> bool {
        self.lasting_count > 0
    }

    /// Whether any member can take a message now.
    pub fn has_ready(&self) -> bool {
        self.ready_count > 0
    }

    /// Who owns which key; empty but for the strategies that hash.
    pub fn ring(&self) -> &HashRing {
        &self.ring
    }

    /// The member that this session is, also while it only completes what it was sent.
    pub fn find(&self, id: MemberId) -> Option<Key<Member>> {
        self.by_id.get(&id).copied()
    }

    /// A member by its key.
    pub fn get(&self, key: Key<Member>) -> Option<&Member> {
        self.slab.get(key)
    }

    /// Everybody who has not left.
    pub fn iter(&self) -> impl Iterator<Item = &Member> {
        self.slab.iter().map(|(_, member)| member).filter(|member| !member.has_left)
    }

    /// Everybody, also those who only complete what they were sent.
    pub fn all(&self) -> impl Iterator<Item = &Member> {
        self.slab.iter().map(|(_, member)| member)
    }

    /// Adds a session that is none of the members.
    pub fn insert(&mut self, id: MemberId, terms: Terms) -> Key<Member> {
        self.turn += 1;
        let member = Member {
            id,
            terms,
            outstanding: 0,
            window: None,
            has_left: false,
            is_lasting: false,
            is_above_rate: false,
            is_shut_out: false,
            turn: self.turn,
            rank: None,
            listed_at: 0,
        };
        let key = self.slab.insert(member);
        let before = self.by_id.insert(id, key);
        assert!(before.is_none(), "a session is a member once");
        key
    }

    /// Takes a member out for good; nothing it was sent is unacknowledged any more.
    pub fn remove(&mut self, key: Key<Member>) {
        self.change(key, |member| (member.window, member.is_lasting) = (None, false));
        self.shut_out.retain(|shut_out| *shut_out != key);
        let member = self.slab.remove(key).expect("the member was changed a moment ago");
        assert_eq!(member.outstanding, 0, "what a member was sent is settled before it goes");
        self.left_count -= usize::from(member.has_left);
        self.by_id.remove(&member.id);
        if self.sticky == Some(key) {
            self.sticky = None;
        }
    }

    /// Changes a member and moves it to its new place in the index.
    pub fn change(&mut self, key: Key<Member>, change: impl FnOnce(&mut Member)) {
        let member = self.slab.get_mut(key).expect("whoever holds a member's key knows that it is here");
        self.left_count -= usize::from(member.has_left);
        self.lasting_count -= usize::from(member.keeps());
        self.present_count -= usize::from(member.is_present());
        self.ready_count -= usize::from(member.has_room());
        change(member);
        self.left_count += usize::from(member.has_left);
        self.lasting_count += usize::from(member.keeps());
        self.present_count += usize::from(member.is_present());
        self.ready_count += usize::from(member.has_room());
        self.place(key);
    }

    /// The ways to these shards are full, and those to all others have room.
    pub fn note_full_ways(&mut self, full: Bits64) {
        if full == self.full_ways {
            return; // as nearly always
        }
        self.full_ways = full;
        for key in std::mem::take(&mut self.shut_out) {
            let is_still = self.slab.get(key).is_some_and(|member| full.contains(member.id.shard.bit()));
            if is_still {
                self.shut_out.push(key);
            } else {
                self.change(key, |member| member.is_shut_out = false);
            }
        }
    }

    /// Passes over a member whose turn it is, where the way to its shard is full. Whether it is so.
    pub fn shut_out(&mut self, key: Key<Member>) -> bool {
        if self.full_ways.is_empty() {
            return false; // as nearly always
        }
        let is_full = self.slab.get(key).is_some_and(|member| self.full_ways.contains(member.id.shard.bit()));
        if is_full {
            self.change(key, |member| member.is_shut_out = true);
            self.shut_out.push(key);
        }
        is_full
    }

    /// The shard of somebody who was passed over because the way to it is full.
    pub fn awaited_way(&self) -> Option<ShardId> {
        self.shut_out.first().and_then(|key| self.slab.get(*key)).map(|member| member.id.shard)
    }

    /// Notes that the member was given a message, and whether it will acknowledge it.
    pub fn serve(&mut self, key: Key<Member>, is_acknowledged: bool) {
        self.turn += 1;
        let turn = self.turn;
        self.change(key, |member| {
            member.turn = turn;
            member.outstanding += u32::from(is_acknowledged);
        });
    }

    /// Brings the index into the order of a strategy; free of cost while it stays the same.
    pub fn use_strategy(&mut self, strategy: Strategy) {
        if strategy == self.strategy {
            return;
        }
        let keys: Vec<_> = self.slab.keys().collect();
        for &key in &keys {
            self.displace(key);
        }
        self.strategy = strategy;
        self.sticky = None;
        for key in keys {
            self.place(key);
        }
    }

    /// The next member in order; not for the strategies that hash.
    pub fn pick(&mut self, random: &mut Random) -> Option<Key<Member>> {
        match self.strategy {
            Strategy::RoundRobin | Strategy::LeastInflight => self.first(),
            Strategy::Random => random.pick(&self.listed).copied(),
            Strategy::Sticky => {
                let has_room = |key: &Key<Member>| self.slab.get(*key).is_some_and(Member::has_room);
                self.sticky = self.sticky.filter(has_room).or_else(|| self.first());
                self.sticky
            }
            Strategy::HashTopic | Strategy::HashPublisher => {
                unreachable!("a key has an owner, not a turn")
            }
        }
    }

    /// Proves that counts and index agree with the members.
    ///
    /// # Panics
    /// When they do not.
    pub fn check(&self) {
        let count = |is: fn(&Member) -> bool| self.slab.iter().filter(|(_, member)| is(member)).count();
        assert_eq!(self.present_count, count(Member::is_present), "the present are counted");
        assert_eq!(self.ready_count, count(Member::has_room), "the ready are counted");
        assert_eq!(self.left_count, count(|member| member.has_left), "those who left are counted");
        assert_eq!(self.lasting_count, count(Member::keeps), "those who last are counted");
        assert_eq!(self.by_id.len(), self.slab.len(), "each member is found by its session");
        assert_eq!(self.shut_out.len(), count(|member| member.is_shut_out), "those who were passed over are known");
        let is_shut_out = |key: &Key<Member>| self.slab.get(*key).is_some_and(|member| member.is_shut_out);
        assert!(self.shut_out.iter().all(is_shut_out), "and nobody else");
        let placed = if kind(self.strategy) == Kind::Hashed { self.present_count } else { self.ready_count };
        assert_eq!(
            self.ranked.len() + self.listed.len() + self.ring.len(),
            placed,
            "the index holds who can be picked"
        );
        for (key, member) in self.slab.iter() {
            assert_eq!(self.by_id.get(&member.id), Some(&key), "a session leads to its member");
            assert_eq!(member.rank, self.rank_of(key), "a member stands at its place");
            let Some(rank) = member.rank else { continue };
            let stands = match kind(self.strategy) {
                Kind::Ranked => self.ranked.contains(&rank),
                Kind::Listed => self.listed[member.listed_at] == key,
                Kind::Hashed => self.ring.contains(rank.turn_or_point, key),
            };
            assert!(stands, "a member stands in the index");
        }
    }

    fn first(&self) -> Option<Key<Member>> {
        self.ranked.first().map(|rank| rank.member)
    }

    /// Where the member belongs in the index, if it belongs there.
    fn rank_of(&self, key: Key<Member>) -> Option<Rank> {
        let member = self.slab.get(key)?;
        let (belongs, load, turn_or_point) = match self.strategy {
            Strategy::RoundRobin | Strategy::Sticky => (member.has_room(), 0, member.turn),
            Strategy::LeastInflight => (member.has_room(), member.outstanding, member.turn),
            Strategy::Random => (member.has_room(), 0, 0),
            Strategy::HashTopic | Strategy::HashPublisher if !member.is_present() => (false, 0, 0),
            Strategy::HashTopic | Strategy::HashPublisher => {
                (true, 0, self.seed.hash_bytes(&member.id.id.get().to_le_bytes()))
            }
        };
        belongs.then_some(Rank { load, turn_or_point, member: key })
    }

    /// Moves the member to where it belongs.
    fn place(&mut self, key: Key<Member>) {
        let wanted = self.rank_of(key);
        let member = self.slab.get_mut(key).expect("only members are placed");
        if member.rank == wanted {
            return;
        }
        self.displace(key);
        let Some(rank) = wanted else { return };
        let member = self.slab.get_mut(key).expect("only members are placed");
        member.rank = Some(rank);
        match kind(self.strategy) {
            Kind::Ranked => {
                self.ranked.insert(rank);
            }
            Kind::Listed => {
                member.listed_at = self.listed.len();
                self.listed.push(key);
            }
            Kind::Hashed => self.ring.insert(rank.turn_or_point, key),
        }
    }

    /// Takes the member out of the index, if it stands there.
    fn displace(&mut self, key: Key<Member>) {
        let member = self.slab.get_mut(key).expect("only members are displaced");
        let Some(rank) = member.rank.take() else {
            return;
        };
        match kind(self.strategy) {
            Kind::Ranked => {
                self.ranked.remove(&rank);
            }
            Kind::Listed => {
                let place = member.listed_at;
                self.listed.swap_remove(place);
                if let Some(&moved) = self.listed.get(place) {
                    self.slab.get_mut(moved).expect("only members are listed").listed_at = place;
                }
            }
            Kind::Hashed => self.ring.remove(rank.turn_or_point, key),
        }
    }
}

/// Which index a strategy needs.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Ranked,
    Listed,
    Hashed,
}

fn kind(strategy: Strategy) -> Kind {
    match strategy {
        Strategy::RoundRobin | Strategy::Sticky | Strategy::LeastInflight => Kind::Ranked,
        Strategy::Random => Kind::Listed,
        Strategy::HashTopic | Strategy::HashPublisher => Kind::Hashed,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn members_of(count: u64, window: u16, strategy: Strategy) -> (Members, Vec<Key<Member>>) {
        let mut members = Members::new(Seed::new(7));
        members.use_strategy(strategy);
        let keys = (1..=count)
            .map(|serial| {
                let shard = ShardId::new(0);
                let id = MemberId { shard, session: serial, id: SessionId::new(shard, serial) };
                let terms = Terms { qos: QoS::AtLeastOnce, subscription_id: 0, retain_as_published: false };
                let key = members.insert(id, terms);
                members.change(key, |member| member.window = Some(window));
                key
            })
            .collect();
        members.check();
        (members, keys)
    }

    fn pick_and_serve(members: &mut Members, random: &mut Random) -> Option<Key<Member>> {
        let key = members.pick(random)?;
        members.serve(key, true);
        Some(key)
    }

    #[test]
    fn round_robin_serves_each_in_turn_and_passes_over_the_full() {
        let (mut members, keys) = members_of(3, 2, Strategy::RoundRobin);
        members.change(keys[1], |member| member.window = Some(1));
        let mut random = Random::from_seed(1);
        let order: Vec<_> = std::iter::from_fn(|| pick_and_serve(&mut members, &mut random)).collect();
        assert_eq!(order, [keys[0], keys[1], keys[2], keys[0], keys[2]]);
        members.check();
    }

    #[test]
    fn who_is_above_its_rate_is_passed_over_like_the_full_also_where_it_acknowledges_nothing() {
        for strategy in [Strategy::RoundRobin, Strategy::Random, Strategy::Sticky, Strategy::LeastInflight] {
            let (mut members, keys) = members_of(2, 100, strategy);
            let mut random = Random::from_seed(1);
            members.change(keys[0], |member| (member.terms.qos, member.is_above_rate) = (QoS::AtMostOnce, true));
            let picked = |members: &mut Members, random: &mut Random| {
                (0..20).filter_map(|_| pick_and_serve(members, random)).collect::<Vec<_>>()
            };
            assert_eq!(picked(&mut members, &mut random), vec![keys[1]; 20], "{strategy:?}");
            members.change(keys[1], |member| member.is_above_rate = true);
            assert!(!members.has_ready() && members.has_present() && members.pick(&mut random).is_none());
            members.change(keys[0], |member| member.is_above_rate = false);
            assert_eq!(picked(&mut members, &mut random), vec![keys[0]; 20], "{strategy:?}");
            members.check();
        }
    }

    #[test]
    fn who_is_behind_a_full_way_is_passed_over_until_that_has_room() {
        let (mut members, keys) = members_of(2, 100, Strategy::RoundRobin);
        let mut random = Random::from_seed(1);
        members.note_full_ways(Bits64::of(3));
        assert!(!members.shut_out(keys[0]) && members.awaited_way().is_none(), "another way is full");
        members.note_full_ways(Bits64::of(0));
        while let Some(key) = members.pick(&mut random) {
            assert!(members.shut_out(key));
        }
        assert!(!members.has_ready() && members.has_present());
        assert_eq!(members.awaited_way(), Some(ShardId::new(0)));
        members.check();
        members.remove(keys[1]);
        members.note_full_ways(Bits64::EMPTY);
        assert_eq!((members.pick(&mut random), members.awaited_way()), (Some(keys[0]), None));
        members.check();
    }

    #[test]
    fn sticky_stays_until_the_window_is_full() {
        let (mut members, keys) = members_of(2, 2, Strategy::Sticky);
        let mut random = Random::from_seed(1);
        let order: Vec<_> = std::iter::from_fn(|| pick_and_serve(&mut members, &mut random)).collect();
        assert_eq!(order, [keys[0], keys[0], keys[1], keys[1]]);
    }

    #[test]
    fn least_inflight_levels_the_load() {
        let (mut members, keys) = members_of(3, 9, Strategy::LeastInflight);
        members.change(keys[0], |member| member.outstanding = 2);
        let mut random = Random::from_seed(1);
        let order: Vec<_> = (0..5).map(|_| pick_and_serve(&mut members, &mut random).unwrap()).collect();
        assert_eq!(order, [keys[1], keys[2], keys[1], keys[2], keys[0]]);
        members.check();
    }

    #[test]
    fn random_picks_all_that_have_room_about_as_often() {
        let (mut members, keys) = members_of(5, 100, Strategy::Random);
        members.change(keys[2], |member| member.window = Some(0));
        let mut random = Random::from_seed(1);
        let mut counts = [0; 5];
        for _ in 0..4_000 {
            let picked = members.pick(&mut random).unwrap();
            counts[keys.iter().position(|key| *key == picked).unwrap()] += 1;
        }
        assert_eq!(counts[2], 0);
        assert!(counts.iter().enumerate().all(|(n, count)| n == 2 || (900..1_100).contains(count)), "{counts:?}");
    }

    #[test]
    fn every_index_survives_a_change_of_strategy() {
        let all = [
            Strategy::Random,
            Strategy::HashTopic,
            Strategy::LeastInflight,
            Strategy::HashPublisher,
            Strategy::Sticky,
            Strategy::RoundRobin,
        ];
        let (mut members, keys) = members_of(20, 3, Strategy::RoundRobin);
        for (n, strategy) in all.into_iter().enumerate() {
            members.use_strategy(strategy);
            members.change(keys[n], |member| member.window = None);
            members.check();
        }
        assert_eq!((members.count(), members.present_count), (20, 14));
    }
}
