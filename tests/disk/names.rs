//! The names in a folder over syncs and power cuts.

use std::ffi::OsStr;

use crate::fickle::luck::Luck;
use crate::fickle::names::{Names, Number, Pact};

fn name(text: &str) -> &OsStr {
    OsStr::new(text)
}

/// A folder in which `a` is 1, safely.
fn safe() -> Names {
    let mut names = Names::default();
    names.add(name("a"), 1);
    names.keep(names.mark());
    names
}

fn list(names: &Names) -> Vec<(&str, Number)> {
    names.list().map(|(name, number)| (name.to_str().unwrap(), number)).collect()
}

#[test]
fn what_was_synced_survives_and_the_rest_does_not() {
    let mut names = safe();
    names.add(name("b"), 2);
    names.remove(name("a"), 1);
    assert_eq!(list(&names), [("b", 2)]);
    names.cut(&mut Luck::None);
    assert_eq!(list(&names), [("a", 1)]);
}

#[test]
fn a_rename_is_kept_as_a_whole_or_not_at_all() {
    let (mut was_kept, mut was_lost) = (false, false);
    for seed in 0..50 {
        let mut names = safe();
        names.add(name("b"), 2);
        names.keep(names.mark());
        names.rename(name("a"), name("b"), 1);
        assert_eq!(list(&names), [("b", 1)]);
        names.cut(&mut Luck::of_seed(seed));
        match *list(&names) {
            [("b", 1)] => was_kept = true,
            [("a", 1), ("b", 2)] => was_lost = true,
            ref other => panic!("{other:?}"),
        }
    }
    assert!(was_kept && was_lost);
}

#[test]
fn a_rename_to_another_folder_is_kept_in_both_or_in_neither() {
    let moved = || {
        let (mut from, mut to) = (safe(), Names::default());
        let pact = Pact::default();
        to.arrive(name("b"), 1, pact.clone());
        from.leave(name("a"), 1, pact);
        assert_eq!((list(&from), list(&to)), (vec![], vec![("b", 1)]));
        (from, to)
    };
    let (mut was_kept, mut was_lost) = (false, false);
    for seed in 0..50 {
        let (mut from, mut to) = moved();
        let mut luck = Luck::of_seed(seed);
        from.cut(&mut luck);
        to.cut(&mut luck);
        match (&*list(&from), &*list(&to)) {
            ([], [("b", 1)]) => was_kept = true,
            ([("a", 1)], []) => was_lost = true,
            other => panic!("{other:?}"),
        }
    }
    assert!(was_kept && was_lost);

    // A sync of one folder is enough for both.
    let (mut from, mut to) = moved();
    from.keep(from.mark());
    from.cut(&mut Luck::None);
    to.cut(&mut Luck::None);
    assert_eq!((list(&from), list(&to)), (vec![], vec![("b", 1)]));
}

#[test]
fn a_later_change_may_survive_an_earlier_one() {
    let cut = |seed| {
        let mut names = safe();
        names.add(name("new"), 2);
        names.rename(name("new"), name("a"), 2);
        names.cut(&mut Luck::of_seed(seed));
        list(&names).into_iter().map(|(name, number)| (name.to_owned(), number)).collect::<Vec<_>>()
    };
    let all: Vec<_> = (0..100).map(cut).collect();
    let owned = |list: &[(&str, Number)]| list.iter().map(|(name, number)| ((*name).to_owned(), *number)).collect();
    for possible in [&[("a", 1)][..], &[("a", 2)], &[("a", 1), ("new", 2)]] {
        assert!(all.contains(&owned(possible)), "{possible:?} never happens");
    }
    // Only the rename knows the file: it has its new name, and nobody has the old one.
    assert!(all.iter().all(|list| list.len() == 1 || list[0] == ("a".to_owned(), 1)));
}

#[test]
fn what_may_come_back_is_mentioned() {
    let mut names = safe();
    names.remove(name("a"), 1);
    assert!(names.is_empty() && names.mentioned().any(|number| number == 1));
    names.keep(names.mark());
    assert_eq!(names.mentioned().count(), 0);
}
