//! The writer against a disk that is told what to answer.

use std::collections::BTreeMap;
use std::fs::File;
use std::io;

use super::segments::Segment;
use super::stamp::{PAGE, Stamp, append, records};
use super::writer::{Cadence, Committed, GROUP_BYTES_MAX, PENDING_BYTES_MAX, Place, State, Terms, Writer};
use crate::base::random::Random;
use crate::shell::ring::disk::{Fault, Step, Stream, Write, Written};

const STREAM: Stream = Stream::new(1);
const SEGMENT_BYTES: u64 = 4 * PAGE as u64;
const SECOND_NS: u64 = 1_000_000_000;
const EVERY_SECOND: Cadence = Cadence::Every { ns: SECOND_NS };

fn writer(cadence: Cadence) -> Writer<Stamp> {
    let terms = Terms { cadence, segment_bytes: SEGMENT_BYTES, first_segment: 5, current: None, upto: 10 };
    Writer::new(STREAM, Stamp, terms)
}

/// A writer that has its first segment, and the one after it.
fn provided(cadence: Cadence) -> Writer<Stamp> {
    let mut writer = writer(cadence);
    append(&mut writer, 11, b"first");
    assert!(writer.next_write(0).is_none());
    provide(&mut writer);
    let write = writer.next_write(0).unwrap();
    assert_eq!(writer.told(ok(write), 0).unwrap().place, Place { segment: 5, position: 0 });
    provide(&mut writer);
    writer
}

/// Does what the keeper would; how long the segment is that was wanted.
fn provide(writer: &mut Writer<Stamp>) -> Option<u64> {
    let want = writer.wanted()?;
    writer.has_asked();
    assert!(want.stream == STREAM && writer.wanted().is_none());
    writer.offer(segment(want.number, want.bytes));
    Some(want.bytes)
}

fn segment(number: u64, bytes: u64) -> Segment {
    Segment { stream: STREAM, number, file: File::open("/dev/null").unwrap(), bytes }
}

fn ok(write: Write) -> Written {
    Written { stream: write.stream, bytes: write.bytes, result: Ok(()) }
}

fn failed(write: Write, step: Step, code: i32) -> Written {
    let result = Err(Fault { step, error: io::Error::from_raw_os_error(code) });
    Written { stream: write.stream, bytes: write.bytes, result }
}

#[test]
fn what_comes_during_a_write_goes_out_together_with_the_next_one() {
    let mut writer = provided(Cadence::Each);
    append(&mut writer, 12, b"a");
    let first = writer.next_write(0).unwrap();
    append(&mut writer, 13, b"b");
    append(&mut writer, 14, b"c");
    assert!(writer.next_write(0).is_none(), "one write is on its way");
    assert_eq!((writer.durable_upto(), writer.is_done()), (11, false));
    writer.told(ok(first), 30_000).unwrap();
    assert_eq!((writer.durable_upto(), writer.kept_upto()), (12, 12));
    let second = writer.next_write(0).unwrap();
    assert_eq!(records(&second.bytes), (2, 14));
    writer.told(ok(second), 40_000).unwrap();
    assert!(writer.durable_upto() == 14 && writer.is_done());
    assert!(writer.next_write(0).is_none());
    assert_eq!((writer.tally().commits, writer.tally().commit_latency.sum_ns), (3, 70_000));
    assert_eq!(writer.tally().group_bytes.sum_bytes, 3 * PAGE as u64);
}

#[test]
fn every_write_asks_for_a_sync_where_nothing_is_kept_without() {
    let mut writer = provided(Cadence::Each);
    for number in 12..20 {
        append(&mut writer, number, b"x");
        provide(&mut writer);
        let write = writer.next_write(0).unwrap();
        assert!(write.is_synced && !write.bytes.is_empty());
        writer.told(ok(write), 0).unwrap();
    }
}

#[test]
fn groups_lie_behind_each_other_and_in_the_next_segment_when_one_is_full() {
    let mut writer = provided(Cadence::Each);
    let mut places = Vec::new();
    for number in 12..18 {
        append(&mut writer, number, b"x");
        let write = writer.next_write(0).unwrap();
        places.extend(writer.told(ok(write), 0).map(|committed| committed.place));
        provide(&mut writer);
    }
    let page = PAGE as u64;
    let expected = [(5, page), (5, 2 * page), (5, 3 * page), (6, 0), (6, page), (6, 2 * page)];
    assert_eq!(places, expected.map(|(segment, position)| Place { segment, position }));
}

