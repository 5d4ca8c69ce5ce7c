//! What may be wrong with a configuration, said so that one can mend it: where, which key, what, and what would be right.

use core::fmt;
use core::slice;

use thiserror::Error;

use super::source::Place;
use crate::base::network::NetworkError;

/// Complaints that are told one by one; how many more there are is told in one line.
pub const COMPLAINTS_MAX: usize = 100;

/// Characters of a text that are repeated in a complaint about it.
const EXCERPT_CHARS_MAX: usize = 60;

/// What is wrong. Texts in it come from outside and are escaped.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[expect(missing_docs, reason = "the message of each variant is its documentation")]
pub enum Mistake {
    #[error("there are more than the {maximum} bytes that a configuration may have")]
    TextTooLong { maximum: usize },
    #[error("this is not UTF-8")]
    NotUtf8,
    #[error("no TOML: {0}")]
    Syntax(Box<str>),
    #[error("`{0}` is no assignment")]
    NotAnAssignment(Box<str>),
    #[error("there is no section of this name")]
    SectionUnknown,
    #[error("there is no such key")]
    KeyUnknown,
    #[error("the name of a section, but {found} stands here")]
    NotASection { found: &'static str },
    #[error("{found} does not belong here")]
    WrongType { found: &'static str },
    #[error("\"{0}\" is not one of the words known here")]
    WordUnknown(Box<str>),
    #[error("\"{text}\" is not a number")]
    NotANumber { text: Box<str> },
    #[error("the number is larger than any that fits")]
    TooLarge,
    #[error("{value} is out of bounds")]
    OutOfBounds { value: Box<str> },
    #[error("{number} of what? A unit is missing: {units}")]
    UnitMissing { number: Box<str>, units: &'static str },
    #[error("`{unit}` is not a unit: {units}")]
    UnitUnknown { unit: Box<str>, units: &'static str },
    #[error("units of time stand from the largest to the smallest, each once")]
    UnitOrder,
    #[error("a size has one number and one unit")]
    NotOneSize,
    #[error("finer than {finest}, which is what is kept")]
    TooFine { finest: &'static str },
    #[error("\"{text}\" is not an address and a port{}", suggestion(instead.as_deref()))]
    AddressInvalid { text: Box<str>, instead: Option<Box<str>> },
    #[error("\"{text}\" is IPv6 without brackets, so nobody can tell a port from it: \"[{text}]\" is an address{}", or(with_port.as_deref()))]
    AddressUnclear { text: Box<str>, with_port: Option<Box<str>> },
    #[error("the list is empty")]
    ListEmpty,
    #[error("the list has more than {maximum} entries")]
    ListTooLong { maximum: usize },
    #[error("{count} cores: one has a shard on 1 to {maximum}")]
    CoreCount { count: u64, maximum: usize },
    #[error("core {number} cannot be: the highest is {maximum}")]
    CoreNumber { number: u64, maximum: usize },
    #[error("core {core} stands there twice")]
    CoreTwice { core: usize },
    #[error("{first}-{last} goes backwards")]
    RangeBackwards { first: usize, last: usize },
    #[error("the log has no level \"{level}\"{}", suggestion(instead.as_deref()))]
    LevelUnknown { level: Box<str>, instead: Option<Box<str>> },
    #[error("the log has no area \"{area}\"{}", suggestion(instead.as_deref()))]
    AreaUnknown { area: Box<str>, instead: Option<Box<str>> },
    #[error("the log has two levels for {0}")]
    LevelTwice(Box<str>),
    #[error("no topic begins like that: {0}")]
    TopicInvalid(Box<str>),
    #[error("\"{text}\" is no text of 1 to {maximum} bytes without control characters")]
    TextInvalid { text: Box<str>, maximum: usize },
    #[error("no path: \"{0}\"")]
    PathInvalid(Box<str>),
    #[error("\"{text}\" is no socket in the file system: an absolute path of up to {maximum} bytes is one")]
    UnixInvalid { text: Box<str>, maximum: usize },
    #[error("\"{text}\" is no network device: its name has up to {maximum} bytes")]
    InterfaceInvalid { text: Box<str>, maximum: usize },
    #[error("\"{0}\" is no permission: three octal digits are one")]
    ModeInvalid(Box<str>),
    #[error("\"{text}\" is no path of a URL: it begins with a slash and has up to {maximum} bytes")]
    UrlPathInvalid { text: Box<str>, maximum: usize },
    #[error(
        "\"{text}\" is no address of a web server: https://host/path, without a user and a fragment, up to {maximum} bytes"
    )]
    WebUrlInvalid { text: Box<str>, maximum: usize },
    #[error("\"{text}\" is no origin as browsers send it{}", suggestion(instead.as_deref()))]
    OriginInvalid { text: Box<str>, instead: Option<Box<str>> },
    #[error("\"{text}\" is no network: {error}")]
    NetworkInvalid { text: Box<str>, error: NetworkError },
    #[error("\"{0}\" stands there twice")]
    WordTwice(&'static str),
    #[error("a listener is not called so: letters, digits, - and _ make a name, up to {maximum} of them")]
    ListenerName { maximum: usize },
    #[error("`{key}` is a key of [listeners]: a listener needs another name")]
    ListenerNameTaken { key: &'static str },
    #[error("a listener is called `{other}` already: names differ in more than capitals")]
    ListenerNameTwice { other: Box<str> },
    #[error("there are more than {maximum} listeners with a name")]
    ListenersTooMany { maximum: usize },
    #[error("a listener says where it listens, and nothing does here")]
    AddressMissing,
    #[error("a WebSocket has no usual port: one has to be said")]
    PortMissing,
    #[error("{0}")]
    Contradiction(Box<str>),
}

fn suggestion(instead: Option<&str>) -> String {
    instead.map_or_else(String::new, |instead| format!("; \"{instead}\" is one"))
}

fn or(with_port: Option<&str>) -> String {
    with_port.map_or_else(String::new, |address| format!(", \"{address}\" one with its port"))
}

/// Text from outside, fit for a line of a terminal: what does not print is escaped.
pub fn escaped(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    for letter in text.chars() {
        match letter {
            '"' | '\'' => shown.push(letter),
            _ => shown.extend(letter.escape_debug()),
        }
    }
    shown
}

/// The same, cut where it is long.
pub fn excerpt(text: &str) -> Box<str> {
    match text.char_indices().nth(EXCERPT_CHARS_MAX) {
        Some((end, _)) => format!("{}...", escaped(&text[..end])).into(),
        None => escaped(text).into(),
    }
}

/// What would be right instead.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Remedy {
    /// Nothing more is known.
    None,
    /// A name that is near to the one that was written.
    DidYouMean(Box<str>),
    /// What the key takes.
    Allowed(Box<str>),
}

/// One thing that is wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Complaint {
    /// Where it stands.
    pub place: Place,
    /// Section and key as they were written, where it is about one.
    pub key: Option<Box<str>>,
    /// What is wrong.
    pub mistake: Mistake,
    /// What would be right.
    pub remedy: Remedy,
}

/// One line: `pregon.toml:12:9: limits.connect_timeout: "10" ...; allowed: ...`.
impl fmt::Display for Complaint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.place)?;
        if let Some((_, column)) = self.place.at {
            write!(f, ":{column}")?;
        }
        if let Some(key) = &self.key {
            write!(f, ": {key}")?;
        }
        write!(f, ": {}", self.mistake)?;
        match &self.remedy {
            Remedy::None => Ok(()),
            Remedy::DidYouMean(name) => write!(f, "; did you mean {name}?"),
            Remedy::Allowed(what) => write!(f, "; allowed: {what}"),
        }
    }
}

