//! MQTT 3.1.1: what a session is and how long it lives; keep-alive, take-over, Session Present.

use pregon::engine::auth::policy::Policy;

use crate::support::policies::{Rules, Users};
use crate::support::story::{Heard, Hello, Post, Story};

/// v311: MQTT-3.1.2-4, MQTT-3.1.3-2, MQTT-3.2.2-2
#[test]
fn a_session_is_found_again_under_its_client_identifier_and_under_no_other() {
    for shards in [1, 3] {
        let mut story = Story::new(shards);
        let writer = story.connect(Hello::v311("writer"));
        for id in ["a", "b", "c"] {
            let (reader, is_present) = story.connect_present(Hello::v311(id).resume());
            assert!(!is_present, "there is nothing to resume yet");
            story.subscribe(reader, id, 1);
            story.cut(reader);
            story.publish_fully(writer, Post::to(id).qos(1).payload("x"));
            let (other, is_present) = story.connect_present(Hello::v311(&format!("{id}2")).resume());
            assert!(!is_present);
            story.expect_silence(other);
            let reader = story.hello(&Hello::v311(id).resume());
            assert_eq!(story.world.receive(reader.0)[..4], [0x20, 2, 1, 0]);
            // It is kept after this connection as well.
            story.puback(reader, 1);
            story.disconnect(reader, 0);
            story.publish_fully(writer, Post::to(id).qos(1).payload("y"));
            let (reader, is_present) = story.connect_present(Hello::v311(id).resume());
            assert!(is_present);
            assert_eq!(story.delivery(reader).payload, b"y");
        }
    }
}

/// v311: MQTT-3.1.2-5, X311-SESS-STORE
#[test]
fn an_absent_client_finds_its_qos_1_and_2_messages_and_its_handshakes() {
    for shards in [1, 3] {
        let mut story = Story::new(shards);
        let reader = story.connect(Hello::v311("reader").resume());
        story.subscribe(reader, "t/#", 2);
        let writer = story.connect(Hello::v311("writer"));
        story.publish_fully(writer, Post::to("t/open").qos(2).payload("open"));
        assert_eq!(story.delivery(reader).id, Some(1));
        story.disconnect(reader, 0);
        story.publish(writer, Post::to("t/0").payload("0"));
        story.publish_fully(writer, Post::to("t/1").qos(1).payload("1"));
        story.publish_fully(writer, Post::to("t/2").qos(2).payload("2"));
        let (reader, is_present) = story.connect_present(Hello::v311("reader").resume());
        assert!(is_present);
        let deliveries = story.deliveries(reader);
        let seen: Vec<_> = deliveries.iter().map(|it| (&it.payload[..], it.qos, it.dup, it.id)).collect();
        let expected = [(&b"open"[..], 2, true, Some(1)), (b"1", 1, false, Some(2)), (b"2", 2, false, Some(3))];
        assert_eq!(seen, expected);
        story.publish(writer, Post::to("t/live"));
        assert_eq!(story.delivery(reader).topic, "t/live", "the subscription is still there");
    }
}

/// v311: MQTT-3.1.2-6, MQTT-3.1.4-3, MQTT-3.2.2-1
#[test]
fn a_clean_session_forgets_the_old_one_and_ends_with_its_connection() {
    for shards in [1, 3] {
        let mut story = Story::new(shards);
        let writer = story.connect(Hello::v311("writer"));
        // Whether a session is stored before; Clean Session now; Session Present.
        for (is_stored, is_clean, is_present) in
            [(false, false, false), (false, true, false), (true, false, true), (true, true, false)]
        {
            let before = Hello::v311("a");
            let client = story.connect(if is_stored { before.resume() } else { before });
            story.subscribe(client, "t", 1);
            story.disconnect(client, 0);
            story.publish_fully(writer, Post::to("t").qos(1));
            let now = if is_clean { Hello::v311("a") } else { Hello::v311("a").resume() };
            let (client, found) = story.connect_present(now);
            assert_eq!(found, is_present, "stored {is_stored}, clean {is_clean}");
            assert_eq!(story.deliveries(client).len(), usize::from(is_present));
            story.publish(writer, Post::to("t"));
            assert_eq!(story.deliveries(client).len(), usize::from(is_present), "subscriptions go with the session");
            story.cut(client);
            let (client, found) = story.connect_present(Hello::v311("a").resume());
            assert_eq!(found, !is_clean, "stored {is_stored}, clean {is_clean}");
            story.disconnect(client, 0);
            story.connect(Hello::v311("a")); // nothing is left for the next round
        }
    }
}

/// v311: MQTT-3.1.2.7
#[test]
fn a_retained_message_outlives_the_session_of_its_publisher() {
    for shards in [1, 3] {
        let mut story = Story::new(shards);
        let writer = story.connect(Hello::v311("writer"));
        story.publish(writer, Post::to("t").retain().payload("x"));
        story.disconnect(writer, 0);
        let writer = story.connect(Hello::v311("writer"));
        story.cut(writer);
        let reader = story.connect(Hello::v311("reader"));
        story.subscribe(reader, "t", 0);
        assert_eq!(story.delivery(reader).payload, b"x");
    }
}

/// v311: MQTT-3.1.4-2, X311-TAKEOVER
#[test]
fn a_newer_connection_ends_the_older_one_and_its_will_is_published() {
    for shards in [1, 3] {
        for is_clean in [true, false] {
            let mut story = Story::new(shards);
            let watcher = story.connect(Hello::v311("watcher"));
            story.subscribe(watcher, "w", 0);
            let hello = |id| if is_clean { Hello::v311(id) } else { Hello::v311(id).resume() };
            let older = story.connect(hello("a").will("w", "older", 0, false));
            let bystander = story.connect(hello("b"));
            let (newer, is_present) = story.connect_present(hello("a").will("w", "newer", 0, false));
            assert_eq!(is_present, !is_clean);
            story.expect_closed(older);
            let wills = story.deliveries(watcher);
            assert_eq!(wills.iter().map(|will| &will.payload[..]).collect::<Vec<_>>(), [b"older"]);
            story.expect_open(newer);
            story.expect_open(bystander);
        }
    }
}

