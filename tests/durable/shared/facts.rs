//! What shared groups have after the power was gone, one thing at a time.

use pregon::engine::change::Serial;
use pregon::engine::limits::{Limits, QueuePolicy};

use crate::facts::{broker, comes, heard, publish, subscribe};
use crate::support::raw::{packet, packets};
use crate::support::world::World;

const SHARED: &str = "$share/g/t";

/// These clients are members with sessions that last, and go away; how many shards the broker has.
fn group(shards: usize, qos: u8, names: &[&str]) -> World {
    let mut world = broker(shards);
    join(&mut world, qos, names);
    world
}

fn join(world: &mut World, qos: u8, names: &[&str]) {
    for name in names {
        let (link, _) = comes(world, name, 0, &[], &[subscribe(SHARED, qos)]);
        world.cut(link);
    }
    world.drive();
}

fn texts(bytes: &[u8]) -> Vec<String> {
    heard(bytes).into_iter().map(|(_, body)| body.chars().rev().take(3).collect()).collect()
}

/// The same letters three times, whichever way they are read.
fn says(letters: &str) -> Vec<Vec<u8>> {
    letters.chars().map(|letter| publish(2, "t", &letter.to_string().repeat(3))).collect()
}

fn exactly_once(letters: &str) -> Vec<Vec<u8>> {
    letters.bytes().map(|letter| packet(0x34, &[b"\0\x01t", &[0, letter], &[letter; 3]])).collect()
}

#[test]
fn what_waits_for_a_member_waits_after_the_restart() {
    for shards in [1, 3] {
        let mut world = group(shards, 1, &["a", "b"]);
        let (_, answers) = comes(&mut world, "p", 2, &[], &says("xyz"));
        assert_eq!(packets(&answers).len(), 4, "CONNACK and three PUBACKs");
        world.crash();
        world.drive();
        let (link, answers) = comes(&mut world, "b", 0, &[], &[]);
        assert_eq!(texts(&answers), ["xxx", "yyy", "zzz"]);
        for (_, body) in packets(&answers).iter().filter(|(first, _)| first >> 4 == 3) {
            world.send(link, &packet(0x40, &[&body[3..5]]));
        }
        world.drive();
        world.crash();
        let (_, answers) = comes(&mut world, "a", 0, &[], &[]);
        assert_eq!(texts(&answers), [""; 0], "what was acknowledged comes to nobody again");
    }
}

#[test]
fn messages_find_a_group_before_its_members_are_back() {
    for shards in [1, 3] {
        let mut world = group(shards, 1, &["a", "b", "c"]);
        world.crash();
        // No letter between shards has come yet.
        let link = world.connect_to(0);
        let connect = packet(0x10, &[b"\0\x04MQTT", &[4, 2, 0, 0], b"\0\x01p"]);
        world.send(link, &[connect, publish(2, "t", "one")].concat());
        while world.read(link, usize::MAX) || world.arrive() {}
        world.drive();
        assert_eq!(packets(&world.receive(link)).len(), 2, "CONNACK and PUBACK");
        world.crash();
        assert_eq!(texts(&comes(&mut world, "c", 0, &[], &[]).1), ["eno"]);
    }
}

#[test]
fn what_one_member_has_not_acknowledged_another_one_gets_if_it_may_come_twice() {
    for shards in [1, 3] {
        let mut world = group(shards, 1, &["a", "b"]);
        comes(&mut world, "a", 0, &[], &[]);
        comes(&mut world, "p", 2, &[], &says("x"));
        assert_eq!(texts(&world.receive(world.links.len() - 2)), ["xxx"]);
        world.crash();
        assert_eq!(texts(&comes(&mut world, "b", 0, &[], &[]).1), ["xxx"]);
        assert_eq!(texts(&comes(&mut world, "a", 0, &[], &[]).1), [""; 0]);
    }
}

#[test]
fn what_a_member_was_sent_exactly_once_comes_to_nobody_else() {
    for shards in [1, 3] {
        let mut world = group(shards, 2, &["a", "b"]);
        comes(&mut world, "a", 0, &[], &[]);
        comes(&mut world, "p", 2, &[], &exactly_once("x"));
        let sent = heard(&world.receive(world.links.len() - 2));
        assert_eq!(sent.len(), 1);
        world.crash();
        assert_eq!(texts(&comes(&mut world, "b", 0, &[], &[]).1), [""; 0]);
        let (link, answers) = comes(&mut world, "a", 0, &[], &[]);
        assert_eq!(heard(&answers), [(sent[0].0 | 8, sent[0].1.clone())], "the same, with DUP");
        // [MQTT-4.3.3-4] Then PUBREC, and PUBREL after one more cut.
        world.send(link, &packet(0x50, &[&[0, 1]]));
        world.drive();
        world.crash();
        assert_eq!(comes(&mut world, "b", 0, &[], &[]).1, [0x20, 2, 1, 0]);
        let (link, answers) = comes(&mut world, "a", 0, &[], &[]);
        assert_eq!(answers, [&[0x20, 2, 1, 0][..], &packet(0x62, &[&[0, 1]])].concat());
        world.send(link, &packet(0x70, &[&[0, 1]]));
        world.drive();
        world.crash();
        for name in ["a", "b"] {
            assert_eq!(comes(&mut world, name, 0, &[], &[]).1, [0x20, 2, 1, 0], "nothing is left for {name}");
        }
    }
}

