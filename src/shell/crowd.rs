//! Clients that come in faster than they can be served: they wait in lines, and who would be answered too late is turned away at once.
//!
//! | what takes time | where it waits | who goes first | who would be late |
//! |---|---|---|---|
//! | the first flight of TLS | on the shard that has accepted | who came first | is closed, without a byte |
//! | the rest of that handshake | behind all messages of a turn | who has begun, before all who have not | |
//! | a question for the clerks | on the home of the client identifier | whose session is there already | hears that the server is busy |
//!
//! Where a session is, and to whom it belongs, decides here about the order and nothing else: nobody has proven anything yet.

use super::clerks::{self, Answered, Asked, Desk};
use super::core::Core;
use super::events;
use super::lines::Line;
use super::mesh::Parcel;
use super::reading::Round;
use crate::base::time::Time;
use crate::base::waiting::{Rank, Refusal, Refused, Waiting};
use crate::engine::auth::Helper;
use crate::engine::connection::ConnectionKey;
use crate::engine::homes::ShardId;
use crate::engine::input::{Answer, Input};
use crate::engine::output::{About, Question};

/// The part of a turn's time that handshakes get, beside everything else: as much as everything else where that has taken longer.
const HANDSHAKE_PART: u64 = 2;
/// The parts of the time that a client has left which it may spend in front of a handshake, and in front of the clerks: the rest is for
/// what comes behind that.
const HELLO_PATIENCE: (u64, u64) = (3, 4);
const QUESTION_PATIENCE: (u64, u64) = (7, 8);
/// How often the log is told of those who were turned away.
const TOLD_MS: u64 = 10_000;

/// Those who wait to come in. One per shard.
#[derive(Debug)]
pub(super) struct Crowd {
    /// Connections whose handshake of TLS has not begun.
    hellos: Waiting<ConnectionKey>,
    /// Questions about clients whose home this shard is.
    questions: Waiting<Asked>,
    desk: Desk,
    /// Questions that the clerks have.
    open: usize,
    told_at: Option<Time>,
    /// Who was turned away since the log was told of it.
    untold: u64,
}

impl Crowd {
    /// Nobody waits yet.
    pub(super) fn new(desk: Desk) -> Self {
        Self {
            hellos: Waiting::new(usize::MAX), // there are no more of them than connections
            questions: Waiting::new(desk.waiting_max()),
            desk,
            open: 0,
            told_at: None,
            untold: 0,
        }
    }

    /// Whether a handshake waits to be begun.
    pub(super) fn has_hellos(&self) -> bool {
        !self.hellos.is_empty()
    }

    /// How many handshakes and how many questions wait.
    pub(super) fn waiting(&self) -> (usize, usize) {
        (self.hellos.len(), self.questions.len())
    }

    /// How long the one has waited who waits longest, in milliseconds.
    pub(super) fn oldest_ms(&self, now: Time) -> u64 {
        let since = [self.hellos.oldest(), self.questions.oldest()].into_iter().flatten().min();
        since.map_or(0, |since| now.since_ms(since))
    }
}

/// A part of the time that is left until `by`.
fn part_of(by: Option<Time>, (part, whole): (u64, u64), now: Time) -> Time {
    by.map_or(Time::NEVER, |by| now.after_ms(now.until_ms(by) * part / whole))
}

impl Core {
    /// Whether the handshake of a connection that was just accepted could be begun in time. If not, it is as good as closed.
    pub(super) fn has_time_for_hello(&mut self, key: ConnectionKey, now: Time) -> bool {
        let by = part_of(self.shard.handshake_ends_by(key), HELLO_PATIENCE, now);
        let has_time = self.crowd.hellos.has_time(Rank::Second, by, now);
        if !has_time {
            self.stats.refused_early.handshakes_late += 1;
            self.turned_away(now);
        }
        has_time
    }

    /// A connection has something to read, and costly work ahead.
    pub(super) fn shake_later(&mut self, key: ConnectionKey, has_begun: bool, now: Time) {
        if has_begun {
            return self.shaking.push_back(key); // what was done for it is not to be lost
        }
        let by = part_of(self.shard.handshake_ends_by(key), HELLO_PATIENCE, now);
        let mut refused = Vec::new();
        self.crowd.hellos.push(key, Rank::Second, by, now, &mut refused);
        self.close_refused(refused, now);
    }

    /// Handshakes get a part of each turn, after those who are through with theirs.
    pub(super) fn shake_hands(&mut self, start_ns: u64, now: Time) {
        if self.shaking.is_empty() && !self.crowd.has_hellos() {
            return;
        }
        let now_ns = self.clock.now_ns();
        let until_ns = now_ns + (self.turn.time_us_max * 1_000 / HANDSHAKE_PART).max(now_ns - start_ns);
        let mut refused = Vec::new();
        while let Some(key) = self.shaking.pop_front().or_else(|| self.crowd.hellos.take(now, &mut refused)) {
            self.read_line(key, Round::Handshakes, now);
            if self.clock.now_ns() >= until_ns {
                break;
            }
        }
        self.close_refused(refused, now);
    }

    /// Closes connections before a byte is spent on their handshakes.
    fn close_refused(&mut self, refused: Vec<Refused<ConnectionKey>>, now: Time) {
        for (key, _late) in refused {
            // Who has gone in the meantime was not turned away.
            let Some(line) = self.lines.get_mut(key) else { continue };
            line.state.is_ending = true;
            self.shard.handle(Input::Lost { connection: key }, now, &mut self.out);
            self.stats.refused_early.handshakes_late += 1;
            self.turned_away(now);
        }
    }

