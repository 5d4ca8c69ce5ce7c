//! A folder that one test has for itself.

use std::fs;
use std::path::{Path, PathBuf};

/// A folder of this test alone, gone with it.
pub struct Folder(PathBuf);

impl Folder {
    /// The folder of the test of this name; it is not made yet.
    pub fn new(name: &str) -> Self {
        Self(std::env::temp_dir().join(format!("pregon-{name}-{}", std::process::id())))
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        // What a failed run leaves behind is looked at by whoever wants to know why.
        if !std::thread::panicking() {
            fs::remove_dir_all(&self.0).expect("the folder is ours");
        }
    }
}
