//! What other rules would take from those who are here, and what they would give them: session by session, line by line.

use std::fmt::Write as _;
use std::sync::Arc;

use serde_json::{Map, Value};

use super::words::Form;
use crate::engine::auth::claims::Claimed;
use crate::engine::auth::difference::{Fate, Share, Wanted, fate};
use crate::engine::auth::identity::Identity;
use crate::engine::auth::policy::{Policy, placed};
use crate::engine::auth::{Action, Authoriser, ClientId, Decision, Ground};
use crate::engine::shard::listing::{Listed, Subscribed};
use crate::shell::admission::RuleFile;

/// The rules that are in force, beside others, and what has been found so far.
pub struct Comparison {
    policy: Arc<Policy>,
    new: RuleFile,
    new_path: String,
    form: Form,
    lost: u64,
    gained: u64,
    unclear: u64,
    sessions: u64,
    /// Those of them whose tokens say what they may do.
    claimed: u64,
    subscriptions: u64,
}

/// What becomes of something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Change {
    Lost,
    Gained,
    Unclear,
}

impl Change {
    const fn word(self) -> &'static str {
        match self {
            Self::Lost => "lost",
            Self::Gained => "gained",
            Self::Unclear => "unclear",
        }
    }
}

/// What it is that changes.
enum Thing<'a> {
    Connection,
    Will(&'a str),
    /// A subscription as its client calls it.
    Subscription(&'a str),
    /// A part of one.
    Part(&'a str, &'a str),
}

/// Whose it is.
struct Owner<'a> {
    who: &'a Identity,
    client_id: &'a str,
    is_connected: bool,
}

/// What decides on either side.
#[derive(Clone, Copy)]
struct Grounds {
    now: Ground,
    then: Ground,
}

impl Comparison {
    /// Of what is in force with these rules.
    pub fn new(policy: Arc<Policy>, new: RuleFile, form: Form) -> Self {
        let new_path = new.path.display().to_string();
        Self { policy, new, new_path, form, lost: 0, gained: 0, unclear: 0, sessions: 0, claimed: 0, subscriptions: 0 }
    }

    /// How much would be lost; what nobody can say counts as lost.
    pub fn lost(&self) -> u64 {
        self.lost + self.unclear
    }

    /// What has to be known of the rules that are in force, in a line; a program finds it in the summary.
    pub fn preface(&self) -> Option<String> {
        let is_told = self.form == Form::Text && self.policy.rules().is_cautious();
        is_told.then(|| {
            let path = self.policy.rules_file().replace('\n', " ");
            format!("note    {path} may be half written: what it gives counts only where it did before the change, too")
        })
    }

    /// What becomes of a session: a line for each thing that changes.
    pub fn judge(&mut self, session: &Listed) -> Vec<String> {
        let who = match session.address {
            Some(address) => placed(Arc::clone(&session.who), address, session.certificate.as_deref()),
            None => Arc::clone(&session.who),
        };
        let owner = Owner { who: &who, client_id: &session.client_id, is_connected: session.is_connected };
        self.subscriptions += session.subscriptions.len() as u64;
        let mut lines = Vec::new();
        if !session.goes_on {
            self.sessions += 1;
            self.claimed += u64::from(who.claims.is_some());
            self.judge_action(&owner, Action::Connect, &Thing::Connection, &mut lines);
        }
        if let Some(will) = &session.will {
            let action = Action::Will { topic: &will.topic, qos: will.qos, retain: will.retain };
            self.judge_action(&owner, action, &Thing::Will(&will.topic), &mut lines);
        }
        for subscribed in &session.subscriptions {
            self.judge_subscription(&owner, subscribed, &mut lines);
        }
        lines
    }

    /// What was found, in a line.
    pub fn summary(&self) -> String {
        let Self { lost, gained, unclear, sessions, claimed, subscriptions, .. } = *self;
        match self.form {
            Form::Text => {
                let unclear = if unclear > 0 { format!(", {unclear} unclear") } else { String::new() };
                let claimed = if claimed > 0 { format!(", {claimed} with claims") } else { String::new() };
                format!(
                    "{lost} lost, {gained} gained{unclear}: {subscriptions} subscriptions of {sessions} sessions{claimed}"
                )
            }
            Form::Json => {
                let counts = [
                    ("lost", lost),
                    ("gained", gained),
                    ("unclear", unclear),
                    ("sessions", sessions),
                    ("claims", claimed),
                    ("subscriptions", subscriptions),
                ];
                let counts = counts.map(|(name, count)| (name.to_owned(), Value::from(count)));
                let cautious = ("cautious".to_owned(), Value::from(self.policy.rules().is_cautious()));
                Value::Object(counts.into_iter().chain([cautious]).collect()).to_string()
            }
        }
    }

    fn judge_action(&mut self, owner: &Owner<'_>, action: Action<'_>, thing: &Thing<'_>, lines: &mut Vec<String>) {
        let client_id = ClientId::Text(owner.client_id);
        if owner.who.is_superuser {
            return; // no rule applies to it
        }
        let is_allowed = |rules: Claimed<'_>| rules.decide(owner.who, client_id, action) == Decision::Allow;
        let (old, new) = self.sides();
        let change = match (is_allowed(old), is_allowed(new)) {
            (true, false) => Change::Lost,
            (false, true) => Change::Gained,
            (true, true) | (false, false) => return,
        };
        let grounds =
            Grounds { now: old.ground(owner.who, client_id, action), then: new.ground(owner.who, client_id, action) };
        let line = self.line(change, owner, thing, grounds);
        self.count(change);
        lines.push(line);
    }

