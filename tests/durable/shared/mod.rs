//! Shared groups of a broker that loses its power again and again.

mod facts;
mod members;

use std::ops::Range;

use members::{Group, Member, Rules, judge};
use pregon::base::random::Random;
use pregon::engine::limits::{Limits, Strategy};

use crate::plain_cast::{Messages, Publisher, one_publishes};
use crate::stage::{STEPS, Stage, for_each_seed};
use crate::support::world::World;

struct Run {
    stage: Stage,
    publishers: Vec<Publisher>,
    /// Each with the number of its group.
    members: Vec<(usize, Member)>,
    groups: Vec<Group>,
    rules: Rules,
    messages: Messages,
    is_moving: bool,
    crashes: u32,
}

impl Run {
    fn new(seed: u64, shards: usize, is_moving: bool) -> Self {
        let mut random = Random::from_seed(seed);
        let strategies = [
            Strategy::RoundRobin,
            Strategy::Random,
            Strategy::Sticky,
            Strategy::LeastInflight,
            Strategy::HashTopic,
            Strategy::HashPublisher,
        ];
        let limits = Limits {
            shared_strategy: *random.pick(&strategies).expect("there are some"),
            inflight_max: *random.pick(&[1, 3, 20]).expect("there are some"),
            ..Limits::default()
        };
        let publishers = (0..=random.index(3)).map(Publisher::new).collect();
        let groups: Vec<Group> = (0..=random.index(2)).map(|_| Group::default()).collect();
        // Who is granted too little, or ends its session, takes messages along.
        let careless_from = *random.pick(&[1, 2, 3, 3]).expect("there are some");
        let others = if random.chance(1, 3) { 0 } else { 1 + random.index(3) };
        let mut members = Vec::new();
        for group in 0..groups.len() {
            let name = |number| format!("m{group}-{number}");
            members.push((group, Member::new(name(0), group, 2, false).staying()));
            for number in 1..=others {
                let is_brief = random.chance(1, 2);
                let qos = match (careless_from, is_brief) {
                    (1, _) => random.index(3),
                    (2, _) | (3, false) => 1 + random.index(2),
                    (_, _) => 1,
                };
                let qos = u8::try_from(qos).expect("it is small");
                members.push((group, Member::new(name(number), group, qos, is_brief)));
            }
        }
        let is_ordered = others == 0 && shards == 1 && !is_moving;
        let rules = Rules { careless_from, is_ordered };
        let world = World::durable(shards, limits, seed);
        let messages = Messages::new();
        Self { stage: Stage::new(world, random), publishers, members, groups, rules, messages, is_moving, crashes: 0 }
    }

    fn step(&mut self) {
        match self.stage.random.below(100) {
            0..25 => one_publishes(&mut self.publishers, &mut self.messages, &mut self.stage),
            25..31 => self.member_acts(),
            31..50 => self.stage.one_is_read(),
            50..64 => self.stage.letters_arrive(),
            64..66 => self.stage.a_shard_ticks(),
            66..68 => {
                self.stage.world.arrive();
            }
            68..80 => self.stage.a_disk_stores(),
            80..92 => self.everybody_hears(),
            92..97 => self.stage.a_shard_sweeps(),
            97..99 => self.something_breaks(),
            _ if self.stage.has_fate() => self.power_goes(),
            _ => {}
        }
    }

    fn member_acts(&mut self) {
        let who = self.stage.random.index(self.members.len());
        let (_, member) = &mut self.members[who];
        if member.link.is_some() && self.stage.random.chance(1, 3) {
            member.turn(&mut self.stage.world);
        }
        member.come(&mut self.stage.world);
    }

    fn everybody_hears(&mut self) {
        for publisher in &mut self.publishers {
            publisher.hear(&mut self.stage.world);
        }
        for (group, member) in &mut self.members {
            // Some are slow to answer.
            if self.stage.random.chance(2, 3) {
                member.hear(&self.messages, &mut self.groups[*group], &mut self.stage.world);
            }
        }
    }

    fn something_breaks(&mut self) {
        let publishers = self.publishers.iter().filter_map(|publisher| publisher.link);
        let members = self.members.iter().filter_map(|(_, member)| member.link);
        let links: Vec<usize> = publishers.chain(members).collect();
        self.stage.one_breaks(&links);
    }

    fn power_goes(&mut self) {
        self.crashes += 1;
        if self.is_moving {
            self.stage.shards_change();
        } else {
            self.stage.world.crash();
        }
    }

    /// Everybody comes back and stays until nothing moves any more.
    fn finish(&mut self) {
        let mut quiet = 0;
        for _ in 0..4_000 {
            self.publishers.iter_mut().for_each(|publisher| publisher.come(&mut self.stage.world));
            self.members.iter_mut().for_each(|(_, member)| member.come(&mut self.stage.world));
            self.stage.world.drive();
            self.everybody_hears();
            self.stage.world.drive();
            let is_done = self.publishers.iter().all(|publisher| publisher.open.is_empty())
                && self.members.iter().all(|(_, member)| member.link.is_some());
            quiet = if is_done && self.stage.is_silent() { quiet + 1 } else { 0 };
            if quiet == 3 {
                return;
            }
        }
        panic!("the broker does not come to rest: {:?} {:?}", self.publishers, self.members);
    }

    fn judge(&self) {
        for group in &self.groups {
            let promised = self.publishers.iter().flat_map(|publisher| publisher.promised.iter().copied());
            judge(group, promised, &self.messages, self.rules);
        }
    }
}

fn play(seeds: Range<u64>, shards: usize, is_moving: bool) {
    let (mut crashes, mut came, mut dropped) = (0, 0, 0);
    for_each_seed(seeds, |seed| {
        let mut run = Run::new(seed, shards, is_moving);
        (0..STEPS).for_each(|_| run.step());
        run.finish();
        run.judge();
        crashes += run.crashes;
        dropped += run.stage.dropped_segments();
        came += run.groups.iter().map(|group| group.got.len()).sum::<usize>();
    });
    let has_happened = crashes > 1_000 && came > 10_000 && (dropped > 300 || is_moving);
    assert!(has_happened, "{crashes} crashes, {came} messages, {dropped} segments dropped: too little happens");
}

#[test]
fn what_a_group_is_owed_survives_a_power_cut_and_comes_to_one_member() {
    play(100_000..102_000, 1, false);
}

#[test]
fn what_a_group_is_owed_survives_a_power_cut_of_several_shards() {
    play(110_000..113_000, 3, false);
}

#[test]
fn what_a_group_is_owed_survives_another_number_of_shards() {
    play(120_000..121_000, 2, true);
}
