//! The layers of a connection against a client of the library: however bytes are cut, whoever shows what, and after reloads.

use std::path::PathBuf;
use std::sync::Arc;

use rcgen::{ExtendedKeyUsagePurpose, SerialNumber};
use rustls::version::{TLS12, TLS13};
use rustls::{AlertDescription, Error, SupportedProtocolVersion};

use super::authority::{Authority, Certified, Saying};
use super::clients::fingerprint;
use super::layers::{LayerError, Layers, PENDING_BYTES_MAX};
use super::pair::{Pair, client, files, pin, plan};
use super::plan::{ClientFiles, Plan, TlsFiles, WebSocket};
use crate::shell::files::scratch::Scratch;

const BOTH: [&SupportedProtocolVersion; 2] = [&TLS13, &TLS12];
/// A whole flight at a time.
const ALL: usize = 1 << 20;

fn authority() -> (Scratch, Authority) {
    let scratch = Scratch::new();
    let authority = Authority::new(scratch.path(), "authority");
    (scratch, authority)
}

#[test]
fn bytes_cross_however_they_are_cut() {
    let (_scratch, authority) = authority();
    let plan = plan(&files(&[&authority.server("localhost")]), None);
    let said: Vec<u8> = (0..100_000_u32).map(|number| ((number * 7) >> 3).to_le_bytes()[0]).collect();
    for version in BOTH {
        for step in [1, 7, 1_000, ALL] {
            let mut pair = Pair::new(&plan, &client(&authority, None, &[version]), "localhost");
            pair.drive(step).unwrap();
            assert!(!pair.client.is_handshaking() && !pair.server.is_handshaking());
            pair.say(&said, step).unwrap();
            assert!(pair.heard == said, "{version:?} {step}");
            pair.server.seal(&said[..70_000], &mut pair.wire).unwrap();
            pair.server.seal(&said[70_000..], &mut pair.wire).unwrap();
            pair.drive(step).unwrap();
            assert!(pair.read == said, "{version:?} {step}");
        }
    }
}

#[test]
fn what_is_said_meanwhile_waits_for_no_record_that_has_begun() {
    let (_scratch, authority) = authority();
    let plan = plan(&files(&[&authority.server("localhost")]), None);
    let mut pair = Pair::new(&plan, &client(&authority, None, &BOTH), "localhost");
    pair.drive(ALL).unwrap();
    // A change of keys and a message, cut in the middle.
    pair.client.refresh_traffic_keys().unwrap();
    std::io::Write::write_all(&mut pair.client.writer(), b"hello").unwrap();
    let mut sent = Vec::new();
    while pair.client.wants_write() {
        pair.client.write_tls(&mut sent).unwrap();
    }
    for (number, byte) in (0..).zip(sent) {
        assert!(pair.server_hears(&[byte]).unwrap());
        let words = format!("{number} ");
        pair.server.seal(words.as_bytes(), &mut pair.wire).unwrap();
    }
    pair.drive(ALL).unwrap();
    assert_eq!(pair.heard, b"hello");
    assert!(pair.read.starts_with(b"0 1 2 3 4 ") && pair.client_error.is_none());
}

#[test]
fn threat_4_who_says_something_with_the_last_flight_is_judged_before_it_is_heard() {
    let (_scratch, authority) = authority();
    let good = authority.certify(&Saying::default());
    let clients = ClientFiles { authorities: vec![authority.path()], is_mandatory: true, ..ClientFiles::default() };
    for has_tickets in [true, false] {
        let files =
            TlsFiles { clients: Some(clients.clone()), has_tickets, ..files(&[&authority.server("localhost")]) };
        let plan = plan(&files, None);
        for version in BOTH {
            let config = client(&authority, Some(&good), &[version]);
            for is_back in [false, true] {
                for step in [1, 7, ALL] {
                    let mut pair = Pair::new(&plan, &config, "localhost");
                    std::io::Write::write_all(&mut pair.client.writer(), b"hello").unwrap();
                    pair.drive(step).unwrap();
                    assert_eq!(pair.heard, b"hello", "{version:?} {step}");
                    assert!(pair.certificate.is_some());
                    assert!(!is_back || pair.was_resumed == Some(has_tickets));
                }
            }
        }
    }
}

