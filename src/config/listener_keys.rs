//! The table of the keys of a listener; reading, printing and the example are driven by it as by that of the configuration.

use super::field::{Field, INHERIT, Spelled};
use super::keys::{
    BYTE_RATE, CONNECT_TIMEOUT, INFLIGHT, KEEP_ALIVE, PACKET_BYTES, QOS, RATE, SUBSCRIPTIONS, TOPIC_LEVELS,
    USER_PROPERTIES, WILL_BYTES,
};
use super::kind::{Kind, NOTHING};
use super::list::List;
use super::listener::{ClientCertificates, Listener, Proof, Protocol, ProxyProtocol, TlsVersion, UserFrom};
use super::schema::{Key, LISTENERS};

/// What `[auth]` says of passwords in the clear, or one of its words.
const PLAINTEXT_PASSWORDS: &[&str] = &[INHERIT, "allow", "warn", "refuse"];

/// Connections, as many as it likes unless it is said.
const CONNECTIONS: Kind = Kind::count(1, 1_000_000_000).or("unlimited", NOTHING);

/// A row: the field, the name where it is another, what the key takes, what it does. A name leaves out the unit of time.
macro_rules! key {
    ($field:ident, $kind:expr, $doc:literal) => {
        key!($field as stringify!($field), $kind, $doc)
    };
    ($field:ident as $name:expr, $kind:expr, $doc:literal) => {
        Key {
            section: LISTENERS,
            name: $name,
            doc: $doc,
            kind: $kind,
            get: |listener| listener.$field.to_value(),
            set: |listener, value| listener.$field.set_value(value),
        }
    };
}

