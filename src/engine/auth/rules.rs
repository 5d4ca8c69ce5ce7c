//! Rules as text, one a line.
//!
//! ```text
//! # effect  who             actions   limits           pattern
//! deny      everyone        receive                    sensors/secret/#
//! allow     user alice      publish   qos 1 no-retain  sensors/%c/#
//! allow     group staff     subscribe                  sensors/#
//! deny      client toaster  connect
//! ```
//! - Who: `everyone`, `anonymous`, `user NAME`, `client ID`, `group NAME`.
//! - Actions, joined by commas: `publish` (wills too), `will`, `subscribe` (and what comes of it), `receive`, `all` of
//!   these, and `connect`, which stands alone and without a pattern.
//! - Limits, of an allowing rule only: it does not apply to more than this `qos`, or to what is to be retained.
//! - The pattern is the rest of the line: see [`Pattern`].
//! - Empty lines and lines that begin with `#` say nothing. One line that is no rule refuses the whole text.

use super::acl::{Actions, Effect, Rule, Who};
use super::pattern::{Pattern, PatternError};
use crate::mqtt::version::QoS;

/// A line that is no rule.
#[derive(thiserror::Error, Clone, Debug, PartialEq, Eq)]
#[error("line {line}: {fault}")]
pub struct RuleError {
    /// Which line, counted from one.
    pub line: usize,
    /// What is wrong with it.
    pub fault: RuleFault,
}

/// What is wrong with a rule.
#[derive(thiserror::Error, Clone, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the message of each variant is its documentation")]
pub enum RuleFault {
    #[error("`{0}` is neither allow nor deny")]
    Effect(Box<str>),
    #[error("`{0}` is nobody: everyone, anonymous, user NAME, client ID or group NAME")]
    Who(Box<str>),
    #[error("`{0}` is no action: publish, will, subscribe, receive, all or connect")]
    Action(Box<str>),
    #[error("connect stands alone and has neither limit nor pattern")]
    Connect,
    #[error("`{0}` is no quality of service")]
    QoS(Box<str>),
    #[error("only what is allowed can be limited")]
    LimitedDenial,
    #[error("the pattern `{pattern}` is wrong: {error}")]
    Pattern { pattern: Box<str>, error: PatternError },
}

/// Reads all rules of a text, in their order.
pub fn parse_rules(text: &str) -> Result<Vec<Rule>, RuleError> {
    let mut rules = Vec::new();
    for (line, text) in (1..).zip(text.lines()) {
        let text = text.trim();
        if !text.is_empty() && !text.starts_with('#') {
            rules.push(parse_rule(text).map_err(|fault| RuleError { line, fault })?);
        }
    }
    Ok(rules)
}

fn parse_rule(text: &str) -> Result<Rule, RuleFault> {
    let mut rest = text;
    let effect = match word(&mut rest) {
        "allow" => Effect::Allow,
        "deny" => Effect::Deny,
        other => return Err(RuleFault::Effect(other.into())),
    };
    let who = parse_who(&mut rest)?;
    let actions = parse_actions(word(&mut rest))?;
    if actions.meets(Actions::CONNECT) {
        let is_alone = actions == Actions::CONNECT && rest.is_empty();
        let rule = Rule { effect, who, actions, qos_max: QoS::ExactlyOnce, may_retain: true, pattern: None };
        return if is_alone { Ok(rule) } else { Err(RuleFault::Connect) };
    }
    let (qos_max, may_retain) = parse_limits(&mut rest)?;
    if effect == Effect::Deny && (qos_max, may_retain) != (QoS::ExactlyOnce, true) {
        return Err(RuleFault::LimitedDenial);
    }
    let wrong = |error| RuleFault::Pattern { pattern: rest.into(), error };
    let pattern = Some(Pattern::parse(rest).map_err(wrong)?);
    Ok(Rule { effect, who, actions, qos_max, may_retain, pattern })
}

