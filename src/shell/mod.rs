//! The shell: it turns readiness into inputs of a shard, performs the shard's outputs, and moves batches between shards.
//!
//! | file | what lives there |
//! |---|---|
//! | [`broker`] | the running broker: started, asked, stopped |
//! | [`starting`] [`progress`] | the same before anybody comes in, and how far it is |
//! | [`executor`] | one pinned executor a shard |
//! | [`core`] `perform` | a turn: what is ready goes in, what the shard wishes is done |
//! | `accepting` `reserve` `reading` `receiving` `breaking` | who comes, descriptors that are not for them, what clients sent, those that the kernel receives for on its own, those that nothing reaches any more |
//! | `crowd` | clients that come in faster than they can be served: who waits, and who is turned away |
//! | `parcels` [`letters`] `resting` `stopping` | what other shards sent, whose turn it is to be read, the sleep between two turns, the end |
//! | [`gather`] [`lines`] [`late`] [`leaving`] | the connections: one vectored send each a turn, what waits, what waits for its turn, how they end |
//! | [`ring`] | the shard's own ring; all unsafe code |
//! | [`admission`] [`clerks`] [`reloading`] | who may come in, by the operator's files; who finds answers that take time; files that change |
//! | `judging` | client certificates that are good no more |
//! | [`web`] | the web servers that are asked who may come in, and for keys |
//! | [`transport`] | what stands between a client's socket and its MQTT |
//! | [`storage`] [`replay`] [`journal`] `keeping` | what outlives the process: opened, read again, written on |
//! | [`archive`] | the same looked at from outside, while a broker may run on it |
//! | [`fetching`] | messages that lie in the journal alone, and how they are read back |
//! | [`files`] | the data directory, its segments, and the one who writes to them |
//! | [`mesh`] [`held`] | the ways between shards, what finds no room there |
//! | [`listening`] [`listener`] | all listeners of a broker, their sockets |
//! | [`clock`] [`events`] `denials` | the time, what the log hears, and how often of what rules refuse |
//! | [`guard`] [`returning`] | what a panic brings about; memory that nobody uses any more |
//! | [`report`] [`enquiry`] | what a shard tells the operator's floor about itself, and about who is here |
//!
//! Nothing here decides anything about MQTT: that is the engine's part. Nothing above here touches a shard: it asks for a
//! report and sends wishes.

mod accepting;
pub mod admission;
pub mod archive;
mod breaking;
#[cfg(test)]
mod breaking_tests;
pub mod broker;
pub mod clerks;
pub mod clock;
pub mod core;
mod crowd;
mod denials;
pub mod enquiry;
pub mod events;
pub mod executor;
pub mod fetching;
pub mod files;
pub mod gather;
pub mod guard;
pub mod held;
pub mod journal;
mod judging;
#[cfg(test)]
mod judging_tests;
mod keeping;
pub mod late;
#[cfg(test)]
mod late_tests;
pub mod leaving;
pub mod letters;
pub mod lines;
pub mod listener;
pub mod listening;
pub mod mesh;
pub mod moving;
mod parcels;
#[cfg(test)]
mod parcels_tests;
mod perform;
pub mod progress;
mod reading;
mod receiving;
#[cfg(test)]
mod receiving_tests;
pub mod reclaim;
pub mod reloading;
pub mod replay;
pub mod report;
mod reserve;
mod resting;
pub mod returning;
pub mod ring;
mod room;
pub mod starting;
mod stopping;
pub mod storage;
pub mod transfer;
pub mod transport;
pub mod web;
