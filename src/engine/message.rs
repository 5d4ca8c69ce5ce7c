//! An application message as all shards share it: one run of bytes and a few facts beside it.

use std::sync::Arc;

use crate::base::payload::{Chunks, Payload};
use crate::base::time::Time;
use crate::engine::auth::identity::Identity;
use crate::engine::change::Serial;
use crate::engine::homes::ShardId;
use crate::engine::limits::CHUNK_BYTES;
use crate::mqtt::frame::SHARED_BYTES_MIN;
use crate::mqtt::{PacketId, QoS};

/// Who published: the session's number, unique over all shards and for the life of the process.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SessionId(u64);

impl SessionId {
    /// The number of no session: the broker itself.
    pub const BROKER: Self = Self(0);

    /// The session that is the `serial`-th one of its shard, counted from one.
    pub fn new(shard: ShardId, serial: u64) -> Self {
        debug_assert!(serial > 0 && serial < 1 << 56, "a serial number fits beside the shard");
        Self((serial << 8) | shard.index() as u64)
    }

    /// Its number on its shard.
    pub(super) fn serial(self) -> u64 {
        self.0 >> 8
    }

    /// The session of this number, as [`Self::get`] gave it to somebody who kept it.
    pub const fn restored(number: u64) -> Self {
        Self(number)
    }

    /// The session's number where so many others were numbered before all of its shard: on the way from one broker to another.
    pub(super) fn after(self, others: u64) -> Self {
        if self == Self::BROKER { self } else { Self(self.0 + (others << 8)) }
    }

    /// The number itself, for logs and for the journal.
    pub fn get(self) -> u64 {
        self.0
    }
}

/// What a message goes by of which each shard takes one, restarts included: a session's identifier of quality of service 2, or the number
/// of a will, which is that of no session, and the first identifier.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Passage {
    /// Whose message it is.
    pub session: SessionId,
    /// Under which identifier it came.
    pub id: PacketId,
}

impl Passage {
    /// That of the will of this number.
    pub fn of_will(number: SessionId) -> Self {
        Self { session: number, id: PacketId::MIN }
    }
}

/// How a message is taken once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Once {
    /// By what it goes.
    pub passage: Passage,
    /// Whether it may be a message of before. If not, what a shard remembers under this name is another one.
    pub may_have_come: bool,
}

/// Where behind the topic the forwarded properties lie: the length of a gap in the upper four bits, their own below.
///
/// In a packet stand its identifier and the length of the properties in the gap, six bytes at most.
#[derive(Clone, Copy, Debug)]
struct Forwarded(u32);

// What is not copied when it is to stay has not been cut from a chunk.
const _: () = assert!(CHUNK_BYTES / 4 <= SHARED_BYTES_MIN);

const FORWARDED_LEN_BITS: u32 = 28;
const GAP_BYTES_MAX: usize = 15;

impl Forwarded {
    fn new(gap: usize, len: usize) -> Self {
        assert!(gap <= GAP_BYTES_MAX, "an identifier and a length of properties have at most six bytes");
        let (gap, len) = (u32::try_from(gap).expect("it was checked above"), u32::try_from(len).unwrap_or(u32::MAX));
        assert!(len < 1 << FORWARDED_LEN_BITS, "a packet has less than 256 MiB of properties");
        Self(gap << FORWARDED_LEN_BITS | len)
    }

    fn gap(self) -> usize {
        (self.0 >> FORWARDED_LEN_BITS) as usize
    }

    fn len(self) -> usize {
        (self.0 & ((1 << FORWARDED_LEN_BITS) - 1)) as usize
    }
}

/// A message that outlives the receive buffer it came in.
///
/// The topic, the properties that are forwarded unchanged and the payload lie behind each other in one
/// [`Payload`], so a clone is one reference count and a message crosses cores as it is. A large one lies there as it came.
#[derive(Clone, Debug)]
pub struct Message {
    body: Payload,
    topic_len: u16,
    forwarded: Forwarded,
    /// The publisher's quality of service.
    pub qos: QoS,
    /// Whether the publisher set RETAIN.
    pub retain: bool,
    /// When it expires; [`Time::NEVER`] without a Message Expiry Interval.
    pub expires: Time,
    /// Whose message it is, for No Local.
    pub origin: SessionId,
}

impl Message {
    /// A message without properties in memory of its own, not retained.
    pub fn copied(topic: &str, payload: &[u8], qos: QoS, origin: SessionId) -> Self {
        let body = Payload::of_parts(&[topic.as_bytes(), payload]);
        Self::new(body, topic.len(), Forwarded::new(0, 0), qos, origin)
    }

