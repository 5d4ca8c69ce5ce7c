//! MQTT 5.0 beside 3.1.1 and 3.1: messages, sessions and identifiers across the versions.

use crate::support::raw;
use crate::support::story::{Delivery, Hello, Post, Story, Wish};
use pregon::mqtt::Version;
use pregon::mqtt::property::Property;

/// A message with everything that a property can say.
fn rich(qos: u8) -> Post {
    Post::to("a")
        .qos(qos)
        .payload("xyz")
        .expiry(60)
        .with(Property::PayloadFormat(true))
        .with(Property::ContentType("text"))
        .with(Property::ResponseTopic("r"))
        .with(Property::CorrelationData(b"c"))
        .with(Property::User("n", "v"))
}

/// v5: X5-INTEROP-5TO3
#[test]
fn a_3x_client_gets_the_message_without_its_properties_and_none_that_has_expired() {
    for shards in [1, 3] {
        for version in [Version::V31, Version::V311] {
            let mut story = Story::new(shards);
            let writer = story.connect(Hello::v5("writer"));
            let reader = story.connect(Hello::new(version, "reader").resume());
            story.subscribe(reader, "a", 1);
            for qos in 0..=1 {
                story.publish(writer, rich(qos));
                let plain = Delivery {
                    topic: "a".into(),
                    payload: b"xyz".to_vec(),
                    qos,
                    id: (qos > 0).then_some(1),
                    bytes: 8 + 2 * usize::from(qos),
                    ..Delivery::default()
                };
                assert_eq!(story.delivery(reader), plain);
            }
            story.puback(reader, 1);
            story.cut(reader);
            story.publish(writer, rich(1).payload("waits too long"));
            story.publish(writer, Post::to("a").qos(1).payload("waits"));
            story.wait_s(61);
            let reader = story.connect(Hello::new(version, "reader").resume());
            assert_eq!(story.delivery(reader).payload, b"waits");
            story.expect_silence(reader);
        }
    }
}

/// v5: X5-INTEROP-3TO5
#[test]
fn a_message_of_a_3x_client_has_no_properties_but_ours() {
    for shards in [1, 3] {
        let mut story = Story::new(shards);
        let writer = story.connect(Hello::v311("writer"));
        let plain = story.connect(Hello::v5("plain"));
        let named = story.connect(Hello::v5("named"));
        story.subscribe(plain, "a", 2);
        story.subscribe_to(named, 1, &[Wish::to("a", 2)], Some(9));
        for qos in 0..=2 {
            story.publish(writer, Post::to("a").qos(qos).id(1).payload("x"));
            if qos == 2 {
                story.pubrel(writer, 1);
            }
            let delivery = story.delivery(plain);
            assert_eq!((delivery.qos, &delivery.properties[..]), (qos, &[][..]));
            assert_eq!(story.delivery(named).properties, [11, 9]);
        }
    }
}

/// v5: X5-INTEROP-SESSION
#[test]
fn a_session_moves_between_the_versions() {
    for shards in [1, 3] {
        let mut story = Story::new(shards);
        let writer = story.connect(Hello::v5("writer"));
        let old = Hello::v311("client").resume();
        let new = Hello::v5("client").expiry(600).resume();
        let (client, is_present) = story.connect_present(old.clone());
        assert!(!is_present);
        story.subscribe(client, "a", 1);
        story.cut(client);
        for (n, hello) in [&new, &old, &new].into_iter().enumerate() {
            story.publish_fully(writer, rich(1).payload(n.to_string()));
            let (client, is_present) = story.connect_present(hello.clone());
            assert!(is_present);
            let delivery = story.delivery(client);
            assert_eq!(delivery.payload, n.to_string().as_bytes());
            assert_eq!(delivery.properties.is_empty(), n == 1, "3.1.1 knows none");
            story.puback(client, delivery.id.unwrap());
            story.cut(client);
        }
        // An end without expiry is the end for every version.
        let client = story.connect(Hello::v5("client").resume());
        story.cut(client);
        assert!(!story.connect_present(old).1);
    }
}

/// v5: X5-INTEROP-31
#[test]
fn clients_of_3_1_are_served_and_their_identifiers_checked_in_strict_mode() {
    let connect = |id: &str| raw::packet(0x10, &[b"\x00\x06MQIsdp\x03\x02\x00\x00", &raw::text(id)]);
    for is_strict in [false, true] {
        let mut story = Story::limited(|limits| limits.strict_v31_client_id = is_strict);
        for (id, code) in [("a", 0), ("12345678901234567890123", 0), ("123456789012345678901234", 2), ("", 2)] {
            let client = story.open(Version::V31);
            story.send(client, &connect(id));
            let code = if is_strict || id.is_empty() { code } else { 0 };
            assert_eq!(story.world.receive(client.0), [0x20, 2, 0, code], "{id}");
            assert_eq!(story.world.links[client.0].is_closed, code > 0);
        }
    }
}
