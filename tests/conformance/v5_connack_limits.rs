//! MQTT 5.0, section 3.2.2.3: what CONNACK announces, and what becomes of who does not heed it.

use pregon::engine::auth::policy::Policy;
use pregon::engine::limits::Limits;
use pregon::mqtt::connack::ConnAck;
use pregon::mqtt::fitting::{ReceiverLimits, encode_fitting};
use pregon::mqtt::packet::Packet;
use pregon::mqtt::properties::{Place, Properties, PropertyBuffer};
use pregon::mqtt::property::Property;
use pregon::mqtt::{QoS, Reason, Version};

use crate::support::policies::{Rules, Users, Verb};
use crate::support::raw::packets;
use crate::support::story::{Client, Heard, Hello, Post, Story, Wish};
use crate::support::world::World;

/// Connects and takes the properties of a successful CONNACK.
fn announced(story: &mut Story, hello: &Hello) -> (Client, Vec<u8>) {
    let client = story.hello(hello);
    match story.hear(client) {
        Some(Heard::ConnAck(_, 0, raw)) => (client, raw),
        other => panic!("no success: {other:?}"),
    }
}

fn parsed(raw: &[u8]) -> Properties<'_> {
    Properties::parse(raw, Place::ConnAck).expect("properties of CONNACK")
}

fn has(raw: &[u8], id: u8) -> bool {
    parsed(raw).entries().any(|(found, _)| found == id)
}

fn with_maximum_qos(qos: QoS) -> Story {
    Story::limited(|limits| limits.maximum_qos = qos)
}

fn without_retain() -> Story {
    Story::limited(|limits| limits.retain_available = false)
}

/// v5: MQTT-3.2.2-9
#[test]
fn a_maximum_qos_is_announced_where_it_limits() {
    for (maximum, said) in [(QoS::AtMostOnce, vec![0]), (QoS::AtLeastOnce, vec![1]), (QoS::ExactlyOnce, vec![])] {
        let mut story = with_maximum_qos(maximum);
        let (_, raw) = announced(&mut story, &Hello::v5("c"));
        let found = parsed(&raw).entries().filter(|(id, _)| *id == 36).map(|(_, bytes)| bytes[1]);
        assert_eq!(found.collect::<Vec<u8>>(), said);
    }
}

/// v5: MQTT-3.2.2-10
#[test]
fn a_subscription_above_the_maximum_qos_is_granted_at_the_maximum() {
    for (maximum, granted) in [(QoS::AtMostOnce, [0, 0, 0]), (QoS::AtLeastOnce, [0, 1, 1])] {
        let mut story = with_maximum_qos(maximum);
        let client = story.connect(Hello::v5("c"));
        let plain = [Wish::to("a", 0), Wish::to("b", 1), Wish::to("c", 2)];
        assert_eq!(story.subscribe_to(client, 1, &plain, None), granted);
        let shared = [Wish::to("$share/g/a", 0), Wish::to("$share/g/b", 1), Wish::to("$share/g/c", 2)];
        assert_eq!(story.subscribe_to(client, 2, &shared, None), granted);
    }
}

/// v5: MQTT-3.2.2-11
#[test]
fn a_publish_above_the_maximum_qos_ends_the_connection() {
    for (maximum, qos) in [(QoS::AtMostOnce, 1), (QoS::AtMostOnce, 2), (QoS::AtLeastOnce, 2)] {
        let mut story = with_maximum_qos(maximum);
        let reader = story.connect(Hello::v5("reader"));
        story.subscribe(reader, "#", 2);
        let writer = story.connect(Hello::v5("writer"));
        story.publish(writer, Post::to("t").qos(maximum.bits()));
        assert_eq!(story.delivery(reader).qos, maximum.bits());
        story.hear_all(writer);
        story.publish(writer, Post::to("t").qos(qos).id(2));
        story.expect_closed_for(writer, &[0x9b]);
        story.expect_silence(reader);
    }
}

/// v5: MQTT-3.2.2-12
#[test]
fn a_will_above_the_maximum_qos_is_refused() {
    for (maximum, qos) in [(QoS::AtMostOnce, 1), (QoS::AtMostOnce, 2), (QoS::AtLeastOnce, 2)] {
        let mut story = with_maximum_qos(maximum);
        let refused = story.hello(&Hello::v5("c").will("w", "gone", qos, false));
        story.expect_refused(refused, 0x9b);
        story.connect(Hello::v5("c").will("w", "gone", maximum.bits(), false));
    }
}

