//! Whom a rule is about: conditions on what is known of a client, all of which must hold.

use core::fmt;

use super::question::Question;
use crate::base::network::Network;
use crate::engine::auth::identity::CommonName;
use crate::engine::auth::pattern::stands_for_itself;

/// What is wrong with a pattern of client identifiers.
#[derive(thiserror::Error, Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClientPatternError {
    /// It would be the identifier of nobody.
    #[error("it is empty")]
    Empty,
    /// A star in the middle.
    #[error("a `*` stands for the rest and ends the text")]
    StarInside,
    /// Two names that may be of any length: nobody could say which part is whose.
    #[error("`%u` stands there once")]
    TwoNames,
    /// The identifier compared with itself.
    #[error("`%c` is the client identifier itself and says nothing here")]
    Itself,
}

/// Client identifiers: one, or with a `*` at its end all that begin so; `%u` in it is the user's name.
///
/// A name is compared and never read: a `*` in it is a star. A name that could mean more than itself elsewhere (with `+`, `#`,
/// `/` or U+0000 in it, or an empty one) stands for nothing here, too.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClientPattern {
    text: Box<str>,
}

impl ClientPattern {
    /// Checks that the text is such a pattern.
    pub fn parse(text: &str) -> Result<Self, ClientPatternError> {
        let body = text.strip_suffix('*').unwrap_or(text);
        if text.is_empty() {
            return Err(ClientPatternError::Empty);
        }
        if body.contains('*') {
            return Err(ClientPatternError::StarInside);
        }
        if body.contains("%c") {
            return Err(ClientPatternError::Itself);
        }
        if body.matches("%u").count() > 1 {
            return Err(ClientPatternError::TwoNames);
        }
        Ok(Self { text: text.into() })
    }

    /// The pattern as it was written.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The one identifier that it stands for, whoever asks.
    pub fn exact(&self) -> Option<&str> {
        (!self.text.ends_with('*') && !self.text.contains("%u")).then_some(&*self.text)
    }

    /// Whether the identifier is one of these, for a client of this user name.
    pub fn matches(&self, user: Option<&str>, client_id: &str) -> bool {
        let (body, is_whole) = match self.text.strip_suffix('*') {
            Some(body) => (body, false),
            None => (&*self.text, true),
        };
        let (before, name, after) = match body.split_once("%u") {
            None => (body, "", ""),
            Some((before, after)) => match user.filter(|name| stands_for_itself(name)) {
                Some(name) => (before, name, after),
                None => return false,
            },
        };
        let rest = client_id.strip_prefix(before).and_then(|rest| rest.strip_prefix(name));
        let rest = rest.and_then(|rest| rest.strip_prefix(after));
        rest.is_some_and(|rest| rest.is_empty() || !is_whole)
    }
}

/// One thing that must hold: a list is any of its entries.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Condition {
    /// It proved no name, or it proved one.
    Anonymous(bool),
    /// It proved one of these names.
    User(Box<[Box<str>]>),
    /// The authenticator or the file puts it into one of these groups.
    Group(Box<[Box<str>]>),
    /// It calls itself so.
    Client(Box<[ClientPattern]>),
    /// Its certificate has one of these fingerprints.
    Certificate(Box<[[u8; 32]]>),
    /// Its certificate has one of these common names.
    CommonName(Box<[Box<str>]>),
    /// It comes from one of these networks.
    Address(Box<[Network]>),
}

/// Whether a condition holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Held {
    /// It does.
    Yes,
    /// It does not.
    No,
    /// Nobody knows: the session was read from disk, and where it came from is not written there; or its certificate does not say clearly.
    Unknown,
}

impl Condition {
    /// Whether it holds for whom the question is about.
    pub fn holds(&self, groups: &Groups, question: &Question<'_>) -> Held {
        let who = question.who;
        let user = who.user.as_deref();
        let is_true = match self {
            Self::Anonymous(wanted) => who.is_anonymous() == *wanted,
            Self::User(names) => user.is_some_and(|user| names.iter().any(|name| **name == *user)),
            Self::Group(names) => {
                names.iter().any(|name| who.is_in(name) || user.is_some_and(|user| groups.has(name, user)))
            }
            Self::Client(patterns) => {
                let client_id = question.client_id().as_str();
                patterns.iter().any(|pattern| pattern.matches(user, client_id))
            }
            Self::Certificate(_) | Self::CommonName(_) if !who.is_certificate_known() => return Held::Unknown,
            Self::Certificate(prints) => {
                who.certificate.as_ref().is_some_and(|shown| prints.contains(&shown.fingerprint))
            }
            Self::CommonName(names) => match who.certificate.as_deref().map(|shown| &shown.common_name) {
                Some(CommonName::One(shown)) => names.contains(shown),
                Some(CommonName::Unclear) => return Held::Unknown,
                Some(CommonName::None) | None => false,
            },
            Self::Address(networks) => match who.address {
                Some(address) => networks.iter().any(|network| network.contains(address)),
                None => return Held::Unknown,
            },
        };
        if is_true { Held::Yes } else { Held::No }
    }

