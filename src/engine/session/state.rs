//! The flows of QoS 1 and QoS 2 as data: which state and event lead where, and what is to be done.
//!
//! [`Sending`] is one message that we send, [`Receiving`] one packet identifier of the client's QoS 2 messages. Every
//! event has a row in every state, also those that a sane peer never causes: they are answered and change nothing.
//! The whole table is printed into `tests/fixtures/session-flows.txt`, so that a changed transition is a changed line.

/// Where a message stands that we send to a client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sending {
    /// There is no such message; its packet identifier may be given to another one.
    Free,
    /// It waits in the queue and was never sent.
    Queued,
    /// QoS 1, sent.
    AwaitPubAck,
    /// QoS 2, sent.
    AwaitPubRec,
    /// QoS 2, received by the client; PUBREL sent.
    AwaitPubComp,
}

/// What happens to a message that we send.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SendEvent {
    /// It cannot be sent at once and is to wait.
    Queue,
    /// It is sent for the first time, with QoS 1.
    SendQoS1,
    /// It is sent for the first time, with QoS 2.
    SendQoS2,
    /// Its time is over.
    Expire,
    /// PUBACK with a reason code below 0x80.
    PubAckOk,
    /// PUBACK with a reason code of 0x80 and above.
    PubAckError,
    /// PUBREC with a reason code below 0x80.
    PubRecOk,
    /// PUBREC with a reason code of 0x80 and above.
    PubRecError,
    /// PUBCOMP, whatever its reason code.
    PubComp,
    /// The packet is larger than the client accepts.
    GiveUp,
    /// The client is back and its session was present.
    Resume,
    /// The session leaves the shared group that the message came from, or is away.
    Leave,
    /// The session ends.
    SessionEnd,
}

/// What is to be done with a message that we send.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SendAction {
    /// Nothing.
    Ignore,
    /// Append it to the queue.
    Hold,
    /// PUBLISH, DUP 0.
    SendPublish,
    /// PUBLISH, DUP 1, same identifier.
    ResendPublish,
    /// The copy is delivered; PUBREL.
    SendPubRel,
    /// PUBREL once more.
    ResendPubRel,
    /// PUBREL with 0x92, Packet Identifier not found.
    AnswerNotFound,
    /// The copy is delivered.
    Deliver,
    /// The client refused the copy.
    Refuse,
    /// The flow has ended; its copy was accounted for before.
    Complete,
    /// The copy is dropped; if it came from a shared group, no other member gets it.
    Discard,
    /// A copy from a shared group goes back to the group, any other is dropped.
    Return,
}

impl Sending {
    /// The state after `event`, and what is to be done.
    #[must_use]
    pub fn step(self, event: SendEvent) -> (Self, SendAction) {
        match self {
            Self::Free => Self::step_free(event),
            Self::Queued => Self::step_queued(event),
            Self::AwaitPubAck => Self::step_await_puback(event),
            Self::AwaitPubRec => Self::step_await_pubrec(event),
            Self::AwaitPubComp => Self::step_await_pubcomp(event),
        }
    }

    fn step_free(event: SendEvent) -> (Self, SendAction) {
        match event {
            SendEvent::Queue => (Self::Queued, SendAction::Hold),
            // [MQTT-4.3.2-2] [MQTT-4.3.3-2] the first PUBLISH has DUP 0.
            SendEvent::SendQoS1 => (Self::AwaitPubAck, SendAction::SendPublish),
            SendEvent::SendQoS2 => (Self::AwaitPubRec, SendAction::SendPublish),
            // [MQTT-3.6.2-1] PUBREL says 0x92 to a PUBREC that belongs to nothing. One with an error asks for no PUBREL.
            SendEvent::PubRecOk => (Self::Free, SendAction::AnswerNotFound),
            SendEvent::Expire
            | SendEvent::PubAckOk
            | SendEvent::PubAckError
            | SendEvent::PubRecError
            | SendEvent::PubComp
            | SendEvent::GiveUp
            | SendEvent::Resume
            | SendEvent::Leave
            | SendEvent::SessionEnd => (Self::Free, SendAction::Ignore),
        }
    }

