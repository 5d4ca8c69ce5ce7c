//! Handshakes as they read on paper: a packet in, what it means, and the packets that go out.

use super::*;
use crate::mqtt::connack::ConnAck;
use crate::mqtt::frame::{Next, next_frame};
use crate::mqtt::packet::Sender;
use crate::mqtt::properties::PropertyBuffer;

const ONE: PacketId = PacketId::new(1).unwrap();

fn id(number: u16) -> PacketId {
    PacketId::new(number).unwrap()
}

/// A client of this version that the broker has accepted.
fn accepted(version: Version) -> Conversation {
    accepted_on(version, &PropertyBuffer::new())
}

fn accepted_on(version: Version, terms: &PropertyBuffer) -> Conversation {
    let mut talk = Conversation::new(version, PacketId::MAX);
    let properties = terms.as_properties();
    let connack = ConnAck { session_present: false, reason: Reason::Success, properties };
    assert!(matches!(talk.hear(Packet::ConnAck(connack)), Ok(Heard::Accepted { .. })));
    talk
}

fn message(qos: QoS) -> Message<'static> {
    Message { topic: Topic::parse("a/b").unwrap(), payload: b"x", qos, is_retained: false }
}

fn incoming(qos: QoS, number: u16) -> Publish<'static> {
    Publish {
        dup: false,
        qos,
        retain: false,
        topic: Topic::parse("a/b").ok(),
        topic_alias: None,
        packet_id: PacketId::new(number),
        message_expiry: None,
        properties: Properties::NONE,
        payload: b"y",
    }
}

/// The packets that were to be sent, in the words of their kind: type, identifier, reason.
fn sent(talk: &mut Conversation) -> Vec<(PacketType, u16, Reason)> {
    let (version, bytes) = (talk.version(), std::mem::take(talk.unsent()));
    let (mut rest, mut packets) = (&bytes[..], Vec::new());
    while let Ok(Next::Frame(frame)) = next_frame(rest, PACKET_BYTES_MAX) {
        let packet = Packet::decode(version, Sender::Client, frame.first, frame.body).unwrap();
        let (number, reason) = if let Packet::Publish(publish) = packet {
            (publish.packet_id.map_or(0, PacketId::get), Reason::Success)
        } else if let Packet::PubAck(ack) | Packet::PubRec(ack) | Packet::PubRel(ack) | Packet::PubComp(ack) = packet {
            (ack.id.get(), ack.reason)
        } else {
            (0, Reason::Success)
        };
        packets.push((packet.packet_type(), number, reason));
        rest = &rest[frame.len..];
    }
    assert!(rest.is_empty(), "whole packets go out");
    packets
}

fn ack(number: u16) -> Ack<'static> {
    Ack::new(id(number), Reason::Success)
}

#[test]
fn a_message_of_qos_0_is_settled_when_it_is_written() {
    let mut talk = accepted(Version::V311);
    assert!(matches!(talk.publish(message(QoS::AtMostOnce)), Ok(None)));
    assert_eq!(sent(&mut talk), [(PacketType::Publish, 0, Reason::Success)]);
    assert!(talk.is_settled());
}

#[test]
fn a_message_of_qos_1_waits_for_its_puback() {
    let mut talk = accepted(Version::V311);
    assert!(matches!(talk.publish(message(QoS::AtLeastOnce)), Ok(Some(ONE))));
    assert!(!talk.is_settled());
    assert_eq!(talk.hear(Packet::PubAck(ack(9))).unwrap(), Heard::Nothing, "nobody waits for that one");
    assert_eq!(talk.hear(Packet::PubComp(ack(1))).unwrap(), Heard::Nothing, "that is not its answer");
    assert_eq!(talk.hear(Packet::PubAck(ack(1))).unwrap(), Heard::Settled(ONE, Reason::Success));
    assert!(talk.is_settled());
}

