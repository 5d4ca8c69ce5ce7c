//! Journals that are read back as they were written, cut off by a crash, dropped in part and recycled.

use super::arbitrary::{EPOCH, any_change, content_of};
use super::frame::{FrameHeader, HEAD_BYTES};
use super::group::Group;
use super::kind::Kind;
use super::place::{BLOCK_BYTES, JournalId, Place, SegmentNumber};
use super::record::Record;
use super::replay::{Found, Listed, Replay, Step};
use super::report::{Flaw, Report};
use super::segment::{Header, HeaderError, VERSION};
use super::testing::{ID, Journal, SHARD, replay};
use crate::base::random::Random;
use crate::engine::change::{Change, Serial};
use crate::engine::homes::ShardId;
use crate::engine::message::{Message, SessionId};
use crate::mqtt::QoS;

const SEGMENT_BYTES: u64 = 64 << 10;

fn filled(count: u64, seed: u64) -> Journal {
    let mut journal = Journal::new(SEGMENT_BYTES);
    journal.fill(count, &mut Random::from_seed(seed));
    journal
}

/// The numbers of what was found; each is what was written under it.
fn numbers(journal: &Journal, found: &[Found]) -> Vec<Serial> {
    for one in found {
        let expected = journal.written.get(&one.serial);
        assert_eq!(Some(&content_of(one.serial, &one.change)), expected, "{:?} is another one", one.serial);
    }
    let numbers: Vec<_> = found.iter().map(|found| found.serial).collect();
    assert!(numbers.is_sorted_by(|one, next| one < next), "each number comes once and in its order");
    numbers
}

fn all(journal: &Journal) -> Vec<Serial> {
    journal.written.keys().copied().collect()
}

fn gone(topic: &str) -> Change {
    Change::RetainedGone { topic: topic.into() }
}

fn bytes_of<'a>(journal: &'a Journal, found: &Found) -> &'a [u8] {
    let start = usize::try_from(found.place.position).unwrap();
    &journal.files[&found.place.segment][start..start + found.bytes as usize]
}

#[test]
fn a_journal_tells_what_was_written_in_its_order() {
    let journal = filled(3_000, 1);
    assert!(journal.files.len() > 10, "{} segments", journal.files.len());
    let (found, report) = journal.replay();
    assert_eq!(numbers(&journal, &found), all(&journal));
    assert!(report.is_clean(), "{report:?}");
    assert_eq!((report.records, report.segments), (3_000, journal.files.len() as u64));
    assert_eq!(report.last, *journal.written.last_key_value().unwrap().0);
    assert!(report.resume_after() > report.last);
}

#[test]
fn an_empty_journal_tells_nothing() {
    let (found, report) = replay(&[]);
    assert!(found.is_empty() && report.is_clean());
    assert_eq!((report.resume_after(), report.tail), (Serial::NONE, None));
}

#[test]
fn every_record_is_read_alone_from_where_it_was_found() {
    let journal = filled(500, 2);
    for found in journal.replay().0 {
        let record = Record::parse_alone(bytes_of(&journal, &found), found.serial, ID).unwrap();
        let change = record.change(EPOCH).unwrap().unwrap();
        assert_eq!(content_of(found.serial, &change), journal.written[&found.serial]);
    }
}

#[test]
fn the_tail_is_where_the_writer_stopped() {
    let mut journal = filled(300, 3);
    let last = journal.commit(&[(Serial::new(10_000), gone("t"))]);
    let tail = journal.replay().1.tail.unwrap();
    let position = last.position + BLOCK_BYTES as u64;
    assert_eq!((tail.place, tail.length), (Place { position, ..last }, SEGMENT_BYTES));
    assert_eq!(tail.torn_bytes, None);
}

