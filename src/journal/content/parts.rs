//! The parts that records are made of: who, which earlier change, and the larger things that stand in one as they are.

use std::sync::Arc;

use crate::engine::auth::identity::Identity;
use crate::engine::change::{Serial, Standing};
use crate::engine::homes::{SHARDS_MAX, ShardId};
use crate::engine::message::{Message, Publication, SessionId};
use crate::engine::session::delivery::SubscriptionIds;
use crate::engine::session::will::Will;
use crate::engine::subscriptions::entry::Options;
use crate::engine::subscriptions::members::Terms;
use crate::journal::epoch::Epoch;
use crate::journal::fields::{Fields, bits, flags, packed, put_bytes, qos_and_flags};
use crate::journal::record::RecordError;
use crate::journal::varint;
use crate::mqtt::varint::VARINT_MAX;
use crate::mqtt::{Filter, QoS, Topic};

/// The ways of proving who one is that the engine knows by name. Another one comes back as [`OTHER_METHOD`].
const METHODS: [&str; 5] = ["anonymous", "password", "certificate", "scram", "token"];
pub(super) const OTHER_METHOD: &str = "restored";

pub(super) fn put_session(session: SessionId, out: &mut Vec<u8>) {
    varint::encode(session.get(), out);
}

pub(super) fn take_session(fields: &mut Fields<'_>) -> Result<SessionId, RecordError> {
    fields.number().map(SessionId::restored)
}

/// How many numbers back from `own` the earlier change is.
pub(super) fn put_earlier(own: Serial, earlier: Serial, out: &mut Vec<u8>) {
    debug_assert!(earlier < own, "a change names earlier ones");
    varint::encode(own.get() - earlier.get(), out);
}

pub(super) fn put_each_earlier<const COUNT: usize>(own: Serial, earlier: [Serial; COUNT], out: &mut Vec<u8>) {
    for earlier in earlier {
        put_earlier(own, earlier, out);
    }
}

pub(super) fn take_earlier(own: Serial, fields: &mut Fields<'_>) -> Result<Serial, RecordError> {
    let back = fields.number()?;
    let earlier = own.get().checked_sub(back).filter(|_| back > 0);
    earlier.map(Serial::new).ok_or(RecordError::Field { name: "earlier change" })
}

pub(super) fn take_shard(fields: &mut Fields<'_>) -> Result<ShardId, RecordError> {
    let number = usize::try_from(fields.number()?).ok().filter(|number| *number < SHARDS_MAX);
    number.map(ShardId::new).ok_or(RecordError::Field { name: "shard" })
}

pub(super) fn put_copy_at(home: ShardId, copy: Serial, out: &mut Vec<u8>) {
    varint::encode(home.index() as u64, out);
    varint::encode(copy.get(), out);
}

pub(super) fn put_group(share: &str, filter: &str, out: &mut Vec<u8>) {
    put_bytes(share.as_bytes(), out);
    out.extend_from_slice(filter.as_bytes());
}

pub(super) fn put_standing(standing: &Standing, epoch: Epoch, out: &mut Vec<u8>) {
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

pub(super) fn take_standing(fields: &mut Fields<'_>, epoch: Epoch) -> Result<Standing, RecordError> {
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

pub(super) fn take_options(fields: &mut Fields<'_>) -> Result<Options, RecordError> {
    let (qos, [no_local, as_published]) = qos_and_flags(fields.byte()?)?;
    let id = take_subscription_id(fields)?;
    Ok(Options::new(qos).with_id(id).with_no_local(no_local).with_retain_as_published(as_published))
}

pub(super) fn take_terms(fields: &mut Fields<'_>) -> Result<Terms, RecordError> {
    let (qos, [retain_as_published]) = qos_and_flags(fields.byte()?)?;
    Ok(Terms { qos, subscription_id: take_subscription_id(fields)?, retain_as_published })
}

/// A subscription identifier, 0 for none.
pub(super) fn take_subscription_id(fields: &mut Fields<'_>) -> Result<u32, RecordError> {
    let id = fields.small()?;
    if id <= VARINT_MAX { Ok(id) } else { Err(RecordError::Field { name: "subscription identifier" }) }
}

/// The filter that fills the rest of a record.
pub(super) fn last_filter(fields: &mut Fields<'_>) -> Result<Box<str>, RecordError> {
    let text = std::str::from_utf8(fields.rest()).ok();
    let filter = text.and_then(|text| Filter::parse(text).ok()).ok_or(RecordError::Field { name: "filter" })?;
    Ok(filter.as_str().into())
}

/// The user's name that fills the rest of a record.
pub(super) fn last_user(fields: &mut Fields<'_>) -> Result<Arc<str>, RecordError> {
    let text = std::str::from_utf8(fields.rest()).ok();
    text.map(Arc::from).ok_or(RecordError::Field { name: "user" })
}

/// The topic that fills the rest of a record.
pub(super) fn last_topic<'a>(fields: &mut Fields<'a>) -> Result<Topic<'a>, RecordError> {
    topic(fields.rest())
}

pub(super) fn topic(bytes: &[u8]) -> Result<Topic<'_>, RecordError> {
    let text = std::str::from_utf8(bytes).ok();
    text.and_then(|text| Topic::parse(text).ok()).ok_or(RecordError::Field { name: "topic" })
}

pub(super) fn put_will(will: &Will, epoch: Epoch, out: &mut Vec<u8>) {
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

pub(super) fn take_will(fields: &mut Fields<'_>, epoch: Epoch) -> Result<Will, RecordError> {
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

pub(super) fn put_message(message: &Message, epoch: Epoch, out: &mut Vec<u8>) {
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

pub(super) fn take_message(fields: &mut Fields<'_>, epoch: Epoch) -> Result<Message, RecordError> {
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
pub(super) struct Queued {
    pub(super) session: SessionId,
    pub(super) body: Serial,
    pub(super) qos: QoS,
    pub(super) retain: bool,
    pub(super) ids: SubscriptionIds,
}

pub(super) fn put_queued(
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

pub(super) fn take_queued(serial: Serial, fields: &mut Fields<'_>) -> Result<Queued, RecordError> {
    let (session, body) = (take_session(fields)?, take_earlier(serial, fields)?);
    let (qos, [retain]) = qos_and_flags(fields.byte()?)?;
    if qos == QoS::AtMostOnce {
        return Err(RecordError::Field { name: "quality of service" });
    }
    Ok(Queued { session, body, qos, retain, ids: take_subscription_ids(fields)? })
}

/// The subscription identifiers that fill the rest of a record; one alone needs no heap.
pub(super) fn take_subscription_ids(fields: &mut Fields<'_>) -> Result<SubscriptionIds, RecordError> {
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