    /// Takes a question to where it waits: the home of the client that it is about.
    pub(super) fn ask(&mut self, question: Question, now: Time) {
        self.stats.questions += 1;
        match question.about.helper() {
            Helper::Clerk => {}
            Helper::Courier | Helper::Fetcher => return self.ask_web(question, now),
        }
        let ends_by = question.connection.and_then(|key| self.shard.handshake_ends_by(key));
        let by = part_of(ends_by, QUESTION_PATIENCE, now);
        let home = match &question.about {
            About::Credentials { client_id, .. } => self.shard.home_of(client_id),
            About::Exchange { .. } | About::Action { .. } => self.id,
        };
        let asked = Asked { question, asker: self.id, by };
        if home == self.id {
            self.line_up(asked, now);
        } else {
            self.send_and_wake(home, Parcel::Asked(Box::new(asked)));
        }
    }

    /// Takes a question to those who ask web servers: it waits with them, and not with what clerks are asked.
    fn ask_web(&mut self, question: Question, now: Time) {
        let Err(Question { connection, number, about }) = self.crowd.desk.ask_web(question) else { return };
        self.stats.questions_refused += 1;
        self.answered(Answered { connection, number, answer: clerks::refusal(about) }, now);
    }

    /// A question waits from now on, unless it would wait too long.
    pub(super) fn line_up(&mut self, asked: Asked, now: Time) {
        let is_known = match &asked.question.about {
            About::Credentials { client_id, user_name, .. } => self.shard.has_session(client_id, user_name.as_deref()),
            About::Exchange { .. } | About::Action { .. } => true,
        };
        let rank = if is_known { Rank::First } else { Rank::Second };
        let (by, mut refused) = (asked.by, Vec::new());
        self.crowd.questions.push(asked, rank, by, now, &mut refused);
        self.refuse_questions(refused, now);
        self.fill_desk(now);
    }

    /// The clerks have an answer, and room for another question.
    pub(super) fn found(&mut self, asker: ShardId, answered: Box<Answered>, now: Time) {
        self.crowd.open -= 1;
        self.fill_desk(now);
        self.answer(asker, answered, now);
    }

    /// Gives the clerks as much as they should have.
    fn fill_desk(&mut self, now: Time) {
        let mut refused = Vec::new();
        while self.crowd.open < self.crowd.desk.share() {
            let Some(asked) = self.crowd.questions.next(now, &mut refused) else { break };
            let here = asked.question.connection.filter(|_| asked.asker == self.id);
            if here.is_some_and(|key| self.has_left(key, now)) {
                continue; // a clerk's time is for those who are still here
            }
            self.crowd.questions.had_turn(now);
            match self.crowd.desk.ask(asked) {
                Ok(()) => self.crowd.open += 1,
                Err(asked) => refused.push((asked, Refusal::Full)), // nobody is there any more
            }
        }
        self.refuse_questions(refused, now);
    }

    /// Whether nobody waits for the answer to a question any more. While it is open nothing is read, so the kernel is asked whether the
    /// connection was reset; a client that has only closed its side may have sent all that it has to say, and is served. So is one that has come
    /// in before.
    fn has_left(&mut self, key: ConnectionKey, now: Time) -> bool {
        let Some(line) = self.lines.get_mut(key) else { return true };
        let is_connected = self.shard.handshake_ends_by(key).is_none();
        // The kernel tells of a reset once, and whoever it told may have been somebody else.
        let is_reset = line.state.is_shut || !matches!(line.socket().take_error(), Ok(None));
        if is_connected || !is_reset {
            return false;
        }
        line.state.is_ending = true;
        self.shard.handle(Input::Lost { connection: key }, now, &mut self.out);
        true
    }

    fn refuse_questions(&mut self, refused: Vec<Refused<Asked>>, now: Time) {
        for (Asked { question, asker, .. }, why) in refused {
            self.stats.questions_refused += 1;
            match why {
                Refusal::Late => self.stats.refused_early.questions_late += 1,
                Refusal::Full => self.stats.refused_early.questions_full += 1,
            }
            self.turned_away(now);
            let Question { connection, number, about } = question;
            let answer: Answer = clerks::refusal(about);
            self.answer(asker, Box::new(Answered { connection, number, answer }), now);
        }
    }

    /// Brings an answer to the shard that has asked.
    fn answer(&mut self, asker: ShardId, answered: Box<Answered>, now: Time) {
        if asker == self.id {
            self.answered(*answered, now);
        } else {
            self.send_and_wake(asker, Parcel::Answered(answered));
        }
    }

    /// An answer has come to the shard that has asked.
    pub(super) fn answered(&mut self, answered: Answered, now: Time) {
        self.stats.answers += 1;
        let Answered { connection, number, answer } = answered;
        self.shard.handle(Input::Answer { connection, number, answer }, now, &mut self.out);
    }

    fn send_and_wake(&mut self, to: ShardId, parcel: Parcel) {
        self.send_parcel(to, parcel);
        self.stats.wakes_sent += u64::from(self.ways.wake(to));
    }

    /// Counts somebody who was turned away, and tells the log now and then.
    pub(super) fn turned_away(&mut self, now: Time) {
        self.crowd.untold += 1;
        if self.crowd.told_at.is_none_or(|told_at| now.since_ms(told_at) >= TOLD_MS) {
            self.crowd.told_at = Some(now);
            let count = std::mem::take(&mut self.crowd.untold);
            events::turned_away(self.id, count, self.crowd.waiting(), self.crowd.oldest_ms(now));
        }
    }
}

impl Line {
    /// Whether costly steps lie ahead of a connection, and if so, whether they have begun.
    pub(super) fn handshake(&mut self) -> Option<bool> {
        self.layers().filter(|layers| layers.is_handshaking()).map(|layers| layers.has_answered())
    }
}