#[test]
fn a_message_larger_than_a_segment_has_one_of_its_own() {
    let mut journal = filled(50, 4);
    let message = Message::copied("large", &vec![7; 3 << 20], QoS::AtLeastOnce, SessionId::BROKER);
    let place = journal.commit(&[(Serial::new(100), Change::Body { message })]);
    journal.commit(&[(Serial::new(101), gone("t"))]);
    assert!(journal.files[&place.segment].len() > 3 << 20);
    let (found, report) = journal.replay();
    assert_eq!(numbers(&journal, &found), all(&journal));
    assert!(report.is_clean());
}

#[test]
fn an_end_without_its_beginning_is_told_like_any_other() {
    let mut journal = Journal::new(SEGMENT_BYTES);
    let (session, copy) = (SessionId::restored(9), Serial::new(4));
    journal.commit(&[
        (Serial::new(70), Change::Settled { session, copy }),
        (Serial::new(71), Change::SessionEnded { session }),
    ]);
    let (found, report) = journal.replay();
    assert_eq!(numbers(&journal, &found), [Serial::new(70), Serial::new(71)]);
    assert!(report.is_clean());
}

#[test]
fn the_oldest_segments_may_be_gone() {
    let mut journal = filled(1_000, 5);
    journal.files.pop_first();
    let oldest = *journal.files.first_key_value().unwrap().0;
    let border = journal.replay().0[0].serial;
    let (found, report) = journal.replay();
    assert!(found[0].place.segment == oldest && report.is_clean(), "{report:?}");
    let expected: Vec<_> = all(&journal).into_iter().filter(|serial| *serial >= border).collect();
    assert_eq!(numbers(&journal, &found), expected);
}

#[test]
fn a_recycled_segment_that_was_not_begun_counts_for_nothing() {
    let mut journal = filled(1_000, 6);
    let expected = all(&journal);
    let tail = journal.replay().1.tail;
    let dead = journal.files.first_key_value().unwrap().1.clone();
    let next = journal.files.last_key_value().unwrap().0.next();
    journal.files.insert(next, dead);
    let (found, report) = journal.replay();
    assert_eq!(numbers(&journal, &found), expected);
    assert!(report.is_clean() && report.tail == tail, "{report:?}");
}

#[test]
fn only_a_segment_between_others_is_missing() {
    let journal = filled(1_000, 7);
    let mut without_oldest = journal.clone();
    without_oldest.files.pop_first();
    assert!(without_oldest.replay().1.is_clean(), "the oldest may be dropped");

    let mut torn_out = journal.clone();
    let third = SegmentNumber::new(3);
    torn_out.files.remove(&third);
    let (found, report) = torn_out.replay();
    assert_eq!((&report.missing[..], report.damages_count), (&[third][..], 0));
    let lost: Vec<_> =
        journal.replay().0.iter().filter(|one| one.place.segment == third).map(|one| one.serial).collect();
    let kept: Vec<_> = all(&journal).into_iter().filter(|serial| !lost.contains(serial)).collect();
    assert_eq!(numbers(&journal, &found), kept);
}

#[test]
fn what_belongs_to_another_journal_or_shard_is_set_aside() {
    let journal = filled(400, 8);
    let files: Vec<_> = journal.files.iter().map(|(number, file)| (*number, file.as_slice())).collect();
    let listed: Vec<_> = files.iter().map(|(number, file)| listed(*number, file)).collect();
    for (id, shard) in [(JournalId::new([1; 16]), SHARD), (ID, ShardId::new(0))] {
        let mut replay = Replay::new(id, shard, EPOCH, &listed).unwrap();
        assert!(matches!(replay.step(), Step::Done));
        let flaws: Vec<_> = replay.report().damages.iter().map(|damage| damage.flaw).collect();
        assert_eq!(flaws, vec![Flaw::Foreign; files.len()]);
    }
}

fn listed(number: SegmentNumber, file: &[u8]) -> Listed {
    Listed { number, available: file.len() as u64, header: Header::parse(&file[..BLOCK_BYTES]) }
}

