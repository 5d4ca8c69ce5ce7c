//! The life of a session in MQTT 5.0, sections 3.1.2.11.2, 3.1.4 and 4.1: what it keeps, how long, and who takes it over.

use crate::support::story::{Client, Heard, Hello, Post, Story, Wish};
use pregon::mqtt::Version;
use pregon::mqtt::properties::Properties;
use pregon::mqtt::property::Place;

/// Whether a session was waiting; it is left as it was found.
fn is_kept(story: &mut Story, id: &str) -> bool {
    let (client, is_present) = story.connect_present(Hello::v5(id).expiry(u32::MAX).resume());
    story.cut(client);
    is_present
}

fn announced_expiry(said: &[u8]) -> Option<u32> {
    Properties::parse(said, Place::ConnAck).expect("the story has parsed it before").session_expiry()
}

/// v5: MQTT-4.1.0-1
#[test]
fn a_session_without_expiry_lives_as_long_as_its_connection() {
    for shards in [1, 3] {
        let mut story = Story::new(shards);
        let writer = story.connect(Hello::v5("writer"));
        let reader = story.connect(Hello::v5("reader"));
        story.subscribe(reader, "a", 2);
        story.publish_fully(writer, Post::to("a").qos(2));
        let id = story.delivery(reader).id.unwrap();
        story.publish(reader, Post::to("b").qos(2).id(5));
        assert!(matches!(story.hear(reader), Some(Heard::PubRec(5, ..))));
        for _ in 0..10 {
            story.wait_s(60);
            story.expect_open(reader);
        }
        story.pubrec(reader, id);
        assert_eq!(story.hear(reader), Some(Heard::PubRel(id, 0, vec![])));
        story.pubcomp(reader, id);
        story.pubrel(reader, 5);
        assert_eq!(story.hear(reader), Some(Heard::PubComp(5, 0, vec![])));
        story.publish_fully(writer, Post::to("a").qos(2).payload("x"));
        assert_eq!(story.delivery(reader).payload, b"x");
    }
}

/// v5: MQTT-4.1.0-2
#[test]
fn a_session_is_dropped_when_its_time_is_over() {
    for shards in [1, 3] {
        let mut story = Story::new(shards);
        let writer = story.connect(Hello::v5("writer"));
        for (away_s, is_expected) in [(1, true), (4, false)] {
            let reader = story.connect(Hello::v5("reader").expiry(2));
            story.subscribe(reader, "a", 1);
            story.disconnect(reader, 0);
            story.publish_fully(writer, Post::to("a").qos(1).payload("x"));
            story.wait_s(away_s);
            let (reader, is_present) = story.connect_present(Hello::v5("reader").expiry(2).resume());
            assert_eq!(is_present, is_expected);
            assert_eq!(story.deliveries(reader).len(), usize::from(is_expected));
            story.publish_fully(writer, Post::to("a").qos(1).payload("y"));
            assert_eq!(story.deliveries(reader).len(), usize::from(is_expected));
        }
    }
}

/// v5: X5-SESS-EXPIRY0
#[test]
fn without_an_expiry_the_session_ends_with_the_connection() {
    for hello in [Hello::v5("client"), Hello::v5("client").expiry(0)] {
        for shards in [1, 3] {
            let mut story = Story::new(shards);
            let client = story.connect(hello.clone());
            story.subscribe(client, "a", 1);
            story.cut(client);
            let (client, is_present) = story.connect_present(hello.clone().resume());
            assert!(!is_present);
            assert_eq!(story.unsubscribe(client, 1, &["a"]), [0x11]);
        }
    }
}

/// v5: X5-SESS-EXPIRYMAX
#[test]
fn the_largest_expiry_is_for_ever() {
    let mut story = Story::new(2);
    story.world.is_checked = false;
    let (client, said) = story.welcome(Hello::v5("client").expiry(u32::MAX));
    assert_eq!(announced_expiry(&said), None);
    story.cut(client);
    // Seconds as a number end after 136 years; the engine's clock goes on.
    story.world.now = story.world.now.after_ms(1000 * (u64::from(u32::MAX) + 100));
    story.wait_s(1);
    assert!(is_kept(&mut story, "client"));
}

