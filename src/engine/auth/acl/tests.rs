//! What lists of rules decide.

use super::*;
use crate::base::random::Random;
use crate::engine::auth::acl::explain::{Obstacle, Reason};
use crate::engine::auth::acl::who::ClientPattern;
use crate::engine::auth::identity::{CommonName, Shown};
use crate::mqtt::topic::{Filter, Topic};
use crate::mqtt::version::QoS;

fn alice() -> Identity {
    Identity::user("alice", "password")
}

fn parsed(text: &str) -> Acl {
    Acl::parse(text, Seed::new(1)).unwrap_or_else(|error| panic!("{error} in {text}"))
}

/// Rules of four words each: effect, who, actions, topics.
fn acl<const N: usize>(rules: [[&str; 4]; N]) -> Acl {
    parsed(&rules.map(rule).concat())
}

/// One rule; what it has no word for is left out.
fn rule([effect, who, actions, topics]: [&str; 4]) -> String {
    let list = |words: &str| format!("['{}']", words.replace(' ', "', '"));
    let who = if who.is_empty() { String::new() } else { format!("who = {{ {who} }}\n") };
    let topics = if topics.is_empty() { String::new() } else { format!("topics = {}\n", list(topics)) };
    format!("[[rule]]\neffect = '{effect}'\n{who}actions = {}\n{topics}", list(actions))
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

/// The number of the rule that decides, from one.
fn decider(acl: &Acl, who: &Identity, action: Action<'_>) -> Option<usize> {
    let client_id = ClientId::Text("c1");
    match acl.explain(who, client_id, action).reason {
        Reason::Rule { number, .. } => Some(number),
        Reason::NoRule | Reason::ConnectIsFree | Reason::SubscribeIsFree | Reason::Malformed(_) => None,
    }
}

#[test]
fn the_first_rule_that_applies_decides_and_can_be_named() {
    let acl = acl([
        ["deny", "user = 'alice'", "publish", "a/b"],
        ["allow", "", "publish", "a/#"],
        ["deny", "", "publish", "a/c"],
    ]);
    assert_eq!(decider(&acl, &alice(), publish("a/b")), Some(1));
    assert_eq!(decider(&acl, &alice(), publish("a/c")), Some(2));
    assert_eq!(decider(&acl, &alice(), publish("b")), None);
    assert!(!may(&acl, &alice(), publish("a/b")) && may(&acl, &alice(), publish("a/c")));
    assert!(may(&acl, &Identity::anonymous(), publish("a/b")));
}

#[test]
fn threat_7_an_empty_list_allows_nothing_but_to_connect() {
    let acl = Acl::new(Vec::new(), Groups::default(), Seed::new(1));
    let nothing = [
        publish("a"),
        subscribe("a"),
        Action::Receive { topic: "a" },
        Action::Will { topic: "a", qos: QoS::AtMostOnce, retain: false },
    ];
    assert!(nothing.iter().all(|action| !may(&acl, &alice(), *action)));
    assert!(may(&acl, &alice(), Action::Connect));
}

#[test]
fn rules_are_about_users_clients_groups_or_the_nameless() {
    let acl = acl([
        ["allow", "user = 'alice'", "all", "u"],
        ["allow", "client = 'c1'", "all", "c"],
        ["allow", "group = 'staff'", "all", "g"],
        ["allow", "anonymous = true", "all", "n"],
    ]);
    let mut carol = Identity::user("carol", "password");
    carol.groups = vec!["staff".into()];
    let rights = |who: &Identity, client_id: &str| {
        ["u", "c", "g", "n"].map(|topic| acl.decide(who, ClientId::Text(client_id), publish(topic)) == Decision::Allow)
    };
    assert_eq!(rights(&alice(), "c2"), [true, false, false, false]);
    assert_eq!(rights(&alice(), "c1"), [true, true, false, false]);
    assert_eq!(rights(&carol, "alice"), [false, false, true, false]);
    assert_eq!(rights(&Identity::anonymous(), "c"), [false, false, false, true]);
    assert_eq!(rights(&Identity::user("", "password"), "c"), [false; 4]);
}

#[test]
fn limits_bound_what_a_rule_allows() {
    let acl = parsed(
        "[[rule]]\neffect = 'allow'\nactions = ['publish', 'subscribe']\nqos_max = 1\nretain = false\ntopics = 'a b/#'",
    );
    let publish = |qos, retain| may(&acl, &alice(), Action::Publish { topic: "a b/c", qos, retain });
    assert!(publish(QoS::AtLeastOnce, false));
    assert!(!publish(QoS::ExactlyOnce, false) && !publish(QoS::AtMostOnce, true));
    let subscribe = |qos| may(&acl, &alice(), Action::Subscribe { filter: "a b/#", qos, is_shared: false });
    assert!(subscribe(QoS::AtLeastOnce) && !subscribe(QoS::ExactlyOnce));
}

#[test]
fn threat_5_a_will_needs_the_right_to_publish() {
    let acl = acl([["deny", "", "will", "a/x"], ["allow", "", "publish", "a/#"]]);
    let will = |topic| may(&acl, &alice(), Action::Will { topic, qos: QoS::AtMostOnce, retain: false });
    assert!(will("a/b") && !will("a/x") && !will("b"));
    assert!(may(&acl, &alice(), publish("a/x")));
}

#[test]
fn threat_5_a_filter_wider_than_the_rule_is_refused() {
    let acl = acl([["allow", "", "subscribe", "a/+/b c/#"]]);
    for filter in ["a/+/b", "a/x/b", "c", "c/#", "c/+/d"] {
        assert!(may(&acl, &alice(), subscribe(filter)), "{filter}");
    }
    for filter in ["#", "+/+/b", "a/#", "a/+/+", "a/+", "+", "c+", "$SYS/#"] {
        assert!(!may(&acl, &alice(), subscribe(filter)), "{filter}");
    }
}

#[test]
fn threat_5_a_shared_subscription_has_the_right_of_its_filter() {
    let acl = acl([["allow", "", "subscribe", "a/#"]]);
    let shared = |filter| may(&acl, &alice(), Action::Subscribe { filter, qos: QoS::AtMostOnce, is_shared: true });
    assert!(shared("a/b") && !shared("b") && !shared("$share/a/b"));
}

#[test]
fn threat_5_a_denied_part_of_an_allowed_filter_is_withheld_at_delivery() {
    let acl = acl([["deny", "", "receive", "a/secret/#"], ["allow", "", "subscribe", "a/#"]]);
    let receive = |topic| may(&acl, &alice(), Action::Receive { topic });
    assert!(may(&acl, &alice(), subscribe("a/#")) && acl.checks_receive());
    assert!(receive("a/open") && !receive("a/secret") && !receive("a/secret/x") && !receive("b"));
}

#[test]
fn deliveries_are_asked_for_only_where_a_rule_could_withhold_one() {
    let everything = ["allow", "", "all", "#"];
    assert!(!acl([everything]).checks_receive());
    assert!(!acl([["deny", "", "publish", "a"], everything]).checks_receive());
    assert!(!acl([everything, ["deny", "", "all", "#"]]).checks_receive());
    assert!(acl([["deny", "user = 'bob'", "subscribe", "a"], everything]).checks_receive());
}

#[test]
fn threat_6_no_name_widens_a_rule() {
    let acl = acl([["allow", "", "all", "home/%u/%c/#"]]);
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
    let acl = acl([
        ["deny", "client = 'c1'", "connect", ""],
        ["allow", "user = 'alice'", "connect", ""],
        ["deny", "", "connect", ""],
        ["allow", "", "all", "#"],
    ]);
    let connect = |who: &Identity, client_id| acl.decide(who, ClientId::Text(client_id), Action::Connect);
    assert_eq!(connect(&alice(), "c1"), Decision::Deny);
    assert_eq!(connect(&alice(), "c2"), Decision::Allow);
    assert_eq!(connect(&Identity::anonymous(), "c2"), Decision::Deny);
}

#[test]
fn a_topic_or_filter_that_is_none_has_no_right() {
    let acl = acl([["allow", "", "all", "#"]]);
    assert!(may(&acl, &alice(), publish("a")) && may(&acl, &alice(), subscribe("a/+")));
    assert!(!may(&acl, &alice(), publish("a/+")) && !may(&acl, &alice(), publish("")));
    assert!(!may(&acl, &alice(), subscribe("a/#/b")));
}

#[test]
fn to_connect_needs_a_rule_as_soon_as_one_allows_it() {
    let connects = |acl: &Acl, user: &str, client_id| {
        acl.decide(&Identity::user(user, "password"), ClientId::Text(client_id), Action::Connect) == Decision::Allow
    };
    let topics = ["allow", "", "all", "#"];
    let denying = acl([["deny", "user = 'mallory'", "connect", ""], topics]);
    assert!(connects(&denying, "alice", "x") && !connects(&denying, "mallory", "x"));
    let own = acl([["allow", "client = ['%u', '%u-*']", "connect", ""], topics]);
    assert!(connects(&own, "alice", "alice") && connects(&own, "alice", "alice-2"));
    assert!(!connects(&own, "alice", "bob-2") && !connects(&own, "alice", "alice2") && !connects(&own, "", "-2"));
    assert_eq!(own.decide(&Identity::anonymous(), ClientId::Text("x"), Action::Connect), Decision::Deny);
}

#[test]
fn all_conditions_hold_and_a_list_is_any_of_its_entries() {
    let acl = acl([["allow", "user = ['alice', 'bob'], client = ['c1', 'sensor-*']", "all", "t"]]);
    let may = |user, client_id| {
        acl.decide(&Identity::user(user, "password"), ClientId::Text(client_id), publish("t")) == Decision::Allow
    };
    assert!(may("alice", "c1") && may("bob", "sensor-7") && may("bob", "sensor-"));
    assert!(!may("carol", "c1") && !may("alice", "c2") && !may("alice", "sensor") && !may("alice", "c11"));
}

#[test]
fn groups_of_the_file_and_of_the_authenticator_are_one() {
    let text = "[groups]\nstaff = ['alice']\nboard = ['alice', 'bob']\n";
    let rules = [["allow", "group = 'staff'", "all", "s"], ["allow", "group = ['board', 'x']", "all", "b"]];
    let acl = parsed(&format!("{text}{}", rules.map(rule).concat()));
    let mut carol = Identity::user("carol", "password");
    let rights = |who: &Identity| [may(&acl, who, publish("s")), may(&acl, who, publish("b"))];
    assert_eq!(rights(&alice()), [true, true]);
    assert_eq!(rights(&Identity::user("bob", "password")), [false, true]);
    assert_eq!(rights(&carol), [false, false]);
    carol.groups = vec!["staff".into()];
    assert_eq!(rights(&carol), [true, false]);
    let mut nobody = Identity::anonymous();
    nobody.groups = vec!["x".into()];
    assert_eq!(rights(&nobody), [false, true]);
}

#[test]
fn rules_ask_for_networks_and_certificates() {
    let print = "ab".repeat(32);
    let by_print = format!("certificate = '{print}'");
    let acl = acl([
        ["allow", "address = ['10.0.0.0/8', '::1']", "all", "net"],
        ["allow", "common_name = 'sensor'", "all", "name"],
        ["allow", &by_print, "all", "print"],
    ]);
    assert!(acl.asks_for_origin());
    let rights = |address: Option<&str>, certificate: Option<Shown>| {
        let address = address.map(|text| text.parse().unwrap());
        let who = Identity { address, certificate: certificate.map(Box::new), ..alice() };
        ["net", "name", "print"].map(|topic| may(&acl, &who, publish(topic)))
    };
    let shown = |byte, name: &str| Some(Shown { fingerprint: [byte; 32], common_name: CommonName::One(name.into()) });
    assert_eq!(rights(Some("10.1.2.3"), None), [true, false, false]);
    assert_eq!(rights(Some("::ffff:10.1.2.3"), None), [true, false, false]);
    assert_eq!(rights(Some("11.1.2.3"), shown(0xab, "x")), [false, false, true]);
    assert_eq!(rights(Some("::1"), shown(0xac, "sensor")), [true, true, false]);
    assert_eq!(rights(None, None), [false; 3]);
}

#[test]
fn threat_7_what_is_unknown_counts_against_the_client() {
    let acl = acl([
        ["deny", "address = '10.0.0.0/8'", "all", "a"],
        ["deny", "common_name = 'old'", "all", "b"],
        ["deny", "address = '10.0.0.0/8', user = 'bob'", "all", "c"],
        ["allow", "address = '127.0.0.1'", "all", "d"],
        ["deny", "", "all", "d"],
        ["allow", "", "all", "#"],
    ]);
    let rights = |who: &Identity| ["a", "b", "c", "d", "e"].map(|topic| may(&acl, who, Action::Receive { topic }));
    let here = Identity { address: Some([127, 0, 0, 1].into()), ..alice() };
    assert_eq!(rights(&here), [true; 5]);
    // From disk: nobody knows where she was, but she is not bob.
    assert_eq!(rights(&alice()), [false, false, true, false, true]);
    let client_id = ClientId::Text("c1");
    let explanation = acl.explain(&here, client_id, publish("a"));
    assert!(matches!(explanation.reason, Reason::Rule { number: 6, unknown: None, .. }), "{explanation:?}");
    let who = alice();
    let explanation = acl.explain(&who, client_id, publish("b"));
    assert!(matches!(explanation.reason, Reason::Rule { number: 2, unknown: Some(_), .. }), "{explanation:?}");
}

#[test]
fn threat_5_who_comes_back_from_elsewhere_is_not_sent_what_it_subscribed_to_at_home() {
    for who in ["address = '10.0.0.0/8'", "group = 'staff'", "common_name = 'x'"] {
        assert!(acl([["allow", who, "subscribe", "a"]]).checks_receive(), "{who}");
        assert!(!acl([["allow", who, "publish", "a"]]).checks_receive(), "{who}");
    }
    let acl = acl([["allow", "address = '10.0.0.0/8'", "subscribe", "a"]]);
    let from = |address: [u8; 4]| Identity { address: Some(address.into()), ..alice() };
    let receive = Action::Receive { topic: "a" };
    assert!(may(&acl, &from([10, 1, 1, 1]), receive) && !may(&acl, &from([11, 1, 1, 1]), receive));
}

#[test]
fn threat_6_a_client_id_is_compared_and_never_read() {
    let matches =
        |pattern: &str, user: Option<&str>, client_id| ClientPattern::parse(pattern).unwrap().matches(user, client_id);
    for (pattern, user, client_id, expected) in [
        ("a", None, "a", true),
        ("a", None, "ab", false),
        ("a*", None, "ab", true),
        ("a*", None, "a", true),
        ("a*", None, "b", false),
        ("*", None, "anything", true),
        ("%u", Some("alice"), "alice", true),
        ("%u", Some("*"), "anything", false),
        ("%u", Some("*"), "*", true),
        ("%u", Some("a*"), "ab", false),
        ("x-%u-*", Some("%u"), "x-%u-1", true),
        ("x-%u-*", Some("%u"), "x-alice-1", false),
        ("%u*", None, "anything", false),
        ("%u*", Some(""), "anything", false),
        ("%u*", Some("a/b"), "a/b", false),
        ("%u-1", Some("a"), "a-12", false),
    ] {
        assert_eq!(matches(pattern, user, client_id), expected, "{pattern} {user:?} {client_id}");
    }
    for wrong in ["", "a*b", "**", "%u%u", "%c", "x%c*"] {
        assert!(ClientPattern::parse(wrong).is_err(), "{wrong}");
    }
}

/// A rule for each of so many users, and two for everybody, one in front and one behind.
fn crowd(users: usize) -> Acl {
    let own = (0..users).map(|number| {
        let who = format!("user = 'user{number}'");
        rule(["allow", &who, "all", &format!("own/{number}/#")])
    });
    let own: String = own.collect();
    parsed(&format!("{}{own}{}", rule(["deny", "", "publish", "own/+/x"]), rule(["allow", "", "all", "all/#"])))
}

#[test]
fn a_decision_looks_at_the_rules_of_one_user_and_not_of_ten_thousand() {
    let acl = crowd(10_000);
    let who = Identity::user("user7000", "password");
    let looked_at = |who: &Identity, topic| {
        let question = Question::new(who, ClientId::Text("c1"), publish(topic)).unwrap();
        let (mut count, mut patterns) = (0, 0);
        let found = acl.index.first(who, ClientId::Text("c1"), |number| {
            let rule = &acl.rules()[number as usize];
            count += 1;
            patterns += rule.patterns.len();
            rule.applies(acl.groups(), &question)
        });
        assert_eq!(found.map(|number| number as usize), acl.first(&question));
        assert_eq!(count, patterns, "each has one");
        (count, found)
    };
    assert_eq!(looked_at(&who, "own/7000/a"), (2, Some(7_001)), "its own rule, and the one in front of it");
    assert_eq!(looked_at(&who, "own/7000/x"), (2, Some(0)));
    assert_eq!(looked_at(&who, "all/a"), (3, Some(10_001)));
    assert_eq!(looked_at(&who, "own/6999/a"), (3, None));
    assert_eq!(looked_at(&Identity::anonymous(), "own/7000/a"), (2, None));
}

/// What a list without an index says.
fn naively(acl: &Acl, who: &Identity, client_id: &str, action: Action<'_>) -> Option<usize> {
    let question = Question::new(who, ClientId::Text(client_id), action).ok()?;
    acl.rules().iter().position(|rule| rule.applies(acl.groups(), &question))
}

#[test]
fn the_index_finds_the_first_rule_that_a_walk_finds() {
    let mut random = Random::from_seed(5);
    let whos = [
        "",
        "user = 'a'",
        "user = ['a', 'b']",
        "group = 'g'",
        "group = ['g', 'h']",
        "client = 'c'",
        "client = ['c', 'd*']",
        "client = '%u'",
        "anonymous = true",
        "anonymous = false",
        "address = '10.0.0.0/8'",
        "common_name = 'n'",
        "user = 'b', address = '10.0.0.0/8'",
        "group = 'h', client = 'd'",
        "common_name = ['n', 'm'], group = 'g'",
    ];
    let certificate =
        |name: &str| Some(Box::new(Shown { fingerprint: [1; 32], common_name: CommonName::One(name.into()) }));
    let (mut decided, mut asked) = (0, 0);
    for _ in 0..300 {
        let rules: String = (0..=random.below(12))
            .map(|_| {
                let effect = random.pick(&["allow", "deny"]).unwrap();
                let actions = random.pick(&["publish", "subscribe", "all", "receive publish"]).unwrap();
                let topics = random.pick(&["t", "u", "t u", "#", "%u", "+/%c"]).unwrap();
                rule([effect, random.pick(&whos).unwrap(), actions, topics])
            })
            .collect();
        let acl = parsed(&format!("[groups]\ng = ['a']\nh = ['a', 'b']\n{rules}"));
        for _ in 0..40 {
            let user = random.pick(&["", "a", "b", "c"]).unwrap();
            let named = if user.is_empty() { Identity::anonymous() } else { Identity::user(user, "password") };
            let who = Identity {
                groups: [*random.pick(&["g", "x"]).unwrap()].map(Into::into).into(),
                address: random
                    .pick(&[None, Some([10, 0, 0, 1].into()), Some([9, 0, 0, 1].into())])
                    .unwrap()
                    .to_owned(),
                certificate: random.pick(&[None, certificate("n"), certificate("x")]).unwrap().clone(),
                ..named
            };
            let client_id = *random.pick(&["c", "d", "a"]).unwrap();
            let topic = random.pick(&["t", "u", "a", "x/c"]).unwrap();
            let action = *random.pick(&[publish(topic), subscribe(topic), Action::Receive { topic }]).unwrap();
            let question = Question::new(&who, ClientId::Text(client_id), action).unwrap();
            let expected = naively(&acl, &who, client_id, action);
            assert_eq!(acl.first(&question), expected, "{who:?} {client_id} {action:?} {rules}");
            asked += 1;
            decided += usize::from(expected.is_some());
        }
    }
    assert!(decided * 4 > asked && decided < asked, "{decided} of {asked}");
}

#[test]
fn what_no_rule_allows_is_explained_by_those_that_come_nearest() {
    let acl = parsed(
        &[
            rule(["allow", "user = 'alice'", "publish", "home/kitchen/lamp home/%u/#"]),
            rule(["allow", "user = 'bob'", "publish", "home/kitchen/#"]),
            rule(["allow", "", "subscribe", "home/#"]),
            "[[rule]]\neffect = 'allow'\nqos_max = 0\nretain = false\nactions = 'publish'\ntopics = 'home/kitchen/+'\n"
                .into(),
            rule(["allow", "address = '10.0.0.0/8'", "publish", "home/#"]),
        ]
        .concat(),
    );
    let who = alice();
    let explanation = acl.explain(&who, ClientId::Text("c1"), publish("home/kitchen/door"));
    assert!(!explanation.is_allowed && matches!(explanation.reason, Reason::NoRule));
    let near: Vec<usize> = explanation.near.iter().map(|near| near.number).collect();
    assert_eq!(near, [4, 5, 2, 1], "limits, what is unknown, somebody else, and what agrees for two levels");
    assert!(matches!(explanation.near[0].obstacle, Obstacle::Qos));
    assert!(matches!(explanation.near[1].obstacle, Obstacle::Unknown(_)));
    assert!(matches!(explanation.near[2].obstacle, Obstacle::Who(_)));
    let Obstacle::Pattern(pattern, gap) = &explanation.near[3].obstacle else { panic!("{:?}", explanation.near[3]) };
    assert_eq!((pattern.as_str(), gap.level), ("home/kitchen/lamp", 2));
    assert_eq!(gap.cause.to_string(), "`door` is not `lamp`");
    let retained = Action::Publish { topic: "home/kitchen/door", qos: QoS::AtMostOnce, retain: true };
    let explanation = acl.explain(&who, ClientId::Text("c1"), retained);
    assert!(matches!(explanation.near[0].obstacle, Obstacle::Retain));
}

#[test]
fn an_explanation_never_differs_from_the_decision() {
    let acl = acl([
        ["allow", "user = 'alice'", "connect", ""],
        ["deny", "", "receive", "a/secret"],
        ["allow", "user = 'alice'", "all", "a/#"],
    ]);
    let topics = ["a", "a/secret", "a/#", "#", "", "b"];
    for who in [alice(), Identity::anonymous()] {
        for topic in topics {
            for action in [publish(topic), subscribe(topic), Action::Receive { topic }, Action::Connect] {
                let explanation = acl.explain(&who, ClientId::Text("c1"), action);
                assert_eq!(explanation.is_allowed, may(&acl, &who, action), "{who:?} {action:?}");
            }
        }
    }
}

#[test]
fn rules_say_themselves_in_one_line() {
    let acl = parsed(
        "[[rule]]\neffect = 'deny'\nactions = 'connect'\n\
         [[rule]]\neffect = 'allow'\nwho = { user = ['alice', 'bob'], address = '10.0.0.0/8' }\nactions = ['publish', 'receive']\n\
         qos_max = 1\nretain = false\ntopics = ['a/%u', 'b']\n\
         [[rule]]\neffect = 'deny'\nactions = ['will']\ntopics = '#'",
    );
    let said: Vec<String> = acl.rules().iter().map(ToString::to_string).collect();
    let first = "allow from 10.0.0.0/8, user alice or bob to publish and receive, up to QoS 1, not retained: a/%u, b";
    assert_eq!(said, ["deny everyone to connect", first, "deny everyone to will: #"]);
    assert_eq!(acl.rules().iter().map(|rule| rule.line).collect::<Vec<_>>(), [1, 4, 11]);
}

/// The parts of a filter: a `+` in front of what is delivered, a `-` in front of what is not.
fn parts(acl: &Acl, who: &Identity, filter: &str) -> Vec<String> {
    let deliveries = acl.deliveries(who, ClientId::Text("c1"), filter);
    assert!(deliveries.is_complete);
    let said = |part: &deliveries::Part| format!("{}{}", if part.is_delivered { '+' } else { '-' }, part.filter);
    deliveries.parts.iter().map(said).collect()
}

#[test]
fn the_parts_of_a_subscription_are_told_apart() {
    let acl = acl([
        ["allow", "user = 'alice'", "receive", "a/secret/alice"],
        ["deny", "", "receive", "a/secret/# +/hidden"],
        ["allow", "", "subscribe", "a/#"],
        ["deny", "", "receive", "a/later"],
    ]);
    assert_eq!(parts(&acl, &alice(), "a/#"), ["+a/secret/alice", "-a/secret/#", "-a/hidden", "+a/#"]);
    assert_eq!(parts(&acl, &Identity::anonymous(), "a/+"), ["-a/secret", "-a/hidden", "+a/+"]);
    assert_eq!(parts(&acl, &alice(), "a/secret/x"), ["-a/secret/x"]);
    assert_eq!(parts(&acl, &alice(), "+/x"), ["+a/x", "-+/x"]);
    assert_eq!(parts(&acl, &alice(), "b"), ["-b"]);
}

#[test]
fn the_parts_of_a_subscription_say_what_each_delivery_is() {
    let acl = acl([
        ["deny", "", "receive", "a/+/x"],
        ["allow", "user = 'alice'", "all", "a/# $x/+"],
        ["deny", "", "receive", "+/b"],
        ["allow", "", "receive", "b/# %u/+ +/c"],
    ]);
    let levels = ["a", "b", "c", "x", "$x", "alice"];
    let two = levels.iter().flat_map(|one| levels.iter().map(move |other| format!("{one}/{other}")));
    let three = two.clone().flat_map(|two| ["a", "b", "x"].map(|last| format!("{two}/{last}")));
    let topics: Vec<String> = levels.iter().map(ToString::to_string).chain(two).chain(three).collect();
    let mut compared = 0;
    for who in [alice(), Identity::anonymous()] {
        for filter in ["#", "a/#", "+/b", "+/+", "+/#", "a/+/x", "$x/#", "b", "alice/+", "c/c/#"] {
            let deliveries = acl.deliveries(&who, ClientId::Text("c1"), filter);
            for topic in &topics {
                let matches = |filter| Filter::parse(filter).unwrap().matches(Topic::parse(topic).unwrap());
                if !matches(filter) {
                    continue;
                }
                let part = deliveries.parts.iter().find(|part| matches(&part.filter)).expect("the parts are all");
                assert_eq!(part.is_delivered, may(&acl, &who, Action::Receive { topic }), "{filter} {topic}");
                compared += 1;
            }
        }
    }
    assert!(compared > 300, "{compared}");
}
