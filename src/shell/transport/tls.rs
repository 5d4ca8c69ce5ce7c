//! One TLS session driven by hand: records are opened where they lie and sealed into the shard's buffer; idle, it keeps no buffer.

use std::fmt;
use std::sync::Arc;

use rustls::server::{ServerConfig, ServerConnectionData, UnbufferedServerConnection};
use rustls::unbuffered::{
    ConnectionState, EncodeError, EncryptError, InsufficientSizeError, UnbufferedStatus, WriteTraffic,
};
use rustls::{CommonState, Error};

/// Clear bytes of one record.
const RECORD_BYTES_MAX: usize = 16 * 1024;
/// What a record adds to its clear bytes at most: a header of five, an explicit nonce or a type, and a tag.
const RECORD_OVERHEAD_BYTES: usize = 32;
/// Beside the records of a message: a change of keys, or an alert.
const SLACK_BYTES: usize = 128;

/// One session. One per connection, on the shard that has the connection.
pub struct Tls {
    session: UnbufferedServerConnection,
    /// Bytes of the handshake that are done with.
    shaken_bytes: usize,
}

impl fmt::Debug for Tls {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Tls").field("is_handshaking", &self.is_handshaking()).finish_non_exhaustive()
    }
}

/// What became of the bytes that came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Opened {
    /// How many of them are done with. The others are the beginning of a record: they are handed in again, with more behind them.
    pub consumed: usize,
    /// The peer has said that nothing more follows.
    pub is_over: bool,
}

