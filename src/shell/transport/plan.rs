//! What all connections of one listener have in common, made of the operator's files.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::crypto::aws_lc_rs;
use rustls::crypto::{CryptoProvider, WebPkiSupportedAlgorithms};
use rustls::pki_types::ServerName;
use rustls::server::danger::ClientCertVerifier;
use rustls::server::{
    ClientHello, NoServerSessionStorage, ParsedCertificate, ProducesTickets, ResolvesServerCert, ServerConfig,
    WebPkiClientVerifier,
};
use rustls::sign::CertifiedKey;
use rustls::version::{TLS12, TLS13};
use rustls::{Error, RootCertStore, client};
use sha2::{Digest as _, Sha256};

use super::clients::{Clients, Fingerprint, fingerprint};
use super::keys::thrifty;
use super::secrets::{FileError, FileFault, certificates, fingerprints, passphrase, revocations, secret};
use crate::base::network::Network;
use crate::config::Listener;
use crate::config::listener::{ClientCertificates, Protocol, ProxyProtocol, TlsVersion, UserFrom};
use crate::engine::auth::certificate::NameRule;

/// The name of MQTT among the protocols that TLS carries.
const ALPN_MQTT: &[u8] = b"mqtt";
/// The name of what a WebSocket begins with.
const ALPN_HTTP: &[u8] = b"http/1.1";
/// Bytes of one frame of a WebSocket: as many as the largest packet of MQTT and its neighbours need. Nothing is kept of a frame, so this
/// bounds nothing but what somebody may announce.
const FRAME_BYTES_MAX: u32 = 1 << 29;
/// Tickets that a session of TLS 1.3 is given: one client comes back by one connection.
const TICKETS: usize = 1;

/// The files that TLS of a listener is made of, and what is asked of clients.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TlsFiles {
    /// Chains, each beginning with the certificate itself.
    pub certificates: Vec<PathBuf>,
    /// Their secrets, in the same order; none where they stand in the same files.
    pub keys: Vec<PathBuf>,
    /// Where the passphrase of the secrets stands.
    pub key_passphrase_file: Option<PathBuf>,
    /// Whether TLS 1.2 is not spoken.
    pub is_13_only: bool,
    /// Whether sessions may be resumed.
    pub has_tickets: bool,
    /// Whether a WebSocket is carried.
    pub is_websocket: bool,
    /// What is asked of clients.
    pub clients: Option<ClientFiles>,
}

/// What is asked of clients.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ClientFiles {
    /// Whether nobody comes in without a certificate.
    pub is_mandatory: bool,
    /// Authorities that their certificates lead to.
    pub authorities: Vec<PathBuf>,
    /// Certificates that are good no more.
    pub revocations: Vec<PathBuf>,
    /// The only certificates that are good.
    pub pins: Option<PathBuf>,
}

/// One per listener that has layers: shared by all shards, made anew by a reload.
#[derive(Clone, Debug, Default)]
pub struct Plan {
    /// Whether a header of the PROXY protocol comes first.
    pub is_proxied: bool,
    /// TLS, if it is spoken.
    pub tls: Option<TlsPlan>,
    /// What a WebSocket has to look like, if MQTT lies in one.
    pub websocket: Option<WebSocket>,
    /// From where connections are taken at all; none for from everywhere.
    pub trusted: Vec<Network>,
    /// What of a certificate is the name of its user.
    pub user_from: Option<NameRule>,
}

/// What a WebSocket has to look like.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WebSocket {
    /// Its path.
    pub path: String,
    /// The origins that may open it; none for all.
    pub origins: Vec<String>,
    /// Bytes of one frame.
    pub frame_bytes_max: u32,
}

/// TLS of one listener.
#[derive(Clone, Debug)]
pub struct TlsPlan {
    /// What the library needs.
    pub config: Arc<ServerConfig>,
    /// Who judges clients, if they are judged.
    pub clients: Option<Arc<Clients>>,
    /// Whether nobody is served who speaks nothing newer than TLS 1.2.
    pub is_13_only: bool,
    ticketer: Option<Arc<dyn ProducesTickets>>,
}

