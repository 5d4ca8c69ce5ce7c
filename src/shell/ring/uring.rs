//! The ring: descriptors are watched by multishot poll, clients accepted by multishot accept.
#![expect(unsafe_code, reason = "entries of the ring name descriptors; tidy lists this file")]

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::time::Duration;

use io_uring::squeue::Flags;
use io_uring::types::{Fd, SubmitArgs, Timespec};
use io_uring::{IoUring, cqueue, opcode, squeue};

use super::sys::EventFd;
use super::{Kind, Leaving, Ready, key_of, kind_of, tag};
use crate::base::slab::Key;
use crate::engine::connection::ConnectionKey;

/// What is asked of a descriptor that is read: bytes, or that the peer has closed its side.
const READABLE: u32 = (libc::POLLIN | libc::POLLRDHUP) as u32;
const WRITABLE: u32 = libc::POLLOUT as u32;
/// What tells that a peer will send no more.
const ENDING: i32 = (libc::POLLRDHUP | libc::POLLHUP | libc::POLLERR) as i32;

/// Completions for each entry of the submission queue.
const COMPLETIONS_PER_ENTRY: u32 = 4;

/// One per shard; made, driven and dropped by its thread.
pub struct Ring {
    ring: IoUring,
    /// What the ring has done, for the report.
    pub stats: RingStats,
}

/// Plain counters.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RingStats {
    /// Entries submitted.
    pub submissions: u64,
    /// Completions.
    pub completions: u64,
    /// System calls.
    pub enters: u64,
    /// Completions that found no place at first.
    pub overflows: u64,
}

impl Ring {
    /// A ring for the calling thread.
    pub fn new(entries: u32) -> io::Result<Self> {
        let ring = IoUring::builder()
            .setup_single_issuer()
            .setup_defer_taskrun()
            .setup_taskrun_flag()
            .setup_submit_all()
            .setup_clamp()
            .setup_cqsize(entries.saturating_mul(COMPLETIONS_PER_ENTRY))
            .build(entries)?;
        if !ring.params().is_feature_nodrop() || !ring.params().is_feature_ext_arg() {
            return Err(io::Error::new(io::ErrorKind::Unsupported, "the kernel's io_uring is older than 5.11"));
        }
        Ok(Self { ring, stats: RingStats::default() })
    }

    /// Watches an eventfd: [`Ready::Woken`] each time it is raised.
    pub fn watch_waker(&mut self, waker: &EventFd) {
        let entry = opcode::PollAdd::new(Fd(waker.as_raw_fd()), libc::POLLIN as u32).multi(true);
        self.push(&entry.build().user_data(tag(Kind::Wake, 0)));
    }

    /// Accepts clients from now on, until [`Ready::AcceptEnded`].
    pub fn accept(&mut self, number: u16, listener: BorrowedFd<'_>) {
        let entry = opcode::AcceptMulti::new(Fd(listener.as_raw_fd())).flags(libc::SOCK_CLOEXEC | libc::SOCK_NONBLOCK);
        self.push(&entry.build().user_data(tag(Kind::Accept, u64::from(number))));
    }

    /// Accepts nobody any more. The operation holds the listener open until the kernel has seen this.
    pub fn stop_accepting(&mut self, number: u16) {
        let entry = opcode::AsyncCancel::new(tag(Kind::Accept, u64::from(number))).build().flags(Flags::SKIP_SUCCESS);
        self.push(&entry.user_data(tag(Kind::Nothing, 0)));
    }

    /// Watches a connection for bytes: once, or until [`Ready::Readable`] says that it is over.
    pub fn watch(&mut self, key: ConnectionKey, fd: BorrowedFd<'_>, is_lasting: bool) {
        let entry = opcode::PollAdd::new(Fd(fd.as_raw_fd()), READABLE).multi(is_lasting);
        self.push(&entry.build().user_data(tag(Kind::Read, key.to_bits())));
    }

    /// Tells once when a connection takes bytes again.
    pub fn watch_writable(&mut self, key: ConnectionKey, fd: BorrowedFd<'_>) {
        let entry = opcode::PollAdd::new(Fd(fd.as_raw_fd()), WRITABLE);
        self.push(&entry.build().user_data(tag(Kind::Write, key.to_bits())));
    }

    /// Watches no longer for bytes of this connection. What is on its way may still come.
    pub fn forget(&mut self, key: ConnectionKey) {
        self.cancel(tag(Kind::Read, key.to_bits()));
    }

    /// Waits no longer until this connection takes bytes.
    pub fn forget_writable(&mut self, key: ConnectionKey) {
        self.cancel(tag(Kind::Write, key.to_bits()));
    }

    /// Tells once when something happens to a line that is being closed: it ends, or takes bytes again.
    pub fn watch_leaving(&mut self, key: Key<Leaving>, fd: BorrowedFd<'_>, has_bytes: bool) {
        let wanted = if has_bytes { WRITABLE } else { READABLE };
        let entry = opcode::PollAdd::new(Fd(fd.as_raw_fd()), wanted);
        self.push(&entry.build().user_data(tag(Kind::Leaving, key.to_bits())));
    }

