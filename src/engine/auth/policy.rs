//! The chain of authenticators and the authoriser behind it.

use core::net::IpAddr;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::acl::deliveries::Deliveries;
use super::certificate::Certificate;
use super::exchange::Dialogue;
use super::identity::Identity;
use super::token::compact::Compact;
use super::token::fault::TokenFault;
use super::{Action, Authenticator, Authoriser, ClientId, Credentials, Decision, Helper, Verdict};
use crate::mqtt::reason::Reason;

/// Who is let in and what they may do. One for the whole broker, shared by all shards; a reload makes a new one.
pub struct Policy {
    /// The chain of every listener that has none of its own.
    authenticators: Chain,
    /// Chains of listeners, by their numbers.
    own: BTreeMap<u16, Chain>,
    /// Listeners at which passwords can be read on their way and are refused for it.
    in_the_clear: BTreeSet<u16>,
    /// Whether a user name may be a token, which is then a password.
    has_tokens_in_names: bool,
    authoriser: Box<dyn Authoriser>,
    /// Where its rules were read; empty where there are none.
    rules_file: Box<str>,
    /// Whether somebody may come in with [claims](super::claims) of his own.
    has_claims: bool,
    /// How many policies there were before: what was decided under one of them is asked again.
    number: u64,
}

/// Who is asked, in this order.
pub type Chain = Vec<Box<dyn Authenticator>>;

/// The place of an authenticator in the chain: whose answer is awaited.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Link {
    /// The number of the policy that was asked.
    policy: u64,
    index: usize,
    helper: Helper,
}

impl Link {
    /// Who finds its answer.
    pub const fn helper(self) -> Helper {
        self.helper
    }
}

/// What the chain says.
#[derive(Clone, Debug)]
pub enum Outcome {
    /// The client is this one.
    Allow(Arc<Identity>),
    /// The client is refused.
    Deny(Reason),
    /// [`Policy::work`] finds the answer of this link on a helper thread, [`Policy::resume`] goes on with it.
    Later(Link),
}

impl Policy {
    /// A policy; the authenticators are asked in this order.
    pub fn new(authenticators: Vec<Box<dyn Authenticator>>, authoriser: Box<dyn Authoriser>) -> Self {
        Self {
            authenticators,
            own: BTreeMap::new(),
            in_the_clear: BTreeSet::new(),
            has_tokens_in_names: false,
            authoriser,
            rules_file: "".into(),
            has_claims: false,
            number: 0,
        }
    }

    /// The same, where who comes by the listener of this number is judged by a chain of its own.
    #[must_use]
    pub fn with_chain(mut self, listener: u16, chain: Chain) -> Self {
        self.own.insert(listener, chain);
        self
    }

    /// The same, where nobody may show a password to the listeners of these numbers: others could read it on its way.
    #[must_use]
    pub fn without_passwords_at(self, listeners: BTreeSet<u16>, has_tokens_in_names: bool) -> Self {
        Self { in_the_clear: listeners, has_tokens_in_names, ..self }
    }

    /// The same, whose rules were read from this file.
    #[must_use]
    pub fn with_rules_of(self, file: &str) -> Self {
        Self { rules_file: file.into(), ..self }
    }

    /// The same, where what somebody may do may change from one of his tokens to the next.
    #[must_use]
    pub fn with_claims(self, has_claims: bool) -> Self {
        Self { has_claims, ..self }
    }

    /// Where its rules were read; empty where there are none.
    pub fn rules_file(&self) -> &str {
        &self.rules_file
    }

    /// Who decides.
    pub fn authoriser(&self) -> &dyn Authoriser {
        &*self.authoriser
    }

    /// What of that stands in the operator's files.
    pub fn rules(&self) -> &dyn Authoriser {
        self.authoriser().files().unwrap_or_else(|| self.authoriser())
    }

