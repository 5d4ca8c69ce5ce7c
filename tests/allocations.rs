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

// SAFETY: each call is handed on unchanged to the system's allocator, which keeps the contract. The
// counters are thread-local, initialised at compile time and without destructor: they never
// allocate.
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
    // Ten chunks of 64 KiB, each with its reference count, and the list of chunks, which grows
    // twice.
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
