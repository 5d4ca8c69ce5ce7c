//! Makes an answer fit its receiver: what it need not say is left out, what cannot fit is not sent.

use super::packet::Packet;
use super::properties::{Properties, Property, PropertyBuffer};
use super::version::{PacketType, Version};

/// What a client has said in CONNECT about packets that it wants to get.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReceiverLimits {
    /// Maximum Packet Size in bytes, the fixed header included; `u32::MAX` for no limit.
    pub packet_bytes_max: u32,
    /// Request Problem Information: whether diagnostics are welcome everywhere.
    pub problem_information: bool,
}

impl ReceiverLimits {
    /// A client that has asked for nothing, or speaks 3.x.
    pub const NONE: Self = Self { packet_bytes_max: u32::MAX, problem_information: true };
}

/// How much of the diagnostics a packet carries. The order is that of the attempts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Detail {
    Full,
    ReasonString,
    Bare,
}

/// Appends the packet to `out` if it can be made to fit, and tells whether it could.
///
/// User Properties go first, then the Reason String too: [MQTT-3.2.2-19] [MQTT-3.2.2-20] and their sisters
/// for every other answer. In a PUBLISH they are the message's own, so that it goes whole or not at all
/// [MQTT-3.1.2-24]. A refusal that 3.x has no return code for is nothing, and nothing always fits.
#[must_use = "a packet that does not fit has not been sent"]
pub fn encode_fitting(packet: &Packet<'_>, version: Version, limits: ReceiverLimits, out: &mut Vec<u8>) -> bool {
    let at = out.len();
    for &detail in attempts(packet, limits) {
        let mut kept = PropertyBuffer::default();
        match detail {
            Detail::Full => packet.encode(version, out),
            Detail::ReasonString | Detail::Bare => {
                keep(packet.properties(), detail, &mut kept);
                packet.with_properties(kept.as_properties()).encode(version, out);
            }
        }
        if out.len() - at <= limits.packet_bytes_max as usize {
            return true;
        }
        out.truncate(at);
    }
    false
}

