//! The style of the house, as far as a machine can hold it: each rule is one test, and each finding a file and a line.
//!
//! Every rule lives in a module of this crate beside the tests that plant a violation and see it found.

mod events;
mod floors;
mod ledger;
mod shape;
mod source;
mod threats;
mod tokens;
mod words;

use ledger::Ledger;
use source::{Source, repository};

/// Runs one rule over every Rust file.
fn hold(rule: fn(&Source) -> Vec<String>) {
    let files = repository();
    demand_none(&files.iter().filter(|file| file.is_rust()).flat_map(rule).collect::<Vec<_>>());
}

fn demand_none(findings: &[String]) {
    assert!(findings.is_empty(), "{} to mend:\n{}", findings.len(), findings.join("\n"));
}

#[test]
fn imports_point_downward() {
    hold(floors::findings);
}

#[test]
fn pure_rooms_name_no_clock_no_disk_no_net_and_no_thread() {
    let files = repository();
    let shipped = files.iter().filter(|file| !shape::is_test_only(file, &files));
    demand_none(&shipped.flat_map(words::impure).collect::<Vec<_>>());
}

#[test]
fn unsafe_stands_only_in_listed_files() {
    hold(words::unlisted_unsafe);
}

#[test]
fn a_dropped_value_says_why() {
    hold(words::silent_drops);
}

#[test]
fn nothing_is_left_unfinished() {
    demand_none(&repository().iter().flat_map(words::unfinished).collect::<Vec<_>>());
}

#[test]
fn documents_hold_nothing_that_was_pasted_from_a_terminal() {
    demand_none(&repository().iter().flat_map(words::pasted).collect::<Vec<_>>());
}

#[test]
fn every_module_that_writes_events_is_an_area_of_the_log() {
    let files = repository();
    demand_none(&events::findings(files.iter().filter(|file| !shape::is_test_only(file, &files))));
}

#[test]
fn every_file_opens_with_one_sentence() {
    hold(shape::first_line);
}

#[test]
fn no_file_is_too_long() {
    let files = repository();
    files.iter().filter(|file| file.is_rust()).filter_map(shape::long).for_each(|word| println!("{word}"));
    hold(shape::too_long);
}

#[test]
fn every_file_is_compiled() {
    demand_none(&shape::orphans(&repository()));
}

#[test]
fn ledger_claims_and_excuses_only_what_is_stated() {
    demand_none(&Ledger::read(&repository()).problems);
}

#[test]
fn every_statement_is_tested_or_excused() {
    demand_none(&Ledger::read(&repository()).open());
}

#[test]
fn scorecard_of_the_readme_is_current() {
    let files = repository();
    let card = Ledger::read(&files).scorecard();
    println!("{card}");
    let printed = ledger::printed_scorecard(&ledger::find(&files, "README.md").text);
    assert_eq!(printed, Some(card.as_str()), "README.md must show this between its markers:\n{card}");
}

#[test]
fn each_root_of_broken_brokers_has_tests_and_the_manual_lists_them() {
    demand_none(&threats::findings(&repository()));
}

#[test]
fn threat_3_no_dependency_has_a_fault_that_strangers_can_use() {
    demand_none(&threats::outdated(&ledger::find(&repository(), "Cargo.lock").text));
}
