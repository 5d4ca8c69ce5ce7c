//! Bytes a subscription and the cost of a look-up, by kind of filter.
//!
//! `cargo bench --bench subscriptions -- exact|plus|hash|mixed|popular [count]`. Wall time and
//! resident bytes are printed; for instructions run the built program under `valgrind
//! --tool=callgrind --toggle-collect=subscriptions::look_up`.
#![expect(
    clippy::cast_possible_truncation,
    clippy::cast_precision_loss,
    reason = "figures are printed with few digits"
)]
#![expect(clippy::disallowed_methods, reason = "a bench reads the clock")]
#![expect(clippy::print_stdout, reason = "a bench prints its figures")]

use std::hint::black_box;
use std::time::Instant;

use pregon::base::hash::Seed;
use pregon::base::random::Random;
use pregon::engine::subscriptions::entry::{Options, Subscriber};
use pregon::engine::subscriptions::index::{FilterId, Index};
use pregon::mqtt::topic::{Filter, Topic};
use pregon::mqtt::version::QoS;

#[path = "filters.rs"]
mod filters;

use filters::{Kind, resident_bytes};

const LOOK_UPS: u32 = 200_000;

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).filter(|word| !word.starts_with("--")).collect();
    let kind = arguments.first().map_or("mixed", String::as_str);
    let count = arguments.get(1).map_or(1_000_000, |count| count.parse().expect("the count is a number"));
    let mut index = Index::new(Seed::new(1));
    match Kind::of(kind) {
        Some(kind) => fill(&mut index, kind, count),
        None => fill_popular(&mut index, count),
    }
    println!("{kind}: {} filters, {} subscriptions", index.filter_count(), index.subscription_count());
    if Kind::of(kind).is_some() {
        look_up_all(&mut index, count);
    }
}

fn fill(index: &mut Index, kind: Kind, count: u32) {
    let before = resident_bytes();
    let (start, mut slowest) = (Instant::now(), 0);
    let (mut text, mut text_bytes) = (String::new(), 0);
    for number in 0..count {
        kind.write_filter(number, &mut text);
        text_bytes += text.len();
        let begin = Instant::now();
        index.insert(
            Filter::parse(&text).expect("it is a filter"),
            Subscriber::session(number),
            Options::new(QoS::AtMostOnce),
        );
        slowest = slowest.max(begin.elapsed().as_micros());
    }
    report_fill(index, count, before, start);
    println!("  text {:.1} B a filter; slowest insert {slowest} us", text_bytes as f64 / f64::from(count));
}

/// Many subscribers of one filter.
fn fill_popular(index: &mut Index, count: u32) {
    let before = resident_bytes();
    let (start, mut slowest) = (Instant::now(), 0);
    for number in 0..count {
        let begin = Instant::now();
        index.insert(
            Filter::parse("news/+").expect("it is a filter"),
            Subscriber::session(number),
            Options::new(QoS::AtMostOnce),
        );
        slowest = slowest.max(begin.elapsed().as_micros());
    }
    report_fill(index, count, before, start);
    println!("  slowest insert {slowest} us");
    let start = Instant::now();
    let id = index.find(Filter::parse("news/+").expect("it is a filter")).expect("it was inserted");
    for number in 0..count / 2 {
        index.remove(id, Subscriber::session(number * 2)).expect("it was inserted");
    }
    println!("  remove {:.0} ns", start.elapsed().as_nanos() as f64 / f64::from(count / 2));
}

fn report_fill(index: &Index, count: u32, before: usize, start: Instant) {
    let each = |bytes: usize| bytes as f64 / f64::from(count);
    println!("  insert {:.0} ns", start.elapsed().as_nanos() as f64 / f64::from(count));
    println!(
        "  resident {:.1} B, by memory_bytes {:.1} B a subscription",
        each(resident_bytes() - before),
        each(index.memory_bytes())
    );
}

fn look_up_all(index: &mut Index, count: u32) {
    let mut random = Random::from_seed(2);
    let topics: Vec<String> = (0..LOOK_UPS).map(|_| filters::topic(random.below(u64::from(count)) as u32)).collect();
    let mut out = Vec::new();
    look_up(index, &topics, &mut out);
    let (start, before) = (Instant::now(), out.len());
    look_up(index, &topics, &mut out);
    let each = start.elapsed().as_nanos() as f64 / f64::from(LOOK_UPS);
    println!("  look-up {each:.0} ns, {:.2} filters found", (out.len() - before) as f64 / f64::from(LOOK_UPS));
    black_box(out);
}

#[inline(never)]
fn look_up(index: &mut Index, topics: &[String], out: &mut Vec<FilterId>) {
    for topic in topics {
        index.matches(Topic::parse(topic).expect("it is a topic"), out);
    }
}
