//! MQTT 5.0, sections 3.10 and 3.11: UNSUBSCRIBE and UNSUBACK.

use pregon::engine::auth::policy::Policy;

use super::v5_bytes::{NOT_UTF8, ask, field, packet, small};
use crate::support::story::{Client, Heard, Hello, Post, Story};

/// The codes of UNSUBACK, section 3.11.3.
const CODES: [u8; 7] = [0x00, 0x11, 0x80, 0x83, 0x87, 0x8f, 0x91];

fn unsubscribe(id: u16, filters: &[&[u8]]) -> Vec<u8> {
    let filters: Vec<u8> = filters.iter().flat_map(|filter| field(filter)).collect();
    packet(0xa2, &[&id.to_be_bytes(), &[0], &filters])
}

/// The client's bytes end its connection with this reason and without an UNSUBACK; its subscription is kept.
fn ends(bytes: &[u8], reason: u8) {
    let mut story = Story::new(2);
    let client = story.connect(Hello::v5("client").expiry(60));
    story.subscribe(client, "t", 1);
    story.send(client, bytes);
    story.expect_closed_for(client, &[reason]);
    let client = story.connect(Hello::v5("client").expiry(60).resume());
    assert_eq!(story.unsubscribe(client, 1, &["t"]), [0x00]);
}

/// v5: MQTT-3.10.1-1
#[test]
fn an_unsubscribe_with_other_flags_is_malformed() {
    for first in [0xa0, 0xa1, 0xa3, 0xa6, 0xaa] {
        let mut bytes = unsubscribe(1, &[b"t"]);
        bytes[0] = first;
        ends(&bytes, 0x81);
    }
}

/// v5: MQTT-3.10.3-1
#[test]
fn a_filter_that_is_not_utf8_is_malformed() {
    for filter in NOT_UTF8 {
        ends(&unsubscribe(1, &[filter]), 0x81);
        ends(&unsubscribe(1, &[b"t", filter]), 0x81);
    }
}

/// v5: MQTT-3.10.3-2
#[test]
fn an_unsubscribe_without_filters_is_an_error() {
    ends(&unsubscribe(1, &[]), 0x82);
}

/// Whether a message of another client on this topic reaches the reader.
fn reaches(story: &mut Story, reader: Client, topic: &str) -> bool {
    let writer = story.connect(Hello::v5("writer"));
    story.publish(writer, Post::to(topic).payload("x"));
    !story.deliveries(reader).is_empty()
}

/// v5: MQTT-3.10.4-1, MQTT-3.10.4-2
#[test]
fn only_the_very_same_filter_is_removed() {
    for shards in [1, 3] {
        let mut story = Story::new(shards);
        let reader = story.connect(Hello::v5("reader"));
        story.subscribe(reader, "a/+", 0);
        assert!(reaches(&mut story, reader, "a/b"));
        for other in ["a/b", "A/+", "a/#", "#", "a/+/", "/a/+", "a", "$share/g/a/+"] {
            assert_eq!(story.unsubscribe(reader, 1, &[other]), [0x11], "{other}");
            assert!(reaches(&mut story, reader, "a/b"));
        }
        assert_eq!(story.unsubscribe(reader, 1, &["a/+"]), [0x00]);
        assert!(!reaches(&mut story, reader, "a/b"));
    }
}

/// v5: MQTT-3.10.4-1, MQTT-3.10.4-2
#[test]
fn a_shared_subscription_is_removed_by_its_whole_name() {
    for shards in [1, 3] {
        let mut story = Story::new(shards);
        let reader = story.connect(Hello::v5("reader"));
        story.subscribe(reader, "$share/g/a/+", 0);
        for other in ["a/+", "$share/h/a/+", "$share/g/a/b", "$share/G/a/+"] {
            assert_eq!(story.unsubscribe(reader, 1, &[other]), [0x11], "{other}");
            assert!(reaches(&mut story, reader, "a/b"));
        }
        assert_eq!(story.unsubscribe(reader, 1, &["$share/g/a/+"]), [0x00]);
        assert!(!reaches(&mut story, reader, "a/b"));
    }
}

/// v5: MQTT-3.10.4-2
#[test]
fn what_other_filters_want_still_comes() {
    for shards in [1, 3] {
        let mut story = Story::new(shards);
        let reader = story.connect(Hello::v5("reader").expiry(60));
        story.subscribe(reader, "a/+", 1);
        story.subscribe(reader, "a/#", 0);
        story.unsubscribe(reader, 1, &["a/+"]);
        let writer = story.connect(Hello::v5("other writer"));
        story.publish(writer, Post::to("a/b").qos(1));
        assert_eq!(story.delivery(reader).qos, 0);
        story.unsubscribe(reader, 2, &["a/#"]);
        story.cut(reader);
        assert_eq!(story.hear_all(writer).len(), 1);
        assert_eq!(story.publish_fully(writer, Post::to("a/b").qos(1).id(2)), 0x10);
        let reader = story.connect(Hello::v5("reader").expiry(60).resume());
        story.expect_silence(reader);
    }
}