    fn step_queued(event: SendEvent) -> (Self, SendAction) {
        match event {
            SendEvent::SendQoS1 => (Self::AwaitPubAck, SendAction::SendPublish),
            SendEvent::SendQoS2 => (Self::AwaitPubRec, SendAction::SendPublish),
            // [MQTT-3.3.2-5] what was not yet sent when it expires is never sent.
            // [MQTT-3.1.2-25] what is too large to be sent counts as sent and done.
            SendEvent::Expire | SendEvent::GiveUp => (Self::Free, SendAction::Discard),
            SendEvent::Leave | SendEvent::SessionEnd => (Self::Free, SendAction::Return),
            SendEvent::Queue
            | SendEvent::PubAckOk
            | SendEvent::PubAckError
            | SendEvent::PubRecOk
            | SendEvent::PubRecError
            | SendEvent::PubComp
            | SendEvent::Resume => (Self::Queued, SendAction::Ignore),
        }
    }

    fn step_await_puback(event: SendEvent) -> (Self, SendAction) {
        match event {
            // [MQTT-4.3.2-3] unacknowledged until PUBACK.
            SendEvent::PubAckOk => (Self::Free, SendAction::Deliver),
            // [MQTT-4.4.0-2] an error acknowledges as well. [MQTT-4.8.2-6] no other member of a group gets it then.
            SendEvent::PubAckError => (Self::Free, SendAction::Refuse),
            // The identifier is not one of a QoS 2 message.
            SendEvent::PubRecOk => (Self::AwaitPubAck, SendAction::AnswerNotFound),
            // [MQTT-3.1.2-25] too large for the client: as if it were done.
            SendEvent::GiveUp => (Self::Free, SendAction::Discard),
            // [MQTT-4.4.0-1] resent when the session is resumed, at no other time, whether expired or not.
            SendEvent::Resume => (Self::AwaitPubAck, SendAction::ResendPublish),
            // A group may give an unacknowledged QoS 1 message to another member.
            SendEvent::Leave | SendEvent::SessionEnd => (Self::Free, SendAction::Return),
            SendEvent::Queue
            | SendEvent::SendQoS1
            | SendEvent::SendQoS2
            | SendEvent::Expire
            | SendEvent::PubRecError
            | SendEvent::PubComp => (Self::AwaitPubAck, SendAction::Ignore),
        }
    }

    fn step_await_pubrec(event: SendEvent) -> (Self, SendAction) {
        match event {
            // [MQTT-4.3.3-4] a PUBREC below 0x80 is answered with PUBREL.
            SendEvent::PubRecOk => (Self::AwaitPubComp, SendAction::SendPubRel),
            // [MQTT-4.4.0-2] an error acknowledges as well: no PUBREL, and the identifier is free.
            SendEvent::PubRecError => (Self::Free, SendAction::Refuse),
            // [MQTT-3.1.2-25] too large for the client: as if it were done.
            // [MQTT-4.8.2-5] the session that it was sent to is gone: nobody else gets it.
            SendEvent::GiveUp | SendEvent::SessionEnd => (Self::Free, SendAction::Discard),
            // [MQTT-4.3.3-3] [MQTT-4.4.0-1] unacknowledged until PUBREC, resent when the session is resumed.
            SendEvent::Resume => (Self::AwaitPubRec, SendAction::ResendPublish),
            SendEvent::Queue
            | SendEvent::SendQoS1
            | SendEvent::SendQoS2
            // [MQTT-4.3.3-7] once sent it no longer expires.
            | SendEvent::Expire
            | SendEvent::PubAckOk
            | SendEvent::PubAckError
            | SendEvent::PubComp
            // [MQTT-4.8.2-4] it is completed with the same client when that returns.
            | SendEvent::Leave => (Self::AwaitPubRec, SendAction::Ignore),
        }
    }

    fn step_await_pubcomp(event: SendEvent) -> (Self, SendAction) {
        match event {
            // [MQTT-4.3.3-5] [MQTT-4.3.3-6] unacknowledged until PUBCOMP: resent is PUBREL, PUBLISH never again.
            SendEvent::PubRecOk | SendEvent::Resume => (Self::AwaitPubComp, SendAction::ResendPubRel),
            SendEvent::PubComp
            | SendEvent::SessionEnd
            // The client says that it holds nothing under the identifier: it will not answer PUBREL.
            | SendEvent::PubRecError => (Self::Free, SendAction::Complete),
            SendEvent::Queue
            | SendEvent::SendQoS1
            | SendEvent::SendQoS2
            | SendEvent::Expire
            | SendEvent::PubAckOk
            | SendEvent::PubAckError
            | SendEvent::GiveUp
            | SendEvent::Leave => (Self::AwaitPubComp, SendAction::Ignore),
        }
    }
}