#[test]
fn a_frame_of_another_journal_or_another_place_is_none_of_ours() {
    let mut group = Group::new(ID, EPOCH);
    group.push(Serial::new(2), &gone("t"));
    let place = Place { segment: SegmentNumber::new(4), position: 8192 };
    let frame = group.seal(place);
    assert!(FrameHeader::parse(frame, place, ID).is_some());
    assert_eq!(FrameHeader::parse(frame, place, JournalId::new([1; 16])), None);
    assert_eq!(FrameHeader::parse(frame, Place { segment: SegmentNumber::new(5), ..place }, ID), None);
    assert_eq!(FrameHeader::parse(frame, Place { position: 4096, ..place }, ID), None);
    assert_eq!(FrameHeader::parse(&frame[..HEAD_BYTES - 1], place, ID), None);
}

#[test]
fn a_newer_version_stops_the_start() {
    let journal = filled(200, 9);
    let mut all: Vec<_> = journal.files.iter().map(|(number, file)| listed(*number, file)).collect();
    all[1].header = Err(HeaderError::Newer { found: VERSION + 1 });
    let error = Replay::new(ID, SHARD, EPOCH, &all).unwrap_err();
    assert_eq!(error, HeaderError::Newer { found: VERSION + 1 });
}

/// A journal whose second record is of this kind, which nobody knows.
fn with_unknown_kind(kind: u8) -> Journal {
    let mut journal = Journal::new(SEGMENT_BYTES);
    let changes: Vec<_> = (2..5).map(Serial::new).map(|serial| (serial, gone("t"))).collect();
    let place = journal.commit(&changes);
    let file = journal.files.get_mut(&place.segment).unwrap();
    let start = usize::try_from(place.position).unwrap();
    let content = b"\x12t";
    // The record is written again with the other kind, and the frame's sum with its new checksum.
    let at = start + HEAD_BYTES + 8;
    assert_eq!(file[at + 6..at + 8], *content);
    let mut checksum = ID.checksum();
    checksum.update(&3_u64.to_le_bytes());
    checksum.update(&[kind, b't']);
    file[at..at + 4].copy_from_slice(&checksum.value().to_le_bytes());
    file[at + 6] = kind;
    journal
}

#[test]
fn an_unknown_kind_is_passed_over_if_it_may_be_and_stops_the_start_if_not() {
    let mut journal = with_unknown_kind(0xff);
    journal.commit(&[]);
    let (found, report) = journal.replay();
    assert_eq!(found.iter().map(|one| one.serial.get()).collect::<Vec<_>>(), [2, 4]);
    assert_eq!((report.skipped, report.records), (1, 3));

    let mut journal = with_unknown_kind(0x7f);
    journal.commit(&[]);
    let listed: Vec<_> = journal.files.iter().map(|(number, file)| listed(*number, file)).collect();
    let mut replay = Replay::new(ID, SHARD, EPOCH, &listed).unwrap();
    let Step::Wants { place, bytes } = replay.step() else { panic!("it has read nothing yet") };
    let start = usize::try_from(place.position).unwrap();
    let file = &journal.files[&place.segment];
    replay.feed(place, bytes, &file[start..start + usize::try_from(bytes).unwrap()]);
    assert!(matches!(replay.step(), Step::Change(Found { .. })));
    assert!(matches!(replay.step(), Step::Newer { kind: 0x7f, .. }));
}