/// v5: X5-SESS-EXPIRYACK
#[test]
fn a_shorter_expiry_than_the_client_wants_is_announced_and_holds() {
    let mut story = Story::limited(|limits| limits.session_expiry_max_s = 60);
    for (wanted, expected) in [(3600, Some(60)), (u32::MAX, Some(60)), (60, None), (0, None)] {
        let (client, said) = story.welcome(Hello::v5("client").expiry(wanted));
        assert_eq!(announced_expiry(&said), expected);
        story.disconnect(client, 0);
    }
    for (away_s, is_expected) in [(59, true), (61, false)] {
        let client = story.connect(Hello::v5("client").expiry(3600));
        story.cut(client);
        story.wait_s(away_s);
        let (client, is_present) = story.connect_present(Hello::v5("client").resume());
        assert_eq!(is_present, is_expected, "away for {away_s} s");
        story.disconnect(client, 0);
    }
}

/// v5: X5-SESS-EXPIRYDISC
#[test]
fn disconnect_may_change_the_expiry() {
    let mut story = Story::new(2);
    for (last_word, away_s, is_expected) in [(0, 0, false), (600, 500, true), (600, 601, false), (2, 3, false)] {
        let client = story.connect(Hello::v5("client").expiry(300));
        story.disconnect_for(client, 0, last_word);
        story.expect_closed(client);
        story.wait_s(away_s);
        let (client, is_present) = story.connect_present(Hello::v5("client").resume());
        assert_eq!(is_present, is_expected, "{last_word} s and away for {away_s} s");
        story.disconnect(client, 0);
    }
}

/// v5: X5-SESS-EXPIRYDISC0
#[test]
fn a_session_that_was_to_end_cannot_be_kept_by_a_last_word() {
    let mut story = Story::new(2);
    let client = story.connect(Hello::v5("client"));
    story.disconnect_for(client, 0, 60);
    story.expect_closed_for(client, &[0x82]);
    assert!(!is_kept(&mut story, "client"));
}

/// v5: X5-SESS-STATE, X5-SUBID-RESUME, X5-NOLOCAL-RECONNECT
#[test]
fn a_session_keeps_subscriptions_with_their_options_and_both_directions() {
    for shards in [1, 3] {
        let mut story = Story::new(shards);
        let writer = story.connect(Hello::v5("writer"));
        let client = story.connect(Hello::v5("client").expiry(60));
        story.subscribe_to(client, 1, &[Wish::to("own", 1).no_local()], None);
        story.subscribe_to(client, 2, &[Wish::to("a", 1).keep_retain()], Some(5));
        // Outgoing: unacknowledged at each level; incoming: between PUBLISH and PUBREL.
        story.publish_fully(writer, Post::to("a").qos(1).payload("sent"));
        let sent = story.delivery(client);
        story.publish_fully(client, Post::to("own").qos(1).payload("before"));
        story.publish(client, Post::to("b").qos(2).id(9));
        assert!(matches!(story.hear_all(client)[..], [Heard::PubRec(9, ..)]));
        story.cut(client);
        story.publish_fully(writer, Post::to("a").qos(1).retain().payload("queued"));

        let (client, is_present) = story.connect_present(Hello::v5("client").expiry(60).resume());
        assert!(is_present);
        let came = story.deliveries(client);
        assert_eq!(came.iter().map(|delivery| &delivery.payload[..]).collect::<Vec<_>>(), [&b"sent"[..], b"queued"]);
        assert_eq!((came[0].id, came[0].dup), (sent.id, true));
        assert_eq!((came[1].retain, &came[1].subscription_ids[..]), (true, &[5][..]));
        story.pubrel(client, 9);
        assert_eq!(story.hear(client), Some(Heard::PubComp(9, 0, vec![])));
        // The options hold for what comes now.
        story.publish_fully(client, Post::to("own").qos(1).payload("after"));
        story.publish(writer, Post::to("a").retain().payload("live"));
        let live = story.delivery(client);
        assert_eq!((live.retain, &live.subscription_ids[..]), (true, &[5][..]));
        story.expect_silence(client);
    }
}

