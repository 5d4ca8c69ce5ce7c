//! Every metric in one table: its name, its kind, what it means, and where its value is read.
//!
//! A metric that is not in [`METRICS`] cannot be exported, and one that is cannot be forgotten. Its labels follow from what
//! is read, its unit from its name. No label ever carries a client id, a topic or an address: their number has no bound.

use Reading::{
    Broker, BrokerDurations, BrokerParts, Build, Cores, DropReasons, Durabilities, Limits, LossWindow, PacketTypes,
    Parts, Process as Kernel, Shard, ShardFraction,
};

use super::process::Process;
use crate::engine::stats::{DropReason, Stats};
use crate::mqtt::PacketType;
use crate::shell::files::tally::Sizes;
use crate::shell::files::writer::State;
use crate::shell::report::{Histogram, Report};

/// What a metric is to a reader of its values.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// It only grows, until the broker starts again.
    Counter,
    /// It is of this moment.
    Gauge,
    /// Counts by bucket.
    Histogram,
    /// Always 1: its labels are what it says.
    Info,
}

/// Where the values of a metric come from; it decides the labels.
#[derive(Clone, Copy, Debug)]
pub enum Reading {
    /// One number of each shard.
    Shard(fn(&Report) -> u64),
    /// One number of each shard that may have a fraction.
    ShardFraction(fn(&Report) -> f64),
    /// A number for each type of packet, at the place of its number.
    PacketTypes(fn(&Report) -> &[u64; 16]),
    /// A number for each reason to drop a copy.
    DropReasons(fn(&Stats, DropReason) -> u64),
    /// A number for each bound of the operator's.
    Limits,
    /// Numbers of each shard that stand under one name, each with the value of this label.
    Parts(&'static str, &'static [Part]),
    /// Durations of each shard.
    Durations(fn(&Report) -> &Histogram),
    /// Sizes of each shard.
    Sizes(fn(&Report) -> &Sizes),
    /// When something counts as kept: the word of the configuration.
    Durabilities,
    /// How much of what was acknowledged a power cut may take.
    LossWindow,
    /// On which core each shard runs.
    Cores,
    /// One number of the broker.
    Broker(fn(&Scrape<'_>) -> u64),
    /// Numbers of the broker that stand under one name, each with the value of this label.
    BrokerParts(&'static str, &'static [Part]),
    /// Durations of the broker.
    BrokerDurations(fn(&Report) -> &Histogram),
    /// One number of the process; none where the kernel does not tell.
    Process(fn(&Process) -> Option<f64>),
    /// What was built.
    Build(&'static [(&'static str, &'static str)]),
}

/// The name of a part, and its number.
pub type Part = (&'static str, fn(&Report) -> u64);

impl Reading {
    /// The names of the labels that its values carry, beside `le` of a bucket.
    pub fn labels(self) -> Vec<&'static str> {
        match self {
            Self::Shard(_) | Self::ShardFraction(_) | Self::Durations(_) | Self::Sizes(_) => vec!["shard"],
            Self::PacketTypes(_) => vec!["shard", "type"],
            Self::DropReasons(_) => vec!["shard", "reason"],
            Self::Limits => vec!["shard", "limit"],
            Self::Parts(label, _) => vec!["shard", label],
            Self::BrokerParts(label, _) => vec![label],
            Self::Cores => vec!["shard", "core"],
            Self::Durabilities => vec!["durability"],
            Self::Broker(_) | Self::BrokerDurations(_) | Self::LossWindow | Self::Process(_) => Vec::new(),
            Self::Build(labels) => labels.iter().map(|(name, _)| *name).collect(),
        }
    }
}

/// All that one scrape reads.
#[derive(Clone, Copy, Debug)]
pub struct Scrape<'a> {
    /// The shards that answered, in the order of their numbers.
    pub reports: &'a [Report],
    /// How many shards there are.
    pub shards: usize,
    /// What the kernel says.
    pub process: &'a Process,
}

/// A row of the table.
#[derive(Clone, Copy, Debug)]
pub struct Metric {
    /// As it stands in queries.
    pub name: &'static str,
    /// What it is.
    pub kind: Kind,
    /// Where its values come from.
    pub reading: Reading,
    /// One sentence for a person who sees it for the first time.
    pub help: &'static str,
}

impl Metric {
    /// The name without the suffix that its kind demands: OpenMetrics writes that one before the type.
    pub fn family(&self) -> &'static str {
        match self.kind {
            Kind::Counter => self.name.strip_suffix("_total").expect("a counter ends in _total"),
            Kind::Info => self.name.strip_suffix("_info").expect("an info ends in _info"),
            Kind::Gauge | Kind::Histogram => self.name,
        }
    }

    /// The base unit, which the name ends in.
    pub fn unit(&self) -> Option<&'static str> {
        ["seconds", "bytes"].into_iter().find(|unit| self.family().ends_with(unit))
    }
}

