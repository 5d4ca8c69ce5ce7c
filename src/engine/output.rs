//! What a shard wants done: reused batches that the shell performs at the end of a turn.

use std::ops::Range;
use std::sync::Arc;

use bytes::BytesMut;

use crate::base::payload::Payload;
use crate::base::time::Time;
use crate::engine::accounts::seat::Seat;
use crate::engine::auth::certificate::Certificate;
use crate::engine::auth::exchange::Dialogue;
use crate::engine::auth::identity::Identity;
use crate::engine::auth::policy;
use crate::engine::auth::{Action, Credentials, Helper};
use crate::engine::change::{Change, Serial};
use crate::engine::connection::{ConnectionKey, Peer};
use crate::engine::event::{Denied, Event};
use crate::engine::homes::ShardId;
use crate::engine::limits::{DENIALS_TOLD_MAX, EVENTS_TOLD_MAX, WISHES_KEPT_BYTES};
use crate::engine::mesh::Mesh;
use crate::engine::session::SessionKey;
use crate::engine::stowage::{Spot, StowKey};
use crate::mqtt::fitting::{ReceiverLimits, encode_fitting};
use crate::mqtt::outgoing::Head;
use crate::mqtt::packet::Packet;
use crate::mqtt::version::{PacketId, QoS, Version};

/// One receiver of a piece.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Recipient {
    /// Whose bytes these are.
    pub connection: ConnectionKey,
    /// What goes where the piece has room for a packet identifier.
    pub packet_id: Option<PacketId>,
}

/// A piece of bytes for one receiver or for thousands: head, then body.
#[derive(Clone, Debug)]
pub struct Write {
    head: Range<usize>,
    body: Option<usize>,
    packet_id_at: Option<u32>,
    packets: u32,
    recipients: Range<usize>,
    promises: Serial,
    is_wide: bool,
}

/// A piece as the shell sees it.
#[derive(Clone, Copy, Debug)]
pub struct Piece<'a> {
    /// The first bytes, valid until the outputs are cleared.
    pub head: &'a [u8],
    /// The rest, shared by reference count.
    pub body: Option<&'a Payload>,
    /// Where in the head each receiver's packet identifier goes.
    pub packet_id_at: Option<u32>,
    /// How many packets it holds, all of one type: more than one in a run.
    pub packets: u32,
    /// Who gets it.
    pub recipients: &'a [Recipient],
    /// It may leave once this change is safe; [`Serial::NONE`] where it promises nothing.
    pub promises: Serial,
    /// It belongs to a message for many, who can wait longer than others.
    pub is_wide: bool,
}

/// A connection that must be served by another shard from now on.
#[derive(Debug)]
pub struct HandOver {
    /// The connection; its key here finds nothing any more.
    pub connection: ConnectionKey,
    /// The home of its client id.
    pub to: ShardId,
    /// What the home needs to go on, for [`crate::engine::shard::Shard::adopt`].
    pub arrival: Box<Arrival>,
}

/// An authenticated connection on its way to its home.
#[derive(Debug)]
pub struct Arrival {
    /// Where it comes from.
    pub peer: Peer,
    /// What it holds of the broker's accounts.
    pub seat: Option<Seat>,
    /// The certificate that it has shown.
    pub certificate: Option<Arc<Certificate>>,
    /// The body of its CONNECT packet.
    pub connect: Box<[u8]>,
    /// The first byte of that packet.
    pub first: u8,
    /// The client identifier, assigned if it had none.
    pub client_id: Box<str>,
    /// Whether we assigned it.
    pub is_assigned: bool,
    /// Who it is.
    pub identity: Arc<Identity>,
    /// The number of the policy that has said so.
    pub policy: u64,
    /// The last word of an enhanced authentication, for CONNACK.
    pub auth_data: Option<Vec<u8>>,
    /// What was read behind CONNECT.
    pub unread: BytesMut,
}

/// A question that the policy could not answer at once.
#[derive(Debug)]
pub struct Question {
    /// Who waits for the answer, and no other packet of it is handled before; none where it is about a will, whose client is gone.
    pub connection: Option<ConnectionKey>,
    /// Which of its questions this is; the answer repeats it.
    pub number: u32,
    /// What is asked.
    pub about: About,
}

