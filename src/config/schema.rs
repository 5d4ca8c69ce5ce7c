//! What a key is, and how one is found by a name that may be misspelled.

use super::Config;
use super::keys::{KEYS, SECTIONS};
use super::kind::{Kind, Value};
use crate::base::nearest::{distance, nearest, nearest_name};

/// The start of every variable of the environment that is ours.
pub const ENVIRONMENT_PREFIX: &str = "PREGON_";

/// Between section and key in a variable of the environment.
const ENVIRONMENT_SEPARATOR: &str = "__";

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

/// The key that is likely meant by a path that names none: misspelled, or in another section.
pub fn nearest_key(path: &str) -> Option<String> {
    let name = path.split_once('.').map_or(path, |(_, name)| name);
    let distance_to = |key: &Key| {
        let elsewhere = distance(name, key.name).map(|edits| edits + 1);
        let reordered = distance(&in_order(name), &in_order(key.name)).map(|edits| edits + 1);
        distance(path, &key.path()).into_iter().chain(elsewhere).chain(reordered).min()
    };
    nearest(KEYS.iter().filter_map(|key| Some((distance_to(key)?, key.path()))), path.len().max(name.len()))
}

/// The section that is likely meant.
pub fn nearest_section(name: &str) -> Option<String> {
    nearest_name(name, SECTIONS.iter().map(|known| known.name)).map(String::from)
}

/// The variable that is likely meant by one that names no key; in its own spelling, for the environment has only this one.
pub fn nearest_variable(variable: &str) -> Option<String> {
    let path = variable.strip_prefix(ENVIRONMENT_PREFIX)?.to_ascii_lowercase().replacen(ENVIRONMENT_SEPARATOR, ".", 1);
    let near = nearest_key(&path)?;
    find_path(&near).map(|at| KEYS[at].variable())
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

/// A name with its words in the order of the alphabet: `max_packet_bytes` is near to `packet_bytes_max`.
fn in_order(name: &str) -> String {
    let mut words: Vec<&str> = name.split('_').collect();
    words.sort_unstable();
    words.join("_")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_key_that_was_meant_is_found() {
        let near = |path| nearest_key(path);
        assert_eq!(near("limits.packet_byte_max").as_deref(), Some("limits.packet_bytes_max"));
        assert_eq!(near("limits.max_packet_bytes").as_deref(), Some("limits.packet_bytes_max"));
        assert_eq!(near("limit.inflight_max").as_deref(), Some("limits.inflight_max"));
        assert_eq!(near("listeners.packet_bytes_max").as_deref(), Some("limits.packet_bytes_max"));
        assert_eq!(near("backlog").as_deref(), Some("listeners.backlog"));
        assert_eq!(near("limits.quue_policy").as_deref(), Some("limits.queue_policy"));
        assert_eq!(near("x"), None);
        assert_eq!(near(""), None);
        assert_eq!(near(&"limits.".repeat(100)), None);
        assert_eq!(nearest_section("listener").as_deref(), Some("listeners"));
        assert_eq!(nearest_section("persistence"), None);
    }

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