    /// Whether it may hold for one connection of a session and not for the next one.
    pub fn may_change(&self) -> bool {
        match self {
            Self::Group(_) | Self::Certificate(_) | Self::CommonName(_) | Self::Address(_) => true,
            Self::Anonymous(_) | Self::User(_) | Self::Client(_) => false,
        }
    }

    /// Whether it asks where a client comes from, or what certificate it has.
    pub fn asks_for_origin(&self) -> bool {
        match self {
            Self::Certificate(_) | Self::CommonName(_) | Self::Address(_) => true,
            Self::Anonymous(_) | Self::User(_) | Self::Group(_) | Self::Client(_) => false,
        }
    }
}

/// Whom a rule is about: everybody for whom all of these hold; without a condition, everybody.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Who(Box<[Condition]>);

impl Who {
    /// Everybody.
    pub fn everyone() -> Self {
        Self::default()
    }

    /// Those for whom all of these hold.
    pub fn all(conditions: Vec<Condition>) -> Self {
        Self(conditions.into())
    }

    /// What must hold.
    pub fn conditions(&self) -> &[Condition] {
        &self.0
    }

    /// Whether all conditions hold; where one does not, it does not matter what is unknown.
    pub fn holds(&self, groups: &Groups, question: &Question<'_>) -> Held {
        let mut held = Held::Yes;
        for condition in &self.0 {
            match condition.holds(groups, question) {
                Held::Yes => {}
                Held::No => return Held::No,
                Held::Unknown => held = Held::Unknown,
            }
        }
        held
    }
}

/// A name and its members, in their order.
type Group = (Box<str>, Box<[Box<str>]>);

/// Groups that the file itself makes, beside those of the authenticators. It does not change.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Groups {
    /// In the order of their names.
    table: Vec<Group>,
}

impl Groups {
    /// These groups with their members.
    pub fn new(groups: Vec<(Box<str>, Vec<Box<str>>)>) -> Self {
        let in_order = |(name, mut members): (Box<str>, Vec<Box<str>>)| {
            members.sort_unstable();
            members.dedup();
            (name, members.into_boxed_slice())
        };
        let mut table: Vec<_> = groups.into_iter().map(in_order).collect();
        table.sort_unstable();
        Self { table }
    }

    /// Whether the file puts this user into this group.
    pub fn has(&self, group: &str, user: &str) -> bool {
        let members = self.members(group);
        members.binary_search_by(|member| (**member).cmp(user)).is_ok()
    }

    /// The users of a group; none of one that the file does not make.
    pub fn members(&self, group: &str) -> &[Box<str>] {
        match self.table.binary_search_by(|(name, _)| (**name).cmp(group)) {
            Ok(at) => &self.table[at].1,
            Err(_) => &[],
        }
    }
}

/// A fingerprint as it is written: hexadecimal digits, with a colon between two bytes or with none at all.
pub fn parse_fingerprint(text: &str) -> Option<[u8; 32]> {
    let mut bytes = [0; 32];
    let width = if text.contains(':') { 3 } else { 2 };
    if text.len() != 32 * width - (width - 2) || !text.is_ascii() {
        return None;
    }
    for (at, byte) in bytes.iter_mut().enumerate() {
        let digits = &text[at * width..at * width + 2];
        let is_hex = digits.bytes().all(|digit| digit.is_ascii_hexdigit());
        let is_apart = width == 2 || at == 31 || text.as_bytes()[at * width + 2] == b':';
        *byte = u8::from_str_radix(digits, 16).ok().filter(|_| is_hex && is_apart)?;
    }
    Some(bytes)
}

/// The fingerprint as it is read, without colons.
pub fn write_fingerprint(fingerprint: &[u8; 32]) -> String {
    let digit = |half: u8| char::from_digit(u32::from(half), 16).expect("half a byte is one digit");
    fingerprint.iter().flat_map(|byte| [digit(byte >> 4), digit(byte & 15)]).collect()
}

/// As an operator would say it: `group staff, from 10.0.0.0/8`.
impl fmt::Display for Who {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_empty() {
            return f.write_str("everyone");
        }
        for (at, condition) in self.0.iter().enumerate() {
            write!(f, "{}{condition}", if at == 0 { "" } else { ", " })?;
        }
        Ok(())
    }
}

impl fmt::Display for Condition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Anonymous(true) => f.write_str("who has no name"),
            Self::Anonymous(false) => f.write_str("who has a name"),
            Self::User(names) => any(f, "user", names.iter().map(|name| name.escape_debug())),
            Self::Group(names) => any(f, "group", names.iter().map(|name| name.escape_debug())),
            Self::Client(patterns) => any(f, "client", patterns.iter().map(|pattern| pattern.as_str().escape_debug())),
            Self::Certificate(prints) => any(f, "certificate", prints.iter().map(write_fingerprint)),
            Self::CommonName(names) => any(f, "common name", names.iter().map(|name| name.escape_debug())),
            Self::Address(networks) => any(f, "from", networks),
        }
    }
}

fn any<T: fmt::Display>(f: &mut fmt::Formatter<'_>, kind: &str, entries: impl IntoIterator<Item = T>) -> fmt::Result {
    for (at, entry) in entries.into_iter().enumerate() {
        if at == 0 {
            write!(f, "{kind} {entry}")?;
        } else {
            write!(f, " or {entry}")?;
        }
    }
    Ok(())
}
