//! One small piece of work at a time, for `bench/micro/run` to count instructions of, and figures that need no counting.
//!
//! ```text
//! cargo bench --bench micro -- list
//! cargo bench --bench micro -- count publish-qos0 1000    what `run` starts under valgrind
//! cargo bench --bench micro -- figures                    bytes a subscription, false positives of the interest filter
//! ```
#![expect(clippy::print_stdout, reason = "a bench prints its figures")]

#[path = "../../tests/support/bare.rs"]
mod bare;
mod figures;
mod filters;
mod publishing;
mod tables;
mod wire;

use std::hint::black_box;

/// Does its work so many times.
type Work = Box<dyn FnMut(u32)>;

/// Something to be counted.
struct Scenario {
    name: &'static str,
    /// What one of is counted.
    unit: &'static str,
    /// How often it is done in the shorter one of two counts; the longer one is three times that.
    count: u32,
    /// Sets the scene; what it costs is not counted.
    build: fn() -> Work,
}

fn main() {
    let words: Vec<String> = std::env::args().skip(1).filter(|word| !word.starts_with("--")).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    match words.as_slice() {
        ["list"] => scenarios().for_each(|s| println!("{}\t{}\t{}", s.name, s.unit, s.count)),
        ["count", name, count] => count_scenario(name, count.parse().expect("the count is a number")),
        ["figures"] => figures::print_all(),
        _ => println!("usage: micro list | count SCENARIO COUNT | figures"),
    }
}

fn scenarios() -> impl Iterator<Item = &'static Scenario> {
    wire::SCENARIOS.iter().chain(publishing::SCENARIOS).chain(tables::SCENARIOS)
}

/// A first round warms caches, tables and buffers; then the same work is measured twice, of two lengths: the difference
/// is free of whatever a round costs beside its work.
fn count_scenario(name: &str, count: u32) {
    let scenario = scenarios().find(|scenario| scenario.name == name).expect("`list` names the scenarios");
    let mut work = (scenario.build)();
    work(count.max(100));
    measured(&mut work, count);
    measured(&mut work, 3 * count);
}

/// Callgrind counts inside of this function only, and writes a file each time it ends.
#[inline(never)]
fn measured(work: &mut Work, count: u32) {
    work(black_box(count));
    black_box(());
}
