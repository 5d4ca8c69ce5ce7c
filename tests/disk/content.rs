//! The bytes of a file over syncs and power cuts.

use crate::fickle::content::{Content, SECTOR_BYTES};
use crate::fickle::luck::Luck;

/// A file of so many bytes of one kind, all safe.
fn safe(len: usize, byte: u8) -> Content {
    let mut content = Content::default();
    content.write(0, &vec![byte; len]);
    content.keep(content.mark());
    content
}

fn all(content: &Content) -> &[u8] {
    content.read(0, usize::MAX)
}

#[test]
fn what_was_synced_survives_and_the_rest_does_not() {
    let mut content = safe(10, 1);
    content.write(4, &[2; 10]);
    content.resize(20);
    assert_eq!(content.len(), 20);
    content.cut(&mut Luck::None);
    assert_eq!(all(&content), [1; 10]);
}

#[test]
fn a_sync_is_about_what_was_written_before_it_began() {
    let mut content = Content::default();
    content.write(0, b"before");
    let mark = content.mark();
    content.write(0, b"behind");
    content.keep(mark);
    assert_eq!(all(&content), b"behind");
    content.cut(&mut Luck::None);
    assert_eq!(all(&content), b"before");
}

#[test]
fn syncs_that_overtake_each_other_keep_each_what_they_are_about() {
    let mut content = Content::default();
    content.write(0, b"1");
    let first = content.mark();
    content.write(1, b"2");
    let second = content.mark();
    content.write(2, b"3");
    content.keep(second);
    content.keep(first);
    content.cut(&mut Luck::None);
    assert_eq!(all(&content), b"12");
}

#[test]
fn a_failed_sync_is_not_made_good_by_the_next_one() {
    let mut content = safe(1, 1);
    content.write(0, &[2]);
    content.give_up(content.mark());
    content.write(1, &[3]);
    content.keep(content.mark());
    assert_eq!(all(&content), [2, 3]);
    content.cut(&mut Luck::None);
    assert_eq!(all(&content), [1, 3]);
}

#[test]
fn a_length_is_kept_with_the_sync() {
    let mut content = safe(10, 1);
    content.resize(3);
    content.keep(content.mark());
    content.resize(5);
    content.cut(&mut Luck::None);
    assert_eq!(all(&content), [1; 3]);
}

#[test]
fn unsynced_writes_are_kept_lost_and_torn_at_sectors_and_later_ones_survive_earlier_ones() {
    const WRITE: usize = 4 * SECTOR_BYTES;
    let (mut was_kept, mut was_lost, mut was_torn, mut was_reordered) = (false, false, false, false);
    for seed in 0..200 {
        let mut content = safe(2 * WRITE, 1);
        // Not at the border of a sector: the first and the last part are shorter.
        content.write(100, &[2; WRITE - 100]);
        content.write(WRITE, &[3; WRITE]);
        content.cut(&mut Luck::of_seed(seed));
        let bytes = all(&content);
        assert!(bytes[..100].iter().all(|byte| *byte == 1), "nobody wrote there");
        let sectors: Vec<u8> = bytes.chunks(SECTOR_BYTES).map(|sector| sector[SECTOR_BYTES - 1]).collect();
        for (sector, last) in bytes.chunks(SECTOR_BYTES).zip(&sectors).skip(1) {
            assert!(sector.iter().all(|byte| byte == last), "a sector is never torn");
        }
        let (first, second) = sectors.split_at(4);
        was_kept |= second.iter().all(|byte| *byte == 3);
        was_lost |= second.iter().all(|byte| *byte == 1);
        was_torn |= second.contains(&1) && second.contains(&3);
        was_reordered |= first.iter().all(|byte| *byte == 1) && second.contains(&3);
    }
    assert!(was_kept && was_lost && was_torn && was_reordered);
}

#[test]
fn a_file_may_have_grown_without_the_bytes_that_made_it_grow() {
    let cut = |seed| {
        let mut content = safe(SECTOR_BYTES, 1);
        content.write(SECTOR_BYTES, &[2; 2 * SECTOR_BYTES]);
        content.cut(&mut Luck::of_seed(seed));
        all(&content).to_vec()
    };
    let grown: Vec<_> = (0..100).map(cut).filter(|bytes| bytes.len() == 3 * SECTOR_BYTES).collect();
    assert!(grown.iter().any(|bytes| bytes[2 * SECTOR_BYTES..].iter().all(|byte| *byte == 0)));
    assert_eq!(cut(7), cut(7), "the same seed is the same fate");
}
