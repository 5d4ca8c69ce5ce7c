//! One copy for one session: queued, sent, or given up, and always accounted for.

use std::num::NonZeroU16;

use super::Shard;
use super::acknowledge::AckKind;
use super::memory::Holdings;
use crate::base::payload::Payload;
use crate::base::time::Time;
use crate::engine::connection::{Connection, ConnectionKey, Hold};
use crate::engine::event::Event;
use crate::engine::limits::{INLINE_PAYLOAD_BYTES_MAX, QueuePolicy};
use crate::engine::mesh::{Fate, Loan, Mesh};
use crate::engine::message::{Publication, seconds_left};
use crate::engine::output::{Outputs, Recipient};
use crate::engine::session::delivery::{Delivery, Source};
use crate::engine::session::outbound::Next;
use crate::engine::session::pipeline::Outcome;
use crate::engine::session::queue::{Enqueued, QueueBounds};
use crate::engine::session::{Link, Session, SessionKey};
use crate::engine::stats::DropReason;
use crate::mqtt::outgoing::{Outgoing, encode_head, encoded_len};
use crate::mqtt::{PacketId, QoS};

/// Everything about one copy that goes into a packet for one receiver.
pub(super) struct Copy<'a> {
    topic: &'a str,
    forwarded: &'a [u8],
    payload: &'a [u8],
    body: Option<Payload>,
    expires: Time,
    qos: QoS,
    retain: bool,
    dup: bool,
    packet_id: Option<PacketId>,
    ids: &'a [u32],
}

impl<'a> Copy<'a> {
    /// A QoS 0 copy of a publication under way.
    pub fn of_publication(publication: &'a Publication<'_>, qos: QoS, retain: bool, ids: &'a [u32]) -> Self {
        Self {
            topic: publication.topic,
            forwarded: publication.forwarded,
            payload: publication.payload,
            body: None,
            expires: publication.expires,
            qos,
            retain,
            dup: false,
            packet_id: None,
            ids,
        }
    }

    /// A copy that lies in a session's queue or window.
    pub fn of_delivery(delivery: &'a Delivery, packet_id: Option<PacketId>, dup: bool) -> Self {
        let message = &delivery.message;
        let is_long = message.payload().len() > INLINE_PAYLOAD_BYTES_MAX;
        Self {
            topic: message.topic(),
            forwarded: message.forwarded(),
            payload: message.payload(),
            body: is_long.then(|| message.shared_payload()),
            expires: message.expires,
            qos: delivery.qos,
            retain: delivery.retain,
            dup,
            packet_id,
            ids: delivery.ids.as_slice(),
        }
    }

    fn outgoing(&self, topic: &'a str, topic_alias: Option<NonZeroU16>, now: Time) -> Outgoing<'a> {
        Outgoing {
            topic,
            topic_alias,
            qos: self.qos,
            retain: self.retain,
            dup: self.dup,
            packet_id: self.packet_id,
            message_expiry: seconds_left(self.expires, now),
            subscription_ids: self.ids,
            forwarded: self.forwarded,
            payload_len: self.payload.len(),
        }
    }
}

/// Writes a copy for one receiver; nothing when it is larger than the receiver accepts [MQTT-3.1.2-24]. The bytes that a metered
/// one is charged with.
pub(super) fn write_copy(
    connection: &mut Connection,
    link: &Link,
    copy: &Copy<'_>,
    holdings: &mut Holdings,
    now: Time,
    out: &mut Outputs,
) -> Option<u32> {
    let maximum = connection.maximum_packet;
    let is_too_large = |outgoing: &Outgoing<'_>| maximum < u32::MAX && encoded_len(link.version, outgoing) > maximum;
    let aliases = connection.extras.as_ref().and_then(|extras| extras.aliases_out.as_ref());
    let (mut alias, is_known) = match aliases.and_then(|aliases| aliases.find(copy.topic)) {
        Some((alias, is_known)) => (Some(alias), is_known),
        None => (None, false),
    };
    let topic = if is_known { "" } else { copy.topic };
    let mut outgoing = copy.outgoing(topic, alias, now);
    if alias.is_some() && is_too_large(&outgoing) {
        alias = None; // an alias is longer than the shortest topics, and must not cost the message
        outgoing = copy.outgoing(copy.topic, None, now);
    }
    if is_too_large(&outgoing) {
        return None;
    }
    if let (Some(alias), false) = (alias, is_known) {
        // Only a packet that is really sent defines an alias.
        holdings.learn(connection, alias, copy.topic);
    }
    let draft = out.draft(copy.body.clone(), |bytes| {
        let head = encode_head(link.version, &outgoing, bytes);
        if copy.body.is_none() {
            bytes.extend_from_slice(copy.payload);
        }
        Some(head)
    });
    out.send(draft, &[Recipient { connection: link.connection, packet_id: copy.packet_id }]);
    Some(if link.is_metered() { encoded_len(link.version, &outgoing) } else { 0 })
}

const UNBOUNDED: QueueBounds =
    QueueBounds { messages_max: u32::MAX, bytes_max: u64::MAX, policy: QueuePolicy::RefuseNew };

impl Shard {
    pub(super) fn queue_bounds(&self) -> QueueBounds {
        QueueBounds {
            messages_max: self.limits.queue_messages_max,
            bytes_max: self.limits.queue_bytes_max,
            policy: self.limits.queue_policy,
        }
    }