/// v5: MQTT-3.10.4-3
#[test]
fn a_delivery_that_was_begun_is_finished_after_unsubscribing() {
    for shards in [1, 3] {
        let mut story = Story::new(shards);
        let hello = || Hello::v5("reader").expiry(60).resume();
        let reader = story.connect(hello());
        story.subscribe(reader, "t", 2);
        let writer = story.connect(Hello::v5("writer"));
        story.publish(writer, Post::to("t").qos(1).payload("1").id(1));
        story.publish(writer, Post::to("t").qos(2).payload("2").id(2));
        let ids = story.deliveries(reader).iter().map(|one| one.id.expect("QoS 1 or 2")).collect::<Vec<_>>();
        assert_eq!(story.unsubscribe(reader, 1, &["t"]), [0]);
        story.cut(reader);
        let reader = story.connect(hello());
        let again = story.deliveries(reader);
        assert_eq!(again.iter().map(|one| one.id.expect("QoS 1 or 2")).collect::<Vec<_>>(), ids);
        assert!(again.iter().all(|one| one.dup));
        story.puback(reader, ids[0]);
        story.pubrec(reader, ids[1]);
        assert_eq!(story.hear_all(reader), [Heard::PubRel(ids[1], 0, vec![])]);
        story.cut(reader);
        let reader = story.connect(hello());
        assert_eq!(story.hear_all(reader), [Heard::PubRel(ids[1], 0, vec![])]);
        story.pubcomp(reader, ids[1]);
        story.cut(reader);
        let reader = story.connect(hello());
        story.expect_silence(reader);
    }
}

/// v5: MQTT-3.10.4-4, MQTT-3.10.4-5
#[test]
fn every_unsubscribe_is_answered_with_its_identifier() {
    for shards in [1, 3] {
        let mut story = Story::new(shards);
        let client = story.connect(Hello::v5("client"));
        story.subscribe(client, "t", 0);
        story.subscribe(client, "$share/g/t", 0);
        let bytes = [
            unsubscribe(65_535, &[b"t"]),
            unsubscribe(9, &[b"t"]),
            unsubscribe(10, &[b"$share/g/t"]),
            unsubscribe(11, &[b"$share/g/t"]),
        ];
        story.send(client, &bytes.concat());
        let answer = |id, code| Heard::UnsubAck(id, vec![code], vec![]);
        assert_eq!(story.hear_all(client), [answer(65_535, 0), answer(9, 0x11), answer(10, 0), answer(11, 0x11)]);
    }
}

/// v5: MQTT-3.10.4-6, MQTT-3.11.3-1, MQTT-3.11.3-2
#[test]
fn several_filters_are_as_several_packets_with_one_answer() {
    for shards in [1, 3] {
        let mut story = Story::new(shards);
        let client = story.connect(Hello::v5("client"));
        for filter in ["a", "b/#", "$share/g/c"] {
            story.subscribe(client, filter, 1);
        }
        let filters: [&[u8]; 6] = [b"missing", b"a", b"a/#/b", b"$share/g/c", b"a", b"b/#"];
        story.send(client, &unsubscribe(7, &filters));
        let heard = story.hear_all(client);
        let [Heard::UnsubAck(7, codes, _)] = heard.as_slice() else { panic!("no UNSUBACK: {heard:?}") };
        assert_eq!(codes, &[0x11, 0x00, 0x8f, 0x00, 0x11, 0x00]);
        assert!(codes.iter().all(|code| CODES.contains(code)));
        assert!(["a", "b/c", "c"].iter().all(|topic| !reaches(&mut story, client, topic)));
    }
}

/// v5: MQTT-3.11.2-1, MQTT-3.11.2-2
#[test]
fn an_unsuback_fits_its_receiver_and_explains_nothing_beyond() {
    for packet_bytes_max in [8, 9, 12] {
        let (mut story, client) = small(packet_bytes_max, Policy::open());
        story.subscribe(client, "t", 0);
        let bytes = ask(&mut story, client, &unsubscribe(9, &[b"a/#/b", b"t"]));
        assert_eq!(bytes, [0xb0, 5, 0, 9, 0, 0x8f, 0x00]);
    }
}