    /// Whether a client has shown what nobody may show to this listener, whether it is right or not: a password, or a token in the place of one.
    /// Proofs by enhanced authentication show nothing to whoever reads them.
    pub fn refuses_what_is_shown(&self, listener: u16, user_name: Option<&str>, password: Option<&[u8]>) -> bool {
        let is_token = |name: &str| !matches!(Compact::parse(name.as_bytes()), Err(TokenFault::NoToken));
        self.in_the_clear.contains(&listener)
            && (password.is_some() || (self.has_tokens_in_names && user_name.is_some_and(is_token)))
    }

    fn chain(&self, listener: u16) -> &Chain {
        self.own.get(&listener).unwrap_or(&self.authenticators)
    }

    /// The same in the place of another one.
    #[must_use]
    pub fn after(self, before: &Self) -> Self {
        Self { number: before.number + 1, ..self }
    }

    /// Everybody is let in without a name and may do everything but publish to topics that begin with `$`.
    pub fn open() -> Self {
        Self::new(vec![Box::new(Anybody)], Box::new(Open))
    }

    /// Asks the chain about a CONNECT without enhanced authentication.
    pub fn authenticate(&self, credentials: &Credentials<'_>) -> Outcome {
        self.ask(0, credentials)
    }

    /// The identity of a client that has come in from this address and has shown this certificate: it carries them where a rule may ask
    /// for them. Whoever comes by a socket in the file system has no address.
    pub fn placed(&self, identity: Arc<Identity>, address: IpAddr, shown: Option<&Certificate>) -> Arc<Identity> {
        if self.authoriser.asks_for_origin() { placed(identity, address, shown) } else { identity }
    }

    /// The slow answer of one link. Called on a helper thread.
    pub fn work(&self, link: Link, credentials: &Credentials<'_>) -> Verdict {
        match self.chain(credentials.listener).get(link.index) {
            Some(authenticator) if link.policy == self.number => authenticator.work(credentials),
            Some(_) | None => Verdict::Later, // the question was put to another policy, and is put again
        }
    }

    /// Whether some answer may be put off.
    pub fn takes_time(&self) -> bool {
        self.all().any(Authenticator::takes_time)
    }

    /// Goes on where the chain had to wait, now that `link` has answered. What another policy has said counts for nothing.
    pub fn resume(&self, link: Link, answer: Verdict, credentials: &Credentials<'_>) -> Outcome {
        if link.policy != self.number {
            return self.authenticate(credentials);
        }
        match answer {
            Verdict::Allow(identity) => {
                Outcome::Allow(self.placed(identity, credentials.peer.ip(), credentials.certificate))
            }
            Verdict::Deny(reason) => Outcome::Deny(reason),
            Verdict::Abstain => self.ask(link.index + 1, credentials),
            Verdict::Later => Outcome::Deny(Reason::ServerUnavailable), // an answer that is none
        }
    }

    /// Starts enhanced authentication with the first authenticator that knows the method; none does: 0x8C.
    pub fn exchange(&self, method: &str, listener: u16) -> Option<Dialogue> {
        let exchange = self.chain(listener).iter().find_map(|authenticator| authenticator.exchange(method))?;
        Some(Dialogue::new(method, exchange))
    }

    /// Whether `who`, connected as `client_id`, may do this.
    pub fn decide(&self, who: &Identity, client_id: ClientId<'_>, action: Action<'_>) -> Decision {
        if who.is_superuser {
            return Decision::Allow;
        }
        if who.claims.as_ref().is_some_and(|claims| !claims.allow(who, client_id, action)) {
            return Decision::Deny;
        }
        self.authoriser.decide(who, client_id, action)
    }

    /// Whether each delivery must be asked for: also where the rules of before may have allowed a subscription that these do not.
    pub fn checks_receive(&self) -> bool {
        self.number > 0 || self.has_claims || self.authoriser.checks_receive()
    }

    /// How many policies there were before.
    pub fn number(&self) -> u64 {
        self.number
    }

