//! What a key is, and how one is found by its name.

use super::Config;
use super::keys::{KEYS, SECTIONS};
use super::kind::{Kind, Value};
use super::listener::{LISTENER_NAME_BYTES_MAX, Listener};
use super::listener_keys::LISTENER_KEYS;
use super::nearest::listener_variable_meant;

/// The start of every variable of the environment that is ours.
pub const ENVIRONMENT_PREFIX: &str = "PREGON_";

/// Between section, listener and key in a variable of the environment.
pub(super) const ENVIRONMENT_SEPARATOR: &str = "__";

/// The section whose tables are listeners.
pub const LISTENERS: &str = "listeners";

/// A part of the configuration.
#[derive(Debug)]
pub struct Section {
    /// Its name in a file.
    pub name: &'static str,
    /// What it is about.
    pub doc: &'static str,
}

/// One thing that an operator may choose of a `T`: of the configuration, or of a listener.
#[derive(Debug)]
pub struct Key<T> {
    /// The section that it belongs to.
    pub section: &'static str,
    /// Its name within the section, or within the table of a listener there.
    pub name: &'static str,
    /// What it does.
    pub doc: &'static str,
    /// What it takes.
    pub kind: Kind,
    /// Its value in a `T`.
    pub get: fn(&T) -> Value,
    /// Sets its value, which the kind has read.
    pub set: fn(&mut T, Value),
}

impl<T> Clone for Key<T> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<T> Copy for Key<T> {}

impl<T> Key<T> {
    /// The value that it has in `owner`, as a file would have it.
    pub fn written(&self, owner: &T) -> String {
        self.kind.write(&(self.get)(owner))
    }
}

impl Key<Config> {
    /// `section.name`.
    pub fn path(&self) -> String {
        format!("{}.{}", self.section, self.name)
    }

    /// The variable of the environment that sets it.
    pub fn variable(&self) -> String {
        variable(&[self.section, self.name])
    }
}

impl Key<Listener> {
    /// `listeners.NAME.name`.
    pub fn path_in(&self, listener: &str) -> String {
        format!("{}.{listener}.{}", self.section, self.name)
    }

    /// The variable of the environment that sets it. It has no capitals to tell, and a shell takes no `-` in it.
    pub fn variable_in(&self, listener: &str) -> String {
        variable(&[self.section, listener, self.name])
    }
}

fn variable(parts: &[&str]) -> String {
    format!("{ENVIRONMENT_PREFIX}{}", parts.join(ENVIRONMENT_SEPARATOR).to_ascii_uppercase())
}

/// What a name stands for. The listener may be none that there is, or that there can be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    /// The key of this number in the table.
    Key(usize),
    /// The key of this number of the listener of that name.
    Listener(Box<str>, usize),
}

/// The number of the key of this section and name in the table.
pub fn find(section: &str, name: &str) -> Option<usize> {
    KEYS.iter().position(|key| key.section == section && key.name == name)
}

/// The number of the key of this name among those of listeners.
pub fn find_in_listener(name: &str) -> Option<usize> {
    LISTENER_KEYS.iter().position(|key| key.name == name)
}

/// What `section.key` or `listeners.NAME.key` stands for.
pub fn find_path(path: &str) -> Option<Target> {
    let (section, name) = path.split_once('.')?;
    let key = find(section, name).map(Target::Key);
    key.or_else(|| find_parts(section, name.rsplit_once('.')?))
}

fn find_parts(section: &str, (listener, name): (&str, &str)) -> Option<Target> {
    find_in_listener(name).filter(|_| section == LISTENERS).map(|key| Target::Listener(listener.into(), key))
}

/// Whether there is a section of this name.
pub fn has_section(name: &str) -> bool {
    SECTIONS.iter().any(|section| section.name == name)
}

/// Whether a listener can be called so.
pub fn is_listener_name(name: &str) -> bool {
    let is_letter = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
    (1..=LISTENER_NAME_BYTES_MAX).contains(&name.len()) && name.bytes().all(is_letter)
}

/// The key of `[listeners]` that has this name already, whatever its capitals.
pub fn key_called(name: &str) -> Option<&'static str> {
    let of_listeners = KEYS.iter().filter(|key| key.section == LISTENERS);
    of_listeners.map(|key| key.name).find(|key| key.eq_ignore_ascii_case(name))
}

/// What a variable of the environment is to us.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Variable {
    /// It sets this.
    Target(Target),
    /// It looks like ours and names no key.
    Unknown,
    /// It is nothing of ours.
    Foreign,
}

