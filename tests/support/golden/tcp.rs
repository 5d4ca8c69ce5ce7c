//! A wire over TCP, for a broker that listens: ours or a foreign one.

use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::time::Duration;

use super::Wire;

/// How long one question waits for bytes; the runner asks again up to its own bound.
const WAIT: Duration = Duration::from_millis(40);

/// Connections to one address.
pub struct TcpWire {
    address: SocketAddr,
    connections: Vec<Connection>,
}

struct Connection {
    stream: TcpStream,
    is_closed: bool,
}

impl TcpWire {
    /// A wire to the broker at `address`; connects when a conversation dials.
    pub fn new(address: SocketAddr) -> Self {
        Self { address, connections: Vec::new() }
    }
}

impl Wire for TcpWire {
    fn connect(&mut self) -> usize {
        let stream = TcpStream::connect(self.address).expect("the broker under test accepts connections");
        stream.set_nodelay(true).expect("a connected socket takes TCP_NODELAY");
        stream.set_read_timeout(Some(WAIT)).expect("a time-out above zero is taken");
        self.connections.push(Connection { stream, is_closed: false });
        self.connections.len() - 1
    }

    fn send(&mut self, client: usize, bytes: &[u8]) {
        // A peer that has closed already takes no more bytes; the next question for bytes says so.
        let _ = self.connections[client].stream.write_all(bytes);
    }

    fn receive(&mut self, client: usize) -> Vec<u8> {
        let connection = &mut self.connections[client];
        let mut buffer = [0; 4096];
        match connection.stream.read(&mut buffer) {
            Ok(0) => connection.is_closed = true,
            Ok(count) => return buffer[..count].to_vec(),
            Err(error)
                if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut | ErrorKind::Interrupted) => {}
            // A reset is a close, too.
            Err(_) => connection.is_closed = true,
        }
        Vec::new()
    }

    fn is_closed(&mut self, client: usize) -> bool {
        self.connections[client].is_closed
    }

    fn close(&mut self, client: usize) {
        // The peer may have closed first; then there is nothing left to shut.
        let _ = self.connections[client].stream.shutdown(Shutdown::Both);
    }
}