const fn counter(name: &'static str, reading: Reading, help: &'static str) -> Metric {
    Metric { name, kind: Kind::Counter, reading, help }
}

const fn gauge(name: &'static str, reading: Reading, help: &'static str) -> Metric {
    Metric { name, kind: Kind::Gauge, reading, help }
}

const fn histogram(name: &'static str, reading: fn(&Report) -> &Histogram, help: &'static str) -> Metric {
    Metric { name, kind: Kind::Histogram, reading: Reading::Durations(reading), help }
}

const fn sizes(name: &'static str, reading: fn(&Report) -> &Sizes, help: &'static str) -> Metric {
    Metric { name, kind: Kind::Histogram, reading: Reading::Sizes(reading), help }
}

const fn info(name: &'static str, reading: Reading, help: &'static str) -> Metric {
    Metric { name, kind: Kind::Info, reading, help }
}

/// The table, in the order of the exposition.
#[rustfmt::skip] // a row is a line or two, so that the table reads as one
pub const METRICS: [Metric; 138] = [
    // The broker.
    info("pregon_build_info", Build(BUILD), "The version that runs."),
    info("pregon_shard_info", Cores, "The core that each shard is pinned to; none where it is not pinned."),
    gauge("pregon_shards", Broker(|s| s.shards as u64), "Shards that were started."),
    gauge("pregon_shards_answering", Broker(|s| s.reports.len() as u64), "Shards that answered this scrape in time."),
    // Connections.
    gauge("pregon_connections", Shard(|r| r.sizes.connections as u64),
        "Connections at this moment, also those that have not said CONNECT."),
    counter("pregon_connections_accepted_total", Shard(|r| r.shell.accepted),
        "Connections accepted by this shard's listeners."),
    counter("pregon_connections_opened_total", Shard(|r| r.stats.connections_opened),
        "Connections accepted here or adopted from another shard."),
    counter("pregon_connections_closed_total", Shard(|r| r.stats.connections_closed),
        "Connections that ended here or moved to their home shard."),
    counter("pregon_connections_handed_over_total", Shard(|r| r.shell.handed_over),
        "Connections that moved from here to their home shard."),
    counter("pregon_connections_adopted_total", Shard(|r| r.shell.adopted),
        "Connections that moved here, to their home shard."),
    counter("pregon_connects_refused_total", Shard(|r| r.stats.connects_refused),
        "Connections refused, at once or in CONNACK."),
    counter("pregon_connections_revoked_total", Shard(|r| r.stats.connections_revoked),
        "Connections that were ended because the files of users and rules say something else since."),
    counter("pregon_proofs_failed_total", Shard(|r| r.stats.proofs_failed),
        "Passwords, tokens and other proofs of clients that did not hold."),
    counter("pregon_plaintext_passwords_refused_total", Shard(|r| r.stats.plaintext_passwords_refused),
        "Clients that were refused since they have shown a password, or a token, where others can read it on its way."),
    counter("pregon_bans_total", Shard(|r| r.stats.bans), "Times an address was banned since too many proofs had failed."),
    gauge("pregon_banned_addresses", Broker(|s| s.reports.first().map_or(0, |r| r.census.banned)),
        "Addresses that are banned at this moment."),
    counter("pregon_uncounted_total", Broker(|s| s.reports.first().map_or(0, |r| r.census.uncounted)),
        "Clients that no bound on addresses and users holds for, since limits.accounts_max others are counted."),
    counter("pregon_handshakes_total", Shard(|r| r.shell.handshakes),
        "Handshakes of TLS that have come to their end."),
    counter("pregon_handshakes_resumed_total", Shard(|r| r.shell.handshakes_resumed),
        "Of these, the ones that have gone on with a session of before."),
    counter("pregon_layer_failures_total", Shard(|r| r.shell.layer_failures),
        "Connections that could not go on for what carries MQTT: the PROXY protocol, TLS or WebSocket."),
    counter("pregon_policy_changes_total", Shard(|r| r.shell.policy_changes),
        "Times that this shard has begun to judge by other users or rules."),
    counter("pregon_reloads_total", Broker(|s| s.reports.first().map_or(0, |r| r.reloads.done)),
        "Times that files were read anew and what they say has come into force."),
    counter("pregon_reloads_failed_total", Broker(|s| s.reports.first().map_or(0, |r| r.reloads.failed)),
        "Times that files were read anew and what was in force has stayed."),
    gauge("pregon_reload_failing", Broker(|s| s.reports.first().map_or(0, |r| u64::from(r.reloads.is_failing))),
        "1 while what some file says is not in force."),
    counter("pregon_accept_pauses_total", Shard(|r| r.shell.accept_pauses),
        "Times accepting was paused for lack of descriptors."),
    counter("pregon_questions_total", Shard(|r| r.shell.questions),
        "Questions whose answers take time, such as passwords to be proven."),
    counter("pregon_questions_refused_total", Shard(|r| r.shell.questions_refused),
        "Questions that nobody could take in time: their clients were refused as busy."),
    counter("pregon_refused_early_total", Parts("reason", REFUSED_EARLY),
        "Clients that were turned away because they would have waited too long, or too many wait already."),
    gauge("pregon_handshakes_waiting", Shard(|r| r.shell.handshakes_waiting),
        "Connections at this moment whose handshake of TLS has not begun."),
    gauge("pregon_questions_waiting", Shard(|r| r.shell.questions_waiting),
        "Questions at this moment that wait on this shard for a clerk."),
    gauge("pregon_waiting_oldest_seconds", ShardFraction(|r| seconds(r.shell.waiting_oldest_ms * 1_000_000)),
        "How long the one of them has waited who waits longest; 0 where nobody waits."),
    // The web servers that are asked.
    counter("pregon_hook_questions_total", BrokerParts("result", HOOK_RESULTS),
        "Questions that were put to a hook, by what it has said; failed is no answer, or none that could be used."),
    Metric { name: "pregon_hook_answer_seconds", kind: Kind::Histogram, reading: BrokerDurations(|r| &r.web.answers),
        help: "How long hooks took for an answer, or until it was clear that none would come." },
    counter("pregon_hook_cache_hits_total", Broker(|s| s.reports.first().map_or(0, |r| r.web.cache_hits)),
        "Questions to a hook whose answer was remembered."),
    counter("pregon_hook_questions_joined_total", Broker(|s| s.reports.first().map_or(0, |r| r.web.joined)),
        "Questions to a hook that have waited for the answer to the same one."),
    counter("pregon_hook_questions_refused_total", Broker(|s| s.reports.first().map_or(0, |r| r.web.refused)),
        "Questions to a hook that were not asked, since too many were waiting or for too long."),
    counter("pregon_token_keys_fetches_total", BrokerParts("result", FETCH_RESULTS),
        "Times that the keys of tokens were fetched from their server, by what came of it."),
    gauge("pregon_token_keys_fetched", Broker(|s| s.reports.first().map_or(0, |r| r.web.keys)),
        "Keys of tokens that were fetched and hold."),
    gauge("pregon_token_keys_failing", Broker(|s| s.reports.first().map_or(0, |r| u64::from(r.web.are_keys_failing))),
        "1 while the keys of tokens cannot be fetched: those of before hold for a while."),
    counter("pregon_protocol_errors_total", Shard(|r| r.stats.protocol_errors),
        "Connections closed because the peer broke the protocol."),
    counter("pregon_keep_alive_timeouts_total", Shard(|r| r.stats.keep_alive_timeouts),
        "Connections closed because the keep-alive time was over."),
    counter("pregon_limits_reached_total", Limits,
        "Times a bound was met, by the key that sets it: something was refused, closed or slowed down. A ban is a connection from a banned address."),
    counter("pregon_identities_expired_total", Shard(|r| r.stats.identities_expired),
        "Connections closed because the token that their clients had come with has expired."),
    counter("pregon_takeovers_total", Shard(|r| r.stats.takeovers),
        "Sessions taken over by a newer connection with the same client id."),
    // What they hold.
    gauge("pregon_sessions", Shard(|r| r.sizes.sessions as u64), "Sessions at this moment, connected or not."),
    gauge("pregon_subscriptions", Shard(|r| r.sizes.subscriptions as u64),
        "Subscriptions at this moment, a shared group counting as one."),
    gauge("pregon_retained_messages", Shard(|r| r.sizes.retained as u64),
        "Retained messages whose home this shard is."),
    counter("pregon_sessions_expired_total", Shard(|r| r.stats.sessions_expired),
        "Sessions that ended because their time was over."),
    counter("pregon_wills_published_total", Shard(|r| r.stats.wills_published), "Wills that were published."),
    // Packets and bytes.
    counter("pregon_packets_received_total", PacketTypes(|r| &r.stats.packets_received_by_type),
        "Packets from clients, by their type."),
    counter("pregon_packets_sent_total", PacketTypes(|r| &r.shell.packets_sent), "Packets to clients, by their type."),
    counter("pregon_packets_received_bytes_total", PacketTypes(|r| &r.stats.packet_bytes_received_by_type),
        "Bytes of packets from clients, by their type."),
    counter("pregon_packets_sent_bytes_total", PacketTypes(|r| &r.shell.packet_bytes_sent),
        "Bytes of packets to clients, by their type."),
    counter("pregon_received_bytes_total", Shard(|r| r.shell.read_bytes), "Bytes read from clients."),
    counter("pregon_sent_bytes_total", Shard(|r| r.shell.sent_bytes), "Bytes to clients that the kernel took."),
    counter("pregon_reads_total", Shard(|r| r.shell.reads),
        "Reads from sockets that brought bytes, by us or by the kernel on its own."),
    counter("pregon_sends_total", Shard(|r| r.shell.sends), "Vectored sends to sockets."),
    counter("pregon_short_sends_total", Shard(|r| r.shell.short_sends),
        "Sends that the kernel took only in part or not at all."),
    // Messages that came in.
    counter("pregon_publishes_received_total", Shard(|r| r.stats.publishes_received), "Messages from clients."),
    counter("pregon_publishes_verbatim_total", Shard(|r| r.stats.publishes_verbatim),
        "Messages from clients whose bytes went on as they came."),
    counter("pregon_publishes_unmatched_total", Shard(|r| r.stats.publishes_unmatched),
        "Messages from clients that no subscription matched."),
    counter("pregon_publishes_denied_total", Shard(|r| r.stats.publishes_denied),
        "Messages from clients that a rule refused."),
    counter("pregon_subscribes_denied_total", Shard(|r| r.stats.subscribes_denied),
        "Filters of clients that a rule refused."),
    counter("pregon_publishers_paused_total", Shard(|r| r.stats.publishers_paused),
        "Times a publisher was paused because a receiver or a shard was full."),
    // Copies, a message times a receiver: routed + moved in = delivered + dropped + moved out + let go + queued.
    counter("pregon_messages_routed_total", Shard(|r| r.stats.ledger.routed),
        "Copies that arose by a match or a retained look-up."),
    counter("pregon_messages_delivered_total", Shard(|r| r.stats.ledger.delivered),
        "Copies that reached their receiver: handed over at QoS 0, else acknowledged."),
    counter("pregon_messages_dropped_total", DropReasons(|stats, why| stats.ledger.dropped(why)),
        "Copies that did not reach their receiver, by the reason."),
    gauge("pregon_messages_queued", Shard(|r| r.stats.ledger.queued()),
        "Copies that lie in queues and windows at this moment."),
    gauge("pregon_messages_stowed", Shard(|r| r.sizes.stowed as u64),
        "Messages that wait for clients on the disk alone at this moment."),
    counter("pregon_copies_stowed_total", Shard(|r| r.stats.stowed),
        "Copies that were queued without their message, since memory was full of others."),
    counter("pregon_messages_fetched_total", Shard(|r| r.stats.fetched),
        "Messages that were read back from the journal."),
    counter("pregon_messages_unreadable_total", Shard(|r| r.stats.unreadable),
        "Messages that the journal could not bring back."),
    counter("pregon_messages_moved_in_total", Shard(|r| r.stats.ledger.received),
        "Copies that another shard handed over for a member of a shared group."),
    counter("pregon_messages_moved_out_total", Shard(|r| r.stats.ledger.moved),
        "Copies handed to another shard for a member of a shared group."),
    counter("pregon_messages_let_go_total", Shard(|r| r.stats.ledger.let_go),
        "Copies that a session completes although their shared group is gone."),
    // Between shards.
    counter("pregon_forwards_sent_total", Shard(|r| r.stats.forwards_sent),
        "Messages and runs of messages sent on to another shard."),
    counter("pregon_forwards_received_total", Shard(|r| r.stats.forwards_received),
        "Messages and runs of messages that came from another shard."),
    counter("pregon_forwards_useless_total", Shard(|r| r.stats.forwards_useless),
        "Forwards that no subscription here matched: false positives of the interest filter."),
    counter("pregon_route_cache_hits_total", Shard(|r| r.stats.route_hits), "Routes found in the cache."),
    counter("pregon_route_cache_misses_total", Shard(|r| r.stats.route_misses), "Routes that had to be built."),
    counter("pregon_mesh_batches_sent_total", Shard(|r| r.shell.mesh_batches_sent), "Batches sent to other shards."),
    counter("pregon_mesh_batches_received_total", Shard(|r| r.shell.mesh_batches_received),
        "Batches that came from other shards."),
    counter("pregon_mesh_full_total", Shard(|r| r.shell.mesh_full), "Times the way to another shard was full."),
    gauge("pregon_mesh_waiting_batches", Shard(|r| r.shell.mesh_depth),
        "Batches that wait for this shard at this moment."),
    gauge("pregon_connections_late", Shard(|r| r.shell.late_connections),
        "Connections that wait for their turn to be sent what goes to many, at this moment."),
    gauge("pregon_mesh_held_batches", Shard(|r| r.shell.mesh_held),
        "Batches that wait here for a full shard at this moment."),
    histogram("pregon_mesh_hop_seconds", |r| &r.shell.hop_latency,
        "How long batches of other shards were on their way."),
    // Turns and time.
    counter("pregon_turns_total", Shard(|r| r.shell.turns), "Turns of the shard."),
    histogram("pregon_turn_seconds", |r| &r.shell.turn_length, "How long turns took that did something."),
    histogram("pregon_turn_stall_seconds", |r| &r.shell.stall,
        "By how much turns exceeded their budget of time, where they did."),
    counter("pregon_shard_busy_seconds_total", ShardFraction(|r| seconds(r.shell.busy_ns)),
        "Time in turns that did something: its rate is the utilisation."),
    gauge("pregon_shard_uptime_seconds", ShardFraction(|r| r.uptime_s), "Time since the shard started."),
    counter("pregon_shard_parks_total", Shard(|r| r.shell.parks), "Times the shard slept."),
    counter("pregon_shard_wakes_received_total", Shard(|r| r.shell.wakes_received),
        "Times the shard was woken by another one."),
    counter("pregon_shard_wakes_sent_total", Shard(|r| r.shell.wakes_sent), "Times the shard woke another one."),
    // What outlives the process.
    info("pregon_storage_info", Durabilities, "When something counts as kept."),
    gauge("pregon_storage_loss_window_seconds", LossWindow,
        "How much of what was acknowledged a power cut may take; +Inf where nothing outlives the process."),
    gauge("pregon_replay_seconds", ShardFraction(|r| seconds(r.replayed.took_ns)),
        "How long the shard took at its start to read its journal."),
    gauge("pregon_replay_bytes", Shard(|r| r.replayed.bytes), "Bytes of its journal that it read at its start."),
    gauge("pregon_replay_records", Shard(|r| r.replayed.records), "Intact records that it found there."),
    gauge("pregon_replay_damages", Shard(|r| r.replayed.damages),
        "Pieces of damage that it found there, missing segments included."),
    counter("pregon_journal_writes_total", Shard(|r| r.shell.journal_writes),
        "Writes of the journal that were begun, syncs alone included."),
    counter("pregon_journal_reads_total", Shard(|r| r.shell.journal_reads),
        "Reads of messages that wait on the disk."),
    counter("pregon_journal_lone_syncs_total", Shard(|r| r.journal.tally.lone_syncs),
        "Syncs without a write, which end an interval or a segment."),
    histogram("pregon_journal_commit_seconds", |r| &r.journal.tally.commit_latency,
        "How long groups of changes were on their way to the disk, their sync included where they had one."),
    sizes("pregon_journal_group_bytes", |r| &r.journal.tally.group_bytes,
        "How large these groups were, with what pads them."),
    gauge("pregon_journal_pending_bytes", Shard(|r| r.journal.pending_bytes),
        "Bytes that wait to be written at this moment."),
    gauge("pregon_journal_promises_waiting", Shard(|r| r.shell.promises_waiting),
        "Pieces for clients, such as acknowledgements, that wait until what they promise is kept."),
    gauge("pregon_journal_stalled_seconds", ShardFraction(|r| seconds(r.shell.promises_stalled_ns)),
        "How long no such piece could leave although some wait; 0 where none waits."),
    gauge("pregon_journal_state", Parts("state", STATES), "1 at how the journal stands: open, tight, full or failed."),
    counter("pregon_journal_faults_total", Parts("cause", FAULTS),
        "Times the disk had no room for a group or a segment, and failures after which nothing is written."),
    counter("pregon_journal_refusals_total", Parts("what", REFUSALS),
        "What was refused because the journal had no room for anything new; copies of messages count as dropped."),
    gauge("pregon_journal_bytes_max", Shard(|r| r.journal.bytes_max),
        "What the files of the journal may take: the shard's part of storage.bytes_max, 0 for no bound."),
    gauge("pregon_journal_disk_bytes", Shard(|r| r.journal.disk_bytes),
        "Bytes of the files that are in use, without what was made ahead of use and what is spare."),
    gauge("pregon_journal_segments", Shard(|r| r.journal.segments),
        "Segments of the log, without what was made ahead of use and what is spare."),
    gauge("pregon_journal_log_bytes", Shard(|r| r.journal.log_bytes),
        "Bytes that are used of them."),
    gauge("pregon_journal_live_bytes", Shard(|r| r.journal.live_bytes),
        "How many of them hold, estimated between two sweeps."),
    counter("pregon_journal_sweeps_total", Shard(|r| r.journal.sweeps),
        "Times the shard has noted all that it holds again, so that older segments may go."),
    counter("pregon_journal_swept_bytes_total", Shard(|r| r.journal.swept_bytes),
        "Bytes of records that were noted again for that."),
    counter("pregon_journal_dead_segments_total", Shard(|r| r.journal.dead_segments),
        "Segments that were not needed any more, to be used again or removed."),
    counter("pregon_journal_segments_begun_total", Shard(|r| r.journal.tally.segments),
        "Segments that were begun."),
    counter("pregon_journal_segment_waits_total", Shard(|r| r.journal.tally.segment_waits),
        "Times a group had to wait until a segment was made."),
    // The network ring.
    counter("pregon_ring_submissions_total", Shard(|r| r.shell.ring_submissions), "Entries submitted to the ring."),
    counter("pregon_ring_completions_total", Shard(|r| r.shell.ring_completions), "Completions of the ring."),
    counter("pregon_ring_enters_total", Shard(|r| r.shell.ring_enters), "System calls that entered the ring."),
    counter("pregon_ring_overflows_total", Shard(|r| r.shell.ring_overflows),
        "Times the ring had no place for all completions and the kernel kept some for later."),
    gauge("pregon_ring_in_flight", Shard(|r| r.shell.ring_in_flight),
        "Operations that the ring holds at this moment, such as watches of connections."),
    counter("pregon_receive_promotions_total", Shard(|r| r.shell.receive_promotions),
        "Times the kernel began to receive on its own for a connection that had become hot."),
    counter("pregon_receive_demotions_total", Shard(|r| r.shell.receive_demotions),
        "Times it stopped for a connection that goes on."),
    counter("pregon_receive_shortages_total", Shard(|r| r.shell.receive_shortages),
        "Times it stopped because no buffer was left for what had come."),
    // Memory.
    gauge("pregon_memory_bytes", Parts("component", MEMORY), "Memory by what it is used for, as far as a shard counts it."),
    // The process, by the names that every Prometheus client uses.
    counter("process_cpu_seconds_total", Kernel(|p| p.cpu_s), "Time that the process spent on cores, user and system."),
    gauge("process_resident_memory_bytes", Kernel(|p| p.resident_bytes), "Resident memory of the process."),
    gauge("process_virtual_memory_bytes", Kernel(|p| p.virtual_bytes), "Virtual memory of the process."),
    gauge("process_open_fds", Kernel(|p| p.open_fds), "Open descriptors of the process."),
    gauge("process_max_fds", Kernel(|p| p.max_fds), "Descriptors that the process may open."),
    gauge("process_threads", Kernel(|p| p.threads), "Threads of the process."),
    gauge("process_start_time_seconds", Kernel(|p| p.start_time_s), "When the process started, in seconds since 1970."),
];

