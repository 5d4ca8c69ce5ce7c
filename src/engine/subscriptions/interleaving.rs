//! The interest against plain lists, with other shards at work in the middle of look-ups.

#![expect(clippy::cast_possible_truncation, reason = "the numbers of a test are small")]

use super::declared::Declared;
use super::interest::Interest;
use crate::base::bitset::Bits64;
use crate::base::hash::Seed;
use crate::base::random::Random;
use crate::mqtt::topic::{Filter, Topic};

const SHARDS: usize = 5;
const OPERATIONS: u32 = 1_000_000;
const FILTERS_MAX: usize = 80;

/// All shards, each with the list of what it has declared.
struct World<'a> {
    interest: &'a Interest,
    random: Random,
    declared: Vec<Declared>,
    lists: Vec<Vec<String>>,
    declare_chance: u64,
}

fn filter(text: &str) -> Filter<'_> {
    Filter::parse(text).unwrap()
}

#[test]
fn no_interleaving_of_shards_loses_one() {
    let interest = Interest::new(Seed::new(1), SHARDS as u32, 1 << 14);
    let mut world = World::new(&interest);
    let (mut asked, mut too_many, mut overflows) = (0, 0, 0);
    for operation in 0..OPERATIONS {
        // Shapes become too many and few again.
        world.declare_chance = if operation / 20_000 % 2 == 0 { 6 } else { 3 };
        if operation % 8 == 0 {
            let is_disturbed = world.random.chance(1, 2);
            asked += SHARDS;
            too_many += world.ask(is_disturbed);
        } else {
            world.change();
        }
        overflows += u32::from(!interest.wanting_everything().is_empty());
        if operation % 10_000 == 0 {
            world.check();
        }
    }
    assert!(too_many * 200 < asked, "{too_many} of {asked}");
    assert!((10_000..990_000).contains(&overflows), "both modes were seen: {overflows}");
    world.end();
}

impl<'a> World<'a> {
    fn new(interest: &'a Interest) -> Self {
        Self {
            interest,
            random: Random::from_seed(3),
            declared: (0..SHARDS as u32).map(|shard| Declared::new(shard, interest)).collect(),
            lists: vec![Vec::new(); SHARDS],
            declare_chance: 0,
        }
    }

    /// Looks a topic up; whoever wants it all the time must be named. Returns how many were named
    /// for nothing (as far as can be told: undisturbed, and without those that want everything).
    fn ask(&mut self, is_disturbed: bool) -> usize {
        let interest = self.interest;
        let text = self.random_text(false);
        let topic = Topic::parse(&text).unwrap();
        let fitting = |list: &Vec<String>| list.iter().filter(|known| filter(known).matches(topic)).cloned().collect();
        let mut wanted: Vec<Vec<String>> = self.lists.iter().map(fitting).collect();

        let named = interest.look_up(topic, || {
            for _ in 0..if is_disturbed { self.random.below(4) } else { 0 } {
                if let Some((shard, gone)) = self.change() {
                    let at = wanted[shard].iter().position(|known| *known == gone);
                    at.map(|at| wanted[shard].swap_remove(at));
                }
            }
        });

        let mut too_many = 0;
        for (shard, wanted) in wanted.iter().enumerate() {
            let is_named = named.contains(shard as u32);
            assert!(is_named || wanted.is_empty(), "shard {shard} is missing for {text}: {wanted:?}");
            let wants_all = self.declared[shard].wants_everything();
            too_many += usize::from(is_named && wanted.is_empty() && !wants_all && !is_disturbed);
        }
        too_many
    }

    /// One shard declares or withdraws something; returns what was withdrawn.
    fn change(&mut self) -> Option<(usize, String)> {
        let shard = self.random.index(SHARDS);
        let count = self.lists[shard].len();
        if count < FILTERS_MAX && self.random.chance(self.declare_chance, 10) {
            let text = self.random_text(true);
            self.declared[shard].declare(self.interest, filter(&text));
            self.lists[shard].push(text);
            return None;
        }
        if count == 0 {
            self.declared[shard].retry(self.interest);
            return None;
        }
        let text = self.lists[shard].swap_remove(self.random.index(count));
        self.declared[shard].withdraw(self.interest, filter(&text));
        Some((shard, text))
    }

    fn check(&self) {
        for declared in &self.declared {
            declared.check(self.interest);
        }
    }

    /// All filters go; nothing may be left.
    fn end(&mut self) {
        for (declared, list) in self.declared.iter_mut().zip(&self.lists) {
            for text in list {
                declared.withdraw(self.interest, filter(text));
            }
        }
        for declared in &mut self.declared {
            declared.retry(self.interest);
        }
        self.check();
        assert_eq!((self.interest.shape_count(), self.interest.wanting_everything()), (0, Bits64::EMPTY));
    }

    fn random_text(&mut self, is_filter: bool) -> String {
        let random = &mut self.random;
        let depth = if random.chance(1, 300) { 40 } else { random.range(1, 6) };
        let mut levels: Vec<&str> = (0..depth)
            .map(|level| match random.below(8) {
                0 | 1 if is_filter => "+",
                2 if level == 0 => "$x",
                3 => "",
                4 => "b",
                _ => "a",
            })
            .collect();
        if is_filter && random.chance(1, 5) {
            levels.push("#");
        }
        let text = levels.join("/");
        if text.is_empty() { "/".to_string() } else { text }
    }
}

/// The one way to miss a shard that order alone does not prevent: its shape leaves a slot that is
/// still to be read for one that was read before.
#[test]
fn a_shape_that_changes_its_slot_under_a_look_up_is_not_missed() {
    let interest = Interest::new(Seed::new(1), 3, 1 << 12);
    let mut declared: Vec<Declared> = (0..3).map(|shard| Declared::new(shard, &interest)).collect();
    let deep = "a/".repeat(40) + "+";
    declared[1].declare(&interest, filter("+/b"));
    declared[0].declare(&interest, filter("a/+"));
    let mut calls = 0;

    let named = interest.look_up(Topic::parse("a/x").unwrap(), || {
        calls += 1;
        // Behind the visit of the first slot.
        if calls == 4 {
            declared[0].declare(&interest, filter(&deep));
            declared[1].withdraw(&interest, filter("+/b"));
            declared[0].withdraw(&interest, filter(&deep));
            assert!(!declared[0].wants_everything());
        }
    });

    assert!(calls >= 4, "the first slot was visited");
    assert!(named.contains(0));
}
