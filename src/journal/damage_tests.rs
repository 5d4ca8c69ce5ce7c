//! Bits that flip, files that are cut and blocks that turn to garbage in a filled journal: what is delivered is what was written.

use std::collections::BTreeMap;

use super::group::Group;
use super::place::{BLOCK_BYTES, SegmentNumber};
use super::replay::Found;
use super::report::Report;
use super::testing::{ID, Journal, replay};
use crate::base::random::Random;
use crate::engine::change::Serial;
use crate::journal::arbitrary::{EPOCH, content_of};

/// A journal whose oldest segment was dropped, closed as a shell closes it: with an empty frame behind all others.
fn filled(seed: u64) -> Journal {
    let mut journal = Journal::new(24 << 10);
    journal.fill(260, &mut Random::from_seed(seed));
    journal.files.remove(&SegmentNumber::FIRST);
    journal.append(&mut Group::new(ID, EPOCH));
    journal
}

/// What is told after harm was done to one file, beside what was told before.
struct Trial {
    journal: Journal,
    before: Vec<Found>,
}

impl Trial {
    fn new(seed: u64) -> Self {
        let journal = filled(seed);
        let (before, report) = journal.replay();
        assert!(report.is_clean() && before.len() > 100, "{report:?}");
        Self { journal, before }
    }

    /// A byte that is used, each equally likely.
    fn pick(&self, random: &mut Random) -> (SegmentNumber, usize) {
        let used = self.journal.files.keys().map(|&number| (number, self.journal.used(number)));
        let used: BTreeMap<_, _> = used.collect();
        let mut at = random.index(used.values().sum());
        for (number, len) in used {
            if at < len {
                return (number, at);
            }
            at -= len;
        }
        unreachable!("the index lies below the sum")
    }

    /// Replays with this file instead of the one of its number, asserts that nothing wrong is told, and says what is missing.
    fn lost(&self, number: SegmentNumber, file: &[u8]) -> (Vec<&Found>, Report) {
        let files =
            self.journal.files.iter().map(|(other, whole)| (*other, if *other == number { file } else { whole }));
        let (found, report) = replay(&files.collect::<Vec<_>>());
        let mut told = found.iter().peekable();
        let mut lost = Vec::new();
        for one in &self.before {
            let Some(again) = told.next_if(|next| next.serial == one.serial) else {
                lost.push(one);
                continue;
            };
            let expected = &self.journal.written[&one.serial];
            assert_eq!(&content_of(again.serial, &again.change), expected, "{:?} is told wrongly", one.serial);
        }
        assert!(told.next().is_none(), "what nobody has written is told, or in the wrong order");
        (lost, report)
    }
}

fn serials(lost: &[&Found]) -> Vec<Serial> {
    lost.iter().map(|one| one.serial).collect()
}

#[test]
fn a_flipped_bit_loses_at_most_the_record_it_hits_and_is_reported() {
    let mut random = Random::from_seed(1);
    let (mut hits, mut misses) = (0, 0);
    for seed in 0..10 {
        let trial = Trial::new(seed);
        for _ in 0..1_000 {
            let (number, at) = trial.pick(&mut random);
            let mut file = trial.journal.files[&number].clone();
            file[at] ^= 1 << random.index(8);
            let (lost, report) = trial.lost(number, &file);
            assert!(report.is_flawed(), "byte {at} of {number:?} is not reported: {report:?}");
            assert!(lost.len() <= 1, "byte {at} of {number:?}: {:?} are lost", serials(&lost));
            let is_hit = |one: &&Found| {
                let start = usize::try_from(one.place.position).unwrap();
                one.place.segment == number && (start..start + one.bytes as usize).contains(&at)
            };
            assert!(lost.iter().all(is_hit), "byte {at} of {number:?} loses a record elsewhere: {:?}", serials(&lost));
            (hits, misses) = (hits + lost.len(), misses + usize::from(lost.is_empty()));
        }
    }
    assert!(hits > 4_000 && misses > 100, "{hits} records hit, {misses} flips beside all records");
}

#[test]
fn a_cut_file_loses_what_lay_behind_the_cut_and_is_reported() {
    let mut random = Random::from_seed(2);
    for seed in 10..15 {
        let trial = Trial::new(seed);
        for _ in 0..400 {
            let number = *random.pick(&trial.journal.files.keys().copied().collect::<Vec<_>>()).unwrap();
            let end = random.index(trial.journal.files[&number].len());
            let file = trial.journal.files[&number][..end].to_vec();
            let is_tail = trial.journal.replay().1.tail.is_some_and(|tail| tail.place.segment == number);
            let (lost, report) = trial.lost(number, &file);
            for one in lost {
                let is_behind = one.place.position + u64::from(one.bytes) > end as u64;
                // The last frame of a stream counts as a whole or not at all; a header that is cut takes all with it.
                let (frame, bytes) = trial.journal.frame_of(one.place);
                let is_in_cut_frame = is_tail && frame.position + bytes > end as u64;
                assert!(one.place.segment == number && (is_behind || is_in_cut_frame || end < BLOCK_BYTES));
            }
            assert!(report.is_flawed(), "cut of {number:?} at {end}: {report:?}");
        }
    }
}

#[test]
fn a_lost_first_block_loses_no_record() {
    for seed in 20..24 {
        let trial = Trial::new(seed);
        for number in trial.journal.files.keys().copied().collect::<Vec<_>>() {
            let mut file = trial.journal.files[&number].clone();
            file[..BLOCK_BYTES].fill(0);
            let (lost, report) = trial.lost(number, &file);
            assert_eq!(serials(&lost), [], "{number:?}");
            assert!(report.is_flawed());
        }
    }
}

#[test]
fn a_block_of_garbage_loses_nothing_outside_of_its_frame() {
    let mut random = Random::from_seed(3);
    for seed in 30..34 {
        let trial = Trial::new(seed);
        for round in 0..200 {
            let (number, at) = trial.pick(&mut random);
            let block = at - at % BLOCK_BYTES;
            let mut file = trial.journal.files[&number].clone();
            let garbage = &mut file[block..block + BLOCK_BYTES];
            if round % 2 == 0 {
                garbage.fill(0xff);
            } else {
                random.fill(garbage);
            }
            let (lost, report) = trial.lost(number, &file);
            assert!(report.damages_count > 0 || report.tail.is_some_and(|tail| tail.place.segment == number));
            let frames = lost.iter().map(|one| trial.journal.frame_of(one.place).0);
            let (frames, position) = (frames.collect::<Vec<_>>(), block as u64);
            assert!(frames.iter().all(|frame| frame.segment == number && frame.position <= position));
            assert!(frames.windows(2).all(|pair| pair[0] == pair[1]), "the block is a part of one frame");
        }
    }
}

#[test]
fn random_bytes_are_no_journal() {
    let mut random = Random::from_seed(4);
    for _ in 0..200 {
        let mut file = vec![0; random.index(100_000)];
        random.fill(&mut file);
        let (found, report) = replay(&[(SegmentNumber::FIRST, &file)]);
        assert!(found.is_empty() && report.damages_count == 1, "{report:?}");
    }
}
