//! Queues for which memory has no room, one thing at a time.

use pregon::engine::input::Input;
use pregon::engine::limits::{FETCHING_BYTES_MAX, Limits};
use pregon::engine::stats::DropReason;

use crate::facts::{comes, heard, publish, subscribe};
use crate::support::raw::{packet, packets, text};
use crate::support::world::World;

fn broker(limits: Limits) -> World {
    World::durable(1, limits, 5).with_ram_budget(0)
}

/// A session with this subscription, whose client has left.
fn leaves(world: &mut World, name: &str, filter: &str) {
    let (link, _) = comes(world, name, 0, &[], &[subscribe(filter, 1)]);
    world.cut(link);
}

fn says(world: &mut World, messages: std::ops::Range<usize>) {
    let says: Vec<Vec<u8>> = messages.map(|number| publish(2, "a", &format!("{number:03}"))).collect();
    let (link, _) = comes(world, "p", 2, &[], &says);
    world.cut(link);
}

/// The client of a session connects; what is read for it is on its way.
fn arrives(world: &mut World, name: &str) -> usize {
    let link = world.connect();
    world.send(link, &packet(0x10, &[&text("MQTT"), &[4, 0, 0, 0], &text(name)]));
    world.read(link, usize::MAX);
    link
}

/// The numbers of the messages in some bytes.
fn numbers(bytes: &[u8]) -> Vec<usize> {
    let number = |(_, body): (u8, String)| body[body.len() - 3..].parse().expect("three digits");
    heard(bytes).into_iter().map(number).collect()
}

fn expected(messages: std::ops::Range<usize>) -> Vec<usize> {
    messages.collect()
}

#[test]
fn what_waits_on_the_disk_comes_in_its_order_before_what_comes_meanwhile() {
    let mut world = broker(Limits::default());
    leaves(&mut world, "s", "a");
    says(&mut world, 0..300);
    assert_eq!((world.shards[0].sizes().stowed, world.shards[0].memory().queues), (300, 0));
    let link = arrives(&mut world, "s");
    says(&mut world, 300..310);
    world.drive();
    assert_eq!(numbers(&world.receive(link)), expected(0..310));
    assert_eq!((world.shards[0].sizes().stowed, world.shards[0].stats().fetched), (0, 310));
}

#[test]
fn a_start_leaves_on_the_disk_what_memory_has_no_room_for() {
    let mut world = broker(Limits::default());
    leaves(&mut world, "s", "a");
    says(&mut world, 0..100);
    world.crash();
    assert_eq!((world.shards[0].sizes().stowed, world.shards[0].memory().queues), (100, 0));
    let (_, answers) = comes(&mut world, "s", 0, &[], &[]);
    assert_eq!(numbers(&answers), expected(0..100));
}

#[test]
fn what_the_disk_has_lost_is_counted_and_the_queue_goes_on() {
    let mut world = broker(Limits::default());
    leaves(&mut world, "s", "a");
    says(&mut world, 0..3);
    let link = arrives(&mut world, "s");
    world.lose_fetch(0);
    says(&mut world, 3..5);
    assert_eq!(numbers(&world.receive(link)), [3, 4]);
    let stats = world.shards[0].stats();
    assert_eq!((stats.unreadable, stats.ledger.dropped(DropReason::Unreadable)), (3, 3));
    world.crash();
    let (_, answers) = comes(&mut world, "s", 0, &[], &[]);
    assert_eq!(numbers(&answers), [3, 4], "what is lost is settled");
}

#[test]
fn what_is_displaced_while_it_is_read_is_not_delivered() {
    let mut world = broker(Limits { queue_messages_max: 3, ..Limits::default() });
    leaves(&mut world, "s", "a");
    says(&mut world, 0..3);
    let link = arrives(&mut world, "s");
    let publisher = world.connect();
    world.send(publisher, &packet(0x10, &[&text("MQTT"), &[4, 2, 0, 0], &text("p")]));
    world.send(publisher, &publish(2, "a", "003"));
    world.read(publisher, usize::MAX);
    assert_eq!(world.shards[0].stats().ledger.dropped(DropReason::QueueOldest), 1);
    world.drive();
    assert_eq!(numbers(&world.receive(link)), [1, 2, 3]);
}

