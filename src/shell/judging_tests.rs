//! A client whose certificate is revoked while its connection moves to the home of its session: nothing that it has said takes effect.

use std::io::Read as _;
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::time::Duration;

use bytes::BytesMut;
use rustls::version::TLS13;

use super::lines::LineParts;
use super::receiving_tests::Scene;
use super::transport::authority::{Authority, Saying};
use super::transport::pair::{Pair, client, files, plan};
use super::transport::plan::{ClientFiles, TlsFiles};
use crate::engine::auth::identity::Identity;
use crate::engine::connection::Peer;
use crate::engine::output::Arrival;
use crate::shell::files::scratch::Scratch;

/// CONNECT of 5.0 from the client `a`, behind its first two bytes.
const CONNECT: &[u8] = b"\0\x04MQTT\x05\x02\0\0\0\0\x01a";
/// A retained message.
const PUBLISH: &[u8] = b"\x31\x05\0\x01t\0x";
/// The code of CONNACK, behind its length and its flags.
const CODE_AT: usize = 3;

fn arrival() -> Box<Arrival> {
    Box::new(Arrival {
        peer: Peer { address: ([127, 0, 0, 1], 4711).into(), listener: 0 },
        seat: None,
        certificate: None,
        connect: CONNECT.into(),
        first: 0x10,
        client_id: "a".into(),
        is_assigned: false,
        identity: Arc::new(Identity::anonymous()),
        policy: 0,
        auth_data: None,
        unread: BytesMut::from(PUBLISH),
    })
}

#[test]
fn threat_5_who_is_revoked_on_the_way_home_is_turned_back_before_anything_takes_effect() {
    let scratch = Scratch::new();
    let authority = Authority::new(scratch.path(), "authority");
    let shown = authority.certify(&Saying { serial: 7, ..Saying::default() });
    let clients = ClientFiles { is_mandatory: true, authorities: vec![authority.path()], ..ClientFiles::default() };
    let server = authority.server("localhost");
    let before = TlsFiles { clients: Some(clients.clone()), ..files(&[&server]) };
    let old_plan = plan(&before, None);
    for (revoked, code) in [(8, 0), (7, 0x87)] {
        let mut scene = Scene::new(64);
        let mut pair = Pair::new(&old_plan, &client(&authority, Some(&shown), &[&TLS13]), "localhost");
        pair.drive(usize::MAX).unwrap();
        assert!(pair.was_resumed.is_some(), "it came in by the old plan");
        let revocations = vec![authority.revoke(&[revoked], 4000)];
        let after = TlsFiles { clients: Some(ClientFiles { revocations, ..clients.clone() }), ..before.clone() };
        let (ours, mut theirs) = UnixStream::pair().unwrap();
        ours.set_nonblocking(true).unwrap();
        theirs.set_read_timeout(Some(Duration::from_mins(1))).unwrap();

        let now = scene.core.clock.now();
        scene.core.listeners[0].plan = Some(plan(&after, Some(&old_plan)));
        let parts = LineParts { fd: ours.into(), outbox: None, layers: Some(pair.server) };
        scene.core.adopt(parts, arrival(), now);
        scene.core.turn();

        let mut heard = [0; 4096];
        let count = theirs.read(&mut heard).unwrap();
        pair.client.read_tls(&mut &heard[..count]).unwrap();
        pair.client.process_new_packets().unwrap();
        let count = pair.client.reader().read(&mut heard).unwrap();
        assert_eq!((heard[0], heard[CODE_AT]), (0x20, code), "{:?}", &heard[..count]);
        let sizes = scene.core.shard.sizes();
        let is_in = usize::from(code == 0);
        assert_eq!((sizes.connections, sizes.sessions, sizes.retained), (is_in, is_in, is_in));
        assert_eq!(scene.core.shard.stats().connections_revoked, u64::from(code != 0));
    }
}
