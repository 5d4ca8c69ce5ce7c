//! Deliveries that were sent and are not settled, in the order in which their last packet was first sent.
//!
//! A PUBREC moves its message to the end, because a PUBREL was sent then: so a resumed session repeats PUBLISH packets in
//! their order and PUBREL packets in theirs. The order is a list of links through the slots of [`PacketIds`], so every
//! step costs the same wherever in the window it happens.
//!
//! Invariants worth naming:
//! - A message awaits PUBACK or PUBREC with its delivery, and PUBCOMP without: the client has it then.
//! - Unsent are only messages from before the present connection; nothing new is sent before all of them are.

use super::delivery::{Delivery, Returned};
use super::packet_ids::PacketIds;
use super::state::{SendAction, SendEvent, Sending};
use crate::mqtt::{PacketId, QoS};

/// The open QoS 1 and 2 flows of one session towards its client. Empty and unused it holds no heap.
#[derive(Debug, Default)]
pub struct Window {
    flows: PacketIds<Flow>,
    first: Option<PacketId>,
    last: Option<PacketId>,
    /// Where the search for the next unsent message goes on.
    resume: Option<PacketId>,
    /// The same for a PUBREL that overtakes a PUBLISH for which there is no quota.
    overtake: Option<PacketId>,
    unsent: Unsent,
    /// How many flows await PUBCOMP: the client has their message.
    released: usize,
}

/// How many flows the present connection has not yet seen a packet of.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Unsent {
    publishes: usize,
    pubrels: usize,
}

#[derive(Debug)]
struct Flow {
    state: Sending,
    /// Some until the client has it.
    delivery: Option<Delivery>,
    before: Option<PacketId>,
    after: Option<PacketId>,
    is_unsent: bool,
}

impl Window {
    /// Takes a delivery that is sent now, for the first time.
    pub fn send(&mut self, delivery: Delivery) -> PacketId {
        let event = match delivery.qos {
            QoS::AtLeastOnce => SendEvent::SendQoS1,
            QoS::ExactlyOnce => SendEvent::SendQoS2,
            QoS::AtMostOnce => unreachable!("a QoS 0 message has no packet identifier"),
        };
        debug_assert!(!self.has_unsent(), "what was sent before is sent again first");
        let (state, action) = Sending::Free.step(event);
        debug_assert_eq!(action, SendAction::SendPublish, "a free identifier can be used");
        let flow = Flow { state, delivery: Some(delivery), before: None, after: None, is_unsent: false };
        let id = self.flows.insert(flow);
        self.link_last(id);
        id
    }

    /// A flow of before a restart: with its delivery, unless the client has that. One identifier stands for one flow.
    pub fn restore(&mut self, id: PacketId, delivery: Option<Delivery>) {
        let state = match delivery.as_ref().map(|delivery| delivery.qos) {
            None => Sending::AwaitPubComp,
            Some(QoS::ExactlyOnce) => Sending::AwaitPubRec,
            Some(QoS::AtLeastOnce | QoS::AtMostOnce) => Sending::AwaitPubAck,
        };
        let released = usize::from(delivery.is_none());
        let flow = Flow { state, delivery, before: None, after: None, is_unsent: false };
        if self.flows.insert_under(id, flow) {
            self.link_last(id);
            self.released += released;
        }
    }

    /// Moves the flow of `id` on. The delivery comes back with the action that settles its copy.
    pub fn apply(&mut self, id: PacketId, event: SendEvent) -> (SendAction, Option<Delivery>) {
        let Some(flow) = self.flows.get(id) else { return (Sending::Free.step(event).1, None) };
        let was = flow.state;
        let (state, action) = was.step(event);
        let delivery = match state {
            Sending::Free => self.close(id),
            Sending::AwaitPubComp if was == Sending::AwaitPubRec => Some(self.release(id)),
            Sending::Queued | Sending::AwaitPubAck | Sending::AwaitPubRec | Sending::AwaitPubComp => {
                debug_assert_eq!(state, was, "whatever else happens leaves a flow where it is");
                None
            }
        };
        (action, delivery)
    }

    /// Begins anew on another connection: every flow has a packet to be sent again.
    pub fn resume(&mut self) {
        self.unsent = Unsent::default();
        for (_, flow) in self.flows.iter_mut() {
            flow.is_unsent = true;
            *self.unsent.of(flow.state) += 1;
        }
        self.resume = self.first;
        self.overtake = self.first;
    }

