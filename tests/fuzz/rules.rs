//! What the fuzz target of rules does with its bytes; `tests/corpus.rs` does the same with its corpus.

use std::sync::OnceLock;

use pregon::base::hash::Seed;
use pregon::engine::auth::acl::Acl;
use pregon::engine::auth::acl::deliveries::Deliveries;
use pregon::engine::auth::acl::explain::{Explanation, Reason};
use pregon::engine::auth::acl::question::Question;
use pregon::engine::auth::acl::rule::{Actions, Effect, Rule};
use pregon::engine::auth::acl::who::{Condition, Groups};
use pregon::engine::auth::acl_file::AclFile;
use pregon::engine::auth::identity::{CommonName, Identity, Shown};
use pregon::engine::auth::{Action, Authoriser, ClientId, Decision};
use pregon::mqtt::{Filter, QoS, Topic};

/// Names that are asked about beside those of the text.
const NAMES: [&str; 4] = ["a", "b", "+", "%u"];

/// Topics and filters that are asked about beside those of the text.
const TOPICS: [&str; 8] = ["a", "a/b", "a/+", "#", "$SYS/x", "b//c", "+/b/#", ""];

/// Names and topics of a text that are asked about, of each kind.
const TAKEN_MAX: usize = 6;

/// Bytes as a file of rules, in both formats: it is read whole or not at all, and what was read decides as a walk through its rules does.
pub fn rules(data: &[u8]) {
    static SEED: OnceLock<Seed> = OnceLock::new();
    let seed = *SEED.get_or_init(|| Seed::new(1));
    let Ok(text) = str::from_utf8(data) else { return };
    match Acl::parse(text, seed) {
        Ok(acl) => check(Rules::Own(&acl)),
        Err(error) => {
            let lines = text.matches('\n').count() + 1;
            assert!(!error.faults().is_empty());
            assert!(error.faults().iter().all(|fault| (1..=lines).contains(&fault.line) && fault.column >= 1));
        }
    }
    if let Ok(file) = AclFile::parse(text, seed) {
        check(Rules::Mosquitto(&file));
    }
}

/// Rules of one format or the other.
#[derive(Clone, Copy)]
enum Rules<'a> {
    Own(&'a Acl),
    Mosquitto(&'a AclFile),
}

impl<'a> Rules<'a> {
    fn authoriser(self) -> &'a dyn Authoriser {
        match self {
            Self::Own(rules) => rules,
            Self::Mosquitto(rules) => rules,
        }
    }

    fn all(self) -> &'a [Rule] {
        match self {
            Self::Own(rules) => rules.rules(),
            Self::Mosquitto(rules) => rules.rules(),
        }
    }

    fn explain(self, who: &Identity, client_id: &str, action: Action<'_>) -> (bool, Option<usize>) {
        match self {
            Self::Own(rules) => explained(&rules.explain(who, ClientId::Text(client_id), action)),
            Self::Mosquitto(rules) => explained(&rules.explain(who, ClientId::Text(client_id), action)),
        }
    }

    /// The first rule that applies decides; nothing is looked up.
    fn naively(self, who: &Identity, client_id: &str, action: Action<'_>) -> (bool, Option<usize>) {
        let Ok(question) = Question::new(who, ClientId::Text(client_id), action) else { return (false, None) };
        let none = Groups::default();
        let groups = match self {
            Self::Own(rules) => rules.groups(),
            Self::Mosquitto(_) if matches!(action, Action::Subscribe { .. }) => return (true, None),
            Self::Mosquitto(_) => &none,
        };
        let all = self.all();
        let asks_to_connect =
            all.iter().any(|rule| rule.effect == Effect::Allow && rule.actions.meets(Actions::CONNECT));
        match all.iter().position(|rule| rule.applies(groups, &question)) {
            Some(number) => (all[number].effect == Effect::Allow, Some(number)),
            None => (action == Action::Connect && !asks_to_connect, None),
        }
    }
}

/// What an explanation says: the decision, and the number of the rule, from zero.
fn explained(explanation: &Explanation<'_>) -> (bool, Option<usize>) {
    let number = match explanation.reason {
        Reason::Rule { number, .. } => Some(number - 1),
        Reason::NoRule | Reason::ConnectIsFree | Reason::SubscribeIsFree | Reason::Malformed(_) => None,
    };
    (explanation.is_allowed, number)
}