/// Which key a variable of the environment sets. The name of a listener is told without its capitals.
///
/// What has no `__` is left alone, for others use the prefix too: an orchestrator describes a service of the name `pregon`
/// by variables such as `PREGON_PORT_1883_TCP`. Only the name of a key with an underscore too few is taken for a mistake.
pub fn find_variable(variable: &str) -> Variable {
    let Some(name) = variable.strip_prefix(ENVIRONMENT_PREFIX) else { return Variable::Foreign };
    if let Some(at) = KEYS.iter().position(|key| key.variable() == variable) {
        return Variable::Target(Target::Key(at));
    }
    if let Some(target) = find_listener_variable(name) {
        return Variable::Target(target);
    }
    let joined = |text: &str| text.replace('_', "").to_ascii_uppercase();
    let is_near = KEYS.iter().any(|key| joined(&key.variable()) == joined(variable));
    let is_ours = name.contains(ENVIRONMENT_SEPARATOR) || is_near || listener_variable_meant(variable).is_some();
    if is_ours { Variable::Unknown } else { Variable::Foreign }
}

/// `LISTENERS__NAME__KEY`, all in capitals.
fn find_listener_variable(name: &str) -> Option<Target> {
    if name.bytes().any(|byte| byte.is_ascii_lowercase()) {
        return None;
    }
    let name = name.to_ascii_lowercase();
    let (section, name) = name.split_once(ENVIRONMENT_SEPARATOR)?;
    find_parts(section, name.rsplit_once(ENVIRONMENT_SEPARATOR)?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::nearest::nearest_variable;

    #[test]
    fn a_variable_is_ours_by_its_two_underscores() {
        let at = find("listeners", "tcp").unwrap();
        assert_eq!(KEYS[at].variable(), "PREGON_LISTENERS__TCP");
        assert_eq!(find_variable("PREGON_LISTENERS__TCP"), Variable::Target(Target::Key(at)));
        assert_eq!(find_variable("PREGON_LISTENERS__TPC"), Variable::Unknown);
        assert_eq!(find_variable("PREGON_LISTENERS_TCP"), Variable::Unknown);
        assert_eq!(find_variable("PREGON_listeners__tcp"), Variable::Unknown);
        assert_eq!(find_variable("PREGON_PORT_1883_TCP"), Variable::Foreign);
        assert_eq!(find_variable("PREGON_SERVICE_HOST"), Variable::Foreign);
        assert_eq!(find_variable("HOME"), Variable::Foreign);
        assert_eq!(find_variable("PREGON_LISTENERS_SERVICE_HOST"), Variable::Foreign);
        assert_eq!(find_variable("PREGON_LISTENERS_PORT_1883_TCP_ADDR"), Variable::Foreign);
        for lost in ["PREGON_LISTENERS__TPC", "PREGON_LISTENERS_TCP", "PREGON_listeners__tcp"] {
            assert_eq!(nearest_variable(lost).as_deref(), Some("PREGON_LISTENERS__TCP"), "{lost}");
        }
    }

    #[test]
    fn a_variable_may_be_that_of_a_listener() {
        let key = find_in_listener("client_ca").unwrap();
        for (variable, listener) in [
            ("PREGON_LISTENERS__HOME__CLIENT_CA", "home"),
            ("PREGON_LISTENERS__A_1__CLIENT_CA", "a_1"),
            ("PREGON_LISTENERS___A___CLIENT_CA", "_a_"),
            ("PREGON_LISTENERS__A__B__CLIENT_CA", "a__b"),
            ("PREGON_LISTENERS____CLIENT_CA", ""), // which is refused where it is opened
        ] {
            assert_eq!(find_variable(variable), Variable::Target(Target::Listener(listener.into(), key)), "{variable}");
            assert_eq!(LISTENER_KEYS[key].variable_in(listener), variable);
            let path = format!("listeners.{listener}.client_ca");
            assert_eq!(find_path(&path), Some(Target::Listener(listener.into(), key)));
        }
        for lost in [
            "PREGON_LISTENERS__HOME__CLIENTCA",
            "PREGON_LISTENERS__HOME_CLIENT_CA",
            "PREGON_LISTENERS_HOME__CLIENT_CA",
            "PREGON_LISTENERS_HOME_CLIENT_CA",
            "PREGON_LISTENERS__home__CLIENT_CA",
            "PREGON_LISTENER__HOME__CLIENT_CA",
        ] {
            assert_eq!(find_variable(lost), Variable::Unknown, "{lost}");
            assert_eq!(nearest_variable(lost).as_deref(), Some("PREGON_LISTENERS__HOME__CLIENT_CA"), "{lost}");
        }
        assert_eq!(find_path("limits.home.client_ca"), None);
        assert_eq!(find_path("listeners.home.backlog"), None);
    }
}
