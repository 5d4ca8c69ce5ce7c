//! A small MQTT client over one TCP connection: what `pub` and `sub` stand on.
//!
//! | file | what lives there |
//! |---|---|
//! | here | the client: it waits, hears, answers and leaves |
//! | [`greeting`] | who the client is: all that CONNECT says |
//! | [`conversation`] | which messages are under way in both directions; pure |
//! | [`keepalive`] | when silence must end; pure |
//! | [`link`] | the socket, read by a thread of its own |
//! | [`error`] | how a connection fails |
//! | [`trace`] | each packet as a line, for `-d` |
//! | [`clock`] | the time |
//!
//! # Invariants
//! - A message is handed to the caller once, and acknowledged after the caller has taken it.
//! - At most the window of messages is under way: the smaller one of ours and the broker's Receive Maximum.
//! - What was written before [`Client::leave`] has been read by the broker when it returns, or a second has passed.
//!
//! # What is not here
//! Reconnecting: these are tools for a shell, and the exit code tells. TLS: it comes with the broker's own.

pub mod clock;
pub mod conversation;
pub mod error;
pub mod greeting;
pub mod keepalive;
pub mod link;
pub mod trace;

use std::ops::ControlFlow;
use std::time::Duration;

use crossbeam_channel::{Receiver, never, select};

use self::conversation::{Conversation, Heard};
use self::error::ClientError;
use self::greeting::Greeting;
use self::keepalive::{KeepAlive, Urge};
use self::link::Link;
use crate::base::time::Time;
use crate::mqtt::PacketId;
use crate::mqtt::frame::{Assembler, Frame, PACKET_BYTES_MAX};
use crate::mqtt::packet::{Packet, Sender};

/// How long a broker has to answer CONNECT.
const CONNACK_PATIENCE_MS: u64 = 30_000;

/// How long the broker has to close after our farewell.
const CLOSE_PATIENCE_MS: u64 = 1_000;

/// No wait is longer; nothing but a look at the clock happens then.
const WAIT_MS_MAX: u64 = 60_000;

/// One connection to a broker. Owned by the thread that calls it.
#[derive(Debug)]
pub struct Client {
    link: Link,
    assembler: Assembler,
    conversation: Conversation,
    keep_alive: KeepAlive,
    is_traced: bool,
}

/// Why a wait is over.
#[derive(Debug)]
pub enum Woken<T> {
    /// The broker said something; it has been heard.
    Broker,
    /// Something else did; none when it never will again.
    Other(Option<T>),
    /// It is time to look at the clock.
    Time,
}

/// Takes what the broker says, and may answer.
pub type Hear<'a> = dyn FnMut(Heard<'_>, &mut Conversation) -> Result<(), ClientError> + 'a;

impl Client {
    /// Connects and introduces itself; the broker has accepted when this returns. The messages of a resumed session may
    /// come right behind its answer: `hear` takes them.
    pub fn connect(
        host: &str,
        port: u16,
        greeting: &Greeting,
        is_traced: bool,
        hear: &mut Hear<'_>,
    ) -> Result<Self, ClientError> {
        let link = Link::open(host, port)?;
        let conversation = Conversation::new(greeting.version, own_id());
        let keep_alive = KeepAlive::new(greeting.keep_alive, clock::now());
        let mut client = Self { link, assembler: Assembler::new(), conversation, keep_alive, is_traced };
        client.conversation.send(&Packet::Connect(greeting.as_connect()));
        let until = clock::now().after_ms(CONNACK_PATIENCE_MS);
        let mut accepted = None;
        while accepted.is_none() {
            if clock::now().has_passed(until) {
                return Err(ClientError::Silent { seconds: CONNACK_PATIENCE_MS / 1_000 });
            }
            let woken = client.wait(&never::<()>(), until, &mut |heard, conversation| {
                if let Heard::Accepted { keep_alive } = heard {
                    accepted = Some(keep_alive);
                }
                hear(heard, conversation)
            });
            woken.map_err(|error| if let ClientError::Closed = error { ClientError::Unanswered } else { error })?;
        }
        if let Some(Some(seconds)) = accepted {
            client.keep_alive = KeepAlive::new(seconds, clock::now()); // [MQTT-3.1.2-21]
        }
        Ok(client)
    }

