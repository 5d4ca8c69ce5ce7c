//! The operator's files, read anew: when one of them has changed, and when a signal says so.
//!
//! One thread looks at the files a few times a second. A file that has changed is read when it has stayed the same for one look, so that
//! what is being written is rarely read in the middle; what is read there gives nobody a right, since the formats refuse it, or only what it takes
//! away counts until it has stayed the same for longer. What cannot be read, or says something wrong, changes nothing: what was in
//! force stays, the log says why, and it is tried again with the next change, or at the next look where the system had no descriptor left.

use std::fmt;
use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, TrySendError, bounded};

use super::broker::post;
use super::mesh::{Parcel, Ways};
use super::report::Reloads;
use crate::engine::auth::policy::Policy;
use crate::engine::homes::ShardId;

/// How often the files are looked at. Two looks and the way to the shards take less than the second in which a right ends.
const LOOK_EVERY: Duration = Duration::from_millis(200);

/// Looks through which files stay the same until what may have been half of something is taken for the whole: five seconds.
const QUIET_LOOKS: u32 = 25;

/// The policy that is in force. One for the whole broker: shards are told when it changes, clerks look it up with each question.
#[derive(Debug)]
pub struct Force(RwLock<Arc<Policy>>);

impl Force {
    /// It begins with this one.
    pub fn new(policy: Arc<Policy>) -> Self {
        Self(RwLock::new(policy))
    }

    /// The one of now.
    pub fn policy(&self) -> Arc<Policy> {
        Arc::clone(&self.0.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Another one comes into force: clerks know it from now on, shards with their next turn.
    pub fn change(&self, policy: Policy, ways: &Ways) {
        let policy = Arc::new(policy.after(&self.policy()));
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = Arc::clone(&policy);
        for number in 0..ways.shards() {
            post(ways, ShardId::new(number), Parcel::Policy(Arc::clone(&policy)));
        }
    }
}

/// How often files were read anew. One for the whole broker.
#[derive(Debug, Default)]
pub struct Tally {
    /// Times that what they say came into force.
    pub done: AtomicU64,
    /// Times that it did not.
    pub failed: AtomicU64,
    /// The last time it did not.
    pub is_failing: AtomicBool,
}

impl Tally {
    /// The figures of this moment.
    pub fn read(&self) -> Reloads {
        Reloads {
            done: self.done.load(Ordering::Relaxed),
            failed: self.failed.load(Ordering::Relaxed),
            is_failing: self.is_failing.load(Ordering::Relaxed),
        }
    }
}

/// Why what the files say is not in force.
#[derive(Debug)]
pub struct ReloadError {
    /// What is wrong, for people.
    pub what: String,
    /// Whether it may go away by itself.
    pub is_passing: bool,
}

impl ReloadError {
    /// A file that is wrong stays wrong until it changes; a system without descriptors may have some soon.
    pub fn new(error: &(dyn std::error::Error + 'static)) -> Self {
        let mut source = Some(error);
        let mut is_passing = false;
        while let Some(error) = source {
            let code = error.downcast_ref::<io::Error>().and_then(io::Error::raw_os_error);
            is_passing |= matches!(code, Some(libc::EMFILE | libc::ENFILE | libc::ENOMEM | libc::EINTR));
            source = error.source();
        }
        Self { what: error.to_string(), is_passing }
    }
}

impl fmt::Display for ReloadError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.what)
    }
}

/// Why files are read anew.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Occasion {
    /// They look different.
    Seen,
    /// Somebody who knows them says so, or they have stayed the same for long enough.
    Asked,
}

/// How much of what they say is in force.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Taken {
    /// All of it.
    All,
    /// What they take away. What they give waits until they are known to be whole.
    WhatItTakes,
}

/// Files, and how they looked before anybody read them. Whatever happens to them from then on is a change, also while a broker is still starting:
/// between the first reading and the first client lies a journal, which may take long.
#[derive(Clone, Debug)]
pub struct Looked {
    paths: Vec<PathBuf>,
    stamps: Vec<Stamp>,
}

impl Looked {
    /// Looks at them. They are read behind this, and not before.
    pub fn at(paths: Vec<PathBuf>) -> Self {
        let stamps = Stamp::of_all(&paths);
        Self { paths, stamps }
    }
}

/// Files that are read together, and what is done with what they say.
pub struct Unit {
    /// What they are, for the log.
    pub name: String,
    /// Which ones are looked at, and how they looked before they were read for the first time.
    pub files: Looked,
    /// Reads them and has what they say come into force.
    pub reload: Box<dyn FnMut(Occasion) -> Result<Taken, ReloadError> + Send>,
}

/// The thread that looks at the files. It ends when this is dropped.
#[derive(Debug)]
pub struct Reloading {
    wishes: Sender<Wish>,
    thread: Option<JoinHandle<()>>,
}

