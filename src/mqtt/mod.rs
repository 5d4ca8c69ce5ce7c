//! Floor 1: the wire, where bytes become packets and packets bytes, in three versions of MQTT and without state.
//!
//! # Map
//! From the small to the large: [`varint`] and [`text`] are the elementary fields, [`topic`] what is published to and
//! subscribed, [`property`] one property of 5.0 with the table of all of them, [`properties`] the sets. [`frame`] cuts a stream of bytes into packets, whatever
//! the pieces it arrives in. Each packet has a file of its own; [`publish`] reads and [`outgoing`] writes the hot one, [`run`] finds
//! neighbouring PUBLISH packets that need no decoding at all and [`numbered`] those that need little. [`version`], [`reason`] and [`error`] are the words
//! that all of them use.
//!
//! # Invariants
//! - Decoding borrows: a decoded value points into the bytes it was read from, and a PUBLISH is read without an
//!   allocation. What must live longer is copied by the one who keeps it.
//! - A value of a type that has a `parse` or `decode` is valid: no [`topic::Topic`] holds a wildcard, no
//!   [`properties::Properties`] an unknown identifier. Nobody checks again.
//! - Work and memory are linear in the bytes that have arrived, never in a length that was announced; nothing recurses.
//! - Bytes from outside never reach a panic: what is wrong with them is a [`error::DecodeError`] that knows its reason code.
//! - What is encoded is of the shortest form and decodes to the same value.
//!
//! # What is not here
//! Everything that needs memory of earlier packets: which topic an alias stands for, which packet identifiers are in use,
//! whether a session exists. It lives in [`crate::engine`]. Nor is there a limit of the operator's choice:
//! a maximum is an argument.

pub mod error;
pub mod frame;
pub mod numbered;
pub mod outgoing;
pub mod properties;
pub mod property;
pub mod publish;
pub mod reason;
pub mod run;
pub mod text;
pub mod topic;
pub mod varint;
pub mod version;

pub mod ack;
#[cfg(test)]
mod arbitrary;
pub mod auth;
pub mod codes;
pub mod connack;
pub mod connect;
pub mod disconnect;
mod fields;
pub mod fitting;
#[cfg(test)]
mod golden;
pub mod packet;
pub mod ping;
pub mod suback;
pub mod subscribe;
pub mod unsuback;
pub mod unsubscribe;

pub use error::DecodeError;
pub use reason::Reason;
pub use topic::{Filter, Subscription, Topic};
pub use version::{PacketId, PacketType, QoS, Version};