/// What a question is about, in memory of its own.
#[derive(Debug)]
pub enum About {
    /// Whether these credentials hold.
    Credentials {
        /// Which authenticator has to say something.
        link: policy::Link,
        /// The client identifier.
        client_id: Box<str>,
        /// The user name, if one was sent.
        user_name: Option<Box<str>>,
        /// The password, if one was sent.
        password: Option<Box<[u8]>>,
        /// Where the client comes from.
        peer: Peer,
        /// The certificate that it has shown.
        certificate: Option<Arc<Certificate>>,
        /// The protocol it speaks.
        version: Version,
        /// What the clock on the wall showed.
        now_unix_s: u64,
    },
    /// What the next step of an enhanced authentication is; the exchange itself comes back with the answer.
    Exchange {
        /// The mechanism and where it stands.
        exchange: Box<Dialogue>,
    },
    /// Whether this may be done.
    Action {
        /// Who wants it.
        identity: Arc<Identity>,
        /// The client identifier.
        client_id: Box<str>,
        /// What is wanted.
        action: OwnedAction,
    },
}

impl About {
    /// The credentials that it is about.
    pub fn credentials(&self) -> Option<Credentials<'_>> {
        let Self::Credentials { link: _, client_id, user_name, password, peer, certificate, version, now_unix_s } =
            self
        else {
            return None;
        };
        Some(Credentials {
            client_id,
            user_name: user_name.as_deref(),
            password: password.as_deref(),
            peer: peer.address,
            listener: peer.listener,
            version: *version,
            now_unix_s: *now_unix_s,
            certificate: certificate.as_deref(),
        })
    }

    /// Who finds the answer.
    pub fn helper(&self) -> Helper {
        match self {
            Self::Credentials { link, .. } => link.helper(),
            Self::Exchange { .. } => Helper::Clerk,
            // Only a web server takes its time to decide about actions.
            Self::Action { .. } => Helper::Courier,
        }
    }
}

/// An [`Action`] in memory of its own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum OwnedAction {
    /// To connect.
    Connect,
    /// To publish.
    Publish {
        /// The topic's name.
        topic: Box<str>,
        /// At which quality of service.
        qos: QoS,
        /// Whether it is retained.
        retain: bool,
    },
    /// To subscribe.
    Subscribe {
        /// The filter.
        filter: Box<str>,
        /// At which quality of service.
        qos: QoS,
        /// Whether the subscription is shared.
        is_shared: bool,
    },
    /// To get messages of a topic.
    Receive {
        /// The topic's name.
        topic: Box<str>,
    },
    /// To leave a will.
    Will {
        /// The topic's name.
        topic: Box<str>,
        /// At which quality of service.
        qos: QoS,
        /// Whether it is retained.
        retain: bool,
    },
}

impl OwnedAction {
    /// A copy of an action.
    pub fn of(action: Action<'_>) -> Self {
        match action {
            Action::Connect => Self::Connect,
            Action::Publish { topic, qos, retain } => Self::Publish { topic: topic.into(), qos, retain },
            Action::Subscribe { filter, qos, is_shared } => Self::Subscribe { filter: filter.into(), qos, is_shared },
            Action::Receive { topic } => Self::Receive { topic: topic.into() },
            Action::Will { topic, qos, retain } => Self::Will { topic: topic.into(), qos, retain },
        }
    }

    /// The action, borrowed.
    pub fn as_action(&self) -> Action<'_> {
        match *self {
            Self::Connect => Action::Connect,
            Self::Publish { ref topic, qos, retain } => Action::Publish { topic, qos, retain },
            Self::Subscribe { ref filter, qos, is_shared } => Action::Subscribe { filter, qos, is_shared },
            Self::Receive { ref topic } => Action::Receive { topic },
            Self::Will { ref topic, qos, retain } => Action::Will { topic, qos, retain },
        }
    }
}

/// Who reads messages that are stowed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reader {
    /// A session whose client is there.
    Session(SessionKey),
    /// The sweep.
    Sweep,
}

/// A message that is stowed, and where.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Wanted {
    /// Its number.
    pub body: Serial,
    /// Where the journal has it.
    pub spot: Spot,
}

/// Messages that the journal is to read; [`Fetched`](crate::engine::input::Fetched) brings them.
#[derive(Debug)]
pub struct Fetch {
    /// For whom.
    pub reader: Reader,
    /// Which ones.
    pub wanted: Vec<Wanted>,
}

