//! For tests: a client of the library and the layers of a server, with nothing but vectors between them.

use std::fs;
use std::io::{Read as _, Write as _};
use std::path::PathBuf;
use std::sync::Arc;

use rustls::crypto::aws_lc_rs;
use rustls::pki_types::{PrivateKeyDer, ServerName};
use rustls::{ClientConfig, ClientConnection, Error, RootCertStore, SupportedProtocolVersion};

use super::authority::{Authority, Certified};
use super::layers::{Heard, LayerError, Layers, PENDING_BYTES_MAX};
use super::plan::{Plan, TlsFiles, TlsPlan};
use crate::engine::auth::certificate::Certificate as Shown;

/// Both ends of a connection.
pub struct Pair {
    /// The client's end.
    pub client: ClientConnection,
    /// The server's.
    pub server: Layers,
    /// What the server's socket was given and the client has not got.
    pub wire: Vec<u8>,
    /// What the server has heard of MQTT.
    pub heard: Vec<u8>,
    /// What the client has read.
    pub read: Vec<u8>,
    /// Whether the server has been told that the client came back, once it was told anything.
    pub was_resumed: Option<bool>,
    /// The certificate that the server was told of.
    pub certificate: Option<Shown>,
    /// Whether the client has heard that nothing more follows.
    pub has_heard_goodbye: bool,
    /// Why the client has given up.
    pub client_error: Option<Error>,
}

impl Pair {
    /// A client that looks for a server of this name.
    pub fn new(plan: &Arc<Plan>, config: &Arc<ClientConfig>, name: &'static str) -> Self {
        let name = ServerName::try_from(name).unwrap();
        Self {
            client: ClientConnection::new(Arc::clone(config), name).unwrap(),
            server: Layers::new(plan).unwrap(),
            wire: Vec::new(),
            heard: Vec::new(),
            read: Vec::new(),
            was_resumed: None,
            certificate: None,
            has_heard_goodbye: false,
            client_error: None,
        }
    }

    /// Carries bytes to and fro until nobody has any, so many at a time. An error of the server is told to the client.
    pub fn drive(&mut self, step: usize) -> Result<(), LayerError> {
        let mut result = Ok(());
        loop {
            let mut sent = Vec::new();
            while self.client.wants_write() {
                self.client.write_tls(&mut sent).unwrap();
            }
            if (sent.is_empty() || result.is_err()) && self.wire.is_empty() {
                return result;
            }
            for part in sent.chunks(step) {
                if result.is_ok() {
                    result = self.server_hears(part).map(drop);
                }
            }
            for part in std::mem::take(&mut self.wire).chunks(step) {
                self.client_hears(part);
            }
        }
    }

    /// Bytes reach the server's socket.
    pub fn server_hears(&mut self, part: &[u8]) -> Result<bool, LayerError> {
        let mut buffer = vec![0; PENDING_BYTES_MAX + part.len()];
        let start = self.server.put_pending(&mut buffer);
        buffer[start..start + part.len()].copy_from_slice(part);
        let (heard, was_resumed, certificate) = (&mut self.heard, &mut self.was_resumed, &mut self.certificate);
        self.server.open(&mut buffer[..start + part.len()], &mut self.wire, |told| match told {
            Heard::Bytes(bytes) => {
                assert!(was_resumed.is_some(), "nothing is told of a client before its certificate is judged");
                heard.extend_from_slice(bytes);
            }
            Heard::Proxied { .. } => panic!("no proxy is believed here"),
            Heard::Secured { certificate: shown, is_resumed } => {
                *was_resumed = Some(is_resumed);
                *certificate = shown;
            }
        })
    }

    fn client_hears(&mut self, mut part: &[u8]) {
        while !part.is_empty() && self.client_error.is_none() {
            self.client.read_tls(&mut part).unwrap();
            match self.client.process_new_packets() {
                Ok(state) => self.has_heard_goodbye |= state.peer_has_closed(),
                Err(error) => self.client_error = Some(error),
            }
            let mut buffer = [0; 4096];
            while let Ok(count @ 1..) = self.client.reader().read(&mut buffer) {
                self.read.extend_from_slice(&buffer[..count]);
            }
        }
    }

    /// The client says something, and everything is carried.
    pub fn say(&mut self, bytes: &[u8], step: usize) -> Result<(), LayerError> {
        for part in bytes.chunks(10_000) {
            self.client.writer().write_all(part).unwrap();
            self.drive(step)?;
        }
        Ok(())
    }
}

/// A plan of nothing but TLS.
pub fn plan(files: &TlsFiles, before: Option<&Plan>) -> Arc<Plan> {
    let before = before.and_then(|plan| plan.tls.as_ref());
    Arc::new(Plan { tls: Some(TlsPlan::read(files, before).unwrap()), ..Plan::default() })
}

/// The files of a server with these certificates.
pub fn files(certificates: &[&Certified]) -> TlsFiles {
    let certificates: Vec<PathBuf> = certificates.iter().map(|certified| certified.path.clone()).collect();
    TlsFiles { certificates, has_tickets: true, ..TlsFiles::default() }
}

/// A client that trusts this authority, and shows this certificate if it is asked for one.
pub fn client(
    authority: &Authority,
    shown: Option<&Certified>,
    versions: &[&'static SupportedProtocolVersion],
) -> Arc<ClientConfig> {
    let mut roots = RootCertStore::empty();
    roots.add(authority.certificate().der().clone()).unwrap();
    let provider = Arc::new(aws_lc_rs::default_provider());
    let builder = ClientConfig::builder_with_provider(provider).with_protocol_versions(versions).unwrap();
    let builder = builder.with_root_certificates(roots);
    Arc::new(match shown {
        None => builder.with_no_client_auth(),
        Some(shown) => {
            let key = PrivateKeyDer::Pkcs8(shown.key.serialize_der().into());
            builder.with_client_auth_cert(shown.chain.clone(), key).unwrap()
        }
    })
}

/// Writes a list of pinned certificates.
pub fn pin(path: PathBuf, pinned: &[&Certified]) -> PathBuf {
    let line = |certified: &&Certified| {
        let digits = super::clients::fingerprint(certified.certificate.der()).map(|byte| format!("{byte:02x}"));
        digits.concat() + "  a comment\n"
    };
    fs::write(&path, pinned.iter().map(line).collect::<String>()).unwrap();
    path
}