impl TlsFiles {
    /// What the configuration of a listener says; nothing where nothing is encrypted.
    pub fn of(listener: &Listener) -> Option<Self> {
        let path = |path: &PathBuf| (!path.as_os_str().is_empty()).then(|| path.clone());
        let asked = match listener.client_certificates {
            ClientCertificates::Off => None,
            ClientCertificates::Optional => Some(false),
            ClientCertificates::Required => Some(true),
        };
        let clients = asked.map(|is_mandatory| ClientFiles {
            is_mandatory,
            authorities: listener.client_ca.clone(),
            revocations: listener.client_crls.clone(),
            pins: path(&listener.client_pins),
        });
        (!listener.certificates.is_empty()).then(|| Self {
            certificates: listener.certificates.clone(),
            keys: listener.keys.clone(),
            key_passphrase_file: path(&listener.key_passphrase_file),
            is_13_only: listener.tls_min == TlsVersion::V13,
            has_tickets: listener.tickets,
            is_websocket: listener.protocol == Protocol::WebSocket,
            clients,
        })
    }

    /// All of them.
    pub fn paths(&self) -> Vec<PathBuf> {
        let clients = self
            .clients
            .iter()
            .flat_map(|clients| clients.authorities.iter().chain(&clients.revocations).chain(&clients.pins));
        self.certificates.iter().chain(&self.keys).chain(&self.key_passphrase_file).chain(clients).cloned().collect()
    }
}

impl Plan {
    /// What a listener of the configuration needs between its sockets and MQTT; nothing where that is nothing. Tickets that `before` has given
    /// out are good with the new plan.
    pub fn read(listener: &Listener, before: Option<&Self>) -> Result<Option<Self>, FileError> {
        let tls = match TlsFiles::of(listener) {
            Some(files) => Some(TlsPlan::read(&files, before.and_then(|before| before.tls.as_ref()))?),
            None => None,
        };
        let websocket = (listener.protocol == Protocol::WebSocket).then(|| WebSocket {
            path: listener.path.to_string(),
            origins: listener.origins.iter().map(ToString::to_string).collect(),
            frame_bytes_max: FRAME_BYTES_MAX,
        });
        let user_from = match listener.user_from {
            UserFrom::None => None,
            UserFrom::CommonName => Some(NameRule::CommonName),
            UserFrom::Subject => Some(NameRule::Subject),
            UserFrom::Dns => Some(NameRule::Dns),
            UserFrom::Email => Some(NameRule::Email),
            UserFrom::Uri => Some(NameRule::Uri),
        };
        let is_proxied = listener.proxy_protocol == ProxyProtocol::Required;
        let trusted = if is_proxied { listener.proxy_trusted.clone() } else { Vec::new() };
        let is_needed = is_proxied || tls.is_some() || websocket.is_some();
        Ok(is_needed.then_some(Self { is_proxied, tls, websocket, trusted, user_from }))
    }

    /// Whether a connection is taken from this address. Where a proxy is believed nobody else may speak; a process of this machine may.
    pub fn takes(&self, address: IpAddr) -> bool {
        self.trusted.is_empty()
            || address.is_unspecified()
            || self.trusted.iter().any(|network| network.contains(address))
    }
}

impl TlsPlan {
    /// Reads the files. Tickets that `before` has given out are good with the new plan; what it says about clients is judged anew.
    pub fn read(files: &TlsFiles, before: Option<&Self>) -> Result<Self, FileError> {
        let provider = Arc::new(thrifty(aws_lc_rs::default_provider()));
        let algorithms = provider.signature_verification_algorithms;
        let resolver = Arc::new(Certificates::read(files, &provider)?);
        let first = files.certificates.first().map_or(Path::new(""), PathBuf::as_path);
        let refused = |error| FileFault::Refused(error).of(first);
        let clients = match &files.clients {
            Some(clients) => Some(Arc::new(read_clients(clients, &provider, algorithms)?)),
            None => None,
        };
        let versions: &[_] = if files.is_13_only { &[&TLS13] } else { &[&TLS13, &TLS12] };
        let builder =
            ServerConfig::builder_with_provider(provider).with_protocol_versions(versions).map_err(refused)?;
        let builder = match &clients {
            Some(clients) => builder.with_client_cert_verifier(Arc::clone(clients) as Arc<dyn ClientCertVerifier>),
            None => builder.with_no_client_auth(),
        };
        let mut config = builder.with_cert_resolver(resolver);
        config.alpn_protocols = vec![if files.is_websocket { ALPN_HTTP } else { ALPN_MQTT }.to_vec()];
        config.session_storage = Arc::new(NoServerSessionStorage {});
        config.send_tls13_tickets = 0;
        let kept = before.and_then(|before| before.ticketer.clone());
        let ticketer = match (files.has_tickets, kept) {
            (false, _) => None,
            (true, Some(ticketer)) => Some(ticketer),
            (true, None) => Some(aws_lc_rs::Ticketer::new().map_err(refused)?),
        };
        if let Some(ticketer) = &ticketer {
            config.ticketer = Arc::clone(ticketer);
            config.send_tls13_tickets = TICKETS;
        }
        Ok(Self { config: Arc::new(config), clients, is_13_only: files.is_13_only, ticketer })
    }
}

