//! MQTT 3.1.1, chapter 4.7: topic names, topic filters and what matches what.

use pregon::base::random::Random;
use pregon::engine::limits::Limits;

use crate::support::policies::Rules;
use crate::support::raw::{packet, text};
use crate::support::story::{Hello, Post, Story, Wish};
use crate::support::world::World;

/// The rules of chapter 4.7, word for word.
fn matches(filter: &str, topic: &str) -> bool {
    fn levels(filter: &[&str], topic: &[&str]) -> bool {
        match (filter.split_first(), topic.split_first()) {
            (Some((&"#", _)), _) | (None, None) => true,
            (Some((&"+", filter)), Some((_, topic))) => levels(filter, topic),
            (Some((left, filter)), Some((right, topic))) => left == right && levels(filter, topic),
            (Some(_), None) | (None, Some(_)) => false,
        }
    }
    let is_hidden = topic.starts_with('$') && filter.starts_with(['+', '#']);
    !is_hidden && levels(&filter.split('/').collect::<Vec<_>>(), &topic.split('/').collect::<Vec<_>>())
}

/// v311: MQTT-3.3.2-3
#[test]
fn deliveries_match_as_a_naive_matcher_says() {
    for shards in [1, 3] {
        let mut random = Random::from_seed(47);
        let mut pick = |from: &[&str]| -> String {
            let count = 1 + random.next_u64() % 4;
            let index = |random: &mut Random| usize::try_from(random.next_u64()).unwrap() % from.len();
            (0..count).map(|_| from[index(&mut random)]).collect::<Vec<_>>().join("/")
        };
        let mut story = Story::new(shards);
        let mut readers = Vec::new();
        for n in 0..60 {
            let mut filter = pick(&["a", "b", "+", "+", "", "$x"]);
            if n % 3 == 0 {
                filter += "/#";
            }
            let filter = if filter.is_empty() { "#".to_owned() } else { filter };
            let reader = story.connect(Hello::v311(&format!("r{n}")));
            assert_eq!(story.subscribe(reader, &filter, 0), 0, "{filter}");
            readers.push((reader, filter));
        }
        let writer = story.connect(Hello::v311("writer"));
        for _ in 0..200 {
            let topic = pick(&["a", "b", "c", "", "$x"]);
            let topic = if topic.is_empty() { "$x".to_owned() } else { topic };
            story.publish(writer, Post::to(&topic));
            for (reader, filter) in &readers {
                let deliveries = story.deliveries(*reader);
                assert_eq!(deliveries.len(), usize::from(matches(filter, &topic)), "{filter} {topic}");
                assert!(deliveries.iter().all(|it| it.topic == topic));
            }
        }
    }
}

/// v311: X311-TOPIC-EDGES
#[test]
fn the_examples_of_the_standard_hold() {
    let table = [
        ("sport/tennis/player1/#", "sport/tennis/player1", true),
        ("sport/tennis/player1/#", "sport/tennis/player1/ranking", true),
        ("sport/tennis/player1/#", "sport/tennis/player1/score/wimbledon", true),
        ("sport/#", "sport", true),
        ("sport/#", "sports", false),
        ("#", "any/topic", true),
        ("sport/tennis/+", "sport/tennis/player1", true),
        ("sport/tennis/+", "sport/tennis/player1/ranking", false),
        ("sport/+", "sport", false),
        ("sport/+", "sport/", true),
        ("+", "finance", true),
        ("+", "/finance", false),
        ("+/+", "/finance", true),
        ("/+", "/finance", true),
        ("+/tennis/#", "sport/tennis", true),
        ("/", "/", true),
        ("+/+", "/", true),
        ("a//b", "a/b", false),
        ("a/+/b", "a//b", true),
        ("ACCOUNTS", "Accounts", false),
        ("a b", "a b", true),
    ];
    for shards in [1, 3] {
        for (filter, topic, is_match) in table {
            assert_eq!(matches(filter, topic), is_match, "the naive matcher says of {filter} {topic}");
            let mut story = Story::new(shards);
            let reader = story.connect(Hello::v311("reader"));
            let writer = story.connect(Hello::v311("writer"));
            story.subscribe(reader, filter, 0);
            story.publish(writer, Post::to(topic));
            assert_eq!(story.deliveries(reader).len(), usize::from(is_match), "{filter} {topic}");
        }
    }
}

/// v311: MQTT-4.7.1-2, MQTT-4.7.1-3
#[test]
fn wildcards_in_the_wrong_place_are_refused() {
    let mut story = Story::new(2);
    let client = story.connect(Hello::v311("a"));
    let bad = ["a#", "a/#/b", "#/a", "##", "a/#b", "a+", "+a", "a/b+/c", "++", "+#"];
    let codes = story.subscribe_to(client, 1, &bad.map(|filter| Wish::to(filter, 1)), None);
    assert_eq!(codes, [0x80; 10]);
    let good = ["#", "a/#", "+", "a/+/b", "+/+", "/+", "+/#", "/#"];
    let codes = story.subscribe_to(client, 2, &good.map(|filter| Wish::to(filter, 1)), None);
    assert_eq!(codes, [1; 8]);
}

