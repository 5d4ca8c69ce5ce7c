//! Files of the operator, read whole, and never more of them than is wanted.

use std::fs::File;
use std::io::{self, Read as _};
use std::path::Path;

/// A file that is longer than it may be is refused, and not cut.
pub fn read_up_to(path: &Path, bytes_max: usize) -> io::Result<Vec<u8>> {
    let mut text = Vec::new();
    File::open(path)?.take(bytes_max as u64 + 1).read_to_end(&mut text)?;
    if text.len() > bytes_max {
        return Err(io::ErrorKind::FileTooLarge.into());
    }
    Ok(text)
}
