//! The data directory: whose it is, who may look into it, and that one process alone uses it.

use std::fs::{self, DirBuilder, File, Metadata, OpenOptions, TryLockError};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use crate::shell::ring::sys::effective_user;

/// What a folder of ours may be to anybody: all to us, nothing to others.
const FOLDER_MODE: u32 = 0o700;
/// The same for a file.
pub const FILE_MODE: u32 = 0o600;
/// The bits of a mode that let others in.
const OTHERS: u32 = 0o077;
/// The file whose lock says that the directory is in use. It holds the number of the process that has it.
const LOCK: &str = "lock";

/// Why a data directory cannot be used, and what can be done about it.
#[derive(Debug, thiserror::Error)]
pub enum FolderError {
    /// Something else has its name.
    #[error("{} is not a directory: move it away, or name another place with --data-dir", path.display())]
    NotADirectory {
        /// What is there.
        path: PathBuf,
    },
    /// Somebody else owns it.
    #[error("{} belongs to user {owner}, and pregon runs as user {user}: run it as user {owner}, or `chown -R {user}`", path.display())]
    NotOurs {
        /// The directory.
        path: PathBuf,
        /// Whose it is.
        owner: u32,
        /// Who we are.
        user: u32,
    },
    /// Others may look into it, and messages lie there.
    #[error("{} is open to others (mode {mode:03o}): `chmod 700` closes it", path.display())]
    OpenToOthers {
        /// The directory.
        path: PathBuf,
        /// Its permissions.
        mode: u32,
    },
    /// Another process uses it.
    #[error("{} is in use by {}: stop that one, or name another place with --data-dir", path.display(), holder(*pid))]
    InUse {
        /// The directory.
        path: PathBuf,
        /// Which process, if it has said so.
        pid: Option<u32>,
    },
    /// The system refuses something.
    #[error("cannot {what} {}: {error}{}", path.display(), remedy(error))]
    System {
        /// What was tried.
        what: &'static str,
        /// With what.
        path: PathBuf,
        /// What the kernel says.
        error: io::Error,
    },
}

impl FolderError {
    /// Whether the process, or the machine, has no descriptor left.
    pub fn is_for_lack_of_descriptors(&self) -> bool {
        let Self::System { error, .. } = self else { return false };
        matches!(error.raw_os_error(), Some(libc::EMFILE | libc::ENFILE))
    }
}

/// An error of the system, where it happened.
pub fn refused<'a>(what: &'static str, path: &'a Path) -> impl FnOnce(io::Error) -> FolderError + 'a {
    move |error| FolderError::System { what, path: path.to_owned(), error }
}

fn holder(pid: Option<u32>) -> String {
    pid.map_or_else(|| "another process".to_owned(), |pid| format!("process {pid}"))
}

/// What an operator can do, as far as the error tells.
fn remedy(error: &io::Error) -> &'static str {
    match error.raw_os_error() {
        Some(libc::EROFS) => "; mount it writable, or name another place with --data-dir",
        Some(libc::EACCES | libc::EPERM) => {
            "; give pregon's user the right to it, or name another place with --data-dir"
        }
        Some(libc::ENOSPC) => "; make room on that file system, or name another place with --data-dir",
        Some(libc::EDQUOT) => "; raise the quota of pregon's user, or name another place with --data-dir",
        Some(libc::ENOENT) => "; make the directory in which it is to lie, or mount what holds it",
        _ => "",
    }
}

/// The data directory. It is ours until this is dropped. One for the whole process.
#[derive(Debug)]
pub struct Folder {
    path: PathBuf,
    /// The kernel gives the lock up with this handle, however the process ends.
    _lock: File,
}

