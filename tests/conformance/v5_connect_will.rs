//! MQTT 5.0, section 3.1: the will, from CONNECT to its publication.

use pregon::mqtt::property::Property;

use crate::support::story::{Client, Hello, Story};

/// A broker, and a client that subscribes to `w`.
fn watched(shards: usize) -> (Story, Client) {
    let mut story = Story::new(shards);
    let watcher = story.connect(Hello::v5("watcher"));
    story.subscribe(watcher, "w", 2);
    (story, watcher)
}

/// A client whose will is published so many seconds after its death.
fn mortal(expiry_s: u32, delay_s: u32) -> Hello {
    Hello::v5("c").expiry(expiry_s).will("w", "gone", 1, false).will_with(Property::WillDelay(delay_s))
}

#[track_caller]
fn expect_will(story: &mut Story, watcher: Client) {
    let delivery = story.delivery(watcher);
    assert_eq!((delivery.topic.as_str(), &delivery.payload[..]), ("w", &b"gone"[..]));
    story.expect_silence(watcher);
}

/// v5: MQTT-3.1.2-7
#[test]
fn the_will_is_kept_until_its_client_is_lost() {
    for shards in [1, 3] {
        for expiry_s in [0, 60] {
            let (mut story, watcher) = watched(shards);
            let client = story.connect(mortal(expiry_s, 0));
            story.wait_s(100);
            story.expect_silence(watcher);
            story.cut(client);
            expect_will(&mut story, watcher);
            story.wait_s(100);
            story.expect_silence(watcher);
        }
    }
}

/// v5: MQTT-3.1.2-8
#[test]
fn the_will_waits_for_its_delay_or_the_end_of_its_session() {
    for shards in [1, 3] {
        for (expiry_s, delay_s) in [(60, 2), (2, 60), (2, 2)] {
            let (mut story, watcher) = watched(shards);
            let client = story.connect(mortal(expiry_s, delay_s));
            story.cut(client);
            story.wait_s(1);
            story.expect_silence(watcher);
            story.wait_s(2);
            expect_will(&mut story, watcher);
        }
    }
}

/// v5: MQTT-3.1.2-8, MQTT-3.1.2-10
#[test]
fn a_normal_disconnect_takes_the_will_back() {
    for (expiry_s, delay_s) in [(0, 0), (60, 0), (60, 2), (2, 60)] {
        let (mut story, watcher) = watched(3);
        let client = story.connect(mortal(expiry_s, delay_s));
        story.disconnect(client, 0x00);
        story.expect_closed(client);
        story.wait_s(100);
        story.expect_silence(watcher);
        let client = story.connect(mortal(expiry_s, delay_s));
        story.disconnect(client, 0x04);
        story.wait_s(100);
        expect_will(&mut story, watcher);
    }
}

/// v5: MQTT-3.1.2-10
#[test]
fn a_will_is_published_once() {
    for shards in [1, 3] {
        let (mut story, watcher) = watched(shards);
        let client = story.connect(mortal(60, 0));
        story.cut(client);
        expect_will(&mut story, watcher);
        let (client, is_present) = story.connect_present(Hello::v5("c").resume().expiry(60));
        assert!(is_present);
        story.cut(client);
        story.wait_s(100);
        story.expect_silence(watcher);
    }
}

/// v5: MQTT-3.1.2-14, MQTT-3.1.2-15
#[test]
fn a_will_is_retained_as_its_flag_says() {
    for shards in [1, 3] {
        for is_retained in [false, true] {
            let (mut story, watcher) = watched(shards);
            let client = story.connect(Hello::v5("c").will("w", "gone", 1, is_retained));
            story.cut(client);
            assert!(!story.delivery(watcher).retain, "it is a live message for who has subscribed before");
            let late = story.connect(Hello::v5("late"));
            story.subscribe(late, "w", 1);
            let retained = story.deliveries(late);
            assert_eq!(retained.len(), usize::from(is_retained));
            assert!(retained.iter().all(|delivery| delivery.retain && delivery.payload == b"gone"));
        }
    }
}

/// v5: MQTT-3.1.2-8, MQTT-3.1.3-9
#[test]
fn who_comes_back_in_time_takes_the_will_back() {
    for shards in [1, 3] {
        let (mut story, watcher) = watched(shards);
        let client = story.connect(mortal(60, 3));
        story.cut(client);
        story.wait_s(1);
        let (client, is_present) = story.connect_present(Hello::v5("c").resume().expiry(60));
        assert!(is_present);
        story.wait_s(5);
        story.expect_silence(watcher);
        story.cut(client);
        story.wait_s(100);
        story.expect_silence(watcher);
    }
}

/// v5: MQTT-3.1.3-9
#[test]
fn who_takes_the_session_over_takes_the_delayed_will_back() {
    let (mut story, watcher) = watched(3);
    let older = story.connect(mortal(60, 3));
    let newer = story.connect(mortal(60, 3).resume());
    story.expect_closed_for(older, &[0x8e]);
    story.wait_s(5);
    story.expect_silence(watcher);
    story.cut(newer);
    story.wait_s(4);
    expect_will(&mut story, watcher);
}

/// v5: MQTT-3.1.3-10
#[test]
fn user_properties_of_a_will_keep_their_order() {
    for shards in [1, 3] {
        let (mut story, watcher) = watched(shards);
        let pairs = [("a", "1"), ("b", "2"), ("a", "3"), ("", ""), ("a", "1")];
        let mut hello = mortal(60, 1);
        for (name, value) in pairs {
            hello = hello.will_with(Property::User(name, value));
        }
        let client = story.connect(hello);
        story.cut(client);
        story.wait_s(2);
        let expected = pairs.map(|(name, value)| (name.to_owned(), value.to_owned()));
        assert_eq!(story.delivery(watcher).user, expected);
    }
}
