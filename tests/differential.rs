//! Random packets of 3.1.1 and 5.0 have the same bytes and the same fields here and in a foreign implementation.
//!
//! Where the two disagree, and who is right by the standard:
//!
//! | packet | they | we | the standard |
//! |---|---|---|---|
//! | CONNECT 5.0, password without user name | refuse | accept | we: section 3.1.2.9 allows it |
//! | CONNECT 3.1.1, bridge bit in the level | refuse | accept | they; bridges of other makers set it |
//! | DISCONNECT 0x8C | refuse | accept from servers | itself of two minds: in table 2-6, not in 3.14.2.1 |
//! | SUBSCRIBE, UNSUBSCRIBE, share name with a wildcard | refuse whole | refuse the entry | both: 0x8F is for this as well |
//! | any, packet identifier 0 | accept some | refuse | we: [MQTT-2.2.1-3] [MQTT-2.2.1-5] |
//! | CONNECT, reserved or contradictory flags | accept some | refuse | we: [MQTT-3.1.2-3] [MQTT-3.1.2-11] [MQTT-3.1.2-13] |
//! | CONNACK, reserved flags, session in a refusal | accept | refuse | we: [MQTT-3.2.2-1] [MQTT-3.2.2-6] |
//! | SUBSCRIBE 3.1.1, options above 2 | accept | refuse | we: [MQTT-3-8.3-4] |
//! | SUBSCRIBE 5.0, No Local on `$share` | accept | refuse | we: [MQTT-3.8.3-4] |
//! | any, U+0000 in a text | accept | refuse | we: [MQTT-1.5.4-2] |
//! | PUBLISH and wills, wildcard or empty topic | accept | refuse | we: [MQTT-3.3.2-2] [MQTT-4.7.3-1] |
//! | PUBLISH 5.0, wildcard in the response topic | accept | refuse | we: [MQTT-3.3.2-14] |
//! | CONNECT 5.0, Authentication Data without a method | accept | refuse | we: section 3.1.2.11.10 |
//! | any, padded property length | accept | refuse | we: [MQTT-1.5.5-1] |
//! | DISCONNECT, AUTH: a reason of the other side | accept | refuse | we: each reason has its senders |
//!
//! Their parsers see no sender and no fixed header, so that some of this is left to their callers.

#![expect(clippy::unwrap_used, reason = "everything here is a test")]

#[path = "../src/mqtt/arbitrary.rs"]
mod arbitrary;

use arbitrary::samples;
use mqtt_protocol_core::mqtt::Arc;
use mqtt_protocol_core::mqtt::packet::{self as foreign, PayloadFormat, Qos, SubEntry, SubOpts, v3_1_1, v5_0};
use mqtt_protocol_core::mqtt::result_code as code;
use mqtt_protocol_core::mqtt::result_code::MqttError;
use pregon::mqtt::ack::Ack;
use pregon::mqtt::codes::Codes;
use pregon::mqtt::connect::Connect;
use pregon::mqtt::error::DecodeError;
use pregon::mqtt::packet::Packet;
use pregon::mqtt::properties::{Place, Properties, Property};
use pregon::mqtt::publish::Publish;
use pregon::mqtt::reason::Reason;
use pregon::mqtt::subscribe::{Requested, Subscribe};
use pregon::mqtt::topic::Topic;
use pregon::mqtt::varint;
use pregon::mqtt::version::{PacketType, QoS, Version};
// The generator says `crate::`, here as in its own crate.
use pregon::{base, mqtt};

/// What the foreign side makes of our packet: its bytes, and whether reading ours gives the same packet.
type Theirs = Result<(Vec<u8>, bool), MqttError>;

/// Builds a foreign packet, encodes it, and reads `$body` back.
macro_rules! build {
    ($type:ty, $body:expr, $builder:expr) => {{
        let built: $type = $builder.build()?;
        let read = <$type>::parse($body);
        let is_same = read.is_ok_and(|(read, len)| read == built && len == $body.len());
        Ok((built.to_continuous_buffer(), is_same))
    }};
}