    /// Puts a copy into a session's queue; what has no room is dropped by the policy, and counted.
    pub(super) fn enqueue(&mut self, key: SessionKey, mut delivery: Delivery, out: &mut Outputs) -> Outcome {
        // What a shared group sends is bounded by the member's window in the group; sent back, it would come again.
        let bounds = if delivery.source.is_shared() { UNBOUNDED } else { self.queue_bounds() };
        if !self.sessions.contains(key) {
            self.discard(key, &delivery, DropReason::SessionEnded, out);
            return Outcome::default();
        }
        if delivery.qos == QoS::AtMostOnce {
            delivery.message = delivery.message.compact(); // it may stay for long
        }
        let enqueued = match self.stow(delivery, out) {
            Ok(stub) => self.change_queue(key, |outbound| outbound.enqueue_stub(stub, &bounds)),
            Err(delivery) => self.change_queue(key, |outbound| outbound.enqueue(delivery, &bounds)),
        };
        match enqueued.expect("the session is there") {
            Enqueued::Queued => Outcome::stored(),
            Enqueued::Refused(copy) => {
                self.discard_waiting(key, &copy, DropReason::QueueRefused, out);
                Outcome { matched: true, refused: true, ..Outcome::default() }
            }
            Enqueued::Displaced(oldest) => {
                for copy in oldest {
                    self.discard_waiting(key, &copy, DropReason::QueueOldest, out);
                }
                Outcome::stored()
            }
        }
    }

    /// A copy ends undelivered: the ledger of the shard that took it on hears why.
    pub(super) fn discard(&mut self, key: SessionKey, delivery: &Delivery, why: DropReason, out: &mut Outputs) {
        let fate = match why {
            DropReason::Expired => Fate::Expired,
            DropReason::PacketTooLarge => Fate::TooLarge,
            DropReason::Refused => Fate::Refused,
            DropReason::NotAuthorized => Fate::Denied,
            DropReason::SessionEnded => Fate::Abandoned,
            DropReason::Offline
            | DropReason::Slow
            | DropReason::AboveRate
            | DropReason::QueueRefused
            | DropReason::QueueOldest
            | DropReason::GroupEnded
            | DropReason::Unreadable
            | DropReason::JournalFull => Fate::Returned,
        };
        self.note_settled(key, delivery, out);
        match delivery.source {
            Source::Own(_) => {
                self.stats.ledger.drop_one(why);
                if let Some(session) = self.sessions.get(key) {
                    out.tell(Event::Dropped { session: session.id, why });
                }
            }
            Source::Shared { .. } | Source::Lent { .. } => self.shared_done(delivery.source, fate, out),
        }
    }

    /// A copy reached its receiver.
    pub(super) fn delivered(&mut self, delivery: &Delivery, out: &mut Outputs) {
        match delivery.source {
            Source::Own(_) => self.stats.ledger.delivered += 1,
            Source::Shared { .. } | Source::Lent { .. } => self.shared_done(delivery.source, Fate::Delivered, out),
        }
    }

    fn shared_done(&mut self, source: Source, fate: Fate, out: &mut Outputs) {
        let (home, loan) = match source {
            Source::Own(_) => unreachable!("nobody waits to hear of a session's own copy"),
            Source::Shared { home, group, delivery, copy: _ } => {
                let group = crate::base::slab::Key::from_bits(group).expect("the bits of a group's key");
                (home, Loan::Delivery { group, delivery })
            }
            Source::Lent { home, lent, .. } => {
                (home, Loan::Copy { copy: lent, is_assigned: self.lending.is_assigned(home, lent) })
            }
        };
        self.tell(home, Mesh::SharedDone { loan, fate }, out);
    }

    /// Sends what a session has to send, as far as its window and its connection allow.
    pub(super) fn pump(&mut self, key: SessionKey, now: Time, out: &mut Outputs) {
        if self.waits_for_rate(key, now) {
            return;
        }
        loop {
            let Some(session) = self.sessions.get_mut(key) else { return };
            if !session.has_open_link() {
                return;
            }
            let Some(outbound) = &mut session.outbound else { return };
            match outbound.next(now) {
                Next::Nothing => break,
                Next::Stowed => {
                    if !self.fetch_for(key, out) {
                        return;
                    }
                }
                Next::PubRel { id } => self.send_pubrel(key, id, out),
                Next::Expired(delivery) => {
                    self.stowage.holds(delivery.held_bytes(), 0);
                    self.discard(key, &delivery, DropReason::Expired, out);
                }
                Next::Plain(delivery) => self.send_plain(key, &delivery, now, out),
                Next::Publish { id, dup, delivery } => {
                    let (copy, is_shared) = (delivery.noted().copy, delivery.source.is_shared());
                    if !dup {
                        self.stowage.holds(delivery.held_bytes(), 0);
                        if is_shared {
                            self.note_assigned(key, id, out);
                        } else {
                            self.note_sent(key, copy, id, out);
                        }
                    }
                    self.send_one(key, id, dup, now, out);
                }
            }
        }
        self.fetch_for(key, out);
    }

