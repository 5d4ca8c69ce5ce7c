//! Words to the service manager: a datagram to the socket that `$NOTIFY_SOCKET` names.
//!
//! The protocol of `sd_notify(3)`: lines of `NAME=value`. A name that begins with `@` is an abstract one.

use std::env;
use std::ffi::OsStr;
use std::io;
use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::net::{SocketAddr, UnixDatagram};

/// The way to the service manager that started this process.
#[derive(Debug)]
pub struct Notifier {
    socket: UnixDatagram,
    manager: SocketAddr,
}

impl Notifier {
    /// The one of this process; none where no service manager asked for words.
    ///
    /// # Errors
    /// A name that no socket can have.
    pub fn of_environment() -> io::Result<Option<Self>> {
        env::var_os("NOTIFY_SOCKET").filter(|name| !name.is_empty()).map(|name| Self::to(&name)).transpose()
    }

    /// The one to a socket of this name.
    ///
    /// # Errors
    /// A name that is neither a path from the root nor an abstract one, or too long for a socket.
    pub fn to(name: &OsStr) -> io::Result<Self> {
        let manager = match name.as_bytes() {
            [b'@', name @ ..] => SocketAddr::from_abstract_name(name)?,
            [b'/', ..] => SocketAddr::from_pathname(name)?,
            _ => {
                let complaint =
                    format!("NOTIFY_SOCKET={} is neither a path from the root nor an abstract socket", name.display());
                return Err(io::Error::new(io::ErrorKind::InvalidInput, complaint));
            }
        };
        let socket = UnixDatagram::unbound()?;
        socket.set_nonblocking(true)?; // a manager that does not listen must not keep the broker from serving
        Ok(Self { socket, manager })
    }

    /// The broker starts and is not ready yet; it will be, or say more, within so many milliseconds.
    ///
    /// # Errors
    /// The manager's socket does not take it.
    pub fn starting(&self, status: &str, within_ms: u64) -> io::Result<()> {
        self.send(&format!("STATUS={}\nEXTEND_TIMEOUT_USEC={}\n", one_line(status), within_ms.saturating_mul(1_000)))
    }

    /// The broker listens.
    ///
    /// # Errors
    /// The manager's socket does not take it.
    pub fn ready(&self, status: &str) -> io::Result<()> {
        self.send(&format!("READY=1\nSTATUS={}\n", one_line(status)))
    }

    /// The broker has begun to stop, and may need so many milliseconds.
    ///
    /// # Errors
    /// The manager's socket does not take it.
    pub fn stopping(&self, within_ms: u64) -> io::Result<()> {
        self.send(&format!("STOPPING=1\nSTATUS=draining\nEXTEND_TIMEOUT_USEC={}\n", within_ms.saturating_mul(1_000)))
    }

    fn send(&self, words: &str) -> io::Result<()> {
        self.socket.send_to_addr(words.as_bytes(), &self.manager).map(|_| ())
    }
}

/// A line break would begin another word of the protocol.
fn one_line(text: &str) -> String {
    text.replace(['\n', '\r'], " ")
}

#[cfg(test)]
mod tests {
    use std::{fs, process};

    use super::*;

    fn heard(manager: &UnixDatagram) -> String {
        let mut words = [0; 256];
        let count = manager.recv(&mut words).expect("a datagram waits");
        String::from_utf8(words[..count].to_vec()).expect("words are text")
    }

    #[test]
    fn words_reach_a_socket_in_the_file_system() {
        let folder = env::temp_dir().join(format!("pregon-notify-{}", process::id()));
        fs::create_dir_all(&folder).unwrap();
        let path = folder.join("socket");
        let manager = UnixDatagram::bind(&path).unwrap();
        let notifier = Notifier::to(path.as_os_str()).unwrap();

        notifier.starting("42 %", 30_000).unwrap();
        assert_eq!(heard(&manager), "STATUS=42 %\nEXTEND_TIMEOUT_USEC=30000000\n");
        notifier.ready("2 shards\nMAINPID=1").unwrap();
        assert_eq!(heard(&manager), "READY=1\nSTATUS=2 shards MAINPID=1\n");
        notifier.stopping(10_000).unwrap();
        assert_eq!(heard(&manager), "STOPPING=1\nSTATUS=draining\nEXTEND_TIMEOUT_USEC=10000000\n");
        fs::remove_dir_all(&folder).unwrap();
        assert!(notifier.ready("").is_err(), "nobody is there any more");
    }

    #[test]
    fn words_reach_an_abstract_socket() {
        let name = format!("pregon-notify-{}", process::id());
        let manager = UnixDatagram::bind_addr(&SocketAddr::from_abstract_name(&name).unwrap()).unwrap();
        let notifier = Notifier::to(OsStr::new(&format!("@{name}"))).unwrap();
        notifier.ready("listening").unwrap();
        assert_eq!(heard(&manager), "READY=1\nSTATUS=listening\n");
    }

    #[test]
    fn a_name_that_is_no_socket_is_refused_with_its_text() {
        let error = Notifier::to(OsStr::new("relative/path")).unwrap_err().to_string();
        assert!(error.contains("relative/path"), "{error}");
        assert!(Notifier::to(OsStr::new(&format!("/{}", "x".repeat(200)))).is_err());
        assert!(Notifier::to(OsStr::new(&format!("@{}", "x".repeat(200)))).is_err());
    }

    #[test]
    fn a_manager_that_does_not_read_holds_nobody_up() {
        let name = format!("pregon-deaf-{}", process::id());
        let _deaf = UnixDatagram::bind_addr(&SocketAddr::from_abstract_name(&name).unwrap()).unwrap();
        let notifier = Notifier::to(OsStr::new(&format!("@{name}"))).unwrap();
        let first_refusal = (0..100_000).find_map(|_| notifier.ready("again").err());
        assert_eq!(first_refusal.map(|error| error.kind()), Some(io::ErrorKind::WouldBlock));
    }
}
