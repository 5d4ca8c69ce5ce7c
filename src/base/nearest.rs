//! Which of the known names somebody meant who misspelled one.

/// Bytes of a name above which nobody means one of ours.
const NAME_BYTES_MAX: usize = 64;

/// Which of these names is likely meant.
pub fn nearest_name<'a>(name: &str, known: impl Iterator<Item = &'a str>) -> Option<Box<str>> {
    let near = nearest(known.filter_map(|known| Some((distance(name, known)?, known.to_owned()))), name.len());
    near.map(String::into_boxed_str)
}

/// The nearest of these, if it is near enough to a name of this length to be meant.
pub fn nearest(candidates: impl Iterator<Item = (usize, String)>, name_len: usize) -> Option<String> {
    candidates
        .filter(|(edits, _)| *edits <= near_enough(name_len))
        .min_by_key(|(edits, _)| *edits)
        .map(|(_, name)| name)
}

/// Edits up to which a name of this length is taken for another one.
pub fn near_enough(name_len: usize) -> usize {
    1 + name_len / 4
}

/// How many letters have to be added, left out, changed or swapped with their neighbour; nothing where a name is too long.
pub fn distance(one: &str, other: &str) -> Option<usize> {
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
    fn a_name_that_is_far_from_all_is_none_of_them() {
        let near = |name| nearest_name(name, ["effect", "who"].into_iter());
        assert_eq!(
            (near("efect").as_deref(), near("hwo").as_deref(), near("topics")),
            (Some("effect"), Some("who"), None)
        );
    }
}
