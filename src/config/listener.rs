//! A listener of its own: where it listens, what is spoken there, and who comes in by which proof and within which bounds.

use core::fmt;
use core::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;

use super::address::{PLAIN_PORT, TLS_PORT};
use super::plaintext::PlaintextPasswords;
use super::{Anonymous, Auth, Listeners};
use crate::base::network::Network;
use crate::engine::accounts::terms::ListenerTerms;
use crate::engine::limits::Limits;
use crate::mqtt::QoS;

/// Listeners with a name; one more is a complaint.
pub const LISTENERS_MAX: usize = 64;

/// Bytes of the name of a listener.
pub const LISTENER_NAME_BYTES_MAX: usize = 32;

/// Where a listener listens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ListenAddress {
    /// A port of an address; port 0 lets the kernel choose. Never a mapped IPv4 address.
    Tcp(SocketAddr),
    /// A socket in the file system.
    Unix(PathBuf),
}

/// What is spoken, within TLS where there is some.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    /// MQTT itself.
    Mqtt,
    /// MQTT in the frames of a WebSocket.
    WebSocket,
}

/// Whether a proxy says who comes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProxyProtocol {
    /// No: whoever connects is who comes.
    Off,
    /// Always: a connection without a header, or from where none is believed, is closed.
    Required,
}

/// The oldest version of TLS that is spoken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TlsVersion {
    /// TLS 1.2.
    V12,
    /// TLS 1.3.
    V13,
}

/// Whether clients are asked for a certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClientCertificates {
    /// No.
    Off,
    /// Yes, and who has none comes in without; one that does not hold is refused all the same.
    Optional,
    /// Yes, and who has none is refused.
    Required,
}

/// What of a client's certificate is its user name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UserFrom {
    /// Nothing.
    None,
    /// The common name of its subject.
    CommonName,
    /// Its whole subject.
    Subject,
    /// Its alternative name that is a host's.
    Dns,
    /// Its alternative name that is a mail address.
    Email,
    /// Its alternative name that is a URI.
    Uri,
}

/// By what clients show who they are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Proof {
    /// A certificate of their own.
    Certificate,
    /// A password of the password file.
    Password,
    /// A signed token.
    Token,
    /// Whatever a web server takes.
    Hook,
    /// Nothing: who gives neither name nor password comes in.
    Anonymous,
}

/// A listener of its own. What it does not override it has from `[limits]` and `[auth]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listener {
    /// What it is called.
    pub name: Box<str>,
    /// Where it listens.
    pub address: ListenAddress,
    /// What is spoken there.
    pub protocol: Protocol,
    /// The network device that its sockets are bound to.
    pub interface: Option<Box<str>>,
    /// Whether `[::]` takes IPv4 as well.
    pub dual_stack: bool,
    /// The permissions of a Unix socket.
    pub socket_mode: u32,
    /// Whether a proxy says who comes.
    pub proxy_protocol: ProxyProtocol,
    /// Where proxies are believed.
    pub proxy_trusted: Vec<Network>,
    /// Certificates, each with its chain; none where nothing is encrypted.
    pub certificates: Vec<PathBuf>,
    /// Their secrets in the same order; none where each stands in the file of its certificate.
    pub keys: Vec<PathBuf>,
    /// What opens the secrets; empty for none.
    pub key_passphrase_file: PathBuf,
    /// The oldest version of TLS that is spoken.
    pub tls_min: TlsVersion,
    /// Whether clients are asked for a certificate.
    pub client_certificates: ClientCertificates,
    /// Who may have signed it.
    pub client_ca: Vec<PathBuf>,
    /// What was revoked.
    pub client_crls: Vec<PathBuf>,
    /// Fingerprints of the certificates that come in; empty for any.
    pub client_pins: PathBuf,
    /// What of a client's certificate is its user name.
    pub user_from: UserFrom,
    /// Whether clients may resume what they had agreed on.
    pub tickets: bool,
    /// The path of the WebSocket.
    pub path: Box<str>,
    /// The pages that may open a WebSocket; none for all.
    pub origins: Vec<Box<str>>,
    /// By what clients show who they are, in this order; none for what `[auth]` says.
    pub chain: Vec<Proof>,
    /// What becomes of passwords that can be read on their way here; nothing for what `[auth]` says.
    pub plaintext_passwords: Option<PlaintextPasswords>,
    /// Connections of this listener, on all shards; none for no bound but that of the broker.
    pub connections_max: Option<usize>,
    /// Connections of this listener from one address; none for no bound.
    pub connections_per_address_max: Option<usize>,
    /// Connections a second that this listener accepts, on all shards; 0 for any.
    pub connect_rate: u32,
    /// Overrides `limits.packet_bytes_max`.
    pub packet_bytes_max: Option<u32>,
    /// Overrides `limits.keep_alive_max`.
    pub keep_alive_max_s: Option<u16>,
    /// Overrides `limits.connect_timeout`.
    pub connect_timeout_ms: Option<u64>,
    /// Overrides `limits.message_rate`.
    pub message_rate: Option<u32>,
    /// Overrides `limits.byte_rate`.
    pub byte_rate: Option<u32>,
    /// Overrides `limits.message_rate_out`.
    pub message_rate_out: Option<u32>,
    /// Overrides `limits.byte_rate_out`.
    pub byte_rate_out: Option<u32>,
    /// Overrides `limits.will_bytes_max`.
    pub will_bytes_max: Option<u32>,
    /// Overrides `limits.user_properties_max`.
    pub user_properties_max: Option<usize>,
    /// Overrides `limits.maximum_qos`.
    pub maximum_qos: Option<QoS>,
    /// Overrides `limits.subscriptions_max`.
    pub subscriptions_max: Option<usize>,
    /// Overrides `limits.topic_levels_max`.
    pub topic_levels_max: Option<usize>,
    /// Overrides `limits.inflight_max`.
    pub inflight_max: Option<u16>,
}

