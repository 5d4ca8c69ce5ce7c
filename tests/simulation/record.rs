//! What clients did and saw, as facts: the oracle judges by these alone.

use pregon::base::time::Time;
use pregon::mqtt::{Filter, Topic};

/// A point of a run: its step, and what the clock said.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Moment {
    /// The step.
    pub step: u64,
    /// The clock.
    pub time: Time,
}

/// A message that a client sent, or left as its will. Its number is in its payload.
#[derive(Clone, Debug)]
pub struct Message {
    /// Which client.
    pub client: usize,
    /// Which of its sessions.
    pub life: u32,
    /// On which connection.
    pub link: usize,
    /// The topic.
    pub topic: String,
    /// 0, 1 or 2.
    pub qos: u8,
    /// RETAIN.
    pub retain: bool,
    /// Whether the payload is empty, so that it names no number.
    pub is_empty: bool,
    /// Bytes behind the number.
    pub padding: usize,
    /// Message Expiry Interval.
    pub expiry_s: Option<u32>,
    /// When it was sent first.
    pub sent: Moment,
    /// How often it was sent.
    pub sends: u32,
    /// PUBACK or PUBREC: when it was heard, and the reason.
    pub answer: Option<(Moment, u8)>,
    /// Whether it is a will.
    pub is_will: bool,
}

impl Message {
    /// Whether the broker has promised it.
    pub fn is_acknowledged(&self) -> bool {
        self.answer.is_some_and(|(_, reason)| reason < 0x80)
    }

    /// Whether a filter matches its topic.
    pub fn is_matched_by(&self, filter: &str) -> bool {
        matches(filter, &self.topic)
    }
}

/// Whether a filter matches a topic, by the plain definition.
pub fn matches(filter: &str, topic: &str) -> bool {
    Filter::parse(filter).expect("a filter of ours").matches(Topic::parse(topic).expect("a topic of ours"))
}

/// One subscription on certain terms, from its SUBSCRIBE to the word that it is over.
#[derive(Clone, Debug)]
#[expect(clippy::struct_excessive_bools, reason = "the options of the standard are flags")]
pub struct Term {
    /// The whole text, `$share/` included.
    pub text: String,
    /// What is matched.
    pub filter: String,
    /// The group.
    pub share: Option<String>,
    /// Maximum `QoS`.
    pub qos: u8,
    /// No Local.
    pub no_local: bool,
    /// Retain As Published.
    pub as_published: bool,
    /// Retain Handling.
    pub handling: u8,
    /// Subscription Identifier.
    pub identifier: Option<u32>,
    /// Which session of the client.
    pub life: u32,
    /// When SUBSCRIBE was sent.
    pub asked: u64,
    /// When SUBACK granted it.
    pub granted: Option<u64>,
    /// Whether SUBACK refused it.
    pub is_refused: bool,
    /// When UNSUBSCRIBE was sent.
    pub given_up: Option<u64>,
    /// When UNSUBACK, or SUBACK to newer terms, was heard.
    pub ended: Option<u64>,
    /// Whether it was ended by newer terms: what was being looked up for it still comes.
    pub is_replaced: bool,
}

impl Term {
    /// Whether a message sent at this step may have been matched under these terms.
    pub fn may_hold_for(&self, sent: u64) -> bool {
        !self.is_refused && self.ended.is_none_or(|ended| sent <= ended)
    }

    /// Whether the terms hold for sure from the SUBACK on, until now.
    pub fn holds(&self) -> bool {
        self.granted.is_some() && self.given_up.is_none() && self.ended.is_none()
    }
}

/// A PUBLISH that a client heard.
#[derive(Clone, Debug)]
pub struct Received {
    /// The number in the payload; an empty one has none.
    pub message: Option<u32>,
    /// The topic, aliases resolved.
    pub topic: String,
    /// In which session.
    pub life: u32,
    /// On which connection.
    pub link: usize,
    /// When the broker wrote it.
    pub written: Moment,
    /// 0, 1 or 2.
    pub qos: u8,
    /// RETAIN.
    pub retain: bool,
    /// DUP.
    pub dup: bool,
    /// Subscription Identifiers.
    pub identifiers: Vec<u32>,
    /// Whether the client knew its packet identifier already: no new delivery.
    pub is_repeat: bool,
}

/// What must become of a will.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// The connection lives, or its end is not clear yet.
    Open,
    /// It is due at this time, unless the session is resumed before.
    Due(Time),
    /// It must be published, not before this time.
    Must(Time),
    /// It must not be published.
    MustNot,
    /// Nobody outside can know.
    May,
}

/// A will that was left with a CONNECT.
#[derive(Clone, Debug)]
pub struct Will {
    /// Its message.
    pub message: u32,
    /// Will Delay Interval.
    pub delay_s: u32,
    /// What must become of it.
    pub verdict: Verdict,
}
