//! Files of the operator, read whole, and never more of them than is wanted.

use std::fs::File;
use std::io::{self, Read as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::time::SystemTime;

/// Which file it is, whatever it is called: what is put in its place is another one, and what is written into it is not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    device: u64,
    inode: u64,
    /// Numbers of files that are gone are given to others; when they were made is not. None where nobody keeps it.
    made: Option<SystemTime>,
}

/// What lies in a file.
#[derive(Debug)]
pub struct Found {
    /// All of it.
    pub text: Vec<u8>,
    /// Which file it is.
    pub place: Place,
    /// Whether it has been given its name, or another owner or mode, since something was last written into it: its writer is done with it.
    pub is_done: bool,
}

/// A file that is longer than it may be is refused, and not cut.
pub fn read_up_to(path: &Path, bytes_max: usize) -> io::Result<Vec<u8>> {
    read_placed(path, bytes_max).map(|found| found.text)
}

/// The same, and which file it was.
pub fn read_placed(path: &Path, bytes_max: usize) -> io::Result<Found> {
    let mut text = Vec::new();
    let mut file = File::open(path)?;
    let found = file.metadata()?;
    file.by_ref().take(bytes_max as u64 + 1).read_to_end(&mut text)?;
    if text.len() > bytes_max {
        return Err(io::ErrorKind::FileTooLarge.into());
    }
    let place = Place { device: found.dev(), inode: found.ino(), made: found.created().ok() };
    let is_done = (found.ctime(), found.ctime_nsec()) > (found.mtime(), found.mtime_nsec());
    Ok(Found { text, place, is_done })
}