    fn judge_subscription(&mut self, owner: &Owner<'_>, subscribed: &Subscribed, lines: &mut Vec<String>) {
        let Subscribed { filter, qos, share } = subscribed;
        let client_id = ClientId::Text(owner.client_id);
        let is_shared = share.is_some();
        let (old, new) = self.sides();
        let wanted = Wanted { who: owner.who, client_id, filter, qos: *qos, is_shared };
        let action = Action::Subscribe { filter, qos: *qos, is_shared };
        let name = share.as_ref().map_or_else(|| filter.to_string(), |share| format!("$share/{share}/{filter}"));
        let whole = |change| {
            let grounds = Grounds {
                now: old.ground(owner.who, client_id, action),
                then: new.ground(owner.who, client_id, action),
            };
            vec![(change, self.line(change, owner, &Thing::Subscription(&name), grounds))]
        };
        let told: Vec<(Change, String)> = match fate(&old, &new, &wanted) {
            Fate::Same => return,
            Fate::Lost => whole(Change::Lost),
            Fate::Gained => whole(Change::Gained),
            Fate::Unclear => whole(Change::Unclear),
            Fate::Changed { lost, gained } => {
                let part = |change, share: &Share, now, then| {
                    (change, self.line(change, owner, &Thing::Part(&share.filter, &name), Grounds { now, then }))
                };
                let lost = lost.iter().map(|share| part(Change::Lost, share, share.delivers, share.withholds));
                let gained = gained.iter().map(|share| part(Change::Gained, share, share.withholds, share.delivers));
                lost.chain(gained).collect()
            }
        };
        for (change, line) in told {
            self.count(change);
            lines.push(line);
        }
    }

    /// The rules in force and those that are asked about, each within what tokens say: a right that a token does not give is nobody's to lose.
    fn sides(&self) -> (Claimed<'_>, Claimed<'_>) {
        (Claimed(self.policy.rules()), Claimed(self.new.rules.authoriser()))
    }

    fn count(&mut self, change: Change) {
        *match change {
            Change::Lost => &mut self.lost,
            Change::Gained => &mut self.gained,
            Change::Unclear => &mut self.unclear,
        } += 1;
    }

    fn line(&self, change: Change, owner: &Owner<'_>, thing: &Thing<'_>, grounds: Grounds) -> String {
        match self.form {
            Form::Text => self.text(change, owner, thing, grounds),
            Form::Json => self.row(change, owner, thing, grounds),
        }
    }

    /// `lost    alice as c1: subscribe home/#: /etc/pregon/rules.toml:9 -> new.toml: no rule`
    fn text(&self, change: Change, owner: &Owner<'_>, thing: &Thing<'_>, grounds: Grounds) -> String {
        let who =
            owner.who.user.as_deref().map_or_else(|| "who has no name".into(), |name| name.escape_debug().to_string());
        let mut text = format!("{:7} {who} as {}: ", change.word(), owner.client_id.escape_debug());
        let said = match thing {
            Thing::Connection => write!(text, "connect"),
            Thing::Will(topic) => write!(text, "will {}", topic.escape_debug()),
            Thing::Subscription(filter) => write!(text, "subscribe {}", filter.escape_debug()),
            Thing::Part(part, filter) => {
                write!(text, "receive {} by subscribe {}", part.escape_debug(), filter.escape_debug())
            }
        };
        said.expect("a string takes all text");
        let place = |path: &str, rules: Claimed<'_>, ground| {
            let before = if matches!(ground, Ground::Before(_)) { " before its last change" } else { "" };
            match (path, rules.rule(ground)) {
                ("", _) => "no rules".to_owned(),
                (path, Some(rule)) => format!("{path}:{}{before}", rule.line),
                (path, None) => format!("{path}: no rule{before}"),
            }
        };
        let (old, new) = self.sides();
        let (now, then) = (place(self.policy.rules_file(), old, grounds.now), place(&self.new_path, new, grounds.then));
        text.extend([": ", &now, " -> ", &then]);
        text.replace('\n', " ") // a path may have one
    }

    /// The same as a JSON object.
    fn row(&self, change: Change, owner: &Owner<'_>, thing: &Thing<'_>, grounds: Grounds) -> String {
        let (action, filter, part) = match *thing {
            Thing::Connection => ("connect", None, None),
            Thing::Will(topic) => ("will", Some(topic), None),
            Thing::Subscription(filter) => ("subscribe", Some(filter), None),
            Thing::Part(part, filter) => ("receive", Some(filter), Some(part)),
        };
        let place = |path: &str, rules: Claimed<'_>, ground| {
            let mut place = Map::new();
            if !path.is_empty() {
                place.insert("file".into(), path.into());
            }
            if let Some(rule) = rules.rule(ground) {
                place.insert("line".into(), rule.line.into());
            }
            if matches!(ground, Ground::Before(_)) {
                place.insert("before_change".into(), true.into());
            }
            Value::Object(place)
        };
        let mut row = Map::new();
        row.insert("change".into(), change.word().into());
        row.insert("client".into(), owner.client_id.into());
        row.insert("connected".into(), owner.is_connected.into());
        row.insert("claims".into(), owner.who.claims.is_some().into());
        row.insert("action".into(), action.into());
        for (name, value) in [("user", owner.who.user.as_deref()), ("topic", filter), ("part", part)] {
            if let Some(value) = value {
                row.insert(name.into(), value.into());
            }
        }
        let (old, new) = self.sides();
        row.insert("now".into(), place(self.policy.rules_file(), old, grounds.now));
        row.insert("then".into(), place(&self.new_path, new, grounds.then));
        Value::Object(row).to_string()
    }
}