/// What was built, as labels.
const BUILD: &[(&str, &str)] = &[("version", env!("CARGO_PKG_VERSION")), ("arch", std::env::consts::ARCH)];

/// How the journal may stand.
const STATES: &[Part] = &[
    ("open", |r| u64::from(r.journal.state == State::Open)),
    ("tight", |r| u64::from(r.journal.state == State::Tight)),
    ("full", |r| u64::from(r.journal.state == State::Full)),
    ("failed", |r| u64::from(r.journal.state == State::Failed)),
];

/// What a hook may say.
const HOOK_RESULTS: &[Part] = &[
    ("allow", |r| r.web.allowed),
    ("deny", |r| r.web.denied),
    ("ignore", |r| r.web.ignored),
    ("failed", |r| r.web.failed),
];

/// What may come of fetching keys.
const FETCH_RESULTS: &[Part] =
    &[("changed", |r| r.web.keys_changed), ("same", |r| r.web.keys_same), ("failed", |r| r.web.keys_failed)];

/// What the journal may have no room for.
const REFUSALS: &[Part] = &[
    ("publish", |r| r.stats.journal_refusals.publishes),
    ("retained", |r| r.stats.journal_refusals.retained),
    ("session", |r| r.stats.journal_refusals.sessions),
    ("subscription", |r| r.stats.journal_refusals.subscriptions),
    ("will", |r| r.stats.journal_refusals.wills),
];

