//! MQTT 5.0, section 3.3.2: topic, topic aliases and the properties that a PUBLISH hands on.

use std::collections::BTreeMap;

use pregon::base::random::Random;
use pregon::mqtt::properties::{Place, Properties, Property};

use super::v5_bytes::{NOT_UTF8, field, publish};
use crate::support::story::{Delivery, Heard, Hello, Post, Story};

/// The message reaches one subscriber at once, one after its return, and one as a retained message.
fn by_all_ways(shards: usize, post: &Post) -> [Delivery; 3] {
    let mut story = Story::new(shards);
    let live = story.connect(Hello::v5("live"));
    story.subscribe(live, "t", 1);
    let absent = story.connect(Hello::v5("absent").expiry(600));
    story.subscribe(absent, "t", 1);
    story.cut(absent);
    let writer = story.connect(Hello::v5("writer"));
    assert_eq!(story.publish_fully(writer, post.clone().qos(1).retain()), 0);
    let back = story.connect(Hello::v5("absent").expiry(600).resume());
    let late = story.connect(Hello::v5("late"));
    story.subscribe(late, "t", 1);
    [live, back, late].map(|client| story.delivery(client))
}

/// What a delivery says beside its payload, in the order of the packet.
fn handed_on(delivery: &Delivery) -> Vec<Property<'_>> {
    let properties = Properties::parse(&delivery.properties, Place::Publish).expect("properties of the broker");
    properties.iter().collect()
}

fn is_handed_on_unchanged(property: Property<'_>) {
    for shards in [1, 3] {
        for delivery in by_all_ways(shards, &Post::to("t").payload("x").with(property)) {
            assert_eq!(handed_on(&delivery), [property]);
        }
    }
}

/// The client's bytes end its connection for one of these reasons, and nobody hears of them.
fn ends_unheard(bytes: &[u8], reasons: &[u8]) {
    let mut story = Story::new(2);
    let reader = story.connect(Hello::v5("reader"));
    story.subscribe(reader, "#", 0);
    let writer = story.connect(Hello::v5("writer"));
    story.send(writer, bytes);
    story.expect_closed_for(writer, reasons);
    story.expect_silence(reader);
}

/// v5: MQTT-3.3.2-1
#[test]
fn a_topic_that_is_not_there_or_not_utf8_is_malformed() {
    ends_unheard(&[0x30, 3, 0, 5, b't'], &[0x81]);
    ends_unheard(&[0x30, 1, 0], &[0x81]);
    ends_unheard(&[0x30, 0], &[0x81]);
    for topic in NOT_UTF8 {
        ends_unheard(&publish(topic, b""), &[0x81]);
    }
}

/// v5: MQTT-3.3.2-2
#[test]
fn a_topic_with_a_wildcard_is_invalid() {
    for topic in ["+", "#", "a/+", "a/#", "+/a", "a+", "a/b#"] {
        ends_unheard(&publish(topic.as_bytes(), b""), &[0x90]);
    }
}

/// Section 4.7, level by level, and as slow as it likes.
fn matches(filter: &[&str], topic: &[&str]) -> bool {
    match (filter, topic) {
        (["#"], _) | ([], []) => true,
        (["+", filter @ ..], [_, topic @ ..]) => matches(filter, topic),
        ([level, filter @ ..], [name, topic @ ..]) => level == name && matches(filter, topic),
        _ => false,
    }
}

