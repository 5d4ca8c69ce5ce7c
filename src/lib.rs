//! Pregon: an MQTT broker whose whole behaviour is a deterministic machine.
//!
//! # The map
//!
//! The crate is a house of floors. A file imports its own floor or one below, and `cargo tidy` stops everything else.
//!
//! | floor | room | what lives there |
//! |---|---|---|
//! | 0 | [`base`] | building blocks that know nothing of MQTT |
//! | 1 | [`mqtt`] | the wire: one file a packet, three versions of the protocol as data |
//! | 2 | [`carrier`] | what carries MQTT, as bytes: WebSocket and the PROXY protocol, no socket here |
//! | 3 | [`engine`] | what a broker is: sessions, subscriptions, retained messages, and the shard that owns them |
//! | 4 | [`journal`] | the durable form of what a shard has to remember: records, frames, segments, replay |
//! | 5 | [`config`] | text to checked values: everything an operator may choose |
//! | 6 | `shell` | the runtime: executors, the ring, turns, the mesh between shards |
//! | 7 | `ops` | the operator's face: metrics, health, log |
//! | 8 | `cli` | the command line: the broker itself, `check`, `acl`, `journal`, `passwd`, `pub`, `sub` |
//!
//! The pure floors, up to `config`, take time, randomness and bytes as values and give wishes as values. The floors that
//! perform those wishes stand behind the feature `shell`; `cargo pure` builds without it and so proves that nothing pure
//! can name a runtime.
//!
//! The manual, `src/manual/`, is a part of this documentation: architecture, invariants, decisions,
//! configuration, operations, metrics.

pub mod base;
pub mod carrier;
#[cfg(feature = "shell")]
pub mod cli;
pub mod config;
pub mod engine;
pub mod journal;
#[cfg(doc)]
pub mod manual;
pub mod mqtt;
#[cfg(feature = "shell")]
pub mod ops;
#[cfg(feature = "shell")]
pub mod shell;