/// Who may be turned away early, and why.
const REFUSED_EARLY: &[Part] = &[
    ("handshake_late", |r| r.shell.refused_early.handshakes_late),
    ("question_late", |r| r.shell.refused_early.questions_late),
    ("question_full", |r| r.shell.refused_early.questions_full),
];

/// What the journal may suffer from.
const FAULTS: &[Part] =
    &[("full", |r| r.journal.tally.refusals + r.journal.shortages), ("failed", |r| r.journal.tally.failures)];

/// The parts of a shard whose memory is counted.
const MEMORY: &[Part] = &[
    ("buffers", |r| r.shell.buffer_bytes),
    ("mesh", |r| r.shell.mesh_bytes),
    ("backlog", |r| r.sizes.memory.backlog),
    ("late", |r| r.shell.late_bytes),
    ("connections", |r| r.sizes.memory.connections),
    ("partial_packets", |r| r.sizes.memory.partial_packets),
    ("topic_aliases", |r| r.sizes.memory.topic_aliases),
    ("sessions", |r| r.sizes.memory.sessions),
    ("subscriptions", |r| r.sizes.memory.subscriptions),
    ("retained", |r| r.sizes.memory.retained),
    ("interest", |r| r.sizes.memory.interest),
    ("routes", |r| r.sizes.memory.routes),
    ("queues", |r| r.sizes.memory.queues),
    ("stowage", |r| r.sizes.memory.stowage),
    ("payloads", |r| r.sizes.memory.payloads),
    ("letters", |r| r.sizes.memory.letters),
];