    /// What was published, in memory of its own of exactly its size: a message that comes back to stay.
    pub fn restored(publication: &Publication<'_>) -> Self {
        let Publication { topic, forwarded, payload, qos, retain, expires, origin, .. } = *publication;
        let body = Payload::of_parts(&[topic.as_bytes(), forwarded, payload]);
        let message = Self::new(body, topic.len(), Forwarded::new(0, forwarded.len()), qos, origin);
        Self { retain, expires, ..message }
    }

    /// A message that is not retained and never expires, whose parts lie behind each other in `body`.
    fn new(body: Payload, topic_len: usize, forwarded: Forwarded, qos: QoS, origin: SessionId) -> Self {
        Self {
            body,
            topic_len: u16::try_from(topic_len).expect("a parsed topic has at most 65,535 bytes"),
            forwarded,
            qos,
            retain: false,
            expires: Time::NEVER,
            origin,
        }
    }

    /// The topic's name.
    pub fn topic(&self) -> &str {
        std::str::from_utf8(&self.body[..usize::from(self.topic_len)]).expect("it was text when it was copied in")
    }

    /// The properties that every subscriber gets as they are, encoded.
    pub fn forwarded(&self) -> &[u8] {
        let end = self.payload_start();
        &self.body[end - self.forwarded.len()..end]
    }

    /// The payload.
    pub fn payload(&self) -> &[u8] {
        &self.body[self.payload_start()..]
    }

    /// The payload as a piece of its own that shares the bytes.
    pub fn shared_payload(&self) -> Payload {
        self.body.slice(self.payload_start()..)
    }

    /// The bytes that a queue is charged for this message.
    pub fn charged_bytes(&self) -> usize {
        self.body.len() + size_of::<Self>()
    }

    /// The bytes that a queue is charged for a message whose record has so many.
    pub fn charge_of(record_bytes: u32) -> u32 {
        record_bytes.saturating_add(u32::try_from(size_of::<Self>()).expect("it is small"))
    }

    /// Whether somebody else has a share in its bytes.
    pub fn is_shared(&self) -> bool {
        self.body.is_shared()
    }

    /// Whether its time is over.
    pub fn has_expired(&self, now: Time) -> bool {
        self.expires <= now
    }

    /// The same message in memory of its own, for places where it may stay long. A large one has its own already.
    #[must_use]
    pub fn compact(&self) -> Self {
        if self.body.len() >= SHARED_BYTES_MIN {
            return self.clone();
        }
        Self { body: self.body.compact(), ..self.clone() }
    }

    fn payload_start(&self) -> usize {
        usize::from(self.topic_len) + self.forwarded.gap() + self.forwarded.len()
    }
}

/// A message on its way through a shard: borrowed from the receive buffer until somebody has to keep it.
#[derive(Debug)]
pub struct Publication<'a> {
    /// The topic's name.
    pub topic: &'a str,
    /// The properties that are forwarded unchanged, encoded.
    pub forwarded: &'a [u8],
    /// The payload.
    pub payload: &'a [u8],
    /// The publisher's quality of service.
    pub qos: QoS,
    /// Whether the publisher set RETAIN.
    pub retain: bool,
    /// When it expires; [`Time::NEVER`] for never.
    pub expires: Time,
    /// Whose message it is.
    pub origin: SessionId,
    /// The change by which its message was noted here; [`Serial::NONE`] before.
    pub noted: Serial,
    /// Under which name each shard takes it once, if that is promised.
    pub once: Option<Once>,
    /// It has come before, and this shard's own part of it is done.
    pub is_again: bool,
    /// The journal had no room for it when it came: nobody who outlives the process is owed it.
    pub is_unkept: bool,
    /// Who is charged if it is retained; none where nobody is.
    pub owner: Option<Arc<Identity>>,
    stored: Option<Message>,
}

impl<'a> Publication<'a> {
    /// A publication that still lies in somebody else's buffer.
    pub fn new(topic: &'a str, forwarded: &'a [u8], payload: &'a [u8], qos: QoS, origin: SessionId) -> Self {
        Self {
            topic,
            forwarded,
            payload,
            qos,
            retain: false,
            expires: Time::NEVER,
            origin,
            noted: Serial::NONE,
            once: None,
            is_again: false,
            is_unkept: false,
            owner: None,
            stored: None,
        }
    }

    /// A publication of a message that is kept already.
    pub fn of(message: &'a Message) -> Self {
        Self {
            topic: message.topic(),
            forwarded: message.forwarded(),
            payload: message.payload(),
            qos: message.qos,
            retain: message.retain,
            expires: message.expires,
            origin: message.origin,
            noted: Serial::NONE,
            once: None,
            is_again: false,
            is_unkept: false,
            owner: None,
            stored: Some(message.clone()),
        }
    }

