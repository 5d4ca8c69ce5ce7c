//! Bytes to packets and back.

use std::hint::black_box;

use pregon::mqtt::frame::{Next, PACKET_BYTES_MAX, next_frame};
use pregon::mqtt::outgoing::{Outgoing, encode_head};
use pregon::mqtt::properties::{Properties, PropertyBuffer};
use pregon::mqtt::property::Property;
use pregon::mqtt::publish::Publish;
use pregon::mqtt::run::find_run;
use pregon::mqtt::{QoS, Version};

use super::bare::publish;
use super::{Scenario, Work};

const TOPIC: &str = "tenant-001/site-02/device-0000345/temperature";

pub const SCENARIOS: &[Scenario] = &[
    Scenario { name: "decode-v311", unit: "packet", count: 10_000, build: || decode(Version::V311, false) },
    Scenario { name: "decode-v5", unit: "packet", count: 10_000, build: || decode(Version::V5, false) },
    Scenario { name: "decode-v5-3-properties", unit: "packet", count: 10_000, build: || decode(Version::V5, true) },
    Scenario { name: "encode-v311", unit: "head", count: 10_000, build: || encode(Version::V311) },
    Scenario { name: "encode-v5", unit: "head", count: 10_000, build: || encode(Version::V5) },
    Scenario { name: "find-run-of-1", unit: "packet", count: 10_000, build: || find(1) },
    Scenario { name: "find-run-of-50", unit: "packet", count: 500, build: || find(50) },
];

/// What a sensor's message might say about itself.
pub fn three_properties() -> PropertyBuffer {
    let mut properties = PropertyBuffer::default();
    properties.push(Property::PayloadFormat(true));
    properties.push(Property::ContentType("application/json"));
    properties.push(Property::User("unit", "celsius"));
    properties
}

fn decode(version: Version, has_properties: bool) -> Work {
    let properties = three_properties();
    let properties = if has_properties { properties.as_properties() } else { Properties::NONE };
    let packet = publish(version, TOPIC, QoS::AtMostOnce, properties);
    Box::new(move |count| {
        for _ in 0..count {
            let Ok(Next::Frame(frame)) = next_frame(black_box(&packet), PACKET_BYTES_MAX) else {
                unreachable!("the packet is whole")
            };
            black_box(Publish::decode(version, frame.first, frame.body).expect("the packet is in order"));
        }
    })
}

fn encode(version: Version) -> Work {
    let mut bytes = Vec::with_capacity(1 << 10);
    Box::new(move |count| {
        for _ in 0..count {
            bytes.clear();
            let outgoing = Outgoing {
                topic: black_box(TOPIC),
                topic_alias: None,
                qos: QoS::AtMostOnce,
                retain: false,
                dup: false,
                packet_id: None,
                message_expiry: None,
                subscription_ids: &[],
                forwarded: &[],
                payload_len: 64,
            };
            black_box(encode_head(version, black_box(&outgoing), &mut bytes));
        }
    })
}

/// A run of so many packets; counted is the share of one.
fn find(packets: u32) -> Work {
    let bytes = publish(Version::V311, TOPIC, QoS::AtMostOnce, Properties::NONE).repeat(packets as usize);
    Box::new(move |count| {
        let mut found = 0;
        while found < count {
            let run = find_run(Version::V311, black_box(&bytes), PACKET_BYTES_MAX, usize::MAX);
            found += black_box(run).expect("the packets are plain").count;
        }
    })
}
