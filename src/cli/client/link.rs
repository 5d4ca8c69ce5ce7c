//! The socket: written by whoever owns it, read by a thread of its own, so that one wait serves it and everything else.

use std::io::{self, Read as _, Write as _};
use std::net::{Shutdown, TcpStream, ToSocketAddrs as _};
use std::thread;
use std::time::Duration;

use crossbeam_channel::{Receiver, Sender, bounded};

use super::error::ClientError;

/// How long an address has to answer.
const REACH_PATIENCE: Duration = Duration::from_secs(10);

/// Bytes of one read.
const READ_BYTES: usize = 64 * 1024;

/// Reads that may wait to be heard; then the thread waits, the kernel's buffer fills, and the broker slows down.
const READS_MAX: usize = 4;

/// What a read brings. The channel ends when the broker has closed.
type Incoming = io::Result<Vec<u8>>;

/// One TCP connection.
#[derive(Debug)]
pub struct Link {
    stream: TcpStream,
    incoming: Receiver<Incoming>,
}

impl Link {
    /// Connects to the first address of `host` that answers.
    pub fn open(host: &str, port: u16) -> Result<Self, ClientError> {
        let stream = reach(host, port)?;
        let lost = ClientError::Lost;
        stream.set_nodelay(true).map_err(lost)?;
        let reader = stream.try_clone().map_err(lost)?;
        let (sender, incoming) = bounded(READS_MAX);
        thread::Builder::new().name("link".into()).spawn(move || read_all(reader, &sender)).map_err(lost)?;
        Ok(Self { stream, incoming })
    }

    /// What the broker sends.
    pub const fn incoming(&self) -> &Receiver<Incoming> {
        &self.incoming
    }

    /// Writes all of it.
    pub fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.stream.write_all(bytes)
    }

    /// Tells the broker that nothing follows; what it still sends can be heard.
    pub fn end_sending(&self) {
        // It only fails where the connection is gone, which is what comes next anyway.
        let _ = self.stream.shutdown(Shutdown::Write);
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        // It ends the thread's read; where it fails, the read has ended already.
        let _ = self.stream.shutdown(Shutdown::Both);
    }
}

fn reach(host: &str, port: u16) -> Result<TcpStream, ClientError> {
    let resolve = |error| ClientError::Resolve { host: host.to_owned(), error };
    let mut last = ClientError::NoAddress { host: host.to_owned() };
    for address in (host, port).to_socket_addrs().map_err(resolve)? {
        match TcpStream::connect_timeout(&address, REACH_PATIENCE) {
            Ok(stream) => return Ok(stream),
            Err(error) => last = ClientError::Reach { address, error },
        }
    }
    Err(last)
}

fn read_all(mut stream: TcpStream, sender: &Sender<Incoming>) {
    let mut buffer = vec![0; READ_BYTES];
    loop {
        let incoming = match stream.read(&mut buffer) {
            Ok(0) => break,
            Ok(len) => Ok(buffer[..len].to_vec()),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => Err(error),
        };
        let is_last = incoming.is_err();
        if sender.send(incoming).is_err() || is_last {
            break;
        }
    }
}