#[test]
fn nothing_is_kept_while_idle() {
    let (_scratch, authority) = authority();
    let plan = plan(&files(&[&authority.server("localhost")]), None);
    let mut pair = Pair::new(&plan, &client(&authority, None, &BOTH), "localhost");
    pair.drive(3).unwrap();
    pair.say(b"hello", 3).unwrap();
    assert_eq!(pair.server.pending_room(), 0);
}

#[test]
fn a_goodbye_is_said_once_and_heard() {
    let (_scratch, authority) = authority();
    let plan = plan(&files(&[&authority.server("localhost")]), None);
    let mut pair = Pair::new(&plan, &client(&authority, None, &BOTH), "localhost");
    pair.drive(ALL).unwrap();
    pair.server.say_goodbye(&mut pair.wire);
    let said = pair.wire.len();
    pair.server.say_goodbye(&mut pair.wire);
    assert!(said > 0 && pair.wire.len() == said);
    pair.client.send_close_notify();
    let mut sent = Vec::new();
    pair.client.write_tls(&mut sent).unwrap();
    assert!(!pair.server_hears(&sent).unwrap(), "nothing more comes");
}

#[test]
fn the_certificate_is_that_of_the_server_that_is_looked_for() {
    let (_scratch, authority) = authority();
    let (one, other) = (authority.server("one.example"), authority.server("*.other.example"));
    let plan = plan(&files(&[&one, &other]), None);
    let config = client(&authority, None, &BOTH);
    for (name, shown) in [("one.example", &one), ("a.other.example", &other), ("nobody.example", &one)] {
        let mut pair = Pair::new(&plan, &config, name);
        pair.drive(ALL).ok();
        let is_known = name != "nobody.example";
        assert_eq!(pair.client_error.is_none(), is_known, "{name}: {:?}", pair.client_error);
        if is_known {
            assert_eq!(pair.client.peer_certificates().unwrap()[0], *shown.certificate.der(), "{name}");
        }
    }
}

#[test]
fn a_session_is_resumed_also_after_a_reload() {
    let (_scratch, authority) = authority();
    let files = files(&[&authority.server("localhost")]);
    for version in BOTH {
        let first = plan(&files, None);
        let config = client(&authority, None, &[version]);
        for (plan, is_resumed) in [(&first, false), (&first, true), (&plan(&files, Some(&first)), true)] {
            let mut pair = Pair::new(plan, &config, "localhost");
            pair.drive(ALL).unwrap();
            assert_eq!(pair.was_resumed, Some(is_resumed), "{version:?}");
            assert!(pair.certificate.is_none());
        }
        let silent = plan(&TlsFiles { has_tickets: false, ..files.clone() }, Some(&first));
        let mut pair = Pair::new(&silent, &config, "localhost");
        pair.drive(ALL).unwrap();
        assert_eq!(pair.was_resumed, Some(false), "{version:?}");
    }
}

#[test]
fn plain_mqtt_is_told_at_once_that_this_is_no_tls() {
    let (_scratch, authority) = authority();
    let plan = plan(&files(&[&authority.server("localhost")]), None);
    let mut pair = Pair::new(&plan, &client(&authority, None, &BOTH), "localhost");
    let connect = b"\x10\x0f\x00\x04MQTT\x04\x02\x00\x3c\x00\x03abc";
    assert!(matches!(pair.server_hears(connect), Err(LayerError::Tls(Error::InvalidMessage(_)))));
    assert_eq!(pair.wire[0], 21, "an alert");
}

#[test]
fn threat_1_an_announced_record_is_not_waited_for_beyond_its_bound() {
    let (_scratch, authority) = authority();
    let plan = plan(&files(&[&authority.server("localhost")]), None);
    for announced in [b"\x16\x03\x01\xff\xff", b"\x16\x03\x01\x48\x01"] {
        let mut pair = Pair::new(&plan, &client(&authority, None, &BOTH), "localhost");
        assert!(pair.server_hears(announced).is_err(), "{announced:?}");
    }
    // A hello of the largest size, in records of one byte each and in long ones: no more of it is kept than of any message of a handshake.
    for (version, record) in [(1, vec![0x16, 3, 1, 0, 1, 0]), (3, [&[0x16, 3, 3, 0x20, 0][..], &[0; 0x2000]].concat())]
    {
        let mut pair = Pair::new(&plan, &client(&authority, None, &BOTH), "localhost");
        let begun = [0x16, 3, version, 0, 4, 1, 0, 0xff, 0];
        assert!(pair.server_hears(&begun).is_ok());
        let parts = record.repeat(64 * 1024 / record.len());
        let mut kept = 0;
        let mut heard = parts.chunks(1_000).map(|part| {
            let result = pair.server_hears(part);
            kept = kept.max(pair.server.pending_room());
            result
        });
        assert!(heard.any(|result| matches!(result, Err(LayerError::Pending(_)))), "the layers have enough");
        assert!((PENDING_BYTES_MAX - 1_000..=PENDING_BYTES_MAX).contains(&kept), "{kept}");
    }
}

