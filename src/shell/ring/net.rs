//! One face for both drivers: the ring, and the runtime's own streams.

use std::io;
use std::os::fd::BorrowedFd;
use std::task::Waker;
use std::time::Duration;

use socket2::SockRef;

use super::buffers::Piece;
use super::disk::Write;
use super::fetch::Read;
use super::plain::Plain;
use super::sys::EventFd;
use super::uring::{Ring, RingStats};
use super::{Leaving, Ready};
use crate::base::slab::Key;
use crate::config::Driver;
use crate::engine::connection::ConnectionKey;

/// What drives the network of one shard.
pub enum Net {
    /// The shard's own ring.
    Ring(Box<Ring>),
    /// The runtime's streams.
    Plain(Box<Plain>),
}

impl Net {
    /// The driver that was asked for, or the best that the kernel has.
    pub fn new(driver: Driver, entries: u32) -> io::Result<Self> {
        let plain = || Self::Plain(Box::default());
        match driver {
            Driver::Plain => Ok(plain()),
            Driver::Ring => Ok(Self::Ring(Box::new(Ring::new(entries)?))),
            Driver::Auto => match Ring::new(entries) {
                Ok(ring) => Ok(Self::Ring(Box::new(ring))),
                Err(error) if is_missing(&error) => Ok(plain()),
                Err(error) => Err(error),
            },
        }
    }

