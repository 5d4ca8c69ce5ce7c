//! The reason codes of MQTT 5.0, where each may stand, and what the older versions say instead.

use super::version::{PacketType, QoS};

/// One row a code: number, name, the packets that may carry it. Everything below is derived from it.
macro_rules! reasons {
    ($($variant:ident = $code:literal $name:literal [$($packet:ident)*];)*) => {
        /// The outcome of a request or the cause of an end; 0x80 and above are failures.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        #[repr(u8)]
        pub enum Reason {
            $(#[doc = concat!("`", $name, "`")] $variant = $code,)*
        }

        impl Reason {
            /// Every code of the standard, in ascending order.
            pub const ALL: &[Reason] = &[$(Reason::$variant,)*];

            /// The reason of this number; `None` where the standard defines none.
            pub const fn from_code(code: u8) -> Option<Reason> {
                match code {
                    $($code => Some(Reason::$variant),)*
                    _ => None,
                }
            }

            /// The name as logs and metrics write it.
            pub const fn name(self) -> &'static str {
                match self {
                    $(Reason::$variant => $name,)*
                }
            }

            /// The packets that may carry this code, a bit for each type.
            const fn packets(self) -> u16 {
                match self {
                    $(Reason::$variant => 0 $(| 1 << PacketType::$packet.bits())*,)*
                }
            }
        }
    };
}

reasons! {
    Success = 0x00 "success" [ConnAck PubAck PubRec PubRel PubComp SubAck UnsubAck Disconnect Auth];
    GrantedQoS1 = 0x01 "granted_qos_1" [SubAck];
    GrantedQoS2 = 0x02 "granted_qos_2" [SubAck];
    DisconnectWithWill = 0x04 "disconnect_with_will" [Disconnect];
    NoMatchingSubscribers = 0x10 "no_matching_subscribers" [PubAck PubRec];
    NoSubscriptionExisted = 0x11 "no_subscription_existed" [UnsubAck];
    ContinueAuthentication = 0x18 "continue_authentication" [Auth];
    ReAuthenticate = 0x19 "re_authenticate" [Auth];
    UnspecifiedError = 0x80 "unspecified_error" [ConnAck PubAck PubRec SubAck UnsubAck Disconnect];
    MalformedPacket = 0x81 "malformed_packet" [ConnAck Disconnect];
    ProtocolError = 0x82 "protocol_error" [ConnAck Disconnect];
    ImplementationSpecificError = 0x83 "implementation_specific_error" [ConnAck PubAck PubRec SubAck UnsubAck Disconnect];
    UnsupportedProtocolVersion = 0x84 "unsupported_protocol_version" [ConnAck];
    ClientIdentifierNotValid = 0x85 "client_identifier_not_valid" [ConnAck];
    BadUserNameOrPassword = 0x86 "bad_user_name_or_password" [ConnAck];
    NotAuthorized = 0x87 "not_authorized" [ConnAck PubAck PubRec SubAck UnsubAck Disconnect];
    ServerUnavailable = 0x88 "server_unavailable" [ConnAck];
    ServerBusy = 0x89 "server_busy" [ConnAck Disconnect];
    Banned = 0x8A "banned" [ConnAck];
    ServerShuttingDown = 0x8B "server_shutting_down" [Disconnect];
    BadAuthenticationMethod = 0x8C "bad_authentication_method" [ConnAck Disconnect];
    KeepAliveTimeout = 0x8D "keep_alive_timeout" [Disconnect];
    SessionTakenOver = 0x8E "session_taken_over" [Disconnect];
    TopicFilterInvalid = 0x8F "topic_filter_invalid" [SubAck UnsubAck Disconnect];
    TopicNameInvalid = 0x90 "topic_name_invalid" [ConnAck PubAck PubRec Disconnect];
    PacketIdentifierInUse = 0x91 "packet_identifier_in_use" [PubAck PubRec SubAck UnsubAck];
    PacketIdentifierNotFound = 0x92 "packet_identifier_not_found" [PubRel PubComp];
    ReceiveMaximumExceeded = 0x93 "receive_maximum_exceeded" [Disconnect];
    TopicAliasInvalid = 0x94 "topic_alias_invalid" [Disconnect];
    PacketTooLarge = 0x95 "packet_too_large" [ConnAck Disconnect];
    MessageRateTooHigh = 0x96 "message_rate_too_high" [Disconnect];
    QuotaExceeded = 0x97 "quota_exceeded" [ConnAck PubAck PubRec SubAck Disconnect];
    AdministrativeAction = 0x98 "administrative_action" [Disconnect];
    PayloadFormatInvalid = 0x99 "payload_format_invalid" [ConnAck PubAck PubRec Disconnect];
    RetainNotSupported = 0x9A "retain_not_supported" [ConnAck Disconnect];
    QoSNotSupported = 0x9B "qos_not_supported" [ConnAck Disconnect];
    UseAnotherServer = 0x9C "use_another_server" [ConnAck Disconnect];
    ServerMoved = 0x9D "server_moved" [ConnAck Disconnect];
    SharedSubscriptionsNotSupported = 0x9E "shared_subscriptions_not_supported" [SubAck Disconnect];
    ConnectionRateExceeded = 0x9F "connection_rate_exceeded" [ConnAck Disconnect];
    MaximumConnectTime = 0xA0 "maximum_connect_time" [Disconnect];
    SubscriptionIdentifiersNotSupported = 0xA1 "subscription_identifiers_not_supported" [SubAck Disconnect];
    WildcardSubscriptionsNotSupported = 0xA2 "wildcard_subscriptions_not_supported" [SubAck Disconnect];
}