/// v5: MQTT-3.3.2-3
#[test]
fn deliveries_are_those_that_a_naive_matcher_expects() {
    let mut random = Random::from_seed(33);
    let mut words = |levels: &[&'static str]| -> Vec<&'static str> {
        let count = random.range(1, 4);
        (0..count).map(|_| *random.pick(levels).expect("some")).collect()
    };
    for shards in [1, 3] {
        let mut story = Story::new(shards);
        let writer = story.connect(Hello::v5("writer"));
        let mut readers = Vec::new();
        for number in 0..40 {
            let mut filter = words(&["a", "b", "", "+", "$x"]);
            if number % 3 == 0 {
                filter.push("#");
            }
            let reader = story.connect(Hello::v5(&format!("reader-{number}")));
            assert_eq!(story.subscribe(reader, &filter.join("/"), 0), 0);
            readers.push((reader, filter));
        }
        for number in 0..300 {
            let topic = words(&["a", "b", "", "$x"]);
            let name = topic.join("/");
            if name.is_empty() {
                continue;
            }
            story.publish(writer, Post::to(&name).payload(format!("{number}")));
            for (reader, filter) in &readers {
                let is_hidden = name.starts_with('$') && ["+", "#"].contains(&filter[0]);
                let is_wanted = !is_hidden && matches(filter, &topic);
                let got: Vec<_> = story.deliveries(*reader).into_iter().map(|delivery| delivery.topic).collect();
                assert_eq!(got, vec![name.as_str(); usize::from(is_wanted)], "{filter:?} {topic:?}");
            }
        }
    }
}

/// v5: MQTT-3.3.2-4
#[test]
fn payload_format_is_handed_on_and_none_is_invented() {
    is_handed_on_unchanged(Property::PayloadFormat(true));
    is_handed_on_unchanged(Property::PayloadFormat(false));
    for delivery in by_all_ways(3, &Post::to("t").payload("x")) {
        assert_eq!(handed_on(&delivery), []);
    }
}

/// v5: MQTT-3.3.2-5
#[test]
fn a_message_that_expires_in_the_queue_is_not_delivered() {
    for shards in [1, 3] {
        let mut story = Story::new(shards);
        let reader = story.connect(Hello::v5("reader").expiry(600));
        story.subscribe(reader, "t", 2);
        story.cut(reader);
        let writer = story.connect(Hello::v5("writer"));
        story.publish(writer, Post::to("t").payload("short").qos(1).expiry(1));
        story.publish(writer, Post::to("t").payload("short").qos(2).id(2).expiry(2));
        story.publish(writer, Post::to("t").payload("long").qos(1).id(3).expiry(60));
        story.wait_s(3);
        let reader = story.connect(Hello::v5("reader").expiry(600).resume());
        assert_eq!(story.delivery(reader).payload, b"long");
        story.expect_silence(reader);
    }
}

/// v5: MQTT-3.3.2-5
#[test]
fn a_message_that_expires_behind_a_full_window_is_not_delivered() {
    let mut story = Story::new(2);
    let reader = story.connect(Hello::v5("reader").receive_maximum(1));
    story.subscribe(reader, "t", 1);
    let writer = story.connect(Hello::v5("writer"));
    story.publish(writer, Post::to("t").payload("first").qos(1).id(1));
    story.publish(writer, Post::to("t").payload("short").qos(1).id(2).expiry(1));
    story.publish(writer, Post::to("t").payload("last").qos(1).id(3));
    let first = story.delivery(reader);
    story.wait_s(3);
    story.puback(reader, first.id.expect("QoS 1"));
    assert_eq!(story.delivery(reader).payload, b"last");
}

/// v5: MQTT-3.3.2-6
#[test]
fn the_expiry_that_is_handed_on_is_what_is_left() {
    for shards in [1, 3] {
        let mut story = Story::new(shards);
        let live = story.connect(Hello::v5("live"));
        story.subscribe(live, "t", 1);
        let absent = story.connect(Hello::v5("absent").expiry(600));
        story.subscribe(absent, "t", 1);
        story.cut(absent);
        let writer = story.connect(Hello::v5("writer"));
        story.publish(writer, Post::to("t").payload("x").qos(1).retain().expiry(60));
        assert_eq!(story.delivery(live).expiry, Some(60));
        story.wait_s(5);
        let back = story.connect(Hello::v5("absent").expiry(600).resume());
        assert_eq!(story.delivery(back).expiry, Some(55));
        let late = story.connect(Hello::v5("late"));
        story.subscribe(late, "t", 0);
        assert_eq!(story.delivery(late).expiry, Some(55));
    }
}

/// v5: MQTT-3.3.2-7
#[test]
fn an_alias_ends_with_its_connection() {
    for shards in [1, 3] {
        let mut story = Story::new(shards);
        let hello = || Hello::v5("client").expiry(60).resume().with(Property::TopicAliasMaximum(5));
        let client = story.connect(hello());
        story.subscribe(client, "t", 0);
        story.publish(client, Post::to("t").alias(1));
        story.publish(client, Post::to("").alias(1));
        let topics: Vec<_> = story.deliveries(client).into_iter().map(|delivery| delivery.topic).collect();
        assert_eq!(topics, ["t", ""]);
        story.cut(client);
        let client = story.connect(hello());
        story.publish(client, Post::to("t"));
        assert_eq!(story.delivery(client).topic, "t");
        story.publish(client, Post::to("").alias(1));
        story.expect_closed_for(client, &[0x82]);
    }
}

/// v5: MQTT-3.3.2-8
#[test]
fn topic_alias_0_is_invalid() {
    ends_unheard(&publish(b"t", b"\x23\x00\x00"), &[0x94]);
}

/// v5: MQTT-3.3.2-9
#[test]
fn an_alias_above_the_announced_maximum_is_invalid() {
    for maximum in [0, 1, 7] {
        let mut story = Story::limited(|limits| limits.topic_alias_maximum = maximum);
        let client = story.hello(&Hello::v5("client"));
        let Some(Heard::ConnAck(_, 0, raw)) = story.hear(client) else { panic!("no CONNACK") };
        let announced = Properties::parse(&raw, Place::ConnAck).expect("properties").topic_alias_maximum();
        assert_eq!(announced.unwrap_or(0), maximum);
        if maximum > 0 {
            story.publish(client, Post::to("t").alias(maximum));
            story.expect_open(client);
        }
        story.publish(client, Post::to("t").alias(maximum + 1));
        story.expect_closed_for(client, &[0x94]);
    }
}

/// v5: MQTT-3.3.2-10, MQTT-3.3.2-11, MQTT-3.3.2-8
#[test]
fn aliases_towards_a_client_stay_within_its_maximum_and_lead_to_the_right_topic() {
    for maximum in [0, 1, 10] {
        let mut story = Story::new(3);
        let reader = story.connect(Hello::v5("reader").with(Property::TopicAliasMaximum(maximum)));
        story.subscribe(reader, "t/#", 1);
        let writer = story.connect(Hello::v5("writer"));
        let mut known: BTreeMap<u16, String> = BTreeMap::new();
        let mut shortened = 0;
        for number in 0..100 {
            let topic = format!("t/{}", number % 20);
            story.publish(writer, Post::to(&topic).payload(topic.as_str()).qos(number % 2).id(9));
            let delivery = story.delivery(reader);
            if let Some(alias) = delivery.alias {
                assert!((1..=maximum).contains(&alias), "alias {alias} of {maximum}");
                if !delivery.topic.is_empty() {
                    known.insert(alias, delivery.topic.clone());
                }
            }
            let topic = match delivery.alias {
                Some(alias) if delivery.topic.is_empty() => {
                    shortened += 1;
                    &known[&alias]
                }
                _ => &delivery.topic,
            };
            assert_eq!(topic.as_bytes(), delivery.payload);
            delivery.id.into_iter().for_each(|id| story.puback(reader, id));
        }
        assert!(shortened >= u32::from(maximum), "{shortened} topics were left to the alias");
    }
}

/// v5: MQTT-3.3.2-12
#[test]
fn every_alias_up_to_the_announced_maximum_is_accepted() {
    for shards in [1, 3] {
        let mut story = Story::new(shards);
        let reader = story.connect(Hello::v5("reader"));
        story.subscribe(reader, "t/#", 0);
        let writer = story.hello(&Hello::v5("writer"));
        let Some(Heard::ConnAck(_, 0, raw)) = story.hear(writer) else { panic!("no CONNACK") };
        let maximum = Properties::parse(&raw, Place::ConnAck).expect("properties").topic_alias_maximum();
        let maximum = maximum.expect("aliases are on offer");
        for alias in 1..=maximum {
            story.publish(writer, Post::to(&format!("t/{alias}")).alias(alias));
            assert_eq!(story.delivery(reader).topic, format!("t/{alias}"));
        }
        for alias in (1..=maximum).rev() {
            story.publish(writer, Post::to("").alias(alias));
            assert_eq!(story.delivery(reader).topic, format!("t/{alias}"));
        }
        story.publish(writer, Post::to("t/new").alias(maximum));
        story.publish(writer, Post::to("").alias(maximum));
        assert!(story.deliveries(reader).iter().all(|delivery| delivery.topic == "t/new"));
    }
}

/// v5: MQTT-3.3.2-13
#[test]
fn a_response_topic_that_is_not_utf8_is_malformed() {
    for text in NOT_UTF8 {
        ends_unheard(&publish(b"t", &[&[0x08], &field(text)[..]].concat()), &[0x81]);
    }
}

/// v5: MQTT-3.3.2-14
#[test]
fn a_response_topic_with_a_wildcard_is_an_error() {
    for topic in ["a/#", "a/+", "+", "#"] {
        ends_unheard(&publish(b"t", &[&[0x08], &field(topic.as_bytes())[..]].concat()), &[0x82]);
    }
}

/// v5: MQTT-3.3.2-15
#[test]
fn the_response_topic_is_handed_on() {
    is_handed_on_unchanged(Property::ResponseTopic("r/1"));
}

/// v5: MQTT-3.3.2-16
#[test]
fn correlation_data_is_handed_on() {
    is_handed_on_unchanged(Property::CorrelationData(b"\x00\xff\x10"));
    is_handed_on_unchanged(Property::CorrelationData(b""));
}

/// v5: MQTT-3.3.2-17, MQTT-3.3.2-18
#[test]
fn user_properties_are_handed_on_in_their_order() {
    let mut sent: Vec<(String, String)> = Vec::new();
    for (name, value) in [("b", "2"), ("a", "1"), ("b", "2"), ("a", "1"), ("c", ""), ("", ""), ("", "empty")] {
        sent.push((name.into(), value.into()));
    }
    sent.extend((0..13).map(|number| (format!("n{}", 13 - number), "日本".to_owned())));
    let with_them = |post: Post| sent.iter().fold(post, |post, (name, value)| post.with(Property::User(name, value)));
    let post = Post::to("t").payload("x");
    for shards in [1, 3] {
        for post in [with_them(post.clone()), with_them(post.clone().expiry(60)), with_them(post.clone()).expiry(60)] {
            for delivery in by_all_ways(shards, &post) {
                assert_eq!(delivery.user, sent);
            }
        }
    }
}

/// v5: MQTT-3.3.2-19
#[test]
fn a_content_type_that_is_not_utf8_is_malformed() {
    for text in NOT_UTF8 {
        ends_unheard(&publish(b"t", &[&[0x03], &field(text)[..]].concat()), &[0x81]);
    }
}

/// v5: MQTT-3.3.2-20
#[test]
fn the_content_type_is_handed_on() {
    is_handed_on_unchanged(Property::ContentType("application/json"));
    is_handed_on_unchanged(Property::ContentType(""));
}
