//! System calls that neither the standard library nor a crate of ours wraps: eventfd, the limit of open files, priority, the user, freed memory.
#![expect(unsafe_code, reason = "system calls; tidy lists this file")]

use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};

/// A counter of the kernel that wakes whoever waits for it. Shared by all threads: writing and reading need no lock.
#[derive(Debug)]
pub struct EventFd(File);

impl EventFd {
    /// A new one, at zero.
    pub fn new() -> io::Result<Self> {
        // SAFETY: the call takes no pointers.
        let fd = unsafe { libc::eventfd(0, libc::EFD_CLOEXEC | libc::EFD_NONBLOCK) };
        if fd < 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: the kernel has just given us this descriptor, and nobody else has it.
        let owned = unsafe { OwnedFd::from_raw_fd(fd) };
        Ok(Self(File::from(owned)))
    }

    /// Wakes whoever waits.
    pub fn raise(&self) {
        // The counter cannot be full: it is read to zero at each wake.
        let _only_full_at_2_to_the_64 = (&self.0).write(&1_u64.to_ne_bytes());
    }

    /// Sets it back to zero.
    pub fn clear(&self) {
        let _fails_when_it_is_zero_already = (&self.0).read(&mut [0; 8]);
    }
}

impl AsRawFd for EventFd {
    fn as_raw_fd(&self) -> RawFd {
        self.0.as_raw_fd()
    }
}

impl AsFd for EventFd {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

/// Raises the limit of open files to what the system allows us; says which limit holds now.
pub fn raise_open_files() -> io::Result<u64> {
    let mut limit = open_files()?;
    if limit.rlim_cur < limit.rlim_max {
        limit.rlim_cur = limit.rlim_max;
        // SAFETY: the pointer is to a living struct of the right type; the kernel only reads it.
        if unsafe { libc::setrlimit(libc::RLIMIT_NOFILE, &raw const limit) } != 0 {
            return Err(io::Error::last_os_error());
        }
    }
    Ok(limit.rlim_cur)
}

/// The limit of open files that holds now: no descriptor has this number or a higher one.
pub fn open_files_max() -> io::Result<u64> {
    open_files().map(|limit| limit.rlim_cur)
}

fn open_files() -> io::Result<libc::rlimit> {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: the pointer is to a living struct of the right type.
    if unsafe { libc::getrlimit(libc::RLIMIT_NOFILE, &raw mut limit) } != 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(limit)
}

/// Gives back to the system what this thread has freed, and what others have let go of. It takes as long as there is memory to give back and
/// pages of this thread to look at: for a thread that serves nobody.
pub fn give_back_memory() {
    // SAFETY: the call takes no pointers, and what is in use stays where it is.
    unsafe { libmimalloc_sys::mi_collect(true) };
}

/// Lets go of this thread's pages in which nothing is in use any more: others may use them, or give them back.
pub fn let_go_of_empty_pages() {
    // SAFETY: the call takes no pointers, and what is in use stays where it is.
    unsafe { libmimalloc_sys::mi_collect(false) };
}

/// This thread gives way to all others of the process from now on: it runs in what time they leave, and in a small part of theirs.
pub fn give_way() -> io::Result<()> {
    // SAFETY: the call takes no pointers; on Linux 0 is the thread that calls, and whoever lowers his own priority needs no right for it.
    if unsafe { libc::setpriority(libc::PRIO_PROCESS, 0, NICENESS_MAX) } != 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(())
}

/// The lowest priority that a thread can have which is still given time where others always have work.
const NICENESS_MAX: libc::c_int = 19;

/// The user whose rights this process has.
pub fn effective_user() -> u32 {
    // SAFETY: the call takes nothing and cannot fail.
    unsafe { libc::geteuid() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_raised_eventfd_is_readable_until_it_is_cleared() {
        let event = EventFd::new().unwrap();
        let mut counter = [0; 8];
        assert_eq!((&event.0).read(&mut counter).unwrap_err().kind(), io::ErrorKind::WouldBlock);
        event.raise();
        event.raise();
        (&event.0).read_exact(&mut counter).unwrap();
        assert_eq!(u64::from_ne_bytes(counter), 2);
        event.raise();
        event.clear();
        assert_eq!((&event.0).read(&mut counter).unwrap_err().kind(), io::ErrorKind::WouldBlock);
    }

    #[test]
    #[expect(clippy::disallowed_methods, reason = "a thread of its own, which may become slow")]
    fn a_thread_gives_way_alone() {
        let niceness = || {
            let stat = std::fs::read_to_string("/proc/thread-self/stat").unwrap();
            let (_, behind_name) = stat.rsplit_once(')').unwrap();
            behind_name.split_whitespace().nth(16).unwrap().parse::<i32>().unwrap()
        };
        let before = niceness();
        let lowered = std::thread::spawn(move || {
            give_way().unwrap();
            niceness()
        });
        assert_eq!((lowered.join().unwrap(), niceness()), (NICENESS_MAX, before));
    }

    #[test]
    fn the_limit_of_open_files_is_what_it_can_be() {
        let first = raise_open_files().unwrap();
        assert!(first >= 64);
        assert_eq!(raise_open_files().unwrap(), first);
    }
}
