//! What other rules would take from subscriptions that exist, and what they would give them.

use super::acl::deliveries::Deliveries;
use super::identity::Identity;
use super::pattern::{Names, Pattern, covers};
use super::{Action, Authoriser, ClientId, Decision, Ground};
use crate::mqtt::topic::Filter;
use crate::mqtt::version::QoS;

/// A subscription that somebody has, or wants.
#[derive(Clone, Copy, Debug)]
pub struct Wanted<'a> {
    /// Whose it is.
    pub who: &'a Identity,
    /// What the client calls itself.
    pub client_id: ClientId<'a>,
    /// Its filter; of `$share/group/filter` the inner one.
    pub filter: &'a str,
    /// The quality of service that it has.
    pub qos: QoS,
    /// Whether it is in a group.
    pub is_shared: bool,
}

/// What becomes of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fate {
    /// It brings what it brought; or it brought nothing and would bring nothing.
    Same,
    /// It would be refused, and was not.
    Lost,
    /// It would be granted, and was not.
    Gained,
    /// It stays, and brings less, or more, or both: the parts of its filter, none of which is empty.
    Changed {
        /// What is delivered now and would be withheld.
        lost: Vec<Share>,
        /// What is withheld now and would be delivered.
        gained: Vec<Share>,
    },
    /// It stays, and so many rules speak of it that nobody can say what it brings.
    Unclear,
}

/// A part of what a subscription brings.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Share {
    /// The topics.
    pub filter: Box<str>,
    /// What delivers it, on the side that does.
    pub delivers: Ground,
    /// What withholds it, on the side that does.
    pub withholds: Ground,
}

/// What becomes of one subscription. An answer that takes time counts as a refusal, for nobody waits for it here.
pub fn fate(old: &dyn Authoriser, new: &dyn Authoriser, wanted: &Wanted<'_>) -> Fate {
    let Wanted { who, client_id, filter, qos, is_shared } = *wanted;
    if who.is_superuser {
        return Fate::Same; // no rule applies to it
    }
    let action = Action::Subscribe { filter, qos, is_shared };
    let is_granted = |rules: &dyn Authoriser| rules.decide(who, client_id, action) == Decision::Allow;
    match (is_granted(old), is_granted(new)) {
        (true, false) => return Fate::Lost,
        (false, true) => return Fate::Gained,
        // One that would not be granted again stays, and brings what its owner may be sent.
        (true, true) | (false, false) => {}
    }
    let (before, after) = (old.deliveries(who, client_id, filter), new.deliveries(who, client_id, filter));
    if !before.is_complete || !after.is_complete {
        return Fate::Unclear;
    }
    let (lost, gained) = (missing(&before, &after), missing(&after, &before));
    if lost.is_empty() && gained.is_empty() { Fate::Same } else { Fate::Changed { lost, gained } }
}

/// What the one delivers and the other withholds, as filters; what another of them covers is left out.
fn missing(one: &Deliveries, other: &Deliveries) -> Vec<Share> {
    let nobody = Names { user: None, client_id: ClientId::Text("") };
    let depth = |all: &Deliveries| all.parts.iter().map(|part| part.filter.split('/').count()).max().unwrap_or(0);
    let depth = depth(one).max(depth(other));
    let mut found: Vec<Share> = Vec::new();
    for (at, part) in one.parts.iter().enumerate().filter(|(_, part)| part.is_delivered) {
        let Ok(pattern) = Pattern::literal(&part.filter) else { continue };
        for (beside, withheld) in other.parts.iter().enumerate().filter(|(_, part)| !part.is_delivered) {
            let shared = Filter::parse(&withheld.filter).ok().and_then(|filter| pattern.overlap(nobody, filter));
            let Some(shared) = shared else { continue };
            let Ok(filter) = Filter::parse(&shared) else { continue };
            // What a part before has is not this one's to lose.
            let is_taken = |text: &str| {
                Filter::parse(text).is_ok_and(|topic| {
                    one.parts[..at].iter().chain(&other.parts[..beside]).any(|part| covers(&part.filter, topic))
                })
            };
            let is_known = found.iter().any(|known| covers(&known.filter, filter));
            if !is_known && samples(&shared, depth).any(|sample| !is_taken(&sample)) {
                found.retain(|known| !Filter::parse(&known.filter).is_ok_and(|known| covers(&shared, known)));
                found.push(Share { filter: shared.into(), delivers: part.ground, withholds: withheld.ground });
            }
        }
    }
    found
}

