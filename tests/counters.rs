//! What a shard counts, told to it packet by packet.

mod support;

use pregon::mqtt::properties::Properties;
use pregon::mqtt::{PacketType, QoS, Version};
use support::bare::{Bare, publish, subscribe};

const PINGREQ: [u8; 2] = [0xc0, 0];

#[test]
fn received_packets_are_counted_by_type_and_a_run_as_its_packets() {
    let mut bare = Bare::new(1);
    let client = bare.connect(0, Version::V5, "counted");
    let plain = publish(Version::V5, "a/b", QoS::AtMostOnce, Properties::NONE);
    let acknowledged = publish(Version::V5, "a/b", QoS::AtLeastOnce, Properties::NONE);

    bare.send(client, &[&plain.repeat(5)[..], &acknowledged].concat());
    bare.send(client, &subscribe(Version::V5, "a/#", 0));
    bare.send(client, &PINGREQ);

    let stats = bare.shards[0].stats();
    let received = |packet: PacketType| stats.packets_received_by_type[usize::from(packet.bits())];
    assert_eq!(received(PacketType::Connect), 1);
    assert_eq!((received(PacketType::Publish), stats.publishes_verbatim), (6, 5));
    assert_eq!((received(PacketType::Subscribe), received(PacketType::PingReq)), (1, 1));
    assert_eq!(stats.packets_received_by_type.iter().sum::<u64>(), stats.packets_received);
}
