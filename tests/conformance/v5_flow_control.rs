//! Flow control and sizes, section 4.9 of MQTT 5.0: Receive Maximum and Maximum Packet Size, in both directions.

use crate::support::raw::v5;
use crate::support::story::{Client, Heard, Hello, Post, Story};
use pregon::mqtt::property::Property;

/// A reader of `a` at QoS 2 whose session stays, and a writer; `count` messages of this level are published.
fn pair(shards: usize, hello: Hello, qos: u8, count: u32) -> (Story, Client, Client) {
    let mut story = Story::new(shards);
    let reader = story.connect(hello.expiry(600));
    let writer = story.connect(Hello::v5("writer"));
    story.subscribe(reader, "a", 2);
    for n in 0..count {
        assert_eq!(story.publish_fully(writer, Post::to("a").qos(qos).payload(n.to_string())), 0);
    }
    (story, reader, writer)
}

/// v5: MQTT-4.9.0-1, MQTT-4.9.0-2
#[test]
fn as_many_messages_are_open_as_the_client_allows() {
    for shards in [1, 3] {
        for qos in 1..=2 {
            let (mut story, reader, _) = pair(shards, Hello::v5("reader").receive_maximum(3), qos, 8);
            let first = story.deliveries(reader);
            assert_eq!(first.len(), 3);
            story.wait_s(10);
            story.expect_silence(reader);
            let id = first[0].id.unwrap();
            if qos == 1 {
                story.puback(reader, id);
            } else {
                story.pubrec(reader, id);
                assert_eq!(story.hear_all(reader), [Heard::PubRel(id, 0, vec![])]);
                story.pubcomp(reader, id);
            }
            assert_eq!(story.delivery(reader).payload, b"3");
            story.expect_silence(reader);
        }
    }
}

/// v5: MQTT-4.9.0-3, X5-RECVMAX-QOS0
#[test]
fn without_quota_everything_else_goes_on() {
    let (mut story, reader, writer) = pair(2, Hello::v5("reader").receive_maximum(1), 1, 2);
    let first = story.delivery(reader);
    for n in 0..5 {
        story.publish(writer, Post::to("a").payload(format!("plain {n}")));
    }
    let plain = story.deliveries(reader);
    assert_eq!(plain.len(), 5, "QoS 0 needs no quota and takes none");
    assert!(plain.iter().all(|delivery| delivery.qos == 0));
    assert_eq!(story.subscribe(reader, "b", 1), 1);
    assert_eq!(story.unsubscribe(reader, 2, &["b"]), [0]);
    assert_eq!(story.publish_fully(reader, Post::to("elsewhere").qos(2).id(4)), 0x10);
    story.expect_open(reader);
    story.puback(reader, first.id.unwrap());
    assert_eq!(story.delivery(reader).payload, b"1");
}

/// v5: X5-RECVMAX-PUBREC
#[test]
fn pubcomp_and_a_refusal_give_quota_back_and_pubrec_does_not() {
    let (mut story, reader, _) = pair(2, Hello::v5("reader").receive_maximum(1), 2, 3);
    let id = story.delivery(reader).id.unwrap();
    story.pubrec(reader, id);
    assert_eq!(story.hear_all(reader), [Heard::PubRel(id, 0, vec![])]);
    story.wait_s(5);
    story.expect_silence(reader);
    story.pubcomp(reader, id);
    let second = story.delivery(reader);
    assert_eq!(second.payload, b"1");
    story.acknowledge(reader, 0x50, second.id.unwrap(), 0x83);
    assert_eq!(story.delivery(reader).payload, b"2");
}

/// v5: X5-RECVMAX-RENEW
#[test]
fn each_connection_has_a_quota_of_its_own() {
    for shards in [1, 3] {
        let (mut story, reader, _) = pair(shards, Hello::v5("reader").receive_maximum(2), 1, 20);
        assert_eq!(story.deliveries(reader).len(), 2);
        story.cut(reader);
        let reader = story.connect(Hello::v5("reader").expiry(600).receive_maximum(10).resume());
        let again = story.deliveries(reader);
        assert_eq!(again.iter().filter(|delivery| delivery.dup).count(), 2);
        assert_eq!(again.len(), 10);
        story.cut(reader);
        // A smaller one holds for what is sent again, too.
        let reader = story.connect(Hello::v5("reader").expiry(600).receive_maximum(3).resume());
        let again = story.deliveries(reader);
        assert_eq!(again.len(), 3);
        assert!(again.iter().all(|delivery| delivery.dup));
    }
}

/// v5: X5-RECVMAX-DEFAULT, MQTT-4.9.0-1
#[test]
fn who_says_nothing_may_be_sent_thousands() {
    let mut story = Story::limited(|limits| limits.inflight_max = u16::MAX);
    let reader = story.connect(Hello::v5("reader"));
    let writer = story.connect(Hello::v5("writer"));
    story.subscribe(reader, "a", 1);
    for _ in 0..3000 {
        story.publish_fully(writer, Post::to("a").qos(1));
    }
    assert_eq!(story.deliveries(reader).len(), 3000);
}

