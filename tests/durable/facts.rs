//! What a broker knows again after the power was gone, one thing at a time.

use pregon::engine::change::Serial;
use pregon::engine::limits::Limits;

use crate::support::raw::{packet, packets, text};
use crate::support::world::World;

const SESSION_PRESENT: [u8; 4] = [0x20, 2, 1, 0];

pub fn broker(shards: usize) -> World {
    World::durable(shards, Limits::default(), 3)
}

/// Connects with 3.1.1 and these flags, and says more; what comes back.
pub fn comes(world: &mut World, name: &str, flags: u8, will: &[u8], says: &[Vec<u8>]) -> (usize, Vec<u8>) {
    let link = world.connect();
    world.send(link, &packet(0x10, &[&text("MQTT"), &[4, flags, 0, 0], &text(name), will]));
    for packet in says {
        world.send(link, packet);
    }
    world.drive();
    (link, world.receive(link))
}

pub fn subscribe(filter: &str, qos: u8) -> Vec<u8> {
    packet(0x82, &[&[0, 1], &text(filter), &[qos]])
}

pub fn publish(first: u8, topic: &str, payload: &str) -> Vec<u8> {
    packet(0x30 | first, &[&text(topic), &[0, 7], payload.as_bytes()])
}

/// The topics and payloads of the PUBLISH packets in some bytes, with their first byte.
pub fn heard(bytes: &[u8]) -> Vec<(u8, String)> {
    let publishes = packets(bytes).into_iter().filter(|(first, _)| first >> 4 == 3);
    publishes.map(|(first, body)| (first, String::from_utf8_lossy(&body).into_owned())).collect()
}

#[test]
fn a_session_its_subscriptions_and_its_queue_are_there_again() {
    for shards in [1, 3] {
        let mut world = broker(shards);
        comes(&mut world, "s", 0, &[], &[subscribe("a/+", 1), subscribe("b", 1)]);
        comes(&mut world, "s", 0, &[], &[packet(0xa2, &[&[0, 2], &text("b")])]);
        let gone = world.links.len() - 1;
        world.cut(gone);
        let says = [publish(2, "a/x", "one"), publish(2, "b", "two")];
        let (_, answers) = comes(&mut world, "p", 2, &[], &says);
        assert_eq!(packets(&answers).len(), 3, "CONNACK and two PUBACKs");
        world.crash();
        let (_, answers) = comes(&mut world, "s", 0, &[], &[]);
        assert!(answers.starts_with(&SESSION_PRESENT));
        let messages = heard(&answers);
        assert_eq!(messages.len(), 1, "{messages:?}");
        assert!(messages[0].1.ends_with("one"));
        let (_, answers) = comes(&mut world, "p", 2, &[], &[publish(2, "a/y", "three")]);
        assert_eq!(packets(&answers).len(), 2);
        assert_eq!(heard(&world.receive(world.links.len() - 2)).len(), 1, "the subscription still works");
    }
}

#[test]
fn what_was_sent_and_not_acknowledged_is_sent_again_under_its_identifier() {
    let mut world = broker(1);
    let (subscriber, _) = comes(&mut world, "s", 0, &[], &[subscribe("a", 2)]);
    comes(&mut world, "p", 2, &[], &[publish(2, "a", "one"), publish(4, "a", "two")]);
    let before = heard(&world.receive(subscriber));
    assert_eq!(before.len(), 2);
    world.crash();
    let (_, answers) = comes(&mut world, "s", 0, &[], &[]);
    let again: Vec<(u8, String)> = before.into_iter().map(|(first, body)| (first | 8, body)).collect();
    assert_eq!(heard(&answers), again, "the same, with DUP");
}

#[test]
fn a_pubrel_is_sent_again_and_its_message_is_not() {
    let mut world = broker(1);
    let (subscriber, _) = comes(&mut world, "s", 0, &[], &[subscribe("a", 2)]);
    comes(&mut world, "p", 2, &[], &[publish(4, "a", "two")]);
    assert_eq!(heard(&world.receive(subscriber)).len(), 1);
    world.send(subscriber, &packet(0x50, &[&[0, 1]]));
    world.drive();
    assert_eq!(world.receive(subscriber), packet(0x62, &[&[0, 1]]));
    world.crash();
    let (subscriber, answers) = comes(&mut world, "s", 0, &[], &[]);
    assert_eq!(answers, [&SESSION_PRESENT[..], &packet(0x62, &[&[0, 1]])].concat());
    world.send(subscriber, &packet(0x70, &[&[0, 1]]));
    world.drive();
    world.crash();
    assert_eq!(comes(&mut world, "s", 0, &[], &[]).1, SESSION_PRESENT);
}

