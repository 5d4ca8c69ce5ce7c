//! What a client speaks through: a socket, or something that lies upon one.
#![allow(dead_code, reason = "each test binary uses its part")]

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::net::UnixStream;

use socket2::SockRef;

use crate::patience::PATIENCE;

/// Bytes to and from the broker.
pub trait Stream: Read + Write + Send {
    /// The socket beneath, for time-outs and the ways to close.
    fn socket(&self) -> SockRef<'_>;

    /// The socket itself, where nothing lies upon it.
    fn plain(&mut self) -> Option<&mut TcpStream> {
        None
    }
}

/// A connection to this address.
pub fn tcp(address: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(address).expect("the broker accepts connections");
    stream.set_nodelay(true).expect("a connected socket takes TCP_NODELAY");
    for set in [TcpStream::set_read_timeout, TcpStream::set_write_timeout] {
        set(&stream, Some(PATIENCE)).expect("a time-out above zero is taken");
    }
    stream
}

impl Stream for TcpStream {
    fn socket(&self) -> SockRef<'_> {
        SockRef::from(self)
    }

    fn plain(&mut self) -> Option<&mut TcpStream> {
        Some(self)
    }
}

impl Stream for UnixStream {
    fn socket(&self) -> SockRef<'_> {
        SockRef::from(self)
    }
}

impl Stream for Box<dyn Stream> {
    fn socket(&self) -> SockRef<'_> {
        (**self).socket()
    }

    fn plain(&mut self) -> Option<&mut TcpStream> {
        (**self).plain()
    }
}

/// A connection that carries single bytes, each in a segment of its own.
pub struct Crumbs(pub TcpStream);

impl Read for Crumbs {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.0.read(buffer)
    }
}

impl Write for Crumbs {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.write(&bytes[..bytes.len().min(1)])
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

impl Stream for Crumbs {
    fn socket(&self) -> SockRef<'_> {
        SockRef::from(&self.0)
    }
}

/// All that comes until the broker closes; a reset ends it as well.
pub fn read_to_end(stream: &mut impl Read) -> Vec<u8> {
    let (mut all, mut buffer) = (Vec::new(), [0; 4096]);
    loop {
        match stream.read(&mut buffer) {
            Ok(0) => return all,
            Ok(count) => all.extend_from_slice(&buffer[..count]),
            Err(error) if error.kind() == io::ErrorKind::ConnectionReset => return all,
            Err(error) => panic!("the broker does not close: {error}"),
        }
    }
}
