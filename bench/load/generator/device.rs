//! What is written to a block device, as `/sys` tells it.
//!
//! `write_bytes` of `/proc/PID/io` is no substitute: a write of one page into a large folio of the page cache counts there as the
//! whole folio.

use std::fs;
use std::io::{self, ErrorKind};
use std::path::PathBuf;

/// What `stat` counts in, on every device.
const SECTOR_BYTES: u64 = 512;

/// A device that only the broker writes to.
#[derive(Clone, Debug)]
pub struct Device {
    stat: PathBuf,
}

impl Device {
    /// The device of this name, `loop0` or `sda`.
    pub fn new(name: &str) -> Self {
        Device { stat: PathBuf::from(format!("/sys/class/block/{name}/stat")) }
    }

    /// Bytes written to it so far.
    pub fn written(&self) -> io::Result<u64> {
        let named = |kind, why: &str| io::Error::new(kind, format!("{}: {why}", self.stat.display()));
        let text = fs::read_to_string(&self.stat).map_err(|error| named(error.kind(), &error.to_string()))?;
        written(&text).ok_or_else(|| named(ErrorKind::InvalidData, "not as the kernel describes it"))
    }
}

/// The seventh field, in bytes.
pub fn written(stat: &str) -> Option<u64> {
    let sectors: u64 = stat.split_ascii_whitespace().nth(6)?.parse().ok()?;
    Some(sectors * SECTOR_BYTES)
}
