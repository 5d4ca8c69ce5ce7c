//! What a token lets its user do at the most, beside all rules.

use super::acl::deliveries::{Deliveries, Part};
use super::acl::question::Question;
use super::acl::rule::Rule;
use super::identity::Identity;
use super::pattern::{Gap, Names, Pattern};
use super::{Action, Authoriser, ClientId, Decision, Ground};
use crate::mqtt::topic::Filter;

/// Where somebody may publish and what he may be sent, as whoever has signed for him says. It takes away from what rules allow and gives
/// nothing. Shared by all connections of one token.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Claims {
    publish: Box<[Pattern]>,
    subscribe: Box<[Pattern]>,
}

/// What claims say of something, and why.
#[derive(Clone, Copy, Debug)]
pub enum Word<'a> {
    /// Nothing: the token itself has decided about it.
    Nothing,
    /// This one of their patterns reaches what is asked for.
    Reaches(&'a Pattern),
    /// None does. This is the one that agrees longest, if there are any, and where it ends to.
    Misses(Option<(&'a Pattern, Gap<'a>)>),
}

impl Claims {
    /// Publishing, wills too, reaches so far; and so do subscriptions, with what comes of them.
    pub fn new(publish: Vec<Pattern>, subscribe: Vec<Pattern>) -> Self {
        Self { publish: publish.into(), subscribe: subscribe.into() }
    }

    /// Whether this is within what they say.
    pub fn allow(&self, who: &Identity, client_id: ClientId<'_>, action: Action<'_>) -> bool {
        let Some(patterns) = self.about(action) else { return true };
        let question = Question::new(who, client_id, action);
        question.is_ok_and(|question| patterns.iter().any(|pattern| question.is_reached(pattern)))
    }

    /// The same, and why.
    pub fn explain<'a>(&'a self, who: &'a Identity, client_id: ClientId<'a>, action: Action<'a>) -> Word<'a> {
        let Some(patterns) = self.about(action) else { return Word::Nothing };
        let Ok(question) = Question::new(who, client_id, action) else { return Word::Misses(None) };
        let mut nearest: Option<(&Pattern, Gap<'_>)> = None;
        for pattern in patterns {
            let Some(gap) = question.gap(pattern) else { return Word::Reaches(pattern) };
            // Among equals the first one.
            if nearest.is_none_or(|(_, nearest)| nearest.level < gap.level) {
                nearest = Some((pattern, gap));
            }
        }
        Word::Misses(nearest)
    }

    /// What of this filter they let through, whether it may be subscribed to or not.
    pub fn deliveries(&self, who: &Identity, client_id: ClientId<'_>, filter: &str) -> Deliveries {
        let part = |filter: &str, is_delivered| Part { filter: filter.into(), is_delivered, ground: Ground::Claims };
        let names = Names { user: who.user.as_deref(), client_id };
        let wanted = Filter::parse(filter);
        let shared = wanted.iter().flat_map(|wanted| {
            self.subscribe
                .iter()
                .filter_map(|pattern| pattern.overlap(names, *wanted))
                .map(|shared| part(&shared, true))
        });
        let parts = shared.chain([part(filter, false)]).collect();
        Deliveries { parts, is_complete: true }
    }

    /// What they say of such an action; nothing of who comes in, for the token itself decides about that.
    fn about(&self, action: Action<'_>) -> Option<&[Pattern]> {
        match action {
            Action::Connect => None,
            Action::Publish { .. } | Action::Will { .. } => Some(&self.publish),
            Action::Subscribe { .. } | Action::Receive { .. } => Some(&self.subscribe),
        }
    }
}

/// Rules, within the claims of whomever they are asked about: what a policy makes of them, for those who look at it from outside.
#[derive(Clone, Copy)]
pub struct Claimed<'a>(pub &'a dyn Authoriser);

impl Claimed<'_> {
    fn are_kept(who: &Identity, client_id: ClientId<'_>, action: Action<'_>) -> bool {
        who.claims.as_ref().is_none_or(|claims| claims.allow(who, client_id, action))
    }
}

