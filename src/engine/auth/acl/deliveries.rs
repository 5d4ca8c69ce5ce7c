//! What of a subscription is delivered and what is withheld, part by part.

use super::Acl;
use super::question::{Object, Question};
use super::rule::{Actions, Effect};
use crate::engine::auth::identity::Identity;
use crate::engine::auth::pattern::{Names, Pattern, covers};
use crate::engine::auth::{ClientId, Ground};
use crate::mqtt::topic::Filter;

/// Parts of one subscription that are told apart; what lies behind them is left open.
pub const PARTS_MAX: usize = 1_000;

/// A part of the topics that a filter matches.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Part {
    /// Which ones, but for those of the parts before it.
    pub filter: Box<str>,
    /// Whether their messages are delivered.
    pub is_delivered: bool,
    /// What says so.
    pub ground: Ground,
}

/// All parts of a subscription: the first that has a topic decides it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Deliveries {
    /// In the order of the rules.
    pub parts: Vec<Part>,
    /// Whether the parts are all: then the last one is all that is left of the filter.
    pub is_complete: bool,
}

impl Deliveries {
    /// One answer for all that the filter matches.
    pub fn whole(filter: &str, is_delivered: bool) -> Self {
        Self { parts: vec![Part { filter: filter.into(), is_delivered, ground: Ground::NoRule }], is_complete: true }
    }

    /// What of these another word lets through as well. Where both withhold something, this one is named; where both deliver it, too.
    #[must_use]
    pub fn within(&self, other: &Self) -> Self {
        let nobody = Names { user: None, client_id: ClientId::Text("") };
        let mut parts: Vec<Part> = Vec::new();
        // Ordered by this one's parts and then by the other's, so the first that has a topic is where each side has it first.
        for one in &self.parts {
            let (Ok(pattern), Ok(filter)) = (Pattern::literal(&one.filter), Filter::parse(&one.filter)) else {
                continue;
            };
            for beside in &other.parts {
                let shared = Filter::parse(&beside.filter).ok().and_then(|filter| pattern.overlap(nobody, filter));
                let Some(shared) = shared else { continue };
                let is_told =
                    Filter::parse(&shared).map_or(true, |shared| parts.iter().any(|part| covers(&part.filter, shared)));
                if !is_told {
                    if parts.len() == PARTS_MAX {
                        return Self { parts, is_complete: false };
                    }
                    let is_delivered = one.is_delivered && beside.is_delivered;
                    let ground = if one.is_delivered && !beside.is_delivered { beside.ground } else { one.ground };
                    parts.push(Part { filter: shared.into(), is_delivered, ground });
                }
                if covers(&beside.filter, filter) {
                    break; // what stands behind it has nothing of this part
                }
            }
        }
        Self { parts, is_complete: self.is_complete && other.is_complete }
    }
}

/// What of this filter the rules would deliver to this client, whether it may subscribe to it or not.
pub fn deliveries(acl: &Acl, who: &Identity, client_id: ClientId<'_>, filter: &str) -> Deliveries {
    let Ok(filter) = Filter::parse(filter) else { return Deliveries::whole(filter, false) };
    let names = Names { user: who.user.as_deref(), client_id };
    let object = Object::Filter(filter);
    let question = Question { who, names, action: Actions::RECEIVE, object, qos: None, retain: false };
    let mut parts: Vec<Part> = Vec::new();
    for number in acl.candidates(who, client_id) {
        let rule = &acl.rules()[number];
        if !rule.actions.meets(Actions::RECEIVE) || !rule.is_about(acl.groups(), &question) {
            continue;
        }
        for shared in rule.patterns.iter().filter_map(|pattern| pattern.overlap(names, filter)) {
            let Ok(shared) = Filter::parse(&shared) else { continue };
            if parts.iter().any(|part| covers(&part.filter, shared)) {
                continue;
            }
            if parts.len() == PARTS_MAX {
                return Deliveries { parts, is_complete: false };
            }
            let is_delivered = rule.effect == Effect::Allow;
            parts.push(Part { filter: shared.as_str().into(), is_delivered, ground: Ground::Rule(number) });
            if covers(shared.as_str(), filter) {
                return Deliveries { parts, is_complete: true };
            }
        }
    }
    parts.push(Part { filter: filter.as_str().into(), is_delivered: false, ground: Ground::NoRule });
    Deliveries { parts, is_complete: true }
}
