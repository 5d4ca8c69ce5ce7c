//! Records are sealed and opened with keys that are unfolded for each of them: in every cipher, after a change of keys, and never if they were altered.

use std::io::Write;
use std::sync::Arc;

use rcgen::{ExtendedKeyUsagePurpose, KeyPair, PKCS_RSA_SHA256};
use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::{AlertDescription, ClientConfig, Error, RootCertStore, SupportedCipherSuite};

use super::authority::{Authority, Saying};
use super::keys::{Numbers, thrifty};
use super::layers::LayerError;
use super::pair::{Pair, files, plan};
use super::plan::Plan;
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
        match (ours, theirs) {
            // They look alike, so what differs is asked for: those of TLS 1.3 serve no QUIC any more.
            (SupportedCipherSuite::Tls13(ours), SupportedCipherSuite::Tls13(theirs)) => {
                assert!(ours.quic.is_none() && theirs.quic.is_some(), "{ours:?}");
            }
            (SupportedCipherSuite::Tls12(ours), SupportedCipherSuite::Tls12(theirs)) => {
                assert!(!std::ptr::eq(*ours, *theirs), "{ours:?}");
                assert_eq!((ours.sign, ours.kx), (theirs.sign, theirs.kx));
            }
            (ours, theirs) => panic!("{ours:?} and {theirs:?}"),
        }
    }
}

/// A client that speaks this one cipher.
fn speaking(suite: SupportedCipherSuite, authority: &Authority) -> Arc<ClientConfig> {
    let provider = CryptoProvider { cipher_suites: vec![suite], ..aws_lc_rs::default_provider() };
    let mut roots = RootCertStore::empty();
    roots.add(authority.certificate().der().clone()).unwrap();
    let config = ClientConfig::builder_with_provider(Arc::new(provider));
    let config = config.with_protocol_versions(&[suite.version()]).unwrap();
    Arc::new(config.with_root_certificates(roots).with_no_client_auth())
}

/// Certificates that any cipher can be agreed on with.
fn both_kinds(authority: &Authority) -> Arc<Plan> {
    let hosts = ["localhost"];
    let rsa = Saying { name: "rsa", hosts: &hosts, usage: ExtendedKeyUsagePurpose::ServerAuth, ..Saying::default() };
    let rsa = authority.certify_key(&rsa, KeyPair::generate_for(&PKCS_RSA_SHA256).unwrap());
    plan(&files(&[&authority.server("localhost"), &rsa]), None)
}

#[test]
fn every_cipher_is_spoken_also_after_changes_of_keys() {
    let scratch = Scratch::new();
    let authority = Authority::new(scratch.path(), "authority");
    let plan = both_kinds(&authority);
    for suite in aws_lc_rs::ALL_CIPHER_SUITES {
        let mut pair = Pair::new(&plan, &speaking(*suite, &authority), "localhost");
        pair.drive(ALL).unwrap();
        assert_eq!(pair.client.negotiated_cipher_suite().map(|agreed| agreed.suite()), Some(suite.suite()));
        let (mut said, mut answered) = (Vec::new(), Vec::new());
        for round in 0..5_u8 {
            let (words, answer) = (vec![round; 50_000], vec![round; 20_000 * usize::from(round % 2) + 100]);
            pair.say(&words, 1_000).unwrap();
            if suite.tls13().is_some() {
                pair.client.refresh_traffic_keys().unwrap();
            }
            pair.server.seal(&answer, &mut pair.wire).unwrap();
            said.extend(words);
            answered.extend(answer);
        }
        pair.drive(ALL).unwrap();
        assert!(pair.heard == said && pair.read == answered && pair.client_error.is_none(), "{suite:?}");
    }
}

#[test]
fn no_number_of_a_record_is_used_twice() {
    let mut numbers = Numbers::default();
    for number in [0, 1, 7] {
        numbers.take(number).unwrap();
    }
    for used in [7, 0, 3] {
        assert_eq!(numbers.take(used), Err(Error::EncryptError));
    }
    numbers.take(8).unwrap();
    assert_eq!(numbers.take(u64::MAX), Err(Error::EncryptError), "nothing could follow");
}

#[test]
fn a_record_that_was_altered_is_refused() {
    let scratch = Scratch::new();
    let authority = Authority::new(scratch.path(), "authority");
    let plan = both_kinds(&authority);
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
        for suite in aws_lc_rs::ALL_CIPHER_SUITES {
            let mut pair = Pair::new(&plan, &speaking(*suite, &authority), "localhost");
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
}
