//! What the journal has no room for: while it is tight, whoever brings more waits; while it is full, what is new is refused.
//!
//! | while it is full | becomes of it |
//! |---|---|
//! | a copy of quality of service 1 or 2 for a durable session, or for a shared group with one | dropped; the publisher hears of it if nobody took the message |
//! | a message of quality of service 2 from a durable session | refused |
//! | a retained message | refused; at quality of service 0 its topic has none any more |
//! | a durable session, or a subscription of one | refused; what is there already goes on |
//! | acknowledgements, subscriptions that go, sessions that end, sweeps | noted as ever: they make room |
//! | whatever nobody keeps | goes on as ever |
//!
//! The room of a shard changes between two inputs only, so all who want a message here fare alike.

use std::mem;

use super::Shard;
use super::fanout::Publisher;
use super::routes::Route;
use crate::base::time::Time;
use crate::engine::event::Event;
use crate::engine::input::Room;
use crate::engine::output::Outputs;
use crate::engine::session::SessionKey;
use crate::engine::session::pipeline::Outcome;
use crate::engine::stats::DropReason;
use crate::mqtt::publish::Publish;
use crate::mqtt::{QoS, Reason};

/// Somebody who would have to be kept it has no room for it.
const REFUSED: Outcome = Outcome { matched: true, stored: false, refused: true, kept: false, noted: false };

impl Shard {
    /// The journal has room for more than before, or for less.
    pub(super) fn journal_room(&mut self, room: Room, now: Time, out: &mut Outputs) {
        self.journaling.room = room;
        if room != Room::Tight {
            self.relieve_waiters_of_journal(out);
        }
        if room == Room::Open {
            for session in mem::take(&mut self.journaling.scanners) {
                self.go_on_scanning(session, now, out);
            }
        }
    }

    /// Whether nothing new is kept.
    pub(super) fn is_journal_full(&self) -> bool {
        self.journaling.room == Room::Full
    }

    /// What a publisher has brought is kept: while the journal is tight, it is read no more.
    pub(super) fn slow_down_for_journal(&mut self, publisher: Publisher, out: &mut Outputs) {
        if let (Room::Tight, Some(publisher)) = (self.journaling.room, publisher) {
            self.wait_for_journal(publisher, out);
        }
    }

    /// A copy for a durable session is not kept.
    pub(super) fn refuse_copy(&mut self, key: SessionKey, out: &mut Outputs) -> Outcome {
        let why = DropReason::JournalFull;
        self.stats.ledger.drop_one(why);
        if let Some(session) = self.sessions.get(key) {
            out.tell(Event::Dropped { session: session.id, why });
        }
        REFUSED
    }

    /// A copy for a group with a member that lasts is not kept.
    pub(super) fn refuse_copy_for_group(&mut self) -> Outcome {
        self.stats.ledger.routed += 1;
        self.stats.ledger.drop_one(DropReason::JournalFull);
        REFUSED
    }

    /// What becomes of a message that is put off and of which no copy is kept.
    pub(super) fn outcome_unkept(&self, route: &Route, qos: QoS) -> Outcome {
        let mut outcome = Outcome { matched: true, ..Outcome::default() };
        for target in &route.targets {
            let is_refused = qos.min(target.qos) > QoS::AtMostOnce && self.is_durable(target.session);
            outcome = outcome.merge(if is_refused { REFUSED } else { Outcome::stored() });
        }
        outcome
    }

    /// Whether a message that its publisher's session would have to remember finds no room. One that has come before does.
    pub(super) fn is_incoming_refused(&self, key: SessionKey, publish: &Publish<'_>) -> bool {
        let Some(id) = publish.packet_id.filter(|_| self.is_journal_full() && publish.qos == QoS::ExactlyOnce) else {
            return false;
        };
        self.is_durable(key) && self.sessions.get(key).is_some_and(|session| !session.extras.received.contains(id))
    }

    /// What becomes of it then.
    pub(super) fn outcome_refused(&mut self, session: SessionKey, out: &mut Outputs) -> Outcome {
        self.stats.journal_refusals.publishes += 1;
        if let Some(session) = self.sessions.get(session) {
            out.tell(Event::PublishDenied { session: session.id, reason: Reason::QuotaExceeded });
        }
        REFUSED
    }

    /// Whether a retained message finds no room.
    pub(super) fn is_retained_refused(&mut self) -> bool {
        let is_refused = self.is_journal_full();
        self.stats.journal_refusals.retained += u64::from(is_refused);
        is_refused
    }

    /// Whether a session would be a new one that outlives the process, and finds no room.
    pub(super) fn is_session_refused(&mut self, known: Option<SessionKey>, clean_start: bool, expiry_s: u32) -> bool {
        let goes_on = !clean_start && known.is_some_and(|session| self.is_durable(session));
        let is_refused = self.is_journal_full() && expiry_s > 0 && !goes_on;
        self.stats.journal_refusals.sessions += u64::from(is_refused);
        is_refused
    }

    /// Whether a subscription finds no room that is new, or has new terms.
    pub(super) fn is_subscription_refused(&mut self, key: SessionKey) -> bool {
        let is_refused = self.is_journal_full() && self.is_durable(key);
        self.stats.journal_refusals.subscriptions += u64::from(is_refused);
        is_refused
    }

    /// Whether a session's search for retained messages waits for room, since what is found has to be kept. It goes on when there is some.
    pub(super) fn is_scan_held(&mut self, key: SessionKey, qos: QoS) -> bool {
        let is_held = self.journaling.room != Room::Open && qos > QoS::AtMostOnce && self.is_durable(key);
        if is_held {
            self.journaling.scanners.insert(key);
        }
        is_held
    }
}
