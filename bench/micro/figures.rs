//! Figures that need no counting of instructions: bytes a subscription, and who is asked in vain.

use pregon::engine::subscriptions::interest::{Interest, PROBES};
use pregon::mqtt::Topic;

use super::filters::Kind;
use super::tables::{filled_index, filled_interest, topics};

const SUBSCRIPTIONS: u32 = 1_000_000;
const DECLARED: u32 = 10_000_000;
const LOOK_UPS: u32 = 200_000;

/// Everything, some minutes of work.
pub fn print_all() {
    println!("bytes a subscription, {SUBSCRIPTIONS} of each kind");
    for (name, kind) in [("exact", Kind::Exact), ("plus", Kind::Plus), ("hash", Kind::Hash), ("mixed", Kind::Mixed)] {
        let index = filled_index(kind, SUBSCRIPTIONS);
        println!("  {name:<6} {:6.1} by its own account", each(index.memory_bytes(), SUBSCRIPTIONS));
    }
    println!("interest, {DECLARED} mixed filters over all shards, {LOOK_UPS} topics of each kind");
    for shards in [2, 8, 64] {
        let interest = filled_interest(shards, DECLARED);
        let known = topics(LOOK_UPS, DECLARED);
        let unknown: Vec<String> = known.iter().map(|topic| topic.replace("device", "nobody")).collect();
        println!(
            "  {shards:>2} shards: {:.4} named for a topic with subscribers, {:.5} for one with none; \
             at most {} words read; {} MiB shared",
            named(&interest, &known),
            named(&interest, &unknown),
            (interest.shape_count() + 1) * PROBES,
            interest.memory_bytes() >> 20,
        );
    }
}

/// How many shards are named for a topic, on average.
fn named(interest: &Interest, topics: &[String]) -> f64 {
    let shards_for = |topic: &String| interest.shards_for(Topic::parse(topic).expect("it is a topic"));
    let total: usize = topics.iter().map(|topic| shards_for(topic).iter().count()).sum();
    each(total, LOOK_UPS)
}

#[expect(clippy::cast_precision_loss, reason = "figures are printed with few digits")]
fn each(total: usize, count: u32) -> f64 {
    total as f64 / f64::from(count)
}
