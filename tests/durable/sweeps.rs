//! What a broker knows again after its log was swept and the old part of it dropped, one thing at a time.

use pregon::engine::input::Input;
use pregon::engine::limits::Limits;

use crate::facts::{broker, comes, heard, publish, subscribe};
use crate::support::raw::{packet, packets, text};
use crate::support::world::World;

/// Enough retained messages, each in place of the one before, that the log has more than one segment.
fn fill(world: &mut World) {
    let payload = "x".repeat(2_000);
    let says: Vec<Vec<u8>> = (0..80).map(|_| publish(3, "filler", &payload)).collect();
    let (link, _) = comes(world, "filler", 2, &[], &says);
    world.cut(link);
}

fn sweep(world: &mut World, bytes: usize) {
    world.input(0, Input::Sweep { bytes });
    world.drive();
}

/// Sweeps to the end, and lets the power go when the old part of the log is gone.
fn sweep_and_crash(world: &mut World) {
    sweep(world, usize::MAX);
    assert!(world.disks[0].dropped_segments > 0, "the sweep has made something superfluous");
    world.crash();
}

#[test]
fn a_message_that_two_are_owed_is_owed_to_the_second_whenever_the_first_has_it() {
    let mut pieces = 0;
    loop {
        let mut world = broker(1);
        let (first, _) = comes(&mut world, "first", 0, &[], &[subscribe("a", 1)]);
        let (second, _) = comes(&mut world, "second", 0, &[], &[subscribe("a", 1)]);
        world.cut(second);
        comes(&mut world, "p", 2, &[], &[publish(2, "a", "one")]);
        let heard_first = packets(&world.receive(first));
        let id = &heard_first.last().expect("it is connected").1[3..5];
        fill(&mut world);
        let mut told = 0;
        for _ in 0..pieces {
            sweep(&mut world, 1);
            told += 1;
        }
        world.send(first, &packet(0x40, &[id]));
        world.drive();
        sweep_and_crash(&mut world);
        let (_, answers) = comes(&mut world, "second", 0, &[], &[]);
        assert_eq!(heard(&answers).len(), 1, "acknowledged after {told} pieces");
        pieces += 1;
        if pieces > 40 {
            return;
        }
    }
}

#[test]
fn everything_that_holds_is_there_again() {
    let mut world = broker(1);
    let (subscriber, _) = comes(&mut world, "s", 0, &[], &[subscribe("a/+", 2), subscribe("b", 1)]);
    comes(
        &mut world,
        "p",
        2,
        &[],
        &[publish(3, "kept", "retained"), publish(2, "b", "sent"), publish(4, "a/1", "exactly")],
    );
    let sent = heard(&world.receive(subscriber));
    assert_eq!(sent.len(), 2, "{sent:?}");
    world.cut(subscriber);
    let says: Vec<Vec<u8>> = (0..5).map(|number| publish(2, "a/2", &format!("queued {number}"))).collect();
    comes(&mut world, "p", 2, &[], &says);
    // A will of a session that lasts, whose client is there when the power goes.
    comes(&mut world, "w", 0b0010_1100, &[text("b"), text("last words")].concat(), &[]);
    fill(&mut world);
    sweep_and_crash(&mut world);
    let (_, answers) = comes(&mut world, "s", 0, &[], &[subscribe("kept", 1)]);
    assert!(answers.starts_with(&[0x20, 2, 1, 0]), "the session is there");
    let texts: Vec<String> = heard(&answers).into_iter().map(|(_, body)| body).collect();
    let expected =
        ["sent", "exactly", "queued 0", "queued 1", "queued 2", "queued 3", "queued 4", "last words", "retained"];
    assert_eq!(texts.len(), expected.len(), "{texts:?}");
    assert!(texts.iter().zip(expected).all(|(text, end)| text.ends_with(end)), "{texts:?}");
}

#[test]
fn the_number_of_a_session_is_not_given_again_when_nothing_tells_of_it() {
    let mut world = broker(1);
    for name in ["one", "two"] {
        comes(&mut world, name, 0, &[], &[]);
        comes(&mut world, name, 2, &[], &[]);
    }
    fill(&mut world);
    sweep_and_crash(&mut world);
    // The disk says whose number it was.
    comes(&mut world, "three", 0, &[], &[subscribe("a", 1)]);
}

/// Three sessions that want the same, of which the first is connected, and who publishes it; each copy of a message takes a turn.
pub fn three_and_a_publisher() -> (World, usize, usize, usize) {
    let mut world = World::durable(1, Limits { fanout_recipients_max: 1, ..Limits::default() }, 3);
    let (first, _) = comes(&mut world, "s0", 0, &[], &[subscribe("a", 1)]);
    for name in ["s1", "s2"] {
        let (link, _) = comes(&mut world, name, 0, &[], &[subscribe("a", 1)]);
        world.cut(link);
    }
    let (publisher, _) = comes(&mut world, "p", 2, &[], &[]);
    let (filler, _) = comes(&mut world, "filler", 2, &[], &[]);
    (world, first, publisher, filler)
}

/// Has the broker read what a client has sent, and gives put-off work no turn.
pub fn reads(world: &mut World, link: usize, packets: &[Vec<u8>]) {
    for packet in packets {
        world.send(link, packet);
    }
    while world.read(link, usize::MAX) {}
    world.store(0, usize::MAX);
}

#[test]
fn a_message_that_is_owed_to_everybody_outlives_the_segment_that_told_of_it() {
    let (mut world, first, publisher, filler) = three_and_a_publisher();
    reads(&mut world, publisher, &[publish(2, "a", "one")]);
    let says: Vec<Vec<u8>> = (0..80).map(|_| publish(3, "filler", &"x".repeat(2_000))).collect();
    reads(&mut world, filler, &says);
    world.input(0, Input::Sweep { bytes: usize::MAX });
    world.drive();
    assert_eq!(heard(&world.receive(first)).len(), 1);
    sweep_and_crash(&mut world);
    for name in ["s0", "s1", "s2"] {
        let (_, answers) = comes(&mut world, name, 0, &[], &[]);
        assert_eq!(heard(&answers).len(), 1, "{name}");
    }
}

#[test]
fn who_has_acknowledged_before_its_turn_in_the_sweep_came_is_not_served_again() {
    let (mut world, first, publisher, _) = three_and_a_publisher();
    fill(&mut world);
    world.input(0, Input::Sweep { bytes: 1 });
    reads(&mut world, publisher, &[publish(2, "a", "one")]);
    // Recipients are served one a turn, until the first one is.
    let mut ticks = 0;
    let id = loop {
        world.store(0, usize::MAX);
        let bytes = world.receive(first);
        let publish = packets(&bytes).into_iter().find(|(first, _)| first >> 4 == 3);
        if let Some((_, body)) = publish {
            break body[3..5].to_vec();
        }
        assert!(world.takes_tick(0), "somebody is still to be served");
        world.input(0, Input::Tick);
        ticks += 1;
    };
    assert!(ticks < 3);
    reads(&mut world, first, &[packet(0x40, &[&id])]);
    world.input(0, Input::Sweep { bytes: usize::MAX });
    world.store(0, usize::MAX);
    world.crash();
    for (name, count) in [("s0", 0), ("s1", 1), ("s2", 1)] {
        let (_, answers) = comes(&mut world, name, 0, &[], &[]);
        assert_eq!(heard(&answers).len(), count, "{name}");
    }
}
