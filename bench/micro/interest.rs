//! False positives, words read and cost of asking which shards want a topic.
//!
//! `cargo bench --bench interest -- [shards] [subscriptions] [positions a filter]`: mixed filters,
//! spread evenly over the shards.
#![expect(
    clippy::cast_possible_truncation,
    clippy::cast_precision_loss,
    reason = "figures are printed with few digits"
)]
#![expect(clippy::disallowed_methods, reason = "a bench reads the clock")]
#![expect(clippy::print_stdout, reason = "a bench prints its figures")]

use std::time::Instant;

use pregon::base::hash::Seed;
use pregon::base::random::Random;
use pregon::engine::subscriptions::declared::Declared;
use pregon::engine::subscriptions::interest::Interest;
use pregon::mqtt::topic::{Filter, Topic};

#[path = "filters.rs"]
mod filters;

use filters::{Kind, resident_bytes};

const LOOK_UPS: u32 = 200_000;

fn main() {
    let mut numbers = std::env::args().skip(1).filter_map(|word| word.parse::<u32>().ok());
    let shards = numbers.next().unwrap_or(8);
    let count = numbers.next().unwrap_or(1_000_000);
    let positions = count / shards * numbers.next().unwrap_or(16);

    let before = resident_bytes();
    let interest = Interest::new(Seed::new(1), shards, positions as usize);
    let kind = Kind::of("mixed").expect("it is a kind");
    let mut declared: Vec<Declared> = (0..shards).map(|shard| Declared::new(shard, &interest)).collect();
    let empty = resident_bytes() - before;
    let (start, mut text) = (Instant::now(), String::new());
    for number in 0..count {
        kind.write_filter(number, &mut text);
        declared[owner(number, shards)].declare(&interest, Filter::parse(&text).expect("it is a filter"));
    }
    let each = start.elapsed().as_nanos() as f64 / f64::from(count);
    let own: usize = declared.iter().map(Declared::memory_bytes).sum();
    println!("{shards} shards, {count} filters, {} positions", interest.position_count());
    println!(
        "  declare {each:.0} ns; shared {} KiB, counters of all shards {} KiB",
        interest.memory_bytes() >> 10,
        own >> 10
    );
    println!("  resident {} KiB empty, {} KiB full", empty >> 10, (resident_bytes() - before) >> 10);

    let mut random = Random::from_seed(2);
    let wanted: Vec<u32> = (0..LOOK_UPS).map(|_| random.below(u64::from(count)) as u32).collect();
    let known: Vec<String> = wanted.iter().map(|number| filters::topic(*number)).collect();
    let unknown: Vec<String> = known.iter().map(|topic| topic.replace("device", "nobody")).collect();
    look_up(&interest, "topics of devices", &known);
    look_up(&interest, "topics nobody wants", &unknown);
}

fn owner(number: u32, shards: u32) -> usize {
    (number.wrapping_mul(0x9E37_79B1) >> 16) as usize % shards as usize
}

fn look_up(interest: &Interest, name: &str, topics: &[String]) {
    let (start, mut named) = (Instant::now(), 0);
    for topic in topics {
        named += interest.shards_for(Topic::parse(topic).expect("it is a topic")).to_bits().count_ones();
    }
    let each = start.elapsed().as_nanos() as f64 / topics.len() as f64;
    println!("  {name}: {each:.0} ns, {:.4} shards named", f64::from(named) / topics.len() as f64);
}
