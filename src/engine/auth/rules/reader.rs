//! From the values of a TOML text to rules, with the place of everything that is none.

use core::ops::Range;

use toml::Spanned;
use toml::de::{DeInteger, DeTable, DeValue};

use super::FAULTS_MAX;
use super::fault::{Fault, RulesError, RulesFault, excerpt};
use crate::base::network::Network;
use crate::engine::auth::acl::rule::{Actions, Effect, Rule};
use crate::engine::auth::acl::who::{ClientPattern, Condition, Groups, Who, parse_fingerprint};
use crate::engine::auth::pattern::Pattern;
use crate::mqtt::version::QoS;

/// What a text in a list, or alone, is called in a complaint.
const TEXTS: &str = "a text, or a list of texts";

/// The start of a subscription that several clients share.
const SHARE_PREFIX: &str = "$share/";

/// Reads one text and remembers what is wrong with it.
pub(super) struct Reader<'a> {
    text: &'a str,
    /// Where each line begins.
    lines: Vec<usize>,
    faults: Vec<(usize, Fault)>,
}

/// A text of the file and where it stands.
type Placed<'a> = (&'a str, Range<usize>);

/// What the keys of a rule say, as far as they could be read.
#[derive(Default)]
struct Draft {
    effect: Option<Effect>,
    who: Who,
    actions: Option<Actions>,
    topics: Option<(Vec<Pattern>, usize)>,
    qos_max: Option<(QoS, usize)>,
    retain: Option<(bool, usize)>,
    /// Where the last of the keys begins without which it is no rule.
    needs_until: usize,
    /// Where the last of those begins that make a right smaller, and which one it is.
    narrows_until: Option<(usize, &'static str)>,
    /// Whether some key is there that could not be read, or is none.
    is_faulty: bool,
}

impl Draft {
    /// A key of this name that makes a right smaller begins here.
    fn narrows(&mut self, at: usize, name: &'static str) {
        if self.narrows_until.is_none_or(|(last, _)| last < at) {
            self.narrows_until = Some((at, name));
        }
    }
}

impl<'a> Reader<'a> {
    pub(super) fn new(text: &'a str) -> Self {
        let behind = text.match_indices('\n').map(|(newline, _)| newline + 1);
        Self { text, lines: core::iter::once(0).chain(behind).collect(), faults: Vec::new() }
    }

    /// Something is wrong at this byte.
    pub(super) fn complain(&mut self, offset: usize, fault: Fault) {
        self.faults.push((offset, fault));
    }

    /// Something is wrong with what begins in this line.
    pub(super) fn complain_of_line(&mut self, line: u32, fault: Fault) {
        let start = self.lines.get((line as usize).saturating_sub(1)).copied();
        self.complain(start.unwrap_or_default(), fault);
    }

    /// Whether nothing is wrong so far.
    pub(super) fn is_content(&self) -> bool {
        self.faults.is_empty()
    }

    /// Everything that is wrong, in the order of the text.
    pub(super) fn into_error(mut self) -> RulesError {
        self.faults.sort_by_key(|(offset, _)| *offset);
        self.faults.truncate(FAULTS_MAX);
        let faults = core::mem::take(&mut self.faults).into_iter();
        let placed = faults.map(|(offset, fault)| {
            let line = self.line(offset);
            let start = self.lines[line - 1];
            let before = &self.text[start..self.text.floor_char_boundary(offset.max(start))];
            let column = before.trim_start_matches('\u{feff}').chars().count() + 1;
            RulesFault { line, column, fault }
        });
        RulesError(placed.collect())
    }

    /// The line of a byte, from one.
    fn line(&self, offset: usize) -> usize {
        self.lines.partition_point(|start| *start <= offset).max(1)
    }