/// The forms of a packet that are allowed, from the richest to the barest.
fn attempts(packet: &Packet<'_>, limits: ReceiverLimits) -> &'static [Detail] {
    let packet_type = packet.packet_type();
    let has_diagnostics = packet.properties().iter().any(is_diagnostic);
    if packet_type == PacketType::Publish || !has_diagnostics {
        return &[Detail::Full];
    }
    // [MQTT-3.1.2-29] whoever wants no explanations gets them in these two at most.
    let is_exempt = matches!(packet_type, PacketType::ConnAck | PacketType::Disconnect);
    if limits.problem_information || is_exempt {
        &[Detail::Full, Detail::ReasonString, Detail::Bare]
    } else {
        &[Detail::Bare]
    }
}

fn keep(properties: Properties<'_>, detail: Detail, kept: &mut PropertyBuffer) {
    for property in properties.iter() {
        let is_kept = match detail {
            Detail::Full => true,
            Detail::ReasonString => !matches!(property, Property::User(..)),
            Detail::Bare => !is_diagnostic(property),
        };
        if is_kept {
            kept.push(property);
        }
    }
}

fn is_diagnostic(property: Property<'_>) -> bool {
    matches!(property, Property::ReasonString(_) | Property::User(..))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::random::Random;
    use crate::mqtt::ack::Ack;
    use crate::mqtt::arbitrary::{Parts, samples};
    use crate::mqtt::connack::ConnAck;
    use crate::mqtt::golden::{decode, encode};
    use crate::mqtt::packet::Sender;
    use crate::mqtt::reason::Reason;
    use crate::mqtt::version::PacketId;

    const WELCOME: bool = true;

    fn limits(packet_bytes_max: u32, problem_information: bool) -> ReceiverLimits {
        ReceiverLimits { packet_bytes_max, problem_information }
    }

    /// The bytes that leave, if any do.
    fn fitted(packet: &Packet<'_>, limits: ReceiverLimits) -> Option<Vec<u8>> {
        let mut out = b"before".to_vec();
        let is_sent = encode_fitting(packet, Version::V5, limits, &mut out);
        assert!(out.starts_with(b"before"));
        let bytes = out.split_off(6);
        assert!(is_sent || bytes.is_empty(), "what does not fit leaves nothing behind");
        is_sent.then_some(bytes)
    }

    fn diagnostics() -> PropertyBuffer {
        let mut properties = PropertyBuffer::default();
        properties.push(Property::User("key", "value")).push(Property::ReasonString("denied"));
        properties
    }

    #[test]
    fn diagnostics_go_one_by_one_until_the_packet_fits() {
        let properties = diagnostics();
        let properties = properties.as_properties();
        let id = PacketId::new(1).unwrap();
        let packet = Packet::PubAck(Ack { id, reason: Reason::NotAuthorized, properties });
        let len = |maximum| fitted(&packet, limits(maximum, WELCOME)).map(|bytes| bytes.len());
        // 5 = header, id, reason; 1 = property length; 9 = Reason String; 13 = User Property.
        assert_eq!(len(u32::MAX), Some(28));
        assert_eq!(len(28), Some(28));
        assert_eq!(len(27), Some(15));
        assert_eq!(len(15), Some(15));
        assert_eq!(len(14), Some(5));
        assert_eq!(len(5), Some(5));
        assert_eq!(len(4), None);
    }

    #[test]
    fn other_properties_stay() {
        let mut properties = diagnostics();
        properties.push(Property::ServerKeepAlive(5));
        let properties = properties.as_properties();
        let (session_present, reason) = (false, Reason::Success);
        let packet = Packet::ConnAck(ConnAck { session_present, reason, properties });
        let bytes = fitted(&packet, limits(10, WELCOME)).unwrap();
        assert_eq!(bytes, [0x20, 6, 0, 0, 3, 0x13, 0, 5]);
        assert_eq!(fitted(&packet, limits(7, WELCOME)), None);
    }

    #[test]
    fn unwelcome_diagnostics_stay_in_connack_and_disconnect_only() {
        for parts in samples(3, 100).filter(|parts| parts.version == Version::V5) {
            let packet = parts.packet();
            let bytes = fitted(&packet, limits(u32::MAX, !WELCOME)).unwrap();
            let sent = decode(Version::V5, parts.sender, &bytes).unwrap();
            let exempt = [PacketType::ConnAck, PacketType::Disconnect, PacketType::Publish];
            if exempt.contains(&sent.packet_type()) {
                assert_eq!(sent, packet);
            } else {
                // [MQTT-3.1.2-29]
                assert!(!sent.properties().iter().any(is_diagnostic), "{sent:?}");
            }
        }
    }

    #[test]
    fn whatever_the_limit_nothing_leaves_that_exceeds_it() {
        let mut random = Random::from_seed(4);
        for parts in samples(4, 300).filter(|parts| parts.version == Version::V5) {
            let packet = parts.packet();
            let maximum = random.range(1, packet.encoded_len(Version::V5) as u64 + 1);
            let maximum = u32::try_from(maximum).unwrap();
            if let Some(bytes) = fitted(&packet, limits(maximum, WELCOME)) {
                assert!(bytes.len() <= maximum as usize);
                decode(Version::V5, parts.sender, &bytes).unwrap();
                continue;
            }
            let mut bare = PropertyBuffer::default();
            keep(packet.properties(), Detail::Bare, &mut bare);
            let bare = packet.with_properties(bare.as_properties());
            let is_whole = packet.packet_type() == PacketType::Publish;
            let least = if is_whole { packet } else { bare };
            assert!(encode(Version::V5, &least).len() > maximum as usize);
        }
    }

    #[test]
    fn a_publish_goes_whole_or_not_at_all() {
        let kind = (Version::V5, Sender::Server, PacketType::Publish);
        let mut random = Random::from_seed(5);
        for _ in 0..200 {
            let parts = Parts::draw(kind, &mut random);
            let packet = parts.packet();
            let len = u32::try_from(packet.encoded_len(Version::V5)).unwrap();
            assert_eq!(fitted(&packet, limits(len, !WELCOME)), Some(encode(Version::V5, &packet)));
            assert_eq!(fitted(&packet, limits(len - 1, WELCOME)), None);
        }
    }
}
