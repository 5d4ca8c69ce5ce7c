//! An ordered list of rules: the first that applies decides, and what none allows is refused.
//!
//! ```text
//! # effect  who             actions   limits           pattern
//! deny      everyone        receive                    sensors/secret/#
//! allow     user alice      publish   qos 1 no-retain  sensors/%c/#
//! allow     group staff     subscribe                  sensors/#
//! deny      client toaster  connect
//! ```
//! - Who: `everyone`, `anonymous`, `user NAME`, `client ID`, `group NAME`.
//! - Actions, joined by commas: `publish` (wills too), `will`, `subscribe` (and what comes of it), `receive`, `all` of
//!   these, and `connect`, which stands alone and without a pattern.
//! - Limits, of an allowing rule only: it does not apply to more than this `qos`, or to what is to be retained.
//! - The pattern is the rest of the line: see [`Pattern`].
//!
//! A rule applies to a topic that its pattern matches, and to a filter that its pattern [covers](Pattern::covers): whoever
//! may have only a part of a filter does not get it. The reverse, a denied part of an allowed filter, is withheld message
//! by message, which is why such a list [asks to be asked](Authoriser::checks_receive) at delivery. To connect needs no
//! rule: authentication has decided already.

use super::identity::Identity;
use super::pattern::{Names, Pattern, PatternError};
use super::{Action, Authoriser, Decision};
use crate::mqtt::topic::{Filter, Topic};
use crate::mqtt::version::QoS;

/// What a rule does to what it applies to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effect {
    /// It may be done.
    Allow,
    /// It may not.
    Deny,
}

/// Whom a rule applies to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Who {
    /// Every client.
    Everyone,
    /// Clients that proved nothing.
    Anonymous,
    /// Clients that proved this name.
    User(Box<str>),
    /// Clients that call themselves so.
    Client(Box<str>),
    /// Clients that the authenticator put into this group.
    Group(Box<str>),
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

    fn of(action: Action<'_>) -> Self {
        match action {
            Action::Connect => Self::CONNECT,
            Action::Publish { .. } => Self::PUBLISH_ONLY,
            Action::Will { .. } => Self::WILL,
            Action::Subscribe { .. } => Self::SUBSCRIBE_ONLY,
            Action::Receive { .. } => Self::RECEIVE,
        }
    }
}

/// One rule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rule {
    /// What it does.
    pub effect: Effect,
    /// Whom it applies to.
    pub who: Who,
    /// What it applies to.
    pub actions: Actions,
    /// It applies up to this quality of service.
    pub qos_max: QoS,
    /// Whether it applies to what is to be retained.
    pub may_retain: bool,
    /// Where it applies; none for the right to connect.
    pub pattern: Option<Pattern>,
}

impl Rule {
    fn applies(&self, who: &Identity, client_id: &str, action: Action<'_>) -> bool {
        if !self.actions.meets(Actions::of(action)) || !self.is_about(who, client_id) {
            return false;
        }
        let names = Names { user: who.user.as_deref(), client_id };
        let matches = |topic| {
            let topic = Topic::parse(topic).ok();
            self.pattern.as_ref().zip(topic).is_some_and(|(pattern, topic)| pattern.matches(names, topic))
        };
        match action {
            Action::Connect => true,
            Action::Publish { topic, qos, retain } | Action::Will { topic, qos, retain } => {
                qos <= self.qos_max && (self.may_retain || !retain) && matches(topic)
            }
            Action::Subscribe { filter, qos, is_shared: _ } => {
                let filter = Filter::parse(filter).ok();
                let covers = self.pattern.as_ref().zip(filter).is_some_and(|(pattern, filter)| pattern.covers(names, filter));
                qos <= self.qos_max && covers
            }
            Action::Receive { topic } => matches(topic),
        }
    }

    fn is_about(&self, who: &Identity, client_id: &str) -> bool {
        match &self.who {
            Who::Everyone => true,
            Who::Anonymous => who.is_anonymous(),
            Who::User(name) => who.user.as_ref() == Some(name),
            Who::Client(id) => **id == *client_id,
            Who::Group(name) => who.is_in(name),
        }
    }
}

/// The list. It does not change: a reload makes a new one of a higher generation.
#[derive(Clone, Debug, Default)]
pub struct Acl {
    rules: Vec<Rule>,
    generation: u64,
    checks_receive: bool,
}

impl Acl {
    /// A list of these rules, in this order. No rules: nobody may do anything but connect.
    pub fn new(rules: Vec<Rule>, generation: u64) -> Self {
        let may_deny = rules.iter().position(|rule| rule.effect == Effect::Deny && rule.actions.meets(Actions::RECEIVE));
        let allows = |rule: &Rule| rule.effect == Effect::Allow && rule.actions.meets(Actions::SUBSCRIBE);
        // What no later rule allows again is not subscribed to in the first place.
        let checks_receive = may_deny.is_some_and(|first| rules[first..].iter().any(allows));
        Self { rules, generation, checks_receive }
    }

    /// Reads a list from text, one rule a line; empty lines and lines that begin with `#` say nothing.
    pub fn parse(text: &str, generation: u64) -> Result<Self, RuleError> {
        let mut rules = Vec::new();
        for (line, text) in (1..).zip(text.lines()) {
            let text = text.trim();
            if !text.is_empty() && !text.starts_with('#') {
                rules.push(parse_rule(text).map_err(|fault| RuleError { line, fault })?);
            }
        }
        Ok(Self::new(rules, generation))
    }

