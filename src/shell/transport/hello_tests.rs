//! Hellos of the library's own client, whole, cut, split and spoilt.

use std::sync::Arc;

use rustls::crypto::aws_lc_rs;
use rustls::pki_types::ServerName;
use rustls::version::{TLS12, TLS13};
use rustls::{ClientConfig, ClientConnection, RootCertStore, SupportedProtocolVersion};

use super::hello::offers_13;

/// The first flight of a client that speaks these versions.
fn hello(versions: &[&'static SupportedProtocolVersion]) -> Vec<u8> {
    let builder = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()));
    let builder = builder.with_protocol_versions(versions).unwrap();
    let config = builder.with_root_certificates(RootCertStore::empty()).with_no_client_auth();
    let mut client = ClientConnection::new(Arc::new(config), ServerName::try_from("localhost").unwrap()).unwrap();
    let mut hello = Vec::new();
    client.write_tls(&mut hello).unwrap();
    hello
}

#[test]
fn who_speaks_13_says_so_in_one_whole_hello() {
    assert!(offers_13(&hello(&[&TLS13])));
    assert!(!offers_13(&hello(&[&TLS12])));
    let both = hello(&[&TLS13, &TLS12]);
    assert!(offers_13(&both));
    assert!(offers_13(&[&both[..], &[0x14, 3, 3, 0, 1, 1]].concat()), "something may lie behind it");
    for end in 0..both.len() {
        assert!(!offers_13(&both[..end]), "cut at {end}");
    }
}

#[test]
fn a_hello_in_two_records_is_left_to_the_library() {
    let both = hello(&[&TLS13, &TLS12]);
    let (front, back) = both[5..].split_at(100);
    let record = |part: &[u8]| [&[22, 3, 1], &u16::try_from(part.len()).unwrap().to_be_bytes()[..], part].concat();
    assert_eq!(record(&both[5..])[5..], both[5..]);
    assert!(offers_13(&record(&both[5..])));
    assert!(!offers_13(&[record(front), record(back)].concat()));
}

#[test]
fn threat_1_whatever_is_said_first_is_read_within_its_bounds() {
    let both = hello(&[&TLS13, &TLS12]);
    for place in 0..both.len() {
        for byte in [0, 1, 2, 0x7f, 0x80, 0xff] {
            let mut spoilt = both.clone();
            spoilt[place] = byte;
            offers_13(&spoilt);
        }
    }
    for length in 0..300 {
        assert!(!offers_13(&vec![0xff; length]) && !offers_13(&vec![0; length]));
    }
    for kind in [20, 21, 23] {
        let mut other = both.clone();
        other[0] = kind;
        assert!(!offers_13(&other), "no handshake");
    }
}