impl ListenAddress {
    /// The port of an address, if it is one.
    pub fn tcp(&self) -> Option<SocketAddr> {
        match self {
            Self::Tcp(address) => Some(*address),
            Self::Unix(_) => None,
        }
    }

    /// Whether other machines can reach it.
    pub fn is_reached_from_outside(&self) -> bool {
        self.tcp().is_some_and(|address| !address.ip().is_loopback())
    }
}

/// As a file has it.
impl fmt::Display for ListenAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(address) => address.fmt(f),
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

impl Listener {
    /// A listener with nothing but a name: plain MQTT on loopback, at a port that the kernel chooses.
    pub fn new(name: &str) -> Self {
        Self {
            name: name.into(),
            address: ListenAddress::Tcp(SocketAddr::from((Ipv4Addr::LOCALHOST, 0))),
            protocol: Protocol::Mqtt,
            interface: None,
            dual_stack: false,
            socket_mode: 0o660,
            proxy_protocol: ProxyProtocol::Off,
            proxy_trusted: Vec::new(),
            certificates: Vec::new(),
            keys: Vec::new(),
            key_passphrase_file: PathBuf::new(),
            tls_min: TlsVersion::V12,
            client_certificates: ClientCertificates::Off,
            client_ca: Vec::new(),
            client_crls: Vec::new(),
            client_pins: PathBuf::new(),
            user_from: UserFrom::None,
            tickets: true,
            path: "/mqtt".into(),
            origins: Vec::new(),
            chain: Vec::new(),
            plaintext_passwords: None,
            connections_max: None,
            connections_per_address_max: None,
            connect_rate: 0,
            packet_bytes_max: None,
            keep_alive_max_s: None,
            connect_timeout_ms: None,
            message_rate: None,
            byte_rate: None,
            message_rate_out: None,
            byte_rate_out: None,
            will_bytes_max: None,
            user_properties_max: None,
            maximum_qos: None,
            subscriptions_max: None,
            topic_levels_max: None,
            inflight_max: None,
        }
    }

    /// Whether TLS is spoken.
    pub fn is_encrypted(&self) -> bool {
        !self.certificates.is_empty()
    }

    /// The port that is meant where its address says none.
    pub fn usual_port(&self) -> Option<u16> {
        match (self.protocol, self.is_encrypted()) {
            (Protocol::Mqtt, false) => Some(PLAIN_PORT),
            (Protocol::Mqtt, true) => Some(TLS_PORT),
            (Protocol::WebSocket, _) => None,
        }
    }

    /// Whether somebody may come in by nothing that was said, here or in `[auth]`: for want of a word, not by one.
    pub fn lets_anybody_in_unasked(&self, auth: &Auth) -> bool {
        let is_certified = self.client_certificates == ClientCertificates::Required;
        self.chain.is_empty() && !is_certified && auth.anonymous == Anonymous::Auto && auth.lets_anybody_in()
    }

    /// What is bounded of all its clients together.
    pub fn terms(&self) -> ListenerTerms {
        let bound = |count: Option<usize>| count.unwrap_or(0);
        ListenerTerms {
            connections_max: bound(self.connections_max) as u64,
            connect_rate: self.connect_rate,
            connections_per_address_max: u32::try_from(bound(self.connections_per_address_max)).unwrap_or(u32::MAX),
            is_proxied: self.proxy_protocol == ProxyProtocol::Required,
        }
    }

    /// The bounds of its clients: those of the whole broker with what it overrides.
    #[must_use]
    pub fn limits(&self, broker: &Limits) -> Limits {
        let subscriptions_max = self.subscriptions_max.unwrap_or(broker.subscriptions_max);
        Limits {
            packet_bytes_max: self.packet_bytes_max.unwrap_or(broker.packet_bytes_max),
            keep_alive_max_s: self.keep_alive_max_s.unwrap_or(broker.keep_alive_max_s),
            connect_timeout_ms: self.connect_timeout_ms.unwrap_or(broker.connect_timeout_ms),
            message_rate: self.message_rate.unwrap_or(broker.message_rate),
            byte_rate: self.byte_rate.unwrap_or(broker.byte_rate),
            message_rate_out: self.message_rate_out.unwrap_or(broker.message_rate_out),
            byte_rate_out: self.byte_rate_out.unwrap_or(broker.byte_rate_out),
            will_bytes_max: self.will_bytes_max.unwrap_or(broker.will_bytes_max),
            user_properties_max: self.user_properties_max.unwrap_or(broker.user_properties_max),
            maximum_qos: self.maximum_qos.unwrap_or(broker.maximum_qos),
            subscriptions_max,
            // Shared subscriptions are some of them.
            shared_subscriptions_max: broker.shared_subscriptions_max.min(subscriptions_max),
            topic_levels_max: self.topic_levels_max.unwrap_or(broker.topic_levels_max),
            inflight_max: self.inflight_max.unwrap_or(broker.inflight_max),
            ..broker.clone()
        }
    }
}

impl Listeners {
    /// The bounds of the clients of each listener by its number, those of `tcp` first; none at all where no listener has any of its own.
    pub fn own_limits(&self, broker: &Limits) -> Vec<Limits> {
        let own: Vec<Limits> = self.named.iter().map(|named| named.limits(broker)).collect();
        if own.iter().all(|own| own == broker) {
            return Vec::new();
        }
        self.tcp.iter().map(|_| broker.clone()).chain(own).collect()
    }
}
