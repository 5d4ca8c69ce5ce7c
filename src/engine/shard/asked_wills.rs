//! Wills about which somebody slow has to be asked: each waits for the word, and what is not allowed in time is not published.
//!
//! The session that has left a will may be over before the word comes, so a will waits with all that has to be known of who has left it. What its
//! client does stays in order: of one client one will is asked about at a time, and a connection of the same client identifier is not read until the last of
//! them is decided. Otherwise a status that says "gone" could come behind one that says "here again".
//!
//! A will that waits is noted no more: where the process ends meanwhile it is lost.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use super::Shard;
use crate::base::time::Time;
use crate::engine::auth::identity::Identity;
use crate::engine::auth::{Action, ClientId, Decision};
use crate::engine::connection::Hold;
use crate::engine::event::Event;
use crate::engine::input::Answer;
use crate::engine::limits::{
    COPIES_PER_PACKET, WILL_PATIENCE_MS, WILL_PAUSE_MS, WILLS_ASKED_MAX, WILLS_WAITING_BYTES_MAX, WILLS_WAITING_MAX,
    WILLS_WAITING_OF_CLIENT_MAX, WILLS_WAITING_USER_PART,
};
use crate::engine::message::SessionId;
use crate::engine::output::{About, Outputs, OwnedAction, Question};
use crate::engine::session::SessionKey;
use crate::engine::session::will::Will;
use crate::mqtt::Reason;

/// Who has left a will.
#[derive(Clone, Debug)]
pub(super) struct Testator {
    /// The session.
    pub session: SessionId,
    /// Whose it was.
    pub owner: Arc<Identity>,
    /// What its client called itself.
    pub client_id: Box<str>,
    /// Whether it outlived the process.
    pub is_durable: bool,
}

/// A will that waits.
#[derive(Debug)]
struct Waiting {
    will: Will,
    testator: Testator,
    /// Until when somebody has to have been asked.
    until: Time,
}

/// The wills of a shard that wait. One per shard.
#[derive(Debug, Default)]
pub(super) struct AskedWills {
    /// By client identifier, each in its order. The first one of each client is in the line, asked about or decided.
    waiting: BTreeMap<Box<str>, VecDeque<Waiting>>,
    /// Whose first one is asked about next.
    line: VecDeque<Box<str>>,
    /// Whose first one needs nobody's word any more: the input that found that out had caused enough.
    decided: VecDeque<Box<str>>,
    /// By the number of the question, each with the number of the policy under which it was asked.
    asked: BTreeMap<u32, (Box<str>, u64)>,
    /// The last number.
    number: u32,
    /// count = sum of what waits ≤ `WILLS_WAITING_MAX`
    count: usize,
    /// bytes = sum of what these hold ≤ `WILLS_WAITING_BYTES_MAX`
    bytes: usize,
    /// users = sum of what wills of each user hold, of those who have a name, ≤ a part of these bytes
    users: BTreeMap<Box<str>, usize>,
    /// Everybody who answers was busy: nobody is asked before then.
    not_before: Option<Time>,
}

impl Waiting {
    /// Whose it is, where he has a name.
    fn user(&self) -> Option<&str> {
        self.testator.owner.user.as_deref()
    }

    fn bytes(&self) -> usize {
        size_of::<Self>()
            + self.will.topic().as_str().len()
            + self.will.forwarded().len()
            + self.will.payload().len()
            + self.testator.client_id.len()
    }
}

impl AskedWills {
    /// How many wait.
    pub fn len(&self) -> usize {
        self.count
    }

    /// Whether one of this client does.
    pub fn has(&self, client_id: &str) -> bool {
        self.waiting.contains_key(client_id)
    }

    /// When something has to be done if no answer comes before.
    pub fn next_look(&self) -> Option<Time> {
        let until = self.line.front().and_then(|client_id| self.first(client_id)).map(|first| first.until);
        until.map(|until| self.not_before.map_or(until, |not_before| not_before.min(until)))
    }

