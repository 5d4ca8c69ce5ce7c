//! Each packet as a line on standard error: what `-d` shows.

use std::io::{self, Write as _};

use super::error::words;
use crate::mqtt::frame::{Next, PACKET_BYTES_MAX, next_frame};
use crate::mqtt::packet::{Packet, Sender};
use crate::mqtt::version::PacketId;
use crate::mqtt::{Topic, Version};

/// Shows the packets that go out.
pub fn sent(version: Version, mut bytes: &[u8]) {
    while let Ok(Next::Frame(frame)) = next_frame(bytes, PACKET_BYTES_MAX) {
        if let Ok(packet) = Packet::decode(version, Sender::Client, frame.first, frame.body) {
            show("->", &packet, frame.len);
        }
        bytes = &bytes[frame.len..];
    }
}

/// Shows a packet that came in.
pub fn received(packet: &Packet<'_>, len: usize) {
    show("<-", packet, len);
}

fn show(arrow: &str, packet: &Packet<'_>, len: usize) {
    let name = packet.packet_type().name().to_uppercase();
    // Nobody reads the trace any more: the work goes on.
    let _ = writeln!(io::stderr().lock(), "{arrow} {name}, {len} bytes{}", details(packet));
}

/// What tells one packet from another of its type; text of the other side as an escaped literal.
fn details(packet: &Packet<'_>) -> String {
    match packet {
        Packet::Connect(connect) => {
            format!(
                ", client {:?}, clean {}, keep-alive {} s",
                connect.client_id, connect.clean_start, connect.keep_alive
            )
        }
        Packet::ConnAck(connack) => {
            format!(", {}, session present {}", words(connack.reason), connack.session_present)
        }
        Packet::Publish(publish) => {
            let id = publish.packet_id.map_or(0, PacketId::get);
            let topic = publish.topic.map_or("", Topic::as_str);
            let (qos, retain, dup, len) = (publish.qos.bits(), publish.retain, publish.dup, publish.payload.len());
            format!(", id {id}, topic {topic:?}, qos {qos}, retain {retain}, dup {dup}, payload {len} bytes")
        }
        Packet::PubAck(ack) | Packet::PubRec(ack) | Packet::PubRel(ack) | Packet::PubComp(ack) => {
            format!(", id {}, {}", ack.id.get(), words(ack.reason))
        }
        Packet::Subscribe(subscribe) => {
            let filters: Vec<_> = subscribe.entries().map(|entry| format!("{:?}", entry.text)).collect();
            format!(", id {}, {}", subscribe.id.get(), filters.join(", "))
        }
        Packet::SubAck(suback) => {
            let reasons: Vec<_> = suback.reasons.iter().map(words).collect();
            format!(", id {}, {}", suback.id.get(), reasons.join(", "))
        }
        Packet::Unsubscribe(unsubscribe) => {
            let filters: Vec<_> = unsubscribe.entries().map(|entry| format!("{:?}", entry.text)).collect();
            format!(", id {}, {}", unsubscribe.id.get(), filters.join(", "))
        }
        Packet::UnsubAck(unsuback) => {
            let reasons: Vec<_> = unsuback.reasons.iter().map(words).collect();
            format!(", id {} {}", unsuback.id.get(), reasons.join(", "))
        }
        Packet::Disconnect(disconnect) => format!(", {}", words(disconnect.reason)),
        Packet::Auth(auth) => format!(", {}", words(auth.reason)),
        Packet::PingReq | Packet::PingResp => String::new(),
    }
}
