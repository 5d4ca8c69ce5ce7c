//! Topic names and filters, section 4.7 of MQTT 5.0.

use crate::support::policies::Rules;
use crate::support::raw::v5;
use crate::support::story::{Client, Heard, Hello, Post, Story, Wish};

/// The topics of what came.
fn topics(story: &mut Story, client: Client) -> Vec<String> {
    story.deliveries(client).into_iter().map(|delivery| delivery.topic).collect()
}

/// v5: MQTT-4.7.0-1
#[test]
fn wildcards_are_for_filters_and_not_for_names() {
    let mut story = Story::new(2);
    let reader = story.connect(Hello::v5("reader"));
    assert_eq!(story.subscribe(reader, "sport/#", 0), 0);
    assert_eq!(story.subscribe(reader, "+/x", 0), 0);
    for topic in ["sport/#", "#", "+", "sport/+/x", "a#", "a+b"] {
        let writer = story.connect(Hello::v5("writer"));
        story.send(writer, &v5::publish(topic.as_bytes(), &[], b"x"));
        story.expect_closed_for(writer, &[0x90]);
    }
    story.expect_silence(reader);
}

/// v5: MQTT-4.7.1-1, MQTT-4.7.1-2
#[test]
fn a_wildcard_stands_alone_on_its_level_and_a_hash_at_the_end() {
    let mut story = Story::new(2);
    let reader = story.connect(Hello::v5("reader"));
    for filter in ["sport#", "a/#/b", "a/b#", "##", "#/", "sport+", "a/b+", "+a/b", "++", "a/+b/c"] {
        assert_eq!(story.subscribe(reader, filter, 1), 0x8F, "{filter}");
    }
    for filter in ["#", "a/#", "+", "+/a", "a/+/b", "+/+", "/+", "+/#"] {
        assert_eq!(story.subscribe(reader, filter, 1), 1, "{filter}");
    }
}

/// v5: MQTT-4.7.2-1, X5-RETAIN-WILDCARD
#[test]
fn a_filter_that_begins_with_a_wildcard_misses_topics_of_the_server() {
    for shards in [1, 3] {
        let limits = pregon::engine::limits::Limits::default();
        let mut story = Story::over(crate::support::world::World::with(shards, limits, Rules::default().policy(), 7));
        let readers = ["#", "+/x", "+/#", "$SYS/#", "$SYS/+"].map(|filter| {
            let reader = story.connect(Hello::v5(&format!("reader of {filter}")));
            story.subscribe(reader, filter, 0);
            reader
        });
        let writer = story.connect(Hello::v5("writer"));
        story.publish(writer, Post::to("$SYS/x").payload("live").retain());
        let counts = readers.map(|reader| story.deliveries(reader).len());
        assert_eq!(counts, [0, 0, 0, 1, 1]);
        for n in 0..100 {
            story.publish(writer, Post::to(&format!("t/{n}")).payload("x").retain());
        }
        // The same holds for what is retained.
        let late = story.connect(Hello::v5("late"));
        story.subscribe(late, "#", 0);
        let mut all = story.deliveries(late);
        assert!(all.iter().all(|delivery| delivery.retain));
        all.sort_by(|a, b| a.topic.cmp(&b.topic));
        all.dedup_by(|a, b| a.topic == b.topic);
        assert_eq!(all.len(), 100);
        assert!(all.iter().all(|delivery| delivery.topic.starts_with("t/")));
        story.subscribe(late, "$SYS/#", 0);
        assert_eq!(topics(&mut story, late), ["$SYS/x"]);
    }
}

/// v5: X5-TOPIC-DOLLARPUB
#[test]
fn nobody_speaks_for_the_broker() {
    let mut story = Story::new(2);
    let reader = story.connect(Hello::v5("reader"));
    let writer = story.connect(Hello::v5("writer"));
    story.subscribe(reader, "$SYS/#", 2);
    story.publish(writer, Post::to("$SYS/x").payload("lie"));
    assert_eq!(story.publish_fully(writer, Post::to("$SYS/x").qos(1).payload("lie")), 0x87);
    assert_eq!(story.publish_fully(writer, Post::to("$SYS").qos(2).payload("lie")), 0x87);
    story.expect_silence(reader);
    story.expect_open(writer);
}

/// v5: MQTT-4.7.3-1, X5-PUB-EMPTYTOPIC
#[test]
fn a_name_or_a_filter_has_a_character() {
    let mut story = Story::new(2);
    let reader = story.connect(Hello::v5("reader"));
    assert_eq!(story.subscribe(reader, "", 0), 0x8F);
    assert_eq!(story.subscribe(reader, "/", 0), 0);
    let writer = story.connect(Hello::v5("writer"));
    story.publish(writer, Post::to("/").payload("x"));
    assert_eq!(topics(&mut story, reader), ["/"]);
    story.send(writer, &v5::publish(b"", &[], b"x"));
    story.expect_closed_for(writer, &[0x82]);
}

