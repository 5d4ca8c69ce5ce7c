//! Who runs first on cores that are too few: what has begun while we had precedence, before what begins when we have given it up.

use std::fs;
use std::process::{Command, Stdio};

/// Nearly the highest and the usual one, as `nice` counts.
const FIRST: &str = "-19";
const USUAL: &str = "0";

/// This thread and all that it begins from now on run before others; false if the system does not let us.
pub fn take() -> bool {
    renice(FIRST)
}

/// What this thread begins from now on, and itself, is as others are.
pub fn give_up() {
    renice(USUAL);
}

/// A thread's own priority: the file names the thread behind its process.
fn renice(priority: &str) -> bool {
    let Ok(thread) = fs::read_link("/proc/thread-self") else { return false };
    let Some(number) = thread.file_name() else { return false };
    let mut command = Command::new("renice");
    command.args(["--priority", priority, "--pid"]).arg(number).stdout(Stdio::null()).stderr(Stdio::null());
    command.status().is_ok_and(|status| status.success())
}