/// Topics of a filter that stand for all of them: a level that no filter names for each `+`, and none to many of them for `#`.
///
/// Whatever part has such a topic by its wildcards has every other topic of the same depth there.
fn samples(filter: &str, depth: usize) -> impl Iterator<Item = String> {
    // No filter of an operator has a level like this; a client that subscribed to it would see a part too many.
    const NOBODYS: &str = "\u{1}\u{2}\u{1}";
    let levels: Vec<&str> = filter.split('/').map(|level| if level == "+" { NOBODYS } else { level }).collect();
    let (levels, rests) = match levels.split_last() {
        Some((&"#", levels)) => (levels.to_vec(), 0..=depth + 1),
        Some(_) | None => (levels, 0..=0),
    };
    let with_rest = move |rest: usize| {
        let all: Vec<&str> = levels.iter().copied().chain(core::iter::repeat_n(NOBODYS, rest)).collect();
        all.join("/")
    };
    let texts: Vec<String> = rests.map(with_rest).filter(|text| !text.is_empty()).collect();
    texts.into_iter()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::hash::Seed;
    use crate::base::random::Random;
    use crate::engine::auth::acl::Acl;
    use crate::engine::auth::acl_file::AclFile;
    use crate::engine::auth::policy::Open;
    use crate::mqtt::topic::Topic;

    fn acl(rules: &[(&str, &str, &str, &str)]) -> Acl {
        let rule = |(effect, who, actions, topics): &(&str, &str, &str, &str)| {
            format!("{{ effect = '{effect}', who = {{ {who} }}, actions = '{actions}', topics = [{topics}] }}")
        };
        let rules: Vec<String> = rules.iter().map(rule).collect();
        let text = format!("rule = [{}]", rules.join(", ")).replace("who = {  }, ", "");
        Acl::parse(&text, Seed::new(1)).unwrap()
    }

    fn acl_file(text: &str) -> AclFile {
        AclFile::parse(text, Seed::new(1)).unwrap()
    }

    fn of(old: &dyn Authoriser, new: &dyn Authoriser, filter: &str) -> Fate {
        let who = Identity::user("alice", "password");
        let client_id = ClientId::Text("c1");
        fate(old, new, &Wanted { who: &who, client_id, filter, qos: QoS::AtMostOnce, is_shared: false })
    }

    /// A fate in short: the filters of what is lost and of what is gained.
    fn told(fate: &Fate) -> (Vec<&str>, Vec<&str>) {
        match fate {
            Fate::Changed { lost, gained } => {
                (lost.iter().map(|share| &*share.filter).collect(), gained.iter().map(|share| &*share.filter).collect())
            }
            Fate::Same | Fate::Lost | Fate::Gained | Fate::Unclear => panic!("{fate:?}"),
        }
    }

    #[track_caller]
    fn assert_changed(fate: &Fate, lost: &[&str], gained: &[&str]) {
        assert_eq!(told(fate), (lost.to_vec(), gained.to_vec()));
    }

    #[test]
    fn whole_subscriptions_are_lost_and_gained() {
        let old = acl(&[("allow", "", "subscribe", "'a/#'"), ("allow", "user = 'bob'", "subscribe", "'b/#'")]);
        let new = acl(&[("allow", "", "subscribe", "'a/+', 'b/#'")]);
        let (alice, bob) = (Identity::user("alice", "password"), Identity::user("bob", "password"));
        let mut root = alice.clone();
        root.is_superuser = true;
        let wanted = |who, filter| {
            let client_id = ClientId::Text("c1");
            Wanted { who, client_id, filter, qos: QoS::AtLeastOnce, is_shared: true }
        };
        let all = [(&alice, "a/#"), (&alice, "a/x"), (&alice, "b/x"), (&bob, "b/x"), (&root, "a/#"), (&alice, "c")];
        let fates = all.map(|(who, filter)| fate(&old, &new, &wanted(who, filter)));
        assert_eq!(fates, [Fate::Lost, Fate::Same, Fate::Gained, Fate::Same, Fate::Same, Fate::Same]);
    }

    #[test]
    fn parts_of_a_subscription_are_lost_and_gained() {
        let open = acl(&[("allow", "", "subscribe", "'#'")]);
        let shut = acl(&[("deny", "", "receive", "'a/secret/#'"), ("allow", "", "subscribe", "'#'")]);
        assert_changed(&of(&open, &shut, "a/#"), &["a/secret/#"], &[]);
        assert_changed(&of(&shut, &open, "+/secret/#"), &[], &["a/secret/#"]);
        assert_eq!(of(&open, &shut, "b/#"), Fate::Same);
        let other = acl(&[("deny", "", "receive", "'+/secret/x', 'c'"), ("allow", "", "subscribe", "'#'")]);
        assert_changed(&of(&shut, &other, "a/#"), &[], &["a/secret/#"]);
        assert_changed(&of(&shut, &other, "#"), &["+/secret/x", "c"], &["a/secret/#"]);
    }

    #[test]
    fn a_part_names_the_rule_that_delivers_it_and_the_one_that_withholds_it() {
        let open = acl(&[("deny", "", "receive", "'x'"), ("allow", "", "subscribe", "'#'")]);
        let shut =
            acl(&[("deny", "", "receive", "'a'"), ("deny", "", "receive", "'b'"), ("allow", "", "subscribe", "'#'")]);
        let Fate::Changed { lost, gained } = of(&open, &shut, "#") else { panic!("parts change") };
        let share = |filter: &str, delivers, withholds| Share {
            filter: filter.into(),
            delivers: Ground::Rule(delivers),
            withholds: Ground::Rule(withholds),
        };
        assert_eq!(lost, [share("a", 1, 0), share("b", 1, 1)]);
        assert_eq!(gained, [share("x", 2, 0)]);
    }

    #[test]
    fn what_rules_say_in_other_words_is_the_same() {
        let one = acl(&[("deny", "", "receive", "'a/b', 'a/+'"), ("allow", "", "subscribe", "'#'")]);
        let other = acl(&[
            ("deny", "", "receive", "'a/+'"),
            ("allow", "", "receive", "'a/x'"),
            ("allow", "user = 'alice'", "subscribe", "'#'"),
        ]);
        for filter in ["#", "a/#", "a/+", "+/+"] {
            assert_eq!((of(&one, &other, filter), of(&other, &one, filter)), (Fate::Same, Fate::Same), "{filter}");
        }
    }

    #[test]
    fn rules_of_both_formats_and_none_at_all_are_compared() {
        let file = acl_file("user alice\ntopic read a/#\ntopic deny a/secret\n");
        assert_changed(&of(&Open, &file, "a/#"), &["a/secret"], &[]);
        assert_changed(&of(&file, &Open, "b/#"), &[], &["b/#"]);
        let own = acl(&[("deny", "", "receive", "'a/secret'"), ("allow", "", "subscribe", "'a/#'")]);
        assert_eq!(of(&file, &own, "a/#"), Fate::Same);
        assert_eq!(of(&file, &own, "b/#"), Fate::Lost, "it brought nothing, and is refused now");
    }

    #[test]
    fn a_subscription_that_too_many_rules_speak_of_is_called_unclear() {
        let topics: Vec<String> = (0..2_000).map(|number| format!("topic read a/{number}")).collect();
        let file = acl_file(&format!("user alice\n{}\n", topics.join("\n")));
        assert_eq!((of(&file, &Open, "a/#"), of(&file, &file, "a/7")), (Fate::Unclear, Fate::Same));
    }

    /// Every topic of up to three levels, and what each of two lists makes of it.
    #[test]
    fn what_is_told_is_what_changes() {
        let mut random = Random::from_seed(11);
        let levels = ["a", "b", "c", "other"];
        let pairs = levels.iter().flat_map(|one| levels.iter().map(move |other| format!("{one}/{other}")));
        let triples = pairs.clone().flat_map(|pair| levels.map(|last| format!("{pair}/{last}")));
        let topics: Vec<String> = levels.iter().map(ToString::to_string).chain(pairs).chain(triples).collect();
        let (who, client_id) = (Identity::user("alice", "password"), ClientId::Text("c1"));
        let (mut same, mut other) = (0, 0);
        for _ in 0..2_000 {
            let rules = |random: &mut Random| {
                let mut lines: Vec<String> = Vec::new();
                for _ in 0..=random.below(4) {
                    let topic = *random.pick(&["a", "a/b", "a/+", "+/b", "#", "a/#", "+", "c/#", "+/+"]).unwrap();
                    let word = *random.pick(&["read", "deny"]).unwrap();
                    lines.push(format!("pattern {word} {topic}\n"));
                }
                acl_file(&lines.concat())
            };
            let (old, new) = (rules(&mut random), rules(&mut random));
            let filter = *random.pick(&["#", "a/#", "+/b", "+/+", "a/b", "a", "+/#"]).unwrap();
            let told = of(&old, &new, filter);
            let may =
                |rules: &AclFile, topic| rules.decide(&who, client_id, Action::Receive { topic }) == Decision::Allow;
            let matches =
                |filter: &str, topic: &str| Filter::parse(filter).unwrap().matches(Topic::parse(topic).unwrap());
            let (lost, gained): (&[_], &[_]) = match &told {
                Fate::Same => (&[], &[]),
                Fate::Changed { lost, gained } => (lost, gained),
                Fate::Lost | Fate::Gained | Fate::Unclear => panic!("{told:?}"),
            };
            same += usize::from(told == Fate::Same);
            other += usize::from(told != Fate::Same);
            let mut changes = 0;
            for topic in topics.iter().filter(|topic| matches(filter, topic)) {
                let parts = match (may(&old, topic), may(&new, topic)) {
                    (true, false) => lost,
                    (false, true) => gained,
                    (true, true) | (false, false) => continue,
                };
                changes += 1;
                assert!(parts.iter().any(|part| matches(&part.filter, topic)), "{topic} of {filter}: {told:?}");
            }
            assert_eq!(changes == 0, told == Fate::Same, "{filter}: {told:?}");
        }
        assert!(same > 200 && other > 200, "{same} {other}");
    }
}
