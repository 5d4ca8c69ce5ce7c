//! One core's part of the shell: a shard, its lines, its ring, and the turn that moves between them.
//!
//! A turn takes what is ready, lets the shard handle it, and performs what the shard wishes: one vectored send a connection,
//! one batch a target shard. It never waits; a core that has nothing to do sleeps in [`Core::breathe`].

use std::collections::VecDeque;
use std::io;
use std::os::fd::{AsFd, OwnedFd};

use super::accepting::Listener;
use super::clerks::Desk;
use super::clock::{Clock, at_ns, wall_s};
use super::crowd::Crowd;
use super::denials::Denials;
use super::gather::Gather;
use super::held::Held;
use super::journal::{Continuation, Journal};
use super::judging::Judging;
use super::late::{Allowance, Late};
use super::leaving::Leavers;
use super::letters::Unread;
use super::lines::Lines;
use super::listener::Socket;
use super::mesh::{Inbox, Ways};
use super::progress::Share;
use super::reading::Due;
use super::receiving::Hot;
use super::replay::{ReplayError, replay};
use super::report::{Promise, Reloads, Replayed, Report, ShellStats, WebStats};
use super::returning::Pages;
use super::ring::buffers::PIECE_BYTES_MAX;
use super::ring::disk::Written;
use super::ring::fetch::Brought;
use super::ring::net::Net;
use super::ring::sys::give_back_memory;
use super::stopping::LastLetters;
use super::storage::Kept;
use super::transport::layers::PENDING_BYTES_MAX;
use crate::base::time::Time;
use crate::config::{Driver, Turn};
use crate::engine::accounts::Census;
use crate::engine::change::Serial;
use crate::engine::connection::ConnectionKey;
use crate::engine::homes::ShardId;
use crate::engine::output::Outputs;
use crate::engine::shard::{Shard, Shared};

/// Milliseconds between two looks at the clock on the wall.
const WALL_TOLD_MS: u64 = 1_000;

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
    pub(super) late: Late,
    /// What this turn may send of what can wait.
    pub(super) allowance: Allowance,
    pub(super) gather: Gather,
    pub(super) inbox: Inbox,
    /// Letters of other shards that are here.
    pub(super) unread: Unread,
    pub(super) ways: Ways,
    /// Clients that wait for what takes time.
    pub(super) crowd: Crowd,
    /// Denials that the log has not heard of.
    pub(super) denials: Denials,
    pub(super) held: Held,
    pub(super) stats: ShellStats,
    pub(super) turn: Turn,
    pub(super) spin_ns: u64,
    pub(super) listeners: Vec<Listener>,
    /// Clients that were accepted and wait for their first read.
    pub(super) accepted: VecDeque<(u16, OwnedFd)>,
    /// Connections with something to read.
    pub(super) due: VecDeque<Due>,
    /// Connections with something to read that have begun with costly work of their layers: they come after all others, for a part of the turn.
    pub(super) shaking: VecDeque<ConnectionKey>,
    /// Connections that the kernel receives for.
    pub(super) hot: Hot,
    /// Connections whose unsent bytes changed: the engine is told in the next turn.
    pub(super) changed: Vec<ConnectionKey>,
    /// Connections with bytes that wait for a change to be safe, in order; a connection may stand here more than once.
    pub(super) promised: VecDeque<(Serial, ConnectionKey)>,
    /// The same of those who get only what many get.
    pub(super) promised_wide: VecDeque<(Serial, ConnectionKey)>,
    /// Connections that broke while we wrote: the engine is to be told, and of some once more.
    pub(super) broken: VecDeque<ConnectionKey>,
    /// Connections that the ring does not watch and should, if they are still here at the end of the turn.
    pub(super) unwatched: Vec<ConnectionKey>,
    /// Ways to other shards that became full (`false`) or free.
    pub(super) rooms: Vec<(ShardId, bool)>,
    /// Descriptors to close when the ring has taken its entries.
    pub(super) closed: Vec<OwnedFd>,
    /// Where bytes are read into, behind what is pending.
    pub(super) buffer: Vec<u8>,
    /// What the layers of a connection have to say themselves.
    pub(super) wire: Vec<u8>,
    /// What it has freed.
    pub(super) pages: Pages,
    /// Put-off work of the engine wants a tick.
    pub(super) wants_tick: bool,
    /// When deadlines were last looked at.
    pub(super) looked_at: Time,
    /// When the shard was told what the clock on the wall shows; never before the first turn.
    wall_told_at: Option<Time>,
    /// The engine's next deadline, as it was then.
    pub(super) due_at: Option<Time>,
    /// The broker stops: until when what is on its way is sent.
    pub(super) stop_at_ns: Option<u64>,
    /// Its clients are not told yet, for letters that were on their way before come first.
    pub(super) last_letters: Option<LastLetters>,
    /// Listeners whose connections are judged again.
    pub(super) judgings: Vec<Judging>,
    /// What keeps changes, if anything does.
    pub(super) journal: Option<Journal>,
    /// Writes of the journal that are over.
    pub(super) written: Vec<Written>,
    /// Reads from the journal that are over.
    pub(super) brought: Vec<Brought>,
    /// When the journal last let bytes go that waited for it, or the first of them came.
    pub(super) promised_since_ns: u64,
    /// What the shards tell each other at the beginning and at the end.
    pub(super) share: Share,
    /// It was told that this shard has heard of the others.
    has_settled: bool,
    promise: Promise,
    replayed: Replayed,
}

