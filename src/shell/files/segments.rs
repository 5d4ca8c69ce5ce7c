//! The segments of a shard as files: made ahead of use, found again after a start, recycled when they are dead.
//!
//! Everything here waits for the disk, so the keeper's thread does it, or a start before anybody is served. A segment has its name
//! before its first byte is written, and a name is durable before anybody hears of it: who has a segment need not think of folders.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::fd::AsRawFd as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::fcntl::FallocateFlags;

use super::folder::{FILE_MODE, Folder, FolderError, refused, sync_folder};
use crate::engine::homes::ShardId;
use crate::shell::ring::disk::Stream;

/// What the name of a segment ends with.
const SEGMENT: &str = "segment";
/// What the name of a spare one ends with.
const SPARE: &str = "spare";
/// The name of a file that is not whole yet.
const UNFINISHED: &str = "unfinished";
/// So many spare segments are kept at least; otherwise as many as are in use. What more becomes free goes back to the file system.
const SPARES_MIN: usize = 2;
/// How many zeros are written at a time.
const ZEROS_BYTES: usize = 1 << 20;
/// After so many zeros the device is waited for, so that commits meanwhile do not find all of them in front of them.
const ZEROS_BETWEEN_SYNCS: u64 = 8 << 20;

/// A segment that is ready to be written: as long as it will be, on the device, under its name.
#[derive(Debug)]
pub struct Segment {
    /// What it belongs to.
    pub stream: Stream,
    /// Its number within the stream.
    pub number: u64,
    /// Its bytes: zeros, or those of a segment that is dead.
    pub file: File,
    /// How many there are.
    pub bytes: u64,
}

/// A segment that lay there at the start.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// What it belongs to.
    pub stream: Stream,
    /// Its number within the stream.
    pub number: u64,
    /// Where it is.
    pub path: PathBuf,
    /// How long it is.
    pub bytes: u64,
}

/// The folder of one shard.
#[derive(Debug)]
pub struct Shelf {
    path: PathBuf,
    /// How long a segment is, unless something larger has to fit in.
    segment_bytes: u64,
    /// Spare segments, all of that length.
    spares: Vec<PathBuf>,
    /// How many are in use.
    used: usize,
    /// How many there may be in all, as long as no more have to be in use.
    segments_max: usize,
}

impl Shelf {
    /// The folder of a shard, made if it is not there. What an earlier process left half done is removed.
    pub fn open(folder: &Folder, shard: ShardId, segment_bytes: u64) -> Result<Self, FolderError> {
        Self::of(folder.inner(&name_of(shard))?, segment_bytes)
    }

    /// The same in a folder that is there.
    pub fn of(path: PathBuf, segment_bytes: u64) -> Result<Self, FolderError> {
        let mut shelf = Self { path, segment_bytes, spares: Vec::new(), used: 0, segments_max: usize::MAX };
        for path in files(&shelf.path)? {
            let bytes = fs::metadata(&path).map_err(refused("look at", &path))?.len();
            let is_spare = path.extension().is_some_and(|end| end == SPARE);
            shelf.used += usize::from(parse(&path).is_some());
            if is_spare && bytes == segment_bytes {
                shelf.spares.push(path);
            } else if is_spare || path.ends_with(UNFINISHED) {
                fs::remove_file(&path).map_err(refused("remove", &path))?;
            }
        }
        Ok(shelf)
    }