/// What a session has to say while it opens records.
pub enum Told<'a> {
    /// The handshake is over; this is what both have agreed on.
    Established(&'a CommonState),
    /// The peer has sent these bytes.
    Clear(&'a [u8]),
}

impl Tls {
    /// A session that waits for the peer's hello.
    pub fn new(config: &Arc<ServerConfig>) -> Result<Self, Error> {
        Ok(Self { session: UnbufferedServerConnection::new(Arc::clone(config))?, shaken_bytes: 0 })
    }

    /// Whether the handshake is not over.
    pub fn is_handshaking(&self) -> bool {
        self.session.is_handshaking()
    }

    /// Whether anything of the handshake is done with.
    pub fn has_shaken(&self) -> bool {
        self.shaken_bytes > 0
    }

    /// Bytes of the handshake that are done with: the library may keep all of them as long as it lasts.
    pub fn shaken_bytes(&self) -> usize {
        self.shaken_bytes
    }

    /// What both have agreed on so far.
    pub fn agreed(&self) -> &CommonState {
        &self.session
    }

    /// Opens all records that are whole. What has to be answered is appended to `wire`, also after an error. After an error the session is
    /// over: whoever asks anything of it again finds it in a state that it was not made for.
    ///
    /// Whoever is told may refuse to go on: then it ends with that error. Of a handshake that is refused when the library is content with it
    /// already, the peer hears that the session is over, and not why.
    pub fn open(
        &mut self,
        raw: &mut [u8],
        wire: &mut Vec<u8>,
        mut told: impl FnMut(Told<'_>) -> Result<(), Error>,
    ) -> Result<Opened, Error> {
        let (mut consumed, mut is_over) = (0, false);
        loop {
            let was_handshaking = self.session.is_handshaking();
            let mut early = Vec::new();
            let UnbufferedStatus { mut discard, state } = self.session.process_tls_records(&mut raw[consumed..]);
            let is_at_rest = match state {
                Ok(ConnectionState::ReadTraffic(mut traffic)) => {
                    while let Some(record) = traffic.next_record() {
                        let record = record?;
                        discard += record.discard;
                        if was_handshaking {
                            early.extend_from_slice(record.payload); // of the flight that has ended the handshake
                        } else {
                            told(Told::Clear(record.payload))?;
                        }
                    }
                    false
                }
                Ok(ConnectionState::EncodeTlsData(mut data)) => {
                    append(wire, 0, |room| data.encode(room).map_err(Needs::from))?;
                    false
                }
                Ok(ConnectionState::TransmitTlsData(data)) => {
                    data.done(); // the shard sends what is in `wire`
                    false
                }
                Ok(ConnectionState::PeerClosed) => {
                    is_over = true;
                    false
                }
                Ok(ConnectionState::ReadEarlyData(_)) => {
                    return Err(Error::General("early data is not on offer".into()));
                }
                // Nothing more can be done with what has come.
                Ok(_) => true,
                Err(error) => {
                    self.append_alerts(&mut raw[consumed + discard..], wire);
                    return Err(error);
                }
            };
            consumed += discard;
            self.shaken_bytes += if was_handshaking { discard } else { 0 };
            if was_handshaking
                && !self.session.is_handshaking()
                && let Err(error) = told(Told::Established(&self.session))
            {
                // No other alert can be asked of the library; one that cannot say this either says nothing.
                let _ = self.say_goodbye(&mut raw[consumed..], wire);
                return Err(error);
            }
            if !early.is_empty() {
                told(Told::Clear(&early))?; // who has said it is known now
            }
            if is_at_rest {
                return Ok(Opened { consumed, is_over });
            }
        }
    }

    /// A session that has failed still has an alert for its peer. Nothing else is asked of it: what came is not looked at again.
    fn append_alerts(&mut self, rest: &mut [u8], wire: &mut Vec<u8>) {
        while self.session.wants_write() {
            match self.session.process_tls_records(rest).state {
                Ok(ConnectionState::EncodeTlsData(mut data)) => {
                    if append(wire, 0, |room| data.encode(room).map_err(Needs::from)).is_err() {
                        return;
                    }
                }
                Ok(ConnectionState::ReadTraffic(mut traffic)) => while traffic.next_record().is_some() {},
                Ok(_) | Err(_) => return,
            }
        }
    }

    /// Seals these bytes and appends them to `wire`. `pending` is the beginning of a record that came and is not whole.
    pub fn seal(&mut self, pending: &mut [u8], clear: &[u8], wire: &mut Vec<u8>) -> Result<(), Error> {
        let bound = clear.len() + (clear.len() / RECORD_BYTES_MAX + 1) * RECORD_OVERHEAD_BYTES + SLACK_BYTES;
        self.when_writable(pending, wire, |traffic, wire| {
            append(wire, bound, |room| traffic.encrypt(clear, room).map_err(Needs::from))
        })
    }

    /// Says that nothing more follows.
    pub fn say_goodbye(&mut self, pending: &mut [u8], wire: &mut Vec<u8>) -> Result<(), Error> {
        self.when_writable(pending, wire, |traffic, wire| {
            append(wire, SLACK_BYTES, |room| traffic.queue_close_notify(room).map_err(Needs::from))
        })
    }

    #[expect(
        clippy::wildcard_enum_match_arm,
        reason = "the library may add states, and none of them can be written in"
    )]
    fn when_writable(
        &mut self,
        pending: &mut [u8],
        wire: &mut Vec<u8>,
        write: impl FnOnce(&mut WriteTraffic<'_, ServerConnectionData>, &mut Vec<u8>) -> Result<(), Error>,
    ) -> Result<(), Error> {
        loop {
            // The library knows where it is within a record that has begun: it wants to see the same bytes again.
            match self.session.process_tls_records(pending).state? {
                ConnectionState::WriteTraffic(mut traffic) => return write(&mut traffic, wire),
                ConnectionState::EncodeTlsData(mut data) => {
                    append(wire, 0, |room| data.encode(room).map_err(Needs::from))?;
                }
                ConnectionState::TransmitTlsData(data) => data.done(),
                _ => return Err(Error::HandshakeNotComplete),
            }
        }
    }
}

/// Why something could not be written.
enum Needs {
    /// So much room.
    Room(usize),
    /// Nothing helps.
    Nothing,
}

impl From<EncodeError> for Needs {
    fn from(error: EncodeError) -> Self {
        match error {
            EncodeError::InsufficientSize(InsufficientSizeError { required_size }) => Self::Room(required_size),
            EncodeError::AlreadyEncoded => Self::Nothing,
        }
    }
}

impl From<EncryptError> for Needs {
    fn from(error: EncryptError) -> Self {
        match error {
            EncryptError::InsufficientSize(InsufficientSizeError { required_size }) => Self::Room(required_size),
            EncryptError::EncryptExhausted => Self::Nothing,
        }
    }
}

/// Has something written behind what is there: with so much room at first, then with as much as is asked for.
fn append(
    wire: &mut Vec<u8>,
    room: usize,
    mut write: impl FnMut(&mut [u8]) -> Result<usize, Needs>,
) -> Result<(), Error> {
    let start = wire.len();
    wire.resize(start + room, 0);
    let mut written = write(&mut wire[start..]);
    if let Err(Needs::Room(required)) = written {
        wire.resize(start + required, 0);
        written = write(&mut wire[start..]);
    }
    wire.truncate(start + written.as_ref().map_or(0, |count| *count));
    written.map(drop).map_err(|_needs| Error::EncryptError)
}