    /// The next packet to be sent again, in order. [MQTT-4.4.0-1] Without quota only PUBREL is sent. [MQTT-4.9.0-3]
    pub fn resend(&mut self, has_quota: bool) -> Option<(PacketId, SendAction)> {
        while let Some(id) = self.resume {
            let flow = self.flow(id);
            if flow.is_unsent {
                let (_, action) = flow.state.step(SendEvent::Resume);
                if action == SendAction::ResendPublish && !has_quota {
                    return self.resend_overtaking();
                }
                self.mark_sent(id);
                return Some((id, action));
            }
            self.resume = flow.after;
        }
        debug_assert!(!self.has_unsent(), "the search passes every flow");
        None
    }

    /// The message under `id`, unless there is none or the client has it.
    pub fn delivery(&self, id: PacketId) -> Option<&Delivery> {
        self.flows.get(id)?.delivery.as_ref()
    }

    /// The same, to be changed.
    pub fn delivery_mut(&mut self, id: PacketId) -> Option<&mut Delivery> {
        self.flows.get_mut(id)?.delivery.as_mut()
    }

    /// The identifiers under which something is open, in no particular order.
    pub fn ids(&self) -> impl Iterator<Item = PacketId> {
        self.flows.iter().map(|(id, _)| id)
    }

    /// Whether the present connection has not yet seen a packet of every flow.
    pub fn has_unsent(&self) -> bool {
        self.unsent != Unsent::default()
    }

    /// The flows that count against the client's Receive Maximum: all but those still to be published again.
    pub fn open_count(&self) -> usize {
        self.flows.len() - self.unsent.publishes
    }

    /// The messages that the present connection has sent and that the client does not have, as far as we know.
    pub fn awaited_count(&self) -> usize {
        self.open_count() - self.released
    }

    /// The copies that are not settled: all but those the client has.
    pub fn copies(&self) -> usize {
        self.flows.len() - self.released
    }

    /// The same without what shared groups account for. Walks the window: for checks.
    pub fn own_copies(&self) -> usize {
        let own = |flow: &Flow| flow.delivery.as_ref().is_some_and(|delivery| !delivery.source.is_shared());
        self.flows.iter().filter(|(_, flow)| own(flow)).count()
    }

    /// How many flows there are.
    pub fn len(&self) -> usize {
        self.flows.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.flows.is_empty()
    }

    /// Ends, by `event`, the flows whose delivery `is_leaving`, in order.
    pub fn take_returns(&mut self, event: SendEvent, is_leaving: impl Fn(&Delivery) -> bool) -> Vec<Returned> {
        let mut returned = Vec::new();
        let mut next = self.first;
        while let Some(id) = next {
            let flow = self.flow(id);
            next = flow.after;
            if !flow.delivery.as_ref().is_some_and(&is_leaving) {
                continue;
            }
            match self.apply(id, event) {
                (SendAction::Return, Some(delivery)) => returned.push(Returned::GiveBack(delivery)),
                (SendAction::Discard, Some(delivery)) => returned.push(Returned::Discard(delivery)),
                (_, delivery) => debug_assert!(delivery.is_none(), "no copy is lost"),
            }
        }
        returned
    }

    /// Ends all flows; the deliveries that the client does not have, in order.
    pub fn drain(&mut self) -> Vec<Delivery> {
        let mut drained = Vec::new();
        while let Some(id) = self.first {
            drained.extend(self.apply(id, SendEvent::SessionEnd).1);
        }
        debug_assert!(self.is_empty(), "a session that ends leaves nothing open");
        drained
    }

    /// Gives the memory back if nothing is open.
    pub fn shrink_if_empty(&mut self) {
        self.flows.shrink_if_empty();
    }

    /// Asserts the invariants.
    ///
    /// # Panics
    /// When the list, the states and the counts do not agree.
    pub fn check(&self) {
        self.flows.check();
        let mut unsent = Unsent::default();
        let (mut before, mut next, mut count, mut released) = (None, self.first, 0, 0);
        while let Some(id) = next {
            let flow = self.flow(id);
            assert_eq!(flow.before, before, "the links of {id:?} lead both ways");
            let awaits_pubcomp = flow.state == Sending::AwaitPubComp;
            assert_eq!(flow.delivery.is_none(), awaits_pubcomp, "{id:?} holds its message until the client has it");
            released += usize::from(awaits_pubcomp);
            *unsent.of(flow.state) += usize::from(flow.is_unsent);
            (before, next, count) = (next, flow.after, count + 1);
            assert!(count <= self.flows.len(), "the list has an end");
        }
        assert_eq!((before, count), (self.last, self.flows.len()), "the list has all flows");
        assert_eq!(unsent, self.unsent, "unsent flows are counted");
        assert_eq!(released, self.released, "released flows are counted");
    }