#[test]
fn a_group_without_a_segment_waits_and_what_comes_meanwhile_joins_it() {
    let mut writer = writer(Cadence::Each);
    let want = writer.wanted().unwrap();
    assert_eq!((want.number, want.bytes), (5, SEGMENT_BYTES));
    writer.has_asked();
    for number in 11..15 {
        append(&mut writer, number, b"x");
        assert!(writer.next_write(0).is_none() && writer.wanted().is_none());
    }
    assert_eq!((writer.state(), writer.tally().segment_waits), (State::Open, 1));
    writer.fall_short();
    assert_eq!(writer.state(), State::Full);
    writer.offer(segment(5, SEGMENT_BYTES));
    assert_eq!(writer.state(), State::Open);
    let write = writer.next_write(0).unwrap();
    assert_eq!((records(&write.bytes), write.offset), ((4, 14), 0));
}

#[test]
fn what_is_larger_than_a_segment_gets_one_of_its_own_and_never_its_predecessor() {
    let mut writer = provided(Cadence::Each);
    append(&mut writer, 12, &vec![1; 5 * PAGE]);
    assert!(writer.next_write(0).is_none());
    let want = writer.wanted().unwrap();
    assert_eq!((want.number, want.bytes), (6, 6 * PAGE as u64));
    writer.has_asked();
    writer.offer(segment(6, SEGMENT_BYTES));
    assert!(writer.next_write(0).is_none(), "the longer one takes its name");
    writer.offer(segment(6, want.bytes));
    let write = writer.next_write(0).unwrap();
    let committed = writer.told(ok(write), 0).unwrap();
    assert_eq!(committed.place, Place { segment: 6, position: 0 });
    assert_eq!(provide(&mut writer), Some(SEGMENT_BYTES));
}

#[test]
fn a_group_that_finds_no_room_is_written_again_at_its_place_when_there_is_some() {
    for code in [libc::ENOSPC, libc::EDQUOT] {
        let mut writer = provided(Cadence::Each);
        append(&mut writer, 12, b"x");
        let first = writer.next_write(0).unwrap();
        let (bytes, offset) = (first.bytes.clone(), first.offset);
        assert!(writer.told(failed(first, Step::Write, code), SECOND_NS).is_none());
        append(&mut writer, 13, b"y");
        assert_eq!((writer.state(), writer.durable_upto()), (State::Full, 11));
        assert!(writer.next_write(SECOND_NS).is_none() && !writer.is_done());
        let due_ns = writer.next_due_ns().unwrap();
        assert_eq!(due_ns, 2 * SECOND_NS);
        let again = writer.next_write(due_ns).unwrap();
        assert!(again.bytes == bytes && again.offset == offset && again.is_synced);
        writer.told(ok(again), due_ns).unwrap();
        assert_eq!((writer.state(), writer.durable_upto(), writer.tally().refusals), (State::Open, 12, 1));
        let next = writer.next_write(due_ns).unwrap();
        assert_eq!(records(&next.bytes), (1, 13));
    }
}

#[test]
fn after_a_failure_nothing_is_written_and_nothing_becomes_durable() {
    let failures =
        [(Step::Sync, libc::EIO), (Step::Sync, libc::ENOSPC), (Step::Write, libc::EIO), (Step::Write, libc::EROFS)];
    for (step, code) in failures {
        let mut writer = provided(Cadence::Each);
        append(&mut writer, 12, b"x");
        let write = writer.next_write(0).unwrap();
        append(&mut writer, 13, b"y");
        assert!(writer.told(failed(write, step, code), 0).is_none());
        append(&mut writer, 14, b"z");
        assert_eq!((writer.state(), writer.durable_upto(), writer.kept_upto()), (State::Failed, 11, 11));
        assert!(writer.next_write(60 * SECOND_NS).is_none() && writer.next_due_ns().is_none());
        assert!(writer.wanted().is_none() && writer.is_done());
        let failure = writer.failure().unwrap();
        assert_eq!((failure.step, failure.error.raw_os_error()), (step, Some(code)));
    }
}

#[test]
fn an_interval_keeps_at_once_and_syncs_when_it_is_over() {
    let mut writer = provided(EVERY_SECOND);
    assert_eq!((writer.kept_upto(), writer.durable_upto()), (11, 10));
    assert_eq!(writer.next_due_ns(), Some(SECOND_NS));
    assert!(writer.next_write(SECOND_NS - 1).is_none());
    let sync = writer.next_write(SECOND_NS).unwrap();
    assert!(sync.bytes.is_empty() && sync.is_synced);
    assert!(writer.told(ok(sync), SECOND_NS).is_none());
    assert_eq!((writer.durable_upto(), writer.next_due_ns()), (11, None));
    // A group that comes when an interval is over is synced with it.
    append(&mut writer, 12, b"x");
    let write = writer.next_write(3 * SECOND_NS).unwrap();
    assert!(write.is_synced && !write.bytes.is_empty());
    writer.told(ok(write), 3 * SECOND_NS).unwrap();
    assert_eq!((writer.durable_upto(), writer.tally().lone_syncs), (12, 1));
}

