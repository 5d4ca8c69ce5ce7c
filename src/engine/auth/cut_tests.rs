//! Files of the operator that were cut at any byte: no part of one gives anybody anything that the whole does not.

use std::sync::Arc;

use super::acl::Acl;
use super::acl_file::{AclFile, AclFileError, END};
use super::cautious::Cautious;
use super::identity::{CommonName, Identity, Shown};
use super::passwords::SECRET_BYTES;
use super::passwords::authenticator::Passwords;
use super::token::keys::Keys;
use super::token::samples::{ED25519, ES256, RS256, given};
use super::{Action, Authenticator as _, Authoriser, ClientId, Decision, Verdict};
use crate::base::hash::Seed;
use crate::mqtt::version::QoS;

/// Everything that a rule may say, each thing where a cut hurts most.
const OWN: &str = "\
# What makes a right smaller comes first.
[groups]
guests = ['eve', \"carol\"]
staff = [
  'alice',
  'bob',
]
blocked = ['mallory', 'bob']

[[rule]]
effect = 'deny'
actions = 'connect'
who.group = 'blocked'
who.client = ['c*', 'x']

[[rule]]
effect = 'allow'
who = { user = ['alice', 'bob'], client = '*' }
actions = ['connect']

[[rule]]
retain = false
qos_max = 0x1
who.group = 'guests'
topics = ['a/#', 'b/+']
actions = ['publish', 'subscribe']
effect = 'allow'

[[rule]]
effect = \"deny\"
actions = 'all'
topics = ['a/secret/#', '+/hidden']
who = { anonymous = false }

[[rule]]
effect = 'deny'
actions = 'receive'
topics = \"\"\"a/\\
  later\"\"\"

[[rule]]
who.address = '10.0.0.0/8'
who.common_name = ['sensor', 'gate']
effect = 'allow'
topics = '#'
actions = 'all' # the whole tree

[[rule]]
effect = 'allow'
who = { group = 'staff' }
retain = false
actions = 'publish'
topics = ['own/%u/#', 'own/%c']
";

/// Denials behind what they take away, and topics whose beginnings are topics.
const MOSQUITTOS: &str = "\
topic read news/#
topic deny news/secret
pattern readwrite home/%u/#
pattern deny home/%u/hidden
pattern a/#
user alice
topic a
topic readwrite #
topic deny a/secret/#
# alice again, and bob
user bob

topic write own/bob/x
topic deny x
topic deny deny
pattern read b/+
pattern deny a/later
";

fn identities() -> Vec<Identity> {
    let shown = Box::new(Shown { fingerprint: [1; 32], common_name: CommonName::One("sensor".into()) });
    let mut all = vec![Identity::anonymous()];
    for name in ["alice", "bob", "carol", "eve", "mallory"] {
        let plain = Identity::user(name, "password");
        let placed =
            Identity { address: Some([10, 0, 0, 1].into()), certificate: Some(shown.clone()), ..plain.clone() };
        all.extend([plain, placed]);
    }
    all
}

/// What each of some may, action by action.
fn rights(rules: &dyn Authoriser) -> Vec<bool> {
    const TOPICS: [&str; 22] = [
        "a",
        "a/x",
        "a/secret",
        "a/secret/x",
        "a/hidden",
        "a/later",
        "b",
        "b/x",
        "news/x",
        "news/secret",
        "home/alice/x",
        "home/alice/hidden",
        "home/bob/x",
        "own/bob/x",
        "own/c1",
        "own/alice/y",
        "x",
        "de",
        "deny",
        "$SYS/x",
        "sensors/alice/x",
        "status/x",
    ];
    let mut all = Vec::new();
    for who in identities() {
        for client_id in ["c1", "x"].map(ClientId::Text) {
            let mut ask = |action| all.push(rules.decide(&who, client_id, action) == Decision::Allow);
            ask(Action::Connect);
            for topic in TOPICS {
                ask(Action::Receive { topic });
                for (qos, retain) in [(QoS::AtMostOnce, false), (QoS::ExactlyOnce, true), (QoS::AtLeastOnce, false)] {
                    ask(Action::Publish { topic, qos, retain });
                    ask(Action::Will { topic, qos, retain });
                    ask(Action::Subscribe { filter: topic, qos, is_shared: false });
                }
            }
            for filter in ["#", "a/#", "+/hidden", "home/#", "own/+/x", "b/+"] {
                ask(Action::Subscribe { filter, qos: QoS::AtMostOnce, is_shared: true });
            }
        }
    }
    all
}

/// Whether the one gives nothing that the other does not.
fn is_within(part: &[bool], whole: &[bool]) -> bool {
    part.iter().zip(whole).all(|(part, whole)| *whole || !part)
}

/// Every text that the first bytes of this one are.
fn cuts(text: &str) -> impl Iterator<Item = &str> {
    (0..text.len()).filter_map(|end| text.get(..end))
}

#[test]
fn threat_7_rules_that_were_cut_anywhere_give_no_right_that_the_whole_does_not() {
    let inline = "groups = { staff = ['alice'] }\nrule = [\n  { effect = 'deny', actions = 'connect', who = { user = 'eve' } },\n  \
        { effect = 'allow', actions = 'all', topics = ['a/#', 'b/+'], who = { group = 'staff' }, retain = false },\n]\n";
    let windows = OWN.replace('\n', "\r\n");
    for text in [OWN, inline, &windows, include_str!("../../manual/rules.toml")] {
        let whole = rights(&Acl::parse(text, Seed::new(1)).unwrap_or_else(|error| panic!("{error} in {text}")));
        let (mut taken, mut smaller) = (0, 0);
        for cut in cuts(text) {
            let Ok(rules) = Acl::parse(cut, Seed::new(1)) else { continue };
            let part = rights(&rules);
            assert!(is_within(&part, &whole), "{cut}");
            taken += 1;
            smaller += usize::from(part != whole);
        }
        assert!(taken > 0 && whole.contains(&true) && whole.contains(&false), "{taken} of {text}");
        assert!(smaller > 0 || text == inline, "some are lists without their end");
    }
}

/// Every order of these parts.
fn orders(parts: &[&str]) -> Vec<String> {
    if parts.is_empty() {
        return vec![String::new()];
    }
    let each = (0..parts.len()).flat_map(|first| {
        let rest: Vec<&str> = [&parts[..first], &parts[first + 1..]].concat();
        orders(&rest).into_iter().map(move |order| format!("{}{order}", parts[first]))
    });
    each.collect()
}

#[test]
fn threat_7_an_order_in_which_a_cut_would_allow_more_is_refused() {
    let groups = "[groups]\nstaff = ['alice']\nblocked = ['bob']\n";
    let connect = "[[rule]]\nwho.group = 'staff'\nactions = 'connect'\neffect = 'allow'\n";
    let denial = "[[rule]]\neffect = 'deny'\nactions = 'all'\ntopics = 'a/secret'\nwho = { group = 'blocked' }\n";
    let keys = [
        "effect = 'allow'\n",
        "who.user = ['alice', 'bob']\n",
        "retain = false\n",
        "actions = 'publish'\n",
        "topics = 'a/#'\n",
    ];
    let (mut taken, mut refused) = (0, 0);
    for order in orders(&keys) {
        for text in orders(&[groups, connect, denial, &format!("[[rule]]\n{order}")]) {
            let Ok(rules) = Acl::parse(&text, Seed::new(1)) else {
                refused += 1;
                continue;
            };
            taken += 1;
            let whole = rights(&rules);
            let ends = text.match_indices('\n').map(|(end, _)| &text[..=end]);
            for part in ends.filter_map(|cut| Acl::parse(cut, Seed::new(1)).ok()) {
                assert!(is_within(&rights(&part), &whole), "{text}");
            }
        }
    }
    // Groups and `connect` come first, in this order; the last key is one of the three that a rule needs.
    assert_eq!((taken, refused), (2 * 72, 22 * 72 + 24 * 48), "of 24 orders of the parts and 120 of the keys");
}

#[test]
fn threat_7_rules_of_mosquitto_that_were_cut_give_nothing_to_whoever_sees_them_change_or_asks_for_their_end() {
    let whole = Arc::new(AclFile::parse(MOSQUITTOS, Seed::new(1)).unwrap());
    let before = AclFile::parse("user alice\ntopic a/#\ntopic deny a/x\npattern read b/#\n", Seed::new(1)).unwrap();
    let before = Arc::new(before);
    let (rights_whole, rights_before) = (rights(&*whole), rights(&*before));
    let mut wider = 0;
    for cut in cuts(MOSQUITTOS) {
        let Ok(rules) = AclFile::parse(cut, Seed::new(1)) else { continue };
        assert!(cut.ends_with('\n'), "a line that is not whole is none: {cut}");
        let (rules, part) = (Arc::new(rules.clone()), rights(&rules));
        wider += usize::from(!is_within(&part, &rights_whole));
        for (before, rights_before) in [(&whole, &rights_whole), (&before, &rights_before)] {
            let cautious = rights(&Cautious::instead_of(Arc::clone(before), Arc::clone(&rules)));
            assert!(is_within(&cautious, rights_before) && is_within(&cautious, &part), "{cut}");
        }
    }
    assert!(wider > 3, "that is what the caution is for");
    let ended = format!("{MOSQUITTOS}{END}\n");
    assert_eq!(AclFile::check_end(&ended), Ok(()));
    for cut in cuts(&ended) {
        let is_refused = AclFile::parse(cut, Seed::new(1)).is_err() || AclFile::check_end(cut).is_err();
        assert!(is_refused, "{cut}");
    }
    assert_eq!(AclFile::parse("topic deny x\ntopic de", Seed::new(1)).unwrap_err(), AclFileError::Cut { line: 2 });
}

#[test]
fn threat_7_users_and_keys_that_were_cut_let_nobody_in_whom_the_whole_does_not() {
    // The passwords are the names backwards.
    let users = "\
# users
alice:$6$AAECAwQFBgcICQoL$G+oy+J7BZQzeKUuCBfOUDXDC8N99Gqcne+O7SGCTUASTTFQtAjC86PoHd5ucZvnv8OqMKI34JR4YRRbwzIiLgw==
carol:$argon2id$v=19$m=1024,t=3,p=1$AAECAwQFBgcICQoL$3c8692SzkehKVncfiKxKNQ
bob:$7$101$AAECAwQFBgcICQoL$aJUqlMaDrPUaPSPIQhUXLiz3Qn8pC+DrMu7IlMXL8m54TTnkkCbJzu73YgUB6bcZn5Dob67lgGxRnAno57HOJA==
";
    let comes_in = |users: &Passwords, name: &str, password: &str| {
        matches!(users.work(&given(Some(name), Some(password))), Verdict::Allow(_))
    };
    let given =
        [("alice", "ecila"), ("bob", "bob"), ("carol", "lorac"), ("alice", ""), ("al", "ecila"), ("carol", "lora")];
    let mut counts = Vec::new();
    for cut in cuts(users) {
        let Ok(part) = Passwords::parse(cut.as_bytes(), &[9; SECRET_BYTES]) else { continue };
        let count = given.iter().filter(|(name, password)| comes_in(&part, name, password)).count();
        assert!(given[3..].iter().all(|(name, password)| !comes_in(&part, name, password)), "{cut}");
        counts.push(count);
    }
    counts.dedup();
    assert_eq!(counts, [1, 2, 3], "one user more with each line");

    let set = format!(r#"{{"keys":[{},{},{}]}}"#, RS256[0], ES256[0], ED25519[0]);
    assert_eq!(Keys::parse(set.as_bytes()).unwrap().keys_count(), 3);
    for cut in cuts(&set) {
        assert!(Keys::parse(cut.as_bytes()).is_err(), "{cut}");
    }
}
