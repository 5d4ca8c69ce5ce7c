//! The messages that the load generator writes and reads.

use pregon::mqtt::connect::Connect;
use pregon::mqtt::frame::{Next, next_frame};
use pregon::mqtt::publish::Publish;
use pregon::mqtt::{PacketId, PacketType, QoS, Version};

use crate::generator::packets::{Delivery, Session, Template, acknowledge, connect};
use crate::generator::stamp::{STAMP_BYTES, Stamp};

const STAMP: Stamp = Stamp { publisher: 3, sequence: 900, sent_ns: 12_345 };

fn message(version: Version, qos: QoS, payload_len: usize) -> Vec<u8> {
    let mut bytes = Vec::new();
    Template::new(version, "load/3", qos, payload_len, 3).append(STAMP.sequence, STAMP.sent_ns, 0x0102, &mut bytes);
    bytes
}

#[test]
fn a_message_is_what_the_codec_reads() {
    for version in Version::ALL {
        for (qos, id) in [(QoS::AtMostOnce, None), (QoS::AtLeastOnce, Some(0x0102)), (QoS::ExactlyOnce, Some(0x0102))] {
            let bytes = message(version, qos, 200);
            let Ok(Next::Frame(frame)) = next_frame(&bytes, u32::MAX) else { panic!("{version:?} {qos:?}") };
            let publish = Publish::decode(version, frame.first, frame.body).unwrap();
            assert_eq!((frame.len, publish.qos, publish.packet_id.map(PacketId::get)), (bytes.len(), qos, id));
            assert_eq!((publish.payload.len(), Stamp::read(publish.payload)), (200, Some(STAMP)));
        }
    }
}

#[test]
fn a_delivery_is_read_in_each_version_and_quality_of_service() {
    for version in Version::ALL {
        for qos in [QoS::AtMostOnce, QoS::AtLeastOnce, QoS::ExactlyOnce] {
            let bytes = message(version, qos, STAMP_BYTES);
            let packet_id = if qos == QoS::AtMostOnce { 0 } else { 0x0102 };
            let expected = Delivery { qos: qos.bits(), packet_id, stamp: STAMP };
            assert_eq!(Delivery::read(version, bytes[0], &bytes[2..]), Some(expected), "{version:?} {qos:?}");
        }
    }
}

#[test]
fn properties_of_a_delivery_are_passed_over() {
    let mut body = vec![0, 1, b't', 3, 0x0b, 0x80, 0x01];
    body.extend(STAMP.to_bytes());
    let delivery = Delivery::read(Version::V5, 0x30, &body);
    assert_eq!(delivery.map(|delivery| delivery.stamp), Some(STAMP));
}

#[test]
fn a_delivery_that_is_cut_short_is_refused() {
    let bytes = message(Version::V5, QoS::ExactlyOnce, STAMP_BYTES);
    for end in 2..bytes.len() {
        assert_eq!(Delivery::read(Version::V5, bytes[0], &bytes[2..end]), None, "{end}");
    }
}

#[test]
fn a_session_that_is_to_last_says_so_as_its_version_can() {
    let asked = |version, session| {
        let mut bytes = Vec::new();
        connect(version, "load-1", session, &mut bytes);
        let Ok(Next::Frame(frame)) = next_frame(&bytes, u32::MAX) else { panic!("one whole packet") };
        let packet = Connect::decode(frame.first, frame.body).unwrap();
        (packet.clean_start, packet.properties.session_expiry())
    };
    for version in [Version::V31, Version::V311] {
        let sessions = [Session::Passing, Session::Lasting, Session::Resumed];
        assert_eq!(sessions.map(|session| asked(version, session)), [(true, None), (false, None), (false, None)]);
    }
    assert_eq!(asked(Version::V5, Session::Passing), (true, None));
    assert_eq!(asked(Version::V5, Session::Lasting), (true, Some(86_400)));
    assert_eq!(asked(Version::V5, Session::Resumed), (false, Some(86_400)));
}

#[test]
fn acknowledgements_have_the_flags_of_the_standard() {
    let mut out = Vec::new();
    acknowledge(PacketType::PubAck, 1, &mut out);
    acknowledge(PacketType::PubRel, 0x0203, &mut out);
    assert_eq!(out, [0x40, 2, 0, 1, 0x62, 2, 2, 3]);
}
