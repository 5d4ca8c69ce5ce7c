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
//! | 2 | [`engine`] | what a broker is: sessions, subscriptions, retained messages, and the shard that owns them |
//!
//! All three are pure: time, randomness and bytes come in as values, wishes go out as values. The floors that will perform
//! those wishes stand behind the feature `shell`; `cargo pure` builds without it and so proves that nothing here can name
//! a runtime.
//!
//! The manual, `src/manual/`, is a part of this documentation: architecture, invariants, decisions.

pub mod base;
pub mod engine;
#[cfg(doc)]
pub mod manual;
pub mod mqtt;