#[test]
fn retained_messages_are_there_again_and_erased_ones_are_not() {
    for shards in [1, 3] {
        let mut world = broker(shards);
        let says = [publish(3, "a", "one"), publish(3, "b", "two"), publish(3, "a", "three"), publish(3, "b", "")];
        comes(&mut world, "p", 2, &[], &says);
        world.crash();
        let (_, answers) = comes(&mut world, "s", 2, &[], &[subscribe("#", 1)]);
        let messages = heard(&answers);
        assert_eq!(messages.len(), 1, "{messages:?}");
        assert!(messages[0].1.ends_with("three") && messages[0].0 == 0x33);
    }
}

#[test]
fn a_clean_session_is_gone_and_leaves_nothing() {
    let mut world = broker(1);
    comes(&mut world, "s", 2, &[], &[subscribe("a", 1)]);
    let disk = &world.disks[0];
    assert_eq!((disk.waiting(), disk.stored()), (0, Serial::NONE), "nothing is noted of who does not last");
    world.crash();
    let (_, answers) = comes(&mut world, "s", 0, &[], &[]);
    assert_eq!(answers, [0x20, 2, 0, 0]);
}

#[test]
fn a_session_that_was_wiped_stays_wiped() {
    let mut world = broker(1);
    comes(&mut world, "s", 0, &[], &[subscribe("a", 1)]);
    comes(&mut world, "s", 2, &[], &[]);
    world.crash();
    assert_eq!(comes(&mut world, "s", 0, &[], &[]).1, [0x20, 2, 0, 0]);
}

#[test]
fn the_will_of_who_was_there_is_published_after_the_restart() {
    for shards in [1, 3] {
        let mut world = broker(shards);
        comes(&mut world, "watcher", 0, &[], &[subscribe("will", 1)]);
        let will = [text("will"), text("gone")].concat();
        let (link, _) = comes(&mut world, "s", 0x0c, &will, &[]);
        let (_, _) = comes(&mut world, "polite", 0x0c, &will, &[packet(0xe0, &[])]);
        assert!(!world.links[link].is_closed);
        world.crash();
        world.drive();
        let (_, answers) = comes(&mut world, "watcher", 0, &[], &[]);
        assert_eq!(heard(&answers).len(), 1, "the one who said farewell left none");
        world.crash();
        world.drive();
        let (_, answers) = comes(&mut world, "watcher", 0, &[], &[]);
        assert_eq!(heard(&answers).len(), 1, "once, though it was not acknowledged");
    }
}

#[test]
fn nothing_that_promises_leaves_before_the_disk_has_it() {
    let mut world = broker(1);
    let link = world.connect();
    world.send(link, &packet(0x10, &[&text("MQTT"), &[4, 0, 0, 0], &text("s")]));
    world.read(link, usize::MAX);
    assert!(world.receive(link).is_empty());
    world.store(0, 1);
    assert_eq!(world.receive(link), [0x20, 2, 0, 0]);
    world.send(link, &subscribe("a", 2));
    world.read(link, usize::MAX);
    assert!(world.receive(link).is_empty());
    world.store(0, 1);
    assert_eq!(packets(&world.receive(link)).len(), 1, "SUBACK");
    world.send(link, &publish(4, "a", "x"));
    world.read(link, usize::MAX);
    assert!(world.receive(link).is_empty(), "neither PUBREC nor the message");
    world.store(0, 1);
    assert_eq!(packets(&world.receive(link)).len(), 2);
}

#[test]
fn who_has_nothing_to_do_with_the_disk_does_not_wait_for_it() {
    let mut world = broker(1);
    let (durable, _) = comes(&mut world, "s", 0, &[], &[subscribe("d", 1)]);
    let (clean, _) = comes(&mut world, "c", 2, &[], &[subscribe("a", 1)]);
    world.send(durable, &publish(2, "d", "x"));
    world.read(durable, usize::MAX);
    assert!(world.receive(durable).is_empty());
    world.send(clean, &publish(2, "a", "x"));
    world.read(clean, usize::MAX);
    assert_eq!(packets(&world.receive(clean)).len(), 2, "PUBACK and the message, though the disk is slow");
}

