//! A journal in memory with small segments, for the tests of this room.

use std::collections::BTreeMap;

use super::arbitrary::{EPOCH, any_change, content_of};
use super::group::Group;
use super::place::{BLOCK_BYTES, JournalId, Place, SegmentNumber};
use super::replay::{Found, Listed, Replay, Step};
use super::report::Report;
use super::scribe::Scribe;
use super::segment::Header;
use crate::base::random::Random;
use crate::engine::change::{Change, Serial};
use crate::engine::homes::ShardId;

pub const ID: JournalId = JournalId::new(*b"one journal's id");
pub const SHARD: ShardId = ShardId::new(1);

/// A journal of one shard in memory, written as the shell writes it: one group at a time, a new segment when it does not fit.
#[derive(Clone, Debug)]
pub struct Journal {
    pub files: BTreeMap<SegmentNumber, Vec<u8>>,
    /// What was written, in its order.
    pub written: BTreeMap<Serial, Vec<u8>>,
    /// Where each frame lies, with its length.
    pub frames: Vec<(Place, u64)>,
    scribe: Scribe,
}

impl Journal {
    pub fn new(segment_bytes: u64) -> Self {
        let (files, written, frames) = (BTreeMap::new(), BTreeMap::new(), Vec::new());
        let next = SegmentNumber::FIRST;
        let scribe = Scribe { id: ID, shard: SHARD, shards: 2, segment_bytes, tail: None, next };
        Self { files, written, frames, scribe }
    }

    /// Commits these changes together.
    pub fn commit(&mut self, changes: &[(Serial, Change)]) -> Place {
        let mut group = Group::new(ID, EPOCH);
        for (serial, change) in changes {
            group.push(*serial, change);
            self.written.insert(*serial, content_of(*serial, change));
        }
        self.append(&mut group)
    }

    /// Commits this many random changes, in groups of random sizes.
    pub fn fill(&mut self, count: u64, random: &mut Random) {
        let mut next = self.written.last_key_value().map_or(Serial::new(2), |(last, _)| last.next());
        let end = next.get() + count;
        while next.get() < end {
            let mut changes = Vec::new();
            for _ in 0..random.range(1, 40.min(end - next.get())) {
                changes.push((next, any_change(next, random)));
                next = next.next();
            }
            self.commit(&changes);
        }
    }

    /// Writes a group behind the last one, or into a new segment.
    pub fn append(&mut self, group: &mut Group) -> Place {
        let page = self.scribe.page(group);
        let length = usize::try_from(page.segment_bytes()).unwrap();
        let file = self.files.entry(page.place.segment).or_insert_with(|| vec![0; length]);
        let start = usize::try_from(page.place.position).unwrap();
        file[start..start + page.bytes.len()].copy_from_slice(&page.bytes);
        // The header of a segment lies in front of its first frame.
        let place = Place { position: page.place.position.max(BLOCK_BYTES as u64), ..page.place };
        self.frames.push((place, group.frame_bytes()));
        self.scribe.written(&page);
        place
    }

    /// The next group begins a new segment.
    pub fn end_segment(&mut self) {
        if let Some(tail) = &mut self.scribe.tail {
            tail.length = tail.place.position;
        }
    }

    /// What a start would read from the files as they are now.
    pub fn replay(&self) -> (Vec<Found>, Report) {
        let files: Vec<_> = self.files.iter().map(|(number, file)| (*number, &file[..])).collect();
        replay(&files)
    }

    /// The frame that something lies in, with its length.
    pub fn frame_of(&self, place: Place) -> (Place, u64) {
        let covers = |(frame, bytes): &&(Place, u64)| {
            frame.segment == place.segment && (frame.position..frame.position + bytes).contains(&place.position)
        };
        *self.frames.iter().find(covers).unwrap()
    }

    /// Where in a file used bytes are.
    pub fn used(&self, number: SegmentNumber) -> usize {
        let end = self.files.keys().find_map(|other| {
            let (header, _) = Header::parse(&self.files[other]).ok()?;
            header.previous.filter(|previous| previous.number == number).map(|previous| previous.end)
        });
        let tail = || self.scribe.tail.filter(|tail| tail.place.segment == number).map(|tail| tail.place.position);
        usize::try_from(end.or_else(tail).unwrap()).unwrap()
    }
}

/// Replays files that lie there under these numbers.
pub fn replay(files: &[(SegmentNumber, &[u8])]) -> (Vec<Found>, Report) {
    let listed: Vec<Listed> = files
        .iter()
        .map(|(number, file)| Listed {
            number: *number,
            available: file.len() as u64,
            header: Header::parse(&file[..file.len().min(BLOCK_BYTES)]),
        })
        .collect();
    let mut replay = Replay::new(ID, SHARD, EPOCH, &listed).expect("no newer version");
    let mut found = Vec::new();
    loop {
        match replay.step() {
            Step::Change(change) => found.push(change),
            Step::Wants { place, bytes } => {
                let (_, file) = files.iter().find(|(number, _)| *number == place.segment).unwrap();
                let start = usize::try_from(place.position).unwrap();
                replay.feed(place, bytes, &file[start..start + usize::try_from(bytes).unwrap()]);
            }
            Step::Newer { kind, place } => panic!("kind {kind} at {place:?}"),
            Step::Done => return (found, replay.report().clone()),
        }
    }
}