/// The wishes of one or more calls of `handle`. One per shard, cleared and reused each turn.
#[derive(Debug, Default)]
pub struct Outputs {
    bytes: Vec<u8>,
    bodies: Vec<Payload>,
    recipients: Vec<Recipient>,
    writes: Vec<Write>,
    /// What all pieces come to, counted for each of their recipients.
    written_bytes: usize,
    /// Connections to close once what was written to them is sent.
    pub closes: Vec<ConnectionKey>,
    /// Connections to read no more (`false`) or again (`true`), in order.
    pub reads: Vec<(ConnectionKey, bool)>,
    /// What has to be remembered beyond the process, in order. Those of one turn are kept together or not at all.
    pub changes: Vec<(Serial, Change)>,
    /// Of these changes, those of which the shard has to hear where they lie, each with the message that it tells; in order.
    pub stowed: Vec<(Serial, StowKey)>,
    /// Messages to be read.
    pub fetches: Vec<Fetch>,
    /// A sweep is over: once the changes of this turn are safe, nothing is needed any more of what was noted up to this one.
    pub swept: Option<Serial>,
    /// What is written from now on waits for this change.
    promises: Serial,
    /// What is written now belongs to a message for many.
    is_wide: bool,
    /// Some piece waits for a change.
    has_promises: bool,
    /// What goes to other shards, one batch for each, in order.
    pub mesh: Vec<Vec<Mesh>>,
    /// Connections that move to their home.
    pub hand_overs: Vec<HandOver>,
    /// Questions to somebody slow.
    pub questions: Vec<Question>,
    /// What happened, for logs and traces.
    pub events: Vec<Event>,
    /// Set when put-off work wants a tick in the next turn.
    pub wake_at: Option<Time>,
    /// Denials, and how many of them were told by name.
    denials: u64,
    denials_told: u32,
    /// Events that were told of what clients can cause as often as they like.
    told: u32,
}

impl Outputs {
    /// Outputs of a shard of a broker with so many shards.
    pub fn new(shards: usize) -> Self {
        Self { mesh: (0..shards).map(|_| Vec::new()).collect(), ..Self::default() }
    }

    /// Forgets everything and keeps the memory, but for that of a turn that needed much more than this one.
    pub fn clear(&mut self) {
        empty(&mut self.bytes);
        empty(&mut self.bodies);
        empty(&mut self.recipients);
        empty(&mut self.writes);
        self.written_bytes = 0;
        empty(&mut self.closes);
        empty(&mut self.reads);
        empty(&mut self.changes);
        empty(&mut self.stowed);
        empty(&mut self.fetches);
        self.swept = None;
        self.has_promises = false;
        self.mesh.iter_mut().for_each(empty);
        empty(&mut self.hand_overs);
        empty(&mut self.questions);
        empty(&mut self.events);
        (self.denials, self.denials_told, self.told) = (0, 0, 0);
        self.wake_at = None;
    }

    /// Tells of something that clients can cause as often as they like, if one more such thing is told: counters know of all.
    pub fn tell(&mut self, event: Event) {
        if self.told < EVENTS_TOLD_MAX {
            self.told += 1;
            self.events.push(event);
        }
    }

    /// Whether somebody who is denied something is told of by name: that costs copies of what he has said, so it has a bound.
    pub fn tells_denials(&self) -> bool {
        self.denials_told < DENIALS_TOLD_MAX
    }

    /// How many denials there were, whether they were told by name or not.
    pub fn denials_count(&self) -> u64 {
        self.denials
    }

    /// Counts a denial that nobody tells of.
    pub fn count_denied(&mut self) {
        self.denials += 1;
    }

    /// Counts a denial, and tells of it by name if one more is told.
    pub fn tell_denied(&mut self, who: &Arc<Identity>, client_id: &str, action: Action<'_>) {
        self.count_denied();
        if self.tells_denials() {
            self.denials_told += 1;
            let denied = Denied { who: Arc::clone(who), client_id: client_id.into(), action: OwnedAction::of(action) };
            self.events.push(Event::Denied(Box::new(denied)));
        }
    }

    /// Whether there is nothing to do.
    pub fn is_empty(&self) -> bool {
        self.writes.is_empty()
            && self.closes.is_empty()
            && self.reads.is_empty()
            && self.changes.is_empty()
            && self.fetches.is_empty()
            && self.mesh.iter().all(Vec::is_empty)
            && self.hand_overs.is_empty()
            && self.questions.is_empty()
            && self.events.is_empty()
    }

