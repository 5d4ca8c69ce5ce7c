//! Look-ups in the tables behind a shard, filled as on a large broker.

use std::hint::black_box;
use std::ops::ControlFlow;

use pregon::base::hash::Seed;
use pregon::base::random::Random;
use pregon::base::time::Time;
use pregon::base::wheel::{Look, Wheel};
use pregon::engine::retained::{Cursor, Progress, Retained};
use pregon::engine::subscriptions::declared::Declared;
use pregon::engine::subscriptions::entry::{Options, Subscriber};
use pregon::engine::subscriptions::index::Index;
use pregon::engine::subscriptions::interest::Interest;
use pregon::mqtt::{Filter, QoS, Topic};

use super::filters::{Kind, topic};
use super::{Scenario, Work};

pub const SCENARIOS: &[Scenario] = &[
    Scenario { name: "match-exact-1m", unit: "look-up", count: 5_000, build: || matches(Kind::Exact) },
    Scenario { name: "match-plus-1m", unit: "look-up", count: 5_000, build: || matches(Kind::Plus) },
    Scenario { name: "match-hash-1m", unit: "look-up", count: 5_000, build: || matches(Kind::Hash) },
    Scenario { name: "match-mixed-1m", unit: "look-up", count: 5_000, build: || matches(Kind::Mixed) },
    Scenario { name: "interest-2-shards", unit: "look-up", count: 5_000, build: || interest(2) },
    Scenario { name: "interest-8-shards", unit: "look-up", count: 5_000, build: || interest(8) },
    Scenario { name: "interest-64-shards", unit: "look-up", count: 5_000, build: || interest(64) },
    Scenario { name: "wheel-schedule", unit: "entry", count: 10_000, build: wheel_schedule },
    Scenario { name: "wheel-sweep", unit: "entry", count: 10_000, build: wheel_sweep },
    Scenario { name: "retained-scan", unit: "match", count: 10_000, build: retained_scan },
];

const SUBSCRIPTIONS: u32 = 1_000_000;
/// Filters in the interest filter: as dense as with 10 million, since its positions follow their number.
const DECLARED: u32 = 200_000;
/// Different topics in one scenario.
const TOPICS: u32 = 1_024;

/// Topics of devices that there are.
pub fn topics(count: u32, below: u32) -> Vec<String> {
    let mut random = Random::from_seed(2);
    let mut number = || u32::try_from(random.below(u64::from(below))).expect("below a number of 32 bits");
    (0..count).map(|_| topic(number())).collect()
}

/// An index with this many filters of a kind, each with a subscriber.
pub fn filled_index(kind: Kind, count: u32) -> Index {
    let mut index = Index::new(Seed::new(1));
    let mut text = String::new();
    for number in 0..count {
        kind.write_filter(number, &mut text);
        let filter = Filter::parse(&text).expect("it is a filter");
        index.insert(filter, Subscriber::session(number), Options::new(QoS::AtMostOnce));
    }
    index
}

/// An interest filter with as many mixed filters, spread evenly over the shards.
pub fn filled_interest(shards: u32, count: u32) -> Interest {
    let interest = Interest::new(Seed::new(1), shards, (count / shards * 16) as usize);
    let mut declared: Vec<Declared> = (0..shards).map(|shard| Declared::new(shard, &interest)).collect();
    let mut text = String::new();
    for number in 0..count {
        Kind::Mixed.write_filter(number, &mut text);
        let owner = number.wrapping_mul(0x9E37_79B1) >> 16;
        declared[(owner % shards) as usize].declare(&interest, Filter::parse(&text).expect("it is a filter"));
    }
    interest
}

fn matches(kind: Kind) -> Work {
    let mut index = filled_index(kind, SUBSCRIPTIONS);
    let topics = topics(TOPICS, SUBSCRIPTIONS);
    let mut found = Vec::new();
    Box::new(move |count| {
        for topic in topics.iter().cycle().take(count as usize) {
            found.clear();
            index.matches(Topic::parse(topic).expect("it is a topic"), &mut found);
            black_box(&found);
        }
    })
}

fn interest(shards: u32) -> Work {
    let interest = filled_interest(shards, DECLARED);
    let topics = topics(TOPICS, DECLARED);
    Box::new(move |count| {
        for topic in topics.iter().cycle().take(count as usize) {
            black_box(interest.shards_for(Topic::parse(topic).expect("it is a topic")));
        }
    })
}

/// A keep-alive begins. While packets come it costs nothing: the owner writes a field, and the wheel hears nothing.
fn wheel_schedule() -> Work {
    let mut wheel = Wheel::new(250, 4_096);
    let mut now = Time::ZERO;
    Box::new(move |count| {
        for key in 0..count {
            wheel.schedule(u64::from(key), now.after_ms(u64::from(key % 90_000)));
        }
        now = now.after_ms(100_000);
        let swept = wheel.advance(now, usize::MAX, |_| Look::Gone);
        assert_eq!(swept.looked, count as usize, "the wheel is empty again");
    })
}

/// One look a keep-alive at a connection that is busy.
fn wheel_sweep() -> Work {
    let mut wheel = Wheel::new(250, 4_096);
    for key in 0..100_000_u64 {
        wheel.schedule(key, Time::from_millis(key % 90_000));
    }
    let mut now = Time::ZERO;
    Box::new(move |count| {
        let mut looked = 0;
        while looked < count as usize {
            now = now.after_ms(250);
            let swept = wheel.advance(now, count as usize - looked, |_| Look::At(now.after_ms(90_000)));
            looked += swept.looked;
        }
    })
}

/// `tenant/+/device/temperature`: one topic of ten below each `+`, and a leap to the next.
fn retained_scan() -> Work {
    let mut retained = Retained::default();
    for number in 0..100_000 {
        let text = topic(number);
        retained.set(Topic::parse(&text).expect("it is a topic"), number);
    }
    Box::new(move |count| {
        let filter = Filter::parse("+/+/+/temperature").expect("it is a filter");
        let (mut cursor, mut found) = (Cursor::default(), 0);
        while found < count {
            let progress = retained.scan(filter, &mut cursor, 256, |_, number| {
                black_box(number);
                found += 1;
                if found < count { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
            });
            if progress == Progress::Done {
                cursor = Cursor::default();
            }
        }
    })
}