#[test]
fn a_segment_is_synced_before_it_is_left() {
    let mut writer = provided(EVERY_SECOND);
    for number in 12..15 {
        append(&mut writer, number, b"x");
        let write = writer.next_write(0).unwrap();
        assert!(!write.is_synced);
        writer.told(ok(write), 0).unwrap();
    }
    append(&mut writer, 15, b"x");
    let sync = writer.next_write(0).unwrap();
    assert!(sync.bytes.is_empty() && sync.is_synced);
    writer.told(ok(sync), 0);
    assert_eq!(writer.durable_upto(), 14);
    let write = writer.next_write(0).unwrap();
    let committed = writer.told(ok(write), 0).unwrap();
    assert_eq!(committed.place, Place { segment: 6, position: 0 });
    assert_eq!((writer.kept_upto(), writer.durable_upto()), (15, 14));
    writer.finish();
    let sync = writer.next_write(0).unwrap();
    assert!(!writer.is_done());
    writer.told(ok(sync), 0);
    assert!(writer.is_done() && writer.durable_upto() == 15);
}

#[test]
fn groups_are_bounded_and_so_is_what_waits() {
    let mut writer = provided(Cadence::Each);
    let record = vec![7; 1 << 20];
    let mut number = 12;
    while writer.pending_bytes() < PENDING_BYTES_MAX {
        append(&mut writer, number, &record);
        number += 1;
    }
    let waiting = (number - 12) * (1 << 20);
    assert!((PENDING_BYTES_MAX as u64 - (1 << 20)..=PENDING_BYTES_MAX as u64).contains(&waiting), "{waiting}");
    let mut seen = 11;
    while !writer.is_done() {
        assert!(writer.next_write(0).is_none());
        while provide(&mut writer).is_some() {}
        let write = writer.next_write(0).unwrap();
        assert!(write.bytes.len() <= (GROUP_BYTES_MAX + record.len()).next_multiple_of(PAGE));
        let (count, upto) = records(&write.bytes);
        assert!((1..=4).contains(&count), "who adds at once is not parted, and the next one begins anew");
        seen += count;
        assert_eq!(seen, upto);
        writer.told(ok(write), 0).unwrap();
        provide(&mut writer);
    }
    assert!(seen == number - 1 && writer.pending_bytes() == 0);
}

/// Whatever the order of events: all records are found, in order, in the groups that the writer has told of.
#[test]
fn every_record_lies_where_the_writer_says() {
    for seed in 0..300 {
        let mut random = Random::from_seed(seed);
        let cadence = if random.chance(1, 2) { Cadence::Each } else { Cadence::Every { ns: 1 + random.below(50) } };
        let mut writer = writer(cadence);
        let mut disk: BTreeMap<(u64, u64), Vec<u8>> = BTreeMap::new();
        let mut appended: Vec<(u64, Vec<u8>)> = Vec::new();
        let mut groups: BTreeMap<u64, Committed> = BTreeMap::new();
        let (mut flight, mut now_ns, mut number) = (None::<Write>, 0, 10);
        for step in 0.. {
            now_ns += random.below(20);
            if step < 200 && random.chance(1, 2) {
                number += 1 + random.below(3);
                let record = vec![u8::try_from(random.below(256)).unwrap(); random.index(2 * PAGE)];
                append(&mut writer, number, &record);
                appended.push((number, record));
            } else if random.chance(1, 3) {
                provide(&mut writer);
            } else if let Some(write) = flight.take() {
                let is_refused = !write.bytes.is_empty() && random.chance(1, 8);
                let place = super::stamp::place(&write.bytes);
                if is_refused {
                    writer.told(failed(write, Step::Write, libc::ENOSPC), now_ns);
                    now_ns += SECOND_NS;
                } else {
                    disk.extend(place.map(|place| ((place.segment, place.position), write.bytes.clone())));
                    let committed = writer.told(ok(write), now_ns);
                    assert_eq!(committed.map(|committed| committed.place), place, "seed {seed}");
                    groups.extend(committed.map(|committed| (committed.group, committed)));
                }
            } else {
                flight = writer.next_write(now_ns);
            }
            assert!(writer.durable_upto() <= writer.kept_upto() && writer.kept_upto() <= number);
            if step >= 200 {
                writer.finish();
                if writer.is_done() {
                    break;
                }
            }
        }
        assert_eq!(writer.durable_upto(), number, "seed {seed}");
        let mut appended = appended.into_iter();
        for Committed { place, upto, .. } in groups.into_values() {
            let bytes = &disk[&(place.segment, place.position)];
            let (count, last) = records(bytes);
            assert_eq!(last, upto, "seed {seed}");
            let mut rest = &bytes[32..];
            for _ in 0..count {
                let (number, record) = appended.next().unwrap();
                assert!(number <= upto, "seed {seed}");
                rest = rest.strip_prefix(&record[..]).unwrap();
            }
        }
        assert_eq!(appended.next(), None, "seed {seed}");
    }
}
