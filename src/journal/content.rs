//! What stands in a record: a change as a kind and fields, and the way back.
//!
//! ```text
//! Session       session, flags (connected, superuser, has user), expiry s, ends at, client id, [user], method, groups to the end
//! SessionEnded  session                                   WillGone      session
//! Subscribed    session, qos + flags, identifier, filter  Unsubscribed  session, filter
//! Joined        session, qos + flags, identifier, share, filter         Left  session, share, filter
//! Will          session, qos + flags, delay s, due at, [expiry s], [number], topic, properties, payload to the end
//! Bequest       number, body                              BequestOver   number
//! Body          qos + flags, [expires], origin, topic, properties, payload to the end
//! Queued        session, body, qos + flags, identifiers to the end
//! BodyAgain     body, then as Body                        QueuedAgain   copy, then as Queued
//! Sent, Taken   session, copy, packet identifier          Settled       session, copy
//! Completed, Incoming, Doubtful, Released, Passed, Forgotten  session, packet identifier
//! Retained, Fanout, FannedOut  body                       RetainedGone  topic
//! Group         share, filter                              GroupAgain    group, then as Group
//! GroupEnded    share, filter                              GroupSettled  copy
//! GroupQueued   group, body                                GroupQueuedAgain  copy, then as GroupQueued
//! Assigned, Unassigned  home, copy                         RetainedBy    body, user to the end
//! ```
//! Numbers are [`varint`]s. A text has its length in front. A point in time is one of the [`Epoch`]. An earlier change is named by how
//! many numbers back it is, which is a small number and stays true when a record moves. A copy that another shard has noted is named by
//! its number there.

use std::sync::Arc;

use super::epoch::Epoch;
use super::fields::{Fields, bits, flags, packed, put_bytes, put_packet_id, qos_and_flags};
use super::kind::{Kind, MAY_BE_SKIPPED};
use super::record::RecordError;
use super::varint;
use crate::engine::auth::identity::Identity;
use crate::engine::change::{Change, Serial, Standing};
use crate::engine::homes::{SHARDS_MAX, ShardId};
use crate::engine::message::{Message, Publication, SessionId};
use crate::engine::session::delivery::SubscriptionIds;
use crate::engine::session::will::Will;
use crate::engine::subscriptions::entry::Options;
use crate::engine::subscriptions::members::Terms;
use crate::mqtt::varint::VARINT_MAX;
use crate::mqtt::{Filter, QoS, Topic};

/// The ways of proving who one is that the engine knows by name. Another one comes back as [`OTHER_METHOD`].
const METHODS: [&str; 5] = ["anonymous", "password", "certificate", "scram", "token"];
const OTHER_METHOD: &str = "restored";

/// About as many bytes as [`encode`] will append: what is long in a change is counted, what is short is guessed.
pub fn estimated_len(change: &Change) -> usize {
    const SHORT: usize = 24;
    let long = match change {
        Change::Session { standing, .. } => standing.client_id.len() + standing.owner.method.len(),
        Change::Subscribed { filter, .. } | Change::Unsubscribed { filter, .. } => filter.len(),
        Change::Joined { share, filter, .. }
        | Change::Left { share, filter, .. }
        | Change::Group { share, filter }
        | Change::GroupAgain { share, filter, .. }
        | Change::GroupEnded { share, filter } => share.len() + filter.len(),
        Change::Will { will, .. } => will.topic().as_str().len() + will.forwarded().len() + will.payload().len(),
        Change::Body { message } | Change::BodyAgain { message, .. } => {
            message.topic().len() + message.forwarded().len() + message.payload().len()
        }
        Change::RetainedGone { topic } => topic.len(),
        Change::Retained { user, .. } => user.as_ref().map_or(0, |user| user.len()),
        Change::SessionEnded { .. }
        | Change::WillGone { .. }
        | Change::Bequest { .. }
        | Change::BequestOver { .. }
        | Change::Queued { .. }
        | Change::QueuedAgain { .. }
        | Change::Sent { .. }
        | Change::Settled { .. }
        | Change::Taken { .. }
        | Change::Completed { .. }
        | Change::Incoming { .. }
        | Change::Doubtful { .. }
        | Change::Released { .. }
        | Change::Passed { .. }
        | Change::Forgotten { .. }
        | Change::Fanout { .. }
        | Change::FannedOut { .. }
        | Change::GroupQueued { .. }
        | Change::GroupQueuedAgain { .. }
        | Change::GroupSettled { .. }
        | Change::Assigned { .. }
        | Change::Unassigned { .. }
        | Change::Swept { .. } => 0,
    };
    SHORT + long
}

