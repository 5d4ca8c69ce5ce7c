//! CONNECT: the first packet of a client, and the one that says which version the connection speaks.

use super::error::DecodeError;
use super::fields::{check_flags, enclose, first_byte, put_properties, take_properties};
use super::properties::{Place, Properties};
use super::text::{Reader, put_binary, put_text, put_u16};
use super::topic::{Topic, TopicError};
use super::version::{PacketType, QoS, Version};

const RESERVED: u8 = 0x01;
const CLEAN_START: u8 = 0x02;
const WILL: u8 = 0x04;
const WILL_QOS_SHIFT: u32 = 3;
const WILL_QOS: u8 = 0x18;
const WILL_RETAIN: u8 = 0x20;
const PASSWORD: u8 = 0x40;
const USER_NAME: u8 = 0x80;

/// Set in the protocol level by bridges of 3.x, which ask for their own messages not to come back.
const BRIDGE: u8 = 0x80;

/// A client asks for a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Connect<'a> {
    /// The version of every later packet on this connection.
    pub version: Version,
    /// The client is a bridge of 3.x and says so in the level byte.
    pub bridge: bool,
    /// Forget what is stored for this client; in 3.x Clean Session, which also forgets at the end.
    pub clean_start: bool,
    /// The longest silence of the client in seconds; 0 for no limit.
    pub keep_alive: u16,
    /// May be empty here: whether that is allowed depends on version, `clean_start` and configuration.
    pub client_id: &'a str,
    /// The message to publish if the client is lost.
    pub will: Option<Will<'a>>,
    /// Who the client says it is.
    pub user_name: Option<&'a str>,
    /// What should prove it.
    pub password: Option<&'a [u8]>,
    /// What the client is like; none in 3.x.
    pub properties: Properties<'a>,
}

/// The last message of a client, published by the server in its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Will<'a> {
    /// Where it goes.
    pub topic: Topic<'a>,
    /// What it says.
    pub payload: &'a [u8],
    /// How surely it is delivered.
    pub qos: QoS,
    /// Whether it is kept for later subscribers.
    pub retain: bool,
    /// Will Delay and what the PUBLISH will carry; none in 3.x.
    pub properties: Properties<'a>,
}

/// Why bytes are no acceptable CONNECT, and how to say so.
#[derive(thiserror::Error, Clone, Copy, Debug, PartialEq, Eq)]
#[error("{error}")]
pub struct ConnectError {
    /// The version in which CONNACK gives the reason; `None`: close without a word.
    pub version: Option<Version>,
    /// What is wrong.
    pub error: DecodeError,
}

impl<'a> Connect<'a> {
    /// Decodes the first packet of a connection: `first` is its first byte, `body` what follows its
    /// Remaining Length.
    ///
    /// # Errors
    /// An unknown version, and everything malformed. [`ConnectError`] tells who hears of it.
    pub fn decode(first: u8, body: &'a [u8]) -> Result<Self, ConnectError> {
        let mut reader = Reader::new(body);
        let (version, bridge) = decode_version(&mut reader)?;
        Self::decode_rest(version, bridge, first, reader).map_err(|error| {
            // [MQTT-3.1.4-1] of 3.1.1: a malformed CONNECT is not answered. 5.0 lets the server explain.
            let answer = version.has_properties().then_some(version);
            ConnectError { version: answer, error }
        })
    }

    fn decode_rest(version: Version, bridge: bool, first: u8, mut reader: Reader<'a>) -> Result<Self, DecodeError> {
        check_flags(version, PacketType::Connect, first)?;
        let flags = reader.u8()?;
        check_connect_flags(version, flags)?;
        let keep_alive = reader.u16()?;
        let properties = take_properties(version, &mut reader, Place::Connect)?;
        check_auth_data(properties)?;
        // [MQTT-3.1.3-1] client identifier, will, user name, password: in this order.
        let client_id = reader.text()?;
        let has_will = flags & WILL != 0;
        let will = has_will.then(|| Will::decode(version, flags, &mut reader)).transpose()?;
        // Clients of 3.1 announce fields that they leave out: there the Remaining Length has the last word.
        let ends_early = |reader: &Reader<'_>| version == Version::V31 && reader.is_empty();
        let has_user_name = flags & USER_NAME != 0 && !ends_early(&reader);
        let user_name = has_user_name.then(|| reader.text()).transpose()?;
        let has_password = flags & PASSWORD != 0 && !ends_early(&reader);
        let password = has_password.then(|| reader.binary()).transpose()?;
        reader.finish()?;
        let clean_start = flags & CLEAN_START != 0;
        Ok(Self { version, bridge, clean_start, keep_alive, client_id, will, user_name, password, properties })
    }

