//! What lies between a client and the network: a socket, and TLS over it if that is asked for.

use std::io::{self, BufRead, ErrorKind, Read, Write};
use std::net::SocketAddr;
use std::sync::Arc;

use mio::net::TcpStream;
use mio::{Interest, Registry, Token};
use rustls::client::{ClientConfig, ClientConnection, Resumption};
use rustls::crypto::{CryptoProvider, SupportedKxGroup, aws_lc_rs};
use rustls::pki_types::ServerName;
use rustls::version::TLS13;

use super::anybody::Anybody;

/// The key exchange of a handshake. The cipher is `TLS_AES_128_GCM_SHA256` in all of them, and nobody comes back by a ticket.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Group {
    /// X25519.
    X25519,
    /// X25519MLKEM768: X25519 and ML-KEM at once.
    Hybrid,
}

impl Group {
    /// The name of the group in the register of TLS.
    pub const fn name(self) -> &'static str {
        match self {
            Group::X25519 => "X25519",
            Group::Hybrid => "X25519MLKEM768",
        }
    }

    fn exchange(self) -> &'static dyn SupportedKxGroup {
        match self {
            Group::X25519 => aws_lc_rs::kx_group::X25519,
            Group::Hybrid => aws_lc_rs::kx_group::X25519MLKEM768,
        }
    }
}

/// What all clients of a run say of TLS: TLS 1.3, one cipher, one key exchange, and whole handshakes always.
pub fn config(group: Group) -> ClientConfig {
    let provider = CryptoProvider {
        cipher_suites: vec![aws_lc_rs::cipher_suite::TLS13_AES_128_GCM_SHA256],
        kx_groups: vec![group.exchange()],
        ..aws_lc_rs::default_provider()
    };
    let builder = ClientConfig::builder_with_provider(Arc::new(provider))
        .with_protocol_versions(&[&TLS13])
        .expect("the cipher is one of TLS 1.3");
    let mut config = builder.dangerous().with_custom_certificate_verifier(Arc::new(Anybody)).with_no_client_auth();
    config.resumption = Resumption::disabled();
    config
}

/// A client's way to the broker.
pub struct Wire {
    stream: TcpStream,
    tls: Option<Box<ClientConnection>>,
}

/// How much of some bytes has left.
#[derive(Clone, Copy, Debug)]
pub struct Written {
    /// Bytes that were taken.
    pub taken: usize,
    /// The socket takes nothing more for now.
    pub is_full: bool,
}

impl Wire {
    /// Begins to connect.
    pub fn open(address: SocketAddr, is_prompt: bool, tls: Option<&Arc<ClientConfig>>) -> io::Result<Self> {
        let stream = TcpStream::connect(address)?;
        if is_prompt {
            stream.set_nodelay(true)?;
        }
        let name = ServerName::IpAddress(address.ip().into());
        let tls = match tls {
            Some(config) => Some(Box::new(ClientConnection::new(Arc::clone(config), name).map_err(io::Error::other)?)),
            None => None,
        };
        Ok(Wire { stream, tls })
    }

    /// Has the socket told of under this name.
    pub fn register(&mut self, registry: &Registry, token: Token) -> io::Result<()> {
        registry.register(&mut self.stream, token, Interest::READABLE | Interest::WRITABLE)
    }

    /// Reads once, and says what has come in the clear until that is no longer wanted. How many bytes came from the socket, which is nothing at its end.
    pub fn read(&mut self, buffer: &mut [u8], mut heard: impl FnMut(&[u8]) -> bool) -> io::Result<usize> {
        let size = self.stream.read(buffer)?;
        let Some(tls) = &mut self.tls else {
            if size > 0 {
                heard(&buffer[..size]);
            }
            return Ok(size);
        };
        let mut sealed = &buffer[..size];
        while !sealed.is_empty() {
            tls.read_tls(&mut sealed)?;
            tls.process_new_packets().map_err(io::Error::other)?;
            let mut reader = tls.reader();
            // An error says that nothing more is there for now.
            while let Ok(clear @ [_, ..]) = reader.fill_buf() {
                let count = clear.len();
                if !heard(clear) {
                    return Ok(size);
                }
                reader.consume(count);
            }
        }
        Ok(size)
    }

    /// Whether something sealed waits for the socket, or a handshake has something to say.
    pub fn wants_write(&self) -> bool {
        self.tls.as_ref().is_some_and(|tls| tls.wants_write())
    }

    /// Writes as much as is taken.
    pub fn write(&mut self, clear: &[u8]) -> io::Result<Written> {
        let Some(tls) = &mut self.tls else {
            let taken = self.stream.write(clear)?;
            return Ok(Written { taken, is_full: taken < clear.len() }); // a short write has filled the socket
        };
        let taken = if clear.is_empty() { 0 } else { tls.writer().write(clear)? };
        while tls.wants_write() {
            match tls.write_tls(&mut self.stream) {
                Ok(_) => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(Written { taken, is_full: true }),
                Err(error) => return Err(error),
            }
        }
        Ok(Written { taken, is_full: false })
    }

    /// The last words, as far as they are taken.
    pub fn farewell(&mut self, clear: &[u8]) {
        // Who cannot say farewell any more is closed all the same.
        let _ = self.write(clear);
        if let Some(tls) = &mut self.tls {
            tls.send_close_notify();
            let _ = self.write(&[]); // as above
        }
    }
}
