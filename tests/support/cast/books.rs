//! What was ever said, in its order, what of it the broker has taken on, and what must be retained.

use std::collections::{BTreeMap, BTreeSet};

/// Topics of messages that are not retained.
pub const PLAIN: [&str; 4] = ["a/x", "a/y", "b/x", "b/y"];
/// There is something to say for so many publishers.
pub const PUBLISHERS_MAX: usize = 3;
/// Topics of retained messages, some for each publisher: nobody else says anything there.
pub const KEPT: [[&str; 2]; PUBLISHERS_MAX] = [["r/0/x", "r/0/y"], ["r/1/x", "r/1/y"], ["r/2/x", "r/2/y"]];
/// Topics of wills, one for each mourner.
pub const WILLS: [&str; 2] = ["w/0", "w/1"];

/// A message. It goes by its place among all.
#[derive(Clone, Copy, Debug)]
pub struct Said {
    /// Who has said it: a publisher, or behind all of them a mourner.
    pub who: usize,
    /// Under which topic.
    pub topic: &'static str,
    /// At which quality of service.
    pub qos: u8,
    /// It takes away what is retained and says nothing.
    pub is_erasure: bool,
}

/// What was said, and what became of it outside of the broker's word.
#[derive(Debug, Default)]
pub struct Books {
    said: Vec<Said>,
    /// What the broker owes, in the order in which it took it on.
    promised: Vec<u32>,
    /// What must not come any more, if it has not come before.
    withdrawn: BTreeSet<u32>,
    /// What may be retained under a topic: the last message that was taken on, and all that was said after it.
    kept: BTreeMap<&'static str, Vec<u32>>,
    /// What time it is, where somebody turns the clock.
    pub now_ms: u64,
    /// How often the broker has died.
    pub crashes: u32,
    /// The broker may put off copies of a message that it has taken on, until after other clients have subscribed or unsubscribed.
    pub has_late_copies: bool,
}

impl Books {
    /// Notes a message that is about to be said; its number.
    pub fn say(&mut self, said: Said) -> u32 {
        let number = self.len();
        self.said.push(said);
        if is_kept(said.topic) {
            self.kept.entry(said.topic).or_default().push(number);
        }
        number
    }

    /// How many messages were said.
    pub fn len(&self) -> u32 {
        u32::try_from(self.said.len()).expect("few messages")
    }

    /// What was said under this number: whatever was not has no place anywhere.
    pub fn said(&self, number: u32) -> Said {
        self.said[number as usize]
    }

    /// The broker has taken it on.
    pub fn promise(&mut self, number: u32) {
        self.promised.push(number);
        if let Some(kept) = self.kept.get_mut(self.said(number).topic) {
            kept.retain(|other| *other >= number);
        }
    }

    /// It can never be said any more.
    pub fn withdraw(&mut self, number: u32) {
        self.withdrawn.insert(number);
    }

    /// All that can never be said.
    pub fn withdrawn(&self) -> impl Iterator<Item = u32> {
        self.withdrawn.iter().copied()
    }

    /// What the broker has taken on, in that order.
    pub fn promised(&self) -> &[u32] {
        &self.promised
    }

    /// The topics of retained messages, and which messages may be retained there. Nothing may be if nothing was ever taken on.
    pub fn kept(&self) -> impl Iterator<Item = (&'static str, &[u32])> {
        self.kept.iter().map(|(topic, numbers)| (*topic, numbers.as_slice()))
    }

    /// Whether something must be retained there: the oldest that may be is a message that was taken on, and no erasure follows.
    pub fn must_be_kept(&self, numbers: &[u32]) -> bool {
        numbers.first().is_some_and(|oldest| self.promised.contains(oldest))
            && numbers.iter().all(|number| !self.said(*number).is_erasure)
    }

    /// What a message says: its number, and more bytes for some than for others.
    pub fn payload(&self, number: u32) -> Vec<u8> {
        if self.said(number).is_erasure {
            return Vec::new();
        }
        let mut payload = number.to_be_bytes().to_vec();
        let more = number.wrapping_mul(0x9e37_79b9) >> 25;
        payload.extend((0..more).map(|place| (number ^ place).to_le_bytes()[0]));
        payload
    }
}

/// Whether messages are retained there.
pub fn is_kept(topic: &str) -> bool {
    topic.starts_with("r/")
}

/// Whether a filter takes in a topic, level by level.
pub fn takes(filter: &str, topic: &str) -> bool {
    let (mut levels, mut filters) = (topic.split('/'), filter.split('/'));
    loop {
        match (filters.next(), levels.next()) {
            (Some("#"), _) | (None, None) => return true,
            (Some("+"), Some(_)) => {}
            (Some(one), Some(other)) if one == other => {}
            _ => return false,
        }
    }
}