#[test]
fn a_chain_of_certificates_may_be_as_long_as_what_is_waited_for() {
    let (_scratch, authority) = authority();
    let names: Vec<String> = (0..180).map(|number| format!("{number}.{}.example", "x".repeat(60))).collect();
    let hosts: Vec<&str> = names.iter().map(String::as_str).collect();
    let long = authority.certify(&Saying { hosts: &hosts, ..Saying::default() });
    let bytes = long.certificate.der().len();
    assert!((PENDING_BYTES_MAX / 2..PENDING_BYTES_MAX).contains(&bytes), "{bytes}");
    let clients = ClientFiles { authorities: vec![authority.path()], is_mandatory: true, ..ClientFiles::default() };
    let files = TlsFiles { clients: Some(clients), ..files(&[&authority.server("localhost")]) };
    for version in BOTH {
        for step in [100, ALL] {
            let mut pair = Pair::new(&plan(&files, None), &client(&authority, Some(&long), &[version]), "localhost");
            pair.drive(step).unwrap();
            let told = pair.certificate.as_ref().map(|told| told.fingerprint);
            assert_eq!(told, Some(fingerprint(long.certificate.der())), "{version:?} {step}");
        }
    }
}

#[test]
fn threat_1_behind_the_handshake_no_more_than_a_record_is_waited_for() {
    let (_scratch, authority) = authority();
    let plan = plan(&files(&[&authority.server("localhost")]), None);
    for version in BOTH {
        let mut pair = Pair::new(&plan, &client(&authority, None, &[version]), "localhost");
        pair.drive(ALL).unwrap();
        std::io::Write::write_all(&mut pair.client.writer(), &[7; 16 * 1024]).unwrap();
        let mut sent = Vec::new();
        while pair.client.wants_write() {
            pair.client.write_tls(&mut sent).unwrap();
        }
        let cut = sent.len() - 1;
        assert!(pair.server_hears(&sent[..cut]).unwrap());
        assert!(pair.server.pending_room() > 15 * 1024, "the largest record is waited for");
        assert!(pair.server_hears(&sent[cut..]).unwrap());
        assert_eq!((pair.heard.len(), pair.server.pending_room()), (16 * 1024, 0));
        // An announced record may be no longer than one.
        assert!(pair.server_hears(&[0x17, 3, 3, 0x48, 1]).is_err());
    }
}

/// What becomes of a client that shows this: the server's verdict, and whether it was told of the certificate.
fn verdict(files: &TlsFiles, authority: &Authority, shown: Option<&Certified>) -> Result<bool, Error> {
    let mut verdicts = BOTH.map(|version| {
        let mut pair = Pair::new(&plan(files, None), &client(authority, shown, &[version]), "localhost");
        let driven = pair.drive(ALL);
        match driven {
            Ok(()) => {
                let told = pair.certificate.as_ref().map(|told| told.fingerprint);
                assert_eq!(told, shown.map(|shown| fingerprint(shown.certificate.der())));
                Ok(pair.certificate.is_some())
            }
            Err(LayerError::Tls(error)) => {
                assert!(pair.heard.is_empty() && pair.was_resumed.is_none());
                assert!(matches!(pair.client_error, Some(Error::AlertReceived(_))), "{:?}", pair.client_error);
                Err(error)
            }
            Err(error) => panic!("{error}"),
        }
    });
    assert_eq!(verdicts[0].is_ok(), verdicts[1].is_ok(), "{verdicts:?}");
    std::mem::replace(&mut verdicts[0], Ok(false))
}

