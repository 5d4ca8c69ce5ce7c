//! Subscriptions of MQTT 5.0: options, identifiers, overlaps, and what is retained.

use crate::support::policies::{Rules, Verb};
use crate::support::raw;
use crate::support::story::{Client, Delivery, Heard, Hello, Post, Story, Wish, subscribe};
use pregon::engine::limits::{Limits, Overlap};
use pregon::mqtt::Version;
use pregon::mqtt::property::Property;

fn writer(story: &mut Story) -> Client {
    story.connect(Hello::v5("writer"))
}

/// v5: X5-SUBID-MERGE, X5-OVERLAP-DUP
#[test]
fn overlapping_subscriptions_give_one_copy_with_all_identifiers_or_one_copy_each() {
    for overlap in [Overlap::Merged, Overlap::Separate] {
        for shards in [1, 3] {
            let limits = Limits { overlap, ..Default::default() };
            let policy = pregon::engine::auth::policy::Policy::open();
            let mut story = Story::over(crate::support::world::World::with(shards, limits, policy, 7));
            let writer = writer(&mut story);
            let reader = story.connect(Hello::v5("reader"));
            for (id, filter, qos) in [(1, "a/#", 2), (2, "a/b", 1), (3, "+/b", 0), (4, "other", 2)] {
                assert_eq!(story.subscribe_to(reader, 1, &[Wish::to(filter, qos)], Some(id)), [qos]);
            }
            story.publish_fully(writer, Post::to("a/b").qos(2));
            let copies = story.deliveries(reader);
            let mut ids: Vec<u32> = copies.iter().flat_map(|copy| copy.subscription_ids.clone()).collect();
            ids.sort_unstable();
            assert_eq!(ids, [1, 2, 3]);
            let mut levels: Vec<u8> = copies.iter().map(|copy| copy.qos).collect();
            levels.sort_unstable();
            match overlap {
                Overlap::Merged => assert_eq!(levels, [2]),
                Overlap::Separate => assert_eq!(levels, [0, 1, 2]),
            }
        }
    }
}

/// v5: X5-SUBID-REPLACE
#[test]
fn a_new_subscription_of_the_same_filter_replaces_the_identifier() {
    for shards in [1, 3] {
        let mut story = Story::new(shards);
        let writer = writer(&mut story);
        let reader = story.connect(Hello::v5("reader"));
        for (id, expected) in [(Some(1), &[1][..]), (Some(2), &[2]), (None, &[])] {
            story.subscribe_to(reader, 1, &[Wish::to("t", 1)], id);
            story.publish_fully(writer, Post::to("t").qos(1));
            story.publish(writer, Post::to("t"));
            for _ in 0..2 {
                assert_eq!(story.delivery(reader).subscription_ids, expected);
            }
            story.expect_silence(reader);
        }
    }
}

/// v5: X5-SUBID-RETAINED, X5-RETAIN-PROPS, X5-RAP-RETAINED
#[test]
fn a_retained_message_comes_with_flag_identifier_properties_and_the_lower_level() {
    for shards in [1, 3] {
        let mut story = Story::new(shards);
        let writer = writer(&mut story);
        let post = Post::to("t").qos(1).retain().payload("kept").with(Property::User("n", "v"));
        story.publish_fully(writer, post.with(Property::ContentType("text")));
        for (as_published, granted) in [(false, 2), (true, 2), (false, 0), (true, 0)] {
            let reader = story.connect(Hello::v5("reader"));
            let wish = Wish::to("t", granted);
            let wish = if as_published { wish.keep_retain() } else { wish };
            story.subscribe_to(reader, 1, &[wish], Some(7));
            let delivery = story.delivery(reader);
            assert!(delivery.retain);
            assert_eq!(delivery.subscription_ids, [7]);
            assert_eq!(delivery.qos, granted.min(1));
            assert_eq!(delivery.user, [("n".into(), "v".into())]);
            let properties = pregon::mqtt::properties::Properties::parse(
                &delivery.properties,
                pregon::mqtt::property::Place::Publish,
            );
            assert_eq!(properties.unwrap().content_type(), Some("text"));
        }
    }
}

/// v5: X5-RAP-LIVE
#[test]
fn retain_as_published_decides_the_flag_of_live_messages() {
    for shards in [1, 3] {
        for qos in 0..=1 {
            let mut story = Story::new(shards);
            let writer = writer(&mut story);
            let plain = story.connect(Hello::v5("plain"));
            let faithful = story.connect(Hello::v5("faithful"));
            story.subscribe_to(plain, 1, &[Wish::to("t", qos)], None);
            story.subscribe_to(faithful, 1, &[Wish::to("t", qos).keep_retain()], None);
            story.publish(writer, Post::to("t").qos(qos).retain().payload("x"));
            assert!(!story.delivery(plain).retain);
            assert!(story.delivery(faithful).retain);
            story.publish(writer, Post::to("t").qos(qos).payload("x"));
            assert!(!story.delivery(faithful).retain);
        }
    }
}

