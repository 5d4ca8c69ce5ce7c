//! The largest packet that MQTT knows, from one end to the other.
#![expect(clippy::disallowed_methods, reason = "one side writes while the other side reads")]

use std::io::{Read, Write};
use std::net::TcpStream;

use pregon::mqtt::Version;

use crate::client::Client;
use crate::patience::PATIENCE;
use crate::process::Broker;
use crate::support::story::Heard;

/// The largest packet: its header, and the largest length that four bytes of seven bits can tell.
const PACKET_BYTES_MAX: usize = HEADER.len() + 268_435_455;
/// Fixed header of a PUBLISH of that length, without flags.
const HEADER: [u8; 5] = [0x30, 0xff, 0xff, 0xff, 0x7f];
const TOPIC: &[u8] = b"\0\x03big";
const PIECE: usize = 64 * 1024;
const MEBIBYTE: u64 = 1024 * 1024;
/// Five quarters of the packet: its memory is handed on from whom it came to whom it goes, and the allocator keeps for a
/// while what it grew out of. Seen: 298 to 300 MiB.
const MEMORY_GROWTH_MAX: u64 = 320 * MEBIBYTE;

/// All of the packet before its payload. Publisher and broker both use their first packet identifier.
fn head(qos: u8) -> Vec<u8> {
    let mut head = [&HEADER, TOPIC].concat();
    head[0] |= qos << 1;
    if qos > 0 {
        head.extend(1_u16.to_be_bytes());
    }
    head
}

/// The payload's byte at this place: a piece that is missing, doubled or exchanged shows.
#[expect(clippy::cast_possible_truncation, reason = "the lower byte")]
fn byte_at(place: usize) -> u8 {
    (place ^ (place >> 8) ^ (place >> 16)) as u8
}

fn write_packet(stream: &mut TcpStream, head: &[u8]) {
    stream.write_all(head).expect("the broker takes bytes");
    let mut piece = Vec::with_capacity(PIECE);
    let payload = PACKET_BYTES_MAX - head.len();
    for start in (0..payload).step_by(PIECE) {
        piece.clear();
        piece.extend((start..payload.min(start + PIECE)).map(byte_at));
        stream.write_all(&piece).expect("the broker takes bytes");
    }
}

fn read_packet(stream: &mut TcpStream, head: &[u8]) {
    let mut front = vec![0; head.len()];
    stream.read_exact(&mut front).expect("the packet begins");
    assert_eq!(front, head);
    let mut piece = vec![0; PIECE];
    let mut place = 0;
    let payload = PACKET_BYTES_MAX - head.len();
    while place < payload {
        let count = stream.read(&mut piece[..PIECE.min(payload - place)]).expect("the packet goes on");
        assert_ne!(count, 0, "the packet ends after {place} bytes");
        let wrong = piece[..count].iter().zip(place..).find(|(byte, place)| **byte != byte_at(*place));
        assert_eq!(wrong, None);
        place += count;
    }
}

/// By how much the broker's memory grows at most while one packet goes from one client to another.
fn growth_for_one_packet(shards: usize, qos: u8) -> u64 {
    let broker = Broker::start(shards);
    let mut subscriber = Client::join(&broker, Version::V311, "subscriber");
    subscriber.subscribe("big", qos);
    let mut publisher = Client::join(&broker, Version::V311, "publisher");
    let before = broker.memory_peak();

    let mut to_broker = publisher.stream().try_clone().expect("a descriptor is free");
    let writer = std::thread::spawn(move || write_packet(&mut to_broker, &head(qos)));
    subscriber.stream().set_read_timeout(Some(PATIENCE)).expect("a time-out above zero is taken");
    read_packet(subscriber.stream(), &head(qos));
    writer.join().expect("the packet was written");

    if qos > 0 {
        subscriber.answer(0x40, 1);
        publisher.expect("PUBACK", |heard| matches!(heard, Heard::PubAck(1, 0, _)));
    }
    publisher.expect_silence();
    subscriber.expect_silence();
    broker.memory_peak() - before
}

#[test]
fn packet_of_256_mebibytes_arrives_whole_within_five_quarters_of_its_size() {
    for (shards, qos) in [(1, 0), (1, 1), (2, 0), (2, 1)] {
        let growth = growth_for_one_packet(shards, qos);
        let mebibytes = growth / MEBIBYTE;
        assert!(growth <= MEMORY_GROWTH_MAX, "grew by {mebibytes} MiB with {shards} shards at QoS {qos}");
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