    fn send_pubrel(&mut self, key: SessionKey, id: PacketId, out: &mut Outputs) {
        let link = self.sessions.get(key).and_then(Session::link).expect("its link is open");
        out.promising(self.promise_to(key), |out| write_pubrel(&link, id, out));
    }

    fn send_plain(&mut self, key: SessionKey, delivery: &Delivery, now: Time, out: &mut Outputs) {
        let link = self.sessions.get(key).and_then(Session::link).expect("its link is open");
        if !self.may_still_receive(key, delivery) {
            return self.discard(key, delivery, DropReason::NotAuthorized, out);
        }
        let connection = self.connections.get_mut(link.connection).expect("a link leads to a connection");
        let written =
            write_copy(connection, &link, &Copy::of_delivery(delivery, None, false), &mut self.holdings, now, out);
        let Some(bytes) = written else { return self.discard(key, delivery, DropReason::PacketTooLarge, out) };
        self.delivered(delivery, out);
        self.charge_receiver(key, &link, bytes, now);
    }

    /// Sends a message of the window. One that is too large for the client counts as done [MQTT-3.1.2-25].
    pub(super) fn send_one(&mut self, key: SessionKey, id: PacketId, dup: bool, now: Time, out: &mut Outputs) {
        let Some(session) = self.sessions.get(key) else { return };
        let Some(link) = session.link() else { return };
        let delivery = session.outbound.as_ref().and_then(|outbound| outbound.inflight(id));
        let delivery = delivery.expect("what is sent lies in the window");
        let may_receive = self.may_still_receive(key, delivery);
        // Also for one who does not last it is noted first that nobody else gets it.
        let is_assigned = delivery.source.is_lent() && delivery.qos == QoS::ExactlyOnce;
        let promises = if is_assigned { self.journaling.pending() } else { self.promise_to(key) };
        let connection = self.connections.get_mut(link.connection).expect("a link leads to a connection");
        let copy = Copy::of_delivery(delivery, Some(id), dup);
        let mut why = DropReason::NotAuthorized;
        if may_receive {
            let written =
                out.promising(promises, |out| write_copy(connection, &link, &copy, &mut self.holdings, now, out));
            if let Some(bytes) = written {
                return self.charge_receiver(key, &link, bytes, now);
            }
            why = DropReason::PacketTooLarge;
        }
        let session = self.sessions.get_mut(key).expect("it was found above");
        if let Some(delivery) = session.outbound().give_up(id) {
            self.discard(key, &delivery, why, out);
        }
    }

    /// Queued messages are checked again when they leave: a right may have been revoked in the meantime.
    fn may_still_receive(&self, key: SessionKey, delivery: &Delivery) -> bool {
        !self.checks_receive() || self.may_receive(key, delivery.message.topic())
    }

    /// The shell could not send everything, or could at last.
    pub(super) fn backlog(&mut self, key: ConnectionKey, bytes: u32, taken: u32, now: Time, out: &mut Outputs) {
        let Some(connection) = self.connections.get_mut(key) else { return };
        self.backlog_bytes = self.backlog_bytes + u64::from(bytes) - u64::from(connection.backlog);
        connection.backlog = bytes;
        // A client that takes none of our answers is not asked for more requests.
        let is_deaf = bytes / 2 > self.limits.backlog_bytes_max;
        if is_deaf {
            self.hold(key, Hold::Backlog, out);
        } else {
            self.release(key, Hold::Backlog, now);
        }
        let Some(connection) = self.connections.get(key) else { return };
        let Some(session_key) = connection.session else { return };
        let is_full = bytes > self.limits.backlog_bytes_max || self.pressure.is_broken(key);
        let Some(link) = self.sessions.get_mut(session_key).and_then(|session| session.link_mut()) else { return };
        let was_full = std::mem::replace(&mut link.is_full, is_full);
        self.note_backlog(key, bytes, taken, is_full, now, out);
        if was_full && !is_full {
            self.room_in_window(session_key, now, out);
        }
    }
}

/// A PUBREL of ours.
fn write_pubrel(link: &Link, id: PacketId, out: &mut Outputs) {
    out.packet(link.connection, |bytes| AckKind::Release.write_short(id, bytes));
}
