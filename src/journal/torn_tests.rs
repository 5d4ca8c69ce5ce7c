//! The first write to a segment, and any other, of which a crash leaves some sectors: no damage, and the log goes on behind it.

use super::place::{BLOCK_BYTES, SegmentNumber};
use super::report::Report;
use super::testing::{ID, Journal, SHARD};
use crate::base::random::Random;
use crate::engine::change::{Change, Serial};

const SECTOR_BYTES: usize = 512;
const SEGMENT_BYTES: u64 = 64 << 10;

fn gone(topic: &str) -> Change {
    Change::RetainedGone { topic: topic.into() }
}

/// A journal of some segments, and the same with one more write, which is the first one to its segment or not.
fn before_and_after(is_first: bool) -> (Journal, Journal) {
    let mut before = Journal::new(SEGMENT_BYTES);
    before.fill(200, &mut Random::from_seed(7));
    if is_first {
        before.end_segment();
    } else {
        before.commit(&[(Serial::new(500), gone("before"))]);
    }
    let mut after = before.clone();
    after.commit(&[(Serial::new(1_000), gone("torn"))]);
    (before, after)
}

/// What a start makes of it: what is to be mended is, and then nothing is wrong.
fn restarted(mut journal: Journal) -> (Journal, Report) {
    let (found, report) = journal.replay();
    assert!(report.is_clean(), "{report:?}");
    for mend in report.mends.clone() {
        let place = mend.damage.place;
        let bytes = mend.into_bytes(ID, SHARD, 2);
        let start = usize::try_from(place.position).unwrap();
        journal.files.get_mut(&place.segment).unwrap()[start..start + bytes.len()].copy_from_slice(&bytes);
    }
    let (again, mended) = journal.replay();
    assert!(!mended.is_flawed() && again.len() == found.len(), "{mended:?}");
    assert_eq!(mended.tail.map(|tail| tail.place), report.tail.map(|tail| tail.place));
    (journal, report)
}

/// Tries ways in which only some sectors of a write may be there, over each of these files.
fn tears(before: &Journal, after: &Journal, old: &[Vec<u8>]) {
    let (place, bytes) = *after.frames.last().unwrap();
    let whole = &after.files[&place.segment];
    let is_first = !before.files.contains_key(&place.segment);
    let start = if is_first { 0 } else { usize::try_from(place.position).unwrap() };
    let end = usize::try_from(place.position + bytes).unwrap();
    let count = (end - start) / SECTOR_BYTES;
    let (mut there, mut mended) = (0, 0);
    let mut random = Random::from_seed(8);
    for round in 0..2_000 {
        let all = (1 << count) - 1;
        let [some, others] = [random.below(1 << count), random.below(1 << count)];
        let sectors = [all, some, some & others, some | others, all ^ (1 << random.index(count))][round % 5];
        let old = &old[random.index(old.len())];
        let mut file = old.clone();
        for sector in (0..count).filter(|sector| sectors >> sector & 1 == 1) {
            let range = start + sector * SECTOR_BYTES..start + (sector + 1) * SECTOR_BYTES;
            file[range.clone()].copy_from_slice(&whole[range]);
        }
        let mut torn = before.clone();
        torn.files.insert(place.segment, file);
        let (torn, report) = restarted(torn);
        let last = torn.replay().1.last;
        assert!(sectors != all || last == Serial::new(1_000), "what is whole counts");
        there += usize::from(last == Serial::new(1_000));
        mended += report.mends.len();
        let tail = report.tail.unwrap().place.segment;
        assert_eq!(report.next, tail.next(), "what does not count is made anew");
        assert!(tail == place.segment || is_first && last != Serial::new(1_000));
    }
    assert!(there > 1 && mended > 1, "{there} writes were whole enough, {mended} pieces mended");
}

#[test]
fn the_first_write_to_a_segment_may_be_torn() {
    let (before, after) = before_and_after(true);
    let blank = vec![0; usize::try_from(SEGMENT_BYTES).unwrap()];
    let recycled = before.files[&SegmentNumber::FIRST].clone();
    assert_eq!(recycled.len(), blank.len());
    tears(&before, &after, &[blank, recycled]);
}

#[test]
fn a_write_behind_another_one_may_be_torn() {
    let (before, after) = before_and_after(false);
    let place = after.frames.last().unwrap().0;
    let blank = before.files[&place.segment].clone();
    let mut recycled = blank.clone();
    let start = usize::try_from(place.position).unwrap();
    recycled[start..].fill(0xff);
    assert!(place.position > BLOCK_BYTES as u64);
    tears(&before, &after, &[blank, recycled]);
}
