//! Clients whose handshakes are long: what they have us keep is bounded as a sum, and with what they say behind it.

use std::sync::Arc;

use rustls::version::{TLS12, TLS13};
use rustls::{ClientConfig, SupportedProtocolVersion};

use super::authority::{Authority, Certified, Saying};
use super::layers::{CHAIN_BYTES_MAX, LayerError, PENDING_BYTES_MAX};
use super::pair::{Pair, client, files, plan};
use super::plan::{ClientFiles, Plan, TlsFiles};
use crate::shell::files::scratch::Scratch;

const BOTH: [&SupportedProtocolVersion; 2] = [&TLS13, &TLS12];
/// A whole flight at a time.
const ALL: usize = 1 << 20;
const KIBIBYTE: usize = 1024;
/// What a certificate says beside names, and the rest of a handshake that shows it.
const LITTLE_BYTES: usize = 2 * KIBIBYTE;

/// An authority, and a listener that asks for certificates of it.
fn asking() -> (Scratch, Authority, Arc<Plan>) {
    let scratch = Scratch::new();
    let authority = Authority::new(scratch.path(), "authority");
    let clients = ClientFiles { authorities: vec![authority.path()], is_mandatory: true, ..ClientFiles::default() };
    let plan = plan(&TlsFiles { clients: Some(clients), ..files(&[&authority.server("localhost")]) }, None);
    (scratch, authority, plan)
}

/// A certificate of about this length.
fn long(authority: &Authority, bytes: usize) -> Certified {
    let name = |number| format!("{number:03}.{}.example", "x".repeat(60));
    let names: Vec<String> = (0..bytes / (name(0).len() + 2)).map(name).collect();
    let hosts: Vec<&str> = names.iter().map(String::as_str).collect();
    let long = authority.certify(&Saying { hosts: &hosts, ..Saying::default() });
    let found = long.certificate.der().len();
    assert!((bytes - 100..bytes + KIBIBYTE).contains(&found), "{found} of {bytes}");
    long
}

/// The same client with a hello that is longer by about this.
fn talkative(config: &Arc<ClientConfig>, bytes: usize) -> Arc<ClientConfig> {
    let mut config = ClientConfig::clone(config);
    config.alpn_protocols = vec![b"mqtt".to_vec()];
    config.alpn_protocols.extend((0..bytes / 201).map(|_| vec![b'x'; 200]));
    Arc::new(config)
}

#[test]
fn threat_1_a_handshake_is_bounded_as_a_whole() {
    let (_scratch, authority, plan) = asking();
    let shown = long(&authority, 12 * KIBIBYTE);
    let room = PENDING_BYTES_MAX - shown.certificate.der().len() - LITTLE_BYTES;
    for version in BOTH {
        for step in [500, ALL] {
            // Each comes for the first time: a ticket has the certificate in it, and would be too much by itself.
            let talkative = |bytes| talkative(&client(&authority, Some(&shown), &[version]), bytes);
            let mut modest = Pair::new(&plan, &talkative(room), "localhost");
            modest.drive(step).unwrap();
            assert!(modest.certificate.is_some());
            // In one piece nothing of it is kept: the handshake is over when the piece is.
            let mut greedy = Pair::new(&plan, &talkative(room + 2 * LITTLE_BYTES), "localhost");
            let driven = greedy.drive(500);
            assert!(matches!(driven, Err(LayerError::Pending(_))), "{version:?} {step}: {driven:?}");
            assert!(greedy.certificate.is_none());
        }
    }
}

#[test]
fn threat_1_no_longer_chain_is_kept_than_others_leave_room_for() {
    let (_scratch, authority, plan) = asking();
    let (shorter, longer) =
        (long(&authority, CHAIN_BYTES_MAX - LITTLE_BYTES), long(&authority, CHAIN_BYTES_MAX + LITTLE_BYTES));
    for version in BOTH {
        for step in [500, ALL] {
            for (shown, is_kept) in [(&shorter, true), (&longer, false)] {
                let mut pair = Pair::new(&plan, &client(&authority, Some(shown), &[version]), "localhost");
                let driven = pair.drive(step);
                assert_eq!(driven.is_ok(), is_kept, "{driven:?}");
                assert!(is_kept || matches!(driven, Err(LayerError::Pending(_))), "{driven:?}");
                assert_eq!(pair.certificate.is_some(), is_kept, "nothing is told of one that is not kept");
            }
        }
    }
}

#[test]
fn threat_1_who_has_shown_much_and_is_not_in_yet_may_begin_less() {
    let (_scratch, authority, plan) = asking();
    let shown = long(&authority, CHAIN_BYTES_MAX - LITTLE_BYTES);
    let room = PENDING_BYTES_MAX - shown.certificate.der().len();
    for (is_stranger, begun, goes_on) in [(true, room, true), (true, room + 1, false), (false, room + 1, true)] {
        let mut pair = Pair::new(&plan, &client(&authority, Some(&shown), &BOTH), "localhost");
        pair.drive(ALL).unwrap();
        pair.server.note_stranger(is_stranger);
        std::io::Write::write_all(&mut pair.client.writer(), &[0; 16 * KIBIBYTE]).unwrap();
        let mut record = Vec::new();
        pair.client.write_tls(&mut record).unwrap();
        let result = pair.server_hears(&record[..begun]);
        assert_eq!(result.is_ok(), goes_on, "{begun} of {is_stranger}: {result:?}");
    }
}
