//! MQTT 5.0, sections 3.8 and 3.9: SUBSCRIBE and SUBACK.

use pregon::engine::auth::policy::Policy;
use pregon::engine::limits::Limits;
use pregon::mqtt::properties::{Place, Properties};

use super::v5_bytes::{NOT_UTF8, ask, has_diagnostics, packet, small, subscribe};
use crate::support::policies::{Rules, Verb};
use crate::support::story::{Delivery, Heard, Hello, Post, Story, Wish};

/// The codes of SUBACK, section 3.9.3.
const CODES: [u8; 12] = [0x00, 0x01, 0x02, 0x80, 0x83, 0x87, 0x8f, 0x91, 0x97, 0x9e, 0xa1, 0xa2];

/// A broker of two shards where nobody may subscribe to `denied`.
fn denying(change: impl FnOnce(&mut Limits)) -> Story {
    Story::with(change, denied())
}

fn denied() -> Policy {
    Rules::default().deny(Verb::Subscribe, "denied").policy()
}

/// The client's bytes end its connection with this reason and without a SUBACK.
fn ends(bytes: &[u8], reason: u8) {
    let mut story = Story::new(2);
    let client = story.connect(Hello::v5("client"));
    story.send(client, bytes);
    story.expect_closed_for(client, &[reason]);
}

/// v5: MQTT-3.8.1-1
#[test]
fn a_subscribe_with_other_flags_is_malformed() {
    for first in [0x80, 0x81, 0x83, 0x86, 0x8a] {
        let mut bytes = subscribe(b"t", 0);
        bytes[0] = first;
        ends(&bytes, 0x81);
    }
}

/// v5: MQTT-3.8.3-1
#[test]
fn a_filter_that_is_not_utf8_is_malformed() {
    for filter in NOT_UTF8 {
        ends(&subscribe(filter, 0), 0x81);
    }
}

/// v5: MQTT-3.8.3-2
#[test]
fn a_subscribe_without_filters_is_an_error() {
    ends(&packet(0x82, &[&[0, 1, 0]]), 0x82);
    ends(&packet(0x82, &[&[0, 1, 0], b"\x00\x01t"]), 0x81);
}

/// v5: MQTT-3.8.3-3
#[test]
fn no_local_keeps_a_clients_own_messages_away() {
    for (shards, qos) in [(1, 0), (1, 2), (3, 0), (3, 1)] {
        let mut story = Story::new(shards);
        let client = story.connect(Hello::v5("client").expiry(60));
        story.subscribe_to(client, 1, &[Wish::to("own", qos), Wish::to("others", qos).no_local()], None);
        story.publish(client, Post::to("others").payload("mine").qos(qos).id(1));
        story.publish(client, Post::to("own").payload("mine").qos(qos).id(2));
        let heard = story.hear_all(client);
        let echoes = heard.iter().filter(|heard| matches!(heard, Heard::Publish(echo) if echo.topic == "own"));
        assert_eq!(echoes.count(), 1);
        assert!(!heard.iter().any(|heard| matches!(heard, Heard::Publish(echo) if echo.topic == "others")));
        let other = story.connect(Hello::v5("other"));
        story.publish(other, Post::to("others").payload("theirs").qos(qos));
        assert_eq!(story.delivery(client).payload, b"theirs");
        story.cut(client);
        let client = story.connect(Hello::v5("client").expiry(60).resume());
        story.hear_all(client);
        story.publish(client, Post::to("others").payload("mine again"));
        story.expect_silence(client);
    }
}

/// v5: MQTT-3.8.3-4
#[test]
fn no_local_on_a_shared_subscription_is_an_error() {
    ends(&subscribe(b"$share/g/t", 0b100), 0x82);
}

/// v5: MQTT-3.8.3-5
#[test]
fn reserved_subscription_options_are_malformed() {
    for options in [0x40, 0x80, 0xc0, 0x41] {
        ends(&subscribe(b"t", options), 0x81);
    }
}

