//! The sockets of all clients on one thread: epoll, big reads, one write for whatever a client has to say.
//!
//! A socket is told of by the edge. What is not read empty, or may send more, waits in a list for the next turn, so that no
//! client keeps the others from theirs.

use std::io::{self, ErrorKind};
use std::net::SocketAddr;
use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::Duration;

use mio::{Events, Poll, Token};
use pregon::mqtt::frame::{Assembler, PACKET_BYTES_MAX};
use rustls::ClientConfig;

use super::client::{Client, Role, Stage};
use super::clock::Clock;
use super::desk::Desk;
use super::packets::DISCONNECT;
use super::wire::Wire;

/// What one read takes at most.
const READ_BYTES_MAX: usize = 256 * 1024;
/// What a publisher writes ahead of its socket.
const OUTBOX_BYTES_MAX: usize = 128 * 1024;
/// Sockets told of in a turn.
const EVENTS_MAX: usize = 1_024;
/// Memory that an empty outbox keeps, if its client is no publisher.
const IDLE_OUTBOX_BYTES_MAX: usize = 4 * 1024;

/// A client with its socket.
struct Link {
    wire: Wire,
    inbox: Assembler,
    client: Client,
    /// How much of the outbox the socket has taken.
    written: usize,
    is_readable: bool,
    is_writable: bool,
    is_queued: bool,
}

/// All clients of a run.
pub struct Fleet {
    address: SocketAddr,
    /// Small writes leave at once. Otherwise the system holds them back while earlier ones are not confirmed, up to 40 ms.
    is_prompt: bool,
    /// What clients say of TLS, if they speak it.
    tls: Option<Arc<ClientConfig>>,
    /// The time of the run.
    pub clock: Clock,
    poll: Poll,
    events: Events,
    links: Vec<Link>,
    /// Which link a publisher has, by number.
    publishers: Vec<usize>,
    buffer: Vec<u8>,
    queue: Vec<usize>,
    work: Vec<usize>,
    called: Vec<u32>,
    /// What the packets come to.
    pub desk: Desk,
}

impl Fleet {
    /// A fleet without clients.
    pub fn new(
        address: SocketAddr,
        clock: Clock,
        desk: Desk,
        is_prompt: bool,
        tls: Option<Arc<ClientConfig>>,
    ) -> io::Result<Self> {
        Ok(Fleet {
            address,
            is_prompt,
            tls,
            clock,
            poll: Poll::new()?,
            events: Events::with_capacity(EVENTS_MAX),
            links: Vec::new(),
            publishers: vec![usize::MAX; desk.publishers.len()],
            buffer: vec![0; READ_BYTES_MAX],
            queue: Vec::new(),
            work: Vec::new(),
            called: Vec::new(),
            desk,
        })
    }

    /// How many clients there are, those that are gone included.
    pub fn len(&self) -> usize {
        self.links.len()
    }

    /// Begins to connect a client, which subscribes at once if it has a filter.
    pub fn open(&mut self, client: Client) -> io::Result<()> {
        let mut wire = Wire::open(self.address, self.is_prompt, self.tls.as_ref())?;
        let at = self.links.len();
        wire.register(self.poll.registry(), Token(at))?;
        if let Role::Publisher(number) = client.role {
            self.publishers[number as usize] = at;
        }
        let (is_readable, is_writable, is_queued) = (false, false, false);
        self.links.push(Link {
            wire,
            inbox: Assembler::new(),
            client,
            written: 0,
            is_readable,
            is_writable,
            is_queued,
        });
        Ok(())
    }

    /// Says farewell on every connection and closes it.
    pub fn close_all(&mut self) {
        for mut link in self.links.drain(..) {
            link.wire.farewell(&DISCONNECT);
        }
        self.queue.clear();
    }

    /// One turn: waits for sockets at most `wait`, reads what has come, sends what may be sent.
    pub fn turn(&mut self, wait: Duration) -> io::Result<()> {
        let is_busy = !self.queue.is_empty() || self.desk.has_due();
        let wait = if is_busy { Duration::ZERO } else { wait };
        match self.poll.poll(&mut self.events, Some(wait)) {
            Err(error) if error.kind() != ErrorKind::Interrupted => return Err(error),
            Ok(()) | Err(_) => {}
        }
        for event in &self.events {
            let Token(at) = event.token();
            let Some(link) = self.links.get_mut(at) else { continue };
            link.is_readable |= event.is_readable() || event.is_read_closed() || event.is_error();
            link.is_writable |= event.is_writable();
            if !link.is_queued {
                link.is_queued = true;
                self.queue.push(at);
            }
        }
        self.desk.now_ns = self.clock.now_ns();
        std::mem::swap(&mut self.queue, &mut self.work);
        let work = std::mem::take(&mut self.work);
        for &at in &work {
            self.serve(at);
        }
        self.work = work;
        self.work.clear();
        self.publish();
        Ok(())
    }

