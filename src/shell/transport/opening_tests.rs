//! Records are opened with keys that are unfolded for each of them: in every cipher, after a change of keys, and never if they were altered.

use std::io::Write;
use std::sync::Arc;

use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::version::TLS13;
use rustls::{AlertDescription, ClientConfig, Error, RootCertStore, SupportedCipherSuite};

use super::authority::Authority;
use super::layers::LayerError;
use super::opening::thrifty;
use super::pair::{Pair, client, files, plan};
use crate::shell::files::scratch::Scratch;

const ALL: usize = 1 << 20;

fn names(suites: &[SupportedCipherSuite]) -> Vec<String> {
    suites.iter().map(|suite| format!("{:?}", suite.suite())).collect()
}

#[test]
fn the_ciphers_and_their_order_are_those_of_the_library() {
    let usual = aws_lc_rs::default_provider();
    let thrifty = thrifty(aws_lc_rs::default_provider());
    assert_eq!(names(&thrifty.cipher_suites), names(&usual.cipher_suites));
    for (ours, theirs) in thrifty.cipher_suites.iter().zip(&usual.cipher_suites) {
        // They look alike, so what differs is asked for: those of TLS 1.3 serve no QUIC any more.
        match (ours.tls13(), theirs.tls13()) {
            (Some(ours), Some(theirs)) => assert!(ours.quic.is_none() && theirs.quic.is_some(), "{ours:?}"),
            (ours, theirs) => assert!(ours.is_none() && theirs.is_none(), "those of TLS 1.2 are left alone"),
        }
    }
}

#[test]
fn every_cipher_is_spoken_also_after_changes_of_keys() {
    let scratch = Scratch::new();
    let authority = Authority::new(scratch.path(), "authority");
    let plan = plan(&files(&[&authority.server("localhost")]), None);
    for suite in aws_lc_rs::ALL_CIPHER_SUITES.iter().filter(|suite| suite.tls13().is_some()) {
        let provider = CryptoProvider { cipher_suites: vec![*suite], ..aws_lc_rs::default_provider() };
        let mut roots = RootCertStore::empty();
        roots.add(authority.certificate().der().clone()).unwrap();
        let config = ClientConfig::builder_with_provider(Arc::new(provider)).with_protocol_versions(&[&TLS13]).unwrap();
        let config = Arc::new(config.with_root_certificates(roots).with_no_client_auth());
        let mut pair = Pair::new(&plan, &config, "localhost");
        pair.drive(ALL).unwrap();
        assert_eq!(pair.client.negotiated_cipher_suite().map(|agreed| agreed.suite()), Some(suite.suite()));
        let mut said = Vec::new();
        for round in 0..5_u8 {
            let words = vec![round; 50_000];
            pair.say(&words, 1_000).unwrap();
            said.extend(words);
            pair.client.refresh_traffic_keys().unwrap();
            pair.server.seal(&[round; 100], &mut pair.wire).unwrap();
        }
        pair.drive(ALL).unwrap();
        assert!(pair.heard == said && pair.read.len() == 500 && pair.client_error.is_none(), "{suite:?}");
    }
}

#[test]
fn a_record_that_was_altered_is_refused() {
    let scratch = Scratch::new();
    let authority = Authority::new(scratch.path(), "authority");
    let plan = plan(&files(&[&authority.server("localhost")]), None);
    let config = client(&authority, None, &[&TLS13]);
    // The first and the last byte of the sealed part, one of the tag, and one that is missing.
    for alter in [
        |sealed: &mut Vec<u8>| sealed[5] ^= 1,
        |sealed: &mut Vec<u8>| *sealed.last_mut().unwrap() ^= 0x80,
        |sealed: &mut Vec<u8>| sealed[10] ^= 0x10,
        |sealed: &mut Vec<u8>| {
            sealed.pop();
            sealed[4] -= 1;
        },
        // Shorter than a tag.
        |sealed: &mut Vec<u8>| {
            sealed.truncate(5 + 7);
            sealed[3..5].copy_from_slice(&[0, 7]);
        },
    ] {
        let mut pair = Pair::new(&plan, &config, "localhost");
        pair.drive(ALL).unwrap();
        pair.client.writer().write_all(b"hello").unwrap();
        let mut sealed = Vec::new();
        pair.client.write_tls(&mut sealed).unwrap();
        alter(&mut sealed);
        let refused = pair.server_hears(&sealed);
        assert!(matches!(refused, Err(LayerError::Tls(Error::DecryptError))), "{refused:?}");
        assert!(pair.heard.is_empty());
        pair.drive(ALL).unwrap();
        assert_eq!(pair.client_error, Some(Error::AlertReceived(AlertDescription::BadRecordMac)));
    }
}