/// What the thread is told.
#[derive(Clone, Copy, Debug)]
enum Wish {
    Reload,
    End,
}

/// Has the files read anew, also where none seems to have changed.
#[derive(Clone, Debug)]
pub struct Order(Sender<Wish>);

impl Order {
    /// Soon. Orders that come while one waits are one with it.
    pub fn reload(&self) {
        match self.0.try_send(Wish::Reload) {
            // At the end nobody is there to hear it.
            Ok(()) | Err(TrySendError::Full(_) | TrySendError::Disconnected(_)) => {}
        }
    }
}

impl Reloading {
    /// Starts to look.
    pub fn start(units: Vec<Unit>, tally: Arc<Tally>) -> io::Result<Self> {
        let (wishes, inbox) = bounded(1);
        let thread = thread::Builder::new().name("pregon-files".into()).spawn(move || watch(units, &tally, &inbox))?;
        Ok(Self { wishes, thread: Some(thread) })
    }

    /// For whoever has reason to have them read anew.
    pub fn order(&self) -> Order {
        Order(self.wishes.clone())
    }
}

impl Drop for Reloading {
    fn drop(&mut self) {
        // A thread that is gone already cannot be told.
        let _ = self.wishes.send(Wish::End);
        if let Some(thread) = self.thread.take() {
            thread.join().expect("whoever reads files does not panic");
        }
    }
}

/// What a file is, without reading it: another one, or another content, is another value.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Stamp {
    There { device: u64, inode: u64, bytes: u64, changed: (i64, i64), written: (i64, i64) },
    Missing(Option<i32>),
}

impl Stamp {
    /// A link is followed to where it leads.
    fn of(path: &Path) -> Self {
        match fs::metadata(path) {
            Ok(found) => Self::There {
                device: found.dev(),
                inode: found.ino(),
                bytes: found.len(),
                changed: (found.ctime(), found.ctime_nsec()),
                written: (found.mtime(), found.mtime_nsec()),
            },
            Err(error) => Self::Missing(error.raw_os_error()),
        }
    }

    fn of_all(paths: &[PathBuf]) -> Vec<Self> {
        paths.iter().map(|path| Self::of(path)).collect()
    }
}

/// A unit, and how its files have looked.
struct Watched {
    unit: Unit,
    /// When they were read last, for good.
    read: Vec<Stamp>,
    /// At the last look.
    seen: Vec<Stamp>,
    /// Looks through which they have stayed the same.
    quiet_looks: u32,
    /// Whether only a part of what they say is in force.
    is_partly_taken: bool,
    is_failing: bool,
}

fn watch(units: Vec<Unit>, tally: &Tally, wishes: &Receiver<Wish>) {
    let mut watched: Vec<Watched> = units.into_iter().map(Watched::new).collect();
    loop {
        let is_wished = match wishes.recv_timeout(LOOK_EVERY) {
            Ok(Wish::Reload) => true,
            Err(RecvTimeoutError::Timeout) => false,
            Ok(Wish::End) | Err(RecvTimeoutError::Disconnected) => return,
        };
        for unit in &mut watched {
            unit.look(is_wished, tally);
        }
        tally.is_failing.store(watched.iter().any(|unit| unit.is_failing), Ordering::Relaxed);
    }
}

impl Watched {
    fn new(unit: Unit) -> Self {
        let read = unit.files.stamps.clone();
        Self { unit, seen: read.clone(), read, quiet_looks: 0, is_partly_taken: false, is_failing: false }
    }

    fn look(&mut self, is_wished: bool, tally: &Tally) {
        let found = Stamp::of_all(&self.unit.files.paths);
        let is_settled = found == self.seen;
        self.quiet_looks = if is_settled { self.quiet_looks.saturating_add(1) } else { 0 };
        self.seen.clone_from(&found);
        let occasion = if is_wished || (self.is_partly_taken && self.quiet_looks >= QUIET_LOOKS) {
            Occasion::Asked
        } else if is_settled && found != self.read {
            Occasion::Seen
        } else {
            return;
        };
        let is_passing = self.reload(occasion, tally);
        if !is_passing {
            self.read = found;
        }
    }