    /// Reads once from a link and writes what it has to say.
    fn serve(&mut self, at: usize) {
        let link = &mut self.links[at];
        link.is_queued = false;
        if link.is_readable {
            let (client, desk, inbox) = (&mut link.client, &mut self.desk, &mut link.inbox);
            let mut is_sound = true;
            let read = link.wire.read(&mut self.buffer, |bytes| {
                let fed = inbox.feed(bytes, PACKET_BYTES_MAX, |frame| {
                    desk.packet(client, &frame);
                    ControlFlow::Continue(())
                });
                is_sound = fed.is_ok();
                is_sound
            });
            match read {
                Ok(0) => return self.lose(at),
                Ok(size) if is_sound => {
                    link.is_readable = size == self.buffer.len(); // a short read has emptied the socket
                }
                Ok(_) => {
                    self.desk.tally.wrong += 1;
                    return self.lose(at);
                }
                Err(error) if is_passing(&error) => link.is_readable = false,
                Err(_) => return self.lose(at), // reset: counted as gone, as if it had been closed
            }
        }
        let link = &mut self.links[at];
        if link.is_readable && !link.is_queued {
            link.is_queued = true;
            self.queue.push(at);
        }
        if let (Role::Publisher(number), Some(_)) = (&link.client.role, self.desk.orders) {
            self.desk.call(*number);
        } else {
            self.flush(at);
        }
    }

    /// Lets the publishers that were called send what they may.
    fn publish(&mut self) {
        let Some(orders) = self.desk.orders else { return };
        let mut called = std::mem::take(&mut self.called);
        self.desk.take_due(&mut called);
        for &number in &called {
            let at = self.publishers[number as usize];
            let link = &mut self.links[at];
            if link.client.stage != Stage::Ready || !link.is_writable {
                continue; // the edge that makes it writable calls it again
            }
            let publisher = &mut self.desk.publishers[number as usize];
            let allowance = publisher.allowance(&orders, self.desk.now_ns);
            let outbox = &mut link.client.outbox;
            if outbox.len() < OUTBOX_BYTES_MAX {
                publisher.write(allowance, &orders, self.desk.now_ns, OUTBOX_BYTES_MAX, outbox);
            }
            let has_more = outbox.len() >= OUTBOX_BYTES_MAX;
            self.flush(at);
            if has_more && self.links[at].is_writable {
                self.desk.call(number);
            }
        }
        self.called = called;
    }

    /// Writes as much of an outbox as the socket takes.
    fn flush(&mut self, at: usize) {
        let link = &mut self.links[at];
        let outbox = &mut link.client.outbox;
        while link.is_writable && (link.written < outbox.len() || link.wire.wants_write()) {
            match link.wire.write(&outbox[link.written..]) {
                Ok(written) => {
                    link.written += written.taken;
                    link.is_writable = !written.is_full;
                }
                Err(error) if is_passing(&error) => link.is_writable = false,
                Err(_) => return self.lose(at), // as for reads
            }
        }
        if link.written == outbox.len() {
            link.written = 0;
            outbox.clear();
            if matches!(link.client.role, Role::Holder) || outbox.capacity() > OUTBOX_BYTES_MAX + IDLE_OUTBOX_BYTES_MAX
            {
                outbox.shrink_to(IDLE_OUTBOX_BYTES_MAX);
            }
        }
    }

    fn lose(&mut self, at: usize) {
        let link = &mut self.links[at];
        link.is_readable = false;
        link.is_writable = false;
        link.client.outbox.clear();
        link.written = 0;
        if link.client.stage != Stage::Gone {
            link.client.stage = Stage::Gone;
            self.desk.tally.gone += 1;
        }
    }
}

/// Errors that say: not now.
fn is_passing(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted | ErrorKind::NotConnected)
}