#[test]
fn a_message_of_qos_2_goes_through_all_four_steps() {
    for version in Version::ALL {
        let mut talk = accepted(version);
        talk.publish(message(QoS::ExactlyOnce)).unwrap();
        assert_eq!(talk.hear(Packet::PubRec(ack(1))).unwrap(), Heard::Nothing);
        assert_eq!(talk.hear(Packet::PubRec(ack(1))).unwrap(), Heard::Nothing, "a broker may say it twice");
        let release = (PacketType::PubRel, 1, Reason::Success);
        assert_eq!(sent(&mut talk), [(PacketType::Publish, 1, Reason::Success), release, release]);
        assert_eq!(talk.hear(Packet::PubComp(ack(1))).unwrap(), Heard::Settled(ONE, Reason::Success));
        assert!(talk.is_settled());
    }
}

#[test]
fn a_refused_message_of_qos_2_is_not_released() {
    let mut talk = accepted(Version::V5);
    talk.publish(message(QoS::ExactlyOnce)).unwrap();
    let refusal = Ack::new(ONE, Reason::QuotaExceeded);
    assert_eq!(talk.hear(Packet::PubRec(refusal)).unwrap(), Heard::Settled(ONE, Reason::QuotaExceeded));
    assert_eq!(sent(&mut talk).len(), 1, "the PUBLISH and no PUBREL");
    assert!(talk.is_settled());
}

#[test]
fn a_pubrec_that_nobody_waits_for_is_told_so() {
    let mut talk = accepted(Version::V5);
    talk.hear(Packet::PubRec(ack(5))).unwrap();
    assert_eq!(sent(&mut talk), [(PacketType::PubRel, 5, Reason::PacketIdentifierNotFound)]);
}

#[test]
fn a_message_is_acknowledged_when_it_was_taken_and_not_before() {
    let mut talk = accepted(Version::V311);
    let publish = incoming(QoS::AtLeastOnce, 3);
    assert!(matches!(talk.hear(Packet::Publish(publish)), Ok(Heard::Message(..))));
    assert!(sent(&mut talk).is_empty());
    talk.acknowledge(&publish);
    assert_eq!(sent(&mut talk), [(PacketType::PubAck, 3, Reason::Success)]);
}

#[test]
fn a_message_of_qos_2_is_handed_over_once_and_its_identifier_may_come_again_later() {
    let mut talk = accepted(Version::V5);
    let publish = incoming(QoS::ExactlyOnce, 3);
    assert!(matches!(talk.hear(Packet::Publish(publish)), Ok(Heard::Message(..))));
    talk.acknowledge(&publish);
    assert_eq!(talk.hear(Packet::Publish(Publish { dup: true, ..publish })).unwrap(), Heard::Nothing);
    let record = (PacketType::PubRec, 3, Reason::Success);
    assert_eq!(sent(&mut talk), [record, record]);
    assert!(!talk.is_settled());

    talk.hear(Packet::PubRel(ack(3))).unwrap();
    talk.hear(Packet::PubRel(ack(3))).unwrap();
    let unknown = (PacketType::PubComp, 3, Reason::PacketIdentifierNotFound);
    assert_eq!(sent(&mut talk), [(PacketType::PubComp, 3, Reason::Success), unknown]);
    assert!(talk.is_settled());
    assert!(matches!(talk.hear(Packet::Publish(publish)), Ok(Heard::Message(..))));
}

#[test]
fn the_window_is_the_smaller_of_ours_and_the_brokers() {
    let mut terms = PropertyBuffer::new();
    terms.push(Property::ReceiveMaximum(2));
    let mut talk = accepted_on(Version::V5, &terms);
    talk.publish(message(QoS::AtLeastOnce)).unwrap();
    assert!(talk.has_room());
    talk.publish(message(QoS::ExactlyOnce)).unwrap();
    assert!(!talk.has_room());
    talk.hear(Packet::PubAck(ack(1))).unwrap();
    assert!(talk.has_room());
    talk.set_window(1);
    assert!(!talk.has_room());
}

