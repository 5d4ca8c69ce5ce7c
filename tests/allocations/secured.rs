//! What a session of TLS holds, layers and all: while nothing is said, and while a handshake waits for its client.
//!
//! Blocks are those of the broker's allocator, which takes more than it is asked for. What the cryptography beneath allocates by itself is not seen here:
//! `bench/compare/idle` and `tests/attack` measure the whole process. Each line that is printed names the blocks, the largest first.

use std::io::Write as _;
use std::sync::Arc;

use pregon::engine::auth::certificate::Certificate;
use pregon::shell::transport::layers::{Heard, Layers};
use pregon::shell::transport::plan::{ClientFiles, Plan, TlsFiles, TlsPlan};
use rustls::client::Resumption;
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::{PrivateKeyDer, ServerName};
use rustls::version::{TLS12, TLS13};
use rustls::{ClientConfig, ClientConnection, RootCertStore, SupportedProtocolVersion};

use super::authority::{Authority, Certified, Saying};
use super::folder::Folder;
use super::live_blocks_of;

/// What stays of a connection as long as it is there: what the shell has, and what the engine knows of the certificate.
struct Held {
    _layers: Box<Layers>,
    _certificate: Option<Arc<Certificate>>,
}

/// How far a client goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    /// It has said hello, and says nothing to the answer.
    Hello,
    /// Both have said something of their own.
    Idle,
}

/// Who is at the other end, and what that may take.
struct Case<'a> {
    name: &'static str,
    plan: &'a Arc<Plan>,
    version: &'static SupportedProtocolVersion,
    shown: Option<&'a Certified>,
    end: End,
    bytes_max: usize,
}

#[test]
fn a_session_stays_small() {
    let folder = Folder::new("allocations-secured");
    std::fs::create_dir(folder.path()).expect("the name is this test's");
    let authority = Authority::new(folder.path(), "authority");
    let direct = authority.certify(&Saying::default());
    let through = authority.intermediate("between", 50).certify(&Saying::default());
    let clients = ClientFiles { authorities: vec![authority.path()], is_mandatory: true, ..ClientFiles::default() };
    let certificates = vec![authority.server("localhost").path];
    let silent = TlsFiles { certificates, has_tickets: true, ..TlsFiles::default() };
    let asking = TlsFiles { clients: Some(clients), ..silent.clone() };
    let [silent, asking] = [silent, asking].map(|files| {
        let tls = TlsPlan::read(&files, None).expect("the files are good");
        Arc::new(Plan { tls: Some(tls), ..Plan::default() })
    });
    let case = |name, plan, version, shown, end, bytes_max| Case { name, plan, version, shown, end, bytes_max };
    let cases = [
        case("TLS 1.3", &silent, &TLS13, None, End::Idle, 2_600),
        case("TLS 1.2", &silent, &TLS12, None, End::Idle, 2_520),
        case("mutual TLS 1.3, one certificate", &asking, &TLS13, Some(&direct), End::Idle, 3_350),
        case("mutual TLS 1.3, chain of two", &asking, &TLS13, Some(&through), End::Idle, 3_800),
        case("mutual TLS 1.2, one certificate", &asking, &TLS12, Some(&direct), End::Idle, 3_180),
        case("mutual TLS 1.2, chain of two", &asking, &TLS12, Some(&through), End::Idle, 3_620),
        case("TLS 1.3, a hello alone", &silent, &TLS13, None, End::Hello, 3_050),
        case("TLS 1.2, a hello alone", &silent, &TLS12, None, End::Hello, 2_660),
        case("mutual TLS 1.3, a hello alone", &asking, &TLS13, None, End::Hello, 3_050),
        case("mutual TLS 1.2, a hello alone", &asking, &TLS12, None, End::Hello, 4_200),
    ];
    for case in &cases {
        let config = client(&authority, case.shown, case.version);
        drop(held(case.plan, &config, case.end)); // what all share is paid for
        let (_held, blocks) = live_blocks_of(|| held(case.plan, &config, case.end));
        let bytes: usize = blocks.iter().map(|(size, count)| size * count).sum();
        let list: Vec<String> = blocks.iter().rev().map(|(size, count)| format!("{count} of {size}")).collect();
        println!("{}: {bytes} bytes, {}", case.name, list.join(", "));
        assert!(bytes <= case.bytes_max, "{}: {bytes} bytes", case.name);
    }
}

/// A client that remembers nothing from one session to the next.
fn client(
    authority: &Authority,
    shown: Option<&Certified>,
    version: &'static SupportedProtocolVersion,
) -> Arc<ClientConfig> {
    let mut roots = RootCertStore::empty();
    roots.add(authority.certificate().der().clone()).expect("it is an authority");
    let builder = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()));
    let builder = builder.with_protocol_versions(&[version]).expect("there are ciphers").with_root_certificates(roots);
    let mut config = match shown {
        None => builder.with_no_client_auth(),
        Some(shown) => {
            let key = PrivateKeyDer::Pkcs8(shown.key.serialize_der().into());
            builder.with_client_auth_cert(shown.chain.clone(), key).expect("certificate and key are of one piece")
        }
    };
    config.resumption = Resumption::disabled();
    Arc::new(config)
}

/// A connection that such a client has come so far with.
fn held(plan: &Arc<Plan>, config: &Arc<ClientConfig>, end: End) -> Held {
    let name = ServerName::try_from("localhost").expect("it is a name");
    let mut client = ClientConnection::new(Arc::clone(config), name).expect("the client's words are good");
    let mut layers = Box::new(Layers::new(plan).expect("the plan is good"));
    let (mut certificate, mut wire, mut heard) = (None, Vec::new(), Vec::new());
    if end == End::Idle {
        client.writer().write_all(b"hello").expect("there is room");
    }
    loop {
        let mut said = Vec::new();
        while client.wants_write() {
            client.write_tls(&mut said).expect("a vector takes bytes");
        }
        if said.is_empty() {
            break;
        }
        let opened = layers.open(&mut said, &mut wire, |told| match told {
            Heard::Bytes(bytes) => heard.extend_from_slice(bytes),
            Heard::Secured { certificate: shown, .. } => certificate = shown.map(Arc::new),
            Heard::Proxied { .. } => panic!("no proxy is believed here"),
        });
        opened.expect("the client is good");
        if end == End::Hello {
            break;
        }
        hear(&mut client, &wire);
        wire.clear();
    }
    if end == End::Idle {
        assert_eq!(heard, b"hello");
        layers.seal(b"welcome", &mut wire).expect("the session is established");
        hear(&mut client, &wire);
    }
    assert_eq!(layers.is_handshaking(), end == End::Hello);
    Held { _layers: layers, _certificate: certificate }
}

fn hear(client: &mut ClientConnection, mut wire: &[u8]) {
    while !wire.is_empty() {
        client.read_tls(&mut wire).expect("a slice can be read");
        client.process_new_packets().expect("the broker's words are good");
    }
}
