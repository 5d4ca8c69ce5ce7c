//! What networks do to packets: cut them into bytes, break off in the middle, close one way.

use pregon::mqtt::Version;

use crate::client::Client;
use crate::patience::wait_until;
use crate::process::Broker;
use crate::support::story::{Heard, Hello, Post, Wish, subscribe};

#[test]
fn packets_may_come_byte_by_byte() {
    for shards in [1, 3] {
        let broker = Broker::start(shards);
        let mut subscriber = Client::join(&broker, Version::V5, "subscriber");
        subscriber.subscribe("bytes", 2);
        for version in Version::ALL {
            let mut publisher = Client::open(broker.address, version);
            let packets = [
                Hello::new(version, "publisher").encode(),
                Post::to("bytes").payload("QoS 0").encode(version),
                Post::to("bytes").payload("QoS 1").qos(1).id(5).encode(version),
            ];
            packets.concat().iter().for_each(|byte| publisher.send(&[*byte]));
            publisher.expect("CONNACK", |heard| matches!(heard, Heard::ConnAck(false, 0, _)));
            publisher.expect("PUBACK", |heard| matches!(heard, Heard::PubAck(5, 0, _)));
            assert_eq!(subscriber.take().payload, b"QoS 0");
            assert_eq!(subscriber.take().payload, b"QoS 1");
        }
    }
}

#[test]
fn disconnect_may_come_byte_by_byte() {
    for shards in [1, 3] {
        let broker = Broker::start(shards);
        // Often enough that the second byte meets the broker in every state that the first one can leave it in.
        for number in 0..2_000 {
            let mut client = Client::join(&broker, Version::V5, &format!("client-{number}"));
            client.send(&[0xe0]);
            client.send(&[0]);
            client.expect_closed();
        }
    }
}

#[test]
fn connect_and_all_behind_it_may_come_in_one_piece() {
    let broker = Broker::start(3);
    // So many that most of them are handed to another shard with bytes that nobody has looked at.
    for number in 0..16 {
        let mut client = Client::open(broker.address, Version::V311);
        let topic = format!("echo/{number}");
        let packets = [
            Hello::v311(&format!("client-{number}")).encode(),
            subscribe(Version::V311, 1, &[Wish::to(&topic, 0)], None),
            Post::to(&topic).payload("x").encode(Version::V311),
            vec![0xc0, 0],
        ];
        client.send(&packets.concat());
        client.expect("CONNACK", |heard| matches!(heard, Heard::ConnAck(false, 0, _)));
        assert_eq!(client.hear(), Heard::SubAck(1, vec![0], Vec::new()));
        // The message may have another shard to visit, the ping has not.
        let both = [client.hear(), client.hear()];
        assert!(both.contains(&Heard::PingResp), "{both:?}");
        assert!(both.iter().any(|heard| matches!(heard, Heard::Publish(post) if post.payload == b"x")), "{both:?}");
    }
}

#[test]
fn reset_in_the_middle_of_a_packet_delivers_nothing_and_harms_nobody() {
    let broker = Broker::start(3);
    let mut subscriber = Client::join(&broker, Version::V5, "subscriber");
    subscriber.subscribe("#", 1);
    let whole = Post::to("half").payload("never whole").qos(1).encode(Version::V311);
    for cut in 1..whole.len() {
        let will = Hello::v311("publisher").will("cut", &cut.to_string(), 0, false);
        let mut publisher = Client::connect(&broker, &will);
        publisher.send(&whole[..cut]);
        publisher.cut();
        assert_eq!(subscriber.take().payload, cut.to_string().as_bytes());
    }
    subscriber.expect_silence();
}

#[test]
fn half_closed_client_is_read_to_its_end() {
    let broker = Broker::start(3);
    let mut subscriber = Client::join(&broker, Version::V5, "subscriber");
    subscriber.subscribe("last words", 1);
    let mut publisher = Client::join(&broker, Version::V311, "publisher");
    publisher.publish(&Post::to("last words").payload("x").qos(1).id(1));
    publisher.close_half();
    assert_eq!(subscriber.take().payload, b"x");
    // The acknowledgement may still come, the close must.
    let mut heard = publisher.hear();
    if matches!(heard, Heard::PubAck(1, 0, _)) {
        heard = publisher.hear();
    }
    assert_eq!(heard, Heard::Closed);
}

#[test]
fn connection_that_says_no_mqtt_is_closed() {
    let broker = Broker::start(3);
    let before = broker.descriptor_count();
    for nonsense in [&b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"[..], &[0; 64], &[0xff; 64], &[0x16, 3, 1, 2, 0, 1]] {
        let mut client = Client::open(broker.address, Version::V311);
        client.send(nonsense);
        client.expect_closed();
    }
    Client::join(&broker, Version::V311, "well-behaved").leave();
    wait_until("the descriptors to be as before", || broker.descriptor_count() == before);
}
