//! MQTT 3.1.1, chapters 3.1.2.5 to 3.1.2.7 and 3.14: wills, and the DISCONNECT that revokes them.

use crate::support::raw::packet;
use crate::support::story::{Client, Hello, Post, Story};

/// A broker with a client that hears everything.
fn watched(shards: usize) -> (Story, Client) {
    let mut story = Story::new(shards);
    let watcher = story.connect(Hello::v311("watcher"));
    story.subscribe(watcher, "#", 2);
    (story, watcher)
}

/// v311: MQTT-3.1.2-8, MQTT-3.14.4-3
#[test]
fn a_will_is_published_when_the_connection_ends_without_disconnect() {
    for shards in [1, 3] {
        for qos in 0..=2 {
            let (mut story, watcher) = watched(shards);
            let lost = story.connect(Hello::v311("lost").will("w", "gone", qos, false));
            let polite = story.connect(Hello::v311("polite").will("w", "never", qos, false));
            story.expect_silence(watcher);
            story.disconnect(polite, 0);
            story.expect_closed(polite);
            story.expect_silence(watcher);
            story.cut(lost);
            let will = story.delivery(watcher);
            assert_eq!((will.topic.as_str(), &will.payload[..], will.qos), ("w", &b"gone"[..], qos));
            story.expect_silence(watcher);
        }
    }
}

/// v311: MQTT-3.1.2-10
#[test]
fn a_will_is_published_once_and_does_not_stay_with_the_session() {
    let (mut story, watcher) = watched(2);
    let client = story.connect(Hello::v311("a").resume().will("w", "gone", 0, false));
    story.cut(client);
    assert_eq!(story.delivery(watcher).payload, b"gone");
    for is_polite in [false, true] {
        let client = story.connect(Hello::v311("a").resume());
        if is_polite {
            story.disconnect(client, 0);
        } else {
            story.cut(client);
        }
        story.expect_silence(watcher);
    }
    let client = story.connect(Hello::v311("a").resume().will("w", "revoked", 0, false));
    story.disconnect(client, 0);
    let client = story.connect(Hello::v311("a").resume());
    story.cut(client);
    story.connect(Hello::v311("a"));
    story.expect_silence(watcher);
}

/// v311: MQTT-3.1.2-12
#[test]
fn without_a_will_nothing_is_published_at_the_end() {
    let (mut story, watcher) = watched(2);
    let client = story.connect(Hello::v311("a"));
    story.cut(client);
    story.wait_s(5);
    story.expect_silence(watcher);
}

/// v311: MQTT-3.1.2-16, MQTT-3.1.2-17
#[test]
fn a_will_is_retained_if_it_asks_for_it_and_only_then() {
    for shards in [1, 3] {
        let (mut story, watcher) = watched(shards);
        for (topic, retain) in [("kept", true), ("passing", false)] {
            let client = story.connect(Hello::v311("a").will(topic, "gone", 1, retain));
            story.cut(client);
            assert!(!story.delivery(watcher).retain, "it is news to an old subscription");
        }
        let late = story.connect(Hello::v311("late"));
        story.subscribe(late, "#", 2);
        let will = story.delivery(late);
        assert_eq!((will.topic.as_str(), will.qos, will.retain), ("kept", 1, true));
        story.expect_silence(late);
    }
}

/// v311: MQTT-3.14.1-1
#[test]
fn a_disconnect_with_wrong_flags_is_an_error_and_leaves_the_will() {
    for flags in 1..16 {
        let (mut story, watcher) = watched(2);
        let client = story.connect(Hello::v311("a").will("w", "gone", 0, false));
        story.send(client, &packet(0xE0 | flags, &[]));
        story.expect_closed(client);
        assert_eq!(story.delivery(watcher).payload, b"gone");
    }
}

/// v311: MQTT-3.14.4-1, MQTT-3.14.4-2
#[test]
fn after_disconnect_the_connection_is_over() {
    for shards in [1, 3] {
        let (mut story, watcher) = watched(shards);
        let client = story.connect(Hello::v311("a"));
        let publish = Post::to("t").payload("late").encode(pregon::mqtt::Version::V311);
        story.send(client, &[packet(0xE0, &[]), publish].concat());
        story.expect_closed(client);
        story.expect_silence(watcher);
    }
}
