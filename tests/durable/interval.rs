//! A device that is given time: a power cut may take what came since its last sync, in part and with holes, and nothing before that.

use std::collections::BTreeSet;

use pregon::base::random::Random;
use pregon::engine::input::Input;
use pregon::engine::limits::Limits;

use crate::facts::{comes, heard, publish, subscribe};
use crate::stage::for_each_seed;
use crate::support::raw::packets;
use crate::support::world::World;

/// Clients with a session that lasts, which come to look and acknowledge nothing.
const OWNERS: [&str; 2] = ["s0", "s1"];
const LIVES: usize = 4;

struct Run {
    world: World,
    random: Random,
    /// So many messages were said, and acknowledged.
    said: usize,
    /// What each owner must be told after the next power cut.
    must: [BTreeSet<usize>; 2],
    /// Messages that were lost, and lives after which one was although a later one was not.
    lost: usize,
    holes: usize,
}

impl Run {
    fn new(seed: u64) -> Self {
        let mut random = Random::from_seed(seed);
        let ram_budget = [u64::MAX, 0][random.index(2)];
        let mut world = World::durable(1, Limits::default(), seed).with_ram_budget(ram_budget);
        for name in OWNERS {
            let (link, _) = comes(&mut world, name, 0, &[], &[subscribe("a", 1)]);
            world.cut(link);
        }
        world.drive();
        world.disks[0].be_lazy();
        Self { world, random, said: 0, must: <[_; 2]>::default(), lost: 0, holes: 0 }
    }

    /// One life, up to its power cut, and what is told in the next one.
    fn live(&mut self) {
        let mut unsure = Vec::new();
        let (publisher, _) = comes(&mut self.world, "p", 2, &[], &[]);
        for _ in 0..self.random.index(30) {
            let more = "x".repeat(self.random.index(10_000));
            self.world.send(publisher, &publish(2, "a", &format!("{:05}{more}", self.said)));
            self.world.drive();
            assert_eq!(packets(&self.world.receive(publisher)).len(), 1, "it is acknowledged");
            unsure.push((self.said, self.world.disks[0].stored()));
            self.said += 1;
            if self.random.chance(1, 4) {
                let bytes = 1 + self.random.index(50_000);
                self.world.input(0, Input::Sweep { bytes });
                self.world.drive();
            }
        }
        let synced = self.world.disks[0].synced();
        let safe = unsure.iter().filter(|(_, stored)| *stored <= synced).map(|(message, _)| *message);
        let safe: Vec<usize> = safe.collect();
        self.must.iter_mut().for_each(|must| must.extend(&safe));
        self.world.crash();
        for (owner, name) in OWNERS.into_iter().enumerate() {
            let (link, answers) = comes(&mut self.world, name, 0, &[], &[]);
            self.world.cut(link);
            assert_eq!(answers[..4], [0x20, 2, 1, 0], "the session was safe");
            self.look(owner, &answers);
        }
    }

    fn look(&mut self, owner: usize, answers: &[u8]) {
        let number = |body: &str| body[5..10].parse::<usize>().expect("a message begins with its number");
        let told: Vec<usize> = heard(answers).iter().map(|(_, body)| number(body)).collect();
        assert!(told.is_sorted_by(|one, other| one < other), "each comes once and in its order: {told:?}");
        assert!(told.iter().all(|message| *message < self.said), "somebody has said each: {told:?}");
        let told = BTreeSet::from_iter(told);
        let missing: Vec<_> = self.must[owner].difference(&told).collect();
        assert!(missing.is_empty(), "{missing:?} were safe, and are not told");
        let since = self.must[owner].last().map_or(0, |last| last + 1);
        let lost = (since..self.said).filter(|message| !told.contains(message)).count();
        self.lost += lost;
        self.holes +=
            usize::from(told.last().is_some_and(|last| (since..*last).any(|message| !told.contains(&message))));
        self.must[owner] = told;
    }
}

#[test]
fn a_power_cut_takes_what_came_since_the_last_sync_at_most() {
    let (mut lost, mut holes, mut dropped) = (0, 0, 0);
    for_each_seed(50_000..50_400, |seed| {
        let mut run = Run::new(seed);
        (0..LIVES).for_each(|_| run.live());
        (lost, holes) = (lost + run.lost, holes + run.holes);
        dropped += run.world.disks[0].dropped_segments;
    });
    assert!(lost > 1_000 && holes > 100 && dropped > 100, "{lost} lost, {holes} holes, {dropped} segments dropped");
}