impl Folder {
    /// Takes a directory into use. It is made if it is not there; the one that holds it is not, for it may be a mount that is missing.
    pub fn open(path: &Path) -> Result<Self, FolderError> {
        make(path)?;
        let metadata = fs::metadata(path).map_err(refused("look at", path))?;
        check(path, &metadata, effective_user())?;
        let lock = lock(path)?;
        Ok(Self { path: path.to_owned(), _lock: lock })
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// A folder within it, made if it is not there.
    pub fn inner(&self, name: &str) -> Result<PathBuf, FolderError> {
        inner(&self.path, name)
    }
}

/// A folder within another one, made if it is not there.
pub fn inner(path: &Path, name: &str) -> Result<PathBuf, FolderError> {
    let path = path.join(name);
    make(&path)?;
    let metadata = fs::metadata(&path).map_err(refused("look at", &path))?;
    check(&path, &metadata, effective_user())?;
    Ok(path)
}

/// Makes a folder, durably, unless there is something already.
fn make(path: &Path) -> Result<(), FolderError> {
    match DirBuilder::new().mode(FOLDER_MODE).create(path) {
        Ok(()) => sync_folder(parent(path)),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        Err(error) => Err(refused("make", path)(error)),
    }
}

/// The folder that a path lies in.
fn parent(path: &Path) -> &Path {
    path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// Has the device keep the names in a folder.
pub fn sync_folder(path: &Path) -> Result<(), FolderError> {
    File::open(path).and_then(|folder| folder.sync_all()).map_err(refused("sync", path))
}

fn check(path: &Path, metadata: &Metadata, user: u32) -> Result<(), FolderError> {
    if !metadata.is_dir() {
        return Err(FolderError::NotADirectory { path: path.to_owned() });
    }
    if metadata.uid() != user {
        return Err(FolderError::NotOurs { path: path.to_owned(), owner: metadata.uid(), user });
    }
    let mode = metadata.mode() & 0o777;
    if mode & OTHERS != 0 {
        return Err(FolderError::OpenToOthers { path: path.to_owned(), mode });
    }
    Ok(())
}

/// Locks a directory, and leaves word who has it.
fn lock(folder: &Path) -> Result<File, FolderError> {
    let path = folder.join(LOCK);
    let mut options = OpenOptions::new();
    options.read(true).write(true).create(true).truncate(false).mode(FILE_MODE);
    let mut file = options.open(&path).map_err(refused("open", &path))?;
    match file.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => {
            let mut text = String::new();
            // A holder that has not left word yet is another process all the same.
            let pid = file.read_to_string(&mut text).ok().and_then(|_| text.trim().parse().ok());
            return Err(FolderError::InUse { path: folder.to_owned(), pid });
        }
        Err(TryLockError::Error(error)) => return Err(refused("lock", &path)(error)),
    }
    let word = format!("{}\n", std::process::id());
    // The lock holds without the word, for which a full disk may have no room.
    let _ = file.set_len(0).and_then(|()| file.write_all(word.as_bytes()));
    Ok(file)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;
    use std::process::Command;

    use super::super::scratch::{Scratch, reopened};
    use super::*;

    fn mode(path: &Path) -> u32 {
        fs::metadata(path).unwrap().mode() & 0o777
    }

    fn refusal(path: &Path) -> String {
        Folder::open(path).unwrap_err().to_string()
    }

    #[test]
    fn a_folder_is_made_for_us_alone() {
        let scratch = Scratch::new();
        let path = scratch.path().join("data");
        let folder = Folder::open(&path).unwrap();
        let inner = folder.inner("shard-0").unwrap();
        assert_eq!((mode(&path), mode(&inner), mode(&path.join(LOCK))), (FOLDER_MODE, FOLDER_MODE, FILE_MODE));
        assert_eq!(folder.inner("shard-0").unwrap(), inner);
        assert_eq!(fs::read_to_string(path.join(LOCK)).unwrap(), format!("{}\n", std::process::id()));
    }

    #[test]
    fn a_folder_can_be_used_again_when_it_was_given_up() {
        let scratch = Scratch::new();
        let path = scratch.path().join("data");
        drop(Folder::open(&path).unwrap());
        drop(reopened(&path));
    }

    /// The same test is the second process, where it is told of a folder.
    #[test]
    fn a_second_process_is_told_who_uses_the_folder() {
        const NAME: &str = "shell::files::folder::tests::a_second_process_is_told_who_uses_the_folder";
        const TOLD: &str = "PREGON_TEST_FOLDER";
        if let Some(path) = std::env::var_os(TOLD) {
            println!("{}", refusal(Path::new(&path)));
            return;
        }
        let scratch = Scratch::new();
        let path = scratch.path().join("data");
        let _folder = Folder::open(&path).unwrap();
        let child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", NAME, "--nocapture"])
            .env(TOLD, &path)
            .output()
            .unwrap();
        let said = String::from_utf8(child.stdout).unwrap();
        let expected = format!("{} is in use by process {}: stop that one", path.display(), std::process::id());
        assert!(child.status.success() && said.contains(&expected), "{said}");
    }

    #[test]
    fn a_folder_of_somebody_else_or_open_to_others_is_refused() {
        let scratch = Scratch::new();
        let path = scratch.path().join("data");
        drop(Folder::open(&path).unwrap());
        let metadata = fs::metadata(&path).unwrap();
        let error = check(&path, &metadata, metadata.uid() + 1).unwrap_err();
        assert!(
            matches!(error, FolderError::NotOurs { owner, user, .. } if owner == metadata.uid() && user == owner + 1)
        );
        fs::set_permissions(&path, fs::Permissions::from_mode(0o750)).unwrap();
        assert!(refusal(&path).contains("is open to others (mode 750): `chmod 700` closes it"));
        fs::set_permissions(&path, fs::Permissions::from_mode(0o700)).unwrap();
        drop(reopened(&path));
    }

    #[test]
    fn what_is_in_the_way_is_named_with_a_remedy() {
        let scratch = Scratch::new();
        let file = scratch.path().join("file");
        fs::write(&file, "").unwrap();
        assert!(
            refusal(&file).ends_with("file is not a directory: move it away, or name another place with --data-dir")
        );
        let missing = refusal(&scratch.path().join("no/data"));
        assert!(missing.contains("no/data: No such file") && missing.contains("mount what holds it"), "{missing}");
        let words = [libc::EROFS, libc::EACCES, libc::ENOSPC, libc::EDQUOT]
            .map(|code| refused("open", &file)(io::Error::from_raw_os_error(code)).to_string());
        for (word, part) in words.iter().zip(["mount it writable", "the right to it", "make room", "the quota"]) {
            assert!(word.contains(part) && word.contains("file"), "{word}");
        }
    }

    #[test]
    fn a_folder_that_cannot_be_written_is_refused() {
        // The kernel's own file system refuses even the superuser.
        let said = refusal(Path::new("/proc/self/pregon"));
        assert!(said.starts_with("cannot make /proc/self/pregon: "), "{said}");
    }
}
