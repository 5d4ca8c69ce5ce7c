//! Panics: one in work for a stranger is no answer, and every other one ends the process at once.
//!
//! Helpers judge what strangers sent and servers answered, with code of others. Where that goes wrong the client is refused and the helper
//! goes on. A shard that has lost its footing must not go on, and must not leave the others behind without it: what it has promised is in
//! the journal, and the next start knows it.

use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind};

thread_local! {
    /// Whether somebody takes a panic of this thread for an answer.
    static IS_GUARDED: Cell<bool> = const { Cell::new(false) };
}

/// What it finds; nothing where it panics. What it has touched is not looked at again, or goes on from a refusal.
pub fn guarded<T>(find: impl FnOnce() -> T) -> Option<T> {
    let before = IS_GUARDED.replace(true);
    let found = catch_unwind(AssertUnwindSafe(find));
    IS_GUARDED.set(before);
    found.ok()
}

/// From now on every other panic ends the process, behind what it has to say. For a process that is a broker and nothing else.
pub fn end_with_every_other_panic() {
    let tell = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        tell(panic);
        if !IS_GUARDED.get() {
            std::process::abort();
        }
    }));
}

#[cfg(test)]
mod tests {
    use std::os::unix::process::ExitStatusExt as _;
    use std::process::Command;

    use super::*;

    /// Says to this test that it is the child.
    const CHILD: &str = "A_PANIC_ENDS_THE_CHILD";

    #[test]
    fn threat_3_a_panic_is_an_answer_where_somebody_waits_for_one_and_the_end_elsewhere() {
        if std::env::var_os(CHILD).is_some() {
            end_with_every_other_panic();
            assert!(guarded(|| guarded(|| panic!("deeper")).is_none()).is_some_and(|is_none| is_none));
            assert!(guarded::<()>(|| panic!("answered")).is_none());
            eprintln!("goes on");
            #[expect(clippy::disallowed_methods, reason = "it ends the process from another thread, as a shard would")]
            let joined = std::thread::spawn(|| {
                assert!(guarded::<()>(|| panic!("answered here, too")).is_none());
                panic!("lost") // a thread that was guarded is so no longer
            })
            .join();
            eprintln!("came back: {joined:?}");
            return;
        }
        let own = std::env::current_exe().unwrap();
        let name = "threat_3_a_panic_is_an_answer_where_somebody_waits_for_one_and_the_end_elsewhere";
        let arguments = ["--exact", &format!("shell::guard::tests::{name}"), "--nocapture"];
        let output = Command::new(own).args(arguments).env(CHILD, "1").output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.signal(), Some(libc::SIGABRT), "{said}");
        assert!(said.contains("goes on") && said.contains("lost") && !said.contains("came back"), "{said}");
    }
}