#[test]
fn an_identifier_is_free_everywhere_also_where_nobody_wants_its_message_any_more() {
    let names = ["s0", "s1", "s2", "s3", "s4", "s5"];
    let mut world = broker(4);
    for name in names {
        comes(&mut world, name, 0, &[], &[subscribe("a", 2)]);
    }
    let exactly = |first, text: &str| packet(first, &[b"\0\x01a\0\x09", text.as_bytes()]);
    comes(&mut world, "p", 0, &[], &[exactly(0x34, "one")]);
    world.crash();
    for name in names {
        comes(&mut world, name, 0, &[], &[packet(0xa2, &[&[0, 2], &text("a")])]);
    }
    let (publisher, answers) = comes(&mut world, "p", 0, &[], &[exactly(0x3c, "one"), packet(0x62, &[&[0, 9]])]);
    assert!(answers.ends_with(&[0x70, 2, 0, 9]), "the identifier is free: {answers:?}");
    let links: Vec<usize> = names.iter().map(|name| comes(&mut world, name, 0, &[], &[subscribe("a", 2)]).0).collect();
    world.send(publisher, &exactly(0x34, "two"));
    world.drive();
    for link in links {
        let messages = heard(&world.receive(link));
        assert!(messages.iter().any(|(_, body)| body.ends_with("two")), "{messages:?}");
    }
}

#[test]
fn what_a_shard_has_of_an_attempt_that_its_publishers_home_has_lost_hides_no_later_message() {
    for seed in 0..20 {
        let mut world = World::durable(3, Limits::default(), seed);
        let names = ["s0", "s1", "s2", "s3", "s4"];
        for name in names {
            comes(&mut world, name, 0, &[], &[subscribe("a", 2)]);
        }
        let (publisher, _) = comes(&mut world, "p", 0, &[], &[]);
        let (home, _) = world.links[publisher].at.expect("it is served");
        world.send(publisher, &publish(4, "a", "one"));
        assert!(world.read(publisher, usize::MAX));
        let others = (0..3).filter(|shard| *shard != home);
        let told =
            others.filter(|shard| world.deliver_mesh(home, *shard, usize::MAX) && world.store(*shard, usize::MAX));
        assert!(told.count() > 0, "some subscribers live elsewhere");
        world.crash();
        for name in names {
            comes(&mut world, name, 0, &[], &[packet(0xa2, &[&[0, 2], &text("a")])]);
        }
        let (publisher, answers) = comes(&mut world, "p", 0, &[], &[publish(12, "a", "one")]);
        assert!(answers.ends_with(&packet(0x50, &[&[0, 7]])));
        world.send(publisher, &packet(0x62, &[&[0, 7]]));
        world.drive();
        assert_eq!(world.receive(publisher), packet(0x70, &[&[0, 7]]));
        let subscribers = names.map(|name| comes(&mut world, name, 0, &[], &[subscribe("a", 2)]).0);
        world.send(publisher, &publish(4, "a", "two"));
        world.drive();
        for link in subscribers {
            let has_two = heard(&world.receive(link)).iter().any(|(_, body)| body.ends_with("two"));
            assert!(has_two, "seed {seed}: nobody has said the second message before");
        }
    }
}

#[test]
fn an_erasure_that_is_said_again_is_acknowledged_when_the_first_one_is_safe() {
    let mut world = broker(1);
    comes(&mut world, "p", 2, &[], &[publish(3, "a", "one")]);
    let links = ["q", "r"].map(|name| {
        let link = world.connect();
        world.send(link, &packet(0x10, &[&text("MQTT"), &[4, 2, 0, 0], &text(name)]));
        world.send(link, &publish(3, "a", ""));
        world.read(link, usize::MAX);
        let answers: Vec<u8> = packets(&world.receive(link)).into_iter().map(|(first, _)| first).collect();
        assert!(!answers.contains(&0x40), "{name}: nothing is safe yet");
        link
    });
    world.drive();
    for link in links {
        let answers: Vec<u8> = packets(&world.receive(link)).into_iter().map(|(first, _)| first).collect();
        assert_eq!(answers, [0x40]);
    }
    world.crash();
    let (_, answers) = comes(&mut world, "s", 2, &[], &[subscribe("a", 1)]);
    assert!(heard(&answers).is_empty(), "both were promised that it is gone");
}