/// Asks about names, topics and addresses that the rules name, and some that they do not.
fn check(rules: Rules<'_>) {
    let (authoriser, all) = (rules.authoriser(), rules.all());
    let (mut names, mut topics) = (NAMES.map(String::from).to_vec(), TOPICS.map(String::from).to_vec());
    let mut addresses = vec![None, Some([10, 0, 0, 1].into())];
    let mut certificates = vec![None];
    for condition in all.iter().flat_map(|rule| rule.who.conditions()).take(2 * TAKEN_MAX) {
        match condition {
            Condition::User(some) | Condition::Group(some) => names.extend(some.first().map(ToString::to_string)),
            Condition::Client(some) => names.extend(some.first().map(|pattern| pattern.as_str().replace('*', "1"))),
            Condition::Certificate(some) => {
                certificates.push(Some(Shown { fingerprint: some[0], common_name: CommonName::None }));
            }
            Condition::CommonName(some) => {
                certificates.push(Some(Shown { fingerprint: [0; 32], common_name: CommonName::One(some[0].clone()) }));
            }
            Condition::Address(some) => {
                let text = some[0].to_string();
                addresses.push(text.split('/').next().and_then(|address| address.parse().ok()));
            }
            Condition::Anonymous(_) => {}
        }
    }
    let patterns = all.iter().flat_map(|rule| rule.patterns.iter()).take(TAKEN_MAX);
    topics.extend(patterns.flat_map(|pattern| [pattern.as_str().into(), pattern.as_str().replace(['+', '#'], "z")]));
    names.truncate(NAMES.len() + TAKEN_MAX);
    let first = all.first().map_or(0, |rule| rule.line as usize);
    for (at, topic) in topics.iter().enumerate() {
        let name = |step: usize| names[(at * 7 + first + step) % names.len()].as_str();
        let base = if (at + first) % 5 == 0 { Identity::anonymous() } else { Identity::user(name(0), "password") };
        let who = Identity {
            groups: vec![name(1).into()],
            address: addresses[(at + first) % addresses.len()],
            certificate: certificates[at % certificates.len()].clone().map(Box::new),
            ..base
        };
        let client_id = name(2);
        for action in actions(topic) {
            let expected = rules.naively(&who, client_id, action);
            let found = authoriser.decide(&who, ClientId::Text(client_id), action) == Decision::Allow;
            assert_eq!(found, expected.0, "{who:?} {client_id} {action:?}");
            assert_eq!(rules.explain(&who, client_id, action), expected, "{who:?} {client_id} {action:?}");
        }
        let deliveries = authoriser.deliveries(&who, ClientId::Text(client_id), topic);
        check_deliveries(authoriser, &deliveries, &who, client_id, topic, &topics);
    }
}

fn actions(topic: &str) -> [Action<'_>; 7] {
    [
        Action::Connect,
        Action::Publish { topic, qos: QoS::AtMostOnce, retain: false },
        Action::Publish { topic, qos: QoS::ExactlyOnce, retain: true },
        Action::Will { topic, qos: QoS::AtLeastOnce, retain: true },
        Action::Subscribe { filter: topic, qos: QoS::AtMostOnce, is_shared: false },
        Action::Subscribe { filter: topic, qos: QoS::ExactlyOnce, is_shared: true },
        Action::Receive { topic },
    ]
}

/// Of every topic that the filter matches the first part that has it says whether it is delivered.
fn check_deliveries(
    rules: &dyn Authoriser,
    deliveries: &Deliveries,
    who: &Identity,
    client_id: &str,
    filter: &str,
    topics: &[String],
) {
    let Ok(filter) = Filter::parse(filter) else { return };
    for topic in topics.iter().filter_map(|topic| Topic::parse(topic).ok()).filter(|topic| filter.matches(*topic)) {
        let has_it = |part: &str| Filter::parse(part).expect("a part is a filter").matches(topic);
        let Some(part) = deliveries.parts.iter().find(|part| has_it(&part.filter)) else {
            assert!(!deliveries.is_complete, "the parts are all");
            continue;
        };
        let action = Action::Receive { topic: topic.as_str() };
        let is_delivered = rules.decide(who, ClientId::Text(client_id), action) == Decision::Allow;
        assert_eq!(part.is_delivered, is_delivered, "{} of {}", topic.as_str(), filter.as_str());
    }
}
