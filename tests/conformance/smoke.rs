//! The story harness itself: a message goes from one client to another, whatever shard they land on.

use crate::support::story::{Hello, Post, Story};

/// v5: MQTT-4.5.0-1
#[test]
fn a_message_reaches_who_wants_it_and_nobody_else() {
    for qos in 0..=2 {
        let mut story = Story::new(3);
        let reader = story.connect(Hello::v5("reader"));
        let other = story.connect(Hello::v311("other"));
        let writer = story.connect(Hello::v5("writer"));
        assert_eq!(story.subscribe(reader, "a/+", qos), qos);
        story.subscribe(other, "b/#", qos);
        let post = Post::to("a/b").qos(qos).payload("x");
        if qos == 0 {
            story.publish(writer, post);
        } else {
            assert_eq!(story.publish_fully(writer, post), 0);
        }
        let delivery = story.delivery(reader);
        assert_eq!((delivery.topic.as_str(), &delivery.payload[..], delivery.qos), ("a/b", &b"x"[..], qos));
        story.expect_silence(other);
    }
}
