//! What may be wrong with a file of rules: where it stands, what it is, and what would be right.

use core::fmt;

use toml::de::DeValue;

use super::RULES_BYTES_MAX;
use crate::base::nearest::nearest_name;
use crate::base::network::NetworkError;
use crate::engine::auth::acl::who::ClientPatternError;
use crate::engine::auth::pattern::PatternError;

/// Characters of a text that are repeated in a complaint about it.
const EXCERPT_CHARS_MAX: usize = 60;

/// Everything that is wrong with a text, in its order. At least one thing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RulesError(pub(super) Vec<RulesFault>);

impl RulesError {
    /// One by one.
    pub fn faults(&self) -> &[RulesFault] {
        &self.0
    }
}

impl std::error::Error for RulesError {}

/// The first thing, and how many more there are.
impl fmt::Display for RulesError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.as_slice() {
            [] => f.write_str("something is wrong"),
            [only] => write!(f, "{only}"),
            [first, more @ ..] => write!(f, "{first} (and {} more)", more.len()),
        }
    }
}

/// One thing that is wrong. Line and column are counted from one.
#[derive(thiserror::Error, Clone, Debug, PartialEq, Eq)]
#[error("{line}:{column}: {fault}")]
pub struct RulesFault {
    /// The line.
    pub line: usize,
    /// The character in it.
    pub column: usize,
    /// What is wrong there.
    pub fault: Fault,
}

/// What is wrong. Texts in it come from the file and are escaped.
#[derive(thiserror::Error, Clone, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the message of each variant is its documentation")]
pub enum Fault {
    #[error("there are more than the {RULES_BYTES_MAX} bytes that rules may have")]
    TooLong,
    #[error("no TOML: {0}")]
    Syntax(Box<str>),
    #[error("there is no rule in it")]
    Empty,
    #[error("there is no key {name} here{}; allowed: {allowed}", meant(instead.as_deref()))]
    KeyUnknown { name: Box<str>, instead: Option<Box<str>>, allowed: Box<str> },
    #[error("`{word}` is none of the words known here{}; allowed: {allowed}", meant(instead.as_deref()))]
    WordUnknown { word: Box<str>, instead: Option<Box<str>>, allowed: Box<str> },
    #[error("{found} does not belong here; allowed: {allowed}")]
    WrongType { found: &'static str, allowed: &'static str },
    #[error("the rule has no {0}")]
    Missing(&'static str),
    #[error("the list is empty")]
    ListEmpty,
    #[error("the text is empty")]
    TextEmpty,
    #[error("`connect` stands alone: it has no topic, so no other action stands beside it")]
    ConnectBeside,
    #[error("the right to connect has no {0}")]
    ConnectWith(&'static str),
    #[error(
        "rules for `connect` stand before all others: a file that was cut in front of one would let everybody connect"
    )]
    ConnectLate,
    #[error("there is no rule about a topic in it, so nobody may do anything: it was cut, or is no list of rules")]
    OnlyConnect,
    #[error("groups stand before all rules: a file that was cut in front of them would deny nothing to whom they name")]
    GroupsLate,
    #[error(
        "{0} stands before the last of effect, actions and topics: a file that was cut in front of it would allow more"
    )]
    Late(&'static str),
    #[error("only what is allowed can be limited: a denial that holds for a part of it would let the rest through")]
    LimitedDenial,
    #[error("{limit} limits nothing where neither of {of} is allowed")]
    LimitsNothing { limit: &'static str, of: &'static str },
    #[error("{number} is no quality of service; allowed: 0, 1, 2")]
    Qos { number: Box<str> },
    #[error("the topic `{text}` is wrong: {error}")]
    Topic { text: Box<str>, error: PatternError },
    #[error("a shared subscription has the right of its filter: write `{filter}` alone")]
    Shared { filter: Box<str> },
    #[error("the client `{text}` is wrong: {error}")]
    Client { text: Box<str>, error: ClientPatternError },
    #[error("the address `{text}` is wrong: {error}")]
    Address { text: Box<str>, error: NetworkError },
    #[error("`{0}` is no fingerprint: SHA-256 has 64 hexadecimal digits, with a colon behind every two or with none")]
    Fingerprint(Box<str>),
    #[error("who has no name is none of these users: the rule is about nobody")]
    NobodyIsBoth,
}

impl Fault {
    /// A key that nobody knows.
    pub(super) fn unknown_key(name: &str, known: &[&str]) -> Self {
        let instead = nearest_name(name, known.iter().copied());
        Self::KeyUnknown { name: excerpt(name), instead, allowed: known.join(", ").into() }
    }

    /// A word that nobody knows.
    pub(super) fn unknown_word(word: &str, known: &[&str]) -> Self {
        let instead = nearest_name(word, known.iter().copied());
        Self::WordUnknown { word: excerpt(word), instead, allowed: known.join(", ").into() }
    }

    /// A value of another kind than the one that is wanted.
    pub(super) fn wrong_type(found: &DeValue<'_>, allowed: &'static str) -> Self {
        let found = match found {
            DeValue::String(_) => "text",
            DeValue::Integer(_) => "a number",
            DeValue::Float(_) => "a number with a fraction",
            DeValue::Boolean(_) => "true or false",
            DeValue::Datetime(_) => "a date",
            DeValue::Array(_) => "a list",
            DeValue::Table(_) => "a table",
        };
        Self::WrongType { found, allowed }
    }
}

fn meant(instead: Option<&str>) -> String {
    instead.map_or_else(String::new, |instead| format!("; did you mean {instead}?"))
}

/// Text of the file, fit for a line of a terminal.
pub(super) fn excerpt(text: &str) -> Box<str> {
    match text.char_indices().nth(EXCERPT_CHARS_MAX) {
        Some((end, _)) => format!("{}...", text[..end].escape_debug()).into(),
        None => text.escape_debug().to_string().into(),
    }
}