fn parse_who(rest: &mut &str) -> Result<Who, RuleFault> {
    let kind = word(rest);
    let name: fn(Box<str>) -> Who = match kind {
        "everyone" => return Ok(Who::Everyone),
        "anonymous" => return Ok(Who::Anonymous),
        "user" => Who::User,
        "client" => Who::Client,
        "group" => Who::Group,
        other => return Err(RuleFault::Who(other.into())),
    };
    match word(rest) {
        "" => Err(RuleFault::Who(kind.into())),
        given => Ok(name(given.into())),
    }
}

fn parse_actions(words: &str) -> Result<Actions, RuleFault> {
    let mut actions = Actions::default();
    for word in words.split(',') {
        actions = actions.with(match word {
            "publish" => Actions::PUBLISH,
            "will" => Actions::WILL,
            "subscribe" => Actions::SUBSCRIBE,
            "receive" => Actions::RECEIVE,
            "all" => Actions::ALL,
            "connect" => Actions::CONNECT,
            other => return Err(RuleFault::Action(other.into())),
        });
    }
    Ok(actions)
}

fn parse_limits(rest: &mut &str) -> Result<(QoS, bool), RuleFault> {
    let (mut qos_max, mut may_retain) = (QoS::ExactlyOnce, true);
    loop {
        let mut ahead = *rest;
        match word(&mut ahead) {
            "qos" => {
                qos_max = match word(&mut ahead) {
                    "0" => QoS::AtMostOnce,
                    "1" => QoS::AtLeastOnce,
                    "2" => QoS::ExactlyOnce,
                    other => return Err(RuleFault::QoS(other.into())),
                };
            }
            "no-retain" => may_retain = false,
            _ => return Ok((qos_max, may_retain)),
        }
        *rest = ahead;
    }
}

/// Cuts the next word off; empty at the end.
fn word<'a>(rest: &mut &'a str) -> &'a str {
    let (word, after) = rest.split_once(char::is_whitespace).unwrap_or((rest, ""));
    *rest = after.trim_start();
    word
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rule_is_read_word_by_word() {
        let rules = parse_rules("  allow\tuser alice  publish,will qos 1 no-retain  a b/%c/#  ").unwrap();
        let expected = Rule {
            effect: Effect::Allow,
            who: Who::User("alice".into()),
            actions: Actions::PUBLISH,
            qos_max: QoS::AtLeastOnce,
            may_retain: false,
            pattern: Some(Pattern::parse("a b/%c/#").unwrap()),
        };
        assert_eq!(rules, [expected]);
    }

    #[test]
    fn threat_7_a_line_that_is_no_rule_refuses_the_whole_list_and_is_named() {
        let faults = [
            ("permit everyone all #", RuleFault::Effect("permit".into())),
            ("allow alice all #", RuleFault::Who("alice".into())),
            ("allow user", RuleFault::Who("user".into())),
            ("allow everyone read #", RuleFault::Action("read".into())),
            ("allow everyone publish,", RuleFault::Action("".into())),
            ("allow everyone", RuleFault::Action("".into())),
            ("deny everyone connect #", RuleFault::Connect),
            ("deny everyone connect,publish #", RuleFault::Connect),
            ("allow everyone publish qos 3 a", RuleFault::QoS("3".into())),
            ("deny everyone publish qos 1 a", RuleFault::LimitedDenial),
            ("deny everyone publish no-retain a", RuleFault::LimitedDenial),
        ];
        for (text, fault) in faults {
            let text = format!("# a good line before\nallow everyone all #\n{text}\nallow everyone all #");
            assert_eq!(parse_rules(&text).unwrap_err(), RuleError { line: 3, fault });
        }
        let error = parse_rules("allow everyone all a/#/b").unwrap_err();
        assert!(error.to_string().starts_with("line 1: the pattern `a/#/b` is wrong"), "{error}");
        assert!(parse_rules("allow everyone all").is_err(), "a missing pattern is not every topic");
    }
}
