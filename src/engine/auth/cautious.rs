//! Rules as mosquitto writes them, while nobody knows whether their file is written to its end.

use std::sync::Arc;

use super::acl::deliveries::Deliveries;
use super::acl::rule::Rule;
use super::acl_file::AclFile;
use super::identity::Identity;
use super::{Action, Authoriser, ClientId, Decision};

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

    fn ground(&self, who: &Identity, client_id: ClientId<'_>, action: Action<'_>) -> Option<&Rule> {
        match self.objection(who, client_id, action) {
            Some(before) => before.ground(who, client_id, action),
            None => self.now.ground(who, client_id, action),
        }
    }

    fn rule(&self, number: usize) -> Option<&Rule> {
        self.now.rule(number)
    }

    fn checks_receive(&self) -> bool {
        true
    }

    /// As if the rules were whole: that is what they are compared for.
    fn deliveries(&self, who: &Identity, client_id: ClientId<'_>, filter: &str) -> Deliveries {
        self.now.deliveries(who, client_id, filter)
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
            (is_allowed, rules.ground(&Identity::anonymous(), client_id, action).map(|rule| rule.line))
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
    }
}