/// One of the four acknowledgements, in either version.
macro_rules! acknowledge {
    ($type:ident, $code:ident, $ack:expr, $version:expr, $body:expr) => {{
        let (ack, properties): (&Ack<'_>, _) = ($ack, translate_all($ack.properties));
        match $version {
            Version::V5 => {
                let mut builder = v5_0::$type::builder().packet_id(ack.id.get());
                if ack.reason != Reason::Success || !properties.is_empty() {
                    builder = builder.reason_code(from_code::<code::$code>(ack.reason)?);
                }
                if !properties.is_empty() {
                    builder = builder.props(properties);
                }
                build!(v5_0::$type, $body, builder)
            }
            Version::V31 | Version::V311 => {
                build!(v3_1_1::$type, $body, v3_1_1::$type::builder().packet_id(ack.id.get()))
            }
        }
    }};
}

/// CONNECT has the same fields in both versions, but for properties.
macro_rules! connect {
    ($room:ident, $connect:expr, $body:expr, $builder:expr) => {{
        let connect: &Connect<'_> = $connect;
        let mut builder =
            $builder.client_id(connect.client_id)?.clean_start(connect.clean_start).keep_alive(connect.keep_alive);
        if let Some(will) = &connect.will {
            let payload = will.payload.to_vec();
            builder = builder.will_message(will.topic.as_str(), payload, qos(will.qos), will.retain)?;
        }
        if let Some(user_name) = connect.user_name {
            builder = builder.user_name(user_name)?;
        }
        if let Some(password) = connect.password {
            builder = builder.password(password.to_vec())?;
        }
        build!($room::Connect, $body, builder)
    }};
}

/// PUBLISH too.
macro_rules! publish {
    ($room:ident, $publish:expr, $body:expr, $builder:expr) => {{
        let publish: &Publish<'_> = $publish;
        let mut builder = $builder
            .topic_name(publish.topic.map_or("", Topic::as_str))?
            .qos(qos(publish.qos))
            .retain(publish.retain)
            .dup(publish.dup)
            .payload(publish.payload.to_vec());
        if let Some(id) = publish.packet_id {
            builder = builder.packet_id(id.get());
        }
        let built: $room::Publish = builder.build()?;
        let flags = publish.qos.bits() << 1 | u8::from(publish.dup) << 3 | u8::from(publish.retain);
        let read = $room::Publish::parse(flags, Arc::from($body));
        let is_same = read.is_ok_and(|(read, len)| read == built && len == $body.len());
        Ok((built.to_continuous_buffer(), is_same))
    }};
}

/// SUBSCRIBE, SUBACK, UNSUBSCRIBE, UNSUBACK, DISCONNECT, AUTH and the pings are told apart below.
fn theirs(version: Version, packet: &Packet<'_>, body: &[u8]) -> Theirs {
    match packet {
        Packet::PubAck(ack) => acknowledge!(Puback, PubackReasonCode, ack, version, body),
        Packet::PubRec(ack) => acknowledge!(Pubrec, PubrecReasonCode, ack, version, body),
        Packet::PubRel(ack) => acknowledge!(Pubrel, PubrelReasonCode, ack, version, body),
        Packet::PubComp(ack) => acknowledge!(Pubcomp, PubcompReasonCode, ack, version, body),
        Packet::Connect(_)
        | Packet::ConnAck(_)
        | Packet::Publish(_)
        | Packet::Subscribe(_)
        | Packet::SubAck(_)
        | Packet::Unsubscribe(_)
        | Packet::UnsubAck(_)
        | Packet::PingReq
        | Packet::PingResp
        | Packet::Disconnect(_)
        | Packet::Auth(_) => match version {
            Version::V5 => theirs_v5(packet, body),
            Version::V31 | Version::V311 => theirs_v311(packet, body),
        },
    }
}

fn theirs_v311(packet: &Packet<'_>, body: &[u8]) -> Theirs {
    match packet {
        Packet::Connect(connect) => connect!(v3_1_1, connect, body, v3_1_1::Connect::builder()),
        Packet::ConnAck(connack) => {
            let return_code = connack.reason.connack_v3().unwrap_or(0);
            let return_code = code::ConnectReturnCode::try_from(return_code).unwrap();
            let builder = v3_1_1::Connack::builder().session_present(connack.session_present);
            build!(v3_1_1::Connack, body, builder.return_code(return_code))
        }
        Packet::Publish(publish) => publish!(v3_1_1, publish, body, v3_1_1::Publish::builder()),
        Packet::Subscribe(subscribe) => {
            let builder = v3_1_1::Subscribe::builder().packet_id(subscribe.id.get());
            build!(v3_1_1::Subscribe, body, builder.entries(entries(subscribe)?))
        }
        Packet::SubAck(suback) => {
            let builder = v3_1_1::Suback::builder().packet_id(suback.id.get());
            build!(v3_1_1::Suback, body, builder.return_codes(codes(suback.reasons)?))
        }
        Packet::Unsubscribe(unsubscribe) => {
            let filters: Vec<&str> = unsubscribe.entries().map(|entry| entry.text).collect();
            let builder = v3_1_1::Unsubscribe::builder().packet_id(unsubscribe.id.get());
            build!(v3_1_1::Unsubscribe, body, builder.entries(filters)?)
        }
        Packet::UnsubAck(unsuback) => {
            let builder = v3_1_1::Unsuback::builder().packet_id(unsuback.id.get());
            build!(v3_1_1::Unsuback, body, builder)
        }
        Packet::PingReq => build!(v3_1_1::Pingreq, body, v3_1_1::Pingreq::builder()),
        Packet::PingResp => build!(v3_1_1::Pingresp, body, v3_1_1::Pingresp::builder()),
        Packet::Disconnect(_) => build!(v3_1_1::Disconnect, body, v3_1_1::Disconnect::builder()),
        Packet::PubAck(_) | Packet::PubRec(_) | Packet::PubRel(_) | Packet::PubComp(_) | Packet::Auth(_) => {
            unreachable!("{packet:?} is handled above or not of 3.1.1")
        }
    }
}

fn theirs_v5(packet: &Packet<'_>, body: &[u8]) -> Theirs {
    let props = translate_all(packet.properties());
    match packet {
        Packet::Connect(connect) => {
            let will_props = connect.will.map_or(Vec::new(), |will| translate_all(will.properties));
            let builder = v5_0::Connect::builder().props(props).will_props(will_props);
            connect!(v5_0, connect, body, builder)
        }
        Packet::ConnAck(connack) => {
            let builder = v5_0::Connack::builder().session_present(connack.session_present);
            let builder = builder.reason_code(from_code::<code::ConnectReasonCode>(connack.reason)?);
            build!(v5_0::Connack, body, builder.props(props))
        }
        Packet::Publish(publish) => {
            publish!(v5_0, publish, body, v5_0::Publish::builder().props(props))
        }
        Packet::Subscribe(subscribe) => {
            let builder = v5_0::Subscribe::builder().packet_id(subscribe.id.get());
            build!(v5_0::Subscribe, body, builder.entries(entries(subscribe)?).props(props))
        }
        Packet::SubAck(suback) => {
            let builder = v5_0::Suback::builder().packet_id(suback.id.get());
            build!(v5_0::Suback, body, builder.reason_codes(codes(suback.reasons)?).props(props))
        }
        Packet::Unsubscribe(unsubscribe) => {
            let filters: Vec<&str> = unsubscribe.entries().map(|entry| entry.text).collect();
            let builder = v5_0::Unsubscribe::builder().packet_id(unsubscribe.id.get());
            build!(v5_0::Unsubscribe, body, builder.entries(filters)?.props(props))
        }
        Packet::UnsubAck(unsuback) => {
            let builder = v5_0::Unsuback::builder().packet_id(unsuback.id.get());
            build!(v5_0::Unsuback, body, builder.reason_codes(codes(unsuback.reasons)?).props(props))
        }
        Packet::PingReq => build!(v5_0::Pingreq, body, v5_0::Pingreq::builder()),
        Packet::PingResp => build!(v5_0::Pingresp, body, v5_0::Pingresp::builder()),
        Packet::Disconnect(disconnect) => {
            let mut builder = v5_0::Disconnect::builder();
            if disconnect.reason != Reason::Success || !props.is_empty() {
                builder = builder.reason_code(from_code(disconnect.reason)?);
            }
            build!(v5_0::Disconnect, body, if props.is_empty() { builder } else { builder.props(props) })
        }
        Packet::Auth(auth) => {
            let mut builder = v5_0::Auth::builder();
            if auth.reason != Reason::Success || !props.is_empty() {
                builder = builder.reason_code(from_code(auth.reason)?);
            }
            build!(v5_0::Auth, body, if props.is_empty() { builder } else { builder.props(props) })
        }
        Packet::PubAck(_) | Packet::PubRec(_) | Packet::PubRel(_) | Packet::PubComp(_) => {
            unreachable!("{packet:?} is handled above")
        }
    }
}

fn qos(qos: QoS) -> Qos {
    Qos::try_from(qos.bits()).unwrap()
}

fn from_code<T: TryFrom<u8>>(reason: Reason) -> Result<T, MqttError> {
    T::try_from(reason.code()).ok().ok_or(MqttError::ProtocolError)
}

fn codes<T: TryFrom<u8>>(codes: Codes<'_>) -> Result<Vec<T>, MqttError> {
    codes.iter().map(from_code).collect()
}

fn entries(subscribe: &Subscribe<'_>) -> Result<Vec<SubEntry>, MqttError> {
    let translate = |entry: Requested<'_>| {
        let retain_handling = foreign::RetainHandling::try_from(entry.retain_handling as u8).unwrap();
        let options = SubOpts::new()
            .set_qos(qos(entry.qos))
            .set_nl(entry.no_local)
            .set_rap(entry.retain_as_published)
            .set_rh(retain_handling);
        SubEntry::new(entry.text, options)
    };
    subscribe.entries().map(translate).collect()
}

