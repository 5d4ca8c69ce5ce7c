//! What the changes of a shard come to: who owns what, and which records are still needed for it.
//!
//! For people and tools that look at a journal; a broker has its sessions, which are the same fold. A change that names what is not
//! there changes nothing.

mod groups;

use std::collections::BTreeMap;

use self::groups::Groups;
use crate::base::time::Time;
use crate::engine::change::{Change, Serial, Standing};
use crate::engine::message::SessionId;
use crate::mqtt::PacketId;

/// How many bytes the record has by which something is known.
type Bytes = u32;

/// A fold over the changes of one shard, in their order.
#[derive(Debug, Default)]
pub struct Ledger {
    sessions: BTreeMap<SessionId, Account>,
    bodies: BTreeMap<Serial, Body>,
    /// The newest of them: only this one can still be named for the first time.
    newest: Serial,
    /// Messages that the present sweep has told again: copies that name them may follow.
    again: Vec<Serial>,
    retained: BTreeMap<Box<str>, (Serial, Bytes)>,
    /// Messages that are owed to everybody.
    fanouts: BTreeMap<Serial, Bytes>,
    /// Wills that other shards have to have, by their numbers, and their messages.
    bequests: BTreeMap<SessionId, (Serial, Bytes)>,
    /// Identifiers of sessions that live elsewhere.
    passages: BTreeMap<(SessionId, PacketId), Bytes>,
    groups: Groups,
}

/// A message, and how often it is named.
#[derive(Debug)]
struct Body {
    topic: Box<str>,
    bytes: Bytes,
    named: u32,
    /// The present sweep has told it again.
    is_again: bool,
}

impl Body {
    fn new(topic: &str, bytes: Bytes) -> Self {
        Self { topic: topic.into(), bytes, named: 0, is_again: false }
    }
}

/// What one session owns.
#[derive(Debug)]
pub struct Account {
    standing: Standing,
    bytes: Bytes,
    subscriptions: BTreeMap<Box<str>, Bytes>,
    /// By share name and filter.
    memberships: BTreeMap<(Box<str>, Box<str>), Bytes>,
    will: Option<Bytes>,
    copies: BTreeMap<Serial, Copy>,
    /// Identifiers whose messages the client has, and that are not completed.
    released: BTreeMap<PacketId, Bytes>,
    incoming: BTreeMap<PacketId, Bytes>,
}

#[derive(Debug)]
struct Copy {
    body: Serial,
    bytes: Bytes,
    /// The record by which it left.
    sent: Option<Bytes>,
}

impl Account {
    fn new(standing: Standing, bytes: Bytes) -> Self {
        Self {
            standing,
            bytes,
            subscriptions: BTreeMap::new(),
            memberships: BTreeMap::new(),
            will: None,
            copies: BTreeMap::new(),
            released: BTreeMap::new(),
            incoming: BTreeMap::new(),
        }
    }

    /// Whose it is.
    pub fn client_id(&self) -> &str {
        &self.standing.client_id
    }

    /// The name that its maker had proven, if any.
    pub fn user(&self) -> Option<&str> {
        self.standing.owner.user.as_deref()
    }

    /// How long it outlives its connection, in seconds; `u32::MAX` for ever.
    pub const fn expiry_s(&self) -> u32 {
        self.standing.expiry_s
    }

    /// When it ends if nobody comes back; [`Time::NEVER`] while its client was there, or for ever.
    pub const fn ends_at(&self) -> Time {
        self.standing.ends_at
    }

    /// Whether its client was there, by the last word about it.
    pub const fn is_connected(&self) -> bool {
        self.standing.is_connected
    }

    /// Its filters, without those of shared groups.
    pub fn subscriptions(&self) -> impl Iterator<Item = &str> {
        self.subscriptions.keys().map(|filter| &**filter)
    }

    /// Its shared groups: share name and filter.
    pub fn memberships(&self) -> impl Iterator<Item = (&str, &str)> {
        self.memberships.keys().map(|(share, filter)| (&**share, &**filter))
    }

    /// Whether it leaves a message for the case that its client dies.
    pub const fn has_will(&self) -> bool {
        self.will.is_some()
    }

    /// Copies that have not left yet.
    pub fn queued_count(&self) -> usize {
        self.copies.len() - self.sent_count()
    }

    /// Copies that have left, or whose PUBREL has, and that are not acknowledged.
    pub fn inflight_count(&self) -> usize {
        self.sent_count() + self.released.len()
    }

    /// Identifiers of quality of service 2 that its client has used and not released.
    pub fn incoming_count(&self) -> usize {
        self.incoming.len()
    }

    fn sent_count(&self) -> usize {
        self.copies.values().filter(|copy| copy.sent.is_some()).count()
    }

    /// The bytes of all records that it needs, without its messages.
    fn live_bytes(&self) -> u64 {
        let copies = self.copies.values().map(|copy| u64::from(copy.bytes) + u64::from(copy.sent.unwrap_or(0)));
        let own = [Some(self.bytes), self.will].into_iter().flatten();
        let identifiers = self.released.values().chain(self.incoming.values()).copied();
        let interests = self.subscriptions.values().chain(self.memberships.values()).copied();
        copies.sum::<u64>() + own.chain(identifiers).chain(interests).map(u64::from).sum::<u64>()
    }
}

