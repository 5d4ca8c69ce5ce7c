//! Files of rules as people write them, and what is said about those that are none.

use super::*;
use crate::base::hash::Seed;
use crate::engine::auth::acl::Acl;
use crate::engine::auth::acl::rule::{Actions, Effect};
use crate::engine::auth::acl::who::{ClientPattern, Condition, Who};
use crate::engine::auth::identity::Identity;
use crate::engine::auth::pattern::Pattern;
use crate::engine::auth::{Action, Authoriser as _, ClientId, Decision};
use crate::mqtt::version::QoS;

/// What is wrong with the text, a line each.
fn faults(text: &str) -> Vec<String> {
    match parse(text) {
        Ok(_) => panic!("nothing is wrong with {text}"),
        Err(error) => error.faults().iter().map(ToString::to_string).collect(),
    }
}

#[test]
fn a_rule_is_read_key_by_key() {
    let text = "\
[groups]
staff = ['bob', 'alice']

[[rule]]
effect = \"allow\"
who = { user = \"alice\", client = [\"%u-*\", \"c1\"] }
qos_max = 1
retain = false
actions = [\"publish\", \"subscribe\"]
topics = [\"a b/%c/#\"]

[[rule]]
effect = \"deny\"
actions = \"all\"
topics = \"#\"
";
    let (rules, groups) = parse(text).unwrap();
    let clients = ["%u-*", "c1"].map(|pattern| ClientPattern::parse(pattern).unwrap());
    // TOML does not keep the order of the keys of a table.
    let who = Who::all(vec![Condition::Client(clients.into()), Condition::User(["alice".into()].into())]);
    let patterns = |text| vec![Pattern::parse(text).unwrap()];
    let actions = Actions::PUBLISH.with(Actions::SUBSCRIBE);
    let first = Rule {
        qos_max: QoS::AtLeastOnce,
        may_retain: false,
        line: 4,
        ..Rule::new(Effect::Allow, who, actions, patterns("a b/%c/#"))
    };
    let second = Rule { line: 12, ..Rule::new(Effect::Deny, Who::everyone(), Actions::ALL, patterns("#")) };
    assert_eq!(rules, [first, second]);
    assert!(groups.has("staff", "alice") && groups.has("staff", "bob") && !groups.has("staff", "carol"));
    assert!(!groups.has("alice", "staff"));
}

#[test]
fn threat_7_one_rule_that_is_wrong_refuses_all_and_is_named() {
    let good = "[[rule]]\neffect = 'allow'\nactions = 'all'\ntopics = '#'\n";
    let allow = "[[rule]]\neffect = 'allow'\n";
    for (text, at, what) in [
        ("efect = 'allow'", "6:1", "no key efect here; did you mean effect?; allowed: effect, who,"),
        ("effect = 'alow'", "6:10", "`alow` is none of the words known here; did you mean allow?"),
        ("effect = true", "6:10", "true or false does not belong here; allowed: \"allow\", \"deny\""),
        ("actions = 'all'\ntopics = '#'", "5:1", "the rule has no effect"),
        ("effect = 'deny'\ntopics = '#'", "5:1", "the rule has no actions"),
        ("effect = 'deny'\nactions = 'all'", "5:1", "the rule has no topics"),
    ] {
        let told = faults(&format!("{good}[[rule]]\n{text}"));
        assert!(told[0].starts_with(&format!("{at}: ")) && told[0].contains(what), "{told:?} for {text}");
    }
    for (text, column, what) in [
        ("who = 'alice'", 7, "text does not belong here; allowed: a table like { user = \"alice\" }"),
        ("who = {}", 7, "the list is empty"),
        ("who = { usr = 'a' }", 9, "no key usr here; did you mean user?"),
        ("who = { user = '' }", 16, "the text is empty"),
        ("who = { user = [] }", 16, "the list is empty"),
        ("who = { user = ['a', 5] }", 22, "a number does not belong here"),
        ("who = { user = ['a', ['b']] }", 22, "a list does not belong here"),
        ("who = { anonymous = 'yes' }", 21, "text does not belong here; allowed: true, false"),
        ("who = { anonymous = true, user = 'a' }", 7, "the rule is about nobody"),
        ("who = { client = 'a*b' }", 18, "a `*` stands for the rest"),
        ("who = { address = '10.0.0.1/8' }", 19, "10.0.0.0/8 is the network"),
        ("who = { certificate = 'ab' }", 23, "`ab` is no fingerprint"),
        ("actions = ['publish', 'read']", 23, "`read` is none of the words"),
        ("actions = ['publish', 'connect']", 11, "`connect` stands alone"),
        ("actions = 'connect'\ntopics = 'a'", 1, "the right to connect has no topics"),
        ("actions = 'connect'\nqos_max = 1", 1, "the right to connect has no qos_max"),
        ("topics = 'a/#/b'", 10, "the topic `a/#/b` is wrong"),
        ("topics = ['a', 'x%u']", 16, "%u or %c does not fill level 0"),
        ("topics = '$share/g/a/b'", 10, "write `a/b` alone"),
        ("qos_max = 3", 11, "3 is no quality of service"),
        ("qos_max = -1", 11, "-1 is no quality of service"),
        ("qos_max = '1'", 11, "text does not belong here; allowed: 0, 1, 2"),
        ("retain = 1", 10, "a number does not belong here"),
        ("actions = 'receive'\ntopics = 'a'\nqos_max = 1", 1, "qos_max limits nothing"),
        ("actions = 'subscribe'\ntopics = 'a'\nretain = false", 1, "retain limits nothing"),
        ("effect = ", 10, "no TOML"),
    ] {
        let whole = format!("{good}{}{text}\n", if text.starts_with("effect") { "[[rule]]\n" } else { allow });
        let told = faults(&whole);
        let found = told.iter().any(|told| told.contains(what) && told.split(':').nth(1) == Some(&column.to_string()));
        assert!(found, "{told:?} for {text}");
    }
    for limit in ["qos_max = 1", "retain = false"] {
        let told = faults(&format!("{good}[[rule]]\neffect = 'deny'\nactions = 'all'\ntopics = '#'\n{limit}\n"));
        assert!(told.len() == 1 && told[0].starts_with("9:1: only what is allowed can be limited"), "{told:?}");
    }
}

#[test]
fn threat_7_a_text_without_a_rule_is_refused() {
    for text in ["", "# nothing\n\n", "[groups]\nstaff = ['alice']\n", "rule = []"] {
        assert_eq!(faults(text), ["1:1: there is no rule in it"], "{text:?}");
    }
    for text in
        ["rule = 5", "rule = [5]", "rule = { effect = 'allow' }", "rules = []", "[groups]\na = 5\n", "groups = 5"]
    {
        assert!(!faults(text).is_empty(), "{text}");
    }
    assert!(faults("[[rules]]\n")[0].contains("did you mean rule?"));
}

#[test]
fn threat_7_what_makes_a_right_smaller_stands_before_what_is_needed_to_have_it() {
    let rule = "[[rule]]\neffect = 'allow'\nactions = 'all'\ntopics = '#'\n";
    let connect = "[[rule]]\neffect = 'allow'\nwho = { user = 'a' }\nactions = 'connect'\n";
    for (text, at, what) in [
        (format!("{rule}who = {{ user = 'a' }}\n"), "5:9", "who stands before the last of effect, actions and topics"),
        (format!("{rule}who.user = 'a'\n"), "5:5", "who stands before"),
        (format!("{rule}[rule.who]\nuser = 'a'\n"), "6:1", "who stands before"),
        (format!("{rule}qos_max = 0\n"), "5:1", "qos_max stands before"),
        (format!("{rule}retain = false\n"), "5:1", "retain stands before"),
        (rule.replace("topics", "who.user = 'a'\ntopics") + "who.client = 'b'\n", "6:5", "who stands before"),
        (
            format!("[[rule]]\neffect = 'allow'\nactions = 'connect'\nwho = {{ user = 'a' }}\n{rule}"),
            "4:9",
            "who stands before",
        ),
        (format!("{rule}[groups]\na = ['b']\n"), "5:2", "groups stand before all rules"),
        (
            "groups.a = ['b']\nrule = [{ effect = 'deny', actions = 'all', topics = '#' }]\ngroups.b = ['b']\n"
                .to_owned(),
            "3:8",
            "groups stand",
        ),
        (format!("{rule}{connect}"), "5:1", "rules for `connect` stand before all others"),
        (connect.to_owned(), "1:1", "there is no rule about a topic in it"),
    ] {
        let told = faults(&text);
        assert!(
            told.len() == 1 && told[0].starts_with(&format!("{at}: ")) && told[0].contains(what),
            "{told:?} for {text}"
        );
    }
    for text in [
        format!("{connect}{rule}"),
        // What is denied to more than it should be is denied.
        rule.replace("allow", "deny") + "who = { user = 'a' }\n",
        // The last key may be any that is needed.
        "[[rule]]\ntopics = '#'\nwho = { user = 'a' }\nretain = false\nactions = 'all'\neffect = 'allow'\n".into(),
        // Braces are closed behind all that they hold.
        "rule = [{ effect = 'allow', actions = 'all', topics = '#', who = { user = 'a' } }]".into(),
        format!("[groups]\na = ['b']\n{connect}{rule}"),
    ] {
        assert!(parse(&text).is_ok(), "{text}: {:?}", parse(&text).err());
    }
}

#[test]
fn threat_7_a_text_that_is_too_long_is_refused_unread() {
    let text = "#".repeat(RULES_BYTES_MAX + 1);
    assert!(faults(&text)[0].starts_with("1:1: there are more than the 16777216 bytes"));
}

#[test]
fn everything_that_is_wrong_is_told_at_once_in_its_order() {
    let text = "[[rule]]\neffect = 'alow'\nactions = 'red'\ntopics = 'a+'\n[[rule]]\nwho = { usr = 'ñ' }\n[group]\n";
    let places: Vec<String> = faults(text).iter().map(|told| told.split(' ').next().unwrap().to_owned()).collect();
    assert_eq!(places, ["2:10:", "3:11:", "4:10:", "6:9:", "7:2:"]);
    let many = "[[rule]]\nx = 1\n".repeat(FAULTS_MAX + 5);
    assert_eq!(faults(&many).len(), FAULTS_MAX);
    assert!(parse(text).unwrap_err().to_string().ends_with("(and 4 more)"));
}

#[test]
fn what_a_file_says_wrong_is_repeated_without_its_control_characters() {
    let told = faults("[[rule]]\n\"a\\u001b[2J\" = 1\n");
    assert!(told[0].contains("\\u{1b}[2J"), "{told:?}");
}

#[test]
fn fingerprints_are_written_with_colons_or_without() {
    let plain = "0123456789abcdefABCDEF0123456789".repeat(2);
    let colons: Vec<&str> = (0..32).map(|at| &plain[at * 2..at * 2 + 2]).collect();
    let parse = crate::engine::auth::acl::who::parse_fingerprint;
    assert_eq!(parse(&plain), parse(&colons.join(":")));
    assert_eq!(parse(&plain).unwrap()[..3], [1, 0x23, 0x45]);
    for wrong in [&plain[1..], &colons.join("-"), &format!("{plain}0"), "", &"+1".repeat(32), &"é".repeat(32)] {
        assert_eq!(parse(wrong), None, "{wrong}");
    }
}

/// The example of the manual.
#[test]
fn the_example_of_the_manual_decides_as_its_comments_say() {
    let text = include_str!("../../../manual/rules.toml");
    let acl = Acl::parse(text, Seed::new(1)).unwrap();
    let may = |who: &Identity, client_id, action| acl.decide(who, ClientId::Text(client_id), action) == Decision::Allow;
    let user = |name| Identity { address: Some([192, 0, 2, 1].into()), ..Identity::user(name, "password") };
    let publish = |topic| Action::Publish { topic, qos: QoS::AtLeastOnce, retain: false };
    let subscribe = |filter| Action::Subscribe { filter, qos: QoS::AtLeastOnce, is_shared: false };

    assert!(may(&user("alice"), "alice-phone", Action::Connect) && !may(&user("alice"), "bob-phone", Action::Connect));
    assert!(may(&user("sensor7"), "sensor7", Action::Connect) && !may(&Identity::anonymous(), "x", Action::Connect));

    assert!(may(&user("sensor7"), "sensor7", publish("sensors/sensor7/temperature")));
    assert!(!may(&user("sensor7"), "sensor7", publish("sensors/sensor8/temperature")));
    let retained = Action::Publish { topic: "sensors/sensor7/x", qos: QoS::AtMostOnce, retain: true };
    assert!(!may(&user("sensor7"), "sensor7", retained));

    assert!(
        may(&user("alice"), "alice-1", subscribe("sensors/#"))
            && !may(&user("carol"), "carol-1", subscribe("sensors/#"))
    );
    assert!(!may(&user("bob"), "bob-1", Action::Receive { topic: "sensors/safe/code" }));
    assert!(may(&user("alice"), "alice-1", Action::Receive { topic: "sensors/safe/code" }));
    assert!(acl.checks_receive());

    let inside = Identity { address: Some([10, 1, 2, 3].into()), ..Identity::user("alice", "password") };
    assert!(
        may(&inside, "alice-1", publish("control/gate")) && !may(&user("alice"), "alice-1", publish("control/gate"))
    );
    assert!(!may(&Identity::user("alice", "password"), "alice-1", publish("control/gate")), "nobody knows from where");

    assert!(may(&user("carol"), "carol-1", subscribe("status/+")) && !may(&user("carol"), "carol-1", subscribe("#")));
}
