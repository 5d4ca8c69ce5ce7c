//! The ring: descriptors are watched by multishot poll, hot ones read by multishot receive, clients accepted by multishot accept.
#![expect(unsafe_code, reason = "entries of the ring name descriptors; tidy lists this file")]

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::time::Duration;

use io_uring::squeue::Flags;
use io_uring::types::{Fd, SubmitArgs, Timespec};
use io_uring::{IoUring, cqueue, opcode, squeue};

use super::buffers::{Buffers, GROUP, Piece};
use super::disk::{Disk, Stream, Write};
use super::fetch::{Fetches, Read};
use super::sys::EventFd;
use super::{Ended, Kind, Leaving, Ready, key_of, kind_of, tag};
use crate::base::slab::Key;
use crate::engine::connection::ConnectionKey;

/// What is asked of a descriptor that is read: bytes, or that the peer has closed its side.
const READABLE: u32 = (libc::POLLIN | libc::POLLRDHUP) as u32;
const WRITABLE: u32 = libc::POLLOUT as u32;
/// What tells that a peer will send no more.
const ENDING: i32 = (libc::POLLRDHUP | libc::POLLHUP | libc::POLLERR) as i32;
/// What tells that it will take no more either: both sides are closed.
const GONE: i32 = libc::POLLHUP as i32;

/// Completions for each entry of the submission queue.
const COMPLETIONS_PER_ENTRY: u32 = 4;

/// One per shard; made, driven and dropped by its thread.
pub struct Ring {
    ring: IoUring,
    lending: Lending,
    disk: Disk,
    fetches: Fetches,
    /// The kernel said that it had something to tell, and had nothing: see [`Self::poke`].
    is_flag_old: bool,
    /// What the ring has done, for the report.
    pub stats: RingStats,
}

