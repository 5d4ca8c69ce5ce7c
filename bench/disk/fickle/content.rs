//! The bytes of one file: as they are read, as the device has them, and what lies between.

use super::luck::{Fate, Luck};
use super::pending::{Mark, Pending};

/// A device writes so much at once or not at all.
pub const SECTOR_BYTES: usize = 512;

/// The bytes of one file.
#[derive(Debug, Default)]
pub struct Content {
    /// What is read.
    seen: Vec<u8>,
    /// What the device has for certain.
    safe: Vec<u8>,
    /// What leads from the one to the other.
    changes: Pending<Change>,
}

#[derive(Debug)]
enum Change {
    Bytes { offset: usize, bytes: Vec<u8> },
    Length(usize),
}

impl Content {
    /// How long the file is.
    pub fn len(&self) -> usize {
        self.seen.len()
    }

    /// At most so many bytes from a place on.
    pub fn read(&self, offset: usize, len: usize) -> &[u8] {
        let rest = self.seen.get(offset..).unwrap_or_default();
        &rest[..len.min(rest.len())]
    }

    /// Writes bytes; a gap before them is zeros.
    pub fn write(&mut self, offset: usize, bytes: &[u8]) {
        place(&mut self.seen, offset, bytes);
        self.changes.push(Change::Bytes { offset, bytes: bytes.to_vec() });
    }

    /// Cuts the file short, or appends zeros.
    pub fn resize(&mut self, len: usize) {
        if len != self.seen.len() {
            self.seen.resize(len, 0);
            self.changes.push(Change::Length(len));
        }
    }

    /// A sync begins: it is about what was changed by now.
    pub fn mark(&self) -> Mark {
        self.changes.mark()
    }

    /// A sync has ended well: bytes and length are on the device.
    pub fn keep(&mut self, mark: Mark) {
        for change in self.changes.take(mark) {
            change.reach(&mut self.safe);
        }
    }

    /// A sync has failed. The kernel takes what it was about for clean from now on, so no later sync brings it to the device.
    pub fn give_up(&mut self, mark: Mark) {
        drop(self.changes.take(mark));
    }

    /// The power goes. What is seen from now on is what the device has.
    pub fn cut(&mut self, luck: &mut Luck) {
        for change in self.changes.take_all() {
            change.meet(luck, &mut self.safe);
        }
        self.seen.clone_from(&self.safe);
    }
}

impl Change {
    /// All of it reaches the device.
    fn reach(self, device: &mut Vec<u8>) {
        match self {
            Self::Bytes { offset, bytes } => place(device, offset, &bytes),
            Self::Length(len) => device.resize(len, 0),
        }
    }

    /// Some of it may have reached the device.
    fn meet(self, luck: &mut Luck, device: &mut Vec<u8>) {
        match (self, luck.fate()) {
            (_, Fate::Lost) => {}
            (Self::Bytes { offset, bytes }, Fate::Torn) => tear(device, offset, &bytes, luck),
            (whole, Fate::Kept | Fate::Torn) => whole.reach(device),
        }
    }
}

fn place(bytes: &mut Vec<u8>, offset: usize, new: &[u8]) {
    let end = offset + new.len();
    bytes.resize(bytes.len().max(end), 0);
    bytes[offset..end].copy_from_slice(new);
}

/// Some sectors of a write reach the device. The file may have grown all the same for those that have not.
fn tear(device: &mut Vec<u8>, offset: usize, bytes: &[u8], luck: &mut Luck) {
    if luck.keeps() {
        device.resize(device.len().max(offset + bytes.len()), 0);
    }
    let mut from = 0;
    while from < bytes.len() {
        let sector_end = (offset + from) / SECTOR_BYTES * SECTOR_BYTES + SECTOR_BYTES;
        let to = bytes.len().min(sector_end - offset);
        if luck.keeps() {
            place(device, offset + from, &bytes[from..to]);
        }
        from = to;
    }
}
