//! A broker that loses its power again and again: what it has acknowledged is there afterwards, once where once was promised.

mod damage;
mod facts;
mod filling;
mod moves;
mod plain_cast;
mod room;
mod shared;
mod stowed;
#[path = "../support/mod.rs"]
mod support;
mod sweeps;

use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind};

use pregon::base::random::Random;
use pregon::engine::limits::Limits;
use support::cast::{Cast, Inspector};
use support::disk::{Disk, Trouble};
use support::world::World;

const STEPS: u32 = 1_500;

struct Run {
    world: World,
    random: Random,
    cast: Cast,
    /// The shard whose disk is slower than those of the others.
    slow_disk: Option<usize>,
    /// How rarely the power goes.
    calm: u64,
    /// Whether another number of shards is started now and then.
    is_moving: bool,
    crashes: u32,
    troubles: u32,
}

impl Run {
    fn new(seed: u64, shards: usize) -> Self {
        let mut random = Random::from_seed(seed);
        // Fan-outs are put off in some runs, so that the power goes in the middle of them.
        let fanout_recipients_max = if random.chance(1, 3) { 1 } else { 100 };
        // In others memory has no room for what waits, or for little of it.
        let ram_budget = [u64::MAX, 0, 1_000][random.index(3)];
        let limits = Limits { fanout_recipients_max, ..Limits::default() };
        let mut cast = Cast::new(1 + random.index(3), 1 + random.index(3), random.index(3));
        cast.books.has_late_copies = fanout_recipients_max == 1;
        cast.books.has_loose_wills = shards > 1;
        let slow_disk = if random.chance(1, 2) { Some(random.index(shards)) } else { None };
        let calm = [1, 3, 8][random.index(3)];
        let world = World::durable(shards, limits, seed).with_ram_budget(ram_budget);
        Self { world, random, cast, slow_disk, calm, is_moving: false, crashes: 0, troubles: 0 }
    }

    fn step(&mut self) {
        let shards = self.world.shards.len();
        match self.random.below(100) {
            0..25 => self.cast.one_publishes(&mut self.random, &mut self.world),
            25..30 => self.cast.one_comes(&mut self.random, &mut self.world),
            30..50 => self.network_reads(),
            50..62 => {
                let (from, to) = (self.random.index(shards), self.random.index(shards));
                self.world.deliver_mesh(from, to, 1 + self.random.index(3));
            }
            62..65 => {
                let shard = self.random.index(shards);
                if self.world.takes_tick(shard) {
                    self.world.input(shard, pregon::engine::input::Input::Tick);
                }
            }
            65..68 => {
                self.world.arrive();
            }
            68..80 => {
                let shard = self.random.index(shards);
                if self.slow_disk != Some(shard) || self.random.chance(1, 6) {
                    self.world.store(shard, 1 + self.random.index(4));
                }
            }
            80..92 => self.cast.hear(&mut self.world),
            92..97 => {
                let bytes = 1 + self.random.index(2_000);
                self.world.input(self.random.index(shards), pregon::engine::input::Input::Sweep { bytes });
            }
            97 if self.random.chance(1, 2) => {
                self.world.fetch(self.random.index(shards));
            }
            97..99 => self.cast.one_is_restless(&mut self.random, &mut self.world),
            _ if self.random.chance(1, self.calm) => self.power_goes(),
            _ => self.disk_has_moods(),
        }
    }

    /// A disk fills up, or has room again; seldom it fails.
    fn disk_has_moods(&mut self) {
        let trouble = match self.random.below(8) {
            0 if !self.is_moving => Some(Trouble::Failed), // who moves has been stopped in order
            1 | 2 => Some(Trouble::Full),
            _ => None,
        };
        self.troubles += u32::from(trouble.is_some());
        let shard = self.random.index(self.world.shards.len());
        self.world.disks[shard].meet(trouble);
    }

    fn power_goes(&mut self) {
        self.crashes += 1;
        if self.is_moving {
            self.world.disks.iter_mut().for_each(|disk| disk.meet(None));
            // Everybody leaves in order: what has reached some of its shards only may come twice to those.
            (0..self.world.links.len()).for_each(|link| self.world.cut(link));
            self.world.drive();
            self.world.crash_into(1 + self.random.index(4));
        } else {
            self.world.crash();
        }
        self.cast.note_crash();
        if self.random.chance(1, 2) {
            self.inspect();
        }
    }

    /// Somebody who was never there looks at what is retained.
    fn inspect(&mut self) {
        let mut inspector = Inspector::visit(&self.cast.books, &mut self.world);
        for _ in 0..4 {
            self.world.drive();
            inspector.hear(&self.cast.books, &mut self.world);
        }
        assert!(inspector.is_content(), "what must be retained does not come: {inspector:?}");
        inspector.leave(&mut self.world);
    }

    fn network_reads(&mut self) {
        let links = self.world.links.len();
        if links > 0 {
            let most = if self.random.chance(1, 2) { usize::MAX } else { self.random.index(30) + 1 };
            self.world.read(self.random.index(links), most);
        }
    }

    /// Everybody comes back and stays until nothing moves any more.
    fn finish(&mut self) {
        self.world.disks.iter_mut().for_each(|disk| disk.meet(None));
        if self.world.disks.iter().any(Disk::has_failed) {
            self.world.crash(); // the operator has looked after the disk
            self.cast.note_crash();
        }
        for _ in 0..2_000 {
            self.cast.come(&mut self.world);
            self.world.drive();
            self.cast.hear(&mut self.world);
            self.world.drive();
            let is_silent =
                |link: &support::world::Link| link.is_closed || link.incoming.is_empty() && link.outgoing.is_empty();
            if self.cast.is_at_rest() && self.world.links.iter().all(is_silent) {
                return;
            }
        }
        panic!("the broker does not come to rest: {:?}", self.cast);
    }
}

fn play(seeds: Range<u64>, shards: usize, is_moving: bool) {
    let (mut crashes, mut promised, mut dropped, mut troubles, mut fetched) = (0, 0, 0, 0, 0);
    for seed in seeds {
        let mut run = Run { is_moving, ..Run::new(seed, shards) };
        let outcome = catch_unwind(AssertUnwindSafe(|| {
            (0..STEPS).for_each(|_| run.step());
            run.finish();
            run.inspect();
            run.cast.judge();
        }));
        if let Err(panic) = outcome {
            let text = panic.downcast_ref::<String>().map_or("see above", String::as_str);
            panic!("seed {seed}: {text}");
        }
        crashes += run.crashes;
        troubles += run.troubles;
        fetched += run.world.shards.iter().map(|shard| shard.stats().fetched).sum::<u64>();
        dropped += run.world.disks.iter().map(|disk| disk.dropped_segments).sum::<u64>();
        promised += run.cast.books.promised().len();
    }
    let is_busy = crashes > 1_000 && promised > 10_000 && troubles > 500 && fetched > 1_000;
    let has_happened = is_busy && (dropped > 1_000 || is_moving);
    let what = format!(
        "{crashes} crashes, {promised} promises, {dropped} segments dropped, {troubles} troubles, {fetched} messages fetched"
    );
    assert!(has_happened, "{what}: too little happens");
}

#[test]
fn what_was_acknowledged_survives_a_power_cut_and_comes_once() {
    play(0..3_000, 1, false);
}

#[test]
fn what_was_acknowledged_survives_a_power_cut_of_several_shards() {
    play(10_000..13_000, 3, false);
}

#[test]
fn what_was_acknowledged_survives_another_number_of_shards() {
    play(20_000..21_000, 2, true);
}