    /// What is under way.
    pub fn conversation(&mut self) -> &mut Conversation {
        &mut self.conversation
    }

    /// Sends what was said, then waits until the broker speaks, something comes from `other`, or it is `until`.
    pub fn wait<T>(&mut self, other: &Receiver<T>, until: Time, hear: &mut Hear<'_>) -> Result<Woken<T>, ClientError> {
        self.flush()?;
        let now = clock::now();
        let patience_ms = now.until_ms(until.min(self.keep_alive.deadline())).min(WAIT_MS_MAX);
        let woken = select! {
            recv(self.link.incoming()) -> bytes => {
                let bytes = bytes.map_err(|_closed| ClientError::Closed)?.map_err(ClientError::Lost)?;
                self.keep_alive.note_heard(clock::now());
                self.take(&bytes, hear)?;
                Woken::Broker
            },
            recv(other) -> it => Woken::Other(it.ok()),
            default(Duration::from_millis(patience_ms)) => Woken::Time,
        };
        match self.keep_alive.urge(clock::now()) {
            Urge::Nothing => {}
            Urge::Ping => self.conversation.send(&Packet::PingReq),
            Urge::GiveUp => return Err(ClientError::KeepAlive),
        }
        Ok(woken)
    }

    /// Says farewell and waits a moment for the broker to close: closing first could take back what it has not read.
    pub fn leave(mut self) -> Result<(), ClientError> {
        self.conversation.say_farewell();
        self.flush()?;
        self.link.end_sending();
        let until = clock::now().after_ms(CLOSE_PATIENCE_MS);
        let left = || Duration::from_millis(clock::now().until_ms(until));
        while let Ok(Ok(_unheard)) = self.link.incoming().recv_timeout(left()) {}
        Ok(())
    }

    /// Hears all whole packets in `bytes`.
    fn take(&mut self, bytes: &[u8], hear: &mut Hear<'_>) -> Result<(), ClientError> {
        let Self { assembler, conversation, is_traced, .. } = self;
        let mut outcome = Ok(());
        assembler.feed(bytes, PACKET_BYTES_MAX, |frame| {
            outcome = listen(conversation, &frame, *is_traced, hear);
            if outcome.is_ok() { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
        })?;
        outcome
    }

    fn flush(&mut self) -> Result<(), ClientError> {
        let version = self.conversation.version();
        let bytes = self.conversation.unsent();
        if bytes.is_empty() {
            return Ok(());
        }
        if self.is_traced {
            trace::sent(version, bytes);
        }
        let sent = self.link.send(bytes);
        bytes.clear();
        self.keep_alive.note_sent(clock::now());
        sent.map_err(|error| self.last_words().unwrap_or(ClientError::Lost(error)))
    }

    /// Why the broker closed, where it said so: it may well have spoken before our bytes found its door shut.
    fn last_words(&mut self) -> Option<ClientError> {
        let patience = Duration::from_millis(CLOSE_PATIENCE_MS);
        while let Ok(Ok(bytes)) = self.link.incoming().recv_timeout(patience) {
            if let Err(error @ ClientError::Farewell { .. }) = self.take(&bytes, &mut |_, _| Ok(())) {
                return Some(error);
            }
        }
        None
    }
}

/// Where the packet identifiers of this process begin: nearly always elsewhere than those of the one before.
fn own_id() -> PacketId {
    let number = std::process::id() % u32::from(u16::MAX) + 1;
    u16::try_from(number).ok().and_then(PacketId::new).expect("it lies between 1 and 65,535")
}

/// One packet of the broker.
fn listen(
    conversation: &mut Conversation,
    frame: &Frame<'_>,
    is_traced: bool,
    hear: &mut Hear<'_>,
) -> Result<(), ClientError> {
    let packet = Packet::decode(conversation.version(), Sender::Server, frame.first, frame.body)?;
    if is_traced {
        trace::received(&packet, frame.len);
    }
    let heard = conversation.hear(packet)?;
    hear(heard, conversation)
}
