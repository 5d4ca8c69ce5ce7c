//! Rules as mosquitto writes them, while nobody knows whether their file is written to its end.

use std::sync::Arc;

use super::acl::deliveries::Deliveries;
use super::acl::rule::Rule;
use super::acl_file::AclFile;
use super::identity::Identity;
use super::{Action, Authoriser, ClientId, Decision, Ground};

/// What a text takes away counts at once, and what it gives when it is known to be whole: until then what is done must be allowed by
/// the rules of before, too. So no text that is half there gives anybody a right, whatever it denies further down. Shared by all shards.
#[derive(Clone, Debug)]
pub struct Cautious {
    now: Arc<AclFile>,
    /// Those of before, as long as these may not be whole.
    before: Option<Arc<AclFile>>,
}

impl Cautious {
    /// Rules that are known to be whole.
    pub const fn whole(now: Arc<AclFile>) -> Self {
        Self { now, before: None }
    }

    /// Rules that may not be whole, in the place of these.
    pub const fn instead_of(before: Arc<AclFile>, now: Arc<AclFile>) -> Self {
        Self { now, before: Some(before) }
    }

    /// The rules of before, where these allow something and they do not.
    fn objection(&self, who: &Identity, client_id: ClientId<'_>, action: Action<'_>) -> Option<&AclFile> {
        let before = self.before.as_deref()?;
        let allows = |rules: &AclFile| rules.decide(who, client_id, action) == Decision::Allow;
        (allows(&self.now) && !allows(before)).then_some(before)
    }
}

impl Authoriser for Cautious {
    fn decide(&self, who: &Identity, client_id: ClientId<'_>, action: Action<'_>) -> Decision {
        match (self.now.decide(who, client_id, action), &self.before) {
            (Decision::Allow, Some(before)) => before.decide(who, client_id, action),
            (decided, _) => decided,
        }
    }

    fn ground(&self, who: &Identity, client_id: ClientId<'_>, action: Action<'_>) -> Ground {
        match self.objection(who, client_id, action) {
            Some(before) => of_before(before.ground(who, client_id, action)),
            None => self.now.ground(who, client_id, action),
        }
    }

    fn rule(&self, ground: Ground) -> Option<&Rule> {
        match ground {
            Ground::Before(number) => self.before.as_ref()?.rule(Ground::Rule(number?)),
            Ground::Rule(_) | Ground::NoRule | Ground::Claims => self.now.rule(ground),
        }
    }

    fn is_cautious(&self) -> bool {
        self.before.is_some()
    }

    fn checks_receive(&self) -> bool {
        true
    }

    fn deliveries(&self, who: &Identity, client_id: ClientId<'_>, filter: &str) -> Deliveries {
        let now = self.now.deliveries(who, client_id, filter);
        let Some(before) = &self.before else { return now };
        let mut before = before.deliveries(who, client_id, filter);
        for part in &mut before.parts {
            part.ground = of_before(part.ground);
        }
        now.within(&before)
    }
}

/// The same, where the rules of before have said it.
const fn of_before(ground: Ground) -> Ground {
    match ground {
        Ground::Rule(number) => Ground::Before(Some(number)),
        Ground::NoRule => Ground::Before(None),
        Ground::Before(_) | Ground::Claims => ground,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::hash::Seed;

    fn rules(text: &str) -> Arc<AclFile> {
        Arc::new(AclFile::parse(text, Seed::new(1)).unwrap())
    }

    #[test]
    fn threat_7_until_rules_are_known_to_be_whole_they_take_away_and_give_nothing() {
        let (before, now) =
            (rules("topic old\ntopic both\ntopic deny denied\n"), rules("topic new\ntopic both\ntopic denied\n"));
        let may = |rules: &Cautious, topic| {
            let action = Action::Receive { topic };
            let client_id = ClientId::Text("c");
            let is_allowed = rules.decide(&Identity::anonymous(), client_id, action) == Decision::Allow;
            let ground = rules.ground(&Identity::anonymous(), client_id, action);
            (is_allowed, rules.rule(ground).map(|rule| rule.line))
        };
        let cautious = Cautious::instead_of(before, Arc::clone(&now));
        let topics = ["old", "new", "both", "denied"];
        assert_eq!(
            topics.map(|topic| may(&cautious, topic)),
            [(false, None), (false, None), (true, Some(2)), (false, Some(3))]
        );
        let whole = Cautious::whole(now);
        assert_eq!(
            topics.map(|topic| may(&whole, topic)),
            [(false, None), (true, Some(1)), (true, Some(2)), (true, Some(3))]
        );
        assert!(cautious.is_cautious() && !whole.is_cautious());
    }

    #[test]
    fn what_a_subscription_brings_is_told_by_both() {
        let (before, now) = (rules("topic a/#\ntopic deny a/old\n"), rules("topic a/+\ntopic b\ntopic deny a/new\n"));
        let cautious = Cautious::instead_of(before, now);
        let told = cautious.deliveries(&Identity::anonymous(), ClientId::Text("c"), "#");
        let told: Vec<_> = told.parts.iter().map(|part| (&*part.filter, part.is_delivered, part.ground)).collect();
        assert_eq!(
            told,
            [
                ("a/new", false, Ground::Rule(0)),
                ("a/old", false, Ground::Before(Some(0))),
                ("a/+", true, Ground::Rule(1)),
                ("b", false, Ground::Before(None)),
                ("a/#", false, Ground::NoRule),
                ("#", false, Ground::NoRule)
            ]
        );
        for (topic, is_delivered) in [("a/x", true), ("a/old", false), ("a/new", false), ("b", false), ("a/x/y", false)]
        {
            let decided = cautious.decide(&Identity::anonymous(), ClientId::Text("c"), Action::Receive { topic });
            assert_eq!(decided == Decision::Allow, is_delivered, "{topic}");
        }
    }
}
