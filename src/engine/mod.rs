//! Floor 2: what a broker is, as a pure state machine.

pub mod auth;
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
pub mod subscriptions;
