//! The largest packet that MQTT knows, from one end to the other.
#![expect(clippy::disallowed_methods, reason = "one side writes while the other side reads")]

use std::io::{Read, Write};
use std::net::TcpStream;

use pregon::mqtt::Version;

use crate::client::Client;
use crate::patience::PATIENCE;
use crate::process::Broker;

/// The largest Remaining Length: four bytes of seven bits.
const REMAINING_LENGTH_MAX: usize = 268_435_455;
const TOPIC: &[u8] = b"\0\x03big";
/// Fixed header of a QoS 0 PUBLISH of that length.
const HEADER: [u8; 5] = [0x30, 0xff, 0xff, 0xff, 0x7f];
const PIECE: usize = 64 * 1024;
/// Five times the packet: as it comes, what its buffer grew out of, its payload on the way out, and what the allocator keeps.
/// Seen: 3.1 to 4.1 times, the more the busier the machine is.
const MEMORY_GROWTH_MAX: u64 = 5 * 256 * MEBIBYTE;
const MEBIBYTE: u64 = 1024 * 1024;

/// The payload's byte at this place: a piece that is missing, doubled or exchanged shows.
#[expect(clippy::cast_possible_truncation, reason = "the lower byte")]
fn byte_at(place: usize) -> u8 {
    (place ^ (place >> 8) ^ (place >> 16)) as u8
}

fn write_packet(stream: &mut TcpStream) {
    stream.write_all(&HEADER).expect("the broker takes bytes");
    stream.write_all(TOPIC).expect("the broker takes bytes");
    let mut piece = Vec::with_capacity(PIECE);
    let payload = REMAINING_LENGTH_MAX - TOPIC.len();
    for start in (0..payload).step_by(PIECE) {
        piece.clear();
        piece.extend((start..payload.min(start + PIECE)).map(byte_at));
        stream.write_all(&piece).expect("the broker takes bytes");
    }
}

fn read_packet(stream: &mut TcpStream) {
    let mut head = [0; HEADER.len() + TOPIC.len()];
    stream.read_exact(&mut head).expect("the packet begins");
    assert_eq!(head[..], [&HEADER, TOPIC].concat());
    let mut piece = vec![0; PIECE];
    let mut place = 0;
    let payload = REMAINING_LENGTH_MAX - TOPIC.len();
    while place < payload {
        let count = stream.read(&mut piece[..PIECE.min(payload - place)]).expect("the packet goes on");
        assert_ne!(count, 0, "the packet ends after {place} bytes");
        let wrong = piece[..count].iter().zip(place..).find(|(byte, place)| **byte != byte_at(*place));
        assert_eq!(wrong, None);
        place += count;
    }
}

#[test]
fn packet_of_256_mebibytes_arrives_whole_within_bounded_memory() {
    for shards in [1, 2] {
        let broker = Broker::start(shards);
        let mut subscriber = Client::join(&broker, Version::V311, "subscriber");
        subscriber.subscribe("big", 0);
        let mut publisher = Client::join(&broker, Version::V311, "publisher");
        let before = broker.memory_peak();

        let mut to_broker = publisher.stream().try_clone().expect("a descriptor is free");
        let writer = std::thread::spawn(move || write_packet(&mut to_broker));
        subscriber.stream().set_read_timeout(Some(PATIENCE)).expect("a time-out above zero is taken");
        read_packet(subscriber.stream());
        writer.join().expect("the packet was written");

        publisher.expect_silence();
        subscriber.expect_silence();
        let growth = broker.memory_peak() - before;
        assert!(growth <= MEMORY_GROWTH_MAX, "grew by {} MiB with {shards} shards", growth / MEBIBYTE);
    }
}

#[test]
fn announced_length_costs_nothing() {
    let broker = Broker::start(1);
    let mut boasters: Vec<Client> =
        (0..32).map(|number| Client::join(&broker, Version::V311, &format!("boaster-{number}"))).collect();
    let before = broker.memory_peak();
    for boaster in &mut boasters {
        boaster.send(&[&HEADER[..], TOPIC, b"and no more"].concat());
    }
    let mut other = Client::join(&broker, Version::V311, "other");
    other.expect_silence();
    let growth = broker.memory_peak() - before;
    assert!(growth < 16 * MEBIBYTE, "grew by {} MiB for 32 announcements", growth / MEBIBYTE);
}
