//! MQTT 5.0, sections 3.1 and 3.2: a connection finds its session, or makes one.

use std::collections::BTreeSet;

use pregon::mqtt::properties::{Place, Properties};

use crate::support::raw::packets;
use crate::support::story::{Client, Heard, Hello, Post, Story};

/// A session of this name with a subscription to `t` of QoS 1, one message behind; its client is away.
fn stored_session(story: &mut Story, id: &str, expiry_s: u32) -> Client {
    let client = story.connect(Hello::v5(id).expiry(expiry_s));
    story.subscribe(client, "t", 1);
    story.cut(client);
    let writer = story.connect(Hello::v5("writer"));
    assert_eq!(story.publish_fully(writer, Post::to("t").qos(1).payload("kept")), 0);
    writer
}

/// Sends CONNECT and takes the name that CONNACK assigns.
fn connect_nameless(story: &mut Story, hello: &Hello) -> (Client, String) {
    let client = story.hello(hello);
    let Some(Heard::ConnAck(false, 0, raw)) = story.hear(client) else { panic!("no success") };
    let properties = Properties::parse(&raw, Place::ConnAck).expect("properties of CONNACK");
    (client, properties.assigned_client_id().expect("an assigned identifier").to_owned())
}

/// v5: MQTT-3.1.2-4, MQTT-3.2.2-2
#[test]
fn a_clean_start_forgets_the_stored_session() {
    for shards in [1, 3] {
        let mut story = Story::new(shards);
        let writer = stored_session(&mut story, "c", 300);
        let (client, is_present) = story.connect_present(Hello::v5("c").expiry(300));
        assert!(!is_present);
        story.publish_fully(writer, Post::to("t").qos(1).payload("new"));
        story.expect_silence(client);
        story.cut(client);
        let (client, is_present) = story.connect_present(Hello::v5("c").resume());
        assert!(is_present, "the new session is stored like the old one");
        story.expect_silence(client);
    }
}

/// v5: MQTT-3.1.2-5
#[test]
fn without_clean_start_the_stored_session_goes_on() {
    for shards in [1, 3] {
        let mut story = Story::new(shards);
        let writer = stored_session(&mut story, "c", 300);
        let (client, is_present) = story.connect_present(Hello::v5("c").resume());
        assert!(is_present);
        assert_eq!(story.delivery(client).payload, b"kept");
        story.publish_fully(writer, Post::to("t").qos(1).payload("new"));
        assert_eq!(story.delivery(client).payload, b"new");
    }
}

/// v5: MQTT-3.1.2-6
#[test]
fn without_clean_start_and_without_a_session_there_is_a_new_one() {
    let mut story = Story::new(3);
    let (client, is_present) = story.connect_present(Hello::v5("c").resume());
    assert!(!is_present);
    assert_eq!(story.subscribe(client, "t", 1), 1);
    let other = story.connect(Hello::v5("other").resume());
    assert_eq!(story.publish_fully(other, Post::to("t").qos(1).payload("x")), 0);
    assert_eq!(story.delivery(client).payload, b"x");
}

/// v5: MQTT-3.1.2-23
#[test]
fn a_session_outlives_its_connection_by_its_expiry() {
    for (absence_s, is_kept) in [(0, true), (30, true), (58, true), (62, false)] {
        let mut story = Story::new(3);
        stored_session(&mut story, "c", 60);
        story.wait_s(absence_s);
        let (client, is_present) = story.connect_present(Hello::v5("c").resume());
        assert_eq!(is_present, is_kept, "after {absence_s} s");
        if is_kept {
            assert_eq!(story.delivery(client).payload, b"kept");
        } else {
            story.expect_silence(client);
        }
    }
}

/// v5: MQTT-3.1.3-2
#[test]
fn the_identifier_leads_to_the_session_from_everywhere() {
    let mut story = Story::new(3);
    for name in ["a", "b"] {
        let client = story.connect(Hello::v5(name).expiry(300));
        story.subscribe(client, name, 1);
        story.cut(client);
    }
    let writer = story.connect(Hello::v5("writer"));
    // More connections than shards: each lands on another shard and comes from another address.
    for _ in 0..4 {
        for name in ["a", "b"] {
            story.publish_fully(writer, Post::to(name).qos(1).payload(name));
            let (client, is_present) = story.connect_present(Hello::v5(name).resume().expiry(300));
            assert!(is_present);
            let delivery = story.delivery(client);
            assert_eq!(delivery.payload, name.as_bytes());
            story.puback(client, delivery.id.expect("an identifier"));
            story.cut(client);
        }
    }
    for other in ["A", "a ", "ab", "c"] {
        assert!(!story.connect_present(Hello::v5(other).resume()).1);
    }
}

/// v5: MQTT-3.1.3-6, MQTT-3.2.2-16
#[test]
fn each_nameless_client_gets_a_name_of_its_own() {
    let mut story = Story::new(3);
    let mut names = BTreeSet::new();
    let mut clients = Vec::new();
    for number in 0..300 {
        let hello = if number % 2 == 0 { Hello::v5("") } else { Hello::v5("").resume().expiry(60) };
        let (client, name) = connect_nameless(&mut story, &hello);
        assert!(!name.is_empty() && names.insert(name), "an identifier that is somebody else's");
        clients.push(client);
    }
    for client in clients {
        story.expect_open(client);
    }
}

