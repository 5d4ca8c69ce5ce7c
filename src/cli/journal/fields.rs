//! What there is to say about one change, beside whose it is.

use super::moment::Moment;
use super::row::{Row, Value};
use crate::engine::change::{Change, Serial, Standing};
use crate::engine::message::{Message, SessionId};
use crate::engine::session::delivery::SubscriptionIds;
use crate::engine::session::will::Will;
use crate::engine::subscriptions::entry::Options;
use crate::engine::subscriptions::members::Terms;
use crate::journal::kind::Kind;
use crate::journal::replay::Found;
use crate::mqtt::properties::Properties;
use crate::mqtt::property::Place;
use crate::mqtt::{PacketId, QoS};

/// The name of a kind: `session_ended`.
pub fn name(kind: Kind) -> String {
    let mut name = String::new();
    for letter in format!("{kind:?}").chars() {
        if letter.is_uppercase() && !name.is_empty() {
            name.push('_');
        }
        name.push(letter.to_ascii_lowercase());
    }
    name
}

/// The session that a change is about, if it is about one.
pub fn session(change: &Change) -> Option<SessionId> {
    match change {
        Change::Session { session, .. }
        | Change::SessionEnded { session }
        | Change::Subscribed { session, .. }
        | Change::Unsubscribed { session, .. }
        | Change::Joined { session, .. }
        | Change::Left { session, .. }
        | Change::Will { session, .. }
        | Change::WillGone { session }
        | Change::Queued { session, .. }
        | Change::QueuedAgain { session, .. }
        | Change::Sent { session, .. }
        | Change::Settled { session, .. }
        | Change::Taken { session, .. }
        | Change::Completed { session, .. }
        | Change::Incoming { session, .. }
        | Change::Doubtful { session, .. }
        | Change::Released { session, .. }
        | Change::Passed { session, .. }
        | Change::Forgotten { session, .. } => Some(*session),
        Change::Body { .. }
        | Change::BodyAgain { .. }
        | Change::Swept { .. }
        | Change::Bequest { .. }
        | Change::BequestOver { .. }
        | Change::Fanout { .. }
        | Change::FannedOut { .. }
        | Change::Retained { .. }
        | Change::RetainedGone { .. }
        | Change::Group { .. }
        | Change::GroupAgain { .. }
        | Change::GroupEnded { .. }
        | Change::GroupQueued { .. }
        | Change::GroupQueuedAgain { .. }
        | Change::GroupSettled { .. }
        | Change::Assigned { .. }
        | Change::Unassigned { .. } => None,
    }
}

/// The number by which the message is known that a change brings, if it brings one.
pub fn message(found: &Found) -> Option<Serial> {
    if let Change::BodyAgain { body, .. } = found.change {
        return Some(body);
    }
    matches!(found.change, Change::Body { .. }).then_some(found.serial)
}

/// What a change says.
pub fn of(change: &Change) -> Row<'_> {
    let row = Row::default();
    match change {
        Change::Session { standing, .. } => of_standing(standing),
        Change::SessionEnded { .. } | Change::WillGone { .. } => row,
        Change::Subscribed { filter, options, .. } => row.with("filter", &**filter).and(of_options(*options)),
        Change::Unsubscribed { filter, .. } => row.with("filter", &**filter),
        Change::Joined { share, filter, terms, .. } => of_group(share, filter).and(of_terms(*terms)),
        Change::Left { share, filter, .. } | Change::Group { share, filter } | Change::GroupEnded { share, filter } => {
            of_group(share, filter)
        }
        Change::Will { will, .. } => of_will(will),
        Change::Bequest { number, body } => row.with("number", number.get()).with("body", body.get()),
        Change::BequestOver { number } => row.with("number", number.get()),
        Change::Body { message } => of_message(message),
        Change::BodyAgain { body, message } => row.with("body", body.get()).and(of_message(message)),
        Change::Swept { sessions } => row.with("sessions", *sessions),
        Change::Fanout { body } | Change::FannedOut { body } => row.with("body", body.get()),
        Change::Retained { body, user } => row.with("body", body.get()).with_some("user", user.as_deref()),
        Change::Queued { body, qos, retain, ids, .. } => of_copy(*body, *qos, *retain, ids),
        Change::QueuedAgain { copy, body, qos, retain, ids, .. } => {
            row.with("copy", copy.get()).and(of_copy(*body, *qos, *retain, ids))
        }
        Change::Sent { copy, id, .. } | Change::Taken { copy, id, .. } => {
            row.with("copy", copy.get()).and(of_packet(*id))
        }
        Change::Settled { copy, .. } | Change::GroupSettled { copy } => row.with("copy", copy.get()),
        Change::Completed { id, .. }
        | Change::Incoming { id, .. }
        | Change::Doubtful { id, .. }
        | Change::Released { id, .. }
        | Change::Passed { id, .. }
        | Change::Forgotten { id, .. } => of_packet(*id),
        Change::RetainedGone { topic } => row.with("topic", &**topic),
        Change::GroupAgain { group, share, filter } => row.with("group", group.get()).and(of_group(share, filter)),
        Change::GroupQueued { group, body } => row.with("group", group.get()).with("body", body.get()),
        Change::GroupQueuedAgain { copy, group, body } => {
            row.with("copy", copy.get()).with("group", group.get()).with("body", body.get())
        }
        Change::Assigned { home, copy } | Change::Unassigned { home, copy } => {
            row.with("home", home.index() as u64).with("copy", copy.get())
        }
    }
}

