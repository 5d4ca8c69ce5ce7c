//! A connection as the engine sees it: no buffer while idle.

use core::mem;
use core::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::sync::Arc;

use bytes::BytesMut;

use crate::base::bitset::Bits64;
use crate::base::rare::Rare;
use crate::base::slab::Key;
use crate::base::time::{Tick, Time};
use crate::base::wall::Wall;
use crate::engine::accounts::seat::Seat;
use crate::engine::aliases::{ClientAliases, OurAliases};
use crate::engine::auth::Decision;
use crate::engine::auth::certificate::Certificate;
use crate::engine::auth::exchange::Dialogue;
use crate::engine::auth::identity::Identity;
use crate::engine::auth::policy;
use crate::engine::limits::{READ_PROGRESS_BYTES_MIN, READ_PROGRESS_PART};
use crate::engine::output::OwnedAction;
use crate::engine::quota::Meter;
use crate::engine::session::SessionKey;
use crate::engine::session::pipeline::Pipeline;
use crate::mqtt::connect::Connect;
use crate::mqtt::fitting::ReceiverLimits;
use crate::mqtt::{Reason, Version};

/// Leads to a connection on its shard; the shell uses it for its own tables too.
pub type ConnectionKey = Key<Connection>;

/// Where a connection comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Peer {
    /// The address of the other side, as a proxy says it where one is believed; [`Peer::LOCAL`] where it has none.
    pub address: SocketAddr,
    /// Which listener it came in by.
    pub listener: u16,
}

impl Peer {
    /// The address of a process of this machine that has come by a socket in the file system.
    pub const LOCAL: SocketAddr = SocketAddr::new(IpAddr::V6(Ipv6Addr::UNSPECIFIED), 0);
}

/// How far a connection has come.
#[derive(Debug)]
pub enum Phase {
    /// Nothing but CONNECT is welcome.
    AwaitConnect {
        /// When the handshake must be over.
        by: Time,
    },
    /// Credentials are being looked at, perhaps in several steps.
    Authenticating(Box<Handshake>),
    /// CONNACK with success has been written.
    Connected,
}

impl Phase {
    /// Takes the body of the CONNECT that waits, if one does.
    pub fn take_connect(&mut self) -> Box<[u8]> {
        match self {
            Self::Authenticating(handshake) => mem::take(&mut handshake.connect),
            Self::AwaitConnect { .. } | Self::Connected => Box::default(),
        }
    }

    /// When the handshake must be over; nothing where it is.
    pub fn handshake_by(&self) -> Option<Time> {
        match self {
            Self::AwaitConnect { by } => Some(*by),
            Self::Authenticating(handshake) => Some(handshake.by),
            Self::Connected => None,
        }
    }
}

/// What is kept between CONNECT and the end of the authentication.
#[derive(Debug)]
pub struct Handshake {
    /// When it must be over.
    pub by: Time,
    /// The first byte of CONNECT.
    pub first: u8,
    /// The body of CONNECT, to be decoded again when the way is free.
    pub connect: Box<[u8]>,
    /// The client identifier, assigned if it had none.
    pub client_id: Box<str>,
    /// Whether we assigned it.
    pub is_assigned: bool,
    /// The exchange of an enhanced authentication; away while a question is open.
    pub exchange: Option<Box<Dialogue>>,
    /// Whose answer about the credentials is awaited.
    pub link: Option<policy::Link>,
    /// Who it turned out to be, while the question whether it may connect is open.
    pub identified: Option<(Arc<Identity>, Option<Vec<u8>>)>,
}

/// Reasons for not reading from a connection; each is set and cleared by its own room.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Hold {
    /// A question is open.
    Question = 1,
    /// Its quota is used up.
    Quota = 2,
    /// A receiver of its messages is full.
    Pressure = 4,
    /// An input has caused as much as it may: what is left of its bytes waits for a later one, and its connection stands in line.
    Turn = 8,
    /// The way to another shard is full.
    Mesh = 16,
    /// Too many answers are owed to it.
    Answers = 32,
    /// It takes none of what we send.
    Backlog = 64,
    /// Nobody has said yet whether an earlier will of its client may be published.
    Will = 128,
}