#[test]
fn identifiers_in_use_are_not_given_twice() {
    let mut talk = accepted(Version::V311);
    assert!(matches!(talk.publish(message(QoS::AtLeastOnce)), Ok(Some(ONE))));
    talk.last_id = PacketId::MAX;
    assert_eq!(talk.publish(message(QoS::AtLeastOnce)).unwrap(), Some(id(2)), "0 is none, and 1 is under way");
}

#[test]
fn what_the_broker_does_not_offer_is_not_sent() {
    let mut terms = PropertyBuffer::new();
    terms.push(Property::MaximumQoS(1)).push(Property::RetainAvailable(false)).push(Property::MaximumPacketSize(12));
    let mut talk = accepted_on(Version::V5, &terms);
    let qos_2 = message(QoS::ExactlyOnce);
    assert!(matches!(talk.publish(qos_2), Err(ClientError::QoSNotOffered { offered: QoS::AtLeastOnce, .. })));
    let retained = Message { is_retained: true, ..message(QoS::AtMostOnce) };
    assert!(matches!(talk.publish(retained), Err(ClientError::RetainNotOffered)));
    // Fixed header 2, topic 5, identifier 2, properties 1: two bytes are left.
    let fits = Message { payload: b"12", ..message(QoS::AtLeastOnce) };
    talk.publish(fits).unwrap();
    assert_eq!(talk.unsent().len(), 12);
    let too_large = talk.publish(Message { payload: b"123", ..fits });
    assert!(matches!(too_large, Err(ClientError::TooLarge { size: 13, maximum: 12 })));
    assert_eq!(talk.unsent().len(), 12, "nothing of what was refused goes out");
}

#[test]
fn a_payload_past_the_protocol_is_too_large_for_every_broker() {
    let payload = vec![0; PACKET_BYTES_MAX as usize];
    let too_large = accepted(Version::V311).publish(Message { payload: &payload, ..message(QoS::AtMostOnce) });
    assert!(matches!(too_large, Err(ClientError::TooLarge { maximum: PACKET_BYTES_MAX, .. })));
}

#[test]
fn a_refusal_carries_the_code_of_its_version() {
    for (version, wanted) in [(Version::V31, 5), (Version::V311, 5), (Version::V5, 0x87)] {
        let mut talk = Conversation::new(version, ONE);
        let refusal = talk.hear(Packet::ConnAck(ConnAck::refusal(Reason::NotAuthorized)));
        assert!(matches!(refusal, Err(ClientError::Refused { code, .. }) if code == wanted), "{version:?}");
    }
}

#[test]
fn only_connack_may_come_first_and_only_once() {
    let mut talk = Conversation::new(Version::V311, ONE);
    assert!(matches!(talk.hear(Packet::PingResp), Err(ClientError::Unexpected(PacketType::PingResp))));
    let mut talk = accepted(Version::V311);
    let again = talk.hear(Packet::ConnAck(ConnAck::refusal(Reason::NotAuthorized)));
    assert!(matches!(again, Err(ClientError::Unexpected(PacketType::ConnAck))));
}

#[test]
fn a_request_is_answered_once_and_under_its_identifier() {
    let mut talk = accepted(Version::V311);
    let mut requests = RequestBuffer::default();
    requests.push(&crate::mqtt::subscribe::Requested::new("a/#", QoS::AtLeastOnce));
    talk.subscribe(&requests);
    assert!(!talk.is_settled());
    let answer = |number| {
        let reasons = crate::mqtt::codes::Codes::parse(PacketType::SubAck, &[1]).unwrap();
        Packet::SubAck(SubAck { id: id(number), reasons, properties: Properties::NONE })
    };
    assert!(matches!(talk.hear(answer(2)), Err(ClientError::Unexpected(PacketType::SubAck))));
    assert!(matches!(talk.hear(answer(1)), Ok(Heard::Subscribed(_))));
    assert!(talk.is_settled());
    assert!(matches!(talk.hear(answer(1)), Err(ClientError::Unexpected(PacketType::SubAck))));
}
