//! The golden conversations, word for word, over real sockets.

use crate::process::Broker;
use crate::support::golden::{Delivery, Failure, run_all, tcp::TcpWire};

/// Plays all conversations against a broker with so many shards.
fn play(shards: usize, delivery: Delivery) {
    let broker = Broker::start(shards);
    let failures = run_all(&mut TcpWire::new(broker.address), delivery);
    let lines: Vec<String> = failures.iter().map(Failure::to_string).collect();
    assert!(lines.is_empty(), "{} conversations went otherwise than written:\n{}", lines.len(), lines.join("\n"));
}

#[test]
fn one_shard_agrees_on_every_conversation() {
    play(1, Delivery::Whole);
}

#[test]
fn one_shard_agrees_on_every_conversation_byte_by_byte() {
    play(1, Delivery::ByteByByte);
}

#[test]
fn three_shards_agree_on_every_conversation() {
    play(3, Delivery::Whole);
}

#[test]
fn three_shards_agree_on_every_conversation_byte_by_byte() {
    play(3, Delivery::ByteByByte);
}