impl Ledger {
    /// Takes the next change, of which the record has so many bytes.
    pub fn take(&mut self, serial: Serial, change: Change, bytes: Bytes) {
        match change {
            Change::Session { session, standing } => self.stand(session, *standing, bytes),
            Change::SessionEnded { session } => self.end(session),
            Change::Body { message } => self.body(serial, message.topic(), bytes),
            Change::BodyAgain { body, message } => self.body_again(body, message.topic(), bytes),
            Change::Swept { .. } => self.swept(),
            Change::Fanout { body } => {
                if self.name(body) {
                    self.fanouts.insert(body, bytes);
                }
            }
            Change::FannedOut { body } => {
                if self.fanouts.remove(&body).is_some() {
                    self.unname(body);
                }
            }
            Change::Bequest { number, body } => {
                if !self.bequests.contains_key(&number) && self.name(body) {
                    self.bequests.insert(number, (body, bytes));
                }
            }
            Change::BequestOver { number } => {
                if let Some((body, _)) = self.bequests.remove(&number) {
                    self.unname(body);
                }
            }
            Change::Retained { body, .. } => self.retain(body, bytes),
            Change::RetainedGone { topic } => {
                if let Some((body, _)) = self.retained.remove(&topic) {
                    self.unname(body);
                }
            }
            Change::Passed { session, id } => {
                self.passages.insert((session, id), bytes);
            }
            Change::Forgotten { session, id } => {
                self.passages.remove(&(session, id));
            }
            Change::Queued { session, body, .. } => self.owe(session, serial, body, bytes),
            Change::QueuedAgain { copy, session, body, .. } => self.owe(session, copy, body, bytes),
            Change::Settled { session, copy } => self.settle(session, copy),
            Change::Taken { session, copy, id } => {
                self.settle(session, copy);
                self.with(session, |account| account.released.insert(id, bytes));
            }
            Change::Group { share, filter } => self.groups.stand(serial, (share, filter), bytes),
            Change::GroupAgain { group, share, filter } => self.groups.stand(group, (share, filter), bytes),
            Change::GroupEnded { share, filter } => self.end_group(&(share, filter)),
            Change::GroupQueued { group, body } => self.owe_to_group(serial, group, body, bytes),
            Change::GroupQueuedAgain { copy, group, body } => self.owe_to_group(copy, group, body, bytes),
            Change::GroupSettled { copy } => self.settle_of_group(copy),
            Change::Assigned { home, copy } => self.groups.assign(home, copy, bytes),
            Change::Unassigned { home, copy } => self.groups.unassign(home, copy),
            Change::Subscribed { .. }
            | Change::Unsubscribed { .. }
            | Change::Joined { .. }
            | Change::Left { .. }
            | Change::Will { .. }
            | Change::WillGone { .. }
            | Change::Sent { .. }
            | Change::Completed { .. }
            | Change::Incoming { .. }
            | Change::Doubtful { .. }
            | Change::Released { .. } => self.take_of_session(change, bytes),
        }
    }

    /// A change that concerns one session and nothing else.
    fn take_of_session(&mut self, change: Change, bytes: Bytes) {
        match change {
            Change::Subscribed { session, filter, .. } => {
                self.with(session, |account| account.subscriptions.insert(filter, bytes));
            }
            Change::Unsubscribed { session, filter } => {
                self.with(session, |account| account.subscriptions.remove(&filter));
            }
            Change::Joined { session, share, filter, .. } => {
                self.with(session, |account| account.memberships.insert((share, filter), bytes));
            }
            Change::Left { session, share, filter } => {
                self.with(session, |account| account.memberships.remove(&(share, filter)));
            }
            Change::Will { session, .. } => self.with(session, |account| account.will = Some(bytes)),
            Change::WillGone { session } => self.with(session, |account| account.will = None),
            Change::Sent { session, copy, .. } => self.with(session, |account| {
                if let Some(copy) = account.copies.get_mut(&copy) {
                    copy.sent = Some(bytes);
                }
            }),
            Change::Completed { session, id } => self.with(session, |account| account.released.remove(&id)),
            Change::Incoming { session, id } | Change::Doubtful { session, id } => {
                self.with(session, |account| account.incoming.insert(id, bytes));
            }
            Change::Released { session, id } => self.with(session, |account| account.incoming.remove(&id)),
            Change::Session { .. }
            | Change::SessionEnded { .. }
            | Change::Body { .. }
            | Change::BodyAgain { .. }
            | Change::Swept { .. }
            | Change::Queued { .. }
            | Change::QueuedAgain { .. }
            | Change::Settled { .. }
            | Change::Taken { .. }
            | Change::Fanout { .. }
            | Change::FannedOut { .. }
            | Change::Bequest { .. }
            | Change::BequestOver { .. }
            | Change::Passed { .. }
            | Change::Forgotten { .. }
            | Change::Retained { .. }
            | Change::RetainedGone { .. }
            | Change::Group { .. }
            | Change::GroupAgain { .. }
            | Change::GroupEnded { .. }
            | Change::GroupQueued { .. }
            | Change::GroupQueuedAgain { .. }
            | Change::GroupSettled { .. }
            | Change::Assigned { .. }
            | Change::Unassigned { .. } => unreachable!("these have their own way"),
        }
    }