/// v5: MQTT-3.8.4-1, MQTT-3.8.4-2
#[test]
fn every_subscribe_is_answered_with_its_identifier() {
    for shards in [1, 3] {
        let mut story = Story::new(shards);
        let client = story.connect(Hello::v5("client"));
        let mut ids: Vec<u16> = (0..100u16).map(|number| 65_535 - number * 650).chain([7, 1]).collect();
        let mut bytes = Vec::new();
        for (number, id) in ids.iter().enumerate() {
            let mut one = subscribe(if number % 2 == 0 { b"t" } else { b"$share/g/t" }, 1);
            one[2..4].copy_from_slice(&id.to_be_bytes());
            bytes.extend(one);
        }
        story.send(client, &bytes);
        let mut answered = Vec::new();
        for heard in story.hear_all(client) {
            let Heard::SubAck(id, codes, _) = heard else { panic!("no SUBACK: {heard:?}") };
            assert_eq!(codes, [1]);
            answered.push(id);
        }
        answered.sort_unstable();
        ids.sort_unstable();
        assert_eq!(answered, ids);
    }
}

/// v5: MQTT-3.8.4-3
#[test]
fn the_same_filter_replaces_the_subscription() {
    for shards in [1, 3] {
        let mut story = Story::new(shards);
        let reader = story.connect(Hello::v5("reader"));
        let writer = story.connect(Hello::v5("writer"));
        story.subscribe_to(reader, 1, &[Wish::to("t", 2).keep_retain()], Some(4));
        story.subscribe_to(reader, 2, &[Wish::to("t", 0)], None);
        story.publish(writer, Post::to("t").qos(2).payload("x").retain());
        let deliveries = story.deliveries(reader);
        assert_eq!(deliveries.len(), 1);
        let Delivery { qos, retain, subscription_ids, .. } = &deliveries[0];
        assert_eq!((*qos, *retain, subscription_ids.len()), (0, false, 0));
        assert_eq!(story.unsubscribe(reader, 3, &["t"]), [0]);
        assert_eq!(story.unsubscribe(reader, 4, &["t"]), [0x11]);
    }
}

/// v5: MQTT-3.8.4-4
#[test]
fn subscribing_again_resends_retained_messages_and_loses_no_live_one() {
    const ROUNDS: u16 = 200;
    for shards in [1, 3] {
        let mut story = Story::new(shards);
        let writer = story.connect(Hello::v5("writer"));
        story.publish(writer, Post::to("t/kept").payload("kept").retain());
        let reader = story.connect(Hello::v5("reader"));
        story.subscribe_to(reader, 1, &[Wish::to("t/#", 1).handling(2)], None);
        for round in 1..=ROUNDS {
            // Neither comes to rest before the other is on its way.
            story.world.send(writer.0, &Post::to("t/live").payload(format!("{round}")).qos(1).encode(V5));
            story.world.read(writer.0, usize::MAX);
            story.world.send(reader.0, &subscribe(b"t/#", 1));
            story.world.read(reader.0, usize::MAX);
            story.world.send(writer.0, &Post::to("t/live").payload(format!("{round}+")).qos(1).encode(V5));
            story.world.drive();
        }
        let heard = story.hear_all(reader);
        let deliveries = heard.iter().filter_map(|heard| {
            let Heard::Publish(delivery) = heard else { return None };
            Some(delivery)
        });
        let (kept, live): (Vec<_>, Vec<_>) = deliveries.partition(|delivery| delivery.retain);
        assert_eq!(kept.len(), usize::from(ROUNDS));
        let live: Vec<_> = live.iter().map(|delivery| String::from_utf8_lossy(&delivery.payload)).collect();
        let expected: Vec<_> = (1..=ROUNDS).flat_map(|round| [format!("{round}"), format!("{round}+")]).collect();
        assert_eq!(live, expected);
    }
}

const V5: pregon::mqtt::Version = pregon::mqtt::Version::V5;

/// v5: MQTT-3.8.4-5
#[test]
fn several_filters_are_as_several_packets_with_one_answer() {
    let mut story = denying(|_| {});
    let reader = story.connect(Hello::v5("reader"));
    let wishes = [Wish::to("a", 0), Wish::to("denied", 2), Wish::to("$share/g/b", 1), Wish::to("c/#", 2)];
    story.ask_to_subscribe(reader, 9, &wishes, Some(3));
    let heard = story.hear_all(reader);
    assert!(matches!(heard.as_slice(), [Heard::SubAck(9, codes, _)] if codes == &[0, 0x87, 1, 2]), "{heard:?}");
    let writer = story.connect(Hello::v5("writer"));
    for (topic, qos) in [("a", Some(0)), ("denied", None), ("b", Some(1)), ("c/d", Some(2))] {
        story.publish(writer, Post::to(topic).qos(2).id(5));
        story.pubrel(writer, 5);
        let got: Vec<_> = story.deliveries(reader).into_iter().map(|one| (one.qos, one.subscription_ids)).collect();
        assert_eq!(got, qos.map(|qos| (qos, vec![3])).into_iter().collect::<Vec<_>>(), "{topic}");
    }
}

