//! Chains of certificates with an authority between the root and the last one: of servers, of clients, and their lists of revoked ones.

use std::fs;
use std::path::PathBuf;
use std::sync::Arc;

use rustls::version::{TLS12, TLS13};
use rustls::{CertificateError, ClientConfig, Error, SupportedProtocolVersion};

use super::authority::{Authority, Certified, Saying};
use super::pair::{Pair, client, files, plan};
use super::plan::{ClientFiles, Plan, TlsFiles};
use crate::shell::files::scratch::Scratch;

const BOTH: [&SupportedProtocolVersion; 2] = [&TLS13, &TLS12];
/// A whole flight at a time.
const ALL: usize = 1 << 20;
/// The number of the certificate of the authority between.
const BETWEEN: u64 = 50;

/// A root, and an authority that it vouches for.
fn authorities() -> (Scratch, Authority, Authority) {
    let scratch = Scratch::new();
    let root = Authority::new(scratch.path(), "root");
    let between = root.intermediate("between", BETWEEN);
    (scratch, root, between)
}

/// A server that asks for certificates which lead to one of these.
fn asking(server: &Certified, authorities: Vec<PathBuf>, revocations: Vec<PathBuf>) -> TlsFiles {
    let clients = ClientFiles { is_mandatory: true, authorities, revocations, pins: None };
    TlsFiles { clients: Some(clients), ..files(&[server]) }
}

/// Whether a client comes in, which has to be told of either way.
#[track_caller]
fn comes_in(plan: &Arc<Plan>, config: &Arc<ClientConfig>) -> bool {
    let mut pair = Pair::new(plan, config, "localhost");
    let driven = pair.drive(ALL);
    assert_eq!(driven.is_ok(), pair.certificate.is_some(), "{driven:?}");
    driven.is_ok()
}

/// The same for the files of a server, in each version.
#[track_caller]
fn is_let_in(files: &TlsFiles, root: &Authority, shown: &Certified) -> bool {
    let verdicts = BOTH.map(|version| comes_in(&plan(files, None), &client(root, Some(shown), &[version])));
    assert_eq!(verdicts[0], verdicts[1]);
    verdicts[0]
}

/// Without those that lead to the root.
fn bare(certified: Certified) -> Certified {
    let text = certified.certificate.pem() + &certified.key.serialize_pem();
    fs::write(&certified.path, text).unwrap();
    let chain = certified.chain[..1].to_vec();
    Certified { chain, ..certified }
}

#[test]
fn a_server_shows_its_whole_chain() {
    let (_scratch, root, between) = authorities();
    let below = between.intermediate("below", 51);
    for (issuer, length) in [(&root, 1), (&between, 2), (&below, 3)] {
        for version in BOTH {
            let plan = plan(&files(&[&issuer.server("localhost")]), None);
            let mut pair = Pair::new(&plan, &client(&root, None, &[version]), "localhost");
            pair.drive(ALL).unwrap();
            assert_eq!(pair.client_error, None);
            assert_eq!(pair.client.peer_certificates().unwrap().len(), length);
        }
    }
    let alone = bare(between.server("localhost"));
    let mut pair = Pair::new(&plan(&files(&[&alone]), None), &client(&root, None, &BOTH), "localhost");
    pair.drive(ALL).ok();
    assert_eq!(pair.client_error, Some(Error::InvalidCertificate(CertificateError::UnknownIssuer)));
}

#[test]
fn a_client_leads_to_the_root_by_what_it_shows_or_to_whom_the_server_trusts() {
    let (scratch, root, between) = authorities();
    let server = root.server("localhost");
    let (by_root, by_between) =
        (asking(&server, vec![root.path()], vec![]), asking(&server, vec![between.path()], vec![]));
    let whole = between.certify(&Saying::default());
    assert!(is_let_in(&by_root, &root, &whole) && is_let_in(&by_between, &root, &whole));
    let alone = bare(between.certify(&Saying { serial: 8, ..Saying::default() }));
    assert!(!is_let_in(&by_root, &root, &alone), "nobody knows who has signed it");
    assert!(is_let_in(&by_between, &root, &alone));
    let of_root = root.certify(&Saying { serial: 9, ..Saying::default() });
    assert!(!is_let_in(&by_between, &root, &of_root), "who trusts the authority between does not trust the root");
    // A client's certificate vouches for nobody.
    let impostor = between.certify(&Saying { name: "impostor", serial: 10, ..Saying::default() });
    let mut forged = Authority::new(scratch.path(), "forged").certify(&Saying { serial: 11, ..Saying::default() });
    forged.chain.extend(impostor.chain);
    assert!(!is_let_in(&by_root, &root, &forged));
}

#[test]
fn threat_5_a_revocation_by_any_authority_of_the_chain_counts() {
    let (_scratch, root, between) = authorities();
    let server = root.server("localhost");
    let good = between.certify(&Saying { serial: 1, ..Saying::default() });
    let bad = between.certify(&Saying { name: "other", serial: 2, ..Saying::default() });
    let of_root = root.certify(&Saying { name: "direct", serial: 3, ..Saying::default() });
    let with = |revocations| asking(&server, vec![root.path()], revocations);
    let judged = |revocations: Vec<PathBuf>| {
        [&good, &bad, &of_root].map(|shown| is_let_in(&with(revocations.clone()), &root, shown))
    };
    assert_eq!(judged(vec![]), [true; 3]);
    // One who says nothing of whom it has signed leaves it open whether they are revoked.
    let silent = root.revoke(&[], 4000);
    assert_eq!(judged(vec![silent]), [false, false, true]);
    let (roots, betweens) = (root.revoke(&[], 4000), between.revoke(&[2], 4000));
    assert_eq!(judged(vec![roots.clone(), betweens.clone()]), [true, false, true]);
    root.revoke(&[BETWEEN], 4000);
    assert_eq!(judged(vec![roots.clone(), betweens.clone()]), [false, false, true]);
    // A list that has ended says nothing, whoever has signed it.
    root.revoke(&[], 4000);
    between.revoke(&[2], 2022);
    assert_eq!(judged(vec![roots, betweens]), [false, false, true]);
}

#[test]
fn threat_5_a_ticket_of_before_is_worth_nothing_when_an_authority_between_is_revoked() {
    let (_scratch, root, between) = authorities();
    let server = root.server("localhost");
    let (below, direct) = (
        between.certify(&Saying { serial: 1, ..Saying::default() }),
        root.certify(&Saying { serial: 3, ..Saying::default() }),
    );
    let lists = || vec![root.revoke(&[], 4000), between.revoke(&[], 4000)];
    let before = asking(&server, vec![root.path()], lists());
    for version in BOTH {
        for (shown, stays) in [(&direct, true), (&below, false)] {
            drop(lists());
            let first = plan(&before, None);
            let config = client(&root, Some(shown), &[version]);
            let mut here = Pair::new(&first, &config, "localhost");
            here.drive(ALL).unwrap();
            let mut back = Pair::new(&first, &config, "localhost");
            back.drive(ALL).unwrap();
            assert_eq!(back.was_resumed, Some(true));
            root.revoke(&[BETWEEN], 4000);
            let after = plan(&before, Some(&first));
            assert_eq!(here.server.follow(&after).is_ok(), stays, "who is here is judged by the whole chain");
            assert_eq!(comes_in(&after, &config), stays, "{version:?}");
        }
    }
}
