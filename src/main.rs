//! The `pregon` binary: its allocator, and the way to the command line.

use std::process::ExitCode;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    // What is allocated here is small and lives long; a huge page would be zeroed whole for the little that is used of it. A kernel that
    // does not know the setting does as it did.
    let _either_way = nix::sys::prctl::set_thp_disable(true);
    pregon::cli::run()
}
