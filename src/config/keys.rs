//! The table of keys: every thing that an operator may choose, once; reading, printing and the example are driven by it.

use super::field::{Field, Spelled};
use super::kind::{FreeText, Kind, NOTHING};
use super::list::List;
use super::plaintext::PlaintextPasswords;
use super::schema::{Key, Section};
use super::text::Unit::{Micros, Millis, Seconds};
use super::{Anonymous, Config, Driver, Durability, LogFormat};
use crate::engine::accounts::bans::FAILURES_MAX;
use crate::engine::auth::token::terms::{Carrier, UserName};
use crate::engine::homes::SHARDS_MAX;
use crate::engine::limits::{COPIES_PER_INPUT_MAX, Overlap, QueuePolicy, Strategy};
use crate::mqtt::properties::PROPERTIES_MAX;

const KIB: u64 = 1 << 10;
const MIB: u64 = 1 << 20;
const GIB: u64 = 1 << 30;
const TIB: u64 = 1 << 40;

const MINUTE_MS: u64 = 60 * 1_000;
const HOUR_MS: u64 = 60 * MINUTE_MS;
const DAY_MS: u64 = 24 * HOUR_MS;
const YEAR_S: u64 = 365 * 24 * 3_600;

/// More than a few minutes is no difference between clocks: RFC 7519, section 4.1.4.
const LEEWAY_S_MAX: u64 = 10 * 60;

/// The largest packet of the standards, fixed header included.
const PACKET_LARGEST: u64 = 268_435_460;

/// What the limits take that a listener may override.
pub(super) const PACKET_BYTES: Kind = Kind::size(256, 256 * MIB).or("largest", PACKET_LARGEST);
pub(super) const TOPIC_LEVELS: Kind = Kind::count(1, 65_535);
pub(super) const CONNECT_TIMEOUT: Kind = Kind::time(Millis, 100, HOUR_MS);
pub(super) const KEEP_ALIVE: Kind = Kind::time(Seconds, 1, 65_535).or("unlimited", 0);
pub(super) const INFLIGHT: Kind = Kind::count(1, 65_535);
pub(super) const SUBSCRIPTIONS: Kind = Kind::count(1, 100_000_000);
pub(super) const RATE: Kind = Kind::count(1, 100_000_000).or("unlimited", 0);
pub(super) const BYTE_RATE: Kind = Kind::size(KIB, 2 * GIB).or("unlimited", 0);
pub(super) const CONNECTIONS: Kind = Kind::count(1, 1_000_000_000).or("unlimited", 0);
pub(super) const WILL_BYTES: Kind = Kind::size(0, 64 * KIB);
pub(super) const USER_PROPERTIES: Kind = Kind::count(0, PROPERTIES_MAX as u64);
pub(super) const QOS: Kind = Kind::count(0, 2);

/// The name of a claim that tokens may have.
const CLAIM: Kind = Kind::Text(FreeText { what: "the name of a claim", example: "groups", is_optional: true });

/// The sections, in the order of the example file.
pub const SECTIONS: [Section; 8] = [
    Section { name: "runtime", doc: "Cores, rings and what a shard does when it has nothing to do." },
    Section { name: "turn", doc: "What one turn of a shard may do before the next one begins." },
    Section { name: "listeners", doc: "Where clients come in, and what their sockets have in common." },
    Section { name: "limits", doc: "What clients may do, and what the broker keeps for them." },
    Section { name: "auth", doc: "Who may come in, and what they may do." },
    Section { name: "storage", doc: "What outlives the process: where it is kept, and how soon." },
    Section { name: "admin", doc: "The operator's door: metrics and health over HTTP." },
    Section { name: "log", doc: "What is written to standard error." },
];

/// A row: the field, the name where it is another, what the key takes, what it does. A name leaves out the unit of time.
macro_rules! key {
    ($section:ident . $field:ident, $kind:expr, $doc:literal) => {
        key!($section.$field as stringify!($field), $kind, $doc)
    };
    ($section:ident . $field:ident as $name:expr, $kind:expr, $doc:literal) => {
        Key {
            section: stringify!($section),
            name: $name,
            doc: $doc,
            kind: $kind,
            get: |config| config.$section.$field.to_value(),
            set: |config, value| config.$section.$field.set_value(value),
        }
    };
}

