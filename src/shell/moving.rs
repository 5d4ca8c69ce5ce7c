//! Everything that lies in a data directory, told again to other shards: to another number of them, or to those of another broker.
//!
//! Nobody is served meanwhile. The new logs are written beside the old ones, and take their place in steps of which each may be the last
//! one before the power goes:
//!
//! ```text
//! moving/     the new logs, not whole yet: thrown away and made again
//! moved/      they are whole and on the device: the old logs are void, and go
//! settling/   no old log is left: the new ones go to their places
//! ```

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::rc::Rc;

use super::files::folder::{Folder, FolderError, inner, refused, sync_folder};
use super::files::segments::{Segment, Shelf, name_of};
use super::journal::{Frames, HOT};
use super::replay::{ReplayError, read_back};
use crate::base::hash::{Map, Seed, map};
use crate::base::time::Time;
use crate::engine::change::{Change, Serial};
use crate::engine::homes::{Homes, ShardId};
use crate::engine::message::Message;
use crate::engine::output::{Outputs, Wanted};
use crate::engine::shard::moving::{Destination, Loans, Movers, Subject};
use crate::engine::shard::{Shard, Shared};
use crate::engine::stowage::Spot;
use crate::journal::epoch::Epoch;
use crate::journal::group::Group;
use crate::journal::place::{JournalId, SegmentNumber};
use crate::journal::scribe::Scribe;
use crate::journal::spots::message_in;

const MOVING: &str = "moving";
const MOVED: &str = "moved";
const SETTLING: &str = "settling";

/// A log is written in pieces of about so many bytes.
const PIECE_BYTES: usize = 1 << 20;

/// Why all that was kept cannot be moved.
#[derive(Debug, thiserror::Error)]
pub enum MoveError {
    /// A file or a folder.
    #[error("{0}")]
    Folder(#[from] FolderError),
    /// An old log cannot be read.
    #[error("{0}")]
    Replay(#[from] ReplayError),
}

/// One journal: how many shards it has, and how its frames are made.
#[derive(Clone, Copy, Debug)]
pub struct Layout {
    /// The journal.
    pub id: JournalId,
    /// When the engine's clock began.
    pub epoch: Epoch,
    /// How many shards it has.
    pub shards: usize,
}

impl Layout {
    fn frames(self, shard: ShardId) -> Frames {
        Frames { id: self.id, epoch: self.epoch, shard, shards: self.shards }
    }
}

/// A folder, and who has written what lies there.
#[derive(Clone, Copy, Debug)]
pub struct Source<'a> {
    /// Where it lies.
    pub folder: &'a Folder,
    /// Who has written it.
    pub layout: Layout,
}

/// Where all of it goes.
#[derive(Clone, Copy, Debug)]
pub struct Target<'a> {
    /// The folder; a log that lies there is void then.
    pub folder: &'a Folder,
    /// How long a segment is.
    pub segment_bytes: u64,
    /// Whose it is from now on.
    pub layout: Layout,
    /// Who lives where.
    pub homes: &'a Homes,
}

/// What two sources may both have: a session of the same client, a retained message of the same topic.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Clash {
    /// There is one source only.
    Impossible,
    /// The first one counts.
    First,
    /// Nothing is moved then.
    Refused,
}

/// What was moved.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Moved {
    /// Sessions.
    pub sessions: u64,
    /// Retained messages.
    pub retained: u64,
    /// What was left behind because it was there already.
    pub clashes: u64,
    /// The first of these, for people.
    pub first_clash: Option<String>,
}

