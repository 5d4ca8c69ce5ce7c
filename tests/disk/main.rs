//! The disk of `bench/disk`, tested: what it keeps and loses, its faults, and the kernel's view of it.
#![expect(clippy::unwrap_used, reason = "everything here is a test")]

#[path = "../../bench/disk/fickle/mod.rs"]
mod fickle;
mod mounted;

mod content;
mod faults;
mod kernel;
mod names;
