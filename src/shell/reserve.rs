//! The last descriptors of the process, which are for its own files: clients never get all of them.

use std::os::fd::{AsFd, AsRawFd, BorrowedFd};

use super::ring::sys::open_files_max;

/// Which part of all descriptors is kept back.
const PART: u64 = 8;
/// More are never kept back: enough for the segments of a journal that grow for hours, for certificates and rules that are read anew.
const DESCRIPTORS_MAX: u64 = 256;

/// From which numbers on descriptors are kept back. The kernel always gives the lowest number that is free, so the number of a new
/// descriptor tells how many are left at least: nobody has to count what any thread opens and closes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Reserve {
    /// Whoever is given this number or a higher one is the last who comes in.
    pauses_from: u64,
    /// Whoever is given this one or a higher one does not come in: it came in the same moment as others.
    refuses_from: u64,
}

impl Reserve {
    /// As the limit of this process is now: an operator may change it while the broker runs.
    pub(super) fn now() -> Self {
        // A process that may not ask for its limit finds it by what fails.
        Self::of(open_files_max().unwrap_or(u64::MAX))
    }

    fn of(limit: u64) -> Self {
        let kept = (limit / PART).min(DESCRIPTORS_MAX);
        Self { pauses_from: limit - kept, refuses_from: limit - kept / 2 }
    }

    /// Whether nobody is to come in behind the owner of this descriptor.
    pub(super) fn is_reached_by(self, client: BorrowedFd<'_>) -> bool {
        number(client) >= self.pauses_from
    }

    /// Whether the owner of this descriptor is one too many.
    pub(super) fn refuses(self, client: BorrowedFd<'_>) -> bool {
        number(client) >= self.refuses_from
    }

    /// Whether the next who comes in would leave the reserve alone.
    pub(super) fn is_whole(self, any: BorrowedFd<'_>) -> bool {
        any.try_clone_to_owned().is_ok_and(|next| !self.is_reached_by(next.as_fd()))
    }
}

fn number(descriptor: BorrowedFd<'_>) -> u64 {
    u64::try_from(descriptor.as_raw_fd()).expect("an open descriptor is not negative")
}

#[cfg(test)]
mod tests {
    use std::fs::File;

    use super::*;

    #[test]
    fn an_eighth_is_kept_back_and_never_many() {
        assert_eq!(Reserve::of(128), Reserve { pauses_from: 112, refuses_from: 120 });
        assert_eq!(Reserve::of(1 << 20), Reserve { pauses_from: (1 << 20) - 256, refuses_from: (1 << 20) - 128 });
        assert_eq!(Reserve::of(0), Reserve { pauses_from: 0, refuses_from: 0 });
        assert!(Reserve::of(u64::MAX).refuses_from > u64::from(u32::MAX));
    }

    #[test]
    fn the_number_of_a_descriptor_tells() {
        let file = File::open("/dev/null").unwrap();
        let number = number(file.as_fd());
        let below = Reserve { pauses_from: number + 1, refuses_from: number + 1 };
        assert!(!below.is_reached_by(file.as_fd()) && !below.refuses(file.as_fd()));
        let first = Reserve { pauses_from: number, refuses_from: number + 1 };
        assert!(first.is_reached_by(file.as_fd()) && !first.refuses(file.as_fd()));
        let within = Reserve { pauses_from: 0, refuses_from: number };
        assert!(within.refuses(file.as_fd()) && !within.is_whole(file.as_fd()));
        assert!(Reserve::of(u64::MAX).is_whole(file.as_fd()));
    }
}