/// The buffers that the kernel fills on its own.
enum Lending {
    /// Nobody has needed them yet.
    NotAsked,
    /// The kernel does not take them.
    Refused,
    /// It has them.
    Lent(Buffers),
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
    /// Times completions found no place and were kept by the kernel.
    pub overflows: u64,
    /// Operations that have begun; each goes on until it has ended.
    pub begun: u64,
    /// Operations that have ended.
    pub ended: u64,
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
        let (lending, stats) = (Lending::NotAsked, RingStats::default());
        let (disk, fetches) = (Disk::default(), Fetches::default());
        Ok(Self { ring, lending, disk, fetches, is_flag_old: false, stats })
    }

    /// Watches an eventfd: [`Ready::Woken`] each time it is raised.
    pub fn watch_waker(&mut self, waker: &EventFd) {
        let entry = opcode::PollAdd::new(Fd(waker.as_raw_fd()), libc::POLLIN as u32).multi(true);
        self.begin(&entry.build().user_data(tag(Kind::Wake, 0)));
    }

    /// Accepts clients from now on, until [`Ready::AcceptEnded`].
    pub fn accept(&mut self, number: u16, listener: BorrowedFd<'_>) {
        let entry = opcode::AcceptMulti::new(Fd(listener.as_raw_fd())).flags(libc::SOCK_CLOEXEC | libc::SOCK_NONBLOCK);
        self.begin(&entry.build().user_data(tag(Kind::Accept, u64::from(number))));
    }

    /// Accepts nobody any more. The operation holds the listener open until the kernel has seen this.
    pub fn stop_accepting(&mut self, number: u16) {
        self.cancel(tag(Kind::Accept, u64::from(number)));
    }

    /// Watches a connection for bytes: once, or until [`Ready::Readable`] says that it is over.
    pub fn watch(&mut self, key: ConnectionKey, fd: BorrowedFd<'_>, is_lasting: bool) {
        let entry = opcode::PollAdd::new(Fd(fd.as_raw_fd()), READABLE).multi(is_lasting);
        self.begin(&entry.build().user_data(tag(Kind::Read, key.to_bits())));
    }

    /// Has the kernel receive on its own from now on, until [`Ready::ReceiveEnded`]. False where it cannot.
    pub fn receive(&mut self, key: ConnectionKey, fd: BorrowedFd<'_>) -> bool {
        if !self.lends_buffers() {
            return false;
        }
        let entry = opcode::RecvMulti::new(Fd(fd.as_raw_fd()), GROUP);
        self.begin(&entry.build().user_data(tag(Kind::Receive, key.to_bits())));
        true
    }

    /// Has the kernel receive no more.
    pub fn stop_receiving(&mut self, key: ConnectionKey) {
        self.cancel(tag(Kind::Receive, key.to_bits()));
    }

    /// Buffers are lent when the first connection needs them; a kernel that refuses them once is not asked again.
    fn lends_buffers(&mut self) -> bool {
        if let Lending::NotAsked = self.lending {
            self.lending = match Buffers::lend_to(&self.ring) {
                Ok(buffers) => Lending::Lent(buffers),
                Err(error) => {
                    tracing::info!(%error, "the kernel takes no buffers: all connections are read by plain calls");
                    Lending::Refused
                }
            };
        }
        matches!(self.lending, Lending::Lent(_))
    }

    /// The bytes that the kernel has received.
    pub fn bytes(&self, piece: &Piece) -> &[u8] {
        match &self.lending {
            Lending::Lent(buffers) => buffers.bytes(piece),
            Lending::NotAsked | Lending::Refused => unreachable!("a piece lies in a buffer"),
        }
    }

    /// They were handled.
    pub fn give_back(&mut self, piece: Piece) {
        match &mut self.lending {
            Lending::Lent(buffers) => buffers.give_back(piece),
            Lending::NotAsked | Lending::Refused => unreachable!("a piece lies in a buffer"),
        }
    }

    /// Memory of the buffers.
    pub fn buffer_bytes(&self) -> usize {
        match &self.lending {
            Lending::Lent(buffers) => buffers.heap_bytes(),
            Lending::NotAsked | Lending::Refused => 0,
        }
    }

    /// Tells once when a connection takes bytes again.
    pub fn watch_writable(&mut self, key: ConnectionKey, fd: BorrowedFd<'_>) {
        let entry = opcode::PollAdd::new(Fd(fd.as_raw_fd()), WRITABLE);
        self.begin(&entry.build().user_data(tag(Kind::Write, key.to_bits())));
    }

    /// Writes to a file: [`Ready::Written`] when it is over. The ring keeps bytes and file until then.
    pub fn write(&mut self, write: Write) {
        self.disk.begin(write);
        self.go_on_with_files();
    }

    /// Reads from a file: [`Ready::Brought`] when it is over. The ring keeps memory and file until then.
    pub fn read_file(&mut self, read: Read) {
        self.fetches.begin(read);
        self.go_on_with_files();
    }

    fn go_on_with_files(&mut self) {
        while let Some((stream, entry)) = self.disk.take_entry() {
            self.begin(&entry.user_data(tag(Kind::Disk, u64::from(stream.number()))));
        }
        while let Some((place, entry)) = self.fetches.take_entry() {
            self.begin(&entry.user_data(tag(Kind::Fetch, u64::from(place))));
        }
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
        self.begin(&entry.build().user_data(tag(Kind::Leaving, key.to_bits())));
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

    fn begin(&mut self, entry: &squeue::Entry) {
        self.stats.begun += 1;
        self.push(entry);
    }

    fn push(&mut self, entry: &squeue::Entry) {
        self.stats.submissions += 1;
        loop {
            // SAFETY: each entry names a descriptor that its caller holds open now, and the kernel takes its own reference
            // when it reads the entry, which is before the caller can close it: entries are submitted before descriptors
            // are closed in the same turn, see `submit`. None points to memory but a write to a file and a read from one, and
            // what these name stays with `Disk` and `Fetches`, untouched, until the kernel has told of it; if the ring ends first, for ever.
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
        self.is_flag_old = false;
        if has_entries || has_work {
            self.enter();
            // The flag may stay behind when work comes while the kernel does other work: it is a hint, and only a sleep tells.
            self.is_flag_old = self.ring.completion().is_empty();
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

    /// Whether the kernel has something to tell that a [`Self::poke`] would bring. Who is told that there is nothing may sleep: the
    /// kernel looks again before it lets anybody sleep.
    pub fn has_news(&mut self) -> bool {
        !self.ring.completion().is_empty() || !self.is_flag_old && self.ring.submission().taskrun()
    }

    /// Everything that became ready, in order.
    pub fn drain(&mut self, mut sink: impl FnMut(Ready)) {
        self.stats.overflows += u64::from(self.ring.submission().cq_overflow());
        for entry in self.ring.completion() {
            self.stats.completions += 1;
            self.stats.ended += u64::from(is_last(&entry));
            decode(&entry, &mut self.lending, (&mut self.disk, &mut self.fetches), &mut sink);
        }
        if self.disk.has_entries() || self.fetches.has_entries() {
            self.go_on_with_files();
            self.submit(); // what follows is not to wait for the end of the turn
        }
    }
}

impl Drop for Ring {
    fn drop(&mut self) {
        if let Lending::Lent(_) = self.lending {
            // From here on the kernel finds no buffer to write to, whatever is still in flight.
            let _the_ring_is_closed_next = self.ring.submitter().unregister_buf_ring(GROUP);
        }
    }
}

/// Whether an operation that somebody waits for has ended by this completion.
fn is_last(entry: &cqueue::Entry) -> bool {
    !cqueue::more(entry.flags()) && kind_of(entry.user_data()) != Kind::Nothing
}

/// Errors that mean "again": a signal, or completions that have to be taken first.
fn is_passing(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::EINTR | libc::EBUSY | libc::EAGAIN))
}

fn decode(
    entry: &cqueue::Entry,
    lending: &mut Lending,
    (disk, fetches): (&mut Disk, &mut Fetches),
    sink: &mut impl FnMut(Ready),
) {
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
        Kind::Read | Kind::Leaving if result == -libc::ECANCELED => {}
        // A watch that failed is told as well: the read that follows finds out why.
        Kind::Read => {
            let is_ending = result < 0 || result & ENDING != 0;
            let is_gone = result >= 0 && result & GONE != 0;
            let readable = key_of(tag).map(|key| Ready::Readable { key, is_ending, is_gone, is_over });
            readable.into_iter().for_each(sink);
        }
        Kind::Receive => key_of(tag).into_iter().for_each(|key| decode_receive(key, entry, lending, sink)),
        Kind::Write => key_of(tag).map(Ready::Writable).into_iter().for_each(sink),
        Kind::Leaving => key_of(tag).map(Ready::Leaving).into_iter().for_each(sink),
        Kind::Disk => {
            let stream = Stream::new(u8::try_from(tag & u64::from(u8::MAX)).expect("it was masked"));
            disk.told(stream, result).map(Ready::Written).into_iter().for_each(sink);
        }
        Kind::Fetch => {
            let place = u32::try_from(tag & u64::from(u32::MAX)).expect("it was masked");
            fetches.told(place, result).map(Ready::Brought).into_iter().for_each(sink);
        }
    }
}

/// A receive has brought bytes, has ended, or both.
fn decode_receive(key: ConnectionKey, entry: &cqueue::Entry, lending: &mut Lending, sink: &mut impl FnMut(Ready)) {
    let Lending::Lent(buffers) = lending else { unreachable!("nobody receives without buffers") };
    let result = entry.result();
    if let Some(piece) = buffers.take(entry.flags(), u32::try_from(result).unwrap_or(0)) {
        sink(Ready::Received { key, piece });
    }
    if !cqueue::more(entry.flags()) {
        let why = match -result {
            libc::ECANCELED => Ended::Asked,
            libc::ENOBUFS => Ended::NoBuffer,
            error if error < 0 => Ended::Paused, // it has brought bytes
            _ => Ended::Over,
        };
        sink(Ready::ReceiveEnded { key, why });
    }
}