/// Appends the kind and the fields of the change of this number.
#[expect(clippy::too_many_lines, reason = "an arm for each shape of a record")]
pub fn encode(serial: Serial, change: &Change, epoch: Epoch, out: &mut Vec<u8>) {
    out.push(Kind::of(change).number());
    match change {
        Change::Session { session, standing } => {
            put_session(*session, out);
            put_standing(standing, epoch, out);
        }
        Change::SessionEnded { session } | Change::WillGone { session } | Change::BequestOver { number: session } => {
            put_session(*session, out);
        }
        Change::Bequest { number, body } => {
            put_session(*number, out);
            put_earlier(serial, *body, out);
        }
        Change::Subscribed { session, filter, options } => {
            put_session(*session, out);
            out.push(packed(options.qos(), [options.no_local(), options.retain_as_published()]));
            varint::encode(u64::from(options.id().unwrap_or(0)), out);
            out.extend_from_slice(filter.as_bytes());
        }
        Change::Unsubscribed { session, filter } => {
            put_session(*session, out);
            out.extend_from_slice(filter.as_bytes());
        }
        Change::Joined { session, share, filter, terms } => {
            put_session(*session, out);
            out.push(packed(terms.qos, [terms.retain_as_published]));
            varint::encode(u64::from(terms.subscription_id), out);
            put_group(share, filter, out);
        }
        Change::Left { session, share, filter } => {
            put_session(*session, out);
            put_group(share, filter, out);
        }
        Change::Will { session, will } => {
            put_session(*session, out);
            put_will(will, epoch, out);
        }
        Change::Body { message } => put_message(message, epoch, out),
        Change::BodyAgain { body, message } => {
            put_earlier(serial, *body, out);
            put_message(message, epoch, out);
        }
        Change::Queued { session, body, qos, retain, ids } => {
            put_queued(serial, *session, *body, packed(*qos, [*retain]), ids, out);
        }
        Change::QueuedAgain { copy, session, body, qos, retain, ids } => {
            put_earlier(serial, *copy, out);
            put_queued(serial, *session, *body, packed(*qos, [*retain]), ids, out);
        }
        Change::Sent { session, copy, id } | Change::Taken { session, copy, id } => {
            put_session(*session, out);
            put_earlier(serial, *copy, out);
            put_packet_id(*id, out);
        }
        Change::Settled { session, copy } => {
            put_session(*session, out);
            put_earlier(serial, *copy, out);
        }
        Change::Completed { session, id }
        | Change::Incoming { session, id }
        | Change::Doubtful { session, id }
        | Change::Released { session, id }
        | Change::Passed { session, id }
        | Change::Forgotten { session, id } => {
            put_session(*session, out);
            put_packet_id(*id, out);
        }
        Change::Retained { body, user } => {
            put_earlier(serial, *body, out);
            out.extend_from_slice(user.as_deref().unwrap_or_default().as_bytes());
        }
        Change::Fanout { body: earlier }
        | Change::FannedOut { body: earlier }
        | Change::GroupSettled { copy: earlier } => put_earlier(serial, *earlier, out),
        Change::RetainedGone { topic } => out.extend_from_slice(topic.as_bytes()),
        Change::Swept { sessions } => varint::encode(*sessions, out),
        Change::Group { share, filter } | Change::GroupEnded { share, filter } => put_group(share, filter, out),
        Change::GroupAgain { group, share, filter } => {
            put_earlier(serial, *group, out);
            put_group(share, filter, out);
        }
        Change::GroupQueued { group, body } => put_each_earlier(serial, [*group, *body], out),
        Change::GroupQueuedAgain { copy, group, body } => put_each_earlier(serial, [*copy, *group, *body], out),
        Change::Assigned { home, copy } | Change::Unassigned { home, copy } => put_copy_at(*home, *copy, out),
    }
}

/// Reads the change of this number out of a kind and its fields; `None` for one that a newer version may have written and
/// this one may pass over.
pub fn decode(serial: Serial, content: &[u8], epoch: Epoch) -> Result<Option<Change>, RecordError> {
    let mut fields = Fields::new(content);
    let number = fields.byte()?;
    let Some(kind) = Kind::from_number(number) else {
        return if number & MAY_BE_SKIPPED != 0 { Ok(None) } else { Err(RecordError::UnknownKind { kind: number }) };
    };
    let change = decode_kind(kind, serial, &mut fields, epoch)?;
    fields.finish()?;
    Ok(Some(change))
}