fn translate_all(properties: Properties<'_>) -> Vec<foreign::Property> {
    properties.iter().map(|property| translate(property).expect("a valid property")).collect()
}

#[rustfmt::skip]
fn translate(property: Property<'_>) -> Result<foreign::Property, MqttError> {
    use foreign::Property as P;
    Ok(match property {
        Property::PayloadFormat(is_text) => {
            let format = if is_text { PayloadFormat::String } else { PayloadFormat::Binary };
            P::PayloadFormatIndicator(foreign::PayloadFormatIndicator::new(format)?)
        }
        Property::MessageExpiry(v) => P::MessageExpiryInterval(foreign::MessageExpiryInterval::new(v)?),
        Property::ContentType(v) => P::ContentType(foreign::ContentType::new(v)?),
        Property::ResponseTopic(v) => P::ResponseTopic(foreign::ResponseTopic::new(v)?),
        Property::CorrelationData(v) => P::CorrelationData(foreign::CorrelationData::new(v.to_vec())?),
        Property::SubscriptionId(v) => P::SubscriptionIdentifier(foreign::SubscriptionIdentifier::new(v)?),
        Property::SessionExpiry(v) => P::SessionExpiryInterval(foreign::SessionExpiryInterval::new(v)?),
        Property::AssignedClientId(v) => P::AssignedClientIdentifier(foreign::AssignedClientIdentifier::new(v)?),
        Property::ServerKeepAlive(v) => P::ServerKeepAlive(foreign::ServerKeepAlive::new(v)?),
        Property::AuthMethod(v) => P::AuthenticationMethod(foreign::AuthenticationMethod::new(v)?),
        Property::AuthData(v) => P::AuthenticationData(foreign::AuthenticationData::new(v.to_vec())?),
        Property::RequestProblemInfo(v) => P::RequestProblemInformation(foreign::RequestProblemInformation::new(v.into())?),
        Property::WillDelay(v) => P::WillDelayInterval(foreign::WillDelayInterval::new(v)?),
        Property::RequestResponseInfo(v) => P::RequestResponseInformation(foreign::RequestResponseInformation::new(v.into())?),
        Property::ResponseInfo(v) => P::ResponseInformation(foreign::ResponseInformation::new(v)?),
        Property::ServerReference(v) => P::ServerReference(foreign::ServerReference::new(v)?),
        Property::ReasonString(v) => P::ReasonString(foreign::ReasonString::new(v)?),
        Property::ReceiveMaximum(v) => P::ReceiveMaximum(foreign::ReceiveMaximum::new(v)?),
        Property::TopicAliasMaximum(v) => P::TopicAliasMaximum(foreign::TopicAliasMaximum::new(v)?),
        Property::TopicAlias(v) => P::TopicAlias(foreign::TopicAlias::new(v.get())?),
        Property::MaximumQoS(v) => P::MaximumQos(foreign::MaximumQos::new(v)?),
        Property::RetainAvailable(v) => P::RetainAvailable(foreign::RetainAvailable::new(v.into())?),
        Property::User(k, v) => P::UserProperty(foreign::UserProperty::new(k, v)?),
        Property::MaximumPacketSize(v) => P::MaximumPacketSize(foreign::MaximumPacketSize::new(v)?),
        Property::WildcardAvailable(v) => P::WildcardSubscriptionAvailable(foreign::WildcardSubscriptionAvailable::new(v.into())?),
        Property::SubscriptionIdsAvailable(v) => P::SubscriptionIdentifierAvailable(foreign::SubscriptionIdentifierAvailable::new(v.into())?),
        Property::SharedAvailable(v) => P::SharedSubscriptionAvailable(foreign::SharedSubscriptionAvailable::new(v.into())?),
    })
}