/// Bytes that cannot be handled yet: the beginning of a packet, or what came while something held its connection.
#[derive(Debug, Default)]
pub struct Begun {
    /// The bytes.
    pub bytes: BytesMut,
    /// How long their client may take.
    pub patience: Patience,
}

/// How long we wait for more of a packet that has begun.
#[derive(Clone, Copy, Debug, Default)]
pub struct Patience {
    /// By when something worth the wait has to have come.
    pub by: Time,
    /// How many bytes there were when that was said.
    bytes: usize,
}

impl Patience {
    /// From now on, with so many bytes here.
    pub fn from(now: Time, bytes: usize, read_stall_ms: u64) -> Self {
        Self { by: now.after_ms(read_stall_ms), bytes }
    }

    /// Whether so many bytes by now are worth more of it: a byte now and then would hold what is here for ever.
    pub fn is_earned(&self, bytes: usize) -> bool {
        bytes >= self.bytes + READ_PROGRESS_BYTES_MIN.max(self.bytes / READ_PROGRESS_PART)
    }
}

/// What few connections need.
#[derive(Debug, Default)]
pub struct Extras {
    /// Topic aliases that the client defined.
    pub aliases_in: ClientAliases,
    /// Topic aliases that we defined, where it accepts some and we use them.
    pub aliases_out: Option<OurAliases>,
    /// The authentication method of CONNECT.
    pub auth_method: Option<Box<str>>,
    /// A re-authentication under way; the exchange is away while a question is open.
    pub reauthentication: Option<Option<Box<Dialogue>>>,
    /// What it may publish in a second, and when the hold ends if that was too much.
    pub taken: Option<Box<Meter>>,
    /// What it may be sent in a second, and when it is sent more if that was too much.
    pub given: Option<Box<Meter>>,
    /// Answers to actions of the packet that waits.
    pub answers: Vec<(OwnedAction, Decision)>,
    /// The number of the policy under which they were asked for: those of an older one count no more.
    pub answers_policy: u64,
    /// The packet that waits for them was counted and charged when it came.
    pub is_counted: bool,
    /// What is settled of the SUBSCRIBE that waits.
    pub settled: Option<Box<Settled>>,
    /// The action whose answer is awaited.
    pub asked: Option<OwnedAction>,
    /// The number of the question that is open.
    pub question: u32,
}

/// The first filters of a SUBSCRIBE, of which it is known whether they may be subscribed to.
#[derive(Debug)]
pub struct Settled {
    /// The number of the policy that has said so.
    pub policy: u64,
    /// What it says of each.
    pub verdicts: Vec<Result<(), Reason>>,
    /// How many bytes of the packet are left from the first one on of which it is not known.
    pub bytes_left: usize,
}

/// One connection. Owned by the shard that serves it: the landing shard, then the client id's home.
#[derive(Debug)]
pub struct Connection {
    /// Where it comes from.
    pub peer: Peer,
    /// How far it has come.
    pub phase: Phase,
    /// What it speaks; meaningful once CONNECT was read.
    pub version: Version,
    /// Whether it said in CONNECT that it is a bridge of 3.x.
    pub is_bridge: bool,
    /// Its session, once connected.
    pub session: Option<SessionKey>,
    /// Who it is, once authenticated.
    pub identity: Option<Arc<Identity>>,
    /// The certificate that was shown, once it has been judged. Not among what few need: where clients have certificates all of them do, and
    /// most of these need nothing else.
    pub certificate: Option<Arc<Certificate>>,
    /// Bytes that could not be handled yet: a partial packet, or all behind a hold.
    pub held: Option<Box<Begun>>,
    /// Answers that leave in the order of the requests.
    pub pipeline: Rare<Pipeline>,
    /// When the last packet came.
    pub last_received: Time,
    /// When the timing wheel looks at it next; never without an entry.
    pub looked_at: Tick,
    /// When what its client has proven expires. By the monotonic clock: who turns the one on the wall ends nothing and prolongs nothing.
    pub proven_until: Tick,
    /// One and a half keep-alive times; 0 for none.
    pub silence_max_ms: u32,
    /// The largest packet the client accepts.
    pub maximum_packet: u32,
    /// Bytes that the shell could not send yet.
    pub backlog: u32,
    /// Shards with a receiver that this publisher waits for.
    pub pressing_shards: u16,
    /// Shards whose way is full and that this publisher has sent to.
    pub full_ways: Bits64,
    /// Why it is not read now; empty when it is.
    pub holds: u8,
    /// The peer says nothing more: the connection ends behind what is held.
    pub has_ended: bool,
    /// Whether diagnostics are welcome on every packet.
    pub wants_problem_info: bool,
    /// What it holds of the broker's accounts; away while it moves.
    pub seat: Option<Seat>,
    /// What few connections need.
    pub extras: Option<Box<Extras>>,
}

