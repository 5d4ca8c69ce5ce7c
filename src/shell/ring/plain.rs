//! The plain driver: the runtime's own streams and listeners, for systems whose kernel lacks what the ring needs.
//!
//! It is slower and costs a second descriptor a connection. It keeps the shell honest: every test of the broker can run on
//! it, and what differs is not the ring's fault.
#![expect(unsafe_code, reason = "the runtime takes over descriptors; tidy lists this file")]

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, BTreeSet};
use std::future::poll_fn;
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, IntoRawFd, OwnedFd};
use std::pin::Pin;
use std::rc::Rc;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

use futures_io::AsyncRead;
use glommio::io::BufferedFile;
use glommio::net::{TcpListener, TcpStream};
use glommio::timer::Timer;
use socket2::SockRef;

use super::disk::{Fault, Flight, Operation, Step, Write, Written};
use super::fetch::{self, Brought, Read};
use super::{Leaving, Ready};
use crate::base::slab::Key;
use crate::engine::connection::ConnectionKey;

/// How often lines are tried again of which nobody tells: those that the kernel takes no bytes of, for the runtime tells of
/// reading only, and those that got no second descriptor.
const RETRY: Duration = Duration::from_millis(5);
/// How long it sleeps at the least: a timer that is over at once would call nobody.
const SLEEP_MIN: Duration = Duration::from_micros(100);
/// How long it sleeps at the most: the runtime may sleep although a task could run, and only a timer is sure to wake it.
const SLEEP_MAX: Duration = Duration::from_millis(100);

/// One per shard, on its thread.
pub struct Plain {
    streams: BTreeMap<ConnectionKey, Tapped>,
    news: Rc<News>,
    /// Connections for which there was no second descriptor: they are tried again and again.
    untapped: BTreeSet<ConnectionKey>,
    writers: BTreeSet<ConnectionKey>,
    leavers: BTreeSet<Key<Leaving>>,
    accepting: BTreeMap<u16, glommio::Task<()>>,
}

/// A connection's stream, and the waker that tells which one it is.
struct Tapped {
    stream: TcpStream,
    waker: Waker,
}

/// What has happened since the last look. Written by tasks and wakers of the same thread, and by wakers of others.
struct News {
    /// What tasks have to tell.
    ready: RefCell<Vec<Ready>>,
    /// Writes and reads of files that are on their way.
    files: Cell<usize>,
    bell: Arc<Bell>,
}

/// What wakers write to; they may be called from anywhere.
#[derive(Default)]
struct Bell {
    readable: Mutex<Vec<ConnectionKey>>,
    driver: Mutex<Option<Waker>>,
}

/// The waker of one connection.
struct Tap {
    key: ConnectionKey,
    bell: Arc<Bell>,
}

impl Wake for Tap {
    fn wake(self: Arc<Self>) {
        self.bell.readable.lock().unwrap_or_else(PoisonError::into_inner).push(self.key);
        self.bell.ring();
    }
}

impl Bell {
    fn ring(&self) {
        let waker = self.driver.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    fn has_rung(&self) -> bool {
        !self.readable.lock().unwrap_or_else(PoisonError::into_inner).is_empty()
    }
}

impl Default for Plain {
    /// A driver for the calling executor.
    fn default() -> Self {
        let news = News { ready: RefCell::default(), files: Cell::new(0), bell: Arc::default() };
        Self {
            streams: BTreeMap::new(),
            news: Rc::new(news),
            untapped: BTreeSet::new(),
            writers: BTreeSet::new(),
            leavers: BTreeSet::new(),
            accepting: BTreeMap::new(),
        }
    }
}

impl Plain {
    /// Accepts clients from now on, until [`Ready::AcceptEnded`].
    pub fn accept(&mut self, number: u16, listener: BorrowedFd<'_>) {
        let own = match listener.try_clone_to_owned() {
            Ok(own) => own,
            Err(error) => return self.news.ready.borrow_mut().push(Ready::AcceptEnded(number, Some(error))),
        };
        // SAFETY: the descriptor is ours alone, and the runtime closes it with its listener.
        let listener = unsafe { TcpListener::from_raw_fd(own.into_raw_fd()) };
        let news = Rc::clone(&self.news);
        let task = glommio::spawn_local(async move {
            loop {
                let client = match listener.accept().await {
                    Ok(stream) => take_out(&stream),
                    Err(error) => Err(io::Error::from(error)),
                };
                let is_over = client.is_err();
                news.ready.borrow_mut().push(match client {
                    Ok(fd) => Ready::Accepted(number, fd),
                    Err(error) => Ready::AcceptEnded(number, Some(error)),
                });
                news.bell.ring();
                if is_over {
                    return;
                }
            }
        });
        self.accepting.insert(number, task);
    }