    fn all(&self) -> impl Iterator<Item = &dyn Authenticator> {
        self.own.values().chain([&self.authenticators]).flatten().map(|authenticator| &**authenticator)
    }

    /// Whether somebody of the listener's chain would let this one in today.
    pub fn knows(&self, who: &Identity, listener: u16) -> bool {
        self.chain(listener).iter().any(|authenticator| authenticator.knows(who))
    }

    /// Whether somebody who was let in before may stay.
    pub fn welcomes(&self, who: &Identity, listener: u16, client_id: ClientId<'_>) -> bool {
        self.knows(who, listener) && self.decide(who, client_id, Action::Connect) != Decision::Deny
    }

    fn ask(&self, first: usize, credentials: &Credentials<'_>) -> Outcome {
        for (index, authenticator) in self.chain(credentials.listener).iter().enumerate().skip(first) {
            match authenticator.authenticate(credentials) {
                Verdict::Allow(identity) => {
                    return Outcome::Allow(self.placed(identity, credentials.peer.ip(), credentials.certificate));
                }
                Verdict::Deny(reason) => return Outcome::Deny(reason),
                Verdict::Abstain => {}
                Verdict::Later => {
                    let helper = authenticator.helper(credentials);
                    return Outcome::Later(Link { policy: self.number, index, helper });
                }
            }
        }
        Outcome::Deny(Reason::BadUserNameOrPassword) // whom nobody knows stays outside
    }
}

impl std::fmt::Debug for Policy {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("Policy")
            .field("authenticators", &self.authenticators.len())
            .field("own", &self.own.len())
            .field("number", &self.number)
            .finish_non_exhaustive()
    }
}

/// An identity with the place that its client has come in from, and the certificate that it has shown there.
pub fn placed(identity: Arc<Identity>, address: IpAddr, shown: Option<&Certificate>) -> Arc<Identity> {
    let address = Some(address.to_canonical()).filter(|address| !address.is_unspecified());
    let known = identity.certificate.as_ref().map(|known| known.fingerprint);
    if identity.is_placed && identity.address == address && known == shown.map(|shown| shown.fingerprint) {
        return identity;
    }
    let certificate = shown.map(|shown| Box::new(shown.shown()));
    Arc::new(Identity { address, certificate, is_placed: true, ..Arc::unwrap_or_clone(identity) })
}

/// Lets everybody in without a name, whatever they call themselves: for brokers that know no users.
#[derive(Clone, Copy, Debug)]
pub struct Anybody;

impl Authenticator for Anybody {
    fn authenticate(&self, _credentials: &Credentials<'_>) -> Verdict {
        Verdict::Allow(Arc::new(Identity::anonymous()))
    }

    fn takes_time(&self) -> bool {
        false
    }

    fn knows(&self, identity: &Identity) -> bool {
        identity.is_anonymous()
    }
}

/// Lets in who gives no name and no password; whoever gives one is left to those who can check it.
#[derive(Clone, Copy, Debug)]
pub struct Anonymous;

impl Authenticator for Anonymous {
    fn authenticate(&self, credentials: &Credentials<'_>) -> Verdict {
        if credentials.user_name.is_some() || credentials.password.is_some() {
            return Verdict::Abstain;
        }
        Verdict::Allow(Arc::new(Identity::anonymous()))
    }

    fn takes_time(&self) -> bool {
        false
    }

    fn knows(&self, identity: &Identity) -> bool {
        identity.is_anonymous()
    }
}

