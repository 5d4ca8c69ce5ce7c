//! What the steady state allocates, counted by an allocator of our own: nothing.
#![expect(unsafe_code, reason = "the trait of a global allocator is unsafe to implement")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::collections::VecDeque;

use pregon::base::payload::Chunks;
use pregon::base::random::Random;
use pregon::base::ring::Ring;
use pregon::base::slab::Slab;
use pregon::base::time::Time;
use pregon::base::wheel::{Look, Wheel};
use pregon::engine::input::Input;
use pregon::engine::limits::Limits;
use pregon::engine::shard::memory::Memory;
use pregon::mqtt::auth::Auth;
use pregon::mqtt::packet::Packet;
use pregon::mqtt::properties::{Properties, PropertyBuffer};
use pregon::mqtt::property::Property;
use pregon::mqtt::{QoS, Reason, Version};

mod support;

use support::bare::{Bare, Client, connect, publish};
use support::policies::{CHALLENGE, Challenge, work_on_exchange};
use support::story::{Hello, Story};
use support::world::World;

/// The system's allocator, counting for each thread on its own: tests run side by side.
struct Counting;

thread_local! {
    static ALLOCATION_COUNT: Cell<u64> = const { Cell::new(0) };
    static LIVE_BYTES: Cell<i64> = const { Cell::new(0) };
}

fn count(allocations: u64, bytes_before: usize, bytes_after: usize) {
    ALLOCATION_COUNT.set(ALLOCATION_COUNT.get() + allocations);
    LIVE_BYTES.set(LIVE_BYTES.get() + bytes_after.cast_signed() as i64 - bytes_before.cast_signed() as i64);
}