impl Reason {
    /// The number on the wire.
    pub const fn code(self) -> u8 {
        self as u8
    }

    /// Whether this is a failure.
    pub const fn is_error(self) -> bool {
        self.code() >= 0x80
    }

    /// Whether the standard lets `packet` carry this code.
    pub const fn allowed_in(self, packet: PacketType) -> bool {
        self.packets() & 1 << packet.bits() != 0
    }

    /// The code of SUBACK that grants this level.
    pub const fn granted(qos: QoS) -> Reason {
        match qos {
            QoS::AtMostOnce => Reason::Success,
            QoS::AtLeastOnce => Reason::GrantedQoS1,
            QoS::ExactlyOnce => Reason::GrantedQoS2,
        }
    }

    /// The return code of a CONNACK of MQTT 3.x; `None` where it has no word for it and the connection is just closed.
    pub const fn connack_v3(self) -> Option<u8> {
        match self {
            Reason::Success => Some(0),
            Reason::UnsupportedProtocolVersion => Some(1),
            Reason::ClientIdentifierNotValid => Some(2),
            Reason::ServerUnavailable
            | Reason::ServerBusy
            | Reason::QuotaExceeded
            | Reason::ConnectionRateExceeded
            | Reason::UseAnotherServer
            | Reason::ServerMoved => Some(3),
            Reason::BadUserNameOrPassword => Some(4),
            Reason::NotAuthorized | Reason::Banned | Reason::BadAuthenticationMethod => Some(5),
            Reason::GrantedQoS1
            | Reason::GrantedQoS2
            | Reason::DisconnectWithWill
            | Reason::NoMatchingSubscribers
            | Reason::NoSubscriptionExisted
            | Reason::ContinueAuthentication
            | Reason::ReAuthenticate
            | Reason::UnspecifiedError
            | Reason::MalformedPacket
            | Reason::ProtocolError
            | Reason::ImplementationSpecificError
            | Reason::ServerShuttingDown
            | Reason::KeepAliveTimeout
            | Reason::SessionTakenOver
            | Reason::TopicFilterInvalid
            | Reason::TopicNameInvalid
            | Reason::PacketIdentifierInUse
            | Reason::PacketIdentifierNotFound
            | Reason::ReceiveMaximumExceeded
            | Reason::TopicAliasInvalid
            | Reason::PacketTooLarge
            | Reason::MessageRateTooHigh
            | Reason::AdministrativeAction
            | Reason::PayloadFormatInvalid
            | Reason::RetainNotSupported
            | Reason::QoSNotSupported
            | Reason::SharedSubscriptionsNotSupported
            | Reason::MaximumConnectTime
            | Reason::SubscriptionIdentifiersNotSupported
            | Reason::WildcardSubscriptionsNotSupported => None,
        }
    }

    /// The return code of a SUBACK of MQTT 3.x: the granted level, or 0x80 for any failure.
    pub const fn suback_v3(self) -> u8 {
        if self.code() <= 2 { self.code() } else { 0x80 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_and_reasons_are_each_others_inverse() {
        let known = (0..=255).filter_map(Reason::from_code).collect::<Vec<_>>();
        assert_eq!(known, Reason::ALL);
        assert_eq!(known.len(), 43);
        assert!(known.iter().all(|reason| Reason::from_code(reason.code()) == Some(*reason)));
    }

    #[test]
    fn names_are_distinct_snake_case() {
        let mut names: Vec<_> = Reason::ALL.iter().map(|reason| reason.name()).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), Reason::ALL.len());
        assert!(names.iter().all(|name| { name.bytes().all(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'_')) }));
    }

    #[test]
    fn each_packet_allows_as_many_codes_as_its_table_in_the_standard() {
        let count = |packet| Reason::ALL.iter().filter(|reason| reason.allowed_in(packet)).count();
        let counts = PacketType::ALL.map(count);
        //                 CONNECT CONNACK PUBLISH PUBACK PUBREC PUBREL PUBCOMP
        assert_eq!(counts[..7], [0, 22, 0, 9, 9, 2, 2]);
        //                 SUBSCRIBE SUBACK UNSUBSCRIBE UNSUBACK PINGREQ PINGRESP DISCONNECT AUTH
        // 0x8C stands on DISCONNECT in table 2-6 and is missing in section 3.14.2.1; the wider reading is harmless.
        assert_eq!(counts[7..], [0, 12, 0, 7, 0, 0, 29 + 1, 3]);
    }

    #[test]
    fn errors_start_at_0x80() {
        assert!(!Reason::ReAuthenticate.is_error());
        assert!(Reason::UnspecifiedError.is_error());
    }

    #[test]
    fn older_versions_hear_the_nearest_code_they_know() {
        assert_eq!(Reason::Success.connack_v3(), Some(0));
        assert_eq!(Reason::ServerBusy.connack_v3(), Some(3));
        assert_eq!(Reason::MalformedPacket.connack_v3(), None);
        let suback = [Reason::granted(QoS::ExactlyOnce), Reason::NotAuthorized, Reason::DisconnectWithWill];
        assert_eq!(suback.map(Reason::suback_v3), [2, 0x80, 0x80]);
    }
}
