//! What a shard holds memory for: sums that are kept anyway or cost a look at tables, made when somebody asks.

use std::num::NonZeroU16;

use super::Shard;
use crate::engine::aliases::OurAliases;
use crate::engine::connection::{Connection, Phase};
use crate::engine::limits::UNPROVEN_BYTES_MAX;
use crate::engine::mesh::Mesh;
use crate::engine::message::Message;

/// Bytes on the heap by what they are for, without what the allocator adds.
///
/// Not told apart: what a session holds itself (its queue and window), for that would take a look at each one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Memory {
    /// The table of connections, and when to look at them.
    pub connections: u64,
    /// Packets that have not arrived whole, and what may not be handled yet.
    pub partial_packets: u64,
    /// Topics that aliases stand for, those of clients and ours.
    pub topic_aliases: u64,
    /// What clients have not taken yet, as the shell told: its memory, not the engine's.
    pub backlog: u64,
    /// The table of sessions, their client identifiers and directory, and when they end.
    pub sessions: u64,
    /// Messages that wait in memory for sessions that outlive the process, each copy counted as if it were the only one.
    pub queues: u64,
    /// Where the journal has those that wait on the disk alone.
    pub stowage: u64,
    /// Filters, their texts and subscribers, and the shared groups.
    pub subscriptions: u64,
    /// Retained messages and their topics.
    pub retained: u64,
    /// What this shard has declared to the others, and its part of the filter that all read: address space, of which only what
    /// filters touch is resident.
    pub interest: u64,
    /// Who wants the topics that were published lately; an estimate.
    pub routes: u64,
    /// Chunks that small messages of QoS 0 are cut from.
    pub payloads: u64,
    /// What the shard has to say to itself, what it says to others once the journal has stored it, and which retained publications are on their way.
    pub letters: u64,
}

impl Shard {
    /// What this shard holds memory for.
    pub fn memory(&self) -> Memory {
        let wheels = self.connection_wheel.heap_bytes() + self.quota_wheel.heap_bytes() + self.rate_wheel.heap_bytes();
        let connections = self.connections.heap_bytes() + wheels;
        let directory = self.directory.allocation_size() + self.client_ids.heap_bytes();
        let sessions = self.sessions.heap_bytes() + directory + self.session_wheel.heap_bytes();
        let shared_interest = self.interest.memory_bytes() / self.homes.shards();
        Memory {
            connections: connections as u64,
            partial_packets: self.holdings.held as u64,
            topic_aliases: self.holdings.aliases as u64,
            backlog: self.backlog_bytes,
            sessions: sessions as u64,
            queues: self.stowage.held(),
            stowage: self.stowage.heap_bytes() as u64,
            subscriptions: (self.index.memory_bytes() + self.groups.table_bytes()) as u64,
            retained: self.retained_memory(),
            interest: (self.declared.memory_bytes() + shared_interest) as u64,
            routes: self.routes.memory_bytes() as u64,
            payloads: self.chunks.heap_bytes() as u64,
            letters: self.letter_bytes() as u64,
        }
    }

    fn letter_bytes(&self) -> usize {
        let to_itself: usize = self.letters.iter().map(Mesh::charged_bytes).sum();
        to_itself + self.aside.bytes() + self.journaling.waiting_bytes() + self.on_their_way.allocation_size()
    }

    /// Topics and table, whose they are, and the messages, whose fixed part is charged with each and stands in the table.
    fn retained_memory(&self) -> u64 {
        let fixed = self.retained.len() * size_of::<Message>();
        let tables = self.retained.memory_bytes() + self.owners.memory_bytes();
        (tables as u64 + self.retained_bytes).saturating_sub(fixed as u64)
    }
}

/// Sums over all connections of a shard. A connection is taken out before anything of it changes that counts here, and put in again behind that.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Holdings {
    /// What they hold of packets that cannot be handled yet.
    pub(super) held: usize,
    /// What is lent to those who have proven nothing.
    pub(super) lent: usize,
    /// What their topic aliases hold.
    pub(super) aliases: usize,
}

impl Holdings {
    /// What this connection holds counts no more.
    pub(super) fn take_out(&mut self, connection: &Connection) {
        self.held -= held_bytes(connection);
        self.lent -= lent_bytes(connection);
        self.aliases -= alias_bytes(connection);
    }

    /// It counts again.
    pub(super) fn put_in(&mut self, connection: &Connection) {
        self.held += held_bytes(connection);
        self.lent += lent_bytes(connection);
        self.aliases += alias_bytes(connection);
    }

    /// A client was told what one of our aliases stands for.
    pub(super) fn learn(&mut self, connection: &mut Connection, alias: NonZeroU16, topic: &str) {
        self.aliases -= alias_bytes(connection);
        if let Some(aliases) = &mut connection.extras().aliases_out {
            aliases.learn(alias, topic);
        }
        self.aliases += alias_bytes(connection);
    }
}

/// What the topic aliases of a connection hold.
fn alias_bytes(connection: &Connection) -> usize {
    connection.extras.as_ref().map_or(0, |extras| {
        extras.aliases_in.heap_bytes() + extras.aliases_out.as_ref().map_or(0, OurAliases::heap_bytes)
    })
}

/// What a connection holds of packets that cannot be handled yet.
fn held_bytes(connection: &Connection) -> usize {
    connection.held.as_ref().map_or(0, |begun| begun.bytes.capacity())
}

/// What a connection holds beyond what everybody may hold who has proven nothing.
pub(super) fn lent_bytes(connection: &Connection) -> usize {
    let waiting = match &connection.phase {
        Phase::Connected => return 0,
        Phase::AwaitConnect { .. } => 0,
        // Whoever is asked about it has a copy of what it says.
        Phase::Authenticating(handshake) => 2 * handshake.connect.len(),
    };
    // Unsent bytes lie in memory that grows by doubling.
    let unsent = 2 * connection.backlog as usize;
    (held_bytes(connection) + waiting + unsent).saturating_sub(UNPROVEN_BYTES_MAX)
}
