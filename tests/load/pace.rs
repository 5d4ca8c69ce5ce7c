//! The plan of a fixed rate.

use crate::generator::pace::Rate;

#[test]
fn publishers_take_turns_at_even_distances() {
    let rate = Rate::new(1_000, 2);
    assert_eq!([rate.due_ns(0, 0), rate.due_ns(1, 0), rate.due_ns(0, 1)], [0, 1_000_000, 2_000_000]);
}

#[test]
fn what_is_due_is_what_the_plan_says() {
    for (per_second, publishers) in [(1, 1), (7, 3), (1_000, 10), (333_333, 7), (9_999_999, 50)] {
        let rate = Rate::new(per_second, publishers);
        for publisher in [0, publishers - 1] {
            for sequence in [0, 1, 2, 1_000, 99_999] {
                let due_ns = rate.due_ns(publisher, sequence);
                assert_eq!(rate.due_count(publisher, due_ns), sequence + 1, "{per_second} {publisher} {sequence}");
                let before = due_ns.checked_sub(1).map_or(0, |before| rate.due_count(publisher, before));
                assert_eq!(before, sequence, "{per_second} {publisher} {sequence}");
            }
        }
    }
}

#[test]
fn a_rate_is_kept_over_hours() {
    let rate = Rate::new(3_000_000, 1);
    let hour_ns = 3_600 * 1_000_000_000;
    let wanted = 3_000_000 * 3_600;
    assert!(rate.due_count(0, hour_ns).abs_diff(wanted) < wanted / 100_000);
}
