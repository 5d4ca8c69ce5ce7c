//! An ordered list of rules: the first that applies decides, and what none allows is refused.
//!
//! A rule applies to a topic that its pattern matches, and to a filter that its pattern [covers](Pattern::covers): whoever
//! may have only a part of a filter does not get it. The reverse, a denied part of an allowed filter, is withheld message
//! by message, which is why such a list [asks to be asked](Authoriser::checks_receive) at delivery. To connect needs no
//! rule: authentication has decided already.

use super::identity::Identity;
use super::pattern::{Names, Pattern};
use super::rules::{RuleError, parse_rules};
use super::{Action, Authoriser, ClientId, Decision};
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
    const PUBLISH_ONLY: Self = Self(1);
    /// Leaving a will.
    pub const WILL: Self = Self(1 << 1);
    /// Subscribing, without what comes of it.
    const SUBSCRIBE_ONLY: Self = Self(1 << 2);
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
    fn applies(&self, who: &Identity, client_id: ClientId<'_>, action: Action<'_>) -> bool {
        if !self.actions.meets(Actions::of(action)) || !self.is_about(who, client_id) {
            return false;
        }
        let names = Names { user: who.user.as_deref(), client_id: client_id.as_str() };
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
                let covers =
                    self.pattern.as_ref().zip(filter).is_some_and(|(pattern, filter)| pattern.covers(names, filter));
                qos <= self.qos_max && covers
            }
            Action::Receive { topic } => matches(topic),
        }
    }

    fn is_about(&self, who: &Identity, client_id: ClientId<'_>) -> bool {
        match &self.who {
            Who::Everyone => true,
            Who::Anonymous => who.is_anonymous(),
            Who::User(name) => who.user.as_ref() == Some(name),
            Who::Client(id) => **id == *client_id.as_str(),
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
        let may_deny =
            rules.iter().position(|rule| rule.effect == Effect::Deny && rule.actions.meets(Actions::RECEIVE));
        let allows = |rule: &Rule| rule.effect == Effect::Allow && rule.actions.meets(Actions::SUBSCRIBE);
        // What no later rule allows again is not subscribed to in the first place.
        let checks_receive = may_deny.is_some_and(|first| rules[first..].iter().any(allows));
        Self { rules, generation, checks_receive }
    }

    /// Reads a list from [text](super::rules).
    pub fn parse(text: &str, generation: u64) -> Result<Self, RuleError> {
        Ok(Self::new(parse_rules(text)?, generation))
    }

    /// The rules, in their order.
    pub fn rules(&self) -> &[Rule] {
        &self.rules
    }

    /// The index of the rule that decides this; none when no rule applies.
    pub fn explain(&self, who: &Identity, client_id: ClientId<'_>, action: Action<'_>) -> Option<usize> {
        self.rules.iter().position(|rule| rule.applies(who, client_id, action))
    }
}

impl Authoriser for Acl {
    fn decide(&self, who: &Identity, client_id: ClientId<'_>, action: Action<'_>) -> Decision {
        match self.explain(who, client_id, action).map(|index| self.rules[index].effect) {
            Some(Effect::Allow) => Decision::Allow,
            None if action == Action::Connect => Decision::Allow,
            Some(Effect::Deny) | None => Decision::Deny,
        }
    }

    fn checks_receive(&self) -> bool {
        self.checks_receive
    }

    fn generation(&self) -> u64 {
        self.generation
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn alice() -> Identity {
        Identity::user("alice", "password")
    }

    fn acl(text: &str) -> Acl {
        Acl::parse(text, 1).unwrap()
    }

    fn publish(topic: &str) -> Action<'_> {
        Action::Publish { topic, qos: QoS::AtLeastOnce, retain: false }
    }

