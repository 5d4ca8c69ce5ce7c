//! Rules as mosquitto writes them in its `acl_file`.
//!
//! ```text
//! topic read $SYS/broker/version         # of clients without a name: nobody is named yet
//! user alice
//! topic write sensors/%c/report          # here %c is no placeholder
//! topic deny sensors/secret/#
//! pattern readwrite home/%u/#            # of everybody, with %u and %c for the client's own names
//! ```
//! - `topic` is for the user above it; without an access it means `readwrite`. `write` is the right to publish, wills too; `read` is the
//!   right to be sent messages.
//! - What is denied is denied, wherever it stands: first the user's own lines, then those of everybody. What no line allows is denied.
//! - To subscribe needs no line, as in mosquitto: messages that a client may not read are withheld one by one.
//! - A text in which one line is no rule is refused as a whole, and so is one without any rule.
//! - A text that was cut in the middle of a line is refused: the last line needs its end. Behind which line it was cut nobody can see, and what
//!   the missing lines deny would be allowed: who wants to be sure has the text end with [`END`], and for a text that changes while it is
//!   in force there is [`Cautious`].
//!
//! [`Cautious`]: super::cautious::Cautious

use super::acl::Acl;
use super::acl::deliveries::Deliveries;
use super::acl::explain::{Explanation, Reason};
use super::acl::rule::{Actions, Effect, Rule};
use super::acl::who::{Condition, Groups, Who};
use super::identity::Identity;
use super::pattern::{Pattern, PatternError};
use super::{Action, Authoriser, ClientId, Decision, Ground};
use crate::base::hash::Seed;
use crate::mqtt::topic::Filter;

/// The line that ends a text that says that it is whole. To mosquitto it is a comment.
pub const END: &str = "# end";

/// What is wrong with such a text.
#[derive(thiserror::Error, Clone, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the message of each variant is its documentation")]
pub enum AclFileError {
    #[error("line {line}: {fault}")]
    Line { line: usize, fault: LineFault },
    #[error("there is no rule in it")]
    Empty,
    #[error("line {line}: no newline ends it: was the file cut?")]
    Cut { line: usize },
    #[error("the last line is not `{END}`, which auth.acl_end asks for: was the file cut?")]
    NoEnd,
    #[error("line {line}: `{END}` stands before the last line: what is behind it could be cut off")]
    EndInside { line: usize },
}

/// What is wrong with a line.
#[derive(thiserror::Error, Clone, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the message of each variant is its documentation")]
pub enum LineFault {
    #[error("`{0}` is no word of this file: user, topic or pattern")]
    Word(Box<str>),
    #[error("a name is missing behind `user`")]
    NoName,
    #[error("a topic is missing")]
    NoTopic,
    #[error("the topic `{topic}` is wrong: {error}")]
    Topic { topic: Box<str>, error: PatternError },
}

/// The rules of such a file. Shared by all shards; a reload makes new ones.
#[derive(Clone, Debug)]
pub struct AclFile {
    acl: Acl,
}

impl AclFile {
    /// Reads the text of a file.
    pub fn parse(text: &str, seed: Seed) -> Result<Self, AclFileError> {
        let (mut of_one, mut of_everybody) = (Vec::new(), Vec::new());
        let mut who = Condition::Anonymous(true);
        for (line, text) in (1..).zip(text.lines()) {
            let fault = |fault| AclFileError::Line { line, fault };
            let text = text.trim();
            if text.is_empty() || text.starts_with('#') {
                continue;
            }
            let (word, rest) = text.split_once(char::is_whitespace).unwrap_or((text, ""));
            let rest = rest.trim();
            match word {
                "user" if rest.is_empty() => return Err(fault(LineFault::NoName)),
                "user" => who = Condition::User([rest.into()].into()),
                "topic" => {
                    let who = Who::all(vec![who.clone()]);
                    of_one.push(rule(line, who, rest, Pattern::literal).map_err(fault)?);
                }
                "pattern" => of_everybody.push(rule(line, Who::everyone(), rest, Pattern::parse).map_err(fault)?),
                other => return Err(fault(LineFault::Word(other.into()))),
            }
        }
        if !text.is_empty() && !text.ends_with('\n') {
            return Err(AclFileError::Cut { line: text.lines().count() });
        }
        if of_one.is_empty() && of_everybody.is_empty() {
            return Err(AclFileError::Empty);
        }
        let rules = [of_one, of_everybody].into_iter().flat_map(denials_first).collect();
        Ok(Self { acl: Acl::new(rules, Groups::default(), seed) })
    }

    /// Whether a text says itself that it is whole: its last line is [`END`], and no other one.
    pub fn check_end(text: &str) -> Result<(), AclFileError> {
        match (1..).zip(text.lines()).find(|(_, line)| line.trim() == END) {
            None => Err(AclFileError::NoEnd),
            Some((line, _)) if line < text.lines().count() => Err(AclFileError::EndInside { line }),
            Some(_) => Ok(()),
        }
    }