#[expect(clippy::too_many_lines, reason = "an arm for each kind of a record")]
fn decode_kind(kind: Kind, serial: Serial, fields: &mut Fields<'_>, epoch: Epoch) -> Result<Change, RecordError> {
    // The fields of an expression are read in the order in which they are written down here.
    Ok(match kind {
        Kind::Session => {
            Change::Session { session: take_session(fields)?, standing: Box::new(take_standing(fields, epoch)?) }
        }
        Kind::SessionEnded => Change::SessionEnded { session: take_session(fields)? },
        Kind::Subscribed => {
            let (session, options) = (take_session(fields)?, take_options(fields)?);
            Change::Subscribed { session, filter: last_filter(fields)?, options }
        }
        Kind::Unsubscribed => Change::Unsubscribed { session: take_session(fields)?, filter: last_filter(fields)? },
        Kind::Joined => {
            let (session, terms) = (take_session(fields)?, take_terms(fields)?);
            Change::Joined { session, share: fields.text()?.into(), filter: last_filter(fields)?, terms }
        }
        Kind::Left => {
            Change::Left { session: take_session(fields)?, share: fields.text()?.into(), filter: last_filter(fields)? }
        }
        Kind::Will => Change::Will { session: take_session(fields)?, will: Box::new(take_will(fields, epoch)?) },
        Kind::WillGone => Change::WillGone { session: take_session(fields)? },
        Kind::Bequest => Change::Bequest { number: take_session(fields)?, body: take_earlier(serial, fields)? },
        Kind::BequestOver => Change::BequestOver { number: take_session(fields)? },
        Kind::Body => Change::Body { message: take_message(fields, epoch)? },
        Kind::BodyAgain => {
            Change::BodyAgain { body: take_earlier(serial, fields)?, message: take_message(fields, epoch)? }
        }
        Kind::Queued => {
            let Queued { session, body, qos, retain, ids } = take_queued(serial, fields)?;
            Change::Queued { session, body, qos, retain, ids }
        }
        Kind::QueuedAgain => {
            let copy = take_earlier(serial, fields)?;
            let Queued { session, body, qos, retain, ids } = take_queued(serial, fields)?;
            Change::QueuedAgain { copy, session, body, qos, retain, ids }
        }
        Kind::Sent => {
            let (session, copy) = (take_session(fields)?, take_earlier(serial, fields)?);
            Change::Sent { session, copy, id: fields.packet_id()? }
        }
        Kind::Settled => Change::Settled { session: take_session(fields)?, copy: take_earlier(serial, fields)? },
        Kind::Taken => {
            let (session, copy) = (take_session(fields)?, take_earlier(serial, fields)?);
            Change::Taken { session, copy, id: fields.packet_id()? }
        }
        Kind::Completed => Change::Completed { session: take_session(fields)?, id: fields.packet_id()? },
        Kind::Incoming => Change::Incoming { session: take_session(fields)?, id: fields.packet_id()? },
        Kind::Doubtful => Change::Doubtful { session: take_session(fields)?, id: fields.packet_id()? },
        Kind::Released => Change::Released { session: take_session(fields)?, id: fields.packet_id()? },
        Kind::Retained => Change::Retained { body: take_earlier(serial, fields)?, user: None },
        Kind::RetainedBy => Change::Retained { body: take_earlier(serial, fields)?, user: Some(last_user(fields)?) },
        Kind::RetainedGone => Change::RetainedGone { topic: last_topic(fields)?.as_str().into() },
        Kind::Fanout => Change::Fanout { body: take_earlier(serial, fields)? },
        Kind::FannedOut => Change::FannedOut { body: take_earlier(serial, fields)? },
        Kind::Passed => Change::Passed { session: take_session(fields)?, id: fields.packet_id()? },
        Kind::Forgotten => Change::Forgotten { session: take_session(fields)?, id: fields.packet_id()? },
        Kind::Swept => Change::Swept { sessions: fields.number()? },
        Kind::Group => Change::Group { share: fields.text()?.into(), filter: last_filter(fields)? },
        Kind::GroupAgain => {
            let group = take_earlier(serial, fields)?;
            Change::GroupAgain { group, share: fields.text()?.into(), filter: last_filter(fields)? }
        }
        Kind::GroupEnded => Change::GroupEnded { share: fields.text()?.into(), filter: last_filter(fields)? },
        Kind::GroupQueued => {
            Change::GroupQueued { group: take_earlier(serial, fields)?, body: take_earlier(serial, fields)? }
        }
        Kind::GroupQueuedAgain => {
            let copy = take_earlier(serial, fields)?;
            let (group, body) = (take_earlier(serial, fields)?, take_earlier(serial, fields)?);
            Change::GroupQueuedAgain { copy, group, body }
        }
        Kind::GroupSettled => Change::GroupSettled { copy: take_earlier(serial, fields)? },
        Kind::Assigned => Change::Assigned { home: take_shard(fields)?, copy: Serial::new(fields.number()?) },
        Kind::Unassigned => Change::Unassigned { home: take_shard(fields)?, copy: Serial::new(fields.number()?) },
    })
}