    /// Appends the packet in the version that it names.
    pub fn encode(&self, out: &mut Vec<u8>) {
        debug_assert!(!self.bridge || !self.version.has_properties(), "5.0 has no bridge bit");
        enclose(first_byte(PacketType::Connect), out, |out| {
            put_text(self.version.name(), out);
            out.push(self.version.level() | if self.bridge { BRIDGE } else { 0 });
            out.push(self.flags());
            put_u16(self.keep_alive, out);
            put_properties(self.version, self.properties, out);
            put_text(self.client_id, out);
            if let Some(will) = &self.will {
                will.encode(self.version, out);
            }
            if let Some(user_name) = self.user_name {
                put_text(user_name, out);
            }
            if let Some(password) = self.password {
                put_binary(password, out);
            }
        });
    }

    fn flags(&self) -> u8 {
        let set = |bit, is_set| if is_set { bit } else { 0 };
        set(CLEAN_START, self.clean_start)
            | self.will.map_or(0, Will::flags)
            | set(USER_NAME, self.user_name.is_some())
            | set(PASSWORD, self.password.is_some())
    }
}

impl<'a> Will<'a> {
    fn decode(version: Version, flags: u8, reader: &mut Reader<'a>) -> Result<Self, DecodeError> {
        let properties = take_properties(version, reader, Place::Will)?;
        let topic = Topic::decode(reader)?.ok_or(DecodeError::TopicInvalid(TopicError::Empty))?;
        let payload = reader.binary()?;
        let qos = QoS::from_bits((flags & WILL_QOS) >> WILL_QOS_SHIFT).ok_or(DecodeError::ConnectFlags { flags })?;
        Ok(Self { topic, payload, qos, retain: flags & WILL_RETAIN != 0, properties })
    }

    fn encode(&self, version: Version, out: &mut Vec<u8>) {
        put_properties(version, self.properties, out);
        put_text(self.topic.as_str(), out);
        put_binary(self.payload, out);
    }

    fn flags(self) -> u8 {
        WILL | self.qos.bits() << WILL_QOS_SHIFT | if self.retain { WILL_RETAIN } else { 0 }
    }
}

/// Reads name and level, and tells a version that we do not speak from a peer that speaks no MQTT.
fn decode_version(reader: &mut Reader<'_>) -> Result<(Version, bool), ConnectError> {
    let silent = |error| ConnectError { version: None, error };
    let name = reader.binary().map_err(silent)?;
    let level = reader.u8().map_err(silent)?;
    let refuse = |answer| {
        let error = DecodeError::ProtocolLevelUnsupported { level };
        Err(ConnectError { version: Some(answer), error })
    };
    match (name, level & !BRIDGE, level & BRIDGE != 0) {
        (b"MQIsdp", 3, bridge) => Ok((Version::V31, bridge)),
        (b"MQTT", 4, bridge) => Ok((Version::V311, bridge)),
        (b"MQTT", 5, false) => Ok((Version::V5, false)),
        // [MQTT-3.1.2-2] the oldest form of CONNACK for a client of old, the newest for one of days to come.
        (b"MQIsdp", ..) => refuse(Version::V31),
        (b"MQTT", ..) if level < Version::V5.level() => refuse(Version::V311),
        (b"MQTT", ..) => refuse(Version::V5),
        // [MQTT-3.1.2-1] whatever it is, it does not wait for a CONNACK.
        _ => Err(silent(DecodeError::ProtocolNameUnknown)),
    }
}

/// Which combinations of connect flags exist.
fn check_connect_flags(version: Version, flags: u8) -> Result<(), DecodeError> {
    let has = |bit| flags & bit != 0;
    // [MQTT-3.1.2-3]
    let is_reserved = has(RESERVED);
    // [MQTT-3.1.2-11] [MQTT-3.1.2-13] no will, nothing said of it. [MQTT-3.1.2-12] QoS 3 is none.
    let is_will_wrong = !has(WILL) && has(WILL_QOS | WILL_RETAIN) || flags & WILL_QOS == WILL_QOS;
    // [MQTT-3.1.2-22] of 3.1.1; 5.0 lets a password stand alone.
    let is_password_alone = has(PASSWORD) && !has(USER_NAME) && !version.has_properties();
    if is_reserved || is_will_wrong || is_password_alone {
        return Err(DecodeError::ConnectFlags { flags });
    }
    Ok(())
}

