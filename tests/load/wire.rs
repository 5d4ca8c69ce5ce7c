//! A socket with TLS over it: whatever is written comes, however much that is.

#![expect(clippy::disallowed_methods, reason = "a server beside the wire, and an end to waiting")]

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use mio::{Events, Poll, Token};
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::PrivateKeyDer;
use rustls::{HandshakeKind, ServerConfig, ServerConnection, Stream};

use crate::generator::wire::{Group, Wire, config};

const PATIENCE: Duration = Duration::from_mins(1);
/// More than the library holds back, and than a socket takes.
const BYTES: usize = 8 * 1024 * 1024;

/// What a server has seen of a client: the key exchange, the kind of the handshake, the clear bytes.
type Seen = (Option<String>, Option<HandshakeKind>, Vec<u8>);

/// Says back what it hears, to one client after the other, until each of them closes.
fn server(clients: usize) -> (SocketAddr, JoinHandle<Vec<Seen>>) {
    let made = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
    let key = PrivateKeyDer::try_from(made.signing_key.serialize_der()).unwrap();
    let settings = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![made.cert.der().clone()], key)
        .unwrap();
    let settings = Arc::new(settings);
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let serve = move || {
        let serve_one = |_| {
            let (mut socket, _) = listener.accept().unwrap();
            let mut tls = ServerConnection::new(Arc::clone(&settings)).unwrap();
            let (mut heard, mut buffer) = (Vec::new(), vec![0; 64 * 1024]);
            while let Ok(count @ 1..) = Stream::new(&mut tls, &mut socket).read(&mut buffer) {
                heard.extend_from_slice(&buffer[..count]);
                Stream::new(&mut tls, &mut socket).write_all(&buffer[..count]).unwrap();
            }
            let group = tls.negotiated_key_exchange_group().map(|group| format!("{:?}", group.name()));
            (group, tls.handshake_kind(), heard)
        };
        (0..clients).map(serve_one).collect()
    };
    (address, thread::spawn(serve))
}

/// Writes all of it and reads as much again.
fn echo(wire: &mut Wire, said: &[u8]) -> Vec<u8> {
    let (mut poll, mut events) = (Poll::new().unwrap(), Events::with_capacity(16));
    wire.register(poll.registry(), Token(0)).unwrap();
    let (mut buffer, mut taken, mut heard) = (vec![0; 256 * 1024], 0, Vec::new());
    let until = Instant::now() + PATIENCE;
    while heard.len() < said.len() {
        assert!(Instant::now() < until, "{} of {} bytes came back", heard.len(), said.len());
        poll.poll(&mut events, Some(Duration::from_millis(10))).unwrap();
        while let Ok(1..) = wire.read(&mut buffer, |bytes| {
            heard.extend_from_slice(bytes);
            true
        }) {}
        while taken < said.len() || wire.wants_write() {
            let Ok(written) = wire.write(&said[taken..]) else { break };
            taken += written.taken;
            if written.is_full || written.taken == 0 {
                break;
            }
        }
    }
    heard
}

#[test]
fn what_is_written_over_tls_comes_in_order() {
    let (address, server) = server(1);
    let said: Vec<u8> = (0..BYTES).map(|at| u8::try_from(at % 251).unwrap()).collect();
    let mut wire = Wire::open(address, true, Some(&Arc::new(config(Group::X25519)))).unwrap();
    assert!(echo(&mut wire, &said) == said, "it comes back as it was");
    wire.farewell(b"end");
    drop(wire);
    let seen = server.join().unwrap();
    assert!(seen[0].2 == [&said[..], b"end"].concat(), "all of it was heard");
}

#[test]
fn every_handshake_is_whole_and_of_the_group_that_was_asked_for() {
    let (address, server) = server(3);
    let tls = Arc::new(config(Group::Hybrid));
    for group in [&tls, &tls, &Arc::new(config(Group::X25519))] {
        let mut wire = Wire::open(address, true, Some(group)).unwrap();
        assert_eq!(echo(&mut wire, b"here"), b"here");
        wire.farewell(b"");
    }
    for ((group, kind, _), due) in server.join().unwrap().into_iter().zip([Group::Hybrid, Group::Hybrid, Group::X25519])
    {
        assert_eq!(group.as_deref(), Some(due.name()));
        assert!(!matches!(kind, Some(HandshakeKind::Resumed)), "nobody comes back by a ticket");
    }
}