/// Tells again all that lies in the sources, one after the other, to the shards of the target. `now` is the time by the epoch of the
/// layouts, and `common` what the shards of a layout have in common.
pub fn move_all(
    target: Target<'_>,
    sources: &[Source<'_>],
    clash: Clash,
    now: Time,
    common: impl Fn(Layout) -> Shared,
) -> Result<Moved, MoveError> {
    let Target { folder, segment_bytes, layout, homes } = target;
    let moving = folder.inner(MOVING)?;
    let mut logs = Vec::new();
    for shard in homes.all() {
        let shelf = Shelf::of(inner(&moving, &name_of(shard))?, segment_bytes)?;
        logs.push(Log::new(shelf, segment_bytes, layout, shard));
    }
    let mut crew = Crew::new(logs, clash);
    let mut numbered = 0;
    for source in sources {
        let common = common(source.layout);
        let mut loans = Loans::default();
        for number in 0..source.layout.shards {
            let frames = source.layout.frames(ShardId::new(number));
            let segments = Shelf::open(source.folder, frames.shard, segment_bytes)?.list()?;
            let mut shard = Shard::new(frames.shard, common.clone(), 0);
            let mut out = Outputs::new(frames.shards);
            let end = read_back(&frames, &segments, &mut shard, |_bytes| {}, &mut out)?;
            crew.from = Some((frames, end.files));
            let after = shard.move_out(now, Destination { homes, numbered }, &mut loans, &mut crew);
            crew.logs.iter_mut().try_for_each(Log::write)?;
            crew.numbered = crew.numbered.max(after);
        }
        loans.settle(&mut crew);
        crew.logs.iter_mut().try_for_each(Log::write)?;
        numbered = crew.numbered;
    }
    if clash == Clash::Refused && crew.moved.clashes > 0 {
        remove(&moving)?;
        return Ok(crew.moved);
    }
    crew.logs.iter_mut().try_for_each(Log::end)?;
    step(folder, MOVING, MOVED)?;
    finish(folder)?;
    Ok(crew.moved)
}

/// Who carries everything to its place.
struct Crew {
    logs: Vec<Log>,
    clash: Clash,
    /// What was carried, where two sources may have the same.
    clients: Map<Box<str>, ()>,
    topics: Map<Box<str>, ()>,
    moved: Moved,
    /// The highest number of a session.
    numbered: u64,
    /// The log of the shard that moves out.
    from: Option<(Frames, BTreeMap<u64, Rc<File>>)>,
}

impl Crew {
    fn new(logs: Vec<Log>, clash: Clash) -> Self {
        let (clients, topics) = (map(Seed::new(0)), map(Seed::new(1)));
        Self { logs, clash, clients, topics, moved: Moved::default(), numbered: 0, from: None }
    }
}

impl Movers for Crew {
    fn takes(&mut self, subject: Subject<'_>) -> bool {
        let (known, name, count, what) = match subject {
            Subject::Client(client) => (&mut self.clients, client, &mut self.moved.sessions, "the session of"),
            Subject::Topic(topic) => (&mut self.topics, topic, &mut self.moved.retained, "the retained message of"),
        };
        if self.clash != Clash::Impossible && known.insert(name.into(), ()).is_some() {
            self.moved.clashes += 1;
            self.moved.first_clash.get_or_insert_with(|| format!("{what} {name:?}"));
            return false;
        }
        *count += 1;
        true
    }

    fn note(&mut self, home: ShardId, change: Change) -> Serial {
        self.logs[home.index()].note(&change)
    }

    fn read(&mut self, wanted: Wanted) -> Option<Message> {
        let (frames, files) = self.from.as_ref()?;
        let Spot { segment, position, bytes, .. } = wanted.spot;
        let mut piece = vec![0; usize::try_from(bytes).expect("a record fits into memory")];
        let read = files.get(&u64::from(segment))?.read_exact_at(&mut piece, u64::from(position));
        let message = read.ok().and_then(|()| message_in(&piece, wanted, frames.id, frames.epoch));
        if message.is_none() {
            tracing::error!(segment, position, "a message of the journal cannot be read: it is lost");
        }
        message
    }
}

/// Goes on with a move that was interrupted when it could not be undone any more, and removes what is left of another one.
pub fn finish(folder: &Folder) -> Result<(), MoveError> {
    remove(&folder.path().join(MOVING))?;
    if folder.path().join(MOVED).exists() {
        for path in shelves(folder.path())? {
            remove(&path)?;
        }
        sync_folder(folder.path())?;
        step(folder, MOVED, SETTLING)?;
    }
    let settling = folder.path().join(SETTLING);
    if settling.exists() {
        for path in shelves(&settling)? {
            let name = path.file_name().expect("it was listed by its name");
            fs::rename(&path, folder.path().join(name)).map_err(refused("rename", &path))?;
        }
        sync_folder(folder.path())?;
        sync_folder(&settling)?;
        remove(&settling)?;
        sync_folder(folder.path())?;
    }
    Ok(())
}

/// From one step to the next, durably.
fn step(folder: &Folder, from: &str, to: &str) -> Result<(), FolderError> {
    let from = folder.path().join(from);
    sync_folder(&from)?;
    fs::rename(&from, folder.path().join(to)).map_err(refused("rename", &from))?;
    sync_folder(folder.path())
}

/// The folders of shards in a folder.
fn shelves(path: &Path) -> Result<Vec<PathBuf>, FolderError> {
    let entries = fs::read_dir(path).and_then(|entries| entries.map(|entry| Ok(entry?.path())).collect());
    let paths: Vec<PathBuf> = entries.map_err(refused("list", path))?;
    let is_shelf = |path: &PathBuf| {
        let name = path.file_name().and_then(|name| name.to_str());
        name.and_then(|name| name.strip_prefix("shard-")).is_some_and(|number| number.parse::<u8>().is_ok())
    };
    Ok(paths.into_iter().filter(is_shelf).collect())
}

/// How many shards have folders here.
pub fn shelf_count(folder: &Folder) -> Result<usize, FolderError> {
    Ok(shelves(folder.path())?.len())
}

fn remove(path: &Path) -> Result<(), FolderError> {
    match fs::remove_dir_all(path) {
        Ok(()) => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(refused("remove", path)(error)),
    }
}

/// A new log.
struct Log {
    shelf: Shelf,
    scribe: Scribe,
    group: Group,
    segment: Option<Segment>,
    /// The last change.
    last: Serial,
    /// What could not be written: everything after it is void.
    error: Option<FolderError>,
}

impl Log {
    fn new(shelf: Shelf, segment_bytes: u64, layout: Layout, shard: ShardId) -> Self {
        let shards = u8::try_from(layout.shards).expect("at most 64");
        let Layout { id, epoch, .. } = layout;
        let scribe = Scribe { id, shard, shards, segment_bytes, tail: None, next: SegmentNumber::FIRST };
        let group = Group::new(id, epoch);
        Self { shelf, scribe, group, segment: None, last: Serial::NONE, error: None }
    }

    /// Takes a change; its number.
    fn note(&mut self, change: &Change) -> Serial {
        self.last = self.last.next();
        self.group.push(self.last, change);
        if self.group.next_at() >= PIECE_BYTES && self.error.is_none() {
            self.error = self.put().err();
        }
        self.last
    }

    /// Writes what was noted.
    fn write(&mut self) -> Result<(), FolderError> {
        if let Some(error) = self.error.take() {
            return Err(error);
        }
        if self.group.is_empty() { Ok(()) } else { self.put() }
    }

    fn put(&mut self) -> Result<(), FolderError> {
        let page = self.scribe.page(&mut self.group);
        let number = page.place.segment.get();
        if self.segment.as_ref().is_none_or(|segment| segment.number != number) {
            self.end()?;
            self.segment = Some(self.shelf.prepare(HOT, number, page.segment_bytes())?);
        }
        let segment = self.segment.as_ref().expect("it was just made");
        let written = segment.file.write_all_at(&page.bytes, page.place.position);
        written.map_err(refused("write", self.shelf.path()))?;
        self.scribe.written(&page);
        self.group.clear();
        Ok(())
    }

    /// Nothing more is written to the present segment.
    fn end(&mut self) -> Result<(), FolderError> {
        let Some(segment) = self.segment.take() else { return Ok(()) };
        segment.file.sync_data().map_err(refused("sync", self.shelf.path()))
    }
}

#[cfg(test)]
mod tests {
    use super::super::files::scratch::Scratch;
    use super::*;

    /// A folder with these files in it; each holds its own name.
    fn folder(scratch: &Scratch, files: &[&str]) -> Folder {
        let folder = Folder::open(&scratch.path().join("data")).unwrap();
        for file in files {
            let path = folder.path().join(file);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, file).unwrap();
        }
        folder
    }

    /// What lies in the folders of shards.
    fn kept(folder: &Folder) -> Vec<(String, String)> {
        let mut kept = Vec::new();
        for shelf in shelves(folder.path()).unwrap() {
            for entry in fs::read_dir(&shelf).unwrap() {
                let name = shelf.file_name().unwrap().to_str().unwrap().to_owned();
                kept.push((name, fs::read_to_string(entry.unwrap().path()).unwrap()));
            }
        }
        kept.sort();
        kept
    }

    fn told(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
        pairs.iter().map(|(shelf, file)| ((*shelf).to_owned(), (*file).to_owned())).collect()
    }

    #[test]
    fn a_move_that_was_not_whole_never_was() {
        let scratch = Scratch::new();
        let folder = folder(&scratch, &["shard-0/old", "shard-1/old", "moving/shard-0/new"]);
        finish(&folder).unwrap();
        assert_eq!(kept(&folder), told(&[("shard-0", "shard-0/old"), ("shard-1", "shard-1/old")]));
        assert!(!folder.path().join(MOVING).exists());
    }

    #[test]
    fn a_move_that_was_whole_is_brought_to_its_end_from_wherever_it_was() {
        let whole = told(&[("shard-0", "moved/shard-0/new"), ("shard-1", "moved/shard-1/new")]);
        for old in [&["shard-0/old", "shard-1/old", "shard-2/old"][..], &["shard-2/old"], &[]] {
            let scratch = Scratch::new();
            let files = [old, &["moved/shard-0/new", "moved/shard-1/new"]].concat();
            let folder = folder(&scratch, &files);
            finish(&folder).unwrap();
            assert_eq!(kept(&folder), whole, "{old:?} were left");
        }
        let scratch = Scratch::new();
        let folder = folder(&scratch, &["shard-0/new", "settling/shard-1/new"]);
        finish(&folder).unwrap();
        assert_eq!(kept(&folder), told(&[("shard-0", "shard-0/new"), ("shard-1", "settling/shard-1/new")]));
        assert!(!folder.path().join(SETTLING).exists() && !folder.path().join(MOVED).exists());
    }
}
