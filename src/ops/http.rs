//! The operator's door: metrics and health over HTTP/1.1, on plain threads beside the shards.
//!
//! One thread accepts; each guest gets a thread of its own for as long as his one question takes. What a guest can use up is
//! bounded: seats, the bytes of a request, the time to ask and the time to listen. Every answer ends its connection.

use std::io::{self, ErrorKind, Read as _, Write as _};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use socket2::SockRef;

use super::request::{Page, REQUEST_BYTES_MAX, Refusal, Request, parse};
use super::scrape::Scrapes;
use crate::shell::progress::Progress;
use crate::shell::report::Report;

/// Guests that are served at once; the next one hears 503.
const GUESTS_MAX: usize = 16;
/// How long a guest may take to ask, and again to listen.
const PATIENCE: Duration = Duration::from_secs(5);
/// How long nobody is let in when the process has no descriptor left.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// How long the end of the door waits for guests whose connections it has cut.
const FAREWELL: Duration = Duration::from_secs(2);

/// The shortest time that a socket takes as a bound.
const AT_ONCE: Duration = Duration::from_millis(1);

const INDEX: &str = concat!(
    "Pregon ",
    env!("CARGO_PKG_VERSION"),
    "\n\n/metrics  what the broker counts, for Prometheus\n/livez    200 while the process runs\n\
     /readyz   200 once the journal is read, while every shard answers and the broker does not stop\n"
);

/// Whether clients may come. Shared between the door and whoever stops the broker.
#[derive(Debug)]
pub struct Readiness {
    shards: usize,
    /// The start, if it may not be over yet.
    progress: Option<Arc<Progress>>,
    is_stopping: AtomicBool,
}

impl Readiness {
    /// Of a broker with so many shards that has started.
    pub fn new(shards: usize) -> Arc<Self> {
        Arc::new(Self { shards, progress: None, is_stopping: AtomicBool::new(false) })
    }

    /// Of a broker that has begun to start.
    pub fn starting(progress: Arc<Progress>) -> Arc<Self> {
        let shards = progress.shards();
        Arc::new(Self { shards, progress: Some(progress), is_stopping: AtomicBool::new(false) })
    }

    /// From now on the broker is not ready: it drains.
    pub fn begin_stop(&self) {
        self.is_stopping.store(true, Ordering::Relaxed);
    }
}

/// The open door. It closes when this is dropped.
#[derive(Debug)]
pub struct Admin {
    address: SocketAddr,
    door: Arc<Door>,
    acceptor: Option<JoinHandle<()>>,
}

impl Admin {
    /// Opens the door; it listens when this returns. `reports` asks every shard and leaves out those that do not answer.
    ///
    /// # Errors
    /// The address cannot be listened on; the error names it.
    pub fn start(
        address: SocketAddr,
        reports: impl Fn() -> Vec<Report> + Send + Sync + 'static,
        readiness: Arc<Readiness>,
    ) -> io::Result<Self> {
        Self::start_with(address, reports, readiness, PATIENCE)
    }

    pub(super) fn start_with(
        address: SocketAddr,
        reports: impl Fn() -> Vec<Report> + Send + Sync + 'static,
        readiness: Arc<Readiness>,
        patience: Duration,
    ) -> io::Result<Self> {
        let named = |error: io::Error| io::Error::new(error.kind(), format!("admin.listen {address}: {error}"));
        let listener = TcpListener::bind(address).map_err(named)?;
        let address = listener.local_addr().map_err(named)?;
        let door = Arc::new(Door {
            listener,
            scrapes: Scrapes::new(readiness.shards, reports, now),
            readiness,
            patience,
            is_closed: AtomicBool::new(false),
            guests: Mutex::default(),
            guest_left: Condvar::new(),
        });
        let of_acceptor = Arc::clone(&door);
        let acceptor = thread::Builder::new().name("admin".into()).spawn(move || of_acceptor.accept())?;
        Ok(Self { address, door, acceptor: Some(acceptor) })
    }

    /// Where it listens, port 0 resolved.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Closes the door and cuts off who still stands in it.
    pub fn stop(self) {
        drop(self);
    }
}

impl Drop for Admin {
    fn drop(&mut self) {
        self.door.close();
        if let Some(acceptor) = self.acceptor.take() {
            acceptor.thread().unpark();
            acceptor.join().expect("the acceptor does not panic");
        }
        self.door.see_off();
    }
}

