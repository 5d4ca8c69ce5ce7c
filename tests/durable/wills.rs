//! Wills of sessions that end, when the power was gone in between.

use crate::facts::{broker, comes, heard, subscribe};
use crate::support::raw::{packet, text};
use crate::support::world::World;

/// For so long a session outlives its connection.
const EXPIRY_S: u8 = 10;

/// Connects with a will in a session of some seconds, and says more.
fn comes_with_will(world: &mut World, name: &str, says: &[Vec<u8>]) -> usize {
    let link = world.connect();
    let properties = [5, 0x11, 0, 0, 0, EXPIRY_S];
    let will = [vec![0], text("will"), text(name)].concat();
    world.send(link, &packet(0x10, &[&text("MQTT"), &[5, 0x0c, 0, 0], &properties, &text(name), &will]));
    for packet in says {
        world.send(link, packet);
    }
    world.drive();
    link
}

/// The wills that a watcher is told of, who comes back for them.
fn told(world: &mut World) -> Vec<String> {
    let (link, answers) = comes(world, "watcher", 0, &[], &[]);
    let told = heard(&answers);
    for (_, body) in &told {
        world.send(link, &packet(0x40, &[&body.as_bytes()[6..8]]));
    }
    world.drive();
    world.cut(link);
    told.into_iter().map(|(_, body)| body[8..].to_owned()).collect()
}

#[test]
fn a_will_that_was_taken_back_does_not_come_when_its_session_ends() {
    for shards in [1, 3] {
        let mut world = broker(shards);
        let (watcher, _) = comes(&mut world, "watcher", 0, &[], &[subscribe("will", 1)]);
        world.cut(watcher);
        let mortal = comes_with_will(&mut world, "mortal", &[]);
        comes_with_will(&mut world, "polite", &[packet(0xe0, &[])]);
        world.crash();
        assert!(world.links[mortal].is_closed);
        world.drive();
        assert_eq!(told(&mut world), ["mortal"]);
        world.advance(u64::from(EXPIRY_S) * 1_000);
        world.crash();
        world.advance(u64::from(EXPIRY_S) * 1_000);
        assert_eq!(told(&mut world), [""; 0], "who said farewell left none, and the other one had his");
    }
}
