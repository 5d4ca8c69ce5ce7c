//! The answer of `pregon acl explain`: the decision, the token and its claim, the rule, and what is nearest to it.

use std::fmt::Write as _;
use std::io::{self, Write as _};

use super::token::{Standing, Token};
use crate::cli::arguments::acl::Explain;
use crate::cli::journal::row::{Row, Value};
use crate::engine::auth::acl::deliveries::{Deliveries, Part};
use crate::engine::auth::acl::explain::{Explanation, Near, Obstacle, Reason};
use crate::engine::auth::acl::rule::Rule;
use crate::engine::auth::claims::Word;
use crate::engine::auth::identity::Identity;
use crate::engine::auth::{Action, Ground};
use crate::shell::admission::{RuleFile, Rules};

/// Parts of a subscription that are told to people; a program gets them all.
const PARTS_TOLD_MAX: usize = 20;

/// What was asked and what is known about it.
pub struct Answer<'a> {
    /// What was asked for.
    pub arguments: &'a Explain,
    /// Of whom.
    pub who: &'a Identity,
    /// What was asked for, read.
    pub action: Action<'a>,
    /// The file of rules, if there is one.
    pub file: Option<&'a RuleFile>,
    /// The token that the client comes with, if it was told.
    pub token: Option<&'a Token>,
    /// What the broker calls the claim of tokens that says what their users may do; none where it looks for none.
    pub claim_name: Option<&'a str>,
    /// What that says, where there is one.
    pub claim: Option<Word<'a>>,
    /// What the rules say.
    pub explanation: &'a Explanation<'a>,
    /// What a subscription would bring.
    pub deliveries: Option<Deliveries>,
}

