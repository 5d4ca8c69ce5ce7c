//! What a shard counts, told to it packet by packet.

mod support;

use pregon::engine::input::Input;
use pregon::mqtt::properties::Properties;
use pregon::mqtt::{PacketType, QoS, Version};
use support::bare::{Bare, connect, publish, subscribe};

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
    assert_eq!(
        stats.packet_bytes_received_by_type.iter().sum::<u64>(),
        stats.bytes_received,
        "every byte was a packet's"
    );
}

#[test]
fn a_piece_says_how_many_packets_of_which_type_it_holds() {
    for (from, to) in [(Version::V311, Version::V311), (Version::V5, Version::V311)] {
        let mut bare = Bare::new(1);
        let publisher = bare.connect(0, from, "publisher");
        let subscriber = bare.connect(0, to, "subscriber");
        bare.subscribe(subscriber, to, "a/b", 0);
        let run = publish(from, "a/b", QoS::AtMostOnce, Properties::NONE).repeat(5);
        let as_received = publish(to, "a/b", QoS::AtMostOnce, Properties::NONE).repeat(5);

        bare.send(publisher, &run);

        let pieces: Vec<_> = bare.outs[0].pieces().collect();
        assert_eq!(pieces.len(), 1, "a run is one piece");
        assert_eq!((pieces[0].packets, pieces[0].first_byte()), (5, Some(0x30)), "{from:?} to {to:?}");
        assert_eq!(pieces[0].len_for_one(), as_received.len());
    }
}

#[test]
fn a_session_whose_end_is_far_ends_in_time_where_nothing_happens_meanwhile() {
    const EXPIRY_S: u32 = 86_400;
    let mut bare = Bare::new(1); // its clock stands far behind the last look at a deadline, as after a quiet hour
    let mut connect = connect(Version::V5, "away", false);
    let place =
        connect.windows(5).position(|bytes| bytes == [0x11, 0xff, 0xff, 0xff, 0xff]).expect("it lives for ever");
    connect[place + 1..place + 5].copy_from_slice(&EXPIRY_S.to_be_bytes());
    let client = bare.connect_as(0, &connect);
    bare.send(client, &[0xe0, 0]);
    let ends_at = bare.now.after_seconds(EXPIRY_S);
    let shard = &mut bare.shards[0];
    let mut looks = 0;
    while let Some(due) = shard.next_due(bare.now) {
        assert!(due < ends_at.after_ms(1_000), "it ends in time");
        assert_eq!((shard.sizes().sessions, shard.stats().sessions_expired), (1, 0), "and not before");
        bare.now = due;
        shard.handle(Input::Tick, due, &mut bare.outs[0]);
        looks += 1;
    }
    assert_eq!((shard.sizes().sessions, shard.stats().sessions_expired), (0, 1));
    assert!(bare.now >= ends_at && looks < 200, "at {:?} after {looks} looks", bare.now);
}