/// Each type of packet with the place of its number.
pub(super) fn packet_types() -> impl Iterator<Item = (&'static str, usize)> {
    PacketType::ALL.into_iter().map(|packet| (packet.name(), usize::from(packet.bits())))
}

/// Nanoseconds as seconds.
#[expect(clippy::cast_precision_loss, reason = "exact for a hundred days, and then to the microsecond")]
pub(super) fn seconds(ns: u64) -> f64 {
    ns as f64 / 1e9
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use std::fmt::Write as _;

    use super::*;

    #[test]
    fn names_follow_the_rules_of_openmetrics() {
        for metric in &METRICS {
            let Metric { name, kind, help, .. } = *metric;
            let letters = |letter: char| letter.is_ascii_lowercase() || letter.is_ascii_digit() || letter == '_';
            assert!(name.chars().all(letters) && !name.contains("__"), "{name}");
            assert!(name.starts_with("pregon_") || name.starts_with("process_"), "{name}");
            assert_eq!(kind == Kind::Counter, name.ends_with("_total"), "{name}: counters and only they end in _total");
            assert_eq!(kind == Kind::Info, name.ends_with("_info"), "{name}: infos and only they end in _info");
            assert!(!["_count", "_sum", "_bucket", "_created"].iter().any(|end| name.ends_with(end)), "{name}");
            assert!(help.ends_with('.') && !help.contains(['\n', '\\', '"']), "{name}: {help}");
            let is_in = |unit| metric.unit() == Some(unit);
            let is_duration = matches!(metric.reading, Reading::Durations(_) | BrokerDurations(_));
            assert!(!is_duration || is_in("seconds"), "{name}: durations");
            assert!(!matches!(metric.reading, Reading::Sizes(_)) || is_in("bytes"), "{name}: sizes");
        }
    }

    /// Every metric, as the manual lists them.
    fn manual() -> String {
        let mut text = "# Metrics\n\nEvery metric that `/metrics` of the operator's door tells, with its labels and what it means. A test keeps this \
             list true.\n\n| metric | kind | labels | what it is |\n|---|---|---|---|\n"
            .to_owned();
        for metric in &METRICS {
            let kind = match metric.kind {
                Kind::Counter => "counter",
                Kind::Gauge => "gauge",
                Kind::Histogram => "histogram",
                Kind::Info => "info",
            };
            let labels: Vec<String> = metric.reading.labels().iter().map(|label| format!("`{label}`")).collect();
            writeln!(text, "| `{}` | {kind} | {} | {} |", metric.name, labels.join(", "), metric.help)
                .expect("a text takes it");
        }
        text
    }

    #[test]
    fn the_manual_lists_every_metric() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/src/manual/metrics.md");
        if std::env::var("PREGON_WRITE_EXAMPLE").is_ok() {
            std::fs::write(path, manual()).unwrap();
        }
        let text = std::fs::read_to_string(path).unwrap();
        assert!(text == manual(), "PREGON_WRITE_EXAMPLE=1 cargo test --lib ops:: writes {path} anew");
    }

    #[test]
    fn no_name_stands_twice_and_no_family_is_named_like_another() {
        let names: BTreeSet<_> = METRICS.iter().map(|metric| metric.name).collect();
        let families: BTreeSet<_> = METRICS.iter().map(Metric::family).collect();
        assert_eq!((names.len(), families.len()), (METRICS.len(), METRICS.len()));
    }

    #[test]
    fn labels_have_a_bound_that_clients_cannot_move() {
        let known = [
            "shard",
            "type",
            "reason",
            "limit",
            "component",
            "core",
            "version",
            "what",
            "arch",
            "durability",
            "state",
            "cause",
            "result",
        ];
        let labels: BTreeSet<_> = METRICS.iter().flat_map(|metric| metric.reading.labels()).collect();
        assert_eq!(labels, BTreeSet::from(known));
    }
}