    /// `[groups]`: users by the name of their group. All of them stand before the first rule.
    pub(super) fn groups(&mut self, at: usize, value: &Spanned<DeValue<'_>>, first_rule: usize) -> Groups {
        let DeValue::Table(table) = value.get_ref() else {
            self.complain(value.span().start, Fault::wrong_type(value.get_ref(), "a table of groups"));
            return Groups::default();
        };
        let starts = table.keys().map(|name| name.span().start).chain([at]);
        if let Some(late) = starts.filter(|start| *start > first_rule).min() {
            self.complain(late, Fault::GroupsLate);
        }
        let mut groups = Vec::new();
        for (name, members) in table {
            if name.get_ref().is_empty() {
                self.complain(name.span().start, Fault::TextEmpty);
            }
            let members = self.names(members).unwrap_or_default();
            groups.push((name.get_ref().as_ref().into(), members.into_vec()));
        }
        Groups::new(groups)
    }

    /// One `[[rule]]`, whose header stands at this byte.
    pub(super) fn rule(&mut self, at: usize, keys: &DeTable<'_>) -> Option<Rule> {
        let faults_before = self.faults.len();
        let mut draft = Draft::default();
        for (name, value) in keys {
            self.key(&mut draft, name.get_ref().as_ref(), name.span().start, value);
        }
        self.check_order(at, &draft);
        let Draft { effect, who, actions, topics, qos_max, retain, is_faulty, .. } = draft;
        if !is_faulty {
            let missing = [("effect", effect.is_none()), ("actions", actions.is_none())];
            missing.iter().filter(|(_, is)| *is).for_each(|(key, _)| self.complain(at, Fault::Missing(key)));
        }
        let (effect, actions) = (effect?, actions?);
        if actions.meets(Actions::CONNECT) {
            let with = [
                ("topics", topics.as_ref().map(|(_, at)| *at)),
                ("qos_max", qos_max.map(|(_, at)| at)),
                ("retain", retain.map(|(_, at)| at)),
            ];
            for (key, at) in with.into_iter().filter_map(|(key, at)| Some((key, at?))) {
                self.complain(at, Fault::ConnectWith(key));
            }
        } else if topics.is_none() && !is_faulty {
            self.complain(at, Fault::Missing("topics"));
        }
        self.check_limits(effect, actions, qos_max, retain);
        if self.faults.len() > faults_before {
            return None;
        }
        let patterns = topics.map(|(patterns, _)| patterns).unwrap_or_default();
        Some(Rule {
            qos_max: qos_max.map_or(QoS::ExactlyOnce, |(qos, _)| qos),
            may_retain: retain.is_none_or(|(retain, _)| retain),
            line: u32::try_from(self.line(at)).unwrap_or(u32::MAX),
            ..Rule::new(effect, who, actions, patterns)
        })
    }

    fn key(&mut self, draft: &mut Draft, name: &str, at: usize, value: &Spanned<DeValue<'_>>) {
        let before = self.faults.len();
        match name {
            "effect" => draft.effect = self.effect(value),
            "who" => draft.who = self.who(value),
            "actions" => draft.actions = self.actions(value),
            "topics" => draft.topics = self.topics(value).map(|topics| (topics, at)),
            "qos_max" => draft.qos_max = self.qos(value).map(|qos| (qos, at)),
            "retain" => draft.retain = self.flag(value).map(|retain| (retain, at)),
            unknown => {
                let known = ["effect", "who", "actions", "topics", "qos_max", "retain"];
                self.complain(at, Fault::unknown_key(unknown, &known));
            }
        }
        match name {
            "who" => {
                let inside = value.get_ref().as_table().into_iter().flat_map(|keys| keys.keys());
                let last = inside.map(|name| name.span().start).max().unwrap_or(at).max(at);
                draft.narrows(last, "who");
            }
            "qos_max" => draft.narrows(at, "qos_max"),
            "retain" => draft.narrows(at, "retain"),
            _ => draft.needs_until = draft.needs_until.max(at),
        }
        draft.is_faulty |= self.faults.len() > before;
    }

    /// What makes an allowing rule smaller is not its last word: else a text that was cut in front of it would allow more. In braces it may
    /// be, for they are closed behind it.
    fn check_order(&mut self, at: usize, draft: &Draft) {
        let is_in_braces = self.text.as_bytes().get(at) == Some(&b'{');
        if let Some((late, key)) = draft.narrows_until.filter(|(at, _)| *at > draft.needs_until)
            && draft.effect == Some(Effect::Allow)
            && !is_in_braces
        {
            self.complain(late, Fault::Late(key));
        }
    }

