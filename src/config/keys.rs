//! The table of keys: every thing that an operator may choose, once; reading, printing and the example are driven by it.

use super::field::{Field, Spelled};
use super::kind::{Kind, NOTHING};
use super::list::List;
use super::schema::{Key, Section};
use super::text::Unit::{Micros, Millis, Seconds};
use super::{Config, Driver, Durability, LogFormat};
use crate::engine::homes::SHARDS_MAX;
use crate::mqtt::properties::PROPERTIES_MAX;

const KIB: u64 = 1 << 10;
const MIB: u64 = 1 << 20;
const GIB: u64 = 1 << 30;
const TIB: u64 = 1 << 40;

const MINUTE_MS: u64 = 60 * 1_000;
const HOUR_MS: u64 = 60 * MINUTE_MS;
const DAY_MS: u64 = 24 * HOUR_MS;
const YEAR_S: u64 = 365 * 24 * 3_600;

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

// Behind the macro, whose rows they are.
mod auth;
mod limits;

/// The sections before those with tables of their own.
const FIRST: &[Key<Config>] = &[
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
];

/// The sections behind them.
const LAST: &[Key<Config>] = &[
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

const TABLES: [&[Key<Config>]; 4] = [FIRST, limits::KEYS, auth::KEYS, LAST];

/// Every key, by section.
pub const KEYS: &[Key<Config>] =
    &joined::<{ FIRST.len() + limits::KEYS.len() + auth::KEYS.len() + LAST.len() }>(TABLES);

/// The rows of all tables, one behind the other.
const fn joined<const COUNT: usize>(tables: [&[Key<Config>]; 4]) -> [Key<Config>; COUNT] {
    let mut rows = [FIRST[0]; COUNT];
    let (mut count, mut table) = (0, 0);
    while table < tables.len() {
        let mut row = 0;
        while row < tables[table].len() {
            rows[count] = tables[table][row];
            (count, row) = (count + 1, row + 1);
        }
        table += 1;
    }
    rows
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::config::kind::{FreeText, Value};
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