/// Every key, by section.
pub const KEYS: &[Key<Config>] = &[
    key!(runtime.cores, Kind::Cores, "The cores that get a shard each: all, the first so many, or these."),
    key!(
        runtime.shards,
        Kind::count(1, SHARDS_MAX as u64).or("auto", NOTHING),
        "How many shards there are: \"auto\" is one a core. More of them than cores is meant for tests."
    ),
    key!(
        runtime.driver,
        Kind::Word(Driver::WORDS),
        "How the network is driven: by the broker's own ring, by plain streams of the runtime, or by what the kernel can do."
    ),
    key!(
        runtime.ring_entries,
        Kind::count(64, 16_384),
        "Entries of the network ring's submission queue; its completion queue has four times as many."
    ),
    key!(runtime.executor_ring_depth, Kind::count(32, 16_384), "Entries of each of the executor's own rings."),
    key!(
        runtime.io_memory_bytes,
        Kind::size(64 * KIB, GIB),
        "Memory that each executor registers for files; it counts against the limit on locked memory."
    ),
    key!(
        runtime.preempt_timer_ms as "preempt_timer",
        Kind::time(Millis, 1, 1_000),
        "How long a task of an executor may run before another one gets its turn."
    ),
    key!(
        runtime.spin_before_park_us as "spin_before_park",
        Kind::time(Micros, 1, 100_000).or("off", 0),
        "How long a shard without work looks for some before it sleeps: quicker answers for a busy core."
    ),
    key!(
        runtime.mesh_batches_max,
        Kind::count(2, 65_536),
        "Batches that one shard takes in between two turns; above, the shards that send wait, and so do their publishers."
    ),
    key!(
        runtime.mesh_bytes_max,
        Kind::size(64 * KIB, GIB),
        "Bytes of messages that wait for one shard: half of it is divided among the senders, and the last batch of each may exceed it."
    ),
    key!(
        runtime.drain_timeout_ms as "drain_timeout",
        Kind::time(Millis, 0, HOUR_MS),
        "How long clients have to take what is on its way to them when the broker stops."
    ),
    key!(turn.inputs_max, Kind::count(1, 1_000_000), "Connections that are read in one turn."),
    key!(
        turn.bytes_max,
        Kind::size(4 * KIB, GIB),
        "Bytes that are read in one turn, bytes that are taken in from other shards, and bytes that either of them has us send."
    ),
    key!(turn.time_us_max as "time_max", Kind::time(Micros, 10, 1_000_000), "How long a turn reads."),
    key!(
        turn.read_bytes_max,
        Kind::size(4 * KIB, 64 * MIB),
        "Bytes that one connection may bring in one turn, so that a flood from one delays no other; each shard holds so many."
    ),
    key!(
        listeners.tcp,
        Kind::List(List::Addresses),
        "Where plain MQTT is spoken, in short; port 0 lets the kernel choose one."
    ),
    key!(
        listeners.backlog,
        Kind::count(1, 1_000_000),
        "Connections that the kernel holds until they are accepted; net.core.somaxconn caps it."
    ),
    key!(listeners.tcp_nodelay, Kind::Flag, "Whether small packets leave at once instead of waiting for more."),
    key!(
        listeners.tcp_keep_alive_s as "tcp_keep_alive",
        Kind::time(Seconds, 1, 9 * 3_600).or("off", 0),
        "The silence after which the kernel asks whether the peer is still there; MQTT has its own keep-alive."
    ),
    key!(
        listeners.send_buffer_bytes,
        Kind::size(4 * KIB, GIB).or("kernel", 0),
        "The send buffer of each connection, capped by net.core.wmem_max; \"kernel\" lets it grow and shrink."
    ),
    key!(
        listeners.receive_buffer_bytes,
        Kind::size(4 * KIB, GIB).or("kernel", 0),
        "The receive buffer of each connection, capped by net.core.rmem_max; \"kernel\" lets it grow and shrink."
    ),
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
        "How long nothing more may come of a packet that has begun before its client's connection is closed."
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
    key!(
        auth.anonymous,
        Kind::Word(Anonymous::WORDS),
        "Whether clients come in that give neither name nor password; \"auto\" is where there is no password file, no token_keys, no token_keys_url and no hook_url."
    ),
    key!(
        auth.plaintext_passwords,
        Kind::Word(PlaintextPasswords::WORDS),
        "What becomes of passwords and tokens that come over a network without TLS, where anybody on the way can read them: \"warn\" tells the operator at the start, \"refuse\" refuses their clients. Not of what comes from a proxy."
    ),
    key!(
        auth.password_file,
        Kind::File,
        "Users and the hashes of their passwords, as `pregon passwd` and mosquitto_passwd write them; \"\" is none."
    ),
    key!(
        auth.acl_file,
        Kind::File,
        "What clients may publish and be sent, as in mosquitto's acl_file; \"\" is no rules, so everybody may do everything."
    ),
    key!(
        auth.acl_end,
        Kind::Flag,
        "Whether an acl_file whose last line is not `# end` is refused, so that one that was cut is never taken for the whole."
    ),
    key!(auth.rules_file, Kind::File, "What clients may do, in TOML; \"\" is none. Not beside an acl_file."),
    key!(
        auth.token_keys,
        Kind::File,
        "Whose signatures on tokens count, as a JSON Web Key Set or public keys in PEM; \"\" is none, so no token is taken."
    ),
    key!(
        auth.token_keys_url,
        Kind::WebUrl,
        "The web server that such keys are fetched from, as a JSON Web Key Set; \"\" is none. Beside token_keys or instead."
    ),
    key!(
        auth.token_keys_refresh_s as "token_keys_refresh",
        Kind::time(Seconds, 1, DAY_MS / 1_000),
        "How often they are fetched; a token that names another key has them fetched at once, every 10 s at most."
    ),
    key!(
        auth.token_keys_keep_s as "token_keys_keep",
        Kind::time(Seconds, 1, YEAR_S),
        "How long they hold when they cannot be fetched any more; then no token that they would sign is taken."
    ),
    key!(
        auth.token_keys_timeout_ms as "token_keys_timeout",
        Kind::time(Millis, 100, MINUTE_MS),
        "How long the server may take for them."
    ),
    key!(
        auth.token_issuer,
        Kind::Text(FreeText { what: "an issuer", example: "https://issuer.example", is_optional: true }),
        "Who must have issued a token, its claim iss; \"\" is whoever has one of the keys."
    ),
    key!(
        auth.token_audience,
        Kind::List(List::Texts),
        "For whom a token must be, its claim aud: one of these; [] is for anybody."
    ),
    key!(
        auth.token_user_claim,
        Kind::Text(FreeText { what: "the name of a claim", example: "sub", is_optional: false }),
        "The claim of a token that names the user."
    ),
    key!(
        auth.token_client_id_claim,
        CLAIM,
        "The claim that, in a token that has it, must be the client identifier; \"\" is none."
    ),
    key!(
        auth.token_groups_claim,
        CLAIM,
        "The claim with a list of the user's groups, which rules can name; \"\" is none."
    ),
    key!(
        auth.token_acl_claim,
        CLAIM,
        "The claim with the topics that the user may publish to and be sent, beside all rules; \"\" is none."
    ),
    key!(
        auth.token_leeway_s as "token_leeway",
        Kind::time(Seconds, 0, LEEWAY_S_MAX),
        "How far apart the broker's clock and the issuer's may go: a token holds so much longer, and earlier."
    ),
    key!(
        auth.token_carrier,
        Kind::Word(Carrier::WORDS),
        "Where a client puts its token: in the password of CONNECT, or in its user name."
    ),
    key!(
        auth.token_user,
        Kind::Word(UserName::WORDS),
        "What the user name says beside a token in the password: nothing, or it must be the user of the token."
    ),
    key!(
        auth.token_needs_expiry,
        Kind::Flag,
        "Whether a token without an end, its claim exp, is refused; its connection would never end."
    ),
    key!(
        auth.hook_url,
        Kind::WebUrl,
        "The web server that is asked who a client is, by POST; \"\" is none. In chains it is \"hook\"."
    ),
    key!(
        auth.hook_rules_url,
        Kind::WebUrl,
        "The web server that is asked what a client may do, beside the rules of a file, by POST; \"\" is none."
    ),
    key!(
        auth.hook_secret_file,
        Kind::File,
        "The file whose first line is shown to these servers as a bearer token; \"\" is none."
    ),
    key!(
        auth.hook_timeout_ms as "hook_timeout",
        Kind::time(Millis, 10, MINUTE_MS),
        "How long one answer may take, and how long a question may wait before it is asked."
    ),
    key!(
        auth.hook_cache_ms as "hook_cache",
        Kind::time(Millis, 1, DAY_MS).or("off", 0),
        "How long it holds that a server has allowed something, unless it says a shorter time."
    ),
    key!(
        auth.hook_cache_denials_ms as "hook_cache_denials",
        Kind::time(Millis, 1, DAY_MS).or("off", 0),
        "How long it holds that a server has refused something, or does not know."
    ),
    key!(
        auth.hook_connections,
        Kind::count(1, 256),
        "Questions that are asked at the same time, each by a thread of its own."
    ),
    key!(
        auth.web_ca,
        Kind::File,
        "The authorities that vouch for these servers, in PEM; \"\" is those that the system trusts."
    ),
    key!(
        auth.web_plaintext,
        Kind::Flag,
        "Whether servers on other machines may be asked by http, so that anybody on the way can read and answer."
    ),
    key!(
        auth.clerks,
        Kind::count(1, 64),
        "Threads that hash passwords, beside the shards: each hash takes a core for some 20 ms."
    ),
    key!(
        auth.failures_max,
        Kind::count(1, FAILURES_MAX as u64).or("unlimited", 0),
        "Proofs from one address that may fail within failure_window; then nobody from there is let in for a while. Never by user name alone."
    ),
    key!(
        auth.failure_window_ms as "failure_window",
        Kind::time(Millis, 1_000, DAY_MS),
        "How long failures count, from the first one on."
    ),
    key!(
        auth.ban_ms as "ban",
        Kind::time(Millis, 100, DAY_MS),
        "How long an address is banned the first time; each further ban lasts twice as long."
    ),
    key!(
        auth.ban_max_ms as "ban_max",
        Kind::time(Millis, 100, 30 * DAY_MS),
        "How long a ban lasts at most; who has been quiet for so long after one begins anew."
    ),
    key!(
        auth.ban_exempt,
        Kind::List(List::Networks),
        "Networks that are never banned, such as that of a gateway behind which many clients are one address."
    ),
    key!(
        auth.waiting_max,
        Kind::count(1, 1_000_000),
        "Clients that may wait for such a thread; more, and whoever would be answered too late, are told to come again."
    ),
    key!(
        storage.data_dir,
        Kind::Path,
        "The directory of sessions and retained messages; it is made if what holds it is there, for pregon's user alone."
    ),
    key!(
        storage.durability,
        Kind::Word(Durability::WORDS),
        "When something is kept, and acknowledged: on the device, with the kernel and after interval on the device, or never."
    ),
    key!(
        storage.interval_ms as "interval",
        Kind::time(Millis, 1, MINUTE_MS),
        "What a crash of the machine may take at the durability \"interval\"; a crash of the process takes nothing."
    ),
    key!(
        storage.segment_bytes,
        Kind::size(64 * KIB, GIB),
        "The length of a file of the journal. Each shard has at least two: the next one is made ahead of need."
    ),
    key!(
        storage.bytes_max,
        Kind::size(4 * MIB, 1024 * TIB).or("unlimited", 0),
        "What the journals of the whole broker may take on disk. What holds may be nearly half of it; above, new work that must be kept is refused."
    ),
    key!(
        storage.ram_budget,
        Kind::size(64 * KIB, 1024 * TIB),
        "Messages that wait for clients lie in memory up to so many bytes, in the whole broker; what comes then waits on the disk alone."
    ),
    key!(admin.listen, Kind::Address, "Where metrics and health are served; port 0 lets the kernel choose one."),
    key!(
        admin.control,
        Kind::File,
        "The socket at which `pregon acl diff` asks the running broker, open to its own user and root alone. A relative path lies in the data directory, and is none where nothing is kept; \"\" for none."
    ),
    key!(log.format, Kind::Word(LogFormat::WORDS), "How lines look: for people, or one JSON object each."),
    key!(
        log.level,
        Kind::Levels,
        "The least important event that is written, and others for areas: \"info,shell=debug\"."
    ),
    key!(
        log.lines_per_second_max,
        Kind::count(1, 1_000_000),
        "Lines a second of one kind of event; the others are counted and told in one line."
    ),
];

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::config::kind::Value;
    use crate::config::schema::{find, has_section};

    /// The fields of the configuration as its debug form names them: sections stand 4 spaces in, fields 8.
    fn fields() -> Vec<(String, String)> {
        let (mut section, mut fields) = (String::new(), Vec::new());
        for line in format!("{:#?}", Config::default()).lines() {
            let name = line.trim_start();
            let depth = line.len() - name.len();
            match (depth, name.split_once(": ")) {
                (4, Some((name, _))) => name.clone_into(&mut section),
                (8, Some((name, _))) => fields.push((section.clone(), name.to_owned())),
                _ => {}
            }
        }
        fields
    }

    /// The name of a field without its unit of time.
    pub fn name_of_key(field: &str) -> String {
        let is_name = |part: &&str| !matches!(*part, "ms" | "us" | "s");
        field.split('_').filter(is_name).collect::<Vec<_>>().join("_")
    }

    #[test]
    fn every_field_is_a_key_that_leaves_out_its_unit_of_time() {
        let mut fields = fields();
        fields.retain(|(_, field)| field != "named"); // listeners have a table of their own
        for (section, field) in &fields {
            let name = name_of_key(field);
            assert!(find(section, &name).is_some(), "{section}.{field} has no key {section}.{name}");
        }
        assert_eq!(fields.len(), KEYS.len());
    }

    #[test]
    fn keys_stand_by_section_and_once() {
        let order = |key: &Key<Config>| SECTIONS.iter().position(|section| section.name == key.section).unwrap();
        assert!(KEYS.is_sorted_by_key(order));
        assert!(KEYS.iter().enumerate().all(|(at, key)| find(key.section, key.name) == Some(at)));
        assert!(SECTIONS.iter().all(|section| has_section(section.name)));
        assert!(
            KEYS.iter().map(|key| key.doc).chain(SECTIONS.map(|section| section.doc)).all(|doc| doc.ends_with('.'))
        );
    }

    #[test]
    fn every_field_takes_all_that_its_kind_allows() {
        takes_all_that_is_allowed(KEYS, &Config::default());
    }

    /// Each key sets its field to what its kind allows, and each text means something of its own.
    pub fn takes_all_that_is_allowed<T: Clone>(keys: &[Key<T>], plain: &T) {
        for key in keys {
            let mut seen: Vec<Value> = Vec::new();
            for text in allowed(&key.kind) {
                let mut owner = plain.clone();
                let value = key.kind.read_text(&text).unwrap();
                (key.set)(&mut owner, value.clone());
                assert_eq!((key.get)(&owner), value, "{} = {text}", key.name);
                assert!(!seen.contains(&value), "{} = {text} means what another text means", key.name);
                seen.push(value);
            }
        }
    }

    fn allowed(kind: &Kind) -> Vec<String> {
        let texts: &[&str] = match kind {
            Kind::Flag => &["true", "false"],
            Kind::Number(number) => {
                let ends = [number.min, number.max].map(|end| number.unit.format(end));
                return ends.into_iter().chain(number.words().map(|(word, _)| word.to_owned())).collect();
            }
            Kind::Word(words) => words,
            Kind::Cores => &["auto", "64", "0,1023"],
            Kind::Address => &["off", "127.0.0.1:0"],
            Kind::Levels => &["trace", "info,shell::events=debug"],
            Kind::TopicPrefix => &["", "réponses/"],
            Kind::File => &["", "/etc/pregon/users"],
            Kind::Text(FreeText { is_optional: false, .. }) => &["sub", "https://größe.example/ \"1\""],
            Kind::Text(FreeText { is_optional: true, .. }) => &["", "sub", "https://größe.example/ \"1\""],
            Kind::Path => &["data", "/var/lib/größer als \"zuvor\""],
            Kind::Listen => &["[::]:0", "unix:/run/größe \"1\".sock"],
            Kind::UrlPath => &["/", "/mqtt"],
            Kind::WebUrl => &["", "http://127.0.0.1:8080", "https://issuer.example/keys?of=all"],
            Kind::Interface => &["", "eth0"],
            Kind::Mode => &["0000", "0777"],
            Kind::List(List::Addresses) => &["", "127.0.0.1:0", "[::]:1,1.2.3.4:65535"],
            Kind::List(List::Networks) => &["", "10.0.0.0/8, fd00::/8, 192.0.2.7"],
            Kind::List(List::Files) => &["", "/etc/a.pem,b", "b,/etc/a.pem"],
            Kind::List(List::Texts) => &["", "broker,https://größe.example/", "größe"],
            Kind::List(List::Origins) => &["", "https://a.example,http://b:8080"],
            Kind::List(List::Words(words)) => {
                let reversed: Vec<&str> = words.iter().rev().copied().collect();
                return vec![String::new(), words[0].to_owned(), words.join(", "), reversed.join(",")];
            }
        };
        texts.iter().map(|text| (*text).to_owned()).collect()
    }
}