/// Whether a topic is in the tree that the broker itself publishes to.
pub fn is_the_brokers(topic: &str) -> bool {
    topic.strip_prefix("$SYS").is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

/// Allows everything but what would let a client speak for the broker.
#[derive(Clone, Copy, Debug)]
pub struct Open;

impl Authoriser for Open {
    fn decide(&self, _who: &Identity, _client_id: ClientId<'_>, action: Action<'_>) -> Decision {
        match action {
            // [MQTT-4.7.2-1] What the broker says of itself nobody else may say; other `$` topics are the clients' affair.
            Action::Publish { topic, .. } | Action::Will { topic, .. } if is_the_brokers(topic) => Decision::Deny,
            Action::Publish { .. }
            | Action::Will { .. }
            | Action::Connect
            | Action::Subscribe { .. }
            | Action::Receive { .. } => Decision::Allow,
        }
    }

    fn deliveries(&self, _who: &Identity, _client_id: ClientId<'_>, filter: &str) -> Deliveries {
        Deliveries::whole(filter, true)
    }
}

#[cfg(test)]
mod tests {
    use core::net::Ipv4Addr;

    use super::*;
    use crate::base::hash::Seed;
    use crate::engine::auth::acl::Acl;
    use crate::engine::auth::acl::who::Groups;
    use crate::engine::auth::claims::Claims;
    use crate::engine::auth::pattern::Pattern;
    use crate::engine::auth::users::Users;
    use crate::mqtt::version::{QoS, Version};

    fn credentials<'a>(user_name: Option<&'a str>, password: Option<&'a [u8]>) -> Credentials<'a> {
        Credentials {
            client_id: "c1",
            user_name,
            password,
            peer: ([127, 0, 0, 1], 1883).into(),
            listener: 0,
            version: Version::V5,
            now_unix_s: 0,
            certificate: None,
        }
    }

    /// Says one thing at once and another one after work.
    struct Fixed(Verdict, Verdict);

    impl Authenticator for Fixed {
        fn authenticate(&self, _credentials: &Credentials<'_>) -> Verdict {
            self.0.clone()
        }

        fn work(&self, _credentials: &Credentials<'_>) -> Verdict {
            self.1.clone()
        }

        fn knows(&self, _identity: &Identity) -> bool {
            true
        }
    }

    fn chain(verdicts: Vec<(Verdict, Verdict)>) -> Policy {
        let boxed = |(first, second)| Box::new(Fixed(first, second)) as Box<dyn Authenticator>;
        Policy::new(verdicts.into_iter().map(boxed).collect(), Box::new(Open))
    }

    fn allow(name: &str) -> Verdict {
        Verdict::Allow(Arc::new(Identity::user(name, "password")))
    }

    /// An outcome as text.
    fn said(outcome: &Outcome) -> String {
        match outcome {
            Outcome::Allow(identity) => identity.user.as_deref().unwrap_or("nobody").to_owned(),
            Outcome::Deny(reason) => reason.name().to_owned(),
            Outcome::Later(link) => format!("later {}", link.index),
        }
    }

    #[test]
    fn an_open_broker_lets_everybody_in_without_a_name() {
        let policy = Policy::open();
        let given = credentials(Some("root"), Some(b"x"));
        assert_eq!(said(&policy.authenticate(&given)), "nobody");
        assert_eq!(said(&policy.authenticate(&credentials(None, None))), "nobody");
    }

    #[test]
    fn an_open_broker_keeps_its_own_topics_for_itself() {
        let policy = Policy::open();
        let nobody = Identity::anonymous();
        let (qos, retain) = (QoS::AtMostOnce, false);
        for (topic, decision) in
            [("a", Decision::Allow), ("$SYS", Decision::Deny), ("$SYS/a", Decision::Deny), ("a/$SYS", Decision::Allow)]
        {
            assert_eq!(
                policy.decide(&nobody, ClientId::Text("c1"), Action::Publish { topic, qos, retain }),
                decision,
                "{topic}"
            );
            assert_eq!(
                policy.decide(&nobody, ClientId::Text("c1"), Action::Will { topic, qos, retain }),
                decision,
                "{topic}"
            );
        }
        let filter = Action::Subscribe { filter: "$SYS/#", qos, is_shared: false };
        assert_eq!(policy.decide(&nobody, ClientId::Text("c1"), filter), Decision::Allow);
        assert!(!policy.checks_receive());
    }

    #[test]
    fn who_comes_by_a_socket_of_the_file_system_has_shown_no_certificate() {
        let rule =
            |effect, who| format!("[[rule]]\neffect = '{effect}'\nwho = {{ {who} }}\nactions = 'all'\ntopics = '#'\n");
        let topic = Action::Publish { topic: "a", qos: QoS::AtMostOnce, retain: false };
        for (denied, decision) in [("common_name = 'old'", Decision::Allow), ("address = '10.0.0.0/8'", Decision::Deny)]
        {
            let text = format!("{}{}", rule("deny", denied), rule("allow", "anonymous = false"));
            let policy = Policy::new(Vec::new(), Box::new(Acl::parse(&text, Seed::new(1)).unwrap()));
            let restored = Arc::new(Identity::user("alice", "password"));
            assert_eq!(policy.decide(&restored, ClientId::Text("c1"), topic), Decision::Deny, "{denied}");
            let placed = policy.placed(restored, Ipv4Addr::UNSPECIFIED.into(), None);
            assert_eq!(policy.decide(&placed, ClientId::Text("c1"), topic), decision, "{denied}");
            assert!(Arc::ptr_eq(&policy.placed(Arc::clone(&placed), Ipv4Addr::UNSPECIFIED.into(), None), &placed));
        }
    }

    #[test]
    fn the_first_who_knows_decides() {
        let policy = chain(vec![
            (Verdict::Abstain, Verdict::Abstain),
            (allow("a"), Verdict::Abstain),
            (allow("b"), Verdict::Abstain),
        ]);
        assert_eq!(said(&policy.authenticate(&credentials(None, None))), "a");
        let refusing = (Verdict::Deny(Reason::Banned), Verdict::Abstain);
        let policy = chain(vec![refusing, (allow("b"), Verdict::Abstain)]);
        assert_eq!(said(&policy.authenticate(&credentials(None, None))), "banned");
    }

    #[test]
    fn threat_7_whom_nobody_knows_stays_outside() {
        for policy in [chain(vec![]), chain(vec![(Verdict::Abstain, Verdict::Abstain)])] {
            assert_eq!(said(&policy.authenticate(&credentials(None, None))), "bad_user_name_or_password");
            assert!(policy.exchange("SCRAM-SHA-256", 0).is_none());
        }
    }

    #[test]
    fn the_chain_goes_on_behind_the_one_it_waited_for() {
        let given = credentials(Some("a"), Some(b"x"));
        let policy = chain(vec![
            (Verdict::Abstain, Verdict::Abstain),
            (Verdict::Later, Verdict::Abstain),
            (Verdict::Later, allow("c")),
        ]);
        let Outcome::Later(link) = policy.authenticate(&given) else { panic!("the second one puts off") };
        let outcome = policy.resume(link, policy.work(link, &given), &given);
        let Outcome::Later(next) = outcome else { panic!("the third one puts off") };
        assert_ne!(link, next);
        assert_eq!(said(&policy.resume(next, policy.work(next, &given), &given)), "c");
        assert_eq!(said(&policy.resume(next, Verdict::Abstain, &given)), "bad_user_name_or_password");
    }

    #[test]
    fn threat_7_an_answer_that_is_none_refuses() {
        let given = credentials(None, None);
        let policy = chain(vec![(Verdict::Later, Verdict::Later), (allow("b"), Verdict::Abstain)]);
        let Outcome::Later(link) = policy.authenticate(&given) else { panic!("the first one puts off") };
        assert_eq!(said(&policy.resume(link, policy.work(link, &given), &given)), "server_unavailable");
    }

    #[test]
    fn threat_5_what_another_policy_has_said_counts_for_nothing() {
        let given = credentials(Some("a"), Some(b"x"));
        let before = chain(vec![(Verdict::Later, allow("a"))]);
        let Outcome::Later(link) = before.authenticate(&given) else { panic!("it puts off") };
        let answer = before.work(link, &given);
        for (after, outcome) in [
            (chain(vec![(Verdict::Deny(Reason::Banned), Verdict::Abstain)]), "banned"),
            (chain(vec![(Verdict::Later, allow("b"))]), "later 0"),
            (chain(vec![]), "bad_user_name_or_password"),
        ] {
            let after = after.after(&before);
            assert_eq!(said(&after.resume(link, answer.clone(), &given)), outcome);
            let asked_there = after.work(link, &given);
            assert_eq!(
                said(&after.resume(link, asked_there, &given)),
                outcome,
                "nor what it says to a question of before"
            );
        }
    }

    #[test]
    fn users_prove_themselves_and_the_nameless_pass_only_without_a_name() {
        let users = Users::new().with("alice", "secret");
        let policy = Policy::new(vec![Box::new(users), Box::new(Anonymous)], Box::new(Open));
        let authenticate =
            |user_name, password: Option<&[u8]>| said(&policy.authenticate(&credentials(user_name, password)));
        assert_eq!(authenticate(Some("alice"), Some(b"secret")), "alice");
        assert_eq!(authenticate(None, None), "nobody");
        for (user_name, password) in [
            (Some("alice"), Some(&b"wrong"[..])),
            (Some("alice"), Some(b"")),
            (Some("alice"), None),
            (Some("bob"), Some(b"secret")),
            (Some(""), None),
            (None, Some(b"secret")),
        ] {
            assert_eq!(authenticate(user_name, password), "bad_user_name_or_password", "{user_name:?}");
        }
    }

    #[test]
    fn an_identity_carries_its_address_only_where_a_rule_may_ask_for_it() {
        let shared = Arc::new(Identity::user("alice", "password"));
        let policy = |rules: &str| {
            let acl = Acl::parse(rules, Seed::new(0)).unwrap();
            let verdict = || Verdict::Allow(Arc::clone(&shared));
            Policy::new(vec![Box::new(Fixed(verdict(), verdict()))], Box::new(acl))
        };
        let came_in = |policy: &Policy| match policy.authenticate(&credentials(None, None)) {
            Outcome::Allow(identity) => identity,
            refused @ (Outcome::Deny(_) | Outcome::Later(_)) => panic!("{refused:?}"),
        };
        let plain = policy("rule = [{ effect = 'allow', actions = 'all', topics = '#' }]");
        assert!(Arc::ptr_eq(&came_in(&plain), &shared), "nobody pays for what no rule asks for");
        for who in ["address = '10.0.0.0/8'", "common_name = 'x'"] {
            let policy =
                policy(&format!("rule = [{{ effect = 'deny', who = {{ {who} }}, actions = 'all', topics = '#' }}]"));
            let identity = came_in(&policy);
            assert_eq!(identity.address, Some([127, 0, 0, 1].into()), "{who}");
            assert!(identity.same_owner(&shared));
            let again = policy.placed(Arc::clone(&identity), IpAddr::V6("::ffff:127.0.0.1".parse().unwrap()), None);
            assert!(Arc::ptr_eq(&again, &identity), "it is known already");
        }
    }

    #[test]
    fn a_listener_with_a_chain_of_its_own_asks_nobody_else() {
        let policy = chain(vec![(allow("a"), Verdict::Abstain)])
            .with_chain(1, vec![Box::new(Fixed(Verdict::Later, allow("b")))])
            .with_chain(2, vec![]);
        let by = |listener| Credentials { listener, ..credentials(None, None) };
        assert_eq!(said(&policy.authenticate(&by(0))), "a");
        assert_eq!(said(&policy.authenticate(&by(3))), "a");
        assert_eq!(said(&policy.authenticate(&by(2))), "bad_user_name_or_password");
        let Outcome::Later(link) = policy.authenticate(&by(1)) else { panic!("it puts off") };
        assert_eq!(said(&policy.resume(link, policy.work(link, &by(1)), &by(1))), "b");
        assert!(policy.knows(&Identity::anonymous(), 1) && !policy.knows(&Identity::anonymous(), 2));
    }

    #[test]
    fn threat_6_claims_take_away_from_what_rules_allow_and_give_nothing() {
        let pattern = |text: &str| Pattern::parse(text).unwrap();
        let claims =
            Claims::new(vec![pattern("own/%u/#"), pattern("free")], vec![pattern("news/+"), pattern("own/%c")]);
        let of = |name: &str| Identity { claims: Some(Arc::new(claims.clone())), ..Identity::user(name, "token") };
        let qos = QoS::AtMostOnce;
        let rights = |policy: &Policy, who: &Identity, topic: &str| {
            let actions = [
                Action::Publish { topic, qos, retain: false },
                Action::Will { topic, qos, retain: true },
                Action::Subscribe { filter: topic, qos, is_shared: true },
                Action::Receive { topic },
            ];
            actions.map(|action| policy.decide(who, ClientId::Text("c1"), action) == Decision::Allow)
        };
        let (all, none) = ([true; 4], [false; 4]);
        let (publish, receive) = ([true, true, false, false], [false, false, true, true]);
        let open = Policy::open();
        for (topic, expected) in [
            ("own/alice/x", publish),
            ("own/bob/x", none),
            ("free", publish),
            ("news/a", receive),
            ("news/a/b", none),
            ("own/c1", receive),
            ("own/c2", none),
            ("else", none),
            ("$SYS/x", none),
        ] {
            assert_eq!(rights(&open, &of("alice"), topic), expected, "{topic}");
            assert!(rights(&open, &Identity::user("alice", "token"), topic)[3], "{topic}: nobody has said anything");
        }
        // A filter is allowed as a whole or not at all, and no name is read.
        let filter = |who: &Identity, filter| {
            let action = Action::Subscribe { filter, qos, is_shared: false };
            open.decide(who, ClientId::Text("c1"), action) == Decision::Allow
        };
        assert!(filter(&of("alice"), "news/+") && !filter(&of("alice"), "news/#") && !filter(&of("alice"), "#"));
        for name in ["#", "+", "a/b", ""] {
            assert_eq!(rights(&open, &of(name), "own/alice/x"), none, "{name}");
        }
        assert_eq!(open.decide(&of("alice"), ClientId::Text("c1"), Action::Connect), Decision::Allow);
        // Both have to allow it.
        let acl = |text: &str| Policy::new(vec![], Box::new(Acl::parse(text, Seed::new(1)).unwrap()));
        let rules = acl("rule = [{ effect = 'allow', actions = 'all', topics = ['free', 'else', 'news/a'] }]");
        assert_eq!(
            ["free", "else", "news/a", "news/b"].map(|topic| rights(&rules, &of("alice"), topic)),
            [publish, none, receive, none]
        );
        assert_eq!(rights(&rules, &Identity::user("alice", "token"), "else"), all);
        let nothing = Identity { claims: Some(Arc::default()), ..Identity::user("alice", "token") };
        assert_eq!(rights(&open, &nothing, "free"), none);
        assert!(!open.checks_receive() && Policy::open().with_claims(true).checks_receive());
    }

    #[test]
    fn no_rule_binds_a_superuser() {
        let policy = Policy::new(vec![], Box::new(Acl::new(Vec::new(), Groups::default(), Seed::new(0))));
        let mut root = Identity::user("root", "password");
        let action = Action::Receive { topic: "a" };
        assert_eq!(policy.decide(&root, ClientId::Text("c1"), action), Decision::Deny);
        root.is_superuser = true;
        assert_eq!(policy.decide(&root, ClientId::Text("c1"), action), Decision::Allow);
    }

    #[test]
    fn passwords_are_not_printed() {
        let given = credentials(Some("alice"), Some(b"hunter2"));
        let printed = format!("{given:?}");
        assert!(printed.contains("alice") && !printed.contains("hunter2") && !printed.contains("104"), "{printed}");
    }
}