    /// The rules in the order in which they decide, which is not that of the lines.
    pub fn rules(&self) -> &[Rule] {
        self.acl.rules()
    }

    /// The decision about this action, and why.
    pub fn explain<'a>(&'a self, who: &'a Identity, client_id: ClientId<'a>, action: Action<'a>) -> Explanation<'a> {
        match action {
            Action::Subscribe { filter, .. } if Filter::parse(filter).is_ok() => {
                Explanation { is_allowed: true, reason: Reason::SubscribeIsFree, near: Vec::new() }
            }
            Action::Subscribe { .. }
            | Action::Connect
            | Action::Publish { .. }
            | Action::Receive { .. }
            | Action::Will { .. } => self.acl.explain(who, client_id, action),
        }
    }
}

fn rule(
    line: usize,
    who: Who,
    text: &str,
    parse: fn(&str) -> Result<Pattern, PatternError>,
) -> Result<Rule, LineFault> {
    let (word, rest) = text.split_once(char::is_whitespace).unwrap_or((text, ""));
    let (effect, actions, topic) = match word {
        "read" => (Effect::Allow, Actions::RECEIVE, rest),
        "write" => (Effect::Allow, Actions::PUBLISH, rest),
        "readwrite" => (Effect::Allow, Actions::PUBLISH.with(Actions::RECEIVE), rest),
        "deny" => (Effect::Deny, Actions::PUBLISH.with(Actions::RECEIVE), rest),
        // A topic may have spaces in it.
        _ => (Effect::Allow, Actions::PUBLISH.with(Actions::RECEIVE), text),
    };
    let topic = topic.trim();
    if topic.is_empty() {
        return Err(LineFault::NoTopic);
    }
    let pattern = parse(topic).map_err(|error| LineFault::Topic { topic: topic.into(), error })?;
    Ok(Rule { line: u32::try_from(line).unwrap_or(u32::MAX), ..Rule::new(effect, who, actions, vec![pattern]) })
}

fn denials_first(mut rules: Vec<Rule>) -> Vec<Rule> {
    rules.sort_by_key(|rule| rule.effect != Effect::Deny);
    rules
}

impl Authoriser for AclFile {
    fn decide(&self, who: &Identity, client_id: ClientId<'_>, action: Action<'_>) -> Decision {
        match action {
            Action::Subscribe { filter, .. } if Filter::parse(filter).is_ok() => Decision::Allow,
            Action::Subscribe { .. } => Decision::Deny,
            Action::Connect | Action::Publish { .. } | Action::Receive { .. } | Action::Will { .. } => {
                self.acl.decide(who, client_id, action)
            }
        }
    }

    fn ground(&self, who: &Identity, client_id: ClientId<'_>, action: Action<'_>) -> Ground {
        if matches!(action, Action::Subscribe { .. }) {
            Ground::NoRule
        } else {
            self.acl.ground(who, client_id, action)
        }
    }

    fn rule(&self, ground: Ground) -> Option<&Rule> {
        self.acl.rule(ground)
    }

    fn checks_receive(&self) -> bool {
        true
    }