/// v5: MQTT-3.2.2-13
#[test]
fn a_retained_will_is_refused_where_nothing_is_retained() {
    let mut story = without_retain();
    let refused = story.hello(&Hello::v5("c").will("w", "gone", 0, true));
    story.expect_refused(refused, 0x9a);
    story.connect(Hello::v5("c").will("w", "gone", 0, false));
}

/// v5: MQTT-3.2.2-14
#[test]
fn a_retained_publish_ends_the_connection_where_nothing_is_retained() {
    for qos in 0..=2 {
        let mut story = without_retain();
        let reader = story.connect(Hello::v5("reader"));
        story.subscribe(reader, "#", 0);
        let (writer, raw) = announced(&mut story, &Hello::v5("writer"));
        assert!(parsed(&raw).iter().any(|property| property == Property::RetainAvailable(false)));
        story.publish(writer, Post::to("t").qos(qos).retain().payload("x"));
        story.expect_closed_for(writer, &[0x9a]);
        story.expect_silence(reader);
    }
}

/// v5: MQTT-3.2.2-15
#[test]
fn a_packet_above_our_maximum_ends_the_connection() {
    for qos in 0..=2 {
        let mut story = Story::limited(|limits| limits.packet_bytes_max = 1024);
        let reader = story.connect(Hello::v5("reader"));
        story.subscribe(reader, "#", qos);
        let (writer, raw) = announced(&mut story, &Hello::v5("writer"));
        assert_eq!(parsed(&raw).maximum_packet_size(), Some(1024));
        let head = Post::to("t").qos(qos).payload(vec![b'x'; 900]).encode(Version::V5).len() - 900;
        story.publish(writer, Post::to("t").qos(qos).payload(vec![b'x'; 1024 - head]));
        assert_eq!(story.delivery(reader).bytes, 1024);
        story.hear_all(writer);
        let too_large = Post::to("t").qos(qos).id(2).payload(vec![b'x'; 1025 - head]).encode(Version::V5);
        assert_eq!(too_large.len(), 1025);
        // The header says it all: nobody waits for the rest.
        story.send(writer, &too_large[..3]);
        story.expect_closed_for(writer, &[0x95]);
        story.expect_silence(reader);
    }
}

/// v5: MQTT-3.2.2-17
#[test]
fn an_alias_above_our_maximum_ends_the_connection() {
    for (maximum, shards) in [(1, 1), (5, 3), (65_534, 3)] {
        let limits = Limits { topic_alias_maximum: maximum, ..Default::default() };
        let mut story = Story::over(World::with(shards, limits, Policy::open(), 7));
        let reader = story.connect(Hello::v5("reader"));
        story.subscribe(reader, "#", 0);
        let (writer, raw) = announced(&mut story, &Hello::v5("writer"));
        assert_eq!(parsed(&raw).topic_alias_maximum(), Some(maximum));
        story.publish(writer, Post::to("t").alias(maximum).payload("x"));
        story.publish(writer, Post::to("").alias(maximum).payload("y"));
        assert_eq!(
            story.deliveries(reader).iter().map(|delivery| delivery.topic.as_str()).collect::<Vec<_>>(),
            ["t"; 2]
        );
        story.publish(writer, Post::to("t").alias(maximum + 1));
        story.expect_closed_for(writer, &[0x94]);
        story.expect_silence(reader);
    }
}

/// v5: MQTT-3.2.2-18
#[test]
fn without_an_announced_maximum_no_alias_is_taken() {
    let mut story = Story::limited(|limits| limits.topic_alias_maximum = 0);
    let reader = story.connect(Hello::v5("reader"));
    story.subscribe(reader, "#", 0);
    let (writer, raw) = announced(&mut story, &Hello::v5("writer"));
    assert!(!has(&raw, 34) || parsed(&raw).topic_alias_maximum() == Some(0));
    story.publish(writer, Post::to("t").alias(1));
    story.expect_closed_for(writer, &[0x94]);
    story.expect_silence(reader);
}

