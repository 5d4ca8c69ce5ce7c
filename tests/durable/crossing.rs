//! What is between two shards when the power goes: wills, retained messages, identifiers of quality of service 2.

use pregon::base::random::Random;
use pregon::engine::change::Change;
use pregon::engine::limits::Limits;

use crate::facts::{comes, heard, publish, subscribe};
use crate::support::raw::{packet, text};
use crate::support::world::World;

const SEEDS: u64 = 300;
const NAMES: [&str; 6] = ["s0", "s1", "s2", "s3", "s4", "s5"];

/// A broker of three shards with durable subscribers of this filter, who are away, and chance for what follows.
fn with_subscribers(seed: u64, filter: &str) -> (World, Random) {
    let mut world = World::durable(3, Limits::default(), seed);
    for name in NAMES {
        let (link, _) = comes(&mut world, name, 0, &[], &[subscribe(filter, 2)]);
        world.cut(link);
    }
    world.drive();
    (world, Random::from_seed(seed))
}

/// A little happens: letters arrive, disks store.
fn a_little(world: &mut World, random: &mut Random) {
    for _ in 0..random.index(8) {
        let (from, to) = (random.index(3), random.index(3));
        match random.index(2) {
            0 => world.deliver_mesh(from, to, 1),
            _ => world.store(from, 1),
        };
    }
}

/// A publisher comes and says this, and its shard has read it, no more; where it is connected.
fn is_read(world: &mut World, packet: &[u8]) -> usize {
    let (publisher, _) = comes(world, "p", 0, &[], &[]);
    world.send(publisher, packet);
    world.read(publisher, usize::MAX);
    publisher
}

/// Says this and waits for the answer.
fn says(world: &mut World, link: usize, packet: &[u8]) -> Vec<u8> {
    world.send(link, packet);
    world.drive();
    world.receive(link)
}

/// How many messages that end with these words each subscriber hears when it comes back.
fn copies(world: &mut World, words: &str) -> Vec<usize> {
    let count = |name| {
        let (link, answers) = comes(world, name, 0, &[], &[]);
        let count = heard(&answers).iter().filter(|(_, body)| body.ends_with(words)).count();
        world.cut(link);
        count
    };
    NAMES.into_iter().map(count).collect()
}

/// How many names of messages a shard's disk says are remembered there.
fn remembered(world: &mut World) -> i32 {
    world.drive();
    let mut known = 0;
    for disk in &mut world.disks {
        disk.lose_power(|_, change, _| {
            known += i32::from(matches!(change, Change::Passed { .. }));
            known -= i32::from(matches!(change, Change::Forgotten { .. }));
        });
    }
    known
}

#[test]
fn a_will_comes_to_every_shard_once_wherever_it_is_when_the_power_goes() {
    let will = [text("w"), text("gone")].concat();
    let mut crossed = 0;
    for seed in 0..SEEDS {
        let (mut world, mut random) = with_subscribers(seed, "w");
        let (link, _) = comes(&mut world, "dying", 0b0001_0100, &will, &[]);
        world.cut(link);
        for _ in 0..=random.index(3) {
            a_little(&mut world, &mut random);
            crossed += usize::from(world.disks.iter().any(|disk| disk.waiting() > 0));
            world.crash();
        }
        world.drive();
        assert_eq!(copies(&mut world, "gone"), [1; NAMES.len()], "seed {seed}");
        assert_eq!(remembered(&mut world), 0, "seed {seed}: nobody asks again");
    }
    assert!(crossed > 100, "the power goes in the middle");
}

#[test]
fn a_retained_will_is_kept_at_its_home_wherever_it_is_when_the_power_goes() {
    for seed in 0..SEEDS {
        let (mut world, mut random) = with_subscribers(seed, "nobody/says");
        let topic = format!("w/{}", random.index(100));
        let will = [text(&topic), text("gone")].concat();
        let (link, _) = comes(&mut world, "dying", 0b0010_1100, &will, &[]);
        world.cut(link);
        a_little(&mut world, &mut random);
        world.crash();
        world.drive();
        let (_, answers) = comes(&mut world, "late", 2, &[], &[subscribe("w/+", 1)]);
        assert_eq!(heard(&answers).len(), 1, "seed {seed}");
    }
}