/// v5: X5-RH-0, X5-RH-1, X5-RH-2
#[test]
fn retain_handling_decides_when_retained_messages_come() {
    for shards in [1, 3] {
        for (handling, again, anew) in [(0, 1, 1), (1, 0, 1), (2, 0, 0)] {
            let mut story = Story::new(shards);
            let writer = writer(&mut story);
            story.publish(writer, Post::to("t").retain().payload("kept"));
            let mut reader = story.connect(Hello::v5("reader").expiry(60));
            let count = |story: &mut Story, reader| {
                story.subscribe_to(reader, 1, &[Wish::to("t", 0).handling(handling)], None);
                story.deliveries(reader).len()
            };
            assert_eq!(count(&mut story, reader), anew, "a new subscription at {handling}");
            assert_eq!(count(&mut story, reader), again, "an existing one");
            story.cut(reader);
            reader = story.connect(Hello::v5("reader").expiry(60).resume());
            assert_eq!(count(&mut story, reader), again, "one of a resumed session");
            story.unsubscribe(reader, 2, &["t"]);
            assert_eq!(count(&mut story, reader), anew, "one that was given up in between");
            story.cut(reader);
            reader = story.connect(Hello::v5("reader").expiry(60));
            assert_eq!(count(&mut story, reader), anew, "one of a new session");
        }
    }
}

/// v5: X5-RH-0, X5-RH-1, X5-RH-2
#[test]
fn who_subscribes_while_a_retained_message_is_on_its_way_gets_it_once_if_it_asks_for_what_is_retained() {
    for (handling, expected) in [(0, 1), (1, 1), (2, 0)] {
        let mut story = Story::new(3);
        let writer = writer(&mut story);
        let shard_of = |story: &Story, client: Client| story.world.links[client.0].at.expect("it is here").0;
        let from = shard_of(&story, writer);
        let (to, home) = ((from + 1) % 3, (from + 2) % 3);
        // Two clients of one shard, and a topic whose home is neither theirs nor the writer's.
        let mut names = (0..).map(|number| format!("reader-{number}"));
        let [told, late] = [(); 2].map(|()| {
            loop {
                let reader = story.connect(Hello::v5(&names.next().expect("there are more")));
                if shard_of(&story, reader) == to {
                    break reader;
                }
            }
        });
        let mut topics = (0..).map(|number| format!("t/{number}"));
        let topic = topics.find(|topic| {
            let before = story.world.shards[home].sizes().retained;
            story.publish(writer, Post::to(topic).retain().payload("before"));
            story.world.shards[home].sizes().retained > before
        });
        let topic = topic.expect("each shard is home to some");
        story.subscribe(told, &topic, 0);
        story.world.send(writer.0, &Post::to(&topic).retain().payload("new").encode(Version::V5));
        story.world.read(writer.0, usize::MAX);
        assert!(story.world.deliver_mesh(from, to, usize::MAX), "who was here has it, and its home does not");
        let wishes = [Wish::to(&topic, 0).handling(handling)];
        story.world.send(late.0, &subscribe(Version::V5, 1, &wishes, None));
        story.world.read(late.0, usize::MAX);
        story.world.drive();
        let heard = story.hear_all(late);
        let is_new = |heard: &&Heard| matches!(heard, Heard::Publish(delivery) if delivery.payload == b"new");
        assert_eq!(heard.iter().filter(is_new).count(), expected, "{handling}: {heard:?}");
    }
}

/// v5: X5-RETAIN-SURVIVE
#[test]
fn a_retained_message_outlives_its_publisher() {
    for shards in [1, 3] {
        let mut story = Story::new(shards);
        let writer = writer(&mut story);
        story.publish(writer, Post::to("t").retain().payload("kept"));
        story.disconnect(writer, 0);
        story.wait_s(120);
        let reader = story.connect(Hello::v5("reader"));
        story.subscribe(reader, "t", 0);
        assert_eq!(story.delivery(reader).payload, b"kept");
    }
}

