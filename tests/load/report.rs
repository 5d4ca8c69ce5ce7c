//! The figures of a run as a table and as JSON.

use crate::generator::report::{Report, grouped, median};

fn report() -> Report {
    let mut report = Report::default();
    report.text("scenario", "fan-\"in\"\n");
    report.count("deliveries", 1_234_567_u64);
    report.number("seconds", f64::NAN);
    report.numbers("rounds_us", vec![1.0, 20.25]);
    report.truth("stalled", false);
    report
}

#[test]
fn json_is_escaped_and_has_no_word_that_json_lacks() {
    let expected = "{\n  \"scenario\": \"fan-\\\"in\\\"\\u000a\",\n  \"deliveries\": 1234567,\n  \"seconds\": null,\n  \
                    \"rounds_us\": [1.000000, 20.250000],\n  \"stalled\": false\n}\n";
    assert_eq!(report().to_json(), expected);
}

#[test]
fn a_table_has_a_line_for_each_figure() {
    let table = report().to_table();
    assert_eq!(table.lines().filter(|line| line.contains("1,234,567")).count(), 1);
    assert!(table.lines().any(|line| line.starts_with("rounds us") && line.ends_with("1.00  20.2")));
}

#[test]
fn counts_are_grouped_by_thousands() {
    let counts = [0, 999, 1_000, 12_345, 1_000_000];
    assert_eq!(counts.map(grouped), ["0", "999", "1,000", "12,345", "1,000,000"]);
}

#[test]
fn a_median_is_the_middle_or_between_the_two_in_the_middle() {
    assert!((median(vec![3.0, 1.0, 2.0]) - 2.0).abs() < 1e-9);
    assert!((median(vec![4.0, 1.0, 2.0, 3.0]) - 2.5).abs() < 1e-9);
    assert!(median(Vec::new()).is_nan());
}
