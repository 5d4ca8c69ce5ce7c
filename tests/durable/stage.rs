//! The world of a run and the chance that rules it, whoever takes part: what happens between shards, clients and disks.

use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind};

use pregon::base::random::Random;
use pregon::engine::input::Input;

use crate::support::world::{Link, World};

/// So many things happen in a run.
pub const STEPS: u32 = 1_500;

/// The world of one run.
pub struct Stage {
    /// The broker and its clients.
    pub world: World,
    /// What decides.
    pub random: Random,
    /// The shard whose disk is slower than those of the others.
    slow_disk: Option<usize>,
    /// How rarely the power goes.
    calm: u64,
}

impl Stage {
    /// A world that `random` has furnished so far.
    pub fn new(world: World, mut random: Random) -> Self {
        let slow_disk = if random.chance(1, 2) { Some(random.index(world.shards.len())) } else { None };
        let calm = [1, 3, 8][random.index(3)];
        Self { world, random, slow_disk, calm }
    }

    fn any_shard(&mut self) -> usize {
        self.random.index(self.world.shards.len())
    }

    /// The broker reads some of what a client has said.
    pub fn one_is_read(&mut self) {
        let links = self.world.links.len();
        if links > 0 {
            let most = if self.random.chance(1, 2) { usize::MAX } else { self.random.index(30) + 1 };
            self.world.read(self.random.index(links), most);
        }
    }

    /// Letters of a shard reach another one.
    pub fn letters_arrive(&mut self) {
        let (from, to) = (self.any_shard(), self.any_shard());
        self.world.deliver_mesh(from, to, 1 + self.random.index(3));
    }

    /// So much time passes at the most; some shards look at the clock at once, others when something happens.
    pub fn time_passes(&mut self, ms_max: u64) {
        self.world.now = self.world.now.after_ms(self.random.below(ms_max));
        for shard in 0..self.world.shards.len() {
            if self.random.chance(1, 2) {
                self.world.input(shard, Input::Tick);
            }
        }
    }

    /// A shard that has put off work goes on with it.
    pub fn a_shard_ticks(&mut self) {
        let shard = self.any_shard();
        if self.world.takes_tick(shard) {
            self.world.input(shard, Input::Tick);
        }
    }

    /// A disk makes some turns safe.
    pub fn a_disk_stores(&mut self) {
        let shard = self.any_shard();
        if self.slow_disk != Some(shard) || self.random.chance(1, 6) {
            self.world.store(shard, 1 + self.random.index(4));
        }
    }

    /// A shard tells again some of what it holds.
    pub fn a_shard_sweeps(&mut self) {
        let bytes = 1 + self.random.index(2_000);
        let shard = self.any_shard();
        self.world.input(shard, Input::Sweep { bytes });
    }

    /// Messages that a shard has asked for are there.
    pub fn messages_are_read(&mut self) {
        let shard = self.any_shard();
        self.world.fetch(shard);
    }

    /// One of these connections breaks.
    pub fn one_breaks(&mut self, links: &[usize]) {
        if let Some(link) = self.random.pick(links).copied() {
            self.world.cut(link);
        }
    }

    /// Whether it is time for the power to go.
    pub fn has_fate(&mut self) -> bool {
        self.random.chance(1, self.calm)
    }

    /// Everybody leaves in order, and another number of shards is started: what has reached some of its shards only may come twice to those.
    pub fn shards_change(&mut self) {
        (0..self.world.links.len()).for_each(|link| self.world.cut(link));
        self.world.drive();
        self.world.crash_into(1 + self.random.index(4));
    }

    /// Whether nothing is on its way between clients and broker.
    pub fn is_silent(&self) -> bool {
        let is_silent = |link: &Link| link.is_closed || link.incoming.is_empty() && link.outgoing.is_empty();
        self.world.links.iter().all(is_silent)
    }

    /// Segments that were dropped on all disks.
    pub fn dropped_segments(&self) -> u64 {
        self.world.disks.iter().map(|disk| disk.dropped_segments).sum()
    }
}

/// Plays a run for each seed; whoever fails says which one it was.
pub fn for_each_seed(seeds: Range<u64>, mut play: impl FnMut(u64)) {
    for seed in seeds {
        if let Err(panic) = catch_unwind(AssertUnwindSafe(|| play(seed))) {
            let text = panic.downcast_ref::<String>().map_or("see above", String::as_str);
            panic!("seed {seed}: {text}");
        }
    }
}
