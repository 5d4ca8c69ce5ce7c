//! What one session still has to send, and what waits for the client's acknowledgement.
//!
//! ```text
//! enqueue -> queue -> next -> window -> PUBACK | PUBREC .. PUBCOMP
//!                direct -------^
//! ```
//! The send quota is the client's Receive Maximum less the open QoS 1 and 2 messages. [MQTT-4.9.0-1] [MQTT-4.9.0-2]
//! PUBACK, PUBCOMP and a failing PUBREC give a place back, a successful PUBREC does not.

use super::queue::{Front, Queue};
use super::state::{SendAction, SendEvent, Sending};
use super::window::Window;
use crate::base::time::Time;
use crate::mqtt::{PacketId, QoS, Reason};

pub use super::delivery::{Delivery, Returned, Stub, SubscriptionIds, Waiting, WaitingRef};
pub use super::queue::{Enqueued, QueueBounds};

/// The sending half of one session. An idle session has none; a fresh one holds no heap.
#[derive(Debug, Default)]
pub struct Outbound {
    queue: Queue,
    window: Window,
    /// How many QoS 1 and 2 messages may be open on the present connection; 0 without one.
    window_max: u16,
}

/// What is to be sent next.
#[derive(Debug)]
pub enum Next<'a> {
    /// A QoS 1 or 2 message; it is open from now on.
    Publish {
        /// Its packet identifier.
        id: PacketId,
        /// Whether it was sent before, on an earlier connection.
        dup: bool,
        /// The message.
        delivery: &'a Delivery,
    },
    /// PUBREL for a message that the client received on an earlier connection.
    PubRel {
        /// The packet identifier of the message.
        id: PacketId,
    },
    /// A QoS 0 message; nothing remembers it any more.
    Plain(Delivery),
    /// Nothing to send: this message expired in the queue. Ask again.
    Expired(Delivery),
    /// Nothing to send before the next message was fetched.
    Stowed,
    /// Nothing to send, or no quota, or no connection.
    Nothing,
}

/// What a PUBACK settled.
#[derive(Debug)]
pub enum Acked {
    /// The client has this copy.
    Delivered(Delivery),
    /// The client refused this copy.
    Refused(Delivery),
    /// No QoS 1 message is open under the identifier; nothing changed.
    Unknown,
}

/// What a PUBREC settled, and what is to be answered.
#[derive(Debug)]
pub enum Recorded {
    /// The client has this copy: answer PUBREL.
    Release(Delivery),
    /// The client said so before: answer PUBREL again.
    Again,
    /// The client refused this copy: answer nothing, the identifier is free.
    Refused(Delivery),
    /// An error for no open QoS 2 message, or for one that the client has: answer nothing.
    Closed,
    /// No QoS 2 message is open under the identifier: answer PUBREL with 0x92.
    Unknown,
}

impl Outbound {
    /// Nothing to send and no connection.
    pub fn new() -> Self {
        Self::default()
    }

    /// A connection begins that may have `window` messages open: the lower one of its Receive Maximum and our own bound.
    /// Its quota is fresh, and whatever is open is sent again before anything new.
    ///
    /// # Panics
    /// When `window` is zero, which CONNECT must not say.
    pub fn connect(&mut self, window: u16) {
        assert!(window > 0, "a Receive Maximum of zero is a protocol error");
        self.window_max = window;
        self.window.resume();
    }

    /// The connection is gone; what is open and queued stays.
    pub fn disconnect(&mut self) {
        self.window_max = 0;
    }

    /// Appends a delivery to the queue.
    pub fn enqueue(&mut self, delivery: Delivery, bounds: &QueueBounds) -> Enqueued {
        self.queue.push(delivery, bounds)
    }

    /// Appends a copy whose message is stowed.
    pub fn enqueue_stub(&mut self, stub: Stub, bounds: &QueueBounds) -> Enqueued {
        self.queue.push_stub(stub, bounds)
    }

    /// The fast way: a QoS 1 or 2 message that nothing stands in front of is open at once and the caller sends it.
    ///
    /// # Errors
    /// Hands the delivery back when it has to be queued, or there is no connection.
    pub fn direct(&mut self, delivery: Delivery) -> Result<PacketId, Delivery> {
        debug_assert!(delivery.qos > QoS::AtMostOnce, "a QoS 0 message is just sent");
        if self.can_direct() { Ok(self.window.send(delivery)) } else { Err(delivery) }
    }