fn put_session(session: SessionId, out: &mut Vec<u8>) {
    varint::encode(session.get(), out);
}

fn take_session(fields: &mut Fields<'_>) -> Result<SessionId, RecordError> {
    fields.number().map(SessionId::restored)
}

/// How many numbers back from `own` the earlier change is.
fn put_earlier(own: Serial, earlier: Serial, out: &mut Vec<u8>) {
    debug_assert!(earlier < own, "a change names earlier ones");
    varint::encode(own.get() - earlier.get(), out);
}

fn put_each_earlier<const COUNT: usize>(own: Serial, earlier: [Serial; COUNT], out: &mut Vec<u8>) {
    for earlier in earlier {
        put_earlier(own, earlier, out);
    }
}

fn take_earlier(own: Serial, fields: &mut Fields<'_>) -> Result<Serial, RecordError> {
    let back = fields.number()?;
    let earlier = own.get().checked_sub(back).filter(|_| back > 0);
    earlier.map(Serial::new).ok_or(RecordError::Field { name: "earlier change" })
}

fn take_shard(fields: &mut Fields<'_>) -> Result<ShardId, RecordError> {
    let number = usize::try_from(fields.number()?).ok().filter(|number| *number < SHARDS_MAX);
    number.map(ShardId::new).ok_or(RecordError::Field { name: "shard" })
}

fn put_copy_at(home: ShardId, copy: Serial, out: &mut Vec<u8>) {
    varint::encode(home.index() as u64, out);
    varint::encode(copy.get(), out);
}

fn put_group(share: &str, filter: &str, out: &mut Vec<u8>) {
    put_bytes(share.as_bytes(), out);
    out.extend_from_slice(filter.as_bytes());
}

fn put_standing(standing: &Standing, epoch: Epoch, out: &mut Vec<u8>) {
    let owner = &standing.owner;
    out.push(bits([standing.is_connected, owner.is_superuser, owner.user.is_some()]));
    varint::encode(u64::from(standing.expiry_s), out);
    varint::encode(epoch.to_wall(standing.ends_at), out);
    put_bytes(standing.client_id.as_bytes(), out);
    if let Some(user) = &owner.user {
        put_bytes(user.as_bytes(), out);
    }
    put_bytes(owner.method.as_bytes(), out);
    owner.groups.iter().for_each(|group| put_bytes(group.as_bytes(), out));
}

fn take_standing(fields: &mut Fields<'_>, epoch: Epoch) -> Result<Standing, RecordError> {
    let [is_connected, is_superuser, has_user] = flags(fields.byte()?)?;
    let expiry_s = fields.small()?;
    let ends_at = epoch.to_time(fields.number()?);
    let client_id = fields.text()?.into();
    let user = if has_user { Some(fields.text()?.into()) } else { None };
    let written = fields.text()?;
    let method = METHODS.into_iter().find(|known| *known == written).unwrap_or(OTHER_METHOD);
    let mut groups = Vec::new();
    while !fields.is_empty() {
        groups.push(fields.text()?.into());
    }
    // What was proven until some moment is proven anew by whoever comes back.
    let owner = Arc::new(Identity { user, method, groups, is_superuser, ..Identity::anonymous() });
    Ok(Standing { client_id, owner, expiry_s, ends_at, is_connected })
}

fn take_options(fields: &mut Fields<'_>) -> Result<Options, RecordError> {
    let (qos, [no_local, as_published]) = qos_and_flags(fields.byte()?)?;
    let id = take_subscription_id(fields)?;
    Ok(Options::new(qos).with_id(id).with_no_local(no_local).with_retain_as_published(as_published))
}

fn take_terms(fields: &mut Fields<'_>) -> Result<Terms, RecordError> {
    let (qos, [retain_as_published]) = qos_and_flags(fields.byte()?)?;
    Ok(Terms { qos, subscription_id: take_subscription_id(fields)?, retain_as_published })
}

/// A subscription identifier, 0 for none.
fn take_subscription_id(fields: &mut Fields<'_>) -> Result<u32, RecordError> {
    let id = fields.small()?;
    if id <= VARINT_MAX { Ok(id) } else { Err(RecordError::Field { name: "subscription identifier" }) }
}

/// The filter that fills the rest of a record.
fn last_filter(fields: &mut Fields<'_>) -> Result<Box<str>, RecordError> {
    let text = std::str::from_utf8(fields.rest()).ok();
    let filter = text.and_then(|text| Filter::parse(text).ok()).ok_or(RecordError::Field { name: "filter" })?;
    Ok(filter.as_str().into())
}

