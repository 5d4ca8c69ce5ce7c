//! The socket of one client, with TLS or without, driven by edges.

use std::io::{self, ErrorKind, Read, Write};
use std::net::SocketAddr;
use std::ops::ControlFlow;
use std::sync::Arc;

use mio::net::TcpStream;
use mio::{Interest, Registry, Token};
use pregon::mqtt::frame::{Assembler, Frame, PACKET_BYTES_MAX};
use rustls::HandshakeKind;
use rustls::client::{ClientConfig, ClientConnection, Resumption};
use rustls::crypto::CryptoProvider;
use rustls::crypto::aws_lc_rs::{default_provider, kx_group};
use rustls::pki_types::ServerName;
use socket2::SockRef;

use crate::anybody::Anybody;

/// A connection that has begun.
#[derive(Debug)]
pub struct Link {
    stream: TcpStream,
    tls: Option<Box<ClientConnection>>,
    inbox: Assembler,
    outbox: Vec<u8>,
}

/// What came of a look at a link.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// It goes on.
    Open,
    /// The broker has ended it.
    Closed,
}

impl Link {
    /// Begins to connect. A client of TLS with tickets of its own has a name of its own for the broker.
    pub fn open(
        address: SocketAddr,
        number: u32,
        tls: Option<&Arc<ClientConfig>>,
        registry: &Registry,
    ) -> io::Result<Self> {
        let mut stream = TcpStream::connect(address)?;
        stream.set_nodelay(true)?;
        // Who is cut does not say goodbye, and leaves no port behind that has to wait.
        SockRef::from(&stream).set_linger(Some(std::time::Duration::ZERO))?;
        registry.register(&mut stream, Token(number as usize), Interest::READABLE | Interest::WRITABLE)?;
        let tls = tls.map(|config| {
            let name = ServerName::try_from(format!("c{number}.storm")).expect("this is a name");
            let session = ClientConnection::new(Arc::clone(config), name);
            Box::new(session.expect("the configuration is sound"))
        });
        Ok(Self { stream, tls, inbox: Assembler::new(), outbox: Vec::new() })
    }

    /// Bytes that leave as soon as they can.
    pub fn outbox(&mut self) -> &mut Vec<u8> {
        &mut self.outbox
    }

    /// Whether its handshake has resumed a session of TLS.
    pub fn is_resumed(&self) -> bool {
        self.tls.as_ref().is_some_and(|tls| tls.handshake_kind() == Some(HandshakeKind::Resumed))
    }

    /// Whether its handshake of TLS is not over; never without TLS.
    pub fn is_handshaking(&self) -> bool {
        self.tls.as_ref().is_some_and(|tls| tls.is_handshaking())
    }

    /// Reads all that has come and hands over each packet, with room for the answer.
    pub fn read(&mut self, buffer: &mut [u8], mut packet: impl FnMut(Frame<'_>, &mut Vec<u8>)) -> io::Result<State> {
        let Self { stream, tls, inbox, outbox } = self;
        loop {
            let count = match tls {
                None => stream.read(buffer),
                Some(tls) => read_records(stream, tls, buffer),
            };
            match count {
                Ok(0) => return Ok(State::Closed),
                Ok(count) => {
                    let fed = inbox.feed(&buffer[..count], PACKET_BYTES_MAX, |frame| {
                        packet(frame, outbox);
                        ControlFlow::Continue(())
                    });
                    fed.map_err(|error| io::Error::other(error.to_string()))?;
                }
                Err(error) if is_passing(&error) => return Ok(State::Open),
                Err(error) => return Err(error),
            }
        }
    }

    /// Sends what the socket takes.
    pub fn write(&mut self) -> io::Result<()> {
        let sent = match &mut self.tls {
            None if self.outbox.is_empty() => return Ok(()),
            None => self.stream.write(&self.outbox).map(|count| drop(self.outbox.drain(..count))),
            Some(tls) => {
                if !tls.is_handshaking() && !self.outbox.is_empty() {
                    tls.writer().write_all(&self.outbox)?;
                    self.outbox = Vec::new();
                }
                let mut sent = Ok(());
                while tls.wants_write() && sent.is_ok() {
                    sent = tls.write_tls(&mut self.stream).map(drop);
                }
                sent
            }
        };
        match sent {
            Err(error) if !is_passing(&error) => Err(error),
            Ok(()) | Err(_) => Ok(()),
        }
    }
}

/// Clear bytes of the records that have come.
fn read_records(stream: &mut TcpStream, tls: &mut ClientConnection, buffer: &mut [u8]) -> io::Result<usize> {
    loop {
        match tls.reader().read(buffer) {
            Err(error) if error.kind() == ErrorKind::WouldBlock => {}
            done => return done,
        }
        if tls.read_tls(stream)? == 0 {
            return Ok(0);
        }
        tls.process_new_packets().map_err(io::Error::other)?;
        if tls.is_handshaking() {
            while tls.wants_write() {
                tls.write_tls(stream)?;
            }
        }
    }
}

/// Errors that say: not now.
fn is_passing(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted | ErrorKind::NotConnected)
}

/// What all clients of TLS have in common: 1.3, the key exchange that every broker knows, nobody verified.
pub fn config(clients: u32, has_tickets: bool) -> Arc<ClientConfig> {
    let provider = CryptoProvider { kx_groups: vec![kx_group::X25519], ..default_provider() };
    let config = ClientConfig::builder_with_provider(Arc::new(provider))
        .with_protocol_versions(&[&rustls::version::TLS13])
        .expect("the provider knows 1.3")
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(Anybody));
    let mut config = config.with_no_client_auth();
    config.resumption =
        if has_tickets { Resumption::in_memory_sessions(16 * clients as usize) } else { Resumption::disabled() };
    Arc::new(config)
}