/// The bytes of a packet and where its body begins.
fn encode(version: Version, packet: &Packet<'_>) -> (Vec<u8>, usize) {
    let mut bytes = Vec::new();
    packet.encode(version, &mut bytes);
    let length = varint::decode(&bytes[1..]).unwrap().unwrap();
    (bytes, 1 + length.len)
}

/// What we accept and they do not: the upper half of the table above.
fn is_only_ours(packet: &Packet<'_>) -> bool {
    if let Packet::Connect(connect) = packet {
        let is_password_alone = connect.password.is_some() && connect.user_name.is_none();
        connect.bridge || is_password_alone
    } else if let Packet::Disconnect(disconnect) = packet {
        disconnect.reason == Reason::BadAuthenticationMethod
    } else if let Packet::Subscribe(subscribe) = packet {
        subscribe.entries().any(|entry| entry.subscription.is_err())
    } else if let Packet::Unsubscribe(unsubscribe) = packet {
        unsubscribe.entries().any(|entry| entry.subscription.is_err())
    } else {
        false
    }
}

/// What they accept and we do not: the lower half.
fn is_only_refused_by_us(error: &DecodeError) -> bool {
    matches!(
        error,
        DecodeError::PacketIdZero
            | DecodeError::ConnectFlags { .. }
            | DecodeError::ConnAckFlags { .. }
            | DecodeError::SubscriptionOptions { .. }
            | DecodeError::NoLocalOnShared
            | DecodeError::TextWithNul { .. }
            | DecodeError::TopicInvalid(_)
            | DecodeError::TopicMissing
            | DecodeError::AuthMethodMissing
            | DecodeError::ResponseTopicInvalid(_)
            | DecodeError::VarintNotShortest { .. }
            | DecodeError::ReasonInvalid { packet: PacketType::Disconnect | PacketType::Auth, .. }
            | DecodeError::PropertyMisplaced { id: 0x11, place: Place::Disconnect }
    )
}