/// v5: MQTT-3.8.4-6, MQTT-3.9.3-1
#[test]
fn suback_has_a_code_for_every_filter_in_their_order() {
    let mut story = denying(|_| {});
    let client = story.connect(Hello::v5("client"));
    let filters: Vec<String> = (0..50).map(|number| format!("t/{number}")).collect();
    let mut wishes = vec![Wish::to("ok", 0), Wish::to("denied", 1), Wish::to("ok/too", 2)];
    assert_eq!(story.subscribe_to(client, 1, &wishes, None), [0x00, 0x87, 0x02]);
    wishes.truncate(2);
    wishes.extend(filters.iter().zip([2, 0, 1].into_iter().cycle()).map(|(filter, qos)| Wish::to(filter, qos)));
    let codes = story.subscribe_to(client, 2, &wishes, None);
    let expected: Vec<u8> = [0x00, 0x87].into_iter().chain([2, 0, 1].into_iter().cycle().take(50)).collect();
    assert_eq!(codes, expected);
}

/// v5: MQTT-3.8.4-7, MQTT-3.9.3-2
#[test]
fn every_code_is_the_granted_qos_or_a_failure_of_the_list() {
    let story = &mut denying(|limits| {
        limits.wildcard_available = false;
        limits.shared_available = false;
        limits.topic_levels_max = 3;
        limits.subscriptions_max = 3;
    });
    let client = story.connect(Hello::v5("client"));
    for (filter, qos, expected) in [
        ("0", 0, 0x00),
        ("1", 1, 0x01),
        ("2", 2, 0x02),
        ("one/too/many", 0, 0x97),
        ("2", 1, 0x01),
        ("denied", 2, 0x87),
        ("a/#/b", 1, 0x8f),
        ("a+", 1, 0x8f),
        ("a/b/c/d", 1, 0x8f),
        ("#", 1, 0xa2),
        ("$share/g/t", 1, 0x9e),
    ] {
        let codes = story.subscribe_to(client, 1, &[Wish::to(filter, qos)], None);
        assert_eq!(codes, [expected], "{filter}");
        assert!(CODES.contains(&codes[0]));
    }
    let story = &mut Story::limited(|limits| limits.maximum_qos = pregon::mqtt::QoS::AtLeastOnce);
    let client = story.connect(Hello::v5("client"));
    assert_eq!(story.subscribe(client, "t", 2), 1);
}

/// v5: MQTT-3.8.4-8
#[test]
fn the_qos_of_a_delivery_is_the_lower_one() {
    for shards in [1, 3] {
        let mut story = Story::new(shards);
        let writer = story.connect(Hello::v5("writer"));
        for granted in 0..=2 {
            let reader = story.connect(Hello::v5(&format!("reader-{granted}")));
            story.subscribe(reader, "t", granted);
            for published in 0..=2 {
                story.publish(writer, Post::to("t").qos(published).id(5));
                story.pubrel(writer, 5);
                assert_eq!(story.delivery(reader).qos, published.min(granted));
            }
            for published in 0..=2 {
                let kept = Post::to("kept").payload("x").qos(published).id(5).retain();
                story.publish(writer, kept);
                story.pubrel(writer, 5);
                story.subscribe(reader, "kept", granted);
                assert_eq!(story.delivery(reader).qos, published.min(granted));
                story.unsubscribe(reader, 2, &["kept"]);
            }
        }
    }
}

/// v5: MQTT-3.9.2-1, MQTT-3.9.2-2
#[test]
fn a_suback_explains_itself_only_where_that_fits() {
    let answer = |packet_bytes_max| {
        let (mut story, client) = small(packet_bytes_max, denied());
        ask(&mut story, client, &subscribe(b"denied", 1))
    };
    let whole = answer(100);
    let properties = Properties::parse(&whole[5..whole.len() - 1], Place::SubAck).expect("properties of the broker");
    assert!(properties.reason_string().is_some() && has_diagnostics(properties.raw(), Place::SubAck));
    let size = u32::try_from(whole.len()).expect("a small packet");
    assert_eq!(answer(size), whole);
    for too_small in [8, 9, size - 1] {
        assert_eq!(answer(too_small), [0x90, 4, 0, 1, 0, 0x87]);
    }
}
