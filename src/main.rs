//! The `pregon` binary.

fn main() {}
