//! One core's part of the shell: a shard, its lines, its ring, and the turn that moves between them.
//!
//! A turn takes what is ready, lets the shard handle it, and performs what the shard wishes: one vectored send a connection,
//! one batch a target shard. It never waits; a core that has nothing to do sleeps in [`Core::breathe`].

use std::collections::VecDeque;
use std::io;
use std::net::Shutdown;
use std::os::fd::{AsFd, OwnedFd};
use std::time::Duration;

use socket2::SockRef;

use super::clock::{Clock, at_ns};
use super::gather::Gather;
use super::leaving::Leavers;
use super::lines::{Line, Lines};
use super::listener::peer_of;
use super::mesh::{Held, Inbox, Parcel, Ways};
use super::report::{Report, ShellStats};
use super::ring::Ready;
use super::ring::net::Net;
use crate::base::time::Time;
use crate::config::{Driver, Turn};
use crate::engine::connection::{ConnectionKey, Peer};
use crate::engine::homes::ShardId;
use crate::engine::input::Input;
use crate::engine::output::{Arrival, Outputs};
use crate::engine::shard::{Shard, Shared};

/// Clients that are accepted in one turn.
const ACCEPTS_PER_TURN_MAX: usize = 256;
/// Parcels that are opened in one turn.
const PARCELS_PER_TURN_MAX: usize = 64;
/// Reads between two looks at the clock.
const READS_PER_LOOK: usize = 16;
/// How often the engine is asked for its next deadline; those that it makes meanwhile lie further ahead.
const DEADLINES_ASKED_MS: u64 = 25;
/// How long accepting pauses when descriptors have run out.
const ACCEPT_PAUSE_MS: u64 = 200;

/// A listener of this shard.
#[derive(Debug)]
struct Listener {
    fd: OwnedFd,
    /// Accepting is paused until then.
    paused_until: Option<Time>,
}

/// One per shard, on its own thread.
pub struct Core {
    pub(super) id: ShardId,
    pub(super) core: Option<usize>,
    pub(super) clock: Clock,
    started_ns: u64,
    pub(super) shard: Shard,
    pub(super) out: Outputs,
    pub(super) net: Net,
    pub(super) lines: Lines,
    pub(super) leavers: Leavers,
    pub(super) gather: Gather,
    pub(super) inbox: Inbox,
    pub(super) ways: Ways,
    pub(super) held: Held,
    pub(super) stats: ShellStats,
    turn: Turn,
    spin_ns: u64,
    listeners: Vec<Listener>,
    /// Clients that were accepted and wait for their first read.
    accepted: VecDeque<(u16, OwnedFd)>,
    /// Connections with something to read.
    pub(super) due: VecDeque<ConnectionKey>,
    /// Connections whose unsent bytes changed: the engine is told in the next turn.
    pub(super) changed: Vec<ConnectionKey>,
    /// Connections that broke while we wrote.
    pub(super) broken: Vec<ConnectionKey>,
    /// Connections that the ring does not watch and should, if they are still here at the end of the turn.
    pub(super) unwatched: Vec<ConnectionKey>,
    /// Ways to other shards that became full (`false`) or free.
    pub(super) rooms: Vec<(ShardId, bool)>,
    /// Descriptors to close when the ring has taken its entries.
    pub(super) closed: Vec<OwnedFd>,
    /// Where bytes are read into.
    buffer: Vec<u8>,
    /// Put-off work of the engine wants a tick.
    pub(super) wants_tick: bool,
    /// When deadlines were last looked at.
    looked_at: Time,
    /// The engine's next deadline, as it was then.
    due_at: Option<Time>,
    /// The broker stops: until when what is on its way is sent.
    stop_at_ns: Option<u64>,
}

/// What a core is made of; its shard and its ring are made by the thread that drives them.
pub struct Parts {
    /// Which shard it is.
    pub id: ShardId,
    /// Which core it is pinned to.
    pub core: Option<usize>,
    /// The process' clock.
    pub clock: Clock,
    /// What its shard has in common with all others.
    pub shared: Shared,
    /// What makes its random choices differ from those of the others.
    pub seed: u64,
    /// Its own end of the mesh.
    pub inbox: Inbox,
    /// The ways to all shards.
    pub ways: Ways,
    /// Its sockets, in the order of their numbers.
    pub listeners: Vec<OwnedFd>,
    /// The budget of a turn.
    pub turn: Turn,
    /// How long it looks for work before it sleeps.
    pub spin_before_park_us: u64,
    /// How its network is driven.
    pub driver: Driver,
    /// Entries of its ring.
    pub ring_entries: u32,
}