#[test]
fn only_clients_whose_certificate_leads_to_the_authority_come_in() {
    let (scratch, authority) = authority();
    let other = Authority::new(scratch.path(), "other");
    let clients =
        |is_mandatory| ClientFiles { is_mandatory, authorities: vec![authority.path()], ..ClientFiles::default() };
    let server = files(&[&authority.server("localhost")]);
    let (wanted, asked) = (
        TlsFiles { clients: Some(clients(true)), ..server.clone() },
        TlsFiles { clients: Some(clients(false)), ..server },
    );
    let say = |saying: Saying<'_>| authority.certify(&saying);
    let good = say(Saying::default());
    assert!(verdict(&wanted, &authority, Some(&good)).unwrap());
    assert!(verdict(&wanted, &authority, None).is_err());
    assert!(!verdict(&asked, &authority, None).unwrap());
    let wrong = [
        ("another authority", other.certify(&Saying::default())),
        ("expired", say(Saying { years: (2000, 2001), ..Saying::default() })),
        ("not yet good", say(Saying { years: (3000, 3001), ..Saying::default() })),
        ("a server's", say(Saying { usage: ExtendedKeyUsagePurpose::ServerAuth, ..Saying::default() })),
    ];
    for (what, shown) in &wrong {
        for files in [&wanted, &asked] {
            assert!(verdict(files, &authority, Some(shown)).is_err(), "{what}");
        }
    }
}

#[test]
fn threat_7_a_certificate_that_only_the_library_can_read_lets_nobody_in() {
    let (_scratch, authority) = authority();
    let further = |params: &mut rcgen::CertificateParams| params.serial_number = Some(SerialNumber::from(vec![7; 24]));
    let strange = authority.certify(&Saying { further, ..Saying::default() });
    let server = files(&[&authority.server("localhost")]);
    for is_mandatory in [true, false] {
        let clients = ClientFiles { is_mandatory, authorities: vec![authority.path()], ..ClientFiles::default() };
        let files = TlsFiles { clients: Some(clients), ..server.clone() };
        for version in BOTH {
            let config = client(&authority, Some(&strange), &[version]);
            // The second time it would come back with a ticket, if it had been given one.
            for is_hasty in [false, true] {
                let mut pair = Pair::new(&plan(&files, None), &config, "localhost");
                if is_hasty {
                    std::io::Write::write_all(&mut pair.client.writer(), b"hello").unwrap();
                }
                let refused = pair.drive(ALL);
                let why = refused.as_ref().map_err(ToString::to_string);
                assert!(why.is_err_and(|why| why.contains("no certificate in DER")), "{refused:?}");
                assert!(pair.heard.is_empty() && pair.was_resumed.is_none() && pair.certificate.is_none());
                assert!(is_hasty || pair.has_heard_goodbye);
            }
        }
    }
}

#[test]
fn a_pinned_certificate_must_equal_the_servers_copy() {
    let (scratch, authority) = authority();
    let (pinned, twin) = (authority.certify(&Saying::default()), authority.certify(&Saying::default()));
    let stranger = Authority::new(scratch.path(), "nobody").certify(&Saying::default());
    let old = authority.certify(&Saying { years: (2000, 2001), serial: 8, ..Saying::default() });
    let pins = pin(scratch.path().join("pins"), &[&pinned, &stranger, &old]);
    let server = files(&[&authority.server("localhost")]);
    let with = |authorities| {
        let clients =
            ClientFiles { is_mandatory: true, authorities, pins: Some(pins.clone()), ..ClientFiles::default() };
        TlsFiles { clients: Some(clients), ..server.clone() }
    };
    let (alone, both) = (with(vec![]), with(vec![authority.path()]));
    assert!(verdict(&alone, &authority, Some(&pinned)).unwrap() && verdict(&both, &authority, Some(&pinned)).unwrap());
    assert!(verdict(&alone, &authority, Some(&stranger)).unwrap(), "its owner has signed it, and the copy is enough");
    assert!(verdict(&both, &authority, Some(&stranger)).is_err());
    for files in [&alone, &both] {
        assert!(verdict(files, &authority, Some(&twin)).is_err(), "the same words, another secret");
        assert!(verdict(files, &authority, Some(&old)).is_err(), "also a copy has its time");
        assert!(verdict(files, &authority, None).is_err());
    }
}

