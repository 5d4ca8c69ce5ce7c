//! A file that is replaced whole or not at all: what reads it at any moment finds the old text or the new one.

use std::ffi::OsString;
use std::fs::{self, File, Metadata, OpenOptions, Permissions};
use std::io::{self, ErrorKind, Read as _, Write as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _, fchown};
use std::path::{Path, PathBuf};

use crate::engine::auth::passwords::text::FILE_BYTES_MAX;

/// The rights of a file that was not there before: its owner's alone.
const NEW_MODE: u32 = 0o600;
/// The bits of a mode that are rights.
const RIGHTS: u32 = 0o777;
/// The rights of those who are neither the owner nor in the group.
const RIGHTS_OF_OTHERS: u32 = 0o007;

/// What is to be there before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Before {
    /// A file, whose text is edited.
    File,
    /// Nothing.
    Nothing,
    /// Either; the text begins afresh.
    Either,
}

/// Why the file is as it was, or cannot be read.
#[derive(thiserror::Error, Debug)]
#[expect(missing_docs, reason = "the message of each variant is its documentation")]
pub enum FileError {
    #[error("{}: {error}", path.display())]
    System { path: PathBuf, error: io::Error },
    #[error("{} does not exist; --create makes it", .0.display())]
    Missing(PathBuf),
    #[error("{} exists; --overwrite makes it anew, and its users are gone then", .0.display())]
    Present(PathBuf),
    #[error("{} is no ordinary file", .0.display())]
    Strange(PathBuf),
    #[error("{} exists: another `pregon passwd` is at work, or was killed there; if so, remove it", .0.display())]
    Busy(PathBuf),
}

/// Reads a file that must be there, and no more of it than shows that it is too long.
pub fn read(path: &Path) -> Result<Vec<u8>, FileError> {
    let wrong = |error| system(path, error);
    let file = match File::open(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Err(FileError::Missing(path.to_owned())),
        file => file.map_err(wrong)?,
    };
    if !file.metadata().map_err(wrong)?.is_file() {
        return Err(FileError::Strange(path.to_owned()));
    }
    let mut text = Vec::new();
    file.take(FILE_BYTES_MAX as u64 + 1).read_to_end(&mut text).map_err(wrong)?;
    Ok(text)
}

/// The text that an edit begins with.
pub fn text_before(path: &Path, before: Before) -> Result<Vec<u8>, FileError> {
    match before {
        Before::File => read(path),
        Before::Nothing if path.exists() => Err(FileError::Present(path.to_owned())),
        Before::Nothing | Before::Either => Ok(Vec::new()),
    }
}

/// Puts in place of a file what `edit` makes of its text. Owner, group and rights stay as they were.
///
/// The new file lies beside the old one until it is whole and on the disk. It is made before the old one is read, and while it lies there
/// nobody else edits.
pub fn replace<T, E: From<FileError>>(
    path: &Path,
    before: Before,
    edit: impl FnOnce(&[u8]) -> Result<(Vec<u8>, T), E>,
) -> Result<T, E> {
    // What a link points to is replaced, not the link.
    let path = match path.canonicalize() {
        Ok(path) => path,
        Err(error) if error.kind() == ErrorKind::NotFound => path.to_owned(),
        Err(error) => return Err(system(path, error).into()),
    };
    let mut new = Beside::create(&path)?;
    let (text, said) = edit(&text_before(&path, before)?)?;
    new.become_like(&path)?;
    new.take_place(&path, &text)?;
    Ok(said)
}

/// Whether users of this machine who are neither its owner nor in its group may do anything with it.
pub fn is_open_to_others(path: &Path) -> bool {
    path.metadata().is_ok_and(|metadata| metadata.mode() & RIGHTS_OF_OTHERS != 0)
}

/// A file that takes the place of another one, or goes.
struct Beside {
    path: PathBuf,
    file: File,
    is_done: bool,
}

impl Beside {
    fn create(target: &Path) -> Result<Self, FileError> {
        let mut path = OsString::from(target);
        path.push(".new");
        let path = PathBuf::from(path);
        match OpenOptions::new().write(true).create_new(true).mode(NEW_MODE).open(&path) {
            Ok(file) => Ok(Self { path, file, is_done: false }),
            Err(error) if error.kind() == ErrorKind::AlreadyExists => Err(FileError::Busy(path)),
            Err(error) => Err(FileError::System { path, error }),
        }
    }

    /// The owner first: whoever is to own it may not be given more than that before it is theirs.
    fn become_like(&self, target: &Path) -> Result<(), FileError> {
        let wrong = |error| system(&self.path, error);
        let Some(old) = metadata(target)? else { return Ok(()) };
        if !old.is_file() {
            return Err(FileError::Strange(target.to_owned()));
        }
        let own = self.file.metadata().map_err(wrong)?;
        if (own.uid(), own.gid()) != (old.uid(), old.gid()) {
            fchown(&self.file, Some(old.uid()), Some(old.gid())).map_err(wrong)?;
        }
        self.file.set_permissions(Permissions::from_mode(old.mode() & RIGHTS)).map_err(wrong)
    }

    fn take_place(&mut self, target: &Path, text: &[u8]) -> Result<(), FileError> {
        let written = self.file.write_all(text).and_then(|()| self.file.sync_all());
        written.and_then(|()| fs::rename(&self.path, target)).map_err(|error| system(&self.path, error))?;
        self.is_done = true;
        let folder = match target.parent() {
            Some(folder) if !folder.as_os_str().is_empty() => folder,
            Some(_) | None => Path::new("."),
        };
        File::open(folder).and_then(|folder| folder.sync_all()).map_err(|error| system(folder, error))
    }
}

impl Drop for Beside {
    fn drop(&mut self) {
        if !self.is_done {
            // It is told already why nothing came of it.
            let _ = fs::remove_file(&self.path);
        }
    }
}

/// What is known of a file; nothing where there is none.
fn metadata(path: &Path) -> Result<Option<Metadata>, FileError> {
    match path.metadata() {
        Ok(metadata) => Ok(Some(metadata)),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(system(path, error)),
    }
}

fn system(path: &Path, error: io::Error) -> FileError {
    FileError::System { path: path.to_owned(), error }
}