    /// Whether it failed for a reason that may go away by itself.
    fn reload(&mut self, occasion: Occasion, tally: &Tally) -> bool {
        let unit = &self.unit.name;
        match (self.unit.reload)(occasion) {
            Ok(taken) => {
                self.is_failing = false;
                self.is_partly_taken = taken == Taken::WhatItTakes;
                tally.done.fetch_add(1, Ordering::Relaxed);
                match taken {
                    Taken::All => tracing::info!(%unit, "files were read anew and are in force"),
                    Taken::WhatItTakes => tracing::info!(
                        %unit,
                        "files were read anew, and rules were not renamed into their place but written there, so they may be half there: what they \
                         take away is in force, and what they give when the file has stayed the same for 5 s, or at a SIGHUP"
                    ),
                }
                false
            }
            Err(error) => {
                self.is_failing = true;
                self.is_partly_taken &= error.is_passing; // what is wrong stays so until it changes
                tally.failed.fetch_add(1, Ordering::Relaxed);
                tracing::error!(%unit, %error, "what files say is not in force: what was in force stays");
                error.is_passing
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;
    use std::path::Path;

    use super::*;
    use crate::shell::files::scratch::Scratch;
    use crate::shell::listening::ListenError;
    use crate::shell::transport::secrets::FileFault;

    #[test]
    fn what_runs_out_passes_whoever_tells_of_it_and_what_is_wrong_stays() {
        let told = |fault: FileFault| {
            let error = ListenError::File { name: "a".into(), error: fault.of(Path::new("/etc/pregon/chain.pem")) };
            ReloadError::new(&error).is_passing
        };
        let failed = |code| FileFault::Unreadable(io::Error::from_raw_os_error(code));
        assert!(told(failed(libc::EMFILE)) && told(failed(libc::ENFILE)));
        assert!(!told(failed(libc::ENOENT)) && !told(FileFault::PassphraseMissing));
    }

    /// A file that is looked at, and what is read of it.
    fn watched(path: &Path) -> (Watched, Receiver<String>) {
        let (told, read) = bounded(9);
        let own = path.to_owned();
        let reload = move |_occasion| {
            told.send(fs::read_to_string(&own).unwrap()).unwrap();
            Ok(Taken::All)
        };
        let unit = Unit { name: "rules".into(), files: Looked::at(vec![path.to_owned()]), reload: Box::new(reload) };
        (Watched::new(unit), read)
    }

    #[test]
    fn threat_7_what_is_being_written_is_read_when_it_is_whole() {
        let scratch = Scratch::new();
        let path = scratch.path().join("rules");
        fs::write(&path, "topic #\n").unwrap();
        let (mut watched, read) = watched(&path);
        let (tally, mut text) = (Tally::default(), String::new());
        for part in ["topic #", "\ntopic deny", " secret/#\n"] {
            text.push_str(part);
            fs::write(&path, &text).unwrap();
            watched.look(false, &tally);
            assert!(read.is_empty(), "somebody may be in the middle of it: {text}");
        }
        (0..3).for_each(|_| watched.look(false, &tally));
        assert_eq!(read.try_iter().collect::<Vec<_>>(), [text], "once");
        watched.look(true, &tally);
        assert_eq!(read.len(), 1, "the operator knows that it is whole");
    }

    #[test]
    fn threat_7_what_has_changed_since_it_was_read_for_the_first_time_is_read_again() {
        let scratch = Scratch::new();
        let path = |name: &str| scratch.path().join(name);
        for name in ["kept", "changed", "gone"] {
            fs::write(path(name), "as it was read").unwrap();
        }
        // Between the first reading and the first look lies a start of any length.
        let (mut kept, read_kept) = watched(&path("kept"));
        let (mut changed, read_changed) = watched(&path("changed"));
        fs::write(path("changed"), "meanwhile").unwrap();
        let unit = |files| Unit {
            name: "gone".into(),
            files,
            reload: Box::new(|_occasion| Err(ReloadError { what: "it is missing".into(), is_passing: false })),
        };
        let mut gone = Watched::new(unit(Looked::at(vec![path("gone")])));
        fs::remove_file(path("gone")).unwrap();
        let tally = Tally::default();
        for watched in [&mut kept, &mut changed, &mut gone] {
            (0..3).for_each(|_| watched.look(false, &tally));
        }
        assert!(read_kept.is_empty());
        assert_eq!(read_changed.try_iter().collect::<Vec<_>>(), ["meanwhile"], "once");
        assert!(gone.is_failing && tally.read().failed == 1, "told, and what was in force stays");
    }

    #[test]
    fn a_change_is_one_behind_whatever_links() {
        let scratch = Scratch::new();
        let path = |name: &str| scratch.path().join(name);
        for (folder, text) in [("1", "one"), ("2", "the other")] {
            fs::create_dir(path(folder)).unwrap();
            fs::write(path(folder).join("rules"), text).unwrap();
        }
        // As orchestrators mount files: the link itself never changes.
        symlink("1", path("now")).unwrap();
        symlink("now/rules", path("rules")).unwrap();
        let (mut watched, read) = watched(&path("rules"));
        let tally = Tally::default();
        symlink("2", path("next")).unwrap();
        fs::rename(path("next"), path("now")).unwrap();
        (0..3).for_each(|_| watched.look(false, &tally));
        fs::write(path("2").join("rules"), "another one").unwrap();
        (0..3).for_each(|_| watched.look(false, &tally));
        assert_eq!(read.try_iter().collect::<Vec<_>>(), ["the other", "another one"]);
    }
}