/// Every key of a listener.
pub const LISTENER_KEYS: &[Key<Listener>] = &[
    key!(address, Kind::Listen, "Where it listens; it has to be said. Port 0 lets the kernel choose one."),
    key!(protocol, Kind::Word(Protocol::WORDS), "What is spoken: MQTT itself, or MQTT in the frames of a WebSocket."),
    key!(
        interface,
        Kind::Interface,
        "The network device that it is bound to: what comes in by another one does not reach it."
    ),
    key!(dual_stack, Kind::Flag, "Whether [::] takes IPv4 as well; without it IPv4 needs a listener of its own."),
    key!(socket_mode, Kind::Mode, "Who may connect to a Unix socket: owner, group and others need the right to write."),
    key!(
        proxy_protocol,
        Kind::Word(ProxyProtocol::WORDS),
        "Whether a proxy says who comes, by version 1 or 2 of the PROXY protocol; \"required\" closes what comes without."
    ),
    key!(
        proxy_trusted,
        Kind::List(List::Networks),
        "Where the proxies are that are believed; a connection from elsewhere is closed."
    ),
    key!(
        certificates,
        Kind::List(List::Files),
        "Certificates in PEM, each file with its chain; the name that a client asks for chooses one. None is no TLS."
    ),
    key!(
        keys,
        Kind::List(List::Files),
        "Their secrets in PEM, in the same order; none where each stands in the file of its certificate."
    ),
    key!(key_passphrase_file, Kind::File, "What opens secrets that are encrypted: the first line of this file."),
    key!(tls_min, Kind::Word(TlsVersion::WORDS), "The oldest version of TLS that is spoken."),
    key!(
        client_certificates,
        Kind::Word(ClientCertificates::WORDS),
        "Whether clients show a certificate; one that does not hold is refused in any case but \"off\"."
    ),
    key!(client_ca, Kind::List(List::Files), "Who may have signed it, in PEM."),
    key!(client_crls, Kind::List(List::Files), "What its signers have revoked, in PEM."),
    key!(
        client_pins,
        Kind::File,
        "The SHA-256 fingerprints of the certificates that come in, one a line; with client_ca both have to hold."
    ),
    key!(user_from, Kind::Word(UserFrom::WORDS), "What of a client's certificate is its user name."),
    key!(tickets, Kind::Flag, "Whether clients may resume a session of TLS, which saves most of a handshake."),
    key!(path, Kind::UrlPath, "The path of the WebSocket; what asks for another one is refused."),
    key!(
        origins,
        Kind::List(List::Origins),
        "The pages that may open a WebSocket; none is every page, also a strange one in a browser on this machine."
    ),
    key!(
        chain,
        Kind::List(List::Words(Proof::WORDS)),
        "By what clients show who they are, in the order in which it is asked; none is what [auth] says."
    ),
    key!(
        plaintext_passwords,
        Kind::Word(PLAINTEXT_PASSWORDS),
        "What becomes of passwords that come here, where there is no TLS; \"inherit\" is what [auth] says."
    ),
    key!(connections_max, CONNECTIONS, "Connections of this listener; limits.connections_max holds as well."),
    key!(connections_per_address_max, CONNECTIONS, "Connections of this listener from one address."),
    key!(connect_rate, RATE, "Connections a second that this listener accepts; limits.connect_rate holds as well."),
    key!(packet_bytes_max, PACKET_BYTES.or(INHERIT, NOTHING), "The largest packet that a client may send."),
    key!(
        keep_alive_max_s as "keep_alive_max",
        KEEP_ALIVE.or(INHERIT, NOTHING),
        "The longest keep-alive, also imposed on clients that ask for none."
    ),
    key!(
        connect_timeout_ms as "connect_timeout",
        CONNECT_TIMEOUT.or(INHERIT, NOTHING),
        "How long a connection may take from accept to the end of its handshake, that of TLS included."
    ),
    key!(message_rate, RATE.or(INHERIT, NOTHING), "Messages a second that one client may publish."),
    key!(byte_rate, BYTE_RATE.or(INHERIT, NOTHING), "Bytes a second that one client may publish."),
    key!(message_rate_out, RATE.or(INHERIT, NOTHING), "Messages a second that one client is sent."),
    key!(
        byte_rate_out,
        BYTE_RATE.or(INHERIT, NOTHING),
        "Bytes a second of packets with messages that one client is sent."
    ),
    key!(will_bytes_max, WILL_BYTES.or(INHERIT, NOTHING), "The longest payload of a will."),
    key!(user_properties_max, USER_PROPERTIES.or(INHERIT, NOTHING), "User properties of a message or of a will."),
    key!(maximum_qos, QOS.or(INHERIT, NOTHING), "The highest quality of service on offer."),
    key!(subscriptions_max, SUBSCRIPTIONS.or(INHERIT, NOTHING), "Subscriptions of one session."),
    key!(topic_levels_max, TOPIC_LEVELS.or(INHERIT, NOTHING), "The most levels of a topic or a filter."),
    key!(
        inflight_max,
        INFLIGHT.or(INHERIT, NOTHING),
        "Unacknowledged messages of QoS 1 and 2 on their way to a client, even if it would take more."
    ),
];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;
    use crate::config::keys::KEYS;
    use crate::config::keys::tests::{name_of_key, takes_all_that_is_allowed};
    use crate::config::schema::{find, find_in_listener};
    use crate::engine::limits::Limits;
    use crate::mqtt::QoS;

    #[test]
    fn every_field_but_the_name_is_a_key_once_and_in_order() {
        let debug = format!("{:#?}", Listener::new("a"));
        let fields = debug.lines().filter(|line| line.starts_with("    ") && !line.starts_with("     "));
        let fields: Vec<String> =
            fields.filter_map(|line| Some(name_of_key(line.trim_start().split_once(": ")?.0))).collect();
        assert_eq!(fields[0], "name");
        assert!(LISTENER_KEYS.iter().map(|key| key.name).eq(fields[1..].iter().map(String::as_str)), "{fields:?}");
        let is_found = |(at, key): (usize, &Key<Listener>)| find_in_listener(key.name) == Some(at);
        assert!(LISTENER_KEYS.iter().enumerate().all(is_found));
        assert!(LISTENER_KEYS.iter().all(|key| key.section == LISTENERS && key.doc.ends_with('.')));
    }

    /// What overrides a limit of the whole broker is called as that is, and can say all that it can say.
    #[test]
    fn what_is_inherited_is_a_limit() {
        let mut inherited = 0;
        for key in LISTENER_KEYS {
            let Kind::Number(number) = key.kind else { continue };
            if number.words().all(|(word, _)| word != INHERIT) {
                continue;
            }
            inherited += 1;
            let limit = &KEYS[find("limits", key.name).unwrap()];
            let Kind::Number(whole) = limit.kind else { panic!("{} is a number", key.name) };
            assert_eq!((number.min, number.max, number.unit), (whole.min, whole.max, whole.unit), "{}", key.name);
            assert!(number.words().filter(|(word, _)| *word != INHERIT).eq(whole.words()), "{}", key.name);
            let mut listener = Listener::new("a");
            let text = number.unit.format(number.max);
            (key.set)(&mut listener, key.kind.read_text(&text).unwrap());
            let config = Config { limits: listener.limits(&Limits::default()), ..Config::default() };
            assert_eq!(limit.kind.write(&(limit.get)(&config)), key.written(&listener), "{}", key.name);
        }
        assert_eq!(inherited, 13);
        let limits = Limits { maximum_qos: QoS::AtMostOnce, byte_rate: 7, ..Limits::default() };
        assert_eq!(Listener::new("a").limits(&limits), limits);
        let few = Listener { subscriptions_max: Some(3), ..Listener::new("a") };
        assert_eq!(few.limits(&limits).shared_subscriptions_max, 3, "shared ones are some of all");
    }

    #[test]
    fn every_field_takes_all_that_its_kind_allows() {
        takes_all_that_is_allowed(LISTENER_KEYS, &Listener::new("a"));
    }
}
