//! Certificates are asked for whatever a client's hello is like: also where the library keeps less of what is said.

use std::sync::Arc;

use rustls::crypto::aws_lc_rs;
use rustls::pki_types::PrivateKeyDer;
use rustls::version::{TLS12, TLS13};
use rustls::{ClientConfig, Error, HandshakeKind, RootCertStore, SupportedProtocolVersion};

use super::authority::{Authority, Certified, Saying};
use super::layers::LayerError;
use super::pair::{Pair, client, files, plan};
use super::plan::{ClientFiles, Plan, TlsFiles, TlsPlan};
use crate::shell::files::scratch::Scratch;

const BOTH: [&SupportedProtocolVersion; 2] = [&TLS13, &TLS12];
/// A whole flight at a time.
const ALL: usize = 1 << 20;

/// An authority, a certificate of it, and a server that wants to see one each time that somebody comes.
fn asking(is_mandatory: bool) -> (Scratch, Authority, Certified, TlsFiles) {
    let scratch = Scratch::new();
    let authority = Authority::new(scratch.path(), "authority");
    let good = authority.certify(&Saying::default());
    let clients = ClientFiles { authorities: vec![authority.path()], is_mandatory, ..ClientFiles::default() };
    let server = files(&[&authority.server("localhost")]);
    let files = TlsFiles { clients: Some(clients), has_tickets: false, ..server };
    (scratch, authority, good, files)
}

#[test]
fn threat_4_certificates_are_asked_for_whatever_a_hello_is_like() {
    for is_mandatory in [true, false] {
        let (_scratch, authority, good, files) = asking(is_mandatory);
        for is_13_only in [false, true] {
            let plan = plan(&TlsFiles { is_13_only, ..files.clone() }, None);
            for versions in [&[&TLS13][..], &BOTH, &[&TLS12]] {
                if is_13_only && *versions == [&TLS12] {
                    continue; // it is refused for that
                }
                let (showing, silent) = (client(&authority, Some(&good), versions), client(&authority, None, versions));
                // Above a certain length, a hello is in several records.
                for fragment in [None, Some(64)] {
                    let cut = |config: &Arc<ClientConfig>| {
                        let mut config = ClientConfig::clone(config);
                        config.max_fragment_size = fragment;
                        Arc::new(config)
                    };
                    for step in [7, ALL] {
                        let mut pair = Pair::new(&plan, &cut(&showing), "localhost");
                        pair.drive(step).unwrap();
                        assert!(pair.certificate.is_some(), "{versions:?} {fragment:?} {step}");
                        let mut pair = Pair::new(&plan, &cut(&silent), "localhost");
                        let driven = pair.drive(step);
                        assert_eq!(driven.is_ok(), !is_mandatory, "{versions:?} {fragment:?} {step}: {driven:?}");
                        assert!(pair.certificate.is_none());
                    }
                }
            }
        }
    }
}

#[test]
fn threat_4_certificates_are_asked_for_behind_a_second_hello() {
    let (_scratch, authority, good, files) = asking(true);
    let plan = plan(&files, None);
    let mut provider = aws_lc_rs::default_provider();
    // The server does not know the first one, of which alone the client sends a share.
    provider.kx_groups = vec![aws_lc_rs::kx_group::MLKEM768, aws_lc_rs::kx_group::X25519];
    let provider = Arc::new(provider);
    let builder = || {
        let mut roots = RootCertStore::empty();
        roots.add(authority.certificate().der().clone()).unwrap();
        let builder = ClientConfig::builder_with_provider(Arc::clone(&provider));
        builder.with_protocol_versions(&BOTH).unwrap().with_root_certificates(roots)
    };
    let key = PrivateKeyDer::Pkcs8(good.key.serialize_der().into());
    let showing = builder().with_client_auth_cert(good.chain.clone(), key).unwrap();
    for (config, is_welcome) in [(showing, true), (builder().with_no_client_auth(), false)] {
        let mut pair = Pair::new(&plan, &Arc::new(config), "localhost");
        let driven = pair.drive(ALL);
        assert_eq!(pair.client.handshake_kind(), Some(HandshakeKind::FullWithHelloRetryRequest));
        assert_eq!((driven.is_ok(), pair.certificate.is_some()), (is_welcome, is_welcome), "{driven:?}");
    }
}

#[test]
fn threat_4_whom_the_library_has_not_asked_does_not_come_in_where_a_certificate_is_needed() {
    for is_mandatory in [true, false] {
        let (_scratch, authority, _good, asking) = asking(is_mandatory);
        // As it would be if the library came to ask once where it asks twice.
        let silent = plan(&TlsFiles { clients: None, ..asking.clone() }, None);
        let mut plan = Plan::clone(&silent);
        let judges = TlsPlan::read(&asking, None).unwrap().clients;
        plan.tls.as_mut().unwrap().clients = judges;
        for version in BOTH {
            let mut pair = Pair::new(&Arc::new(plan.clone()), &client(&authority, None, &[version]), "localhost");
            let driven = pair.drive(ALL);
            match driven {
                Ok(()) => assert!(!is_mandatory),
                Err(LayerError::Tls(Error::NoCertificatesPresented)) => assert!(is_mandatory),
                Err(error) => panic!("{error}"),
            }
            assert_eq!(pair.was_resumed.is_some(), !is_mandatory, "nobody is told of a client that was refused");
        }
    }
}
