//! The keys of `[limits]`: what clients may do, and what the broker keeps for them.

use super::{
    BYTE_RATE, CONNECT_TIMEOUT, CONNECTIONS, DAY_MS, GIB, HOUR_MS, INFLIGHT, KEEP_ALIVE, KIB, PACKET_BYTES, QOS, RATE,
    SUBSCRIPTIONS, TIB, TOPIC_LEVELS, USER_PROPERTIES, WILL_BYTES, YEAR_S,
};
use crate::config::Config;
use crate::config::field::{Field, Spelled};
use crate::config::kind::Kind;
use crate::config::schema::Key;
use crate::config::text::Unit::{Millis, Seconds};
use crate::engine::limits::{COPIES_PER_INPUT_MAX, Overlap, QueuePolicy, Strategy};

/// In the order of the example file.
pub(super) const KEYS: &[Key<Config>] = &[
    key!(
        limits.packet_bytes_max,
        PACKET_BYTES,
        "The largest packet that a client may send; \"largest\" is what the standard can say, close to 256 MiB."
    ),
    key!(limits.client_id_bytes_max, Kind::size(23, 32 * KIB), "The longest client identifier."),
    key!(limits.topic_levels_max, TOPIC_LEVELS, "The most levels of a topic or a filter."),
    key!(
        limits.connect_timeout_ms as "connect_timeout",
        CONNECT_TIMEOUT,
        "How long a connection may take from accept to the end of its handshake."
    ),
    key!(
        limits.keep_alive_max_s as "keep_alive_max",
        KEEP_ALIVE,
        "The longest keep-alive, also imposed on clients that ask for none."
    ),
    key!(
        limits.session_expiry_max_s as "session_expiry_max",
        Kind::time(Seconds, 0, 100 * YEAR_S).or("never", u32::MAX as u64),
        "The longest time that a session outlives its connection, whatever the client asks for."
    ),
    key!(
        limits.session_expiry_v3_s as "session_expiry_v3",
        Kind::time(Seconds, 0, 100 * YEAR_S).or("never", u32::MAX as u64),
        "How long sessions of MQTT 3.1 and 3.1.1 that are not clean outlive it, for they cannot say; capped by session_expiry_max."
    ),
    key!(
        limits.strict_v31_client_id,
        Kind::Flag,
        "Whether clients of MQTT 3.1 are refused whose identifier is longer than 23 bytes."
    ),
    key!(
        limits.receive_maximum,
        Kind::count(1, 65_535),
        "Unacknowledged messages of QoS 1 and 2 that a client may have on their way to the broker."
    ),
    key!(
        limits.inflight_max,
        INFLIGHT,
        "Unacknowledged messages of QoS 1 and 2 on their way to a client, even if it would take more."
    ),
    key!(limits.topic_alias_maximum, Kind::count(0, 65_535), "Topic aliases that a client may define."),
    key!(
        limits.topic_alias_out_max,
        Kind::count(0, 65_535),
        "Topic aliases that the broker defines towards a client that offers them."
    ),
    key!(limits.subscriptions_max, SUBSCRIPTIONS, "Subscriptions of one session."),
    key!(limits.shared_subscriptions_max, Kind::count(0, 100_000_000), "How many of these may be shared ones."),
    key!(limits.queue_messages_max, Kind::count(0, 1_000_000_000), "Messages that wait for one session."),
    key!(limits.queue_bytes_max, Kind::size(KIB, TIB), "Bytes that wait for one session."),
    key!(
        limits.queue_policy,
        Kind::Word(QueuePolicy::WORDS),
        "What happens when a queue is full: the new message is refused, or the oldest unsent one makes room."
    ),
    key!(limits.queue_qos0, Kind::Flag, "Whether messages of QoS 0 wait for absent clients as well."),
    key!(limits.group_queue_messages_max, Kind::count(1, 1_000_000_000), "Messages that wait for one shared group."),
    key!(limits.group_queue_bytes_max, Kind::size(KIB, TIB), "Bytes that wait for one shared group."),
    key!(limits.group_members_max, Kind::count(1, 100_000_000), "Members of one shared group."),
    key!(
        limits.shared_strategy,
        Kind::Word(Strategy::WORDS),
        "Which member of a shared group gets the next message; a hash keeps a topic or a publisher with one member."
    ),
    key!(limits.retained_messages_max, Kind::count(0, 1_000_000_000), "Retained messages of the whole broker."),
    key!(limits.retained_bytes_max, Kind::size(KIB, 16 * TIB), "Bytes of retained messages of the whole broker."),
    key!(limits.sessions_max, Kind::count(1, 1_000_000_000), "Sessions of the whole broker, connected or not."),
    key!(limits.connections_max, Kind::count(1, 1_000_000_000), "Connections of the whole broker."),
    key!(
        limits.connect_rate,
        RATE,
        "Connections a second that the whole broker accepts; above, clients are told to come again later."
    ),
    key!(
        limits.connections_per_address_max,
        CONNECTIONS,
        "Connections from one address, which is a network of 64 bits in IPv6; one more is closed at once."
    ),
    key!(
        limits.connect_rate_per_address,
        RATE,
        "Connections a second from one address; above, they are closed at once, before TLS."
    ),
    key!(
        limits.message_rate_per_address,
        RATE,
        "Messages a second that clients of one address may publish; above, they are read more slowly."
    ),
    key!(
        limits.byte_rate_per_address,
        BYTE_RATE,
        "Bytes a second that clients of one address may publish; above, they are read more slowly."
    ),
    key!(
        limits.message_rate_out_per_address,
        RATE,
        "Messages a second that clients of one address are sent; above, they wait in the sessions' queues, and those of QoS 0 are dropped."
    ),
    key!(
        limits.byte_rate_out_per_address,
        BYTE_RATE,
        "Bytes a second of packets with messages that clients of one address are sent; likewise."
    ),
    key!(
        limits.connections_per_user_max,
        CONNECTIONS,
        "Connections of one user, by its proven name; one that takes over its own session adds none."
    ),
    key!(
        limits.connect_rate_per_user,
        RATE,
        "Connections a second of one user; above, its clients are told to come again later."
    ),
    key!(
        limits.sessions_per_user_max,
        CONNECTIONS,
        "Sessions of one user, connected or not; above, a new one is refused."
    ),
    key!(
        limits.message_rate_per_user,
        RATE,
        "Messages a second that clients of one user may publish; above, they are read more slowly."
    ),
    key!(
        limits.byte_rate_per_user,
        BYTE_RATE,
        "Bytes a second that clients of one user may publish; above, they are read more slowly."
    ),
    key!(
        limits.message_rate_out_per_user,
        RATE,
        "Messages a second that clients of one user are sent; above, they wait in the sessions' queues, and those of QoS 0 are dropped."
    ),
    key!(
        limits.byte_rate_out_per_user,
        BYTE_RATE,
        "Bytes a second of packets with messages that clients of one user are sent; likewise."
    ),
    key!(
        limits.retained_messages_per_user_max,
        Kind::count(1, 1_000_000_000).or("unlimited", 0),
        "Retained messages that one user has set, by its proven name; one more is refused, a newer one of the same topic is not."
    ),
    key!(
        limits.retained_bytes_per_user_max,
        Kind::size(KIB, 16 * TIB).or("unlimited", 0),
        "Bytes of retained messages that one user has set."
    ),
    key!(
        limits.accounts_max,
        Kind::count(1_024, 1 << 24),
        "Addresses that are counted at the same time, and users beside them, 128 bytes each; who comes above is let in uncounted, and that is counted."
    ),
    key!(limits.message_rate, RATE, "Messages a second that one client may publish; above, it is read more slowly."),
    key!(limits.byte_rate, BYTE_RATE, "Bytes a second that one client may publish; above, it is read more slowly."),
    key!(
        limits.message_rate_out,
        RATE,
        "Messages a second that one client is sent; above, they wait in its session's queue, and those of QoS 0 are dropped."
    ),
    key!(limits.byte_rate_out, BYTE_RATE, "Bytes a second of packets with messages that one client is sent; likewise."),
    key!(
        limits.will_bytes_max,
        WILL_BYTES,
        "The longest payload of a will; the standards can say no more than the default."
    ),
    key!(limits.user_properties_max, USER_PROPERTIES, "User properties of a message or of a will."),
    key!(
        limits.fanout_recipients_max,
        Kind::count(1, COPIES_PER_INPUT_MAX as u64),
        "Recipients that are served at once; the others of a wide fan-out follow in later turns."
    ),
    key!(
        limits.backlog_bytes_max,
        Kind::size(4 * KIB, GIB),
        "Unsent bytes of one connection above which its publishers are slowed down, and QoS 0 no longer waits."
    ),
    key!(
        limits.backlog_patience_ms as "backlog_patience",
        Kind::time(Millis, 0, HOUR_MS),
        "How long a receiver that takes nothing may hold its publishers back."
    ),
    key!(
        limits.write_stall_ms as "write_stall",
        Kind::time(Millis, 100, DAY_MS),
        "How long a receiver may take nothing before its connection is closed."
    ),
    key!(
        limits.read_stall_ms as "read_stall",
        Kind::time(Millis, 100, DAY_MS),
        "How long a packet that has begun may take for the next 1,024 bytes, or for a sixty-fourth of what has come, before its client's connection is closed."
    ),
    key!(limits.maximum_qos, QOS, "The highest quality of service on offer."),
    key!(limits.retain_available, Kind::Flag, "Whether messages may be retained."),
    key!(limits.wildcard_available, Kind::Flag, "Whether filters may have wildcards."),
    key!(limits.subscription_ids_available, Kind::Flag, "Whether subscriptions may carry identifiers."),
    key!(limits.shared_available, Kind::Flag, "Whether subscriptions may be shared."),
    key!(
        limits.overlap,
        Kind::Word(Overlap::WORDS),
        "What a client gets whose subscriptions overlap: one copy of a message, or one for each of them."
    ),
    key!(
        limits.payload_format_check,
        Kind::Flag,
        "Whether a payload that says it is text is refused when it is not UTF-8."
    ),
    key!(
        limits.response_prefix,
        Kind::TopicPrefix,
        "The start of the response topics that clients are given on request; their identifier follows."
    ),
];