impl Core {
    /// Makes the ring and arms the listeners.
    pub fn new(parts: Parts) -> io::Result<Self> {
        let shards = parts.ways.shards();
        let mut core = Self {
            id: parts.id,
            core: parts.core,
            clock: parts.clock,
            started_ns: parts.clock.now_ns(),
            shard: Shard::new(parts.id, parts.shared, parts.seed),
            out: Outputs::new(shards),
            net: Net::new(parts.driver, parts.ring_entries)?,
            lines: Lines::default(),
            leavers: Leavers::default(),
            gather: Gather::default(),
            inbox: parts.inbox,
            ways: parts.ways,
            held: Held::new(shards),
            stats: ShellStats::default(),
            buffer: vec![0; parts.turn.read_bytes_max.max(4_096)],
            turn: parts.turn,
            spin_ns: parts.spin_before_park_us * 1_000,
            listeners: parts.listeners.into_iter().map(|fd| Listener { fd, paused_until: None }).collect(),
            accepted: VecDeque::new(),
            due: VecDeque::new(),
            changed: Vec::new(),
            broken: Vec::new(),
            unwatched: Vec::new(),
            rooms: Vec::new(),
            closed: Vec::new(),
            wants_tick: false,
            looked_at: Time::ZERO,
            due_at: None,
            stop_at_ns: None,
        };
        core.net.watch_waker(core.inbox.waker(&core.ways));
        for (number, listener) in (0..).zip(&core.listeners) {
            core.net.accept(number, listener.fd.as_fd());
        }
        core.net.submit();
        Ok(core)
    }

    /// One turn; whether there was anything to do.
    pub fn turn(&mut self) -> bool {
        let start_ns = self.clock.now_ns();
        let now = at_ns(start_ns);
        self.net.poke();
        self.sort_ready();
        let before = self.work_count();
        let has_sent_held = self.retry_held();
        self.accept_clients(now);
        self.open_parcels(start_ns, now);
        self.tell_changes(now);
        self.read_lines(start_ns, now);
        self.look_at_time(now);
        self.perform(now);
        self.watch_lines();
        self.bury();
        self.stats.turns += 1;
        let has_worked = has_sent_held || self.work_count() != before;
        if has_worked {
            let took_ns = self.clock.now_ns() - start_ns;
            self.stats.busy_ns += took_ns;
            self.stats.turn_length.note_ns(took_ns);
            let budget_ns = self.turn.time_us_max * 1_000;
            if took_ns > budget_ns {
                self.stats.stall.note_ns(took_ns - budget_ns);
            }
        }
        has_worked
    }

    /// Grows with everything that a turn does.
    fn work_count(&self) -> u64 {
        let stats = &self.stats;
        stats.accepted
            + stats.reads
            + stats.sends
            + stats.mesh_batches_received
            + stats.mesh_batches_sent
            + stats.adopted
    }

    /// Whether the next turn has something to do already.
    fn has_work(&self) -> bool {
        self.wants_tick
            || !self.due.is_empty()
            || !self.accepted.is_empty()
            || !self.changed.is_empty()
            || !self.broken.is_empty()
            || !self.rooms.is_empty()
            || !self.inbox.is_empty()
            || !self.out.is_empty()
    }

    /// Whether the broker stops and nothing is on its way any more.
    pub fn is_finished(&self) -> bool {
        self.stop_at_ns.is_some_and(|until_ns| {
            let is_over = self.clock.now_ns() >= until_ns;
            is_over || (self.lines.is_empty() && !self.leavers.has_bytes() && self.held.is_empty() && !self.has_work())
        })
    }