    /// A PUBREL needs no quota: it may overtake a PUBLISH that has to wait. Each connection walks the list once for it.
    fn resend_overtaking(&mut self) -> Option<(PacketId, SendAction)> {
        if self.unsent.pubrels == 0 {
            return None;
        }
        while let Some(id) = self.overtake {
            let flow = self.flow(id);
            let is_pubrel_due = flow.is_unsent && flow.state == Sending::AwaitPubComp;
            self.overtake = flow.after;
            if is_pubrel_due {
                self.mark_sent(id);
                return Some((id, SendAction::ResendPubRel));
            }
        }
        unreachable!("a PUBREL that is counted is found");
    }

    /// The client has the message; what is left is PUBREL and PUBCOMP.
    fn release(&mut self, id: PacketId) -> Delivery {
        self.mark_sent(id);
        self.unlink(id);
        self.link_last(id);
        self.released += 1;
        let flow = self.flow_mut(id);
        flow.state = Sending::AwaitPubComp;
        flow.delivery.take().expect("a message that awaits PUBREC is held")
    }

    fn close(&mut self, id: PacketId) -> Option<Delivery> {
        self.mark_sent(id);
        self.unlink(id);
        let flow = self.flows.remove(id).expect("the flow was found before");
        self.released -= usize::from(flow.state == Sending::AwaitPubComp);
        flow.delivery
    }

    fn mark_sent(&mut self, id: PacketId) {
        let flow = self.flow_mut(id);
        if std::mem::replace(&mut flow.is_unsent, false) {
            let state = flow.state;
            *self.unsent.of(state) -= 1;
        }
    }

    fn link_last(&mut self, id: PacketId) {
        let before = self.last.replace(id);
        let flow = self.flow_mut(id);
        (flow.before, flow.after) = (before, None);
        match before {
            Some(before) => self.flow_mut(before).after = Some(id),
            None => self.first = Some(id),
        }
    }

    fn unlink(&mut self, id: PacketId) {
        let (before, after) = (self.flow(id).before, self.flow(id).after);
        match before {
            Some(before) => self.flow_mut(before).after = after,
            None => self.first = after,
        }
        match after {
            Some(after) => self.flow_mut(after).before = before,
            None => self.last = before,
        }
        for search in [&mut self.resume, &mut self.overtake] {
            if *search == Some(id) {
                *search = after;
            }
        }
    }

    fn flow(&self, id: PacketId) -> &Flow {
        self.flows.get(id).expect("links lead to open flows")
    }

    fn flow_mut(&mut self, id: PacketId) -> &mut Flow {
        self.flows.get_mut(id).expect("links lead to open flows")
    }
}

impl Unsent {
    /// The count that a flow in this state belongs to.
    fn of(&mut self, state: Sending) -> &mut usize {
        match state {
            Sending::AwaitPubAck | Sending::AwaitPubRec => &mut self.publishes,
            Sending::AwaitPubComp => &mut self.pubrels,
            Sending::Free | Sending::Queued => unreachable!("a flow in the window was sent"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::delivery::testing::delivery;
    use super::*;
    use crate::mqtt::QoS;

    #[test]
    fn what_is_open_and_what_of_it_is_awaited() {
        let mut window = Window::default();
        assert_eq!((window.open_count(), window.awaited_count()), (0, 0));
        assert!(window.is_empty());
        let ids = [1, 2, 3].map(|number| window.send(delivery(number, QoS::ExactlyOnce)));
        assert_eq!((window.open_count(), window.awaited_count()), (3, 3));
        assert!(!window.is_empty());
        assert_eq!(window.apply(ids[0], SendEvent::PubRecOk).0, SendAction::SendPubRel);
        assert_eq!((window.open_count(), window.awaited_count()), (3, 2), "the client has the first one");
        window.resume();
        assert_eq!((window.open_count(), window.awaited_count()), (1, 0), "two have to be sent again");
        window.check();
    }
}