    fn first(&self, client_id: &str) -> Option<&Waiting> {
        self.waiting.get(client_id)?.front()
    }

    /// Whether somebody should have been asked by now about the first one in the line.
    fn has_late(&self, now: Time) -> bool {
        let next = self.line.front();
        next.is_some_and(|client_id| self.first(client_id).is_none_or(|first| first.until <= now))
    }

    /// Whose it is, who stands in the line no more.
    fn pop_late(&mut self, now: Time) -> Option<Box<str>> {
        if self.has_late(now) { self.line.pop_front() } else { None }
    }

    /// Whether one more finds room, beside all and beside those of its user.
    fn has_room_for(&self, waiting: &Waiting) -> bool {
        let of_user = waiting.user().and_then(|user| self.users.get(user)).copied().unwrap_or_default();
        self.count < WILLS_WAITING_MAX
            && self.bytes + waiting.bytes() <= WILLS_WAITING_BYTES_MAX
            && (waiting.user().is_none()
                || of_user + waiting.bytes() <= WILLS_WAITING_BYTES_MAX / WILLS_WAITING_USER_PART)
    }

    /// Of a client who has left too many already, the one that gives way to another one.
    fn make_way(&mut self, client_id: &str) -> Option<Waiting> {
        let of_client = self.waiting.get_mut(client_id).filter(|wills| wills.len() >= WILLS_WAITING_OF_CLIENT_MAX)?;
        let oldest = of_client.remove(1)?;
        self.forget(&oldest);
        Some(oldest)
    }

    fn forget(&mut self, gone: &Waiting) {
        self.count -= 1;
        self.bytes -= gone.bytes();
        if let Some(user) = gone.user()
            && let Some(bytes) = self.users.get_mut(user)
        {
            *bytes -= gone.bytes();
            if *bytes == 0 {
                self.users.remove(user);
            }
        }
    }

    fn push(&mut self, waiting: Waiting) {
        self.count += 1;
        self.bytes += waiting.bytes();
        if let Some(user) = waiting.user() {
            *self.users.entry(user.into()).or_default() += waiting.bytes();
        }
        let client_id = waiting.testator.client_id.clone();
        let of_client = self.waiting.entry(client_id.clone()).or_default();
        of_client.push_back(waiting);
        if of_client.len() == 1 {
            self.line.push_back(client_id);
        }
    }

    /// The first one of a client, which stands in the line no more.
    fn pop(&mut self, client_id: &str) -> Option<Waiting> {
        let first = self.waiting.get_mut(client_id)?.pop_front()?;
        self.forget(&first);
        Some(first)
    }

    /// Proves that what waits is counted, and that each client is asked about or stands in the line.
    ///
    /// # Panics
    /// When it is not so.
    pub fn check(&self) {
        let all = || self.waiting.values().flatten();
        assert_eq!((all().count(), all().map(Waiting::bytes).sum()), (self.count, self.bytes), "wills are counted");
        let places = self.line.len() + self.asked.len() + self.decided.len();
        assert_eq!(self.waiting.len(), places, "each client has one place");
        let mut of_users: BTreeMap<Box<str>, usize> = BTreeMap::new();
        for waiting in all() {
            if let Some(user) = waiting.user() {
                *of_users.entry(user.into()).or_default() += waiting.bytes();
            }
        }
        assert_eq!(of_users, self.users, "wills of each user are counted");
        assert!(
            self.waiting.values().all(|wills| wills.len() <= WILLS_WAITING_OF_CLIENT_MAX),
            "no client has too many"
        );
        let asked = self.asked.values().map(|(client_id, _)| client_id);
        let mut places = self.line.iter().chain(&self.decided).chain(asked);
        assert!(places.all(|client_id| self.first(client_id).is_some()), "who has a place has a will");
        assert!(self.asked.len() <= WILLS_ASKED_MAX && self.count <= WILLS_WAITING_MAX);
    }
}