#[test]
fn what_a_brief_member_was_sent_exactly_once_comes_to_nobody_else() {
    for shards in [1, 3] {
        let mut world = group(shards, 2, &["a", "b"]);
        let (brief, _) = comes(&mut world, "c", 2, &[], &[subscribe(SHARED, 2)]);
        comes(&mut world, "p", 2, &[], &exactly_once("x"));
        assert_eq!(texts(&world.receive(brief)), ["xxx"]);
        world.crash();
        // [MQTT-4.8.2-5] The session that had it has ended.
        for name in ["a", "b"] {
            assert_eq!(comes(&mut world, name, 0, &[], &[]).1, [0x20, 2, 1, 0]);
        }
    }
}

#[test]
fn a_group_of_brief_members_leaves_nothing() {
    let mut world = broker(1);
    comes(&mut world, "a", 2, &[], &[subscribe(SHARED, 2)]);
    comes(&mut world, "p", 2, &[], &[says("x"), exactly_once("y")].concat());
    let disk = &world.disks[0];
    assert_eq!((disk.waiting(), disk.stored()), (0, Serial::NONE), "nothing is noted of who does not last");
}

#[test]
fn what_a_group_was_owed_before_it_had_a_lasting_member_ends_with_the_process() {
    let mut world = World::durable(1, Limits { inflight_max: 1, ..Limits::default() }, 3);
    comes(&mut world, "a", 2, &[], &[subscribe(SHARED, 1)]);
    comes(&mut world, "p", 2, &[], &says("xyz"));
    join(&mut world, 1, &["b"]);
    comes(&mut world, "p", 2, &[], &says("u"));
    world.crash();
    assert_eq!(texts(&comes(&mut world, "b", 0, &[], &[]).1), ["uuu"]);
}

#[test]
fn a_publisher_hears_nothing_before_the_disk_has_what_the_group_is_owed() {
    let mut world = group(1, 1, &["a"]);
    let (link, _) = comes(&mut world, "p", 2, &[], &[]);
    world.send(link, &publish(2, "t", "x"));
    world.read(link, usize::MAX);
    assert!(world.receive(link).is_empty());
    world.store(0, 1);
    assert_eq!(packets(&world.receive(link)).len(), 1);
}

#[test]
fn a_member_forgets_what_it_has_when_its_home_has_settled_that_for_good() {
    let mut crossed = 0;
    for seed in 0..20 {
        let mut world = World::durable(3, Limits::default(), seed);
        join(&mut world, 2, &["a", "b"]);
        let (link, _) = comes(&mut world, "a", 0, &[], &[]);
        let (member, _) = world.links[link].at.expect("it is served");
        comes(&mut world, "p", 2, &[], &exactly_once("x"));
        assert_eq!(texts(&world.receive(link)), ["xxx"]);
        world.send(link, &packet(0x50, &[&[0, 1]]));
        while world.read(link, usize::MAX) {}
        world.store(member, usize::MAX);
        // The home of the group hears of it, and the power goes before it is noted there for good.
        for home in (0..3).filter(|shard| *shard != member) {
            crossed += u32::from(world.deliver_mesh(member, home, usize::MAX) && world.disks[home].waiting() > 0);
            world.deliver_mesh(home, member, usize::MAX);
        }
        world.store(member, usize::MAX);
        world.crash();
        world.drive();
        assert_eq!(comes(&mut world, "b", 0, &[], &[]).1, [0x20, 2, 1, 0], "seed {seed}: it is a's alone");
        let answers = comes(&mut world, "a", 0, &[], &[]).1;
        assert_eq!(answers, [&[0x20, 2, 1, 0][..], &packet(0x62, &[&[0, 1]])].concat(), "seed {seed}");
    }
    assert!(crossed > 5, "the home is another shard now and then: {crossed}");
}

#[test]
fn a_group_that_nobody_belongs_to_has_ended_though_its_home_did_not_hear_of_it() {
    for shards in [1, 3] {
        let mut world = group(shards, 1, &["a"]);
        comes(&mut world, "p", 2, &[], &says("x"));
        // The letter of the member's shard to the home is lost, the note of the member's shard is not.
        let (link, _) = comes(&mut world, "a", 0, &[], &[]);
        world.send(link, &packet(0xa2, &[&[0, 2], b"\0\x0a$share/g/t"]));
        while world.read(link, usize::MAX) {}
        (0..shards).for_each(|shard| _ = world.store(shard, usize::MAX));
        world.crash();
        world.drive();
        join(&mut world, 1, &["b"]);
        assert_eq!(texts(&comes(&mut world, "b", 0, &[], &[]).1), [""; 0], "a new group is owed nothing old");
        world.crash();
        assert_eq!(texts(&comes(&mut world, "b", 0, &[], &[]).1), [""; 0], "nor after a restart");
    }
}