    /// The sessions that are there, by their numbers.
    pub fn sessions(&self) -> impl Iterator<Item = (SessionId, &Account)> {
        self.sessions.iter().map(|(id, account)| (*id, account))
    }

    /// The shared groups that are owed something or may be: share name, filter, and how many messages wait for a member.
    pub fn groups(&self) -> impl Iterator<Item = (&str, &str, usize)> {
        self.groups.iter()
    }

    /// How many topics have a retained message.
    pub fn retained_count(&self) -> usize {
        self.retained.len()
    }

    /// The bytes of all records that are still needed.
    pub fn live_bytes(&self) -> u64 {
        let sessions = self.sessions.values().map(Account::live_bytes);
        let bodies = self.bodies.values().filter(|body| body.named > 0).map(|body| u64::from(body.bytes));
        let retained = self.retained.values().map(|(_, bytes)| u64::from(*bytes));
        let bequests = self.bequests.values().map(|(_, bytes)| bytes);
        let others = self.fanouts.values().chain(self.passages.values()).chain(bequests).copied().map(u64::from);
        sessions.chain(bodies).chain(retained).chain(others).sum::<u64>() + self.groups.live_bytes()
    }

    fn stand(&mut self, session: SessionId, standing: Standing, bytes: Bytes) {
        match self.sessions.get_mut(&session) {
            Some(account) => (account.standing, account.bytes) = (standing, bytes),
            None => {
                self.sessions.insert(session, Account::new(standing, bytes));
            }
        }
    }

    fn end(&mut self, session: SessionId) {
        let Some(account) = self.sessions.remove(&session) else { return };
        for copy in account.copies.into_values() {
            self.unname(copy.body);
        }
    }

    fn body(&mut self, serial: Serial, topic: &str, bytes: Bytes) {
        self.bodies.insert(serial, Body::new(topic, bytes));
        let before = std::mem::replace(&mut self.newest, serial);
        self.forget_unowed(before);
    }

    fn body_again(&mut self, serial: Serial, topic: &str, bytes: Bytes) {
        let body = self.bodies.entry(serial).or_insert_with(|| Body::new(topic, bytes));
        (body.bytes, body.is_again) = (bytes, true);
        self.again.push(serial);
    }

    /// Whatever is owed of what was told again has been named by now.
    fn swept(&mut self) {
        for serial in std::mem::take(&mut self.again) {
            if let Some(body) = self.bodies.get_mut(&serial) {
                body.is_again = false;
            }
            self.forget_unowed(serial);
        }
    }

    /// Somebody is owed a message; whether it is there.
    fn name(&mut self, body: Serial) -> bool {
        let body = self.bodies.get_mut(&body);
        body.map(|body| body.named += 1).is_some()
    }

    fn unname(&mut self, serial: Serial) {
        if let Some(body) = self.bodies.get_mut(&serial) {
            body.named -= 1;
            self.forget_unowed(serial);
        }
    }

    /// A message is gone when nobody is owed it any more and nothing can name it.
    fn forget_unowed(&mut self, serial: Serial) {
        let is_kept = |body: &Body| body.named > 0 || body.is_again || serial == self.newest;
        if self.bodies.get(&serial).is_some_and(|body| !is_kept(body)) {
            self.bodies.remove(&serial);
        }
    }

    /// A session is owed a copy, or is told again that it is.
    fn owe(&mut self, session: SessionId, copy: Serial, body: Serial, bytes: Bytes) {
        let Some(account) = self.sessions.get_mut(&session) else { return };
        if let Some(known) = account.copies.get_mut(&copy) {
            known.bytes = bytes;
        } else if self.name(body) {
            self.with(session, |account| account.copies.insert(copy, Copy { body, bytes, sent: None }));
        }
    }

    fn retain(&mut self, serial: Serial, bytes: Bytes) {
        let Some(body) = self.bodies.get(&serial) else { return };
        let topic = body.topic.clone();
        self.name(serial);
        if let Some((before, _)) = self.retained.insert(topic, (serial, bytes)) {
            self.unname(before);
        }
    }

    fn settle(&mut self, session: SessionId, copy: Serial) {
        let copy = self.sessions.get_mut(&session).and_then(|account| account.copies.remove(&copy));
        if let Some(copy) = copy {
            self.unname(copy.body);
        }
    }

    fn with<T>(&mut self, session: SessionId, change: impl FnOnce(&mut Account) -> T) {
        if let Some(account) = self.sessions.get_mut(&session) {
            change(account);
        }
    }
}

#[cfg(test)]
mod tests;