fn action(will: &Will) -> Action<'_> {
    Action::Will { topic: will.topic().as_str(), qos: will.qos, retain: will.retain }
}

impl Shard {
    /// Who leaves the will of this session.
    pub(super) fn testator(&self, key: SessionKey) -> Option<Testator> {
        let session = self.sessions.get(key)?;
        let client_id = self.client_id(session).as_str().into();
        let is_durable = self.is_durable(key);
        Some(Testator { session: session.id, owner: Arc::clone(&session.owner), client_id, is_durable })
    }

    /// Publishes a will, or gives it up, as soon as it is clear whether it may be: the right to leave it may have been revoked.
    pub(super) fn publish_will(&mut self, key: SessionKey, will: &Will, now: Time, out: &mut Outputs) {
        let Some(testator) = self.testator(key) else { return };
        let is_first = !self.asked_wills.has(&testator.client_id);
        let decision = if is_first { self.decide_will(&testator, will) } else { Decision::Later };
        match decision {
            Decision::Allow => self.send_will(&testator, will, now, out),
            Decision::Deny => self.deny_will(&testator, will, out),
            Decision::Later => self.ask_about_will(testator, will.clone(), now, out),
        }
    }

    fn decide_will(&self, testator: &Testator, will: &Will) -> Decision {
        self.policy.decide(&testator.owner, ClientId::Text(&testator.client_id), action(will))
    }

    fn deny_will(&mut self, testator: &Testator, will: &Will, out: &mut Outputs) {
        self.stats.publishes_denied += 1;
        out.tell_denied(&testator.owner, &testator.client_id, action(will));
        out.events.push(Event::PublishDenied { session: testator.session, reason: Reason::NotAuthorized });
    }

    fn ask_about_will(&mut self, testator: Testator, will: Will, now: Time, out: &mut Outputs) {
        let waiting = Waiting { will, testator, until: now.after_ms(WILL_PATIENCE_MS) };
        if let Some(Waiting { will, testator, .. }) = self.asked_wills.make_way(&waiting.testator.client_id) {
            self.deny_will(&testator, &will, out);
        }
        if !self.asked_wills.has_room_for(&waiting) {
            return self.deny_will(&waiting.testator, &waiting.will, out);
        }
        self.asked_wills.push(waiting);
        self.ask_about_next_wills(now, out);
    }

    /// Asks about as many as may be asked about at a time.
    fn ask_about_next_wills(&mut self, now: Time, out: &mut Outputs) {
        let wills = &mut self.asked_wills;
        if wills.not_before.is_some_and(|not_before| not_before > now) {
            return;
        }
        wills.not_before = None;
        while wills.asked.len() < WILLS_ASKED_MAX {
            let Some(client_id) = wills.line.pop_front() else { return };
            let first = wills.waiting[&client_id].front().expect("who stands in the line has a will");
            let Testator { owner, client_id: of, .. } = &first.testator;
            let action = OwnedAction::of(action(&first.will));
            let about = About::Action { identity: Arc::clone(owner), client_id: of.clone(), action };
            wills.number = wills.number.wrapping_add(1);
            out.questions.push(Question { connection: None, number: wills.number, about });
            wills.asked.insert(wills.number, (client_id, self.policy.number()));
        }
    }