/// v5: X5-RECVMAX-IN
#[test]
fn a_client_that_exceeds_our_receive_maximum_is_sent_away() {
    let mut story = Story::limited(|limits| limits.receive_maximum = 3);
    let reader = story.connect(Hello::v5("reader"));
    story.subscribe(reader, "a", 2);
    let (writer, said) = story.welcome(Hello::v5("writer"));
    assert_eq!(said, [33, 0, 3, 34, 0, 32]);
    for id in 1..=3 {
        story.publish(writer, Post::to("a").qos(2).id(id));
    }
    assert_eq!(story.hear_all(writer).len(), 3);
    // A repeat is none more, QoS 0 is not counted, and a release makes room.
    story.publish(writer, Post::to("a").qos(2).id(2).dup());
    story.publish(writer, Post::to("a"));
    story.pubrel(writer, 1);
    story.publish(writer, Post::to("a").qos(2).id(4));
    assert_eq!(story.hear_all(writer).len(), 3);
    story.publish(writer, Post::to("a").qos(2).id(5));
    story.expect_closed_for(writer, &[0x93]);
    assert_eq!(story.deliveries(reader).len(), 5);
}

/// v5: X5-MAXPKT-IN
#[test]
fn a_packet_above_our_maximum_is_refused_by_its_size() {
    let mut story = Story::limited(|limits| limits.packet_bytes_max = 100);
    let reader = story.connect(Hello::v5("reader"));
    story.subscribe(reader, "a", 0);
    // Two bytes of fixed header, three of topic, one of properties.
    let (writer, said) = story.welcome(Hello::v5("writer"));
    assert!(said.windows(5).any(|property| property == [39, 0, 0, 0, 100]), "{said:?}");
    let fits = v5::publish(b"a", &[], &[7; 94]);
    assert_eq!(fits.len(), 100);
    story.send(writer, &fits);
    assert_eq!(story.delivery(reader).payload, [7; 94]);
    story.send(writer, &v5::publish(b"a", &[], &[7; 95]));
    story.expect_closed_for(writer, &[0x95]);
    story.expect_silence(reader);
    // The header alone tells: nobody waits for the rest.
    let writer = story.connect(Hello::v5("writer"));
    story.send(writer, &[0x30, 0x80, 0x01]);
    story.expect_closed_for(writer, &[0x95]);
    let long = story.hello(&Hello::v5(&"x".repeat(120)));
    story.expect_refused(long, 0x95);
}

/// v5: X5-MAXPKT-OUT
#[test]
fn a_packet_above_the_clients_maximum_is_as_good_as_delivered() {
    for shards in [1, 3] {
        for qos in 0..=2 {
            let mut story = Story::new(shards);
            let writer = story.connect(Hello::v5("writer"));
            let free = story.connect(Hello::v5("free"));
            story.subscribe(free, "a", 2);
            let post = |payload: &str| Post::to("a").qos(qos).expiry(9).with(Property::User("n", "v")).payload(payload);
            let publish = |story: &mut Story, payload: &str| match qos {
                0 => story.publish(writer, post(payload)),
                _ => assert_eq!(story.publish_fully(writer, post(payload)), 0),
            };
            publish(&mut story, "fits");
            let size = u32::try_from(story.delivery(free).bytes).unwrap();
            let limited = Hello::v5("limited").expiry(60).with(Property::MaximumPacketSize(size));
            let reader = story.connect(limited.clone());
            story.subscribe(reader, "a", 2);
            publish(&mut story, "fits");
            publish(&mut story, "fits.");
            publish(&mut story, "last");
            let heard = story.deliveries(reader);
            assert_eq!(heard.iter().map(|delivery| &delivery.payload[..]).collect::<Vec<_>>(), [b"fits", b"last"]);
            assert_eq!(heard[0].bytes, size as usize);
            assert_eq!(story.deliveries(free).len(), 3, "others get it whole");
            story.cut(reader);
            let reader = story.connect(limited.resume());
            let again = story.deliveries(reader);
            assert!(again.iter().all(|delivery| delivery.payload != b"fits."), "it is not tried again");
        }
    }
}

/// v5: X5-MAXPKT-SHARED
#[test]
fn a_member_of_a_group_never_gets_what_is_too_large_for_it() {
    for shards in [1, 3] {
        let mut story = Story::new(shards);
        let writer = story.connect(Hello::v5("writer"));
        let narrow = story.connect(Hello::v5("narrow").with(Property::MaximumPacketSize(50)));
        let wide = story.connect(Hello::v5("wide"));
        story.subscribe(narrow, "$share/g/a", 1);
        story.subscribe(wide, "$share/g/a", 1);
        for _ in 0..10 {
            story.publish_fully(writer, Post::to("a").qos(1).payload([7; 80]));
        }
        story.expect_silence(narrow);
        assert!(!story.deliveries(wide).is_empty());
        for _ in 0..10 {
            story.publish_fully(writer, Post::to("a").qos(1).payload("small"));
        }
        assert!(!story.deliveries(narrow).is_empty(), "its place in the group is free again");
    }
}
