//! What a key is, and how one is found by its name.

use super::Config;
use super::keys::{KEYS, SECTIONS};
use super::kind::{Kind, Value};

/// The start of every variable of the environment that is ours.
pub const ENVIRONMENT_PREFIX: &str = "PREGON_";

/// Between section and key in a variable of the environment.
pub(super) const ENVIRONMENT_SEPARATOR: &str = "__";

/// A part of the configuration.
#[derive(Debug)]
pub struct Section {
    /// Its name in a file.
    pub name: &'static str,
    /// What it is about.
    pub doc: &'static str,
}

/// One thing that an operator may choose.
#[derive(Debug)]
pub struct Key {
    /// The section that it belongs to.
    pub section: &'static str,
    /// Its name within the section.
    pub name: &'static str,
    /// What it does.
    pub doc: &'static str,
    /// What it takes.
    pub kind: Kind,
    /// Its value in a configuration.
    pub get: fn(&Config) -> Value,
    /// Sets its value, which the kind has read.
    pub set: fn(&mut Config, Value),
}

impl Key {
    /// `section.name`.
    pub fn path(&self) -> String {
        format!("{}.{}", self.section, self.name)
    }

    /// The variable of the environment that sets it.
    pub fn variable(&self) -> String {
        let (section, name) = (self.section.to_ascii_uppercase(), self.name.to_ascii_uppercase());
        format!("{ENVIRONMENT_PREFIX}{section}{ENVIRONMENT_SEPARATOR}{name}")
    }

    /// The value that it has in `config`, as a file would have it.
    pub fn written(&self, config: &Config) -> String {
        self.kind.write(&(self.get)(config))
    }
}

/// The number of the key of this section and name in the table.
pub fn find(section: &str, name: &str) -> Option<usize> {
    KEYS.iter().position(|key| key.section == section && key.name == name)
}

/// The number of the key that `section.name` stands for.
pub fn find_path(path: &str) -> Option<usize> {
    let (section, name) = path.split_once('.')?;
    find(section, name)
}

/// Whether there is a section of this name.
pub fn has_section(name: &str) -> bool {
    SECTIONS.iter().any(|section| section.name == name)
}

/// What a variable of the environment is to us.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Variable {
    /// It sets the key of this number.
    Key(usize),
    /// It looks like ours and names no key.
    Unknown,
    /// It is nothing of ours.
    Foreign,
}

/// Which key a variable of the environment sets.
///
/// What has no `__` is left alone, for others use the prefix too: an orchestrator describes a service of the name `pregon`
/// by variables such as `PREGON_PORT_1883_TCP`. Only the name of a key with an underscore too few is taken for a mistake.
pub fn find_variable(variable: &str) -> Variable {
    let Some(name) = variable.strip_prefix(ENVIRONMENT_PREFIX) else { return Variable::Foreign };
    if let Some(at) = KEYS.iter().position(|key| key.variable() == variable) {
        return Variable::Key(at);
    }
    let joined = |text: &str| text.replace('_', "").to_ascii_uppercase();
    let is_near = KEYS.iter().any(|key| joined(&key.variable()) == joined(variable));
    if name.contains(ENVIRONMENT_SEPARATOR) || is_near { Variable::Unknown } else { Variable::Foreign }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::nearest::nearest_variable;

    #[test]
    fn a_variable_is_ours_by_its_two_underscores() {
        let at = find_path("listeners.tcp").unwrap();
        assert_eq!(KEYS[at].variable(), "PREGON_LISTENERS__TCP");
        assert_eq!(find_variable("PREGON_LISTENERS__TCP"), Variable::Key(at));
        assert_eq!(find_variable("PREGON_LISTENERS__TPC"), Variable::Unknown);
        assert_eq!(find_variable("PREGON_LISTENERS_TCP"), Variable::Unknown);
        assert_eq!(find_variable("PREGON_listeners__tcp"), Variable::Unknown);
        assert_eq!(find_variable("PREGON_PORT_1883_TCP"), Variable::Foreign);
        assert_eq!(find_variable("PREGON_SERVICE_HOST"), Variable::Foreign);
        assert_eq!(find_variable("HOME"), Variable::Foreign);
        for lost in ["PREGON_LISTENERS__TPC", "PREGON_LISTENERS_TCP", "PREGON_listeners__tcp"] {
            assert_eq!(nearest_variable(lost).as_deref(), Some("PREGON_LISTENERS__TCP"), "{lost}");
        }
    }
}