    /// The word about a will has come. What the operator's files say meanwhile counts as well.
    pub(super) fn will_answered(&mut self, number: u32, answer: &Answer, now: Time, out: &mut Outputs) {
        let Some((client_id, policy)) = self.asked_wills.asked.remove(&number) else { return };
        if policy != self.policy.number() {
            // Whoever answers may have changed his mind with the policy; what it says by itself is known.
            self.go_on_with_wills(&client_id, now, out);
            return self.ask_about_next_wills(now, out);
        }
        let decision = match answer {
            Answer::Action(decision) => *decision,
            Answer::Credentials(_) | Answer::Exchange(..) => Decision::Deny, // nobody has asked for that
        };
        let has_time = self.asked_wills.first(&client_id).is_some_and(|first| first.until > now);
        if decision == Decision::Later && has_time {
            self.asked_wills.line.push_front(client_id);
            self.asked_wills.not_before = Some(now.after_ms(WILL_PAUSE_MS));
            return;
        }
        if let Some(first) = self.asked_wills.pop(&client_id) {
            let is_refused = || self.decide_will(&first.testator, &first.will) == Decision::Deny;
            let is_allowed = decision == Decision::Allow && !is_refused();
            self.end_wait(&first, is_allowed, now, out);
        }
        self.go_on_with_wills(&client_id, now, out);
        self.ask_about_next_wills(now, out);
    }

    /// A will that has waited is published or given up.
    fn end_wait(&mut self, waited: &Waiting, is_allowed: bool, now: Time, out: &mut Outputs) {
        self.charge(COPIES_PER_PACKET);
        let Waiting { will, testator, .. } = waited;
        if is_allowed {
            self.send_will(testator, will, now, out);
        } else {
            self.deny_will(testator, will, out);
        }
    }

    /// One will of a client is decided: its next one comes, and behind the last one it is read again. Where the input has caused enough, that is left
    /// to a later one.
    fn go_on_with_wills(&mut self, client_id: &str, now: Time, out: &mut Outputs) {
        while self.asked_wills.first(client_id).is_some() {
            if self.has_caused_enough() {
                out.wake_at = Some(now);
                return self.asked_wills.decided.push_back(client_id.into());
            }
            if !self.end_wait_of_first(client_id, now, out) {
                return self.asked_wills.line.push_back(client_id.into());
            }
        }
        self.asked_wills.waiting.remove(client_id);
        let link = self.find_session(client_id).and_then(|key| self.sessions.get(key)?.link());
        if let Some(link) = link {
            self.release(link.connection, Hold::Will, now);
        }
    }

    /// The first will of a client is published or given up, unless somebody has to be asked about it. Whether it is.
    fn end_wait_of_first(&mut self, client_id: &str, now: Time, out: &mut Outputs) -> bool {
        let Some(first) = self.asked_wills.first(client_id) else { return true };
        let is_allowed = match self.decide_will(&first.testator, &first.will) {
            Decision::Later => return false,
            Decision::Allow => true,
            Decision::Deny => false,
        };
        let first = self.asked_wills.pop(client_id).expect("it was seen above");
        self.end_wait(&first, is_allowed, now, out);
        true
    }

    /// Time has passed: wills that were put off go on, those about which nobody could be asked for too long are given up, and others are asked about.
    /// One of each at least, whatever else the tick has caused.
    pub(super) fn look_at_asked_wills(&mut self, now: Time, out: &mut Outputs) {
        let mut is_first = true;
        while (is_first || !self.has_caused_enough())
            && let Some(client_id) = self.asked_wills.decided.pop_front()
        {
            is_first = false;
            if self.end_wait_of_first(&client_id, now, out) {
                self.go_on_with_wills(&client_id, now, out);
            } else {
                self.asked_wills.line.push_back(client_id);
            }
        }
        is_first = true;
        while (is_first || !self.has_caused_enough())
            && let Some(client_id) = self.asked_wills.pop_late(now)
        {
            is_first = false;
            if let Some(late) = self.asked_wills.pop(&client_id) {
                self.end_wait(&late, false, now, out);
            }
            self.go_on_with_wills(&client_id, now, out);
        }
        let has_late = self.asked_wills.has_late(now);
        if has_late || !self.asked_wills.decided.is_empty() {
            out.wake_at = Some(now);
        }
        if !has_late {
            self.ask_about_next_wills(now, out);
        }
    }

    /// How many wills wait for the word of somebody slow.
    pub fn asked_wills(&self) -> usize {
        self.asked_wills.len()
    }
}
