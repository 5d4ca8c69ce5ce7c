//! Lines that wait for their turn to be sent, in a real ring: how many of them a turn sends that has no time.

use std::io::Write;

use super::core::Core;
use super::receiving_tests::{Client, Scene};
use crate::engine::change::Serial;
use crate::engine::output::Outputs;

/// Lines that a turn sends whatever the time.
const LINES_MIN: usize = 7;

/// So many readers of one topic that a message for it is one for many, and a turn that has no time to send it.
fn audience(scene: &mut Scene) -> Vec<Client> {
    let names = ('a'..='z').chain('A'..='M');
    let mut readers: Vec<Client> = names.map(|name| scene.client(name)).collect();
    for reader in &mut readers {
        reader.stream.write_all(b"\x82\x06\0\x01\0\x01t\0").unwrap();
    }
    let count = readers.len();
    scene.until("SUBSCRIBE", |core| core.report().sizes.subscriptions == count);
    scene.core.turn.time_us_max = 0;
    readers
}

/// A message for many, of which these get their copies once this change is safe.
fn send_to_many(core: &mut Core, readers: &[Client], promises: Serial) {
    let recipients: Vec<_> = readers.iter().map(Client::as_recipient).collect();
    let write = |out: &mut Outputs| {
        let draft = out.draft(None, |head| {
            head.extend_from_slice(b"\x30\x04\0\x01tx");
            None
        });
        out.send(draft, &recipients);
    };
    core.out.widely(true, |out| out.promising(promises, write));
}

fn waiting(core: &Core) -> usize {
    usize::try_from(core.late.len().0).unwrap()
}

#[test]
fn the_turn_in_which_a_line_forms_sends_for_one_time_as_any_other() {
    let mut scene = Scene::new(256);
    let readers = audience(&mut scene);
    let mut publisher = scene.client('0');
    publisher.publish(10);
    scene.until("a line", |core| waiting(core) > 0);
    let mut left = readers.len() - LINES_MIN;
    assert_eq!(waiting(&scene.core), left);
    while left > 0 {
        scene.core.turn();
        let now_left = waiting(&scene.core);
        assert!((1..=LINES_MIN).contains(&(left - now_left)), "{left} waited, and then {now_left}");
        left = now_left;
    }
}

#[test]
fn a_turn_that_sends_twice_sends_for_one_time() {
    let mut scene = Scene::new(256);
    let readers = audience(&mut scene);
    let now = scene.core.clock.now();
    scene.core.turn();
    for readers in readers.chunks(LINES_MIN) {
        send_to_many(&mut scene.core, readers, Serial::NONE);
        scene.core.perform(now);
    }
    assert_eq!(waiting(&scene.core), readers.len() - LINES_MIN);
}

#[test]
fn what_many_get_when_a_change_is_safe_is_sent_for_one_time_as_well() {
    let mut scene = Scene::new(256);
    let mut readers = audience(&mut scene);
    let (now, change) = (scene.core.clock.now(), Serial::new(5));
    scene.core.turn();
    send_to_many(&mut scene.core, &readers, change);
    scene.core.perform(now);
    assert_eq!((waiting(&scene.core), scene.core.promised_wide.len()), (0, readers.len()), "nothing is safe");
    scene.core.keep_promises(change);
    assert_eq!((waiting(&scene.core), scene.core.has_promised()), (readers.len() - LINES_MIN, false));
    for reader in &mut readers {
        scene.until("the message", |_| reader.has_heard(b"\x90\x03\0\x01\0\x30\x04\0\x01tx"));
    }
}

#[test]
fn who_waits_gets_all_in_its_order_by_the_turns_that_follow() {
    let mut scene = Scene::new(256);
    let mut readers = audience(&mut scene);
    let mut publisher = scene.client('0');
    let mut expected = vec![0x90, 3, 0, 1, 0];
    for payload in 1..=5_u8 {
        publisher.publish(u16::from(payload));
        // At quality of service 0 there is no identifier.
        expected.extend([0x30, payload + 3, 0, 1, b't']);
        expected.resize(expected.len() + usize::from(payload), b'x');
    }
    scene.until_acknowledged(&mut publisher);
    for reader in &mut readers {
        scene.until("all messages", |_| reader.has_heard(&expected));
    }
    assert_eq!(scene.core.late.len(), (0, 0));
}
