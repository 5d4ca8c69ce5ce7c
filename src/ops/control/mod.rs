//! The operator's inner door: a socket in the file system by which commands of this machine ask a running broker.
//!
//! | file | what lives there |
//! |---|---|
//! | here | the door: who may come in, one question after the other, on a thread of its own |
//! | [`words`] | a question and its answer as text, pure |
//! | [`comparison`] | what other rules would change, session by session |
//!
//! # Invariants
//! - Who lists subscriptions sees who is interested in what. So only the user that the broker runs as comes in, and root: the socket is
//!   made without rights for others before anybody can connect, and the kernel is asked who has.
//! - One guest is served at a time. Shards are asked for one page at a time, whatever the guest does, and judged are pages here.

pub mod comparison;
pub mod words;

use std::fs::{self, Permissions};
use std::io::{self, BufWriter, Read as _, Write};
use std::net::Shutdown;
use std::os::unix::fs::{FileTypeExt as _, PermissionsExt as _};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use nix::sys::socket::{getsockopt, sockopt};
use socket2::{Domain, SockAddr, SockRef, Socket, Type};

use self::comparison::Comparison;
use self::words::{Question, QuestionError, Reply};
use crate::engine::shard::listing::Cursor;
use crate::shell::admission::parse_rules;
use crate::shell::enquiry::Enquiry;
use crate::shell::guard::guarded;
use crate::shell::listener::stays_taken_unix;
use crate::shell::ring::sys::effective_user;

/// Guests that the kernel lets wait.
const WAITING_MAX: i32 = 8;
/// How long a guest may be silent while it asks.
const ASK_PATIENCE: Duration = Duration::from_secs(5);
/// How long it may take none of the answer: a person may look at a page of it.
const HEAR_PATIENCE: Duration = Duration::from_mins(5);
/// How long nobody is let in when the process has no descriptor left.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// The rights to the socket: its owner's.
const MODE: u32 = 0o600;

/// The open door. It closes when this is dropped.
#[derive(Debug)]
pub struct Control {
    path: PathBuf,
    door: Arc<Door>,
    thread: Option<JoinHandle<()>>,
}

/// What the door's thread shares with whoever closes it.
#[derive(Debug)]
struct Door {
    listener: UnixListener,
    enquiry: Enquiry,
    is_closed: AtomicBool,
    /// A second handle to the guest's connection, so that it can be cut.
    guest: Mutex<Option<UnixStream>>,
}

