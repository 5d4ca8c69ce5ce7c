//! Topic aliases: what they hold whoever says them, and what they stand for where a message was refused.

mod support;

use pregon::engine::auth::policy::Policy;
use pregon::engine::limits::{ALIAS_BYTES_MIN, Limits};
use pregon::engine::stats::Limit;
use pregon::mqtt::property::Property;
use support::policies::{Rules, Verb};
use support::story::{Client, Hello, Post, Story};
use support::world::World;

const NOT_AUTHORIZED: u8 = 0x87;

fn under(policy: Policy) -> Story {
    Story::over(World::with(1, Limits::default(), policy, 7))
}

/// What the shard says that aliases hold.
fn held(story: &Story) -> u64 {
    story.world.shards[0].memory().topic_aliases
}

fn reached(story: &Story) -> u64 {
    story.world.shards[0].stats().limits_reached.of(Limit::TopicAliasBytes)
}

/// A long topic for each number.
fn long(number: u16, bytes: usize) -> String {
    format!("denied/{number:0>width$}", width = bytes - "denied/".len())
}

/// Defines aliases from 1 on until it is closed; how many.
fn define(story: &mut Story, client: Client, bytes: usize) -> u16 {
    for number in 1..=32 {
        story.publish(client, Post::to(&long(number, bytes)).alias(number));
        if story.world.links[client.0].is_closed {
            story.expect_closed_for(client, &[0x97]);
            return number - 1;
        }
    }
    32
}

#[test]
fn threat_1_aliases_of_a_client_hold_64_kib_whether_it_may_publish_or_not() {
    for policy in [Policy::open(), Rules::default().deny(Verb::Publish, "denied/#").policy()] {
        let mut story = under(policy);
        for number in 0..10_u64 {
            let client = story.connect(Hello::v5(&format!("c{number}")));
            let defined = define(&mut story, client, 60_000);
            assert_eq!((defined, reached(&story)), (1, number + 1));
            assert_eq!(held(&story), 0, "with the connection all of it goes");
        }
        let client = story.connect(Hello::v5("ordinary"));
        assert_eq!(define(&mut story, client, 2_000), 32);
        assert!((64_000..70_000).contains(&held(&story)), "{} bytes", held(&story));
        story.cut(client);
        assert_eq!(held(&story), 0);
    }
}

#[test]
fn an_alias_that_is_said_anew_gives_back_what_it_held() {
    let mut story = under(Policy::open());
    let watcher = story.connect(Hello::v5("watcher"));
    story.subscribe(watcher, "#", 0);
    let client = story.connect(Hello::v5("c"));
    let longest = "t".repeat(ALIAS_BYTES_MIN);
    for _ in 0..3 {
        for topic in [&*longest, "short"] {
            story.publish(client, Post::to(topic).alias(32));
            assert_eq!(story.publish_fully(client, Post::to("").alias(32).qos(1)), 0);
        }
    }
    assert!(held(&story) < 2_000, "{} bytes", held(&story));
}

#[test]
fn threat_5_an_alias_of_a_refused_message_stands_and_its_right_is_asked_each_time() {
    for qos in [0, 1] {
        let mut story = under(Rules::default().deny(Verb::Publish, "denied/#").policy());
        let watcher = story.connect(Hello::v5("watcher"));
        story.subscribe(watcher, "#", 0);
        let client = story.connect(Hello::v5("c"));
        let define = Post::to("denied/a").alias(1).qos(qos);
        if qos > 0 {
            assert_eq!(story.publish_fully(client, define), NOT_AUTHORIZED);
        } else {
            story.publish(client, define);
        }
        assert_eq!(story.publish_fully(client, Post::to("").alias(1).qos(1).id(2)), NOT_AUTHORIZED);
        story.expect_open(client);
        assert!(story.deliveries(watcher).is_empty());
        story.world.change_policy(Policy::open());
        story.world.drive();
        assert_eq!(story.publish_fully(client, Post::to("").alias(1).qos(1).id(3)), 0);
        let topics: Vec<String> = story.deliveries(watcher).into_iter().map(|delivery| delivery.topic).collect();
        assert_eq!(topics, ["denied/a"]);
    }
}

#[test]
fn threat_1_aliases_of_ours_hold_64_kib_and_what_has_no_room_is_said_in_full() {
    let mut story = under(Policy::open());
    let reader = story.connect(Hello::v5("reader").with(Property::TopicAliasMaximum(32)));
    story.subscribe(reader, "#", 0);
    let writer = story.connect(Hello::v5("writer"));
    let topics: Vec<String> = (0..5).map(|number| long(number, 30_000)).chain(["short".into()]).collect();
    for round in 0..2 {
        for (number, topic) in topics.iter().enumerate() {
            story.publish(writer, Post::to(topic));
            let delivery = story.delivery(reader);
            let is_aliased = number < 2 || topic == "short";
            assert_eq!(delivery.alias.is_some(), is_aliased, "{number}");
            assert_eq!(delivery.topic.is_empty(), is_aliased && round > 0);
        }
    }
    assert!((60_000..70_000).contains(&held(&story)), "{} bytes", held(&story));
    story.cut(reader);
    assert_eq!(held(&story), 0);
}
