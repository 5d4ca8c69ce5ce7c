//! A broker that loses its power again and again: what it has acknowledged is there afterwards, once where once was promised.

mod crossing;
mod damage;
mod facts;
mod filling;
mod interval;
mod moves;
mod plain_cast;
mod room;
mod shared;
mod stage;
mod stowed;
#[path = "../support/mod.rs"]
mod support;
mod sweeps;
mod wills;

use std::ops::Range;

use pregon::base::random::Random;
use pregon::engine::limits::Limits;
use stage::{STEPS, Stage, for_each_seed};
use support::cast::{Cast, Inspector};
use support::disk::{Disk, Trouble};
use support::world::World;

/// How much time passes at once at the most.
const MS_MAX: u64 = 1_500;

struct Run {
    stage: Stage,
    cast: Cast,
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
        let mut cast =
            Cast::new(1 + random.index(3), 1 + random.index(3), random.index(3)).with_wanderers(random.index(3));
        cast.books.has_late_copies = fanout_recipients_max == 1;
        let world = World::durable(shards, limits, seed).with_ram_budget(ram_budget);
        cast.books.now_ms = world.now.as_millis();
        Self { stage: Stage::new(world, random), cast, is_moving: false, crashes: 0, troubles: 0 }
    }

    fn step(&mut self) {
        match self.stage.random.below(100) {
            0..25 => self.cast.one_publishes(&mut self.stage.random, &mut self.stage.world),
            25..30 => self.cast.one_comes(&mut self.stage.random, &mut self.stage.world),
            30..50 => self.stage.one_is_read(),
            50..62 => self.stage.letters_arrive(),
            62..65 => self.stage.a_shard_ticks(),
            65..67 => {
                self.stage.world.arrive();
            }
            67 => self.time_passes(),
            68..80 => self.stage.a_disk_stores(),
            80..92 => self.cast.hear(&mut self.stage.world),
            92..97 => self.stage.a_shard_sweeps(),
            97 if self.stage.random.chance(1, 2) => self.stage.messages_are_read(),
            97..99 => self.cast.one_is_restless(&mut self.stage.random, &mut self.stage.world),
            _ if self.stage.has_fate() => self.power_goes(),
            _ => self.disk_has_moods(),
        }
    }

    fn time_passes(&mut self) {
        self.stage.time_passes(MS_MAX);
        self.cast.books.now_ms = self.stage.world.now.as_millis();
    }

    /// A disk fills up, or has room again; seldom it fails.
    fn disk_has_moods(&mut self) {
        let trouble = match self.stage.random.below(8) {
            0 if !self.is_moving => Some(Trouble::Failed), // who moves has been stopped in order
            1 | 2 => Some(Trouble::Full),
            _ => None,
        };
        self.troubles += u32::from(trouble.is_some());
        let shard = self.stage.random.index(self.stage.world.shards.len());
        self.stage.world.disks[shard].meet(trouble);
    }

    fn power_goes(&mut self) {
        self.crashes += 1;
        if self.is_moving {
            self.stage.world.disks.iter_mut().for_each(|disk| disk.meet(None));
            self.stage.shards_change();
        } else {
            self.stage.world.crash();
        }
        self.cast.note_crash();
        if self.stage.random.chance(1, 2) {
            self.inspect();
        }
    }

    /// Somebody who was never there looks at what is retained.
    fn inspect(&mut self) {
        let mut inspector = Inspector::visit(&self.cast.books, &mut self.stage.world);
        for _ in 0..4 {
            self.stage.world.drive();
            inspector.hear(&self.cast.books, &mut self.stage.world);
        }
        assert!(inspector.is_content(), "what must be retained does not come: {inspector:?}");
        inspector.leave(&mut self.stage.world);
    }

    /// Everybody comes back and stays until nothing moves any more.
    fn finish(&mut self) {
        self.stage.world.disks.iter_mut().for_each(|disk| disk.meet(None));
        if self.stage.world.disks.iter().any(Disk::has_failed) {
            self.stage.world.crash(); // the operator has looked after the disk
            self.cast.note_crash();
        }
        for _ in 0..2_000 {
            self.cast.come(&mut self.stage.world);
            self.stage.world.drive();
            self.cast.hear(&mut self.stage.world);
            self.stage.world.drive();
            if self.cast.is_at_rest() && self.stage.is_silent() {
                return;
            }
        }
        panic!("the broker does not come to rest: {:?}", self.cast);
    }
}

fn play(seeds: Range<u64>, shards: usize, is_moving: bool) {
    let (mut crashes, mut promised, mut dropped, mut troubles, mut fetched, mut over) = (0, 0, 0, 0, 0, 0);
    for_each_seed(seeds, |seed| {
        let mut run = Run { is_moving, ..Run::new(seed, shards) };
        (0..STEPS).for_each(|_| run.step());
        run.finish();
        run.inspect();
        run.cast.judge();
        crashes += run.crashes;
        troubles += run.troubles;
        fetched += run.stage.world.shards.iter().map(|shard| shard.stats().fetched).sum::<u64>();
        dropped += run.stage.dropped_segments();
        promised += run.cast.books.promised().len();
        over += run.cast.lives_over();
    });
    let is_busy = crashes > 1_000 && promised > 10_000 && troubles > 500 && fetched > 1_000 && over > 500;
    let has_happened = is_busy && (dropped > 1_000 || is_moving);
    let what = format!(
        "{crashes} crashes, {promised} promises, {dropped} segments dropped, {troubles} troubles, {fetched} messages fetched, {over} sessions over"
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
