//! Why something is allowed or refused: the rule that says so, or those that come nearest to it.

use super::Acl;
use super::question::Question;
use super::rule::{Effect, Rule};
use super::who::{Condition, Held};
use crate::engine::auth::identity::Identity;
use crate::engine::auth::pattern::{Gap, Pattern};
use crate::engine::auth::{Action, ClientId};
use crate::mqtt::topic::TopicError;

/// Rules that are told when none applies.
pub const NEAR_MAX: usize = 5;

/// A decision and its reason.
#[derive(Clone, Debug)]
pub struct Explanation<'a> {
    /// What is decided.
    pub is_allowed: bool,
    /// What decides it.
    pub reason: Reason<'a>,
    /// The allowing rules that were nearest to apply, where none did.
    pub near: Vec<Near<'a>>,
}

/// What decides.
#[derive(Clone, Debug)]
pub enum Reason<'a> {
    /// This rule is the first that applies.
    Rule {
        /// Its number, from one.
        number: usize,
        /// It.
        rule: &'a Rule,
        /// The first of its patterns that reaches what was asked for; none for the right to connect.
        pattern: Option<&'a Pattern>,
        /// The condition that counts although nobody knows whether it holds.
        unknown: Option<&'a Condition>,
    },
    /// No rule applies.
    NoRule,
    /// No rule allows anybody to connect, and none denies it to this client: authentication has decided.
    ConnectIsFree,
    /// To subscribe needs no rule; messages are withheld one by one.
    SubscribeIsFree,
    /// The topic or filter is none.
    Malformed(TopicError),
}

/// A rule that does not apply, though it is about this action.
#[derive(Clone, Debug)]
pub struct Near<'a> {
    /// Its number, from one.
    pub number: usize,
    /// It.
    pub rule: &'a Rule,
    /// What is in its way.
    pub obstacle: Obstacle<'a>,
}

/// Why a rule does not apply.
#[derive(Clone, Debug)]
pub enum Obstacle<'a> {
    /// The quality of service that is asked for is higher than its own.
    Qos,
    /// It is not about what is retained.
    Retain,
    /// It is about somebody else.
    Who(&'a Condition),
    /// Nobody knows whether it is about this client.
    Unknown(&'a Condition),
    /// None of its patterns reaches what is asked for; this is the one that agrees longest.
    Pattern(&'a Pattern, Gap<'a>),
}

/// The decision about this action, and why.
pub fn explain<'a>(acl: &'a Acl, who: &'a Identity, client_id: ClientId<'a>, action: Action<'a>) -> Explanation<'a> {
    let question = match Question::new(who, client_id, action) {
        Ok(question) => question,
        Err(error) => return Explanation { is_allowed: false, reason: Reason::Malformed(error), near: Vec::new() },
    };
    if let Some(number) = acl.first(&question) {
        let rule = &acl.rules()[number];
        let pattern = rule.patterns.iter().find(|pattern| question.is_reached(pattern));
        let unknown = condition(acl, rule, &question, Held::Unknown);
        let reason = Reason::Rule { number: number + 1, rule, pattern, unknown };
        return Explanation { is_allowed: rule.effect == Effect::Allow, reason, near: Vec::new() };
    }
    if action == Action::Connect && !acl.asks_to_connect() {
        return Explanation { is_allowed: true, reason: Reason::ConnectIsFree, near: Vec::new() };
    }
    Explanation { is_allowed: false, reason: Reason::NoRule, near: nearest(acl, &question) }
}

/// The first condition of the rule of which this is true.
fn condition<'a>(acl: &Acl, rule: &'a Rule, question: &Question<'_>, held: Held) -> Option<&'a Condition> {
    rule.who.conditions().iter().find(|condition| condition.holds(acl.groups(), question) == held)
}

/// Rules that would have allowed it but for one thing; those that agree longest come first, among equals the earlier one.
fn nearest<'a>(acl: &'a Acl, question: &Question<'a>) -> Vec<Near<'a>> {
    let mut near: Vec<(usize, Near<'a>)> = Vec::new();
    for (index, rule) in acl.rules().iter().enumerate() {
        if rule.effect == Effect::Deny || !rule.actions.meets(question.action) {
            continue;
        }
        let Some((agreed, obstacle)) = obstacle(acl, rule, question) else { continue };
        near.push((agreed, Near { number: index + 1, rule, obstacle }));
    }
    near.sort_by_key(|(agreed, near)| (usize::MAX - agreed, near.number));
    near.truncate(NEAR_MAX);
    near.into_iter().map(|(_, near)| near).collect()
}

/// The one thing that is in the way of the rule, and how far it agrees; nothing where it is more than one.
fn obstacle<'a>(acl: &Acl, rule: &'a Rule, question: &Question<'a>) -> Option<(usize, Obstacle<'a>)> {
    let other = condition(acl, rule, question, Held::No);
    let gaps = rule.patterns.iter().map(|pattern| (pattern, question.gap(pattern)));
    let reaches = rule.patterns.is_empty() || gaps.clone().any(|(_, gap)| gap.is_none());
    match (other, reaches) {
        (Some(condition), true) if rule.is_within_limits(question) => Some((usize::MAX - 1, Obstacle::Who(condition))),
        (Some(_), _) => None,
        (None, true) if !rule.is_within_limits(question) => {
            let is_retain = question.retain && !rule.may_retain;
            Some((usize::MAX, if is_retain { Obstacle::Retain } else { Obstacle::Qos }))
        }
        (None, true) => {
            let condition = condition(acl, rule, question, Held::Unknown)?;
            Some((usize::MAX, Obstacle::Unknown(condition)))
        }
        (None, false) => {
            let gaps = gaps.filter_map(|(pattern, gap)| gap.map(|gap| (pattern, gap)));
            let (pattern, gap) = gaps.max_by_key(|(_, gap)| gap.level)?;
            Some((gap.level, Obstacle::Pattern(pattern, gap)))
        }
    }
}