/// The user's name that fills the rest of a record.
fn last_user(fields: &mut Fields<'_>) -> Result<Arc<str>, RecordError> {
    let text = std::str::from_utf8(fields.rest()).ok();
    text.map(Arc::from).ok_or(RecordError::Field { name: "user" })
}

/// The topic that fills the rest of a record.
fn last_topic<'a>(fields: &mut Fields<'a>) -> Result<Topic<'a>, RecordError> {
    topic(fields.rest())
}

fn topic(bytes: &[u8]) -> Result<Topic<'_>, RecordError> {
    let text = std::str::from_utf8(bytes).ok();
    text.and_then(|text| Topic::parse(text).ok()).ok_or(RecordError::Field { name: "topic" })
}

fn put_will(will: &Will, epoch: Epoch, out: &mut Vec<u8>) {
    let is_numbered = will.number != SessionId::BROKER;
    out.push(packed(will.qos, [will.retain, will.message_expiry_s.is_some(), is_numbered]));
    varint::encode(u64::from(will.delay_s), out);
    varint::encode(epoch.to_wall(will.due_at), out);
    if let Some(expiry_s) = will.message_expiry_s {
        varint::encode(u64::from(expiry_s), out);
    }
    if is_numbered {
        put_session(will.number, out);
    }
    put_bytes(will.topic().as_str().as_bytes(), out);
    put_bytes(will.forwarded(), out);
    out.extend_from_slice(will.payload());
}

fn take_will(fields: &mut Fields<'_>, epoch: Epoch) -> Result<Will, RecordError> {
    let (qos, [retain, has_expiry, is_numbered]) = qos_and_flags(fields.byte()?)?;
    let delay_s = fields.small()?;
    let due_at = epoch.to_time(fields.number()?);
    let message_expiry_s = if has_expiry { Some(fields.small()?) } else { None };
    let number = if is_numbered { take_session(fields)? } else { SessionId::BROKER };
    let topic = topic(fields.bytes()?)?;
    let mut will = Will::restored(topic, fields.bytes()?, fields.rest());
    (will.qos, will.retain, will.delay_s) = (qos, retain, delay_s);
    (will.due_at, will.message_expiry_s, will.number) = (due_at, message_expiry_s, number);
    Ok(will)
}

fn put_message(message: &Message, epoch: Epoch, out: &mut Vec<u8>) {
    let (topic, forwarded) = (message.topic(), message.forwarded());
    out.push(packed(message.qos, [message.retain, !message.expires.is_never()]));
    if !message.expires.is_never() {
        varint::encode(epoch.to_wall(message.expires), out);
    }
    put_session(message.origin, out);
    put_bytes(topic.as_bytes(), out);
    put_bytes(forwarded, out);
    out.extend_from_slice(message.payload());
}

fn take_message(fields: &mut Fields<'_>, epoch: Epoch) -> Result<Message, RecordError> {
    let (qos, [retain, has_expiry]) = qos_and_flags(fields.byte()?)?;
    let expires = epoch.to_time(if has_expiry { fields.number()? } else { 0 });
    let origin = take_session(fields)?;
    let topic = topic(fields.bytes()?)?;
    let forwarded = fields.bytes()?;
    if forwarded.len() > VARINT_MAX as usize {
        return Err(RecordError::Field { name: "properties" });
    }
    let mut publication = Publication::new(topic.as_str(), forwarded, fields.rest(), qos, origin);
    (publication.retain, publication.expires) = (retain, expires);
    Ok(Message::restored(&publication))
}

/// What both records of a copy have.
struct Queued {
    session: SessionId,
    body: Serial,
    qos: QoS,
    retain: bool,
    ids: SubscriptionIds,
}

fn put_queued(
    serial: Serial,
    session: SessionId,
    body: Serial,
    qos_and_retain: u8,
    ids: &SubscriptionIds,
    out: &mut Vec<u8>,
) {
    put_session(session, out);
    put_earlier(serial, body, out);
    out.push(qos_and_retain);
    ids.as_slice().iter().for_each(|&id| varint::encode(u64::from(id), out));
}

fn take_queued(serial: Serial, fields: &mut Fields<'_>) -> Result<Queued, RecordError> {
    let (session, body) = (take_session(fields)?, take_earlier(serial, fields)?);
    let (qos, [retain]) = qos_and_flags(fields.byte()?)?;
    if qos == QoS::AtMostOnce {
        return Err(RecordError::Field { name: "quality of service" });
    }
    Ok(Queued { session, body, qos, retain, ids: take_subscription_ids(fields)? })
}

