//! What the files of a shard lie on: whoever reads sees all that was written, and of what was not synced a power cut leaves any part.
//!
//! What the shell leaves unsynced at the same time is little, and that much is modelled:
//!
//! | what | why |
//! |---|---|
//! | one write of one group, with its segment's header in front of it | the next one begins when the sync of this one was told (`Writer::next_write`) |
//! | where the device is given time, all groups since the last sync, of one segment | it is synced before it is left (`Writer::write_group`) |
//! | the last words of a process that was killed, and what the next one has mended | a start writes what is torn, and then syncs (`read_back`) |
//! | one name: of a segment that is made, or of a dead one that is taken away | one thread does one after the other, and syncs the folder each time (`Shelf`) |
//!
//! Parts reach the device in any order: of each sector, whichever of its contents. A name has no bytes in common with a write, so
//! either may be there without the other.

use std::collections::{BTreeMap, VecDeque};

use pregon::base::random::Random;
use pregon::journal::place::{Place, SegmentNumber};

/// How long a segment is, unless something larger has to fit in.
pub const SEGMENT_BYTES: u64 = 64 << 10;
/// What a disk writes whole: some disks this, others that.
const SECTOR_BYTES: [usize; 2] = [512, 4_096];
/// What a system takes of a write before it looks whether the process is still there.
const PAGE_BYTES: usize = 4_096;

/// Bytes that were written and not synced.
#[derive(Debug)]
struct Write {
    place: Place,
    before: Vec<u8>,
    bytes: Vec<u8>,
}

/// The files of one shard.
#[derive(Debug, Default)]
pub struct Medium {
    /// As whoever reads them sees them.
    files: BTreeMap<SegmentNumber, Vec<u8>>,
    /// What of them the device need not have, in its order.
    unsynced: Vec<Write>,
    /// Segments that are dead and lie there still; the oldest goes first.
    dead: VecDeque<SegmentNumber>,
    /// One that was taken away, of which the device may still know.
    ghost: Option<(SegmentNumber, Vec<u8>)>,
    /// What a segment that comes next lies on, if not on zeros.
    recycled: Vec<Vec<u8>>,
}

impl Medium {
    /// The segments that are there, oldest first.
    pub fn files(&self) -> &BTreeMap<SegmentNumber, Vec<u8>> {
        &self.files
    }

    /// Other bytes in its segments.
    pub fn replace(&mut self, segments: &[(SegmentNumber, Vec<u8>)]) {
        self.files = segments.iter().cloned().collect();
    }

    /// The segments of the log, oldest first: those that are dead belong to it no more.
    pub fn log(&self) -> impl Iterator<Item = (SegmentNumber, &[u8])> {
        let files = self.files.iter().filter(|(number, _)| !self.dead.contains(number));
        files.map(|(number, file)| (*number, file.as_slice()))
    }

    /// Writes bytes, which are not safe yet.
    pub fn write(&mut self, place: Place, bytes: &[u8]) {
        let start = index(place.position);
        let end = start + bytes.len();
        if !self.files.contains_key(&place.segment) {
            self.lay_ghost(); // a segment has its name for good before anything is written to it
            self.files.insert(place.segment, self.recycled.pop().unwrap_or_default());
        }
        let file = self.files.get_mut(&place.segment).expect("it was just made");
        file.resize(file.len().max(end).max(index(SEGMENT_BYTES)), 0);
        let before = file[start..end].to_vec();
        file[start..end].copy_from_slice(bytes);
        self.unsynced.push(Write { place, before, bytes: bytes.to_vec() });
    }

    /// Everything that was written is safe.
    pub fn sync(&mut self) {
        self.unsynced.clear();
    }

    /// A segment is dead: it is taken away when there is time.
    pub fn retire(&mut self, number: SegmentNumber) {
        self.dead.push_back(number);
    }

    /// Takes away the oldest dead segment. Whether there was one.
    pub fn take_away(&mut self) -> bool {
        let Some(number) = self.dead.pop_front() else { return false };
        self.lay_ghost();
        self.ghost = self.files.remove(&number).map(|file| (number, file));
        self.lay_ghost(); // the folder is synced
        true
    }

    /// The device knows as well that it is gone.
    fn lay_ghost(&mut self) {
        let file = self.ghost.take().map(|(_, file)| file);
        self.recycled.extend(file.filter(|file| file.len() == index(SEGMENT_BYTES)));
    }

    /// The process ends, and maybe the power goes. `next` would be the next segment.
    pub fn fail(&mut self, next: SegmentNumber, random: &mut Random) {
        if let Some(number) = self.dead.pop_front_if(|_| random.chance(1, 2)) {
            self.lay_ghost();
            self.ghost = self.files.remove(&number).map(|file| (number, file));
        }
        self.dead.clear();
        if random.chance(1, 4) {
            self.cut_short(random);
        } else {
            self.lose_power(random);
        }
        if !self.files.contains_key(&next) && random.chance(1, 4) {
            let dead = self.recycled.pop().filter(|_| random.chance(1, 2));
            self.files.insert(next, dead.unwrap_or_else(|| vec![0; index(SEGMENT_BYTES)]));
        }
    }

    /// The process is killed, maybe in the middle of its last write.
    fn cut_short(&mut self, random: &mut Random) {
        let Some(mut last) = self.unsynced.pop() else { return };
        let pages = last.bytes.len().div_ceil(PAGE_BYTES);
        let written = (random.index(pages + 1) * PAGE_BYTES).min(last.bytes.len());
        last.bytes[written..].copy_from_slice(&last.before[written..]);
        self.put(last.place, &last.bytes);
        self.unsynced.push(last);
    }

    /// Of each sector that was written the device has what it had before, or what was written at any time since.
    fn lose_power(&mut self, random: &mut Random) {
        let missing = [0, 10, 5, 1][random.index(4)];
        let sector = *random.pick(&SECTOR_BYTES).expect("there are two");
        let writes = std::mem::take(&mut self.unsynced);
        writes.iter().rev().for_each(|write| self.put(write.place, &write.before));
        for write in &writes {
            for (number, bytes) in write.bytes.chunks(sector).enumerate() {
                if !random.chance(missing, 10) {
                    let position = write.place.position + (number * sector) as u64;
                    self.put(Place { position, ..write.place }, bytes);
                }
            }
        }
        if random.chance(1, 2) {
            self.files.extend(self.ghost.take());
        }
        self.lay_ghost();
    }

    fn put(&mut self, place: Place, bytes: &[u8]) {
        let start = index(place.position);
        let file = self.files.get_mut(&place.segment).expect("what was written to is there");
        file[start..start + bytes.len()].copy_from_slice(bytes);
    }

    /// Whatever was made ahead of use, or begun and torn, is made again.
    pub fn clear_from(&mut self, next: SegmentNumber) {
        self.recycled.extend(self.files.extract_if(next.., |_, _| true).map(|(_, file)| file));
    }
}

fn index(position: u64) -> usize {
    usize::try_from(position).expect("it is small")
}
