//! Wills of sessions that end, when the power was gone in between.

use pregon::engine::input::Input;
use pregon::engine::shard::Shard;

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

/// How many wills each shard has sent to others.
fn forwards(world: &World) -> Vec<u64> {
    world.shards.iter().map(|shard| shard.stats().forwards_sent).collect()
}

#[test]
fn threat_3_wills_that_were_on_their_way_are_sent_again_some_in_each_input() {
    const CLIENTS: usize = 120;
    const COPIES_PER_INPUT: usize = 40;
    let mut world = broker(3);
    let (watcher, _) = comes(&mut world, "watcher", 0, &[], &[subscribe("will", 1)]);
    world.cut(watcher);
    let names: Vec<String> = (0..CLIENTS).map(|number| format!("mortal {number}")).collect();
    let links: Vec<usize> = names.iter().map(|name| comes_with_will(&mut world, name, &[])).collect();
    comes_with_will(&mut world, "stays", &[]);
    for link in links {
        world.cut(link);
    }
    let owed: u64 = forwards(&world).iter().sum();
    assert!((10..CLIENTS as u64).contains(&owed), "{owed} wills are for another shard");
    // All that the shards have noted is safe, and no letter arrives.
    (0..3).for_each(|shard| _ = world.store(shard, usize::MAX));
    world.crash();
    world.set_copies_per_input_max(COPIES_PER_INPUT);
    assert!(world.shards.iter().all(Shard::awaits_others), "nobody has spoken");
    let mut most = 0;
    while world.shards.iter().any(Shard::awaits_others) {
        for shard in 0..3 {
            for from in 0..3 {
                let before = forwards(&world)[shard];
                world.deliver_mesh(from, shard, usize::MAX);
                most = most.max(forwards(&world)[shard] - before);
            }
            let before = forwards(&world)[shard];
            if world.takes_tick(shard) {
                world.input(shard, Input::Tick);
            }
            let sent = forwards(&world)[shard] - before;
            most = most.max(sent);
            let state = &world.shards[shard];
            assert!(!state.awaits_others() || state.stats().wills_published == 0, "a new one comes behind these");
        }
    }
    assert!((1..=COPIES_PER_INPUT as u64 / 4).contains(&most), "{most} in one input");
    let sent: u64 = forwards(&world).iter().sum();
    assert!((owed..=owed + 1).contains(&sent), "{sent} of {owed}, each once, and one that is new");
    world.drive();
    let mut heard: Vec<String> = Vec::new();
    loop {
        let more = told(&mut world);
        if more.is_empty() {
            break;
        }
        heard.extend(more);
    }
    heard.sort_unstable();
    let mut expected = names;
    expected.push("stays".into());
    expected.sort_unstable();
    assert_eq!(heard, expected);
}