    /// The pieces in the order in which they leave.
    pub fn pieces(&self) -> impl Iterator<Item = Piece<'_>> {
        self.writes.iter().map(|write| self.view(write))
    }

    /// Whether a change was noted that nobody has taken yet.
    pub fn has_noted(&self, serial: Serial) -> bool {
        self.changes.first().is_some_and(|(first, _)| *first <= serial)
    }

    /// Whether some piece waits for a change to be safe.
    pub fn has_promises(&self) -> bool {
        self.has_promises
    }

    /// How many bytes the pieces are, counted for each of their recipients: what it costs to send them.
    pub fn written_bytes(&self) -> usize {
        self.written_bytes
    }

    /// How many pieces there are.
    pub fn piece_count(&self) -> usize {
        self.writes.len()
    }

    /// The piece with this number in the order of [`Self::pieces`].
    ///
    /// # Panics
    /// When there is none.
    pub fn piece(&self, number: usize) -> Piece<'_> {
        self.view(&self.writes[number])
    }

    fn view(&self, write: &Write) -> Piece<'_> {
        Piece {
            head: &self.bytes[write.head.clone()],
            body: write.body.map(|body| &self.bodies[body]),
            packet_id_at: write.packet_id_at,
            packets: write.packets,
            recipients: &self.recipients[write.recipients.clone()],
            promises: write.promises,
            is_wide: write.is_wide,
        }
    }

    /// Writes one packet to one connection.
    pub fn packet(&mut self, connection: ConnectionKey, encode: impl FnOnce(&mut Vec<u8>)) {
        self.packets(connection, 1, encode);
    }

    /// Writes so many packets of one type to one connection.
    pub fn packets(&mut self, connection: ConnectionKey, packets: u32, encode: impl FnOnce(&mut Vec<u8>)) {
        let start = self.bytes.len();
        encode(&mut self.bytes);
        debug_assert!(self.bytes.len() > start, "a packet has at least two bytes");
        let head = start..self.bytes.len();
        self.push(Write { packets, ..Write::of(head) }, &[Recipient { connection, packet_id: None }]);
    }

    /// Writes one packet with as much explanation as its receiver wants and takes, or not at all if it cannot fit.
    pub fn answer(&mut self, connection: ConnectionKey, version: Version, limits: ReceiverLimits, packet: &Packet<'_>) {
        let start = self.bytes.len();
        if encode_fitting(packet, version, limits, &mut self.bytes) && self.bytes.len() > start {
            let head = start..self.bytes.len();
            self.push(Write::of(head), &[Recipient { connection, packet_id: None }]);
        }
    }

    /// Starts a piece for many: the head is encoded once, recipients follow with [`Self::send`].
    pub fn draft(&mut self, body: Option<Payload>, encode: impl FnOnce(&mut Vec<u8>) -> Option<Head>) -> Write {
        let start = self.bytes.len();
        let packet_id_at = encode(&mut self.bytes).and_then(|head| head.packet_id_at);
        let body = body.map(|body| {
            self.bodies.push(body);
            self.bodies.len() - 1
        });
        let head = start..self.bytes.len();
        Write { body, packet_id_at, ..Write::of(head) }
    }

    /// Sends a drafted piece to all of `recipients`.
    pub fn send(&mut self, draft: Write, recipients: &[Recipient]) {
        debug_assert!(
            draft.packet_id_at.is_none() || recipients.iter().all(|r| r.packet_id.is_some()),
            "a piece with room for an identifier needs one for each recipient"
        );
        self.push(draft, recipients);
    }

    /// Writes pieces that promise something: they may leave once this change is safe.
    pub fn promising<T>(&mut self, change: Serial, write: impl FnOnce(&mut Self) -> T) -> T {
        let before = std::mem::replace(&mut self.promises, change);
        let result = write(self);
        self.promises = before;
        result
    }

    /// Writes pieces that belong to a message for many, if it is one.
    pub fn widely<T>(&mut self, is_wide: bool, write: impl FnOnce(&mut Self) -> T) -> T {
        let before = std::mem::replace(&mut self.is_wide, is_wide);
        let result = write(self);
        self.is_wide = before;
        result
    }

    fn push(&mut self, mut write: Write, recipients: &[Recipient]) {
        let start = self.recipients.len();
        self.recipients.extend_from_slice(recipients);
        write.recipients = start..self.recipients.len();
        (write.promises, write.is_wide) = (self.promises, self.is_wide);
        let bytes = write.head.len() + write.body.map_or(0, |body| self.bodies[body].len());
        self.written_bytes += bytes * recipients.len();
        self.has_promises |= self.promises > Serial::NONE;
        self.writes.push(write);
    }
}