    fn subscribe(filter: &str) -> Action<'_> {
        Action::Subscribe { filter, qos: QoS::AtLeastOnce, is_shared: false }
    }

    fn may(acl: &Acl, who: &Identity, action: Action<'_>) -> bool {
        acl.decide(who, ClientId::Text("c1"), action) == Decision::Allow
    }

    #[test]
    fn the_first_rule_that_applies_decides_and_can_be_named() {
        let acl = acl("deny user alice publish a/b\nallow everyone publish a/#\ndeny everyone publish a/c");
        assert_eq!(acl.explain(&alice(), ClientId::Text("c1"), publish("a/b")), Some(0));
        assert_eq!(acl.explain(&alice(), ClientId::Text("c1"), publish("a/c")), Some(1));
        assert_eq!(acl.explain(&alice(), ClientId::Text("c1"), publish("b")), None);
        assert!(!may(&acl, &alice(), publish("a/b")) && may(&acl, &alice(), publish("a/c")));
        assert!(may(&acl, &Identity::anonymous(), publish("a/b")));
    }

    #[test]
    fn threat_7_an_empty_list_allows_nothing_but_to_connect() {
        for acl in [Acl::default(), acl(""), acl("# nothing\n\n   \n")] {
            let nothing = [
                publish("a"),
                subscribe("a"),
                Action::Receive { topic: "a" },
                Action::Will { topic: "a", qos: QoS::AtMostOnce, retain: false },
            ];
            assert!(nothing.iter().all(|action| !may(&acl, &alice(), *action)));
            assert!(may(&acl, &alice(), Action::Connect));
        }
    }

    #[test]
    fn rules_are_about_users_clients_groups_or_the_nameless() {
        let acl = acl("allow user alice all u\nallow client c1 all c\nallow group staff all g\nallow anonymous all n");
        let mut carol = Identity::user("carol", "password");
        carol.groups = vec!["staff".into()];
        let rights = |who: &Identity, client_id: &str| {
            ["u", "c", "g", "n"]
                .map(|topic| acl.decide(who, ClientId::Text(client_id), publish(topic)) == Decision::Allow)
        };
        assert_eq!(rights(&alice(), "c2"), [true, false, false, false]);
        assert_eq!(rights(&alice(), "c1"), [true, true, false, false]);
        assert_eq!(rights(&carol, "alice"), [false, false, true, false]);
        assert_eq!(rights(&Identity::anonymous(), "c"), [false, false, false, true]);
        assert_eq!(rights(&Identity::user("", "password"), "c"), [false; 4]);
    }

    #[test]
    fn limits_bound_what_a_rule_allows() {
        let acl = acl("allow everyone publish,subscribe qos 1 no-retain  a b/#");
        let publish = |qos, retain| may(&acl, &alice(), Action::Publish { topic: "a b/c", qos, retain });
        assert!(publish(QoS::AtLeastOnce, false));
        assert!(!publish(QoS::ExactlyOnce, false) && !publish(QoS::AtMostOnce, true));
        let subscribe = |qos| may(&acl, &alice(), Action::Subscribe { filter: "a b/#", qos, is_shared: false });
        assert!(subscribe(QoS::AtLeastOnce) && !subscribe(QoS::ExactlyOnce));
    }

    #[test]
    fn threat_5_a_will_needs_the_right_to_publish() {
        let acl = acl("deny everyone will a/x\nallow everyone publish a/#");
        let will = |topic| may(&acl, &alice(), Action::Will { topic, qos: QoS::AtMostOnce, retain: false });
        assert!(will("a/b") && !will("a/x") && !will("b"));
        assert!(may(&acl, &alice(), publish("a/x")));
    }

    #[test]
    fn threat_5_a_filter_wider_than_the_rule_is_refused() {
        let acl = acl("allow everyone subscribe a/+/b\nallow everyone subscribe c/#");
        for filter in ["a/+/b", "a/x/b", "c", "c/#", "c/+/d"] {
            assert!(may(&acl, &alice(), subscribe(filter)), "{filter}");
        }
        for filter in ["#", "+/+/b", "a/#", "a/+/+", "a/+", "+", "c+", "$SYS/#"] {
            assert!(!may(&acl, &alice(), subscribe(filter)), "{filter}");
        }
    }

    #[test]
    fn threat_5_a_shared_subscription_has_the_right_of_its_filter() {
        let acl = acl("allow everyone subscribe a/#");
        let shared = |filter| may(&acl, &alice(), Action::Subscribe { filter, qos: QoS::AtMostOnce, is_shared: true });
        assert!(shared("a/b") && !shared("b") && !shared("$share/a/b"));
    }

    #[test]
    fn threat_5_a_denied_part_of_an_allowed_filter_is_withheld_at_delivery() {
        let acl = acl("deny everyone receive a/secret/#\nallow everyone subscribe a/#");
        let receive = |topic| may(&acl, &alice(), Action::Receive { topic });
        assert!(may(&acl, &alice(), subscribe("a/#")) && acl.checks_receive());
        assert!(receive("a/open") && !receive("a/secret") && !receive("a/secret/x") && !receive("b"));
    }

    #[test]
    fn deliveries_are_asked_for_only_where_a_rule_could_withhold_one() {
        for text in [
            "allow everyone all #",
            "deny everyone publish a\nallow everyone all #",
            "allow everyone subscribe #\ndeny everyone all #",
        ] {
            assert!(!acl(text).checks_receive(), "{text}");
        }
        assert!(acl("deny user bob subscribe a\nallow everyone all #").checks_receive());
    }

    #[test]
    fn threat_6_no_name_widens_a_rule() {
        let acl = acl("allow everyone all home/%u/%c/#");
        for name in ["+", "#", "a/b", "%u", "$SYS", ""] {
            let who = Identity::user(name, "password");
            for (client_id, topic) in [("c1", "home/alice/c1/x"), ("#", "home/alice/c1/x"), ("+", "home/alice/+/x")] {
                assert_eq!(
                    acl.decide(&who, ClientId::Text(client_id), publish(topic)),
                    Decision::Deny,
                    "{name:?} {client_id}"
                );
            }
            for (client_id, filter) in [("+", "home/+/+/#"), ("#", "home/#"), ("c1", "home/+/c1/#"), ("c1", "#")] {
                assert_eq!(
                    acl.decide(&who, ClientId::Text(client_id), subscribe(filter)),
                    Decision::Deny,
                    "{name:?} {client_id}"
                );
            }
        }
        assert!(may(&acl, &alice(), subscribe("home/alice/c1/#")));
    }

    #[test]
    fn whoever_may_not_connect_is_told_so_by_a_rule() {
        let acl = acl("deny client c1 connect\nallow user alice connect\ndeny everyone connect");
        let connect = |who: &Identity, client_id| acl.decide(who, ClientId::Text(client_id), Action::Connect);
        assert_eq!(connect(&alice(), "c1"), Decision::Deny);
        assert_eq!(connect(&alice(), "c2"), Decision::Allow);
        assert_eq!(connect(&Identity::anonymous(), "c2"), Decision::Deny);
    }

    #[test]
    fn a_topic_or_filter_that_is_none_has_no_right() {
        let acl = acl("allow everyone all #");
        assert!(may(&acl, &alice(), publish("a")) && may(&acl, &alice(), subscribe("a/+")));
        assert!(!may(&acl, &alice(), publish("a/+")) && !may(&acl, &alice(), publish("")));
        assert!(!may(&acl, &alice(), subscribe("a/#/b")));
    }
}