#[test]
fn a_frame_that_was_torn_does_not_count_and_is_overwritten() {
    let mut random = Random::from_seed(10);
    let has_room = |journal: &Journal| journal.replay().1.tail.unwrap().place.position < SEGMENT_BYTES / 2;
    let mut before = (11..100).map(|seed| filled(120, seed)).find(has_room).unwrap();
    // A segment that was used before: old frames lie behind the tail.
    let tail = before.replay().1.tail.unwrap().place;
    let start = usize::try_from(tail.position).unwrap();
    let stale = filled(900, 12).files.into_iter().find(|(number, _)| *number > tail.segment).unwrap().1;
    before.files.get_mut(&tail.segment).unwrap()[start..].copy_from_slice(&stale[start..]);
    assert_eq!(before.replay().1.tail.unwrap().place, tail, "stale frames do not count");

    let last = before.written.last_key_value().unwrap().0.get();
    let changes: Vec<_> = (last + 1..last + 30).map(Serial::new).map(|at| (at, any_change(at, &mut random))).collect();
    let mut after = before.clone();
    let place = after.commit(&changes);
    assert_eq!(place, tail);
    let whole = &after.files[&place.segment];
    let end = after.used(place.segment);
    let content_end = (start..end).rfind(|&at| whole[at] != 0).unwrap() + 1;
    for cut in (start..content_end).step_by(512) {
        // The front was written or the back; of the rest the disk has what was there before.
        for written in [start..cut, cut + 512..end] {
            let mut torn = before.clone();
            torn.files.get_mut(&place.segment).unwrap()[written.clone()].copy_from_slice(&whole[written.clone()]);
            let (found, report) = torn.replay();
            assert_eq!(numbers(&before, &found), all(&before), "only {written:?} was written");
            assert!(report.is_clean(), "{report:?}");
            assert_eq!(report.tail.unwrap().place, tail);
            resumes(&torn, &report);
        }
    }
}

/// Whoever goes on behind the tail, in the same segment or in a new one, is understood.
fn resumes(torn: &Journal, report: &Report) {
    let serial = report.resume_after().next();
    let mut here = torn.clone();
    here.commit(&[(serial, gone("here"))]);
    let (found, report) = here.replay();
    assert_eq!(numbers(&here, &found), all(&here));
    assert!(report.is_clean() && report.tail.unwrap().torn_bytes.is_none(), "{report:?}");

    let mut elsewhere = torn.clone();
    elsewhere.end_segment();
    elsewhere.commit(&[(serial, gone("elsewhere"))]);
    let (found, report) = elsewhere.replay();
    assert_eq!(numbers(&elsewhere, &found), all(&elsewhere), "the torn frame lies behind the end of its segment");
    assert!(report.is_clean(), "{report:?}");
}

#[test]
fn a_torn_frame_is_seen_as_one() {
    let mut journal = filled(60, 13);
    let place = journal.commit(&[(Serial::new(500), any_body()), (Serial::new(501), gone("t"))]);
    let start = usize::try_from(place.position).unwrap();
    journal.files.get_mut(&place.segment).unwrap()[start + 4096..start + 8192].fill(0);
    let report = journal.replay().1;
    assert_eq!(report.tail.unwrap().torn_bytes, Some(12 << 10));
}

fn any_body() -> Change {
    Change::Body { message: Message::copied("t", &[1; 9_000], QoS::AtLeastOnce, SessionId::BROKER) }
}

#[test]
fn a_file_that_ends_while_it_is_read_is_reported() {
    let journal = filled(30, 14);
    let (number, file) = journal.files.first_key_value().unwrap();
    let mut replay = Replay::new(ID, SHARD, EPOCH, &[listed(*number, file)]).unwrap();
    let Step::Wants { place, bytes } = replay.step() else { panic!("it has read nothing yet") };
    let start = usize::try_from(place.position).unwrap();
    replay.feed(place, bytes, &file[start..start + 100]);
    assert!(matches!(replay.step(), Step::Done), "a frame that is torn");
    assert_eq!(replay.report().damages.iter().map(|damage| damage.flaw).collect::<Vec<_>>(), [Flaw::Cut]);
}

#[test]
fn every_kind_is_found_again() {
    let (found, _) = filled(3_000, 15).replay();
    for kind in Kind::ALL {
        assert!(found.iter().any(|one| Kind::of(&one.change) == kind), "{kind:?}");
    }
}
