//! A folder for one test, gone with it.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

use super::folder::{Folder, FolderError};

/// Where one test may put files.
pub struct Scratch(PathBuf);

impl Scratch {
    /// A new one, empty.
    pub fn new() -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let path = std::env::temp_dir().join(format!("pregon-test-{}-{number}", std::process::id()));
        fs::create_dir(&path).unwrap();
        Self(path)
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // What cannot be removed lies in the folder for temporary files.
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// Takes a directory into use that was given up before.
///
/// A child that another test begins holds the descriptor of the lock for a moment, until it has become its program.
pub fn reopened(path: &Path) -> Folder {
    const ATTEMPTS: u32 = 1_000_000;
    let opened = (0..ATTEMPTS).find_map(|_| match Folder::open(path) {
        Err(FolderError::InUse { .. }) => {
            std::thread::yield_now();
            None
        }
        opened => Some(opened),
    });
    opened.expect("nobody else uses the folder").unwrap()
}
