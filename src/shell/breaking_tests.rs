//! Lines that break while their clients are held, in a real ring: what was said before is read, and nobody waits for what will not come.

use std::io::Write;
use std::net::TcpStream;

use super::core::Core;
use super::receiving_tests::{Client, Scene};
use crate::engine::connection::ConnectionKey;

/// PINGREQ.
const PING: [u8; 2] = [0xC0, 0];

/// A send to this client fails.
fn break_line(core: &mut Core, key: ConnectionKey) {
    let line = core.lines.get_mut(key).expect("it is connected");
    core.broken.extend(line.breaks(&mut core.late));
}

fn is_here(core: &mut Core, client: &Client) -> bool {
    core.lines.get_mut(client.key).is_some()
}

/// The client goes without a word, by a reset.
fn reset(stream: TcpStream) {
    socket2::SockRef::from(&stream).set_linger(Some(std::time::Duration::ZERO)).unwrap();
    drop(stream);
}

#[test]
fn who_is_held_and_has_closed_is_gone_when_it_takes_nothing_that_is_sent_to_it() {
    let mut scene = Scene::new(64);
    let mut reader = scene.client('r');
    reader.stream.write_all(b"\x82\x06\0\x01\0\x01t\0").unwrap();
    scene.until("SUBSCRIBE", |core| core.report().sizes.subscriptions == 1);
    let mut publisher = scene.client('p');
    scene.pause(&reader, false);
    let reader_key = reader.key;
    drop(reader.stream);
    // The first one is answered by a reset.
    for _ in 0..2 {
        publisher.publish(10);
        scene.until_acknowledged(&mut publisher);
    }
    scene.until("the end of the reader", |core| core.lines.get_mut(reader_key).is_none());
    assert!(is_here(&mut scene.core, &publisher));
}

#[test]
fn who_is_held_and_reset_is_gone_though_nothing_is_sent_to_it() {
    for is_hot in [false, true] {
        let mut scene = Scene::new(64);
        let mut client = scene.client('c');
        if is_hot {
            scene.heat(&mut client);
        }
        scene.pause(&client, false);
        let key = client.key;
        reset(client.stream);
        scene.until("its end", |core| core.lines.get_mut(key).is_none());
    }
}

#[test]
fn what_was_said_before_a_reset_is_handled_when_nothing_holds_it() {
    let mut scene = Scene::new(64);
    let mut client = scene.client('c');
    scene.pause(&client, false);
    client.stream.write_all(&PING).unwrap();
    let received = scene.core.report().stats.packets_received;
    let key = client.key;
    reset(client.stream);
    scene.until("the reset", |core| core.lines.get_mut(key).is_some_and(|line| line.state.is_shut));
    (0..50).for_each(|_| _ = scene.core.turn());
    scene.core.out.reads.push((key, true));
    let now = scene.core.clock.now();
    scene.core.perform(now);
    scene.until("its end", |core| core.lines.get_mut(key).is_none());
    assert_eq!(scene.core.report().stats.packets_received, received + 1);
}

#[test]
fn what_was_said_before_a_send_failed_is_handled_when_nothing_holds_it() {
    let mut scene = Scene::new(64);
    let mut client = scene.client('c');
    scene.pause(&client, false);
    client.stream.write_all(&PING).unwrap();
    let received = scene.core.report().stats.packets_received;
    break_line(&mut scene.core, client.key);
    (0..50).for_each(|_| _ = scene.core.turn());
    assert!(is_here(&mut scene.core, &client), "something is left to be read");
    scene.pause(&client, true);
    scene.until("its end", |core| !is_here(core, &client));
    assert_eq!(scene.core.report().stats.packets_received, received + 1);
}

#[test]
fn who_is_held_while_the_kernel_receives_is_gone_behind_what_it_has_received() {
    let mut scene = Scene::new(64);
    let mut client = scene.client('c');
    scene.heat(&mut client);
    scene.pause(&client, false);
    break_line(&mut scene.core, client.key);
    scene.until("its end", |core| !is_here(core, &client));
}

#[test]
fn threat_10_a_stranger_who_is_held_and_speaks_on_keeps_nobody_awake() {
    let mut scene = Scene::new(64);
    let mut stream = TcpStream::connect(scene.address).unwrap();
    scene.until("a stranger", |core| !core.lines.is_empty());
    let key = scene.newest_key();
    let hold = |core: &mut Core, is_read| {
        core.out.reads.push((key, is_read));
        let now = core.clock.now();
        core.perform(now);
    };
    hold(&mut scene.core, false);
    stream.write_all(&[0x10]).unwrap();
    scene.until("what it says", |core| core.lines.get_mut(key).is_some_and(|line| line.state.has_unread));
    let before = scene.core.report().shell.ring_completions;
    (0..100).for_each(|_| _ = scene.core.turn());
    let told = scene.core.report().shell.ring_completions - before;
    assert!(told < 10, "told {told} times of the same bytes");
    hold(&mut scene.core, true);
    let read = scene.core.report().shell.read_bytes;
    scene.until("what it has said", |core| core.report().shell.read_bytes > read);
    stream.write_all(&[0x0D]).unwrap();
    scene.until("what follows", |core| core.report().shell.read_bytes > read + 1);
}

#[test]
fn threat_3_the_engine_is_told_of_a_few_broken_lines_in_a_turn() {
    const COUNT: usize = 50;
    let mut scene = Scene::new(256);
    let names = ('a'..='z').chain('A'..='X');
    let clients: Vec<Client> = names.map(|name| scene.client(name)).collect();
    assert_eq!(clients.len(), COUNT);
    scene.core.turn.time_us_max = 0;
    for client in &clients {
        scene.pause(client, false);
        break_line(&mut scene.core, client.key);
        break_line(&mut scene.core, client.key); // told once
    }
    let mut left = COUNT;
    while left > 0 {
        assert_eq!(scene.core.broken.len(), left);
        scene.core.turn();
        let told = left - scene.core.broken.len();
        assert!((1..=16).contains(&told), "{told} in one turn");
        left -= told;
    }
    scene.until("the end of all", |core| core.lines.is_empty());
}