    fn deliveries(&self, who: &Identity, client_id: ClientId<'_>, filter: &str) -> Deliveries {
        self.acl.deliveries(who, client_id, filter)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mqtt::version::QoS;

    fn parse(text: &str) -> Result<AclFile, AclFileError> {
        AclFile::parse(text, Seed::new(1))
    }

    fn may(acl: &AclFile, user: Option<&str>, client_id: &str, action: Action<'_>) -> bool {
        let who = user.map_or_else(Identity::anonymous, |name| Identity::user(name, "password"));
        acl.decide(&who, ClientId::Text(client_id), action) == Decision::Allow
    }

    fn rights(acl: &AclFile, user: Option<&str>, topic: &str) -> (bool, bool) {
        let publish = Action::Publish { topic, qos: QoS::AtMostOnce, retain: true };
        (may(acl, user, "c1", Action::Receive { topic }), may(acl, user, "c1", publish))
    }

    #[test]
    fn lines_are_for_the_user_above_them_and_without_one_for_the_nameless() {
        let text = "topic read news/#\nuser alice\ntopic write a\ntopic b\nuser bob and son\n topic readwrite  c d \n";
        let acl = parse(text).unwrap();
        assert_eq!(rights(&acl, None, "news/today"), (true, false));
        assert_eq!(rights(&acl, Some("alice"), "news/today"), (false, false));
        assert_eq!(rights(&acl, Some("alice"), "a"), (false, true));
        assert_eq!(rights(&acl, Some("alice"), "b"), (true, true));
        assert_eq!(rights(&acl, Some("bob and son"), "c d"), (true, true));
        assert_eq!(rights(&acl, Some("bob and son"), "b"), (false, false));
    }

    #[test]
    fn a_denial_holds_wherever_it_stands_among_the_lines_of_its_user() {
        let text = "user alice\ntopic a/#\ntopic deny a/secret\npattern deny b/secret\npattern b/#\npattern a/secret\n";
        let acl = parse(text).unwrap();
        assert_eq!(rights(&acl, Some("alice"), "a/open"), (true, true));
        assert_eq!(rights(&acl, Some("alice"), "a/secret"), (false, false));
        assert_eq!(rights(&acl, Some("bob"), "a/secret"), (true, true), "it is denied to alice alone");
        assert_eq!(rights(&acl, Some("bob"), "b/secret"), (false, false));
    }

    #[test]
    fn placeholders_stand_in_patterns_and_nowhere_else() {
        let acl = parse("pattern home/%u/%c\nuser alice\ntopic own/%u\n").unwrap();
        assert_eq!(rights(&acl, Some("alice"), "home/alice/c1"), (true, true));
        assert_eq!(rights(&acl, Some("alice"), "home/bob/c1"), (false, false));
        assert_eq!(rights(&acl, None, "home/alice/c1"), (false, false), "who has no name is nobody's %u");
        assert_eq!(rights(&acl, Some("alice"), "own/alice"), (false, false));
        assert_eq!(rights(&acl, Some("alice"), "own/%u"), (true, true));
    }

    #[test]
    fn threat_6_a_name_with_wildcards_widens_no_pattern() {
        let acl = parse("pattern home/%u/#\npattern of/%c\n").unwrap();
        for name in ["+", "#", "a/b", ""] {
            assert_eq!(rights(&acl, Some(name), "home/alice/x"), (false, false), "{name:?}");
            assert!(!may(&acl, Some("alice"), name, Action::Receive { topic: "of/c1" }), "{name:?}");
        }
    }

    #[test]
    fn everybody_may_subscribe_and_is_sent_what_it_may_read() {
        let acl = parse("topic read a\n").unwrap();
        let filter = Action::Subscribe { filter: "#", qos: QoS::ExactlyOnce, is_shared: false };
        assert!(may(&acl, None, "c1", filter) && acl.checks_receive());
        assert_eq!((rights(&acl, None, "a"), rights(&acl, None, "b")), ((true, false), (false, false)));
    }

    #[test]
    fn threat_5_a_will_needs_the_right_to_publish() {
        let acl = parse("topic write a\ntopic read b\n").unwrap();
        let will = |topic| may(&acl, None, "c1", Action::Will { topic, qos: QoS::AtMostOnce, retain: false });
        assert!(will("a") && !will("b"));
    }

    #[test]
    fn threat_7_a_text_with_a_line_that_is_no_rule_is_refused_as_a_whole() {
        let faults = [
            ("users alice", LineFault::Word("users".into())),
            ("user", LineFault::NoName),
            ("topic", LineFault::NoTopic),
            ("topic read", LineFault::NoTopic),
            ("pattern deny  ", LineFault::NoTopic),
        ];
        for (line, fault) in faults {
            let error = parse(&format!("# good\ntopic a\n{line}\n")).expect_err(line);
            assert_eq!(error, AclFileError::Line { line: 3, fault }, "{line}");
        }
        for (text, line) in [("topic a", 1), ("topic a\nuser alice", 2), ("topic a\n\n# x", 3), ("topic a\r\n\r", 2)] {
            assert_eq!(parse(text).expect_err(text), AclFileError::Cut { line }, "{text:?}");
        }
        for line in ["topic a/#/b", "pattern a/x%u", "topic a+"] {
            let error = parse(line).expect_err(line);
            assert!(matches!(error, AclFileError::Line { line: 1, fault: LineFault::Topic { .. } }), "{line}: {error}");
        }
        for text in ["", "# nothing\n\n", "user alice\n"] {
            assert_eq!(parse(text).expect_err(text), AclFileError::Empty, "{text:?}");
        }
    }

    #[test]
    fn threat_7_a_text_that_says_that_it_is_whole_says_so_in_its_last_line() {
        for text in ["# end\n", "topic a\n# end\n", "topic a\r\n # end \r\n"] {
            assert_eq!(AclFile::check_end(text), Ok(()), "{text:?}");
        }
        for text in ["", "topic a\n", "topic a\n# the end\n", "topic a\n# en", "topic a\n#end\n"] {
            assert_eq!(AclFile::check_end(text), Err(AclFileError::NoEnd), "{text:?}");
        }
        for text in ["topic a\n# end\n\n", "topic a\n# end\ntopic deny b\n# end\n"] {
            assert_eq!(AclFile::check_end(text), Err(AclFileError::EndInside { line: 2 }), "{text:?}");
        }
    }
}