/// Whether they read a packet out of the whole body.
fn they_accept(version: Version, first: u8, body: &[u8]) -> bool {
    macro_rules! accepts {
        ($($bits:literal $v3:ident $v5:ident,)*) => {
            match (first >> 4, version) {
                (3, Version::V5) => len_of(v5_0::Publish::parse(first & 15, Arc::from(body))),
                (3, _) => len_of(v3_1_1::Publish::parse(first & 15, Arc::from(body))),
                (15, _) => len_of(v5_0::Auth::parse(body)),
                $(($bits, Version::V5) => len_of(v5_0::$v5::parse(body)),
                ($bits, _) => len_of(v3_1_1::$v3::parse(body)),)*
                _ => None,
            }
        };
    }
    let len = accepts! {
        1 Connect Connect, 2 Connack Connack, 4 Puback Puback, 5 Pubrec Pubrec, 6 Pubrel Pubrel,
        7 Pubcomp Pubcomp, 8 Subscribe Subscribe, 9 Suback Suback, 10 Unsubscribe Unsubscribe,
        11 Unsuback Unsuback, 12 Pingreq Pingreq, 13 Pingresp Pingresp, 14 Disconnect Disconnect,
    };
    len == Some(body.len())
}

fn len_of<T>(parsed: Result<(T, usize), MqttError>) -> Option<usize> {
    parsed.ok().map(|(_, len)| len)
}

