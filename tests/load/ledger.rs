//! The books of the load generator: what is lost, what came twice, what came out of order.

use crate::generator::ledger::{Audience, GAPS_MAX, Irregularity, Verdict};

/// The verdict over one subscriber that heard these, when `sent` were sent.
fn heard(sequences: &[u64], sent: u64) -> Verdict {
    let mut audience = Audience::everyone(1);
    for &sequence in sequences {
        audience.note(0, sequence);
    }
    audience.verdict(sent)
}

#[test]
fn messages_in_order_are_clean() {
    assert!(heard(&[0, 1, 2, 3], 4).is_clean());
    assert!(heard(&[], 0).is_clean());
}

#[test]
fn a_gap_and_a_missing_end_are_lost() {
    assert_eq!(heard(&[0, 3], 6), Verdict { lost: 4, duplicates: 0, reordered: 0 });
    assert_eq!(heard(&[], 3), Verdict { lost: 3, duplicates: 0, reordered: 0 });
}

#[test]
fn a_late_message_is_reordered_and_not_lost() {
    assert_eq!(heard(&[0, 2, 1], 3), Verdict { lost: 0, duplicates: 0, reordered: 1 });
    assert_eq!(heard(&[5, 2, 0, 4, 1, 3], 6), Verdict { lost: 0, duplicates: 0, reordered: 5 });
}

#[test]
fn a_message_that_comes_again_is_a_duplicate_however_late_it_was() {
    assert_eq!(heard(&[0, 1, 1, 0], 2), Verdict { lost: 0, duplicates: 2, reordered: 0 });
    assert_eq!(heard(&[0, 2, 1, 1], 3), Verdict { lost: 0, duplicates: 1, reordered: 1 });
}

#[test]
fn the_slowest_subscriber_says_what_has_arrived() {
    let mut audience = Audience::everyone(2);
    (0..5).for_each(|sequence| audience.note(0, sequence));
    assert_eq!(audience.arrived(), 0);
    audience.note(1, 0);
    assert_eq!(audience.arrived(), 1);
    audience.note(1, 4); // what it missed before is not on its way any more
    assert_eq!((audience.arrived(), audience.verdict(5).lost), (5, 3));
}

#[test]
fn the_first_irregular_delivery_is_kept_to_look_at() {
    let mut audience = Audience::everyone(2);
    audience.note(1, 0);
    assert_eq!(audience.first_irregularity(), None);
    audience.note(1, 3);
    audience.note(1, 3);
    assert_eq!(audience.first_irregularity(), Some(Irregularity { subscriber: 1, due: 1, came: 3 }));
}

#[test]
fn gaps_past_the_bound_stay_lost() {
    let count = GAPS_MAX as u64 + 10;
    let odd: Vec<u64> = (0..count).map(|gap| 2 * gap + 1).collect();
    assert_eq!(heard(&odd, 2 * count), Verdict { lost: count, duplicates: 0, reordered: 0 });
}

#[test]
fn any_member_may_hear_a_shared_message_but_only_one() {
    let mut audience = Audience::any_one(2);
    audience.note(0, 0);
    audience.note(1, 1);
    audience.note(0, 2);
    assert_eq!((audience.arrived(), audience.verdict(3)), (3, Verdict::default()));
    audience.note(1, 2);
    assert_eq!(audience.verdict(4), Verdict { lost: 1, duplicates: 1, reordered: 0 });
}

#[test]
fn a_member_that_hears_backwards_is_noticed() {
    let mut audience = Audience::any_one(2);
    audience.note(0, 3);
    audience.note(0, 1);
    audience.note(1, 0);
    assert_eq!(audience.verdict(4), Verdict { lost: 1, duplicates: 0, reordered: 1 });
}