impl Authoriser for Claimed<'_> {
    fn decide(&self, who: &Identity, client_id: ClientId<'_>, action: Action<'_>) -> Decision {
        if Self::are_kept(who, client_id, action) { self.0.decide(who, client_id, action) } else { Decision::Deny }
    }

    fn ground(&self, who: &Identity, client_id: ClientId<'_>, action: Action<'_>) -> Ground {
        if Self::are_kept(who, client_id, action) { self.0.ground(who, client_id, action) } else { Ground::Claims }
    }

    fn rule(&self, ground: Ground) -> Option<&Rule> {
        self.0.rule(ground)
    }

    fn files(&self) -> Option<&dyn Authoriser> {
        self.0.files()
    }

    fn is_cautious(&self) -> bool {
        self.0.is_cautious()
    }

    fn checks_receive(&self) -> bool {
        true // what somebody's token says may have been more when he subscribed
    }

    fn asks_for_origin(&self) -> bool {
        self.0.asks_for_origin()
    }

    fn deliveries(&self, who: &Identity, client_id: ClientId<'_>, filter: &str) -> Deliveries {
        let deliveries = self.0.deliveries(who, client_id, filter);
        match &who.claims {
            Some(claims) => deliveries.within(&claims.deliveries(who, client_id, filter)),
            None => deliveries,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::base::hash::Seed;
    use crate::engine::auth::acl_file::AclFile;
    use crate::mqtt::topic::Topic;
    use crate::mqtt::version::QoS;

    fn alice(publish: &[&str], subscribe: &[&str]) -> Identity {
        let patterns = |texts: &[&str]| texts.iter().map(|text| Pattern::parse(text).unwrap()).collect();
        let claims = Claims::new(patterns(publish), patterns(subscribe));
        Identity { claims: Some(Arc::new(claims)), ..Identity::user("alice", "token") }
    }

    const C1: ClientId<'_> = ClientId::Text("c1");

    #[test]
    fn claims_tell_which_of_their_patterns_reaches_and_which_comes_nearest() {
        let who = alice(&["a/b/c", "a/+/d", "%c"], &[]);
        let claims = who.claims.as_deref().unwrap();
        let publish = |topic| Action::Publish { topic, qos: QoS::AtMostOnce, retain: false };
        let told = |action| match claims.explain(&who, C1, action) {
            Word::Nothing => "nothing".to_owned(),
            Word::Reaches(pattern) => pattern.as_str().to_owned(),
            Word::Misses(None) => "none".to_owned(),
            Word::Misses(Some((pattern, gap))) => format!("{} at {}: {}", pattern.as_str(), gap.level, gap.cause),
        };
        assert_eq!(told(publish("c1")), "%c");
        assert_eq!(told(publish("a/x/d")), "a/+/d");
        assert_eq!(told(publish("a/b/x")), "a/b/c at 2: `x` is not `c`");
        assert_eq!(told(publish("a/x/x")), "a/+/d at 2: `x` is not `d`");
        assert_eq!(told(Action::Receive { topic: "c1" }), "none");
        assert_eq!(told(Action::Connect), "nothing");
    }

    /// Every topic of up to three levels: what is told of a filter is what is decided.
    #[test]
    fn parts_within_claims_are_what_is_delivered() {
        let text = "pattern deny a/secret\npattern a/#\npattern read +/b\npattern c/+/#\n";
        let rules = AclFile::parse(text, Seed::new(1)).unwrap();
        let claimed = Claimed(&rules);
        let levels = ["a", "b", "c", "secret", "alice", "$x"];
        let two = levels.iter().flat_map(|one| levels.iter().map(move |other| format!("{one}/{other}")));
        let three = two.clone().flat_map(|two| ["a", "b", "x"].map(|last| format!("{two}/{last}")));
        let topics: Vec<String> = levels.iter().map(ToString::to_string).chain(two).chain(three).collect();
        let mut delivered = 0;
        for subscribe in [&["a/+", "c/%u"][..], &["#"], &["+/b", "a/b/x", "a/secret"], &[], &["+/+/#"]] {
            let who = alice(&[], subscribe);
            for filter in ["#", "a/#", "+/b", "+/+", "a/+/x", "$x/#", "a", "+/#"] {
                let deliveries = claimed.deliveries(&who, C1, filter);
                assert!(deliveries.is_complete);
                for topic in &topics {
                    let matches = |filter: &str| Filter::parse(filter).unwrap().matches(Topic::parse(topic).unwrap());
                    if !matches(filter) {
                        continue;
                    }
                    let part = deliveries.parts.iter().find(|part| matches(&part.filter)).expect("the parts are all");
                    let decided = claimed.decide(&who, C1, Action::Receive { topic });
                    assert_eq!(part.is_delivered, decided == Decision::Allow, "{subscribe:?} {filter} {topic}");
                    delivered += usize::from(part.is_delivered);
                }
            }
        }
        assert!(delivered > 50, "{delivered}");
    }
}
