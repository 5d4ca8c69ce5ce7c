//! The layers of one connection, from the socket inward: the PROXY protocol, TLS, WebSocket.

use std::mem;
use std::net::SocketAddr;
use std::num::NonZeroU64;
use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::Duration;

use rustls::pki_types::UnixTime;
use rustls::{CommonState, HandshakeKind};

use super::clients::{self, Clients};
use super::hello;
use super::plan::{Plan, TlsPlan};
use super::tls::{Opened, Tls, Told};
use crate::base::rare::Rare;
use crate::carrier::proxy::{self, Endpoints, Malformed};
use crate::carrier::websocket::reader::{Control, End, Reader};
use crate::carrier::websocket::refusal::Refusal;
use crate::carrier::websocket::upgrade::{REQUEST_BYTES_MAX, Rules, upgrade};
use crate::carrier::websocket::violation::Violation;
use crate::carrier::websocket::{close::CloseCode, writer};
use crate::engine::auth::certificate::{Certificate, CertificateError, NameRule};
use crate::engine::limits::UNPROVEN_BYTES_MAX;

/// Bytes of a client's handshake in all, with those that wait for the rest of what they begin. The longest are chains of certificates, of which
/// three of ML-DSA-65, which no quantum computer forges, have room. Who needs more is not served.
pub const PENDING_BYTES_MAX: usize = 24 * 1024;
/// Certificates that a client has shown; the library keeps them as long as the session lives.
pub const CHAIN_BYTES_MAX: usize = 18 * 1024;
/// Bytes that may wait behind the handshake: a record, and what it may add to its clear bytes.
const RECORD_BYTES_MAX: usize = 5 + 16 * 1024 + 2 * 1024;
/// What layers and engine may keep of somebody who has proven nothing. The rest of 64 KiB is for the session of TLS and the connection itself.
const STRANGER_BYTES_MAX: usize = 56 * 1024;
const _: () = assert!(2 * PENDING_BYTES_MAX <= STRANGER_BYTES_MAX, "what was said is kept to be signed, and a chain");
const _: () = assert!(PENDING_BYTES_MAX + UNPROVEN_BYTES_MAX <= STRANGER_BYTES_MAX, "a chain, a record and a CONNECT");
const _: () = assert!(PENDING_BYTES_MAX + 2 * REQUEST_BYTES_MAX <= STRANGER_BYTES_MAX, "a request grows by doubling");

/// Answers to the pings of one read, about.
const PONG_BYTES_MAX: usize = 16 * 1024;

/// The layers between a socket and its MQTT. One per connection that has any, on the shard that has the connection.
#[derive(Debug)]
#[expect(clippy::struct_excessive_bools, reason = "each is a fact of its own, and together they are less than a word")]
pub struct Layers {
    plan: Arc<Plan>,
    /// A header of the PROXY protocol comes first.
    awaits_proxy: bool,
    tls: Option<Box<Tls>>,
    socket: Option<Socket>,
    /// The beginning of something, as it came.
    pending: Rare<Vec<u8>>,
    stage: Stage,
    /// When the client's certificate was judged, in seconds since 1970; nothing before.
    judged_at: Option<NonZeroU64>,
    /// The plan has changed while the library judges by the one of before.
    is_outdated: bool,
    /// The peer has said that nothing more follows.
    has_ended: bool,
    /// It has answered something.
    has_answered: bool,
    /// The peer takes nothing of what it is answered: its pings are not answered either.
    is_unheard: bool,
    /// The peer has not come in yet.
    is_stranger: bool,
}

const _: () = assert!(size_of::<Layers>() <= 72, "each connection that is not plain has them");