/// v311: MQTT-4.7.2-1
#[test]
fn a_leading_wildcard_does_not_match_a_dollar_topic() {
    for shards in [1, 3] {
        // A policy without a rule: clients may publish to the broker's own topics as well.
        let world = World::with(shards, Limits::default(), Rules::default().policy(), 7);
        let mut story = Story::over(world);
        let wide = story.connect(Hello::v311("wide"));
        for filter in ["#", "+/x", "+/#", "+/+"] {
            story.subscribe(wide, filter, 0);
        }
        let exact = story.connect(Hello::v311("exact"));
        story.subscribe(exact, "$SYS/#", 0);
        let single = story.connect(Hello::v311("single"));
        story.subscribe(single, "$SYS/+", 0);
        let writer = story.connect(Hello::v311("writer"));
        story.publish(writer, Post::to("$SYS/x").retain().payload("x"));
        assert_eq!(story.delivery(exact).topic, "$SYS/x");
        assert_eq!(story.delivery(single).topic, "$SYS/x");
        story.subscribe(wide, "+/x", 0);
        story.expect_silence(wide);
        story.publish(writer, Post::to("a/x"));
        assert_eq!(story.delivery(wide).topic, "a/x");
    }
}

/// v311: X311-DOLLAR
#[test]
fn clients_do_not_speak_for_the_broker() {
    let mut story = Story::new(2);
    let reader = story.connect(Hello::v311("reader"));
    story.subscribe(reader, "$SYS/#", 2);
    let writer = story.connect(Hello::v311("writer"));
    story.publish(writer, Post::to("$SYS/0").retain().payload("x"));
    assert_eq!(story.publish_fully(writer, Post::to("$SYS/1").qos(1)), 0);
    assert_eq!(story.publish_fully(writer, Post::to("$SYS").qos(2)), 0);
    story.expect_open(writer);
    story.subscribe(reader, "$SYS/#", 0);
    story.expect_silence(reader);
    let dying = story.hello(&Hello::v311("dying").will("$SYS/w", "w", 0, false));
    story.expect_refused(dying, 5);
    story.expect_silence(reader);
}

/// v311: MQTT-4.7.3-1
#[test]
fn topics_and_filters_have_at_least_one_character() {
    let mut story = Story::new(2);
    let watcher = story.connect(Hello::v311("watcher"));
    story.subscribe(watcher, "#", 0);
    let client = story.connect(Hello::v311("a"));
    assert_eq!(story.subscribe(client, "", 0), 0x80);
    for first in [0x30, 0x31] {
        let client = story.connect(Hello::v311("a"));
        story.send(client, &packet(first, &[&text(""), b"x"]));
        story.expect_closed(client);
    }
    story.expect_silence(watcher);
}

/// v311: MQTT-4.7.3-3
#[test]
fn topics_and_filters_of_65535_bytes_are_handled() {
    let mut story = Story::new(3);
    let (reader, writer) = (story.connect(Hello::v311("reader")), story.connect(Hello::v311("writer")));
    let topic = "t".repeat(65_535);
    assert_eq!(story.subscribe(reader, &topic, 1), 1);
    assert_eq!(story.publish_fully(writer, Post::to(&topic).qos(1).payload("x").retain()), 0);
    assert_eq!(story.delivery(reader).topic, topic);
    assert_eq!(story.subscribe(reader, &topic, 0), 0);
    assert_eq!(story.delivery(reader).topic, topic);
    // More levels than the broker allows: refused as a filter, dropped as a topic, and everybody stays connected.
    let deep = "/".repeat(65_535);
    assert_eq!(story.subscribe(reader, &deep, 1), 0x80);
    assert_eq!(story.publish_fully(writer, Post::to(&deep).qos(1)), 0);
    story.expect_open(reader);
    story.expect_open(writer);
}

/// v311: MQTT-4.7.3-4
#[test]
fn topics_are_compared_byte_by_byte() {
    for shards in [1, 3] {
        let mut story = Story::new(shards);
        let reader = story.connect(Hello::v311("reader"));
        story.subscribe_to(reader, 1, &["caf\u{e9}", "Case", "a/b"].map(|filter| Wish::to(filter, 0)), None);
        let writer = story.connect(Hello::v311("writer"));
        for topic in ["cafe\u{301}", "case", "CASE", "a/b ", " a/b", "a/b/", "/a/b", "a//b"] {
            story.publish(writer, Post::to(topic));
            story.expect_silence(reader);
        }
        for topic in ["caf\u{e9}", "Case", "a/b"] {
            story.publish(writer, Post::to(topic));
            assert_eq!(story.hear_all(reader).len(), 1);
        }
    }
}
