//! Chains with an authority between the root and whoever shows a certificate, of a running broker and of its clients.

use std::fs;
use std::io::{Read as _, Write as _};

use pregon::mqtt::Version;

use crate::authority::{Authority, Certified, Saying};
use crate::client::Client;
use crate::patience::wait_until;
use crate::process::{Broker, Options};
use crate::support::story::Hello;
use crate::tls::{BOTH, HOST, Trust, open, shake};

/// The number of the certificate of the authority between.
const BETWEEN: u64 = 50;

/// A broker whose certificate is signed by the authority between, and that asks for ones which lead to the root and stand on neither list.
fn options(trust: &Trust, between: &Authority, shards: usize) -> Options {
    let server = between.server(HOST);
    let lists = [trust.authority.revoke(&[99], 4000), between.revoke(&[99], 4000)];
    let lists = lists.map(|list| list.display().to_string()).join(",");
    trust
        .mutual(shards)
        .set(&format!("listeners.tls.certificates={}", server.path.display()))
        .set(&format!("listeners.tls.client_crls={lists}"))
}

fn come_in(broker: &Broker, trust: &Trust, name: &str, shown: &Certified) -> Client {
    let config = trust.client(Some(shown), &BOTH);
    let session = shake(broker, &config);
    assert_eq!(session.conn.peer_certificates().map(<[_]>::len), Some(2), "the broker shows the whole chain");
    Client::connect_over(session, &Hello::v5(name))
}

fn is_refused(broker: &Broker, trust: &Trust, shown: &Certified) -> bool {
    let mut session = open(broker, &trust.client(Some(shown), &BOTH));
    let said = session.write_all(&Hello::v5("refused").encode());
    said.is_err() || !matches!(session.read(&mut [0; 64]), Ok(1..))
}

#[test]
fn threat_5_whom_any_authority_of_the_chain_revokes_is_gone() {
    let trust = Trust::new("chains-revoked");
    let between = trust.authority.intermediate("between", BETWEEN);
    let [good, bad] = [1, 2].map(|serial| between.certify(&Saying { serial, ..Saying::default() }));
    let direct = trust.authority.certify(&Saying { serial: 3, ..Saying::default() });
    for shards in [1, 3] {
        let broker = options(&trust, &between, shards).start();
        let mut there = [("good", &good), ("bad", &bad), ("direct", &direct)]
            .map(|(name, shown)| come_in(&broker, &trust, name, shown));
        between.revoke(&[99, 2], 4000);
        there[1].expect_closed_for(0x87);
        wait_until("every shard to know it", || (0..shards * 4).all(|_| is_refused(&broker, &trust, &bad)));
        there[0].expect_silence();
        trust.authority.revoke(&[99, BETWEEN], 4000);
        there[0].expect_closed_for(0x87);
        wait_until("every shard to know it", || (0..shards * 4).all(|_| is_refused(&broker, &trust, &good)));
        there[2].expect_silence();
        come_in(&broker, &trust, "again", &direct).leave();
    }
}

#[test]
fn who_does_not_show_the_way_to_the_root_stays_outside() {
    let trust = Trust::new("chains-bare");
    let between = trust.authority.intermediate("between", BETWEEN);
    let broker = options(&trust, &between, 3).start();
    let whole = between.certify(&Saying::default());
    come_in(&broker, &trust, "whole", &whole).leave();
    let bare = Certified { chain: whole.chain[..1].to_vec(), ..whole };
    assert!(is_refused(&broker, &trust, &bare));
}

#[test]
fn a_chain_is_exchanged_while_clients_are_there() {
    let trust = Trust::new("chains-exchanged");
    let (between, next) =
        (trust.authority.intermediate("between", BETWEEN), trust.authority.intermediate("next", BETWEEN + 1));
    let server = between.server(HOST);
    let certificates = format!("listeners.tls.certificates={}", server.path.display());
    let broker = trust.options(3).set(&certificates).start();
    let mut old = Client::connect_over(shake(&broker, &trust.anybody()), &Hello::v5("old"));
    let renewed = next.server(HOST);
    crate::tls::replace(&server.path, &fs::read_to_string(&renewed.path).expect("it is there"));
    wait_until("the new chain", || {
        let session = shake(&broker, &trust.anybody());
        let shown = session.conn.peer_certificates().expect("there is one").to_vec();
        Client::connect_over(session, &Hello::new(Version::V311, "new")).leave();
        shown == renewed.chain
    });
    old.expect_silence();
}