/// v5: MQTT-3.2.2-19
#[test]
fn a_refusal_explains_itself_only_where_it_fits() {
    let users = Users(&[("alice", "secret"), ("bob", "secret")]);
    let policy = Policy::new(vec![Box::new(users)], Box::new(Rules::default()));
    let mut story = Story::over(World::with(3, Limits::default(), policy, 7));
    story.connect(Hello::v5("c").login("alice", "secret"));
    // A wrong password is found where the client lands, somebody else's session only at its home.
    for (hello, code) in [(Hello::v5("c").login("alice", "wrong"), 0x86), (Hello::v5("c").login("bob", "secret"), 0x87)]
    {
        let full = story.hello(&hello);
        let explained = story.world.receive(full.0);
        assert!(has(&packets(&explained)[0].1[3..], 31));
        for maximum in (5..=explained.len()).chain(5..explained.len()) {
            let maximum_size = Property::MaximumPacketSize(u32::try_from(maximum).expect("a small packet"));
            let client = story.hello(&hello.clone().with(maximum_size));
            let answer = story.world.receive(client.0);
            if maximum == explained.len() {
                assert_eq!(answer, explained);
            } else {
                assert_eq!(answer, [0x20, 3, 0, code, 0]);
            }
            story.expect_closed(client);
        }
    }
}

/// v5: MQTT-3.2.2-20
#[test]
fn connack_has_no_user_property_that_does_not_fit() {
    let mut properties = PropertyBuffer::default();
    properties.push(Property::ReceiveMaximum(7)).push(Property::ReasonString("why"));
    properties.push(Property::User("name", "value"));
    let reason = Reason::NotAuthorized;
    let connack = ConnAck { session_present: false, reason, properties: properties.as_properties() };
    for (packet_bytes_max, ids) in [(100, &[33, 31, 38][..]), (28, &[33, 31, 38]), (27, &[33, 31]), (8, &[33])] {
        let limits = ReceiverLimits { packet_bytes_max, problem_information: true };
        let mut bytes = Vec::new();
        assert!(encode_fitting(&Packet::ConnAck(connack), Version::V5, limits, &mut bytes));
        assert!(bytes.len() <= packet_bytes_max as usize);
        let body = &packets(&bytes)[0].1;
        assert_eq!(parsed(&body[3..]).entries().map(|(id, _)| id).collect::<Vec<_>>(), ids);
    }
    // Whatever the broker itself says stays within the client's maximum.
    let policy = Rules::default().deny(Verb::Connect, "denied").policy();
    let mut story = Story::with(|limits| limits.response_prefix = Some("replies/".into()), policy);
    for id in ["denied", "welcome"] {
        for maximum in 1..100 {
            let hello = Hello::v5(id).with(Property::RequestResponseInfo(true));
            let client = story.hello(&hello.with(Property::MaximumPacketSize(maximum)));
            assert!(story.world.receive(client.0).len() <= maximum as usize);
            story.cut(client);
        }
    }
}

/// v5: MQTT-3.1.2-21, MQTT-3.2.2-21
#[test]
fn the_servers_keep_alive_holds_instead_of_the_clients() {
    for keep_alive_s in [60, 6, 0] {
        let limits = Limits { keep_alive_max_s: 5, ..Default::default() };
        let mut story = Story::over(World::with(3, limits, Policy::open(), 7));
        let (pinging, raw) = announced(&mut story, &Hello::v5("pinging").keep_alive(keep_alive_s));
        assert_eq!(parsed(&raw).server_keep_alive(), Some(5));
        let (silent, _) = announced(&mut story, &Hello::v5("silent").keep_alive(keep_alive_s));
        story.world.advance(4000);
        story.expect_open(pinging);
        story.world.advance(3300);
        story.expect_silence(silent);
        story.world.advance(700);
        story.expect_closed_for(silent, &[0x8d]);
        for _ in 0..4 {
            story.expect_open(pinging);
            story.world.advance(4000);
        }
    }
}

/// v5: MQTT-3.2.2-22
#[test]
fn without_a_servers_keep_alive_the_clients_own_holds() {
    for keep_alive_max_s in [0, 5] {
        let mut story = Story::limited(|limits| limits.keep_alive_max_s = keep_alive_max_s);
        let (client, raw) = announced(&mut story, &Hello::v5("c").keep_alive(2));
        assert!(!has(&raw, 19));
        story.world.advance(2800);
        story.expect_silence(client);
        story.world.advance(700);
        story.expect_closed_for(client, &[0x8d]);
    }
}
