//! Names that are none of ours, and the one that was likely meant.

use super::keys::{KEYS, SECTIONS};
use super::listener_keys::LISTENER_KEYS;
use super::schema::{ENVIRONMENT_PREFIX, ENVIRONMENT_SEPARATOR, LISTENERS, Target, find_path, is_listener_name};
use crate::base::nearest::{distance, near_enough, nearest, nearest_name};

/// What stands for the name of a listener where none is known.
const ANY_LISTENER: &str = "NAME";

/// The key that is likely meant by a path that names none: misspelled, or in another section.
pub fn nearest_key(path: &str) -> Option<String> {
    let (section, listener, name) = parts(path);
    let listener_told = listener.filter(|listener| is_listener_name(listener)).unwrap_or(ANY_LISTENER);
    let keys = KEYS.iter().filter_map(|key| {
        let path_edits = if listener.is_none() { distance(path, &key.path()) } else { None };
        let (by_path, elsewhere) = (path_edits.into_iter(), by_name(name, key.name).map(|edits| edits + 1));
        Some((by_path.chain(elsewhere).min()?, key.path()))
    });
    let of_listeners = LISTENER_KEYS.iter().filter_map(|key| {
        // Without the name of a listener there is more amiss than letters.
        let around = if listener.is_some() { distance(section, LISTENERS)? } else { 2 };
        Some((by_name(name, key.name)? + around, key.path_in(listener_told)))
    });
    nearest(keys.chain(of_listeners), section.len() + 1 + name.len())
}

/// Section, listener and key of a path, as far as it has them.
fn parts(path: &str) -> (&str, Option<&str>, &str) {
    match path.split_once('.') {
        None => ("", None, path),
        Some((section, rest)) => match rest.rsplit_once('.') {
            None => (section, None, rest),
            Some((listener, name)) => (section, Some(listener), name),
        },
    }
}

/// How far the name of a key is from another one, its words in another order if need be; nothing where it is too far.
fn by_name(name: &str, key: &str) -> Option<usize> {
    let reordered = distance(&in_order(name), &in_order(key)).map(|edits| edits + 1);
    let edits = distance(name, key).into_iter().chain(reordered).min();
    edits.filter(|edits| *edits <= near_enough(name.len()))
}

/// The section that is likely meant.
pub fn nearest_section(name: &str) -> Option<String> {
    nearest_name(name, SECTIONS.iter().map(|known| known.name)).map(String::from)
}

/// The variable that is likely meant by one that names no key; in its own spelling, for the environment has only this one.
pub fn nearest_variable(variable: &str) -> Option<String> {
    if let Some(meant) = listener_variable_meant(variable) {
        return Some(meant);
    }
    let name = variable.strip_prefix(ENVIRONMENT_PREFIX)?.to_ascii_lowercase();
    let path = match name.split_once(ENVIRONMENT_SEPARATOR) {
        None => name,
        Some((section, rest)) => match rest.rsplit_once(ENVIRONMENT_SEPARATOR) {
            None => format!("{section}.{rest}"),
            Some((listener, key)) => format!("{section}.{listener}.{key}"),
        },
    };
    match find_path(&nearest_key(&path)?)? {
        Target::Key(key) => Some(KEYS[key].variable()),
        Target::Listener(listener, key) => Some(LISTENER_KEYS[key].variable_in(&listener)),
    }
}

/// The variable of a listener's key that was written with too few underscores: `PREGON_LISTENERS_HOME_ADDRESS`.
pub fn listener_variable_meant(variable: &str) -> Option<String> {
    let rest = variable.strip_prefix(ENVIRONMENT_PREFIX)?.strip_prefix(&LISTENERS.to_ascii_uppercase())?;
    let named = LISTENER_KEYS.iter().filter_map(|key| {
        let listener = rest.strip_suffix(&key.name.to_ascii_uppercase())?.strip_suffix('_')?;
        let listener = listener.strip_prefix('_')?.trim_matches('_');
        is_listener_name(listener).then_some((listener, key))
    });
    // Of two keys one of which ends with the other the longer one is meant.
    let (listener, key) = named.min_by_key(|(listener, _)| listener.len())?;
    Some(key.variable_in(listener))
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
        let near = |path: &str| nearest_key(path);
        assert_eq!(near("limits.packet_byte_max").as_deref(), Some("limits.packet_bytes_max"));
        assert_eq!(near("limits.max_packet_bytes").as_deref(), Some("limits.packet_bytes_max"));
        assert_eq!(near("limit.inflight_max").as_deref(), Some("limits.inflight_max"));
        assert_eq!(near("listeners.packet_bytes_max").as_deref(), Some("limits.packet_bytes_max"));
        assert_eq!(near("backlog").as_deref(), Some("listeners.backlog"));
        assert_eq!(near("limits.quue_policy").as_deref(), Some("limits.queue_policy"));
        assert_eq!(near("listeners.home.max_packet_byte").as_deref(), Some("listeners.home.packet_bytes_max"));
        assert_eq!(near("listener.home.adress").as_deref(), Some("listeners.home.address"));
        assert_eq!(near("limits.home.sessions_max").as_deref(), Some("limits.sessions_max"));
        assert_eq!(near("tls.client_ca").as_deref(), Some("listeners.NAME.client_ca"));
        assert_eq!(near("listeners.a b.adress").as_deref(), Some("listeners.NAME.address"));
        assert_eq!(near("listeners.garden"), None, "a short name far from all of them");
        assert_eq!(near(&format!("listeners.{}.x", "n".repeat(32))), None, "the name of a listener earns no patience");
        assert_eq!(near("x"), None);
        assert_eq!(near(""), None);
        assert_eq!(near(&"limits.".repeat(100)), None);
        assert_eq!(nearest_section("listener").as_deref(), Some("listeners"));
        assert_eq!(nearest_section("persistence"), None);
    }
}