    /// The rules, in their order.
    pub fn rules(&self) -> &[Rule] {
        &self.rules
    }

    /// The index of the rule that decides this; none when no rule applies.
    pub fn explain(&self, who: &Identity, client_id: &str, action: Action<'_>) -> Option<usize> {
        self.rules.iter().position(|rule| rule.applies(who, client_id, action))
    }
}

impl Authoriser for Acl {
    fn decide(&self, who: &Identity, client_id: &str, action: Action<'_>) -> Decision {
        match self.explain(who, client_id, action).map(|index| self.rules[index].effect) {
            Some(Effect::Allow) => Decision::Allow,
            Some(Effect::Deny) => Decision::Deny,
            None if action == Action::Connect => Decision::Allow,
            None => Decision::Deny,
        }
    }

    fn checks_receive(&self) -> bool {
        self.checks_receive
    }

    fn generation(&self) -> u64 {
        self.generation
    }
}

/// A line that is no rule.
#[derive(thiserror::Error, Clone, Debug, PartialEq, Eq)]
#[error("line {line}: {fault}")]
pub struct RuleError {
    /// Which line, counted from one.
    pub line: usize,
    /// What is wrong with it.
    pub fault: RuleFault,
}

/// What is wrong with a rule.
#[derive(thiserror::Error, Clone, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the message of each variant is its documentation")]
pub enum RuleFault {
    #[error("`{0}` is neither allow nor deny")]
    Effect(Box<str>),
    #[error("`{0}` is nobody: everyone, anonymous, user NAME, client ID or group NAME")]
    Who(Box<str>),
    #[error("`{0}` is no action: publish, will, subscribe, receive, all or connect")]
    Action(Box<str>),
    #[error("connect stands alone and has neither limit nor pattern")]
    Connect,
    #[error("`{0}` is no quality of service")]
    QoS(Box<str>),
    #[error("only what is allowed can be limited")]
    LimitedDenial,
    #[error("the pattern `{pattern}` is wrong: {error}")]
    Pattern { pattern: Box<str>, error: PatternError },
}

fn parse_rule(text: &str) -> Result<Rule, RuleFault> {
    let mut rest = text;
    let effect = match word(&mut rest) {
        "allow" => Effect::Allow,
        "deny" => Effect::Deny,
        other => return Err(RuleFault::Effect(other.into())),
    };
    let who = parse_who(&mut rest)?;
    let actions = parse_actions(word(&mut rest))?;
    if actions.meets(Actions::CONNECT) {
        let is_alone = actions == Actions::CONNECT && rest.is_empty();
        let rule = Rule { effect, who, actions, qos_max: QoS::ExactlyOnce, may_retain: true, pattern: None };
        return if is_alone { Ok(rule) } else { Err(RuleFault::Connect) };
    }
    let (qos_max, may_retain) = parse_limits(&mut rest)?;
    if effect == Effect::Deny && (qos_max, may_retain) != (QoS::ExactlyOnce, true) {
        return Err(RuleFault::LimitedDenial);
    }
    let wrong = |error| RuleFault::Pattern { pattern: rest.into(), error };
    let pattern = Some(Pattern::parse(rest).map_err(wrong)?);
    Ok(Rule { effect, who, actions, qos_max, may_retain, pattern })
}

fn parse_who(rest: &mut &str) -> Result<Who, RuleFault> {
    let kind = word(rest);
    let name: fn(Box<str>) -> Who = match kind {
        "everyone" => return Ok(Who::Everyone),
        "anonymous" => return Ok(Who::Anonymous),
        "user" => Who::User,
        "client" => Who::Client,
        "group" => Who::Group,
        other => return Err(RuleFault::Who(other.into())),
    };
    match word(rest) {
        "" => Err(RuleFault::Who(kind.into())),
        given => Ok(name(given.into())),
    }
}

fn parse_actions(words: &str) -> Result<Actions, RuleFault> {
    let mut actions = Actions::default();
    for word in words.split(',') {
        actions = actions.with(match word {
            "publish" => Actions::PUBLISH,
            "will" => Actions::WILL,
            "subscribe" => Actions::SUBSCRIBE,
            "receive" => Actions::RECEIVE,
            "all" => Actions::ALL,
            "connect" => Actions::CONNECT,
            other => return Err(RuleFault::Action(other.into())),
        });
    }
    Ok(actions)
}

fn parse_limits(rest: &mut &str) -> Result<(QoS, bool), RuleFault> {
    let (mut qos_max, mut may_retain) = (QoS::ExactlyOnce, true);
    loop {
        let mut ahead = *rest;
        match word(&mut ahead) {
            "qos" => {
                qos_max = match word(&mut ahead) {
                    "0" => QoS::AtMostOnce,
                    "1" => QoS::AtLeastOnce,
                    "2" => QoS::ExactlyOnce,
                    other => return Err(RuleFault::QoS(other.into())),
                };
            }
            "no-retain" => may_retain = false,
            _ => return Ok((qos_max, may_retain)),
        }
        *rest = ahead;
    }
}

/// Cuts the next word off; empty at the end.
fn word<'a>(rest: &mut &'a str) -> &'a str {
    let (word, after) = rest.split_once(char::is_whitespace).unwrap_or((rest, ""));
    *rest = after.trim_start();
    word
}