    /// After a restart: a message that was sent under this identifier and is not settled.
    pub fn restore_sent(&mut self, id: PacketId, delivery: Delivery) {
        self.window.restore(id, Some(delivery));
    }

    /// The same for one that the client has, and whose identifier is not completed.
    pub fn restore_released(&mut self, id: PacketId) {
        self.window.restore(id, None);
    }

    /// The same for one that was never sent; its bounds were asked for when it came.
    pub fn restore_queued(&mut self, delivery: Delivery) {
        self.queue.append(delivery);
    }

    /// The same without its message.
    pub fn restore_stub(&mut self, stub: Stub) {
        self.queue.append_behind(Waiting::Stowed(stub));
    }

    /// Whether nothing stands in front of a QoS 1 or 2 message, so that [`Self::direct`] takes it.
    pub fn can_direct(&self) -> bool {
        self.queue.is_empty() && !self.window.has_unsent() && self.quota() > 0
    }

    /// What is to be sent next: first whatever an earlier connection left open, in its order, then the queue.
    pub fn next(&mut self, now: Time) -> Next<'_> {
        if self.window_max == 0 {
            return Next::Nothing;
        }
        if self.window.has_unsent() {
            return self.next_resent();
        }
        let front = match self.queue.front() {
            None => return Next::Nothing,
            Some(Front::Stowed) => return Next::Stowed,
            Some(Front::Whole(front)) => front,
        };
        // [MQTT-3.3.2-5] what expires before it is sent is not sent; [MQTT-4.3.3-7] in the window nothing expires.
        if front.message.has_expired(now) {
            return Next::Expired(self.pop());
        }
        if front.qos == QoS::AtMostOnce {
            return Next::Plain(self.pop());
        }
        // [MQTT-4.9.0-2] at quota zero no QoS 1 or 2 message is sent.
        if self.quota() == 0 {
            return Next::Nothing;
        }
        let delivery = self.pop();
        let id = self.window.send(delivery);
        self.publish(id, false)
    }

    /// The unacknowledged message under `id`.
    pub fn inflight(&self, id: PacketId) -> Option<&Delivery> {
        self.window.delivery(id)
    }

    /// The same, to be changed.
    pub fn inflight_mut(&mut self, id: PacketId) -> Option<&mut Delivery> {
        self.window.delivery_mut(id)
    }

    /// The copy before which so many wait that were never sent.
    pub fn queued(&self, place: usize) -> Option<WaitingRef<'_>> {
        self.queue.get(place)
    }

    /// What waits to be sent for the first time.
    pub fn queue(&self) -> &Queue {
        &self.queue
    }

    /// The same, to fetch what is stowed of it.
    pub fn queue_mut(&mut self) -> &mut Queue {
        &mut self.queue
    }

    /// The identifiers that are open, in no particular order.
    pub fn open_ids(&self) -> impl Iterator<Item = PacketId> {
        self.window.ids()
    }

    /// The message under `id` cannot be sent because it is larger than the client accepts: it is over, as if it had been
    /// completed. [MQTT-3.1.2-25]
    pub fn give_up(&mut self, id: PacketId) -> Option<Delivery> {
        let (_, delivery) = self.window.apply(id, SendEvent::GiveUp);
        delivery
    }

    /// The client's PUBACK.
    pub fn puback(&mut self, id: PacketId, reason: Reason) -> Acked {
        let event = if reason.is_error() { SendEvent::PubAckError } else { SendEvent::PubAckOk };
        match self.window.apply(id, event) {
            (SendAction::Deliver, Some(delivery)) => Acked::Delivered(delivery),
            (SendAction::Refuse, Some(delivery)) => Acked::Refused(delivery),
            (action, delivery) => {
                debug_assert!(action == SendAction::Ignore && delivery.is_none(), "no copy is lost: {action:?}");
                Acked::Unknown
            }
        }
    }

    /// The client's PUBREC.
    pub fn pubrec(&mut self, id: PacketId, reason: Reason) -> Recorded {
        let event = if reason.is_error() { SendEvent::PubRecError } else { SendEvent::PubRecOk };
        match self.window.apply(id, event) {
            (SendAction::SendPubRel, Some(delivery)) => Recorded::Release(delivery),
            (SendAction::Refuse, Some(delivery)) => Recorded::Refused(delivery),
            (SendAction::ResendPubRel, None) => Recorded::Again,
            (SendAction::AnswerNotFound, None) => Recorded::Unknown,
            (action, delivery) => {
                debug_assert!(delivery.is_none(), "no copy is lost: {action:?}");
                Recorded::Closed
            }
        }
    }

    /// The client's PUBCOMP, whatever its reason code; whether it was awaited.
    pub fn pubcomp(&mut self, id: PacketId) -> bool {
        self.window.apply(id, SendEvent::PubComp).0 == SendAction::Complete
    }

    /// Takes what came from shared groups and may go back there, in order: what is queued and what is unacknowledged at
    /// QoS 1. A QoS 2 message that was sent stays, unless the session ends. [MQTT-4.8.2-4]
    pub fn take_returns(&mut self, session_ends: bool) -> Vec<Returned> {
        let event = if session_ends { SendEvent::SessionEnd } else { SendEvent::Leave };
        debug_assert_eq!(Sending::Queued.step(event).1, SendAction::Return, "what was never sent goes back");
        let is_shared = |delivery: &Delivery| delivery.source.is_shared();
        let mut returned = self.window.take_returns(event, is_shared);
        returned.extend(self.queue.take_where(is_shared).into_iter().map(Returned::GiveBack));
        returned
    }

    /// The session ends: everything that the client does not have, oldest first.
    pub fn drain(&mut self) -> Vec<Waiting> {
        let sent = self.window.drain().into_iter();
        let mut drained: Vec<Waiting> = sent.map(|delivery| Waiting::Whole(Box::new(delivery))).collect();
        drained.append(&mut self.queue.drain());
        self.shrink_if_empty();
        drained
    }

    /// Whether the queue has room for one more message, were it small.
    pub fn has_room(&self, bounds: &QueueBounds) -> bool {
        self.queue.has_room(bounds)
    }

    /// Whether a QoS 0 message waits, behind which newer ones have to wait as well. [MQTT-4.6.0-6]
    pub fn has_plain(&self) -> bool {
        self.queue.has_plain()
    }

    /// Messages that were never sent.
    pub fn queued_count(&self) -> usize {
        self.queue.len()
    }

    /// The same without what shared groups account for.
    pub fn own_queued_bytes(&self) -> u64 {
        self.queue.own_bytes()
    }

    /// Packet identifiers that are open.
    pub fn inflight_count(&self) -> usize {
        self.window.len()
    }

    /// How many QoS 1 and 2 messages may be sent now; 0 without a connection.
    pub fn quota(&self) -> u16 {
        let quota = usize::from(self.window_max).saturating_sub(self.window.open_count());
        u16::try_from(quota).unwrap_or(self.window_max)
    }

    /// Whether there is nothing to send and nothing to wait for.
    pub fn is_empty(&self) -> bool {
        self.queue.is_empty() && self.window.is_empty()
    }

    /// The copies that the ledger counts as queued: what waits and what is unacknowledged, but not what the client has.
    pub fn copies(&self) -> usize {
        self.queue.len() + self.window.copies()
    }

    /// The same without what shared groups account for.
    pub fn own_copies(&self) -> usize {
        self.queue.own() + self.window.own_copies()
    }

    /// Gives back the memory of whatever is empty. Its owner calls this when a session falls idle.
    pub fn shrink_if_empty(&mut self) {
        self.queue.shrink_if_empty();
        self.window.shrink_if_empty();
    }

    /// Asserts the invariants.
    ///
    /// # Panics
    /// When one does not hold.
    pub fn check(&self) {
        self.queue.check();
        self.window.check();
        let awaited = self.window.awaited_count();
        // What the client has may come on top: a window of before was larger.
        assert!(
            self.window_max == 0 || awaited <= usize::from(self.window_max),
            "sent on this connection ≤ window: {awaited} ≤ {}",
            self.window_max
        );
    }

    fn next_resent(&mut self) -> Next<'_> {
        let has_quota = self.quota() > 0;
        match self.window.resend(has_quota) {
            Some((id, SendAction::ResendPublish)) => self.publish(id, true),
            Some((id, _)) => Next::PubRel { id },
            None => Next::Nothing,
        }
    }

    fn publish(&self, id: PacketId, dup: bool) -> Next<'_> {
        let delivery = self.window.delivery(id).expect("a message that is sent is held");
        Next::Publish { id, dup, delivery }
    }

    fn pop(&mut self) -> Delivery {
        self.queue.pop().expect("the front was seen")
    }
}