/// Empties a list. Its memory is kept for the next turn, unless it is much and most of it was of no use in this one.
fn empty<T>(list: &mut Vec<T>) {
    let used = list.len();
    list.clear();
    if list.capacity() * size_of::<T>() > WISHES_KEPT_BYTES && used < list.capacity() / 4 {
        list.shrink_to((2 * used).max(WISHES_KEPT_BYTES / size_of::<T>()));
    }
}

impl Write {
    /// One packet that is nothing but a head.
    fn of(head: Range<usize>) -> Self {
        let promises = Serial::NONE;
        Self { head, body: None, packet_id_at: None, packets: 1, recipients: 0..0, promises, is_wide: false }
    }

    /// The piece holds so many packets instead of one.
    #[must_use]
    pub fn of_packets(self, packets: u32) -> Self {
        Self { packets, ..self }
    }
}

impl Piece<'_> {
    /// The first byte of its packets, whose upper half is their type.
    pub fn first_byte(&self) -> Option<u8> {
        let body = || self.body.and_then(|body| body.first());
        self.head.first().or_else(body).copied()
    }

    /// How many bytes each recipient gets.
    pub fn len_for_one(&self) -> usize {
        self.head.len() + self.body.map_or(0, |body| body.len())
    }

    /// Appends the head as one recipient gets it.
    pub fn write_head_for(&self, recipient: Recipient, out: &mut Vec<u8>) {
        let start = out.len();
        out.extend_from_slice(self.head);
        if let (Some(at), Some(id)) = (self.packet_id_at, recipient.packet_id) {
            out[start + at as usize..][..2].copy_from_slice(&id.get().to_be_bytes());
        }
    }

    /// Appends the bytes as one recipient gets them.
    pub fn write_for(&self, recipient: Recipient, out: &mut Vec<u8>) {
        self.write_head_for(recipient, out);
        if let Some(body) = self.body {
            out.extend_from_slice(body);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::slab::Slab;
    use crate::engine::message::SessionId;
    use crate::engine::stats::DropReason;

    fn large_turn(out: &mut Outputs, connection: ConnectionKey) {
        let letter = || Mesh::Pressure { publisher: connection };
        for _ in 0..400_000 {
            out.packet(connection, |bytes| bytes.extend_from_slice(&[0; 64]));
            out.closes.push(connection);
            out.mesh[1].push(letter());
        }
    }

    fn memory(out: &Outputs) -> usize {
        out.bytes.capacity()
            + out.recipients.capacity() * size_of::<Recipient>()
            + out.writes.capacity() * size_of::<Write>()
            + out.closes.capacity() * size_of::<ConnectionKey>()
            + out.mesh.iter().map(|letters| letters.capacity() * size_of::<Mesh>()).sum::<usize>()
    }

    #[test]
    fn threat_1_the_memory_of_an_extraordinary_turn_goes_with_the_next_ordinary_one() {
        let connection = Slab::<crate::engine::connection::Connection>::new().next_key();
        let mut out = Outputs::new(2);
        large_turn(&mut out, connection);
        out.clear();
        let large = memory(&out);
        assert!(large > 10 * WISHES_KEPT_BYTES, "{large}: what many turns need they keep");
        out.packet(connection, |bytes| bytes.push(0));
        out.clear();
        let small = memory(&out);
        assert!(small <= 5 * WISHES_KEPT_BYTES, "{small} of {large} bytes are kept");
        out.packet(connection, |bytes| bytes.push(0));
        out.clear();
        assert_eq!(memory(&out), small, "what is kept serves ordinary turns");
    }

    #[test]
    fn threat_1_what_is_told_of_one_turn_is_bounded() {
        let mut out = Outputs::new(1);
        for turn in 0..2 {
            for _ in 0..EVENTS_TOLD_MAX + 10 {
                out.tell(Event::Dropped { session: SessionId::BROKER, why: DropReason::Slow });
            }
            assert_eq!(out.events.len(), EVENTS_TOLD_MAX as usize, "turn {turn}");
            out.clear();
        }
    }
}