    /// The same with so many segments at most, unless more have to be in use: spare ones make room for them.
    pub fn bounded(mut self, segments_max: usize) -> Result<Self, FolderError> {
        self.segments_max = segments_max;
        self.give_back()?;
        Ok(self)
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The segments that are there.
    pub fn list(&self) -> Result<Vec<Found>, FolderError> {
        list(&self.path)
    }

    /// Makes a segment ready, at least so long. A spare one is taken where there is one; one of the same name gives way.
    pub fn prepare(&mut self, stream: Stream, number: u64, bytes: u64) -> Result<Segment, FolderError> {
        let path = self.path_of(stream, number);
        let bytes = bytes.max(self.segment_bytes);
        let spare = (bytes == self.segment_bytes).then(|| self.spares.last().cloned()).flatten();
        let file = match &spare {
            Some(spare) => open(spare, false)?,
            None => self.make(bytes)?,
        };
        let from = spare.unwrap_or_else(|| self.path.join(UNFINISHED));
        let is_new = !path.exists();
        fs::rename(&from, &path).map_err(refused("rename", &from))?;
        self.spares.retain(|spare| *spare != from);
        sync_folder(&self.path)?;
        self.used += usize::from(is_new);
        Ok(Segment { stream, number, file, bytes })
    }

    /// A segment is dead: it becomes a spare one, or goes.
    pub fn retire(&mut self, stream: Stream, number: u64) -> Result<(), FolderError> {
        let path = self.path_of(stream, number);
        let bytes = fs::metadata(&path).map_err(refused("look at", &path))?.len();
        if bytes == self.segment_bytes {
            let spare = path.with_extension(SPARE);
            fs::rename(&path, &spare).map_err(refused("rename", &path))?;
            self.spares.push(spare);
        } else {
            fs::remove_file(&path).map_err(refused("remove", &path))?;
        }
        self.used = self.used.saturating_sub(1);
        self.give_back()?;
        sync_folder(&self.path)
    }

    /// Spare segments beyond those that are kept go back to the file system.
    fn give_back(&mut self) -> Result<(), FolderError> {
        let kept = self.used.max(SPARES_MIN).min(self.segments_max.saturating_sub(self.used));
        while self.spares.len() > kept {
            let spare = self.spares.pop().expect("there are too many");
            fs::remove_file(&spare).map_err(refused("remove", &spare))?;
        }
        Ok(())
    }

    /// A new file of zeros, all on the device. Nothing is left of one that could not be made.
    fn make(&self, bytes: u64) -> Result<File, FolderError> {
        let path = self.path.join(UNFINISHED);
        let file = open(&path, true)?;
        fill(&file, bytes).map_err(|error| {
            // Its name is taken again by the next one.
            let _ = fs::remove_file(&path);
            refused("write", &path)(error)
        })?;
        Ok(file)
    }

    fn path_of(&self, stream: Stream, number: u64) -> PathBuf {
        self.path.join(format!("{:02x}-{number:016x}.{SEGMENT}", stream.number()))
    }
}

/// What the folder of a shard is called.
pub fn name_of(shard: ShardId) -> String {
    format!("shard-{}", shard.index())
}

/// The segments in the folder of a shard, by stream and number. Whatever else lies there is left alone.
pub fn list(folder: &Path) -> Result<Vec<Found>, FolderError> {
    let mut found = Vec::new();
    for path in files(folder)? {
        let Some((stream, number)) = parse(&path) else { continue };
        let bytes = fs::metadata(&path).map_err(refused("look at", &path))?.len();
        found.push(Found { stream, number, path, bytes });
    }
    found.sort_by_key(|segment| (segment.stream, segment.number));
    Ok(found)
}

fn files(folder: &Path) -> Result<Vec<PathBuf>, FolderError> {
    let entries = fs::read_dir(folder).and_then(|entries| entries.map(|entry| Ok(entry?.path())).collect());
    entries.map_err(refused("list", folder))
}

fn open(path: &Path, is_new: bool) -> Result<File, FolderError> {
    let mut options = OpenOptions::new();
    options.read(true).write(true).create(is_new).truncate(is_new).mode(FILE_MODE);
    options.open(path).map_err(refused("open", path))
}

/// Stream and number, where a path is that of a segment.
fn parse(path: &Path) -> Option<(Stream, u64)> {
    let name = path.file_name()?.to_str()?.strip_suffix(SEGMENT)?.strip_suffix('.')?;
    let (stream, number) = name.split_once('-')?;
    let is_exact = stream.len() == 2 && number.len() == 16;
    let hex = |text| u64::from_str_radix(text, 16).ok().filter(|_| is_exact);
    Some((Stream::new(u8::try_from(hex(stream)?).ok()?), hex(number)?))
}

/// Gives a file all its blocks. Where the file system cannot do that, zeros are written to them.
fn fill(file: &File, bytes: u64) -> io::Result<()> {
    let len = i64::try_from(bytes).map_err(io::Error::other)?;
    match nix::fcntl::fallocate(file.as_raw_fd(), FallocateFlags::empty(), 0, len) {
        Ok(()) => file.sync_all(),
        Err(Errno::EOPNOTSUPP | Errno::ENOSYS) => write_zeros(file, bytes),
        Err(error) => Err(error.into()),
    }
}

fn write_zeros(mut file: &File, bytes: u64) -> io::Result<()> {
    let zeros = vec![0; ZEROS_BYTES];
    let mut written = 0;
    while written < bytes {
        let part = ZEROS_BYTES.min(usize::try_from(bytes - written).unwrap_or(usize::MAX));
        file.write_all(&zeros[..part])?;
        written += part as u64;
        if written % ZEROS_BETWEEN_SYNCS == 0 {
            file.sync_data()?;
        }
    }
    file.sync_all()
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{FileExt as _, MetadataExt as _};

    use super::super::scratch::Scratch;
    use super::*;

    const HOT: Stream = Stream::new(0);
    const COLD: Stream = Stream::new(1);
    const BYTES: u64 = 64 << 10;

    fn shelf(scratch: &Scratch) -> (Folder, Shelf) {
        let folder = Folder::open(&scratch.path().join("data")).unwrap();
        let shelf = Shelf::open(&folder, ShardId::new(3), BYTES).unwrap();
        (folder, shelf)
    }

    fn names(shelf: &Shelf) -> Vec<String> {
        let name = |path: PathBuf| path.file_name().unwrap().to_str().unwrap().to_owned();
        let mut names: Vec<String> = files(&shelf.path).unwrap().into_iter().map(name).collect();
        names.sort();
        names
    }

    fn inode(segment: &Segment) -> u64 {
        segment.file.metadata().unwrap().ino()
    }

    #[test]
    fn a_new_segment_is_zeros_and_ours_alone() {
        let scratch = Scratch::new();
        let (_folder, mut shelf) = shelf(&scratch);
        let segment = shelf.prepare(HOT, 1, 100).unwrap();
        let mut bytes = vec![1; usize::try_from(BYTES).unwrap()];
        segment.file.read_exact_at(&mut bytes, 0).unwrap();
        assert!(bytes.iter().all(|byte| *byte == 0));
        let metadata = segment.file.metadata().unwrap();
        assert_eq!((metadata.len(), segment.bytes, metadata.mode() & 0o777), (BYTES, BYTES, FILE_MODE));
        assert!(metadata.blocks() * 512 >= BYTES, "the file system has given it all its blocks");
        assert_eq!(names(&shelf), ["00-0000000000000001.segment"]);
    }

    #[test]
    fn a_retired_segment_is_recycled_with_its_old_bytes() {
        let scratch = Scratch::new();
        let (_folder, mut shelf) = shelf(&scratch);
        let first = shelf.prepare(HOT, 1, BYTES).unwrap();
        first.file.write_all_at(b"old", 0).unwrap();
        shelf.retire(HOT, 1).unwrap();
        assert_eq!(names(&shelf), ["00-0000000000000001.spare"]);
        let second = shelf.prepare(COLD, 9, BYTES).unwrap();
        let mut bytes = [0; 3];
        second.file.read_exact_at(&mut bytes, 0).unwrap();
        assert_eq!((inode(&second), &bytes), (inode(&first), b"old"));
        assert_eq!(names(&shelf), ["01-0000000000000009.segment"]);
    }

    #[test]
    fn a_large_segment_takes_the_place_of_the_one_that_was_ready() {
        let scratch = Scratch::new();
        let (_folder, mut shelf) = shelf(&scratch);
        drop(shelf.prepare(HOT, 2, BYTES).unwrap());
        let large = shelf.prepare(HOT, 2, 3 * BYTES + 5).unwrap();
        assert_eq!((large.bytes, names(&shelf).len()), (3 * BYTES + 5, 1));
        // It is too long for a spare one.
        shelf.retire(HOT, 2).unwrap();
        assert!(names(&shelf).is_empty());
    }

    #[test]
    fn few_spares_are_kept() {
        let scratch = Scratch::new();
        let (_folder, mut shelf) = shelf(&scratch);
        for number in 1..=8 {
            drop(shelf.prepare(HOT, number, BYTES).unwrap());
        }
        let spares = |shelf: &Shelf| names(shelf).iter().filter(|name| name.ends_with(SPARE)).count();
        (1..=4).for_each(|number| shelf.retire(HOT, number).unwrap());
        assert_eq!(spares(&shelf), 4, "as many as are in use");
        (5..=8).for_each(|number| shelf.retire(HOT, number).unwrap());
        assert_eq!(spares(&shelf), SPARES_MIN);
    }

    #[test]
    fn spares_make_room_for_what_is_in_use() {
        let scratch = Scratch::new();
        let (_folder, shelf) = shelf(&scratch);
        let mut shelf = shelf.bounded(6).unwrap();
        for number in 1..=6 {
            drop(shelf.prepare(HOT, number, BYTES).unwrap());
        }
        let spares = |shelf: &Shelf| names(shelf).iter().filter(|name| name.ends_with(SPARE)).count();
        (1..=2).for_each(|number| shelf.retire(HOT, number).unwrap());
        assert_eq!((spares(&shelf), names(&shelf).len()), (2, 6));
        (7..=9).for_each(|number| drop(shelf.prepare(HOT, number, BYTES).unwrap()));
        assert_eq!((spares(&shelf), names(&shelf).len()), (0, 7), "what must be used is made");
        shelf.retire(HOT, 3).unwrap();
        assert_eq!((spares(&shelf), names(&shelf).len()), (0, 6));
        (4..=6).for_each(|number| shelf.retire(HOT, number).unwrap());
        let mut shelf = shelf.bounded(4).unwrap();
        assert_eq!((spares(&shelf), names(&shelf).len()), (1, 4), "and of before");
        shelf.retire(HOT, 7).unwrap();
        assert_eq!(spares(&shelf), 2);
    }

    #[test]
    fn where_blocks_cannot_be_had_zeros_are_written() {
        let scratch = Scratch::new();
        let path = scratch.path().join("zeros");
        let file = open(&path, true).unwrap();
        write_zeros(&file, 3 * BYTES + 7).unwrap();
        let bytes = fs::read(&path).unwrap();
        assert!(bytes.len() as u64 == 3 * BYTES + 7 && bytes.iter().all(|byte| *byte == 0));
    }

    #[test]
    fn segments_are_found_again_in_order_and_what_is_half_done_goes() {
        let scratch = Scratch::new();
        let (folder, mut shelf) = shelf(&scratch);
        for (stream, number) in [(COLD, 1), (HOT, 300), (HOT, 4), (HOT, 2)] {
            drop(shelf.prepare(stream, number, BYTES).unwrap());
        }
        shelf.retire(HOT, 2).unwrap();
        fs::write(shelf.path.join(UNFINISHED), "half").unwrap();
        fs::write(shelf.path.join("5-5.segment"), "").unwrap();
        fs::write(shelf.path.join("00-000000000000000a.spare"), "of another size").unwrap();
        let shelf = Shelf::open(&folder, ShardId::new(3), BYTES).unwrap();
        let found = shelf.list().unwrap();
        let order: Vec<_> = found.iter().map(|found| (found.stream, found.number, found.bytes)).collect();
        assert_eq!(order, [(HOT, 4, BYTES), (HOT, 300, BYTES), (COLD, 1, BYTES)]);
        let others = ["00-0000000000000002.spare", "5-5.segment"];
        assert_eq!(names(&shelf).iter().filter(|name| parse(Path::new(name)).is_none()).collect::<Vec<_>>(), others);
    }

    #[test]
    fn a_missing_segment_is_an_error_that_names_it() {
        let scratch = Scratch::new();
        let (_folder, mut shelf) = shelf(&scratch);
        let error = shelf.retire(HOT, 7).unwrap_err().to_string();
        assert!(error.contains("shard-3/00-0000000000000007.segment"), "{error}");
    }
}