#[test]
fn whoever_is_revoked_stays_outside_also_with_a_ticket_of_before() {
    let (_scratch, authority) = authority();
    let (good, revoked) = (
        authority.certify(&Saying::default()),
        authority.certify(&Saying { serial: 8, name: "other", ..Saying::default() }),
    );
    let server = files(&[&authority.server("localhost")]);
    let clients = ClientFiles { is_mandatory: true, authorities: vec![authority.path()], ..ClientFiles::default() };
    let before = TlsFiles { clients: Some(clients.clone()), ..server };
    let revocations = vec![authority.revoke(&[8], 4000)];
    let after = TlsFiles { clients: Some(ClientFiles { revocations, ..clients }), ..before.clone() };
    for version in BOTH {
        for (shown, stays) in [(&good, true), (&revoked, false)] {
            let first = plan(&before, None);
            let config = client(&authority, Some(shown), &[version]);
            for is_resumed in [false, true] {
                let mut pair = Pair::new(&first, &config, "localhost");
                pair.drive(ALL).unwrap();
                assert_eq!(pair.was_resumed, Some(is_resumed));
            }
            let mut pair = Pair::new(&plan(&after, Some(&first)), &config, "localhost");
            let driven = pair.drive(ALL);
            assert_eq!(driven.is_ok(), stays, "{version:?} {driven:?}");
            assert_eq!(pair.was_resumed.is_some(), stays, "nobody is told of a session that is over");
            assert_eq!(pair.has_heard_goodbye, !stays, "{version:?}: the client is told that it is over");
        }
    }
}

/// Whether a client that is here may stay when the files of the server change like this; and one that is in the middle of its handshake.
fn stays(before: &TlsFiles, after: &TlsFiles, authority: &Authority, shown: Option<&Certified>) -> bool {
    let mut verdicts = Vec::new();
    for version in BOTH {
        let first = plan(before, None);
        let next = plan(after, Some(&first));
        let config = client(authority, shown, &[version]);
        let mut pair = Pair::new(&first, &config, "localhost");
        pair.drive(ALL).unwrap();
        assert!(pair.server.follow(&first).is_ok(), "nothing has changed");
        verdicts.push(pair.server.follow(&next).is_ok());
        assert!(pair.server.follows(&next));
        let mut hasty = Pair::new(&first, &client(authority, shown, &[version]), "localhost");
        let mut hello = Vec::new();
        hasty.client.write_tls(&mut hello).unwrap();
        hasty.server_hears(&hello).unwrap();
        assert!(hasty.server.follow(&next).is_ok(), "nobody knows yet who it is");
        verdicts.push(hasty.drive(ALL).is_ok() && hasty.was_resumed.is_some());
    }
    assert!(verdicts.iter().all(|verdict| *verdict == verdicts[0]), "{verdicts:?}");
    verdicts[0]
}

#[test]
fn threat_5_who_is_here_is_judged_by_each_new_plan() {
    let (scratch, authority) = authority();
    let other = Authority::new(scratch.path(), "other");
    let (good, bad) =
        (authority.certify(&Saying::default()), authority.certify(&Saying { serial: 8, ..Saying::default() }));
    let with = |authorities: Vec<PathBuf>, revocations: Vec<PathBuf>, pins: Option<PathBuf>, is_mandatory| {
        let clients = ClientFiles { is_mandatory, authorities, revocations, pins };
        TlsFiles { clients: Some(clients), ..files(&[&authority.server("localhost")]) }
    };
    let both = || vec![authority.path(), other.path()];
    let pins = pin(scratch.path().join("pins"), &[&good, &bad]);
    let pinned_good = pin(scratch.path().join("good"), &[&good]);
    let before = with(both(), vec![], Some(pins.clone()), true);
    let revoked = with(both(), vec![authority.revoke(&[8], 4000), other.revoke(&[], 4000)], Some(pins.clone()), true);
    let unpinned = with(both(), vec![], Some(pinned_good), true);
    for after in [&revoked, &unpinned] {
        assert!(stays(&before, after, &authority, Some(&good)));
        assert!(!stays(&before, after, &authority, Some(&bad)));
    }
    let foreign = with(vec![other.path()], vec![], Some(pins.clone()), true);
    assert!(!stays(&before, &foreign, &authority, Some(&good)), "its authority is gone");
    let wider = with(vec![authority.path()], vec![], Some(pins), true);
    assert!(stays(&before, &wider, &authority, Some(&good)), "the other authority is gone");
    let optional = |revocations| with(vec![authority.path()], revocations, None, false);
    assert!(stays(&optional(vec![]), &optional(vec![authority.path().with_extension("crl")]), &authority, None));
}