#[test]
fn what_made_room_does_not_come_back() {
    let queue_policy = QueuePolicy::DropOldest;
    let mut world = World::durable(1, Limits { group_queue_messages_max: 2, queue_policy, ..Limits::default() }, 3);
    join(&mut world, 1, &["a"]);
    comes(&mut world, "p", 2, &[], &says("wxyz"));
    world.crash();
    world.drive();
    comes(&mut world, "p", 2, &[], &says("u"));
    world.crash();
    assert_eq!(texts(&comes(&mut world, "a", 0, &[], &[]).1), ["zzz", "uuu"]);
}

#[test]
fn a_group_has_another_home_with_all_that_it_is_owed() {
    for (before, after) in [(1, 3), (4, 1), (3, 2), (2, 5)] {
        let mut world = group(before, 2, &["a", "b"]);
        let (link, _) = comes(&mut world, "a", 0, &[], &[]);
        comes(&mut world, "p", 2, &[], &exactly_once("x"));
        assert_eq!(texts(&world.receive(link)), ["xxx"]);
        world.cut(link);
        comes(&mut world, "p", 2, &[], &[exactly_once("y"), says("z")].concat());
        world.crash_into(after);
        world.drive();
        let expected = [("b", vec!["yyy", "zzz"]), ("a", vec!["xxx"])];
        for (name, messages) in expected {
            assert_eq!(texts(&comes(&mut world, name, 0, &[], &[]).1), messages, "{name} of {before} on {after}");
        }
    }
}

#[test]
fn what_a_group_is_owed_outlives_the_segment_that_told_of_it() {
    // Members come and go in the middle of the sweep, so that copies move to and fro.
    for pieces in 0..40 {
        let mut world = group(1, 2, &["a", "b"]);
        let (link, _) = comes(&mut world, "a", 0, &[], &[]);
        comes(&mut world, "p", 2, &[], &[exactly_once("x"), says("y")].concat());
        assert_eq!(texts(&world.receive(link)), ["xxx", "yyy"]);
        let retained: Vec<Vec<u8>> = (0..80).map(|_| publish(3, "filler", &"x".repeat(2_000))).collect();
        comes(&mut world, "filler", 2, &[], &retained);
        let sweep = |world: &mut World, bytes| {
            world.input(0, pregon::engine::input::Input::Sweep { bytes });
            world.drive();
        };
        (0..pieces).for_each(|_| sweep(&mut world, 1));
        world.cut(link);
        comes(&mut world, "p", 2, &[], &says("z"));
        sweep(&mut world, usize::MAX);
        sweep(&mut world, usize::MAX);
        assert!(world.disks[0].dropped_segments > 0, "the sweep has made something superfluous");
        world.crash();
        assert_eq!(texts(&comes(&mut world, "b", 0, &[], &[]).1), ["yyy", "zzz"], "after {pieces} pieces");
        assert_eq!(texts(&comes(&mut world, "a", 0, &[], &[]).1), ["xxx"], "after {pieces} pieces");
    }
}

#[test]
fn what_a_member_was_sent_before_its_group_was_kept_is_sent_again_under_its_identifier() {
    let mut world = World::durable(1, Limits { inflight_max: 1, ..Limits::default() }, 3);
    comes(&mut world, "c", 2, &[], &[subscribe(SHARED, 2)]);
    comes(&mut world, "p", 2, &[], &exactly_once("xy"));
    let (_, answers) = comes(&mut world, "b", 0, &[], &[subscribe(SHARED, 2)]);
    let sent = heard(&answers);
    assert_eq!(texts(&answers), ["yyy"], "what the group was owed before it had a lasting member");
    world.crash();
    world.drive();
    comes(&mut world, "p", 2, &[], &exactly_once("u"));
    let (link, answers) = comes(&mut world, "b", 0, &[], &[]);
    let again: Vec<(u8, String)> = sent.into_iter().map(|(first, body)| (first | 8, body)).collect();
    assert_eq!(heard(&answers), again, "the same, with DUP, and nothing else has its identifier");
    let (_, taken) = packets(&answers).into_iter().find(|(first, _)| first >> 4 == 3).expect("it was just read");
    for first in [0x50, 0x70] {
        world.send(link, &packet(first, &[&taken[3..5]]));
        world.drive();
    }
    assert_eq!(texts(&world.receive(link)), ["uuu"]);
}