    /// Watches a line no longer that was being closed.
    pub fn forget_leaving(&mut self, key: Key<Leaving>) {
        self.cancel(tag(Kind::Leaving, key.to_bits()));
    }

    /// A removal of the poll would fail while an event of it is on its way; the watch would then keep the socket open for
    /// ever, behind its closed descriptor. A cancellation takes the watch in any state.
    fn cancel(&mut self, watched: u64) {
        let entry = opcode::AsyncCancel::new(watched).build().flags(Flags::SKIP_SUCCESS);
        self.push(&entry.user_data(tag(Kind::Nothing, 0)));
    }

    fn push(&mut self, entry: &squeue::Entry) {
        self.stats.submissions += 1;
        loop {
            // SAFETY: no entry of ours points to memory; each names a descriptor that its caller holds open now, and the
            // kernel takes its own reference when it reads the entry, which is before the caller can close it: entries
            // are submitted before descriptors are closed in the same turn, see `submit`.
            if unsafe { self.ring.submission().push(entry) }.is_ok() {
                return;
            }
            self.submit();
        }
    }

    /// Hands all entries to the kernel, so that descriptors that they name may be closed.
    pub fn submit(&mut self) {
        if self.ring.submission().is_empty() {
            return;
        }
        self.enter();
    }

    /// Submits, and lets the kernel deliver what has happened, without waiting. No system call if there is neither.
    pub fn poke(&mut self) {
        let (has_entries, has_work) = {
            let queue = self.ring.submission();
            (!queue.is_empty(), queue.taskrun() || queue.cq_overflow())
        };
        if has_entries || has_work {
            self.enter();
        }
    }

    fn enter(&mut self) {
        self.stats.enters += 1;
        match self.ring.submit() {
            Ok(_) => {}
            Err(error) if is_passing(&error) => {}
            Err(error) => panic!("io_uring_enter failed: {error}"),
        }
    }

    /// Waits until something is ready or the time is over.
    pub fn wait(&mut self, timeout: Option<Duration>) {
        self.stats.enters += 1;
        let time = timeout.map(|timeout| Timespec::from(timeout.min(Duration::from_hours(1))));
        let mut args = SubmitArgs::new();
        if let Some(time) = &time {
            args = args.timespec(time);
        }
        match self.ring.submitter().submit_with_args(1, &args) {
            Ok(_) => {}
            Err(error) if is_passing(&error) || error.raw_os_error() == Some(libc::ETIME) => {}
            Err(error) => panic!("io_uring_enter failed: {error}"),
        }
    }

    /// Whether the kernel has something to tell that a [`Self::poke`] would bring.
    pub fn has_news(&mut self) -> bool {
        !self.ring.completion().is_empty() || self.ring.submission().taskrun()
    }

    /// Everything that became ready, in order.
    pub fn drain(&mut self, mut sink: impl FnMut(Ready)) {
        let mut queue = self.ring.completion();
        self.stats.overflows += u64::from(queue.overflow()).saturating_sub(self.stats.overflows);
        for entry in &mut queue {
            self.stats.completions += 1;
            decode(&entry, &mut sink);
        }
    }
}

/// Errors that mean "again": a signal, or completions that have to be taken first.
fn is_passing(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::EINTR | libc::EBUSY | libc::EAGAIN))
}

fn decode(entry: &cqueue::Entry, sink: &mut impl FnMut(Ready)) {
    let (tag, result, is_over) = (entry.user_data(), entry.result(), !cqueue::more(entry.flags()));
    match kind_of(tag) {
        Kind::Nothing => {}
        Kind::Wake => sink(Ready::Woken { is_over }),
        Kind::Accept => {
            let number = u16::try_from(tag & u64::from(u16::MAX)).expect("it was masked");
            if result >= 0 {
                // SAFETY: the kernel has just given us this descriptor by this completion, which is read once.
                sink(Ready::Accepted(number, unsafe { OwnedFd::from_raw_fd(result) }));
            }
            if is_over {
                let error = (result < 0).then(|| io::Error::from_raw_os_error(-result));
                sink(Ready::AcceptEnded(number, error));
            }
        }
        // A watch that was cancelled or failed is told as well: the read that follows finds out why.
        Kind::Read => {
            let is_ending = result < 0 || result & ENDING != 0;
            let readable = key_of(tag).map(|key| Ready::Readable { key, is_ending, is_over });
            readable.into_iter().for_each(sink);
        }
        Kind::Write => key_of(tag).map(Ready::Writable).into_iter().for_each(sink),
        Kind::Leaving if result == -libc::ECANCELED => {}
        Kind::Leaving => key_of(tag).map(Ready::Leaving).into_iter().for_each(sink),
    }
}
