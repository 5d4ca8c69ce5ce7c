//! TLS for tests: an authority, a broker that has a certificate of it, and clients of the library.

use std::fs;
use std::io::{ErrorKind, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::crypto::aws_lc_rs;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::version::{TLS12, TLS13};
use rustls::{ClientConfig, ClientConnection, HandshakeKind, RootCertStore, StreamOwned, SupportedProtocolVersion};
use socket2::SockRef;

use crate::authority::{Authority, Certified};
use crate::folder::Folder;
use crate::process::{Broker, Options};
use crate::stream::{self, Stream};

/// Both versions; the newer one is spoken where there is a choice.
pub const BOTH: [&SupportedProtocolVersion; 2] = [&TLS13, &TLS12];

/// The name that the broker's certificate is for.
pub const HOST: &str = "localhost";

/// A client's session of TLS.
pub type Tls = StreamOwned<ClientConnection, Box<dyn Stream>>;

impl Stream for Tls {
    fn socket(&self) -> SockRef<'_> {
        self.sock.socket()
    }
}

/// An authority, and a server's certificate of it.
pub struct Trust {
    /// Who signs.
    pub authority: Authority,
    /// What the broker shows.
    pub server: Certified,
    folder: Folder,
}

impl Trust {
    pub fn new(test: &str) -> Self {
        let folder = Folder::new(test);
        fs::create_dir(folder.path()).expect("the name is this test's");
        let authority = Authority::new(folder.path(), "authority");
        let server = authority.server(HOST);
        Self { authority, server, folder }
    }

    /// A file of this test.
    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// A broker of so many shards whose listener `tls` has the certificate.
    pub fn options(&self, shards: usize) -> Options {
        let certificates = format!("listeners.tls.certificates={}", self.server.path.display());
        Options::shards(shards).set("listeners.tls.address=127.0.0.1:0").set(&certificates)
    }

    /// The same, and clients have to show certificates of the same authority.
    pub fn mutual(&self, shards: usize) -> Options {
        let authority = format!("listeners.tls.client_ca={}", self.authority.path().display());
        self.options(shards).set("listeners.tls.client_certificates=required").set(&authority)
    }

    /// What a client trusts, and shows if it is asked for it; it remembers sessions.
    pub fn client(
        &self,
        shown: Option<&Certified>,
        versions: &[&'static SupportedProtocolVersion],
    ) -> Arc<ClientConfig> {
        let mut roots = RootCertStore::empty();
        roots.add(self.authority.certificate().der().clone()).expect("it is an authority");
        let provider = Arc::new(aws_lc_rs::default_provider());
        let builder = ClientConfig::builder_with_provider(provider);
        let builder =
            builder.with_protocol_versions(versions).expect("there are ciphers").with_root_certificates(roots);
        Arc::new(match shown {
            None => builder.with_no_client_auth(),
            Some(shown) => {
                let key = PrivateKeyDer::Pkcs8(shown.key.serialize_der().into());
                builder.with_client_auth_cert(shown.chain.clone(), key).expect("certificate and key are of one piece")
            }
        })
    }

    /// A client that has nothing to show.
    pub fn anybody(&self) -> Arc<ClientConfig> {
        self.client(None, &BOTH)
    }
}

/// A file gets another content all at once, as orchestrators do it.
pub fn replace(path: &Path, content: &str) {
    let new = path.with_extension("new");
    fs::write(&new, content).expect("there is room");
    fs::rename(new, path).expect("it is the same folder");
}

/// Whom a client looks for.
pub fn name() -> ServerName<'static> {
    ServerName::try_from(HOST).expect("it is a name")
}

/// The beginning of a session upon this stream; nothing is said yet.
pub fn over(config: &Arc<ClientConfig>, stream: impl Stream + 'static) -> Tls {
    let session = ClientConnection::new(Arc::clone(config), name()).expect("the client's words are good");
    StreamOwned::new(session, Box::new(stream))
}

/// The same to the listener `tls`.
pub fn open(broker: &Broker, config: &Arc<ClientConfig>) -> Tls {
    over(config, stream::tcp(broker.named("tls")))
}

/// The same with the handshake gone through.
#[track_caller]
pub fn shake(broker: &Broker, config: &Arc<ClientConfig>) -> Tls {
    shake_over(config, stream::tcp(broker.named("tls")))
}

/// The same upon this stream.
#[track_caller]
pub fn shake_over(config: &Arc<ClientConfig>, stream: impl Stream + 'static) -> Tls {
    let mut tls = over(config, stream);
    while tls.conn.is_handshaking() {
        tls.conn.complete_io(&mut tls.sock).expect("the handshake succeeds");
    }
    tls
}

/// Whether a client came back to a session.
pub fn is_resumed(tls: &Tls) -> bool {
    tls.conn.handshake_kind() == Some(HandshakeKind::Resumed)
}

/// The certificate that the broker has shown.
pub fn shown(tls: &Tls) -> CertificateDer<'static> {
    tls.conn.peer_certificates().expect("the broker shows a certificate")[0].clone().into_owned()
}

/// Says this at once, each part in a record of its own, and the last part of the handshake with it where that is due.
pub fn say_in_records(tls: &mut Tls, parts: &[Vec<u8>]) {
    for part in parts {
        tls.conn.writer().write_all(part).expect("there is room");
    }
    tls.flush().expect("the broker takes bytes");
}

/// The broker ends the session before it says anything within it; with which error on the client's side.
#[track_caller]
pub fn expect_refused(mut tls: Tls, said: &[u8]) -> Option<rustls::Error> {
    let told = |error: std::io::Error| match error.kind() {
        ErrorKind::UnexpectedEof | ErrorKind::ConnectionReset | ErrorKind::BrokenPipe => None,
        ErrorKind::InvalidData => error.downcast::<rustls::Error>().ok(),
        _ => panic!("the broker goes on: {error}"),
    };
    if let Err(error) = tls.write_all(said) {
        return told(error);
    }
    match tls.read(&mut [0; 1]) {
        Ok(count) => panic!("the broker has said {count} bytes"),
        Err(error) => told(error),
    }
}