    /// A limit that is none misleads whoever wrote it.
    fn check_limits(
        &mut self,
        effect: Effect,
        actions: Actions,
        qos_max: Option<(QoS, usize)>,
        retain: Option<(bool, usize)>,
    ) {
        let limits = [
            (
                "qos_max",
                qos_max.map(|(_, at)| at),
                "publish, will and subscribe",
                Actions::PUBLISH.with(Actions::SUBSCRIBE_ONLY),
            ),
            ("retain", retain.map(|(_, at)| at), "publish and will", Actions::PUBLISH),
        ];
        for (limit, at, of, actions_of) in limits {
            let Some(at) = at else { continue };
            if effect == Effect::Deny {
                self.complain(at, Fault::LimitedDenial);
            } else if !actions.meets(actions_of) && !actions.meets(Actions::CONNECT) {
                self.complain(at, Fault::LimitsNothing { limit, of });
            }
        }
    }

    fn effect(&mut self, value: &Spanned<DeValue<'_>>) -> Option<Effect> {
        let fault = if let DeValue::String(word) = value.get_ref() {
            match word.as_ref() {
                "allow" => return Some(Effect::Allow),
                "deny" => return Some(Effect::Deny),
                word => Fault::unknown_word(word, &["allow", "deny"]),
            }
        } else {
            Fault::wrong_type(value.get_ref(), "\"allow\", \"deny\"")
        };
        self.complain(value.span().start, fault);
        None
    }

    fn actions(&mut self, value: &Spanned<DeValue<'_>>) -> Option<Actions> {
        const WORDS: [(&str, Actions); 6] = [
            ("publish", Actions::PUBLISH),
            ("will", Actions::WILL),
            ("subscribe", Actions::SUBSCRIBE),
            ("receive", Actions::RECEIVE),
            ("all", Actions::ALL),
            ("connect", Actions::CONNECT),
        ];
        let mut actions = Actions::default();
        for (word, span) in self.texts(value)? {
            match WORDS.iter().find(|(known, _)| *known == word) {
                Some((_, meant)) => actions = actions.with(*meant),
                None => self.complain(span.start, Fault::unknown_word(word, &WORDS.map(|(known, _)| known))),
            }
        }
        if actions.meets(Actions::CONNECT) && actions != Actions::CONNECT {
            self.complain(value.span().start, Fault::ConnectBeside);
        }
        Some(actions)
    }

    fn topics(&mut self, value: &Spanned<DeValue<'_>>) -> Option<Vec<Pattern>> {
        self.each(value, |text| {
            if let Some((_, filter)) = text.strip_prefix(SHARE_PREFIX).and_then(|rest| rest.split_once('/')) {
                return Err(Fault::Shared { filter: excerpt(filter) });
            }
            Pattern::parse(text).map_err(|error| Fault::Topic { text: excerpt(text), error })
        })
    }

    fn who(&mut self, value: &Spanned<DeValue<'_>>) -> Who {
        let DeValue::Table(keys) = value.get_ref() else {
            self.complain(value.span().start, Fault::wrong_type(value.get_ref(), "a table like { user = \"alice\" }"));
            return Who::everyone();
        };
        if keys.is_empty() {
            self.complain(value.span().start, Fault::ListEmpty); // left out it is everyone; empty it may be a mistake
        }
        let conditions: Vec<Condition> = keys
            .iter()
            .filter_map(|(name, value)| self.condition(name.get_ref().as_ref(), name.span().start, value))
            .collect();
        let has_no_name = conditions.contains(&Condition::Anonymous(true));
        if has_no_name && conditions.iter().any(|condition| matches!(condition, Condition::User(_))) {
            self.complain(value.span().start, Fault::NobodyIsBoth);
        }
        Who::all(conditions)
    }