    /// What drives its network.
    pub fn driver(&self) -> &'static str {
        self.net.name()
    }

    /// Between two turns: lets the driver do what it has to, and sleeps if there is nothing to do.
    ///
    /// Nothing here yields to the executor without a timer behind it: an executor whose preempt timer goes off before it has
    /// looked at its queues goes to sleep with a task that could run, and only a timer or a descriptor wakes it.
    pub async fn breathe(&mut self, has_worked: bool) {
        if !has_worked {
            self.rest().await;
        } else if self.net.needs_executor() {
            self.net.wait(Some(Duration::ZERO), |_| ()).await;
        }
    }

    async fn rest(&mut self) {
        if self.has_work() || self.net.has_news() || self.spin() {
            return;
        }
        self.inbox.park(&self.ways);
        let has_sent = self.retry_held();
        if !has_sent && self.inbox.is_empty() {
            self.stats.parks += 1;
            let timeout = self.next_due().map(|due| Duration::from_millis(self.clock.now().until_ms(due) + 1));
            let (inbox, ways) = (&self.inbox, &self.ways);
            self.net.wait(timeout, |waker| inbox.leave_waker(ways, waker)).await;
        }
        self.stats.wakes_received += u64::from(self.inbox.unpark(&self.ways));
    }

    /// Looks for work for a while instead of sleeping at once; whether there is some.
    fn spin(&mut self) -> bool {
        if self.spin_ns == 0 {
            return false;
        }
        let until_ns = self.clock.now_ns() + self.spin_ns;
        while self.clock.now_ns() < until_ns {
            if self.net.has_news() || !self.inbox.is_empty() {
                return true;
            }
            std::hint::spin_loop();
        }
        false
    }

    /// When somebody has to look at the clock next.
    fn next_due(&mut self) -> Option<Time> {
        let now = self.clock.now();
        let is_old = now.since_ms(self.looked_at) >= DEADLINES_ASKED_MS;
        if is_old {
            (self.looked_at, self.due_at) = (now, self.shard.next_due(now));
        }
        // A shard that sleeps again and again asks no more often than one that is awake.
        let again = (!is_old).then(|| self.looked_at.after_ms(DEADLINES_ASKED_MS));
        let paused = self.listeners.iter().filter_map(|listener| listener.paused_until).min();
        let stop = self.stop_at_ns.map(at_ns);
        [self.due_at, again, self.leavers.next_due(), paused, stop].into_iter().flatten().min()
    }

    fn sort_ready(&mut self) {
        let (lines, due, accepted, unwatched) =
            (&mut self.lines, &mut self.due, &mut self.accepted, &mut self.unwatched);
        let (mut leaving, mut ended, mut is_waker_over) = (Vec::new(), Vec::new(), false);
        let mut writable = Vec::new();
        self.net.drain(|ready| match ready {
            Ready::Accepted(number, fd) => accepted.push_back((number, fd)),
            Ready::AcceptEnded(number, error) => ended.push((number, error)),
            Ready::Readable { key, is_ending, is_over } => {
                let Some(line) = lines.tagged(key) else { return };
                line.state.is_ending |= is_ending;
                if is_over {
                    line.state.is_watched = false;
                    unwatched.push(line.key);
                }
                enqueue(line, due);
            }
            Ready::Writable(key) => writable.push(key),
            Ready::Leaving(key) => leaving.push(key),
            Ready::Woken { is_over } => is_waker_over |= is_over,
        });
        for key in writable {
            self.send_waiting(key);
        }
        for key in leaving {
            let left = self.leavers.ready(key, &mut self.net);
            self.closed.extend(left.map(|line| line.into_parts().0));
        }
        for (number, error) in ended {
            self.accept_ended(number, error.as_ref());
        }
        if is_waker_over {
            self.net.watch_waker(self.inbox.waker(&self.ways));
        }
    }

    /// The kernel takes bytes of a connection again.
    fn send_waiting(&mut self, tagged: ConnectionKey) {
        let Some(line) = self.lines.tagged(tagged) else { return };
        line.state.awaits_room = false;
        let before = line.backlog();
        let sent = line.send_outbox();
        let after = line.backlog();
        self.stats.sends += 1;
        self.stats.sent_bytes += (before - after) as u64;
        let key = line.key;
        if sent.is_err() {
            self.broken.push(key);
        } else {
            if after > 0 {
                line.state.awaits_room = true;
                self.net.watch_writable(key, line.fd());
            }
            note_change(line, &mut self.changed);
        }
    }

    fn accept_ended(&mut self, number: u16, error: Option<&io::Error>) {
        let Some(listener) = self.listeners.get_mut(usize::from(number)) else { return };
        let code = error.and_then(io::Error::raw_os_error);
        if matches!(code, Some(libc::EMFILE | libc::ENFILE | libc::ENOBUFS | libc::ENOMEM)) {
            self.stats.accept_pauses += 1;
            listener.paused_until = Some(self.clock.now().after_ms(ACCEPT_PAUSE_MS));
            let error = error.map(ToString::to_string).unwrap_or_default();
            tracing::warn!(shard = self.id.index(), error, "accepting is paused: no descriptors are left");
        } else if self.stop_at_ns.is_none() {
            self.net.accept(number, listener.fd.as_fd());
        }
    }

    fn accept_clients(&mut self, now: Time) {
        for _ in 0..ACCEPTS_PER_TURN_MAX {
            let Some((number, fd)) = self.accepted.pop_front() else { return };
            self.stats.accepted += 1;
            // A client that is gone already has no address.
            let Some(address) = peer_of(&fd) else { continue };
            self.make_place(now);
            let Some(key) = self.shard.accept(Peer { address, listener: number }, now) else { continue };
            let mut line = Line::new(key, fd);
            enqueue(&mut line, &mut self.due); // CONNECT is often there already
            self.unwatched.push(key);
            self.lines.insert(line);
        }
    }

    /// Places that the engine has freed this turn still have their lines: they go before the engine uses one again.
    fn make_place(&mut self, now: Time) {
        if !self.out.closes.is_empty() || !self.out.hand_overs.is_empty() {
            self.perform(now);
        }
    }

    fn open_parcels(&mut self, start_ns: u64, now: Time) {
        for _ in 0..PARCELS_PER_TURN_MAX {
            let Some(parcel) = self.inbox.take() else { break };
            match parcel {
                Parcel::Batch { from, sent_ns, mut letters } => {
                    self.stats.mesh_batches_received += 1;
                    self.stats.hop_latency.note_ns(start_ns.saturating_sub(sent_ns));
                    self.shard.handle(Input::Mesh { from, batch: &mut letters }, now, &mut self.out);
                }
                Parcel::Moved { fd, arrival, outbox } => self.adopt(fd, arrival, outbox, now),
                Parcel::Report(asker) => {
                    // Whoever asked may have lost patience.
                    let _nobody_waits = asker.send((self.id, Box::new(self.report())));
                }
                Parcel::Stop { until_ns } => self.stop(until_ns, now),
            }
        }
        for bit in self.inbox.take_waiting(&self.ways).iter() {
            self.stats.wakes_sent += u64::from(self.ways.wake(ShardId::of_bit(bit)));
        }
    }

    fn adopt(&mut self, fd: OwnedFd, arrival: Box<Arrival>, outbox: Option<Box<super::lines::Outbox>>, now: Time) {
        self.stats.adopted += 1;
        self.make_place(now);
        let key = self.shard.adopt(arrival, now, &mut self.out);
        let mut line = Line::new(key, fd);
        line.state.is_fresh = false;
        if outbox.is_some() {
            line.outbox = outbox;
            line.state.awaits_room = true;
            self.net.watch_writable(key, line.fd());
            note_change(&mut line, &mut self.changed);
        }
        self.unwatched.push(key);
        self.lines.insert(line);
    }

    fn stop(&mut self, until_ns: u64, now: Time) {
        self.stop_at_ns = Some(until_ns);
        for (number, listener) in (0..).zip(self.listeners.drain(..)) {
            self.net.stop_accepting(number);
            // The ring may hold the socket until after the end of the process; whoever starts next wants its address now.
            // A listener that cannot be shut is closed all the same.
            let _ = SockRef::from(&listener.fd).shutdown(Shutdown::Both);
            self.closed.push(listener.fd);
        }
        self.accepted.clear();
        self.make_place(now);
        self.shard.handle(Input::Shutdown, now, &mut self.out);
    }

    /// Tells the engine what the last turn brought about.
    fn tell_changes(&mut self, now: Time) {
        for (to, has_room) in std::mem::take(&mut self.rooms) {
            self.shard.handle(Input::MeshRoom { to, has_room }, now, &mut self.out);
        }
        for key in std::mem::take(&mut self.broken) {
            self.shard.handle(Input::Lost { connection: key }, now, &mut self.out);
        }
        let mut changed = std::mem::take(&mut self.changed);
        for key in changed.drain(..) {
            let Some(line) = self.lines.get_mut(key) else { continue };
            line.state.is_changed = false;
            let Some(outbox) = &mut line.outbox else { continue };
            let bytes = u32::try_from(outbox.len()).unwrap_or(u32::MAX);
            let taken = u32::try_from(std::mem::take(&mut outbox.taken)).unwrap_or(u32::MAX);
            if bytes == 0 {
                line.outbox = None;
            }
            self.shard.handle(Input::Backlog { connection: key, bytes, taken }, now, &mut self.out);
        }
        self.changed.append(&mut changed); // its memory is kept
    }

    fn read_lines(&mut self, start_ns: u64, now: Time) {
        let budget_ns = self.turn.time_us_max * 1_000;
        let (mut inputs, mut bytes) = (0, 0);
        while inputs < self.turn.inputs_max && bytes < self.turn.bytes_max {
            let Some(key) = self.due.pop_front() else { return };
            bytes += self.read_line(key, now);
            inputs += 1;
            if inputs % READS_PER_LOOK == 0 && self.clock.now_ns() - start_ns > budget_ns {
                return;
            }
        }
    }

    /// Reads once from a connection and lets the engine handle it; how many bytes came.
    fn read_line(&mut self, key: ConnectionKey, now: Time) -> usize {
        let Some(line) = self.lines.get_mut(key) else { return 0 };
        line.state.is_due = false;
        if line.state.is_paused {
            line.state.has_unread = true;
            return 0;
        }
        let input = match self.net.read(key, &line.socket(), &mut self.buffer) {
            Ok(0) => Input::Lost { connection: key },
            Ok(count) => {
                self.stats.reads += 1;
                self.stats.read_bytes += count as u64;
                if count == self.buffer.len() || line.state.is_ending {
                    enqueue(line, &mut self.due); // there is more, or the end comes next
                }
                self.shard.handle(
                    Input::Received { connection: key, bytes: &self.buffer[..count] },
                    now,
                    &mut self.out,
                );
                return count;
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return 0,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {
                enqueue(line, &mut self.due);
                return 0;
            }
            Err(_) => Input::Lost { connection: key }, // a reset is a lost connection like any other
        };
        line.state.is_ending = true;
        self.shard.handle(input, now, &mut self.out);
        0
    }

    fn look_at_time(&mut self, now: Time) {
        let is_old = now.since_ms(self.looked_at) >= DEADLINES_ASKED_MS;
        let mut is_due = self.due_at.is_some_and(|due| now.has_passed(due));
        if is_old || is_due {
            (self.looked_at, self.due_at) = (now, self.shard.next_due(now));
            is_due |= self.due_at.is_some_and(|due| now.has_passed(due));
            let closed = &mut self.closed;
            self.leavers.expire(now, &mut self.net, |line| closed.push(line.into_parts().0));
            for (number, listener) in (0..).zip(&mut self.listeners) {
                if listener.paused_until.take_if(|until| now.has_passed(*until)).is_some() {
                    self.net.accept(number, listener.fd.as_fd());
                }
            }
        }
        if std::mem::take(&mut self.wants_tick) || is_due {
            self.shard.handle(Input::Tick, now, &mut self.out);
            self.due_at = self.shard.next_due(now);
        }
    }

    /// Connections that the ring does not watch and that are still here.
    fn watch_lines(&mut self) {
        for key in self.unwatched.drain(..) {
            let Some(line) = self.lines.get_mut(key) else { continue };
            if !line.state.is_watched {
                line.state.is_watched = true;
                // One that may still move is watched for one event at a time, so that it moves without a trace.
                self.net.watch(key, line.fd(), !line.state.is_fresh);
            }
        }
    }

    /// Closes descriptors, after the ring has taken the entries that name them.
    fn bury(&mut self) {
        if !self.closed.is_empty() {
            self.net.submit();
            self.closed.clear();
        }
    }

    /// What this core says about itself.
    fn report(&self) -> Report {
        let mut shell = self.stats.clone();
        shell.mesh_depth = self.inbox.depth() as u64;
        shell.mesh_held = self.held.len() as u64;
        shell.buffer_bytes = (self.buffer.len() + self.lines.heap_bytes()) as u64;
        let ring = self.net.stats();
        shell.ring_submissions = ring.submissions;
        shell.ring_completions = ring.completions;
        shell.ring_enters = ring.enters;
        shell.ring_overflows = ring.overflows;
        #[expect(clippy::cast_precision_loss, reason = "seconds for people")]
        let uptime_s = (self.clock.now_ns() - self.started_ns) as f64 / 1e9;
        Report {
            shard: self.id.index(),
            core: self.core,
            stats: self.shard.stats().clone(),
            sizes: self.shard.sizes(),
            shell,
            uptime_s,
        }
    }
}

/// Puts a line into the list of those to be read.
pub(super) fn enqueue(line: &mut Line, due: &mut VecDeque<ConnectionKey>) {
    if line.state.is_paused {
        line.state.has_unread = true;
    } else if !line.state.is_due {
        line.state.is_due = true;
        due.push_back(line.key);
    }
}

/// Puts a line into the list of those whose unsent bytes changed.
pub(super) fn note_change(line: &mut Line, changed: &mut Vec<ConnectionKey>) {
    if !line.state.is_changed {
        line.state.is_changed = true;
        changed.push(line.key);
    }
}