/// What the acceptor and the threads of guests share.
#[derive(Debug)]
struct Door {
    listener: TcpListener,
    scrapes: Scrapes,
    readiness: Arc<Readiness>,
    patience: Duration,
    is_closed: AtomicBool,
    /// A second handle to the connection of each guest, so that it can be cut.
    guests: Mutex<[Option<TcpStream>; GUESTS_MAX]>,
    guest_left: Condvar,
}

/// An answer without its head.
struct Answer<'a> {
    status: u16,
    content_type: &'static str,
    body: &'a str,
    wants_body: bool,
}

impl Door {
    fn accept(self: &Arc<Self>) {
        while !self.is_closed.load(Ordering::Acquire) {
            match self.listener.accept() {
                Ok((stream, _)) => self.admit(stream),
                Err(error) if self.is_closed.load(Ordering::Acquire) => {
                    tracing::debug!(%error, "the admin door closes");
                }
                Err(error) => {
                    tracing::warn!(%error, "the admin door cannot accept");
                    thread::park_timeout(ACCEPT_PAUSE);
                }
            }
        }
    }

    /// Gives a guest a seat and a thread, or sends him away without waiting for him.
    fn admit(self: &Arc<Self>, stream: TcpStream) {
        let Some(seat) = self.take_seat(&stream) else { return turn_away(&stream) };
        let door = Arc::clone(self);
        let serve = move || {
            // A guest that leaves in the middle of an answer is no concern of ours.
            let _ = door.serve(&stream);
            drop(stream);
            door.free_seat(seat);
        };
        if let Err(error) = thread::Builder::new().name("admin-guest".into()).spawn(serve) {
            tracing::warn!(%error, "no thread for a guest of the admin door");
            self.free_seat(seat);
        }
    }

    fn serve(&self, stream: &TcpStream) -> io::Result<()> {
        let Some(request) = read_request(stream, now() + self.patience)? else { return Ok(()) };
        let listen_until = now() + self.patience;
        match request {
            Ok(request) => self.answer(request, stream, listen_until),
            Err(refusal) => {
                refuse(refusal, stream, listen_until)?;
                swallow(stream, listen_until)
            }
        }
    }

    fn answer(&self, Request { page, wants_body }: Request, stream: &TcpStream, until: Instant) -> io::Result<()> {
        const PLAIN: &str = "text/plain; charset=utf-8";
        let metrics;
        let ready;
        let (status, content_type, body) = match page {
            Page::Index => (200, PLAIN, INDEX),
            Page::Live => (200, PLAIN, "alive\n"),
            Page::Ready => {
                ready = self.unready();
                ready.as_deref().map_or((200, PLAIN, "ready\n"), |why| (503, PLAIN, why))
            }
            Page::Metrics(form) => {
                metrics = self.scrapes.text(form);
                (200, form.content_type(), &*metrics)
            }
        };
        write_answer(&Answer { status, content_type, body, wants_body }, stream, until)
    }

    /// Why clients should not come now.
    fn unready(&self) -> Option<String> {
        let Readiness { shards, progress, is_stopping } = &*self.readiness;
        if is_stopping.load(Ordering::Relaxed) {
            return Some("stopping\n".into());
        }
        if let Some(standing) = progress.as_ref().and_then(|progress| progress.standing()) {
            return Some(format!("{standing}\n"));
        }
        let answering = self.scrapes.answering();
        (answering < *shards).then(|| format!("{answering} of {shards} shards answer\n"))
    }

    fn seats(&self) -> MutexGuard<'_, [Option<TcpStream>; GUESTS_MAX]> {
        self.guests.lock().expect("a panic ends the process")
    }

    fn take_seat(&self, stream: &TcpStream) -> Option<usize> {
        let mut seats = self.seats();
        let seat = seats.iter().position(Option::is_none)?;
        seats[seat] = Some(stream.try_clone().ok()?); // no descriptor, no seat
        Some(seat)
    }

    fn free_seat(&self, seat: usize) {
        self.seats()[seat] = None;
        self.guest_left.notify_all();
    }

    /// From now on nobody comes in: the shutdown of a listening socket wakes who waits in `accept`.
    fn close(&self) {
        self.is_closed.store(true, Ordering::Release);
        if let Err(error) = SockRef::from(&self.listener).shutdown(Shutdown::Both) {
            tracing::warn!(%error, "the admin door does not close");
        }
    }

    /// Cuts the connections of all guests and waits until their threads have noticed.
    fn see_off(&self) {
        let seats = self.seats();
        for stream in seats.iter().flatten() {
            // He has left already.
            let _ = stream.shutdown(Shutdown::Both);
        }
        let wait = self.guest_left.wait_timeout_while(seats, FAREWELL, |seats| seats.iter().any(Option::is_some));
        let (_seats, result) = wait.expect("a panic ends the process");
        if result.timed_out() {
            tracing::warn!("a guest of the admin door does not leave");
        }
    }
}