/// v5: MQTT-4.7.3-2
#[test]
fn neither_name_nor_filter_has_a_nul() {
    let mut story = Story::new(2);
    let reader = story.connect(Hello::v5("reader"));
    story.subscribe(reader, "#", 0);
    for bad in [v5::publish(b"a\0b", &[], b"x"), v5::subscribe(&[], b"a\0b", 0), v5::subscribe(&[], b"\0", 0)] {
        let client = story.connect(Hello::v5("client"));
        story.send(client, &bad);
        story.expect_closed_for(client, &[0x81]);
    }
    story.expect_silence(reader);
}

/// v5: MQTT-4.7.3-3
#[test]
fn a_name_may_have_65535_bytes() {
    for shards in [1, 3] {
        let mut story = Story::new(shards);
        let reader = story.connect(Hello::v5("reader"));
        let writer = story.connect(Hello::v5("writer"));
        let name = "n".repeat(65_535);
        assert_eq!(story.subscribe(reader, &name, 1), 1);
        assert_eq!(story.publish_fully(writer, Post::to(&name).qos(1).payload("x")), 0);
        assert_eq!(topics(&mut story, reader), [name]);
        // As many levels are more than we offer: refused by name, and nothing else happens.
        let levels = "/".repeat(65_535);
        assert_eq!(story.subscribe(reader, &levels, 1), 0x8F);
        assert_eq!(story.publish_fully(writer, Post::to(&levels).qos(1)), 0x90);
        story.expect_open(reader);
    }
}

/// v5: MQTT-4.7.3-4, X5-TOPIC-NOMATCHPAYLOAD
#[test]
fn names_are_compared_letter_by_letter() {
    let names = [
        "caf\u{e9}",
        "cafe\u{301}",
        "CAF\u{c9}",
        "a b",
        "a  b",
        " a b",
        "a/b",
        "a//b",
        "/a/b",
        "a/b/",
        "A/b",
        "Accounts payable",
        "ACCOUNTS PAYABLE",
        "\u{feff}a/b",
        "a%2Fb",
    ];
    for shards in [1, 3] {
        let mut story = Story::new(shards);
        let readers = names.map(|name| {
            let reader = story.connect(Hello::v5(&format!("reader of {name}")));
            story.subscribe(reader, name, 0);
            reader
        });
        let writer = story.connect(Hello::v5("writer"));
        for name in names {
            story.publish(writer, Post::to(name).payload("x").retain());
        }
        for (reader, name) in readers.into_iter().zip(names) {
            assert_eq!(topics(&mut story, reader), [name]);
            // A look for what is retained compares in the same way.
            story.subscribe(reader, name, 0);
            assert_eq!(topics(&mut story, reader), [name]);
        }
    }
}

/// v5: X5-TOPIC-EDGES
#[test]
fn empty_levels_count_and_a_hash_includes_its_parent() {
    let table = [
        ("sport/#", "sport", true),
        ("sport/#", "sport/", true),
        ("sport/#", "sports", false),
        ("sport/+", "sport", false),
        ("sport/+", "sport/", true),
        ("+", "/finance", false),
        ("+/+", "/finance", true),
        ("/+", "/finance", true),
        ("a/+/b", "a//b", true),
        ("a/+", "a/b/c", false),
        ("+", "a", true),
        ("#", "/", true),
        ("+/#", "a", true),
        ("+/+/#", "a", false),
        ("A", "a", false),
        ("a/", "a", false),
        ("a", "a/", false),
    ];
    for shards in [1, 2] {
        for (filter, topic, is_match) in table {
            let mut story = Story::new(shards);
            let reader = story.connect(Hello::v5("reader"));
            let writer = story.connect(Hello::v5("writer"));
            story.subscribe(reader, filter, 0);
            story.publish(writer, Post::to(topic).payload("x").retain());
            assert_eq!(story.deliveries(reader).len(), usize::from(is_match), "{filter} and {topic}");
            story.subscribe(reader, filter, 0);
            assert_eq!(story.deliveries(reader).len(), usize::from(is_match), "{filter} and {topic}, retained");
        }
    }
}

/// v5: X5-UTF8-CTRL
#[test]
fn control_characters_and_noncharacters_pass_unchanged_everywhere() {
    let mut story = Story::new(2);
    let reader = story.connect(Hello::v5("reader"));
    for name in ["a/\u{1}", "a/\u{1f}", "a/\u{7f}", "a/\u{9f}", "a/\u{ffff}", "a/\u{fdd0}"] {
        assert_eq!(story.subscribe_to(reader, 1, &[Wish::to(name, 1)], None), [1]);
        let writer = story.connect(Hello::v5(name));
        assert_eq!(story.publish_fully(writer, Post::to(name).qos(1).payload("x")), 0);
        assert_eq!(topics(&mut story, reader), [name]);
    }
    story.send(reader, &[0xC0, 0]);
    assert_eq!(story.hear_all(reader), [Heard::PingResp]);
}