    /// The message to keep; the bytes are copied out of the receive buffer at the first call only.
    ///
    /// A QoS 0 message lives for a moment and shares a chunk with its neighbours. One that is acknowledged may stay
    /// in queues and windows for long, and gets memory of its own, so that it does not keep a whole chunk alive.
    pub fn keep(&mut self, chunks: &mut Chunks) -> &Message {
        if self.stored.is_none() {
            let parts = [self.topic.as_bytes(), self.forwarded, self.payload];
            let is_brief = self.qos == QoS::AtMostOnce;
            self.keep_in(if is_brief { chunks.copy(&parts) } else { Payload::of_parts(&parts) });
        }
        self.stored.as_ref().expect("it was kept above")
    }

    /// These are the bytes to keep: topic, forwarded properties and payload, behind the topic perhaps a gap.
    pub fn keep_in(&mut self, body: Payload) {
        let gap = body.len() - self.topic.len() - self.forwarded.len() - self.payload.len();
        let forwarded = Forwarded::new(gap, self.forwarded.len());
        let message = Message::new(body, self.topic.len(), forwarded, self.qos, self.origin);
        debug_assert_eq!((message.topic(), message.forwarded()), (self.topic, self.forwarded), "they lie there");
        self.stored = Some(Message { retain: self.retain, expires: self.expires, ..message });
    }

    /// The kept message, if anybody has kept it.
    pub fn stored(&self) -> Option<&Message> {
        self.stored.as_ref()
    }

    /// The whole seconds left to live, as the Message Expiry Interval of an outgoing packet.
    pub fn seconds_left(&self, now: Time) -> Option<u32> {
        seconds_left(self.expires, now)
    }
}

/// The whole seconds from `now` to `expires`, rounded up so that a live message never says zero.
pub fn seconds_left(expires: Time, now: Time) -> Option<u32> {
    if expires == Time::NEVER {
        return None;
    }
    Some(u32::try_from(expires.since_ms(now).div_ceil(1000)).unwrap_or(u32::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_kept_message_is_what_was_published() {
        let mut chunks = Chunks::new(4096, 4);
        let mut publication = Publication::new("a/b", b"\x01\x01", b"hello", QoS::AtLeastOnce, SessionId::BROKER);
        publication.retain = true;
        let message = publication.keep(&mut chunks).clone();
        assert_eq!((message.topic(), message.forwarded(), message.payload()), ("a/b", &b"\x01\x01"[..], &b"hello"[..]));
        assert_eq!(&message.shared_payload()[..], b"hello");
        assert!(message.retain && !message.has_expired(Time::from_millis(1 << 40)));
        let again = Publication::of(&message);
        assert_eq!((again.topic, again.qos), ("a/b", QoS::AtLeastOnce));
    }

    #[test]
    fn a_message_that_lies_in_its_packet_is_what_was_published() {
        let body = Payload::from(b"a/b\x00\x07\x02\x01\x01hello".to_vec());
        let mut publication = Publication::new("a/b", b"\x01\x01", b"hello", QoS::AtLeastOnce, SessionId::BROKER);
        publication.keep_in(body.clone());
        let message = publication.keep(&mut Chunks::new(4096, 4)).clone();
        assert_eq!((message.topic(), message.forwarded(), message.payload()), ("a/b", &b"\x01\x01"[..], &b"hello"[..]));
        assert_eq!(message.shared_payload().as_ptr(), body[8..].as_ptr(), "nothing was copied");
        assert_eq!(message.compact().payload(), b"hello");
    }

    #[test]
    fn a_restored_message_is_what_was_published() {
        let origin = SessionId::restored(SessionId::new(ShardId::new(3), 7).get());
        assert_eq!(origin, SessionId::new(ShardId::new(3), 7));
        let mut publication = Publication::new("a/b", b"\x01\x01", b"hello", QoS::ExactlyOnce, origin);
        (publication.retain, publication.expires) = (true, Time::from_millis(5));
        let message = Message::restored(&publication);
        assert_eq!((message.topic(), message.forwarded(), message.payload()), ("a/b", &b"\x01\x01"[..], &b"hello"[..]));
        assert_eq!((message.qos, message.retain, message.origin), (QoS::ExactlyOnce, true, origin));
        assert!(message.has_expired(Time::from_millis(5)) && !message.has_expired(Time::from_millis(4)));
    }

    #[test]
    fn a_live_message_has_at_least_a_second_left() {
        let now = Time::from_millis(10_000);
        assert_eq!(seconds_left(Time::from_millis(10_001), now), Some(1));
        assert_eq!(seconds_left(Time::from_millis(70_000), now), Some(60));
        assert_eq!(seconds_left(Time::NEVER, now), None);
    }
}