/// Reads until the request is whole or refused; `None` where the guest leaves without a question.
fn read_request(mut stream: &TcpStream, until: Instant) -> io::Result<Option<Result<Request, Refusal>>> {
    let mut bytes = [0; REQUEST_BYTES_MAX];
    let mut count = 0;
    loop {
        let Some(left) = left(until) else { return Ok(Some(Err(Refusal::Timeout))) };
        stream.set_read_timeout(Some(left))?;
        match stream.read(&mut bytes[count..]) {
            Ok(0) => return Ok(None),
            Ok(more) => count += more,
            Err(error) if is_passing(&error) => continue, // `left` says whether there is more time
            Err(error) => return Err(error),
        }
        if let Some(request) = parse(&bytes[..count]) {
            return Ok(Some(request));
        }
    }
}

fn refuse(refusal: Refusal, stream: &TcpStream, until: Instant) -> io::Result<()> {
    let body = format!("{refusal}\n");
    let content_type = "text/plain; charset=utf-8";
    write_answer(&Answer { status: refusal.status(), content_type, body: &body, wants_body: true }, stream, until)
}

/// Sends a guest away for whom there is no seat. Nobody waits for him: what the socket does not give or take at once is lost.
fn turn_away(mut stream: &TcpStream) {
    let mut part = || -> io::Result<()> {
        stream.set_nonblocking(true)?;
        // What he has said already would reset the connection if it stayed unread.
        let _ = stream.read(&mut [0; 1024]);
        refuse(Refusal::Busy, stream, now())
    };
    // Whether he hears it or not, he is gone then.
    let _ = part();
}

fn write_answer(answer: &Answer<'_>, stream: &TcpStream, until: Instant) -> io::Result<()> {
    let Answer { status, content_type, body, wants_body } = answer;
    let allow = if *status == 405 { "Allow: GET, HEAD\r\n" } else { "" };
    let head = format!(
        "HTTP/1.1 {status} {}\r\nContent-Type: {content_type}\r\nContent-Length: {}\r\n{allow}Cache-Control: no-store\r\n\
         X-Content-Type-Options: nosniff\r\nConnection: close\r\n\r\n",
        reason_phrase(*status),
        body.len(),
    );
    write_until(head.as_bytes(), stream, until)?;
    write_until(if *wants_body { body.as_bytes() } else { &[] }, stream, until)?;
    stream.shutdown(Shutdown::Write)
}

fn write_until(mut rest: &[u8], mut stream: &TcpStream, until: Instant) -> io::Result<()> {
    while !rest.is_empty() {
        stream.set_write_timeout(Some(left(until).unwrap_or(AT_ONCE)))?;
        match stream.write(rest) {
            Ok(count) => rest = &rest[count..],
            Err(error) if is_passing(&error) && left(until).is_some() => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// Takes in what a refused guest still says: closing on unread bytes would reset the connection and destroy the answer.
fn swallow(mut stream: &TcpStream, until: Instant) -> io::Result<()> {
    let mut waste = [0; 1024];
    while let Some(left) = left(until) {
        stream.set_read_timeout(Some(left))?;
        if stream.read(&mut waste)? == 0 {
            break;
        }
    }
    Ok(())
}

const fn reason_phrase(status: u16) -> &'static str {
    match status {
        200 => "OK",
        400 => "Bad Request",
        404 => "Not Found",
        405 => "Method Not Allowed",
        408 => "Request Timeout",
        431 => "Request Header Fields Too Large",
        505 => "HTTP Version Not Supported",
        _ => "Service Unavailable",
    }
}

/// The time left, if there is any.
fn left(until: Instant) -> Option<Duration> {
    Some(until.saturating_duration_since(now())).filter(|left| !left.is_zero())
}

/// The patience of a read or a write has ended, or a signal came in between.
fn is_passing(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut | ErrorKind::Interrupted)
}

#[expect(
    clippy::disallowed_methods,
    reason = "the door stands beside the shards and has no turn to take the time from"
)]
pub(super) fn now() -> Instant {
    Instant::now()
}
