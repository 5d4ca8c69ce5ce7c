//! The whole broker under simulation: one seed decides everything, and an oracle that knows what clients saw judges it.
//!
//! `cargo sim` runs many seeds; `PREGON_SEEDS=n` says how many, `PREGON_FIRST=n` where they begin, and `PREGON_SEED=n` replays one of them and shows
//! every event. Seeds that were once of interest stand in `seeds.txt` and are run each time.
#![expect(clippy::disallowed_methods, reason = "seeds are spread over the cores, and a run says how long it took")]

#[path = "../support/mod.rs"]
mod support;

mod actions;
mod clients;
mod coverage;
mod hearing;
mod network;
mod oracle;
mod packets;
mod plan;
mod record;
mod sessions;
mod simulation;
mod subscribing;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Instant;

use coverage::Coverage;
use simulation::Simulation;

/// Seeds of an ordinary run.
const SEEDS: u64 = 2_000;
/// From so many seeds on, everything rare must have happened.
const SEEDS_FOR_COVERAGE: u64 = 1_000;

#[test]
fn seeds_hold() {
    if let Some(seed) = number_from("PREGON_SEED") {
        let seen = run(seed, true).unwrap_or_else(|failure| panic!("{failure}"));
        return eprintln!("seed {seed} holds\n{}", seen.report());
    }
    let (first, count) = (number_from("PREGON_FIRST").unwrap_or(0), number_from("PREGON_SEEDS").unwrap_or(SEEDS));
    let kept = include_str!("seeds.txt").lines().filter_map(|line| line.split_whitespace().next()?.parse().ok());
    let seeds: Vec<u64> = kept.chain(first..first + count).collect();
    let started = Instant::now();
    let all = run_all(&seeds).unwrap_or_else(|failure| panic!("{failure}"));
    eprintln!("{} seeds hold, {:.1} s\n{}", seeds.len(), started.elapsed().as_secs_f32(), all.report());
    if count >= SEEDS_FOR_COVERAGE {
        assert!(all.missing().is_empty(), "never happened: {:?}", all.missing());
    }
}

/// Runs the seeds on all cores; the failure of the first one that fails, or what they have seen.
fn run_all(seeds: &[u64]) -> Result<Coverage, String> {
    let (next, has_failed) = (AtomicU64::new(0), AtomicBool::new(false));
    let work = || {
        let mut sum = Coverage::default();
        while !has_failed.load(Ordering::Relaxed) {
            let place = usize::try_from(next.fetch_add(1, Ordering::Relaxed)).expect("few seeds");
            let Some(seed) = seeds.get(place) else { break };
            match run(*seed, false) {
                Ok(coverage) => sum.merge(&coverage),
                Err(failure) => {
                    has_failed.store(true, Ordering::Relaxed);
                    return Err(failure);
                }
            }
        }
        Ok(sum)
    };
    let threads = std::thread::available_parallelism().map_or(2, usize::from);
    let results: Vec<Result<Coverage, String>> = std::thread::scope(|scope| {
        let handles: Vec<_> = (0..threads).map(|_| scope.spawn(work)).collect();
        handles.into_iter().map(|handle| handle.join().expect("a failing seed is caught")).collect()
    });
    results.into_iter().try_fold(Coverage::default(), |mut all, seen| {
        all.merge(&seen?);
        Ok(all)
    })
}

/// Runs one seed: what it has seen, or how it failed.
fn run(seed: u64, is_loud: bool) -> Result<Coverage, String> {
    let mut simulation = Simulation::new(seed, is_loud);
    match catch_unwind(AssertUnwindSafe(|| simulation.run())) {
        Ok(()) => Ok(std::mem::take(&mut simulation.coverage)),
        Err(cause) => {
            let cause = cause.downcast_ref::<String>().cloned();
            let cause = cause.unwrap_or_else(|| "see above".to_owned());
            let events = simulation.last_events();
            Err(format!("seed {seed} fails: {cause}\n{events}\n    replay: PREGON_SEED={seed} cargo sim\n"))
        }
    }
}

fn number_from(name: &str) -> Option<u64> {
    let text = std::env::var(name).ok()?;
    Some(text.parse().unwrap_or_else(|_| panic!("{name} is a number, not {text}")))
}