// SAFETY: each call is handed on unchanged to the system's allocator, which keeps the contract. The counters are
// thread-local, initialised at compile time and without destructor: they never allocate.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count(1, 0, layout.size());
        // SAFETY: our caller keeps the contract of `alloc`.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        count(0, layout.size(), 0);
        // SAFETY: our caller keeps the contract of `dealloc`; the memory came from `System`.
        unsafe { System.dealloc(pointer, layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, new_size: usize) -> *mut u8 {
        count(1, layout.size(), new_size);
        // SAFETY: our caller keeps the contract of `realloc`; the memory came from `System`.
        unsafe { System.realloc(pointer, layout, new_size) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// Allocations that `work` makes on this thread.
fn allocations_of(work: impl FnOnce()) -> u64 {
    let before = ALLOCATION_COUNT.get();
    work();
    ALLOCATION_COUNT.get() - before
}

/// Bytes that the result of `build` holds.
fn live_bytes_of<T>(build: impl FnOnce() -> T) -> (T, usize) {
    let before = LIVE_BYTES.get();
    let result = build();
    (result, usize::try_from(LIVE_BYTES.get() - before).expect("what is built holds memory"))
}

#[test]
fn the_counter_counts() {
    assert_eq!(allocations_of(|| drop(std::hint::black_box(Box::new(1)))), 1);
    assert_eq!(live_bytes_of(|| vec![0_u8; 1_000]).1, 1_000);
}

#[test]
fn small_payloads_in_a_steady_state_allocate_nothing() {
    let mut random = Random::from_seed(1);
    let mut chunks = Chunks::new(64 << 10, 16);
    let mut in_flight = VecDeque::with_capacity(2_001);
    let body = [7; 400];
    let mut publish = |count: usize| {
        for _ in 0..count {
            let payload = chunks.copy(&[b"head", &body[..random.index(400)]]);
            in_flight.push_back((payload.clone(), payload));
            if in_flight.len() > 2_000 {
                in_flight.pop_front();
            }
        }
    };
    // A few turns of the arena: 400 kB in flight lie in seven chunks or eight.
    publish(10_000);
    assert_eq!(allocations_of(|| publish(200_000)), 0);
}

#[test]
fn many_small_payloads_cost_two_allocations_a_chunk() {
    let mut chunks = Chunks::new(64 << 10, 16);
    let mut kept = Vec::with_capacity(10_240);
    let allocations = allocations_of(|| kept.extend((0..10_240).map(|_| chunks.copy(&[&[1; 64]]))));
    // Ten chunks of 64 KiB, each with its reference count, and the list of chunks, which grows twice.
    assert!(allocations <= 10 * 2 + 3, "{allocations}");
}

#[test]
fn a_turning_wheel_allocates_nothing() {
    let mut wheel = Wheel::new(100, 256);
    let mut random = Random::from_seed(2);
    for key in 0..100_000_u64 {
        wheel.schedule(key, Time::from_millis(random.below(25_000)));
    }
    let mut tick = 0;
    let mut turn = |ticks: u64| {
        for _ in 0..ticks {
            tick += 1;
            let now = Time::from_millis(tick * 100);
            let swept = wheel.advance(now, usize::MAX, |_| Look::At(now.after_ms(25_000)));
            assert!(!swept.has_more);
        }
    };
    turn(1_000);
    assert_eq!(allocations_of(|| turn(1_000)), 0);
}

#[test]
fn a_million_deadlines_cost_nine_bytes_each() {
    let mut random = Random::from_seed(3);
    let (wheel, bytes) = live_bytes_of(|| {
        let mut wheel = Wheel::new(1_000, 256);
        for key in 0..1_000_000_u64 {
            wheel.schedule(key, Time::from_millis(random.below(250_000)));
        }
        wheel
    });
    println!("wheel: {bytes} bytes for 1,000,000 entries");
    assert_eq!(bytes, wheel.heap_bytes(), "the wheel knows what it holds");
    assert!(bytes <= 9_500_000, "{bytes}");
}

#[test]
fn slabs_and_rings_allocate_nothing_once_they_have_grown() {
    let mut slab = Slab::new();
    let mut ring = Ring::new(1_000);
    let mut fill_and_drain = || {
        while ring.push_back(slab.insert(1_u64)).is_ok() {}
        while let Some(key) = ring.pop_front() {
            slab.remove(key);
        }
        // The last one found the ring full.
        let last = slab.keys().next().expect("the ring refused a key");
        slab.remove(last);
    };
    fill_and_drain();
    assert_eq!(allocations_of(|| (0..10).for_each(|_| fill_and_drain())), 0);
}

/// How often a round is repeated when its allocations are counted.
const ROUNDS: u64 = 500;

/// Allocations of [`ROUNDS`] rounds, once everything has grown.
fn allocations_of_rounds(mut round: impl FnMut()) -> u64 {
    (0..200).for_each(|_| round());
    allocations_of(|| (0..ROUNDS).for_each(|_| round()))
}

const TOPIC: &str = "tenant-001/site-02/device-0000345/temperature";

/// A publisher of `from` on the first shard, subscribers on the last one, one message a round.
fn broker(shards: usize, from: Version, to: Version, subscribers: u32, options: u8) -> (Bare, Client) {
    let mut bare = Bare::new(shards);
    let publisher = bare.connect(0, from, "publisher");
    for number in 0..subscribers {
        let subscriber = bare.connect(shards - 1, to, &format!("subscriber-{number}"));
        bare.subscribe(subscriber, to, TOPIC, options);
    }
    (bare, publisher)
}

/// Allocations of rounds of `count` such QoS 0 packets.
fn allocations_at_most_once(bare: &mut Bare, publisher: Client, packet: &[u8], count: u32, pieces: usize) -> u64 {
    let packets = packet.repeat(count as usize);
    allocations_of_rounds(|| {
        bare.send(publisher, &packets);
        bare.move_mesh();
        assert_eq!(bare.recipient_count(), pieces, "everybody gets it");
        bare.clear();
    })
}

fn user_property() -> PropertyBuffer {
    let mut properties = PropertyBuffer::default();
    properties.push(Property::User("unit", "celsius"));
    properties
}

#[test]
fn a_qos_0_message_allocates_nothing_on_the_verbatim_way() {
    for (shards, subscribers, run) in [(1, 1, 1), (1, 100, 1), (1, 100, 50), (2, 1, 1), (2, 100, 50)] {
        let (mut bare, publisher) = broker(shards, Version::V311, Version::V311, subscribers, 0);
        let packet = publish(Version::V311, TOPIC, QoS::AtMostOnce, Properties::NONE);
        let allocations = allocations_at_most_once(&mut bare, publisher, &packet, run, subscribers as usize);
        assert_eq!(allocations, 0, "{shards} shards, {subscribers} subscribers, runs of {run}");
        let verbatim = bare.shards[0].stats().publishes_verbatim;
        assert_eq!(verbatim, bare.shards[0].stats().publishes_received, "every message went that way");
    }
}

#[test]
fn a_qos_0_message_allocates_nothing_where_it_is_encoded_anew() {
    let plain = Properties::NONE;
    let user = user_property();
    let own = [
        ("another version", Version::V5, Version::V311, 0, plain),
        ("a user property", Version::V5, Version::V5, 0, user.as_properties()),
        ("a user property for 3.1.1", Version::V5, Version::V311, 0, user.as_properties()),
        ("retain as published", Version::V5, Version::V5, 8, user.as_properties()),
        ("no local", Version::V5, Version::V5, 4, plain),
    ];
    for (what, from, to, options, properties) in own {
        for (shards, subscribers) in [(1, 1), (1, 100), (2, 1), (2, 100)] {
            let (mut bare, publisher) = broker(shards, from, to, subscribers, options);
            let packet = publish(from, TOPIC, QoS::AtMostOnce, properties);
            let allocations = allocations_at_most_once(&mut bare, publisher, &packet, 1, subscribers as usize);
            assert_eq!(allocations, 0, "{what}: {shards} shards, {subscribers} subscribers");
        }
    }
}

#[test]
fn a_packet_that_arrives_in_two_pieces_costs_what_is_kept_of_it() {
    let (mut bare, publisher) = broker(1, Version::V311, Version::V311, 1, 0);
    let packet = publish(Version::V311, TOPIC, QoS::AtMostOnce, Properties::NONE);
    let (front, back) = packet.split_at(30);
    let allocations = allocations_of_rounds(|| {
        bare.send(publisher, front);
        bare.send(publisher, back);
        assert_eq!(bare.recipient_count(), 1);
        bare.clear();
    });
    assert!(allocations <= 3 * ROUNDS, "{allocations}");
}

/// PUBLISH, PUBACK, and the same with each subscriber.
/// A stranger may have said a lot before somebody slow has judged it, and what follows may wait for long.
#[test]
fn threat_1_the_memory_in_front_of_what_a_stranger_leaves_waiting_is_given_back() {
    let mut story = Story::over(World::with(1, Limits::default(), Challenge::policy(), 7));
    let method = Property::AuthMethod(CHALLENGE);
    let stranger = story.hello(&Hello::v5("stranger").with(method).with(Property::AuthData(b"slow")));
    let value = "v".repeat(60_000);
    let mut properties = PropertyBuffer::default();
    properties.push(method);
    for _ in 0..4 {
        properties.push(Property::User("n", &value));
    }
    let auth = Auth { reason: Reason::ContinueAuthentication, properties: properties.as_properties() };
    let mut bytes = Vec::new();
    Packet::Auth(auth).encode(Version::V5, &mut bytes);
    bytes.push(0xF0); // the next one begins
    let (shard, connection) = story.world.links[stranger.0].at.expect("it is open");
    let before = LIVE_BYTES.get();
    story.world.input(shard, Input::Received { connection, bytes: &bytes });
    assert!(LIVE_BYTES.get() - before > 200_000, "it waits for the answer to CONNECT");
    work_on_exchange(&mut story);
    assert_eq!(story.world.questions.len(), 1, "the next step is asked about as well");
    let left = LIVE_BYTES.get() - before;
    assert!(left < 32_000, "{left} bytes for one that waits");
}

fn allocations_at_least_once(shards: usize, version: Version, subscribers: u32) -> u64 {
    let (mut bare, publisher) = broker(shards, version, version, subscribers, 1);
    let packet = publish(version, TOPIC, QoS::AtLeastOnce, Properties::NONE);
    allocations_of_rounds(|| {
        bare.send(publisher, &packet);
        bare.move_mesh();
        assert_eq!(bare.recipient_count(), subscribers as usize + 1, "PUBACK, and everybody gets it");
        bare.answer_all(shards - 1, 0x40);
        bare.clear();
    })
}

#[test]
fn a_qos_1_message_with_its_acknowledgements_allocates_its_own_memory_only() {
    for version in [Version::V311, Version::V5] {
        for (shards, subscribers) in [(1, 1), (1, 100), (2, 1), (2, 100)] {
            let allocations = allocations_at_least_once(shards, version, subscribers);
            // Its bytes, and for more than one owner their reference count: however many receivers and shards there are.
            let of_one = if subscribers == 1 { 1 } else { 2 };
            assert_eq!(allocations, of_one * ROUNDS, "{version:?}: {shards} shards, {subscribers} subscribers");
        }
    }
}

#[test]
fn a_qos_2_message_with_its_acknowledgements_allocates_its_own_memory_only() {
    let (mut bare, publisher) = broker(1, Version::V311, Version::V311, 0, 0);
    let subscriber = bare.connect(0, Version::V311, "subscriber");
    bare.subscribe(subscriber, Version::V311, TOPIC, 2);
    let packet = publish(Version::V311, TOPIC, QoS::ExactlyOnce, Properties::NONE);
    let mut id = 0_u16;
    let allocations = allocations_of_rounds(|| {
        id += 1;
        let [high, low] = id.to_be_bytes();
        bare.send(publisher, &packet);
        bare.send(publisher, &[0x62, 2, 0, 7]);
        bare.send(subscriber, &[0x50, 2, high, low]);
        bare.send(subscriber, &[0x70, 2, high, low]);
        assert_eq!(bare.recipient_count(), 4, "PUBREC, PUBCOMP, PUBLISH, PUBREL");
        bare.clear();
    });
    assert_eq!(allocations, ROUNDS);
}

/// How many clients, or subscriptions, are measured: the tables that double are full then. What they have reserved after
/// the next doubling is not touched before it is used.
///
/// `PREGON_CLIENTS=1000000` says another number, and what is resident is printed as well; that is true only of a test
/// that runs alone in its process.
const CLIENTS: u32 = 1 << 17;
/// Those who come first pay for what all of them share.
const FIRST: u32 = 1_000;

/// Bytes that one of many costs the engine, when `admit` lets them in one by one; at most so many as long as nobody says
/// another number.
#[expect(clippy::print_stdout, reason = "the figures are what bench/README.md shows")]
fn assert_small(what: &str, bytes_max: usize, mut admit: impl FnMut(&mut Bare, u32)) {
    let asked = std::env::var("PREGON_CLIENTS").ok().map(|text| text.parse().expect("PREGON_CLIENTS is a number"));
    let count: u32 = asked.unwrap_or(CLIENTS);
    let mut bare = Bare::new(1);
    (0..FIRST).for_each(|number| admit(&mut bare, number));
    let resident_before = resident_bytes();
    let ((), bytes) = live_bytes_of(|| (FIRST..count).for_each(|number| admit(&mut bare, number)));
    let each = |bytes: usize| bytes / (count - FIRST) as usize;
    println!("{what}, {count} of them: {} bytes", each(bytes));
    if asked.is_some() {
        println!("{what}: {} bytes resident", each(resident_bytes().saturating_sub(resident_before)));
    }
    assert!(asked.is_some() || each(bytes) <= bytes_max, "{what}: {} bytes", each(bytes));
}

/// What this process occupies in memory; nothing where the system does not say so in this way.
fn resident_bytes() -> usize {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    line.and_then(|line| line.trim().strip_suffix(" kB")?.parse::<usize>().ok()).map_or(0, |kib| kib << 10)
}

fn connect_clean(bare: &mut Bare, number: u32) -> Client {
    bare.connect_as(0, &connect(Version::V311, &format!("client-{number:07}"), true))
}

/// What the shard itself says that it holds.
fn accounted_bytes(bare: &Bare) -> u64 {
    let Memory {
        connections,
        partial_packets,
        topic_aliases,
        backlog: _,
        sessions,
        queues: _, // copies may share their messages
        stowage,
        subscriptions,
        retained,
        interest,
        routes,
        payloads,
        letters,
    } = bare.shards[0].memory();
    let clients = connections + partial_packets + topic_aliases + sessions;
    clients + stowage + subscriptions + retained + interest + routes + payloads + letters
}

/// Bytes that `fill` makes a shard hold, and how many of them stand in its account.
fn held_and_accounted(fill: impl FnOnce(&mut Bare)) -> (usize, usize) {
    let mut bare = Bare::new(1);
    let before = accounted_bytes(&bare);
    let ((), held) = live_bytes_of(|| fill(&mut bare));
    (held, usize::try_from(accounted_bytes(&bare) - before).expect("an account fits into memory"))
}

#[test]
fn a_shard_knows_what_most_of_its_memory_is_for() {
    let idle: fn(&mut Bare) = |bare| {
        for number in 0..10_000 {
            let client = connect_clean(bare, number);
            bare.subscribe(client, Version::V311, &format!("commands/device-{number:07}"), 0);
        }
    };
    let crowd: fn(&mut Bare) = |bare| {
        for number in 0..10_000 {
            let client = connect_clean(bare, number);
            bare.subscribe(client, Version::V311, "news/all", 0);
        }
    };
    let away: fn(&mut Bare) = |bare| (0..10_000).for_each(|number| leave_session(bare, number, 23));
    let retained: fn(&mut Bare) = |bare| {
        let client = connect_clean(bare, 0);
        for number in 0..10_000 {
            let mut packet = publish(Version::V311, &format!("state/{number:07}"), QoS::AtMostOnce, Properties::NONE);
            packet[0] |= 1;
            bare.send(client, &packet);
            bare.clear();
        }
    };
    let partial: fn(&mut Bare) = |bare| {
        for number in 0..100 {
            let client = connect_clean(bare, number);
            bare.send(client, &[&[0x30, 0xff, 0xff, 0x7f][..], &vec![b'x'; 100_000]].concat());
        }
    };
    let all = [
        ("idle", idle, 60),
        ("crowd", crowd, 60),
        ("away", away, 95),
        ("retained", retained, 80),
        ("partial", partial, 90),
    ];
    for (what, fill, percent_min) in all {
        let (held, accounted) = held_and_accounted(fill);
        let percent = accounted * 100 / held;
        assert!((percent_min..=120).contains(&percent), "{what}: {accounted} of {held} bytes, {percent} %");
    }
}

#[test]
fn a_connected_client_stays_small() {
    use pregon::engine::connection::Connection;
    use pregon::engine::session::Session;
    println!("size_of Connection {}, Session {}", size_of::<Connection>(), size_of::<Session>());
    assert_small("connected", 284, |bare, number| {
        connect_clean(bare, number);
        bare.clear();
    });
}

#[test]
fn a_connected_client_with_a_topic_of_its_own_stays_small() {
    assert_small("connected, a topic of its own", 334, |bare, number| {
        let client = connect_clean(bare, number);
        bare.subscribe(client, Version::V311, &format!("commands/device-{number:07}"), 0);
    });
}

#[test]
fn a_connected_client_with_one_filter_for_all_stays_small() {
    assert_small("connected, one filter for all", 299, |bare, number| {
        let client = connect_clean(bare, number);
        bare.subscribe(client, Version::V311, "news/all", 0);
    });
}

/// A client comes, subscribes to a topic of its own, and goes; its session stays.
fn leave_session(bare: &mut Bare, number: u32, id_bytes: usize) {
    let id = format!("client-{number:0digits$}", digits = id_bytes - "client-".len());
    let client = bare.connect_as(0, &connect(Version::V5, &id, false));
    bare.subscribe(client, Version::V5, &format!("commands/device-{number:07}"), 1);
    bare.send(client, &[0xe0, 0]);
    bare.clear();
}

#[test]
fn a_durable_client_that_is_away_stays_small() {
    assert_small("durable and away, a topic of its own", 156, |bare, number| leave_session(bare, number, 14));
}

#[test]
fn a_durable_client_that_is_away_stays_small_with_an_identifier_of_23_bytes() {
    assert_small("durable and away, 23 bytes", 165, |bare, number| leave_session(bare, number, 23));
}

#[test]
fn a_durable_client_that_is_away_stays_small_with_an_identifier_of_36_bytes() {
    assert_small("durable and away, 36 bytes", 179, |bare, number| leave_session(bare, number, 36));
}

#[test]
fn a_subscription_stays_small() {
    let mut client = None;
    assert_small("subscription, a thousand a client", 80, |bare, number| {
        if number % 1_000 == 0 {
            client = Some(connect_clean(bare, number));
        }
        let (tenant, site) = (number % 1_000, number / 1_000 % 20);
        let filter = format!("tenant-{tenant:03}/site-{site:02}/device-{number:07}/temperature");
        bare.subscribe(client.expect("a client comes first"), Version::V311, &filter, 0);
    });
}