/// v5: X5-SESS-QOS0QUEUE
#[test]
fn qos_0_waits_for_an_absent_client_where_the_operator_wants_it() {
    for is_kept in [false, true] {
        let mut story = Story::limited(|limits| limits.queue_qos0 = is_kept);
        let writer = story.connect(Hello::v5("writer"));
        let reader = story.connect(Hello::v5("reader").expiry(60));
        story.subscribe(reader, "a", 0);
        story.cut(reader);
        story.publish(writer, Post::to("a").payload("x"));
        let reader = story.connect(Hello::v5("reader").expiry(60).resume());
        assert_eq!(story.deliveries(reader).len(), usize::from(is_kept));
    }
}

/// v5: X5-TAKEOVER-8E
#[test]
fn a_new_connection_takes_the_session_over_and_tells_the_old_one() {
    for shards in [1, 3] {
        let mut story = Story::new(shards);
        let writer = story.connect(Hello::v5("writer"));
        let first = story.connect(Hello::v5("client").expiry(60));
        story.subscribe(first, "a", 1);
        let (second, is_present) = story.connect_present(Hello::v5("client").expiry(60).resume());
        assert!(is_present);
        story.expect_closed_for(first, &[0x8E]);
        story.publish_fully(writer, Post::to("a").qos(1));
        assert_eq!(story.deliveries(second).len(), 1);
        let (third, is_present) = story.connect_present(Hello::v5("client").expiry(60));
        assert!(!is_present, "a clean start");
        story.expect_closed_for(second, &[0x8E]);
        story.publish_fully(writer, Post::to("a").qos(1));
        story.expect_silence(third);
    }
}

fn reader_of_wills(story: &mut Story) -> Client {
    let reader = story.connect(Hello::v5("reader"));
    story.subscribe(reader, "will", 1);
    reader
}

/// v5: X5-TAKEOVER-WILL
#[test]
fn a_take_over_sends_the_old_will_unless_it_may_wait_and_the_session_goes_on() {
    use pregon::mqtt::property::Property;
    for shards in [1, 3] {
        for (delay_s, is_clean, is_told) in [(0, false, true), (10, false, false), (10, true, true), (0, true, true)] {
            let mut story = Story::new(shards);
            let reader = reader_of_wills(&mut story);
            let hello = Hello::v5("client").expiry(60);
            let will = hello.clone().will("will", "old", 0, false).will_with(Property::WillDelay(delay_s));
            story.connect(will);
            story.connect(if is_clean { hello } else { hello.resume() });
            story.wait_s(30);
            let heard = story.deliveries(reader);
            assert_eq!(heard.len(), usize::from(is_told), "delay {delay_s}, clean start {is_clean}");
        }
    }
}

/// v5: X5-TAKEOVER-V3, X5-DISC-V3
#[test]
fn a_3x_client_that_is_taken_over_is_just_closed() {
    for version in [Version::V31, Version::V311] {
        let mut story = Story::new(2);
        let old = story.connect(Hello::new(version, "client").resume());
        story.subscribe(old, "a", 1);
        let (new, is_present) = story.connect_present(Hello::v5("client").expiry(60).resume());
        assert!(is_present);
        story.expect_closed(old);
        // The other way round the newer one is told.
        story.connect(Hello::new(version, "client").resume());
        story.expect_closed_for(new, &[0x8E]);
        // Nor is there a word for an error.
        let client = story.connect(Hello::new(version, "other"));
        story.send(client, &[0xC1, 0]);
        story.expect_closed(client);
        let client = story.connect(Hello::new(version, "other").keep_alive(2));
        story.wait_s(4);
        story.expect_closed(client);
    }
}
