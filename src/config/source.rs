//! Where settings come from: texts with their origin, and the place of a value within one.

use core::fmt;

use super::complaint::escaped;

/// Where a text came from. The order of the variants is the order of precedence: what stands lower in this list wins.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Origin {
    /// Nobody said anything.
    Default,
    /// The file that `--config` names.
    File(Box<str>),
    /// A file of `conf.d` beside it; among themselves by name.
    DropIn(Box<str>),
    /// A variable of the environment.
    Environment(Box<str>),
    /// `--set`; among themselves the last one wins.
    Set,
    /// A flag of the command line with a meaning of its own.
    Flag(Box<str>),
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Origin::Default => f.write_str("default"),
            Origin::File(name) | Origin::DropIn(name) | Origin::Environment(name) | Origin::Flag(name) => {
                f.write_str(&escaped(name))
            }
            Origin::Set => f.write_str("--set"),
        }
    }
}

/// One text with settings, as it was found. Its bytes may be anything.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Source {
    pub(super) origin: Origin,
    pub(super) text: Vec<u8>,
}

impl Source {
    /// The file of `--config`: TOML.
    pub fn file(path: &str, text: impl Into<Vec<u8>>) -> Self {
        Self { origin: Origin::File(path.into()), text: text.into() }
    }

    /// A file of `conf.d`: TOML.
    pub fn drop_in(path: &str, text: impl Into<Vec<u8>>) -> Self {
        Self { origin: Origin::DropIn(path.into()), text: text.into() }
    }

    /// A variable of the environment whose name begins with `PREGON_`.
    pub fn environment(name: &str, value: impl Into<Vec<u8>>) -> Self {
        Self { origin: Origin::Environment(name.into()), text: value.into() }
    }

    /// What follows `--set`: `section.key=value`.
    pub fn set(assignment: impl Into<Vec<u8>>) -> Self {
        Self { origin: Origin::Set, text: assignment.into() }
    }

    /// A flag that stands for a key, such as `--listen` for `listeners.tcp`. One that may be repeated gives one list.
    pub fn flag(flag: &str, key: &str, value: &str) -> Self {
        Self { origin: Origin::Flag(flag.into()), text: format!("{key}={value}").into() }
    }
}

/// Where something stands: in which source and, in a file, at which line and column, both from 1.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// The source.
    pub origin: Origin,
    /// Line and column.
    pub at: Option<(usize, usize)>,
}

impl Place {
    /// A source as a whole.
    pub fn whole(origin: &Origin) -> Self {
        Self { origin: origin.clone(), at: None }
    }

    /// The byte at `offset` of the text of `origin`.
    pub fn within(origin: &Origin, text: &str, offset: usize) -> Self {
        Self { origin: origin.clone(), at: Some(line_and_column(text, offset)) }
    }
}

/// The source and the line: what a reader needs to find a value.
impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.at {
            Some((line, _)) => write!(f, "{}:{line}", self.origin),
            None => write!(f, "{}", self.origin),
        }
    }
}

/// Line and column of a byte, both from 1; a column is a character, a byte order mark is none.
fn line_and_column(text: &str, offset: usize) -> (usize, usize) {
    let before = &text[..text.floor_char_boundary(offset)];
    let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
    let line = before.bytes().filter(|byte| *byte == b'\n').count() + 1;
    (line, before[line_start..].trim_start_matches('\u{feff}').chars().count() + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn precedence_is_the_order_of_the_origins() {
        let mut origins = [
            Origin::Flag("--listen".into()),
            Origin::Set,
            Origin::DropIn("conf.d/20-b.toml".into()),
            Origin::Environment("PREGON_LOG__LEVEL".into()),
            Origin::DropIn("conf.d/10-a.toml".into()),
            Origin::File("z.toml".into()),
            Origin::Default,
        ];
        origins.sort();
        let told: Vec<String> = origins.iter().map(Origin::to_string).collect();
        let wanted =
            ["default", "z.toml", "conf.d/10-a.toml", "conf.d/20-b.toml", "PREGON_LOG__LEVEL", "--set", "--listen"];
        assert_eq!(told, wanted);
    }

    #[test]
    fn lines_and_columns_count_from_one_in_characters() {
        let text = "\u{feff}a = 1\r\nñandú = 2\n";
        let at = |offset| line_and_column(text, offset);
        assert_eq!(at(0), (1, 1));
        assert_eq!(at(3), (1, 1));
        assert_eq!(at(text.find('2').unwrap()), (2, 9));
        assert_eq!(at(text.len()), (3, 1));
        assert_eq!(at(usize::MAX), (3, 1));
        assert_eq!(at(text.find('ñ').unwrap() + 1), (2, 1));
    }
}