impl Answer<'_> {
    /// What all of them say together.
    pub fn is_allowed(&self) -> bool {
        self.refusers().is_empty()
    }

    /// Who refuses it.
    fn refusers(&self) -> Vec<&'static str> {
        let token = self.token.is_some_and(Token::is_refused).then_some("token");
        let claim = matches!(self.claim, Some(Word::Misses(_))).then_some("claim");
        let rules = (!self.explanation.is_allowed).then_some("rules");
        [token, claim, rules].into_iter().flatten().collect()
    }

    /// Prints it.
    pub fn tell(&self, as_json: bool) -> io::Result<()> {
        let mut out = io::stdout().lock();
        if as_json {
            self.row().write_json(&mut out)?;
            return writeln!(out);
        }
        out.write_all(self.text().as_bytes())
    }

    /// For people.
    fn text(&self) -> String {
        let mut text = format!("{}: {}\n", verdict(self.is_allowed()), self.wish());
        if let Some(token) = self.token {
            text.extend(["token: ", &standing(token), "\n"]);
        }
        if let Some(claim) = self.claim_said() {
            let name = self.claim_name.map_or_else(String::new, |name| format!(" {}", name.escape_debug()));
            text.extend(["claim", &name, ": ", &claim, "\nrules: ", verdict(self.explanation.is_allowed), "\n"]);
        }
        if let Some(rule) = self.decider() {
            text.extend([&self.said(rule), "\n"]);
        }
        text.extend([&self.reason(), "\n"]);
        if !self.explanation.near.is_empty() {
            text.push_str("nearest rules that would allow it:\n");
        }
        for near in &self.explanation.near {
            text.extend(["  ", &self.said(near.rule), "\n    ", &obstacle(near), "\n"]);
        }
        self.tell_deliveries(&mut text);
        text
    }

    /// `alice as c1, publish a/b with QoS 1`
    fn wish(&self) -> String {
        let client = &self.arguments.client;
        let who =
            self.who.user.as_deref().map_or_else(|| "who has no name".into(), |name| name.escape_debug().to_string());
        let mut text = format!("{who} as {}, ", client.escape_debug());
        let said = match self.action {
            Action::Connect => write!(text, "connect"),
            Action::Publish { topic, qos, retain } => with_qos(&mut text, "publish", topic, qos as u8, retain),
            Action::Will { topic, qos, retain } => with_qos(&mut text, "will", topic, qos as u8, retain),
            Action::Subscribe { filter, qos, is_shared: _ } => {
                with_qos(&mut text, "subscribe", filter, qos as u8, false)
            }
            Action::Receive { topic } => write!(text, "receive {}", topic.escape_debug()),
        };
        said.expect("a string takes all text");
        text
    }

    /// The reason in a sentence.
    fn reason(&self) -> String {
        match &self.explanation.reason {
            Reason::Rule { unknown: Some(condition), .. } => {
                format!("nobody knows whether the client is {condition}; what is unknown counts against it")
            }
            Reason::Rule { pattern: Some(pattern), .. } => {
                let reaches = if matches!(self.action, Action::Subscribe { .. }) { "all of " } else { "" };
                let asked = self.arguments.topic.as_deref().unwrap_or_default();
                format!("`{}` reaches {reaches}`{}`", pattern.as_str().escape_debug(), asked.escape_debug())
            }
            Reason::Rule { pattern: None, .. } => {
                "it is the first rule about connecting that is about this client".into()
            }
            Reason::NoRule if self.file.is_none() => {
                "there is no file of rules: everybody may do everything but publish below $SYS".into()
            }
            Reason::NoRule => format!("{}: no rule applies, and what no rule allows is denied", self.path()),
            Reason::ConnectIsFree => format!("{}: no rule allows to connect, so none is needed", self.path()),
            Reason::SubscribeIsFree => {
                format!("{}: to subscribe needs no rule; what may not be read is withheld", self.path())
            }
            Reason::Malformed(error) => error.to_string(),
        }
    }

    /// What the token's claim says, in a sentence; nothing where nobody has spoken of tokens.
    fn claim_said(&self) -> Option<String> {
        let list = match self.action {
            Action::Connect | Action::Publish { .. } | Action::Will { .. } => "pub",
            Action::Subscribe { .. } | Action::Receive { .. } => "sub",
        };
        let topic = self.arguments.topic.as_deref().unwrap_or_default().escape_debug();
        let reaches = if matches!(self.action, Action::Subscribe { .. }) { "all of " } else { "" };
        Some(match self.claim {
            None if self.token.is_none() => return None,
            None if self.claim_name.is_none() => "auth.token_acl_claim names none, so rules alone decide".into(),
            None => "the token has none, so rules alone decide".into(),
            Some(Word::Nothing) => "it says nothing about who may connect".into(),
            Some(Word::Reaches(pattern)) => {
                format!("allowed: `{}` in `{list}` reaches {reaches}`{topic}`", pattern.as_str().escape_debug())
            }
            Some(Word::Misses(None)) => format!("denied: there is nothing in `{list}`"),
            Some(Word::Misses(Some((pattern, gap)))) => {
                let nearest = pattern.as_str().escape_debug();
                let differs = format!("`{nearest}` differs at level {}: {}", gap.level + 1, gap.cause);
                format!("denied: nothing in `{list}` reaches {reaches}`{topic}`; {differs}")
            }
        })
    }

    fn tell_deliveries(&self, text: &mut String) {
        let Some(Deliveries { parts, is_complete }) = &self.deliveries else { return };
        if parts.len() == 1 && parts[0].is_delivered {
            return; // all that matches, by the right that was told
        }
        text.push_str("deliveries, the first line that matches a topic:\n");
        for part in parts.iter().take(PARTS_TOLD_MAX) {
            let what = if part.is_delivered { "delivered" } else { "withheld" };
            let by = match (self.rule_of(part), part.ground) {
                (Some(rule), _) => self.said(rule),
                (None, Ground::Claims) => "the claim reaches no further".into(),
                (None, _) if part.is_delivered => "no rule is needed".into(),
                (None, Ground::Rule(_) | Ground::NoRule | Ground::Before(_)) => "no rule applies".into(),
            };
            let said = writeln!(text, "  {what:9}  {}  {by}", part.filter.escape_debug());
            said.expect("a string takes all text");
        }
        let untold = parts.len().saturating_sub(PARTS_TOLD_MAX);
        if untold > 0 {
            text.extend(["  and ", &untold.to_string(), " more\n"]);
        }
        if !is_complete {
            text.push_str("  and others: too many rules speak of this filter\n");
        }
    }

    fn decider(&self) -> Option<&Rule> {
        match &self.explanation.reason {
            Reason::Rule { rule, .. } => Some(rule),
            Reason::NoRule | Reason::ConnectIsFree | Reason::SubscribeIsFree | Reason::Malformed(_) => None,
        }
    }

    fn rule_of(&self, part: &Part) -> Option<&Rule> {
        self.file?.rules.authoriser().rule(part.ground)
    }

    fn path(&self) -> String {
        self.file.map_or_else(String::new, |file| file.path.display().to_string())
    }

    /// `rules.toml:12: rule 3: allow everyone to publish: a/#`; lines of mosquitto's file have no number beside.
    fn said(&self, rule: &Rule) -> String {
        match self.number(rule) {
            Some(number) => format!("{}:{}: rule {number}: {rule}", self.path(), rule.line),
            None => format!("{}:{}: {rule}", self.path(), rule.line),
        }
    }

    fn number(&self, rule: &Rule) -> Option<usize> {
        match self.file.map(|file| &file.rules)? {
            Rules::Own(acl) => acl.rules().iter().position(|known| core::ptr::eq(known, rule)).map(|at| at + 1),
            Rules::Mosquitto(_) => None,
        }
    }

    /// For programs.
    fn row(&self) -> Row<'_> {
        let Explain { client, topic, .. } = self.arguments;
        let refusers = self.refusers();
        let refused_by: Vec<Value<'_>> = refusers.iter().map(|refuser| Value::from(*refuser)).collect();
        let near =
            self.explanation.near.iter().map(|near| Value::Row(self.rule_row(near.rule).with("why", obstacle(near))));
        let row = Row::default()
            .with("allowed", refusers.is_empty())
            .with("refused_by", Value::List(refused_by))
            .with_some("user", self.who.user.as_deref())
            .with("client", client.as_str())
            .with_some("topic", topic.as_deref())
            .with_some("token", self.token.map(|token| Value::Row(token_row(token))))
            .with_some("claim", self.claim_row().map(Value::Row))
            .with("reason", self.reason());
        let row = match self.decider() {
            Some(rule) => row.and(self.rule_row(rule)),
            None => row,
        };
        let row = if self.explanation.near.is_empty() { row } else { row.with("near", Value::List(near.collect())) };
        let Some(Deliveries { parts, is_complete }) = &self.deliveries else { return row };
        let parts = parts.iter().map(|part| {
            let row = Row::default().with("filter", &*part.filter).with("delivered", part.is_delivered);
            Value::Row(match (self.rule_of(part), part.ground) {
                (Some(rule), _) => row.and(self.rule_row(rule)),
                (None, Ground::Claims) => row.with("by", "claim"),
                (None, Ground::Rule(_) | Ground::NoRule | Ground::Before(_)) => row,
            })
        });
        row.with("deliveries", Value::List(parts.collect())).with("deliveries_complete", *is_complete)
    }

    fn claim_row(&self) -> Option<Row<'_>> {
        let why = self.claim_said()?;
        let row = Row::default().with_some("name", self.claim_name);
        let row = match self.claim {
            None | Some(Word::Nothing) => row,
            Some(Word::Reaches(pattern)) => row.with("allowed", true).with("filter", pattern.as_str()),
            Some(Word::Misses(nearest)) => {
                row.with("allowed", false).with_some("nearest", nearest.map(|(pattern, _)| pattern.as_str()))
            }
        };
        Some(row.with("why", why))
    }

    fn rule_row(&self, rule: &Rule) -> Row<'_> {
        Row::default()
            .with("file", self.path())
            .with("line", rule.line)
            .with_some("number", self.number(rule))
            .with("rule", rule.to_string())
    }
}