/// One packet with one byte of its body changed.
fn damage(bytes: &mut [u8], body_at: usize, random: &mut base::random::Random) {
    // Most fields that can be wrong stand in front.
    let at = body_at + random.index((bytes.len() - body_at).min(24));
    bytes[at] = if random.chance(1, 2) { bytes[at] ^ 1 << random.below(8) } else { random.next_u64().to_le_bytes()[0] };
}

#[test]
fn both_write_the_same_bytes_and_read_the_same_packet() {
    for parts in samples(1, 500).filter(|parts| parts.version != Version::V31) {
        let (version, packet) = (parts.version, parts.packet());
        let (bytes, body_at) = encode(version, &packet);
        let outcome = theirs(version, &packet, &bytes[body_at..]);
        match (outcome, is_only_ours(&packet)) {
            (Ok((their_bytes, is_same)), false) => {
                assert_eq!(their_bytes, bytes, "{packet:?}");
                assert!(is_same, "they read something else out of {bytes:02X?}");
                let (first, body) = (their_bytes[0], &their_bytes[body_at..]);
                assert_eq!(Packet::decode(version, parts.sender, first, body), Ok(packet));
            }
            (Ok((their_bytes, _)), true) => {
                assert_ne!(their_bytes, bytes, "mended there: {packet:?}");
            }
            (Err(error), is_known) => assert!(is_known, "{error:?}: {packet:?}"),
        }
    }
}

#[test]
fn both_refuse_the_same_damaged_packets_but_for_the_table() {
    let mut random = base::random::Random::from_seed(2);
    let mut agreements = [0; 2];
    for parts in samples(3, 1_500).filter(|parts| parts.version != Version::V31) {
        let (version, packet) = (parts.version, parts.packet());
        let (mut bytes, body_at) = encode(version, &packet);
        if bytes.len() == body_at {
            continue;
        }
        damage(&mut bytes, body_at, &mut random);
        let (first, body) = (bytes[0], &bytes[body_at..]);
        let they_accept = they_accept(version, first, body);
        match Packet::decode(version, parts.sender, first, body) {
            Ok(packet) if !they_accept => assert!(is_only_ours(&packet), "{packet:?}"),
            Err(error) if they_accept => {
                assert!(is_only_refused_by_us(&error), "{error:?}: {bytes:02X?}");
            }
            Err(_) => agreements[0] += 1,
            Ok(packet) => {
                agreements[1] += 1;
                // Bytes that are not in the shortest form come back in another one.
                if encode(version, &packet).0 == bytes {
                    let same = theirs(version, &packet, body).map(|(_, is_same)| is_same);
                    assert!(same == Ok(true), "{same:?}: {packet:?}");
                }
            }
        }
    }
    assert!(agreements.iter().all(|&count| count > 5_000), "{agreements:?} of both kinds");
}