/// v311: MQTT-3.2.0-1
#[test]
fn connack_comes_before_messages_that_wait() {
    for shards in [1, 3] {
        let mut story = Story::new(shards);
        let reader = story.connect(Hello::v311("reader").resume());
        story.subscribe(reader, "t", 2);
        story.cut(reader);
        let writer = story.connect(Hello::v311("writer"));
        for _ in 0..20 {
            assert_eq!(story.publish_fully(writer, Post::to("t").qos(1)), 0);
        }
        let reader = story.hello(&Hello::v311("reader").resume());
        let heard = story.hear_all(reader);
        assert_eq!(heard[0], Heard::ConnAck(true, 0, vec![]));
        assert_eq!(heard.len(), 21);
    }
}

/// v311: MQTT-3.2.2-4
#[test]
fn a_refusal_does_not_tell_of_a_stored_session() {
    let users = Users(&[("alice", "secret")]);
    let mut story = Story::with(|_| {}, Policy::new(vec![Box::new(users)], Box::new(Rules::default())));
    let client = story.connect(Hello::v311("a").resume().login("alice", "secret"));
    story.disconnect(client, 0);
    let client = story.hello(&Hello::v311("a").resume().login("alice", "guess"));
    assert_eq!(story.world.receive(client.0), [0x20, 2, 0, 4]);
    let (_, is_present) = story.connect_present(Hello::v311("a").resume().login("alice", "secret"));
    assert!(is_present, "the session is untouched");
}

/// v311: MQTT-4.1.0-1
#[test]
fn a_handshake_goes_on_where_it_stood_when_the_client_left() {
    for shards in [1, 3] {
        let mut story = Story::new(shards);
        let client = story.connect(Hello::v311("a").resume());
        story.subscribe(client, "in", 2);
        let writer = story.connect(Hello::v311("writer"));
        story.publish_fully(writer, Post::to("in").qos(2));
        assert_eq!(story.delivery(client).id, Some(1));
        story.pubrec(client, 1);
        story.publish(client, Post::to("out").qos(2).id(7));
        assert_eq!(story.hear_all(client), [Heard::PubRel(1, 0, vec![]), Heard::PubRec(7, 0, vec![])]);
        story.subscribe(writer, "out", 0);
        story.cut(client);
        let client = story.connect(Hello::v311("a").resume());
        assert_eq!(story.hear_all(client), [Heard::PubRel(1, 0, vec![])]);
        story.publish(client, Post::to("out").qos(2).id(7).dup());
        story.pubrel(client, 7);
        assert_eq!(story.hear_all(client), [Heard::PubRec(7, 0, vec![]), Heard::PubComp(7, 0, vec![])]);
        story.expect_silence(writer);
    }
}

/// v311: MQTT-4.1.0-2, MQTT-3.1.2-23
#[test]
fn a_session_lasts_as_long_as_pings_keep_its_connection() {
    let mut story = Story::limited(|limits| limits.session_expiry_v3_s = 1);
    let clients = [Hello::v311("a").keep_alive(2), Hello::v311("b").keep_alive(2).resume()].map(|it| story.connect(it));
    for client in &clients {
        assert_eq!(story.subscribe(*client, "t", 0), 0);
    }
    for _ in 0..60 {
        story.wait_s(1);
        for client in &clients {
            story.expect_open(*client);
        }
    }
    story.publish(clients[0], Post::to("t"));
    for client in &clients {
        assert_eq!(story.delivery(*client).topic, "t");
    }
}

/// v311: MQTT-3.1.2-24
#[test]
fn one_and_a_half_keep_alive_times_of_silence_end_the_connection() {
    let mut story = Story::new(2);
    let watcher = story.connect(Hello::v311("watcher"));
    story.subscribe(watcher, "w", 0);
    let client = story.connect(Hello::v311("a").keep_alive(2).will("w", "silent", 0, false));
    story.subscribe(client, "news", 0);
    story.wait_s(1);
    story.expect_open(client);
    story.world.advance(2_900);
    // What the broker sends is no sign of life.
    story.publish(watcher, Post::to("news"));
    assert_eq!(story.delivery(client).topic, "news");
    story.expect_silence(watcher);
    story.world.advance(500);
    story.expect_closed(client);
    assert_eq!(story.delivery(watcher).payload, b"silent");
}

/// v311: X311-KA-ZERO
#[test]
fn a_keep_alive_of_0_permits_silence() {
    let mut story = Story::new(2);
    let client = story.connect(Hello::v311("a").keep_alive(0));
    story.wait_s(200);
    story.expect_open(client);
}

/// v311: X311-SESS-LIMIT
#[test]
fn a_session_ends_in_absence_only_when_the_operator_says_so() {
    for (expiry_s, absent_s, is_kept) in [(u32::MAX, 3_600, true), (5, 3, true), (5, 8, false)] {
        let mut story = Story::limited(|limits| limits.session_expiry_v3_s = expiry_s);
        let client = story.connect(Hello::v311("a").resume());
        story.subscribe(client, "t", 1);
        story.cut(client);
        story.wait_s(absent_s);
        let (_, is_present) = story.connect_present(Hello::v311("a").resume());
        assert_eq!(is_present, is_kept, "{expiry_s} {absent_s}");
    }
}
