//! Floor 3: what a broker is, as a pure state machine.
//!
//! # Map
//! [`shard`] is the machine: [`input`] goes in, [`output`] comes out, and [`mesh`] is what shards say to each other. The rooms
//! below it know nothing of it:
//!
//! | room | holds | owner |
//! |---|---|---|
//! | [`limits`] | every bound, and what happens at it | the broker |
//! | [`homes`] | who lives where | the broker |
//! | [`message`] | an application message, borrowed or kept | whoever keeps it |
//! | [`stats`] | counters, and the ledger of every copy | one per shard |
//! | [`event`] | what an operator should hear of | a value |
//! | [`accounts`] | what is counted across connections and shards: addresses, users, listeners, bans | the broker: atomics |
//! | [`auth`] | who somebody is and what he may do, as decisions | the broker |
//! | [`change`] | what outlives the process, as facts in their order | a value |
//! | [`stowage`] | messages that queues owe and memory does not hold | one per shard |
//! | [`quota`] | token buckets | whoever charges them |
//! | [`connection`] | a connection as the engine sees it | the shard that serves it |
//! | [`session`] | what outlives a connection: flows, queue, window, will | home of the client id |
//! | [`subscriptions`] | index, interest, shared groups | one per shard; interest: the broker |
//! | [`retained`] | the last message of each topic | home of the topic |
//!
//! # The path of a PUBLISH
//! `shard/receive` finds the packet; `shard/verbatim` takes a run of plain ones as it is, `shard/publish` all others: checks,
//! permission, and the routing record that an acknowledgement waits for. `shard/fanout` looks the topic's route up
//! (`shard/routes`, else the index) and serves everybody here, `shard/deliver` one session; other shards that may want it get
//! one letter each (`mesh`), which `shard/letters` opens there. `shard/retain` keeps the last message at its home,
//! `shard/groups` hands shared ones to one member, and `shard/acknowledge` answers when all have spoken.
//!
//! # Invariants worth naming
//! - Nothing of a session is touched before its client was authenticated.
//! - Every copy that arises is delivered, dropped with a reason, moved, or still there: [`stats::Ledger::check`].
//! - A bit of interest is set before the SUBACK leaves that promises the subscription.
//! - A publisher hears "stored" only after every shard that was asked has said so.
//! - Whatever is left over for later asks for a tick; nothing waits for luck.
//!
//! # What is not here
//! Bytes on a socket, the clock, the disk, threads: the shell performs what [`output::Outputs`] wishes. Nor is there a
//! second way to change a shard's state: every change goes through [`shard::Shard::handle`], `accept` or `adopt`.

pub mod accounts;
pub mod aliases;
pub mod auth;
pub mod change;
pub mod connection;
pub mod event;
pub mod homes;
pub mod input;
pub mod limits;
pub mod mesh;
pub mod message;
pub mod output;
pub mod quota;
pub mod retained;
pub mod session;
pub mod shard;
pub mod stats;
pub mod stowage;
pub mod subscriptions;