fn read_clients(
    files: &ClientFiles,
    provider: &Arc<CryptoProvider>,
    algorithms: WebPkiSupportedAlgorithms,
) -> Result<Clients, FileError> {
    let mut content = Sha256::new();
    let chain =
        if files.authorities.is_empty() { None } else { Some(read_authorities(files, provider, &mut content)?) };
    let pins: Option<BTreeSet<Fingerprint>> = match &files.pins {
        Some(path) => Some(fingerprints(path)?.into_iter().collect()),
        None => None,
    };
    content.update([u8::from(pins.is_some())]);
    for pin in pins.iter().flatten() {
        content.update(pin);
    }
    Ok(Clients::new(chain, pins, files.is_mandatory, algorithms, content.finalize().into()))
}

/// A list of revoked certificates that is too old says nothing: whoever it might be about is refused.
fn read_authorities(
    files: &ClientFiles,
    provider: &Arc<CryptoProvider>,
    content: &mut Sha256,
) -> Result<Arc<dyn ClientCertVerifier>, FileError> {
    let first = files.authorities.first().expect("there are some");
    let mut roots = RootCertStore::empty();
    for path in &files.authorities {
        for authority in certificates(path)? {
            content.update(fingerprint(&authority));
            roots.add(authority).map_err(|error| FileFault::Refused(error).of(path))?;
        }
    }
    let mut lists = Vec::new();
    for path in &files.revocations {
        lists.extend(revocations(path)?);
    }
    content.update([u8::from(lists.is_empty())]);
    for list in &lists {
        content.update(Sha256::digest(list));
    }
    let mut builder = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), Arc::clone(provider));
    if !lists.is_empty() {
        builder = builder.with_crls(lists).enforce_revocation_expiration();
    }
    // Whether a certificate is asked for at all is not the library's to decide.
    let refused = |error: rustls::server::VerifierBuilderError| {
        FileFault::Refused(Error::General(error.to_string())).of(files.revocations.first().unwrap_or(first))
    };
    builder.build().map(|verifier| verifier as Arc<dyn ClientCertVerifier>).map_err(refused)
}

/// The server's certificates, in the order of the configuration. The first is for whoever names no server, or one that nobody is.
#[derive(Debug)]
struct Certificates {
    all: Vec<Arc<CertifiedKey>>,
}

impl Certificates {
    fn read(files: &TlsFiles, provider: &CryptoProvider) -> Result<Self, FileError> {
        let passphrase = match &files.key_passphrase_file {
            Some(path) => Some(passphrase(path)?),
            None => None,
        };
        let mut all = Vec::new();
        for (number, path) in files.certificates.iter().enumerate() {
            let chain = certificates(path)?;
            let key_path = files.keys.get(number).unwrap_or(path);
            let secret = secret(key_path, passphrase.as_deref())?;
            let key = provider
                .key_provider
                .load_private_key(secret)
                .map_err(|error| FileFault::Refused(error).of(key_path))?;
            let certified = CertifiedKey::new(chain, key);
            match certified.keys_match() {
                // Some keys cannot say what their public half is; the handshake will.
                Ok(()) | Err(Error::InconsistentKeys(rustls::InconsistentKeys::Unknown)) => {}
                Err(Error::InconsistentKeys(_)) => {
                    return Err(FileFault::Mismatch { secret: key_path.clone() }.of(path));
                }
                Err(error) => return Err(FileFault::Refused(error).of(path)),
            }
            all.push(Arc::new(certified));
        }
        Ok(Self { all })
    }
}

impl ResolvesServerCert for Certificates {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let can_sign = |key: &&Arc<CertifiedKey>| key.key.choose_scheme(hello.signature_schemes()).is_some();
        let named = hello.server_name().and_then(|name| ServerName::try_from(name).ok());
        let is_named = |key: &&Arc<CertifiedKey>| named.as_ref().is_some_and(|name| is_for(key, name));
        let mut usable = self.all.iter().filter(can_sign);
        let first = usable.clone().next();
        usable.find(is_named).or(first).map(Arc::clone)
    }
}

/// Whether a certificate is for a server of this name.
fn is_for(key: &CertifiedKey, name: &ServerName<'_>) -> bool {
    key.end_entity_cert()
        .and_then(|certificate| {
            let parsed = ParsedCertificate::try_from(certificate)?;
            client::verify_server_name(&parsed, name)
        })
        .is_ok()
}
