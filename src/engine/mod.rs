//! Floor 2: what a broker is, as a pure state machine.

pub mod auth;
pub mod homes;
pub mod limits;
pub mod message;
pub mod quota;
pub mod stats;