#[test]
fn copies_of_one_message_have_one_place_also_when_they_are_made_one_after_the_other() {
    let mut world = broker(Limits { fanout_recipients_max: 1, ..Limits::default() });
    let names = ["s0", "s1", "s2", "s3"];
    for name in names {
        leaves(&mut world, name, "a");
    }
    says(&mut world, 0..2);
    assert_eq!((world.shards[0].sizes().stowed, world.shards[0].stats().stowed), (2, 8));
    for name in names {
        let (_, answers) = comes(&mut world, name, 0, &[], &[]);
        assert_eq!(numbers(&answers), [0, 1], "{name}");
    }
    assert_eq!(world.shards[0].sizes().stowed, 0);
}

#[test]
fn a_copy_keeps_the_identifiers_of_its_subscriptions() {
    for is_crashing in [false, true] {
        let mut world = broker(Limits::default());
        let hello = packet(0x10, &[&text("MQTT"), &[5, 0, 0, 0], &[5, 0x11, 0, 0, 1, 0], &text("s")]);
        let subscribe = |id: u8, filter: &str| packet(0x82, &[&[0, id, 2, 0x0b, id], &text(filter), &[1]]);
        let link = world.connect();
        world.send(link, &[hello.clone(), subscribe(8, "a"), subscribe(9, "+")].concat());
        world.drive();
        world.cut(link);
        says(&mut world, 0..1);
        if is_crashing {
            world.crash();
        }
        let link = world.connect();
        world.send(link, &hello);
        world.drive();
        let (_, body) = packets(&world.receive(link)).pop().expect("it is owed a message");
        let ids = &body[5..10];
        assert!(ids == [4, 0x0b, 8, 0x0b, 9] || ids == [4, 0x0b, 9, 0x0b, 8], "{body:?}");
    }
}

#[test]
fn a_session_that_does_not_outlast_the_process_any_more_keeps_what_it_is_owed() {
    let mut world = broker(Limits::default());
    leaves(&mut world, "s", "a");
    says(&mut world, 0..300);
    // It comes with an expiry of nothing, and takes one message after the other.
    let properties = [8, 0x11, 0, 0, 0, 0, 0x21, 0, 1];
    let link = world.connect();
    world.send(link, &packet(0x10, &[&text("MQTT"), &[5, 0, 0, 0], &properties, &text("s")]));
    world.drive();
    let filler = publish(3, "filler", &"x".repeat(2_000));
    let (other, _) = comes(&mut world, "filler", 2, &[], &vec![filler; 80]);
    world.cut(other);
    world.input(0, Input::Sweep { bytes: usize::MAX });
    world.drive();
    while world.shards[0].sizes().stowed > 0 && world.disks[0].dropped_segments == 0 {
        world.input(0, Input::Sweep { bytes: usize::MAX });
        world.drive();
    }
    let mut seen = Vec::new();
    loop {
        let bytes = world.receive(link);
        let Some((_, body)) = packets(&bytes).into_iter().find(|(first, _)| first >> 4 == 3) else { break };
        seen.extend(numbers(&bytes));
        world.send(link, &packet(0x40, &[&body[3..5]]));
        world.drive();
    }
    assert_eq!(seen, expected(0..300));
    assert_eq!(world.shards[0].stats().unreadable, 0);
}

#[test]
fn so_much_is_read_at_a_time_and_the_others_wait_in_line() {
    const SESSIONS: usize = 160;
    let mut world = broker(Limits::default());
    let names: Vec<String> = (0..SESSIONS).map(|number| format!("s{number}")).collect();
    for name in &names {
        leaves(&mut world, name, "a");
    }
    let large = "x".repeat(64 << 10);
    comes(&mut world, "p", 2, &[], &[publish(2, "a", &large)]);
    let links: Vec<usize> = names.iter().map(|name| arrives(&mut world, name)).collect();
    let reads = world.fetches_waiting(0);
    assert!(
        reads as u64 * large.len() as u64 <= FETCHING_BYTES_MAX + large.len() as u64 && reads < SESSIONS,
        "{reads}"
    );
    world.drive();
    for link in links {
        assert_eq!(heard(&world.receive(link)).len(), 1);
    }
}
