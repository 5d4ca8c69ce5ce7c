//! MQTT 5.0, sections 3.4 to 3.7: PUBACK, PUBREC, PUBREL and PUBCOMP.

use pregon::engine::auth::policy::Policy;
use pregon::engine::limits::{Limits, QueuePolicy};
use pregon::mqtt::properties::{Place, Properties, Property};

use super::v5_bytes::{ask, has_diagnostics, packet, small};
use crate::support::story::{Client, Heard, Hello, Post, Story};

/// The codes of PUBACK and PUBREC, sections 3.4.2.1 and 3.5.2.1.
const PUBLISH_CODES: [u8; 9] = [0x00, 0x10, 0x80, 0x83, 0x87, 0x90, 0x91, 0x97, 0x99];

/// The reason of the first answer to a publication; PUBREC of success is followed to its end.
fn reason_of(story: &mut Story, writer: Client, post: Post, qos: u8) -> u8 {
    let reason = story.publish_fully(writer, post.qos(qos));
    assert!(PUBLISH_CODES.contains(&reason), "{reason:#04x} is no code of this packet");
    story.expect_open(writer);
    reason
}

fn narrow(limits: &mut Limits) {
    limits.topic_levels_max = 2;
    limits.payload_format_check = true;
    limits.retained_messages_max = 0;
    limits.queue_messages_max = 1;
    limits.queue_policy = QueuePolicy::RefuseNew;
}

/// v5: MQTT-3.4.2-1, MQTT-3.5.2-1
#[test]
fn a_publication_is_answered_with_a_code_of_the_list() {
    for qos in [1, 2] {
        let mut story = Story::limited(narrow);
        let reader = story.connect(Hello::v5("reader"));
        story.subscribe(reader, "t", 0);
        let absent = story.connect(Hello::v5("absent").expiry(600));
        story.subscribe(absent, "queued", 2);
        story.cut(absent);
        let writer = story.connect(Hello::v5("writer"));
        let text = || Post::to("t").with(Property::PayloadFormat(true));
        for (post, expected) in [
            (Post::to("t"), 0x00),
            (Post::to("nobody"), 0x10),
            (Post::to("$SYS/denied"), 0x87),
            (Post::to("t/t/t"), 0x90),
            (text().payload(*b"\xff"), 0x99),
            (text().payload("text"), 0x00),
            (Post::to("kept").payload("x").retain(), 0x97),
            (Post::to("queued"), 0x00),
            (Post::to("queued"), 0x97),
        ] {
            assert_eq!(reason_of(&mut story, writer, post.clone(), qos), expected, "{post:?}");
        }
    }
}

/// The packet that a refused publication gets from a client that takes so many bytes, and whether it explains itself.
fn refusal(qos: u8, packet_bytes_max: u32) -> (Vec<u8>, bool) {
    let (mut story, writer) = small(packet_bytes_max, Policy::open());
    let bytes = ask(&mut story, writer, &packet(0x30 | qos << 1, &[b"\x00\x06$SYS/a", &[0, 9, 0], b"x"]));
    let has_more = bytes[1] > 3;
    let place = if qos == 1 { Place::PubAck } else { Place::PubRec };
    let explains = has_more && has_diagnostics(&bytes[6..], place);
    (bytes, explains)
}

/// v5: MQTT-3.4.2-2, MQTT-3.4.2-3, MQTT-3.5.2-2, MQTT-3.5.2-3
#[test]
fn a_refusal_explains_itself_only_where_that_fits() {
    for (qos, first) in [(1, 0x40), (2, 0x50)] {
        let (whole, explains) = refusal(qos, 100);
        assert!(explains && whole.len() > 8);
        let size = u32::try_from(whole.len()).expect("a small packet");
        assert_eq!(refusal(qos, size), (whole, true));
        for too_small in [8, 9, size - 1] {
            assert_eq!(refusal(qos, too_small), (vec![first, 3, 0, 9, 0x87], false));
        }
    }
}

/// v5: MQTT-3.6.1-1
#[test]
fn a_pubrel_with_other_flags_is_malformed() {
    for first in [0x60, 0x61, 0x63, 0x66, 0x6a] {
        let mut story = Story::new(2);
        let writer = story.connect(Hello::v5("writer"));
        story.publish(writer, Post::to("t").qos(2).id(5));
        assert_eq!(story.hear_all(writer).len(), 1);
        story.send(writer, &[first, 2, 0, 5]);
        story.expect_closed_for(writer, &[0x81]);
    }
}

/// v5: MQTT-3.6.2-1
#[test]
fn pubrel_says_success_or_that_there_is_no_such_message() {
    for shards in [1, 3] {
        let mut story = Story::new(shards);
        let reader = story.connect(Hello::v5("reader"));
        story.subscribe(reader, "t", 2);
        story.pubrec(reader, 77);
        assert!(matches!(story.hear_all(reader).as_slice(), [Heard::PubRel(77, 0x92, _)]));
        let writer = story.connect(Hello::v5("writer"));
        story.publish(writer, Post::to("t").qos(2));
        let id = story.delivery(reader).id.expect("QoS 2");
        for _ in 0..2 {
            story.pubrec(reader, id);
            assert_eq!(story.hear_all(reader), [Heard::PubRel(id, 0, vec![])]);
        }
        story.pubcomp(reader, id);
        story.pubrec(reader, id);
        assert!(matches!(story.hear_all(reader).as_slice(), [Heard::PubRel(of, 0x92, _)] if *of == id));
        story.expect_open(reader);
    }
}

/// v5: MQTT-3.6.2-2, MQTT-3.6.2-3
#[test]
fn a_pubrel_fits_its_receiver_and_explains_nothing_beyond() {
    for packet_bytes_max in [8, 9, 12] {
        let (mut story, reader) = small(packet_bytes_max, Policy::open());
        assert_eq!(ask(&mut story, reader, &[0x50, 2, 0, 77]), [0x62, 3, 0, 77, 0x92]);
    }
}

/// v5: MQTT-3.7.2-1
#[test]
fn pubcomp_says_success_or_that_there_is_no_such_message() {
    for shards in [1, 3] {
        let mut story = Story::new(shards);
        let writer = story.connect(Hello::v5("writer"));
        story.pubrel(writer, 9);
        assert!(matches!(story.hear_all(writer).as_slice(), [Heard::PubComp(9, 0x92, _)]));
        assert_eq!(story.publish_fully(writer, Post::to("t").qos(2).id(9)), 0x10);
        story.pubrel(writer, 9);
        assert!(matches!(story.hear_all(writer).as_slice(), [Heard::PubComp(9, 0x92, _)]));
        story.expect_open(writer);
    }
}

/// v5: MQTT-3.7.2-2, MQTT-3.7.2-3
#[test]
fn a_pubcomp_explains_itself_only_where_that_fits() {
    let answer = |packet_bytes_max| {
        let (mut story, writer) = small(packet_bytes_max, Policy::open());
        ask(&mut story, writer, &[0x62, 2, 0, 9])
    };
    let whole = answer(100);
    let properties = Properties::parse(&whole[6..], Place::PubComp).expect("properties of the broker");
    assert!(properties.reason_string().is_some());
    let size = u32::try_from(whole.len()).expect("a small packet");
    assert_eq!(answer(size), whole);
    for too_small in [8, 9, size - 1] {
        assert_eq!(answer(too_small), [0x70, 3, 0, 9, 0x92]);
    }
}