/// Everything that is wrong, in the order of the sources and of their lines. At least one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Complaints(pub(super) Vec<Complaint>);

impl Complaints {
    /// One by one.
    pub fn iter(&self) -> slice::Iter<'_, Complaint> {
        self.0.iter()
    }
}

impl<'a> IntoIterator for &'a Complaints {
    type Item = &'a Complaint;
    type IntoIter = slice::Iter<'a, Complaint>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

/// One a line.
impl fmt::Display for Complaints {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, complaint) in self.0.iter().take(COMPLAINTS_MAX).enumerate() {
            let separator = if at == 0 { "" } else { "\n" };
            write!(f, "{separator}{complaint}")?;
        }
        match self.0.len().saturating_sub(COMPLAINTS_MAX) {
            0 => Ok(()),
            more => write!(f, "\nand {more} more"),
        }
    }
}

impl core::error::Error for Complaints {}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::source::Origin;

    #[test]
    fn text_from_outside_is_escaped_and_cut() {
        assert_eq!(&*excerpt("a\u{1b}[31m\n'\""), "a\\u{1b}[31m\\n'\"");
        assert_eq!(excerpt(&"ñ".repeat(61)).chars().count(), 63);
        assert_eq!(excerpt(&"ñ".repeat(60)).chars().count(), 60);
    }

    #[test]
    fn a_flood_of_complaints_is_counted() {
        let complaint = Complaint {
            place: Place { origin: Origin::File("a.toml".into()), at: Some((3, 5)) },
            key: Some("limits.x".into()),
            mistake: Mistake::KeyUnknown,
            remedy: Remedy::DidYouMean("limits.y".into()),
        };
        assert_eq!(complaint.to_string(), "a.toml:3:5: limits.x: there is no such key; did you mean limits.y?");
        let told = Complaints(vec![complaint; 103]).to_string();
        assert_eq!((told.lines().count(), told.lines().last()), (101, Some("and 3 more")));
    }
}