fn of_standing(standing: &Standing) -> Row<'_> {
    let Standing { owner, expiry_s, ends_at, is_connected, .. } = standing;
    Row::default()
        .with_some("user", owner.user.as_deref())
        .with("expiry_s", *expiry_s)
        .with("is_connected", *is_connected)
        .with_some("ends_at", Moment::of(*ends_at).map(|moment| moment.to_string()))
}

fn of_group<'a>(share: &'a str, filter: &'a str) -> Row<'a> {
    Row::default().with("share", share).with("filter", filter)
}

fn of_options<'a>(options: Options) -> Row<'a> {
    Row::default()
        .with("qos", u32::from(options.qos().bits()))
        .with("no_local", options.no_local())
        .with("retain_as_published", options.retain_as_published())
        .with_some("subscription_id", options.id())
}

fn of_terms<'a>(terms: Terms) -> Row<'a> {
    let Terms { qos, subscription_id, retain_as_published } = terms;
    Row::default()
        .with("qos", u32::from(qos.bits()))
        .with("retain_as_published", retain_as_published)
        .with_some("subscription_id", (subscription_id != 0).then_some(subscription_id))
}

fn of_will(will: &Will) -> Row<'_> {
    of_words(will.topic().as_str(), will.forwarded(), will.payload())
        .and(of_flags(will.qos, will.retain))
        .with("delay_s", will.delay_s)
        .with_some("due_at", Moment::of(will.due_at).map(|moment| moment.to_string()))
        .with_some("message_expiry_s", will.message_expiry_s)
        .with_some("number", (will.number != SessionId::BROKER).then(|| will.number.get()))
}

fn of_message(message: &Message) -> Row<'_> {
    of_words(message.topic(), message.forwarded(), message.payload())
        .and(of_flags(message.qos, message.retain))
        .with("origin", message.origin.get())
        .with_some("expires_at", Moment::of(message.expires).map(|moment| moment.to_string()))
}

fn of_copy(body: Serial, qos: QoS, retain: bool, ids: &SubscriptionIds) -> Row<'_> {
    let ids: Vec<Value<'_>> = ids.as_slice().iter().map(|id| (*id).into()).collect();
    Row::default()
        .with("body", body.get())
        .and(of_flags(qos, retain))
        .with_some("subscription_ids", (!ids.is_empty()).then_some(Value::List(ids)))
}

fn of_words<'a>(topic: &'a str, forwarded: &'a [u8], payload: &'a [u8]) -> Row<'a> {
    let row = Row::default().with("topic", topic).with("payload", Value::of_bytes(payload));
    match Properties::parse(forwarded, Place::Publish) {
        Ok(properties) => row.and(of_properties(properties)),
        Err(_) => row.with("properties", Value::of_bytes(forwarded)),
    }
}

fn of_properties(properties: Properties<'_>) -> Row<'_> {
    let user: Vec<Value<'_>> = properties
        .user()
        .map(|(name, value)| Value::Row(Row::default().with("name", name).with("value", value)))
        .collect();
    Row::default()
        .with_some("payload_format", properties.payload_format())
        .with_some("content_type", properties.content_type())
        .with_some("response_topic", properties.response_topic())
        .with_some("correlation_data", properties.correlation_data().map(Value::of_bytes))
        .with_some("user", (!user.is_empty()).then_some(Value::List(user)))
}

fn of_flags<'a>(qos: QoS, retain: bool) -> Row<'a> {
    Row::default().with("qos", u32::from(qos.bits())).with("retain", retain)
}

fn of_packet<'a>(id: PacketId) -> Row<'a> {
    Row::default().with("packet_id", u32::from(id.get()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_kind_is_named_in_small_letters() {
        let names: Vec<String> = Kind::ALL.into_iter().map(name).collect();
        assert_eq!((&*names[0], &*names[1], &*names[19]), ("session", "session_ended", "fanned_out"));
    }
}
