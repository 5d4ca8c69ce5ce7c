//! Everything that a shard was told after a restart, told again to shards of another number.
//!
//! This happens before anybody is served. The shard that knows it is then gone; whoever takes its place knows the same, under new
//! numbers.
//!
//! Which shards a message of quality of service 2 had reached when the process ended says nothing of the new ones. Of a client that had
//! left, all that came has reached all of them. Of one that was there until the end nobody knows, and what it sends again is delivered
//! again, rather than not at all.

use std::ops::ControlFlow;
use std::sync::Arc;

use super::Shard;
use crate::base::hash::{Map, map};
use crate::base::time::Time;
use crate::engine::change::{Change, Serial, Standing};
use crate::engine::homes::{Homes, ShardId};
use crate::engine::message::{Message, SessionId};
use crate::engine::output::Outputs;
use crate::engine::retained::{Cursor, Progress};
use crate::engine::session::SessionKey;
use crate::engine::session::delivery::Delivery;
use crate::engine::subscriptions::entry::Subscriber;
use crate::mqtt::{PacketId, QoS};

/// Where everything goes, and who numbers it there.
struct Removal<'a> {
    homes: &'a Homes,
    note: &'a mut dyn FnMut(ShardId, Change) -> Serial,
    /// Messages that several copies share: the number that each has on a shard.
    told: Map<(ShardId, Serial), Serial>,
}

impl Shard {
    /// Tells all that was restored to the shards where it lives from now on, piece by piece; each piece is numbered there.
    ///
    /// # Panics
    /// When the shard serves clients already.
    pub fn move_out(mut self, now: Time, homes: &Homes, note: &mut dyn FnMut(ShardId, Change) -> Serial) {
        assert!(self.connections.is_empty(), "who moves out has no clients");
        let mut out = Outputs::new(homes.shards());
        self.journaling.pause();
        let (keys, fanouts) = self.unfold(now);
        for (body, message, served) in fanouts {
            self.finish_fanout(body, &message, &served, &mut out);
        }
        let mut removal = Removal { homes, note, told: map(self.seed) };
        for (key, was_connected) in keys {
            self.move_session(key, was_connected, &mut removal);
        }
        self.move_retained(&mut removal);
        for home in homes.all() {
            (removal.note)(home, Change::Swept { sessions: self.serial });
        }
    }

    fn move_session(&self, key: SessionKey, was_connected: bool, removal: &mut Removal<'_>) {
        let Some(session) = self.sessions.get(key) else { return };
        let (id, home) = (session.id, removal.homes.client(&session.client_id));
        let note = &mut removal.note;
        let standing = Standing {
            client_id: session.client_id.clone(),
            owner: Arc::clone(&session.owner),
            expiry_s: session.expiry_s,
            ends_at: session.ends_at,
            is_connected: false,
        };
        note(home, Change::Session { session: id, standing: Box::new(standing) });
        for filter in session.filters.as_slice() {
            let mut text = String::new();
            self.index.write_text(*filter, &mut text);
            let options = self.index.options(*filter, Subscriber::session(key.index()));
            let options = options.expect("a session is subscribed to its filters");
            note(home, Change::Subscribed { session: id, filter: text.into(), options });
        }
        for membership in session.shared.iter() {
            let (share, filter) = (membership.share.clone(), membership.filter.clone());
            note(home, Change::Joined { session: id, share, filter, terms: membership.terms });
        }
        if let Some(will) = &session.will {
            note(home, Change::Will { session: id, will: will.clone() });
        }
        for open in session.received.ids() {
            note(home, Change::Incoming { session: id, id: open });
            for other in removal.homes.all().filter(|other| *other != home && !was_connected) {
                note(other, Change::Passed { session: id, id: open });
            }
        }
        self.move_copies(key, home, removal);
    }

    fn move_copies(&self, key: SessionKey, home: ShardId, removal: &mut Removal<'_>) {
        let Some(session) = self.sessions.get(key) else { return };
        let (Some(outbound), id) = (session.outbound.as_ref(), session.id) else { return };
        let mut open: Vec<(PacketId, Option<&Delivery>)> =
            outbound.open_ids().map(|id| (id, outbound.inflight(id))).collect();
        // In the order in which they were sent.
        open.sort_unstable_by_key(|(id, delivery)| (delivery.map(|delivery| delivery.noted().copy), *id));
        for (packet_id, delivery) in open {
            match delivery {
                Some(delivery) => {
                    let copy = removal.copy(home, id, delivery);
                    (removal.note)(home, Change::Sent { session: id, copy, id: packet_id });
                }
                None => {
                    (removal.note)(home, Change::Taken { session: id, copy: Serial::NONE, id: packet_id });
                }
            }
        }
        let queued = (0..outbound.queued_count()).filter_map(|place| outbound.queued(place));
        for delivery in queued.filter(|delivery| delivery.qos > QoS::AtMostOnce && !delivery.source.is_shared()) {
            removal.copy(home, id, delivery);
        }
    }

    fn move_retained(&self, removal: &mut Removal<'_>) {
        let mut cursor = Cursor::default();
        loop {
            let mut messages: Vec<Message> = Vec::new();
            let progress = self.retained.walk(&mut cursor, u32::MAX, |_, message| {
                messages.push(message.clone());
                ControlFlow::Continue(())
            });
            for message in messages {
                let home = removal.homes.topic(message.topic());
                let body = (removal.note)(home, Change::Body { message });
                (removal.note)(home, Change::Retained { body });
            }
            if matches!(progress, Progress::Done) {
                return;
            }
        }
    }
}

impl Removal<'_> {
    /// Tells a copy, after its message where that is not known there; the number of the copy.
    fn copy(&mut self, home: ShardId, session: SessionId, delivery: &Delivery) -> Serial {
        let Delivery { message, qos, retain, ids, .. } = delivery;
        let known = (home, delivery.noted().body);
        let told = self.told.get(&known).copied();
        let body = told.unwrap_or_else(|| (self.note)(home, Change::Body { message: message.clone() }));
        if known.1 != Serial::NONE && message.is_shared() {
            self.told.insert(known, body);
        }
        (self.note)(home, Change::Queued { session, body, qos: *qos, retain: *retain, ids: ids.clone() })
    }
}