const fn verdict(is_allowed: bool) -> &'static str {
    if is_allowed { "allowed" } else { "denied" }
}

/// Whether a token is believed, in a sentence.
fn standing(token: &Token) -> String {
    match &token.standing {
        Standing::Verified(keys) => format!("verified by {}", keys.display()),
        Standing::Unverified(why) => format!("not verified, {why}; it is taken for granted"),
        Standing::Refused(fault) => format!("refused, {fault}; what follows is said as if it held"),
    }
}

fn token_row(token: &Token) -> Row<'static> {
    let row = |word: &'static str| Row::default().with("verdict", word);
    match &token.standing {
        Standing::Verified(keys) => row("verified").with("keys", keys.display().to_string()),
        Standing::Unverified(why) => row("not verified").with("why", *why),
        Standing::Refused(fault) => row("refused").with("why", fault.to_string()),
    }
}

fn with_qos(text: &mut String, verb: &str, topic: &str, qos: u8, retain: bool) -> std::fmt::Result {
    let retained = if retain { ", retained" } else { "" };
    write!(text, "{verb} {} with QoS {qos}{retained}", topic.escape_debug())
}

/// Why a rule does not apply.
fn obstacle(near: &Near<'_>) -> String {
    match &near.obstacle {
        Obstacle::Qos => format!("it goes up to QoS {}", near.rule.qos_max as u8),
        Obstacle::Retain => "it is not about what is retained".into(),
        Obstacle::Who(condition) => format!("it is about others: {condition}"),
        Obstacle::Unknown(condition) => format!("nobody knows whether it is about this client: {condition}"),
        Obstacle::Pattern(pattern, gap) => {
            format!("`{}` differs at level {}: {}", pattern.as_str().escape_debug(), gap.level + 1, gap.cause)
        }
    }
}