/// v5: MQTT-3.1.3-7
#[test]
fn an_assigned_identifier_is_as_good_as_a_chosen_one() {
    for shards in [1, 3] {
        let mut story = Story::new(shards);
        let (client, name) = connect_nameless(&mut story, &Hello::v5("").expiry(60));
        story.subscribe(client, "t", 1);
        story.cut(client);
        let writer = story.connect(Hello::v5("writer"));
        story.publish_fully(writer, Post::to("t").qos(1).payload("kept"));
        let (client, is_present) = story.connect_present(Hello::v5(&name).resume());
        assert!(is_present);
        assert_eq!(story.delivery(client).payload, b"kept");
        story.connect(Hello::v5(&name));
        story.expect_closed_for(client, &[0x8e]);
    }
}

/// v5: MQTT-3.1.4-3
#[test]
fn a_newer_connection_ends_the_older_one() {
    for shards in [1, 3] {
        for newer in [Hello::v5("c"), Hello::v5("c").resume().expiry(60)] {
            let mut story = Story::new(shards);
            let older = story.connect(Hello::v5("c").expiry(60));
            let other = story.connect(Hello::v5("other"));
            let newer = story.connect(newer);
            story.expect_closed_for(older, &[0x8e]);
            story.expect_open(newer);
            story.expect_open(other);
        }
    }
}

/// v5: MQTT-3.1.4-4, MQTT-3.2.2-3
#[test]
fn session_present_says_what_clean_start_and_the_store_make_of_it() {
    for shards in [1, 3] {
        for (is_stored, is_clean) in [(false, false), (false, true), (true, false), (true, true)] {
            let mut story = Story::new(shards);
            if is_stored {
                stored_session(&mut story, "c", 300);
            }
            let hello = Hello::v5("c");
            let (client, is_present) = story.connect_present(if is_clean { hello } else { hello.resume() });
            assert_eq!(is_present, is_stored && !is_clean);
            assert_eq!(story.deliveries(client).len(), usize::from(is_present));
        }
    }
}

/// v5: MQTT-3.1.4-5
#[test]
fn a_good_connect_is_answered_with_success() {
    for shards in [1, 3] {
        let full = Hello::v5("full").resume().keep_alive(60).login("user", "password").will("w", "gone", 2, true);
        for hello in [Hello::v5("plain"), Hello::v5("").resume(), full] {
            let mut story = Story::new(shards);
            let client = story.hello(&hello);
            assert!(matches!(story.hear_all(client).as_slice(), [Heard::ConnAck(false, 0, _)]));
            story.expect_open(client);
        }
    }
}

/// v5: MQTT-3.2.2-3, MQTT-3.2.2-4
#[test]
fn no_session_is_promised_that_is_gone() {
    for shards in [1, 3] {
        let mut story = Story::new(shards);
        stored_session(&mut story, "expired", 10);
        stored_session(&mut story, "cleaned", 300);
        story.wait_s(11);
        assert!(!story.connect_present(Hello::v5("expired").resume()).1);
        assert!(!story.connect_present(Hello::v5("cleaned")).1);
        // The clean start has no expiry of its own: its session ended with its connection.
        let last = story.connect(Hello::v5("fleeting"));
        story.cut(last);
        assert!(!story.connect_present(Hello::v5("fleeting").resume()).1);
    }
}

/// v5: MQTT-3.2.2-5
#[test]
fn of_an_expired_session_no_identifier_is_known() {
    let mut story = Story::new(3);
    let client = story.connect(Hello::v5("c").expiry(10));
    story.publish(client, Post::to("t").qos(2).id(7));
    assert_eq!(story.hear(client), Some(Heard::PubRec(7, 0x10, vec![])));
    story.cut(client);
    let client = story.connect(Hello::v5("c").resume().expiry(10));
    story.pubrel(client, 7);
    assert_eq!(story.hear(client), Some(Heard::PubComp(7, 0, vec![])));
    story.publish(client, Post::to("t").qos(2).id(7));
    story.cut(client);
    story.wait_s(11);
    let (client, is_present) = story.connect_present(Hello::v5("c").resume());
    assert!(!is_present);
    story.pubrel(client, 7);
    assert!(matches!(story.hear_all(client).as_slice(), [Heard::PubComp(7, 0x92, _)]));
}

/// v5: MQTT-3.2.0-1
#[test]
fn connack_comes_before_what_has_waited() {
    for shards in [1, 3] {
        let mut story = Story::new(shards);
        let writer = stored_session(&mut story, "c", 300);
        for round in 0..100 {
            story.publish_fully(writer, Post::to("t").qos(1).payload("more"));
            let client = story.hello(&Hello::v5("c").resume().expiry(300));
            let sent: Vec<u8> = packets(&story.world.receive(client.0)).into_iter().map(|(first, _)| first).collect();
            assert_eq!(sent[0], 0x20);
            assert!(sent.len() == round + 3 && sent[1..].iter().all(|first| first & 0xf6 == 0x32), "{sent:02x?}");
            story.cut(client);
        }
    }
}

/// v5: MQTT-3.2.2-1
#[test]
fn connack_has_no_flag_but_session_present() {
    let mut story = Story::limited(|limits| limits.client_id_bytes_max = 23);
    stored_session(&mut story, "c", 300);
    let too_long = "c".repeat(24);
    for (hello, flags) in [
        (Hello::v5("new"), 0),
        (Hello::v5("new").resume(), 0),
        (Hello::v5("c").resume().expiry(300), 1),
        (Hello::v5("c").expiry(300), 0),
        (Hello::v5(&too_long).resume(), 0),
        (Hello::v5("").resume(), 0),
    ] {
        let client = story.hello(&hello);
        let sent = packets(&story.world.receive(client.0));
        assert_eq!((sent[0].0, sent[0].1[0]), (0x20, flags));
        story.cut(client);
    }
}