/// Authentication Data means nothing without the method that explains it: a Protocol Error.
fn check_auth_data(properties: Properties<'_>) -> Result<(), DecodeError> {
    if properties.auth_data().is_some() && properties.auth_method().is_none() {
        return Err(DecodeError::AuthMethodMissing);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mqtt::golden::{assert_golden, frame, hex, split};
    use crate::mqtt::packet::{Packet, Sender};
    use crate::mqtt::properties::{Property, PropertyBuffer};
    use crate::mqtt::reason::Reason;

    fn plain(version: Version) -> Connect<'static> {
        Connect {
            version,
            bridge: false,
            clean_start: true,
            keep_alive: 60,
            client_id: "c",
            will: None,
            user_name: None,
            password: None,
            properties: Properties::NONE,
        }
    }

    fn decode(bytes: &[u8]) -> Result<Connect<'_>, ConnectError> {
        let (first, body) = split(bytes);
        Connect::decode(first, body)
    }

    fn assert_both_ways(digits: &str, connect: Connect<'_>) {
        assert_golden(connect.version, Sender::Client, digits, &Packet::Connect(connect));
    }

    /// A body from its name and level on, with everything behind the level in hex.
    fn body(name: &str, level: u8, rest: &str) -> Vec<u8> {
        let mut body = Vec::new();
        put_text(name, &mut body);
        body.push(level);
        body.extend(hex(rest));
        body
    }

    /// Who is told what about a CONNECT with this body.
    fn refusal(name: &str, level: u8, rest: &str) -> (Option<Version>, Reason) {
        let body = body(name, level, rest);
        let error = Connect::decode(0x10, &body).expect_err(rest);
        (error.version, error.error.reason())
    }

    #[test]
    fn each_version_has_its_name_and_level() {
        assert_both_ways("10 0F 0006 4D514973 6470 03 02 003C 0001 63", plain(Version::V31));
        assert_both_ways("10 0D 0004 4D515454 04 02 003C 0001 63", plain(Version::V311));
        assert_both_ways("10 0E 0004 4D515454 05 02 003C 00 0001 63", plain(Version::V5));
    }

    #[test]
    fn all_fields_of_3_1_1_in_their_order() {
        let connect = Connect {
            keep_alive: 60,
            client_id: "client-1",
            will: Some(Will {
                topic: Topic::parse("/hans/will").unwrap(),
                payload: b"unexpected exit",
                qos: QoS::ExactlyOnce,
                retain: false,
                properties: Properties::NONE,
            }),
            user_name: Some("hans"),
            password: Some(b"letmein"),
            ..plain(Version::V311)
        };
        let digits = "10 40 0004 4D515454 04 D6 003C 0008 636C69656E742D31 \
            000A 2F68616E732F77696C6C 000F 756E657870656374656420 65786974 \
            0004 68616E73 0007 6C65746D65696E";
        assert_both_ways(digits, connect);
    }

    #[test]
    fn all_fields_of_5_0_in_their_order() {
        let (mut properties, mut will_properties) = <(PropertyBuffer, PropertyBuffer)>::default();
        properties.push(Property::SessionExpiry(10)).push(Property::ReceiveMaximum(5));
        will_properties.push(Property::WillDelay(1));
        let connect = Connect {
            client_id: "",
            clean_start: false,
            will: Some(Will {
                topic: Topic::parse("w").unwrap(),
                payload: b"",
                qos: QoS::AtLeastOnce,
                retain: true,
                properties: will_properties.as_properties(),
            }),
            password: Some(&[0xFF]),
            properties: properties.as_properties(),
            ..plain(Version::V5)
        };
        let digits = "10 23 0004 4D515454 05 6C 003C 08 11 0000000A 21 0005 0000 \
            05 18 00000001 0001 77 0000 0001 FF";
        assert_both_ways(digits, connect);
    }

    #[test]
    fn bridges_of_3x_set_a_bit_in_the_level() {
        let bridge = |version| Connect { bridge: true, ..plain(version) };
        assert_both_ways("10 0D 0004 4D515454 84 02 003C 0001 63", bridge(Version::V311));
        assert_both_ways("10 0F 0006 4D514973 6470 83 02 003C 0001 63", bridge(Version::V31));
        let refused = refusal("MQTT", 0x85, "02 003C 00 0001 63");
        assert_eq!(refused, (Some(Version::V5), Reason::UnsupportedProtocolVersion));
    }

    #[test]
    fn an_unknown_level_is_answered_in_the_nearest_version() {
        let answer = |name, level| refusal(name, level, "02 003C 0001 63");
        let unsupported = Reason::UnsupportedProtocolVersion;
        for level in 0..=3 {
            assert_eq!(answer("MQTT", level), (Some(Version::V311), unsupported));
        }
        for level in [6, 7, 0x7F, 0x80, 0xFF] {
            assert_eq!(answer("MQTT", level), (Some(Version::V5), unsupported));
        }
        for level in [0, 2, 4, 5, 0x84, 0xFF] {
            assert_eq!(answer("MQIsdp", level), (Some(Version::V31), unsupported));
        }
    }

    #[test]
    fn an_unknown_name_is_not_answered() {
        for name in ["MQTX", "mqtt", "", "MQTTT", "HTTP"] {
            let refused = refusal(name, 4, "02 003C 0001 63");
            assert_eq!(refused, (None, Reason::UnsupportedProtocolVersion), "{name}");
        }
        for cut in [&[][..], &[0], &[0, 4], b"\0\x04MQT", b"\0\x04MQTT"] {
            assert_eq!(Connect::decode(0x10, cut).unwrap_err().version, None);
        }
    }

    #[test]
    fn only_5_0_hears_why_its_connect_is_malformed() {
        // [MQTT-3.1.2-3] reserved flag, in each version.
        assert_eq!(refusal("MQIsdp", 3, "03 003C 0001 63"), (None, Reason::MalformedPacket));
        assert_eq!(refusal("MQTT", 4, "03 003C 0001 63"), (None, Reason::MalformedPacket));
        let told = (Some(Version::V5), Reason::MalformedPacket);
        assert_eq!(refusal("MQTT", 5, "03 003C 00 0001 63"), told);
        let body = body("MQTT", 5, "02 003C 00 0001 63");
        let error = Connect::decode(0x12, &body).unwrap_err();
        assert_eq!((error.version, error.error.reason()), told);
    }

    #[test]
    fn connect_flags_exist_in_some_combinations_only() {
        for version in Version::ALL {
            for flags in 0..=255_u8 {
                let has = |bit: u8| flags & bit != 0;
                let is_right = !has(0x01)
                    && (has(0x04) || flags & 0x38 == 0)
                    && flags & 0x18 != 0x18
                    && (version == Version::V5 || has(0x80) || !has(0x40));
                let outcome = check_connect_flags(version, flags);
                assert_eq!(outcome.is_ok(), is_right, "{version:?} {flags:#010b}");
            }
        }
    }

    #[test]
    fn announced_fields_are_there_and_others_are_not() {
        let malformed = (None, Reason::MalformedPacket);
        // [MQTT-3.1.2-9] [MQTT-3.1.2-17] [MQTT-3.1.2-19] of 5.0.
        assert_eq!(refusal("MQTT", 4, "06 003C 0001 63"), malformed);
        assert_eq!(refusal("MQTT", 4, "06 003C 0001 63 0001 77"), malformed);
        assert_eq!(refusal("MQTT", 4, "82 003C 0001 63"), malformed);
        assert_eq!(refusal("MQTT", 4, "C2 003C 0001 63 0001 75"), malformed);
        // [MQTT-3.1.2-16] [MQTT-3.1.2-18] of 5.0.
        assert_eq!(refusal("MQTT", 4, "02 003C 0001 63 0001 75"), malformed);
        assert_eq!(refusal("MQTT", 4, "82 003C 0001 63 0001 75 0001 70"), malformed);
        // [MQTT-3.1.3-3] a CONNECT without any payload.
        assert_eq!(refusal("MQTT", 4, "02 003C"), malformed);
        assert_eq!(refusal("MQTT", 5, "02 003C 00").1, Reason::MalformedPacket);
    }

    #[test]
    fn texts_are_utf8_without_nul() {
        for rest in [
            "02 003C 0002 C328",              // [MQTT-3.1.3-4]
            "02 003C 0003 EDA080",            // [MQTT-1.5.3-1]
            "02 003C 0003 610062",            // [MQTT-1.5.3-2]
            "06 003C 0001 63 0002 FFFE 0000", // [MQTT-3.1.3-10]
            "06 003C 0001 63 0001 00 0000",   // [MQTT-1.5.3-2]
            "82 003C 0001 63 0002 C328",      // [MQTT-3.1.3-11]
        ] {
            assert_eq!(refusal("MQTT", 4, rest), (None, Reason::MalformedPacket), "{rest}");
        }
        let binary = body("MQTT", 4, "C2 003C 0001 63 0001 75 0002 FF00");
        assert_eq!(Connect::decode(0x10, &binary).unwrap().password, Some(&[0xFF, 0x00][..]));
    }

    #[test]
    fn a_will_needs_a_topic_name() {
        for topic in ["0000", "0001 23", "0003 612F2B"] {
            let rest = format!("06 003C 00 0001 63 00 {topic} 0000");
            let told = (Some(Version::V5), Reason::TopicNameInvalid);
            assert_eq!(refusal("MQTT", 5, &rest), told, "{topic}");
        }
    }

    #[test]
    fn in_3_1_announced_credentials_may_be_missing() {
        let cases = [
            ("C2 003C 0001 63", None, None),
            ("C2 003C 0001 63 0001 75", Some("u"), None),
            ("C2 003C 0001 63 0001 75 0001 70", Some("u"), Some(&b"p"[..])),
        ];
        for (rest, user_name, password) in cases {
            let body = body("MQIsdp", 3, rest);
            let connect = Connect::decode(0x10, &body).expect(rest);
            assert_eq!((connect.user_name, connect.password), (user_name, password));
        }
        // Half a field is still no field, and nothing may follow.
        for rest in ["82 003C 0001 63 00", "82 003C 0001 63 0002 75", "82 003C 0001 63 0001 75 00"] {
            assert_eq!(refusal("MQIsdp", 3, rest), (None, Reason::MalformedPacket));
        }
    }

    #[test]
    fn in_5_0_a_password_may_stand_alone_and_in_3x_not() {
        let body = body("MQTT", 5, "42 003C 00 0001 63 0001 70");
        let connect = Connect::decode(0x10, &body).unwrap();
        assert_eq!((connect.user_name, connect.password), (None, Some(&b"p"[..])));
        // [MQTT-3.1.2-22] of 3.1.1.
        let malformed = (None, Reason::MalformedPacket);
        assert_eq!(refusal("MQTT", 4, "42 003C 0001 63 0001 70"), malformed);
        assert_eq!(refusal("MQIsdp", 3, "42 003C 0001 63 0001 70"), malformed);
    }

    #[test]
    fn wrong_properties_are_told() {
        let reason = |properties: &str| {
            let rest = format!("02 003C {properties} 0001 63");
            let (version, reason) = refusal("MQTT", 5, &rest);
            assert_eq!(version, Some(Version::V5));
            reason
        };
        assert_eq!(reason("05 02 00000001"), Reason::MalformedPacket); // not in CONNECT
        assert_eq!(reason("02 7F 00"), Reason::MalformedPacket); // nowhere
        assert_eq!(reason("03 21 0000"), Reason::ProtocolError);
        assert_eq!(reason("05 27 00000000"), Reason::ProtocolError);
        assert_eq!(reason("02 19 02"), Reason::ProtocolError);
        assert_eq!(reason("06 21 0001 21 0001"), Reason::ProtocolError);
        assert_eq!(reason("04 16 0001 00"), Reason::ProtocolError); // data without a method
        assert_eq!(reason("7F 21 0001"), Reason::MalformedPacket);
    }

    #[test]
    fn the_longest_fields_fit() {
        let longest = "x".repeat(65_535);
        let connect = Connect {
            client_id: &longest,
            user_name: Some(&longest),
            password: Some(longest.as_bytes()),
            ..plain(Version::V311)
        };
        let mut bytes = Vec::new();
        connect.encode(&mut bytes);
        assert_eq!(bytes[..4], [0x10, 0x8D, 0x80, 0x0C], "196,621 bytes follow");
        assert_eq!(decode(&bytes), Ok(connect));
    }

    #[test]
    fn a_whole_frame_and_its_body_are_the_same_connect() {
        let body = body("MQTT", 4, "00 0000 0000");
        let bytes = frame(0x10, &body);
        let connect = decode(&bytes).unwrap();
        assert_eq!((connect.client_id, connect.keep_alive, connect.clean_start), ("", 0, false));
    }
}