impl Control {
    /// Opens the door at this place; a socket that nobody listens at any more is taken away.
    pub fn open(path: &Path, enquiry: Enquiry) -> io::Result<Self> {
        let named = |error: io::Error| io::Error::new(error.kind(), format!("{}: {error}", path.display()));
        let listener = bind(path).map_err(named)?;
        let door = Arc::new(Door { listener, enquiry, is_closed: AtomicBool::new(false), guest: Mutex::default() });
        let of_thread = Arc::clone(&door);
        let thread = thread::Builder::new().name("control".into()).spawn(move || of_thread.accept())?;
        Ok(Self { path: path.into(), door, thread: Some(thread) })
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for Control {
    fn drop(&mut self) {
        // One that is not there any more has been taken away by somebody else.
        let _gone_either_way = fs::remove_file(&self.path);
        self.door.is_closed.store(true, Ordering::Release);
        if let Err(error) = SockRef::from(&self.door.listener).shutdown(Shutdown::Both) {
            tracing::warn!(%error, "the control socket does not close");
        }
        if let Some(guest) = &*self.door.guest() {
            // It may have left already.
            let _ = guest.shutdown(Shutdown::Both);
        }
        if let Some(thread) = self.thread.take() {
            thread.thread().unpark();
            if thread.join().is_err() {
                tracing::error!("whoever answers at the control socket has panicked");
            }
        }
    }
}

fn bind(path: &Path) -> io::Result<UnixListener> {
    if stays_taken_unix(path, Duration::ZERO)? {
        return Err(io::Error::new(io::ErrorKind::AddrInUse, "another process listens there"));
    }
    if fs::symlink_metadata(path).is_ok_and(|found| found.file_type().is_socket()) {
        fs::remove_file(path)?;
    }
    let socket = Socket::new(Domain::UNIX, Type::STREAM, None)?;
    socket.bind(&SockAddr::unix(path)?)?;
    fs::set_permissions(path, Permissions::from_mode(MODE))?;
    socket.listen(WAITING_MAX)?; // nobody can connect before
    Ok(UnixListener::from(std::os::fd::OwnedFd::from(socket)))
}

/// Why a guest gets no answer, or no whole one.
#[derive(thiserror::Error, Debug)]
enum Failure {
    /// It is gone, or silent.
    #[error("{0}")]
    Guest(#[from] io::Error),
    /// It may not ask.
    #[error("this broker is run by user {ours}, and nobody else asks it; you are user {theirs}")]
    Stranger {
        /// Who we are.
        ours: u32,
        /// Who it is.
        theirs: u32,
    },
    /// It asks for nothing that is known here.
    #[error("{0}")]
    Question(#[from] QuestionError),
    /// Its rules are none; whoever asks has looked at them before.
    #[error("{0}")]
    Rules(String),
    /// The broker cannot say.
    #[error("{0}")]
    Broker(#[from] crate::shell::enquiry::Silent),
    /// The broker stops.
    #[error("the broker stops")]
    Stopping,
    /// Something of ours is wrong.
    #[error("the broker could not answer, which is a fault of its own: its log says more")]
    Panicked,
}

impl Door {
    fn guest(&self) -> std::sync::MutexGuard<'_, Option<UnixStream>> {
        self.guest.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn is_closed(&self) -> bool {
        self.is_closed.load(Ordering::Acquire)
    }

    fn accept(&self) {
        while !self.is_closed() {
            match self.listener.accept() {
                Ok((stream, _)) => self.serve(&stream),
                Err(error) if self.is_closed() => tracing::debug!(%error, "the control socket closes"),
                Err(error) => {
                    tracing::warn!(%error, "the control socket cannot accept");
                    thread::park_timeout(ACCEPT_PAUSE);
                }
            }
        }
    }

    fn serve(&self, stream: &UnixStream) {
        match stream.try_clone() {
            Ok(handle) => *self.guest() = Some(handle),
            // A guest that could not be cut would hold up the end.
            Err(error) => return tracing::warn!(%error, "the control socket cannot take a guest"),
        }
        // Whoever closes the door sets this first and then cuts the guest: one of the two is seen.
        if self.is_closed() {
            *self.guest() = None;
            return;
        }
        let answered = guarded(|| self.answer(stream)).unwrap_or(Err(Failure::Panicked));
        if let Err(failure) = answered {
            tracing::debug!(%failure, "a question at the control socket is not answered");
            // Whoever has left does not hear why.
            let _ = (&mut &*stream).write_all(Reply::Failed(&failure.to_string()).line().as_bytes());
        }
        *self.guest() = None;
    }

    fn answer(&self, stream: &UnixStream) -> Result<(), Failure> {
        stream.set_read_timeout(Some(ASK_PATIENCE))?;
        stream.set_write_timeout(Some(HEAR_PATIENCE))?;
        let (ours, theirs) = (effective_user(), user_of(stream)?);
        if theirs != ours && theirs != 0 {
            return Err(Failure::Stranger { ours, theirs });
        }
        let Question { path, format, form, rules } = Question::read(&mut stream.take(words::QUESTION_BYTES_MAX))?;
        let rules = parse_rules(Path::new(&path), format, rules)
            .map_err(|errors| Failure::Rules(errors.first().map_or_else(String::new, ToString::to_string)))?;
        let mut comparison = Comparison::new(self.enquiry.policy(), rules, form);
        let mut out = BufWriter::new(stream);
        if let Some(line) = comparison.preface() {
            out.write_all(Reply::Line(&line).line().as_bytes())?;
        }
        for shard in 0..self.enquiry.shards() {
            let mut next = Some(Cursor::default());
            while let Some(from) = next {
                if self.is_closed() {
                    return Err(Failure::Stopping);
                }
                let page = self.enquiry.page(shard, from)?;
                for line in page.sessions.iter().flat_map(|session| comparison.judge(session)) {
                    out.write_all(Reply::Line(&line).line().as_bytes())?;
                }
                next = page.next;
            }
        }
        out.write_all(Reply::Line(&comparison.summary()).line().as_bytes())?;
        out.write_all(Reply::Done { lost: comparison.lost() }.line().as_bytes())?;
        Ok(out.flush()?)
    }
}

/// Who is at the other end, by the kernel.
fn user_of(stream: &UnixStream) -> io::Result<u32> {
    Ok(getsockopt(stream, sockopt::PeerCredentials)?.uid())
}