impl Connection {
    /// A connection that was just accepted or adopted.
    pub fn new(peer: Peer, now: Time, handshake_by: Time) -> Self {
        Self {
            peer,
            phase: Phase::AwaitConnect { by: handshake_by },
            version: Version::V311,
            is_bridge: false,
            session: None,
            identity: None,
            certificate: None,
            held: None,
            pipeline: Rare::new(),
            last_received: now,
            looked_at: Tick::NEVER,
            proven_until: Tick::NEVER,
            silence_max_ms: 0,
            maximum_packet: u32::MAX,
            backlog: 0,
            pressing_shards: 0,
            full_ways: Bits64::EMPTY,
            holds: 0,
            has_ended: false,
            wants_problem_info: true,
            seat: None,
            extras: None,
        }
    }

    /// When the connection must be looked at: the end of the handshake, of the silence or of what was proven.
    pub fn deadline(&self) -> Time {
        if let Some(handshake_by) = self.phase.handshake_by() {
            return handshake_by;
        }
        let proven_until = self.proven_until.time();
        let silent_until = self.last_received.after_ms(u64::from(self.silence_max_ms));
        let has_keep_alive = self.silence_max_ms > 0;
        let until = if has_keep_alive { silent_until.min(proven_until) } else { proven_until };
        self.stalls_at().map_or(until, |stalls_at| until.min(stalls_at))
    }

    /// When a packet that has begun has stayed away for too long; as long as we do not read, never.
    pub fn stalls_at(&self) -> Option<Time> {
        self.held.as_ref().filter(|_| !self.is_held()).map(|begun| begun.patience.by)
    }

    /// Takes note of who it is, and of how long that holds.
    pub fn take_identity(&mut self, identity: Arc<Identity>, wall: Wall, now: Time) {
        self.proven_until = identity.expires_at.map_or(Tick::NEVER, |unix_s| Tick::not_before(wall.time(unix_s, now)));
        self.identity = Some(identity);
    }

    /// Takes note of how the client wants to be spoken to, from the first answer on.
    pub fn take_terms(&mut self, connect: &Connect<'_>) {
        self.version = connect.version;
        self.wants_problem_info = connect.properties.request_problem_info();
        self.maximum_packet = connect.properties.maximum_packet_size().unwrap_or(u32::MAX);
    }

    /// What the client said about packets that it wants to get.
    pub fn receiver_limits(&self) -> ReceiverLimits {
        ReceiverLimits { packet_bytes_max: self.maximum_packet, problem_information: self.wants_problem_info }
    }

    /// Whether something keeps us from reading.
    pub fn is_held(&self) -> bool {
        self.holds != 0
    }

    /// Whether this does.
    pub fn is_held_for(&self, why: Hold) -> bool {
        self.holds & why as u8 != 0
    }

    /// We did not listen until now: its silence said nothing, and what it said meanwhile lies unread.
    pub fn excuse_silence(&mut self, now: Time, read_stall_ms: u64) {
        self.last_received = self.last_received.max(now);
        if let Some(begun) = &mut self.held {
            begun.patience = Patience::from(now, begun.bytes.len(), read_stall_ms);
        }
    }

    /// The address that failures are counted of; none where it is nobody's of his own.
    pub fn accountable_address(&self) -> Option<IpAddr> {
        self.seat.as_ref()?.address(self.peer)
    }

    /// What few connections need, made on demand.
    pub fn extras(&mut self) -> &mut Extras {
        self.extras.get_or_insert_default()
    }

    /// Whether CONNACK with success was written.
    pub fn is_connected(&self) -> bool {
        matches!(self.phase, Phase::Connected)
    }
}