#[test]
fn a_will_with_a_delay_outlives_many_restarts() {
    let mut world = World::durable(2, Limits::default(), 1);
    let (link, _) = comes(&mut world, "s0", 0, &[], &[subscribe("w", 1)]);
    world.cut(link);
    // Version 5.0, session expiry an hour, will delay ten seconds.
    let (properties, will_properties) = (b"\x05\x11\0\0\x0e\x10", b"\x05\x18\0\0\0\x0a");
    let words = [&text("dying")[..], will_properties, &text("w"), &text("gone")].concat();
    let link = world.connect();
    world.send(link, &packet(0x10, &[&text("MQTT"), &[5, 0b0000_1100, 0, 0], properties, &words]));
    world.drive();
    for _ in 0..3 {
        world.advance(3_000);
        world.crash();
        world.drive();
    }
    let (link, answers) = comes(&mut world, "s0", 0, &[], &[]);
    assert!(heard(&answers).is_empty(), "the first crash was six seconds ago");
    world.cut(link);
    world.advance(5_000);
    let (_, answers) = comes(&mut world, "s0", 0, &[], &[]);
    assert_eq!(heard(&answers).len(), 1);
}

#[test]
fn an_identifier_without_dup_is_a_new_message_whatever_a_shard_remembers() {
    for seed in 0..SEEDS {
        let (mut world, mut random) = with_subscribers(seed, "a");
        is_read(&mut world, &publish(4, "a", "first"));
        a_little(&mut world, &mut random);
        world.crash();
        // The client has lost what it knew. If the first one was safe, its identifier has to be released.
        let (link, _) = comes(&mut world, "p", 0, &[], &[packet(0x62, &[&[0, 7]])]);
        assert_eq!(says(&mut world, link, &publish(4, "a", "second")), packet(0x50, &[&[0, 7]]), "seed {seed}");
        assert_eq!(copies(&mut world, "second"), [1; NAMES.len()], "seed {seed}");
    }
}

#[test]
fn a_retained_message_of_quality_of_service_2_that_meets_a_new_subscription_comes_once() {
    let mut met = 0;
    for seed in 0..4 * SEEDS {
        let mut world = World::durable(3, Limits::default(), seed);
        let mut random = Random::from_seed(seed);
        let (publisher, _) = comes(&mut world, "p", 0, &[], &[]);
        let (link, _) = comes(&mut world, "s", 0, &[], &[]);
        world.send(publisher, &publish(5, "a", "kept"));
        world.send(link, &subscribe("a", 2));
        world.read(publisher, usize::MAX);
        a_little(&mut world, &mut random);
        world.read(link, usize::MAX);
        a_little(&mut world, &mut random);
        world.crash();
        let (link, _) = comes(&mut world, "p", 0, &[], &[]);
        assert_eq!(says(&mut world, link, &publish(0xd, "a", "kept")), packet(0x50, &[&[0, 7]]), "seed {seed}");
        assert_eq!(says(&mut world, link, &packet(0x62, &[&[0, 7]])), packet(0x70, &[&[0, 7]]), "seed {seed}");
        let (_, answers) = comes(&mut world, "s", 0, &[], &[]);
        // What is found is not what is published: a search of before the crash may have found it, too.
        let live = heard(&answers).into_iter().filter(|(first, _)| first & 1 == 0).count();
        assert!(live <= 1, "seed {seed}: it comes {live} times");
        met += live;
        assert_eq!(remembered(&mut world), 0, "seed {seed}: nobody asks again");
    }
    assert!(met > 100, "the subscription was there in time: {met}");
}

#[test]
fn who_has_left_while_its_message_was_between_shards_may_send_it_again_to_another_number_of_them() {
    for seed in 0..SEEDS {
        let (mut world, mut random) = with_subscribers(seed, "a");
        let publisher = is_read(&mut world, &publish(4, "a", "one"));
        a_little(&mut world, &mut random);
        world.cut(publisher);
        a_little(&mut world, &mut random);
        if random.chance(1, 2) {
            world.crash();
            a_little(&mut world, &mut random);
        }
        world.crash_into(1 + random.index(4));
        let (_, answers) = comes(&mut world, "p", 0, &[], &[publish(0xc, "a", "one")]);
        assert!(answers.ends_with(&packet(0x50, &[&[0, 7]])), "seed {seed}");
        let copies = copies(&mut world, "one");
        assert!(copies.iter().all(|copies| *copies > 0), "seed {seed}: {copies:?}");
    }
}

#[test]
fn one_shard_knows_what_it_had_whatever_number_follows() {
    for seed in 0..SEEDS {
        let mut random = Random::from_seed(seed);
        let mut world = World::durable(1, Limits::default(), seed);
        for name in NAMES {
            comes(&mut world, name, 0, &[], &[subscribe("a", 2)]);
        }
        is_read(&mut world, &publish(4, "a", "one"));
        world.crash_into(1 + random.index(4));
        comes(&mut world, "p", 0, &[], &[publish(0xc, "a", "one")]);
        assert_eq!(copies(&mut world, "one"), [1; NAMES.len()], "seed {seed}");
    }
}