    fn condition(&mut self, name: &str, at: usize, value: &Spanned<DeValue<'_>>) -> Option<Condition> {
        match name {
            "anonymous" => self.flag(value).map(Condition::Anonymous),
            "user" => self.names(value).map(Condition::User),
            "group" => self.names(value).map(Condition::Group),
            "common_name" => self.names(value).map(Condition::CommonName),
            "client" => {
                let parse = |text: &str| {
                    ClientPattern::parse(text).map_err(|error| Fault::Client { text: excerpt(text), error })
                };
                self.each(value, parse).map(|patterns| Condition::Client(patterns.into()))
            }
            "certificate" => {
                let parse = |text: &str| parse_fingerprint(text).ok_or_else(|| Fault::Fingerprint(excerpt(text)));
                self.each(value, parse).map(|prints| Condition::Certificate(prints.into()))
            }
            "address" => {
                let parse =
                    |text: &str| Network::parse(text).map_err(|error| Fault::Address { text: excerpt(text), error });
                self.each(value, parse).map(|networks| Condition::Address(networks.into()))
            }
            unknown => {
                let known = ["user", "group", "client", "certificate", "common_name", "address", "anonymous"];
                self.complain(at, Fault::unknown_key(unknown, &known));
                None
            }
        }
    }

    fn qos(&mut self, value: &Spanned<DeValue<'_>>) -> Option<QoS> {
        let DeValue::Integer(number) = value.get_ref() else {
            self.complain(value.span().start, Fault::wrong_type(value.get_ref(), "0, 1, 2"));
            return None;
        };
        let qos = whole(number).and_then(QoS::from_bits);
        if qos.is_none() {
            self.complain(value.span().start, Fault::Qos { number: excerpt(number.as_str()) });
        }
        qos
    }

    fn flag(&mut self, value: &Spanned<DeValue<'_>>) -> Option<bool> {
        if let DeValue::Boolean(flag) = value.get_ref() {
            return Some(*flag);
        }
        self.complain(value.span().start, Fault::wrong_type(value.get_ref(), "true, false"));
        None
    }

    /// Names that are compared as they are.
    fn names(&mut self, value: &Spanned<DeValue<'_>>) -> Option<Box<[Box<str>]>> {
        self.each(value, |text| Ok(text.into())).map(Vec::into_boxed_slice)
    }

    /// Every text of the value, read; nothing where one could not be.
    fn each<T>(&mut self, value: &Spanned<DeValue<'_>>, read: impl Fn(&str) -> Result<T, Fault>) -> Option<Vec<T>> {
        let before = self.faults.len();
        let mut all = Vec::new();
        for (text, span) in self.texts(value)? {
            match read(text) {
                Ok(one) => all.push(one),
                Err(fault) => self.complain(span.start, fault),
            }
        }
        (self.faults.len() == before).then_some(all)
    }

    /// A text, or a list of some; none of them is empty.
    fn texts<'v>(&mut self, value: &'v Spanned<DeValue<'_>>) -> Option<Vec<Placed<'v>>> {
        let mut texts: Vec<Placed<'v>> = Vec::new();
        let before = self.faults.len();
        let entries = match value.get_ref() {
            DeValue::Array(entries) if entries.is_empty() => {
                self.complain(value.span().start, Fault::ListEmpty);
                return None;
            }
            DeValue::Array(entries) => entries.iter().collect(),
            DeValue::String(_)
            | DeValue::Integer(_)
            | DeValue::Float(_)
            | DeValue::Boolean(_)
            | DeValue::Datetime(_)
            | DeValue::Table(_) => vec![value],
        };
        for entry in entries {
            let DeValue::String(text) = entry.get_ref() else {
                self.complain(entry.span().start, Fault::wrong_type(entry.get_ref(), TEXTS));
                continue;
            };
            if text.is_empty() {
                self.complain(entry.span().start, Fault::TextEmpty);
            }
            texts.push((text, entry.span()));
        }
        (self.faults.len() == before).then_some(texts)
    }
}

fn whole(number: &DeInteger<'_>) -> Option<u8> {
    u8::from_str_radix(number.as_str(), number.radix()).ok()
}