/// Where a packet identifier stands that the client uses for a QoS 2 message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Receiving {
    /// There is no message under it.
    Unknown,
    /// The message was handed to the shards; they have not yet said "stored", and PUBREC is due when they do.
    Routing,
    /// The same, but the connection that waited for PUBREC is gone.
    Detached,
    /// The message is stored; PUBREC was sent or is on its way.
    Received,
}

/// What happens to a packet identifier of the client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReceiveEvent {
    /// PUBLISH with QoS 2, DUP or not.
    Publish,
    /// Every shard that was asked has stored the message.
    Stored,
    /// The message was refused.
    Refused,
    /// PUBREL.
    PubRel,
    /// The connection is gone, the session stays.
    ConnectionLost,
    /// The session ends.
    SessionEnd,
}

/// What is to be done for a packet identifier of the client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReceiveAction {
    /// Nothing.
    Ignore,
    /// Hand the message to the shards.
    Route,
    /// PUBREC.
    AnswerPubRec,
    /// PUBREC with the reason of the refusal.
    AnswerPubRecRefused,
    /// PUBREC as soon as the message that is already on its way is stored; this one is not routed.
    AnswerWhenStored,
    /// PUBCOMP.
    AnswerPubComp,
    /// PUBCOMP with 0x92, Packet Identifier not found.
    AnswerPubCompNotFound,
}

impl Receiving {
    /// The state after `event`, and what is to be done.
    #[must_use]
    pub fn step(self, event: ReceiveEvent) -> (Self, ReceiveAction) {
        match self {
            Self::Unknown => Self::step_unknown(event),
            Self::Routing => Self::step_routing(event),
            Self::Detached => Self::step_detached(event),
            Self::Received => Self::step_received(event),
        }
    }

    fn step_unknown(event: ReceiveEvent) -> (Self, ReceiveAction) {
        match event {
            // [MQTT-4.3.3-9] [MQTT-4.3.3-12] after a failing PUBREC or a PUBCOMP it is a new message, even with DUP 1.
            ReceiveEvent::Publish => (Self::Routing, ReceiveAction::Route),
            ReceiveEvent::PubRel => (Self::Unknown, ReceiveAction::AnswerPubCompNotFound),
            ReceiveEvent::Stored | ReceiveEvent::Refused | ReceiveEvent::ConnectionLost | ReceiveEvent::SessionEnd => {
                (Self::Unknown, ReceiveAction::Ignore)
            }
        }
    }

    fn step_routing(event: ReceiveEvent) -> (Self, ReceiveAction) {
        match event {
            // [MQTT-4.3.3-10] a repeat is answered and not delivered again.
            ReceiveEvent::Publish => (Self::Routing, ReceiveAction::AnswerWhenStored),
            // [MQTT-4.3.3-8] PUBREC after taking ownership, not before.
            ReceiveEvent::Stored => (Self::Received, ReceiveAction::AnswerPubRec),
            ReceiveEvent::Refused => (Self::Unknown, ReceiveAction::AnswerPubRecRefused),
            // There was no PUBREC that this could follow.
            ReceiveEvent::PubRel => (Self::Routing, ReceiveAction::AnswerPubCompNotFound),
            ReceiveEvent::ConnectionLost => (Self::Detached, ReceiveAction::Ignore),
            ReceiveEvent::SessionEnd => (Self::Unknown, ReceiveAction::Ignore),
        }
    }

    fn step_detached(event: ReceiveEvent) -> (Self, ReceiveAction) {
        match event {
            // The client sends it again on its new connection, which waits from now on. [MQTT-4.3.3-10]
            ReceiveEvent::Publish => (Self::Routing, ReceiveAction::AnswerWhenStored),
            ReceiveEvent::Stored => (Self::Received, ReceiveAction::Ignore),
            ReceiveEvent::Refused | ReceiveEvent::SessionEnd => (Self::Unknown, ReceiveAction::Ignore),
            ReceiveEvent::PubRel => (Self::Detached, ReceiveAction::AnswerPubCompNotFound),
            ReceiveEvent::ConnectionLost => (Self::Detached, ReceiveAction::Ignore),
        }
    }