    /// What to call it in logs.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Ring(_) => "ring",
            Self::Plain(_) => "plain",
        }
    }

    /// Watches the eventfd by which other shards wake this one.
    pub fn watch_waker(&mut self, waker: &EventFd) {
        match self {
            Self::Ring(ring) => ring.watch_waker(waker),
            Self::Plain(_) => {} // they have a waker of the runtime, see `wait`
        }
    }

    /// Accepts clients from now on, until [`Ready::AcceptEnded`].
    pub fn accept(&mut self, number: u16, listener: BorrowedFd<'_>) {
        match self {
            Self::Ring(ring) => ring.accept(number, listener),
            Self::Plain(plain) => plain.accept(number, listener),
        }
    }

    /// Accepts nobody any more.
    pub fn stop_accepting(&mut self, number: u16) {
        match self {
            Self::Ring(ring) => ring.stop_accepting(number),
            Self::Plain(plain) => plain.stop_accepting(number),
        }
    }

    /// Watches a connection for bytes: once, or until [`Ready::Readable`] says that it is over.
    pub fn watch(&mut self, key: ConnectionKey, fd: BorrowedFd<'_>, is_lasting: bool) {
        match self {
            Self::Ring(ring) => ring.watch(key, fd, is_lasting),
            Self::Plain(plain) => plain.watch(key, fd),
        }
    }

    /// Has the kernel receive on its own from now on, until [`Ready::ReceiveEnded`]. False where it cannot: then nothing changes.
    pub fn receive(&mut self, key: ConnectionKey, fd: BorrowedFd<'_>) -> bool {
        match self {
            Self::Ring(ring) => ring.receive(key, fd),
            Self::Plain(_) => false,
        }
    }

    /// Has the kernel receive no more. What it has received still comes, then [`Ready::ReceiveEnded`].
    pub fn stop_receiving(&mut self, key: ConnectionKey) {
        match self {
            Self::Ring(ring) => ring.stop_receiving(key),
            Self::Plain(_) => {}
        }
    }

    /// The bytes that the kernel has received.
    pub fn bytes(&self, piece: &Piece) -> &[u8] {
        match self {
            Self::Ring(ring) => ring.bytes(piece),
            Self::Plain(_) => unreachable!("pieces come from a ring"),
        }
    }

    /// They were handled, or nobody wants them: the kernel may use their place again.
    pub fn give_back(&mut self, piece: Piece) {
        match self {
            Self::Ring(ring) => ring.give_back(piece),
            Self::Plain(_) => unreachable!("pieces come from a ring"),
        }
    }

    /// Reads from a connection.
    pub fn read(&mut self, key: ConnectionKey, socket: &SockRef<'_>, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Ring(_) => io::Read::read(&mut &**socket, buffer),
            Self::Plain(plain) => plain.read(key, socket, buffer),
        }
    }

    /// Tells once when a connection may take bytes again.
    pub fn watch_writable(&mut self, key: ConnectionKey, fd: BorrowedFd<'_>) {
        match self {
            Self::Ring(ring) => ring.watch_writable(key, fd),
            Self::Plain(plain) => plain.watch_writable(key),
        }
    }

    /// Watches no longer for bytes of this connection. What is on its way may still come.
    pub fn forget(&mut self, key: ConnectionKey) {
        match self {
            Self::Ring(ring) => ring.forget(key),
            Self::Plain(plain) => plain.forget(key),
        }
    }

    /// Waits no longer until this connection takes bytes.
    pub fn forget_writable(&mut self, key: ConnectionKey) {
        match self {
            Self::Ring(ring) => ring.forget_writable(key),
            Self::Plain(plain) => plain.forget_writable(key),
        }
    }

    /// Tells once when something may have happened to a line that is being closed.
    pub fn watch_leaving(&mut self, key: Key<Leaving>, fd: BorrowedFd<'_>, has_bytes: bool) {
        match self {
            Self::Ring(ring) => ring.watch_leaving(key, fd, has_bytes),
            Self::Plain(plain) => plain.watch_leaving(key),
        }
    }

    /// Watches a line no longer that was being closed.
    pub fn forget_leaving(&mut self, key: Key<Leaving>) {
        match self {
            Self::Ring(ring) => ring.forget_leaving(key),
            Self::Plain(plain) => plain.forget_leaving(key),
        }
    }

    /// Writes to a file: [`Ready::Written`] when it is over.
    pub fn write(&mut self, write: Write) {
        match self {
            Self::Ring(ring) => ring.write(write),
            Self::Plain(plain) => plain.write(write),
        }
    }

    /// Reads from a file: [`Ready::Brought`] when it is over.
    pub fn read_file(&mut self, read: Read) {
        match self {
            Self::Ring(ring) => ring.read_file(read),
            Self::Plain(plain) => plain.read_file(read),
        }
    }

    /// Hands all entries to the kernel, so that descriptors that they name may be closed.
    pub fn submit(&mut self) {
        match self {
            Self::Ring(ring) => ring.submit(),
            Self::Plain(_) => {}
        }
    }

    /// Submits, and lets the kernel deliver what has happened, without waiting.
    pub fn poke(&mut self) {
        match self {
            Self::Ring(ring) => ring.poke(),
            Self::Plain(_) => {}
        }
    }

    /// Whether something has become ready.
    pub fn has_news(&mut self) -> bool {
        match self {
            Self::Ring(ring) => ring.has_news(),
            Self::Plain(plain) => plain.has_news(),
        }
    }

    /// Waits until something is ready, another shard wakes this one, or the time is over. `leave_waker` takes what others
    /// shall call where they cannot raise an eventfd.
    pub async fn wait(&mut self, timeout: Option<Duration>, leave_waker: impl Fn(&Waker)) {
        match self {
            Self::Ring(ring) => ring.wait(timeout),
            Self::Plain(plain) => plain.wait(timeout, leave_waker).await,
        }
    }

    /// Everything that became ready.
    pub fn drain(&mut self, sink: impl FnMut(Ready)) {
        match self {
            Self::Ring(ring) => ring.drain(sink),
            Self::Plain(plain) => plain.drain(sink),
        }
    }

    /// Memory of the buffers that are lent to the kernel.
    pub fn buffer_bytes(&self) -> usize {
        match self {
            Self::Ring(ring) => ring.buffer_bytes(),
            Self::Plain(_) => 0,
        }
    }

    /// Whether its tasks need the executor between two turns.
    pub fn needs_executor(&self) -> bool {
        matches!(self, Self::Plain(_))
    }

    /// What the ring has done.
    pub fn stats(&self) -> RingStats {
        match self {
            Self::Ring(ring) => ring.stats,
            Self::Plain(_) => RingStats::default(),
        }
    }
}

/// Errors that say that the kernel, or who guards it, lacks what the ring needs.
fn is_missing(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::EINVAL | libc::ENOSYS | libc::EPERM))
        || error.kind() == io::ErrorKind::Unsupported
}
