//! One rule: what it does, whom it is about, and where it applies.

use core::fmt;

use super::question::{Object, Question};
use super::who::{Groups, Held, Who};
use crate::engine::auth::pattern::Pattern;
use crate::mqtt::version::QoS;

/// What a rule does to what it applies to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effect {
    /// It may be done.
    Allow,
    /// It may not.
    Deny,
}

/// A set of actions.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Actions(u8);

impl Actions {
    /// Publishing, but not leaving a will.
    pub const PUBLISH_ONLY: Self = Self(1);
    /// Leaving a will.
    pub const WILL: Self = Self(1 << 1);
    /// Subscribing, without what comes of it.
    pub const SUBSCRIBE_ONLY: Self = Self(1 << 2);
    /// Being sent messages.
    pub const RECEIVE: Self = Self(1 << 3);
    /// Being connected.
    pub const CONNECT: Self = Self(1 << 4);
    /// Publishing, now and by a will.
    pub const PUBLISH: Self = Self::PUBLISH_ONLY.with(Self::WILL);
    /// Subscribing, and what comes of it.
    pub const SUBSCRIBE: Self = Self::SUBSCRIBE_ONLY.with(Self::RECEIVE);
    /// All that has a topic or a filter.
    pub const ALL: Self = Self::PUBLISH.with(Self::SUBSCRIBE);

    /// Both sets together.
    #[must_use]
    pub const fn with(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// Whether the sets have an action in common.
    pub const fn meets(self, other: Self) -> bool {
        self.0 & other.0 != 0
    }
}

/// One rule. One per line of the operator's file, shared by all shards.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rule {
    /// What it does.
    pub effect: Effect,
    /// What it applies to.
    pub actions: Actions,
    /// It applies up to this quality of service.
    pub qos_max: QoS,
    /// Whether it applies to what is to be retained.
    pub may_retain: bool,
    /// The line that it begins in, from one; 0 for a rule that was not read.
    pub line: u32,
    /// Whom it is about.
    pub who: Who,
    /// Where it applies: what one of them reaches. Of the right to connect there is none.
    pub patterns: Box<[Pattern]>,
}

impl Rule {
    /// A rule without limits; `patterns` are its places.
    pub fn new(effect: Effect, who: Who, actions: Actions, patterns: Vec<Pattern>) -> Self {
        let patterns = patterns.into();
        Self { effect, actions, qos_max: QoS::ExactlyOnce, may_retain: true, line: 0, who, patterns }
    }

    /// Whether it decides this question.
    pub fn applies(&self, groups: &Groups, question: &Question<'_>) -> bool {
        self.actions.meets(question.action)
            && self.is_within_limits(question)
            && self.is_about(groups, question)
            && self.reaches(question)
    }

    /// Whether it is about whoever asks. What is unknown counts against the client: it is denied by a rule that may be about it, and not
    /// allowed by one that may not.
    pub fn is_about(&self, groups: &Groups, question: &Question<'_>) -> bool {
        match self.who.holds(groups, question) {
            Held::Yes => true,
            Held::No => false,
            Held::Unknown => self.effect == Effect::Deny,
        }
    }

    /// Whether neither quality of service nor retaining is too much for it.
    pub fn is_within_limits(&self, question: &Question<'_>) -> bool {
        question.qos.is_none_or(|qos| qos <= self.qos_max) && (self.may_retain || !question.retain)
    }

    fn reaches(&self, question: &Question<'_>) -> bool {
        match question.object {
            Object::Nothing => true,
            Object::Topic(_) | Object::Filter(_) => self.patterns.iter().any(|pattern| question.is_reached(pattern)),
        }
    }
}

/// `publish and subscribe`
impl fmt::Display for Actions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const WORDS: [(Actions, Actions, &str); 5] = [
            (Actions::CONNECT, Actions::CONNECT, "connect"),
            (Actions::PUBLISH_ONLY, Actions::PUBLISH, "publish"),
            (Actions::WILL, Actions::WILL, "will"),
            (Actions::SUBSCRIBE_ONLY, Actions::SUBSCRIBE, "subscribe"),
            (Actions::RECEIVE, Actions::RECEIVE, "receive"),
        ];
        let mut said = Self::default();
        for (mark, means, word) in WORDS {
            if self.meets(mark) && !said.meets(mark) {
                write!(f, "{}{word}", if said == Self::default() { "" } else { " and " })?;
                said = said.with(means);
            }
        }
        Ok(())
    }
}

impl fmt::Display for Effect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Allow => "allow",
            Self::Deny => "deny",
        })
    }
}

/// The rule in one line: `allow user alice to publish, up to QoS 1, not retained: sensors/%c/#, status/+`.
impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} to {}", self.effect, self.who, self.actions)?;
        if self.qos_max < QoS::ExactlyOnce {
            write!(f, ", up to QoS {}", self.qos_max as u8)?;
        }
        if !self.may_retain {
            f.write_str(", not retained")?;
        }
        for (at, pattern) in self.patterns.iter().enumerate() {
            write!(f, "{}{}", if at == 0 { ": " } else { ", " }, pattern.as_str().escape_debug())?;
        }
        Ok(())
    }
}