    /// Accepts nobody any more.
    pub fn stop_accepting(&mut self, number: u16) {
        self.accepting.remove(&number);
    }

    /// Watches a connection for bytes: it is read until there are none, then the runtime waits.
    pub fn watch(&mut self, key: ConnectionKey, fd: BorrowedFd<'_>) {
        if let Ok(own) = fd.try_clone_to_owned() {
            // SAFETY: the descriptor is ours alone, and the runtime closes it with its stream.
            let stream = unsafe { TcpStream::from_raw_fd(own.into_raw_fd()) };
            let waker = Waker::from(Arc::new(Tap { key, bell: Arc::clone(&self.news.bell) }));
            self.streams.insert(key, Tapped { stream, waker });
            self.mark(key);
        } else {
            self.untapped.insert(key);
        }
    }

    fn mark(&self, key: ConnectionKey) {
        self.news.bell.readable.lock().unwrap_or_else(PoisonError::into_inner).push(key);
    }

    /// Reads what there is, and has the runtime wait where there is nothing.
    pub fn read(&mut self, key: ConnectionKey, socket: &SockRef<'_>, buffer: &mut [u8]) -> io::Result<usize> {
        let Some(tapped) = self.streams.get_mut(&key) else {
            return io::Read::read(&mut &**socket, buffer);
        };
        match Pin::new(&mut tapped.stream).poll_read(&mut Context::from_waker(&tapped.waker), buffer) {
            Poll::Ready(Ok(count)) => {
                self.mark(key); // only a read that finds nothing makes the runtime wait
                Ok(count)
            }
            Poll::Ready(Err(error)) => Err(error),
            Poll::Pending => Err(io::ErrorKind::WouldBlock.into()),
        }
    }

    /// Tries again soon to send to a connection.
    pub fn watch_writable(&mut self, key: ConnectionKey) {
        self.writers.insert(key);
    }

    /// Watches no longer.
    pub fn forget(&mut self, key: ConnectionKey) {
        self.streams.remove(&key);
        self.untapped.remove(&key);
    }

    /// Does not try to send any more.
    pub fn forget_writable(&mut self, key: ConnectionKey) {
        self.writers.remove(&key);
    }

    /// Looks again soon at a line that is being closed.
    pub fn watch_leaving(&mut self, key: Key<Leaving>) {
        self.leavers.insert(key);
    }

    /// Does not look at it any more.
    pub fn forget_leaving(&mut self, key: Key<Leaving>) {
        self.leavers.remove(&key);
    }

    /// Writes to a file: [`Ready::Written`] when it is over. The runtime keeps what it writes until then.
    pub fn write(&mut self, write: Write) {
        let news = Rc::clone(&self.news);
        news.files.set(news.files.get() + 1);
        let task = glommio::spawn_local(async move {
            let written = write_out(write).await;
            news.files.set(news.files.get() - 1);
            news.ready.borrow_mut().push(Ready::Written(written));
            news.bell.ring();
        });
        // It goes on whatever becomes of this driver.
        drop(task.detach());
    }

    /// Reads from a file: [`Ready::Brought`] when it is over.
    pub fn read_file(&mut self, read: Read) {
        let news = Rc::clone(&self.news);
        news.files.set(news.files.get() + 1);
        let task = glommio::spawn_local(async move {
            let brought = read_in(read).await;
            news.files.set(news.files.get() - 1);
            news.ready.borrow_mut().push(Ready::Brought(brought));
            news.bell.ring();
        });
        drop(task.detach());
    }

    /// Whether something has become ready.
    pub fn has_news(&self) -> bool {
        self.news.bell.has_rung() || !self.news.ready.borrow().is_empty()
    }

