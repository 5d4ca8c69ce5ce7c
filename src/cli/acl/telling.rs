//! The answer of `pregon acl explain`: the decision, the rule, and what is nearest to it.

use std::fmt::Write as _;
use std::io::{self, Write as _};

use crate::cli::arguments::acl::Explain;
use crate::cli::journal::row::{Row, Value};
use crate::engine::auth::Action;
use crate::engine::auth::acl::deliveries::{Deliveries, Part};
use crate::engine::auth::acl::explain::{Explanation, Near, Obstacle, Reason};
use crate::engine::auth::acl::rule::Rule;
use crate::shell::admission::{RuleFile, Rules};

/// Parts of a subscription that are told to people; a program gets them all.
const PARTS_TOLD_MAX: usize = 20;

/// What was asked and what is known about it.
pub struct Answer<'a> {
    /// What was asked for.
    pub arguments: &'a Explain,
    /// The same, read.
    pub action: Action<'a>,
    /// The file of rules, if there is one.
    pub file: Option<&'a RuleFile>,
    /// What it says.
    pub explanation: &'a Explanation<'a>,
    /// What a subscription would bring.
    pub deliveries: Option<Deliveries>,
}

impl Answer<'_> {
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
        let verdict = if self.explanation.is_allowed { "allowed" } else { "denied" };
        let mut text = format!("{verdict}: {}\n", self.wish());
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
        let Explain { user, client, .. } = self.arguments;
        let who = user.as_deref().map_or_else(|| "who has no name".into(), |name| name.escape_debug().to_string());
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

    fn tell_deliveries(&self, text: &mut String) {
        let Some(Deliveries { parts, is_complete }) = &self.deliveries else { return };
        if parts.len() == 1 && parts[0].is_delivered {
            return; // all that matches, by the right that was told
        }
        text.push_str("deliveries, the first line that matches a topic:\n");
        for part in parts.iter().take(PARTS_TOLD_MAX) {
            let what = if part.is_delivered { "delivered" } else { "withheld" };
            let by = self.rule_of(part).map_or_else(|| "no rule applies".into(), |rule| self.said(rule));
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
        self.file?.rules.all().get(part.rule?)
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
        let Explain { user, client, topic, .. } = self.arguments;
        let near =
            self.explanation.near.iter().map(|near| Value::Row(self.rule_row(near.rule).with("why", obstacle(near))));
        let row = Row::default()
            .with("allowed", self.explanation.is_allowed)
            .with_some("user", user.as_deref())
            .with("client", client.as_str())
            .with_some("topic", topic.as_deref())
            .with("reason", self.reason());
        let row = match self.decider() {
            Some(rule) => row.and(self.rule_row(rule)),
            None => row,
        };
        let row = if self.explanation.near.is_empty() { row } else { row.with("near", Value::List(near.collect())) };
        let Some(Deliveries { parts, is_complete }) = &self.deliveries else { return row };
        let parts = parts.iter().map(|part| {
            let row = Row::default().with("filter", &*part.filter).with("delivered", part.is_delivered);
            Value::Row(match self.rule_of(part) {
                Some(rule) => row.and(self.rule_row(rule)),
                None => row,
            })
        });
        row.with("deliveries", Value::List(parts.collect())).with("deliveries_complete", *is_complete)
    }

    fn rule_row(&self, rule: &Rule) -> Row<'_> {
        Row::default()
            .with("file", self.path())
            .with("line", rule.line)
            .with_some("number", self.number(rule))
            .with("rule", rule.to_string())
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