/// Why a core cannot be made.
#[derive(Debug, thiserror::Error)]
pub enum CoreError {
    /// The network's ring.
    #[error("{0}")]
    Ring(#[from] io::Error),
    /// The journal.
    #[error("{0}")]
    Replay(#[from] ReplayError),
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
    /// Where questions go whose answers take time.
    pub desk: Desk,
    /// Its sockets, in the order of their numbers.
    pub listeners: Vec<Socket>,
    /// The budget of a turn.
    pub turn: Turn,
    /// How long it looks for work before it sleeps.
    pub spin_before_park_us: u64,
    /// How its network is driven.
    pub driver: Driver,
    /// Entries of its ring.
    pub ring_entries: u32,
    /// What an acknowledgement promises.
    pub promise: Promise,
    /// Where it tells how far it has come.
    pub share: Share,
    /// What it starts from, if anything is kept.
    pub kept: Option<Kept>,
}

impl Core {
    /// Makes the ring, and has the shard know again what it has kept. Nobody comes in before it is told to serve.
    pub fn new(parts: Parts) -> Result<Self, CoreError> {
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
            late: Late::default(),
            allowance: Allowance::default(),
            gather: Gather::default(),
            inbox: parts.inbox,
            unread: Unread::new(shards),
            ways: parts.ways,
            crowd: Crowd::new(parts.desk),
            denials: Denials::default(),
            held: Held::new(shards),
            stats: ShellStats::default(),
            buffer: vec![0; PENDING_BYTES_MAX + parts.turn.read_bytes_max.max(PIECE_BYTES_MAX)],
            wire: Vec::new(),
            turn: parts.turn,
            spin_ns: parts.spin_before_park_us * 1_000,
            listeners: parts
                .listeners
                .into_iter()
                .map(|Socket { fd, plan }| Listener { fd, plan, paused_until: None })
                .collect(),
            accepted: VecDeque::new(),
            due: VecDeque::new(),
            shaking: VecDeque::new(),
            hot: Hot::default(),
            changed: Vec::new(),
            promised: VecDeque::new(),
            promised_wide: VecDeque::new(),
            broken: VecDeque::new(),
            unwatched: Vec::new(),
            rooms: Vec::new(),
            closed: Vec::new(),
            pages: Pages::default(),
            wants_tick: false,
            looked_at: Time::ZERO,
            wall_told_at: None,
            due_at: None,
            stop_at_ns: None,
            last_letters: None,
            judgings: Vec::new(),
            journal: None,
            written: Vec::new(),
            brought: Vec::new(),
            promised_since_ns: 0,
            share: parts.share,
            has_settled: false,
            promise: parts.promise,
            replayed: Replayed::default(),
        };
        core.net.watch_waker(core.inbox.waker());
        core.net.submit();
        if let Some(kept) = parts.kept {
            let Kept { frames, segments, cadence, allotment, desk } = kept;
            let start_ns = core.clock.now_ns();
            let end = replay(&frames, &segments, &mut core.shard, at_ns(start_ns), &core.share, &mut core.out)?;
            core.replayed = Replayed { took_ns: core.clock.now_ns() - start_ns, ..end.replayed };
            core.journal = Some(Journal::new(Continuation { frames, cadence, allotment, end, desk }));
            give_back_memory(); // what only the replay needed
        }
        core.share.is_ready(core.replayed.records);
        Ok(core)
    }

    /// Every shard knows again what it has kept: clients may come in.
    pub(super) fn serve(&mut self) {
        for (number, listener) in (0..).zip(&self.listeners) {
            self.net.accept(number, listener.fd.as_fd());
        }
        self.net.submit();
    }

    /// One turn; whether there was anything to do.
    pub fn turn(&mut self) -> bool {
        let start_ns = self.clock.now_ns();
        let now = at_ns(start_ns);
        self.allowance = Allowance::new(self.turn.time_us_max * 1_000, self.wants_tick, !self.late.is_empty());
        self.tell_wall(now);
        self.net.poke();
        self.sort_ready();
        let before = self.work_count();
        let has_sent_held = self.retry_held();
        self.accept_clients(now);
        self.journal_told(start_ns, now);
        self.messages_brought(now);
        self.open_parcels(start_ns, now);
        self.tell_room(now);
        self.tell_changes(now);
        self.read_lines(start_ns, now);
        self.shake_hands(start_ns, now);
        self.look_at_time(now);
        self.perform(now);
        self.send_late(now);
        self.tell_settled();
        self.go_on_judging(now);
        self.go_on_sweeping(now);
        self.go_on_writing();
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

    /// What the others had to say before anybody comes in is here, and what they have to hear is on its way.
    fn tell_settled(&mut self) {
        if !self.has_settled && !self.shard.awaits_others() {
            self.has_settled = true;
            self.share.has_settled();
        }
    }

    /// The clock on the wall may be turned, so it is looked at once a second, or when there is something to do again.
    fn tell_wall(&mut self, now: Time) {
        if self.wall_told_at.is_none_or(|told_at| now.since_ms(told_at) >= WALL_TOLD_MS) {
            self.wall_told_at = Some(now);
            self.shard.set_wall(wall_s(), now);
        }
    }

    /// Grows with everything that a turn does.
    fn work_count(&self) -> u64 {
        let stats = &self.stats;
        stats.accepted
            + stats.reads
            + stats.sends
            + stats.mesh_inputs
            + stats.mesh_batches_sent
            + stats.adopted
            + stats.answers
            + stats.policy_changes
            + stats.journal_writes
            + stats.journal_reads
            + stats.sweep_pieces
    }

    /// What drives its network.
    pub fn driver(&self) -> &'static str {
        self.net.name()
    }

    /// Closes descriptors, after the ring has taken the entries that name them.
    fn bury(&mut self) {
        if !self.closed.is_empty() {
            self.net.submit();
            self.closed.clear();
        }
    }

    /// What this core says about itself.
    pub(super) fn report(&self) -> Report {
        let mut shell = self.stats.clone();
        shell.mesh_depth = (self.inbox.depth() + self.unread.len()) as u64;
        shell.mesh_held = self.held.len() as u64;
        shell.mesh_bytes = self.inbox.bytes() + self.held.bytes();
        let (hellos, questions) = self.crowd.waiting();
        (shell.handshakes_waiting, shell.questions_waiting) = (hellos as u64, questions as u64);
        shell.waiting_oldest_ms = self.crowd.oldest_ms(self.clock.now());
        shell.buffer_bytes = (self.buffer.len() + self.net.buffer_bytes() + self.lines.heap_bytes()) as u64;
        (shell.late_connections, shell.late_bytes) = self.late.len();
        shell.promises_waiting = (self.promised.len() + self.promised_wide.len()) as u64;
        if self.has_promised() {
            shell.promises_stalled_ns = self.clock.now_ns().saturating_sub(self.promised_since_ns);
        }
        let ring = self.net.stats();
        shell.ring_submissions = ring.submissions;
        shell.ring_completions = ring.completions;
        shell.ring_enters = ring.enters;
        shell.ring_overflows = ring.overflows;
        shell.ring_in_flight = ring.begun - ring.ended;
        #[expect(clippy::cast_precision_loss, reason = "seconds for people")]
        let uptime_s = (self.clock.now_ns() - self.started_ns) as f64 / 1e9;
        Report {
            shard: self.id.index(),
            core: self.core,
            stats: self.shard.stats().clone(),
            sizes: self.shard.sizes(),
            shell,
            promise: self.promise,
            journal: self.journal.as_ref().map(|journal| journal.stats(self.shard.held())).unwrap_or_default(),
            replayed: self.replayed,
            reloads: Reloads::default(), // whoever asks knows
            census: Census::default(),
            web: WebStats::default(), // and this
            uptime_s,
        }
    }
}
