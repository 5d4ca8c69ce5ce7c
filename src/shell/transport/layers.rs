//! The layers of one connection, from the socket inward: the PROXY protocol, TLS, WebSocket.

use std::sync::Arc;

use rustls::HandshakeKind;
use rustls::pki_types::CertificateDer;

use super::plan::Plan;
use super::tls::{Opened, Tls, Told};

/// Bytes that may wait for the rest of what they begin: the largest message of a handshake and its headers. Who needs more is not served.
pub const PENDING_BYTES_MAX: usize = 80 * 1024;

/// The layers between a socket and its MQTT. One per connection that has any, on the shard that has the connection.
#[derive(Debug)]
pub struct Layers {
    plan: Arc<Plan>,
    tls: Option<Tls>,
    /// The beginning of something, as it came from the socket.
    pending: Vec<u8>,
    stage: Stage,
}

/// Whether anything can be sealed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    /// It can.
    Open,
    /// The peer knows that nothing more follows.
    Over,
    /// A layer has failed: it is not asked for anything any more.
    Failed,
}

/// What the layers tell of what came.
pub enum Heard<'a> {
    /// Bytes of MQTT.
    Bytes(&'a [u8]),
    /// TLS is established.
    Secured {
        /// The client's certificate, if it has shown one.
        certificate: Option<&'a CertificateDer<'static>>,
        /// Whether it has come back to a session.
        is_resumed: bool,
    },
}

/// Why a connection cannot go on. What the peer is told about it has been sealed.
#[derive(Debug, thiserror::Error)]
pub enum LayerError {
    /// TLS has failed.
    #[error("{0}")]
    Tls(#[from] rustls::Error),
    /// It has failed before.
    #[error("the connection has failed")]
    Failed,
    /// More waits than any layer needs.
    #[error("{0} bytes wait for the rest of what they begin")]
    Pending(usize),
}

impl Layers {
    /// The layers of a connection that was just accepted.
    pub fn new(plan: &Arc<Plan>) -> Result<Self, LayerError> {
        let tls = match &plan.tls {
            Some(tls) => Some(Tls::new(&tls.config)?),
            None => None,
        };
        Ok(Self { plan: Arc::clone(plan), tls, pending: Vec::new(), stage: Stage::Open })
    }

    /// Whether costly steps lie ahead before anything of MQTT can come.
    pub fn is_handshaking(&self) -> bool {
        self.tls.as_ref().is_some_and(Tls::is_handshaking)
    }

    /// Writes what has to stand before the bytes that come next to the front of a buffer; how many bytes that are.
    pub fn put_pending(&self, buffer: &mut [u8]) -> usize {
        let count = self.pending.len();
        buffer[..count].copy_from_slice(&self.pending);
        count
    }

    /// How much memory is kept for what is pending.
    #[cfg(test)]
    pub fn pending_room(&self) -> usize {
        self.pending.capacity()
    }

    /// Takes what came from the socket, behind what was pending. Answers of the layers themselves are appended to `wire`, also after an error.
    ///
    /// Whether the peer goes on: after its goodbye nothing more comes.
    pub fn open(
        &mut self,
        raw: &mut [u8],
        wire: &mut Vec<u8>,
        heard: impl FnMut(Heard<'_>),
    ) -> Result<bool, LayerError> {
        if self.stage == Stage::Failed {
            return Err(LayerError::Failed);
        }
        let opened = self.open_all(raw, wire, heard);
        if opened.is_err() {
            self.stage = Stage::Failed;
        }
        opened
    }

    fn open_all(
        &mut self,
        raw: &mut [u8],
        wire: &mut Vec<u8>,
        mut heard: impl FnMut(Heard<'_>),
    ) -> Result<bool, LayerError> {
        let Some(tls) = &mut self.tls else {
            heard(Heard::Bytes(raw));
            return Ok(true);
        };
        let clients = self.plan.tls.as_ref().and_then(|tls| tls.clients.as_ref());
        let Opened { consumed, is_over } = tls.open(raw, wire, |told| match told {
            Told::Clear(bytes) => {
                heard(Heard::Bytes(bytes));
                Ok(())
            }
            Told::Established(agreed) => {
                let is_resumed = agreed.handshake_kind() == Some(HandshakeKind::Resumed);
                let chain = agreed.peer_certificates();
                if let Some(clients) = clients.filter(|_| is_resumed) {
                    clients.judge_again(chain)?;
                }
                heard(Heard::Secured { certificate: chain.and_then(<[_]>::first), is_resumed });
                Ok(())
            }
        })?;
        let rest = &raw[consumed..];
        if rest.len() > PENDING_BYTES_MAX {
            return Err(LayerError::Pending(rest.len()));
        }
        self.pending = rest.to_vec(); // no byte of room is kept while nothing is pending
        Ok(!is_over)
    }

    /// Seals bytes of MQTT and appends them to `wire`.
    pub fn seal(&mut self, clear: &[u8], wire: &mut Vec<u8>) -> Result<(), LayerError> {
        if self.stage != Stage::Open {
            return Err(LayerError::Failed);
        }
        match &mut self.tls {
            Some(tls) => tls.seal(&mut self.pending, clear, wire)?,
            None => wire.extend_from_slice(clear),
        }
        Ok(())
    }

    /// Says once that nothing more follows.
    pub fn say_goodbye(&mut self, wire: &mut Vec<u8>) {
        if self.stage != Stage::Open {
            return;
        }
        self.stage = Stage::Over;
        if let Some(tls) = self.tls.as_mut().filter(|tls| !tls.is_handshaking()) {
            // A session that cannot say it any more has said all that it could.
            let _ = tls.say_goodbye(&mut self.pending, wire);
        }
    }
}