/// v5: X5-NOLOCAL
#[test]
fn no_local_is_a_matter_of_each_subscription() {
    for shards in [1, 3] {
        for qos in 0..=1 {
            let mut story = Story::new(shards);
            let other = writer(&mut story);
            let client = story.connect(Hello::v5("client"));
            story.subscribe_to(client, 1, &[Wish::to("a/#", 1).no_local()], Some(1));
            story.subscribe_to(client, 2, &[Wish::to("a/b", 1)], Some(2));
            story.publish(client, Post::to("a/b").qos(qos));
            story.publish(client, Post::to("a/c").qos(qos));
            story.forget(client, |heard| matches!(heard, Heard::PubAck(..)));
            let own = story.deliveries(client);
            assert_eq!(own.len(), 1);
            assert_eq!((own[0].topic.as_str(), &own[0].subscription_ids[..]), ("a/b", &[2][..]));
            // Another client's messages come by both.
            story.publish(other, Post::to("a/b").qos(qos));
            let mut ids = story.delivery(client).subscription_ids;
            ids.sort_unstable();
            assert_eq!(ids, [1, 2]);
        }
    }
}

/// v5: X5-NOLOCAL-RECONNECT
#[test]
fn a_session_is_local_to_itself_on_every_connection() {
    for shards in [1, 3] {
        let mut story = Story::new(shards);
        let client = story.connect(Hello::v5("client").expiry(60).receive_maximum(1));
        story.subscribe_to(client, 1, &[Wish::to("a", 1).no_local()], None);
        let will = Hello::v5("client").expiry(60).resume().will("a", "own will", 1, false);
        let client = {
            story.publish_fully(client, Post::to("a").qos(1).payload("own"));
            story.cut(client);
            story.connect(will)
        };
        story.expect_silence(client);
        story.publish_fully(client, Post::to("a").qos(1).payload("own again"));
        story.cut(client);
        let client = story.connect(Hello::v5("client").expiry(60).resume());
        story.expect_silence(client);
    }
}

/// v5: X5-SUB-DENIED
#[test]
fn a_filter_that_is_denied_does_not_spoil_the_others() {
    let mut story = Story::with(|_| {}, Rules::default().deny(Verb::Subscribe, "a/#").policy());
    let writer = writer(&mut story);
    let reader = story.connect(Hello::v5("reader"));
    let wishes = [Wish::to("a/#", 1), Wish::to("b", 0), Wish::to("$share/g/a/#", 0), Wish::to("c", 2)];
    assert_eq!(story.subscribe_to(reader, 1, &wishes, None), [0x87, 0, 0x87, 2]);
    for topic in ["a/x", "b", "c"] {
        story.publish(writer, Post::to(topic));
    }
    let topics: Vec<String> = story.deliveries(reader).into_iter().map(|delivery| delivery.topic).collect();
    assert_eq!(topics, ["b", "c"]);
}

/// v5: X5-SUB-BEFOREACK
#[test]
fn suback_is_never_lost_among_messages_and_nothing_is_missed_behind_it() {
    for shards in [1, 3] {
        let mut story = Story::new(shards);
        let writer = writer(&mut story);
        let reader = story.connect(Hello::v5("reader"));
        for n in 0..50_u16 {
            let topic = format!("t/{n}");
            // Both are on their way at once; the group may live elsewhere, so that SUBACK waits for another shard.
            let group = format!("$share/g{n}/none");
            let filters = [raw::text(&topic), vec![0], raw::text(&group), vec![0]].concat();
            let subscribe = raw::packet(0x82, &[&(n + 1).to_be_bytes(), &[0], &filters]);
            story.world.send(reader.0, &subscribe);
            for _ in 0..3 {
                story.world.send(writer.0, &Post::to(&topic).encode(Version::V5));
            }
            story.world.drive();
            let heard = story.hear_all(reader);
            let acks = heard
                .iter()
                .filter(|heard| matches!(heard, Heard::SubAck(id, codes, _) if *id == n + 1 && codes == &[0, 0]));
            assert_eq!(acks.count(), 1, "{heard:?}");
            story.publish(writer, Post::to(&topic).payload("behind"));
            assert_eq!(story.delivery(reader).payload, b"behind");
        }
    }
}

/// v5: X5-QOS-MAXIN, X5-RETAIN-UNSUP
#[test]
fn a_publish_that_the_broker_does_not_support_ends_the_connection() {
    let mut story = Story::limited(|limits| {
        limits.maximum_qos = pregon::mqtt::QoS::AtLeastOnce;
        limits.retain_available = false;
    });
    let reader = story.connect(Hello::v5("reader"));
    story.subscribe(reader, "t", 0);
    let (client, said) = story.welcome(Hello::v5("client"));
    for property in [[36, 1], [37, 0]] {
        assert!(said.windows(2).any(|window| window == property), "{said:?}");
    }
    story.publish(client, Post::to("t").qos(2));
    story.expect_closed_for(client, &[0x9B]);
    for qos in 0..=1 {
        let client = story.connect(Hello::v5("client"));
        story.publish(client, Post::to("t").qos(qos).retain().payload("x"));
        story.expect_closed_for(client, &[0x9A]);
    }
    story.expect_silence(reader);
    let client = story.connect(Hello::v5("client"));
    assert_eq!(story.publish_fully(client, Post::to("t").qos(1)), 0);
}