    fn step_received(event: ReceiveEvent) -> (Self, ReceiveAction) {
        match event {
            // [MQTT-4.3.3-10] a repeat is answered and not delivered again.
            ReceiveEvent::Publish => (Self::Received, ReceiveAction::AnswerPubRec),
            // [MQTT-4.3.3-11] PUBREL is answered with PUBCOMP. [MQTT-4.3.3-13] also when the message has expired.
            ReceiveEvent::PubRel => (Self::Unknown, ReceiveAction::AnswerPubComp),
            ReceiveEvent::Stored | ReceiveEvent::Refused | ReceiveEvent::ConnectionLost => {
                (Self::Received, ReceiveAction::Ignore)
            }
            ReceiveEvent::SessionEnd => (Self::Unknown, ReceiveAction::Ignore),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fmt::Write;

    use super::*;

    const SENDING: [Sending; 5] =
        [Sending::Free, Sending::Queued, Sending::AwaitPubAck, Sending::AwaitPubRec, Sending::AwaitPubComp];
    const SEND_EVENTS: [SendEvent; 13] = [
        SendEvent::Queue,
        SendEvent::SendQoS1,
        SendEvent::SendQoS2,
        SendEvent::Expire,
        SendEvent::PubAckOk,
        SendEvent::PubAckError,
        SendEvent::PubRecOk,
        SendEvent::PubRecError,
        SendEvent::PubComp,
        SendEvent::GiveUp,
        SendEvent::Resume,
        SendEvent::Leave,
        SendEvent::SessionEnd,
    ];
    const RECEIVING: [Receiving; 4] =
        [Receiving::Unknown, Receiving::Routing, Receiving::Detached, Receiving::Received];
    const RECEIVE_EVENTS: [ReceiveEvent; 6] = [
        ReceiveEvent::Publish,
        ReceiveEvent::Stored,
        ReceiveEvent::Refused,
        ReceiveEvent::PubRel,
        ReceiveEvent::ConnectionLost,
        ReceiveEvent::SessionEnd,
    ];

    /// One line a transition: state, event, the state after it, the action.
    fn table() -> String {
        let mut lines = String::from("sending\n");
        for state in SENDING {
            for event in SEND_EVENTS {
                let (after, action) = state.step(event);
                write_row(&mut lines, &[&state, &event, &after, &action]);
            }
        }
        lines.push_str("\nreceiving\n");
        for state in RECEIVING {
            for event in RECEIVE_EVENTS {
                let (after, action) = state.step(event);
                write_row(&mut lines, &[&state, &event, &after, &action]);
            }
        }
        lines
    }

    fn write_row(lines: &mut String, row: &[&dyn std::fmt::Debug; 4]) {
        let [state, event, after, action] = row.map(|cell| format!("{cell:?}"));
        writeln!(lines, "{state:<12} {event:<14} -> {after:<12} {action}").expect("text takes text");
    }

    #[test]
    fn every_transition_is_the_reviewed_one() {
        let reviewed = include_str!("../../../tests/fixtures/session-flows.txt");
        let table = table();
        for (now, reviewed) in table.lines().zip(reviewed.lines()) {
            assert_eq!(now, reviewed, "a transition differs from tests/fixtures/session-flows.txt");
        }
        assert_eq!(table.lines().count(), reviewed.lines().count(), "the whole table, were it right:\n{table}");
    }

    #[test]
    fn only_the_awaited_packet_moves_a_sent_message_forward() {
        let acks = [SendEvent::PubAckOk, SendEvent::PubRecOk, SendEvent::PubComp];
        let awaiting = [Sending::AwaitPubAck, Sending::AwaitPubRec, Sending::AwaitPubComp];
        for (awaited, state) in awaiting.into_iter().enumerate() {
            for (ack, event) in acks.into_iter().enumerate() {
                let moved = state.step(event).0 != state;
                assert_eq!(moved, ack == awaited, "{state:?} {event:?}");
            }
        }
    }

    #[test]
    fn a_released_message_is_never_published_again() {
        for event in SEND_EVENTS {
            let (_, action) = Sending::AwaitPubComp.step(event);
            assert!(!matches!(action, SendAction::SendPublish | SendAction::ResendPublish), "{event:?}");
        }
    }

    #[test]
    fn the_end_of_a_session_leaves_nothing_open() {
        assert!(SENDING.iter().all(|state| state.step(SendEvent::SessionEnd).0 == Sending::Free));
        assert!(RECEIVING.iter().all(|state| state.step(ReceiveEvent::SessionEnd).0 == Receiving::Unknown));
    }

    #[test]
    fn a_message_of_the_client_is_routed_only_when_its_identifier_is_unknown() {
        for state in RECEIVING {
            let routes = state.step(ReceiveEvent::Publish).1 == ReceiveAction::Route;
            assert_eq!(routes, state == Receiving::Unknown, "{state:?}");
        }
    }
}
