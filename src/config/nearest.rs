//! Names that are none of ours, and the one that was likely meant.

use super::keys::{KEYS, SECTIONS};
use super::schema::{ENVIRONMENT_PREFIX, ENVIRONMENT_SEPARATOR, Key, find_path};

/// Bytes of a name above which nobody means one of ours.
const NAME_BYTES_MAX: usize = 64;

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

/// Which of these names is likely meant.
pub fn nearest_name<'a>(name: &str, known: impl Iterator<Item = &'a str>) -> Option<Box<str>> {
    let near = nearest(known.filter_map(|known| Some((distance(name, known)?, known.to_owned()))), name.len());
    near.map(String::into_boxed_str)
}

/// The variable that is likely meant by one that names no key; in its own spelling, for the environment has only this one.
pub fn nearest_variable(variable: &str) -> Option<String> {
    let path = variable.strip_prefix(ENVIRONMENT_PREFIX)?.to_ascii_lowercase().replacen(ENVIRONMENT_SEPARATOR, ".", 1);
    let near = nearest_key(&path)?;
    find_path(&near).map(|at| KEYS[at].variable())
}

/// The nearest of these, if it is near enough to a name of this length to be meant.
fn nearest(candidates: impl Iterator<Item = (usize, String)>, name_len: usize) -> Option<String> {
    let near_enough = 1 + name_len / 4;
    candidates.filter(|(edits, _)| *edits <= near_enough).min_by_key(|(edits, _)| *edits).map(|(_, name)| name)
}

/// A name with its words in the order of the alphabet: `max_packet_bytes` is near to `packet_bytes_max`.
fn in_order(name: &str) -> String {
    let mut words: Vec<&str> = name.split('_').collect();
    words.sort_unstable();
    words.join("_")
}

/// How many letters have to be added, left out, changed or swapped with their neighbour; nothing where a name is too long.
fn distance(one: &str, other: &str) -> Option<usize> {
    if one.len() > NAME_BYTES_MAX || other.len() > NAME_BYTES_MAX {
        return None;
    }
    let (one, other): (Vec<char>, Vec<char>) = (one.chars().collect(), other.chars().collect());
    let mut before_last: Vec<usize> = Vec::new();
    let mut last: Vec<usize> = (0..=other.len()).collect();
    for (row, letter) in one.iter().enumerate() {
        let mut this = vec![row + 1];
        for (column, wanted) in other.iter().enumerate() {
            let change = last[column] + usize::from(letter != wanted);
            let mut edits = change.min(last[column + 1] + 1).min(this[column] + 1);
            let is_swap = row > 0 && column > 0 && one[row - 1] == *wanted && other[column - 1] == *letter;
            if is_swap {
                edits = edits.min(before_last[column - 1] + 1);
            }
            this.push(edits);
        }
        before_last = core::mem::replace(&mut last, this);
    }
    last.last().copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn letters_added_left_out_changed_or_swapped_are_one_edit_each() {
        for (one, other, edits) in [
            ("", "", 0),
            ("", "abc", 3),
            ("abc", "", 3),
            ("limit", "limits", 1),
            ("limts", "limits", 1),
            ("linits", "limits", 1),
            ("ilmits", "limits", 1),
            ("kitten", "sitting", 3),
            ("ñandú", "nandu", 2),
        ] {
            assert_eq!(distance(one, other), Some(edits), "{one} {other}");
        }
        assert_eq!(distance(&"a".repeat(65), "a"), None);
    }

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
}
