//! A broker whose disks fill up now and then, and that loses its power: who is refused comes again, and nothing acknowledged is lost.

use std::collections::BTreeSet;
use std::ops::Range;

use pregon::base::random::Random;
use pregon::engine::input::{Input, Room};
use pregon::engine::limits::Limits;

use crate::plain_cast::{Messages, Publisher, Subscriber, judge, one_publishes};
use crate::stage::{STEPS, Stage, for_each_seed};
use crate::support::world::World;

struct Run {
    stage: Stage,
    publishers: Vec<Publisher>,
    subscribers: Vec<Subscriber>,
    messages: Messages,
    /// What the disks have room for, where it changes now and then.
    room: Option<Room>,
    /// How often they became full.
    fillings: u32,
    /// Messages that were on their way when the power went: with several shards, one that has no room when they come again says so to a
    /// shard that has its part already, and somebody has them.
    clouded: BTreeSet<u32>,
    /// Messages that were on their way when there was room again: one that was refused before comes again behind those that were not, since
    /// a shard hears late what another one has refused.
    overtaken: BTreeSet<u32>,
    crashes: u32,
}

impl Run {
    fn new(seed: u64, shards: usize) -> Self {
        let mut random = Random::from_seed(seed);
        // Fan-outs are put off in some runs, so that the power goes in the middle of them.
        let fanout_recipients_max = if random.chance(1, 3) { 1 } else { 100 };
        // In others memory has no room for what waits, or for little of it.
        let ram_budget = [u64::MAX, 0, 1_000][random.index(3)];
        let limits = Limits { fanout_recipients_max, ..Limits::default() };
        let publishers = (0..=random.index(3)).map(Publisher::new).collect();
        let subscribers = (0..=random.index(3)).map(Subscriber::new).collect();
        let world = World::durable(shards, limits, seed).with_ram_budget(ram_budget);
        let messages = Messages::new();
        Self {
            stage: Stage::new(world, random),
            publishers,
            subscribers,
            messages,
            room: None,
            fillings: 0,
            clouded: BTreeSet::new(),
            overtaken: BTreeSet::new(),
            crashes: 0,
        }
    }

    fn step(&mut self) {
        match self.stage.random.below(100) {
            0..25 => one_publishes(&mut self.publishers, &mut self.messages, &mut self.stage),
            25..30 => {
                let who = self.stage.random.index(self.subscribers.len());
                self.subscribers[who].come(&mut self.stage.world);
            }
            30..50 => self.stage.one_is_read(),
            50..62 => self.stage.letters_arrive(),
            62..65 => self.stage.a_shard_ticks(),
            65..68 => {
                self.stage.world.arrive();
            }
            68..80 => self.stage.a_disk_stores(),
            80..92 => self.everybody_hears(),
            92..97 => self.stage.a_shard_sweeps(),
            97 if self.stage.random.chance(1, 2) => self.stage.messages_are_read(),
            98 if self.room.is_some() => self.disks_fill_or_empty(),
            97..99 => self.something_breaks(),
            _ if self.stage.has_fate() => {
                self.crashes += 1;
                self.clouded.extend(self.publishers.iter().flat_map(Publisher::open_messages));
                self.room = self.room.map(|_| Room::Open); // a start is a new look at the disk
                self.stage.world.crash();
            }
            _ => {}
        }
    }

    /// All disks at once, and while no shard has anything to say to another: so all of them answer a message alike.
    fn disks_fill_or_empty(&mut self) {
        if self.stage.world.mesh.iter().flatten().any(|letters| !letters.is_empty()) {
            return;
        }
        let room = [Room::Open, Room::Tight, Room::Full, Room::Full][self.stage.random.index(4)];
        self.fillings += u32::from(room == Room::Full && self.room != Some(Room::Full));
        self.tell_room(room);
    }

    fn tell_room(&mut self, room: Room) {
        if self.room.replace(room) == Some(Room::Full) {
            self.overtaken.extend(self.publishers.iter().flat_map(Publisher::open_messages));
        }
        for shard in 0..self.stage.world.shards.len() {
            self.stage.world.input(shard, Input::Journal { room });
        }
    }

    fn everybody_hears(&mut self) {
        for publisher in &mut self.publishers {
            publisher.hear(&mut self.stage.world);
        }
        for subscriber in &mut self.subscribers {
            subscriber.hear(&self.messages, &mut self.stage.world);
        }
    }

    fn something_breaks(&mut self) {
        let publishers = self.publishers.iter().filter_map(|publisher| publisher.link);
        let subscribers = self.subscribers.iter().filter_map(|subscriber| subscriber.link);
        let links: Vec<usize> = publishers.chain(subscribers).collect();
        self.stage.one_breaks(&links);
    }

    /// Everybody comes back and stays until nothing moves any more.
    fn finish(&mut self) {
        if self.room.is_some() {
            self.stage.world.drive(); // or one shard would take what another one has refused
            self.tell_room(Room::Open);
        }
        for _ in 0..2_000 {
            for publisher in &mut self.publishers {
                publisher.come(&mut self.stage.world);
            }
            for subscriber in &mut self.subscribers {
                subscriber.come(&mut self.stage.world);
            }
            self.stage.world.drive();
            self.everybody_hears();
            self.stage.world.drive();
            let is_done = self.publishers.iter().all(|publisher| publisher.open.is_empty())
                && self.subscribers.iter().all(|subscriber| subscriber.link.is_some());
            if is_done && self.stage.is_silent() {
                return;
            }
        }
        panic!("the broker does not come to rest: {:?} {:?}", self.publishers, self.subscribers);
    }
}

fn play_without_room(seeds: Range<u64>, shards: usize) {
    let (mut crashes, mut promised, mut fillings) = (0, 0, 0);
    for_each_seed(seeds, |seed| {
        let mut run = Run { room: Some(Room::Open), ..Run::new(seed, shards) };
        for publisher in &mut run.publishers {
            publisher.may_be_refused = true;
        }
        for subscriber in &mut run.subscribers {
            subscriber.may_be_refused = true;
        }
        (0..STEPS).for_each(|_| run.step());
        run.finish();
        if shards > 1 {
            let Run { clouded, overtaken, publishers, subscribers, .. } = &mut run;
            for publisher in publishers {
                publisher.promised.retain(|message| !clouded.contains(message));
            }
            for subscriber in subscribers {
                subscriber.forgive_order_of(overtaken);
            }
        }
        judge(&run.publishers, &run.subscribers, &run.messages);
        (crashes, fillings) = (crashes + run.crashes, fillings + run.fillings);
        promised += run.publishers.iter().map(|publisher| publisher.promised.len()).sum::<usize>();
    });
    let has_happened = crashes > 300 && promised > 3_000 && fillings > 1_000;
    assert!(has_happened, "{crashes} crashes, {promised} promises, {fillings} full disks: too little happens");
}

#[test]
fn what_was_acknowledged_survives_although_the_disk_is_full_now_and_then() {
    play_without_room(30_000..30_700, 1);
}

#[test]
fn what_was_acknowledged_survives_although_the_disks_of_several_shards_are_full_now_and_then() {
    play_without_room(40_000..40_700, 3);
}