/// v5: X5-SUBID-UNSUP, X5-SUB-WILDUNSUP, X5-SHARED-UNSUP
#[test]
fn a_subscription_that_the_broker_does_not_support_is_refused_by_name() {
    let mut story = Story::limited(|limits| {
        limits.subscription_ids_available = false;
        limits.wildcard_available = false;
        limits.shared_available = false;
    });
    let writer = writer(&mut story);
    let (reader, said) = story.welcome(Hello::v5("reader"));
    for property in [[40, 0], [41, 0], [42, 0]] {
        assert!(said.windows(2).any(|window| window == property), "{said:?}");
    }
    let wishes = ["a/#", "+", "$share/g/a", "a"].map(|filter| Wish::to(filter, 0));
    assert_eq!(story.subscribe_to(reader, 1, &wishes, None), [0xA2, 0xA2, 0x9E, 0]);
    story.publish(writer, Post::to("a"));
    assert_eq!(story.deliveries(reader).len(), 1);
    story.ask_to_subscribe(reader, 2, &[Wish::to("b", 0)], Some(1));
    story.expect_closed_for(reader, &[0xA1]);
}

fn topics(deliveries: &[Delivery]) -> Vec<&str> {
    deliveries.iter().map(|delivery| delivery.topic.as_str()).collect()
}

/// v5: X5-ALIAS-IN-UNKNOWN, X5-ALIAS-IN-REMAP
#[test]
fn an_alias_stands_for_the_last_topic_it_was_given_and_for_nothing_before() {
    let mut story = Story::new(2);
    let reader = story.connect(Hello::v5("reader"));
    story.subscribe(reader, "#", 1);
    let client = story.connect(Hello::v5("client").expiry(60));
    for post in [Post::to("a").alias(1), Post::to("b").alias(2), Post::to("").alias(1), Post::to("c").alias(1)] {
        story.publish(client, post);
    }
    assert_eq!(story.publish_fully(client, Post::to("").alias(1).qos(1)), 0);
    story.publish(client, Post::to("").alias(2));
    assert_eq!(topics(&story.deliveries(reader)), ["a", "b", "a", "c", "c", "b"]);
    story.publish(client, Post::to("").alias(3));
    story.expect_closed_for(client, &[0x82]);
    // The next connection of the same session knows none of them.
    let client = story.connect(Hello::v5("client").expiry(60).resume());
    story.publish(client, Post::to("").alias(1));
    story.expect_closed_for(client, &[0x82]);
    story.expect_silence(reader);
}

/// v5: X5-ALIAS-STORED
#[test]
fn what_was_published_by_an_alias_is_kept_by_its_name() {
    for shards in [1, 3] {
        let mut story = Story::new(shards);
        let absent = story.connect(Hello::v5("absent").expiry(60));
        story.subscribe(absent, "t", 1);
        story.cut(absent);
        let writer = writer(&mut story);
        story.publish(writer, Post::to("t").alias(1));
        story.publish_fully(writer, Post::to("").alias(1).qos(1).retain().payload("kept"));
        let late = story.connect(Hello::v5("late"));
        story.subscribe(late, "+", 1);
        let absent = story.connect(Hello::v5("absent").expiry(60).resume());
        for reader in [late, absent] {
            let delivery = story.delivery(reader);
            assert_eq!((delivery.topic.as_str(), delivery.alias, &delivery.payload[..]), ("t", None, &b"kept"[..]));
        }
    }
}

/// v5: X5-ALIAS-DROP
#[test]
fn an_alias_is_known_only_once_its_topic_was_really_sent() {
    for qos in 0..=1 {
        let mut story = Story::new(2);
        let writer = writer(&mut story);
        let hello = Hello::v5("reader").with(Property::TopicAliasMaximum(5)).with(Property::MaximumPacketSize(60));
        let reader = story.connect(hello);
        story.subscribe(reader, "a/long/topic", 1);
        for payload in [vec![7; 60], vec![1], vec![7; 60], vec![2]] {
            story.publish(writer, Post::to("a/long/topic").qos(qos).payload(payload));
        }
        let heard = story.deliveries(reader);
        assert_eq!(topics(&heard), ["a/long/topic", ""]);
        assert_eq!(heard.iter().map(|delivery| delivery.payload[0]).collect::<Vec<_>>(), [1, 2]);
        assert!(heard[0].alias.is_some() && heard[0].alias == heard[1].alias);
    }
}