#[test]
fn time_alone_ends_nobody_who_is_here() {
    let (_scratch, authority) = authority();
    let good = authority.certify(&Saying::default());
    let clients = ClientFiles { is_mandatory: true, authorities: vec![authority.path()], ..ClientFiles::default() };
    let first = plan(&TlsFiles { clients: Some(clients.clone()), ..files(&[&authority.server("localhost")]) }, None);
    let mut pair = Pair::new(&first, &client(&authority, Some(&good), &BOTH), "localhost");
    pair.drive(ALL).unwrap();
    // The same certificates; another server.
    let renewed = TlsFiles { clients: Some(clients), ..files(&[&authority.server("other")]) };
    assert!(pair.server.follow(&plan(&renewed, Some(&first))).is_ok());
}

#[test]
fn threat_7_a_list_of_revoked_certificates_that_is_too_old_lets_nobody_in() {
    let (_scratch, authority) = authority();
    let good = authority.certify(&Saying::default());
    let revocations = vec![authority.revoke(&[8], 2022)];
    let clients = ClientFiles { is_mandatory: true, authorities: vec![authority.path()], revocations, pins: None };
    let files = TlsFiles { clients: Some(clients), ..files(&[&authority.server("localhost")]) };
    assert!(verdict(&files, &authority, Some(&good)).is_err());
}

#[test]
fn a_ticket_of_a_time_without_certificates_is_none_where_they_are_asked_for() {
    let (_scratch, authority) = authority();
    let open = files(&[&authority.server("localhost")]);
    let clients = ClientFiles { is_mandatory: true, authorities: vec![authority.path()], ..ClientFiles::default() };
    let closed = TlsFiles { clients: Some(clients), ..open.clone() };
    for version in BOTH {
        let first = plan(&open, None);
        let config = client(&authority, None, &[version]);
        let mut pair = Pair::new(&first, &config, "localhost");
        pair.drive(ALL).unwrap();
        let mut pair = Pair::new(&plan(&closed, Some(&first)), &config, "localhost");
        assert!(pair.drive(ALL).is_err(), "{version:?}");
        assert!(pair.was_resumed.is_none() && pair.heard.is_empty());
    }
}

#[test]
fn who_asks_for_13_speaks_nothing_older() {
    let (_scratch, authority) = authority();
    let plan = plan(&TlsFiles { is_13_only: true, ..files(&[&authority.server("localhost")]) }, None);
    for (version, is_spoken) in [(&TLS13, true), (&TLS12, false)] {
        let mut pair = Pair::new(&plan, &client(&authority, None, &[version]), "localhost");
        assert_eq!(pair.drive(ALL).is_ok(), is_spoken);
        let told = Some(Error::AlertReceived(AlertDescription::ProtocolVersion));
        assert_eq!(pair.client_error, told.filter(|_| !is_spoken));
    }
}

#[test]
fn threat_10_pings_of_a_peer_that_reads_nothing_are_not_answered_without_end() {
    const PINGS: usize = 50_000;
    let websocket = WebSocket { path: "/mqtt".to_owned(), origins: Vec::new(), frame_bytes_max: 1 << 20 };
    let plan = Arc::new(Plan { websocket: Some(websocket), ..Plan::default() });
    let mut layers = Layers::new(&plan).unwrap();
    let mut ask = |said: &mut Vec<u8>, is_unheard: bool| {
        let mut wire = Vec::new();
        layers.note_unheard(is_unheard);
        assert!(layers.open(said, &mut wire, |_| panic!("no MQTT was said")).unwrap());
        wire
    };
    let request = "GET /mqtt HTTP/1.1\r\nHost: here\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
        Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\nSec-WebSocket-Protocol: mqtt\r\n\r\n";
    assert!(ask(&mut request.as_bytes().to_vec(), false).starts_with(b"HTTP/1.1 101 "));
    // A mask of zeros changes nothing.
    let ping = |number: u32| [&[0x89, 0x84, 0, 0, 0, 0], &number.to_be_bytes()[..]].concat();
    let pings: Vec<u8> = (0..).take(PINGS).flat_map(ping).collect();
    let answers = ask(&mut pings.clone(), false);
    assert!(answers.len() < 17 * 1024, "{}", answers.len());
    let last = u32::try_from(PINGS - 1).unwrap();
    assert_eq!(answers[answers.len() - 6..], [&[0x8a, 4], &last.to_be_bytes()[..]].concat());
    assert!(ask(&mut pings.clone(), true).is_empty());
    assert_eq!(ask(&mut ping(7), false), [0x8a, 4, 0, 0, 0, 7], "who reads again is answered again");
}