/// The subscription identifiers that fill the rest of a record; one alone needs no heap.
fn take_subscription_ids(fields: &mut Fields<'_>) -> Result<SubscriptionIds, RecordError> {
    if fields.is_empty() {
        return Ok(SubscriptionIds::None);
    }
    let first = take_subscription_id(fields)?;
    if fields.is_empty() {
        return Ok(SubscriptionIds::One(first));
    }
    let mut ids = vec![first];
    while !fields.is_empty() {
        ids.push(take_subscription_id(fields)?);
    }
    Ok(SubscriptionIds::of(&ids))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::random::Random;
    use crate::base::time::Time;
    use crate::journal::arbitrary::{EPOCH, any_change, change, content_of};
    use crate::mqtt::PacketId;

    fn session() -> SessionId {
        SessionId::restored(0x0705)
    }

    fn golden(serial: u64, change: &Change, expected: &[&[u8]]) {
        let expected = expected.concat();
        let mut bytes = Vec::new();
        encode(Serial::new(serial), change, Epoch::new(1_000), &mut bytes);
        assert_eq!(bytes, expected, "{:?} is written otherwise than it always was", Kind::of(change));
        let again = decode(Serial::new(serial), &bytes, Epoch::new(1_000)).unwrap().unwrap();
        bytes.clear();
        encode(Serial::new(serial), &again, Epoch::new(1_000), &mut bytes);
        assert_eq!(bytes, expected);
    }

    #[test]
    fn what_is_noted_of_groups_has_its_bytes() {
        let (share, filter) = (|| Box::from("g"), || Box::from("a/+"));
        let name = &b"\x01ga/+"[..];
        golden(9, &Change::Group { share: share(), filter: filter() }, &[&[26], name]);
        let group = Serial::new(9);
        golden(300, &Change::GroupAgain { group, share: share(), filter: filter() }, &[&[27, 0xa3, 2], name]);
        golden(301, &Change::GroupEnded { share: share(), filter: filter() }, &[&[28], name]);
        golden(11, &Change::GroupQueued { group, body: Serial::new(10) }, &[&[29, 2, 1]]);
        let (copy, body) = (Serial::new(11), Serial::new(10));
        golden(20, &Change::GroupQueuedAgain { copy, group, body }, &[&[30, 9, 11, 10]]);
        golden(12, &Change::GroupSettled { copy }, &[&[31, 1]]);
        let (home, copy) = (ShardId::new(63), Serial::new(1 << 33));
        golden(13, &Change::Assigned { home, copy }, &[&[32, 63, 0x80, 0x80, 0x80, 0x80, 0x20]]);
        golden(14, &Change::Unassigned { home, copy }, &[&[33, 63, 0x80, 0x80, 0x80, 0x80, 0x20]]);
    }

    #[test]
    fn a_shard_that_cannot_be_is_refused() {
        let refused = decode(Serial::new(5), &[32, 64, 1], EPOCH);
        assert!(matches!(refused, Err(RecordError::Field { name: "shard" })), "{refused:?}");
    }

    #[test]
    fn sessions_have_their_bytes() {
        let owner = Identity {
            user: Some("ann".into()),
            method: "password",
            groups: vec!["x".into(), "yz".into()],
            is_superuser: true,
            expires_at: Some(1),
            ..Identity::anonymous()
        };
        let mut standing = Standing {
            client_id: "c1".into(),
            owner: Arc::new(owner),
            expiry_s: 300,
            ends_at: Time::from_millis(24),
            is_connected: false,
        };
        let known = Change::Session { session: session(), standing: Box::new(standing.clone()) };
        golden(9, &known, &[b"\x01\x85\x0e\x06\xac\x02\x80\x08\x02c1\x03ann\x08password\x01x\x02yz"]);
        (standing.owner, standing.expiry_s) = (Arc::new(Identity::anonymous()), u32::MAX);
        (standing.ends_at, standing.is_connected) = (Time::NEVER, true);
        let nobody = Change::Session { session: session(), standing: Box::new(standing) };
        golden(9, &nobody, &[b"\x01\x85\x0e\x01\xff\xff\xff\xff\x0f\0\x02c1\x09anonymous"]);
        golden(9, &Change::SessionEnded { session: session() }, &[b"\x02\x85\x0e"]);
    }

    #[test]
    fn subscriptions_have_their_bytes() {
        let (session, filter): (_, Box<str>) = (session(), "a/+".into());
        let options = Options::new(QoS::ExactlyOnce).with_id(200).with_no_local(true);
        golden(9, &Change::Subscribed { session, filter: filter.clone(), options }, &[b"\x03\x85\x0e\x06\xc8\x01a/+"]);
        golden(9, &Change::Unsubscribed { session, filter: filter.clone() }, &[b"\x04\x85\x0ea/+"]);
        let terms = Terms { qos: QoS::AtLeastOnce, subscription_id: 0, retain_as_published: true };
        let joined = Change::Joined { session, share: "s1".into(), filter: filter.clone(), terms };
        golden(9, &joined, &[b"\x05\x85\x0e\x05\0\x02s1a/+"]);
        golden(9, &Change::Left { session, share: "s1".into(), filter }, &[b"\x06\x85\x0e\x02s1a/+"]);
    }

    #[test]
    fn wills_have_their_bytes() {
        let mut will = Will::restored(Topic::parse("a/b").unwrap(), b"\x01\x01", b"gone");
        let plain = Change::Will { session: session(), will: Box::new(will.clone()) };
        golden(9, &plain, &[b"\x07\x85\x0e\0\0\0\x03a/b\x02\x01\x01gone"]);
        (will.qos, will.retain, will.delay_s) = (QoS::AtLeastOnce, true, 60);
        (will.due_at, will.message_expiry_s) = (Time::from_millis(24), Some(7));
        let full = Change::Will { session: session(), will: Box::new(will) };
        golden(9, &full, &[b"\x07\x85\x0e\x0d\x3c\x80\x08\x07\x03a/b\x02\x01\x01gone"]);
        golden(9, &Change::WillGone { session: session() }, &[b"\x08\x85\x0e"]);
    }

    #[test]
    fn messages_have_their_bytes() {
        let mut publication = Publication::new("a/b", b"\x01\x01", b"hello", QoS::AtLeastOnce, session());
        let message = Message::restored(&publication);
        golden(9, &Change::Body { message }, &[b"\x09\x01\x85\x0e\x03a/b\x02\x01\x01hello"]);
        (publication.retain, publication.expires) = (true, Time::from_millis(24));
        let message = Message::restored(&publication);
        golden(9, &Change::Body { message }, &[b"\x09\x0d\x80\x08\x85\x0e\x03a/b\x02\x01\x01hello"]);
        let body = Serial::new(100);
        golden(300, &Change::Retained { body, user: None }, &[b"\x11\xc8\x01"]);
        golden(300, &Change::Retained { body, user: Some("ann".into()) }, &[b"\x25\xc8\x01ann"]);
        golden(300, &Change::Retained { body, user: Some("".into()) }, &[b"\x25\xc8\x01"]);
        golden(9, &Change::RetainedGone { topic: "a/b".into() }, &[b"\x12a/b"]);
    }

    #[test]
    fn copies_have_their_bytes() {
        let (session, copy, id) = (session(), Serial::new(8), PacketId::new(200).unwrap());
        let ids = SubscriptionIds::of(&[1, 200]);
        let queued = Change::Queued { session, body: Serial::new(7), qos: QoS::ExactlyOnce, retain: true, ids };
        golden(9, &queued, &[b"\x0a\x85\x0e\x02\x06\x01\xc8\x01"]);
        golden(9, &Change::Sent { session, copy, id }, &[b"\x0b\x85\x0e\x01\xc8\x01"]);
        golden(9, &Change::Settled { session, copy }, &[b"\x0c\x85\x0e\x01"]);
        golden(9, &Change::Taken { session, copy, id }, &[b"\x0d\x85\x0e\x01\xc8\x01"]);
        golden(9, &Change::Completed { session, id }, &[b"\x0e\x85\x0e\xc8\x01"]);
        golden(9, &Change::Incoming { session, id }, &[b"\x0f\x85\x0e\xc8\x01"]);
        golden(9, &Change::Released { session, id }, &[b"\x10\x85\x0e\xc8\x01"]);
        golden(9, &Change::Passed { session, id }, &[b"\x15\x85\x0e\xc8\x01"]);
        golden(9, &Change::Forgotten { session, id }, &[b"\x16\x85\x0e\xc8\x01"]);
        golden(300, &Change::Fanout { body: Serial::new(100) }, &[b"\x13\xc8\x01"]);
        golden(300, &Change::FannedOut { body: Serial::new(100) }, &[b"\x14\xc8\x01"]);
    }

    #[test]
    fn random_changes_of_every_kind_come_back_unchanged() {
        let mut random = Random::from_seed(1);
        for (kind, round) in Kind::ALL.into_iter().flat_map(|kind| (0..400).map(move |round| (kind, round))) {
            let serial = Serial::new(2 + (random.next_u64() >> (round % 62) & (u64::MAX >> 1)));
            let bytes = content_of(serial, &change(kind, serial, &mut random));
            let again = decode(serial, &bytes, EPOCH).unwrap().unwrap();
            assert_eq!(Kind::of(&again), kind);
            assert_eq!(content_of(serial, &again), bytes);
        }
    }

    #[test]
    fn a_change_says_after_a_restart_what_it_said_before() {
        let mut publication = Publication::new("a/b", b"\x01\x01", b"hello", QoS::ExactlyOnce, session());
        (publication.retain, publication.expires) = (true, Time::from_millis(5_000));
        let before = Change::Body { message: Message::restored(&publication) };
        let bytes = content_of(Serial::new(9), &before);
        let later = Epoch::new(EPOCH.to_wall(Time::from_millis(2_000)));
        let Ok(Some(Change::Body { message })) = decode(Serial::new(9), &bytes, later) else { panic!("no body") };
        assert_eq!((message.topic(), message.forwarded(), message.payload()), ("a/b", &b"\x01\x01"[..], &b"hello"[..]));
        assert_eq!((message.qos, message.retain, message.origin), (QoS::ExactlyOnce, true, session()));
        assert_eq!(message.expires, Time::from_millis(3_000));
        let latest = Epoch::new(EPOCH.to_wall(Time::from_millis(5_001)));
        let Ok(Some(Change::Body { message })) = decode(Serial::new(9), &bytes, latest) else { panic!("no body") };
        assert!(message.has_expired(Time::ZERO));
    }

    #[test]
    fn a_way_of_proving_that_nobody_knows_is_called_restored() {
        let mut bytes = b"\x01\x85\x0e\0\0\0\x02c1\x0ecarrier pigeon".to_vec();
        let Ok(Some(Change::Session { standing, .. })) = decode(Serial::new(9), &bytes, EPOCH) else { panic!() };
        assert_eq!(standing.owner.method, OTHER_METHOD);
        bytes.truncate(9);
        bytes.extend_from_slice(b"\x0bcertificate");
        let Ok(Some(Change::Session { standing, .. })) = decode(Serial::new(9), &bytes, EPOCH) else { panic!() };
        assert_eq!((standing.owner.method, &*standing.client_id), ("certificate", "c1"));
    }

    #[test]
    fn an_unknown_kind_is_passed_over_only_if_it_says_so() {
        assert!(matches!(decode(Serial::new(9), b"\xffwhatever", EPOCH), Ok(None)));
        let outcome = decode(Serial::new(9), b"\x7fwhatever", EPOCH).map(|_| ());
        assert_eq!(outcome, Err(RecordError::UnknownKind { kind: 0x7f }));
        assert_eq!(decode(Serial::new(9), b"", EPOCH).map(|_| ()), Err(RecordError::Truncated));
    }

    #[test]
    fn fields_that_make_no_sense_are_refused() {
        for (bytes, name) in [
            (&b"\x0c\x05\x00"[..], "earlier change"),
            (b"\x0c\x05\x0a", "earlier change"),
            (b"\x0a\x05\x01\x00", "quality of service"),
            (b"\x0a\x05\x01\x03", "quality of service"),
            (b"\x0a\x05\x01\x09", "flags"),
            (b"\x0a\x05\x01\x01\x80\x80\x80\x80\x01", "subscription identifier"),
            (b"\x0e\x05\x00", "packet identifier"),
            (b"\x03\x05\x00\x00a/#/b", "filter"),
            (b"\x03\x05\x00\x00", "filter"),
            (b"\x12a/+", "topic"),
            (b"\x25\x01\xff", "user"),
            (b"\x09\x00\x05\x01#\x00", "topic"),
            (b"\x01\x05\x08\x00\x00\x00\x00", "flags"),
        ] {
            let outcome = decode(Serial::new(9), bytes, EPOCH).map(|_| ());
            assert_eq!(outcome, Err(RecordError::Field { name }), "{bytes:x?}");
        }
        assert_eq!(decode(Serial::new(9), b"\x02\x05\x00", EPOCH).map(|_| ()), Err(RecordError::Trailing));
    }

    #[test]
    fn no_bytes_at_all_make_it_panic() {
        let mut random = Random::from_seed(2);
        let mut decoded = 0;
        for _ in 0..100_000 {
            let serial = Serial::new(random.range(2, 1_000));
            let mut bytes = content_of(serial, &any_change(serial, &mut random));
            bytes.truncate(1 + random.index(bytes.len().min(200)));
            for _ in 0..random.index(4) {
                let at = random.index(bytes.len());
                bytes[at] = random.next_u64().to_le_bytes()[0];
            }
            decoded += usize::from(decode(serial, &bytes, EPOCH).is_ok());
        }
        assert!(decoded > 1_000, "most of them get past the first field: {decoded}");
    }

    #[test]
    fn the_estimate_is_never_far_off() {
        let mut random = Random::from_seed(3);
        for _ in 0..10_000 {
            let serial = Serial::new(random.range(2, 1 << 40));
            let change = any_change(serial, &mut random);
            let (estimate, len) = (estimated_len(&change), content_of(serial, &change).len());
            assert!(len <= estimate + 160 && estimate <= len + 24, "{:?}: {estimate} for {len}", Kind::of(&change));
        }
    }
}
