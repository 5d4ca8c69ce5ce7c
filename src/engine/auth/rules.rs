//! The file that operators write rules in: TOML, read whole or not at all.
//!
//! ```toml
//! [groups]                             # beside those that an authenticator knows
//! staff = ["alice", "bob"]
//!
//! [[rule]]                             # in their order: the first that applies decides
//! effect = "allow"                     # or "deny"
//! who = { user = "alice" }             # left out: everyone
//! qos_max = 1                          # of an allowing rule: it applies to no more than this
//! retain = false                       # of an allowing rule: it does not apply to what is to be retained
//! actions = ["publish", "subscribe"]
//! topics = ["sensors/%c/#", "status/+"]
//! ```
//! - `who` has `user`, `group`, `client`, `certificate` (SHA-256 in hexadecimal), `common_name`, `address` (or a network) and `anonymous`; each but the
//!   last may be a list, which is any of its entries; where there are several, all must hold. `client` takes [`ClientPattern`]s.
//! - `actions`: `publish` (wills too), `will`, `subscribe` (and what comes of it), `receive`, `all` of these; and `connect`, which stands alone and
//!   without topics.
//! - `topics` are [`Pattern`](super::pattern::Pattern)s. A shared subscription has the right of its filter, so none begins with `$share/`.
//! - What is not known refuses the whole text, with its line and column, and so does a text without a rule.
//! - A text that was cut gives nobody a right that the whole one does not: it is refused, or it is a list of which the last rules are missing, and
//!   what no rule allows is denied. So what makes a right smaller stands before what is needed to have it: groups before all rules, rules for
//!   `connect` before those with topics, of which there is one at least, and in an allowing rule `who`, `qos_max` and `retain` before the last of
//!   its other keys.
//!
//! [`ClientPattern`]: super::acl::who::ClientPattern

mod fault;
mod reader;
#[cfg(test)]
mod tests;

pub use fault::{Fault, RulesError, RulesFault};

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use self::reader::Reader;
use super::acl::rule::{Actions, Rule};
use super::acl::who::Groups;

/// Bytes of a file: rules for some 100,000 users. A longer one is refused unread.
pub const RULES_BYTES_MAX: usize = 16 << 20;

/// Complaints that are told of one text; the rest shows when these are mended.
pub const FAULTS_MAX: usize = 100;

/// Reads all rules of a text, in their order, and the groups that it makes.
pub fn parse(text: &str) -> Result<(Vec<Rule>, Groups), RulesError> {
    let mut reader = Reader::new(text);
    if text.len() > RULES_BYTES_MAX {
        reader.complain(0, Fault::TooLong);
        return Err(reader.into_error());
    }
    let table = match DeTable::parse(text) {
        Ok(table) => table,
        Err(error) => {
            let offset = error.span().map_or(0, |span| span.start);
            reader.complain(offset, Fault::Syntax(error.message().escape_debug().to_string().into()));
            return Err(reader.into_error());
        }
    };
    let (mut rules, mut groups) = (Vec::new(), Groups::default());
    let first_rule = table.get_ref().get("rule").map_or(text.len(), first_entry);
    for (name, value) in table.get_ref() {
        match name.get_ref().as_ref() {
            "rule" => rules = read_rules(&mut reader, value),
            "groups" => groups = reader.groups(name.span().start, value, first_rule),
            unknown => reader.complain(name.span().start, Fault::unknown_key(unknown, &["rule", "groups"])),
        }
    }
    if reader.is_content() {
        check_order(&mut reader, &rules);
    }
    if reader.is_content() { Ok((rules, groups)) } else { Err(reader.into_error()) }
}

/// Where the first rule begins.
fn first_entry(value: &Spanned<DeValue<'_>>) -> usize {
    match value.get_ref() {
        DeValue::Array(entries) => entries.iter().map(|entry| entry.span().start).min(),
        DeValue::String(_)
        | DeValue::Integer(_)
        | DeValue::Float(_)
        | DeValue::Boolean(_)
        | DeValue::Datetime(_)
        | DeValue::Table(_) => None,
    }
    .unwrap_or(value.span().start)
}

/// Whether rules stand in an order in which no cut lets anybody connect: nobody needs a rule for it where none allows it.
fn check_order(reader: &mut Reader<'_>, rules: &[Rule]) {
    let is_of_connect = |rule: &Rule| rule.actions.meets(Actions::CONNECT);
    let Some(first) = rules.iter().position(|rule| !is_of_connect(rule)) else {
        let fault = if rules.is_empty() { Fault::Empty } else { Fault::OnlyConnect };
        return reader.complain(0, fault);
    };
    for rule in rules[first..].iter().filter(|rule| is_of_connect(rule)) {
        reader.complain_of_line(rule.line, Fault::ConnectLate);
    }
}

fn read_rules(reader: &mut Reader<'_>, value: &Spanned<DeValue<'_>>) -> Vec<Rule> {
    let DeValue::Array(entries) = value.get_ref() else {
        reader.complain(value.span().start, Fault::wrong_type(value.get_ref(), "a table [[rule]] for each of them"));
        return Vec::new();
    };
    let mut rules = Vec::new();
    for entry in entries {
        if let DeValue::Table(keys) = entry.get_ref() {
            rules.extend(reader.rule(entry.span().start, keys));
        } else {
            reader.complain(entry.span().start, Fault::wrong_type(entry.get_ref(), "a table"));
        }
    }
    rules
}
