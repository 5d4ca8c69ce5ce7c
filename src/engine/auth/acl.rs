//! An ordered list of rules: the first that applies decides, and what none allows is refused.
//!
//! | file           | what                                                               |
//! |----------------|--------------------------------------------------------------------|
//! | here           | the list and its decisions                                         |
//! | [`rule`]       | one rule                                                           |
//! | [`who`]        | whom a rule is about                                               |
//! | [`question`]   | what is asked of the list                                          |
//! | [`index`]      | which rules may be about somebody                                  |
//! | [`explain`]    | why something is allowed or refused                                |
//! | [`deliveries`] | what of a subscription is delivered                                |
//!
//! A rule applies to a topic that one of its patterns matches, and to a filter that one [covers](super::pattern::Pattern::covers): whoever
//! may have only a part of a filter does not get it. The reverse, a denied part of an allowed filter, is withheld message
//! by message, which is why such a list [asks to be asked](Authoriser::checks_receive) at delivery.
//!
//! To connect needs no rule, for authentication has decided already, as long as none allows it to anybody; where one does,
//! whoever no rule allows is refused.
//!
//! Where a session was read from disk nobody knows the address and the certificate of its owner until it is connected again. What is unknown
//! counts against it: rules that ask for one or the other deny, and do not allow.

pub mod deliveries;
pub mod explain;
pub mod index;
pub mod question;
pub mod rule;
pub mod who;

use self::deliveries::Deliveries;
use self::explain::Explanation;
use self::index::Index;
use self::question::Question;
use self::rule::{Actions, Effect, Rule};
use self::who::{Condition, Groups};
use super::identity::Identity;
use super::rules::{self, RulesError};
use super::{Action, Authoriser, ClientId, Decision, Ground};
use crate::base::hash::Seed;

/// The list. It does not change: a reload makes a new one. Shared by all shards.
///
/// A rule takes some 400 bytes here, its entry in the index included, if it is about one user and has one pattern of 20 bytes: the sum of the
/// sizes of its parts, each rounded up as an allocator does.
#[derive(Clone, Debug)]
pub struct Acl {
    rules: Box<[Rule]>,
    groups: Groups,
    index: Index,
    checks_receive: bool,
    asks_for_origin: bool,
    asks_to_connect: bool,
}

impl Acl {
    /// A list of these rules, in this order. No rules: nobody may do anything but connect.
    pub fn new(rules: Vec<Rule>, groups: Groups, seed: Seed) -> Self {
        assert!(u32::try_from(rules.len()).is_ok(), "a rule has a number of 32 bits");
        let conditions = || rules.iter().flat_map(|rule| rule.who.conditions());
        Self {
            checks_receive: checks_receive(&rules),
            asks_for_origin: conditions().any(Condition::asks_for_origin),
            asks_to_connect: rules.iter().any(|rule| allows(rule, Actions::CONNECT)),
            index: Index::new(&rules, &groups, seed),
            rules: rules.into(),
            groups,
        }
    }

    /// Reads a list from [text](super::rules).
    pub fn parse(text: &str, seed: Seed) -> Result<Self, RulesError> {
        let (rules, groups) = rules::parse(text)?;
        Ok(Self::new(rules, groups, seed))
    }

    /// The rules, in their order.
    pub fn rules(&self) -> &[Rule] {
        &self.rules
    }

    /// The groups that it makes itself.
    pub fn groups(&self) -> &Groups {
        &self.groups
    }

    /// The decision about this action, and why.
    pub fn explain<'a>(&'a self, who: &'a Identity, client_id: ClientId<'a>, action: Action<'a>) -> Explanation<'a> {
        explain::explain(self, who, client_id, action)
    }

    /// The number of the rule that decides this, from zero; none when no rule applies.
    fn first(&self, question: &Question<'_>) -> Option<usize> {
        let applies = |number: u32| self.rules[number as usize].applies(&self.groups, question);
        self.index.first(question.who, question.client_id(), applies).map(|number| number as usize)
    }

    /// The numbers of all rules that may be about this client, rising.
    fn candidates(&self, who: &Identity, client_id: ClientId<'_>) -> Vec<usize> {
        let mut numbers = Vec::new();
        let none = self.index.first(who, client_id, |number| {
            numbers.push(number as usize);
            false
        });
        debug_assert_eq!(none, None, "each of them was turned down");
        numbers.sort_unstable();
        numbers.dedup();
        numbers
    }

    /// Whether some rule allows somebody to connect, so that everybody needs one.
    fn asks_to_connect(&self) -> bool {
        self.asks_to_connect
    }
}

fn allows(rule: &Rule, actions: Actions) -> bool {
    rule.effect == Effect::Allow && rule.actions.meets(actions)
}

/// Whether a subscription that was allowed may still match what its owner must not be sent.
fn checks_receive(rules: &[Rule]) -> bool {
    let may_deny = rules.iter().position(|rule| rule.effect == Effect::Deny && rule.actions.meets(Actions::RECEIVE));
    // What no later rule allows again is not subscribed to in the first place.
    let is_taken_out = may_deny.is_some_and(|first| rules[first..].iter().any(|rule| allows(rule, Actions::SUBSCRIBE)));
    // Who comes back from elsewhere has subscriptions that it would not get now.
    let may_change = |rule: &Rule| rule.who.conditions().iter().any(Condition::may_change);
    is_taken_out || rules.iter().any(|rule| allows(rule, Actions::SUBSCRIBE) && may_change(rule))
}

impl Authoriser for Acl {
    fn decide(&self, who: &Identity, client_id: ClientId<'_>, action: Action<'_>) -> Decision {
        let Ok(question) = Question::new(who, client_id, action) else { return Decision::Deny };
        match self.first(&question).map(|number| self.rules[number].effect) {
            Some(Effect::Allow) => Decision::Allow,
            None if action == Action::Connect && !self.asks_to_connect => Decision::Allow,
            Some(Effect::Deny) | None => Decision::Deny,
        }
    }

    fn ground(&self, who: &Identity, client_id: ClientId<'_>, action: Action<'_>) -> Ground {
        let question = Question::new(who, client_id, action);
        question.ok().and_then(|question| self.first(&question)).map_or(Ground::NoRule, Ground::Rule)
    }

    fn rule(&self, ground: Ground) -> Option<&Rule> {
        match ground {
            Ground::Rule(number) => self.rules.get(number),
            Ground::NoRule | Ground::Before(_) | Ground::Claims => None,
        }
    }

    fn checks_receive(&self) -> bool {
        self.checks_receive
    }

    fn asks_for_origin(&self) -> bool {
        self.asks_for_origin
    }

    fn deliveries(&self, who: &Identity, client_id: ClientId<'_>, filter: &str) -> Deliveries {
        deliveries::deliveries(self, who, client_id, filter)
    }
}

#[cfg(test)]
mod tests;