    /// Lets the runtime work, and waits until something is ready, `waker` is called, or the time is over.
    pub async fn wait(&mut self, timeout: Option<Duration>, leave_waker: impl Fn(&Waker)) {
        let has_files = self.news.files.get() > 0;
        let retries = has_files || !self.untapped.is_empty() || !self.writers.is_empty() || !self.leavers.is_empty();
        let longest = if retries || self.has_news() { RETRY } else { SLEEP_MAX };
        let mut timer = Timer::new(timeout.unwrap_or(longest).clamp(SLEEP_MIN, longest));
        // The first look never ends it: the runtime gets its turn. The second one does, whoever called for it.
        let mut is_first = true;
        poll_fn(|context| {
            *self.news.bell.driver.lock().unwrap_or_else(PoisonError::into_inner) = Some(context.waker().clone());
            leave_waker(context.waker());
            let _it_calls_when_it_is_over = Future::poll(Pin::new(&mut timer), context);
            if !is_first {
                return Poll::Ready(());
            }
            if self.has_news() {
                context.waker().wake_by_ref();
            }
            is_first = false;
            Poll::Pending
        })
        .await;
    }

    /// Everything that became ready.
    pub fn drain(&mut self, mut sink: impl FnMut(Ready)) {
        for ready in self.news.ready.take() {
            sink(ready);
        }
        let readable = std::mem::take(&mut *self.news.bell.readable.lock().unwrap_or_else(PoisonError::into_inner));
        for key in readable.into_iter().chain(self.untapped.iter().copied()) {
            sink(Ready::Readable { key, is_ending: false, is_gone: false, is_over: false });
        }
        for key in std::mem::take(&mut self.writers) {
            sink(Ready::Writable(key));
        }
        for key in std::mem::take(&mut self.leavers) {
            sink(Ready::Leaving(key));
        }
    }
}

/// Takes a write to its end by a file of the runtime.
async fn write_out(write: Write) -> Written {
    let stream = write.stream;
    let own = match write.file.try_clone() {
        Ok(own) => own,
        Err(error) => return Written { stream, bytes: write.bytes, result: Err(Fault { step: Step::Write, error }) },
    };
    // SAFETY: the descriptor is ours alone, and the runtime closes it with its file.
    let file = unsafe { BufferedFile::from_raw_fd(own.into_raw_fd()) };
    let mut flight = Flight::new(write);
    let result = loop {
        let told = match flight.operation() {
            // The runtime keeps the bytes that it writes.
            Operation::Write { from, to, offset } => file.write_at(flight.write.bytes[from..to].to_vec(), offset).await,
            Operation::Sync => file.fdatasync().await.map(|()| 0),
        };
        if let Some(result) = flight.told(told.map_err(io::Error::from)) {
            break result;
        }
    };
    // Everything that was to be kept is kept already, or is known not to be.
    drop(file.close().await);
    Written { stream, bytes: flight.write.bytes, result }
}

/// Takes a read to its end by a file of the runtime.
async fn read_in(read: Read) -> Brought {
    let ticket = read.ticket;
    let own = match read.file.try_clone() {
        Ok(own) => own,
        Err(error) => return Brought { ticket, result: Err(error) },
    };
    // SAFETY: the descriptor is ours alone, and the runtime closes it with its file.
    let file = unsafe { BufferedFile::from_raw_fd(own.into_raw_fd()) };
    let mut flight = fetch::Flight::new(read);
    let result = loop {
        let (offset, len) = flight.rest();
        let piece = file.read_at(offset, len).await;
        let told = piece.map(|piece| flight.fill(&piece)).map_err(io::Error::from);
        if let Some(result) = flight.told(told) {
            break result;
        }
    };
    drop(file.close().await);
    Brought { ticket, result: result.map(|()| flight.into_bytes()) }
}

/// A descriptor of our own for a stream that the runtime accepted.
fn take_out(stream: &TcpStream) -> io::Result<OwnedFd> {
    // SAFETY: the stream is open for as long as the borrow lasts.
    let fd = unsafe { BorrowedFd::borrow_raw(stream.as_raw_fd()) };
    let own = fd.try_clone_to_owned()?;
    SockRef::from(&own).set_nonblocking(true)?;
    Ok(own)
}
