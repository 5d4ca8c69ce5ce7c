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

mod parts;
#[cfg(test)]
mod tests;

use self::parts::{
    Queued, last_filter, last_topic, last_user, put_copy_at, put_each_earlier, put_earlier, put_group, put_message,
    put_queued, put_session, put_standing, put_will, take_earlier, take_message, take_options, take_queued,
    take_session, take_shard, take_standing, take_terms, take_will,
};
use super::epoch::Epoch;
use super::fields::{Fields, packed, put_packet_id};
use super::kind::{Kind, MAY_BE_SKIPPED};
use super::record::RecordError;
use super::varint;
use crate::engine::change::{Change, Serial};

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
