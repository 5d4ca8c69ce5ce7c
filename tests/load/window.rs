//! The window of unacknowledged messages.

use pregon::mqtt::PacketType;

use crate::generator::window::{Step, Window};

#[test]
fn an_identifier_is_free_again_when_its_message_is_done() {
    let mut window = Window::new(2);
    let (first, second) = (window.publish(), window.publish());
    assert_eq!((first, second, window.free_count()), (1, 2, 0));
    assert_eq!(window.acknowledged(PacketType::PubAck, second, false), Step::Done);
    assert_eq!((window.free_count(), window.publish()), (1, second));
}

#[test]
fn exactly_once_takes_two_steps() {
    let mut window = Window::new(1);
    let id = window.publish();
    assert_eq!(window.acknowledged(PacketType::PubRec, id, false), Step::Release);
    assert_eq!(window.free_count(), 0);
    assert_eq!(window.acknowledged(PacketType::PubComp, id, false), Step::Done);
    assert_eq!(window.free_count(), 1);
}

#[test]
fn a_refusal_ends_a_message_and_is_told_apart() {
    let mut window = Window::new(1);
    let id = window.publish();
    assert_eq!(window.acknowledged(PacketType::PubRec, id, true), Step::Refused);
    assert_eq!(window.free_count(), 1);
}

#[test]
fn what_nobody_waits_for_is_unexpected() {
    let mut window = Window::new(1);
    for id in [0, 1, 2, u16::MAX] {
        assert_eq!(window.acknowledged(PacketType::PubAck, id, false), Step::Unexpected, "{id}");
    }
    let id = window.publish();
    assert_eq!(window.acknowledged(PacketType::PubComp, id, false), Step::Unexpected);
}

#[test]
fn a_window_shrinks_to_what_the_broker_accepts_and_never_grows() {
    let mut window = Window::new(20);
    window.shrink(5);
    assert_eq!(window.free_count(), 5);
    window.shrink(100);
    assert_eq!(window.free_count(), 5);
}