/// How far a WebSocket has come.
#[derive(Debug)]
enum Socket {
    /// It is asked for; these bytes of the request have come out of TLS.
    Asking(Vec<u8>),
    /// It is there.
    Open(Reader),
    /// The peer has said goodbye with this code, and is answered behind all that is still said.
    Closing(Option<CloseCode>),
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
    /// A proxy says whose connection it is.
    Proxied {
        /// Where the client comes from; nothing where the proxy speaks for itself.
        source: Option<SocketAddr>,
        /// The common name of the certificate that the client has shown to the proxy, which has verified it.
        common_name: Option<&'a str>,
        /// Whether the client is taken; if it is not, nothing more of it is looked at.
        is_taken: &'a mut bool,
    },
    /// TLS is established.
    Secured {
        /// The client's certificate, if it has shown one.
        certificate: Option<Certificate>,
        /// Whether it has come back to a session.
        is_resumed: bool,
    },
}

/// Why a connection cannot go on. What the peer is told about it has been sealed.
#[derive(Debug, thiserror::Error)]
pub enum LayerError {
    /// There is no header of the PROXY protocol, or none that says anything.
    #[error("PROXY protocol: {0}")]
    Proxy(#[from] Malformed),
    /// TLS has failed.
    #[error("TLS: {0}")]
    Tls(#[from] rustls::Error),
    /// The library is content with the client's certificate, and nobody else can read it. To rules that deny it, its client would be one without.
    #[error("the client's certificate holds and cannot be read: {0}")]
    Unreadable(CertificateError),
    /// Nobody asks for a WebSocket as this listener wants it.
    #[error("WebSocket: {0}")]
    Refused(Refusal),
    /// A frame breaks a rule.
    #[error("WebSocket: {0}")]
    Frame(Violation),
    /// It has failed before.
    #[error("the connection has failed")]
    Failed,
    /// More is kept than any layer needs.
    #[error("{0} bytes are to be kept, or wait for the rest of what they begin")]
    Pending(usize),
}

impl Layers {
    /// The layers of a connection that was just accepted.
    pub fn new(plan: &Arc<Plan>) -> Result<Self, LayerError> {
        let tls = match &plan.tls {
            Some(tls) => Some(Box::new(begin(tls, tls.is_13_only)?)),
            None => None,
        };
        let socket = plan.websocket.as_ref().map(|_| Socket::Asking(Vec::new()));
        let awaits_proxy = plan.is_proxied;
        let (plan, pending, stage) = (Arc::clone(plan), Rare::new(), Stage::Open);
        Ok(Self {
            plan,
            awaits_proxy,
            tls,
            socket,
            pending,
            stage,
            judged_at: None,
            is_outdated: false,
            has_ended: false,
            has_answered: false,
            is_unheard: false,
            is_stranger: true,
        })
    }

    /// Whether the peer has said that nothing more follows.
    pub fn has_ended(&self) -> bool {
        self.has_ended
    }

    /// Whether this is the plan that it follows.
    pub fn follows(&self, plan: &Arc<Plan>) -> bool {
        Arc::ptr_eq(&self.plan, plan)
    }

    /// Follows another plan of the same listener from now on; an error where the client would not be let in by it. Time alone ends nobody who is
    /// here: certificates and lists must have been good when the client came. The library keeps what the client has shown anyway.
    pub fn follow(&mut self, plan: &Arc<Plan>) -> Result<(), rustls::Error> {
        let before = mem::replace(&mut self.plan, Arc::clone(plan));
        let (Some(tls), Some(clients)) = (&self.tls, clients_of(plan)) else { return Ok(()) };
        if clients_of(&before).is_some_and(|before| before.judges_like(clients)) {
            return Ok(());
        }
        let Some(at) = self.judged_at else {
            self.is_outdated = true; // the library judges by the old plan yet
            return Ok(());
        };
        let at = UnixTime::since_unix_epoch(Duration::from_secs(at.get()));
        clients.judge_again(tls.agreed().peer_certificates(), at)
    }

    /// Whether costly steps lie ahead before anything of MQTT can come.
    pub fn is_handshaking(&self) -> bool {
        self.tls.as_ref().is_some_and(|tls| tls.is_handshaking())
    }

    /// Whether the peer takes nothing of what it is answered.
    pub fn note_unheard(&mut self, is_unheard: bool) {
        self.is_unheard = is_unheard;
    }

    /// Whether the peer has not come in yet: then it holds less.
    pub fn note_stranger(&mut self, is_stranger: bool) {
        self.is_stranger = is_stranger;
    }

    /// Whether some of them are done: the peer has been answered.
    pub fn has_answered(&self) -> bool {
        self.has_answered
    }

    /// Whether a proxy's word names users.
    pub fn believes_common_names(&self) -> bool {
        self.plan.user_from == Some(NameRule::CommonName)
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
        mut heard: impl FnMut(Heard<'_>),
    ) -> Result<bool, LayerError> {
        if self.stage == Stage::Failed {
            return Err(LayerError::Failed);
        }
        let said = wire.len();
        let opened = self.open_all(raw, wire, &mut heard);
        self.has_answered |= wire.len() > said;
        if opened.is_err() {
            self.stage = Stage::Failed;
        }
        self.has_ended |= matches!(opened, Ok(false));
        opened
    }

    fn open_all(
        &mut self,
        mut raw: &mut [u8],
        wire: &mut Vec<u8>,
        heard: &mut impl FnMut(Heard<'_>),
    ) -> Result<bool, LayerError> {
        if self.awaits_proxy {
            let Some(header) = proxy::decode(raw)? else { return self.keep(raw, true) };
            let source = match header.endpoints {
                Endpoints::Inet { source, .. } => Some(source),
                Endpoints::Own | Endpoints::Unix { .. } => None,
            };
            let common_name = header.tls.as_ref().and_then(|tls| tls.common_name);
            let mut is_taken = true;
            heard(Heard::Proxied { source, common_name, is_taken: &mut is_taken });
            let consumed = header.consumed;
            (raw, self.awaits_proxy) = (&mut raw[consumed..], false);
            if !is_taken {
                self.stage = Stage::Over;
                return Ok(false);
            }
        }
        if self.tls.is_some() { self.open_records(raw, wire, heard) } else { self.open_clear(raw, wire, heard) }
    }

    /// What has to wait for more of the same.
    fn keep(&mut self, rest: &[u8], goes_on: bool) -> Result<bool, LayerError> {
        let (kept_bytes, bytes_max) = match &self.tls {
            Some(tls) if tls.is_handshaking() => (tls.shaken_bytes() + rest.len(), PENDING_BYTES_MAX),
            Some(tls) if self.is_stranger && rest.len() <= RECORD_BYTES_MAX => {
                (chain_bytes(tls.agreed()) + rest.len(), PENDING_BYTES_MAX)
            }
            Some(_) => (rest.len(), RECORD_BYTES_MAX),
            None => (rest.len(), PENDING_BYTES_MAX),
        };
        if kept_bytes > bytes_max {
            return Err(LayerError::Pending(kept_bytes));
        }
        self.pending = Rare::new(); // no byte of room is kept while nothing is pending
        if !rest.is_empty() {
            *self.pending = rest.to_vec();
        }
        Ok(goes_on)
    }

    /// Without TLS: a request for a WebSocket waits as it came, and all else is done with.
    fn open_clear(
        &mut self,
        raw: &mut [u8],
        wire: &mut Vec<u8>,
        heard: &mut impl FnMut(Heard<'_>),
    ) -> Result<bool, LayerError> {
        self.pending = Rare::new();
        let Some(socket) = &mut self.socket else {
            heard(Heard::Bytes(raw));
            return Ok(true);
        };
        socket.read(&self.plan, self.is_unheard, raw, wire, heard)
    }

    fn open_records(
        &mut self,
        raw: &mut [u8],
        wire: &mut Vec<u8>,
        heard: &mut impl FnMut(Heard<'_>),
    ) -> Result<bool, LayerError> {
        let Self { plan, tls, socket, judged_at, is_outdated, is_unheard, .. } = self;
        let tls = tls.as_mut().expect("the caller has seen it");
        let clients = clients_of(plan);
        if let Some(asking) = plan.tls.as_ref().filter(|_| clients.is_some())
            && !tls.has_shaken()
            && !asking.is_13_only
            && hello::offers_13(raw)
        {
            // The session of before has seen nothing but the beginning of these bytes. This one keeps less.
            **tls = begin(asking, true)?;
        }
        let (mut answers, mut inner, mut refused) = (Vec::new(), Ok(true), None);
        let opened = tls.open(raw, wire, |told| match told {
            Told::Clear(bytes) => {
                match socket {
                    Some(_) if !matches!(inner, Ok(true)) => {} // what follows the end says nothing
                    Some(socket) => inner = socket.read(plan, *is_unheard, &mut bytes.to_vec(), &mut answers, heard),
                    None => heard(Heard::Bytes(bytes)),
                }
                Ok(())
            }
            Told::Established(agreed) => {
                let is_resumed = agreed.handshake_kind() == Some(HandshakeKind::Resumed);
                let chain = agreed.peer_certificates();
                let now = UnixTime::now();
                if chain_bytes(agreed) > CHAIN_BYTES_MAX {
                    refused = Some(LayerError::Pending(chain_bytes(agreed)));
                    return Err(rustls::CertificateError::BadEncoding.into());
                }
                match clients {
                    Some(clients) if is_resumed || *is_outdated => clients.judge_again(chain, now)?,
                    // The library has judged whoever has shown something, and has asked everybody.
                    Some(clients) if chain.is_none() => clients.judge_nobody()?,
                    Some(_) | None => {}
                }
                let rule = plan.user_from.unwrap_or_default();
                let shown = chain.and_then(<[_]>::first).map(|leaf| Certificate::parse(leaf, rule));
                let shown = shown.transpose().map_err(|error| {
                    refused = Some(LayerError::Unreadable(error));
                    rustls::CertificateError::BadEncoding
                })?;
                *judged_at = NonZeroU64::new(now.as_secs());
                heard(Heard::Secured { certificate: shown, is_resumed });
                Ok(())
            }
        });
        let Opened { consumed, is_over } = opened.map_err(|error| refused.unwrap_or(LayerError::Tls(error)))?;
        let is_going_on = self.keep(&raw[consumed..], !is_over)?;
        if !answers.is_empty() {
            self.seal_records(&answers, wire)?;
        }
        inner.map(|goes_on| goes_on && is_going_on)
    }

    /// Seals bytes of MQTT and appends them to `wire`.
    pub fn seal(&mut self, clear: &[u8], wire: &mut Vec<u8>) -> Result<(), LayerError> {
        if self.stage != Stage::Open {
            return Err(LayerError::Failed);
        }
        let header = self.socket.as_ref().map(|_| writer::binary_header(clear.len()));
        let header = header.as_ref().map_or(&[][..], |header| header.as_bytes());
        if self.tls.is_none() {
            wire.extend_from_slice(header);
            wire.extend_from_slice(clear);
            Ok(())
        } else if header.is_empty() {
            self.seal_records(clear, wire)
        } else {
            self.seal_records(&[header, clear].concat(), wire)
        }
    }

    fn seal_records(&mut self, clear: &[u8], wire: &mut Vec<u8>) -> Result<(), LayerError> {
        let tls = self.tls.as_mut().expect("the caller has seen it");
        Ok(tls.seal(pending(&mut self.pending), clear, wire)?)
    }

    /// Says once that nothing more follows.
    pub fn say_goodbye(&mut self, wire: &mut Vec<u8>) {
        if self.stage != Stage::Open {
            return;
        }
        self.stage = Stage::Over;
        let code = match &self.socket {
            Some(Socket::Open(_)) => Some(Some(CloseCode::NORMAL)),
            Some(Socket::Closing(code)) => Some(*code), // RFC 6455, 5.5.1: the code is sent back
            Some(Socket::Asking(_)) | None => None,
        };
        if let Some(code) = code {
            let mut frame = Vec::new();
            writer::close(code, "", &mut frame);
            match &self.tls {
                None => wire.extend_from_slice(&frame),
                // A session that cannot say it any more has said all that it could.
                Some(_) => drop(self.seal_records(&frame, wire)),
            }
        }
        self.say_goodbye_of_tls(wire);
    }

    fn say_goodbye_of_tls(&mut self, wire: &mut Vec<u8>) {
        if let Some(tls) = self.tls.as_mut().filter(|tls| !tls.is_handshaking()) {
            // See above.
            let _ = tls.say_goodbye(pending(&mut self.pending), wire);
        }
    }
}

/// A session of this listener; of a client that is known to speak TLS 1.3, or not.
fn begin(plan: &TlsPlan, is_13: bool) -> Result<Tls, rustls::Error> {
    let session = || Tls::new(&plan.config);
    if is_13 { clients::of_13(session) } else { session() }
}

/// What is pending, to be looked at where it lies.
fn pending(pending: &mut Rare<Vec<u8>>) -> &mut [u8] {
    pending.used().map(Vec::as_mut_slice).unwrap_or_default()
}

/// How long the certificates are that a client has shown.
fn chain_bytes(agreed: &CommonState) -> usize {
    agreed.peer_certificates().into_iter().flatten().map(|certificate| certificate.len()).sum()
}

fn clients_of(plan: &Plan) -> Option<&Arc<Clients>> {
    plan.tls.as_ref()?.clients.as_ref()
}

impl Socket {
    /// Takes bytes of HTTP or of frames; whether more may follow. What is answered is appended to `answers`, also after an error.
    fn read(
        &mut self,
        plan: &Plan,
        is_unheard: bool,
        bytes: &mut [u8],
        answers: &mut Vec<u8>,
        heard: &mut impl FnMut(Heard<'_>),
    ) -> Result<bool, LayerError> {
        let settings = plan.websocket.as_ref().expect("this listener has WebSockets");
        let read = match self {
            Self::Closing(_) => return Ok(false), // what follows the end says nothing
            Self::Open(reader) => read_frames(reader, settings.frame_bytes_max, is_unheard, bytes, answers, heard)?,
            Self::Asking(request) => {
                request.extend_from_slice(bytes);
                let rules = Rules { path: &settings.path, origins: &settings.origins };
                let upgraded = match upgrade(request, &rules) {
                    Ok(None) => return Ok(true),
                    Ok(Some(upgraded)) => upgraded,
                    Err(refusal) => {
                        answers.extend_from_slice(&refusal.response());
                        return Err(LayerError::Refused(refusal));
                    }
                };
                answers.extend_from_slice(&upgraded.response);
                let mut request = mem::take(request);
                let mut reader = Reader::new();
                let rest = &mut request[upgraded.consumed..];
                let read = read_frames(&mut reader, settings.frame_bytes_max, is_unheard, rest, answers, heard);
                *self = Self::Open(reader);
                read?
            }
        };
        if let ControlFlow::Break(code) = read {
            *self = Self::Closing(code);
        }
        Ok(read.is_continue())
    }
}

/// Takes bytes of frames. The peer's goodbye breaks off, and is not answered yet: what it has asked before comes first.
fn read_frames(
    reader: &mut Reader,
    frame_bytes_max: u32,
    is_unheard: bool,
    bytes: &mut [u8],
    answers: &mut Vec<u8>,
    heard: &mut impl FnMut(Heard<'_>),
) -> Result<ControlFlow<Option<CloseCode>>, LayerError> {
    let said = answers.len();
    let intake = reader.read(bytes, frame_bytes_max, |control| match control {
        Control::Ping(payload) if !is_unheard => {
            if answers.len() - said >= PONG_BYTES_MAX {
                answers.truncate(said); // RFC 6455, 5.5.3: the last one alone needs an answer
            }
            writer::pong(payload, answers);
        }
        Control::Ping(_) | Control::Pong(_) | Control::Close(_) => {}
    });
    if !intake.application.is_empty() {
        heard(Heard::Bytes(intake.application));
    }
    match intake.end {
        None => Ok(ControlFlow::Continue(())),
        Some(End::Closed(code)) => Ok(ControlFlow::Break(code)),
        Some(broken @ End::Broken(violation)) => {
            broken.answer(answers);
            Err(LayerError::Frame(violation))
        }
    }
}
